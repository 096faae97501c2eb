"""The lesson, done by hand in one notebook kernel with these magics: its examples and exercises."""

from __future__ import annotations

import hashlib
import json
import subprocess

import yaml

IRIS = "sepal,petal\n5.1,1.4\n4.9,1.4\n"


def sha256(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lesson_data(kernel) -> None:
    """The lesson's Example 1: a file that already lies in its version's folder."""
    folder = kernel.root / "data" / "snapshots" / "iris_v0.1"
    folder.mkdir(parents=True)
    (folder / "iris.csv").write_text(IRIS)


def test_exercise_1_a_snapshot_and_its_manifest(own_kernel):
    lesson_data(own_kernel)
    file = own_kernel.root / "data/snapshots/iris_v0.1/iris.csv"
    by_hand = {
        "dataset": "iris",
        "version": "v0.1",
        "files": [
            {
                "path": "data/snapshots/iris_v0.1/iris.csv",
                "size_bytes": len(IRIS),
                "sha256": sha256(file),
            }
        ],
        "created_utc": "2026-01-01T00:00:00Z",
        "notes": "Cleaned, normalized sepal/petal features",
    }
    (own_kernel.root / "data/snapshots/manifest.json").write_text(json.dumps(by_hand))

    assert own_kernel.run("%verify iris_v0.1").status == "ok"
    assert own_kernel.run("%snapshot data/snapshots/iris_v0.1").status == "ok"

    manifest = json.loads((file.parent / "manifest.json").read_text())
    assert manifest["files"] == by_hand["files"]
    assert manifest["notes"] == by_hand["notes"]
    assert manifest["created_utc"] == by_hand["created_utc"]
    assert file.stat().st_mode & 0o222 == 0
    told = subprocess.run(
        ["sha256sum", "data/snapshots/iris_v0.1/iris.csv"],
        cwd=own_kernel.root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.split() == [manifest["files"][0]["sha256"], manifest["files"][0]["path"]]

    # Overwritten in place: found, and the recovery is a new snapshot of the present state.
    file.chmod(0o644)
    file.write_text(IRIS.replace("5.1", "9.9"))
    answer = own_kernel.run("check = %verify iris_v0.1\nprint(check.holds, check.findings[0].kind)")
    assert answer.stdout == "False corrupt\n"
    refused = own_kernel.run("%%trackrun iris --data iris_v0.1\nprint('trained')")
    assert refused.errors[0]["ename"] == "IntegrityError"
    assert "trained" not in refused.stdout


def test_exercise_2_two_model_versions_and_one_in_production(own_kernel):
    for version, c in (("v0.1.0", 1.0), ("v0.2.0", 0.5)):
        cell = f"%%trackrun iris --model iris_clf=clf --metrics f1 --version {version}\n"
        assert own_kernel.run(f"{cell}C = {c}\nclf = {{'C': C}}\nf1 = 0.9 + C / 100").status == "ok"
        assert own_kernel.run(f"%promote iris_clf {version} production").status == "ok"

    models = own_kernel.root / "models" / "iris_clf"
    registry = json.loads((models / "registry.json").read_text())
    stages = {one["version"]: one["stage"] for one in registry["versions"]}
    assert stages == {"v0.1.0": "archived", "v0.2.0": "production"}
    for version in stages:
        names = {one.name for one in (models / version).iterdir()}
        assert {"model.pkl", "metrics.json", "params.json", "manifest.json"} <= names
    assert json.loads((models / "v0.1.0/params.json").read_text()) == {"C": 1.0}
    assert json.loads((models / "v0.2.0/metrics.json").read_text()) == {"f1": 0.905}

    assert own_kernel.run("%rollback iris_clf").status == "ok"
    served = own_kernel.run("import nbversion\nprint(nbversion.load_model('iris_clf'))")
    assert served.stdout == "{'C': 1.0}\n"


def test_exercise_3_a_complete_repro_record_that_verifies(own_kernel):
    lesson_data(own_kernel)
    assert own_kernel.run("%snapshot data/snapshots/iris_v0.1").status == "ok"
    cell = (
        "%%trackrun iris --data iris_v0.1 --metrics f1 --model iris_clf=clf --version v0.2.0\n"
        'seed = 42\nC = 1.0\npenalty = "l2"\nclf, f1 = [seed, C], 0.94'
    )
    assert own_kernel.run(cell).status == "ok"

    (path,) = (own_kernel.root / "runs").glob("*.yaml")
    record = yaml.safe_load(path.read_text())
    assert record["run_id"] == path.stem
    assert record["data_snapshot"] == "iris_v0.1"
    assert record["params"] == {"seed": 42, "C": 1.0, "penalty": "l2"}
    assert record["outputs"]["model_version"] == "v0.2.0"
    assert record["outputs"]["metrics"] == {"f1": 0.94}
    lock = own_kernel.root / "env/locks" / f"{record['env']['requirements_lock'][7:]}.lock"
    assert "sha256:" + sha256(lock) == record["env"]["requirements_lock"]
    assert lock.read_bytes() == (own_kernel.root / "env/requirements.lock").read_bytes()

    answer = own_kernel.run(f"check = %verify {path.stem}\nprint(check.holds)")
    assert answer.stdout == "True\n"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("0.94", "0.99"))
    answer = own_kernel.run(
        f"check = %verify {path.stem}\nprint([one.kind for one in check.findings])"
    )
    assert answer.stdout == "['edited']\n"


def test_the_lessons_own_minimal_files_load(own_kernel):
    root = own_kernel.root
    lesson_data(own_kernel)
    models = root / "models" / "iris_clf"
    models.mkdir(parents=True)
    (models / "registry.json").write_text(
        '{"name": "iris_clf", "versions": [{"version": "v0.1.0", "stage": "archived"}, '
        '{"version": "v0.2.0", "stage": "production"}]}'
    )
    (root / "runs").mkdir()
    (root / "runs" / "2026-01-01-iris-001.yaml").write_text(
        "run_id: 2026-01-01-iris-001\ncode_commit: 9f2e1c4\ndata_snapshot: iris_v0.1\n"
        "params:\n  seed: 42\n  C: 1.0\n  penalty: l2\nenv:\n  python: 3.10\n"
        "  requirements_lock: sha256:7b1f...\n  container_image: ghcr.io/org/ml:1.2.3\n"
        "outputs:\n  model_version: v0.2.0\n  metrics:\n    f1: 0.94\n"
    )
    answer = own_kernel.run(
        "t = %registry iris_clf\nprint(t.registries[0].production.version)\n"
        "r = %runs\nprint(r.runs[0].env['python'], r.runs[0].code_commit, r.runs[0].metrics)"
    )
    assert answer.stdout == "v0.2.0\n3.10 9f2e1c4 {'f1': 0.94}\n"
    refused = own_kernel.run("%rollback iris_clf")
    assert refused.errors[0]["ename"] == "RefusedError"
    assert "v0.1.0" in refused.errors[0]["evalue"]
    before = (models / "registry.json").read_bytes()
    assert own_kernel.run("%rollback iris_clf --to v0.1.0").status == "error"
    assert (models / "registry.json").read_bytes() == before
