"""What a tracked cell registers and freezes."""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys

import pytest

import nbversion
from nbversion.capture import serializers
from nbversion.errors import IntegrityError, NbversionError


def elsewhere(root, code):
    """Run code in a process that never saw the notebook and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", f"import nbversion\n{code}"],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def files(shell, reference="m/v0.1.0-dev.1"):
    return sorted(os.listdir(shell.root / "models" / reference))


EVERYTHING = ["manifest.json", "metrics.json", "model.pkl", "model_card.md", "params.json"]


def test_a_model_of_a_library_loads_in_another_process(shell):
    body = "from sklearn.dummy import DummyClassifier\nclf = DummyClassifier().fit([[0]] * 3, [1, 1, 0])"
    record = shell.tracked(body + "\nf1 = 0.5\nseed = 3", "--metrics f1 --model m=clf")
    assert record.model_reference == ("m", "v0.1.0-dev.1")
    assert files(shell) == EVERYTHING
    folder = shell.root / "models/m/v0.1.0-dev.1"
    assert json.loads((folder / "metrics.json").read_text()) == {"f1": 0.5}
    assert json.loads((folder / "params.json").read_text()) == {"seed": 3}
    code = "print(nbversion.load_model('m', version='v0.1.0-dev.1').predict([[5]]))"
    assert elsewhere(shell.root, code) == "[1]"


def test_what_the_notebook_defined_loads_in_another_process(shell):
    shell.value("FACTOR = 3\ndef helper(x):\n    return x * FACTOR")
    body = "class Model:\n    def predict(self, x):\n        return helper(x)\nmodel = Model()"
    shell.tracked(body, "--model m=model")
    code = "print(nbversion.load_model('m', version='v0.1.0-dev.1').predict(2))"
    assert elsewhere(shell.root, code) == "6"


def test_a_file_is_taken_as_it_is_with_its_suffix(shell):
    body = "from pathlib import Path\nPath('net.tar.gz').write_bytes(b'bytes');"
    shell.tracked(body, "--model m=net.tar.gz")
    assert "model.tar.gz" in files(shell)
    assert (shell.root / "models/m/v0.1.0-dev.1/model.tar.gz").read_bytes() == b"bytes"


@pytest.mark.parametrize(
    "value", ["'out/net.bin'", "Path('out/net.bin')", "Path('out/net.bin').resolve()"]
)
def test_a_variable_that_holds_a_path_stands_for_the_file(shell, value):
    body = (
        "from pathlib import Path\nPath('out').mkdir()\nPath('out/net.bin').write_bytes(b'bytes')\n"
    )
    shell.tracked(f"{body}net = {value}", "--model m=net")
    assert (shell.root / "models/m/v0.1.0-dev.1/model.bin").read_bytes() == b"bytes"


def test_a_folder_is_taken_with_everything_in_it(shell):
    (shell.root / "saved/sub").mkdir(parents=True)
    (shell.root / "saved/config.json").write_text("{}")
    (shell.root / "saved/sub/weights").write_text("w")
    shell.tracked("x = 1", "--model m=./saved")
    folder = shell.root / "models/m/v0.1.0-dev.1/model"
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "sub/weights").read_text() == "w"
    error = shell.error("import nbversion\nnbversion.load_model('m', version='v0.1.0-dev.1')")
    assert "%restore" in str(error)


@pytest.mark.parametrize(
    "value", ["'gone.bin'", "'x' * 5000", "__import__('pathlib').Path('gone')"]
)
def test_a_path_where_nothing_is_registers_nothing(shell, value):
    error = shell.error(f"%%trackrun a --model m=net\nnet = {value}")
    assert "there is no file" in str(error)
    assert (shell.record.status, shell.record.outputs["model"]) == ("finished", None)
    assert shell.project.catalog.registrar.models() == []


@pytest.mark.parametrize(
    "option", ["--model m=gone", "--model m=out/gone.bin", "--metrics gone --model m=x"]
)
def test_what_is_missing_afterwards_keeps_the_run_and_registers_nothing(shell, capsys, option):
    error = shell.error(f"%%trackrun a {option}\nx = {{}}")
    assert "gone" in str(error)
    assert str(error).endswith("is kept; nothing was registered.")
    assert "Traceback" not in capsys.readouterr().out
    assert shell.record.status == "finished"
    assert any("gone" in one for one in shell.record.warnings)
    assert shell.project.catalog.registrar.models() == []


@pytest.mark.parametrize("option", ["--model m", "--model =x", "--output x", "--model Bad!=x"])
def test_a_pair_that_is_none_is_refused_before_the_cell_runs(shell, option):
    before = shell.written()
    error = shell.error(f"%%trackrun a {option}\nran = 1")
    assert isinstance(error, NbversionError)
    assert "ran" not in shell.space
    assert shell.written() == before


def test_what_cannot_be_saved_keeps_the_run_and_registers_nothing(shell):
    error = shell.error(
        "%%trackrun a --model m=net\nimport threading\nnet = threading.Lock()\nseed = 1"
    )
    assert "cannot be saved by pickle" in str(error)
    assert shell.record.params == {"seed": 1}
    assert shell.project.catalog.registrar.models() == []


def test_a_registered_serializer_is_used_for_subclasses_too(shell, monkeypatch):
    monkeypatch.setattr(serializers, "_BY_TYPE", {})
    monkeypatch.setattr(serializers, "_LOADERS", dict(serializers._LOADERS))
    nbversion.register_serializer(
        "collections.Counter",
        nbversion.Serializer(
            name="counter",
            suffix=".json",
            dump=lambda value: json.dumps(value).encode(),
            load=lambda data: collections.Counter(json.loads(data)),
        ),
    )
    shell.tracked(
        "import collections\nclass T(collections.Counter): pass\nt = T('aab')", "--model m=t"
    )
    assert "model.json" in files(shell)
    loaded = nbversion.load_model("m", version="v0.1.0-dev.1")
    assert loaded == {"a": 2, "b": 1}


def test_flipped_bytes_are_refused_before_they_are_loaded(shell):
    body = """
