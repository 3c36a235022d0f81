"""Averages of prices: simple, exponential, weighted, MACD, and the session's volume-weighted price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantlab.errors import ParameterError
from quantlab.kernels.averages import exponential_mean, macd_lines
from quantlab.kernels.events import session_mean_price
from quantlab.kernels.rolling import moving_mean, moving_weighted_mean
from quantlab.signals.columns import as_columns, as_like, window
from quantlab.signals.memo import remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars

__all__ = ["MACD", "ema", "macd", "session_vwap", "sma", "wma"]


class MACD(NamedTuple):
    """Lines of `macd`, in TA-Lib's order: the line, its signal line, and their difference."""

    line: Any
    signal: Any
    histogram: Any


@remembered
def sma(x: Any, n: int) -> Any:
    """Return the simple moving average: the mean of the last n bars.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices, or any numbers; not finite where an asset has no bar.
    n : int
        Length of the window in the asset's own bars, at least 1.

    Returns
    -------
    same kind as `x`
        In the unit of `x`; NaN for an asset's first n - 1 bars and where it has none. The exact sum of the
        window, rounded once, divided by n: it depends on the window alone.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or for input that is not numbers.

    Examples
    --------
    >>> sma([1.0, 2.0, 4.0, 9.0], 2)
    array([nan, 1.5, 3. , 6.5])
    """
    return as_like(moving_mean(as_columns(x), window(n)), x)


@remembered
def wma(x: Any, n: int) -> Any:
    """Return the linearly weighted moving average: weights 1 (oldest) to n (newest) over the last n bars.

    Parameters and errors as in `sma`. NaN for an asset's first n - 1 bars and where it has none.
    """
    return as_like(moving_weighted_mean(as_columns(x), window(n)), x)


@remembered
def ema(x: Any, n: int) -> Any:
    """Return the exponential moving average with weight 2 / (n + 1), started as in TA-Lib.

    The first value, at an asset's n-th bar, is the mean of its first n bars; nothing is given before. Unlike
    `sma` it depends on the whole history: two histories agree only once the start has faded (to 1e-9 of its
    effect after about 10.4 (n + 1) bars). pandas' ``ewm(span=n, adjust=False)`` starts from the first price.

    Parameters and errors as in `sma`.
    """
    return as_like(exponential_mean(as_columns(x), window(n)), x)


@remembered
def macd(x: Any, fast: int = 12, slow: int = 26, signal: int = 9) -> MACD:
    """Return Appel's moving average convergence and divergence: a fast minus a slow exponential average.

    Started as in TA-Lib: the fast average begins at the same bar as the slow one, from the mean of the last
    `fast` bars up to it, and all three lines begin with the signal line, at an asset's bar
    ``slow + signal - 2`` (counted from 0). Charts that start the fast average on its own differ at first.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices.
    fast, slow, signal : int
        Lengths of the averages in bars; fast < slow.

    Returns
    -------
    MACD
        ``line``, ``signal`` (the line's own average) and ``histogram`` (line - signal), same kind as `x`.

    Raises
    ------
    ParameterError
        For lengths that are no whole numbers of at least 1, or a fast one that is not shorter.
    """
    fast, slow, signal = window(fast, "fast"), window(slow, "slow"), window(signal, "signal")
    if fast >= slow:
        raise ParameterError(
            f"fast={fast} is not shorter than slow={slow}; give fast < slow (a sweep: where='fast < slow')."
        )
    lines = macd_lines(as_columns(x), fast, slow, signal)
    return MACD(*(as_like(line, x) for line in lines))


@remembered
def session_vwap(bars: Bars) -> NDArray[np.float64]:
    """Return the volume-weighted average price since the start of each session.

    Parameters
    ----------
    bars : Bars
        The typical price (high + low + close) / 3 of each bar counts with its volume; sessions are
        ``bars.session``. A bar of a day or longer is a session of its own: the result is its typical price.

    Returns
    -------
    ndarray of shape (n_bars, n_assets)
        In the unit of prices. NaN where an asset has no bar or the bar no volume figure (such bars are left
        out), and until something has traded in the session.
    """
    return session_mean_price(
        bars.high, bars.low, bars.close, bars.volume, np.asarray(bars.session, np.int64)
    )
