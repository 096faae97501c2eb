"""Files of a later nbversion, and keys that we do not know."""

from __future__ import annotations

import json

import pytest

from nbversion.errors import FormatError, NbversionError
from nbversion.formats.json_text import dump_json
from nbversion.formats.registry import problems
from nbversion.formats.run_record import parse_run
from nbversion.project import Project

HINT = "pip install -U nbversion"
UNKNOWN = {"zz_later": {"deep": [1, 2.5, None, "ü"]}, "a_first": "x", "\u202e": "\x1b[2J"}


def make_later(root, path):
    target = root / path
    target.chmod(0o644)
    if path.endswith(".yaml"):
        text = target.read_text().replace("schema_version: 1", "schema_version: 2")
        target.write_text(text)
    else:
        record = json.loads(target.read_text())
        record["schema_version"] = 2
        target.write_bytes(dump_json(record))
    return target


def everything(project, run_id):
    """Every verb, as calls."""
    return {
        "verify": project.verify,
        "verify one": lambda: project.verify("iris_v0.1"),
        "snapshot": lambda: project.snapshot("data/raw/iris"),
        "snapshot version": lambda: project.snapshot("data/raw/iris", version="v0.1"),
        "snapshot in place": lambda: project.snapshot("data/snapshots/iris_v0.1"),
        "data": lambda: project.data("iris_v0.1"),
        "restore": lambda: project.restore("iris_v0.1", "../restored"),
        "promote": lambda: project.promote("clf", "v0.1.0", "production"),
        "promote as": lambda: project.promote(
            "clf", "v0.3.0-dev.1", "staging", as_version="v1.0.0"
        ),
        "rollback": lambda: project.rollback("clf"),
        "comment": lambda: project.comment("clf", "v0.1.0", "text"),
        "load": lambda: project.load_model("clf", version="v0.1.0"),
        "trace": lambda: project.trace(run_id),
        "lineage": project.lineage,
        "runs": project.runs,
        "registry": project.registry,
        "status": project.status,
    }


@pytest.mark.parametrize(
    "what", ["data manifest", "model manifest", "registry", "run record", "settings"]
)
def test_a_later_schema_is_refused_with_the_way_out_and_never_rewritten(what, full, root, readable):
    target = make_later(
        root,
        {
            "data manifest": "data/snapshots/iris_v0.1/manifest.json",
            "model manifest": "models/clf/v0.1.0/manifest.json",
            "registry": "models/clf/registry.json",
            "run record": f"runs/{full}.yaml",
            "settings": "nbversion.yaml",
        }[what],
    )
    data, before = target.read_bytes(), target.stat()
    hints = 0
    for name, call in everything(Project(root), full).items():
        try:
            found = call()
        except NbversionError as exc:
            readable(exc)
            hints += HINT in exc.message
        else:
            hints += HINT in repr(found)
        assert target.read_bytes() == data, name
    assert hints
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_unknown_keys_of_a_registry_survive_every_write(full, root, project):
    target = root / "models/clf/registry.json"
    record = json.loads(target.read_text())
    record.update(UNKNOWN)
    for one in record["versions"]:
        one.update(UNKNOWN)
    target.write_bytes(dump_json(record))
    project.comment("clf", "v0.1.0", "one more")
    project.promote("clf", "v0.3.0-dev.1", "staging", as_version="v0.3.0")
    project.rollback("clf")
    project.promote("clf", "v0.2.0", "production")
    after = json.loads(target.read_text())
    assert problems(project.catalog.registrar.load("clf")) == []
    assert {key: after[key] for key in UNKNOWN} == UNKNOWN
    assert list(after)[-3:] == sorted(UNKNOWN)
    for one in after["versions"][: len(record["versions"])]:
        assert {key: one[key] for key in UNKNOWN} == UNKNOWN
    assert len(after["history"]) == len(record["history"]) + 4


def test_unknown_keys_of_an_entry_are_kept_and_held_to(full, root, project, forge):
    def change(record):
        record["history"][-1]["reviewer"] = "Grace"

    forge("models/clf/registry.json", change)
    assert "chain" in {one.kind for one in project.verify().findings}
    with pytest.raises(NbversionError, match="left untouched"):
        project.comment("clf", "v0.1.0", "x")


def test_unknown_keys_of_a_manifest_go_over_to_the_release_made_of_it(full, root, project, forge):
    path = "models/clf/v0.3.0-dev.1/manifest.json"
    forge(path, lambda record: record.update(UNKNOWN))
    project.promote("clf", "v0.3.0-dev.1", "staging", as_version="v0.3.0")
    made = json.loads((root / "models/clf/v0.3.0/manifest.json").read_text())
    assert {key: made[key] for key in UNKNOWN} == UNKNOWN
    assert project.verify().holds


def test_unknown_keys_of_a_hand_written_manifest_are_kept_when_its_folder_is_frozen(root, project):
    folder = root / "data/snapshots/iris_v0.1"
    folder.mkdir(parents=True)
    (folder / "iris.csv").write_bytes(b"x")
    import hashlib

    digest = hashlib.sha256(b"x").hexdigest()
    files = [{"path": f"{folder.relative_to(root)}/iris.csv", "size_bytes": 1, "sha256": digest}]
    record = {"dataset": "iris", "version": "v0.1", "files": files, **UNKNOWN}
    (folder / "manifest.json").write_text(json.dumps(record))
    project.snapshot("data/snapshots/iris_v0.1")
    made = json.loads((folder / "manifest.json").read_text())
    assert {key: made[key] for key in UNKNOWN} == UNKNOWN
    assert "record_digest" in made
    assert project.verify().holds


def test_unknown_keys_of_a_record_survive_the_write_that_says_it_is_lost(root, project, full):
    from nbversion.formats.run_record import RunRecord

    record = RunRecord(
        run_id="2026-01-02-x-001-0000",
        status="running",
        extra={**UNKNOWN, "process": {"host": "h", "boot_id": "b", "pid": 1, "start": 1}},
    )
    data = record.dump()
    again = parse_run(data, "runs/r.yaml", record.run_id)
    assert {key: again.extra[key] for key in UNKNOWN} == UNKNOWN
    assert again.problem is None
    assert parse_run(again.dump(), "runs/r.yaml", record.run_id) == again


def test_settings_are_never_rewritten_and_unknown_keys_are_left_alone(root, project, raw):
    (root / "nbversion.yaml").write_text("later: {deep: [1]}\nowner: Ada\n")
    before = (root / "nbversion.yaml").stat()
    raw("a.csv")
    fresh = Project(root)
    assert fresh.snapshot("data/raw/a.csv").manifest.owner == "Ada"
    assert (root / "nbversion.yaml").read_text() == "later: {deep: [1]}\nowner: Ada\n"
    assert (root / "nbversion.yaml").stat().st_mtime_ns == before.st_mtime_ns


def test_broken_settings_stop_a_write_with_one_error(root, raw, readable):
    raw("a.csv")
    for text in (b"owner: [", b"\xff", b"owner: 1\nowner: 2\n", b"ignore: x\n", b"&a b", b"- x\n"):
        (root / "nbversion.yaml").write_bytes(text)
        with pytest.raises(FormatError) as caught:
            Project(root).snapshot("data/raw/a.csv")
        readable(caught.value, "nbversion.yaml")
        assert (root / "nbversion.yaml").read_bytes() == text
    assert not (root / "data/snapshots").exists()
