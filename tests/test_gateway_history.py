"""Bars and prices over a real socket: which, how written, and never from the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gateway_client import TestClient, stock
from made_bars import make_bars

from quantlab.bars import Bars
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as m

AAPL = stock("AAPL")
S = 10**9


@pytest.fixture(scope="module")
def market():
    return Market.of_sample()


@pytest.fixture
def gateway(market):
    with Gateway(market, speed="max", start="2012-01-04") as running:
        yield running


@pytest.fixture
def client(gateway):
    with TestClient(gateway) as connected:
        yield connected


def history(client, request_id=5, contract=AAPL, **options):
    client.send(m.RequestHistoricalData(request_id, contract, **options))
    *before, answer = client.until(
        lambda x: (
            (isinstance(x, m.HistoricalData) and x.request_id == request_id)
            or (isinstance(x, m.ErrorMessage) and x.code != 2174)
        )
    )
    client.before = before
    return answer


def prices(bars):
    return [(b.open, b.high, b.low, b.close, b.volume) for b in bars]


def columns(bars, column=0):
    return [
        tuple(float(getattr(bars, c)[t, column]) for c in ("open", "high", "low", "close", "volume"))
        for t in range(bars.n_bars)
    ]


# -- which bars ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "size", "n"),
    [
        ("1 Y", "1 day", 252),
        ("13 Y", "1 day", 2980),
        ("6 M", "1 day", 127),
        ("2 W", "1 day", 8),
        ("5 D", "1 day", 5),
        ("1 D", "1 day", 1),
        ("1 D", "1 min", 390),
        ("2 D", "1 hour", 14),
        ("1800 S", "1 min", 30),
        ("3600 S", "5 secs", 720),
        ("1 M", "1 week", 4),
        ("1 Y", "1 month", 12),
        ("2 D", "5 mins", 156),
    ],
)
def test_a_duration_reaches_back_over_sessions_or_dates(client, duration, size, n):
    assert len(history(client, duration=duration, bar_size=size).bars) == n


def test_daily_bars_are_the_real_ones_under_their_dates(gateway, client):
    answer = history(client, duration="20 D")
    real = gateway.market.bars("AAPL", None, None, "2012-01-03").take(slice(-20, None))
    assert prices(answer.bars) == columns(real)
    assert answer.bars[-1].date == "20120103"
    assert all(b.low <= b.wap <= b.high and b.count > 0 for b in answer.bars)


def test_intraday_bars_are_dated_by_their_open_as_text_or_in_seconds(gateway, client):
    texts = history(client, duration="1 D", bar_size="30 mins").bars
    seconds = history(client, duration="1 D", bar_size="30 mins", format_date=2).bars
    assert texts[0].date == "20120103 09:30:00 US/Eastern"
    real = gateway.market.bars("AAPL", "30 mins", "2012-01-03", "2012-01-03")
    assert [int(b.date) * S + 1800 * S for b in seconds] == real.time.tolist()
    assert prices(texts) == prices(seconds) == columns(real)


@pytest.mark.parametrize(
    "end", ["20110630-20:00:00", "20110630 16:00:00 US/Eastern", "20110630 16:00:00", "20110630  16:00:00"]
)
def test_an_end_may_be_in_utc_in_a_zone_or_in_the_exchanges_by_default(client, end):
    answer = history(client, end=end, duration="3 D")
    assert [b.date for b in answer.bars] == ["20110628", "20110629", "20110630"]
    warned = [x.code for x in client.before if isinstance(x, m.ErrorMessage)]
    assert warned == ([] if "-" in end or "US" in end else [2174])


def test_an_end_within_a_bar_leaves_it_out(client):
    answer = history(client, end="20110630-19:59:59", duration="2 D")
    assert [b.date for b in answer.bars][-1] == "20110629"


def test_a_start_before_all_data_gives_what_there_is(client):
    assert history(client, contract=stock("GOOG"), duration="20 Y").bars[0].date == "20040819"


@pytest.mark.parametrize(("what", "scale"), [("MIDPOINT", 1.0), ("BID", 1.0 - 1e-4), ("ASK", 1.0 + 1e-4)])
def test_quotes_as_bars_lie_around_the_trades_and_have_no_volume(client, what, scale):
    trades = history(client, duration="2 D").bars
    quotes = history(client, duration="2 D", what=what).bars
    assert [b.close for b in quotes] == [b.close * scale for b in trades]
    assert {(b.volume, b.count) for b in quotes} == {(-1.0, -1)}


def test_bid_and_ask_together_span_what_is_between_them(client):
    both = history(client, duration="2 D", what="BID_ASK").bars
    bids, asks = (history(client, duration="2 D", what=w).bars for w in ("BID", "ASK"))
    assert [(b.low, b.high) for b in both] == [(x.low, y.high) for x, y in zip(bids, asks, strict=True)]


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"bar_size": "7 mins"}, 321),
        ({"bar_size": "soon"}, 321),
        ({"bar_size": "1 secs"}, 321),
        ({"duration": "1 decade"}, 321),
        ({"duration": "0 D"}, 321),
        ({"duration": "366 D"}, 321),
        ({"duration": "1Y"}, 321),
        ({"duration": "1 Y", "bar_size": "5 secs"}, 162),
        ({"what": "ADJUSTED_LAST"}, 321),
        ({"what": "FEE_RATE"}, 321),
        ({"format_date": 3}, 321),
        ({"end": "2012-01-03"}, 10314),
        ({"end": "20121399-10:00:00"}, 10314),
        ({"end": "20120103 10:00:00 Mars/Olympus"}, 10314),
        ({"end": "20120103-10:00:00", "keep_up_to_date": True}, 321),
        ({"what": "BID_ASK", "keep_up_to_date": True}, 321),
        ({"bar_size": "1 week", "keep_up_to_date": True}, 321),
        ({"end": "19990101-10:00:00"}, 162),
        ({"contract": stock("GOOG"), "end": "20030101-10:00:00"}, 162),
        ({"contract": stock("NOPE")}, 200),
    ],
)
def test_a_request_for_bars_that_cannot_be_answered_has_its_code(client, options, code):
    answer = history(client, **options)
    assert (answer.code, answer.request_id) == (code, 5)
    assert history(client, duration="1 D").bars  # the number is free, the connection goes on


def test_a_number_that_is_in_use_is_refused(client):
    history(client, duration="1 D", keep_up_to_date=True)
    assert history(client, duration="1 D").code == 322
    client.send(m.RequestMarketData(5, AAPL))
    assert client.error(102).request_id == 5


# -- never from the future -----------------------------------------------------------------------------


LENGTH_S = {"1 min": 60, "30 secs": 30, "5 secs": 5}


def test_history_never_shows_a_bar_that_has_not_closed(market):
    with Gateway(market, speed="step", start="2012-01-04") as gateway, TestClient(gateway) as client:
        client.send(m.RequestMarketData(99, AAPL))
        client.sync()
        real = gateway.market.bars("AAPL", "5 secs", "2012-01-04", "2012-01-04")
        opened = int(real.time[0]) - 5 * S
        for _ in range(25):
            gateway.advance()
            now = gateway.now_ns
            for size, length in LENGTH_S.items():
                answer = history(client, duration="1 D", bar_size=size, format_date=2)
                bars = getattr(answer, "bars", ())  # none is error 162
                if now >= opened:
                    assert all(opened <= int(b.date) * S <= now - length * S for b in bars)
                    if now % (60 * S) == 0:
                        assert sum(b.volume for b in bars) == real.volume[real.time <= now].sum()
            for options in ({"bar_size": "1 day"}, {"end": "20120601-20:00:00"}, {"bar_size": "1 hour"}):
                bars = history(client, duration="2 D", **options).bars
                assert bars[-1].date[:8] == "20120103"
        assert now == opened + 115 * S


def test_no_byte_of_a_price_is_sent_before_its_time(market):
    """Two markets that differ after an instant say the same up to it."""
    whole = market.bars(["AAPL", "IBM"], "5 mins", "2012-01-03", "2012-01-04")
    t = 78 + 1  # five minutes into the second day
    scale = np.exp(np.random.default_rng(0).normal(0, 0.1, (whole.n_bars, 1)))
    scale[:t] = 1.0
    changed = {c: getattr(whole, c) * scale for c in ("open", "high", "low", "close")}
    volume = whole.volume * np.where(scale == 1.0, 1, 2)
    said = []
    for bars in (whole, replace(whole, **changed, volume=volume)):
        with Gateway(Market.of_bars(bars), speed="step", start="2012-01-04") as gateway:
            client = TestClient(gateway)
            client.send(m.RequestAccountUpdates(subscribe=True), m.RequestMarketData(7, AAPL))
            client.send(m.RequestHistoricalData(1, AAPL, duration="1 D", keep_up_to_date=True))
            client.send(
                m.RequestHistoricalData(2, AAPL, duration="1 D", bar_size="1 min", keep_up_to_date=True)
            )
            client.send(m.RequestRealTimeBars(3, stock("IBM")), m.RequestTickByTick(4, AAPL, "BidAsk"))
            client.send(m.PlaceOrder(1, AAPL, m.OrderTicket("BUY", 10, "MKT")))
            client.send(m.PlaceOrder(2, AAPL, m.OrderTicket("BUY", 10, "LMT", 380.0, tif="GTC")))
            trail = m.OrderTicket("SELL", 10, "TRAIL", trailing_percent=1.0, parent_id=3, tif="GTC")
            client.send(m.PlaceOrder(3, AAPL, m.OrderTicket("BUY", 10, "MKT", transmit=False)))
            client.send(m.PlaceOrder(4, AAPL, trail))
            heard = client.sync()
            while gateway.advance() and gateway.now_ns <= whole.time[t - 1]:
                if gateway.now_ns % (60 * S) == 0:
                    end = "20120105-20:00:00"
                    client.send(
                        m.RequestHistoricalData(5, AAPL, duration="2 D", bar_size="1 min", end=end),
                        m.RequestHeadTimestamp(8, AAPL),
                        m.RequestContractData(9, AAPL),
                    )
                client.send(m.RequestOpenOrders())
                heard += client.sync()
                if gateway._call(lambda: gateway._venue.clock.moment) >= (whole.time[t - 1], 0):
                    break
            said.append(heard)
    assert len(said[0]) > 500
    assert any(isinstance(x, m.ExecutionData) for x in said[0])
    levels = {x.order.trail_stop_price for x in said[0] if isinstance(x, m.OpenOrder) and x.order_id == 4}
    assert len(levels) > 5
    assert said[0] == said[1]


# -- kept up to date -----------------------------------------------------------------------------------


def test_kept_up_to_date_a_bar_opens_flat_and_closes_whole_event_by_event(gateway, client):
    history(client, duration="2 D", keep_up_to_date=True)
    bars = []
    for _ in range(4):
        client.send(m.RequestCurrentTime())
        bars += [x.bar for x in client.sync() if isinstance(x, m.HistoricalDataUpdate)]
    real = columns(gateway.market.bars("AAPL", None, "2012-01-04", "2012-01-05"))
    assert [b.date for b in bars] == ["20120104", "20120104", "20120105", "20120105"]
    assert prices(bars[1::2]) == real
    assert prices(bars[::2]) == [(o, o, o, o, 0.0) for o, *_ in real]


def test_kept_up_to_date_minutes_are_dated_by_their_open_and_follow_each_other(gateway, client):
    history(client, duration="1 D", bar_size="1 min", keep_up_to_date=True, format_date=2)
    bars = []
    for _ in range(21):
        client.send(m.RequestCurrentTime())
        bars += [x.bar for x in client.sync() if isinstance(x, m.HistoricalDataUpdate)]
    real = gateway.market.bars("AAPL", "1 min", "2012-01-04", "2012-01-04")
    assert prices(bars[1::2]) == columns(real)[:10]
    assert [int(b.date) * S + 60 * S for b in bars[1::2]] == real.time[:10].tolist()
    assert [b.date for b in bars[:-1:2]] == [b.date for b in bars[1::2]]


def test_joined_in_the_middle_it_begins_with_what_has_traded(market):
    with Gateway(market, speed="step", start="2012-01-04") as gateway, TestClient(gateway) as client:
        client.send(m.RequestMarketData(99, AAPL))
        client.sync()
        real = gateway.market.bars("AAPL", "5 secs", "2012-01-04", "2012-01-04").take(slice(0, 3))
        while gateway.now_ns < real.time[-1]:
            gateway.advance()
        answer = history(client, duration="1 D", keep_up_to_date=True)
        last = answer.bars[-1]
        assert (last.date, last.open, last.high) == ("20120104", real.open[0, 0], real.high.max())
        assert (last.low, last.close, last.volume) == (real.low.min(), real.close[-1, 0], real.volume.sum())


def test_a_cancelled_stream_is_silent(client):
    history(client, duration="2 D", keep_up_to_date=True)
    client.send(m.CancelHistoricalData(5))
    assert "cancelled" in client.error(162).text
    for _ in range(3):
        client.send(m.RequestCurrentTime())
        assert [type(x) for x in client.sync()] == [m.CurrentTime]


def test_an_asset_without_a_bar_is_not_spoken_of(tmp_path):
    a, b = make_bars(6, ("A",)), make_bars(6, ("B",), seed=1)
    market = Market.of_bars(Bars.join([a, b.take([0, 1, 4, 5])]))
    with Gateway(market, speed="max", start="1970-01-01") as gateway, TestClient(gateway) as client:
        for number, symbol in enumerate(("A", "B")):
            history(client, number, stock(symbol), duration="2 D", keep_up_to_date=True)
        counts = {0: 0, 1: 0}
        for _ in range(12):
            client.send(m.RequestCurrentTime())
            for x in client.sync():
                if isinstance(x, m.HistoricalDataUpdate):
                    counts[x.request_id] += 1
        assert counts == {0: 12, 1: 8}


# -- streams -------------------------------------------------------------------------------------------


def test_bars_of_five_seconds_come_once_each_when_they_have_closed(gateway, client):
    client.send(m.RequestRealTimeBars(3, AAPL))
    heard = []
    while len(heard) < 20:
        client.send(m.RequestCurrentTime())
        for x in client.sync():
            if isinstance(x, m.RealTimeBar):
                assert (x.time_s + 5) * S <= gateway.now_ns
                heard.append(x)
    real = gateway.market.bars("AAPL", "5 secs", "2012-01-04", "2012-01-04")
    assert prices(heard) == columns(real)[:20]


def test_quotes_begin_with_their_kind_and_parameters_and_surround_the_price(gateway, client):
    client.send(m.RequestMarketData(7, AAPL))
    first = client.sync()
    assert [type(x) for x in first[:2]] == [m.MarketDataType, m.TickReqParams]
    ticks = {x.tick_type: x for x in first if isinstance(x, m.TickPrice)}
    close = gateway.market.bars("AAPL", None, None, "2012-01-03").close[-1, 0]
    assert ticks[4].price == close
    assert ticks[1].price < close < ticks[2].price
    assert all(round(ticks[k].price * 100) / 100 == ticks[k].price for k in (1, 2))
    for _ in range(3):
        client.send(m.RequestCurrentTime())
    assert [x for x in client.sync() if isinstance(x, m.TickPrice) and x.tick_type == 6]
    client.send(m.CancelMarketData(7))
    client.sync()
    client.send(m.RequestCurrentTime())
    assert [type(x) for x in client.sync()] == [m.CurrentTime]


def test_a_snapshot_ends_by_itself(client):
    client.send(m.RequestMarketData(7, AAPL, snapshot=True))
    assert isinstance(client.sync()[-1], m.TickSnapshotEnd)
    client.send(m.RequestMarketData(7, AAPL, snapshot=True))
    assert client.wait(m.TickSnapshotEnd)


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("Last", m.TickByTickLast),
        ("AllLast", m.TickByTickLast),
        ("BidAsk", m.TickByTickBidAsk),
        ("MidPoint", m.TickByTickMidPoint),
    ],
)
def test_single_ticks_come_while_there_is_trading(client, kind, record):
    client.send(m.RequestTickByTick(4, AAPL, kind))
    assert client.sync() == []
    heard = client.drive(lambda x: isinstance(x, record), limit=50)
    assert heard[-1].request_id == 4
    client.send(m.CancelTickByTick(4))
    client.sync()
