"""The feed against a broker that says what a script says: late bars, gaps, corrections, a farm that dies."""

from __future__ import annotations

import numpy as np
import pytest
from live_parts import walk

from quantlab.broker.contracts import ContractId
from quantlab.broker.events import BarUpdate, HistoryBar, HistoryEnd
from quantlab.errors import LiveError
from quantlab.live.feed import Timing, make_feed
from quantlab.live.window import Row, Window

CONTRACTS = {s: ContractId(k, s) for k, s in enumerate("AB", start=1)}
SECOND, MINUTE = 10**9, 60 * 10**9
REAL = Timing(grace_s=5.0, late_s=900.0, poll_s=1.0, stale_s=120.0)


class Script:
    """A client that counts what is asked, and answers from lists."""

    def __init__(self):
        self.asked, self.subscribed, self.ended, self.days = [], [], [], {}

    def history(self, contract, *, duration, bar_size):
        self.asked.append(contract.symbol)
        return tuple(self.days.get(contract.symbol, ()))

    def subscribe_bars(self, contract, bar_size, duration, *, what, rth):
        self.subscribed.append(contract.symbol)
        return len(self.subscribed)

    def unsubscribe(self, request_id):
        self.ended.append(request_id)


def bar(stamp, close=50.0, request=0, *, low=None):
    text = np.datetime_as_string(np.datetime64(stamp, "D"), "D").replace("-", "")
    time_ns = (
        None
        if isinstance(stamp, str) and len(stamp) == 10
        else int(np.datetime64(stamp, "ns").astype(np.int64))
    )
    return HistoryBar(
        request, text, time_ns, close, close, close if low is None else low, close, 7.0, close, 1
    )


def ns(text):
    return int(np.datetime64(text, "ns").astype(np.int64))


# -- days ------------------------------------------------------------------------------------------------


@pytest.fixture
def days():
    """A feed of daily bars whose last known session is 2012-02-29."""
    bars = walk(40)
    feed = make_feed("1 day", "XNYS", bars.symbols, Window(bars), REAL)
    client = Script()
    assert str(bars.index[-1])[:10] == "2012-02-29"
    last = [bar("2012-02-29", float(c)) for c in bars.close[-1]]
    client.days = {"A": [last[0]], "B": [last[1]]}
    feed.start(client, CONTRACTS, ns("2012-02-29T22:00:00"))
    client.asked.clear()
    return feed, client, last


def test_a_day_is_given_after_its_close_and_not_before(days):
    feed, client, last = days
    client.days = {"A": [last[0], bar("2012-03-01", 51.0)], "B": [last[1], bar("2012-03-01", 52.0)]}
    assert feed.closed(ns("2012-03-01T21:00:04")) == []
    assert client.asked == []
    (row,) = feed.closed(ns("2012-03-01T21:00:05"))
    assert row.close.tolist() == [51.0, 52.0]
    assert row.time_ns == ns("2012-03-01T21:00:00")
    assert feed.closed(ns("2012-03-01T21:00:06")) == []


def test_a_day_that_is_late_is_waited_for_and_not_asked_for_at_every_step(days):
    feed, client, last = days
    client.days = {"A": [last[0], bar("2012-03-01", 51.0)], "B": [last[1]]}
    for second in range(5, 65):
        assert feed.closed(ns("2012-03-01T21:00:00") + second * SECOND) == []
    assert len(client.asked) <= 6
    # After a quarter of an hour the asset is taken to have no bar.
    (row,) = feed.closed(ns("2012-03-01T21:15:30"))
    assert row.close[0] == 51.0
    assert np.isnan(row.close[1])


def test_an_early_close_is_the_end_of_its_day():
    # Thanksgiving of 2012 is on 22 November; the day after it ends at 13:00 in New York.
    bars = walk(36, day="2012-10-01")
    assert str(bars.index[-1])[:10] == "2012-11-21"
    feed = make_feed("1 day", "XNYS", bars.symbols, Window(bars), REAL)
    client = Script()
    client.days = {s: [bar("2012-11-21", float(bars.close[-1, i]))] for i, s in enumerate("AB")}
    feed.start(client, CONTRACTS, int(bars.time[-1]))
    client.days = {s: [*client.days[s], bar("2012-11-23", 60.0)] for s in "AB"}
    assert feed.closed(ns("2012-11-23T18:00:04")) == []
    (row,) = feed.closed(ns("2012-11-23T18:00:05"))
    assert row.time_ns == ns("2012-11-23T18:00:00")


def test_a_split_while_the_run_goes_on_ends_it(days):
    feed, client, last = days
    halved = [bar("2012-02-29", x.close / 2.0) for x in last]
    client.days = {"A": [halved[0], bar("2012-03-01", 25.0)], "B": [last[1], bar("2012-03-01", 52.0)]}
    with pytest.raises(LiveError, match="split"):
        feed.closed(ns("2012-03-01T21:00:05"))


