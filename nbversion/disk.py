"""The only module that writes to disk: stage, write, flush, publish, replace, claim, lock.

Laws: a file or a version is seen whole or not at all, whenever the process or the machine dies; no
publishing call replaces what is there; a failed call leaves nothing of its own behind.

Every primitive first calls `Disk.step`, so that a test can fail or kill at each of them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import secrets
import shutil
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbversion import syscalls
from nbversion.errors import ConflictError, LostRaceError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

FROZEN_MODE = 0o444
TEXT_MODE = 0o644
FOLDER_MODE = 0o755
STAGE_PREFIX = ".nbv-stage-"
TEMP_PREFIX = ".nbv-tmp-"
# Above this many files one syncfs is cheaper than an fsync each (915 fsyncs a second measured).
SYNC_WHOLE_ABOVE = 64
# What a file system answers that has no such call, or not for these two files.
_NO_LINKS = {*syscalls.NO_SUCH_CALL, errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EACCES}


def file_lock(path: Path, timeout: float) -> AbstractContextManager[object]:
    """Return the lock that `Disk` uses by default: flock on a file that is never replaced."""
    import filelock  # noqa: PLC0415  # 30-100 ms, and only writers need it

    return filelock.FileLock(path, timeout=timeout)


@dataclass(slots=True)
class Disk:
    """The disk that a project writes to.

    Parameters
    ----------
    lock_factory : callable, optional
        Makes the lock for a path and a timeout in seconds. Locks are for fairness only: nothing
        here relies on one that holds.
    """

    lock_factory: Callable[[Path, float], AbstractContextManager[object]] = file_lock

    def step(self, primitive: str, path: Path) -> None:
        """Mark that `primitive` is about to touch `path`; tests inject faults here."""

    # -- small text files ------------------------------------------------------------------

    def make_folder(self, path: Path) -> None:
        """Make `path` and its parents."""
        self._make_missing(path)

    def _make_missing(self, path: Path) -> list[Path]:
        """Make `path` and its parents; return those that were not there, deepest first."""
        missing = list(
            itertools.takewhile(lambda one: not os.path.isdir(one), (path, *path.parents))
        )
        if missing:
            self.step("make_folder", path)
        with _explained(path):
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
        for folder in reversed(missing):
            self.sync_folder(folder.parent)
        return missing

    def create(self, path: Path, data: bytes, *, mode: int = TEXT_MODE) -> bool:
        """Write a whole new file; False, with nothing changed, when the name is taken."""
        temporary = self._write_temporary(path, data, mode)
        try:
            self.step("create", path)
            with _explained(path):
                return _link_or_rename_new(temporary, path)
        finally:
            self._discard(temporary)
            self.sync_folder(path.parent)

    def replace(self, path: Path, data: bytes, *, mode: int = TEXT_MODE) -> None:
        """Write a whole file over what is there; a reader sees the old or the new text."""
        temporary = self._write_temporary(path, data, mode)
        try:
            self.step("replace", path)
            with _explained(path):
                os.replace(temporary, path)
        except BaseException:
            self._discard(temporary)
            raise
        self.sync_folder(path.parent)

    def mark(self, path: Path) -> None:
        """Make an empty file whose presence and time say something; not made durable."""
        self.step("mark", path)
        with _explained(path):
            path.touch()

    def remove(self, path: Path) -> None:
        """Remove a file of ours; one that is gone already is fine."""
        self.step("remove", path)
        with _explained(path):
            path.unlink(missing_ok=True)

    def _write_temporary(self, path: Path, data: bytes, mode: int) -> Path:
        self.make_folder(path.parent)
        temporary = path.parent / f"{TEMP_PREFIX}{secrets.token_hex(8)}"
        try:
            self.step("write", temporary)
            with _explained(path), open(_create(temporary, mode), "wb") as handle:
                handle.write(data)
                handle.flush()
                self.step("fsync", temporary)
                syscalls.sync_file(handle.fileno())
        except BaseException:
            self._discard(temporary)
            raise
        return temporary

    def _discard(self, temporary: Path) -> None:
        with contextlib.suppress(OSError):
            temporary.unlink()

    # -- whole folders ---------------------------------------------------------------------

    @contextlib.contextmanager
    def stage(self, parent: Path) -> Iterator[Staging]:
        """Make a hidden folder in `parent` to build a version in.

        Unless it was published or is to be kept, it is gone afterwards, and with it every parent
        that was made for it.
        """
        made = self._make_missing(parent)
        folder = parent / f"{STAGE_PREFIX}{secrets.token_hex(8)}"
        staging = Staging(self, folder)
        try:
            self.step("stage", folder)
            with _explained(folder):
                folder.mkdir()
                _set_mode(folder, FOLDER_MODE)
                staging.open()
            yield staging
        finally:
            staging.close()
            if folder.exists() and not staging.kept:
                self.remove_tree(folder)
            for one in made:
                with contextlib.suppress(OSError):
                    one.rmdir()

    def publish(self, folder: Path, final: Path) -> None:
        """Rename a flushed folder to its final place.

        Raises
        ------
        ConflictError
            When `final` exists, even as an empty folder; nothing is changed.
        """
        self.step("publish", final)
        try:
            _rename_new(folder, final)
        except FileExistsError as exc:
            raise ConflictError(
                f"{final.name} exists already in {final.parent}; it was left as it is."
            ) from exc
        except OSError as exc:
            raise _storage_error(final, exc) from exc
        self.sync_folder(final.parent)

    def exchange(self, folder: Path, final: Path) -> None:
        """Put a flushed folder in the place of `final`, which then lies at `folder`."""
        self.step("exchange", final)
        with _explained(final):
            if not syscalls.exchange(folder, final):
                # Two renames: a crash in between leaves the old folder whole under the aside name.
                aside = final.parent / f"{STAGE_PREFIX}{secrets.token_hex(8)}"
                os.rename(final, aside)
                try:
                    os.rename(folder, final)
                except BaseException:
                    os.rename(aside, final)
                    raise
                os.rename(aside, folder)
        self.sync_folder(final.parent)

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder that this tool made."""
        self.step("remove_tree", folder)
        shutil.rmtree(folder, ignore_errors=True)

    def withdraw(self, folder: Path) -> None:
        """Take back a folder that was published just now: out of sight at once, then gone."""
        hidden = folder.parent / f"{STAGE_PREFIX}{secrets.token_hex(8)}"
        self.step("withdraw", folder)
        with _explained(folder):
            os.rename(folder, hidden)
        self.sync_folder(folder.parent)
        self.remove_tree(hidden)

    def set_aside(self, path: Path, quarantine: Path) -> Path:
        """Move `path` into the quarantine folder under a name of its own, and return that."""
        self.make_folder(quarantine)
        target = quarantine / f"{secrets.token_hex(4)}-{path.name.removeprefix(STAGE_PREFIX)}"
        self.step("set_aside", path)
        with _explained(path):
            # The store may be a link to another disk; then this copies.
            shutil.move(path, target)
        self.sync_folder(quarantine)
        return target

    def sync_folder(self, folder: Path) -> None:
        """Make the names in `folder` durable."""
        self.step("sync_folder", folder)
        if os.name == "nt":
            return
        with _explained(folder):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            except OSError as exc:
                # Some network file systems cannot flush a folder; they do so by themselves.
                if exc.errno not in syscalls.NO_SUCH_CALL:
                    raise
            finally:
                os.close(handle)

    # -- writers among themselves ----------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, path: Path, *, timeout: float = 30.0) -> Iterator[None]:
        """Hold the lock at `path`, for fairness between writers.

        Raises
        ------
        LostRaceError
            When it is not free within `timeout` seconds.
        """
        self.make_folder(path.parent)
        self.step("lock", path)
        held = self.lock_factory(path, timeout)
        try:
            held.__enter__()
        except TimeoutError as exc:
            raise LostRaceError(
                f"another writer has held {path.name} for {timeout:.0f} s; nothing was changed. "
                "Try again, or look for a process that hangs."
            ) from exc
        except OSError as exc:
            raise _storage_error(path, exc) from exc
        except NotImplementedError:
            # A file system without locks: writers are safe by themselves.
            held = contextlib.nullcontext()
        try:
            yield
        finally:
            held.__exit__(None, None, None)


