"""ib_async, a client that nobody here wrote: its bytes read by our server, our server's bytes read by its decoder."""

from __future__ import annotations

import logging
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_records import APPLE, VERSIONS, any_message, two_ends

from quantlab.wire import messages as m
from quantlab.wire.to_client import TO_CLIENT

pytestmark = pytest.mark.ib

ib_async = pytest.importorskip("ib_async", reason="could not import 'ib_async': pip install ib_async")

from ib_async.client import Client  # noqa: E402 - after it is known to be there
from ib_async.decoder import Decoder  # noqa: E402

THEIR_APPLE = ib_async.Contract(
    conId=265598,
    symbol="AAPL",
    secType="STK",
    exchange="SMART",
    primaryExchange="NASDAQ",
    currency="USD",
    localSymbol="AAPL",
    tradingClass="NMS",
)

# -- what it writes ----------------------------------------------------------------------------------------


def heard(version, call, *arguments):
    """What our server makes of one call of ib_async."""
    client = Client(object())
    client._serverVersion = version
    client.connState = Client.CONNECTED
    sent = []
    client.sendMsg = sent.append
    getattr(client, call)(*arguments)
    _, server = two_ends(version)
    return server.receive(b"".join(client._prefix(text.encode()) for text in sent))


CALLS = [
    ("reqIds", (1,), m.RequestIds(1)),
    ("reqManagedAccts", (), m.RequestManagedAccounts()),
    ("reqCurrentTime", (), m.RequestCurrentTime()),
    ("setServerLogLevel", (5,), m.SetServerLogLevel(5)),
    ("reqContractDetails", (3, THEIR_APPLE), m.RequestContractData(3, APPLE)),
    ("reqHeadTimeStamp", (3, THEIR_APPLE, "BID", 0, 2), m.RequestHeadTimestamp(3, APPLE, "BID", False, 2)),
    ("cancelHeadTimeStamp", (3,), m.CancelHeadTimestamp(3)),
    (
        "reqHistoricalData",
        (3, THEIR_APPLE, "", "1 Y", "1 day", "TRADES", True, 1, True, []),
        m.RequestHistoricalData(3, APPLE, keep_up_to_date=True),
    ),
    ("cancelHistoricalData", (3,), m.CancelHistoricalData(3)),
    ("reqRealTimeBars", (3, THEIR_APPLE, 5, "TRADES", True, []), m.RequestRealTimeBars(3, APPLE)),
    ("cancelRealTimeBars", (3,), m.CancelRealTimeBars(3)),
    ("reqMktData", (3, THEIR_APPLE, "233", False, False, []), m.RequestMarketData(3, APPLE, "233")),
    ("cancelMktData", (3,), m.CancelMarketData(3)),
    ("reqMarketDataType", (4,), m.RequestMarketDataType(4)),
    ("reqTickByTickData", (3, THEIR_APPLE, "Last", 0, False), m.RequestTickByTick(3, APPLE)),
    ("cancelTickByTickData", (3,), m.CancelTickByTick(3)),
    ("cancelOrder", (7,), m.CancelOrder(7)),
    ("reqGlobalCancel", (), m.RequestGlobalCancel()),
    ("reqOpenOrders", (), m.RequestOpenOrders()),
    ("reqAllOpenOrders", (), m.RequestAllOpenOrders()),
    ("reqAutoOpenOrders", (True,), m.RequestAutoOpenOrders()),
    ("reqCompletedOrders", (False,), m.RequestCompletedOrders()),
    ("reqExecutions", (3, ib_async.ExecutionFilter()), m.RequestExecutions(3)),
    ("reqPositions", (), m.RequestPositions()),
    ("cancelPositions", (), m.CancelPositions()),
    ("reqAccountSummary", (3, "All", "A,B"), m.RequestAccountSummary(3, "All", "A,B")),
    ("cancelAccountSummary", (3,), m.CancelAccountSummary(3)),
    ("reqAccountUpdates", (True, "DU1"), m.RequestAccountUpdates(True, "DU1")),
    ("reqPnL", (3, "DU1", ""), m.RequestPnL(3, "DU1")),
    ("cancelPnL", (3,), m.CancelPnL(3)),
    ("reqPnLSingle", (3, "DU1", "", 265598), m.RequestPnLSingle(3, "DU1", "", 265598)),
    ("cancelPnLSingle", (3,), m.CancelPnLSingle(3)),
    ("reqAccountUpdatesMulti", (3, "DU1", "", False), m.Unknown(76, ("1", "3", "DU1", "", "0"))),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("call", "arguments", "message"), CALLS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_our_server_understands_what_ib_async_writes(call, arguments, message, version):
    assert heard(version, call, *arguments) == (message,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"orderType": "LMT", "lmtPrice": 0.1 + 0.2}, {"order_type": "LMT", "limit_price": 0.1 + 0.2}),
        (
            {"orderType": "STP", "auxPrice": 9.5, "parentId": 6, "transmit": False, "tif": "GTC"},
            {"order_type": "STP", "aux_price": 9.5, "parent_id": 6, "transmit": False, "tif": "GTC"},
        ),
        (
            {"account": "DU1", "orderRef": "b/1", "ocaGroup": "o", "ocaType": 1, "outsideRth": True},
            {"account": "DU1", "order_ref": "b/1", "oca_group": "o", "oca_type": 1, "outside_rth": True},
        ),
        ({"orderType": "TRAIL", "trailingPercent": 1.5}, {"order_type": "TRAIL", "trailing_percent": 1.5}),
    ],
)
def test_an_order_of_ib_async_arrives_whole(theirs, ours, version):
    given_ = {"action": "BUY", "totalQuantity": 12.5, "orderType": "MKT", "tif": "DAY"} | theirs
    ticket = m.OrderTicket(**{"action": "BUY", "quantity": 12.5, "order_type": "MKT"} | ours)
    (message,) = heard(version, "placeOrder", 7, THEIR_APPLE, ib_async.Order(**given_))
    assert message == m.PlaceOrder(7, APPLE, replace(ticket, use_price_mgmt_algo=False, open_close="O"))


