"""Freezing a folder where it lies: the lesson's first example.

The folder is swapped for its frozen copy only after the copy is durable, and what was swapped out
is removed only once it was read again and holds nothing that the copy lacks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nbversion.errors import IntegrityError
from nbversion.formats.json_text import parse_json
from nbversion.formats.manifest import MANIFEST, MODEL_CARD, UNHASHED
from nbversion.store.folder import SNAPSHOTS
from nbversion.store.freezer import hash_source
from nbversion.store.quarantine import open_quarantine
from nbversion.store.sources import list_source

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.disk import Staging
    from nbversion.formats.manifest import FrozenFile, Manifest
    from nbversion.store.folder import ProjectFolder
    from nbversion.store.quarantine import open_quarantine
from nbversion.store.sources import Source


def list_in_place(project: ProjectFolder, folder: Path) -> Source:
    """List what a version's own folder holds beside its manifest and its card."""
    return list_source(folder, ignore=project.settings.ignore, own=UNHASHED)


def is_frozen(project: ProjectFolder, folder: str) -> bool:
    """Whether the folder's own manifest is one that nbversion wrote."""
    path = f"{folder}/{MANIFEST}"
    if not (project.root / path).is_file():
        return False
    return not {"record_digest", "schema_version"}.isdisjoint(parse_json(project.read(path), path))


def check_stated(stated: Manifest, wanted: str, files: tuple[FrozenFile, ...]) -> None:
    """Refuse a manifest written by hand that does not describe the folder.

    Parameters
    ----------
    stated : Manifest
    wanted : str
        The reference that the folder is called by.
    files : tuple of FrozenFile
        What is in the folder.

    Raises
    ------
    IntegrityError
        When it names another version, other bytes, or not all of the files.
    """
    if stated.reference != wanted:
        raise IntegrityError(
            f"{stated.folder} holds the manifest of {stated.reference}. Nothing was changed; mend "
            "the manifest or move it away.",
            expected=wanted,
            got=stated.reference,
        )
    found = {one.path: one for one in files}
    for one in stated.files:
        now = found.pop(one.path, None)
        if now is None or (now.sha256, now.size_bytes) != (one.sha256, one.size_bytes):
            got = f"{now.size_bytes} bytes, sha256 {now.sha256}" if now else "nothing"
            raise IntegrityError(
                f"{stated.folder}/{one.path} is not what its manifest says: expected "
                f"{one.size_bytes} bytes, sha256 {one.sha256}; got {got}. Nothing was changed; "
                "mend the manifest or the file.",
                expected=one.sha256,
                got=now.sha256 if now else None,
            )
    if found:
        raise IntegrityError(
            f"{stated.folder}/{next(iter(found))} is not listed in its manifest. Nothing was "
            "changed; list it or move it away."
        )


def swap(project: ProjectFolder, staging: Staging, manifest: Manifest, source: Source) -> None:
    """Put the frozen copy in the folder's place, or leave the folder there as it is.

    Parameters
    ----------
    project : ProjectFolder
    staging : Staging
        The frozen copy, flushed, with its manifest.
    manifest : Manifest
    source : Source
        What the copy was made of.

    Raises
    ------
    IntegrityError
        When somebody wrote to the folder meanwhile; it was put back.
    """
    disk, final = project.disk, project.root / manifest.folder
    old = staging.becomes_swap()
    text = manifest.dump()
    staging.kept = True
    try:
        disk.exchange(old, final)
        _require_unchanged(project, old, manifest, source)
    except BaseException:
        # Whichever step failed: what does not carry our manifest is the user's, and goes back.
        if not _carries(old, text):
            disk.exchange(old, final)
        staging.kept = not _carries(old, text)
        raise
    if source.ignored or os.path.lexists(old / MODEL_CARD):
        # Not in the frozen copy, and not ours to delete.
        disk.set_aside(old, open_quarantine(project))
    staging.kept = False


def recover(project: ProjectFolder) -> None:
    """Finish what a process left that was killed while it put a frozen copy in a folder's place."""
    if project.disk.has_exchanges(project.root / SNAPSHOTS):
        project.disk.recover_exchanges(project.root / SNAPSHOTS, open_quarantine(project))


def _require_unchanged(
    project: ProjectFolder, old: Path, manifest: Manifest, source: Source
) -> None:
    now = list_in_place(project, old)
    beside = (source.directories, source.ignored)
    if (now.directories, now.ignored) != beside or set(hash_source(now)) != set(manifest.files):
        raise IntegrityError(
            f"{manifest.folder} was written to while it was frozen. It was put back as it is; try "
            "again when nobody writes to it."
        )


def _carries(folder: Path, text: bytes) -> bool:
    try:
        return (folder / MANIFEST).read_bytes() == text
    except OSError:
        return False
