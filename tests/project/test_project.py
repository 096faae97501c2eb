from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import nbversion
from nbversion import tracking
from nbversion.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from nbversion.project import Project


def git_init(folder):
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def listed(root):
    return {one.relative_to(root).as_posix() for one in root.rglob("*")}


# -- where the project is ------------------------------------------------------------------


def test_the_root_is_the_settings_file_then_git_then_the_folder_itself(home):
    deep = home / "repo/sub/deep"
    deep.mkdir(parents=True)
    assert Project.find(deep).root == deep
    git_init(home / "repo")
    assert Project.find(deep).root == home / "repo"
    (home / "repo/sub/nbversion.yaml").write_text("")
    assert Project.find(deep).root == home / "repo/sub"
    (deep / "nbversion.yaml").write_text("")
    assert Project.find(deep).root == deep


def test_the_working_directory_is_where_the_search_begins(home, monkeypatch):
    (home / "proj/sub").mkdir(parents=True)
    (home / "proj/nbversion.yaml").write_text("")
    monkeypatch.chdir(home / "proj/sub")
    assert Project.find().root == home / "proj"


def test_the_home_folder_is_never_a_project(home, monkeypatch):
    git_init(home)
    (home / "nbversion.yaml").write_text("")
    monkeypatch.chdir(home)
    before = listed(home)
    for attempt in (Project.find, lambda: Project.find(home), lambda: Project.init(home)):
        with pytest.raises(InvalidInputError, match="cannot be a project"):
            attempt()
    with pytest.raises(InvalidInputError, match="cannot be a project"):
        Project.find("/")
    assert listed(home) == before
    (home / "sub").mkdir()
    assert Project.find(home / "sub").root == home / "sub"


def test_a_mistyped_folder_is_not_the_project_around_it(project):
    (project.root / "nbversion.yaml").write_text("")
    with pytest.raises(NotFoundError, match="typo is no folder"):
        Project.find(project.root / "typo")
    with pytest.raises(NotFoundError, match="typo is no folder"):
        Project(project.root / "typo")


def test_looking_writes_nothing(project):
    project.status()
    project.runs()
    project.registry()
    project.lineage()
    project.verify()
    assert listed(project.root) == set()


def test_init_makes_the_template_once_and_leaves_what_is_there(home):
    root = home / "new/proj"
    project = Project.init(root)
    assert project.root == root
    made = listed(root)
    assert {"data/raw", "data/snapshots", "models", "runs", "env", "code"} <= made
    assert {"nbversion.yaml", "models/.gitignore", "runs/.gitattributes"} <= made
    (root / "nbversion.yaml").write_text("owner: Ada\n")
    (root / "models/.gitignore").write_text("mine\n")
    (root / "data/raw/iris.csv").write_text("1")
    Project.init(root)
    assert (root / "nbversion.yaml").read_text() == "owner: Ada\n"
    assert (root / "models/.gitignore").read_text() == "mine\n"
    assert listed(root) == made | {"data/raw/iris.csv"}


def test_status_counts_what_is_there(home, project, freeze, train):
    before = project.status().to_json()
    assert before == {
        "root": str(project.root),
        "initialised": False,
        "git": None,
        "snapshots": 0,
        "models": 0,
        "runs": 0,
        "running": [],
    }
    assert "Nothing is written yet" in repr(project.status())
    git_init(project.root)
    freeze()
    freeze(text="other")
    train(model="clf")
    with project.track("x") as run:
        during = project.status()
        elsewhere = Project.init(home / "elsewhere").status()
    assert during.running == (run.record.run_id,)
    assert elsewhere.running == ()
    after = project.status().to_json()
    assert after == before | {
        "initialised": True,
        "git": str(project.root),
        "snapshots": 2,
        "models": 1,
        "runs": 2,
    }


# -- runs of scripts -----------------------------------------------------------------------


