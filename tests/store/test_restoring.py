"""``%restore --overwrite``: the way back when data was overwritten in place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbversion.disk import Disk
from nbversion.errors import ConflictError, IntegrityError, InvalidInputError
from nbversion.hashing import digest_of
from nbversion.project import Project

KILLER = Path(__file__).with_name("killer.py")


@pytest.fixture
def overwritten(project, raw):
    """A file that was frozen as v0.1 and v0.2 and then overwritten."""
    raw("iris.csv", b"old")
    project.snapshot("data/raw/iris.csv")
    raw("iris.csv", b"newer")
    project.snapshot("data/raw/iris.csv")
    raw("iris.csv", b"overwritten")
    return project


@pytest.fixture
def folder(project, raw, root):
    """A folder that was frozen and then changed in every way."""
    raw("d/a.csv", b"aaaa")
    raw("d/sub/b.csv", b"bbbb")
    (root / "data/raw/d/empty").mkdir()
    project.snapshot("data/raw/d")
    raw("d/a.csv", b"changed")
    raw("d/new.csv", b"new")
    shutil.rmtree(root / "data/raw/d/sub")
    (root / "data/raw/d/empty").rmdir()
    return project


def files(base):
    return {
        one.relative_to(base).as_posix(): one.read_bytes() if one.is_file() else None
        for one in base.rglob("*")
    }


def test_what_is_there_is_frozen_and_the_old_bytes_are_back(overwritten, root):
    done = overwritten.restore("iris_v0.1", "data/raw/iris.csv", overwrite=True)
    assert (root / "data/raw/iris.csv").read_bytes() == b"old"
    assert (done.frozen_as, done.newly_frozen, done.changed) == ("iris_v0.3", True, True)
    assert (root / "data/snapshots/iris_v0.3/iris.csv").read_bytes() == b"overwritten"
    frozen = overwritten.catalog.snapshots.load("iris", "v0.3").manifest
    assert "iris_v0.1 was restored over" in frozen.notes
    assert frozen.source == "data/raw/iris.csv"
    assert os.listdir(root / "data/raw") == ["iris.csv"]
    assert overwritten.verify().holds
    told = str(done)
    assert "frozen as iris_v0.3" in told
    assert "%restore iris_v0.3" in told


def test_what_is_frozen_already_is_not_frozen_twice(overwritten, root, raw):
    raw("iris.csv", b"old")
    done = overwritten.restore("iris_v0.2", "data/raw/iris.csv", overwrite=True)
    assert (done.frozen_as, done.newly_frozen) == ("iris_v0.1", False)
    assert (root / "data/raw/iris.csv").read_bytes() == b"newer"
    assert len(overwritten.catalog.snapshots.versions("iris")) == 2


def test_a_version_that_does_not_hold_does_not_count_as_frozen(overwritten, root, raw, damage):
    raw("iris.csv", b"old")
    damage(root / "data/snapshots/iris_v0.1/iris.csv", b"evil")
    done = overwritten.restore("iris_v0.2", "data/raw/iris.csv", overwrite=True)
    assert (done.frozen_as, done.newly_frozen) == ("iris_v0.3", True)
    assert (root / "data/snapshots/iris_v0.3/iris.csv").read_bytes() == b"old"


def test_again_changes_nothing(overwritten, root, tree):
    overwritten.restore("iris_v0.1", "data/raw/iris.csv", overwrite=True)
    before = tree(root)
    done = overwritten.restore("iris_v0.1", "data/raw/iris.csv", overwrite=True)
    assert (done.changed, done.frozen_as) == (False, None)
    assert "nothing was changed" in str(done)
    assert tree(root) == before


def test_it_says_which_other_snapshots_hold_the_old_bytes(overwritten, raw):
    raw("copy.csv", b"old")
    overwritten.snapshot("data/raw/copy.csv", name="other")
    done = overwritten.restore("iris_v0.1", "data/raw/iris.csv", overwrite=True)
    assert done.also_in == ("other_v0.1",)
    assert "other_v0.1" in str(done)


def test_a_folder_becomes_what_it_was(folder, root):
    done = folder.restore("d_v0.1", "data/raw/d", overwrite=True)
    assert files(root / "data/raw/d") == {
        "a.csv": b"aaaa",
        "sub": None,
        "sub/b.csv": b"bbbb",
        "empty": None,
    }
    assert done.frozen_as == "d_v0.2"
    kept = files(root / "data/snapshots/d_v0.2")
    assert (kept["a.csv"], kept["new.csv"]) == (b"changed", b"new")
    assert os.listdir(root / "data/raw") == ["d"]
    assert (root / "data/raw/d/a.csv").stat().st_mode & 0o200


@pytest.mark.parametrize("state", ["gone", "empty"])
def test_what_was_deleted_comes_back(state, folder, root):
    shutil.rmtree(root / "data/raw/d")
    if state == "empty":
        (root / "data/raw/d").mkdir()
    done = folder.restore("d_v0.1", "data/raw/d", overwrite=True)
    if state == "gone":
        assert (root / "data/raw/d/a.csv").read_bytes() == b"aaaa"
    assert (root / "data/raw/d/sub/b.csv").read_bytes() == b"bbbb"
    assert done.frozen_as is None
    assert len(folder.catalog.snapshots.versions("d")) == 1


def test_the_permissions_of_the_file_stay_and_it_can_be_written(overwritten, root):
    (root / "data/raw/iris.csv").chmod(0o440)
    overwritten.restore("iris_v0.1", "data/raw/iris.csv", overwrite=True)
    assert (root / "data/raw/iris.csv").stat().st_mode & 0o777 == 0o640


def test_a_single_file_becomes_a_file_where_the_path_is_called_like_one(overwritten, root):
    overwritten.restore("iris_v0.1", "out/iris.csv")
    assert (root / "out/iris.csv").read_bytes() == b"old"
    overwritten.restore("iris_v0.1", "out/better.csv")
    assert (root / "out/better.csv").read_bytes() == b"old"
    overwritten.restore("iris_v0.1", "out/folder")
    assert (root / "out/folder/iris.csv").read_bytes() == b"old"


def test_without_the_option_what_exists_is_refused_and_the_option_is_named(overwritten, root, tree):
    before = tree(root)
    with pytest.raises(ConflictError, match="--overwrite"):
        overwritten.restore("iris_v0.1", "data/raw/iris.csv")
    assert tree(root) == before


# -- what is refused before anything is changed ---------------------------------------------


def link_itself(path):
    shutil.move(path, path.with_name("real"))
    path.symlink_to("real")


def link_inside(path):
    (path / "link").symlink_to("a.csv")


def pipe_inside(path):
    os.mkfifo(path / "pipe")


def second_name(path):
    os.link(path / "a.csv", path.parent / "second.csv")


def ignored_inside(path):
    (path / "__pycache__").mkdir()


def name_inside(path):
    (path / os.fsdecode(b"bad\xff")).write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (link_itself, "symbolic link"),
        (link_inside, "symbolic link"),
        (pipe_inside, "a pipe"),
        (second_name, "second name"),
        (ignored_inside, "snapshots leave out"),
        (name_inside, "not UTF-8"),
    ],
)
def test_what_cannot_be_frozen_whole_is_refused(spoil, said, folder, root, tree):
    spoil(root / "data/raw/d")
    before = tree(root)
    with pytest.raises(InvalidInputError, match=said):
        folder.restore("d_v0.1", "data/raw/d", overwrite=True)
    assert tree(root) == before


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (".", "holds the store"),
        ("data", "holds the store"),
        ("models", "inside the store"),
        ("..", "holds the store"),
        ("data/snapshots/iris_v0.1/iris.csv", "inside the store"),
        ("data/raw", "name the file: .*data/raw/iris.csv"),
    ],
)
def test_a_place_that_holds_more_is_refused(path, said, overwritten, root, raw, tree):
    raw("other.csv", b"mine")
    before = tree(root)
    with pytest.raises(InvalidInputError, match=said):
        overwritten.restore("iris_v0.1", path, overwrite=True)
    assert tree(root) == before


def test_a_folder_is_not_put_in_the_place_of_a_file_nor_a_model_anywhere(
    folder, root, register, tree
):
    register("v0.1.0")
    (root / "data/raw/file.csv").write_bytes(b"mine")
    before = tree(root)
    with pytest.raises(InvalidInputError, match=r"is a file and d_v0\.1 a folder"):
        folder.restore("d_v0.1", "data/raw/file.csv", overwrite=True)
    with pytest.raises(InvalidInputError, match="is a model"):
        folder.restore("clf@v0.1.0", "data/raw/file.csv", overwrite=True)
    assert tree(root) == before


def test_bytes_that_do_not_hold_change_nothing(overwritten, root, damage, tree):
    damage(root / "data/snapshots/iris_v0.1/iris.csv", b"evil")
    before = tree(root)
    with pytest.raises(IntegrityError, match=r"%verify iris_v0\.1 --repair"):
        overwritten.restore("iris_v0.1", "data/raw/iris.csv", overwrite=True)
    assert {key: one for key, one in tree(root).items() if key != "data/raw"} == {
        key: one for key, one in before.items() if key != "data/raw"
    }


# -- somebody else writes, and the process dies ----------------------------------------------


class Writer(Disk):
    """A disk beside which somebody writes to the user's file at one primitive."""

    __slots__ = ("act", "at")

    def step(self, primitive, path):
        if primitive == self.at and self.act is not None:
            act, self.act = self.act, None
            act()


