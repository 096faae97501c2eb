"""Which data, code, params and environment led to what: the graph, and the trace of one thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbversion import names
from nbversion.errors import FormatError, NotFoundError, StorageError
from nbversion.formats.json_text import canonical_json
from nbversion.formats.run_record import RunRecord
from nbversion.hashing import digest_of, hash_stream
from nbversion.names import Stage, Version
from nbversion.render.amounts import human_value, short
from nbversion.render.card import Card, Graph, Node, Table
from nbversion.render.dot import graph_dot
from nbversion.render.shown import Shown
from nbversion.render.svg import graph_svg
from nbversion.store.catalog import Catalog, DataFound, FileFound, ModelFound, RunFound
from nbversion.store.frozen import open_frozen

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.formats.manifest import Manifest
    from nbversion.store.catalog import Found

# What a person can still read in one picture; dot itself needs 14 s for 5,000 nodes.
MAX_NODES = 60
_DETAILS = 4


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Lineage(Shown):
    """A part of the graph, as ``%lineage`` gives it back.

    Parameters
    ----------
    title : str
    graph : Graph
    notes : tuple of str
    """

    title: str
    graph: Graph
    notes: tuple[str, ...] = ()

    @property
    def dot(self) -> str:
        """The graph in Graphviz's language."""
        return graph_dot(self.graph)

    @property
    def svg(self) -> str:
        """The graph as a picture; no ``dot`` program is needed."""
        return graph_svg(self.graph)

    def to_json(self) -> dict[str, Any]:
        """Return nodes and edges."""
        return {
            "nodes": [
                {"id": one.id, "kind": one.kind, "label": one.label, "detail": list(one.detail)}
                for one in self.graph.nodes
            ],
            "edges": [{"from": source, "to": target} for source, target in self.graph.edges],
            "notes": list(self.notes),
        }

    def card(self) -> Card:
        """Return the graph for people."""
        return Card(title=self.title, graph=self.graph, notes=self.notes)


