from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from nbversion.capture import packages as module
from nbversion.capture.environment import read_environment
from nbversion.capture.git import GitState

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "ab" * 32


def key_of(site):
    """Return the key under which the list of packages is cached."""
    return json.loads(read_environment(search_path=site)[1])["key"]


def pins(environment):
    return [line for line in environment.lock_text.splitlines() if not line.startswith("#")]


def make_repo(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text("[project]\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        command = ["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments]
        subprocess.run(command, cwd=folder, check=True)
    head = ["git", "rev-parse", "HEAD"]
    return subprocess.run(head, cwd=folder, check=True, capture_output=True).stdout.decode().strip()


def test_names_are_normalised_and_sorted(tmp_path, install, read):
    install(tmp_path, "Zope.Interface", "2.0")
    install(tmp_path, "a__b-C", "1.0+local")
    environment = read(tmp_path)
    assert pins(environment) == ["a-b-c==1.0+local", "zope-interface==2.0"]
    assert [one.source for one in environment.packages] == [None, None]
    assert environment.warnings == ()


def test_the_lock_is_the_same_for_any_order_of_folders_and_without_uv(
    tmp_path, install, read, monkeypatch
):
    for number in range(6):
        install(tmp_path / str(number % 2), f"p{number}", "1")
    one = read(tmp_path / "0", tmp_path / "1")
    monkeypatch.setenv("PATH", "")
    other = read(tmp_path / "1", tmp_path / "0")
    assert (one.lock_text, one.fingerprint) == (other.lock_text, other.fingerprint)
    assert one.lock_text.endswith("p5==1\n")
    assert not one.lock_text.endswith("\n\n")
    assert "\r" not in one.lock_text
    assert f"cpython {one.python}" in one.lock_text.partition("\np0")[0]


def test_the_fingerprint_follows_version_and_source(tmp_path, install, read):
    install(tmp_path / "a", "p", "1")
    install(tmp_path / "b", "p", "2")
    origin = {"url": "https://h/p.whl", "archive_info": {}}
    install(tmp_path / "c", "p", "1", origin)
    found = {read(tmp_path / site).fingerprint for site in "abc"}
    assert len(found) == 3
    assert all(len(one) == 71 and one.startswith("sha256:") for one in found)


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (
            {"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"git+https://h/x.git@{COMMIT}",
        ),
        (
            {
                "url": "https://me:s3cret@h:8443/x",
                "vcs_info": {"vcs": "git", "commit_id": COMMIT},
                "subdirectory": "py pkg",
            },
            f"git+https://h:8443/x@{COMMIT}#subdirectory=py%20pkg",
        ),
        (
            {"url": "ssh://git:s3cret@h/x", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"git+ssh://git@h/x@{COMMIT}",
        ),
        (
            {"url": "git@h:o/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"git+ssh://git@h/o/x.git@{COMMIT}",
        ),
        ({"url": "https://s3cret@h/p.whl", "archive_info": {}}, "https://h/p.whl"),
        (
            {"url": "file:///w/p.whl", "archive_info": {"hashes": {"sha256": SHA}}},
            f"file:///w/p.whl#sha256={SHA}",
        ),
        (
            {"url": "file:///w/p.whl", "archive_info": {"hash": f"sha256={SHA}"}},
            f"file:///w/p.whl#sha256={SHA}",
        ),
        ({"url": "file:///src/p", "dir_info": {}}, "file:///src/p"),
        (
            {"url": "file:///a b\n-e evil/${HOME}", "dir_info": {"editable": False}},
            "file:///a%20b-e%20evil/$%7BHOME%7D",
        ),
    ],
)
def test_where_a_package_came_from(tmp_path, install, read, origin, source):
    install(tmp_path, "p", "1", origin)
    environment = read(tmp_path)
    assert environment.packages[0].source == source
    assert pins(environment) == [f"p @ {source}"]
    assert "s3cret" not in repr(environment)
    assert environment.warnings == ()


def test_a_query_is_left_out_with_a_sentence(tmp_path, install):
    install(tmp_path, "p", "1", {"url": "https://h/p.whl?sig=s3cret#t=s3cret", "archive_info": {}})
    environment, cache = read_environment(search_path=[str(tmp_path)])
    assert environment.packages[0].url == "https://h/p.whl"
    assert "can hold a token" in environment.warnings[0]
    assert "s3cret" not in repr(environment) + cache


@pytest.mark.parametrize(
    "origin",
    [
        "not json",
        "[" * 100_000,
        "[]",
        "{}",
        '{"url": 3, "archive_info": {}}',
        '{"url": "https://[h", "archive_info": {}}',
        '{"url": "https://h"}',
        '{"url": "https://h/x", "vcs_info": {"vcs": "git", "commit_id": "x\\n-e ."}}',
        '{"url": "https://h/x", "vcs_info": {"vcs": "git"}}',
        '{"url": "https://h/x", "dir_info": 1}',
    ],
)
def test_an_unreadable_origin_is_not_called_an_index_install(tmp_path, install, read, origin):
    install(tmp_path, "p", "1", origin)
    environment = read(tmp_path)
    package = environment.packages[0]
    assert (package.kind, package.source) == ("unknown", "unknown")
    assert "where it came from is not known" in environment.warnings[0]
    assert pins(environment) == ["p==1"]


def test_a_conda_build_path_is_not_a_source(tmp_path, install, read):
    origin = {"url": "file:///home/conda/feedstock_root/work", "dir_info": {}}
    install(tmp_path, "p", "1", origin, installer="conda")
    assert read(tmp_path).packages[0].source is None


def test_an_editable_install_has_the_state_of_its_checkout_now(tmp_path, install):
    commit = make_repo(tmp_path / "my src")
    origin = {"url": (tmp_path / "my src").as_uri(), "dir_info": {"editable": True}}
    install(tmp_path / "site", "p", "1", origin)
    site = [str(tmp_path / "site")]
    clean, cache = read_environment(search_path=site)
    assert (clean.packages[0].commit, clean.packages[0].dirty) == (commit, False)
    assert f"{origin['url']} commit={commit} dirty=false" in clean.packages[0].source
    assert f"# editable: p==1  {origin['url']}  commit={commit} dirty=false" in clean.lock_text
    assert pins(clean) == [f"-e {origin['url']}"]

    key = key_of(site)
    (tmp_path / "my src/new.py").write_text("")
    dirty, again = read_environment(cache, search_path=site)
    assert (key_of(site), again) == (key, cache)
    assert dirty.packages[0].dirty is True
    assert dirty.fingerprint != clean.fingerprint
    assert commit not in cache


def test_the_caller_can_excuse_files_and_one_checkout_is_asked_once(tmp_path, install, read):
    make_repo(tmp_path / "mono")
    for name in ("a", "b"):
        (tmp_path / "mono" / name).mkdir()
        url = (tmp_path / "mono" / name).as_uri()
        install(tmp_path / "site", name, "1", {"url": url, "dir_info": {"editable": True}})
    asked = []

    def git_state(top):
        asked.append(top)
        return GitState(commit=COMMIT, branch=None, dirty=None, changed=(), warnings=("Odd.",))

    environment = read(tmp_path / "site", git_state=git_state)
    assert asked == [(tmp_path / "mono").resolve()]
    assert [(one.commit, one.dirty) for one in environment.packages] == [(COMMIT, None)] * 2
    assert environment.warnings == ("a is editable: Odd.", "b is editable: Odd.")


@pytest.mark.parametrize("there", [True, False])
def test_an_editable_install_without_git(tmp_path, install, read, there):
    if there:
        (tmp_path / "src").mkdir()
    origin = {"url": (tmp_path / "src").as_uri(), "dir_info": {"editable": True}}
    install(tmp_path / "site", "p", "1", origin)
    environment = read(tmp_path / "site")
    assert environment.packages[0].source.endswith("commit=unknown dirty=unknown")
    assert ("not in a git" if there else "is not there") in environment.warnings[0]


def test_the_first_of_two_versions_wins_with_a_sentence(tmp_path, install, read):
    install(tmp_path / "a", "p_q", "1")
    install(tmp_path / "b", "P-Q", "2")
    environment = read(tmp_path / "a", tmp_path / "b")
    assert pins(environment) == ["p-q==1"]
    assert "p-q 1 (and 2)" in environment.warnings[0]
    assert pins(read(tmp_path / "b", tmp_path / "a")) == ["p-q==2"]


def test_the_newer_of_two_in_one_folder_wins(tmp_path, install, read):
    os.utime(install(tmp_path, "p", "1"), (2000, 2000))
    os.utime(install(tmp_path, "p", "2"), (1000, 1000))
    environment = read(tmp_path)
    assert pins(environment) == ["p==1"]
    assert len(environment.warnings) == 1


def test_one_folder_listed_twice_is_no_duplicate(tmp_path, install, read):
    install(tmp_path / "lib", "p", "1")
    (tmp_path / "lib64").symlink_to("lib")
    environment = read(tmp_path / "lib", tmp_path / "lib64", tmp_path / "lib")
    assert environment.warnings == ()


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "Name: p\n\nVersion: 1\n",
        "Version: 1\n",
        "Name: p\nVersion:\n",
        "Name: p\nVersion: 1 --index-url=http://evil\n",
        "Name: -e .\nVersion: 1\n",
        "\x00\x01",
    ],
)
def test_broken_metadata_is_passed_over_with_a_sentence(tmp_path, install, read, metadata):
    install(tmp_path, "broken", "9", metadata=metadata)
    install(tmp_path, "good", "1")
    (tmp_path / "~umpy-1.0.dist-info").mkdir()
    (tmp_path / "gone.dist-info").symlink_to("nowhere")
    environment = read(tmp_path)
    assert pins(environment) == ["good==1"]
    assert len(environment.warnings) == 3
    assert "broken-9.dist-info" in "".join(environment.warnings)


