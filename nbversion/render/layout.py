"""Coordinates for a layered left-to-right drawing of a lineage graph.

Longest-path layering, invisible stops for edges that cross a layer, barycentre sweeps against
crossings, and an exact least-squares placement within each layer that cannot overlap. Written
here because Graphviz' ``dot`` is a program that most machines with Jupyter do not have.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from nbversion.render.dag import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nbversion.render.card import Graph

_MARGIN = 6.0
_COLUMN_GAP = 48.0
_ROW_GAP = 14.0
_STOP_HEIGHT = 4.0
_SWEEPS = 12
# A bend in a long edge is seen sooner than a box that is off the middle of its neighbours.
_STOP_WEIGHT = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where one node stands, in user units with the origin at the top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One drawn edge.

    Parameters
    ----------
    source, target : int
        Node indices.
    spans : tuple of (float, float, float)
        ``(left, right, y)`` of what the edge meets from left to right: the right border of the
        first box (left equals right), each layer that it crosses on the level, and the left border
        of the last box.
    backward : bool
        Whether it closes a cycle: then the target is the left end.
    """

    source: int
    target: int
    spans: tuple[tuple[float, float, float], ...]
    backward: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A finished layout.

    Parameters
    ----------
    width, height : float
        Extent of the drawing, margins included, in user units.
    boxes : tuple of Box
        By node index. No two overlap; the boxes of one layer share their left border and width.
    links : tuple of Link
        Every edge; one that closes no cycle goes strictly from left to right.
    """

    width: float
    height: float
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]


def place(graph: Graph, sizes: Sequence[tuple[float, float]]) -> Placement:
    """Return where to draw `graph`, whose node number i needs ``sizes[i]`` (width, height)."""
    if not graph.nodes:
        return Placement(width=2 * _MARGIN, height=2 * _MARGIN, boxes=(), links=())
    reading = read(graph)
    # Everything up to the drawing sees a closing edge as its reverse, which closes no cycle.
    edges = [(source, target, False) for source, target in reading.forward]
    edges += [(target, source, True) for source, target in reading.backward]
    net = _Net(heights=[height for _, height in sizes], layer=_layers(reading.order, edges))
    routes = [net.route(edge) for edge in edges]
    middle = [0.0] * len(net.heights)
    bottom = _MARGIN - _ROW_GAP
    for part in net.parts(reading.order):
        _uncross(part, net)
        placed = _align(part, net)
        # Parts that no edge joins stand below one another; in one placement they drift apart.
        shift = bottom + _ROW_GAP - min(y - net.heights[at] / 2 for at, y in placed.items())
        for at, y in placed.items():
            middle[at] = round(y + shift, 1)
            bottom = max(bottom, middle[at] + net.heights[at] / 2)

    widths = [0.0] * (max(net.layer) + 1)
    for layer, (width, _) in zip(net.layer, sizes, strict=False):
        widths[layer] = max(widths[layer], width)
    lefts = [_MARGIN]
    for width in widths:
        lefts.append(lefts[-1] + width + _COLUMN_GAP)
    boxes = [
        Box(x=lefts[layer], y=round(y - height / 2, 1), width=widths[layer], height=height)
        for layer, y, (_, height) in zip(net.layer, middle, sizes, strict=False)
    ]
    links = []
    for (low, high, backward), route in zip(edges, routes, strict=True):
        stops = [(lefts[net.layer[at]], widths[net.layer[at]], middle[at]) for at in route]
        (first, first_width, first_y), *between, (last, _, last_y) = stops
        spans = [(first + first_width, first + first_width, first_y)]
        spans += [(left, left + width, y) for left, width, y in between]
        spans += [(last, last, last_y)]
        source, target = (high, low) if backward else (low, high)
        links.append(Link(source=source, target=target, spans=tuple(spans), backward=backward))
    return Placement(
        width=round(lefts[-1] - _COLUMN_GAP + _MARGIN, 1),
        height=round(bottom + _MARGIN, 1),
        boxes=tuple(boxes),
        links=tuple(links),
    )


@dataclass(slots=True, kw_only=True)
class _Net:
    """The nodes, then the stops of long edges, all by one index."""

    heights: list[float]
    layer: list[int]
    left: list[list[int]] = field(init=False)
    right: list[list[int]] = field(init=False)
    stops: dict[tuple[bool, int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = [[] for _ in self.heights]
        self.right = [[] for _ in self.heights]

    def route(self, edge: tuple[int, int, bool]) -> list[int]:
        """Return what `edge` passes; edges of one source share their stops as far as they can."""
        source, target, backward = edge
        path = [source]
        for layer in range(self.layer[source] + 1, self.layer[target]):
            key = (backward, source, layer)
            if key not in self.stops:
                self.stops[key] = len(self.heights)
                self.heights.append(_STOP_HEIGHT)
                self.layer.append(layer)
                self.left.append([])
                self.right.append([])
            path.append(self.stops[key])
        path.append(target)
        for near, far in pairwise(path):
            if far not in self.right[near]:
                self.right[near].append(far)
                self.left[far].append(near)
        return path

    def parts(self, order: Sequence[int]) -> Iterator[list[list[int]]]:
        """Yield, for each connected part, its indices by layer."""
        rank = {at: number for number, at in enumerate(order)}
        seen: set[int] = set()
        for root in order:
            if root in seen:
                continue
            seen.add(root)
            part, waiting = [], [root]
            while waiting:
                at = waiting.pop()
                part.append(at)
                fresh = [n for n in (*self.left[at], *self.right[at]) if n not in seen]
                seen.update(fresh)
                waiting += fresh
            columns: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
            for at in sorted(part, key=lambda at: (rank.get(at, len(order)), at)):
                columns[self.layer[at]].append(at)
            yield columns


def _layers(order: Sequence[int], edges: list[tuple[int, int, bool]]) -> list[int]:
    after: list[list[int]] = [[] for _ in order]
    before: list[list[int]] = [[] for _ in order]
    for source, target, _ in edges:
        after[source].append(target)
        before[target].append(source)
    layer = [0] * len(order)
    for at in order:
        layer[at] = max((layer[near] + 1 for near in before[at]), default=0)
    # An input that only a late step reads stands beside that step, not at the far left.
    for at in order:
        if after[at] and not before[at]:
            layer[at] = min(layer[near] for near in after[at]) - 1
    return layer


def _uncross(columns: list[list[int]], net: _Net) -> None:
    best = [list(column) for column in columns]
    fewest = _crossings(columns, net)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        rightward = sweep % 2 == 0
        near = net.left if rightward else net.right
        for column in columns if rightward else reversed(columns):
            place_of = {at: spot for other in columns for spot, at in enumerate(other)}
            wanted = {at: _mean((place_of[n] for n in near[at]), place_of[at]) for at in column}
            column.sort(key=wanted.__getitem__)
        found = _crossings(columns, net)
        if found < fewest:
            fewest, best = found, [list(column) for column in columns]
    columns[:] = best


def _crossings(columns: list[list[int]], net: _Net) -> int:
    total = 0
    for column, following in pairwise(columns):
        spot = {at: number for number, at in enumerate(following)}
        ends: list[int] = []
        for at in column:
            targets = sorted(spot[far] for far in net.right[at])
            total += sum(len(ends) - bisect_right(ends, target) for target in targets)
            for target in targets:
                insort(ends, target)
    return total


def _align(columns: list[list[int]], net: _Net) -> dict[int, float]:
    middle = {at: 0.0 for column in columns for at in column}
    both = {at: [*net.left[at], *net.right[at]] for at in middle}
    nodes = len(net.heights) - len(net.stops)
    for sweep in range(_SWEEPS + 2):
        near = both if sweep >= _SWEEPS else (net.left, net.right)[sweep % 2]
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = [_mean((middle[n] for n in near[at]), middle[at]) for at in column]
            weights = [_STOP_WEIGHT if at >= nodes else 1.0 for at in column]
            heights = [net.heights[at] for at in column]
            middle.update(zip(column, _separated(wanted, weights, heights), strict=True))
    return middle


def _separated(wanted: list[float], weights: list[float], heights: list[float]) -> list[float]:
    # Isotonic regression: subtract the smallest allowed offsets, pool neighbours that are out of
    # order into their weighted mean, add the offsets again. Least squares, and never an overlap.
    offsets = [0.0]
    for upper, lower in pairwise(heights):
        offsets.append(offsets[-1] + (upper + lower) / 2 + _ROW_GAP)
    pools: list[tuple[float, float, int]] = []
    for goal, weight, offset in zip(wanted, weights, offsets, strict=False):
        mean, mass, count = goal - offset, weight, 1
        while pools and pools[-1][0] > mean:
            upper_mean, upper_mass, upper_count = pools.pop()
            mean = (mean * mass + upper_mean * upper_mass) / (mass + upper_mass)
            mass, count = mass + upper_mass, count + upper_count
        pools.append((mean, mass, count))
    flat = [mean for mean, _, count in pools for _ in range(count)]
    return [y + offset for y, offset in zip(flat, offsets, strict=False)]


def _mean(values: Iterable[float], default: float) -> float:
    found = list(values)
    return sum(found) / len(found) if found else default
