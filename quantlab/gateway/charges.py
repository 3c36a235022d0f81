"""What a fill costs, by the engine's own table and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.kernels.cost import EPSILON, fill_price, month_at, order_commission, order_fees, row_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.costs import Costs
    from quantlab.gateway.market import Market

__all__ = ["Charge", "Charges"]


class Charge(NamedTuple):
    """Money for one execution: the broker's commission, and regulatory fees."""

    commission: float
    fees: float


class Charges:
    """Costs of a market, in force session by session.

    Parameters
    ----------
    costs : Costs
        Schedules, slippage and spread.
    market : Market
        Whose sessions they apply to.

    Attributes
    ----------
    month_units : ndarray of shape (n_groups,)
        Raw units traded this calendar month, for schedules with tiers.
    month : int
        Which month that is, in the table.
    """

    def __init__(self, costs: Costs, market: Market) -> None:
        self._table = costs.table(market.base)
        self._session = market.base.session
        self._multiplier = [x.multiplier for x in market.base.instruments]
        self._tick = [x.tick or 0.0 for x in market.base.instruments]
        self._row, self._row_day = 0, -1
        self.month_units = np.zeros(self._table.n_groups)
        self.month = 0

    def _rates(self, column: int, day: int) -> NDArray[np.float64]:
        """Rates in force on a day; a new month starts counting units anew."""
        if day != self._row_day:
            bar = min(int(self._session.searchsorted(day)), self._session.size - 1)
            self._row, self._row_day = int(row_at(self._table, 0, bar)), day
            month = int(month_at(self._table, 0, bar))
            if month != self.month:
                self.month_units[:] = 0.0
                self.month = month
        rates: NDArray[np.float64] = self._table.rates[self._table.rate_row[self._row], column]
        return rates

    def estimate(self, column: int, day: int, quantity: float, price: float) -> Charge:
        """Costs that an execution of signed `quantity` would have, without counting it."""
        rates = self._rates(column, day)
        units = float(self.month_units[self._table.group[column]])
        multiplier = self._multiplier[column]
        paid = order_commission(rates, float(quantity), float(price), multiplier, units)
        return Charge(float(paid), float(order_fees(rates, float(quantity), float(price), multiplier)))

    def charge(self, column: int, day: int, quantity: float, price: float) -> Charge:
        """Costs of an execution of signed `quantity`, which counts for the month."""
        found = self.estimate(column, day, quantity, price)
        self.month_units[self._table.group[column]] += abs(quantity)
        return found

    def slippage(self, column: int) -> float:
        """Slippage of an asset, fraction of price."""
        return float(self._table.slippage[column])

    def half_spread(self, column: int) -> float:
        """Half the spread of an asset, fraction of price."""
        return float(self._table.half_spread[column])

    def quoted(self, column: int, mid: float, side: int, half_spread: float) -> float:
        """Bid (`side` -1) or ask (1) around a middle, on the tick."""
        price = self.worsened(column, mid, side, 0.0, half_spread)
        tick = self._tick[column]
        if not tick > 0.0:
            return price
        # The engine leaves a price that is nearly on the tick as it is; what is quoted is on it to the bit.
        steps = round(price / tick)
        per_point = round(1.0 / tick)
        exact = steps / per_point if abs(per_point * tick - 1.0) < EPSILON else steps * tick
        return exact if abs(exact - price) <= EPSILON * price else price

    def worsened(
        self, column: int, reference: float, side: int, slippage: float, half_spread: float
    ) -> float:
        """Price of a marketable fill, as the engine makes it."""
        return float(
            fill_price(float(reference), float(side), slippage, half_spread, self._tick[column], 1.0)
        )
