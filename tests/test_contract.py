"""Another program reads the files, knowing the contract only.

The functions of the first part import nothing of nbversion: they are what an auditor would write from
sections 1 and 3 of the contract. The second part lets the product write the files that they read.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import shutil
import stat
import subprocess
import sys

import pytest
import yaml

# -- the other program ---------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def canonical(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def no_twins(pairs):
    keys = [key for key, _ in pairs]
    assert len(set(keys)) == len(keys), keys
    return dict(pairs)


def read_json(path):
    data = path.read_bytes()
    assert data.endswith(b"}\n")
    assert b"\r" not in data
    return json.loads(data.decode("utf-8"), object_pairs_hook=no_twins)


def record_digest(record):
    rest = {key: value for key, value in record.items() if key != "record_digest"}
    return "sha256:" + sha256(canonical(rest))


def version_folder(manifest):
    if "dataset" in manifest:
        return f"data/snapshots/{manifest['dataset']}_{manifest['version']}"
    return f"models/{manifest['model']}/{manifest['version']}"


def content_digest(manifest):
    start = version_folder(manifest) + "/"
    parts = []
    for one in manifest["files"]:
        assert one["path"].startswith(start)
        below = one["path"][len(start) :].encode("utf-8")
        parts.append((below, f"{one['sha256']} {one['size_bytes']} ".encode() + below + b"\0"))
    return "sha256:" + sha256(b"".join(text for _, text in sorted(parts)))


def chain(registry):
    """Return what each entry must name as the one before it, and the head."""
    links = [None, *("sha256:" + sha256(canonical(entry)) for entry in registry["history"])]
    return links[:-1], links[-1]


def stages(registry):
    """Return the stage of each version by playing the history."""
    found = {one["version"]: one["stage"] for one in registry["history"][0].get("baseline", ())}
    for entry in registry["history"]:
        if entry["displaced"] is not None:
            found[entry["displaced"]] = "archived"
        if entry["to_stage"] is not None:
            found[entry["version"]] = entry["to_stage"]
    return found


# -- what the product wrote ----------------------------------------------------------------

LINE = "%%trackrun iris --data iris --params seed,rate --metrics f1,loss --model m=clf"


def made(folder):
    """Return a project in `folder` with raw data and nothing frozen yet."""
    from nbversion.project import Project

    root = folder / "project"
    (root / "raw" / "sub").mkdir(parents=True)
    (root / "raw" / "iris.csv").write_bytes(b"a,b\n1,2\n" * 100)
    (root / "raw" / "sub" / "gr\u00f6\u00dfe \U0001f600.txt").write_bytes(b"\0\xff" * 9)
    (root / "raw" / "a-b").write_bytes(b"")
    (root / "raw" / "empty").mkdir()
    return Project(root)


@pytest.fixture
def project(tmp_path, monkeypatch):
    found = made(tmp_path)
    monkeypatch.chdir(found.root)
    return found


@contextlib.contextmanager
def notebook():
    """Give a shell with the extension loaded, which leaves no trace in the next test."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    main, path = sys.modules["__main__"], list(sys.path)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "nbversion")
    try:
        yield shell
    finally:
        shell.run_line_magic("unload_ext", "nbversion")
        shell.restore_sys_module_state()
        atexit.unregister(shell.atexit_operations)
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = main
        sys.path[:] = path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a project with two tracked models of which one was promoted and rolled back.

    The tests only read it.
    """
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("HOME", str(folder))
        project = made(folder)
        patch.chdir(project.root)
        train(project)
    return project


def train(project):
    project.snapshot("raw", name="iris", notes='clean "x" \u2028 \x7f', tags=["t"])
    with notebook() as shell:
        for version, seed in (("v0.1.0", 1), ("v0.2.0", 2)):
            body = (
                f"seed = {seed}\nrate = 1e-05\nclf = {{'w': [seed, rate]}}\n"
                "f1, loss = 0.94, float('nan')\n"
            )
            shell.run_cell(f"{LINE} --version {version}\n{body}").raise_error()
    for version in ("v0.1.0", "v0.2.0"):
        project.promote("m", version, "production", comment="gr\u00fcn")
    project.rollback("m", comment="bad")
    project.comment("m", "v0.2.0", "why?")


def manifests(root, pattern):
    found = sorted(root.glob(pattern))
    assert found
    return [(path, read_json(path)) for path in found]


EVERY = "data/snapshots/*/manifest.json", "models/*/*/manifest.json"


def test_a_snapshots_digests_follow_from_its_manifest_alone(project):
    project.snapshot("raw", name="iris", notes='clean "x" \u2028 \x7f', tags=["t"])
    [(path, manifest)] = manifests(project.root, EVERY[0])
    assert path.parent == project.root / version_folder(manifest)
    assert manifest["digest"] == content_digest(manifest)
    assert manifest["record_digest"] == record_digest(manifest)
    assert list(manifest) == [
        *("dataset", "version", "files", "created_utc", "notes", "digest", "owner", "tags"),
        *("source", "parent", "run_id", "directories", "ignored", "record_digest"),
        "schema_version",
    ]
    assert (manifest["notes"], manifest["directories"]) == ('clean "x" \u2028 \x7f', ["empty"])
    below = [one["path"].removeprefix(f"{version_folder(manifest)}/") for one in manifest["files"]]
    assert below == ["a-b", "iris.csv", "sub/gr\u00f6\u00dfe \U0001f600.txt"]


def test_equal_content_under_another_name_has_an_equal_digest(project):
    project.snapshot("raw", name="iris")
    project.snapshot("raw", name="wine", version="v7.0.1", notes="other")
    (_, one), (_, other) = manifests(project.root, EVERY[0])
    assert one["digest"] == other["digest"] == content_digest(other)
    assert one["record_digest"] != other["record_digest"]


def test_a_model_versions_digests_follow_from_its_manifest_alone(trained):
    for path, manifest in manifests(trained.root, EVERY[1]):
        assert path.parent == trained.root / version_folder(manifest)
        assert manifest["digest"] == content_digest(manifest)
        assert manifest["record_digest"] == record_digest(manifest)
        assert "dataset" not in manifest
        names = {one["path"].rpartition("/")[2] for one in manifest["files"]}
        assert {"metrics.json", "params.json"} < names
        assert not names & {"manifest.json", "model_card.md"}
        metrics = read_json(path.parent / "metrics.json")
        assert metrics == {"f1": 0.94, "loss": "NaN"}
        params = read_json(path.parent / "params.json")
        assert params == {"seed": {"v0.1.0": 1, "v0.2.0": 2}[manifest["version"]], "rate": 1e-05}


def test_the_files_hold_what_the_manifests_say(trained):
    for pattern in EVERY:
        for path, manifest in manifests(trained.root, pattern):
            for one in manifest["files"]:
                data = (trained.root / one["path"]).read_bytes()
                assert (sha256(data), len(data)) == (one["sha256"], one["size_bytes"])
                mode = stat.S_IMODE((trained.root / one["path"]).stat().st_mode)
                assert mode == 0o444
            listed = {one["path"] for one in manifest["files"]}
            present = {
                one.relative_to(trained.root).as_posix()
                for one in path.parent.rglob("*")
                if one.is_file() and one.name not in ("manifest.json", "model_card.md")
            }
            assert present == listed


def test_the_systems_own_tool_gets_the_same_hashes(trained):
    tool = [shutil.which("sha256sum")] if shutil.which("sha256sum") else None
    tool = tool or ([shutil.which("shasum"), "-a", "256"] if shutil.which("shasum") else None)
    if tool is None:
        pytest.skip("this machine has neither sha256sum nor shasum")
    for pattern in EVERY:
        for _, manifest in manifests(trained.root, pattern):
            text = "".join(f"{one['sha256']}  {one['path']}\n" for one in manifest["files"])
            done = subprocess.run(
                [*tool, "-c", "-"],
                check=False,
                input=text.encode(),
                capture_output=True,
                cwd=trained.root,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout.count(b": OK") == len(manifest["files"])


def test_the_registrys_chain_follows_from_its_file_alone(trained):
    registry = read_json(trained.root / "models/m/registry.json")
    links, head = chain(registry)
    assert [one["previous"] for one in registry["history"]] == links
    assert registry["head"] == head
    assert registry["revision"] == len(registry["history"])
    assert [one["revision"] for one in registry["history"]] == list(range(1, len(links) + 1))
    actions = [one["action"] for one in registry["history"]]
    assert actions == ["register", "register", "promote", "promote", "rollback", "comment"]
    assert len({one["op_id"] for one in registry["history"]}) == len(links)


def test_who_serves_follows_from_the_history_and_from_the_versions(trained):
    registry = read_json(trained.root / "models/m/registry.json")
    listed = {one["version"]: one["stage"] for one in registry["versions"]}
    assert listed == stages(registry) == {"v0.1.0": "production", "v0.2.0": "archived"}
    assert registry["history"][3]["displaced"] == "v0.1.0"
    assert registry["history"][4]["displaced"] == "v0.2.0"
    [said] = registry["versions"][1]["comments"]
    assert said["comment"] == "why?"


def test_the_registry_and_the_manifests_name_the_same_content(trained):
    registry = read_json(trained.root / "models/m/registry.json")
    by_version = {one["version"]: one for _, one in manifests(trained.root, EVERY[1])}
    for listed in registry["versions"]:
        manifest = by_version[listed["version"]]
        assert listed["digest"] == manifest["digest"]
        assert listed["run_id"] == manifest["run_id"]


def test_a_run_records_digest_follows_from_its_file_alone(trained):
    runs = sorted(trained.root.glob("runs/*.yaml"))
    assert len(runs) == 2
    [(_, snapshot)] = manifests(trained.root, EVERY[0])
    by_run = {one["run_id"]: one for _, one in manifests(trained.root, EVERY[1])}
    for path in runs:
        record = yaml.safe_load(path.read_bytes())
        assert record["run_id"] == path.stem
        assert record["record_digest"] == record_digest(record)
        assert record["data"] == [{"ref": "iris_v0.1", "digest": snapshot["digest"]}]
        assert record["data_snapshot"] == "iris_v0.1"
        assert record["outputs"]["model"] == "m"
        assert record["outputs"]["model_version"] == by_run[record["run_id"]]["version"]
        assert record["outputs"]["metrics"] == {"f1": 0.94, "loss": "NaN"}
        assert record["params"]["rate"] == 1e-05
        assert isinstance(record["env"]["python"], str)
        assert record["status"] == "finished"


def test_a_runs_lock_lies_under_its_own_hash(trained):
    for path in trained.root.glob("runs/*.yaml"):
        lock = yaml.safe_load(path.read_bytes())["env"]["requirements_lock"]
        data = (trained.root / "env/locks" / f"{lock.removeprefix('sha256:')}.lock").read_bytes()
        assert lock == "sha256:" + sha256(data)
        assert (trained.root / "env/requirements.lock").read_bytes() == data


def test_the_other_program_notices_what_was_changed(trained):
    # A reader that agrees with everything would prove nothing.
    [(_, manifest), *_] = manifests(trained.root, EVERY[0])
    assert record_digest(manifest | {"notes": "x"}) != manifest["record_digest"]
    files = [manifest["files"][0] | {"size_bytes": 77}, *manifest["files"][1:]]
    assert content_digest(manifest | {"files": files}) != manifest["digest"]
    registry = read_json(trained.root / "models/m/registry.json")
    registry["history"][1]["actor"] += "x"
    links, _ = chain(registry)
    assert [one["previous"] for one in registry["history"]] != links
