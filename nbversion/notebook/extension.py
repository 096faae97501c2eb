"""Loading and unloading in IPython; nothing is written to disk."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nbversion import present
from nbversion.notebook.completion import completer
from nbversion.notebook.magics import awaiting_transformer, magic_functions
from nbversion.notebook.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

# What has to be undone, by shell: a test or an embedded shell may load it more than once.
_loaded: dict[int, contextlib.ExitStack] = {}


def load(shell: InteractiveShell) -> None:
    """Register magics, completion and the cell's event in `shell`."""
    unload(shell)
    session = Session(shell)
    undo = contextlib.ExitStack()
    for (kind, name), function in magic_functions(session).items():
        shell.register_magic_function(function, kind, name)  # type: ignore[arg-type]  # typed as a method
        table = shell.magics_manager.magics[kind]
        undo.callback(_remove_if, table, name, function)
    shell.events.register("pre_run_cell", session.before_cell)
    undo.callback(shell.events.unregister, "pre_run_cell", session.before_cell)
    shell.events.register("post_run_cell", session.after_cell)
    undo.callback(shell.events.unregister, "post_run_cell", session.after_cell)
    rewrite = awaiting_transformer(shell)
    shell.input_transformers_cleanup.append(rewrite)
    undo.callback(shell.input_transformers_cleanup.remove, rewrite)
    matcher = completer(session)
    shell.Completer.custom_matchers.append(matcher)
    undo.callback(shell.Completer.custom_matchers.remove, matcher)
    present.choose(lambda: session.project)
    undo.callback(present.choose, None)
    _loaded[id(shell)] = undo


def unload(shell: InteractiveShell) -> None:
    """Take everything back that `load` registered."""
    undo = _loaded.pop(id(shell), None)
    if undo is not None:
        undo.close()


def _remove_if(table: dict[str, object], name: str, function: Callable[..., object]) -> None:
    if table.get(name) is function:
        del table[name]
