"""Parity: the same strategy through the backtest, and through runner, official client, socket and gateway.

Runs with each official client (see `make clients`): nothing here may be skipped for one of them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_parts import make_bundle, walk

from quantlab.costs import Costs
from quantlab.gateway.market import Market
from quantlab.live.parity import run_parity
from quantlab.sizing import Account, Sizing

pytestmark = pytest.mark.ib

STRATEGIES = sorted((Path(__file__).parent.parent / "strategies").glob("*.py"))

MODES = ("bars", "quotes")


@pytest.fixture(scope="module")
def sample():
    """The sample's four stocks as the gateway serves them, two years of them to know and one to trade."""
    return Market.of_sample().base.between("2009-06-01", "2012-06-29")


def report_of(bundle, mode="bars", **options):
    report = run_parity(bundle, fills=mode, **options)
    assert report.differences == [], str(report.differences[:5])
    assert report.gap.closes, report.gap
    if mode == "bars":
        assert report.fill_differences == [], str(report.fill_differences[:5])
    assert report.ok
    return report


@pytest.mark.parametrize("file", STRATEGIES, ids=lambda p: p.stem)
def test_every_strategy_decides_live_what_the_backtest_decides(file, sample, tmp_path):
    bundle = make_bundle(tmp_path, sample, source=file.read_text(encoding="utf-8"))
    for mode in MODES:
        report = report_of(bundle, mode, start="2011-10-03")
        assert report.n_bars > 100
        assert report.n_orders > 0
        assert report.n_fills > 0


INSIDE = {
    "stop": "ql.Signal(up, entry=flag, stop_loss=0.02)",
    "bracket": "ql.Signal(up, entry=flag, stop_loss=0.03, take_profit=0.04, trailing_stop=ql.AtrMultiple(1.5, 5), "
    "time_stop=6)",
    "both ways": "ql.Signal(ways, entry=flag, stop_loss=0.03, take_profit=ql.Distance(1.237))",
    "trailing": "ql.Signal(ways, entry=flag, trailing_stop=ql.Distance(1.237), time_stop=4)",
    "limit for a bar": "ql.Signal(up, entry=flag, limit=close * 0.99, stop_loss=0.03, take_profit=0.03)",
    "limit good till cancelled": "ql.Signal(up, entry=flag, limit=close * 0.98, stop_loss=0.03, tif='gtc')",
    "limit on the open": "ql.Signal(up, limit=close * 0.999, stop_loss=0.03, tif='ioc')",
    "stop for a day": "ql.Signal(ways, entry=flag, stop=close * (1 + 0.01 * ways), trailing_stop=0.03, tif='day')",
    "stop limit": "ql.Signal(up, entry=flag, stop=close * 1.005, limit=close * 1.01, stop_loss=0.02, time_stop=3)",
    "market on open": "ql.Signal(up, entry=flag, order_type='moo', stop_loss=0.03)",
    "market on close": "ql.Signal(up, order_type='moc', time_stop=4)",
    "resize": "ql.Signal(up * size, entry=flag, stop_loss=0.03, take_profit=0.05)",
    "resize a trailing stop": "ql.Signal(up * size, entry=flag, trailing_stop=ql.Distance(1.239))",
    "rank": "ql.Signal(up, rank=close, time_stop=5)",
    "no level and no price at some bars": "ql.Signal(ways, entry=flag, stop_loss=np.where(flag, np.nan, 0.02), "
    "limit=np.where(shift(flag + 0.0) > 0, np.nan, close * (1 - 0.005 * ways)))",
}
"""Signals with orders inside the bar, of what `orders_of` prepares."""


def orders_of(body, days=3):
    """Source of a strategy that returns a signal."""
    return f'''\
import numpy as np

import quantlab as ql
from quantlab.signals import roc, shift, sma


@ql.strategy
def inside(bars, days={days}):
    """With the move of some days, in two sizes, with further entries every third bar."""
    close = bars.close
    up = roc(close, days) > 0.0
    ways, size = np.where(up, 1.0, -1.0), np.where(sma(close, 2) > sma(close, 9), 1.0, 0.5)
    flag = (np.arange(bars.n_bars)[:, None] % 3 == 0) & np.ones(bars.n_assets, bool)
    return {body}
'''


@pytest.mark.parametrize("name", INSIDE)
def test_orders_inside_the_bar_are_sent_and_filled_as_the_backtest_has_them(name, tmp_path):
    bundle = make_bundle(tmp_path, walk(120), source=orders_of(INSIDE[name]), cuts=4)
    for mode in MODES:
        report = report_of(bundle, mode, start="2012-02-15")
        assert report.n_orders > 40
        assert report.n_fills > 12


@pytest.mark.parametrize("name", ["bracket", "both ways", "limit for a bar", "stop for a day", "trailing"])
def test_orders_inside_bars_within_the_day_are_too(name, tmp_path):
    daily = Market.of_sample(["AAPL", "MSFT"]).base.between("2012-02-06", "2012-02-10")
    bars = Market.of_bars(daily).bars(["AAPL", "MSFT"], "15 mins")
    # Bars of a quarter of an hour move less than days.
    body = (
        re.sub(r"0\.0(\d)", r"0.00\1", INSIDE[name])
        .replace("0.99", "0.999")
        .replace("ql.Distance(1.237)", "0.004")
    )
    bundle = make_bundle(tmp_path, bars, source=orders_of(body), cuts=3)
    for mode in MODES:
        assert report_of(bundle, mode, start="2012-02-08").n_fills > 12


