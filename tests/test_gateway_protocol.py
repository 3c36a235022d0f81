"""What the gateway says, over a real socket: greeting, contracts, codes, time, and who may connect."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys

import numpy as np
import pytest
from gateway_client import TestClient, buy, sell, stock

from quantlab.errors import GatewayError, QuantlabError, UnknownNameError
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as m
from quantlab.wire.frames import frame

pytestmark = pytest.mark.ib


@pytest.fixture(scope="module")
def market():
    return Market.of_sample()


@pytest.fixture
def gateway(market):
    with Gateway(market, speed="max", start="2012-01-03") as running:
        yield running


@pytest.fixture
def client(gateway):
    with TestClient(gateway) as connected:
        yield connected


def first_session(gateway):
    """Number of the session of 3 January 2012."""
    return int(np.searchsorted(gateway.market.hours.day, np.datetime64("2012-01-03", "D").astype(np.int64)))


def first_open(gateway):
    return int(gateway.market.hours.open_ns[first_session(gateway)])


def last_close(gateway):
    return int(gateway.market.hours.close_ns[first_session(gateway) - 1])


# -- greeting ------------------------------------------------------------------------------------------


def test_nothing_comes_between_the_version_and_the_start_of_the_client(gateway):
    sent = []
    gateway.faults.on_send = lambda message, session: sent.append(type(message)) or (message,)
    with TestClient(gateway, start=False) as client:
        assert client.wait(m.ServerHello).time_text == "20111230 16:00:00 EST"
        assert gateway.clients == ()
        assert sent == [m.ServerHello]
        client.send(m.StartApi(1))
        client.error(2158)
        assert sent[1:3] == [m.ManagedAccounts, m.NextValidId]


def test_the_greeting_is_account_next_order_id_and_three_notices(client):
    assert client.greeting[:2] == [m.ManagedAccounts(("DU1234567",)), m.NextValidId(1)]
    assert [x.code for x in client.greeting[2:]] == [2104, 2106, 2158]


@pytest.mark.parametrize(("newest", "agreed"), [(157, 157), (158, 157), (178, 178), (226, 178)])
def test_the_version_is_the_lower_of_the_clients_newest_and_the_ceiling(gateway, newest, agreed):
    with TestClient(gateway, version=newest) as client:
        assert client.hello.version == agreed


def test_a_client_that_is_too_old_is_hung_up_on_and_the_notice_names_the_fix(gateway):
    with TestClient(gateway, version=151, start=False) as client:
        assert client.is_closed()
    assert "pip install ibapi" in gateway.notices[-1]


def test_who_speaks_no_tws_is_hung_up_on(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert browser.recv(100) == b""
    assert "GET /" in gateway.notices[-1]


def test_a_client_id_in_use_is_told_326_and_hung_up_on_and_is_free_afterwards(gateway, client):
    second = TestClient(gateway)
    assert second.greeting[-1].code == 326
    assert second.is_closed()
    client.send(m.PlaceOrder(1, stock("AAPL"), buy(10)))
    client.close()
    # Bytes sent before the end were read before the id was free.
    for _ in range(100):
        third = TestClient(gateway)
        if third.greeting[-1].code == 2158:
            break
    assert third.greeting[1] == m.NextValidId(2)
    assert [o.order_id for o in gateway.orders()] == [1]


def test_another_client_id_is_another_client(gateway, client):
    with TestClient(gateway, client_id=2) as other:
        assert gateway.clients == (1, 2)
        other.send(m.PlaceOrder(1, stock("IBM"), buy(10)))
        other.sync()
        assert not [x for x in client.sync() if isinstance(x, m.OpenOrder)]


def test_a_message_that_is_not_known_is_answered_and_noted(gateway, client):
    client.socket.sendall(frame(b"999\0hello\0"))
    assert "999" in client.error(320).text
    assert "999" in gateway.notices[-1]
    assert "hello" in gateway.notices[-1]


def test_bytes_that_make_no_sense_end_the_connection_and_leave_the_gateway_running(gateway, client):
    client.socket.sendall(frame(b"49\0not a number\0") + frame(b"3\0x\0"))
    assert client.is_closed()
    assert gateway.notices
    with TestClient(gateway) as again:
        assert again.greeting[0] == m.ManagedAccounts(("DU1234567",))


# -- the small requests --------------------------------------------------------------------------------


def test_ids_and_accounts_are_told_again_when_asked(client):
    assert client.ask(m.RequestIds(), m.NextValidId) == m.NextValidId(1)
    assert client.ask(m.RequestManagedAccounts(), m.ManagedAccounts).accounts == ("DU1234567",)


def test_contract_details_name_tick_hours_and_what_is_made_up(client):
    client.send(m.RequestContractData(7, stock("AAPL")))
    found = client.wait(m.ContractData, request_id=7)
    assert client.wait(m.ContractDataEnd) == m.ContractDataEnd(7)
    assert (found.contract.con_id, found.min_tick, found.time_zone) == (265598, 0.01, "US/Eastern")
    assert "SYNTHETIC" in found.long_name
    assert found.liquid_hours.startswith("20111230:0930-20111230:1600;20111231:CLOSED")
    assert (found.min_size, found.size_increment) == (1.0, 1.0)


def test_every_contract_that_fits_is_listed_and_none_is_an_error(client):
    client.send(m.RequestContractData(7, stock("IBM", currency="")))
    found = client.until(lambda x: isinstance(x, m.ContractDataEnd))
    assert [x.contract.currency for x in found[:-1]] == ["USD", "EUR"]
    client.send(m.RequestContractData(8, stock("NOPE")))
    assert client.error(200).request_id == 8


@pytest.mark.parametrize(("format_date", "text"), [(1, "20040819-13:30:00"), (2, "1092922200")])
def test_the_head_of_the_data_is_the_open_of_the_first_bar(client, format_date, text):
    answer = client.ask(
        m.RequestHeadTimestamp(5, stock("GOOG"), format_date=format_date), m.HeadTimestamp, request_id=5
    )
    assert answer.time_text == text


def test_requests_about_a_contract_without_prices_are_refused(client):
    abroad = stock("IBM", currency="EUR")
    client.send(m.RequestHistoricalData(5, abroad))
    assert client.error(162).request_id == 5
    client.send(m.RequestMarketData(6, abroad))
    assert client.error(354).request_id == 6
    client.send(m.RequestHeadTimestamp(7, abroad))
    assert client.error(162).request_id == 7
    client.send(m.PlaceOrder(1, abroad, buy(1)))
    assert "permission" in client.error(201).text


def test_a_request_of_the_wrong_kind_is_refused_and_the_connection_goes_on(client):
    client.send(m.RequestHistoricalData(5, stock("AAPL")))
    client.wait(m.HistoricalData)
    for message, code in [
        (m.RequestTickByTick(9, stock("AAPL"), "Every"), 321),
        (m.RequestRealTimeBars(10, stock("AAPL"), what="VOLATILITY"), 321),
        (m.CancelHistoricalData(77), 366),
        (m.CancelMarketData(77), 300),
        (m.CancelRealTimeBars(77), 300),
        (m.CancelTickByTick(77), 300),
        (m.RequestPnLSingle(9, "DU1234567", "", 1), 200),
    ]:
        client.send(message)
        assert client.error(code)
    assert client.ask(m.RequestIds(), m.NextValidId)


def test_an_ambiguous_contract_is_error_200_that_lists_what_there_is(client):
    both = stock("IBM", currency="")
    for message in (
        m.RequestHistoricalData(5, both),
        m.PlaceOrder(1, both, buy(1)),
        m.RequestMarketData(6, both),
    ):
        client.send(message)
        text = client.error(200).text
        assert "ambiguous" in text
        assert "EUR at IBIS" in text


# -- time ----------------------------------------------------------------------------------------------


def test_at_top_speed_the_question_for_the_time_moves_it_and_the_answer_is_the_new_time(gateway, client):
    history = m.RequestHistoricalData(5, stock("AAPL"), duration="2 D", keep_up_to_date=True)
    client.ask(history, m.HistoricalData)
    assert gateway.now_ns == last_close(gateway)
    assert client.now() == first_open(gateway) // 10**9
    assert [type(x) for x in client.passed] == [
        m.HistoricalDataUpdate
    ]  # what the time brings comes before it
    assert gateway.now_ns == first_open(gateway)


def test_an_order_sent_before_the_question_is_in_before_time_moves(gateway, client):
    client.send(m.PlaceOrder(1, stock("AAPL"), buy(10)), m.RequestCurrentTime(), m.RequestCurrentTime())
    client.drive(lambda x: isinstance(x, m.CommissionReport), limit=3)
    (execution,) = gateway.executions()
    assert execution.time_ns == first_open(gateway) + 250_000_000


def test_time_waits_for_every_client_that_drives(gateway, client):
    with TestClient(gateway, client_id=2) as other:
        history = m.RequestHistoricalData(5, stock("AAPL"), duration="2 D", keep_up_to_date=True)
        other.ask(history, m.HistoricalData)  # who follows bars drives
        start = last_close(gateway)
        assert client.now() == client.now() == start // 10**9
        assert other.now() == first_open(gateway) // 10**9
        assert client.now() == first_open(gateway) // 10**9
        other.close()  # nobody waits for who has gone
        client.drive(
            lambda x: isinstance(x, m.CurrentTime) and x.time_s > first_open(gateway) // 10**9, limit=100
        )


def test_one_question_alone_makes_nobody_a_driver(gateway, client):
    with TestClient(gateway, client_id=2) as curious:
        curious.now()
        moved = client.now()
        assert client.now() > moved
        curious.now()
        moved = client.now()
        assert client.now() == client.now() == moved  # but two do


def test_a_client_that_only_watches_does_not_hold_time(gateway, client):
    with TestClient(gateway, client_id=2) as watcher:
        watcher.send(m.RequestPositions())
        watcher.wait(m.PositionEnd)
        start = gateway.now_ns
        client.now()
        client.sync()
        assert gateway.now_ns > start


def test_in_steps_time_moves_by_hand_alone(market):
    with Gateway(market, speed="step", start="2012-01-03") as gateway, TestClient(gateway) as client:
        assert client.now() == client.now()
        start = gateway.now_ns
        assert gateway.advance()
        assert gateway.now_ns == first_open(gateway) > start
        assert gateway.advance()
        assert gateway.now_ns == gateway.market.hours.close_ns[first_session(gateway)]


def test_at_the_end_time_stands_still_and_is_still_told(market):
    with Gateway(market, speed="max", start="2013-03-01") as gateway, TestClient(gateway) as client:
        times = [client.now() for _ in range(5)]
        assert times[-1] == times[-2] == times[-3] == int(market.hours.close_ns[-1]) // 10**9
        assert not gateway.advance()
    with Gateway(market, speed="step", start="2012-01-03", end="2012-01-03") as gateway:
        assert [gateway.advance() for _ in range(3)] == [True, True, False]


def test_with_the_wall_clock_orders_fill_by_themselves(market):
    with Gateway(market, speed=600.0, start="2012-01-03") as gateway, TestClient(gateway) as client:
        first = client.now()
        client.send(m.PlaceOrder(1, stock("AAPL"), buy(10)))
        client.wait(m.CommissionReport)
        assert client.now() >= first
        (execution,) = gateway.executions()
        assert execution.time_ns >= first_open(gateway) + 1800 * 10**9 + 250_000_000


def test_with_the_wall_clock_bars_in_progress_are_sent_and_in_the_end_the_whole_one(market):
    with Gateway(market, speed=20_000.0, start="2012-11-23") as gateway, TestClient(gateway) as client:
        history = m.RequestHistoricalData(5, stock("AAPL"), duration="1 D", keep_up_to_date=True)
        bars = [client.ask(history, m.HistoricalData).bars[-1]]
        while bars[-1].date == "20121123":
            bars.append(client.wait(m.HistoricalDataUpdate).bar)
        real = gateway.market.bars("AAPL", None, "2012-11-23", "2012-11-23")
        last = bars[-2]
        assert (last.high, last.low, last.close, last.volume) == (
            real.high[0, 0],
            real.low[0, 0],
            real.close[0, 0],
            real.volume[0, 0],
        )
        for a, b in itertools.pairwise(bars[:-1]):
            assert a.high <= b.high
            assert a.low >= b.low
            assert a.volume <= b.volume


# -- who may run it, and where -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        ({"host": "0.0.0.0"}, GatewayError, "loopback"),
        ({"host": "192.168.1.5"}, GatewayError, "loopback"),
        ({"host": "example.com"}, GatewayError, "loopback"),
        ({"account": "U1234567"}, GatewayError, "DU"),
        ({"account": "DU"}, GatewayError, "DU"),
        ({"cash": -1}, GatewayError, "cash"),
        ({"cash": float("nan")}, GatewayError, "cash"),
        ({"spread_bps": 20_000}, GatewayError, "below"),
        ({"latency_s": True}, GatewayError, "latency_s"),
        ({"fills": "bar"}, UnknownNameError, "bars"),
        ({"fills": "bars", "bar_size": "1 sec"}, GatewayError, "5 secs"),
        ({"speed": "warp"}, GatewayError, "speed"),
        ({"start": "2013-03-04"}, GatewayError, "2013-03-01"),
        ({"start": "soon"}, GatewayError, "a day is needed"),
        ({"end": "1999-01-01"}, GatewayError, "first session"),
        ({"ceiling": 100}, QuantlabError, "ceiling"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_listens(market, option, error, says):
    with pytest.raises(error, match=says):
        Gateway(market, **option)


def test_a_port_in_use_is_said_to_be_in_use(market, gateway):
    with pytest.raises(GatewayError, match=rf"port {gateway.port}.*another port"):
        Gateway(market, port=gateway.port).start()


def test_a_gateway_starts_once(gateway):
    with pytest.raises(GatewayError, match="make a new one"):
        gateway.start()


def test_after_stopping_its_records_are_still_there(market):
    with Gateway(market, speed="max", start="2012-01-03") as gateway, TestClient(gateway) as client:
        client.send(m.PlaceOrder(1, stock("AAPL"), sell(10)))
        client.sync()
        gateway.stop()
        assert client.is_closed()
    assert [o.quantity for o in gateway.orders()] == [-10.0]


def test_read_only_refuses_orders_and_serves_the_rest(market):
    with (
        Gateway(market, speed="max", start="2012-01-03", read_only=True) as gateway,
        TestClient(gateway) as client,
    ):
        client.send(m.PlaceOrder(1, stock("AAPL"), buy(10)))
        assert "read-only" in client.error(321).text
        client.send(m.RequestGlobalCancel())
        assert client.error(321)
        assert client.ask(m.RequestHistoricalData(5, stock("AAPL")), m.HistoricalData).bars
        assert gateway.orders() == ()


def test_importing_the_gateway_loads_neither_the_official_client_nor_a_chart():
    code = (
        "import sys; from quantlab.gateway.server import Gateway; "
        "print([x for x in ('ibapi', 'plotly', 'talib', 'exchange_calendars') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
