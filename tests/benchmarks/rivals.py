"""git, git-lfs and dvc: how each is got, and how each does the same work.

They run as they come, with their defaults; only what would measure something else is switched off:
git's collection in the background, dvc's telemetry and its look for updates.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import Contender, flip_a_byte
from processes import Failed, say

if TYPE_CHECKING:
    from processes import Bench, Said

DVC = "3.67.1"


class Rival(Contender):
    """A rival restores over its own working copy, which is moved away before.

    `version` is the command that tells it.
    """

    version: tuple[str, ...] = ()

    def commit(self) -> Said:
        """Take in the present state."""
        raise NotImplementedError

    def look_at(self, *, changed: bool) -> None:
        """Fail unless the present state was taken in."""
        raise NotImplementedError

    def first(self) -> float:
        """Take in the material."""
        said = self.commit()
        self.look_at(changed=False)
        return said.seconds

    def again(self) -> float:
        """Take it in again, unchanged."""
        return self.first()

    def changed(self) -> float:
        """Take it in with ten files changed."""
        self.material.change(self.home)
        said = self.commit()
        self.look_at(changed=True)
        return said.seconds

    def _moved_away(self) -> None:
        os.rename(self.source, self.home / "moved")

    def _check_restored(self) -> None:
        self.compare_folder(self.source, "the restored tree", changed=False)


class Git(Rival):
    """git, with the bytes in its own store."""

    name = "git"
    version = ("git", "--version")
    store = ".git/objects"

    def prepare(self) -> None:
        """Make a repository."""
        super().prepare()
        self.bench.run(["git", "init", "-q"], cwd=self.home)

    def commit(self) -> Said:
        """Add everything and commit if there is something to."""
        script = "git add -A && { git diff --cached --quiet || git commit -q -m state; }"
        return self.timed(["sh", "-c", script], self.source)

    def first(self) -> float:
        """Commit, and keep the name of the first commit."""
        seconds = super().first()
        self.bench.run(["git", "tag", "-f", "first"], cwd=self.home)
        return seconds

    def look_at(self, *, changed: bool) -> None:
        """Compare the blobs of the commit, which are digests of the content."""
        listed = self._listed(["git", "ls-tree", "-r", "-z", "HEAD"])
        got = {}
        for line in listed:
            facts, _, path = line.partition("\t")
            got[path] = facts.split(" ")[2]
        self.compare(self._below(got), "the commit", algorithm="git", changed=changed)
        self._clean()

    def verify(self) -> float:
        """Check every object."""
        return self.timed(["git", "fsck", "--full", "--no-progress"], self.home / ".git").seconds

    def restore(self) -> float:
        """Check out the first commit's tree."""
        self._moved_away()
        words = ["git", "checkout", "-q", "first", "--", self.material.item]
        said = self.timed(words, self.home / ".git")
        self._check_restored()
        return said.seconds

    def damage(self) -> str | None:
        """Flip a byte of an object."""
        flip_a_byte(self.home / self.store)
        try:
            self.verify()
        except Failed:
            return None
        return "a flipped byte in the store was not found"

    def _below(self, got: dict[str, str]) -> dict[str, str]:
        if not self.material.is_folder:
            return {path: one for path, one in got.items() if path == self.material.item}
        prefix = f"{self.material.item}/"
        return {p.removeprefix(prefix): one for p, one in got.items() if p.startswith(prefix)}

    def _listed(self, words: list[str], separator: str = "\0") -> list[str]:
        text = self.bench.run(words, cwd=self.home).text()
        return [one for one in text.split(separator) if one]

    def _clean(self) -> None:
        if self._listed(["git", "status", "--porcelain", "-z"]):
            raise Failed("the working copy still differs from the commit")


class GitLfs(Git):
    """git with the bytes in git-lfs's store."""

    name = "git-lfs"
    version = ("git", "lfs", "version")
    store = ".git/lfs/objects"

    def prepare(self) -> None:
        """Make a repository that tracks the material with git-lfs."""
        super().prepare()
        self.bench.run(["git", "lfs", "install", "--local"], cwd=self.home)
        item = self.material.item
        pattern = f"{item}/**" if self.material.is_folder else item
        self.bench.run(["git", "lfs", "track", pattern], cwd=self.home)

    def look_at(self, *, changed: bool) -> None:
        """Compare what is tracked, and that its objects are there."""
        lines = self._listed(["git", "lfs", "ls-files", "--long"], "\n")
        got = {line[67:]: line[:64] for line in lines}
        self.compare(self._below(got), "the tracked files", algorithm="sha256", changed=changed)
        stored = self.home / self.store
        lost = [one for one in got.values() if not (stored / one[:2] / one[2:4] / one).is_file()]
        if lost:
            raise Failed(f"{len(lost)} objects are not in the store")
        self._clean()

    def verify(self) -> float:
        """Check every object of git-lfs's store."""
        return self.timed(["git", "lfs", "fsck"], self.home / ".git").seconds


