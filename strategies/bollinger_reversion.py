"""Bollinger reversion: a close far below its average comes back to it.

Source: J. Bollinger, "Bollinger on Bollinger Bands", 2001: bands a few moving standard deviations away.
"""

import quantlab as ql
from quantlab.signals import bollinger, latch


@ql.strategy(days=range(10, 60, 10), width=(1.0, 1.5, 2.0, 2.5))
def bollinger_reversion(bars, days=20, width=2.0):
    """Long from a close below the lower band until a close above the middle."""
    bands = bollinger(bars.close, days, width)
    return latch(entries=bars.close < bands.lower, exits=bars.close > bands.middle)
