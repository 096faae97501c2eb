"""Data sets: freeze a version, find one, freeze in place."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbversion import names
from nbversion.disk import TEXT_MODE
from nbversion.errors import (
    ConflictError,
    FormatError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from nbversion.formats.manifest import MANIFEST, Manifest, parse_manifest, recall_manifest
from nbversion.hashing import tree_digest
from nbversion.names import Version
from nbversion.store.folder import SNAPSHOTS
from nbversion.store.freezer import Freezer, Shelf, Stored, hash_some
from nbversion.store.frozen import FrozenVersion, load_version, require_unlinked
from nbversion.store.in_place import check_stated, freeze_in_place, recover
from nbversion.store.snapshot_record import Request, Snapshot, collisions, notes_stand
from nbversion.store.sources import RACY_NS, mark_of
from nbversion.store.stat_index import Seen, StatIndex, list_settled, trusted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from nbversion.disk import Staging
    from nbversion.store.folder import ProjectFolder
    from nbversion.store.sources import Mark, Source

# The lesson's first example keeps one manifest beside the version's folder.
LESSON_MANIFEST = f"{SNAPSHOTS}/{MANIFEST}"
_RACES = 20
# How many older versions are looked through for content that is there already.
_LINKABLE = 20


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The data sets of a project.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder

    def references(self) -> list[tuple[str, Version]]:
        """Return name and version of everything that has a manifest, by name, then version."""
        return self._references("")

    def versions(self, name: str) -> list[Version]:
        """Return the versions of one data set, oldest first."""
        return [version for _, version in self._references(names.check_name(name, "data set"))]

    def _references(self, only: str) -> list[tuple[str, Version]]:
        """Return name and version of what has a manifest, of one data set or of all."""
        found = {
            (name, str(version.semver)): (name, version)
            for name, version, folder in self._folders(only)
            if os.path.isfile(folder / MANIFEST)
        }
        # A broken one must not hide the others; `verify` says what is wrong with it.
        with contextlib.suppress(FormatError, StorageError):
            lesson = self.beside()
            if lesson is not None and only in ("", lesson.name):
                version = Version(lesson.version)
                found.setdefault((lesson.name, str(version.semver)), (lesson.name, version))
        return sorted(found.values(), key=lambda one: (one[0], one[1].semver))

    def _folders(self, only: str) -> Iterator[tuple[str, Version, Path]]:
        """Yield whatever is called by a version, with a manifest or without."""
        for folder in self.project.children(SNAPSHOTS):
            if folder.name.startswith(f"{only}_v" if only else ""):
                split = split_folder(folder.name)
                if split is not None and only in ("", split[0]):
                    yield *split, folder

    def _used(self, name: str) -> list[Version]:
        """Return every version whose name is taken."""
        return [*self.versions(name), *(version for _, version, _ in self._folders(name))]

    def spellings(self, name: str, version: Version) -> list[str]:
        """Return the folders that are there for one version, which has two spellings."""
        folders = [self.project.snapshot_folder(name, text) for text in _spellings(version)]
        return [one for one in folders if os.path.lexists(self.project.root / one)]

    def load(self, name: str, version: str) -> FrozenVersion:
        """Return one version.

        Raises
        ------
        NotFoundError
            When there is none; the message lists the versions there are.
        FormatError
            When its manifest cannot be read or is that of another version.
        """
        wanted = names.data_version(version)
        asked = self.project.snapshot_folder(name, version)
        found = self.spellings(name, wanted)
        usable = [one for one in found if os.path.isfile(self.project.root / one / MANIFEST)]
        lesson = None if usable == found and found else self.beside()
        if lesson is not None and (lesson.name, Version(lesson.version)) == (name, wanted):
            if lesson.folder not in usable:
                usable.append(lesson.folder)
        else:
            lesson = None
        if not usable:
            known = self.versions(name)
            listed = ", ".join(str(one) for one in known)
            have = f"its versions are {listed}" if known else "there is no data set of that name"
            raise NotFoundError(f"{names.data_ref(name, version)} is not there: {have}.")
        if len(usable) > 1 or (asked in found and asked not in usable):
            raise FormatError(
                f"{' and '.join(sorted({*usable, *found}))} are one version, so it is in doubt "
                "which of them is meant. They were left untouched; move one of them away."
            )
        (folder,) = usable
        if lesson is not None and not os.path.isfile(self.project.root / folder / MANIFEST):
            require_unlinked(self.project, folder)
            return FrozenVersion(self.project, lesson, LESSON_MANIFEST)
        frozen = load_version(self.project, folder)
        match = folder.rpartition("_")[2]
        if (frozen.manifest.kind, frozen.manifest.name, frozen.manifest.version) != (
            "data",
            name,
            match,
        ):
            raise FormatError(
                f"{frozen.manifest_path} is the manifest of {frozen.manifest.reference}, not of "
                f"{names.data_ref(name, match)}. It was left untouched."
            )
        return frozen

    def newest(self, name: str) -> FrozenVersion | None:
        """Return the newest version of a data set, or None."""
        known = self.versions(name)
        return self.load(name, str(known[-1])) if known else None

    def freeze_path(self, path: Path, request: Request) -> Snapshot:
        """Freeze a file or a folder; `request` without a name takes the path's stem.

        Raises
        ------
        NotFoundError, InvalidInputError, StorageError
            For a source that cannot be frozen; see `list_source`.
        ConflictError
            When the asked version exists with other content.
        """
        inside = self._version_folder_of(path)
        if inside is not None:
            return freeze_in_place(self, *inside, request)
        store = self.project.root / SNAPSHOTS
        if os.path.isdir(path) and store.resolve().is_relative_to(path.resolve()):
            raise InvalidInputError(
                f"{path} holds the store itself ({SNAPSHOTS}). Keep what you freeze beside it, in "
                "data/raw for instance. Nothing was written."
            )
        source = list_settled(path, ignore=self.project.settings.ignore)
        name = request.name or names.fit_name(path.stem if path.is_file() else path.name)
        # A folder above may have a name that no text can hold.
        told = request.source or os.fsencode(self.project.describe(path)).decode(
            errors="backslashreplace"
        )
        return self.freeze(source, replace(request, name=name, source=told))

    def freeze(self, source: Source, request: Request) -> Snapshot:
        """Freeze a source as the next version, or as the one that was asked for."""
        names.check_name(request.name, "data set")
        if request.version is not None:
            names.data_version(request.version)
        known = {} if request.careful else self._known(source)
        for _ in range(_RACES):
            same = self._same(source, request, known)
            if same is not None:
                return Snapshot(
                    frozen=same,
                    created=False,
                    stored=Stored(),
                    warnings=notes_stand(same, request),
                )
            try:
                frozen, stored = self._publish(source, request, known)
            except ConflictError:
                # Somebody published this version meanwhile: look again what it holds.
                continue
            return Snapshot(
                frozen=frozen,
                created=True,
                stored=stored,
                warnings=collisions(source),
                before=self._before(frozen.manifest) if source.base else None,
            )
        raise ConflictError(
            f"others keep publishing versions of {request.name}; nothing was written. Try again."
        )

    # -- what need not be read -------------------------------------------------------------

    @property
    def _index(self) -> StatIndex:
        return StatIndex(self.project)

    def _known(self, source: Source) -> dict[str, str]:
        """Return the digests of the source's files that were not written to since the last time."""
        return self._index.load(_source_key(source)).known(source.marks) if source.base else {}

    def _remember(
        self, source: Source, files: Iterable[tuple[str, str]], read: Mapping[str, Mark]
    ) -> None:
        """Keep what the source's files were, by path and bare digest, for the next time."""
        if source.base:
            marks = source.marks
            each = ((path, read.get(path, marks[path]), sha256) for path, sha256 in files)
            kept = trusted(each, source.listed_ns, settled=source.settled)
            self._index.save(_source_key(source), kept)

    def _recall(self, name: str, version: str) -> tuple[FrozenVersion, Seen]:
        """Return one version and the marks of its files, by the index where that still fits.

        Not for verification: of a manifest that is as it was written the files are not parsed again.
        """
        folder = self.project.snapshot_folder(name, version)
        path = f"{folder}/{MANIFEST}"
        seen = self._index.load(_frozen_key(folder))
        if seen.note and self.spellings(name, Version(version)) == [folder]:
            require_unlinked(self.project, folder)
            with contextlib.suppress(FormatError, NotFoundError):
                data, files = self.project.read(path), seen.files()
                if seen.note == hashlib.sha256(data).hexdigest():
                    manifest = recall_manifest(data, path, folder, files)
                    # An index that does not hold all files is not believed.
                    if manifest.digest == tree_digest(files):
                        return FrozenVersion(self.project, manifest, path), seen
        return self.load(name, version), Seen()

    def _same(
        self, source: Source, request: Request, known: dict[str, str]
    ) -> FrozenVersion | None:
        """Return the version that holds this content already, where that counts.

        What had to be hashed is added to `known`.
        """
        if request.version is None:
            versions = self.versions(request.name)
            if not versions:
                return None
            existing, seen = self._recall(request.name, str(versions[-1]))
            if _differs(known, existing.manifest):
                return None
        else:
            wanted = Version(request.version)
            if wanted not in self.versions(request.name):
                self._refuse_taken_folder(request.name, request.version)
                return None
            existing, seen = self._recall(request.name, request.version)
        if _sizes_fit(source, existing.manifest):
            unknown = [path for path in source.items if path not in known]
            files, read = hash_some(source, unknown, self.project.progress)
            known.update({one.path: one.sha256 for one in files})
            if all(known[path] == sha256 for path, _, sha256 in existing.manifest.files):
                if request.careful:
                    existing = self.load(existing.manifest.name, existing.manifest.version)
                    return None if existing.findings() else existing
                self._require_present(existing, seen, request)
                if any(one.mtime_ns < source.listed_ns - RACY_NS for one in read.values()):
                    self._remember(source, known.items(), read)
                return existing
        if request.version is None:
            return None
        raise ConflictError(
            f"{existing.manifest.reference} exists with other content ({existing.manifest.digest}). "
            "It was left as it is; leave --version away for the next one.",
            expected=existing.manifest.digest,
        )

    def _require_present(self, existing: FrozenVersion, seen: Seen, request: Request) -> None:
        """Refuse to give back a version whose frozen files were touched and do not hold."""
        if seen.paths and seen.stand(str(existing.path)):
            return
        manifest = existing.manifest
        existing = self.load(manifest.name, manifest.version)
        data = self.project.read(existing.manifest_path)
        ours = existing.manifest_path == f"{manifest.folder}/{MANIFEST}"
        is_own = ours and not existing.manifest.problem and existing.manifest.dump() == data
        now = Seen(note=hashlib.sha256(data).hexdigest() if is_own else "")
        for path, _, sha256 in existing.manifest.files:
            now.add(path, (*mark_of(existing.path / path)[:3], 0), sha256)
        existing.verify(
            f"The content of {request.source or 'the source'} is unharmed; freeze it as a new "
            "version with --version."
        )
        self._index.save(_frozen_key(existing.manifest.folder), now)

    def _refuse_taken_folder(self, name: str, version: str) -> None:
        for folder in self.spellings(name, Version(version)):
            raise ConflictError(
                f"{folder} exists and has no manifest. Nothing was written; freeze that folder in "
                f"place with: %snapshot {folder}"
            )

    def _publish(
        self, source: Source, request: Request, known: Mapping[str, str]
    ) -> tuple[FrozenVersion, Stored]:
        project = self.project
        version = request.version or str(names.next_data_version(self._used(request.name)))
        folder = project.snapshot_folder(request.name, version)
        require_unlinked(project, folder)
        project.prepare()
        recover(project)
        with project.disk.stage(project.root / SNAPSHOTS, resumable=True) as staging:
            trusting = not request.careful
            freezer = self.freezer(
                staging, request.name, Version(version), known, trusting=trusting
            )
            manifest = self.build(freezer, source, replace(request, version=version))
            project.disk.publish(staging.folder, project.root / folder)
        self.remember_frozen(folder, freezer)
        each = ((path, sha256) for path, _, sha256 in manifest.files)
        self._remember(source, each, freezer.read)
        return FrozenVersion(project, manifest, f"{folder}/{MANIFEST}"), freezer.stored

    def remember_frozen(self, folder: str, freezer: Freezer) -> None:
        """Keep what the frozen files of a new version look like, for the next one."""
        self._index.save(_frozen_key(folder), freezer.frozen)

    def freezer(
        self,
        staging: Staging,
        name: str,
        version: Version,
        known: Mapping[str, str],
        *,
        trusting: bool = True,
    ) -> Freezer:
        """Return what copies into `staging`, sharing what older versions hold; see `Freezer`."""
        older = [one for one in self.versions(name) if one < version]
        shelves = (self._shelf(name, one) for one in reversed(older[-_LINKABLE:]))
        return Freezer(staging, shelves, known, self.project.progress, trusting)

    def _before(self, manifest: Manifest) -> str | None:
        """Return the version before, when it was frozen from the same place on disk."""
        with contextlib.suppress(FormatError, IntegrityError, NotFoundError, StorageError):
            older = [one for one in self.versions(manifest.name) if one < Version(manifest.version)]
            if older:
                before, _ = self._recall(manifest.name, str(older[-1]))
                if before.manifest.source == manifest.source:
                    return before.manifest.reference
        return None

    def _shelf(self, name: str, version: Version) -> Shelf:
        def load() -> tuple[FrozenVersion, Seen] | None:
            # One that cannot be read shares nothing; `verify` says what is wrong with it.
            with contextlib.suppress(FormatError, IntegrityError, NotFoundError, StorageError):
                return self._recall(name, str(version))
            return None

        folder = self.project.root / self.project.snapshot_folder(name, str(version))
        return Shelf(cost=max(0, mark_of(folder / MANIFEST).size), load=load)

    def build(
        self, freezer: Freezer, source: Source, request: Request, stated: Manifest | None = None
    ) -> Manifest:
        """Make the whole version in the staging folder, durable.

        Parameters
        ----------
        freezer : Freezer
        source : Source
        request : Request
            With name and version.
        stated : Manifest or None
            What somebody wrote of this version by hand; it must be right, and is kept.
        """
        project = self.project
        version = Version(request.version or "")
        older = [one for one in self.versions(request.name) if one < version]
        parent = older[-1] if older else None
        files = freezer.freeze(source)
        if stated is not None:
            check_stated(stated, names.data_ref(request.name, str(version)), files)
        manifest = Manifest(
            kind="data",
            name=request.name,
            version=str(version),
            folder=project.snapshot_folder(request.name, str(version)),
            files=files,
            created_utc=(stated.created_utc if stated else "") or project.now(),
            notes=request.notes or (stated.notes if stated else ""),
            owner=(stated.owner if stated else "") or project.owner,
            tags=request.tags or (stated.tags if stated else ()),
            source=request.source,
            parent=names.data_ref(request.name, str(parent)) if parent else None,
            run_id=request.run_id,
            directories=source.directories,
            ignored=source.ignored,
            extra=stated.extra if stated else {},
        )
        text, _ = freezer.staging.write(MANIFEST, manifest.blocks(), mode=TEXT_MODE)
        freezer.frozen.note = text
        freezer.staging.flush()
        return manifest

    # -- in place --------------------------------------------------------------------------

    def _version_folder_of(self, path: Path) -> tuple[str, Version] | None:
        """Return name and version when `path` is, or lies in, a version's folder."""
        below = self.project.relative(path)
        if below is None or not below.startswith(f"{SNAPSHOTS}/"):
            return None
        top = below.removeprefix(f"{SNAPSHOTS}/").partition("/")[0]
        split = split_folder(top)
        if split is None or not (self.project.root / SNAPSHOTS / top).is_dir():
            if path.exists():
                raise InvalidInputError(
                    f"{below} lies in {SNAPSHOTS} but not in a folder <name>_<version>, as iris_v0.1. "
                    "Nothing was written."
                )
            return None
        return split

    def beside(self) -> Manifest | None:
        """Return the one manifest beside the versions' folders, as in the lesson's first example.

        Raises
        ------
        FormatError, StorageError
            When it cannot be read.
        """
        if not os.path.isfile(self.project.root / LESSON_MANIFEST):
            return None
        return parse_manifest(self.project.read(LESSON_MANIFEST), LESSON_MANIFEST, "")


