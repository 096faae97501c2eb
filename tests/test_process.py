from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nbversion import process
from nbversion.process import process_is_gone, this_process


@pytest.fixture
def child():
    """Return a process that waits, and the facts that it told of itself."""
    code = (
        "import json, sys; from nbversion.process import this_process;"
        "print(json.dumps(this_process()), flush=True); sys.stdin.read()"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    import json

    yield running, json.loads(running.stdout.readline())
    running.kill()
    running.communicate()


def test_a_process_that_runs_is_not_gone(child):
    assert not process_is_gone(child[1])
    assert not process_is_gone(this_process())


def test_a_process_that_ended_is_gone(child):
    running, facts = child
    running.kill()
    running.wait()
    assert process_is_gone(facts)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_process_that_ended_and_that_nobody_waited_for_is_gone(child):
    running, facts = child
    running.send_signal(signal.SIGKILL)
    # Waits for the end without taking note of it: the process stays as a zombie.
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert process_is_gone(facts)


def test_another_process_that_was_given_the_number_is_another():
    facts = this_process()
    if facts["started"] is None:
        pytest.skip("this system does not tell when a process began")
    assert process_is_gone({**facts, "started": "1"})


def test_after_a_restart_of_the_machine_it_is_gone():
    facts = {**this_process(), "boot_id": "another"}
    assert process_is_gone(facts)
    assert not process_is_gone({**this_process(), "boot_id": None})


@pytest.mark.parametrize(
    "facts",
    [
        None,
        "text",
        {},
        {"host": "another", "boot_id": "another", "pid": 1, "started": "1"},
    ],
)
def test_what_cannot_be_told_is_never_called_gone(facts):
    assert not process_is_gone(facts)


@pytest.mark.parametrize("pid", [None, "12", 0, -1])
def test_a_record_without_a_sound_number_is_never_called_gone(pid):
    assert not process_is_gone({**this_process(), "pid": pid})


def test_a_process_of_another_user_is_not_gone(monkeypatch):
    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(process.os, "kill", refuse)
    assert not process_is_gone({**this_process(), "started": "1"})
