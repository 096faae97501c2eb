"""Versions of a model that lie there and that no registry lists: what a killed run left, or a loss."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nbversion.errors import IntegrityError, NbversionError

if TYPE_CHECKING:
    from nbversion.store.catalog import Catalog


def is_left_over(catalog: Catalog, model: str, version: str) -> bool:
    """Whether a version was published by a run that was killed before it could register it."""
    if catalog.registrar.may_list(model, version):
        return False
    with contextlib.suppress(NbversionError):
        run_id = catalog.models.load(model, version).manifest.run_id
        return run_id is not None and catalog.runs.load(run_id).status == "lost"
    return False


def refuse_lost_registry(catalog: Catalog, model: str) -> None:
    """Raise when versions lie there that a registry must have named: a new one would hide them.

    A version whose run was killed before it could register does not count.
    """
    for version in catalog.models.versions(model):
        manifest = catalog.models.load(model, str(version)).manifest
        registered = "derived_from" in manifest.extra
        if manifest.run_id is not None:
            with contextlib.suppress(NbversionError):
                made = catalog.runs.load(manifest.run_id).model_reference
                registered = registered or made == (model, str(version))
        if registered:
            raise IntegrityError(
                f"{catalog.registrar.path(model)} is gone, but {model} {version} was "
                "registered in it. The cell was not run; restore the file from git or a copy."
            )
