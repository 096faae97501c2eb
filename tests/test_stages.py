from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbversion.disk import Disk
from nbversion.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    LostRaceError,
    NotFoundError,
    RefusedError,
    StorageError,
)
from nbversion.formats.registry import Registry, problems
from nbversion.formats.run_record import RunRecord
from nbversion.names import Stage
from nbversion.project import Project
from nbversion.store.promotion import Signature, plan_promote, plan_register, plan_rollback

IMAGE = "ghcr.io/org/ml@sha256:" + "a" * 64
OTHER = "ghcr.io/org/ml@sha256:" + "b" * 64
SIGNED = Signature(actor="test", utc="2026-01-01T00:00:00Z")


def listing(root):
    found = {}
    for base, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(base, name)
            if name == "lock":
                # Taking it may touch it; it holds nothing.
                continue
            facts = os.lstat(path)
            found[path] = (facts.st_ino, facts.st_mode, facts.st_mtime_ns, facts.st_ctime_ns)
    return found


def stages_of(project):
    return {one.version: str(one.stage) for one in project.catalog.registrar.load("clf").versions}


@pytest.fixture
def unchanged(root):
    """Assert at the end of the test that nothing was changed since `unchanged()` was called."""
    before = []
    yield lambda: before.append(listing(root))
    assert before[0] == listing(root)


# -- promotion -----------------------------------------------------------------------------


def test_promoting_archives_what_served_in_the_same_entry(project, register):
    register("v0.1.0")
    register("v0.2.0")
    project.promote("clf", "v0.1.0", "production")
    done = project.promote("clf", "v0.2.0", "production", comment="better")
    assert (done.changed, done.displaced, done.from_stage) == (True, "v0.1.0", "dev")
    registry = project.catalog.registrar.load("clf")
    assert registry.history[-1].displaced == "v0.1.0"
    assert registry.history[-1].comment == "better"
    assert registry.revision == done.revision == 4
    assert stages_of(project) == {"v0.1.0": "archived", "v0.2.0": "production"}


@pytest.mark.parametrize("stage", ["staging", "production"])
@pytest.mark.parametrize("version", ["v0.1.0-dev.1", "v0.1.0-rc.2"])
def test_a_prerelease_is_refused_with_the_command_that_tags_it(
    version, stage, project, register, unchanged
):
    register(version)
    unchanged()
    with pytest.raises(RefusedError, match=f"%promote clf {version} {stage} --as v0.1.0"):
        project.promote("clf", version, stage)


def test_as_publishes_the_same_bytes_as_a_release(project, register, root):
    dev = register("v0.1.0-dev.1")
    done = project.promote("clf", "v0.1.0-dev.1", "production", as_version="v0.1.0")
    assert (done.version, done.derived_from, done.from_stage) == ("v0.1.0", "v0.1.0-dev.1", None)
    release = project.catalog.models.load("clf", "v0.1.0")
    assert release.manifest.digest == dev.manifest.digest
    for name in ("model.bin", "metrics.json"):
        assert (release.path / name).stat().st_ino == (dev.path / name).stat().st_ino
    assert (release.path / "model_card.md").read_text() == "# clf v0.1.0\n"
    assert (dev.path / "model_card.md").read_text() == "# clf v0.1.0-dev.1\n"
    assert stages_of(project) == {"v0.1.0-dev.1": "dev", "v0.1.0": "production"}
    assert project.verify().holds


def test_a_release_published_by_a_promotion_is_not_published_by_it_again(project, register):
    register("v0.1.0-dev.1")
    for at, version in enumerate(("v0.1.0", "v0.2.0")):
        first = project.promote("clf", "v0.1.0-dev.1", "production", as_version=version)
        before = listing(project.root / "models")
        again = project.promote("clf", "v0.1.0-dev.1", "production", as_version=version)
        assert (first.changed, again.changed) == (True, False)
        assert (again.version, again.from_stage, again.derived_from, again.revision) == (
            version,
            "production",
            "v0.1.0-dev.1",
            2 + at,
        )
        assert listing(project.root / "models") == before
    for version, stage in (("v0.1.0", "production"), ("v0.2.0", "staging")):
        with pytest.raises(ConflictError, match=f"{version} is taken"):
            project.promote("clf", "v0.1.0-dev.1", stage, as_version=version)


