from __future__ import annotations

import contextlib
import errno
import os

import pytest

import nbversion.disk.staging as staging_module
from nbversion import syscalls
from nbversion.disk import Disk, is_leftover
from nbversion.errors import ConflictError, LostRaceError, StorageError


class Recording(Disk):
    """Notes every step, and raises at the k-th."""

    def __init__(self, fail_at=None, error=None):
        super().__init__()
        object.__setattr__(self, "_notes", ([], fail_at, error))

    __slots__ = ("_notes",)

    @property
    def steps(self):
        return self._notes[0]

    def step(self, primitive, path):
        steps, fail_at, error = self._notes
        steps.append((primitive, os.path.basename(path)))
        # Removing is what cleans up: a fault there stands for a machine that went down.
        if len(steps) == fail_at and primitive != "remove_tree":
            raise error


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def leftovers(folder):
    return [one for one in folder.rglob("*") if is_leftover(one.name)]


def publish_version(disk, base):
    with disk.stage(base / "store") as staging:
        staging.write("a.csv", [b"one"])
        staging.write("sub/b.csv", [b"two"])
        staging.make_folder("empty")
        staging.flush()
        disk.publish(staging.folder, base / "store" / "v1")


def exchange_version(disk, base):
    (base / "store" / "v1").mkdir(parents=True, exist_ok=True)
    with disk.stage(base / "store") as staging:
        staging.write("a.csv", [b"one"])
        staging.flush()
        disk.exchange(staging.folder, base / "store" / "v1")


ACTIONS = {
    "create": lambda disk, base: disk.create(base / "sub" / "file", b"new"),
    "replace": lambda disk, base: disk.replace(base / "sub" / "file", b"new"),
    "publish": publish_version,
    "exchange": exchange_version,
}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_failure_at_any_step_leaves_nothing_half_made(action, error, tmp_path):
    probe = Recording()
    ACTIONS[action](probe, tmp_path / "probe")
    assert len(probe.steps) > 4
    for at in range(1, len(probe.steps) + 1):
        if probe.steps[at - 1][0] == "remove_tree":
            continue
        base = tmp_path / f"at-{at}"
        with pytest.raises(type(error)):
            ACTIONS[action](Recording(at, error), base)
        assert leftovers(tmp_path) == [], (at, probe.steps[at - 1])
        for file in base.rglob("*"):
            assert file.is_dir() or file.read_bytes() in (b"new", b"one", b"two")


def test_a_version_is_flushed_before_it_is_published(tmp_path):
    disk = Recording()
    publish_version(disk, tmp_path)
    order = [step for step, _ in disk.steps]
    assert max(at for at, step in enumerate(order) if step == "write") < order.index("flush")
    assert order.index("flush") < order.index("publish")
    assert disk.steps[-1] == ("sync_folder", "store")


def test_every_written_file_and_folder_is_flushed(tmp_path, monkeypatch):
    flushed = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (flushed.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))
    )
    publish_version(Disk(), tmp_path)
    last = [path.rpartition("/")[2] for path in flushed]
    assert {"a.csv", "b.csv", "sub", "empty", "store"} <= set(last)
    assert last[-1] == "store"


def test_many_files_are_flushed_with_one_call(tmp_path, monkeypatch):
    calls = []
    real = syscalls.sync_filesystem
    monkeypatch.setattr(syscalls, "sync_filesystem", lambda fd: (calls.append(fd), real(fd))[1])
    disk = Disk()
    with disk.stage(tmp_path) as staging:
        for at in range(staging_module.SYNC_WHOLE_ABOVE + 1):
            staging.write(f"{at}", [b"x"])
        staging.flush()
    assert len(calls) == 1
    assert calls[0] >= 0


@pytest.mark.parametrize("verb", ["create", "replace"])
def test_a_small_file_is_flushed_before_it_gets_its_name(verb, tmp_path):
    disk = Recording()
    ACTIONS[verb](disk, tmp_path)
    order = [step for step, _ in disk.steps if step in ("write", "fsync", verb)]
    assert order == ["write", "fsync", verb]
    assert disk.steps[-1] == ("sync_folder", "sub")


def test_making_folders_makes_every_new_name_durable(tmp_path):
    disk = Recording()
    disk.make_folder(tmp_path / "a" / "b" / "c")
    synced = [name for step, name in disk.steps if step == "sync_folder"]
    assert synced == [tmp_path.name, "a", "b"]


def test_create_leaves_what_is_there(tmp_path):
    path = tmp_path / "file"
    assert Disk().create(path, b"first") is True
    assert Disk().create(path, b"second") is False
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_replace_gives_the_new_text_in_a_new_file(tmp_path):
    path = tmp_path / "file"
    Disk().create(path, b"first", mode=0o444)
    with path.open("rb") as reader:
        Disk().replace(path, b"second", mode=0o444)
        assert reader.read() == b"first"
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("there", ["file", "empty folder", "full folder", "dangling link"])
def test_publishing_never_replaces_what_is_there(there, fallback, tmp_path, monkeypatch):
    if fallback:
        monkeypatch.setattr(syscalls, "_rename", lambda *_: False)
    final = tmp_path / "v1"
    if there == "file":
        final.write_bytes(b"mine")
    elif there == "dangling link":
        final.symlink_to("nowhere")
    else:
        final.mkdir()
        if there == "full folder":
            (final / "mine").write_bytes(b"mine")
    before = final.lstat().st_ino, final.lstat().st_mtime_ns
    disk = Disk()
    with disk.stage(tmp_path) as staging:
        staging.write("a.csv", [b"one"])
        staging.flush()
        with pytest.raises(ConflictError, match="v1 exists already"):
            disk.publish(staging.folder, final)
    assert (final.lstat().st_ino, final.lstat().st_mtime_ns) == before
    assert names(tmp_path) == ["v1"]


