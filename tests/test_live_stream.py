"""Time that the runner does not drive: bars are closed by later ones, orders wait for older ones, nothing is early."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from live_parts import make_bundle

from quantlab.broker.client import Client
from quantlab.costs import Costs
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.live.feed import Timing
from quantlab.live.journal import Journal, read_journal
from quantlab.live.ledger import Ledger
from quantlab.live.runner import Runner

pytestmark = pytest.mark.ib

PATIENCE_S = 30.0

SOURCE = '''\
import numpy as np

import quantlab as ql


@ql.strategy
def flips(bars, days=1):
    """The other way at every bar."""
    side = np.where(np.arange(bars.n_bars) % 2, 1.0, -1.0)
    return side[:, None] * np.ones(bars.n_assets)
'''


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.001)


@pytest.fixture(scope="module")
def minutes(tmp_path_factory):
    daily = Market.of_sample(["AAPL", "MSFT"]).base.between("2012-02-06", "2012-02-10")
    bars = Market.of_bars(daily).bars(["AAPL", "MSFT"], "1 min")
    bundle = make_bundle(
        tmp_path_factory.mktemp("stream"),
        bars,
        source=SOURCE,
        cuts=4,
        join="now",
        costs=Costs.percent(0.0001),
    )
    last = int(np.searchsorted(bars.session, bars.session[-1]))
    return replace(bundle, bars=bars.take(slice(0, last))), bars


class Running:
    """A runner in a thread of its own, at a gateway whose time is moved by hand."""

    def __init__(self, minutes, folder, **options):
        self.bundle, self.bars = minutes
        self.path = folder / "journal.db"
        day = str(np.datetime64(int(self.bars.session[-1]), "D"))
        self.gateway = Gateway(Market.of_bars(self.bars), speed="step", start=day, **options)
        self.runner, self.failure = None, None

    def __enter__(self):
        self.gateway.start()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_for(lambda: self.failure or (self.runner and self.runner.n_decided == 1))
        return self

    def __exit__(self, *_):
        self.runner.stop()
        self.thread.join(PATIENCE_S)
        self.gateway.stop()

    def _run(self):
        with Journal.open(self.path, self.bundle.id, durable=False) as journal:
            self.runner = Runner(
                self.bundle,
                lambda: Client(port=self.gateway.port, client_id=1, allow_orders=True, messages_per_s=None),
                Ledger(self.bundle, journal),
                # The clock closes nothing here: a bar is over when a later one has come.
                timing=Timing(grace_s=1e6, late_s=0.0, poll_s=0.05),
            )
            try:
                self.runner.run()
            except Exception as error:
                self.failure = error
                raise

    def until(self, n_decided, *, at_most=200):
        """Move time, slowly enough for the runner to follow, until so many bars are decided."""
        for _ in range(at_most):
            before = self.runner.n_decided
            if before >= n_decided:
                return
            self.gateway.advance()
            time.sleep(0.03)


def decided(path):
    return [e.body["time_ns"] for e in read_journal(path, "decision")]


def test_every_bar_is_decided_once_when_the_next_one_has_begun(minutes, tmp_path):
    with Running(minutes, tmp_path) as run:
        run.until(8)
        last = run.bars.time[run.bundle.bars.n_bars - 1]
        seen = decided(run.path)
        assert seen == [
            int(last),
            *(int(t) for t in run.bars.time[run.bundle.bars.n_bars :][: len(seen) - 1]),
        ]
        # Nothing is decided before its bar is over.
        assert seen[-1] <= run.gateway.now_ns
        refs = [o.order_ref for o in run.gateway.orders()]
        assert len(refs) == len(set(refs)) >= 12
    assert run.failure is None
    assert read_journal(run.path, "missed", "freeze") == []


def test_bars_are_those_of_the_gateway_and_none_is_unfinished(minutes, tmp_path):
    with Running(minutes, tmp_path) as run:
        run.until(6)
    for entry in read_journal(run.path, "bar"):
        row = int(np.searchsorted(run.bars.time, entry.body["time_ns"]))
        for i, symbol in enumerate(run.bars.symbols):
            expected = [
                float(getattr(run.bars, c)[row, i]) for c in ("open", "high", "low", "close", "volume")
            ]
            assert entry.body["rows"][symbol] == expected


def test_an_order_that_still_stands_is_cancelled_before_the_next_one_goes_out(minutes, tmp_path):
    # An order meets the quotes after two and a half minutes: the next decision comes before that.
    with Running(minutes, tmp_path, latency_s=150.0) as run:
        run.until(10)
        wait_for(lambda: not any(o.status == "PendingCancel" for o in run.gateway.orders()))
        orders = run.gateway.orders()
        statuses = {o.status for o in orders}
        assert "Cancelled" in statuses
        # At no time do two orders of one asset stand.
        for symbol in ("AAPL", "MSFT"):
            standing = [o for o in orders if o.symbol == symbol and o.status in {"PreSubmitted", "Submitted"}]
            assert len(standing) <= 1
    assert run.failure is None
    ended = [e.body["how"] for e in read_journal(run.path, "ended")]
    assert ended.count("cancelled") >= 2
    assert read_journal(run.path, "freeze") == []


# -- staleness -------------------------------------------------------------------------------------------


def stale(bar_size, when, now, **timing):
    """Whether a bar that closed at `when` is too old at `now` (New York times of 2012, as UTC)."""
    from live_parts import walk

    from quantlab.live.feed import make_feed
    from quantlab.live.window import Row, Window

    bars = walk(40)
    given = {"grace_s": 5.0, "late_s": 900.0, "stale_s": 120.0} | timing
    feed = make_feed(bar_size, "XNYS", bars.symbols, Window(bars), Timing(**given))
    time_ns, now_ns = (int(np.datetime64(t, "ns").astype(np.int64)) for t in (when, now))
    if bar_size == "1 day":
        feed._given = feed.window.last_session
    return feed.is_stale(Row(time_ns, 0, np.ones((2, 5))), now_ns)


@pytest.mark.parametrize(
    ("when", "now", "expected"),
    [
        ("2012-03-01T15:00:00", "2012-03-01T15:00:05", False),
        ("2012-03-01T15:00:00", "2012-03-01T15:03:05", False),
        ("2012-03-01T15:00:00", "2012-03-01T15:03:06", True),
        # The last bar of a session is the newest one all night, and for some minutes of the next morning.
        ("2012-03-01T21:00:00", "2012-03-02T14:29:00", False),
        ("2012-03-01T21:00:00", "2012-03-02T14:33:00", False),
        ("2012-03-01T21:00:00", "2012-03-02T14:34:00", True),
        ("2012-03-02T21:00:00", "2012-03-05T14:29:00", False),  # a weekend
    ],
)
def test_a_minute_that_nothing_followed_in_time_is_not_traded_on(when, now, expected):
    assert stale("1 min", when, now) is expected


@pytest.mark.parametrize(
    ("when", "now", "expected"),
    [
        ("2012-03-01T21:00:00", "2012-03-01T21:15:00", False),
        ("2012-03-01T21:00:00", "2012-03-02T14:00:00", False),
        ("2012-03-01T21:00:00", "2012-03-02T21:17:00", False),
        ("2012-03-01T21:00:00", "2012-03-02T21:17:06", True),
        ("2012-03-02T21:00:00", "2012-03-05T14:00:00", False),
    ],
)
def test_a_day_that_nothing_followed_in_time_is_not_traded_on(when, now, expected):
    assert stale("1 day", when, now) is expected
