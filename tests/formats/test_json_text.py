from __future__ import annotations

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbversion.errors import FormatError, InvalidInputError
from nbversion.formats.json_text import (
    MAX_DEPTH,
    canonical_json,
    decode_number,
    dump_inline,
    dump_json,
    encode_number,
    ordered,
    parse_json,
    record_digest,
)

WHERE = "models/m/registry.json"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
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


@given(RECORDS)
def test_what_is_dumped_reads_back_equal_in_value_type_and_order(record):
    read = parse_json(dump_json(record), WHERE)
    assert typed(read) == typed(record)
    assert list(read) == list(record)


@given(RECORDS)
def test_any_other_json_reader_gets_the_same_values(record):
    assert typed(json.loads(dump_json(record))) == typed(record)


@given(RECORDS)
def test_a_file_holds_no_raw_control_and_ends_in_one_newline(record):
    text = dump_json(record).decode()
    assert text.endswith("}\n")
    assert not {*text[:-1]} & {"\x00", "\x7f", "\x85", "\x9f", "\u2028", "\u2029", "\ufeff", "\r"}


def test_lists_of_records_stand_one_record_a_line():
    record = {"a": 1, "rows": [{"x": [{"y": 1}]}, {"x": []}], "b": [1, 2], "c": [], "d": [{}]}
    assert dump_json(record) == (
        b'{"a": 1, "rows": [\n{"x": [{"y": 1}]},\n{"x": []}\n],\n"b": [1, 2], "c": [], "d": [\n'
        b"{}\n]}\n"
    )
    assert dump_json({}) == b"{}\n"


def test_known_keys_come_in_their_order_and_further_ones_sorted_after_them():
    record = {"zeta": 1, "b": 2, "alpha": 3, "a": 4}
    assert list(ordered(record, ("a", "missing", "b"))) == ["a", "b", "alpha", "zeta"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b" \r\n\t", "it is empty"),
        (b"\0" * 4096, "it holds only zero bytes"),
        (b"\0\n \0", "it holds only zero bytes"),
        (b"[]", "it is not a JSON object"),
        (b"3", "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b'{"a": 1', "line 1 column 8"),
        (b'{"a": 1,\n"b" 2}', "line 2 column 5"),
        (b'{"a": 1} {"a": 2}', "Extra data"),
        (b'{"a": 1}\0\0\0', "Extra data"),
        (b'{"a": 1, "a": 1}', "the key 'a' stands twice"),
        (b'{"x": [{"a": 1, "b": 2, "\\u0062": 3}]}', "the key 'b' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON; write it as the text 'NaN'"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e400}', "the number 1e400 is too large"),
        (b'{"a": -1.5e99999}', "the number -1.5e99999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b'{"a": "\\ud800"}', "surrogates not allowed"),
        (b'{"\\udfff": 1}', "surrogates not allowed"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b'{"a": "\xed\xa0\x80"}', "can't decode byte 0xed"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        ('{"a": 1}'.encode("utf-16"), "can't decode"),
        (b'{"a": "x\ny"}', "Invalid control character"),
        (b"{'a': 1}", "property name enclosed in double quotes"),
        (b'{"a": 1,}', "not valid JSON"),
        (b'{"a": 01}', "not valid JSON"),
        (b"[" * 100_000, "it is nested too deep"),
        (b'{"a": ' * 100_000, "it is nested too deep"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "it is nested too deep"),
        (b'{"a": ' + b"[" * 700 + b"]" * 700 + b"}", "it is nested too deep"),
    ],
    ids=brief,
)
def test_what_is_no_json_object_is_one_error_that_names_the_file_and_why(data, why):
    with pytest.raises(FormatError) as caught:
        parse_json(data, WHERE)
    assert caught.value.message.startswith(f"{WHERE} cannot be read: ")
    assert why in caught.value.message
    assert "\n" not in caught.value.message


@given(st.binary(max_size=60))
def test_no_bytes_make_the_parser_fail_in_another_way(data):
    try:
        read = parse_json(data, WHERE)
    except FormatError:
        return
    assert isinstance(read, dict)
    assert parse_json(dump_json(read), WHERE) == read


def test_a_surrogate_pair_is_one_character():
    assert parse_json(b'{"a": "\\ud83d\\ude00"}', WHERE) == {"a": "\U0001f600"}


def test_a_file_beyond_the_limit_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr("nbversion.formats.json_text.MAX_BYTES", 10)
    assert parse_json(b'{"a": 123}', WHERE) == {"a": 123}
    with pytest.raises(FormatError, match="it is larger than 10 bytes"):
        parse_json(b'{"a": 1234}', WHERE)


def nested(levels):
    value = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_the_deepest_record_that_can_be_written_can_be_read():
    assert parse_json(dump_json(nested(MAX_DEPTH)), WHERE) == nested(MAX_DEPTH)
    with pytest.raises(InvalidInputError, match=r"nested too deep\. Nothing was written"):
        dump_json(nested(MAX_DEPTH + 1))


def test_tuples_count_as_lists():
    value = ()
    for _ in range(MAX_DEPTH):
        value = (value,)
    with pytest.raises(InvalidInputError, match="nested too deep"):
        dump_json({"a": value})
    assert dump_json({"a": (1, 2)}) == b'{"a": [1, 2]}\n'


@pytest.mark.parametrize(
    "write", [dump_inline, canonical_json, lambda value: dump_json({"a": value})]
)
@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\udc80": 1}, {1, 2}, object(), b"x", 10**5000, {(1,): 2}],
    ids=["surrogate", "surrogate key", "set", "object", "bytes", "huge", "tuple key"],
)
def test_what_json_has_no_form_for_is_refused_with_one_typed_error(write, value):
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        write(value)


def test_endless_nesting_is_refused_with_one_typed_error():
    value = []
    value.append(value)
    for write in (dump_inline, canonical_json, lambda one: dump_json({"a": one})):
        with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
            write(value)


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_non_finite_floats_have_a_text_that_decodes_to_them(value, text):
    assert encode_number(value) == text
    assert repr(decode_number(text)) == repr(value)
    assert dump_json({"a": [value, {"b": value}]}) == (
        f'{{"a": ["{text}", {{"b": "{text}"}}]}}\n'.encode()
    )
    assert canonical_json({"a": (value,)}) == f'{{"a":["{text}"]}}'.encode()


@pytest.mark.parametrize("value", [1, 0.5, "nan", "inf", "", None, True, [1]])
def test_other_values_are_their_own_code(value):
    assert decode_number(value) is value


def test_canonical_json_is_sorted_tight_and_unescaped():
    value = {"b": [1, 2.5, None, True], "a": {"ü": 'Größe \x7f\u2028\n"\\/'}, "A": -0.0}
    assert canonical_json(value).decode() == (
        '{"A":-0.0,"a":{"ü":"Größe \x7f\u2028\\n\\"\\\\/"},"b":[1,2.5,null,true]}'
    )


@given(RECORDS)
def test_a_record_digest_covers_everything_but_itself_in_any_order(record):
    record.pop("record_digest", None)
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    expected = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    turned = dict(reversed(record.items()))
    assert record_digest(record) == expected
    assert record_digest({**turned, "record_digest": "anything"}) == expected
    assert record_digest({**record, "further key": 1}) != expected or "further key" in record
