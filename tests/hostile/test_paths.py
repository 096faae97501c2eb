"""Paths that want out of their folder, in every spelling, and a sentinel that nothing may touch."""

from __future__ import annotations

import builtins
import contextlib
import io
import json
import os
import shutil

import pytest

from nbversion.errors import FormatError, InvalidInputError, NbversionError
from nbversion.formats.json_text import dump_json
from nbversion.formats.manifest import parse_manifest
from nbversion.formats.run_record import parse_run
from nbversion.project import Project

PREFIX = "data/snapshots/iris_v0.1/"
WHERE = f"{PREFIX}manifest.json"
A = "a" * 64
# Below their prefix these leave it, or have two spellings: refused.
LEAVING = (
    "", ".", "..", "/", "//", "../", "./", "../x", "../../x", "../../../../../../etc/passwd", "x/..",
    "x/../y", "x/../../y", "x/./y", "./x", "x/.", "x//y", "x/", "/x", "//x", "/etc/passwd",
    "//proc/self/root/etc/passwd", "/proc/self/cwd", "///x", "../iris_v0.2/iris.csv",
    "../iris_v0.1/iris.csv", "../../raw/iris.csv", "../../../models/clf/registry.json", "x#/../..",
    "x?/../..", "%2e%2e/../x", "~/../x", "..\\x", "..\\..\\x", "x\\..\\y", "\\x", "\\\\host\\share\\x",
    "C:\\x", "C:\\..\\x", "x\\", "\\", ".\\x", "a/b\\..\\..\\c", "\\\\?\\C:\\x", "\\\\.\\pipe\\x",
    "x\0", "\0", "../x\0.csv", "x\0/../y", "a/\0/b", "x/..\0", "..\0", "a/b/../../../c", "./../x",
    "x/.//y", "a/./../b", "sub/../../iris_v0.2/x", "//", "a//../b", "../.", "./.", "../..", ".//..",
    "iris.csv/", "iris.csv/.", "iris.csv/..", "sub/../iris.csv", "x/../", "x/./", "/../x", "/./x",
)  # fmt: skip
# These are odd names of files that stay where they are: harmless.
OPAQUE = (
    "%2e%2e", "%2e%2e%2fx", "%252e%252e%252fx", "..%2fx", "%2fetc%2fpasswd", "%00", "..%00",
    "%c0%ae%c0%ae%c0%afx", "\u00c0\u00ae\u00c0\u00ae", "\uff0e\uff0e", "\uff0e\uff0e\uff0fx",
    "\u2024\u2024/x", "\u2025/x", "\u2026", "..\u2215x", "..\u2044x", "\u29f5x", "\u2216x", "...",
    "....", ".../x", "..x", "x..", "..x/y", "x../y", "...%2f", ". ", ".. ", " ..", " .. /x", "x ", "x.",
    "x. ", "x./y", "~", "~root", "~/x", "$HOME", "$HOME/x", "${HOME}/x", "%USERPROFILE%", "`id`",
    "$(id)", "x;id", "x|id", "x&id", "-rf", "--help", "*", "?", "[a]", "{a,b}", "x#y", "x?y=1",
    "file:", "file:x", "http:", "data:x", "C:", "C:x", "c:x/y", "a:b", "x:$DATA", "x::$INDEX", "CON",
    "con", "NUL.csv", "aux/x", "COM1", "LPT9.txt", "PRN", ".git", ".git/config", ".GIT/config",
    "git~1", ".nbversion/lock", ".nbv-stage-0123456789abcdef", ".nbv-tmp-0", "manifest.json~",
    "MANIFEST.JSON", "Manifest.json", "sub/manifest.json", "x\n", "\n", "x\ty", "x\ry", "\x1b[2J",
    "\x7f", "\x01", "\x9b31m", "\u202egpj.exe", "\u200b", "\u200b..", "\ufeff", "\u2028", "\u00a0",
    "\u00a0..", "e\u0301", "\u00e9", "\u212a", "\U0001f600", "<script>", '"', "'", "x'y", 'x"y', "=1+1",
    "a" * 255, "/".join(["a"] * 500), "\u00fc" * 120, "x" * 4_000,
)  # fmt: skip
# Whole paths that do not begin with the version's own folder: refused.
ELSEWHERE = (
    "iris.csv", "data/snapshots/iris.csv", "data/snapshots/iris_v0.1", "data/snapshots/iris_v0.1iris.csv",
    "data/snapshots/iris_v0.10/x", "data/snapshots/iris_v0.2/iris.csv", "data/snapshots/iris_v0.1.0/x",
    "data/snapshots/Iris_v0.1/x", "data/snapshots/iris_V0.1/x", "DATA/snapshots/iris_v0.1/x",
    "data/Snapshots/iris_v0.1/x", "./data/snapshots/iris_v0.1/x", "/data/snapshots/iris_v0.1/x",
    "../data/snapshots/iris_v0.1/x", "data//snapshots/iris_v0.1/x", "data/./snapshots/iris_v0.1/x",
    "data/snapshots/../snapshots/iris_v0.1/x", "data\\snapshots\\iris_v0.1\\x",
    " data/snapshots/iris_v0.1/x",
    "data/snapshots/iris_v0.1 /x", "data/snapshots/iris_v0.1./x", "data/snapshots/other_v0.1/x",
    "data/snapshots/iris_v0.1\0/x", "data/snapshots%2firis_v0.1/x", "models/clf/v0.1.0/model.bin",
    "\ufeffdata/snapshots/iris_v0.1/x", "data/snapshots/\u0456ris_v0.1/x",
    "file:data/snapshots/iris_v0.1/x",
    "C:data/snapshots/iris_v0.1/x", "~/data/snapshots/iris_v0.1/x", "/etc/passwd", "", "..",
)  # fmt: skip


