"""What a finding means for whom, what is only elsewhere, and the sums that everything goes by."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from nbversion.errors import IntegrityError
from nbversion.formats.run_record import RunRecord
from nbversion.project import Project
from nbversion.store import findings
from nbversion.store.runs import Runs

DATA = "data/snapshots/d_v0.1/a.csv"
MODEL = "models/clf/v0.1.0/model.bin"


@pytest.fixture
def served(project, raw, run, register, root):
    """A data set, a run on it with an artifact, the model that it made, in production."""
    raw("d/a.csv", b"aaaa")
    raw("d/b.csv", b"bbbb")
    data = project.snapshot("data/raw/d")
    shutil.rmtree(root / "data/raw")
    made = run(data=[data])
    register("v0.1.0", run_id=made.run_id)
    project.promote("clf", "v0.1.0", "production")
    return made


def only(verification):
    (one,) = verification.findings
    return one


# -- whom it touches -----------------------------------------------------------------------


def test_corrupt_data_touches_the_run_on_it_and_the_model_that_serves(
    project, served, root, damage
):
    damage(root / DATA, b"evil")
    one = only(project.verify("d_v0.1"))
    assert one.affects == (served.run_id, "clf@v0.1.0")
    assert "clf@v0.1.0 (production), run" in one.meaning
    assert "cannot be reproduced" in one.meaning
    assert one.advice.startswith("%verify d_v0.1 --repair")
    told = one.to_json()
    assert {"kind", "ref", "path", "expected", "got", "affects", "advice"} <= told.keys()
    assert told["affects"] == [served.run_id, "clf@v0.1.0"]


def test_a_chain_of_data_and_runs_is_followed_to_its_end(project, served, root, raw, damage):
    raw("features.csv", b"ffff")
    features = project.snapshot("data/raw/features.csv").reference
    first = RunRecord(
        run_id="r-one",
        data=({"ref": "d_v0.1"},),
        outputs={"snapshots": [{"ref": features}]},
    )
    second = RunRecord(run_id="r-two", eval_data=({"ref": f"{features}.0"},))
    for one in (first, second):
        (root / f"runs/{one.run_id}.yaml").write_bytes(one.dump())
    damage(root / DATA, b"evil")
    one = only(project.verify("d_v0.1"))
    assert set(one.affects) == {served.run_id, "clf@v0.1.0", "r-one", features, "r-two"}


def test_a_corrupt_model_says_in_which_stage_it_is(project, served, root, damage):
    damage(root / MODEL, b"evil")
    one = only(project.verify("clf@v0.1.0"))
    assert "is in production and cannot be loaded" in one.meaning
    assert "It is what serves now." in one.meaning


def test_a_lock_touches_every_run_that_names_it(project, served, run, root, damage):
    other = run()
    (lock,) = (root / "env/locks").glob("*.lock")
    damage(lock, b"evil")
    one = only(project.verify())
    assert set(one.affects) == {served.run_id, other.run_id, "clf@v0.1.0"}
    assert "environment" in one.meaning


def test_an_artifact_touches_its_run_alone(project, served, root):
    (root / f"runs/{served.run_id}/artifacts/plot.svg").unlink()
    one = only(project.verify())
    assert one.affects == (served.run_id,)
    assert "this file of it does not" in one.meaning


@pytest.mark.parametrize(
    ("spoil", "kind", "meaning", "advice"),
    [
        ("edit", "edited", "What d_v0.1 consists of is not proven", "git checkout HEAD -- data/"),
        ("chain", "chain", "Which version of clf serves", "git log -p -- models/clf/registry.json"),
        ("registry", "missing", "Which version of clf serves", "git checkout HEAD -- models/"),
        ("record", "missing", "did is not proven any more", "git checkout HEAD -- runs/"),
        ("extra", "extra", "no part of d_v0.1", "Move it out"),
        ("orphan", "orphan", "No version owns", "%snapshot data/snapshots/lost_v0.1"),
        ("link", "corrupt", "cannot be used", "Put the folder itself"),
        ("pipe", "unreadable", "cannot be used", "chmod"),
    ],
)
def test_every_kind_says_what_it_means_and_what_to_do(
    spoil, kind, meaning, advice, project, served, root
):
    folder = root / "data/snapshots/d_v0.1"
    if spoil == "edit":
        text = folder / "manifest.json"
        text.write_text(text.read_text().replace('"notes": ""', '"notes": "x"'))
    elif spoil == "chain":
        (root / "models/clf/registry.json").write_text("{")
    elif spoil == "registry":
        (root / "models/clf/registry.json").unlink()
    elif spoil == "record":
        (root / f"runs/{served.run_id}.yaml").unlink()
    elif spoil == "extra":
        (folder / "more").touch()
    elif spoil == "orphan":
        folder.with_name("lost_v0.1").mkdir()
        (folder.with_name("lost_v0.1") / "x").touch()
    elif spoil == "link":
        shutil.move(folder, root / "moved")
        folder.symlink_to(root / "moved")
    else:
        (root / DATA).unlink()
        os.mkfifo(root / DATA)
    one = only(project.verify())
    assert one.kind == kind
    assert meaning in one.meaning
    assert advice in one.advice
    assert one.meaning in str(project.verify())
    assert one.advice in str(project.verify())


@pytest.mark.parametrize("kind", ["absent", "edited", "chain"])
def test_a_path_in_an_advice_is_one_word_of_the_shell(kind):
    one = findings.Finding(kind=kind, ref="r-one", path="runs/r-one/artifacts/it's; rm -rf x")
    assert "'runs/r-one/artifacts/it'\"'\"'s; rm -rf x'" in findings._advice(one)


def test_what_stands_on_a_version_is_looked_up_once_for_all_its_files(
    project, served, root, monkeypatch
):
    asked = []
    follow = findings.Uses._follow
    monkeypatch.setattr(
        findings.Uses, "_follow", lambda self, thing: asked.append(thing) or follow(self, thing)
    )
    (root / DATA).unlink()
    (root / "data/snapshots/d_v0.1/b.csv").unlink()
    assert len(project.verify("d_v0.1").findings) == 2
    assert asked == ["d_v0.1"]


def test_the_records_are_read_once_however_many_findings_and_not_at_all_without(
    project, served, run, root, damage, monkeypatch
):
    for _ in range(5):
        run()
    reads = []
    whole = Runs.all
    monkeypatch.setattr(Runs, "all", lambda self: reads.append(1) or whole(self))
    assert project.verify().holds
    assert reads == []
    for one in (DATA, "data/snapshots/d_v0.1/b.csv", MODEL):
        damage(root / one, b"evil")
    assert len(project.verify().findings) == 3
    assert reads == [1]


def test_records_that_cannot_be_read_do_not_hide_a_finding(
    project, served, root, unprivileged, damage
):
    damage(root / DATA, b"evil")
    (root / "runs").chmod(0o000)
    (root / "models").chmod(0o000)
    said = unprivileged("print([one.kind for one in project.verify('data:d_v0.1').findings])")
    assert said == "['corrupt']\n"


def test_many_things_touched_are_counted_in_the_text_and_listed_for_programs(
    project, served, run, root, damage
):
    frozen = project.catalog.snapshots.load("d", "v0.1")
    runs = [
        run(data=[type("S", (), {"reference": "d_v0.1", "manifest": frozen.manifest})])
        for _ in range(8)
    ]
    damage(root / DATA, b"evil")
    one = only(project.verify("d_v0.1"))
    assert {each.run_id for each in runs} < set(one.affects)
    assert "and 6 more" in one.meaning


def test_one_spelling_stands_for_both_of_a_version():
    assert findings.same_version("d_v0.1.0") == "d_v0.1"
    assert findings.same_version("d_v0.1.1") == "d_v0.1.1"
    assert findings.same_version("clf@v0.1.0") == "clf@v0.1.0"


# -- what is only elsewhere ----------------------------------------------------------------


def git(folder, *words):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def clone(project, served, root):
    """A fresh clone of the project."""
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "all")
    folder = root.parent / "clone"
    git(root.parent, "clone", "-q", root, folder)
    return Project(folder)


def seen(verification):
    return sorted((one.kind, one.path) for one in verification.findings)


def test_in_a_fresh_clone_bytes_are_absent_and_fail_only_when_all_is_asked_for(
    clone, served, monkeypatch
):
    monkeypatch.chdir(clone.root)
    done = clone.verify()
    assert seen(done) == [
        ("absent", "data/snapshots/d_v0.1"),
        ("absent", "models/clf/v0.1.0"),
        ("absent", f"runs/{served.run_id}/artifacts"),
    ]
    assert done.holds
    assert done.card().badge == "incomplete"
    assert "as in a fresh clone" in str(done)
    assert not clone.verify(complete=True).holds
    one = only(clone.verify("data:d_v0.1"))
    assert (one.expected, one.got) == ("2 files, 8 B", "nothing but the text")
    assert one.affects == (served.run_id, "clf@v0.1.0")
    assert "--from" in one.advice


def test_absent_bytes_are_fetched_from_where_they_are(clone, root, monkeypatch):
    monkeypatch.chdir(clone.root)
    done = clone.verify(repair=True, offered=[root])
    assert done.holds
    assert done.findings == ()
    assert len(done.repairs) == 4
    assert (clone.root / DATA).read_bytes() == b"aaaa"


def test_a_part_of_a_version_that_is_gone_is_missing_in_a_clone_too(clone, root, monkeypatch):
    monkeypatch.chdir(clone.root)
    shutil.copy(root / DATA, clone.root / DATA)
    (clone.root / "models/clf/v0.1.0/metrics.json").unlink()
    done = clone.verify()
    assert seen(done)[0] == ("absent", "models/clf/v0.1.0")
    assert ("missing", "data/snapshots/d_v0.1/b.csv") in seen(done)
    assert ("missing", "models/clf/v0.1.0/metrics.json") in seen(done)
    assert not done.holds


def test_bytes_that_are_gone_are_missing_where_nobody_else_can_have_them(project, served, root):
    git(root, "init", "-q")
    (root / DATA).unlink()
    (root / "data/snapshots/d_v0.1/b.csv").unlink()
    wanted = [("missing", DATA), ("missing", "data/snapshots/d_v0.1/b.csv")]
    assert seen(project.verify()) == wanted
    git(root, "add", "-A")
    git(root, "commit", "-qm", "all")
    assert seen(project.verify()) == wanted
    # With a remote whoever froze it may be somebody else; what is not committed nobody has.
    git(root, "remote", "add", "origin", "nowhere")
    assert seen(project.verify()) == [("absent", "data/snapshots/d_v0.1")]
    git(root, "rm", "-q", "--cached", "data/snapshots/d_v0.1/manifest.json")
    git(root, "commit", "-qm", "without")
    assert seen(project.verify()) == wanted


def test_another_worktree_of_the_repository_has_the_bytes(clone, root, monkeypatch):
    git(root, "worktree", "add", "-q", root.parent / "tree")
    monkeypatch.chdir(root.parent / "tree")
    assert {one.kind for one in Project(".").verify().findings} == {"absent"}


def test_a_project_below_the_top_of_its_repository_is_a_clone_too(
    project, served, root, monkeypatch
):
    git(root.parent, "init", "-q")
    git(root.parent, "add", "-A", "project")
    git(root.parent, "commit", "-qm", "all")
    git(root.parent, "clone", "-q", ".", "clone")
    monkeypatch.chdir(root.parent / "clone/project")
    assert {one.kind for one in Project(".").verify().findings} == {"absent"}


def test_absent_data_is_not_given_out(clone, monkeypatch):
    monkeypatch.chdir(clone.root)
    with pytest.raises(IntegrityError):
        clone.data("d_v0.1")
    with pytest.raises(IntegrityError):
        clone.load_model("clf")
    with pytest.raises(IntegrityError):
        clone.promote("clf", "v0.1.0", "staging")


def test_git_is_asked_once_and_only_when_bytes_are_not_here(clone, served, monkeypatch):
    from nbversion.store import absence

    asked = []
    ask = absence.published_files
    monkeypatch.setattr(
        absence, "published_files", lambda *args, **more: asked.append(1) or ask(*args, **more)
    )
    monkeypatch.chdir(clone.root)
    clone.verify()
    assert asked == [1]


def test_a_whole_project_does_not_ask_git(project, served, monkeypatch):
    from nbversion.store import absence

    monkeypatch.setattr(absence, "published_files", None)
    assert project.verify().holds


# -- sums ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [("shasum", "-a", "256", "-c"), ("sha256sum", "-c", "--strict")])
def test_the_sums_pass_the_tools_that_everybody_has(tool, project, served, raw, root, damage):
    if shutil.which(tool[0]) is None:
        pytest.skip(f"needs {tool[0]}")
    raw("odd/new\nline", b"1")
    raw("odd/  spaces ü ", b"2")
    raw("odd/-dash", b"3")
    project.snapshot("data/raw/odd")
    text = f"{project.sums()}\n"
    check = subprocess.run(tool, input=text, cwd=root, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr + check.stdout
    assert check.stdout.count(": OK") == len(project.sums().sums) == 2 + 3 + 1 + 1 + 3
    damage(root / DATA, b"evil")
    assert f"{project.sums()}\n" == text
    check = subprocess.run(tool, input=text, cwd=root, capture_output=True, text=True, check=False)
    assert check.returncode == 1
    assert f"{DATA}: FAILED" in check.stdout


def test_the_sums_are_those_that_a_reference_stands_on(project, served, raw):
    project.snapshot(raw("other.csv"))
    paths = [path for _, path in project.sums("clf@v0.1.0").sums]
    assert paths == sorted(paths)
    assert {DATA, MODEL} <= set(paths)
    assert not [one for one in paths if "other" in one]
    assert project.sums("d_v0.1").to_json()["sums"][0].keys() == {"sha256", "path"}
    assert "nothing was hashed" in repr(project.sums())


def test_a_record_by_hand_that_names_the_present_lock_has_its_sum(project, served, root):
    (lock,) = (root / "env/locks").glob("*.lock")
    lock.unlink()
    assert "env/requirements.lock" in [path for _, path in project.sums().sums]


def test_sums_of_texts_that_were_edited_are_not_given(project, served, root):
    text = root / "data/snapshots/d_v0.1/manifest.json"
    text.write_text(text.read_text().replace('"notes": ""', '"notes": "x"'))
    with pytest.raises(IntegrityError, match="none are given"):
        project.sums()


def test_a_name_cannot_drive_the_terminal_that_the_sums_are_shown_on(project, raw, monkeypatch):
    raw("odd/\x1b]0;owned\x07", b"1")
    project.snapshot("data/raw/odd")
    assert "\x1b" in str(project.sums())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "\x1b" not in str(project.sums())


# -- how it is shown -----------------------------------------------------------------------


def test_the_card_tells_what_was_repaired_and_what_not(project, served, root, raw, damage):
    raw("d/a.csv", b"aaaa")
    damage(root / DATA, b"evil")
    damage(root / MODEL, b"evil")
    told = str(project.verify(repair=True))
    assert "Put back, verified" in told
    assert "data/raw/d/a.csv" in told
    assert "Not put back" in told
    assert "no good copy was found" in told
    assert "hashed again after the repair" in told
    assert "Nothing was changed." not in told
    assert "Nothing was changed." in str(project.verify())


def test_the_html_holds_every_finding_and_escapes_it(project, root):
    folder = root / "data/snapshots/<b>x"
    folder.mkdir(parents=True)
    (folder / "x").touch()
    html = project.verify()._repr_html_()
    assert "&lt;b&gt;x" in html
    assert "<b>x" not in html


def test_a_thousand_findings_make_a_short_card(project, raw, root):
    for at in range(120):
        raw(f"d/{at}.csv", b"%d" % at)
    folder = project.snapshot("data/raw/d").path
    shutil.rmtree(root / "data/raw")
    for one in folder.glob("*.csv"):
        one.unlink()
    done = project.verify()
    assert len(done.findings) == len(done.to_json()["findings"]) == 120
    assert "70 more findings" in str(done)
    assert len(str(done).splitlines()) < 70
    assert "120 missing" in str(done)
