from __future__ import annotations

import contextlib
import hashlib
import itertools
import json

import pytest

from nbversion.disk import Disk, is_leftover
from nbversion.errors import FormatError, IntegrityError, InvalidInputError, StorageError
from nbversion.project import Project

CONTENT = b"sepal,petal\n5.1,1.4\n"
PATH = "data/snapshots/iris_v0.1"


@pytest.fixture
def folder(root):
    made = root / PATH
    made.mkdir(parents=True)
    (made / "iris.csv").write_bytes(CONTENT)
    return made


def manifest_of(content=CONTENT, *, name="iris.csv", version="v0.1", **extra):
    return json.dumps(
        {
            "dataset": "iris",
            "version": version,
            "files": [
                {
                    "path": f"{PATH}/{name}",
                    "size_bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            ],
            "created_utc": "2026-01-01T00:00:00Z",
            "notes": "Cleaned, normalized sepal/petal features",
            **extra,
        }
    )


def leftovers(root):
    return [one for one in root.rglob("*") if is_leftover(one.name)]


def test_the_lessons_folder_without_a_manifest_is_frozen_where_it_lies(project, folder, root):
    made = project.snapshot(PATH, notes="first")
    assert (made.created, made.reference, made.manifest.folder) == (True, "iris_v0.1", PATH)
    assert (folder / "iris.csv").read_bytes() == CONTENT
    assert (folder / "iris.csv").stat().st_mode & 0o777 == 0o444
    assert sorted(one.name for one in folder.iterdir()) == ["iris.csv", "manifest.json"]
    assert project.verify().holds
    assert not (root / ".quarantine").exists()
    assert leftovers(root) == []


@pytest.mark.parametrize("where", [f"{PATH}/manifest.json", "data/snapshots/manifest.json"])
@pytest.mark.parametrize("owner", [{}, {"owner": "Ada"}])
def test_a_right_manifest_written_by_hand_is_kept(where, owner, project, folder, root):
    (root / where).write_text(manifest_of(color="blue", **owner))
    made = project.snapshot(PATH)
    assert made.created
    assert made.manifest.created_utc == "2026-01-01T00:00:00Z"
    assert made.manifest.notes == "Cleaned, normalized sepal/petal features"
    assert made.manifest.extra == {"color": "blue"}
    assert made.manifest.owner == owner.get("owner", project.catalog.project.owner)
    assert (folder / "iris.csv").stat().st_mode & 0o777 == 0o444
    assert "record_digest" in json.loads((folder / "manifest.json").read_text())
    assert project.verify().holds


@pytest.mark.parametrize("where", [f"{PATH}/manifest.json", "data/snapshots/manifest.json"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (manifest_of(b"other"), r"iris\.csv is not what its manifest says"),
        (manifest_of(name="gone.csv"), r"gone\.csv is not what its manifest says.*got nothing"),
    ],
)
def test_a_wrong_manifest_is_refused_with_nothing_changed(
    where, text, message, project, folder, root, tree
):
    (root / where).write_text(text)
    before = tree(folder), (root / where).read_bytes()
    with pytest.raises(IntegrityError, match=message):
        project.snapshot(PATH)
    assert (tree(folder), (root / where).read_bytes()) == before
    assert leftovers(root) == []


def test_a_manifest_that_misses_a_file_is_refused(project, folder):
    (folder / "manifest.json").write_text(manifest_of())
    (folder / "more.csv").write_bytes(b"1")
    with pytest.raises(IntegrityError, match=r"more\.csv is not listed in its manifest"):
        project.snapshot(PATH)
    assert (folder / "more.csv").stat().st_mode & 0o200


def test_a_manifest_of_another_version_in_the_folder_is_refused(project, folder):
    text = manifest_of(version="v0.3")
    (folder / "manifest.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"holds the manifest of iris_v0\.3"):
        project.snapshot(PATH)
    assert (folder / "manifest.json").read_text() == text


def test_a_broken_manifest_in_the_folder_is_refused(project, folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(FormatError, match="cannot be read"):
        project.snapshot(PATH)
    assert (folder / "manifest.json").read_text() == "{"


def test_the_lessons_manifest_is_a_version_before_anything_is_frozen(project, folder, root):
    (root / "data/snapshots/manifest.json").write_text(manifest_of())
    assert project.data("iris_v0.1") == folder
    assert project.verify().holds
    assert project.snapshot("data/snapshots/iris_v0.1/iris.csv").created


def test_freezing_a_frozen_folder_again_changes_nothing(project, folder, root, tree):
    project.snapshot(PATH)
    before = tree(root)
    assert not project.snapshot(PATH, notes="later").created
    assert tree(root) == before


def test_a_frozen_folder_that_was_changed_is_refused(project, folder, damage):
    project.snapshot(PATH)
    damage(folder / "iris.csv", b"evil")
    with pytest.raises(IntegrityError, match="fails verification"):
        project.snapshot(PATH)


def test_what_is_left_out_survives_in_the_quarantine(project, folder, root):
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "work.ipynb").write_bytes(b"hours of work")
    (folder / "model_card.md").write_bytes(b"# mine")
    made = project.snapshot(PATH)
    assert made.manifest.ignored == (".ipynb_checkpoints",)
    kept = {
        one.name: one.read_bytes() for one in (root / ".quarantine").rglob("*.*") if one.is_file()
    }
    assert kept["work.ipynb"] == b"hours of work"
    assert kept["model_card.md"] == b"# mine"
    assert kept["iris.csv"] == CONTENT
    assert project.verify().holds
    assert leftovers(root) == []


@pytest.mark.parametrize(
    ("option", "value"), [("name", "other"), ("version", "v0.2"), ("version", "v0.1.0")]
)
def test_a_name_that_is_not_the_folders_is_refused(option, value, project, folder):
    with pytest.raises(InvalidInputError, match="does not fit"):
        project.snapshot(PATH, **{option: value})
    assert [one.name for one in folder.iterdir()] == ["iris.csv"]


def test_something_else_in_the_store_is_refused(project, root):
    stray = root / "data/snapshots/stray.csv"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"1")
    with pytest.raises(InvalidInputError, match="not in a folder <name>_<version>"):
        project.snapshot("data/snapshots/stray.csv")


class Interfering(Disk):
    """Lets somebody act at the moment of the exchange."""

    __slots__ = ()
    act = None

    def step(self, primitive, path):
        if primitive == "exchange" and Interfering.act:
            act, Interfering.act = Interfering.act, None
            act()


def edit(folder):
    (folder / "iris.csv").write_bytes(b"edited meanwhile")


def add(folder):
    (folder / "new.csv").write_bytes(b"new meanwhile")


def delete(folder):
    (folder / "iris.csv").unlink()


def link(folder):
    (folder / "link").symlink_to("iris.csv")


def add_what_is_left_out(folder):
    (folder / ".git").mkdir()
    (folder / ".git/config").write_bytes(b"mine")


@pytest.mark.parametrize("act", [edit, add, delete, link, add_what_is_left_out])
def test_a_folder_that_is_written_to_meanwhile_is_put_back(act, folder, root, tree):
    Interfering.act = lambda: act(folder)
    (folder / "keep.csv").write_bytes(b"1")
    identity = folder.stat().st_ino
    with pytest.raises((IntegrityError, InvalidInputError)):
        Project(root, disk=Interfering()).snapshot(PATH)
    assert folder.stat().st_ino == identity
    assert not (folder / "manifest.json").exists()
    assert (folder / "keep.csv").read_bytes() == b"1"
    if act is edit:
        assert (folder / "iris.csv").read_bytes() == b"edited meanwhile"
    if act is add:
        assert (folder / "new.csv").read_bytes() == b"new meanwhile"
    assert leftovers(root) == []


class Failing(Disk):
    """Is interrupted at the k-th step; `remove_tree` is what cleans up."""

    __slots__ = ("left",)

    def __init__(self, k):
        super().__init__()
        object.__setattr__(self, "left", k)

    def step(self, primitive, path):
        object.__setattr__(self, "left", self.left - 1)
        if self.left == 0 and primitive != "remove_tree":
            raise KeyboardInterrupt


@pytest.mark.parametrize("hidden", [False, True])
def test_no_failure_loses_what_was_in_the_folder(hidden, tmp_path):
    for k in itertools.count(1):
        root = tmp_path / str(k)
        folder = root / PATH
        (folder / "__pycache__").mkdir(parents=True)
        (folder / "iris.csv").write_bytes(CONTENT)
        if hidden:
            (folder / "__pycache__/work").write_bytes(b"hours of work")
        healthy = Project(root)
        healthy.catalog.project.prepare()
        disk = Failing(k)
        with contextlib.suppress(KeyboardInterrupt):
            Project(root, disk=disk).snapshot(folder)
            if disk.left > 0:
                break
        assert (folder / "iris.csv").read_bytes() == CONTENT
        assert len(list(root.rglob("work"))) == hidden
        healthy.snapshot(folder)
        assert healthy.verify().holds
        assert len(list(root.rglob("work"))) == hidden
    assert k > 8


def test_a_failure_while_the_old_folder_is_read_puts_it_back(project, folder, root, monkeypatch):
    import nbversion.store.in_place as in_place

    def refuse(_source):
        raise StorageError("the disk went away")

    monkeypatch.setattr(in_place, "hash_source", refuse)
    identity = folder.stat().st_ino
    with pytest.raises(StorageError, match="went away"):
        project.snapshot(PATH)
    assert folder.stat().st_ino == identity
    assert [one.name for one in folder.iterdir()] == ["iris.csv"]
    assert leftovers(root) == []


def test_a_folder_of_the_store_is_known_through_a_link_to_the_project(project, root, tmp_path):
    folder = root / "data/snapshots/raw_v0.5"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_bytes(b"1")
    (tmp_path / "link").symlink_to(root)
    made = project.snapshot(tmp_path / "link/data/snapshots/raw_v0.5")
    assert (made.reference, made.path) == ("raw_v0.5", folder)
    (tmp_path / "raw").mkdir()
    (root / "data/raw").symlink_to(tmp_path / "raw")
    relative = project.catalog.project.relative
    assert relative(root / "data/raw/a.csv") == "data/raw/a.csv"
    assert relative(tmp_path / "link/data/raw") == "data/raw"
    assert relative(tmp_path / "raw/a.csv") is None
