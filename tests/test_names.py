from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbversion.errors import InvalidInputError
from nbversion.names import (
    Stage,
    Version,
    check_name,
    data_ref,
    data_version,
    fit_name,
    is_run_id,
    model_ref,
    model_version,
    new_run_id,
    next_data_version,
    next_dev_version,
    parse_reference,
    parse_stage,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["v0.0", "v0.1", "v10.20", "v0.1.0", "v1.2.3", "v999999999.0"])
def test_versions_of_a_data_set_have_two_or_three_parts(text):
    assert str(data_version(text)) == text


@pytest.mark.parametrize(
    "text", ["v0.0.0", "v1.2.3", "v10.0.7", "v0.3.0-dev.2", "v0.3.0-rc.0", "v1.0.0-dev.123456789"]
)
def test_versions_of_a_model_have_three_parts_and_may_be_a_pre_release(text):
    assert str(model_version(text)) == text


NEITHER = [
    *("", "v", "0.1", "0.1.0", "V0.1", "v1", "v0.1.", "v.1", "v0..1", "v01.1", "v0.01", "v0.1.00"),
    *(
        "v0.1.0.0",
        "v-1.0",
        "v+1.0",
        "v0.1 ",
        " v0.1",
        "v0.1\n",
        "v0.1.0\n",
        "v0.1.0+build",
        "latest",
    ),
    *(
        "v0.1.0-dev",
        "v0.1.0-dev.",
        "v0.1.0-dev.01",
        "v0.1.0-alpha.1",
        "v0.1.0-dev.1.2",
        "v0.1.0-rc1",
    ),
    *("v0.1.0-DEV.1", "v٠.١", "v0.1.0-dev.-1", "v1234567890.0", "v0.1.0-dev.1234567890", "v0,1"),
    *("v0.1.0-rc.1+x", "v0.1.0/..", "../v0.1", "v0.1\0", "v1e3.0", "v0x1.0", "v0.1.x", "vv0.1"),
]


@pytest.mark.parametrize("text", [*NEITHER, "v0.1.0-dev.1", "v0.1-dev.1"])
def test_what_is_no_version_of_a_data_set_is_refused(text):
    with pytest.raises(InvalidInputError, match=re.escape(f"{text!r} is no version of a data set")):
        data_version(text)


@pytest.mark.parametrize("text", [*NEITHER, "v0.1", "v0.1-dev.1"])
def test_what_is_no_version_of_a_model_is_refused(text):
    with pytest.raises(InvalidInputError, match=re.escape(f"{text!r} is no version of a model")):
        model_version(text)


def test_versions_are_ordered_as_semver():
    ordered = [
        *("v0.0.9", "v0.1.0-dev.2", "v0.1.0-dev.10", "v0.1.0-rc.1", "v0.1.0", "v0.1.1", "v0.9.0"),
        *("v0.10.0-dev.1", "v0.10.0", "v1.0.0-rc.9", "v1.0.0-rc.10", "v1.0", "v1.0.1", "v10.0"),
    ]
    versions = [Version(text) for text in ordered]
    turned = versions[::-1]
    assert sorted(turned) == versions
    for low, high in itertools.combinations(versions, 2):
        assert low < high
        assert high > low
        assert low != high
        assert not low >= high


def test_a_missing_last_part_is_a_zero():
    assert Version("v0.1") == Version("v0.1.0")
    assert hash(Version("v0.1")) == hash(Version("v0.1.0"))
    assert len({Version("v0.1"), Version("v0.1.0"), Version("v0.1.1")}) == 2
    assert Version("v0.1") >= Version("v0.1.0")
    assert (str(Version("v0.1")), str(Version("v0.1.0"))) == ("v0.1", "v0.1.0")


def test_a_version_is_not_its_text():
    assert Version("v0.1") != "v0.1"
    with pytest.raises(TypeError, match="not supported"):
        assert Version("v0.1") < "v0.2"


