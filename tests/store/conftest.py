"""Short ways to fill a project, to look at all of it, and to break it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbversion.formats.run_record import RunRecord
from nbversion.hashing import digest_of

WRITERS = Path(__file__).with_name("writers.py")


def listing(folder):
    """Return everything below `folder`: kind, mode, times and content of each name."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(base, name)
            facts = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
            key = path.relative_to(folder).as_posix()
            found[key] = (facts.st_mode, facts.st_ino, facts.st_mtime_ns, facts.st_nlink, content)
    return found


@pytest.fixture
def tree():
    return listing


@pytest.fixture
def raw(root):
    """Write user files below data/raw: raw("iris.csv", b"...") or raw("a/b.csv", ...)."""

    def write(name, content=b"a,b\n1,2\n"):
        path = root / "data" / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def run(catalog, root):
    """Write a finished run with a lock, an artifact and the data it names."""

    def make(name="train", *, data=(), lock="numpy==2.0\n"):
        digest = catalog.environments.keep(lock, lambda _: None)
        record = catalog.runs.begin(
            name,
            lambda run_id: RunRecord(run_id=run_id, status="running", started_utc="2026-01-01"),
        )
        artifact = root / "runs" / record.run_id / "artifacts" / "plot.svg"
        artifact.parent.mkdir(parents=True)
        artifact.write_bytes(b"<svg/>")
        done = RunRecord(
            run_id=record.run_id,
            started_utc="2026-01-01",
            env={"requirements_lock": digest},
            data=tuple({"ref": one.reference, "digest": one.manifest.digest} for one in data),
            artifacts=(
                {
                    "path": artifact.relative_to(root).as_posix(),
                    "size_bytes": 6,
                    "sha256": digest_of(b"<svg/>").removeprefix("sha256:"),
                },
            ),
        )
        catalog.runs.end(done)
        return done

    return make


def overwrite(path, content):
    """Change a file of the store as an editor or a broken disk would: same inode, same mode."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


@pytest.fixture
def damage():
    return overwrite


@pytest.fixture
def unprivileged(root):
    """Run Python code in the project folder as somebody whom modes bind; root ignores them."""
    drop = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to give up the privileges of root")
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]

    def call(code):
        program = (
            "from nbversion import Project\nproject = Project('.')\n"
            f"try:\n{_indented(code)}\nexcept Exception as exc:\n"
            "    print(type(exc).__name__, exc)\n"
        )
        done = subprocess.run(
            [*drop, sys.executable, "-c", program],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield call
    for folder in (root, *(one for one in root.rglob("*") if one.is_dir())):
        folder.chmod(0o755)


def _indented(code):
    return "\n".join(f"    {line}" for line in code.strip().splitlines())


@pytest.fixture
def writers(root):
    """Run writers.py in several processes that begin at once; return what each said."""

    def run_all(*arguments, count):
        processes = [
            subprocess.Popen(
                [sys.executable, str(WRITERS), *arguments, str(number)],
                cwd=root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]
        for one in processes:
            assert one.stdout.readline() == "ready\n", one.stderr.read()
        for one in processes:
            one.stdin.write("go\n")
            one.stdin.flush()
        found = [one.communicate(timeout=200) for one in processes]
        assert [one.returncode for one in processes] == [0] * count, found
        return [out.strip() for out, _ in found]

    return run_all
