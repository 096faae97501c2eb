"""Copying one large file into a staging folder, by sharing its blocks where that can be done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from nbversion.disk import FROZEN_MODE
from nbversion.hashing import blocks
from nbversion.store.parallel import hash_watched

if TYPE_CHECKING:
    from nbversion.disk import Staging
    from nbversion.store.parallel import Work


def copy_into(
    staging: Staging, handle: BinaryIO, path: str, work: Work, *, mode: int = FROZEN_MODE
) -> tuple[tuple[str, int], str]:
    """Copy an open file, hashing what the copy holds.

    Returns
    -------
    content : (str, int)
        The bare SHA-256 and the size in bytes.
    how : {"copied", "reflinked"}
    """
    clone = staging.clone(handle, path, mode=mode)
    if clone is None:
        return staging.write(path, work.watched(blocks(handle)), mode=mode), "copied"
    with clone:
        # The copy's bytes and not the original's, which somebody may be writing to.
        content = hash_watched(clone, work)
    # Who reads stably asks whether all was read.
    handle.seek(0, os.SEEK_END)
    return content, "reflinked"
