"""Params and metrics of a tracked cell."""

from __future__ import annotations

import json
import math

import pytest
import yaml

from nbversion.errors import InvalidInputError, NotFoundError


def params(record):
    return {name: (value, record.origins[name]) for name, value in record.params.items()}


# -- params ----------------------------------------------------------------------------------


def test_literals_of_the_cell_and_scalars_that_it_reads_are_its_params(shell):
    shell.value("C = 1.0\nunused = 3\nnames = ['a']\n_private = 1")
    record = shell.tracked("seed = 42\nx, y = 1, 'two'\nz = C * seed\nnames, _private\n_own = 2;")
    assert params(record) == {
        "C": (1.0, "session"),
        "seed": (42, "cell"),
        "x": (1, "cell"),
        "y": ("two", "cell"),
    }
    assert set(record.origins) == set(record.params)


def test_a_param_is_what_it_was_when_the_cell_began(shell):
    shell.value("rate = 0.1")
    assert params(shell.tracked("rate = rate / 2")) == {"rate": (0.1, "session")}
    assert shell.space["rate"] == 0.05


def test_what_a_function_reads_of_the_notebook_is_a_param(shell):
    shell.value("rate = 0.1\ndepth = 3\nlocal = 9")
    body = "def f(depth=depth):\n    local = 1\n    return rate * local * depth\nf();"
    assert params(shell.tracked(body)) == {"rate": (0.1, "session"), "depth": (3, "session")}


def test_modules_functions_classes_and_variables_of_loops_are_no_params(shell):
    shell.value("import math\nclass A: pass\ndef f(): pass\ni = 5\ndata = [1, 2]")
    body = "import os\nfrom math import pi\nf(), A(), math.e, os.sep\n[i for i in data]\n"
    body += "for i in data:\n    pass\ndef g(): pass"
    assert shell.tracked(body).params == {}


def test_what_ipython_itself_keeps_is_no_param(shell):
    shell.value("1 + 1")
    assert shell.tracked("_, __name__, In, exit\nquit;").params == {}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("n = 1\nn += 1", {}),
        ("n = 1\nif True:\n    n = 2", {"n": 2}),
        ("n = 1\nfor _ in range(3):\n    n = n + 1", {"n": 4}),
        ("n = [1]\nn.append(2)", {}),
        ("try:\n    n = 1\n    1/0\nexcept ZeroDivisionError:\n    n = 2", {"n": 2}),
        ("try:\n    n = 1\nfinally:\n    pass", {"n": 1}),
        ("import contextlib\nwith contextlib.nullcontext():\n    n = 1", {"n": 1}),
        ("n = 1\nif False:\n    n = 2", {"n": 1}),
        ("def f():\n    global n\n    n = 2\nn = 1\nf()", {}),
        ("n = [1, {'a': (2, None)}]", {"n": [1, {"a": [2, None]}]}),
        ("n = True", {"n": True}),
    ],
)
def test_a_literal_counts_only_while_the_name_keeps_it(shell, body, found):
    assert shell.tracked(body).params == found


def test_the_last_of_several_values_is_recorded_and_that_is_said(shell):
    record = shell.tracked("n = 1\nn = 2")
    assert (record.params, record.origins) == ({"n": 2}, {"n": "computed"})
    assert any("n was assigned more than once" in one for one in record.warnings)


def test_a_value_that_the_cell_read_and_then_changed_is_the_one_it_read(shell):
    shell.value("lr = 0.1\nused = []")
    record = shell.tracked("used.append(lr)\nlr = 0.5")
    assert (record.params, record.origins) == ({"lr": 0.1}, {"lr": "session"})
    assert any("lr was changed by the cell" in one for one in record.warnings)


def test_a_literal_that_the_failed_cell_never_got_to_is_no_param(shell):
    shell.error("%%trackrun a\nfirst = 1\n1/0\nlast = 2")
    assert shell.record.params == {"first": 1}


def test_params_that_are_asked_for_are_those_and_no_others(shell):
    shell.value("C = 1.0\nshape = (2, 3)\nother = 5")
    body = "seed = 42\nsteps = len(shape) * 10\nC, other;"
    record = shell.tracked(body, "--params seed,C,steps,shape")
    assert params(record) == {
        "C": (1.0, "session"),
        "seed": (42, "cell"),
        "shape": ([2, 3], "session"),
        "steps": (20, "computed"),
    }


