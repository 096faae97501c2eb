"""Which version holds a file of the same content, wherever that file lies."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nbversion.errors import FormatError, NotFoundError, StorageError
from nbversion.hashing import hash_stream
from nbversion.store.frozen import LinkedError
from nbversion.store.sources import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbversion.store.catalog import Catalog
    from nbversion.store.frozen import FrozenVersion

_BROKEN = (FormatError, LinkedError, NotFoundError, StorageError)


def holder_of(catalog: Catalog, path: Path) -> FrozenVersion:
    """Return the first version that lists a file of the content of `path`, data sets first.

    Raises
    ------
    StorageError
        When it cannot be read.
    NotFoundError
        When there is none.
    """
    try:
        with open_regular(path) as handle:
            sha256, _ = hash_stream(handle)
    except OSError as exc:
        raise StorageError(f"{path} cannot be read: {exc.strerror}.") from exc
    for frozen in all_versions(catalog):
        if frozen.holds(sha256):
            return frozen
    raise NotFoundError(
        f"no version of this project holds a file of the content of {path} (sha256 {sha256}). "
        f"Freeze it with: %snapshot {path}"
    )


def all_versions(catalog: Catalog) -> Iterator[FrozenVersion]:
    """Yield every version that can be loaded, data sets first; a broken one hides no other."""
    for name, version in catalog.snapshots.references():
        with contextlib.suppress(*_BROKEN):
            yield catalog.snapshots.load(name, str(version))
    for model in catalog.registrar.models():
        for known in catalog.models.versions(model):
            with contextlib.suppress(*_BROKEN):
                yield catalog.models.load(model, str(known))
