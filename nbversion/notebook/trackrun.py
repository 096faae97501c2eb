"""``%%trackrun``: from the cell's first line to the frozen record."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.display import display

from nbversion import tracking
from nbversion.capture.cell import CellNames, read_names
from nbversion.capture.values import encode_metric, encode_param, is_param
from nbversion.errors import InvalidInputError, NbversionError, NotFoundError
from nbversion.notebook import identity
from nbversion.notebook.engine import (
    Body,
    execution_count,
    transformed,
)
from nbversion.tracking import CodeFacts, Results, RunRequest, Tracker
from nbversion.verbs import BY_NAME, EXPANDED, parse, split_words

if TYPE_CHECKING:
    import argparse

    from nbversion.notebook.session import Session
    from nbversion.store.catalog import Catalog

# Their body is Python, so the names in it are the cell's own.
_PYTHON_BODIES = ("%%time", "%%timeit", "%%capture", "%%prun", "%%trackrun")


@dataclass(slots=True, kw_only=True)
class CellRun:
    """One execution of a tracked cell.

    Parameters
    ----------
    session : Session
    words : argparse.Namespace
        The parsed first line.
    body : Body
    names : CellNames
    tracker : Tracker
    """

    session: Session
    words: argparse.Namespace
    body: Body
    names: CellNames
    tracker: Tracker
    _here: Path = field(default_factory=Path.cwd)
    # The objects themselves: the id of one that is gone may be given to another.
    _before: dict[str, Any] = field(default_factory=dict)
    _params: dict[str, tuple[Any, str]] = field(default_factory=dict)

    async def run(self) -> Any:
        """Run everything and return the cell's own value."""
        __tracebackhide__ = True
        self._look_before()
        self.tracker.begin()
        try:
            with tracking.activated(self.tracker):
                value = await self.body.run()
        except BaseException as exc:
            # A forked child that got this far has nothing to record.
            if self.tracker.is_ours:
                self._end_badly(exc)
                self.session.show_own(exc)
            raise
        if not self.tracker.is_ours:
            return value
        results = Results(params=self._params_after())
        self._look_after(results)
        run = self.tracker.end(results)
        tracking.remember(run)
        _show(run)
        if results.problems:
            raise _kept(results.problems[0], run)
        return value

    def _end_badly(self, exc: BaseException) -> None:
        # What cannot be captured of a failed run is a warning in its record: the cell's own error
        # is what the user must see.
        try:
            results = Results(
                status=tracking.status_of(exc), error=exc, params=self._params_after()
            )
            for name in _listed(self.words.metrics):
                if self._is_new(name):
                    self._metric(results, name)
            run = self.tracker.end(results)
        except Exception as problem:  # noqa: BLE001  # whatever it is, it must not hide `exc`
            what = problem.message if isinstance(problem, NbversionError) else repr(problem)
            exc.add_note(f"nbversion: the run's record could not be written: {what}")
            return
        tracking.remember(run)
        _show(run)

    # -- params and metrics ----------------------------------------------------------------

    def _look_before(self) -> None:
        """Note what the cell reads, before it can change it."""
        space = self.session.shell.user_ns
        asked = _listed(self.words.params)
        watched = {*asked, *_listed(self.words.metrics)}
        if self.words.model:
            watched.add(self.words.model.partition("=")[2])
        self._before = {name: space[name] for name in watched if name in space}
        hidden = self.session.shell.user_ns_hidden
        # A result is no param unless it is asked for as one.
        results = set() if asked else watched
        for name in asked or sorted(self.names.read - results):
            if name not in space or (name in self.names.assigned and name not in self.names.read):
                continue
            if asked:
                taken = is_param(space[name])
            else:
                taken = (
                    not name.startswith("_")
                    and hidden.get(name, self) is not space[name]
                    and is_param(space[name], nested=False)
                )
            if taken:
                self._params[name] = (encode_param(name, space[name]), "session")
                if name in self.names.assigned:
                    self.tracker.warn(
                        f"{name} was changed by the cell; the value that it began with is recorded."
                    )
        for name, value in self.names.literals.items():
            taken = name in asked if asked else not name.startswith("_") and name not in results
            if taken and name not in self._params and is_param(value):
                self._params[name] = (encode_param(name, value), "cell")

    def _params_after(self) -> dict[str, tuple[Any, str]]:
        """Return the params, with those that only the finished cell can tell.

        A literal that the cell did not get to is none. Of one that it assigned again, nobody can
        tell which value was used: the last one is recorded, and that is said.
        """
        space = self.session.shell.user_ns
        for name, (value, origin) in list(self._params.items()):
            if origin != "cell":
                continue
            now = encode_param(name, space[name]) if self._is_param(name) else None
            same = self._is_param(name) and repr(now) == repr(value)
            if same and name not in self.names.repeated:
                continue
            del self._params[name]
            if self._is_param(name) and name in self.names.repeated:
                self._params[name] = (now, "computed")
                self.tracker.warn(
                    f"{name} was assigned more than once; the value at the cell's end is recorded."
                )
        for name in _listed(self.words.params):
            if name not in self._params and name in space and is_param(space[name]):
                self._params[name] = (encode_param(name, space[name]), "computed")
        return self._params

    def _is_param(self, name: str) -> bool:
        space = self.session.shell.user_ns
        return name in space and is_param(space[name])

    def _look_after(self, results: Results) -> None:
        space = self.session.shell.user_ns
        for name in _listed(self.words.params):
            if name not in results.params:
                try:
                    encode_param(name, self._value(name, "--params"))
                except NbversionError as exc:
                    results.problems.append(exc)
        for name in _listed(self.words.metrics):
            self._metric(results, name)
        if not self.words.model:
            return
        variable = self.words.model.partition("=")[2]
        try:
            is_file = os.path.exists(self._here / variable)
            model: Any = variable
            if variable.isidentifier() and (variable in space or not is_file):
                model = self._value(variable, "--model")
            results.model = self._path(model) if isinstance(model, (str, Path)) else model
        except NbversionError as exc:
            results.problems.append(exc)
        results.has_model = not results.problems

    def _path(self, given: str | Path) -> Path:
        path = self._here / given
        if not os.path.exists(path):
            raise NotFoundError(f"--model: there is no file {str(path)[:300]!r}.")
        return path

    def _metric(self, results: Results, name: str) -> None:
        try:
            results.metrics[name] = encode_metric(name, self._value(name, "--metrics"))
        except NbversionError as exc:
            results.problems.append(exc)

    def _value(self, name: str, option: str) -> Any:
        """Return a name's value when the finished cell gave it, or may have changed it.

        What an earlier cell left would be recorded as this run's result.
        """
        space = self.session.shell.user_ns
        if not self._is_new(name) and not (
            name in space
            and (
                name in self.names.certain or (name in self.names.handed_on and option == "--model")
            )
        ):
            left_over = " (what an earlier cell left is not taken)" if name in space else ""
            raise NotFoundError(f"{option}: the cell never defined {name!r}{left_over}.")
        return space[name]

    def _is_new(self, name: str) -> bool:
        """Whether a name holds another object than before the cell."""
        space = self.session.shell.user_ns
        return name in space and (name not in self._before or self._before[name] is not space[name])


