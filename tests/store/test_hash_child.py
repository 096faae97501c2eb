from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbversion.store import frozen, hash_child
from nbversion.store.hash_child import HashChild, holds


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files(tmp_path):
    found = []
    for at in range(20):
        path = tmp_path / f"größe\n{at}"
        path.write_bytes(str(at).encode())
        found.append((str(path), path.stat().st_size, digest(str(at).encode())))
    return found


def doubtful(files):
    child = HashChild(files)
    child.start()
    try:
        return list(child.doubtful())
    finally:
        child.stop()


def test_it_finds_what_does_not_hold_and_nothing_else(files, tmp_path):
    assert doubtful(files) == []
    assert doubtful([]) == []
    changed, missing, linked, piped, grown = (files[at][0] for at in (2, 5, 7, 11, 13))
    Path(changed).write_text("x")
    os.unlink(missing)
    os.rename(linked, tmp_path / "away")
    os.symlink(tmp_path / "away", linked)
    os.unlink(piped)
    os.mkfifo(piped)
    Path(grown).write_text("13 and more")
    assert doubtful(files) == [2, 5, 7, 11, 13]
    assert [at for at, one in enumerate(files) if not holds(*one)] == [2, 5, 7, 11, 13]


@pytest.mark.parametrize(
    "program",
    ["raise SystemExit(1)", "print(3)", "print()", "import os; os.kill(os.getpid(), 9)"],
)
def test_whatever_becomes_of_it_nothing_counts_as_looked_at(program, files, tmp_path, monkeypatch):
    path = tmp_path / "child.py"
    path.write_text(f"import sys; sys.stdin.buffer.read()\n{program}\n")
    monkeypatch.setattr(hash_child, "__file__", str(path))
    assert doubtful(files) == list(range(20))


def test_where_no_process_can_be_started_nothing_counts_as_looked_at(files, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert doubtful(files) == list(range(20))


def test_it_ends_with_its_parent_and_leaves_no_zombie(files):
    child = HashChild(files * 1000)
    child.start()
    process = child._process
    child.stop()
    child.stop()
    assert process.returncode is not None
    assert process.stdout.closed


def test_it_loads_nothing_of_ours():
    code = f"import sys, runpy; runpy.run_path({hash_child.__file__!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert "nbversion" not in done.stdout


@pytest.mark.parametrize("children", [0, 1, 3])
def test_verification_finds_the_same_with_and_without(children, project, raw, damage, monkeypatch):
    for at in range(50):
        raw(f"d/{at}", b"x" * at)
    made = project.snapshot("data/raw/d")
    monkeypatch.setattr(frozen, "_MANY", 10)
    monkeypatch.setattr(frozen, "_CHILDREN", children)
    assert project.verify().holds
    for name in ("7", "8", "49"):
        damage(made.path / name, b"other")
    (made.path / "20").unlink()
    found = project.verify()
    assert sorted((one.kind, os.path.basename(one.path)) for one in found.findings) == [
        ("corrupt", "49"),
        ("corrupt", "7"),
        ("corrupt", "8"),
        ("missing", "20"),
    ]
    assert found.files == 49
