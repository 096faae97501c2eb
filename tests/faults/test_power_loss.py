"""Whatever a disk loses of what was not flushed, what was acknowledged is there."""

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
    "repair",
)
SEEDS, SEEDS_AT_NIGHT = 2, 100


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scene", SCENES)
def test_after_a_power_loss_the_project_holds_and_the_same_command_then_succeeds(
    scene, suffer, count, nightly
):
    seeds = SEEDS_AT_NIGHT if nightly else SEEDS
    found = suffer("losing_power.py", scene, str(seeds), timeout=3500)
    assert found["wrong"] == []
    assert found["states"] == found["events"] * (3 + seeds)
    count("power-loss states (cuts x losses)", found["states"])
    count("power-loss states that differ, each recovered from", found["distinct"])


@pytest.mark.parametrize(
    ("scene", "flush"),
    [
        ("next snapshot", "staged files"),
        ("snapshot in place", "staged files"),
        ("comment", "texts"),
        ("first snapshot", "texts"),
        ("next snapshot", "folders"),
        ("comment", "folders"),
    ],
)
def test_a_flush_that_is_left_out_is_missed(scene, flush, suffer):
    assert suffer("losing_power.py", scene, str(SEEDS), flush)["wrong"] != []
