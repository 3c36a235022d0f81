"""Moving-average cross: the trend is up while the average of few days is above the average of many.

Source: W. Brock, J. Lakonishok and B. LeBaron, "Simple Technical Trading Rules and the Stochastic Properties
of Stock Returns", Journal of Finance 47(5), 1992. They trade on the state of two averages, as here.
"""

import quantlab as ql
from quantlab.signals import sma


@ql.strategy(fast=range(5, 60, 5), slow=range(20, 260, 10), where="fast < slow")
def sma_cross(bars, fast=20, slow=100):
    """Long while the fast average is above the slow one."""
    return sma(bars.close, fast) > sma(bars.close, slow)
