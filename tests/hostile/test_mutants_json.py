"""Documents that were valid once: whatever is done to them, one meaning or one typed error."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbversion.errors import FormatError, InvalidInputError
from nbversion.formats.json_text import dump_json, parse_json
from nbversion.formats.manifest import FrozenFile, Manifest, parse_manifest
from nbversion.formats.registry import Entry, Registry, parse_registry, problems

EXAMPLES = settings(
    max_examples=1_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
# A document of a few kilobytes; an example that takes this long is one that hangs.
SECONDS = 20.0
MAX_DEPTH = 64
FOLDER = "data/snapshots/iris_v0.1"
WHERE = "the/file.json"
D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64

MANIFEST = Manifest(
    kind="data",
    name="iris",
    version="v0.1",
    folder=FOLDER,
    files=(FrozenFile("iris.csv", 4608, "a" * 64), FrozenFile("sub/größe.txt", 0, "b" * 64)),
    created_utc="2026-01-01T00:00:00Z",
    notes='Cleaned "x"\n\\ ü',
    owner="Ada",
    tags=("a", "b"),
    source="data/raw/iris.csv",
    parent="iris_v0.0",
    run_id="2026-01-01-iris-001-9f2e",
    directories=("empty",),
    ignored=(".DS_Store",),
    extra={"later": {"nested": [1, 2.5, None, True]}},
)


def grown():
    registry = Registry(name="clf", extra={"later": 1})
    for action, version, values in (
        ("register", "v0.1.0", {"to_stage": "dev", "digest": D1, "run_id": "r-1"}),
        ("promote", "v0.1.0", {"from_stage": "dev", "to_stage": "production", "image": f"r@{D1}"}),
        ("register", "v0.2.0", {"to_stage": "dev", "digest": D2, "run_id": "r-2"}),
        ("promote", "v0.2.0", {"to_stage": "production", "displaced": "v0.1.0"}),
        ("comment", "v0.2.0", {"comment": "gut ü"}),
        ("rollback", "v0.1.0", {"to_stage": "production", "displaced": "v0.2.0"}),
    ):
        entry = Entry(
            revision=0,
            op_id="0a",
            utc="2026",
            actor="Ada",
            action=action,
            version=version,
            **values,
        )
        registry = registry.apply(entry)
    return registry


REGISTRY = grown()


STRUCTURAL = (
    "drop",
    "double",
    "escape-double",
    "set",
    "set",
    "set",
    "rename",
    "add",
    "swap",
    "wrap",
)
STEPS = st.lists(
    st.tuples(st.sampled_from(STRUCTURAL), st.integers(0, 10_000), st.integers(0, 10_000)),
    min_size=1,
    max_size=3,
)


BYTES = st.lists(
    st.tuples(
        st.sampled_from(("flip", "cut", "cut", "insert", "delete", "splice", "zero")),
        st.integers(0, 100_000),
        st.integers(0, 100_000),
    ),
    min_size=1,
    max_size=3,
)


def reference_json(data):
    """What the format says, written as plainly as possible; None for what it refuses."""

    def unique(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    def refuse(_):
        raise ValueError

    def finite(text):
        if math.isinf(float(text)):
            raise ValueError
        return float(text)

    def deep(value):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max((deep(one) for one in inner if isinstance(one, (dict, list))), default=0)

    try:
        value = json.loads(
            data.decode(), object_pairs_hook=unique, parse_constant=refuse, parse_float=finite
        )
        json.dumps(value, ensure_ascii=False).encode()
        if isinstance(value, dict) and deep(value) <= MAX_DEPTH:
            return value
    except (ValueError, RecursionError):
        pass
    return None


def exactly(value):
    """A value by which 1, 1.0, True and -0.0 are told apart."""
    if isinstance(value, dict):
        return [(key, exactly(one)) for key, one in value.items()]
    if isinstance(value, (list, tuple)):
        return [exactly(one) for one in value]
    return (type(value).__name__, repr(value))


def timed(call, *arguments):
    started = time.perf_counter()
    try:
        return call(*arguments)
    finally:
        assert time.perf_counter() - started < SECONDS


def agree_on_json(data, readable):
    wanted = reference_json(data)
    try:
        got = timed(parse_json, data, WHERE)
    except FormatError as exc:
        readable(exc, WHERE)
        got = None
    assert (got is None) == (wanted is None)
    if got is None:
        return
    assert exactly(got) == exactly(wanted)
    again = dump_json(got)
    assert exactly(parse_json(again, WHERE)) == exactly(got)
    assert dump_json(parse_json(again, WHERE)) == again


def hand_written(data):
    """Whether a text claims neither a digest nor that we wrote it; nothing can be said of it."""
    value = reference_json(data) or {}
    return "schema_version" not in value and value.get("record_digest") is None


def meaning(manifest):
    return replace(manifest, problem=None).to_json()


def refusal(data):
    try:
        return parse_manifest(data, WHERE, FOLDER)
    except FormatError as exc:
        return exc.message


def judge_manifest(data, readable):
    agree_on_json(data, readable)
    # The same JSON in a layout that is not the tool's own: no shortcut may read it otherwise.
    other = refusal(b" " + data)
    try:
        got = timed(parse_manifest, data, WHERE, FOLDER)
    except FormatError as exc:
        readable(exc, WHERE)
        assert isinstance(other, str)
        return
    assert other == got
    assert exactly(other.to_json()) == exactly(got.to_json())
    if not got.problem and not hand_written(data):
        assert exactly(meaning(got)) == exactly(meaning(MANIFEST))
    assert all(not one.path.startswith(("/", "..")) for one in got.files)
    assert parse_manifest(got.dump(), WHERE, FOLDER).to_json() == got.to_json()


def known(registry):
    """What the history answers for: further keys outside it are nobody's."""
    versions = tuple(replace(one, extra={}) for one in registry.versions)
    return replace(registry, versions=versions, extra={})


