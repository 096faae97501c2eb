from __future__ import annotations

import enum
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbversion.capture.values import (
    MAX_TEXT,
    encode_metric,
    encode_param,
    is_param,
    is_text,
    scalar,
)
from nbversion.errors import InvalidInputError


class Colour(enum.IntEnum):
    RED = 1


class Word(str):
    __slots__ = ()

    def __str__(self):
        return "not the text"


class Hostile:
    @property
    def shape(self):
        raise RuntimeError("no shape")

    item = print


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (np.str_("a"), "a"),
        (Colour.RED, 1),
        (Word("a"), "a"),
        (True, True),
        (None, None),
    ],
)
def test_a_scalar_of_any_library_becomes_pythons_own(value, plain):
    taken = scalar(value)
    assert taken == plain
    assert type(taken) is type(plain)


@pytest.mark.parametrize(
    "value", [np.array([1.0]), [1], object(), Hostile(), np.datetime64("2026-01-01"), 1j]
)
def test_anything_else_is_given_back_as_it_is(value):
    assert scalar(value) is value


def cyclic():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        np.zeros(3),
        {1: 2},
        [object()],
        b"x",
        "x" * (MAX_TEXT + 1),
        [0] * 1001,
        dict.fromkeys(map(str, range(1001))),
        "\ud800",
        {"\ud800": 1},
        10**400,
        cyclic(),
        Hostile(),
        {1, 2},
        1j,
    ],
)
def test_what_a_record_cannot_hold_is_no_param(value):
    assert not is_param(value)
    with pytest.raises(InvalidInputError, match="param 'p' is a"):
        encode_param("p", value)


def test_a_nested_param_is_plain_at_every_depth():
    value = {"sizes": (np.int64(3), [np.float32(0.5)]), "on": np.bool_(False), Word("w"): Word("v")}
    encoded = encode_param("p", value)
    assert encoded == {"sizes": [3, [0.5]], "on": False, "w": "v"}
    assert [type(key) for key in encoded] == [str, str, str]
    assert type(encoded["sizes"][0]) is int
    assert type(encoded["w"]) is str


def test_what_the_cell_only_happens_to_read_is_a_param_only_as_a_scalar():
    assert is_param(1.5, nested=False)
    assert is_param("x" * MAX_TEXT, nested=False)
    assert not is_param([1], nested=False)
    assert not is_param({"a": 1}, nested=False)


def test_the_limits_of_a_param_are_inclusive():
    assert is_param("x" * MAX_TEXT)
    assert is_param([0] * 1000)
    assert is_param(2**1024 - 1)
    assert not is_param(2**1024)


@given(st.floats() | st.integers(-(2**53), 2**53))
def test_every_number_is_the_metric_that_it_is(value):
    taken = encode_metric("m", value)
    assert taken == value or (math.isnan(taken) and math.isnan(value))
    assert type(taken) is type(value)


@pytest.mark.parametrize(
    "value",
    [True, np.bool_(True), "0.5", None, [0.5], np.array([0.5]), np.zeros((1, 1)), 1j, Decimal(1)],
)
def test_what_is_not_one_number_is_no_metric(value):
    with pytest.raises(InvalidInputError, match="the metric 'm' is a"):
        encode_metric("m", value)


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1])
def test_a_metric_that_a_reader_would_round_is_refused(value):
    with pytest.raises(InvalidInputError, match="beyond"):
        encode_metric("m", value)


def test_text_is_what_utf_8_can_hold():
    assert is_text("é𝄞\0")
    assert not is_text("\udfff")
    assert not is_text(b"x")
