"""Bars for long work: a widget in a notebook, a line in a terminal, nothing where nobody looks."""

from __future__ import annotations

import shutil
from typing import Any

from nbversion.render.amounts import human_count
from nbversion.store.parallel import Progress

# Most work is over before; a bar that flashes up tells nothing.
_AFTER_S = 0.5


class Bar(Progress):
    """Shows each piece of long work as one bar, in bytes, with the files beside it.

    Parameters
    ----------
    notebook : bool
        Whether a widget can be shown.
    """

    def __init__(self, *, notebook: bool) -> None:
        self._notebook = notebook
        self._bar: Any = None
        self._files = 0

    def start(self, what: str, files: int, size_bytes: int) -> None:
        """Make the bar; it is shown when the work takes longer than half a second."""
        self._files = files
        make = _widget_or_line() if self._notebook else _line()
        self._bar = make(
            desc=what,
            total=size_bytes,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            delay=_AFTER_S,
            leave=False,
            # A terminal that does not know its width would get an empty line.
            ncols=None if self._notebook else shutil.get_terminal_size().columns,
            # Where standard error is no terminal, a log would fill with bars.
            disable=False if self._notebook else None,
        )

    def update(self, files: int, size_bytes: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"{files} of {human_count(self._files, 'file')}", refresh=False
            )
            self._bar.update(size_bytes - self._bar.n)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _widget_or_line() -> Any:
    from tqdm.auto import tqdm  # noqa: PLC0415  # 30 ms, and only long work needs it

    return tqdm


def _line() -> Any:
    from tqdm import tqdm  # noqa: PLC0415  # as above

    return tqdm
