from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from scripted_peer import LOCAL, Peer

import quantlab.broker.client as client_module
from quantlab.barsize import DAY_NS, SECOND_NS, BarSize
from quantlab.broker import events as ev
from quantlab.broker.chunks import chunks_between
from quantlab.broker.client import Client
from quantlab.broker.history import bars_of, fetch
from quantlab.broker.pacing import HistoryPacing, RateLimit
from quantlab.broker.times import text_of_time, time_of_text
from quantlab.data.catalog import Catalog
from quantlab.data.sessions import sessions_between
from quantlab.errors import (
    ContractError,
    DataError,
    NoAnswerError,
    NotConnectedError,
    ParameterError,
    UnknownNameError,
)
from quantlab.model import Instrument
from quantlab.wire import messages as wire

pytest.importorskip("ibapi")
pytestmark = pytest.mark.ib

BY_NOW_S = 5.0
AAPL = Instrument("AAPL", tick=0.01)
UNIT_S = {"S": 1, "D": 86_400, "W": 7 * 86_400, "M": 29 * 86_400, "Y": 365 * 86_400}


def ns(text):
    return int(pd.Timestamp(text).as_unit("ns").value)


def day_of(text):
    return ns(text) // DAY_NS


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.time_ns, self.slept = ns("2024-01-01"), []

    def now_ns(self):
        return self.time_ns

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time_ns += max(1, round(seconds * SECOND_NS))


