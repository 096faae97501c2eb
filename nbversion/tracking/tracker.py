"""One run from its first check to its frozen record."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
import time
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion import names
from nbversion.capture.environment import container_image, index_hashes, read_environment
from nbversion.capture.git import read_git_state
from nbversion.capture.secrets import (
    is_secret_name,
    mask_source,
    mask_text,
    mask_value,
    mask_values,
    secret_values,
)
from nbversion.capture.values import encode_metric, encode_param, is_text, scalar
from nbversion.errors import InvalidInputError, NbversionError
from nbversion.formats.json_text import dump_json, encode_number
from nbversion.formats.manifest import check_below
from nbversion.formats.model_card import first_model_card
from nbversion.formats.run_record import RunRecord
from nbversion.process import this_process
from nbversion.store.folder import OURS
from nbversion.store.models import ModelContent, taken
from nbversion.store.promotion import Signature, plan_register
from nbversion.store.quarantine import open_quarantine
from nbversion.store.snapshot_record import Request, Snapshot
from nbversion.tracking.artifacts import RunFiles
from nbversion.tracking.model_items import model_items
from nbversion.tracking.run import Run
from nbversion.tracking.unregistered import is_left_over, refuse_lost_registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbversion.capture.environment import Environment
    from nbversion.capture.git import GitState
    from nbversion.formats.registry import Registry
    from nbversion.store.catalog import Catalog
    from nbversion.store.frozen import FrozenVersion
    from nbversion.tracking.request import CodeFacts, Results, RunRequest

# PyYAML reads no key of more than 1,024 characters.
_LABEL_MAX = 200
_FIGURE_SUFFIXES = (".eps", ".jpeg", ".jpg", ".pdf", ".png", ".svg", ".tif", ".tiff", ".webp")


@dataclass(slots=True, kw_only=True, repr=False)
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
    # The folder of the asked version that a killed run left before it could register it.
    _left_over: str = field(init=False, default="")
    _params: dict[str, tuple[Any, str]] = field(init=False, default_factory=dict)
    _metrics: dict[str, Any] = field(init=False, default_factory=dict)
    _steps: list[dict[str, Any]] = field(init=False, default_factory=list)
    _data: list[FrozenVersion] = field(init=False, default_factory=list)
    _warnings: list[str] = field(init=False, default_factory=list)
    _files: RunFiles = field(init=False)
    _artifacts: tuple[dict[str, Any], ...] = field(init=False, default=())
    _pid: int = field(init=False, default_factory=os.getpid)
    _ended: bool = field(init=False, default=False)
    _secrets: set[str] = field(init=False, default_factory=set)

    def __repr__(self) -> str:
        return f"<run {self.record.run_id}, {self.record.status}>"

    def __post_init__(self) -> None:
        self._files = RunFiles(self.catalog.project)

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
        if self._left_over:
            project = self.catalog.project
            project.disk.set_aside(project.root / self._left_over, open_quarantine(project))
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
        else:
            refuse_lost_registry(self.catalog, request.model)
        if request.version is not None:
            version = names.model_version(request.version)
            if version in self.catalog.models.used(request.model, self._registry):
                if not is_left_over(self.catalog, request.model, str(version)):
                    raise taken(request.model, str(version))
                self._left_over = self.catalog.project.model_folder(request.model, str(version))

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
        self._check_open()
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
        self._check_open()
        _check_label(name, "a param")
        self._params[name] = (encode_param(name, value), "logged")

    def log_artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a copy of a file, or of a folder's files, as it is now.

        Raises
        ------
        NotFoundError, InvalidInputError, StorageError
            When it cannot be read or its name is taken.
        """
        self._check_open()
        self._files.keep(path, name)

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure (anything with ``savefig``) as a picture.

        Raises
        ------
        InvalidInputError
            When it is no figure, or its name is taken.
        """
        self._check_open()
        suffix = Path(name).suffix.lower()
        # ``loss_lr0.1`` has no suffix, whatever it looks like.
        name = check_below(name if suffix in _FIGURE_SUFFIXES else f"{name}.png")
        save = getattr(figure, "savefig", None)
        if save is None and hasattr(figure, "figure"):
            save = getattr(figure.figure, "savefig", None)
        if save is None:
            raise InvalidInputError(
                f"{name!r}: a {type(figure).__name__} has no savefig; save it to a file and give "
                "that to nbversion.log_artifact."
            )
        buffer = BytesIO()
        save(buffer, format=Path(name).suffix[1:])
        self._files.keep_bytes(buffer.getvalue(), name, "figure")

    def use_data(self, frozen: FrozenVersion) -> None:
        """Note a data set that the cell took by ``nbversion.data``, verified by the caller."""
        known = (*self.request.data, *self.request.eval_data, *self._data)
        if frozen.manifest.reference not in [one.manifest.reference for one in known]:
            self._data.append(frozen)

    def warn(self, sentence: str) -> None:
        """Add a sentence to the record's warnings."""
        if sentence not in self._warnings:
            self._warnings.append(sentence)

    def _check_open(self) -> None:
        """Refuse what would reach no record."""
        if self._ended or not self.is_ours:
            why = "has ended" if self._ended else "is that of the process that began it"
            raise InvalidInputError(f"the run {self.record.run_id} {why}. Nothing was recorded.")

    # -- after the user's code -------------------------------------------------------------

    def end(self, results: Results) -> Run:
        """Write everything down; the record is written even when the rest cannot be.

        Returns
        -------
        Run
            Its record is frozen. What could not be done is in `results.problems`. A forked child
            writes nothing.
        """
        if not self.is_ours:
            return Run(record=self.record)
        draft = self._draft(results, round(time.perf_counter() - self._started, 6))
        try:
            self._keep(draft, results)
        except BaseException as exc:
            # Interrupted while saving, say: the record must not say "running" for ever.
            if draft.status == "finished":
                draft = replace(draft, status=status_of(exc))
                draft.extra["error"] = self._described(exc)
            self._warnings.append("The code had ended; saving what it left behind did not.")
            raise
        finally:
            self._ended = True
            self._files.close()
            self._warnings += [one.message for one in results.problems]
            warnings = tuple(_clean(self._masked(one)) for one in self._warnings)
            self.record = replace(draft, artifacts=self._artifacts, warnings=warnings)
            self.catalog.runs.end(self.record)
        return Run(record=self.record)

    def _masked(self, text: str) -> str:
        return mask_values(mask_text(text), self._secrets)

    def _masked_param(self, name: str, value: Any) -> Any:
        masked = mask_value(name, value)
        return self._masked(masked) if isinstance(masked, str) else masked

    def _described(self, exc: BaseException) -> dict[str, str]:
        try:
            text = str(exc)
        except Exception:  # noqa: BLE001  # the user's own __str__ may do anything
            text = "(its text cannot be shown)"
        return {"type": type(exc).__name__, "message": _clean(self._masked(text))[:2000]}

    def _draft(self, results: Results, duration: float) -> RunRecord:
        params = {**results.params, **self._params}
        # What was masked by its name must not come back in an error's words.
        self._secrets = secret_values(self.code.source) | {
            value
            for key, (value, _) in params.items()
            if isinstance(value, str) and len(value) > 3 and is_secret_name(key)
        }
        extra = {key: one for key, one in self.record.extra.items() if key != "process"}
        if results.error is not None:
            extra["error"] = self._described(results.error)
        return replace(
            self.record,
            params={key: self._masked_param(key, value) for key, (value, _) in params.items()},
            origins={key: origin for key, (_, origin) in params.items()},
            data=(*self.record.data, *_named(tuple(self._data))),
            status=results.status,
            duration_s=duration,
            outputs={**self.record.outputs, "metrics": {**results.metrics, **self._metrics}},
            extra=extra,
        )

    def _keep(self, draft: RunRecord, results: Results) -> None:
        """Keep the files, freeze the outputs and register the model, noting each in the draft."""
        finished = results.status == "finished"
        for path in self.request.artifacts if finished else ():
            self._attempt(results, lambda path=path: self._files.keep(path))  # type: ignore[misc]
        if self._attempt(results, lambda: self._publish_files(draft)):
            self._artifacts = self._files.listed(draft.run_id)
        if not finished:
            return
        frozen = self._freeze_outputs(results)
        draft.outputs["snapshots"] = [
            {"ref": one.reference, "digest": one.manifest.digest} for one in frozen
        ]
        if results.has_model:
            self._attempt(results, lambda: self._register(draft, results))

    def _attempt(self, results: Results, act: Callable[[], object]) -> bool:
        try:
            act()
        except NbversionError as exc:
            results.problems.append(exc)
            return False
        return True

    def _publish_files(self, draft: RunRecord) -> None:
        """Publish the run's folder: artifacts, the metrics' curves, the cell's source."""
        cell = {
            "execution_count": self.code.execution_count,
            "cell_id": self.code.cell_id,
            "source": _clean(self._masked(mask_source(self.code.source))),
            **self.code.digests,
        }
        run_id = self.record.run_id
        texts = {
            "session.json": dump_json({"run_id": run_id, "cells": [cell], "schema_version": 1})
        }
        if self._steps:
            texts["metrics.jsonl"] = b"".join(dump_json(one) for one in self._steps)
        draft.extra["files"] = self._files.publish(run_id, texts)

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


