"""Pairs: two prices that moved together drift apart and come back.

Source: E. Gatev, W. Goetzmann and K. G. Rouwenhorst, "Pairs Trading: Performance of a Relative-Value
Arbitrage Rule", Review of Financial Studies 19(3), 2006. They open at two standard deviations of the spread
and close when the prices cross. They choose pairs by distance; here the assets come as pairs: first and
second, third and fourth, and so on.
"""

import numpy as np

import quantlab as ql
from quantlab.signals import latch, zscore


@ql.strategy(days=(20, 40, 60, 120, 250), entry=(1.5, 2.0, 2.5))
def pairs_spread(bars, days=120, entry=2.0):
    """Hold the cheap asset of each pair against the dear one, from a wide spread until it closes."""
    if bars.n_assets % 2:
        raise ValueError(f"pairs need an even number of assets, not {bars.n_assets}; for example AAPL,IBM")
    spread = zscore(np.log(bars.close[:, 0::2] / bars.close[:, 1::2]), days)
    side = latch(spread < -entry, spread >= 0.0, short_entries=spread > entry, short_exits=spread <= 0.0)
    return np.stack([side, -side], axis=2).reshape(bars.shape)
