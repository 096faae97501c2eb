"""Keeping credentials off the disk: they are masked, visibly, before anything is written.

Best effort by name and by shape. What it cannot know, a password in a variable called ``x``, it
does not mask.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"
# Shorter values would mask half of any text.
_LEAST = 4
# Neither a tokenizer nor a sort key is a secret.
_WORDS = (
    r"passw(?:or)?d|passwd|passphrase|secret|token(?!i[sz])|credential|authorization"
    r"|(?:api|access|account|auth|encryption|private|secret|signing|ssh)_?key"
    r"|(?<![a-z])auth(?![a-z_])"
)
_SECRET_NAME = re.compile(rf"(?i)(?:{_WORDS})|^key$|(?:^|_)(?:pwd|pw)$")
_SHAPES = re.compile(
    r"(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_[A-Za-z0-9_]{30,}"
    r"|glpat-[A-Za-z0-9_-]{18,}"
    r"|hf_[A-Za-z0-9]{30,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|AIza[0-9A-Za-z_-]{35}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
)
_URL_PASSWORD = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/@'\"]*@")
# A setting on a line of its own, without quotes: %env DB_PASSWORD=x, !export API_KEY=x.
_SET = re.compile(rf"(?im)^(?P<head>\s*[%!].*?\b\w*(?:{_WORDS})\w*=)(?P<value>[^\s\"']+)")
# In a connection string or a query: Password=x; ?api_key=x&
_PAIR = re.compile(rf"(?i)(?P<head>[;?&]\s*\w*(?:{_WORDS})\w*=)(?P<value>[^\s;&\"']+)")
_ASSIGNED = re.compile(
    rf"(?i)(?P<head>[\w.\"'\]]*(?:{_WORDS})[\w\"'\]]*\s*(?::\s*\w+\s*)?[=:]\s*[bruf]{{0,2}})"
    r"(?P<quote>\"\"\"|'''|\"|')(?P<value>(?:\\.|(?!(?P=quote))[\s\S])*)(?P=quote)"
)


def mask_value(name: str, value: Any) -> Any:
    """Return `value`, or what is safe of it; numbers are never masked (``max_tokens = 512``)."""
    if isinstance(value, str):
        return MASK if value and _SECRET_NAME.search(name) else mask_text(value)
    if isinstance(value, dict):
        return {key: mask_value(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_value(name, item) for item in value]
    return value


def mask_text(text: str) -> str:
    """Return `text` without token shapes and passwords in URLs."""
    text = _URL_PASSWORD.sub(rf"\g<head>{MASK}@", _SHAPES.sub(MASK, text))
    return _PAIR.sub(rf"\g<head>{MASK}", text)


def mask_source(source: str) -> str:
    """Return source code without texts that are assigned to names that look like credentials."""
    named = _ASSIGNED.sub(rf"\g<head>\g<quote>{MASK}\g<quote>", source)
    return mask_text(_SET.sub(rf"\g<head>{MASK}", named))


def secret_values(source: str) -> set[str]:
    """Return the texts that `mask_source` masks by their name, to find them elsewhere."""
    found = {match["value"] for pattern in (_ASSIGNED, _SET) for match in pattern.finditer(source)}
    return {value for value in found if len(value) >= _LEAST and value != MASK}


def is_secret_name(name: str) -> bool:
    """Whether a name looks like that of a credential."""
    return _SECRET_NAME.search(name) is not None


def mask_values(text: str, values: Iterable[str]) -> str:
    """Return `text` without these values, the longest first."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    return text
