"""Pullback bracket: in a rising market bid below the close after a short fall, with a stop, a target and a time limit.

Source: limit entries below a weak close are of L. Connors and C. Alvarez, "High Probability ETF Trading", 2009;
exits by price and time of P. Kaufman, "Trading Systems and Methods", 5th edition, 2013.
"""

import quantlab as ql
from quantlab.signals import latch, rsi, sma


@ql.strategy(discount=(0.005, 0.01, 0.02), stop=(2.0, 3.0, 4.0), low=(10.0, 20.0, 30.0))
def pullback_bracket(bars, low=20.0, discount=0.01, stop=3.0, days=10):
    """Bid `discount` below a close with a low RSI(2); out at 2 ranges of profit, `stop` of loss, or after `days`."""
    rising = bars.close > sma(bars.close, 200)
    weak = rising & (rsi(bars.close, 2) < low)
    return ql.Signal(
        target=latch(entries=weak, exits=~rising),
        entry=weak,
        limit=bars.close * (1.0 - discount),
        stop_loss=ql.AtrMultiple(stop),
        take_profit=ql.AtrMultiple(2.0),
        time_stop=days,
        tif="day",
    )
