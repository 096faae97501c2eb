"""Hashing everything again that a reference stands on, and saying all that does not hold."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbversion.errors import FormatError, InvalidInputError, NotFoundError, StorageError
from nbversion.formats.manifest import MANIFEST
from nbversion.formats.registry import REGISTRY, problems
from nbversion.hashing import digest_of, hash_stream, is_digest
from nbversion.names import data_ref, is_made_run_id, is_model_version, model_ref
from nbversion.render.amounts import human_count, human_seconds, human_size, short
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown
from nbversion.store.catalog import DataFound, FileFound, ModelFound, RunFound
from nbversion.store.folder import MODELS, PRESENT_LOCK, RUNS, SNAPSHOTS, is_name
from nbversion.store.frozen import Finding, FindingKind, LinkedError, files_below, linked
from nbversion.store.snapshots import LESSON_MANIFEST, split_folder
from nbversion.store.sources import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.errors import NbversionError
    from nbversion.formats.registry import Registry
    from nbversion.formats.run_record import RunRecord
    from nbversion.store.catalog import Catalog, Found
    from nbversion.store.frozen import FrozenVersion

_SHOWN = 50
_COLUMNS = ("kind", "of", "path", "expected", "got")
_GIT_FILES = (".gitignore", ".gitattributes")
_UNLISTED_ONCE = ("session.json", "metrics.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Verification(Shown):
    """What ``%verify`` found.

    Parameters
    ----------
    references : tuple of str
        What was asked; empty for the whole project.
    findings : tuple of Finding
    checked : tuple of str
        What was looked at, by reference.
    files, size_bytes : int
        How much was hashed.
    seconds : float
    """

    references: tuple[str, ...]
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    files: int
    size_bytes: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return the promised keys, and how much was hashed."""
        return {
            "holds": self.holds,
            "findings": [one.to_json() for one in self.findings],
            "checked": list(self.checked),
            "files": self.files,
            "size_bytes": self.size_bytes,
            "seconds": self.seconds,
        }

    def card(self) -> Card:
        """Return the verification for people."""
        rows = tuple(
            (one.kind, one.ref, one.path, _brief(one.expected), _brief(one.got))
            for one in self.findings[:_SHOWN]
        )
        took = human_seconds(self.seconds)
        notes = []
        if len(self.findings) > _SHOWN:
            notes.append(f"{len(self.findings) - _SHOWN} more findings; see all with --json.")
        if self.findings:
            notes.append("Nothing was changed.")
        return Card(
            title="Verified " + (", ".join(self.references) or "the whole project"),
            badge="verified" if self.holds else "broken",
            fields=(
                ("Looked at", ", ".join(self.checked[:12]) + (" …" if self.checked[12:] else "")),
                (
                    "Hashed",
                    f"{human_count(self.files, 'file')}, {human_size(self.size_bytes)} in {took}",
                ),
                ("Findings", str(len(self.findings))),
            ),
            tables=((Table(title="Findings", columns=_COLUMNS, rows=rows),) if rows else ()),
            notes=tuple(notes),
        )


def _brief(text: str) -> str:
    head, space, tail = text.partition("sha256 ")
    return f"{head}{space}{short(tail)}…" if space and len(tail) == 64 else text


