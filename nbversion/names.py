"""Names, versions, run ids and references: the words by which a user calls a thing.

Pure text. What a reference stands for in a given project is decided in `nbversion.store.catalog`.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import total_ordering
from typing import TYPE_CHECKING, Literal

from nbversion.errors import InvalidInputError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    import semver

NAME_RULE = "a lower-case letter or digit, then up to 63 of a-z 0-9 _ -"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# Nine digits: beyond any honest version, and safe for every integer parser that reads the files.
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_DATA_VERSION = re.compile(rf"v{_NUMBER}\.{_NUMBER}(?:\.{_NUMBER})?")
_MODEL_VERSION = re.compile(rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-(?:dev|rc)\.{_NUMBER})?")
# Wider than the ids we make: a record that somebody wrote by hand keeps its own id.
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{3,127}")
_MADE_RUN_ID = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[a-z0-9][a-z0-9_-]{0,63}-[0-9]{3,}-[0-9a-f]{4}"
)
# Names that Windows cannot hold as a folder, whatever the extension.
_RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{dev}{n}" for dev in ("com", "lpt") for n in range(10)
}


class Stage(StrEnum):
    """Where a model version stands."""

    DEV = "dev"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


def parse_stage(text: str) -> Stage:
    """Return the stage called `text`.

    Raises
    ------
    InvalidInputError
        When there is no such stage; the message lists the four.
    """
    try:
        return Stage(text)
    except ValueError:
        allowed = ", ".join(Stage)
        raise InvalidInputError(
            f"{quoted(text)} is no stage; the stages are {allowed}. Nothing was changed."
        ) from None


def check_name(text: str, what: str) -> str:
    """Return `text` when it is a legal name of a data set, a model or a run.

    Parameters
    ----------
    text : str
    what : str
        What is being named, for the message: "data set", "model", "run".

    Raises
    ------
    InvalidInputError
        When it is not a legal name.
    """
    if not _NAME.fullmatch(text) or text in _RESERVED:
        hint = f" Try {fit_name(text)!r}." if text and text not in _RESERVED else ""
        raise InvalidInputError(
            f"{quoted(text)} is no name for a {what}: it must be {NAME_RULE}, and no device name."
            f"{hint} Nothing was written."
        )
    return text


def fit_name(text: str) -> str:
    """Make the nearest legal name of `text`, as ``%snapshot`` does from a path's stem.

    Examples
    --------
    >>> fit_name("Müller Iris (2024)")
    'muller_iris_2024'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    fitted = re.sub(r"[^a-z0-9_-]+", "_", plain).strip("_-")[:64].rstrip("_-")
    return fitted if fitted and fitted not in _RESERVED else f"data_{fitted}".rstrip("_")


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version as it was written, ordered as SemVer.

    ``v0.1`` and ``v0.1.0`` compare and hash equal: they are the same version.

    Parameters
    ----------
    text : str
        With the leading ``v``.
    """

    text: str

    @property
    def semver(self) -> semver.Version:
        """The version as the `semver` library knows it, missing parts read as 0."""
        core, dash, tail = self.text[1:].partition("-")
        if core.count(".") == 1:
            core += ".0"
        import semver  # noqa: PLC0415  # 20-60 ms that loading the extension must not cost

        return semver.Version.parse(core + dash + tail)

    @property
    def is_release(self) -> bool:
        """Whether it is tagged, that is: neither a ``-dev.N`` nor an ``-rc.N``."""
        return "-" not in self.text

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self.semver == other.semver

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self.semver < other.semver

    def __hash__(self) -> int:
        return hash(str(self.semver))


def data_version(text: str) -> Version:
    """Parse the version of a data set: ``vX.Y`` or ``vX.Y.Z``.

    Raises
    ------
    InvalidInputError
        When it is written in any other way.
    """
    if not _DATA_VERSION.fullmatch(text):
        raise InvalidInputError(
            f"{quoted(text)} is no version of a data set: write vX.Y or vX.Y.Z without leading zeros, "
            "for instance v0.1. Nothing was written."
        )
    return Version(text)


def model_version(text: str) -> Version:
    """Parse the version of a model: ``vX.Y.Z``, ``vX.Y.Z-dev.N`` or ``vX.Y.Z-rc.N``.

    Raises
    ------
    InvalidInputError
        When it is written in any other way.
    """
    if not _MODEL_VERSION.fullmatch(text):
        raise InvalidInputError(
            f"{quoted(text)} is no version of a model: write vX.Y.Z, or vX.Y.Z-dev.N or vX.Y.Z-rc.N for "
            "a pre-release, without leading zeros. Nothing was written."
        )
    return Version(text)


def next_data_version(used: Iterable[Version]) -> Version:
    """Return the version after the newest of `used`: its last part raised, or ``v0.1``."""
    newest = max(used, default=None)
    if newest is None:
        return Version("v0.1")
    head, _, last = newest.text.rpartition(".")
    return data_version(f"{head}.{int(last) + 1}")


def next_dev_version(used: Iterable[Version]) -> Version:
    """Return the ``-dev.N`` that the next untagged registration gets.

    Its base is the minor after the newest release in `used`; N counts up within that base.
    """
    taken = list(used)
    newest = max((version.semver for version in taken if version.is_release), default=None)
    base = newest.bump_minor() if newest is not None else Version("v0.1.0").semver
    numbers = [
        int(str(version.semver.prerelease).partition(".")[2])
        for version in taken
        if str(version.semver.prerelease).startswith("dev.")
        and version.semver.finalize_version() == base
    ]
    return model_version(f"v{base}-dev.{max(numbers, default=0) + 1}")


def new_run_id(name: str, *, now: datetime, used: Iterable[str]) -> str:
    """Make a run id ``<YYYY-MM-DD>-<name>-<NNN>-<4 hex>``.

    The random tail keeps two machines, or two branches, from making the same id on one day.

    Parameters
    ----------
    name : str
        A legal run name.
    now : datetime
        Aware; the date is taken in UTC.
    used : iterable of str
        Run ids that exist; NNN is one more than the largest for this name and date.
    """
    prefix = f"{now.astimezone(UTC):%Y-%m-%d}-{name}-"
    numbers = [
        int(match.group(1))
        for run_id in used
        if run_id.startswith(prefix)
        and (match := re.match(r"([0-9]{3,})-[0-9a-f]{4}$", run_id[len(prefix) :]))
    ]
    return f"{prefix}{max(numbers, default=0) + 1:03d}-{secrets.token_hex(2)}"


def is_model_version(text: str) -> bool:
    """Whether `text` is written as the version of a model is."""
    return bool(_MODEL_VERSION.fullmatch(text))


def is_made_run_id(text: str) -> bool:
    """Whether `text` has the form that `new_run_id` makes."""
    return bool(_MADE_RUN_ID.fullmatch(text))


def is_run_id(text: str) -> bool:
    """Whether `text` can be a run id, and so the stem of a file name in ``runs/``."""
    return bool(_RUN_ID.fullmatch(text)) and ".." not in text


ReferenceKind = Literal["data", "model", "run", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One way to read what a user wrote.

    Parameters
    ----------
    kind : {"data", "model", "run", "file"}
    name : str
        The data set's or the model's name, the run id or its prefix, or the path.
    selector : str
        A version, a stage, ``latest``; empty when none was written.
    explicit : bool
        Whether the kind was written in front.
    """

    kind: ReferenceKind
    name: str
    selector: str = ""
    explicit: bool = False


