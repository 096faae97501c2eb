"""Freezing a folder where it lies: the lesson's first example.

The folder is swapped for its frozen copy only after the copy is durable, and what was swapped out
is removed only once it was read again and holds nothing that the copy lacks.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from nbversion import names
from nbversion.errors import ConflictError, IntegrityError, InvalidInputError
from nbversion.formats.json_text import parse_json
from nbversion.formats.manifest import MANIFEST, MODEL_CARD, UNHASHED, parse_manifest
from nbversion.names import Version
from nbversion.store.folder import SNAPSHOTS
from nbversion.store.freezer import Stored, hash_source
from nbversion.store.frozen import FrozenVersion, require_unlinked
from nbversion.store.quarantine import open_quarantine
from nbversion.store.snapshot_record import Request, Snapshot, collisions, notes_stand
from nbversion.store.sources import list_source

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.disk import Staging
    from nbversion.formats.manifest import FrozenFile, Manifest
    from nbversion.store.folder import ProjectFolder
    from nbversion.store.snapshots import Snapshots
    from nbversion.store.sources import Source


def freeze_in_place(
    snapshots: Snapshots, name: str, version: Version, request: Request
) -> Snapshot:
    """Freeze a folder that lies at the place of a version already.

    Raises
    ------
    InvalidInputError, ConflictError
        When the folder is called otherwise than it was asked for, or is one of two of a version.
    IntegrityError
        When it does not hold what its own manifest says, or somebody wrote to it meanwhile.
    """
    project = snapshots.project
    folder = project.snapshot_folder(name, str(version))
    for asked, is_so in ((request.name, name), (request.version, str(version))):
        if asked and asked != is_so:
            raise InvalidInputError(
                f"{folder} is {name} {version} by its name; {asked!r} does not fit. Nothing was "
                "written."
            )
    require_unlinked(project, folder)
    recover(project)
    others = [one for one in snapshots.spellings(name, version) if one != folder]
    if others:
        raise ConflictError(
            f"{folder} and {others[0]} are one version ({names.data_ref(name, str(version))}), "
            "and a version never changes. Nothing was written; give the folder another version."
        )
    if is_frozen(project, folder):
        existing = snapshots.load(name, str(version))
        existing.verify("Nothing was written.")
        return Snapshot(
            frozen=existing,
            created=False,
            stored=Stored(),
            warnings=notes_stand(existing, request),
        )
    stated = _stated(snapshots, folder, name, version)
    source = list_in_place(project, project.root / folder)
    request = replace(request, name=name, version=str(version), source=request.source or folder)
    project.prepare()
    with project.disk.stage(project.root / SNAPSHOTS) as staging:
        freezer = snapshots.freezer(staging, name, version, {}, trusting=False)
        manifest = snapshots.build(freezer, source, request, stated)
        swap(project, staging, manifest, source)
    snapshots.remember_frozen(folder, freezer)
    return Snapshot(
        frozen=FrozenVersion(project, manifest, f"{folder}/{MANIFEST}"),
        created=True,
        stored=freezer.stored,
        warnings=collisions(source),
    )


def _stated(snapshots: Snapshots, folder: str, name: str, version: Version) -> Manifest | None:
    """Return the manifest that somebody wrote by hand for a folder, in it or beside it."""
    path = f"{folder}/{MANIFEST}"
    if (snapshots.project.root / path).is_file():
        return parse_manifest(snapshots.project.read(path), path, folder)
    lesson = snapshots.beside()
    if lesson is not None and (lesson.name, Version(lesson.version)) == (name, version):
        return lesson
    return None


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
