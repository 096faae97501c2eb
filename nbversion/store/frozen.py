"""Frozen versions: made whole from a source, checked byte by byte.

What data sets and models have in common. `verified` means here that every byte was hashed again
now: a read-only bit, a size or a time is never taken as evidence.
"""

from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeVar

from nbversion.errors import IntegrityError, NotFoundError, StorageError
from nbversion.formats.manifest import MANIFEST, UNHASHED, FrozenFile, Manifest, parse_manifest
from nbversion.hashing import blocks, hash_stream
from nbversion.store.sources import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nbversion.disk import Staging
    from nbversion.store.folder import ProjectFolder
    from nbversion.store.sources import Source

A = TypeVar("A")
B = TypeVar("B")

FindingKind = Literal[
    "corrupt", "edited", "chain", "missing", "absent", "extra", "orphan", "unreadable"
]
# What a desktop or Jupyter drops into a folder that it only looks at.
DROPPED_FILES = (".DS_Store", "Thumbs.db")
DROPPED_FOLDER = ".ipynb_checkpoints"
# Hashing and copying leave Python for long enough that threads pay from the second file on.
_WORKERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not hold.

    Parameters
    ----------
    kind : str
        ``corrupt`` (bytes differ), ``edited`` (a text fails its own digest), ``chain`` (a history is
        broken), ``missing``, ``absent``, ``extra`` (no manifest lists it), ``orphan`` (bytes without
        a manifest), ``unreadable``.
    ref : str
        What it belongs to.
    path : str
        Relative to the root.
    expected, got : str
    """

    kind: FindingKind
    ref: str
    path: str
    expected: str = ""
    got: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the promised keys."""
        return {
            "kind": self.kind,
            "ref": self.ref,
            "path": self.path,
            "expected": self.expected,
            "got": self.got,
        }

    def __str__(self) -> str:
        return f"{self.path} is {self.kind}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class FrozenVersion:
    """A version that lies in the project folder.

    Parameters
    ----------
    project : ProjectFolder
    manifest : Manifest
    manifest_path : str
        Relative to the root.
    """

    project: ProjectFolder
    manifest: Manifest
    manifest_path: str

    @property
    def path(self) -> Path:
        """The version's folder."""
        return self.project.root / self.manifest.folder

    def holds(self, sha256: str) -> bool:
        """Whether the manifest lists a file of that content."""
        return any(one.sha256 == sha256 for one in self.manifest.files)

    def findings(self) -> list[Finding]:
        """Hash every byte again and return everything that does not hold."""
        found: list[Finding] = []
        ref = self.manifest.reference
        link = self.project.link_above(self.manifest.folder)
        if link is not None:
            return [linked(ref, link)]
        if self.manifest.problem:
            stated, _, content = self.manifest.problem.partition(", its content gives ")
            found.append(
                Finding(
                    kind="edited", ref=ref, path=self.manifest_path, expected=content, got=stated
                )
            )
        found += [one for one in in_parallel(self.check, self.manifest.files) if one]
        found += self._missing_folders()
        found += self._extra()
        return found

    def verify(self, consequence: str) -> None:
        """Hash every byte again.

        Parameters
        ----------
        consequence : str
            What was therefore not done, for the message: "The cell was not run."

        Raises
        ------
        IntegrityError
            When anything does not hold.
        """
        found = self.findings()
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise IntegrityError(
                f"{self.manifest.reference} fails verification: {found[0]}{more}. {consequence} "
                f"See all with: %verify {self.manifest.reference}",
                expected=found[0].expected,
                got=found[0].got,
            )

    def read(self, path: str) -> bytes:
        """Return one file's bytes, hashed as they are returned.

        Raises
        ------
        IntegrityError
            When they are not what the manifest says.
        """
        entry = next((one for one in self.manifest.files if one.path == path), None)
        if entry is None:
            raise NotFoundError(f"{self.manifest.reference} has no file {path!r}.")
        kept: list[bytes] = []

        def keep(handle: BinaryIO) -> tuple[str, int]:
            kept.append(handle.read())
            return hashlib.sha256(kept[0]).hexdigest(), len(kept[0])

        finding = self.check(entry, keep)
        if finding:
            raise IntegrityError(
                f"{self.manifest.reference} fails verification: {finding}. Nothing was loaded.",
                expected=finding.expected,
                got=finding.got,
            )
        return kept[0]

    def check(
        self, entry: FrozenFile, consume: Callable[[BinaryIO], tuple[str, int]] = hash_stream
    ) -> Finding | None:
        """Read one file through `consume`, which hashes it, and return what does not hold."""
        path = f"{self.manifest.folder}/{entry.path}"
        expected = f"sha256 {entry.sha256}"

        def finding(kind: FindingKind, got: str) -> Finding:
            return Finding(
                kind=kind, ref=self.manifest.reference, path=path, expected=expected, got=got
            )

        try:
            with open_regular(self.project.root / path) as handle:
                sha256, size = consume(handle)
        except StorageError:
            # Of where `consume` writes to, not of the frozen file.
            raise
        except (FileNotFoundError, NotADirectoryError):
            return finding("missing", "nothing")
        except OSError as exc:
            if exc.errno == errno.ELOOP:
                return finding("corrupt", "a symbolic link")
            return finding("unreadable", str(exc.strerror or exc))
        if sha256 != entry.sha256:
            return finding("corrupt", f"sha256 {sha256}")
        if size != entry.size_bytes:
            # The digest covers the content, so here it is the manifest that is wrong.
            return Finding(
                kind="edited",
                ref=self.manifest.reference,
                path=self.manifest_path,
                expected=f"{size} bytes for {entry.path}",
                got=f"{entry.size_bytes} bytes",
            )
        return None

    def _missing_folders(self) -> list[Finding]:
        found = []
        for below in self.manifest.directories:
            path = self.path / below
            if not path.is_dir() or path.is_symlink():
                found.append(
                    Finding(
                        kind="missing",
                        ref=self.manifest.reference,
                        path=f"{self.manifest.folder}/{below}",
                        expected="an empty folder",
                        got="something else" if os.path.lexists(path) else "nothing",
                    )
                )
        return found

    def _extra(self) -> list[Finding]:
        listed = {*(one.path for one in self.manifest.files), *UNHASHED}
        return [
            Finding(
                kind="extra",
                ref=self.manifest.reference,
                path=f"{self.manifest.folder}/{below}",
                expected="nothing",
                got="a file that the manifest does not list",
            )
            for below in files_below(self.path)
            if below not in listed
        ]


