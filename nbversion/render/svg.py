"""A lineage graph as an SVG drawing that stands in a notebook output.

The drawing carries its own fills and text colours, so that it reads on a light and on a dark page,
and no ``id``: two drawings in one page cannot reach into one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nbversion.render.dag import focus_of
from nbversion.render.layout import place
from nbversion.render.plain import cells, line, markup, shorten
from nbversion.render.shapes import number, outline, path

if TYPE_CHECKING:
    from nbversion.render.card import Graph, Node
    from nbversion.render.layout import Box, Link

_SMALLEST = 0.7
_LABEL_CELLS = 28
_DETAIL_CELLS = 34
_PADDING = 15.0
_MIN_WIDTH = 84.0
# Baselines below the top of a box.
_KIND_LINE, _LABEL_LINE, _DETAIL_LINE, _BOTTOM = 15.0, 30.0, 14.0, 10.0
_LABEL_SIZE, _DETAIL_SIZE, _KIND_SIZE = 12.5, 10.5, 8.5
_ARROW_LENGTH, _ARROW_HALF = 8.0, 3.6
_EDGE: Final = "#8b93a1"
_FONT: Final = (
    "font-family:var(--jp-ui-font-family, system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, "
    "sans-serif)"
)
# Fill, border and text by kind; the text has a contrast of at least 7 to its own fill.
PALETTE: Final = {
    "data": ("#dbeafe", "#3b82f6", "#172554"),
    "code": ("#ede9fe", "#8b5cf6", "#2e1065"),
    "params": ("#fef3c7", "#d97706", "#451a03"),
    "environment": ("#ccfbf1", "#0d9488", "#042f2e"),
    "run": ("#e5e7eb", "#6b7280", "#111827"),
    "model": ("#ffedd5", "#ea580c", "#431407"),
    "stage": ("#dcfce7", "#16a34a", "#052e16"),
    "file": ("#f8fafc", "#64748b", "#0f172a"),
}


def graph_svg(graph: Graph) -> str:
    """Return `graph` as one ``<svg>`` element, laid out from left to right.

    Returns
    -------
    str
        Well-formed XML; equal text for equal graphs. Every node is drawn, no two overlap, and the
        size in the element's attributes is in CSS pixels. Long labels are cut in the middle and
        whole in the tooltip. An edge that closes a cycle is dashed.
    """
    plan = place(graph, [_size(node) for node in graph.nodes])
    focus = focus_of(graph)
    edges = [_edge(link) for link in plan.links]
    nodes = [
        _node(node, box, focused=at == focus)
        for at, (node, box) in enumerate(zip(graph.nodes, plan.boxes, strict=True))
    ]
    width, height = number(plan.width), number(plan.height)
    # Shrinks to the page, but not below what can still be read; then it scrolls.
    least = number(plan.width * _SMALLEST)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{markup(_summary(graph, focus))}" '
        f'style="{_FONT};display:block;max-width:100%;min-width:{least}px;height:auto">'
        f"{''.join(edges)}{''.join(nodes)}</svg>"
    )


def _summary(graph: Graph, focus: int | None) -> str:
    nodes, edges = len(graph.nodes), len(graph.edges)
    about = "" if focus is None else f" of {graph.nodes[focus].kind} {graph.nodes[focus].label}"
    return (
        f"Lineage graph{about}: {nodes} node{'s' * (nodes != 1)}, {edges} edge{'s' * (edges != 1)}"
    )


def _size(node: Node) -> tuple[float, float]:
    label, details = _lines(node)
    texts = [
        _text_width(label, _LABEL_SIZE * 1.06),
        _text_width(line(node.kind.upper()), _KIND_SIZE * 1.1),
        *(_text_width(text, _DETAIL_SIZE) for text in details),
    ]
    width = max(_MIN_WIDTH, round(max(texts) + 2 * _PADDING))
    return width, _LABEL_LINE + _DETAIL_LINE * len(details) + _BOTTOM


def _lines(node: Node) -> tuple[str, list[str]]:
    label = shorten(line(node.label), _LABEL_CELLS)
    return label, [shorten(line(text), _DETAIL_CELLS) for text in node.detail]


def _text_width(text: str, size: float) -> float:
    # There is no font to measure with; these are upper bounds for the usual interface fonts.
    total = 0.0
    for char in text:
        if cells(char) == 2:
            total += 1.05
        elif char in "il.,:;|!'jI ":
            total += 0.34
        elif char in "mwMW@%…—":
            total += 0.98
        else:
            total += (0.74 if char.isupper() else 0.6) * cells(char)
    return total * size


def _edge(link: Link) -> str:
    (_, x, y), *rest = link.spans
    tip_x, tip_y = (x, y) if link.backward else (rest[-1][0], rest[-1][2])
    foot = tip_x + (_ARROW_LENGTH if link.backward else -_ARROW_LENGTH)
    # The line stops at the foot of the arrowhead: it is wider than the point.
    if link.backward:
        x = foot
    else:
        rest[-1] = (foot, foot, tip_y)
    parts: list[str | float] = ["M", x, y]
    for left, right, next_y in rest:
        bend = (x + left) / 2
        parts += ["C", bend, y, bend, next_y, left, next_y]
        if right != left:
            parts += ["H", right]
        x, y = right, next_y
    head = path("M", tip_x, tip_y, "L", foot, tip_y - _ARROW_HALF, "V", tip_y + _ARROW_HALF, "Z")
    dash = ' stroke-dasharray="5 4"' if link.backward else ""
    return (
        f'<path d="{path(*parts)}" fill="none" stroke="{_EDGE}" stroke-width="1.5"{dash}/>'
        f'<path d="{head}" fill="{_EDGE}"/>'
    )


def _node(node: Node, box: Box, *, focused: bool) -> str:
    fill, border, ink = PALETTE.get(node.kind, PALETTE["file"])
    label, details = _lines(node)
    title = "\n".join(markup(text) for text in (f"{node.kind} {node.label}", *node.detail))
    middle = number(box.x + box.width / 2)
    shape, extra = outline(node.kind, box)
    pen = f'stroke="{border}" stroke-width="{"3" if focused else "1.2"}" stroke-linejoin="round"'

    def text(content: str, below: float, size: float, more: str = "") -> str:
        return (
            f'<text x="{middle}" y="{number(box.y + below)}" text-anchor="middle" '
            f'font-size="{size}" fill="{ink}"{more}>{markup(content)}</text>'
        )

    spaced = ' letter-spacing=".6" opacity=".8"'
    lines = [
        text(node.kind.upper(), _KIND_LINE, _KIND_SIZE, spaced),
        text(label, _LABEL_LINE, _LABEL_SIZE, ' font-weight="600"'),
        *(
            text(content, _LABEL_LINE + _DETAIL_LINE * row, _DETAIL_SIZE)
            for row, content in enumerate(details, 1)
        ),
    ]
    fold = f'<path d="{extra}" fill="none" {pen}/>' if extra else ""
    return (
        f'<g><title>{title}</title><path d="{shape}" fill="{fill}" {pen}/>{fold}'
        f"{''.join(lines)}</g>"
    )
