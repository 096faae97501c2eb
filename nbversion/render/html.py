"""A card as an HTML fragment for notebook outputs.

It stands alone: no script, no style sheet, no class, no id, no reference to anything outside. A
viewer that strips styles and drawings (GitHub does) still shows headings and real tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nbversion.render.dag import read
from nbversion.render.plain import cells, is_numeric, markup
from nbversion.render.svg import graph_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbversion.render.card import Card, Graph, Table

# Background and text by badge; each pair has a contrast of at least 4.5. Fixed rather than themed,
# so that production is the same green on every page.
BADGES: Final = {
    "dev": ("#dbeafe", "#1e3a8a"),
    "staging": ("#fde68a", "#713f12"),
    "production": ("#15803d", "#ffffff"),
    "archived": ("#e5e7eb", "#374151"),
    "finished": ("#dcfce7", "#14532d"),
    "verified": ("#dcfce7", "#14532d"),
    "running": ("#1d4ed8", "#ffffff"),
    "interrupted": ("#ffedd5", "#7c2d12"),
    "lost": ("#ffedd5", "#7c2d12"),
    "failed": ("#b91c1c", "#ffffff"),
    "broken": ("#b91c1c", "#ffffff"),
}
_OTHER_BADGE: Final = ("#e5e7eb", "#1f2937")
# The fallbacks are what a page without JupyterLab's theme has: its own text colour, and borders
# that show on white as on black.
_INK = "color:var(--jp-ui-font-color1, inherit)"
_SOFT_INK = "color:var(--jp-ui-font-color2, inherit)"
_BORDER = "var(--jp-border-color2, rgba(128,128,128,.4))"
# JupyterLab styles bare tables with zebra rows, right-aligned cells and centring.
_TABLE = "border-collapse:collapse;border:0;margin:0;table-layout:auto;font-size:inherit"
_ROW = '<tr style="background:transparent">'
# Columns of at most this width are never broken.
_WHOLE = 28
_CELL = "padding:3px 10px;vertical-align:top;overflow-wrap:anywhere;max-width:44em"
_HEADING = f"margin:12px 0 4px;font-weight:600;{_SOFT_INK}"


def card_html(card: Card) -> str:
    """Return `card` as a self-contained HTML fragment.

    Returns
    -------
    str
        One ``<div>``; equal text for equal cards. Every string of the card is text in it: none
        becomes an element, an attribute or a character that is not visible.
    """
    parts = [_header(card)]
    if card.fields:
        parts.append(_fields(card.fields))
    parts += [_table(table) for table in card.tables]
    parts += [_note(note) for note in card.notes]
    if card.graph is not None and card.graph.nodes:
        parts.append(_lineage(card.graph))
    return (
        f'<div style="{_INK};font-family:var(--jp-ui-font-family, system-ui, sans-serif);'
        f'font-size:13px;line-height:1.45;padding:2px 0">{"".join(parts)}</div>'
    )


def _header(card: Card) -> str:
    badge = ""
    if card.badge:
        ground, ink = BADGES.get(card.badge, _OTHER_BADGE)
        badge = (
            f' <span style="display:inline-block;margin-left:8px;padding:1px 9px;'
            f"border-radius:9px;font-size:11px;font-weight:600;line-height:1.5;"
            f'vertical-align:1px;background:{ground};color:{ink}">{markup(card.badge)}</span>'
        )
    return (
        f'<div style="padding:0 0 5px;margin:0 0 5px;border-bottom:1px solid {_BORDER}">'
        f'<strong style="font-size:15px;unicode-bidi:isolate;overflow-wrap:anywhere">'
        f"{markup(card.title)}</strong>{badge}</div>"
    )


def _fields(fields: tuple[tuple[str, str], ...]) -> str:
    name_style = f"{_CELL};padding-left:0;text-align:left;white-space:nowrap;font-weight:400"
    rows = (
        f'{_ROW}<th style="{name_style};border:0;{_SOFT_INK}">{markup(name)}</th>'
        f'<td style="{_CELL};border:0;text-align:left">{markup(value)}</td></tr>'
        for name, value in fields
    )
    return f'<table style="{_TABLE}"><tbody>{"".join(rows)}</tbody></table>'


def _table(table: Table) -> str:
    rows = [table.filled(row) for row in table.rows]
    columns = list(zip(*rows, strict=True)) if rows else [()] * table.span
    names = table.filled(table.columns)
    styles = [_column_style(name, column) for name, column in zip(names, columns, strict=True)]
    heads = zip(names, styles, strict=True)
    head = "".join(
        f'<th style="{style};font-weight:600">{markup(name)}</th>' for name, style in heads
    )
    lines = (
        "".join(
            f'<td style="{style}">{markup(cell)}</td>'
            for cell, style in zip(row, styles, strict=True)
        )
        for row in rows
    )
    body = "".join(f"{_ROW}{one}</tr>" for one in lines)
    if not rows:
        span = max(table.span, 1)
        body = f'{_ROW}<td style="{_CELL};text-align:left" colspan="{span}">(none)</td></tr>'
    title = f'<div style="{_HEADING}"><strong>{markup(table.title)}</strong></div>'
    return (
        f"{title if table.title else ''}"
        f'<div style="overflow-x:auto"><table style="{_TABLE}"><thead>{_ROW}{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _column_style(name: str, column: Sequence[str]) -> str:
    align = "text-align:left"
    if is_numeric(column):
        align = "text-align:right;font-variant-numeric:tabular-nums"
    # A version or a stage is not broken within a word because the page is narrow.
    whole = all(cells(one) <= _WHOLE for one in (name, *column))
    return f"{_CELL};border:1px solid {_BORDER};{align}{';white-space:nowrap' if whole else ''}"


def _note(note: str) -> str:
    return (
        f'<div style="margin:8px 0 0;padding:5px 10px;border-left:3px solid '
        f"var(--jp-warn-color1, #d97706);background:var(--jp-layout-color2, rgba(128,128,128,.12));"
        f'overflow-wrap:anywhere">{markup(note)}</div>'
    )


def _lineage(graph: Graph) -> str:
    # The same as a table, closed: for a screen reader and for viewers that strip drawings.
    reading = read(graph)
    cell = f'<td style="{_CELL};border:1px solid {_BORDER};text-align:left">'
    head = cell.replace("<td", "<th")

    def row(at: int) -> str:
        node = graph.nodes[at]
        near = (graph.nodes[parent] for parent in reading.parents(at))
        origin = ", ".join(f"{parent.kind} {parent.label}" for parent in near)
        values = (node.kind, node.label, ", ".join(node.detail), origin)
        return f"{_ROW}{''.join(f'{cell}{markup(value)}</td>' for value in values)}</tr>"

    names = "".join(f"{head}{name}</th>" for name in ("kind", "name", "details", "came from"))
    return (
        f'<div style="{_HEADING}"><strong>Lineage</strong></div>'
        f'<div style="overflow-x:auto;padding:2px 0">{graph_svg(graph)}</div>'
        f'<details style="margin:4px 0 0"><summary style="cursor:pointer;{_SOFT_INK}">'
        f'Lineage as a table</summary><div style="overflow-x:auto;margin:4px 0 0">'
        f'<table style="{_TABLE}"><thead>{_ROW}{names}</tr></thead>'
        f"<tbody>{''.join(map(row, reading.order))}</tbody></table></div></details>"
    )
