from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from nbversion.render.card import Graph, Node
from nbversion.render.layout import Box
from nbversion.render.plain import line
from nbversion.render.shapes import outline
from nbversion.render.svg import PALETTE, graph_svg

NS = "{http://www.w3.org/2000/svg}"


def parse(graph):
    return ET.fromstring(graph_svg(graph))


def test_data_stays_text(hostile, graph_of):
    root = parse(graph_of(hostile))
    born = [(element.tag, sorted(element.attrib)) for element in root.iter()]
    assert born == [(e.tag, sorted(e.attrib)) for e in parse(graph_of("x")).iter()]
    titles = [element.text for element in root.iter(f"{NS}title")]
    assert titles[0] == f"data {line(hostile)}\n{line(hostile)}\n{line(hostile)}"
    assert line(hostile) in root.get("aria-label")


def test_nothing_in_a_page_can_collide(lineage):
    names = {name for element in parse(lineage).iter() for name in element.attrib}
    assert not names & {"id", "class", "href", f"{NS}href"}
    assert "url(" not in graph_svg(lineage)


def test_it_is_an_image_with_a_name(lineage):
    root = parse(lineage)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Lineage graph of model the model: 7 nodes, 6 edges"


def test_every_node_and_edge_is_drawn(lineage):
    root = parse(lineage)
    titles = [element.text.split("\n")[0] for element in root.iter(f"{NS}title")]
    assert titles == [f"{node.kind} {node.label}" for node in lineage.nodes]
    arrows = [e for e in root if e.tag == f"{NS}path" and e.get("d").endswith("Z")]
    lines = [e for e in root if e.tag == f"{NS}path" and e.get("fill") == "none"]
    assert len(arrows) == len(lines) == 6


def test_only_the_focus_has_a_thick_border(lineage):
    pens = {
        group.find(f"{NS}title").text.split("\n")[0]: group.find(f"{NS}path").get("stroke-width")
        for group in parse(lineage).iter(f"{NS}g")
    }
    assert [name for name, pen in pens.items() if float(pen) > 2] == ["model the model"]


def test_a_long_label_is_cut_in_the_box_and_whole_in_the_tooltip():
    label = "a_very_long_name_" * 5 + "v0.1"
    root = parse(Graph(nodes=(Node(id="a", kind="file", label=label),), edges=()))
    shown = [element.text for element in root.iter(f"{NS}text")]
    assert any("…" in text and text.endswith("v0.1") and len(text) <= 28 for text in shown)
    assert root.find(f"{NS}g/{NS}title").text == f"file {label}"


def test_escaped_characters_count_towards_the_cut():
    node = Node(id="a", kind="file", label="\x1b" * 28, detail=("\x1b" * 34,))
    _, label, detail = (e.text for e in parse(Graph(nodes=(node,), edges=())).iter(f"{NS}text"))
    assert len(label) <= 28
    assert len(detail) <= 34


def test_wide_characters_get_a_wider_box():
    def width(label):
        root = parse(Graph(nodes=(Node(id="a", kind="file", label=label),), edges=()))
        return float(root.get("width"))

    assert width("学習済みモデル第三版") > 1.4 * width("abcdefghij")


@pytest.mark.parametrize("kind", PALETTE)
def test_text_is_legible_on_its_own_fill(kind, contrast):
    fill, _, ink = PALETTE[kind]
    assert contrast(fill, ink) >= 7


@pytest.mark.parametrize("kind", PALETTE)
def test_a_shape_fills_its_box_and_no_more(kind):
    shape, _ = outline(kind, Box(x=100, y=200, width=90, height=50))
    tokens = iter(re.findall(r"[A-Z]|-?[\d.]+", shape))
    xs, ys = set(), set()
    for token in tokens:
        if token in "ML":
            xs.add(float(next(tokens)))
            ys.add(float(next(tokens)))
        elif token == "H":
            xs.add(float(next(tokens)))
        elif token == "V":
            ys.add(float(next(tokens)))
        elif token == "A":
            values = [float(next(tokens)) for _ in range(7)]
            xs.add(values[5])
            ys.add(values[6])
    assert (min(xs), max(xs)) == (100, 190)
    assert 200 <= min(ys) <= 204
    assert 246 <= max(ys) <= 250


def test_equal_graphs_give_equal_drawings(lineage):
    copy = Graph(nodes=tuple(lineage.nodes), edges=tuple(lineage.edges), focus="m")
    assert graph_svg(lineage) == graph_svg(copy)


def test_damaged_graphs_are_drawn_whole(broken_graph):
    root = parse(broken_graph)
    titles = [element.text for element in root.iter(f"{NS}title")]
    assert titles == ["data alpha", "run beta", "model gamma", "model gamma again", "file alone"]
    assert sum("stroke-dasharray" in element.attrib for element in root.iter()) == 1


def test_an_unknown_kind_is_drawn():
    graph = Graph(nodes=(Node(id="a", kind="<new>", label="x"),), edges=())
    assert parse(graph).find(f"{NS}g/{NS}title").text == "<new> x"


def test_an_empty_graph_is_well_formed():
    assert parse(Graph(nodes=(), edges=())).get("aria-label") == "Lineage graph: 0 nodes, 0 edges"
