"""Callbacks: what the official client decodes, made into events on one queue.

This class stands where the official wrapper would; it needs no base of theirs, so one class serves every release,
and callbacks that quantlab does not use are taken and dropped.
"""

# ruff: noqa: N802, N803, N815, ARG002, PLR0917  # names and arguments are the official client's

from __future__ import annotations

import traceback
from threading import get_ident
from typing import TYPE_CHECKING, Any

from quantlab.barsize import SECOND_NS
from quantlab.broker import events as ev
from quantlab.broker.bridge import commission_of, error_parts, number, state_commission, whole
from quantlab.broker.codes import severity_of
from quantlab.broker.contracts import ContractDetails, ContractId
from quantlab.broker.orders import NEEDS_LIMIT, NEEDS_STOP
from quantlab.broker.ticks import tick_kind, tick_time
from quantlab.broker.times import time_of_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Callbacks"]

MISSING = -1.0
"""What Interactive Brokers sends for a price or a size that is not there."""

WITH_LIMIT = (*NEEDS_LIMIT, "REL", "TRAIL LIMIT", "MIDPRICE")
WITH_STOP = (*NEEDS_STOP, "TRAIL", "TRAIL LIMIT")
TRAILING = ("TRAIL", "TRAIL LIMIT")

DATA_KINDS = {1: "live", 2: "frozen", 3: "delayed", 4: "delayed frozen"}


def _contract_id(contract: Any) -> ContractId:
    return ContractId(
        con_id=contract.conId,
        symbol=contract.symbol,
        security_type=contract.secType,
        exchange=contract.exchange,
        primary_exchange=contract.primaryExchange,
        currency=contract.currency,
        multiplier=float(contract.multiplier) if contract.multiplier else 1.0,
        last_trade_date=contract.lastTradeDateOrContractMonth,
        local_symbol=contract.localSymbol,
        trading_class=contract.tradingClass,
    )


def _there(value: Any) -> float | None:
    """Read a number that is there: neither unset nor -1."""
    made = number(value)
    return None if made == MISSING else made


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(x for x in (text or "").split(",") if x)


def _signed(action: str, quantity: Any) -> float:
    size = number(quantity) or 0.0
    return size if action.upper() in {"BUY", "BOT"} else -size


