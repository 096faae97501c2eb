"""Putting verified copies in the place of what is corrupt, missing or absent.

Laws: nothing is deleted or changed, only moved to the quarantine; what is put back was hashed as it
was written; a text is never repaired, and no bytes are repaired towards a text that was edited. A
process that dies at any step leaves a file that the next repair finds missing and puts back.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbversion.errors import ConflictError, NotFoundError, StorageError
from nbversion.hashing import blocks, hash_stream
from nbversion.store.copies import Copies
from nbversion.store.folder import CACHE, LOCKS, MODELS, RUNS, SNAPSHOTS
from nbversion.store.quarantine import quarantine
from nbversion.store.sources import open_regular
from nbversion.store.verification import Repair
from nbversion.store.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nbversion.disk import Staging
    from nbversion.store.catalog import Catalog, Found
    from nbversion.store.frozen import Finding
    from nbversion.store.lost import Lost
    from nbversion.store.verification import Verification

# How many files are flushed together, and need their space twice.
_BATCH = 1000
_NO_COPY = "no good copy was found in the project; offer one with: --repair --from COPY"


def verify_and_repair(
    catalog: Catalog,
    references: tuple[str, ...],
    found: tuple[Found, ...],
    *,
    offered: tuple[Path, ...] = (),
    complete: bool = False,
) -> Verification:
    """Verify, repair what can be repaired, and verify again.

    Parameters
    ----------
    catalog : Catalog
    references : tuple of str
        As they were asked; empty for the whole project.
    found : tuple of Found
        What they stand for.
    offered : tuple of Path
        Files and folders of the user in which copies may be.
    complete : bool
        Whether bytes that are only elsewhere count too.

    Raises
    ------
    NotFoundError
        When something that is offered is not there. Nothing was changed.
    """
    for one in offered:
        if not os.path.exists(one):
            raise NotFoundError(f"{one} is not there, so it offers nothing. Nothing was changed.")
    first = Verifier(catalog)
    verification = first.run(references, found, complete=complete)
    folders = [one for one in first.rehash.findings if one.expected == "an empty folder"]
    if not first.rehash.lost and not folders:
        return verification
    edited = {one.ref for one in first.rehash.findings if one.kind == "edited"}
    repairs, also = _repair(catalog, first.rehash.lost, folders, edited=edited, offered=offered)
    again = Verifier(catalog).run(references, found, also=also, complete=complete)
    return replace(again, repairs=repairs)


def _repair(
    catalog: Catalog,
    lost: list[Lost],
    folders: Iterable[Finding],
    *,
    edited: set[str],
    offered: tuple[Path, ...],
) -> tuple[tuple[Repair, ...], tuple[Lost, ...]]:
    """Repair everything; return what came of it, and the further files that it touched."""
    project = catalog.project
    copies = Copies(catalog, {one.sha256 for one in lost}, offered)
    repairer = Repairer(catalog, copies, edited)
    also = repairer.other_names(lost)
    # For fairness between two repairs; neither relies on it.
    with project.disk.lock(project.root / CACHE / "repair.lock"):
        repairs = repairer.put_back([*lost, *also])
        for folder in folders:
            with contextlib.suppress(StorageError):
                repairer.make_folder(folder)
    return tuple(repairs), tuple(also)


@dataclass(slots=True)
class Repairer:
    """One repair under way.

    Parameters
    ----------
    catalog : Catalog
    copies : Copies
    edited : set of str
        References whose own text cannot be relied on.
    """

    catalog: Catalog
    copies: Copies
    edited: set[str]

    def other_names(self, lost: list[Lost]) -> list[Lost]:
        """Return every other name of a corrupt inode: each of them is corrupt too."""
        root = self.catalog.project.root
        known = {one.path for one in lost}
        found = []
        for one in lost:
            names = self.copies.names_of(root / one.path, one.sha256)
            for place in names if one.kind == "corrupt" else ():
                path = place.path.relative_to(root).as_posix()
                if place.sound and path not in known:
                    known.add(path)
                    other = one._replace(ref=place.ref, path=path, size=place.size, home=place.home)
                    found.append(other)
        return found

    def put_back(self, lost: list[Lost]) -> list[Repair]:
        """Move aside what is there, and put verified copies in its place, if there are any."""
        groups: dict[str, list[Lost]] = {}
        for one in lost:
            groups.setdefault(_stage_folder(one.path), []).append(one)
        done = []
        for folder, group in groups.items():
            for at in range(0, len(group), _BATCH):
                done += self._put_back_batch(folder, group[at : at + _BATCH])
        return done

    def _put_back_batch(self, folder: str, batch: list[Lost]) -> list[Repair]:
        project = self.catalog.project
        repairs = [Repair(ref=one.ref, path=one.path, reason=self._refused(one)) for one in batch]
        todo = [at for at, repair in enumerate(repairs) if not repair.reason]
        # Beside the versions, not inside one: a crash must not leave anything extra in it.
        with contextlib.ExitStack() as stack:
            staging = None
            sources: dict[int, Path] = {}
            for at in todo:
                found = list(self._candidates(batch[at]))
                try:
                    if found and staging is None:
                        staging = stack.enter_context(project.disk.stage(project.root / folder))
                    source = staging and self._stage_copy(staging, batch[at], str(at), found)
                except StorageError as exc:
                    repairs[at] = replace(repairs[at], reason=exc.message)
                    continue
                if source:
                    sources[at] = source
            if staging is not None:
                try:
                    staging.flush()
                except StorageError as exc:
                    # Nothing may be moved aside for a copy that is not durable.
                    return [
                        one if one.reason else replace(one, reason=exc.message) for one in repairs
                    ]
            for at in todo:
                if not repairs[at].reason:
                    copy = staging.folder / str(at) if staging and at in sources else None
                    repairs[at] = self._exchange(batch[at], repairs[at], copy, sources.get(at))
        return repairs

    def _refused(self, lost: Lost) -> str:
        """Return why a file may not be repaired at all, or nothing."""
        if lost.ref in self.edited:
            return (
                f"the text that says what {lost.ref} consists of was edited; put that right first"
            )
        if not lost.path.startswith(f"{lost.home}/"):
            return f"it does not lie in {lost.home}, where {lost.ref} keeps its files"
        link = self.catalog.project.link_above(lost.path.rpartition("/")[0])
        if link is not None:
            return f"{link} is a symbolic link; put the folder itself in its place"
        return ""

    def _candidates(self, lost: Lost) -> Iterator[Path]:
        path = self.catalog.project.root / lost.path
        return self.copies.of(lost.sha256, lost.size, but=path)

    def _stage_copy(
        self, staging: Staging, lost: Lost, name: str, candidates: list[Path]
    ) -> Path | None:
        """Write a copy that has the wanted bytes; return where it came from."""
        for path in candidates:
            try:
                with open_regular(path) as handle:
                    sha256, _ = staging.write(name, blocks(handle))
            except StorageError:
                # Of where it is written to, not of the candidate.
                staging.discard(name)
                raise
            except OSError:
                sha256 = ""
            if sha256 == lost.sha256:
                return path
            staging.discard(name)
        return None

    def _exchange(
        self, lost: Lost, repair: Repair, copy: Path | None, source: Path | None
    ) -> Repair:
        """Move aside what is there, and give the staged copy its name."""
        project = self.catalog.project
        final = project.root / lost.path
        try:
            got = _present(final)
            if got == f"sha256 {lost.sha256}":
                return replace(repair, source="what is there: it was put right meanwhile")
            if got is not None:
                repair = replace(repair, quarantined=quarantine(project, lost, got))
            if copy is None or source is None:
                return replace(repair, reason=_NO_COPY)
            project.disk.make_folder(final.parent)
            project.disk.publish(copy, final)
        except (ConflictError, StorageError) as exc:
            # One file that cannot be written must not keep the others from being repaired.
            return replace(repair, reason=exc.message)
        return replace(repair, source=project.describe(source))

    def make_folder(self, finding: Finding) -> None:
        """Make an empty folder of a version again."""
        project = self.catalog.project
        place = project.root / finding.path
        linked = project.link_above(finding.path)
        if finding.ref not in self.edited and linked is None and not os.path.lexists(place):
            project.disk.make_folder(place)


def _stage_folder(path: str) -> str:
    if path.startswith(f"{SNAPSHOTS}/"):
        return SNAPSHOTS
    if path.startswith(f"{LOCKS}/"):
        return LOCKS
    parts = path.split("/")
    return f"{MODELS}/{parts[1]}" if parts[0] == MODELS else RUNS


def _present(path: Path) -> str | None:
    """Return what lies at `path` now, in words; None for nothing.

    Raises
    ------
    StorageError
        When it cannot be read, so that nobody knows what would be moved.
    """
    try:
        with open_regular(path) as handle:
            return f"sha256 {hash_stream(handle)[0]}"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return "a symbolic link"
        raise StorageError(f"{path} cannot be read: {exc.strerror}. It was left there.") from exc
