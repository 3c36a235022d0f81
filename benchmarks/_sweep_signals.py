"""Signal functions that are swept: with remembered indicators, in plain numpy, and heavy on pandas."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.signals import sma


def crossing(bars: Any, fast: int = 2, slow: int = 3) -> Any:
    """Long while the fast average is above the slow one; a sweep remembers the averages."""
    return sma(bars.close, fast) > sma(bars.close, slow)


def banded(bars: Any, fast: int = 2, slow: int = 3, band: float = 0.0) -> Any:
    """Long while the fast average is above the slow one by more than a band, a fraction of it."""
    return sma(bars.close, fast) > sma(bars.close, slow) * (1.0 + band)


def plain_crossing(bars: Any, fast: int = 2, slow: int = 3) -> Any:
    """Compare the same averages by numpy alone, computed anew for each trial."""
    close = bars.close[:, 0]
    total = np.concatenate(([0.0], np.cumsum(close)))
    means = np.full((2, len(close)), np.nan)
    for mean, n in zip(means, (fast, slow), strict=True):
        mean[n - 1 :] = (total[n:] - total[:-n]) / n
    return means[0] > means[1]


def pandas_crossing(bars: Any, fast: int = 2, slow: int = 3) -> Any:
    """Compare an exponential with a plain average outside one deviation, as frames, computed anew for each trial."""
    close = bars.frame("close")
    rolling = close.rolling(slow)
    return close.ewm(span=fast, min_periods=fast).mean() > rolling.mean() + 0.1 * rolling.std()