class Callbacks:
    """Makes events of callbacks.

    Parameters
    ----------
    put : callable
        Takes each event.
    """

    def __init__(self, put: Callable[[ev.Event], None]) -> None:
        self._put = put
        self.sender = 0  # thread that is inside a request of the official client
        self.refusals: list[str] = []  # what that request was refused for, before anything was sent

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Take and drop a callback that is not used; never an attribute of ours."""
        if name.startswith("_"):
            raise AttributeError(name)
        return _drop

    def guard(self, interpret: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """`interpret` that never raises: what goes wrong becomes an event, and the next message is read."""

        def guarded(payload: bytes) -> None:
            try:
                interpret(payload)
            except Exception as error:  # noqa: BLE001  # whatever it is, the loop must go on
                self._put(_failure(error, payload))

        return guarded

    # -- the connection ------------------------------------------------------------------------------------

    def error(self, reqId: int, *args: Any) -> None:
        """Make a `Notice`, or refuse the request that is being sent."""
        code, text, details = error_parts(args)
        if details:
            text = f"{text} {details}"
        if get_ident() == self.sender:
            self.refusals.append(f"{code}: {text}")
        else:
            self._put(ev.Notice(reqId, code, text, severity_of(code, reqId, text)))

    def currentTime(self, time: int) -> None:
        """Make a `CurrentTime`."""
        self._put(ev.CurrentTime(time * SECOND_NS))

    def nextValidId(self, orderId: int) -> None:
        """Make a `NextOrderId`."""
        self._put(ev.NextOrderId(orderId))

    def managedAccounts(self, accountsList: str) -> None:
        """Make `Accounts`."""
        self._put(ev.Accounts(_names(accountsList)))

    # -- contracts and history -----------------------------------------------------------------------------

    def contractDetails(self, reqId: int, contractDetails: Any) -> None:
        """Make a `ContractFound`."""
        found = contractDetails
        details = ContractDetails(
            contract=_contract_id(found.contract),
            long_name=found.longName,
            tick=number(found.minTick) or 0.0,
            price_magnifier=whole(found.priceMagnifier) or 1,
            order_types=_names(found.orderTypes),
            exchanges=_names(found.validExchanges),
            time_zone=found.timeZoneId,
            trading_hours=found.tradingHours,
            liquid_hours=found.liquidHours,
            min_size=number(getattr(found, "minSize", None)),
            size_step=number(getattr(found, "sizeIncrement", None)),
            market_rule_ids=_names(found.marketRuleIds),
            market_name=found.marketName,
            industry=found.industry,
            category=found.category,
            contract_month=found.contractMonth,
        )
        self._put(ev.ContractFound(reqId, details))

    def contractDetailsEnd(self, reqId: int) -> None:
        """Make a `ContractsEnd`."""
        self._put(ev.ContractsEnd(reqId))

    def headTimestamp(self, reqId: int, headTimestamp: str) -> None:
        """Make a `HeadTimestamp`."""
        self._put(ev.HeadTimestamp(reqId, time_of_text(headTimestamp), headTimestamp))

    def historicalData(self, reqId: int, bar: Any) -> None:
        """Make a `HistoryBar`."""
        self._put(_history_bar(reqId, bar))

    def historicalDataEnd(self, reqId: int, start: str, end: str) -> None:
        """Make a `HistoryEnd`."""
        self._put(ev.HistoryEnd(reqId, start, end))

    def historicalDataUpdate(self, reqId: int, bar: Any) -> None:
        """Make a `BarUpdate`."""
        self._put(ev.BarUpdate(reqId, _history_bar(reqId, bar)))

    def realtimeBar(
        self,
        reqId: int,
        time: int,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: Any,
        wap: Any,
        count: int,
    ) -> None:
        """Make a `RealTimeBar`."""
        trades = None if count < 0 else count
        self._put(
            ev.RealTimeBar(
                reqId, time * SECOND_NS, open_, high, low, close, _there(volume), _there(wap), trades
            )
        )

    # -- ticks ---------------------------------------------------------------------------------------------

    def tickPrice(self, reqId: int, tickType: int, price: float, attrib: Any) -> None:
        """Make a `Tick` of a price."""
        self._tick(reqId, tickType, price)

    def tickSize(self, reqId: int, tickType: int, size: Any) -> None:
        """Make a `Tick` of a size."""
        self._tick(reqId, tickType, size)

    def tickGeneric(self, reqId: int, tickType: int, value: float) -> None:
        """Make a `Tick` of another figure."""
        self._tick(reqId, tickType, value)

    def _tick(self, request_id: int, tick_type: int, value: Any) -> None:
        made = _there(value)
        if made is not None:
            self._put(ev.Tick(request_id, tick_kind(tick_type), made, None))

    def tickString(self, reqId: int, tickType: int, value: str) -> None:
        """Make a `Tick` of a text that is a time."""
        time_ns = tick_time(tickType, value)
        if time_ns is not None:
            self._put(ev.Tick(reqId, tick_kind(tickType), time_ns / SECOND_NS, time_ns))

    def tickSnapshotEnd(self, reqId: int) -> None:
        """Make a `SnapshotEnd`."""
        self._put(ev.SnapshotEnd(reqId))

    def marketDataType(self, reqId: int, marketDataType: int) -> None:
        """Make a `MarketDataKind`."""
        self._put(ev.MarketDataKind(reqId, DATA_KINDS.get(marketDataType, str(marketDataType))))

    def tickByTickAllLast(
        self,
        reqId: int,
        tickType: int,
        time: int,
        price: float,
        size: Any,
        attribs: Any,
        exchange: str,
        conditions: str,
    ) -> None:
        """Make a `TradeTick`."""
        self._put(ev.TradeTick(reqId, time * SECOND_NS, price, _there(size), exchange, conditions))

    def tickByTickBidAsk(
        self, reqId: int, time: int, bid: float, ask: float, bidSize: Any, askSize: Any, attribs: Any
    ) -> None:
        """Make a `QuoteTick`."""
        sizes = _there(bidSize), _there(askSize)
        self._put(ev.QuoteTick(reqId, time * SECOND_NS, _there(bid), _there(ask), *sizes))

    def tickByTickMidPoint(self, reqId: int, time: int, midPoint: float) -> None:
        """Make a `MidTick`."""
        self._put(ev.MidTick(reqId, time * SECOND_NS, midPoint))

    # -- orders --------------------------------------------------------------------------------------------

    def openOrder(self, orderId: int, contract: Any, order: Any, orderState: Any) -> None:
        """Make an `OrderOpen`."""
        found = ev.OrderOpen(
            order_id=orderId,
            perm_id=whole(order.permId) or None,
            client_id=whole(order.clientId) or 0,
            order_ref=order.orderRef,
            contract=_contract_id(contract),
            action=order.action,
            quantity=_signed(order.action, order.totalQuantity),
            order_type=order.orderType,
            limit_price=_price(order.lmtPrice, order.orderType, WITH_LIMIT),
            status=orderState.status,
            commission=state_commission(orderState),
            account=order.account,
            stop_price=_price(order.auxPrice, order.orderType, WITH_STOP),
            tif=order.tif,
            parent_id=whole(order.parentId) or 0,
            warning=getattr(orderState, "rejectReason", "") or orderState.warningText,
            trail_stop_price=_price(order.trailStopPrice, order.orderType, TRAILING) or None,
        )
        self._put(found)

    def openOrderEnd(self) -> None:
        """Make an `OpenOrdersEnd`."""
        self._put(ev.OpenOrdersEnd())

    def orderStatus(
        self,
        orderId: int,
        status: str,
        filled: Any,
        remaining: Any,
        avgFillPrice: float,
        permId: int,
        parentId: int,
        lastFillPrice: float,
        clientId: int,
        whyHeld: str,
        mktCapPrice: float = 0.0,
    ) -> None:
        """Make an `OrderStatus`."""
        self._put(
            ev.OrderStatus(
                order_id=orderId,
                status=status,
                filled=number(filled) or 0.0,
                remaining=number(remaining) or 0.0,
                average_price=number(avgFillPrice) or None,
                perm_id=whole(permId) or None,
                parent_id=whole(parentId) or 0,
                last_price=number(lastFillPrice) or None,
                client_id=whole(clientId) or 0,
                why_held=whyHeld,
            )
        )

    def execDetails(self, reqId: int, contract: Any, execution: Any) -> None:
        """Make an `Execution`."""
        done = ev.Execution(
            request_id=reqId,
            exec_id=execution.execId,
            order_id=execution.orderId,
            perm_id=whole(execution.permId) or None,
            client_id=execution.clientId,
            order_ref=execution.orderRef,
            account=execution.acctNumber,
            symbol=contract.symbol,
            contract=_contract_id(contract),
            quantity=_signed(execution.side, execution.shares),
            price=execution.price,
            time_ns=time_of_text(execution.time),
            time_text=execution.time,
            cumulative=number(execution.cumQty) or 0.0,
            average_price=number(execution.avgPrice) or None,
        )
        self._put(done)

    def execDetailsEnd(self, reqId: int) -> None:
        """Make an `ExecutionsEnd`."""
        self._put(ev.ExecutionsEnd(reqId))

    def commissionReport(self, report: Any) -> None:
        """Make a `Commission`."""
        amount, realized = commission_of(report), number(report.realizedPNL)
        self._put(ev.Commission(report.execId, amount, report.currency, realized))

    commissionAndFeesReport = commissionReport  # its name since 10.37

    def completedOrder(self, contract: Any, order: Any, orderState: Any) -> None:
        """Make a `CompletedOrder`."""
        done = ev.CompletedOrder(
            perm_id=whole(order.permId) or None,
            order_ref=order.orderRef,
            contract=_contract_id(contract),
            action=order.action,
            quantity=_signed(order.action, order.totalQuantity),
            filled=number(order.filledQuantity),
            order_type=order.orderType,
            limit_price=_price(order.lmtPrice, order.orderType, WITH_LIMIT),
            status=orderState.status,
            status_text=orderState.completedStatus,
            account=order.account,
        )
        self._put(done)

    def completedOrdersEnd(self) -> None:
        """Make a `CompletedOrdersEnd`."""
        self._put(ev.CompletedOrdersEnd())

    # -- accounts ------------------------------------------------------------------------------------------

    def position(self, account: str, contract: Any, position: Any, avgCost: float) -> None:
        """Make a `PositionHeld`."""
        held = number(position) or 0.0
        self._put(ev.PositionHeld(account, _contract_id(contract), held, number(avgCost)))

    def positionEnd(self) -> None:
        """Make a `PositionsEnd`."""
        self._put(ev.PositionsEnd())

    def accountSummary(self, reqId: int, account: str, tag: str, value: str, currency: str) -> None:
        """Make an `AccountFigure` of a summary."""
        self._put(ev.AccountFigure(reqId, account, tag, value, currency))

    def accountSummaryEnd(self, reqId: int) -> None:
        """Make an `AccountEnd` of a summary."""
        self._put(ev.AccountEnd(reqId))

    def updateAccountValue(self, key: str, val: str, currency: str, accountName: str) -> None:
        """Make an `AccountFigure` of account updates."""
        self._put(ev.AccountFigure(ev.GENERAL, accountName, key, val, currency))

    def updatePortfolio(
        self,
        contract: Any,
        position: Any,
        marketPrice: float,
        marketValue: float,
        averageCost: float,
        unrealizedPNL: float,
        realizedPNL: float,
        accountName: str,
    ) -> None:
        """Make a `PortfolioFigure`."""
        money = (number(x) for x in (marketPrice, marketValue, averageCost, unrealizedPNL, realizedPNL))
        held = number(position) or 0.0
        self._put(ev.PortfolioFigure(accountName, _contract_id(contract), held, *money))

    def accountDownloadEnd(self, accountName: str) -> None:
        """Make an `AccountEnd` of account updates."""
        self._put(ev.AccountEnd(ev.GENERAL))

    def pnl(self, reqId: int, dailyPnL: float, unrealizedPnL: float, realizedPnL: float) -> None:
        """Make a `PnlFigure`."""
        self._put(ev.PnlFigure(reqId, number(dailyPnL), number(unrealizedPnL), number(realizedPnL)))

    def pnlSingle(
        self,
        reqId: int,
        pos: Any,
        dailyPnL: float,
        unrealizedPnL: float,
        realizedPnL: float,
        value: float,
    ) -> None:
        """Make a `PnlFigure` of one contract."""
        self.pnl(reqId, dailyPnL, unrealizedPnL, realizedPnL)


def _drop(*_: Any) -> None:
    """Take a callback that nothing waits for."""


def _history_bar(request_id: int, bar: Any) -> ev.HistoryBar:
    count = whole(bar.barCount)
    return ev.HistoryBar(
        request_id=request_id,
        time_text=bar.date,
        time_ns=time_of_text(bar.date),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=_there(bar.volume),
        average=_there(bar.wap if hasattr(bar, "wap") else bar.average),  # its name before 10.19
        count=None if count is None or count < 0 else count,
    )


def _price(price: Any, order_type: str, having: tuple[str, ...]) -> float | None:
    """Read a price of an order, where its type has one: others come with a zero, or something left over."""
    return number(price) if order_type in having else None


def _failure(error: BaseException, payload: bytes) -> ev.CallbackFailure:
    """Name of the innermost function that handles messages, and what went wrong in it."""
    # The official client fails once more while it reports a message that is too short: the first failure counts.
    while isinstance(error.__context__, Exception) and not isinstance(error.__context__, StopIteration):
        error = error.__context__
    name = "interpret"
    for frame in traceback.extract_tb(error.__traceback__):
        ours = frame.filename == __file__ and frame.name not in {"guarded", "_tick"}
        if ours or frame.name.startswith("process"):
            name = frame.name
    start = payload[:80].replace(b"\0", b"|").decode("utf-8", errors="replace")
    return ev.CallbackFailure(name, f"{type(error).__name__}: {error} (message {start!r})")
