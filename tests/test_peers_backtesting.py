"""backtesting.py and the engine on random price paths: the same trades, profits and equity, bar by bar.

A small strategy tells backtesting.py the same orders at the same bars: entries at the next open, at a limit, at a stop
or at a stop-limit, with or without a stop-loss and a target. Its orders stand until they are cancelled, which is
`tif="gtc"` here; for `tif="bar"` the strategy sends them anew at every bar. What is left out, since the two mean
different things:

- The bar on which an entry inside the bar fills, where it also reaches a level of the new position: backtesting.py
  leaves the level to the next bar (after a stop entry it takes the target, never the stop), the engine tests it (rule
  50 of docs/fills.md). Such a run is compared up to that bar, and counted as cut.
- A stop-limit whose stop the open has passed: backtesting.py fills it at the stop, a price that the bar does not have.
  Cut as well. With the limit short of the stop it never fills on the bar of the trigger, so none is made.
- A bar that opens beyond the target and then reaches the stop: the engine sells at the open, backtesting.py tests the
  stop against the whole bar first. No bar moves more than `REACH` from its open, and levels lie further apart.
- Touches of limits and targets: backtesting.py fills at a touch. Prices are continuous, so none happens.
- A minimum commission where positions turn around: one order here, two there.
- The first bar: backtesting.py's strategies see it together with the second.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.kernels.fill import STOP_LOSS, TAKE_PROFIT
from quantlab.model import Instrument
from quantlab.signal import Signal
from quantlab.signals import latch
from quantlab.sizing import Sizing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("backtesting.backtesting")

N_BARS = 60
CASH = 100_000.0
REACH = 0.04
KINDS = {STOP_LOSS: "stops", TAKE_PROFIT: "targets"}


class Market(NamedTuple):
    """Prices of one asset."""

    open: Any
    high: Any
    low: Any
    close: Any


class Levels(NamedTuple):
    """What an order of each bar would have, as fractions of its close; NaN is none."""

    stop_loss: Any
    target: Any
    limit: Any
    stop: Any


@dataclass(frozen=True)
class Case:
    """One run."""

    seed: int
    sides: str
    by: str
    stop: bool
    target: bool
    costs: str
    all_in: bool
    gap: float
    tif: str


@st.composite
def cases(draw, by, kind):
    sides = draw(st.sampled_from(["long", "short", "both"]))
    # An order at a price is sized when it is sent, and backtesting.py sizes all in at the fill.
    all_in = by == "market" and draw(st.booleans())
    # A commission a share is asked of backtesting.py for the part of an account that an order is, when all in.
    kinds = ["none", "percent"] if all_in else ["none", "percent", "a share"]
    return Case(
        seed=draw(st.integers(0, 2**32 - 1)),
        sides=sides,
        by=by,
        stop="stop" in kind,
        target="target" in kind,
        costs=draw(st.sampled_from(kinds if sides == "both" or all_in else [*kinds, "with a minimum"])),
        all_in=all_in,
        # In quiet markets an entry at a limit is seldom cut.
        gap=draw(st.sampled_from([0.001, 0.006])) if "limit" in by else 0.018,
        tif="bar" if by == "market" else draw(st.sampled_from(["bar", "gtc"])),
    )


# -- what is made up ---------------------------------------------------------------------------------------


def random_market(rng, case):
    move, wick = (0.012, 0.003) if "limit" in case.by else (0.018, 0.012)
    gap, body = np.clip(rng.normal(0.0, [[case.gap], [move]], (2, N_BARS)), -0.035, 0.035)
    up, down = rng.exponential(wick, (2, N_BARS))
    close = 50.0 * np.exp(np.cumsum(body + gap))
    opens = close / np.exp(body)
    high = np.minimum(np.maximum(opens, close) * (1.0 + up), opens * (1.0 + REACH))
    low = np.maximum(np.minimum(opens, close) * (1.0 - down), opens * (1.0 - REACH))
    return Market(opens, high, low, close)


def random_target(rng, sides):
    """Target and further entry events."""
    event = rng.choice(5, N_BARS, p=[0.6, 0.15, 0.05, 0.15, 0.05])
    event[0] = 0
    if sides != "both":
        event = np.select([event % 2 == 1, event > 0], [1, 2], 0)
        event = np.where((sides == "short") & (event > 0), event + 2, event)
    return latch(*(event == k for k in range(1, 5))), event % 2 == 1


def random_levels(rng, case):
    """Levels that backtesting.py takes: the entry between stop-loss and target, a stop beyond the close."""
    nothing = np.full(N_BARS, np.nan)
    present = rng.random((2, N_BARS)) < [[0.9 * case.stop], [0.9 * case.target]]
    stop_loss = np.where(present[0], 0.03 + 0.05 * rng.random(N_BARS) ** 3, np.nan)
    target = np.where(present[1], 0.02 + 0.06 * rng.random(N_BARS) ** 3, np.nan)
    limit = stop = nothing
    if case.by == "limit":  # seldom at a price that can be had at once
        limit = rng.uniform(-0.005, 0.8, N_BARS) * np.fmin(stop_loss, 0.04)
        limit = np.where(rng.random(N_BARS) < 0.1, -0.01, limit)
    if "stop" in case.by:
        stop = rng.uniform(0.05, 0.4, N_BARS) * np.fmin(target, 0.03)
    if case.by == "stop limit":
        limit = -stop - rng.uniform(0.001, 0.005, N_BARS)
    return Levels(stop_loss, target, limit, stop)


def costs_of(case):
    """Costs here and there."""
    return {
        "none": (Costs.zero(), 0.0),
        "percent": (Costs.percent(0.002), 0.002),
        "a share": (Costs.per_share(0.05), lambda size, _: 0.05 * abs(size)),
        "with a minimum": (Costs.per_share(0.05, minimum=4.0), lambda size, _: max(4.0, 0.05 * abs(size))),
    }[case.costs]


# -- the two engines ---------------------------------------------------------------------------------------


def our_run(case, market, target, entry, levels):
    n_bars = len(target)
    bars = Bars(
        time=np.arange(1, n_bars + 1) * 86_400_000_000_000,
        session=np.arange(n_bars),
        volume=np.full((n_bars, 1), 1e6),
        instruments=(Instrument("X"),),
        bar_size="1 day",
        **{name: prices[:, None] for name, prices in market._asdict().items()},
    )
    side = np.where(target < 0.0, -1.0, 1.0)
    signal = Signal(
        target,
        entry=entry,
        stop_loss=levels.stop_loss if case.stop else None,
        take_profit=levels.target if case.target else None,
        limit=market.close * (1.0 - side * levels.limit) if "limit" in case.by else None,
        stop=market.close * (1.0 + side * levels.stop) if "stop" in case.by else None,
        tif=case.tif,
    )
    sizing = Sizing(allocation=1.0, price="fill") if case.all_in else Sizing.units(100)
    return backtest(signal, bars, cash=CASH, costs=costs_of(case)[0], sizing=sizing)


def follow(case, market, target, entry, levels):
    """Make a strategy that sends the same orders; each trade carries the prices that its order had."""

    class Follow(peer.Strategy):
        turning = False

        def init(self):
            pass

        def next(self):
            t = len(self.data) - 1
            wanted, before, held = target[t], target[t - 1], np.sign(self.position.size)
            event = wanted != 0.0 and (before * wanted <= 0.0 or entry[t])
            anew = self.turning or (case.tif == "bar" and any(not x.is_contingent for x in self.orders))
            self.turning = False
            if wanted == 0.0 or (wanted * held < 0.0 and case.by != "market"):
                self.cancel_entries()
                self.position.close()
                self.turning = wanted != 0.0
            elif wanted * held <= 0.0 and (event or anew):
                self.cancel_entries()
                self.enter(t, wanted)

        def cancel_entries(self):
            for order in self.orders:
                if not order.is_contingent:
                    order.cancel()

        def enter(self, t, side):
            def price(level, way):
                return None if np.isnan(level[t]) else market.close[t] * (1.0 + way * side * level[t])

            prices = {
                "sl": price(levels.stop_loss, -1.0),
                "tp": price(levels.target, 1.0),
                "limit": price(levels.limit, -1.0),
                "stop": price(levels.stop, 1.0),
            }
            size = {} if case.all_in else {"size": 100}
            (self.buy if side > 0.0 else self.sell)(tag=prices, **size, **prices)

    return Follow


def their_run(case, market, target, entry, levels):
    """Closed trades, trades in all, and equity."""
    frame = pd.DataFrame(market._asdict(), index=pd.date_range("2020-01-01", periods=len(target)))
    strategy = follow(case, market, target, entry, levels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = peer.Backtest(
            frame.rename(columns=str.capitalize),
            strategy,
            cash=CASH,
            commission=costs_of(case)[1],
            # A new order closes what there is: a reversal. Entries at a price close it before.
            exclusive_orders=case.by == "market",
        )
        return test.run()


@pytest.fixture(autouse=True, scope="module")
def _nothing_but_trades_and_equity():
    """Leave out progress bars, and statistics, which take five times as long as the runs."""

    def books(trades, equity, strategy_instance, **_):
        return {"closed": trades, "all": [*trades, *strategy_instance.trades], "equity": equity}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(peer, "compute_stats", books)
        patched.setattr(peer, "_tqdm", lambda bars, **_: bars)
        yield


# -- the comparison ----------------------------------------------------------------------------------------


def first_unlike(case, market, trades):
    """First bar on which the two mean different things; the number of bars if there is none."""

    def is_unlike(trade):
        t, asked, side = trade.entry_bar, trade.tag, 1.0 if trade.is_long else -1.0
        down, up = (market.low[t], market.high[t]) if trade.is_long else (market.high[t], market.low[t])
        stopped = asked["sl"] is not None and side * down <= side * asked["sl"]
        reached = asked["tp"] is not None and side * up >= side * asked["tp"]
        if case.by == "stop":
            return stopped
        if case.by == "limit":
            return stopped or reached
        passed = trade.entry_price == asked["stop"] and side * market.open[t] > side * asked["stop"]
        return stopped or reached or passed

    if case.by == "market":
        return N_BARS
    return min((trade.entry_bar for trade in trades if is_unlike(trade)), default=N_BARS)


def compare(case):
    rng = np.random.default_rng(case.seed)
    market, (target, entry) = random_market(rng, case), random_target(rng, case.sides)
    levels = random_levels(rng, case)
    theirs = their_run(case, market, target, entry, levels)
    result = our_run(case, market, target, entry, levels)
    cut = first_unlike(case, market, theirs["all"])
    trades, fills = result._records.trades, result._records.fills
    trades, fills = trades[(trades["open"] == 0) & (trades["exit_bar"] < cut)], fills[fills["bar"] < cut]
    closed = [x for x in theirs["closed"] if x.exit_bar < cut]
    ours = trades[["entry_bar", "exit_bar", "quantity"]].tolist()
    assert ours == [(x.entry_bar, x.exit_bar, x.size) for x in closed]
    for name, money in (("entry_price", 0.0), ("exit_price", 0.0), ("pl", CASH)):
        mine = trades["pnl" if name == "pl" else name]
        their = [getattr(x, name) for x in closed]
        np.testing.assert_allclose(mine, their, rtol=1e-9, atol=1e-9 * money, err_msg=name)
    np.testing.assert_allclose(result.equity.to_numpy()[:cut], theirs["equity"][:cut], rtol=1e-9)
    seen = Counter({name: int((fills["kind"] == kind).sum()) for kind, name in KINDS.items()})
    seen.update({"cases" if cut == N_BARS else "cut": 1, "bars": cut, "trades": len(closed)})
    seen["within a bar"] += sum(x.entry_bar == x.exit_bar for x in closed)
    seen["doubtful"] += int(fills["doubtful"].sum())
    return seen


def explore(by, n_cases):
    """Compare random runs without levels, with either, and twice as many with both; say what was seen."""
    seen = Counter()
    for kind in ("none", "stop", "target", "stop and target", "stop and target"):

        @settings(max_examples=n_cases // 5, suppress_health_check=list(HealthCheck))
        @given(cases(by, kind))
        def run(case):
            seen.update(compare(case))

        run()
    print(by, dict(seen))  # noqa: T201  # what a reader of the test asks for
    return seen


def test_backtesting_py_closes_the_same_brackets_from_the_bar_of_the_entry_on():
    seen = explore("market", 500)
    assert seen["cases"] == 500
    assert min(seen["stops"], seen["targets"]) > 400


def test_backtesting_py_fills_the_same_limit_orders_until_they_are_cancelled():
    seen = explore("limit", 400)
    assert seen["cases"] > 200
    assert min(seen["stops"], seen["targets"]) > 80


def test_backtesting_py_fills_the_same_stop_entries():
    seen = explore("stop", 400)
    assert seen["cases"] > 200
    assert min(seen["stops"], seen["targets"]) > 80


def test_backtesting_py_fills_the_same_stop_limits():
    seen = explore("stop limit", 400)
    assert seen["cases"] > 100
    assert min(seen["stops"], seen["targets"]) > 40


# Open, high, low and close of the two bars after a close of 100, at which both decide to buy.
@pytest.mark.parametrize(
    ("by", "levels", "bars", "theirs", "ours"),
    [
        ("limit", (0.05, None, 0.02, None), [(100, 101, 94, 97), (97, 98, 96, 97)], [98.0], [98.0, 95.0]),
        ("stop", (0.05, None, None, 0.05), [(100, 106, 94, 97), (97, 98, 96, 97)], [105.0], [105.0, 95.0]),
        ("stop limit", (None, None, -0.0625, 0.05), [(108, 109, 105.5, 107)] * 2, [105.0], [106.25]),
        ("limit", (None, None, 0.03125, None), [(100, 101, 96.875, 99)] * 2, [96.875], []),
        (
            "market",
            (0.0625, 0.125, None, None),
            [(100,) * 4, (114, 115, 93, 96)],
            [100.0, 93.75],
            [100.0, 114.0],
        ),
    ],
    ids=[
        "a limit's bar that reaches the stop-loss",
        "a stop entry's bar that reaches the stop-loss",
        "a stop-limit whose stop the open has passed",
        "a limit that is touched",
        "a target passed by the open of a bar that reaches the stop",
    ],
)
def test_what_is_left_out_differs_as_said(by, levels, bars, theirs, ours):
    market = Market(*np.array([(100.0,) * 4, (100.0,) * 4, *bars]).T)
    target, levels = np.array([0.0, 1.0, 1.0, 1.0]), Levels(*(np.full(4, x, float) for x in levels))
    case = Case(0, "long", by, stop=True, target=True, costs="none", all_in=False, gap=0.0, tif="gtc")
    parts = market, target, target > 0.0, levels
    trades = their_run(case, *parts)["all"]
    found = [x for trade in trades for x in (trade.entry_price, trade.exit_price) if x is not None]
    assert found == pytest.approx(theirs, rel=1e-12)
    assert our_run(case, *parts).fills["price"].tolist() == pytest.approx(ours, rel=1e-12)