def prepare(session: Session, line: str, cell: str) -> CellRun:
    """Check the first line of a tracked cell and compile its body; nothing is written.

    Raises
    ------
    NbversionError
        When anything that was asked is wrong.
    """
    tracking.refuse_nested()
    words = parse(BY_NAME["trackrun"], "%%trackrun", split_words(line))
    session.expand_words(words, EXPANDED)
    here = _working_directory()
    if cell.lstrip().startswith("%%trackrun"):
        raise InvalidInputError(
            "a %%trackrun inside a %%trackrun is not tracked. Put it into a cell of its own. "
            "Nothing was run."
        )
    for name in (*_listed(words.params), *_listed(words.metrics)):
        if not name.isidentifier():
            raise InvalidInputError(
                f"{name!r} is no name of a variable; write --params a,b and --metrics m,n. The cell "
                "was not run."
            )
    catalog = session.project.catalog
    raw = getattr(session.info, "raw_cell", "")
    is_cell = raw.rstrip("\n").endswith(cell.rstrip("\n"))
    count = execution_count(session.shell)
    try:
        body = Body(session.shell, cell, raw if is_cell else f"%%trackrun {line}\n{cell}", count)
    except Exception as exc:
        session.show_without_frames(exc)
        raise
    path, cell_id = None, None
    if is_cell:
        cell_id = identity.cell_id(session.shell, session.info)
        path = identity.notebook_path(session.shell, cell_id)
    tracker = Tracker(
        catalog=catalog,
        request=_request(words, catalog, here),
        code=CodeFacts(
            source=cell,
            notebook=catalog.project.describe(path) if path else None,
            cell_id=cell_id,
            execution_count=count,
        ),
    )
    return CellRun(
        session=session,
        words=words,
        body=body,
        names=_names(session, cell),
        tracker=tracker,
        _here=here,
    )


def _request(words: argparse.Namespace, catalog: Catalog, here: Path) -> RunRequest:
    return RunRequest(
        name=words.name,
        data=tuple(catalog.resolve_data(one, here=here) for one in words.data),
        eval_data=tuple(catalog.resolve_data(one, here=here) for one in words.eval_data),
        model=_pair(words.model, "--model MODEL=VARIABLE")[0] if words.model else None,
        version=words.version,
        artifacts=tuple(here / one for one in words.artifact),
        outputs=tuple(
            (name, here / path)
            for name, path in (_pair(one, "--output NAME=PATH") for one in words.output)
        ),
    )


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise NotFoundError(
            "the working directory was deleted; go to another with %cd first. The cell was not run."
        ) from None


def _show(run: tracking.Run) -> None:
    """Show the card; a front end that cannot show it changes nothing about the run."""
    with contextlib.suppress(Exception):
        display(run)


def _names(session: Session, cell: str) -> CellNames:
    """Return the names of a body, looking through a ``%%time`` and its like."""
    lines = cell.lstrip("\n").splitlines(keepends=True)
    while lines and lines[0].split(maxsplit=1)[:1] and lines[0].split()[0] in _PYTHON_BODIES:
        del lines[0]
    return read_names(transformed(session.shell, "".join(lines)))


def _pair(text: str, form: str) -> tuple[str, str]:
    left, mark, right = text.partition("=")
    if not (left and mark and right):
        raise InvalidInputError(f"{text!r}: write {form}. The cell was not run.")
    return left, right


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))


def _kept(problem: NbversionError, run: tracking.Run) -> NbversionError:
    """Return the error with what became of the run."""
    sentence = f"{problem.message} The run {run.run_id} is kept"
    sentence += "; nothing was registered." if run.model is None else "."
    return type(problem)(sentence, expected=problem.expected, got=problem.got)
