from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from hashlib import sha256

import pytest

from nbversion import __version__, cli
from nbversion.errors import LostRaceError, StorageError
from nbversion.project import Project
from nbversion.verbs import VERBS

COMMAND_LINE = [verb.name for verb in VERBS if verb.act is not None]
CONTROLS = ("\x1b", "\x07", "\x9b", "\u202e")
HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202eend"


@pytest.fixture
def run(capsys):
    """Return a function that runs a command here and gives back status, output and errors."""

    def run(*words):
        status = cli.main(list(words))
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def run_json(run):
    """Return a function that runs a command with ``--json`` and gives back status and record."""

    def run_json(*words):
        status, out, err = run(*words, "--json")
        assert err == ""
        assert out.isascii()
        return status, json.loads(out, parse_constant=pytest.fail)

    return run_json


@pytest.fixture
def process(project, home):
    """Return a function that runs the command in a process of its own."""

    def process(*words, **options):
        return subprocess.run(
            [sys.executable, "-m", "nbversion", *words],
            cwd=project.root,
            env=os.environ | {"HOME": str(home)} | options.pop("env", {}),
            capture_output=True,
            timeout=60,
            check=False,
            **options,
        )

    return process


@pytest.fixture
def served(project, freeze, train):
    """Return a project with a data set, and a model in production that can be rolled back."""
    freeze()
    train(data=["iris_v0.1"], model="clf", version="v0.1.0", metrics={"f1": 0.5})
    train(data=["iris_v0.1"], model="clf", version="v0.2.0", metrics={"f1": float("nan")})
    project.promote("clf", "v0.1.0", "production")
    project.promote("clf", "v0.2.0", "production")
    return project


# -- every verb ----------------------------------------------------------------------------


def test_snapshot(project, run, run_json):
    (project.root / "iris.csv").write_text("a\n1\n")
    status, out, err = run("snapshot", "iris.csv", "--notes", "first", "--tag", "a", "--tag", "b")
    assert (status, err) == (0, "")
    assert "iris_v0.1" in out
    (project.root / "iris.csv").write_text("a\n2\n")
    status, record = run_json("snapshot", "iris.csv", "--version", "v0.5", "--name", "iris")
    assert status == 0
    path = project.root / "data/snapshots/iris_v0.5/manifest.json"
    assert record.items() >= json.loads(path.read_text()).items()
    first = project.catalog.snapshots.load("iris", "v0.1").manifest
    assert (first.notes, list(first.tags)) == ("first", ["a", "b"])


def test_promote(served, run, run_json):
    status, out, _ = run("promote", "clf", "v0.1.0", "staging", "--dry-run")
    assert status == 0
    assert "Dry run" in out
    status, record = run_json("promote", "clf", "v0.1.0", "production", "-m", "again")
    assert status == 0
    assert {"model", "version", "from_stage", "to_stage", "revision", "gates"} <= record.keys()
    assert (record["model"], record["version"]) == ("clf", "v0.1.0")
    assert (record["from_stage"], record["to_stage"]) == ("archived", "production")
    assert record["revision"] == 5
    assert [one["gate"] for one in record["gates"]] == ["tagged", "verified"]
    registry = served.catalog.registrar.load("clf")
    assert (registry.production.version, registry.history[-1].comment) == ("v0.1.0", "again")


def test_promote_a_pre_release_as_a_release(project, train, run_json):
    train(model="clf")
    image = f"repo/i@sha256:{'0' * 64}"
    words = ("promote", "clf", "v0.1.0-dev.1", "production", "--as", "v0.1.0", "--image", image)
    status, record = run_json(*words)
    assert (status, record["version"], record["image"]) == (0, "v0.1.0", image)
    assert project.catalog.registrar.load("clf").production.derived_from == "v0.1.0-dev.1"


