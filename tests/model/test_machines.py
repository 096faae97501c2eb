"""Long random histories of the product end where a simple model says."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .registry_rules import RegistryRules
from .rules import DataRules, Machine

NIGHTLY = os.environ.get("NBVERSION_NIGHTLY") == "1"
# A failing history is shrunk for up to five minutes before it is shown.
pytestmark = pytest.mark.timeout(20_000 if NIGHTLY else 900)


class Data(DataRules, Machine):
    """Snapshots only."""


class Registry(RegistryRules, Machine):
    """Models only."""


class Whole(DataRules, RegistryRules, Machine):
    """Everything at once."""


def run(machine, make_world, *, examples):
    run_state_machine_as_test(
        lambda: machine(make_world()),
        settings=settings(
            max_examples=1_000 if NIGHTLY else examples,
            stateful_step_count=200 if NIGHTLY else 50,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_data_sets_are_what_the_model_says_after_every_step(make_world):
    run(Data, make_world, examples=200)


def test_registries_are_what_the_model_says_after_every_step(make_world):
    run(Registry, make_world, examples=200)


def test_a_whole_project_is_what_the_model_says_after_every_step(make_world):
    run(Whole, make_world, examples=40)
