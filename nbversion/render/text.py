"""A card as terminal text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbversion.render.dag import focus_of, read
from nbversion.render.plain import cells, is_numeric, line, pad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbversion.render.card import Card, Graph, Table

_INDENT = "  "
_WIDTH = 100
# One very long name must not push the arrows of all the others off the screen.
_LABEL_CAP = 40


def card_text(card: Card) -> str:
    """Return `card` as readable text for a terminal.

    Returns
    -------
    str
        Lines without trailing blanks and without a final line break. The only control character
        in it is the line break between two lines: those inside a value are shown escaped. Columns
        line up by terminal cells, so also with wide characters.
    """
    blocks = [_head(card)]
    blocks += [list(_table(table)) for table in card.tables]
    if card.notes:
        blocks.append([f"! {line(note)}" for note in card.notes])
    if card.graph is not None and card.graph.nodes:
        blocks.append(["Lineage", *_graph(card.graph)])
    return "\n".join("\n".join(text.rstrip() for text in block) for block in _spaced(blocks))


def _spaced(blocks: list[list[str]]) -> Iterator[list[str]]:
    for number, block in enumerate(blocks):
        yield ["", *block] if number else block


def _head(card: Card) -> list[str]:
    title = line(card.title) + (f"  [{line(card.badge)}]" if card.badge else "")
    names = [line(name) for name, _ in card.fields]
    size = max(map(cells, names), default=0)
    values = (line(value) for _, value in card.fields)
    pairs = zip(names, values, strict=True)
    return [title, *(f"{_INDENT}{pad(name, size)}  {value}" for name, value in pairs)]


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield line(table.title)
    grid = [[line(cell) for cell in table.filled(row)] for row in (table.columns, *table.rows)]
    columns = list(zip(*grid, strict=True))
    sizes = [max(map(cells, column)) for column in columns]
    rights = [is_numeric(column[1:]) for column in columns]
    rule = ["-" * size for size in sizes]
    for row in (grid[0], rule, *grid[1:]):
        fitted = (
            pad(cell, size, right=right)
            for cell, size, right in zip(row, sizes, rights, strict=True)
        )
        yield _INDENT + "  ".join(fitted)
    if not table.rows:
        yield f"{_INDENT}(none)"


def _graph(graph: Graph) -> Iterator[str]:
    # One line per node, what it came from behind it: a tree would repeat a shared input, and a
    # drawing with lines is unreadable from about ten nodes on.
    reading = read(graph)
    focus = focus_of(graph)
    kinds = [line(node.kind) for node in graph.nodes]
    labels = [line(node.label) for node in graph.nodes]
    kind_size = max(map(cells, kinds))
    label_size = min(max(map(cells, labels)), _LABEL_CAP)
    for at in reading.order:
        mark = "* " if at == focus else "  "
        start = f"{mark}{pad(kinds[at], kind_size)}  {pad(labels[at], label_size)}"
        inputs = [f"{kinds[near]} {labels[near]}" for near in reading.parents(at)]
        yield from _wrapped(start, inputs)
        if graph.nodes[at].detail:
            yield " " * (kind_size + 4) + " · ".join(map(line, graph.nodes[at].detail))


def _wrapped(start: str, inputs: list[str]) -> Iterator[str]:
    if not inputs:
        yield start
        return
    lead = f"{start}  <-  "
    current = lead + inputs[0]
    for name in inputs[1:]:
        if cells(current) + cells(name) + 2 > _WIDTH:
            yield f"{current},"
            current = " " * cells(lead) + name
        else:
            current = f"{current}, {name}"
    yield current
