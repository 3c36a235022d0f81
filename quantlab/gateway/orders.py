"""Orders and executions of the simulated gateway: what it keeps of them, and what others may see."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from quantlab.gateway.matching import Terms
from quantlab.wire.messages import OrderTicket

if TYPE_CHECKING:
    from quantlab.gateway.grid import Moment

__all__ = [
    "AT_ONCE",
    "CANCELLED",
    "DONE",
    "FILLED",
    "HELD",
    "INACTIVE",
    "MARKET_ON_CLOSE",
    "PRESUBMITTED",
    "SUBMITTED",
    "Execution",
    "Order",
    "OrderView",
    "has_limit",
    "has_stop",
    "is_trailing",
    "restored_ticket",
]

PRESUBMITTED, SUBMITTED, FILLED = "PreSubmitted", "Submitted", "Filled"
CANCELLED, INACTIVE, HELD = "Cancelled", "Inactive", "PendingSubmit"
DONE = frozenset({FILLED, CANCELLED, INACTIVE})
"""Statuses from which an order does not come back."""

AT_ONCE = frozenset({"IOC", "FOK", "OPG"})
"""Times in force of orders that fill at their first chance or are cancelled."""

MARKET_ON_CLOSE = "MOC"


def has_limit(ticket: OrderTicket) -> bool:
    """Whether an order of this type has a limit price."""
    return ticket.order_type in {"LMT", "STP LMT"}


def has_stop(ticket: OrderTicket) -> bool:
    """Whether an order of this type has a fixed price that triggers it."""
    return ticket.order_type in {"STP", "STP LMT"}


def is_trailing(ticket: OrderTicket) -> bool:
    """Whether what triggers an order of this type follows the price."""
    return ticket.order_type == "TRAIL"


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
        By bars the open, or the level of a stop that fills inside the bar; by quotes their middle when the order could
        first trade, or when its stop was touched.
    mid, half_spread, slippage, rounding, latency_move : float
        Parts of the price: ``reference + latency_move + sign(quantity) * (half_spread + slippage) + rounding``.
    cumulative, average_price : float
        Of the order so far; units without sign.
    phase : int
        How far into the instant it happened, as in `quantlab.gateway.grid`: the open of a bar may be the instant at
        which the one before closes.
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
    phase: int = 0


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as it is now.

    ``quantity`` is signed; ``time_ns`` is when it came, simulated, UTC; ``stop_price`` is where a trailing stop is now;
    ``trail_amount`` and ``trail_percent`` are what it follows the price by; ``reason`` says why the order ended, and
    ``done_ns`` when.
    """

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
    stop_price: float | None = None
    parent_id: int = 0
    oca_group: str = ""
    reason: str = ""
    trail_amount: float | None = None
    trail_percent: float | None = None
    done_ns: int | None = None


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
    parent_perm_id : int
        Number of the order that it hangs on; 0 without one.
    waits : bool
        Whether that order has yet to fill.
    group : str
        Orders of one group cancel each other; empty without one.
    group_type : int
        1 to 3, as in the protocol; 0 without a group.
    triggered : bool
        Whether its stop was touched.
    extreme, level : float or None
        Of a trailing stop: the best price so far, and where it triggers now. None while it does not trail.
    seen_ns : int or None
        By quotes: up to when the price has been followed for `extreme`.
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
    parent_perm_id: int = 0
    waits: bool = False
    group: str = ""
    group_type: int = 0
    triggered: bool = False
    extreme: float | None = None
    level: float | None = None
    seen_ns: int | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Owner, and the owner's number."""
        return self.client_id, self.order_id

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
        """Limit price; None for an order without one."""
        return self.ticket.limit_price if has_limit(self.ticket) else None

    @property
    def stop(self) -> float | None:
        """Price that triggers it now; None for an order without one."""
        if is_trailing(self.ticket):
            return self.level
        return self.ticket.aux_price if has_stop(self.ticket) else None

    @property
    def _trail(self) -> tuple[float | None, float | None]:
        """Amount and percentage by which it follows the price, of which one is None."""
        if not is_trailing(self.ticket):
            return None, None
        percent = self.ticket.trailing_percent or None
        return None if percent else self.ticket.aux_price, percent

    @property
    def terms(self) -> Terms:
        """Prices that it waits for."""
        return Terms(self.stop, self.limit, self.triggered)

    @property
    def is_stop(self) -> bool:
        """Whether it waits for a price that triggers it."""
        return not self.triggered and (has_stop(self.ticket) or is_trailing(self.ticket))

    @property
    def is_market(self) -> bool:
        """Whether it fills at the next price, whatever that is."""
        if self.ticket.order_type == "MKT":
            return True
        return self.triggered and self.limit is None

    @property
    def rests(self) -> bool:
        """Whether it is a limit order now."""
        return self.limit is not None and not self.is_stop

    @property
    def is_at_price(self) -> bool:
        """Whether it waits for a price."""
        return self.is_stop or self.rests

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.status in DONE

    @property
    def working(self) -> bool:
        """Whether it can fill."""
        return self.status in {PRESUBMITTED, SUBMITTED} and not self.waits

    @property
    def why_held(self) -> str:
        """What it waits for, in TWS's words."""
        if self.done or self.status == HELD:
            return ""
        return ",".join(["child"] * self.waits + ["trigger"] * self.is_stop)

    @property
    def shown_level(self) -> float | None:
        """Where a trailing stop is, without the last bits that reckoning with percentages leaves; None before it is."""
        return None if self.level is None else round(self.level, 8)

    @property
    def shown(self) -> OrderTicket:
        """Ticket as clients are told it: with the group that it came into, and where its trailing stop is."""
        return replace(
            self.ticket,
            oca_group=self.group or self.ticket.oca_group,
            oca_type=self.group_type or self.ticket.oca_type,
            trail_stop_price=self.ticket.trail_stop_price if self.level is None else self.shown_level,
        )

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
            self.stop,
            t.parent_id,
            self.group,
            self.reason,
            *self._trail,
            self.done_ns,
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
