"""What a new user sees: the quickstart in JupyterLab and in Notebook 7, Run All, a look."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.browser

QUICKSTART = Path(__file__).parents[2] / "tutorials" / "00_quickstart.ipynb"
# To make the README's picture anew: NBVERSION_PICTURE=tutorials/quickstart.png pytest -m browser
PICTURE = os.environ.get("NBVERSION_PICTURE")
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def small_notebook(path: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    # Without a kernel's name JupyterLab asks for one.
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)


def test_quickstart_runs_from_top_to_bottom_in_jupyterlab(lab, open_notebook, tmp_path):
    folder = lab.root / "quickstart"
    folder.mkdir()
    shutil.copy(QUICKSTART, folder / "quickstart.ipynb")
    (folder / "nbversion.yaml").write_text("schema_version: 1\nowner: Ada Lovelace\n")
    notebook = open_notebook("quickstart/quickstart.ipynb", height=1920)
    notebook.page.evaluate(
        "async () => await window.jupyterapp.commands.execute('application:toggle-left-area')"
    )
    notebook.run_all()
    assert notebook.errors() == []

    page = notebook.page
    registry = page.locator(".jp-RenderedHTMLCommon", has_text="Registry of iris_clf").first
    assert "production" in registry.inner_text()
    assert page.locator("svg[aria-label]", has_text="iris_clf@v0.1.0").first.is_visible()
    # The whole picture fits the page: nothing to scroll for.
    drawn = page.locator("svg[aria-label]").last
    assert drawn.evaluate("svg => svg.parentElement.scrollWidth <= svg.parentElement.clientWidth")
    facts = json.loads((folder / "models/iris_clf/registry.json").read_text())
    stages = {one["version"]: one["stage"] for one in facts["versions"]}
    assert stages["v0.1.0"] == "production"
    assert stages["v0.2.0"] == "archived"
    records = sorted((folder / "runs").glob("*.yaml"))
    assert len(records) == 2
    # The front end tells notebook and cell, and the record names them.
    assert 'notebook: "quickstart.ipynb"' in records[0].read_text()
    assert 'cell_id: "quickstart-' in records[0].read_text()

    notebook.show("One line: back to what served before")
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURE or tmp_path / "quickstart.png")


def test_quickstart_runs_a_second_time_in_the_same_project(lab, open_notebook):
    folder = lab.root / "twice"
    folder.mkdir()
    shutil.copy(QUICKSTART, folder / "quickstart.ipynb")
    (folder / "nbversion.yaml").write_text("schema_version: 1\n")
    notebook = open_notebook("twice/quickstart.ipynb")
    notebook.run_all()
    notebook.run_all()
    assert notebook.errors() == []
    versions = sorted(one.name for one in (folder / "data/snapshots").glob("iris_v*"))
    assert "iris_v0.1" in versions


def test_notebook_7_shows_the_cards_and_hostile_notes_stay_text(lab, open_notebook):
    folder = lab.root / "classic"
    folder.mkdir()
    (folder / "nbversion.yaml").write_text("schema_version: 1\n")
    small_notebook(
        folder / "small.ipynb",
        "%load_ext nbversion",
        "open('a.csv', 'w').write('x\\n1\\n')",
        f'%snapshot a.csv --notes "{HOSTILE}"',
    )
    notebook = open_notebook("classic/small.ipynb", front_end="notebooks")
    notebook.run_all()
    assert notebook.errors() == []
    page = notebook.page
    assert page.get_by_text("Snapshot a_v0.1").first.is_visible()
    assert page.get_by_text(HOSTILE).first.is_visible()
    assert page.evaluate("() => window.hacked === undefined")


def test_tab_offers_versions_in_a_magic(lab, open_notebook):
    folder = lab.root / "completion"
    folder.mkdir()
    (folder / "nbversion.yaml").write_text("schema_version: 1\n")
    small_notebook(
        folder / "small.ipynb",
        "%load_ext nbversion\nopen('a.csv', 'w').write('x\\n1\\n')\n%snapshot a.csv",
        "%verify a",
    )
    notebook = open_notebook("completion/small.ipynb")
    notebook.run_all()
    page = notebook.page
    editor = page.locator(".jp-Notebook .jp-Cell .cm-content").nth(1)
    editor.click()
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    page.wait_for_selector(".jp-Completer-item", timeout=30_000)
    offered = page.locator(".jp-Completer-item").all_inner_texts()
    assert any("a_v0.1" in one for one in offered)
