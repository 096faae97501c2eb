"""What the index believes is never a reason to remove the only good copy of something."""

from __future__ import annotations

import json
import mmap
import os
import time

import pytest

from nbversion import tracking
from nbversion.disk import Disk
from nbversion.disk.leftovers import STAGE_PREFIX, SWAP_PREFIX, hidden_name, owned_by_nobody
from nbversion.project import Project
from nbversion.store import snapshots, sources, stat_index
from nbversion.store.stat_index import Seen, StatIndex

REAL = (sources.RACY_NS, stat_index.MAPPED_NS)


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Every file is old enough to be believed unchanged."""
    believe(monkeypatch, -(10**12), -(10**12))


def believe(monkeypatch, racy, mapped):
    for module in (snapshots, sources, stat_index):
        monkeypatch.setattr(module, "RACY_NS", racy)
    monkeypatch.setattr(stat_index, "MAPPED_NS", mapped)


def rot(path):
    """Change a byte without a trace, as a disk does."""
    facts = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as handle:
        byte = handle.read(1)
        handle.seek(0)
        handle.write(bytes([byte[0] ^ 1]))
    path.chmod(0o444)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def contents(root):
    return {one.read_bytes() for one in root.rglob("*") if one.is_file()}


def test_a_restore_over_good_data_keeps_it_when_its_frozen_copy_has_rotted(project, raw, root):
    raw("d/a", b"first")
    project.snapshot("data/raw/d", name="s")
    raw("d/a", b"second")
    rot(project.snapshot("data/raw/d", name="s").path / "a")
    restored = project.restore("s_v0.1", "data/raw/d", overwrite=True)
    assert (root / "data/raw/d/a").read_bytes() == b"first"
    assert restored.frozen_as == "s_v0.3"
    assert (root / "data/snapshots/s_v0.3/a").read_bytes() == b"second"


def test_freezing_in_place_keeps_good_data_when_the_older_copy_has_rotted(project, raw, root):
    raw("d/a", b"good")
    raw("d/b", b"1")
    rot(project.snapshot("data/raw/d", name="s").path / "a")
    raw("d/b", b"2")
    (root / "data/raw/d").rename(root / "data/snapshots/s_v0.2")
    made = project.snapshot("data/snapshots/s_v0.2")
    assert (made.path / "a").read_bytes() == b"good"
    assert project.verify("s_v0.2").holds


def test_an_interrupt_while_a_file_is_quarantined_loses_nothing(project, raw, root):
    raw("a.csv", b"good")
    frozen = project.snapshot("data/raw/a.csv").path / "a.csv"
    frozen.chmod(0o644)
    frozen.write_bytes(b"evil")

    class Interrupting(Disk):
        moved = False

        def step(self, primitive, path):
            if primitive == "sync_folder" and Interrupting.moved:
                raise KeyboardInterrupt
            Interrupting.moved |= primitive == "set_aside"

    with pytest.raises(KeyboardInterrupt):
        Project(root, disk=Interrupting()).verify("a_v0.1", repair=True)
    assert b"evil" in contents(root)
    assert Project(root).verify("a_v0.1", repair=True).holds
    assert b"evil" in contents(root / ".quarantine")


def test_a_forked_child_that_exits_leaves_the_artifacts_of_its_parent(project, root):
    (root / "plot.txt").write_text("kept")
    with project.track("t") as run:
        run.log_artifact(root / "plot.txt")
        child = os.fork()
        if child == 0:
            try:
                run._files.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (one,) = tracking.last_run().record.artifacts
    assert (root / one["path"]).read_text() == "kept"


def test_a_living_owner_keeps_its_staging_for_more_than_a_month(tmp_path):
    past = time.time() - 40 * 24 * 3600
    for prefix in (STAGE_PREFIX, SWAP_PREFIX):
        folder = tmp_path / hidden_name(prefix)
        folder.mkdir()
        os.utime(folder, (past, past))
        assert owned_by_nobody(tmp_path, prefix) == []


def test_a_folder_with_an_old_time_is_not_old_when_it_was_renamed_now(tmp_path):
    folder = tmp_path / f"{SWAP_PREFIX}0000aaaa-0000bbbb-1-1-cccc"
    folder.mkdir()
    past = time.time() - 40 * 24 * 3600
    os.utime(folder, (past, past))
    assert owned_by_nobody(tmp_path, SWAP_PREFIX) == []


@pytest.mark.parametrize("beside", [False, True])
def test_a_manifest_written_by_hand_is_found_again_and_again(beside, project, raw, root):
    path = raw("iris.csv", b"data")
    folder = root / "data/snapshots/iris_v0.1"
    folder.mkdir(parents=True)
    (folder / "iris.csv").write_bytes(b"data")
    sha256 = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
    file = {"path": "data/snapshots/iris_v0.1/iris.csv", "size_bytes": 4, "sha256": sha256}
    record = {"dataset": "iris", "version": "v0.1", "files": [file]}
    place = root / "data/snapshots/manifest.json" if beside else folder / "manifest.json"
    place.write_text(json.dumps(record, indent=2))
    for _ in range(3):
        assert project.snapshot(path).reference == "iris_v0.1"


def test_a_file_that_changes_after_it_was_listed_is_told_though_nobody_read_it(project, raw):
    raw("d/a", b"old")
    raw("d/b", b"1")
    project.snapshot("data/raw/d")
    raw("d/b", b"2")

    class Writing(type(project.catalog.project.progress)):
        def start(self, what, files, size_bytes):
            raw("d/a", b"new")

    project.watch(Writing())
    with pytest.raises(Exception, match=r"changed while it was read: a"):
        project.snapshot("data/raw/d")


def test_an_index_without_all_files_is_not_believed(project, raw, root):
    raw("d/a", b"1")
    raw("d/b", b"2")
    made = project.snapshot("data/raw/d")
    index = StatIndex(project.catalog.project)
    whole = index.load("frozen data/snapshots/d_v0.1")
    assert whole.note
    for part in (
        Seen(note=whole.note),
        Seen(["a"], whole.marks[:32], whole.digests[:32], whole.note),
    ):
        index.save("frozen data/snapshots/d_v0.1", part)
        again = project.snapshot("data/raw/d")
        assert (again.reference, again.created) == ("d_v0.1", False)
        assert again.manifest == made.manifest


def test_a_write_through_a_memory_map_is_not_believed_away(project, root, monkeypatch):
    believe(monkeypatch, *REAL)
    path = root / "map.bin"
    path.write_bytes(b"one")
    with path.open("r+b") as handle, mmap.mmap(handle.fileno(), 3) as mapped:
        mapped[:] = b"one"
        project.snapshot("map.bin", name="m")
        mapped[:] = b"two"
    made = project.snapshot("map.bin", name="m")
    assert made.created
    assert (made.path / "map.bin").read_bytes() == b"two"


def test_two_paths_never_share_a_file_by_way_of_what_was_staged(project, raw, root):
    raw("d/q", b"x" * 100)
    first = project.snapshot("data/raw/d")
    donor = root / "data/snapshots" / f"{STAGE_PREFIX}abandoned-1"
    donor.mkdir()
    os.link(first.path / "q", donor / "p")
    raw("d/a", b"x" * 100)
    raw("d/p", b"x" * 100)
    made = project.snapshot("data/raw/d")
    assert len({one.stat().st_ino for one in made.path.iterdir()}) == 4
