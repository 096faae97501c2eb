"""Kill one command at each of its steps: python crashing.py FOLDER SCENE."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
from scenes import SCENES, Seen, Stage, leftovers, quicken, see

from nbversion.disk import Disk
from nbversion.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable


class Stepping(Disk):
    """Tells each step, or dies hard just before the n-th time that a primitive is taken.

    With threads at work the order of the steps differs from one run to the next.
    """

    def __init__(
        self, tell: Callable[[object], None], die_at: tuple[str, int] | None = None
    ) -> None:
        super().__init__()
        self.tell, self.die_at = tell, die_at
        self.taken = Counter[str]()
        self.counting = threading.Lock()

    def step(self, primitive: str, path: Path) -> None:
        with self.counting:
            self.taken[primitive] += 1
            here = (primitive, self.taken[primitive])
            if self.die_at in (None, here):
                self.tell(primitive)
            if self.die_at == here:
                os._exit(forked.KILLED)


def seen_in_child(root: Path) -> Seen:
    found = forked.call(lambda: asdict(see(root)))
    return Seen(**{**found, "findings": tuple(found["findings"])})


def run(folder: Path, name: str) -> dict[str, Any]:
    """Kill a scene's command at every step and return what was wrong afterwards."""
    scene = SCENES[name]
    stage = Stage(scene, folder)
    forked.call(stage.prepare)
    quicken(stage.master)
    before = seen_in_child(stage.master)

    root = stage.copy()
    status, steps = forked.finish(
        *forked.start(lambda tell: (scene.act(Project(root, disk=Stepping(tell))), None)[1])
    )
    *used, result = steps
    if status:
        raise RuntimeError(result["error"])
    after = seen_in_child(root)
    outcome: dict[str, Any] = {
        "used": sorted(set(used)),
        "needed": sorted(scene.primitives),
        "hit": [],
        "points": 0,
        "wrong": scene.illegal(after, before, after),
        "left": leftovers(root),  # nobody was killed yet
    }
    # The last one lets every step pass: the process dies after its last primitive.
    numbered = [(one, used[: at + 1].count(one)) for at, one in enumerate(used)]
    for at in [*numbered, ("end", 1)]:
        root = stage.copy()
        outcome["points"] += 1
        hit, wrong, left = crash(stage, root, at, before, after)
        outcome["hit"] += [hit] if hit else []
        where = f"killed at {at[0]} {at[1]}: "
        outcome["wrong"] += [where + one for one in wrong]
        outcome["left"] += [where + one for one in left]
    outcome["hit"] = sorted(set(outcome["hit"]))
    return outcome


def crash(
    stage: Stage, root: Path, at: tuple[str, int], before: Seen, after: Seen
) -> tuple[str | None, list[str], list[str]]:
    """Kill at one step, look, give the command again, look again."""
    scene = stage.scene

    def die(tell: Callable[[object], None]) -> None:
        scene.act(Project(root, disk=Stepping(tell, at)))
        os._exit(forked.KILLED)

    def look() -> tuple[list[str], list[str]]:
        crashed = see(root)
        wrong = scene.illegal(crashed, before, after)
        scene.act(Project(root))
        again = scene.wrong_at_last(see(root), crashed, before, after)
        # Nothing was left to do for some; whoever writes next tidies up.
        (root / "next.csv").touch()
        Project(root).snapshot(root / "next.csv")
        if scene.adds_runs:
            # A release that is registered is not registered again, and then nothing is written there.
            with Project(root).track("next"):
                pass
        return wrong + [f"after the redo {one}" for one in again], leftovers(root)

    status, told = forked.finish(*forked.start(die))
    hit = told[0] if told and isinstance(told[0], str) else None
    if status != forked.KILLED:
        return hit, [f"ended with {status}: {told}"], []
    try:
        wrong, left = forked.call(look)
    except RuntimeError as exc:
        return hit, [f"the redo failed: {exc}"], []
    return hit, wrong, left


if __name__ == "__main__":
    # A killed process loses nothing that it gave to the system; see losing_power.py for that.
    os.fsync = lambda _: None
    sys.stdout.write(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
