from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from scripted_peer import LOCAL, Peer

from quantlab.barsize import SECOND_NS
from quantlab.broker import events as ev
from quantlab.broker.client import Client
from quantlab.broker.contracts import ContractId
from quantlab.broker.hours import read_hours
from quantlab.broker.recorder import Recorder, read_recorded
from quantlab.broker.stream import Row, Stream
from quantlab.errors import CatalogError, DataError, ParameterError, RequestError
from quantlab.wire import messages as wire

pytest.importorskip("ibapi")
pytestmark = pytest.mark.ib

BY_NOW_S = 5.0
OPENED_S = 1_704_465_000  # 2024-01-05 14:30 UTC
PAIR = (ContractId(1, "AAPL"), ContractId(2, "MSFT"))


class FakeClock:
    def __init__(self):
        self.time_ns = OPENED_S * SECOND_NS

    def now_ns(self):
        return self.time_ns

    def sleep(self, seconds):
        self.time_ns += round(seconds * SECOND_NS)


@pytest.fixture
def peer():
    with Peer() as opened:
        yield opened


@pytest.fixture
def client(peer):
    with Client(LOCAL, peer.port, 7, messages_per_s=None, clock=FakeClock()) as made:
        made.connect(BY_NOW_S)
        yield made


def rows_until(client, stream, count):
    rows = []
    while len(rows) < count:
        event = client.next(BY_NOW_S)
        assert event is not None, f"only {rows} came"
        rows += stream.take(event)
    return rows


# -- streams --------------------------------------------------------------------------------------------------


def test_bars_of_five_seconds_are_stamped_at_their_close(client, peer):
    stream = Stream(client, PAIR, bar_size="5 secs")
    stream.start()
    first, second = (peer.wait_for(wire.RequestRealTimeBars, k).request_id for k in (1, 2))
    peer.send(
        wire.RealTimeBar(second, OPENED_S, 5.0, 6.0, 4.0, 5.5, 10.0, 5.1, 3),
        wire.RealTimeBar(first, OPENED_S, 1.0, 2.0, 0.5, 1.5, 20.0, 1.1, 4),
    )
    msft, aapl = rows_until(client, stream, 2)
    assert (msft.table, msft.symbol, aapl.symbol) == ("bars", "MSFT", "AAPL")
    assert aapl.values == {
        "time": (OPENED_S + 5) * SECOND_NS,
        "received": OPENED_S * SECOND_NS,
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 20.0,
        "count": 4,
    }
    assert stream.state.rows["AAPL"]["close"] == 1.5
    assert stream.state.counts == {"AAPL": 1, "MSFT": 1}
    stream.stop()
    peer.wait_for(wire.CancelRealTimeBars, 2)


def test_a_bar_in_progress_is_shown_and_is_a_row_once_a_later_one_comes(client, peer):
    stream = Stream(client, PAIR[:1], bar_size="1 min")
    stream.start()
    number = peer.wait_for(wire.RequestHistoricalData).request_id

    def update(minute, close):
        return wire.HistoricalDataUpdate(
            number, wire.HistoricalBar(str(OPENED_S + 60 * minute), close, close, close, close, 1.0, close, 1)
        )

    history = (wire.HistoricalBar(str(OPENED_S), 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1),)
    peer.send(wire.HistoricalData(number, bars=history), update(0, 1.5), update(0, 1.75), update(1, 2.0))
    (row,) = rows_until(client, stream, 1)
    assert (row.values["time"], row.values["close"]) == ((OPENED_S + 60) * SECOND_NS, 1.75)
    assert stream.state.rows["AAPL"]["close"] == 2.0


def test_a_daily_stream_ends_its_bars_with_their_date(client, peer):
    stream = Stream(client, PAIR[:1], bar_size="1 day")
    stream.start()
    number = peer.wait_for(wire.RequestHistoricalData).request_id
    days = [wire.HistoricalBar(d, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1) for d in ("20240104", "20240105")]
    peer.send(*(wire.HistoricalDataUpdate(number, d) for d in days))
    (row,) = rows_until(client, stream, 1)
    assert row.values["time"] == 1_704_412_800 * SECOND_NS  # the end of the 4th, UTC


