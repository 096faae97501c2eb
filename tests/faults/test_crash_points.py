"""A process killed at any step of any command leaves the old or the new state."""

from __future__ import annotations

import pytest

SCENES = (
    "first snapshot",
    "next snapshot",
    "snapshot in place",
    "register",
    "register a release",
    "promote",
    "rollback",
    "run end",
    "comment",
    "restore",
    "repair",
)


@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_any_step_the_project_holds_and_the_same_command_then_succeeds(
    scene, suffer, count
):
    found = suffer("crashing.py", scene)
    assert set(found["used"]) >= set(found["needed"])
    assert found["hit"] == found["used"]
    assert found["wrong"] == []
    assert found["left"] == []
    assert found["points"] > len(found["used"])
    count("crash points", found["points"])
    count("crash points: pairs of command and primitive", len(found["hit"]))
