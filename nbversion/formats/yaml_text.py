"""The YAML of repro records: the same values for every YAML 1.1 and 1.2 reader.

Written as ``key: <flow>`` lines with every text quoted, so that nothing is left to a reader's rules
for plain scalars (``python: 3.10`` must stay "3.10"). Read by way of JSON where the text is ours
(0.05 ms a record against 3 ms for PyYAML in Python), else from the YAML event stream with rules of
our own: no tags, no anchors, no duplicate keys, no type that the two YAML versions disagree about.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nbversion.formats.json_text import (
    MAX_DEPTH,
    RAW_CONTROLS,
    broken,
    check_depth,
    depth,
    dump_inline,
    encode_floats,
    finite,
    not_writable,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


MAX_BYTES = 64 << 20
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# YAML 1.1 reads these words as booleans or null wherever they stand unquoted.
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_STRING_OR_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|([A-Za-z_][A-Za-z0-9_]*)(?=: )')
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):(?: (.+))?")
_ITEM = "  - "
# YAML pairs no surrogates as JSON does, and allows a key without "?" 1,024 characters.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_KEY = 1_000
# Whole lines; in a text of ours no value goes on over lines, so that none can look like one.
_COMMENT = re.compile(r"^(?:#.*)?\n", re.MULTILINE)


def dump_yaml(record: Mapping[str, Any]) -> bytes:
    """Return the file's text, one top-level key a line and lists of records one record a line.

    Raises
    ------
    InvalidInputError
        For what `parse_yaml` would not read back.
    """
    check_depth(record)
    if not record:
        return b"{}\n"
    lines: list[str] = []
    for key, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(_key(key, "\n") + ":")
            lines += [_ITEM + _flow(encode_floats(item)) for item in value]
        else:
            lines.append(_key(key, "\n") + ": " + _flow(encode_floats(value)))
    return ("\n".join(lines) + "\n").encode()


def _key(key: object, after_long: str) -> str:
    if not isinstance(key, str):
        raise not_writable(f"the key {key!r} is no text")
    plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _YAML_WORDS
    text = key if plain else dump_inline(key)
    return text if len(text) <= _LONG_KEY else f"? {text}{after_long}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (_key(key, " ") + ": " + _flow(item) for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, float):
        # Not repr(): a subclass, such as numpy.float64, has its own.
        text = float.__repr__(value)
        # YAML 1.1 reads 1e-05 as text: a float always has a point.
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    return dump_inline(value)


def parse_yaml(data: bytes, where: str, *, text_at: Collection[tuple[str, ...]]) -> dict[str, Any]:
    """Parse a YAML mapping strictly.

    Parameters
    ----------
    data : bytes
    where : str
        The file's path, for the message.
    text_at : collection of key paths
        Values there are text whatever they look like: ``python: 3.10`` gives ``"3.10"``.

    Raises
    ------
    FormatError
        When it is not UTF-8, not YAML, not a mapping, too large or too deep, or uses a tag, an
        anchor, a duplicate key or more than one document.
    """
    if len(data) > MAX_BYTES:
        raise broken(where, f"it is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise broken(where, f"it is not UTF-8 ({exc})") from exc
    if not text.strip("\0 \t\r\n"):
        raise broken(where, "it is empty")
    own = parse_own(text) or parse_own(_COMMENT.sub("", text))
    if own is not None and all(_is_text(own, path) for path in text_at):
        return own
    # PyYAML takes 60 ms to load, and only what somebody else wrote needs it.
    from nbversion.formats.yaml_events import parse_any  # noqa: PLC0415

    return parse_any(text, where, text_at)


def _is_text(record: dict[str, Any], path: tuple[str, ...]) -> bool:
    value: Any = record
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value is None or isinstance(value, str)


def parse_own(text: str) -> dict[str, Any] | None:
    """Read what `dump_yaml` wrote; None when the text is not of that form.

    Whatever this reads, the slow path reads equal.
    """
    if RAW_CONTROLS.search(text) or _SURROGATE.search(text):
        return None
    found: dict[str, Any] = {}
    items: list[Any] | None = None
    lists: list[list[Any]] = []
    try:
        for line in text.removesuffix("\n").split("\n"):
            if items is not None and line.startswith(_ITEM):
                items.append(_parse_flow(line[len(_ITEM) :]))
                continue
            match = _LINE.fullmatch(line)
            if match is None or match.group(1) in found:
                return None
            if match.group(2) is None:
                found[match.group(1)] = items = []
                lists.append(items)
            else:
                found[match.group(1)], items = _parse_flow(match.group(2)), None
    except (ValueError, RecursionError):
        return None
    # A key without a value is null in YAML, not an empty list.
    return found if all(lists) and depth(found) <= MAX_DEPTH else None


def _parse_flow(text: str) -> Any:
    quoted = _STRING_OR_KEY.sub(lambda m: f'"{m[1]}"' if m[1] else m[0], text)
    return _DECODER.decode(quoted)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(name)


# Made once: a record is some twenty flows, and 3.0 us a flow were 1.3 with a decoder kept.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=finite)
