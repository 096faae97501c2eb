"""Texts of other people in every record that shows itself: never markup, never a control."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbversion.cli import main
from nbversion.errors import NbversionError, printable
from nbversion.formats.json_text import dump_json
from nbversion.formats.model_card import first_model_card
from nbversion.formats.registry import Registry
from nbversion.formats.run_record import RunRecord
from nbversion.formats.yaml_text import dump_yaml
from nbversion.project import Project

PAYLOADS = {
    "script": "<script>alert(1)</script>",
    "close": "</script></svg></td></table></div><iframe srcdoc=x>",
    "attribute": "\"' onmouseover='x()' onerror=\"x()\" ><img src=x onerror=x()>",
    "entity": "&lt;b&gt;&#60;b&#62;&amp;<b>",
    "ansi": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b31m",
    "overwrite": "fine\r\x08\x08\x08evil\x7f",
    "newline": "first\nsecond\r\n| third | cell |\n# heading\u2028fourth\x85fifth",
    "rtl": "\u202egnp.exe\u2066x\u2069\u200b\ufeff",
    "markdown": "[x](javascript:x) `code` **b** | <!-- c -->",
    "dot": '"]; evil [label="x\\N\\G{a|b}',
    "formula": "=cmd|'/c calc'!A1",
    "cdata": "<![CDATA[x]]><?php x ?><!DOCTYPE x>",
}


@pytest.fixture(params=PAYLOADS.values(), ids=PAYLOADS.keys())
def payload(request):
    return request.param


def build(project, root, raw, text, register, tmp_path):
    """Put `text` into every free text of a project and return every record that shows itself."""
    owner = json.dumps(text)
    (root / "nbversion.yaml").write_text(f"owner: {owner}\n")
    project = Project(root)
    name = "".join(char for char in text if char not in "/\\\n") or "x"
    raw(f"iris/{name}", b"x")
    shown = [project.snapshot("data/raw/iris", notes=text, tags=(text,))]
    record = project.catalog.runs.begin(
        "train",
        lambda run_id: RunRecord(run_id=run_id, status="running", started_utc=text, owner=text),
    )
    one = {"path": text, "size_bytes": 1, "sha256": "0" * 64, "how": text}
    project.catalog.runs.end(
        replace(
            record,
            status="finished",
            params={text: text, "n": [text, {text: text}]},
            env={"python": text, "requirements_lock": text, "container_image": text},
            outputs={"model": "clf", "model_version": "v0.1.0", "metrics": {text: 1.0, "t": text}},
            data=({"ref": "iris_v0.1", "digest": None}, {"ref": text, "digest": text}),
            eval_data=({"ref": text, "digest": text},),
            code={"cell_sha256": text, "notebook": text, "modules": [text], "dirty": True},
            code_commit=text,
            inputs=(one,),
            origins={text: {"origin": text}},
            environment={"fingerprint": text, "platform": text},
            warnings=(text,),
        )
    )
    register("v0.1.0", run_id=record.run_id)
    register("v0.2.0")
    shown += [
        project.promote("clf", "v0.1.0", "production", comment=text),
        project.promote("clf", "v0.2.0", "production", comment=text),
        project.comment("clf", "v0.1.0", text),
        project.rollback("clf", comment=text),
        project.registry(),
        project.registry("clf"),
        project.runs(),
        project.status(),
        project.verify(),
        project.verify(record.run_id),
        project.lineage(),
        project.lineage(record.run_id),
        project.lineage("iris_v0.1"),
        project.trace(record.run_id),
        project.trace("clf@v0.1.0"),
        project.trace("iris_v0.1"),
        project.trace(f"data/raw/iris/{name}"),
        project.restore("iris_v0.1", tmp_path / "restored"),
    ]
    return shown


def test_no_record_shows_a_control_or_grows_an_element(
    payload, project, root, raw, register, tmp_path, read_html, counted
):
    shown = build(project, root, raw, payload, register, tmp_path)
    kinds = {type(one).__name__ for one in shown}
    assert len(kinds) >= 11, kinds
    seen = ""
    for one in shown:
        text, html = repr(one), one._repr_html_()
        assert printable(text) == text
        assert "\r" not in text
        assert html.replace("\n", "").isprintable()
        read = read_html(html)
        assert not read.odd
        assert not {"script", "img", "iframe", "b", "a", "code", "h1"} & set(read.elements)
        assert not [name for name in read.attributes if name.startswith("on") or "src" in name]
        seen += read.text
    # It is shown, not dropped: every reader sees what was written.
    assert printable(payload).replace("\n", "\\n") in seen
    counted("records shown with a hostile text", len(shown))


@pytest.fixture
def plain_elements(tmp_path_factory, read_html):
    def collect(shown):
        found, attributes = set(), set()
        for one in shown:
            read = read_html(one._repr_html_())
            found |= set(read.elements)
            attributes |= set(read.attributes)
        return found, attributes

    return collect


def test_the_elements_are_those_of_a_harmless_text(
    payload, project, root, raw, register, tmp_path, plain_elements
):
    hostile = plain_elements(build(project, root, raw, payload, register, tmp_path))
    assert hostile[0] <= {
        "div", "strong", "span", "table", "tbody", "thead", "tr", "th", "td", "details", "summary",
        "svg", "g", "rect", "path", "text", "tspan", "title", "defs", "marker", "polygon", "line",
        "circle", "ellipse", "polyline", "desc",
    }  # fmt: skip
    assert not [name for name in hostile[1] if name.startswith("on") or name in ("href", "src")]


def test_the_drawings_are_well_formed_and_quote_every_text(
    payload, project, root, raw, register, tmp_path
):
    from xml.etree import ElementTree as ET

    build(project, root, raw, payload, register, tmp_path)
    lineage = Project(root).lineage()
    svg, dot = lineage.svg, lineage.dot
    ET.fromstring(svg)
    for text in (svg, dot.replace("\t", " ")):
        assert printable(text) == text
    assert "evil" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", dot, flags=re.DOTALL)


def test_errors_and_the_command_line_print_no_control(payload, full, project, root, raw, capsys):
    raw("a.csv")
    calls = (
        lambda: project.snapshot(payload.replace("\0", "")),
        lambda: project.snapshot("data/raw/a.csv", name=payload),
        lambda: project.snapshot("data/raw/a.csv", version=payload),
        lambda: project.verify(payload),
        lambda: project.trace(payload),
        lambda: project.promote(payload, "v0.1.0", "production"),
        lambda: project.promote("clf", payload, "production"),
        lambda: project.promote("clf", "v0.1.0", payload),
        lambda: project.promote("clf", "v0.1.0", "production", image=payload),
        lambda: project.rollback("clf", to=payload),
        lambda: project.comment("clf", payload, "x"),
        lambda: project.load_model(payload),
        lambda: project.data(payload),
        lambda: project.runs(payload),
    )
    raised = 0
    for call in calls:
        try:
            call()
        except NbversionError as exc:
            (line,) = exc._render_traceback_()
            assert printable(line) == line
            assert "\n" not in line
            raised += 1
    assert raised >= 12
    for words in (["verify", payload], ["trace", payload], ["promote", "clf", payload, "dev"]):
        assert main(words) in (1, 2)
        out = capsys.readouterr()
        assert printable(out.out + out.err) == out.out + out.err
        assert main([*words, "--json"]) in (1, 2)
        error = json.loads(capsys.readouterr().out)["error"]
        assert set(error) == {"kind", "message"}


def test_the_model_card_keeps_every_text_in_its_cell(payload):
    record = RunRecord(
        run_id="2026-01-01-x-001-9f2e",
        owner=payload,
        started_utc=payload,
        params={payload: payload, "n": [payload]},
        env={"python": payload, "requirements_lock": payload},
        outputs={"metrics": {payload: 1.0}},
        data=({"ref": payload, "digest": None},),
        code_commit=payload,
    )
    card = first_model_card("clf", "v0.1.0", record, {"type": payload})
    head, _, body = card.removeprefix("---\n").partition("\n---\n")
    plain = first_model_card(
        "clf", "v0.1.0", replace(record, params={"a": 1, "n": 2}), {"type": "x"}
    )
    assert len(card.splitlines()) >= card.count("\n")
    assert [line[:2] for line in body.split("\n")] == [
        line[:2] for line in plain.removeprefix("---\n").partition("\n---\n")[2].split("\n")
    ]
    assert all(line.partition(":")[0] in HEAD for line in head.split("\n"))
    for line in body.split("\n"):
        assert printable(line) == line
        assert "<" not in line.replace("\\<", "")


HEAD = ("model_name", "model_version", "run_id", "datasets")

ODD = st.sampled_from(
    (None, True, 0, -1, 1.5, 10**30, "", "x", "\x1b[2J", [], {}, [1], ["x"], {"a": 1}, [[]], [{}],
     {"ref": 1}, [{"path": 5}], {"x": {"y": [None]}}, float("nan"), "<b>", ["x", {}], {"": ""})
)  # fmt: skip
QUIET = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def change(record, where, value):
    """Set one place of a record, at any depth, to a value of any kind."""
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(record)
    node, key = places[where % len(places)]
    node[key] = copy.deepcopy(value)


CALLS = (
    lambda project, run_id: project.verify(),
    lambda project, run_id: project.runs(),
    lambda project, run_id: project.registry(),
    lambda project, run_id: project.registry("clf"),
    lambda project, run_id: project.lineage(),
    lambda project, run_id: project.lineage(run_id),
    lambda project, run_id: project.lineage("iris_v0.1"),
    lambda project, run_id: project.trace(run_id),
    lambda project, run_id: project.trace("clf@v0.1.0"),
    lambda project, run_id: project.trace("data/raw/iris/iris.csv"),
    lambda project, run_id: project.status(),
)


@pytest.mark.parametrize("kind", ["run record", "registry", "manifest", "model manifest"])
def test_a_value_of_any_kind_in_any_place_is_shown_or_refused(
    kind, full, root, readable, counted, read_html
):
    """Whatever a hand-edited text holds, every verb that reads it answers or names it."""
    path = {
        "run record": f"runs/{full}.yaml",
        "registry": "models/clf/registry.json",
        "manifest": "data/snapshots/iris_v0.2/manifest.json",
        "model manifest": "models/clf/v0.1.0/manifest.json",
    }[kind]
    target = root / path
    target.chmod(0o644)
    text = target.read_bytes()
    if kind == "run record":
        record = json.dumps(Project(root).catalog.runs.load(full).to_json())
    else:
        record = text.decode()

    @QUIET
    @given(
        st.lists(st.tuples(st.integers(0, 500), ODD), min_size=1, max_size=2), st.integers(0, 99)
    )
    def hostile(changes, which):
        fresh = json.loads(record)
        for where, value in changes:
            change(fresh, where, value)
        if which % 2:
            fresh.pop("record_digest", None)
            fresh.pop("schema_version", None)
        target.write_bytes((dump_yaml if kind == "run record" else dump_json)(fresh))
        project = Project(root)
        for call in (CALLS[which % len(CALLS)], CALLS[(which // 2 + 5) % len(CALLS)]):
            try:
                found = call(project, full)
                shown = repr(found)
                assert not read_html(found._repr_html_()).odd
                assert printable(shown) == shown
                json.dumps(found.to_json())
            except NbversionError as exc:
                readable(exc)
        counted(f"{kind}: odd values through every verb")

    hostile()
    target.write_bytes(text)
    assert Project(root).verify().holds
    assert isinstance(Project(root).catalog.registrar.load("clf"), Registry)