def test_headers_far_down_and_other_line_ends(tmp_path, install, read):
    far = "".join(f"Classifier: {number}\r\n" for number in range(500))
    install(tmp_path, "far", "1", metadata=f"{far}NAME: far\r\nversion: 1\r\n\r\nVersion: 2\r\n")
    cut = f"Name: cut\n{'X' * 2020}: 1\nVersion: 1.2.3\n\n"
    install(tmp_path, "cut", "1.2.3", metadata=cut)
    assert pins(read(tmp_path)) == ["cut==1.2.3", "far==1"]


def test_legacy_metadata(tmp_path, install, read):
    site = tmp_path / "site-packages"
    install(site, "folder", "1", suffix=".egg-info")
    (site / "file-2.egg-info").write_text("Metadata-Version: 1.0\nName: file\nVersion: 2\n")
    commit = make_repo(tmp_path / "src")
    install(tmp_path / "src", "linked", "3", suffix=".egg-info").rename(
        tmp_path / "src/linked.egg-info"
    )
    (site / "linked.egg-link").write_text(f"{tmp_path / 'src'}\n.")
    (site / "dangling.egg-link").write_text("/no/such/folder\n.")
    environment = read(site, tmp_path / "src")
    url = (tmp_path / "src").as_uri()
    assert pins(environment) == ["file==2", "folder==1", f"-e {url}"]
    assert environment.packages[2].commit == commit
    assert len(environment.warnings) == 1
    assert "dangling.egg-link" in environment.warnings[0]


