"""registry.json: which version of a model serves, and everything that led there.

The history is the truth and `versions` its replay: `apply` makes the next registry from one more
entry, `replay` the versions from a whole history, `problems` says where a file breaks its own laws.
No rule of promotion lives here; see `nbversion.store.promotion`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from nbversion import names
from nbversion.errors import InvalidInputError
from nbversion.formats.fields import SCHEMA_VERSION, Fields
from nbversion.formats.json_text import broken, canonical_json, dump_json, ordered, parse_json
from nbversion.hashing import digest_of
from nbversion.names import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

REGISTRY = "registry.json"
Action = Literal["register", "promote", "rollback", "comment", "merge"]
_ACTIONS = ("register", "promote", "rollback", "comment", "merge")
_KEYS = ("name", "versions", "history", "revision", "head", "schema_version")
_VERSION_KEYS = (
    "version",
    "stage",
    "run_id",
    "digest",
    "created_utc",
    "owner",
    "image",
    "derived_from",
    "comments",
)
_ENTRY_KEYS = (
    "revision",
    "op_id",
    "utc",
    "actor",
    "action",
    "version",
    "from_stage",
    "to_stage",
    "displaced",
    "digest",
    "run_id",
    "image",
    "comment",
    "previous",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """One version of the model and the stage it is in.

    Parameters
    ----------
    version : str
    stage : Stage
    digest : str or None
        Of the version's frozen files; None in a registry written by hand.
    image : str or None
        The inference image that was promoted with it.
    derived_from : str or None
        The pre-release whose bytes this release published.
    comments : tuple of dict
        ``{"utc", "actor", "comment"}``, oldest first.
    """

    version: str
    stage: Stage
    run_id: str | None = None
    digest: str | None = None
    created_utc: str | None = None
    owner: str | None = None
    image: str | None = None
    derived_from: str | None = None
    comments: tuple[dict[str, Any], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the version in the order of the contract."""
        return ordered(
            {
                "version": self.version,
                "stage": str(self.stage),
                "run_id": self.run_id,
                "digest": self.digest,
                "created_utc": self.created_utc,
                "owner": self.owner,
                "image": self.image,
                "derived_from": self.derived_from,
                "comments": list(self.comments),
                **self.extra,
            },
            _VERSION_KEYS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write: one link of the chain.

    Parameters
    ----------
    displaced : str or None
        The version that left production by this entry.
    previous : str or None
        The digest of the entry before; None in the first.
    derived_from : str or None
        Set where the entry also published a pre-release's bytes under `version`.
    baseline : tuple of dict
        Only in the first entry: the versions that a hand-written file held before it.
    raw : dict or None
        The entry as its file has it, which is what the chain is taken over.
    """

    revision: int
    op_id: str
    utc: str
    actor: str
    action: Action
    version: str
    from_stage: str | None = None
    to_stage: str | None = None
    displaced: str | None = None
    digest: str | None = None
    run_id: str | None = None
    image: str | None = None
    comment: str | None = None
    previous: str | None = None
    derived_from: str | None = None
    baseline: tuple[dict[str, Any], ...] = ()
    raw: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entry in the order of the contract."""
        if self.raw is not None:
            return ordered(self.raw, _ENTRY_KEYS)
        record = {key: getattr(self, key) for key in _ENTRY_KEYS}
        if self.derived_from is not None:
            record["derived_from"] = self.derived_from
        if self.baseline:
            record["baseline"] = list(self.baseline)
        return ordered(record, _ENTRY_KEYS)

    @property
    def digest_of_entry(self) -> str:
        """What the next entry's `previous`, or the registry's head, must say."""
        return digest_of(canonical_json(self.to_json()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A model's registry.

    Parameters
    ----------
    name : str
    versions : tuple of RegisteredVersion
        In the order of their registration.
    history : tuple of Entry
        Oldest first.
    stated_revision : int
    stated_head : str or None
        What the file says; `problems` compares it with the history.
    """

    name: str
    versions: tuple[RegisteredVersion, ...] = ()
    history: tuple[Entry, ...] = ()
    stated_revision: int = 0
    stated_head: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        """The number of writes so far."""
        return len(self.history)

    @property
    def head(self) -> str | None:
        """The digest of the newest entry."""
        return self.history[-1].digest_of_entry if self.history else None

    def find(self, version: str) -> RegisteredVersion | None:
        """Return the version equal to `version`, or None; also for what is no version at all."""
        try:
            wanted = names.Version(version).semver
        except ValueError:
            return None
        return next(
            (one for one in self.versions if names.Version(one.version).semver == wanted), None
        )

    @property
    def production(self) -> RegisteredVersion | None:
        """The version that serves."""
        return next((one for one in self.versions if one.stage is Stage.PRODUCTION), None)

    def to_json(self) -> dict[str, Any]:
        """Return the registry in the order of the contract."""
        return ordered(
            {
                "name": self.name,
                "versions": [one.to_json() for one in self.versions],
                "history": [one.to_json() for one in self.history],
                "revision": self.revision,
                "head": self.head,
                "schema_version": SCHEMA_VERSION,
                **self.extra,
            },
            _KEYS,
        )

    def dump(self) -> bytes:
        """Return the text of registry.json."""
        return dump_json(self.to_json())

    def apply(self, entry: Entry) -> Registry:
        """Return the registry with one more entry, linked to the one before.

        The entry's `revision`, `previous` and `baseline` are set here.
        """
        baseline = (
            tuple(one.to_json() for one in self.versions)
            if not self.history and self.versions
            else ()
        )
        linked = replace(entry, revision=self.revision + 1, previous=self.head, baseline=baseline)
        versions = {one.version: one for one in self.versions}
        _step(versions, linked)
        return replace(
            self,
            versions=tuple(versions.values()),
            history=(*self.history, linked),
            stated_revision=linked.revision,
            stated_head=linked.digest_of_entry,
        )


def _step(versions: dict[str, RegisteredVersion], entry: Entry) -> None:
    """Change `versions` as `entry` says."""
    if entry.version not in versions and (
        entry.action == "register" or entry.derived_from is not None
    ):
        versions[entry.version] = RegisteredVersion(
            version=entry.version,
            stage=Stage.DEV,
            run_id=entry.run_id,
            digest=entry.digest,
            created_utc=entry.utc,
            owner=entry.actor,
            derived_from=entry.derived_from,
        )
    if entry.displaced in versions:
        left = versions[entry.displaced]
        versions[entry.displaced] = replace(left, stage=Stage.ARCHIVED)
    one = versions.get(entry.version)
    if one is None:
        return
    if entry.action == "comment":
        comment = {"utc": entry.utc, "actor": entry.actor, "comment": entry.comment}
        versions[one.version] = replace(one, comments=(*one.comments, comment))
    else:
        stage = Stage(entry.to_stage) if entry.to_stage is not None else one.stage
        versions[one.version] = replace(one, stage=stage, image=entry.image or one.image)


def replay(history: Iterable[Entry]) -> tuple[RegisteredVersion, ...]:
    """Return the versions that `history` leads to."""
    versions: dict[str, RegisteredVersion] = {}
    for at, entry in enumerate(history):
        if at == 0:
            for values in entry.baseline:
                one = _parse_version(Fields("the baseline of its first entry", values))
                versions[one.version] = one
        _step(versions, entry)
    return tuple(versions.values())


def problems(registry: Registry) -> list[str]:
    """Return what in the file breaks its own laws, in words; empty when it holds.

    A consistent forgery of the whole file is not found here, only against git or a remote. Nor is a
    change of keys that we do not know, outside the history: nothing is derived from them.
    """
    found: list[str] = []
    previous: str | None = None
    for at, entry in enumerate(registry.history, start=1):
        if entry.revision != at:
            found.append(f"entry {at} of the history says revision {entry.revision}")
        if entry.previous != previous:
            found.append(
                f"entry {at} names {entry.previous} as the entry before it, which is {previous}"
            )
        previous = entry.digest_of_entry
    if registry.stated_revision != registry.revision:
        found.append(
            f"revision says {registry.stated_revision}, the history has {registry.revision} entries"
        )
    if registry.stated_head != previous:
        found.append(f"head says {registry.stated_head}, the last entry gives {previous}")
    if registry.history:
        replayed = replay(registry.history)
        expected = {one.version: replace(one, extra={}) for one in replayed}
        wrong = [
            f"version {one.version} is not what the history leads to"
            for one in registry.versions
            if expected.pop(one.version, None) != replace(one, extra={})
        ]
        wrong += [f"version {version} of the history is not listed" for version in expected]
        if not wrong and [one.version for one in registry.versions] != [
            one.version for one in replayed
        ]:
            wrong = ["the versions are not listed in the order of their registration"]
        found += wrong
    elif any(one.digest or one.run_id for one in registry.versions):
        # Written by hand, as in the lesson, a version has a stage only.
        found.append("its history is missing")
    serving = [one.version for one in registry.versions if one.stage is Stage.PRODUCTION]
    if len(serving) > 1:
        found.append(f"more than one version is in production: {', '.join(serving)}")
    return found


def parse_registry(data: bytes, where: str, model: str) -> Registry:
    """Parse a registry; its laws are checked by `problems`, not here.

    Raises
    ------
    FormatError
        When the text is no registry, or that of another model than `model`.
    """
    fields = Fields(where, parse_json(data, where))
    fields.check_schema()
    name = fields.required("name")
    if name != model:
        raise fields.error("name", f"{model!r}, as the folder is called")
    versions = tuple(_parse_version(item) for item in fields.records("versions"))
    seen = {names.Version(one.version) for one in versions}
    if len(seen) != len(versions):
        raise broken(where, "a version stands twice under 'versions'")
    history = tuple(_parse_entry(item) for item in fields.records("history"))
    return Registry(
        name=name,
        versions=versions,
        history=history,
        stated_revision=fields.integer("revision", 0),
        stated_head=fields.optional("head"),
        extra={key: value for key, value in fields.values.items() if key not in _KEYS},
    )


def _parse_version(fields: Fields) -> RegisteredVersion:
    version = fields.required("version")
    try:
        names.model_version(version)
        stage = names.parse_stage(fields.required("stage"))
    except InvalidInputError as exc:
        raise broken(fields.where, exc.message.partition(" Nothing was")[0]) from exc
    return RegisteredVersion(
        version=version,
        stage=stage,
        run_id=fields.optional("run_id"),
        digest=fields.optional("digest"),
        created_utc=fields.optional("created_utc"),
        owner=fields.optional("owner"),
        image=fields.optional("image"),
        derived_from=fields.optional("derived_from"),
        comments=tuple(one.values for one in fields.records("comments")),
        extra={key: value for key, value in fields.values.items() if key not in _VERSION_KEYS},
    )


def _parse_entry(fields: Fields) -> Entry:
    action = fields.required("action")
    if action not in _ACTIONS:
        raise fields.error("action", "one of " + ", ".join(_ACTIONS))
    for key in ("from_stage", "to_stage"):
        if fields.optional(key) is not None and fields.optional(key) not in list(Stage):
            raise fields.error(key, "a stage")
    baseline = fields.records("baseline")
    for one in baseline:
        _parse_version(one)
    return Entry(
        revision=fields.integer("revision"),
        op_id=fields.text("op_id"),
        utc=fields.text("utc"),
        actor=fields.text("actor"),
        action=action,  # type: ignore[arg-type]  # checked against _ACTIONS above
        version=fields.required("version"),
        from_stage=fields.optional("from_stage"),
        to_stage=fields.optional("to_stage"),
        displaced=fields.optional("displaced"),
        digest=fields.optional("digest"),
        run_id=fields.optional("run_id"),
        image=fields.optional("image"),
        comment=fields.optional("comment"),
        previous=fields.optional("previous"),
        derived_from=fields.optional("derived_from"),
        baseline=tuple(one.values for one in baseline),
        raw=fields.values,
    )
