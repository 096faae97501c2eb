"""What is done while faults are injected: a project before it, one command, and what is to be seen.

Run by the programs of this folder, never imported by a test.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import filelock  # noqa: F401  # what commands import late must be there before the first fork

from nbversion.disk import is_leftover
from nbversion.errors import ConflictError, LostRaceError
from nbversion.formats.manifest import MANIFEST
from nbversion.project import Project
from nbversion.store import folder as store_folder
from nbversion.store.folder import CACHE, QUARANTINE
from nbversion.store.models import ModelContent
from nbversion.store.promotion import Signature, plan_register
from nbversion.tracking import (
    CodeFacts,
    Results,
    RunRequest,
    Tracker,
    activated,
    status_of,
    tracker,
)
from nbversion.tracking.active import _active

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE = {
    "a.csv": b"a,b\n1,2\n",
    "same.csv": b"a,b\n1,2\n",
    "empty.csv": b"",
    "sub/b.csv": b"b" * 9000,
    "sub/deep/c.csv": b"c\n",
}
IN_PLACE = "data/snapshots/byhand_v0.1"


def quicken(root: Path) -> None:
    """Look once at what a run records of the machine: it is the same for every fault."""
    git = tracker.read_git_state(root, ours=())
    environment = tracker.read_environment(None, git_state=lambda _: git)
    tracker.read_environment = lambda *_args, **_options: environment
    tracker.read_git_state = lambda *_args, **_options: git
    tracker.index_hashes = lambda *_args, **_options: None
    store_folder.git_identity = lambda _root: "tester"


# -- filling a project ---------------------------------------------------------------------


def write_source(folder: Path, files: dict[str, bytes]) -> None:
    """Write the user's own files."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def add_raw(project: Project) -> None:
    raw = project.root / "data" / "raw" / "d"
    write_source(raw, SOURCE)
    (raw / "hollow").mkdir(exist_ok=True)


def add_snapshot(project: Project) -> None:
    add_raw(project)
    project.snapshot(project.root / "data/raw/d", version="v0.1")


def add_changed(project: Project) -> None:
    add_snapshot(project)
    (project.root / "data/raw/d/a.csv").write_bytes(b"a,b\n3,4\n")


def add_by_hand(project: Project) -> None:
    add_snapshot(project)
    write_source(project.root / IN_PLACE, SOURCE)


def register(project: Project, version: str) -> None:
    catalog = project.catalog
    known = "clf" in catalog.registrar.models()
    frozen = catalog.models.freeze(
        "clf",
        ModelContent(
            items={"model.bin": version.encode() * 100},
            metrics={"f1": 0.9},
            params={"seed": 1},
            run_id=None,
            details={},
            card=lambda made: f"# clf {made}\n",
        ),
        version=version,
        registry=catalog.registrar.load("clf") if known else None,
    )
    signature = Signature(actor="test", utc=catalog.project.now())
    catalog.registrar.commit(
        "clf",
        lambda registry: plan_register(
            registry, version, signature, digest=frozen.manifest.digest, run_id=None
        ),
    )


def add_served(project: Project) -> None:
    add_snapshot(project)
    for version in ("v0.1.0", "v0.2.0", "v0.3.0"):
        register(project, version)
        project.promote("clf", version, "production")
    register(project, "v0.4.0-dev.1")


def add_trainable(project: Project) -> None:
    add_served(project)
    (project.root / "model.bin").write_bytes(b"weights" * 50)
    (project.root / "plot.txt").write_bytes(b"plot")


def add_corrupt(project: Project) -> None:
    add_snapshot(project)
    # A copy of the content of its own inode, for a repair to find.
    project.snapshot(project.root / "data/raw/d/sub/b.csv", name="other")
    path = project.root / "data/snapshots/d_v0.1/sub/b.csv"
    path.chmod(0o644)
    path.write_bytes(b"x" * 9000)
    path.chmod(0o444)


# -- the commands --------------------------------------------------------------------------


# Whether the run that was tried last did begin.
begun: list[bool] = []


def track(project: Project, *, model: str | None = None, version: str | None = None) -> None:
    """Do what a tracked cell does; what could not be kept is raised, as the magic does."""
    root = project.root
    run = Tracker(
        catalog=project.catalog,
        request=RunRequest(
            name="train",
            data=(project.catalog.snapshots.load("d", "v0.1"),),
            model=model,
            version=version,
            artifacts=(root / "plot.txt",),
        ),
        code=CodeFacts(source="fit()"),
    )
    _active.clear()
    begun.clear()
    run.begin()
    begun.append(True)
    results = Results(model=root / "model.bin", has_model=model is not None)
    try:
        with activated(run):
            run.log_metric("f1", 0.5, step=1)
            run.log_artifact(root / "model.bin", "weights.bin")
    except BaseException as exc:
        results.error, results.status = exc, status_of(exc)
        raise
    finally:
        run.end(results)
    if results.problems:
        raise results.problems[0]


