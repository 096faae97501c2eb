"""That the benchmarks measure work which was done, and throw away what cannot be compared.

Nothing here looks at how long anything took.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

WORKLOADS = ["W1", "W2", "W3", "W4", "W5", "W5L", "W6"]
WARM = "nbversion (warm kernel)"
BESIDE = Path(sys.executable).with_name("nbversion")
NBVERSION = str(BESIDE) if BESIDE.is_file() else "nbversion"


def rows(table):
    """Return the table's rows by workload."""
    lines = [line for line in table.splitlines() if line.startswith("| W")]
    cells = [[one.strip() for one in line.strip("| ").split(" | ")] for line in lines]
    return {one[0].split(" ")[0]: one for one in cells}


def seconds(done, workload, contender):
    """Return the seconds of a contender in the only round, or None."""
    found = {one["name"]: one["rounds"][0]["seconds"] for one in done.numbers["workloads"]}
    return found[workload].get(contender)


def problem(done, workload, contender):
    """Return what went wrong in the only round, or None."""
    found = {one["name"]: one["rounds"][0]["problems"] for one in done.numbers["workloads"]}
    return found[workload].get(contender)


def test_one_command_measures_everything_and_leaves_nothing(benchmark):
    done = benchmark("--rivals", "git")

    assert done.status == 0, done.said + done.table
    lines = rows(done.table)
    assert list(lines) == WORKLOADS
    for name, line in lines.items():
        assert len(line) == 10, line
        assert line[4].endswith("×"), line
        assert line[6] == "yes" or line[6].startswith("no: "), line
        assert seconds(done, name, "nbversion") > 0
        if name not in ("W1", "W6"):
            assert seconds(done, name, WARM) > 0
        if name != "W5L":
            assert seconds(done, name, "git") > 0
    assert "failed" not in done.table.lower()
    for fact in ("machine", "system", "Python", "nbversion", "openssl", "git"):
        assert f"\n* {fact}: " in done.table
    assert "unknown" not in done.table
    assert list(done.work.iterdir()) == []
    assert list(done.home.iterdir()) == [], "no setting of the user may be read or written"


def test_a_command_that_does_nothing_is_a_failure_and_no_time(benchmark):
    done = benchmark("--no-rivals", "--nbversion", "true", "--only", "W1,W5")

    assert done.status == 1
    lines = rows(done.table)
    assert list(lines) == ["W1", "W2", "W5", "W5L"]
    for name, line in lines.items():
        assert line[1].startswith("**failed**: there should be the versions"), line
        assert line[6] == "not measured"
        assert seconds(done, name, "nbversion") is None


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("rm -f data/snapshots/sample_v0.1/d000/f000007.bin", "the frozen files: 1 of 60"),
        ("touch data/snapshots/sample_v0.1/more", "the frozen files: 1 of 60"),
        ("sed -i s/f000007/f700000/ data/snapshots/*/manifest.json", "the manifest: 2 of 60"),
        ("mkdir -p data/snapshots/sample_v0.3", "there should be the versions"),
    ],
)
def test_a_snapshot_that_is_not_the_material_is_a_failure(contender, program, module, after, said):
    fake = program("fake", f'{NBVERSION} "$@" || exit\n[ "$1" != snapshot ] || {after}')
    one = contender(str(fake))

    with pytest.raises(module("processes").Failed, match=said):
        one.first()


def test_a_change_that_was_not_taken_in_is_a_failure(contender, program, module):
    fake = program("fake", f'[ -d data/snapshots/sample_v0.1 ] || exec {NBVERSION} "$@"')
    one = contender(str(fake))

    assert one.first() > 0
    assert one.again() > 0
    with pytest.raises(module("processes").Failed, match=r"sample_v0.2'\], and there are"):
        one.changed()


def test_an_unchanged_snapshot_that_makes_a_version_is_a_failure(contender, program, module):
    more = "cp -r data/snapshots/sample_v0.1 data/snapshots/sample_v0.2"
    fake = program("fake", f'[ -d data/snapshots/sample_v0.1 ] && exec {more}\n{NBVERSION} "$@"')
    one = contender(str(fake))

    one.first()
    with pytest.raises(module("processes").Failed, match="there should be the versions"):
        one.again()


