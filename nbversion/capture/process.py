"""Which process this is, so that a later one can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return host, boot, process id and start time of this process."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "boot_id": _boot_id(),
        "pid": pid,
        "started": _state_and_start(pid)[1],
    }


def process_is_gone(process: object) -> bool:
    """Whether the process that `this_process` described has certainly ended.

    A process of another machine is never called gone, nor one whose facts are not there.
    """
    if not isinstance(process, dict) or process.get("host") != socket.gethostname():
        return False
    boot = process.get("boot_id")
    if boot is not None and boot != _boot_id():
        return True
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    # The number may have been given to another process since, or nobody took note of its end.
    state, started = _state_and_start(pid)
    return state in ("Z", "X") or process.get("started") != started


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