@pytest.mark.parametrize("at", ["becomes_swap", "exchange"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_written_meanwhile_is_not_lost(at, kind, project, root, raw):
    name = "iris.csv" if kind == "file" else "d/a.csv"
    source = "data/raw/iris.csv" if kind == "file" else "data/raw/d"
    raw(name, b"old")
    ref = project.snapshot(source).reference
    path = raw(name, b"overwritten")
    project.snapshot(source)
    disk = Writer()
    disk.at, disk.act = at, lambda: path.write_bytes(b"written meanwhile")
    with pytest.raises(ConflictError, match="was written to while"):
        Project(root, disk=disk).restore(ref, source, overwrite=True)
    assert disk.act is None
    assert path.read_bytes() == b"written meanwhile"
    assert sorted(os.listdir(root / "data/raw")) == [name.partition("/")[0]]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_restore_that_is_killed_at_any_step_loses_nothing_and_can_be_done_again(
    kind, overwritten, root, raw
):
    if kind == "file":
        ref, path, name, old, new = "iris_v0.1", "data/raw/iris.csv", "", b"old", b"overwritten"
    else:
        raw("d/a.csv", b"aaaa")
        ref, path, name = overwritten.snapshot("data/raw/d").reference, "data/raw/d", "a.csv"
        raw("d/a.csv", b"bbbb")
        old, new = b"aaaa", b"bbbb"
    work = root.parent / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, KILLER, root, work, "restore", ref, path, "--overwrite"],
        capture_output=True,
        text=True,
        check=True,
    )
    *steps, end = map(json.loads, done.stdout.splitlines())
    assert end["end"] > 15
    for one in steps:
        assert {digest_of(old), digest_of(new)} <= set(one["contents"]), one
        assert one["findings"] == [], one
        assert one["holds"], one
        assert Path(one["root"], path, name).read_bytes() == old
        versions = Project(one["root"]).catalog.snapshots
        kept = [versions.load(ref[:-5], str(at)) for at in versions.versions(ref[:-5])]
        assert any(version.holds(digest_of(new)[7:]) for version in kept), one
    assert {one["killed"] for one in steps} >= {"stage", "write", "flush", "exchange"}
    sys.stdout.write(f"{len(steps)} crash points of restoring over a {kind} passed\n")
