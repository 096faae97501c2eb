"""Moving a corrupt file out of the store without losing it."""

from __future__ import annotations

import os
import secrets
from datetime import UTC
from typing import TYPE_CHECKING

from nbversion.errors import ConflictError
from nbversion.formats.json_text import dump_json
from nbversion.store.folder import QUARANTINE

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.store.folder import ProjectFolder
    from nbversion.store.lost import Lost

RECORD = "record.json"
_TRIES = 20


def open_quarantine(project: ProjectFolder) -> Path:
    """Make the quarantine folder, out of git's sight, and return it."""
    base = project.root / QUARANTINE
    # What is set aside is bytes too, and as little of git's business as where it lay.
    if not (base / ".gitignore").exists():
        project.disk.create(base / ".gitignore", b"*\n")
    return base


def quarantine(project: ProjectFolder, lost: Lost, got: str) -> str:
    """Move a file into a new folder of the quarantine, with a record that tells how to put it back.

    Parameters
    ----------
    project : ProjectFolder
    lost : Lost
    got : str
        What is there in place of the wanted bytes.

    Returns
    -------
    str
        Where the file lies now, relative to the root.
    """
    disk, base = project.disk, open_quarantine(project)
    told = {
        "path": lost.path,
        "ref": lost.ref,
        "expected": f"sha256 {lost.sha256}",
        "got": got,
        "quarantined_utc": project.now(),
        "owner": project.owner,
        "note": f"The file beside this record lay at {lost.path}; to put it back, move it there.",
        "schema_version": 1,
    }
    for _ in range(_TRIES):
        stamp = f"{project.clock().astimezone(UTC):%Y%m%dT%H%M%SZ}"
        entry = base / f"{stamp}-{secrets.token_hex(4)}"
        # First the record: it claims the folder, and no crash leaves bytes that nothing tells of.
        if disk.create(entry / RECORD, dump_json(told)):
            break
    else:
        raise ConflictError(f"no free name was found in {QUARANTINE}. Nothing was moved.")
    try:
        moved = disk.set_aside(project.root / lost.path, entry)
    except BaseException:
        # Once the file is in there the folder stays, whatever failed afterwards.
        if os.path.lexists(project.root / lost.path):
            disk.remove_tree(entry)
        raise
    disk.sync_folder((project.root / lost.path).parent)
    return moved.relative_to(project.root).as_posix()
