"""YAML that somebody else wrote, from the event stream of PyYAML, with rules of our own.

No tags, no anchors, no duplicate keys, no second document, no type that YAML 1.1 and 1.2 disagree
about: what two readers could read differently is refused or stays a text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import yaml

from nbversion.errors import printable, quoted
from nbversion.formats.json_text import MAX_DEPTH, broken

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nbversion.errors import FormatError

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = {".nan", ".NaN", ".NAN"}


def parse_any(text: str, where: str, text_at: Collection[tuple[str, ...]]) -> dict[str, Any]:
    """Parse a YAML mapping strictly.

    Parameters
    ----------
    text, where : str
    text_at : collection of tuple of str
        Where a plain scalar is a text whatever it looks like.

    Raises
    ------
    FormatError
        When it is not YAML, not a mapping, too deep, or uses a tag, an anchor, a duplicate key or
        more than one document.
    """
    try:
        value = _Builder(where, text_at).build(yaml.parse(text, Loader=_loader()))
    except yaml.YAMLError as exc:
        raise broken(where, f"it is not valid YAML ({_visible(str(exc))})") from exc
    except RecursionError:
        raise broken(where, "it is nested too deep") from None
    if not isinstance(value, dict):
        raise broken(where, "it is not a mapping")
    return value


def _visible(text: str) -> str:
    """Return what is quoted of the file on one line: a tag's escapes can write any control."""
    return printable(" ".join(text.split()))[:300]


def _loader() -> type[yaml.SafeLoader]:
    return cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class _Builder:
    """Build plain values from YAML events, refusing what two readers could read differently."""

    def __init__(self, where: str, text_at: Collection[tuple[str, ...]]) -> None:
        self.where = where
        self.text_at = text_at

    def build(self, events: Iterator[yaml.Event]) -> Any:
        value, documents = None, 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.error(event, "it holds more than one document")
                value = self.node(next(events), events, ())
        return value

    def node(self, event: yaml.Event, events: Iterator[yaml.Event], path: tuple[str, ...]) -> Any:
        self.check(event)
        if len(path) >= MAX_DEPTH and not isinstance(event, yaml.ScalarEvent):
            raise self.error(event, "it is nested too deep")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            found = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                found.append(self.node(item, events, (*path, "")))
            return found
        mapping: dict[str, Any] = {}
        while not isinstance(item := next(events), yaml.MappingEndEvent):
            if not isinstance(item, yaml.ScalarEvent):
                raise self.error(item, "a key is not plain text")
            self.check(item)
            key = self.text(item)
            if key in mapping:
                raise self.error(item, f"the key {quoted(key)} stands twice")
            mapping[key] = self.node(next(events), events, (*path, key))
        return mapping

    def check(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.error(event, "anchors and aliases are not allowed")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise self.error(event, f"the tag {_visible(tag)} is not allowed")

    def scalar(self, event: yaml.ScalarEvent, path: tuple[str, ...]) -> Any:
        text = self.text(event)
        if event.style or event.tag == "!":
            return text
        if text in _NULL:
            return None
        if path in self.text_at:
            return text
        try:
            return _plain(text)
        except ValueError:
            raise self.error(event, "a number is too long") from None

    def text(self, event: yaml.ScalarEvent) -> str:
        text: str = event.value
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            # Python's own YAML reader lets them pass, libyaml does not.
            raise self.error(event, "half of a surrogate pair is no text")
        return text

    def error(self, event: yaml.Event, why: str) -> FormatError:
        mark = event.start_mark
        return broken(self.where, f"line {mark.line + 1}: {why}" if mark else why)


def _plain(text: str) -> Any:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if text in _NAN:
        return float("nan")
    if match := _INFINITE.fullmatch(text):
        return float(match.group(1) + "inf")
    return text
