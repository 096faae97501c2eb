from __future__ import annotations

import ensurepip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbversion.capture.environment import index_hashes

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "ab" * 32


PYLOCK = """lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "p"
version = "1"
wheels = [{ url = "https://me:s3cret@h/p-1.whl", hashes = { sha256 = "00" } }]
"""


def fake_uv(monkeypatch, tmp_path, answer, status=0):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "answer").write_text(answer)
    script = f'#!/bin/sh\necho "$@" >{folder}/args\ncat >{folder}/stdin\ncat {folder}/answer\n'
    (folder / "uv").write_text(f"{script}exit {status}\n")
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


LOCK = "# python: cpython 3.11.7\np==1\n# editable: e==1  file:///e\n-e file:///e\n"


def test_index_hashes_ask_uv_offline_for_index_installs_only(tmp_path, monkeypatch):
    folder = fake_uv(monkeypatch, tmp_path, PYLOCK)
    text = index_hashes(LOCK, python="/py thon")
    assert text == PYLOCK.replace("me:s3cret@", "")
    assert "--offline" in (folder / "args").read_text().split()
    assert (folder / "stdin").read_text() == "p==1\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (PYLOCK, 1),
        ("", 0),
        ("packages = 3", 0),
        ("not toml [", 0),
        (PYLOCK.replace('version = "1"', 'version = "2"'), 0),
        (PYLOCK.replace('{ sha256 = "00" }', "{}"), 0),
        (PYLOCK.partition("wheels")[0], 0),
    ],
)
def test_an_incomplete_answer_of_uv_is_none(tmp_path, monkeypatch, answer, status):
    fake_uv(monkeypatch, tmp_path, answer, status)
    assert index_hashes(LOCK, python="3.11") is None


def test_no_index_hash_for_what_is_not_from_an_index(tmp_path, install, read, monkeypatch):
    folder = fake_uv(monkeypatch, tmp_path, PYLOCK)
    install(tmp_path / "site", "p", "1", "not json")
    assert index_hashes(read(tmp_path / "site").lock_text, python="3.11") is None
    assert not (folder / "args").exists()


def test_no_uv_no_hashes(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "uv", None)
    assert index_hashes(LOCK, python=sys.executable) is None


@pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv")
def test_a_real_uv_with_an_empty_cache_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    assert index_hashes("pluggy==1.5.0\n", python=sys.executable) is None


def test_pip_reads_the_lock(tmp_path, install, read):
    # The pip that Python brings along: the environment under test need not have one.
    pip = next(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"), None)
    if pip is None:
        pytest.skip("this Python brings no pip")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/setup.py").write_text("")
    install(tmp_path / "site", "a", "1.0")
    origin = {"url": "https://h/b c.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    install(tmp_path / "site", "b", "1.0", origin)
    origin = {"url": "file:///w/c.whl", "archive_info": {"hashes": {"sha256": SHA}}}
    install(tmp_path / "site", "c", "1.0", origin)
    origin = {"url": (tmp_path / "src").as_uri(), "dir_info": {"editable": True}}
    install(tmp_path / "site", "d", "1.0", origin)
    lock = tmp_path / "lock.txt"
    lock.write_text(read(tmp_path / "site").lock_text)
    code = (
        "import sys\n"
        f"sys.path.append({str(pip)!r})\n"
        "from pip._internal.network.session import PipSession\n"
        "from pip._internal.req.req_file import parse_requirements\n"
        "from pip._internal.req.constructors import install_req_from_parsed_requirement as made\n"
        f"for line in parse_requirements({str(lock)!r}, session=PipSession()):\n"
        "    one = made(line)\n"
        "    print(one.name, one.editable, one.link, one.req, sep='|')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "a|False|None|a==1.0"
    assert lines[1].startswith(f"b|False|git+https://h/b%20c.git@{COMMIT}")
    assert lines[2].startswith(f"c|False|file:///w/c.whl#sha256={SHA}")
    assert lines[3].split("|")[1:3] == ["True", (tmp_path / "src").as_uri()]
