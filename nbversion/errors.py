"""Everything that can go wrong, in one tree.

::

    NbversionError
    ├── InvalidInputError(ValueError)   wrong use or bad input; nothing was written
    │   └── FormatError                 a file is not what its format says
    ├── NotFoundError(LookupError)      a name, version, run or file that is not there
    ├── ConflictError                   it exists already with other content
    │   └── LostRaceError               another writer was faster
    ├── IntegrityError                  bytes or a record do not match their digest
    ├── RefusedError                    a rule of the registry forbids it
    └── StorageError(OSError)           the disk or a remote could not do it

A message is one line: what failed, on which thing, expected against got, what was left
unchanged, what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class NbversionError(Exception):
    """Root of every error that nbversion raises on purpose.

    Parameters
    ----------
    message : str
        The whole sentence that a user reads.
    expected, got : str, optional
        The two values that disagree, for callers that want them apart.
    """

    kind: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 2

    def __init__(
        self, message: str, *, expected: str | None = None, got: str | None = None
    ) -> None:
        super().__init__(message)
        self.expected = expected
        self.got = got

    @property
    def message(self) -> str:
        """The sentence that a user reads."""
        return str(self.args[0])

    def _render_traceback_(self) -> list[str]:
        # IPython prints these lines instead of a traceback and still fails the cell; a subclass of
        # IPython's UsageError would print one, and a UsageError itself is missed by test runners.
        message = printable(self.message).replace("\n", "\\n")
        return [f"{type(self).__name__}: {message}"]


class InvalidInputError(NbversionError, ValueError):
    """Wrong use or bad input; raised before anything is written."""

    kind = "invalid-input"


class FormatError(InvalidInputError):
    """A file is not what its format says; it is named and left untouched."""

    kind = "format"


class NotFoundError(NbversionError, LookupError):
    """A data set, model, version, run, name or file that is not there."""

    kind = "not-found"


class ConflictError(NbversionError):
    """It exists already with other content; it was left as it is."""

    kind = "conflict"


class LostRaceError(ConflictError):
    """Another writer was faster; nothing of this one was written."""

    kind = "lost-race"
    exit_status = 3


class IntegrityError(NbversionError):
    """Bytes or a record do not match the digest that was recorded for them."""

    kind = "integrity"
    exit_status = 1


class RefusedError(NbversionError):
    """A rule of the registry forbids the change; nothing was changed."""

    kind = "refused"
    exit_status = 1


class StorageError(NbversionError, OSError):
    """The disk could not do what was asked."""

    kind = "storage"
    exit_status = 3

    def __str__(self) -> str:
        return self.message


def printable(text: str) -> str:
    """Return `text` with control characters escaped, so that a name cannot drive a terminal."""
    return "".join(
        char if char == "\n" or (char.isprintable()) else char.encode("unicode_escape").decode()
        for char in text
    )


def quoted(text: object, size: int = 80) -> str:
    """Return `text` in quotes for a message, cut where it is longer than anybody reads."""
    shown = repr(text if not isinstance(text, str) else text[: size + 1])
    return shown if len(shown) <= size + 2 else f"{shown[:size]}…"