def test_a_param_that_is_asked_for_and_changed_is_what_it_came_to(shell):
    assert params(shell.tracked("n = 1\nn += 1", "--params n")) == {"n": (2, "computed")}


def test_a_param_that_is_asked_for_and_read_is_what_it_was_before(shell):
    shell.value("n = 1")
    assert params(shell.tracked("m = n", "--params n")) == {"n": (1, "session")}


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("x = 1", NotFoundError, "the cell never defined 'gone'"),
        ("gone = object()", InvalidInputError, "the param 'gone' is a object"),
    ],
)
def test_a_param_that_cannot_be_had_fails_the_cell_and_keeps_the_run(shell, body, kind, words):
    error = shell.error(f"%%trackrun a --params gone\n{body}")
    assert type(error) is kind
    assert words in str(error)
    assert "is kept" in str(error)
    assert shell.record.status == "finished"


@pytest.mark.parametrize("option", ["--params a-b", "--metrics 1x"])
def test_what_is_no_name_is_refused_before_the_cell_runs(shell, option):
    before = shell.written()
    error = shell.error(f"%%trackrun a {option}\nran = 1")
    assert isinstance(error, InvalidInputError)
    assert "ran" not in shell.space
    assert shell.written() == before


def test_values_of_every_kind_come_back_from_the_file_as_they_were(shell):
    shell.value("import numpy as np\nnan = float('nan')\nf = np.float32(0.5)\ni = np.int64(7)\n")
    shell.value(
        "b = np.bool_(True)\nz = np.array(2.5)\ns = '1e3: yes\\n'\nn = None\nv = np.ones(2)"
    )
    record = shell.tracked("nan, f, i, b, z, s, n, v\nlow = -1e-05\nhigh = 1e999\nbig = 2**70;")
    read = yaml.safe_load((shell.root / f"runs/{record.run_id}.yaml").read_text())["params"]
    assert read == {
        "nan": "NaN",
        "f": 0.5,
        "i": 7,
        "b": True,
        "z": 2.5,
        "s": "1e3: yes\n",
        "n": None,
        "low": -1e-05,
        "high": "Infinity",
    }
    assert type(read["b"]) is bool


@pytest.mark.parametrize("text", ["'\\ud800'", "'x' * 10_001", "10**400", "{'a': {1: 2}}"])
def test_what_no_record_can_hold_is_left_out_and_the_run_is_kept(shell, text):
    shell.value(f"odd = {text}")
    record = shell.tracked("odd\nseed = 1")
    assert (record.status, record.params) == ("finished", {"seed": 1})


def test_an_object_that_answers_with_errors_does_not_fail_the_run(shell):
    shell.value(
        "class Odd:\n    def __getattr__(self, name): raise RuntimeError(name)\nodd = Odd()"
    )
    assert shell.tracked("odd\nseed = 1").params == {"seed": 1}


def test_secrets_are_masked_in_params_in_the_source_and_in_errors(shell):
    shell.value("token = 'hunter2-session'")
    key = "sk-" + "a1" * 20
    body = f"token\npassword = 'hunter2-cell'\nshape = '{key}'\nurl = 'https://me:hunter2@h/x'\n"
    shell.error(f"%%trackrun a\n{body}raise ValueError('failed with {key}')")
    assert shell.record.params == {
        "token": "***",
        "password": "***",
        "shape": "***",
        "url": "https://***@h/x",
    }
    for name, data in shell.written().items():
        assert b"hunter2" not in data, name
        assert key.encode() not in data, name
    assert shell.record.extra["error"]["message"] == "failed with ***"


def test_a_secret_in_the_words_of_a_failed_registration_is_masked(shell):
    key = "sk-" + "a1" * 20
    shell.space["key"] = key
    shell.value("class Odd:\n    def __reduce__(self): raise ValueError(key)\nodd = Odd()")
    shell.error("%%trackrun a --params seed --model m=odd\nseed = 1\nodd = odd")
    assert all(key.encode() not in data for data in shell.written().values())
    assert any("***" in one for one in shell.record.warnings)


