"""A project, the disk that fails under it, and what the model says is to be found there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from copy import deepcopy
from datetime import UTC, datetime, timedelta

from nbversion import syscalls
from nbversion.disk import STAGE_PREFIX, Disk, is_leftover
from nbversion.errors import NbversionError, StorageError
from nbversion.process import owner_mark
from nbversion.project import Project

from .oracle import Entry, Ledger, content_digest, is_release, order, record_digest

SNAPSHOTS, MODELS, RAW = "data/snapshots", "models", "data/raw"
OUTSIDE = ("manifest.json", "model_card.md")
GIT_FILES = (".gitignore", ".gitattributes")
# How old a file must be for its times to tell a change: more than a tick of a local disk's clock.
RACY_S = 0.011
# How a call ended during which a writing primitive failed: the old state or the new one holds.
UNSURE = "unsure"
# Taking something back is itself writing: when that fails, something may stay.
TAKING_BACK = ("remove", "remove_tree", "withdraw", "set_aside", "exchange")
_CHANGES = ("chmod", "link", "mkdir", "remove", "rename", "replace", "rmdir", "unlink", "utime")


class DiedError(BaseException):
    """The process was killed; no code of the product may catch this and go on writing."""


class DoomedDisk(Disk):
    """A disk on which the k-th writing primitive fails, or is the one where the process dies."""

    left = 0
    kind = ""
    hit = ""
    dead = False
    meanwhile = None

    def step(self, primitive, path):
        if self.dead:
            raise DiedError
        self.left -= 1
        if self.left == 0:
            self.hit = primitive
            if self.kind == "race":
                self.meanwhile()
                self.hit = ""
                return
            if self.kind == "kill":
                self.dead = True
                raise DiedError
            raise StorageError(f"cannot write {path}: no space left, says the test.")

    @contextlib.contextmanager
    def failing(self, fault):
        """Fail once as `fault` says: None, or how and at which step."""
        self.kind, self.left = fault or ("", 0)
        self.hit = ""
        try:
            if self.kind == "kill":
                with self._silent_once_dead():
                    yield
            else:
                yield
        finally:
            self.left = 0

    @contextlib.contextmanager
    def _silent_once_dead(self):
        """Let nothing be written after the death, by those who clean up without a step either."""
        places = [(os, name) for name in _CHANGES]
        places += [(syscalls, name) for name in ("rename_new", "exchange")]
        kept = [(module, name, getattr(module, name)) for module, name in places]

        def mortal(call):
            def made(*arguments, **options):
                if self.dead:
                    raise DiedError
                return call(*arguments, **options)

            return made

        for module, name, call in kept:
            setattr(module, name, mortal(call))
        try:
            yield
        finally:
            for module, name, call in kept:
                setattr(module, name, call)


class Clock:
    """A clock that is moved by hand, backwards as well."""

    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.time

    def move(self, seconds):
        self.time += timedelta(seconds=seconds)


class World:
    """A project with two handles on it, the user's files and the model of everything."""

    def __init__(self, root, tally):
        self.root, self.tally, self.clock = root, tally, Clock()
        # Asking git for an owner costs a process for each handle.
        (root / RAW).mkdir(parents=True)
        (root / "nbversion.yaml").write_text('owner: "tester"\n')
        self.handles = [self._open(), self._open()]
        self.mine = {}  # the user's files: path -> (mode, bytes)
        self.folders = {RAW}  # all folders of the user's
        self.data = {}  # name -> version -> Frozen
        self.by_hand = {}  # name -> version -> Frozen: made by the user, not frozen yet
        self.models = {}  # model -> version -> Frozen, registered or not
        self.ledgers = {}  # model -> Ledger
        self.futures = {}  # model -> what its ledger may turn out to be once somebody writes
        self.histories = {}  # model -> the entries of its registry as they were seen last
        self.store = {}  # path -> (mode, bytes) of everything frozen, as it should be on disk now
        self.intact = {}  # the same before any damage
        self.damage = {}  # path -> kind
        self.failed_at = ""  # the primitive that failed in the last call, which lived on
        self.registries = {}  # path -> the bytes of a broken registry, intact and as they are

    def _open(self):
        return Project(self.root, disk=DoomedDisk(), clock=self.clock)

    def reopen(self, handle):
        self.handles[handle] = self._open()

    def run(self, handle, fault, call):
        """Call with a project; return how it ended (no word for well) and what it gave."""
        project = self.handles[handle]
        disk = project.catalog.project.disk
        before = self.leftovers()
        ended, value, self.failed_at = "", None, ""
        try:
            with disk.failing(fault):
                value = call(project)
        except DiedError:
            ended = UNSURE
        except NbversionError as exc:
            ended, value = type(exc).__name__, exc
        if disk.dead:
            ended = UNSURE
            self.tally["crashes"] += 1
            self.tally[f"crashes at {disk.hit}"] += 1
            self._bury()
            self.reopen(handle)
        elif disk.hit:
            self.tally["failed writes"] += 1
            self.failed_at = disk.hit
            assert disk.hit in TAKING_BACK or self.leftovers() <= before, disk.hit
            self._bury()
            ended = UNSURE if ended else ""
        else:
            assert self.leftovers() <= before, (ended, self.leftovers())
        return ended, value

    def _bury(self):
        """Give what a process left the mark of one that has ended, for ours never does."""
        alive = owner_mark()
        gone = f"{alive.rpartition('-')[0]}-1"
        for folder, folders, files in os.walk(self.root):
            for one in [*folders, *files]:
                if is_leftover(one) and alive in one:
                    os.rename(f"{folder}/{one}", f"{folder}/{one.replace(alive, gone)}")

    def require_swept(self, folder):
        """After a new version in `folder`, nothing that a dead process staged there is left."""
        left = [one for one in os.listdir(self.root / folder) if one.startswith(STAGE_PREFIX)]
        assert not left, left

    def leftovers(self):
        """Return our temporary names; the caches may hold some, for they are not looked at."""
        found = set()
        for folder in ("", "data", SNAPSHOTS, MODELS, *(f"{MODELS}/{one}" for one in self.models)):
            with contextlib.suppress(FileNotFoundError):
                found |= {
                    f"{folder}/{one}" for one in os.listdir(self.root / folder) if is_leftover(one)
                }
        return found

    # -- the user's own files --------------------------------------------------------------

    def put(self, path, data, mode=0o644):
        self.make_folder(path.rpartition("/")[0])
        place = self.root / path
        place.write_bytes(data)
        place.chmod(mode)
        self.mine[path] = (mode, data)

    def make_folder(self, path):
        (self.root / path).mkdir(parents=True, exist_ok=True)
        while path != RAW:
            self.folders.add(path)
            path = path.rpartition("/")[0]

    def below(self, path):
        """Return the files and the empty folders of a folder of the user's."""
        start = f"{path}/"
        files = {
            one.removeprefix(start): data
            for one, (_, data) in self.mine.items()
            if one.startswith(start)
        }
        names = [*self.mine, *self.folders]
        empty = {
            one.removeprefix(start)
            for one in self.folders
            if one.startswith(start) and not any(two.startswith(f"{one}/") for two in names)
        }
        return files, frozenset(empty)

    # -- what was frozen -------------------------------------------------------------------

    def adopt(self, kind, name, version, frozen):
        """Take a version that was just made into the model, once it is what it should be."""
        folder = f"{SNAPSHOTS}/{name}_{version}" if kind == "data" else f"{MODELS}/{name}/{version}"
        place = self.root / folder
        files, folders = scan(place)
        hashed = {path: data for path, (_, data) in files.items() if path not in OUTSIDE}
        if kind == "model":
            for path, values in (("metrics.json", {"f1": 0.9}), ("params.json", {"seed": 1})):
                assert json.loads(hashed[path]) == values
                frozen.files.setdefault(path, hashed[path])
        assert hashed == frozen.files, folder
        assert {mode for path, (mode, _) in files.items() if path not in OUTSIDE} == {0o444}
        assert {stat.S_IMODE(os.stat(place / one).st_mode) for one in ("", *folders)} == {0o755}
        assert frozen.folders <= folders
        manifest = json.loads(files["manifest.json"][1])
        assert manifest["dataset" if kind == "data" else "model"] == name
        assert manifest["version"] == version
        assert manifest["digest"] == content_digest(frozen.files)
        assert manifest["record_digest"] == record_digest(manifest, without="record_digest")
        assert {one["path"]: one["size_bytes"] for one in manifest["files"]} == {
            f"{folder}/{path}": len(data) for path, data in frozen.files.items()
        }
        assert frozenset(manifest.get("directories", ())) == frozen.folders
        assert manifest.get("derived_from") == frozen.derived_from
        if kind == "data":
            older = [one for one in self.data.get(name, {}) if order(one) < order(version)]
            older = [one for one in older if self.state(f"{SNAPSHOTS}/{name}_{one}") != "orphan"]
            parent = f"{name}_{max(older, key=order)}" if older else None
            assert manifest["parent"] == parent
        kept = self.data if kind == "data" else self.models
        kept.setdefault(name, {})[version] = frozen
        for path, one in files.items():
            self.store[f"{folder}/{path}"] = self.intact[f"{folder}/{path}"] = one

    def versions(self):
        """Return the folder of every frozen version, sorted."""
        data = [f"{SNAPSHOTS}/{name}_{one}" for name, all_ in self.data.items() for one in all_]
        models = [f"{MODELS}/{name}/{one}" for name, all_ in self.models.items() for one in all_]
        return sorted(data + models)

    def used(self, name):
        """Return the versions of a data set whose name is taken."""
        return [*self.data.get(name, {}), *self.by_hand.get(name, {})]

    def newest(self, name):
        found = [
            one
            for one in self.data.get(name, {})
            if self.state(f"{SNAPSHOTS}/{name}_{one}") != "orphan"
        ]
        return max(found, key=order, default=None)

    def ledger(self, model):
        return self.ledgers.setdefault(model, Ledger())

    def unsound(self, model):
        return {one for one in self.models.get(model, {}) if self.state(f"{MODELS}/{model}/{one}")}

    # -- damage ----------------------------------------------------------------------------

    def state(self, folder):
        """Return what is wrong with a version: orphan, garbage, broken, extra, or nothing."""
        manifest = self.damage.get(f"{folder}/manifest.json")
        if manifest in ("orphan", "garbage"):
            return manifest
        kinds = {kind for path, kind in self.damage.items() if path.startswith(f"{folder}/")}
        return "" if not kinds else "extra" if kinds == {"extra"} else "broken"

    def expected_findings(self):
        found = set()
        for folder in self.versions():
            manifest = self.damage.get(f"{folder}/manifest.json")
            if manifest in ("orphan", "garbage"):
                found.add(
                    ("orphan", folder)
                    if manifest == "orphan"
                    else ("edited", f"{folder}/manifest.json")
                )
                continue
            for path, kind in self.damage.items():
                if path.startswith(f"{folder}/"):
                    found.add((kind, path))
        for name, versions in self.by_hand.items():
            found |= {("orphan", f"{SNAPSHOTS}/{name}_{one}") for one in versions}
        return found | {("chain", path) for path in self.registries}

    def write(self, path, data):
        """Write into the store behind the product's back, as a new file."""
        place = self.root / path
        place.unlink(missing_ok=True)
        place.write_bytes(data)
        place.chmod(self.intact.get(path, (0o644,))[0])

    def spoil(self, path, data, kind):
        """Put other bytes in a frozen file, through every name that the file has."""
        facts = os.lstat(self.root / path)
        for other in list(self.store):
            if other in self.store and os.lstat(self.root / other).st_ino == facts.st_ino:
                self.store[other] = (self.store[other][0], data)
                self.damage[other] = kind
        os.chmod(self.root / path, 0o644)
        (self.root / path).write_bytes(data)
        os.chmod(self.root / path, stat.S_IMODE(facts.st_mode))
        # What serves is never trusted by its times. Data that is only frozen again may be: what was
        # changed behind an unchanged time is found by verification, and shared until then.
        later = 0 if path.startswith(f"{MODELS}/") else 1_000_000_000
        os.utime(self.root / path, ns=(facts.st_atime_ns, facts.st_mtime_ns + later))

    def heal(self):
        """Put back exactly what was there."""
        for path in self.damage:
            if path in self.intact:
                self.write(path, self.intact[path][1])
                self.store[path] = self.intact[path]
            else:
                (self.root / path).unlink()
                del self.store[path]
        self.damage = {}

    def heal_registries(self):
        for path, (data, _) in self.registries.items():
            (self.root / path).write_bytes(data)
        self.registries = {}

    # -- what must always hold -------------------------------------------------------------

    def check(self):
        """Compare the disk with the model."""
        mine, folders = scan(self.root / RAW)
        assert mine == {path.removeprefix(f"{RAW}/"): one for path, one in self.mine.items()}
        assert folders == {path.removeprefix(f"{RAW}/") for path in self.folders - {RAW}}
        found = {}
        for base in (SNAPSHOTS, MODELS):
            files, _ = scan(self.root / base)
            found |= {f"{base}/{path}": one for path, one in files.items()}
        for path in [one for one in found if one.endswith("/registry.json")]:
            self._check_registry(path, found.pop(path)[1])
        by_hand = {
            f"{SNAPSHOTS}/{name}_{version}/{path}": (0o644, data)
            for name, versions in self.by_hand.items()
            for version, one in versions.items()
            for path, data in one.files.items()
        }
        assert found == {**self.store, **by_hand}

    def _check_registry(self, path, data):
        model = path.split("/")[1]
        ledger = self.ledgers[model]
        if path in self.registries:
            assert data == self.registries[path][1]
            return
        registry = json.loads(data)
        history = registry["history"]
        known = self.histories.get(model, [])
        assert history[: len(known)] == known
        for before, one in zip([None, *history], history, strict=False):
            if one["revision"] > len(known):
                assert one["previous"] == (record_digest(before) if before else None)
        assert registry["revision"] == len(history) == len(ledger.log)
        assert registry["head"] == record_digest(history[-1])
        assert log_of(history) == ledger.log
        listed = registry["versions"]
        assert {one["version"]: one["stage"] for one in listed} == ledger.stages
        assert {one["version"]: one["digest"] for one in listed} == ledger.digests
        assert {one["version"]: one["image"] for one in listed} == ledger.images
        assert sum(one["stage"] == "production" for one in listed) <= 1
        assert all(
            is_release(one["version"]) or one["stage"] in ("dev", "archived") for one in listed
        )
        self.histories[model] = deepcopy(history)

    def log(self, model):
        """Return the history on disk as the model writes it, or an empty one."""
        try:
            data = (self.root / MODELS / model / "registry.json").read_bytes()
        except FileNotFoundError:
            return []
        return log_of(json.loads(data)["history"])

    def verify(self, handle):
        """Let the product verify everything; it must find the damage and nothing else."""
        before = deepcopy(scan(self.root))
        found = {(one.kind, one.path) for one in self.handles[handle].verify().findings}
        expected = self.expected_findings()
        # A process that died before its model's first registration leaves a version, but no
        # registry: today that is said to be missing.
        unregistered = {
            ("missing", f"{MODELS}/{model}/registry.json")
            for model in self.models
            if not self.ledger(model).log
        }
        assert found - unregistered == expected
        assert scan(self.root) == before, "verify wrote something"
        self.tally["verifications"] += 1
        self.tally["findings"] += len(expected)

    def close(self):
        shutil.rmtree(self.root)


def log_of(history):
    return [Entry(*(one.get(key) for key in Entry._fields)) for one in history]


def scan(base):
    """Return mode and bytes of every file below `base`, and the folders, without our leftovers."""
    files, folders = {}, set()
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(os.path.join(base, prefix)) as found:
                entries = list(found)
        except FileNotFoundError:
            continue
        for one in entries:
            if is_leftover(one.name) or one.name in GIT_FILES:
                continue
            path = f"{prefix}{one.name}"
            if one.is_dir(follow_symlinks=False):
                folders.add(path)
                pending.append(f"{path}/")
            else:
                mode = stat.S_IMODE(one.stat(follow_symlinks=False).st_mode)
                with open(one.path, "rb") as handle:
                    files[path] = (mode, handle.read())
    return files, folders