def _check_label(name: object, what: str) -> None:
    """Refuse a name that a record could not show."""
    if not is_text(name) or not 0 < len(name.strip()) <= _LABEL_MAX:
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
        "libc": environment.machine.libc,
        "cpu": environment.cpu,
        "threads": dict(environment.threads),
        "hash_seed": environment.hash_seed,
        "determinism": dict(environment.determinism),
    }


def _ours_below(top: Path, root: Path) -> tuple[str, ...]:
    """Return our own paths in `root` as paths below `top`, where root lies there."""
    with contextlib.suppress(ValueError):
        below = root.resolve().relative_to(top.resolve()).as_posix()
        base = glob.escape(below)
        return tuple(path if below == "." else f"{base}/{path}" for path in OURS)
    return ()


def status_of(exc: BaseException) -> str:
    """Return how a run ended that `exc` ended; an interrupted ``await`` is cancelled."""
    interrupted = isinstance(exc, KeyboardInterrupt) or _is_cancelled(exc)
    return "interrupted" if interrupted else "failed"


def _is_cancelled(exc: BaseException) -> bool:
    # Only who waits has loaded it: 20 ms.
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(exc, asyncio.CancelledError)


def _clean(text: str) -> str:
    """Return text that can be written as UTF-8 whatever an error message held."""
    return text.encode("utf-8", "backslashreplace").decode()