def test_its_word_for_an_offset_without_end_is_understood():
    order = ib_async.Order(
        action="BUY", totalQuantity=1, orderType="PEG BEST", competeAgainstBestOffset=inf, midOffsetAtHalf=0.5
    )
    (message,) = heard(178, "placeOrder", 7, THEIR_APPLE, order)
    assert message.order.compete_against_best_offset == inf
    assert message.order.mid_offset_at_half == 0.5


# -- what it reads -----------------------------------------------------------------------------------------


class Wrapper:
    """Keeps every callback."""

    def __init__(self):
        self.calls = []
        self.defaultTimezone = None

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, arguments))


def read(version, message, caplog):
    _, server = two_ends(version)
    data = server.send(message)
    wrapper = Wrapper()
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        Decoder(wrapper, version).interpret(data[4:-1].decode().split("\0"))
    assert caplog.records == []
    return wrapper.calls


def plausible(message):
    """The same with dates that a decoder can take apart."""
    if isinstance(message, m.ExecutionData):
        return replace(message, time="20240105 10:00:00 UTC")
    if isinstance(message, m.ContractData):
        return replace(message, contract=replace(message.contract, last_trade_date="20241220"))
    if isinstance(message, m.HistoricalData):
        bars = tuple(replace(bar, date="20240105") for bar in message.bars)
        return replace(message, bars=bars, start="20240104 10:00:00", end="20240105 10:00:00")
    if isinstance(message, m.HistoricalDataUpdate):
        return replace(message, bar=replace(message.bar, date="20240105"))
    if isinstance(message, (m.RealTimeBar, m.TickByTickLast, m.TickByTickBidAsk, m.TickByTickMidPoint)):
        return replace(message, time_s=1704448800)
    return message


@pytest.mark.parametrize("record", [s.record for s in TO_CLIENT if s.since <= 178], ids=lambda r: r.__name__)
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=6)
@given(data=st.data())
def test_ib_async_reads_every_answer_without_complaint(record, version, data):
    message = plausible(data.draw(any_message(record, version)))
    with pytest.MonkeyPatch.context() as patch:
        complaints = []
        patch.setattr(logging.Logger, "exception", lambda self, *a, **k: complaints.append((self.name, a)))
        _, server = two_ends(version)
        wrapper = Wrapper()
        texts = server.send(message)[4:-1].decode().split("\0")
        Decoder(wrapper, version).interpret(texts)
    assert complaints == []
    assert len(wrapper.calls) == (len(message.bars) + 1 if record is m.HistoricalData else 1)