def test_a_restored_copy_that_is_not_the_material_is_a_failure(contender, program, module):
    spoil = "printf x >> restored/d000/f000007.bin"
    fake = program("fake", f'{NBVERSION} "$@" || exit\n[ "$1" != restore ] || {spoil}')
    one = contender(str(fake))

    one.first()
    with pytest.raises(module("processes").Failed, match="the restored copy: 1 of 60 files"):
        one.restore()


def test_a_verification_that_looks_at_nothing_is_a_failure(benchmark, program):
    lie = """echo '{"holds": true, "files": 60}'"""
    fake = program("fake", f'[ "$1" != verify ] && exec {NBVERSION} "$@"\n{lie}')

    done = benchmark("--no-rivals", "--nbversion", str(fake), "--only", "W5")

    assert done.status == 1
    assert rows(done.table)["W5"][1] == "**failed**: a flipped byte was not found"
    assert "holds=True of 60 files" in problem(done, "W5L", "nbversion")


def test_a_rival_that_does_nothing_is_a_failure(benchmark, program):
    fake = program("git", "exit 0")

    done = benchmark("--rivals", "git", "--only", "W2", path=[fake.parent])

    assert done.status == 1
    assert "the commit: 60 of 60 files" in problem(done, "W2", "git")
    assert "**failed**" in rows(done.table)["W2"][7]


def test_a_rival_that_cannot_be_had_is_named(benchmark, program):
    fake = program("git", "exit 1")

    done = benchmark("--rivals", "git", "--only", "W2", path=[fake.parent])

    assert done.status == 0, done.said
    assert rows(done.table)["W2"][7] == "not available"
    assert "* git: not available: " in done.table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--no-rivals", "--large-bytes", str(10**15)], "GB below"),
        (["--no-rivals", "--only", "W9"], "no such workload: W9"),
        (["--rivals", "svn"], "no such rival: svn"),
    ],
)
def test_what_cannot_be_measured_is_refused(benchmark, words, said):
    done = benchmark(*words)

    assert done.status == 2
    assert said in done.said
    assert list(done.work.glob("*")) == []


def test_a_timing_begins_with_its_input_read_and_nothing_dirty(module, monkeypatch, tmp_path):
    processes = module("processes")
    done = []
    monkeypatch.setattr(processes, "warm", done.append)
    monkeypatch.setattr(processes.os, "sync", lambda: done.append("flushed"))
    bench = processes.Bench(work=tmp_path / "work", nbversion="nbversion", timeout=60)
    bench.prepare()
    monkeypatch.setattr(bench.__class__, "run", lambda *_, **__: done.append("timed"))

    bench.timed(["cp"], cwd=tmp_path, reads=tmp_path)

    assert done == [tmp_path, "flushed", "timed"]


def test_no_setting_of_the_user_reaches_a_contender(module, monkeypatch, tmp_path):
    for name in ("GIT_DIR", "DVC_NO_ANALYTICS", "NBVERSION_IMAGE", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "the user's")
    bench = module("processes").Bench(work=tmp_path / "work", nbversion="nbversion", timeout=60)
    bench.prepare()

    found = bench.environment()

    assert "the user's" not in found.values()
    for name in ("HOME", "GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TMPDIR"):
        assert found[name].startswith(f"{tmp_path / 'work'}/"), name
    assert found["GIT_CONFIG_NOSYSTEM"] == "1"


@pytest.mark.timeout(30)
def test_a_program_that_takes_too_long_is_ended_and_a_failure(module, tmp_path):
    processes = module("processes")
    bench = processes.Bench(work=tmp_path / "work", nbversion="nbversion", timeout=0.2)
    bench.prepare()

    with pytest.raises(processes.Failed, match="not done after"):
        bench.run(["sleep", "60"], cwd=tmp_path)


CONTROLS = (("W2", "cp -r"), ("W6", "cp -r"))


class Scripted:
    """A family whose baseline takes the seconds that a test says."""

    name = "scripted"
    controls = CONTROLS

    def __init__(self, make, times):
        self.make = make
        self.times = times
        self.played = 0

    def play(self, number):
        assert number == self.played
        self.played += 1
        first, second = self.times[number]
        return self.make(
            number,
            seconds={
                "W2": {"cp -r": first, "nbversion": 1.0, "dvc": 8.0},
                "W3": {"nbversion": 0.2, "dvc": 3.0},
                "W6": {"cp -r": second},
            },
        )


