"""Repro records and settings that were valid once, and the attacks that only YAML knows."""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbversion.errors import FormatError
from nbversion.formats.run_record import _TEXT_AT, RunRecord, parse_run
from nbversion.formats.settings import Settings, parse_settings
from nbversion.formats.yaml_text import parse_yaml

EXAMPLES = settings(
    max_examples=1_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
SECONDS = 20.0
WHERE = "the/file.yaml"
RUN_ID = "2026-01-01-iris-001-9f2e"
D1 = "sha256:" + "1" * 64
RECORD = RunRecord(
    run_id=RUN_ID,
    code_commit="9" * 40,
    params={"seed": 42, "C": 1.0, "penalty": "l2", "layers": [1, 2.5], "deep": {"on": True}},
    env={"python": "3.10", "requirements_lock": D1, "container_image": None},
    outputs={"model": "clf", "model_version": "v0.2.0", "metrics": {"f1": 0.94, "loss": "NaN"}},
    data=({"ref": "iris_v0.1", "digest": D1},),
    eval_data=({"ref": "iris_v0.2", "digest": D1},),
    started_utc="2026-01-01T00:00:00Z",
    duration_s=1.5,
    owner="Ada",
    code={"cell_sha256": D1, "dirty": False, "modules": ["a.py"]},
    inputs=({"path": "data/raw/a.csv", "size_bytes": 3, "sha256": "0" * 64, "how": "opened"},),
    artifacts=({"path": f"runs/{RUN_ID}/artifacts/p.svg", "size_bytes": 6, "sha256": "a" * 64},),
    origins={"seed": "cell"},
    environment={"fingerprint": D1, "threads": 2},
    warnings=("one ü",),
    extra={"name": "iris", "process": {"pid": 1}},
)
SETTINGS = '{"schema_version": 1, "owner": "Ada", "ignore": [".git", "x y"], "later": {"a": [1]}}'
TREES = {"run record": json.dumps(RECORD.to_json()), "settings": SETTINGS}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("drop", "double", "escape-double", "set", "set", "rename", "add", "swap", "wrap")
        ),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=3,
)
BYTES = st.lists(
    st.tuples(
        st.sampled_from(("flip", "cut", "insert", "insert", "delete", "splice", "zero")),
        st.integers(0, 100_000),
        st.integers(0, 100_000),
    ),
    min_size=1,
    max_size=3,
)
BOMB = "[&a [x,x,x,x,x,x,x,x,x], " + ", ".join(
    f"&{chr(98 + at)} [{','.join(f'*{chr(97 + at)}' for _ in range(9))}]" for at in range(12)
)
ONLY_YAML = (
    "~", "yes", "No", "on", "y", "0o17", "017", "0b101", "12:30:45", "190:20:30.15", "2026-01-01",
    "2026-01-01T00:00:00Z", "1_000", "0x1F", ".inf", "-.INF", ".nan", "1e5", "1.e+5", "+1", "0.",
    "!!python/object/apply:os.system ['touch pwned']", "!!python/name:os.system", "!!binary aGk=",
    "!!set {a, b}", "!!timestamp 2026-01-01", "!!str 1", "!!int '1'", "! 1", "!local x", "!<tag:x> 1",
    "!%1b%5b2J x", "!%e2%80%ae x", "&a x", "*a", "[&a 1, *a]", "&a {b: *a}", "{<<: {seed: 1}}",
    "{<<: [{a: 1}, {b: 2}]}", "|\n  text\n  more", ">-\n  folded\n\n  text", "|+9\n  x", "'it''s'",
    '"\\x1b[2J\\u202e"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\N\\_\\L\\P"', '"a\n  b"', "\tx", "a\tb",
    "x # comment", "x: y", "- x", "[a, b", "{a: 1, a: 2}", '{"a": 1, a: 2}', "{? [a] : 1}", "? x",
    "{1: a, 1.0: b}", "{~: 1}", "\n---\nrun_id: x", "\n...\n", "\n%YAML 9.9\n---", "@x", "`x`", "%x",
    "\u2028", "\x85", "\ufeffx", BOMB, "{a: " * 3_000, "[" * 3_000, "-\n" * 300 + " x",
    "\n  a: 1\n  b:\n    c: 2", "\n  - 1\n  - - 2", "\n- a\n- b", "\n\ta: 1",
)  # fmt: skip


@pytest.fixture(scope="session")
def values(mutants):
    return mutants.Tools(all=(*mutants.VALUES, *map(mutants.Raw, ONLY_YAML)))


