from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nbversion.errors import FormatError, InvalidInputError
from nbversion.formats.run_record import STATUSES, RunRecord, parse_run

RUN_ID = "2026-01-01-iris-001-9f2e"
WHERE = f"runs/{RUN_ID}.yaml"
D1 = "sha256:" + "1" * 64
RECORD = RunRecord(
    run_id=RUN_ID,
    code_commit="9f2e1c4" + "0" * 33,
    params={"seed": 42, "C": 1.0, "penalty": "l2", "lr": 1e-05, "yes": None},
    env={"python": "3.11.7", "requirements_lock": D1, "container_image": None},
    outputs={"model": "iris_clf", "model_version": "v0.2.0", "metrics": {"f1": 0.94}},
    data=({"ref": "iris_v0.1", "digest": D1}, {"ref": "wine_v0.2", "digest": D1}),
    started_utc="2026-01-01T00:00:00Z",
    duration_s=1.5,
    owner="Ada",
    code={"cell_sha256": "e" * 64, "dirty": False},
    inputs=({"path": "a b.csv", "size_bytes": 3, "sha256": "f" * 64},),
    origins={"seed": "cell"},
    environment={"hash_seed": "0"},
    warnings=("a: b", "no"),
)
LESSON = """\
run_id: 2026-01-01-iris-001
code_commit: 9f2e1c4
data_snapshot: iris_v0.1 # points to manifest with SHA256
params:
  seed: 42
  C: 1.0
  penalty: l2
env:
  python: 3.10
  requirements_lock: sha256:7b1f...
  container_image: ghcr.io/org/ml:1.2.3
outputs:
  model_version: v0.2.0
  metrics:
    f1: 0.94
"""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
VALUES = SCALARS | st.floats(allow_nan=False, allow_infinity=False)
MAPPINGS = st.dictionaries(TEXTS, VALUES | st.lists(VALUES, max_size=3), max_size=4)
ROWS = st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), max_size=3).map(tuple)
REFS = st.lists(
    st.fixed_dictionaries({"ref": TEXTS.filter(bool), "digest": st.none() | TEXTS}), max_size=2
).map(tuple)
RECORDS = st.builds(
    RunRecord,
    run_id=st.just(RUN_ID),
    code_commit=st.none() | st.sampled_from(["1234567", "9e21437", "0" * 40]),
    params=MAPPINGS,
    env=st.fixed_dictionaries({"python": st.none() | TEXTS}),
    outputs=st.fixed_dictionaries({"metrics": st.dictionaries(TEXTS, st.floats(), max_size=3)}),
    data=REFS,
    eval_data=REFS,
    status=st.sampled_from(STATUSES),
    started_utc=TEXTS,
    duration_s=st.none() | st.floats(0, 1e9),
    owner=TEXTS,
    code=MAPPINGS,
    inputs=ROWS,
    artifacts=ROWS,
    origins=MAPPINGS,
    environment=MAPPINGS,
    warnings=st.lists(TEXTS, max_size=3).map(tuple),
    extra=st.dictionaries(TEXTS.map("x{}".format), VALUES, max_size=2),
)


def parse(data, run_id=RUN_ID):
    raw = data if isinstance(data, bytes) else data.encode()
    return parse_run(raw, f"runs/{run_id}.yaml", run_id)


def test_the_text_is_exactly_the_layout_of_the_contract():
    *lines, digest, schema, end = RECORD.dump().decode().split("\n")
    assert lines == [
        f'run_id: "{RUN_ID}"',
        f'code_commit: "9f2e1c4{"0" * 33}"',
        'data_snapshot: "iris_v0.1"',
        'params: {seed: 42, C: 1.0, penalty: "l2", lr: 1.0e-05, "yes": null}',
        f'env: {{python: "3.11.7", requirements_lock: "{D1}", container_image: null}}',
        'outputs: {model: "iris_clf", model_version: "v0.2.0", metrics: {f1: 0.94}}',
        "data:",
        f'  - {{ref: "iris_v0.1", digest: "{D1}"}}',
        f'  - {{ref: "wine_v0.2", digest: "{D1}"}}',
        "eval_data: []",
        'status: "finished"',
        'started_utc: "2026-01-01T00:00:00Z"',
        "duration_s: 1.5",
        'owner: "Ada"',
        f'code: {{cell_sha256: "{"e" * 64}", dirty: false}}',
        "inputs:",
        f'  - {{path: "a b.csv", size_bytes: 3, sha256: "{"f" * 64}"}}',
        "artifacts: []",
        'origins: {seed: "cell"}',
        'environment: {hash_seed: "0"}',
        'warnings: ["a: b", "no"]',
    ]
    assert digest.startswith('record_digest: "sha256:')
    assert (schema, end) == ("schema_version: 1", "")


