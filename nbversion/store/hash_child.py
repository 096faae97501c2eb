"""A share of a verification in a process of its own.

Threads do not help with many small files: each waits for the interpreter more than for the disk (two
threads hash 50,000 files of 4 KiB as fast as one, two processes almost twice as fast). Started as a
program with nothing but the standard library, because a kernel must not be forked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


def read_held(path: str | bytes, size: int, sha256: str) -> bytes | None:
    """Return the bytes of a small regular file when they are of that size and content, else None."""
    try:
        handle = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        data = os.read(handle, size + 1)
    except OSError:
        return None
    finally:
        os.close(handle)
    return data if len(data) == size and hashlib.sha256(data).hexdigest() == sha256 else None


def holds(path: str | bytes, size: int, sha256: str) -> bool:
    """Whether a small file is a regular one of that size and content; every byte is read now."""
    return read_held(path, size, sha256) is not None


@dataclass(slots=True)
class HashChild:
    """One such process.

    Parameters
    ----------
    files : sequence of (path, size, sha256)
        What it is to look at.
    """

    files: Sequence[tuple[str, int, str]]
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def start(self) -> None:
        """Start it; where that cannot be done, `doubtful` says so."""
        text = b"\0".join(
            b"%s\0%d\0%s" % (os.fsencode(path), size, sha256.encode())
            for path, size, sha256 in self.files
        )
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            # It reads all before it answers, so neither waits for the other.
            if self._process.stdin is not None:
                self._process.stdin.write(text)
                self._process.stdin.close()

    def doubtful(self) -> Iterable[int]:
        """Wait, and return the places in `files` of what does not hold, or was not looked at."""
        everything = range(len(self.files))
        if self._process is None or self._process.stdout is None:
            return everything
        found = self._process.stdout.read().split()
        self._process.stdout.close()
        if self._process.wait() != 0 or not found or int(found[0]) != len(self.files):
            return everything
        return [int(one) for one in found[1:]]

    def stop(self) -> None:
        """End it, whatever it is doing; twice is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def main() -> None:
    """Look at the files that standard input names; print how many, and which do not hold."""
    fields = sys.stdin.buffer.read().split(b"\0")
    each = iter(fields)
    count, doubtful = 0, []
    for path, size, sha256 in zip(each, each, each, strict=True):
        if not holds(path, int(size), sha256.decode()):
            doubtful.append(count)
        count += 1
    print(count, *doubtful)  # noqa: T201  # its standard output is a pipe to its parent


if __name__ == "__main__":
    # A Ctrl-C in a terminal reaches both; the parent ends this one.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
