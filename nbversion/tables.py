"""The tables of runs and of the registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbversion.errors import NbversionError, NotFoundError
from nbversion.formats.registry import problems
from nbversion.formats.run_record import RunRecord
from nbversion.names import Stage, Version
from nbversion.render.amounts import human_seconds, human_value, short
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown
from nbversion.store.models import METRICS
from nbversion.store.runs import BrokenRun

if TYPE_CHECKING:
    from nbversion.formats.registry import RegisteredVersion, Registry
    from nbversion.store.catalog import Catalog

# A name may hold hyphens and digits itself.
_RUN_ID = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-(.+?)-[0-9]{3,}(?:-[0-9a-f]{4})?")
_SHOWN_RUNS = 50
_SHOWN_ENTRIES = 12
_SHOWN_COLUMNS = 6


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunTable(Shown):
    """The runs of a project, oldest first.

    Parameters
    ----------
    name : str or None
        The runs' common name, when one was asked for.
    runs : tuple of RunRecord
    broken : tuple of BrokenRun
    """

    name: str | None
    runs: tuple[RunRecord, ...]
    broken: tuple[BrokenRun, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return every record."""
        return {
            "runs": [one.to_json() for one in self.runs],
            "broken": [{"run_id": one.run_id, "error": one.error} for one in self.broken],
        }

    def card(self) -> Card:
        """Return the newest runs for people, newest first."""
        shown = list(reversed(self.runs))[:_SHOWN_RUNS]
        params = _columns(one.params for one in shown)
        metrics = _columns(one.metrics for one in shown)
        rows = tuple(
            (
                one.run_id,
                one.status,
                one.started_utc,
                ", ".join(item["ref"] for item in one.data),
                *(_cell(one.params, key) for key in params),
                *(_cell(one.metrics, key) for key in metrics),
                "@".join(one.model_reference or ()),
                human_seconds(one.duration_s) if one.duration_s is not None else "",
            )
            for one in shown
        )
        columns = ("run", "status", "started", "data", *params, *metrics, "model", "took")
        notes = [one.error for one in self.broken]
        notes += [
            f"{one.run_id} was edited by hand: {one.problem}." for one in shown if one.problem
        ]
        if len(self.runs) > len(shown):
            notes.append(f"{len(self.runs) - len(shown)} older runs are not shown.")
        if not self.runs and not self.broken:
            called = self.name or "NAME"
            none = f"There is no run called {self.name}" if self.name else "There is no run yet"
            notes.append(f"{none}: begin a cell with %%trackrun {called}.")
        of = f" of {self.name}" if self.name else ""
        return Card(
            title=f"Runs{of}",
            tables=(Table(title=f"{len(self.runs)} runs", columns=columns, rows=rows),)
            if rows
            else (),
            notes=tuple(notes),
        )


def list_runs(catalog: Catalog, name: str | None) -> RunTable:
    """Return the runs called `name`, or all; a broken record does not hide the others."""
    found = catalog.runs.all()
    if name is not None:
        found = [one for one in found if _name(one) == name]
    return RunTable(
        name=name,
        runs=tuple(one for one in found if isinstance(one, RunRecord)),
        broken=tuple(one for one in found if isinstance(one, BrokenRun)),
    )


