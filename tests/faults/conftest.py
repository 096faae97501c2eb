"""Programs that suffer faults in processes of their own, and what they counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nbversion

HERE = Path(__file__).parent


@pytest.fixture
def nightly():
    """Whether there is a night's time for this."""
    return bool(_NIGHTLY)


# Before the fixture that takes every setting of ours out of the environment.
_NIGHTLY = os.environ.get("NBVERSION_NIGHTLY", "")


@pytest.fixture
def suffer(tmp_path):
    """Run a program of this folder with warnings as errors; return what it found as JSON."""

    def run(program, *arguments, before=(), timeout=280):
        folder = tmp_path / "suffering"
        folder.mkdir()
        done = subprocess.run(
            [*before, sys.executable, "-W", "error", str(HERE / program), str(folder), *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(nbversion.__file__).parents[1])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def count(record_property):
    """Count something for the summary of the whole run of tests; see the conftest above."""
    return lambda what, number: record_property(f"counted: {what}", number)
