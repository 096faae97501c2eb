"""Running the benchmarks as a user does, and loading their modules to look at a part."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent
NEEDED = ("cp", "openssl", "xargs", "git")


@pytest.fixture
def benchmark(tmp_path):
    """Run ``python tests/benchmarks`` on little data; return status, outputs and numbers."""
    if lacking := [one for one in NEEDED if shutil.which(one) is None]:
        pytest.skip(f"needs {', '.join(lacking)}")
    home = tmp_path / "home"
    home.mkdir()

    def run(*words, path=()):
        numbers = tmp_path / "numbers.json"
        # Flushing would wait for whatever else the machine writes, and no test looks at a time.
        little = ["--files", "60", "--large-bytes", "1048576", "--rounds", "1", "--trial"]
        places = ["--work", tmp_path / "work", "--rivals-home", tmp_path / "rivals"]
        found = os.pathsep.join([*map(str, path), os.environ["PATH"]])
        done = subprocess.run(
            [sys.executable, HERE, *little, *places, "--json", numbers, *words],
            env=os.environ | {"HOME": str(home), "PATH": found},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return SimpleNamespace(
            status=done.returncode,
            table=done.stdout,
            said=done.stderr,
            numbers=json.loads(numbers.read_text()) if numbers.exists() else None,
            home=home,
            work=tmp_path / "work",
        )

    return run


@pytest.fixture
def program(tmp_path):
    """Write a shell script and return its path: program("git", "exit 0")."""

    def write(name, script):
        path = tmp_path / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks, which are a program and no package."""
    monkeypatch.syspath_prepend(HERE)
    yield importlib.import_module
    for name, one in list(sys.modules.items()):
        if (getattr(one, "__file__", None) or "").startswith(f"{HERE}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def contender(module, tmp_path):
    """Return nbversion as a contender for sixty files, with another command in its place."""

    def make(command):
        bench = module("processes").Bench(
            work=tmp_path / "work", nbversion=command, timeout=60, flush=False
        )
        bench.prepare()
        made = module("contenders").NbVersion(
            bench, tmp_path / "project", module("material").ManyFiles(60)
        )
        made.prepare()
        return made

    return make
