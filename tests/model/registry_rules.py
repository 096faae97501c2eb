"""What is done to the models of a project."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from nbversion.store.models import ModelContent
from nbversion.store.promotion import Signature, plan_register

from .oracle import Frozen, content_digest, is_release, next_dev_version
from .rules import CONTENTS, check_restored, faults, handles, one_of, picks
from .world import MODELS, UNSURE

MODEL_VERSIONS = (None, None, "v0.1.0", "v0.2.0", "v1.0.0", "v0.2.0-dev.2", "v0.2.0-rc.1")
STAGES = ("production", "production", "staging", "dev", "archived", "prod")
# A write that fails at one of these is taken back, and what was frozen for it as well.
BEFORE_PUBLISHED = ("lock", "create", "write", "fsync", "replace")
UNPINNED = "repo:latest"
PINNED = f"repo@sha256:{'0' * 64}"

models = st.sampled_from(["clf", "clf", "reg"])


class RegistryRules:
    """Model versions and where they stand."""

    def _settle(self, model, ended, plan):
        """Compare what happened to a registry with what the model's rules say may happen.

        A write that died may take effect by the next writer, so there may be several pasts.
        """
        world = self.world
        bases = [world.ledger(model), *world.futures.get(model, [])]
        outcomes = [(base, *plan(base)) for base in bases]
        if f"{MODELS}/{model}/registry.json" in world.registries:
            assert ended in {"IntegrityError", "FormatError", UNSURE} | outcomes[0][1]
            return
        seen = world.log(model)
        afters = [after for _, errors, after in outcomes if not errors]
        if ended == UNSURE:
            possible = bases + afters
            fitting = [one for one in possible if one.log == seen]
        elif ended:
            possible = bases
            fitting = [
                base
                for base, errors, _ in outcomes
                if base.log == seen
                and (ended in errors or (ended == "LostRaceError" and base is not bases[0]))
            ]
        else:
            possible = []
            fitting = [one for one in afters if one.log == seen]
        assert fitting, (ended, seen, outcomes)
        world.ledgers[model] = fitting[0]
        world.futures[model] = [
            one for one in possible if len(one.log) > len(seen) and one.log[: len(seen)] == seen
        ]

    @rule(
        handle=handles,
        model=models,
        version=st.sampled_from(MODEL_VERSIONS),
        content=picks,
        fault=faults,
    )
    def register(self, handle, model, version, content, fault):
        world = self.world
        self.count("register")
        data = one_of(CONTENTS, content)
        frozen = world.models.setdefault(model, {})
        chosen = version or next_dev_version(list(frozen))
        errors = {"ConflictError"} if chosen in frozen else set()
        ended, _ = world.run(
            handle, fault, lambda project: _register(project, model, data, version)
        )
        there = (world.root / MODELS / model / chosen).exists()
        if not errors and there:
            world.adopt("model", model, chosen, Frozen({"model.bin": data}))
        assert ended or there
        if not ended:
            world.require_swept(f"{MODELS}/{model}")
        digest = content_digest(frozen[chosen].files) if chosen in frozen else None

        def plan(ledger):
            if errors or digest is None:
                return errors or {UNSURE}, ledger
            return ledger.register(chosen, digest)

        self._settle(model, ended, plan)

    @initialize(fault=faults, handle=handles)
    def begin(self, fault, handle):
        """Begin with a version of one model, and with a crash in a new project now and then."""
        self.register(handle, "clf", "v0.1.0", 1, fault)
        self.register(handle, "clf", None, 2, None)
        for version in ("v0.4.0", "v0.5.0", "v0.6.0"):
            self.register(handle, "clf", version, 3, None)

    def _registered(self, model):
        """Return the model, or the one that has a registry."""
        return model if self.world.ledger(model).log else {"clf": "reg", "reg": "clf"}[model]

    def _known(self, model, pick):
        return one_of((*self.world.ledger(model).stages, "v9.9.9"), pick)

    @rule(handle=handles, model=models, pick=picks, fault=faults)
    def serve(self, handle, model, pick, fault):
        """Promote a release, for few of the promotions that are drawn freely are allowed."""
        model = self._registered(model)
        releases = [one for one in self.world.ledger(model).stages if is_release(one)]
        version = one_of(releases or [self._known(model, pick)], pick)
        as_version = None if releases else "v0.1.0"
        self.count("promote to production")
        self._promote(handle, fault, model, version, "production", as_version=as_version)

    @rule(
        handle=handles,
        model=models,
        pick=picks,
        stage=st.sampled_from(STAGES),
        as_version=st.sampled_from([None, None, "v0.1.0", "v0.2.0", "v0.3.0", "v0.1.0-dev.9"]),
        image=st.sampled_from([None, None, PINNED, UNPINNED]),
        comment=st.sampled_from([None, "because"]),
        fault=faults,
    )
    def promote(self, handle, model, pick, stage, as_version, image, comment, fault):
        model = self._registered(model)
        self.count("promote")
        # Today a release that is archived at once has no bytes.
        as_version = None if stage == "archived" else as_version
        version = self._known(model, pick)
        self._promote(
            handle,
            fault,
            model,
            version,
            stage,
            as_version=as_version,
            image=image,
            comment=comment,
        )

    def _promote(
        self, handle, fault, model, version, stage, *, as_version=None, image=None, comment=None
    ):
        world = self.world
        frozen = world.models[model]
        unsound, folders = world.unsound(model), dict(frozen)
        ended, _ = world.run(
            handle,
            fault,
            lambda project: project.promote(
                model, version, stage, as_version=as_version, image=image, comment=comment
            ),
        )

        def plan(ledger):
            errors, after = ledger.promote(
                version,
                stage,
                as_version=as_version,
                image=image,
                comment=comment,
                folders=folders,
                unsound=unsound,
            )
            if image == UNPINNED:
                errors = errors | {"InvalidInputError"}
            if ended == UNSURE and as_version is not None and as_version not in frozen:
                # Nothing is registered before its bytes are there.
                errors = errors | {UNSURE}
            return errors, ledger if errors else after

        if as_version is not None and as_version not in frozen and ended in ("", UNSURE):
            there = (world.root / MODELS / model / as_version / "manifest.json").exists()
            assert ended or there, "a release without bytes"
            if there and world.failed_at in BEFORE_PUBLISHED:
                assert as_version in {one.version for one in world.log(model)}, "not taken back"
            if there:
                files = dict(frozen[version].files)
                world.adopt("model", model, as_version, Frozen(files, derived_from=version))
        self._settle(model, ended, plan)

    @rule(
        handle=handles,
        model=models,
        pick=st.one_of(st.none(), st.none(), picks),
        comment=st.sampled_from([None, "it broke"]),
        fault=faults,
    )
    def rollback(self, handle, model, pick, comment, fault):
        world = self.world
        model = self._registered(model)
        self.count("rollback" if pick is None else "rollback --to")
        to = None
        if pick is not None:
            # Most often what served before, for going there and back is where the rules are subtle.
            served = {
                one.version for one in world.ledger(model).log if one.to_stage == "production"
            }
            to = one_of(sorted(served), pick) if served and pick % 3 else self._known(model, pick)
        unsound = world.unsound(model)
        ended, _ = world.run(
            handle, fault, lambda project: project.rollback(model, to=to, comment=comment)
        )
        self._settle(
            model, ended, lambda ledger: ledger.rollback(to, comment=comment, unsound=unsound)
        )

    @rule(
        handle=handles,
        model=models,
        pick=picks,
        text=st.sampled_from(["good", "é\n", " "]),
        fault=faults,
    )
    def comment(self, handle, model, pick, text, fault):
        model = self._registered(model)
        self.count("comment")
        version = self._known(model, pick)
        ended, _ = self.world.run(
            handle, fault, lambda project: project.comment(model, version, text)
        )

        def plan(ledger):
            errors, after = ledger.comment(version, text)
            return (errors, after) if text.strip() else (errors | {"InvalidInputError"}, ledger)

        self._settle(model, ended, plan)

    @rule(handle=handles, model=models, pick=picks, fault=faults)
    def restore_model(self, handle, model, pick, fault):
        world = self.world
        model = self._registered(model)
        if f"{MODELS}/{model}/registry.json" not in world.registries:
            self.count("restore of a model")
            version = one_of(sorted(world.ledger(model).stages), pick)
            kept = world.models[model][version]
            state = world.state(f"{MODELS}/{model}/{version}")
            check_restored(world, handle, fault, f"model:{model}@{version}", kept, state)

    @rule(
        handle=handles,
        model=models,
        pick=picks,
        kind=st.sampled_from(["chain", "garbage"]),
        fault=faults,
    )
    def break_history(self, handle, model, pick, kind, fault):
        """Break a registry, see it found and every write refused, and put it back."""
        world = self.world
        model = self._registered(model)
        path = f"{MODELS}/{model}/registry.json"
        # What a claim does to a registry that was broken after the crash is nobody's promise.
        if world.futures.get(model):
            return
        self.count(f"corrupt: {kind} of a history")
        data = (world.root / path).read_bytes()
        broken = data + b"x"
        if kind == "chain":
            head, mark, tail = data.partition(b'"history"')
            broken = head + mark + tail.replace(b'"actor": "t', b'"actor": "T', 1)
        assert broken != data
        (world.root / path).write_bytes(broken)
        world.registries[path] = (data, broken)
        world.verify(handle)
        self._promote(handle, fault, model, self._known(model, pick), "production")
        world.check()
        world.heal_registries()


def _register(project, model, data, version):
    """Register as a run does: look first, freeze, then write the registry."""
    catalog = project.catalog
    known = model in catalog.registrar.models()
    frozen = catalog.models.freeze(
        model,
        ModelContent(
            items={"model.bin": data},
            metrics={"f1": 0.9},
            params={"seed": 1},
            run_id=None,
            details={},
            card=lambda made: f"# {model} {made}\n",
        ),
        version=version,
        registry=catalog.registrar.load_sound(model) if known else None,
    )
    signature = Signature(actor=catalog.project.owner, utc=catalog.project.now())
    made = frozen.manifest
    catalog.registrar.commit(
        model,
        lambda registry: plan_register(
            registry, made.version, signature, digest=made.digest, run_id=None
        ),
    )
    return frozen
