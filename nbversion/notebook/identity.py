"""Which notebook and which cell is running, as far as the front end tells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MAX_NOTEBOOK = 200 << 20


def cell_id(shell: InteractiveShell, info: Any) -> str | None:
    """Return the id of the running cell.

    Parameters
    ----------
    shell : InteractiveShell
    info : ExecutionInfo or None
        What IPython told when the cell began.
    """
    told = getattr(info, "cell_id", None)
    if told:
        return str(told)
    kernel = getattr(shell, "kernel", None)
    get_parent = getattr(kernel, "get_parent", None)
    parent = get_parent("shell") if get_parent is not None else None
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    found = metadata.get("cellId") if isinstance(metadata, dict) else None
    return str(found) if found else None


def notebook_path(shell: InteractiveShell, cell: str | None) -> Path | None:
    """Return the notebook's file, or None where no front end tells.

    JupyterLab and Notebook give the path that the session began with, which stays the old one after
    a rename: it is believed only while the file is there, and where cell ids are known, only when
    the file holds that cell, or another notebook beside it does.
    """
    told = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    if not told or not str(told).endswith(".ipynb"):
        return None
    path = Path(str(told))
    if path.is_file() and (cell is None or _holds(path, cell)):
        return path
    if cell is not None and path.parent.is_dir():
        for other in sorted(path.parent.glob("*.ipynb")):
            if other != path and _holds(other, cell):
                return other
    # A cell that was not saved yet is in no file.
    return path if path.is_file() else None


def _holds(path: Path, cell: str) -> bool:
    try:
        if path.stat().st_size > _MAX_NOTEBOOK:
            return False
        return f'"{cell}"'.encode() in path.read_bytes()
    except OSError:
        return False
