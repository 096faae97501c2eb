"""Writable copies of frozen versions, outside the store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion.errors import ConflictError, IntegrityError, InvalidInputError
from nbversion.hashing import blocks
from nbversion.render.amounts import human_size
from nbversion.render.card import Card
from nbversion.render.shown import Shown
from nbversion.store.folder import CACHE, LOCKS, MODELS, QUARANTINE, RUNS, SNAPSHOTS
from nbversion.store.frozen import FrozenVersion, in_parallel
from nbversion.store.sources import Source

if TYPE_CHECKING:
    from nbversion.disk import Staging

_WRITABLE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Restored(Shown):
    """A writable copy, as ``%restore`` gives it back.

    Parameters
    ----------
    reference : str
    path : Path
    files, size_bytes : int
    """

    reference: str
    path: Path
    files: int
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return what was restored and where."""
        return {
            "reference": self.reference,
            "path": str(self.path),
            "files": self.files,
            "size_bytes": self.size_bytes,
        }

    def card(self) -> Card:
        """Return the copy for people."""
        return Card(
            title=f"Restored {self.reference}",
            badge="verified",
            fields=(
                ("To", str(self.path)),
                ("Content", f"{self.files} files, {human_size(self.size_bytes)}"),
            ),
            notes=("The copy is yours to change; the frozen version is as it was.",),
        )


def restore(frozen: FrozenVersion, target: Path) -> Restored:
    """Copy a version to `target`, which must not exist, hashing every byte on the way.

    Raises
    ------
    ConflictError
        When `target` exists.
    InvalidInputError
        When it lies inside the store.
    IntegrityError
        When the frozen bytes do not hold; then nothing is left at `target`.
    """
    project = frozen.project
    manifest = frozen.manifest
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        target = target / manifest.reference.replace("@", "_")
    if os.path.lexists(target):
        raise ConflictError(
            f"{target} exists. Nothing was restored; name a path that is not there yet."
        )
    below = project.relative(target)
    ours = (SNAPSHOTS, MODELS, RUNS, LOCKS, QUARANTINE, CACHE)
    if below is not None and any(f"{below}/".startswith(f"{one}/") for one in ours):
        raise InvalidInputError(
            f"{target} lies inside the store. Nothing was restored; choose a path outside of it, "
            "data/work for instance."
        )
    if manifest.problem:
        frozen.verify("Nothing was restored.")
    source = Source(items={one.path: frozen.path / one.path for one in manifest.files})
    with project.disk.stage(target.parent) as staging:
        found = in_parallel(lambda path: _copy(source, staging, path), list(source.items))
        expected = {one.path: (one.sha256, one.size_bytes) for one in manifest.files}
        for path, sha256, size in found:
            if expected[path] != (sha256, size):
                raise IntegrityError(
                    f"{manifest.folder}/{path} is corrupt: expected sha256 {expected[path][0]}, got "
                    f"{sha256}. Nothing was restored.",
                    expected=expected[path][0],
                    got=sha256,
                )
        for path in manifest.directories:
            staging.make_folder(path)
        staging.flush()
        project.disk.publish(staging.folder, target)
    return Restored(
        reference=manifest.reference,
        path=target,
        files=len(manifest.files),
        size_bytes=manifest.size_bytes,
    )


def _copy(source: Source, staging: Staging, path: str) -> tuple[str, str, int]:
    sha256, size = source.read(
        path,
        lambda handle: staging.write(path, blocks(handle), mode=_WRITABLE),
        redo=lambda: (staging.folder / path).unlink(missing_ok=True),
    )
    return path, sha256, size
