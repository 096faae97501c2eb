from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbversion.errors import FormatError, InvalidInputError
from nbversion.formats.json_text import record_digest
from nbversion.formats.manifest import FrozenFile, Manifest, check_below, parse_manifest

FOLDER = "data/snapshots/iris_v0.1"
WHERE = f"{FOLDER}/manifest.json"
A, B = "a" * 64, "b" * 64
PLAIN = Manifest(
    kind="data",
    name="iris",
    version="v0.1",
    folder=FOLDER,
    files=(FrozenFile("iris.csv", 4608, A), FrozenFile("sub/größe.txt", 0, B)),
    created_utc="2026-01-01T00:00:00Z",
    notes='Cleaned "x"\n',
    owner="Ada",
    tags=("a", "b"),
    source="data/raw/iris.csv",
    parent="iris_v0.0",
    directories=("empty",),
    ignored=(".DS_Store",),
)
LESSON = b"""{
"dataset": "iris",
"version": "v0.1",
"files": [
{
"path": "data/snapshots/iris_v0.1/iris.csv",
"size_bytes": 4608,
"sha256": "%s"
}
],
"created_utc": "2026-01-01T00:00:00Z",
"notes": "Cleaned, normalized sepal/petal features"
}""" % A.encode()

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PARTS = TEXTS.map(lambda text: text.replace("/", "").replace("\\", "").replace("\0", "")).filter(
    lambda part: part not in ("", ".", "..")
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(
    PATHS,
    st.tuples(st.integers(0, 2**63), st.binary(min_size=32, max_size=32).map(bytes.hex)),
    max_size=5,
).map(lambda found: tuple(FrozenFile(path, *rest) for path, rest in found.items()))


@st.composite
def manifests(draw):
    kind = draw(st.sampled_from(["data", "model"]))
    version = draw(st.sampled_from(["v0.1", "v1.2.3"] if kind == "data" else ["v0.1.0-rc.1"]))
    name = draw(st.sampled_from(["iris", "a", "x-1_y"]))
    return Manifest(
        kind=kind,
        name=name,
        version=version,
        folder=f"data/snapshots/{name}_{version}" if kind == "data" else f"models/{name}/{version}",
        files=tuple(sorted(draw(FILES), key=lambda one: one.path.encode())),
        created_utc=draw(TEXTS),
        notes=draw(TEXTS),
        owner=draw(TEXTS),
        tags=tuple(draw(st.lists(TEXTS, max_size=3))),
        source=draw(st.none() | TEXTS),
        parent=draw(st.none() | TEXTS),
        run_id=draw(st.none() | TEXTS),
        directories=tuple(draw(st.lists(PATHS, max_size=2))),
        ignored=tuple(draw(st.lists(TEXTS, max_size=2))),
        extra=draw(st.dictionaries(TEXTS.map("x{}".format), st.none() | TEXTS | st.floats(0, 1))),
    )


def with_file(**values):
    one = {"path": f"{FOLDER}/iris.csv", "size_bytes": 1, "sha256": A, **values}
    return json.dumps({"dataset": "iris", "version": "v0.1", "files": [one]}).encode()


def parse(data, folder=FOLDER):
    return parse_manifest(data, WHERE, folder)


def test_the_text_is_exactly_the_layout_of_the_contract():
    content = b"%s 4608 iris.csv\0%s 0 sub/gr\xc3\xb6\xc3\x9fe.txt\0" % (A.encode(), B.encode())
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    assert PLAIN.dump().decode() == (
        '{"dataset": "iris", "version": "v0.1", "files": [\n'
        f'{{"path": "data/snapshots/iris_v0.1/iris.csv", "size_bytes": 4608, "sha256": "{A}"}},\n'
        f'{{"path": "data/snapshots/iris_v0.1/sub/größe.txt", "size_bytes": 0, "sha256": "{B}"}}\n'
        '],\n"created_utc": "2026-01-01T00:00:00Z", "notes": "Cleaned \\"x\\"\\n", '
        f'"digest": "{digest}", "owner": "Ada", "tags": ["a", "b"], "source": "data/raw/iris.csv", '
        '"parent": "iris_v0.0", "run_id": null, "directories": ["empty"], "ignored": [".DS_Store"], '
        '"record_digest": '
        '"sha256:0e7f", "schema_version": 1}\n'
    ).replace("sha256:0e7f", PLAIN.to_json()["record_digest"])


def test_the_record_digest_is_taken_over_the_canonical_json_of_the_rest():
    record = json.loads(PLAIN.dump())
    stated = record.pop("record_digest")
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert stated == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@settings(deadline=None)
@given(manifests())
def test_a_manifest_reads_back_equal_and_unedited(manifest):
    read = parse_manifest(manifest.dump(), WHERE, manifest.folder)
    assert read == manifest
    assert read.problem is None
    assert read.dump() == manifest.dump()


def test_a_model_manifest_says_model_instead_of_dataset():
    model = replace(PLAIN, kind="model", name="clf", version="v0.1.0", folder="models/clf/v0.1.0")
    record = json.loads(model.dump())
    assert list(record)[:2] == ["model", "version"]
    assert parse_manifest(model.dump(), WHERE, "models/clf/v0.1.0").reference == "clf@v0.1.0"
    assert PLAIN.reference == "iris_v0.1"


@given(FILES, st.randoms(use_true_random=False))
def test_equal_content_has_an_equal_digest_whatever_it_is_called(files, random):
    turned = list(files)
    random.shuffle(turned)
    other = Manifest(
        kind="model", name="m", version="v9.9.9", folder="elsewhere", files=tuple(turned), notes="n"
    )
    assert other.digest == replace(PLAIN, files=files).digest


def test_files_are_hashed_in_the_order_of_their_utf_8_bytes():
    # As UTF-16, or by locale, these would come in another order.
    paths = ["\ufffd", "\U0001f600", "a/b", "a-b", "Z", "ä", "a"]
    files = tuple(FrozenFile(path, at, A) for at, path in enumerate(paths))
    ordered = sorted(files, key=lambda one: one.path.encode())
    text = "".join(f"{one.sha256} {one.size_bytes} {one.path}\0" for one in ordered)
    manifest = replace(PLAIN, files=files)
    assert manifest.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert [one.path for one in parse(manifest.dump()).files] == [one.path for one in ordered]


@pytest.mark.parametrize(
    "files",
    [
        (FrozenFile("iris.csv", 4608, B), FrozenFile("sub/größe.txt", 0, B)),
        (FrozenFile("iris.csv", 4607, A), FrozenFile("sub/größe.txt", 0, B)),
        (FrozenFile("iris2.csv", 4608, A), FrozenFile("sub/größe.txt", 0, B)),
        (FrozenFile("iris.csv", 4608, A),),
        (),
    ],
)
def test_other_content_has_another_digest(files):
    assert replace(PLAIN, files=files).digest != PLAIN.digest


def test_the_lessons_minimal_manifest_loads_from_either_place():
    for folder in (FOLDER, ""):
        read = parse(LESSON, folder)
        assert (read.kind, read.name, read.version, read.folder) == ("data", "iris", "v0.1", FOLDER)
        assert read.files == (FrozenFile("iris.csv", 4608, A),)
        assert read.notes == "Cleaned, normalized sepal/petal features"
        assert read.problem is None
        assert (read.owner, read.tags, read.run_id, read.extra) == ("", (), None, {})
    assert read.size_bytes == 4608


def test_unknown_keys_are_kept_and_covered_by_the_record_digest():
    record = json.loads(LESSON) | {"zz": {"b": [1, 2.5], "a": None}, "aa": "x"}
    read = parse(json.dumps(record).encode())
    assert read.extra == {"zz": {"b": [1, 2.5], "a": None}, "aa": "x"}
    written = json.loads(read.dump())
    assert list(written)[-3:] == ["schema_version", "aa", "zz"]
    assert written["zz"] == record["zz"]
    assert parse(read.dump()).problem is None
    assert "record_digest says" in parse(read.dump().replace(b"2.5", b"2.6")).problem


LEGAL = [
    *("a", "a b", "a.csv", "...", "..a", "a..", ".a", "-", "~", "%2e%2e", "%2E%2E%2Fetc", "a%00b"),
    *(
        "C:",
        "C:a",
        "nul",
        "a\nb",
        "\x1b[0m",
        "ü",
        "\u202e",
        "$HOME",
        "a:b",
        " ",
        ". ",
        ".. ",
        "．．",
    ),
    *("a/b/c", "a/.../b", "..%2f", "manifest.json.bak", "\u2215etc", "\uff0fetc", "a\tb", "*", "?"),
]
ILLEGAL = [
    *("", ".", "..", "/", "//", "/etc/passwd", "./a", "a/.", "a/./b", "../a", "a/..", "a/../b"),
    *(
        "../../etc/passwd",
        "a/../../b",
        "a//b",
        "a/",
        "/a",
        "a/b/",
        "..\\a",
        "a\\b",
        "\\",
        "\\\\x\\y",
    ),
    *("C:\\a", "a\\..\\b", "\0", "a\0", "a\0b", "a/\0/b", "a/b\0.csv", "../iris_v0.1/iris.csv"),
    *("..//", "./", ".//.", "a/b/..", "../iris_v0.2/iris.csv", "%2e/../a", "\\..\\..\\a", "/.."),
]


@pytest.mark.parametrize("path", LEGAL)
def test_a_name_is_opaque(path):
    assert check_below(path) == path
    assert parse(with_file(path=f"{FOLDER}/{path}")).files[0].path == path


@pytest.mark.parametrize("path", ILLEGAL)
def test_a_path_that_leaves_its_folder_or_has_two_spellings_is_refused(path):
    with pytest.raises(InvalidInputError, match="is not a plain relative path"):
        check_below(path)
    with pytest.raises(FormatError, match="'path' must be a plain relative path below") as caught:
        parse(with_file(path=f"{FOLDER}/{path}"))
    assert caught.value.message.startswith(f"{WHERE} (files[0]) cannot be read: ")
    record = json.loads(LESSON) | {"directories": ["fine", path]}
    with pytest.raises(FormatError, match="'directories' must be a plain relative path below"):
        parse(json.dumps(record).encode())


@pytest.mark.parametrize(
    "path",
    [
        *("iris.csv", "/etc/passwd", "../iris.csv", FOLDER, f"/{FOLDER}/a", f"./{FOLDER}/a"),
        *("data/snapshots/iris_v0.2/iris.csv", "data/snapshots/iris_v0.10/iris.csv"),
        *("data/snapshots/iris_v0.1.csv", "models/m/v0.1.0/a", f"{FOLDER}\\a", f"{FOLDER}2/a"),
        *("DATA/snapshots/iris_v0.1/a", "data//snapshots/iris_v0.1/a", f"{FOLDER}%2fa"),
        *("data/snapshots/wine_v0.1/../iris_v0.1/a", "data/./snapshots/iris_v0.1/a", "~/a", "C:/a"),
    ],
)
def test_a_path_outside_the_versions_own_folder_is_refused(path):
    for folder in (FOLDER, ""):
        with pytest.raises(FormatError, match=r"'path' must be below data/snapshots/iris_v0\.1/"):
            parse(with_file(path=path), folder)


@pytest.mark.parametrize(
    "sha256",
    [
        A.upper(),
        A[:63],
        A + "a",
        f"sha256:{A}",
        "g" * 64,
        f"{A[:63]} ",
        f"{A}\n",
        "ａ" * 64,
        3,
        [A],
    ],
)
def test_a_files_hash_is_64_lower_case_hex_digits(sha256):
    with pytest.raises(FormatError, match="'sha256' must be"):
        parse(with_file(sha256=sha256))


@pytest.mark.parametrize("size", [-1, True, False, 4608.0, "1", [1], None, 1e300])
def test_a_size_is_a_whole_number_zero_or_more(size):
    with pytest.raises(FormatError, match="'size_bytes' must be a whole number, zero or more"):
        parse(with_file(size_bytes=size))


@pytest.mark.parametrize("size", [0, 2**53 + 1, 2**64, 10**30])
def test_a_huge_size_is_kept_exactly(size):
    read = parse(with_file(size_bytes=size))
    assert read.size_bytes == size
    assert parse(read.dump()) == read


@pytest.mark.parametrize("key", ["path", "size_bytes", "sha256"])
def test_a_file_without_all_three_is_refused(key):
    record = json.loads(with_file())
    del record["files"][0][key]
    with pytest.raises(
        FormatError, match=rf"files\[0\]\) cannot be read: '{key}' must be .* nothing"
    ):
        parse(json.dumps(record).encode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"dataset": None}, "'dataset' must be a text"),
        ({"dataset": ""}, "'dataset' must be a text"),
        ({"dataset": "Iris"}, "is no name for a data set"),
        ({"dataset": "../x"}, "is no name for a data set"),
        ({"version": "0.1"}, "is no version of a data set"),
        ({"version": "v0.1-dev.1"}, "is no version of a data set"),
        ({"version": 0.1}, "'version' must be a text"),
        ({"model": "m"}, "'model' must be absent beside 'dataset'"),
        ({"dataset": "iris", "files": {}}, "'files' must be a list of records"),
        ({"files": ["a"]}, "'files' must be a list of records"),
        ({"notes": 3}, "'notes' must be a text"),
        ({"tags": "a"}, "'tags' must be a list of texts"),
        ({"tags": [1]}, "'tags' must be a list of texts"),
        ({"source": []}, "'source' must be a text"),
        ({"run_id": 1}, "'run_id' must be a text"),
        ({"ignored": {}}, "'ignored' must be a list of texts"),
        ({"schema_version": "1"}, "'schema_version' must be a whole number"),
        ({"schema_version": True}, "'schema_version' must be a whole number"),
        ({"digest": A}, "'digest' must be sha256: and 64 lower-case hex digits"),
        ({"digest": f"sha256:{A.upper()}"}, "'digest' must be sha256:"),
        ({"digest": f"sha256:{A[:63]}"}, "'digest' must be sha256:"),
        ({"digest": f"md5:{A}"}, "'digest' must be sha256:"),
        ({"record_digest": A}, "'record_digest' must be sha256:"),
        ({"record_digest": 7}, "'record_digest' must be a text"),
    ],
)
def test_a_field_of_the_wrong_kind_is_one_error_that_names_file_and_key(change, why):
    with pytest.raises(FormatError) as caught:
        parse(json.dumps(json.loads(LESSON) | change).encode())
    assert caught.value.message.startswith(WHERE)
    assert why in caught.value.message


