"""A run from its first check to its frozen record; shared by the cell magic and by scripts.

Order of a run: check everything that was asked, verify the data, note the environment and the code,
create the record as running; then the user's code; then artifacts, outputs, model, registry, and last
the record. What fails after the user's code never loses the run: the record is kept and says so.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion import names
from nbversion.capture.environment import container_image, index_hashes, read_environment
from nbversion.capture.git import read_git_state
from nbversion.capture.process import this_process
from nbversion.capture.secrets import mask_source, mask_text, mask_value
from nbversion.capture.serializers import full_name, serialize
from nbversion.capture.values import encode_metric, encode_param, scalar
from nbversion.errors import InvalidInputError, NbversionError
from nbversion.formats.json_text import dump_json, encode_number
from nbversion.formats.manifest import check_below
from nbversion.formats.model_card import first_model_card
from nbversion.formats.run_record import RunRecord
from nbversion.hashing import blocks
from nbversion.render.amounts import human_seconds, human_value, short
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown
from nbversion.store.folder import OURS, RUNS
from nbversion.store.models import ModelContent, taken
from nbversion.store.promotion import Signature, plan_register
from nbversion.store.snapshots import Request, Snapshot
from nbversion.store.sources import list_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbversion.capture.environment import Environment
    from nbversion.capture.git import GitState
    from nbversion.disk import Staging
    from nbversion.formats.registry import Registry
    from nbversion.store.catalog import Catalog
    from nbversion.store.frozen import FrozenVersion

# PyYAML reads no key of more than 1,024 characters.
_LABEL_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run was asked to do, all of it checked before the user's code starts.

    Parameters
    ----------
    name : str
    data, eval_data : tuple of FrozenVersion
        Resolved, not yet verified.
    model : str or None
    version : str or None
        A release or pre-release for the model; None for the next ``-dev.N``.
    artifacts : tuple of Path
        Files to keep when the run has ended; absolute.
    outputs : tuple of (str, Path)
        Data sets to freeze when the run has ended; absolute paths.
    """

    name: str
    data: tuple[FrozenVersion, ...] = ()
    eval_data: tuple[FrozenVersion, ...] = ()
    model: str | None = None
    version: str | None = None
    artifacts: tuple[Path, ...] = ()
    outputs: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFacts:
    """The code that a run executes.

    Parameters
    ----------
    source : str
        As the user wrote it.
    digests : mapping
        ``cell_sha256`` of the raw, ``cell_sha256_normalised`` of the normalised source.
    notebook, cell_id : str or None
        Where the front end tells.
    execution_count : int or None
    """

    source: str
    digests: Mapping[str, str]
    notebook: str | None = None
    cell_id: str | None = None
    execution_count: int | None = None


