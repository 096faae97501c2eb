"""Measure the installed nbversion against cp, openssl, git, git-lfs and dvc.

``python tests/benchmarks`` does everything: it gets the rivals, plays five rounds of W1 to W6 and
prints a Markdown table of medians and ratios with the targets beside them. Progress goes to
standard error. Exit status: 0 measured; 1 a contender failed, or too few rounds were sound;
2 wrong use, or not enough room on the disk. A missed target is a line in the table, not a failure.

A quick look: ``python tests/benchmarks --files 2000 --large-bytes 67108864 --rounds 1``. A table to
be shown needs a quiet machine, about 62 GB of disk and half an hour; and because the work folder is
deleted at the end, which slows the file system down for minutes, no second run soon after.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from processes import Bench, say
from report import RIVALS, Results, complete, machine_facts, raw, report
from rivals import get_rivals
from rounds import Family, Round, gather
from workloads import (
    TREE,
    all_workloads,
    bytes_of_large,
    bytes_of_trees,
    large_family,
    large_verify_family,
    rehearse,
    tree_family,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from rivals import Rival


def main() -> int:
    """Parse the words, play, and print."""
    words = parser().parse_args()
    names = wanted_names(words.only)
    words.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="nbversion-benchmark-", dir=words.work)).resolve()
    try:
        return measure(words, names, work)
    finally:
        if words.keep:
            say(f"kept {work}")
        else:
            say("deleting the work folder")
            shutil.rmtree(work)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = cache / "nbversion-benchmarks"
    beside = Path(sys.executable).with_name("nbversion")
    made = argparse.ArgumentParser(
        prog="python tests/benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--only", default="", metavar="W1,W3", help="default: all; W3 to W6 need W2 and bring it")
    add("--rounds", type=int, default=5, help="sound rounds of each workload (default: 5)")
    add("--spare", type=int, default=3, help="how many poisoned rounds are repeated (default: 3)")
    add("--files", type=int, default=50_000, help="of 4 KiB each (default: 50000)")
    add(
        "--large-bytes",
        type=int,
        default=1 << 30,
        help="of the file of W1; W5 verifies four of half of it (default: 1 GiB)",
    )
    add("--rivals", default=",".join(RIVALS), metavar="git,dvc", help="default: all")
    add("--no-rivals", action="store_true", help="measure the baselines only")
    add("--nbversion", default=str(beside) if beside.is_file() else "nbversion", metavar="COMMAND")
    add("--work", type=Path, default=home, metavar="FOLDER", help=f"default: {home}")
    add("--rivals-home", type=Path, default=home / "rivals", metavar="FOLDER")
    add("--timeout", type=float, default=1800, help="seconds for one command (default: 1800)")
    add("--json", type=Path, metavar="FILE", help="write every number there")
    add("--trial", action="store_true", help="neither rehearse nor flush; the times mean little")
    add("--keep", action="store_true", help="do not delete the work folder at the end")
    return made


def wanted_names(only: str) -> set[str]:
    """Return the workloads that were asked for and what they stand on."""
    known = {one.name for one in all_workloads(files=1, large_bytes=1)}
    chosen = {one.strip().upper() for one in only.split(",") if one.strip()} or known
    if unknown := chosen - known:
        parser().error(f"no such workload: {', '.join(sorted(unknown))}")
    if "W5" in chosen:
        chosen.add("W5L")
    return chosen | {"W2"} if chosen & TREE else chosen


def measure(words: argparse.Namespace, names: set[str], work: Path) -> int:
    """Get the rivals, play the rounds, print the table and return the exit status."""
    bench = Bench(
        work=work, nbversion=words.nbversion, timeout=words.timeout, flush=not words.trial
    )
    bench.prepare()
    asked = [] if words.no_rivals else [one for one in words.rivals.split(",") if one]
    if unknown := set(asked) - set(RIVALS):
        parser().error(f"no such rival: {', '.join(sorted(unknown))}")
    got = get_rivals(asked, words.rivals_home.resolve(), bench)
    rivals = [one for one in got.values() if not isinstance(one, str)]
    absent = {name: one for name, one in got.items() if isinstance(one, str)}
    facts = machine_facts(bench, rivals={one.name: one.version for one in rivals})
    played = play_all(bench, words, names, rivals)
    workloads = all_workloads(files=words.files, large_bytes=words.large_bytes)
    results = [Results(one, *played[one.name]) for one in workloads if one.name in names]
    if words.json:
        words.json.write_text(json.dumps(raw(results, facts), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(report(results, facts=facts, absent=absent))
    sys.stdout.flush()
    return 0 if complete(results, wanted=words.rounds) else 1


def play_all(
    bench: Bench, words: argparse.Namespace, names: set[str], rivals: list[type[Rival]]
) -> dict[str, tuple[list[Round], tuple[tuple[str, str], ...]]]:
    """Play every family; return the rounds and the controls of each workload."""
    size = words.large_bytes
    tree = bytes_of_trees(rivals=len(rivals), files=words.files) if names & TREE else 0
    large = bytes_of_large(rivals=len(rivals), large_bytes=size) if "W1" in names else 0
    later = large * words.rounds + size * ("W1" in names)
    spare_rounds(words, each=tree, others=later + 4 * size * ("W5L" in names))
    if not words.trial:
        rehearse(bench, rivals)
    played = {}

    def play(family: Family, workloads: Collection[str], *, each: int, others: int) -> None:
        spare = spare_rounds(words, each=each, others=others)
        rounds = gather(family, wanted=words.rounds, spare=spare)
        played.update(dict.fromkeys(workloads, (rounds, family.controls)))

    if "W5L" in names:
        standing = large_verify_family(bench, size_bytes=size)
        try:
            play(standing, ["W5L"], each=0, others=later + tree * words.rounds)
        finally:
            standing.close()
    if names & TREE:
        family = tree_family(bench, files=words.files, names=names, rivals=rivals)
        play(family, TREE, each=tree, others=later)
    if "W1" in names:
        play(large_family(bench, size_bytes=size, rivals=rivals), ["W1"], each=large, others=0)
    return played


def spare_rounds(words: argparse.Namespace, *, each: int, others: int) -> int:
    """Return how many poisoned rounds may be repeated on this disk; leave when it is too small.

    Others use the disk too, and would not like it full.

    Parameters
    ----------
    words : argparse.Namespace
    each : int
        The bytes that a round of the present family takes.
    others : int
        The bytes that must be left for what comes after it.
    """
    free = shutil.disk_usage(words.work).free
    needed = each * words.rounds + others
    if needed > free:
        parser().error(
            f"the rounds need {needed / 1e9:.1f} GB below {words.work} and {free / 1e9:.1f} are "
            "free: give --work, or less of --large-bytes, --files or --rounds"
        )
    return min(words.spare, (free - needed) // each) if each else words.spare


if __name__ == "__main__":
    sys.exit(main())