class Dvc(Rival):
    """dvc without a git repository, which is the faster way for it."""

    name = "dvc"
    program = ""

    def prepare(self) -> None:
        """Make a repository."""
        super().prepare()
        self._run("init", "--no-scm", "-q")
        self._run("config", "core.analytics", "false")
        self._run("config", "core.check_update", "false")

    def commit(self) -> Said:
        """Add the material."""
        words = [self.program, "add", "-q", self.material.item]
        return self.timed(words, self.source, **self._options())

    def first(self) -> float:
        """Add, and keep the file that says what was added."""
        seconds = super().first()
        self._first = self._pointer.read_bytes()
        return seconds

    def look_at(self, *, changed: bool) -> None:
        """Compare the list of digests, and that the cache has the objects."""
        text = self._pointer.read_text(encoding="utf-8")
        digest = text.partition("md5: ")[2].split("\n")[0].strip()
        if self.material.is_folder:
            entries = json.loads(self._cached(digest).read_text(encoding="utf-8"))
            got = {one["relpath"]: one["md5"] for one in entries}
        else:
            got = {self.material.item: digest}
        self.compare(got, "the added files", algorithm="md5", changed=changed)
        if lost := [one for one in got.values() if not self._cached(one).is_file()]:
            raise Failed(f"{len(lost)} objects are not in the cache")

    def verify(self) -> float:
        """Do the nearest thing that dvc has: its status after it lost what it remembers."""
        said = self.timed([self.program, "status"], self.source, **self._options("forgotten"))
        if "up to date" not in said.text():
            raise Failed("dvc's status does not hold")
        return said.seconds

    def restore(self) -> float:
        """Check out the first state."""
        self._moved_away()
        self._pointer.write_bytes(self._first)
        words = [self.program, "checkout", "-q", self._pointer.name]
        said = self.timed(words, self.home / ".dvc", **self._options())
        self._check_restored()
        return said.seconds

    def damage(self) -> str | None:
        """Flip a byte of the cache."""
        flip_a_byte(self.home / ".dvc" / "cache" / "files" / "md5")
        said = self.timed([self.program, "status"], self.source, **self._options("again"))
        found = "up to date" not in said.text()
        return None if found else "a flipped byte in the cache was not found"

    @property
    def _pointer(self) -> Path:
        return self.home / f"{self.material.item}.dvc"

    def _cached(self, digest: str) -> Path:
        return self.home / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]

    def _run(self, *words: str) -> None:
        self.bench.run([self.program, *words], cwd=self.home, **self._options())

    def _options(self, state: str = "remembered") -> dict[str, dict[str, str]]:
        # What dvc remembers about files lies outside its repository, for all users.
        return {
            "extra": {
                "DVC_NO_ANALYTICS": "1",
                "DVC_SITE_CACHE_DIR": str(self.home / ".dvc" / "tmp" / state),
                "DVC_GLOBAL_CONFIG_DIR": str(self.home / ".dvc" / "tmp" / "global"),
                "DVC_SYSTEM_CONFIG_DIR": str(self.home / ".dvc" / "tmp" / "system"),
            }
        }


def get_rivals(names: list[str], home: Path, bench: Bench) -> dict[str, type[Rival] | str]:
    """Return each rival by its name, or why it is not available.

    Parameters
    ----------
    names : list of str
    home : Path
        Where what is installed here is kept for the next time.
    bench : Bench
        Its PATH is extended by what was installed.
    """
    get = {"git": _get_git, "git-lfs": _get_git_lfs, "dvc": _get_dvc}
    found: dict[str, type[Rival] | str] = {}
    for name in names:
        try:
            found[name] = get[name](home, bench)
        except (OSError, subprocess.SubprocessError) as exc:
            said = getattr(exc, "stderr", None) or str(exc)
            found[name] = f"not available: {said.strip().splitlines()[-1][:200]}"
            say(f"{name} is {found[name]}")
    return found


def _get_git(home: Path, bench: Bench) -> type[Rival]:
    del home
    _call(["git", "--version"], bench.environment())
    return Git


def _get_git_lfs(home: Path, bench: Bench) -> type[Rival]:
    """Unpack Debian's package instead of installing it: that would change git for all users."""
    if shutil.which("git-lfs") is None:
        folder = home / "git-lfs"
        program = folder / "usr" / "bin" / "git-lfs"
        if not program.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _download_git_lfs(folder)
        bench.programs.append(program.parent)
    _call(["git", "lfs", "version"], bench.environment())
    return GitLfs


def _download_git_lfs(folder: Path) -> None:
    say("getting git-lfs from Debian")
    download = ["apt-get", "download", "-q", "git-lfs"]
    try:
        _call(download, dict(os.environ), cwd=folder)
    except subprocess.CalledProcessError:
        # The lists of a fresh container are empty, and only root may fetch them.
        if os.geteuid() != 0:
            raise
        _call(["apt-get", "update", "-q"], dict(os.environ))
        _call(download, dict(os.environ), cwd=folder)
    package = next(iter(sorted(folder.glob("git-lfs_*.deb"))))
    _call(["dpkg-deb", "-x", str(package), str(folder)], dict(os.environ))


def _get_dvc(home: Path, bench: Bench) -> type[Rival]:
    """Make a virtual environment of dvc's own; what the package index needs is the user's."""
    folder = home / f"dvc-{DVC}"
    program = folder / "bin" / "dvc"
    try:
        _call([str(program), "--version"], bench.environment())
    except (OSError, subprocess.CalledProcessError):
        say(f"installing dvc {DVC}")
        _call([sys.executable, "-m", "venv", "--clear", str(folder)], dict(os.environ))
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", f"dvc=={DVC}"]
        _call(pip, dict(os.environ))
        _call([str(program), "--version"], bench.environment())
    told = (str(program), "--version")
    return type("InstalledDvc", (Dvc,), {"program": str(program), "version": told})


def _call(words: list[str], environment: dict[str, str], cwd: Path | None = None) -> str:
    return subprocess.run(
        words, cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=900
    ).stdout
