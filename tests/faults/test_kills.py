"""A busy process killed at a random moment loses nothing that it acknowledged."""

from __future__ import annotations

import pytest

KILLS, KILLS_AT_NIGHT = 50, 1667


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_after_a_kill_everything_acknowledged_is_there_and_the_next_command_works(
    seed, suffer, count, nightly
):
    kills = KILLS_AT_NIGHT if nightly else KILLS
    found = suffer("killing.py", seed, str(kills), timeout=3500)
    assert found["wrong"] == []
    assert found["kills"] == kills
    # Neither only idle processes were killed nor only ones that had done nothing yet.
    assert found["acknowledged"] > kills // 4
    assert found["caught"] > kills // 10
    count("kills at a random moment", found["kills"])
    count("acknowledged commands before them, none of them lost", found["acknowledged"])
