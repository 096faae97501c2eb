"""Hostile strings, and the smallest ways to put one into every place of a card."""

from __future__ import annotations

import pytest

from nbversion.render.card import Card, Graph, Node, Table

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "single-quote": "' onload='alert(1)",
    "close-svg": "</svg></text></title><script>x()</script>",
    "close-html": "</td></table></div><iframe srcdoc=x>",
    "comment": "<!-- --><![CDATA[ x ]]><?php ?>",
    "entity": "&lt;b&gt; &amp; &#60;b&#62; &nbsp",
    "escape-sequence": "\x1b[2J\x1b]0;owned\x07",
    "c1-control": "a\x9b31mb",
    "rtl-override": "model\u202egnp.exe",
    "newline": "first\nsecond\r\nthird\u2028fourth",
    "null": "a\x00b",
    "surrogate": "a\ud800b",
    "noncharacter": "a\uffffb",
    "dot-html": "<<b>bold</b>>",
    "dot-quote": '"]; evil [label="x',
    "dot-backslash-quote": '\\"]; evil [label=\\"x\\',
    "dot-escapes": "\\N \\G \\l {a|b}",
}


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def hostile(request):
    return request.param


@pytest.fixture
def graph_of():
    """Return a builder of a graph all of whose strings are the one given."""

    def build(text):
        nodes = (
            Node(id=text, kind="data", label=text, detail=(text, text)),
            Node(id="m", kind=text, label=text),
        )
        return Graph(nodes=nodes, edges=((text, "m"),), focus=text)

    return build


@pytest.fixture
def card_of(graph_of):
    """Return a builder of a card all of whose strings are the one given."""

    def build(text):
        return Card(
            title=text,
            badge=text,
            fields=((text, text), ("plain", text)),
            tables=(Table(title=text, columns=(text, "b"), rows=((text, text), ("c",))),),
            notes=(text,),
            graph=graph_of(text),
        )

    return build


@pytest.fixture
def lineage():
    """Return the everyday lineage: four inputs, a run, a model, a stage."""
    kinds = ("data", "code", "params", "environment", "run", "model", "stage")
    nodes = tuple(Node(id=kind[0], kind=kind, label=f"the {kind}", detail=("x",)) for kind in kinds)
    edges = (("d", "r"), ("c", "r"), ("p", "r"), ("e", "r"), ("r", "m"), ("m", "s"))
    return Graph(nodes=nodes, edges=edges, focus="m")


@pytest.fixture
def broken_graph():
    """Return a graph as damaged records make it: a cycle, a loop, unknown and doubled ids."""
    nodes = (
        Node(id="a", kind="data", label="alpha"),
        Node(id="b", kind="run", label="beta"),
        Node(id="c", kind="model", label="gamma"),
        Node(id="c", kind="model", label="gamma again"),
        Node(id="z", kind="file", label="alone"),
    )
    edges = (("a", "b"), ("b", "c"), ("c", "a"), ("b", "b"), ("a", "gone"), ("gone", "a"))
    return Graph(nodes=nodes, edges=(*edges, ("a", "b")), focus="gone")


@pytest.fixture
def contrast():
    """Return the WCAG contrast ratio of two ``#rrggbb`` colours."""

    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def ratio(one, other):
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    return ratio
