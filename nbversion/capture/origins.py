"""Where an installed package came from, as its ``direct_url.json`` (PEP 610) tells.

What comes out ends up in records and in a file that pip obeys line by line: no password, no token,
no query, and nothing that could begin a line of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Literal, cast
from urllib.parse import quote, unquote, urlsplit

Kind = Literal["index", "vcs", "archive", "folder", "editable", "unknown"]

_HEX = re.compile(r"[0-9a-fA-F]+")
_PATH_SAFE = "/:@~!$&'()*+,="


def read_origin(path: str, name: str, warnings: list[str]) -> tuple[Kind, str | None]:
    """Return kind and URL as the install's ``direct_url.json`` (PEP 610) tells them."""
    try:
        with open(os.path.join(path, "direct_url.json"), "rb") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return "index", None
    except (OSError, ValueError, RecursionError):
        record = None
    # A conda package keeps the path of the machine that built it, which exists nowhere else.
    with contextlib.suppress(OSError), open(os.path.join(path, "INSTALLER"), "rb") as file:
        if file.read(16).strip() == b"conda":
            return "index", None
    try:
        origin = _origin_of(record)
        hidden = "?" in record["url"].partition("#")[0]
    except (ValueError, TypeError, KeyError, AttributeError):
        warnings.append(
            f"{name} was not installed from an index, and its direct_url.json cannot be read: "
            "where it came from is not known."
        )
        return "unknown", None
    if hidden:
        warnings.append(
            f"{name} was installed from a URL with a query, which is left out because it can hold "
            "a token."
        )
    return origin


def _origin_of(record: dict[str, object]) -> tuple[Kind, str]:
    url = _clean_url(cast("str", record["url"]))
    fragment = []
    kind: Kind
    if "vcs_info" in record:
        info = cast("dict[str, str]", record["vcs_info"])
        system, commit = info["vcs"], info["commit_id"]
        if not system.isalpha() or not _HEX.fullmatch(commit):
            raise ValueError(system)
        kind, url = "vcs", f"{system}+{url}@{commit}"
    elif "dir_info" in record:
        folder_info = cast("dict[str, object]", record["dir_info"])
        kind = "editable" if folder_info.get("editable") is True else "folder"
    else:
        kind = "archive"
        digest = _sha256_of(cast("dict[str, object]", record["archive_info"]))
        if digest:
            fragment.append(f"sha256={digest}")
    folder = record.get("subdirectory")
    if isinstance(folder, str) and folder:
        fragment.append(f"subdirectory={quote(folder)}")
    return kind, url + ("#" + "&".join(fragment) if fragment else "")


def _sha256_of(info: dict[str, object]) -> str | None:
    hashes = info.get("hashes")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    legacy = info.get("hash")
    if digest is None and isinstance(legacy, str) and legacy.startswith("sha256="):
        digest = legacy.removeprefix("sha256=")
    return digest if isinstance(digest, str) and _HEX.fullmatch(digest) else None


def _clean_url(url: str) -> str:
    """Return `url` without whatever can be a secret, and safe inside a requirements line."""
    if "://" not in url and (scp := re.fullmatch(r"(?:[^@/:]+@)?([^/:]+):(?!//)(.+)", url)):
        url = f"ssh://git@{scp[1]}/{scp[2].lstrip('/')}"
    parts = urlsplit(url)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError("not a URL")
    host = parts.netloc.rpartition("@")[2]
    # The user of an ssh URL is the name of a service; without it the URL leads nowhere.
    if parts.scheme.endswith("ssh") and parts.netloc.startswith(("git@", "git:")):
        host = f"git@{host}"
    path = quote(parts.path, safe=_PATH_SAFE + "%")
    return f"{parts.scheme}://{quote(host, safe='@:[].-_')}{path}"


def file_url(path: str) -> str:
    """Return the ``file:`` URL of an absolute path."""
    forward = path.replace(os.sep, "/")
    return "file://" + quote(forward if forward.startswith("/") else f"/{forward}", safe=_PATH_SAFE)


def path_of(url: str) -> str | None:
    """Return the path that a ``file:`` URL means; None for another URL."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    path = unquote(parts.path)
    return path.lstrip("/") if re.match(r"/+[A-Za-z]:", path) and os.name == "nt" else path
