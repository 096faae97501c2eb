"""Moving a model version through its stages: verified, gated, timed."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbversion.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    LostRaceError,
    NotFoundError,
)
from nbversion.formats.registry import Entry
from nbversion.names import Stage, model_ref, parse_stage
from nbversion.render.amounts import human_count, human_seconds, human_size
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown
from nbversion.store.promotion import (
    Signature,
    known_version,
    last_change_of_production,
    plan_promote,
    plan_rollback,
)

if TYPE_CHECKING:
    from nbversion.formats.registry import RegisteredVersion, Registry
    from nbversion.store.catalog import Catalog
    from nbversion.store.frozen import FrozenVersion

_MAX_COMMENT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One condition of a promotion.

    Parameters
    ----------
    gate : str
        Its name.
    holds : bool
    detail : str
    """

    gate: str
    holds: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Return the gate as records name it."""
        return {"gate": self.gate, "holds": self.holds, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Promotion(Shown):
    """What ``%promote`` did, or would do.

    Parameters
    ----------
    model, version : str
    from_stage : str or None
        None when the version was published by this promotion.
    to_stage : str
    displaced : str or None
        The version that left production.
    revision : int
        Of the registry, afterwards.
    gates : tuple of Gate
    changed : bool
        False for a dry run, and when the version stood there already.
    dry_run : bool
    """

    model: str
    version: str
    from_stage: str | None
    to_stage: str
    displaced: str | None
    derived_from: str | None
    image: str | None
    revision: int
    gates: tuple[Gate, ...]
    changed: bool
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """Return the promised keys and the rest."""
        return {
            "model": self.model,
            "version": self.version,
            "from_stage": self.from_stage,
            "to_stage": self.to_stage,
            "revision": self.revision,
            "gates": [one.to_json() for one in self.gates],
            "displaced": self.displaced,
            "derived_from": self.derived_from,
            "image": self.image,
            "changed": self.changed,
            "dry_run": self.dry_run,
        }

    def card(self) -> Card:
        """Return the promotion for people."""
        fields = [
            ("Stage", f"{self.from_stage or self.derived_from} → {self.to_stage}"),
            ("Published from", self.derived_from or ""),
            ("Archived", self.displaced or ""),
            ("Image", self.image or ""),
            ("Revision", str(self.revision)),
        ]
        rows = tuple((one.gate, "yes" if one.holds else "NO", one.detail) for one in self.gates)
        notes = []
        if self.dry_run:
            notes.append("Dry run: nothing was changed.")
        elif not self.changed:
            notes.append(f"It is in {self.to_stage} already: nothing was changed.")
        return Card(
            title=f"Promoted {self.model} {self.version}"
            if self.changed
            else f"{self.model} {self.version}",
            badge=self.to_stage,
            fields=tuple((key, value) for key, value in fields if value),
            tables=(Table(title="Gates", columns=("gate", "holds", "detail"), rows=rows),),
            notes=tuple(notes),
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Rollback(Shown):
    """What ``%rollback`` did, or would do.

    Parameters
    ----------
    from_version : str or None
        What served before; None when nothing did.
    to_version : str
    seconds : float
        From the call to the durable registry, verification included.
    """

    model: str
    from_version: str | None
    to_version: str
    image: str | None
    revision: int
    seconds: float
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """Return the promised keys and the rest."""
        return {
            "model": self.model,
            "from_version": self.from_version,
            "to_version": self.to_version,
            "revision": self.revision,
            "seconds": self.seconds,
            "image": self.image,
            "dry_run": self.dry_run,
        }

    def card(self) -> Card:
        """Return the rollback for people."""
        verb = "Would roll back" if self.dry_run else "Rolled back"
        fields = [
            ("Production", f"{self.from_version or 'nothing'} → {self.to_version}"),
            ("Took", f"{human_seconds(self.seconds)}, every byte of {self.to_version} verified"),
            ("Image", self.image or ""),
            ("Revision", str(self.revision)),
        ]
        return Card(
            title=f"{verb} {self.model}",
            badge=Stage.PRODUCTION,
            fields=tuple((key, value) for key, value in fields if value),
            notes=("Dry run: nothing was changed.",) if self.dry_run else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comment(Shown):
    """A comment as the registry keeps it."""

    model: str
    version: str
    comment: str
    actor: str
    utc: str
    revision: int

    def to_json(self) -> dict[str, Any]:
        """Return the comment."""
        return {
            "model": self.model,
            "version": self.version,
            "comment": self.comment,
            "actor": self.actor,
            "utc": self.utc,
            "revision": self.revision,
        }

    def card(self) -> Card:
        """Return the comment for people."""
        return Card(
            title=f"Comment on {self.model} {self.version}",
            fields=((f"{self.actor}, {self.utc}", self.comment),),
        )


def promote(
    catalog: Catalog,
    model: str,
    version: str,
    stage: str,
    *,
    as_version: str | None = None,
    image: str | None = None,
    comment: str | None = None,
    dry_run: bool = False,
) -> Promotion:
    """Move a version to a stage after verifying it.

    Raises
    ------
    NotFoundError, InvalidInputError, RefusedError, ConflictError
        When the version, the stage or a rule does not allow it.
    IntegrityError
        When its bytes, its run's record or the registry do not hold. Nothing was changed.
    """
    target = parse_stage(stage)
    _check_comment(comment)
    signature = Signature(actor=catalog.project.owner, utc=catalog.project.now())
    before = catalog.registrar.load_sound(model)
    one = known_version(before, version)
    release: FrozenVersion | None = None
    created = False

    def plan(registry: Registry) -> Entry | None:
        _same_digest(one, known_version(registry, version))
        if release is not None and not os.path.isfile(catalog.project.root / release.manifest_path):
            raise LostRaceError(
                f"{release.manifest.reference} was taken back by another promotion, which failed. "
                "Nothing was promoted; try again."
            )
        return plan_promote(
            registry,
            one.version,
            target,
            signature,
            as_version=as_version,
            image=image,
            comment=comment,
        )

    planned = plan(before)
    gates = [Gate(gate="tagged", holds=True, detail=_tagged(target, as_version or one.version))]
    if target is Stage.ARCHIVED:
        gates.append(Gate(gate="verified", holds=True, detail="not needed to archive"))
    else:
        frozen, gate = _verified(catalog, model, one, "Nothing was promoted.")
        gates.append(gate)
        if as_version is not None and not dry_run:
            release, created = catalog.models.publish_as(frozen, as_version)
    after, entry = before, planned
    if not dry_run:
        try:
            after, entry = catalog.registrar.commit(model, plan)
        except BaseException:
            if release is not None and created:
                _take_back(catalog, release)
            raise
    # Given again, it is the release that stands there, not what it was published from.
    stands = one if entry else known_version(after, as_version or one.version)
    return Promotion(
        model=model,
        version=entry.version if entry else stands.version,
        from_stage=entry.from_stage if entry else str(stands.stage),
        to_stage=str(target),
        displaced=entry.displaced if entry else None,
        derived_from=entry.derived_from if entry else stands.derived_from if as_version else None,
        image=entry.image if entry else stands.image,
        revision=after.revision,
        gates=tuple(gates),
        changed=entry is not None and not dry_run,
        dry_run=dry_run,
    )


def rollback(
    catalog: Catalog,
    model: str,
    *,
    to: str | None = None,
    comment: str | None = None,
    dry_run: bool = False,
) -> Rollback:
    """Put production back to what served before, verified first.

    Raises
    ------
    RefusedError, NotFoundError
        When there is no such version; the candidates are named.
    IntegrityError
        When the version to go back to does not hold. Nothing was changed.
    LostRaceError
        When production changed meanwhile.
    """
    started = time.perf_counter()
    _check_comment(comment)
    signature = Signature(actor=catalog.project.owner, utc=catalog.project.now())
    before = catalog.registrar.load_sound(model)
    planned = plan_rollback(before, signature, to=to, comment=comment)
    target = known_version(before, planned.version)
    try:
        _verified(catalog, model, target, "Nothing was rolled back.")
    except (IntegrityError, NotFoundError, FormatError) as exc:
        others = [
            one.version
            for one in before.versions
            if one.version not in (planned.version, planned.displaced) and "-" not in one.version
        ]
        named = f"choose with --to: {', '.join(others)}" if others else "there is no other release"
        raise IntegrityError(f"{exc.message} For {model}, {named}.") from exc

    def plan(registry: Registry) -> Entry:
        serving = registry.production
        if (serving.version if serving else None) != planned.displaced:
            last = last_change_of_production(registry)
            raise LostRaceError(
                f"production of {model} was changed meanwhile by {last.actor} ({last.action} "
                f"{last.version}). Nothing was rolled back; look at %registry {model} first."
            )
        return plan_rollback(registry, signature, to=planned.version, comment=comment)

    after = before
    if not dry_run:
        after, _ = catalog.registrar.commit(model, plan)
    return Rollback(
        model=model,
        from_version=planned.displaced,
        to_version=planned.version,
        image=planned.image,
        revision=after.revision,
        seconds=round(time.perf_counter() - started, 6),
        dry_run=dry_run,
    )


def comment_on(catalog: Catalog, model: str, version: str, text: str) -> Comment:
    """Add a comment to a version.

    Raises
    ------
    NotFoundError
        When there is no such version.
    InvalidInputError
        When the text is empty or longer than 10,000 letters.
    """
    if not text.strip():
        raise InvalidInputError("an empty comment says nothing. Nothing was written.")
    _check_comment(text)
    signature = Signature(actor=catalog.project.owner, utc=catalog.project.now())
    catalog.registrar.load(model)

    def plan(registry: Registry) -> Entry:
        one = known_version(registry, version)
        return Entry(
            revision=0,
            op_id=signature.op_id,
            utc=signature.utc,
            actor=signature.actor,
            action="comment",
            version=one.version,
            digest=one.digest,
            run_id=one.run_id,
            image=one.image,
            comment=text,
        )

    after, _ = catalog.registrar.commit(model, plan)
    return Comment(
        model=model,
        version=after.history[-1].version,
        comment=text,
        actor=signature.actor,
        utc=signature.utc,
        revision=after.revision,
    )


def _verified(
    catalog: Catalog, model: str, one: RegisteredVersion, consequence: str
) -> tuple[FrozenVersion, Gate]:
    frozen = catalog.models.load(model, one.version)
    frozen.verify(consequence)
    if one.digest is not None and one.digest != frozen.manifest.digest:
        raise not_as_registered(one, frozen, consequence)
    if one.run_id is not None:
        try:
            catalog.runs.require_sound(one.run_id)
        except NotFoundError as exc:
            raise IntegrityError(
                f"the record of {one.run_id}, which made {model_ref(model, one.version)}, is gone. "
                f"{consequence} Restore runs/{one.run_id}.yaml from git or a copy."
            ) from exc
    count = human_count(len(frozen.manifest.files), "file")
    detail = f"{count}, {human_size(frozen.manifest.size_bytes)} hashed"
    return frozen, Gate(gate="verified", holds=True, detail=detail)


def not_as_registered(
    one: RegisteredVersion, frozen: FrozenVersion, consequence: str
) -> IntegrityError:
    """Make the error for a version whose frozen bytes are not those that were registered."""
    return IntegrityError(
        f"{frozen.manifest.reference} is not what was registered: expected {one.digest}, got "
        f"{frozen.manifest.digest}. {consequence}",
        expected=one.digest,
        got=frozen.manifest.digest,
    )


def _take_back(catalog: Catalog, release: FrozenVersion) -> None:
    """Remove a release that this call published, unless a registry lists it or may come to."""
    manifest = release.manifest
    # The error that led here is what the user must see.
    with contextlib.suppress(Exception), catalog.registrar.lock(manifest.name):
        if not catalog.registrar.may_list(manifest.name, manifest.version):
            catalog.models.withdraw(release)


def _tagged(stage: Stage, version: str) -> str:
    needs = stage in (Stage.STAGING, Stage.PRODUCTION)
    return f"{version} is a release" if needs else f"not needed for {stage}"


def _same_digest(verified: RegisteredVersion, now: RegisteredVersion) -> None:
    if verified.digest != now.digest:
        raise LostRaceError(
            f"{now.version} was registered with other content meanwhile. Nothing was promoted."
        )


def _check_comment(text: str | None) -> None:
    if text is not None and len(text) > _MAX_COMMENT:
        raise InvalidInputError(
            f"a comment has at most {_MAX_COMMENT:,} letters, this one {len(text):,}. Nothing was "
            "written."
        )
    if text is not None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInputError("the comment is not valid text. Nothing was written.") from None
