from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbversion.render.plain import cells, is_numeric, line, markup, pad, shorten


@given(st.text(st.characters(codec=None)))
def test_a_line_is_one_printable_line(text):
    assert line(text).isprintable()


@given(st.text(st.characters(codec=None)))
def test_markup_holds_nothing_that_opens_or_closes_markup(text):
    shown = markup(text)
    assert shown.isprintable()
    assert not set("<>\"'") & set(shown)


def test_ordinary_text_comes_through_as_it_is():
    assert line("Größe 学習 3.5 → café") == "Größe 学習 3.5 → café"


def test_what_cannot_be_seen_is_named():
    assert line("a\nb\x1b\x00\u202e") == r"a\nb\x1b\x00\u202e"


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", 3), ("学習", 4), ("e\u0301", 1), ("ｆ", 2), ("", 0)]
)
def test_cells_are_what_a_terminal_moves(text, expected):
    assert cells(text) == expected


@given(st.text(max_size=40), st.integers(min_value=1, max_value=30))
def test_shortened_text_fits(text, size):
    shown = shorten(text, size)
    assert cells(shown) <= size
    assert shown == text or "…" in shown


def test_shortening_keeps_both_ends():
    assert shorten("iris_classifier_v0.2.0", 11) == "iris_…0.2.0"


def test_padding_fills_to_the_width_on_screen():
    assert pad("学", 4) == "学  "
    assert pad("学", 4, right=True) == "  学"


@pytest.mark.parametrize(
    "column", [["1", "-2.5"], ["+0.013", "—"], ["1e-3"], ["18.2 kB", "1,204 B"], ["97 %", ""]]
)
def test_columns_of_numbers_are_recognised(column):
    assert is_numeric(column)


@pytest.mark.parametrize("column", [["v1.0"], ["1.0.0"], ["1", "x"], ["", "-"], [], ["2026-05-01"]])
def test_other_columns_are_not_numbers(column):
    assert not is_numeric(column)


def run_python(code):
    """Run code in a fresh interpreter and return what it complained of."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    return done.stderr


def test_plain_data_does_not_load_the_renderers():
    code = (
        "import sys, nbversion.render.card\n"
        "heavy = ('html', 'svg', 'layout', 'dot', 'text', 'shown')\n"
        "loaded = [name for name in heavy if 'nbversion.render.' + name in sys.modules]\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    assert run_python(code) == ""


def test_rendering_a_card_does_not_load_graphviz_or_ipython():
    code = (
        "import sys, nbversion.render.shown, nbversion.render.dot\n"
        "loaded = [name for name in ('graphviz', 'IPython') if name in sys.modules]\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    assert run_python(code) == ""
