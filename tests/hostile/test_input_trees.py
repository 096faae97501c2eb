"""Trees that change, mislead or break while they are frozen: whole versions or none, and no trace."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from functools import partial

import pytest

from nbversion import syscalls
from nbversion.disk import Disk, is_leftover
from nbversion.errors import ConflictError, InvalidInputError, NbversionError, StorageError
from nbversion.project import Project

BIG = 3 << 20
WRITERS = ("write", "writev", "pwrite", "sendfile", "copy_file_range", "splice")


class Hooked(Disk):
    """Calls `act` before the first writing primitive of that name."""

    __slots__ = ("act", "at")

    def __init__(self, at, act):
        super().__init__()
        self.at, self.act = at, act

    def step(self, primitive, path):
        if primitive in self.at and self.act is not None and "snapshots" in str(path):
            act, self.act = self.act, None
            act()


@pytest.fixture
def while_copied(monkeypatch):
    """Do something each time that bytes are written, as often as asked."""

    def arm(act, times=1):
        left = [times]

        def watch(module, name):
            real = getattr(module, name)

            def call(*arguments, **options):
                found = real(*arguments, **options)
                if left[0]:
                    left[0] -= 1
                    act()
                return found

            monkeypatch.setattr(module, name, call)

        for name in WRITERS:
            if hasattr(os, name):
                watch(os, name)
        if hasattr(syscalls, "clone"):
            watch(syscalls, "clone")
        return left

    return arm


@pytest.fixture
def untouched(root, tree):
    """Check that a failed snapshot left nothing behind and the source as it was."""

    def check(before=None, source="data/raw"):
        snapshots = root / "data/snapshots"
        left = [one for one in (*root.glob("*"), *snapshots.glob("*")) if is_leftover(one.name)]
        assert left == []
        folders = [one.name for one in snapshots.iterdir()] if snapshots.exists() else []
        assert not [name for name in folders if not name.startswith(".git")]
        if before is not None:
            assert tree(root / source) == before

    return check


def rewrite(path):
    path.write_bytes(b"b" * path.stat().st_size)


def rewrite_keeping_times(path):
    facts = path.stat()
    path.write_bytes(b"b" * facts.st_size)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def grow(path):
    with path.open("ab") as handle:
        handle.write(b"b" * 100_000)


def shrink(path):
    os.truncate(path, path.stat().st_size // 2)


def replace_file(path):
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_bytes(b"b" * path.stat().st_size)
    fresh.replace(path)


@pytest.mark.parametrize("how", [rewrite, rewrite_keeping_times, grow, shrink, replace_file])
@pytest.mark.parametrize("times", [1, 60])
def test_a_file_written_to_while_it_is_copied_is_never_frozen_torn(
    how, times, project, raw, while_copied, untouched
):
    """Frozen is what the file held at one time, or nothing is."""
    path = raw("a.bin", b"a" * BIG)
    left = while_copied(lambda: how(path), times)
    made, said = None, ""
    try:
        made = project.snapshot("data/raw/a.bin")
    except StorageError as exc:
        said = exc.message
    assert left[0] < times
    left[0] = 0
    if made is None:
        assert "chang" in said
        untouched()
        return
    content = (made.path / "a.bin").read_bytes()
    assert content == path.read_bytes()
    assert project.verify().holds


@pytest.mark.timeout(30)
@pytest.mark.parametrize("become", ["link", "pipe", "folder", "nothing"])
@pytest.mark.parametrize("size", [10, BIG])
def test_a_file_that_becomes_something_else_is_refused(
    become, size, root, raw, outside, tree, untouched
):
    raw("d/a.csv", b"a" * size)
    path = raw("d/b.csv", b"b" * size)

    def act():
        path.unlink()
        if become == "link":
            path.symlink_to(outside / "secret.csv")
        elif become == "pipe":
            os.mkfifo(path)
        elif become == "folder":
            path.mkdir()

    sentinel = tree(outside)
    with pytest.raises(NbversionError):
        Project(root, disk=Hooked(("stage",), act)).snapshot("data/raw/d")
    untouched()
    assert tree(outside) == sentinel


def add_file(folder):
    (folder / "new.csv").write_bytes(b"new")


def add_deep(folder):
    (folder / "sub/deep").mkdir()
    (folder / "sub/deep/new.csv").write_bytes(b"new")


def add_folder(folder):
    (folder / "sub/empty").mkdir()


def remove_file(folder):
    (folder / "sub/c.csv").unlink()


def rename_file(folder):
    (folder / "a.csv").rename(folder / "z.csv")


@pytest.mark.parametrize("how", [add_file, add_deep, add_folder, remove_file, rename_file])
def test_a_tree_in_which_names_come_or_go_is_refused(how, root, raw, untouched):
    """What is frozen never existed, if the second listing is not the first."""
    for name in ("d/a.csv", "d/b.csv", "d/sub/c.csv", "d/sub/d.csv"):
        raw(name, name.encode())
    disk = Hooked(("write",), partial(how, root / "data/raw/d"))
    with pytest.raises(StorageError, match=r"chang|vanish|cannot be read"):
        Project(root, disk=disk).snapshot("data/raw/d")
    assert disk.act is None
    untouched()
    assert Project(root).snapshot("data/raw/d").created


def test_a_tree_that_only_its_ignored_files_change_in_is_frozen(root, raw):
    raw("d/a.csv")
    disk = Hooked(("write",), (root / "data/raw/d/.ipynb_checkpoints").mkdir)
    made = Project(root, disk=disk).snapshot("data/raw/d")
    assert disk.act is None
    assert [one.path for one in made.manifest.files] == ["a.csv"]


def test_an_input_error_of_the_disk_names_the_file(
    project, raw, tree, root, monkeypatch, untouched
):
    path = raw("d/bad.bin", b"a" * BIG)
    raw("d/good.bin", b"b")
    before = tree(root / "data/raw")
    real = os.open

    def opened(target, *arguments, **options):
        if os.fsdecode(target).endswith("bad.bin") and "raw" in os.fsdecode(target):
            raise OSError(errno.EIO, "Input/output error", target)
        return real(target, *arguments, **options)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(StorageError, match=r"bad\.bin.*Input/output error"):
        project.snapshot("data/raw/d")
    monkeypatch.undo()
    os.chdir(root)
    assert path.exists()
    untouched(before)


@pytest.fixture
def unprivileged(root):
    """Run Python code in the project as somebody whom modes bind; root ignores them."""
    drop = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.fail("needs setpriv to give up the privileges of root")
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]

    def call(code):
        program = (
            "from nbversion import Project\nproject = Project('.')\n"
            f"try:\n    {code}\nexcept Exception as exc:\n    print(type(exc).__name__, exc)\n"
        )
        command = [*drop, sys.executable, "-c", program]
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_unreadable_files_are_listed_and_nothing_is_written(
    unprivileged, raw, root, tree, untouched
):
    for at in range(13):
        raw(f"d/f{at:02}.csv").chmod(0o000)
    raw("d/readable.csv")
    before = tree(root / "data/raw")
    out = unprivileged("project.snapshot('data/raw/d')")
    assert out.startswith("StorageError")
    assert "f00.csv" in out
    assert "ermission denied" in out or "may not be read" in out or "cannot be read" in out
    assert out.count("\n") == 1
    untouched(before)


def test_an_unreadable_folder_is_refused(unprivileged, raw, root, untouched):
    raw("d/a.csv")
    raw("d/sub/b.csv")
    (root / "data/raw/d/sub").chmod(0o000)
    out = unprivileged("project.snapshot('data/raw/d')")
    (root / "data/raw/d/sub").chmod(0o755)
    assert "StorageError" in out
    assert "d/sub" in out
    untouched()


def test_hard_links_of_the_user_become_independent_copies(project, raw, root, tmp_path):
    first = raw("d/a.csv", b"same")
    os.link(first, root / "data/raw/d/b.csv")
    facts = first.stat()
    made = project.snapshot("data/raw/d")
    copies = [made.path / name for name in ("a.csv", "b.csv")]
    inodes = {one.stat().st_ino for one in copies}
    assert len(inodes) == 2
    assert facts.st_ino not in inodes
    assert all(one.stat().st_nlink == 1 for one in copies)
    after = first.stat()
    assert (after.st_nlink, after.st_ctime_ns) == (facts.st_nlink, facts.st_ctime_ns)
    restored = project.restore("d_v0.1", tmp_path / "restored").path
    (restored / "a.csv").write_bytes(b"mine")
    assert (restored / "b.csv").read_bytes() == b"same"
    assert project.verify().holds


def test_a_sparse_file_keeps_its_holes(project, raw, root):
    path = raw("sparse.bin", b"")
    with path.open("wb") as handle:
        handle.write(b"head")
        handle.seek(64 << 20)
        handle.write(b"tail")
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system keeps no holes")
    made = project.snapshot("data/raw/sparse.bin")
    frozen = (made.path / "sparse.bin").stat()
    assert frozen.st_size == path.stat().st_size
    assert frozen.st_blocks * 512 <= 4 << 20
    assert project.verify().holds


ODD_NAMES = (
    "new\nline", "tab\there", "quo\"te'", "-rf", "--help", ".hidden", "trailing.", "trailing ",
    " leading", "\u202ertl", "<script>", "$(id)", "a\rb", "\x1b[2J", "\x7f", "e\u0301", "\u00e9",
    "CON", "nul.txt", "a:b", "*", "?", "%2e%2e", "\u2028", "\ufeff", "..x", "...", "~", "#", "\U0001f600",
    "a" * 255, "\u00fc" * 127, "manifest.json.bak", ".nbversion", "con/aux", "x y/z", "ä/ö/ü",
)  # fmt: skip


def test_every_odd_name_is_frozen_and_restored_byte_for_byte(project, raw, root, tmp_path):
    for at, name in enumerate(ODD_NAMES):
        raw(f"odd/{name}", str(at).encode())
    (root / "data/raw/odd/empty\nfolder").mkdir()
    raw("odd/zero", b"")
    made = project.snapshot("data/raw/odd")
    assert {one.path for one in made.manifest.files} == {*ODD_NAMES, "zero"}
    assert made.manifest.directories == ("empty\nfolder",)
    project.restore("odd_v0.1", tmp_path / "out")
    for at, name in enumerate(ODD_NAMES):
        assert (tmp_path / "out" / name).read_bytes() == str(at).encode()
    assert (tmp_path / "out/empty\nfolder").is_dir()
    assert (tmp_path / "out/zero").read_bytes() == b""
    assert Project(root).verify().holds
    text = repr(made) + repr(project.verify())
    assert "\x1b" not in text
    # The two spellings of one letter are one name on some disks, and that is said.
    assert any("one name" in one for one in made.warnings)


@pytest.mark.parametrize(
    "name", [b"\xff.csv", b"\xc0\xaf", b"a\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"]
)
@pytest.mark.parametrize("where", ["file", "folder", "empty folder", "ignored"])
def test_a_name_that_is_not_utf8_is_refused_and_shown_escaped(
    name, where, project, raw, root, untouched, readable
):
    raw("d/a.csv")
    place = os.fsencode(root) + b"/data/raw/d/"
    if where == "ignored":
        os.makedirs(place + name + b"/.git")
    elif where == "file":
        with open(place + name, "wb"):
            pass
    else:
        os.mkdir(place + name)
        if where == "folder":
            with open(place + name + b"/x", "wb"):
                pass
    with pytest.raises(InvalidInputError, match="is not UTF-8") as caught:
        project.snapshot("data/raw/d")
    readable(caught.value)
    untouched()


@pytest.mark.parametrize(
    "content", [b"a\r\nb\r\n", b"a\rb", b"\xef\xbb\xbfa\n", b"a\n\n\n", b"\0\x1a"]
)
def test_text_is_never_normalised(content, project, raw, tmp_path):
    raw("a.csv", content)
    made = project.snapshot("data/raw/a.csv")
    assert (made.path / "a.csv").read_bytes() == content
    project.restore("a_v0.1", tmp_path / "out")
    assert (tmp_path / "out/a.csv").read_bytes() == content


def test_a_tree_deeper_than_one_path_can_say_is_one_typed_error(project, root, readable, untouched):
    base = root / "data/raw/deep"
    base.mkdir(parents=True)
    here = os.open(base, os.O_RDONLY)
    name = "d" * 200
    for _ in range(25):
        os.mkdir(name, dir_fd=here)
        further = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = further
    os.close(os.open("leaf.csv", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    with pytest.raises(NbversionError) as caught:
        project.snapshot("data/raw/deep")
    assert len(caught.value.message) < 12_000
    assert caught.value._render_traceback_()[0].count("\n") == 0
    untouched()
    shutil.rmtree(base)


@pytest.mark.parametrize("version", ["v0.1", "v0.1.0"])
def test_a_version_is_not_made_twice_and_the_same_content_is_fine(
    version, project, raw, root, tree
):
    raw("d/a.csv", b"one")
    project.snapshot("data/raw/d", version="v0.1")
    before = tree(root / "data/snapshots")
    assert not project.snapshot("data/raw/d", version=version).created
    raw("d/a.csv", b"two")
    with pytest.raises(ConflictError, match=r"exists with other content \(sha256:[0-9a-f]{64}\)"):
        project.snapshot("data/raw/d", version=version)
    raw("d/a.csv", b"one")
    raw("d/b.csv", b"")
    with pytest.raises(ConflictError):
        project.snapshot("data/raw/d", version=version)
    assert tree(root / "data/snapshots") == before


def test_a_failed_publication_leaves_neither_folder_nor_file(root, raw, tree, untouched):
    raw("d/a.csv", b"one")
    raw("d/sub/b.csv", b"two")
    before = tree(root / "data/raw")

    def fail():
        raise StorageError("the disk is full")

    for at in ("stage", "write", "flush", "publish"):
        disk = Hooked((at,), fail)
        with pytest.raises(StorageError, match="the disk is full"):
            Project(root, disk=disk).snapshot("data/raw/d")
        untouched(before)
    assert Project(root).snapshot("data/raw/d").created
