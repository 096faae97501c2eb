from __future__ import annotations

import json
import os
import shutil

import pytest

from nbversion.errors import IntegrityError, NotFoundError
from nbversion.formats.run_record import RunRecord
from nbversion.hashing import digest_of
from nbversion.store.folder import ProjectFolder


@pytest.fixture
def full(project, raw, run, register):
    """A data set of two files, a run on it, a model version that the run made."""
    raw("d/a.csv", b"aaaa")
    raw("d/sub/b.csv", b"bbbb")
    data = project.snapshot("data/raw/d")
    made = run(data=[data])
    register("v0.1.0", run_id=made.run_id)
    assert project.verify().holds
    return made


def found(project, *references):
    return [(one.kind, one.path) for one in project.verify(*references).findings]


A = "data/snapshots/d_v0.1/a.csv"
MODEL = "models/clf/v0.1.0"
REGISTRY = "models/clf/registry.json"


def test_a_whole_project_is_looked_at_once_and_counted(project, full):
    done = project.verify()
    assert set(done.checked) >= {"d_v0.1", "clf@v0.1.0", full.run_id, REGISTRY}
    assert len(done.checked) == len(set(done.checked))
    assert done.files == 2 + 3 + 2
    assert done.to_json()["findings"] == []


@pytest.mark.parametrize("content", [b"aaaX", b"aaa", b"", b"aaaaa"])
def test_changed_bytes_are_corrupt(content, project, full, root, damage):
    damage(root / A, content)
    assert found(project) == [("corrupt", A)]
    assert found(project, "d_v0.1") == [("corrupt", A)]
    assert found(project, full.run_id) == [("corrupt", A)]
    assert found(project, "clf@v0.1.0") == [("corrupt", A)]


def test_changed_bytes_of_equal_size_and_time_are_corrupt(project, full, root, damage):
    facts = (root / A).stat()
    damage(root / A, b"aaab")
    os.utime(root / A, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert found(project) == [("corrupt", A)]


def test_a_deleted_file_is_missing(project, full, root):
    (root / A).unlink()
    assert found(project) == [("missing", A)]
    shutil.rmtree(root / "data/snapshots/d_v0.1/sub")
    (root / "data/snapshots/d_v0.1/sub").write_bytes(b"")
    assert found(project) == [
        ("missing", A),
        ("missing", "data/snapshots/d_v0.1/sub/b.csv"),
        ("extra", "data/snapshots/d_v0.1/sub"),
    ]


def test_a_link_in_place_of_a_file_is_corrupt_even_with_the_right_content(project, full, root):
    shutil.move(root / A, root / "elsewhere.csv")
    (root / A).symlink_to(root / "elsewhere.csv")
    assert found(project) == [("corrupt", A)]


@pytest.mark.timeout(20)
def test_a_pipe_or_a_folder_in_place_of_a_file_is_unreadable(project, full, root):
    (root / A).unlink()
    os.mkfifo(root / A)
    assert found(project) == [("unreadable", A)]
    (root / A).unlink()
    (root / A).mkdir()
    assert found(project) == [("unreadable", A)]


@pytest.mark.parametrize("name", ["new.csv", "sub/new.csv", "new/deep/x", "sub/manifest.json"])
def test_an_added_file_is_extra(name, project, full, root):
    path = root / "data/snapshots/d_v0.1" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert found(project) == [("extra", f"data/snapshots/d_v0.1/{name}")]


def test_an_added_link_is_extra(project, full, root):
    (root / "data/snapshots/d_v0.1/link").symlink_to("sub")
    assert found(project) == [("extra", "data/snapshots/d_v0.1/link")]


def test_what_an_editor_drops_and_a_card_are_not_extra(project, full, root):
    folder = root / "data/snapshots/d_v0.1"
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints/x").touch()
    (folder / ".DS_Store").touch()
    (folder / "model_card.md").touch()
    assert found(project) == []


@pytest.mark.parametrize("base", ["data/snapshots/d_v0.1", MODEL])
@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace('"notes": ""', '"notes": "better"'),
        lambda text: text.replace('"size_bytes": ', '"size_bytes": 1'),
        lambda text: text[:40],
        lambda text: text.replace('"version": "v0.1', '"version": "v0.9'),
    ],
)
def test_an_edited_manifest_is_edited(edit, base, project, full, root):
    path = root / base / "manifest.json"
    path.write_text(edit(path.read_text()))
    kinds = {(kind, where) for kind, where in found(project)}
    assert kinds == {("edited", f"{base}/manifest.json")}


