"""Values as records keep them: params, metrics."""

from __future__ import annotations

from typing import Any, TypeGuard

from nbversion.errors import InvalidInputError

# A path or a prompt fits; a document belongs into a snapshot.
MAX_TEXT = 10_000
_MAX_ITEMS = 1_000
_MAX_DEPTH = 8
# Larger ones have no decimal form that every reader takes.
_MAX_BITS = 1024
_SCALARS = (bool, int, float, str, type(None))


def scalar(value: Any) -> Any:
    """Return a Python scalar for a scalar of any library (``numpy.float32(0.5)`` gives 0.5).

    Anything else is given back as it is.
    """
    if isinstance(value, _SCALARS) and type(value) in _SCALARS:
        return value
    if isinstance(value, _SCALARS) and not isinstance(value, str):
        # A subclass, such as an IntEnum or numpy.float64, whose own form JSON does not know.
        return next(kind(value) for kind in (bool, int, float) if isinstance(value, kind))
    if isinstance(value, str):
        return str.__str__(value)
    try:
        item = getattr(value, "item", None)
        taken = item() if callable(item) and tuple(getattr(value, "shape", (0,))) == () else value
    except Exception:  # noqa: BLE001  # any object of the user's may answer anything
        return value
    return taken if isinstance(taken, _SCALARS) else value


def is_text(value: object) -> TypeGuard[str]:
    """Whether `value` is a text that a file in UTF-8 can hold."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def is_param(value: Any, *, nested: bool = True) -> bool:
    """Whether `value` can stand as a param: a scalar, or a small list or mapping of scalars."""
    return _fits(value, _MAX_DEPTH if nested else 0)


def _fits(value: Any, depth: int) -> bool:
    value = scalar(value)
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and is_text(value)
    if isinstance(value, int):
        return value.bit_length() <= _MAX_BITS
    if isinstance(value, _SCALARS):
        return True
    if not depth:
        return False
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS:
        return all(_fits(item, depth - 1) for item in value)
    if isinstance(value, dict) and len(value) <= _MAX_ITEMS:
        return all(is_text(key) and _fits(item, depth - 1) for key, item in value.items())
    return False


def encode_param(name: str, value: Any) -> Any:
    """Return `value` as a record keeps it.

    Raises
    ------
    InvalidInputError
        When it is neither a scalar nor a small list or mapping of scalars.
    """
    if not is_param(value):
        raise InvalidInputError(
            f"the param {name!r} is a {type(value).__name__}; a param is a number, a text, True, "
            "False, None, or a small list or mapping of these. Freeze data with %snapshot instead."
        )
    value = scalar(value)
    if isinstance(value, (list, tuple)):
        return [encode_param(name, item) for item in value]
    if isinstance(value, dict):
        return {str.__str__(key): encode_param(name, item) for key, item in value.items()}
    return value


def encode_metric(name: str, value: Any) -> float:
    """Return a metric as a number; NaN and infinity are numbers too.

    Raises
    ------
    InvalidInputError
        When it is not one number.
    """
    taken = scalar(value)
    if isinstance(taken, bool) or not isinstance(taken, (int, float)):
        raise InvalidInputError(
            f"the metric {name!r} is a {type(value).__name__}; a metric is one number."
        )
    if isinstance(taken, int) and abs(taken) > 2**53:
        raise InvalidInputError(f"the metric {name!r} is beyond what a float holds exactly.")
    return taken