def test_a_price_that_cannot_be_one_is_no_bar(days):
    feed, client, last = days
    client.days = {"A": [last[0], bar("2012-03-01", 51.0, low=0.0)], "B": [last[1], bar("2012-03-01", 52.0)]}
    rows = feed.closed(ns("2012-03-01T21:30:00"))
    assert np.isnan(rows[0].values[0]).all()
    assert rows[0].close[1] == 52.0


# -- minutes -----------------------------------------------------------------------------------------------


@pytest.fixture
def minutes():
    """A feed of minutes that has given the bar that closed at 10:00 in New York."""
    bars = walk(40)
    window = Window(bars)
    window.append(Row(ns("2012-03-01T15:00:00"), int(bars.session[-1]) + 1, np.full((2, 5), 50.0)))
    feed = make_feed("1 min", "XNYS", bars.symbols, window, REAL)
    client = Script()
    feed.start(client, CONTRACTS, ns("2012-03-01T15:00:05"))
    for request in (1, 2):
        feed.on_event(HistoryEnd(request, "", ""))
    return feed, client


def update(feed, when, close, requests=(1, 2)):
    for request in requests:
        feed.on_event(BarUpdate(request, bar(f"2012-03-01T{when}", close, request)))


def closes(rows):
    return [(str(np.datetime64(r.time_ns, "ns"))[11:16], r.close.tolist()) for r in rows]


def test_a_minute_is_over_when_the_next_one_has_begun_for_every_asset(minutes):
    feed, _ = minutes
    update(feed, "15:00:00", 51.0)
    update(feed, "15:01:00", 52.0, requests=(1,))
    assert feed.closed(ns("2012-03-01T15:01:02")) == []
    update(feed, "15:01:00", 53.0, requests=(2,))
    assert closes(feed.closed(ns("2012-03-01T15:01:02"))) == [("15:01", [51.0, 51.0])]


def test_a_minute_that_only_the_clock_closed_is_asked_for(minutes):
    feed, client = minutes
    update(feed, "15:00:00", 51.0)  # the last update is from its middle
    client.days = {s: [bar("2012-03-01T15:00:00", 55.0)] for s in "AB"}
    assert closes(feed.closed(ns("2012-03-01T15:01:05"))) == [("15:01", [55.0, 55.0])]
    assert client.asked == ["A", "B"]


def test_a_stream_that_skips_bars_is_made_anew_once_and_filled(minutes):
    feed, client = minutes
    update(feed, "15:03:00", 54.0)
    update(feed, "15:04:00", 55.0)
    assert feed.closed(ns("2012-03-01T15:04:02")) == []
    assert client.subscribed == ["A", "B", "A", "B"]
    assert client.ended == [1, 2]
    for request in (3, 4):
        for k, minute in enumerate(("15:00", "15:01", "15:02", "15:03", "15:04")):
            feed.on_event(bar(f"2012-03-01T{minute}:00", 51.0 + k, request))
        feed.on_event(HistoryEnd(request, "", ""))
    assert [c for c, _ in closes(feed.closed(ns("2012-03-01T15:04:03")))] == [
        "15:01",
        "15:02",
        "15:03",
        "15:04",
    ]


def test_a_gap_that_history_has_too_is_a_minute_without_a_trade(minutes):
    feed, client = minutes
    for _ in range(2):
        update(
            feed,
            "15:03:00",
            54.0,
            requests=tuple(range(len(client.subscribed) - 1, len(client.subscribed) + 1)),
        )
        update(
            feed,
            "15:04:00",
            55.0,
            requests=tuple(range(len(client.subscribed) - 1, len(client.subscribed) + 1)),
        )
        rows = feed.closed(ns("2012-03-01T15:04:02"))
        for request in (3, 4):
            feed.on_event(HistoryEnd(request, "", ""))
    assert [c for c, _ in closes(rows)] == ["15:04"]
    assert len(client.subscribed) == 4


def test_a_stream_that_says_nothing_is_made_anew_once(minutes):
    feed, client = minutes
    for second in range(0, 600, 10):
        feed.closed(ns("2012-03-01T15:01:00") + second * SECOND)
        for request in (3, 4):
            feed.on_event(HistoryEnd(request, "", ""))
    assert client.subscribed == ["A", "B", "A", "B"]


def test_a_live_bar_may_be_corrected_by_a_little_and_not_by_much(minutes):
    feed, client = minutes
    feed.start(client, CONTRACTS, ns("2012-03-01T15:00:30"))
    feed.on_event(bar("2012-03-01T14:59:00", 50.01, 3))
    with pytest.raises(LiveError, match="differs"):
        feed.on_event(bar("2012-03-01T14:59:00", 25.0, 3))
