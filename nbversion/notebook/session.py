"""What the loaded extension knows of its notebook: the project, and the cell that is running."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion.notebook.engine import own_frames, show_from

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from nbversion.project import Project

_VARIABLE = re.compile(r"\$(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\}")


class Session:
    """One notebook kernel with the extension loaded.

    Parameters
    ----------
    shell : InteractiveShell
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        # Taken now: a cell may change directory, and the project must not move with it.
        self._start = Path.cwd()
        self._project: Project | None = None
        self.info: Any = None
        # Undoes `show_own` when the cell has ended.
        self._undo: Callable[[], None] | None = None

    @property
    def project(self) -> Project:
        """The project that the notebook was started in; found when it is first needed."""
        if self._project is None:
            from nbversion.progress_bar import Bar  # noqa: PLC0415  # as above
            from nbversion.project import Project  # noqa: PLC0415  # the first magic pays, not the load

            self._project = Project.find(self._start)
            self._project.watch(Bar(notebook=True))
        return self._project

    def before_cell(self, info: Any = None, *_: Any) -> None:
        """Note the cell that begins; IPython calls this, with more arguments in other versions."""
        self.info = info

    def after_cell(self, *_: Any) -> None:
        """Forget what belongs to the cell that ended."""
        self.info = None
        self._show_all()

    def show_own(self, exc: BaseException) -> None:
        """Show the traceback of `exc` from the cell's own frames on, until the cell has ended."""
        self._show_all()
        self._undo = show_from(self.shell, exc, own_frames(exc))

    def show_without_frames(self, exc: BaseException) -> None:
        """Show `exc`, a mistake in the cell's text, without any frame, as IPython does."""
        self._show_all()
        self._undo = show_from(self.shell, exc, None)

    def _show_all(self) -> None:
        if self._undo is not None:
            self._undo()
            self._undo = None

    def expand(self, text: str) -> str:
        """Put the notebook's variables in the place of ``$name`` and ``{name}``."""

        def value(match: re.Match[str]) -> str:
            name = match["plain"] or match["braced"]
            return str(self.shell.user_ns[name]) if name in self.shell.user_ns else match[0]

        return _VARIABLE.sub(value, text)

    def expand_words(self, words: argparse.Namespace, which: frozenset[str]) -> None:
        """Expand the references and paths among the parsed words, and nothing else."""
        for key in which:
            given = getattr(words, key, None)
            if isinstance(given, str):
                setattr(words, key, self.expand(given))
            elif isinstance(given, list):
                setattr(words, key, [self.expand(one) for one in given])
