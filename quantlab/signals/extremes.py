"""Highest and lowest of a window, and Donchian's channel made of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from quantlab.kernels.rolling import moving_extreme
from quantlab.signals.columns import as_columns, as_like, broadcast, columns_of_bars, window
from quantlab.signals.memo import remembered

__all__ = ["Channel", "donchian", "rolling_max", "rolling_min"]


class Channel(NamedTuple):
    """Lines of `donchian`."""

    upper: Any
    middle: Any
    lower: Any


@remembered
def rolling_min(x: Any, n: int) -> Any:
    """Return the least of the last n bars.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices, or any numbers; not finite where an asset has no bar.
    n : int
        Length of the window in the asset's own bars, at least 1.

    Returns
    -------
    same kind as `x`
        In the unit of `x`; NaN for an asset's first n - 1 bars and where it has none.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or for input that is not numbers.
    """
    return as_like(moving_extreme(as_columns(x), window(n), 1.0), x)


@remembered
def rolling_max(x: Any, n: int) -> Any:
    """Return the greatest of the last n bars; parameters, NaN and errors as in `rolling_min`."""
    return as_like(moving_extreme(as_columns(x), window(n), -1.0), x)


@remembered
def donchian(high: Any, low: Any = None, n: int | None = None) -> Channel:
    """Return Donchian's channel, as ``donchian(high, low, n=20)`` or ``donchian(bars, n=20)``.

    The window ends at the bar itself, as in TA-Lib's MAX and MIN, so no close is ever above ``upper``. A
    breakout compares with the channel of the bar before: ``bars.close > shift(channel.upper)``.

    Parameters
    ----------
    high, low : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices.
    n : int
        Length of the window in the asset's own bars, at least 1.

    Returns
    -------
    Channel
        ``upper`` (highest high), ``middle`` (halfway) and ``lower`` (lowest low), same kind as the input.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or prices of different shapes.
    """
    (high, low), n = columns_of_bars(("high", "low"), (high, low), n, 20)
    highs, lows = broadcast(("high", as_columns(high, "high")), ("low", as_columns(low, "low")))
    n = window(n)
    upper, lower = moving_extreme(highs, n, -1.0), moving_extreme(lows, n, 1.0)
    middle = 0.5 * upper + 0.5 * lower
    return Channel(*(as_like(line, high, low) for line in (upper, middle, lower)))
