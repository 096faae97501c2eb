"""Hashing and copying with all cores, watched and interruptible."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from nbversion.errors import StorageError
from nbversion.hashing import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

A = TypeVar("A")
B = TypeVar("B")

# Hashing and copying leave Python for long enough that threads pay from the second file on; on many
# small files more than four only wait for one another.
_WORKERS = min(4, os.cpu_count() or 1)
_CHUNK = 256
_LOOK_EVERY_S = 0.1


class Progress:
    """What is told of long work; this one tells nobody. Called from the caller's thread only."""

    def start(self, what: str, files: int, size_bytes: int) -> None:
        """Tell what begins, and how much there is to do."""

    def update(self, files: int, size_bytes: int) -> None:
        """Tell how much of it is done."""

    def stop(self) -> None:
        """Tell that it is over, finished or not."""


SILENT = Progress()


class StoppedError(StorageError):
    """Another file of the same work failed, or the user interrupted it."""


@dataclass(slots=True)
class Work:
    """One pass over many files.

    Parameters
    ----------
    what : str
        For people: "Hashing iris_v0.1".
    progress : Progress
    size_bytes : int
        How much there is to do.
    """

    what: str = ""
    progress: Progress = SILENT
    size_bytes: int = 0
    _files: int = 0
    _done: int = 0
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def did(self, files: int, size_bytes: int) -> None:
        """Take note of what a worker did, and end the worker when the work is given up."""
        with self._lock:
            self._files += files
            self._done += size_bytes
        if self._stopped:
            raise StoppedError(f"{self.what} was stopped.")

    def watched(self, blocks: Iterable[memoryview]) -> Iterator[memoryview]:
        """Yield the blocks of a large file, taking note of each."""
        for block in blocks:
            yield block
            self.did(0, len(block))

    def run(self, act: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """Do `act` on each item, several at a time, and return the results in order.

        The first error ends the rest and is raised; so does an interrupt.
        """

        def part(some: Sequence[A]) -> list[B]:
            done = []
            for item in some:
                done.append(act(item))
                if self._stopped:
                    raise StoppedError(f"{self.what} was stopped.")
            return done

        return self.run_parts(part, items)

    def run_parts(self, act: Callable[[Sequence[A]], list[B]], items: Sequence[A]) -> list[B]:
        """Do the same with an `act` that takes some of the items and returns as many results.

        For many small files, of which a call each costs more than what is done.
        """
        if len(items) < 2 or _WORKERS < 2:
            return self.run_here(act, items)
        return self._in_threads(act, items)

    @contextlib.contextmanager
    def told(self, files: int) -> Iterator[None]:
        """Tell of the work while it is done."""
        self.progress.start(self.what, files, self.size_bytes)
        try:
            yield
        finally:
            self.progress.stop()

    def run_here(self, act: Callable[[Sequence[A]], list[B]], items: Sequence[A]) -> list[B]:
        """Do the same in this thread, one part after the other."""
        done = []
        for at in range(0, len(items), _CHUNK):
            done += self._part(act, items[at : at + _CHUNK])
            self.progress.update(self._files, self._done)
        return done

    def _part(self, act: Callable[[Sequence[A]], list[B]], items: Sequence[A]) -> list[B]:
        done = act(items)
        self.did(len(items), 0)
        return done

    def _in_threads(self, act: Callable[[Sequence[A]], list[B]], items: Sequence[A]) -> list[B]:
        # Not concurrent.futures: an interrupt that reaches its `wait` while it holds the locks of the
        # futures leaves them locked, and the workers wait for ever.
        chunk = max(1, min(_CHUNK, len(items) // (_WORKERS * 4)))
        parts = [items[at : at + chunk] for at in range(0, len(items), chunk)]
        done: list[list[B]] = [[] for _ in parts]
        waiting = _turns([*range(len(parts))])[::-1]
        errors: list[BaseException] = []

        def work() -> None:
            try:
                while not self._stopped:
                    try:
                        at = waiting.pop()
                    except IndexError:
                        return
                    done[at] = self._part(act, parts[at])
            except BaseException as exc:  # noqa: BLE001  # raised below, in the caller's thread
                errors.append(exc)
                self._stopped = True

        threads = [threading.Thread(target=work, name=f"nbversion-{at}") for at in range(_WORKERS)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_EVERY_S)
                    self.progress.update(self._files, self._done)
        except BaseException:
            # Whoever interrupts does not wait for a file of 100 GB, nor leaves threads that write.
            self._stopped = True
            raise
        finally:
            for thread in threads:
                # One that never began cannot be waited for.
                with contextlib.suppress(RuntimeError):
                    thread.join()
        self.progress.update(self._files, self._done)
        # What was only stopped by it is no reason.
        for error in sorted(errors, key=lambda one: isinstance(one, StoppedError)):
            raise error
        return [result for part in done for result in part]


def _turns(parts: list[A]) -> list[A]:
    """Return the parts in an order in which neighbours are far apart."""
    length = -(-len(parts) // _WORKERS)
    stretches = [parts[at : at + length] for at in range(0, len(parts), length)]
    return [one for turn in zip_longest(*stretches) for one in turn if one is not None]


def hash_watched(handle: BinaryIO, work: Work) -> tuple[str, int]:
    """Return the bare SHA-256 of everything left in `handle`, and the number of bytes."""
    digest, size = hashlib.sha256(), 0
    for block in work.watched(blocks(handle)):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def in_parallel(act: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Do `act` on each item, several at a time, and return the results in order."""
    return Work().run(act, items)
