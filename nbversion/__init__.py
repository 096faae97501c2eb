"""Data and model versioning that lives inside the Jupyter notebook, on plain files.

``%load_ext nbversion`` in a notebook gives the magics; `Project` carries the same verbs in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbversion.api import (
        Project,
        Serializer,
        data,
        last_run,
        load_model,
        log_artifact,
        log_figure,
        log_metric,
        log_param,
        register_serializer,
    )
    from nbversion.errors import NbversionError

__version__ = "0.1.0"
__all__ = [
    "NbversionError",
    "Project",
    "Serializer",
    "__version__",
    "data",
    "last_run",
    "load_model",
    "log_artifact",
    "log_figure",
    "log_metric",
    "log_param",
    "register_serializer",
]


def __getattr__(name: str) -> Any:
    # Importing the package must cost nothing: a notebook that only loads the extension pays for
    # what it uses.
    if name == "NbversionError":
        from nbversion.errors import NbversionError  # noqa: PLC0415

        return NbversionError
    if name in __all__:
        from nbversion import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: Any) -> None:
    """Give `shell` the magics; writes nothing."""
    from nbversion.notebook.extension import load  # noqa: PLC0415

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics back."""
    from nbversion.notebook.extension import unload  # noqa: PLC0415

    unload(shell)