def test_an_edited_record_is_edited(project, full, root):
    path = root / f"runs/{full.run_id}.yaml"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("2026-01-01", "2026-01-02", 2))
    assert ("edited", f"runs/{full.run_id}.yaml") in found(project)
    path.write_text("run_id: [")
    assert found(project) == [("edited", f"runs/{full.run_id}.yaml")]


def test_a_record_that_is_gone_is_missing(project, full, root):
    (root / f"runs/{full.run_id}.yaml").unlink()
    assert found(project) == [("missing", f"runs/{full.run_id}.yaml")]


def edit_history(record):
    record["history"][0]["actor"] = "mallory"


def edit_stage(record):
    record["versions"][0]["stage"] = "production"


def edit_revision(record):
    record["revision"] = 7


@pytest.mark.parametrize("edit", [edit_history, edit_stage, edit_revision])
def test_a_registry_that_is_not_its_history_is_a_broken_chain(edit, project, full, root):
    path = root / REGISTRY
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    assert {*found(project)} == {("chain", REGISTRY)}
    assert {*found(project, "clf@v0.1.0")} == {("chain", REGISTRY)}
    assert {*found(project, REGISTRY)} == {("chain", REGISTRY)}


def test_a_registry_that_cannot_be_read_is_a_broken_chain_and_hides_no_version(
    project, full, root, damage
):
    (root / REGISTRY).write_text("{")
    damage(root / MODEL / "model.bin", b"evil")
    assert found(project) == [("chain", REGISTRY), ("corrupt", f"{MODEL}/model.bin")]


def test_a_registry_that_is_gone_is_missing_and_hides_no_version(project, full, root, damage):
    (root / REGISTRY).unlink()
    damage(root / MODEL / "model.bin", b"evil")
    assert found(project) == [("missing", REGISTRY), ("corrupt", f"{MODEL}/model.bin")]


def test_a_version_whose_folder_is_gone_is_missing(project, full, root):
    shutil.rmtree(root / MODEL)
    assert found(project) == [("missing", f"{MODEL}/manifest.json")]


@pytest.mark.parametrize("base", ["data/snapshots/d_v0.1", MODEL])
def test_bytes_without_a_manifest_are_orphans(base, project, full, root):
    (root / base / "manifest.json").unlink()
    assert ("orphan", base) in found(project)


def test_strays_in_the_store_are_orphans_and_empty_folders_are_not(project, full, root):
    (root / "data/snapshots/stray.csv").write_bytes(b"")
    (root / "data/snapshots/Odd").mkdir()
    (root / "data/snapshots/Odd/x").touch()
    (root / "data/snapshots/nothing_v0.1").mkdir()
    (root / "models/clf/v0.9.0").mkdir()
    (root / "models/clf/v0.8.0").mkdir()
    (root / "models/clf/v0.8.0/model.pkl").touch()
    assert sorted(found(project)) == [
        ("orphan", "data/snapshots/Odd"),
        ("orphan", "data/snapshots/stray.csv"),
        ("orphan", "models/clf/v0.8.0"),
    ]


def test_a_lock_that_is_gone_or_changed_is_found(project, full, root, damage):
    (path,) = (root / "env/locks").glob("*.lock")
    below = path.relative_to(root).as_posix()
    damage(path, b"numpy==1.0\n")
    assert found(project) == [("corrupt", below)]
    path.unlink()
    # The present lock has the same content, which is what a record written by hand names.
    assert found(project) == []
    (root / "env/requirements.lock").write_bytes(b"")
    assert found(project) == [("missing", below)]


def test_artifacts_are_verified_and_further_ones_are_extra(project, full, root):
    folder = root / f"runs/{full.run_id}/artifacts"
    (folder / "plot.svg").write_bytes(b"<svg>!")
    (folder / "more.svg").write_bytes(b"")
    base = f"runs/{full.run_id}/artifacts"
    assert found(project) == [("corrupt", f"{base}/plot.svg"), ("extra", f"{base}/more.svg")]
    (folder / "plot.svg").unlink()
    assert ("missing", f"{base}/plot.svg") in found(project)