def test_a_finished_block_leaves_a_frozen_record(project, freeze):
    freeze()
    with project.track("fit", data="iris_v0.1") as run:
        nbversion.log_param("C", 1.0)
        nbversion.log_metric("loss", 0.5, step=1)
        nbversion.log_metric("loss", 0.25, step=2)
        (project.root / "out.txt").write_text("out")
        nbversion.log_artifact("out.txt")
        running = project.catalog.runs.load(run.record.run_id)
    assert running.status == "running"
    record = project.catalog.runs.require_sound(run.record.run_id)
    assert record.status == "finished"
    assert (record.params, record.metrics) == ({"C": 1.0}, {"loss": 0.25})
    assert [one["ref"] for one in record.data] == ["iris_v0.1"]
    folder = project.root / "runs" / record.run_id
    assert (folder / "artifacts/out.txt").read_text() == "out"
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    mode = (project.root / "runs" / f"{record.run_id}.yaml").stat().st_mode
    assert stat.S_IMODE(mode) == 0o444
    assert nbversion.last_run().run_id == record.run_id
    assert project.run(record.run_id[:-2]).record == record
    assert tracking.active_tracker() is None


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (ValueError("bad"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(3), "failed"),
        (SystemExit("told"), "failed"),
        (SystemExit(0), "finished"),
        (SystemExit(), "finished"),
    ],
)
def test_a_block_that_ends_early_keeps_its_record_and_its_exception(project, raised, status):
    def block():
        with project.track("fit") as run:
            ids.append(run.record.run_id)
            run.log_metric("f1", 0.5)
            raise raised

    ids = []
    with pytest.raises(type(raised)):
        block()
    record = project.catalog.runs.require_sound(ids[0])
    assert (record.status, record.metrics) == (status, {"f1": 0.5})
    assert record.extra.get("error", {}).get("type") == (
        None if status == "finished" else type(raised).__name__
    )
    assert tracking.active_tracker() is None


def test_a_run_inside_a_run_is_refused_and_the_outer_goes_on(project):
    with project.track("outer") as outer:
        with pytest.raises(InvalidInputError, match="run inside a run"), project.track("inner"):
            pytest.fail("the inner block ran")
        outer.log_metric("f1", 1)
    assert [one.extra["name"] for one in project.runs().runs] == ["outer"]
    assert project.runs().runs[0].metrics == {"f1": 1}


def test_data_that_does_not_hold_stops_the_run_before_its_first_line(project, freeze):
    snapshot = freeze()
    file = snapshot.path / "iris.csv"
    file.chmod(0o644)
    file.write_text("a,b\n1,9\n")
    with pytest.raises(IntegrityError), project.track("fit", data="iris_v0.1"):
        pytest.fail("the block ran")
    assert project.runs().runs == ()


def test_data_taken_in_a_run_is_named_in_its_record(home, project, freeze):
    freeze()
    other = Project.init(home / "other")
    (home / "x.csv").write_text("1")
    other.snapshot(home / "x.csv", name="x")
    with project.track("fit") as run:
        path = project.data("iris_v0.1")
        other.data("x_v0.1")
    assert (path / "iris.csv").read_text() == "a,b\n1,2\n"
    record = project.catalog.runs.load(run.record.run_id)
    assert [one["ref"] for one in record.data] == ["iris_v0.1"]


def test_an_object_frozen_in_a_run_names_the_run_of_its_own_project_only(home, project):
    import numpy as np

    other = Project.init(home / "other")
    with project.track("fit") as run:
        mine = project.snapshot(np.arange(3), name="mine")
        foreign = other.snapshot(np.arange(3), name="foreign")
    assert mine.manifest.run_id == run.record.run_id
    assert foreign.manifest.run_id is None
    assert other.verify().holds


def test_a_script_is_tracked_with_its_source(project, home):
    script = project.root / "fit.py"
    script.write_text(
        "import nbversion\n"
        "with nbversion.Project.find().track('fit') as run:\n"
        "    nbversion.log_metric('f1', 1)\n"
        "print(run.record.run_id)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=project.root,
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        check=True,
        text=True,
    )
    run_id = done.stdout.strip()
    assert project.catalog.runs.load(run_id).status == "finished"
    assert "log_metric" in (project.root / "runs" / run_id / "session.json").read_text()


# -- models --------------------------------------------------------------------------------


