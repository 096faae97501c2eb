"""Outlines of the node boxes and the notation of SVG paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbversion.render.layout import Box

_FOLD = 9.0
_RIM = 2.8
_CUT = 7.0
_TIP = 10.0


def number(value: float) -> str:
    """Return `value` in at most one decimal, without a trailing zero."""
    return f"{value:.1f}".removesuffix(".0")


def path(*parts: str | float) -> str:
    """Return SVG path data from command letters and coordinates in turn."""
    return " ".join(part if isinstance(part, str) else number(part) for part in parts)


def outline(kind: str, box: Box) -> tuple[str, str]:
    """Return the closed path of a node's shape and that of a line drawn upon it, empty for none.

    The shape touches all four sides of `box`, its left and right ones at half height too, which is
    where edges meet it.
    """
    left, top, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
    if kind in {"code", "file"}:
        sheet = ("M", left, top, "H", right - _FOLD, "L", right, top + _FOLD, "V", bottom)
        fold = path("M", right - _FOLD, top, "V", top + _FOLD, "H", right)
        return path(*sheet, "H", left, "Z"), fold
    if kind == "data":
        arc = ("A", box.width / 2, _RIM, "0 0 1")
        upper, lower = top + _RIM, bottom - _RIM
        body = path("M", left, upper, *arc, right, upper, "V", lower, *arc, left, lower, "Z")
        return body, path("M", left, upper, "A", box.width / 2, _RIM, "0 0 0", right, upper)
    if kind in {"params", "environment"}:
        cut, drop = (_CUT, _CUT) if kind == "params" else (_TIP, box.height / 2)
        upper, lower = top + drop, bottom - drop
        right_side = ("H", right - cut, "L", right, upper, "V", lower, "L", right - cut, bottom)
        left_side = ("H", left + cut, "L", left, lower, "V", upper, "Z")
        return path("M", left + cut, top, *right_side, *left_side), ""
    if kind == "stage":
        tip = ("L", right, top + box.height / 2, "L", right - _TIP, bottom)
        return path("M", left, top, "H", right - _TIP, *tip, "H", left, "Z"), ""
    return _rounded(box, min(box.height / 2, 18.0) if kind == "run" else 5.0), ""


def _rounded(box: Box, radius: float) -> str:
    left, top, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
    arc = ("A", radius, radius, "0 0 1")
    return path(
        *("M", left + radius, top, "H", right - radius, *arc, right, top + radius),
        *("V", bottom - radius, *arc, right - radius, bottom),
        *("H", left + radius, *arc, left, bottom - radius),
        *("V", top + radius, *arc, left + radius, top, "Z"),
    )
