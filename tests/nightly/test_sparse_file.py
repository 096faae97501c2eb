"""A sparse file of 100 GB: every byte counts, its holes take no room, and memory stays flat."""

from __future__ import annotations

import hashlib
import json
import os
from types import SimpleNamespace

import pytest

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(7200)]

MIB = 1 << 20
ISLAND = b"here is data\n" * 1000
CONSTANT = 64 * MIB
# Blocks around the islands, and the tree of extents.
SLACK = 4 * MIB


def islands(size):
    """Return where data lies: at both ends and between, never at a round place."""
    return [0, size // 3 + 12_345, size - len(ISLAND)]


def taken(path):
    """Return the bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


def expected_digest(size):
    """Return the SHA-256 of the file without reading it."""
    digest = hashlib.sha256()
    zeros = memoryview(bytes(MIB))
    position = 0
    for begin in islands(size):
        for hole in range(position, begin, MIB):
            digest.update(zeros[: min(MIB, begin - hole)])
        digest.update(ISLAND)
        position = begin + len(ISLAND)
    return digest.hexdigest()


def make(path, size):
    """Write a sparse file; skip where the file system fills holes with blocks."""
    with path.open("wb") as stream:
        stream.truncate(size)
        for begin in islands(size):
            stream.seek(begin)
            stream.write(ISLAND)
    os.sync()
    if taken(path) > SLACK:
        pytest.skip("this file system keeps no holes")


@pytest.fixture(scope="module")
def sparse(project, measured, sparse_bytes, least_bytes, say):
    """Freeze the file once, verify it once, and keep what each said."""
    # Were the holes filled, the large one would fill the disk before any test could say so.
    make(project / "try.bin", 64 * MIB)
    assert measured(project, "snapshot", "try.bin", "--name", "try").status == 0
    assert taken(project / "data" / "snapshots" / "try_v0.1" / "try.bin") <= SLACK
    source = project / "data" / "raw" / "sparse.bin"
    make(source, sparse_bytes)
    found = SimpleNamespace(
        frozen=project / "data" / "snapshots" / "sparse_v0.1",
        first=measured(project, "snapshot", "data/raw/sparse.bin", "--name", "sparse"),
        verified=measured(project, "verify", "sparse_v0.1", "--json"),
    )
    for name in ("first", "verified"):
        done = getattr(found, name)
        say(
            f"{sparse_bytes / 10**9:,.1f} GB sparse, {name}: {done.seconds:.1f} s, peak "
            f"{done.peak_bytes / MIB:,.0f} MiB (for one line {least_bytes / MIB:,.0f})"
        )
    return found


def test_every_byte_of_a_sparse_file_is_in_its_digest(sparse, sparse_bytes):
    assert sparse.first.status == 0, sparse.first.err
    (one,) = json.loads((sparse.frozen / "manifest.json").read_text())["files"]
    assert one["size_bytes"] == sparse_bytes
    assert one["sha256"] == expected_digest(sparse_bytes)


def test_the_frozen_copy_keeps_the_holes(sparse, sparse_bytes):
    frozen = sparse.frozen / "sparse.bin"
    assert frozen.stat().st_size == sparse_bytes
    assert taken(frozen) <= SLACK
    with frozen.open("rb") as stream:
        for begin in islands(sparse_bytes):
            stream.seek(begin)
            assert stream.read(len(ISLAND)) == ISLAND


def test_a_sparse_file_verifies_to_the_last_byte(sparse, sparse_bytes):
    record = sparse.verified.record()
    assert (record["holds"], record["findings"]) == (True, [])
    assert record["size_bytes"] == sparse_bytes
    assert sparse.verified.status == 0


@pytest.mark.parametrize("verb", ["first", "verified"])
def test_memory_does_not_grow_with_the_bytes(sparse, verb, least_bytes):
    assert getattr(sparse, verb).peak_bytes - least_bytes <= CONSTANT


def test_a_byte_changed_in_a_hole_is_found(project, measured):
    """A gibibyte will do: verification may skip reading a hole, but not what took its place."""
    size = 1 << 30
    make(project / "hole.bin", size)
    assert measured(project, "snapshot", "hole.bin", "--name", "hole").status == 0
    frozen = project / "data" / "snapshots" / "hole_v0.1" / "hole.bin"
    frozen.chmod(0o644)
    with frozen.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(b"\x01")
    frozen.chmod(0o444)

    done = measured(project, "verify", "hole_v0.1", "--json")

    assert done.status == 1
    (finding,) = done.record()["findings"]
    assert finding["kind"] == "corrupt"
    assert finding["path"].endswith("hole_v0.1/hole.bin")


def test_a_restored_copy_keeps_the_holes(project, measured):
    """A gibibyte will do: with 100 GB a copy that fills holes would fill the disk."""
    size = 1 << 30
    make(project / "again.bin", size)
    assert measured(project, "snapshot", "again.bin", "--name", "again").status == 0

    done = measured(project, "restore", "again_v0.1", "restored")

    assert done.status == 0, done.err
    restored = next(one for one in (project / "restored").rglob("*") if one.is_file())
    assert restored.stat().st_size == size
    assert taken(restored) <= SLACK
