"""What a run is asked to do, what it executes, and what its code leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbversion.errors import NbversionError
    from nbversion.store.frozen import FrozenVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run was asked to do, all of it checked before the user's code starts.

    Parameters
    ----------
    name : str
    data, eval_data : tuple of FrozenVersion
        Resolved, not yet verified.
    model : str or None
    version : str or None
        A release or pre-release for the model; None for the next ``-dev.N``.
    artifacts : tuple of Path
        Files to keep when the run has ended; absolute.
    outputs : tuple of (str, Path)
        Data sets to freeze when the run has ended; absolute paths.
    """

    name: str
    data: tuple[FrozenVersion, ...] = ()
    eval_data: tuple[FrozenVersion, ...] = ()
    model: str | None = None
    version: str | None = None
    artifacts: tuple[Path, ...] = ()
    outputs: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFacts:
    """The code that a run executes.

    Parameters
    ----------
    source : str
        As the user wrote it.
    digests : mapping
        ``cell_sha256`` of the raw, ``cell_sha256_normalised`` of the normalised source.
    notebook, cell_id : str or None
        Where the front end tells.
    execution_count : int or None
    """

    source: str
    digests: Mapping[str, str]
    notebook: str | None = None
    cell_id: str | None = None
    execution_count: int | None = None


@dataclass(slots=True, kw_only=True)
class Results:
    """What the user's code left behind.

    Parameters
    ----------
    status : {"finished", "failed", "interrupted"}
    error : BaseException or None
    params : dict
        Name to value and origin.
    metrics : dict
    model : object or None
        The object, or the path of the file or folder, to register; `has_model` tells whether any.
    problems : list of NbversionError
        What could not be captured; the first is raised once the record is written.
    """

    status: str = "finished"
    error: BaseException | None = None
    params: dict[str, tuple[Any, str]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    has_model: bool = False
    problems: list[NbversionError] = field(default_factory=list)
