"""Frozen versions: made whole from a source, checked byte by byte.

What data sets and models have in common. `verified` means here that every byte was hashed again
now: a read-only bit, a size or a time is never taken as evidence.
"""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from nbversion.errors import IntegrityError, NotFoundError, StorageError
from nbversion.formats.manifest import MANIFEST, UNHASHED, FrozenFile, Manifest, parse_manifest
from nbversion.hashing import hash_stream
from nbversion.store.hash_child import HashChild, holds
from nbversion.store.parallel import Work, hash_watched
from nbversion.store.sources import SMALL, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nbversion.store.folder import ProjectFolder

FindingKind = Literal[
    "corrupt", "edited", "chain", "missing", "absent", "extra", "orphan", "unreadable"
]
# What a desktop or Jupyter drops into a folder that it only looks at.
DROPPED_FILES = (".DS_Store", "Thumbs.db")
DROPPED_FOLDER = ".ipynb_checkpoints"
# A process of its own takes 15 ms to start, which is 1,500 small files.
_MANY = 5000
# Parsing 50,000 files takes as long as walking through them, hashing their text a twentieth. One is
# kept, up to 40 MB of it.
_LARGE_MANIFEST, _LARGEST_KEPT = 1 << 18, 1 << 24
_last_parsed: dict[str, tuple[tuple[str, bytes], Manifest]] = {}
_CHILDREN = min(3, (os.cpu_count() or 1) - 1)


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
        found += self._corrupt()
        found += self._missing_folders()
        found += self._extra()
        return found

    def _corrupt(self) -> list[Finding]:
        """Hash all files; what is found not to hold is looked at once more, to say why."""
        manifest = self.manifest
        work = Work(f"Verifying {manifest.reference}", self.project.progress, manifest.size_bytes)

        def check(entry: FrozenFile) -> Finding | None:
            return self.check(entry, lambda handle: hash_watched(handle, work))

        links = self.linked_folders()
        # `check` says what is wrong with those behind a link, without reading them.
        small: list[FrozenFile] = []
        large: list[FrozenFile] = []
        for one in manifest.files:
            is_small = one.size_bytes <= SMALL and not (links and _is_behind(one.path, links))
            (small if is_small else large).append(one)
        with work.told(len(manifest.files)):
            doubtful = [*self._doubtful(small, work), *large]
            return [one for one in work.run(check, doubtful) if one]

    def linked_folders(self) -> list[str]:
        """Return the folders below the version's that are links: what is behind is not the version's."""
        folders = {path.rpartition("/")[0] for path, _, _ in self.manifest.files}
        above = {
            "/".join(parts[:end])
            for parts in (folder.split("/") for folder in folders)
            for end in range(1, len(parts) + 1)
        }
        return sorted(one for one in above if one and os.path.islink(self.path / one))

    def _doubtful(self, files: list[FrozenFile], work: Work) -> list[FrozenFile]:
        """Hash small files, with all cores where they are many, and return what does not hold."""
        folder = str(self.path)
        children = _CHILDREN if len(files) >= _MANY else 0
        shares = [files[at :: children + 1] for at in range(children + 1)]
        running = [
            HashChild([(f"{folder}/{path}", size, sha256) for path, size, sha256 in share])
            for share in shares[1:]
        ]

        def look(part: Sequence[FrozenFile]) -> list[bool]:
            found = [holds(f"{folder}/{path}", size, sha256) for path, size, sha256 in part]
            work.did(len(part) * children, sum(one[1] for one in part) * (children + 1))
            return found

        try:
            for child in running:
                child.start()
            sound = work.run_here(look, shares[0])
            found = [one for one, good in zip(shares[0], sound, strict=True) if not good]
            for child, share in zip(running, shares[1:], strict=True):
                found += [share[at] for at in child.doubtful()]
        finally:
            for child in running:
                child.stop()
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
                f"{self._way_back(found[0])}",
                expected=found[0].expected,
                got=found[0].got,
            )

    def _way_back(self, finding: Finding) -> str:
        ref, folder = self.manifest.reference, self.manifest.folder
        if finding.kind not in ("missing", "corrupt"):
            return f"See all with: %verify {ref}"
        return (
            f"Put it back with: %verify {ref} --repair, or in a fresh clone, which has no bytes: "
            f"%verify {ref} --repair --from COPY, a copy of {folder} from the machine that froze it."
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
                f"{self.manifest.reference} fails verification: {finding}. Nothing was loaded. "
                f"{self._way_back(finding)}",
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

        link = self.project.link_above(path.rpartition("/")[0])
        if link is not None:
            return finding("corrupt", f"a symbolic link at {link}")
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


def _is_behind(path: str, folders: list[str]) -> bool:
    return any(path.startswith(f"{one}/") for one in folders)


def files_below(base: Path) -> Iterator[str]:
    """Yield the path below `base` of everything but folders and what desktops drop there."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(f"{base}/{prefix}") as found:
                entries = sorted(found, key=lambda one: one.name)
        except OSError:
            # What cannot be looked into is told of when its listed files are read.
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != DROPPED_FOLDER:
                    pending.append(f"{prefix}{entry.name}/")
            elif entry.name not in DROPPED_FILES or entry.is_symlink():
                yield prefix + entry.name


def linked(ref: str, path: str) -> Finding:
    """Make the finding for a version that lies behind a symbolic link."""
    return Finding(
        kind="corrupt", ref=ref, path=path, expected="a folder of its own", got="a symbolic link"
    )


# What a version's file is opened with; see `open_regular`.
open_frozen = open_regular


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
    return FrozenVersion(project, _parsed(project.read(path), path, folder), path)


def _parsed(data: bytes, path: str, folder: str) -> Manifest:
    """Parse a manifest, or give back the one that was parsed from these very bytes just before."""
    if len(data) < _LARGE_MANIFEST:
        return parse_manifest(data, path, folder)
    key = (folder, hashlib.sha256(data).digest())
    last = _last_parsed.get("large")
    if last is not None and last[0] == key:
        return last[1]
    manifest = parse_manifest(data, path, folder)
    if len(data) <= _LARGEST_KEPT:
        _last_parsed["large"] = (key, manifest)
    return manifest


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
