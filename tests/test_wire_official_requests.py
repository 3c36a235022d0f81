"""The official client's own bytes, read by our server: every request, by a codec that nobody here wrote."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official_client import (
    IS_NEW,
    NEWEST,
    Collector,
    Recorder,
    official,
    official_contract,
    official_order,
    plain_names,
    their_contract,
    their_order,
    written,
)
from wire_records import APPLE, BY_KIND, VERSIONS, one_at_a_time, spoken_of, two_ends

from quantlab.wire import Connection, State
from quantlab.wire import messages as m
from quantlab.wire.fields import TEXT
from quantlab.wire.layout import Field, When
from quantlab.wire.to_server import TO_SERVER

pytestmark = pytest.mark.ib

AT = [v for v in (157, 159, 163, 166, 169, 176, 177, 178, 182, 187, 189, 190, 192, 199, 200) if v <= NEWEST]
"""Versions that this official client speaks."""

FUTURE = m.Contract(
    con_id=495512552,
    symbol="ES",
    security_type="FUT",
    last_trade_date="20241220",
    strike=5.5,
    right="C",
    multiplier="50",
    exchange="CME",
    primary_exchange="GLOBEX",
    currency="USD",
    local_symbol="ESZ4",
    trading_class="ES",
)


def cancel_arguments(**more):
    """What this client's cancelOrder takes beside the id."""
    if not IS_NEW:
        return ()
    from ibapi.order_cancel import OrderCancel

    made = OrderCancel()
    for name, value in more.items():
        setattr(made, name, value)
    return (made,)


def heard(version, data):
    """What our server makes of a client's bytes."""
    _, server = two_ends(version)
    return server.receive(data)


def their_filter():
    from ibapi.execution import ExecutionFilter

    made = ExecutionFilter()
    made.clientId, made.acctCode, made.time = 7, "DU1", "20240105-10:00:00"
    made.symbol, made.secType, made.exchange, made.side = "AAPL", "STK", "SMART", "BUY"
    return made


FILTER = m.ExecutionFilter(7, "DU1", "20240105-10:00:00", "AAPL", "STK", "SMART", "BUY")
APPLES = their_contract(APPLE)
FUTURES = their_contract(replace(FUTURE, include_expired=True))
EXPIRED = replace(FUTURE, include_expired=True)
NAMED = replace(FUTURE, include_expired=True, sec_id_type="ISIN", sec_id="US0378331005")

CALLS = [
    ("reqIds", (1,), m.RequestIds(1)),
    ("reqManagedAccts", (), m.RequestManagedAccounts()),
    ("reqCurrentTime", (), m.RequestCurrentTime()),
    ("setServerLogLevel", (5,), m.SetServerLogLevel(5)),
    ("reqContractDetails", (3, their_contract(NAMED)), m.RequestContractData(3, NAMED)),
    ("reqHeadTimeStamp", (3, FUTURES, "BID", 0, 2), m.RequestHeadTimestamp(3, EXPIRED, "BID", False, 2)),
    ("cancelHeadTimeStamp", (3,), m.CancelHeadTimestamp(3)),
    (
        "reqHistoricalData",
        (3, FUTURES, "20240105-10:00:00", "10 D", "1 min", "MIDPOINT", 0, 2, False, []),
        m.RequestHistoricalData(3, EXPIRED, "20240105-10:00:00", "1 min", "10 D", False, "MIDPOINT", 2),
    ),
    (
        "reqHistoricalData",
        (3, APPLES, "", "1 Y", "1 day", "TRADES", 1, 1, True, []),
        m.RequestHistoricalData(3, APPLE, keep_up_to_date=True),
    ),
    ("cancelHistoricalData", (3,), m.CancelHistoricalData(3)),
    (
        "reqRealTimeBars",
        (3, FUTURES, 5, "MIDPOINT", False, []),
        m.RequestRealTimeBars(3, FUTURE, 5, "MIDPOINT", False),
    ),
    ("cancelRealTimeBars", (3,), m.CancelRealTimeBars(3)),
    (
        "reqMktData",
        (3, FUTURES, "233,236", True, False, []),
        m.RequestMarketData(3, FUTURE, "233,236", True, False),
    ),
    ("cancelMktData", (3,), m.CancelMarketData(3)),
    ("reqMarketDataType", (4,), m.RequestMarketDataType(4)),
    ("reqTickByTickData", (3, FUTURES, "BidAsk", 9, True), m.RequestTickByTick(3, FUTURE, "BidAsk", 9, True)),
    ("cancelTickByTickData", (3,), m.CancelTickByTick(3)),
    ("cancelOrder", (7, *cancel_arguments()), m.CancelOrder(7)),
    ("reqOpenOrders", (), m.RequestOpenOrders()),
    ("reqAllOpenOrders", (), m.RequestAllOpenOrders()),
    ("reqAutoOpenOrders", (True,), m.RequestAutoOpenOrders(True)),
    ("reqCompletedOrders", (True,), m.RequestCompletedOrders(True)),
    ("reqExecutions", (3, their_filter()), m.RequestExecutions(3, FILTER)),
    ("reqPositions", (), m.RequestPositions()),
    ("cancelPositions", (), m.CancelPositions()),
    (
        "reqAccountSummary",
        (3, "All", "NetLiquidation,Cash"),
        m.RequestAccountSummary(3, "All", "NetLiquidation,Cash"),
    ),
    ("cancelAccountSummary", (3,), m.CancelAccountSummary(3)),
    ("reqAccountUpdates", (True, "DU1"), m.RequestAccountUpdates(True, "DU1")),
    ("reqPnL", (3, "DU1", "model"), m.RequestPnL(3, "DU1", "model")),
    ("cancelPnL", (3,), m.CancelPnL(3)),
    ("reqPnLSingle", (3, "DU1", "model", 265598), m.RequestPnLSingle(3, "DU1", "model", 265598)),
    ("cancelPnLSingle", (3,), m.CancelPnLSingle(3)),
    ("reqGlobalCancel", cancel_arguments() if IS_NEW else (), m.RequestGlobalCancel()),
    ("placeOrder", (7, APPLES, their_order(m.OrderTicket("BUY", 100, "MKT"))), None),
]


