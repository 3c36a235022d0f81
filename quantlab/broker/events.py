"""Events: everything that comes from Interactive Brokers, as immutable records on one queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from quantlab.broker.reports import (
    AccountEnd,
    AccountFigure,
    Commission,
    CompletedOrder,
    CompletedOrdersEnd,
    Execution,
    ExecutionsEnd,
    OpenOrdersEnd,
    OrderOpen,
    OrderStatus,
    PnlFigure,
    PortfolioFigure,
    PositionHeld,
    PositionsEnd,
)

if TYPE_CHECKING:
    from quantlab.broker.contracts import ContractDetails

__all__ = [
    "GENERAL",
    "AccountEnd",
    "AccountFigure",
    "Accounts",
    "BarUpdate",
    "CallbackFailure",
    "Commission",
    "CompletedOrder",
    "CompletedOrdersEnd",
    "ContractFound",
    "ContractsEnd",
    "CurrentTime",
    "Disconnected",
    "Event",
    "Execution",
    "ExecutionsEnd",
    "HeadTimestamp",
    "HistoryBar",
    "HistoryEnd",
    "MarketDataKind",
    "MidTick",
    "NextOrderId",
    "Notice",
    "OpenOrdersEnd",
    "OrderOpen",
    "OrderStatus",
    "PnlFigure",
    "PortfolioFigure",
    "PositionHeld",
    "PositionsEnd",
    "QuoteTick",
    "RealTimeBar",
    "SnapshotEnd",
    "Tick",
    "TradeTick",
]

GENERAL = -1
"""Request id of what answers no request."""


# -- the connection --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone; nothing comes any more until the next `connect`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A code of Interactive Brokers with its text: an error, a warning, or good news.

    Attributes
    ----------
    request_id : int
        Request or order that it is about; -1 when general.
    code : int
        Interactive Brokers' code.
    text : str
        What came with it.
    severity : str
        What it means, by `quantlab.broker.codes`: ``"info"``, ``"warning"``, ``"request"`` (that request
        failed), ``"order"`` (that order was refused or cancelled) or ``"connection"``.
    """

    request_id: int
    code: int
    text: str
    severity: str


@dataclass(frozen=True, slots=True)
class CallbackFailure:
    """Something went wrong while a message was read or handled; the next messages are read all the same."""

    callback: str
    text: str


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """The broker's clock, ns UTC, in whole seconds."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class NextOrderId:
    """The first order id that may be used."""

    order_id: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts that the connection may use."""

    accounts: tuple[str, ...]


# -- contracts and history ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContractFound:
    """One contract that fits a description."""

    request_id: int
    details: ContractDetails


@dataclass(frozen=True, slots=True)
class ContractsEnd:
    """There are no more contracts that fit."""

    request_id: int


@dataclass(frozen=True, slots=True)
class HeadTimestamp:
    """How far back history goes; ``time_ns`` is UTC, None where the text is no time."""

    request_id: int
    time_ns: int | None
    time_text: str


@dataclass(frozen=True, slots=True)
class HistoryBar:
    """One bar of history, as Interactive Brokers stamps it: intraday bars at their OPEN, daily ones by date.

    Attributes
    ----------
    request_id : int
        Which request it answers.
    time_text : str
        The stamp as it came: ``"yyyymmdd"`` for bars of a day or longer, else seconds since 1970.
    time_ns : int or None
        The stamp in ns UTC where it is an instant; None for a date.
    open, high, low, close : float
        Prices.
    volume, average : float or None
        Units traded and their average price; None where there are none (currencies, midpoints).
    count : int or None
        Number of trades; None where it is not known.
    """

    request_id: int
    time_text: str
    time_ns: int | None
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    average: float | None
    count: int | None


@dataclass(frozen=True, slots=True)
class HistoryEnd:
    """History is complete; what comes for this request after it are updates."""

    request_id: int
    start_text: str
    end_text: str


@dataclass(frozen=True, slots=True)
class BarUpdate:
    """The newest bar of a subscription as it stands now; it is final when a later one comes."""

    request_id: int
    bar: HistoryBar


@dataclass(frozen=True, slots=True)
class RealTimeBar:
    """A complete bar of five seconds; ``time_ns`` is its OPEN."""

    request_id: int
    time_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    average: float | None
    count: int | None


# -- ticks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """One figure of a quote: ``kind`` is ``"bid"``, ``"ask"``, ``"last"``, ``"bid_size"`` and so on.

    ``time_ns`` is there only for kinds that carry a time. A price or size that is not there is not sent.
    """

    request_id: int
    kind: str
    value: float
    time_ns: int | None


@dataclass(frozen=True, slots=True)
class TradeTick:
    """One trade; times come in whole seconds."""

    request_id: int
    time_ns: int
    price: float
    size: float | None
    exchange: str
    conditions: str


@dataclass(frozen=True, slots=True)
class QuoteTick:
    """One change of the best bid or ask; times come in whole seconds."""

    request_id: int
    time_ns: int
    bid: float | None
    ask: float | None
    bid_size: float | None
    ask_size: float | None


@dataclass(frozen=True, slots=True)
class MidTick:
    """One change of the midpoint."""

    request_id: int
    time_ns: int
    price: float


@dataclass(frozen=True, slots=True)
class MarketDataKind:
    """Which data a subscription gets: ``"live"``, ``"frozen"``, ``"delayed"`` or ``"delayed frozen"``."""

    request_id: int
    kind: str


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """A snapshot is complete."""

    request_id: int


Event: TypeAlias = (
    Disconnected
    | Notice
    | CallbackFailure
    | CurrentTime
    | NextOrderId
    | Accounts
    | ContractFound
    | ContractsEnd
    | HeadTimestamp
    | HistoryBar
    | HistoryEnd
    | BarUpdate
    | RealTimeBar
    | Tick
    | TradeTick
    | QuoteTick
    | MidTick
    | MarketDataKind
    | SnapshotEnd
    | OrderOpen
    | OpenOrdersEnd
    | OrderStatus
    | Execution
    | ExecutionsEnd
    | Commission
    | CompletedOrder
    | CompletedOrdersEnd
    | PositionHeld
    | PositionsEnd
    | AccountFigure
    | PortfolioFigure
    | AccountEnd
    | PnlFigure
)
"""Everything that can be on the queue."""
