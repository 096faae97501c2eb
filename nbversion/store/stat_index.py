"""What a file's content was when it was last read, so that it need not be read again.

A cache under ``.nbversion``, never evidence: verification, training and promotion hash every byte.
Two things are kept in it: the user's files at the time of a snapshot, so that the next snapshot reads
only what was written to since; and the frozen copies, so that a new version links what the one before
holds without hashing it once more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from array import array
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, cast

from nbversion.errors import NbversionError
from nbversion.store.folder import CACHE
from nbversion.store.sources import RACY_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbversion.store.folder import ProjectFolder
    from nbversion.store.sources import Mark

_FORMAT = "nbversion index 1"
_PER_FILE = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """Files by path: their marks, and the SHA-256 of each.

    Parameters
    ----------
    marks : mapping
    digests : mapping
        Bare.
    """

    marks: Mapping[str, Mark]
    digests: Mapping[str, str]

    def known(self, now: Mapping[str, Mark]) -> dict[str, str]:
        """Return the digests of the files that were not written to since."""
        digests = self.digests
        return {path: digests[path] for path, mark in self.marks.items() if now.get(path) == mark}

    def stand(self, folder: str) -> bool:
        """Whether no file below `folder` was written to since; the time of the inode may differ."""
        lstat = os.lstat
        try:
            for path, (ino, size, mtime_ns, _) in self.marks.items():
                facts = lstat(f"{folder}/{path}")
                if (facts.st_ino, facts.st_size, facts.st_mtime_ns) != (ino, size, mtime_ns):
                    return False
        except OSError:
            return False
        return True


NOTHING_SEEN = Seen({}, {})


@dataclass(frozen=True, slots=True)
class StatIndex:
    """The indexes of a project.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder

    def load(self, key: str) -> Seen:
        """Return what is known under `key`; a file that is not whole is as good as none."""
        try:
            data = (self.project.root / self._path(key)).read_bytes()
        except OSError:
            return NOTHING_SEEN
        head, _, body = data.partition(b"\n")
        try:
            facts = json.loads(head)
            if (
                facts["format"] != f"{_FORMAT} {sys.byteorder}"
                or facts["key"] != key
                or facts["sha256"] != hashlib.sha256(body).hexdigest()
            ):
                return NOTHING_SEEN
            return _unpacked(body, int(facts["files"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return NOTHING_SEEN

    def save(self, key: str, seen: Mapping[str, tuple[Mark, str]], *, before_ns: int = 0) -> None:
        """Keep what was seen; that it cannot be kept is no failure.

        Parameters
        ----------
        key : str
        seen : mapping
            Mark and bare digest by path.
        before_ns : int
            When the files were listed. What was written to so shortly before that it may be written
            to again with the same times is not kept; 0 for files that only we write.
        """
        if before_ns:
            latest = before_ns - RACY_NS
            seen = {
                path: one
                for path, one in seen.items()
                if one[0].mtime_ns < latest and one[0].ctime_ns < latest
            }
        try:
            body = _packed(seen)
        except OverflowError:
            # Some file systems number files beyond 63 bits.
            return
        facts = {
            "format": f"{_FORMAT} {sys.byteorder}",
            "key": key,
            "files": len(seen),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        data = json.dumps(facts).encode() + b"\n" + body
        path = self.project.root / self._path(key)
        with contextlib.suppress(NbversionError, OSError):
            if not path.exists() or path.read_bytes() != data:
                self.project.disk.cache(path, data)

    def _path(self, key: str) -> str:
        return (
            f"{CACHE}/index/{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:24]}"
        )


def _packed(seen: Mapping[str, tuple[Mark, str]]) -> bytes:
    numbers = array("q", chain.from_iterable(mark for mark, _ in seen.values()))
    digests = bytes.fromhex("".join([sha256 for _, sha256 in seen.values()]))
    # Names hold no NUL.
    return numbers.tobytes() + digests + "\0".join(seen).encode()


def _unpacked(body: bytes, count: int) -> Seen:
    numbers = array("q")
    size = count * _PER_FILE * numbers.itemsize
    numbers.frombytes(body[:size])
    digests = body[size : size + 32 * count].hex()
    paths = body[size + 32 * count :].decode().split("\0") if count else []
    if len(paths) != count or len(digests) != 64 * count:
        raise ValueError("the index is not whole")
    each = iter(numbers)
    # Plain tuples are equal to marks, and made four times as fast.
    marks = cast("Iterable[Mark]", zip(each, each, each, each, strict=True))
    return Seen(
        dict(zip(paths, marks, strict=True)),
        dict(zip(paths, [digests[at : at + 64] for at in range(0, len(digests), 64)], strict=True)),
    )
