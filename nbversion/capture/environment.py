"""The Python environment that a notebook runs in: the facts, all of them, in one object.

What is installed is read in `nbversion.capture.packages`, what pip makes of it in
`nbversion.capture.locks`; this module adds what can change at any time.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbversion.capture.git import GitState, read_git_state
from nbversion.capture.locks import index_hashes, lock_text
from nbversion.capture.machine import Machine, read_machine
from nbversion.capture.packages import fingerprint, read_inventory, with_checkouts
from nbversion.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from nbversion.capture.packages import Package

__all__ = ["Environment", "container_image", "index_hashes", "read_environment"]

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")

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


def read_environment(
    cached: str | None = None,
    *,
    search_path: Sequence[str] | None = None,
    git_state: Callable[[Path], GitState] | None = None,
) -> tuple[Environment, str]:
    """Describe the environment of this process.

    Two kinds of facts have two lifetimes. Which packages are installed changes only when
    something is installed, and is taken from `cached` while names and times of the metadata
    folders are the same. The commit of an editable checkout, environment variables and the rest
    can change at any time, and are read anew on every call.

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
    inventory, cached = read_inventory(cached, search_path)
    warnings = list(inventory.warnings)
    packages = with_checkouts(
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
        fingerprint=fingerprint(packages),
        lock_text=lock_text(packages, python=python, platform=platform),
        hash_seed=hash_seed,
        threads=_threads(machine),
        determinism=_recorded(_DETERMINISM_VARIABLES),
        warnings=tuple(warnings),
    )
    return environment, cached


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
