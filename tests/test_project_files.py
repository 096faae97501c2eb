"""What stands in the folder around the code says what the code does."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

import nbversion
from nbversion.verbs import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    return re.findall(r"```sh\n(.+?)\n```", README, re.DOTALL)


def test_the_readme_opens_with_the_two_commands():
    first, second = commands()[:2]
    assert first.endswith("pip install '.[tutorials]' && .venv/bin/nbversion demo")
    assert second.endswith("pip install '.[test]' && .venv/bin/pytest -n auto")
    assert README.index(second) < README.index("\n## ")


def test_ci_runs_the_test_command_of_the_readme_word_for_word():
    script = ROOT / ".ci" / "run"
    assert commands()[1] in script.read_text(encoding="utf-8").splitlines()
    assert script.stat().st_mode & stat.S_IXUSR


def test_the_readme_names_every_magic():
    for verb in VERBS:
        if verb.name != "status":
            assert re.search(rf"%{verb.name}\b", README), verb.name


def test_what_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_the_changelog_has_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {nbversion.__version__}" in changelog


def test_the_wheel_carries_the_tutorials():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"tutorials": "nbversion/tutorials"}
    assert (ROOT / "tutorials" / "00_quickstart.ipynb").is_file()
