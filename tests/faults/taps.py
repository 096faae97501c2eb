"""Listening to every call by which the package can change the disk, whichever module makes it."""

from __future__ import annotations

import os
import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any, Self

from nbversion import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

# Whatever of these the system has; `open` counts with its mere reading, which a fault stops as well.
_CALLS = (
    "open", "write", "writev", "pwrite", "pwritev", "sendfile", "copy_file_range", "splice",
    "link", "symlink", "rename", "replace", "mkdir", "rmdir", "unlink", "remove", "mknod",
    "chmod", "fchmod", "lchmod", "truncate", "ftruncate", "posix_fallocate", "utime", "setxattr",
    "fsync", "fdatasync", "sync", "close",
)  # fmt: skip


class Taps:
    """Wraps the calls while it is entered.

    Parameters
    ----------
    before : callable
        Gets the call's name and arguments; what it raises is what the call raises.
    after : callable
        Gets name, arguments and result.
    """

    def __init__(
        self,
        before: Callable[[str, tuple[Any, ...]], None] = lambda _name, _arguments: None,
        after: Callable[[str, tuple[Any, ...], Any], None] = lambda _name, _arguments, _result: (
            None
        ),
    ) -> None:
        self._before, self._after = before, after
        # One at a time, so that what is seen after a call came of that call.
        self._alone = threading.RLock()
        self._kept: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Self:
        for name in _CALLS:
            if hasattr(os, name):
                self._wrap(os, name)
        for name, one in list(vars(syscalls).items()):
            ours = isinstance(one, FunctionType) and one.__module__ == syscalls.__name__
            if ours and not name.startswith("_"):
                self._wrap(syscalls, name)
        return self

    def __exit__(self, *_: object) -> None:
        for module, name, real in self._kept:
            setattr(module, name, real)

    def _wrap(self, module: Any, name: str) -> None:
        real = getattr(module, name)

        def tapped(*arguments: Any, **options: Any) -> Any:
            with self._alone:
                self._before(name, arguments)
                result = real(*arguments, **options)
                self._after(name, arguments, result)
                return result

        self._kept.append((module, name, real))
        setattr(module, name, tapped)
