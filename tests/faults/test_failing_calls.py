"""Any single call that fails gives one plain error, or nothing is the worse for it."""

from __future__ import annotations

import pytest

SCENES = (
    "first snapshot",
    "next snapshot",
    "snapshot in place",
    "register",
    "promote",
    "rollback",
    "run end",
    "comment",
    "restore",
)
# What these two do between them is all that any command does to a disk, but for an exchange.
EVERY = ("next snapshot", "comment")
TYPED = {"StorageError", "IntegrityError", "ConflictError", "LostRaceError", "NotFoundError"}


@pytest.mark.parametrize("scene", SCENES)
def test_a_call_that_fails_changes_nothing_and_the_next_command_works(scene, suffer, count):
    found = suffer("failing_calls.py", scene, *(("every",) if scene in EVERY else ()))
    assert found["wrong"] == []
    assert set(found["said"]) <= {*TYPED, "done"}
    assert found["said"]["StorageError"] > found["faults"] // 3
    assert {"open", "fsync", "mkdir"} <= set(found["kinds"])
    count("calls of the system that failed", found["faults"])
