"""Where else a content lies: in the project, or in what the user offers."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nbversion.errors import InvalidInputError, NotFoundError, StorageError
from nbversion.formats.manifest import check_below
from nbversion.formats.run_record import RunRecord
from nbversion.hashing import hash_stream, is_hex_digest
from nbversion.store.folder import PRESENT_LOCK, RUNS
from nbversion.store.holders import all_versions
from nbversion.store.sources import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nbversion.store.catalog import Catalog
    from nbversion.store.frozen import FrozenVersion


class Place(NamedTuple):
    """Where bytes should lie, by a text of the project.

    Parameters
    ----------
    path : Path
    ref : str
        The version or the run that has it.
    size : int or None
    home : str
        The folder in which that text may name files.
    sound : bool
        Whether the text fits its own digest.
    """

    path: Path
    ref: str
    size: int | None
    home: str
    sound: bool


@dataclass(slots=True)
class Copies:
    """The places where wanted contents may lie. What lies there is proven only by hashing it.

    Parameters
    ----------
    catalog : Catalog
    wanted : set of str
        The bare SHA-256 of each content that is looked for.
    offered : sequence of Path
        Files and folders of the user; they are only read.

    Raises
    ------
    NotFoundError
        When something that is offered is not there.
    """

    catalog: Catalog
    wanted: set[str]
    offered: Sequence[Path] = ()
    _frozen: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
    _sources: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    _offered: dict[int, list[Path]] = field(default_factory=lambda: defaultdict(list))
    _hashed: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.offered:
            for one, size in _files_of(path):
                self._offered[size].append(one)
        for frozen in all_versions(self.catalog):
            self._list(frozen)
            if frozen.manifest.kind == "data":
                self._list_source(frozen)
        for record in self.catalog.runs.all():
            if isinstance(record, RunRecord):
                self._list_run(record)

    def _list(self, frozen: FrozenVersion) -> None:
        manifest = frozen.manifest
        for one in manifest.files:
            if one.sha256 in self.wanted:
                place = Place(
                    path=frozen.path / one.path,
                    ref=manifest.reference,
                    size=one.size_bytes,
                    home=manifest.folder,
                    sound=manifest.problem is None,
                )
                self._frozen[one.sha256].append(place)

    def _list_source(self, frozen: FrozenVersion) -> None:
        """List where the version came from: often the user's own file is as it was."""
        manifest = frozen.manifest
        source = self._below(manifest.source)
        if source is None:
            return
        wanted = [one for one in manifest.files if one.sha256 in self.wanted]
        single = len(manifest.files) == 1 and source.is_file()
        for one in wanted:
            self._sources[one.sha256].append(source if single else source / one.path)

    def _below(self, told: object) -> Path | None:
        """Return what a text says where bytes came from, if it is a path below the project."""
        try:
            return self.catalog.project.root / check_below(str(told or ""))
        except InvalidInputError:
            return None

    def _list_run(self, record: RunRecord) -> None:
        root = self.catalog.project.root
        for one in (*record.artifacts, *(record.extra.get("files") or ())):
            sha256, path, size = one.get("sha256"), one.get("path"), one.get("size_bytes")
            below = self._below(path)
            if sha256 in self.wanted and below:
                place = Place(
                    path=below,
                    ref=record.run_id,
                    size=size if isinstance(size, int) else None,
                    home=f"{RUNS}/{record.run_id}",
                    sound=record.problem is None,
                )
                self._frozen[str(sha256)].append(place)
                source = self._below(one.get("source"))
                self._sources[str(sha256)] += [source] if source else []
        lock = str(record.env.get("requirements_lock")).removeprefix("sha256:")
        if lock in self.wanted and is_hex_digest(lock):
            self._sources[lock].append(root / PRESENT_LOCK)

    def names_of(self, path: Path, sha256: str) -> list[Place]:
        """Return the other places that should hold `sha256` and are the very same file on disk."""
        inode = _inode(path)
        return [
            one
            for one in self._frozen.get(sha256, ())
            if one.path != path and inode is not None and _inode(one.path) == inode
        ]

    def of(self, sha256: str, size: int | None, *, but: Path) -> Iterator[Path]:
        """Yield files that may have that content, each file on disk once and never `but` itself.

        Frozen copies come first, then what they were frozen from, then what the user offers.
        """
        # A second name of one inode holds the same bytes, so it is no second copy.
        seen = {_inode(but)}
        project = [one.path for one in self._frozen.get(sha256, ())]
        for path in dict.fromkeys([*project, *self._sources.get(sha256, ())]):
            inode = _inode(path)
            if inode is not None and inode not in seen:
                seen.add(inode)
                yield path
        sizes = self._offered if size is None else [size]
        for one in sizes:
            for path in self._offered.get(one, ()):
                if _inode(path) not in seen and self._hash(path) == sha256:
                    yield path

    def _hash(self, path: Path) -> str:
        """Return the SHA-256 of what is offered, read once however many files are looked for."""
        if path not in self._hashed:
            try:
                with open_regular(path) as handle:
                    self._hashed[path] = hash_stream(handle)[0]
            except OSError:
                self._hashed[path] = ""
        return self._hashed[path]


def _files_of(path: Path) -> Iterator[tuple[Path, int]]:
    """Yield every regular file at or below what the user offers, with its size."""
    # What the user names may be a link; what lies below it is taken as it is.
    real = type(path)(os.path.realpath(path))
    if not real.exists():
        raise NotFoundError(f"{path} is not there, so it offers nothing. Nothing was repaired.")
    if not real.is_dir():
        yield from _regular(real)
        return

    def fail(exc: OSError) -> None:
        raise StorageError(
            f"{exc.filename} cannot be read: {exc.strerror}. Nothing was repaired."
        ) from exc

    for folder, _, files in os.walk(real, onerror=fail):
        for name in files:
            yield from _regular(real / folder / name)


def _regular(path: Path) -> Iterator[tuple[Path, int]]:
    try:
        facts = path.lstat()
    except OSError:
        return
    if stat.S_ISREG(facts.st_mode):
        yield path, facts.st_size


def _inode(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from every other one on this machine; None for no regular file."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino) if stat.S_ISREG(facts.st_mode) else None
