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
import struct
import sys
from array import array
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from nbversion.errors import NbversionError
from nbversion.formats.file_list import FrozenFile, sorted_files
from nbversion.store.folder import CACHE
from nbversion.store.sources import RACY_NS, list_source
from nbversion.syscalls import sync_filesystem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nbversion.store.folder import ProjectFolder
    from nbversion.store.sources import Mark, Source

_FORMAT = f"nbversion index 3 {sys.byteorder}"
# A write through a memory map changes a file's time only when the page was clean, and the kernel
# cleans it 35 s after the first write.
MAPPED_NS = 40_000_000_000
_MARK = struct.Struct("=4q")
_DIGEST = 32
_CHUNK = 4096


@dataclass(slots=True)
class Seen:
    """Files, their marks, and the SHA-256 of each; 150 bytes a file.

    Parameters
    ----------
    paths : list of str
    marks : bytes or bytearray
        Four numbers of 64 bits for each: inode, size, times of content and of inode.
    digests : bytes or bytearray
        The 32 raw bytes of each.
    note : str
        What else was kept: of frozen files the SHA-256 of their manifest's text.
    """

    paths: list[str] = field(default_factory=list)
    marks: bytes | bytearray = field(default_factory=bytearray)
    digests: bytes | bytearray = field(default_factory=bytearray)
    note: str = ""
    _places: dict[str, int] = field(init=False, default_factory=dict)

    def add(self, path: str, mark: tuple[int, ...], sha256: str) -> None:
        """Take note of a file; to a `Seen` that was made empty.

        Not of one with a number of more than 63 bits, as some file systems have them.
        """
        try:
            self.marks += _MARK.pack(*mark)
        except struct.error:
            return
        self.digests += bytes.fromhex(sha256)
        self.paths.append(path)

    def take(self, other: Seen) -> None:
        """Add everything of another one."""
        self.paths += other.paths
        self.marks += other.marks
        self.digests += other.digests

    def files(self) -> tuple[FrozenFile, ...]:
        """Return path, size and bare digest of each, sorted by path."""
        digests = self.digests.hex()
        return sorted_files(
            FrozenFile(path, mark[1], digests[at * 64 : at * 64 + 64])
            for at, (path, mark) in enumerate(zip(self.paths, self.each(), strict=True))
        )

    def some(self, places: Sequence[int]) -> Seen:
        """Return the files at these places, as they are here."""
        if len(places) == len(self.paths):
            return self
        marks, digests, paths = self.marks, self.digests, self.paths
        return Seen(
            [paths[at] for at in places],
            b"".join([marks[at * _MARK.size : (at + 1) * _MARK.size] for at in places]),
            b"".join([digests[at * _DIGEST : (at + 1) * _DIGEST] for at in places]),
        )

    def known(self, now: Mapping[str, Mark]) -> dict[str, str]:
        """Return the bare digests of the files that were not written to since."""
        digests = self.digests.hex()
        return {
            path: digests[at * 64 : at * 64 + 64]
            for at, (path, mark) in enumerate(zip(self.paths, self.each(), strict=True))
            # A plain tuple is equal to a mark, and made four times as fast.
            if now.get(path) == mark
        }

    def stand(self, folder: str) -> bool:
        """Whether no file below `folder` was written to since; the time of the inode may differ."""
        lstat = os.lstat
        try:
            for path, (ino, size, mtime_ns, _) in zip(self.paths, self.each(), strict=True):
                facts = lstat(f"{folder}/{path}")
                if (facts.st_ino, facts.st_size, facts.st_mtime_ns) != (ino, size, mtime_ns):
                    return False
        except OSError:
            return False
        return True

    def mark(self, path: str) -> tuple[int, ...] | None:
        """Return the mark of one file."""
        at = self.at(path)
        return None if at < 0 else _MARK.unpack_from(self.marks, at * _MARK.size)

    def at(self, path: str) -> int:
        """Return the place of one file, -1 for none."""
        if not self._places and self.paths:
            self._places = {one: at for at, one in enumerate(self.paths)}
        return self._places.get(path, -1)

    def each(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield the marks in the order of the paths."""
        numbers = iter(memoryview(self.marks).cast("q"))
        return zip(numbers, numbers, numbers, numbers, strict=True)


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
            return Seen()
        head, _, body = data.partition(b"\n")
        try:
            facts = json.loads(head)
            count = facts["files"]
            if (facts["format"], facts["key"]) != (_FORMAT, key) or body[
                -_DIGEST:
            ] != hashlib.sha256(body[:-_DIGEST]).digest():
                return Seen()
            return _unpacked(body[:-_DIGEST], int(count), str(facts["note"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return Seen()

    def save(self, key: str, seen: Seen) -> None:
        """Keep what was seen; that it cannot be kept is no failure."""
        head = {"format": _FORMAT, "key": key, "files": len(seen.paths), "note": seen.note}
        blocks = _sealed(_blocks(seen))
        path = self.project.root / self._path(key)
        with contextlib.suppress(NbversionError):
            self.project.disk.cache(path, _after(json.dumps(head).encode() + b"\n", blocks))

    def _path(self, key: str) -> str:
        name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:24]
        return f"{CACHE}/index/{name}"


def list_settled(path: Path, *, ignore: Collection[str]) -> Source:
    """List a source so that later writes to its files can be told by their times.

    Where a file is young, the disk is flushed first: that cleans the pages of memory maps.
    """
    source = list_source(path, ignore=ignore)
    young = source.listed_ns - MAPPED_NS
    if all(mark.mtime_ns < young for mark in source.marks.values()):
        return source
    try:
        handle = os.open(source.folder, os.O_RDONLY)
    except OSError:
        return source
    try:
        settled = sync_filesystem(handle)
    except OSError:
        return source
    finally:
        os.close(handle)
    return replace(list_source(path, ignore=ignore), settled=True) if settled else source


def trusted(
    files: Iterable[tuple[str, Mark, str]], listed_ns: int, *, settled: bool = False
) -> Seen:
    """Return what may be kept of a user's files that were listed at `listed_ns`.

    What was written to so shortly before that it may be written to again with the same times is left
    out, as git does.
    """
    touched = listed_ns - RACY_NS
    written = touched if settled else listed_ns - MAPPED_NS
    return seen_of([one for one in files if one[1][2] < written and one[1][3] < touched])


def seen_of(files: Sequence[tuple[str, tuple[int, ...], str]]) -> Seen:
    """Return what was seen of files by path, mark and bare digest."""
    try:
        numbers = array("q", chain.from_iterable([mark for _, mark, _ in files]))
    except OverflowError:
        # Some file systems number files beyond 63 bits.
        return Seen()
    return Seen(
        [path for path, _, _ in files],
        bytearray(numbers.tobytes()),
        bytearray.fromhex("".join([sha256 for _, _, sha256 in files])),
    )


def _blocks(seen: Seen) -> Iterator[bytes | bytearray]:
    yield seen.marks
    yield seen.digests
    # Names hold no NUL.
    rest, separator = iter(seen.paths), ""
    while chunk := list(islice(rest, _CHUNK)):
        yield (separator + "\0".join(chunk)).encode()
        separator = "\0"


def _after(head: bytes, blocks: Iterable[bytes | bytearray]) -> Iterator[bytes | bytearray]:
    yield head
    yield from blocks


def _sealed(blocks: Iterable[bytes | bytearray]) -> Iterator[bytes | bytearray]:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
        yield block
    yield digest.digest()


def _unpacked(body: bytes, count: int, note: str) -> Seen:
    end = count * _MARK.size
    marks, digests = body[:end], body[end : end + _DIGEST * count]
    paths = body[end + _DIGEST * count :].decode().split("\0") if count else []
    if count < 0 or len(paths) != count or len(digests) != _DIGEST * count:
        raise ValueError("the index is not whole")
    return Seen(paths, marks, digests, note)
