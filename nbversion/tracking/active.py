"""The run under way in this process, and the one that ended last."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nbversion.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbversion.tracking.run import Run
    from nbversion.tracking.tracker import Tracker

# The run under way in this process and the last one that ended; a notebook has one of each.
_active: list[Tracker] = []
_last: list[Run] = []


@contextlib.contextmanager
def activated(tracker: Tracker) -> Iterator[None]:
    """Make `tracker` the run that `nbversion.log_metric` and its like speak to.

    Raises
    ------
    InvalidInputError
        When another run is under way: one run is not part of another.
    """
    refuse_nested()
    # In a forked child this takes the place of its parent's.
    _active[:] = [tracker]
    try:
        yield
    finally:
        _active.clear()


def refuse_nested() -> None:
    """Raise when a run is under way in this process."""
    if _active and _active[0].is_ours:
        raise InvalidInputError(
            f"the run {_active[0].record.run_id} is under way; a run inside a run is not tracked. "
            "Put it into a cell of its own. Nothing was run."
        )


def active_tracker() -> Tracker | None:
    """Return the run under way, or None; a forked child has none."""
    return _active[0] if _active and _active[0].is_ours else None


def require_tracker(what: str) -> Tracker:
    """Return the run under way.

    Raises
    ------
    InvalidInputError
        When there is none.
    """
    tracker = active_tracker()
    if tracker is None:
        raise InvalidInputError(
            f"{what} belongs into a tracked run: begin the cell with %%trackrun NAME, or use "
            "`with project.track(...)`. Nothing was recorded."
        )
    return tracker


def remember(run: Run) -> None:
    """Keep the run for `last_run`."""
    _last[:] = [run]


def last_run() -> Run | None:
    """Return the run that ended last in this process, or None."""
    return _last[0] if _last else None
