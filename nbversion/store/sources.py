"""Reading the user's own files, which others may be changing: every byte from one stable file.

Nothing here writes. Links, special files and names that are not UTF-8 are refused, because their
content is not theirs to promise.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import unicodedata
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar, cast

from nbversion.disk import is_leftover
from nbversion.errors import InvalidInputError, NotFoundError, StorageError
from nbversion.formats.manifest import UNHASHED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

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
# Up to here a file is read into memory at once: three calls and no copy in pieces.
SMALL = 1 << 18
# As git does: a file that was written to this shortly before it was looked at may be written to once
# more and keep its times, because those tick slowly (2 s on FAT).
RACY_NS = 2_000_000_000
_SHOWN = 10


class Mark(NamedTuple):
    """What shows that a file was not written to since: of a file on disk, by `os.stat`."""

    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is to be frozen.

    Parameters
    ----------
    items : mapping
        Where the bytes of each file come from, by its path below the version's folder: a file on
        disk, the bytes themselves, or the mark of a file that was found at that path below `folder`.
    directories : tuple of str
        Empty folders.
    ignored : tuple of str
        What was left out.
    base : str
        The file or folder on disk that was listed; empty for anything else.
    folder : str
        The folder that the files with a mark lie below.
    listed_ns : int
        When the listing began, on the clock that files are marked with.
    again : callable or None
        Lists the folder once more, when one of `folders` has another mark than then.
    folders : mapping
        Every folder that was listed, by path on disk.
    settled : bool
        Whether the disk was flushed before the listing.
    """

    items: Mapping[str, str | Path | bytes | Mark]
    directories: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    base: str = ""
    folder: str = ""
    listed_ns: int = 0
    again: Callable[[], Source] | None = None
    folders: Mapping[str, Mark] = field(default_factory=dict)
    settled: bool = False

    @property
    def marks(self) -> Mapping[str, Mark]:
        """The marks of the files, where they were listed; else nothing."""
        return cast("Mapping[str, Mark]", self.items) if self.base else {}

    def place(self, path: str) -> str | Path | bytes:
        """Return where a file lies, or the bytes themselves."""
        item = self.items[path]
        # Put together when it is asked for: a million paths are 200 MB.
        return f"{self.folder}/{path}" if isinstance(item, Mark) else item

    def size(self, path: str) -> int:
        """Return the present size in bytes."""
        item = self.items[path]
        if isinstance(item, Mark):
            return item.size
        try:
            return len(item) if isinstance(item, bytes) else os.lstat(item).st_size
        except OSError as exc:
            raise StorageError(f"{item!s} vanished while it was read: {exc.strerror}.") from exc

    def read(
        self, path: str, consume: Callable[[BinaryIO], T], *, redo: Callable[[], object] = list
    ) -> tuple[T, Mark | None]:
        """Give the file's bytes to `consume`; see `read_stable`."""
        place = self.place(path)
        if isinstance(place, bytes):
            return consume(BytesIO(place)), None
        return read_stable(place, consume, redo=redo)

    def read_as_listed(self, path: str) -> bytes | None:
        """Return all bytes of a small file that is as it was listed, else None; see `read_small`.

        The shortest way: what has the mark of the listing after it was read had it before.
        """
        listed = self.items[path]
        if not isinstance(listed, Mark) or listed.size > SMALL:
            return None
        try:
            handle = os.open(f"{self.folder}/{path}", _READ_FLAGS)
        except OSError:
            return None
        try:
            data = os.read(handle, listed.size + 1)
            facts = os.fstat(handle)
        except OSError:
            return None
        finally:
            os.close(handle)
        mark = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        return data if mark == listed and len(data) == listed.size else None

    def read_small(self, path: str) -> tuple[bytes, Mark | None] | None:
        """Return all bytes of a small file; None for a large one, or one that is being changed."""
        place = self.place(path)
        if isinstance(place, bytes):
            return place, None
        try:
            return read_whole(place)
        except OSError as exc:
            raise unreadable(place, exc) from exc

    def require_unchanged(self, read: Mapping[str, Mark]) -> None:
        """Refuse a folder in which files came, went or were written to since they were read.

        Parameters
        ----------
        read : mapping
            The files that were read, and what they were then.

        Raises
        ------
        StorageError
            When it is not the one that was listed any more.
        """
        # Without the time of the inode, which a second name changes: a model version is the source
        # of its own release.
        changed = [path for path, mark in read.items() if not self._is_as_read(path, mark)]
        if not changed and self.again is not None and not all(map(self._stands, self.folders)):
            now = self.again()
            changed = sorted({*now.items} ^ {*self.items})
            changed += sorted({*now.directories} ^ {*self.directories})
        if changed:
            raise StorageError(
                f"{self.base or 'the source'} changed while it was read: {some(changed)}. Nothing "
                "was published; try again when nobody writes to it."
            )

    def _is_as_read(self, path: str, mark: Mark) -> bool:
        try:
            facts = os.lstat(self.place(path))
        except OSError:
            return False
        return (facts.st_ino, facts.st_size, facts.st_mtime_ns) == mark[:3]

    def _stands(self, folder: str) -> bool:
        mark = self.folders[folder]
        # Clocks of files tick slowly: what was changed just before may be changed again unseen.
        return mark.mtime_ns < self.listed_ns - RACY_NS and mark_of(folder) == mark

    def refused(self) -> list[str]:
        """Return the files that this user may not read."""
        places = [self.place(path) for path in self.items]
        return [
            str(one) for one in places if not isinstance(one, bytes) and not os.access(one, os.R_OK)
        ]

    def collisions(self) -> list[str]:
        """Return names that a case-insensitive file system would take for one another."""
        # Most data has plain names, of which one look at all together is enough.
        if len({path.lower() for path in self.items}) == len(self.items) and all(
            map(str.isascii, self.items)
        ):
            return []
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
    listed_ns = time.time_ns()
    if stat.S_ISREG(mode):
        _check_names([path.name], path.parent)
        return Source(
            items={path.name: mark_of(path)},
            base=str(path),
            folder=str(path.parent),
            listed_ns=listed_ns,
        )
    if not stat.S_ISDIR(mode):
        raise InvalidInputError(
            f"{path} is {_what(mode)}; only files and folders can be frozen.{_target(path)} "
            "Nothing was written."
        )
    walk = _Walk(path, ignore, own)
    walk.run()
    if not walk.files:
        raise InvalidInputError(f"{path} holds no file to freeze. Nothing was written.")
    return Source(
        items=dict(sorted(walk.files.items())),
        directories=tuple(sorted(walk.empty)),
        ignored=tuple(sorted(walk.ignored)),
        base=str(path),
        folder=str(path).rstrip("/"),
        listed_ns=listed_ns,
        again=lambda: list_source(path, ignore=ignore, own=own),
        folders=walk.folders,
    )


