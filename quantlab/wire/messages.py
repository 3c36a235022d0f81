"""Every message of the protocol as a frozen record, and what the records are made of.

Quantities and prices are floats, None is *unset*, times are as in the protocol (each record says how).
A field that a message does not carry, in its direction or at the version that was agreed, arrives with its default.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantlab.wire.answers import (
    ContractData,
    ContractDataEnd,
    CurrentTime,
    ErrorMessage,
    HeadTimestamp,
    HistoricalBar,
    HistoricalData,
    HistoricalDataEnd,
    HistoricalDataUpdate,
    ManagedAccounts,
    MarketDataType,
    NextValidId,
    RealTimeBar,
    ServerHello,
    TickByTickBidAsk,
    TickByTickLast,
    TickByTickMidPoint,
    TickGeneric,
    TickPrice,
    TickReqParams,
    TickSize,
    TickSnapshotEnd,
    TickString,
)
from quantlab.wire.contract import (
    Contract,
)
from quantlab.wire.order import (
    OrderStateData,
    OrderTicket,
)
from quantlab.wire.reports import (
    AccountDownloadEnd,
    AccountSummary,
    AccountSummaryEnd,
    AccountUpdateTime,
    AccountValue,
    CommissionReport,
    CompletedOrder,
    CompletedOrdersEnd,
    ExecutionData,
    ExecutionDataEnd,
    OpenOrder,
    OpenOrderEnd,
    OrderStatus,
    PnL,
    PnLSingle,
    PortfolioValue,
    PositionData,
    PositionEnd,
)
from quantlab.wire.requests import (
    CancelAccountSummary,
    CancelHeadTimestamp,
    CancelHistoricalData,
    CancelMarketData,
    CancelOrder,
    CancelPnL,
    CancelPnLSingle,
    CancelPositions,
    CancelRealTimeBars,
    CancelTickByTick,
    ClientHello,
    ExecutionFilter,
    PlaceOrder,
    RequestAccountSummary,
    RequestAccountUpdates,
    RequestAllOpenOrders,
    RequestAutoOpenOrders,
    RequestCompletedOrders,
    RequestContractData,
    RequestCurrentTime,
    RequestExecutions,
    RequestGlobalCancel,
    RequestHeadTimestamp,
    RequestHistoricalData,
    RequestIds,
    RequestManagedAccounts,
    RequestMarketData,
    RequestMarketDataType,
    RequestOpenOrders,
    RequestPnL,
    RequestPnLSingle,
    RequestPositions,
    RequestRealTimeBars,
    RequestTickByTick,
    SetServerLogLevel,
    StartApi,
)

__all__ = [
    "AccountDownloadEnd",
    "AccountSummary",
    "AccountSummaryEnd",
    "AccountUpdateTime",
    "AccountValue",
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
    "CommissionReport",
    "CompletedOrder",
    "CompletedOrdersEnd",
    "Contract",
    "ContractData",
    "ContractDataEnd",
    "CurrentTime",
    "ErrorMessage",
    "ExecutionData",
    "ExecutionDataEnd",
    "ExecutionFilter",
    "HeadTimestamp",
    "HistoricalBar",
    "HistoricalData",
    "HistoricalDataEnd",
    "HistoricalDataUpdate",
    "ManagedAccounts",
    "MarketDataType",
    "Message",
    "NextValidId",
    "OpenOrder",
    "OpenOrderEnd",
    "OrderStateData",
    "OrderStatus",
    "OrderTicket",
    "PlaceOrder",
    "PnL",
    "PnLSingle",
    "PortfolioValue",
    "PositionData",
    "PositionEnd",
    "RealTimeBar",
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
    "ServerHello",
    "SetServerLogLevel",
    "StartApi",
    "TickByTickBidAsk",
    "TickByTickLast",
    "TickByTickMidPoint",
    "TickGeneric",
    "TickPrice",
    "TickReqParams",
    "TickSize",
    "TickSnapshotEnd",
    "TickString",
    "Unknown",
]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message whose id is not in the table: surfaced as it came, in either direction."""

    message_id: int
    fields: tuple[str, ...] = ()


Message = (
    Unknown
    | AccountDownloadEnd
    | AccountSummary
    | AccountSummaryEnd
    | AccountUpdateTime
    | AccountValue
    | CancelAccountSummary
    | CancelHeadTimestamp
    | CancelHistoricalData
    | CancelMarketData
    | CancelOrder
    | CancelPnL
    | CancelPnLSingle
    | CancelPositions
    | CancelRealTimeBars
    | CancelTickByTick
    | ClientHello
    | CommissionReport
    | CompletedOrder
    | CompletedOrdersEnd
    | ContractData
    | ContractDataEnd
    | CurrentTime
    | ErrorMessage
    | ExecutionData
    | ExecutionDataEnd
    | HeadTimestamp
    | HistoricalData
    | HistoricalDataEnd
    | HistoricalDataUpdate
    | ManagedAccounts
    | MarketDataType
    | NextValidId
    | OpenOrder
    | OpenOrderEnd
    | OrderStatus
    | PlaceOrder
    | PnL
    | PnLSingle
    | PortfolioValue
    | PositionData
    | PositionEnd
    | RealTimeBar
    | RequestAccountSummary
    | RequestAccountUpdates
    | RequestAllOpenOrders
    | RequestAutoOpenOrders
    | RequestCompletedOrders
    | RequestContractData
    | RequestCurrentTime
    | RequestExecutions
    | RequestGlobalCancel
    | RequestHeadTimestamp
    | RequestHistoricalData
    | RequestIds
    | RequestManagedAccounts
    | RequestMarketData
    | RequestMarketDataType
    | RequestOpenOrders
    | RequestPnL
    | RequestPnLSingle
    | RequestPositions
    | RequestRealTimeBars
    | RequestTickByTick
    | ServerHello
    | SetServerLogLevel
    | StartApi
    | TickByTickBidAsk
    | TickByTickLast
    | TickByTickMidPoint
    | TickGeneric
    | TickPrice
    | TickReqParams
    | TickSize
    | TickSnapshotEnd
    | TickString
)
"""Anything that goes over the line."""
