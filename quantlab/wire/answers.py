"""Messages from server to client: the session, contracts and prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlab.wire.contract import Contract

__all__ = [
    "ContractData",
    "ContractDataEnd",
    "CurrentTime",
    "ErrorMessage",
    "HeadTimestamp",
    "HistoricalBar",
    "HistoricalData",
    "HistoricalDataEnd",
    "HistoricalDataUpdate",
    "ManagedAccounts",
    "MarketDataType",
    "NextValidId",
    "RealTimeBar",
    "ServerHello",
    "TickByTickBidAsk",
    "TickByTickLast",
    "TickByTickMidPoint",
    "TickGeneric",
    "TickPrice",
    "TickReqParams",
    "TickSize",
    "TickSnapshotEnd",
    "TickString",
]

# -- session -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerHello:
    """The version both will speak, and the server's time as text (``"20240105 10:00:00 EST"``)."""

    version: int
    time_text: str


@dataclass(frozen=True, slots=True)
class ManagedAccounts:
    """The accounts that the session may use."""

    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NextValidId:
    """The lowest order id that may be used."""

    order_id: int


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """An error, a warning or a notice.

    Parameters
    ----------
    request_id : int
        Request or order that it is about; -1 for none.
    code : int
        Interactive Brokers' code.
    text : str
        What is said.
    advanced : str
        Reasons of a rejected order as JSON; carried from version 166.
    time_ms : int or None
        Milliseconds since 1970; carried from version 194.
    """

    request_id: int
    code: int
    text: str
    advanced: str = ""
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """The server's time in seconds since 1970, UTC."""

    time_s: int


# -- contracts and prices ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContractData:
    """One contract that fits a request, and its details.

    Parameters
    ----------
    request_id : int
        Of the request.
    contract : Contract
        The contract in full.
    market_name, long_name, industry, category, subcategory, stock_type : str
        Words about it.
    min_tick : float
        Smallest step of the price.
    order_types, valid_exchanges, market_rule_ids : str
        Comma-separated lists; the rules are in the order of the exchanges.
    price_magnifier : int
        Prices are so many times the currency (100 where pence are quoted).
    under_con_id, under_symbol, under_security_type : int, str, str
        The underlying.
    contract_month, real_expiration_date : str
        Of what expires.
    time_zone, trading_hours, liquid_hours : str
        ``"US/Eastern"``, and ``"yyyymmdd:hhmm-yyyymmdd:hhmm;yyyymmdd:CLOSED"`` in that zone.
    ev_rule, ev_multiplier : str, int
        Economic value.
    sec_ids : tuple of (str, str)
        Other identifiers.
    agg_group : int or None
        Smart components' group.
    min_size, size_increment, suggested_size_increment : float or None
        Units; carried from version 164.
    """

    request_id: int
    contract: Contract
    market_name: str = ""
    min_tick: float = 0.01
    order_types: str = ""
    valid_exchanges: str = ""
    price_magnifier: int = 1
    under_con_id: int = 0
    long_name: str = ""
    contract_month: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    time_zone: str = ""
    trading_hours: str = ""
    liquid_hours: str = ""
    ev_rule: str = ""
    ev_multiplier: int = 0
    sec_ids: tuple[tuple[str, str], ...] = ()
    agg_group: int | None = None
    under_symbol: str = ""
    under_security_type: str = ""
    market_rule_ids: str = ""
    real_expiration_date: str = ""
    stock_type: str = ""
    min_size: float | None = None
    size_increment: float | None = None
    suggested_size_increment: float | None = None


@dataclass(frozen=True, slots=True)
class ContractDataEnd:
    """No more contracts fit."""

    request_id: int


@dataclass(frozen=True, slots=True)
class HeadTimestamp:
    """The earliest time of which there is data, in the form that was asked for."""

    request_id: int
    time_text: str


@dataclass(frozen=True, slots=True)
class HistoricalBar:
    """One bar.

    Parameters
    ----------
    date : str
        **Open** of an intraday bar, in the form that was asked for; ``"yyyymmdd"`` of a daily one.
    open, high, low, close : float
        Prices.
    volume : float
        Units; -1 where there is none. Cut to whole units below version 163.
    wap : float
        Volume-weighted average price; -1 where there is none.
    count : int
        Number of trades; -1 where there is none.
    """

    date: str
    open: float
    high: float
    low: float
    close: float
    volume: float = -1.0
    wap: float = -1.0
    count: int = -1


@dataclass(frozen=True, slots=True)
class HistoricalData:
    """The bars of a request; ``start`` and ``end`` are not carried from version 196 (``HistoricalDataEnd``)."""

    request_id: int
    start: str = ""
    end: str = ""
    bars: tuple[HistoricalBar, ...] = ()


@dataclass(frozen=True, slots=True)
class HistoricalDataEnd:
    """The end of a request's bars: a message of its own from version 196."""

    request_id: int
    start: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class HistoricalDataUpdate:
    """The bar in progress of a request that is kept up to date."""

    request_id: int
    bar: HistoricalBar


@dataclass(frozen=True, slots=True)
class RealTimeBar:
    """A bar of five seconds; ``time_s`` is its **open**, seconds since 1970."""

    request_id: int
    time_s: int
    open: float
    high: float
    low: float
    close: float
    volume: float = -1.0
    wap: float = -1.0
    count: int = -1


@dataclass(frozen=True, slots=True)
class TickPrice:
    """A price: tick type 1 bid, 2 ask, 4 last, 6 high, 7 low, 9 close, 14 open; ``size`` is None when not given."""

    request_id: int
    tick_type: int
    price: float
    size: float | None = None
    can_auto_execute: bool = False
    past_limit: bool = False
    pre_open: bool = False


@dataclass(frozen=True, slots=True)
class TickSize:
    """A size: tick type 0 bid, 3 ask, 5 last, 8 volume."""

    request_id: int
    tick_type: int
    size: float


@dataclass(frozen=True, slots=True)
class TickGeneric:
    """A number: tick type 49 halted ..."""

    request_id: int
    tick_type: int
    value: float


@dataclass(frozen=True, slots=True)
class TickString:
    """A text: tick type 45 time of the last trade (seconds since 1970), 48 real-time volume ..."""

    request_id: int
    tick_type: int
    value: str


@dataclass(frozen=True, slots=True)
class TickSnapshotEnd:
    """The end of a snapshot."""

    request_id: int


@dataclass(frozen=True, slots=True)
class MarketDataType:
    """The kind of the ticks that follow: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    request_id: int
    data_type: int


@dataclass(frozen=True, slots=True)
class TickReqParams:
    """What holds for a stream of ticks: step of the price, map of exchanges, permission for snapshots."""

    request_id: int
    min_tick: float
    bbo_exchange: str = ""
    snapshot_permissions: int = 0


@dataclass(frozen=True, slots=True)
class TickByTickLast:
    """A trade; ``tick_type`` is 1 (Last) or 2 (AllLast), ``time_s`` seconds since 1970."""

    request_id: int
    time_s: int
    price: float
    size: float
    tick_type: int = 1
    past_limit: bool = False
    unreported: bool = False
    exchange: str = ""
    conditions: str = ""


@dataclass(frozen=True, slots=True)
class TickByTickBidAsk:
    """A quote; ``time_s`` is seconds since 1970."""

    request_id: int
    time_s: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    bid_past_low: bool = False
    ask_past_high: bool = False


@dataclass(frozen=True, slots=True)
class TickByTickMidPoint:
    """The middle of bid and ask; ``time_s`` is seconds since 1970."""

    request_id: int
    time_s: int
    mid_point: float
