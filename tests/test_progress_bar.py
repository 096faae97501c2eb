from __future__ import annotations

import io

import pytest

from nbversion import progress_bar
from nbversion.progress_bar import Bar
from nbversion.project import Project


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress_bar, "_AFTER_S", 0)


def shown(monkeypatch, stream, work):
    monkeypatch.setattr("sys.stderr", stream)
    bar = Bar(notebook=False)
    bar.start("Freezing", 3, 2048)
    work(bar)
    bar.stop()
    return stream.getvalue()


def test_a_terminal_sees_bytes_and_files(monkeypatch, at_once):
    def work(bar):
        bar.update(1, 1024)
        bar._bar.refresh()

    text = shown(monkeypatch, Terminal(), work)
    assert "Freezing" in text
    assert "1.00k/2.00k" in text
    assert "1 of 3 files" in text
    # Taken away when it is over.
    assert text.rstrip("\r").endswith(" ")


def test_a_log_sees_nothing(monkeypatch, at_once):
    assert shown(monkeypatch, io.StringIO(), lambda bar: bar.update(1, 1024)) == ""


def test_short_work_shows_nothing(monkeypatch):
    assert shown(monkeypatch, Terminal(), lambda bar: bar.update(3, 2048)).strip("\r ") == ""


def test_stopping_twice_or_before_the_start_is_fine():
    bar = Bar(notebook=False)
    bar.update(1, 1)
    bar.stop()
    bar.start("Freezing", 1, 1)
    bar.stop()
    bar.stop()
    assert bar._bar is None


def test_a_watched_project_tells_of_freezing_verifying_and_restoring(root):
    told = []

    class Notes(Bar):
        def start(self, what, files, size_bytes):
            told.append((what, files, size_bytes))

    for at in range(3):
        (root / f"raw/{at}").parent.mkdir(exist_ok=True)
        (root / f"raw/{at}").write_bytes(b"x" * 10)
    project = Project(root)
    project.watch(Notes(notebook=False))
    project.snapshot("raw", name="d")
    assert told[-1] == ("Freezing", 3, 30)
    project.verify("d_v0.1")
    assert told[-1] == ("Verifying d_v0.1", 3, 30)
    project.restore("d_v0.1", root / "copy")
    assert told[-1] == ("Restoring d_v0.1", 3, 30)
