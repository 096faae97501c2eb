"""The list of files in a manifest: a million of them must be written and read in seconds.

Laws: what is written here is what `dump_json` writes, and what is read here is what `parse_json`
reads; only the way there is shorter. The reader takes nothing but the very form that the writer
gives, and leaves everything else to the general parser, which is four times slower.
"""

from __future__ import annotations

import hashlib
import json
import re
from itertools import islice
from json.encoder import encode_basestring as quoted
from typing import TYPE_CHECKING, NamedTuple

from nbversion.errors import InvalidInputError
from nbversion.formats.json_text import canonical_json, escape_controls, not_writable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

# How many records are put together at a time: the text of a million would take 170 MB at once.
_CHUNK = 4096
_HEAD = re.compile(
    r'\{"(?:dataset|model)": "[a-z0-9_-]{1,64}", "version": "[a-z0-9.-]{1,64}", "files": \['
)
_END = "\n],\n"
_BETWEEN = "},\n{"
_PIECE = 1 << 20
_HEX = re.compile(r"[0-9a-f]*")
# A part of a path that is empty, one dot or two; NUL stands between the paths.
_LEAVING = re.compile(r"(?:\A|[\0/])\.{0,2}(?:\Z|[\0/])")


class FrozenFile(NamedTuple):
    """One file of a version.

    Parameters
    ----------
    path : str
        Below the version's folder, with ``/``.
    size_bytes : int
    sha256 : str
        Bare, lower-case, 64 hex digits.
    """

    path: str
    size_bytes: int
    sha256: str


def check_below(path: str) -> str:
    """Return `path` when it is a plain relative path that stays where it is joined to.

    Names are opaque: nothing is decoded or normalised.

    Raises
    ------
    InvalidInputError
        For an absolute path, an empty part, ``.``, ``..``, a backslash or a NUL.
    """
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidInputError(f"the path {path!r} is not a plain relative path with '/'")
    return path


def sorted_files(files: Iterable[FrozenFile]) -> tuple[FrozenFile, ...]:
    """Return the files in the order of a manifest: by the path's UTF-8 bytes."""
    # UTF-8 keeps the order of code points, and comparing texts spares a million encoded keys.
    return tuple(sorted(files))


def dump_files(files: Sequence[FrozenFile], folder: str) -> Iterator[bytes]:
    """Yield the text between the brackets of ``"files": []``, one record a line.

    Raises
    ------
    InvalidInputError
        For a path that is not UTF-8.
    """
    separator = "\n"
    for chunk in _chunks(files):
        yield _encoded(separator + _lines(chunk, folder))
        separator = ",\n"
    if files:
        yield b"\n"


def _lines(files: Iterable[FrozenFile], folder: str) -> str:
    return escape_controls(
        ",\n".join(
            [
                f'{{"path": {quoted(f"{folder}/{path}")}, "size_bytes": {size}, "sha256": "{sha256}"}}'
                for path, size, sha256 in files
            ]
        )
    )


def digest_with_files(record: Mapping[str, Any], files: Iterable[FrozenFile], folder: str) -> str:
    """Return the digest of a record whose ``files`` are given apart, in the order of the text.

    The same as `record_digest` of the record with them; ``files`` and ``record_digest`` of `record`
    itself are passed over.
    """
    total = hashlib.sha256()
    separator = "{"
    for key in sorted({*record, "files"} - {"record_digest"}):
        total.update(f"{separator}{quoted(key)}:".encode())
        separator = ","
        if key == "files":
            total.update(b"[")
            for part in _canonical_files(files, folder):
                total.update(part)
            total.update(b"]")
        else:
            total.update(canonical_json(record[key]))
    total.update(b"}")
    return "sha256:" + total.hexdigest()


def _canonical_files(files: Iterable[FrozenFile], folder: str) -> Iterator[bytes]:
    prefix = f"{folder}/"
    separator = ""
    for chunk in _chunks(files):
        lines = ",".join(
            f'{{"path":{quoted(prefix + path)},"sha256":"{sha256}","size_bytes":{size}}}'
            for path, size, sha256 in chunk
        )
        yield _encoded(separator + lines)
        separator = ","


def split_text(text: str, folder: str) -> tuple[str, list[FrozenFile]] | None:
    """Split a manifest into the rest of it, with no files, and its files in their order.

    None unless the files stand there exactly as `dump_files` writes them, below `folder`.
    """
    head = _HEAD.match(text)
    end = text.find(_END, head.end()) if head else -1
    if head is None or end < 0 or text[head.end()] != "\n":
        return None
    files: list[FrozenFile] = []
    at = head.end() + 1
    while at < end:
        # The last record of this piece, which ends with the text or before a comma.
        cut = end if end - at <= _PIECE else text.rfind(_BETWEEN, at, at + _PIECE) + 1
        piece = text[at:cut]
        found = _read(piece, folder)
        # What reads the same and was written otherwise (a key twice, 1.0 for 1) is not ours.
        if not found or _lines(found, folder) != piece:
            return None
        files += found
        at = cut + len(_BETWEEN) - 2
    return f"{text[: head.end()]}],\n{text[end + len(_END) :]}", files


def _read(piece: str, folder: str) -> list[FrozenFile] | None:
    start = len(folder) + 1
    try:
        found = [
            FrozenFile(one["path"][start:], one["size_bytes"], one["sha256"])
            for one in json.loads(f"[{piece}]")
        ]
        digests = "".join([one.sha256 for one in found])
        paths = "\0".join([one.path for one in found])
        # A lone surrogate is no UTF-8.
        paths.encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    sound = (
        {type(one.size_bytes) for one in found} == {int}
        and {len(one.sha256) for one in found} == {64}
        and _HEX.fullmatch(digests)
        and min(one.size_bytes for one in found) >= 0
        and "\\" not in paths
        and paths.count("\0") == len(found) - 1
        and not _LEAVING.search(paths)
    )
    return found if sound else None


def _chunks(files: Iterable[FrozenFile]) -> Iterator[list[FrozenFile]]:
    rest = iter(files)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise not_writable(exc) from exc
