"""Writable copies of frozen versions, outside the store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbversion.disk import TEXT_MODE
from nbversion.errors import ConflictError, IntegrityError, InvalidInputError
from nbversion.hashing import blocks
from nbversion.render.amounts import human_count, human_size
from nbversion.render.card import Card
from nbversion.render.shown import Shown
from nbversion.store.folder import CACHE, LOCKS, MODELS, QUARANTINE, RUNS, SNAPSHOTS
from nbversion.store.frozen import in_parallel

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.formats.manifest import FrozenFile
    from nbversion.store.frozen import Finding, FrozenVersion


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
                ("Content", f"{human_count(self.files, 'file')}, {human_size(self.size_bytes)}"),
            ),
            notes=("The copy is yours to change; the frozen version is as it was.",),
        )


def restore(frozen: FrozenVersion, target: Path) -> Restored:
    """Copy a version to `target`, hashing every byte on the way.

    `target` must not exist; an empty folder gets the copy as a folder in it.

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
    below = project.relative(target.parent.resolve() / target.name)
    ours = (SNAPSHOTS, MODELS, RUNS, LOCKS, QUARANTINE, CACHE)
    if below is not None and any(f"{below}/".startswith(f"{one}/") for one in ours):
        raise InvalidInputError(
            f"{target} lies inside the store. Nothing was restored; choose a path outside of it, "
            "data/restored for instance."
        )
    if manifest.problem:
        frozen.verify("Nothing was restored.")
    with project.disk.stage(target.parent) as staging:

        def copy(entry: FrozenFile) -> Finding | None:
            return frozen.check(
                entry,
                lambda handle: staging.write(entry.path, blocks(handle), mode=TEXT_MODE),
            )

        found = [one for one in in_parallel(copy, manifest.files) if one]
        if found:
            raise IntegrityError(
                f"{manifest.reference} fails verification: {found[0]}. Nothing was restored.",
                expected=found[0].expected,
                got=found[0].got,
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
