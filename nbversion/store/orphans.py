"""Bytes in the store that no manifest or record names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nbversion.formats.manifest import MANIFEST
from nbversion.names import data_ref, is_made_run_id, is_model_version, model_ref
from nbversion.store.folder import MODELS, RUNS, SNAPSHOTS
from nbversion.store.frozen import Finding

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from nbversion.store.catalog import Catalog
    from nbversion.store.folder import ProjectFolder

_GIT_FILES = (".gitignore", ".gitattributes")


def find_orphans(catalog: Catalog, checked: Container[str]) -> list[Finding]:
    """Return a finding for everything that has no manifest or record.

    Parameters
    ----------
    catalog : Catalog
    checked : container of str
        References that were looked at already, about which all is said.
    """
    found = [orphan(catalog.project, ref, path) for ref, path in _nameless(catalog, checked)]
    return [one for one in found if one is not None]


def orphan(project: ProjectFolder, ref: str, path: str) -> Finding | None:
    """Return the finding for what has no manifest; nothing, or an empty folder, is no finding."""
    place = project.root / path
    try:
        if place.is_dir() and not place.is_symlink():
            holds = any(place.iterdir())
        else:
            holds = os.path.lexists(place)
    except OSError as exc:
        said = str(exc.strerror or exc)
        return Finding(kind="unreadable", ref=ref, path=path, expected="a manifest", got=said)
    if not holds:
        return None
    return Finding(kind="orphan", ref=ref, path=path, expected="a manifest", got="bytes only")


def _nameless(catalog: Catalog, checked: Container[str]) -> Iterator[tuple[str, str]]:
    project = catalog.project
    known = {data_ref(name, str(one)) for name, one in catalog.snapshots.references()}
    known |= {MANIFEST, *_GIT_FILES}
    for one in project.children(SNAPSHOTS):
        # Of two spellings of one version, neither of which can be loaded, only one is known.
        if one.name not in known and not os.path.isfile(one / MANIFEST):
            yield one.name, f"{SNAPSHOTS}/{one.name}"
    for one in project.children(RUNS):
        recorded = os.path.lexists(one.with_name(f"{one.name}.yaml"))
        # Others keep things in a folder of this name too: TensorBoard, or the user's own code.
        known_missing = one.name in checked
        if is_made_run_id(one.name) and os.path.isdir(one) and not (recorded or known_missing):
            yield one.name, f"{RUNS}/{one.name}"
    for model in project.children(MODELS):
        if not os.path.isdir(model) or not os.access(model, os.R_OK):
            continue
        for one in project.children(f"{MODELS}/{model.name}"):
            ref = model_ref(model.name, one.name)
            bare = is_model_version(one.name) and not os.path.isfile(one / MANIFEST)
            if bare and ref not in checked:
                yield ref, f"{MODELS}/{model.name}/{one.name}"
