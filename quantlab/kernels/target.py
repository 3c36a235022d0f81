"""Targets as their changes: the bars at which one moves, and nothing in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["moved_bars", "presence_bars"]


@kernel
def moved_bars(target: NDArray[np.float64], bars: NDArray[np.int64]) -> int:
    """Write the bars at which any target differs from the bar before into `bars`; return how many there are.

    Parameters
    ----------
    target : ndarray of shape (n_bars, n_assets)
        NaN equals NaN.
    bars : ndarray of shape (n_bars,)
        Filled in from the front; the first bar always counts.
    """
    n_bars, n_assets = target.shape
    bars[0] = 0
    count = 1
    for t in range(1, n_bars):
        for i in range(n_assets):
            now, before = target[t, i], target[t - 1, i]
            if now != before and (now == now or before == before):
                bars[count] = t
                count += 1
                break
    return count


@kernel
def presence_bars(close: NDArray[np.float64], bars: NDArray[np.int64]) -> int:
    """Write the bars at which any asset comes or goes (its close turns from or to NaN) into `bars`; return how many."""
    n_bars, n_assets = close.shape
    count = 0
    for t in range(1, n_bars):
        for i in range(n_assets):
            now, before = close[t, i], close[t - 1, i]
            if (now == now) != (before == before):
                bars[count] = t
                count += 1
                break
    return count
