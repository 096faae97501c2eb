"""Something else in the place of a text of ours: no wait, no gigabytes, one typed error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LIMIT = 1 << 30
READS = """
import resource, signal
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
from nbversion import Project
from nbversion.errors import NbversionError
project = Project('.')
signal.alarm(4)
for call in (project.verify, project.runs, project.registry, project.lineage, project.status,
             lambda: project.snapshot('data/raw/iris'), lambda: project.trace('iris_v0.1')):
    try:
        call()
    except NbversionError as exc:
        assert '\\n' not in exc.message
print('done')
"""


def pipe(path):
    os.mkfifo(path)


def endless(path):
    path.symlink_to("/dev/zero")


def huge(path):
    with path.open("wb") as handle:
        handle.truncate(8 << 30)


def folder(path):
    path.mkdir()


def dangling(path):
    path.symlink_to("nowhere")


def loop(path):
    path.symlink_to(path.name)


PLACES = {
    "data manifest": "data/snapshots/iris_v0.1/manifest.json",
    "lesson's manifest": "data/snapshots/manifest.json",
    "registry": "models/clf/registry.json",
    "run record": "runs/{run}.yaml",
    "settings": "nbversion.yaml",
}


def cases():
    for how in (pipe, endless, huge, folder, dangling, loop):
        for place in PLACES:
            yield pytest.param(how, place, id=f"{how.__name__}-{place}")


@pytest.mark.parametrize(("how", "place"), [*cases()])
def test_what_is_no_text_is_not_read_and_hides_nothing(how, place, full, root):
    target = root / PLACES[place].format(run=full)
    target.unlink(missing_ok=True)
    how(target)
    done = subprocess.run(
        [sys.executable, "-c", READS.format(limit=LIMIT)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr[-2_000:]