def test_a_card_that_is_not_utf8_is_carried_along(project, register):
    dev = register("v0.1.0-dev.1")
    (dev.path / "model_card.md").write_bytes(b"caf\xe9 v0.1.0-dev.1")
    project.promote("clf", "v0.1.0-dev.1", "staging", as_version="v0.1.0")
    card = project.catalog.models.load("clf", "v0.1.0").path / "model_card.md"
    assert card.read_bytes() == b"caf\xe9 v0.1.0"


@pytest.mark.parametrize(
    ("version", "as_version", "error", "message"),
    [
        ("v0.2.0-dev.1", "v0.1.0", ConflictError, "v0.1.0 is taken .* next free one is v0.1.1"),
        ("v0.2.0-dev.1", "v0.2.0-rc.1", InvalidInputError, "--as takes a release"),
        ("v0.2.0-dev.1", "0.2.0", InvalidInputError, "is no version of a model"),
        ("v0.1.0", "v0.3.0", RefusedError, "is a release already; leave --as away"),
    ],
)
def test_a_wrong_as_is_refused(version, as_version, error, message, project, register, unchanged):
    register("v0.1.0")
    register("v0.2.0-dev.1")
    unchanged()
    with pytest.raises(error, match=message):
        project.promote("clf", version, "production", as_version=as_version)


def test_as_is_refused_where_only_a_folder_has_that_version(project, register, root):
    register("v0.1.0-dev.1")
    register("v0.1.0-dev.2")
    project.catalog.models.publish_as(project.catalog.models.load("clf", "v0.1.0-dev.1"), "v0.1.0")
    (root / "models/clf/v0.2.0").mkdir()
    before = project.catalog.registrar.load("clf")
    for taken in ("v0.1.0", "v0.2.0"):
        with pytest.raises(ConflictError, match=f"{taken}"):
            project.promote("clf", "v0.1.0-dev.2", "production", as_version=taken)
    assert project.catalog.registrar.load("clf") == before


class Dying(Disk):
    __slots__ = ()

    def step(self, primitive, path):
        # A process that is killed takes nothing back.
        dead = primitive == "remove"
        if dead or (primitive == "replace" and path.name == "registry.json"):
            raise KeyboardInterrupt


def test_as_goes_on_after_a_crash_between_the_folder_and_the_registry(project, register, root):
    dev = register("v0.1.0-dev.1")
    project.catalog.models.publish_as(dev, "v0.1.0")
    inode = (root / "models/clf/v0.1.0/model.bin").stat().st_ino
    assert stages_of(project) == {"v0.1.0-dev.1": "dev"}
    project.promote("clf", "v0.1.0-dev.1", "production", as_version="v0.1.0")
    assert stages_of(project) == {"v0.1.0-dev.1": "dev", "v0.1.0": "production"}
    assert (root / "models/clf/v0.1.0/model.bin").stat().st_ino == inode


def test_a_promotion_that_is_claimed_when_its_writer_dies_is_in_force_with_the_next(
    project, register, root
):
    register("v0.1.0")
    with pytest.raises(StorageError, match="is not known"):
        Project(root, disk=Dying()).promote("clf", "v0.1.0", "production")
    assert stages_of(project) == {"v0.1.0": "dev"}
    done = project.promote("clf", "v0.1.0", "production")
    assert (done.changed, done.revision) == (False, 2)
    assert stages_of(project) == {"v0.1.0": "production"}


class Full(Disk):
    __slots__ = ()

    def step(self, primitive, path):
        if primitive == "replace" and path.name == "registry.json":
            raise StorageError("no space left on device")


def test_a_release_that_no_registry_lists_is_taken_back(project, register, root):
    register("v0.1.0-dev.1")
    before = sorted(os.listdir(root / "models/clf"))
    with pytest.raises(StorageError, match="no space"):
        Project(root, disk=Full()).promote("clf", "v0.1.0-dev.1", "production", as_version="v0.1.0")
    assert sorted(os.listdir(root / "models/clf")) == before
    assert project.verify().holds
    register("v0.1.0", "another")
    assert stages_of(project) == {"v0.1.0-dev.1": "dev", "v0.1.0": "dev"}