@pytest.mark.parametrize("version", AT)
@pytest.mark.parametrize(
    ("call", "arguments", "message"), CALLS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_our_server_understands_what_the_official_client_writes(call, arguments, message, version):
    expected = message or m.PlaceOrder(7, APPLE, m.OrderTicket("BUY", 100, "MKT"))
    assert heard(version, written(version, call, *arguments)) == (expected,)


def test_every_request_of_the_table_is_written_by_the_official_client_here():
    tried = {type(message) for _, _, message in CALLS if message} | {m.PlaceOrder, m.StartApi}
    assert {s.record for s in TO_SERVER} == tried


@pytest.mark.parametrize("version", AT)
@pytest.mark.parametrize(
    ("call", "arguments", "message"), CALLS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_our_client_writes_the_same_bytes_as_the_official_one(call, arguments, message, version):
    ours, _ = two_ends(version)
    expected = message or m.PlaceOrder(7, APPLE, m.OrderTicket("BUY", 100, "MKT"))
    assert loosely(ours.send(expected)) == loosely(written(version, call, *arguments))


def loosely(data):
    """Fields of one message; the many spellings of zero and of unset are one."""
    spellings = {b"1.7976931348623157e+308": b"", b"2147483647": b"", b"0.0": b"0"}
    return [spellings.get(text, text) for text in data[4:].split(b"\0")]


@pytest.mark.parametrize("version", AT)
def test_the_time_of_a_manual_cancel_arrives_where_the_version_has_it(version):
    if not IS_NEW:
        assert "orderCancel" not in inspect.signature(official.EClient.cancelOrder).parameters
        return
    given = {"manualOrderCancelTime": "20240105-10:00:00"} if version >= 169 else {}
    given |= {"extOperator": "me", "manualOrderIndicator": 1} if version >= 192 else {}
    (message,) = heard(version, written(version, "cancelOrder", 7, *cancel_arguments(**given)))
    assert message.manual_time == given.get("manualOrderCancelTime", "")
    assert message.ext_operator == given.get("extOperator", "")
    assert message.manual_order_indicator == given.get("manualOrderIndicator")


# -- orders ------------------------------------------------------------------------------------------------

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)


def carried(version):
    """Plain fields of a ticket that are always on the line at this version, with their kinds."""
    elements = spoken_of(m.PlaceOrder).layout.at(version).elements
    plain = plain_names()
    found = {}
    for element in elements:
        if isinstance(element, Field) and element.path.startswith("order."):
            name = element.path.removeprefix("order.")
            if name in plain:
                found[name] = element.kind
    return found


def values_of(name, kind):
    if name == "compete_against_best_offset":
        return st.sampled_from((None, 0.25, inf))
    return PRINTABLE if kind is TEXT else BY_KIND[id(kind)]


@pytest.mark.parametrize("version", VERSIONS if NEWEST >= 178 else (157,))
@settings(max_examples=60)
@given(data=st.data())
def test_any_plain_order_of_the_official_client_arrives_field_by_field(version, data):
    kinds = carried(version)
    chosen = data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=12, unique=True))
    given_ = {name: data.draw(values_of(name, kinds[name])) for name in chosen}
    quantity = data.draw(st.floats(0.0001, 1e9))
    ticket = m.OrderTicket(**{"action": "SELL", "order_type": "LMT", "quantity": quantity} | given_)
    arrived = heard(version, written(version, "placeOrder", 7, APPLES, their_order(ticket)))
    assert arrived == (m.PlaceOrder(7, APPLE, ticket),)


