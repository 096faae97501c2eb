"""Where a project is, what lies where in it, and what the first write makes."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbversion import names
from nbversion.capture.git import git_identity, git_root
from nbversion.disk import Disk, is_leftover
from nbversion.errors import InvalidInputError, NotFoundError, StorageError
from nbversion.formats.json_text import MAX_BYTES, broken
from nbversion.formats.settings import SETTINGS, TEMPLATE, Settings, parse_settings
from nbversion.store.parallel import SILENT, Progress
from nbversion.store.sources import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable

SNAPSHOTS = "data/snapshots"
MODELS = "models"
RUNS = "runs"
LOCKS = "env/locks"
PRESENT_LOCK = "env/requirements.lock"
QUARANTINE = ".quarantine"
CACHE = ".nbversion"
# What the tool itself writes: never a reason to call the git tree dirty.
OURS = (
    SETTINGS,
    f"{SNAPSHOTS}/",
    f"{MODELS}/.gitignore",
    f"{MODELS}/.gitattributes",
    f"{MODELS}/.nbv-*",
    f"{MODELS}/*/registry.json",
    f"{MODELS}/*/.nbv-*",
    f"{MODELS}/*/v[0-9]*.[0-9]*.[0-9]*",
    f"{RUNS}/.gitignore",
    f"{RUNS}/.gitattributes",
    f"{RUNS}/.nbv-*",
    f"{RUNS}/[0-9]*-*-*",
    f"{LOCKS}/",
    PRESENT_LOCK,
    "env/.gitattributes",
    f"{QUARANTINE}/",
    f"{CACHE}/",
)

_NOTE = "# Written by nbversion: frozen bytes stay out of git, the text that names them goes in.\n"
_EXACT = "# Written by nbversion: these texts are hashed, so git must keep them byte for byte.\n"
# Inside our own folders, so that a .gitignore of the user's is never touched.
_GIT_FILES = {
    f"{SNAPSHOTS}/.gitignore": f"{_NOTE}.nbv-*\n/*_v[0-9]*/**\n!/*/manifest.json\n",
    f"{SNAPSHOTS}/.gitattributes": f"{_EXACT}manifest.json -text\n",
    f"{MODELS}/.gitignore": (
        f"{_NOTE}.nbv-*\n/*/v[0-9]*.[0-9]*.[0-9]*/**\n!/*/*/manifest.json\n!/*/*/metrics.json\n!/*/*/params.json\n"
        "!/*/*/model_card.md\n"
    ),
    f"{MODELS}/.gitattributes": f"{_EXACT}*.json -text\n",
    f"{RUNS}/.gitignore": f"{_NOTE}.nbv-*\n/[0-9]*-*-*/artifacts/\n",
    f"{RUNS}/.gitattributes": f"{_EXACT}*.yaml -text\n*.json -text\n*.jsonl -text\n",
    "env/.gitattributes": f"{_EXACT}*.lock -text\n*.toml -text\n",
    f"{CACHE}/.gitignore": "*\n",
}


def utc_now() -> datetime:
    """Return the present, aware."""
    return datetime.now(UTC)


def find_root(start: Path) -> Path:
    """Return the root of the project that `start` lies in.

    The nearest folder upward with an nbversion.yaml, else the git root, else `start`; never the
    home folder itself.

    Raises
    ------
    InvalidInputError
        When that would be the home folder or the file system's root.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / SETTINGS).is_file() and not _is_too_wide(folder):
            return folder
    top = git_root(start)
    if top is not None and not _is_too_wide(top):
        return top
    if _is_too_wide(start):
        raise InvalidInputError(
            f"{start} cannot be a project: it holds everything else too. Go to a folder of its own "
            "first, or make one with: nbversion init FOLDER"
        )
    return start


def _is_too_wide(folder: Path) -> bool:
    try:
        home = Path.home().resolve()
    except RuntimeError:
        home = None
    return folder == home or folder == Path(folder.anchor)


