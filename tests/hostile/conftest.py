"""Sentinels that nothing may touch, a full project to be hostile to, and a count of examples."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbversion.errors import NbversionError, printable
from nbversion.formats.run_record import RunRecord

_EXAMPLES = collections.Counter()


@pytest.fixture(scope="session")
def counted():
    """Count one example of a kind; the counts stand in the terminal summary."""

    def add(kind, number=1):
        _EXAMPLES[kind] += number

    return add


@pytest.fixture(autouse=True)
def told(record_property):
    """Hand what one test counted to the summary."""
    before = _EXAMPLES.copy()
    yield
    for kind, number in (_EXAMPLES - before).items():
        record_property(f"counted: hostile examples: {kind}", number)


def facts_of(folder):
    """Return kind, mode, inode, times, links and content of every name below `folder`."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(base, name)
            facts = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
            if path.is_symlink():
                content = os.readlink(path)
            found[os.path.relpath(path, folder)] = (
                facts.st_mode,
                facts.st_ino,
                facts.st_mtime_ns,
                facts.st_nlink,
                content,
            )
    return found


@pytest.fixture(scope="session")
def tree():
    return facts_of


def assert_readable(exc, where=""):
    """An error's message is one printable line of a length that a person reads, naming the file."""
    message = exc.message
    assert isinstance(exc, NbversionError)
    assert message.strip()
    assert printable(message) == message, ascii(message[:300])
    assert "\n" not in message
    assert len(message) < 1_500, len(message)
    assert where in message


@pytest.fixture(scope="session")
def readable():
    return assert_readable


class Reader(HTMLParser):
    """Everything that a browser would build of a fragment."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.text, self.odd = [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [name for name, _ in attrs]

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.odd.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.fixture(scope="session")
def read_html():
    def read(html):
        reader = Reader()
        reader.feed(html)
        reader.close()
        return reader

    return read


@pytest.fixture(autouse=True)
def no_flush(monkeypatch):
    """Durability is not what these tests look at, and it takes half of their time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


SECRET = b"sentinel: never to be read out\n"


@pytest.fixture
def outside(tmp_path):
    """A folder beside the project with a file that nothing may touch or read out."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.csv").write_bytes(SECRET)
    (folder / "secret.csv").chmod(0o640)
    return folder


@pytest.fixture(scope="session")
def secret():
    """Return the sentinel's content and what would show that it was read."""
    return SECRET, hashlib.sha256(SECRET).hexdigest()


@pytest.fixture
def raw(root):
    """Write user files below data/raw: raw("iris.csv", b"...") or raw("a/b.csv", ...)."""

    def write(name, content=b"a,b\n1,2\n"):
        path = root / "data" / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def full(project, raw, register, catalog, root):
    """Two versions of a data set, a finished run, three model versions, one of them serving."""
    raw("iris/iris.csv", b"first\n")
    raw("iris/sub/more.csv", b"more\n")
    project.snapshot("data/raw/iris")
    raw("iris/iris.csv", b"second\n")
    made = project.snapshot("data/raw/iris")
    lock = catalog.environments.keep("numpy==2.0\n", lambda _: None)
    begun = catalog.runs.begin(
        "train", lambda run_id: RunRecord(run_id=run_id, status="running", started_utc="2026")
    )
    artifact = f"runs/{begun.run_id}/artifacts/plot.svg"
    (root / artifact).parent.mkdir(parents=True)
    (root / artifact).write_bytes(b"<svg/>")
    catalog.runs.end(
        RunRecord(
            run_id=begun.run_id,
            started_utc="2026-01-01T00:00:00Z",
            duration_s=1.5,
            owner="Ada",
            params={"seed": 42, "C": 1.0, "penalty": "l2", "layers": [1, 2]},
            env={"python": "3.11.7", "requirements_lock": lock, "container_image": None},
            outputs={"model": "clf", "model_version": "v0.1.0", "metrics": {"f1": 0.94, "n": 3}},
            data=({"ref": made.reference, "digest": made.manifest.digest},),
            code={"cell_sha256": "sha256:" + "0" * 64, "notebook": "a.ipynb", "dirty": False},
            inputs=({"path": "data/raw/x.csv", "size_bytes": 1, "sha256": "0" * 64, "how": "o"},),
            artifacts=(
                {
                    "path": artifact,
                    "size_bytes": 6,
                    "sha256": hashlib.sha256(b"<svg/>").hexdigest(),
                },
            ),
            origins={"seed": {"origin": "cell"}},
            environment={"fingerprint": "sha256:" + "1" * 64, "platform": "linux", "cpu": {}},
            warnings=("a warning",),
        )
    )
    for version in ("v0.1.0", "v0.2.0", "v0.3.0-dev.1"):
        register(version, run_id=begun.run_id if version == "v0.1.0" else None)
    project.promote("clf", "v0.1.0", "production")
    project.promote("clf", "v0.2.0", "production", comment="better")
    project.comment("clf", "v0.1.0", "kept for the audit")
    return begun.run_id


