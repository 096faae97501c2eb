"""Where the machines run, and what they did in the terminal's summary."""

from __future__ import annotations

import itertools
import os
from collections import Counter

import pytest

from nbversion import syscalls
from nbversion.store import snapshots, sources, stat_index

from .world import RACY_S, World

_DONE = Counter()


@pytest.fixture
def make_world(tmp_path, monkeypatch):
    """Return a function that makes a new world; flushing, tested elsewhere, is left away."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(syscalls, "sync_file", lambda _: None)
    monkeypatch.setattr(syscalls, "sync_filesystem", lambda _: True)
    # With the real margin nothing here would get old enough to be taken as read before.
    for module in (snapshots, sources, stat_index):
        monkeypatch.setattr(module, "RACY_NS", int(RACY_S * 1e9))
    monkeypatch.setattr(stat_index, "MAPPED_NS", int(RACY_S * 1e9))
    numbers = itertools.count()
    return lambda: World(tmp_path / f"world-{next(numbers)}", _DONE)


@pytest.fixture(autouse=True)
def told(record_property):
    """Hand what one test did to the summary."""
    before = _DONE.copy()
    yield
    for what, number in (_DONE - before).items():
        record_property(f"counted: state machines: {what}", number)
