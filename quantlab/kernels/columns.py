"""An asset's own bars: taken out of (n_bars, n_assets) without its gaps, and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["column_of", "place", "room_for", "rows_of", "rows_of_all", "shift_column", "shifted"]


@kernel
def rows_of(x: NDArray[np.float64], i: int) -> NDArray[np.int64]:
    """Rows at which column `i` of `x` is finite; empty when that is every row (nothing has to move)."""
    n_bars = x.shape[0]
    count = 0
    for t in range(n_bars):
        count += np.isfinite(x[t, i])
    rows = np.empty(0 if count == n_bars else max(count, 1), np.int64)
    if count == n_bars:
        return rows
    k = 0
    for t in range(n_bars):
        if np.isfinite(x[t, i]):
            rows[k] = t
            k += 1
    if count == 0:
        # An empty list would read as "every row"; a row of -1 reads as "none".
        rows[0] = -1
    return rows


@kernel
def rows_of_all(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], i: int
) -> NDArray[np.int64]:
    """Rows at which column `i` is finite in all three arrays; as `rows_of` otherwise."""
    n_bars = x.shape[0]
    both = np.empty((n_bars, 1))
    for t in range(n_bars):
        fine = np.isfinite(x[t, i]) and np.isfinite(y[t, i]) and np.isfinite(z[t, i])
        both[t, 0] = 0.0 if fine else np.nan
    return rows_of(both, 0)


@kernel
def column_of(x: NDArray[np.float64], i: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Column `i` of `x` at `rows`, contiguous: a view when one asset has every bar, else a copy."""
    n_bars, n_assets = x.shape
    if n_assets == 1 and rows.shape[0] == 0:
        column = x.reshape(n_bars)
    elif rows.shape[0] == 0:
        every = np.empty(n_bars)
        for t in range(n_bars):
            every[t] = x[t, i]
        column = every
    else:
        count = 0 if rows[0] < 0 else rows.shape[0]
        some = np.empty(count)
        for k in range(count):
            some[k] = x[rows[k], i]
        column = some
    return column


@kernel
def room_for(out: NDArray[np.float64], n_own: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Array of shape (n_own,) to compute into: `out` itself when one asset has every bar. Filled with NaN."""
    if out.shape[1] == 1 and rows.shape[0] == 0:
        return out.reshape(out.shape[0])
    return np.full(n_own, np.nan)


@kernel
def place(result: NDArray[np.float64], rows: NDArray[np.int64], out: NDArray[np.float64], i: int) -> None:
    """Write `result`, one value per own bar, into column `i` of `out` at `rows`."""
    if rows.shape[0] == 0:
        if out.shape[1] > 1:
            for t in range(result.shape[0]):
                out[t, i] = result[t]
    else:
        for k in range(result.shape[0]):
            out[rows[k], i] = result[k]


@kernel
def shift_column(column: NDArray[np.float64], n: int, out: NDArray[np.float64]) -> None:
    """``out[t] = column[t - n]``; the first n stay as they are."""
    for t in range(n, column.shape[0]):
        out[t] = column[t - n]


@kernel
def shifted(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Value of each asset's n-th bar before, n >= 0, shape of `x`.

    Parameters
    ----------
    x : ndarray of shape (n_bars, n_assets)
        Not finite where an asset has no bar.
    n : int
        Own bars to look back.

    Returns
    -------
    ndarray of shape (n_bars, n_assets)
        NaN for the first n bars of an asset and where it has none.
    """
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        shift_column(column, n, result)
        place(result, rows, out, i)
    return out