@dataclass(slots=True)
class Staging:
    """A hidden folder that becomes a version.

    Parameters
    ----------
    disk : Disk
    folder : Path
    kept : bool
        Whether the folder stays when the staging ends: after an exchange it is somebody else's.
    """

    disk: Disk
    folder: Path
    kept: bool = False
    _written: list[Path] = field(default_factory=list)
    _filesystem: int = -1

    def open(self) -> None:
        """Make ready to flush, before anything is written.

        The system reports write errors to the descriptors that were open at the time.
        """
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

        Returns
        -------
        sha256 : str
            Bare.
        size : int
            In bytes.
        """
        target = self._place(path)
        digest, size = hashlib.sha256(), 0
        self.disk.step("write", target)
        with _explained(target):
            handle = _create(target, mode)
        try:
            # An error of `blocks` is not one of writing.
            for block in blocks:
                view = memoryview(block)
                digest.update(view)
                size += len(view)
                with _explained(target):
                    while view:
                        view = view[os.write(handle, view) :]
        finally:
            with _explained(target):
                os.close(handle)
        self._written.append(target)
        return digest.hexdigest(), size

    def discard(self, path: str) -> None:
        """Take back a file written below the folder; one that is not there is fine."""
        target = self.folder / path
        self.disk.remove(target)
        self._written[:] = [one for one in self._written if one != target]

    def link(self, existing: Path, path: str) -> bool:
        """Give a frozen file a second name below the folder; False where that cannot be done."""
        target = self._place(path)
        self.disk.step("link", target)
        try:
            os.link(existing, target, follow_symlinks=False)
        except OSError as exc:
            if exc.errno in _NO_LINKS:
                return False
            raise _storage_error(target, exc) from exc
        return True

    def make_folder(self, path: str) -> None:
        """Make a folder below the folder."""
        self._make(self.folder / path)

    def flush(self) -> None:
        """Make everything written so far durable, before it is published."""
        self.disk.step("flush", self.folder)
        with _explained(self.folder):
            if len(self._written) > SYNC_WHOLE_ABOVE and syscalls.sync_filesystem(self._filesystem):
                return
            for path in self._written:
                handle = os.open(path, os.O_RDONLY)
                try:
                    syscalls.sync_file(handle)
                finally:
                    os.close(handle)
        for folder, _, _ in os.walk(self.folder):
            self.disk.sync_folder(Path(folder))

    def _place(self, path: str) -> Path:
        target = self.folder / path
        if "/" in path:
            self._make(target.parent)
        return target

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make(folder.parent)
            with _explained(folder):
                folder.mkdir(exist_ok=True)
                _set_mode(folder, FOLDER_MODE)


def is_leftover(name: str) -> bool:
    """Whether `name` is a staging folder or a temporary file of ours."""
    return name.startswith((STAGE_PREFIX, TEMP_PREFIX))


def _create(path: Path, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, mode)
    if mode == FROZEN_MODE:
        _set_mode(path, mode)
    return handle


def _set_mode(path: Path, mode: int) -> None:
    """Give what was just made its mode whatever the umask: a colleague must be able to read it."""
    # Some file systems have no modes to change.
    with contextlib.suppress(OSError):
        os.chmod(path, mode)


def _link_or_rename_new(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        try:
            _rename_new(temporary, path)
        except FileExistsError:
            return False
    return True


def _rename_new(source: Path, target: Path) -> None:
    """Rename without replacing; plain rename(2) replaces even an empty folder silently."""
    if os.name == "nt":
        os.rename(source, target)
    elif not syscalls.rename_new(source, target):
        claim = target.parent / f"{TEMP_PREFIX}claim-{target.name}"
        os.close(_create(claim, TEXT_MODE))
        try:
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "exists", str(target))
            os.rename(source, target)
        finally:
            claim.unlink()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the system's error into one line that names the path."""
    try:
        yield
    except StorageError:
        raise
    except OSError as exc:
        raise _storage_error(path, exc) from exc


def _storage_error(path: Path, exc: OSError) -> StorageError:
    hint = ""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(_existing(path)).free
            hint = f" ({free:,} bytes are free)"
        hint += "; free some space and run the same command again"
    elif exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        owner = _existing(path)
        with contextlib.suppress(OSError):
            hint = f" ({owner} has mode {stat.S_IMODE(owner.stat().st_mode):04o})"
        hint += "; make the project folder writable"
    return StorageError(
        f"cannot write {path}: {exc.strerror or exc}{hint}. Nothing that was there was changed."
    )


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
