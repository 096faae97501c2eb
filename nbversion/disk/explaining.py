"""What went wrong on the disk, in one line that names the path and says what to do."""

from __future__ import annotations

import contextlib
import errno
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from nbversion.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Turn the system's error into one line that names the path.

    Raises
    ------
    StorageError
        In the place of any OSError.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as exc:
        raise storage_error(path, exc) from exc


def storage_error(path: str | Path, exc: OSError) -> StorageError:
    """Make the error for a write to `path` that the system refused."""
    hint = ""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(_existing(Path(path))).free
            hint = f" ({free:,} bytes are free)"
        hint += "; free some space and run the same command again"
    elif exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        owner = _existing(Path(path))
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
