from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from nbversion.render.card import Card, Graph, Table
from nbversion.render.html import BADGES, card_html
from nbversion.render.plain import line

VOID = {"img", "br", "hr", "input", "meta", "link"}


class Reader(HTMLParser):
    """Everything that a browser would build: elements with attributes, and text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open, self.odd = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"stray </{tag}>"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.odd.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def skeleton(reader):
    """Return the elements without the attributes that a text's width decides."""
    free = {"d", "x", "y", "width", "height", "viewbox", "aria-label", "style"}
    return [
        (tag, tuple((name, "" if name in free else value) for name, value in attrs))
        for tag, attrs in reader.elements
    ]


def test_no_element_or_attribute_is_born_from_data(hostile, card_of):
    reader = read(card_html(card_of(hostile)))
    assert skeleton(reader) == skeleton(read(card_html(card_of("x"))))
    assert not reader.odd
    # The one attribute that carries data holds it whole, as text.
    labels = [dict(attrs)["aria-label"] for tag, attrs in reader.elements if tag == "svg"]
    assert all(line(hostile) in label for label in labels)


def test_every_string_is_readable_as_it_was(hostile, card_of):
    reader = read(card_html(card_of(hostile)))
    # Badge, title, 3 in fields, 4 in the table, the note; a lineage table's cells may hold more.
    assert reader.texts.count(line(hostile)) >= 10


def test_no_invisible_character_is_in_the_page(hostile, card_of):
    assert card_html(card_of(hostile)).replace("\n", "").isprintable()


def test_it_stands_alone(card_of, lineage):
    html = card_html(Card(title="t", badge="dev", tables=card_of("x").tables, graph=lineage))
    names = {name for _, attrs in read(html).elements for name, _ in attrs}
    assert names <= {
        *("style", "colspan", "xmlns", "width", "height", "viewbox", "role", "aria-label", "d"),
        *("fill", "stroke", "stroke-width", "stroke-linejoin", "stroke-dasharray", "x", "y"),
        *("text-anchor", "font-size", "font-weight", "letter-spacing", "opacity"),
    }
    assert not re.search(r"<(style|script|link|img|iframe)\b|url\(|@import", html)
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}


def test_every_theme_colour_has_a_fallback(card_of):
    variables = re.findall(r"var\(--jp-[a-z0-9-]+(.)", card_html(card_of("x")))
    assert variables
    assert set(variables) == {","}


def test_structure_reads_without_styles(lineage):
    table = Table(title="Metrics", columns=("metric", "value"), rows=(("f1", "0.9"),))
    card = Card(title="iris", badge="dev", fields=(("by", "ada"),), tables=(table,), graph=lineage)
    plain = re.sub(r' style="[^"]*"', "", card_html(card))
    assert "<strong>iris</strong>" in plain
    assert "<span>dev</span>" in plain
    assert "<tr><th>by</th><td>ada</td></tr>" in plain
    assert "<tr><td>f1</td><td>0.9</td></tr>" in plain
    without_drawing = re.sub(r"<svg.*?</svg>", "", plain)
    assert all(f"<td>{node.label}</td>" in without_drawing for node in lineage.nodes)


def test_numbers_are_right_aligned_and_words_are_not():
    table = Table(title="m", columns=("metric", "value"), rows=(("f1", "0.9"), ("auc", "-")))
    html = card_html(Card(title="t", tables=(table,)))
    cells = re.findall(r'<td style="[^"]*text-align:(\w+)[^"]*">([^<]+)<', html)
    assert cells == [("left", "f1"), ("right", "0.9"), ("left", "auc"), ("right", "-")]


@pytest.mark.parametrize("badge", [*BADGES, "something else"])
def test_a_badge_is_a_word_in_a_legible_colour(badge, contrast):
    html = card_html(Card(title="t", badge=badge))
    found = re.search(rf"background:(#\w+);color:(#\w+)\">{badge}<", html)
    assert found
    assert contrast(*found.groups()) >= 4.5


def test_equal_cards_render_to_equal_bytes(card_of):
    assert card_html(card_of("x")) == card_html(card_of("x"))


def test_ragged_and_empty_tables_are_well_formed():
    ragged = Table(title="r", columns=("a",), rows=(("1", "2"), ()))
    empty = Table(title="e", columns=("a", "b"), rows=())
    nothing = Table(title="", columns=(), rows=())
    reader = read(card_html(Card(title="t", tables=(ragged, empty, nothing))))
    assert reader.texts.count("(none)") == 2
    assert sum(tag == "td" for tag, _ in reader.elements) == 4 + 1 + 1


def test_damaged_and_empty_graphs_are_well_formed(broken_graph):
    assert "gamma again" in read(card_html(Card(title="t", graph=broken_graph))).texts
    empty = Graph(nodes=(), edges=(), focus=None)
    assert "svg" not in card_html(Card(title="t", graph=empty))