@pytest.fixture
def served(project, train):
    train(model="clf", version="v0.1.0", value={"w": 1})
    train(model="clf", version="v0.2.0", value={"w": 2})
    project.promote("clf", "v0.1.0", "production")
    project.promote("clf", "v0.2.0", "staging")
    return project


def test_production_is_loaded_unless_another_stage_or_a_version_is_named(served):
    assert served.load_model("clf") == {"w": 1}
    assert served.load_model("clf", stage="staging") == {"w": 2}
    assert served.load_model("clf", version="v0.2.0") == {"w": 2}
    assert nbversion.load_model("clf") == {"w": 1}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"stage": "production", "version": "v0.1.0"}, InvalidInputError),
        ({"stage": "live"}, InvalidInputError),
        ({"stage": "archived"}, NotFoundError),
        ({"version": "v9.0.0"}, NotFoundError),
    ],
)
def test_a_model_that_is_not_there_is_not_loaded(served, options, error):
    with pytest.raises(error):
        served.load_model("clf", **options)
    with pytest.raises(NotFoundError):
        served.load_model("none")


@pytest.mark.parametrize("damage", ["bytes", "manifest", "registry", "swapped"])
def test_a_model_that_does_not_hold_is_not_loaded(served, damage):
    folder = served.root / "models/clf/v0.1.0"
    model, manifest = folder / "model.pkl", folder / "manifest.json"
    registry = served.root / "models/clf/registry.json"
    model.chmod(0o644)
    if damage == "bytes":
        model.write_bytes((served.root / "models/clf/v0.2.0/model.pkl").read_bytes())
    elif damage == "manifest":
        manifest.write_text(manifest.read_text().replace('"notes": ""', '"notes": "x"'))
    elif damage == "registry":
        registry.write_text(registry.read_text().replace('"production"', '"staging"', 1))
    else:
        # Sound in itself, and not what was registered.
        other = served.catalog.models.load("clf", "v0.2.0").manifest
        moved = replace(other, version="v0.1.0", folder="models/clf/v0.1.0")
        for path in (served.root / "models/clf/v0.2.0").iterdir():
            (folder / path.name).unlink()
            (folder / path.name).write_bytes(path.read_bytes())
        manifest.write_bytes(moved.dump())
        assert moved.digest == other.digest
    with pytest.raises(IntegrityError):
        served.load_model("clf")
    if damage in ("bytes", "manifest"):
        assert served.load_model("clf", version="v0.2.0") == {"w": 2}


def test_a_model_of_several_files_is_restored_instead(project, train):
    folder = project.root / "net"
    folder.mkdir()
    (folder / "a.bin").write_text("a")
    (folder / "b.bin").write_text("b")
    train(model="net", value=Path(folder), version="v0.1.0")
    with pytest.raises(NotFoundError, match=r"%restore net@v0\.1\.0 PATH"):
        project.load_model("net", version="v0.1.0")


# -- copies --------------------------------------------------------------------------------


def test_a_restored_copy_can_be_changed_and_the_version_stays(project, freeze):
    freeze()
    restored = project.restore("iris_v0.1", "work/iris")
    copy = project.root / "work/iris/iris.csv"
    assert (restored.path, restored.files) == (project.root / "work/iris", 1)
    assert copy.read_text() == "a,b\n1,2\n"
    copy.write_text("changed")
    assert project.verify("iris_v0.1").holds


def test_a_model_is_restored_by_its_stage(served):
    served.restore("clf@production", "out")
    assert (served.root / "out/model.pkl").read_bytes() == (
        served.root / "models/clf/v0.1.0/model.pkl"
    ).read_bytes()


def test_nothing_is_restored_over_a_path_or_of_a_run(project, freeze, train):
    freeze()
    run = train()
    (project.root / "there").write_text("mine")
    with pytest.raises(ConflictError):
        project.restore("iris_v0.1", "there")
    with pytest.raises(InvalidInputError, match="neither a data set nor a model"):
        project.restore(run.run_id, "new")
    assert (project.root / "there").read_text() == "mine"
    assert not (project.root / "new").exists()


def test_the_last_record_of_a_project_shows_itself(project):
    assert repr(project) == f"Project({str(project.root)!r})"
    with pytest.raises(NotFoundError):
        project.run("2026")
