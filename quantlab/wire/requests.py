"""Messages from client to server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quantlab.wire.contract import Contract

if TYPE_CHECKING:
    from quantlab.wire.order import OrderTicket

__all__ = [
    "CancelAccountSummary",
    "CancelHeadTimestamp",
    "CancelHistoricalData",
    "CancelMarketData",
    "CancelOrder",
    "CancelPnL",
    "CancelPnLSingle",
    "CancelPositions",
    "CancelRealTimeBars",
    "CancelTickByTick",
    "ClientHello",
    "ExecutionFilter",
    "PlaceOrder",
    "RequestAccountSummary",
    "RequestAccountUpdates",
    "RequestAllOpenOrders",
    "RequestAutoOpenOrders",
    "RequestCompletedOrders",
    "RequestContractData",
    "RequestCurrentTime",
    "RequestExecutions",
    "RequestGlobalCancel",
    "RequestHeadTimestamp",
    "RequestHistoricalData",
    "RequestIds",
    "RequestManagedAccounts",
    "RequestMarketData",
    "RequestMarketDataType",
    "RequestOpenOrders",
    "RequestPnL",
    "RequestPnLSingle",
    "RequestPositions",
    "RequestRealTimeBars",
    "RequestTickByTick",
    "SetServerLogLevel",
    "StartApi",
]

# -- session -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The first thing a client says: which versions it speaks, and its connection options."""

    min_version: int
    max_version: int
    options: str = ""


@dataclass(frozen=True, slots=True)
class StartApi:
    """The second: who it is. ``capabilities`` is the optional list of them, as text."""

    client_id: int
    capabilities: str = ""


@dataclass(frozen=True, slots=True)
class RequestIds:
    """Ask for the next valid order id. ``count`` is a relic and is ignored by servers."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class RequestManagedAccounts:
    """Ask which accounts the session may use."""


@dataclass(frozen=True, slots=True)
class RequestCurrentTime:
    """Ask for the server's time."""


@dataclass(frozen=True, slots=True)
class SetServerLogLevel:
    """Set the server's log level for this client: 1 system, 2 error, 3 warning, 4 information, 5 detail."""

    level: int = 2


# -- contracts and prices ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestContractData:
    """Ask for the details of every contract that fits."""

    request_id: int
    contract: Contract = field(default_factory=Contract)


@dataclass(frozen=True, slots=True)
class RequestHeadTimestamp:
    """Ask for the earliest time of which there is data. ``format_date``: 1 text, 2 seconds since 1970."""

    request_id: int
    contract: Contract
    what: str = "TRADES"
    regular_hours: bool = True
    format_date: int = 1


@dataclass(frozen=True, slots=True)
class CancelHeadTimestamp:
    """Stop asking for the earliest time."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestHistoricalData:
    """Ask for bars.

    Parameters
    ----------
    request_id : int
        Chosen by the client.
    contract : Contract
        Of what.
    end : str
        ``"yyyymmdd-hh:mm:ss"`` in UTC, or with a zone at its end; empty for now.
    bar_size, duration : str
        ``"1 min"``, ``"1 day"`` ...; ``"3600 S"``, ``"10 D"``, ``"1 Y"`` ...
    regular_hours : bool
        Only the exchange's regular session.
    what : str
        ``"TRADES"``, ``"MIDPOINT"``, ``"BID"``, ``"ASK"`` ...
    format_date : int
        1 text, 2 seconds since 1970 (bars of a day and longer are ``"yyyymmdd"`` in any case).
    keep_up_to_date : bool
        Go on sending the bar in progress.
    chart_options : str
        ``"tag=value;"`` pairs, as text.
    """

    request_id: int
    contract: Contract
    end: str = ""
    bar_size: str = "1 day"
    duration: str = "1 Y"
    regular_hours: bool = True
    what: str = "TRADES"
    format_date: int = 1
    keep_up_to_date: bool = False
    chart_options: str = ""


@dataclass(frozen=True, slots=True)
class CancelHistoricalData:
    """Stop a request for bars."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestRealTimeBars:
    """Ask for bars of five seconds as they close. ``bar_size_s`` is 5: there is no other."""

    request_id: int
    contract: Contract
    bar_size_s: int = 5
    what: str = "TRADES"
    regular_hours: bool = True
    options: str = ""


