"""A run as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion import names
from nbversion.render.amounts import human_seconds, human_value, short
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown
from nbversion.store.folder import RUNS

if TYPE_CHECKING:
    from nbversion.formats.run_record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run(Shown):
    """A run that has ended, or a record of one that was read.

    Parameters
    ----------
    record : RunRecord
    """

    record: RunRecord

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.record.run_id

    @property
    def status(self) -> str:
        """How it ended."""
        return self.record.status

    @property
    def params(self) -> dict[str, Any]:
        """The params by name."""
        return self.record.params

    @property
    def metrics(self) -> dict[str, Any]:
        """The final metrics by name."""
        return self.record.metrics

    @property
    def model(self) -> str | None:
        """The reference of the model version that it registered."""
        pair = self.record.model_reference
        return names.model_ref(*pair) if pair else None

    def to_json(self) -> dict[str, Any]:
        """Return the record."""
        return self.record.to_json()

    def card(self) -> Card:
        """Return the run for people."""
        record = self.record
        no_commit = "outside git" if record.code.get("dirty") is None else "no commit yet"
        commit = record.code_commit[:12] if record.code_commit else no_commit
        changes = " + uncommitted changes" if record.code.get("dirty") else ""
        lock = short(record.env.get("requirements_lock"))
        fields = [
            ("Data", ", ".join(one["ref"] for one in record.data)),
            ("Evaluation data", ", ".join(one["ref"] for one in record.eval_data)),
            ("Code", f"{commit}{changes}, cell {short(record.code.get('cell_sha256'))}"),
            ("Environment", f"Python {record.env.get('python')}, lock {lock}"),
            ("Model", self.model or ""),
            ("Froze", ", ".join(one["ref"] for one in record.outputs.get("snapshots") or [])),
            ("Artifacts", ", ".join(Path(one["path"]).name for one in record.artifacts)),
            ("Took", human_seconds(record.duration_s) if record.duration_s is not None else ""),
            ("Record", f"{RUNS}/{record.run_id}.yaml"),
        ]
        tables = []
        if record.params:
            rows = tuple((key, human_value(one)) for key, one in record.params.items())
            tables.append(Table(title="Params", columns=("name", "value"), rows=rows))
        if record.metrics:
            rows = tuple((key, human_value(one)) for key, one in record.metrics.items())
            tables.append(Table(title="Metrics", columns=("name", "value"), rows=rows))
        return Card(
            title=f"Run {record.run_id}",
            badge=record.status,
            fields=tuple((key, value) for key, value in fields if value),
            tables=tuple(tables),
            notes=record.warnings,
        )
