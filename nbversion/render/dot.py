"""A lineage graph as Graphviz source, for people who draw it with their own tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nbversion.render.dag import focus_of, read
from nbversion.render.plain import line

if TYPE_CHECKING:
    from nbversion.render.card import Graph, Node

# Never "record": its labels have a syntax of their own, with braces and bars.
_SHAPES: Final = {
    "data": "cylinder",
    "code": "note",
    "params": "octagon",
    "environment": "hexagon",
    "run": "oval",
    "model": "box",
    "stage": "cds",
    "file": "note",
}


def graph_dot(graph: Graph) -> str:
    """Return `graph` as the source text of a DOT digraph, drawn left to right.

    Returns
    -------
    str
        Equal text for equal graphs. Nodes are called ``n0``, ``n1``… in the order given, so that
        no id of the user's becomes DOT syntax; a label is always text, never an HTML-like label.
        An edge that closes a cycle is dashed.
    """
    # Importing graphviz costs 40-60 ms, and few sessions export DOT.
    import graphviz  # noqa: PLC0415

    def literal(node: Node) -> str:
        # Graphviz decodes entities such as &lt; in a label, hence the ampersand. The line break
        # between parts is the two-character DOT escape, added after the parts were escaped.
        parts = (node.kind, node.label, *node.detail)
        lines = [graphviz.escape(line(part).replace("&", "&amp;")) for part in parts]
        return "\\n".join(lines)

    reading = read(graph)
    focus = focus_of(graph)
    drawing = graphviz.Digraph(
        "lineage", graph_attr={"rankdir": "LR"}, node_attr={"fontname": "Helvetica"}
    )
    for at, node in enumerate(graph.nodes):
        drawing.node(
            f"n{at}",
            label=graphviz.nohtml(literal(node)),
            shape=_SHAPES.get(node.kind, "box"),
            penwidth="3" if at == focus else "1",
        )
    for source, target in reading.forward:
        drawing.edge(f"n{source}", f"n{target}")
    for source, target in reading.backward:
        # A constraint in this direction would turn the whole cycle's layout around.
        drawing.edge(f"n{source}", f"n{target}", style="dashed", constraint="false")
    return str(drawing.source)
