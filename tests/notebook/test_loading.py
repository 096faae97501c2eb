"""Loading and unloading leave nothing behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nbversion import present
from nbversion.notebook.session import Session

HEAVY = ("IPython", "ipywidgets", "graphviz", "nbformat", "yaml", "pandas", "numpy", "cloudpickle")


@pytest.mark.parametrize("act", ["", "nbversion.__version__; dir(nbversion)"])
def test_importing_the_package_loads_nothing_heavy(act):
    code = f"import sys, nbversion; {act}\nprint([one for one in {HEAVY} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    code = "import nbversion\nprint(all(hasattr(nbversion, one) for one in nbversion.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_importing_the_functions_loads_no_front_end():
    heavy = ("IPython", "ipywidgets", "nbformat", "graphviz", "pandas")
    code = f"import sys, nbversion.api\nprint([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def state(ip):
    return {
        # IPython loads its own magics when they are first used, so by name.
        "magics": {kind: set(table) for kind, table in ip.magics_manager.magics.items()},
        "matchers": list(ip.Completer.custom_matchers),
        "transformers": list(ip.input_transformers_cleanup),
        "events": {name: list(calls) for name, calls in ip.events.callbacks.items()},
        "chosen": list(present._chosen),
    }


def test_unloading_takes_everything_back(ip, root):
    before = state(ip)
    ip.run_line_magic("load_ext", "nbversion")
    loaded = state(ip)
    assert all(loaded[key] != before[key] for key in before)
    ip.run_line_magic("unload_ext", "nbversion")
    assert state(ip) == before


def test_loading_writes_nothing_and_twice_is_fine(ip, root, capsys):
    ip.run_line_magic("load_ext", "nbversion")
    once = state(ip)
    ip.run_line_magic("load_ext", "nbversion")
    assert state(ip) == once
    from nbversion.notebook.extension import load

    load(ip)
    twice = state(ip)
    assert [len(twice[key]) for key in ("matchers", "transformers", "chosen")] == [
        len(once[key]) for key in ("matchers", "transformers", "chosen")
    ]
    assert {key: len(one) for key, one in twice["events"].items()} == {
        key: len(one) for key, one in once["events"].items()
    }
    assert list(root.iterdir()) == []


def test_unloading_leaves_a_magic_that_somebody_else_put_in_its_place(ip, root):
    ip.run_line_magic("load_ext", "nbversion")

    def verify(line):
        return "theirs"

    ip.register_magic_function(verify)
    ip.run_line_magic("unload_ext", "nbversion")
    assert ip.run_line_magic("verify", "") == "theirs"
    del ip.magics_manager.magics["line"]["verify"]


def test_unloading_what_was_not_loaded_is_fine(ip):
    import nbversion

    before = state(ip)
    nbversion.unload_ipython_extension(ip)
    assert state(ip) == before


def test_reloading_keeps_the_magics(ip, root, quick):
    ip.run_line_magic("load_ext", "nbversion")
    ip.run_line_magic("reload_ext", "nbversion")
    assert ip.run_line_magic("nbversion", "").runs == 0


def test_hooks_take_what_other_versions_of_ipython_give(ip):
    session = Session(ip)
    session.before_cell()
    assert session.info is None
    session.before_cell("info", "more", 3)
    assert session.info == "info"
    session.after_cell()
    assert session.info is None
    session.before_cell("info")
    session.after_cell("result", "more")
    assert session.info is None


def test_the_terminal_runs_a_tracked_cell(tmp_path, kernel_home):
    script = tmp_path / "work.ipy"
    script.write_text("%load_ext nbversion\nmade = %nbversion\nprint(made.runs)\n")
    code = "%load_ext nbversion\nget_ipython().run_cell('%%trackrun a\\nseed = 1\\nprint(\"inside\")')\n"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "IPython",
            "--HistoryManager.enabled=False",
            "--colors=nocolor",
            "-c",
            code,
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=kernel_home,
        check=True,
    )
    assert done.stdout.index("inside") < done.stdout.index("[finished]")
    assert len(list((tmp_path / "runs").glob("*.yaml"))) == 1
