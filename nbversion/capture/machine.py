"""The machine that runs this process, and a safe way to ask a program that is installed on it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Hardware and operating system, without host name, user name or address.

    Parameters
    ----------
    system : str
        Operating system and kernel release, such as ``"Linux 6.1.0"``.
    architecture : str
        Such as ``"x86_64"`` or ``"arm64"``.
    libc : str or None
        Such as ``"glibc 2.36"``; None where the C library does not tell.
    cpu : str or None
        The processor's model name; None where the system does not tell.
    cpu_count : int or None
        Logical processors of the machine.
    cpu_usable : int or None
        Logical processors that this process may run on.
    """

    system: str
    architecture: str
    libc: str | None
    cpu: str | None
    cpu_count: int | None
    cpu_usable: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a program answered.

    Parameters
    ----------
    status : int or None
        The exit status; None when the program did not start or did not end in time.
    out : bytes
        Standard output; empty when `status` is None.
    said : str
        The first line of standard error, or why there is no status.
    """

    status: int | None
    out: bytes
    said: str


def run_tool(
    command: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes | None = None,
) -> ToolResult:
    """Run a program quietly and come back within about `timeout` seconds.

    Parameters
    ----------
    command : sequence of str
        The program by its absolute path, then its arguments; never a shell.
    cwd : str or None
        Folder to run in; None for the current one.
    env : mapping of str to str
        The whole environment of the program.
    timeout : float
        Seconds until the program and its children are killed.
    stdin : bytes, optional
        Standard input; closed at once when None.

    Returns
    -------
    ToolResult
        Never raises for a program that is missing, refuses, or hangs.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Its own group, so that a filter or helper it started dies with it: one survivor
            # that holds the pipe would block this process for as long as it lives.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, ValueError) as error:
        return ToolResult(status=None, out=b"", said=f"it could not be started: {error}")
    with process:
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            return ToolResult(status=None, out=b"", said=f"it did not end in {timeout:g} s")
        except BaseException:
            _kill(process)
            raise
    lines = err.decode("utf-8", "backslashreplace").split("\n")
    said = next((line.strip() for line in lines if line.strip()), "it gave no reason")
    return ToolResult(status=process.returncode, out=out, said=said)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired, OSError, ValueError):
        process.communicate(timeout=1)


@functools.cache
def read_machine() -> Machine:
    """Describe this machine; read once per process and never raises.

    Returns
    -------
    Machine
        With None for whatever this system does not tell.
    """
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        system = f"Windows {version.major}.{version.minor}.{version.build}"
        architecture = os.environ.get("PROCESSOR_ARCHITECTURE", "unknown")
    else:
        uname = os.uname()
        system = f"{uname.sysname} {uname.release}"
        architecture = uname.machine
    return Machine(
        system=system,
        architecture=architecture,
        libc=_confstr("CS_GNU_LIBC_VERSION"),
        cpu=_cpu_model(),
        cpu_count=os.cpu_count(),
        cpu_usable=_cpu_usable(),
    )


def _confstr(name: str) -> str | None:
    if sys.platform == "win32":
        return None
    with contextlib.suppress(OSError, ValueError):
        return os.confstr(name)
    return None


def _cpu_usable() -> int | None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_model() -> str | None:
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER")
    if sys.platform == "darwin":
        asked = run_tool(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            cwd="/",
            env={"LC_ALL": "C"},
            timeout=2,
        )
        return asked.out.decode("utf-8", "replace").strip() or None
    try:
        with open("/proc/cpuinfo", "rb") as file:
            # The first processor is enough: the whole file is 1.4 kB per logical processor.
            head = file.read(4096)
    except OSError:
        return None
    for line in head.split(b"\n"):
        key, _, value = line.partition(b":")
        if key.strip() == b"model name":
            return value.decode("utf-8", "replace").strip() or None
    return None