def register_release(project: Project) -> None:
    try:
        track(project, model="clf", version="v0.5.0")
    except ConflictError:
        # The process died after the decision: whoever writes next publishes it, and it is refused now.
        project.comment("clf", "v0.3.0", "next")
        if project.catalog.registrar.load("clf").find("v0.5.0") is None:
            raise


def track_block(project: Project) -> None:
    _active.clear()
    begun.clear()
    with project.track("block", data="d_v0.1") as run:
        begun.append(True)
        run.log_metric("f1", 0.5, step=1)
        run.log_artifact(project.root / "plot.txt")


def rollback(project: Project) -> None:
    serving = project.catalog.registrar.load("clf").production
    try:
        project.rollback("clf", comment="worse")
    except LostRaceError:
        # A claim of the dead process was rolled forward: production has left that version by it.
        after = project.catalog.registrar.load("clf").production
        if after is None or serving is None or after.version == serving.version:
            raise


def restore(project: Project) -> None:
    target = project.root / "restored"
    # What is there is never restored over; one beside it is the same command to a disk.
    project.restore("d_v0.1", target.with_name("beside") if target.exists() else target)


def repair(project: Project) -> None:
    project.verify(repair=True)


# -- what is to be seen --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What a project shows of itself, by content."""

    data: dict[str, str]
    models: dict[str, str]
    registry: dict[str, dict[str, Any]]
    runs: dict[str, str]
    own: dict[str, str]
    restored: dict[str, str]
    findings: tuple[str, ...]


def see(root: Path) -> Seen:
    """Look at everything through a project opened just now."""
    project = Project(root)
    catalog = project.catalog
    models = {}
    for model in project.catalog.registrar.models():
        for version in catalog.models.versions(model):
            models[f"{model}@{version}"] = catalog.models.load(model, str(version)).manifest.digest
    return Seen(
        data={
            f"{name}_{version}": catalog.snapshots.load(name, str(version)).manifest.digest
            for name, version in catalog.snapshots.references()
        },
        models=models,
        registry={model: _registry(project, model) for model in catalog.registrar.models()},
        runs={one.run_id: getattr(one, "status", "broken") for one in catalog.runs.all()},
        own={
            **contents(root / "data" / "raw"),
            **contents(root / IN_PLACE, leave=(MANIFEST,)),
        },
        restored=contents(root / "restored"),
        findings=tuple(
            f"{one.kind} {one.path}: {one.expected}, {one.got}" for one in project.verify().findings
        ),
    )


def _registry(project: Project, model: str) -> dict[str, Any]:
    registry = project.catalog.registrar.load(model)
    return {
        "revision": registry.revision,
        "production": registry.production.version if registry.production else None,
        "stages": {one.version: str(one.stage) for one in registry.versions},
        "comments": sum(len(one.comments) for one in registry.versions),
    }


def _path(finding: str) -> str:
    return finding.partition(" ")[2].partition(":")[0]


