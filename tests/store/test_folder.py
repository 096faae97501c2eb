from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nbversion.errors import InvalidInputError, StorageError
from nbversion.project import Project
from nbversion.store.folder import find_root


def test_the_root_is_the_nearest_folder_with_settings(root):
    for name in ("a/b/c", "a/b/c/d"):
        (root / name).mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root / "a/b")], check=True)
    (root / "nbversion.yaml").touch()
    assert find_root(root / "a/b/c/d") == root
    (root / "a/nbversion.yaml").touch()
    assert find_root(root / "a/b/c/d") == root / "a"


def test_the_root_is_else_that_of_git_and_else_where_one_stands(root):
    (root / "a/b").mkdir(parents=True)
    assert find_root(root / "a/b") == root / "a/b"
    subprocess.run(["git", "init", "-q", str(root / "a")], check=True)
    assert find_root(root / "a/b") == root / "a"


def test_the_home_folder_is_never_a_project(isolated):
    home = Path.home()
    (home / "nbversion.yaml").touch()
    (home / "work").mkdir()
    with pytest.raises(InvalidInputError, match="cannot be a project"):
        find_root(home)
    assert find_root(home / "work") == home / "work"
    with pytest.raises(InvalidInputError, match="cannot be a project"):
        find_root(Path("/"))


def test_the_first_write_makes_the_settings_and_leaves_those_that_are_there(project, root, tree):
    (root / "data/snapshots").mkdir(parents=True)
    (root / "data/snapshots/.gitignore").write_text("mine\n")
    project.catalog.project.prepare()
    assert (root / "data/snapshots/.gitignore").read_text() == "mine\n"
    assert (root / "nbversion.yaml").is_file()
    before = tree(root)
    Project(root).catalog.project.prepare()
    assert tree(root) == before


def test_git_keeps_the_texts_and_leaves_the_bytes_out(project, root, raw, register, run):
    raw("d/a.csv", b"1")
    data = project.snapshot("data/raw/d")
    made = run(data=[data])
    register("v0.1.0", run_id=made.run_id)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert {one for one in listed if not one.rpartition("/")[2].startswith(".git")} == {
        "data/raw/d/a.csv",
        "data/snapshots/d_v0.1/manifest.json",
        f"env/locks/{made.env['requirements_lock'].removeprefix('sha256:')}.lock",
        "env/requirements.lock",
        "models/clf/registry.json",
        "models/clf/v0.1.0/manifest.json",
        "models/clf/v0.1.0/metrics.json",
        "models/clf/v0.1.0/model_card.md",
        "models/clf/v0.1.0/params.json",
        "nbversion.yaml",
        f"runs/{made.run_id}.yaml",
    }


def test_a_project_folder_that_is_gone_is_said_so(project, root):
    root.rmdir()
    with pytest.raises(StorageError, match="is gone"):
        project.catalog.project.prepare()
    assert not root.exists()


def test_the_owner_is_the_setting_then_git_then_the_login(root, monkeypatch):
    monkeypatch.setenv("LOGNAME", "login")
    assert Project(root).catalog.project.owner == "login"
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "config", "user.name", "Git User"], cwd=root, check=True)
    assert Project(root).catalog.project.owner == "Git User"
    (root / "nbversion.yaml").write_text('owner: "Ada"\n')
    assert Project(root).catalog.project.owner == "Ada"


def test_git_ignores_the_frozen_bytes_and_nothing_of_the_users(project, root):
    import subprocess

    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "a.csv").write_bytes(b"a")
    project.snapshot("a.csv")
    mine = ("models/train.py", "models/net/blocks/conv.py", "runs/tb/artifacts/x", "data/raw/b.csv")
    for path in mine:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("mine")
    frozen = ("models/m/v0.1.0/model.pkl", "models/m/v0.1.0-dev.2/model/deep/x.bin")
    kept = (
        "models/m/v0.1.0/manifest.json",
        "models/m/v0.1.0/metrics.json",
        "models/m/registry.json",
    )
    for path in (*frozen, *kept):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("ours")
    ignored = ("data/snapshots/a_v0.1/a.csv", *frozen)
    told = subprocess.run(
        ["git", "check-ignore", *mine, *kept, *ignored, "data/snapshots/a_v0.1/manifest.json"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    assert sorted(told) == sorted(ignored)
