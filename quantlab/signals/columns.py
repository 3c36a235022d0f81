"""What users hand in (arrays, Series, frames) into the columns that kernels take, and back again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_columns", "as_events", "as_like", "broadcast", "window"]

FLOAT = np.dtype(np.float64)

PLAIN = frozenset({np.ndarray, int, float, type(None)})
"""Types that have no labels."""

LONGEST = 2**31
"""Windows are cut to this length, which no history reaches, so that any whole number is taken."""


def as_columns(x: Any, name: str = "x") -> NDArray[np.float64]:
    """Read-only C-contiguous float64 array of shape (n_bars, n_assets), a view of `x` where possible.

    Kernels compile once because every array that reaches them is of this one kind.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Numbers; the first axis is bars.
    name : str
        What errors call it.

    Raises
    ------
    ParameterError
        For anything but numbers of one or two dimensions.
    """
    if type(x) is np.ndarray and x.dtype == FLOAT and x.ndim == 2:
        flags = x.flags
        if flags.c_contiguous and flags.aligned:
            if not flags.writeable:
                return x
            view = x.view()
            view.setflags(write=False)
            return view
    array = _numbers(x, name)
    if array.ndim not in {1, 2}:
        raise ParameterError(
            f"{name} has {array.ndim} dimensions; (n_bars,) or (n_bars, n_assets) is needed, "
            "for example bars.close."
        )
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    return _frozen(np.asarray(array, FLOAT))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Read-only view, or a copy where the array is not contiguous."""
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.array(array, order="C")
    view = array.view()
    view.setflags(write=False)
    return view


def _numbers(x: Any, name: str) -> NDArray[Any]:
    if _labelled(x):
        kinds = {getattr(t, "kind", "O") for t in ([x.dtype] if x.ndim == 1 else x.dtypes)}
        if not kinds <= set("biuf"):
            raise _not_numbers(name, x.dtype if x.ndim == 1 else sorted(map(str, set(x.dtypes))))
        array: NDArray[Any] = x.to_numpy(np.float64, na_value=np.nan)
        return array
    if isinstance(x, np.ma.MaskedArray):
        filled: NDArray[Any] = np.ma.filled(x.astype(np.float64), np.nan)
        return filled
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise _not_numbers(name, array.dtype if isinstance(x, np.ndarray) else type(x).__name__)
    return array


def _not_numbers(name: str, given: Any) -> ParameterError:
    return ParameterError(
        f"{name} is of type {given}; an array, Series or frame of numbers is needed, for example bars.close."
    )


def _labelled(x: Any) -> bool:
    # Whoever hands in a Series or frame has loaded pandas; nobody else has to wait for it.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(x, (pandas.Series, pandas.DataFrame))


def as_like(result: NDArray[Any], *given: Any) -> Any:
    """Give a result of shape (n_bars, n_assets) the kind, shape and labels of what was handed in.

    Of several inputs the one with the most columns decides, a labelled one before others; labels of several
    labelled inputs must agree.

    Raises
    ------
    ParameterError
        For inputs whose labels differ.
    """
    first = given[0]
    if type(first) is np.ndarray and all(type(x) in PLAIN for x in given):
        wide = result.shape[1] > 1 or any(type(x) is np.ndarray and x.ndim == 2 for x in given)
        return result if wide else result.reshape(result.shape[0])
    labelled = [x for x in given if _labelled(x)]
    for other in labelled[1:]:
        _check_labels(labelled[0], other)
    for x in labelled:
        if x.ndim == 2 and x.shape == result.shape:
            return type(x)(result, index=x.index, columns=x.columns)
    for x in labelled:
        if x.ndim == 1 and result.shape == (x.shape[0], 1):
            return type(x)(result[:, 0], index=x.index, name=x.name)
    flat = all(np.ndim(x) < 2 for x in given)
    return result[:, 0] if flat and result.shape[1] == 1 else result