def test_an_order_that_adds_in_the_bar_of_the_stop_is_where_live_and_backtest_differ(tmp_path):
    # The backtest cancels it with the stop; at a broker it may have filled before, and what it bought is sold at once.
    body = "ql.Signal(up * size, entry=flag, limit=close * 0.995, stop_loss=0.03)"
    bundle = make_bundle(tmp_path, walk(120), source=orders_of(body), cuts=4)
    report = run_parity(bundle, start="2012-02-15")
    assert report.decisions_equal
    assert report.gap.closes
    assert not report.fills_equal


MINUTES = {
    "momentum by the minute": '''\
import quantlab as ql
from quantlab.signals import roc


@ql.strategy
def momentum(bars, minutes=5):
    """Long while the price is above that of some minutes ago."""
    return roc(bars.close, minutes) > 0.0
''',
    "flat before the close": '''\
import numpy as np

import quantlab as ql
from quantlab.signals import sma


@ql.strategy
def day_trade(bars, fast=3, slow=9):
    """With the trend within the session, flat a quarter of an hour before it ends."""
    trend = np.where(sma(bars.close, fast) > sma(bars.close, slow), 1.0, -1.0)
    return np.where((bars.minutes_to_close > 15)[:, None], trend, 0.0)
''',
}


@pytest.mark.parametrize("name", MINUTES)
def test_minute_bars_are_decided_as_they_close(name, tmp_path):
    daily = Market.of_sample(["AAPL", "MSFT"]).base.between("2012-02-06", "2012-02-10")
    bars = Market.of_bars(daily).bars(["AAPL", "MSFT"], "1 min")
    bundle = make_bundle(tmp_path, bars, source=MINUTES[name], cuts=4)
    for mode in MODES:
        report = report_of(bundle, mode, start="2012-02-10")
        assert report.n_bars >= 390
        assert report.n_orders > 40


@pytest.mark.parametrize(
    "changes",
    [
        {"sizing": Sizing(rebalance="every_bar")},
        {"sizing": Sizing(rebalance=0.02)},
        {"sizing": Sizing(allocation=1.0, max_leverage=1.5)},
        {"sizing": Sizing.units(7)},
        {"sizing": Sizing.value(5_000)},
        {"account": Account.cash(buffer=0.02)},
        {"costs": Costs.ibkr_tiered(slippage_bps=3.0)},
        {"costs": Costs.percent(0.001), "cash": 20_000.0},
        {"join": "now"},
    ],
    ids=lambda c: "-".join(f"{k}={v}" for k, v in c.items())[:60],
)
def test_every_way_to_size_and_to_pay_keeps_parity(changes, tmp_path):
    bundle = make_bundle(tmp_path, walk(90), **changes)
    for mode in MODES:
        assert report_of(bundle, mode, start="2012-03-01").n_orders > 10


def test_an_asset_that_pauses_keeps_parity(tmp_path):
    bundle = make_bundle(tmp_path, walk(90, hole=(slice(60, 66), 1)))
    report = report_of(bundle, start="2012-03-01")
    assert any(np.isnan(row.signal) for row in report.rows)


def test_a_standing_target_is_taken_over_at_its_next_entry_or_at_once(tmp_path):
    always = '''\
import numpy as np
import quantlab as ql


@ql.strategy
def always(bars, days=3):
    """Always long, but for the first bars."""
    return np.arange(bars.n_bars)[:, None] * np.ones(bars.n_assets) >= days
'''
    bars = walk(60)
    waits = make_bundle(tmp_path, bars, source=always)
    report = report_of(waits, start="2012-03-01")
    assert report.n_orders == 0
    assert {row.target for row in report.rows} == {0.0}
    at_once = make_bundle(_made(tmp_path / "now"), bars, source=always, join="now")
    report = report_of(at_once, start="2012-03-01")
    assert report.n_orders == 2


def _made(folder):
    folder.mkdir()
    return folder


def test_the_gap_at_quotes_has_causes_and_they_sum_to_it(tmp_path):
    bundle = make_bundle(tmp_path, walk(120), costs=Costs.percent(0.0002))
    report = report_of(bundle, "quotes", start="2012-03-01")
    assert report.gap.total != 0.0
    assert report.gap.spread != 0.0
    assert report.gap.latency != 0.0
    assert abs(report.gap.total - report.gap.explained) < 1e-6
    # What the gap is said to be is what it is: the same fills priced as the backtest's have none.
    assert not replace(report.gap, spread=report.gap.spread + 1.0).closes


def test_a_period_without_a_bar_to_decide_is_refused(tmp_path):
    from quantlab.errors import InputError, LiveError

    bundle = make_bundle(tmp_path, walk(30))
    with pytest.raises(LiveError, match="nothing to replay"):
        run_parity(bundle, start="2012-01-03")
    with pytest.raises(InputError):
        run_parity(bundle, start="2013-01-03")