def test_data_that_is_not_what_the_run_saw_is_found(project, full, root, raw):
    shutil.rmtree(root / "data/snapshots/d_v0.1")
    raw("d/a.csv", b"other")
    project.snapshot("data/raw/d", version="v0.1")
    assert found(project, full.run_id) == [("edited", "data/snapshots/d_v0.1/manifest.json")]


def test_data_that_is_gone_is_missing(project, full, root):
    shutil.rmtree(root / "data/snapshots/d_v0.1")
    assert found(project) == [("missing", "data/snapshots/d_v0.1/manifest.json")]


def test_every_finding_is_listed_not_only_the_first(project, full, root, damage):
    damage(root / A, b"evil")
    damage(root / "data/snapshots/d_v0.1/sub/b.csv", b"evil")
    damage(root / MODEL / "model.bin", b"evil")
    (root / MODEL / "params.json").unlink()
    (root / REGISTRY).write_text("")
    (root / f"runs/{full.run_id}/artifacts/plot.svg").unlink()
    assert sorted(kind for kind, _ in found(project)) == [
        "chain",
        "corrupt",
        "corrupt",
        "corrupt",
        "missing",
        "missing",
    ]


def test_a_broken_manifest_hides_no_other_version(project, full, root, raw, damage):
    raw("e.csv", b"eeee")
    other = project.snapshot("data/raw/e.csv")
    (root / "data/snapshots/d_v0.1/manifest.json").write_text("{")
    (root / "data/snapshots/manifest.json").write_text("{")
    assert project.data("e_v0.1") == other.path
    raw("e.csv", b"ffff")
    assert project.snapshot("data/raw/e.csv").reference == "e_v0.2"
    damage(other.path / "e.csv", b"evil")
    assert sorted(found(project)) == [
        ("corrupt", "data/snapshots/e_v0.1/e.csv"),
        ("edited", "data/snapshots/d_v0.1/manifest.json"),
        ("edited", "data/snapshots/manifest.json"),
    ]


def test_verifying_writes_nothing(project, full, root, tree, damage):
    damage(root / A, b"evil")
    before = tree(root)
    for references in ((), ("d_v0.1",), ("clf@v0.1.0",), (full.run_id,), (A,)):
        assert not project.verify(*references).holds
    assert tree(root) == before


def test_verifying_works_for_somebody_who_cannot_write(unprivileged, full, root, damage):
    damage(root / A, b"evil")
    for folder in (root, *(one for one in root.rglob("*") if one.is_dir())):
        folder.chmod(0o555)
    assert unprivileged("print([one.kind for one in project.verify().findings])") == "['corrupt']\n"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (A, A),
        ("data/snapshots/d_v0.1/sub", "data/snapshots/d_v0.1/sub/b.csv"),
        ("data/snapshots/d_v0.1/manifest.json", "data/snapshots/d_v0.1/manifest.json"),
        ("data/snapshots/d_v0.1", "data/snapshots/d_v0.1"),
        (REGISTRY, REGISTRY),
        ("models/clf", "models/clf"),
        (f"{MODEL}/manifest.json", f"{MODEL}/manifest.json"),
    ],
)
def test_what_may_not_be_read_is_unreadable_and_hides_nothing(
    path, expected, unprivileged, full, root
):
    (root / path).chmod(0o000)
    (root / f"runs/{full.run_id}/artifacts/plot.svg").unlink()
    out = unprivileged("print([(one.kind, one.path) for one in project.verify().findings])")
    findings = set(map(tuple, eval(out)))
    assert ("unreadable", expected) in findings
    assert ("missing", f"runs/{full.run_id}/artifacts/plot.svg") in findings


def test_a_file_elsewhere_is_looked_up_by_its_content(project, full, root):
    (root / "copy.csv").write_bytes(b"bbbb")
    done = project.verify("copy.csv")
    assert done.holds
    assert "d_v0.1" in done.checked
    (root / "models.bin").write_bytes(b"v0.1.0")
    assert "clf@v0.1.0" in project.verify("models.bin").checked
    (root / "copy.csv").write_bytes(b"unknown")
    with pytest.raises(NotFoundError, match=r"no version of this project holds .*%snapshot"):
        project.verify("copy.csv")


def test_a_broken_version_does_not_keep_a_file_from_being_found(project, full, root, raw):
    raw("e.csv", b"eeee")
    project.snapshot("data/raw/e.csv")
    (root / "data/snapshots/d_v0.1/manifest.json").write_text("{")
    assert project.verify("data/raw/e.csv").checked == ("e_v0.1",)


