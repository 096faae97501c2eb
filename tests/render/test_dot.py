from __future__ import annotations

import html
import re

from nbversion.render.card import Graph, Node
from nbversion.render.dot import graph_dot
from nbversion.render.plain import line

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|->|[\[\]{}=;]|[\w.]+|\s+', re.DOTALL)


def tokens(source):
    """Split DOT source as its scanner does; whatever does not fit fails."""
    at, found = 0, []
    while at < len(source):
        match = TOKEN.match(source, at)
        assert match, f"not DOT: {source[at : at + 40]!r}"
        found.append(match.group())
        at = match.end()
    return [token for token in found if not token.isspace()]


def labels(source):
    """Return the label of each node as Graphviz would draw it, one list of lines per node."""
    found = tokens(source)
    raw = [found[at + 2] for at, token in enumerate(found) if token == "label"]
    drawn = []
    for quoted in raw:
        inner = quoted[1:-1].replace('\\"', '"') if quoted.startswith('"') else quoted
        lines, text = [], ""
        for part in re.findall(r"\\.|[^\\]", inner):
            if part == "\\n":
                lines, text = [*lines, text], ""
            else:
                assert part[0] != "\\" or part == "\\\\", f"escape sequence {part!r} in a label"
                text += part[-1]
        drawn.append([html.unescape(text) for text in (*lines, text)])
    return drawn


def test_hostile_labels_are_drawn_as_they_are(hostile, graph_of):
    source = graph_dot(graph_of(hostile))
    text = line(hostile)
    assert labels(source) == [["data", text, text, text], [text, text]]


def test_no_statement_is_born_from_data(hostile, graph_of):
    def shape(source):
        return ["label" if token.startswith('"') else token for token in tokens(source)]

    assert shape(graph_dot(graph_of(hostile))) == shape(graph_dot(graph_of("a b")))


def test_ids_never_become_syntax():
    nodes = tuple(Node(id=i, kind="data", label="x") for i in ("a:b:n", "graph", "->", ""))
    source = graph_dot(Graph(nodes=nodes, edges=(("a:b:n", "graph"), ("->", ""))))
    assert re.findall(r"(\w+) -> (\w+)", source) == [("n0", "n1"), ("n2", "n3")]


def test_the_focus_is_drawn_thick(lineage):
    thick = [row for row in graph_dot(lineage).split("\n") if "penwidth=3" in row]
    assert len(thick) == 1
    assert "the model" in thick[0]


def test_damaged_graphs_are_written_whole(broken_graph):
    source = graph_dot(broken_graph)
    assert [text[1] for text in labels(source)] == [node.label for node in broken_graph.nodes]
    assert source.count("->") == 3
    assert source.count("dashed") == 1


def test_equal_graphs_give_equal_source(lineage):
    assert graph_dot(lineage) == graph_dot(lineage)