def split_folder(folder: str) -> tuple[str, Version] | None:
    """Return the name and version that a folder ``<name>_<version>`` is called by, or None."""
    stem, mark, version = folder.rpartition("_v")
    if not mark:
        return None
    try:
        return names.check_name(stem, "data set"), names.data_version(f"v{version}")
    except InvalidInputError:
        return None


def _spellings(version: Version) -> tuple[str, ...]:
    """Return how a version may be written: ``v0.1`` and ``v0.1.0`` are the same one."""
    text = str(version)
    if text.count(".") == 1:
        return text, f"{text}.0"
    return (text, text.removesuffix(".0")) if text.endswith(".0") else (text,)


def _differs(known: Mapping[str, str], manifest: Manifest) -> bool:
    """Whether what is known without reading a file shows that the content is another."""
    return any(known.get(path, sha256) != sha256 for path, _, sha256 in manifest.files)


def _sizes_fit(source: Source, manifest: Manifest) -> bool:
    """Whether the source has just the files of a version, by name and size."""
    return len(source.items) == len(manifest.files) and all(
        path in source.items and source.size(path) == size for path, size, _ in manifest.files
    )


def _source_key(source: Source) -> str:
    return f"source {os.path.realpath(source.base)}"


def _frozen_key(folder: str) -> str:
    return f"frozen {folder}"
