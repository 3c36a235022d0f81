"""Orders and executions of the simulated gateway: what it keeps of them, and what others may see."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from quantlab.wire.messages import OrderTicket

if TYPE_CHECKING:
    from quantlab.gateway.grid import Moment

__all__ = [
    "CANCELLED",
    "DONE",
    "FILLED",
    "INACTIVE",
    "PRESUBMITTED",
    "SUBMITTED",
    "Execution",
    "Order",
    "OrderView",
    "restored_ticket",
]

PRESUBMITTED, SUBMITTED, FILLED = "PreSubmitted", "Submitted", "Filled"
CANCELLED, INACTIVE, HELD = "Cancelled", "Inactive", "PendingSubmit"
DONE = frozenset({FILLED, CANCELLED, INACTIVE})
"""Statuses from which an order does not come back."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution, with what a report needs to say why its price is what it is.

    Parameters
    ----------
    exec_id, order_ref, symbol : str
        Its number, the reference that the order came with, and what was traded.
    client_id, order_id, perm_id : int
        Numbers of the order.
    quantity : float
        Units, buy > 0.
    price : float
        Of the fill.
    commission : float
        Money, regulatory fees included; these alone are ``fees``.
    fees : float
        Money.
    realized_pnl : float or None
        Of the part that closed a position, after costs; None where nothing was closed.
    time_ns : int
        Simulated time, UTC.
    reference : float
        The bar's open (fills by bars); the middle of the quotes when the order could first trade (by quotes).
    mid, half_spread, slippage, rounding, latency_move : float
        Parts of the price: ``reference + latency_move + sign(quantity) * (half_spread + slippage) + rounding``.
    cumulative, average_price : float
        Of the order so far; units without sign.
    """

    exec_id: str
    order_ref: str
    symbol: str
    client_id: int
    order_id: int
    perm_id: int
    quantity: float
    price: float
    commission: float
    fees: float
    realized_pnl: float | None
    time_ns: int
    reference: float
    mid: float
    half_spread: float
    slippage: float
    rounding: float
    latency_move: float
    cumulative: float
    average_price: float


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as it is now. ``quantity`` is signed; ``time_ns`` is when it came, simulated, UTC."""

    client_id: int
    order_id: int
    perm_id: int
    symbol: str
    quantity: float
    order_type: str
    limit_price: float | None
    tif: str
    order_ref: str
    status: str
    filled: float
    average_price: float
    time_ns: int


@dataclass(slots=True)
class Order:
    """One order at the desk; changes as it lives.

    Parameters
    ----------
    client_id, order_id, perm_id : int
        Its numbers: the owner, the owner's number, everybody's number.
    column : int
        Of the asset.
    ticket : OrderTicket
        What was asked for.
    placed_ns : int
        When it came.
    status : str
        One of the names above.
    filled, average_price, last_price : float
        What was done so far.
    commission : float or None
        Money, fees included.
    session : int
        Number of the session at whose close a day order ends.
    due_ns, eligible_ns : int or None
        By quotes: when it fills, as far as that is known, and when it could first trade.
    bar_open_ns : int or None
        By bars: open of the bar at which it first stood.
    reason : str
        Why it ended.
    done_ns : int or None
        When it ended.
    """

    client_id: int
    order_id: int
    perm_id: int
    column: int
    ticket: OrderTicket
    placed_ns: int
    status: str = PRESUBMITTED
    filled: float = 0.0
    average_price: float = 0.0
    last_price: float = 0.0
    commission: float | None = None
    session: int = 0
    due_ns: int | None = None
    eligible_ns: int | None = None
    bar_open_ns: int | None = None
    reason: str = ""
    done_ns: int | None = None

    @property
    def side(self) -> int:
        """1 for a buy, -1 for a sale."""
        return 1 if self.ticket.action == "BUY" else -1

    @property
    def quantity(self) -> float:
        """Units, buy > 0."""
        return self.side * self.ticket.quantity

    @property
    def limit(self) -> float | None:
        """Limit price; None for a market order."""
        return self.ticket.limit_price if self.ticket.order_type == "LMT" else None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.status in DONE

    @property
    def working(self) -> bool:
        """Whether it can fill."""
        return self.status in {PRESUBMITTED, SUBMITTED}

    @property
    def remaining(self) -> float:
        """Units that are not filled, without sign."""
        return self.ticket.quantity - self.filled

    def is_due(self, moment: Moment) -> bool:
        """Whether a fill by quotes has come."""
        return self.working and self.due_ns is not None and self.due_ns <= moment.time_ns

    def view(self, symbol: str) -> OrderView:
        """Show what others may see."""
        t = self.ticket
        return OrderView(
            self.client_id,
            self.order_id,
            self.perm_id,
            symbol,
            self.quantity,
            t.order_type,
            self.limit,
            t.tif,
            t.order_ref,
            self.status,
            self.filled,
            self.average_price,
            self.placed_ns,
        )

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold; `restored` is its inverse."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "ticket"}
        return plain | {"ticket": asdict(self.ticket)}

    @classmethod
    def restored(cls, described: dict[str, Any]) -> Order:
        """Order that `describe` wrote down."""
        return cls(**(described | {"ticket": restored_ticket(described["ticket"])}))


def restored_ticket(described: dict[str, Any]) -> OrderTicket:
    """Make a ticket again of its fields, of which JSON has made lists."""
    params = tuple((str(k), str(v)) for k, v in described["algo_params"])
    return OrderTicket(**(described | {"algo_params": params}))