# -- metrics by name -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0.5", 0.5),
        ("3", 3),
        ("np.float32(0.5)", 0.5),
        ("np.array(0.25)", 0.25),
        ("np.int8(3)", 3),
        ("float('inf')", "Infinity"),
        ("-np.inf", "-Infinity"),
        ("float('nan')", "NaN"),
    ],
)
def test_a_metric_is_one_number_of_any_library(shell, value, written):
    record = shell.tracked(f"import numpy as np\nf1 = {value}", "--metrics f1")
    read = yaml.safe_load((shell.root / f"runs/{record.run_id}.yaml").read_text())
    assert read["outputs"]["metrics"] == {"f1": written}
    assert type(read["outputs"]["metrics"]["f1"]) is type(written)


def test_metrics_that_are_no_finite_number_come_back_as_numbers(shell):
    metrics = shell.tracked("a = float('nan')\nb = float('-inf')", "--metrics a,b").metrics
    assert math.isnan(metrics["a"])
    assert metrics["b"] == -math.inf


@pytest.mark.parametrize("value", ["True", "'0.5'", "None", "[0.5]", "__import__('numpy').ones(1)"])
def test_what_is_not_one_number_keeps_the_run_and_registers_nothing(shell, value):
    error = shell.error(f"%%trackrun a --metrics ok,f1 --model m=x\nok = 1\nx = {{}}\nf1 = {value}")
    assert "the metric 'f1' is a" in str(error)
    assert shell.record.status == "finished"
    assert shell.record.metrics == {"ok": 1}
    assert shell.record.outputs["model"] is None
    assert shell.project.catalog.registrar.models() == []


@pytest.mark.parametrize("option", ["--metrics f1", "--model m=f1", "--params f1"])
def test_what_an_earlier_cell_left_is_not_taken(shell, option):
    shell.value("f1 = 0.9")
    if option == "--params f1":
        assert shell.tracked("x = 1", option).params == {"f1": 0.9}
        return
    error = shell.error(f"%%trackrun a {option}\nx = 1")
    assert "what an earlier cell left is not taken" in str(error)
    assert shell.record.metrics == {}
    assert shell.project.catalog.registrar.models() == []


@pytest.mark.parametrize("value", [0.9, 1])
@pytest.mark.parametrize(
    "body", ["f1 = {}", "%run_it", "globals()['f1'] = 0.8", "if True: f1 = .3"]
)
def test_what_the_cell_gives_a_name_is_taken_even_if_it_is_the_same(shell, body, value):
    shell.value(f"f1 = {value}")
    body = body.format(value)
    shell.ip.register_magic_function(lambda line: shell.space.update(f1=0.7), magic_name="run_it")
    record = shell.tracked(body, "--metrics f1")
    assert record.metrics == {"f1": shell.space["f1"]}


@pytest.mark.parametrize("body", ["f1", "print(f1)", "if False: f1 = 0.1", "x = f1 + 1"])
def test_a_metric_that_the_cell_only_looked_at_is_refused(shell, body):
    shell.value("f1 = 0.9")
    error = shell.error(f"%%trackrun a --metrics f1\n{body}")
    assert "what an earlier cell left is not taken" in str(error)
    assert shell.record.metrics == {}


@pytest.mark.parametrize("body", ["clf", "print(clf)", "if False: clf = [2]"])
def test_a_model_that_the_cell_only_looked_at_is_refused(shell, body):
    shell.value("clf = [1]")
    error = shell.error(f"%%trackrun a --model m=clf\n{body}")
    assert "what an earlier cell left is not taken" in str(error)
    assert shell.project.catalog.registrar.models() == []


@pytest.mark.parametrize("body", ["clf.append(2)", "fit(clf)", "clf[0] = 2", "clf = clf"])
def test_a_model_that_the_cell_may_have_changed_is_registered(shell, body):
    shell.value("clf = [1]\nfit = list.sort")
    shell.tracked(body, "--model m=clf")
    assert shell.project.catalog.registrar.models() == ["m"]


def test_a_failed_cell_does_not_record_the_metric_of_an_earlier_one(shell):
    shell.value("f1 = 0.9")
    shell.error("%%trackrun a --metrics f1\n1/0\nf1 = 0.1")
    assert shell.record.metrics == {}