@settings(deadline=None)
@given(RECORDS)
def test_the_record_digest_can_be_taken_with_any_yaml_reader(record):
    read = yaml.safe_load(record.dump())
    stated = read.pop("record_digest")
    text = json.dumps(read, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert stated == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@settings(deadline=None)
@given(RECORDS)
def test_a_record_reads_back_equal_and_unedited(record):
    read = parse(record.dump())
    assert read.problem is None
    assert {k: repr(v) for k, v in read.metrics.items()} == {
        k: repr(v) for k, v in record.outputs["metrics"].items()
    }
    assert replace(read, outputs={}) == replace(record, outputs={})
    assert read.dump() == record.dump()


def test_the_lessons_record_loads_as_text_where_it_must():
    read = parse(LESSON, "2026-01-01-iris-001")
    assert read.code_commit == "9f2e1c4"
    assert read.params == {"seed": 42, "C": 1.0, "penalty": "l2"}
    assert [type(one) for one in read.params.values()] == [int, float, str]
    assert read.env == {
        "python": "3.10",
        "requirements_lock": "sha256:7b1f...",
        "container_image": "ghcr.io/org/ml:1.2.3",
    }
    assert read.data == ({"ref": "iris_v0.1", "digest": None},)
    assert read.outputs["model_version"] == "v0.2.0"
    assert read.metrics == {"f1": 0.94}
    assert (read.status, read.problem, read.model_reference) == ("finished", None, None)


@pytest.mark.parametrize("commit", ["1234567", "9e21437", "0000000", "1e10", "12e4567", "0x12345"])
def test_a_commit_that_looks_like_a_number_is_text(commit):
    assert parse(LESSON.replace("9f2e1c4", commit), "2026-01-01-iris-001").code_commit == commit
    written = replace(RECORD, code_commit=commit).dump()
    assert yaml.safe_load(written)["code_commit"] == parse(written).code_commit == commit


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e300])
def test_a_metric_survives_whatever_number_it_is(value):
    record = replace(RECORD, outputs={"metrics": {"loss": value}})
    assert repr(parse(record.dump()).metrics["loss"]) == repr(value)
    assert parse(record.dump()).problem is None


def test_the_model_is_named_only_when_both_parts_are():
    assert RECORD.model_reference == ("iris_clf", "v0.2.0")
    assert replace(RECORD, outputs={"model": "iris_clf"}).model_reference is None
    assert replace(RECORD, outputs={}).metrics == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed: 42", "seed: 43"),
        ("C: 1.0", "C: 1"),
        ("f1: 0.94", "f1: 0.95"),
        ("iris_v0.1", "iris_v0.2"),
        ("dirty: false", "dirty: true"),
        ('"finished"', '"failed"'),
        ("schema_version: 1", "schema_version: 1\nfurther: 1"),
        ("warnings: [", "warnings: [] #"),
        ("duration_s: 1.5", "duration_s: null"),
        ('owner: "Ada"', 'owner: "ada"'),
    ],
)
def test_an_edited_record_is_found(old, new):
    text = RECORD.dump().decode()
    read = parse(text.replace(old, new))
    stated = yaml.safe_load(text)["record_digest"]
    assert read.problem.startswith(f"record_digest says {stated}, its content gives sha256:")


def test_a_record_in_another_layout_with_equal_values_is_not_edited():
    text = yaml.safe_dump(yaml.safe_load(RECORD.dump()), sort_keys=True)
    assert text.encode() != RECORD.dump()
    assert parse(text).problem is None
    assert parse(text) == parse(RECORD.dump())


