"""Bytes that a text of the project names and that are not where it says."""

from __future__ import annotations

from typing import NamedTuple


class Lost(NamedTuple):
    """One file that is gone, or holds something else.

    Parameters
    ----------
    ref : str
        What it belongs to.
    path : str
        Relative to the root.
    sha256 : str
        Bare; of the bytes that should be there.
    size : int or None
        Of them, where it is known.
    kind : str
        ``missing`` or ``corrupt``.
    home : str
        The folder in which that text may name files; it may say anything.
    """

    ref: str
    path: str
    sha256: str
    size: int | None
    kind: str
    home: str
