"""Making one untrusted string harmless, and measuring it.

Names, parameters, file names and commit subjects come from other people's notebooks. Every
renderer passes every one of them through `line` (text, DOT) or `markup` (HTML, SVG) and through
nothing else, so that there is one place to audit.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING

from nbversion.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER = re.compile(
    r"[+\-\N{MINUS SIGN}±]?(\d[\d,_]*)?(\.\d+|\d\.?)(e[+-]?\d+)?( ?(%|[kMGTP]?i?B|[mµn]?s|min|h))?",
    re.IGNORECASE | re.ASCII,
)
_NO_VALUE = frozenset({"", "-", "–", "—", "nan", "inf", "-inf", "n/a"})


def line(text: str) -> str:
    r"""Return `text` as one line of printable characters.

    A line break, a control character, an escape sequence, a null, an invisible or
    direction-changing character and a lone surrogate are shown as their Python escape: ``\n``,
    ``\x1b``, ``\u202e``.
    """
    return printable(text).replace("\n", "\\n")


def markup(text: str) -> str:
    """Return `text` as one line that is only text in HTML and XML, in an attribute too."""
    return html.escape(line(text), quote=True)


def cells(text: str) -> int:
    """Return the number of terminal cells of `text`: 2 for a wide character, 0 for a mark."""
    return sum(_char_cells(char) for char in text)


def pad(text: str, size: int, *, right: bool = False) -> str:
    """Return `text` filled with spaces to `size` cells, at its left if `right` is true."""
    gap = " " * (size - cells(text))
    return gap + text if right else text + gap


def shorten(text: str, size: int) -> str:
    """Return `text` in at most `size` cells, its middle replaced by ``…`` where it is longer.

    The two ends are kept because versions and digests differ at the end of a name.
    """
    if cells(text) <= size:
        return text
    head, used = "", 0
    for char in text:
        if used + _char_cells(char) > size // 2:
            break
        head, used = head + char, used + _char_cells(char)
    tail, room = "", size - used - 1
    for char in reversed(text):
        if _char_cells(char) > room:
            break
        tail, room = char + tail, room - _char_cells(char)
    return f"{head}…{tail}"


def is_numeric(column: Iterable[str]) -> bool:
    """Return whether a column reads as numbers: at least one, and beside them only blanks."""
    filled = [cell for cell in (text.strip() for text in column) if cell.lower() not in _NO_VALUE]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)


def _char_cells(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
