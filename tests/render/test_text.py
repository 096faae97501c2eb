from __future__ import annotations

from nbversion.render.card import Card, Graph, Node, Table
from nbversion.render.plain import cells, line
from nbversion.render.text import card_text


def test_no_value_reaches_the_terminal_raw(hostile, card_of):
    text = card_text(card_of(hostile))
    assert text.replace("\n", "").isprintable()
    # Title, badge, field name, 2 field values, table title, heading, 2 cells, note, and the graph.
    assert text.count(line(hostile)) >= 13


def test_no_value_adds_a_line(hostile, card_of):
    assert card_text(card_of(hostile)).count("\n") == card_text(card_of("x")).count("\n")


def test_the_title_line_carries_the_badge():
    assert card_text(Card(title="iris_clf v0.2.0", badge="staging")) == "iris_clf v0.2.0  [staging]"


def test_fields_line_up_with_wide_names():
    card = Card(title="t", fields=(("備考", "VALUE"), ("digest", "VALUE"), ("e\u0301", "VALUE")))
    starts = {cells(text[: text.index("VALUE")]) for text in card_text(card).split("\n")[1:]}
    assert starts == {10}


def test_table_columns_line_up_with_wide_cells():
    rows = (("学習データ", "1", "END"), ("a", "10.5", "END"), ("b", "", "END"))
    table = Table(title="", columns=("name", "大きさ", "END"), rows=rows)
    lines = [
        text for text in card_text(Card(title="t", tables=(table,))).split("\n") if "END" in text
    ]
    assert len(lines) == 4
    assert len({cells(text[: text.index("END")]) for text in lines}) == 1


def test_numbers_end_under_one_another_and_words_start_so():
    table = Table(title="Metrics", columns=("metric", "value"), rows=(("f1", "9"), ("auc", "0.95")))
    text = card_text(Card(title="t", tables=(table,)))
    assert "  f1          9\n" in text + "\n"
    assert "  auc      0.95" in text


def test_ragged_and_empty_tables_are_shown():
    ragged = Table(title="r", columns=("a",), rows=(("1", "2"), ()))
    empty = Table(title="e", columns=("a", "b"), rows=())
    nothing = Table(title="n", columns=(), rows=())
    text = card_text(Card(title="t", tables=(ragged, empty, nothing)))
    assert "  1  2" in text
    assert text.count("(none)") == 2


def test_notes_stand_out():
    assert "\n! Careful." in card_text(Card(title="t", notes=("Careful.",)))


def test_lineage_lists_inputs_before_what_they_made(lineage):
    text = card_text(Card(title="t", graph=lineage))
    rows = [row.split("<-")[0] for row in text.split("\n") if "the " in row]
    names = [next(n.label for n in lineage.nodes if n.label in row) for row in rows[:4]]
    assert names == ["the data", "the code", "the params", "the environment"]
    assert "the run          <-  data the data, code the code" in text
    assert "* model        the model        <-  run the run" in text
    assert "stage        the stage        <-  model the model" in text


def test_long_input_lists_wrap_and_stay_in_their_column():
    sources = tuple(Node(id=str(i), kind="data", label=f"data_set_{i:02}") for i in range(20))
    run = Node(id="r", kind="run", label="train")
    graph = Graph(nodes=(*sources, run), edges=tuple((node.id, "r") for node in sources))
    lines = card_text(Card(title="t", graph=graph)).split("\n")
    assert max(map(len, lines)) <= 100
    wrapped = lines[next(i for i, text in enumerate(lines) if "<-" in text) :]
    assert len(wrapped) > 2
    assert len({text.index("data data_set") for text in wrapped}) == 1


def test_damaged_graphs_show_every_node_once(broken_graph):
    text = card_text(Card(title="t", graph=broken_graph))
    starts = [row.split("<-")[0].split(maxsplit=1)[1].strip() for row in text.split("\n")[3:]]
    assert sorted(starts) == ["alone", "alpha", "beta", "gamma", "gamma again"]


def test_an_empty_graph_is_left_out():
    assert card_text(Card(title="t", graph=Graph(nodes=(), edges=(), focus=None))) == "t"


def test_no_line_ends_in_blanks(card_of, lineage):
    card = Card(title="t", graph=lineage, tables=card_of("x").tables)
    assert all(row == row.rstrip() for row in card_text(card).split("\n"))
