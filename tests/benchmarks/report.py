"""Medians, ratios and the table."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contenders import CORES, Copy, NbVersion, WarmKernel
from rounds import sound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from processes import Bench
    from rounds import Round
    from workloads import Workload

OURS = NbVersion.name
RIVALS = ("git", "git-lfs", "dvc")
NOTES = """\
Seconds of wall time and ratios are medians (minimum–maximum) over the sound rounds; a ratio is taken
within a round, and a rival's says how many times longer than nbversion it takes. Before each timing
the input is read once and everything dirty is flushed; after it the work is compared with the
material, digest by digest. nbversion's snapshots are on the disk before they are published; cp, git,
git-lfs and dvc leave that to the system. Nothing is deleted between rounds, and a round whose
baseline takes over 1.5 times its minimum is played again. dvc cannot verify its cache: in W5 it does
`dvc status` after it lost what it remembers, which hashes the working copy.
"""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return the spread of `values`, if there are any."""
        return cls(statistics.median(values), min(values), max(values)) if values else None

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.median:.3g}"
        return f"{self.median:.3g} ({self.least:.3g}–{self.most:.3g})"


class Results:
    """What the rounds of one family say about one workload.

    Parameters
    ----------
    workload : Workload
    rounds : sequence of Round
        All rounds of the workload's family.
    controls : sequence of (str, str)
    """

    def __init__(
        self, workload: Workload, rounds: Sequence[Round], controls: Sequence[tuple[str, str]]
    ) -> None:
        self.workload = workload
        self.rounds = rounds
        self.good = sound(rounds, controls)

    def problem(self, contender: str) -> str | None:
        """Return what went wrong in any round, for who failed once has no time to show."""
        found = (one.problems.get(self.workload.name, {}).get(contender) for one in self.rounds)
        missed = (one.missed.get(contender) for one in self.rounds if contender.startswith(OURS))
        verifies = self.workload.name == "W5"
        return next((one for one in [*found, *(missed if verifies else ())] if one), None)

    def seconds(self, contender: str) -> Spread | None:
        """Return the seconds of the sound rounds."""
        if self.problem(contender):
            return None
        times = (one.seconds.get(self.workload.name, {}).get(contender) for one in self.good)
        return Spread.of([one for one in times if one is not None])

    def ratio(self, contender: str, to: tuple[str, str], share: int = 1) -> Spread | None:
        """Return the ratio of the contender's time to that of (workload, contender)."""
        if self.problem(contender):
            return None
        found = []
        for one in self.good:
            mine = one.seconds.get(self.workload.name, {}).get(contender)
            theirs = one.seconds.get(to[0], {}).get(to[1])
            if mine is not None and theirs is not None:
                found.append(mine / theirs * share)
        return Spread.of(found)

    def to_baseline(self, contender: str = OURS) -> Spread | None:
        """Return the ratio that the target is about."""
        return self.ratio(contender, self.workload.baseline, self.workload.share)

    def times_slower(self, rival: str) -> Spread | None:
        """Return how many times longer than nbversion the rival took."""
        return None if self.problem(OURS) else self.ratio(rival, (self.workload.name, OURS))

    def verdict(self) -> str:
        """Say whether the target is met, and by what it is missed."""
        ratio = self.to_baseline()
        if ratio is None:
            return "not measured"
        missed = []
        if ratio.median > self.workload.most:
            missed.append(f"{ratio.median:.3g} × the baseline")
        for rival in RIVALS:
            slower = self.times_slower(rival)
            if slower is None:
                continue
            least = self.workload.dvc if rival == "dvc" and self.workload.dvc else 1.0
            if slower.median < least and rival not in self.workload.may_lead:
                missed.append(f"{rival} takes only {slower.median:.3g} ×")
        return f"no: {', '.join(missed)}" if missed else "yes"


def cell(results: Results, contender: str, ratio: Spread | None) -> str:
    """Return the text of one contender's cell."""
    if problem := results.problem(contender):
        short = " ".join(problem.replace("|", "/").split())
        return f"**failed**: {short[:160]}"
    seconds = results.seconds(contender)
    if seconds is None:
        return "–"
    return f"{seconds} s, {ratio} ×" if ratio else f"{seconds} s"