def test_sources_beside_their_egg_info_are_editable_and_seen_once(tmp_path, install, read):
    make_repo(tmp_path / "proj")
    install(tmp_path / "proj/src", "p", "1", suffix=".egg-info")
    origin = {"url": (tmp_path / "proj").as_uri(), "dir_info": {"editable": True}}
    install(tmp_path / "site-packages", "p", "1", origin)
    folders = [tmp_path / "proj/src", tmp_path / "site-packages"]
    environment = read(*folders)
    assert pins(environment) == [f"-e {origin['url']}"]
    assert environment.warnings == ()
    assert read(*reversed(folders)).fingerprint == environment.fingerprint


def test_folders_that_hold_nothing_are_passed_over(tmp_path, read, monkeypatch):
    (tmp_path / "lib.zip").write_text("")
    environment = read(tmp_path / "none", tmp_path / "lib.zip", "/bad\0name")
    assert environment.packages == ()
    assert [line[0] for line in environment.lock_text.splitlines()] == ["#"] * 3


def test_a_cache_is_used_only_for_its_key(tmp_path, install, monkeypatch):
    site = [str(tmp_path)]
    install(tmp_path, "p", "1")
    install(tmp_path, "broken", "1", metadata="")
    cold, cache = read_environment(search_path=site)
    assert "\n" not in cache
    with monkeypatch.context() as patch:
        patch.setattr(module, "_read_package", None)
        assert read_environment(cache, search_path=site) == (cold, cache)
    install(tmp_path, "q", "1")
    new, newer = read_environment(cache, search_path=site)
    assert pins(new) == ["p==1", "q==1"]
    assert newer != cache


def test_the_key_follows_install_reinstall_and_removal(tmp_path, install):
    site = [str(tmp_path)]
    keys = [key_of(site)]
    folder = install(tmp_path, "p", "1")
    keys.append(key_of(site))
    (tmp_path / "p").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert key_of(site) == keys[-1]
    os.utime(folder, (1, 1))
    keys.append(key_of(site))
    shutil.rmtree(folder)
    assert len(set(keys)) == 3
    assert key_of(site) == keys[0]


@pytest.mark.parametrize("damage", ["", "null", "[]", "{}", "[" * 100_000, "kind", "name", "short"])
def test_a_damaged_cache_is_disregarded(tmp_path, install, damage):
    site = [str(tmp_path)]
    install(tmp_path, "p", "1")
    cold, cache = read_environment(search_path=site)
    damaged = {
        "kind": cache.replace('"index"', '"editable"'),
        "name": cache.replace('"p"', '"p\\n-e evil"'),
        "short": cache.replace(",null]", "]"),
    }.get(damage, damage)
    assert damaged != cache
    assert read_environment(damaged, search_path=site) == (cold, cache)