def test_ticks_are_rows_at_once_and_a_delayed_one_keeps_its_name_in_the_row(client, peer):
    stream = Stream(client, PAIR[:1], ticks="market")
    stream.start()
    number = peer.wait_for(wire.RequestMarketData).request_id
    peer.send(wire.TickPrice(number, 1, 187.2, 5.0), wire.TickPrice(number, 68, 187.1, 1.0))
    rows = rows_until(client, stream, 3)
    assert [(r.table, r.values["kind"], r.values["value"]) for r in rows] == [
        ("ticks", "bid", 187.2),
        ("ticks", "bid_size", 5.0),
        ("ticks", "delayed_last", 187.1),
    ]
    assert stream.state.rows["AAPL"] == {"bid": 187.2, "bid_size": 5.0, "last": 187.1}


@pytest.mark.parametrize(
    ("kind", "message", "table", "column", "value"),
    [
        (
            "trades",
            lambda n: wire.TickByTickLast(n, OPENED_S, 5.5, 10.0, exchange="ARCA"),
            "trades",
            "price",
            5.5,
        ),
        ("quotes", lambda n: wire.TickByTickBidAsk(n, OPENED_S, 5.4, 5.6, 1.0, 2.0), "quotes", "ask", 5.6),
        ("midpoint", lambda n: wire.TickByTickMidPoint(n, OPENED_S, 5.5), "ticks", "value", 5.5),
    ],
)
def test_tick_by_tick_goes_into_its_table(client, peer, kind, message, table, column, value):
    stream = Stream(client, PAIR[:1], ticks=kind)
    stream.start()
    peer.send(message(peer.wait_for(wire.RequestTickByTick).request_id))
    (row,) = rows_until(client, stream, 1)
    assert (row.table, row.values[column], row.values["time"]) == (table, value, OPENED_S * SECOND_NS)


def test_a_refused_subscription_names_its_symbol(client, peer):
    stream = Stream(client, PAIR, ticks="market")
    stream.start()
    number = peer.wait_for(wire.RequestMarketData, 2).request_id
    peer.send(wire.ErrorMessage(-1, 2103, "farm broken"), wire.ErrorMessage(number, 354, "Not subscribed."))
    with pytest.raises(RequestError, match="error 354: MSFT: Not subscribed"):
        rows_until(client, stream, 1)
    assert stream.state.notices == ["2103: farm broken"]


@pytest.mark.parametrize(
    ("contracts", "options"),
    [
        (PAIR, {}),
        (PAIR, {"bar_size": "1 min", "ticks": "market"}),
        ((), {"ticks": "market"}),
        ((PAIR[0], PAIR[0]), {"ticks": "market"}),
    ],
)
def test_a_stream_of_nothing_or_of_two_things_is_refused(contracts, options):
    with pytest.raises(ParameterError):
        Stream(Client(), contracts, **options)


# -- recorder -------------------------------------------------------------------------------------------------


def trade(k, symbol="AAPL"):
    values = {
        "time": k,
        "received": k + 1,
        "price": float(k),
        "size": None,
        "exchange": "X",
        "conditions": "",
    }
    return Row("trades", symbol, values)


def test_rows_are_read_back_in_order_over_all_parts(tmp_path):
    recorder = Recorder(tmp_path, FakeClock(), rows_per_part=4)
    for k in range(10):
        recorder.put(trade(k))
    assert len(recorder.parts) == 2
    recorder.close()
    recorder.close()
    assert len(recorder.parts) == 3
    table = read_recorded(tmp_path, "trades", "AAPL")
    assert table["time"].to_pylist() == list(range(10))
    assert table["size"].null_count == 10
    assert recorder.n_rows == 10


def test_a_part_is_written_when_its_oldest_row_is_old_enough(tmp_path):
    clock = FakeClock()
    recorder = Recorder(tmp_path, clock, seconds_per_part=60.0)
    recorder.put(trade(1))
    clock.sleep(59.0)
    recorder.write_due()
    assert recorder.parts == []
    clock.sleep(1.0)
    recorder.write_due()
    assert len(recorder.parts) == 1


