"""Numbers and digests in the short form that people read; never used as identity."""

from __future__ import annotations


def human_size(count: int) -> str:
    """Return a number of bytes with a binary unit.

    Examples
    --------
    >>> human_size(4608)
    '4.5 KiB'
    """
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def human_count(count: int, what: str) -> str:
    """Return a number of things in words: ``1 file``, ``2 files``."""
    return f"{count} {what}{'s' * (count != 1)}"


def short(digest: str | None, length: int = 12) -> str:
    """Return the first digits of a digest or a commit, without the algorithm."""
    return (digest or "").removeprefix("sha256:")[:length]


def human_value(value: object) -> str:
    """Return a param or a metric as a table shows it; floats in at most six digits."""
    if isinstance(value, float):
        exact = repr(value)
        return exact if len(exact) <= 8 else f"{value:.6g}"
    return str(value)


def human_seconds(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
