from __future__ import annotations

import contextlib
import itertools
import json
import os

import pytest

from nbversion.disk import Disk, is_leftover
from nbversion.errors import ConflictError, FormatError, IntegrityError, InvalidInputError
from nbversion.project import Project
from nbversion.store.folder import ProjectFolder


def inode(snapshot, name):
    return (snapshot.path / name).stat().st_ino


def test_a_file_is_frozen_whole_and_the_users_is_untouched(project, raw):
    path = raw("Iris Data.csv", b"1,2\n")
    path.chmod(0o640)
    before = path.stat()
    made = project.snapshot("data/raw/Iris Data.csv", notes="first", tags=["raw"])
    after = path.stat()
    assert made.reference == "iris_data_v0.1"
    assert (made.path / "Iris Data.csv").read_bytes() == b"1,2\n"
    assert (made.path / "Iris Data.csv").stat().st_mode & 0o777 == 0o444
    assert (before.st_ino, before.st_mode, before.st_nlink, before.st_mtime_ns) == (
        after.st_ino,
        after.st_mode,
        after.st_nlink,
        after.st_mtime_ns,
    )
    assert (path.stat().st_ino) != inode(made, "Iris Data.csv")
    text = json.loads((made.path / "manifest.json").read_text())
    assert text["source"] == "data/raw/Iris Data.csv"
    assert text["notes"] == "first"
    assert text["tags"] == ["raw"]
    assert text["parent"] is None
    assert project.verify().holds


def test_a_folder_round_trips_with_empty_files_and_folders(project, raw, tmp_path):
    content = {"a.csv": b"1", "sub/b.csv": b"", "sub/deep/c.bin": bytes(range(256)) * 9000}
    for name, data in content.items():
        raw(f"d/{name}", data)
    (raw("d/a.csv", b"1").parent / "empty").mkdir()
    made = project.snapshot("data/raw/d")
    assert made.manifest.directories == ("empty",)
    copy = project.restore(made.reference, tmp_path / "copy").path
    found = {one.relative_to(copy).as_posix(): one for one in copy.rglob("*")}
    assert {name for name, one in found.items() if one.is_file()} == set(content)
    assert all(found[name].read_bytes() == data for name, data in content.items())
    assert found["empty"].is_dir()


@pytest.mark.parametrize(
    "name", ["a\nb.csv", 'say "hi"\'.csv', "\U0001f600.csv", "-rf", " lead", "\x1b[2J", "a\u2028b"]
)
def test_odd_names_round_trip(name, project, raw, tmp_path):
    raw(f"d/{name}", name.encode())
    made = project.snapshot("data/raw/d")
    assert [one.path for one in made.manifest.files] == [name]
    project.restore("d_v0.1", tmp_path / "copy")
    assert (tmp_path / "copy" / name).read_bytes() == name.encode()
    assert project.verify().holds


def test_what_was_left_out_is_recorded(project, raw):
    raw("d/a.csv")
    raw("d/sub/.DS_Store")
    made = project.snapshot("data/raw/d")
    assert made.manifest.ignored == ("sub/.DS_Store",)
    assert [one.path for one in made.manifest.files] == ["a.csv"]
    assert made.manifest.directories == ("sub",)


@pytest.mark.parametrize("path", [".", "data", "data/snapshots"])
def test_a_folder_that_holds_the_store_is_refused(path, project, raw, root, tree):
    raw("a.csv")
    project.snapshot("data/raw/a.csv")
    before = tree(root)
    with pytest.raises(InvalidInputError, match="holds the store itself"):
        project.snapshot(path, name="all")
    assert tree(root) == before


def test_the_same_content_gives_the_newest_version_back(project, raw, root, tree):
    raw("a.csv", b"1")
    project.snapshot("data/raw/a.csv", notes="first")
    before = tree(root)
    again = project.snapshot("data/raw/a.csv", notes="second")
    assert (again.created, again.reference) == (False, "a_v0.1")
    assert again.manifest.notes == "first"
    assert "whose notes stand" in again.warnings[0]
    assert project.snapshot("data/raw/a.csv").warnings == ()
    assert tree(root) == before


def test_changed_content_gives_the_next_version_and_names_its_parent(project, raw):
    raw("a.csv", b"1")
    project.snapshot("data/raw/a.csv")
    raw("a.csv", b"2")
    second = project.snapshot("data/raw/a.csv")
    raw("a.csv", b"1")
    third = project.snapshot("data/raw/a.csv")
    assert (second.reference, second.manifest.parent) == ("a_v0.2", "a_v0.1")
    assert (third.created, third.reference, third.manifest.parent) == (True, "a_v0.3", "a_v0.2")