def test_a_release_that_was_there_before_or_may_be_listed_later_is_kept(project, register, root):
    dev = register("v0.1.0-dev.1")
    with pytest.raises(StorageError, match="is not known"):
        Project(root, disk=Dying()).promote("clf", "v0.1.0-dev.1", "staging", as_version="v0.1.0")
    assert (root / "models/clf/v0.1.0/manifest.json").is_file()
    project.comment("clf", "v0.1.0", "rolled forward")
    assert stages_of(project)["v0.1.0"] == "staging"
    assert project.verify().holds
    release, created = project.catalog.models.publish_as(dev, "v0.2.0")
    assert created
    with pytest.raises(StorageError, match="no space"):
        Project(root, disk=Full()).promote("clf", "v0.1.0-dev.1", "staging", as_version="v0.2.0")
    assert release.path.is_dir()


def test_a_release_taken_back_by_another_promotion_is_not_listed(project, register, root):
    register("v0.1.0-dev.1")
    taking = Project(root)
    commit = type(taking.catalog.registrar).commit

    def late(registrar, model, plan):
        models = project.catalog.models
        models.withdraw(models.load("clf", "v0.1.0"))
        return commit(registrar, model, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(taking.catalog.registrar), "commit", late)
        with pytest.raises(LostRaceError, match="taken back by another"):
            taking.promote("clf", "v0.1.0-dev.1", "staging", as_version="v0.1.0")
    assert stages_of(project) == {"v0.1.0-dev.1": "dev"}


@pytest.mark.parametrize(
    "image", ["", "ml:1.2.3", "ml@sha256:abc", "@sha256:" + "a" * 64, f"{IMAGE} "]
)
def test_an_image_that_is_not_pinned_is_refused(image, project, register, unchanged):
    register("v0.1.0")
    unchanged()
    with pytest.raises(InvalidInputError, match="is not pinned"):
        project.promote("clf", "v0.1.0", "production", image=image)


def test_the_image_comes_back_with_its_version(project, register):
    register("v0.1.0")
    register("v0.2.0")
    project.promote("clf", "v0.1.0", "production", image=IMAGE)
    project.promote("clf", "v0.2.0", "production", image=OTHER)
    done = project.rollback("clf")
    assert (done.to_version, done.image) == ("v0.1.0", IMAGE)
    assert project.catalog.registrar.load("clf").production.image == IMAGE


def test_a_new_image_for_the_serving_version_is_a_write_that_does_not_confuse_a_rollback(
    project, register
):
    register("v0.1.0")
    register("v0.2.0")
    project.promote("clf", "v0.1.0", "production")
    project.promote("clf", "v0.2.0", "production", image=IMAGE)
    done = project.promote("clf", "v0.2.0", "production", image=OTHER)
    assert (done.changed, done.displaced, done.image) == (True, None, OTHER)
    assert project.rollback("clf").to_version == "v0.1.0"


def test_promoting_to_where_it_stands_writes_nothing(project, register, unchanged):
    register("v0.1.0")
    project.promote("clf", "v0.1.0", "production", image=IMAGE)
    unchanged()
    done = project.promote("clf", "v0.1.0", "production", image=IMAGE)
    assert (done.changed, done.revision) == (False, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda project: project.promote("clf", "v0.2.0", "production", dry_run=True),
        lambda project: project.promote(
            "clf", "v0.3.0-dev.1", "production", as_version="v0.3.0", dry_run=True
        ),
        lambda project: project.rollback("clf", dry_run=True),
    ],
)
def test_a_dry_run_changes_nothing_at_all(call, project, register, unchanged):
    for version in ("v0.0.1", "v0.1.0", "v0.2.0", "v0.3.0-dev.1"):
        register(version)
    project.promote("clf", "v0.0.1", "production")
    project.promote("clf", "v0.1.0", "production")
    unchanged()
    done = call(project)
    assert done.dry_run
    assert done.revision == 6
    assert "Dry run: nothing was changed." in done.card().notes


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("clf", "v9.0.0", "staging"), NotFoundError, r"has no version v9\.0\.0; it has v0\.1\.0"),
        (("clf", "9", "staging"), InvalidInputError, "is no version of a model"),
        (("clf", "v0.1.0", "prod"), InvalidInputError, "stages are dev, staging, production"),
        (("nope", "v0.1.0", "staging"), NotFoundError, "no model 'nope'.* its models are clf"),
    ],
)
def test_what_is_not_there_is_said_so(arguments, error, message, project, register, unchanged):
    register("v0.1.0")
    unchanged()
    with pytest.raises(error, match=message):
        project.promote(*arguments)


