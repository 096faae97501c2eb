"""System calls that Python does not offer, for `nbversion.disk` alone.

Each says by False that this system has no such call; `disk` then does without it.
"""

from __future__ import annotations

import errno
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes
    from pathlib import Path

# What a file system answers that has no such call, or not for these two files.
NO_SUCH_CALL = {
    *(errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY),
}
# Linux alone lets two open files share blocks; macOS makes the second file itself.
CAN_CLONE = sys.platform == "linux"
_FICLONE = 0x40049409
_AT_FDCWD = -100
# renameat2's flags on Linux, renamex_np's on macOS.
_NOREPLACE, _EXCHANGE = 1, 2
_MAC_SWAP, _MAC_EXCL = 2, 4


def rename_new(source: Path, target: Path) -> bool:
    """Rename, or raise FileExistsError when `target` exists, even as an empty folder."""
    return _rename(source, target, _NOREPLACE, _MAC_EXCL)


def exchange(one: Path, other: Path) -> bool:
    """Let two paths change places at once."""
    return _rename(one, other, _EXCHANGE, _MAC_SWAP)


def clone(source: int, target: int) -> bool:
    """Let the empty open file `target` share the blocks of `source` until one is written to."""
    import fcntl  # noqa: PLC0415  # not on Windows

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as exc:
        if exc.errno in (*NO_SUCH_CALL, errno.EXDEV, errno.EPERM, errno.EISDIR, errno.ETXTBSY):
            return False
        raise
    return True


def sync_file(handle: int) -> None:
    """Make a file's bytes durable, on macOS beyond the drive's cache as well."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415  # not on Windows

        try:
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
        except OSError as exc:
            # Network disks and sticks have no such call.
            if exc.errno not in NO_SUCH_CALL:
                raise
            os.fsync(handle)
    else:
        os.fsync(handle)


def sync_filesystem(handle: int) -> bool:
    """Make everything durable on the file system that the open `handle` lies on."""
    libc = _libc()
    if handle < 0 or libc is None or not hasattr(libc, "syncfs") or not _tells_errors():
        return False
    if libc.syncfs(handle) != 0:
        raise _raised()
    return True


def _rename(source: Path, target: Path, linux_flag: int, mac_flag: int) -> bool:
    libc = _libc()
    if libc is None:
        return False
    old, new = os.fsencode(source), os.fsencode(target)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        done = libc.renamex_np(old, new, mac_flag)
    elif hasattr(libc, "renameat2"):
        done = libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, linux_flag)
    else:
        return False
    if done == 0:
        return True
    error = _raised(str(target))
    if error.errno in NO_SUCH_CALL:
        return False
    raise error


@cache
def _tells_errors() -> bool:
    """Whether this kernel reports write errors from syncfs: Linux does from 5.8 on."""
    numbers = os.uname().release.split(".")[:2]
    try:
        return [int("".join(filter(str.isdecimal, one))) for one in numbers] >= [5, 8]
    except ValueError:
        return False


def _raised(path: str | None = None) -> OSError:
    import ctypes  # noqa: PLC0415  # as below

    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), path)


@cache
def _libc() -> ctypes.CDLL | None:
    import ctypes  # noqa: PLC0415  # 6 ms that only writers need

    if os.name == "nt":
        return None
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None
