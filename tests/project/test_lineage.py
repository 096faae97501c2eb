from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET

import pytest

from nbversion.errors import InvalidInputError, NotFoundError
from nbversion.formats.run_record import RunRecord
from nbversion.lineage import MAX_NODES

INPUTS = ("code", "params", "environment")
SCRIPT = "<script>alert(1)</script>"
ODD = ("gone_v0.1", "no version", "_", "a\0b_v0.1", "../../etc_v0.1", "x_v0.1\n", "é_v1.0")


def write_record(project, run_id, **values):
    path = project.root / "runs" / f"{run_id}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(RunRecord(run_id=run_id, **values).dump())


def write_manifest(project, ref, run_id, **more):
    """Write a data set's manifest by hand, as if `run_id` had made it."""
    name, _, version = ref.rpartition("_")
    folder = project.root / "data/snapshots" / ref
    folder.mkdir(parents=True)
    manifest = {"dataset": name, "version": version, "files": [], "run_id": run_id, **more}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def named_edges(lineage):
    """Return the edges between things with a name, and apart the kinds that lead into a run."""
    edges = {(one["from"], one["to"]) for one in lineage.to_json()["edges"]}
    inputs = {(a.partition(":")[0], b) for a, b in edges if a.startswith(INPUTS)}
    return {(a, b) for a, b in edges if not a.startswith(INPUTS)}, inputs


def is_connected(lineage):
    record = lineage.to_json()
    left = {one["id"] for one in record["nodes"]}
    reached, edge = set(), {next(iter(left))}
    while edge:
        reached |= edge
        edge = {
            b
            for one in record["edges"]
            for a, b in ((one["from"], one["to"]), (one["to"], one["from"]))
            if a in edge
        } - reached
    return reached == left


@pytest.fixture
def chain(project, freeze, train):
    """Return the runs of data → run → data → run → model → stage."""
    freeze("raw")
    (project.root / "features.csv").write_text("1\n")
    prepare = train("prepare", data=["raw_v0.1"], outputs=[("features", "features.csv")])
    fit = train("fit", data=["features_v0.1"], model="clf", params={"C": 1.0})
    project.promote("clf", "v0.1.0-dev.1", "production", as_version="v0.1.0")
    return prepare.run_id, fit.run_id


@pytest.mark.parametrize("asked", ["clf@production", None])
def test_data_run_data_run_model_stage_is_one_graph(project, chain, asked):
    prepare, fit = chain
    lineage = project.lineage(asked)
    edges, inputs = named_edges(lineage)
    assert edges == {
        ("data:raw_v0.1", f"run:{prepare}"),
        (f"run:{prepare}", "data:features_v0.1"),
        ("data:features_v0.1", f"run:{fit}"),
        (f"run:{fit}", "model:clf@v0.1.0-dev.1"),
        ("model:clf@v0.1.0-dev.1", "model:clf@v0.1.0"),
        ("model:clf@v0.1.0", "stage:clf:production:v0.1.0"),
    }
    assert inputs == {
        ("code", f"run:{prepare}"),
        ("environment", f"run:{prepare}"),
        ("code", f"run:{fit}"),
        ("environment", f"run:{fit}"),
        ("params", f"run:{fit}"),
    }
    assert is_connected(lineage)
    assert lineage.graph.focus == ("model:clf@v0.1.0" if asked else None)


def test_a_data_set_leads_to_what_its_runs_made(project, chain):
    prepare, fit = chain
    edges, _ = named_edges(project.lineage("raw_v0.1"))
    assert edges == {
        ("data:raw_v0.1", f"run:{prepare}"),
        (f"run:{prepare}", "data:features_v0.1"),
    }
    edges, _ = named_edges(project.lineage("features_v0.1"))
    assert edges == {
        ("data:raw_v0.1", f"run:{prepare}"),
        (f"run:{prepare}", "data:features_v0.1"),
        ("data:features_v0.1", f"run:{fit}"),
        (f"run:{fit}", "model:clf@v0.1.0-dev.1"),
        # Down to what serves: is this data in production?
        ("model:clf@v0.1.0-dev.1", "model:clf@v0.1.0"),
        ("model:clf@v0.1.0", "stage:clf:production:v0.1.0"),
    }


