"""Meet the limits of a process and of a disk: python limits.py FOLDER WHICH."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
from crashing import seen_in_child
from scenes import SCENES, Scene, Stage, add_trainable, leftovers, quicken, see, track

from nbversion.errors import NbversionError
from nbversion.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable


def limited(stage: Stage, limit: Callable[[], None]) -> tuple[str, list[str]]:
    """Give the command in a process with a limit, then without; say what was wrong."""
    scene: Scene = stage.scene
    before = seen_in_child(stage.master)
    whole = stage.copy()
    forked.call(lambda: (scene.act(Project(whole)), None)[1])
    after = seen_in_child(whole)
    root = stage.copy()

    def try_it() -> str:
        limit()
        try:
            scene.act(Project(root))
        except Exception as exc:  # noqa: BLE001  # the test looks at what it is
            return f"{type(exc).__name__}: {exc}"
        return "done"

    def look() -> list[str]:
        state = see(root)
        wrong = scene.illegal(state, before, after)
        wrong += [f"left: {one}" for one in leftovers(root)]
        scene.act(Project(root))
        return wrong + scene.wrong_at_last(see(root), state, before, after)

    return forked.call(try_it), forked.call(look)


def file_size(folder: Path) -> dict[str, Any]:
    """Let no file grow over 4 kB, as a quota on files does."""
    stage = made(folder)
    said, wrong = limited(stage, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    return {"said": [said], "wrong": wrong}


def open_files(folder: Path) -> dict[str, Any]:
    """Let ever more files be open at once, from none on, until that is enough."""
    stage = made(folder)
    told, wrong = [], []
    for more in range(40):

        def limit(more: int = more) -> None:
            # The lowest numbers are taken first, so this is how many more can be had.
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + more, lowest + more))

        said, found = limited(stage, limit)
        told.append(said)
        wrong += [f"{more} more files: {one}" for one in found]
        if said == "done":
            break
    return {"said": told, "wrong": wrong}


def made(folder: Path, scene: str = "first snapshot") -> Stage:
    stage = Stage(SCENES[scene], folder)
    forked.call(stage.prepare)
    quicken(stage.master)
    return stage


def read_only(folder: Path, how: str) -> dict[str, Any]:
    """Look at a project on a disk that can only be read, and try to write to it."""
    disk = folder / "disk"
    disk.mkdir()
    if how == "remounted":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], check=True)
    root = disk / "project"
    root.mkdir()
    quicken(root)

    def prepare() -> None:
        add_trainable(Project(root))
        track(Project(root), model="clf")

    forked.call(prepare)
    before = seen_in_child(root)
    if how == "bound":
        subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
    options = "remount,ro,bind" if how == "bound" else "remount,ro"
    subprocess.run(["mount", "-o", options, str(disk)], check=True)
    after = seen_in_child(root)
    project = Project(root)
    run = project.runs().to_json()
    said = []
    for write in (
        lambda: project.snapshot(root / "data/raw/d", version="v0.9"),
        lambda: project.promote("clf", "v0.1.0", "production"),
        lambda: track(project),
    ):
        try:
            write()
        except NbversionError as exc:
            said.append(f"{type(exc).__name__}: {exc.message}")
    looked = {
        "data": (project.data("d_v0.1") / "a.csv").read_text(),
        "lineage": len(str(project.lineage())),
        "trace": len(str(project.trace("clf@production"))),
        "registry": len(str(project.registry())),
        "restored": project.restore("d_v0.1", folder / "restored").files,
        "status": project.status().to_json()["snapshots"],
    }
    wrong = [] if before == after else [f"{before} became {after}"]
    wrong += [f"verify: {one}" for one in after.findings]
    return {"said": said, "wrong": wrong, "looked": looked, "runs": len(run)}


if __name__ == "__main__":
    FOLDER, WHICH = Path(sys.argv[1]), sys.argv[2]
    CASES = {
        "file size": lambda: file_size(FOLDER),
        "open files": lambda: open_files(FOLDER),
        "remounted": lambda: read_only(FOLDER, "remounted"),
        "bound": lambda: read_only(FOLDER, "bound"),
    }
    sys.stdout.write(json.dumps(CASES[WHICH]()))