def manifest(path=f"{PREFIX}iris.csv", **values):
    record = {
        "dataset": "iris",
        "version": "v0.1",
        "files": [{"path": path, "size_bytes": 1, "sha256": A}],
        **values,
    }
    return json.dumps(record).encode()


def own_layout(path):
    """The same as the tool itself lays it out, which may be read by a shorter way."""
    return dump_json({**json.loads(manifest(path)), "notes": ""})


def test_the_corpus_is_as_large_as_it_is_meant_to_be(counted):
    assert len(LEAVING) + len(OPAQUE) + len(ELSEWHERE) >= 200
    counted("paths of the corpus", len(LEAVING) + len(OPAQUE) + len(ELSEWHERE))


@pytest.mark.parametrize("path", [*(f"{PREFIX}{one}" for one in LEAVING), *ELSEWHERE], ids=ascii)
def test_a_file_that_is_not_below_its_version_is_refused(path, readable):
    for folder in (PREFIX.rstrip("/"), ""):
        for data in (manifest(path), own_layout(path)):
            with pytest.raises(FormatError, match="'path' must be") as caught:
                parse_manifest(data, WHERE, folder)
            readable(caught.value, WHERE)


@pytest.mark.parametrize("path", LEAVING, ids=ascii)
def test_an_empty_folder_that_is_not_below_its_version_is_refused(path, readable):
    with pytest.raises(FormatError, match="'directories' must be") as caught:
        parse_manifest(manifest(directories=["fine", path]), WHERE, PREFIX.rstrip("/"))
    readable(caught.value, WHERE)


@pytest.mark.parametrize("path", OPAQUE, ids=lambda path: ascii(path)[:40])
def test_an_odd_name_is_kept_as_it_is_and_nothing_is_decoded(path):
    found = parse_manifest(
        manifest(f"{PREFIX}{path}", directories=[f"d/{path}"]), WHERE, PREFIX.rstrip("/")
    )
    assert [one.path for one in found.files] == [path]
    assert found.directories == (f"d/{path}",)
    assert parse_manifest(own_layout(f"{PREFIX}{path}"), WHERE, "").files == found.files
    joined = os.path.normpath(os.path.join("/r/data/snapshots/iris_v0.1", found.files[0].path))
    assert joined == f"/r/{PREFIX}{path}"