def _check_labels(a: Any, b: Any) -> None:
    if a.index is not b.index and not a.index.equals(b.index):
        raise ParameterError(
            f"the inputs have different indexes ({a.index[:1].tolist()} … and {b.index[:1].tolist()} …); "
            "labels are never matched by position. Align them first, for example a, b = a.align(b)."
        )
    if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] and not a.columns.equals(b.columns):
        raise ParameterError(
            f"the inputs have different columns ({list(a.columns)[:3]} … and {list(b.columns)[:3]} …); "
            "labels are never matched by position. Bring them into one order, for example b = b[a.columns]."
        )


def as_events(x: Any, name: str) -> NDArray[np.bool_]:
    """Events as a read-only C-contiguous bool array of shape (n_bars, n_assets); 1, 0, NaN (none) are too.

    Raises
    ------
    ParameterError
        For anything else: prices, say, are no events.
    """
    if type(x) is not np.ndarray or x.dtype != np.bool_:
        numbers = _numbers(x, name)
        if numbers.dtype.kind == "f":
            numbers = np.nan_to_num(numbers, nan=0.0)
        events = numbers == 1
        if not (events | (numbers == 0)).all():
            wrong = numbers[~(events | (numbers == 0))].flat[0]
            raise ParameterError(f"{name} holds {wrong!r}; events are True and False (or 1, 0 and NaN).")
        x = events
    if x.ndim not in {1, 2}:
        raise ParameterError(f"{name} has {x.ndim} dimensions; (n_bars,) or (n_bars, n_assets) is needed.")
    return _frozen(x.reshape(-1, 1) if x.ndim == 1 else x)


def broadcast(*arrays: tuple[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Arrays of one shape (n_bars, n_assets); one column stands for every asset. Contiguous and read-only.

    Raises
    ------
    ParameterError
        For different numbers of bars or assets.
    """
    n_bars, n_assets = arrays[0][1].shape[0], max(a.shape[1] for _, a in arrays)
    same = []
    for name, array in arrays:
        if array.shape[0] != n_bars or array.shape[1] not in {1, n_assets}:
            raise ParameterError(
                f"{name} has shape {array.shape} and {arrays[0][0]} {arrays[0][1].shape}; the same bars and "
                "assets are needed (one column may stand for all assets)."
            )
        if array.shape[1] != n_assets:
            array = np.ascontiguousarray(np.broadcast_to(array, (n_bars, n_assets)))  # noqa: PLW2901
            array.setflags(write=False)
        same.append(array)
    return same


def window(n: Any, name: str = "n", least: int = 1) -> int:
    """Length of a window, checked.

    Raises
    ------
    ParameterError
        For anything but a whole number of at least `least`.
    """
    if type(n) is int and least <= n <= LONGEST:
        return n
    if isinstance(n, (int, np.integer)) and not isinstance(n, (bool, np.bool_)) and n >= least:
        return min(int(n), LONGEST)
    raise ParameterError(
        f"{name}={n!r} ({type(n).__name__}) cannot be used; a whole number, at least {least}, is needed."
    )


def columns_of_bars(
    names: tuple[str, ...], given: tuple[Any, ...], n: Any, default: int
) -> tuple[tuple[Any, ...], Any]:
    """Prices and length of a function called as ``f(high, low, n)`` or as ``f(bars, n)``.

    Raises
    ------
    ParameterError
        When prices are missing.
    """
    if all(hasattr(given[0], name) for name in (*names, "session")):
        bars, first, *more = given
        if any(x is not None for x in more) or (first is not None and n is not None):
            raise ParameterError(f"with bars only n is to be given besides, not also {', '.join(names[1:])}.")
        n = first if n is None else n
        given = tuple(getattr(bars, name) for name in names)
    missing = [name for name, x in zip(names, given, strict=True) if x is None]
    if missing:
        raise ParameterError(
            f"{', '.join(missing)} not given; give bars, or {', '.join(names)} as arrays of one shape."
        )
    return given, default if n is None else n
