from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbversion.errors import FormatError, InvalidInputError
from nbversion.formats.registry import Entry, Registry, parse_registry, problems, replay
from nbversion.names import Stage

WHERE = "models/iris_clf/registry.json"
D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
LESSON = b"""{
"name": "iris_clf",
"versions": [
{"version": "v0.1.0", "stage": "archived"},
{"version": "v0.2.0", "stage": "production"}
]
}"""


def entry(action, version, **values):
    fixed = {"revision": 0, "op_id": "0a", "utc": "2026-01-01T00:00:00Z", "actor": "Ada"}
    return Entry(**fixed, action=action, version=version, **values)


def parse(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return parse_registry(raw, WHERE, "iris_clf")


def grown():
    """Return a registry in which every kind of value is set somewhere."""
    registry = Registry(name="iris_clf")
    for one in (
        entry("register", "v0.1.0", to_stage="dev", digest=D1, run_id="r-1", comment="first"),
        entry("promote", "v0.1.0", from_stage="dev", to_stage="production", image="repo@" + D1),
        entry("register", "v0.2.0-dev.1", to_stage="dev", digest=D2, run_id="r-2"),
        entry(
            "promote",
            "v0.2.0",
            from_stage="dev",
            to_stage="production",
            displaced="v0.1.0",
            digest=D2,
            run_id="r-2",
            derived_from="v0.2.0-dev.1",
        ),
        entry("comment", "v0.2.0", comment="gut ü"),
        entry("rollback", "v0.1.0", to_stage="production", displaced="v0.2.0"),
    ):
        registry = registry.apply(one)
    return registry


def test_the_text_is_exactly_the_layout_of_the_contract():
    registry = Registry(name="iris_clf").apply(
        entry("register", "v0.1.0", to_stage="dev", digest=D1, run_id="r-1", comment="é")
    )
    line = (
        '{"revision": 1, "op_id": "0a", "utc": "2026-01-01T00:00:00Z", "actor": "Ada", '
        '"action": "register", "version": "v0.1.0", "from_stage": null, "to_stage": "dev", '
        f'"displaced": null, "digest": "{D1}", "run_id": "r-1", "image": null, "comment": "é", '
        '"previous": null}'
    )
    canonical = json.dumps(
        json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    head = "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
    assert registry.dump().decode() == (
        '{"name": "iris_clf", "versions": [\n'
        f'{{"version": "v0.1.0", "stage": "dev", "run_id": "r-1", "digest": "{D1}", '
        '"created_utc": "2026-01-01T00:00:00Z", "owner": "Ada", "image": null, '
        '"derived_from": null, "comments": []}\n'
        f'],\n"history": [\n{line}\n],\n"revision": 1, "head": "{head}", "schema_version": 1}}\n'
    )


def test_each_entry_names_the_hash_of_the_whole_entry_before_it():
    record = json.loads(grown().dump())
    previous = None
    for at, one in enumerate(record["history"], start=1):
        assert (one["revision"], one["previous"]) == (at, previous)
        text = json.dumps(one, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert (record["revision"], record["head"]) == (6, previous)


def test_the_versions_are_what_the_history_led_to():
    versions = {one.version: one for one in grown().versions}
    assert list(versions) == ["v0.1.0", "v0.2.0-dev.1", "v0.2.0"]
    assert [str(one.stage) for one in versions.values()] == ["production", "dev", "archived"]
    assert versions["v0.1.0"].image == "repo@" + D1
    assert versions["v0.2.0"].derived_from == "v0.2.0-dev.1"
    assert (versions["v0.2.0"].digest, versions["v0.2.0"].run_id) == (D2, "r-2")
    assert versions["v0.2.0"].comments == (
        {"utc": "2026-01-01T00:00:00Z", "actor": "Ada", "comment": "gut ü"},
    )
    assert grown().production == versions["v0.1.0"]


VERSIONS = ["v0.1.0", "v0.2.0-dev.1", "v0.2.0", "v0.10.0", "v1.0.0-rc.2"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
STARTS = st.sampled_from([Registry(name="iris_clf"), parse(LESSON)])


@st.composite
def operations(draw, registry):
    listed = [one.version for one in registry.versions]
    free = [one for one in VERSIONS if one not in listed]
    texts = {key: draw(TEXTS) for key in ("op_id", "utc", "actor")}
    comment = draw(st.none() | TEXTS)
    if free and (not listed or draw(st.booleans())):
        version = draw(st.sampled_from(free))
        derived = draw(st.none() | st.sampled_from(listed)) if listed else None
        action = "promote" if derived and draw(st.booleans()) else "register"
        return Entry(
            revision=0, **texts, action=action, version=version, to_stage="dev", comment=comment,
            digest=D1, run_id=draw(st.none() | TEXTS), derived_from=derived,
        )  # fmt: skip
    version = draw(st.sampled_from(listed))
    action = draw(st.sampled_from(["promote", "rollback", "comment"]))
    if action == "comment":
        return Entry(revision=0, **texts, action=action, version=version, comment=draw(TEXTS))
    serving = registry.production
    stage = "production" if action == "rollback" else str(draw(st.sampled_from(list(Stage))))
    moved = stage == "production" and serving is not None and serving.version != version
    return Entry(
        revision=0, **texts, action=action, version=version, to_stage=stage, comment=comment,
        displaced=serving.version if moved else None, image=draw(st.none() | TEXTS),
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(STARTS, st.integers(1, 12), st.data())
def test_any_sequence_of_writes_keeps_every_law(registry, count, data):
    for _ in range(count):
        before = registry
        registry = registry.apply(data.draw(operations(registry)))
        if data.draw(st.booleans()):
            registry = parse(registry.dump())
        assert registry.revision == before.revision + 1
        assert registry.history[-1].previous == before.head
    read = parse(registry.dump())
    assert problems(registry) == problems(read) == []
    assert read.versions == registry.versions == replay(registry.history) == replay(read.history)
    assert [one.to_json() for one in read.history] == [one.to_json() for one in registry.history]
    assert (read.stated_revision, read.stated_head) == (count, registry.head)
    assert read.dump() == registry.dump()
    assert sum(one.stage is Stage.PRODUCTION for one in read.versions) <= 1


def test_the_lessons_minimal_registry_loads_without_a_problem():
    read = parse(LESSON)
    assert problems(read) == []
    assert [(one.version, str(one.stage)) for one in read.versions] == [
        ("v0.1.0", "archived"),
        ("v0.2.0", "production"),
    ]
    assert read.production == read.find("v0.2.0")
    assert (read.revision, read.head, read.history) == (0, None, ())


def test_the_first_write_keeps_the_versions_that_a_hand_written_file_held():
    record = json.loads(LESSON)
    record["versions"][0] |= {"team": "vision", "image": "img", "comments": [{"by": "Bob"}]}
    before = parse(record)
    after = before.apply(
        entry("promote", "v0.1.0", to_stage="production", displaced="v0.2.0")
    ).apply(entry("comment", "v0.1.0", comment="back"))
    read = parse(after.dump())
    assert problems(read) == []
    assert replay(read.history) == read.versions
    assert [str(one.stage) for one in read.versions] == ["production", "archived"]
    assert (read.versions[0].image, read.versions[0].extra) == ("img", {"team": "vision"})
    assert read.versions[0].comments[0] == {"by": "Bob"}
    first, second = json.loads(after.dump())["history"]
    assert [one["version"] for one in first["baseline"]] == ["v0.1.0", "v0.2.0"]
    assert "baseline" not in second


def test_unknown_keys_are_kept_everywhere():
    record = json.loads(grown().dump())
    record |= {"zz": {"a": 1}, "aa": [1]}
    record["versions"][0] |= {"team": "vision", "area": None}
    after = parse(record).apply(entry("comment", "v0.1.0", comment="x"))
    written = json.loads(after.dump())
    assert list(written) == [
        *("name", "versions", "history", "revision", "head", "schema_version", "aa", "zz")
    ]
    assert list(written["versions"][0])[-3:] == ["comments", "area", "team"]
    assert written["versions"][0]["team"] == "vision"
    assert problems(after) == []


def test_an_unknown_key_of_an_entry_is_kept_and_part_of_the_chain():
    record = json.loads(Registry(name="iris_clf").apply(entry("register", "v0.1.0")).dump())
    record["history"][0]["signature"] = "abc"
    text = json.dumps(
        record["history"][0], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    record["head"] = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    read = parse(record)
    assert problems(read) == []
    assert json.loads(read.dump())["history"][0]["signature"] == "abc"
    record["history"][0]["signature"] = "abd"
    assert problems(parse(record))


def leaves(value, path=()):
    if isinstance(value, (dict, list)) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from leaves(item, (*path, key))
    else:
        yield path


def found_in(record):
    try:
        return problems(parse(record))
    except FormatError as exc:
        return [exc.message]


def changed(record, path, change):
    record = copy.deepcopy(record)
    place = record
    for key in path[:-1]:
        place = place[key]
    change(place, path[-1])
    return record


def full():
    """Return the file of a registry that began by hand, with every key somewhere."""
    registry = parse(LESSON)
    for one in grown().history:
        version = {"v0.1.0": "v0.3.0", "v0.2.0": "v0.4.0"}.get(one.version, one.version)
        displaced = {"v0.1.0": "v0.3.0", "v0.2.0": "v0.4.0"}.get(one.displaced)
        registry = registry.apply(replace(one, version=version, displaced=displaced, raw=None))
    registry = registry.apply(entry("promote", "v0.2.0", to_stage="archived"))
    record = json.loads(registry.dump())
    assert found_in(record) == []
    return record


FULL = full()
NEW_VALUES = ["x", "v0.9.0", "dev", "archived", "production", D2, None, 0, 1, 2, True, 1.5, [], {}]


@pytest.mark.parametrize("path", list(leaves(FULL)), ids=str)
def test_a_change_of_any_single_value_is_found_or_refused(path):
    for new in NEW_VALUES:
        record = changed(FULL, path, lambda place, key, new=new: place.__setitem__(key, new))
        if path == ("schema_version",) and new in (0, 1, None) and new is not True:
            assert found_in(record) == []  # Read as the form that this version knows.
            continue
        same = json.dumps(record) == json.dumps(FULL)
        reads_alike = path[:1] == ("versions",) and path[-1] == "comments" and new is None
        assert bool(found_in(record)) is not (same or reads_alike), new


def test_a_key_that_is_taken_out_is_found_unless_its_absence_says_the_same():
    unfound = set()
    for path in leaves(FULL):
        record = changed(FULL, path, lambda place, key: place.__delitem__(key))
        if not found_in(record):
            unfound.add((path[0], path[-1]))
    # In a version no `image` means null; a missing schema_version is this version's.
    nullable = ("run_id", "digest", "created_utc", "owner", "image", "derived_from", "comments")
    allowed = {("versions", key) for key in nullable}
    assert unfound <= allowed | {("schema_version", "schema_version")}
    for key in ("name", "versions", "history", "revision", "head"):
        assert found_in({k: v for k, v in FULL.items() if k != key}), key


def test_entries_and_versions_that_are_swapped_dropped_or_doubled_are_found():
    for key in ("versions", "history"):
        for at in range(len(FULL[key])):
            dropped = changed(FULL, (key, at), lambda place, at: place.pop(at))
            doubled = changed(FULL, (key, at), lambda place, at: place.insert(at, place[at]))
            assert found_in(dropped), (key, at)
            assert found_in(doubled), (key, at)
        turned = FULL | {key: FULL[key][::-1]}
        assert found_in(turned), key
    order = FULL | {"versions": [*FULL["versions"][1:], FULL["versions"][0]]}
    assert found_in(order) == ["the versions are not listed in the order of their registration"]


def test_what_is_wrong_is_said_in_words():
    def said(path, value):
        record = changed(FULL, path, lambda place, key: place.__setitem__(key, value))
        return found_in(record)

    assert said(("revision",), 99) == ["revision says 99, the history has 7 entries"]
    assert said(("head",), D1)[0].startswith(f"head says {D1}, the last entry gives sha256:")
    assert said(("history", 2, "actor"), "Eve")[0].startswith("entry 4 names sha256:")
    assert said(("history", 2, "revision"), 8)[0] == "entry 3 of the history says revision 8"
    assert said(("versions", 0, "stage"), "dev") == [
        "version v0.1.0 is not what the history leads to"
    ]
    two = parse(LESSON.replace(b"archived", b"production"))
    assert problems(two) == ["more than one version is in production: v0.1.0, v0.2.0"]


def test_the_documented_limits_of_one_file_alone():
    # A consistent forgery of the whole file: found against git or a remote only.
    forged = Registry(name="iris_clf")
    for one in grown().history:
        forged = forged.apply(replace(one, actor="Eve", raw=None))
    assert found_in(json.loads(forged.dump())) == []
    # So is a file cut down to what a person could have written.
    versions = [{"version": "v0.1.0", "stage": "production"}]
    assert found_in({"name": "iris_clf", "versions": versions}) == []
    # And keys that we do not know, outside the history: nothing is derived from them.
    assert found_in(FULL | {"team": "other"}) == []
    assert (
        found_in(FULL | {"versions": [FULL["versions"][0] | {"team": "x"}, *FULL["versions"][1:]]})
        == []
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "other"}, "'name' must be 'iris_clf', as the folder is called"),
        ({"name": None}, "'name' must be a text"),
        ({"versions": {}}, "'versions' must be a list of records"),
        (
            {"versions": [{"stage": "dev"}]},
            "(versions[0]) cannot be read: 'version' must be a text",
        ),
        ({"versions": [{"version": "v0.1.0"}]}, "(versions[0]) cannot be read: 'stage' must be"),
        ({"versions": [{"version": "v0.1.0", "stage": ""}]}, "'stage' must be a text"),
        ({"versions": [{"version": "v0.1", "stage": "dev"}]}, "is no version of a model"),
        ({"versions": [{"version": "v0.1.0", "stage": "prod"}]}, "'prod' is no stage"),
        ({"versions": [{"version": "v0.1.0", "stage": "dev"}] * 2}, "a version stands twice"),
        (
            {"versions": [{"version": "v0.1.0", "stage": "dev", "comments": ["x"]}]},
            "'comments' must",
        ),
        ({"history": ["x"]}, "'history' must be a list of records"),
        ({"history": [{"action": "drop"}]}, "(history[0]) cannot be read: 'action' must be one of"),
        ({"revision": -1}, "'revision' must be a whole number"),
        ({"revision": True}, "'revision' must be a whole number"),
        ({"head": 1}, "'head' must be a text"),
        ({"schema_version": 2}, "was written by a newer nbversion"),
    ],
)
def test_a_field_of_the_wrong_kind_is_one_error_that_names_file_and_key(change, why):
    with pytest.raises(FormatError) as caught:
        parse(json.loads(LESSON) | change)
    assert caught.value.message.startswith(WHERE)
    assert why in caught.value.message


@pytest.mark.parametrize("key", ["from_stage", "to_stage"])
def test_an_entry_names_stages_that_there_are(key):
    record = json.loads(grown().dump())
    record["history"][0][key] = "prod"
    with pytest.raises(FormatError, match=f"'{key}' must be a stage, got 'prod'"):
        parse(record)


@pytest.mark.parametrize(
    "text", ["", "v", "garbage", "latest", "v0.2", "v0.2.0.0", "0.2.0", "\ud800"]
)
def test_looking_for_what_is_no_version_of_the_model_finds_nothing_new(text):
    found = parse(LESSON).find(text)
    assert found is None or found.version == "v0.2.0"
    assert parse(LESSON).find("v0.2.0").version == "v0.2.0"
    assert parse(LESSON).find("v0.3.0") is None


def test_a_text_that_cannot_be_written_is_refused_with_a_typed_error():
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        Registry(name="iris_clf").apply(entry("register", "v0.1.0", comment="\ud800"))


def test_a_version_of_the_history_that_is_not_listed_is_named():
    record = json.loads(grown().dump())
    record["versions"].pop()
    assert found_in(record) == ["version v0.2.0 of the history is not listed"]


def test_only_the_first_entry_has_a_baseline():
    record = json.loads(grown().dump())
    record["history"][-1]["baseline"] = [{"version": "v0.9.0", "stage": "dev"}]
    assert [one.version for one in replay(parse(record).history)] == [
        one.version for one in grown().versions
    ]


def test_a_baseline_that_holds_no_version_is_refused_with_its_place():
    record = json.loads(grown().dump())
    record["history"][0]["baseline"] = [{"version": "v0.9", "stage": "dev"}]
    with pytest.raises(FormatError, match=r"\(history\[0\]\) \(baseline\[0\]\) cannot be read"):
        parse(record)


@pytest.mark.parametrize("facts", [{"digest": "sha256:" + "a" * 64}, {"run_id": "r-2026"}])
def test_a_registry_of_ours_whose_history_was_taken_out_has_a_problem(facts):
    record = {"name": "clf", "versions": [{"version": "v0.1.0", "stage": "production", **facts}]}
    read = parse_registry(json.dumps(record).encode(), "registry.json", "clf")
    assert problems(read) == ["its history is missing"]
