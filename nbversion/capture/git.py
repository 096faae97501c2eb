"""What git knows about the code that is running, read without changing the repository.

Only four questions are asked: which commit, is the tree as that commit has it, who works here, and
which files do others get with a clone. Every answer that git cannot give is None, with the reason
in a sentence, or no file at all.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import posixpath
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbversion.capture.machine import ToolResult, run_tool
from nbversion.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CHANGED_AT_MOST = 20
_TIMEOUT = 5.0
_STATUS = (
    *("status", "--porcelain=v2", "--branch", "-z"),
    *("--no-renames", "--ignore-submodules=none", "--untracked-files=normal"),
)
_LIST = ("--literal-pathspecs", "ls-files", "-z", "--others", "--exclude-standard", "--")

# Inside a hook, `git rebase --exec` or a submodule command, git sets GIT_DIR, GIT_INDEX_FILE and
# more: they name another repository than the one around the folder that was asked about, and
# GIT_TRACE names a file to write. So only what a person sets on purpose goes through.
_GIT_VARIABLES_KEPT = re.compile(
    r"GIT_(CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)"
    r"|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM|EXEC_PATH)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitState:
    r"""The state of a git working tree at one moment.

    Parameters
    ----------
    commit : str or None
        The commit that is checked out, 40 or 64 hex digits; None when there is none.
    branch : str or None
        The branch's short name; None when detached or not known.
    dirty : bool or None
        Whether a tracked file differs from `commit` or a file is neither tracked nor ignored;
        None when git could not tell.
    changed : tuple of str
        The first paths that make it dirty, sorted, relative to the git root, with ``/``; at most
        20. A byte that is not UTF-8 is written as ``\xNN``.
    warnings : tuple of str
        One sentence for each fact that could not be learnt.
    """

    commit: str | None
    branch: str | None
    dirty: bool | None
    changed: tuple[str, ...]
    warnings: tuple[str, ...]


def git_root(start: Path) -> Path | None:
    """Find the top of the git working tree around a folder, without running git.

    Parameters
    ----------
    start : Path
        A folder or file; it need not exist.

    Returns
    -------
    Path or None
        The nearest folder at or above `start` that holds a ``.git`` file (a worktree or
        submodule) or a ``.git`` folder with a ``HEAD``, symbolic links resolved. None when there
        is none, and for a bare repository.
    """
    here = os.path.realpath(start)
    while True:
        entry = os.path.join(here, ".git")
        # Git itself walks past a `.git` folder that holds no repository.
        if os.path.isfile(entry) or os.path.lexists(os.path.join(entry, "HEAD")):
            return Path(here)
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above


def read_git_state(root: Path, *, ours: Sequence[str]) -> GitState:
    """Read commit, branch and cleanness of the working tree around `root`.

    Parameters
    ----------
    root : Path
        A folder of the working tree, not necessarily its top.
    ours : sequence of str
        Paths relative to `root`, files or folders, in which ``*`` stands for any letters but a
        slash: changes at or below them do not count, whether git tracks them or not.

    Returns
    -------
    GitState
        Of the whole working tree, not only of `root`. Submodules count with their own changes.

    Notes
    -----
    Never raises for an odd repository, never takes git's lock, never uses the network, never
    asks for a password. ``GIT_DIR`` and its like are disregarded: the folder decides. Ends
    within about 5 s per question put to git, of which there is one, or two when something went
    wrong or an untracked folder holds some of `ours`.
    """
    top = git_root(root)
    if top is None:
        return _unknown("This folder is not in a git working tree, so no commit is recorded.")
    git = _find_git()
    if git is None:
        return _unknown("git is not installed, so no commit is recorded.")
    prefix = os.path.relpath(os.path.realpath(root), top).replace(os.sep, "/")
    own = _own_paths(prefix, ours)

    status = _ask(
        git,
        # A file system monitor is a program named by the repository, and may stay behind.
        ("-c", "core.fsmonitor=false", *_STATUS),
        cwd=top,
    )
    if status.status != 0:
        return _without_status(git, top, status)
    commit, branch, changed = _parse_status(status.out)
    warnings = []
    if commit is None:
        warnings.append("The git repository has no commits yet, so no commit is recorded.")
    found = {path for path in changed if not _is_own(path, own)}

    # `normal` names an untracked folder once, in place of its files: 4 ms against 55 ms for
    # `all` beside 50,000 untracked files. One that holds some of ours has to be opened to see
    # whether it holds anything else.
    folders = [path for path in found if path.endswith(b"/") and _holds_own(path, own)]
    if folders:
        listed = _ask(
            git,
            (*_LIST, *(os.fsdecode(path) for path in sorted(folders))),
            cwd=top,
        )
        if listed.status != 0:
            warnings.append(f"git could not list untracked files: {printable(listed.said)}")
            others = found.difference(folders)
            return GitState(
                commit=commit,
                branch=branch,
                dirty=True if others else None,
                changed=_readable(others),
                warnings=tuple(warnings),
            )
        found.difference_update(folders)
        inside = listed.out.split(b"\0")
        found.update(path for path in inside if path and not _is_own(path, own))
    return GitState(
        commit=commit,
        branch=branch,
        dirty=bool(found),
        changed=_readable(found),
        warnings=tuple(warnings),
    )


def git_identity(root: Path) -> str | None:
    """Return the name that git would sign a commit with, never an e-mail address.

    Parameters
    ----------
    root : Path
        The folder whose repository, then the user's settings, are asked.

    Returns
    -------
    str or None
        ``user.name`` on one line; None when it is unset, is itself an address, or git is missing.
    """
    git = _find_git()
    if git is None:
        return None
    asked = _ask(
        git, ["config", "--get", "user.name"], cwd=root if os.path.isdir(root) else Path("/")
    )
    if asked.status != 0:
        return None
    name = re.sub(r"<[^>]*>?", " ", asked.out.decode("utf-8", "replace"))
    name = " ".join(name.split())
    return printable(name) if name and "@" not in name else None


def published_files(root: Path, *, below: Sequence[str]) -> frozenset[str]:
    """Return the committed files that there may be other copies of this repository for.

    Parameters
    ----------
    root : Path
        A folder of the working tree, not necessarily its top.
    below : sequence of str
        Folders relative to `root`.

    Returns
    -------
    frozenset of str
        Paths relative to `root`, with ``/``. None when the repository names no remote and is no
        worktree of another one: then nobody else can have got anything with a clone, or when git
        cannot tell.
    """
    top, git = git_root(root), _find_git()
    if top is None or git is None:
        return frozenset()
    remotes = _ask(git, ["remote"], cwd=top)
    if not remotes.out.strip() and not os.path.isfile(top / ".git"):
        return frozenset()
    listed = _ask(
        git,
        ["--literal-pathspecs", "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", *below],
        cwd=root,
    )
    return frozenset(os.fsdecode(one) for one in listed.out.split(b"\0") if one)


def _unknown(warning: str) -> GitState:
    return GitState(commit=None, branch=None, dirty=None, changed=(), warnings=(warning,))


def _without_status(git: str, top: Path, status: ToolResult) -> GitState:
    # The commit is two small reads, and is still there when the index is broken or the tree too
    # large to walk in time.
    warning = f"git could not tell the state of the working tree: {printable(status.said)}"
    head = _ask(git, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], cwd=top)
    commit = head.out.decode("ascii", "replace").strip()
    if head.status != 0 or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        return _unknown(warning)
    name = _ask(git, ["symbolic-ref", "--quiet", "--short", "HEAD"], cwd=top)
    return GitState(
        commit=commit,
        branch=_text(name.out.strip()) or None if name.status == 0 else None,
        dirty=None,
        changed=(),
        warnings=(warning,),
    )


def _find_git() -> str | None:
    # A bare name would be looked up in the current folder too, on Windows always and on Linux
    # when PATH is empty: a repository could bring a program called git.
    found = shutil.which("git")
    return found if found and os.path.isabs(found) else None


def _ask(git: str, arguments: Sequence[str], *, cwd: Path) -> ToolResult:
    return run_tool(
        [git, "--no-pager", *arguments],
        cwd=os.fspath(cwd),
        env=_environment(os.environ),
        timeout=_TIMEOUT,
    )


def _environment(outside: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in outside.items()
        if not name.startswith("GIT_") or _GIT_VARIABLES_KEPT.fullmatch(name)
    }
    return kept | {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        # A partial clone fetches missing objects from its remote while it compares.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "",
        "LC_ALL": "C",
    }


def _parse_status(out: bytes) -> tuple[str | None, str | None, list[bytes]]:
    commit: str | None = None
    branch: str | None = None
    changed = []
    # Fields before the path: `1` an ordinary change, `u` a conflict, `?` untracked.
    fields = {b"1": 8, b"u": 10, b"?": 1}
    for entry in out.split(b"\0"):
        kind = entry[:1]
        if entry.startswith(b"# branch.oid ") and not entry.endswith(b" (initial)"):
            commit = entry.rpartition(b" ")[2].decode("ascii")
        elif entry.startswith(b"# branch.head ") and not entry.endswith(b" (detached)"):
            branch = _text(entry.removeprefix(b"# branch.head "))
        elif kind in fields:
            changed.append(entry.split(b" ", fields[kind])[-1])
    return commit, branch, changed


def _own_paths(prefix: str, ours: Iterable[str]) -> tuple[bytes, ...]:
    # The project's own path may hold letters that have a meaning in a pattern.
    base = glob.escape(prefix)
    joined = (posixpath.normpath(posixpath.join(base, path.replace(os.sep, "/"))) for path in ours)
    return tuple(os.fsencode(path) for path in joined)


def _is_own(path: bytes, own: Iterable[bytes]) -> bool:
    parts = path.rstrip(b"/").split(b"/")
    return any(one == b"." or _fits(parts, one.split(b"/")) for one in own)


def _fits(parts: list[bytes], pattern: list[bytes]) -> bool:
    """Whether a path lies at or below what a pattern names."""
    return len(parts) >= len(pattern) and all(
        fnmatch.fnmatchcase(part, one) for part, one in zip(parts, pattern, strict=False)
    )


def _holds_own(folder: bytes, own: Iterable[bytes]) -> bool:
    parts = folder.rstrip(b"/").split(b"/")
    return any(
        len(pattern := one.split(b"/")) > len(parts) and _fits(parts, pattern[: len(parts)])
        for one in own
    )


def _readable(paths: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(_text(path) for path in sorted(paths)[:_CHANGED_AT_MOST])


def _text(raw: bytes) -> str:
    # Not surrogates: these strings end up in UTF-8 files, which cannot hold them.
    return raw.decode("utf-8", "backslashreplace")
