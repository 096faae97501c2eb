"""Run commands on a small disk that is nearly full: python full_disks.py FOLDER SCENE KIND ROUNDS.

Needs a mount namespace of its own, which takes the disk away when this program ends.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
from crashing import seen_in_child
from scenes import SCENES, Scene, Seen, Stage, leftovers, quicken, see

from nbversion.errors import NbversionError
from nbversion.project import Project

PAGE = 4096


def mount(folder: Path) -> None:
    """Make a disk of 16 MB and 4,000 inodes."""
    folder.mkdir()
    options = "size=16m,nr_inodes=4000"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


def free(folder: Path, kind: str) -> int:
    """Return how many pages, or inodes, are free."""
    facts = os.statvfs(folder)
    return facts.f_ffree if kind == "inodes" else facts.f_bfree * facts.f_bsize // PAGE


def fill(folder: Path, kind: str, left: int) -> None:
    """Take all but `left` pages or inodes."""
    ballast = folder / "ballast"
    ballast.mkdir()
    if kind == "inodes":
        for number in range(free(folder, kind) - left):
            (ballast / str(number)).touch()
    else:
        with open(ballast / "bytes", "wb") as handle:
            os.posix_fallocate(handle.fileno(), 0, (free(folder, kind) - left) * PAGE)
    if free(folder, kind) != left:
        raise RuntimeError(f"{free(folder, kind)} instead of {left} are free")


def suffer(scene: Scene, root: Path, before: Seen, after: Seen) -> tuple[str, list[str]]:
    """Give the command on the full disk, look."""
    said, wrong = "done", []
    try:
        scene.act(Project(root))
    except NbversionError as exc:
        said = type(exc).__name__
        if "\n" in exc.message or "space" not in exc.message:
            wrong.append(f"the message does not say what to do: {exc.message!r}")
        wrong += [f"left: {one}" for one in leftovers(root)]
    state = see(root)
    return said, wrong + scene.illegal(state, before, after, runs=("finished", "failed", "running"))


def again(scene: Scene, root: Path, before: Seen, after: Seen) -> list[str]:
    """Give the command once more, now that there is space, and look."""
    crashed = see(root)
    scene.act(Project(root))
    return scene.wrong_at_last(see(root), crashed, before, after)


def run(folder: Path, name: str, kind: str, rounds: int) -> dict[str, Any]:
    """Fill the disk to a random point again and again; say what was wrong."""
    scene = SCENES[name]
    disk = folder / "disk"
    mount(disk)
    stage = Stage(scene, disk)
    forked.call(stage.prepare)
    quicken(stage.master)
    before = seen_in_child(stage.master)
    root = stage.copy()
    at_first = free(disk, kind)
    forked.call(lambda: (scene.act(Project(root)), None)[1])
    needed = at_first - free(disk, kind)
    after = seen_in_child(root)
    wrong: list[str] = []
    refused = 0
    for number in range(rounds):
        chance = random.Random(f"{name} {kind} {number}")
        root = stage.copy()
        left = chance.randrange(needed)
        fill(disk, kind, left)
        said, found = forked.call(lambda root=root: suffer(scene, root, before, after))
        subprocess.run(["rm", "-rf", str(disk / "ballast")], check=True)
        refused += said != "done"
        try:
            found += forked.call(lambda root=root: again(scene, root, before, after))
        except RuntimeError as exc:
            found.append(f"the redo failed: {exc}")
        subprocess.run(["rm", "-rf", str(root.parent)], check=True)
        wrong += [f"round {number}, {left} of {needed} {kind} free: {one}" for one in found]
    return {"rounds": rounds, "refused": refused, "needed": needed, "wrong": wrong}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]))))
