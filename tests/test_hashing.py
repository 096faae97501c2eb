from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbversion.hashing import (
    BLOCK,
    blocks,
    digest_of,
    hash_stream,
    is_digest,
    is_hex_digest,
    tree_digest,
)

HEX = "0123456789abcdef" * 4
NO_HEX = [
    *("", HEX[:63], HEX + "0", HEX.upper(), f"{HEX}\n", f" {HEX[1:]}", "g" * 64, "１" * 64),
    *(None, 5, HEX.encode(), [HEX]),
]


def test_a_bare_digest_is_64_lower_case_hex_digits():
    assert is_hex_digest(HEX)
    assert not is_digest(HEX)


def test_a_named_digest_has_its_algorithm_in_front():
    assert is_digest(f"sha256:{HEX}")
    assert not is_hex_digest(f"sha256:{HEX}")


@pytest.mark.parametrize("text", NO_HEX)
def test_any_other_form_is_no_digest(text):
    assert not is_hex_digest(text)
    assert not is_digest(f"sha256:{text}" if isinstance(text, str) else text)


@pytest.mark.parametrize(
    "prefix", ["SHA256:", "sha-256:", "md5:", "sha256", "sha256: ", "x sha256:"]
)
def test_any_other_prefix_is_no_digest(prefix):
    assert not is_digest(prefix + HEX)


@given(st.binary(max_size=200))
def test_the_digest_of_bytes_is_their_sha256(data):
    assert digest_of(data) == "sha256:" + hashlib.sha256(data).hexdigest()
    assert is_digest(digest_of(data))


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_a_stream_is_hashed_whole_and_counted(size):
    data = bytes(range(251)) * (size // 251 + 1)
    stream = io.BytesIO(data[:size])
    assert hash_stream(stream) == (hashlib.sha256(data[:size]).hexdigest(), size)
    assert stream.read() == b""


def test_only_what_is_left_of_a_stream_is_hashed():
    stream = io.BytesIO(b"abcdef")
    stream.seek(4)
    assert hash_stream(stream) == (hashlib.sha256(b"ef").hexdigest(), 2)


class Trickle(io.RawIOBase):
    """Gives fewer bytes than asked for, as a pipe does."""

    def __init__(self, data):
        self.data = data

    def readinto(self, buffer):
        part, self.data = self.data[:3], self.data[3:]
        buffer[: len(part)] = part
        return len(part)


def test_short_reads_lose_nothing():
    assert hash_stream(Trickle(b"0123456789")) == (hashlib.sha256(b"0123456789").hexdigest(), 10)


def test_blocks_are_bounded():
    sizes = [len(block) for block in blocks(io.BytesIO(b"x" * (2 * BLOCK + 1)))]
    assert sizes == [BLOCK, BLOCK, 1]


def test_a_folders_digest_is_the_formula_of_the_contract():
    other = HEX[::-1]
    text = f"{other} 0 a/ü\0{HEX} 12 b\0".encode()
    expected = "sha256:" + hashlib.sha256(text).hexdigest()
    assert tree_digest([("b", 12, HEX), ("a/ü", 0, other)]) == expected
    assert tree_digest([]) == "sha256:" + hashlib.sha256(b"").hexdigest()


def test_files_are_sorted_by_the_bytes_of_their_path():
    # Sorted as UTF-16 the emoji would come first, sorted by part "a/b" before "a-b".
    paths = ["a-b", "a/b", "ä", "\ufffd", "\U0001f600"]
    text = "".join(f"{HEX} 1 {path}\0" for path in paths)
    given_order = [(path, 1, HEX) for path in reversed(paths)]
    assert tree_digest(given_order) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