@pytest.fixture
def guard(root, outside, tree, secret, monkeypatch):
    """Fail when anything below the sentinel is opened, listed or changed, or its digest is shown."""
    content, digest = secret
    touched = []

    def watch(patch, module, name):
        real = getattr(module, name)

        def call(path, *arguments, **options):
            if isinstance(path, (str, bytes, os.PathLike)):
                plain = os.path.abspath(os.fsdecode(path))
                flags = [one for one in arguments if isinstance(one, int)]
                where = os.path.realpath(plain)
                if module is os and name == "open" and flags and flags[0] & os.O_NOFOLLOW:
                    where = f"{os.path.realpath(os.path.dirname(plain))}/{os.path.basename(plain)}"
                if where == str(outside) or where.startswith(f"{outside}/"):
                    touched.append((name, where))
            return real(path, *arguments, **options)

        patch.setattr(module, name, call)

    @contextlib.contextmanager
    def watched():
        said = []
        before = tree(outside)
        with monkeypatch.context() as patch:
            for name in ("open", "scandir", "listdir", "link", "chmod", "rename", "unlink"):
                watch(patch, os, name)
            watch(patch, builtins, "open")
            watch(patch, io, "open")
            yield said
        assert touched == []
        assert tree(outside) == before
        for text in said:
            assert digest not in text
            assert content.decode().strip() not in text

    return watched


def verbs(project, said, tmp_path, run_id):
    """Do everything that reads a text of ours; collect what is said."""
    places = iter(range(1000))

    def target():
        return tmp_path / f"restored-{next(places)}"

    calls = [
        project.verify,
        lambda: project.verify("iris_v0.1"),
        lambda: project.verify(run_id),
        lambda: project.verify("clf@production"),
        lambda: project.restore("iris_v0.1", target()),
        lambda: project.restore("clf@v0.1.0", target()),
        lambda: project.restore("clf@v0.3.0-dev.1", target()),
        lambda: project.data("iris_v0.1"),
        lambda: project.snapshot("data/raw/iris", version="v0.9"),
        lambda: project.snapshot("data/raw/iris"),
        lambda: project.load_model("clf", version="v0.1.0"),
        lambda: project.load_model("clf", version="v0.3.0-dev.1"),
        lambda: project.promote("clf", "v0.3.0-dev.1", "staging", as_version="v0.3.0"),
        lambda: project.promote("clf", "v0.1.0", "staging"),
        lambda: project.rollback("clf"),
        lambda: project.trace("iris_v0.1"),
        lambda: project.trace("clf@v0.1.0"),
        lambda: project.trace(run_id),
        lambda: project.trace("data/raw/iris/iris.csv"),
        project.lineage,
        lambda: project.lineage("iris_v0.1"),
        lambda: project.lineage(run_id),
        project.runs,
        project.registry,
        lambda: project.registry("clf"),
        project.status,
    ]
    done = 0
    for call in calls:
        try:
            found = call()
        except NbversionError as exc:
            said.append(exc.message)
        else:
            done += 1
            show = getattr(found, "_repr_html_", lambda: "")
            said += [repr(found), show(), str(getattr(found, "to_json", dict)())]
    return done


ESCAPES = ("../../../../outside", "{outside}", "../../../outside", "/proc/self/root{outside}")


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("base", [PREFIX, "models/clf/v0.1.0/", "models/clf/v0.3.0-dev.1/"])
def test_a_forged_manifest_reaches_nothing_outside(
    escape, base, full, root, outside, forge, guard, tmp_path, secret
):
    content, digest = secret

    def change(record):
        file = {"size_bytes": len(content), "sha256": digest}
        path = f"{base}{escape.format(outside=outside)}/secret.csv"
        record["files"].append({**file, "path": path})

    forge(f"{base}manifest.json", change)
    with guard() as said:
        # What does not stand on the forged version is done as ever.
        assert verbs(Project(root), said, tmp_path, full) > 8
    assert any("'path' must be" in text for text in said)


@pytest.mark.parametrize("key", ["artifacts", "files", "inputs"])
@pytest.mark.parametrize("escape", [*ESCAPES, "../../outside", "../outside"])
def test_a_forged_run_record_reaches_nothing_outside(
    key, escape, full, catalog, root, outside, guard, tmp_path, secret
):
    path = f"{escape.format(outside=outside)}/secret.csv"
    one = {"path": path, "size_bytes": len(secret[0]), "sha256": A, "how": "opened"}
    record = catalog.runs.load(full).to_json()
    record[key] = [one]
    del record["record_digest"], record["schema_version"]
    target = root / "runs" / f"{full}.yaml"
    target.chmod(0o644)
    target.write_text(json.dumps(record))
    with guard() as said:
        assert verbs(Project(root), said, tmp_path, full) > 8


