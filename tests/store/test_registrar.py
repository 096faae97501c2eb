from __future__ import annotations

import contextlib
import json
import os
import time

import pytest

from nbversion.disk import Disk
from nbversion.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    LostRaceError,
    NbversionError,
    StorageError,
)
from nbversion.formats.registry import problems
from nbversion.project import Project


def sound(catalog):
    registry = catalog.registrar.load("clf")
    assert problems(registry) == []
    assert [one.revision for one in registry.history] == list(range(1, registry.revision + 1))
    assert len({one.op_id for one in registry.history}) == registry.revision
    return registry


@pytest.fixture
def no_flush(monkeypatch):
    """Leave durability out of a test of many writes."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def three(register):
    for version in ("v0.1.0", "v0.2.0", "v0.3.0"):
        register(version)


@pytest.mark.parametrize("lock", ["lock", "lying"])
def test_two_processes_promoting_at_once_lose_no_update(writers, lock, three, catalog, root):
    done = writers("write", lock, "50", "promote", count=2)
    registry = sound(catalog)
    assert registry.revision == 3 + sum(map(int, done))
    assert [one.stage for one in registry.versions].count("production") == 1


def test_eight_processes_with_a_lying_lock_lose_no_update(writers, three, catalog, root):
    done = writers("write", "lying", "25", "mixed", count=8)
    registry = sound(catalog)
    assert registry.revision == 3 + sum(map(int, done))
    comments = {one["comment"] for one in registry.find("v0.1.0").comments}
    assert comments == {f"{n}-{at}" for n in range(8) for at in range(1, 25, 2)}
    assert [one.stage for one in registry.versions].count("production") == 1


def test_a_claim_of_a_writer_that_died_is_rolled_forward(writers, three, project, root):
    before = (root / "models/clf/registry.json").read_bytes()
    writers("die-after-claim", count=1)
    assert (root / "models/clf/registry.json").read_bytes() == before
    project.comment("clf", "v0.2.0", "of the living")
    registry = sound(project.catalog)
    assert [one.comment for one in registry.history[-2:]] == ["of the dead", "of the living"]
    assert registry.revision == 5


class Hooked(Disk):
    """Calls `act` once, at the first step of that name on a file of that name."""

    __slots__ = ()
    at = ("", "")
    act = None

    def __init__(self):
        super().__init__(lock_factory=lambda _path, _timeout: contextlib.nullcontext())

    def step(self, primitive, path):
        if (primitive, path.name) == Hooked.at and Hooked.act:
            act, Hooked.act = Hooked.act, None
            act()


def overtaken(root, primitive, name, act):
    Hooked.at, Hooked.act = (primitive, name), act
    return Project(root, disk=Hooked())


def test_a_writer_overtaken_before_it_publishes_keeps_the_later_revision(three, root, catalog):
    other = Project(root)

    def act():
        for at in range(3):
            other.comment("clf", "v0.1.0", f"later {at}")

    # The claim is made; the others roll it forward and go on before it is published.
    slow = overtaken(root, "replace", "registry.json", act)
    slow.comment("clf", "v0.1.0", "slow")
    registry = sound(catalog)
    said = [one.comment for one in registry.history[3:]]
    assert said == ["slow", "later 0", "later 1", "later 2"]


def test_a_writer_overtaken_before_its_claim_writes_after_the_other(three, root, catalog):
    registry = catalog.registrar.load("clf")
    claim = f"{registry.revision + 1}-{registry.head.removeprefix('sha256:')[:16]}-0"
    other = Project(root)
    slow = overtaken(root, "create", claim, lambda: other.comment("clf", "v0.1.0", "fast"))
    slow.comment("clf", "v0.1.0", "slow")
    assert Hooked.act is None
    assert [one.comment for one in sound(catalog).history[3:]] == ["fast", "slow"]


def test_a_writer_that_plans_while_another_claims_does_not_pass_over_it(three, catalog, root):
    other = Project(root)
    project = Project(root, disk=Disk(lock_factory=lambda *_: contextlib.nullcontext()))
    acted = []
    from nbversion.store.promotion import Signature, plan_promote

    signature = Signature(actor="slow", utc="2026-01-01T00:00:00Z")

    def plan(registry):
        if not acted:
            acted.append(other.comment("clf", "v0.1.0", "fast"))
        return plan_promote(registry, "v0.1.0", "production", signature)

    project.catalog.registrar.commit("clf", plan)
    assert [one.action for one in sound(catalog).history[3:]] == ["comment", "promote"]


def test_a_writer_that_slept_past_the_kept_claims_does_not_report_what_is_lost(
    no_flush, three, catalog, root
):
    other = Project(root)
    project = Project(root, disk=Disk(lock_factory=lambda *_: contextlib.nullcontext()))
    from nbversion.store.promotion import Signature, plan_promote

    signature = Signature(actor="slow", utc="2026-01-01T00:00:00Z")
    slept = []

    def plan(registry):
        if not slept:
            slept.append(1)
            for at in range(100):
                other.comment("clf", "v0.1.0", str(at))
        return plan_promote(registry, "v0.1.0", "production", signature)

    _, entry = project.catalog.registrar.commit("clf", plan)
    registry = sound(catalog)
    assert registry.revision == entry.revision == 104
    assert registry.history[-1].op_id == signature.op_id


def test_old_claims_are_tidied_away(no_flush, three, project, root):
    for at in range(100):
        project.comment("clf", "v0.1.0", str(at))
    claims = [one.name for one in (root / ".nbversion/registry/clf").iterdir()]
    assert not [name for name in claims if name.startswith(("1-", "50-"))]
    assert len(claims) < 120
    assert sound(project.catalog).revision == 103


def backdate(root):
    for mark in (root / ".nbversion/registry/clf").glob("*.done"):
        os.utime(mark, (time.time() - 60, time.time() - 60))


def test_an_older_registry_put_back_by_hand_is_what_the_next_write_continues(three, project, root):
    path = root / "models/clf/registry.json"
    old = path.read_bytes()
    for at in range(3):
        project.comment("clf", "v0.1.0", f"dropped {at}")
    backdate(root)
    path.write_bytes(old)
    project.comment("clf", "v0.1.0", "kept")
    project.comment("clf", "v0.1.0", "kept too")
    said = [one.comment for one in sound(project.catalog).history[3:]]
    assert said == ["kept", "kept too"]
    backdate(root)
    path.write_bytes(old)
    project.comment("clf", "v0.1.0", "third time")
    assert [one.comment for one in sound(project.catalog).history[3:]] == ["third time"]


def test_deleting_the_caches_between_writes_loses_nothing(three, project, root):
    import shutil

    project.comment("clf", "v0.1.0", "before")
    shutil.rmtree(root / ".nbversion")
    project.comment("clf", "v0.1.0", "after")
    assert [one.comment for one in sound(project.catalog).history[3:]] == ["before", "after"]


def edited_stage(text):
    record = json.loads(text)
    record["versions"][0]["stage"] = "production"
    return json.dumps(record)


def two_productions(text):
    record = json.loads(text)
    for one in record["versions"][:2]:
        one["stage"] = "production"
    return json.dumps(record)


def edited_comment(text):
    return text.replace('"actor": "test"', '"actor": "mallory"', 1)


def dropped_entry(text):
    record = json.loads(text)
    del record["history"][1]
    return json.dumps(record)


BROKEN = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "zeros": lambda text: "\0" * len(text),
    "edited stage": edited_stage,
    "edited history": edited_comment,
    "dropped entry": dropped_entry,
    "two productions": two_productions,
    "of another model": lambda text: text.replace('"name": "clf"', '"name": "other"'),
    "newer schema": lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
}
WRITES = {
    "promote": lambda project: project.promote("clf", "v0.1.0", "production"),
    "rollback": lambda project: project.rollback("clf", to="v0.1.0"),
    "comment": lambda project: project.comment("clf", "v0.1.0", "text"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_registry_refuses_every_write_and_stays_as_it_is(how, write, three, project, root):
    path = root / "models/clf/registry.json"
    broken = BROKEN[how](path.read_text())
    assert broken != path.read_text()
    path.write_text(broken)
    before = path.stat().st_ino, path.stat().st_mtime_ns
    with pytest.raises((FormatError, IntegrityError), match="left untouched"):
        WRITES[write](project)
    assert path.read_text() == broken
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_registry_refuses_a_registration(how, three, register, root):
    path = root / "models/clf/registry.json"
    path.write_text(BROKEN[how](path.read_text()))
    before = path.read_bytes()
    with pytest.raises(NbversionError, match="left untouched"):
        register("v0.9.0")
    assert path.read_bytes() == before


def test_a_writer_that_never_wins_gives_up_without_a_trace(three, catalog, root, monkeypatch):
    before = (root / "models/clf/registry.json").read_bytes()
    monkeypatch.setattr(Disk, "create", lambda *_args, **_options: False)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(LostRaceError, match="were faster 200 times"):
        Project(root).comment("clf", "v0.1.0", "text")
    assert (root / "models/clf/registry.json").read_bytes() == before


class Faulty(Disk):
    """Raises what it is told to at the steps of those names."""

    __slots__ = ("faults",)

    def __init__(self, faults):
        super().__init__()
        self.faults = faults

    def step(self, primitive, path):
        for (wanted, name), fault in self.faults.items():
            if primitive == wanted and name in (path.name, path.name.partition("-")[0]):
                raise fault


FULL = StorageError("no space left on device")
NEXT = "4"  # the claims of the fourth revision are called 4-...


@pytest.mark.parametrize("fault", [FULL, KeyboardInterrupt(), OSError(5, "io")])
@pytest.mark.parametrize("at", [("replace", "registry.json"), ("create", NEXT)])
def test_a_write_that_failed_never_takes_effect_later(at, fault, three, project, root, catalog):
    before = (root / "models/clf/registry.json").read_bytes()
    with pytest.raises(type(fault)):
        Project(root, disk=Faulty({at: fault})).promote("clf", "v0.1.0", "production")
    assert (root / "models/clf/registry.json").read_bytes() == before
    project.comment("clf", "v0.2.0", "unrelated")
    registry = sound(catalog)
    assert registry.production is None
    assert [one.action for one in registry.history[3:]] == ["comment"]


def test_a_claim_made_by_a_call_that_failed_after_it_is_withdrawn_too(
    three, project, root, catalog, monkeypatch
):
    sync = Disk.sync_folder
    failed = []

    def failing(disk, folder):
        if folder.parent.name == "registry" and list(folder.glob("4-*")) and not failed:
            failed.append(1)
            raise FULL
        sync(disk, folder)

    monkeypatch.setattr(Disk, "sync_folder", failing)
    with pytest.raises(StorageError, match="no space"):
        Project(root).promote("clf", "v0.1.0", "production")
    assert failed
    project.comment("clf", "v0.2.0", "unrelated")
    assert sound(catalog).production is None


def test_a_failure_after_the_registry_was_replaced_is_no_failure(three, root, project, catalog):
    done = Project(root, disk=Faulty({("mark", NEXT): FULL})).promote("clf", "v0.1.0", "production")
    assert done.changed
    assert sound(catalog).production.version == "v0.1.0"
    with pytest.raises(KeyboardInterrupt):
        Project(root, disk=Faulty({("mark", "5"): KeyboardInterrupt()})).comment(
            "clf", "v0.1.0", "written"
        )
    project.comment("clf", "v0.1.0", "next")
    assert [one.comment for one in sound(catalog).history[4:]] == ["written", "next"]


def test_a_claim_that_cannot_be_withdrawn_is_said_to_be_unknown(three, root):
    faults = {("replace", "registry.json"): FULL, ("remove", NEXT): FULL}
    with pytest.raises(StorageError, match=r"is not known; look at %registry clf"):
        Project(root, disk=Faulty(faults)).promote("clf", "v0.1.0", "production")


EVIL = ["../../other/models/evil", "..", "", "a/b", "/abs", "A", "a\\b", "x\0y"]


@pytest.mark.parametrize("name", EVIL)
def test_a_name_that_leaves_the_project_is_refused_everywhere(name, three, root, tree, project):
    other = root.parent / "other/models/evil"
    other.mkdir(parents=True)
    text = (root / "models/clf/registry.json").read_text()
    (other / "registry.json").write_text(
        text.replace('"name": "clf"', f'"name": {json.dumps(name)}')
    )
    before = tree(root.parent)
    catalog = project.catalog
    for call in (
        lambda: project.comment(name, "v0.1.0", "evil"),
        lambda: project.promote(name, "v0.1.0", "production"),
        lambda: project.rollback(name),
        lambda: project.load_model(name),
        lambda: catalog.registrar.commit(name, lambda _: None),
        lambda: catalog.registrar.load(name),
        lambda: catalog.models.load(name, "v0.1.0"),
        lambda: catalog.models.versions(name),
        lambda: catalog.snapshots.load(name, "v0.1"),
        lambda: project.catalog.project.snapshot_folder(name, "v0.1"),
        lambda: catalog.runs.load(f"../{name}"),
    ):
        with pytest.raises(InvalidInputError):
            call()
    for version in ("../../x", "v1", "v0.1.0/..", ".."):
        with pytest.raises(InvalidInputError):
            catalog.models.load("clf", version)
        with pytest.raises(InvalidInputError):
            catalog.snapshots.load("iris", version)
    assert tree(root.parent) == before
