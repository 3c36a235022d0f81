"""Averages with a memory that fades, and what is built on them: exponential, Wilder's, RSI, ATR, MACD.

Arrays have shape (n_bars, n_assets), C-contiguous and read-only; not finite where an asset has no bar. Unlike
a moving window, these depend on all of an asset's history, less and less. They start as TA-Lib's do: the
first value is the plain mean of the first n, and nothing is given before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel
from quantlab.kernels.columns import column_of, place, room_for, rows_of, rows_of_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["average_true_range", "exponential_mean", "macd_lines", "rate_of_change", "relative_strength"]


@kernel
def _exponential_column(values: NDArray[np.float64], start: int, n: int, out: NDArray[np.float64]) -> None:
    """Exponential mean of ``values[start:]``, weight 2 / (n + 1), from ``start + n - 1`` on."""
    m = values.shape[0]
    if m < start + n:
        return
    weight = 2.0 / (n + 1.0)
    average = 0.0
    for t in range(start, start + n):
        average += values[t]
    average /= n
    out[start + n - 1] = average
    for t in range(start + n, m):
        # This form keeps an average of equal values exactly where it is.
        average += weight * (values[t] - average)
        out[t] = average


@kernel
def exponential_mean(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Exponential mean of own bars, weight 2 / (n + 1). Shape of `x`; NaN for the first n - 1."""
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        _exponential_column(column, 0, n, result)
        place(result, rows, out, i)
    return out


@kernel
def _strength_column(column: NDArray[np.float64], n: int, out: NDArray[np.float64]) -> None:
    m = column.shape[0]
    if m <= n:
        return
    gain = 0.0
    loss = 0.0
    for t in range(1, m):
        change = column[t] - column[t - 1]
        up, down = max(change, 0.0), max(-change, 0.0)
        if t <= n:
            gain += up / n
            loss += down / n
        else:
            gain = (gain * (n - 1) + up) / n
            loss = (loss * (n - 1) + down) / n
        if t >= n:
            both = gain + loss
            out[t] = 100.0 * (gain / both) if both > 0.0 else 0.0


@kernel
def relative_strength(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Wilder's RSI in 0..100 of each asset's own bars. Shape of `x`; NaN for the first n."""
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        _strength_column(column, n, result)
        place(result, rows, out, i)
    return out


@kernel
def _true_range_column(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    n: int,
    out: NDArray[np.float64],
) -> None:
    m = close.shape[0]
    if m <= n:
        return
    average = 0.0
    for t in range(1, m):
        reach = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
        if t <= n:
            average += reach / n
        else:
            average = (average * (n - 1) + reach) / n
        if t >= n:
            out[t] = average


@kernel
def average_true_range(
    high: NDArray[np.float64], low: NDArray[np.float64], close: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Wilder's mean of the true range over bars that have all three prices. Shape of `close`.

    A true range needs the close before, so the first value stands at the asset's bar n, counted from 0.
    """
    out = np.full(close.shape, np.nan)
    for i in range(close.shape[1]):
        rows = rows_of_all(high, low, close, i)
        last = column_of(close, i, rows)
        result = room_for(out, last.shape[0], rows)
        _true_range_column(column_of(high, i, rows), column_of(low, i, rows), last, n, result)
        place(result, rows, out, i)
    return out


@kernel
def macd_lines(x: NDArray[np.float64], fast: int, slow: int, signal: int) -> NDArray[np.float64]:
    """MACD line, its signal line and their difference, shape (3, n_bars, n_assets).

    As in TA-Lib both averages start on the same bar: the fast one from the mean of the `fast` values before
    the first slow one. All three lines start with the signal line, at bar ``slow + signal - 2``.
    """
    n_bars, n_assets = x.shape
    lines = np.full((3, n_bars, n_assets), np.nan)
    for i in range(n_assets):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        m = column.shape[0]
        first = slow + signal - 2
        if m <= first:
            continue
        line, mean = np.empty(m), np.empty(m)
        _exponential_column(column, slow - fast, fast, line)
        _exponential_column(column, 0, slow, mean)
        for t in range(slow - 1, m):
            line[t] -= mean[t]
        _exponential_column(line, slow - 1, signal, mean)
        for k in range(first, m):
            t = rows[k] if rows.shape[0] > 0 else k
            lines[0, t, i] = line[k]
            lines[1, t, i] = mean[k]
            lines[2, t, i] = line[k] - mean[k]
    return lines


@kernel
def rate_of_change(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Change over n own bars in percent. Shape of `x`; NaN for the first n, and after a value of 0."""
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        for t in range(n, column.shape[0]):
            before = column[t - n]
            result[t] = (column[t] / before - 1.0) * 100.0 if before != 0.0 else np.nan
        place(result, rows, out, i)
    return out
