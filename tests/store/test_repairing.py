from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbversion.disk import Disk
from nbversion.errors import InvalidInputError, NotFoundError, StorageError
from nbversion.formats.run_record import RunRecord
from nbversion.hashing import digest_of
from nbversion.project import Project

KILLER = Path(__file__).with_name("killer.py")
A = "data/snapshots/d_v0.1/a.csv"
B = "data/snapshots/d_v0.1/sub/b.csv"


def sha(data):
    return digest_of(data).removeprefix("sha256:")


@pytest.fixture
def twins(project, raw, root):
    """Two data sets with equal content, of which neither shares an inode with the other."""
    raw("d/a.csv", b"aaaa")
    raw("d/sub/b.csv", b"bbbb")
    project.snapshot("data/raw/d")
    shutil.copytree(root / "data/raw/d", root / "data/raw/e")
    project.snapshot("data/raw/e")
    shutil.rmtree(root / "data/raw")
    assert project.verify().holds
    return project


def kinds(verification):
    return [(one.kind, one.path) for one in verification.findings]


def quarantined(root):
    """Return what lies in the quarantine: the record and the content of each entry."""
    found = []
    for record in sorted((root / ".quarantine").glob("*/record.json")):
        (kept,) = [one for one in record.parent.iterdir() if one != record]
        found.append((json.loads(record.read_text()), kept.read_bytes()))
    return found


# -- what is put back ----------------------------------------------------------------------


def test_a_corrupt_file_is_moved_aside_and_a_verified_copy_put_in_its_place(twins, root, damage):
    damage(root / A, b"evil")
    done = twins.verify("d_v0.1", repair=True)
    assert done.holds
    (repair,) = done.repairs
    assert (repair.path, repair.source) == (A, "data/snapshots/e_v0.1/a.csv")
    assert (root / A).read_bytes() == b"aaaa"
    assert (root / A).stat().st_mode & 0o777 == 0o444
    ((record, kept),) = quarantined(root)
    assert kept == b"evil"
    assert (record["path"], record["ref"]) == (A, "d_v0.1")
    assert record["expected"] == f"sha256 {sha(b'aaaa')}"
    assert record["got"] == f"sha256 {sha(b'evil')}"
    assert record["quarantined_utc"] == "2026-01-01T00:00:00Z"
    assert (root / repair.quarantined).read_bytes() == b"evil"
    assert twins.verify().holds


def test_what_is_put_back_shares_no_inode_with_where_it_came_from(twins, root, damage):
    damage(root / A, b"evil")
    twins.verify(repair=True)
    assert (root / A).stat().st_nlink == 1


def test_missing_files_and_folders_are_made_again(twins, root, raw):
    raw("f/x.csv", b"x")
    (root / "data/raw/f/empty").mkdir()
    empty = twins.snapshot("data/raw/f").path / "empty"
    empty.rmdir()
    shutil.rmtree(root / "data/snapshots/d_v0.1/sub")
    done = twins.verify(repair=True)
    assert done.holds
    assert (root / B).read_bytes() == b"bbbb"
    assert empty.is_dir()
    assert quarantined(root) == []


def test_a_link_in_place_of_a_file_is_moved_aside_as_a_link(twins, root):
    (root / "elsewhere.csv").write_bytes(b"aaaa")
    (root / A).unlink()
    (root / A).symlink_to(root / "elsewhere.csv")
    assert twins.verify(repair=True).holds
    assert not (root / A).is_symlink()
    (kept,) = [one for one in (root / ".quarantine").glob("*/*") if one.is_symlink()]
    assert os.readlink(kept) == str(root / "elsewhere.csv")


