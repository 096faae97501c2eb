"""The tracked cell runs as any cell does."""

from __future__ import annotations

import os
import re
import sys

import pytest

from nbversion.disk import Disk
from nbversion.errors import InvalidInputError, StorageError


def cards(text):
    return re.findall(r"^Run (\S+)  \[(\w+)\]$", text, re.MULTILINE)


# -- values and outputs ----------------------------------------------------------------------


def test_the_last_value_is_the_cells_result_and_the_next_underscore(shell, capsys):
    result = shell.run("%%trackrun a\nx = 20\nx + 1")
    assert (result.result, shell.space["_"]) == (21, 21)
    assert shell.space["Out"][result.execution_count] == 21
    assert f"Out[{result.execution_count}]: 21" in capsys.readouterr().out
    assert shell.value("_ + 1") == 22


def test_what_the_cell_prints_comes_first_then_the_card_then_the_value(shell, capsys):
    shell.value("%%trackrun a\nprint('one')\ndisplay('two')\nprint('three')\n'four'")
    out = capsys.readouterr().out
    places = [out.index(one) for one in ("one\n", "'two'", "three\n", "Run 2", "'four'")]
    assert places == sorted(places)


def test_standard_error_stays_standard_error(shell, capsys):
    shell.value("%%trackrun a\nimport sys\nprint('oops', file=sys.stderr)")
    assert capsys.readouterr().err == "oops\n"


@pytest.mark.parametrize(
    "body",
    ["41;", "41;  # no", "import asyncio\nawait asyncio.sleep(0, 41);", "x = 41", "None"],
)
def test_a_cell_without_a_value_to_show_has_none(shell, body):
    result = shell.run(f"%%trackrun a\n{body}")
    assert result.success
    assert result.result is None
    assert result.execution_count not in shell.space["Out"]
    assert shell.record.status == "finished"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("all", ["1", "2", "3"]),
        ("none", []),
        ("last_expr", ["3"]),
        ("last_expr_or_assign", ["3"]),
    ],
)
def test_how_much_is_shown_is_ipythons_setting(shell, capsys, mode, expected):
    shell.ip.ast_node_interactivity = mode
    shell.value("%%trackrun a\n1\n2\n3")
    assert re.findall(r"^Out\[\d+\]: (\d)$", capsys.readouterr().out, re.MULTILINE) == expected


@pytest.mark.parametrize("body", ["x = 5", "x: int = 5", "x = 4\nx += 1"])
def test_an_assignment_is_shown_when_ipython_is_set_to(shell, body):
    shell.ip.ast_node_interactivity = "last_expr_or_assign"
    assert shell.run(f"%%trackrun a\n{body}").result == 5


@pytest.mark.parametrize("body", ["x = y = 5", "x, y = 5, 6", "x[0] = 5", "x = 5;"])
def test_only_an_assignment_to_one_name_is_shown(shell, body):
    shell.ip.ast_node_interactivity = "last_expr_or_assign"
    shell.space["x"] = [0]
    assert shell.run(f"%%trackrun a\n{body}").result is None


def test_the_last_value_is_silenced_in_every_mode(shell, capsys):
    shell.ip.ast_node_interactivity = "all"
    shell.value("%%trackrun a\n1\n2;")
    assert "Out[" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "body",
    [
        "import asyncio\nx = await asyncio.sleep(0, 5)\nx",
        "async def g():\n    yield 5\nasync for x in g():\n    pass\nx",
        "async with five() as x:\n    pass\nx",
        "import asyncio\n[await asyncio.sleep(0, 5) for _ in 'a'][0]",
        "async def f():\n    return 5\nawait f()",
    ],
    ids=["await", "async-for", "async-with", "comprehension", "last"],
)
def test_a_body_that_waits_is_tracked_like_any_other(shell, body):
    shell.value(
        "from contextlib import asynccontextmanager\n"
        "@asynccontextmanager\nasync def five():\n    yield 5"
    )
    assert shell.run(f"%%trackrun a\n{body}").result == 5
    assert shell.record.status == "finished"
    assert shell.session(shell.record)["cells"][0]["source"] == body + "\n"


