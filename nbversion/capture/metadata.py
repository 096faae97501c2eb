"""Name and version of one installed distribution, as its metadata has them."""

from __future__ import annotations

import contextlib
import os
import re

_METADATA_FILES = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}
_CHECKOUT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg")
# What the metadata says ends up in a file that pip obeys line by line.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]+")


def normal_name(name: str) -> str:
    """Return a distribution's name normalised as PEP 503 says."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_sound(name: object, version: object) -> bool:
    """Whether both can stand in a requirements line and mean only what they say."""
    return (
        isinstance(name, str)
        and isinstance(version, str)
        and _NAME.fullmatch(name) is not None
        and _VERSION.fullmatch(version) is not None
    )


def follow_egg_link(link: str) -> tuple[str, str | None]:
    """Return the metadata that a ``setup.py develop`` link leads to, and its checkout."""
    try:
        with open(link, encoding="utf-8") as file:
            target = file.readline().strip()
        if not os.path.isabs(target):
            return "", None
        inside = sorted(name for name in os.listdir(target) if name.endswith(".egg-info"))
    except (OSError, ValueError):
        return "", None
    stem = os.path.basename(link).removesuffix(".egg-link")
    wanted = normal_name(stem)
    for name in inside:
        if normal_name(name.removesuffix(".egg-info")) == wanted:
            return os.path.join(target, name), checkout_around(target) or target
    return "", None


def checkout_around(folder: str) -> str | None:
    """Return the project folder when `folder` holds sources rather than installed packages."""
    if os.path.basename(folder) in {"site-packages", "dist-packages"}:
        return None
    for candidate in (folder, os.path.dirname(folder)):
        if any(os.path.isfile(os.path.join(candidate, mark)) for mark in _CHECKOUT_MARKS):
            return candidate
    return None


def read_name_and_version(path: str) -> tuple[str | None, str | None]:
    """Return name and version out of a metadata folder or file; None for what is not there."""
    inner = _METADATA_FILES[os.path.splitext(path)[1]]
    with contextlib.suppress(OSError, ValueError):
        # Some legacy egg-info is itself the file.
        whole = path if os.path.isfile(path) else os.path.join(path, inner)
        with open(whole, "rb", buffering=0) as file:
            # Name and version are among the first lines; the description can be 100 kB.
            head = file.read(2048) or b""
            found = _parse_headers(head[: head.rfind(b"\n") + 1])
            return found if all(found) else _parse_headers(head + file.readall())
    return None, None


def _parse_headers(raw: bytes) -> tuple[str | None, str | None]:
    name = version = None
    for line in raw.split(b"\n"):
        stripped = line.rstrip(b"\r")
        if not stripped or (name and version):
            break
        field, _, value = stripped.partition(b":")
        if field.lower() == b"name":
            name = value.decode("utf-8", "replace").strip()
        elif field.lower() == b"version":
            version = value.decode("utf-8", "replace").strip()
    return name, version