def parse_reference(text: str) -> list[Reference]:
    """Return every reading of `text`, in no order of preference.

    Raises
    ------
    InvalidInputError
        When no reading fits the grammar at all.
    """
    head, colon, rest = text.partition(":")
    if colon and head in ("data", "model", "run", "file") and rest:
        readings = [
            Reference(kind=one.kind, name=one.name, selector=one.selector, explicit=True)
            for one in _readings(rest)
            if one.kind == head
        ]
    else:
        readings = _readings(text)
    if not readings:
        raise InvalidInputError(
            f"{quoted(text)} is no reference. Write iris_v0.1 or iris@latest for data, iris_clf@v0.2.0 "
            "or iris_clf@production for a model, a run id, or the path of a file."
        )
    return readings


def _readings(text: str) -> list[Reference]:
    found: list[Reference] = []
    name, at, selector = text.partition("@")
    if at and _NAME.fullmatch(name):
        if selector == "latest" or _DATA_VERSION.fullmatch(selector):
            found.append(Reference(kind="data", name=name, selector=selector))
        if selector == "latest" or selector in list(Stage) or _MODEL_VERSION.fullmatch(selector):
            found.append(Reference(kind="model", name=name, selector=selector))
    elif not at:
        stem, mark, version = text.rpartition("_v")
        if mark and _NAME.fullmatch(stem) and _DATA_VERSION.fullmatch(f"v{version}"):
            found.append(Reference(kind="data", name=stem, selector=f"v{version}"))
        if _NAME.fullmatch(text):
            found.append(Reference(kind="data", name=text))
            found.append(Reference(kind="model", name=text))
        if _RUN_ID.fullmatch(text):
            found.append(Reference(kind="run", name=text))
    if text and "\0" not in text:
        found.append(Reference(kind="file", name=text))
    return found


def data_ref(name: str, version: str) -> str:
    """Return the reference of a data set's version: ``iris_v0.1``, as in the lesson."""
    return f"{name}_{version}"


def model_ref(name: str, version: str) -> str:
    """Return the reference of a model's version: ``iris_clf@v0.2.0``."""
    return f"{name}@{version}"
