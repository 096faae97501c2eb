"""The trace of one thing: which data, code, params and environment produced it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbversion import names
from nbversion.errors import NbversionError
from nbversion.lineage.files import find_file
from nbversion.lineage.graph import Lineage, LineageBuilder, describe_code
from nbversion.render.amounts import human_value
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown
from nbversion.store.catalog import DataFound, FileFound, ModelFound, RunFound

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.formats.manifest import Manifest
    from nbversion.formats.run_record import RunRecord
    from nbversion.store.catalog import Catalog, Found


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trace(Shown):
    """Which data, code, params and environment produced a thing.

    Parameters
    ----------
    reference : str
        What was asked.
    held_by : tuple of str
        For a file: every version and run that holds its content.
    sha256 : str or None
        For a file.
    model : ModelFound or None
    manifest : Manifest or None
    record : RunRecord or None
        The run that produced it; None when none is recorded.
    lineage : Lineage
    """

    reference: str
    lineage: Lineage
    held_by: tuple[str, ...] = ()
    sha256: str | None = None
    model: ModelFound | None = None
    manifest: Manifest | None = None
    record: RunRecord | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the answer: ``data``, ``code``, ``params``, ``env`` and what they produced."""
        record = self.record
        return {
            "reference": self.reference,
            "held_by": list(self.held_by),
            "sha256": self.sha256,
            "model": self.model.model if self.model else None,
            "version": self.model.registered.version if self.model else None,
            "stage": str(self.model.registered.stage) if self.model else None,
            "digest": self.manifest.digest if self.manifest else None,
            "run_id": record.run_id if record else None,
            "data": list(record.data) if record else [],
            "eval_data": list(record.eval_data) if record else [],
            "code_commit": record.code_commit if record else None,
            "code": record.code if record else {},
            "params": record.params if record else {},
            "env": record.env if record else {},
            "metrics": record.to_json()["outputs"].get("metrics", {}) if record else {},
            "notes": list(self.notes),
        }

    def card(self) -> Card:
        """Return the answer for people."""
        fields: list[tuple[str, str]] = []
        tables: list[Table] = []
        if self.sha256:
            fields += [("SHA-256", self.sha256), ("Held by", ", ".join(self.held_by))]
        if self.model:
            image = self.model.registered.image
            fields.append(("Model", f"{self.model.model} {self.model.registered.version}"))
            fields += [("Image", image)] if image else []
        if self.manifest:
            fields.append(("Digest", self.manifest.digest))
        if self.record:
            fields += _answer(self.record)
            rows = tuple(
                (key, human_value(value), str(_origin(self.record, key)))
                for key, value in self.record.params.items()
            )
            if rows:
                tables.append(Table(title="Params", columns=("name", "value", "origin"), rows=rows))
        elif self.manifest and self.manifest.source:
            fields.append(("Source", self.manifest.source))
        return Card(
            title=f"Trace of {self.reference}",
            badge=str(self.model.registered.stage) if self.model else "",
            fields=tuple(fields),
            tables=tuple(tables),
            notes=(*self.notes, *self.lineage.notes),
            graph=self.lineage.graph,
        )


def _answer(record: RunRecord) -> list[tuple[str, str]]:
    fields = [("Run", f"{record.run_id} ({record.status}, {record.started_utc})")]
    fields += [("Data", f"{one['ref']}  {one.get('digest') or ''}") for one in record.data]
    fields += [
        ("Evaluation data", f"{one['ref']}  {one.get('digest') or ''}") for one in record.eval_data
    ]
    code = describe_code(record)
    fields.append(("Code", ", ".join(code) if code else "not recorded"))
    python, lock = record.env.get("python"), record.env.get("requirements_lock")
    fields.append(("Environment", f"Python {python}, lock {lock}" if python else "not recorded"))
    if record.env.get("container_image"):
        fields.append(("Container image", str(record.env["container_image"])))
    metrics = ", ".join(f"{key} = {human_value(one)}" for key, one in record.metrics.items())
    return [*fields, ("Metrics", metrics)] if metrics else fields


def _origin(record: RunRecord, param: str) -> object:
    origin = record.origins.get(param, "")
    return origin.get("origin", "") if isinstance(origin, dict) else origin


def trace(catalog: Catalog, reference: str, *, here: Path) -> Trace:
    """Answer which data, code, params and environment produced what `reference` stands for.

    Raises
    ------
    NotFoundError, InvalidInputError, StorageError
        When the reference stands for nothing, or for two things.
    """
    asked = catalog.resolve(reference, here=here)
    builder = LineageBuilder(catalog)
    sha256: str | None = None
    held_by: tuple[str, ...] = ()
    subject = asked
    if isinstance(asked, FileFound):
        sha256, places = find_file(catalog, asked.path)
        held_by = tuple(_called(one) for one in places)
        subject = places[0]
        lineage = builder.around_file(asked.path, sha256, places)
    else:
        lineage = builder.around(asked)
    run_id: str | None = None
    manifest, model = None, None
    notes: tuple[str, ...] = ()
    if isinstance(subject, ModelFound):
        model, run_id = subject, subject.registered.run_id
        try:
            manifest = catalog.models.load(subject.model, subject.registered.version).manifest
        except NbversionError as exc:
            notes = (exc.message,)
    elif isinstance(subject, DataFound):
        manifest = subject.frozen.manifest
        run_id = manifest.run_id
    elif isinstance(subject, RunFound):
        run_id = subject.record.run_id
    record, said = _record(catalog, run_id)
    notes = (*notes, *said)
    if len(held_by) > 1:
        notes = (f"{len(held_by)} hold this content; the answer is that of {held_by[0]}.", *notes)
    return Trace(
        reference=reference,
        lineage=lineage,
        held_by=held_by,
        sha256=sha256,
        model=model,
        manifest=manifest,
        record=record,
        notes=notes,
    )


def _called(found: Found) -> str:
    if isinstance(found, ModelFound):
        return names.model_ref(found.model, found.registered.version)
    if isinstance(found, DataFound):
        return found.frozen.manifest.reference
    return found.record.run_id if isinstance(found, RunFound) else str(found.path)


def _record(catalog: Catalog, run_id: str | None) -> tuple[RunRecord | None, tuple[str, ...]]:
    if run_id is None:
        return None, ("No run is recorded as having produced it.",)
    try:
        record = catalog.runs.load(run_id)
    except NbversionError as exc:
        return None, (f"Its run {run_id} cannot be read: {exc.message}",)
    notes = [f"The record was edited by hand: {record.problem}."] if record.problem else []
    session = f"runs/{run_id}/session.json"
    kept = f"the cell's source is kept in {session}"
    if not (catalog.project.root / session).is_file():
        kept = "the cell's source was not kept"
    if record.code_commit is None:
        notes.append(f"The code was outside git; {kept}.")
    elif record.code.get("dirty"):
        notes.append(f"The tree had changes that were not committed; {kept}.")
    return record, tuple(notes)
