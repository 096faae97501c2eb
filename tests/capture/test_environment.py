from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

import pytest

from nbversion.capture import environment as module
from nbversion.capture.environment import container_image, read_environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "ab" * 32


def test_only_listed_variables_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("PYTHONHASHSEED_TOKEN", "s3cret")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("MKL_NUM_THREADS", "4,2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    environment, cache = read_environment(search_path=[str(tmp_path)])
    assert "s3cret" not in repr(environment) + cache
    assert environment.determinism["SOURCE_DATE_EPOCH"] == "1700000000"
    assert environment.threads["OMP_NUM_THREADS"] == 4
    assert environment.threads["MKL_NUM_THREADS"] == "4,2"
    assert "OPENBLAS_NUM_THREADS" not in environment.threads
    assert environment.threads["cpu_count"] >= 1


@pytest.mark.parametrize(
    ("at_start", "later", "told"),
    [
        (None, None, "random"),
        ("random", None, "random"),
        ("0", None, "0"),
        ("42", None, "42"),
        (None, "0", "random"),
        ("0", "7", "0"),
    ],
)
def test_the_hash_seed_is_the_one_python_started_with(at_start, later, told):
    code = (
        "import os, sys\n"
        "from nbversion.capture.environment import read_environment\n"
        f"if {later!r}: os.environ['PYTHONHASHSEED'] = {later!r}\n"
        "got = read_environment(search_path=[])[0]\n"
        "print(got.hash_seed, len(got.warnings))\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    if at_start is not None:
        env["PYTHONHASHSEED"] = at_start
    root = Path(module.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=root, capture_output=True, check=True
    )
    assert done.stdout.decode().split() == [told, "1" if later == "0" else "0"]


@pytest.mark.parametrize(
    ("ours", "jupyter", "reference", "warns"),
    [
        (None, None, None, False),
        ("", "  ", None, False),
        (f"h/i@sha256:{SHA}", "other", f"h/i@sha256:{SHA}", False),
        (None, "h/i:latest", "h/i:latest", True),
        (f"h/i@sha256:{SHA}0", None, f"h/i@sha256:{SHA}0", True),
    ],
)
def test_the_container_image(monkeypatch, ours, jupyter, reference, warns):
    for name, value in (("NBVERSION_IMAGE", ours), ("JUPYTER_IMAGE", jupyter)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    got, warning = container_image()
    assert got == reference
    assert (warning is not None and "a tag can move" in warning) is warns


def test_this_process_agrees_with_importlib():
    expected = {dist.metadata["Name"] for dist in distributions()}
    environment, _ = read_environment()
    assert len(environment.packages) >= len(expected) - len(environment.warnings)
    by_name = {one.name: one.version for one in environment.packages}
    assert by_name["pytest"] == version("pytest")
    assert environment.python == sys.version.partition(" ")[0]
    assert environment.machine.cpu_count
