"""Every file of a small project is damaged in every way: verify names it, repair brings it back."""

from __future__ import annotations

import itertools
import os
import shutil
import sys

import pytest

from nbversion.formats.run_record import RunRecord
from nbversion.hashing import digest_of

UNHASHED = (".gitignore", ".gitattributes", "model_card.md")
TEXTS = ("manifest.json", "registry.json", ".yaml")
# Without its last line break a text says the same. A record cut at the end of a line may read as one
# that was written by hand, as in the lesson, which has no digest.
HARMLESS = {("one byte less", "json"), ("one byte less", "yaml")}


def flip(at):
    def change(content):
        place = min(int(len(content) * at), len(content) - 1)
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return change


WAYS = {
    "first byte": flip(0),
    "a quarter in": flip(0.25),
    "in the middle": flip(0.5),
    "last byte": flip(1),
    "one byte less": lambda content: content[:-1],
    "half of it": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "one byte more": lambda content: content + b"x",
    "zeroes": lambda content: bytes(len(content)),
}


@pytest.fixture
def store(project, raw, run, register, root):
    """Two data sets that share content, a model of two versions, runs with artifacts and texts."""
    raw("d/a.csv", b"a,b\n1,2\n")
    raw("d/sub/b.csv", bytes(range(256)) * 20)
    data = project.snapshot("data/raw/d")
    raw("e.csv", b"a,b\n1,2\n")
    project.snapshot("data/raw/e.csv")
    raw("d/a.csv", b"a,b\n3,4\n")
    project.snapshot("data/raw/d")
    first = run(data=[data])
    register("v0.1.0", "weights", run_id=first.run_id)
    register("v0.2.0", "other weights")
    project.promote("clf", "v0.1.0", "production")
    base = root / "runs/2026-01-01-two-002-abcd"
    base.mkdir()
    (base / "session.json").write_bytes(b'{"cells": []}\n')
    facts = {
        "path": "runs/2026-01-01-two-002-abcd/session.json",
        "size_bytes": 14,
        "sha256": digest_of(b'{"cells": []}\n').removeprefix("sha256:"),
    }
    second = RunRecord(run_id="2026-01-01-two-002-abcd", extra={"files": [facts]})
    (root / "runs/2026-01-01-two-002-abcd.yaml").write_bytes(second.dump())
    shutil.rmtree(root / "data/raw")
    assert project.verify().holds
    return project


def swept(root):
    """Return every file that verify answers for, relative to the root."""
    found = []
    for folder in ("data/snapshots", "models", "runs", "env/locks"):
        found += [one for one in (root / folder).rglob("*") if one.is_file()]
    return sorted(one.relative_to(root).as_posix() for one in found if one.name not in UNHASHED)


def names(verification):
    return {one.path for one in verification.findings}


def is_text(path):
    return path.endswith(TEXTS)


def test_the_sweep_reaches_every_kind_of_file(store, root):
    found = swept(root)
    assert len(found) > 18
    for wanted in ("sub/b.csv", "model.bin", "params.json", "registry.json", ".lock", "plot.svg"):
        assert [one for one in found if one.endswith(wanted)], wanted


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_is_named_and_comes_back_from_a_copy(way, store, root, damage):
    backup = root.parent / "backup"
    shutil.copytree(root, backup)
    rounds = 0
    for path in swept(root):
        good = (backup / path).read_bytes()
        bad = WAYS[way](good)
        if bad == good or (is_text(path) and (way, path.rpartition(".")[2]) in HARMLESS):
            continue
        damage(root / path, bad)
        found = store.verify()
        assert path in names(found), (path, found)
        assert not found.holds
        assert (root / path).read_bytes() == bad
        done = store.verify(repair=True, offered=[backup])
        if is_text(path):
            assert path in names(done)
            assert (root / path).read_bytes() == bad
            damage(root / path, good)
        else:
            assert done.holds, (path, done)
            assert (root / path).read_bytes() == good
            repair = next(one for one in done.repairs if one.path == path)
            assert (root / repair.quarantined).read_bytes() == bad
        assert store.verify().holds, path
        rounds += 1
    sys.stdout.write(f"{rounds} files damaged: {way}\n")
    assert rounds > 10


def test_a_deleted_file_is_named_and_comes_back_from_a_copy(store, root):
    backup = root.parent / "backup"
    shutil.copytree(root, backup)
    (root / "env/requirements.lock").unlink()
    for path in swept(root):
        (root / path).unlink()
        found = names(store.verify())
        # Of a version without a manifest only the bytes are left, and of none of them a name.
        assert found & {path, os.path.dirname(path), path.removesuffix(".yaml")}, (path, found)
        done = store.verify(repair=True, offered=[backup])
        if is_text(path):
            assert not done.holds
            assert not (root / path).exists()
            shutil.copy2(backup / path, root / path)
        else:
            assert done.holds, (path, done)
            assert (root / path).read_bytes() == (backup / path).read_bytes()
        assert store.verify().holds, path


def test_two_files_that_changed_places_are_named(store, root):
    found = swept(root)
    for one, other in itertools.pairwise(found):
        if (root / one).read_bytes() == (root / other).read_bytes():
            continue
        exchange(root / one, root / other)
        # A text that cannot be read names nothing; it is named itself.
        wanted = {path for path in (one, other) if is_text(path)} or {one, other}
        assert wanted <= names(store.verify()), (one, other)
        exchange(root / one, root / other)
    assert store.verify().holds


def exchange(one, other):
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def test_modes_and_times_are_no_evidence_of_anything(store, root):
    for path in swept(root):
        (root / path).chmod(0o666)
        os.utime(root / path, (1, 1))
    assert store.verify().holds