def test_a_failed_run_keeps_the_metrics_that_it_reached(shell):
    shell.value("late = 1.0")
    shell.error("%%trackrun a --metrics f1,bad,late\nf1 = 0.5\nbad = 'x'\n1/0")
    assert (shell.record.status, shell.record.metrics) == ("failed", {"f1": 0.5})
    assert any("'bad'" in one for one in shell.record.warnings)


# -- the functions ---------------------------------------------------------------------------


def test_logged_metrics_are_a_curve_and_its_last_point(shell):
    body = (
        "import nbversion\nfor at in range(3):\n    nbversion.log_metric('loss', 1 / (at + 1), at)"
    )
    record = shell.tracked(body + "\nnbversion.log_metric('loss', float('nan'), step=3)")
    assert math.isnan(record.metrics["loss"])
    lines = (shell.root / f"runs/{record.run_id}/metrics.jsonl").read_text().splitlines()
    points = [json.loads(one) for one in lines]
    assert [(one["name"], one["step"], one["value"]) for one in points] == [
        ("loss", 0, 1.0),
        ("loss", 1, 0.5),
        ("loss", 2, pytest.approx(1 / 3)),
        ("loss", 3, "NaN"),
    ]
    elapsed = [one["elapsed_s"] for one in points]
    assert elapsed == sorted(elapsed)


def test_a_metric_without_steps_makes_no_curve(shell):
    record = shell.tracked("import nbversion\nnbversion.log_metric('f1', 1)")
    assert record.metrics == {"f1": 1}
    assert not (shell.root / f"runs/{record.run_id}/metrics.jsonl").exists()


def test_a_result_that_is_asked_for_is_no_param(shell):
    shell.value("f1 = 0.1\nbest = 'x'")
    record = shell.tracked("f1, best\nf1 = 0.2\nseed = 1", "--metrics f1 --params seed")
    assert record.params == {"seed": 1}
    assert shell.tracked("f1, best\nf1 = 0.2", "--metrics f1").params == {"best": "x"}
    assert shell.tracked("f1 = 0.2", "--metrics f1 --params f1").params == {"f1": 0.2}


def test_logged_values_stand_before_those_that_were_captured(shell):
    body = "import nbversion\nseed = 1\nf1 = 0.1\nnbversion.log_param('seed', 2)\n"
    record = shell.tracked(body + "nbversion.log_metric('f1', 0.2)", "--metrics f1")
    assert params(record) == {"seed": (2, "logged")}
    assert record.metrics == {"f1": 0.2}


@pytest.mark.parametrize(
    "call",
    [
        "log_metric('f1', 'x')",
        "log_metric('', 1)",
        "log_metric('  ', 1)",
        "log_metric('x' * 201, 1)",
        "log_metric(3, 1)",
        "log_metric('\\ud800', 1)",
        "log_metric('f1', 1, step=0.5)",
        "log_metric('f1', 1, step=True)",
        "log_param('p', object())",
        "log_param('\\ud800', 1)",
        "log_figure(object(), 'x')",
        "log_artifact('gone.txt')",
    ],
)
def test_a_call_that_cannot_be_recorded_is_one_line_in_the_cell(shell, capsys, call):
    shell.error(f"%%trackrun a\nimport nbversion\nseed = 1\nnbversion.{call}")
    shown = capsys.readouterr().out
    assert "Traceback" not in shown
    assert "Error: " in shown.splitlines()[-1]
    assert (shell.record.status, shell.record.params) == ("failed", {"seed": 1})
    assert shell.record.metrics == {}
    assert shell.record.artifacts == ()


@pytest.mark.parametrize(
    "call", ["log_metric('a', 1)", "log_param('a', 1)", "log_artifact('a')", "log_figure(1, 'a')"]
)
def test_outside_a_run_a_call_is_one_line_and_writes_nothing(shell, capsys, call):
    before = shell.written()
    error = shell.error(f"import nbversion\nnbversion.{call}")
    assert isinstance(error, InvalidInputError)
    shown = capsys.readouterr().out
    assert "belongs into a tracked run" in shown
    assert "Traceback" not in shown
    assert shell.written() == before


