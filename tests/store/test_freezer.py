"""Where the bytes of a new version come from: shared, resumed, or copied."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time

import pytest

from nbversion.disk import STAGE_PREFIX, Staging, is_leftover
from nbversion.disk import staging as staging_module
from nbversion.errors import StorageError
from nbversion.project import Project
from nbversion.store import freezer
from nbversion.store.sources import SMALL


def hidden(root):
    return [one for one in root.rglob("*") if is_leftover(one.name)]


@pytest.fixture
def two(root):
    """Two large files and a small one."""
    folder = root / "raw"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(os.urandom(SMALL + 10))
    (folder / "sub/b.bin").write_bytes(os.urandom(SMALL + 20))
    (folder / "c.txt").write_bytes(b"small")
    return folder


def killed(root, at):
    """Kill a snapshot of raw in a process of its own as it comes to the primitive `at`."""
    code = (
        "import os, sys\nfrom nbversion.disk import Disk\nfrom nbversion.project import Project\n"
        "class Dying(Disk):\n"
        "    def step(self, primitive, path):\n"
        "        if primitive == sys.argv[1]: os._exit(137)\n"
        "Project('.', disk=Dying()).snapshot('raw', name='d')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, at], cwd=root, check=False)
    assert done.returncode == 137


def test_a_killed_snapshot_is_gone_on_with(two, project, root):
    killed(root, "flush")
    assert len(hidden(root)) == 1
    made = project.snapshot("raw", name="d")
    assert made.stored.to_json() == {"copied": 0, "linked": 0, "reflinked": 0, "resumed": 3}
    assert (made.path / "sub/b.bin").read_bytes() == (two / "sub/b.bin").read_bytes()
    assert hidden(root) == []
    assert project.verify().holds
    assert {one.stat().st_nlink for one in made.path.rglob("*") if one.is_file()} == {1}


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "link"])
def test_what_was_staged_is_taken_only_when_its_bytes_are_right(damage, two, project, root):
    killed(root, "publish")
    (stage,) = hidden(root)
    staged = stage / "a.bin"
    staged.chmod(0o644)
    if damage == "changed":
        staged.write_bytes(b"\0" * (SMALL + 10))
    elif damage == "cut":
        os.truncate(staged, SMALL)
    else:
        staged.unlink()
        if damage == "link":
            staged.symlink_to(two / "a.bin")
    made = project.snapshot("raw", name="d")
    assert (made.stored.copied, made.stored.resumed) == (1, 2)
    assert not (made.path / "a.bin").is_symlink()
    assert project.verify().holds
    assert hidden(root) == []


def test_what_a_living_process_stages_is_left_alone(two, project, root):
    with project.catalog.project.disk.stage(root / "data/snapshots") as staging:
        staging.write("a.bin", [b"mine"])
        made = Project(root).snapshot("raw", name="d")
        assert made.stored.copied == 3
        assert (staging.folder / "a.bin").read_bytes() == b"mine"
    assert hidden(root) == []


def test_what_another_machine_stages_is_left_alone_for_a_month(two, project, root, monkeypatch):
    folder = root / "data/snapshots" / f"{STAGE_PREFIX}0000aaaa-0000bbbb-1-1-cccc"
    folder.mkdir(parents=True)
    project.snapshot("raw", name="d")
    assert folder.is_dir()
    later = time.time() + 31 * 24 * 3600
    monkeypatch.setattr("nbversion.disk.leftovers.time.time", lambda: later)
    (two / "c.txt").write_bytes(b"other")
    project.snapshot("raw", name="d")
    assert not folder.exists()


@pytest.mark.parametrize("much", [True, False])
def test_an_interrupted_snapshot_leaves_much_to_the_next_one_and_little_to_nobody(
    much, two, project, root, monkeypatch
):
    monkeypatch.setattr(staging_module, "WORTH_KEEPING", 1 if much else 1 << 40)
    real = Staging.flush

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Staging, "flush", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project.snapshot("raw", name="d")
    assert len(hidden(root)) == much
    assert project.catalog.snapshots.references() == []
    monkeypatch.setattr(Staging, "flush", real)
    made = project.snapshot("raw", name="d")
    assert made.stored.resumed == (3 if much else 0)
    assert hidden(root) == []


def test_a_failed_snapshot_leaves_nothing_of_what_it_had_taken_over(
    two, project, root, monkeypatch
):
    killed(root, "flush")

    def full(self):
        raise StorageError("full")

    monkeypatch.setattr(Staging, "flush", full)
    with pytest.raises(StorageError, match="full"):
        project.snapshot("raw", name="d")
    assert hidden(root) == []


def test_without_links_everything_is_copied(two, project, monkeypatch):
    project.snapshot("raw", name="d")
    monkeypatch.setattr(Staging, "link", lambda *_: False)
    monkeypatch.setattr(Staging, "share_all", lambda _self, _folder, paths: [""] * len(paths))
    (two / "c.txt").write_bytes(b"other")
    made = project.snapshot("raw", name="d")
    assert made.stored.to_json() == {"copied": 3, "linked": 0, "reflinked": 0, "resumed": 0}
    assert project.verify().holds


def test_older_manifests_are_read_only_as_far_as_it_pays(two, project, monkeypatch):
    monkeypatch.setattr(freezer, "_FREE_TO_READ", 0)
    old = project.snapshot("raw", name="d")
    (two / "a.bin").write_bytes(os.urandom(SMALL + 10))
    kept = (two / "c.txt").read_bytes()
    (two / "c.txt").write_bytes(b"other")
    project.snapshot("raw", name="d")
    # Of five bytes it does not pay to look at a second manifest, of a large file it does.
    (two / "c.txt").write_bytes(kept)
    assert project.snapshot("raw", name="d").stored.copied == 1
    shutil.copy(old.path / "a.bin", two / "fresh")
    (two / "fresh").replace(two / "a.bin")
    made = project.snapshot("raw", name="d")
    assert made.stored.copied == 0
    assert (made.path / "a.bin").stat().st_ino == (old.path / "a.bin").stat().st_ino


def test_a_full_disk_says_how_much_there_is_to_freeze(two, project, monkeypatch):
    import errno

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Staging, "_create", full)
    with pytest.raises(
        StorageError, match=r"No space left.* bytes are free.*source holds 512\.0 KiB"
    ):
        project.snapshot("raw", name="d")


def test_more_than_one_unreadable_file_is_named(unprivileged, root):
    (root / "raw").mkdir()
    for at in range(13):
        (root / f"raw/{at:02}").write_bytes(b"x")
        (root / f"raw/{at:02}").chmod(0)
    out = unprivileged("project.snapshot('raw', name='d')")
    assert out.startswith("StorageError")
    assert "raw/00" in out
    assert "raw/09" in out
    assert "and 3 more cannot be read" in out


@pytest.fixture
def reflinking(tmp_path):
    """A project on a file system that lets files share blocks."""
    image, place = tmp_path / "image", tmp_path / "xfs"
    place.mkdir()
    with image.open("wb") as handle:
        handle.truncate(400 << 20)
    try:
        subprocess.run(["mkfs.xfs", "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no such file system can be mounted here: {exc}")
    try:
        (place / "project").mkdir()
        yield Project(place / "project")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_where_blocks_can_be_shared_they_are_and_each_version_stands_alone(reflinking, monkeypatch):
    root = reflinking.root
    (root / "raw").mkdir()
    data = os.urandom(SMALL * 8)
    (root / "raw/big").write_bytes(data)
    (root / "raw/small").write_bytes(b"small")
    first = reflinking.snapshot(root / "raw", name="d")
    assert first.stored.to_json() == {"copied": 1, "linked": 0, "reflinked": 1, "resumed": 0}
    (root / "raw/more").write_bytes(b"more")
    second = reflinking.snapshot(root / "raw", name="d")
    assert second.stored.to_json() == {"copied": 1, "linked": 0, "reflinked": 2, "resumed": 0}
    # Unlike a second name of one file: what is written into one version is not in the other.
    assert (first.path / "big").stat().st_ino != (second.path / "big").stat().st_ino
    (second.path / "big").chmod(0o644)
    with (second.path / "big").open("r+b") as handle:
        handle.write(b"X")
    assert (first.path / "big").read_bytes() == data
    assert [one.ref for one in reflinking.verify().findings] == ["d_v0.2"]
    assert {one.st_mode & 0o777 for one in map(os.stat, first.path.glob("[bs]*"))} == {0o444}


def test_a_sparse_file_keeps_its_holes(project, root):
    path = root / "raw/sparse"
    path.parent.mkdir()
    with path.open("wb") as handle:
        handle.write(b"begin")
        handle.seek(64 << 20)
        handle.write(b"middle")
        handle.truncate(200 << 20)
    made = project.snapshot("raw", name="d")
    frozen = made.path / "sparse"
    assert frozen.stat().st_size == 200 << 20
    assert frozen.stat().st_blocks * 512 < 1 << 20
    assert project.verify().holds
    copy = project.restore("d_v0.1", root / "copy").path / "sparse"
    assert copy.stat().st_blocks * 512 < 1 << 20
    with contextlib.ExitStack() as stack:
        one, other = (stack.enter_context(file.open("rb")) for file in (path, copy))
        assert all(one.read(1 << 20) == other.read(1 << 20) for _ in range(201))
