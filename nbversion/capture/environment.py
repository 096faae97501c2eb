"""The Python environment that a notebook runs in: what is installed, from where, on what.

The list of packages is read from the metadata folders on ``sys.path``, so it says what this
process would import, not what an installer believes. It becomes a requirements file whose bytes
depend on the packages, the Python version and the platform only.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import sys
import sysconfig
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import quote, unquote, urlsplit

from nbversion.capture.git import GitState, git_root, read_git_state
from nbversion.capture.machine import Machine, read_machine, run_tool
from nbversion.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Kind = Literal["index", "vcs", "archive", "folder", "editable", "unknown"]

_CACHE_FORMAT = 1
_METADATA_SUFFIXES = (".dist-info", ".egg-info", ".egg-link")
_METADATA_FILES = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}
_CHECKOUT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg")
# What the metadata says ends up in a file that pip obeys line by line.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]+")
_HEX = re.compile(r"[0-9a-fA-F]+")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_NOT_FROM_INDEX = "# not from an index"
_PATH_SAFE = "/:@~!$&'()*+,="
_PINNED = re.compile(r"([a-z0-9][a-z0-9-]*)==(\S+)")

_THREAD_VARIABLES = (
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Environment variables hold secrets: a variable that is not on one of these two lists is never
# read into a record.
_DETERMINISM_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "MKL_CBWR",
    "NVIDIA_TF32_OVERRIDE",
    "PYTHONHASHSEED",
    "SOURCE_DATE_EPOCH",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TZ",
    "XLA_FLAGS",
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What this process runs on.

    Parameters
    ----------
    python : str
        Such as ``"3.11.7"``.
    implementation : str
        Such as ``"cpython"``.
    platform : str
        Such as ``"linux-x86_64"``, as in the name of a wheel.
    cpu : str or None
        The processor's model; None when the system does not tell.
    machine : Machine
        Operating system, processors and memory.
    packages : tuple of Package
        One for each name, sorted by name.
    fingerprint : str
        ``"sha256:<64 hex>"`` over one line ``name==version`` or ``name==version source`` for each
        package. It leaves out Python and platform, and changes with the commit and dirty flag of
        an editable install.
    lock_text : str
        A requirements file that pip reads. Equal packages, Python version and platform give equal
        text, whatever else is installed on the machine.
    hash_seed : str
        The seed of ``hash(str)``: ``"random"`` or a decimal number.
    threads : mapping of str to int or str
        The number of threads that numeric libraries were told to use, by variable, only where
        set, and ``cpu_count`` and ``cpu_usable`` where known.
    determinism : mapping of str to str
        Environment variables that change results, from a fixed list, only where set.
    warnings : tuple of str
        One sentence for each fact that could not be learnt or is not what it seems.
    """

    python: str
    implementation: str
    platform: str
    cpu: str | None
    machine: Machine
    packages: tuple[Package, ...]
    fingerprint: str
    lock_text: str
    hash_seed: str
    threads: Mapping[str, int | str]
    determinism: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A metadata file or folder that lies directly in a folder of the search path."""

    folder: str
    name: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Inventory:
    """The part of an environment that changes only when something is installed."""

    packages: tuple[Package, ...]
    warnings: tuple[str, ...]


def read_environment(
    cached: str | None = None,
    *,
    search_path: Sequence[str] | None = None,
    git_state: Callable[[Path], GitState] | None = None,
) -> tuple[Environment, str]:
    """Describe the environment of this process.

    Two kinds of facts have two lifetimes. Which packages are installed changes only when
    something is installed, and is taken from `cached` while `fingerprint_key` is the same.
    The commit of an editable checkout, environment variables and the rest can change at any
    time, and are read anew on every call.

    Parameters
    ----------
    cached : str, optional
        The text that an earlier call returned, from any process. Text that is damaged, of another
        format, or of another key is disregarded.
    search_path : sequence of str, optional
        Folders to look in, first one first; ``sys.path`` when None.
    git_state : callable, optional
        Called with the top of an editable install's git checkout, once for each. The default is
        `read_git_state` with no path excused. Pass another to excuse files that this tool writes
        into the project that is itself installed editable: otherwise each saved version
        would change the environment's fingerprint.

    Returns
    -------
    environment : Environment
        The facts.
    cache : str
        Text to pass as `cached` next time: one line of JSON that holds its key, and no commit,
        dirty flag or environment variable. Equal to `cached` when that was used.

    Notes
    -----
    Never raises for an odd environment, writes nothing, runs only git, and only for editable
    installs.
    """
    folders = _folders(search_path)
    warnings: list[str] = []
    entries = _scan(folders, warnings)
    key = _key_of(folders, entries)
    inventory = _load_cache(cached, key)
    if inventory is None or cached is None:
        inventory = _read_packages(entries, warnings)
        cached = _dump_cache(key, inventory)
    warnings = list(inventory.warnings)
    packages = _with_checkouts(
        inventory.packages, warnings, git_state or (lambda top: read_git_state(top, ours=()))
    )
    hash_seed = _hash_seed(warnings)
    machine = read_machine()
    python = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info.releaselevel != "final":
        python = sys.version.partition(" ")[0]
    platform = sysconfig.get_platform()
    environment = Environment(
        python=python,
        implementation=sys.implementation.name,
        platform=platform,
        cpu=machine.cpu,
        machine=machine,
        packages=packages,
        fingerprint=_fingerprint(packages),
        lock_text=_lock_text(packages, python=python, platform=platform),
        hash_seed=hash_seed,
        threads=_threads(machine),
        determinism=_recorded(_DETERMINISM_VARIABLES),
        warnings=tuple(warnings),
    )
    return environment, cached


def fingerprint_key(search_path: Sequence[str] | None = None) -> str:
    """Return a key that changes when a package is installed, removed or replaced.

    Parameters
    ----------
    search_path : sequence of str, optional
        Folders to look in; ``sys.path`` when None.

    Returns
    -------
    str
        64 hex digits over the Python version, its prefix, and name and modification time of each
        metadata entry. It does not change with the state of an editable install's checkout, nor
        when a file inside a metadata folder is edited in place.
    """
    folders = _folders(search_path)
    return _key_of(folders, _scan(folders, []))


def container_image() -> tuple[str | None, str | None]:
    """Return the container image that this process is told it runs in.

    Returns
    -------
    reference : str or None
        ``NBVERSION_IMAGE``, else ``JUPYTER_IMAGE``, else None.
    warning : str or None
        Why the reference does not name one image for ever; None when it does, or when there is no
        reference.
    """
    for variable in ("NBVERSION_IMAGE", "JUPYTER_IMAGE"):
        reference = printable(os.environ.get(variable, "").strip()).replace("\n", "")
        if not reference:
            continue
        if _DIGEST.search(reference):
            return reference, None
        return reference, (
            f"{variable} is {reference!r}, without '@sha256:' and 64 hex digits: a tag can move "
            "to another image."
        )
    return None, None


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


def _load_cache(cached: str | None, key: str) -> _Inventory | None:
    if cached is None:
        return None
    try:
        stored = json.loads(cached)
        if stored["format"] != _CACHE_FORMAT or stored["key"] != key:
            return None
        packages = []
        for name, version, kind, url in stored["packages"]:
            whole = isinstance(url, str) or (url is None and kind in {"index", "unknown"})
            if kind not in get_args(Kind) or not whole or not _is_sound(name, version):
                return None
            packages.append(Package(name=name, version=version, kind=kind, url=url))
        warnings = tuple(str(sentence) for sentence in stored["warnings"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return _Inventory(tuple(packages), warnings)


def _dump_cache(key: str, inventory: _Inventory) -> str:
    stored = {
        "format": _CACHE_FORMAT,
        "key": key,
        "packages": [[one.name, one.version, one.kind, one.url] for one in inventory.packages],
        "warnings": list(inventory.warnings),
    }
    return json.dumps(stored, sort_keys=True, separators=(",", ":"))


def _read_packages(entries: Iterable[_Entry], warnings: list[str]) -> _Inventory:
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
    return _Inventory(tuple(packages[name] for name in sorted(packages)), tuple(warnings))


def _same_checkout(one: Package, other: Package) -> bool:
    paths = [_path_of(package.url or "") for package in (one, other) if package.kind == "editable"]
    if len(paths) != 2 or None in paths:
        return False
    return len({os.path.realpath(path or "") for path in paths}) == 1


def _read_package(entry: _Entry, warnings: list[str]) -> Package | None:
    path = os.path.join(entry.folder, entry.name)
    checkout = None
    if entry.name.endswith(".egg-link"):
        path, checkout = _follow_egg_link(path)
    elif entry.name.endswith(".egg-info"):
        checkout = _checkout_around(entry.folder)
    name, version = _read_name_and_version(path) if path else (None, None)
    if name is None or version is None or not _is_sound(name, version):
        warnings.append(
            f"{printable(entry.name)} in {printable(entry.folder)} has no readable name and "
            "version, so it is not listed."
        )
        return None
    normal = re.sub(r"[-_.]+", "-", name).lower()
    if checkout is not None:
        return Package(name=normal, version=version, kind="editable", url=_file_url(checkout))
    kind, url = _read_origin(path, normal, warnings)
    return Package(name=normal, version=version, kind=kind, url=url)


def _is_sound(name: object, version: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(version, str)
        and _NAME.fullmatch(name) is not None
        and _VERSION.fullmatch(version) is not None
    )


def _follow_egg_link(link: str) -> tuple[str, str | None]:
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
    wanted = re.sub(r"[-_.]+", "-", stem).lower()
    for name in inside:
        if re.sub(r"[-_.]+", "-", name.removesuffix(".egg-info")).lower() == wanted:
            return os.path.join(target, name), _checkout_around(target) or target
    return "", None


def _checkout_around(folder: str) -> str | None:
    """Return the project folder when `folder` holds sources rather than installed packages."""
    if os.path.basename(folder) in {"site-packages", "dist-packages"}:
        return None
    for candidate in (folder, os.path.dirname(folder)):
        if any(os.path.isfile(os.path.join(candidate, mark)) for mark in _CHECKOUT_MARKS):
            return candidate
    return None


def _read_name_and_version(path: str) -> tuple[str | None, str | None]:
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


def _read_origin(path: str, name: str, warnings: list[str]) -> tuple[Kind, str | None]:
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


def _file_url(path: str) -> str:
    forward = path.replace(os.sep, "/")
    return "file://" + quote(forward if forward.startswith("/") else f"/{forward}", safe=_PATH_SAFE)


def _path_of(url: str) -> str | None:
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    path = unquote(parts.path)
    return path.lstrip("/") if re.match(r"/+[A-Za-z]:", path) and os.name == "nt" else path


def _with_checkouts(
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
        path = _path_of(package.url)
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


def _fingerprint(packages: Iterable[Package]) -> str:
    lines = (
        f"{one.name}=={one.version}" + (f" {one.source}" if one.source else "") for one in packages
    )
    whole = "".join(f"{line}\n" for line in sorted(lines))
    return f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"


def _lock_text(packages: Iterable[Package], *, python: str, platform: str) -> str:
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


def _recorded(variables: Iterable[str]) -> dict[str, str]:
    return {
        name: printable(os.environ[name]).replace("\n", " ")
        for name in variables
        if name in os.environ
    }


def _threads(machine: Machine) -> dict[str, int | str]:
    threads: dict[str, int | str] = {
        name: int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value
        for name, value in _recorded(_THREAD_VARIABLES).items()
    }
    if machine.cpu_count is not None:
        threads["cpu_count"] = machine.cpu_count
    if machine.cpu_usable is not None:
        threads["cpu_usable"] = machine.cpu_usable
    return threads


def _hash_seed(warnings: list[str]) -> str:
    if not sys.flags.hash_randomization:
        return "0"
    told = os.environ.get("PYTHONHASHSEED", "")
    if told in {"", "random"} or sys.flags.ignore_environment:
        return "random"
    # Python reads the variable once, at its start: what a notebook sets later does nothing. With
    # seed 0 the flag above tells; with another seed nothing does.
    if told.isascii() and told.isdigit() and int(told[:10]) != 0:
        return told
    warnings.append(
        "PYTHONHASHSEED was set after Python had started, which has no effect: the hash seed is "
        "random. Set it before the kernel starts."
    )
    return "random"
