"""Bars of one symbol as the detectors see them, and the scale that its moves are measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.data.findings import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.barsize import BarSize

__all__ = ["SCALE_BARS", "Series", "local_scale", "usual"]

SHOWN = 3
"""Places that a finding names; the others are counted."""

SCALE_BARS = 50
"""Bars of one block of the local scale of returns: long enough for a median, short enough to follow
volatility."""

SCALE_FLOOR = 1e-4
"""Least scale of a return: one basis point, so that a quiet stretch does not make each tick a spike."""


@dataclass(frozen=True, eq=False)
class Series:
    """Bars of one symbol without holes.

    Attributes
    ----------
    symbol : str
    label : ndarray of datetime64 of shape (n_bars,)
        Session dates, or closes in UTC for intraday bars.
    open, high, low, close, volume, factor : ndarray of shape (n_bars,)
    session : ndarray of shape (n_bars,)
    split : ndarray of shape (n_bars,)
        Known split ratio that takes effect at the bar (2.0 is two for one); 1 elsewhere.
    scale : ndarray of shape (n_bars,)
        `local_scale` of the closes.
    size : BarSize
    """

    symbol: str
    label: NDArray[np.datetime64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    factor: NDArray[np.float64]
    session: NDArray[np.int64]
    split: NDArray[np.float64]
    scale: NDArray[np.float64]
    size: BarSize

    def finding(self, check: str, severity: str, rows: NDArray[Any], detail: str, advice: str) -> Finding:
        """Record of the bars `rows`."""
        first, last = str(self.label[rows[0]]), str(self.label[rows[-1]])
        return Finding(check, severity, self.symbol, first, last, int(rows.size), detail, advice)

    def places(self, rows: NDArray[Any], text: Any) -> str:
        """Say the first few rows in words."""
        shown = "; ".join(f"{self.label[k]} {text(k)}" for k in rows[:SHOWN])
        return shown + (f"; and {rows.size - SHOWN} more." if rows.size > SHOWN else ".")


def local_scale(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Local scale of returns: median absolute log return of a bar's block or a neighbouring one, the largest.

    Parameters
    ----------
    close : ndarray of shape (n_bars,)

    Returns
    -------
    ndarray of shape (n_bars,)
        At least ``SCALE_FLOOR``.
    """
    moves = np.abs(np.diff(np.log(close)))
    if moves.size == 0:
        return np.full(close.size, SCALE_FLOOR)
    n_blocks = max(1, moves.size // SCALE_BARS)
    whole = (n_blocks - 1) * SCALE_BARS
    # The last block takes what is left over.
    last = np.median(moves[whole:])
    medians = np.append(np.median(moves[:whole].reshape(-1, SCALE_BARS), axis=1), last)
    padded = np.pad(medians, 1, mode="edge")
    widest = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    block = np.minimum(np.arange(close.size) // SCALE_BARS, n_blocks - 1)
    return np.asarray(np.maximum(widest[block], SCALE_FLOOR), np.float64)


def usual(values: NDArray[np.float64], k: int, before: int) -> float:
    """Median of up to `before` values ahead of row k; NaN without any."""
    window = values[max(0, k - before) : k]
    window = window[np.isfinite(window) & (window > 0.0)]
    return float(np.median(window)) if window.size else float("nan")
