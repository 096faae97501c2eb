"""Kill a busy process at a random moment, again and again: python killing.py FOLDER SEED TIMES."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
from scenes import add_trainable, leftovers, quicken, see, track

from nbversion.errors import NbversionError
from nbversion.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

# A new project now and then, or looking at what there is would take ever longer.
KILLS_EACH = 20


def work(root: Path, chance: random.Random, tell: Callable[[object], None]) -> None:
    """Do one thing after the other and tell each that was acknowledged, for ever."""
    project = Project(root)
    while True:
        started = time.perf_counter()
        verb = chance.choice((snapshot, snapshot, promote, rollback, comment, register))
        try:
            done = verb(project, chance)
        except NbversionError as exc:
            # No target for a rollback, say; what it may not be, the check after the kill finds.
            done = {"refused": f"{type(exc).__name__}: {exc.message}"}
        tell({**done, "seconds": time.perf_counter() - started})


def snapshot(project: Project, chance: random.Random) -> dict[str, Any]:
    (project.root / "data/raw/d/a.csv").write_bytes(chance.randbytes(chance.choice((9, 90_000))))
    made = project.snapshot(project.root / "data/raw/d")
    return {"data": [made.reference, made.manifest.digest]}


def promote(project: Project, chance: random.Random) -> dict[str, Any]:
    version = chance.choice(("v0.1.0", "v0.2.0", "v0.3.0"))
    stage = chance.choice(("staging", "production"))
    return {"revision": project.promote("clf", version, stage).revision}


def rollback(project: Project, _chance: random.Random) -> dict[str, Any]:
    return {"revision": project.rollback("clf").revision}


def comment(project: Project, _chance: random.Random) -> dict[str, Any]:
    return {"revision": project.comment("clf", "v0.1.0", "again").revision}


def register(project: Project, _chance: random.Random) -> dict[str, Any]:
    track(project, model="clf")
    run = project.catalog.runs.all()[-1]
    return {"revision": project.catalog.registrar.load("clf").revision, "run": run.run_id}


def look(root: Path, told: list[dict[str, Any]]) -> list[str]:
    """Say what of the acknowledged is lost, what does not hold, and what cannot go on."""
    state = see(root)
    wrong = [f"verify: {one}" for one in state.findings]
    for one in told:
        if "data" in one and state.data.get(one["data"][0]) != one["data"][1]:
            wrong.append(f"lost: {one}")
        if one.get("revision", 0) > state.registry["clf"]["revision"]:
            wrong.append(f"lost: {one}, now at {state.registry['clf']['revision']}")
        if "run" in one and state.runs.get(one["run"]) != "finished":
            wrong.append(f"lost: {one}, now {state.runs.get(one['run'])}")
        if "refused" in one and not one["refused"].startswith("RefusedError: "):
            wrong.append(one["refused"])
    serving = [one for one in state.registry["clf"]["stages"].values() if one == "production"]
    wrong += [f"{len(serving)} versions serve"] if len(serving) > 1 else []
    project = Project(root)
    project.comment("clf", "v0.2.0", "after the kill")
    snapshot(project, random.Random(root.name))
    if random.Random(str(told)).random() < 0.2:
        # The slowest of the commands.
        track(project)
    wrong += [f"after the next commands: {one}" for one in see(root).findings]
    return wrong


def run(folder: Path, seed: str, times: int) -> dict[str, Any]:
    """Kill `times` times and return what was wrong."""
    wrong: list[str] = []
    acknowledged = caught = 0
    # Seconds that a command takes.
    usual = 0.05
    for number in range(times):
        chance = random.Random(f"{seed} {number}")
        if number % KILLS_EACH == 0:
            root = folder / str(number)
            root.mkdir()
            forked.call(lambda root=root: add_trainable(Project(root)))
        if number == 0:
            quicken(root)
        before = set(leftovers(root))
        child, heard = forked.start(lambda tell, root=root, chance=chance: work(root, chance, tell))
        already = b""
        commands = chance.randrange(3)
        while already.count(b"\n") < commands and (more := os.read(heard, 65536)):
            already += more
        # At any moment of the next one, however slow this machine is now.
        time.sleep(chance.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        status, told = forked.finish(child, heard, already)
        acknowledged += len(told)
        for one in told:
            usual += (one.get("seconds", usual) - usual) / 10
        # At work on something: else it died between two commands.
        caught += not before.issuperset(leftovers(root))
        try:
            found = forked.call(lambda root=root, told=told: look(root, told))
        except RuntimeError as exc:
            found = [f"cannot go on: {exc}"]
        if status != -signal.SIGKILL:
            found.append(f"it died by itself: {status} {told[-1:]}")
        wrong += [f"seed {seed}, kill {number}: {one}" for one in found]
    return {"kills": times, "acknowledged": acknowledged, "caught": caught, "wrong": wrong}


if __name__ == "__main__":
    os.fsync = lambda _: None
    sys.stdout.write(json.dumps(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
