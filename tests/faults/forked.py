"""Doing something in a child, which may die of it."""

from __future__ import annotations

import json
import os
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

KILLED = 137


def start(act: Callable[[Callable[[object], None]], object]) -> tuple[int, int]:
    """Run `act` in a child; it gets a function that tells the parent something.

    Returns
    -------
    child : int
        Its process id.
    heard : int
        The descriptor to read from what it tells, one JSON text a line.
    """
    heard, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        return child, heard

    def tell(what: object) -> None:
        os.write(told, f"{json.dumps(what)}\n".encode())

    status = 1
    try:
        os.close(heard)
        tell({"result": act(tell)})
        status = 0
    except BaseException:  # noqa: BLE001  # told to the parent, whatever it is
        tell({"error": traceback.format_exc()})
    finally:
        os._exit(status)


def finish(child: int, heard: int, already: bytes = b"") -> tuple[int, list[Any]]:
    """Wait for a child; return how it ended (negative: the signal) and what it told."""
    with os.fdopen(heard, "rb") as handle:
        # What a kill cut short has no end of line.
        lines = (already + handle.read()).split(b"\n")[:-1]
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), [json.loads(one) for one in lines]


def call(act: Callable[[], Any]) -> Any:
    """Return what `act` returns in a child.

    Raises
    ------
    RuntimeError
        With the child's traceback, when it raised.
    """
    status, told = finish(*start(lambda _tell: act()))
    if status or "result" not in told[-1]:
        raise RuntimeError(f"status {status}: {told[-1]['error'] if told else ''}")
    return told[-1]["result"]