@pytest.mark.parametrize(
    ("text", "tagged"),
    [("v0.1", True), ("v0.1.0", True), ("v0.1.0-dev.1", False), ("v0.1.0-rc.1", False)],
)
def test_only_a_version_without_a_pre_release_part_is_tagged(text, tagged):
    assert Version(text).is_release is tagged


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], "v0.1"),
        (["v0.1"], "v0.2"),
        (["v0.9"], "v0.10"),
        (["v0.9", "v0.10", "v0.2"], "v0.11"),
        (["v0.1", "v0.1.5"], "v0.1.6"),
        (["v1.2.9"], "v1.2.10"),
        (["v1.0.3", "v2.0"], "v2.1"),
        (["v0.1.0", "v0.0.9"], "v0.1.1"),
    ],
)
def test_the_next_data_version_raises_the_last_part_of_the_newest(used, expected):
    for order in itertools.permutations(used):
        assert str(next_data_version(Version(text) for text in order)) == expected


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], "v0.1.0-dev.1"),
        (["v0.1.0-dev.1"], "v0.1.0-dev.2"),
        (["v0.1.0-dev.9", "v0.1.0-dev.10"], "v0.1.0-dev.11"),
        (["v0.1.0"], "v0.2.0-dev.1"),
        (["v0.1.0-dev.3", "v0.1.0"], "v0.2.0-dev.1"),
        (["v0.1.0", "v0.2.0-dev.4", "v0.2.0-rc.9"], "v0.2.0-dev.5"),
        (["v0.9.3"], "v0.10.0-dev.1"),
        (["v1.2.3", "v0.9.0", "v1.3.0-dev.2"], "v1.3.0-dev.3"),
    ],
)
def test_the_next_dev_version_counts_within_the_minor_after_the_newest_release(used, expected):
    for order in itertools.permutations(used):
        assert str(next_dev_version(Version(text) for text in order)) == expected


def test_a_number_that_outgrows_its_grammar_is_refused():
    with pytest.raises(InvalidInputError, match="is no version of a data set"):
        next_data_version([Version("v0.999999999")])
    with pytest.raises(InvalidInputError, match="is no version of a model"):
        next_dev_version([Version("v0.1.0-dev.999999999")])


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True).filter(
    lambda text: not re.fullmatch(r"con|prn|aux|nul|(com|lpt)[0-9]", text)
)


@given(NAMES)
def test_a_legal_name_is_given_back(text):
    assert check_name(text, "model") == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "Iris",
            "_a",
            "-a",
            "a b",
            "a.b",
            "a/b",
            "..",
            "a" * 65,
            "é",
            "a\n",
            "a\0",
            "a@b",
            "a:b",
        ),
        *("con", "nul", "aux", "prn", "com1", "lpt9", "com0", "\u0661", "a\u0301", "\ud800"),
    ],
)
def test_any_other_name_is_refused_with_what_is_being_named(text):
    with pytest.raises(InvalidInputError, match="is no name for a model") as caught:
        check_name(text, "model")
    assert caught.value.message.startswith(repr(text))


def test_a_refused_name_comes_with_a_legal_one():
    with pytest.raises(InvalidInputError, match="Try 'muller_iris_2024'"):
        check_name("Müller Iris (2024)", "data set")


@given(st.text(st.characters(codec=None), max_size=90))
def test_a_fitted_name_is_always_legal_and_stays(text):
    fitted = fit_name(text)
    assert check_name(fitted, "data set") == fitted
    assert fit_name(fitted) in (fitted, fitted.rstrip("_-"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("iris", "iris"), ("My Data", "my_data"), ("Größe", "groe")),
        *(("", "data"), ("学習", "data"), ("__x__", "x"), ("a--b", "a--b"), ("CON", "data_con")),
        *(("a" * 70, "a" * 64), ("a" * 63 + "_b", "a" * 63), ("2024", "2024"), ("ﬁle", "file")),
    ],
)
def test_names_are_fitted_from_what_stands_there(text, expected):
    assert fit_name(text) == expected


