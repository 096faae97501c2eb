"""JupyterLab on a loopback port, driven by Debian's Chromium.

In CI a browser that cannot start is a failure; elsewhere the tests are skipped without one.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_S = 120
_BROWSER_MS = 120_000
_SETTINGS = {
    # Cells out of sight would not be in the page.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # No news toast in the pictures.
    "apputils-extension/notification": {"fetchNews": "false"},
}


@dataclass(frozen=True)
class Lab:
    url: str
    root: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("lab-home")
    root = tmp_path_factory.mktemp("lab-root")
    settings = home / "settings" / "@jupyterlab"
    for name, values in _SETTINGS.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    environment = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    port = free_port()
    # An empty token is for the loopback of a test only.
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]
    log = home / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=root
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/api/status", server, log)
            yield Lab(url=url, root=root)
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url, server, log):
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if server.poll() is not None:
                break
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


# Of the module only: as long as it lives, Playwright's event loop runs in this thread, and a test
# that drives IPython's own would find it running.
@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed, and in CI the browser tests must run")
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"],
        )
        yield chromium
        chromium.close()


class Notebook:
    """A notebook open in the browser, its kernel connected."""

    def __init__(self, page):
        self.page = page

    def run_all(self) -> None:
        """Run every cell; returns when the last one is done."""
        self.page.evaluate(
            "async () => await window.jupyterapp.commands.execute('notebook:run-all-cells')"
        )

    def cells(self) -> list[dict]:
        """Return the code cells as the front end holds them, outputs included."""
        model = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.model.toJSON()"
        )
        return [cell for cell in model["cells"] if cell["cell_type"] == "code"]

    def errors(self) -> list[str]:
        """Return what the failed cells said."""
        return [
            f"{cell['source']}\n{output['ename']}: {output['evalue']}"
            for cell in self.cells()
            for output in cell["outputs"]
            if output["output_type"] == "error"
        ]

    def show(self, text: str) -> None:
        """Scroll to the first cell that shows `text`."""
        cell = self.page.locator(".jp-Notebook .jp-Cell", has_text=text).first
        cell.evaluate("cell => cell.scrollIntoView({block: 'start'})")


_CONNECTED = """async () => {
    const app = window.jupyterapp;
    if (!app) return false;
    await app.restored;
    const panel = app.shell.currentWidget;
    if (!panel || !panel.context) return false;
    await panel.context.ready;
    await panel.sessionContext.ready;
    return panel.sessionContext.session?.kernel?.connectionStatus === 'connected';
}"""


@pytest.fixture
def open_notebook(lab, browser):
    """Return a function that opens a notebook of the server's folder, in Lab or in Notebook 7."""
    pages = []

    def open_it(path: str, *, front_end: str = "lab/tree", width: int = 1200, height: int = 1500):
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        query = "?reset" if front_end == "lab/tree" else ""
        page.goto(f"{lab.url}/{front_end}/{path}{query}", timeout=_BROWSER_MS)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=_BROWSER_MS)
        page.wait_for_function(_CONNECTED, timeout=_BROWSER_MS)
        return Notebook(page)

    yield open_it
    for page in pages:
        page.close()
