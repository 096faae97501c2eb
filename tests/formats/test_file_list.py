from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbversion.errors import FormatError
from nbversion.formats import file_list, manifest
from nbversion.formats.file_list import (
    FrozenFile,
    digest_with_files,
    dump_files,
    sorted_files,
    split_text,
)
from nbversion.formats.json_text import dump_json, record_digest
from nbversion.formats.manifest import Manifest, parse_manifest

FOLDER = "data/snapshots/iris_v0.1"
A, B = "a" * 64, "b" * 64
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\\"), min_size=1)
PATHS = st.lists(NAMES.filter(lambda one: one not in (".", "..")), min_size=1, max_size=3).map(
    "/".join
)
FILES = st.dictionaries(
    PATHS, st.tuples(st.integers(0, 2**63), st.sampled_from([A, B])), min_size=1, max_size=8
).map(lambda found: sorted_files(FrozenFile(path, *rest) for path, rest in found.items()))


def made(files):
    return Manifest(kind="data", name="iris", version="v0.1", folder=FOLDER, files=files, notes="é")


def records(files):
    return [
        {"path": f"{FOLDER}/{path}", "size_bytes": size, "sha256": sha256}
        for path, size, sha256 in files
    ]


@settings(max_examples=300, deadline=None)
@given(FILES)
def test_the_text_is_that_of_the_general_writer(files):
    written = made(files)
    assert written.dump() == dump_json(written.to_json())
    listed = dump_json({"files": records(files)}).partition(b"[")[2].rpartition(b"]")[0]
    assert b"".join(dump_files(files, FOLDER)) == listed


@settings(max_examples=300, deadline=None)
@given(FILES)
def test_what_the_short_way_reads_the_general_parser_reads_too(files):
    text = made(files).dump()
    rest, found = split_text(text.decode(), FOLDER)
    assert tuple(found) == files
    assert json.loads(rest) == {**json.loads(text), "files": []}


@settings(max_examples=300, deadline=None)
@given(FILES)
def test_digests_are_those_of_the_whole_record(files):
    record = {"z": 1, "files": "passed over", "record_digest": "too", "a": ["ä"]}
    whole = {"z": 1, "files": records(files), "a": ["ä"]}
    assert digest_with_files(record, files, FOLDER) == record_digest(whole)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_pieces_are_put_together_without_a_seam(chunk, monkeypatch):
    monkeypatch.setattr(file_list, "_CHUNK", chunk)
    monkeypatch.setattr(file_list, "_PIECE", 150)
    files = sorted_files(FrozenFile(f"f{at}", at, A) for at in range(7))
    written = made(files)
    assert written.dump() == dump_json(written.to_json())
    assert parse_manifest(written.dump(), "w", FOLDER) == written
    assert split_text(written.dump().decode(), FOLDER)[1] == list(files)


GOOD = made((FrozenFile("a.csv", 12, A), FrozenFile("b.csv", 13, B))).dump().decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"size_bytes": 12', '"size_bytes": 12.0'),
        ('"size_bytes": 12', '"size_bytes": true'),
        ('"size_bytes": 12', '"size_bytes": -12'),
        ('"size_bytes": 12', '"size_bytes": 012'),
        ('"size_bytes": 12', '"size_bytes": "12"'),
        ('"size_bytes": 12', '"size_bytes": 12, "size_bytes": 12'),
        ('"size_bytes": 12', '"size_bytes":  12'),
        (A, A.upper()),
        (A, A[1:]),
        (A, "g" * 64),
        ("iris_v0.1/a.csv", "iris_v0.1/../a.csv"),
        ("iris_v0.1/a.csv", "iris_v0.1//a.csv"),
        ("iris_v0.1/a.csv", "iris_v0.1/./a.csv"),
        ("iris_v0.1/a.csv", "iris_v0.1/"),
        ("iris_v0.1/a.csv", "iris_v0.1/a\\\\b"),
        ("iris_v0.1/a.csv", "iris_v0.1/\\u0000"),
        ("iris_v0.1/a.csv", "iris_v0.1/\\ud800"),
        ("iris_v0.1/a.csv", "iris_v0.1/\\u0061.csv"),
        ("iris_v0.1/a.csv", "iris_v0.2/a.csv"),
        ("data/snapshots/iris_v0.1/a.csv", "/etc/passwd"),
        ('"a.csv"', "a.csv"),
        ("},\n{", "},\n\n{"),
        ("},\n{", "}\n{"),
        ("},\n{", "}, {"),
        ("[\n{", "[ {"),
        ('{"path"', '{"extra": 1, "path"'),
        ('"version"', '"name": 1, "version"'),
    ],
)
def test_anything_else_is_left_to_the_general_parser(old, new):
    text = GOOD.replace(old, new, 1)
    assert text != GOOD or old not in GOOD
    assert split_text(text, FOLDER) is None or text == GOOD
    assert outcome(text) == general_outcome(text)


def outcome(text):
    try:
        return parse_manifest(text.encode(), "w", FOLDER)
    except FormatError as exc:
        return str(exc)


def general_outcome(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "split_text", lambda *_: None)
        return outcome(text)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.characters(exclude_categories=["Cs"]))
def test_a_changed_letter_is_read_as_the_general_parser_reads_it(at, letter):
    text = GOOD[:at] + letter + GOOD[at + 1 :]
    assert outcome(text) == general_outcome(text)
