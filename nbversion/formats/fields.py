"""Typed access to the fields of a parsed file, so that a wrong type is one clear error.

Every getter names the file and the key, and gives the default where the key is missing or null: the
lesson's own minimal files lack most keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbversion.errors import FormatError, quoted
from nbversion.formats.json_text import broken

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Fields:
    """The mapping of one record in one file.

    Parameters
    ----------
    where : str
        The file's path, and the record within it, for messages.
    values : dict
    """

    where: str
    values: dict[str, Any]

    def error(self, key: str, want: str) -> FormatError:
        """Make the error for a field that is not `want`."""
        got = "nothing" if key not in self.values else quoted(self.values[key])
        return broken(self.where, f"{key!r} must be {want}, got {got}")

    def required(self, key: str) -> str:
        """Return the text at `key`; it must be there and not empty."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.error(key, "a text")
        return value

    def text(self, key: str, default: str = "") -> str:
        """Return the text at `key`."""
        return self.optional(key) or default

    def optional(self, key: str) -> str | None:
        """Return the text at `key`, or None."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, "a text")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """Return the whole number at `key`, zero or more."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(key, "a whole number, zero or more")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """Return the mapping at `key`."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(key, "a mapping")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the list of texts at `key`."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "a list of texts")
        return tuple(value)

    def records(self, key: str) -> list[Fields]:
        """Return the list of mappings at `key`, each with its place in the message."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "a list of records")
        return [Fields(f"{self.where} ({key}[{at}])", item) for at, item in enumerate(value)]

    def check_schema(self) -> None:
        """Refuse a file that a newer nbversion wrote."""
        version = self.integer("schema_version", SCHEMA_VERSION)
        if version > SCHEMA_VERSION:
            raise FormatError(
                f"{self.where} was written by a newer nbversion (schema_version {version}, this one "
                f"knows {SCHEMA_VERSION}). It was left untouched; upgrade with: pip install -U "
                "nbversion"
            )