def test_a_path_that_stands_twice_is_refused():
    record = json.loads(LESSON)
    record["files"] *= 2
    with pytest.raises(FormatError, match="a path stands twice under 'files'"):
        parse(json.dumps(record).encode())


def test_a_file_of_a_newer_nbversion_is_refused_with_the_way_out():
    record = json.loads(LESSON) | {"schema_version": 2, "files": "another form"}
    with pytest.raises(FormatError, match="was written by a newer nbversion") as caught:
        parse(json.dumps(record).encode())
    assert "left untouched; upgrade with: pip install -U nbversion" in caught.value.message


def leaves(value, path=()):
    if isinstance(value, (dict, list)) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from leaves(item, (*path, key))
    else:
        yield path


@pytest.mark.parametrize("path", list(leaves(json.loads(PLAIN.dump()))), ids=str)
def test_a_hand_edit_of_any_field_is_found_or_refused(path):
    for new in ("x", f"sha256:{B}", B, 3, None, [], ["y"]):
        record = json.loads(PLAIN.dump())
        place = record
        for key in path[:-1]:
            place = place[key]
        if place[path[-1]] == new:
            continue
        place[path[-1]] = new
        if path == ("record_digest",) and new is None:
            continue  # Without one a file counts as written by hand; see the test below.
        try:
            found = parse(json.dumps(record).encode()).problem
        except FormatError as exc:
            found = exc.message
        assert found


