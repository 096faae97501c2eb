"""What a run is asked to do, what it executes, and what its code leaves behind."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion.capture.cell import normalised_digest, raw_digest

if TYPE_CHECKING:
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
    notebook, cell_id : str or None
        Where the front end tells.
    execution_count : int or None
    """

    source: str
    notebook: str | None = None
    cell_id: str | None = None
    execution_count: int | None = None

    @property
    def digests(self) -> dict[str, str]:
        """The digests by which a record names the source: as it is, and normalised."""
        return {
            "cell_sha256": raw_digest(self.source),
            "cell_sha256_normalised": normalised_digest(self.source),
        }


def script_source() -> str:
    """Return the text of the program that runs, as far as it lies in a file."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    try:
        return Path(path).read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


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
