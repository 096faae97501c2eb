"""``nbversion demo``: the quickstart in a real kernel, in a project of its own."""

from __future__ import annotations

import json

import nbformat
import pytest
import yaml

from nbversion import demo
from nbversion.cli import main
from nbversion.errors import ConflictError, InvalidInputError
from nbversion.project import Project


def test_demo_makes_a_project_whose_every_byte_verifies(tmp_path, capsys):
    folder = tmp_path / "made"
    assert main(["demo", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verified"] is True
    assert told["rollback"]["from_version"] == "v0.2.0"
    assert told["rollback"]["to_version"] == "v0.1.0"
    assert told["rollback"]["took"].endswith(("ms", " s"))

    registry = json.loads((folder / "models/iris_clf/registry.json").read_text())
    stages = {one["version"]: one["stage"] for one in registry["versions"]}
    assert stages["v0.1.0"] == "production"
    assert stages["v0.2.0"] == "archived"
    notebook = nbformat.read(folder / demo.QUICKSTART, as_version=4)
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    assert outputs
    assert not [one for one in outputs if one["output_type"] == "error"]
    # Under git, so that the runs name a commit and a clean tree.
    for path in (folder / "runs").glob("*.yaml"):
        record = yaml.safe_load(path.read_text())
        assert len(record["code_commit"]) == 40
        assert record["code"]["dirty"] is False
    assert Project(folder).verify().holds


def test_demo_refuses_a_folder_that_holds_something(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConflictError, match=r"is not empty; nothing was written"):
        demo.run_demo(str(tmp_path))
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_demo_says_how_to_get_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(demo.util, "find_spec", lambda name: None if name == "sklearn" else name)
    with pytest.raises(
        InvalidInputError, match=r'needs sklearn: pip install "nbversion\[tutorials\]"'
    ):
        demo.run_demo(str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()


def test_a_failing_cell_ends_the_demo_in_one_line_and_keeps_the_project(tmp_path, monkeypatch):
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    monkeypatch.setattr(demo, "tutorial", lambda _: nbformat.writes(broken))
    with pytest.raises(
        demo.DemoError, match=r"ZeroDivisionError.*The project is left in"
    ) as caught:
        demo.run_demo(str(tmp_path / "made"), quiet=True)
    assert "\n" not in caught.value.message
    assert (tmp_path / "made" / demo.QUICKSTART).is_file()


def test_the_saved_notebook_keeps_its_cards_and_pictures_as_html(tmp_path):
    made = demo.run_demo(str(tmp_path / "made"), quiet=True)
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(str(made.project.root / demo.QUICKSTART))
    assert "Rolled back iris_clf" in html
    assert "Registry of iris_clf" in html
    drawing = html[html.index("Trace of iris_clf@production") :]
    assert "<svg" in drawing
    assert "iris_clf@v0.1.0" in drawing
    # A notebook that is passed on stays small.
    assert (made.project.root / demo.QUICKSTART).stat().st_size < 200_000