def test_a_run_leads_to_its_model_and_a_pre_release_to_its_release(project, chain):
    _, fit = chain
    edges, _ = named_edges(project.lineage(f"run:{fit}"))
    assert (f"run:{fit}", "model:clf@v0.1.0-dev.1") in edges
    edges, _ = named_edges(project.lineage("clf@v0.1.0-dev.1"))
    assert ("model:clf@v0.1.0-dev.1", "model:clf@v0.1.0") in edges
    assert ("model:clf@v0.1.0", "stage:clf:production:v0.1.0") in edges


def test_evaluation_data_leads_into_the_run(project, freeze):
    freeze("train")
    freeze("held")
    with project.track("fit", data="train_v0.1", eval_data=["held_v0.1"]) as run:
        pass
    edges, _ = named_edges(project.lineage(f"run:{run.record.run_id}"))
    assert ("data:held_v0.1", f"run:{run.record.run_id}") in edges


def test_equal_code_params_and_environment_are_one_node_each(project, train):
    ids = {train(model="clf", params={"C": 1}).run_id for _ in range(2)}
    project.promote("clf", "v0.1.0-dev.1", "production", as_version="v0.1.0")
    freezing = project.lineage(f"run:{min(ids)}").to_json()["nodes"]
    other = project.lineage(f"run:{max(ids)}").to_json()["nodes"]
    shared = {one["id"] for one in freezing} & {one["id"] for one in other}
    assert sorted(one.partition(":")[0] for one in shared) == ["code", "environment", "params"]


def test_a_picture_that_is_full_says_so_and_keeps_what_was_asked(project, freeze):
    freeze()
    data = ({"ref": "iris_v0.1", "digest": None},)
    for number in range(100):
        write_record(project, f"2026-01-01-x-{number:03d}-0000", data=data, params={"n": number})
    lineage = project.lineage("iris_v0.1")
    assert len(lineage.graph.nodes) == MAX_NODES
    assert lineage.graph.nodes[0].id == lineage.graph.focus == "data:iris_v0.1"
    drawn = {one.id for one in lineage.graph.nodes}
    assert "run:2026-01-01-x-099-0000" in drawn
    assert "run:2026-01-01-x-000-0000" not in drawn
    assert all(a in drawn and b in drawn for a, b in lineage.graph.edges)
    assert any("100 runs used iris_v0.1" in one for one in lineage.notes)
    assert lineage.card().notes == lineage.notes
    assert is_connected(lineage)


def test_a_chain_of_hundreds_of_versions_is_drawn_up_to_the_limit(project):
    for number in range(1, 300):
        run_id = f"2026-01-01-step-{number:03d}-0000"
        write_manifest(project, f"d_v0.{number}", run_id)
        data = ({"ref": f"d_v0.{number - 1}", "digest": None},)
        write_record(project, run_id, data=data)
    lineage = project.lineage("d_v0.299")
    assert len(lineage.graph.nodes) == MAX_NODES
    drawn = {one.id for one in lineage.graph.nodes}
    assert {"data:d_v0.299", "data:d_v0.298", "data:d_v0.297"} <= drawn
    assert "further nodes are not drawn" in " ".join(lineage.notes)
    assert is_connected(lineage)


def test_records_that_lead_in_a_circle_end(project):
    write_manifest(project, "a_v0.1", "2026-01-01-one-001")
    write_manifest(project, "b_v0.1", "2026-01-01-two-001")
    for run_id, ref in (("2026-01-01-one-001", "b_v0.1"), ("2026-01-01-two-001", "a_v0.1")):
        write_record(project, run_id, data=({"ref": ref, "digest": None},))
    lineage = project.lineage("a_v0.1")
    assert named_edges(lineage)[0] == {
        ("data:a_v0.1", "run:2026-01-01-two-001"),
        ("run:2026-01-01-two-001", "data:b_v0.1"),
        ("data:b_v0.1", "run:2026-01-01-one-001"),
        ("run:2026-01-01-one-001", "data:a_v0.1"),
    }
    assert "a_v0.1" in repr(lineage)
    ET.fromstring(lineage.svg)


