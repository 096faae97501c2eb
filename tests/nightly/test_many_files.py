"""A million small files: frozen, verified and frozen again in memory that is counted."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

import pytest

from nbversion.formats.manifest import parse_manifest

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(7200)]

FOLDERS = 1000
KIB = 1 << 10
MIB = 1 << 20
# The buffers of the threads that copy and hash, and what malloc keeps.
CONSTANT = 64 * MIB


@pytest.fixture(scope="module")
def million(project, measured, files, least_bytes, say):
    """Make the files once, do the three verbs once, and keep what each said."""
    source = project / "data" / "raw" / "many"
    for folder in range(min(FOLDERS, files)):
        place = source / f"d{folder:03}"
        place.mkdir(parents=True)
        for number in range(folder, files, FOLDERS):
            with open(place / f"{number:07}", "wb") as stream:
                stream.write(b"%d\n" % number)
    os.sync()
    found = SimpleNamespace(
        folder=project / "data" / "snapshots" / "many_v0.1",
        first=measured(project, "snapshot", "data/raw/many", "--name", "many"),
        verified=measured(project, "verify", "many_v0.1", "--json"),
        again=measured(project, "snapshot", "data/raw/many", "--name", "many"),
    )
    for name in ("first", "verified", "again"):
        done = getattr(found, name)
        each = (done.peak_bytes - least_bytes) / files
        say(
            f"{files:,} files, {name}: {done.seconds:.1f} s, peak {done.peak_bytes / MIB:,.0f} MiB "
            f"(for one file {least_bytes / MIB:,.0f}): {each:,.0f} bytes a file"
        )
    return found


def test_every_file_is_frozen_and_verifies(million, files):
    assert million.first.status == 0, million.first.err
    names = sum(len(found) for _, _, found in os.walk(million.folder))
    assert names == files + len(["manifest.json"])
    record = million.verified.record()
    assert (record["holds"], record["findings"], record["files"]) == (True, [], files)
    assert million.verified.status == 0


def test_the_same_files_again_are_the_same_version(million):
    assert million.again.status == 0, million.again.err
    assert sorted(one.name for one in million.folder.parent.glob("[!.]*")) == ["many_v0.1"]
    assert "many_v0.1" in million.again.out
    # Nothing is copied and, thanks to the stat cache, nothing read.
    assert million.again.seconds < million.first.seconds


@pytest.mark.parametrize("verb", ["first", "verified", "again"])
def test_a_file_costs_at_most_a_kibibyte_of_memory(million, verb, files, least_bytes):
    peak = getattr(million, verb).peak_bytes

    assert peak - least_bytes <= files * KIB + CONSTANT


def test_the_manifest_loads_in_seconds(million, files, say):
    data = (million.folder / "manifest.json").read_bytes()
    begun = time.perf_counter()
    plain = json.loads(data)
    plain_seconds = time.perf_counter() - begun
    assert len(plain["files"]) == files
    del plain

    begun = time.perf_counter()
    manifest = parse_manifest(data, "manifest.json", "data/snapshots/many_v0.1")
    seconds = time.perf_counter() - begun

    say(f"{len(data) / MIB:,.0f} MiB of manifest: json {plain_seconds:.2f} s, ours {seconds:.2f} s")
    assert len(manifest.files) == files
    assert manifest.problem is None
    # Ours checks every path and digest, and hashes the record and the content once more.
    assert seconds <= 8 * plain_seconds + 1
    assert seconds <= 20
