"""The command line: the same verbs, texts or JSON, and an exit status that scripts can trust.

0 done and holds; 1 the check asked for does not hold; 2 wrong use or bad input; 3 could not be done;
130 interrupted.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import traceback
from typing import TYPE_CHECKING

from nbversion import __version__
from nbversion.errors import InvalidInputError, NbversionError, StorageError, printable
from nbversion.formats.json_text import encode_floats
from nbversion.progress_bar import Bar
from nbversion.project import Project
from nbversion.verbs import BY_NAME, VERBS, HelpAsked, Parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from nbversion.render.shown import Shown

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # A command ends before garbage in a circle could hurt, and looking for it among the records of
    # 50,000 files takes a fifth of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _told(words, as_json="--json" in words)
    except OSError as exc:
        # The answer could not be given: a full disk behind a redirection, for instance.
        with contextlib.suppress(OSError):
            _print(f"nbversion: the output cannot be written: {exc.strerror}.", to_stderr=True)
        return StorageError.exit_status
    finally:
        if collects:
            gc.enable()


def _told(words: list[str], *, as_json: bool) -> int:
    """Do what was asked, print the answer or the error, and return the exit status."""
    try:
        text, status = _run(build_parser().parse_args(words))
    except HelpAsked as asked:
        text, status = asked.message, 0
    except NbversionError as exc:
        return _fail(exc.kind, exc.message, exc.exit_status, as_json=as_json)
    except KeyboardInterrupt:
        return _fail("interrupted", "interrupted.", INTERRUPTED, as_json=as_json)
    except OSError as exc:
        return _fail("storage", str(exc), StorageError.exit_status, as_json=as_json)
    except Exception as exc:  # noqa: BLE001  # Python's own status 1 would mean "does not hold"
        traceback.print_exc()
        said = f"a defect of nbversion: {type(exc).__name__}: {exc}"
        return _fail("defect", said, StorageError.exit_status, as_json=as_json)
    _print(text)
    return status


def _fail(kind: str, message: str, status: int, *, as_json: bool) -> int:
    if as_json:
        _print(json.dumps({"error": {"kind": kind, "message": message}}))
    else:
        _print(f"nbversion: {printable(message)}", to_stderr=True)
    return status


def _print(text: str, *, to_stderr: bool = False) -> None:
    """Print `text` and flush it, whatever letters the terminal has, whether anyone reads or not."""
    stream = sys.stderr if to_stderr else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except OSError as exc:
        # Python would flush once more at its end, and complain.
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        # That the reader went away (| head) changes nothing of what the status says.
        if not isinstance(exc, BrokenPipeError):
            raise


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="nbversion",
        description="Data and model versioning that lives inside the Jupyter notebook.",
        epilog="In a notebook: %load_ext nbversion, then the same verbs as magics.",
    )
    parser.add_argument(
        "--version", dest="show_version", action="store_true", help="show the version and stop"
    )
    parser.add_argument("--project", metavar="FOLDER", help="work in the project of that folder")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for verb in VERBS:
        if verb.act is None:
            continue
        prog = f"nbversion {verb.name}"
        one = verbs.add_parser(
            verb.name,
            prog=prog,
            help=verb.summary,
            description=verb.summary,
            epilog=f"example:\n  {prog} {verb.example}".rstrip(),
        )
        verb.arguments(one)
        _add_json(one)
    init = verbs.add_parser(
        "init",
        prog="nbversion init",
        help="Write the folder template of a project.",
        description="Write the folder template of a project; what is there is left as it is.",
        epilog="example:\n  nbversion init my-project",
    )
    init.add_argument("folder", nargs="?", default=".", metavar="FOLDER")
    _add_json(init)
    demo = verbs.add_parser(
        "demo",
        prog="nbversion demo",
        help="Make a project on the iris data and run the quickstart notebook in it.",
        description="Make a project on the iris data and run the quickstart notebook in it.",
        epilog="example:\n  nbversion demo nbversion-demo",
    )
    demo.add_argument("folder", nargs="?", default="nbversion-demo", metavar="FOLDER")
    _add_json(demo)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(parsed: argparse.Namespace) -> tuple[str, int]:
    """Return what to print and the exit status."""
    if parsed.show_version:
        return f"nbversion {__version__}", 0
    if parsed.verb is None:
        raise InvalidInputError("no verb was given. See: nbversion --help")
    result: Shown
    if parsed.verb == "demo":
        from nbversion.demo import run_demo  # noqa: PLC0415  # needs the tutorials extra

        result = run_demo(parsed.folder, quiet=parsed.json)
    elif parsed.verb == "init":
        result = Project.init(parsed.folder).status()
    else:
        act = BY_NAME[parsed.verb].act
        if act is None:
            raise InvalidInputError(f"{parsed.verb} belongs into a notebook.")
        project = Project.find(parsed.project)
        project.watch(Bar(notebook=False))
        result = act(project, parsed)
    # What checks something says whether that holds.
    holds = getattr(result, "holds", True)
    return _rendered(result, as_json=parsed.json), 0 if holds else 1


def _rendered(result: Shown, *, as_json: bool) -> str:
    # ASCII: a letter that drives a terminal, or that it does not have, is no matter then.
    return json.dumps(encode_floats(result.to_json()), indent=2) if as_json else str(result)
