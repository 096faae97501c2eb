from __future__ import annotations

import pytest

from nbversion.errors import FormatError
from nbversion.formats.settings import DEFAULT_IGNORE, TEMPLATE, Settings, parse_settings


@pytest.mark.parametrize(
    "data",
    [
        TEMPLATE,
        b"",
        b"\n\n",
        b"# nothing yet\n  # at all\r\n",
        b"schema_version: 1\n",
        b"owner: ~\n",
    ],
)
def test_every_key_has_a_default(data):
    read = parse_settings(data, "nbversion.yaml")
    assert read == Settings() == Settings(owner=None, ignore=DEFAULT_IGNORE)


def test_the_templates_comments_are_settings_that_work():
    lines = [line.removeprefix("# ") for line in TEMPLATE.decode().splitlines()]
    data = "\n".join(line for line in lines if line.startswith(("schema", "owner:", "ignore:")))
    read = parse_settings(data.encode(), "nbversion.yaml")
    assert read == Settings(owner="Ada Lovelace", ignore=DEFAULT_IGNORE)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"owner: 007\n", Settings(owner="007")),
        (b"owner: 42\n", Settings(owner="42")),
        (b"owner: yes\n", Settings(owner="yes")),
        (b"ignore: []\n", Settings(ignore=())),
        (b"ignore:\n", Settings()),
        (b'ignore: ["*.tmp", x]\n', Settings(ignore=("*.tmp", "x"))),
        (b"policy: {later: true}\nowner: Ada\n", Settings(owner="Ada")),
    ],
)
def test_what_is_set_is_read_and_what_is_unknown_is_left_alone(data, expected):
    assert parse_settings(data, "nbversion.yaml") == expected


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"owner: [a]\n", "'owner' must be a text"),
        (b"ignore: x\n", "'ignore' must be a list of texts"),
        (b"ignore: [1]\n", "'ignore' must be a list of texts"),
        (b"- a\n", "it is not a mapping"),
        (b"\0\0\0", "it is empty"),
        (b"owner: a\nowner: b\n", "line 2: the key 'owner' stands twice"),
        (b"schema_version: 2\n", "was written by a newer nbversion"),
    ],
)
def test_what_cannot_be_read_is_one_error_that_names_the_file(data, why):
    with pytest.raises(FormatError) as caught:
        parse_settings(data, "nbversion.yaml")
    assert caught.value.message.startswith("nbversion.yaml ")
    assert why in caught.value.message
