"""The lock: a requirements file of what is installed, and the index's hashes of what it names.

Its bytes depend on the packages, the Python version and the platform only.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import sys
import tomllib
from typing import TYPE_CHECKING, Any

from nbversion.capture.machine import run_tool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbversion.capture.packages import Package

_NOT_FROM_INDEX = "# not from an index"
_PINNED = re.compile(r"([a-z0-9][a-z0-9-]*)==(\S+)")


def lock_text(packages: Iterable[Package], *, python: str, platform: str) -> str:
    """Return the requirements file of `packages`, which come sorted by name."""
    lines = [
        "# The packages of a Python environment, written by nbversion for pip.",
        f"# python: {sys.implementation.name} {python}",
        f"# platform: {platform}",
    ]
    for one in packages:
        pinned = f"{one.name}=={one.version}"
        if one.kind == "editable":
            described = (one.source or "").removeprefix("editable ").replace(" ", "  ", 1)
            lines += [f"# editable: {pinned}  {described}", f"-e {one.url}"]
        elif one.url is not None:
            lines += [f"# version: {pinned}", f"{one.name} @ {one.url}"]
        elif one.kind == "unknown":
            lines += [f"{_NOT_FROM_INDEX}, its origin is not known: {pinned}", pinned]
        else:
            lines.append(pinned)
    return "".join(f"{line}\n" for line in lines)


def index_hashes(lock_text: str, *, python: str, timeout: float = 10.0) -> str | None:
    """Return a ``pylock.toml`` with the index's hashes of the locked packages, made offline.

    Parameters
    ----------
    lock_text : str
        As in `Environment.lock_text`; only its ``name==version`` lines are used.
    python : str
        The interpreter to lock for: its path, or a version such as ``"3.11"`` when installed.
    timeout : float, optional
        Seconds to wait for uv.

    Returns
    -------
    str or None
        One entry for each ``name==version`` line, with a hash for each file, and no password in a
        URL. None when uv is not installed, or its cache does not know every one of them.

    Notes
    -----
    Never uses the network and never builds a package. uv keeps notes in its own cache folder.
    """
    lines = lock_text.splitlines()
    wanted = {
        (match[1], match[2])
        for above, line in zip(["", *lines], lines, strict=False)
        if (match := _PINNED.fullmatch(line)) and not above.startswith(_NOT_FROM_INDEX)
    }
    uv = _find_uv()
    if uv is None or not wanted:
        return None
    # `--no-build`: asking a source archive for its metadata would run its code.
    arguments = "pip compile --offline --no-deps --no-build --generate-hashes --no-header"
    arguments += " --no-annotate --no-progress --no-python-downloads --color=never --quiet"
    asked = run_tool(
        [uv, *arguments.split(), "--format=pylock.toml", f"--python={python}", "-"],
        cwd=None,
        env=os.environ | {"UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"},
        timeout=timeout,
        stdin="".join(f"{name}=={version}\n" for name, version in sorted(wanted)).encode(),
    )
    if asked.status != 0:
        return None
    # Files of a private index can carry the password of its URL.
    text = re.sub(r"://[^/\s\"'@]*@", "://", asked.out.decode("utf-8", "replace"))
    return text if _locks(text, wanted) else None


def _locks(pylock: str, wanted: set[tuple[str, str]]) -> bool:
    # uv obeys the settings of the project it is run in: an override there can change a version.
    try:
        listed: list[dict[str, Any]] = tomllib.loads(pylock).get("packages", [])
        found = {(package["name"], package["version"]) for package in listed}
        files = [[*one.get("wheels", ()), one.get("sdist")] for one in listed]
        hashed = all(any(some) and all(file["hashes"] for file in some if file) for some in files)
    except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError):
        return False
    return found == wanted and hashed


def _find_uv() -> str | None:
    found = shutil.which("uv")
    if found and os.path.isabs(found):
        return found
    try:
        if importlib.util.find_spec("uv") is None:
            return None
        finder = importlib.import_module("uv").find_uv_bin
        return str(finder())
    except (ImportError, AttributeError, OSError, TypeError, ValueError):
        return None