def test_a_run_id_has_the_date_in_utc():
    evening = datetime(2025, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    made = new_run_id("iris", now=evening, used=[])
    assert re.fullmatch(r"2026-01-01-iris-001-[0-9a-f]{4}", made)
    assert is_run_id(made)


@pytest.mark.parametrize(
    ("used", "number"),
    [
        ([], "001"),
        (["2026-01-01-iris-001-9f2e"], "002"),
        (["2026-01-01-iris-009-9f2e", "2026-01-01-iris-003-9f2e"], "010"),
        (["2026-01-01-iris-999-9f2e"], "1000"),
        (["2026-01-01-iris-1000-9f2e", "2026-01-01-iris-999-9f2e"], "1001"),
        (["2026-01-01-iris-12345-0000"], "12346"),
        (["2026-01-02-iris-007-9f2e", "2025-01-01-iris-007-9f2e"], "001"),
        (["2026-01-01-iris-2-007-9f2e", "2026-01-01-wine-007-9f2e"], "001"),
        (["2026-01-01-iris-001", "2026-01-01-iris-7-9f2e", "2026-01-01-iris-007-9F2E"], "001"),
        (["2026-01-01-iris-007-9f2e-x", "by-hand"], "001"),
    ],
)
def test_a_run_is_numbered_after_the_largest_of_its_name_and_date(used, number):
    made = new_run_id("iris", now=NOON, used=used)
    assert re.fullmatch(rf"2026-01-01-iris-{number}-[0-9a-f]{{4}}", made)


def test_two_machines_do_not_make_the_same_id():
    assert len({new_run_id("iris", now=NOON, used=[]) for _ in range(40)}) > 30


def test_the_longest_name_still_makes_a_run_id():
    assert is_run_id(new_run_id("a" * 64, now=NOON, used=[]))


@pytest.mark.parametrize("text", ["2026-01-01-iris-001", "abcd", "A_b.c-d", "a" * 128])
def test_a_run_by_hand_keeps_its_own_id(text):
    assert is_run_id(text)


@pytest.mark.parametrize(
    "text", ["", "abc", "a" * 129, "../a", "a..b", "a/b", ".abc", "-abc", "abcd\n", "ab cd", "äbcd"]
)
def test_what_cannot_be_a_file_of_runs_is_no_run_id(text):
    assert not is_run_id(text)


@pytest.mark.parametrize("stage", ["dev", "staging", "production", "archived"])
def test_the_four_stages_are_known_by_their_names(stage):
    assert parse_stage(stage) == Stage(stage) == stage


@pytest.mark.parametrize("text", ["", "prod", "Production", "production ", "none"])
def test_any_other_stage_is_refused_with_the_four(text):
    with pytest.raises(InvalidInputError, match="dev, staging, production, archived"):
        parse_stage(text)


def readings(text):
    return {
        f"{one.kind} {one.name}" + (f" {one.selector}" if one.selector else "")
        for one in parse_reference(text)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iris_v0.1", {"data iris v0.1", "run iris_v0.1"}),
        ("my_v_set_v1.2.3", {"data my_v_set v1.2.3", "run my_v_set_v1.2.3"}),
        ("iris", {"data iris", "model iris", "run iris"}),
        ("abc", {"data abc", "model abc"}),
        ("iris@latest", {"data iris latest", "model iris latest"}),
        ("iris@v0.1", {"data iris v0.1"}),
        ("iris_clf@v0.2.0", {"data iris_clf v0.2.0", "model iris_clf v0.2.0"}),
        ("iris_clf@v0.3.0-dev.2", {"model iris_clf v0.3.0-dev.2"}),
        ("iris_clf@production", {"model iris_clf production"}),
        ("iris_clf@archived", {"model iris_clf archived"}),
        ("2026-01-01-iris-001-9f2e", {
            "data 2026-01-01-iris-001-9f2e",
            "model 2026-01-01-iris-001-9f2e",
            "run 2026-01-01-iris-001-9f2e",
        }),
        ("data/raw/iris.csv", set()),
        ("./iris", set()),
        ("iris@prod", set()),
        ("iris@", set()),
        ("@v0.1", set()),
        ("Iris@v0.1", set()),
        ("iris@v0.1@x", set()),
        ("a:b", set()),
        ("data:", set()),
        ("größe.csv", set()),
    ],
)  # fmt: skip
def test_a_bare_reference_has_every_reading_that_fits(text, expected):
    assert readings(text) == expected | {f"file {text}"}
    assert not any(one.explicit for one in parse_reference(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data:iris_v0.1", {"data iris v0.1"}),
        ("data:iris", {"data iris"}),
        ("data:iris@v0.2.0", {"data iris v0.2.0"}),
        ("model:iris", {"model iris"}),
        ("model:iris@v0.2.0", {"model iris v0.2.0"}),
        ("run:2026-01", {"run 2026-01"}),
        ("run:iris_v0.1", {"run iris_v0.1"}),
        ("file:iris", {"file iris"}),
        ("file:data:x", {"file data:x"}),
        ("file:a@production", {"file a@production"}),
    ],
)
def test_a_kind_in_front_settles_a_doubt(text, expected):
    assert readings(text) == expected
    assert all(one.explicit for one in parse_reference(text))


@pytest.mark.parametrize(
    "text", ["", "\0", "a\0b/c", "data:Iris", "data:iris@production", "model:iris_v0.1", "run:a b"]
)
def test_what_fits_no_reading_is_refused_with_examples(text):
    with pytest.raises(
        InvalidInputError, match=r"is no reference\. Write iris_v0\.1 or iris@latest"
    ):
        parse_reference(text)


def test_references_read_back_as_what_they_name():
    assert data_ref("iris", "v0.1") == "iris_v0.1"
    assert model_ref("clf", "v0.2.0") == "clf@v0.2.0"
    assert "data iris v0.1" in readings(data_ref("iris", "v0.1"))
    assert "model clf v0.2.0" in readings(model_ref("clf", "v0.2.0"))
