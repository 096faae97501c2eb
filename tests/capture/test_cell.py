from __future__ import annotations

import pytest

from nbversion.capture.cell import CellNames, normalised_digest, raw_digest, read_names


@pytest.mark.parametrize(
    "other",
    [
        "%%trackrun a --data x_v0.1\nx = 1\ny = 2\n",
        "x = 1\r\ny = 2\r\n",
        "x = 1\ry = 2",
        "\n\nx = 1   \ny = 2\t\n\n",
        "\ufeffx = 1\ny = 2",
    ],
    ids=["magic-line", "crlf", "cr", "blanks", "bom"],
)
def test_how_a_cell_was_saved_changes_the_raw_digest_only(other):
    assert normalised_digest(other) == normalised_digest("x = 1\ny = 2")
    assert raw_digest(other) != raw_digest("x = 1\ny = 2")


@pytest.mark.parametrize("other", ["x = 1\n\ny = 2", "x = 1\n y = 2", "x = 1\ny = 2  # c", "x = 1"])
def test_another_text_has_another_normalised_digest(other):
    assert normalised_digest(other) != normalised_digest("x = 1\ny = 2")


def test_a_cell_with_a_lone_surrogate_has_digests():
    assert raw_digest("x = '\ud800'") != raw_digest("x = '\ud801'")


@pytest.mark.parametrize(
    ("source", "literals"),
    [
        ("seed = 42", {"seed": 42}),
        ("lr: float = 1e-3", {"lr": 0.001}),
        ("x: int", {}),
        ("a = b = 2", {"a": 2, "b": 2}),
        ("a, b = 1, 'two'", {"a": 1, "b": "two"}),
        ("a, b = pair", {}),
        ("a, *b = 1, 2, 3", {}),
        ("x = -1", {"x": -1}),
        ("x = [1, {'a': None}]", {"x": [1, {"a": None}]}),
        ("x = f(1)", {}),
        ("x = 1\nx = 2", {"x": 2}),
        ("x = 1\nx = f(x)", {}),
        ("x = 1\nx += 1", {}),
        ("with open(p) as f:\n    n = 3", {"n": 3}),
        ("try:\n    n = 3\nexcept E:\n    pass", {"n": 3}),
        ("try:\n    n = 3\nexcept* E:\n    pass", {"n": 3}),
        ("async with f() as g:\n    n = 3", {"n": 3}),
        ("if c:\n    n = 3", {}),
        ("for i in x:\n    n = 3", {}),
        ("def f():\n    n = 3", {}),
        ("a.b = 3\nc[0] = 4", {}),
    ],
)
def test_literals_are_those_that_certainly_run_at_the_top_level(source, literals):
    assert read_names(source).literals == literals


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("y = x", {"x"}),
        ("x = 1\ny = x", set()),
        ("x += 1", {"x"}),
        ("x = x + 1", {"x"}),
        ("x: int = x", {"x"}),
        ("print(n := n + 1)", {"print", "n"}),
        ("for i in range(n):\n    i", {"range", "n"}),
        ("[i * k for i in xs]", {"k", "xs"}),
        ("{i: j for i, j in xs if i > low}", {"xs", "low"}),
        ("[x for x in x]", {"x"}),
        ("[[a for a in b] for b in c]", {"c"}),
        ("{a for b in c for a in b if k}", {"c", "k"}),
        ("sum(a * w for a in b)", {"sum", "w", "b"}),
        ("def f(a):\n    return a * lr", {"lr"}),
        ("def f(lr=lr):\n    return lr", {"lr"}),
        ("def f(*, lr=lr):\n    return lr", {"lr"}),
        ("def f(a):\n    b = a\n    return b", set()),
        ("def f():\n    def g():\n        return k\n    return g", {"k"}),
        ("def f(k):\n    def g():\n        return k\n    return g", set()),
        ("def f(k):\n    return k\nk", {"k"}),
        ("def f():\n    global n\n    n = n + 1", {"n"}),
        ("def f():\n    return f()", set()),
        ("lambda a: a + k", {"k"}),
        ("lambda k=k: k", {"k"}),
        (
            "class A(Base):\n    size = k\n    def f(self):\n        return size",
            {"Base", "k", "size"},
        ),
        ("@deco(n)\ndef f():\n    pass", {"deco", "n"}),
        ("import os.path\nos.path", set()),
        ("from a import b as c\nc", set()),
        ("with o(p) as f:\n    f", {"o", "p"}),
        ("try:\n    pass\nexcept E as e:\n    e", {"E"}),
        (
            "match v:\n    case [x, *rest]:\n        x, rest\n    case {'a': 1, **kw}:\n        kw",
            {"v"},
        ),
        ("await go(t)", {"go", "t"}),
        ("f'{x:{w}}'", {"x", "w"}),
    ],
)
def test_read_names_are_those_that_come_from_before_the_cell(source, read):
    assert read_names(source).read == read


def test_assigned_names_hold_definitions_and_imports_but_no_inner_names():
    names = read_names(
        "import a.b\nfrom c import d as e\ndef f(x):\n    y = 1\nclass G: pass\n[z for z in q]\nh = 1"
    )
    assert names.assigned == {"a", "e", "f", "G", "h"}


def test_what_a_cell_certainly_assigns_and_what_it_may():
    names = read_names(
        "a = 1\nif a:\n    b = 2\nwith f() as c:\n    d = 3\ntry:\n    e = 4\nfinally: pass"
    )
    assert names.certain == {"a", "c", "d"}
    assert names.assigned == {"a", "b", "c", "d", "e"}


def test_names_assigned_at_more_than_one_place():
    assert read_names("a = 1\nb = 2\nif b:\n    a = 3\nimport c\nc = 4").repeated == {"a", "c"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("m.fit(x)", {"m", "x"}),
        ("train(m, y=k)", {"m", "k"}),
        ("m.a = 1", {"m"}),
        ("m[0] = 1", {"m"}),
        ("del m[0]", {"m"}),
        ("print(m, len(k))", set()),
        ("m", set()),
        ("n = m", set()),
    ],
)
def test_what_a_cell_may_have_changed_in_place(source, found):
    assert read_names(source).handed_on == found


@pytest.mark.parametrize("source", ["for", "x = \0", "(" * 500, "return 1 +"])
def test_a_cell_that_does_not_parse_has_no_names(source):
    names = read_names(source)
    assert names == CellNames()
