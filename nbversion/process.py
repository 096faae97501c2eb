"""Which process this is, so that a later one can tell whether it still lives."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

_SHORT = 8


def this_process() -> dict[str, Any]:
    """Return host, boot, process id and start time of this process."""
    pid = os.getpid()
    return {
        "host": _host(),
        "boot_id": _boot_id(),
        "pid_namespace": _pid_namespace(),
        "pid": pid,
        "started": _state_and_start(pid)[1],
    }


def process_is_gone(process: object) -> bool:
    """Whether the process that `this_process` described has certainly ended.

    A process of another machine is never called gone, nor one whose facts are not there.
    """
    if not isinstance(process, dict) or process.get("host") != _host():
        return False
    # In another container the number means nothing.
    if process.get("pid_namespace", _pid_namespace()) != _pid_namespace():
        return False
    boot = process.get("boot_id")
    if boot is not None and boot != _boot_id():
        return True
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    return _is_gone(pid, process.get("started"))


def owner_mark() -> str:
    """Return the facts of `this_process` as part of a file's name: ``<machine>-<boot>-<pid>-<start>``."""
    return _mark_of(os.getpid())


def owner_is_gone(mark: str) -> bool:
    """Whether the process whose `owner_mark` a name begins with has certainly ended.

    A process of another machine or container is never called gone.
    """
    machine, boot, number, started, *_ = f"{mark}----".split("-")
    if machine != _machine() or not number.isdecimal():
        return False
    return boot != _short(_boot_id()) or _is_gone(int(number), started or None)


def owner_is_here(mark: str) -> bool:
    """Whether this `owner_mark` is of this machine and this boot, so that `owner_is_gone` can tell."""
    return mark.split("-")[:2] == [_machine(), _short(_boot_id())]


@cache
def _mark_of(pid: int) -> str:
    # By its id: a forked child is another process.
    started = _state_and_start(pid)[1] or ""
    return f"{_machine()}-{_short(_boot_id())}-{pid}-{started}"


def _is_gone(pid: int, started: str | None) -> bool:
    if os.name == "nt":
        # There a signal 0 is Ctrl-C: to ask would interrupt.
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    # The number may have been given to another process since, or nobody took note of its end.
    state, since = _state_and_start(pid)
    return state in ("Z", "X") or started != since


@cache
def _machine() -> str:
    """Return what tells apart machines, and containers: in another one a number means nothing."""
    # Two machines may have one name; a copy of a machine has an id of its own once it was set up.
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = ""
    return _short(f"{_host()} {machine} {_pid_namespace()}")


@cache
def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket  # noqa: PLC0415  # 8 ms that only Windows needs

    return socket.gethostname()


def _short(text: str | None) -> str:
    return hashlib.sha256((text or "").encode()).hexdigest()[:_SHORT]


@cache
def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _state_and_start(pid: int) -> tuple[str | None, str | None]:
    """Return a process's state and its start in clock ticks since boot, where the system tells."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None, None
    # The command name, in parentheses, may hold anything.
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]