def test_a_later_recorder_goes_on_with_the_numbers(tmp_path):
    for k in range(2):
        recorder = Recorder(tmp_path, FakeClock())
        recorder.put(trade(k))
        recorder.close()
    names = sorted(p.name for p in tmp_path.glob("trades.AAPL/*.parquet"))
    assert names == ["part-000001.parquet", "part-000002.parquet"]
    assert read_recorded(tmp_path, "trades", "AAPL")["time"].to_pylist() == [0, 1]


def test_symbols_and_tables_have_their_own_parts(tmp_path):
    recorder = Recorder(tmp_path, FakeClock())
    recorder.put(trade(1, "BRK B"))
    recorder.put(trade(2))
    recorder.put(Row("ticks", "AAPL", {"time": 3, "received": 3, "kind": "bid", "value": 1.0}))
    recorder.close()
    assert len(recorder.parts) == 3
    assert read_recorded(tmp_path, "trades", "BRK B")["time"].to_pylist() == [1]
    with pytest.raises(CatalogError, match=r"no quotes of AAPL.*ticks\.AAPL"):
        read_recorded(tmp_path, "quotes", "AAPL")


def test_a_killed_recorder_leaves_whole_parts_only(tmp_path):
    program = """
        import os, sys
        import pyarrow.parquet as pq
        from quantlab.broker.clock import SystemClock
        from quantlab.broker.recorder import Recorder
        from quantlab.broker.stream import Row
        recorder = Recorder(sys.argv[1], SystemClock(), rows_per_part=5)
        def put(k):
            recorder.put(Row("ticks", "AAPL", {"time": k, "received": k, "kind": "bid", "value": 1.0}))
        for k in range(14):
            put(k)
        whole = pq.write_table
        def killed(table, sink, **options):
            sink.write(b"half")
            sink.flush()
            os._exit(9)
        pq.write_table = killed
        put(14)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        timeout=60,
        check=False,
        env={**os.environ},
    )
    assert done.returncode == 9
    assert read_recorded(tmp_path, "ticks", "AAPL")["time"].to_pylist() == list(range(10))
    recorder = Recorder(tmp_path, FakeClock())
    recorder.put(Row("ticks", "AAPL", {"time": 99, "received": 99, "kind": "bid", "value": 1.0}))
    recorder.close()
    assert read_recorded(tmp_path, "ticks", "AAPL")["time"].to_pylist() == [*range(10), 99]
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_folder_that_is_a_file_and_sizes_that_are_none_are_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CatalogError, match="is a file"):
        Recorder(tmp_path / "file", FakeClock())
    with pytest.raises(ParameterError):
        Recorder(tmp_path, FakeClock(), rows_per_part=0)


# -- hours ----------------------------------------------------------------------------------------------------


def test_hours_are_read_in_both_of_their_forms():
    newer = "20240105:0930-20240105:1600;20240106:CLOSED;20240107:1700-20240108:1600"
    (friday, monday) = read_hours(newer, "US/Eastern")
    assert (friday.date, friday.open_ns, friday.close_ns) == (
        "20240105",
        OPENED_S * SECOND_NS,
        (OPENED_S + 23_400) * SECOND_NS,
    )
    assert monday.close_ns - monday.open_ns == 23 * 3600 * SECOND_NS
    older = read_hours("20240105:0930-1200,1300-1600", "EST (Eastern Standard Time)")
    assert [h.open_ns // SECOND_NS - OPENED_S for h in older] == [0, 12_600]
    assert read_hours("20240705:0930-1600", "EST")[0].open_ns == 1_720_186_200 * SECOND_NS  # summer time
    assert read_hours("", "US/Eastern") == ()


@pytest.mark.parametrize(
    ("text", "zone"), [("20240105", "UTC"), ("20240105:9-x", "UTC"), ("20240105:0930", "UTC"), ("", "Mars")]
)
def test_hours_that_are_none_are_refused(text, zone):
    with pytest.raises(DataError):
        read_hours(text, zone)


def test_an_event_is_immutable():
    with pytest.raises(AttributeError):
        ev.CurrentTime(1).time_ns = 2