def test_the_users_own_file_serves_as_a_copy_where_it_is_as_it_was(project, raw, root, damage):
    raw("d/a.csv", b"aaaa")
    raw("d/b.csv", b"bbbb")
    project.snapshot("data/raw/d")
    project.snapshot("data/raw/d/a.csv", name="single")
    damage(root / A, b"evil")
    damage(root / "data/snapshots/d_v0.1/b.csv", b"evil")
    damage(root / "data/snapshots/single_v0.1/a.csv", b"evil")
    done = project.verify(repair=True)
    assert done.holds
    assert {one.source for one in done.repairs} == {"data/raw/d/a.csv", "data/raw/d/b.csv"}
    # Once it is changed it is no copy.
    raw("d/a.csv", b"AAAA")
    for one in (A, "data/snapshots/single_v0.1/a.csv"):
        damage(root / one, b"evil")
    assert not project.verify(repair=True).holds


def test_models_runs_and_locks_are_repaired_too(project, root, raw, run, register, damage):
    register("v0.1.0", content="weights")
    made = run()
    artifact = f"runs/{made.run_id}/artifacts/plot.svg"
    (lock,) = (root / "env/locks").glob("*.lock")
    (root / "env/requirements.lock").unlink()
    backup = root.parent / "backup"
    shutil.copytree(root, backup)
    damage(root / "models/clf/v0.1.0/model.bin", b"evil")
    (root / artifact).unlink()
    damage(lock, b"evil")
    done = project.verify(repair=True)
    assert len(done.repairs) == 3
    assert not done.holds
    done = project.verify(repair=True, offered=[backup])
    assert done.holds
    assert {one.path for one in done.repairs} == {
        "models/clf/v0.1.0/model.bin",
        artifact,
        lock.relative_to(root).as_posix(),
    }


def test_a_copy_is_found_between_a_run_and_a_snapshot(project, root, raw, run, damage):
    made = run()
    artifact = root / f"runs/{made.run_id}/artifacts/plot.svg"
    raw("plot.svg", b"<svg/>")
    plot = project.snapshot("data/raw/plot.svg").path / "plot.svg"
    (root / "data/raw/plot.svg").unlink()
    damage(plot, b"evil")
    assert project.verify(repair=True).holds
    artifact.unlink()
    assert project.verify(repair=True).holds
    assert artifact.read_bytes() == b"<svg/>"


# -- second names --------------------------------------------------------------------------


@pytest.fixture
def linked(project, raw, root):
    """Two versions of one data set whose equal files are one inode."""
    raw("d/a.csv", b"aaaa")
    raw("d/n.csv", b"1")
    project.snapshot("data/raw/d")
    raw("d/n.csv", b"2")
    project.snapshot("data/raw/d")
    shutil.rmtree(root / "data/raw")
    second = root / "data/snapshots/d_v0.2/a.csv"
    if not os.path.samefile(root / A, second):
        second.unlink()
        os.link(root / A, second)
    return project


def test_a_second_name_of_the_corrupt_file_is_no_copy(linked, root, damage):
    damage(root / A, b"evil")
    done = linked.verify(repair=True)
    assert sorted(kinds(done)) == [
        ("missing", A),
        ("missing", "data/snapshots/d_v0.2/a.csv"),
    ]
    assert [one.source for one in done.repairs] == [None, None]
    assert [kept for _, kept in quarantined(root)] == [b"evil", b"evil"]


def test_every_name_of_a_corrupt_inode_is_repaired_even_where_one_was_asked(linked, root, damage):
    (root.parent / "good.csv").write_bytes(b"aaaa")
    damage(root / A, b"evil")
    done = linked.verify("d_v0.1", repair=True, offered="../good.csv")
    assert done.holds
    assert {one.path for one in done.repairs} == {A, "data/snapshots/d_v0.2/a.csv"}
    assert "d_v0.2" in done.checked
    assert linked.verify().holds
    assert len(quarantined(root)) == 2


def test_what_was_repaired_serves_the_other_name(linked, root, damage):
    second = root / "data/snapshots/d_v0.2/a.csv"
    second.unlink()
    second.write_bytes(b"aaaa")
    damage(root / A, b"evil")
    assert linked.verify("d_v0.1", repair=True).holds
    assert second.read_bytes() == b"aaaa"
    assert second.stat().st_ino != (root / A).stat().st_ino


