"""Model versions: freeze what a run produced, find one, publish a pre-release as a release."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
from nbversion.formats.json_text import dump_json, parse_json
from nbversion.formats.manifest import MANIFEST, MODEL_CARD, Manifest
from nbversion.names import Version
from nbversion.store.folder import MODELS
from nbversion.store.freezer import Freezer, Shelf
from nbversion.store.frozen import FrozenVersion, load_version, require_unlinked
from nbversion.store.sources import Source
from nbversion.store.stat_index import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nbversion.formats.registry import Registry
    from nbversion.store.folder import ProjectFolder

METRICS = "metrics.json"
PARAMS = "params.json"
_RACES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContent:
    """What a new model version consists of.

    Parameters
    ----------
    items : mapping
        The model's own file or files, by name, as for `Source`.
    metrics, params : mapping
        Names and values only.
    run_id : str or None
    notes : str
    details : mapping
        Further keys for the manifest: the serializer, the object's type.
    card : callable
        Makes the first model card's text from the version's name.
    """

    items: Mapping[str, str | Path | bytes]
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]
    run_id: str | None
    details: Mapping[str, Any]
    card: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Models:
    """The model versions of a project; which of them serves is the registry's business.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder

    def versions(self, model: str) -> list[Version]:
        """Return the versions that have a folder with a manifest, oldest first."""
        return sorted(
            version for version, folder in self._folders(model) if os.path.isfile(folder / MANIFEST)
        )

    def load(self, model: str, version: str) -> FrozenVersion:
        """Return one version.

        Raises
        ------
        NotFoundError
            When its folder has no manifest; the message says what to do.
        FormatError
            When the manifest cannot be read or is that of another version.
        """
        folder = self.project.model_folder(model, version)
        try:
            frozen = load_version(self.project, folder)
        except NotFoundError:
            raise NotFoundError(
                f"{folder} has no {MANIFEST}, so its bytes cannot be verified. Nothing was changed; "
                f"register its model file with: %%trackrun NAME --model {model}=PATH --version "
                "vX.Y.Z"
            ) from None
        manifest = frozen.manifest
        if (manifest.kind, manifest.name, manifest.version) != ("model", model, version):
            raise FormatError(
                f"{frozen.manifest_path} is the manifest of {manifest.reference}, not of "
                f"{names.model_ref(model, version)}. It was left untouched."
            )
        return frozen

    def values(self, frozen: FrozenVersion, file: str) -> dict[str, Any]:
        """Return the names and values of a version's metrics.json or params.json, verified."""
        if not any(one.path == file for one in frozen.manifest.files):
            return {}
        return parse_json(frozen.read(file), f"{frozen.manifest.folder}/{file}")

    def used(self, model: str, registry: Registry | None) -> list[Version]:
        """Return every version that was ever used: folders, and what the registry names."""
        listed = [Version(one.version) for one in registry.versions] if registry else []
        return sorted({*listed, *(version for version, _ in self._folders(model))})

    def _folders(self, model: str) -> Iterator[tuple[Version, Path]]:
        """Yield whatever is called by a version, with a manifest or without."""
        for folder in self.project.children(self.project.model_folder(model)):
            with contextlib.suppress(InvalidInputError):
                yield names.model_version(folder.name), folder

    def freeze(
        self,
        model: str,
        content: ModelContent,
        *,
        version: str | None,
        registry: Registry | None,
    ) -> FrozenVersion:
        """Freeze a model as `version`, or as the next ``-dev.N``.

        Raises
        ------
        ConflictError
            When the asked version was ever used.
        """
        for _ in range(_RACES):
            used = self.used(model, registry)
            if version is not None and Version(version) in used:
                raise taken(model, version)
            chosen = version or str(names.next_dev_version(used))
            older = self._linkable(model)
            source = Source(
                items={
                    **content.items,
                    METRICS: dump_json(dict(content.metrics)),
                    PARAMS: dump_json(dict(content.params)),
                }
            )
            manifest = self._manifest(model, chosen, content.run_id, dict(content.details))
            try:
                return self._publish(manifest, source, older, content.card(chosen).encode())
            except ConflictError:
                if version is not None:
                    raise
        raise ConflictError(
            f"others keep registering versions of {model}; nothing was registered. Try again."
        )

    def _linkable(self, model: str) -> tuple[FrozenVersion, ...]:
        """Return the newest version, whose files may be linked; a broken one has none."""
        versions = self.versions(model)
        if versions:
            with contextlib.suppress(FormatError, IntegrityError, StorageError):
                return (self.load(model, str(versions[-1])),)
        return ()

    def withdraw(self, frozen: FrozenVersion) -> None:
        """Remove a version that was published just now and that no registry came to list."""
        self.project.disk.withdraw(frozen.path)

    def publish_as(self, frozen: FrozenVersion, version: str) -> tuple[FrozenVersion, bool]:
        """Give the bytes of a pre-release a second version, a release; again is fine.

        The caller has verified `frozen`; every byte is hashed once more on the way.

        Returns
        -------
        release : FrozenVersion
        created : bool
            False when it was there already.
        """
        model = frozen.manifest.name
        if version in [str(one) for one in self.versions(model)]:
            existing = self.load(model, version)
            if (existing.manifest.extra.get("derived_from"), existing.manifest.digest) != (
                frozen.manifest.version,
                frozen.manifest.digest,
            ):
                raise taken(model, version)
            existing.verify("Nothing was promoted.")
            return existing, False
        source = Source(
            items={one.path: frozen.path / one.path for one in frozen.manifest.files},
            directories=frozen.manifest.directories,
        )
        manifest = self._manifest(
            model,
            version,
            frozen.manifest.run_id,
            {**frozen.manifest.extra, "derived_from": frozen.manifest.version},
        )
        card_path = frozen.path / MODEL_CARD
        card = card_path.read_bytes() if card_path.is_file() else b""
        card = card.replace(frozen.manifest.version.encode(), version.encode())
        return self._publish(manifest, source, (frozen,), card), True

    def _manifest(
        self, model: str, version: str, run_id: str | None, extra: dict[str, Any]
    ) -> Manifest:
        return Manifest(
            kind="model",
            name=model,
            version=version,
            folder=self.project.model_folder(model, version),
            files=(),
            created_utc=self.project.now(),
            owner=self.project.owner,
            run_id=run_id,
            extra=extra,
        )

    def _publish(
        self, manifest: Manifest, source: Source, older: tuple[FrozenVersion, ...], card: bytes
    ) -> FrozenVersion:
        project = self.project
        require_unlinked(project, manifest.folder)
        project.prepare()
        with project.disk.stage(project.root / MODELS / manifest.name) as staging:
            freezer = Freezer(staging, map(_shelf, older), progress=project.progress)
            files = freezer.freeze(source)
            manifest = replace(manifest, files=files, directories=source.directories)
            if card:
                staging.write(MODEL_CARD, [card], mode=TEXT_MODE)
            staging.write(MANIFEST, manifest.blocks(), mode=TEXT_MODE)
            staging.flush()
            project.disk.publish(staging.folder, project.root / manifest.folder)
        return FrozenVersion(project, manifest, f"{manifest.folder}/{MANIFEST}")


def _shelf(version: FrozenVersion) -> Shelf:
    # Nothing is known of the marks of its files, so each is hashed before it is shared.
    return Shelf(cost=0, load=lambda: (version, Seen()))


def taken(model: str, version: str) -> ConflictError:
    """Make the error for a version that was used before."""
    return ConflictError(
        f"{model} {version} was used already, and a used version is never reused. Nothing was "
        "registered; take a higher number."
    )
