"""manifest.json: what a frozen version of a data set or a model consists of.

Laws: two manifests of equal content have equal `digest`, whatever they are called and wherever they
lie; a manifest never names a path outside its own version's folder.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from nbversion import names
from nbversion.errors import FormatError, InvalidInputError
from nbversion.formats.fields import SCHEMA_VERSION, Fields
from nbversion.formats.file_list import (
    FrozenFile,
    check_below,
    digest_with_files,
    dump_files,
    sorted_files,
    split_text,
)
from nbversion.formats.json_text import (
    MAX_BYTES,
    broken,
    dump_json,
    ordered,
    parse_json,
    record_digest,
)
from nbversion.hashing import is_digest, is_hex_digest, tree_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MANIFEST",
    "MODEL_CARD",
    "UNHASHED",
    "FrozenFile",
    "Manifest",
    "check_below",
    "missing_digest",
    "parse_manifest",
    "recall_manifest",
]

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


@dataclass(frozen=True, kw_only=True)
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

    @cached_property
    def digest(self) -> str:
        """The digest of the content, computed from `files`."""
        return tree_digest((one.path, one.size_bytes, one.sha256) for one in self.files)

    @cached_property
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
        return {
            key: value if key != "files" else self._file_records()
            for key, value in self._without_files().items()
        }

    def dump(self) -> bytes:
        """Return the text of manifest.json."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """Yield the text of manifest.json piece by piece."""
        record = self._without_files()
        text = dump_json(record)
        if not self.files:
            yield text
            return
        head, _, tail = text.partition(b'"files": []')
        yield head + b'"files": ['
        yield from dump_files(self.files, self.folder)
        yield b"],\n" + tail.removeprefix(b", ")

    def _file_records(self) -> list[dict[str, Any]]:
        return [
            {"path": f"{self.folder}/{path}", "size_bytes": size, "sha256": sha256}
            for path, size, sha256 in self.files
        ]

    def _without_files(self) -> dict[str, Any]:
        """Return the record with its digests, with none of the files."""
        record: dict[str, Any] = {
            "dataset" if self.kind == "data" else "model": self.name,
            "version": self.version,
            "files": [],
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
        record["record_digest"] = digest_with_files(record, self.files, self.folder)
        return ordered(record, _KEYS)


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
    values, listed = _parse(data, where, folder)
    fields = Fields(where, values)
    fields.check_schema()
    kind, name, version = _called(fields)
    folder = folder or f"data/snapshots/{names.data_ref(name, version)}"
    files = sorted_files(listed or (_parse_file(item, folder) for item in fields.records("files")))
    if len({one.path for one in files}) != len(files):
        raise broken(where, "a path stands twice under 'files'")
    content = tree_digest(files)
    if listed is None:
        expected = record_digest(fields.values)
    else:
        expected = digest_with_files(fields.values, listed, folder)
    problem = _problem(fields, content, expected)
    return _made(fields, (kind, name, version), folder, files, digest=content, problem=problem)


def recall_manifest(
    data: bytes, where: str, folder: str, files: tuple[FrozenFile, ...]
) -> Manifest:
    """Parse a manifest of which somebody kept the files, with the SHA-256 of these very bytes.

    Raises
    ------
    FormatError
        When the text is no manifest.
    """
    head, _, rest = data.partition(b'"files": [')
    fields = Fields(where, parse_json(head + b'"files": [' + rest[rest.find(b"\n],\n") :], where))
    digest = fields.required("digest")
    return _made(fields, _called(fields), folder, files, digest=digest, problem=None)


def _called(fields: Fields) -> tuple[Literal["data", "model"], str, str]:
    """Return kind, name and version."""
    if "model" in fields.values and "dataset" in fields.values:
        raise fields.error("model", "absent beside 'dataset'")
    kind: Literal["data", "model"] = "model" if "model" in fields.values else "data"
    name = fields.required("model" if kind == "model" else "dataset")
    version = fields.required("version")
    try:
        names.check_name(name, "model" if kind == "model" else "data set")
        (names.model_version if kind == "model" else names.data_version)(version)
    except InvalidInputError as exc:
        raise broken(fields.where, exc.message.removesuffix(" Nothing was written.")) from exc
    return kind, name, version


def _made(
    fields: Fields,
    called: tuple[Literal["data", "model"], str, str],
    folder: str,
    files: tuple[FrozenFile, ...],
    *,
    digest: str,
    problem: str | None,
) -> Manifest:
    kind, name, version = called
    manifest = Manifest(
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
        problem=problem,
        extra={key: value for key, value in fields.values.items() if key not in _KEYS},
    )
    # Computed already: of a million files it is worth a second.
    manifest.__dict__["digest"] = digest
    return manifest


def _parse(data: bytes, where: str, folder: str) -> tuple[dict[str, Any], list[FrozenFile] | None]:
    """Return the values, and the files apart when they stand there as we write them."""
    # Whatever is wrong with it, the general parser says, with the right line.
    with contextlib.suppress(UnicodeDecodeError, FormatError):
        split = split_text(data.decode(), folder) if folder and len(data) <= MAX_BYTES else None
        if split is not None:
            return parse_json(split[0].encode(), where), split[1]
    return parse_json(data, where), None


def _problem(fields: Fields, content: str, record: str) -> str | None:
    # Taken over the file as it stands, so that a key that a newer version adds is covered too.
    for key, expected in (("digest", content), ("record_digest", record)):
        stated = fields.optional(key)
        if stated is not None and not is_digest(stated):
            raise fields.error(key, "sha256: and 64 lower-case hex digits")
        if stated is not None and stated != expected:
            return f"{key} says {stated}, its content gives {expected}"
    return missing_digest(fields, record)


def missing_digest(fields: Fields, record: str) -> str | None:
    """Return the problem of a text that we wrote and whose digest was taken out, or None.

    What somebody wrote by hand, as in the lesson, has neither a digest nor a schema version.
    """
    if "schema_version" in fields.values and fields.optional("record_digest") is None:
        return f"record_digest says nothing, its content gives {record}"
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
