"""A run of a script: `Project.track` and the tracker behind it."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

import nbversion
from nbversion.disk import Disk
from nbversion.errors import InvalidInputError, StorageError
from nbversion.project import Project
from nbversion.tracking import active, last_run, tracker

_environment = []


@pytest.fixture(autouse=True)
def _quick_and_alone(monkeypatch):
    read = tracker.read_environment

    def once(cached, **options):
        if not _environment:
            _environment.append(read(None, **options))
        return _environment[0]

    monkeypatch.setattr(tracker, "read_environment", once)
    yield
    active._active.clear()
    active._last.clear()


class Faulty(Disk):
    """A disk that refuses one primitive."""

    primitive = None

    def step(self, primitive, path):
        if primitive == self.primitive:
            raise StorageError(f"cannot {primitive}: the disk is full.")


def only(project):
    (run_id,) = project.catalog.runs.ids()
    record = project.catalog.runs.load(run_id)
    assert record.problem is None
    return record


def test_a_block_is_a_run_with_what_was_logged_in_it(project, root):
    (root / "a.txt").write_text("x")
    with project.track("iris") as run:
        assert only(project).status == "running"
        run.log_param("seed", 1)
        nbversion.log_metric("f1", 0.5, step=2)
        nbversion.log_artifact("a.txt")
    record = only(project)
    assert (record.status, record.params, record.metrics) == ("finished", {"seed": 1}, {"f1": 0.5})
    assert record.origins == {"seed": "logged"}
    assert last_run().run_id == record.run_id
    path = root / f"runs/{record.run_id}.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert "process" not in record.extra


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "failed"), (KeyboardInterrupt, "interrupted"), (SystemExit, "failed")],
)
def test_what_ends_the_block_ends_the_run_and_goes_on(project, error, status):
    with pytest.raises(error), project.track("iris"):
        raise error("why")
    record = only(project)
    assert (record.status, record.extra["error"]["type"]) == (status, error.__name__)


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.log_metric("late", 1),
        lambda run: run.log_param("late", 1),
        lambda run: run.log_artifact("a.txt"),
        lambda run: run.log_figure(object(), "late"),
    ],
)
def test_after_its_end_a_run_takes_nothing(project, root, call):
    with project.track("iris") as run:
        pass
    before = (root / f"runs/{only(project).run_id}.yaml").read_bytes()
    with pytest.raises(InvalidInputError, match="has ended"):
        call(run)
    assert (root / f"runs/{only(project).run_id}.yaml").read_bytes() == before


def test_a_run_in_a_run_is_refused_and_the_outer_one_goes_on(project):
    with project.track("outer"):
        with pytest.raises(InvalidInputError, match="is under way"), project.track("inner"):
            pass
        nbversion.log_metric("f1", 1)
    assert only(project).metrics == {"f1": 1}


def in_a_child(act):
    """Run `act` in a forked child and return whether it did what it should."""
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_neither_log_to_nor_end_the_run(project, root):
    (root / "a.txt").write_text("x")

    def log(run):
        for call in (
            lambda: run.log_metric("child", 1),
            lambda: run.log_artifact(root / "a.txt"),
            lambda: nbversion.log_param("child", 1),
        ):
            with pytest.raises(InvalidInputError):
                call()

    def end(run):
        run.end(nbversion.tracking.Results())

    with project.track("iris") as run:
        run.log_artifact(root / "a.txt", "kept.txt")
        assert in_a_child(lambda: log(run))
        assert in_a_child(lambda: end(run))
        assert only(project).status == "running"
    record = only(project)
    assert (record.status, record.metrics) == ("finished", {})
    assert [one["path"].rpartition("/")[2] for one in record.artifacts] == ["kept.txt"]
    assert os.listdir(root / f"runs/{record.run_id}/artifacts") == ["kept.txt"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_have_a_run_of_its_own(project):
    def own():
        with project.track("child"):
            nbversion.log_metric("f1", 2)

    with project.track("parent"):
        assert in_a_child(own)
        nbversion.log_metric("f1", 1)
    records = {one.extra["name"]: one for one in project.catalog.runs.all()}
    assert {name: one.metrics for name, one in records.items()} == {
        "parent": {"f1": 1},
        "child": {"f1": 2},
    }


def test_a_file_that_keeps_changing_is_refused_and_the_record_is_whole(project, root, monkeypatch):
    path = root / "log.txt"
    path.write_text("x")
    from nbversion.tracking import artifacts

    read = artifacts.blocks

    def changing(handle):
        yield from read(handle)
        with path.open("a") as more:
            more.write("y")

    with project.track("iris") as run:
        with monkeypatch.context() as patch:
            patch.setattr(artifacts, "blocks", changing)
            with pytest.raises(StorageError, match="kept changing"):
                run.log_artifact(path)
        run.log_artifact(path)
    (kept,) = only(project).artifacts
    assert (root / kept["path"]).read_bytes() == path.read_bytes()


def test_a_run_that_cannot_begin_leaves_no_record(root, clock):
    disk = Faulty()
    project = Project(root, disk=disk, clock=clock)
    disk.primitive = "create"
    with pytest.raises(StorageError), project.track("iris"):
        pytest.fail("the block was run")
    assert project.catalog.runs.ids() == []
    disk.primitive = None
    with project.track("iris"):
        pass
    assert only(project).status == "finished"


@pytest.mark.parametrize("primitive", ["stage", "flush", "publish"])
def test_files_that_cannot_be_kept_leave_a_record_that_says_so(root, clock, primitive):
    disk = Faulty()
    project = Project(root, disk=disk, clock=clock)
    with project.track("iris"):
        nbversion.log_metric("f1", 1)
        disk.primitive = primitive
    record = only(project)
    assert (record.status, record.metrics, record.artifacts) == ("finished", {"f1": 1}, ())
    assert any("the disk is full" in one for one in record.warnings)
    leftovers = [one.name for one in (root / "runs").iterdir() if one.name.startswith(".nbv-")]
    assert leftovers == []


def test_a_figure_name_with_a_number_in_it_is_no_file_type(project):
    class Figure:
        def savefig(self, buffer, format):  # noqa: A002  # matplotlib's own name
            buffer.write(format.encode())

    with project.track("a") as run:
        run.log_figure(Figure(), "loss_lr0.1")
        run.log_figure(Figure(), "curve.svg")
    kept = {Path(one["path"]).name for one in only(project).artifacts}
    assert kept == {"loss_lr0.1.png", "curve.svg"}


def test_a_cancelled_script_is_interrupted(project):
    with pytest.raises(asyncio.CancelledError), project.track("a"):
        raise asyncio.CancelledError
    assert only(project).status == "interrupted"


def test_the_files_beside_a_record_are_named_in_it_and_verified(project):
    with project.track("a") as run:
        run.log_metric("loss", 0.5, step=1)
    record = only(project)
    names = {Path(one["path"]).name for one in record.extra["files"]}
    assert names == {"session.json", "metrics.jsonl"}
    assert project.verify().holds
    path = project.root / "runs" / record.run_id / "session.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("cells", "sells"))
    assert [one.kind for one in project.verify().findings] == ["corrupt"]