@pytest.fixture
def processes(root):
    """Run the same Python code in several processes that begin at once; return what each said."""

    def run_all(code, count=2):
        program = (
            "import os, sys\nos.fsync = lambda _: None\n"
            "from nbversion import Project\nfrom nbversion.errors import NbversionError\n"
            "number = int(sys.argv[1])\nproject = Project('.')\n"
            "print('ready', flush=True)\nsys.stdin.readline()\n" + code
        )
        running = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(number)],
                cwd=root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]
        for one in running:
            assert one.stdout.readline() == "ready\n", one.stderr.read()
        for one in running:
            one.stdin.write("go\n")
            one.stdin.flush()
        found = [one.communicate(timeout=120) for one in running]
        assert [one.returncode for one in running] == [0] * count, found
        return [out.strip() for out, _ in found]

    return run_all


@pytest.fixture
def forge(root):
    """Rewrite a JSON text of ours as somebody would who makes its own digest fit."""
    from nbversion.formats.json_text import record_digest

    def write(path, change):
        target = root / path
        record = json.loads(target.read_text())
        change(record)
        if "record_digest" in record:
            record["record_digest"] = record_digest(record)
        target.chmod(0o644)
        target.write_text(json.dumps(record))
        return target

    return write


class Pairs(list):
    """A mapping as it is written, whose keys may stand twice."""


class Raw(str):
    """Text that is put into the document as it is."""

    __slots__ = ()


def tree_of(text):
    return json.loads(text, object_pairs_hook=lambda pairs: Pairs([list(one) for one in pairs]))


def written(node):
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, Pairs):
        inner = (f"{written_key(key)}: {written(value)}" for key, value in node)
        return "{" + ", ".join(inner) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(written, node)) + "]"
    return json.dumps(node, ensure_ascii=False)


def written_key(key):
    return str(key) if isinstance(key, Raw) else json.dumps(key, ensure_ascii=False)


def places(node, found):
    """Collect every slot of the tree: the list that holds it, and its number."""
    for at, item in enumerate(node):
        found.append((node, at))
        value = item[1] if isinstance(node, Pairs) else item
        if isinstance(value, list):
            places(value, found)
    return found


VALUES = tuple(
    map(
        Raw,
        (
            "null", "true", "false", "0", "1", "-1", "-0", "2", "99999999999999999999", "1.0", "0.0",
            "-0.0", "1e2", "1E400", "1e999", "-1e999", "1e-400", "NaN", "Infinity", "-Infinity",
            "9" * 5_000, "-" + "9" * 5_000, "0." + "1" * 5_000, "01", "+1", ".5", "1.", "0x10",
            "1_000", "[]", "{}", "[[]]", "[{}]", "[null]", '[""]', '[{"path": 1}]', '{"a": {}}',
            '""', '"x"', '" "', '"v0.2"', '"v9.9.9"', '"production"', '"../../x"', '"/abs"',
            '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\u001b[2J"',
            '"\\u202e"', '"\\n"', '"\\u2028"', '"\ufeff"', '"\x7f\x9b"', '"\t"', '"\n"', '"\x00"',
            '"\\x41"', "'x'", '"' + "x" * 100_000 + '"', '"sha256:' + "A" * 64 + '"',
            '"sha256:' + "0" * 64 + '"', '"' + "0" * 64 + '"', "[" * 3_000 + "]" * 3_000,
            '{"a":' * 3_000 + "1" + "}" * 3_000, "[" * 63 + "]" * 63, "[" * 70 + "]" * 70,
            "[" * 100_000, "{", "}", "]", ",", ":", "", "/* c */ 1", "1 // c", "undefined",
        ),
    )
)  # fmt: skip
KEYS = (
    Raw('"\\u0061"'), "a", "", "__class__", "schema_version", "record_digest", "digest", "name",
    "version", "x" * 500, Raw('"\\ud800"'), Raw('"\\u0000"'), "\u202e", Raw("1"), Raw("null"),
)  # fmt: skip


def escaped(key):
    """The same key in other letters, as JSON allows."""
    return Raw('"' + "".join(f"\\u{ord(char):04x}" for char in key[:1]) + json.dumps(key[1:])[1:])