def test_a_body_that_only_defines_a_coroutine_is_not_rewritten(shell):
    shell.value("%%trackrun a\nasync def f():\n    return 'await'")
    assert shell.record.status == "finished"
    assert shell.value("await f()") == "await"


def test_a_magic_inside_runs(shell, capsys):
    shell.value("%%trackrun a\n%%time\nx = 7\nx")
    assert shell.space["_"] == 7
    assert "Wall time" in capsys.readouterr().out
    assert shell.record.params == {"x": 7}


def test_captured_output_goes_into_its_variable(shell, capsys):
    shell.value("%%trackrun a\n%%capture out\nprint('inside')\nx = 7")
    assert shell.space["out"].stdout == "inside\n"
    assert "inside" not in capsys.readouterr().out
    assert shell.record.params == {"x": 7}


def test_shell_commands_and_line_magics_run_inside(shell):
    shell.value("%%trackrun a\nfound = !echo hello\nhere = %pwd\n!!echo x")
    assert list(shell.space["found"]) == ["hello"]
    assert shell.space["here"] == str(shell.root)


def test_future_imports_of_an_earlier_cell_hold(shell):
    shell.value("from __future__ import annotations")
    shell.value("%%trackrun a\ndef f(x: undefined) -> nowhere: return 1\nf(0)")
    assert shell.space["f"].__annotations__ == {"x": "undefined", "return": "nowhere"}


def test_transformers_of_the_session_are_applied_once(shell):
    import ast

    class Double(ast.NodeTransformer):
        def visit_Constant(self, node):
            return ast.Constant(node.value * 2) if isinstance(node.value, int) else node

    shell.ip.ast_transformers.append(Double())
    assert shell.run("%%trackrun a\nx = 3\nx").result == 6


def test_the_tracked_cell_is_the_last_run(shell):
    shell.value("%%trackrun a\n1")
    run = shell.value("import nbversion; nbversion.last_run()")
    assert (run.run_id, run.status) == (shell.record.run_id, "finished")


# -- mistakes and exceptions -----------------------------------------------------------------


@pytest.mark.parametrize("body", ["for", "x = (1,\n", "return 5", "  x = 1\n y = 2", "f(**a, *b)"])
def test_a_mistake_in_the_text_is_shown_as_ipython_does_and_nothing_is_recorded(
    shell, capsys, body
):
    shell.error(f"\n{body}")
    plain = capsys.readouterr().out
    before = shell.written()
    error = shell.error(f"%%trackrun a\n{body}")
    shown = capsys.readouterr().out
    assert isinstance(error, SyntaxError)
    assert "nbversion" not in shown
    assert shown.count("Error") == 1
    assert shown.splitlines()[-2:] == plain.splitlines()[-2:]
    assert shell.written() == before


def lines_of(text):
    """The line numbers that a traceback points to."""
    return re.findall(r"^-+> (\d+)", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("%%trackrun a\n1/0", "2"),
        ("%%trackrun a\n\n\n1/0", "4"),
        ("%%trackrun a\n   \n\t\n# why\n\n1/0", "6"),
        ("%%trackrun a\n# why\nx = '''\n\n'''\n1/0", "6"),
        ("%%trackrun a\nx = 1\n%pwd\n1/0", "4"),
        ("%%trackrun a\n\nimport asyncio\nawait asyncio.sleep(0)\n1/0", "5"),
    ],
)
def test_a_traceback_points_to_the_notebooks_line(shell, capsys, cell, line):
    error = shell.error(cell)
    shown = capsys.readouterr().out
    assert isinstance(error, ZeroDivisionError)
    assert lines_of(shown) == [line]
    assert shown.count("Traceback") == 1
    assert shown.count("ZeroDivisionError: ") == 1
    assert "nbversion" not in shown.partition("Traceback")[2]
    assert "run_cell_magic" not in shown


