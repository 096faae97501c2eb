"""Kill a verb at each step of the disk, and then do it again.

python killer.py PROJECT WORK VERB… prints one JSON object for each step: what was killed, what lay
there then, and what the same verb did afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from nbversion import Project
from nbversion.disk import Disk
from nbversion.hashing import digest_of
from nbversion.verbs import BY_NAME, parse

KILLED = 137


class Deadly(Disk):
    """A disk whose process dies at one step, as by kill -9."""

    __slots__ = ("at", "count", "log")

    def step(self, primitive, path):
        self.count += 1
        if self.count == self.at:
            os.write(self.log, f"{primitive}".encode())
            os._exit(KILLED)


def act(words, disk):
    verb = BY_NAME[words[0]]
    return verb.act(Project(".", disk=disk), parse(verb, words[0], words[1:]))


def killed_at(number, words):
    """Return the primitive at which the verb died, or None when it came to its end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        disk = Deadly()
        disk.at, disk.count, disk.log = number, 0, writing
        try:
            act(words, disk)
        finally:
            os._exit(0)
    os.close(writing)
    primitive = os.read(reading, 100).decode()
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return primitive if status == KILLED else None


def contents():
    return sorted({digest_of(one.read_bytes()) for one in Path().rglob("*") if one.is_file()})


def main(template, work, *words):
    for number in range(1, 500):
        project = Path(work, str(number))
        subprocess.run(["cp", "-a", template, project], check=True)
        os.chdir(project)
        primitive = killed_at(number, words)
        if primitive is None:
            sys.stdout.write(json.dumps({"end": number}) + "\n")
            return
        found = {"killed": primitive, "contents": contents()}
        found["findings"] = [(one.kind, one.path) for one in Project(".").verify().findings]
        record = act(list(words), Disk()).to_json()
        found["again"] = {key: record[key] for key in ("holds", "changed") if key in record}
        found["holds"] = Project(".").verify().holds
        found["root"] = str(project)
        sys.stdout.write(json.dumps(found) + "\n")


main(*sys.argv[1:])
