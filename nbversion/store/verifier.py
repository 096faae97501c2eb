"""Hashing everything again that a reference stands on. Nothing here writes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbversion.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from nbversion.formats.manifest import MANIFEST
from nbversion.formats.registry import REGISTRY, problems
from nbversion.hashing import digest_of, is_digest
from nbversion.names import data_ref, model_ref
from nbversion.store.absence import Elsewhere
from nbversion.store.catalog import DataFound, FileFound, ModelFound, RunFound
from nbversion.store.findings import explain
from nbversion.store.folder import MODELS, PRESENT_LOCK, RUNS, SNAPSHOTS, is_name
from nbversion.store.frozen import Finding, LinkedError
from nbversion.store.holders import holder_of
from nbversion.store.orphans import find_orphans, orphan
from nbversion.store.rehashing import Rehash
from nbversion.store.snapshots import LESSON_MANIFEST, split_folder
from nbversion.store.verification import Sums, Verification

if TYPE_CHECKING:
    from nbversion.formats.registry import Registry
    from nbversion.formats.run_record import RunRecord
    from nbversion.store.catalog import Catalog, Found
    from nbversion.store.frozen import FrozenVersion
    from nbversion.store.lost import Lost


@dataclass(slots=True)
class Verifier:
    """One verification under way; each thing is looked at once.

    Parameters
    ----------
    catalog : Catalog
    """

    catalog: Catalog
    # In the order in which they were looked at.
    checked: dict[str, None] = field(default_factory=dict)
    rehash: Rehash = field(init=False)
    # What was loaded so far, by reference; None for what could not be.
    _loaded: dict[str, FrozenVersion | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        project = self.catalog.project
        self.rehash = Rehash(project, Elsewhere(project.root))

    def run(
        self,
        references: tuple[str, ...],
        found: tuple[Found, ...],
        *,
        also: tuple[Lost, ...] = (),
        complete: bool = False,
    ) -> Verification:
        """Verify what the references stand on, or everything.

        Parameters
        ----------
        references : tuple of str
            As they were asked; empty for everything.
        found : tuple of Found
            What they stand for.
        also : tuple of Lost
            Further files, whose versions and runs are looked at too.
        complete : bool
            Whether bytes that are only elsewhere count too.
        """
        started = time.perf_counter()
        self._look(references, found)
        for one in also:
            self._file(FileFound(self.catalog.project.root / one.path))
        return Verification(
            references=references,
            findings=explain(self.catalog, self.rehash.findings),
            checked=tuple(self.checked),
            files=self.rehash.files,
            size_bytes=self.rehash.size_bytes,
            seconds=round(time.perf_counter() - started, 6),
            complete=complete,
        )

    def _look(self, references: tuple[str, ...], found: tuple[Found, ...]) -> None:
        if not references:
            self._verify_all()
        for one in found:
            self._verify(one)

    def sums(self, references: tuple[str, ...], found: tuple[Found, ...]) -> Sums:
        """Return what every file should have that the references stand on; nothing is hashed.

        Raises
        ------
        IntegrityError
            When a text that says so was edited, is broken or is gone.
        """
        self.rehash.hashing = False
        self._look(references, found)
        if self.rehash.findings:
            raise IntegrityError(
                f"{self.rehash.findings[0]}. The sums would not be the true ones, so none are given. "
                "See all with: %verify"
            )
        sums = tuple((sha256, path) for path, sha256 in sorted(self.rehash.expected.items()))
        return Sums(references=references, sums=sums)

    def _verify(self, found: Found) -> None:
        if isinstance(found, DataFound):
            self._data(found.frozen)
        elif isinstance(found, ModelFound):
            self._registry(found.model)
            self._model_version(found.model, found.registered.version, found.registered.digest)
        elif isinstance(found, RunFound):
            self._run(found.record)
        else:
            self._file(found)

    def _verify_all(self) -> None:
        catalog = self.catalog
        self._beside()
        for name, version in catalog.snapshots.references():
            self._data_ref(data_ref(name, str(version)), None)
        for folder in catalog.project.children(MODELS):
            if is_name(folder.name):
                self._model(folder.name)
        for run_id in catalog.runs.ids():
            self._run_id(run_id)
        if self.rehash.hashing:
            self.rehash.findings += find_orphans(catalog, self.checked)

    def _model(self, model: str) -> None:
        """Verify a model's registry and every version that it or a folder names."""
        catalog = self.catalog
        try:
            on_disk = [str(one) for one in catalog.models.versions(model)]
        except StorageError as exc:
            self.rehash.add_unusable(model, f"{MODELS}/{model}", "a folder", exc)
            return
        listed: dict[str, str | None] = {}
        if on_disk or os.path.lexists(catalog.project.root / catalog.registrar.path(model)):
            registry = self._registry(model)
            listed = {one.version: one.digest for one in registry.versions} if registry else {}
        for version in [*listed, *on_disk]:
            self._model_version(model, version, listed.get(version))

    def _beside(self) -> None:
        """Look at the one manifest beside the data sets' folders; its files come with the rest."""
        try:
            self.catalog.snapshots.beside()
        except (FormatError, StorageError) as exc:
            self.rehash.add_unusable(LESSON_MANIFEST, LESSON_MANIFEST, "a manifest", exc)

    # -- one thing each --------------------------------------------------------------------

    def _first_time(self, ref: str) -> bool:
        if ref in self.checked:
            return False
        self.checked[ref] = None
        return True

    def _version(self, frozen: FrozenVersion) -> None:
        manifest = frozen.manifest
        if manifest.kind == "data":
            self._data(frozen)
        else:
            self._registry(manifest.name)
            self._model_version(manifest.name, manifest.version, None)

    def _data(self, frozen: FrozenVersion) -> None:
        if not self._first_time(frozen.manifest.reference):
            return
        self.rehash.version(frozen)
        if frozen.manifest.run_id:
            self._run_id(frozen.manifest.run_id)

    def _data_ref(self, ref: str, digest: str | None) -> None:
        """Verify a data set that a record names, and that it is what the record saw."""
        if ref not in self._loaded:
            self._loaded[ref] = None
            name, _, version = ref.rpartition("_")
            try:
                self._loaded[ref] = self.catalog.snapshots.load(name, version)
            except (InvalidInputError, LinkedError, NotFoundError, StorageError) as exc:
                if self._first_time(ref):
                    self.rehash.add_unusable(
                        ref, f"{SNAPSHOTS}/{ref}/{MANIFEST}", "a manifest", exc
                    )
        frozen = self._loaded[ref]
        if frozen is not None:
            self._compare(ref, frozen, digest)
            self._data(frozen)

    def _compare(self, ref: str, frozen: FrozenVersion, digest: str | None) -> None:
        """Compare a version with the digest that a record or a registry has of it."""
        got = frozen.manifest.digest
        if digest is not None and digest != got:
            found = Finding(
                kind="edited", ref=ref, path=frozen.manifest_path, expected=digest, got=got
            )
            if found not in self.rehash.findings:
                self.rehash.findings.append(found)

    def _registry(self, model: str) -> Registry | None:
        path = self.catalog.registrar.path(model)
        if not self._first_time(path):
            return None
        try:
            registry = self.catalog.registrar.load(model)
        except (FormatError, NotFoundError, StorageError) as exc:
            self.rehash.add_unusable(model, path, "a registry", exc, "chain")
            return None
        for problem in problems(registry):
            self.rehash.add("chain", model, path, "an unbroken history", problem)
        return registry

    def _model_version(self, model: str, version: str, digest: str | None) -> None:
        ref = model_ref(model, version)
        first = self._first_time(ref)
        if first:
            self._loaded[ref] = self._load_model(ref, model, version)
        frozen = self._loaded.get(ref)
        if frozen is None:
            return
        self._compare(ref, frozen, digest)
        if first:
            self.rehash.version(frozen)
            if frozen.manifest.run_id:
                self._run_id(frozen.manifest.run_id)

    def _load_model(self, ref: str, model: str, version: str) -> FrozenVersion | None:
        folder = f"{MODELS}/{model}/{version}"
        try:
            return self.catalog.models.load(model, version)
        except NotFoundError:
            found = orphan(self.catalog.project, ref, folder)
            if found is not None:
                self.rehash.findings.append(found)
            else:
                self.rehash.add("missing", ref, f"{folder}/{MANIFEST}", "a manifest", "nothing")
        except (InvalidInputError, LinkedError, StorageError) as exc:
            self.rehash.add_unusable(ref, f"{folder}/{MANIFEST}", "a manifest", exc)
        return None

    # -- runs ------------------------------------------------------------------------------

    def _run_id(self, run_id: str) -> None:
        if run_id in self.checked:
            return
        try:
            record = self.catalog.runs.load(run_id)
        except (InvalidInputError, NotFoundError, StorageError) as exc:
            self._first_time(run_id)
            self.rehash.add_unusable(run_id, f"{RUNS}/{run_id}.yaml", "a repro record", exc)
        else:
            self._run(record)

    def _run(self, record: RunRecord) -> None:
        if not self._first_time(record.run_id):
            return
        path = self.catalog.project.run_file(record.run_id)
        if record.problem:
            stated, _, content = record.problem.partition(", its content gives ")
            self.rehash.add("edited", record.run_id, path, content, stated)
        for one in (*record.data, *record.eval_data):
            self._data_ref(one["ref"], one.get("digest"))
        lock = record.env.get("requirements_lock")
        if lock is not None:
            self._lock(record.run_id, str(lock))
        for one in record.outputs.get("snapshots") or ():
            self._data_ref(one["ref"], one.get("digest"))
        if record.model_reference is not None:
            digest = record.outputs.get("model_digest")
            self._model_version(*record.model_reference, str(digest) if digest else None)
        self.rehash.run_files(record, path)

    def _lock(self, run_id: str, digest: str) -> None:
        if not is_digest(digest):
            self.rehash.add("missing", run_id, "env/locks", f"a lock {digest}", "no such digest")
            return
        expected = digest.removeprefix("sha256:")
        path = self.catalog.environments.path(digest)
        if not (self.catalog.project.root / path).exists():
            # A record written by hand names the present lock, as in the lesson.
            try:
                present = digest_of(self.catalog.project.read(PRESENT_LOCK))
            except NotFoundError:
                present = None
            if present == digest:
                if not self.rehash.hashing:
                    self.rehash.expected[PRESENT_LOCK] = expected
                return
        if self._first_time(path):
            self.rehash.lock(run_id, path, expected)

    # -- a file ----------------------------------------------------------------------------

    def _file(self, found: FileFound) -> None:
        """Verify whatever the file belongs to, by its place or by its content."""
        project = self.catalog.project
        below = project.relative(found.path) or ""
        parts = below.split("/")
        if below.startswith(f"{SNAPSHOTS}/") and (split := split_folder(parts[2])):
            self._data_ref(f"{split[0]}_{split[1]}", None)
        elif below.startswith(f"{MODELS}/") and parts[2:] == [REGISTRY]:
            self._registry(parts[1])
        elif below.startswith(f"{MODELS}/") and len(parts) > 3:
            self._registry(parts[1])
            self._model_version(parts[1], parts[2], None)
        elif below.startswith(f"{RUNS}/"):
            self._run_id(parts[1].removesuffix(".yaml"))
        else:
            self._version(holder_of(self.catalog, found.path))