def test_rollback(served, run, run_json):
    assert run("rollback", "clf", "--dry-run")[0] == 0
    assert served.catalog.registrar.load("clf").production.version == "v0.2.0"
    status, record = run_json("rollback", "clf", "-m", "fell")
    assert status == 0
    assert record["seconds"] > 0
    assert (
        record.items()
        >= {
            "model": "clf",
            "from_version": "v0.2.0",
            "to_version": "v0.1.0",
            "revision": 5,
        }.items()
    )
    assert served.catalog.registrar.load("clf").production.version == "v0.1.0"
    assert run_json("rollback", "clf", "--to", "v0.2.0")[1]["to_version"] == "v0.2.0"


def test_verify_says_by_its_status_whether_all_holds(served, run, run_json):
    status, out, _ = run("verify")
    assert status == 0
    assert "verified" in out
    status, record = run_json("verify", "iris_v0.1", "clf@production")
    assert (status, record["holds"], record["findings"]) == (0, True, [])
    file = served.root / "data/snapshots/iris_v0.1/iris.csv"
    file.chmod(0o644)
    file.write_text("a,b\n1,9\n")
    assert run("verify")[0] == 1
    status, record = run_json("verify", "iris_v0.1")
    assert (status, record["holds"]) == (1, False)
    assert len(record["findings"]) == 1
    finding = record["findings"][0]
    assert finding.keys() >= {"kind", "ref", "path", "expected", "got", "affects", "advice"}
    assert finding["affects"][-1] == "clf@v0.2.0"
    assert (finding["kind"], finding["ref"]) == ("corrupt", "iris_v0.1")
    assert finding["path"] == "data/snapshots/iris_v0.1/iris.csv"


def test_verify_repairs_from_the_project_and_from_what_is_offered(served, run, run_json):
    file = served.root / "data/snapshots/iris_v0.1/iris.csv"
    (served.root / "iris.csv").unlink()
    file.unlink()
    assert run("verify")[0] == 1
    assert not file.exists()
    status, record = run_json("verify", "--repair")
    assert (status, record["holds"], record["repaired"]) == (1, False, [])
    assert record["not_repaired"][0]["path"] == "data/snapshots/iris_v0.1/iris.csv"
    (served.root / "old").mkdir()
    (served.root / "old/copy").write_text("a,b\n1,2\n")
    (served.root / "new.csv").touch()
    status, record = run_json(
        "verify", "iris_v0.1", "--repair", "--from", "old", "--from", "new.csv"
    )
    assert (status, record["holds"]) == (0, True)
    assert record["repaired"][0]["from"] == "old/copy"
    assert file.read_text() == "a,b\n1,2\n"


def test_verify_prints_sums_for_the_tools_that_everybody_has(served, run, run_json, process):
    status, out, err = run("verify", "iris_v0.1", "--sums")
    assert (status, err) == (0, "")
    sums = [line.split("  ") for line in out.splitlines()]
    file = served.root / "data/snapshots/iris_v0.1/iris.csv"
    assert sums == [[sha256(file.read_bytes()).hexdigest(), "data/snapshots/iris_v0.1/iris.csv"]]
    status, record = run_json("verify", "--sums")
    assert (status, len(record["sums"])) == (0, len(run("verify", "--sums")[1].splitlines()))
    # Nothing is hashed: the sums are what should be, whatever is.
    file.unlink()
    assert run("verify", "iris_v0.1", "--sums")[1] == out
    assert process("verify", "iris_v0.1", "--sums").stdout.decode() == out


def test_verify_of_a_clone_fails_only_where_all_is_asked_for(served, run, monkeypatch):
    def git(folder, *words):
        who = ("-c", "user.name=t", "-c", "user.email=t@t")
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all")):
        git(served.root, *words)
    clone = served.root.parent / "clone"
    git(served.root.parent, "clone", "-q", served.root, clone)
    monkeypatch.chdir(clone)
    status, out, _ = run("verify")
    assert status == 0
    assert "[incomplete]" in out
    assert run("verify", "--complete")[0] == 1


