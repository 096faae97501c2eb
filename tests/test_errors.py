from __future__ import annotations

import atexit
import copy
import pickle
import sys

import pytest

from nbversion import errors
from nbversion.errors import NbversionError, printable

# Class name: the builtin that it also is, its exit status by the contract, its kind.
EXPECTED = {
    "NbversionError": (Exception, 2, "error"),
    "InvalidInputError": (ValueError, 2, "invalid-input"),
    "FormatError": (ValueError, 2, "format"),
    "NotFoundError": (LookupError, 2, "not-found"),
    "ConflictError": (Exception, 2, "conflict"),
    "LostRaceError": (Exception, 3, "lost-race"),
    "IntegrityError": (Exception, 1, "integrity"),
    "RefusedError": (Exception, 1, "refused"),
    "StorageError": (OSError, 3, "storage"),
}
every_class = pytest.mark.parametrize("name", EXPECTED)


def test_the_table_lists_every_error():
    found = {
        name
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, Exception)
    }
    assert found == set(EXPECTED)


@every_class
def test_each_error_is_the_fitting_builtin_and_ends_with_its_status(name):
    builtin, status, kind = EXPECTED[name]
    error = getattr(errors, name)("what failed")
    assert isinstance(error, NbversionError)
    assert isinstance(error, builtin)
    assert (error.exit_status, error.kind) == (status, kind)
    others = {ValueError, LookupError, OSError} - {builtin}
    assert not isinstance(error, tuple(others))


def test_a_narrower_error_is_caught_by_the_wider_one():
    assert issubclass(errors.FormatError, errors.InvalidInputError)
    assert issubclass(errors.LostRaceError, errors.ConflictError)
    kinds = [kind for _, _, kind in EXPECTED.values()]
    assert len(set(kinds)) == len(kinds)


@every_class
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_crosses_a_process_whole(name, protocol):
    error = getattr(errors, name)("what failed: 'a'", expected="sha256:a", got="sha256:b")
    error.add_note("a note")
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(twin) is type(error)
        assert (twin.message, str(twin)) == (error.message, "what failed: 'a'")
        assert (twin.expected, twin.got) == ("sha256:a", "sha256:b")
        assert twin.__notes__ == ["a note"]


@every_class
def test_both_values_are_optional(name):
    error = getattr(errors, name)("what failed")
    assert (error.expected, error.got) == (None, None)
    assert error.args == ("what failed",)


@every_class
def test_a_notebook_shows_one_line_without_a_traceback(name):
    hostile = "a\x1b[2J\r\nb\x07\x9b\u202e\u2028\x00\ud800ü"
    [line] = getattr(errors, name)(hostile)._render_traceback_()
    assert line == rf"{name}: a\x1b[2J\r\nb\x07\x9b\u202e\u2028\x00\ud800ü"
    assert line.isprintable()


def test_a_shell_prints_that_line_and_still_fails_the_cell(capsys, request):
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    main, path = sys.modules["__main__"], list(sys.path)
    shell = InteractiveShell(config=config)
    request.addfinalizer(lambda: sys.modules.__setitem__("__main__", main))
    request.addfinalizer(lambda: sys.path.__setitem__(slice(None), path))
    request.addfinalizer(lambda: atexit.unregister(shell.atexit_operations))
    request.addfinalizer(shell.restore_sys_module_state)
    shell.user_ns["error"] = errors.RefusedError("not\x1b allowed")
    result = shell.run_cell("raise error")
    assert result.error_in_exec is shell.user_ns["error"]
    assert capsys.readouterr().out.strip() == r"RefusedError: not\x1b allowed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a b ü 学 → \n", "a b ü 学 → \n"), ("\t\r\x7f\x85", r"\t\r\x7f\x85"), ("\u202e", r"\u202e")],
)
def test_what_could_drive_a_terminal_is_escaped(text, expected):
    assert printable(text) == expected