def test_a_comment_that_is_too_long_or_no_text_is_refused(project, register, unchanged):
    register("v0.1.0")
    unchanged()
    for text in ("", "  ", "x" * 10_001, "\ud800"):
        with pytest.raises(InvalidInputError, match="Nothing was written"):
            project.comment("clf", "v0.1.0", text)
    with pytest.raises(InvalidInputError, match="at most 10,000"):
        project.promote("clf", "v0.1.0", "production", comment="x" * 10_001)


def damage_file(root, run_id):
    path = root / "models/clf/v0.1.0/model.bin"
    path.chmod(0o644)
    path.write_bytes(b"v0.1.1")


def delete_manifest(root, run_id):
    (root / "models/clf/v0.1.0/manifest.json").unlink()


def edit_manifest(root, run_id):
    path = root / "models/clf/v0.1.0/manifest.json"
    path.write_text(path.read_text().replace('"notes": ""', '"notes": "x"'))


def edit_record(root, run_id):
    path = root / f"runs/{run_id}.yaml"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("seed", "seeds"))


def delete_record(root, run_id):
    (root / f"runs/{run_id}.yaml").unlink()


def add_file(root, run_id):
    (root / "models/clf/v0.1.0/extra.bin").write_bytes(b"")


DAMAGE = {
    damage_file: (IntegrityError, "is corrupt"),
    delete_manifest: (NotFoundError, "has no manifest.json"),
    edit_manifest: (IntegrityError, "is edited"),
    edit_record: (IntegrityError, "was edited by hand"),
    delete_record: (IntegrityError, "is gone"),
    add_file: (IntegrityError, "is extra"),
}


@pytest.fixture
def with_run(catalog, register):
    record = catalog.runs.begin("t", lambda run_id: RunRecord(run_id=run_id, params={"seed": 1}))
    catalog.runs.end(record)
    register("v0.1.0", run_id=record.run_id)
    return record.run_id


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("stage", ["dev", "staging", "production"])
def test_what_does_not_hold_is_not_promoted(stage, damage, project, with_run, root, unchanged):
    project.promote("clf", "v0.1.0", "archived")
    damage(root, with_run)
    unchanged()
    error, message = DAMAGE[damage]
    with pytest.raises(error, match=message):
        project.promote("clf", "v0.1.0", stage)


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_does_not_hold_can_still_be_archived(damage, project, with_run, root):
    project.promote("clf", "v0.1.0", "production")
    damage(root, with_run)
    assert project.promote("clf", "v0.1.0", "archived").changed
    assert stages_of(project) == {"v0.1.0": "archived"}


@pytest.mark.parametrize("damage", DAMAGE)
def test_production_is_not_rolled_back_to_what_does_not_hold(
    damage, project, with_run, register, root, unchanged
):
    register("v0.0.9")
    register("v0.2.0")
    project.promote("clf", "v0.1.0", "production")
    project.promote("clf", "v0.2.0", "production")
    damage(root, with_run)
    unchanged()
    with pytest.raises(IntegrityError, match=r"For clf, choose with --to: v0\.0\.9\."):
        project.rollback("clf")


def test_a_registry_that_names_other_bytes_is_refused(project, register, root, unchanged):
    register("v0.1.0")
    register("v0.2.0")
    for version in ("v0.1.0", "v0.2.0"):
        (root / f"models/clf/{version}").rename(root / f"models/clf/x{version}")
    (root / "models/clf/xv0.2.0").rename(root / "models/clf/v0.1.0")
    path = root / "models/clf/v0.1.0/manifest.json"
    from nbversion.formats.manifest import parse_manifest

    manifest = parse_manifest(path.read_bytes(), "", "models/clf/v0.2.0")
    from dataclasses import replace

    path.write_bytes(replace(manifest, version="v0.1.0", folder="models/clf/v0.1.0").dump())
    unchanged()
    with pytest.raises(IntegrityError, match="is not what was registered"):
        project.promote("clf", "v0.1.0", "production")


