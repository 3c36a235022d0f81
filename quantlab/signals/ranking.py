"""Ranks: of a bar within its own past, and of an asset among others at one time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.kernels.rolling import moving_rank
from quantlab.signals.columns import as_columns, as_like, window
from quantlab.signals.memo import remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rank", "rolling_rank"]


@remembered
def rolling_rank(x: Any, n: int, *, pct: bool = False) -> Any:
    """Return the rank of each bar among the last n, itself included: 1 is the least, ties share their mean.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices, or any numbers; not finite where an asset has no bar.
    n : int
        Length of the window in the asset's own bars, at least 1.
    pct : bool
        Divide by n, so that ranks end at 1.

    Returns
    -------
    same kind as `x`
        NaN for an asset's first n - 1 bars and where it has none.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or for input that is not numbers.
    """
    n = window(n)
    result = moving_rank(as_columns(x), n)
    return as_like(result / n if pct else result, x)


@remembered
def rank(x: Any, *, pct: bool = False, ascending: bool = True) -> Any:
    """Return each asset's rank among the assets of the same bar: 1 is the least, ties share their mean rank.

    Parameters
    ----------
    x : array_like or DataFrame of shape (n_bars, n_assets)
        Scores. To rank among the members of a universe only: ``rank(np.where(bars.member, score, np.nan))``.
    pct : bool
        Divide by the number of assets that have a score at that bar, so that ranks end at 1.
    ascending : bool
        False makes 1 the greatest.

    Returns
    -------
    same kind as `x`
        NaN where the score is not finite; such an asset does not count among the others.

    Raises
    ------
    ParameterError
        For input that is not numbers.
    """
    scores = as_columns(x)
    known = np.isfinite(scores)
    # What is unknown sorts last, behind every score, and is taken out again at the end.
    placed = np.where(known, scores if ascending else -scores, np.inf)
    order = np.argsort(placed, axis=1, kind="stable")
    result = np.empty(scores.shape)
    np.put_along_axis(result, order, _mean_ranks(np.take_along_axis(placed, order, axis=1)), axis=1)
    if pct:
        result /= np.maximum(known.sum(axis=1, keepdims=True), 1)
    result[~known] = np.nan
    return as_like(result, x)


def _mean_ranks(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of rows that rise: each run of equal values gets the mean of its first and last place."""
    n_bars, n_assets = ordered.shape
    changes = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((n_bars, min(n_assets, 1)), np.bool_)
    places = np.arange(1, n_assets + 1)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), places, 0), axis=1)
    last = np.where(np.hstack([changes, edge]), places, n_assets)[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    return 0.5 * (first + last)
