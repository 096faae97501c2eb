"""runs/<run_id>.yaml: one repro record per run.

A record is what anyone needs to run the training again: code, data, params, environment, and what came
out. It is written when the run starts and once more when it ends; after that it never changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from nbversion.errors import InvalidInputError
from nbversion.formats.fields import SCHEMA_VERSION, Fields
from nbversion.formats.json_text import decode_number, encode_floats, ordered, record_digest
from nbversion.formats.manifest import check_below, missing_digest
from nbversion.formats.yaml_text import dump_yaml, parse_yaml
from nbversion.hashing import is_digest
from nbversion.names import is_made_run_id

STATUSES = ("running", "finished", "failed", "interrupted", "lost")
_KEYS = (
    "run_id",
    "code_commit",
    "data_snapshot",
    "params",
    "env",
    "outputs",
    "data",
    "eval_data",
    "status",
    "started_utc",
    "duration_s",
    "owner",
    "code",
    "inputs",
    "artifacts",
    "origins",
    "environment",
    "warnings",
    "record_digest",
    "schema_version",
)
# What the lesson's own record has, which somebody writes by hand.
_LESSON_KEYS = _KEYS[:6]
_TEXT_AT = frozenset(
    {
        *((key,) for key in ("run_id", "code_commit", "data_snapshot", "status", "started_utc")),
        ("owner",),
        ("env", "python"),
        ("env", "requirements_lock"),
        ("env", "container_image"),
        ("outputs", "model"),
        ("outputs", "model_version"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run.

    Parameters
    ----------
    run_id : str
    code_commit : str or None
        40 hex digits; None outside git. A hand-written record may hold a short one.
    params : dict
        Names and values, as they were when the cell began.
    env : dict
        ``python``, ``requirements_lock``, ``container_image``.
    outputs : dict
        ``model``, ``model_version``, ``metrics``, ``snapshots`` (``{ref, digest}``).
    data, eval_data : tuple of dict
        ``{ref, digest}`` of every data set that was verified before the run.
    status : str
        One of `STATUSES`.
    duration_s : float or None
        Seconds, wall clock.
    code : dict
        Cell digests, notebook, cell id, whether the tree was dirty.
    inputs, artifacts : tuple of dict
        ``path``, ``size_bytes``, ``sha256``, and for inputs how it was seen.
    origins : dict
        Where each param's value comes from.
    environment : dict
        Fingerprint, platform, CPU, threads, hash seed, determinism variables.
    problem : str or None
        What shows that the file was edited by hand.
    """

    run_id: str
    code_commit: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    env: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    data: tuple[dict[str, Any], ...] = ()
    eval_data: tuple[dict[str, Any], ...] = ()
    status: str = "finished"
    started_utc: str = ""
    duration_s: float | None = None
    owner: str = ""
    code: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[dict[str, Any], ...] = ()
    artifacts: tuple[dict[str, Any], ...] = ()
    origins: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    problem: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Any]:
        """The final metrics, non-finite ones as floats."""
        found = self.outputs.get("metrics")
        return {k: decode_number(v) for k, v in found.items()} if isinstance(found, dict) else {}

    @property
    def model_reference(self) -> tuple[str, str] | None:
        """The model and the version that the run registered, or None."""
        model, version = self.outputs.get("model"), self.outputs.get("model_version")
        return (model, version) if model and version else None

    def to_json(self) -> dict[str, Any]:
        """Return the record in the order of the contract."""
        record: dict[str, Any] = {
            "run_id": self.run_id,
            "code_commit": self.code_commit,
            "data_snapshot": self.data[0]["ref"] if self.data else None,
            "params": self.params,
            "env": self.env,
            "outputs": self.outputs,
            "data": list(self.data),
            "eval_data": list(self.eval_data),
            "status": self.status,
            "started_utc": self.started_utc,
            "duration_s": self.duration_s,
            "owner": self.owner,
            "code": self.code,
            "inputs": list(self.inputs),
            "artifacts": list(self.artifacts),
            "origins": self.origins,
            "environment": self.environment,
            "warnings": list(self.warnings),
            "schema_version": SCHEMA_VERSION,
            **self.extra,
        }
        record = encode_floats(record)
        record["record_digest"] = record_digest(record)
        return ordered(record, _KEYS)

    def dump(self) -> bytes:
        """Return the text of the record's file."""
        return dump_yaml(self.to_json())


