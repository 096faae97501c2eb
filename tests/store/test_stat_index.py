from __future__ import annotations

import os
import time

import pytest

from nbversion.hashing import BLOCK
from nbversion.store import snapshots, stat_index
from nbversion.store.sources import RACY_NS, Mark, mark_of
from nbversion.store.stat_index import MAPPED_NS, Seen, StatIndex, trusted

A, B = "a" * 64, "b" * 64
OLD = Mark(7, 100, 10**18, 10**18)


def seen(files):
    made = Seen()
    for path, (mark, sha256) in files.items():
        made.add(path, mark, sha256)
    return made


@pytest.fixture
def index(catalog):
    catalog.project.prepare()
    return StatIndex(catalog.project)


def settle(path):
    """Make a file look as if it had lain there for a while."""
    past = time.time_ns() - 10 * RACY_NS
    os.utime(path, ns=(past, past))


@pytest.fixture
def settled(monkeypatch):
    """Let every file be old enough to be remembered at once."""
    for module in (snapshots, stat_index):
        monkeypatch.setattr(module, "RACY_NS", -RACY_NS)
    monkeypatch.setattr(stat_index, "MAPPED_NS", -RACY_NS)


def test_what_was_seen_is_known_until_a_mark_changes(index):
    files = {"a": (OLD, A), "sub/größe\n.txt": (Mark(-1, 0, -5, 2**62), B)}
    index.save("k", seen(files))
    found = index.load("k")
    now = {path: mark for path, (mark, _) in files.items()}
    assert [found.mark(path) for path in (*now, "c")] == [*now.values(), None]
    assert found.known(now) == {"a": A, "sub/größe\n.txt": B}
    for changed in (OLD._replace(ino=8), OLD._replace(size=99), OLD._replace(mtime_ns=1)):
        assert found.known({**now, "a": changed}) == {"sub/größe\n.txt": B}
    assert found.known({**now, "a": OLD._replace(ctime_ns=3)}) == {"sub/größe\n.txt": B}
    assert found.known({}) == {}


def test_what_was_written_to_just_before_is_not_kept(index):
    now = 10**18
    young = OLD._replace(mtime_ns=now - MAPPED_NS, ctime_ns=1)
    touched = OLD._replace(mtime_ns=1, ctime_ns=now - RACY_NS)
    old = OLD._replace(mtime_ns=now - MAPPED_NS - 1, ctime_ns=now - RACY_NS - 1)
    kept = trusted([("young", young, A), ("touched", touched, A), ("old", old, A)], now)
    assert kept.paths == ["old"]
    index.save("k", kept)
    assert index.load("k").known({"old": old}) == {"old": A}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-1] + b"X",
        lambda data: b"",
        lambda data: b"\0" * len(data),
        lambda data: data.replace(b'"files": 1', b'"files": 9'),
        lambda data: data.replace(b"index 3", b"index 2"),
        lambda data: data.partition(b"\n")[0],
        lambda data: b"[1]\n",
    ],
)
def test_a_damaged_index_is_as_good_as_none(damage, index, root):
    index.save("k", seen({"a": (OLD, A)}))
    (path,) = (root / ".nbversion/index").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert index.load("k").known({"a": OLD}) == {}


def test_an_index_of_another_place_is_not_taken(index, root):
    index.save("k", seen({"a": (OLD, A)}))
    (path,) = (root / ".nbversion/index").iterdir()
    path.rename(root / index._path("other"))
    assert index.load("other").known({"a": OLD}) == {}


def test_what_cannot_be_kept_is_no_failure(index, root):
    (root / ".nbversion/index").write_text("a file")
    index.save("k", seen({"a": (OLD, A)}))
    assert index.load("k").known({"a": OLD}) == {}


def test_numbers_that_do_not_fit_are_not_kept():
    huge = OLD._replace(ino=2**64, mtime_ns=0, ctime_ns=0)
    assert trusted([("a", huge, A)], 10**18).paths == []


def test_many_names_are_written_in_pieces(index, monkeypatch):
    monkeypatch.setattr(stat_index, "_CHUNK", 3)
    files = {f"ä{at}": (OLD._replace(ino=at), A) for at in range(10)}
    index.save("k", seen(files))
    assert index.load("k").known({path: mark for path, (mark, _) in files.items()}).keys() == {
        *files
    }


def test_an_unchanged_file_is_not_read_again(project, raw, settled, monkeypatch):
    raw("d/a.csv", b"1")
    raw("d/b.csv", b"2" * (BLOCK + 1))
    project.snapshot("data/raw/d")
    opened = []
    real = os.open

    def spy(path, *args, **options):
        opened.append(os.fspath(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", spy)
    assert project.snapshot("data/raw/d").reference == "d_v0.1"
    assert not [one for one in opened if "data/raw" in str(one)]
    raw("d/b.csv", b"3" * (BLOCK + 1))
    made = project.snapshot("data/raw/d")
    assert made.reference == "d_v0.2"
    assert {os.path.basename(one) for one in opened if "data/raw" in str(one)} == {"b.csv"}
    assert (made.stored.copied, made.stored.linked) == (1, 1)


def test_a_file_that_keeps_its_size_and_time_is_seen_to_have_changed(project, raw, settled):
    path = raw("d/a.csv", b"before")
    project.snapshot("data/raw/d")
    facts = path.stat()
    path.write_bytes(b"after.")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    made = project.snapshot("data/raw/d")
    assert made.reference == "d_v0.2"
    assert (made.path / "a.csv").read_bytes() == b"after."


def test_a_file_written_twice_within_a_tick_is_read_again(project, raw):
    # No clock is moved here: the second write comes within the two seconds that are distrusted.
    path = raw("d/a.csv", b"before")
    project.snapshot("data/raw/d")
    mark = mark_of(path)
    assert StatIndex(project.catalog.project).load("x").known({"a.csv": mark}) == {}
    path.write_bytes(b"after.")
    os.utime(path, ns=(mark.mtime_ns, mark.mtime_ns))
    assert project.snapshot("data/raw/d").reference == "d_v0.2"


def test_the_index_is_never_evidence_for_verification(project, raw, settled, damage):
    raw("d/a.csv", b"before")
    made = project.snapshot("data/raw/d")
    frozen = made.path / "a.csv"
    facts = frozen.stat()
    damage(frozen, b"after.")
    os.utime(frozen, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert [one.kind for one in project.verify("d_v0.1").findings] == ["corrupt"]


def test_a_frozen_file_that_was_touched_is_hashed_before_it_is_shared(
    project, raw, settled, damage
):
    raw("d/a.csv", b"before")
    raw("d/b.csv", b"1")
    first = project.snapshot("data/raw/d")
    damage(first.path / "a.csv", b"after.")
    raw("d/b.csv", b"2")
    second = project.snapshot("data/raw/d")
    assert (second.path / "a.csv").read_bytes() == b"before"
    assert project.verify("d_v0.2").holds


def test_without_the_folder_of_caches_the_same_comes_out(project, raw, root, settled):
    import shutil

    raw("d/a.csv", b"1")
    raw("d/b.csv", b"2")
    project.snapshot("data/raw/d")
    shutil.rmtree(root / ".nbversion")
    assert project.snapshot("data/raw/d").reference == "d_v0.1"
    raw("d/b.csv", b"3")
    assert project.snapshot("data/raw/d").stored.linked == 1
