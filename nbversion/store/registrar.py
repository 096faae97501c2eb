"""Writing registry.json so that no update is lost, whether or not the lock holds.

One write is a compare-and-swap. The whole next registry is written under a name that carries the
revision and the head it follows, created exclusively: that claim is the decision. Publishing it as
registry.json comes after, and anybody may do it: a claim whose writer died is rolled forward by the
next writer, and a writer that was overtaken publishes the newest claim again. Measured with eight
processes of fifty writes each and no lock: check-then-rename lost 214 of 400, claims none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbversion.errors import IntegrityError, LostRaceError, NotFoundError
from nbversion.formats.registry import REGISTRY, Registry, parse_registry, problems
from nbversion.render.amounts import short
from nbversion.store.folder import CACHE, MODELS

if TYPE_CHECKING:
    from collections.abc import Callable
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
        base = self.project.root / MODELS
        if not base.is_dir():
            return []
        return sorted(one.name for one in base.iterdir() if (one / REGISTRY).is_file())

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
            listed = ", ".join(self.models()) or "none"
            raise NotFoundError(
                f"there is no model {model!r} in this project; there is {listed}. Nothing was "
                "changed."
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
        """
        disk = self.project.disk
        self.project.prepare()
        with disk.lock(self._work(model) / "lock"):
            for attempt in range(_ATTEMPTS):
                registry = self._rolled_forward(model)
                self._require_sound(registry)
                entry = plan(registry)
                if entry is None:
                    return registry, None
                after = registry.apply(entry)
                claim = self._next_claim(registry)
                if disk.create(claim, after.dump()):
                    self._publish(after, claim)
                    return after, after.history[-1]
                time.sleep(min(0.001 * 2**attempt, 0.05))
        raise LostRaceError(
            f"other writers of {self.path(model)} were faster {_ATTEMPTS} times. Nothing of this "
            "change was written; try again."
        )

    def _require_sound(self, registry: Registry) -> None:
        found = problems(registry)
        if found:
            raise IntegrityError(
                f"{self.path(registry.name)} was changed by something else than nbversion: "
                f"{found[0]}. It was left untouched; restore it from git or a copy, then try again."
            )

    def _rolled_forward(self, model: str) -> Registry:
        """Return the registry after publishing every claim that follows it."""
        try:
            registry = self.load(model)
        except NotFoundError:
            registry = Registry(name=model)
        while True:
            claim = self._newest_claim(registry)
            if claim is None or self._is_superseded(claim):
                return registry
            registry = self._put(claim, model)

    def _publish(self, registry: Registry, claim: Path) -> None:
        """Make a claimed registry the published one, or the newest claim that follows it."""
        following: Path | None = claim
        while following is not None:
            # Whoever rolled ours forward may have gone on; then ours was an old text.
            registry = self._put(following, registry.name)
            following = self._newest_claim(registry)
        self._tidy(registry)

    def _put(self, claim: Path, model: str) -> Registry:
        """Write a claim's text as registry.json, unless that is further on already."""
        data = claim.read_bytes()
        registry = parse_registry(data, str(claim), model)
        try:
            present = self.load(model).revision
        except NotFoundError:
            present = 0
        if present < registry.revision:
            self.project.disk.replace(self.project.root / self.path(model), data)
        self.project.disk.mark(_done(claim))
        return registry

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
        return self.project.root / CACHE / "registry" / model

    def _claims(self, revision: int, head: str | None, model: str) -> list[Path]:
        stem = f"{revision}-{short(head, 16) or 'none'}-"
        folder = self._work(model)
        tries = 0
        found = []
        while (path := folder / f"{stem}{tries}").exists():
            found.append(path)
            tries += 1
        return [*found, path]

    def _newest_claim(self, registry: Registry) -> Path | None:
        """Return the newest claim that follows `registry`, or None."""
        found = self._claims(registry.revision + 1, registry.head, registry.name)
        return found[-2] if len(found) > 1 else None

    def _next_claim(self, registry: Registry) -> Path:
        return self._claims(registry.revision + 1, registry.head, registry.name)[-1]

    def _is_superseded(self, claim: Path) -> bool:
        """Whether a claim was published long ago, so that the older file was put back on purpose."""
        try:
            published = _done(claim).stat().st_mtime
        except FileNotFoundError:
            return False
        return time.time() - published > _OVERTAKEN_WITHIN_S


def _done(claim: Path) -> Path:
    """Return the mark beside a claim that says it was published."""
    return claim.with_name(f"{claim.name}.done")
