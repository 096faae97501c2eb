"""Which notebook and which cell is running."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from nbversion.notebook import identity
from nbversion.notebook.identity import cell_id, notebook_path


def save(path, *ids):
    path.parent.mkdir(exist_ok=True)
    cells = [{"cell_type": "code", "id": one, "source": []} for one in ids]
    path.write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Let JupyterLab tell a path; returns it."""
    path = tmp_path / "work" / "a.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    return path


@pytest.fixture
def bare(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return SimpleNamespace(user_ns={})


def test_the_file_that_holds_the_cell_is_the_notebook(bare, told):
    save(told, "one", "two")
    save(told.with_name("b.ipynb"), "three")
    assert notebook_path(bare, "two") == told


def test_a_renamed_notebook_is_found_by_its_cell(bare, told):
    renamed = save(told.with_name("renamed.ipynb"), "one", "two")
    assert notebook_path(bare, "two") == renamed


def test_a_new_notebook_in_the_old_place_is_not_taken_for_it(bare, told):
    save(told, "other")
    renamed = save(told.with_name("renamed.ipynb"), "one")
    assert notebook_path(bare, "one") == renamed


def test_a_cell_that_is_not_saved_yet_is_in_the_told_notebook(bare, told):
    save(told, "one")
    save(told.with_name("b.ipynb"), "two")
    assert notebook_path(bare, "new") == told


@pytest.mark.parametrize("cell", [None, "one"])
def test_a_path_where_nothing_is_is_not_believed(bare, told, cell):
    assert notebook_path(bare, cell) is None


def test_without_cell_ids_the_told_path_is_taken_while_it_is_there(bare, told):
    save(told, "one")
    assert notebook_path(bare, None) == told


@pytest.mark.parametrize("name", ["console-1-abc", "", "work/script.py"])
def test_what_is_no_notebook_is_none(bare, monkeypatch, name):
    monkeypatch.setenv("JPY_SESSION_NAME", name)
    assert notebook_path(bare, "one") is None


def test_visual_studio_code_tells_by_a_variable(bare, tmp_path, told):
    save(told, "one")
    path = save(tmp_path / "vsc" / "v.ipynb", "one")
    bare.user_ns["__vsc_ipynb_file__"] = str(path)
    assert notebook_path(bare, "one") == path


def test_a_notebook_too_large_to_search_is_claimed_by_its_own_path_only(bare, told, monkeypatch):
    monkeypatch.setattr(identity, "_MAX_NOTEBOOK", 10)
    save(told.with_name("huge.ipynb"), "one")
    assert notebook_path(bare, "one") is None
    save(told, "one")
    assert notebook_path(bare, "one") == told


def kernel_with(parent):
    return SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: parent))


@pytest.mark.parametrize(
    ("shell", "info", "found"),
    [
        (SimpleNamespace(), SimpleNamespace(cell_id="told"), "told"),
        (kernel_with({"metadata": {"cellId": "front"}}), SimpleNamespace(cell_id=None), "front"),
        (kernel_with({"metadata": {"cellId": "front"}}), SimpleNamespace(cell_id="told"), "told"),
        (kernel_with({"metadata": {}}), None, None),
        (kernel_with({"metadata": None}), None, None),
        (kernel_with(None), None, None),
        (SimpleNamespace(kernel=None), None, None),
        (SimpleNamespace(), None, None),
    ],
)
def test_the_cells_id_is_what_the_front_end_tells(shell, info, found):
    assert cell_id(shell, info) == found


def test_the_record_names_notebook_and_cell(shell, monkeypatch):
    path = save(shell.root / "notebooks" / "a.ipynb", "cell-1")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    shell.run("%%trackrun a\nseed = 1", cell_id="cell-1").raise_error()
    code = shell.record.code
    assert (code["notebook"], code["cell_id"]) == ("notebooks/a.ipynb", "cell-1")
    assert code["execution_count"] == 1
    assert shell.session(shell.record)["cells"][0]["cell_id"] == "cell-1"


def test_a_run_that_a_cells_code_starts_is_not_that_cell(shell, monkeypatch):
    path = save(shell.root / "a.ipynb", "cell-1")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    code = "get_ipython().run_cell_magic('trackrun', 'a', 'seed = 1')\nx = 1"
    shell.run(code, cell_id="cell-1").raise_error()
    assert (shell.record.code["notebook"], shell.record.code["cell_id"]) == (None, None)
