"""Where the machines run, and what they did in the terminal's summary."""

from __future__ import annotations

import itertools
import os
from collections import Counter

import pytest

from nbversion import syscalls
from nbversion.store import sources, stat_index

from .world import RACY_S, World

_DONE = Counter()
_KEY = "nbversion_model"


@pytest.fixture
def make_world(tmp_path, monkeypatch):
    """Return a function that makes a new world; flushing, tested elsewhere, is left away."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(syscalls, "sync_file", lambda _: None)
    monkeypatch.setattr(syscalls, "sync_filesystem", lambda _: True)
    # With the real margins nothing here would get old enough to be taken as read before.
    for module in (sources, stat_index):
        for margin in {"RACY_NS", "MAPPED_NS"} & set(vars(module)):
            monkeypatch.setattr(module, margin, int(RACY_S * 1e9))
    numbers = itertools.count()
    return lambda: World(tmp_path / f"world-{next(numbers)}", _DONE)


def pytest_sessionfinish(session):
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = dict(_DONE)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    _DONE.update(getattr(node, "workeroutput", {}).get(_KEY, {}))


def pytest_terminal_summary(terminalreporter):
    if _DONE:
        terminalreporter.section("state machines against the model")
        for what, number in sorted(_DONE.items(), key=lambda one: (-one[1], one[0])):
            terminalreporter.write_line(f"{number:>9,} {what}")