@pytest.mark.parametrize("key", ["artifacts", "files"])
def test_an_artifact_that_leaves_the_project_is_refused(key, readable):
    for path in LEAVING:
        record = {"run_id": "2026-x-001", key: [{"path": path, "sha256": A, "size_bytes": 1}]}
        with pytest.raises(FormatError) as caught:
            parse_run(json.dumps(record).encode(), "runs/r.yaml", "2026-x-001")
        readable(caught.value, "runs/r.yaml")


NAMES = ("../../../outside", "..", ".", "", "/abs", "iris/../..", "a b", "CON", "iris\0", "x" * 65,
         "Iris", "iris_v0.1/..", "\u0456ris", "~", "$HOME", "a:b", "a\\b", "%2e%2e", "-rf")  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("key", ["dataset", "version", "model"])
def test_a_name_that_is_none_is_refused_in_a_manifest(key, name, readable):
    record = json.loads(manifest())
    if key == "model":
        del record["dataset"]
    record[key] = name
    with pytest.raises(FormatError) as caught:
        parse_manifest(json.dumps(record).encode(), WHERE, PREFIX.rstrip("/"))
    readable(caught.value, WHERE)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_references_in_a_run_record_reach_nothing_outside(
    name, full, catalog, root, guard, tmp_path
):
    record = catalog.runs.load(full).to_json()
    for ref in (name, f"{name}_v0.1", f"iris_{name}", f"../{name}"):
        record["data"] = [{"ref": ref or "x", "digest": None}]
        record["eval_data"] = [{"ref": ref or "x", "digest": "sha256:" + A}]
        record["outputs"] = {
            "model": name,
            "model_version": ref,
            "snapshots": [{"ref": ref or "x"}],
        }
        record["env"] = {"requirements_lock": f"sha256:../../{name}"}
        record.pop("record_digest", None)
        target = root / "runs" / f"{full}.yaml"
        target.chmod(0o644)
        target.write_text(json.dumps(record))
        with guard() as said:
            assert verbs(Project(root), said, tmp_path, full) > 8
        shutil.rmtree(root / "data/snapshots/iris_v0.9", ignore_errors=True)


@pytest.mark.parametrize("name", ["../../../outside", "..", "../clf", "/abs", "a/b", ""])
def test_references_in_a_registry_and_a_manifest_reach_nothing_outside(
    name, full, root, guard, forge, tmp_path
):
    def change(record):
        record["run_id"] = f"{name}/secret"
        record["parent"] = f"{name}_v0.1"
        record["source"] = name

    forge(f"{PREFIX}manifest.json", change)
    forge("models/clf/v0.1.0/manifest.json", change)
    text = (root / "models/clf/registry.json").read_text()
    record = json.loads(text)
    for one in record["versions"]:
        one["run_id"], one["derived_from"] = name, name
    (root / "models/clf/registry.json").write_text(json.dumps(record))
    with guard() as said:
        assert verbs(Project(root), said, tmp_path, full) > 8


@pytest.mark.parametrize(
    "what",
    [
        "file",
        "version",
        "folder",
        "artifacts",
        "manifest",
        "run",
    ],
)
def test_a_planted_link_is_found_and_not_read_through(
    what, full, root, outside, guard, tmp_path, secret
):
    """What a link leads to is not the project's: it is neither hashed, listed nor copied."""
    place = {
        "file": f"{PREFIX}iris.csv",
        "folder": f"{PREFIX}sub",
        "version": PREFIX.rstrip("/"),
        "manifest": f"{PREFIX}manifest.json",
        "run": f"runs/{full}.yaml",
        "artifacts": f"runs/{full}/artifacts",
    }[what]
    (outside / "more.csv").write_bytes(b"more\n")
    (outside / "plot.svg").write_bytes(b"<svg/>")
    target = root / place
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    aim = outside if what in ("folder", "version", "artifacts") else outside / "secret.csv"
    target.symlink_to(aim)
    project = Project(root)
    with guard() as said:
        verbs(project, said, tmp_path, full)
    assert not project.verify().holds


def test_a_reference_that_is_a_path_reads_only_that_file(full, project, outside, readable):
    for text in ("../outside/secret.csv", str(outside / "secret.csv")):
        with pytest.raises(NbversionError) as caught:
            project.trace(text)
        readable(caught.value)
    for text in ("data:../outside", "model:../../outside", "run:../../outside/secret", "iris@../x"):
        with pytest.raises((InvalidInputError, NbversionError)) as caught:
            project.verify(text)
        readable(caught.value)
