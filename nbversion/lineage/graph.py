"""The graph of what led to what, grown from the records."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbversion import names
from nbversion.errors import NbversionError
from nbversion.formats.json_text import canonical_json
from nbversion.formats.run_record import RunRecord
from nbversion.hashing import digest_of
from nbversion.lineage.files import find_file
from nbversion.names import Stage, Version
from nbversion.render.amounts import human_value, short
from nbversion.render.card import Card, Graph, Node, NodeKind
from nbversion.render.dot import graph_dot
from nbversion.render.shown import Shown
from nbversion.render.svg import graph_svg
from nbversion.store.catalog import Catalog, DataFound, ModelFound, RunFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbversion.formats.registry import RegisteredVersion
    from nbversion.store.catalog import Found

    # Label, detail lines, and what leads further up from the node whose id is given.
    _Made = tuple[str, list[str], Callable[[str], None] | None]

# What a person can still read in one picture; dot itself needs 14 s for 5,000 nodes.
MAX_NODES = 60
_DETAILS = 4
# What a record names may not be there, not be readable, or not even be a name.
_UNREADABLE = (NbversionError, ValueError)
# What a record names may not be there, not be readable, or not even be a name.
_UNREADABLE = (NbversionError, ValueError)


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
    """A graph that grows upward from what was asked, nearest first, then one step down.

    It stops at `MAX_NODES`, so that a long chain costs no more than what is drawn of it.

    Parameters
    ----------
    catalog : Catalog
    """

    catalog: Catalog
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _left_out: set[str] = field(default_factory=set)
    _pending: deque[Callable[[], None]] = field(default_factory=deque)
    _all_runs: list[RunRecord] | None = None

    def around(self, found: Found) -> Lineage:
        """Return everything that led to a thing, and what was made of it."""
        if isinstance(found, DataFound):
            manifest = found.frozen.manifest
            focus, title = self._data(manifest.reference), manifest.reference
            self._drain()
            self._runs_of(manifest.reference)
        elif isinstance(found, ModelFound):
            focus = self._model(found.model, found.registered.version)
            title = names.model_ref(found.model, found.registered.version)
            self._drain()
            self._releases_of(found.model, found.registered.version)
        elif isinstance(found, RunFound):
            focus, title = self._run(found.record), found.record.run_id
            self._made_by(found.record)
        else:
            return self.around_file(found.path, *find_file(self.catalog, found.path))
        return self._finish(f"Lineage of {title}", focus)

    def around_file(self, path: Path, sha256: str, places: list[Found]) -> Lineage:
        """Return what led to a file whose content `places` hold."""
        focus = self._add("file", sha256, path.name, [short(sha256)])
        for place in places:
            if isinstance(place, ModelFound):
                self._edge(self._model(place.model, place.registered.version), focus)
            elif isinstance(place, DataFound):
                manifest = place.frozen.manifest
                self._edge(self._data(manifest.reference), focus)
            elif isinstance(place, RunFound):
                self._edge(self._run(place.record), focus)
        return self._finish(f"Lineage of {path.name}", focus)

    def everything(self) -> Lineage:
        """Return the lineage of each model's serving version, or of its newest one."""
        models = self.catalog.registrar.models()
        for model in models:
            try:
                registry = self.catalog.registrar.load(model)
            except NbversionError as exc:
                self.notes.append(exc.message)
                continue
            shown = registry.production or max(
                registry.versions, key=lambda one: Version(one.version), default=None
            )
            if shown is not None:
                self._model(model, shown.version)
                self._drain()
        for record in () if models else reversed(self._runs()):
            if len(self.nodes) >= MAX_NODES // 2:
                break
            self._run(record)
            self._drain()
        for name, version in self.catalog.snapshots.references():
            if len(self.nodes) >= MAX_NODES // 2:
                break
            self._data(names.data_ref(name, str(version)))
            self._drain()
        return self._finish("Lineage of the project", None)

    def _finish(self, title: str, focus: str | None) -> Lineage:
        self._drain()
        if self._left_out:
            self.notes.append(
                f"{len(self._left_out)} or more further nodes are not drawn; ask for one of those "
                "at the edge by name."
            )
        if not self.nodes:
            self.notes.append("Nothing is recorded yet: begin with %snapshot and %%trackrun.")
        edges = tuple(one for one in self.edges if one[0] in self.nodes and one[1] in self.nodes)
        graph = Graph(nodes=tuple(self.nodes.values()), edges=edges, focus=focus)
        return Lineage(title=title, graph=graph, notes=tuple(self.notes))

    # -- nodes -----------------------------------------------------------------------------

    def _add(self, kind: NodeKind, key: str, label: str, detail: list[str]) -> str:
        """Add a node with what is known of it, unless it is there or the picture is full."""
        return self._place(kind, key, lambda: (label, detail, None))

    def _place(self, kind: NodeKind, key: str, make: Callable[[], _Made]) -> str:
        """Add a node that is read only when there is room for it, and return its id."""
        identity = f"{kind}:{key}"
        if identity in self.nodes:
            return identity
        if len(self.nodes) >= MAX_NODES:
            self._left_out.add(identity)
            return identity
        label, detail, grow = make()
        self.nodes[identity] = Node(
            id=identity, kind=kind, label=label, detail=tuple(one for one in detail if one)
        )
        if grow is not None:
            self._pending.append(lambda: grow(identity))
        return identity

    def _drain(self) -> None:
        """Grow upward from every node that was added, without recursion: chains are long."""
        while self._pending:
            self._pending.popleft()()

    def _edge(self, source: str, target: str) -> None:
        self.edges[source, target] = None

    def _data(self, ref: str) -> str:
        def make() -> _Made:
            name, _, version = ref.rpartition("_")
            try:
                manifest = self.catalog.snapshots.load(name, version).manifest
            except _UNREADABLE:
                return ref, ["not there"], None
            detail = [short(manifest.digest), manifest.source or ""]
            run_id = manifest.run_id
            if not run_id:
                return ref, detail, None
            return ref, detail, lambda node: self._edge(self._run_id(run_id), node)

        return self._place("data", ref, make)

    def _run_id(self, run_id: str) -> str:
        def make() -> _Made:
            try:
                return self._describe(self.catalog.runs.load(run_id))
            except _UNREADABLE:
                return run_id, ["no readable record"], None

        return self._place("run", run_id, make)

    def _run(self, record: RunRecord) -> str:
        return self._place("run", record.run_id, lambda: self._describe(record))

    def _describe(self, record: RunRecord) -> _Made:
        metrics = [f"{key} {human_value(value)}" for key, value in record.metrics.items()]
        detail = [record.status, *metrics[:_DETAILS]]
        return record.run_id, detail, lambda node: self._inputs(record, node)

    def _inputs(self, record: RunRecord, node: str) -> None:
        for one in (*record.data, *record.eval_data):
            self._edge(self._data(one["ref"]), node)
        code = describe_code(record)
        if code:
            self._edge(self._add("code", "|".join(code), code[0], code[1:]), node)
        if record.params:
            listed = [f"{key} = {human_value(value)}" for key, value in record.params.items()]
            more = [f"and {len(listed) - _DETAILS} more"] if len(listed) > _DETAILS else []
            key = digest_of(canonical_json(record.params))
            self._edge(self._add("params", key, "params", [*listed[:_DETAILS], *more]), node)
        python, lock = record.env.get("python"), record.env.get("requirements_lock")
        if python or lock:
            detail = [
                f"lock {short(lock)}" if lock else "",
                record.env.get("container_image") or "",
            ]
            self._edge(
                self._add("environment", f"{python}|{lock}", f"Python {python}", detail), node
            )

    def _model(self, model: str, version: str) -> str:
        ref = names.model_ref(model, version)

        def make() -> _Made:
            try:
                registry = self.catalog.registrar.load(model)
                registered = registry.find(version)
            except _UNREADABLE:
                registered = None
            if registered is None:
                return ref, [], None
            known = registered
            return ref, [short(known.digest)], lambda node: self._origin(model, known, node)

        return self._place("model", ref, make)

    def _origin(self, model: str, registered: RegisteredVersion, node: str) -> None:
        if registered.derived_from:
            self._edge(self._model(model, registered.derived_from), node)
        elif registered.run_id:
            self._edge(self._run_id(registered.run_id), node)
        if registered.stage is not Stage.DEV:
            key = f"{model}:{registered.stage}:{registered.version}"
            self._edge(node, self._add("stage", key, str(registered.stage), [model]))

    # -- downward --------------------------------------------------------------------------

    def _made_by(self, record: RunRecord) -> None:
        node = self._run(record)
        for one in _snapshots_of(record):
            self._edge(node, self._data(one))
        if record.model_reference:
            self._edge(node, self._model(*record.model_reference))
            self._releases_of(*record.model_reference)
        self._drain()

    def _releases_of(self, model: str, version: str) -> None:
        """Add the releases that a pre-release was published as, with their stages."""
        try:
            registry = self.catalog.registrar.load(model)
        except _UNREADABLE:
            return
        for one in registry.versions:
            if one.derived_from == version:
                self._model(model, one.version)
        self._drain()

    def _runs_of(self, ref: str) -> None:
        """Add the runs that used a data set, and what they made."""
        using = [
            one
            for one in self._runs()
            if any(item["ref"] == ref for item in (*one.data, *one.eval_data))
        ]
        for record in reversed(using):
            if len(self.nodes) >= MAX_NODES:
                self.notes.append(f"{len(using)} runs used {ref}; the newest are drawn.")
                return
            self._made_by(record)

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
        lines.append(f"cell {short(str(code['cell_sha256']))}")
    if code.get("notebook"):
        lines.append(str(code["notebook"]))
    return lines
