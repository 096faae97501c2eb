"""Reading the user's own files, which others may be changing: every byte from one stable file.

Nothing here writes. Links, special files and names that are not UTF-8 are refused, because their
content is not theirs to promise.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from nbversion.errors import InvalidInputError, NotFoundError, StorageError
from nbversion.formats.manifest import UNHASHED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

T = TypeVar("T")

_READ_FLAGS = (
    os.O_RDONLY
    # Opening a pipe that was put there meanwhile must not hang; a link must not be followed.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_TRIES = 3
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is to be frozen.

    Parameters
    ----------
    items : mapping
        Where the bytes of each file come from, by its path below the version's folder: a file on
        disk, or the bytes themselves.
    directories : tuple of str
        Empty folders.
    ignored : tuple of str
        What was left out.
    """

    items: Mapping[str, Path | bytes]
    directories: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def size(self, path: str) -> int:
        """Return the present size in bytes."""
        item = self.items[path]
        try:
            return len(item) if isinstance(item, bytes) else item.lstat().st_size
        except OSError as exc:
            raise StorageError(f"{item!s} vanished while it was read: {exc.strerror}.") from exc

    def read(
        self, path: str, consume: Callable[[BinaryIO], T], *, redo: Callable[[], object] = list
    ) -> T:
        """Give the file's bytes to `consume`; see `read_stable`."""
        item = self.items[path]
        if isinstance(item, bytes):
            return consume(BytesIO(item))
        return read_stable(item, consume, redo=redo)

    def collisions(self) -> list[str]:
        """Return names that a case-insensitive file system would take for one another."""
        seen: dict[str, str] = {}
        found = []
        for path in self.items:
            other = seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if other != path:
                found.append(f"{other!r} and {path!r}")
        return found


def list_source(path: Path, *, ignore: Collection[str], own: Collection[str] = ()) -> Source:
    """List a file, or a folder with everything below it.

    Parameters
    ----------
    path : Path
    ignore : collection of str
        File and folder names to leave out at any depth.
    own : collection of str
        Paths below the folder that are the version's own files, not content.

    Raises
    ------
    NotFoundError
        When `path` is not there.
    InvalidInputError
        When it is empty, or holds a link, a special file, a name that is not UTF-8 or that a
        version's own files have.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{path} is not there. Nothing was written.") from None
    except OSError as exc:
        raise StorageError(f"{path} cannot be read: {exc.strerror}. Nothing was written.") from exc
    if stat.S_ISREG(mode):
        _check_names([path.name], path.parent)
        return Source(items={path.name: path})
    if not stat.S_ISDIR(mode):
        raise InvalidInputError(
            f"{path} is {_what(mode)}; only files and folders can be frozen.{_target(path)} "
            "Nothing was written."
        )
    source = _walk(path, ignore, own)
    if not source.items:
        raise InvalidInputError(f"{path} holds no file to freeze. Nothing was written.")
    return source


def _walk(base: Path, ignore: Collection[str], own: Collection[str]) -> Source:
    files: list[str] = []
    empty: list[str] = []
    ignored: list[str] = []
    refused: list[str] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        count = 0
        try:
            with os.scandir(base / prefix) as found:
                entries = list(found)
        except OSError as exc:
            raise StorageError(
                f"{base / prefix} cannot be read: {exc.strerror}. Nothing was written."
            ) from exc
        for entry in entries:
            below = f"{prefix}{entry.name}"
            if below in own:
                continue
            if entry.name in ignore:
                ignored.append(below)
                continue
            count += 1
            if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                mode = entry.stat(follow_symlinks=False).st_mode
                refused.append(f"{below!r} is {_what(mode)}")
            elif entry.is_dir():
                pending.append(f"{below}/")
            else:
                files.append(below)
        if not count and prefix:
            empty.append(prefix.rstrip("/"))
    if refused:
        raise InvalidInputError(
            f"{base}: {_some(sorted(refused))}; only files and folders can be frozen. "
            "Nothing was written."
        )
    _check_names([*files, *empty, *ignored], base)
    return Source(
        items={path: base / path for path in sorted(files, key=str.encode)},
        directories=tuple(sorted(empty)),
        ignored=tuple(sorted(ignored)),
    )


def _check_names(paths: list[str], base: Path) -> None:
    bad = []
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            bad.append(f"the name {os.fsencode(path)!r} is not UTF-8")
        if "\\" in path:
            bad.append(f"the name {path!r} holds a backslash")
        if path in UNHASHED:
            bad.append(f"the name {path!r} is taken by the version's own")
    if bad:
        raise InvalidInputError(f"{base}: {_some(bad)}; rename it. Nothing was written.")


def read_stable(path: Path, read: Callable[[BinaryIO], T], *, redo: Callable[[], object]) -> T:
    """Read a regular file through `read`, again when it changed meanwhile.

    Parameters
    ----------
    path : Path
    read : callable
        Takes the open file; must read all of it.
    redo : callable
        Undoes what a `read` left that has to be done again.

    Raises
    ------
    StorageError
        When the file is not a regular file any more, cannot be read, or kept changing.
    """
    for _ in range(_TRIES):
        try:
            with open_regular(path) as handle:
                before = os.fstat(handle.fileno())
                result = read(handle)
                after = os.fstat(handle.fileno())
                done = handle.tell()
            now = path.lstat()
        except OSError as exc:
            if isinstance(exc, StorageError):
                raise
            raise StorageError(
                f"{path} cannot be read: {exc.strerror}. Nothing was published."
            ) from exc
        if _mark(before) == _mark(after) == _mark(now) and done == after.st_size:
            return result
        redo()
    raise StorageError(
        f"{path} kept changing while it was read. Nothing was published; try again when nobody "
        "writes to it."
    )


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a link or anything else in its place is refused."""
    handle = os.open(path, _READ_FLAGS)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise OSError(errno.EINVAL, f"{_what(mode)}, not a file", str(path))
    return open(handle, "rb", buffering=0)


def _mark(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _what(mode: int) -> str:
    for test, word in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISDIR, "a folder"),
    ):
        if test(mode):
            return word
    return "no regular file"


def _target(path: Path) -> str:
    return f" It points to {os.readlink(path)}: name that instead." if path.is_symlink() else ""


def _some(lines: list[str]) -> str:
    more = len(lines) - _SHOWN
    return ", ".join(lines[:_SHOWN]) + (f", and {more} more" if more > 0 else "")
