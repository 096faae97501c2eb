from __future__ import annotations

import math
from enum import IntEnum

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nbversion.errors import FormatError, InvalidInputError
from nbversion.formats import yaml_events
from nbversion.formats.yaml_text import MAX_DEPTH, dump_yaml, parse_own, parse_yaml

WHERE = "runs/r.yaml"
TRICKY = [
    *("no", "Yes", "on", "y", "~", "null", "true", "1e10", "3.10", "2026-01-01", "0x1F", "0o17"),
    *("12:30:45", "1_000", ".inf", "NaN", "-", "- ", ": ", "a: b", "#", " # x", "&a", "*a", "!t"),
    *("", " ", " x", "x ", "\t", "\n", "a\nb", "\r\n", "\x00", "\x1b[0m", "\x7f", "\x85", "\xa0"),
    *("\ufeff", "\u2028", "\u2029", "\ufffe", "\uffff", "\U0001f600", "Größe", "a b", "<<", "="),
    *('"', "'", "\\", "\\n", "{a: 1}", "[1]", "%TAG", "---", "...", "?", "? a", "|", ">", "@", "`"),
]
TEXTS = st.sampled_from(TRICKY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOATS = st.sampled_from([1e-05, 1e16, -0.0, 1e300, 5e-324, 0.1, 1e22, 1.5e-7]) | st.floats(
    allow_nan=False, allow_infinity=False
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
RECORDS = st.dictionaries(TEXTS, VALUES, max_size=6)


def brief(value):
    return ascii(value)[:40] if isinstance(value, (str, bytes)) else None


def typed(value):
    """Tell 1 from 1.0 and True, and 0.0 from -0.0, which `==` does not."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), repr(value)


def parse(data, text_at=()):
    return parse_yaml(data if isinstance(data, bytes) else data.encode(), WHERE, text_at=text_at)


def parse_slowly(data):
    # A path under `text_at` that holds a number sends the parser past its fast path.
    read = parse(data + b"zz_slow: 1\n", text_at=[("zz_slow",)])
    assert read.pop("zz_slow") == "1"
    return read


@settings(max_examples=400, deadline=None)
@given(RECORDS)
def test_every_reader_gets_the_values_that_were_written(record):
    record.pop("zz_slow", None)
    data = dump_yaml(record)
    assert typed(parse(data)) == typed(record)
    assert typed(yaml.load(data, Loader=yaml.SafeLoader)) == typed(record)
    assert typed(yaml.load(data, Loader=yaml.CSafeLoader)) == typed(record)
    if record:
        assert typed(parse_slowly(data)) == typed(record)


@settings(deadline=None)
@given(RECORDS)
def test_a_yaml_1_2_reader_gets_the_same_values(record):
    ruamel = pytest.importorskip("ruamel.yaml")
    read = ruamel.YAML(typ="safe", pure=True).load(dump_yaml(record).decode())
    assert typed(read) == typed(record)


@pytest.mark.parametrize("text", TRICKY)
def test_a_tricky_text_is_a_text_wherever_it_stands(text):
    record = {"v": text, text: "v", "list": [text, {text: text}], "rows": [{text: text}]}
    data = dump_yaml(record)
    for read in (parse(data), parse_slowly(data), yaml.safe_load(data)):
        assert typed(read) == typed(record)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_floats_become_the_text_of_the_contract(value):
    text = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    record = {"a": value, "b": {"c": [value]}, "rows": [{"d": value}]}
    expected = {"a": text, "b": {"c": [text]}, "rows": [{"d": text}]}
    assert parse(dump_yaml(record)) == expected == yaml.safe_load(dump_yaml(record))


def test_the_layout_is_one_key_and_one_record_a_line():
    record = {
        "run_id": "r-1",
        "params": {"seed": 42, "C": 1.0, "yes": None, "a b": True, "lr": 1e-05, "big": 1e16},
        "data": [{"ref": "iris_v0.1", "k": [1, 2]}, {}],
        "warnings": [],
        "null": "x\x7fy\u2028",
    }
    assert dump_yaml(record).decode() == (
        'run_id: "r-1"\n'
        'params: {seed: 42, C: 1.0, "yes": null, "a b": true, lr: 1.0e-05, big: 1.0e+16}\n'
        "data:\n"
        '  - {ref: "iris_v0.1", k: [1, 2]}\n'
        "  - {}\n"
        "warnings: []\n"
        '"null": "x\\u007fy\\u2028"\n'
    )
    assert dump_yaml({}) == b"{}\n"


def test_the_text_that_we_write_takes_the_fast_path():
    record = {"a": {"x": 1.5, "y": "z: w"}, "rows": [{"k": "v"}], "b": None}
    assert typed(parse_own(dump_yaml(record).decode())) == typed(record)


PIECES = st.sampled_from(
    [
        *("a", "b", "yes", "null", "_x", "1", "-0", "01", "1.", ".5", "1e5", "1e400", "1e4000"),
        *("9" * 45, "9" * 4400, '"t"', '"a: b"', r'"\n"', r'"\/"', r'"\ud83d\ude00"', r'"\ud800"'),
        *('"\u2028"', '"\x85"', '"\x7f"', '"\\u0041"', '"', "'", "true", "NaN", "Infinity", "~"),
        *(": ", ":", ", ", ",", " ", "\n", "\n", "\r", "\t", "\n  - ", "\n- ", "#", " # c", "---"),
        *("{", "}", "[", "]", "{a: ", "[1, ", "a: ", "\na: ", "\nb:", "&x ", "*x", "!!str ", "é"),
    ]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_what_the_fast_path_reads_the_slow_path_reads_equal(text):
    own = parse_own(text)
    if own is None or "zz_slow" in own:
        return
    slow = parse_slowly(text.removesuffix("\n").encode() + b"\n")
    assert typed(slow) == typed(own)


@pytest.mark.parametrize(
    "text",
    [
        *('a: "\u2028"\n', 'a: "\x85"\n', 'a: "\x7f"\n', 'a: "\\ud83d\\ude00"\n', 'a: "\\uD800"\n'),
        *("a: 1e400\n", "a: 1e4000\n", "a: " + "[" * 70 + "]" * 70 + "\n", "a: NaN\n", "a:\n"),
        *("a: 1\na: 2\n", "a: {b: 1, b: 2}\n", "a: {b: 1}\n  - 1\n", "- 1\n", "a: b\n", "\n"),
    ],
)
def test_the_fast_path_leaves_alone_what_two_readers_could_read_differently(text):
    assert parse_own(text) is None


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=30))
def test_no_text_makes_the_parser_fail_in_another_way(text):
    try:
        found = parse(text.encode("utf-8", "surrogatepass"))
    except FormatError as exc:
        found = exc.message
    assert isinstance(found, dict) or found.startswith(f"{WHERE} cannot be read: ")


BOMB = 'a: &a ["x", "x"]\n' + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (" \n\t\r\n", "it is empty"),
        ("\0" * 512, "it is empty"),
        ("# only a comment\n", "it is not a mapping"),
        ("- 1\n", "it is not a mapping"),
        ("plain\n", "it is not a mapping"),
        ("a: 1\n\0\0\0", "control characters are not allowed"),
        ("x: 1\na: &b 1\n", "line 2: anchors and aliases are not allowed"),
        ("&k a: 1\n", "line 1: anchors and aliases are not allowed"),
        (BOMB, "line 1: anchors and aliases are not allowed"),
        ("a: *b\n", "line 1: anchors and aliases are not allowed"),
        ("x: 1\ny: 2\na: !!python/object/apply:os.system [ls]\n", "line 3: the tag tag:yaml.org"),
        ("a: !!str 3\n", "line 1: the tag tag:yaml.org,2002:str is not allowed"),
        ("a: !mine {b: 1}\n", "line 1: the tag !mine is not allowed"),
        ("!!str a: 1\n", "line 1: the tag tag:yaml.org,2002:str is not allowed"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' stands twice"),
        ('a: {"b c": 1, "b\\x20c": 2}\n', "line 1: the key 'b c' stands twice"),
        ("a: 1\n---\nb: 2\n", "line 2: it holds more than one document"),
        ("? [a]\n: 1\n", "line 1: a key is not plain text"),
        ("? {a: 1}\n: 1\n", "line 1: a key is not plain text"),
        ("a: " + "[" * 3000 + "]" * 3000 + "\n", "line 1: it is nested too deep"),
        ("x: y\na: " + "{b: " * 3000 + "1" + "}" * 3000 + "\n", "line 2: it is nested too deep"),
        ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "\n", "line 1: it is nested too deep"),
        ("x: y\na: " + "7" * 5000 + "\n", "line 2: a number is too long"),
        ("a: [1\nb: 2\n", "line 2"),
        ("a: \tb: c\n", "line 1"),
        ('a: "\\ud800"\n', "surrogate"),
        ('"\\udc00 b": 1\n', "surrogate"),
    ],
    ids=brief,
)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_what_is_no_plain_mapping_is_one_error_that_names_file_and_line(
    text, why, loader, monkeypatch
):
    monkeypatch.setattr(yaml_events, "_loader", lambda: getattr(yaml, loader))
    with pytest.raises(FormatError) as caught:
        parse(text)
    assert caught.value.message.startswith(f"{WHERE} cannot be read: ")
    assert "\n" not in caught.value.message
    if loader == "SafeLoader" and why.startswith("control characters"):
        why = "special characters are not allowed"
    if loader == "CSafeLoader" and why == "surrogate":
        why = "invalid Unicode character escape code"
    assert why in caught.value.message


def test_bytes_that_are_not_utf_8_are_one_error():
    with pytest.raises(FormatError, match=r"r\.yaml cannot be read: it is not UTF-8"):
        parse(b"a: \xff\n")


def test_a_file_beyond_the_limit_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr("nbversion.formats.yaml_text.MAX_BYTES", 5)
    assert parse(b"a: 1\n") == {"a": 1}
    with pytest.raises(FormatError, match="it is larger than 5 bytes"):
        parse(b"a: 12\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            ("~", None),
            ("", None),
            ("null", None),
            ("true", True),
            ("False", False),
            ("yes", "yes"),
        ),
        *(("no", "no"), ("on", "on"), ("1", 1), ("-7", -7), ("+7", 7), ("010", "010")),
        *(("0x1F", "0x1F"), ("1_000", "1_000"), ("1.5", 1.5), (".5", 0.5), ("1e-05", 1e-05)),
        *(("1e5", 1e5), ("1.", 1.0), ("12:30:45", "12:30:45"), ("2026-01-01", "2026-01-01")),
        *((".inf", math.inf), ("-.Inf", -math.inf), ("NaN", "NaN"), ("9e21437", "9e21437")),
        *(("'1'", "1"), ('"null"', "null"), ("! 3", "3"), ("sha256:7b1f...", "sha256:7b1f...")),
        *(("1" * 45, int("1" * 45)), ("v0.2.0", "v0.2.0"), ("3.10 # x", 3.1), (".nan", math.nan)),
    ],
)
def test_plain_scalars_of_a_hand_written_file_follow_one_rule(text, expected):
    assert typed(parse(f"# by hand\na: {text}\n")) == typed({"a": expected})
    assert typed(parse(f"# by hand\na:\n  - b: {text}\n")) == typed({"a": [{"b": expected}]})


@pytest.mark.parametrize(
    "text", ["3.10", "1234567", "9e21437", "1e10", "yes", "0x1F", "007", "1_0"]
)
def test_what_must_be_text_is_text_whatever_it_looks_like(text):
    paths = [("env", "python"), ("commit",)]
    for form in (
        f"commit: {text}\nenv:\n  python: {text}\n",
        f"commit: {text}\nenv: {{python: {text}}}\n",
    ):
        assert parse(form, paths) == {"commit": text, "env": {"python": text}}
    assert parse("commit: null\nenv: {python: ~}\n", paths) == {
        "commit": None,
        "env": {"python": None},
    }


@pytest.mark.parametrize(
    "place",
    [
        lambda key: {"a": {key: 1}, "b": 2},
        lambda key: {key: {"a": 1}},
        lambda key: {key: [{key: "x"}], "b": [{key: {key: 2}}]},
    ],
)
@pytest.mark.parametrize("size", [990, 1000, 1010, 1024, 1100, 5000])
def test_a_key_longer_than_yaml_allows_without_a_mark_reads_everywhere(place, size):
    for char in ("k", " ", "\x01"):
        record = place(char * size)
        assert parse(dump_yaml(record)) == record
        assert yaml.load(dump_yaml(record), Loader=yaml.SafeLoader) == record
        assert yaml.load(dump_yaml(record), Loader=yaml.CSafeLoader) == record


def test_the_deepest_record_that_can_be_written_can_be_read():
    record = {}
    for _ in range(MAX_DEPTH - 1):
        record = {"a": record}
    assert parse(dump_yaml(record)) == record == parse_slowly(dump_yaml(record))
    with pytest.raises(InvalidInputError, match="nested too deep"):
        dump_yaml({"a": record})


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\udc80": 1}, {1: 2}, [{None: 2}], {1, 2}, object(), b"x", 10**5000],
    ids=range(8),
)
def test_what_has_no_form_is_refused_with_one_typed_error(value):
    with pytest.raises(InvalidInputError, match="cannot be written"):
        dump_yaml({"a": value})


def test_subclasses_of_numbers_are_written_as_numbers():
    class Loud(float):
        def __repr__(self):
            return f"Loud({float(self)})"

    class Size(IntEnum):
        BIG = 3

    assert dump_yaml({"a": Loud(0.5), "b": [Loud(1e-7)], "c": Size.BIG}) == (
        b"a: 0.5\nb: [1.0e-07]\nc: 3\n"
    )


@pytest.mark.parametrize("word", ["y", "Y", "n", "N", "yes", "No", "on", "OFF", "true", "Null"])
def test_a_key_that_a_yaml_1_1_reader_may_take_for_no_text_is_quoted(word):
    # PyYAML reads `y` as text, others as the specification has it: as a boolean.
    assert dump_yaml({word: {word: 1}}) == f'"{word}": {{"{word}": 1}}\n'.encode()
