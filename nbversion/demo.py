"""``nbversion demo``: a project on real data, made by running the quickstart in a real kernel."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbversion.errors import NbversionError
from nbversion.project import Project
from nbversion.render.amounts import human_seconds
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown

QUICKSTART = "00_quickstart.ipynb"
MODEL = "iris_clf"
_TIMEOUT_S = 300


class DemoError(NbversionError):
    """A cell of the quickstart failed; the project is left for a look."""

    kind = "demo"
    exit_status = 3


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Demo(Shown):
    """What the demo made.

    Parameters
    ----------
    project : Project
    seconds : float
        Of the notebook's execution.
    """

    project: Project
    seconds: float

    @property
    def _rollback(self) -> dict[str, Any]:
        history = self.project.catalog.registrar.load(MODEL).history
        last = next(one for one in reversed(history) if one.action == "rollback")
        return {"from_version": last.displaced, "to_version": last.version, "utc": last.utc}

    def to_json(self) -> dict[str, Any]:
        """Return where the project is and what is in it."""
        return {
            "project": str(self.project.root),
            "notebook": str(self.project.root / QUICKSTART),
            "seconds": self.seconds,
            "rollback": self._rollback,
            "registry": self.project.registry(MODEL).to_json()["models"][0],
            "verified": self.project.verify().holds,
        }

    def card(self) -> Card:
        """Return it for people."""
        rollback = self._rollback
        registry = self.project.catalog.registrar.load(MODEL)
        verification = self.project.verify()
        rows = tuple((one.version, str(one.stage), one.run_id or "") for one in registry.versions)
        open_it = f"{Path(sys.executable).parent / 'jupyter'} lab {self.project.root / QUICKSTART}"
        return Card(
            title="nbversion demo",
            badge="verified" if verification.holds else "broken",
            fields=(
                ("Project", str(self.project.root)),
                ("Notebook", f"{QUICKSTART}, run in {human_seconds(self.seconds)}"),
                ("Rollback", f"{rollback['from_version']} → {rollback['to_version']}"),
                (
                    "Verified",
                    f"{verification.files} files hashed, {len(verification.findings)} findings",
                ),
                ("Open it", open_it),
                ("Look", f"nbversion --project {self.project.root} registry {MODEL}"),
            ),
            tables=(Table(title=MODEL, columns=("version", "stage", "run"), rows=rows),),
        )
