"""Donchian breakout: follow a close beyond the range of the last weeks until a shorter range breaks back.

Source: R. Donchian, "High Finance in Copper", Financial Analysts Journal 16(6), 1960; entry and exit ranges
of different length are the Turtles', C. Faith, "Way of the Turtle", 2007.
"""

import quantlab as ql
from quantlab.signals import donchian, latch, shift


@ql.strategy(entry=range(20, 120, 10), leave=(5, 10, 20, 40), where="leave < entry")
def donchian_breakout(bars, entry=20, leave=10):
    """Long above the high of `entry` bars, short below their low; out at the other end of `leave` bars."""
    wide = donchian(bars.high, bars.low, entry)
    narrow = donchian(bars.high, bars.low, leave)
    return latch(
        entries=bars.close > shift(wide.upper),
        exits=bars.close < shift(narrow.lower),
        short_entries=bars.close < shift(wide.lower),
        short_exits=bars.close > shift(narrow.upper),
    )
