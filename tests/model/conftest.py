"""Where the machines run, and what they did in the terminal's summary."""

from __future__ import annotations

import itertools
import os
from collections import Counter

import pytest

from nbversion import syscalls
from nbversion.store import snapshots, sources, stat_index

from .world import World

_DONE = Counter()


@pytest.fixture
def make_world(tmp_path, monkeypatch):
    """Return a function that makes a new world; flushing, tested elsewhere, is left away."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(syscalls, "sync_file", lambda _: None)
    monkeypatch.setattr(syscalls, "sync_filesystem", lambda _: True)
    # Two clock ticks are enough on a local disk; with the real margin nothing here gets old enough
    # to be taken as read before.
    for module in (snapshots, sources, stat_index):
        monkeypatch.setattr(module, "RACY_NS", 20_000_000)
    numbers = itertools.count()
    return lambda: World(tmp_path / f"world-{next(numbers)}", _DONE)


@pytest.fixture(autouse=True)
def told(record_property):
    """Hand what one test did to the summary."""
    before = _DONE.copy()
    yield
    for what, number in (_DONE - before).items():
        record_property(f"counted: state machines: {what}", number)
