"""MACD trend: momentum is rising while the MACD line is above its own average.

Source: G. Appel, "Technical Analysis: Power Tools for Active Investors", 2005.
"""

import quantlab as ql
from quantlab.signals import macd


@ql.strategy(fast=(8, 12, 16), slow=(20, 26, 40), smooth=(5, 9, 14))
def macd_trend(bars, fast=12, slow=26, smooth=9):
    """Long while the MACD line is above its signal line."""
    lines = macd(bars.close, fast, slow, smooth)
    return lines.line > lines.signal