def test_an_edit_is_reported_with_both_digests():
    read = parse(PLAIN.dump().replace(b"Ada", b"Eve"))
    stated = PLAIN.to_json()["record_digest"]
    content = record_digest(json.loads(PLAIN.dump().replace(b"Ada", b"Eve")))
    assert read.problem == f"record_digest says {stated}, its content gives {content}"
    turned = parse(PLAIN.dump().replace(A.encode(), B.encode()))
    assert turned.problem.startswith(f"digest says {PLAIN.digest}, its content gives sha256:")


def test_without_its_record_digest_a_file_counts_as_written_by_hand():
    # The documented limit: the lesson's own files have no digest, so none can be asked for.
    record = json.loads(PLAIN.dump()) | {"owner": "Eve"}
    del record["record_digest"]
    # What says which schema it has was written by us, and then its digest was taken out.
    edited = parse(json.dumps(record).encode()).problem
    assert edited == f"record_digest says nothing, its content gives {record_digest(record)}"
    del record["schema_version"]
    assert parse(json.dumps(record).encode()).problem is None
    record["files"][0]["sha256"] = B
    assert parse(json.dumps(record).encode()).problem.startswith("digest says")


def test_a_text_that_cannot_be_written_is_refused_with_a_typed_error():
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        replace(PLAIN, notes="\ud800").dump()
