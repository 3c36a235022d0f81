"""Cross-sectional momentum: past winners beat past losers over the next month.

Source: N. Jegadeesh and S. Titman, "Returns to Buying Winners and Selling Losers", Journal of Finance 48(1),
1993. They sort many stocks into tenths on half a year's return and may leave out the last week; they hold
overlapping portfolios, here there is one, chosen anew each month.
"""

import numpy as np

import quantlab as ql
from quantlab.signals import rank, shift


@ql.strategy(lookback=(63, 126, 252), skip=(0, 5, 21), share=(0.1, 0.2, 0.3))
def cross_sectional_momentum(bars, lookback=126, skip=5, share=0.1):
    """Long the best `share` of the assets and short the worst, chosen on the first bar of each month."""
    past = shift(bars.close, skip) / shift(bars.close, lookback) - 1.0
    past = np.where(bars.member, past, np.nan)
    known = np.isfinite(past).sum(axis=1, keepdims=True)
    count = np.maximum(1, np.floor(share * known))
    standing = rank(past)
    winners, losers = standing > known - count, standing <= count
    month = bars.session.astype("M8[D]").astype("M8[M]")
    turns = np.append(False, month[1:] != month[:-1])
    last_turn = np.maximum.accumulate(np.where(turns, np.arange(bars.n_bars), 0))
    return (winners * 1.0 - losers)[last_turn]