import os
class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)
trap = Trap()
"""
    shell.tracked(body, "--model m=trap")
    path = shell.root / "models/m/v0.1.0-dev.1/model.pkl"
    data = path.read_bytes()
    os.chmod(path, 0o644)
    # A pickle ends at its stop: what follows changes the digest, not what would be loaded.
    path.write_bytes(data[:-1] + b"." + b"x")
    with pytest.raises(IntegrityError):
        nbversion.load_model("m", version="v0.1.0-dev.1")
    assert not (shell.root / "sprung").exists()
    path.write_bytes(data)
    nbversion.load_model("m", version="v0.1.0-dev.1")
    assert (shell.root / "sprung").is_dir()


def test_versions_count_up_and_a_release_is_what_was_asked_for(shell):
    versions = [
        shell.tracked("x = {}", f"--model m=x {option}").outputs["model_version"]
        for option in ("", "", "--version v0.1.0", "", "--version v1.0.0-rc.1")
    ]
    assert versions == ["v0.1.0-dev.1", "v0.1.0-dev.2", "v0.1.0", "v0.2.0-dev.1", "v1.0.0-rc.1"]
    stages = {one.stage for one in shell.project.catalog.registrar.load("m").versions}
    assert stages == {"dev"}


@pytest.mark.parametrize("version", ["v0.1.0-dev.1", "v1", "0.1.0", "v0.1.0-dev.1+x"])
def test_a_version_that_is_used_or_none_is_refused_before_the_cell_runs(shell, version):
    shell.tracked("x = {}", "--model m=x")
    before = shell.written()
    error = shell.error(f"%%trackrun a --model m=x --version {version}\nran = 1")
    assert isinstance(error, NbversionError)
    assert "ran" not in shell.space
    assert shell.written() == before


def test_a_version_without_a_model_is_refused_before_the_cell_runs(shell):
    error = shell.error("%%trackrun a --version v1.0.0\nran = 1")
    assert "--version belongs to --model" in str(error)
    assert "ran" not in shell.space
    assert shell.records == []


def test_data_that_does_not_hold_stops_the_cell_before_it_runs(shell, data):
    os.chmod(data, 0o644)
    data.write_text("a,b\n1,3\n")
    before = shell.written()
    error = shell.error("%%trackrun a --data iris_v0.1\nran = 1")
    assert isinstance(error, IntegrityError)
    assert "ran" not in shell.space
    assert shell.written() == before


def test_an_output_is_a_snapshot_that_names_the_run(shell, data):
    body = "from pathlib import Path\nPath('f.csv').write_text('z');"
    record = shell.tracked(body, "--data iris_v0.1 --output features=f.csv")
    (made,) = record.outputs["snapshots"]
    assert made["ref"] == "features_v0.1"
    frozen = shell.project.catalog.snapshots.load("features", "v0.1")
    assert frozen.manifest.run_id == record.run_id
    assert made["digest"] == frozen.manifest.digest


def test_an_output_that_is_not_there_keeps_the_run(shell):
    error = shell.error("%%trackrun a --output features=gone.csv\nseed = 1")
    assert "is not there" in str(error)
    assert shell.record.params == {"seed": 1}
    assert shell.record.outputs["snapshots"] == []


def test_a_failed_cell_freezes_and_registers_nothing(shell):
    (shell.root / "f.csv").write_text("z")
    shell.error("%%trackrun a --output features=f.csv --artifact f.csv --model m=x\nx = {}\n1/0")
    assert shell.record.outputs["snapshots"] == []
    assert shell.record.artifacts == ()
    assert shell.project.catalog.registrar.models() == []
    assert shell.project.catalog.snapshots.references() == []


def test_lineage_leads_from_the_data_over_both_runs_to_the_model(shell, data):
    body = "from pathlib import Path\nPath('f.csv').write_text('z');"
    first = shell.tracked(body, "--data iris_v0.1 --output features=f.csv")
    second = shell.tracked(
        "import nbversion\nnbversion.data('features_v0.1')\nx = {}", "--model m=x"
    )
    assert [one["ref"] for one in second.data] == ["features_v0.1"]
    text = str(shell.value("%lineage m@latest"))
    for name in ("iris_v0.1", first.run_id, "features_v0.1", second.run_id, "v0.1.0-dev.1"):
        assert name in text
    assert shell.value("%verify m@latest").holds
    os.chmod(data, 0o644)
    data.write_text("a,b\n1,3\n")
    assert not shell.value("%verify m@latest").holds


def test_data_taken_in_the_cell_is_named_once(shell, data):
    body = "import nbversion\nnbversion.data('iris_v0.1')\nnbversion.data('iris@latest');"
    assert [one["ref"] for one in shell.tracked(body).data] == ["iris_v0.1"]
    assert [one["ref"] for one in shell.tracked(body, "--data iris").data] == ["iris_v0.1"]


def test_a_lost_registry_is_not_hidden_by_a_new_one(shell):
    shell.tracked("clf = [1]", "--model m=clf --version v0.1.0")
    registry = shell.root / "models" / "m" / "registry.json"
    text = registry.read_bytes()
    registry.unlink()
    error = shell.error("%%trackrun a --model m=clf\nclf = [2]\nran = True")
    assert "models/m/registry.json is gone, but m v0.1.0 was registered in it" in str(error)
    assert "ran" not in shell.space
    assert not registry.exists()
    registry.write_bytes(text)
    shell.tracked("clf = [2]", "--model m=clf")
    assert len(shell.project.catalog.registrar.load("m").versions) == 2


def test_a_version_whose_run_died_before_registering_does_not_stand_in_the_way(shell):
    shell.tracked("clf = [1]", "--model m=clf")
    (shell.root / "models" / "m" / "registry.json").unlink()
    shutil.rmtree(shell.root / ".nbversion")
    (record,) = (shell.root / "runs").glob("*.yaml")
    record.chmod(0o644)
    record.write_text(
        record.read_text()
        .replace('status: "finished"', 'status: "lost"')
        .replace('model: "m", model_version: "v0.1.0-dev.1"', "model: null, model_version: null")
    )
    shell.tracked("clf = [2]", "--model m=clf")
    (one,) = shell.project.catalog.registrar.load("m").versions
    assert one.version == "v0.1.0-dev.2"