def test_restoring_over_what_was_overwritten(served, run, run_json):
    (served.root / "iris.csv").write_text("overwritten")
    status, _, err = run("restore", "iris_v0.1", "iris.csv")
    assert (status, "--overwrite" in err) == (2, True)
    status, record = run_json("restore", "iris_v0.1", "iris.csv", "--overwrite")
    assert (status, record["frozen_as"], record["newly_frozen"]) == (0, "iris_v0.2", True)
    assert (served.root / "iris.csv").read_text() == "a,b\n1,2\n"
    assert (served.root / "data/snapshots/iris_v0.2/iris.csv").read_text() == "overwritten"


def test_registry_and_comment(served, run, run_json):
    status, out, _ = run("comment", "clf", "v0.1.0", "approved", "by", "Ada")
    assert status == 0
    assert "approved by Ada" in out
    status, record = run_json("comment", "clf", "v0.1.0", "seen")
    assert (status, record["comment"], record["revision"]) == (0, "seen", 6)
    status, record = run_json("registry", "clf")
    assert status == 0
    path = served.root / "models/clf/registry.json"
    assert record["models"] == [json.loads(path.read_text())]
    status, out, _ = run("registry")
    assert status == 0
    assert "clf" in out
    assert "v0.2.0" in run("registry", "clf")[1]


def test_runs(served, run, run_json):
    status, out, _ = run("runs")
    ids = [one.run_id for one in served.runs().runs]
    assert status == 0
    assert all(one in out for one in ids)
    status, record = run_json("runs", "iris")
    assert [one["run_id"] for one in record["runs"]] == ids
    assert record["runs"][1]["outputs"]["metrics"] == {"f1": "NaN"}
    assert run_json("runs", "none")[1]["runs"] == []


def test_lineage_and_trace(served, run, run_json):
    status, out, _ = run("lineage")
    assert status == 0
    assert "clf@v0.2.0" in out
    status, record = run_json("lineage", "clf@production")
    run_id = served.runs().runs[-1].run_id
    assert status == 0
    assert {"from": f"run:{run_id}", "to": "model:clf@v0.2.0"} in record["edges"]
    assert run_id in run("trace", "clf@production")[1]
    status, record = run_json("trace", "clf@production")
    assert (status, record["run_id"]) == (0, run_id)


def test_numbers_that_json_lacks_are_texts(train, run_json):
    run_id = train(params={"low": float("-inf")}, metrics={"f1": float("nan")}).run_id
    found = run_json("trace", run_id)[1]
    assert (found["params"], found["metrics"]) == ({"low": "-Infinity"}, {"f1": "NaN"})


def test_restore_and_status(served, run, run_json):
    status, out, _ = run("restore", "iris_v0.1", "work")
    assert status == 0
    assert (served.root / "work/iris.csv").read_text() == "a,b\n1,2\n"
    status, record = run_json("restore", "iris_v0.1", "other")
    assert (status, record["reference"], record["files"]) == (0, "iris_v0.1", 1)
    status, out, _ = run("status")
    assert status == 0
    assert str(served.root) in out
    status, record = run_json("status")
    assert (record["root"], record["models"], record["runs"]) == (str(served.root), 1, 2)


def test_init_twice_leaves_what_is_there(home, project, run, run_json):
    status, out, _ = run("init", "new")
    assert status == 0
    assert str(project.root / "new") in out
    settings = project.root / "new/nbversion.yaml"
    settings.write_text("owner: Ada\n")
    status, record = run_json("init", str(project.root / "new"))
    assert (status, record["initialised"]) == (0, True)
    assert settings.read_text() == "owner: Ada\n"


# -- help and wrong use --------------------------------------------------------------------


@pytest.mark.parametrize("verb", [*COMMAND_LINE, "init", "demo"])
def test_the_help_of_every_verb_has_an_example_and_does_nothing(project, run, verb):
    status, out, err = run(verb, "--help")
    assert (status, err) == (0, "")
    assert f"example:\n  nbversion {verb}" in out
    assert "--json" in out
    assert list(project.root.iterdir()) == []


