"""A fresh shell for each test, and real kernels that know nothing of this machine."""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path

import pytest

from nbversion.project import Project
from nbversion.tracking import active, tracker


class Shell:
    """A shell in a project of its own, with the extension loaded."""

    def __init__(self, ip, root):
        self.ip = ip
        self.root = root
        self.space = ip.user_ns

    def run(self, code, **options):
        """Run a cell and return IPython's result."""
        return self.ip.run_cell(code, store_history=True, **options)

    def value(self, code):
        """Run a cell that must succeed and return its value."""
        result = self.run(code)
        result.raise_error()
        return result.result

    def error(self, code):
        """Run a cell that must fail and return the exception that it failed with."""
        result = self.run(code)
        found = result.error_in_exec or result.error_before_exec
        assert found is not None
        return found

    @property
    def project(self):
        return Project(self.root)

    @property
    def records(self):
        runs = self.project.catalog.runs
        return [runs.load(one) for one in runs.ids()]

    @property
    def record(self):
        """The only run there is, as its file says."""
        (found,) = self.records
        assert found.problem is None
        return found

    def tracked(self, body, options=""):
        """Run a tracked cell that must succeed and return its record."""
        known = self.project.catalog.runs.ids()
        self.value(f"%%trackrun a {options}\n{body}")
        (new,) = set(self.project.catalog.runs.ids()) - set(known)
        return self.project.catalog.runs.load(new)

    def session(self, record):
        """What lies beside a record: the session's log."""
        path = self.root / "runs" / record.run_id / "session.json"
        return json.loads(path.read_text(encoding="utf-8"))

    def written(self):
        """Every file below the project, and what is in it."""
        return {
            str(one.relative_to(self.root)): one.read_bytes()
            for one in self.root.rglob("*")
            if one.is_file()
        }


_environment = []


@pytest.fixture
def quick(monkeypatch):
    """Read the environment once for all tests; a real kernel reads its own."""
    read = tracker.read_environment

    def once(cached, **options):
        if not _environment:
            _environment.append(read(None, **options))
        return _environment[0]

    monkeypatch.setattr(tracker, "read_environment", once)


@pytest.fixture
def ip(tmp_path, monkeypatch):
    """A shell without history, styles or traces in the next test."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    for name in ("IPYTHONDIR", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    main, path = sys.modules["__main__"], list(sys.path)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    yield shell
    shell.run_line_magic("unload_ext", "nbversion")
    shell.restore_sys_module_state()
    atexit.unregister(shell.atexit_operations)
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main
    sys.path[:] = path
    active._active.clear()
    active._last.clear()


@pytest.fixture
def shell(ip, root, quick):
    ip.run_line_magic("load_ext", "nbversion")
    return Shell(ip, root)


@pytest.fixture
def data(shell):
    """A frozen data set, ``iris_v0.1``."""
    (shell.root / "iris.csv").write_text("a,b\n1,2\n")
    shell.value("%snapshot iris.csv")
    return shell.root / "data" / "snapshots" / "iris_v0.1" / "iris.csv"


# -- real kernels ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kernel_home(tmp_path_factory):
    """Return the environment of a kernel that knows nothing of this machine's settings."""
    home = tmp_path_factory.mktemp("kernel-home")
    spec = home / "data" / "kernels" / "nbv"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
    (spec / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [*argv, "-f", "{connection_file}", "--HistoryManager.enabled=False"],
                "display_name": "nbv",
                "language": "python",
            }
        )
    )
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "NBVERSION_", "JPY_"))},
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PATH": "",
        "PYTHONWARNINGS": "",
        "GIT_CEILING_DIRECTORIES": str(home.parent),
    }


@pytest.fixture
def jupyter(kernel_home, monkeypatch):
    """Let the Jupyter libraries of this process find the kernel of `kernel_home`."""
    for name, value in kernel_home.items():
        monkeypatch.setenv(name, value)
    return kernel_home


class Answer:
    """What a kernel answered to one cell, in order."""

    def __init__(self, reply, messages):
        self.status = reply["status"]
        self.reply = reply
        self.messages = messages
        self.errors = [one["content"] for one in messages if one["msg_type"] == "error"]

    @property
    def stdout(self):
        return "".join(
            one["content"]["text"]
            for one in self.messages
            if one["msg_type"] == "stream" and one["content"]["name"] == "stdout"
        )

    @property
    def result(self):
        found = [one for one in self.messages if one["msg_type"] == "execute_result"]
        return found[0]["content"]["data"]["text/plain"] if found else None

    @property
    def kinds(self):
        kinds = ("stream", "display_data", "execute_result", "error")
        return [one["msg_type"] for one in self.messages if one["msg_type"] in kinds]


class Kernel:
    """A running kernel with the extension loaded in a project of its own."""

    def __init__(self, manager, client, root):
        self.manager = manager
        self.client = client
        self.root = root

    def run(self, code, *, when=None, then=None):
        """Run a cell; when it has printed `when`, call `then`."""
        sent = self.client.execute(code)
        messages, seen = [], ""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != sent:
                continue
            messages.append(message)
            if message["msg_type"] == "stream":
                seen += message["content"]["text"]
                if when is not None and when in seen:
                    when = None
                    then()
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == sent:
                return Answer(reply["content"], messages)

    def complete(self, code):
        """Ask for completions at the end of `code`."""
        sent = self.client.complete(code, len(code))
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == sent:
                return reply["content"]

    def new(self, act):
        """Return what `act` returns, and the record of the run that it made."""
        runs = Project(self.root).catalog.runs
        known = set(runs.ids())
        done = act()
        (made,) = set(runs.ids()) - known
        return done, runs.load(made)

    def tracked(self, code, **options):
        """Run a cell and return the answer and the record that it made."""
        return self.new(lambda: self.run(code, **options))


def start_kernel(root, environment):
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    spec = Path(environment["JUPYTER_DATA_DIR"]) / "kernels" / "nbv"
    manager = KernelManager()
    manager._kernel_spec = KernelSpec.from_resource_dir(str(spec))
    manager.start_kernel(cwd=str(root), env=environment)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    kernel = Kernel(manager, client, root)
    assert kernel.run("%load_ext nbversion").status == "ok"
    return kernel


def stop_kernel(kernel):
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)
    kernel.manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel(kernel_home, tmp_path_factory):
    """One kernel for all tests of a module."""
    root = tmp_path_factory.mktemp("kernel-project")
    running = start_kernel(root, kernel_home)
    yield running
    stop_kernel(running)


@pytest.fixture
def own_kernel(kernel_home, root):
    """A kernel that the test may kill."""
    running = start_kernel(root, kernel_home)
    yield running
    stop_kernel(running)


@pytest.fixture
def two_kernels(kernel_home, root):
    """Two kernels in one project."""
    running = [start_kernel(root, kernel_home) for _ in range(2)]
    yield running
    for one in running:
        stop_kernel(one)