def table(all_results: Sequence[Results], absent: Mapping[str, str]) -> str:
    """Return the Markdown table."""
    heads = ["workload", OURS, WarmKernel.name, "baseline", "ratio", "target", "met?", *RIVALS]
    lines = [heads, ["---"] * len(heads)]
    for one in all_results:
        workload, base = one.workload, one.workload.baseline
        ratio = one.to_baseline()
        row = [f"{workload.name} {workload.title}", cell(one, OURS, None)]
        row.append(cell(one, WarmKernel.name, one.to_baseline(WarmKernel.name)))
        if base[0] == workload.name:
            row.append(f"`{base[1]}` {cell(one, base[1], None)}")
        else:
            row.append(f"`{base[1]}` of {base[0]}")
        row += [f"{ratio} ×" if ratio else "–", workload.target, one.verdict()]
        for rival in RIVALS:
            text = cell(one, rival, one.times_slower(rival))
            row.append("not available" if text == "–" and rival in absent else text)
        lines.append(row)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(
    all_results: Sequence[Results], *, facts: Mapping[str, str], absent: Mapping[str, str]
) -> str:
    """Return the table with what one needs to know to read it."""
    told = [f"* {name}: {fact}" for name, fact in facts.items()]
    told += [f"* {name}: {why}" for name, why in absent.items()]
    families: dict[int, list[Results]] = {}
    for one in all_results:
        families.setdefault(id(one.rounds), []).append(one)
    for family in families.values():
        names = ", ".join(one.workload.name for one in family)
        told.append(f"* {names}: {len(family[0].good)} of {len(family[0].rounds)} rounds are sound")
        told += [
            f"* {name}, after a byte of its store was flipped: {problem}"
            for round_ in family[0].rounds
            for name, problem in round_.missed.items()
        ]
    return "\n".join([table(all_results, absent), "", *told, "", NOTES])


def complete(all_results: Sequence[Results], *, wanted: int) -> bool:
    """Say whether every contender did its work in every round, in enough sound rounds."""
    failed = any(round_.problems for one in all_results for round_ in one.rounds)
    missed = any(OURS in round_.missed for one in all_results for round_ in one.rounds)
    return not failed and not missed and all(len(one.good) >= wanted for one in all_results)


def raw(all_results: Sequence[Results], facts: Mapping[str, str]) -> dict[str, Any]:
    """Return every number for programs."""
    return {
        "facts": dict(facts),
        "workloads": [
            {
                "name": one.workload.name,
                "title": one.workload.title,
                "target": one.workload.target,
                "verdict": one.verdict(),
                "rounds": [
                    {
                        "number": round_.number + 1,
                        "poisoned": round_ not in one.good,
                        "seconds": round_.seconds.get(one.workload.name, {}),
                        "baseline": round_.seconds.get(one.workload.baseline[0], {}).get(
                            one.workload.baseline[1]
                        ),
                        "problems": round_.problems.get(one.workload.name, {}),
                        "missed": round_.missed if one.workload.name == "W5" else {},
                    }
                    for round_ in one.rounds
                ],
            }
            for one in all_results
        ],
    }


def machine_facts(bench: Bench, *, rivals: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return what the numbers depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    kind = _first_line(bench, ["df", "--output=fstype", str(bench.work)], line=1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    programs = {
        OURS: [*bench.nbversion.split(), "--version"],
        Copy.name: ["cp", "--version"],
        "openssl": ["openssl", "version"],
        **rivals,
    }
    return {
        "machine": f"{model}, {CORES} cores, {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {kind}",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "Python": sys.version.split()[0],
        **{name: _first_line(bench, words) for name, words in programs.items()},
    }


def _first_line(bench: Bench, words: Sequence[str], line: int = 0) -> str:
    try:
        done = subprocess.run(
            list(words),
            env=bench.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.splitlines()[line].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"