def files_below(base: Path) -> Iterator[str]:
    """Yield the path below `base` of everything but folders and what desktops drop there."""
    for folder, folders, files in os.walk(base):
        prefix = os.path.relpath(folder, base).replace(os.sep, "/") + "/"
        prefix = "" if prefix == "./" else prefix
        links = {name for name in folders if os.path.islink(os.path.join(folder, name))}
        folders[:] = sorted(one for one in folders if one != DROPPED_FOLDER or one in links)
        for name in sorted([*files, *links]):
            dropped = name in DROPPED_FILES and not os.path.islink(os.path.join(folder, name))
            if not dropped:
                yield f"{prefix}{name}"


def linked(ref: str, path: str) -> Finding:
    """Make the finding for a version that lies behind a symbolic link."""
    return Finding(
        kind="corrupt", ref=ref, path=path, expected="a folder of its own", got="a symbolic link"
    )


# What a version's file is opened with; see `open_regular`.
open_frozen = open_regular


def in_parallel(work: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Do `work` on each item, several at a time, and return the results in order."""
    if len(items) < 2 or _WORKERS < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="nbversion") as pool:
        chunk = max(1, len(items) // (_WORKERS * 8))
        parts = [items[at : at + chunk] for at in range(0, len(items), chunk)]
        done = pool.map(lambda part: [work(item) for item in part], parts)
        return [result for part in done for result in part]


def load_version(project: ProjectFolder, folder: str) -> FrozenVersion:
    """Return the version that lies in `folder`, relative to the root.

    Raises
    ------
    NotFoundError
        When there is no manifest: then it is no version.
    FormatError
        When the manifest cannot be read.
    LinkedError
        When the folder lies behind a symbolic link.
    """
    path = f"{folder}/{MANIFEST}"
    require_unlinked(project, folder)
    manifest = parse_manifest(project.read(path), path, folder)
    return FrozenVersion(project, manifest, path)


class LinkedError(IntegrityError):
    """A version's folder, or one above it, is a symbolic link."""


def require_unlinked(project: ProjectFolder, folder: str) -> None:
    """Refuse a version's folder that is, or lies behind, a symbolic link."""
    link = project.link_above(folder)
    if link is not None:
        raise LinkedError(
            f"{link} is a symbolic link, so {folder} is not below the project. It was left as it "
            "is; put the folder itself in the link's place.",
            expected="a folder of its own",
            got=link,
        )


@dataclass(slots=True)
class Stored:
    """How the bytes of a new version came to lie there, in numbers of files."""

    copied: int = 0
    linked: int = 0

    def to_json(self) -> dict[str, int]:
        """Return the counts."""
        return {"copied": self.copied, "linked": self.linked}


@dataclass(slots=True)
class Freezer:
    """Copies a source into a staging folder, storing once what an older version has already.

    Parameters
    ----------
    staging : Staging
    older : sequence of FrozenVersion
        Their files may get a second name; each is hashed again first, and a content is linked only
        once, because a hard link is no second copy.
    """

    staging: Staging
    older: Sequence[FrozenVersion] = ()
    stored: Stored = field(default_factory=Stored)
    _known: dict[str, list[tuple[Path, FrozenFile]]] = field(default_factory=dict)
    _sizes: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for version in self.older:
            for one in () if version.manifest.problem else version.manifest.files:
                self._known.setdefault(one.sha256, []).append((version.path / one.path, one))
                self._sizes.add(one.size_bytes)

    def freeze(self, source: Source) -> tuple[FrozenFile, ...]:
        """Copy or link every file, hashing each in the same pass."""
        paths = list(source.items)
        found = in_parallel(lambda path: self._freeze(source, path), paths)
        for path in source.directories:
            self.staging.make_folder(path)
        self.stored.linked += sum(linked for _, linked in found)
        self.stored.copied += sum(not linked for _, linked in found)
        return tuple(sorted((one for one, _ in found), key=lambda one: one.path.encode()))

    def _freeze(self, source: Source, path: str) -> tuple[FrozenFile, bool]:
        if source.size(path) in self._sizes:
            sha256, size = source.read(path, hash_stream)
            if self._link(sha256, path):
                return FrozenFile(path, size, sha256), True
        sha256, size = source.read(
            path,
            lambda handle: self.staging.write(path, blocks(handle)),
            redo=lambda: self.staging.discard(path),
        )
        return FrozenFile(path, size, sha256), False

    def _link(self, sha256: str, path: str) -> bool:
        # Taken out whole: several older names of one content may be one inode.
        for existing, known in self._known.pop(sha256, ()):
            try:
                with open_regular(existing) as handle:
                    intact = hash_stream(handle) == (known.sha256, known.size_bytes)
            except OSError:
                intact = False
            if intact and self.staging.link(existing, path):
                return True
        return False


def hash_source(source: Source) -> tuple[FrozenFile, ...]:
    """Hash every file of a source without copying anything."""

    def one(path: str) -> FrozenFile:
        sha256, size = source.read(path, hash_stream)
        return FrozenFile(path, size, sha256)

    return tuple(in_parallel(one, list(source.items)))