def test_unknown_keys_are_kept_sorted_after_the_known_ones():
    read = parse(replace(RECORD, extra={"zz": [1], "aa": {"b": None}}).dump())
    assert read.extra == {"aa": {"b": None}, "zz": [1]}
    assert list(yaml.safe_load(read.dump()))[-3:] == ["schema_version", "aa", "zz"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("status: done", "'status' must be one of running, finished, failed, interrupted, lost"),
        ("duration_s: x", "'duration_s' must be a number of seconds"),
        ("duration_s: true", "'duration_s' must be a number of seconds"),
        ("duration_s: .nan", "'duration_s' must be a number of seconds"),
        ("duration_s: .inf", "'duration_s' must be a number of seconds"),
        ("params: [1]", "'params' must be a mapping"),
        ("env: {python: [3]}", "(env) cannot be read: 'python' must be a text"),
        ("env: {requirements_lock: {a: b}}", "'requirements_lock' must be a text"),
        ("env: {container_image: [x]}", "'container_image' must be a text"),
        ("outputs: {metrics: 3}", "(outputs) cannot be read: 'metrics' must be a mapping"),
        ("outputs: {model: [a]}", "'model' must be a text"),
        ("outputs: {model_version: {}}", "'model_version' must be a text"),
        ("outputs: {snapshots: [{}]}", "(outputs) (snapshots[0]) cannot be read: 'ref' must be"),
        ("data: [iris_v0.1]", "'data' must be a list of records"),
        ("data: [{digest: x}]", "(data[0]) cannot be read: 'ref' must be a text"),
        ("data: [{ref: a, digest: 3}]", "(data[0]) cannot be read: 'digest' must be a text"),
        ("eval_data: [{ref: ''}]", "(eval_data[0]) cannot be read: 'ref' must be a text"),
        ("inputs: {a: 1}", "'inputs' must be a list of records"),
        ("warnings: [1]", "'warnings' must be a list of texts"),
        ("code_commit: [a]", "'code_commit' must be a text"),
        ("record_digest: abc", "'record_digest' must be sha256: and 64 lower-case hex digits"),
        (f"record_digest: SHA256:{'1' * 64}", "'record_digest' must be sha256:"),
        ("schema_version: 2", "was written by a newer nbversion"),
        ("schema_version: 1.0", "'schema_version' must be a whole number"),
        ('owner: "\\ud800"', "cannot be read"),
        ("extra: " + "[" * 200 + "]" * 200, "it is nested too deep"),
        ("extra: " + "[" * 900 + "]" * 900, "it is nested too deep"),
    ],
)
def test_what_is_no_record_is_one_error_that_names_file_and_key(change, why):
    with pytest.raises(FormatError) as caught:
        parse(f"run_id: {json.dumps(RUN_ID)}\n{change}\n")
    assert caught.value.message.startswith(WHERE)
    assert why in caught.value.message


@pytest.mark.parametrize("text", ["a: 1\n", "run_id: other\n", "run_id: ''\n", "run_id: 3\n"])
def test_a_record_must_be_that_of_its_file(text):
    with pytest.raises(FormatError, match="'run_id' must be"):
        parse(text)


@pytest.mark.parametrize("change", [{"owner": "\ud800"}, {"params": {"a": "\udc80"}}])
def test_a_text_that_cannot_be_written_is_refused_with_a_typed_error(change):
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        replace(RECORD, **change).dump()


@pytest.mark.parametrize("text", ["3.10", "1234567", "1e10", "true"])
def test_names_and_references_are_text_whatever_they_look_like(text):
    env = dict.fromkeys(("python", "requirements_lock", "container_image"), text)
    outputs = dict.fromkeys(("model", "model_version"), text)
    lines = [f"run_id: {RUN_ID}", f"owner: {text}", f"started_utc: {text}", "env:"]
    lines += [f"  {key}: {text}" for key in env]
    lines += ["outputs:", *(f"  {key}: {text}" for key in outputs)]
    read = parse("\n".join(lines))
    assert (read.env, read.outputs) == (env, outputs)
    assert (read.owner, read.started_utc) == (text, text)


def test_a_record_whose_digest_was_taken_out_is_edited():
    text = "run_id: r-2026\nowner: Eve\n"
    assert parse_run(text.encode(), "runs/r-2026.yaml", "r-2026").problem is None
    text += "schema_version: 1\n"
    problem = parse_run(text.encode(), "runs/r-2026.yaml", "r-2026").problem
    assert problem.startswith("record_digest says nothing, its content gives sha256:")


@pytest.mark.parametrize("files", ["7", "[7]", "[{path: x}]", "[{path: 1, sha256: y}]"])
def test_a_list_of_files_that_is_none_is_refused(files):
    with pytest.raises(FormatError, match="files"):
        parse_run(f"run_id: r-2026\nfiles: {files}\n".encode(), "runs/r-2026.yaml", "r-2026")
