"""What may lie on a disk after the power went: SQLite's method, with a model of a strict disk.

Data is durable once its file was flushed, a name once its folder was, both once the whole file system
was. Of everything else any part may be lost, torn or zeroed, in any order.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

# Flushes that a mutation leaves out: of files being staged, of small texts, of folders.
MUTATIONS = ("staged files", "texts", "folders")
MODES = ("kept", "lost", "names only", "random")


@dataclass(slots=True)
class Log:
    """What happened to a folder, as differences between one look and the next.

    Parameters
    ----------
    root : Path
    without : str
        A kind of flush that is not noted, as if the code did not make it.
    """

    root: Path
    without: str = ""
    events: list[tuple[Any, ...]] = field(default_factory=list)
    # How many of them only tell what was there.
    known: int = 0
    # By number: an inode's number comes back with another file.
    modes: dict[int, int] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)
    _names: dict[tuple[int, str], int] = field(default_factory=dict)
    _data: dict[int, bytes] = field(default_factory=dict)
    _paths: dict[int, str] = field(default_factory=dict)
    _made: int = 0

    def look(self) -> None:
        """Note what is different since the last look."""
        numbers: dict[int, int] = {}
        names: dict[tuple[int, str], int] = {}
        data: dict[int, bytes] = {}
        paths: dict[int, str] = {}
        pending = [(self._number(os.stat(self.root).st_ino, numbers), os.fspath(self.root))]
        while pending:
            number, folder = pending.pop()
            paths[number] = folder
            for entry in os.scandir(folder):
                facts = entry.stat(follow_symlinks=False)
                below = self._number(facts.st_ino, numbers)
                names[number, entry.name] = below
                paths[below] = entry.path
                self.modes[below] = facts.st_mode
                if stat.S_ISDIR(facts.st_mode):
                    pending.append((below, entry.path))
                elif below not in data:
                    with open(entry.path, "rb") as handle:
                        data[below] = handle.read()
        changed = {key: names.get(key) for key in names.keys() | self._names.keys()}
        changed = {key: one for key, one in changed.items() if one != self._names.get(key)}
        # A file's data first: a number without any is a folder.
        self.events += [
            ("data", number, one) for number, one in data.items() if self._data.get(number) != one
        ]
        if changed:
            self.events.append(("names", changed))
        self._numbers, self._names, self._data, self._paths = numbers, names, data, paths

    def _number(self, inode: int, numbers: dict[int, int]) -> int:
        if inode not in numbers:
            if inode in self._numbers:
                numbers[inode] = self._numbers[inode]
            else:
                self._made += 1
                numbers[inode] = self._made
        return numbers[inode]

    def flushed(self, handle: int | None) -> None:
        """Note that a descriptor was flushed; None for everything."""
        if handle is None:
            if self.without != "staged files":
                self.events.append(("flushed all",))
            return
        number = self._numbers.get(os.fstat(handle).st_ino)
        if number is None:
            return
        path, folder = self._paths[number], stat.S_ISDIR(os.fstat(handle).st_mode)
        above, _, name = path.rpartition("/")
        left_out = {
            "": False,
            "folders": folder,
            "texts": not folder and name.startswith(".nbv-"),
            "staged files": not folder and "/.nbv-" in above,
        }
        if not left_out[self.without]:
            self.events.append(("flushed", number))

    def begin(self) -> None:
        """Take what is there as durable."""
        self.events.clear()
        self.look()
        self.events.append(("flushed all",))
        self.known = len(self.events)

    def tree(self) -> dict[str, Any]:
        """Return what the last look saw, to compare with a replay of everything."""
        return _paths(self._names, self._data)


@dataclass(slots=True)
class Disk:
    """A disk as the events so far leave it."""

    names: list[tuple[dict[tuple[int, str], int | None], set[int]]] = field(default_factory=list)
    data: dict[int, bytes] = field(default_factory=dict)
    durable: dict[int, bytes] = field(default_factory=dict)

    def follow(self, event: tuple[Any, ...]) -> None:
        """Let one event happen."""
        kind = event[0]
        if kind == "names":
            self.names.append((event[1], {folder for folder, _ in event[1]}))
        elif kind == "data":
            self.data[event[1]] = event[2]
        elif kind == "flushed":
            if event[1] in self.data:
                self.durable[event[1]] = self.data[event[1]]
            for _, waiting in self.names:
                waiting.discard(event[1])
        else:
            self.durable = dict(self.data)
            for _, waiting in self.names:
                waiting.clear()

    def after_power_loss(self, mode: str, chance: Random) -> dict[str, Any]:
        """Return what is found when the machine is up again: content by path, None for folders."""
        names: dict[tuple[int, str], int] = {}
        for changed, waiting in self.names:
            keep = mode in ("kept", "names only") or (mode == "random" and chance.random() < 0.5)
            for key, number in changed.items():
                # A rename between folders of which one was flushed: there for certain, here perhaps.
                if key[0] in waiting and not keep:
                    continue
                if number is None:
                    names.pop(key, None)
                else:
                    names[key] = number
        data = {}
        for number, now in self.data.items():
            then = self.durable.get(number, b"")
            data[number] = now
            if then != now and mode != "kept":
                cut = chance.randrange(len(now)) if now else 0
                torn = (then, now, now[:cut], bytes(len(now)), now[:cut] + bytes(len(now) - cut))
                data[number] = chance.choice(torn) if mode == "random" else then
        return _paths(names, data)


def _paths(names: dict[tuple[int, str], int], data: dict[int, bytes]) -> dict[str, Any]:
    """Return what can be reached from the root, which has the number 1."""
    below: dict[int, list[tuple[str, int]]] = {}
    for (folder, name), number in names.items():
        below.setdefault(folder, []).append((name, number))
    found: dict[str, Any] = {}
    pending = [(1, "")]
    while pending:
        folder, prefix = pending.pop()
        for name, number in sorted(below.get(folder, ())):
            found[f"{prefix}{name}"] = (number, data.get(number))
            if number not in data:
                pending.append((number, f"{prefix}{name}/"))
    return found


def lay_out(tree: dict[str, Any], modes: dict[int, int], root: Path) -> None:
    """Make a folder of what was found, hard links included."""
    first: dict[int, Path] = {}
    root.mkdir(parents=True)
    for path, (number, data) in tree.items():
        target = root / path
        if data is None:
            target.mkdir()
        elif number in first:
            os.link(first[number], target)
        else:
            first[number] = target
            with open(target, "xb", buffering=0) as handle:
                handle.write(data)
                os.fchmod(handle.fileno(), stat.S_IMODE(modes[number]))


def fingerprint(tree: dict[str, Any]) -> str:
    """Return what tells two trees apart."""
    text = hashlib.sha256()
    for path, (number, data) in sorted(tree.items()):
        text.update(f"{path!r} {number} {'' if data is None else len(data)} ".encode())
        text.update(data or b"")
    return text.hexdigest()
