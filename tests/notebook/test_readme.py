"""The README's tour, word for word."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_tour_runs_word_for_word(shell):
    tour = re.search(r"```python\n(.+?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    cells = [cell.strip("\n") for cell in tour[1].split("\n\n")]
    assert len(cells) >= 10
    for cell in cells:
        # The extension is loaded; what else stands in that cell is run.
        shell.value(cell.replace("%load_ext nbversion\n", ""))
    registry = shell.project.catalog.registrar.load("wine_clf")
    assert registry.production.version == "v0.1.0"
    assert [one.action for one in registry.history][-1] == "rollback"
    runs = [one.params for one in shell.records]
    assert {"depth": 3, "seed": 42} in runs
    assert any(one["depth"] == 1 for one in runs)
    assert shell.project.verify().holds
    drawn = {one.label for one in shell.project.lineage("wine_v0.1").graph.nodes}
    assert {"wine_v0.1", "wine_clf@v0.1.0", "wine_clf@v0.2.0", "production"} <= drawn
