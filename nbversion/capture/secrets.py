"""Keeping credentials off the disk: they are masked, visibly, before anything is written.

Best effort by name and by shape. What it cannot know, a password in a variable called ``x``, it
does not mask.
"""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
# Neither a tokenizer nor an author is a secret.
_WORDS = (
    r"passw(?:or)?d|passwd|secret|token(?!i[sz])|api_?key|access_?key|private_?key|credential"
    r"|auth(?!ors?(?![a-z]))"
)
_SECRET_NAME = re.compile(rf"(?i)(?:{_WORDS})|(?:^|_)(?:key|pwd)$")
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
    return _URL_PASSWORD.sub(rf"\g<head>{MASK}@", _SHAPES.sub(MASK, text))


def mask_source(source: str) -> str:
    """Return source code without texts that are assigned to names that look like credentials."""
    named = _ASSIGNED.sub(rf"\g<head>\g<quote>{MASK}\g<quote>", source)
    return mask_text(named)
