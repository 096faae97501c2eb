"""A run from its first check to its frozen record; shared by the cell magic and by scripts.

Order of a run: check everything that was asked, verify the data, note the environment and the code,
create the record as running; then the user's code; then artifacts, outputs, model, registry, and last
the record. What fails after the user's code never loses the run: the record is kept and says so.
"""

from __future__ import annotations

from nbversion.tracking.active import (
    activated,
    active_tracker,
    last_run,
    refuse_nested,
    remember,
    require_tracker,
)
from nbversion.tracking.request import CodeFacts, Results, RunRequest, script_source
from nbversion.tracking.run import Run
from nbversion.tracking.tracker import Tracker, status_of

__all__ = [
    "CodeFacts",
    "Results",
    "Run",
    "RunRequest",
    "Tracker",
    "activated",
    "active_tracker",
    "last_run",
    "refuse_nested",
    "remember",
    "require_tracker",
    "script_source",
    "status_of",
]
