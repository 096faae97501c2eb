"""The plain data that every visible object reduces itself to.

Nothing here renders, checks or escapes: a value is kept as it came, and each renderer makes it
harmless for its own output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NodeKind = Literal["data", "code", "params", "environment", "run", "model", "stage", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled grid of plain text.

    Parameters
    ----------
    title : str
        Heading; empty for none.
    columns : tuple of str
        Column headings, left to right.
    rows : tuple of tuple of str
        Cells. A renderer fills a short row, and the headings under a long one, with empty cells.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def span(self) -> int:
        """Number of columns of the widest line, headings included."""
        return max(len(self.columns), *(len(row) for row in self.rows), 0)

    def filled(self, line: tuple[str, ...]) -> tuple[str, ...]:
        """Return `line` with empty cells up to `span`."""
        return line + ("",) * (self.span - len(line))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One thing in a lineage graph.

    Parameters
    ----------
    id : str
        What edges refer to; never shown. Of two nodes with one id, edges mean the first.
    kind : NodeKind
        Decides shape and colour; shown as a word too.
    label : str
        The name that a reader knows it by, of any length.
    detail : tuple of str
        Short extra lines under the label.
    """

    id: str
    kind: NodeKind
    label: str
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What came before what, for some sixty nodes or fewer.

    Parameters
    ----------
    nodes : tuple of Node
        All of them are shown, also those without an edge.
    edges : tuple of (str, str)
        ``(source_id, target_id)``: the source came before the target. An edge to an unknown id or
        from a node to itself is left out; of a cycle, one edge is drawn backward and dashed.
    focus : str or None
        Id of the node that the graph is about.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    focus: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One object as a reader sees it.

    Parameters
    ----------
    title : str
        Name and version.
    badge : str
        A stage or status word such as ``production`` or ``failed``; empty for none.
    fields : tuple of (str, str)
        Names and values, in the order in which they are read.
    tables : tuple of Table
        Grids under the fields.
    notes : tuple of str
        Whole sentences that a reader must not miss, such as warnings.
    graph : Graph or None
        The lineage; None for none.
    """

    title: str
    badge: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    graph: Graph | None = None