@pytest.fixture
def made(project, full, root, raw, catalog, register):
    """A run that froze a data set and registered a model, with the files it left."""
    raw("features.csv", b"ffff")
    features = project.snapshot("data/raw/features.csv")
    model = register("v0.2.0")

    def write(name, **changes):
        base = f"runs/{name}"
        (root / base).mkdir(exist_ok=True)
        (root / base / "session.json").write_bytes(b"{}")
        values = {
            "outputs": {
                "snapshots": [{"ref": features.reference, "digest": features.manifest.digest}],
                "model": "clf",
                "model_version": "v0.2.0",
                "model_digest": model.manifest.digest,
            },
            "extra": {
                "files": [
                    {"path": f"{base}/session.json", "size_bytes": 2, "sha256": sha(b"{}")},
                ]
            },
        }
        record = RunRecord(run_id=name, **(values | changes))
        (root / f"{base}.yaml").write_bytes(record.dump())
        return record

    return write


def sha(data):
    return digest_of(data).removeprefix("sha256:")


def test_what_a_run_made_is_verified_with_it(project, made, root, damage):
    made("r-one")
    assert found(project, "r-one") == found(project) == []
    damage(root / "data/snapshots/features_v0.1/features.csv", b"evil")
    damage(root / "models/clf/v0.2.0/model.bin", b"evil")
    wanted = [
        ("corrupt", "data/snapshots/features_v0.1/features.csv"),
        ("corrupt", "models/clf/v0.2.0/model.bin"),
    ]
    assert found(project, "r-one") == wanted
    assert sorted(found(project)) == wanted


def test_what_a_run_made_must_be_what_its_record_says(project, made):
    wrong = "sha256:" + "1" * 64
    outputs = {
        "snapshots": [{"ref": "features_v0.1", "digest": wrong}],
        "model": "clf",
        "model_version": "v0.2.0",
        "model_digest": wrong,
    }
    made("r-one", outputs=outputs)
    wanted = [
        ("edited", "data/snapshots/features_v0.1/manifest.json"),
        ("edited", "models/clf/v0.2.0/manifest.json"),
    ]
    assert found(project, "r-one") == wanted
    assert sorted(found(project)) == wanted
    outputs |= {"model_version": "../../x", "snapshots": [{"ref": "gone_v0.1"}]}
    made("r-one", outputs=outputs)
    assert [kind for kind, _ in found(project, "r-one")] == ["missing", "edited"]


def test_the_files_of_a_run_are_verified_and_further_ones_are_extra(project, made, root):
    made("r-one")
    folder = root / "runs/r-one"
    (folder / "verifications").mkdir()
    (folder / "verifications/x.yaml").touch()
    (folder / ".DS_Store").touch()
    (folder / "session.json").write_bytes(b"[]")
    (folder / "metrics.jsonl").write_bytes(b"")
    (folder / "deep").mkdir()
    (folder / "deep/x").write_bytes(b"")
    assert found(project, "r-one") == [
        ("corrupt", "runs/r-one/session.json"),
        ("extra", "runs/r-one/metrics.jsonl"),
        ("extra", "runs/r-one/deep/x"),
    ]
    made("r-one", extra={})
    assert found(project, "r-one") == [("extra", "runs/r-one/deep/x")]
    made("r-one", extra={}, status="running")
    assert found(project, "r-one") == []


def test_the_folder_of_a_run_without_a_record_is_an_orphan(project, full, root):
    (root / "runs/2026-01-01-x-001-abcd").mkdir()
    assert found(project) == []
    (root / "runs/2026-01-01-x-001-abcd/session.json").touch()
    assert found(project) == [("orphan", "runs/2026-01-01-x-001-abcd")]


def test_a_recorded_empty_folder_that_is_gone_is_missing(project, raw, root):
    raw("e/a.csv")
    (root / "data/raw/e/empty").mkdir()
    path = project.snapshot("data/raw/e").path / "empty"
    assert found(project) == []
    path.rmdir()
    assert found(project) == [("missing", "data/snapshots/e_v0.1/empty")]
    path.symlink_to(root)
    assert ("missing", "data/snapshots/e_v0.1/empty") in found(project)