def test_an_artifact_is_what_the_file_was_when_it_was_logged(shell):
    body = "from pathlib import Path\nimport nbversion\nPath('a.txt').write_text('first')\n"
    body += "nbversion.log_artifact('a.txt')\nPath('a.txt').write_text('second')\n"
    record = shell.tracked(body + "nbversion.log_artifact('a.txt', name='sub/b.txt');")
    folder = shell.root / "runs" / record.run_id / "artifacts"
    assert (folder / "a.txt").read_text() == "first"
    assert (folder / "sub/b.txt").read_text() == "second"
    assert [one["source"] for one in record.artifacts] == ["a.txt", "a.txt"]
    assert [one["size_bytes"] for one in record.artifacts] == [5, 6]


def test_a_folder_is_kept_below_its_name(shell):
    (shell.root / "plots/deep").mkdir(parents=True)
    (shell.root / "plots/a.txt").write_text("a")
    (shell.root / "plots/deep/b.txt").write_text("b")
    record = shell.tracked(
        "import nbversion\nnbversion.log_artifact('plots')", "--artifact plots/deep"
    )
    names = [one["path"].partition("/artifacts/")[2] for one in record.artifacts]
    assert names == ["plots/a.txt", "plots/deep/b.txt", "deep/b.txt"]


@pytest.mark.parametrize("name", ["a.txt", "a.txt/b", "../x", "/x", "x/../y", "a\\\\b", ""])
def test_a_name_that_is_taken_or_leads_elsewhere_is_refused(shell, name):
    (shell.root / "a.txt").write_text("first")
    (shell.root / "b.txt").write_text("second")
    before = shell.written()
    body = "import nbversion\nnbversion.log_artifact('a.txt')\n"
    calls = [f"nbversion.log_artifact('b.txt', name='{name}')"]
    if not name:
        calls = ["nbversion.log_artifact('a.txt')"]
    error = shell.error(f"%%trackrun a\n{body}{calls[0]}")
    assert isinstance(error, InvalidInputError)
    (kept,) = shell.record.artifacts
    added = set(shell.written()) - set(before)
    assert [one for one in added if "/artifacts/" in one] == [kept["path"]]


def test_a_folder_that_cannot_be_kept_whole_is_not_kept_at_all(shell):
    (shell.root / "f").mkdir()
    for name in ("a.txt", "b.txt"):
        (shell.root / "f" / name).write_text(name)
    body = "import nbversion\nnbversion.log_artifact('f/b.txt', name='f/b.txt')\ntry:\n"
    body += "    nbversion.log_artifact('f')\nexcept nbversion.NbversionError:\n    pass\n"
    record = shell.tracked(body + "nbversion.log_artifact('f', name='g')")
    folder = shell.root / "runs" / record.run_id / "artifacts"
    found = sorted(str(one.relative_to(folder)) for one in folder.rglob("*.txt"))
    assert found == ["f/b.txt", "g/a.txt", "g/b.txt"]
    assert sorted(one["path"].partition("/artifacts/")[2] for one in record.artifacts) == found


def test_a_figure_is_kept_as_a_picture_in_the_form_of_its_suffix(shell):
    body = """
import nbversion
class Figure:
    def savefig(self, where, format):
        where.write(format.encode())
class Axes:
    figure = Figure()
nbversion.log_figure(Figure(), "roc")
nbversion.log_figure(Axes(), "sub/roc.svg")
"""
    record = shell.tracked(body)
    folder = shell.root / "runs" / record.run_id / "artifacts"
    assert (folder / "roc.png").read_bytes() == b"png"
    assert (folder / "sub/roc.svg").read_bytes() == b"svg"
    assert {one["source"] for one in record.artifacts} == {"figure"}


def test_a_real_figure_is_a_picture(shell):
    pytest.importorskip("matplotlib")
    body = "import nbversion\nfrom matplotlib.figure import Figure\nfigure = Figure()\n"
    body += "axes = figure.subplots()\naxes.plot([1, 2])\n"
    record = shell.tracked(body + "nbversion.log_figure(axes, 'line')")
    path = shell.root / record.artifacts[0]["path"]
    assert path.read_bytes().startswith(b"\x89PNG")
