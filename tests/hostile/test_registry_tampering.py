"""A registry that somebody changed by hand: found by every reader, continued by no writer."""

from __future__ import annotations

import copy
import json

import pytest

from nbversion.errors import FormatError, IntegrityError, NbversionError
from nbversion.formats.json_text import canonical_json, dump_json
from nbversion.formats.registry import parse_registry, problems
from nbversion.hashing import digest_of
from nbversion.project import Project

PATH = "models/clf/registry.json"
D9 = "sha256:" + "9" * 64


def relink(record, start=0):
    """Make the chain fit again from an entry on, as somebody would who knows the format."""
    history = record["history"]
    for at in range(max(start, 1), len(history)):
        history[at]["previous"] = digest_of(canonical_json(history[at - 1]))
    record["head"] = digest_of(canonical_json(history[-1]))
    record["revision"] = len(history)


def edit(at, **values):
    return lambda record: record["history"][at].update(values)


def version(at, **values):
    return lambda record: record["versions"][at].update(values)


def top(**values):
    return lambda record: record.update(values)


def both(*changes):
    def change(record):
        for one in changes:
            one(record)

    return change


def swap(key, one, other):
    def change(record):
        items = record[key]
        items[one], items[other] = items[other], items[one]

    return change


def insert(at, source, **values):
    def change(record):
        record["history"].insert(at, {**copy.deepcopy(record["history"][source]), **values})

    return change


def drop(key, at):
    return lambda record: record[key].pop(at)


def renumber(record):
    for at, one in enumerate(record["history"], start=1):
        one["revision"] = at


TAMPERED = {
    "first entry removed": drop("history", 0),
    "middle entry removed": drop("history", 2),
    "last entry removed": drop("history", -1),
    "last entry removed, revision fitted": both(
        drop("history", -1), lambda record: record.update(revision=len(record["history"]))
    ),
    "middle entry removed, chain relinked": both(drop("history", 3), relink),
    "middle entry removed, renumbered": both(drop("history", 3), renumber),
    "first entries swapped": swap("history", 0, 1),
    "last entries swapped": swap("history", -1, -2),
    "last entries swapped and renumbered": both(swap("history", -1, -2), renumber),
    "entry doubled": insert(2, 1),
    "last entry doubled": insert(99, -1),
    "last entry doubled, revision fitted": both(
        insert(99, -1), lambda record: record.update(revision=len(record["history"]))
    ),
    "all history removed": top(history=[]),
    "all history removed and revision 0": top(history=[], revision=0, head=None),
    "history truncated to its first": lambda record: record.update(history=record["history"][:1]),
    "actor edited": edit(1, actor="mallory"),
    "comment edited": edit(-1, comment="nothing happened"),
    "time edited": edit(0, utc="1970-01-01T00:00:00Z"),
    "digest of an entry edited": edit(0, digest=D9),
    "op_id edited": edit(2, op_id="00"),
    "action edited": edit(-1, action="promote"),
    "target version edited": edit(3, version="v0.2.0"),
    "displaced edited": edit(4, displaced=None),
    "displaced edited, chain relinked": both(edit(4, displaced=None), relink),
    "stage in an entry edited, chain relinked": both(edit(4, to_stage="staging"), relink),
    "key added to an entry": edit(1, approved=True),
    "key taken out of an entry": lambda record: record["history"][1].pop("comment"),
    "last entry edited": edit(-1, actor="mallory"),
    "previous edited": edit(2, previous=D9),
    "previous null": edit(2, previous=None),
    "previous of the first set": edit(0, previous=D9),
    "revision of an entry edited": edit(2, revision=9),
    "head edited": top(head=D9),
    "head null": top(head=None),
    "head gone": lambda record: record.pop("head"),
    "revision raised": top(revision=99),
    "revision lowered": top(revision=1),
    "revision gone": lambda record: record.pop("revision"),
    "stage raised": version(2, stage="production"),
    "stage lowered": version(1, stage="archived"),
    "two in production": both(version(0, stage="production"), version(1, stage="production")),
    "digest of a version edited": version(1, digest=D9),
    "run of a version edited": version(0, run_id="2026-01-01-other-001-0000"),
    "image of a version edited": version(1, image=f"evil@{D9}"),
    "owner edited": version(0, owner="mallory"),
    "time of a version edited": version(0, created_utc="1970-01-01T00:00:00Z"),
    "derived_from edited": version(1, derived_from="v0.3.0-dev.1"),
    "comment taken out": version(0, comments=[]),
    "comment forged": version(1, comments=[{"utc": "x", "actor": "boss", "comment": "approved"}]),
    "version taken out": drop("versions", 0),
    "version renamed": version(2, version="v0.9.0"),
    "versions reordered": swap("versions", 0, 1),
    "version added": lambda record: record["versions"].append(
        {**record["versions"][0], "version": "v9.9.9"}
    ),
    "baseline added": edit(0, baseline=[{"version": "v9.0.0", "stage": "production"}]),
    "baseline added late": edit(2, baseline=[{"version": "v9.0.0", "stage": "production"}]),
}
REFUSED = {
    "stage typo": version(1, stage="prodution"),
    "stage in other letters": version(1, stage="Production"),
    "stage null": version(1, stage=None),
    "stage in an entry unknown": edit(1, to_stage="live"),
    "action unknown": edit(1, action="delete"),
    "action null": edit(1, action=None),
    "version twice": lambda record: record["versions"].append(record["versions"][0]),
    "version no version": version(0, version="latest"),
    "version with a path": version(0, version="../v0.1.0"),
    "version with leading zeros": version(0, version="v00.1.0"),
    "revision a text": top(revision="6"),
    "revision a float": top(revision=6.0),
    "revision true": top(revision=True),
    "revision negative": top(revision=-1),
    "history a mapping": top(history={}),
    "history of texts": top(history=["register"]),
    "versions null in a list": top(versions=[None]),
    "comments a text": version(0, comments="fine"),
    "another name": top(name="other"),
    "name gone": lambda record: record.pop("name"),
    "name a path": top(name="../clf"),
    "later schema": top(schema_version=2),
    "schema a text": top(schema_version="1"),
    "schema true": top(schema_version=True),
}
WRITES = {
    "promote": lambda project: project.promote("clf", "v0.1.0", "production"),
    "promote as": lambda project: project.promote(
        "clf", "v0.3.0-dev.1", "staging", as_version="v0.3.0"
    ),
    "rollback": lambda project: project.rollback("clf"),
    "rollback to": lambda project: project.rollback("clf", to="v0.1.0"),
    "comment": lambda project: project.comment("clf", "v0.1.0", "text"),
    "register": lambda project: project.catalog.registrar.commit("clf", lambda _: None),
}


