"""What a cell's source says: its digests, the literals it assigns, the names it reads."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbversion.hashing import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence


# Statements that are executed once, whatever the values.
_SIMPLE = (
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.Expr,
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)
# Functions that only look at what they are given.
_LOOKING = frozenset(
    (
        "dir",
        "display",
        "format",
        "hash",
        "help",
        "id",
        "isinstance",
        "len",
        "print",
        "repr",
        "str",
        "type",
        "vars",
    )
)


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
    certain : frozenset of str
        What it has certainly assigned once it has run to its end.
    repeated : frozenset of str
        What it assigns at more than one place.
    handed_on : frozenset of str
        Names whose object it may have changed: called a method of, passed to a function, stored
        into. Only to look at one (``print(x)``) does not count.
    """

    literals: dict[str, Any] = field(default_factory=dict)
    assigned: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    certain: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    handed_on: frozenset[str] = frozenset()


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
        return CellNames()
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
        certain=frozenset(_certain(tree.body)),
        repeated=frozenset(name for name, count in reader.stores.items() if count > 1),
        handed_on=frozenset(_handed_on(tree)),
    )


def _certain(body: list[ast.stmt]) -> set[str]:
    reader = _Reader()
    for node in body:
        if isinstance(node, (ast.With, ast.AsyncWith)):
            reader.defined |= _certain(node.body)
            for item in node.items:
                reader.visit(item)
        elif isinstance(node, _SIMPLE):
            reader.visit(node)
    return reader.defined


def _handed_on(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                found |= _names_in(node.func)
            if not (isinstance(node.func, ast.Name) and node.func.id in _LOOKING):
                for one in (*node.args, *node.keywords):
                    found |= _names_in(one)
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(
            node.ctx, ast.Load
        ):
            found |= _names_in(node.value)
    return found


def _names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _top_level(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that certainly run once: those of ``with`` and ``try`` count too."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, (ast.With, ast.AsyncWith, ast.Try, ast.TryStar)):
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
        self.stores: Counter[str] = Counter()
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
            self._bind(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self._bind((node.asname or node.name).partition(".")[0])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.visit(node.target)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        self._bind(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        self._bind(node.rest)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_arguments(node.args)
        self._inner(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for one in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(one)
        self._inner(None, node.body, is_class=True)
        self._bind(node.name)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node.generators, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node.generators, [node.elt])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node.generators, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node.generators, [node.key, node.value])

    def _visit_comprehension(
        self, generators: list[ast.comprehension], results: list[ast.expr]
    ) -> None:
        # What is iterated over first belongs to the outer scope: ``[x for x in x]`` reads x.
        first, *others = generators
        self.visit(first.iter)
        self._inner(None, [first.target, *first.ifs, *others, *results])

    def _bind(self, name: str | None) -> None:
        if name is not None:
            self.defined.add(name)
            self.stores[name] += 1

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for one in node.decorator_list:
            self.visit(one)
        self._visit_arguments(node.args)
        # By the time that its body runs, the function has its name.
        self._bind(node.name)
        self._inner(node.args, node.body)

    def _visit_arguments(self, arguments: ast.arguments) -> None:
        # Defaults belong to the outer scope: ``def train(lr=lr)`` reads it.
        for one in (*arguments.defaults, *arguments.kw_defaults):
            if one is not None:
                self.visit(one)

    def _inner(
        self,
        arguments: ast.arguments | None,
        body: Sequence[ast.AST],
        *,
        is_class: bool = False,
    ) -> None:
        """Count what an inner scope reads of the outer one, as of its definition."""
        scope = _Scope(is_class=is_class)
        if arguments is not None:
            scope.defined |= {one.arg for one in ast.walk(arguments) if isinstance(one, ast.arg)}
        for one in body:
            scope.visit(one)
        self._take(scope)

    def _take(self, scope: _Scope) -> None:
        self.read |= scope.free() - self.defined


class _Scope(_Reader):
    """A function, class or comprehension in the cell: a name bound anywhere in it is its own.

    Parameters
    ----------
    is_class : bool
        Whose names the functions in it do not see.
    """

    def __init__(self, *, is_class: bool) -> None:
        super().__init__()
        self._is_class = is_class
        self._outer: set[str] = set()
        self._inner_free: set[str] = set()

    def visit_Global(self, node: ast.Global) -> None:
        self._outer.update(node.names)

    def free(self) -> set[str]:
        """Return the names that come from outside."""
        if self._is_class:
            return self.read | self._inner_free
        return (self.read | self._inner_free) - (self.defined - self._outer)

    def _take(self, scope: _Scope) -> None:
        self._inner_free |= scope.free()
