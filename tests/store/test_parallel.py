from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from nbversion.errors import InvalidInputError
from nbversion.store import parallel
from nbversion.store.parallel import Progress, Work, in_parallel


class Notes(Progress):
    def __init__(self):
        self.told = []

    def start(self, what, files, size_bytes):
        self.told.append(("start", what, files, size_bytes))

    def update(self, files, size_bytes):
        self.told.append(("update", files, size_bytes, threading.current_thread().name))

    def stop(self):
        self.told.append(("stop",))


@pytest.mark.parametrize("count", [0, 1, 2, 3000])
def test_results_come_in_the_order_of_the_items(count):
    assert in_parallel(lambda item: item * 2, range(count)) == [at * 2 for at in range(count)]


def test_several_threads_work_at_once(monkeypatch):
    monkeypatch.setattr(parallel, "_WORKERS", 2)
    barrier = threading.Barrier(2, timeout=30)
    assert in_parallel(lambda _: barrier.wait() >= 0, range(2)) == [True, True]


def test_the_first_error_ends_the_rest_and_is_the_one_that_is_raised(monkeypatch):
    monkeypatch.setattr(parallel, "_WORKERS", 2)
    done = []

    def act(item):
        if item == 5:
            raise InvalidInputError("five")
        time.sleep(0.001)
        done.append(item)

    with pytest.raises(InvalidInputError, match="five"):
        in_parallel(act, range(20_000))
    assert len(done) < 20_000
    assert threading.active_count() < 50


def test_an_interrupt_ends_the_workers_between_the_blocks_of_a_file(monkeypatch):
    monkeypatch.setattr(parallel, "_WORKERS", 2)
    begun, blocks = threading.Event(), []

    class Interrupting(Notes):
        def update(self, files, size_bytes):
            if begun.wait(30):
                raise KeyboardInterrupt

    work = Work("Hashing", Interrupting(), 10**12)

    def endless():
        while True:
            blocks.append(1)
            begun.set()
            time.sleep(0.001)
            yield memoryview(b"x")

    with pytest.raises(KeyboardInterrupt):
        work.run(lambda _: list(work.watched(endless())), range(2))
    seen = len(blocks)
    time.sleep(0.05)
    assert len(blocks) == seen > 0


def test_progress_is_told_of_everything_from_the_callers_thread_and_that_it_is_over():
    notes = Notes()
    work = Work("Hashing", notes, 300)
    with pytest.raises(ValueError, match="later"):  # noqa: PT012, SIM117  # what comes after it counts
        with work.told(3):
            work.run(lambda size: work.did(0, size), [100, 100, 100])
            int("later")
    assert notes.told[0] == ("start", "Hashing", 3, 300)
    assert notes.told[-1] == ("stop",)
    assert notes.told[-2] == ("update", 3, 300, threading.current_thread().name)


def test_work_in_one_thread_tells_as_well(monkeypatch):
    monkeypatch.setattr(parallel, "_WORKERS", 1)
    notes = Notes()
    Work("Hashing", notes, 0).run(lambda item: item, range(600))
    assert [one[1] for one in notes.told] == [256, 512, 600]


INTERRUPTED = """
import os, signal, sys, threading, time
from nbversion.store import parallel
parallel._WORKERS, parallel._LOOK_EVERY_S = 2, 0.0001
main = threading.main_thread().ident
for at in range(200):
    timer = threading.Timer(0.0005 * (at % 7), signal.pthread_kill, (main, signal.SIGINT))
    try:
        timer.start()
        parallel.in_parallel(lambda item: time.sleep(0.0005), range(100))
        time.sleep(5)
    except KeyboardInterrupt:
        pass
    timer.join()
# One that was interrupted while it was started ends by itself.
time.sleep(0.5)
print("done", threading.active_count())
"""


def test_an_interrupt_at_any_moment_ends_the_work_and_all_its_threads():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "done 1\n", done.stderr
