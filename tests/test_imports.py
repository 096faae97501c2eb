"""What importing costs, which way imports run, and that one module alone writes to disk."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import nbversion

PACKAGE = Path(nbversion.__file__).parent
ROOT = Path(__file__).parents[1]
HEAVY = {
    *("IPython", "ipywidgets", "graphviz", "nbformat", "nbclient", "yaml", "pandas", "numpy"),
    *("sklearn", "joblib", "filelock", "cloudpickle", "pyarrow", "boto3", "botocore", "google"),
    *("azure", "fsspec", "s3fs", "jupyter_client", "matplotlib"),
}


def loaded_by(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        capture_output=True,
        check=True,
        text=True,
    )
    return {one.partition(".")[0] for one in done.stdout.splitlines()}


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import nbversion") & HEAVY == set()


def test_a_project_and_the_command_line_load_no_notebook_and_no_model_library():
    assert loaded_by("from nbversion import Project") & HEAVY == set()
    assert loaded_by("import nbversion.cli") & HEAVY == set()


def test_the_probe_sees_what_is_loaded():
    assert "yaml" in loaded_by("import nbversion.formats.yaml_events")
    assert "filelock" in loaded_by("import filelock")


@pytest.mark.parametrize("name", nbversion.__all__)
def test_every_public_name_is_there(name):
    assert getattr(nbversion, name) is not None
    assert name in dir(nbversion)


def test_a_name_that_is_not_public_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nbversion.nothing


def test_both_commands_are_installed():
    scripts = {one.name: one.value for one in entry_points(group="console_scripts")}
    assert scripts["nbversion"] == scripts["jupyter-nbversion"] == "nbversion.cli:main"


def test_imports_run_strictly_downward():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


# -- who writes ----------------------------------------------------------------------------

WRITING_OS = {
    *("replace", "rename", "renames", "link", "symlink", "unlink", "remove", "rmdir", "removedirs"),
    *("mkdir", "makedirs", "truncate", "ftruncate", "chmod", "utime", "mkfifo", "write", "pwrite"),
}
WRITING_METHODS = {
    *("write_text", "write_bytes", "touch", "unlink", "mkdir", "rmdir", "rename", "chmod"),
    *("symlink_to", "hardlink_to", "lchmod"),
}
WRITING_MODULES = {
    "shutil": {"rmtree", "copy", "copy2", "copyfile", "copytree", "move", "copymode"}
}
# Every call outside disk/ that changes a disk, with the reason why it is right where it stands.
ALLOWED = {
    ("cli.py", "open(os.devnull)"): "standard output goes nowhere once its reader has gone",
    ("demo.py", "tempfile.TemporaryDirectory"): "the kernel's sockets lie outside every project",
}


def writes(tree):
    """Yield the line and a name of every call in `tree` that changes a disk."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        func = node.func
        owner = func.value.id if _is_attribute_of_name(func) else None
        name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
        if owner == "os" and name in WRITING_OS:
            yield node.lineno, f"os.{name}"
        elif owner in WRITING_MODULES and name in WRITING_MODULES[owner]:
            yield node.lineno, f"{owner}.{name}"
        elif owner == "tempfile":
            yield node.lineno, f"tempfile.{name}"
        elif isinstance(func, ast.Attribute) and owner not in {"os", *WRITING_MODULES}:
            if name in WRITING_METHODS or (name == "replace" and _is_path_replace(node)):
                yield node.lineno, name
            elif name == "open" and _opens_to_write(node, at=0):
                yield node.lineno, "open"
        if (owner, name) == ("os", "open") and _flags_to_write(node):
            yield node.lineno, "os.open"
        if isinstance(func, ast.Name) and name == "open" and _opens_to_write(node, at=1):
            yield node.lineno, f"open({ast.unparse(node.args[0])})"


def _is_attribute_of_name(func):
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name)


def _is_path_replace(node):
    # str.replace has two arguments, and so has datetime's none: a path's has one.
    return len(node.args) == 1 and not node.keywords


def _opens_to_write(node, *, at):
    mode = node.args[at] if len(node.args) > at else None
    for one in node.keywords:
        mode = one.value if one.arg == "mode" else mode
    if mode is None:
        return False
    # A mode that is computed counts as one that writes.
    return not isinstance(mode, ast.Constant) or bool(set(str(mode.value)) & set("wax+"))


def _flags_to_write(node):
    flags = ast.unparse(node.args[1]) if len(node.args) > 1 else "?"
    return any(word in flags for word in ("WRONLY", "RDWR", "CREAT", "TRUNC", "APPEND", "?"))


def test_only_the_disk_room_changes_the_disk():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if not where.startswith(("disk/", "tutorials/")):
            for line, what in writes(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault((where, what), []).append(line)
    assert {key: lines for key, lines in found.items() if key not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "an entry of the allow-list stands for nothing"


def test_the_scan_sees_the_disk_room_and_every_way_to_write():
    seen = {
        what
        for path in (PACKAGE / "disk").glob("*.py")
        for _, what in writes(ast.parse(path.read_text("utf-8")))
    }
    assert {"os.replace", "os.rename", "os.link", "unlink", "touch", "mkdir"} <= seen
    assert "shutil.rmtree" in seen
    for code in (
        "open(p, 'w')",
        "open(p, mode='ab')",
        "open(p, m)",
        "p.open('r+')",
        "p.write_text(t)",
        "(a / b).unlink()",
        "p.replace(q)",
        "os.open(p, os.O_WRONLY)",
        "tempfile.mkdtemp()",
    ):
        assert list(writes(ast.parse(code))), code
    for code in (
        "open(p)",
        "open(p, 'rb')",
        "p.open()",
        "t.replace(a, b)",
        "os.open(p, os.O_RDONLY)",
    ):
        assert not list(writes(ast.parse(code))), code
