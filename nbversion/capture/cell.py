"""What a cell's source says: its digests, the literals it assigns, the names it reads."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from nbversion.hashing import digest_of

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellNames:
    """The names of a cell.

    Parameters
    ----------
    literals : dict
        What the cell assigns at its top level by a literal; the last one counts.
    assigned : frozenset of str
        Everything that it assigns, defines or imports at its top level.
    read : frozenset of str
        Names that it reads without having assigned them before.
    mentioned : frozenset of str
        Every name in it.
    """

    literals: dict[str, Any]
    assigned: frozenset[str]
    read: frozenset[str]
    mentioned: frozenset[str]


def raw_digest(source: str) -> str:
    """Return the digest of a cell's source as it was sent."""
    return digest_of(source.encode("utf-8", "surrogatepass"))


def normalised_digest(source: str) -> str:
    """Return the digest of a cell's source regardless of how it was saved.

    Line ends, trailing blanks, outer blank lines and a leading ``%%trackrun`` line do not count;
    two cells with the same digest may still differ in blanks within a text, so a replay uses the
    raw source.
    """
    lines = [
        line.rstrip()
        for line in source.removeprefix("\ufeff")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .split("\n")
    ]
    while lines and not lines[0]:
        del lines[0]
    if lines and lines[0].startswith("%%trackrun"):
        del lines[0]
    return raw_digest("\n".join(lines).strip("\n") + "\n")


def read_names(source: str) -> CellNames:
    """Return the names of a cell, given as Python without magics.

    A cell that does not parse has none; its execution will say why.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        nothing: frozenset[str] = frozenset()
        return CellNames(literals={}, assigned=nothing, read=nothing, mentioned=nothing)
    literals: dict[str, Any] = {}
    for node in _top_level(tree.body):
        for name, value in _assignments(node):
            try:
                literals[name] = ast.literal_eval(value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                literals.pop(name, None)
    reader = _Reader()
    for node in tree.body:
        reader.visit(node)
    return CellNames(
        literals=literals,
        assigned=frozenset(reader.defined),
        read=frozenset(reader.read),
        mentioned=frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)),
    )


def _top_level(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that certainly run once: those of ``with`` and ``try`` count too."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, (ast.With, ast.AsyncWith, ast.Try)):
            found += _top_level(node.body)
    return found


def _assignments(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    pairs: list[tuple[ast.expr, ast.expr]] = []
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AugAssign):
        # No literal any more: what the name holds is known only afterwards.
        pairs = [(node.target, node.target)]
    found: list[tuple[str, ast.expr]] = []
    for target, value in pairs:
        if isinstance(target, ast.Name):
            found.append((target.id, value))
        elif (
            isinstance(target, ast.Tuple)
            and isinstance(value, ast.Tuple)
            and len(target.elts) == len(value.elts)
        ):
            found += [
                (one.id, item)
                for one, item in zip(target.elts, value.elts, strict=True)
                if isinstance(one, ast.Name)
            ]
    return found


class _Reader(ast.NodeVisitor):
    """Walks a cell in the order of its execution."""

    def __init__(self) -> None:
        self.defined: set[str] = set()
        self.read: set[str] = set()

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.defined:
            self.read.add(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        for one in (*node.body, *node.orelse):
            self.visit(one)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.id not in self.defined:
                self.read.add(node.id)
        else:
            self.defined.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.defined.add((node.asname or node.name).partition(".")[0])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.defined.add(node.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._define(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._define(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._define(node)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for one in node.decorator_list:
            self.visit(one)
        self._scope(node)
        self.defined.add(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._scope(node)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, _COMPREHENSIONS):
            self._scope(node)
        else:
            super().generic_visit(node)

    def _scope(self, node: ast.AST) -> None:
        """Count what an inner scope reads of the outer one, as of its definition."""
        local = {
            one.id
            for one in ast.walk(node)
            if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)
        }
        local |= {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
        local |= {
            one.name
            for one in ast.walk(node)
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and one.id not in local and one.id not in self.defined:
                self.read.add(one.id)
