"""Tab completion in the magics' lines: references, versions, stages, options."""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import re
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

from nbversion.names import Stage
from nbversion.verbs import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.completer import CompletionContext

    from nbversion.notebook.session import Session
    from nbversion.verbs import Verb

_MAGIC = re.compile(r"\s*(?:[\w, ]+=\s*)?(%{1,2})([a-z_]+)\s+(.*)", re.DOTALL)


def completer(session: Session) -> Callable[[CompletionContext], Any]:
    """Return the matcher for `IPCompleter.custom_matchers`."""

    @context_matcher(identifier="nbversion")
    def nbversion_matcher(context: CompletionContext) -> Any:
        match = _MAGIC.fullmatch(context.text_until_cursor)
        verb = BY_NAME.get(match[2]) if match else None
        if match is None or verb is None or (verb.act is None) != (match[1] == "%%"):
            return {"completions": []}
        before, fragment = split_fragment(match[3])
        found: list[str] = []
        # A broken project must not break typing.
        with contextlib.suppress(Exception):
            found = candidates(session, verb, before, fragment)
        return {
            "completions": [SimpleCompletion(text=one, type="nbversion") for one in found],
            "matched_fragment": fragment,
            "suppress": bool(found),
            "ordered": True,
        }

    matcher: Callable[[CompletionContext], Any] = nbversion_matcher
    return matcher


def split_fragment(text: str) -> tuple[list[str], str]:
    """Return the whole words of a line, and the one that is being written."""
    words = text.split()
    if not text or text[-1].isspace():
        return words, ""
    return words[:-1], words[-1]


def candidates(session: Session, verb: Verb, before: list[str], fragment: str) -> list[str]:
    """Return what the word being written can become.

    Parameters
    ----------
    before : list of str
        The whole words after the verb.
    fragment : str
        The beginning of the word.
    """
    parser = verb.parser(verb.name)
    actions = [one for one in parser._actions if not isinstance(one, argparse._HelpAction)]  # noqa: SLF001  # argparse offers no other list
    options = {option: one for one in actions for option in one.option_strings}
    if fragment.startswith("-"):
        return sorted(one for one in (*options, "--help") if one.startswith(fragment))
    positionals = [one for one in actions if not one.option_strings]
    filled: list[str] = []
    waiting: argparse.Action | None = None
    for word in before:
        if waiting is not None:
            waiting = None
        elif word in options:
            waiting = options[word] if options[word].nargs != 0 else None
        else:
            filled.append(word)
    action = waiting
    if action is None:
        last = positionals[-1] if positionals else None
        if len(filled) < len(positionals):
            action = positionals[len(filled)]
        elif last is not None and last.nargs in ("*", "+"):
            action = last
    if action is None:
        return []
    if action.dest == "model" and verb.name == "trackrun" and "=" in fragment:
        head, _, start = fragment.partition("=")
        return [f"{head}={one}" for one in _variables(session) if one.startswith(start)]
    return _of_kind(session, verb.completes.get(action.dest, ""), filled, fragment)


def _of_kind(session: Session, kind: str, filled: list[str], fragment: str) -> list[str]:
    if kind == "path":
        variables = _variables(session) if "/" not in fragment else []
        return [
            *_paths(fragment),
            *(one for one in variables if fragment and one.startswith(fragment)),
        ]
    catalog = session.project.catalog
    known: list[str] = []
    if kind == "model":
        known = catalog.registrar.models()
    elif kind == "stage":
        known = list(Stage)
    elif kind == "version" and filled:
        known = [one.version for one in reversed(catalog.registrar.load(filled[0]).versions)]
    elif kind == "data":
        references = catalog.snapshots.references()
        known = [f"{name}_{version}" for name, version in reversed(references)]
        known += [f"{name}@latest" for name in sorted({name for name, _ in references})]
    elif kind == "run_name":
        known = sorted({one[11:].rsplit("-", 2)[0] for one in catalog.runs.ids()})
    elif kind == "ref":
        known = catalog.known()
        if "/" in fragment or fragment.startswith("."):
            known = _paths(fragment)
    return [str(one) for one in known if str(one).startswith(fragment)]


def _variables(session: Session) -> list[str]:
    hidden = session.shell.user_ns_hidden
    return sorted(
        name
        for name in session.shell.user_ns
        if isinstance(name, str) and not name.startswith("_") and name not in hidden
    )


def _paths(fragment: str) -> list[str]:
    return sorted(
        one + "/" if os.path.isdir(one) else one for one in glob.glob(glob.escape(fragment) + "*")
    )
