"""Cut the power after every change of one command: losing_power.py FOLDER SCENE SEEDS [WITHOUT]."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import forked
import power
from crashing import seen_in_child
from scenes import SCENES, Scene, Seen, Stage, contents, quicken, see
from taps import Taps

from nbversion.project import Project


def record(scene: Scene, root: Path, without: str, kept: Path) -> bool:
    """Run the command, keep a log of what it did; say whether that explains all that is there."""
    log = power.Log(root, without)
    log.begin()

    def after(name: str, arguments: tuple[Any, ...], result: Any) -> None:
        log.look()
        if name in ("fsync", "fdatasync"):
            log.flushed(arguments[0])
        elif name == "sync" or (name == "sync_filesystem" and result):
            log.flushed(None)

    with Taps(after=after):
        scene.act(Project(root))
    log.look()
    replayed = power.Disk()
    for event in log.events:
        replayed.follow(event)
    kept.write_bytes(pickle.dumps(log))
    return replayed.after_power_loss("kept", random.Random(0)) == log.tree()


def run(folder: Path, name: str, seeds: int, without: str) -> dict[str, Any]:
    """Replay every prefix of a scene's command under several losses; say what was wrong after."""
    scene = SCENES[name]
    stage = Stage(scene, folder)
    forked.call(stage.prepare)
    quicken(stage.master)
    before = seen_in_child(stage.master)
    root = stage.copy()
    kept = folder / "log"
    # In a process that is gone afterwards, as its runs must say.
    whole = forked.call(lambda: record(scene, root, without, kept))
    log = pickle.loads(kept.read_bytes())
    after = seen_in_child(root)
    wrong = scene.illegal(after, before, after)
    if not whole or contents(stage.master) == contents(root):
        wrong.append("the log does not explain what is there")

    disk = power.Disk()
    states, seen, count = 0, set(), len(log.events) - log.known
    for at, event in enumerate(log.events):
        disk.follow(event)
        if at < log.known:
            continue
        for seed in range(len(power.MODES) - 1 + seeds):
            mode = power.MODES[min(seed, len(power.MODES) - 1)]
            tree = disk.after_power_loss(mode, random.Random(f"{name} {at} {seed}"))
            states += 1
            acknowledged = at == len(log.events) - 1
            known = f"{power.fingerprint(tree)} {acknowledged}"
            if known in seen:
                continue
            seen.add(known)
            found = folder / f"{at}-{seed}" / "project"
            power.lay_out(tree, log.modes, found)
            said = forked.call(partial(recover, scene, found, before, after, acknowledged))
            wrong += [f"event {at - log.known} of {count}, {mode} {seed}: {one}" for one in said]
            shutil.rmtree(found.parent)
            if without and wrong:
                # One is enough to know that this flush would be missed.
                return {"states": states, "distinct": len(seen), "wrong": wrong}
    return {"states": states, "distinct": len(seen), "events": count, "wrong": wrong}


def recover(scene: Scene, root: Path, before: Seen, after: Seen, acknowledged: bool) -> list[str]:
    """Look at what the power left, give the command again, look again."""
    try:
        crashed = see(root)
        wrong = scene.illegal(crashed, before, after)
        if acknowledged:
            lost = {key: asdict(crashed)[key] for key in ("data", "models", "registry", "restored")}
            wrong += [
                f"{key} was acknowledged and is lost: {one}"
                for key, one in lost.items()
                if one != asdict(after)[key]
            ]
            if "finished" in after.runs.values() and after.runs != crashed.runs:
                wrong.append(f"a run was acknowledged and is {crashed.runs}")
        scene.act(Project(root))
        again = scene.wrong_at_last(see(root), crashed, before, after)
    except Exception as exc:  # noqa: BLE001  # whatever it is, it must not be
        return [f"{type(exc).__name__}: {exc}"]
    return wrong + [f"after the redo {one}" for one in again]


if __name__ == "__main__":
    # What is flushed is known from the log; the disk below need not do it.
    os.fsync = lambda _: None
    _, FOLDER, SCENE, SEEDS, *WITHOUT = sys.argv
    sys.stdout.write(json.dumps(run(Path(FOLDER), SCENE, int(SEEDS), "".join(WITHOUT))))