# -- what is not repaired ------------------------------------------------------------------


def test_without_a_copy_the_bytes_are_kept_aside_and_the_file_is_missing(
    project, raw, root, damage
):
    raw("d/a.csv", b"aaaa")
    project.snapshot("data/raw/d")
    shutil.rmtree(root / "data/raw")
    damage(root / A, b"evil")
    done = project.verify(repair=True)
    assert kinds(done) == [("missing", A)]
    assert done.to_json()["repaired"] == []
    (told,) = done.to_json()["not_repaired"]
    assert (told["path"], told["ref"]) == (A, "d_v0.1")
    assert "no good copy was found" in told["reason"]
    ((_, kept),) = quarantined(root)
    assert kept == b"evil"
    # And it can be put back for good once a copy turns up.
    (root / "found.csv").write_bytes(b"aaaa")
    assert project.verify(repair=True, offered=["found.csv"]).holds
    assert len(quarantined(root)) == 1


@pytest.mark.parametrize("how", ["notes", "files"])
def test_nothing_is_repaired_towards_a_manifest_that_was_edited(how, twins, root, damage, tree):
    path = root / "data/snapshots/d_v0.1/manifest.json"
    text = path.read_text()
    if how == "notes":
        text = text.replace('"notes": ""', '"notes": "x"')
    else:
        text = text.replace(sha(b"aaaa"), sha(b"bbbb"))
    path.write_text(text)
    damage(root / A, b"evil")
    before = tree(root / "data/snapshots/d_v0.1")
    done = twins.verify(repair=True)
    assert {kind for kind, _ in kinds(done)} == {"edited", "corrupt"}
    assert {one.source for one in done.repairs} == {None}
    assert "was edited" in done.repairs[0].reason
    assert tree(root / "data/snapshots/d_v0.1") == before
    assert quarantined(root) == []


def test_extra_files_orphans_and_texts_are_left_alone(twins, root, register, tree):
    register("v0.1.0")
    (root / "data/snapshots/d_v0.1/more.csv").write_bytes(b"x")
    (root / "data/snapshots/lost_v0.1").mkdir()
    (root / "data/snapshots/lost_v0.1/x").touch()
    (root / "models/clf/registry.json").write_text("{")
    before = tree(root)
    done = twins.verify(repair=True)
    assert sorted(kind for kind, _ in kinds(done)) == ["chain", "extra", "orphan"]
    assert done.repairs == ()
    assert tree(root) == before


def test_a_sound_project_is_not_written_to_by_a_repair(twins, root, tree):
    before = tree(root)
    assert twins.verify(repair=True).holds
    assert tree(root) == before


def test_a_record_cannot_have_a_file_of_a_snapshot_replaced(twins, root, damage):
    record = RunRecord(
        run_id="d_v0.1",
        artifacts=({"path": A, "size_bytes": 4, "sha256": sha(b"bbbb")},),
    )
    (root / "runs").mkdir(exist_ok=True)
    (root / "runs/d_v0.1.yaml").write_bytes(record.dump())
    done = twins.verify("run:d_v0.1", repair=True)
    assert kinds(done) == [("corrupt", A)]
    assert (root / A).read_bytes() == b"aaaa"
    assert "does not lie in runs/d_v0.1" in done.repairs[0].reason


@pytest.mark.parametrize("path", ["../../outside.txt", "/etc/hostname", "runs/r-one/../../x"])
@pytest.mark.parametrize("where", ["artifacts", ""])
def test_a_record_that_names_files_outside_the_project_is_edited(where, path, twins, root):
    outside = root.parent.parent / "outside.txt"
    outside.write_bytes(b"mine")
    facts = {"path": path, "size_bytes": 4, "sha256": sha(b"aaaa")}
    record = RunRecord(
        run_id="r-one", **{where: [facts]} if where else {"extra": {"files": [facts]}}
    )
    (root / "runs").mkdir(exist_ok=True)
    (root / "runs/r-one.yaml").write_bytes(record.dump())
    done = twins.verify(repair=True)
    assert kinds(done) == [("edited", "runs/r-one.yaml")]
    assert outside.read_bytes() == b"mine"