class _Walk:
    """One walk through a folder."""

    def __init__(self, base: Path, ignore: Collection[str], own: Collection[str]) -> None:
        self.base, self.ignore, self.own = str(base), ignore, own
        self.files: dict[str, Mark] = {}
        self.folders: dict[str, Mark] = {}
        self.empty: list[str] = []
        self.ignored: list[str] = []
        self._refused: list[str] = []
        self._pending = [""]

    def run(self) -> None:
        """List everything, and refuse what cannot be frozen."""
        while self._pending:
            prefix = self._pending.pop()
            folder = f"{self.base}/{prefix}".rstrip("/") or "/"
            try:
                # Before its names are read: what comes later changes the mark.
                self.folders[folder] = mark_of(folder)
                with os.scandir(folder) as found:
                    count = self._entries(prefix, found)
            except OSError as exc:
                raise StorageError(
                    f"{folder} cannot be read: {exc.strerror}. Nothing was written."
                ) from exc
            if not count and prefix:
                self.empty.append(prefix.rstrip("/"))
        if self._refused:
            raise InvalidInputError(
                f"{self.base}: {some(sorted(self._refused))}; only files and folders can be "
                "frozen. Nothing was written."
            )
        _check_names([*self.files, *self.empty, *self.ignored], Path(self.base))

    def _entries(self, prefix: str, found: Iterable[os.DirEntry[str]]) -> int:
        """Take note of the names in one folder; return how many are not left out."""
        count, files, own, ignore, make = 0, self.files, self.own, self.ignore, tuple.__new__
        for entry in found:
            name = entry.name
            below = prefix + name
            # What is still being staged there is neither content nor anybody's choice.
            if below in own or (name[0] == "." and is_leftover(name)):
                continue
            if name in ignore:
                self.ignored.append(below)
                continue
            count += 1
            if entry.is_dir(follow_symlinks=False):
                self._pending.append(f"{below}/")
                continue
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                # A fifth of the whole walk is spared by not calling `Mark`.
                files[below] = make(
                    Mark, (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
                )
            else:
                self._refused.append(f"{below!r} is {_what(facts.st_mode)}")
        return count


def _check_names(paths: list[str], base: Path) -> None:
    together = "\0".join(paths)
    # Of most data one look at all names together is enough.
    if together.isascii() and "\\" not in together and not {*UNHASHED} & {*paths}:
        return
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
        raise InvalidInputError(f"{base}: {some(bad)}; rename it. Nothing was written.")


def read_stable(
    path: str | Path, read: Callable[[BinaryIO], T], *, redo: Callable[[], object]
) -> tuple[T, Mark]:
    """Read a regular file through `read`, again when it changed meanwhile.

    Parameters
    ----------
    path : str or Path
    read : callable
        Takes the open file; must read all of it.
    redo : callable
        Undoes what a `read` left that has to be done again.

    Returns
    -------
    result : object
        What `read` returned.
    mark : Mark
        The file's, before and after.

    Raises
    ------
    StorageError
        When the file is not a regular file any more, cannot be read, or kept changing.
    """
    for _ in range(_TRIES):
        try:
            with open_regular(path) as handle:
                before = mark_from(os.fstat(handle.fileno()))
                result = read(handle)
                after = mark_from(os.fstat(handle.fileno()))
                done = handle.tell()
            now = mark_of(path)
        except OSError as exc:
            if isinstance(exc, StorageError):
                raise
            raise unreadable(path, exc) from exc
        if before == after == now and done == after.size:
            return result, after
        redo()
    raise StorageError(
        f"{path} kept changing while it was read. Nothing was published; try again when nobody "
        "writes to it."
    )


def read_whole(path: str | Path) -> tuple[bytes, Mark] | None:
    """Read a small regular file in one call; None when it is large, or being changed.

    Raises
    ------
    OSError
        When it is no regular file or cannot be read.
    """
    handle = os.open(path, _READ_FLAGS)
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, f"{_what(facts.st_mode)}, not a file", str(path))
        if facts.st_size > SMALL:
            return None
        data = os.read(handle, facts.st_size + 1)
        before, after = mark_from(facts), mark_from(os.fstat(handle))
    finally:
        os.close(handle)
    return (data, after) if before == after and len(data) == after.size else None


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; a link or anything else in its place is refused."""
    handle = os.open(path, _READ_FLAGS)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise OSError(errno.EINVAL, f"{_what(mode)}, not a file", str(path))
    return open(handle, "rb", buffering=0)


def mark_of(path: str | Path) -> Mark:
    """Return a file's present mark; one that nothing equals when it is gone."""
    try:
        return mark_from(os.lstat(path))
    except OSError:
        return Mark(-1, -1, -1, -1)


def unreadable(path: object, exc: OSError) -> StorageError:
    """Make the error for a file of the source that cannot be read."""
    return StorageError(f"{path} cannot be read: {exc.strerror}. Nothing was published.")


def mark_from(facts: os.stat_result) -> Mark:
    """Return the mark of a file from what the system says of it."""
    return Mark(facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


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


def some(lines: list[str]) -> str:
    """Return the first few of many names, and how many more there are."""
    more = len(lines) - _SHOWN
    return ", ".join(lines[:_SHOWN]) + (f", and {more} more" if more > 0 else "")
