"""What is done to a project and its data, rule by rule, and what the model expects of it."""

from __future__ import annotations

import os
import shutil
import time

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nbversion.store.snapshot_record import Request
from nbversion.store.sources import Source

from .oracle import Frozen, next_data_version, order
from .world import OUTSIDE, RACY_S, RAW, SNAPSHOTS, UNSURE, scan

FILES = tuple(f"{RAW}/{one}" for one in ("x.csv", "a/x.csv", "a/y.csv", "a/s/z.csv", "b/x.csv"))
FOLDERS = (RAW, f"{RAW}/a", f"{RAW}/b", f"{RAW}/a/s", f"{RAW}/a/empty", f"{RAW}/b/e/f")
# Few and small, so that equal content and equal sizes are met often.
CONTENTS = (b"", b"a", b"b", b"1,2\n", b"3,4\n", bytes(range(256)) * 9)
NAMES = (None, "d", "a", "d_v1")
DATA_VERSIONS = (None, None, None, "v0.1", "v0.1.0", "v0.2", "v0.2.1", "v0.10", "v1.0")

handles = st.integers(0, 1)
picks = st.integers(0, 11)
faults = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.sampled_from(["kill", "kill", "fail"]), st.integers(1, 24)),
)


def one_of(things, pick):
    return things[pick % len(things)]


class Machine(RuleBasedStateMachine):
    """What every machine can do.

    No rule has a precondition: at which step a process dies depends on threads and times as well,
    and Hypothesis must be able to draw the same rules again. A rule that has nothing to do returns.
    """

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.holds = True
        world.tally["examples"] += 1

    def count(self, name):
        self.holds = False
        self.world.tally["steps"] += 1
        self.world.tally[f"step {name}"] += 1

    @invariant()
    def disk_is_as_the_model_says(self):
        self.holds = False
        self.world.check()
        self.holds = True

    def teardown(self):
        try:
            # After a failed step the step's own error is the one to see.
            if self.holds:
                self.world.verify(0)
                self.world.heal()
                self.world.check()
                self.world.verify(1)
        finally:
            self.world.close()

    @rule(handle=handles)
    def reopen(self, handle):
        self.count("reopen")
        self.world.reopen(handle)

    @rule(seconds=st.sampled_from([3600, 1, -1, -86_400 * 400]))
    def clock(self, seconds):
        self.count("clock forward" if seconds > 0 else "clock backward")
        self.world.clock.move(seconds)

    @rule(handle=handles)
    def verify(self, handle):
        self.count("verify")
        self.world.verify(handle)

    @rule()
    def heal(self):
        if self.world.damage:
            self.count("heal")
            self.world.heal()

    @rule(
        kind=st.sampled_from(["flip", "replace", "delete", "extra", "edit", "garbage", "orphan"]),
        pick=picks,
        which=picks,
    )
    def corrupt(self, kind, pick, which):
        world = self.world
        sound = [one for one in world.versions() if not world.state(one)]
        if not sound:
            return
        if len(world.damage) > 2:
            world.heal()
        folder = one_of(sound, pick)
        manifest = f"{folder}/manifest.json"
        hashed = sorted(
            one
            for one in world.store
            if one.startswith(f"{folder}/") and one.removeprefix(f"{folder}/") not in OUTSIDE
        )
        path = one_of(hashed, which)
        self.count(f"corrupt: {kind}")
        data = world.store[path][1]
        flipped = bytes([data[0] ^ 1]) + data[1:] if data else b"\0"
        text = world.store[manifest][1]
        if kind == "flip":
            world.spoil(path, flipped, "corrupt")
        elif kind == "replace":
            world.write(path, flipped)
            world.store[path] = (world.store[path][0], flipped)
            world.damage[path] = "corrupt"
        elif kind in ("delete", "orphan"):
            gone = path if kind == "delete" else manifest
            (world.root / gone).unlink()
            del world.store[gone]
            world.damage[gone] = "missing" if kind == "delete" else "orphan"
        elif kind == "extra":
            world.write(f"{folder}/extra.csv", b"a")
            world.store[f"{folder}/extra.csv"] = (0o644, b"a")
            world.damage[f"{folder}/extra.csv"] = "extra"
        elif kind == "edit":
            world.spoil(manifest, text.replace(b'"owner": "t', b'"owner": "T'), "edited")
        else:
            world.spoil(manifest, text + b"x", "garbage")


