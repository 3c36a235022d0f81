"""How far prices spread: standard deviation, z-score, Bollinger bands, average true range."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from quantlab.errors import ParameterError
from quantlab.kernels.averages import average_true_range
from quantlab.kernels.rolling import moving_moments, moving_score
from quantlab.signals.columns import as_columns, as_like, broadcast, columns_of_bars, window
from quantlab.signals.memo import remembered

__all__ = ["Bands", "atr", "bollinger", "rolling_std", "zscore"]


class Bands(NamedTuple):
    """Bands of `bollinger`, in TA-Lib's order."""

    upper: Any
    middle: Any
    lower: Any


@remembered
def rolling_std(x: Any, n: int, *, ddof: int = 0) -> Any:
    """Return the standard deviation of the last n bars.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices, or any numbers; not finite where an asset has no bar.
    n : int
        Length of the window in the asset's own bars, at least 1.
    ddof : int
        The squares are divided by n - ddof: 0 as in TA-Lib and numpy, 1 as in pandas.

    Returns
    -------
    same kind as `x`
        In the unit of `x`; NaN for an asset's first n - 1 bars, where it has none, and for n <= ddof. Exactly
        0 when all values of the window are equal; otherwise right to about 1e-15, however small it is beside
        the prices. It depends on the window alone, to the bit.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or for input that is not numbers.
    """
    return as_like(moving_moments(as_columns(x), window(n), window(ddof, "ddof", 0))[1], x)


@remembered
def zscore(x: Any, n: int, *, ddof: int = 0) -> Any:
    """Return how many standard deviations each bar lies above the mean of the last n, itself included.

    Parameters, NaN and errors as in `rolling_std`; NaN too where the deviation is 0.
    """
    return as_like(moving_score(as_columns(x), window(n), window(ddof, "ddof", 0)), x)


@remembered
def bollinger(x: Any, n: int = 20, width: float = 2.0) -> Bands:
    """Return Bollinger's bands: the mean of the last n bars, and `width` standard deviations above and below.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices.
    n : int
        Length of the window in the asset's own bars.
    width : float
        Distance of the outer bands in standard deviations (``ddof=0``, as in TA-Lib's BBANDS), not negative.

    Returns
    -------
    Bands
        ``upper``, ``middle`` and ``lower``, same kind as `x`; NaN as in `sma`.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or a width that is negative or not finite.
    """
    try:
        usable = math.isfinite(width) and width >= 0
    except TypeError:
        usable = False
    if not usable:
        raise ParameterError(
            f"width={width!r} cannot be used; a number of standard deviations >= 0 is needed."
        )
    mean, deviation = moving_moments(as_columns(x), window(n), 0)
    deviation *= width
    return Bands(as_like(mean + deviation, x), as_like(mean, x), as_like(mean - deviation, x))


@remembered
def atr(high: Any, low: Any = None, close: Any = None, n: int | None = None) -> Any:
    """Return Wilder's average true range, as ``atr(high, low, close, n=14)`` or ``atr(bars, n=14)``.

    The true range of a bar is the larger of high and the close before, minus the smaller of low and the close
    before; an asset's first bar has none. The first value, at its bar n (counted from 0), is the mean of the
    first n true ranges; then each counts 1/n. Starts and continues as TA-Lib's ATR; charts that give the
    first bar high - low differ at first.

    Parameters
    ----------
    high, low, close : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices. A row where one of them is not finite is no bar.
    n : int
        Length in the asset's own bars, at least 1.

    Returns
    -------
    same kind as `high`
        In the unit of prices; an array of shape (n_bars, n_assets) for bars.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or prices of different shapes.
    """
    (high, low, close), n = columns_of_bars(("high", "low", "close"), (high, low, close), n, 14)
    highs, lows, closes = broadcast(
        ("high", as_columns(high, "high")),
        ("low", as_columns(low, "low")),
        ("close", as_columns(close, "close")),
    )
    return as_like(average_true_range(highs, lows, closes, window(n)), high, low, close)
