"""Copying a source into a staging folder: one pass, each content stored once.

Where a file's bytes come from is decided for each by itself. What an older version holds already is
shared with it: the source is then read only to be hashed, and not even that when the index knows it.
What a killed or interrupted snapshot had staged is hashed and taken. The rest is copied, small files
through memory, large ones in blocks, each hashed as it is written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from nbversion.errors import StorageError
from nbversion.formats.file_list import FrozenFile, sorted_files
from nbversion.hashing import hash_stream
from nbversion.render.amounts import human_size
from nbversion.store.copying import copy_into
from nbversion.store.parallel import SILENT, Progress, Work, hash_watched
from nbversion.store.sources import SMALL, Mark, mark_from, mark_of, open_regular, some
from nbversion.store.stat_index import Seen, seen_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nbversion.disk import Staging
    from nbversion.store.frozen import FrozenVersion
    from nbversion.store.sources import Source

# How many bytes must be looked for to read a byte of an older manifest, after the first of them.
_PAYS = 8
_FREE_TO_READ = 1 << 20


@dataclass(slots=True)
class Stored:
    """How the bytes of a new version came to lie there, in numbers of files."""

    copied: int = 0
    linked: int = 0
    reflinked: int = 0
    resumed: int = 0

    def to_json(self) -> dict[str, int]:
        """Return the counts."""
        return {
            "copied": self.copied,
            "linked": self.linked,
            "reflinked": self.reflinked,
            "resumed": self.resumed,
        }

    def add(self, how: str, files: int = 1) -> None:
        """Count files."""
        setattr(self, how, getattr(self, how) + files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """An older version whose files may be shared.

    Parameters
    ----------
    cost : int
        The bytes of its manifest.
    load : callable
        Gives the version and the marks of its files when they were frozen, or None for a broken one.
        What does not have its mark any more is hashed before it is shared, else the new version would
        be born corrupt.
    """

    cost: int
    load: Callable[[], tuple[FrozenVersion, Seen] | None]


@dataclass(slots=True)
class Freezer:
    """Copies a source into a staging folder, storing once what an older version has already.

    Parameters
    ----------
    staging : Staging
    shelves : iterable of Shelf
        Older versions, newest first; asked for one after the other, as long as it pays.
    known : mapping
        Bare digests of files of the source that need not be read.
    progress : Progress
    trusting : bool
        Whether a frozen file that keeps its mark is shared without hashing it again. Not where the
        original goes away afterwards.
    """

    staging: Staging
    shelves: Iterable[Shelf] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = SILENT
    trusting: bool = True
    stored: Stored = field(default_factory=Stored)
    # The marks of the frozen files, and of those files of the source that were read.
    frozen: Seen = field(default_factory=Seen)
    read: dict[str, Mark] = field(default_factory=dict)
    _stock: _Stock = field(init=False)
    _work: Work = field(default_factory=Work)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._stock = _Stock(self.shelves)

    def freeze(self, source: Source) -> tuple[FrozenFile, ...]:
        """Copy or share every file.

        Raises
        ------
        StorageError
            When a file cannot be read, kept changing or changed since it was read, files came or
            went, or the disk is full.
        """
        size = sum(map(source.size, source.items))
        self._work = Work(what="Freezing", progress=self.progress, size_bytes=size)
        try:
            with self._work.told(len(source.items)), self.staging.flushing():
                files = self._freeze_all(source)
        except StorageError as exc:
            raise _explained(exc, source, size) from exc.__cause__
        for path in source.directories:
            self.staging.make_folder(path)
        # What was not read was believed to be as listed, so it must still be.
        marks = source.marks
        believed = {path: marks[path] for path in self.known if path in marks}
        source.require_unchanged({**believed, **self.read})
        return sorted_files(files)

    def _freeze_all(self, source: Source) -> list[FrozenFile]:
        work = self._work
        linked = self._link_unchanged() if self.trusting else []
        done = {one.path for one in linked}
        rest = [path for path in source.items if path not in done]
        if self._stock.is_empty and not self.staging.donors:
            files = work.run_parts(lambda part: self._copy_small(source, part), rest)
        else:
            files = work.run(lambda path: self._freeze(source, path), rest)
        return [*linked, *files]

    def _link_unchanged(self) -> list[FrozenFile]:
        """Share the files that neither the user nor anybody else touched since the newest version."""
        unchanged = self._stock.unchanged(self.known)
        if not unchanged:
            return []
        version, seen = self._stock.newest
        folder = str(version.path)

        def link(part: Sequence[_Unchanged]) -> list[str]:
            lstat, sound = os.lstat, []
            for one, mark, _ in part:
                try:
                    facts = lstat(f"{folder}/{one.path}")
                except OSError:
                    continue
                if (facts.st_ino, facts.st_size, facts.st_mtime_ns) == mark[:3]:
                    sound.append(one)
            shared = self.staging.share_all(folder, [one.path for one in sound])
            self._work.did(0, sum([one.size_bytes for one in sound]))
            hows = {one.path: how for one, how in zip(sound, shared, strict=True)}
            return [hows.get(one.path, "") for one, _, _ in part]

        hows = self._work.run_parts(link, unchanged)
        self.frozen.take(
            seen.some([one[2] for one, how in zip(unchanged, hows, strict=True) if how == "linked"])
        )
        found = []
        for (one, mark, _), how in zip(unchanged, hows, strict=True):
            if how:
                found.append(one)
            if how == "linked":
                self._stock.give_out(mark[0])
            elif how:
                self.frozen.add(one.path, _frozen_mark(self.staging.folder / one.path), one.sha256)
        for how in ("linked", "reflinked"):
            self.stored.add(how, hows.count(how))
        return found

    def _copy_small(self, source: Source, part: Sequence[str]) -> list[FrozenFile]:
        """Copy files that nothing can be shared with; large ones, and restless ones, by `_freeze`."""
        items, write, marks = source.items, self.staging.write_whole, {}
        seen: list[tuple[str, tuple[int, ...], str]] = []
        found: list[FrozenFile] = []
        for path in part:
            listed = items[path]
            data = source.read_as_listed(path) if isinstance(listed, Mark) else None
            if data is None or not isinstance(listed, Mark):
                found.append(self._freeze(source, path))
                continue
            sha256, size = hashlib.sha256(data).hexdigest(), listed.size
            facts = write(path, data)
            # The listing's own mark: of a million equal ones one each is enough.
            marks[path] = listed
            seen.append((path, (facts.st_ino, size, facts.st_mtime_ns, 0), sha256))
            found.append(FrozenFile(path, size, sha256))
        with self._lock:
            self.stored.add("copied", len(seen))
            self.frozen.take(seen_of(seen))
            self.read.update(marks)
        self._work.did(0, sum([one[1][1] for one in seen]))
        return found

    def _freeze(self, source: Source, path: str) -> FrozenFile:
        sha256 = self.known.get(path)
        if sha256 is not None:
            size = source.size(path)
            if self._share(path, sha256, size):
                return FrozenFile(path, size, sha256)
        small = source.read_small(path) if source.size(path) <= SMALL else None
        if small is None:
            return self._freeze_large(source, path)
        data, mark = small
        sha256 = hashlib.sha256(data).hexdigest()
        self._was_read(source, path, mark)
        if not self._share(path, sha256, len(data)):
            self._keep(path, "copied", mark_from(self.staging.write_whole(path, data)), sha256)
        self._work.did(0, len(data))
        return FrozenFile(path, len(data), sha256)

    def _freeze_large(self, source: Source, path: str) -> FrozenFile:
        if self._stock.may_hold(source.size(path)) or self._is_staged(path, source.size(path)):
            (sha256, size), mark = source.read(path, self._hash)
            self._was_read(source, path, mark)
            if self._share(path, sha256, size):
                return FrozenFile(path, size, sha256)
        (content, how), mark = source.read(
            path,
            lambda handle: copy_into(self.staging, handle, path, self._work),
            redo=lambda: self.staging.discard(path),
        )
        sha256, size = content
        self._was_read(source, path, mark)
        self._keep(path, how, mark_of(self.staging.folder / path), sha256)
        return FrozenFile(path, size, sha256)

    def _hash(self, handle: BinaryIO) -> tuple[str, int]:
        return hash_watched(handle, self._work)

    def _was_read(self, source: Source, path: str, mark: Mark | None) -> None:
        if mark is not None:
            # Of a million equal marks one each is enough.
            listed = source.items[path]
            self.read[path] = listed if isinstance(listed, Mark) and listed == mark else mark

    def _keep(self, path: str, how: str, mark: Mark, sha256: str) -> None:
        with self._lock:
            self.stored.add(how)
            self.frozen.add(path, (*mark[:3], 0), sha256)

    def _share(self, path: str, sha256: str, size: int) -> bool:
        """Take the content from an older version, or from what was staged before."""
        same = self._stock.same_path(path, sha256)
        if same is not None and self._take(*same, path, sha256, size):
            return True
        if self._stock.may_hold(size):
            for existing, seen in self._stock.elsewhere(sha256):
                if self._take(existing, seen, path, sha256, size):
                    return True
        return self._resume(path, sha256, size)

    def _take(
        self, existing: str, seen: tuple[int, ...] | None, path: str, sha256: str, size: int
    ) -> bool:
        mark = mark_of(existing)._replace(ctime_ns=0)
        touched = mark != seen or not self.trusting
        if touched and not self._intact(existing, sha256, size):
            return False
        if not self._stock.give_out(mark.ino):
            return False
        how = self.staging.share(existing, path)
        if how == "reflinked":
            mark = mark_of(self.staging.folder / path)
        if how:
            self._keep(path, how, mark, sha256)
        return bool(how)

    def _intact(self, existing: str, sha256: str, size: int) -> bool:
        try:
            with open_regular(existing) as handle:
                return hash_stream(handle) == (sha256, size)
        except OSError:
            return False

    def _staged(self, path: str, size: int) -> Iterator[str]:
        for donor in self.staging.donors:
            if mark_of(f"{donor}/{path}").size == size:
                yield f"{donor}/{path}"

    def _is_staged(self, path: str, size: int) -> bool:
        return any(True for _ in self._staged(path, size))

    def _resume(self, path: str, sha256: str, size: int) -> bool:
        for staged in self._staged(path, size):
            if not self._stock.give_out(mark_of(staged).ino):
                continue
            if self._intact(staged, sha256, size) and self.staging.take(staged, path):
                self._keep(path, "resumed", mark_of(self.staging.folder / path), sha256)
                return True
        return False


_Unchanged = tuple[FrozenFile, tuple[int, int, int, int], int]


class _Stock:
    """What older versions hold; each of their files is given out once.

    A hard link is no second copy: two paths of one version never share a file.
    """

    def __init__(self, shelves: Iterable[Shelf]) -> None:
        self._shelves = iter(shelves)
        self._next = next(self._shelves, None)
        self._lock = threading.Lock()
        self._looked_for = 0
        self._spent = 0
        self._given: set[int] = set()
        self._loaded: list[tuple[FrozenVersion, Seen]] = []
        self._newest: dict[str, str] = {}
        self._by_content: dict[str, list[tuple[str, tuple[int, ...] | None]]] = {}
        self._indexed = 0
        self._contents: list[set[str]] = []
        self._sizes: set[int] = set()
        self._load_next()
        if self._loaded:
            files = self._loaded[0][0].manifest.files
            self._newest = {path: sha256 for path, _, sha256 in files}

    @property
    def is_empty(self) -> bool:
        """Whether there is no older version to share with."""
        return not self._loaded and self._next is None

    @property
    def newest(self) -> tuple[FrozenVersion, Seen]:
        """The newest version, and the marks of its files."""
        return self._loaded[0]

    def unchanged(self, known: Mapping[str, str]) -> list[_Unchanged]:
        """Return the files of the newest version that the source has without a change.

        Each with its mark when it was frozen, and its place among the marks.
        """
        if not known or not self._loaded:
            return []
        version, seen = self._loaded[0]
        files = {one.path: one for one in version.manifest.files}
        found = []
        for at, (path, mark) in enumerate(zip(seen.paths, seen.each(), strict=True)):
            one = files.get(path)
            if one is not None and known.get(path) == one.sha256:
                found.append((one, mark, at))
        # Two names of one file would be two names of one file in the new version as well.
        return found if len({mark[0] for _, mark, _ in found}) == len(found) else []

    def _load_next(self) -> None:
        shelf, self._next = self._next, next(self._shelves, None)
        self._spent += shelf.cost if shelf else 0
        found = shelf.load() if shelf else None
        sound = found is not None and not found[0].manifest.problem
        if found is not None and sound and not found[0].linked_folders():
            self._loaded.append(found)
            self._sizes.update([one.size_bytes for one in found[0].manifest.files])

    def may_hold(self, size: int) -> bool:
        """Whether an older version has a file of that size."""
        self._look_for(size)
        return size in self._sizes

    def _look_for(self, size: int) -> None:
        """Load older versions as the bytes that they might spare grow."""
        with self._lock:
            self._looked_for += size
            while self._next and self._spent + self._next.cost <= self._worth_reading():
                self._load_next()

    def _worth_reading(self) -> float:
        # A manifest that is longer than what it spares costs more to read than it gives.
        return _FREE_TO_READ + self._looked_for / _PAYS

    def same_path(self, path: str, sha256: str) -> tuple[str, tuple[int, ...] | None] | None:
        """Return the file that the newest version has at `path`, when it has that content."""
        if self._newest.get(path) != sha256:
            return None
        version, seen = self._loaded[0]
        return f"{version.path}/{path}", seen.mark(path)

    def elsewhere(self, sha256: str) -> Iterable[tuple[str, tuple[int, ...] | None]]:
        """Return the files of that content in all versions that were looked into."""
        with self._lock:
            for version, _ in self._loaded[len(self._contents) :]:
                self._contents.append({one.sha256 for one in version.manifest.files})
            if not any(sha256 in contents for contents in self._contents):
                # Most often: what was changed is new.
                return ()
            for version, seen in self._loaded[self._indexed :]:
                folder = str(version.path)
                for path, _, digest in version.manifest.files:
                    one = (f"{folder}/{path}", seen.mark(path))
                    self._by_content.setdefault(digest, []).append(one)
            self._indexed = len(self._loaded)
        return self._by_content.get(sha256, ())

    def give_out(self, ino: int) -> bool:
        """Take note that a file is shared; False when it was before, under whichever name."""
        with self._lock:
            if ino in self._given:
                return False
            self._given.add(ino)
        return True


def _frozen_mark(path: Path) -> tuple[int, ...]:
    return (*mark_of(path)[:3], 0)


def _explained(exc: StorageError, source: Source, size: int) -> StorageError:
    """Add what a user needs to know of a failure and what the one file does not tell."""
    cause = exc.__cause__
    code = cause.errno if isinstance(cause, OSError) else None
    if code in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{exc.message} The source holds {human_size(size)}.")
    refused = source.refused() if code in (errno.EACCES, errno.EPERM) else []
    if len(refused) > 1:
        return StorageError(f"{some(refused)} cannot be read. Nothing was published.")
    return exc


def hash_source(source: Source) -> tuple[FrozenFile, ...]:
    """Hash every file of a source without copying anything."""
    return sorted_files(hash_some(source, list(source.items), SILENT)[0])


def hash_some(
    source: Source, paths: list[str], progress: Progress
) -> tuple[list[FrozenFile], dict[str, Mark]]:
    """Hash some files of a source without copying anything.

    Returns
    -------
    files : list of FrozenFile
    marks : dict
        Of those that lie on disk, as they were read.
    """
    marks: dict[str, Mark] = {}
    work = Work("Hashing", progress, sum(map(source.size, paths)))

    def one(path: str) -> FrozenFile:
        small = source.read_small(path) if source.size(path) <= SMALL else None
        if small is not None:
            data, mark = small
            sha256, size = hashlib.sha256(data).hexdigest(), len(data)
            work.did(0, size)
        else:
            (sha256, size), mark = source.read(path, lambda handle: hash_watched(handle, work))
        if mark is not None:
            marks[path] = mark
        return FrozenFile(path, size, sha256)

    with work.told(len(paths)):
        files = work.run(one, paths)
    source.require_unchanged(marks)
    return files, marks
