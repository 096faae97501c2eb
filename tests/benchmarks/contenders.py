"""nbversion, from the command line and in a warm process, and the plain programs it is held to.

A contender offers some of the steps `first`, `again`, `changed`, `verify` and `restore`. Each makes
the machine ready, does the work once with a clock around it, looks whether the work was done, and
returns the seconds. A step raises `Failed` when the work was not done.
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from material import FILE_BYTES, content_of
from processes import Failed

if TYPE_CHECKING:
    from material import Material
    from processes import Bench, Said

HERE = Path(__file__).parent
CORES = len(os.sched_getaffinity(0))


class Contender:
    """What all have in common: a folder of their own with their own copy of the material.

    Parameters
    ----------
    bench : Bench
    home : Path
        The contender's folder of this round; it does not exist yet.
    material : Material
    """

    name = ""

    def __init__(self, bench: Bench, home: Path, material: Material) -> None:
        self.bench = bench
        self.home = home
        self.material = material

    @property
    def source(self) -> Path:
        """The user's own tree or file."""
        return self.home / self.material.item

    def prepare(self) -> None:
        """Do what a user did long before: untimed."""
        self.home.mkdir(parents=True)
        self.material.place(self.home)

    def damage(self) -> str | None:
        """Flip a byte of what is stored; return what is wrong with the verification after it."""
        return None

    def close(self) -> None:
        """End what still runs."""

    def timed(self, words: list[str], reads: Path, **options: Any) -> Said:
        """Run a program in the contender's folder."""
        return self.bench.timed(words, cwd=self.home, reads=reads, **options)

    def compare(self, got: dict[str, str], what: str, *, algorithm: str, changed: bool) -> None:
        """Fail unless `got` is exactly the material."""
        wanted = self.material.expected(algorithm, changed=changed)
        if got != wanted:
            wrong = sum(
                1 for path in wanted.keys() | got.keys() if wanted.get(path) != got.get(path)
            )
            raise Failed(f"{what}: {wrong} of {len(wanted)} files are missing, extra or different")

    def compare_folder(self, folder: Path, what: str, *, changed: bool) -> None:
        """Fail unless `folder` holds exactly the material."""
        got = {
            path: digest for path, digest in content_of(folder).items() if path != "manifest.json"
        }
        self.compare(got, what, algorithm="sha256", changed=changed)


def flip_a_byte(folder: Path) -> Path:
    """Change the last byte of the first file in `folder` that is large enough to be data."""
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(base, name)
            facts = path.stat()
            if facts.st_size < FILE_BYTES or name == "manifest.json":
                continue
            path.chmod(0o644)
            with path.open("r+b") as stream:
                stream.seek(-1, os.SEEK_END)
                last = stream.read(1)
                stream.seek(-1, os.SEEK_END)
                stream.write(bytes([last[0] ^ 1]))
            path.chmod(facts.st_mode & 0o7777)
            return path
    raise Failed("nothing is stored that could be damaged")


class Copy(Contender):
    """``cp -r``: no digest, no flush, no second look."""

    name = "cp -r"

    def first(self) -> float:
        """Copy the tree."""
        said = self.timed(["cp", "-r", self.material.item, "copy"], self.source)
        self.compare_folder(self.home / "copy", "the copy", changed=False)
        return said.seconds

    def restore(self) -> float:
        """Copy the copy."""
        said = self.timed(["cp", "-r", "copy", "restored"], self.home / "copy")
        self.compare_folder(self.home / "restored", "the second copy", changed=False)
        return said.seconds


class HashCopy(Contender):
    """One file hashed while it is copied, once, and flushed."""

    name = "hash+copy+fsync"

    def first(self) -> float:
        """Hash and copy the file."""
        program = [sys.executable, "-I", "-S", str(HERE / "hash_copy.py")]
        said = self.timed([*program, self.material.item, "copy.bin"], self.source)
        got = {self.material.item: said.text().strip()}
        self.compare(got, "the digest", algorithm="sha256", changed=False)
        copied = self.home / "copy.bin"
        if copied.stat().st_size != self.source.stat().st_size:
            raise Failed("the copy is not complete")
        return said.seconds


