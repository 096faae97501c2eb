"""What only a real kernel shows: messages, interrupts, death, other front ends."""

from __future__ import annotations

import json

import pytest

from nbversion.project import Project


def test_the_messages_of_a_tracked_cell_are_those_of_a_cell_and_the_card(kernel):
    body = (
        "import sys\nprint('one', flush=True)\ndisplay('two')\nprint('three', flush=True)\n40 + 2"
    )
    answer, record = kernel.tracked(f"%%trackrun messages\n{body}")
    assert answer.status == "ok"
    assert answer.kinds == ["stream", "display_data", "stream", "display_data", "execute_result"]
    assert answer.result == "42"
    card = [one for one in answer.messages if one["msg_type"] == "display_data"][1]["content"][
        "data"
    ]
    assert record.run_id in card["text/html"]
    assert record.run_id in card["text/plain"]
    assert record.code["execution_count"] == answer.reply["execution_count"]
    assert kernel.run("_").result == "42"
    assert kernel.run(f"Out[{answer.reply['execution_count']}]").result == "42"


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("import asyncio\nawait asyncio.sleep(0, 5)", "5"),
        ("import asyncio\nawait asyncio.sleep(0, 5);", None),
        ("async def g():\n    yield 5\nasync for x in g():\n    pass\nx", "5"),
        ("%%time\nx = 5\nx", "5"),
        ("x = !echo 5\nx[0]", "'5'"),
        ("5;", None),
    ],
)
def test_a_body_of_any_kind_runs(kernel, body, result):
    answer, record = kernel.tracked(f"%%trackrun kinds\n{body}")
    assert (answer.status, record.status) == ("ok", "finished")
    assert answer.result == result


@pytest.mark.parametrize(
    ("body", "line"),
    [("\n# why\n1/0", 4), ("\nimport asyncio\nawait asyncio.sleep(0)\n1/0", 5)],
)
def test_an_error_is_one_message_with_the_notebooks_line(kernel, body, line):
    answer, record = kernel.tracked(f"%%trackrun errors\n{body}")
    (error,) = answer.errors
    text = "\n".join(error["traceback"])
    assert answer.status == "error"
    assert (answer.reply["ename"], error["ename"]) == ("ZeroDivisionError", "ZeroDivisionError")
    assert f"line {line}" in text
    assert "nbversion/" not in text
    assert record.status == "failed"


def test_a_mistake_in_the_text_is_one_message_without_our_frames(kernel):
    (error,) = kernel.run("%%trackrun mistakes\nfor").errors
    assert error["ename"] == "SyntaxError"
    assert "nbversion/" not in "".join(error["traceback"])