@pytest.mark.parametrize("model", [("clf", "banana"), ("../../etc", "v0.1.0"), ("a\0b", "v0.1.0")])
def test_what_a_record_names_need_not_be_there(project, train, model):
    train(model="clf", version="v0.9.0")
    write_record(
        project,
        "2026-01-01-odd-001",
        data=tuple({"ref": one, "digest": None} for one in ODD),
        outputs={
            "model": model[0],
            "model_version": model[1],
            "snapshots": [{"ref": "never_v1.0", "digest": None}],
        },
        code={"cell_sha256": 5},
    )
    lineage = project.lineage("run:2026-01-01-odd-001")
    nodes = {one["id"]: one for one in lineage.to_json()["nodes"]}
    for ref in (*ODD, "never_v1.0"):
        assert nodes[f"data:{ref}"]["detail"] == ["not there"]
    assert nodes[f"model:{model[0]}@{model[1]}"]["detail"] == []


def test_a_broken_registry_is_a_note_and_the_rest_is_drawn(project, train):
    train(model="clf")
    bad = project.root / "models/bad/registry.json"
    bad.parent.mkdir()
    bad.write_text("{")
    lineage = project.lineage()
    assert "model:clf@v0.1.0-dev.1" in {one.id for one in lineage.graph.nodes}
    assert "models/bad/registry.json" in lineage.notes[0]


def test_an_empty_project_says_how_to_begin(project):
    lineage = project.lineage()
    assert lineage.graph.nodes == ()
    assert "begin with %snapshot" in lineage.notes[0]


# -- trace ---------------------------------------------------------------------------------


def test_a_models_trace_is_its_runs_data_code_params_and_environment(project, chain):
    _, fit = chain
    record = project.catalog.runs.load(fit)
    found = project.trace("clf@production").to_json()
    assert (found["model"], found["version"], found["stage"]) == ("clf", "v0.1.0", "production")
    assert found["run_id"] == fit
    assert [one["ref"] for one in found["data"]] == ["features_v0.1"]
    assert (
        found["data"][0]["digest"]
        == project.catalog.snapshots.load("features", "v0.1").manifest.digest
    )
    assert found["params"] == {"C": 1.0}
    assert found["env"]["requirements_lock"] == record.env["requirements_lock"]
    assert found["code"]["cell_sha256"] == record.code["cell_sha256"]
    assert found["code_commit"] is None
    assert f"runs/{fit}/session.json" in found["notes"][-1]
    card = project.trace("clf@production").card()
    assert card.badge == "production"
    assert card.tables[0].rows == (("C", "1.0", "logged"),)


def test_a_data_sets_trace_is_the_run_that_made_it(project, chain):
    prepare, _ = chain
    found = project.trace("features_v0.1")
    assert (found.record.run_id, found.manifest.reference) == (prepare, "features_v0.1")
    raw = project.trace("raw_v0.1")
    assert raw.record is None
    assert ("Source", "raw.csv") in raw.card().fields
    assert raw.to_json()["notes"] == ["No run is recorded as having produced it."]


def test_a_runs_trace_is_its_record(project, chain):
    prepare, _ = chain
    found = project.trace(prepare[:-1]).to_json()
    assert (found["run_id"], [one["ref"] for one in found["data"]]) == (prepare, ["raw_v0.1"])


def test_a_file_is_found_by_its_content_wherever_it_was_copied(project, chain, tmp_path):
    _, fit = chain
    model = next((project.root / "models/clf/v0.1.0").glob("model.*"))
    copy = tmp_path / "deployed.bin"
    shutil.copyfile(model, copy)
    found = project.trace(str(copy))
    assert found.record.run_id == fit
    assert found.held_by == ("clf@v0.1.0", "clf@v0.1.0-dev.1")
    assert found.model.registered.version == "v0.1.0"
    assert found.lineage.graph.focus == f"file:{found.sha256}"
    edges, _ = named_edges(found.lineage)
    assert ("model:clf@v0.1.0", f"file:{found.sha256}") in edges
    assert "2 hold this content; the answer is that of clf@v0.1.0." in found.notes


def test_a_file_in_a_versions_folder_is_traced_to_that_version(project, train):
    runs = [train(model="clf", version=f"v0.{n}.0", value={"w": 1}).run_id for n in (1, 2, 3)]
    project.promote("clf", "v0.3.0", "production")
    for number, run_id in enumerate(runs, start=1):
        found = project.trace(f"models/clf/v0.{number}.0/model.pkl")
        assert found.held_by[0] == f"clf@v0.{number}.0"
        assert len(found.held_by) == 3
        assert found.record.run_id == run_id