@dataclass(frozen=True, slots=True)
class CancelRealTimeBars:
    """Stop bars of five seconds."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestMarketData:
    """Ask for a stream of ticks, or with ``snapshot`` for the newest ones once."""

    request_id: int
    contract: Contract
    generic_ticks: str = ""
    snapshot: bool = False
    regulatory_snapshot: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True)
class CancelMarketData:
    """Stop a stream of ticks."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestMarketDataType:
    """Choose the kind of ticks: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    data_type: int


@dataclass(frozen=True, slots=True)
class RequestTickByTick:
    """Ask for every tick of a kind: ``"Last"``, ``"AllLast"``, ``"BidAsk"`` or ``"MidPoint"``."""

    request_id: int
    contract: Contract
    kind: str = "Last"
    count: int = 0
    ignore_size: bool = False


@dataclass(frozen=True, slots=True)
class CancelTickByTick:
    """Stop a stream of single ticks."""

    request_id: int


# -- orders --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Place an order, or change the one that has this id."""

    order_id: int
    contract: Contract
    order: OrderTicket


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel one order.

    ``manual_time`` is carried from version 169, ``ext_operator`` and ``manual_order_indicator`` from 192.
    """

    order_id: int
    manual_time: str = ""
    ext_operator: str = ""
    manual_order_indicator: int | None = None


@dataclass(frozen=True, slots=True)
class RequestGlobalCancel:
    """Cancel every order of the account. The two fields are carried from version 192."""

    ext_operator: str = ""
    manual_order_indicator: int | None = None


@dataclass(frozen=True, slots=True)
class RequestOpenOrders:
    """Ask for this client's open orders."""


@dataclass(frozen=True, slots=True)
class RequestAllOpenOrders:
    """Ask for everybody's open orders."""


@dataclass(frozen=True, slots=True)
class RequestAutoOpenOrders:
    """Bind orders that are made by hand to this client (client id 0 only)."""

    auto_bind: bool = True


@dataclass(frozen=True, slots=True)
class RequestCompletedOrders:
    """Ask for today's completed orders; ``api_only`` leaves out those that were made by hand."""

    api_only: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions: empty fields and client id 0 take all.

    Parameters
    ----------
    client_id : int
        Of the client that placed the order.
    account, symbol, security_type, exchange : str
        As in the execution.
    time : str
        Not before, ``"yyyymmdd-hh:mm:ss"``.
    side : str
        ``"BUY"`` or ``"SELL"``.
    last_days : int or None
        So many days back; carried from version 200.
    dates : tuple of int
        Or these dates, yyyymmdd; carried from version 200.
    """

    client_id: int = 0
    account: str = ""
    time: str = ""
    symbol: str = ""
    security_type: str = ""
    exchange: str = ""
    side: str = ""
    last_days: int | None = None
    dates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestExecutions:
    """Ask for executions."""

    request_id: int
    filter: ExecutionFilter = field(default_factory=ExecutionFilter)


# -- account -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestPositions:
    """Ask for every position, and for its changes from then on."""


@dataclass(frozen=True, slots=True)
class CancelPositions:
    """Stop changes of positions."""


@dataclass(frozen=True, slots=True)
class RequestAccountSummary:
    """Ask for figures of a group of accounts; ``tags`` is a comma-separated list."""

    request_id: int
    group: str = "All"
    tags: str = ""


@dataclass(frozen=True, slots=True)
class CancelAccountSummary:
    """Stop figures of accounts."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestAccountUpdates:
    """Start or stop the figures and the portfolio of one account."""

    subscribe: bool
    account: str = ""


@dataclass(frozen=True, slots=True)
class RequestPnL:
    """Ask for profit and loss of an account as they change."""

    request_id: int
    account: str
    model_code: str = ""


@dataclass(frozen=True, slots=True)
class CancelPnL:
    """Stop profit and loss of an account."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RequestPnLSingle:
    """Ask for profit and loss of one position as they change."""

    request_id: int
    account: str
    model_code: str = ""
    con_id: int = 0


@dataclass(frozen=True, slots=True)
class CancelPnLSingle:
    """Stop profit and loss of one position."""

    request_id: int
