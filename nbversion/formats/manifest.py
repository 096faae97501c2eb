"""manifest.json: what a frozen version of a data set or a model consists of.

Laws: two manifests of equal content have equal `digest`, whatever they are called and wherever they
lie; a manifest never names a path outside its own version's folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from nbversion import names
from nbversion.errors import InvalidInputError
from nbversion.formats.fields import SCHEMA_VERSION, Fields
from nbversion.formats.json_text import broken, dump_json, ordered, parse_json, record_digest
from nbversion.hashing import is_digest, is_hex_digest, tree_digest

MANIFEST = "manifest.json"
MODEL_CARD = "model_card.md"
# Beside the frozen files but outside the digest: the commit marker, and a text that people edit.
UNHASHED = (MANIFEST, MODEL_CARD)

_KEYS = (
    "dataset",
    "model",
    "version",
    "files",
    "created_utc",
    "notes",
    "digest",
    "owner",
    "tags",
    "source",
    "parent",
    "run_id",
    "directories",
    "ignored",
    "record_digest",
    "schema_version",
)


def check_below(path: str) -> str:
    """Return `path` when it is a plain relative path that stays where it is joined to.

    Names are opaque: nothing is decoded or normalised.

    Raises
    ------
    InvalidInputError
        For an absolute path, an empty part, ``.``, ``..``, a backslash or a NUL.
    """
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidInputError(f"the path {path!r} is not a plain relative path with '/'")
    return path


@dataclass(frozen=True, slots=True)
class FrozenFile:
    """One file of a version.

    Parameters
    ----------
    path : str
        Below the version's folder, with ``/``.
    size_bytes : int
    sha256 : str
        Bare, lower-case, 64 hex digits.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A version of a data set (`kind` "data") or a model (`kind` "model").

    Parameters
    ----------
    kind : {"data", "model"}
    name, version : str
    folder : str
        The version's own folder, relative to the project's root, with ``/``.
    files : tuple of FrozenFile
        Sorted by the path's UTF-8 bytes.
    created_utc : str
        ISO 8601, UTC.
    parent : str or None
        The version before, as a reference (``iris_v0.1``).
    directories : tuple of str
        Empty folders, below the version's folder.
    ignored : tuple of str
        What of the source was left out, below the source.
    problem : str or None
        What shows that the file was edited by hand: the digest that does not fit its content.
    extra : dict
        Keys that we do not know, kept.
    """

    kind: Literal["data", "model"]
    name: str
    version: str
    folder: str
    files: tuple[FrozenFile, ...]
    created_utc: str = ""
    notes: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    source: str | None = None
    parent: str | None = None
    run_id: str | None = None
    directories: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    problem: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of the content, computed from `files`."""
        return tree_digest((one.path, one.size_bytes, one.sha256) for one in self.files)

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(one.size_bytes for one in self.files)

    @property
    def reference(self) -> str:
        """How a user calls this version."""
        make = names.data_ref if self.kind == "data" else names.model_ref
        return make(self.name, self.version)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest in the order of the contract, its digests computed afresh."""
        record: dict[str, Any] = {
            "dataset" if self.kind == "data" else "model": self.name,
            "version": self.version,
            "files": [
                {
                    "path": f"{self.folder}/{one.path}",
                    "size_bytes": one.size_bytes,
                    "sha256": one.sha256,
                }
                for one in self.files
            ],
            "created_utc": self.created_utc,
            "notes": self.notes,
            "digest": self.digest,
            "owner": self.owner,
            "tags": list(self.tags),
            "source": self.source,
            "parent": self.parent,
            "run_id": self.run_id,
            "directories": list(self.directories),
            "ignored": list(self.ignored),
            "schema_version": SCHEMA_VERSION,
            **self.extra,
        }
        record["record_digest"] = record_digest(record)
        return ordered(record, _KEYS)

    def dump(self) -> bytes:
        """Return the text of manifest.json."""
        return dump_json(self.to_json())


def parse_manifest(data: bytes, where: str, folder: str) -> Manifest:
    """Parse the manifest of the version that lies in `folder`.

    Parameters
    ----------
    data : bytes
    where : str
        The file's path, for messages.
    folder : str
        The version's folder relative to the root; empty to take it from the file's own paths (the
        lesson's layout with one manifest beside the folder).

    Raises
    ------
    FormatError
        When the text is no manifest, or a path leaves the version's own folder.
    """
    fields = Fields(where, parse_json(data, where))
    fields.check_schema()
    if "model" in fields.values and "dataset" in fields.values:
        raise fields.error("model", "absent beside 'dataset'")
    kind: Literal["data", "model"] = "model" if "model" in fields.values else "data"
    name = fields.required("model" if kind == "model" else "dataset")
    version = fields.required("version")
    try:
        names.check_name(name, "model" if kind == "model" else "data set")
        (names.model_version if kind == "model" else names.data_version)(version)
    except InvalidInputError as exc:
        raise broken(where, exc.message.removesuffix(" Nothing was written.")) from exc
    folder = folder or f"data/snapshots/{names.data_ref(name, version)}"
    files = tuple(
        sorted(
            (_parse_file(item, folder) for item in fields.records("files")),
            key=lambda one: one.path.encode(),
        )
    )
    if len({one.path for one in files}) != len(files):
        raise broken(where, "a path stands twice under 'files'")
    return Manifest(
        kind=kind,
        name=name,
        version=version,
        folder=folder,
        files=files,
        created_utc=fields.text("created_utc"),
        notes=fields.text("notes"),
        owner=fields.text("owner"),
        tags=fields.texts("tags"),
        source=fields.optional("source"),
        parent=fields.optional("parent"),
        run_id=fields.optional("run_id"),
        directories=tuple(
            _below(fields, "directories", one) for one in fields.texts("directories")
        ),
        ignored=fields.texts("ignored"),
        problem=_problem(fields, files),
        extra={key: value for key, value in fields.values.items() if key not in _KEYS},
    )


def _problem(fields: Fields, files: tuple[FrozenFile, ...]) -> str | None:
    content = tree_digest((one.path, one.size_bytes, one.sha256) for one in files)
    # Taken over the file as it stands, so that a key that a newer version adds is covered too.
    for key, expected in (("digest", content), ("record_digest", record_digest(fields.values))):
        stated = fields.optional(key)
        if stated is not None and not is_digest(stated):
            raise fields.error(key, "sha256: and 64 lower-case hex digits")
        if stated is not None and stated != expected:
            return f"{key} says {stated}, its content gives {expected}"
    return missing_digest(fields)


def missing_digest(fields: Fields) -> str | None:
    """Return the problem of a text that we wrote and whose digest was taken out, or None.

    What somebody wrote by hand, as in the lesson, has neither a digest nor a schema version.
    """
    if "schema_version" in fields.values and fields.optional("record_digest") is None:
        return f"record_digest says nothing, its content gives {record_digest(fields.values)}"
    return None


def _parse_file(item: Fields, folder: str) -> FrozenFile:
    path = item.required("path")
    prefix = f"{folder}/"
    if not path.startswith(prefix):
        raise item.error("path", f"below {prefix}")
    sha256 = item.required("sha256")
    if not is_hex_digest(sha256):
        raise item.error("sha256", "64 lower-case hex digits")
    below = _below(item, "path", path.removeprefix(prefix))
    return FrozenFile(below, item.integer("size_bytes"), sha256)


def _below(fields: Fields, key: str, path: str) -> str:
    try:
        return check_below(path)
    except InvalidInputError as exc:
        raise fields.error(key, "a plain relative path below the version's folder") from exc
