"""Corporate actions: prices adjusted for splits and not for dividends, as Interactive Brokers gives trades."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars

__all__ = ["SPLIT_STEP", "split_adjusted", "split_factors"]

SPLIT_STEP = 1.2
"""Step of the factor between neighbouring bars, up or down, beyond which it is a split and no dividend."""

SPLIT_PARTS = 4
"""Splits are ratios of small numbers: the smaller one is at most this."""

SPLIT_NOISE = 0.005
"""How far a step may be from such a ratio, as a fraction, to be that ratio: the noise of rounded closes."""

PRICE_GRID = 1e8
"""Raw prices are published with at most 8 decimals; what lies beyond comes from dividing and multiplying."""

EXACT = 2.0**53
"""Whole numbers up to here are floats exactly."""

ADJUSTMENT = "splits, not dividends (as Interactive Brokers' TRADES); factor is 1"


def split_factors(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divisor of each raw price of one asset that takes out the splits after it.

    Parameters
    ----------
    factor : ndarray of shape (n_bars,)
        Raw price / adjusted price of consecutive bars of the asset.

    Returns
    -------
    ndarray of shape (n_bars,)
        1 from the last split on; before it, the product of the splits that follow. A step of `factor` beyond
        `SPLIT_STEP` is a split, taken as the ratio of small whole numbers it is next to (else as it is).
    """
    steps = np.ones(factor.size)
    if factor.size > 1:
        step = factor[:-1] / factor[1:]
        for k in np.flatnonzero((step > SPLIT_STEP) | (step < 1.0 / SPLIT_STEP)):
            steps[k] = _ratio(float(step[k]))
    return np.asarray(np.cumprod(steps[::-1])[::-1])


def _ratio(step: float) -> float:
    """Ratio of a split: 2.0 for what is nearly two for one."""
    up = max(step, 1.0 / step)
    simple = float(Fraction(up).limit_denominator(SPLIT_PARTS))
    ratio = simple if abs(up / simple - 1.0) < SPLIT_NOISE else up
    return ratio if step > 1.0 else 1.0 / ratio


def _clean(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw prices without the last bits that adjusting back and forth left on them."""
    scaled = raw * PRICE_GRID
    return np.where(np.abs(scaled) < EXACT, np.rint(scaled) / PRICE_GRID, raw)


def split_adjusted(bars: Bars) -> Bars:
    """Bars whose prices are adjusted for splits alone, so that what is not adjusted for is in the price.

    Parameters
    ----------
    bars : Bars
        Adjusted by `factor` = raw price / stored price; raw bars are returned as they are.

    Returns
    -------
    Bars
        Prices are raw prices over the splits after them, the newest ones raw; ``factor`` is 1 everywhere.
        ``volume`` is raw volume times those splits, in whole units. NaN stays NaN. ``meta["adjustment"]`` says
        so; ``meta["source"]`` is dropped, since it describes the bars that were given.

    Notes
    -----
    A dividend shows as a fall of the price on its ex-date, as it does at the exchange and in Interactive
    Brokers' ``TRADES``. Dividends of more than a sixth of the price are taken for splits, and splits of 6:5 and
    less for dividends: `factor` does not say which is which.
    """
    if bars.is_raw:
        return bars
    columns = {name: np.full(bars.shape, np.nan) for name in COLUMNS}
    for i in range(bars.n_assets):
        rows = np.flatnonzero(~np.isnan(bars.close[:, i]))
        factor = bars.factor[rows, i]
        splits = split_factors(factor)
        for name in COLUMNS[:-1]:
            columns[name][rows, i] = _clean(getattr(bars, name)[rows, i] * factor) / splits
        columns["volume"][rows, i] = np.rint(bars.volume[rows, i] / factor * splits)
    meta = {k: v for k, v in bars.meta.items() if k != "source"} | {"adjustment": ADJUSTMENT}
    changed: dict[str, Any] = columns | {"factor": None, "meta": meta}
    return replace(bars, **changed)
