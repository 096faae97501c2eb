"""Making a file, or giving one its name, without ever replacing what is there."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from nbversion import syscalls
from nbversion.disk.leftovers import CLAIM_PREFIX
from nbversion.process import owner_is_gone, owner_mark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FROZEN_MODE = 0o444
TEXT_MODE = 0o644
FOLDER_MODE = 0o755
# What a file system answers that has no such call, or not for these two files.
NO_LINKS = {*syscalls.NO_SUCH_CALL, errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EACCES}
CREATE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
)


def create(path: Path, mode: int) -> int:
    """Make a new file and return its descriptor, open for writing."""
    handle = os.open(path, CREATE, mode)
    if mode == FROZEN_MODE:
        set_mode(path, mode)
    return handle


def set_mode(path: str | Path, mode: int) -> None:
    """Give what was just made its mode whatever the umask: a colleague must be able to read it."""
    # Some file systems have no modes to change.
    with contextlib.suppress(OSError):
        os.chmod(path, mode)


def link_or_rename_new(temporary: Path, path: Path) -> bool:
    """Give a file its name; False when the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
        try:
            rename_new(temporary, path)
        except FileExistsError:
            return False
    return True


def rename_new(source: Path, target: Path) -> None:
    """Rename without replacing; plain rename(2) replaces even an empty folder silently."""
    if os.name == "nt":
        os.rename(source, target)
    elif not syscalls.rename_new(source, target):
        with _claimed(target):
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "exists", str(target))
            os.rename(source, target)


@contextlib.contextmanager
def _claimed(target: Path) -> Iterator[None]:
    """Be the only one to rename to `target`, where the system cannot rename without replacing."""
    claim = target.parent / f"{CLAIM_PREFIX}{target.name}"
    try:
        handle = create(claim, TEXT_MODE)
    except FileExistsError:
        if not owner_is_gone(claim.read_text(encoding="utf-8", errors="replace")):
            raise
        # Whoever claimed it was killed.
        claim.unlink(missing_ok=True)
        handle = create(claim, TEXT_MODE)
    try:
        os.write(handle, owner_mark().encode())
        os.close(handle)
        yield
    finally:
        claim.unlink(missing_ok=True)