def test_a_folder_that_became_a_link_is_not_written_through(twins, root):
    outside = root.parent / "outside"
    shutil.rmtree(root / "data/snapshots/d_v0.1/sub")
    outside.mkdir()
    (root / "data/snapshots/d_v0.1/sub").symlink_to(outside)
    done = twins.verify(repair=True)
    assert not done.holds
    assert "is a symbolic link" in done.repairs[0].reason
    assert list(outside.iterdir()) == []


def test_a_file_where_a_folder_belongs_keeps_only_its_own_from_being_repaired(twins, root, damage):
    shutil.rmtree(root / "data/snapshots/d_v0.1/sub")
    (root / "data/snapshots/d_v0.1/sub").write_bytes(b"in the way")
    damage(root / A, b"evil")
    done = twins.verify(repair=True)
    assert (root / A).read_bytes() == b"aaaa"
    assert ("missing", B) in kinds(done)
    (failed,) = [one for one in done.repairs if one.source is None]
    assert (failed.path, "cannot write" in failed.reason) == (B, True)
    assert (root / "data/snapshots/d_v0.1/sub").read_bytes() == b"in the way"


# -- what the user offers ------------------------------------------------------------------


def test_offered_files_are_only_read(project, raw, root, damage, tree):
    raw("d/a.csv", b"aaaa")
    raw("d/b.csv", b"bbbb")
    project.snapshot("data/raw/d")
    shutil.rmtree(root / "data/raw")
    offered = root.parent / "backup"
    (offered / "deep").mkdir(parents=True)
    (offered / "deep/other-name").write_bytes(b"aaaa")
    (offered / "wrong").write_bytes(b"aaab")
    (offered / "bbbb").symlink_to("deep/other-name")
    os.mkfifo(offered / "pipe")
    before = tree(offered)
    damage(root / A, b"evil")
    damage(root / "data/snapshots/d_v0.1/b.csv", b"evil")
    done = project.verify(repair=True, offered=[offered])
    assert tree(offered) == before
    assert kinds(done) == [("missing", "data/snapshots/d_v0.1/b.csv")]
    (good,) = [one for one in done.repairs if one.source]
    assert good.source == str(offered / "deep/other-name")
    assert (root / A).stat().st_ino != (offered / "deep/other-name").stat().st_ino


def test_a_copy_that_changes_while_it_is_read_is_not_put_back(twins, root, damage, monkeypatch):
    from nbversion.disk import Staging

    write = Staging.write

    def rewritten(self, path, blocks, **options):
        return write(self, path, [b"changed"], **options)

    monkeypatch.setattr(Staging, "write", rewritten)
    damage(root / A, b"evil")
    done = twins.verify(repair=True)
    assert kinds(done) == [("missing", A)]
    assert not (root / A).exists()


def test_offering_what_is_not_there_changes_nothing(twins, root, damage, tree):
    damage(root / A, b"evil")
    before = tree(root)
    with pytest.raises(NotFoundError, match=r"nowhere is not there.*Nothing was changed"):
        twins.verify(repair=True, offered=["nowhere"])
    with pytest.raises(InvalidInputError, match="--repair"):
        twins.verify(offered=["."])
    assert tree(root) == before


# -- crashes and failures ------------------------------------------------------------------


