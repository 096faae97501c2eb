"""A file by its content: which versions and runs hold it, wherever it lies now."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nbversion.errors import NbversionError, NotFoundError, StorageError
from nbversion.formats.run_record import RunRecord
from nbversion.hashing import hash_stream
from nbversion.names import Stage, Version
from nbversion.store.catalog import DataFound, ModelFound, RunFound
from nbversion.store.frozen import open_frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbversion.formats.manifest import Manifest
    from nbversion.store.catalog import Catalog, Found


def find_file(catalog: Catalog, path: Path) -> tuple[str, list[Found]]:
    """Return a file's SHA-256 and every version and run that holds a file of that content.

    The one that the file itself belongs to comes first.

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
    found = [one for one in _holders(catalog) if any(sha256 == held for held, _ in one[1])]
    if not found:
        raise NotFoundError(
            f"nothing in this project has the content of {path} (sha256 {sha256}): it was changed "
            "after it was recorded, or never recorded."
        )
    # Equal bytes can belong to many versions; a file that lies in one of them belongs to that.
    here = catalog.project.describe(path)
    found.sort(key=lambda one: (sha256, here) not in one[1])
    return sha256, [place for place, _ in found]


def _holders(catalog: Catalog) -> Iterator[tuple[Found, list[tuple[str, str]]]]:
    """Yield every version and run with the content and the path of each of its files.

    Models first, what serves before what does not, the newest before the older.
    """
    models: list[ModelFound] = []
    for model in catalog.registrar.models():
        with contextlib.suppress(NbversionError):
            models += [ModelFound(model, one) for one in catalog.registrar.load(model).versions]
    models.sort(key=lambda one: Version(one.registered.version), reverse=True)
    models.sort(key=lambda one: one.registered.stage is not Stage.PRODUCTION)
    for one in models:
        with contextlib.suppress(NbversionError):
            manifest = catalog.models.load(one.model, one.registered.version).manifest
            yield one, _files_of(manifest)
    for name, version in reversed(catalog.snapshots.references()):
        with contextlib.suppress(NbversionError):
            frozen = catalog.snapshots.load(name, str(version))
            yield DataFound(frozen), _files_of(frozen.manifest)
    for record in reversed(catalog.runs.all()):
        if isinstance(record, RunRecord):
            listed = [(str(one.get("sha256")), str(one.get("path"))) for one in record.artifacts]
            yield RunFound(record), listed


def _files_of(manifest: Manifest) -> list[tuple[str, str]]:
    return [(one.sha256, f"{manifest.folder}/{one.path}") for one in manifest.files]
