"""A project of its own for each test, and nothing of the machine's settings."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from nbversion.project import Project
from nbversion.store.models import ModelContent
from nbversion.store.promotion import Signature, plan_register

# Before any fixture of a module or a session starts a kernel or a shell: with another environment
# activated than the one that runs the tests, IPython warns, and warnings are errors here.
for _name in ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONPATH", "IPYTHONDIR"):
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    """No setting of this machine, of its user or of a git around the tests reaches a test."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("GIT_", "NBVERSION_", "XDG_")) or name == "JUPYTER_IMAGE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(home.parent))


def pytest_terminal_summary(terminalreporter):
    """Print the sums of what tests counted with ``record_property("counted: kills", 50)``.

    Here and not beside those tests: with pytest-xdist the process that prints loads no other conftest.
    """
    sums = Counter()
    failed = {report.nodeid for report in terminalreporter.stats.get("failed", ())}
    # The report of the teardown, which has no word of its own, knows what fixtures counted as well.
    for report in terminalreporter.stats.get("", ()):
        if report.when != "teardown" or report.nodeid in failed:
            continue
        for name, value in report.user_properties:
            if name.startswith("counted: "):
                sums[name.removeprefix("counted: ")] += value
    if sums:
        terminalreporter.section("counted")
        for what, number in sorted(sums.items()):
            terminalreporter.write_line(f"{number:>9,} {what}")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.time

    def advance(self, seconds):
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty project folder, which is also the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(root, clock):
    return Project(root, clock=clock)


@pytest.fixture
def catalog(project):
    return project.catalog


@pytest.fixture
def register(catalog):
    """Freeze and register a model version without a run, or with one."""

    def make(version, content=None, *, model="clf", run_id=None):
        known = catalog.registrar.models()
        registry = catalog.registrar.load(model) if model in known else None
        frozen = catalog.models.freeze(
            model,
            ModelContent(
                items={"model.bin": (content or version or "dev").encode()},
                metrics={"f1": 0.9},
                params={"seed": 1},
                run_id=run_id,
                details={},
                card=lambda made: f"# {model} {made}\n",
            ),
            version=version,
            registry=registry,
        )
        signature = Signature(actor="test", utc=catalog.project.now())
        catalog.registrar.commit(
            model,
            lambda registry: plan_register(
                registry,
                frozen.manifest.version,
                signature,
                digest=frozen.manifest.digest,
                run_id=run_id,
            ),
        )
        return frozen

    return make