def laid_out(node):
    """As the tool lays a text out: lists of records one record a line."""
    if not isinstance(node, Pairs):
        return written(node)
    parts, before = [], ""
    for key, value in node:
        records = isinstance(value, list) and value and isinstance(value[0], Pairs)
        records = records and not isinstance(value, Pairs)
        text = "[\n" + ",\n".join(map(written, value)) + "\n]" if records else written(value)
        parts.append(f"{before}{written_key(key)}: {text}")
        before = ",\n" if records else ", "
    return "{" + "".join(parts) + "}\n"


def mutate(text, steps, values=VALUES, write=written):
    """Change the tree of a JSON text: ``(how, where, what)`` each, the numbers taken modulo."""
    root = [tree_of(text)]
    for how, where, what in steps:
        found = places(root, [])
        holder, at = found[where % len(found)]
        is_pair = isinstance(holder, Pairs)
        value = values[what % len(values)]
        if how == "set" and is_pair:
            holder[at] = [holder[at][0], value]
        elif how == "set":
            holder[at] = value
        elif how == "wrap":
            inner = holder[at][1] if is_pair else holder[at]
            wrapped = [inner] if what % 2 else Pairs([["a", inner]])
            holder[at] = [holder[at][0], wrapped] if is_pair else wrapped
        elif holder is root:
            continue
        elif how == "drop":
            del holder[at]
        elif how == "swap":
            other = what % len(holder)
            holder[at], holder[other] = holder[other], holder[at]
        elif not is_pair or how == "double":
            holder.insert(what % (len(holder) + 1), holder[at])
        elif how == "escape-double" and not isinstance(holder[at][0], Raw) and holder[at][0]:
            holder.append([escaped(holder[at][0]), value])
        elif how == "rename":
            holder[at] = [KEYS[what % len(KEYS)], holder[at][1]]
        else:
            holder.append([KEYS[where % len(KEYS)], value])
    return write(root[0]).encode(errors="surrogatepass")


PIECES = (
    b"\xef\xbb\xbf", b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\r\n", b"\r", b"\t", b"\x1b",
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u", b"\\ud800", b"NaN", b"e999", b"-", b"0",
    b"\xe2\x80\xa8", b"\xc2\x85", b"/*", b"#", b"&a ", b"*a", b"!!python/none ", b"---\n", b"...\n",
    b"? ", b"- ", b"<<: ", b"%YAML 9.9\n", b"\xf4\x90\x80\x80", b" " * 5_000, b"'", b"|\n", b">\n",
)  # fmt: skip


def spoil(data, steps):
    """Change the bytes of a document."""
    for how, where, what in steps:
        at = where % (len(data) + 1)
        if how == "flip" and data:
            at = where % len(data)
            data = data[:at] + bytes([data[at] ^ (1 << what % 8)]) + data[at + 1 :]
        elif how == "cut":
            data = data[:at]
        elif how == "insert":
            data = data[:at] + PIECES[what % len(PIECES)] + data[at:]
        elif how == "delete":
            data = data[:at] + data[at + what % 40 :]
        elif how == "splice":
            data = data[:at] + data[what % (len(data) + 1) :]
        else:
            data = data[:at] + b"\0" * min(what % 200, len(data) - at) + data[at + what % 200 :]
    return data


def whole(data):
    """Other encodings and line ends of a whole document."""
    text = data.decode()
    return [
        b"", b" ", b"\n", b"\0" * 4_096, b"null", b"[]", b"{}", b"0", b'""', b"\xef\xbb\xbf" + data,
        text.encode("utf-16"), text.encode("utf-16-le"), text.encode("utf-32"), data * 2,
        data + b"\0", data + b"x", data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"\r"),
        data.replace(b"\n", b"\n\n"), data.replace(b" ", b"\t"), data.replace(b'"', b"'"),
        b"\n" * 1_000 + data, data[::-1], data.upper(), b"[" + data + b"]", data.replace(b"a", b"\0"),
    ]  # fmt: skip


class Tools(SimpleNamespace):
    """A namespace that a failing example does not print whole."""

    def __repr__(self):
        return "Tools()"


@pytest.fixture(scope="session")
def mutants():
    """Return what makes broken documents of a valid one."""
    return Tools(
        Pairs=Pairs,
        Raw=Raw,
        Tools=Tools,
        VALUES=VALUES,
        escaped=escaped,
        laid_out=laid_out,
        mutate=mutate,
        places=places,
        spoil=spoil,
        tree_of=tree_of,
        whole=whole,
        written=written,
        written_key=written_key,
    )
