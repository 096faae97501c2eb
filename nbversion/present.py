"""Which project is the present one of this process; importing this costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbversion.project import Project

# Set by the notebook extension: its project is the notebook's, wherever a cell changed directory.
_chosen: list[Callable[[], Project]] = []


def choose(find: Callable[[], Project] | None) -> None:
    """Make what `find` returns the present project of this process; None to undo."""
    _chosen[:] = [find] if find is not None else []


def present_project() -> Project:
    """Return the notebook's project, else the one that the working directory lies in."""
    if _chosen:
        return _chosen[0]()
    from nbversion.project import Project  # noqa: PLC0415  # loading the extension must stay cheap

    return Project.find()