@pytest.mark.parametrize("fallback", [False, True])
def test_an_exchange_swaps_two_folders(fallback, tmp_path, monkeypatch):
    if fallback:
        monkeypatch.setattr(syscalls, "_rename", lambda *_: False)
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    Disk().exchange(tmp_path / "new", tmp_path / "old")
    assert names(tmp_path / "new") == ["old"]
    assert names(tmp_path / "old") == ["new"]
    assert names(tmp_path) == ["new", "old"]


def test_an_exchange_that_fails_halfway_puts_the_folder_back(tmp_path, monkeypatch):
    monkeypatch.setattr(syscalls, "_rename", lambda *_: False)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "mine").touch()
    with pytest.raises(StorageError, match="No such file"):
        Disk().exchange(tmp_path / "not-there", tmp_path / "old")
    assert names(tmp_path) == ["old"]
    assert names(tmp_path / "old") == ["mine"]


def test_a_file_system_without_links_still_creates_exclusively(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert Disk().create(tmp_path / "file", b"first") is True
    assert Disk().create(tmp_path / "file", b"second") is False
    assert (tmp_path / "file").read_bytes() == b"first"
    with Disk().stage(tmp_path) as staging:
        assert staging.link(tmp_path / "file", "copy") is False
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0, 0o077])
def test_frozen_files_are_read_only_in_folders_that_can_be_removed(tmp_path, umask):
    old = os.umask(umask)
    try:
        publish_version(Disk(), tmp_path)
    finally:
        os.umask(old)
    final = tmp_path / "store" / "v1"
    assert {one.stat().st_mode & 0o777 for one in final.rglob("*.csv")} == {0o444}
    assert {one.stat().st_mode & 0o777 for one in (final, final / "sub")} == {0o755}
    assert (final / "empty").stat().st_mode & 0o777 == 0o755


def test_what_is_written_is_what_was_hashed(tmp_path):
    import hashlib

    with Disk().stage(tmp_path) as staging:
        found = staging.write("a", [b"one", memoryview(b"two"), b""])
        assert (staging.folder / "a").read_bytes() == b"onetwo"
    assert found == (hashlib.sha256(b"onetwo").hexdigest(), 6)


def test_an_error_of_the_source_is_not_told_as_one_of_writing(tmp_path):
    def blocks():
        yield b"one"
        raise OSError(errno.EIO, "the source is broken")

    with (
        pytest.raises(OSError, match=r"\[Errno 5\] the source is broken"),
        Disk().stage(tmp_path) as staging,
    ):
        staging.write("a", blocks())
    assert names(tmp_path) == []


def test_parents_made_for_a_staging_that_failed_are_gone(tmp_path):
    with pytest.raises(ZeroDivisionError), Disk().stage(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_an_error_names_the_path_and_is_one_line(code, tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    path = tmp_path / "registry.json"
    with pytest.raises(StorageError) as caught:
        Disk().replace(path, b"new")
    assert str(path) in caught.value.message
    assert os.strerror(code) in caught.value.message
    assert "\n" not in caught.value.message
    assert names(tmp_path) == []


@pytest.mark.parametrize("verb", ["create", "replace", "make_folder"])
def test_a_file_where_a_folder_should_be_is_told_in_one_line(verb, tmp_path):
    (tmp_path / "models").write_bytes(b"")
    call = {
        "create": lambda: Disk().create(tmp_path / "models" / "x", b""),
        "replace": lambda: Disk().replace(tmp_path / "models" / "x", b""),
        "make_folder": lambda: Disk().make_folder(tmp_path / "models"),
    }[verb]
    with pytest.raises(StorageError, match="models"):
        call()


def test_removing_what_is_gone_is_fine(tmp_path):
    path = tmp_path / "mark"
    Disk().mark(path)
    Disk().remove(path)
    Disk().remove(path)
    assert names(tmp_path) == []


def test_setting_aside_keeps_everything_under_a_name_of_its_own(tmp_path):
    for _ in range(2):
        (tmp_path / "iris").mkdir()
        (tmp_path / "iris" / "mine").write_bytes(b"mine")
        target = Disk().set_aside(tmp_path / "iris", tmp_path / "q")
        assert (target / "mine").read_bytes() == b"mine"
    assert len(names(tmp_path / "q")) == 2
    assert not (tmp_path / "iris").exists()


def test_a_lock_that_is_held_is_reported_and_later_free(tmp_path):
    path = tmp_path / "locks" / "lock"
    with (
        Disk().lock(path),
        pytest.raises(LostRaceError, match="another writer has held lock"),
        Disk().lock(path, timeout=0.05),
    ):
        raise AssertionError("two hold the lock")
    with Disk().lock(path, timeout=0.05):
        pass


def test_a_file_system_without_locks_is_no_obstacle(tmp_path):
    @contextlib.contextmanager
    def refuse(_path, _timeout):
        raise NotImplementedError("FileSystem does not appear to support flock")
        yield

    with Disk(lock_factory=refuse).lock(tmp_path / "lock"):
        entered = True
    assert entered
