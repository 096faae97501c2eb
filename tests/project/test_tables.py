from __future__ import annotations

import json

import pytest

from nbversion.errors import FormatError, NotFoundError
from nbversion.formats.run_record import RunRecord


def table_of(card, title):
    return next(one for one in card.tables if one.title == title)


def write_record(project, run_id, **values):
    path = project.root / "runs" / f"{run_id}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(RunRecord(run_id=run_id, **values).dump())
    return path


def test_the_run_table_has_a_column_for_each_param_and_metric_newest_run_first(freeze, train):
    from nbversion.project import Project

    freeze()
    first = train(data=["iris_v0.1"], params={"C": 1.0}, metrics={"f1": 0.9}, model="clf")
    second = train(params={"C": 2.0, "seed": 7}, metrics={"loss": float("nan")})
    found = Project.find().runs()
    table = table_of(found.card(), "2 runs")
    assert table.columns == (
        "run",
        "status",
        "started",
        "data",
        "C",
        "seed",
        "loss",
        "f1",
        "model",
        "took",
    )
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [one["run"] for one in rows] == [second.run_id, first.run_id]
    assert rows[1] | {"took": ""} == {
        "run": first.run_id,
        "status": "finished",
        "started": found.runs[0].started_utc,
        "data": "iris_v0.1",
        "C": "1.0",
        "seed": "",
        "loss": "",
        "f1": "0.9",
        "model": "clf@v0.1.0-dev.1",
        "took": "",
    }
    assert (rows[0]["C"], rows[0]["seed"], rows[0]["loss"], rows[0]["data"]) == (
        "2.0",
        "7",
        "nan",
        "",
    )
    assert [one["run_id"] for one in found.to_json()["runs"]] == [first.run_id, second.run_id]


def test_a_broken_record_is_named_and_the_others_are_shown(project, train):
    good = train()
    (project.root / "runs/2026-01-01-bad-001-0000.yaml").write_text("run_id: [\n")
    found = project.runs()
    assert [one.run_id for one in found.runs] == [good.run_id]
    assert len(found) == 1
    assert [one["run_id"] for one in found.to_json()["broken"]] == ["2026-01-01-bad-001-0000"]
    assert good.run_id in repr(found)
    assert any("2026-01-01-bad-001-0000.yaml" in note for note in found.card().notes)


def test_runs_are_asked_for_by_their_whole_name(project, train):
    wanted = {train("iris").run_id, train("iris").run_id}
    train("iris-big")
    train("big-iris")
    write_record(project, "2026-01-01-iris-001")
    write_record(project, "2026-01-01-iris-2-001")
    found = project.runs("iris")
    assert {one.run_id for one in found.runs} == {*wanted, "2026-01-01-iris-001"}
    assert {one.run_id for one in project.runs("iris-2").runs} == {"2026-01-01-iris-2-001"}
    assert found.card().title == "Runs of iris"


def test_a_name_without_runs_is_not_called_an_empty_project(project, train):
    assert "There is no run yet" in repr(project.runs())
    train()
    assert "There is no run called wine" in repr(project.runs("wine"))


def test_a_thousand_records_are_read_in_one_go_and_the_newest_fifty_shown(project):
    expected = []
    for number in range(1000):
        run_id = f"2026-01-{number % 28 + 1:02d}-many-{number:04d}-0000"
        started = f"2026-01-{number % 28 + 1:02d}T00:{number // 60:02d}:{number % 60:02d}Z"
        write_record(project, run_id, started_utc=started, params={"n": number})
        expected.append((started, run_id, number))
    expected.sort()
    found = project.runs()
    assert [(one.started_utc, one.run_id, one.params["n"]) for one in found.runs] == expected
    card = found.card()
    shown = [row[0] for row in table_of(card, "1000 runs").rows]
    assert shown == [run_id for _, run_id, _ in reversed(expected[-50:])]
    assert card.notes == ("950 older runs are not shown.",)


def test_at_most_six_params_are_columns_and_those_most_runs_have(project):
    for number in range(3):
        params = dict.fromkeys("abcdefgh", 1) if number == 2 else {"h": 1, "g": 2}
        write_record(project, f"2026-01-01-x-00{number}-0000", params=params)
    columns = table_of(project.runs().card(), "3 runs").columns
    assert columns == (
        "run",
        "status",
        "started",
        "data",
        "a",
        "b",
        "c",
        "d",
        "g",
        "h",
        "model",
        "took",
    )


