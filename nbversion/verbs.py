"""The verbs: one table from which magics and command line take parser, help and action.

A verb parses its words, calls one method of `Project` and gives back the record; how that is shown
is the front end's business.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from nbversion.errors import InvalidInputError, NbversionError
from nbversion.names import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbversion.project import Project
    from nbversion.render.shown import Shown


class HelpAsked(NbversionError):  # noqa: N818  # no error: it carries the help to the front end
    """Raised by ``--help`` instead of printing; the message is the help."""

    kind = "help"
    exit_status = 0


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing and exiting, so that a notebook survives it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def print_help(self, file: Any = None) -> None:  # noqa: ARG002  # argparse's signature
        """Raise `HelpAsked`."""
        raise HelpAsked(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise `InvalidInputError` with the usage."""
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        raise InvalidInputError(f"{message}. Use: {usage}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb.

    Parameters
    ----------
    name : str
    summary : str
        One sentence for the help.
    example : str
        The words after the verb.
    arguments : callable
        Adds the arguments to a parser.
    act : callable or None
        Takes the project and the parsed words; None for the cell magic, which runs a cell.
    completes : dict
        Argument to the kind of thing it names: data, model, version, stage, run, ref, path.
    """

    name: str
    summary: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    act: Callable[[Project, argparse.Namespace], Shown] | None
    completes: dict[str, str]

    def parser(self, prog: str) -> Parser:
        """Return the verb's parser, called as `prog`."""
        parser = Parser(
            prog=prog, description=self.summary, epilog=f"example:\n  {prog} {self.example}"
        )
        self.arguments(parser)
        return parser


def split_words(line: str) -> list[str]:
    """Split a magic's line as a shell does.

    Raises
    ------
    InvalidInputError
        When a quotation is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError as exc:
        raise InvalidInputError(
            f"{exc} in: {line.strip()}. Put a text with an apostrophe into double quotes. Nothing "
            "was done."
        ) from None


def _snapshot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="PATH_OR_NAME",
        help="file, folder, or data frame or array of the notebook",
    )
    parser.add_argument("--name", help="the data set's name; default: the path's stem")
    parser.add_argument("--version", help="vX.Y or vX.Y.Z; default: the next one")
    parser.add_argument("--notes", default="", help="what is in it, for people")
    parser.add_argument("--tag", action="append", default=[], help="may be given again")


def _trackrun(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what the run is called")
    add = parser.add_argument
    add("--data", action="append", default=[], metavar="REF", help="data set to verify first")
    add("--eval-data", action="append", default=[], metavar="REF", help="the same, to evaluate on")
    add("--params", default="", metavar="a,b", help="names; default: what the cell shows")
    add("--metrics", default="", metavar="m,n", help="names that hold one number each afterwards")
    add("--model", metavar="MODEL=VAR", help="register the object, or the file of that path")
    add("--version", help="the model's release vX.Y.Z; default: the next -dev.N")
    add("--artifact", action="append", default=[], metavar="PATH", help="file to keep afterwards")
    add(
        "--output",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="file or folder to freeze as a data set afterwards",
    )


def _promote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("version", metavar="VERSION")
    parser.add_argument("stage", metavar="STAGE", help=", ".join(Stage))
    parser.add_argument("--as", dest="as_version", metavar="VERSION", help="publish as a release")
    parser.add_argument("-m", dest="comment", metavar="TEXT", help="why")
    parser.add_argument("--image", metavar="REPO@sha256:…", help="the inference image")
    parser.add_argument("--dry-run", action="store_true", help="check everything, change nothing")


def _rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--to", metavar="VERSION", help="default: what served before")
    parser.add_argument("-m", dest="comment", metavar="TEXT", help="why")
    parser.add_argument("--dry-run", action="store_true", help="check everything, change nothing")


def _comment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("version", metavar="VERSION")
    parser.add_argument("text", metavar="TEXT", nargs="+")


def _verify(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("references", metavar="REF", nargs="*", help="default: the whole project")
    add(
        "--complete",
        action="store_true",
        help="fail also on bytes that are only elsewhere, as in a fresh clone",
    )
    add(
        "--repair",
        action="store_true",
        help="move what is corrupt to .quarantine/ (nothing is deleted) and put back a verified copy "
        "of that and of what is missing, from anywhere in the project; texts are never repaired",
    )
    add(
        "--from",
        dest="offered",
        action="append",
        default=[],
        metavar="PATH",
        help="look for copies in this file or folder too, which is only read; may be given again",
    )
    add(
        "--sums",
        action="store_true",
        help="hash nothing; print the sum that every file should have, for: shasum -a 256 -c",
    )


def _act_verify(project: Project, words: argparse.Namespace) -> Shown:
    if words.sums:
        if words.repair or words.complete or words.offered:
            raise InvalidInputError("--sums hashes nothing, so it goes with no other option.")
        return project.sums(*words.references)
    return project.verify(
        *words.references,
        complete=words.complete,
        repair=words.repair,
        offered=words.offered,
    )


def _model_or_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="default: all of them")


def _name_or_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="default: all of them")


def _reference_or_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", nargs="?", help="default: the serving models")


def _reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", help="model, data, run, or a file's path")


def _restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF")
    parser.add_argument("path", metavar="PATH", help="where to put the copy")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="put a snapshot in the place of what is at PATH, which is frozen first as the next "
        "version of the same data set",
    )


def _nothing(parser: argparse.ArgumentParser) -> None:
    del parser


VERBS: tuple[Verb, ...] = (
    Verb(
        name="snapshot",
        summary="Freeze a file, a folder, a data frame or an array as a version of a data set.",
        example='data/raw/iris.csv --notes "cleaned" --tag training',
        arguments=_snapshot,
        act=lambda project, words: project.snapshot(
            words.source,
            name=words.name,
            version=words.version,
            notes=words.notes,
            tags=words.tag,
        ),
        completes={"source": "path", "name": "data"},
    ),
    Verb(
        name="trackrun",
        summary="Verify the data, run the cell, write its repro record, register its model as dev.",
        example="iris --data iris_v0.1 --metrics f1 --model iris_clf=clf",
        arguments=_trackrun,
        act=None,
        completes={"data": "data", "eval_data": "data", "model": "model", "artifact": "path"},
    ),
    Verb(
        name="promote",
        summary="Move a model version to a stage after verifying it.",
        example='iris_clf v0.1.0-dev.1 production --as v0.1.0 -m "first release"',
        arguments=_promote,
        act=lambda project, words: project.promote(
            words.model,
            words.version,
            words.stage,
            as_version=words.as_version,
            comment=words.comment,
            image=words.image,
            dry_run=words.dry_run,
        ),
        completes={"model": "model", "version": "version", "stage": "stage"},
    ),
    Verb(
        name="rollback",
        summary="Put production back to the version that served before, verified first.",
        example='iris_clf -m "f1 fell"',
        arguments=_rollback,
        act=lambda project, words: project.rollback(
            words.model, to=words.to, comment=words.comment, dry_run=words.dry_run
        ),
        completes={"model": "model", "to": "version"},
    ),
    Verb(
        name="verify",
        summary="Hash again everything that the references stand on, and say all that differs.",
        example="iris_clf@production",
        arguments=_verify,
        act=_act_verify,
        completes={"references": "ref", "offered": "path"},
    ),
    Verb(
        name="registry",
        summary="Show the models and their stages, or one model's versions and history.",
        example="iris_clf",
        arguments=_model_or_all,
        act=lambda project, words: project.registry(words.model),
        completes={"model": "model"},
    ),
    Verb(
        name="comment",
        summary="Add a comment to a model version.",
        example='iris_clf v0.1.0 "approved by the review board"',
        arguments=_comment,
        act=lambda project, words: project.comment(
            words.model, words.version, " ".join(words.text)
        ),
        completes={"model": "model", "version": "version"},
    ),
    Verb(
        name="runs",
        summary="Show the runs with their params and metrics.",
        example="iris",
        arguments=_name_or_all,
        act=lambda project, words: project.runs(words.name),
        completes={"name": "run_name"},
    ),
    Verb(
        name="lineage",
        summary="Draw which data, code, params and environment led to what.",
        example="iris_clf@production",
        arguments=_reference_or_all,
        act=lambda project, words: project.lineage(words.reference),
        completes={"reference": "ref"},
    ),
    Verb(
        name="trace",
        summary="Answer which data, code, params and environment produced this.",
        example="iris_clf@production",
        arguments=_reference,
        act=lambda project, words: project.trace(words.reference),
        completes={"reference": "ref"},
    ),
    Verb(
        name="restore",
        summary="Make a writable copy of a snapshot or a model version outside the store.",
        example="iris_v0.1 data/restored/iris",
        arguments=_restore,
        act=lambda project, words: project.restore(
            words.reference, words.path, overwrite=words.overwrite
        ),
        completes={"reference": "ref", "path": "path"},
    ),
    Verb(
        name="status",
        summary="Show where the project is and what is in it.",
        example="",
        arguments=_nothing,
        act=lambda project, _: project.status(),
        completes={},
    ),
)
BY_NAME = {verb.name: verb for verb in VERBS}
# Where $name and {name} stand for a variable of the notebook: never in a text, which could then
# carry a secret to disk.
EXPANDED = frozenset(
    {
        "source",
        "data",
        "eval_data",
        "artifact",
        "output",
        "reference",
        "references",
        "path",
        "offered",
        "model",
        "version",
        "as_version",
        "to",
    }
)


def parse(verb: Verb, prog: str, words: Sequence[str]) -> argparse.Namespace:
    """Parse the words after a verb.

    Raises
    ------
    InvalidInputError
        With the usage, when they do not fit.
    HelpAsked
        For ``--help``.
    """
    return verb.parser(prog).parse_args(list(words))
