"""What belongs to a run beside its record: artifacts, curves, the cell's source."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from nbversion.errors import InvalidInputError
from nbversion.formats.manifest import check_below
from nbversion.hashing import blocks
from nbversion.store.folder import RUNS
from nbversion.store.sources import list_source

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nbversion.disk import Staging
    from nbversion.store.folder import ProjectFolder


@dataclass(slots=True)
class RunFiles:
    """The files of one run, staged until it has ended; threads may add to them.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder
    _kept: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)
    _open: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _staging: Staging | None = field(init=False, default=None)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)

    def keep(self, path: Path, name: str | None = None) -> None:
        """Copy a file, or a folder's files, as they are now.

        Raises
        ------
        NotFoundError, InvalidInputError, StorageError
            When it cannot be read or a name is taken; nothing of it is kept.
        """
        source = list_source(path, ignore=self.project.settings.ignore)
        folder = "" if path.is_file() else f"{name or path.name}/"
        targets = {
            below: check_below(f"{folder}{below}" if folder else name or below)
            for below in source.items
        }
        with self._lock:
            for target in targets.values():
                self._refuse_taken(target)
            added: dict[str, dict[str, Any]] = {}
            try:
                for below, target in targets.items():

                    def copy(handle: BinaryIO, target: str = target) -> tuple[str, int]:
                        return self._write(target, blocks(handle))

                    def discard(target: str = target) -> None:
                        self._discard(target)

                    (sha256, size), _ = source.read(below, copy, redo=discard)
                    added[target] = _facts(size, sha256, self.project.describe(path))
            except BaseException:
                for target in targets.values():
                    self._discard(target)
                raise
            self._kept.update(added)

    def keep_bytes(self, data: bytes, name: str, source: str) -> None:
        """Keep a file that was made in memory.

        Raises
        ------
        InvalidInputError
            When its name is taken.
        """
        check_below(name)
        with self._lock:
            self._refuse_taken(name)
            sha256, size = self._write(name, [data])
            self._kept[name] = _facts(size, sha256, source)

    def publish(self, run_id: str, texts: dict[str, bytes]) -> list[dict[str, Any]]:
        """Put everything to its place below ``runs/``, with `texts` by name beside the artifacts.

        Returns
        -------
        list of dict
            Path, size and SHA-256 of the texts.
        """
        with self._lock:
            staging = self._stage()
            written = []
            for name, data in texts.items():
                sha256, size = staging.write(name, [data])
                path = f"{RUNS}/{run_id}/{name}"
                written.append({"path": path, "size_bytes": size, "sha256": sha256})
            staging.flush()
            self.project.disk.publish(staging.folder, self.project.root / RUNS / run_id)
        return written

    def listed(self, run_id: str) -> tuple[dict[str, Any], ...]:
        """Return the artifacts as the record of the run lists them."""
        return tuple(
            {"path": f"{RUNS}/{run_id}/artifacts/{name}", **facts}
            for name, facts in self._kept.items()
        )

    def close(self) -> None:
        """Remove what was not published; twice is fine."""
        self._open.close()

    def _refuse_taken(self, name: str) -> None:
        for other in self._kept:
            if other == name or other.startswith(f"{name}/") or name.startswith(f"{other}/"):
                raise InvalidInputError(
                    f"this run has an artifact {other!r} already; give {name!r} another name. What "
                    "was kept was left as it is."
                )

    def _stage(self) -> Staging:
        if self._staging is None:
            disk, parent = self.project.disk, self.project.root / RUNS
            self._staging = self._open.enter_context(disk.stage(parent))
        return self._staging

    def _write(self, name: str, data: Iterable[bytes | memoryview]) -> tuple[str, int]:
        return self._stage().write(f"artifacts/{name}", data)

    def _discard(self, name: str) -> None:
        self._stage().discard(f"artifacts/{name}")


def _facts(size: int, sha256: str, source: str) -> dict[str, Any]:
    return {"size_bytes": size, "sha256": sha256, "source": source}
