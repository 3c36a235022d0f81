"""Time-series momentum at constant risk: follow the sign of the last year, with less of what moves more.

Source: T. Moskowitz, Y. H. Ooi and L. H. Pedersen, "Time Series Momentum", Journal of Financial Economics
104(2), 2012. They weigh past squared returns with a centre of mass of 60 days and aim at 40% a year for each
asset; here a target stops at 1, and a band on the position stands for their trading once a month.
"""

import numpy as np

import quantlab as ql
from quantlab.signals import ema, shift


@ql.strategy(lookback=(21, 63, 126, 252), risk=(0.1, 0.2, 0.4), sizing=ql.Sizing(rebalance=0.1))
def momentum_voltarget(bars, lookback=252, risk=0.2, centre=60):
    """Long after a rise and short after a fall, sized to an annual volatility of `risk` (daily bars)."""
    returns = bars.close / shift(bars.close) - 1.0
    volatility = np.sqrt(252.0 * ema(returns**2, 2 * centre + 1))
    direction = np.sign(bars.close - shift(bars.close, lookback))
    return direction * np.minimum(1.0, risk / volatility)