def parse_run(data: bytes, where: str, run_id: str) -> RunRecord:
    """Parse the record that lies in the file of `run_id`.

    Raises
    ------
    FormatError
        When the text is no record, or that of another run.
    """
    fields = Fields(where, parse_yaml(data, where, text_at=_TEXT_AT))
    fields.check_schema()
    if fields.required("run_id") != run_id:
        raise fields.error("run_id", f"{run_id!r}, as the file is called")
    status = fields.text("status", "finished")
    if status not in STATUSES:
        raise fields.error("status", "one of " + ", ".join(STATUSES))
    snapshot = fields.optional("data_snapshot")
    named = [_data(item) for item in fields.records("data")]
    if not named and snapshot:
        named = [{"ref": snapshot, "digest": None}]
    duration = fields.values.get("duration_s")
    if duration is not None and (
        isinstance(duration, bool)
        or not isinstance(duration, int | float)
        or not math.isfinite(duration)
    ):
        raise fields.error("duration_s", "a number of seconds")
    for item in fields.records("files"):
        item.required("path")
        _below(item)
        item.required("sha256")
    recorded = fields.optional("record_digest")
    expected = record_digest(fields.values)
    if recorded is not None and not is_digest(recorded):
        raise fields.error("record_digest", "sha256: and 64 lower-case hex digits")
    return RunRecord(
        run_id=run_id,
        code_commit=fields.optional("code_commit"),
        params=fields.mapping("params"),
        env=_env(fields),
        outputs=_outputs(fields),
        data=tuple(named),
        eval_data=tuple(_data(item) for item in fields.records("eval_data")),
        status=status,
        started_utc=fields.text("started_utc"),
        duration_s=duration,
        owner=fields.text("owner"),
        code=fields.mapping("code"),
        inputs=tuple(item.values for item in fields.records("inputs")),
        artifacts=tuple(_below(item) for item in fields.records("artifacts")),
        origins=fields.mapping("origins"),
        environment=fields.mapping("environment"),
        warnings=fields.texts("warnings"),
        problem=(
            f"record_digest says {recorded}, its content gives {expected}"
            if recorded is not None and recorded != expected
            else missing_digest(fields, expected) or _cut_off(fields, run_id, expected)
        ),
        extra={key: value for key, value in fields.values.items() if key not in _KEYS},
    )


def _cut_off(fields: Fields, run_id: str, content: str) -> str | None:
    """Return the problem of a record that we wrote and whose end, with the digest, is gone."""
    ours = is_made_run_id(run_id) and not {*fields.values} <= {*_LESSON_KEYS}
    if not ours or fields.optional("record_digest") is not None:
        return None
    return f"record_digest says nothing, its content gives {content}"


def _data(item: Fields) -> dict[str, Any]:
    item.required("ref")
    item.optional("digest")
    return item.values


def _below(item: Fields) -> dict[str, Any]:
    """Refuse a path that `verify` would follow out of the project."""
    if item.optional("path") is not None:
        try:
            check_below(item.text("path"))
        except InvalidInputError as exc:
            raise item.error("path", "a plain relative path below the project") from exc
    item.optional("sha256")
    return item.values


def _env(fields: Fields) -> dict[str, Any]:
    env = Fields(f"{fields.where} (env)", fields.mapping("env"))
    for key in ("python", "requirements_lock", "container_image"):
        env.optional(key)
    return env.values


def _outputs(fields: Fields) -> dict[str, Any]:
    outputs = Fields(f"{fields.where} (outputs)", fields.mapping("outputs"))
    outputs.optional("model")
    outputs.optional("model_version")
    outputs.mapping("metrics")
    for item in outputs.records("snapshots"):
        _data(item)
    return outputs.values