def contents(folder: Path, leave: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the digest of every file below `folder`, and its empty folders."""
    found = {}
    for base, folders, files in os.walk(folder):
        below = os.path.relpath(base, folder)
        for name in files:
            if name not in leave:
                with open(os.path.join(base, name), "rb") as handle:
                    found[f"{folder.name}/{below}/{name}"] = hashlib.sha256(
                        handle.read()
                    ).hexdigest()
        if not files and not folders:
            found[f"{folder.name}/{below}/"] = ""
    return found


def leftovers(root: Path) -> list[str]:
    """Return every staging folder and temporary file below the project's root.

    Not those in the folder of caches, which may be deleted at any time, nor in the quarantine, from
    which nothing ever is.
    """
    found = []
    for base, folders, files in os.walk(root):
        if base == str(root):
            folders[:] = [one for one in folders if one not in (CACHE, QUARANTINE)]
        found += [
            os.path.relpath(os.path.join(base, name), root)
            for name in [*folders, *files]
            if is_leftover(name)
        ]
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Scene:
    """One command on a prepared project.

    Parameters
    ----------
    prepare, act : callable
    primitives : set of str
        What the command cannot do without; a dry run must show more or the same.
    adds_runs : bool
        Whether each try makes a run of its own, which stays.
    repeats : bool
        Whether doing it twice changes more than doing it once.
    """

    prepare: Callable[[Project], object]
    act: Callable[[Project], object]
    primitives: frozenset[str]
    adds_runs: bool = False
    repeats: bool = False

    def illegal(
        self,
        state: Seen,
        before: Seen,
        after: Seen,
        runs: tuple[str, ...] = ("lost", "finished"),
    ) -> list[str]:
        """Say what is neither as before nor as after the command."""
        # A repair puts the corrupt file aside before it puts the copy in: then it is missing.
        known = {_path(one) for one in before.findings}
        wrong = [f"verify: {one}" for one in state.findings if _path(one) not in known]
        for what in ("data", "registry", "own", "restored"):
            is_so = getattr(state, what)
            if is_so not in (getattr(before, what), getattr(after, what)):
                wrong.append(f"{what} is neither old nor new: {is_so}")
        for ref, digest in before.models.items():
            if state.models.get(ref) != digest:
                wrong.append(f"{ref} is not what it was")
        wrong += [
            f"{ref} was never to be"
            for ref in set(state.models) - set(before.models) - set(after.models)
        ]
        wrong += [
            f"{ref} changed" for ref, one in before.runs.items() if state.runs.get(ref) != one
        ]
        new = [one for ref, one in state.runs.items() if ref not in before.runs]
        if len(new) > self.adds_runs or not {*new} <= {*runs}:
            wrong.append(f"runs: {state.runs}")
        return wrong

    def wrong_at_last(self, state: Seen, crashed: Seen, before: Seen, after: Seen) -> list[str]:
        """Say what is not right after the command was given once more.

        Parameters
        ----------
        state : Seen
        crashed : Seen
            What there was when it was given again.
        before, after : Seen
            What one undisturbed command found and made.
        """
        wrong = [f"verify: {one}" for one in state.findings]
        wrong += [
            f"{what} is not the new one: {getattr(state, what)}"
            for what in ("data", "own", "restored")
            if getattr(state, what) != getattr(after, what)
        ]
        again = self.repeats and crashed.registry != before.registry
        if not again and not self._same_registry(state, after):
            wrong.append(f"registry is not the new one: {state.registry}")
        if (
            self.adds_runs
            and begun
            and "finished"
            not in {one for ref, one in state.runs.items() if ref not in crashed.runs}
        ):
            wrong.append(f"no run finished: {state.runs}")
        return wrong

    def _same_registry(self, state: Seen, after: Seen) -> bool:
        keys = ("production",) if self.repeats or self.adds_runs else ("production", "stages")
        return [[one[key] for key in keys] for one in state.registry.values()] == [
            [one[key] for key in keys] for one in after.registry.values()
        ]


_TEXT = frozenset({"write", "fsync", "sync_folder"})
_VERSION = _TEXT - {"fsync"} | {"stage", "flush", "publish"}
_REGISTRY = _TEXT | {"lock", "create", "replace", "mark"}

SCENES = {
    "first snapshot": Scene(
        add_raw,
        lambda project: project.snapshot(project.root / "data/raw/d", version="v0.1"),
        _TEXT | _VERSION | {"create", "make_folder"},
    ),
    "next snapshot": Scene(
        add_changed,
        lambda project: project.snapshot(project.root / "data/raw/d", version="v0.2"),
        _VERSION | {"link"},
    ),
    "snapshot in place": Scene(
        add_by_hand,
        lambda project: project.snapshot(project.root / IN_PLACE),
        _VERSION - {"publish"} | {"exchange", "remove_tree"},
    ),
    "register": Scene(
        add_trainable,
        lambda project: track(project, model="clf"),
        _REGISTRY | _VERSION | {"remove"},
        adds_runs=True,
    ),
    "register a release": Scene(
        add_trainable,
        register_release,
        _REGISTRY | _VERSION | {"remove"},
        adds_runs=True,
    ),
    "promote": Scene(
        add_served,
        lambda project: project.promote("clf", "v0.4.0-dev.1", "production", as_version="v0.4.0"),
        _REGISTRY | _VERSION | {"link"},
    ),
    "rollback": Scene(add_served, rollback, _REGISTRY, repeats=True),
    "run end": Scene(
        add_trainable, track_block, _TEXT | _VERSION | {"create", "replace"}, adds_runs=True
    ),
    "comment": Scene(
        add_served,
        lambda project: project.comment("clf", "v0.3.0", "fine"),
        _REGISTRY,
        repeats=True,
    ),
    "restore": Scene(
        add_snapshot,
        restore,
        _VERSION,
    ),
    "repair": Scene(add_corrupt, repair, _VERSION | {"set_aside"}),
}


@dataclass(slots=True)
class Stage:
    """A scene made ready: the project before, and what the command makes of it.

    Parameters
    ----------
    scene : Scene
    base : Path
        An empty folder to work in.
    """

    scene: Scene
    base: Path
    made: int = field(default=0)

    @property
    def master(self) -> Path:
        return self.base / "before"

    def prepare(self) -> None:
        self.master.mkdir()
        self.scene.prepare(Project(self.master))

    def copy(self) -> Path:
        """Return a new copy of the project before the command, in one folder of its own."""
        self.made += 1
        root = self.base / str(self.made) / "project"
        # Names are quicker made than files, and no command may write into a file that is there.
        shutil.copytree(self.master, root, copy_function=os.link)
        return root
