"""What is too large for every day: runs only where ``NBVERSION_NIGHTLY=1`` is set.

``NBVERSION_NIGHTLY=1 pytest tests/nightly``, not in parallel. ``NBVERSION_NIGHTLY_FILES`` (default
1,000,000) and ``NBVERSION_NIGHTLY_SPARSE_BYTES`` (default 100 GB) make it smaller. The files need
about 10 GB and 2,100,000 inodes below pytest's ``--basetemp``, the sparse one next to nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Read now: inside a test no setting of the machine is seen.
ASKED = os.environ.get("NBVERSION_NIGHTLY") == "1"
FILES = int(os.environ.get("NBVERSION_NIGHTLY_FILES", "1000000"))
SPARSE_BYTES = int(os.environ.get("NBVERSION_NIGHTLY_SPARSE_BYTES", str(100 * 10**9)))
# A process counts the peak of the one that started it as its own, and pytest's is large: so a
# small one stands between.
BETWEEN = """
import json, resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
with open(sys.argv[1], "w") as stream:
    json.dump({"status": status, "peak_bytes": peak}, stream)
"""


def pytest_configure(config):
    """Declare the marker."""
    config.addinivalue_line("markers", "nightly: too large for every day; NBVERSION_NIGHTLY=1")


def pytest_collection_modifyitems(config, items):
    """Leave out what nobody asked for."""
    if ASKED:
        return
    ours = [one for one in items if one.path.is_relative_to(HERE)]
    items[:] = [one for one in items if not one.path.is_relative_to(HERE)]
    config.hook.pytest_deselected(items=ours)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    seconds: float
    peak_bytes: int
    out: str
    err: str

    def record(self):
        """Return what ``--json`` printed."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def measured():
    """Run nbversion in a project; return status, seconds, peak memory and output."""

    def run(project, *words):
        beside = project.with_name(f"{project.name}-measured")
        beside.mkdir(exist_ok=True)
        facts = beside / "facts.json"
        command = [sys.executable, "-P", "-m", "nbversion", *words]
        with (beside / "out").open("wb") as out, (beside / "err").open("wb") as err:
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-I", "-S", "-c", BETWEEN, str(facts), *command],
                cwd=project,
                env=os.environ | {"HOME": str(beside), "GIT_CONFIG_GLOBAL": os.devnull},
                stdout=out,
                stderr=err,
                check=True,
            )
            seconds = time.perf_counter() - begun
        told = (beside / "out").read_text(), (beside / "err").read_text()
        return Done(**json.loads(facts.read_text()), seconds=seconds, out=told[0], err=told[1])

    return run


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """An empty project, whose bytes do not stay until pytest's third run from now."""
    folder = tmp_path_factory.mktemp("nightly") / "project"
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "nbversion.yaml").write_text("schema_version: 1\n")
    yield folder
    shutil.rmtree(folder.parent)


@pytest.fixture(scope="module")
def least_bytes(project, measured):
    """What the command needs for next to nothing: Python, the package, its buffers."""
    small = project.with_name("small")
    small.mkdir()
    (small / "nbversion.yaml").write_text("schema_version: 1\n")
    (small / "one.txt").write_text("one\n")
    frozen = measured(small, "snapshot", "one.txt", "--name", "one")
    verified = measured(small, "verify")
    assert (frozen.status, verified.status) == (0, 0), frozen.err + verified.err
    return max(frozen.peak_bytes, verified.peak_bytes)


@pytest.fixture(scope="session")
def files():
    return FILES


@pytest.fixture(scope="session")
def sparse_bytes():
    return SPARSE_BYTES


@pytest.fixture(scope="session")
def say(pytestconfig):
    """Print a figure although pytest captures the output."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text):
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\n{text}\n")
            sys.stdout.flush()

    return say
