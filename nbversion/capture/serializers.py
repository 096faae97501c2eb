"""Objects to bytes and back: models by pickle or by a table of types, tables and arrays.

A class that was defined in the notebook is pickled by value, so that the model loads in a process
that never saw the notebook. Loading a pickle runs code; only verified bytes get that far.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nbversion.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

# Fixed: the default changes with Python's version, and with it the bytes of the same model.
PICKLE_PROTOCOL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Serializer:
    """How objects of one type become a file.

    Parameters
    ----------
    name : str
        Recorded with the model, to find the way back.
    suffix : str
        Of the file, with the dot.
    dump : callable
        Object to bytes. Equal objects should give equal bytes.
    load : callable
        Bytes to object.
    """

    name: str
    suffix: str
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]


def _dump_pickle(value: Any) -> bytes:
    import cloudpickle  # noqa: PLC0415  # only who saves a model pays for it

    return bytes(cloudpickle.dumps(value, protocol=PICKLE_PROTOCOL))


def _load_joblib(data: bytes) -> Any:
    try:
        import joblib  # noqa: PLC0415  # not a dependency: it comes with scikit-learn
    except ImportError as exc:
        raise InvalidInputError(
            "this model was saved with joblib, which is not installed: pip install joblib"
        ) from exc
    return joblib.load(BytesIO(data))


PICKLE = Serializer(name="pickle", suffix=".pkl", dump=_dump_pickle, load=pickle.loads)
# Keyed by the full name of the type, so that registering one imports nothing.
_BY_TYPE: dict[str, Serializer] = {}
_LOADERS: dict[str, Callable[[bytes], Any]] = {
    ".pkl": pickle.loads,
    ".pickle": pickle.loads,
    ".joblib": _load_joblib,
}


def register_serializer(type_name: str, serializer: Serializer) -> None:
    """Save objects of a type, and of its subclasses, in another way than by pickle.

    Parameters
    ----------
    type_name : str
        Module and qualified name: ``"xgboost.core.Booster"``.
    serializer : Serializer

    Examples
    --------
    >>> import json
    >>> register_serializer(
    ...     "collections.Counter",
    ...     Serializer(
    ...         name="counter-json",
    ...         suffix=".json",
    ...         dump=lambda counter: json.dumps(counter, sort_keys=True).encode(),
    ...         load=json.loads,
    ...     ),
    ... )
    """
    _BY_TYPE[type_name] = serializer
    _LOADERS[serializer.name] = serializer.load


def serializer_for(value: Any) -> Serializer:
    """Return how `value` is saved: by the nearest registered type, else by pickle."""
    for kind in type(value).__mro__:
        found = _BY_TYPE.get(full_name(kind))
        if found is not None:
            return found
    return PICKLE


def full_name(kind: type) -> str:
    """Return module and qualified name of a type."""
    return f"{kind.__module__}.{kind.__qualname__}"


def serialize(value: Any, what: str) -> tuple[Serializer, bytes]:
    """Return the bytes of an object and how they were made.

    Raises
    ------
    InvalidInputError
        When the object cannot be saved.
    """
    serializer = serializer_for(value)
    try:
        return serializer, serializer.dump(value)
    except Exception as exc:
        raise InvalidInputError(
            f"{what} cannot be saved by {serializer.name}: {type(exc).__name__}: {exc}. Nothing was "
            "registered."
        ) from exc


def load(data: bytes, *, serializer: str | None, suffix: str, what: str) -> Any:
    """Return the object that verified bytes hold.

    Parameters
    ----------
    data : bytes
        Verified by the caller: a pickle runs code.
    serializer : str or None
        The name that was recorded; None for a file that was taken as it was.
    suffix : str
        The file's suffix, which then decides.
    what : str
        For messages.

    Raises
    ------
    NotFoundError
        When nothing is registered for it.
    """
    if serializer == PICKLE.name:
        return PICKLE.load(data)
    loader = _LOADERS.get(serializer or suffix)
    if loader is None:
        raise NotFoundError(
            f"{what} was saved as {serializer or suffix!r}, for which no loader is known. Register "
            "one with nbversion.register_serializer, or take its verified file with %restore."
        )
    return loader(data)


def encode_table(value: Any, name: str) -> tuple[str, bytes]:
    """Return the file name and the bytes of a data frame or an array.

    Data frames become Parquet, arrays ``.npy``; equal values give equal bytes with the same
    library versions.

    Raises
    ------
    InvalidInputError
        When it is neither, holds Python objects, or the library for it is missing.
    """
    kinds = {full_name(kind) for kind in type(value).__mro__}
    if kinds & {"pandas.core.frame.DataFrame", "pandas.DataFrame"}:
        return f"{name}.parquet", _to_parquet(value, name)
    if kinds & {"pandas.core.series.Series", "pandas.Series"}:
        return f"{name}.parquet", _to_parquet(value.to_frame(), name)
    if kinds & {"polars.dataframe.frame.DataFrame"}:
        buffer = BytesIO()
        value.write_parquet(buffer)
        return f"{name}.parquet", buffer.getvalue()
    if "numpy.ndarray" in kinds:
        import numpy as np  # noqa: PLC0415  # the caller has it

        if value.dtype.hasobject:
            raise InvalidInputError(
                f"{name!r} is an array of Python objects, which has no safe file. Nothing was "
                "written; convert it to numbers or text first."
            )
        buffer = BytesIO()
        np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)
        return f"{name}.npy", buffer.getvalue()
    raise InvalidInputError(
        f"{name!r} is a {type(value).__name__}; a file, a folder, a data frame or an array can be "
        "frozen. Nothing was written."
    )


def _to_parquet(frame: Any, name: str) -> bytes:
    buffer = BytesIO()
    try:
        frame.to_parquet(buffer, engine="pyarrow", compression="snappy")
    except ImportError as exc:
        raise InvalidInputError(
            f"{name!r} is a data frame; to freeze it as Parquet, run: pip install "
            '"nbversion[parquet]". Nothing was written.'
        ) from exc
    except Exception as exc:
        # pyarrow has a dozen classes for a column it cannot write, not all of them ValueErrors.
        why = " ".join(str(exc.args[0] if exc.args else exc).split())
        raise InvalidInputError(
            f"{name!r} cannot be written as Parquet: {why}. Nothing was written; convert that "
            "column first."
        ) from exc
    return buffer.getvalue()