def judge_registry(data, readable):
    agree_on_json(data, readable)
    try:
        got = timed(parse_registry, data, WHERE, "clf")
    except FormatError as exc:
        readable(exc, WHERE)
        return
    if problems(got) or not got.history:
        assert problems(got) or all(one.digest is None for one in got.versions)
        return
    texts = [entry.to_json() for entry in got.history]
    assert exactly(texts) == exactly([entry.to_json() for entry in REGISTRY.history[: len(texts)]])
    if len(texts) == len(REGISTRY.history):
        assert known(got).versions == known(REGISTRY).versions
    assert parse_registry(got.dump(), WHERE, "clf") == got


JUDGES = {
    "manifest": (MANIFEST.dump(), judge_manifest),
    "registry": (REGISTRY.dump(), judge_registry),
}


@pytest.mark.parametrize("layout", ["laid_out", "written"])
@pytest.mark.parametrize("kind", JUDGES)
@EXAMPLES
@given(steps=STEPS)
def test_a_mutated_tree_means_the_same_or_is_found_or_refused(
    kind, layout, steps, mutants, readable, counted
):
    text, judge = JUDGES[kind]
    judge(mutants.mutate(text, steps, write=getattr(mutants, layout)), readable)
    counted(f"{kind}: mutated trees")


@pytest.mark.parametrize("kind", JUDGES)
@EXAMPLES
@given(steps=BYTES)
def test_spoiled_bytes_mean_the_same_or_are_found_or_refused(
    kind, steps, mutants, readable, counted
):
    text, judge = JUDGES[kind]
    judge(mutants.spoil(text, steps), readable)
    counted(f"{kind}: spoiled bytes")


@pytest.mark.parametrize("kind", JUDGES)
def test_every_truncation_and_every_flipped_byte_is_found_or_refused(kind, readable, counted):
    text, judge = JUDGES[kind]
    for at in range(len(text)):
        judge(text[:at], readable)
        judge(text[:at] + bytes([text[at] ^ (1 << at % 8)]) + text[at + 1 :], readable)
    counted(f"{kind}: truncations and flips", 2 * len(text))


@pytest.mark.parametrize("kind", JUDGES)
def test_another_encoding_or_line_end_means_the_same_or_is_refused(
    kind, mutants, readable, counted
):
    text, judge = JUDGES[kind]
    for data in mutants.whole(text):
        judge(data, readable)
    counted(f"{kind}: whole documents", len(mutants.whole(text)))


@pytest.mark.parametrize("spelling", ["same", "escaped", "other value"])
@pytest.mark.parametrize("kind", JUDGES)
def test_a_key_that_stands_twice_is_refused(kind, spelling, mutants, readable, counted):
    text, _ = JUDGES[kind]
    parse = (
        (lambda data: parse_manifest(data, WHERE, FOLDER))
        if kind == "manifest"
        else (lambda data: parse_registry(data, WHERE, "clf"))
    )
    number = len(mutants.places([mutants.tree_of(text)], []))
    tried = 0
    for at in range(number):
        root = [mutants.tree_of(text)]
        holder, place = mutants.places(root, [])[at]
        if isinstance(holder, mutants.Pairs):
            key, value = holder[place]
            twice = mutants.escaped(key) if spelling == "escaped" else key
            holder.append([twice, mutants.Raw("null") if spelling == "other value" else value])
            with pytest.raises(FormatError, match="twice") as caught:
                parse(mutants.written(root[0]).encode())
            readable(caught.value, WHERE)
            tried += 1
    assert tried > 20
    counted(f"{kind}: keys that stand twice", tried)


@pytest.mark.parametrize("kind", JUDGES)
def test_a_wrong_value_anywhere_is_found_or_refused(kind, mutants, readable, counted):
    text, judge = JUDGES[kind]
    number = len(mutants.places([mutants.tree_of(text)], []))
    short = [at for at, value in enumerate(mutants.VALUES) if len(value) < 5_000]
    for where in range(number):
        for what in short[where % 6 :: 6]:
            write = mutants.laid_out if what % 2 else mutants.written
            judge(mutants.mutate(text, [("set", where, what)], write=write), readable)
            counted(f"{kind}: wrong values")


@EXAMPLES
@given(
    record=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
        ),
        max_leaves=12,
    ).map(lambda value: {"k": value, "r": [{"a": value}, {"b": [value]}]})
)
def test_whatever_is_written_is_read_back_or_was_refused(record, counted, readable):
    try:
        data = dump_json(record)
    except InvalidInputError as exc:
        readable(exc)
        assert "\\ud" in ascii(record)
    else:
        read = parse_json(data, WHERE)
        assert dump_json(read) == data
        assert exactly(read) == exactly(reference_json(data))
    counted("JSON: written and read back")
