from __future__ import annotations

import os
import socket

import pytest

from nbversion import hashing
from nbversion.disk import is_leftover
from nbversion.errors import InvalidInputError, NotFoundError, StorageError
from nbversion.store import copying, freezer, parallel, sources
from nbversion.store.sources import Source, list_source


def listed(path):
    return list_source(path, ignore=(".git",))


def stored(root):
    return [one for one in root.rglob("*") if "snapshots" in one.parts and one.suffix == ".csv"]


def test_a_folder_is_listed_in_the_order_of_its_names_with_what_is_left_out(raw):
    for name in ("d/z.csv", "d/a/b.csv", "d/.git/config", "d/a/.git"):
        raw(name)
    (raw("d/x").parent / "empty" / "deep").mkdir(parents=True)
    found = listed(raw("d/y").parent)
    assert list(found.items) == ["a/b.csv", "x", "y", "z.csv"]
    assert found.directories == ("empty/deep",)
    assert found.ignored == (".git", "a/.git")


@pytest.mark.parametrize("what", ["empty folder", "only folders", "only ignored"])
def test_a_folder_without_a_file_is_refused(what, project, root):
    folder = root / "d"
    folder.mkdir()
    if what == "only folders":
        (folder / "a").mkdir()
    elif what == "only ignored":
        (folder / ".git").touch()
    with pytest.raises(InvalidInputError, match="holds no file to freeze"):
        project.snapshot("d")
    assert not (root / "data").exists()


@pytest.mark.parametrize(
    ("target", "where"),
    [("a.csv", "d/link"), ("/etc/hostname", "d/link"), ("nowhere", "d/link"), ("link", "d/link")],
)
def test_a_link_inside_is_refused_with_nothing_written(target, where, project, raw, root):
    raw("d/a.csv")
    (root / "data/raw" / where).symlink_to(target)
    with pytest.raises(InvalidInputError, match="'link' is a symbolic link"):
        project.snapshot("data/raw/d")
    assert not (root / "data/snapshots").exists()