@dataclass(slots=True)
class Verifier:
    """One verification under way; each thing is looked at once.

    Parameters
    ----------
    catalog : Catalog
    """

    catalog: Catalog
    findings: list[Finding] = field(default_factory=list)
    # In the order in which they were looked at.
    checked: dict[str, None] = field(default_factory=dict)
    files: int = 0
    size_bytes: int = 0
    # What was loaded so far, by reference; None for what could not be.
    _loaded: dict[str, FrozenVersion | None] = field(default_factory=dict)

    def run(self, references: tuple[str, ...], *, here: Path) -> Verification:
        """Verify what the references stand on, or everything."""
        started = time.perf_counter()
        if references:
            for one in [self.catalog.resolve(text, here=here) for text in references]:
                self._verify(one)
        else:
            self._verify_all()
        return Verification(
            references=references,
            findings=tuple(self.findings),
            checked=tuple(self.checked),
            files=self.files,
            size_bytes=self.size_bytes,
            seconds=round(time.perf_counter() - started, 6),
        )

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
        self._orphans()

    def _model(self, model: str) -> None:
        """Verify a model's registry and every version that it or a folder names."""
        catalog = self.catalog
        try:
            on_disk = [str(one) for one in catalog.models.versions(model)]
        except StorageError as exc:
            self._unusable(model, f"{MODELS}/{model}", "a folder", exc)
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
            self._unusable(LESSON_MANIFEST, LESSON_MANIFEST, "a manifest", exc)

    # -- one thing each --------------------------------------------------------------------

    def _first_time(self, ref: str) -> bool:
        if ref in self.checked:
            return False
        self.checked[ref] = None
        return True

    def _add(
        self, kind: FindingKind, ref: str, path: str, expected: str = "", got: str = ""
    ) -> None:
        self.findings.append(Finding(kind=kind, ref=ref, path=path, expected=expected, got=got))

    def _unusable(
        self,
        ref: str,
        path: str,
        expected: str,
        exc: NbversionError,
        edited: FindingKind = "edited",
    ) -> None:
        """Add the finding for a text of ours that cannot be used."""
        kind: FindingKind = edited
        got = exc.message
        if isinstance(exc, StorageError):
            kind = "unreadable"
        elif isinstance(exc, NotFoundError):
            kind, got = "missing", "nothing"
        elif isinstance(exc, LinkedError):
            self.findings.append(linked(ref, exc.got or path))
            return
        self._add(kind, ref, path, expected, got)

    def _frozen(self, frozen: FrozenVersion) -> None:
        self.findings += frozen.findings()
        self.files += len(frozen.manifest.files)
        self.size_bytes += frozen.manifest.size_bytes

    def _data(self, frozen: FrozenVersion) -> None:
        if not self._first_time(frozen.manifest.reference):
            return
        self._frozen(frozen)
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
                    self._unusable(ref, f"{SNAPSHOTS}/{ref}/{MANIFEST}", "a manifest", exc)
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
            if found not in self.findings:
                self.findings.append(found)

    def _registry(self, model: str) -> Registry | None:
        path = self.catalog.registrar.path(model)
        if not self._first_time(path):
            return None
        try:
            registry = self.catalog.registrar.load(model)
        except (FormatError, NotFoundError, StorageError) as exc:
            self._unusable(model, path, "a registry", exc, "chain")
            return None
        for problem in problems(registry):
            self._add("chain", model, path, "an unbroken history", problem)
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
            self._frozen(frozen)
            if frozen.manifest.run_id:
                self._run_id(frozen.manifest.run_id)

    def _load_model(self, ref: str, model: str, version: str) -> FrozenVersion | None:
        folder = f"{MODELS}/{model}/{version}"
        try:
            return self.catalog.models.load(model, version)
        except NotFoundError:
            if not self._is_orphan(ref, folder):
                self._add("missing", ref, f"{folder}/{MANIFEST}", "a manifest", "nothing")
        except (InvalidInputError, LinkedError, StorageError) as exc:
            self._unusable(ref, f"{folder}/{MANIFEST}", "a manifest", exc)
        return None

    def _run_id(self, run_id: str) -> None:
        if run_id in self.checked:
            return
        try:
            record = self.catalog.runs.load(run_id)
        except (InvalidInputError, NotFoundError, StorageError) as exc:
            self._first_time(run_id)
            self._unusable(run_id, f"{RUNS}/{run_id}.yaml", "a repro record", exc)
        else:
            self._run(record)

    def _run(self, record: RunRecord) -> None:
        if not self._first_time(record.run_id):
            return
        path = self.catalog.project.run_file(record.run_id)
        if record.problem:
            stated, _, content = record.problem.partition(", its content gives ")
            self._add("edited", record.run_id, path, content, stated)
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
        self._files_of(record)

    def _files_of(self, record: RunRecord) -> None:
        """Verify what lies in a run's own folder."""
        base = f"{RUNS}/{record.run_id}"
        files = record.extra.get("files")
        # Records that were written before they listed these files.
        listed = {f"{base}/{name}" for name in _UNLISTED_ONCE} if files is None else set()
        for one in (*record.artifacts, *(files or ())):
            where, expected = str(one.get("path")), str(one.get("sha256"))
            listed.add(where)
            self._hashed(record.run_id, where, expected)
        if record.status == "running":
            return
        for below in files_below(self.catalog.project.root / base):
            path = f"{base}/{below}"
            if path not in listed and not below.startswith("verifications/"):
                self._add("extra", record.run_id, path, "nothing", "a file no record lists")

    def _lock(self, run_id: str, digest: str) -> None:
        if not is_digest(digest):
            self._add("missing", run_id, "env/locks", f"a lock {digest}", "no such digest")
            return
        path = self.catalog.environments.path(digest)
        if not (self.catalog.project.root / path).exists():
            # A record written by hand names the present lock, as in the lesson.
            try:
                present = digest_of(self.catalog.project.read(PRESENT_LOCK))
            except NotFoundError:
                present = None
            if present == digest:
                return
        if self._first_time(path):
            self._hashed(run_id, path, digest.removeprefix("sha256:"))

    def _hashed(self, ref: str, path: str, expected: str) -> None:
        try:
            with open_regular(self.catalog.project.root / path) as handle:
                sha256, size = hash_stream(handle)
        except (FileNotFoundError, NotADirectoryError):
            self._add("missing", ref, path, f"sha256 {expected}", "nothing")
            return
        except OSError as exc:
            self._add("unreadable", ref, path, f"sha256 {expected}", str(exc.strerror or exc))
            return
        self.files += 1
        self.size_bytes += size
        if sha256 != expected:
            self._add("corrupt", ref, path, f"sha256 {expected}", f"sha256 {sha256}")

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
            self._elsewhere(found.path)

    def _elsewhere(self, path: Path) -> None:
        try:
            with open_regular(path) as handle:
                sha256, _ = hash_stream(handle)
        except OSError as exc:
            raise StorageError(f"{path} cannot be read: {exc.strerror}.") from exc
        catalog = self.catalog
        for name, version in catalog.snapshots.references():
            with contextlib.suppress(FormatError, LinkedError, NotFoundError, StorageError):
                frozen = catalog.snapshots.load(name, str(version))
                if frozen.holds(sha256):
                    self._data(frozen)
                    return
        for model in catalog.registrar.models():
            for known in catalog.models.versions(model):
                with contextlib.suppress(FormatError, LinkedError, NotFoundError, StorageError):
                    if catalog.models.load(model, str(known)).holds(sha256):
                        self._registry(model)
                        self._model_version(model, str(known), None)
                        return
        raise NotFoundError(
            f"no version of this project holds a file of the content of {path} (sha256 {sha256}). "
            f"Freeze it with: %snapshot {path}"
        )

    def _orphans(self) -> None:
        project = self.catalog.project
        known = {data_ref(name, str(one)) for name, one in self.catalog.snapshots.references()}
        known |= {MANIFEST, *_GIT_FILES}
        for one in project.children(SNAPSHOTS):
            # Of two spellings of one version, neither of which can be loaded, only one is known.
            if one.name not in known and not os.path.isfile(one / MANIFEST):
                self._is_orphan(one.name, f"{SNAPSHOTS}/{one.name}")
        for one in project.children(RUNS):
            recorded = os.path.lexists(one.with_name(f"{one.name}.yaml"))
            known_missing = one.name in self.checked
            # Others keep things in a folder of this name too: TensorBoard, or the user's own code.
            if is_made_run_id(one.name) and os.path.isdir(one) and not (recorded or known_missing):
                self._is_orphan(one.name, f"{RUNS}/{one.name}")
        for model in project.children(MODELS):
            if not os.path.isdir(model) or not os.access(model, os.R_OK):
                continue
            for one in project.children(f"{MODELS}/{model.name}"):
                ref = model_ref(model.name, one.name)
                bare = is_model_version(one.name) and not os.path.isfile(one / MANIFEST)
                if bare and ref not in self.checked:
                    self._is_orphan(ref, f"{MODELS}/{model.name}/{one.name}")

    def _is_orphan(self, ref: str, path: str) -> bool:
        """Add a finding for what has no manifest; nothing, or an empty folder, is no finding."""
        place = self.catalog.project.root / path
        try:
            if place.is_dir() and not place.is_symlink():
                found = any(place.iterdir())
            else:
                found = os.path.lexists(place)
        except OSError as exc:
            self._add("unreadable", ref, path, "a manifest", str(exc.strerror or exc))
            return True
        if found:
            self._add("orphan", ref, path, "a manifest", "bytes only")
        return found
