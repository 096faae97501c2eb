"""Running programs in a world of their own, and timing them alike."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 1 << 20


class Failed(Exception):
    """A contender did not do its work; the message says what was wrong."""


def say(text: str) -> None:
    """Report progress, apart from the table that goes to standard output."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def warm(path: Path) -> None:
    """Read every byte of a file or below a folder: all contenders find the page cache alike."""
    buffer = bytearray(CHUNK)
    found = (os.path.join(base, name) for base, _, names in os.walk(path) for name in names)
    for one in [path] if path.is_file() else found:
        with open(one, "rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended: its wall time and its standard output."""

    seconds: float
    output: Path

    def text(self) -> str:
        """Return the standard output."""
        return self.output.read_text(encoding="utf-8", errors="backslashreplace")


@dataclass(slots=True)
class Bench:
    """The work folder and the environment that every contender runs in.

    Parameters
    ----------
    work : Path
        Holds everything; removed only after the last round.
    nbversion : str
        The command to measure.
    timeout : float
        Seconds after which a program counts as failed.
    flush : bool
        Whether what is dirty is flushed before each timing.
    programs : list of Path
        Folders that come first on the PATH.
    """

    work: Path
    nbversion: str
    timeout: float
    flush: bool = True
    programs: list[Path] = field(default_factory=list)
    _runs: int = 0

    def environment(self) -> dict[str, str]:
        """Return an environment in which no setting of the user is read or written."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "NBV"))}
        home = self.work / "home"
        return kept | {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "TMPDIR": str(self.work / "tmp"),
            "LC_ALL": "C.UTF-8",
            "PATH": os.pathsep.join([*map(str, self.programs), kept.get("PATH", os.defpath)]),
        }

    def prepare(self) -> None:
        """Make the folders, and the git configuration that stands in for the user's."""
        for name in ("home", "tmp", "said"):
            (self.work / name).mkdir(parents=True)
        # A collection that git starts in the background would be paid for by whoever comes next.
        (self.work / "home" / ".gitconfig").write_text(
            "[user]\n\tname = Benchmark\n\temail = benchmark@example.org\n"
            "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[init]\n\tdefaultBranch = main\n",
            encoding="utf-8",
        )

    def run(self, words: list[str], *, cwd: Path, extra: dict[str, str] | None = None) -> Said:
        """Run a program to its end.

        Raises
        ------
        Failed
            When it cannot be started, ends with another status than 0, or takes too long.
        """
        self._runs += 1
        output = self.work / "said" / f"{self._runs:05}.out"
        errors = output.with_suffix(".err")
        shown = " ".join(words)[:120]
        environment = self.environment() | (extra or {})
        with output.open("wb") as out, errors.open("wb") as err:
            begun = time.perf_counter()
            try:
                process = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                )
            except OSError as exc:
                raise Failed(f"{shown}: {exc.strerror}") from exc
            # subprocess's own timeout looks again only every 50 ms, which would be measured.
            timer = threading.Timer(self.timeout, process.kill)
            timer.start()
            try:
                status = process.wait()
                seconds = time.perf_counter() - begun
            finally:
                timer.cancel()
                process.kill()
                process.wait()
        if seconds >= self.timeout:
            raise Failed(f"{shown}: not done after {self.timeout:.0f} s")
        if status:
            lines = errors.read_text(encoding="utf-8", errors="backslashreplace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "nothing was said")
            raise Failed(f"{shown}: exit status {status}: {last.strip()[:200]}")
        return Said(seconds, output)

    def timed(
        self, words: list[str], *, cwd: Path, reads: Path, extra: dict[str, str] | None = None
    ) -> Said:
        """Run a program with what it `reads` in the page cache and no one else's dirty pages."""
        self.settle(reads)
        return self.run(words, cwd=cwd, extra=extra)

    def settle(self, reads: Path) -> None:
        """Make the state of the machine the same for everybody: input cached, nothing dirty."""
        warm(reads)
        if self.flush:
            os.sync()
