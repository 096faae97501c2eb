"""The rules of the registry: what may become of a version, as pure functions of a registry.

Each function looks at the registry as it is and returns the entry to write, or refuses. They are
evaluated again whenever another writer was faster, so a rule holds at the moment of the write.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from nbversion import names
from nbversion.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from nbversion.formats.registry import Entry, Registry
from nbversion.names import Stage, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nbversion.formats.registry import RegisteredVersion

_IMAGE = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_TAGGED_ONLY = (Stage.STAGING, Stage.PRODUCTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who writes, when, and under which id an unknown outcome is looked up.

    Parameters
    ----------
    actor, utc : str
    op_id : str
    """

    actor: str
    utc: str
    op_id: str = field(default_factory=lambda: secrets.token_hex(8))


def known_version(registry: Registry, version: str) -> RegisteredVersion:
    """Return the registered version.

    Raises
    ------
    NotFoundError
        When there is none; the message lists those there are.
    """
    names.model_version(version)
    found = registry.find(version)
    if found is None:
        listed = ", ".join(f"{one.version} ({one.stage})" for one in registry.versions) or "none"
        raise NotFoundError(
            f"{registry.name} has no version {version}; it has {listed}. Nothing was changed."
        )
    return found


def check_image(image: str | None) -> str | None:
    """Return `image` when it is pinned by its digest.

    Raises
    ------
    InvalidInputError
        For a bare tag: it can move, so a rollback could not bring it back.
    """
    if image is not None and not _IMAGE.fullmatch(image):
        raise InvalidInputError(
            f"the image {image!r} is not pinned: write REPOSITORY@sha256:<64 hex>. Nothing was "
            "changed."
        )
    return image


def plan_register(
    registry: Registry,
    version: str,
    signature: Signature,
    *,
    digest: str,
    run_id: str | None,
) -> Entry | None:
    """Return the entry that adds a version in stage dev; None when it stands there already."""
    existing = registry.find(version)
    if existing is not None:
        if (existing.digest, existing.run_id) == (digest, run_id):
            return None
        raise ConflictError(
            f"{registry.name} {existing.version} is registered already. A used version is never "
            "reused; it was left as it is."
        )
    return Entry(
        revision=0,
        op_id=signature.op_id,
        utc=signature.utc,
        actor=signature.actor,
        action="register",
        version=version,
        to_stage=Stage.DEV,
        digest=digest,
        run_id=run_id,
    )


def plan_promote(
    registry: Registry,
    version: str,
    stage: Stage,
    signature: Signature,
    *,
    as_version: str | None = None,
    image: str | None = None,
    comment: str | None = None,
) -> Entry | None:
    """Return the entry that moves a version to `stage`; None when it stands there already.

    So does a release that this very command published before: whoever could not see how it ended may
    give it again.

    Raises
    ------
    NotFoundError
        When the version is not registered.
    RefusedError
        When a pre-release would enter staging or production.
    ConflictError
        When `as_version` is taken.
    """
    one = known_version(registry, version)
    tagged = Version(as_version or one.version)
    if as_version is not None:
        release = registry.find(as_version)
        same = (as_version, one.version, one.digest, stage)
        if release is not None and same == _publication(release) and image in (None, release.image):
            return None
        _check_as(registry, one, as_version)
    if stage in _TAGGED_ONLY and not tagged.is_release:
        raise RefusedError(
            f"{registry.name} {one.version} is a pre-release, and only tagged versions reach {stage}. "
            f"Nothing was changed; tag it with: %promote {registry.name} {one.version} {stage} --as "
            f"{suggested_release(registry, one.version)}"
        )
    pinned = check_image(image) or one.image
    unmoved = as_version is None and one.stage is stage
    if unmoved and (image is None or image == one.image):
        return None
    serving = registry.production
    displaced = (
        serving.version
        if stage is Stage.PRODUCTION and serving is not None and serving.version != str(tagged)
        else None
    )
    return Entry(
        revision=0,
        op_id=signature.op_id,
        utc=signature.utc,
        actor=signature.actor,
        action="promote",
        version=str(tagged),
        from_stage=None if as_version else one.stage,
        to_stage=stage,
        displaced=displaced,
        digest=one.digest,
        run_id=one.run_id,
        image=pinned,
        comment=comment,
        derived_from=one.version if as_version else None,
    )


def _publication(one: RegisteredVersion) -> tuple[object, ...]:
    """Return what says of a release which promotion published it, and that it stands there yet."""
    return (one.version, one.derived_from, one.digest, one.stage)


def suggested_release(registry: Registry, version: str) -> str:
    """Return the release that a pre-release would become, or the next free one after it."""
    core = Version(version).semver.finalize_version()
    while registry.find(f"v{core}") is not None:
        core = core.bump_patch()
    return f"v{core}"


