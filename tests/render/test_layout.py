from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from nbversion.render.card import Graph, Node
from nbversion.render.dag import read
from nbversion.render.layout import place


def graph_of(count, edges):
    nodes = tuple(Node(id=str(at), kind="run", label=str(at)) for at in range(count))
    return Graph(nodes=nodes, edges=tuple((str(a), str(b)) for a, b in edges))


@st.composite
def graphs(draw, *, acyclic):
    count = draw(st.integers(1, 18))
    index = st.integers(0, count - 1)
    edges = draw(st.lists(st.tuples(index, index), max_size=45))
    if acyclic:
        rank = draw(st.permutations(range(count)))
        edges = [(a, b) if rank[a] < rank[b] else (b, a) for a, b in edges if a != b]
    size = st.tuples(st.floats(40, 220), st.floats(30, 90))
    return graph_of(count, edges), draw(st.lists(size, min_size=count, max_size=count))


def overlap(one, other):
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


@settings(max_examples=150, deadline=None)
@given(graphs(acyclic=False))
def test_no_two_boxes_overlap_and_all_are_inside(case):
    graph, sizes = case
    plan = place(graph, sizes)
    assert len(plan.boxes) == len(graph.nodes)
    assert not any(overlap(one, other) for one, other in combinations(plan.boxes, 2))
    for box, (width, height) in zip(plan.boxes, sizes, strict=True):
        assert box.width >= width
        assert box.height == height
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= plan.width
        assert box.y + box.height <= plan.height


@settings(max_examples=150, deadline=None)
@given(graphs(acyclic=True))
def test_every_edge_goes_from_left_to_right(case):
    graph, sizes = case
    plan = place(graph, sizes)
    wanted = {(int(a), int(b)) for a, b in graph.edges}
    assert {(link.source, link.target) for link in plan.links} == wanted
    for link in plan.links:
        source, target = plan.boxes[link.source], plan.boxes[link.target]
        assert not link.backward
        assert source.x + source.width < target.x
        assert link.spans[0][0] == source.x + source.width
        assert link.spans[-1][1] == target.x
        ends = [end for left, right, _ in link.spans for end in (left, right)]
        assert ends == sorted(ends)


@settings(max_examples=150, deadline=None)
@given(graphs(acyclic=False))
def test_no_edge_runs_through_a_box(case):
    graph, sizes = case
    plan = place(graph, sizes)
    for link in plan.links:
        for left, right, y in link.spans[1:-1]:
            for box in plan.boxes:
                beside = right <= box.x or left >= box.x + box.width
                assert beside or y < box.y or y > box.y + box.height


@settings(max_examples=150, deadline=None)
@given(graphs(acyclic=False))
def test_the_reading_order_has_every_node_once_and_follows_its_edges(case):
    graph, _ = case
    reading = read(graph)
    rank = {node: at for at, node in enumerate(reading.order)}
    assert sorted(rank) == list(range(len(graph.nodes)))
    assert all(rank[a] < rank[b] for a, b in reading.forward)
    found = {*reading.forward, *reading.backward}
    assert found == {(int(a), int(b)) for a, b in graph.edges if a != b}


def test_a_cycle_is_broken_at_one_edge():
    reading = read(graph_of(4, [(0, 1), (1, 2), (2, 3), (3, 0)]))
    assert len(reading.backward) == 1


def test_a_straight_chain_is_drawn_straight():
    plan = place(graph_of(5, [(0, 1), (1, 2), (2, 3), (3, 4)]), [(80, 40)] * 5)
    assert len({box.y for box in plan.boxes}) == 1


def test_crossings_that_can_be_avoided_are():
    # Both columns come in the same order, and drawn so the two outer edges would cross.
    plan = place(graph_of(6, [(0, 5), (1, 4), (2, 3), (0, 4), (1, 3)]), [(80, 40)] * 6)
    assert sorted(range(3), key=lambda at: plan.boxes[at].y) in ([0, 1, 2], [2, 1, 0])
    turned = plan.boxes[0].y > plan.boxes[2].y
    wanted = [3, 4, 5] if turned else [5, 4, 3]
    assert sorted(range(3, 6), key=lambda at: plan.boxes[at].y) == wanted


def test_an_input_that_only_a_late_step_reads_stands_beside_it():
    plan = place(graph_of(5, [(0, 1), (1, 2), (2, 3), (4, 3)]), [(80, 40)] * 5)
    assert plan.boxes[4].x == plan.boxes[2].x


def test_parts_that_are_not_joined_stay_close():
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)]
    plan = place(graph_of(8, edges), [(80, 40)] * 8)
    assert plan.height < 8 * 60


def test_a_long_chain_and_a_full_graph_end():
    chain = graph_of(1500, [(at, at + 1) for at in range(1499)])
    assert len(place(chain, [(80, 40)] * 1500).links) == 1499
    full = graph_of(40, [(a, b) for a in range(40) for b in range(40)])
    assert len(place(full, [(80, 40)] * 40).links) == 40 * 39
