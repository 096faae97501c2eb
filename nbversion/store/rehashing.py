"""Hashing the files of versions, runs and locks again, and keeping what does not hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbversion.errors import NotFoundError, StorageError
from nbversion.hashing import hash_stream, is_hex_digest
from nbversion.store.folder import LOCKS, RUNS
from nbversion.store.frozen import Finding, FindingKind, LinkedError, files_below, linked
from nbversion.store.lost import Lost
from nbversion.store.models import METRICS, PARAMS
from nbversion.store.sources import open_regular

if TYPE_CHECKING:
    from nbversion.errors import NbversionError
    from nbversion.formats.run_record import RunRecord
    from nbversion.store.absence import Elsewhere
    from nbversion.store.folder import ProjectFolder
    from nbversion.store.frozen import FrozenVersion

_UNLISTED_ONCE = ("session.json", "metrics.jsonl")
# Of a model version these two are in git beside the manifest, so that a clone has them.
_IN_GIT = (METRICS, PARAMS)


@dataclass(slots=True)
class Rehash:
    """What was hashed so far, and what does not hold.

    Parameters
    ----------
    project : ProjectFolder
    elsewhere : Elsewhere
    hashing : bool
        False to collect only what every file should have, in `expected`.
    """

    project: ProjectFolder
    elsewhere: Elsewhere
    hashing: bool = True
    findings: list[Finding] = field(default_factory=list)
    # Every file among the findings whose content a text names.
    lost: list[Lost] = field(default_factory=list)
    # SHA-256 by path, when nothing is hashed.
    expected: dict[str, str] = field(default_factory=dict)
    files: int = 0
    size_bytes: int = 0

    def add(
        self, kind: FindingKind, ref: str, path: str, expected: str = "", got: str = ""
    ) -> None:
        """Add a finding."""
        self.findings.append(Finding(kind=kind, ref=ref, path=path, expected=expected, got=got))

    def add_unusable(
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
        self.add(kind, ref, path, expected, got)

    def version(self, frozen: FrozenVersion) -> None:
        """Hash every file of a version."""
        manifest = frozen.manifest
        if not self.hashing:
            if manifest.problem:
                self.add("edited", manifest.reference, frozen.manifest_path, got=manifest.problem)
            for one in manifest.files:
                self.expected[f"{manifest.folder}/{one.path}"] = one.sha256
            return
        found = frozen.findings()
        self.files += len(manifest.files)
        self.size_bytes += manifest.size_bytes
        if not found:
            return
        kinds = {one.path: one.kind for one in found}
        lost = _lost_of(frozen, kinds)
        for gone in lost:
            if gone.kind == "missing":
                self.files -= 1
                self.size_bytes -= gone.size or 0
        kept = _IN_GIT if manifest.kind == "model" else ()
        owed = {f"{manifest.folder}/{one.path}" for one in manifest.files if one.path not in kept}
        absent = self.elsewhere.absent(manifest.reference, frozen.manifest_path, owed, lost)
        if absent is not None:
            # Git keeps no empty folders either.
            told = owed | {f"{manifest.folder}/{one}" for one in manifest.directories}
            found = [one for one in found if one.path not in told or one.kind != "missing"]
            found.append(absent)
        self.findings += found
        self.lost += lost

    def run_files(self, record: RunRecord, text: str) -> None:
        """Hash what lies in a run's own folder; `text` is its record's path."""
        base = f"{RUNS}/{record.run_id}"
        files = record.extra.get("files")
        # Records that were written before they listed these files.
        listed = {f"{base}/{name}" for name in _UNLISTED_ONCE} if files is None else set()
        found: dict[str, Finding] = {}
        lost: list[Lost] = []
        for one in (*record.artifacts, *(files or ())):
            path = str(one.get("path"))
            listed.add(path)
            finding = self._run_file(record.run_id, path, one, lost)
            if finding is not None:
                found[path] = finding
        # The artifacts are bytes, which git leaves out; the other files of a run are texts.
        owed = {path for path in listed if path.startswith(f"{base}/artifacts/")}
        absent = self.elsewhere.absent(record.run_id, text, owed, lost) if lost else None
        if absent is not None:
            found = {path: one for path, one in found.items() if path not in owed}
            found[absent.path] = absent
        self.findings += found.values()
        self.lost += lost
        if record.status in ("running", "lost") or not self.hashing:
            return
        for below in files_below(self.project.root / base):
            path = f"{base}/{below}"
            if path not in listed and not below.startswith("verifications/"):
                self.add("extra", record.run_id, path, "nothing", "a file no record lists")

    def _run_file(
        self, run_id: str, path: str, facts: dict[str, Any], lost: list[Lost]
    ) -> Finding | None:
        expected, size = str(facts.get("sha256")), facts.get("size_bytes")
        finding = self._file(run_id, path, expected)
        if finding and finding.kind in ("missing", "corrupt") and is_hex_digest(expected):
            lost.append(
                Lost(
                    ref=run_id,
                    path=path,
                    sha256=expected,
                    size=size if isinstance(size, int) else None,
                    kind=finding.kind,
                    home=f"{RUNS}/{run_id}",
                )
            )
        return finding

    def lock(self, run_id: str, path: str, expected: str) -> None:
        """Hash an environment lock."""
        finding = self._file(run_id, path, expected)
        if finding is None:
            return
        self.findings.append(finding)
        if finding.kind in ("missing", "corrupt"):
            self.lost.append(Lost(run_id, path, expected, None, finding.kind, LOCKS))

    def _file(self, ref: str, path: str, expected: str) -> Finding | None:
        if not self.hashing:
            self.expected[path] = expected
            return None

        def finding(kind: FindingKind, got: str) -> Finding:
            return Finding(kind=kind, ref=ref, path=path, expected=f"sha256 {expected}", got=got)

        link = self.project.link_above(path)
        if link is not None:
            return finding("corrupt", f"a symbolic link at {link}")
        try:
            with open_regular(self.project.root / path) as handle:
                sha256, size = hash_stream(handle)
        except (FileNotFoundError, NotADirectoryError):
            return finding("missing", "nothing")
        except OSError as exc:
            return finding("unreadable", str(exc.strerror or exc))
        self.files += 1
        self.size_bytes += size
        return finding("corrupt", f"sha256 {sha256}") if sha256 != expected else None


def _lost_of(frozen: FrozenVersion, kinds: dict[str, FindingKind]) -> list[Lost]:
    manifest = frozen.manifest
    found = []
    for one in manifest.files:
        path = f"{manifest.folder}/{one.path}"
        kind = kinds.get(path)
        if kind in ("missing", "corrupt"):
            found.append(
                Lost(
                    ref=manifest.reference,
                    path=path,
                    sha256=one.sha256,
                    size=one.size_bytes,
                    kind=kind,
                    home=manifest.folder,
                )
            )
    return found