@dataclass(slots=True)
class LineageBuilder:
    """A graph that grows upward from what was asked, then one step down.

    Parameters
    ----------
    catalog : Catalog
    """

    catalog: Catalog
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _all_runs: list[RunRecord] | None = None

    def around(self, found: Found) -> Lineage:
        """Return everything that led to a thing, and what was made of it."""
        if isinstance(found, DataFound):
            manifest = found.frozen.manifest
            focus, title = self._data(manifest.name, manifest.version), manifest.reference
            self._runs_of(manifest.reference)
        elif isinstance(found, ModelFound):
            focus = self._model(found.model, found.registered.version)
            title = names.model_ref(found.model, found.registered.version)
        elif isinstance(found, RunFound):
            focus, title = self._run(found.record), found.record.run_id
            for one in _snapshots_of(found.record):
                self._edge(focus, self._data_ref(one))
        else:
            focus, title = self._file(found.path), found.path.name
        return self._finish(f"Lineage of {title}", focus)

    def everything(self) -> Lineage:
        """Return the lineage of each model's serving version, or of its newest one."""
        for model in self.catalog.registrar.models():
            try:
                registry = self.catalog.registrar.load(model)
            except FormatError as exc:
                self.notes.append(exc.message)
                continue
            shown = registry.production or max(
                registry.versions, key=lambda one: Version(one.version), default=None
            )
            if shown is not None:
                self._model(model, shown.version)
        for record in reversed(self._runs()):
            if not self.catalog.registrar.models() and len(self.nodes) < MAX_NODES // 2:
                self._run(record)
        for name, version in self.catalog.snapshots.references():
            if len(self.nodes) < MAX_NODES // 2:
                self._data(name, str(version))
        return self._finish("Lineage of the project", None)

    def _finish(self, title: str, focus: str | None) -> Lineage:
        nodes = list(self.nodes.values())
        if len(nodes) > MAX_NODES:
            self.notes.append(
                f"{len(nodes) - MAX_NODES} more nodes are not drawn; ask for one of them by name."
            )
            nodes = nodes[:MAX_NODES]
        if not nodes:
            self.notes.append("Nothing is recorded yet: begin with %snapshot and %%trackrun.")
        kept = {one.id for one in nodes}
        edges = tuple(one for one in self.edges if one[0] in kept and one[1] in kept)
        graph = Graph(nodes=tuple(nodes), edges=edges, focus=focus)
        return Lineage(title=title, graph=graph, notes=tuple(self.notes))

    # -- nodes -----------------------------------------------------------------------------

    def _add(self, kind: Any, key: str, label: str, detail: list[str]) -> tuple[str, bool]:
        identity = f"{kind}:{key}"
        new = identity not in self.nodes
        if new:
            self.nodes[identity] = Node(
                id=identity, kind=kind, label=label, detail=tuple(one for one in detail if one)
            )
        return identity, new

    def _edge(self, source: str, target: str) -> None:
        self.edges[source, target] = None

    def _data(self, name: str, version: str) -> str:
        ref = names.data_ref(name, version)
        try:
            manifest = self.catalog.snapshots.load(name, version).manifest
        except (NotFoundError, FormatError):
            return self._add("data", ref, ref, ["not there"])[0]
        node, new = self._add("data", ref, ref, [short(manifest.digest), manifest.source or ""])
        if new and manifest.run_id:
            self._edge(self._run_id(manifest.run_id), node)
        return node

    def _data_ref(self, ref: str) -> str:
        name, _, version = ref.rpartition("_")
        try:
            names.data_version(version)
        except ValueError:
            return self._add("data", ref, ref, ["not there"])[0]
        return self._data(name, version)

    def _run_id(self, run_id: str) -> str:
        try:
            return self._run(self.catalog.runs.load(run_id))
        except (NotFoundError, FormatError):
            return self._add("run", run_id, run_id, ["no readable record"])[0]

    def _run(self, record: RunRecord) -> str:
        metrics = [f"{key} {human_value(value)}" for key, value in record.metrics.items()]
        node, new = self._add(
            "run", record.run_id, record.run_id, [record.status, *metrics[:_DETAILS]]
        )
        if not new:
            return node
        for one in (*record.data, *record.eval_data):
            self._edge(self._data_ref(one["ref"]), node)
        code = describe_code(record)
        if code:
            self._edge(self._add("code", "|".join(code), code[0], code[1:])[0], node)
        if record.params:
            listed = [f"{key} = {human_value(value)}" for key, value in record.params.items()]
            more = [f"and {len(listed) - _DETAILS} more"] if len(listed) > _DETAILS else []
            key = digest_of(canonical_json(record.params))
            self._edge(self._add("params", key, "params", [*listed[:_DETAILS], *more])[0], node)
        python, lock = record.env.get("python"), record.env.get("requirements_lock")
        if python or lock:
            detail = [
                f"lock {short(lock)}" if lock else "",
                record.env.get("container_image") or "",
            ]
            self._edge(
                self._add("environment", f"{python}|{lock}", f"Python {python}", detail)[0], node
            )
        return node

    def _model(self, model: str, version: str) -> str:
        ref = names.model_ref(model, version)
        registered, serving = None, None
        try:
            registry = self.catalog.registrar.load(model)
            registered, serving = registry.find(version), registry.production
        except (NotFoundError, FormatError):
            pass
        node, new = self._add("model", ref, ref, [short(registered.digest) if registered else ""])
        if not new:
            return node
        if registered is not None:
            if registered.derived_from:
                self._edge(self._model(model, registered.derived_from), node)
            elif registered.run_id:
                self._edge(self._run_id(registered.run_id), node)
            is_serving = serving is not None and serving.version == registered.version
            if is_serving or registered.stage is not Stage.DEV:
                stage, _ = self._add(
                    "stage", f"{model}:{registered.stage}:{version}", str(registered.stage), [model]
                )
                self._edge(node, stage)
        return node

    def _file(self, path: Path) -> str:
        sha256, places = find_file(self.catalog, path)
        node, _ = self._add("file", sha256, path.name, [short(sha256)])
        for place in places:
            if isinstance(place, ModelFound):
                self._edge(self._model(place.model, place.registered.version), node)
            elif isinstance(place, DataFound):
                manifest = place.frozen.manifest
                self._edge(self._data(manifest.name, manifest.version), node)
            elif isinstance(place, RunFound):
                self._edge(self._run(place.record), node)
        return node

    def _runs_of(self, ref: str) -> None:
        """Add the runs that used a data set, and the models they made."""
        using = [
            one
            for one in self._runs()
            if any(item["ref"] == ref for item in (*one.data, *one.eval_data))
        ]
        for record in reversed(using):
            if len(self.nodes) >= MAX_NODES:
                self.notes.append(f"{len(using)} runs used {ref}; the newest are drawn.")
                return
            self._run(record)
            if record.model_reference:
                self._model(*record.model_reference)

    def _runs(self) -> list[RunRecord]:
        if self._all_runs is None:
            self._all_runs = [one for one in self.catalog.runs.all() if isinstance(one, RunRecord)]
        return self._all_runs