def _name(one: RunRecord | BrokenRun) -> object:
    """Return what a run is called: a record written by hand says it only in its id."""
    said = one.extra.get("name") if isinstance(one, RunRecord) else None
    match = _RUN_ID.fullmatch(one.run_id)
    return said or (match[1] if match else one.run_id)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RegistryTable(Shown):
    """The registry of one model, or of all.

    Parameters
    ----------
    registries : tuple of Registry
    metrics : dict
        Model and version to the metrics that were frozen with it.
    data : dict
        Model and version to the data sets its run used.
    broken : tuple of str
        What cannot be read, or breaks its own laws.
    single : bool
        Whether one model was asked for.
    """

    registries: tuple[Registry, ...]
    metrics: dict[tuple[str, str], dict[str, Any]]
    data: dict[tuple[str, str], list[str]]
    broken: tuple[str, ...]
    single: bool

    def to_json(self) -> dict[str, Any]:
        """Return every registry as its file has it."""
        return {
            "models": [one.to_json() for one in self.registries],
            "broken": list(self.broken),
        }

    def card(self) -> Card:
        """Return the registry for people."""
        if self.single and self.registries:
            return self._one(self.registries[0])
        rows = tuple(
            (
                one.name,
                one.production.version if one.production else "none",
                ", ".join(_in_stage(one, Stage.STAGING)) or "none",
                str(len(one.versions)),
                str(one.revision),
            )
            for one in self.registries
        )
        columns = ("model", "production", "staging", "versions", "revision")
        notes = self.broken
        if not rows and not notes:
            notes = ("There is no model yet: %%trackrun NAME --model MODEL=VARIABLE makes one.",)
        return Card(
            title="Registry",
            tables=(Table(title="Models", columns=columns, rows=rows),) if rows else (),
            notes=notes,
        )

    def _one(self, registry: Registry) -> Card:
        newest = sorted(registry.versions, key=lambda one: Version(one.version), reverse=True)
        names = _columns(self.metrics.get((registry.name, one.version), {}) for one in newest)
        rows = tuple(self._row(registry.name, one, names) for one in newest)
        columns = ("version", "stage", *names, "data", "run", "created", "owner", "comment")
        history = tuple(
            (
                str(one.revision),
                one.utc,
                one.actor,
                one.action,
                one.version,
                f"{one.from_stage or one.derived_from or 'new'} → {one.to_stage}"
                if one.to_stage
                else "",
                one.displaced or "",
                one.comment or "",
            )
            for one in reversed(registry.history[-_SHOWN_ENTRIES:])
        )
        tables = [Table(title="Versions", columns=columns, rows=rows)]
        if history:
            tables.append(
                Table(
                    title="History",
                    columns=("rev", "when", "who", "did", "version", "stage", "archived", "why"),
                    rows=history,
                )
            )
        serving = registry.production
        return Card(
            title=f"Registry of {registry.name}",
            fields=(
                ("In production", serving.version if serving else "none"),
                *((("Image", serving.image),) if serving and serving.image else ()),
                ("Revision", f"{registry.revision}, head {short(registry.head)}"),
            ),
            tables=tuple(tables),
            notes=self.broken,
        )

    def _row(self, model: str, one: RegisteredVersion, metrics: tuple[str, ...]) -> tuple[str, ...]:
        values = self.metrics.get((model, one.version), {})
        return (
            one.version,
            str(one.stage),
            *(_cell(values, key) for key in metrics),
            ", ".join(self.data.get((model, one.version), [])),
            one.run_id or "",
            one.created_utc or "",
            one.owner or "",
            str(one.comments[-1].get("comment", "")) if one.comments else "",
        )


def list_registry(catalog: Catalog, model: str | None) -> RegistryTable:
    """Return the registry of one model, or of all; a broken one does not hide the others.

    Raises
    ------
    NotFoundError, FormatError
        When the one model that was asked for has none, or one that cannot be read.
    """
    if model is not None:
        catalog.registrar.load(model)
    registries: list[Registry] = []
    broken: list[str] = []
    for name in [model] if model is not None else catalog.registrar.models():
        try:
            registry = catalog.registrar.load(name)
        except NbversionError as exc:
            broken.append(exc.message)
            continue
        registries.append(registry)
        broken += [f"{catalog.registrar.path(name)}: {one}." for one in problems(registry)]
    metrics: dict[tuple[str, str], dict[str, Any]] = {}
    data: dict[tuple[str, str], list[str]] = {}
    for registry in registries if model is not None else ():
        for one in registry.versions:
            key = registry.name, one.version
            try:
                frozen = catalog.models.load(*key)
                metrics[key] = catalog.models.values(frozen, METRICS)
            except NotFoundError:
                # Not fetched, or a registry written by hand: its run may still be known.
                metrics.pop(key, None)
            except NbversionError as exc:
                broken.append(exc.message)
            if one.run_id:
                data[key] = _data_of(catalog, one.run_id)
    return RegistryTable(
        registries=tuple(registries),
        metrics=metrics,
        data=data,
        broken=tuple(broken),
        single=model is not None,
    )


def _data_of(catalog: Catalog, run_id: str) -> list[str]:
    try:
        return [one["ref"] for one in catalog.runs.load(run_id).data]
    except NbversionError:
        return []


def _in_stage(registry: Registry, stage: Stage) -> list[str]:
    return [one.version for one in registry.versions if one.stage is stage]


def _columns(values: Any) -> tuple[str, ...]:
    """Return the keys that a table shows: those that most rows have, in their order."""
    counts: dict[str, int] = {}
    for one in values:
        for key in one:
            counts[key] = counts.get(key, 0) + 1
    most = sorted(counts, key=lambda key: -counts[key])[:_SHOWN_COLUMNS]
    return tuple(key for key in counts if key in most)


def _cell(values: dict[str, Any], key: str) -> str:
    return human_value(values[key]) if key in values else ""
