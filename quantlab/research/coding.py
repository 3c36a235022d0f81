"""Values as codes: distinct values of parameters, their places, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = [
    "coded",
    "coded_values",
    "distinct",
    "first_rows",
    "identity",
    "stable_text",
    "typed",
    "unravelled",
]


def coded(columns: Iterable[NDArray[Any]], n: int) -> NDArray[np.int32]:
    """Columns of places as one array of shape (n, n_names)."""
    columns = list(columns)
    codes = np.empty((n, len(columns)), np.int32)
    for j, column in enumerate(columns):
        codes[:, j] = column
    return codes


def coded_values(drawn: NDArray[Any]) -> tuple[tuple[Any, ...], NDArray[np.intp]]:
    """Distinct values of a column, and the places of its values among them."""
    if drawn.dtype != object:
        values, codes = np.unique(drawn, return_inverse=True)
        return tuple(values.tolist()), codes
    places: dict[Any, int] = {}
    codes = np.array([places.setdefault(identity(v), len(places)) for v in drawn], np.intp)
    return tuple(drawn[np.unique(codes, return_index=True)[1]].tolist()), codes


def first_rows(codes: NDArray[np.int32]) -> NDArray[np.intp]:
    """Places of the rows that are not there before, in order."""
    key = np.zeros(len(codes), np.int64)
    top = 1
    for column in codes.T:
        size = int(column.max(initial=0)) + 1
        if top * size >= 1 << 62:
            found, key = np.unique(key, return_inverse=True)
            top = len(found)
        key, top = key * size + column, top * size
    return np.sort(np.unique(key, return_index=True)[1])


def unravelled(flat: NDArray[np.int64], values: tuple[tuple[Any, ...], ...]) -> NDArray[np.int32]:
    """Codes of places in a product, shape (n, n_names); the last parameter moves fastest."""
    return coded(np.unravel_index(flat, [len(v) for v in values]) if values else [], len(flat))


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Values without those that were there before, in order."""
    first: dict[Any, Any] = {}
    for value in values:
        first.setdefault(identity(value), value)
    return tuple(first.values())


def identity(value: Any) -> Any:
    """Key of a value: 1, 1.0 and True are three values, and NaN is one."""
    if type(value) in {int, str, bool}:
        return (type(value), value)
    if isinstance(value, float):
        return (float, "nan" if math.isnan(value) else value)
    try:
        hash(value)
    except TypeError:
        return (type(value), stable_text(value))
    return (type(value), value)


def typed(values: tuple[Any, ...]) -> NDArray[Any]:
    """Values as bool, int64 or float64 where all are of that type, else as objects."""
    kinds = set(map(type, values))
    if len(kinds) == 1 and (kind := kinds.pop()) in {bool, int, float}:
        try:
            return np.array(values, {bool: bool, int: np.int64, float: np.float64}[kind])
        except OverflowError:
            pass
    return np.fromiter(values, object, len(values))


def stable_text(value: Any) -> str:
    """Text of a value that is the same in every process."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{stable_text(k)}:{stable_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}[" + ",".join(map(stable_text, value)) + "]"
    if isinstance(value, np.ndarray):
        return (
            f"ndarray{value.shape}{value.dtype}{hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()}"
        )
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return f"{type(value).__name__}({value!r})"
