"""What a finding means for snapshots, runs and model versions, and what to do about it.

A finding says which bytes do not hold; here it learns what stands on them, from one reading of the
records, and only when there is a finding at all.
"""

from __future__ import annotations

import contextlib
import shlex
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbversion.errors import NbversionError, StorageError
from nbversion.formats.manifest import MANIFEST
from nbversion.formats.registry import REGISTRY
from nbversion.formats.run_record import RunRecord
from nbversion.names import data_ref, model_ref
from nbversion.store.folder import LOCKS, MODELS, RUNS, SNAPSHOTS
from nbversion.store.frozen import Finding
from nbversion.store.snapshots import split_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbversion.store.catalog import Catalog

_NAMED = 4
# Bytes that are not there, or not what they were: what stands on them cannot be had again.
_LOSSES = ("corrupt", "missing", "absent", "unreadable", "edited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained(Finding):
    """A finding with what it touches.

    Parameters
    ----------
    affects : tuple of str
        References to every snapshot, run and model version that stands on it.
    meaning : str
        What it means for them, in one sentence.
    advice : str
        What to do next.
    """

    affects: tuple[str, ...] = ()
    meaning: str = ""
    advice: str = ""

    def to_json(self) -> dict[str, object]:  # type: ignore[override]  # more keys, with lists
        """Return the promised keys, what it affects and what to do."""
        # Not super(): a class with slots is made twice, and the first one is no base.
        return {
            **Finding.to_json(self),
            "affects": list(self.affects),
            "meaning": self.meaning,
            "advice": self.advice,
        }


@dataclass(slots=True)
class Uses:
    """What stands on what: data and locks, the runs on them, the versions that those made.

    Parameters
    ----------
    catalog : Catalog
    """

    catalog: Catalog
    stages: dict[str, str] = field(default_factory=dict)
    _on: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    _found: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A folder that cannot be read is a finding itself, and must not hide the others.
        with contextlib.suppress(StorageError):
            for record in self.catalog.runs.all():
                if isinstance(record, RunRecord):
                    self._add_run(record)
        with contextlib.suppress(StorageError):
            for model in self.catalog.registrar.models():
                self._add_model(model)

    def _add_run(self, record: RunRecord) -> None:
        for one in (*record.data, *record.eval_data):
            self._on[same_version(str(one.get("ref")))][record.run_id] = None
        lock = record.env.get("requirements_lock")
        if lock is not None:
            self._on[str(lock)][record.run_id] = None
        for one in record.outputs.get("snapshots") or ():
            self._on[record.run_id][same_version(str(one.get("ref")))] = None
        if record.model_reference is not None:
            made = model_ref(*map(str, record.model_reference))
            self._on[record.run_id][made] = None

    def _add_model(self, model: str) -> None:
        try:
            registry = self.catalog.registrar.load(model)
        except NbversionError:
            return
        for one in registry.versions:
            ref = model_ref(model, one.version)
            self.stages[ref] = str(one.stage)
            self._on[model][ref] = None
            if one.run_id:
                # Also a release that was published from a pre-release of the run.
                self._on[one.run_id][ref] = None

    def of(self, thing: str) -> tuple[str, ...]:
        """Return everything that stands on `thing`, nearest first, without itself."""
        if thing not in self._found:
            # A million files of one version are asked about one by one.
            self._found[thing] = self._follow(same_version(thing))
        return self._found[thing]

    def _follow(self, thing: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        pending, seen = [thing], {thing}
        for one in pending:
            for near in self._on.get(one, ()):
                if near not in seen:
                    seen.add(near)
                    found[near] = None
                    pending.append(near)
        return tuple(found)

    def sentence(self, thing: str) -> str:
        """Return who uses `thing`, as a sentence; empty for nobody."""
        if thing not in self._told:
            touched = self.of(thing)
            those = "it" if len(touched) == 1 else "they"
            said = (
                f" Used by {self.named(touched)}: {those} cannot be reproduced from what lies here."
            )
            self._told[thing] = said if touched else ""
        return self._told[thing]

    def named(self, references: Iterable[str]) -> str:
        """Return the references as a sentence names them, those that serve first."""
        ranks = {"production": 0, "staging": 1}
        ordered = sorted(references, key=lambda one: ranks.get(self.stages.get(one, ""), 2))
        told = [self._named(one) for one in ordered[:_NAMED]]
        more = len(ordered) - len(told)
        return ", ".join(told) + (f" and {more} more" if more else "")

    def _named(self, reference: str) -> str:
        stage = self.stages.get(reference)
        if stage:
            return f"{reference} ({stage})"
        if "@" in reference or split_folder(reference):
            return reference
        return f"run {reference}"


def same_version(reference: str) -> str:
    """Return one spelling for all of a data set's version: ``v0.1`` and ``v0.1.0`` are the same."""
    split = split_folder(reference)
    if split is None:
        return reference
    name, version = split
    text = str(version)
    if text.count(".") == 2 and text.endswith(".0"):
        text = text.removesuffix(".0")
    return data_ref(name, text)


def explain(catalog: Catalog, findings: Iterable[Finding]) -> tuple[Explained, ...]:
    """Return the findings with what each means for whom, and what to do."""
    listed = list(findings)
    if not listed:
        return ()
    uses = Uses(catalog)
    return tuple(
        Explained(
            kind=one.kind,
            ref=one.ref,
            path=one.path,
            expected=one.expected,
            got=one.got,
            affects=_touched(one, uses),
            meaning=_meaning(one, uses),
            advice=_advice(one),
        )
        for one in listed
    )


def _touched(one: Finding, uses: Uses) -> tuple[str, ...]:
    if one.kind in ("extra", "orphan"):
        return ()
    if _is_run_file(one):
        # What a run left beside its record is no input of anything.
        return (one.ref,)
    return uses.of(_thing(one))


def _thing(one: Finding) -> str:
    """Return what is used: of a lock its digest, for its finding names only the first run on it."""
    if one.path.startswith(f"{LOCKS}/"):
        return f"sha256:{one.path.removeprefix(f'{LOCKS}/').partition('.')[0]}"
    return one.ref


def _is_run_file(one: Finding) -> bool:
    return one.path.startswith(f"{RUNS}/{one.ref}/")


def _meaning(one: Finding, uses: Uses) -> str:
    if one.kind == "chain":
        return f"Which version of {one.ref} serves, and who decided it, is not proven any more."
    if one.kind == "extra":
        return f"It is no part of {one.ref}; no frozen file is touched by it."
    if one.kind == "orphan":
        return "No version owns these bytes, so nothing can stand on them."
    said = _loss(one, uses)
    return said if _is_run_file(one) else said + uses.sentence(_thing(one))


def _loss(one: Finding, uses: Uses) -> str:
    stage = uses.stages.get(one.ref)
    if one.kind == "absent":
        return (
            f"The bytes of {one.ref} are not in this copy of the project, only the text that names "
            "them, as in a fresh clone: whoever froze them has them. If that was here, they are lost."
        )
    if one.path.endswith(f"/{REGISTRY}"):
        return f"Which version of {one.ref} serves is not known any more."
    if one.path.startswith(f"{LOCKS}/"):
        return "The environment that it names cannot be built again from it."
    if _is_run_file(one):
        return f"The record of run {one.ref} stands, this file of it does not."
    if one.path.startswith(f"{RUNS}/"):
        return f"What run {one.ref} did is not proven any more."
    if one.path.endswith(MANIFEST):
        return f"What {one.ref} consists of is not proven any more."
    if stage:
        serves = " It is what serves now." if stage == "production" else ""
        return f"{one.ref} is in {stage} and cannot be loaded, promoted or rolled back to.{serves}"
    return f"{one.ref} cannot be used as it is." if one.kind in _LOSSES else ""


def _advice(one: Finding) -> str:
    path = shlex.quote(one.path)
    if one.kind in ("corrupt", "missing", "absent"):
        return _get_back(one, path)
    if one.kind == "edited":
        return (
            f"See what changed with: git diff HEAD -- {path}. Put the text back from git (git checkout "
            f"HEAD -- {path}) or from a backup; it is never repaired by machine."
        )
    if one.kind == "chain":
        return (
            f"Compare it with git: git log -p -- {path}. Put the last sound text back from git or a "
            "backup; it is never repaired by machine."
        )
    if one.kind == "extra":
        return "Move it out of the store; if it should count, freeze it as a new version with: %snapshot"
    if one.kind == "orphan":
        return _adopt(one, path)
    return (
        f"Let it be read (chmod, or whoever owns it), then %verify again; if the disk cannot read it, "
        f"move it away and put a copy back with: %verify {shlex.quote(one.ref)} --repair"
    )


def _get_back(one: Finding, path: str) -> str:
    ref = shlex.quote(one.ref)
    if one.got == "a symbolic link" and one.expected == "a folder of its own":
        return "Put the folder itself in the link's place."
    text = one.path.endswith((f"/{MANIFEST}", f"/{REGISTRY}", ".yaml"))
    if one.kind == "missing" and text:
        return f"Put the text back from git (git checkout HEAD -- {path}) or from a backup."
    if one.kind == "absent":
        return (
            f"Copy {path} from the machine that froze it, then: %verify {ref} --repair --from COPY"
        )
    return f"%verify {ref} --repair; with a good copy elsewhere: %verify {ref} --repair --from COPY"


def _adopt(one: Finding, path: str) -> str:
    parts = one.path.split("/")
    if one.path.startswith(f"{SNAPSHOTS}/") and split_folder(parts[-1]):
        return (
            f"Put its manifest back from git, or freeze the folder as it is with: %snapshot {path}"
        )
    if one.path.startswith(f"{MODELS}/"):
        return "Put its manifest back from git, or register its model file with: %%trackrun --model"
    if one.path.startswith(f"{RUNS}/"):
        return f"Put its record back from git (git checkout HEAD -- {path}.yaml), or move it away."
    return "Move it out of the store; to freeze it: %snapshot"