@pytest.mark.parametrize(
    "name", ["__pycache__/x.pyc", "thumbs.db", ".git/config", ".nbv-tmp-x", "sub/.ipynb_checkpoint"]
)
def test_what_snapshot_leaves_out_is_extra_in_a_frozen_version(name, project, full, root):
    (root / "nbversion.yaml").write_text("ignore: [__pycache__, .git, thumbs.db]\n")
    path = root / "data/snapshots/d_v0.1" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert found(type(project)(root)) == [("extra", f"data/snapshots/d_v0.1/{name}")]


def test_a_link_that_is_called_like_what_a_desktop_drops_is_extra(project, full, root):
    (root / "data/snapshots/d_v0.1/.DS_Store").symlink_to(root)
    (root / "data/snapshots/d_v0.1/.ipynb_checkpoints").symlink_to(root)
    assert [kind for kind, _ in found(project)] == ["extra", "extra"]


def test_a_registry_whose_history_was_taken_out_is_a_broken_chain(project, full, root):
    path = root / REGISTRY
    record = json.loads(path.read_text())
    for key in ("history", "revision", "head"):
        del record[key]
    path.write_text(json.dumps(record))
    assert found(project) == [("chain", REGISTRY)]


@pytest.mark.parametrize("base", ["data/snapshots/d_v0.1", MODEL])
def test_a_text_whose_digest_was_taken_out_is_edited(base, project, full, root, tree):
    path = root / base / "manifest.json"
    record = json.loads(path.read_text())
    del record["record_digest"]
    path.write_text(json.dumps(record))
    assert found(project) == [("edited", f"{base}/manifest.json")]
    before = tree(root / base)
    if base.startswith("data"):
        with pytest.raises(IntegrityError):
            project.snapshot(base)
    assert tree(root / base) == before


@pytest.mark.parametrize(
    ("base", "reference"),
    [
        ("data/snapshots/d_v0.1", "d_v0.1"),
        (MODEL, "clf@v0.1.0"),
        ("models/clf", "clf@v0.1.0"),
    ],
)
def test_a_version_behind_a_link_is_corrupt_and_not_loaded(base, reference, project, full, root):
    frozen = project.catalog.resolve("d_v0.1", here=root).frozen
    shutil.move(root / base, root.parent / "elsewhere")
    (root / base).symlink_to(root.parent / "elsewhere")
    assert ("corrupt", base) in found(project)
    with pytest.raises(IntegrityError, match="is a symbolic link"):
        project.restore(reference, root.parent / "copy")
    if base.startswith("data"):
        assert [(one.kind, one.path) for one in frozen.findings()] == [("corrupt", base)]
        with pytest.raises(IntegrityError, match="symbolic link"):
            project.snapshot("data/snapshots/d_v0.1")
    else:
        with pytest.raises(IntegrityError, match="is a symbolic link"):
            project.promote("clf", "v0.1.0", "production")


def test_the_store_of_snapshots_may_lie_on_another_disk(project, full, root):
    shutil.move(root / "data/snapshots", root.parent / "larger")
    (root / "data/snapshots").symlink_to(root.parent / "larger")
    assert found(project) == []
    (root / "new.csv").write_bytes(b"new")
    assert project.snapshot("new.csv").created
    assert (root.parent / "larger/new_v0.1/new.csv").read_bytes() == b"new"
    assert found(project) == []


def test_what_others_keep_in_folders_of_these_names_is_not_ours(project, full, root):
    for path in ("models/train.py", "models/net/blocks/conv.py", "runs/Nov23_host/events.out"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / "models/Odd Name").mkdir()
    shutil.copy(root / REGISTRY, root / "models/Odd Name/registry.json")
    assert found(project) == []
    assert project.catalog.registrar.models() == ["clf"]


def test_a_manifest_that_names_an_impossible_run_is_found(project, full, root):
    path = root / "data/snapshots/d_v0.1/manifest.json"
    record = json.loads(path.read_text()) | {"run_id": "../../etc"}
    path.write_text(json.dumps(record))
    assert ("edited", "runs/../../etc.yaml") in found(project)


def test_verifying_many_versions_and_runs_is_not_quadratic(project, root, raw, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    raw("a.csv", b"1")
    for at in range(40):
        project.snapshot("data/raw/a.csv", version=f"v0.{at}")
    listed = []
    children = ProjectFolder.children
    monkeypatch.setattr(
        ProjectFolder, "children", lambda *args: listed.append(args[1]) or children(*args)
    )
    assert project.verify().holds
    assert listed.count("data/snapshots") <= 4
