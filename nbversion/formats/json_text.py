"""Canonical JSON: strict to read, one record a line to write.

Laws: ``parse_json(dump_json(x)) == x``; equal values dump to equal bytes; what another JSON reader
could read differently (duplicate keys, NaN, lone surrogates) is refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

from nbversion.errors import FormatError, InvalidInputError, quoted
from nbversion.hashing import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_DEPTH = 64
# A manifest of a million files is about 200 MB; a hostile file must not take the machine's memory.
MAX_BYTES = 1 << 30
# C1 controls, U+2028/9 and the byte order mark are legal in JSON but not in every YAML or terminal.
RAW_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode_number(value: float) -> float | str:
    """Return `value`, a non-finite float as the text that our files use for it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def decode_number(value: object) -> Any:
    """Undo `encode_number`; anything else is given back as it is."""
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


def encode_floats(value: Any) -> Any:
    """Apply `encode_number` at every depth."""
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, dict):
        return {key: encode_floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode_floats(item) for item in value]
    return value


def dump_inline(value: Any) -> str:
    """Return `value` on one line, keys in their own order, non-ASCII text unescaped.

    Raises
    ------
    InvalidInputError
        For a value that JSON has no form for, or text with a lone surrogate.
    """
    try:
        text = json.dumps(encode_floats(value), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise not_writable(exc) from exc
    return escape_controls(text)


def escape_controls(text: str) -> str:
    """Escape in a JSON text what not every reader takes raw."""
    if text.isascii() and "\x7f" not in text:
        return text
    return RAW_CONTROLS.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def canonical_json(value: Any) -> bytes:
    """Return the bytes that digests are taken over: sorted keys, no spaces, UTF-8 unescaped.

    Raises
    ------
    InvalidInputError
        For a value that JSON has no form for, or text with a lone surrogate.
    """
    try:
        return json.dumps(
            encode_floats(value),
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise not_writable(exc) from exc


def record_digest(record: Mapping[str, Any]) -> str:
    """Return the digest that `record` should carry: over all of it but ``record_digest`` itself."""
    return digest_of(
        canonical_json({key: value for key, value in record.items() if key != "record_digest"})
    )


def ordered(record: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return `record` with `keys` first in that order and further ones sorted after them."""
    rest = sorted(key for key in record if key not in keys)
    return {key: record[key] for key in (*(key for key in keys if key in record), *rest)}


def dump_json(record: Mapping[str, Any]) -> bytes:
    """Return the file's text: lists of records one record a line, everything else in line.

    Raises
    ------
    InvalidInputError
        For what `parse_json` would not read back.
    """
    check_depth(record)
    parts: list[str] = []
    after_records = False
    for key, value in record.items():
        if parts:
            parts.append(",\n" if after_records else ", ")
        after_records = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
        parts.append(f"{dump_inline(key)}: ")
        if after_records:
            parts.append("[\n" + ",\n".join(dump_inline(item) for item in value) + "\n]")
        else:
            parts.append(dump_inline(value))
    return ("{" + "".join(parts) + "}\n").encode()


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object strictly.

    Parameters
    ----------
    data : bytes
    where : str
        The file's path, for the message.

    Raises
    ------
    FormatError
        When it is not UTF-8, not JSON, not an object, too large or too deep, or has a duplicate key,
        a NaN, a number beyond a float's range or a lone surrogate.
    """
    if len(data) > MAX_BYTES:
        raise broken(where, f"it is larger than {MAX_BYTES} bytes")
    if not data.strip(b" \t\r\n\0"):
        raise broken(where, "it is empty" if not data.strip() else "it holds only zero bytes")
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=finite,
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise broken(where, "it is nested too deep") from None
    except ValueError as exc:
        raise broken(where, f"it is not valid JSON ({exc})") from exc
    if not isinstance(value, dict):
        raise broken(where, "it is not a JSON object")
    if depth(value) > MAX_DEPTH:
        raise broken(where, "it is nested too deep")
    return value


def broken(where: str, why: str) -> FormatError:
    """Make the error for a file that is not what its format says."""
    return FormatError(
        f"{where} cannot be read: {why}. It was left untouched; restore it from git or a copy, or "
        "mend it by hand."
    )


def not_writable(why: object) -> InvalidInputError:
    """Make the error for a value that our files have no form for."""
    return InvalidInputError(f"cannot be written as JSON: {why}. Nothing was written.")


def finite(text: str) -> float:
    """Return the float that `text` writes; what would turn into an infinity is refused."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def check_depth(value: Any) -> None:
    """Refuse to write what would be refused on reading."""
    if depth(value) > MAX_DEPTH:
        raise not_writable("it is nested too deep")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {quoted(twice)} stands twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write it as the text {name!r}")


def depth(value: Any) -> int:
    """Return how many lists and mappings lie within one another, counting no further than needed."""
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [
            item
            for one in level
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, (dict, list, tuple))
        ]
    return deepest