@pytest.mark.parametrize(
    "wait",
    [
        "import time\nbegun()\ntime.sleep(600)",
        "begun()\nwhile True: pass",
    ],
    ids=["sleep", "loop"],
)
def test_an_interrupt_ends_the_run_and_the_cell(kernel, wait):
    kernel.run("def begun(): print('begun', flush=True)")
    answer, record = kernel.tracked(
        f"%%trackrun interrupts\nseed = 7\n{wait}",
        when="begun",
        then=kernel.manager.interrupt_kernel,
    )
    assert answer.status == "error"
    assert len(answer.errors) == 1
    assert answer.reply["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert record.status == "interrupted"
    assert record.params["seed"] == 7
    answer, record = kernel.tracked("%%trackrun interrupts\n'alive'")
    assert (answer.result, record.status) == ("'alive'", "finished")


def test_an_interrupt_of_a_body_that_waits_ends_the_run(kernel):
    # ipykernel cancels any cell that waits only when its event loop wakes up next.
    answer, record = kernel.tracked(
        "%%trackrun waits\nimport asyncio\nprint('begun', flush=True)\n"
        "while True:\n    await asyncio.sleep(0.01)",
        when="begun",
        then=kernel.manager.interrupt_kernel,
    )
    assert (answer.status, len(answer.errors), record.status) == ("error", 1, "interrupted")


def test_a_mistake_in_a_magic_is_one_line(kernel):
    answer = kernel.run("%snapshot gone.csv")
    assert answer.status == "error"
    (error,) = answer.errors
    assert len(error["traceback"]) == 1
    assert error["traceback"][0].startswith("NotFoundError: ")


def test_the_kernel_completes_as_one_types(kernel):
    kernel.tracked("%%trackrun completes --model completed=x\nx = {}")
    found = kernel.complete("%promote compl")
    assert found["matches"] == ["completed"]
    assert "v0.1.0-dev.1" in kernel.complete("%promote completed v")["matches"]
    line = "%verify completed@"
    found = kernel.complete(line)
    whole = [line[: found["cursor_start"]] + one for one in found["matches"]]
    assert "%verify completed@production" in whole
    assert any("classmethod" in one for one in kernel.complete("classm")["matches"])


def test_worker_processes_record_nothing(kernel):
    body = """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
def work(number):
    import nbversion
    try:
        nbversion.log_metric("child", number)
    except nbversion.NbversionError as exc:
        return "refused"
    return "recorded"
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    answers = set(pool.map(work, range(4)))
answers
"""
    answer, record = kernel.tracked(f"%%trackrun workers\n{body}")
    assert answer.result == "{'refused'}"
    assert record.metrics == {}


def test_a_kernel_that_dies_leaves_a_run_that_the_next_one_calls_lost(own_kernel, root):
    runs = Project(root).catalog.runs
    # The cell waits for our answer, then dies without any clean-up.
    code = "%%trackrun dies\nseed = 1\nprint('begun', flush=True)\nimport os, pathlib, time\n"
    code += "while not pathlib.Path('go').exists(): time.sleep(0.01)\nos._exit(1)"
    client = own_kernel.client
    client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream" and "begun" in message["content"]["text"]:
            break
    (run_id,) = runs.ids()
    assert runs.load(run_id).status == "running"
    (root / "go").write_text("")
    own_kernel.manager.provisioner.process.wait(timeout=60)
    assert runs.load(run_id).status == "lost"
    assert b'status: "running"' in (root / f"runs/{run_id}.yaml").read_bytes()
    with Project(root).track("next"):
        pass
    assert b'status: "lost"' in (root / f"runs/{run_id}.yaml").read_bytes()
    assert runs.load(run_id).problem is None


def notebook(*cells):
    import nbformat.v4 as v4

    return v4.new_notebook(
        cells=[v4.new_code_cell(one) for one in cells],
        metadata={"kernelspec": {"name": "nbv", "display_name": "nbv", "language": "python"}},
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_run_all_stops_at_a_tracked_cell_that_fails(jupyter, root):
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    cells = (
        "%load_ext nbversion",
        "%%trackrun a\nseed = 1\nseed",
        "%%trackrun b --metrics f1\n1",
        "3",
    )
    book = notebook(*cells)
    client = NotebookClient(book, kernel_name="nbv", resources={"metadata": {"path": str(root)}})
    with pytest.raises(CellExecutionError, match="never defined 'f1'"):
        client.execute()
    first, second = Project(root).catalog.runs.all()
    assert first.params == {"seed": 1}
    assert second.status == "finished"
    assert book.cells[1].outputs[-1]["data"]["text/plain"] == "1"
    assert book.cells[3].execution_count is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_papermill_runs_a_notebook_with_a_tracked_cell(jupyter, root):
    papermill = pytest.importorskip("papermill")
    book = notebook("%load_ext nbversion", "rate = 0.1", "%%trackrun a\nloss = 1 - rate\nloss")
    book.cells[1].metadata["tags"] = ["parameters"]
    (root / "in.ipynb").write_text(json.dumps(book))
    papermill.execute_notebook(
        str(root / "in.ipynb"),
        str(root / "out.ipynb"),
        parameters={"rate": 0.5},
        kernel_name="nbv",
        cwd=str(root),
        progress_bar=False,
    )
    (record,) = Project(root).catalog.runs.all()
    assert (record.status, record.params) == ("finished", {"rate": 0.5})
