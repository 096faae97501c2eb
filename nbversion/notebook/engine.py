"""Running the body of a tracked cell as any cell runs.

Its outputs, its last value as the cell's result, ``await``, a ``%%time`` inside, and one traceback
with the notebook's line numbers. `shell.run_cell` cannot be used for this: nested, it fails on
``await``, prints two tracebacks and fires the cell's events twice.
"""

from __future__ import annotations

import ast
import inspect
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import CodeType, TracebackType

    from IPython.core.interactiveshell import InteractiveShell

_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)


class Body:
    """The compiled body of a cell.

    Parameters
    ----------
    shell : InteractiveShell
    body : str
        The cell without its first line.
    cell : str
        The whole cell, for the debugger, which knows it by its source.
    count : int
        The cell's number, for tracebacks.
    """

    def __init__(self, shell: InteractiveShell, body: str, cell: str, count: int) -> None:
        self._shell = shell
        self.python = transformed(shell, body)
        # The tracked line, and the blank lines that IPython drops, count for line numbers.
        above = 1 + _leading_blank_lines(body)
        source = "\n" * above + self.python
        name = shell.compile.cache(source, count, raw_code=cell)
        tree = shell.transform_ast(shell.compile.ast_parse(source, filename=name))
        self._silent = DisplayHook.semicolon_at_end_of_expression(body)
        self._codes = self._compile(tree.body, name)
        self.is_async = any(_is_coroutine(code) for code, _ in self._codes)

    def _compile(self, nodes: list[ast.stmt], name: str) -> list[tuple[CodeType, str]]:
        shell = self._shell
        interactivity = shell.ast_node_interactivity
        nodes = list(nodes)
        if interactivity == "last_expr_or_assign" and nodes:
            target = _assigned_name(nodes[-1])
            if target is not None:
                nodes.append(
                    ast.copy_location(ast.Expr(ast.copy_location(target, nodes[-1])), nodes[-1])
                )
        last: ast.expr | None = None
        if nodes and isinstance(nodes[-1], ast.Expr) and interactivity != "none":
            last = nodes[-1].value
            nodes = nodes[:-1]
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if shell.autoawait else 0
        found: list[tuple[CodeType, str]] = []
        # It takes a tree as well as a source, and keeps the cell's __future__ imports.
        compiler: Callable[[ast.mod, str, str], CodeType] = shell.compile  # type: ignore[assignment]
        with shell.compile.extra_flags(flags):
            for node in nodes:
                show = interactivity == "all" and isinstance(node, ast.Expr) and not self._silent
                tree: ast.mod = (
                    ast.Interactive([node]) if show else ast.Module(body=[node], type_ignores=[])
                )
                mode = "single" if show else "exec"
                found.append((compiler(tree, name, mode), mode))
            if last is not None:
                found.append((compiler(ast.Expression(last), name, "eval"), "eval"))
        return found

    async def run(self) -> Any:
        """Run the body and return its last value, None when it ends with a semicolon."""
        # For the debugger: everything above this frame is not the user's.
        __tracebackhide__ = "__ipython_bottom__"
        shell = self._shell
        value: Any = None
        for code, _ in self._codes:
            value = eval(code, shell.user_global_ns, shell.user_ns)  # noqa: S307  # the user's own code
            if _is_coroutine(code):
                value = await value
        return value if _mode_of_last(self._codes) == "eval" and not self._silent else None


def show_from(
    shell: InteractiveShell, exc: BaseException, own: TracebackType | None
) -> Callable[[], None]:
    """Let IPython show the traceback of `exc` from `own` on; returns what undoes it.

    Without this it begins with the call of the magic, the whole cell as one quoted line.
    ``_render_traceback_``, IPython's protocol for this, is not asked for a syntax error or a group
    of exceptions, so `shell.showtraceback` is shadowed until the cell has ended.
    """
    earlier = vars(shell).get("showtraceback")
    show = shell.showtraceback

    def show_own(*args: Any, **kwargs: Any) -> Any:
        if sys.exc_info()[1] is exc:
            exc.__traceback__ = own
            # IPython leaves out the frame of its own that it expects above the cell's.
            kwargs["tb_offset"] = 0
        return show(*args, **kwargs)

    def undo() -> None:
        # Not where somebody shadowed it once more.
        if vars(shell).get("showtraceback") is not show_own:
            return
        if earlier is None:
            del shell.showtraceback
        else:
            shell.showtraceback = earlier  # type: ignore[method-assign]

    shell.showtraceback = show_own  # type: ignore[method-assign]
    return undo


def own_frames(exc: BaseException) -> TracebackType | None:
    """Return the traceback of `exc` below the frames of this package."""
    found = exc.__traceback__
    while found is not None and _is_ours(found.tb_frame.f_globals.get("__name__")):
        found = found.tb_next
    return found


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.startswith("nbversion.")


def execution_count(shell: InteractiveShell) -> int:
    """Return the number of the running cell; `shell.execution_count` may be the next already."""
    running = getattr(shell.displayhook, "exec_result", None)
    return getattr(running, "execution_count", None) or int(shell.execution_count)


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that awaits nothing."""
    __tracebackhide__ = "__ipython_bottom__"
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise RuntimeError("the cell's body waited although it was compiled without await")


def transformed(shell: InteractiveShell, body: str) -> str:
    """Return a body as Python, magics replaced."""
    return str(shell.transform_cell(body))


def _leading_blank_lines(body: str) -> int:
    lines = body.splitlines()
    return next((at for at, line in enumerate(lines) if line.strip()), 0)


def _mode_of_last(codes: list[tuple[CodeType, str]]) -> str:
    """Return how the last part was compiled."""
    return codes[-1][1] if codes else ""


def _is_coroutine(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


def _assigned_name(node: ast.stmt) -> ast.Name | None:
    if not isinstance(node, _ASSIGNMENTS):
        return None
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if isinstance(target, ast.Name) and not (isinstance(node, ast.Assign) and node.targets[1:]):
        return ast.Name(target.id, ast.Load())
    return None
