"""Messages from server to client: what became of orders, and the account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlab.wire.contract import Contract
    from quantlab.wire.order import OrderStateData, OrderTicket

__all__ = [
    "AccountDownloadEnd",
    "AccountSummary",
    "AccountSummaryEnd",
    "AccountUpdateTime",
    "AccountValue",
    "CommissionReport",
    "CompletedOrder",
    "CompletedOrdersEnd",
    "ExecutionData",
    "ExecutionDataEnd",
    "OpenOrder",
    "OpenOrderEnd",
    "OrderStatus",
    "PnL",
    "PnLSingle",
    "PortfolioValue",
    "PositionData",
    "PositionEnd",
]

# -- orders --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order as the server has it; ``perm_id`` is its number for all clients, 0 while it has none."""

    order_id: int
    contract: Contract
    order: OrderTicket
    state: OrderStateData
    client_id: int = 0
    perm_id: int = 0


@dataclass(frozen=True, slots=True)
class OpenOrderEnd:
    """No more open orders."""


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """How far an order is.

    Parameters
    ----------
    order_id : int
        Of the client that placed it.
    status : str
        ``"PreSubmitted"``, ``"Submitted"``, ``"Filled"``, ``"Cancelled"``, ``"Inactive"`` ...
    filled, remaining : float
        Units, not signed.
    average_price, last_price : float
        Of all its fills, and of the newest one; 0 without fills.
    perm_id, parent_id, client_id : int
        Its other numbers.
    why_held : str
        ``"locate"`` while shares are looked for.
    market_cap_price : float
        A capped price, else 0.
    """

    order_id: int
    status: str
    filled: float
    remaining: float
    average_price: float = 0.0
    perm_id: int = 0
    parent_id: int = 0
    last_price: float = 0.0
    client_id: int = 0
    why_held: str = ""
    market_cap_price: float = 0.0


@dataclass(frozen=True, slots=True)
class ExecutionData:
    """One execution.

    Parameters
    ----------
    request_id : int
        Of the request, or -1 when it comes by itself.
    order_id : int
        Of the client that placed the order.
    contract : Contract
        What was traded.
    exec_id, time, account, exchange : str
        ``aaaa.bbbb.cc.dd``; ``"yyyymmdd hh:mm:ss zone"`` or with two blanks and no zone.
    side : str
        ``"BOT"`` or ``"SLD"``.
    quantity, price : float
        Units, not signed, and the price.
    perm_id, client_id : int
        The order's other numbers.
    liquidation : int
        Not 0 when the broker closed the position.
    cumulative_quantity, average_price : float
        Of the order so far.
    order_ref, ev_rule, model_code : str
        As in the order; economic value; model.
    ev_multiplier : float or None
        Economic value.
    last_liquidity : int
        0 none, 1 added, 2 removed, 3 routed out.
    pending_price_revision : bool
        Carried from version 178.
    submitter : str
        Carried from version 198.
    """

    request_id: int
    order_id: int
    contract: Contract
    exec_id: str
    time: str
    account: str
    exchange: str
    side: str
    quantity: float
    price: float
    perm_id: int = 0
    client_id: int = 0
    liquidation: int = 0
    cumulative_quantity: float = 0.0
    average_price: float = 0.0
    order_ref: str = ""
    ev_rule: str = ""
    ev_multiplier: float | None = None
    model_code: str = ""
    last_liquidity: int = 0
    pending_price_revision: bool = False
    submitter: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionDataEnd:
    """No more executions."""

    request_id: int


@dataclass(frozen=True, slots=True)
class CommissionReport:
    """What an execution cost, in ``currency``; ``realized_pnl`` is None for an execution that opens."""

    exec_id: str
    commission: float
    currency: str
    realized_pnl: float | None = None
    yield_: float | None = None
    yield_redemption_date: int = 0


@dataclass(frozen=True, slots=True)
class CompletedOrder:
    """An order that is over: filled or cancelled. It has no order id and no client id.

    Parameters
    ----------
    contract, order, state : Contract, OrderTicket, OrderStateData
        As in ``OpenOrder``; ``state`` has the status and when and why it ended.
    perm_id, parent_perm_id : int
        Its number for all clients, and its parent's.
    filled_quantity : float
        Units, not signed.
    auto_cancel_date, shareholder : str
        As in the protocol.
    ref_futures_con_id : int
        As in the protocol.
    route_marketable_to_bbo : bool
        As in the protocol.
    """

    contract: Contract
    order: OrderTicket
    state: OrderStateData
    perm_id: int = 0
    parent_perm_id: int = 0
    filled_quantity: float = 0.0
    auto_cancel_date: str = ""
    shareholder: str = ""
    ref_futures_con_id: int = 0
    route_marketable_to_bbo: bool = False


@dataclass(frozen=True, slots=True)
class CompletedOrdersEnd:
    """No more completed orders."""


# -- account -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PositionData:
    """A position: signed units, and what one unit cost on average (with the multiplier)."""

    account: str
    contract: Contract
    quantity: float
    average_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class PositionEnd:
    """No more positions for now."""


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """One figure of an account, as text."""

    request_id: int
    account: str
    tag: str
    value: str
    currency: str = ""


@dataclass(frozen=True, slots=True)
class AccountSummaryEnd:
    """No more figures for now."""

    request_id: int


@dataclass(frozen=True, slots=True)
class AccountValue:
    """One figure of the account that is followed, as text."""

    key: str
    value: str
    currency: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class PortfolioValue:
    """A position of the account that is followed; signed units, prices, and money."""

    contract: Contract
    quantity: float
    market_price: float = 0.0
    market_value: float = 0.0
    average_cost: float = 0.0
    unrealized_pnl: float = 0.0
    realized_pnl: float = 0.0
    account: str = ""


@dataclass(frozen=True, slots=True)
class AccountUpdateTime:
    """When the figures were made, ``"hh:mm"``."""

    time_text: str


@dataclass(frozen=True, slots=True)
class AccountDownloadEnd:
    """The account that is followed is complete for now."""

    account: str


@dataclass(frozen=True, slots=True)
class PnL:
    """Profit and loss of an account, money; None while unknown."""

    request_id: int
    daily: float | None = None
    unrealized: float | None = None
    realized: float | None = None


@dataclass(frozen=True, slots=True)
class PnLSingle:
    """Profit and loss of one position, money; None while unknown. ``quantity`` is signed, ``value`` its worth."""

    request_id: int
    quantity: float
    daily: float | None = None
    unrealized: float | None = None
    realized: float | None = None
    value: float | None = None
