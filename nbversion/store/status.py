"""Where a project is and what is in it, as ``%nbversion status`` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbversion.render.card import Card
from nbversion.render.shown import Shown

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Status(Shown):
    """Where a project is and what is in it."""

    root: Path
    initialised: bool
    git: Path | None
    snapshots: int
    models: int
    runs: int
    running: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the facts."""
        return {
            "root": str(self.root),
            "initialised": self.initialised,
            "git": str(self.git) if self.git else None,
            "snapshots": self.snapshots,
            "models": self.models,
            "runs": self.runs,
            "running": list(self.running),
        }

    def card(self) -> Card:
        """Return the facts for people."""
        note = (
            ()
            if self.initialised
            else ("Nothing is written yet; the first verb that writes will.",)
        )
        return Card(
            title="nbversion",
            fields=(
                ("Project", str(self.root)),
                ("Git", str(self.git) if self.git else "none: code is recorded without a commit"),
                ("Snapshots", str(self.snapshots)),
                ("Models", str(self.models)),
                ("Runs", str(self.runs)),
                ("Under way", ", ".join(self.running) or "no run"),
            ),
            notes=note,
        )