class Exchange:
    """Answers requests of history for one symbol as Interactive Brokers would, up to a time that is set."""

    def __init__(self, now, size="1 day", first="2021-06-01"):
        self.now_ns, self.size, self.scale = ns(now), BarSize.parse(size), 1.0
        self.sessions = sessions_between("XNYS", day_of(first), day_of("2024-03-01"))
        self.before = []  # what is said once before the next answers of history
        self.asked = []

    def __call__(self, message):  # noqa: PLR0911  # one answer a kind of message
        match message:
            case wire.RequestCurrentTime():
                return [wire.CurrentTime(self.now_ns // SECOND_NS)]
            case wire.RequestContractData(request_id=number, contract=contract):
                if contract.symbol == "NOPE":
                    return [wire.ErrorMessage(number, 200, "No security definition has been found")]
                found = wire.Contract(1, contract.symbol, "STK", exchange="SMART", currency="USD")
                return [wire.ContractData(number, found), wire.ContractDataEnd(number)]
            case wire.RequestHeadTimestamp(request_id=number):
                return [wire.HeadTimestamp(number, text_of_time(int(self.sessions.open[0])))]
            case wire.RequestHistoricalData():
                self.asked.append(message)
                if self.before:
                    return self.before.pop(0)(message)
                return [wire.HistoricalData(message.request_id, bars=tuple(self.bars(message)))]
        return []

    def bars(self, message):
        """Bars that opened before the end asked for, as far back as asked; the newest may be in progress."""
        end = min(time_of_text(message.end) if message.end else self.now_ns, self.now_ns)
        number, unit = message.duration.split(" ")
        start = (
            end
            - int(number)
            * {"S": 1, "D": 86_400, "W": 604_800, "M": 2_505_600, "Y": 31_536_000}[unit]
            * SECOND_NS
        )
        for day, opened, closed in zip(
            self.sessions.day, self.sessions.open, self.sessions.close, strict=True
        ):
            if not self.size.intraday:
                if start <= opened < end:
                    yield self.bar(str(np.datetime64(int(day), "D")).replace("-", ""), int(day))
                continue
            step = self.size.duration_ns
            for k in range(max(0, (start - opened) // step), (min(closed, end) - opened + step - 1) // step):
                yield self.bar(str((opened + k * step) // SECOND_NS), int(day) + k)

    def bar(self, date, number):
        close = (100.0 + number % 50) * self.scale
        return wire.HistoricalBar(date, close, close + 1.0, close - 1.0, close, 1000.0 + number % 7, close, 5)


def fetched(exchange, folder, *args, peer_options=None, clock=None, **options):
    with Peer(exchange, **(peer_options or {})) as peer:
        pace = {"messages_per_s": 45.0, "clock": clock} if clock else {"messages_per_s": None}
        with Client(LOCAL, peer.port, 7, **pace) as client:
            client.connect(BY_NOW_S)
            return fetch(client, *args, catalog=Catalog(folder), **options)


def stored(folder, size="1 day"):
    return Catalog(folder).bars("AAPL", size)


# -- stamps ---------------------------------------------------------------------------------------------------


def bar(text, close=1.0):
    return ev.HistoryBar(1, text, time_of_text(text), close, close, close, close, None, None, None)


def test_open_stamps_become_close_stamps():
    bars = bars_of([bar("1704465000"), bar("1704465060")], AAPL, "1 min", "XNYS")  # 14:30 and 14:31 UTC
    assert pd.to_datetime(bars.time).tolist() == [
        pd.Timestamp("2024-01-05 14:31"),
        pd.Timestamp("2024-01-05 14:32"),
    ]
    assert np.isnan(bars.volume).all()


def test_a_date_becomes_the_close_of_its_session_also_on_a_half_day():
    bars = bars_of([bar("20231122"), bar("20231124")], AAPL, "1 day", "XNYS")
    assert pd.to_datetime(bars.time).tolist() == [
        pd.Timestamp("2023-11-22 21:00"),
        pd.Timestamp("2023-11-24 18:00"),
    ]


def test_the_last_bar_of_a_half_day_ends_with_the_session():
    opened = ns("2023-11-24 17:30") // SECOND_NS  # the session ends at 18:00 UTC
    bars = bars_of([bar(str(opened))], AAPL, "1 hour", "XNYS")
    assert pd.Timestamp(bars.time[0]) == pd.Timestamp("2023-11-24 18:00")


def test_a_week_and_a_month_in_progress_are_left_out_whatever_day_names_them():
    now = ns("2024-01-10 15:00")
    weeks = bars_of([bar("20240105"), bar("20240110")], AAPL, "1 week", "XNYS", closed_by_ns=now)
    months = bars_of([bar("20231229"), bar("20240110")], AAPL, "1 month", "XNYS", closed_by_ns=now)
    assert pd.to_datetime(weeks.time).tolist() == [pd.Timestamp("2024-01-05 21:00")]
    assert pd.to_datetime(months.time).tolist() == [pd.Timestamp("2023-12-29 21:00")]


def test_bars_in_progress_are_left_out_and_nothing_may_be_left():
    assert bars_of([bar("20240105")], AAPL, "1 day", "XNYS", closed_by_ns=ns("2024-01-05 20:59:59")) is None
    assert bars_of([bar("20240105")], AAPL, "1 day", "XNYS", closed_by_ns=ns("2024-01-05 21:00")).n_bars == 1
    assert bars_of([], AAPL, "1 day", "XNYS") is None


def test_of_two_bars_of_one_time_the_later_counts_and_order_does_not_matter():
    bars = bars_of([bar("20240108", 3.0), bar("20240105", 1.0), bar("20240105", 2.0)], AAPL, "1 day", "XNYS")
    assert bars.close[:, 0].tolist() == [2.0, 3.0]


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(DataError, match="names no instant"):
        bars_of([bar("20240105  09:30:00")], AAPL, "1 min", "XNYS")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1704465000", "2024-01-05 14:30"),
        ("20240105-14:30:00", "2024-01-05 14:30"),
        ("20240105 09:30:00 America/New_York", "2024-01-05 14:30"),
        ("20240705 09:30:00 America/New_York", "2024-07-05 13:30"),
        ("20240105 09:30:00 US/Eastern", "2024-01-05 14:30"),
        ("20240705 09:30:00 EDT", "2024-07-05 13:30"),
        ("20240105 14:30:00 UTC", "2024-01-05 14:30"),
    ],
)
def test_times_are_read_in_each_of_their_forms(text, time):
    assert time_of_text(text) == ns(time)


@pytest.mark.parametrize(
    "text",
    [
        "20240105",
        "20240105  09:30:00",
        "20240105 09:30:00 CST",
        "20240105 09:30:00 Nowhere/Else",
        "",
        "finished",
    ],
)
def test_what_names_no_instant_is_none(text):
    assert time_of_text(text) is None


# -- chunks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", ["1 secs", "5 secs", "30 secs", "1 min", "15 mins", "1 hour", "1 day", "1 week"]
)
def test_chunks_cover_every_session_without_overlap(size):
    start, end = ns("2023-11-01"), ns("2024-02-01")
    sessions = sessions_between("XNYS", day_of("2023-10-31"), day_of("2024-02-02"))
    chunks = chunks_between(BarSize.parse(size), start, end, sessions)
    assert all(a.end_ns <= b.start_ns for a, b in itertools.pairwise(chunks))
    inside = (sessions.open >= start) & (sessions.close <= end)
    for opened, closed in zip(sessions.open[inside], sessions.close[inside], strict=True):
        assert sum(max(0, min(c.end_ns, closed) - max(c.start_ns, opened)) for c in chunks) == closed - opened


def test_nothing_is_asked_for_where_there_is_no_session():
    sessions = sessions_between("XNYS", day_of("2024-01-05"), day_of("2024-01-08"))
    assert chunks_between(BarSize.parse("1 day"), ns("2024-01-06"), ns("2024-01-08"), sessions) == []
    assert chunks_between(BarSize.parse("5 secs"), ns("2024-01-06"), ns("2024-01-08"), sessions) == []


# -- fetching -------------------------------------------------------------------------------------------------


def test_history_is_fetched_in_chunks_with_closes_for_stamps(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    report = fetched(exchange, tmp_path, ["AAPL"], "1 day", "2022-01-01")
    bars = stored(tmp_path)
    sessions = sessions_between("XNYS", day_of("2022-01-01"), day_of("2024-01-10"))
    assert bars.time.tolist() == sessions.close.tolist()
    assert bars.close[:, 0].tolist() == [100.0 + d % 50 for d in sessions.day]
    assert bars.instruments[0] == AAPL
    assert {m.duration for m in exchange.asked} == {"1 Y"}
    assert len(exchange.asked) == report.series[0].n_requests == 3
    assert (report.n_bars, report.series[0].first, report.series[0].last) == (
        bars.n_bars,
        "2022-01-03",
        "2024-01-10",
    )
    (entry,) = Catalog(tmp_path).list()
    assert entry.adjustment == "adjusted for splits, not for dividends"
    assert entry.source["kind"] == "interactive brokers"
    assert len(entry.history) == 1  # chunks of one fetch are one record


@pytest.mark.parametrize(
    ("size", "since"), [("1 min", "2024-01-02"), ("1 hour", "2023-11-20"), ("30 secs", "2024-01-08")]
)
def test_intraday_history_is_fetched_whole(tmp_path, size, since):
    exchange = Exchange("2024-01-10 22:00", size)
    fetched(exchange, tmp_path, "AAPL", size, since)
    bars = stored(tmp_path, size)
    step = BarSize.parse(size).duration_ns
    expected = []
    for opened, closed in zip(exchange.sessions.open, exchange.sessions.close, strict=True):
        if ns(since) <= opened and closed <= exchange.now_ns:
            expected += [min(opened + k * step + step, closed) for k in range(-((opened - closed) // step))]
    assert bars.time.tolist() == expected


def test_the_bar_in_progress_is_left_out_and_comes_with_the_next_fetch(tmp_path):
    exchange = Exchange("2024-01-10 18:00")
    fetched(exchange, tmp_path, "AAPL", "1 day", "2024-01-02")
    assert str(stored(tmp_path).index[-1].date()) == "2024-01-09"
    exchange.now_ns = ns("2024-01-10 21:00")
    fetched(exchange, tmp_path, "AAPL", "1 day", "2024-01-02")
    assert str(stored(tmp_path).index[-1].date()) == "2024-01-10"


def test_a_second_fetch_asks_for_nothing(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    fetched(exchange, tmp_path, "AAPL", "1 day", "2023-01-01")
    exchange.asked.clear()
    report = fetched(exchange, tmp_path, "AAPL", "1 day", "2023-01-01")
    assert exchange.asked == []
    assert report.n_bars == 0


def test_earlier_history_is_added_newest_first(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    fetched(exchange, tmp_path, "AAPL", "1 day", "2023-06-01")
    exchange.asked.clear()
    fetched(exchange, tmp_path, "AAPL", "1 day", "2021-06-01")
    ends = [m.end for m in exchange.asked]
    assert ends == sorted(ends, reverse=True)
    assert len(ends) > 1
    sessions = sessions_between("XNYS", day_of("2021-06-01"), day_of("2024-01-10"))
    assert stored(tmp_path).time.tolist() == sessions.close.tolist()


def test_a_fetch_whose_connection_is_lost_between_chunks_goes_on_where_it_was(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    whole = tmp_path / "whole"
    fetched(exchange, whole, "AAPL", "1 day", "2021-06-01")
    n_requests, exchange.asked = len(exchange.asked), []

    def cut(message):
        raise OSError("cut")  # ends the peer's connection

    exchange.before = [lambda m: [wire.HistoricalData(m.request_id, bars=tuple(exchange.bars(m)))], cut]
    part = tmp_path / "part"
    with pytest.raises(NotConnectedError):
        fetched(exchange, part, "AAPL", "1 day", "2021-06-01")
    half = stored(part)
    exchange.asked.clear()
    fetched(exchange, part, "AAPL", "1 day", "2021-06-01")
    assert len(exchange.asked) == n_requests - 1
    assert half.n_bars < stored(part).n_bars
    assert stored(part).content_hash == stored(whole).content_hash


def test_a_killed_fetch_leaves_whole_chunks_and_goes_on(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    program = """
        import os, sys
        from quantlab.broker.client import Client
        from quantlab.broker.history import fetch
        from quantlab.data.catalog import Catalog
        client = Client("127.0.0.1", int(sys.argv[1]), 3, messages_per_s=None)
        client.connect()
        fetch(client, "AAPL", "1 day", "2021-06-01", catalog=Catalog(sys.argv[2]), progress=lambda *_: os._exit(9))
    """
    with Peer(exchange) as peer:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(peer.port), str(tmp_path / "part")],
            timeout=60,
            check=False,
            env={**os.environ},
        )
    assert done.returncode == 9
    assert 0 < stored(tmp_path / "part").n_bars < 400
    fetched(exchange, tmp_path / "part", "AAPL", "1 day", "2021-06-01")
    fetched(exchange, tmp_path / "whole", "AAPL", "1 day", "2021-06-01")
    assert stored(tmp_path / "part").content_hash == stored(tmp_path / "whole").content_hash


def test_a_split_since_the_last_fetch_is_refused_and_fetched_afresh_when_asked(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    fetched(exchange, tmp_path, "AAPL", "1 day", "2023-01-01")
    before = stored(tmp_path).content_hash
    exchange.now_ns, exchange.scale = ns("2024-01-12 22:00"), 0.25
    with pytest.raises(DataError, match=r"most likely for a split.*--fresh"):
        fetched(exchange, tmp_path, "AAPL", "1 day", "2023-01-01")
    assert stored(tmp_path).content_hash == before
    fetched(exchange, tmp_path, "AAPL", "1 day", "2023-01-01", fresh=True)
    assert stored(tmp_path).close.max() < 50.0
    assert str(stored(tmp_path).index[-1].date()) == "2024-01-12"


def test_a_corrected_close_is_noted_and_the_stored_one_stands(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    fetched(exchange, tmp_path, "AAPL", "1 day", "2024-01-02")
    exchange.now_ns, exchange.scale = ns("2024-01-11 22:00"), 1.001
    report = fetched(exchange, tmp_path, "AAPL", "1 day", "2024-01-02")
    assert "corrected" in report.series[0].notes[0]
    assert report.n_bars == 1


def test_an_unknown_symbol_is_told_before_anything_is_fetched(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    with pytest.raises(ContractError, match="NOPE"):
        fetched(exchange, tmp_path, ["AAPL", "NOPE"], "1 day", "2023-01-01")
    assert exchange.asked == []


def test_a_symbol_without_data_is_noted(tmp_path):
    exchange = Exchange("2024-01-10 22:00")
    exchange.before = [lambda m: [wire.ErrorMessage(m.request_id, 162, "HMDS query returned no data: AAPL")]]
    report = fetched(exchange, tmp_path, "AAPL", "1 day", "2023-06-01")
    assert report.n_bars == 0
    assert "no bars" in report.series[0].notes[0]


def test_progress_counts_the_requests(tmp_path):
    seen = []
    fetched(Exchange("2024-01-10 22:00"), tmp_path, ["AAPL", "MSFT"], "1 day", "2022-01-01",
            progress=lambda done, of: seen.append((done, of)))  # fmt: skip
    assert seen == [(k, 6) for k in range(1, 7)]


@pytest.mark.parametrize(
    ("args", "options", "error"),
    [
        (([], "1 day", "2023-01-01"), {}, ParameterError),
        (("AAPL", "7 mins", "2023-01-01"), {}, UnknownNameError),
        (("AAPL", "1 day", "2023-01-01"), {"what": "ADJUSTED_LAST"}, UnknownNameError),
        (("AAPL", "1 day", "yesterday-ish"), {}, ParameterError),
        (("AAPL", "1 day", "2030-01-01"), {}, ParameterError),
        (("AAPL", "1 day", "2023-01-01"), {"calendar": "XXXX"}, UnknownNameError),
    ],
)
def test_a_fetch_that_cannot_be_meant_is_refused(tmp_path, args, options, error):
    with pytest.raises(error):
        fetched(Exchange("2024-01-10 22:00"), tmp_path, *args, **options)


# -- pacing ---------------------------------------------------------------------------------------------------


def test_a_pacing_violation_waits_and_asks_again(tmp_path):
    exchange, clock = Exchange("2024-01-10 22:00"), FakeClock()
    early = "Historical Market Data Service error message:Historical data request pacing violation"
    exchange.before = [lambda m: [wire.ErrorMessage(m.request_id, 162, early)]] * 2
    report = fetched(exchange, tmp_path, "AAPL", "1 day", "2023-06-01", clock=clock)
    assert clock.slept == [15.0, 30.0]
    assert report.series[0].n_requests == 3
    assert report.n_bars > 100


def test_history_that_is_never_answered_is_asked_for_again_then_given_up(tmp_path, monkeypatch):
    exchange, clock = Exchange("2024-01-10 22:00"), FakeClock()
    monkeypatch.setattr(client_module, "HISTORY_S", 0.02)
    exchange.before = [lambda m: []] * 9
    with pytest.raises(NoAnswerError):
        fetched(exchange, tmp_path, "AAPL", "1 day", "2023-06-01", clock=clock)
    assert len(exchange.asked) == 5
    assert clock.slept == [15.0, 30.0, 60.0, 120.0]


def test_small_bars_are_asked_for_sixty_times_in_ten_minutes_at_most(tmp_path):
    exchange, clock = Exchange("2024-01-10 22:00", "5 mins"), FakeClock()
    exchange.size = BarSize.parse("30 secs")
    exchange.bars = lambda message: ()
    began = clock.time_ns
    fetched(exchange, tmp_path, "AAPL", "30 secs", "2023-09-01", clock=clock)
    assert (
        len(exchange.asked) == sessions_between("XNYS", day_of("2023-09-01"), day_of("2024-01-10")).day.size
    )
    assert clock.time_ns - began >= 600 * SECOND_NS


def test_no_more_than_the_limit_leaves_in_any_second():
    clock = FakeClock()
    limit, times = RateLimit(45, 1.0, clock), []
    for _ in range(200):
        limit.take()
        times.append(clock.now_ns())
    assert all(b - a >= SECOND_NS for a, b in zip(times, times[45:], strict=False))
    assert times[-1] - times[0] < 5 * SECOND_NS


def test_requests_wait_by_the_clock_that_is_given():
    clock = FakeClock()
    with Peer() as peer, Client(LOCAL, peer.port, 7, clock=clock, messages_per_s=10.0) as client:
        client.connect(BY_NOW_S)
        for _ in range(20):
            client.request_order_ids()
        peer.wait_for(wire.RequestIds, 20)
    assert 1.9 < sum(clock.slept) < 2.1


def test_a_clock_that_is_set_back_does_not_stop_the_sending():
    clock = FakeClock()
    limit = RateLimit(2, 1.0, clock)
    limit.take()
    limit.take()
    clock.time_ns -= 3600 * SECOND_NS
    assert limit.take() == 0.0


def test_the_rules_of_small_bars():
    clock = FakeClock()
    pacing, size = HistoryPacing(clock), BarSize.parse("5 secs")
    assert pacing.take("AAPL", "TRADES", size, "a") == 0.0
    assert pacing.take("AAPL", "TRADES", size, "a") == pytest.approx(15.0)  # identical
    for k in range(4):
        assert pacing.take("AAPL", "TRADES", size, k) == 0.0
    assert pacing.take("AAPL", "TRADES", size, 5) == pytest.approx(2.0)  # the sixth alike within two seconds
    assert pacing.take("MSFT", "TRADES", size, "another") == 0.0
    assert pacing.take("AAPL", "TRADES", BarSize.parse("1 min"), "a") == 0.0


def test_bid_ask_counts_twice():
    clock = FakeClock()
    pacing, size = HistoryPacing(clock), BarSize.parse("5 secs")
    waited = [pacing.take(f"S{k}", "BID_ASK", size, k) for k in range(31)]
    assert waited[:30] == [0.0] * 30
    assert waited[30] == pytest.approx(600.0)
