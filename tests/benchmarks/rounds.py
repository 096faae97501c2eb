"""Playing rounds, and telling the sound ones from the poisoned.

After many files were deleted, creating files on ext4 was 10 to 20 times slower for minutes. In such
a round the baseline is slow and every ratio looks good, so it is thrown away and played again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from processes import Failed, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contenders import Contender

POISONED = 1.5

# The method of a contender that does each workload.
STEPS = {
    "W1": "first",
    "W2": "first",
    "W3": "again",
    "W4": "changed",
    "W5": "verify",
    "W5L": "verify",
    "W6": "restore",
}


@dataclass(slots=True)
class Round:
    """What one round gave: seconds, or the problem, by workload and contender.

    `missed` says whose verification did not find a damaged byte afterwards.
    """

    number: int
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: dict[str, dict[str, str]] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)


class Family(Protocol):
    """Workloads that build on each other and are played together.

    `controls` are the (workload, contender) pairs whose time tells a poisoned round.
    """

    name: str
    controls: tuple[tuple[str, str], ...]

    def play(self, number: int) -> Round:
        """Let every contender do every workload once."""


def sound(rounds: Sequence[Round], controls: Sequence[tuple[str, str]]) -> list[Round]:
    """Return the rounds in which no control took over 1.5 times its minimum of all rounds."""

    def times(pair: tuple[str, str], of: Sequence[Round]) -> list[float]:
        found = (one.seconds.get(pair[0], {}).get(pair[1]) for one in of)
        return [one for one in found if one is not None]

    least = {pair: min(times(pair, rounds), default=0.0) for pair in controls}
    return [
        one
        for one in rounds
        if all(
            seconds <= POISONED * least[pair] for pair in controls for seconds in times(pair, [one])
        )
    ]


def gather(family: Family, *, wanted: int, spare: int) -> list[Round]:
    """Play until `wanted` rounds are sound, at most `spare` more than that."""
    rounds: list[Round] = []
    while True:
        good = sound(rounds, family.controls)
        if len(good) >= wanted or len(rounds) >= wanted + spare:
            return rounds
        if len(good) < len(rounds):
            say(f"{family.name}: {len(rounds) - len(good)} poisoned so far, playing again")
        say(f"{family.name}: round {len(rounds) + 1}")
        rounds.append(family.play(len(rounds)))


def rotated(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Return the contenders, each round beginning with another one."""
    begin = number % len(contenders)
    return [*contenders[begin:], *contenders[:begin]]


def prepared(contenders: Sequence[Contender]) -> dict[str, str]:
    """Prepare every contender; return what is wrong with those that could not be."""
    problems = {}
    for one in contenders:
        try:
            one.prepare()
        except (Failed, OSError) as exc:
            problems[one.name] = f"could not be prepared: {exc}"
    return problems


def play_steps(
    contenders: Sequence[Contender],
    workloads: Sequence[str],
    *,
    number: int,
    unready: Mapping[str, str],
) -> Round:
    """Let the contenders do the workloads, interleaved; who fails is out for the round."""
    found = Round(number)
    out = dict(unready)
    for workload in workloads:
        for one in rotated(contenders, number):
            step = getattr(one, STEPS[workload], None)
            if step is None:
                continue
            if one.name not in out:
                try:
                    seconds = step()
                except Failed as exc:
                    out[one.name] = str(exc)
                except (OSError, LookupError, ValueError) as exc:
                    # What a check looked for is not there, or is not what it should be.
                    out[one.name] = f"{type(exc).__name__}: {exc}"
            if one.name in out:
                found.problems.setdefault(workload, {})[one.name] = out[one.name]
                say(f"  {workload} {one.name}: FAILED: {out[one.name]}")
            else:
                found.seconds.setdefault(workload, {})[one.name] = seconds
                say(f"  {workload} {one.name}: {seconds:.3f} s")
    return found


def try_verifications(contenders: Sequence[Contender], found: Round) -> None:
    """Flip a byte in every store after the round, and note which verification misses it."""
    for one in contenders:
        if one.name not in found.seconds.get("W5", {}):
            continue
        try:
            problem = one.damage()
        except (Failed, OSError, LookupError, ValueError) as exc:
            problem = str(exc)
        if problem is not None:
            found.missed[one.name] = problem
            say(f"  W5 {one.name}: {problem}")
