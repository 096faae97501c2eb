"""The command line: the same verbs, texts or JSON, and an exit status that scripts can trust.

0 done and holds; 1 the check asked for does not hold; 2 wrong use or bad input; 3 could not be done;
130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from nbversion import __version__
from nbversion.errors import InvalidInputError, NbversionError, printable
from nbversion.formats.json_text import encode_floats
from nbversion.project import Project
from nbversion.store.verification import Verification
from nbversion.verbs import BY_NAME, VERBS, HelpAsked, Parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from nbversion.render.shown import Shown

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        parsed = build_parser().parse_args(words)
        return _run(parsed)
    except HelpAsked as asked:
        print(asked.message)
        return 0
    except NbversionError as exc:
        if as_json:
            print(json.dumps({"error": {"kind": exc.kind, "message": exc.message}}))
        else:
            print(f"nbversion: {printable(exc.message)}", file=sys.stderr)
        return exc.exit_status
    except KeyboardInterrupt:
        print("nbversion: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (| head): nothing more can be told, and nothing went wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="nbversion",
        description="Data and model versioning that lives inside the Jupyter notebook.",
        epilog="In a notebook: %load_ext nbversion, then the same verbs as magics.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and stop")
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


def _run(parsed: argparse.Namespace) -> int:
    if parsed.version is True:
        print(f"nbversion {__version__}")
        return 0
    if parsed.verb is None:
        raise InvalidInputError("no verb was given. See: nbversion --help")
    if parsed.verb == "demo":
        from nbversion.demo import run_demo  # noqa: PLC0415  # needs the tutorials extra

        return _show(run_demo(parsed.folder, quiet=parsed.json), as_json=parsed.json)
    if parsed.verb == "init":
        return _show(Project.init(parsed.folder).status(), as_json=parsed.json)
    act = BY_NAME[parsed.verb].act
    if act is None:
        raise InvalidInputError(f"{parsed.verb} belongs into a notebook.")
    result = act(Project.find(parsed.project), parsed)
    status = _show(result, as_json=parsed.json)
    return 1 if isinstance(result, Verification) and not result.holds else status


def _show(result: Shown, *, as_json: bool) -> int:
    if as_json:
        record: dict[str, Any] = result.to_json()
        print(json.dumps(encode_floats(record), ensure_ascii=False, indent=2))
    else:
        print(result)
    return 0