def test_a_copy_is_traced_to_the_version_that_serves(project, train, tmp_path):
    for number in (1, 2, 3):
        train(model="clf", version=f"v0.{number}.0", value={"w": 1})
    copy = tmp_path / "copy.pkl"
    shutil.copyfile(project.root / "models/clf/v0.1.0/model.pkl", copy)
    assert project.trace(str(copy)).held_by == ("clf@v0.3.0", "clf@v0.2.0", "clf@v0.1.0")
    project.promote("clf", "v0.2.0", "production")
    assert project.trace(str(copy)).held_by == ("clf@v0.2.0", "clf@v0.3.0", "clf@v0.1.0")


def test_an_artifact_is_traced_to_its_run(project):
    path = project.root / "report.txt"
    path.write_text("fine")
    with project.track("report") as run:
        run.log_artifact(path)
    found = project.trace("file:report.txt")
    assert found.held_by == (run.record.run_id,)
    assert found.record.run_id == run.record.run_id


def test_a_changed_file_is_not_traced(project, freeze):
    freeze()
    assert project.trace("file:iris.csv").manifest.reference == "iris_v0.1"
    (project.root / "iris.csv").write_text("a,b\n1,3\n")
    with pytest.raises(NotFoundError, match=r"iris\.csv \(sha256 .*changed after it was recorded"):
        project.trace("file:iris.csv")


def test_one_broken_registry_does_not_hide_where_a_file_comes_from(project, freeze):
    freeze()
    bad = project.root / "models/bad/registry.json"
    bad.parent.mkdir(parents=True)
    bad.write_text("{")
    assert project.trace("file:iris.csv").held_by == ("iris_v0.1",)


def test_a_trace_says_that_its_record_was_edited_or_is_gone(project, train):
    run = train(model="clf", params={"C": 1})
    path = project.root / "runs" / f"{run.run_id}.yaml"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("C: 1", "C: 2"))
    edited = project.trace("clf@latest")
    assert "edited by hand" in edited.notes[0]
    path.unlink()
    gone = project.trace("clf@latest")
    assert gone.record is None
    assert f"Its run {run.run_id} cannot be read" in gone.notes[0]


def test_a_reference_to_nothing_is_refused_with_near_names(project, freeze):
    freeze()
    with pytest.raises(NotFoundError, match=r"iris_v0\.1"):
        project.trace("iris_v0.2")
    with pytest.raises(InvalidInputError):
        project.lineage("")


def test_texts_of_others_stay_text_in_every_card(project, freeze, train):
    snapshot = freeze(notes=SCRIPT, tags=[SCRIPT])
    train(data=["iris_v0.1"], model="clf", version="v0.1.0", params={SCRIPT: SCRIPT}, source=SCRIPT)
    comment = project.comment("clf", "v0.1.0", SCRIPT)
    promotion = project.promote("clf", "v0.1.0", "production", comment=SCRIPT)
    write_record(
        project,
        "2026-01-01-odd-001",
        data=({"ref": SCRIPT, "digest": SCRIPT},),
        params={SCRIPT: SCRIPT},
        env={"python": SCRIPT, "requirements_lock": SCRIPT, "container_image": SCRIPT},
        code={"notebook": SCRIPT},
        outputs={"model": SCRIPT, "model_version": SCRIPT, "metrics": {SCRIPT: 1}},
        warnings=(SCRIPT,),
    )
    shown = [
        snapshot,
        comment,
        promotion,
        project.runs(),
        project.registry(),
        project.registry("clf"),
        project.lineage("clf@production"),
        project.trace("clf@production"),
        project.lineage("run:2026-01-01-odd-001"),
        project.trace("run:2026-01-01-odd-001"),
        project.run("2026-01-01-odd-001"),
        project.verify(),
        project.status(),
    ]
    escaped = [one for one in shown if "&lt;script&gt;" in one._repr_html_()]
    assert [one for one in shown if "<script" in one._repr_html_()] == []
    assert len(escaped) >= 8
