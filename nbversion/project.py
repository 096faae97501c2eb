"""A project: the verbs, and the one place that puts the parts together."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion import names
from nbversion.capture.git import git_root
from nbversion.disk import Disk
from nbversion.errors import InvalidInputError, NotFoundError
from nbversion.formats.settings import SETTINGS
from nbversion.store.catalog import Catalog, DataFound, ModelFound, RunFound
from nbversion.store.folder import ProjectFolder, find_root, utc_now
from nbversion.store.snapshot_record import Request, Snapshot
from nbversion.store.sources import Source
from nbversion.store.status import Status

# What one verb alone needs is imported there: a command does one thing, and all of it takes 0.1 s.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from nbversion import stages, tables, tracking
    from nbversion.lineage import Lineage, Trace
    from nbversion.store.parallel import Progress
    from nbversion.store.restoring import Restored
    from nbversion.store.verification import Sums, Verification


class Project:
    """A project folder and everything that can be done in it.

    Every method gives back a record that shows itself in a notebook and as text, and has `to_json`.

    Parameters
    ----------
    root : Path or str
        The project's folder; it must exist.
    disk : Disk, optional
        What writes; for tests.
    clock : callable, optional
        Gives the present as an aware datetime; for tests.

    Examples
    --------
    >>> project = Project.find()  # doctest: +SKIP
    >>> project.snapshot("data/raw/iris.csv", name="iris")  # doctest: +SKIP
    """

    def __init__(
        self,
        root: Path | str,
        *,
        disk: Disk | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        path = Path(root).resolve()
        if not path.is_dir():
            raise NotFoundError(f"{path} is no folder.")
        self._folder = ProjectFolder(root=path, disk=disk or Disk(), clock=clock)
        self._catalog = Catalog(self._folder)

    @classmethod
    def find(cls, start: Path | str | None = None) -> Project:
        """Return the project that `start`, or the working directory, lies in.

        Raises
        ------
        NotFoundError
            When `start` is no folder.
        InvalidInputError
            When that would be the home folder.
        """
        folder = Path(start) if start is not None else Path.cwd()
        if not folder.is_dir():
            # A mistyped path must not mean the project around it.
            raise NotFoundError(f"{folder} is no folder.")
        return cls(find_root(folder))

    @classmethod
    def init(cls, path: Path | str = ".") -> Project:
        """Make the lesson's folder template at `path` and return the project.

        What is there already is left as it is.

        Raises
        ------
        InvalidInputError
            When that is the home folder or the file system's root.
        """
        root = Path(path)
        find_root(root)
        disk = Disk()
        disk.make_folder(root)
        project = cls(root, disk=disk)
        for name in ("data/raw", "data/snapshots", "models", "runs", "env", "code"):
            disk.make_folder(project.root / name)
        project._folder.prepare()  # its own instance
        return project

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._folder.root

    @property
    def catalog(self) -> Catalog:
        """Everything in the project, by kind."""
        return self._catalog

    def watch(self, progress: Progress) -> None:
        """Tell `progress` of all long work from now on."""
        self._folder.progress = progress

    def __repr__(self) -> str:
        return f"Project({str(self.root)!r})"

    # -- data ------------------------------------------------------------------------------

    def snapshot(
        self,
        source: Any,
        *,
        name: str | None = None,
        version: str | None = None,
        notes: str = "",
        tags: Sequence[str] = (),
        variable: str | None = None,
    ) -> Snapshot:
        """Freeze a file, a folder, a data frame or an array as a version of a data set.

        Parameters
        ----------
        source : path, data frame or array
        name : str, optional
            Default: the path's stem, or the variable's name, made to fit.
        version : str, optional
            ``vX.Y`` or ``vX.Y.Z``. Default: the next one, or the newest when its content is the
            same.
        notes : str
        tags : sequence of str
        variable : str, optional
            What the object is called in the notebook.

        Raises
        ------
        NotFoundError, InvalidInputError
            When the source cannot be frozen.
        ConflictError
            When the version exists with other content.
        StorageError
            When the disk could not do it, or the source kept changing.
        """
        request = Request(
            name=name or "", version=version, notes=notes, tags=tuple(tags), source=None
        )
        if isinstance(source, (str, os.PathLike)):
            return self._catalog.snapshots.freeze_path(Path(os.path.abspath(source)), request)
        called = name or (names.fit_name(variable) if variable else "")
        if not called:
            raise InvalidInputError("an object needs a name: give name=. Nothing was written.")
        from nbversion.capture import serializers

        file, data = serializers.encode_table(source, called)
        return self._catalog.snapshots.freeze(
            Source(items={file: data}),
            Request(
                name=called,
                version=version,
                notes=notes,
                tags=tuple(tags),
                source=f"variable:{variable}" if variable else "object",
                run_id=self._running_id(),
            ),
        )

    def data(self, reference: str) -> Path:
        """Return the read-only folder of a data set's version, every byte verified now.

        Inside a tracked run the record names it among the run's data.

        Raises
        ------
        NotFoundError, InvalidInputError
            When the reference stands for no data set.
        IntegrityError
            When its bytes do not hold.
        """
        from nbversion import tracking

        frozen = self._catalog.resolve_data(reference, here=Path.cwd())
        frozen.verify("It was not given out.")
        tracker = tracking.active_tracker()
        if tracker is not None and tracker.catalog.project.root == self.root:
            tracker.use_data(frozen)
        return frozen.path

    def restore(self, reference: str, path: Path | str, *, overwrite: bool = False) -> Restored:
        """Make a writable copy of a snapshot or a model version outside the store.

        Parameters
        ----------
        reference : str
        path : Path or str
            A version of one file becomes a file where `path` has its name or its suffix.
        overwrite : bool
            Put a snapshot in the place of what is at `path`, which is frozen first as the next
            version of the same data set.

        Raises
        ------
        ConflictError
            When `path` exists and is not to be overwritten.
        InvalidInputError
            When what is at `path` cannot be frozen as it is.
        IntegrityError
            When the frozen bytes do not hold.
        """
        from nbversion.store.restoring import restore, restore_over

        here = Path.cwd()
        found = self._catalog.resolve(reference, here=here)
        target = Path(os.path.abspath(here / path))
        if isinstance(found, DataFound):
            frozen = found.frozen
        elif isinstance(found, ModelFound):
            frozen = self._catalog.models.load(found.model, found.registered.version)
        else:
            raise InvalidInputError(
                f"{reference!r} is neither a data set nor a model. Nothing was restored."
            )
        return restore_over(self._catalog, frozen, target) if overwrite else restore(frozen, target)

    # -- registry --------------------------------------------------------------------------

    def promote(
        self,
        model: str,
        version: str,
        stage: str,
        *,
        as_version: str | None = None,
        comment: str | None = None,
        image: str | None = None,
        dry_run: bool = False,
    ) -> stages.Promotion:
        """Move a model version to a stage after verifying it; see `stages.promote`."""
        from nbversion import stages

        return stages.promote(
            self._catalog,
            model,
            version,
            stage,
            as_version=as_version,
            image=image,
            comment=comment,
            dry_run=dry_run,
        )

    def rollback(
        self,
        model: str,
        *,
        to: str | None = None,
        comment: str | None = None,
        dry_run: bool = False,
    ) -> stages.Rollback:
        """Put production back to what served before; see `stages.rollback`."""
        from nbversion import stages

        return stages.rollback(self._catalog, model, to=to, comment=comment, dry_run=dry_run)

    def comment(self, model: str, version: str, text: str) -> stages.Comment:
        """Add a comment to a model version; see `stages.comment_on`."""
        from nbversion import stages

        return stages.comment_on(self._catalog, model, version, text)

    def registry(self, model: str | None = None) -> tables.RegistryTable:
        """Return the registry of one model, or of all."""
        from nbversion import tables

        return tables.list_registry(self._catalog, model)

    def load_model(
        self, model: str, *, stage: str | None = None, version: str | None = None
    ) -> Any:
        """Load a model after hashing the very bytes that are then loaded.

        Parameters
        ----------
        model : str
        stage : str, optional
            Default: production.
        version : str, optional
            Instead of a stage.

        Raises
        ------
        NotFoundError
            When there is no such version, or no loader for its file.
        IntegrityError
            When the bytes, or the registry, do not hold. Nothing was loaded.
        """
        if stage is not None and version is not None:
            raise InvalidInputError("name a stage or a version, not both. Nothing was loaded.")
        selector = version or names.parse_stage(stage or "production")
        self._catalog.registrar.load_sound(model)
        found = self._catalog.resolve_model(f"{model}@{selector}", here=Path.cwd())
        frozen = self._catalog.models.load(model, found.registered.version)
        if found.registered.digest not in (None, frozen.manifest.digest):
            from nbversion import stages

            raise stages.not_as_registered(found.registered, frozen, "Nothing was loaded.")
        files = [one.path for one in frozen.manifest.files if one.path.startswith("model")]
        if len(files) != 1:
            raise NotFoundError(
                f"{frozen.manifest.reference} is a folder of {len(files)} files; take a verified "
                f"copy with: %restore {frozen.manifest.reference} PATH"
            )
        if frozen.manifest.problem:
            frozen.verify("Nothing was loaded.")
        from nbversion.capture import serializers

        kind = frozen.manifest.extra.get("serializer")
        return serializers.load(
            frozen.read(files[0]),
            serializer=kind if isinstance(kind, str) and kind != "file" else None,
            suffix=Path(files[0]).suffix,
            what=frozen.manifest.reference,
        )

    # -- looking ---------------------------------------------------------------------------

    def verify(
        self,
        *references: str,
        complete: bool = False,
        repair: bool = False,
        offered: Path | str | Iterable[Path | str] = (),
    ) -> Verification:
        """Hash again everything that the references stand on; without any, the whole project.

        Parameters
        ----------
        *references : str
        complete : bool
            Whether bytes that are only elsewhere, as in a fresh clone, count as well.
        repair : bool
            Move what is corrupt to the quarantine and put back a verified copy of that and of what
            is missing, where one is found. Without it nothing is written.
        offered : path or iterable of path
            Files and folders to look for copies in, beside the project. They are only read.

        Raises
        ------
        NotFoundError, InvalidInputError
            When a reference stands for nothing, or something that is offered is not there.
        """
        from nbversion.store.repairing import verify_and_repair
        from nbversion.store.verifier import Verifier

        here = Path.cwd()
        given = [offered] if isinstance(offered, (str, os.PathLike)) else offered
        paths = tuple(Path(os.path.abspath(here / one)) for one in given)
        if paths and not repair:
            raise InvalidInputError("copies are offered to a repair only: add repair (--repair).")
        found = tuple(self._catalog.resolve(one, here=here) for one in references)
        if repair:
            return verify_and_repair(
                self._catalog, references, found, offered=paths, complete=complete
            )
        return Verifier(self._catalog).run(references, found, complete=complete)

    def sums(self, *references: str) -> Sums:
        """Return the SHA-256 that each file should have; nothing is hashed.

        The text of the record is what ``shasum -a 256 -c`` reads.

        Raises
        ------
        IntegrityError
            When a text that states them was edited, is broken or is gone.
        """
        from nbversion.store.verifier import Verifier

        here = Path.cwd()
        found = tuple(self._catalog.resolve(one, here=here) for one in references)
        return Verifier(self._catalog).sums(references, found)

    def runs(self, name: str | None = None) -> tables.RunTable:
        """Return the runs, oldest first."""
        from nbversion import tables

        return tables.list_runs(self._catalog, name)

    def lineage(self, reference: str | None = None) -> Lineage:
        """Return what led to a thing and what came of it; without one, of the serving models."""
        from nbversion.lineage import LineageBuilder

        builder = LineageBuilder(self._catalog)
        if reference is None:
            return builder.everything()
        return builder.around(self._catalog.resolve(reference, here=Path.cwd()))

    def trace(self, reference: str) -> Trace:
        """Answer which data, code, params and environment produced a thing."""
        from nbversion.lineage import trace

        return trace(self._catalog, reference, here=Path.cwd())

    def status(self) -> Status:
        """Return where the project is and what is in it."""
        return Status(
            root=self.root,
            initialised=(self.root / SETTINGS).is_file(),
            git=git_root(self.root),
            snapshots=len(self._catalog.snapshots.references()),
            models=len(self._catalog.registrar.models()),
            runs=len(self._catalog.runs.ids()),
            running=tuple(self._catalog.runs.under_way()),
        )

    # -- runs ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def track(
        self,
        name: str,
        *,
        data: str | Iterable[str] = (),
        eval_data: str | Iterable[str] = (),
    ) -> Iterator[tracking.Tracker]:
        """Track a block of a script; inside a notebook ``%%trackrun`` captures more.

        Parameters
        ----------
        name : str
        data, eval_data : str or iterable of str
            References of data sets; each is verified first.

        Yields
        ------
        Tracker
            With `log_param`, `log_metric`, `log_artifact` and `log_figure`.
        """
        from nbversion import tracking

        here = Path.cwd()

        tracker = tracking.Tracker(
            catalog=self._catalog,
            request=tracking.RunRequest(
                name=name,
                data=tuple(self._catalog.resolve_data(one, here=here) for one in _listed(data)),
                eval_data=tuple(
                    self._catalog.resolve_data(one, here=here) for one in _listed(eval_data)
                ),
            ),
            code=tracking.CodeFacts(source=tracking.script_source()),
        )
        tracking.refuse_nested()
        tracker.begin()
        results = tracking.Results()
        try:
            with tracking.activated(tracker):
                yield tracker
        except BaseException as exc:
            if not (isinstance(exc, SystemExit) and exc.code in (None, 0)):
                results.error = exc
                results.status = tracking.status_of(exc)
            raise
        finally:
            tracking.remember(tracker.end(results))

    def _running_id(self) -> str | None:
        from nbversion import tracking

        tracker = tracking.active_tracker()
        ours = tracker is not None and tracker.catalog.project.root == self.root
        return tracker.record.run_id if tracker is not None and ours else None

    def run(self, run_id: str) -> tracking.Run:
        """Return a past run by its id or a unique prefix."""
        from nbversion import tracking

        found = self._catalog.resolve(f"run:{run_id}", here=Path.cwd())
        if isinstance(found, RunFound):
            return tracking.Run(record=found.record)
        raise NotFoundError(f"{run_id!r} is no run.")


def _listed(references: str | Iterable[str]) -> list[str]:
    return [references] if isinstance(references, str) else list(references)
