"""The only room that writes to disk: stage, write, flush, publish, replace, claim, lock.

Laws: a file or a version is seen whole or not at all, whenever the process or the machine dies; no
publishing call replaces what is there; a failed call leaves nothing of its own behind, and what a
killed process left behind carries its owner's name and is found by the next writer.

Every primitive first calls `Disk.step`, so that a test can fail or kill at each of them.
"""

from nbversion.disk.creating import FOLDER_MODE, FROZEN_MODE, TEXT_MODE
from nbversion.disk.leftovers import (
    ASIDE_PREFIX,
    STAGE_PREFIX,
    SWAP_PREFIX,
    TEMP_PREFIX,
    hidden_name,
    is_leftover,
)
from nbversion.disk.staging import Staging
from nbversion.disk.writing import Disk

__all__ = [
    "ASIDE_PREFIX",
    "FOLDER_MODE",
    "FROZEN_MODE",
    "STAGE_PREFIX",
    "SWAP_PREFIX",
    "TEMP_PREFIX",
    "TEXT_MODE",
    "Disk",
    "Staging",
    "hidden_name",
    "is_leftover",
]
