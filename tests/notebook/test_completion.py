"""Tab in a magic's line."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter


@pytest.fixture
def filled(shell):
    """A project with a data set, a run and a model."""
    (shell.root / "iris.csv").write_text("a")
    shell.value("%snapshot iris.csv")
    shell.tracked("x = {}", "--model iris_clf=x --version v0.1.0")
    shell.space.update(classifier=1, frame=2)
    return shell


def offered(shell, line):
    with provisionalcompleter():
        return [one.text for one in shell.ip.Completer.completions(line, len(line))]


WORDS = [
    ("%verify iris_v", "iris_v0.1"),
    ("%verify iris_clf@pro", "iris_clf@production"),
    ("%lineage 20", "{run}"),
    ("%trace iris_clf@v0", "iris_clf@v0.1.0"),
    ("%restore ./ir", "./iris.csv"),
    ("%promote ", "iris_clf"),
    ("%promote iris_clf ", "v0.1.0"),
    ("%promote iris_clf v0.1.0 st", "staging"),
    ("%promote iris_clf v0.1.0 staging --dr", "--dry-run"),
    ("%promote --image x iris_clf ", "v0.1.0"),
    ("%promote --dry-run iris_clf ", "v0.1.0"),
    ("%rollback iris_clf --to ", "v0.1.0"),
    ("%comment iris_clf v", "v0.1.0"),
    ("%registry i", "iris_clf"),
    ("%runs ", "a"),
    ("%snapshot iris.", "iris.csv"),
    ("%snapshot fra", "frame"),
    ("%snapshot x --no", "--notes"),
    ("%snapshot x --he", "--help"),
    ("made = %snapshot iris.", "iris.csv"),
    ("%%trackrun a --data iris@", "iris@latest"),
    ("%%trackrun a --data iris_v0.1 --eval-data iris_", "iris_v0.1"),
    ("%%trackrun a --model iris", "iris_clf"),
    ("%%trackrun a --model iris_clf=cla", "iris_clf=classifier"),
    ("%%trackrun a --artifact ir", "iris.csv"),
    ("%%trackrun a --met", "--metrics"),
]


def test_what_a_word_can_become_is_offered(filled):
    (run,) = filled.project.catalog.runs.ids()
    missing = [line for line, word in WORDS if word.format(run=run) not in offered(filled, line)]
    assert missing == []


NOTHING = [
    "%registry iris_clf ",
    "%promote gone ",
    "%promote '../.. ",
    "%promote bad! ",
    "%snapshot x --notes ",
    "%restore iris_v0.1 gone",
    "%trackrun a --data ",
    "%%verify i",
    "%unknown i",
]


def test_nothing_is_offered_where_nothing_fits(filled):
    matcher = filled.ip.Completer.custom_matchers[-1]
    assert [line for line in NOTHING if _ask(matcher, line)["completions"]] == []


def _ask(matcher, line):
    from IPython.core.completer import CompletionContext

    return matcher(
        CompletionContext(
            token=line.rpartition(" ")[2],
            full_text=line,
            cursor_position=len(line),
            cursor_line=0,
            limit=100,
        )
    )


OTHERS = ("classif", "print(classif", "x = 1; classif", "%cd cl", "# %verify i")


def test_other_lines_complete_as_without_us(filled):
    with_us = {line: offered(filled, line) for line in OTHERS}
    assert with_us["classif"] == ["classifier"]
    filled.ip.run_line_magic("unload_ext", "nbversion")
    assert {line: offered(filled, line) for line in OTHERS} == with_us


def test_the_finished_line_keeps_what_was_typed(filled):
    line = "%verify iris_v"
    with provisionalcompleter():
        (found,) = filled.ip.Completer.completions(line, len(line))
    assert line[: found.start] + found.text == "%verify iris_v0.1"


def test_a_broken_project_does_not_break_typing(filled, recwarn):
    for path in ("models/iris_clf/registry.json", "nbversion.yaml"):
        (filled.root / path).write_bytes(b"\xff{")
    for line in ("%promote ", "%promote iris_clf ", "%verify i", "%%trackrun a --data ", "%runs "):
        offered(filled, line)
    filled.space[5] = "not a name"
    assert "frame" in offered(filled, "%snapshot fra")
    assert [str(one.message) for one in recwarn if "nbversion" in str(one.message)] == []


def test_completing_writes_nothing(shell):
    for line in ("%promote ", "%verify i", "%%trackrun a --data ", "%snapshot x"):
        offered(shell, line)
    assert shell.written() == {}
