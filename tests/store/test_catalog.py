from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from nbversion.errors import (
    ConflictError,
    FormatError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from nbversion.formats.run_record import RunRecord
from nbversion.process import this_process
from nbversion.store.catalog import DataFound, FileFound, ModelFound, RunFound
from nbversion.store.runs import BrokenRun


@pytest.fixture
def filled(project, raw, register, run):
    raw("iris.csv", b"1")
    project.snapshot("data/raw/iris.csv")
    raw("iris.csv", b"2")
    project.snapshot("data/raw/iris.csv")
    register("v0.1.0", model="iris_clf")
    register("v0.2.0-dev.1", model="iris_clf")
    project.promote("iris_clf", "v0.1.0", "production")
    return run("train")


@pytest.fixture
def resolve(catalog, root):
    return lambda text: catalog.resolve(text, here=root)


def test_a_reference_stands_for_what_the_contract_says(filled, resolve, root):
    for text, version in (
        ("iris_v0.1", "v0.1"),
        ("iris", "v0.2"),
        ("iris@latest", "v0.2"),
        ("iris@v0.1", "v0.1"),
        ("data:iris", "v0.2"),
        ("iris_v0.1.0", "v0.1"),
    ):
        found = resolve(text)
        assert isinstance(found, DataFound)
        assert found.frozen.manifest.version == version
    for text, version in (
        ("iris_clf", "v0.1.0"),
        ("iris_clf@production", "v0.1.0"),
        ("iris_clf@dev", "v0.2.0-dev.1"),
        ("iris_clf@latest", "v0.2.0-dev.1"),
        ("model:iris_clf@v0.1.0", "v0.1.0"),
    ):
        found = resolve(text)
        assert isinstance(found, ModelFound)
        assert found.registered.version == version
    for text in (filled.run_id, filled.run_id[:12], f"run:{filled.run_id}"):
        found = resolve(text)
        assert isinstance(found, RunFound)
        assert found.record.run_id == filled.run_id
    for text in ("data/raw/iris.csv", "./data/raw/iris.csv", "file:data/raw/iris.csv"):
        assert resolve(text) == FileFound(root / "data/raw/iris.csv")


def test_a_reference_that_fits_two_things_lists_the_prefixes(filled, resolve, register, root):
    register("v0.1.0", model="iris")
    (root / "iris").write_bytes(b"")
    with pytest.raises(InvalidInputError, match="data:iris or model:iris or file:iris"):
        resolve("iris")
    assert isinstance(resolve("data:iris"), DataFound)
    assert isinstance(resolve("file:iris"), FileFound)


def test_a_folder_of_the_same_name_is_no_file(filled, resolve, root):
    (root / "iris").mkdir()
    assert isinstance(resolve("iris"), DataFound)


def test_a_prefix_of_two_runs_lists_them(filled, resolve, run):
    other = run("train")
    with pytest.raises(InvalidInputError, match=f"{filled.run_id}, {other.run_id}"):
        resolve(filled.run_id.rpartition("-001")[0])


@pytest.mark.parametrize(
    ("text", "near"),
    [("irsi_v0.1", "iris_v0.1"), ("iris_clv", "iris_clf"), ("iris_v0.9", "iris_v0.")],
)
def test_near_names_are_offered(text, near, filled, resolve):
    with pytest.raises(NotFoundError, match=f"Did you mean .*{near}"):
        resolve(text)


def test_a_version_or_stage_that_is_not_there_lists_those_that_are(filled, resolve):
    for text in ("iris_clf@v9.0.0", "iris_clf@staging"):
        with pytest.raises(NotFoundError, match=r"it has v0\.1\.0 \(production\), v0\.2\.0-dev\.1"):
            resolve(text)


@pytest.mark.parametrize("text", ["", "\0", "x" * 5000, "no such thing", "data:"])
def test_nonsense_is_an_error_of_ours(text, filled, resolve):
    with pytest.raises((InvalidInputError, NotFoundError)):
        resolve(text)


def test_a_broken_record_hides_no_other(filled, catalog, run, root, unprivileged):
    broken, secret = run("broken"), run("secret")
    for one, text in ((broken, "run_id: ["), (secret, None)):
        path = root / f"runs/{one.run_id}.yaml"
        path.chmod(0o644)
        if text:
            path.write_text(text)
    (root / f"runs/{secret.run_id}.yaml").chmod(0o000)
    found = {one.run_id: type(one) for one in catalog.runs.all()}
    assert (found[filled.run_id], found[broken.run_id]) == (RunRecord, BrokenRun)
    out = unprivileged("print([type(one).__name__ for one in project.catalog.runs.all()])")
    assert sorted(eval(out)) == ["BrokenRun", "BrokenRun", "RunRecord"]


# -- runs ----------------------------------------------------------------------------------


def dead_process():
    code = (
        "import json; from nbversion.process import this_process;print(json.dumps(this_process()))"
    )
    import json

    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return json.loads(out)


def begin(catalog, process):
    return catalog.runs.begin(
        "train",
        lambda run_id: RunRecord(run_id=run_id, status="running", extra={"process": process}),
    )


def test_only_runs_of_dead_processes_of_this_machine_are_swept(catalog, root):
    dead = begin(catalog, dead_process())
    alive = begin(catalog, this_process())
    elsewhere = begin(catalog, {**dead_process(), "host": "another-machine"})
    unknown = begin(catalog, None)
    rebooted = begin(catalog, {**this_process(), "boot_id": "before the power cut"})
    catalog.runs.sweep()

    def status(record):
        text = (root / f"runs/{record.run_id}.yaml").read_text()
        return next(line for line in text.splitlines() if line.startswith("status"))

    assert [status(one) for one in (dead, rebooted)] == ['status: "lost"'] * 2
    assert [status(one) for one in (alive, elsewhere, unknown)] == ['status: "running"'] * 3
    assert not catalog.runs.load(dead.run_id).problem
    marks = {one.name for one in (root / ".nbversion/running").iterdir()}
    assert marks == {alive.run_id, elsewhere.run_id, unknown.run_id}


def test_a_lost_run_is_told_so_before_anything_is_written(catalog, root):
    dead = begin(catalog, dead_process())
    before = (root / f"runs/{dead.run_id}.yaml").read_bytes()
    assert catalog.runs.load(dead.run_id).status == "lost"
    assert (root / f"runs/{dead.run_id}.yaml").read_bytes() == before


def test_a_record_edited_while_it_ran_is_not_made_sound_by_the_sweep(catalog, root):
    dead = begin(catalog, dead_process())
    path = root / f"runs/{dead.run_id}.yaml"
    edited = path.read_bytes().replace(b'owner: ""', b'owner: "mallory"')
    assert edited != path.read_bytes()
    path.write_bytes(edited)
    catalog.runs.sweep()
    assert path.read_bytes() == edited
    with pytest.raises(IntegrityError, match="was edited by hand"):
        catalog.runs.require_sound(dead.run_id)


def test_an_ended_run_is_read_only_and_ids_count_up(catalog, root):
    first = begin(catalog, this_process())
    catalog.runs.end(replace(first, status="finished"))
    second = begin(catalog, this_process())
    assert first.run_id.startswith("2026-01-01-train-001-")
    assert second.run_id.startswith("2026-01-01-train-002-")
    assert (root / f"runs/{first.run_id}.yaml").stat().st_mode & 0o777 == 0o444
    # The caches may have been deleted meanwhile.
    (root / f".nbversion/running/{second.run_id}").unlink()
    catalog.runs.end(replace(second, status="finished"))
    assert catalog.runs.load(second.run_id).status == "finished"


# -- environments --------------------------------------------------------------------------


def test_a_lock_is_kept_once_under_its_hash_and_is_the_present_one(catalog, root):
    calls = []

    def hashes(text):
        calls.append(text)
        return "lock-version = '1.0'\n"

    digest = catalog.environments.keep("a==1\n", hashes)
    other = catalog.environments.keep("a==2\n", lambda _: None)
    assert catalog.environments.keep("a==1\n", hashes) == digest != other
    assert calls == ["a==1\n"]
    assert (root / "env/requirements.lock").read_text() == "a==1\n"
    assert sorted(one.suffix for one in (root / "env/locks").iterdir()) == [
        ".lock",
        ".lock",
        ".toml",
    ]
    path = root / catalog.environments.path(digest)
    assert path.stat().st_mode & 0o777 == 0o444
    before = (root / "env/requirements.lock").stat().st_mtime_ns
    catalog.environments.keep("a==1\n", hashes)
    assert (root / "env/requirements.lock").stat().st_mtime_ns == before


# -- restoring -----------------------------------------------------------------------------


def test_a_restored_copy_is_writable_and_no_second_name(filled, project, root, tmp_path):
    done = project.restore("iris_v0.1", tmp_path / "new/copy")
    copy = done.path / "iris.csv"
    assert copy.read_bytes() == b"1"
    assert copy.stat().st_mode & 0o777 == 0o644
    assert copy.stat().st_nlink == 1
    copy.write_bytes(b"mine")
    assert project.verify().holds


@pytest.mark.parametrize("there", ["file", "folder", "dangling"])
def test_a_target_that_exists_is_refused(there, filled, project, tmp_path):
    target = tmp_path / "copy"
    if there == "file":
        target.write_bytes(b"mine")
    elif there == "folder":
        target.mkdir()
        (target / "mine").touch()
    else:
        target.symlink_to("nowhere")
    before = target.lstat()
    with pytest.raises(ConflictError, match="exists"):
        project.restore("iris_v0.1", target)
    assert target.lstat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("where", ["data/snapshots/x", "models/iris_clf/x", "runs/x", "link/x"])
def test_the_store_is_no_place_to_restore_to(where, filled, project, root):
    (root / "link").symlink_to("data/snapshots")
    with pytest.raises(InvalidInputError, match="lies inside the store"):
        project.restore("iris_v0.1", where)
    assert not (root / where).exists()


@pytest.mark.parametrize("how", ["corrupt", "missing", "link", "edited"])
def test_a_version_that_does_not_hold_leaves_nothing_behind(
    how, filled, project, root, tmp_path, damage
):
    path = root / "data/snapshots/iris_v0.1/iris.csv"
    if how == "corrupt":
        damage(path, b"evil")
    elif how == "edited":
        manifest = path.with_name("manifest.json")
        manifest.write_text(manifest.read_text().replace('"notes": ""', '"notes": "x"'))
    else:
        path.unlink()
        if how == "link":
            path.symlink_to("/etc/hostname")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(IntegrityError, match=r"iris_v0\.1 fails verification"):
        project.restore("iris_v0.1", tmp_path / "new/deep/copy")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_of_the_target_is_not_told_as_corruption(filled, project, tmp_path, monkeypatch):
    from nbversion.disk import Staging

    def refuse(*_args, **_options):
        raise StorageError("cannot write: no space left")

    monkeypatch.setattr(Staging, "write", refuse)
    monkeypatch.setattr(Staging, "write_whole", refuse)
    with pytest.raises(StorageError, match="no space left"):
        project.restore("iris_v0.1", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


# -- models --------------------------------------------------------------------------------


def test_the_next_dev_version_counts_folders_and_the_registry(register, catalog, root):
    import shutil

    first = register(None)
    assert first.manifest.version == "v0.1.0-dev.1"
    shutil.rmtree(first.path)
    assert register(None).manifest.version == "v0.1.0-dev.2"
    (root / "models/clf/v0.1.0-dev.7").mkdir()
    assert register(None).manifest.version == "v0.1.0-dev.8"
    (root / "models/clf/registry.json").unlink()
    assert register(None).manifest.version == "v0.1.0-dev.9"


@pytest.mark.parametrize("left", ["folder", "empty folder", "registry"])
def test_a_used_version_is_never_reused(left, register, catalog, root):
    import shutil

    made = register("v0.1.0")
    if left == "registry":
        shutil.rmtree(made.path)
    else:
        (root / "models/clf/registry.json").unlink()
        if left == "empty folder":
            shutil.rmtree(made.path)
            made.path.mkdir()
    with pytest.raises(ConflictError, match="was used already"):
        register("v0.1.0")


def test_a_broken_older_version_does_not_stop_a_registration(register, root):
    made = register("v0.1.0")
    (made.path / "manifest.json").write_text("{")
    assert register("v0.2.0").manifest.version == "v0.2.0"


def test_unchanged_files_are_shared_with_the_version_before(register, damage):
    first = register("v0.1.0", "same")
    second = register("v0.2.0", "same")
    assert os.path.samefile(first.path / "model.bin", second.path / "model.bin")


def test_a_manifest_of_another_version_is_refused(register, catalog, root):
    made = register("v0.1.0")
    text = (made.path / "manifest.json").read_text()
    (made.path / "manifest.json").write_text(text.replace('"v0.1.0"', '"v0.2.0"'))
    with pytest.raises(FormatError, match=r"is the manifest of clf@v0\.2\.0"):
        catalog.models.load("clf", "v0.1.0")


def test_values_are_read_from_verified_bytes(register, catalog, damage):
    made = register("v0.1.0")
    assert catalog.models.values(made, "metrics.json") == {"f1": 0.9}
    damage(made.path / "metrics.json", b'{"f1": 1.0}\n')
    with pytest.raises(IntegrityError, match="fails verification"):
        catalog.models.values(made, "metrics.json")
