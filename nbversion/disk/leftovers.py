"""The names of what is under way, and of what was left when its owner was killed."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING

from nbversion.process import owner_is_gone, owner_is_here, owner_mark

if TYPE_CHECKING:
    from pathlib import Path

STAGE_PREFIX = ".nbv-stage-"
TEMP_PREFIX = ".nbv-tmp-"
# What is exchanged for a folder of the user's, and such a folder out of its place: never swept.
SWAP_PREFIX = ".nbv-swap-"
ASIDE_PREFIX = ".nbv-aside-"
CLAIM_PREFIX = f"{TEMP_PREFIX}claim-"
# In the place of an owner's name: a staging that its owner gave up, for the next one to go on with.
ABANDONED = "abandoned"
# Whether an owner on another machine still lives cannot be known; a month without a write tells.
_FOREIGN_AFTER_S = 30 * 24 * 3600.0


def is_leftover(name: str) -> bool:
    """Whether `name` is a staging folder or a temporary file of ours."""
    return name.startswith((STAGE_PREFIX, TEMP_PREFIX, SWAP_PREFIX, ASIDE_PREFIX))


def hidden_name(prefix: str) -> str:
    """Return a new name that says whose it is."""
    return f"{prefix}{owner_mark()}-{secrets.token_hex(8)}"


def owned_by_nobody(folder: Path, prefix: str) -> list[Path]:
    """Return what in `folder` has such a name and an owner that has ended."""
    try:
        with os.scandir(folder) as found:
            names = sorted(one.name for one in found if one.name.startswith(prefix))
    except OSError:
        return []
    return [folder / name for name in names if _is_nobodys(folder / name, prefix)]


def _is_nobodys(path: Path, prefix: str) -> bool:
    owner = path.name.removeprefix(prefix)
    if owner.startswith(ABANDONED) or owner_is_gone(owner):
        return True
    if owner_is_here(owner):
        return False
    try:
        facts = path.lstat()
    except OSError:
        return False
    # A folder of the user's keeps its own old time when it is renamed; that of its inode is new.
    return time.time() - max(facts.st_mtime, facts.st_ctime) > _FOREIGN_AFTER_S