@dataclass(slots=True, kw_only=True)
class Results:
    """What the user's code left behind.

    Parameters
    ----------
    status : {"finished", "failed", "interrupted"}
    error : BaseException or None
    params : dict
        Name to value and origin.
    metrics : dict
    model : object or None
        The object, or the path of the file or folder, to register; `has_model` tells whether any.
    problems : list of NbversionError
        What could not be captured; the first is raised once the record is written.
    """

    status: str = "finished"
    error: BaseException | None = None
    params: dict[str, tuple[Any, str]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    has_model: bool = False
    problems: list[NbversionError] = field(default_factory=list)


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
        commit = record.code_commit[:12] if record.code_commit else "outside git"
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


@dataclass(slots=True, kw_only=True)
class Tracker:
    """One run under way.

    Parameters
    ----------
    catalog : Catalog
    request : RunRequest
    code : CodeFacts
    """

    catalog: Catalog
    request: RunRequest
    code: CodeFacts
    record: RunRecord = field(init=False)
    _started: float = field(init=False, default=0.0)
    _registry: Registry | None = field(init=False, default=None)
    _params: dict[str, tuple[Any, str]] = field(init=False, default_factory=dict)
    _metrics: dict[str, Any] = field(init=False, default_factory=dict)
    _steps: list[dict[str, Any]] = field(init=False, default_factory=list)
    _data: list[FrozenVersion] = field(init=False, default_factory=list)
    _artifacts: list[dict[str, Any]] = field(init=False, default_factory=list)
    _warnings: list[str] = field(init=False, default_factory=list)
    _open: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _staging: Staging | None = field(init=False, default=None)
    _pid: int = field(init=False, default_factory=os.getpid)

    # -- before the user's code ------------------------------------------------------------

    def begin(self) -> None:
        """Check what was asked, verify the data and create the record.

        Raises
        ------
        NbversionError
            When anything asked is wrong or any data set fails verification; nothing was written.
        """
        self._check_request()
        asked = (*self.request.data, *self.request.eval_data)
        for frozen in {one.manifest.reference: one for one in asked}.values():
            frozen.verify("The cell was not run.")
        environment, packages = self._read_environment()
        git = read_git_state(self.catalog.project.root, ours=OURS)
        image, image_warning = container_image()
        self._warnings += [*git.warnings, *environment.warnings]
        self._warnings += [image_warning] if image_warning else []
        self.catalog.project.prepare()
        self.catalog.runs.sweep()
        if packages is not None:
            self.catalog.environments.cache(packages)
        lock = self.catalog.environments.keep(
            environment.lock_text, lambda text: index_hashes(text, python=environment.python)
        )
        env = {
            "python": environment.python,
            "requirements_lock": lock,
            "container_image": image,
        }
        self.record = self.catalog.runs.begin(
            self.request.name,
            lambda run_id: RunRecord(
                run_id=run_id,
                code_commit=git.commit,
                env=env,
                outputs={"model": None, "model_version": None, "metrics": {}, "snapshots": []},
                data=_named(self.request.data),
                eval_data=_named(self.request.eval_data),
                status="running",
                started_utc=self.catalog.project.now(),
                owner=self.catalog.project.owner,
                code=self._code(git),
                environment=_environment(environment),
                extra={"name": self.request.name, "process": this_process()},
            ),
        )
        self._started = time.perf_counter()

    def _check_request(self) -> None:
        request = self.request
        names.check_name(request.name, "run")
        for name, _ in request.outputs:
            names.check_name(name, "data set")
        if request.model is None:
            if request.version is not None:
                raise InvalidInputError("--version belongs to --model. The cell was not run.")
            return
        names.check_name(request.model, "model")
        if request.model in self.catalog.registrar.models():
            self._registry = self.catalog.registrar.load_sound(request.model)
        if request.version is not None:
            version = names.model_version(request.version)
            if version in self.catalog.models.used(request.model, self._registry):
                raise taken(request.model, str(version))

    def _read_environment(self) -> tuple[Environment, str | None]:
        cached = self.catalog.environments.cached()
        root = self.catalog.project.root
        environment, packages = read_environment(
            cached,
            # A project that is itself installed editable: what we write there is no change of it.
            git_state=lambda top: read_git_state(top, ours=_ours_below(top, root)),
        )
        return environment, packages if packages != cached else None

    def _code(self, git: GitState) -> dict[str, Any]:
        return {
            **self.code.digests,
            "notebook": self.code.notebook,
            "cell_id": self.code.cell_id,
            "execution_count": self.code.execution_count,
            "branch": git.branch,
            "dirty": git.dirty,
            "changed": list(git.changed),
        }

    # -- called by the user's code ---------------------------------------------------------

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that began the run; a forked child records nothing."""
        return os.getpid() == self._pid

    def log_metric(self, name: str, value: Any, step: int | None = None) -> None:
        """Record a metric; with `step`, one point of its curve as well."""
        _check_label(name, "a metric")
        if step is not None:
            step = scalar(step)
            if isinstance(step, bool) or not isinstance(step, int):
                raise InvalidInputError(
                    f"the step of {name!r} must be a whole number, not {step!r}."
                )
        number = encode_metric(name, value)
        self._metrics[name] = number
        if step is not None:
            elapsed = round(time.perf_counter() - self._started, 6)
            self._steps.append(
                {"name": name, "step": step, "value": encode_number(number), "elapsed_s": elapsed}
            )

    def log_param(self, name: str, value: Any) -> None:
        """Record a param."""
        _check_label(name, "a param")
        self._params[name] = (encode_param(name, value), "logged")

    def log_artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a copy of a file, or of a folder's files, as it is now.

        Raises
        ------
        NotFoundError, InvalidInputError, StorageError
            When it cannot be read or its name is taken.
        """
        source = list_source(path, ignore=self.catalog.project.settings.ignore)
        prefix = "" if path.is_file() else f"{name or path.name}/"
        for below in source.items:
            target = check_below(f"{prefix}{below}" if prefix else name or below)
            self._refuse_taken(target)
            place = self._artifact_staging().folder / "artifacts" / target
            sha256, size = source.read(
                below,
                lambda handle, target=target: self._artifact_staging().write(  # type: ignore[misc]
                    f"artifacts/{target}", blocks(handle)
                ),
                redo=lambda place=place: place.unlink(missing_ok=True),  # type: ignore[misc]
            )
            self._note_artifact(target, size, sha256, self.catalog.project.describe(path))

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure (anything with ``savefig``) as a picture.

        Raises
        ------
        InvalidInputError
            When it is no figure, or its name is taken.
        """
        name = check_below(name if Path(name).suffix else f"{name}.png")
        save = getattr(figure, "savefig", None)
        if save is None and hasattr(figure, "figure"):
            save = getattr(figure.figure, "savefig", None)
        if save is None:
            raise InvalidInputError(
                f"{name!r}: a {type(figure).__name__} has no savefig; save it to a file and give "
                "that to nbversion.log_artifact."
            )
        self._refuse_taken(name)
        buffer = BytesIO()
        save(buffer, format=Path(name).suffix[1:])
        sha256, size = self._artifact_staging().write(f"artifacts/{name}", [buffer.getvalue()])
        self._note_artifact(name, size, sha256, "figure")

    def use_data(self, frozen: FrozenVersion) -> None:
        """Note a data set that the cell took by ``nbversion.data``, verified by the caller."""
        known = (*self.request.data, *self.request.eval_data, *self._data)
        if frozen.manifest.reference not in [one.manifest.reference for one in known]:
            self._data.append(frozen)

    def warn(self, sentence: str) -> None:
        """Add a sentence to the record's warnings."""
        if sentence not in self._warnings:
            self._warnings.append(sentence)

    def _artifact_staging(self) -> Staging:
        if self._staging is None:
            project = self.catalog.project
            self._staging = self._open.enter_context(project.disk.stage(project.root / RUNS))
        return self._staging

    def _refuse_taken(self, name: str) -> None:
        path = f"{RUNS}/{self.record.run_id}/artifacts/{name}"
        if any(one["path"] == path for one in self._artifacts):
            raise InvalidInputError(
                f"this run has an artifact {name!r} already; give another name. It was left as it is."
            )

    def _note_artifact(self, name: str, size: int, sha256: str, source: str) -> None:
        path = f"{RUNS}/{self.record.run_id}/artifacts/{name}"
        self._artifacts.append(
            {"path": path, "size_bytes": size, "sha256": sha256, "source": source}
        )

    # -- after the user's code -------------------------------------------------------------

    def end(self, results: Results) -> Run:
        """Write everything down.

        Returns
        -------
        Run
            Its record is frozen. What could not be done is in `results.problems`.
        """
        duration = round(time.perf_counter() - self._started, 6)
        with self._open:
            for path in self.request.artifacts if results.status == "finished" else ():
                self._attempt(results, lambda path=path: self.log_artifact(path))  # type: ignore[misc]
            self._publish_files()
        params = {**results.params, **self._params}
        metrics = {**results.metrics, **self._metrics}
        record = replace(
            self.record,
            params={key: mask_value(key, value) for key, (value, _) in params.items()},
            origins={key: origin for key, (_, origin) in params.items()},
            data=(*self.record.data, *_named(tuple(self._data))),
            status=results.status,
            duration_s=duration,
            artifacts=tuple(self._artifacts),
            outputs={**self.record.outputs, "metrics": metrics},
            extra={key: one for key, one in self.record.extra.items() if key != "process"},
        )
        if results.error is not None:
            record.extra["error"] = {
                "type": type(results.error).__name__,
                "message": _clean(mask_text(str(results.error)))[:2000],
            }
        if results.status == "finished":
            frozen = self._freeze_outputs(results)
            record.outputs["snapshots"] = [
                {"ref": one.reference, "digest": one.manifest.digest} for one in frozen
            ]
            if results.has_model:
                self._attempt(results, lambda: self._register(record, results))
        self._warnings += [one.message for one in results.problems]
        record = replace(record, warnings=tuple(_clean(one) for one in self._warnings))
        self.catalog.runs.end(record)
        return Run(record=record)

    def _attempt(self, results: Results, act: Callable[[], object]) -> None:
        try:
            act()
        except NbversionError as exc:
            results.problems.append(exc)

    def _publish_files(self) -> None:
        """Publish the run's folder: artifacts, the metrics' curves, the cell's source."""
        project = self.catalog.project
        staging = self._artifact_staging()
        if self._steps:
            lines = b"".join(dump_json(one) for one in self._steps)
            staging.write("metrics.jsonl", [lines])
        cell = {
            "execution_count": self.code.execution_count,
            "cell_id": self.code.cell_id,
            "source": _clean(mask_source(self.code.source)),
            **self.code.digests,
        }
        session = {"run_id": self.record.run_id, "cells": [cell], "schema_version": 1}
        staging.write("session.json", [dump_json(session)])
        staging.flush()
        project.disk.publish(staging.folder, project.root / RUNS / self.record.run_id)

    def _freeze_outputs(self, results: Results) -> list[Snapshot]:
        made: list[Snapshot] = []
        for name, path in self.request.outputs:
            request = Request(name=name, run_id=self.record.run_id)
            self._attempt(
                results,
                lambda path=path, request=request: made.append(  # type: ignore[misc]
                    self.catalog.snapshots.freeze_path(path, request)
                ),
            )
        return made

    def _register(self, record: RunRecord, results: Results) -> None:
        model = self.request.model
        if model is None:
            return
        items, details = model_items(results.model, model)
        content = ModelContent(
            items=items,
            metrics=record.outputs["metrics"],
            params=record.params,
            run_id=record.run_id,
            details=details,
            card=lambda version: first_model_card(model, version, record, details),
        )
        frozen = self.catalog.models.freeze(
            model, content, version=self.request.version, registry=self._registry
        )
        version = frozen.manifest.version
        signature = Signature(actor=self.catalog.project.owner, utc=self.catalog.project.now())
        self.catalog.registrar.commit(
            model,
            lambda registry: plan_register(
                registry,
                version,
                signature,
                digest=frozen.manifest.digest,
                run_id=record.run_id,
            ),
        )
        record.outputs.update(
            {"model": model, "model_version": version, "model_digest": frozen.manifest.digest}
        )


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
    _active.append(tracker)
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


def model_items(value: Any, model: str) -> tuple[dict[str, Path | bytes], dict[str, Any]]:
    """Return the files that a model consists of, and how they were made.

    A `Path` is taken as it is, as ``model`` with its own suffix; any other object is serialized.

    Raises
    ------
    NotFoundError, InvalidInputError
        When the path is not there, or the object cannot be saved.
    """
    if isinstance(value, Path):
        source = list_source(value, ignore=())
        if value.is_dir():
            return {f"model/{path}": item for path, item in source.items.items()}, {
                "serializer": "file"
            }
        return {f"model{''.join(value.suffixes)}": value}, {"serializer": "file"}
    serializer, data = serialize(value, f"the model {model!r}")
    return {f"model{serializer.suffix}": data}, {
        "serializer": serializer.name,
        "type": full_name(type(value)),
    }


def _check_label(name: object, what: str) -> None:
    """Refuse a name that a record could not show."""
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _LABEL_MAX:
        raise InvalidInputError(
            f"{name!r} is no name for {what}: a text of up to {_LABEL_MAX} letters. Nothing was "
            "recorded."
        )


def _named(versions: tuple[FrozenVersion, ...]) -> tuple[dict[str, Any], ...]:
    return tuple({"ref": one.manifest.reference, "digest": one.manifest.digest} for one in versions)


def _environment(environment: Environment) -> dict[str, Any]:
    return {
        "fingerprint": environment.fingerprint,
        "implementation": environment.implementation,
        "platform": environment.platform,
        "system": environment.machine.system,
        "cpu": environment.cpu,
        "threads": dict(environment.threads),
        "hash_seed": environment.hash_seed,
        "determinism": dict(environment.determinism),
    }


def _ours_below(top: Path, root: Path) -> tuple[str, ...]:
    """Return our own paths in `root` as paths below `top`, where root lies there."""
    with contextlib.suppress(ValueError):
        below = root.resolve().relative_to(top.resolve()).as_posix()
        return tuple(path if below == "." else f"{below}/{path}" for path in OURS)
    return ()


def _clean(text: str) -> str:
    """Return text that can be written as UTF-8 whatever an error message held."""
    return text.encode("utf-8", "backslashreplace").decode()