@pytest.fixture
def gathered(module):
    """Return a function that plays scripted rounds and gives back all of them and the sound."""
    rounds = module("rounds")

    def play(*times, wanted, spare=3):
        found = rounds.gather(Scripted(rounds.Round, times), wanted=wanted, spare=spare)
        good = [one.number for one in rounds.sound(found, CONTROLS)]
        return [one.number for one in found], good

    return play


def test_a_poisoned_round_is_rejected_and_played_again(gathered):
    assert gathered((1, 1), (1.51, 1), (1.5, 1), wanted=2) == ([0, 1, 2], [0, 2])


def test_a_round_is_poisoned_by_any_of_its_baselines(gathered):
    assert gathered((1, 1), (1, 9), (1, 1), wanted=2) == ([0, 1, 2], [0, 2])


def test_a_first_round_is_found_to_be_poisoned_by_a_later_one(gathered):
    found = gathered((34, 1), (34, 1), (1.5, 1), (1.4, 1), (1.4, 1), wanted=3)

    assert found == ([0, 1, 2, 3, 4], [2, 3, 4])


def test_rounds_are_repeated_only_so_often(gathered):
    slower = [(1, 1), *[(2, 1)] * 9]

    assert gathered(*slower, wanted=2, spare=3) == ([0, 1, 2, 3, 4], [0])


@pytest.fixture
def results(module):
    """Return a function that makes the results of a workload from scripted rounds."""
    rounds, report, workloads = module("rounds"), module("report"), module("workloads")

    def make(name, *times):
        family = Scripted(rounds.Round, times)
        played = [family.play(number) for number in range(len(times))]
        lines = {one.name: one for one in workloads.all_workloads(files=60, large_bytes=1 << 20)}
        return report.Results(lines[name], played, CONTROLS)

    return make


def test_medians_and_ratios_leave_poisoned_rounds_out(results):
    found = results("W2", (1.0, 1), (0.8, 1), (100.0, 1))

    ratio = found.to_baseline()

    assert (ratio.median, ratio.least, ratio.most) == (1.125, 1.0, 1.25)
    assert found.seconds("cp -r").most == 1.0
    assert found.verdict() == "yes"


def test_a_target_is_missed_by_the_baseline_or_by_dvc(results):
    assert results("W2", (0.5, 1)).verdict() == "no: 2 × the baseline"
    assert results("W3", (1.0, 1)).verdict() == "yes"
    found = results("W3", (1.0, 1))
    found.rounds[0].seconds["W3"]["dvc"] = 1.9
    assert found.verdict() == "no: dvc takes only 9.5 ×"


def test_git_alone_may_be_faster_where_nothing_changed(results):
    found = results("W3", (1.0, 1))

    found.rounds[0].seconds["W3"]["git"] = 0.1
    assert found.verdict() == "yes"
    found.rounds[0].seconds["W3"]["git-lfs"] = 0.1
    assert found.verdict() == "no: git-lfs takes only 0.5 ×"


def test_who_failed_in_one_round_has_no_time_in_the_others(results):
    found = results("W2", (1.0, 1), (1.0, 1))

    found.rounds[1].problems["W2"] = {"dvc": "it broke"}

    assert found.seconds("dvc") is None
    assert found.problem("dvc") == "it broke"


def test_the_material_is_the_same_every_time_and_changes_in_ten_files(module, tmp_path):
    material = module("material")
    tree = material.ManyFiles(120)
    tree.place(tmp_path)

    before = material.content_of(tmp_path / "tree")
    assert before == material.ManyFiles(120).expected("sha256", changed=False)
    assert len(set(before.values())) == 120
    tree.change(tmp_path)
    after = material.content_of(tmp_path / "tree")

    assert after == tree.expected("sha256", changed=True)
    assert sum(before[path] != after[path] for path in before) == 10
    assert before.keys() == after.keys()


def test_a_contender_that_writes_to_the_shared_source_ends_everything(module, tmp_path):
    large = module("material").LargeFiles(tmp_path / "store", size_bytes=5000, count=1)
    large.place(tmp_path / "home")
    assert large.expected("sha256", changed=False)

    (tmp_path / "home" / "large.bin").write_bytes(b"changed")

    with pytest.raises(RuntimeError, match="shared source"):
        large.expected("sha256", changed=False)