@pytest.mark.parametrize("verb", [one for one in VERBS if one.act is not None])
def test_the_example_in_the_help_is_understood(verb):
    from nbversion.verbs import split_words

    parsed = cli.build_parser().parse_args([verb.name, *split_words(verb.example)])
    assert parsed.verb == verb.name


def test_the_help_names_every_verb(run):
    status, out, _ = run("--help")
    assert status == 0
    assert all(f"    {verb} " in out for verb in [*COMMAND_LINE, "init", "demo"])
    assert "trackrun" not in out


def test_the_version(run):
    assert run("--version") == (0, f"nbversion {__version__}\n", "")


def test_a_version_option_of_a_verb_is_not_that_of_the_command(project, run):
    (project.root / "x.csv").write_text("1")
    assert run("snapshot", "x.csv", "--version", "v0.3")[0] == 0
    assert (project.root / "data/snapshots/x_v0.3").is_dir()
    assert run("--version", "snapshot", "x.csv") == (0, f"nbversion {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no verb was given"),
        (["fly"], "invalid choice: 'fly'"),
        (["trackrun", "x"], "invalid choice"),
        (["verify", "--fast"], "unrecognized arguments: --fast"),
        (["promote", "clf"], "required: VERSION, STAGE"),
        (["promote", "clf", "v0.1.0", "live"], "the stages are dev, staging"),
        (["snapshot", "none.csv"], "none.csv"),
        (["verify", "none_v0.1"], "'none_v0.1' is no"),
        (["verify", "--repair", "--from", "none"], "none is not there"),
        (["verify", "--from", "."], "--repair"),
        (["verify", "--sums", "--repair"], "goes with no other option"),
        (["verify", "--sums", "--complete"], "goes with no other option"),
        (["registry", "none"], "there is no model 'none'"),
        (["status", "--js"], "unrecognized arguments: --js"),
    ],
)
def test_wrong_use_is_status_2_with_one_line_and_writes_nothing(project, run, words, said):
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err.startswith("nbversion: ")
    assert err.count("\n") == 1
    assert said in err
    assert list(project.root.iterdir()) == []


def test_an_error_is_a_record_with_its_kind_and_its_message(project, run_json):
    status, record = run_json("registry", "none")
    assert status == 2
    assert record.keys() == {"error"}
    assert record["error"].keys() == {"kind", "message"}
    assert record["error"]["kind"] == "not-found"
    assert "there is no model 'none'" in record["error"]["message"]
    assert run_json("fly")[1]["error"]["kind"] == "invalid-input"


def test_what_does_not_hold_and_what_is_refused_is_status_1(served, train, run_json):
    train(model="new")
    status, record = run_json("promote", "new", "v0.1.0-dev.1", "production")
    assert (status, record["error"]["kind"]) == (1, "refused")
    model = served.root / "models/clf/v0.1.0/model.pkl"
    model.chmod(0o644)
    model.write_bytes(b"")
    before = (served.root / "models/clf/registry.json").read_bytes()
    status, record = run_json("rollback", "clf")
    assert (status, record["error"]["kind"]) == (1, "integrity")
    assert (served.root / "models/clf/registry.json").read_bytes() == before