def test_a_repair_that_is_killed_at_any_step_is_finished_by_the_next_one(twins, root, damage):
    damage(root / A, b"evil")
    (root / B).unlink()
    work = root.parent / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, KILLER, root, work, "verify", "--repair"],
        capture_output=True,
        text=True,
        check=True,
    )
    *steps, end = map(json.loads, done.stdout.splitlines())
    assert end["end"] > 10
    evil, good = digest_of(b"evil"), digest_of(b"aaaa")
    for one in steps:
        assert {evil, good} <= set(one["contents"]), one
        assert {kind for kind, _ in one["findings"]} <= {"corrupt", "missing"}, one
        assert one["again"] == {"holds": True}, one
        assert one["holds"], one
        assert Path(one["root"], A).read_bytes() == b"aaaa"
        assert Path(one["root"], B).read_bytes() == b"bbbb"
    assert {one["killed"] for one in steps} >= {
        *("lock", "stage", "write", "flush", "create", "set_aside", "publish", "sync_folder"),
    }
    sys.stdout.write(f"{len(steps)} crash points of a repair passed\n")


def test_two_repairs_at_once_both_succeed_and_lose_nothing(twins, root, damage):
    for path in (A, B):
        damage(root / path, b"evil")
    code = "from nbversion import Project; print(Project('.').verify(repair=True).holds)"
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [one.communicate(timeout=60)[0] for one in both] == ["True\n", "True\n"]
    assert [(root / path).read_bytes() for path in (A, B)] == [b"aaaa", b"bbbb"]
    assert [kept for _, kept in quarantined(root)].count(b"evil") == 2
    assert twins.verify().holds


class Mender(Disk):
    """A disk beside which somebody else puts the file right."""

    __slots__ = ("act",)

    def step(self, primitive, path):
        if primitive == "flush":
            self.act()


def test_a_file_that_was_put_right_meanwhile_is_left_alone(twins, root, damage):
    damage(root / A, b"evil")
    disk = Mender()
    disk.act = lambda: damage(root / A, b"aaaa")
    inode = (root / A).stat().st_ino
    done = Project(root, disk=disk).verify(repair=True)
    assert done.holds
    assert "meanwhile" in done.repairs[0].source
    assert (root / A).stat().st_ino == inode
    assert quarantined(root) == []


class Full(Disk):
    """A disk on which nothing more can be staged."""

    __slots__ = ("at",)

    def step(self, primitive, path):
        if primitive == self.at and ".nbv-stage-" in str(path):
            raise StorageError("cannot write: no space left on device")


@pytest.mark.parametrize("at", ["stage", "write", "flush"])
def test_a_full_disk_moves_nothing_aside(at, twins, root, damage):
    damage(root / A, b"evil")
    disk = Full()
    disk.at = at
    done = Project(root, disk=disk).verify(repair=True)
    assert kinds(done) == [("corrupt", A)]
    assert "no space left" in done.repairs[0].reason
    assert (root / A).read_bytes() == b"evil"
    assert quarantined(root) == []


def test_two_entries_of_the_quarantine_never_share_a_name(twins, root, damage, monkeypatch):
    import secrets

    damage(root / A, b"evil")
    twins.verify("d_v0.1", repair=True)
    (taken,) = {one.parent.name.partition("-")[2] for one in root.glob(".quarantine/*/*")}
    damage(root / A, b"more evil")
    # The same second, and the number that is taken is drawn once more.
    token_hex = secrets.token_hex
    drawn = iter([taken])
    monkeypatch.setattr(
        "nbversion.store.quarantine.secrets.token_hex",
        lambda size=8: next(drawn, None) or token_hex(size) if size == 4 else token_hex(size),
    )
    twins.verify("d_v0.1", repair=True)
    assert sorted(kept for _, kept in quarantined(root)) == [b"evil", b"more evil"]


def test_a_repair_by_somebody_who_may_not_write_says_so_and_changes_nothing(
    twins, root, unprivileged, damage
):
    damage(root / A, b"evil")
    for folder in (root, *(one for one in root.rglob("*") if one.is_dir())):
        folder.chmod(0o555)
    said = unprivileged("print(project.verify(repair=True).holds)")
    assert "cannot write" in said
    assert (root / A).read_bytes() == b"evil"
