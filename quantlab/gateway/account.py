"""Money and positions of the simulated account."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quantlab.gateway.charges import Charge

__all__ = ["INITIAL_MARGIN", "Account", "Figure", "Holding"]

INITIAL_MARGIN = 0.5
"""Equity needed for what is held, as share of its value (Federal Reserve Regulation T)."""

MAINTENANCE_MARGIN = 0.25
"""Equity needed to keep it (FINRA rule 4210)."""

TOLERANCE = 1e-9
"""Relative slack of comparing equity with margin; that of the engine's test of buying power."""

NOT_MONEY = frozenset({"AccountType", "Cushion", "Leverage-S", "AccountCode", "AccountReady"})
"""Figures without a currency."""


class Figure(NamedTuple):
    """One figure of the account, as text."""

    tag: str
    value: str
    currency: str


@dataclass(slots=True)
class Holding:
    """Units held of one asset.

    Parameters
    ----------
    quantity : float
        Units, short < 0.
    average_cost : float
        Money a unit, multiplier and costs of opening included.
    realized_pnl : float
        Money, of what was closed since the session began.
    """

    quantity: float = 0.0
    average_cost: float = 0.0
    realized_pnl: float = 0.0


class Account:
    """One account in one currency.

    Parameters
    ----------
    name : str
        Its number, ``DU…``.
    cash : float
        Money it starts with.
    currency : str
        Of everything.
    multiplier : list of float
        Money a unit and point, by column.
    """

    def __init__(self, name: str, cash: float, currency: str, multiplier: list[float]) -> None:
        self.name, self.currency = name, currency
        self.cash = float(cash)
        self.holdings: dict[int, Holding] = {}
        self.day_equity = self.close_equity = float(cash)
        self._multiplier = multiplier

    def quantity(self, column: int) -> float:
        """Units held of an asset."""
        held = self.holdings.get(column)
        return 0.0 if held is None else held.quantity

    def book(self, column: int, quantity: float, price: float, charge: Charge) -> float | None:
        """Enter an execution of signed `quantity`; return what closing realized, None where nothing was closed."""
        unit = self._multiplier[column]
        # The engine's own expression, so that cash agrees with it to the bit.
        self.cash -= math.copysign(abs(quantity) * price * unit, quantity) + charge.commission + charge.fees
        held = self.holdings.setdefault(column, Holding())
        cost = charge.commission + charge.fees
        closing = min(abs(held.quantity), abs(quantity)) if held.quantity * quantity < 0.0 else 0.0
        realized = None
        if closing > 0.0:
            direction = math.copysign(1.0, held.quantity)
            realized = closing * direction * (price * unit - held.average_cost)
            realized -= cost * closing / abs(quantity)
            held.realized_pnl += realized
            held.quantity += math.copysign(closing, quantity)
        opening = abs(quantity) - closing
        if opening > 0.0:
            side = math.copysign(1.0, quantity)
            paid = abs(held.quantity) * held.average_cost + opening * price * unit
            held.quantity += side * opening
            held.average_cost = (paid + side * cost * opening / abs(quantity)) / abs(held.quantity)
        if held.quantity == 0.0:
            held.average_cost = 0.0
        return realized

    # -- worth -----------------------------------------------------------------------------------------

    def worth(self, column: int, quantity: float, price: float) -> float:
        """Money that units of an asset are worth at a price."""
        return quantity * price * self._multiplier[column]

    def held(self) -> Iterator[tuple[int, Holding]]:
        """Yield what is held, and what was held since the session began, by column."""
        yield from sorted(self.holdings.items())

    def equity(self, price: Callable[[int], float]) -> float:
        """Cash and what is held, marked at `price` of each column."""
        return self.cash + sum(
            self.worth(i, h.quantity, price(i)) for i, h in self.holdings.items() if h.quantity != 0.0
        )

    def gross(self, price: Callable[[int], float]) -> float:
        """Value of everything held, long and short."""
        return sum(
            abs(self.worth(i, h.quantity, price(i))) for i, h in self.holdings.items() if h.quantity != 0.0
        )

    def unrealized(self, column: int, price: Callable[[int], float]) -> float:
        """Profit of what is held of one asset, costs of opening included."""
        held = self.holdings.get(column)
        if held is None or held.quantity == 0.0:
            return 0.0
        return self.worth(column, held.quantity, price(column)) - held.quantity * held.average_cost

    def realized(self) -> float:
        """Profit of what was closed since the session began."""
        return sum(h.realized_pnl for h in self.holdings.values())

    def begin_session(self) -> None:
        """Profits of the day count from the close before."""
        self.day_equity = self.close_equity
        self.holdings = {i: h for i, h in self.holdings.items() if h.quantity != 0.0}
        for held in self.holdings.values():
            held.realized_pnl = 0.0

    def end_session(self, price: Callable[[int], float]) -> None:
        """Mark the account at a session's close."""
        self.close_equity = self.equity(price)

    # -- figures ---------------------------------------------------------------------------------------

    def figures(self, price: Callable[[int], float]) -> tuple[Figure, ...]:
        """Every figure, under Interactive Brokers' names."""
        equity, gross = self.equity(price), self.gross(price)
        unrealized = sum(self.unrealized(i, price) for i in self.holdings)
        initial, maintenance = gross * INITIAL_MARGIN, gross * MAINTENANCE_MARGIN
        money = {
            "NetLiquidation": equity,
            "TotalCashValue": self.cash,
            "SettledCash": self.cash,
            "AccruedCash": 0.0,
            "EquityWithLoanValue": equity,
            "GrossPositionValue": gross,
            "StockMarketValue": equity - self.cash,
            "InitMarginReq": initial,
            "FullInitMarginReq": initial,
            "MaintMarginReq": maintenance,
            "FullMaintMarginReq": maintenance,
            "AvailableFunds": equity - initial,
            "FullAvailableFunds": equity - initial,
            "ExcessLiquidity": equity - maintenance,
            "FullExcessLiquidity": equity - maintenance,
            "BuyingPower": max(equity - initial, 0.0) / MAINTENANCE_MARGIN,
            "CashBalance": self.cash,
            "UnrealizedPnL": unrealized,
            "RealizedPnL": self.realized(),
        }
        other = {
            "AccountCode": self.name,
            "AccountReady": "true",
            "AccountType": "INDIVIDUAL",
            "Cushion": f"{(equity - maintenance) / equity if equity else 0.0:.6f}",
            "Leverage-S": f"{gross / equity if equity else 0.0:.2f}",
        }
        return (
            *(Figure(tag, text, "") for tag, text in other.items()),
            *(Figure(tag, f"{value:.2f}", self.currency) for tag, value in money.items()),
        )