def test_an_explicit_new_version_is_always_made(project, raw):
    raw("a.csv", b"1")
    project.snapshot("data/raw/a.csv")
    made = project.snapshot("data/raw/a.csv", version="v1.0", notes="release")
    assert (made.created, made.reference, made.manifest.notes) == (True, "a_v1.0", "release")
    between = project.snapshot("data/raw/a.csv", version="v0.5.1")
    assert between.manifest.parent == "a_v0.1"


@pytest.mark.parametrize("version", ["v0.1", "v0.1.0"])
def test_a_version_that_exists_with_other_content_is_refused(version, project, raw, root, tree):
    raw("a.csv", b"1")
    project.snapshot("data/raw/a.csv")
    raw("a.csv", b"2")
    before = tree(root)
    with pytest.raises(ConflictError, match=r"a_v0\.1 exists with other content"):
        project.snapshot("data/raw/a.csv", version=version)
    assert tree(root) == before


def test_a_folder_without_a_manifest_takes_its_version(project, raw, root):
    raw("a.csv", b"1")
    (root / "data/snapshots/a_v0.1").mkdir(parents=True)
    with pytest.raises(ConflictError, match=r"data/snapshots/a_v0\.1 exists and has no manifest"):
        project.snapshot("data/raw/a.csv", version="v0.1")
    assert list((root / "data/snapshots/a_v0.1").iterdir()) == []


def test_unchanged_files_are_stored_once_between_versions_and_never_within_one(project, raw):
    for name in ("a", "b", "c"):
        raw(f"d/{name}", b"same")
    raw("d/big", b"x" * 100)
    first = project.snapshot("data/raw/d")
    assert len({inode(first, name) for name in "abc"}) == 3
    raw("d/big", b"y" * 100)
    second = project.snapshot("data/raw/d")
    assert len({inode(second, name) for name in "abc"}) == 3
    assert {inode(first, name) for name in "abc"} == {inode(second, name) for name in "abc"}
    assert second.stored.linked == 3
    assert inode(second, "big") != inode(first, "big")
    assert project.verify().holds


def test_a_corrupt_file_of_the_parent_is_not_linked(project, raw, damage):
    raw("d/a", b"good")
    raw("d/b", b"1")
    first = project.snapshot("data/raw/d")
    damage(first.path / "a", b"evil")
    raw("d/b", b"2")
    second = project.snapshot("data/raw/d")
    assert (second.path / "a").read_bytes() == b"good"
    assert second.stored.linked == 0
    assert project.verify("d_v0.2").holds


def test_a_broken_manifest_of_the_parent_does_not_stop_a_named_version(project, raw, damage):
    raw("a", b"1")
    first = project.snapshot("data/raw/a")
    damage(first.path / "manifest.json", b"{")
    made = project.snapshot("data/raw/a", version="v0.2")
    assert (made.manifest.parent, made.stored.linked) == ("a_v0.1", 0)
    with pytest.raises(FormatError, match=r"a_v0\.1/manifest\.json cannot be read"):
        project.catalog.snapshots.load("a", "v0.1")


def test_the_same_content_is_not_given_back_from_a_corrupt_version(project, raw, damage):
    raw("a", b"good")
    first = project.snapshot("data/raw/a")
    damage(first.path / "a", b"evil")
    with pytest.raises(IntegrityError, match=r"a_v0\.1 fails verification"):
        project.snapshot("data/raw/a")


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


def test_a_snapshot_that_fails_at_any_step_leaves_none_or_a_whole_one(tmp_path):
    for k in itertools.count(1):
        root = tmp_path / str(k)
        (root / "raw/sub").mkdir(parents=True)
        (root / "raw/a").write_bytes(b"1")
        (root / "raw/sub/b").write_bytes(b"2")
        healthy = Project(root)
        healthy.catalog.project.prepare()
        disk = Failing(k)
        with contextlib.suppress(KeyboardInterrupt):
            Project(root, disk=disk).snapshot(root / "raw", name="d")
            if disk.left > 0:
                break
        assert not [one for one in root.rglob("*") if is_leftover(one.name)], k
        assert healthy.verify().holds
        assert healthy.snapshot(root / "raw", name="d").reference == "d_v0.1"
    assert k > 8


