"""The rules of versions and of the registry, written from the contract.

Nothing of the product is imported here: a rule that is wrong there must not be wrong here as well.
Errors are named by their class, for a model has none of its own.
"""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import NamedTuple

STAGES = ("dev", "staging", "production", "archived")
# How the product may say that what a version stands on does not hold.
UNSOUND = frozenset({"IntegrityError", "FormatError", "NotFoundError"})


def order(version):
    """Return a key by which versions sort as SemVer has them; v0.1 and v0.1.0 have the same."""
    core, _, tail = version.removeprefix("v").partition("-")
    numbers = [int(one) for one in core.split(".")]
    kind, _, number = tail.partition(".")
    return (*numbers, *[0] * (3 - len(numbers)), not tail, kind, int(number or 0))


def is_release(version):
    return "-" not in version


def next_data_version(used):
    if not used:
        return "v0.1"
    head, _, last = max(used, key=order).rpartition(".")
    return f"{head}.{int(last) + 1}"


def next_dev_version(used):
    releases = [one for one in used if is_release(one)]
    major, minor = order(max(releases, key=order))[:2] if releases else (0, 0)
    base = f"v{major}.{minor + 1}.0-dev."
    numbers = [int(one.removeprefix(base)) for one in used if one.startswith(base)]
    return f"{base}{max(numbers, default=0) + 1}"


def content_digest(files):
    """Return the digest of a version's files, given as path and bytes."""
    whole = hashlib.sha256()
    for path, data in sorted(files.items(), key=lambda one: one[0].encode()):
        whole.update(f"{hashlib.sha256(data).hexdigest()} {len(data)} {path}\0".encode())
    return f"sha256:{whole.hexdigest()}"


def record_digest(record, *, without=None):
    plain = {key: value for key, value in record.items() if key != without}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass
class Frozen:
    """What a version holds."""

    files: dict
    folders: frozenset = frozenset()
    derived_from: str | None = None


class Entry(NamedTuple):
    """What the model says of an entry of a history."""

    action: str
    version: str
    from_stage: str | None
    to_stage: str | None
    displaced: str | None
    image: str | None
    comment: str | None


@dataclass
class Ledger:
    """One model's registry.

    Each operation gives the errors that it may end with and the ledger that it leads to; with an
    error nothing changes. Where several rules are broken at once, any of them may be named.
    """

    stages: dict = field(default_factory=dict)
    images: dict = field(default_factory=dict)
    digests: dict = field(default_factory=dict)
    log: list = field(default_factory=list)

    @property
    def serving(self):
        return next((one for one, stage in self.stages.items() if stage == "production"), None)

    def _after(self, entry, digest=None):
        after = deepcopy(self)
        after.log.append(entry)
        if entry.displaced is not None:
            after.stages[entry.displaced] = "archived"
        if entry.to_stage is not None:
            after.stages[entry.version] = entry.to_stage
            after.images[entry.version] = entry.image
        if digest is not None:
            after.digests[entry.version] = digest
        return after

    def register(self, version, digest):
        return set(), self._after(Entry("register", version, None, "dev", None, None, None), digest)

    def comment(self, version, text):
        if version not in self.stages:
            return {"NotFoundError"}, self
        image = self.images[version]
        return set(), self._after(Entry("comment", version, None, None, None, image, text))

    def promote(self, version, stage, *, as_version, image, comment, folders, unsound):
        """Move a version; `folders` are the frozen versions there are, `unsound` the damaged."""
        errors = set() if stage in STAGES else {"InvalidInputError"}
        if version not in self.stages:
            return errors | {"NotFoundError"}, self
        tagged = as_version or version
        # Whoever could not see how it ended may give the same command again.
        again = (
            as_version in self.stages
            and folders[as_version].derived_from == version
            and self.stages[as_version] == stage
            and image in (None, self.images[as_version])
        )
        if as_version is not None and not again:
            errors |= self._may_not_become(version, as_version, folders)
        if stage in ("staging", "production") and not is_release(tagged):
            errors.add("RefusedError")
        if stage != "archived" and unsound & {version, tagged}:
            errors |= UNSOUND
        if errors:
            return errors, self
        if again:
            return set(), self
        before = self.images[version]
        if tagged == version and self.stages[version] == stage and image in (None, before):
            return set(), self
        leaves = stage == "production" and self.serving not in (None, tagged)
        entry = Entry(
            "promote",
            tagged,
            None if as_version else self.stages[version],
            stage,
            self.serving if leaves else None,
            image or before,
            comment,
        )
        return set(), self._after(entry, self.digests[version])

    def _may_not_become(self, version, as_version, folders):
        errors = set()
        if not is_release(as_version):
            errors.add("InvalidInputError")
        if is_release(version):
            errors.add("RefusedError")
        # A promotion that died may have frozen its release already; only the same one goes on.
        frozen = folders.get(as_version)
        if as_version in self.stages or (frozen and frozen.derived_from != version):
            errors.add("ConflictError")
        return errors

    def rollback(self, to, *, comment, unsound):
        target = self.served_before() if to is None else to
        if target is None:
            return {"RefusedError"}, self
        if target not in self.stages:
            return {"NotFoundError"}, self
        errors = set()
        if target == self.serving or not is_release(target):
            errors.add("RefusedError")
        if target in unsound:
            errors.add("IntegrityError")
        if errors:
            return errors, self
        entry = Entry(
            "rollback",
            target,
            self.stages[target],
            "production",
            self.serving,
            self.images[target],
            comment,
        )
        return set(), self._after(entry)

    def served_before(self):
        """Return what served before the serving version's latest promotion, where it may return."""
        served, left, now, before = [], set(), None, None
        for one in self.log:
            if one.action == "promote" and one.to_stage == "production":
                left.discard(one.version)
                if one.version == self.serving:
                    before = next((old for old in reversed(served) if old != one.version), None)
            if one.action == "rollback" and one.displaced is not None:
                left.add(one.displaced)
            if one.to_stage == "production":
                now = one.version
            elif one.to_stage is not None and one.version == now:
                now = None
            if now is not None:
                served.append(now)
        return None if before in left else before
