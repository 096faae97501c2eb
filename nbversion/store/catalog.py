"""Everything in a project folder, and what a reference stands for in it."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbversion import names
from nbversion.errors import InvalidInputError, NotFoundError
from nbversion.names import Stage, Version
from nbversion.store.environments import Environments
from nbversion.store.models import Models
from nbversion.store.registrar import Registrar
from nbversion.store.runs import Runs
from nbversion.store.snapshots import Snapshots

if TYPE_CHECKING:
    from pathlib import Path

    from nbversion.formats.registry import RegisteredVersion
    from nbversion.formats.run_record import RunRecord
    from nbversion.names import Reference, ReferenceKind
    from nbversion.store.folder import ProjectFolder
    from nbversion.store.frozen import FrozenVersion


@dataclass(frozen=True, slots=True)
class DataFound:
    """A reference to a version of a data set."""

    frozen: FrozenVersion


@dataclass(frozen=True, slots=True)
class ModelFound:
    """A reference to a registered version of a model."""

    model: str
    registered: RegisteredVersion


@dataclass(frozen=True, slots=True)
class RunFound:
    """A reference to a run."""

    record: RunRecord


@dataclass(frozen=True, slots=True)
class FileFound:
    """A reference to a file, to be looked up by its SHA-256."""

    path: Path


Found = DataFound | ModelFound | RunFound | FileFound


@dataclass(frozen=True, slots=True)
class Catalog:
    """The things of a project.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder

    @property
    def snapshots(self) -> Snapshots:
        """The data sets."""
        return Snapshots(self.project)

    @property
    def models(self) -> Models:
        """The model versions."""
        return Models(self.project)

    @property
    def registrar(self) -> Registrar:
        """The registries."""
        return Registrar(self.project)

    @property
    def runs(self) -> Runs:
        """The repro records."""
        return Runs(self.project)

    @property
    def environments(self) -> Environments:
        """The environment locks."""
        return Environments(self.project)

    def resolve(self, text: str, *, here: Path) -> Found:
        """Return what a reference stands for.

        Parameters
        ----------
        text : str
        here : Path
            What a relative path is relative to.

        Raises
        ------
        NotFoundError
            When nothing fits; near names are offered.
        InvalidInputError
            When two things fit; they are listed.
        """
        readings = names.parse_reference(text)
        fitting = [one for one in readings if self._exists(one, here)]
        if len(fitting) > 1:
            listed = " or ".join(f"{one.kind}:{text}" for one in fitting)
            raise InvalidInputError(f"{text!r} fits more than one thing. Say {listed}.")
        if not fitting:
            raise self._nothing(text, readings)
        return self._load(fitting[0], here)

    def resolve_data(self, text: str, *, here: Path) -> FrozenVersion:
        """Return the version of a data set that a reference stands for.

        Raises
        ------
        NotFoundError, InvalidInputError
            When there is none, or it is something else.
        """
        found = self.resolve(text if ":" in text else f"data:{text}", here=here)
        if not isinstance(found, DataFound):
            raise InvalidInputError(f"{text!r} is no data set. Write iris_v0.1 or iris@latest.")
        return found.frozen

    def resolve_model(self, text: str, *, here: Path) -> ModelFound:
        """Return the version of a model that a reference stands for.

        Raises
        ------
        NotFoundError, InvalidInputError
            When there is none, or it is something else.
        """
        found = self.resolve(text if ":" in text else f"model:{text}", here=here)
        if not isinstance(found, ModelFound):
            raise InvalidInputError(f"{text!r} is no model. Write iris_clf@v0.2.0.")
        return found

    def known(self) -> list[str]:
        """Return a reference to everything, for completion and near names."""
        data = self.snapshots.references()
        found = [names.data_ref(name, str(version)) for name, version in data]
        found += sorted({name for name, _ in data})
        for model in self.registrar.models():
            found.append(model)
            found += [names.model_ref(model, str(one)) for one in self.models.versions(model)]
            found += [names.model_ref(model, stage) for stage in Stage]
        return [*found, *self.runs.ids()]

    def _exists(self, reference: Reference, here: Path) -> bool:
        name, selector = reference.name, reference.selector
        if reference.kind == "data":
            known = self.snapshots.versions(name)
            if selector in ("", "latest"):
                return bool(known)
            return Version(selector) in known
        if reference.kind == "model":
            # A version that is not there must be told as such, with those that are.
            return name in self.registrar.models()
        if reference.kind == "run":
            return bool(self.runs.matching(name))
        return os.path.isfile(here / name)

    def _load(self, reference: Reference, here: Path) -> Found:
        name, selector = reference.name, reference.selector
        if reference.kind == "data":
            version = selector
            if selector in ("", "latest"):
                version = str(self.snapshots.versions(name)[-1])
            return DataFound(self.snapshots.load(name, version))
        if reference.kind == "model":
            return ModelFound(name, self._select(name, selector))
        if reference.kind == "run":
            matching = self.runs.matching(name)
            if len(matching) > 1:
                raise InvalidInputError(
                    f"{name!r} fits {len(matching)} runs: {', '.join(matching[:8])}. Write more of it."
                )
            return RunFound(self.runs.load(matching[0]))
        return FileFound(here / name)

    def _select(self, model: str, selector: str) -> RegisteredVersion:
        registry = self.registrar.load(model)
        if selector == "latest":
            fitting = list(registry.versions)
        elif selector in ("", *Stage):
            stage = Stage(selector or Stage.PRODUCTION)
            fitting = [one for one in registry.versions if one.stage is stage]
        else:
            one = registry.find(selector)
            fitting = [one] if one else []
        if not fitting:
            listed = (
                ", ".join(f"{one.version} ({one.stage})" for one in registry.versions) or "none"
            )
            asked = selector or str(Stage.PRODUCTION)
            where = "in " if asked in list(Stage) else ""
            raise NotFoundError(f"{model} has no version {where}{asked}; it has {listed}.")
        return max(fitting, key=lambda one: Version(one.version))

    def _nothing(self, text: str, readings: list[Reference]) -> NotFoundError:
        bare = text.partition(":")[2] if readings[0].explicit else text
        kinds: list[ReferenceKind] = [one.kind for one in readings]
        near = difflib.get_close_matches(bare, self.known(), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        if kinds == ["data"]:
            known = sorted({name for name, _ in self.snapshots.references()})
            listed = f"its data sets are {', '.join(known[:20])}" if known else "it has none yet"
            return NotFoundError(
                f"{bare!r} is no data set of this project; {listed}.{hint} Nothing was done."
            )
        what = f"no {' or '.join(dict.fromkeys(kinds))} of this project"
        return NotFoundError(f"{text!r} is {what}.{hint}")
