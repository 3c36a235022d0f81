"""Chandelier exit: buy new highs of a rising market and hang a stop some average ranges below the best price since.

Source: C. Le Beau's exit, as told by A. Elder, "Come Into My Trading Room", 2002; the average true range is of
J. W. Wilder, "New Concepts in Technical Trading Systems", 1978.
"""

import quantlab as ql
from quantlab.signals import donchian, latch, shift, sma


@ql.strategy(entry=(20, 50, 100), multiple=(2.0, 3.0, 4.0, 5.0))
def chandelier_exit(bars, entry=50, multiple=3.0, days=22, trend=200):
    """Long at a high of `entry` bars above the long average, until `multiple` ranges below the best price since."""
    rising = bars.close > sma(bars.close, trend)
    breakout = rising & (bars.close > shift(donchian(bars.high, bars.low, entry).upper))
    return ql.Signal(
        target=latch(entries=breakout, exits=~rising),
        entry=breakout,
        trailing_stop=ql.AtrMultiple(multiple, days),
    )
