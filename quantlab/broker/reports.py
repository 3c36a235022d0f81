"""Reports: what Interactive Brokers says of orders, fills, positions and accounts, as immutable records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlab.broker.contracts import ContractId

__all__ = [
    "AccountEnd",
    "AccountFigure",
    "Commission",
    "CompletedOrder",
    "CompletedOrdersEnd",
    "Execution",
    "ExecutionsEnd",
    "OpenOrdersEnd",
    "OrderOpen",
    "OrderStatus",
    "PnlFigure",
    "PortfolioFigure",
    "PositionHeld",
    "PositionsEnd",
]


# -- orders ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderOpen:
    """An order that Interactive Brokers has.

    Attributes
    ----------
    order_id : int
        Ours; 0 or below for orders of other clients and of people.
    perm_id : int or None
        Interactive Brokers' own number; None until it has given one.
    client_id : int
        Who sent it.
    order_ref : str
        Our own name of the order.
    contract : ContractId
        What is traded.
    action : str
        ``"BUY"`` or ``"SELL"``.
    quantity : float
        Signed units, buy > 0.
    order_type : str
        ``"MKT"``, ``"LMT"`` …
    limit_price : float or None
        None where the type has none.
    status : str
        Interactive Brokers' word for the state.
    commission : float or None
        Commission and fees so far; None until they are known.
    account : str
        Whose order it is.
    stop_price : float or None
        Trigger price; None where the type has none.
    tif : str
        How long it is good: ``"DAY"``, ``"GTC"``, ``"OPG"`` …
    parent_id : int
        Order that it hangs on; 0 for none.
    warning : str
        Interactive Brokers' remark, or its reason to refuse.
    trail_stop_price : float or None
        Where a trailing stop is now; None where there is none, or it does not trail yet.
    """

    order_id: int
    perm_id: int | None
    client_id: int
    order_ref: str
    contract: ContractId
    action: str
    quantity: float
    order_type: str
    limit_price: float | None
    status: str
    commission: float | None
    account: str
    stop_price: float | None = None
    tif: str = ""
    parent_id: int = 0
    warning: str = ""
    trail_stop_price: float | None = None


@dataclass(frozen=True, slots=True)
class OpenOrdersEnd:
    """There are no more open orders."""


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """State of an order. It may come twice, late or never: executions are the truth about fills.

    ``average_price`` and ``last_price`` are None before the first fill, ``perm_id`` until there is one.
    """

    order_id: int
    status: str
    filled: float
    remaining: float
    average_price: float | None
    perm_id: int | None
    parent_id: int
    last_price: float | None
    client_id: int
    why_held: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. The same ``exec_id`` may come again; one with a higher last part corrects an earlier one.

    Attributes
    ----------
    request_id : int
        Request that it answers; -1 as it happens.
    exec_id : str
        Interactive Brokers' number of the fill.
    order_id, perm_id, client_id, order_ref
        Which order, as in `OrderOpen`.
    account, symbol : str
        Whose, and of what.
    contract : ContractId
        What was traded.
    quantity : float
        Signed units of this fill, bought > 0.
    price : float
        What was paid.
    time_ns : int or None
        When, ns UTC; None where the text names no instant.
    time_text : str
        As it came.
    cumulative : float
        Units filled of the order so far, without a sign.
    average_price : float or None
        Their average price.
    """

    request_id: int
    exec_id: str
    order_id: int
    perm_id: int | None
    client_id: int
    order_ref: str
    account: str
    symbol: str
    contract: ContractId
    quantity: float
    price: float
    time_ns: int | None
    time_text: str
    cumulative: float
    average_price: float | None


@dataclass(frozen=True, slots=True)
class ExecutionsEnd:
    """There are no more executions."""

    request_id: int


@dataclass(frozen=True, slots=True)
class Commission:
    """What a fill cost; it comes after the execution. ``realized_pnl`` is None for what opens a position."""

    exec_id: str
    amount: float | None
    currency: str
    realized_pnl: float | None


@dataclass(frozen=True, slots=True)
class CompletedOrder:
    """An order of today that is over; Interactive Brokers gives no order id with it."""

    perm_id: int | None
    order_ref: str
    contract: ContractId
    action: str
    quantity: float
    filled: float | None
    order_type: str
    limit_price: float | None
    status: str
    status_text: str
    account: str


@dataclass(frozen=True, slots=True)
class CompletedOrdersEnd:
    """There are no more completed orders."""


# -- accounts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PositionHeld:
    """Signed units held; ``average_cost`` is money a unit, the multiplier included."""

    account: str
    contract: ContractId
    quantity: float
    average_cost: float | None


@dataclass(frozen=True, slots=True)
class PositionsEnd:
    """There are no more positions."""


@dataclass(frozen=True, slots=True)
class AccountFigure:
    """One figure of an account, as text; ``request_id`` is -1 where it comes with account updates."""

    request_id: int
    account: str
    tag: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True)
class PortfolioFigure:
    """A position as account updates value it."""

    account: str
    contract: ContractId
    quantity: float
    price: float | None
    value: float | None
    average_cost: float | None
    unrealized: float | None
    realized: float | None


@dataclass(frozen=True, slots=True)
class AccountEnd:
    """The account's figures are complete; ``request_id`` is -1 where they come with account updates."""

    request_id: int


@dataclass(frozen=True, slots=True)
class PnlFigure:
    """Profit and loss in money; None where Interactive Brokers has no figure."""

    request_id: int
    daily: float | None
    unrealized: float | None
    realized: float | None