def _check_as(registry: Registry, one: RegisteredVersion, as_version: str) -> None:
    names.model_version(as_version)
    if not Version(as_version).is_release:
        raise InvalidInputError(
            f"--as takes a release vX.Y.Z, not {as_version!r}. Nothing was changed."
        )
    if Version(one.version).is_release:
        raise RefusedError(
            f"{registry.name} {one.version} is a release already; leave --as away. Nothing was "
            "changed."
        )
    taken = registry.find(as_version)
    if taken is not None:
        raise ConflictError(
            f"{registry.name} {taken.version} is taken (it is in {taken.stage}). A used version is "
            f"never reused; the next free one is {suggested_release(registry, as_version)}. Nothing "
            "was changed."
        )


def plan_rollback(
    registry: Registry,
    signature: Signature,
    *,
    to: str | None = None,
    comment: str | None = None,
) -> Entry:
    """Return the entry that puts production back.

    Without `to`: to the version that served before the serving version's latest promotion, unless
    that one was itself rolled back from and not promoted since.

    Raises
    ------
    NotFoundError
        When `to` is not registered.
    RefusedError
        When there is no such version, or it serves already; the candidates are named.
    """
    serving = registry.production
    target = rollback_target(registry) if to is None else known_version(registry, to)
    if serving is not None and target.version == serving.version:
        raise RefusedError(
            f"{registry.name} {target.version} serves already. Nothing was changed; "
            f"{_candidates(registry)}"
        )
    if not Version(target.version).is_release:
        raise RefusedError(
            f"{registry.name} {target.version} is a pre-release, and only tagged versions reach "
            f"production. Nothing was changed; {_candidates(registry)}"
        )
    return Entry(
        revision=0,
        op_id=signature.op_id,
        utc=signature.utc,
        actor=signature.actor,
        action="rollback",
        version=target.version,
        from_stage=target.stage,
        to_stage=Stage.PRODUCTION,
        displaced=serving.version if serving else None,
        digest=target.digest,
        run_id=target.run_id,
        image=target.image,
        comment=comment,
    )


def rollback_target(registry: Registry) -> RegisteredVersion:
    """Return the version that a rollback without a name goes to; see `plan_rollback`."""
    serving = registry.production
    if serving is None:
        raise RefusedError(
            f"no version of {registry.name} is in production, so there is nothing to roll back "
            f"from. Nothing was changed; {_candidates(registry)}"
        )
    before = _served_before(registry, serving.version)
    target = registry.find(before) if before is not None else None
    if target is None:
        raise RefusedError(
            f"nothing is known to have served before {registry.name} {serving.version} was "
            f"promoted. Nothing was changed; {_candidates(registry)}"
        )
    if target.version in _rolled_back_from(registry.history):
        raise RefusedError(
            f"{registry.name} {target.version} served before {serving.version}, but it was rolled "
            f"back from itself. Nothing was changed; {_candidates(registry)}"
        )
    return target


def _served_before(registry: Registry, version: str) -> str | None:
    """Return what was in production before the latest promotion of `version` to production."""
    promotions = [
        at
        for at, entry in enumerate(registry.history)
        if entry.version == version
        and entry.action == "promote"
        and entry.to_stage == Stage.PRODUCTION
    ]
    if not promotions:
        return None
    served: str | None = None
    for serving in _serving(registry.history, until=promotions[-1]):
        served = serving if serving not in (None, version) else served
    return served


def _serving(history: Sequence[Entry], *, until: int) -> Iterator[str | None]:
    """Yield what was in production before the first entry, and after each one before `until`."""
    # A file that was written by hand may have had a serving version before its history began.
    serving: str | None = next(
        (one["version"] for one in history[0].baseline if one.get("stage") == Stage.PRODUCTION),
        None,
    )
    yield serving
    for entry in history[:until]:
        if entry.to_stage == Stage.PRODUCTION:
            serving = entry.version
        elif entry.version == serving and entry.to_stage is not None:
            serving = None
        yield serving


def last_change_of_production(registry: Registry) -> Entry:
    """Return the newest entry by which production changed, or else the newest one."""
    serving = pairwise(_serving(registry.history, until=registry.revision))
    changes = [
        entry
        for entry, (before, after) in zip(registry.history, serving, strict=True)
        if before != after
    ]
    return (changes or registry.history)[-1]


def _rolled_back_from(history: Iterable[Entry]) -> set[str]:
    found: set[str] = set()
    for entry in history:
        if entry.action == "rollback" and entry.displaced is not None:
            found.add(entry.displaced)
        elif entry.action == "promote" and entry.to_stage == Stage.PRODUCTION:
            found.discard(entry.version)
    return found


def _candidates(registry: Registry) -> str:
    left = _rolled_back_from(registry.history)
    served = [
        entry.version for entry in reversed(registry.history) if entry.to_stage == Stage.PRODUCTION
    ]
    others = [one.version for one in reversed(registry.versions)]
    serving = registry.production
    listed = [
        version + (" (rolled back from)" if version in left else "")
        for version in dict.fromkeys([*served, *others])
        if Version(version).is_release and (serving is None or version != serving.version)
    ]
    if not listed:
        return "there is no other release to go to."
    return f"choose with --to: {', '.join(listed[:8])}."
