"""Let each call of one command fail, one at a time: python failing_calls.py FOLDER SCENE [every].

The errors take turns from call to call; with `every`, each kind of call meets each of them.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import forked
from crashing import seen_in_child
from scenes import SCENES, Scene, Seen, Stage, begun, leftovers, quicken, see
from taps import Taps

from nbversion.errors import NbversionError
from nbversion.project import Project

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "EMFILE", "ESTALE")
# Giving a descriptor back cannot fail in a way that anybody could mend.
SPARED = ("close",)


class Faults:
    """Fails the k-th call, or every one from the k-th on; 0 lets all pass.

    Parameters
    ----------
    at : int
    code : int
    lasting : bool
    """

    def __init__(self, at: int = 0, code: int = 0, *, lasting: bool = False) -> None:
        self.at, self.code, self.lasting = at, code, lasting
        self.calls: list[str] = []
        # Descriptors whose flush failed and that were not given back since.
        self.unflushed: set[int] = set()
        self.retried = False

    def after(self, name: str, _arguments: tuple[Any, ...], result: Any) -> None:
        """Forget a descriptor that was given back where this cannot see it."""
        if name == "open":
            self.unflushed.discard(result)

    @property
    def spoils_tidying(self) -> bool:
        """Whether what fails is the removal of what was left itself."""
        failed = self.calls[self.at - 1] if self.at <= len(self.calls) else ""
        return self.lasting or failed in ("unlink", "rmdir", "remove")

    def before(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Count the call, and fail it when it is its turn."""
        if name == "close":
            self.unflushed.discard(arguments[0])
        if name in SPARED:
            return
        flushes = name in ("fsync", "fdatasync")
        self.retried |= flushes and arguments[0] in self.unflushed
        self.calls.append(name)
        number = len(self.calls)
        if self.at and (number == self.at or (self.lasting and number > self.at)):
            if flushes:
                self.unflushed.add(arguments[0])
            raise OSError(self.code, os.strerror(self.code))


def attempt(scene: Scene, root: Path, faults: Faults) -> BaseException | None:
    with Taps(before=faults.before, after=faults.after):
        try:
            scene.act(Project(root))
        except Exception as exc:  # noqa: BLE001  # looked at by the caller
            return exc
    return None


def suffer(
    scene: Scene, root: Path, before: Seen, after: Seen, faults: Faults
) -> tuple[list[str], str]:
    """Give the command with the fault, look, give it again without, look again."""
    exc = attempt(scene, root, faults)
    state = see(root)
    # This process lives on, so a run whose last write failed is still said to run.
    wrong = scene.illegal(state, before, after, runs=("finished", "failed", "running"))
    if exc is not None and scene.adds_runs and not begun and not faults.lasting:
        wrong += [f"a run that could not begin: {state.runs}"] if state.runs != before.runs else []
    wrong += ["a flush that had failed was tried again"] if faults.retried else []
    if exc is None:
        wrong += [f"it said done, and {one}" for one in changed(state, after)]
    elif not isinstance(exc, NbversionError):
        wrong.append(f"{type(exc).__name__} instead of an error of ours: {exc}")
    elif "\n" in exc.message or len(exc.message) < 20:
        wrong.append(f"the message is not one plain line: {exc.message!r}")
    elif not (scene.adds_runs or faults.lasting) and "is not known" not in exc.message:
        wrong += [f"it said {exc.message!r}, and {one}" for one in changed(state, before)]
    if exc is not None and not faults.spoils_tidying:
        wrong += [f"left: {one}" for one in leftovers(root)]
    scene.act(Project(root))
    again = scene.wrong_at_last(see(root), state, before, after)
    said = type(exc).__name__ if exc is not None else "done"
    return wrong + [f"after the redo {one}" for one in again], said


def changed(state: Seen, wanted: Seen) -> list[str]:
    """Say what is not as it was to be, runs aside: each has a name of its own."""
    return [
        f"{what} is {getattr(state, what)}"
        for what in ("data", "registry", "own", "restored")
        if getattr(state, what) != getattr(wanted, what)
    ]


def turns(calls: list[str], *, every: bool) -> list[tuple[int, str]]:
    """Return which call fails with which error: each call once, or each kind of call with each."""
    chosen = [(at, ERRORS[at % len(ERRORS)]) for at in range(1, len(calls) + 1)]
    if not every:
        return chosen
    met = Counter((calls[at - 1], error) for at, error in chosen)
    for name in dict.fromkeys(calls):
        places = [at for at, one in enumerate(calls, 1) if one == name]
        chosen += [
            (places[number % len(places)], error)
            for number, error in enumerate(ERRORS)
            if not met[name, error]
        ]
    return chosen


def run(folder: Path, name: str, *, every: bool) -> dict[str, Any]:
    """Fail a scene's calls and return what was wrong afterwards."""
    scene = SCENES[name]
    stage = Stage(scene, folder)
    forked.call(stage.prepare)
    quicken(stage.master)
    before = seen_in_child(stage.master)
    root = stage.copy()
    calls = forked.call(lambda: (faults := Faults(), attempt(scene, root, faults))[0].calls)
    after = seen_in_child(root)
    wrong, said = [], Counter[str]()
    chosen = [(at, error, False) for at, error in turns(calls, every=every)]
    # A disk that fails for good can be asked for less: no tidying up, but nothing broken either.
    chosen += [(at, "EIO", True) for at in range(1, len(calls) + 1, 7)]
    for at, error, lasting in chosen:
        root = stage.copy()
        faults = Faults(at, getattr(errno, error), lasting=lasting)
        where = f"{error} {'from' if lasting else 'at'} call {at} of {len(calls)} ({calls[at - 1]})"
        try:
            found, word = forked.call(
                lambda root=root, faults=faults: suffer(scene, root, before, after, faults)
            )
        except RuntimeError as exc:
            found, word = [f"the redo failed: {exc}"], "?"
        wrong += [f"{where}: {one}" for one in found]
        said[word] += 1
    return {
        "faults": len(chosen),
        "pairs": len({(calls[at - 1], error) for at, error, _ in chosen}),
        "kinds": sorted(set(calls)),
        "said": said,
        "wrong": wrong,
    }


if __name__ == "__main__":
    os.fsync = lambda _: None
    sys.stdout.write(json.dumps(run(Path(sys.argv[1]), sys.argv[2], every="every" in sys.argv)))