# -- rollback ------------------------------------------------------------------------------


def refused(project, message, **options):
    before = project.catalog.registrar.load("clf")
    with pytest.raises(RefusedError, match=message):
        project.rollback("clf", **options)
    assert project.catalog.registrar.load("clf") == before


def test_a_second_rollback_goes_further_back_and_never_to_the_bad_one(project, register):
    for version in ("v0.1.0", "v0.2.0", "v0.3.0"):
        register(version)
        project.promote("clf", version, "production")
    assert project.rollback("clf").to_version == "v0.2.0"
    assert project.rollback("clf").to_version == "v0.1.0"
    refused(
        project,
        r"served before clf v0\.1\.0 was promoted.*v0\.2\.0 \(rolled back from\), "
        r"v0\.3\.0 \(rolled back from\)",
    )
    assert stages_of(project) == {
        "v0.1.0": "production",
        "v0.2.0": "archived",
        "v0.3.0": "archived",
    }


def test_a_version_rolled_back_from_is_a_target_by_name_or_once_promoted_again(project, register):
    for version in ("v0.1.0", "v0.2.0"):
        register(version)
        project.promote("clf", version, "production")
    project.rollback("clf")
    assert project.rollback("clf", to="v0.2.0").from_version == "v0.1.0"
    refused(project, r"v0\.1\.0 served before v0\.2\.0, but it was rolled back from itself")
    project.promote("clf", "v0.1.0", "production")
    register("v0.3.0")
    project.promote("clf", "v0.3.0", "production")
    assert project.rollback("clf").to_version == "v0.1.0"


@pytest.mark.parametrize(
    ("to", "error", "message"),
    [
        ("v0.2.0", RefusedError, r"v0\.2\.0 serves already"),
        ("v0.3.0-dev.1", RefusedError, "is a pre-release"),
        ("v9.0.0", NotFoundError, "has no version"),
    ],
)
def test_a_target_that_cannot_serve_is_refused(to, error, message, project, register, unchanged):
    for version in ("v0.1.0", "v0.2.0", "v0.3.0-dev.1"):
        register(version)
    project.promote("clf", "v0.2.0", "production")
    unchanged()
    with pytest.raises(error, match=message):
        project.rollback("clf", to=to)


def test_nothing_in_production_is_no_start_of_a_rollback(project, register):
    register("v0.1.0")
    refused(project, r"no version of clf is in production.*choose with --to: v0\.1\.0")
    assert project.rollback("clf", to="v0.1.0").from_version is None


def test_a_race_for_production_names_who_won(root, register, project, monkeypatch):
    for version in ("v0.1.0", "v0.2.0", "v0.3.0"):
        register(version)
    project.promote("clf", "v0.1.0", "production")
    project.promote("clf", "v0.2.0", "production")
    from nbversion import stages

    other = Project(root)
    other.catalog.project._owner = "grace"
    real = stages._verified

    def verified(*arguments):
        monkeypatch.setattr(stages, "_verified", real)
        other.promote("clf", "v0.3.0", "production")
        Project(root).comment("clf", "v0.1.0", "by somebody else, later")
        return real(*arguments)

    monkeypatch.setattr(stages, "_verified", verified)
    with pytest.raises(LostRaceError, match=r"by grace \(promote v0\.3\.0\)"):
        project.rollback("clf")
    assert stages_of(project)["v0.3.0"] == "production"


