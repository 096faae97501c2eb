"""The functions that a cell or a script calls; `nbversion` hands them out lazily."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbversion.capture.serializers import Serializer, register_serializer
from nbversion.present import present_project
from nbversion.project import Project
from nbversion.tracking import last_run, require_tracker

__all__ = [
    "Project",
    "Serializer",
    "data",
    "last_run",
    "load_model",
    "log_artifact",
    "log_figure",
    "log_metric",
    "log_param",
    "register_serializer",
]


def data(reference: str) -> Path:
    """Return the read-only folder of a data set's version, every byte verified now.

    Examples
    --------
    >>> import nbversion
    >>> path = nbversion.data("iris_v0.1") / "iris.csv"  # doctest: +SKIP
    """
    return present_project().data(reference)


def load_model(model: str, *, stage: str | None = None, version: str | None = None) -> Any:
    """Load a model from its stage (default: production) or by its version.

    The very bytes that are loaded are hashed first; see `Project.load_model`.
    """
    return present_project().load_model(model, stage=stage, version=version)


def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """Record a metric of the run under way; with `step`, one point of its curve as well.

    NaN and infinity are kept as they are.
    """
    require_tracker("log_metric").log_metric(name, value, step)


def log_param(name: str, value: Any) -> None:
    """Record a param of the run under way."""
    require_tracker("log_param").log_param(name, value)


def log_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a copy of a file, or of a folder's files, as it is now, with the run under way."""
    require_tracker("log_artifact").log_artifact(Path(os.path.abspath(path)), name)


def log_figure(figure: Any, name: str) -> None:
    """Keep a figure as a picture with the run under way; without a suffix, as PNG."""
    require_tracker("log_figure").log_figure(figure, name)
