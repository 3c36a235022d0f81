"""Triple screen: buy a short fall on days while the tide, read from weeks, rises; leave when the tide turns.

Source: A. Elder, "Trading for a Living", 1993 (first in Futures Magazine, April 1986): the slope of weekly MACD's
histogram tells the side, a fast oscillator of days the moment. His third screen, a stop entry, is left out.
"""

import quantlab as ql
from quantlab.signals import latch, macd, resample_to, rsi, shift


@ql.strategy(days=(2, 3, 5), low=(20.0, 30.0, 40.0))
def triple_screen(bars, longer="1 week", days=2, low=30.0):
    """Long from a close with a low RSI in a rising tide until the tide falls; `longer` is "1 day" on minutes."""
    tide = resample_to(bars, longer)
    histogram = macd(tide.bars.close).histogram
    rising = tide.align(histogram > shift(histogram))
    return latch(entries=rising & (rsi(bars.close, days) < low), exits=~rising)
