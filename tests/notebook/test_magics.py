"""The line magics: words in, record out, one line when it goes wrong."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from nbversion.errors import InvalidInputError, NbversionError
from nbversion.notebook.magics import magic_functions
from nbversion.verbs import VERBS

LINES = sorted(verb.name for verb in VERBS if verb.act is not None and verb.name != "status")


@pytest.mark.parametrize("line", [*(f"%{one}" for one in (*LINES, "nbversion")), "%%trackrun"])
def test_help_is_printed_and_the_cell_succeeds(shell, capsys, line):
    before = shell.written()
    body = "\nran = 1" if line.startswith("%%") else ""
    assert shell.value(f"{line} --help{body}") is None
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: {line} ")
    assert "ran" not in shell.space
    assert shell.written() == before


@pytest.mark.parametrize("name", [*LINES, "nbversion"])
def test_a_magics_docstring_is_its_help(shell, name):
    documented = shell.ip.find_line_magic(name).__doc__
    verbs = {verb.name: verb for verb in VERBS}
    expected = verbs[name].summary if name in verbs else "Show where the project is"
    assert " ".join(expected.split())[:40] in " ".join(documented.split())


def test_there_is_a_magic_for_every_verb(shell):
    session_names = {name for _, name in magic_functions(None)}
    assert session_names == {*LINES, "nbversion", "trackrun"}
    assert all(shell.ip.find_line_magic(one) for one in LINES)
    assert shell.ip.find_cell_magic("trackrun")


@pytest.mark.parametrize(
    "line",
    [
        "%snapshot",
        "%snapshot gone.csv",
        "%snapshot a b",
        "%snapshot x --nonsense",
        "%snapshot 'a",
        "%promote m v0.1.0 staging -m it's",
        "%promote gone v0.1.0 staging",
        "%promote m v0.1.0 nowhere",
        "%rollback gone",
        "%comment gone v0.1.0 text",
        "%registry gone",
        "%trace gone",
        "%lineage gone",
        "%verify gone_v0.1",
        "%restore gone_v0.1 there",
        "%runs a b",
        "%nbversion nonsense",
        "%%trackrun\nran = 1",
        "%%trackrun a b\nran = 1",
        "%%trackrun A\nran = 1",
        "%%trackrun a --data gone_v0.1\nran = 1",
    ],
)
def test_a_mistake_is_one_line_and_fails_the_cell_and_writes_nothing(shell, capsys, line):
    before = shell.written()
    error = shell.error(line)
    shown = capsys.readouterr().out
    assert isinstance(error, NbversionError)
    assert "Traceback" not in shown
    assert shown.strip() == f"{type(error).__name__}: {error}"
    assert len(shown.strip().splitlines()) == 1
    assert "ran" not in shell.space
    assert shell.written() == before


def test_an_apostrophe_is_explained(shell):
    assert "apostrophe into double quotes" in str(shell.error("%snapshot x --notes it's"))


def test_a_magic_returns_its_record_and_shows_it_as_a_card(shell, data, capsys):
    capsys.readouterr()
    made = shell.value("made = %snapshot iris.csv\nmade")
    assert made.reference == "iris_v0.1"
    assert "iris" in capsys.readouterr().out
    assert "<" in made._repr_html_()


def test_variables_are_put_into_paths_and_references_only(shell, data):
    (shell.root / "more.csv").write_text("x")
    shell.value("where = 'more.csv'\nsecret = 'hunter2'\nref = 'iris_v0.1'")
    made = shell.value("%snapshot $where --notes 'costs $secret {secret}' --tag '$secret'")
    assert made.reference == "more_v0.1"
    assert made.manifest.notes == "costs $secret {secret}"
    assert made.manifest.tags == ("$secret",)
    assert shell.value("%verify {ref}").holds
    assert [one["ref"] for one in shell.tracked("1", "--data $ref --artifact {where}").data] == [
        "iris_v0.1"
    ]
    assert all(b"hunter2" not in one for one in shell.written().values())


def test_overwritten_and_damaged_data_comes_back_in_the_notebook(shell, data):
    (shell.root / "iris.csv").rename(shell.root / "moved.csv")
    (shell.root / "iris.csv").write_text("overwritten")
    shell.value("good = 'moved.csv'\nref = 'iris_v0.1'")
    frozen = shell.root / "data/snapshots/iris_v0.1/iris.csv"
    frozen.unlink()
    assert not shell.value("%verify {ref}").holds
    assert "Put back, verified" in str(shell.value("%verify {ref} --repair --from $good"))
    done = shell.value("%restore {ref} iris.csv --overwrite")
    assert done.frozen_as == "iris_v0.2"
    assert (shell.root / "iris.csv").read_bytes() == frozen.read_bytes()
    assert len(shell.value("%verify --sums iris_v0.2").sums) == 1


def test_a_name_that_is_no_variable_is_left_as_it_is(shell):
    (shell.root / "$gone.csv").write_text("x")
    assert shell.value("%snapshot $gone.csv").manifest.source == "$gone.csv"


def test_texts_of_the_registry_are_not_expanded(shell):
    shell.value("secret = 'hunter2'")
    shell.tracked("x = {}", "--model m=x --version v0.1.0")
    shell.value("%promote m v0.1.0 staging -m 'for $secret'")
    shell.value("%comment m v0.1.0 {secret} of $secret")
    written = (shell.root / "models/m/registry.json").read_text()
    assert "hunter2" not in written
    assert "for $secret" in written
    assert "{secret} of $secret" in written


def test_quoted_words_keep_their_blanks(shell):
    (shell.root / "my data.csv").write_text("x")
    made = shell.value("%snapshot 'my data.csv' --name x --notes \"it's  two\"")
    assert made.manifest.notes == "it's  two"


def test_a_frame_and_an_array_are_frozen_under_their_own_names(shell):
    shell.space.update(
        Iris_Frame=pd.DataFrame({"a": [1]}), arr=np.arange(3), series=pd.Series([1.5])
    )
    frame, again = shell.value("%snapshot Iris_Frame"), shell.value("%snapshot Iris_Frame")
    assert (frame.reference, frame.created, again.created) == ("iris_frame_v0.1", True, False)
    assert frame.manifest.source == "variable:Iris_Frame"
    assert [one.path for one in frame.manifest.files] == ["iris_frame.parquet"]
    array = shell.value("%snapshot arr --version v2.0 --notes n --tag t")
    assert (array.reference, array.manifest.notes) == ("arr_v2.0", "n")
    assert [one.path for one in array.manifest.files] == ["arr.npy"]
    assert [one.path for one in shell.value("%snapshot series").manifest.files] == [
        "series.parquet"
    ]
    assert shell.value("%verify").holds


def test_equal_frames_have_equal_digests_whatever_they_are_called(shell):
    for name in ("one", "two"):
        shell.space[name] = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    one, two = (
        shell.value(f"%snapshot {name} --name same --version v{n}.0")
        for n, name in enumerate(("one", "two"))
    )
    assert one.manifest.digest == two.manifest.digest


def test_an_object_that_has_no_safe_file_is_refused(shell):
    shell.space["objects"] = np.array([object()])
    before = shell.written()
    assert "array of Python objects" in str(shell.error("%snapshot objects"))
    assert shell.written() == before


@pytest.mark.parametrize("kind", [str, "Path"])
def test_a_variable_that_holds_a_path_stands_for_the_file(shell, kind):
    (shell.root / "raw.csv").write_text("x")
    path = shell.root / "raw.csv"
    shell.space["where"] = str(path) if kind is str else path
    made = shell.value("%snapshot where")
    assert (made.reference, made.manifest.source) == ("raw_v0.1", "raw.csv")


@pytest.mark.parametrize("value", [pd.DataFrame({"a": [1]}), "other.csv"])
def test_a_file_and_a_variable_of_one_name_are_not_guessed_between(shell, value):
    (shell.root / "raw").write_text("file")
    (shell.root / "other.csv").write_text("other")
    shell.space["raw"] = value
    before = shell.written()
    error = shell.error("%snapshot raw")
    assert isinstance(error, InvalidInputError)
    assert "./raw" in str(error)
    assert shell.written() == before
    assert shell.value("%snapshot ./raw").manifest.source == "raw"


def test_a_variable_that_holds_the_path_it_is_called_like_is_no_doubt(shell):
    (shell.root / "raw").write_text("file")
    shell.space["raw"] = "raw"
    assert shell.value("%snapshot raw").manifest.source == "raw"


def test_a_snapshot_made_in_a_run_names_it(shell):
    record = shell.tracked("import pandas as pd\ndf = pd.DataFrame({'a': [1]})\n%snapshot df")
    assert shell.project.catalog.snapshots.load("df", "v0.1").manifest.run_id == record.run_id


def test_the_project_stays_where_the_notebook_started(shell, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.csv").write_text("x")
    os.chdir(other)
    shell.value("%snapshot x.csv")
    assert (shell.root / "data/snapshots/x_v0.1").is_dir()
    assert shell.value("import nbversion\nnbversion.data('x_v0.1')").is_relative_to(shell.root)


@pytest.mark.parametrize("line", ["%nbversion", "%nbversion status"])
def test_the_status_says_where_the_project_is(shell, line):
    status = shell.value(line)
    assert (status.root, status.runs, status.initialised) == (shell.root, 0, False)
    assert shell.written() == {}


def test_the_status_names_the_run_under_way(shell):
    shell.tracked("status = %nbversion")
    assert shell.space["status"].running == (shell.record.run_id,)