@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [
        (StorageError("the disk is full."), 3, "storage"),
        (LostRaceError("another was faster."), 3, "lost-race"),
        (PermissionError(13, "Permission denied", "models"), 3, "storage"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_could_not_be_done(project, run, run_json, monkeypatch, raised, status, kind):
    def fail(self, source, **options):
        raise raised

    monkeypatch.setattr(Project, "snapshot", fail)
    got, out, err = run("snapshot", "x.csv")
    assert (got, out) == (status, "")
    assert err.startswith("nbversion: ")
    assert "Traceback" not in err
    got, record = run_json("snapshot", "x.csv")
    assert (got, record["error"]["kind"]) == (status, kind)


def test_a_defect_of_ours_never_reads_as_a_check_that_fails(project, capsys, monkeypatch):
    monkeypatch.setattr(Project, "verify", lambda self, *words, **options: 1 // 0)
    assert cli.main(["verify", "--json"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["kind"] == "defect"
    assert "ZeroDivisionError" in said.err


# -- where ---------------------------------------------------------------------------------


def test_the_project_option_names_a_folder_of_the_project(home, served, run, run_json, monkeypatch):
    monkeypatch.chdir(home)
    inside = served.root / "data/snapshots"
    status, record = run_json("--project", str(inside), "status")
    assert (status, record["root"]) == (0, str(served.root))
    status, out, err = run("--project", str(served.root / "typo"), "status")
    assert (status, out) == (2, "")
    assert "typo is no folder" in err


def test_the_home_folder_is_refused(home, run, monkeypatch):
    monkeypatch.chdir(home)
    for words in (["status"], ["snapshot", "x"], ["init"], ["init", str(home)]):
        status, _, err = run(*words)
        assert status == 2
        assert "cannot be a project" in err
    assert not (home / "nbversion.yaml").exists()


# -- output --------------------------------------------------------------------------------


def test_what_others_wrote_cannot_drive_the_terminal(project, train, run, run_json):
    (project.root / "x.csv").write_text("1")
    train(name="x", model="clf", version="v0.1.0", params={HOSTILE: HOSTILE})
    commands = [
        ("snapshot", "x.csv", "--notes", HOSTILE, "--tag", HOSTILE),
        ("comment", "clf", "v0.1.0", HOSTILE),
        ("registry", "clf"),
        ("runs",),
        ("lineage",),
        ("trace", "clf@latest"),
        ("trace", f"data:{HOSTILE}"),
        (HOSTILE,),
        ("--project", HOSTILE, "status"),
    ]
    for words in commands:
        _, out, err = run(*words)
        _, again, _ = run(*words, "--json")
        assert out + err
        for text in (out, err, again):
            assert not any(one in text for one in CONTROLS), words
    assert run_json("comment", "clf", "v0.1.0", HOSTILE)[1]["comment"] == HOSTILE
    assert "\\x1b]0;owned\\x07" in run("registry", "clf")[1]


def test_a_name_that_is_no_text_does_not_stop_the_message(project, run):
    status, _, err = run("snapshot", "a\udcffb.csv")
    assert status == 2
    assert "\\udcff" in err


def test_letters_that_the_terminal_lacks_are_escaped(project, process):
    (project.root / "x.csv").write_text("1")
    project.snapshot(project.root / "x.csv")
    done = process("snapshot", "x.csv", "--name", "é", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert b"\\xe9" in done.stderr
    assert b"Traceback" not in done.stderr
    done = process("restore", "x_v0.1", "à", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xe0" in done.stdout


# -- a process of its own ------------------------------------------------------------------


def test_the_module_runs_as_a_command(project, process):
    done = process("status", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["root"] == str(project.root)
    assert process("--version").stdout.decode() == f"nbversion {__version__}\n"


def test_the_status_reaches_the_shell(served, process):
    assert process("verify").returncode == 0
    file = served.root / "data/snapshots/iris_v0.1/iris.csv"
    file.chmod(0o644)
    file.write_text("a,b\n1,9\n")
    assert process("verify").returncode == 1
    assert process("verify", "none@v1.0.0").returncode == 2


@pytest.mark.parametrize("holds", [True, False])
def test_a_reader_that_goes_away_changes_nothing_of_the_status(served, home, holds):
    if not holds:
        file = served.root / "data/snapshots/iris_v0.1/iris.csv"
        file.chmod(0o644)
        file.write_text("a,b\n1,9\n")
    reading, writing = os.pipe()
    os.close(reading)
    with closing(os.fdopen(writing, "wb")) as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "nbversion", "verify"],
            cwd=served.root,
            env=os.environ | {"HOME": str(home)},
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0 if holds else 1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_answer_that_cannot_be_written_is_status_3(project, home):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nbversion", "status"],
            cwd=project.root,
            env=os.environ | {"HOME": str(home)},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr.decode().startswith("nbversion: the output cannot be written: No space")
    assert done.stderr.count(b"\n") == 1
