"""Telling bytes that are only elsewhere, as in a fresh clone, from bytes that are lost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbversion.capture.git import published_files
from nbversion.render.amounts import human_count, human_size
from nbversion.store.folder import MODELS, RUNS, SNAPSHOTS
from nbversion.store.frozen import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from nbversion.store.lost import Lost


@dataclass(slots=True)
class Elsewhere:
    """What git has of our texts for others too; it is asked once, and only when bytes are not here.

    Parameters
    ----------
    root : Path
        The project's folder.
    """

    root: Path
    _published: frozenset[str] | None = None

    def absent(
        self, ref: str, text: str, bytes_of: AbstractSet[str], lost: Iterable[Lost]
    ) -> Finding | None:
        """Return the one finding for bytes that are only elsewhere, or None.

        No text of ours says who has them. A clone is known by this: not one of the files that git
        leaves out is there, and the text that names them is committed where others get it too. The
        machine that froze them looks the same once it has lost all of them; the report says so.

        Parameters
        ----------
        ref : str
        text : str
            The manifest or the record.
        bytes_of : set of str
            The paths of the files that it names and git leaves out.
        lost : iterable of Lost
            What does not hold.
        """
        gone = {one.path: one for one in lost if one.kind == "missing"}
        if not bytes_of or not bytes_of <= gone.keys():
            return None
        if self._published is None:
            self._published = published_files(self.root, below=(SNAPSHOTS, MODELS, RUNS))
        if text not in self._published:
            return None
        size = sum(gone[path].size or 0 for path in bytes_of)
        return Finding(
            kind="absent",
            ref=ref,
            path=os.path.commonpath([os.path.dirname(path) for path in bytes_of]),
            expected=f"{human_count(len(bytes_of), 'file')}, {human_size(size)}",
            got="nothing but the text",
        )