@pytest.mark.parametrize("version", AT)
def test_what_a_user_leaves_alone_arrives_as_unset(version):
    contract = official_contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = "AAPL", "STK", "SMART", "USD"
    order = official_order()
    order.action, order.totalQuantity, order.orderType = "BUY", 100, "MKT"
    (message,) = heard(version, written(version, "placeOrder", 7, contract, order))
    plain = m.OrderTicket("BUY", 100, "MKT", tif="")
    if not IS_NEW:
        plain = replace(plain, e_trade_only=True, firm_quote_only=True)  # what today's TWS rejects
    apple = m.Contract(symbol="AAPL", security_type="STK", exchange="SMART", currency="USD")
    assert message == m.PlaceOrder(7, apple, plain)
    (message,) = heard(version, written(version, "reqContractDetails", 7, contract))
    assert message == m.RequestContractData(7, apple)


@pytest.mark.parametrize("version", AT)
def test_each_field_of_an_order_alone_arrives_in_its_place(version):
    known = {*plain_names(), "quantity"}
    tried = 0
    for message in one_at_a_time(m.PlaceOrder, version):
        empty = m.OrderTicket("", 0.0, "")
        changed = {
            f.name for f in fields(m.OrderTicket) if getattr(message.order, f.name) != getattr(empty, f.name)
        }
        if changed <= known:
            data = written(version, "placeOrder", message.order_id, *theirs_of(message))
            assert heard(version, data) == (message,)
            tried += 1
    assert tried >= 94


def theirs_of(message):
    return their_contract(message.contract), their_order(message.order)


TICKETS = {
    "a limit order": m.OrderTicket("SELL", 12.5, "LMT", limit_price=0.1 + 0.2, tif="GTC", account="DU1"),
    "a stop order": m.OrderTicket("SELL", 10, "STP", aux_price=99.5, outside_rth=True, order_ref="b/1/AAPL"),
    "the parent of a bracket": m.OrderTicket("BUY", 10, "LMT", 100.0, transmit=False),
    "its stop": m.OrderTicket("SELL", 10, "STP", aux_price=90.0, parent_id=7, oca_group="o", oca_type=1),
    "a trailing stop": m.OrderTicket("SELL", 10, "TRAIL", trailing_percent=1.5, trail_stop_price=95.0),
    "an adjusted stop": m.OrderTicket(
        "SELL",
        10,
        "STP",
        aux_price=90.0,
        adjusted_order_type="TRAIL",
        trigger_price=110.0,
        adjusted_stop_price=105.0,
        adjusted_stop_limit_price=104.0,
        adjusted_trailing_amount=2.0,
        adjustable_trailing_unit=1,
        limit_price_offset=0.5,
    ),
    "an algorithm": m.OrderTicket(
        "BUY",
        10,
        "MKT",
        algo_strategy="Vwap",
        algo_params=(("maxPctVol", "0.1"), ("noTakeLiq", "1")),
        algo_id="x",
    ),
    "a hedge": m.OrderTicket("BUY", 10, "MKT", hedge_type="P", hedge_param="2", cash_quantity=5.0),
    "a scale": m.OrderTicket(
        "BUY",
        10,
        "LMT",
        100.0,
        scale_init_level_size=5,
        scale_subs_level_size=2,
        scale_price_increment=0.5,
        scale_price_adjust_value=0.1,
        scale_price_adjust_interval=60,
        scale_profit_offset=1.0,
        scale_auto_reset=True,
        scale_init_position=3,
        scale_init_fill_quantity=2,
        scale_random_percent=True,
        scale_table="t",
        active_start_time="a",
        active_stop_time="b",
    ),
    "a volatility order": m.OrderTicket(
        "BUY",
        10,
        "VOL",
        volatility=0.2,
        volatility_type=2,
        delta_neutral_order_type="LMT",
        delta_neutral_aux_price=1.5,
        delta_neutral_con_id=5,
        delta_neutral_settling_firm="f",
        delta_neutral_clearing_account="c",
        delta_neutral_clearing_intent="i",
        delta_neutral_open_close="O",
        delta_neutral_short_sale=True,
        delta_neutral_short_sale_slot=2,
        delta_neutral_designated_location="l",
        continuous_update=True,
        reference_price_type=1,
    ),
    "pegged to a benchmark": m.OrderTicket(
        "BUY",
        10,
        "PEG BENCH",
        reference_contract_id=5,
        is_pegged_change_amount_decrease=True,
        pegged_change_amount=0.5,
        reference_change_amount=0.25,
        reference_exchange_id="ISLAND",
        starting_price=33.0,
    ),
    "of a soft dollar tier": m.OrderTicket("BUY", 10, "MKT", soft_dollar_name="n", soft_dollar_value="v"),
}