def test_the_lessons_minimal_registry_is_listed_and_its_rollback_names_candidates(project, root):
    for version in ("v0.1.0", "v0.2.0"):
        (root / "models/iris_clf" / version).mkdir(parents=True)
        (root / "models/iris_clf" / version / "model.pkl").write_bytes(b"x")
    path = root / "models/iris_clf/registry.json"
    path.write_text(
        json.dumps(
            {
                "name": "iris_clf",
                "versions": [
                    {"version": "v0.1.0", "stage": "archived"},
                    {"version": "v0.2.0", "stage": "production"},
                ],
            }
        )
    )
    before = listing(root)
    assert "v0.2.0" in str(project.registry("iris_clf").to_json())
    with pytest.raises(RefusedError, match=r"choose with --to: v0\.1\.0"):
        project.rollback("iris_clf")
    with pytest.raises(IntegrityError, match=r"v0\.1\.0 has no manifest\.json"):
        project.rollback("iris_clf", to="v0.1.0")
    assert {key: value for key, value in listing(root).items() if key in before} == before
    assert path.read_bytes() == (root / "models/iris_clf/registry.json").read_bytes()


def test_the_history_of_a_registry_written_by_hand_begins_with_what_served(project, root, register):
    register("v0.3.0", model="clf")
    path = root / "models/clf/registry.json"
    path.write_text(
        json.dumps(
            {
                "name": "clf",
                "versions": [
                    {"version": "v0.2.0", "stage": "production"},
                    {"version": "v0.3.0", "stage": "staging"},
                ],
            }
        )
    )
    done = project.promote("clf", "v0.3.0", "production")
    assert done.displaced == "v0.2.0"
    assert problems(project.catalog.registrar.load("clf")) == []
    with pytest.raises(IntegrityError, match=r"v0\.2\.0 has no manifest"):
        project.rollback("clf")


# -- rollback against a simple model -------------------------------------------------------


class Model:
    """The contract's words: what served when, and what was rolled back from."""

    def __init__(self):
        self.stages = {}
        self.before = {}
        self.left = set()
        self.last_served = None

    @property
    def serving(self):
        return next((v for v, stage in self.stages.items() if stage == "production"), None)

    def serve(self, version):
        if self.serving:
            self.stages[self.serving] = "archived"
        self.stages[version] = "production"

    def promote(self, version, stage):
        if self.stages[version] == stage:
            return
        if stage == "production":
            served = [one for one in self.served if one != version]
            self.before[version] = served[-1] if served else None
            self.left.discard(version)
            self.serve(version)
            self.served.append(version)
        else:
            self.stages[version] = stage

    served: list

    def target(self):
        if self.serving is None:
            return None
        before = self.before.get(self.serving)
        return None if before in self.left else before

    def rollback(self, to):
        if self.serving:
            self.left.add(self.serving)
        self.serve(to)
        self.served.append(to)


VERSIONS = [f"v0.{n}.0" for n in range(1, 5)]
OPERATIONS = st.one_of(
    st.tuples(st.just("register"), st.sampled_from(VERSIONS)),
    st.tuples(st.just("promote"), st.sampled_from(VERSIONS)),
    st.tuples(st.just("promote"), st.sampled_from(VERSIONS)),
    st.tuples(st.just("archive"), st.sampled_from(VERSIONS)),
    st.tuples(st.just("rollback"), st.none()),
    st.tuples(st.just("rollback"), st.none()),
    st.tuples(st.just("rollback"), st.sampled_from(VERSIONS)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(OPERATIONS, max_size=25))
def test_the_registry_does_what_the_contract_says_of_rollback(operations):
    registry, model = Registry(name="clf"), Model()
    model.served = []
    for action, version in operations:
        known = version in model.stages
        if action == "register" and not known:
            entry = plan_register(registry, version, SIGNED, digest=None, run_id=None)
            model.stages[version] = "dev"
        elif action in ("promote", "archive") and known:
            stage = Stage.PRODUCTION if action == "promote" else Stage.ARCHIVED
            entry = plan_promote(registry, version, stage, SIGNED)
            model.promote(version, str(stage))
        elif action == "rollback" and (version is None or known):
            target = model.target() if version is None else version
            if target is None or target == model.serving:
                with pytest.raises(RefusedError, match="Nothing was changed"):
                    plan_rollback(registry, SIGNED, to=version)
                continue
            entry = plan_rollback(registry, SIGNED, to=version)
            assert entry.version == target
            if version is None:
                assert target not in model.left
            model.rollback(target)
        else:
            continue
        registry = registry.apply(entry) if entry else registry
        assert {one.version: str(one.stage) for one in registry.versions} == model.stages
        assert problems(registry) == []
