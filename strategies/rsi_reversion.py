"""RSI reversion: in a rising market, buy a short fall and sell the recovery.

Source: L. Connors and C. Alvarez, "Short Term Trading Strategies That Work", 2009, with the relative strength
index of J. W. Wilder, "New Concepts in Technical Trading Systems", 1978.
"""

import quantlab as ql
from quantlab.signals import latch, rsi, sma


@ql.strategy(days=(2, 3, 4, 5), low=(5.0, 10.0, 20.0, 30.0), high=(50.0, 60.0, 70.0))
def rsi_reversion(bars, days=2, low=10.0, high=70.0, trend=200):
    """Long from an RSI below `low`, above the long average, until the RSI is above `high`."""
    strength = rsi(bars.close, days)
    rising = bars.close > sma(bars.close, trend)
    return latch(entries=rising & (strength < low), exits=strength > high)
