"""The order in which a lineage graph is read, whatever its edges say.

Records come from disk and may disagree with one another: ids may be unknown, doubled or in a
circle. Everything behind this module works on indices into ``graph.nodes`` and sees a DAG.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbversion.render.card import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A graph by index, with an order that its edges follow.

    Parameters
    ----------
    order : tuple of int
        Every node index once; what a node came from stands before it, as near as possible.
    forward : tuple of (int, int)
        Edges ``(source, target)``, each once, whose source stands before the target in `order`.
        They form a DAG.
    backward : tuple of (int, int)
        The edges that close a cycle, ``(source, target)`` with the source behind the target.
    """

    order: tuple[int, ...]
    forward: tuple[tuple[int, int], ...]
    backward: tuple[tuple[int, int], ...]

    def parents(self, node: int) -> list[int]:
        """Return what `node` came from, in edge order, also over an edge that closes a cycle."""
        return [source for source, target in (*self.forward, *self.backward) if target == node]


def read(graph: Graph) -> Reading:
    """Return the reading order of `graph`.

    It depends only on the order of the nodes and edges given. Edges to an unknown id, from a node
    to itself and second copies are left out.
    """
    edges = _edges(graph)
    before: list[list[int]] = [[] for _ in graph.nodes]
    for source, target in edges:
        before[target].append(source)
    order = _depth_first(before)
    rank = {node: place for place, node in enumerate(order)}
    return Reading(
        order=tuple(order),
        forward=tuple(edge for edge in edges if rank[edge[0]] < rank[edge[1]]),
        backward=tuple(edge for edge in edges if rank[edge[0]] > rank[edge[1]]),
    )


def focus_of(graph: Graph) -> int | None:
    """Return the index of the node that `graph` is about, None if there is no such node."""
    return next((at for at, node in enumerate(graph.nodes) if node.id == graph.focus), None)


def _edges(graph: Graph) -> list[tuple[int, int]]:
    index: dict[str, int] = {}
    for at, node in enumerate(graph.nodes):
        index.setdefault(node.id, at)
    found = (
        (index[source], index[target])
        for source, target in graph.edges
        if source in index and target in index
    )
    return list(dict.fromkeys(edge for edge in found if edge[0] != edge[1]))


def _depth_first(before: list[list[int]]) -> list[int]:
    # Finishing order over the predecessors: an edge is out of order exactly if it closes a cycle.
    # A stack of our own, because a long chain would meet the recursion limit.
    order: list[int] = []
    seen: set[int] = set()
    for root in range(len(before)):
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(before[root]))]
        while stack:
            node, rest = stack[-1]
            following = next((near for near in rest if near not in seen), None)
            if following is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(before[following])))
    return order
