"""Writing texts and putting folders in their places."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbversion import syscalls
from nbversion.disk.creating import TEXT_MODE, create, link_or_rename_new, rename_new
from nbversion.disk.explaining import explained, storage_error
from nbversion.disk.leftovers import (
    ABANDONED,
    ASIDE_PREFIX,
    STAGE_PREFIX,
    SWAP_PREFIX,
    TEMP_PREFIX,
    hidden_name,
    owned_by_nobody,
)
from nbversion.disk.staging import Staging
from nbversion.errors import ConflictError, LostRaceError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


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
    _swept: set[str] = field(default_factory=set)

    def step(self, primitive: str, path: str | Path) -> None:
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
        with explained(path):
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
        for folder in reversed(missing):
            self.sync_folder(folder.parent)
        return missing

    def create(self, path: Path, data: bytes, *, mode: int = TEXT_MODE) -> bool:
        """Write a whole new file; False, with nothing changed, when the name is taken."""
        temporary = self._write_temporary(path, [data], mode)
        try:
            self.step("create", path)
            with explained(path):
                return link_or_rename_new(temporary, path)
        finally:
            self._discard(temporary)
            self.sync_folder(path.parent)

    def replace(self, path: Path, data: bytes, *, mode: int = TEXT_MODE) -> None:
        """Write a whole file over what is there; a reader sees the old or the new text."""
        temporary = self._write_temporary(path, [data], mode)
        try:
            self.step("replace", path)
            with explained(path):
                os.replace(temporary, path)
        except BaseException:
            self._discard(temporary)
            raise
        self.sync_folder(path.parent)

    def cache(self, path: Path, blocks: Iterable[bytes | bytearray]) -> None:
        """Write a file that can be made anew, whole but not durable."""
        temporary = self._write_temporary(path, blocks, TEXT_MODE, durable=False)
        try:
            self.step("cache", path)
            with explained(path):
                os.replace(temporary, path)
        except BaseException:
            self._discard(temporary)
            raise

    def mark(self, path: Path) -> None:
        """Make an empty file whose presence and time say something; not made durable."""
        self.step("mark", path)
        with explained(path):
            path.touch()

    def remove(self, path: Path) -> None:
        """Remove a file of ours; one that is gone already is fine."""
        self.step("remove", path)
        with explained(path):
            path.unlink(missing_ok=True)

    def _write_temporary(
        self, path: Path, blocks: Iterable[bytes | bytearray], mode: int, *, durable: bool = True
    ) -> Path:
        self.make_folder(path.parent)
        self._sweep_temporaries(path.parent)
        temporary = path.parent / hidden_name(TEMP_PREFIX)
        try:
            self.step("write", temporary)
            with explained(path), open(create(temporary, mode), "wb") as handle:
                handle.writelines(blocks)
                handle.flush()
                if durable:
                    self.step("fsync", temporary)
                    syscalls.sync_file(handle.fileno())
        except BaseException:
            self._discard(temporary)
            raise
        return temporary

    def _discard(self, temporary: Path) -> None:
        with contextlib.suppress(OSError):
            temporary.unlink()

    # -- what dead processes left ----------------------------------------------------------

    def leftovers(self, parent: Path) -> list[Path]:
        """Return the staging folders in `parent` whose owners have certainly ended."""
        return owned_by_nobody(parent, STAGE_PREFIX)

    def _sweep_temporaries(self, folder: Path) -> None:
        # Once for each folder: a folder of 10,000 records is not to be listed for each of them.
        if str(folder) not in self._swept:
            self._swept.add(str(folder))
            for one in owned_by_nobody(folder, TEMP_PREFIX):
                self._discard(one)

    def _adopt(self, parent: Path) -> Iterator[Path]:
        """Make the leftovers in `parent` ours; of two adopters each gets some."""
        for one in self.leftovers(parent):
            ours = parent / hidden_name(STAGE_PREFIX)
            self.step("adopt", one)
            with contextlib.suppress(OSError):
                os.rename(one, ours)
                yield ours

    # -- whole folders ---------------------------------------------------------------------

    @contextlib.contextmanager
    def stage(self, parent: Path, *, resumable: bool = False) -> Iterator[Staging]:
        """Make a hidden folder in `parent` to build a version in.

        Unless it was published or is to be kept, it is gone afterwards, and with it every parent
        that was made for it, and whatever dead processes had left in `parent`.

        Parameters
        ----------
        parent : Path
        resumable : bool
            Whether an interrupt leaves what was staged, if it is much, to the next staging in
            `parent`, and this one goes on with what was left to it.
        """
        owner = os.getpid()
        made = self._make_missing(parent)
        staging = Staging(self, parent / hidden_name(STAGE_PREFIX))
        interrupted = False
        try:
            staging.donors = list(self._adopt(parent))
            if not resumable:
                staging.drop_donors()
            self.step("stage", staging.folder)
            with explained(staging.folder):
                staging.open()
            yield staging
        except KeyboardInterrupt:
            interrupted = resumable and staging.is_worth_keeping
            raise
        finally:
            staging.close()
            # What a forked child ends is its parent's, and goes on there.
            if os.getpid() == owner:
                self._end_staging(staging, made, abandoned=interrupted)

    def _end_staging(self, staging: Staging, made: list[Path], *, abandoned: bool) -> None:
        if abandoned:
            self._abandon([staging.folder, *staging.donors])
        else:
            staging.drop_donors()
        if staging.folder.exists() and not staging.kept:
            self.remove_tree(staging.folder)
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()

    def _abandon(self, folders: list[Path]) -> None:
        for one in folders:
            name = f"{STAGE_PREFIX}{ABANDONED}-{secrets.token_hex(8)}"
            with contextlib.suppress(OSError):
                os.rename(one, one.with_name(name))

    def publish(self, folder: Path, final: Path) -> None:
        """Rename a flushed folder to its final place.

        Raises
        ------
        ConflictError
            When `final` exists, even as an empty folder; nothing is changed.
        """
        self.step("publish", final)
        try:
            rename_new(folder, final)
        except FileExistsError as exc:
            raise ConflictError(
                f"{final.name} exists already in {final.parent}; it was left as it is."
            ) from exc
        except OSError as exc:
            raise storage_error(final, exc) from exc
        try:
            self.sync_folder(final.parent)
        except BaseException:
            # The error says that nothing was changed.
            with contextlib.suppress(OSError):
                os.rename(final, folder)
            raise

    def exchange(self, folder: Path, final: Path) -> None:
        """Put a flushed folder in the place of `final`, which then lies at `folder`."""
        self.step("exchange", final)
        with explained(final):
            if not syscalls.exchange(folder, final):
                # Two renames: a crash in between leaves the old folder whole under the aside name.
                aside = final.parent / f"{hidden_name(ASIDE_PREFIX)}.{final.name}"
                os.rename(final, aside)
                try:
                    os.rename(folder, final)
                except BaseException:
                    os.rename(aside, final)
                    raise
                os.rename(aside, folder)
        self.sync_folder(final.parent)

    def has_exchanges(self, parent: Path) -> bool:
        """Whether a process was killed while it exchanged folders in `parent`."""
        return bool(owned_by_nobody(parent, ASIDE_PREFIX) or owned_by_nobody(parent, SWAP_PREFIX))

    def recover_exchanges(self, parent: Path, quarantine: Path) -> None:
        """Finish what a process left that was killed while it exchanged folders in `parent`.

        A folder of the user's goes back to its name where that is free, everything else to the
        quarantine: which of two folders is whose cannot be known any more.
        """
        for one in owned_by_nobody(parent, ASIDE_PREFIX):
            self.step("put_back", one)
            with contextlib.suppress(FileExistsError), explained(one):
                rename_new(one, parent / one.name.partition(f"{ASIDE_PREFIX}")[2].partition(".")[2])
        for prefix in (ASIDE_PREFIX, SWAP_PREFIX):
            for one in owned_by_nobody(parent, prefix):
                self.set_aside(one, quarantine)

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder that this tool made."""
        self.step("remove_tree", folder)
        shutil.rmtree(folder, ignore_errors=True)

    def withdraw(self, folder: Path) -> None:
        """Take back a folder that was published just now: out of sight at once, then gone."""
        hidden = folder.parent / hidden_name(STAGE_PREFIX)
        self.step("withdraw", folder)
        with explained(folder):
            os.rename(folder, hidden)
        self.sync_folder(folder.parent)
        self.remove_tree(hidden)

    def set_aside(self, path: Path, quarantine: Path) -> Path:
        """Move `path` into the quarantine folder under a name of its own, and return that."""
        self.make_folder(quarantine)
        name = path.name.removeprefix(STAGE_PREFIX).removeprefix(SWAP_PREFIX)
        target = quarantine / f"{secrets.token_hex(4)}-{name}"
        self.step("set_aside", path)
        with explained(path):
            try:
                rename_new(path, target)
            except OSError as exc:
                if exc.errno != errno.EXDEV:
                    raise
                self._move_across(path, target)
        self.sync_folder(quarantine)
        self.sync_folder(path.parent)
        return target

    def _move_across(self, path: Path, target: Path) -> None:
        """Move to another disk: the original goes once the copy is durable."""
        with self.stage(target.parent) as staging:
            copy = staging.folder / "copy"
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, copy, symlinks=True)
            else:
                shutil.copy2(path, copy, follow_symlinks=False)
            staging.flush_all()
            rename_new(copy, target)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """Make the names in `folder` durable."""
        self.step("sync_folder", folder)
        if os.name == "nt":
            return
        with explained(folder):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError as exc:
            # Some network file systems cannot flush a folder; they do so by themselves.
            if exc.errno not in syscalls.NO_SUCH_CALL:
                raise StorageError(
                    f"{folder} cannot be flushed: {exc.strerror}. Whether what was written there "
                    "survives a power cut is not known; look at the disk, then do it again."
                ) from exc
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
            raise storage_error(path, exc) from exc
        except NotImplementedError:
            # A file system without locks: writers are safe by themselves.
            held = contextlib.nullcontext()
        try:
            yield
        finally:
            held.__exit__(None, None, None)
