"""A disk without space or inodes, one that is read-only, and the limits of a process."""

from __future__ import annotations

import os
import subprocess

import pytest

ROUNDS, ROUNDS_AT_NIGHT = 10, 200


@pytest.fixture(scope="session")
def own_mounts():
    """What to put before a command so that it can mount disks which end with it."""
    tried = []
    for words in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        try:
            done = subprocess.run(
                [*words, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        except FileNotFoundError as exc:
            tried.append(str(exc))
            continue
        if done.returncode == 0:
            return words
        tried.append(done.stderr.strip())
    reason = f"no disk of a size of its own can be mounted here: {'; '.join(tried)}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize("kind", ["bytes", "inodes"])
@pytest.mark.parametrize("scene", ["first snapshot", "register", "promote"])
def test_on_a_full_disk_nothing_is_lost_and_with_space_the_same_command_succeeds(
    scene, kind, own_mounts, suffer, count, nightly
):
    rounds = ROUNDS_AT_NIGHT if nightly else ROUNDS
    found = suffer("full_disks.py", scene, kind, str(rounds), before=own_mounts, timeout=1000)
    assert found["wrong"] == []
    assert found["refused"] > rounds // 2
    count(f"rounds on a disk without {kind}", found["rounds"])


def test_a_file_that_may_not_grow_is_one_plain_error(suffer):
    found = suffer("limits.py", "file size")
    assert found["wrong"] == []
    (said,) = found["said"]
    assert said.startswith("StorageError: cannot write ")
    assert "File too large" in said


def test_at_any_number_of_open_files_a_snapshot_is_made_or_refused_in_one_line(suffer):
    found = suffer("limits.py", "open files")
    assert found["wrong"] == []
    *refused, last = found["said"]
    assert last == "done"
    assert len(refused) > 2
    assert [one for one in refused if not one.startswith("StorageError: ")] == []
    assert [one for one in refused if "Too many open files" not in one] == []


@pytest.mark.parametrize("how", ["remounted", "bound"])
def test_a_read_only_disk_is_verified_and_read_without_a_write(how, own_mounts, suffer):
    found = suffer("limits.py", how, before=own_mounts)
    assert found["wrong"] == []
    assert found["looked"]["data"] == "a,b\n1,2\n"
    assert found["looked"]["restored"] == 5
    assert found["looked"]["status"] == 1
    assert found["runs"] > 0
    assert len(found["said"]) == 3
    assert all(one.startswith("StorageError: cannot write ") for one in found["said"])
    assert all("Read-only file system" in one for one in found["said"])


def test_the_longest_name_is_frozen_and_restored(project, root):
    source = root / "data" / "raw" / "long"
    source.mkdir(parents=True)
    name = "n" * 255
    (source / name).write_bytes(b"x")
    made = project.snapshot(source)
    assert (made.path / name).read_bytes() == b"x"
    assert (project.restore("long", root / "back").path / name).read_bytes() == b"x"
    assert project.verify().holds


def test_a_path_that_is_too_long_for_the_store_leaves_nothing(project, root):
    project.snapshot(_file(root / "first.csv"))
    source = root / "long"
    here = os.open(root, os.O_RDONLY)
    try:
        # Deeper than any path from the root can name.
        os.mkdir("long", dir_fd=here)
        for _ in range(40):
            below = os.open("long" if _ == 0 else "d" * 100, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
            os.mkdir("d" * 100, dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    with pytest.raises(Exception, match="too long") as caught:
        project.snapshot(source)
    assert type(caught.value).__name__ == "StorageError"
    assert [one for one in os.listdir(root / "data/snapshots") if one.startswith(".nbv-")] == []
    assert project.verify().holds
    assert project.snapshot(_file(root / "second.csv")).created


def _file(path):
    path.write_bytes(b"a\n")
    return path
