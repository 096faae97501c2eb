"""A hidden folder that a version is built in, flushed whole before it is published."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbversion import syscalls
from nbversion.disk.creating import CREATE, FOLDER_MODE, FROZEN_MODE, NO_LINKS, set_mode
from nbversion.disk.explaining import explained, storage_error
from nbversion.disk.leftovers import SWAP_PREFIX, hidden_name
from nbversion.hashing import is_hole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from nbversion.disk.writing import Disk

# Above this many files one syncfs is cheaper than an fsync each (915 fsyncs a second measured).
SYNC_WHOLE_ABOVE = 64
# Below this an interrupted copy is made anew in a second; nobody wants its remains.
WORTH_KEEPING = 64 << 20
_FLUSH_EVERY_S = 0.5


@dataclass(slots=True)
class Staging:
    """A hidden folder that becomes a version.

    Parameters
    ----------
    disk : Disk
    folder : Path
    kept : bool
        Whether the folder stays when the staging ends: after an exchange it is somebody else's.
    donors : list of Path
        What others had staged in the same place before they were killed or interrupted.
    """

    disk: Disk
    folder: Path
    kept: bool = False
    donors: list[Path] = field(default_factory=list)
    _written: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)
    _filesystem: int = -1
    _masked: bool = False
    _bytes: int = 0
    _clones: bool = syscalls.CAN_CLONE

    def open(self) -> None:
        """Make the folder and make ready to flush, before anything is written.

        The system reports write errors to the descriptors that were open at the time.
        """
        self.folder.mkdir()
        # What the umask takes from a folder it takes from a file.
        self._masked = os.stat(self.folder).st_mode & FROZEN_MODE != FROZEN_MODE
        set_mode(self.folder, FOLDER_MODE)
        self._folders.add("")
        if sys.platform == "linux":
            self._filesystem = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Release what the staging holds; twice is fine."""
        if self._filesystem >= 0:
            os.close(self._filesystem)
            self._filesystem = -1

    def write(
        self, path: str, blocks: Iterable[bytes | memoryview], *, mode: int = FROZEN_MODE
    ) -> tuple[str, int]:
        """Write one file below the folder in one pass, hashing what is written.

        A hole in `blocks` becomes a hole in the file; see `nbversion.hashing.blocks`.

        Returns
        -------
        sha256 : str
            Bare.
        size : int
            In bytes.
        """
        target = self._place(path)
        digest, size, ends_in_hole = hashlib.sha256(), 0, False
        self.disk.step("write", target)
        with explained(target):
            handle = self._create(target, mode)
        try:
            # An error of `blocks` is not one of writing.
            for block in blocks:
                view = memoryview(block)
                digest.update(view)
                size += len(view)
                ends_in_hole = is_hole(view)
                with explained(target):
                    if ends_in_hole:
                        os.lseek(handle, len(view), os.SEEK_CUR)
                        continue
                    while view:
                        view = view[os.write(handle, view) :]
            if ends_in_hole:
                with explained(target):
                    os.ftruncate(handle, size)
        finally:
            with explained(target):
                os.close(handle)
        self._bytes += size
        return digest.hexdigest(), size

    def write_whole(self, path: str, data: bytes, *, mode: int = FROZEN_MODE) -> os.stat_result:
        """Write one file below the folder from memory: the shortest way for a small one."""
        target = self._place(path)
        self.disk.step("write", target)
        try:
            handle = self._create(target, mode)
            try:
                written = os.write(handle, data)
                while written < len(data):
                    written += os.write(handle, memoryview(data)[written:])
                self._bytes += written
                return os.fstat(handle)
            finally:
                os.close(handle)
        except OSError as exc:
            raise storage_error(target, exc) from exc

    def clone(self, source: BinaryIO, path: str, *, mode: int = FROZEN_MODE) -> BinaryIO | None:
        """Let a new file below the folder share the blocks of an open one until one is written to.

        Returns
        -------
        file or None
            The new one, open for reading; None where the file system cannot do it.
        """
        if not self._clones:
            return None
        target = self._place(path)
        self.disk.step("clone", target)
        with explained(target):
            handle = self._create(target, mode)
            try:
                done = syscalls.clone(source.fileno(), handle)
            finally:
                os.close(handle)
            if done:
                return open(target, "rb", buffering=0)
            self._clones = False
            os.unlink(target)
        return None

    def discard(self, path: str) -> None:
        """Take back a file written below the folder; one that is not there is fine."""
        self.disk.remove(self.folder / path)

    def link(self, existing: str | Path, path: str) -> bool:
        """Give a frozen file a second name below the folder; False where that cannot be done."""
        target = self._place(path)
        self.disk.step("link", target)
        try:
            os.link(existing, target, follow_symlinks=False)
        except OSError as exc:
            if exc.errno in NO_LINKS:
                return False
            raise storage_error(target, exc) from exc
        return True

    def share(self, existing: str, path: str) -> str:
        """Let a new file below the folder have the bytes of a frozen one without copying them.

        Returns
        -------
        str
            ``"reflinked"``, ``"linked"``, or nothing where neither can be done.
        """
        if self._clones:
            with explained(existing), open(existing, "rb", buffering=0) as source:
                clone = self.clone(source, path)
            if clone is not None:
                clone.close()
                return "reflinked"
        return "linked" if self.link(existing, path) else ""

    def share_all(self, folder: str, paths: Sequence[str]) -> list[str]:
        """Share the files of a frozen folder at the same paths; see `share`."""
        if self._clones:
            return [self.share(f"{folder}/{path}", path) for path in paths]
        link, step, here, folders = os.link, self.disk.step, str(self.folder), self._folders
        found = []
        for path in paths:
            target = f"{here}/{path}"
            if path.rpartition("/")[0] not in folders:
                self._place(path)
            step("link", target)
            try:
                link(f"{folder}/{path}", target, follow_symlinks=False)
            except OSError as exc:
                if exc.errno not in NO_LINKS:
                    raise storage_error(target, exc) from exc
                found.append("")
            else:
                found.append("linked")
        return found

    def take(self, existing: str | Path, path: str) -> bool:
        """Move a file of a donor below the folder; False when it is not there any more."""
        target = self._place(path)
        self.disk.step("take", target)
        try:
            os.rename(existing, target)
        except OSError:
            return False
        self._was_written(target)
        return True

    @property
    def is_worth_keeping(self) -> bool:
        """Whether going on with what was staged spares more than it costs to look at it."""
        return self._bytes >= WORTH_KEEPING or bool(self.donors)

    def drop_donors(self) -> None:
        """Remove what is left of the donors."""
        while self.donors:
            self.disk.remove_tree(self.donors.pop())

    def becomes_swap(self) -> Path:
        """Take a name that is never swept: a folder of the user's is about to lie under it."""
        swap = self.folder.with_name(hidden_name(SWAP_PREFIX))
        self.disk.step("becomes_swap", self.folder)
        with explained(self.folder):
            os.rename(self.folder, swap)
        self.folder = swap
        return swap

    def make_folder(self, path: str) -> None:
        """Make a folder below the folder."""
        self._make(path)

    def flush(self) -> None:
        """Make everything written so far durable, before it is published."""
        self.disk.step("flush", self.folder)
        few = len(self._written) + len(self._folders) <= SYNC_WHOLE_ABOVE
        with explained(self.folder):
            if not few and syscalls.sync_filesystem(self._filesystem):
                return
        # What was only linked is durable since it was frozen; beyond the limit nobody counted.
        self.flush_all(only=self._written if few else None)

    def flush_all(self, *, only: Collection[str] | None = None) -> None:
        """Make the folder durable file by file, with all files in it or those of these paths."""
        for folder, _, files in os.walk(self.folder):
            for path in [f"{folder}/{name}" for name in files]:
                if (only is None or path in only) and not os.path.islink(path):
                    _flush_file(path)
            self.disk.sync_folder(Path(folder))

    @contextlib.contextmanager
    def flushing(self) -> Iterator[None]:
        """Begin to write back while files are still being written; `flush` then has less to wait for.

        With a descriptor of its own: what goes wrong here is told to the one of `flush` as well.
        """
        over = threading.Event()

        def flush() -> None:
            with contextlib.suppress(OSError):
                while not over.wait(_FLUSH_EVERY_S) and syscalls.sync_filesystem(handle):
                    pass

        if self._filesystem < 0:
            yield
            return
        with explained(self.folder):
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        thread = threading.Thread(target=flush, name="nbversion-flush", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            os.close(handle)

    def _create(self, target: str, mode: int) -> int:
        handle = os.open(target, CREATE, mode)
        self._was_written(target)
        if self._masked:
            set_mode(target, mode)
        return handle

    def _was_written(self, target: str) -> None:
        # Past the limit it does not matter which, and a million names are 100 MB.
        if len(self._written) <= SYNC_WHOLE_ABOVE:
            self._written.add(target)

    def _place(self, path: str) -> str:
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._make(folder)
        return f"{self.folder}/{path}"

    def _make(self, path: str) -> None:
        """Make a folder below the folder and those above it; several threads may."""
        if path not in self._folders:
            self._make(path.rpartition("/")[0])
            target = f"{self.folder}/{path}"
            with explained(target):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(target, FOLDER_MODE)
                if self._masked:
                    set_mode(target, FOLDER_MODE)
            self._folders.add(path)


def _flush_file(path: str) -> None:
    with explained(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            syscalls.sync_file(handle)
        finally:
            os.close(handle)