TICKET = m.OrderTicket(
    "SELL",
    12.5,
    "LMT",
    0.1 + 0.2,
    aux_price=9.5,
    tif="GTC",
    oca_group="o",
    account="DU1",
    order_ref="b/1",
    parent_id=6,
    outside_rth=True,
    hedge_type="P",
    hedge_param="2",
    algo_strategy="Vwap",
    algo_params=(("maxPctVol", "0.1"),),
    trigger_price=3.5,
    adjustable_trailing_unit=1,
    cash_quantity=7.5,
)
STATE = m.OrderStateData("Submitted", commission=1.25, commission_currency="USD", warning_text="w")


@pytest.mark.parametrize("version", VERSIONS)
def test_ib_async_reads_an_open_order_field_by_field(version, caplog):
    ((name, (order_id, contract, order, state)),) = read(
        version, m.OpenOrder(7, APPLE, TICKET, STATE, client_id=3, perm_id=99), caplog
    )
    assert (name, order_id, contract.conId, contract.symbol) == ("openOrder", 7, 265598, "AAPL")
    assert (order.action, order.totalQuantity, order.orderType) == ("SELL", 12.5, "LMT")
    assert (order.lmtPrice, order.auxPrice, order.tif) == (0.1 + 0.2, 9.5, "GTC")
    assert (order.ocaGroup, order.account, order.orderRef) == ("o", "DU1", "b/1")
    assert (order.clientId, order.permId, order.parentId, order.outsideRth) == (3, 99, 6, True)
    assert (order.hedgeType, order.hedgeParam, order.algoStrategy) == ("P", "2", "Vwap")
    assert [(t.tag, t.value) for t in order.algoParams] == [("maxPctVol", "0.1")]
    assert (order.triggerPrice, order.adjustableTrailingUnit, order.cashQty) == (3.5, 1, 7.5)
    assert (state.status, state.commission, state.commissionCurrency) == ("Submitted", 1.25, "USD")
    assert (state.warningText, state.minCommission) == ("w", 1.7976931348623157e308)


@pytest.mark.parametrize("version", VERSIONS)
def test_ib_async_reads_executions_commissions_and_positions(version, caplog):
    execution = m.ExecutionData(
        *(-1, 7, APPLE, "0001.01", "20240105 10:00:00 UTC", "DU1", "ISLAND", "BOT", 12.0, 99.5),
        perm_id=99,
        client_id=3,
        cumulative_quantity=12.0,
        average_price=99.5,
        order_ref="b/1",
        last_liquidity=2,
    )
    ((_, (request_id, contract, found)),) = read(version, execution, caplog)
    assert (request_id, contract.symbol, found.execId, found.orderId) == (-1, "AAPL", "0001.01", 7)
    assert (found.side, found.shares, found.price, found.cumQty) == ("BOT", 12.0, 99.5, 12.0)
    assert (found.permId, found.clientId, found.orderRef, found.lastLiquidity) == (99, 3, "b/1", 2)
    ((_, (report,)),) = read(version, m.CommissionReport("0001.01", 1.0, "USD"), caplog)
    assert (report.execId, report.commission, report.currency) == ("0001.01", 1.0, "USD")
    assert report.realizedPNL in {0.0, 1.7976931348623157e308}  # ib_async makes 0 of unset
    ((_, (account, contract, quantity, cost)),) = read(
        version, m.PositionData("DU1", APPLE, -3.0, 99.5), caplog
    )
    assert (account, contract.conId, quantity, cost) == ("DU1", 265598, -3.0, 99.5)


@pytest.mark.parametrize("version", VERSIONS)
def test_ib_async_reads_details_bars_and_notices(version, caplog):
    details = m.ContractData(3, APPLE, "NMS", long_name="APPLE INC", min_tick=0.01, stock_type="COMMON")
    ((_, (request_id, found)),) = read(version, details, caplog)
    assert (request_id, found.longName, found.minTick, found.stockType) == (3, "APPLE INC", 0.01, "COMMON")
    assert (found.contract.conId, found.contract.primaryExchange) == (265598, "NASDAQ")
    bar = m.HistoricalBar("20240105", 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 7)
    calls = read(version, m.HistoricalData(3, "20240104", "20240105", (bar,)), caplog)
    (_, (request_id, found)), (ended, _) = calls
    assert (request_id, ended) == (3, "historicalDataEnd")
    assert (found.open, found.high, found.low, found.close) == (1.0, 2.0, 0.5, 1.5)
    assert (found.volume, found.average, found.barCount) == (100.0, 1.25, 7)
    calls = read(version, m.ErrorMessage(7, 201, "Order rejected", '{"a":"b"}'), caplog)
    assert calls == [("error", (7, 201, "Order rejected", '{"a":"b"}' if version >= 166 else ""))]