def test_functions_of_the_cell_are_in_its_traceback(shell, capsys):
    shell.error("%%trackrun a\ndef f():\n    return 1/0\n\ndef g():\n    return f()\n\ng()")
    assert lines_of(capsys.readouterr().out) == ["8", "6", "3"]


def test_functions_of_other_cells_are_in_it_too(shell, capsys):
    shell.value("def f():\n    return 1/0")
    shell.error("%%trackrun a\nf()")
    assert lines_of(capsys.readouterr().out) == ["2", "2"]


def test_the_exception_is_the_users_own_object(shell):
    shell.value("class Mine(Exception): pass\nkept = Mine('text')")
    result = shell.run("%%trackrun a\nraise kept")
    assert result.error_in_exec is shell.space["kept"]
    assert result.error_before_exec is None
    assert shell.record.status == "failed"
    assert shell.record.extra["error"] == {"type": "Mine", "message": "text"}


def test_a_kept_exception_that_is_raised_later_shows_where(shell, capsys):
    shell.error("%%trackrun a\ntry:\n    1/0\nexcept Exception as exc:\n    kept = exc\n    raise")
    capsys.readouterr()
    shell.error("x = 1\ny = 2\nraise kept")
    assert lines_of(capsys.readouterr().out)[0] == "3"
    assert "showtraceback" not in vars(shell.ip)
    assert vars(shell.space["kept"]) == {}


def test_causes_are_shown_with_their_own_lines(shell, capsys):
    body = "try:\n    1/0\nexcept ZeroDivisionError as exc:\n    raise ValueError('bad') from exc"
    shell.error(f"%%trackrun a\n{body}")
    shown = capsys.readouterr().out
    assert lines_of(shown) == ["3", "5"]
    assert "direct cause" in shown
    assert "nbversion" not in shown.partition("Traceback")[2]


def test_a_group_of_exceptions_is_shown_once_and_without_our_frames(shell, capfd):
    error = shell.error("%%trackrun a\nraise ExceptionGroup('g', [ValueError(1)])")
    assert isinstance(error, ExceptionGroup)
    shown = "".join(capfd.readouterr())
    assert shown.count("Traceback") == 1
    assert "ValueError: 1" in shown
    assert "run_cell_magic" not in shown
    assert "nbversion/" not in shown


def test_a_syntax_error_at_run_time_is_shown_without_our_frames(shell, capsys):
    assert isinstance(shell.error("%%trackrun a\nexec('1+')"), SyntaxError)
    shown = capsys.readouterr().out
    assert "exec('1+')" in shown
    assert "nbversion/" not in shown
    assert shell.record.status == "failed"


def test_leaving_the_cell_is_a_failed_run(shell, capsys):
    with pytest.warns(UserWarning, match="To exit"):
        error = shell.error("%%trackrun a\nraise SystemExit(3)")
    assert isinstance(error, SystemExit)
    assert shell.record.status == "failed"


def test_an_exception_that_cannot_tell_its_text_is_recorded(shell, capsys):
    shell.error(
        "%%trackrun a\nclass Mute(Exception):\n    def __str__(self): raise RuntimeError('no')\n"
        "raise Mute()"
    )
    assert shell.record.status == "failed"
    assert shell.record.extra["error"]["type"] == "Mute"


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "asyncio.CancelledError"])
def test_an_interrupt_is_recorded_as_such_and_passed_on(shell, kind):
    result = shell.run(f"%%trackrun a\nimport asyncio\nseed = 3\nraise {kind}")
    assert type(result.error_in_exec).__name__ == kind.rpartition(".")[2]
    assert (shell.record.status, shell.record.params) == ("interrupted", {"seed": 3})


@pytest.mark.parametrize("show", ["Rich", None], ids=["somebody shows errors too", "IPython's own"])
def test_who_else_shows_errors_is_still_asked(shell, show):
    seen = []
    if show:
        shell.ip.showtraceback = lambda *args, **kwargs: seen.append(sys.exc_info()[1])
        mine = shell.ip.showtraceback
    error = shell.error("%%trackrun a\n1/0")
    if show:
        assert seen == [error]
        assert shell.ip.showtraceback is mine
        del shell.ip.showtraceback
    assert "showtraceback" not in vars(shell.ip)


