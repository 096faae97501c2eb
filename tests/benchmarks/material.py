"""The data that is versioned: made from a seed, so that every run measures the same bytes."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from typing import TYPE_CHECKING, Protocol

from processes import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SEED = 20261123
FILE_BYTES = 4096
FILES_PER_FOLDER = 100
CHANGED_FILES = 10


def digests_of(chunks: Iterable[bytes], size: int) -> dict[str, str]:
    """Return the names that the contenders give to this content."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for chunk in chunks:
        for one in (sha256, md5, blob):
            one.update(chunk)
    return {"sha256": sha256.hexdigest(), "md5": md5.hexdigest(), "git": blob.hexdigest()}


def content_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` by its relative path."""
    found = {}
    buffer = bytearray(CHUNK)
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            digest = hashlib.sha256()
            with open(path, "rb", buffering=0) as stream:
                while count := stream.readinto(buffer):
                    digest.update(memoryview(buffer)[:count])
            found[os.path.relpath(path, folder)] = digest.hexdigest()
    return found


class Material(Protocol):
    """What a contender is asked to version.

    `item` is what it is called in the contender's folder, `is_folder` whether that is a folder or
    one file.
    """

    item: str
    is_folder: bool

    def place(self, folder: Path) -> None:
        """Put it into `folder`."""

    def change(self, folder: Path) -> None:
        """Change what was placed in `folder`, in the same way every time."""

    def expected(self, algorithm: str, *, changed: bool) -> dict[str, str]:
        """Return the digest of each file by its path below the item (or its name)."""


class ManyFiles:
    """Small files of random bytes in folders of a hundred."""

    item = "tree"
    is_folder = True

    def __init__(self, files: int) -> None:
        self.files = files
        step = max(1, files // CHANGED_FILES)
        self.changed = frozenset(range(0, files, step)[:CHANGED_FILES])
        self._digests: dict[bool, dict[str, dict[str, str]]] = {}

    def place(self, folder: Path) -> None:
        """Write the tree."""
        for number in range(self.files):
            path = folder / self.item / self._path(number)
            if number % FILES_PER_FOLDER == 0:
                path.parent.mkdir(parents=True)
            path.write_bytes(self._content(number, changed=False))

    def change(self, folder: Path) -> None:
        """Overwrite ten files in place with others of the same size."""
        for number in self.changed:
            path = folder / self.item / self._path(number)
            path.write_bytes(self._content(number, changed=True))

    def expected(self, algorithm: str, *, changed: bool) -> dict[str, str]:
        """Return the digest of each file by its path below the tree."""
        if changed not in self._digests:
            self._digests[changed] = {
                self._path(number): digests_of([self._content(number, changed=changed)], FILE_BYTES)
                for number in range(self.files)
            }
        return {path: all_[algorithm] for path, all_ in self._digests[changed].items()}

    def _path(self, number: int) -> str:
        return f"d{number // FILES_PER_FOLDER:03}/f{number:06}.bin"

    def _content(self, number: int, *, changed: bool) -> bytes:
        edition = 2 if changed and number in self.changed else 1
        return random.Random(f"{SEED}/{number}/{edition}").randbytes(FILE_BYTES)


class LargeFiles:
    """One or several large files, written once and given to everybody as hard links.

    Five rounds of every rival would not fit on the disk with a source for each.

    Parameters
    ----------
    store : Path
        Where they are written.
    size_bytes, count : int
    """

    def __init__(self, store: Path, *, size_bytes: int, count: int) -> None:
        self.is_folder = count > 1
        self.item = "large" if self.is_folder else "large.bin"
        self._store = store
        self._digests = {}
        store.mkdir(parents=True)
        for number in range(count):
            name = f"large-{number}.bin" if self.is_folder else "large.bin"
            self._digests[name] = digests_of(
                _written(store / name, _chunks(number, size_bytes)), size_bytes
            )
        self._facts = self._look()

    def place(self, folder: Path) -> None:
        """Link the files; copy them where that cannot be done."""
        target = folder / self.item if self.is_folder else folder
        target.mkdir(parents=True, exist_ok=True)
        for name in self._digests:
            try:
                os.link(self._store / name, target / name)
            except OSError:
                shutil.copy2(self._store / name, target / name)

    def change(self, folder: Path) -> None:
        """Do nothing: no workload changes a large file."""

    def expected(self, algorithm: str, *, changed: bool) -> dict[str, str]:
        """Return the digest of each file by its name."""
        del changed
        if self._look() != self._facts:
            raise RuntimeError("a contender wrote to the shared source; nothing measured holds")
        return {name: all_[algorithm] for name, all_ in self._digests.items()}

    def _look(self) -> list[tuple[int, int]]:
        found = [(self._store / name).stat() for name in self._digests]
        return [(one.st_size, one.st_mtime_ns) for one in found]


def _chunks(number: int, size: int) -> Iterator[bytes]:
    source = random.Random(f"{SEED}/large/{number}")
    for begin in range(0, size, CHUNK):
        yield source.randbytes(min(CHUNK, size - begin))


def _written(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with path.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
            yield chunk