@dataclass(slots=True, kw_only=True)
class ProjectFolder:
    """A project's root and what is needed to work in it.

    Parameters
    ----------
    root : Path
        Absolute, with links resolved.
    disk : Disk
    clock : callable
        Gives the present as an aware datetime.
    progress : Progress
        What is told of long work.
    """

    root: Path
    disk: Disk = field(default_factory=Disk)
    clock: Callable[[], datetime] = utc_now
    progress: Progress = SILENT
    _settings: Settings | None = None
    _owner: str | None = None
    _prepared: bool = False

    @property
    def settings(self) -> Settings:
        """What nbversion.yaml says, read once."""
        if self._settings is None:
            # A link to settings that several projects share is the user's own choice.
            path = Path(os.path.realpath(self.root / SETTINGS))
            try:
                self._settings = parse_settings(_whole(path, SETTINGS), SETTINGS)
            except NotFoundError:
                self._settings = Settings()
        return self._settings

    @property
    def owner(self) -> str:
        """Who acts: the setting, git's user.name, or the login name."""
        if self._owner is None:
            self._owner = self.settings.owner or git_identity(self.root) or _login()
        return self._owner

    def now(self) -> str:
        """Return the present as the files write it: ISO 8601, UTC, whole seconds."""
        return f"{self.clock().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def snapshot_folder(self, name: str, version: str) -> str:
        """Return the folder of a data set's version, relative to the root."""
        names.check_name(name, "data set")
        return f"{SNAPSHOTS}/{names.data_ref(name, str(names.data_version(version)))}"

    def model_folder(self, name: str, version: str = "") -> str:
        """Return the folder of a model, or of one version, relative to the root."""
        names.check_name(name, "model")
        return f"{MODELS}/{name}/{names.model_version(version)}" if version else f"{MODELS}/{name}"

    def run_file(self, run_id: str) -> str:
        """Return the record of a run, relative to the root."""
        if not names.is_run_id(run_id):
            raise InvalidInputError(f"{run_id!r} is no run id. Nothing was written.")
        return f"{RUNS}/{run_id}.yaml"

    def relative(self, path: Path) -> str | None:
        """Return `path` relative to the root with ``/``, or None when it lies elsewhere.

        Links on the way to it are followed, a link that it is itself is not.
        """
        plain = Path(os.path.abspath(path))
        # A folder of ours may be a link to another disk: then only the plain path is below.
        for one in (Path(os.path.realpath(plain.parent), plain.name), plain):
            if one.is_relative_to(self.root):
                return one.relative_to(self.root).as_posix()
        return None

    def link_above(self, folder: str) -> str | None:
        """Return the first part of a version's path that is a symbolic link, or None.

        What lies behind a link is not below the root: it can be changed or swapped from elsewhere.
        The store's own folder may be one, for a larger disk say: whoever made it meant it.
        """
        parts = folder.split("/")
        first = len(SNAPSHOTS.split("/")) + 1 if folder.startswith(f"{SNAPSHOTS}/") else 2
        for end in range(first, len(parts) + 1):
            part = "/".join(parts[:end])
            if os.path.islink(self.root / part):
                return part
        return None

    def describe(self, path: Path) -> str:
        """Return `path` as records name it: relative to the root where it lies below it."""
        return self.relative(path) or str(path)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file of ours.

        Raises
        ------
        NotFoundError
            When it is not there.
        StorageError
            When it cannot be read.
        """
        return _whole(self.root / path, path)

    def children(self, folder: str) -> list[Path]:
        """Return what lies in a folder of ours, by name, without what is still being written.

        Raises
        ------
        StorageError
            When it cannot be read; a folder that is not there is empty.
        """
        try:
            found = list((self.root / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise StorageError(f"{folder} cannot be read: {exc.strerror}.") from exc
        return sorted(one for one in found if not is_leftover(one.name))

    def prepare(self) -> None:
        """Make what the first write makes: the settings file and git's files in our folders."""
        if self._prepared:
            return
        if not self.root.is_dir():
            raise StorageError(f"the project folder {self.root} is gone. Nothing was written.")
        if not (self.root / SETTINGS).exists():
            self.disk.create(self.root / SETTINGS, TEMPLATE)
        for path, text in _GIT_FILES.items():
            if not (self.root / path).exists():
                self.disk.create(self.root / path, text.encode())
        self._prepared = True


def _whole(path: Path, name: str) -> bytes:
    """Return the bytes of a regular file of a size that a text can have."""
    try:
        with open_regular(path) as handle:
            size = os.fstat(handle.fileno()).st_size
            if size > MAX_BYTES:
                raise broken(name, f"it is larger than {MAX_BYTES} bytes")
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{name} is not there (below {path.parent}).") from None
    except OSError as exc:
        if isinstance(exc, StorageError):
            raise
        why = "it is a symbolic link" if exc.errno == errno.ELOOP else exc.strerror
        raise StorageError(f"{name} cannot be read: {why}.") from exc


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a data set or a model."""
    try:
        names.check_name(text, "model")
    except InvalidInputError:
        return False
    return True


def _login() -> str:
    import getpass  # noqa: PLC0415  # only where neither a setting nor git names anybody

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
