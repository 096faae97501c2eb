"""What freezing a data set is asked for, and what it gives back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbversion.render.amounts import human_count, human_size
from nbversion.render.card import Card
from nbversion.render.shown import Shown

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.formats.manifest import Manifest
    from nbversion.store.freezer import Stored
    from nbversion.store.frozen import FrozenVersion
    from nbversion.store.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a new version should say of itself.

    Parameters
    ----------
    name : str
    version : str or None
        None for the next one.
    source : str or None
        Where the content came from, for the record.
    run_id : str or None
        The run that made it.
    careful : bool
        Whether to hash everything that is believed otherwise: the original goes away afterwards.
    """

    name: str
    version: str | None = None
    notes: str = ""
    tags: tuple[str, ...] = ()
    source: str | None = None
    run_id: str | None = None
    careful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Snapshot(Shown):
    """A frozen version of a data set, as ``%snapshot`` gives it back.

    Parameters
    ----------
    frozen : FrozenVersion
    created : bool
        False when the content is that of a version which exists.
    stored : Stored
    warnings : tuple of str
    before : str or None
        The version that was frozen from the same source before, where that holds other content now.
    """

    frozen: FrozenVersion
    created: bool
    stored: Stored
    warnings: tuple[str, ...] = ()
    before: str | None = None

    @property
    def manifest(self) -> Manifest:
        """The version's manifest."""
        return self.frozen.manifest

    @property
    def reference(self) -> str:
        """How to call it from now on, for instance ``iris_v0.1``."""
        return self.manifest.reference

    @property
    def path(self) -> Path:
        """The version's folder."""
        return self.frozen.path

    def to_json(self) -> dict[str, Any]:
        """Return the manifest, and how it came about."""
        return {
            **self.manifest.to_json(),
            "created": self.created,
            "stored": self.stored.to_json(),
            "before": self.before,
            "warnings": list(self.warnings),
        }

    def card(self) -> Card:
        """Return the snapshot for people."""
        manifest = self.manifest
        count = human_count(len(manifest.files), "file")
        fields = [
            ("Content", f"{count}, {human_size(manifest.size_bytes)}"),
            ("Digest", manifest.digest),
            ("Frozen at", self.manifest.folder),
            ("Source", manifest.source or ""),
            ("Made by", manifest.run_id or ""),
            ("Parent", manifest.parent or ""),
            ("Created", f"{manifest.created_utc} by {manifest.owner}" if manifest.owner else ""),
            ("Tags", ", ".join(manifest.tags)),
            ("Notes", manifest.notes),
        ]
        notes = list(self.warnings)
        if self.before and manifest.source:
            back = f"%restore {self.before} {shlex.quote(manifest.source)} --overwrite"
            notes.append(
                f"{manifest.source} was changed since {self.before} was frozen from it. To get that "
                f"back: {back}"
            )
        if manifest.ignored:
            notes.append("Left out: " + ", ".join(manifest.ignored[:5]))
        return Card(
            title=f"Snapshot {self.reference}",
            badge="new" if self.created else "unchanged",
            fields=tuple((key, value) for key, value in fields if value),
            notes=tuple(notes),
        )


def notes_stand(existing: FrozenVersion, request: Request) -> tuple[str, ...]:
    """Warn of notes that an unchanged content leaves unwritten."""
    if request.notes and request.notes != existing.manifest.notes:
        same = f"The content is that of {existing.manifest.reference}, whose notes stand"
        return (f"{same}; give --version for a version with notes of its own.",)
    return ()


def collisions(source: Source) -> tuple[str, ...]:
    """Warn of names that some disks take for one another."""
    return tuple(
        f"on a disk that ignores case these are one name: {pair}"
        for pair in source.collisions()[:5]
    )
