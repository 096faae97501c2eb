from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbversion.capture.git import git_identity, git_root, read_git_state

OURS = ("nbversion.yaml", "data/snapshots/", "models/", "runs/", ".nbversion/")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file names and scripts")


def git(folder, *arguments):
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command += ["-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def write(folder, *paths):
    for path in paths:
        whole = Path(folder, path)
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(f"content of {path}\n")


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(folder, "notebook.ipynb", "proj/code.py")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def fake_git(monkeypatch, tmp_path, script):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_clean_tree_has_its_commit_and_branch(repo):
    state = read_git_state(repo, ours=OURS)
    assert state.commit == git(repo, "rev-parse", "HEAD")
    assert (state.branch, state.dirty, state.changed, state.warnings) == ("main", False, (), ())


def test_a_sha256_repository_has_a_64_digit_commit(tmp_path):
    git(tmp_path, "init", "-q", "--object-format=sha256")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "x")
    assert len(read_git_state(tmp_path, ours=()).commit) == 64


@pytest.mark.parametrize("how", ["edit", "stage", "delete", "untracked", "rename"])
def test_every_kind_of_change_is_dirty(repo, how):
    expected = {
        "untracked": ("new.py",),
        "rename": ("moved.py", "proj/code.py"),
    }.get(how, ("proj/code.py",))
    if how == "untracked":
        write(repo, "new.py")
    elif how == "rename":
        git(repo, "mv", "proj/code.py", "moved.py")
    elif how == "delete":
        (repo / "proj/code.py").unlink()
    else:
        (repo / "proj/code.py").write_text("changed\n")
        if how == "stage":
            git(repo, "add", ".")
    state = read_git_state(repo, ours=OURS)
    assert (state.dirty, state.changed) == (True, expected)


def test_moving_code_into_our_folder_still_shows_that_it_left(repo):
    (repo / "models").mkdir()
    git(repo, "mv", "proj/code.py", "models/code.py")
    assert read_git_state(repo, ours=OURS).changed == ("proj/code.py",)


def test_ignored_files_do_not_count(repo):
    write(repo, ".git/info/exclude")
    (repo / ".git/info/exclude").write_text("*.log\n")
    write(repo, "a.log", "data/snapshots/v1", "data/b.log")
    assert read_git_state(repo, ours=OURS).dirty is False


def test_our_own_files_do_not_count_tracked_or_not(repo):
    write(repo, "nbversion.yaml", "models/a/1.yaml")
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "ours")
    write(repo, "runs/1.json", "data/snapshots/v1/x.csv", ".nbversion/lock")
    (repo / "nbversion.yaml").write_text("changed\n")
    (repo / "models/a/1.yaml").unlink()
    assert read_git_state(repo, ours=OURS).dirty is False
    assert read_git_state(repo, ours=()).dirty is True


def test_a_folder_with_ours_and_something_else_names_only_the_other(repo):
    write(repo, "data/snapshots/v1/x.csv", "data/raw.csv", "other/deep/file")
    state = read_git_state(repo, ours=OURS)
    assert (state.dirty, state.changed) == (True, ("data/raw.csv", "other/"))


def test_a_longer_name_is_not_ours(repo):
    write(repo, "models2/a", "nbversion.yaml.bak")
    assert read_git_state(repo, ours=OURS).changed == ("models2/", "nbversion.yaml.bak")


@pytest.mark.parametrize("tracked", [True, False])
def test_a_sub_folder_as_root(repo, tracked):
    root = repo / "proj" if tracked else repo / "un [tracked]*" / "proj"
    write(root, "models/m", "data/snapshots/v1", "nbversion.yaml")
    assert read_git_state(root, ours=OURS).dirty is False
    write(repo, "models/not-in-the-project")
    state = read_git_state(root, ours=OURS)
    assert (state.dirty, state.changed) == (True, ("models/",))


def test_a_root_behind_a_symbolic_link(repo, tmp_path):
    (tmp_path / "link").symlink_to(repo / "proj")
    write(repo, "proj/models/m")
    assert read_git_state(tmp_path / "link", ours=OURS).dirty is False


