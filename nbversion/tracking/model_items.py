"""From the object or the path that a run is to register to the files of a model version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbversion.capture.serializers import full_name, serialize
from nbversion.store.sources import list_source


def model_items(value: Any, model: str) -> tuple[dict[str, str | Path | bytes], dict[str, Any]]:
    """Return the files that a model consists of, and how they were made.

    A `Path` is taken as it is, as ``model`` with its own suffix; any other object is serialized.

    Raises
    ------
    NotFoundError, InvalidInputError
        When the path is not there, or the object cannot be saved.
    """
    if isinstance(value, Path):
        source = list_source(value, ignore=())
        if value.is_dir():
            return {f"model/{path}": source.place(path) for path in source.items}, {
                "serializer": "file"
            }
        return {f"model{''.join(value.suffixes)}": value}, {"serializer": "file"}
    serializer, data = serialize(value, f"the model {model!r}")
    return {f"model{serializer.suffix}": data}, {
        "serializer": serializer.name,
        "type": full_name(type(value)),
    }