def _snapshots_of(record: RunRecord) -> list[str]:
    return [one["ref"] for one in record.outputs.get("snapshots") or []]


def describe_code(record: RunRecord) -> list[str]:
    """Return what is known of a run's code, the most telling first; empty when nothing is."""
    code = record.code
    lines = []
    if record.code_commit:
        dirty = " + changes" if code.get("dirty") else ""
        lines.append(f"commit {record.code_commit[:12]}{dirty}")
    if code.get("cell_sha256"):
        lines.append(f"cell {short(code['cell_sha256'])}")
    if code.get("notebook"):
        lines.append(str(code["notebook"]))
    return lines


def find_file(catalog: Catalog, path: Path) -> tuple[str, list[Found]]:
    """Return a file's SHA-256 and every version and run that holds a file of that content.

    Raises
    ------
    StorageError
        When it cannot be read.
    NotFoundError
        When nothing in the project holds that content.
    """
    try:
        with open_frozen(path) as handle:
            sha256, _ = hash_stream(handle)
    except OSError as exc:
        raise StorageError(f"{path} cannot be read: {exc.strerror}.") from exc
    found: list[Found] = []
    for model in catalog.registrar.models():
        registry = catalog.registrar.load(model)
        for registered in registry.versions:
            try:
                manifest = catalog.models.load(model, registered.version).manifest
            except (NotFoundError, FormatError):
                continue
            if any(one.sha256 == sha256 for one in manifest.files):
                found.append(ModelFound(model, registered))
    for name, version in catalog.snapshots.references():
        try:
            frozen = catalog.snapshots.load(name, str(version))
        except FormatError:
            continue
        if any(one.sha256 == sha256 for one in frozen.manifest.files):
            found.append(DataFound(frozen))
    found += [
        RunFound(record)
        for record in catalog.runs.all()
        if isinstance(record, RunRecord)
        and any(one.get("sha256") == sha256 for one in record.artifacts)
    ]
    if not found:
        raise NotFoundError(
            f"nothing in this project has the content of {path} (sha256 {sha256}): it was changed "
            "after it was recorded, or never recorded."
        )
    return sha256, found


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
    lineage = LineageBuilder(catalog).around(asked)
    sha256: str | None = None
    held_by: tuple[str, ...] = ()
    subject = asked
    if isinstance(asked, FileFound):
        sha256, places = find_file(catalog, asked.path)
        held_by = tuple(_called(one) for one in places)
        subject = places[0]
    run_id: str | None = None
    manifest, model = None, None
    if isinstance(subject, ModelFound):
        model, run_id = subject, subject.registered.run_id
        try:
            manifest = catalog.models.load(subject.model, subject.registered.version).manifest
        except (NotFoundError, FormatError):
            manifest = None
    elif isinstance(subject, DataFound):
        manifest = subject.frozen.manifest
        run_id = manifest.run_id
    elif isinstance(subject, RunFound):
        run_id = subject.record.run_id
    record, notes = _record(catalog, run_id)
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
    except (NotFoundError, FormatError) as exc:
        return None, (f"Its run {run_id} cannot be read: {exc.message}",)
    notes = [f"The record was edited by hand: {record.problem}."] if record.problem else []
    if record.code_commit is None:
        notes.append(
            f"The code was outside git; the cell's source is kept in runs/{run_id}/session.json."
        )
    elif record.code.get("dirty"):
        notes.append(
            "The tree had changes that were not committed; the cell's source is kept in "
            f"runs/{run_id}/session.json."
        )
    return record, tuple(notes)