class NbVersion(Contender):
    """The installed command, a whole process for every step."""

    name = "nbversion"

    @property
    def source(self) -> Path:
        """Where the lesson's template keeps raw data."""
        return self.home / "data" / "raw" / self.material.item

    def prepare(self) -> None:
        """Make a project with the material as its raw data."""
        self.home.mkdir(parents=True)
        self.bench.run([*self._command, "init", "."], cwd=self.home)
        self.source.parent.mkdir(parents=True, exist_ok=True)
        self.material.place(self.source.parent)

    def first(self) -> float:
        """Freeze the material."""
        seconds = self.snapshot()
        self._look_at(["sample_v0.1"], changed=False)
        return seconds

    def again(self) -> float:
        """Freeze it again, unchanged: the version that there is must be given back."""
        seconds = self.snapshot()
        self._look_at(["sample_v0.1"], changed=False)
        return seconds

    def changed(self) -> float:
        """Freeze it with ten files changed."""
        self.material.change(self.source.parent)
        seconds = self.snapshot()
        self._look_at(["sample_v0.1", "sample_v0.2"], changed=True)
        return seconds

    def verify(self) -> float:
        """Hash every frozen byte again."""
        seconds, record = self.verification()
        wanted = self.material.expected("sha256", changed=False)
        if record.get("holds") is not True or record.get("files") != len(wanted):
            raise Failed(f"verify says holds={record.get('holds')} of {record.get('files')} files")
        return seconds

    def restore(self) -> float:
        """Make a writable copy of the first version."""
        said = self.timed([*self._command, "restore", "sample_v0.1", "restored"], self.frozen)
        self.compare_folder(self.home / "restored", "the restored copy", changed=False)
        return said.seconds

    def damage(self) -> str | None:
        """Flip a byte of a frozen file; verification must say so."""
        flip_a_byte(self.frozen)
        try:
            _, record = self.verification()
        except Failed as exc:
            return None if "exit status 1:" in str(exc) else str(exc)
        return "a flipped byte was not found" if record.get("holds") is not False else None

    def snapshot(self) -> float:
        """Do the one thing that W1 to W4 measure."""
        words = [*self._command, "snapshot", f"data/raw/{self.material.item}", "--name", "sample"]
        return self.timed(words, self.source).seconds

    def verification(self) -> tuple[float, dict[str, Any]]:
        """Verify the first version; return the seconds and the record."""
        said = self.timed([*self._command, "verify", "sample_v0.1", "--json"], self.frozen)
        return said.seconds, _record(said.text())

    @property
    def frozen(self) -> Path:
        """The first version's folder."""
        return self.home / "data" / "snapshots" / "sample_v0.1"

    @property
    def _command(self) -> list[str]:
        return shlex.split(self.bench.nbversion)

    def _look_at(self, versions: list[str], *, changed: bool) -> None:
        folder = self.frozen.parent
        found = sorted(one.name for one in folder.glob("[!.]*"))
        if found != versions:
            raise Failed(f"there should be the versions {versions}, and there are {found}")
        newest = folder / versions[-1]
        manifest = _record((newest / "manifest.json").read_text(encoding="utf-8"))
        prefix = f"data/snapshots/{newest.name}/"
        listed = {one["path"].removeprefix(prefix): one["sha256"] for one in manifest["files"]}
        self.compare(listed, "the manifest", algorithm="sha256", changed=changed)
        self.compare_folder(newest, "the frozen files", changed=changed)


def _record(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Failed("the answer is not JSON")
    return found


class WarmKernel(NbVersion):
    """The same verbs in one process that stays, as a magic in a running kernel does them."""

    name = "nbversion (warm kernel)"
    restore = None

    def prepare(self) -> None:
        """Make the project and start the process."""
        super().prepare()
        self.start()

    def start(self) -> None:
        """Start the process and wait until it is warm."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "kernel.py")],
            cwd=self.home,
            env=self.bench.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def snapshot(self) -> float:
        """Ask for a snapshot."""
        self.bench.settle(self.source)
        words = ["snapshot", f"data/raw/{self.material.item}", "sample"]
        return self._asked(words)["seconds"]

    def verification(self) -> tuple[float, dict[str, Any]]:
        """Ask for a verification."""
        self.bench.settle(self.frozen)
        said = self._asked(["verify", "sample_v0.1"])
        return said["seconds"], said["record"]

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    _process: Any = None

    def _asked(self, words: list[str]) -> dict[str, Any]:
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
        except OSError as exc:
            raise Failed("the warm process ended") from exc
        said = json.loads(self._answer())
        if "problem" in said:
            raise Failed(said["problem"])
        return said

    def _answer(self) -> str:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(self.bench.timeout):
                self._process.kill()
                raise Failed(f"no answer after {self.bench.timeout:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failed("the warm process ended")
        return line


class OpenSsl(Contender):
    """``openssl dgst -sha256`` over the files that nbversion froze in the same round."""

    name = f"xargs -P{CORES} openssl dgst -sha256"
    processes = CORES

    def prepare(self) -> None:
        """Make a folder for the list of files."""
        self.home.mkdir(parents=True)

    def verify(self) -> float:
        """Hash all of them, with as many processes as there are cores."""
        wanted = self.material.expected("sha256", changed=False)
        frozen = NbVersion(
            self.bench, self.home.with_name(NbVersion.__name__), self.material
        ).frozen
        if not frozen.is_dir():
            raise Failed("nbversion froze nothing to hash")
        # Making the list is no part of the work: a manifest is one already.
        listing = self.home / "files"
        listing.write_bytes(b"\0".join(path.encode() for path in wanted))
        words = ["xargs", "-0", "-a", str(listing), f"-P{self.processes}"]
        words += ["openssl", "dgst", "-sha256"]
        said = self.bench.timed(words, cwd=frozen, reads=frozen)
        got = dict(_hashed(line) for line in said.text().splitlines())
        self.compare(got, "the digests", algorithm="sha256", changed=False)
        return said.seconds


class OneOpenSsl(OpenSsl):
    """The same in one process: what one core can do."""

    name = "openssl dgst -sha256, one core"
    processes = 1


def _hashed(line: str) -> tuple[str, str]:
    # SHA2-256(path)= hex, or SHA256(path)= hex before OpenSSL 3.
    head, _, digest = line.partition(")= ")
    return head.partition("(")[2], digest.strip()
