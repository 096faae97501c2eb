from __future__ import annotations

import collections
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from nbversion.capture import serializers
from nbversion.capture.serializers import (
    Serializer,
    encode_table,
    load,
    register_serializer,
    serialize,
    serializer_for,
)
from nbversion.errors import InvalidInputError, NotFoundError

COUNTER = Serializer(
    name="counter-json",
    suffix=".json",
    dump=lambda value: json.dumps(value, sort_keys=True).encode(),
    load=lambda data: collections.Counter(json.loads(data)),
)


@pytest.fixture(autouse=True)
def _registrations_are_undone(monkeypatch):
    monkeypatch.setattr(serializers, "_BY_TYPE", dict(serializers._BY_TYPE))
    monkeypatch.setattr(serializers, "_LOADERS", dict(serializers._LOADERS))


class Tally(collections.Counter):
    pass


class Unwilling:
    def __reduce__(self):
        raise RuntimeError("not today")


def test_a_registered_type_is_saved_and_loaded_its_own_way():
    register_serializer("collections.Counter", COUNTER)
    chosen, data = serialize(collections.Counter("aab"), "it")
    assert (chosen, data) == (COUNTER, b'{"a": 2, "b": 1}')
    found = load(data, serializer="counter-json", suffix=".json", what="it")
    assert found == collections.Counter("aab")


def test_a_subclass_is_saved_as_the_nearest_registered_type():
    register_serializer("collections.Counter", COUNTER)
    assert serializer_for(Tally()) is COUNTER
    nearer = Serializer(name="tally", suffix=".t", dump=bytes, load=bytes)
    register_serializer(f"{Tally.__module__}.Tally", nearer)
    assert serializer_for(Tally()) is nearer
    assert serializer_for(collections.Counter()) is COUNTER
    assert serializer_for({}).name == "pickle"


def test_an_object_of_the_session_loads_where_its_class_never_was(tmp_path):
    code = (
        "import sys\n"
        "from nbversion.capture.serializers import serialize\n"
        "def helper(x):\n    return x + 1\n"
        "class Model:\n    def predict(self, x):\n        return helper(x)\n"
        "sys.stdout.buffer.write(serialize(Model(), 'it')[1])\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert pickle.loads(made).predict(1) == 2
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert len(again) == len(made)


def test_a_pickle_has_the_same_protocol_under_every_python():
    assert serialize([1], "it")[1][:2] == b"\x80\x05"


def test_what_cannot_be_saved_is_one_line():
    with pytest.raises(InvalidInputError, match="it cannot be saved by pickle: RuntimeError: not"):
        serialize(Unwilling(), "it")


@pytest.mark.parametrize("suffix", [".pkl", ".pickle"])
def test_a_file_that_was_taken_as_it_is_loads_by_its_suffix(suffix):
    assert load(pickle.dumps({"a": 1}), serializer=None, suffix=suffix, what="it") == {"a": 1}


def test_a_joblib_file_loads(tmp_path):
    import joblib

    joblib.dump(np.arange(3), tmp_path / "x.joblib")
    data = (tmp_path / "x.joblib").read_bytes()
    assert load(data, serializer=None, suffix=".joblib", what="it").tolist() == [0, 1, 2]


@pytest.mark.parametrize(("name", "suffix"), [(None, ".onnx"), ("their-own", ".pkl")])
def test_without_a_loader_nothing_is_guessed(name, suffix):
    with pytest.raises(NotFoundError, match="no loader is known"):
        load(pickle.dumps(1), serializer=name, suffix=suffix, what="it")


@pytest.mark.parametrize(
    "make",
    [
        lambda: pd.DataFrame({"b": [1, 2], "a": ["x", None]}),
        lambda: pd.Series([1.5, 2.5], name="price"),
        lambda: pd.Series([1.5, 2.5]),
    ],
    ids=["frame", "series", "series-without-name"],
)
def test_equal_tables_become_equal_parquet(make, tmp_path):
    name, data = encode_table(make(), "t")
    assert name == "t.parquet"
    assert encode_table(make(), "t")[1] == data
    (tmp_path / name).write_bytes(data)
    back = pd.read_parquet(tmp_path / name)
    expected = make() if isinstance(make(), pd.DataFrame) else make().to_frame()
    assert back.to_numpy().tolist() == expected.to_numpy().tolist()


def test_an_array_becomes_npy_whatever_its_layout(tmp_path):
    plain = np.arange(6).reshape(2, 3)
    name, data = encode_table(plain, "t")
    assert name == "t.npy"
    assert encode_table(np.asfortranarray(plain), "t")[1] == data
    (tmp_path / name).write_bytes(data)
    assert np.load(tmp_path / name, allow_pickle=False).tolist() == plain.tolist()


@pytest.mark.parametrize(
    "value",
    [np.array([object()]), [1, 2], {"a": 1}, object(), pd.DataFrame({"a": [1, "x", object()]})],
    ids=["object-array", "list", "dict", "object", "mixed-column"],
)
def test_what_has_no_safe_file_is_refused_in_one_line(value):
    with pytest.raises(InvalidInputError, match="Nothing was written") as refused:
        encode_table(value, "t")
    assert "\n" not in refused.value.message


def test_a_subclass_of_a_frame_is_a_frame():
    class Mine(pd.DataFrame):
        pass

    assert encode_table(Mine({"a": [1]}), "t")[0] == "t.parquet"


def test_saving_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serialize({"a": 1}, "it")
    encode_table(np.zeros(2), "t")
    assert os.listdir(tmp_path) == []