def test_one_models_registry_shows_its_versions_newest_first_and_its_history(
    project, freeze, train
):
    freeze()
    run = train(data=["iris_v0.1"], model="clf", version="v0.9.0", metrics={"f1": 0.5})
    train(model="clf", version="v0.10.0", metrics={"f1": 0.75})
    image = f"repo/i@sha256:{'0' * 64}"
    project.promote("clf", "v0.9.0", "production", comment="go", image=image)
    project.promote("clf", "v0.10.0", "production")
    project.rollback("clf", comment="fell")
    project.comment("clf", "v0.10.0", "too slow")
    card = project.registry("clf").card()
    versions = table_of(card, "Versions")
    rows = [dict(zip(versions.columns, row, strict=True)) for row in versions.rows]
    assert [(one["version"], one["stage"], one["f1"]) for one in rows] == [
        ("v0.10.0", "archived", "0.75"),
        ("v0.9.0", "production", "0.5"),
    ]
    assert (rows[1]["data"], rows[1]["run"]) == ("iris_v0.1", run.run_id)
    assert [one["comment"] for one in rows] == ["too slow", ""]
    history = table_of(card, "History")
    steps = [dict(zip(history.columns, row, strict=True)) for row in history.rows]
    assert [(one["rev"], one["did"], one["version"], one["stage"]) for one in steps] == [
        ("6", "comment", "v0.10.0", ""),
        ("5", "rollback", "v0.9.0", "archived → production"),
        ("4", "promote", "v0.10.0", "dev → production"),
        ("3", "promote", "v0.9.0", "dev → production"),
        ("2", "register", "v0.10.0", "new → dev"),
        ("1", "register", "v0.9.0", "new → dev"),
    ]
    assert [one["archived"] for one in steps] == ["", "v0.10.0", "v0.9.0", "", "", ""]
    assert [one["why"] for one in steps] == ["too slow", "fell", "", "go", "", ""]
    fields = dict(card.fields)
    assert (fields["In production"], fields["Image"]) == ("v0.9.0", image)
    assert fields["Revision"].startswith("6, head ")


def test_all_registries_are_shown_beside_a_broken_one(project, train):
    train(model="one", version="v0.1.0")
    train(model="two", version="v0.2.0")
    project.promote("one", "v0.1.0", "production")
    project.promote("two", "v0.2.0", "staging")
    bad = project.root / "models/bad/registry.json"
    bad.parent.mkdir()
    bad.write_text("{")
    forged = project.root / "models/two/registry.json"
    record = json.loads(forged.read_text())
    record["versions"][0]["stage"] = "production"
    forged.write_text(json.dumps(record))
    found = project.registry()
    assert table_of(found.card(), "Models").rows == (
        ("one", "v0.1.0", "none", "1", "2"),
        ("two", "v0.2.0", "none", "1", "2"),
    )
    assert [one["name"] for one in found.to_json()["models"]] == ["one", "two"]
    assert len(found.broken) == 2
    assert "models/bad/registry.json" in found.broken[0]
    assert "models/two/registry.json" in found.broken[1]
    assert found.card().notes == found.broken
    with pytest.raises(FormatError, match=r"models/bad/registry\.json"):
        project.registry("bad")


def test_a_registry_written_by_hand_shows_the_data_of_its_runs(project):
    write_record(project, "2026-01-01-iris-001", data=({"ref": "iris_v0.1", "digest": None},))
    path = project.root / "models/clf/registry.json"
    path.parent.mkdir(parents=True)
    version = {"version": "v0.1.0", "stage": "production", "run_id": "2026-01-01-iris-001"}
    path.write_text(json.dumps({"name": "clf", "versions": [version]}))
    table = table_of(project.registry("clf").card(), "Versions")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["stage"], row["data"]) == ("production", "iris_v0.1")


def test_changed_metrics_are_a_note_and_not_a_number(project, train):
    train(model="clf", version="v0.1.0", metrics={"f1": 0.5})
    path = project.root / "models/clf/v0.1.0/metrics.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("0.5", "0.9"))
    card = project.registry("clf").card()
    assert "f1" not in table_of(card, "Versions").columns
    assert "models/clf/v0.1.0/metrics.json" in card.notes[0]


def test_a_model_that_is_not_there_is_told_with_those_that_are(project, train):
    assert "There is no model yet" in repr(project.registry())
    train(model="clf")
    with pytest.raises(NotFoundError, match="its models are clf"):
        project.registry("other")
