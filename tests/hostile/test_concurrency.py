"""Two at once, a clock that lies, a fork: each gets an answer that was true."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from nbversion.errors import ConflictError, FormatError, NotFoundError
from nbversion.formats.registry import parse_registry, problems
from nbversion.project import Project

SNAPSHOT = """
made = project.snapshot('data/raw/d'{options})
print(made.reference, made.created)
"""
REGISTER = """
from nbversion.store.models import ModelContent
from nbversion.store.promotion import Signature, plan_register
catalog = project.catalog
content = ModelContent(items={{'model.bin': {content}}}, metrics={{}}, params={{}}, run_id=None,
                       details={{}}, card=lambda made: made)
try:
    frozen = catalog.models.freeze('clf', content, version={version!r}, registry=None)
    version = frozen.manifest.version
    catalog.registrar.commit('clf', lambda registry: plan_register(
        registry, version, Signature(actor=str(number), utc='2026'),
        digest=frozen.manifest.digest, run_id=None))
    print('registered', version)
except NbversionError as exc:
    print(type(exc).__name__)
"""


def test_processes_that_freeze_one_folder_at_once_agree_on_one_version(processes, raw, root):
    for at in range(40):
        raw(f"d/{at}.csv", str(at).encode() * 1000)
    done = processes(SNAPSHOT.format(options=""), count=4)
    assert {one.split()[0] for one in done} == {"d_v0.1"}
    assert sorted(one.split()[1] for one in done) == ["False", "False", "False", "True"]
    folders = [one.name for one in (root / "data/snapshots").iterdir() if one.is_dir()]
    assert folders == ["d_v0.1"]
    assert Project(root).verify().holds


def test_processes_that_freeze_one_named_version_at_once_make_it_once(processes, raw, root):
    raw("d/a.csv", b"x" * 100_000)
    done = processes(SNAPSHOT.format(options=", version='v3.0'"), count=3)
    assert sorted(done) == ["d_v3.0 False", "d_v3.0 False", "d_v3.0 True"]
    assert Project(root).verify().holds


@pytest.mark.parametrize("content", ["b'same'", "str(number).encode()"])
def test_one_of_two_that_register_a_version_at_once_gets_it(content, processes, root, raw):
    done = processes(REGISTER.format(content=content, version="v1.0.0"), count=3)
    assert sorted(done) == ["ConflictError", "ConflictError", "registered v1.0.0"]
    project = Project(root)
    registry = project.catalog.registrar.load("clf")
    assert [one.version for one in registry.versions] == ["v1.0.0"]
    assert problems(registry) == []
    assert project.verify().holds


def test_registrations_without_a_version_at_once_get_one_each(processes, root):
    done = processes(REGISTER.format(content="b'same'", version=None), count=4)
    assert sorted(done) == [f"registered v0.1.0-dev.{at}" for at in range(1, 5)]
    assert Project(root).verify().holds


def test_a_reader_sees_whole_documents_only_while_a_writer_writes(register, project, root):
    register("v0.1.0")
    register("v0.2.0")
    project.promote("clf", "v0.1.0", "production")
    stop, seen, wrong = threading.Event(), [], []

    def read():
        other = Project(root)
        while not stop.is_set():
            try:
                data = (root / "models/clf/registry.json").read_bytes()
                registry = parse_registry(data, "r", "clf")
                serving = [one for one in registry.versions if one.stage == "production"]
                if problems(registry) or len(serving) != 1:
                    wrong.append(data)
                seen.append(registry.revision)
                if not other.verify("clf@production").holds:
                    wrong.append("verify")
            except (FormatError, NotFoundError, OSError) as exc:
                wrong.append(exc)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for one in readers:
        one.start()
    for at in range(30):
        project.promote("clf", f"v0.{1 + (at + 1) % 2}.0", "production")
    stop.set()
    for one in readers:
        one.join(timeout=60)
    assert wrong == []
    assert len(set(seen)) > 1
    assert seen


def test_a_reader_of_a_data_set_never_sees_half_a_version(root, raw):
    for at in range(30):
        raw(f"d/{at}.csv", str(at).encode())
    stop, wrong, seen = threading.Event(), [], set()

    def read():
        other = Project(root)
        while not stop.is_set():
            for name, version in other.catalog.snapshots.references():
                found = other.catalog.snapshots.load(name, str(version))
                seen.add(str(version))
                if found.findings():
                    wrong.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    project = Project(root)
    for at in range(8):
        raw("d/0.csv", f"round {at}".encode())
        project.snapshot("data/raw/d")
    stop.set()
    reader.join(timeout=60)
    assert not reader.is_alive()
    assert wrong == []
    assert seen


SUMMER_TIME = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("start", [SUMMER_TIME, datetime(1970, 1, 9, tzinfo=UTC)])
def test_a_clock_that_goes_backwards_changes_no_order(start, root, raw):
    clock = {"now": start}

    def backwards():
        clock["now"] -= timedelta(hours=7)
        return clock["now"]

    project = Project(root, clock=backwards)
    for at in range(4):
        raw("d.csv", str(at).encode())
        project.snapshot("data/raw/d.csv")
    assert project.data("d@latest").joinpath("d.csv").read_bytes() == b"3"
    catalog = project.catalog
    from nbversion.store.models import ModelContent
    from nbversion.store.promotion import Signature, plan_register

    for version in ("v0.1.0", "v0.2.0", "v0.10.0"):
        content = ModelContent(
            items={"model.bin": version.encode()},
            metrics={},
            params={},
            run_id=None,
            details={},
            card=str,
        )
        frozen = catalog.models.freeze("clf", content, version=version, registry=None)
        signature = Signature(actor="a", utc=catalog.project.now())
        catalog.registrar.commit(
            "clf",
            lambda registry, frozen=frozen, signature=signature: plan_register(
                registry,
                frozen.manifest.version,
                signature,
                digest=frozen.manifest.digest,
                run_id=None,
            ),
        )
        project.promote("clf", version, "production")
    back = project.rollback("clf")
    assert (back.from_version, back.to_version) == ("v0.10.0", "v0.2.0")
    registry = catalog.registrar.load("clf")
    assert [one.revision for one in registry.history] == list(range(1, 8))
    times = [one.utc for one in registry.history]
    assert times == sorted(times, reverse=True)
    assert problems(registry) == []
    assert Project(root).verify().holds


def test_runs_begun_in_one_second_and_after_a_step_back_have_ids_of_their_own(root):
    from nbversion.formats.run_record import RunRecord

    now = {"at": datetime(2026, 1, 2, tzinfo=UTC)}
    project = Project(root, clock=lambda: now["at"])
    made = []
    for step in (0, 0, -86_400, 0, 86_400):
        now["at"] += timedelta(seconds=step)
        made.append(
            project.catalog.runs.begin(
                "x", lambda run_id: RunRecord(run_id=run_id, status="running")
            ).run_id
        )
    assert len(set(made)) == len(made)
    assert len({one[:-5] for one in made}) == len(made)


def test_a_child_after_a_fork_writes_for_itself_and_harms_nothing(project, register, root):
    register("v0.1.0")
    project.promote("clf", "v0.1.0", "production")
    pids = []
    for number in range(2):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for at in range(5):
                    project.comment("clf", "v0.1.0", f"child {number}-{at}")
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    for at in range(5):
        project.comment("clf", "v0.1.0", f"parent {at}")
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    registry = project.catalog.registrar.load("clf")
    said = [one.comment for one in registry.history if one.action == "comment"]
    assert sorted(said) == sorted(
        [f"child {n}-{at}" for n in range(2) for at in range(5)]
        + [f"parent {at}" for at in range(5)]
    )
    assert problems(registry) == []


def test_latest_is_resolved_once_for_a_run(project, raw, root):
    """What the record names is what the run was given, whatever was published meanwhile."""
    raw("d.csv", b"first")
    project.snapshot("data/raw/d.csv")
    with project.track("train", data="d@latest") as run:
        raw("d.csv", b"second")
        Project(root).snapshot("data/raw/d.csv")
        assert str(project.catalog.snapshots.newest("d").manifest.version) == "v0.2"
        assert run is not None
    (record,) = project.runs().runs
    assert [one["ref"] for one in record.data] == ["d_v0.1"]
    manifest = json.loads((root / "data/snapshots/d_v0.1/manifest.json").read_text())
    assert record.data[0]["digest"] == manifest["digest"]


def test_a_version_registered_with_other_bytes_later_is_refused(register, root):
    register("v1.0.0", "first")
    before = (root / "models/clf/registry.json").read_bytes()
    for content in ("first", "second"):
        with pytest.raises(ConflictError, match="never reused"):
            register("v1.0.0", content)
    assert (root / "models/clf/registry.json").read_bytes() == before