def test_a_link_at_the_top_is_refused_and_its_target_named(project, raw, root):
    raw("a.csv")
    (root / "link").symlink_to("data/raw/a.csv")
    with pytest.raises(InvalidInputError, match=r"symbolic link.*points to data/raw/a\.csv"):
        project.snapshot("link")
    assert not (root / "data/snapshots").exists()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("where", ["top", "d/inside"])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_special_file_is_refused_without_waiting_for_it(kind, where, project, raw, root):
    raw("d/a.csv")
    path = root / "data/raw" / where
    if kind == "pipe":
        os.mkfifo(path)
    else:
        # A socket's path has at most 108 bytes.
        here = os.open(path.parent, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
    with pytest.raises(InvalidInputError, match=f"is a {kind}"):
        project.snapshot("data/raw/d" if "/" in where else path)
    assert not (root / "data/snapshots").exists()


def test_a_name_that_is_not_utf8_is_refused(project, raw, root):
    raw("d/a.csv")
    with open(os.fsencode(root) + b"/data/raw/d/\xff.csv", "wb"):
        pass
    with pytest.raises(InvalidInputError, match="is not UTF-8; rename it"):
        project.snapshot("data/raw/d")
    assert not (root / "data/snapshots").exists()


def test_a_folder_above_may_have_a_name_that_is_not_utf8(project, tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    with open(folder + b"/a.csv", "wb") as handle:
        handle.write(b"x")
    made = project.snapshot(os.fsdecode(folder) + "/a.csv")
    assert made.manifest.source.endswith("/\\xff/a.csv")
    assert project.verify().holds


@pytest.mark.parametrize("name", ["manifest.json", "model_card.md"])
def test_names_that_a_version_needs_itself_are_refused_at_the_top_only(name, project, raw):
    raw(f"d/sub/{name}")
    raw("d/a.csv")
    assert f"sub/{name}" in [one.path for one in project.snapshot("data/raw/d").manifest.files]
    raw(f"d/{name}")
    with pytest.raises(InvalidInputError, match="taken by the version's own"):
        project.snapshot("data/raw/d")
    with pytest.raises(InvalidInputError, match="taken by the version's own"):
        project.snapshot(f"data/raw/d/{name}", name="single")


def test_something_that_is_not_there_is_said_so(project, root):
    with pytest.raises(NotFoundError, match=r"data/raw/a\.csv is not there"):
        project.snapshot("data/raw/a.csv")
    assert list(root.iterdir()) == []


def test_names_that_one_disk_takes_for_one_another_are_told(project, raw):
    for name in ("d/Iris.csv", "d/iris.csv", "d/e\u0301.csv", "d/\u00e9.csv", "d/other.csv"):
        raw(name)
    made = project.snapshot("data/raw/d")
    assert len(made.manifest.files) == 5
    assert len(made.warnings) == 2
    assert "'Iris.csv' and 'iris.csv'" in made.warnings[0]


def change(path):
    path.write_bytes(b"other content")


def replace(path):
    fresh = path.with_name("fresh")
    fresh.write_bytes(path.read_bytes())
    fresh.replace(path)


def same_size(path):
    facts = path.stat()
    path.write_bytes(b"X" * facts.st_size)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def grow(path):
    with path.open("ab") as handle:
        handle.write(b"more")


def swap_folder(path):
    content = path.read_bytes()
    path.parent.rename(path.parent.with_name(f"away-{os.urandom(4).hex()}"))
    path.parent.mkdir()
    path.write_bytes(content + b"!")


@pytest.mark.parametrize("how", [change, replace, same_size, grow, swap_folder])
def test_a_file_that_changed_once_while_read_is_read_again(how, raw):
    path = raw("a.csv", b"before")
    calls = []
    undone = []

    def consume(handle):
        data = handle.read()
        if not calls:
            how(path)
        calls.append(data)
        return data

    found, mark = Source(items={"a": path}).read("a", consume, redo=lambda: undone.append(1))
    assert (found, mark.size) == (path.read_bytes(), path.stat().st_size)
    assert (len(calls), len(undone)) == (2, 1)


@pytest.fixture(params=[sources.SMALL, -1], ids=["in-one-call", "in-blocks"])
def while_read(request, monkeypatch):
    """Do something each time when a file was read and is not yet believed: while_read(act)."""

    def install(act):
        real_read, real_blocks = os.read, hashing.blocks

        def read(handle, count):
            data = real_read(handle, count)
            act()
            return data

        def blocks(handle):
            yield from real_blocks(handle)
            act()

        monkeypatch.setattr(os, "read", read)
        for module in (copying, parallel):
            monkeypatch.setattr(module, "blocks", blocks)

    monkeypatch.setattr(freezer, "SMALL", request.param)
    return install


@pytest.mark.parametrize("how", [change, replace, same_size, grow])
def test_a_file_that_keeps_changing_is_not_published(how, project, raw, root, while_read):
    path = raw("a.csv", b"before")
    while_read(lambda: how(path))
    with pytest.raises(StorageError, match="kept changing while it was read"):
        project.snapshot("data/raw/a.csv")
    assert stored(root) == []
    assert not [one for one in root.rglob("*") if is_leftover(one.name)]


def test_a_changed_file_is_frozen_as_it_was_in_the_end(project, raw, while_read):
    path = raw("a.csv", b"before")
    calls = []
    while_read(lambda: None if calls else calls.append(path.write_bytes(b"afterwards")))
    made = project.snapshot("data/raw/a.csv")
    assert (made.path / "a.csv").read_bytes() == b"afterwards"
    assert made.manifest.files[0].size_bytes == 10
    assert project.verify().holds


def test_a_file_that_changes_after_its_turn_is_told(project, raw, root, while_read, monkeypatch):
    monkeypatch.setattr(parallel, "_WORKERS", 1)
    first = raw("d/a.csv", b"before")
    raw("d/b.csv", b"other")
    calls = []

    def later():
        calls.append(1)
        if len(calls) == 2:
            first.write_bytes(b"after.")

    while_read(later)
    with pytest.raises(StorageError, match=r"data/raw/d changed while it was read: a\.csv"):
        project.snapshot("data/raw/d")
    assert stored(root) == []


@pytest.mark.parametrize("what", ["d/new", "d/sub/new", "d/b.csv"])
def test_a_folder_that_changes_while_it_is_read_is_told(what, project, raw, root, while_read):
    raw("d/a.csv", b"1")
    raw("d/b.csv", b"2")
    (root / "data/raw/d/sub").mkdir()
    path = root / "data/raw" / what

    def act():
        if path.name == "new":
            path.touch()
        elif path.exists() and path.with_name("a.csv").exists():
            path.with_name("a.csv").rename(root / "away")

    while_read(act)
    with pytest.raises(StorageError, match=r"changed while it was read|cannot be read|vanished"):
        project.snapshot("data/raw/d")
    assert stored(root) == []


def vanish(path):
    path.unlink()


def become_a_link(path):
    path.unlink()
    path.symlink_to("/etc/hostname")


def become_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def become_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("how", [vanish, become_a_link, become_a_pipe, become_a_folder])
def test_a_file_that_becomes_something_else_before_it_is_read_is_refused(
    how, project, raw, root, monkeypatch
):
    path = raw("d/a.csv", b"before")
    raw("d/b.csv")
    real, turn = Source.read_as_listed, [how]

    def read_as_listed(self, name):
        if name == "a.csv" and turn:
            turn.pop()(path)
        return real(self, name)

    monkeypatch.setattr(Source, "read_as_listed", read_as_listed)
    with pytest.raises(StorageError, match=r"a\.csv cannot be read"):
        project.snapshot("data/raw/d")
    assert stored(root) == []
    assert not [one for one in root.rglob("*") if is_leftover(one.name)]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("how", [vanish, become_a_link, become_a_pipe, become_a_folder])
def test_a_file_that_becomes_something_else_after_it_was_read_is_refused(
    how, project, raw, root, while_read
):
    path = raw("d/a.csv", b"before")
    raw("d/b.csv")
    turn = [how]
    while_read(lambda: turn.pop()(path) if turn else None)
    with pytest.raises(StorageError, match=r"a\.csv"):
        project.snapshot("data/raw/d")
    assert stored(root) == []
    assert not [one for one in root.rglob("*") if is_leftover(one.name)]


def test_no_descriptor_is_left_open(raw):
    path = raw("a.csv")
    before = len(os.listdir("/proc/self/fd"))
    path.unlink()
    path.mkdir()
    for _ in range(5):
        with pytest.raises(StorageError, match="a folder, not a file"):
            Source(items={"a": path}).read("a", lambda handle: handle.read())
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_unreadable_file_is_named(unprivileged, raw, root):
    raw("a.csv").chmod(0o000)
    out = unprivileged("project.snapshot('data/raw/a.csv')")
    assert out.startswith("StorageError")
    assert "data/raw/a.csv cannot be read: Permission denied" in out
    assert stored(root) == []


def test_a_project_that_cannot_be_written_is_named(unprivileged, raw, root):
    raw("a.csv")
    root.chmod(0o555)
    before = sorted(root.rglob("*"))
    out = unprivileged("project.snapshot('data/raw/a.csv')")
    assert out.startswith("StorageError cannot write")
    assert "make the project folder writable" in out
    assert out.count("\n") == 1
    assert sorted(root.rglob("*")) == before
