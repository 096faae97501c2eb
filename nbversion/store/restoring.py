"""Writable copies of frozen versions: at a new place, or in place of what was overwritten.

Law: whatever lay where a copy is put is frozen first, so that no restore can lose anything.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion.disk import TEXT_MODE
from nbversion.errors import ConflictError, IntegrityError, InvalidInputError
from nbversion.hashing import tree_digest
from nbversion.render.amounts import human_count, human_size
from nbversion.render.card import Card
from nbversion.render.shown import Shown
from nbversion.store.copying import copy_into
from nbversion.store.folder import CACHE, LOCKS, MODELS, QUARANTINE, RUNS, SNAPSHOTS
from nbversion.store.freezer import hash_source
from nbversion.store.hash_child import read_held
from nbversion.store.holders import all_versions
from nbversion.store.parallel import Work
from nbversion.store.quarantine import open_quarantine
from nbversion.store.snapshot_record import Request
from nbversion.store.sources import SMALL, Source, list_source

if TYPE_CHECKING:
    from nbversion.disk import Staging
    from nbversion.formats.manifest import FrozenFile, Manifest
    from nbversion.store.catalog import Catalog
    from nbversion.store.frozen import Finding, FrozenVersion

_STORE = (SNAPSHOTS, MODELS, RUNS, LOCKS, QUARANTINE, CACHE)
_CONTENT = "content"
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Restored(Shown):
    """A writable copy, as ``%restore`` gives it back.

    Parameters
    ----------
    reference : str
    path : Path
    files, size_bytes : int
    frozen_as : str or None
        The version that holds what was at `path` before.
    newly_frozen : bool
        Whether that version was made for it now.
    also_in : tuple of str
        Other versions that hold the restored bytes too.
    changed : bool
        False when exactly that was at `path` already.
    """

    reference: str
    path: Path
    files: int
    size_bytes: int
    frozen_as: str | None = None
    newly_frozen: bool = False
    also_in: tuple[str, ...] = ()
    changed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return what was restored and where, and what became of what was there."""
        return {
            "reference": self.reference,
            "path": str(self.path),
            "files": self.files,
            "size_bytes": self.size_bytes,
            "frozen_as": self.frozen_as,
            "newly_frozen": self.newly_frozen,
            "also_in": list(self.also_in),
            "changed": self.changed,
        }

    def card(self) -> Card:
        """Return the copy for people."""
        more = len(self.also_in) - _SHOWN
        others = ", ".join(self.also_in[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        fields = [
            ("To", str(self.path)),
            ("Content", f"{human_count(self.files, 'file')}, {human_size(self.size_bytes)}"),
            ("What was there", self._kept()),
            ("Also held by", others),
        ]
        return Card(
            title=f"Restored {self.reference}",
            badge="verified" if self.changed else "unchanged",
            fields=tuple((key, value) for key, value in fields if value),
            notes=self._notes(),
        )

    def _kept(self) -> str:
        if self.frozen_as is None:
            return ""
        return f"frozen as {self.frozen_as}" + ("" if self.newly_frozen else ", and was before")

    def _notes(self) -> tuple[str, ...]:
        if not self.changed:
            return (
                f"{self.path.name} holds exactly {self.reference} already; nothing was changed.",
            )
        told = "The copy is yours to change; the frozen version is as it was."
        if self.frozen_as is None:
            return (told,)
        path = shlex.quote(str(self.path))
        back = f"To get back what was there: %restore {self.frozen_as} {path} --overwrite"
        return (told, back)


def restore(frozen: FrozenVersion, target: Path) -> Restored:
    """Copy a version to `target`, hashing every byte on the way.

    `target` must not exist; an empty folder gets the copy as a folder in it. A version of one file
    becomes a file where `target` has its name or its suffix, and a folder anywhere else.

    Raises
    ------
    ConflictError
        When `target` exists.
    InvalidInputError
        When it lies inside the store.
    IntegrityError
        When the frozen bytes do not hold; then nothing is left at `target`.
    """
    project = frozen.project
    manifest = frozen.manifest
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        target = target / manifest.reference.replace("@", "_")
    if os.path.lexists(target):
        hint = ", or put it in the place of what is there (which is frozen first) with --overwrite"
        raise ConflictError(
            f"{target} exists. Nothing was restored; name a path that is not there yet"
            f"{hint if manifest.kind == 'data' else ''}."
        )
    _require_outside(frozen, target)
    single = _single(manifest)
    as_file = single is not None and (
        single.path == target.name or Path(single.path).suffix == target.suffix != ""
    )
    with project.disk.stage(target.parent) as staging:
        _stage(frozen, staging, mode=TEXT_MODE, as_file=as_file)
        project.disk.publish(staging.folder / _CONTENT, target)
    return _restored(frozen, target)


def restore_over(catalog: Catalog, frozen: FrozenVersion, target: Path) -> Restored:
    """Put a version in the place of what is at `target`, which is frozen first.

    What is there becomes the next version of the same data set, unless one of its versions holds
    exactly that already. A file is replaced by a file, a folder by a folder, at one stroke.

    Raises
    ------
    InvalidInputError
        When what is there cannot be frozen as it is: it is or holds a link, a file with a second
        name, a special file, or something that snapshots leave out. Nothing was changed.
    ConflictError
        When somebody wrote to it meanwhile; it is as they left it.
    IntegrityError
        When the frozen bytes do not hold. Nothing was changed.
    """
    manifest = frozen.manifest
    if manifest.kind != "data":
        raise InvalidInputError(
            f"{manifest.reference} is a model, and what it would overwrite could not be frozen as "
            "one. Nothing was restored; name a path that is not there yet."
        )
    _require_outside(frozen, target)
    project = frozen.project
    if project.disk.has_exchanges(target.parent):
        # What a restore left that was killed as it exchanged the two.
        project.disk.recover_exchanges(target.parent, open_quarantine(project))
    others = _also_in(catalog, frozen)
    if not os.path.lexists(target):
        return replace(restore(frozen, target), also_in=others)
    present = _list_present(frozen, target)
    as_file = stat.S_ISREG(target.lstat().st_mode)
    if _holds(present, manifest, as_file=as_file):
        return replace(_restored(frozen, target), also_in=others, changed=False)
    mode = stat.S_IMODE(target.lstat().st_mode) | 0o200 if as_file else TEXT_MODE
    with project.disk.stage(target.parent) as staging:
        _stage(frozen, staging, mode=mode, as_file=as_file)
        kept, created = _freeze_present(catalog, manifest, target, present)
        _put(frozen, staging, target, kept)
    return replace(
        _restored(frozen, target),
        also_in=others,
        frozen_as=kept.reference if kept else None,
        newly_frozen=created,
    )


def _restored(frozen: FrozenVersion, target: Path) -> Restored:
    return Restored(
        reference=frozen.manifest.reference,
        path=target,
        files=len(frozen.manifest.files),
        size_bytes=frozen.manifest.size_bytes,
    )


def _single(manifest: Manifest) -> FrozenFile | None:
    """Return the only file of a version that has nothing else in it."""
    if len(manifest.files) != 1 or manifest.directories or "/" in manifest.files[0].path:
        return None
    return manifest.files[0]


def _require_outside(frozen: FrozenVersion, target: Path) -> None:
    """Refuse a place that is inside the store, or that the store is inside of."""
    project = frozen.project
    below = project.relative(target.parent.resolve() / target.name)
    if below is not None and any(f"{below}/".startswith(f"{one}/") for one in _STORE):
        raise InvalidInputError(
            f"{target} lies inside the store. Nothing was restored; choose a path outside of it, "
            "data/restored for instance."
        )
    whole = target.resolve()
    held = [one for one in _STORE if (project.root / one).is_relative_to(whole)]
    if held:
        raise InvalidInputError(
            f"{target} holds the store itself ({held[0]}). Nothing was restored; name a file or a "
            "folder beside it, data/raw/iris.csv for instance."
        )


def _stage(frozen: FrozenVersion, staging: Staging, *, mode: int, as_file: bool) -> None:
    """Write the whole version below the staging folder, durable, hashing it on the way."""
    manifest = frozen.manifest
    if manifest.problem:
        frozen.verify("Nothing was restored.")

    work = Work(f"Restoring {manifest.reference}", frozen.project.progress, manifest.size_bytes)
    folder, links = str(frozen.path), frozen.linked_folders()

    def copy(entry: FrozenFile) -> Finding | None:
        path = _CONTENT if as_file else f"{_CONTENT}/{entry.path}"
        if entry.size_bytes <= SMALL and not links:
            data = read_held(f"{folder}/{entry.path}", entry.size_bytes, entry.sha256)
            if data is not None:
                staging.write_whole(path, data, mode=mode)
                work.did(0, len(data))
                return None
        return frozen.check(
            entry, lambda handle: copy_into(staging, handle, path, work, mode=mode)[0]
        )

    if not as_file:
        staging.make_folder(_CONTENT)
    with work.told(len(manifest.files)), staging.flushing():
        found = [one for one in work.run(copy, manifest.files) if one]
    if found:
        raise IntegrityError(
            f"{manifest.reference} fails verification: {found[0]}. Nothing was restored. A copy may "
            f"be found with: %verify {manifest.reference} --repair",
            expected=found[0].expected,
            got=found[0].got,
        )
    for path in manifest.directories:
        staging.make_folder(f"{_CONTENT}/{path}")
    staging.flush()


# -- what is overwritten -------------------------------------------------------------------


def _list_present(frozen: FrozenVersion, target: Path) -> Source:
    """List what is at `target`, all of which a snapshot can hold and all of which fits."""
    manifest, single = frozen.manifest, _single(frozen.manifest)
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        return Source(items={})
    present = list_source(target, ignore=frozen.project.settings.ignore)
    if present.ignored:
        raise InvalidInputError(
            f"{target} holds {present.ignored[0]!r}, which snapshots leave out, so it would be lost. "
            "Nothing was restored; move it away first, or restore to a new path."
        )
    for path in map(present.place, present.items):
        if not isinstance(path, bytes) and os.lstat(path).st_nlink > 1:
            raise InvalidInputError(
                f"{path} has a second name (a hard link), which would keep the other bytes. Nothing "
                "was restored; restore to a new path."
            )
    is_file = stat.S_ISREG(target.lstat().st_mode)
    if is_file and single is None:
        raise InvalidInputError(
            f"{target} is a file and {manifest.reference} a folder of "
            f"{human_count(len(manifest.files), 'file')}. Nothing was restored; name a folder."
        )
    if single is not None and not is_file and set(present.items) != {single.path}:
        raise InvalidInputError(
            f"{target} is a folder with more in it than {single.path}, which is all of "
            f"{manifest.reference}. Nothing was restored; name the file: {target / single.path}"
        )
    return present


def _holds(present: Source, manifest: Manifest, *, as_file: bool) -> bool:
    """Whether what is there is exactly the version."""
    if sum(present.size(path) for path in present.items) != manifest.size_bytes:
        return False
    now = hash_source(present)
    if as_file:
        return [one.sha256 for one in now] == [one.sha256 for one in manifest.files]
    return set(now) == set(manifest.files) and present.directories == manifest.directories


def _freeze_present(
    catalog: Catalog, manifest: Manifest, target: Path, present: Source
) -> tuple[Manifest | None, bool]:
    """Return the version that holds what is there, and whether it was made for that now."""
    if not present.items:
        return None, False
    now = hash_source(present)
    digest = tree_digest((one.path, one.size_bytes, one.sha256) for one in now)
    for version in reversed(catalog.snapshots.versions(manifest.name)):
        known = catalog.snapshots.load(manifest.name, str(version))
        same = known.manifest.digest == digest
        if same and known.manifest.directories == present.directories and not known.findings():
            return known.manifest, False
    made = catalog.snapshots.freeze_path(
        target,
        Request(
            name=manifest.name,
            notes=f"what {manifest.reference} was restored over",
            careful=True,
        ),
    )
    made.frozen.verify("Nothing was restored.")
    return made.manifest, made.created


def _put(frozen: FrozenVersion, staging: Staging, target: Path, kept: Manifest | None) -> None:
    """Exchange the staged copy for what is at `target`, and remove that once it is proven kept."""
    disk = frozen.project.disk
    ours = _inode(staging.folder / _CONTENT)
    swap = staging.becomes_swap() / _CONTENT
    staging.kept = True
    try:
        disk.exchange(swap, target)
        _require_kept(swap, kept)
    except BaseException:
        # Whichever step failed: what is not ours is the user's, and goes back.
        if _inode(target) == ours:
            disk.exchange(swap, target)
        staging.kept = _inode(swap) != ours
        raise
    staging.kept = False


def _inode(path: Path) -> int | None:
    return os.lstat(path).st_ino if os.path.lexists(path) else None


def _require_kept(place: Path, kept: Manifest | None) -> None:
    """Refuse to go on when what is at `place` is not what was frozen of it."""
    is_folder = place.is_dir() and not place.is_symlink()
    if is_folder and not any(place.iterdir()):
        same = kept is None
    elif kept is None:
        same = False
    else:
        source = list_source(place, ignore=())
        now = hash_source(source)
        if is_folder:
            same = set(now) == set(kept.files) and source.directories == kept.directories
        else:
            # By its content: the file is called otherwise while it is being exchanged.
            same = [one.sha256 for one in now] == [one.sha256 for one in kept.files]
    if not same:
        raise ConflictError(
            f"{place} was written to while it was frozen. It was left as it is; try again when nobody "
            "writes to it."
        )


def _also_in(catalog: Catalog, frozen: FrozenVersion) -> tuple[str, ...]:
    """Return the other data sets' versions that hold the same bytes."""
    manifest, single = frozen.manifest, _single(frozen.manifest)
    return tuple(
        one.manifest.reference
        for one in all_versions(catalog)
        if one.manifest.kind == "data"
        and one.manifest.reference != manifest.reference
        and (one.manifest.digest == manifest.digest or (single and one.holds(single.sha256)))
    )