@pytest.mark.parametrize("version", AT)
@pytest.mark.parametrize("name", TICKETS)
def test_an_order_of_each_kind_arrives_whole(name, version):
    ticket = TICKETS[name]
    assert heard(version, written(version, "placeOrder", 7, APPLES, their_order(ticket))) == (
        m.PlaceOrder(7, APPLE, ticket),
    )


@pytest.mark.parametrize(
    ("exchange", "given_"),
    [
        ("IBKRATS", {"order_type": "LMT", "min_trade_quantity": 5}),
        ("IBKRATS", {"order_type": "PEG BEST", "min_trade_quantity": 5, "min_compete_size": 3}),
        ("SMART", {"order_type": "PEG BEST", "min_compete_size": 3, "compete_against_best_offset": 0.25}),
        (
            "SMART",
            {"order_type": "PEG BEST", "compete_against_best_offset": inf, "mid_offset_at_whole": 0.5},
        ),
        ("SMART", {"order_type": "PEG MID", "mid_offset_at_whole": 0.5, "mid_offset_at_half": 0.25}),
    ],
)
def test_a_pegged_order_arrives_with_its_offsets(exchange, given_):
    ticket = m.OrderTicket("BUY", 10, **given_)
    contract = replace(APPLE, exchange=exchange)
    for version in [v for v in AT if v >= 170]:
        data = written(version, "placeOrder", 7, their_contract(contract), their_order(ticket))
        assert heard(version, data) == (m.PlaceOrder(7, contract, ticket),)


def test_every_conditional_part_of_an_order_was_tried():
    tried = [replace(t) for t in TICKETS.values()]
    for element in spoken_of(m.PlaceOrder).layout.elements:
        if isinstance(element, When) and element.path.startswith("order.") and element.since <= 157:
            name = element.path.removeprefix("order.")
            assert any(element.holds(getattr(ticket, name)) for ticket in tried), element.path


# -- the whole greeting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ceiling", [157, 178])
def test_the_official_client_connects_to_our_server(monkeypatch, ceiling):
    server = Connection("server", ceiling=ceiling)
    collector = Collector()
    collector.heard = []

    def send(data):
        for message in server.receive(data):
            collector.heard.append(message)
            if isinstance(message, m.ClientHello):
                collector.answers.append(server.send(m.ServerHello(server.version, "20240105 10:00:00 EST")))
            if isinstance(message, m.StartApi):
                collector.open = False  # ends the reader's thread
        return len(data)

    collector.sendMsg = send
    monkeypatch.setattr(official, "Connection", lambda host, port: collector)
    client = official.EClient(Recorder())
    client.connect("localhost", 0, 42)
    client.reader.join()
    assert collector.heard == [m.ClientHello(100, NEWEST), m.StartApi(42)]
    assert server.state is State.READY
    assert server.version == client.serverVersion() == min(ceiling, NEWEST)
