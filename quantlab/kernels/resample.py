"""Bars into longer bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bars_to_bars"]


@kernel
def bars_to_bars(columns: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Join groups of consecutive bars into one bar each.

    Parameters
    ----------
    columns : ndarray of shape (5, n_bars, n_assets)
        Open, high, low, close, volume. A bar without a close is no bar and is skipped.
    starts : ndarray of shape (n_groups + 1,)
        First bar of each group, and n_bars at the end.

    Returns
    -------
    ndarray of shape (5, n_groups, n_assets)
        First open, highest high, lowest low, last close and the sum of the volumes that are known; NaN for
        an asset without a bar in the group, and for a volume that none of its bars has.
    """
    n_groups = starts.shape[0] - 1
    n_assets = columns.shape[2]
    joined = np.full((5, n_groups, n_assets), np.nan)
    for g in range(n_groups):
        for t in range(starts[g], starts[g + 1]):
            for i in range(n_assets):
                close = columns[3, t, i]
                if close != close:
                    continue
                if joined[3, g, i] != joined[3, g, i]:
                    joined[0, g, i] = columns[0, t, i]
                    joined[1, g, i] = columns[1, t, i]
                    joined[2, g, i] = columns[2, t, i]
                else:
                    joined[1, g, i] = max(joined[1, g, i], columns[1, t, i])
                    joined[2, g, i] = min(joined[2, g, i], columns[2, t, i])
                joined[3, g, i] = close
                volume = columns[4, t, i]
                if volume == volume:
                    known = joined[4, g, i]
                    joined[4, g, i] = volume if known != known else known + volume
    return joined