def change(root, how):
    target = root / PATH
    record = json.loads(target.read_text())
    how(record)
    target.write_bytes(dump_json(record))
    return target


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_found_by_every_reader_and_stops_every_writer(how, full, root, tree, readable):
    target = change(root, TAMPERED[how])
    data = target.read_bytes()
    assert problems(parse_registry(data, PATH, "clf"))
    project = Project(root)
    before = tree(root)
    for reference in ((), ("clf@v0.1.0",), (PATH,)):
        try:
            found = project.verify(*reference)
        except NbversionError as exc:
            readable(exc)
            continue
        chain = [one for one in found.findings if one.kind == "chain"]
        assert chain, reference
        assert {one.path for one in chain} == {PATH}
        assert not found.holds
    assert any(PATH in one or "clf" in one for one in project.registry().broken)
    for write in WRITES.values():
        with pytest.raises(NbversionError) as caught:
            write(project)
        readable(caught.value)
    with pytest.raises(IntegrityError, match="left untouched") as caught:
        project.comment("clf", "v0.1.0", "text")
    readable(caught.value, PATH)
    with pytest.raises(NbversionError):
        project.load_model("clf")
    assert target.read_bytes() == data
    after = {path: facts for path, facts in tree(root).items() if ".nbversion" not in path}
    # Looking and refusing wrote nothing: no version, no staging folder, no registry.
    assert after == {path: facts for path, facts in before.items() if ".nbversion" not in path}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_no_registry_is_refused_by_name_and_never_rewritten(
    how, full, root, tree, readable
):
    target = change(root, REFUSED[how])
    data = target.read_bytes()
    before = target.stat()
    with pytest.raises(FormatError) as caught:
        parse_registry(data, PATH, "clf")
    readable(caught.value, PATH)
    project = Project(root)
    found = project.verify()
    assert [one.path for one in found.findings if one.kind == "chain"] == [PATH]
    table = project.registry()
    assert len(table.broken) == 1
    for write in WRITES.values():
        with pytest.raises(NbversionError) as caught:
            write(project)
        readable(caught.value)
    assert target.read_bytes() == data
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_whole_history_forged_consistently_is_the_documented_limit(full, root):
    target = change(root, both(edit(0, actor="mallory"), version(0, owner="mallory"), relink))
    assert problems(parse_registry(target.read_bytes(), PATH, "clf")) == []


def test_two_broken_models_hide_no_sound_one(full, root, register, project):
    for model in ("one", "two", "three"):
        register("v0.1.0", model=model)
    (root / "models/one/registry.json").write_text("{")
    (root / "models/two/registry.json").write_bytes(b"\xff\xfe")
    table = project.registry()
    assert [one.name for one in table.registries] == ["clf", "three"]
    assert len(table.broken) == 2
    assert project.load_model
    assert project.promote("three", "v0.1.0", "production").changed
