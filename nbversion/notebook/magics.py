"""The magics: thin skins over the table of verbs."""

from __future__ import annotations

import os
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from nbversion.errors import InvalidInputError, NotFoundError
from nbversion.notebook.engine import drive
from nbversion.verbs import BY_NAME, EXPANDED, VERBS, HelpAsked, parse, split_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from nbversion.notebook.session import Session
    from nbversion.verbs import Verb

TRACKRUN = "%%trackrun"


def magic_functions(session: Session) -> dict[tuple[str, str], Callable[..., Any]]:
    """Return the magics by kind ("line" or "cell") and name."""
    found: dict[tuple[str, str], Callable[..., Any]] = {}
    for verb in VERBS:
        if verb.act is not None and verb.name != "status":
            found["line", verb.name] = _line_magic(session, verb)
    found["line", "nbversion"] = _status_magic(session)
    found["cell", "trackrun"] = _cell_magic(session)
    return found


def _line_magic(session: Session, verb: Verb) -> Callable[[str], Any]:
    prog = f"%{verb.name}"

    @no_var_expand
    @_shows_help
    def run(line: str) -> Any:
        words = parse(verb, prog, split_words(line))
        session.expand_words(words, EXPANDED)
        if verb.name == "snapshot":
            return _snapshot(session, words)
        return verb.act(session.project, words) if verb.act else None

    run.__name__ = verb.name
    run.__doc__ = verb.parser(prog).format_help()
    return run


def _snapshot(session: Session, words: Any) -> Any:
    """Freeze a path, or a value of the notebook when no file is called so."""
    space = session.shell.user_ns
    source = words.source
    is_path = "/" in source or os.path.exists(source)
    is_name = source.isidentifier() and source in space
    if is_path and is_name and not _is_the_same(space[source], source):
        raise InvalidInputError(
            f"{source!r} is a file here and a variable of the notebook. Write ./{source} "
            "for the file, or rename the variable. Nothing was written."
        )
    if source.isidentifier() and not is_path and not is_name:
        raise NotFoundError(
            f"{source!r} is neither a file here nor a variable of the notebook. Nothing was written."
        )
    value = space[source] if is_name and not is_path else source
    return session.project.snapshot(
        value,
        name=words.name,
        version=words.version,
        notes=words.notes,
        tags=words.tag,
        variable=source if is_name and not is_path else None,
    )


def _is_the_same(value: object, path: str) -> bool:
    """Whether a variable holds the path that it is called like."""
    return isinstance(value, (str, Path)) and os.path.abspath(value) == os.path.abspath(path)


def _status_magic(session: Session) -> Callable[[str], Any]:
    @no_var_expand
    @_shows_help
    def nbversion(line: str) -> Any:
        words = split_words(line)
        if words in ([], ["status"]):
            return session.project.status()
        if words in (["--help"], ["-h"]):
            raise HelpAsked(nbversion.__doc__ or "")
        raise InvalidInputError(f"{line.strip()!r}: use %nbversion status.")

    verbs = "\n".join(
        f"  {'%%' if verb.act is None else '%'}{verb.name:10} {verb.summary}"
        for verb in VERBS
        if verb.name != "status"
    )
    nbversion.__doc__ = (
        "usage: %nbversion [status]\n\nShow where the project is and what is in it.\n\n"
        "The other magics, each with --help:\n"
        f"{verbs}\n"
    )
    return nbversion


def _cell_magic(session: Session) -> Callable[[str, str], Any]:
    @no_var_expand
    @_shows_help
    def run(line: str, cell: str) -> Any:
        __tracebackhide__ = True
        from nbversion.notebook import trackrun  # noqa: PLC0415  # the first run pays, not the load

        tracked = trackrun.prepare(session, line, cell)
        work = tracked.run()
        # A body with `await` is awaited by the cell itself, which `awaiting_transformer` rewrote.
        return work if tracked.body.is_async else drive(work)

    run.__name__ = "trackrun"
    run.__doc__ = BY_NAME["trackrun"].parser(TRACKRUN).format_help()
    return run


def _shows_help(act: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(act)
    def run(*arguments: str) -> Any:
        __tracebackhide__ = True
        try:
            return act(*arguments)
        except HelpAsked as asked:
            print(asked.message)  # noqa: T201  # a magic's help goes where the cell's output goes
            return None

    return run


def awaiting_transformer(shell: InteractiveShell) -> Callable[[list[str]], list[str]]:
    """Return the input transformer that lets a tracked cell wait.

    Only a body that needs ``await`` is rewritten, so that every other cell is compiled as it stands.
    """

    def rewrite(lines: list[str]) -> list[str]:
        if not lines or not lines[0].startswith(f"{TRACKRUN} "):
            return lines
        body = "".join(lines[1:])
        if "await" not in body and "async" not in body:
            return lines
        if not shell.should_run_async(body, transformed_cell=shell.transform_cell(body)):
            return lines
        line = lines[0].removeprefix(f"{TRACKRUN} ").rstrip("\n")
        return [f"await get_ipython().run_cell_magic('trackrun', {line!r}, {body!r})\n"]

    return rewrite