class DataRules:
    """Snapshots, and the user's own files that they are made of."""

    @rule(
        kind=st.sampled_from(
            ["write", "write", "append", "same size", "mode", "delete", "rename", "folder"]
        ),
        pick=picks,
        content=picks,
    )
    def edit(self, kind, pick, content):
        world = self.world
        self.count(f"edit: {kind}")
        there = sorted(world.mine)
        if kind == "folder":
            world.make_folder(one_of(FOLDERS, pick))
        elif kind == "write" or not there:
            world.put(one_of(FILES, pick), one_of(CONTENTS, content))
        else:
            self._change(kind, one_of(there, pick), content)

    def _change(self, kind, path, content):
        world = self.world
        mode, data = world.mine[path]
        if kind == "append":
            world.put(path, data + one_of(CONTENTS[1:], content), mode)
        elif kind == "same size":
            before = (world.root / path).stat()
            world.put(path, bytes(one ^ 1 for one in data), mode)
            os.utime(world.root / path, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif kind == "mode":
            world.put(path, data, one_of((0o644, 0o600, 0o755), content))
        else:
            del world.mine[path]
            if kind == "delete":
                (world.root / path).unlink()
            else:
                to = one_of(FILES, content)
                world.make_folder(to.rpartition("/")[0])
                (world.root / path).rename(world.root / to)
                world.mine[to] = (mode, data)

    @rule(
        handle=handles,
        pick=st.integers(0, 15),
        name=st.sampled_from(NAMES),
        version=st.sampled_from(DATA_VERSIONS),
        fault=faults,
    )
    def snapshot(self, handle, pick, name, version, fault):
        world = self.world
        self.count("snapshot")
        path = one_of((*FOLDERS[:4], *sorted(world.mine)), pick)
        errors = set()
        if path in world.mine:
            content = Frozen({os.path.basename(path): world.mine[path][1]})
        else:
            content = Frozen(*world.below(path))
            if not content.files:
                errors = {"InvalidInputError" if path in world.folders else "NotFoundError"}
        called = name or os.path.basename(path).partition(".")[0]
        self._freeze(
            called,
            content,
            version,
            lambda: world.run(
                handle,
                fault,
                lambda project: project.snapshot(world.root / path, name=name, version=version),
            ),
            errors,
        )

    @rule(
        handle=handles,
        content=picks,
        name=st.sampled_from(NAMES[1:]),
        version=st.sampled_from(DATA_VERSIONS),
        fault=faults,
    )
    def snapshot_object(self, handle, content, name, version, fault):
        self.count("snapshot of an object")
        frozen = Frozen({"table.csv": one_of(CONTENTS, content)})
        self._freeze(
            name,
            frozen,
            version,
            lambda: self.world.run(handle, fault, _freezing(name, version, frozen)),
        )

    def _freeze(self, name, content, version, call, errors=frozenset()):
        world = self.world
        refused, target = self._expected(name, content, version)
        errors = errors or refused
        new = not errors and target not in world.data.get(name, {})
        ended, made = call()
        if ended == UNSURE:
            if new and (world.root / SNAPSHOTS / f"{name}_{target}" / "manifest.json").exists():
                world.adopt("data", name, target, content)
        elif ended:
            assert ended in errors
        else:
            assert not errors or "" in errors
            assert (made.reference, made.created) == (f"{name}_{target}", new)
            if new:
                world.adopt("data", name, target, content)
                world.require_swept(SNAPSHOTS)

    def _expected(self, name, content, version):
        """Return how a snapshot may end, where not well, and the version that it gives."""
        world = self.world
        if version is None:
            existing = world.newest(name)
            other = (set(), next_data_version(world.used(name)))
        else:
            same = [one for one in world.used(name) if order(one) == order(version)]
            if not same:
                return set(), version
            existing, other = same[0], ({"ConflictError"}, None)
        if existing is None or existing in world.by_hand.get(name, {}):
            return other
        state = world.state(f"{SNAPSHOTS}/{name}_{existing}")
        if state == "orphan":
            return other
        if state == "garbage":
            return {"FormatError"}, None
        if world.data[name][existing].files != content.files:
            return other
        if state == "extra":
            # The frozen files hold; that there is one more need not be looked for.
            return {"", "IntegrityError"}, existing
        return ({"IntegrityError"}, None) if state else (set(), existing)

    @rule(handle=handles, pick=picks, name=st.sampled_from(NAMES), fault=faults)
    def snapshot_after_a_change_behind_an_old_time(self, handle, pick, name, fault):
        """Let the product take a file as read before, and change it so that only the inode tells."""
        world = self.world
        there = sorted(one for one, (_, data) in world.mine.items() if data)
        if not there:
            return
        path = one_of(there, pick)
        folders = sorted(one for one in world.folders if path.startswith(f"{one}/"))
        where = ((*FOLDERS[:4], *sorted(world.mine))).index(folders[-1])
        self.snapshot(handle, where, name, None, None)
        time.sleep(2 * RACY_S)
        self.snapshot(handle, where, name, None, None)
        self._change("same size", path, 0)
        self.snapshot(handle, where, name, None, fault)

    @rule(
        handle=handles,
        content=picks,
        name=st.sampled_from(NAMES[1:]),
        version=st.sampled_from(DATA_VERSIONS),
        step=st.integers(1, 24),
    )
    def snapshot_in_a_race(self, handle, content, name, version, step):
        """Freeze while the other handle takes the same version in the middle of it."""
        world = self.world
        mine = Frozen({"table.csv": one_of(CONTENTS, content)})
        errors, target = self._expected(name, mine, version)
        if errors or target in world.data.get(name, {}):
            return
        self.count("snapshot in a race")
        theirs = Frozen({"table.csv": b"theirs"})
        others = []

        def meanwhile():
            others.append(world.run(1 - handle, None, _freezing(name, target, theirs))[0])

        world.handles[handle].catalog.project.disk.meanwhile = meanwhile
        ended, made = world.run(handle, ("race", step), _freezing(name, version, mine))
        if others == [""]:
            world.adopt("data", name, target, theirs)
            assert version is None or ended == "ConflictError", made
            target = next_data_version(world.used(name)) if version is None else None
        else:
            # Too late, or not at all: then it was refused.
            assert others in ([], ["ConflictError"])
        if target is not None:
            assert ended == "", (made, others)
            assert (made.reference, made.created) == (f"{name}_{target}", True)
            world.adopt("data", name, target, mine)

    @rule(
        name=st.sampled_from(NAMES[1:]),
        version=st.sampled_from(DATA_VERSIONS[3:]),
        content=picks,
        other=picks,
    )
    def make_folder_by_hand(self, name, version, content, other):
        world = self.world
        if any(order(one) == order(version) for one in world.used(name)):
            return
        self.count("a version's folder made by hand")
        files = {"x.csv": one_of(CONTENTS, content), "s/y.csv": one_of(CONTENTS, other)}
        world.by_hand.setdefault(name, {})[version] = Frozen(files)
        for path, data in files.items():
            place = world.root / SNAPSHOTS / f"{name}_{version}" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod(0o644)

    @rule(handle=handles, pick=picks, fault=faults)
    def snapshot_in_place(self, handle, pick, fault):
        world = self.world
        there = sorted(
            (name, version)
            for versions in (world.by_hand, world.data)
            for name in versions
            for version in versions[name]
            if world.state(f"{SNAPSHOTS}/{name}_{version}") != "orphan"
        )
        if not there:
            return
        self.count("snapshot in place")
        name, version = one_of(there, pick)
        folder = f"{SNAPSHOTS}/{name}_{version}"
        ended, made = world.run(
            handle, fault, lambda project: project.snapshot(world.root / folder)
        )
        if version in world.data.get(name, {}):
            errors = {"": set(), "garbage": {"FormatError"}}.get(
                world.state(folder), {"IntegrityError"}
            )
            assert ended in (errors or {""}) or ended == UNSURE
            assert ended or not made.created
            return
        assert ended in ("", UNSURE)
        if not ended or (world.root / folder / "manifest.json").exists():
            world.adopt("data", name, version, world.by_hand[name].pop(version))

    @rule(handle=handles, pick=picks, fault=faults)
    def restore(self, handle, pick, fault):
        world = self.world
        there = sorted((name, one) for name in world.data for one in world.data[name])
        if not there:
            return
        self.count("restore")
        name, version = one_of(there, pick)
        kept = world.data[name][version]
        folder = f"{SNAPSHOTS}/{name}_{version}"
        check_restored(world, handle, fault, f"data:{name}_{version}", kept, world.state(folder))


def _freezing(name, version, frozen):
    """Return the call that freezes an object's bytes."""
    request = Request(name=name, version=version, source="object")
    source = Source(items=dict(frozen.files))
    return lambda project: project.catalog.snapshots.freeze(source, request)


def check_restored(world, handle, fault, reference, kept, state):
    errors = {
        "garbage": {"FormatError"},
        "orphan": {"NotFoundError"},
        "broken": {"IntegrityError"},
    }.get(state, set())
    target = world.root / "out" / "copy"
    ended, _ = world.run(handle, fault, lambda project: project.restore(reference, target))
    if ended and not target.exists():
        assert ended == UNSURE or ended in errors
    else:
        # Whole, or not at all: also when the process died on the way.
        assert ended in ("", UNSURE)
        assert not errors
        files, folders = scan(target)
        assert files == {path: (0o644, data) for path, data in kept.files.items()}
        assert kept.folders <= folders
    if ended != UNSURE:
        assert (
            os.listdir(world.root / "out") == ["copy"] if not ended else not target.parent.exists()
        )
    shutil.rmtree(world.root / "out", ignore_errors=True)
