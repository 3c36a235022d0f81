"""Long series drawn with few points, so that no extreme is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["thin"]


def thin(values: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """Rows to draw of a long series: first, lowest, highest and last of each of limit / 4 equal stretches.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN is passed over; a stretch of nothing but NaN keeps its ends, so that a gap stays a gap.
    limit : int
        Most rows wanted, at least 4.

    Returns
    -------
    ndarray of int64
        Rising and distinct; all rows where there are no more than `limit`. Row 0, the last row and the first
        row that holds the overall minimum or maximum are among them.
    """
    n = values.shape[0]
    if n <= limit:
        return np.arange(n)
    n_stretches = max(1, limit // 4)
    size = -(-n // n_stretches)
    n_stretches = -(-n // size)
    padded = np.full(n_stretches * size, np.nan)
    padded[:n] = values
    table = padded.reshape(n_stretches, size)
    first = np.arange(n_stretches) * size
    last = np.minimum(first + size, n) - 1
    lowest = first + np.where(np.isnan(table), np.inf, table).argmin(axis=1)
    highest = first + np.where(np.isnan(table), -np.inf, table).argmax(axis=1)
    return np.unique(np.concatenate([first, lowest, highest, last]))
