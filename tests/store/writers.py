"""What the tests of concurrent writing run as processes of their own: VERB ARGUMENT ... NUMBER.

Each says when it is ready and begins when it is told to.
"""

from __future__ import annotations

import contextlib
import os
import sys

from nbversion.disk import Disk
from nbversion.project import Project


def no_lock(_path, _timeout):
    """A lock that always says yes, as one on NFS may."""
    return contextlib.nullcontext()


def snapshot(number, path):
    return Project(".").snapshot(path).reference


def snapshot_own(number):
    return Project(".").snapshot(f"data/raw/{number}", name="d").reference


def write(number, lock, times, mixed):
    disk = Disk() if lock == "lock" else Disk(lock_factory=no_lock)
    project = Project(".", disk=disk)
    done = 0
    for at in range(int(times)):
        if mixed == "mixed" and at % 2:
            project.comment("clf", "v0.1.0", f"{number}-{at}")
            done += 1
        else:
            done += project.promote("clf", f"v0.{1 + (number + at) % 3}.0", "production").changed
    return done


class Dying(Disk):
    __slots__ = ()

    def step(self, primitive, path):
        if primitive == "replace" and path.name == "registry.json":
            os._exit(0)


def die_after_claim(number):
    project = Project(".", disk=Dying())
    project.comment("clf", "v0.1.0", "of the dead")


VERBS = {
    "snapshot": snapshot,
    "snapshot-own": snapshot_own,
    "write": write,
    "die-after-claim": die_after_claim,
}

if __name__ == "__main__":
    verb, *arguments, number = sys.argv[1:]
    # Durability is not what these tests look at, and flushing would only space the writers out.
    os.fsync = lambda _: None
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{VERBS[verb](int(number), *arguments)}\n")
