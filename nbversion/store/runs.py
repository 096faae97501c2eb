"""Repro records: begin one, end it once, find it again."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbversion import names
from nbversion.disk import FROZEN_MODE
from nbversion.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from nbversion.formats.run_record import RunRecord, parse_run
from nbversion.process import process_is_gone
from nbversion.store.folder import CACHE, RUNS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbversion.store.folder import ProjectFolder

_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRun:
    """A record that cannot be read; the others are still listed.

    Parameters
    ----------
    run_id : str
        As the file is called.
    error : str
    """

    run_id: str
    error: str


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a project.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder

    def ids(self) -> list[str]:
        """Return the ids of all runs, sorted, which is by date."""
        return sorted(
            one.name.removesuffix(".yaml")
            for one in self.project.children(RUNS)
            if one.name.endswith(".yaml") and names.is_run_id(one.name.removesuffix(".yaml"))
        )

    def load(self, run_id: str) -> RunRecord:
        """Return one record; a run whose process is gone is said to be lost.

        Raises
        ------
        NotFoundError, FormatError
            When it is not there or cannot be read.
        """
        path = self.project.run_file(run_id)
        record = parse_run(self.project.read(path), path, run_id)
        if record.status == "running" and process_is_gone(record.extra.get("process")):
            return replace(record, status="lost")
        return record

    def require_sound(self, run_id: str) -> RunRecord:
        """Return one record that fits its own digest.

        Raises
        ------
        IntegrityError
            When it was edited by hand.
        """
        record = self.load(run_id)
        if record.problem:
            raise IntegrityError(
                f"{self.project.run_file(run_id)} was edited by hand: {record.problem}. It was left "
                "untouched; restore it from git or a copy."
            )
        return record

    def all(self) -> list[RunRecord | BrokenRun]:
        """Return every run, oldest first; a broken one as what is wrong with it."""
        found: list[RunRecord | BrokenRun] = []
        for run_id in self.ids():
            try:
                found.append(self.load(run_id))
            except (FormatError, NotFoundError, StorageError) as exc:
                found.append(BrokenRun(run_id=run_id, error=exc.message))
        return sorted(found, key=lambda one: (getattr(one, "started_utc", ""), one.run_id))

    def matching(self, prefix: str) -> list[str]:
        """Return the runs of that id, or else whose ids begin with `prefix`."""
        known = self.ids()
        return [prefix] if prefix in known else [one for one in known if one.startswith(prefix)]

    def begin(self, name: str, make: Callable[[str], RunRecord]) -> RunRecord:
        """Create the record of a new run exclusively.

        Parameters
        ----------
        name : str
        make : callable
            Makes the record from the run id that was found free.
        """
        self.project.prepare()
        for _ in range(_TRIES):
            run_id = names.new_run_id(name, now=self.project.clock(), used=self.ids())
            record = make(run_id)
            path = self.project.root / self.project.run_file(run_id)
            try:
                if self.project.disk.create(path, record.dump()):
                    self.project.disk.make_folder(self._marks)
                    self.project.disk.mark(self._marks / run_id)
                    return record
            except BaseException:
                self._take_back(record)
                raise
        raise InvalidInputError(f"no free run id was found for {name!r}. Nothing was run.")

    def _take_back(self, record: RunRecord) -> None:
        """Remove the record of a run that could not begin: it would say "running" for ever."""
        path = self.project.root / self.project.run_file(record.run_id)
        # The error that led here is what the user must see.
        with contextlib.suppress(OSError):
            if path.read_bytes() == record.dump():
                self.project.disk.remove(path)
                self.project.disk.remove(self._marks / record.run_id)

    def end(self, record: RunRecord) -> None:
        """Write the record for the last time, read-only."""
        path = self.project.root / self.project.run_file(record.run_id)
        self.project.disk.replace(path, record.dump(), mode=FROZEN_MODE)
        self.project.disk.remove(self._marks / record.run_id)

    @property
    def _marks(self) -> Path:
        # One empty file for each run that has not ended: to find them without reading all records.
        return self.project.root / CACHE / "running"

    def under_way(self) -> list[str]:
        """Return the runs that have not ended, in whichever process of this project folder."""
        if not os.path.isdir(self._marks):
            return []
        found = []
        for run_id in sorted(os.listdir(self._marks)):
            with contextlib.suppress(FormatError, NotFoundError, StorageError):
                if self.load(run_id).status == "running":
                    found.append(run_id)
        return found

    def sweep(self) -> None:
        """Write down as lost what runs no more: killed, or the machine went down.

        A run of another machine is never touched, nor a record that was edited.
        """
        if not self._marks.is_dir():
            return
        for run_id in sorted(one.name for one in self._marks.iterdir()):
            with contextlib.suppress(FormatError, NotFoundError, StorageError):
                path = self.project.run_file(run_id)
                record = parse_run(self.project.read(path), path, run_id)
                if record.status != "running":
                    self.project.disk.remove(self._marks / run_id)
                elif not record.problem and process_is_gone(record.extra.get("process")):
                    extra = {key: one for key, one in record.extra.items() if key != "process"}
                    self.end(replace(record, status="lost", extra=extra))