@pytest.fixture(scope="session")
def lines(mutants):
    """Write a tree as the tool does: one top-level key a line, each value in flow style."""

    def write(node):
        if not isinstance(node, mutants.Pairs):
            return mutants.written(node)
        return "".join(
            f"{key if key.isidentifier() else mutants.written_key(key)}: {mutants.written(value)}\n"
            for key, value in node
        )

    return write


def timed(call, *arguments):
    started = time.perf_counter()
    try:
        return call(*arguments)
    finally:
        assert time.perf_counter() - started < SECONDS


def exactly(value):
    if isinstance(value, dict):
        return {key: exactly(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [exactly(one) for one in value]
    return (type(value).__name__, repr(value))


def meaning(record):
    return exactly(replace(record, problem=None).to_json())


def judge_run(data, readable):
    try:
        got = timed(parse_run, data, WHERE, RUN_ID)
    except FormatError as exc:
        readable(exc, WHERE)
        return
    found = parse_yaml(data, WHERE, text_at=_TEXT_AT)
    hand_written = "schema_version" not in found and found.get("record_digest") is None
    if not got.problem and not hand_written:
        assert meaning(got) == meaning(RECORD)
    again = parse_run(got.dump(), WHERE, RUN_ID)
    assert again.problem is None
    assert meaning(again) == meaning(got)


def judge_settings(data, readable):
    try:
        got = timed(parse_settings, data, WHERE)
    except FormatError as exc:
        readable(exc, WHERE)
        return
    assert got.owner is None or isinstance(got.owner, str)
    assert isinstance(got.ignore, tuple)
    assert all(isinstance(one, str) for one in got.ignore)


JUDGES = {"run record": judge_run, "settings": judge_settings}


@pytest.mark.parametrize("kind", JUDGES)
@EXAMPLES
@given(steps=STEPS)
def test_a_mutated_tree_means_the_same_or_is_found_or_refused(
    kind, steps, mutants, values, lines, readable, counted
):
    JUDGES[kind](mutants.mutate(TREES[kind], steps, values.all, lines), readable)
    counted(f"{kind}: mutated trees")


@pytest.mark.parametrize("kind", JUDGES)
@EXAMPLES
@given(steps=BYTES)
def test_spoiled_bytes_mean_the_same_or_are_found_or_refused(
    kind, steps, mutants, lines, readable, counted
):
    text = lines(mutants.tree_of(TREES[kind])).encode()
    JUDGES[kind](mutants.spoil(text, steps), readable)
    counted(f"{kind}: spoiled bytes")


def test_the_tools_own_text_survives_no_flip_and_no_truncation(readable, counted):
    text = RECORD.dump()
    for at in range(len(text)):
        judge_run(text[:at], readable)
        judge_run(text[:at] + bytes([text[at] ^ (1 << at % 8)]) + text[at + 1 :], readable)
    counted("run record: truncations and flips", 2 * len(text))


@pytest.mark.parametrize("kind", JUDGES)
def test_another_encoding_or_line_end_means_the_same_or_is_refused(
    kind, mutants, lines, readable, counted
):
    found = mutants.whole(lines(mutants.tree_of(TREES[kind])).encode())
    for data in found:
        JUDGES[kind](data, readable)
    counted(f"{kind}: whole documents", len(found))


@pytest.mark.parametrize("kind", JUDGES)
def test_a_wrong_value_anywhere_is_found_or_refused(
    kind, mutants, values, lines, readable, counted
):
    number = len(mutants.places([mutants.tree_of(TREES[kind])], []))
    short = [at for at, value in enumerate(values.all) if len(value) < 5_000]
    step = 5 if kind == "run record" else 1
    for where in range(number):
        for what in short[where % step :: step]:
            steps = [("set", where, what)]
            JUDGES[kind](mutants.mutate(TREES[kind], steps, values.all, lines), readable)
            counted(f"{kind}: wrong values")


@pytest.mark.parametrize("spelling", ["same", "escaped"])
@pytest.mark.parametrize("kind", JUDGES)
def test_a_key_that_stands_twice_is_refused(kind, spelling, mutants, lines, readable, counted):
    parse = (
        (lambda data: parse_run(data, WHERE, RUN_ID))
        if kind == "run record"
        else (lambda data: parse_settings(data, WHERE))
    )
    tried = 0
    for at in range(len(mutants.places([mutants.tree_of(TREES[kind])], []))):
        root = [mutants.tree_of(TREES[kind])]
        holder, place = mutants.places(root, [])[at]
        if isinstance(holder, mutants.Pairs):
            key = holder[place][0]
            twice = mutants.escaped(key) if spelling == "escaped" else key
            holder.append([twice, mutants.Raw("null")])
            with pytest.raises(FormatError, match="twice") as caught:
                parse(lines(root[0]).encode())
            readable(caught.value, WHERE)
            tried += 1
    assert tried >= 5
    counted(f"{kind}: keys that stand twice", tried)


RUNS_CODE = (
    "!!python/object/apply:os.system ['touch pwned']",
    "!!python/object/apply:subprocess.Popen [['touch', 'pwned']]",
    "!!python/object/new:os.system ['touch pwned']",
    "!!python/object:os.system {}",
    "!!python/module:pwned",
    "!!python/name:os.system",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch pwned']",
    "!!python/tuple [1]",
)


@pytest.mark.parametrize("attack", RUNS_CODE)
@pytest.mark.parametrize("place", ["value", "key", "item", "whole"])
def test_a_tag_runs_nothing(attack, place, root, readable):
    text = {
        "value": f"run_id: {RUN_ID}\nowner: {attack}\n",
        "key": f"run_id: {RUN_ID}\n? {attack}\n: x\n",
        "item": f"run_id: {RUN_ID}\nwarnings:\n  - {attack}\n",
        "whole": f"--- {attack}\n",
    }[place]
    data = text.encode()
    for call in ((parse_run, data, WHERE, RUN_ID), (parse_settings, data, WHERE)):
        with pytest.raises(FormatError) as caught:
            timed(*call)
        readable(caught.value, WHERE)
    assert list(root.iterdir()) == []


ATTACKS = {
    "alias bomb": f"run_id: {RUN_ID}\nparams: {BOMB}]\n",
    "anchor": f"run_id: {RUN_ID}\nparams: &a {{}}\n",
    "alias": f"run_id: &a {RUN_ID}\nowner: *a\n",
    "merge key with an alias": f"run_id: {RUN_ID}\nenv: &e {{}}\nparams: {{<<: *e}}\n",
    "a tag whose escapes are controls": f"run_id: {RUN_ID}\nowner: !%1b%5b2J x\n",
    "two documents": f"run_id: {RUN_ID}\n---\nrun_id: {RUN_ID}\n",
    "a tab": f"run_id: {RUN_ID}\nparams:\n\ta: 1\n",
    "deep flow": f"run_id: {RUN_ID}\nparams: " + "[" * 3_000 + "]" * 3_000 + "\n",
    "deep block": f"run_id: {RUN_ID}\nparams:\n"
    + "".join(" " * at + "a:\n" for at in range(1, 1_000)),
    "deep dashes": f"run_id: {RUN_ID}\nwarnings: \n" + "- " * 3_000 + "x\n",
    "a long number": f"run_id: {RUN_ID}\nparams: {{n: {'9' * 5_000}}}\n",
    "a number beyond floats": f"run_id: {RUN_ID}\nduration_s: 1e999\n",
    "a later schema": f"run_id: {RUN_ID}\nschema_version: 2\n",
    "a schema that is no number": f"run_id: {RUN_ID}\nschema_version: true\n",
    "many keys that are one": f"run_id: {RUN_ID}\n" + "a: 1\n" * 1_000,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_in_little_time_and_memory(attack, readable):
    data = ATTACKS[attack].encode()
    parse_run(RECORD.dump(), WHERE, RUN_ID)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError) as caught:
            timed(parse_run, data, WHERE, RUN_ID)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    readable(caught.value, WHERE)
    assert peak < 8 << 20


def test_a_merge_key_is_a_key_like_any_other():
    text = f"run_id: {RUN_ID}\nparams: {{<<: {{seed: 1}}, C: 2}}\n".encode()
    assert parse_run(text, WHERE, RUN_ID).params == {"<<": {"seed": 1}, "C": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.10", 3.1), ("017", "017"), ("0o17", "0o17"), ("0x1F", "0x1F"), ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("yes", "yes"), ("NO", "NO"), ("~", None),
        ("1e5", 1e5), ("0123456", "0123456"), ("+1", 1), ("-0", 0), ("True", True), ("tRUE", "tRUE"),
    ],
)  # fmt: skip
def test_a_plain_scalar_means_what_both_yaml_versions_can_agree_on(text, value):
    got = parse_run(f"run_id: {RUN_ID}\nparams: {{x: {text}}}\n".encode(), WHERE, RUN_ID)
    assert exactly(got.params) == exactly({"x": value})
    owner = parse_settings(f"owner: {text}\n".encode(), WHERE).owner
    assert owner == (None if value is None else text)
    assert Settings().owner is None
