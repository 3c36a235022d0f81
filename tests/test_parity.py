"""Parity: the same strategy through the backtest, and through runner, official client, socket and gateway.

Runs with each official client (see `make clients`): nothing here may be skipped for one of them.
"""

from __future__ import annotations

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

FILES = sorted((Path(__file__).parent.parent / "strategies").glob("*.py"))
STRATEGIES = [path for path in FILES if "ql.Signal(" not in path.read_text(encoding="utf-8")]
"""Those of market orders; the others are not promoted in this version (test_live_promote.py)."""

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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("file", STRATEGIES, ids=lambda p: p.stem)
def test_every_strategy_decides_live_what_the_backtest_decides(file, mode, sample, tmp_path):
    bundle = make_bundle(tmp_path, sample, source=file.read_text(encoding="utf-8"))
    report = report_of(bundle, mode, start="2011-10-03")
    assert report.n_bars > 100
    assert report.n_orders > 0
    assert report.n_fills > 0


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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MINUTES)
def test_minute_bars_are_decided_as_they_close(name, mode, tmp_path):
    daily = Market.of_sample(["AAPL", "MSFT"]).base.between("2012-02-06", "2012-02-10")
    bars = Market.of_bars(daily).bars(["AAPL", "MSFT"], "1 min")
    bundle = make_bundle(tmp_path, bars, source=MINUTES[name], cuts=4)
    report = report_of(bundle, mode, start="2012-02-10")
    assert report.n_bars >= 390
    assert report.n_orders > 40


@pytest.mark.parametrize("mode", MODES)
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
def test_every_way_to_size_and_to_pay_keeps_parity(changes, mode, tmp_path):
    bundle = make_bundle(tmp_path, walk(90), **changes)
    report = report_of(bundle, mode, start="2012-03-01")
    assert report.n_orders > 10


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