def test_two_processes_that_freeze_the_same_data_both_succeed(writers, project, raw, root):
    for at in range(30):
        raw(f"d/{at}", os.urandom(1000))
    found = writers("snapshot", "data/raw/d", count=2)
    assert found == ["d_v0.1", "d_v0.1"]
    assert project.verify().holds


def test_processes_that_freeze_different_data_get_a_version_each(writers, project, raw, root):
    for at in range(4):
        raw(f"{at}/a", str(at).encode())
    found = writers("snapshot-own", count=4)
    assert sorted(found) == ["d_v0.1", "d_v0.2", "d_v0.3", "d_v0.4"]
    verified = project.verify()
    assert verified.holds
    assert len(verified.checked) == 4


@pytest.mark.parametrize(("first", "second"), [("v0.1", "v0.1.0"), ("v0.1.0", "v0.1")])
def test_the_other_spelling_of_a_version_cannot_be_frozen_in_place(
    first, second, project, raw, root, tree
):
    raw("iris.csv", b"right")
    made = project.snapshot("data/raw/iris.csv", version=first)
    folder = root / f"data/snapshots/iris_{second}"
    folder.mkdir()
    (folder / "iris.csv").write_bytes(b"other")
    before = tree(root)
    with pytest.raises(ConflictError, match="are one version"):
        project.snapshot(folder)
    assert tree(root) == before
    assert project.data(f"iris_{first}") == made.path
    with pytest.raises(FormatError, match="in doubt"):
        project.data(f"iris_{second}")
    manifest = (made.path / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace(f"{first}", second))
    for spelling in (first, second):
        with pytest.raises(FormatError, match="in doubt"):
            project.data(f"iris_{spelling}")
    assert {one.kind for one in project.verify().findings} == {"edited"}


def test_the_other_spelling_gives_the_version_where_only_one_is_there(project, raw):
    raw("iris.csv")
    made = project.snapshot("data/raw/iris.csv", version="v0.1")
    assert project.data("iris_v0.1.0") == made.path


def test_the_next_version_passes_over_folders_that_are_taken(project, raw, root):
    raw("iris.csv", b"1")
    project.snapshot("data/raw/iris.csv")
    for name in ("iris_v0.2", "iris_v0.3.0"):
        (root / "data/snapshots" / name).mkdir()
    raw("iris.csv", b"2")
    made = project.snapshot("data/raw/iris.csv")
    assert (made.reference, made.manifest.parent) == ("iris_v0.3.1", "iris_v0.1")
    with pytest.raises(ConflictError, match="has no manifest"):
        project.snapshot("data/raw/iris.csv", version="v0.2.0")


def test_content_of_any_older_version_is_stored_once(project, raw):
    made = []
    for content in (b"A" * 99, b"B" * 99, b"A" * 99, b"B" * 99):
        raw("d/a.csv", content)
        made.append(project.snapshot("data/raw/d"))
    inodes = [inode(one, "a.csv") for one in made]
    assert inodes[0] == inodes[2] != inodes[1] == inodes[3]
    assert made[2].stored.to_json() == {"copied": 0, "linked": 1, "reflinked": 0, "resumed": 0}
    raw("d/b.csv", b"B" * 99)
    both = project.snapshot("data/raw/d")
    assert inode(both, "a.csv") != inode(both, "b.csv")
    assert project.verify().holds


def test_a_damaged_older_copy_is_not_linked_but_a_sound_one_is(project, raw, damage):
    raw("d/a.csv", b"A" * 99)
    first = project.snapshot("data/raw/d")
    raw("d/a.csv", b"B" * 99)
    project.snapshot("data/raw/d")
    raw("d/a.csv", b"A" * 99)
    damage(first.path / "a.csv", b"C" * 99)
    third = project.snapshot("data/raw/d")
    assert (third.stored.copied, third.stored.linked) == (1, 0)
    raw("d/b.csv", b"more")
    fourth = project.snapshot("data/raw/d")
    assert inode(fourth, "a.csv") == inode(third, "a.csv")
    assert (fourth.path / "a.csv").read_bytes() == b"A" * 99


def test_a_version_is_found_without_looking_at_the_others(project, raw, monkeypatch):
    raw("a.csv")
    project.snapshot("data/raw/a.csv")
    monkeypatch.setattr(ProjectFolder, "children", None)
    assert project.catalog.snapshots.load("a", "v0.1").manifest.name == "a"
