"""What is installed: the distributions whose metadata lies on ``sys.path``.

The list says what this process would import, not what an installer believes. Reading it is kept in
a cache whose key changes when anything is installed; what git says of an editable checkout can
change at any time and is never in that cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from nbversion.capture.git import git_root
from nbversion.capture.metadata import (
    checkout_around,
    follow_egg_link,
    is_sound,
    normal_name,
    read_name_and_version,
)
from nbversion.capture.origins import Kind, file_url, path_of, read_origin
from nbversion.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nbversion.capture.git import GitState

_CACHE_FORMAT = 1
_METADATA_SUFFIXES = (".dist-info", ".egg-info", ".egg-link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One installed distribution.

    Parameters
    ----------
    name : str
        Normalised as PEP 503 says: lower case, single hyphens.
    version : str
        As its metadata says.
    kind : str
        ``"index"``; ``"vcs"``, ``"archive"`` (a wheel or source archive) or ``"folder"`` for an
        install from a URL; ``"editable"`` for code that runs from a checkout; ``"unknown"`` when
        the install's record of its own origin cannot be read.
    url : str or None
        Where it came from, in the form pip takes after ``name @``: no password, no token, no
        query. None for ``"index"`` and ``"unknown"``.
    commit : str or None
        For an editable install, the commit of its checkout now; None when not known.
    dirty : bool or None
        For an editable install, whether its checkout differs from `commit` now; None when not
        known.
    """

    name: str
    version: str
    kind: Kind = "index"
    url: str | None = None
    commit: str | None = None
    dirty: bool | None = None

    @property
    def source(self) -> str | None:
        """Where the code comes from in one line; None for an install from an index."""
        if self.kind == "index":
            return None
        if self.kind == "editable":
            dirty = "unknown" if self.dirty is None else str(self.dirty).lower()
            return f"editable {self.url} commit={self.commit or 'unknown'} dirty={dirty}"
        return self.url or "unknown"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A metadata file or folder that lies directly in a folder of the search path."""

    folder: str
    name: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """The part of an environment that changes only when something is installed."""

    packages: tuple[Package, ...]
    warnings: tuple[str, ...]


def read_inventory(cached: str | None, search_path: Sequence[str] | None) -> tuple[Inventory, str]:
    """Return what is installed, from `cached` while its key is the same, and the text to cache.

    Parameters
    ----------
    cached : str or None
        The text that an earlier call returned, from any process. Text that is damaged, of another
        format, or of another key is disregarded.
    search_path : sequence of str or None
        Folders to look in, first one first; ``sys.path`` when None.
    """
    folders = _folders(search_path)
    warnings: list[str] = []
    entries = _scan(folders, warnings)
    key = _key_of(folders, entries)
    inventory = _load_cache(cached, key)
    if inventory is None or cached is None:
        inventory = _read_packages(entries, warnings)
        cached = _dump_cache(key, inventory)
    return inventory, cached


def with_checkouts(
    packages: Iterable[Package],
    warnings: list[str],
    git_state: Callable[[Path], GitState],
) -> tuple[Package, ...]:
    """Add what git says now to each editable package."""
    known = cache(git_state)
    result = []
    for package in packages:
        if package.kind != "editable" or package.url is None:
            result.append(package)
            continue
        path = path_of(package.url)
        if path is None or not os.path.isdir(path):
            warnings.append(f"{package.name} is editable, but its folder {path} is not there.")
            result.append(package)
            continue
        top = git_root(Path(path))
        if top is None:
            warnings.append(
                f"{package.name} is editable and not in a git working tree: nothing names the "
                "code that it runs."
            )
            result.append(package)
            continue
        state = known(top)
        warnings.extend(f"{package.name} is editable: {sentence}" for sentence in state.warnings)
        result.append(replace(package, commit=state.commit, dirty=state.dirty))
    return tuple(result)


def fingerprint(packages: Iterable[Package]) -> str:
    """Return the digest of which packages there are, in which version and from where."""
    lines = (
        f"{one.name}=={one.version}" + (f" {one.source}" if one.source else "") for one in packages
    )
    whole = "".join(f"{line}\n" for line in sorted(lines))
    return f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"


def _folders(search_path: Sequence[str] | None) -> list[str]:
    # Import itself passes over what is not a string there.
    given: Iterable[object] = sys.path if search_path is None else search_path
    return [os.path.abspath(folder) for folder in given if isinstance(folder, str)]


def _scan(folders: Iterable[str], warnings: list[str]) -> list[_Entry]:
    entries = []
    seen = set()
    for folder in folders:
        try:
            # A virtual environment can list one folder twice, as lib and as lib64.
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as found:
                inside = [entry for entry in found if entry.name.endswith(_METADATA_SUFFIXES)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            warnings.append(
                f"The packages in {printable(folder)} are not listed: "
                f"{error.strerror if isinstance(error, OSError) else error}."
            )
            continue
        for entry in inside:
            mtime_ns = 0
            with contextlib.suppress(OSError):
                mtime_ns = entry.stat().st_mtime_ns
            entries.append(_Entry(folder, entry.name, mtime_ns))
    return entries


def _key_of(folders: Iterable[str], entries: Iterable[_Entry]) -> str:
    facts = [
        [_CACHE_FORMAT, sys.version, sys.implementation.cache_tag, sys.prefix],
        list(folders),
        sorted((entry.folder, entry.name, entry.mtime_ns) for entry in entries),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _load_cache(cached: str | None, key: str) -> Inventory | None:
    if cached is None:
        return None
    try:
        stored = json.loads(cached)
        if stored["format"] != _CACHE_FORMAT or stored["key"] != key:
            return None
        packages = []
        for name, version, kind, url in stored["packages"]:
            whole = isinstance(url, str) or (url is None and kind in {"index", "unknown"})
            if kind not in get_args(Kind) or not whole or not is_sound(name, version):
                return None
            packages.append(Package(name=name, version=version, kind=kind, url=url))
        warnings = tuple(str(sentence) for sentence in stored["warnings"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return Inventory(tuple(packages), warnings)


def _dump_cache(key: str, inventory: Inventory) -> str:
    stored = {
        "format": _CACHE_FORMAT,
        "key": key,
        "packages": [[one.name, one.version, one.kind, one.url] for one in inventory.packages],
        "warnings": list(inventory.warnings),
    }
    return json.dumps(stored, sort_keys=True, separators=(",", ":"))


def _read_packages(entries: Iterable[_Entry], warnings: list[str]) -> Inventory:
    order: dict[str, int] = {}
    for entry in entries:
        order.setdefault(entry.folder, len(order))
    # Two in one folder are what a broken upgrade leaves: the files are those of the newer one.
    ranked = sorted(entries, key=lambda one: (order[one.folder], -one.mtime_ns, one.name))
    packages: dict[str, Package] = {}
    shadowed: dict[str, list[str]] = {}
    for entry in ranked:
        package = _read_package(entry, warnings)
        if package is None:
            continue
        first = packages.setdefault(package.name, package)
        # One editable install can be seen twice: in site-packages and beside its sources.
        if first is not package and not _same_checkout(first, package):
            shadowed.setdefault(package.name, []).append(package.version)
    if shadowed:
        named = [
            f"{name} {packages[name].version} (and {', '.join(versions)})"
            for name, versions in sorted(shadowed.items())
        ]
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        warnings.append(
            "Installed more than once, the first on sys.path is recorded: "
            f"{'; '.join(named[:5])}{more}."
        )
    return Inventory(tuple(packages[name] for name in sorted(packages)), tuple(warnings))


def _same_checkout(one: Package, other: Package) -> bool:
    paths = [path_of(package.url or "") for package in (one, other) if package.kind == "editable"]
    if len(paths) != 2 or None in paths:
        return False
    return len({os.path.realpath(path or "") for path in paths}) == 1


def _read_package(entry: _Entry, warnings: list[str]) -> Package | None:
    path = os.path.join(entry.folder, entry.name)
    checkout = None
    if entry.name.endswith(".egg-link"):
        path, checkout = follow_egg_link(path)
    elif entry.name.endswith(".egg-info"):
        checkout = checkout_around(entry.folder)
    name, version = read_name_and_version(path) if path else (None, None)
    if name is None or version is None or not is_sound(name, version):
        warnings.append(
            f"{printable(entry.name)} in {printable(entry.folder)} has no readable name and "
            "version, so it is not listed."
        )
        return None
    normal = normal_name(name)
    if checkout is not None:
        return Package(name=normal, version=version, kind="editable", url=file_url(checkout))
    kind, url = read_origin(path, normal, warnings)
    return Package(name=normal, version=version, kind=kind, url=url)