def test_a_detached_head_has_a_commit_and_no_branch(repo):
    git(repo, "checkout", "-q", "--detach")
    state = read_git_state(repo, ours=OURS)
    assert (state.commit, state.branch) == (git(repo, "rev-parse", "HEAD"), None)
    assert state.warnings == ()


def test_no_commits_yet(tmp_path):
    git(tmp_path, "init", "-q", "-b", "trunk")
    write(tmp_path, "a")
    state = read_git_state(tmp_path, ours=())
    assert (state.commit, state.branch, state.dirty) == (None, "trunk", True)
    assert "no commits yet" in state.warnings[0]


def test_odd_names_stay_one_path_each(repo):
    names = ["new\nline", "# branch.oid 00", " space ", "ü", "a -> b", "tab\t"]
    write(repo, *names)
    try:
        Path(os.fsdecode(os.fsencode(repo) + b"/bad\xff")).write_text("x")
    except OSError:
        expected = names
    else:
        expected = [*names, "bad\\xff"]
    state = read_git_state(repo, ours=OURS)
    assert sorted(state.changed) == sorted(expected)
    "".join(state.changed).encode()
    assert state.commit == git(repo, "rev-parse", "HEAD")


def test_odd_names_inside_a_folder_that_holds_ours(repo):
    write(repo, "data/snapshots/a", "data/new\nline")
    assert read_git_state(repo, ours=OURS).changed == ("data/new\nline",)


@pytest.mark.parametrize("folder", ["p*", ":(top)p"])
def test_a_folder_that_looks_like_a_pattern_is_taken_by_its_name(repo, folder):
    write(repo, f"{folder}/models/m", f"{folder}/x", "pq/file")
    state = read_git_state(repo / folder, ours=OURS)
    assert sorted(state.changed) == sorted((f"{folder}/x", "pq/"))


def test_at_most_twenty_paths(repo):
    write(repo, *(f"f{number:02}" for number in range(30)))
    assert read_git_state(repo, ours=()).changed == tuple(f"f{number:02}" for number in range(20))


def test_a_merge_conflict_is_dirty(repo):
    git(repo, "checkout", "-q", "-b", "other")
    (repo / "proj/code.py").write_text("theirs\n")
    git(repo, "commit", "-q", "-am", "theirs")
    git(repo, "checkout", "-q", "main")
    (repo / "proj/code.py").write_text("ours\n")
    git(repo, "commit", "-q", "-am", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "merge", "other")
    assert read_git_state(repo, ours=OURS).changed == ("proj/code.py",)


def test_a_submodule_counts_and_is_its_own_root(repo, tmp_path):
    sub = tmp_path / "sub"
    sub.mkdir()
    git(sub, "init", "-q")
    git(sub, "commit", "-q", "--allow-empty", "-m", "sub")
    git(repo, "submodule", "--quiet", "add", str(sub), "lib")
    git(repo, "commit", "-q", "-m", "add lib")
    assert read_git_state(repo, ours=OURS).dirty is False
    write(repo, "lib/models/m")
    assert read_git_state(repo, ours=OURS).changed == ("lib",)
    inner = read_git_state(repo / "lib", ours=OURS)
    assert (inner.dirty, inner.commit) == (False, git(sub, "rev-parse", "HEAD"))


def test_a_linked_worktree(repo, tmp_path):
    git(repo, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    state = read_git_state(tmp_path / "tree", ours=OURS)
    assert (state.branch, state.dirty) == ("side", False)
    assert git_root(tmp_path / "tree") == (tmp_path / "tree").resolve()


def test_variables_of_a_hook_do_not_mislead(repo, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "elsewhere")
    expected = read_git_state(repo, ours=OURS)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-index"))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_ICASE_PATHSPECS", "1")
    assert read_git_state(repo, ours=OURS) == expected
    assert not (tmp_path / "trace").exists()


def test_reading_changes_nothing_in_the_repository(repo):
    # A touched file makes `git status` want to refresh the index.
    os.utime(repo / "notebook.ipynb", (1, 1))
    before = (repo / ".git/index").read_bytes()
    assert read_git_state(repo, ours=OURS).dirty is False
    assert (repo / ".git/index").read_bytes() == before
    (repo / ".git/index.lock").write_text("")
    assert read_git_state(repo, ours=OURS).dirty is False


