"""``nbversion demo``: a project on real data, made by running the quickstart in a real kernel."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbversion.capture.git import git_root
from nbversion.capture.machine import run_tool
from nbversion.errors import ConflictError, InvalidInputError, NbversionError, NotFoundError
from nbversion.project import Project
from nbversion.render.amounts import human_count, human_seconds
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

QUICKSTART = "00_quickstart.ipynb"
MODEL = "iris_clf"
_TIMEOUT_S = 300
_GIT_TIMEOUT_S = 20.0
_INLINE = "module://matplotlib_inline.backend_inline"


class DemoError(NbversionError):
    """A cell of the quickstart failed; the project is left for a look."""

    kind = "demo"
    exit_status = 3


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Demo(Shown):
    """What the demo made.

    Parameters
    ----------
    project : Project
    seconds : float
        Of the notebook's execution.
    rollback_took : str
        As the notebook's ``%rollback`` said it.
    """

    project: Project
    seconds: float
    rollback_took: str

    @property
    def _rollback(self) -> dict[str, Any]:
        history = self.project.catalog.registrar.load(MODEL).history
        last = next(one for one in reversed(history) if one.action == "rollback")
        return {
            "from_version": last.displaced,
            "to_version": last.version,
            "took": self.rollback_took,
        }

    def to_json(self) -> dict[str, Any]:
        """Return where the project is and what is in it."""
        return {
            "project": str(self.project.root),
            "notebook": str(self.project.root / QUICKSTART),
            "seconds": self.seconds,
            "rollback": self._rollback,
            "registry": self.project.registry(MODEL).to_json()["models"][0],
            "verified": self.project.verify().holds,
        }

    def card(self) -> Card:
        """Return it for people."""
        rollback = self._rollback
        change = f"{rollback['from_version']} → {rollback['to_version']}"
        registry = self.project.catalog.registrar.load(MODEL)
        verification = self.project.verify()
        hashed = human_count(verification.files, "file")
        found = human_count(len(verification.findings), "finding")
        rows = tuple((one.version, str(one.stage), one.run_id or "") for one in registry.versions)
        programs = Path(sys.executable).parent
        open_it = f"{programs / 'jupyter'} lab {self.project.root / QUICKSTART}"
        look = f"{programs / 'nbversion'} --project {self.project.root} registry {MODEL}"
        return Card(
            title="nbversion demo",
            badge="verified" if verification.holds else "broken",
            fields=(
                ("Project", str(self.project.root)),
                ("Notebook", f"{QUICKSTART}, run in {human_seconds(self.seconds)}"),
                ("Rollback", f"{change} in {self.rollback_took}"),
                ("Verified", f"{hashed} hashed, {found}"),
                ("Open it", open_it),
                ("Look", look),
            ),
            tables=(Table(title=MODEL, columns=("version", "stage", "run"), rows=rows),),
        )


def run_demo(folder: str, *, quiet: bool = False) -> Demo:
    """Make a project in `folder` and run the quickstart notebook in it.

    Parameters
    ----------
    folder : str
        Must not exist, or be empty.
    quiet : bool
        Without the progress on the standard error.

    Raises
    ------
    InvalidInputError
        When the ``tutorials`` extra is not installed.
    ConflictError
        When the folder holds something already.
    DemoError
        When a cell failed.
    """
    _require_extra()
    target = Path(folder).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(
            f"{target} is not empty; nothing was written. Name another folder: nbversion demo FOLDER"
        )
    import nbformat  # noqa: PLC0415  # 1.4-2 s

    notebook = nbformat.reads(tutorial(QUICKSTART), as_version=4)
    project = Project.init(target)
    disk = project.catalog.project.disk
    text = nbformat.writes(notebook) + "\n"
    disk.create(project.root / QUICKSTART, text.encode())
    disk.create(project.root / ".gitignore", b"data/raw/\n")
    _commit(project.root)
    started = time.perf_counter()
    try:
        _execute(notebook, project.root, quiet=quiet)
    finally:
        text = nbformat.writes(notebook) + "\n"
        disk.replace(project.root / QUICKSTART, text.encode())
    return Demo(
        project=project,
        seconds=round(time.perf_counter() - started, 3),
        rollback_took=_rollback_took(notebook),
    )


def tutorial(name: str) -> str:
    """Return the text of a tutorial, from the wheel or from the checkout.

    Raises
    ------
    NotFoundError
        When neither has it.
    """
    inside = resources.files("nbversion") / "tutorials" / name
    beside = Path(__file__).resolve().parent.parent / "tutorials" / name
    for place in (inside, beside):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise NotFoundError(f"the tutorial {name} is not installed; reinstall nbversion.")


def _commit(root: Path) -> None:
    """Put the project under git, so that its runs have a commit; without git they have none."""
    git = shutil.which("git")
    if git is None or git_root(root) is not None:
        return
    as_demo = ("-c", "user.name=nbversion demo", "-c", "user.email=demo@example.invalid")
    for arguments in (
        ("init", "--quiet"),
        ("add", "--all"),
        (*as_demo, "commit", "--quiet", "--no-gpg-sign", "--message", "The quickstart"),
    ):
        run_tool((git, *arguments), cwd=str(root), env=os.environ, timeout=_GIT_TIMEOUT_S)


def _rollback_took(notebook: NotebookNode) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.startswith("%rollback"):
            text = "".join(str(one.get("data", {}).get("text/plain", "")) for one in cell.outputs)
            if match := re.search(r"Took +([^,\n]+)", text):
                return match[1]
    return "an unknown time"


def _require_extra() -> None:
    missing = [
        name
        for name in ("nbclient", "ipykernel", "sklearn", "pandas", "matplotlib")
        if util.find_spec(name) is None
    ]
    if missing:
        raise InvalidInputError(
            f'the demo needs {", ".join(missing)}: pip install "nbversion[tutorials]". Nothing was '
            "written."
        )


def _execute(notebook: NotebookNode, root: Path, *, quiet: bool) -> None:
    from jupyter_client.kernelspec import KernelSpec  # noqa: PLC0415  # with the extra only
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415

    class ThisPython(AsyncKernelManager):
        """A kernel of this very interpreter, whatever kernels are installed."""

        @property
        def kernel_spec(self) -> Any:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="nbversion demo", language="python")

    codes = [at for at, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def tell(cell: NotebookNode, cell_index: int) -> None:
        if not quiet and cell_index in codes:
            first = cell.source.strip().partition("\n")[0]
            number = codes.index(cell_index) + 1
            print(f"[{number:2}/{len(codes)}] {first[:90]}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="nbv-") as sockets:
        kernel = ThisPython()
        if os.name == "posix":
            # Socket files instead of ports: nobody else on the machine can speak to the kernel.
            kernel.transport, kernel.ip = "ipc", f"{sockets}/kernel"
        client = NotebookClient(
            notebook,
            km=kernel,
            timeout=_TIMEOUT_S,
            resources={"metadata": {"path": str(root)}},
            on_cell_start=tell,
            store_widget_state=False,
        )
        _run_cells(client, root)


def _run_cells(client: NotebookClient, root: Path) -> None:
    from nbclient.exceptions import (  # noqa: PLC0415  # with the extra only
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
    )

    try:
        # The kernel manager is ours, so that only this argument ends its kernel.
        client.execute(cleanup_kc=True, cwd=str(root), env={**os.environ, "MPLBACKEND": _INLINE})
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as exc:
        said = str(exc).strip().splitlines()
        raise DemoError(
            f"a cell of {QUICKSTART} failed: {said[-1] if said else exc}. The project is left in "
            f"{root}."
        ) from exc