# -- hostile bodies --------------------------------------------------------------------------


def test_the_record_stays_in_the_project_when_the_cell_goes_elsewhere(shell, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (shell.root / "out.txt").write_text("x")
    shell.value(f"%%trackrun a --artifact out.txt\nimport os\nos.chdir({str(other)!r})")
    assert shell.record.artifacts[0]["path"].endswith("artifacts/out.txt")
    assert os.listdir(other) == []
    shell.value("%%trackrun b\n1")
    assert len(shell.records) == 2


def test_the_record_is_written_when_the_cell_deletes_its_folder(shell, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    shell.value(f"%%trackrun a\nimport os\nos.rmdir({str(gone)!r})\nseed = 1")
    assert shell.record.params == {"seed": 1}
    error = shell.error("%%trackrun b\nran = True")
    assert "working directory was deleted" in str(error)
    assert "ran" not in shell.space
    os.chdir(shell.root)


@pytest.mark.parametrize("what", ["io.StringIO()", "None", "object()"])
def test_the_record_is_written_when_the_cell_replaces_standard_output(shell, monkeypatch, what):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    shell.run(f"%%trackrun a\nimport io, sys\nsys.stdout = {what}\nseed = 1")
    assert (shell.record.status, shell.record.params) == ("finished", {"seed": 1})


def test_a_forked_child_records_nothing(shell):
    body = """
import os
import nbversion
pid = os.fork()
if not pid:
    try:
        nbversion.log_metric("f1", 0.5)
    except nbversion.NbversionError:
        os._exit(7)
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
nbversion.log_metric("own", 1)
code
"""
    assert shell.value(f"%%trackrun a\n{body}") == 7
    assert shell.record.metrics == {"own": 1}


@pytest.mark.parametrize("ending", ["raise SystemExit(5)", "1/0", "pass"])
def test_a_forked_child_that_leaves_the_cell_writes_nothing(shell, ending):
    # The child runs on into our own end of the run, then into the shell: it is stopped there.
    shell.space["stop"] = lambda *_: os._exit(9) if os.getpid() != parent else None
    parent = os.getpid()
    shell.ip.events.register("post_run_cell", shell.space["stop"])
    body = f"import os\nparent = os.getpid()\npid = os.fork()\nif not pid:\n    {ending}\nelse:\n"
    body += "    os.waitpid(pid, 0)\n    left = sorted(os.listdir('runs'))"
    shell.value(f"%%trackrun a\n{body}")
    (running,) = [one for one in shell.space["left"] if one.endswith(".yaml")]
    assert running.removesuffix(".yaml") not in shell.space["left"]
    assert shell.record.status == "finished"


def test_threads_of_the_cell_speak_to_its_run(shell):
    body = """
import threading, nbversion
def work(number):
    for step in range(20):
        nbversion.log_metric(f"m{number}", step, step=step)
    with open(f"f{number}.txt", "w") as handle:
        handle.write(str(number))
    nbversion.log_artifact(f"f{number}.txt")
threads = [threading.Thread(target=work, args=(one,)) for one in range(8)]
[one.start() for one in threads]
[one.join() for one in threads];
"""
    record = shell.tracked(body)
    assert record.metrics == {f"m{one}": 19 for one in range(8)}
    folder = shell.root / "runs" / record.run_id
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 160
    listed = sorted(one["path"].rpartition("/")[2] for one in record.artifacts)
    assert listed == sorted(os.listdir(folder / "artifacts")) == [f"f{n}.txt" for n in range(8)]


@pytest.mark.parametrize(
    ("body", "runs"),
    [
        ("%%trackrun b\nran = 1", 0),
        ("\n\n%%trackrun b\nran = 1", 0),
        ("get_ipython().run_cell_magic('trackrun', 'b', 'ran = 1')", 1),
        ("%%time\n%%trackrun b\nran = 1", 1),
    ],
)
def test_a_run_inside_a_run_is_one_line(shell, capsys, body, runs):
    error = shell.error(f"%%trackrun a\n{body}")
    shown = capsys.readouterr().out
    assert isinstance(error, InvalidInputError)
    assert "Put it into a cell of its own" in shown
    assert "Traceback" not in shown
    assert "ran" not in shell.space
    assert [one.status for one in shell.records] == ["failed"] * runs
    shell.value("%%trackrun c\n1")


def test_a_run_may_stand_in_a_capture(shell, capsys):
    shell.value("%%capture out\n%%trackrun a\nseed = 1\nprint('inside')")
    assert cards(capsys.readouterr().out) == []
    assert "inside\n" in shell.space["out"].stdout
    assert shell.record.params == {"seed": 1}


# -- faults of our own -----------------------------------------------------------------------


class Faulty(Disk):
    """A disk that refuses one primitive once it was told to."""

    primitive = None

    def step(self, primitive, path):
        if primitive == self.primitive:
            raise StorageError(f"cannot {primitive}: the disk is full.")


@pytest.fixture
def faulty(shell):
    disk = Faulty()
    magic = shell.ip.find_line_magic("nbversion")
    # The session that the magics share.
    (session,) = [
        one.cell_contents
        for one in _wrapped(magic).__closure__
        if hasattr(one.cell_contents, "shell")
    ]
    session.project._folder.disk = disk
    shell.space["disk"] = disk
    return disk


def _wrapped(function):
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


@pytest.mark.parametrize("primitive", ["stage", "write", "publish", "replace", "remove"])
def test_our_own_failure_never_hides_the_users_error(shell, faulty, capsys, primitive):
    error = shell.error(f"%%trackrun a\ndisk.primitive = {primitive!r}\n1/0")
    assert isinstance(error, ZeroDivisionError)
    shown = capsys.readouterr().out
    assert lines_of(shown) == ["3"]
    faulty.primitive = None
    shell.value("%%trackrun b\nseed = 1")
    assert shell.records[-1].params == {"seed": 1}


def test_what_could_not_be_written_is_added_to_the_users_error(shell, faulty):
    error = shell.error("%%trackrun a\ndisk.primitive = 'replace'\n1/0")
    (note,) = error.__notes__
    assert "record could not be written: cannot replace" in note


@pytest.mark.parametrize("primitive", ["stage", "publish"])
def test_files_that_cannot_be_kept_leave_a_record_that_says_so(shell, faulty, primitive):
    (shell.root / "out.txt").write_text("x")
    error = shell.error(f"%%trackrun a --artifact out.txt\ndisk.primitive = {primitive!r}\nx = 1")
    assert isinstance(error, StorageError)
    record = shell.record
    assert (record.status, record.params, record.artifacts) == ("finished", {"x": 1}, ())
    assert any("the disk is full" in one for one in record.warnings)


def test_an_interrupt_while_the_run_is_saved_leaves_a_record_that_says_so(shell):
    shell.value(
        "class Slow:\n    def __reduce__(self):\n        raise KeyboardInterrupt\nslow = Slow()"
    )
    error = shell.error("%%trackrun a --model m=slow\nslow = slow")
    assert isinstance(error, KeyboardInterrupt)
    assert shell.record.status == "interrupted"
    assert any("saving" in one for one in shell.record.warnings)
    assert shell.project.catalog.registrar.models() == []
    assert shell.value("%nbversion").running == ()


def test_a_model_whose_saving_fails_in_an_unknown_way_keeps_the_run(shell):
    shell.value(
        "class Odd:\n    def __reduce__(self):\n        raise Exception('odd')\nodd = Odd()"
    )
    error = shell.error("%%trackrun a --model m=odd\nseed = 1\nodd = odd")
    assert "cannot be saved" in str(error)
    assert (shell.record.status, shell.record.params) == ("finished", {"seed": 1})