def test_a_monitor_named_by_the_repository_is_not_run(repo, tmp_path):
    script = tmp_path / "monitor"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(script))
    assert read_git_state(repo, ours=OURS).dirty is False
    assert not (tmp_path / "ran").exists()


def test_not_a_repository(tmp_path):
    state = read_git_state(tmp_path, ours=OURS)
    assert (state.commit, state.branch, state.dirty, state.changed) == (None, None, None, ())
    assert "not in a git working tree" in state.warnings[0]


def test_a_bare_repository_is_not_a_working_tree(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "b.git")
    assert git_root(tmp_path / "b.git") is None
    assert read_git_state(tmp_path / "b.git", ours=()).dirty is None


def test_an_empty_git_folder_is_passed_over(repo):
    (repo / "proj/.git").mkdir()
    assert git_root(repo / "proj") == repo.resolve()
    assert read_git_state(repo / "proj", ours=OURS).commit is not None


def test_a_folder_that_is_not_there(repo):
    assert git_root(repo / "no/such") == repo.resolve()
    assert read_git_state(repo / "no/such", ours=OURS).dirty is False


@pytest.mark.parametrize("path", ["", "."])
def test_git_is_missing(repo, monkeypatch, path):
    (repo / "git").write_text("#!/bin/sh\ntouch ran\n")
    (repo / "git").chmod(0o755)
    monkeypatch.setenv("PATH", path)
    monkeypatch.chdir(repo)
    state = read_git_state(repo, ours=OURS)
    assert (state.commit, state.dirty) == (None, None)
    assert "not installed" in state.warnings[0]
    assert git_identity(repo) is None
    assert not (repo / "ran").exists()


def test_a_refusal_is_told_in_gits_words(repo, monkeypatch, tmp_path):
    said = "fatal: detected dubious ownership in repository at '/x'"
    fake_git(monkeypatch, tmp_path, f'echo "{said}" >&2; exit 128')
    state = read_git_state(repo, ours=OURS)
    assert (state.commit, state.dirty) == (None, None)
    assert said in state.warnings[0]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs chown")
def test_a_repository_of_another_user_is_refused(repo):
    for path in (repo, repo / ".git"):
        os.chown(path, 12345, 12345)
    state = read_git_state(repo, ours=OURS)
    assert state.dirty is None
    assert "dubious ownership" in state.warnings[0]


def test_a_broken_index_leaves_the_commit(repo):
    commit = git(repo, "rev-parse", "HEAD")
    (repo / ".git/index").write_text("broken")
    state = read_git_state(repo, ours=OURS)
    assert (state.commit, state.branch, state.dirty) == (commit, "main", None)
    assert len(state.warnings) == 1


def test_a_git_that_hangs_with_a_child_is_given_up(repo, monkeypatch, tmp_path):
    monkeypatch.setattr("nbversion.capture.git._TIMEOUT", 0.3)
    fake_git(monkeypatch, tmp_path, "sleep 60 & sleep 60")
    started = time.monotonic()
    state = read_git_state(repo, ours=OURS)
    assert time.monotonic() - started < 10
    assert state.dirty is None
    assert "did not end in 0.3 s" in state.warnings[0]


def test_the_identity_is_a_name_without_an_address(repo):
    assert git_identity(repo) is None
    git(repo, "config", "user.name", "Ada  Lovelace <ada@example.org>")
    assert git_identity(repo) == "Ada Lovelace"
    git(repo, "config", "user.name", "ada@example.org")
    assert git_identity(repo) is None
    assert git_identity(repo / "no/such") is None


def test_what_is_ours_is_told_by_its_form_not_by_its_folder(repo):
    from nbversion.store.folder import OURS

    for path in ("models/train.py", "models/net/blocks/conv.py", "runs/notes.txt"):
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text("mine")
        assert read_git_state(repo, ours=OURS).dirty is True, path
        (repo / path).unlink()
    for path in (
        "models/m/registry.json",
        "models/m/v0.1.0-dev.1/manifest.json",
        "runs/2026-01-01-a-001-9f2e.yaml",
        "runs/2026-01-01-a-001-9f2e/session.json",
        "data/snapshots/a_v0.1/manifest.json",
        "env/requirements.lock",
    ):
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text("ours")
    assert read_git_state(repo, ours=OURS).dirty is False
