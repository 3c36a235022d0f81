"""Answers that independent engines gave, reproduced through the public API; differences are printed (pytest -s).

Sources: backtesting.py 0.6.6 and vectorbt run here, on the same prices; backtrader's published test values
(mementum/backtrader, tests/test_strategy_unoptimized.py, test_strategy_optimized.py, test_analyzer-sqn.py,
test_analyzer-timereturn.py) on its sample 2006-day-001.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.model import Instrument
from quantlab.signal import Signal
from quantlab.signals import crossed_above, crossed_below, latch, sma
from quantlab.sizing import Account, Sizing

approx = pytest.approx

FREE = Costs.zero()
ALL_IN = Sizing(allocation=1.0, price="fill")
ALL_IN_FRACTIONS = Sizing(allocation=1.0, price="fill", whole_units=False)


@pytest.fixture(scope="module")
def goog_frame():
    from backtesting.test import GOOG

    return GOOG


@pytest.fixture(scope="module")
def goog(goog_frame):
    return Bars.from_frame(goog_frame, symbol="GOOG", bar_size="1 day")


@pytest.fixture(scope="module")
def crossings(goog):
    """Both averages, and long from a crossing up to a crossing down."""
    fast, slow = sma(goog.close, 10), sma(goog.close, 20)
    return fast, slow, latch(crossed_above(fast, slow), crossed_below(fast, slow))


def difference(what, ours, known):
    print(f"{what}: {ours:,.6f}, known {known:,.6f}, difference {ours - known:+.2e}")  # noqa: T201  # what a reader of the test asks for
    return ours - known


# -- the answers of the issue --------------------------------------------------------------------------------


def test_crossing_events_all_in_at_the_next_open(goog, crossings):
    result = backtest(crossings[2], goog, cash=10_000, costs=FREE, sizing=ALL_IN)
    assert abs(difference("events, next open", result.stats["final_equity"], 75645.99)) < 0.005
    assert result.trades["open"].value_counts().to_dict() == {False: 46, True: 1}
    assert result.stats["n_trades"] == 46


def test_crossing_state_all_in_at_the_next_open(goog, crossings):
    fast, slow, _ = crossings
    result = backtest(fast > slow, goog, cash=10_000, costs=FREE, sizing=ALL_IN)
    assert abs(difference("state, next open", result.stats["final_equity"], 112682.68)) < 0.005


@pytest.mark.parametrize(("rate", "known"), [(0.001, 66309.016396), (0.0, 72771.574068)])
def test_crossing_events_all_in_with_fractions_at_the_close(goog, crossings, rate, known):
    costs = Costs.percent(rate)
    result = backtest(crossings[2], goog, cash=10_000, costs=costs, sizing=ALL_IN_FRACTIONS, fill="close")
    assert abs(difference(f"events, close, {rate:.1%}", result.stats["final_equity"], known)) < 5e-7


TEN_UNITS = Sizing.units(10, max_leverage=100.0)


def test_crossing_events_with_ten_units_at_the_next_open(goog, crossings):
    result = backtest(crossings[2], goog, cash=10_000, costs=Costs.percent(0.001), sizing=TEN_UNITS)
    assert abs(difference("ten units, next open", result.stats["final_equity"], 19042.8522)) < 5e-6


def test_a_bracket_at_each_crossing_up_while_flat_leaves_by_itself_alone(goog, crossings):
    fast, slow, _ = crossings
    up = crossed_above(fast, slow)
    bracket = Signal(np.maximum.accumulate(up, axis=0), entry=up, stop_loss=0.05, take_profit=0.10)
    result = backtest(bracket, goog, cash=10_000, costs=Costs.percent(0.001), sizing=TEN_UNITS)
    assert abs(difference("bracket, ten units", result.stats["final_equity"], 15007.533605)) < 5e-6
    assert len(result.trades) == result.stats["n_trades"] == 38
    assert set(result.trades["exit"]) == {"stop loss", "take profit"}


@pytest.mark.parametrize(
    ("protection", "known"),
    [
        ({"stop_loss": 0.05}, 54001.732727),
        ({"take_profit": 0.10}, 39795.097626),
        ({"trailing_stop": 0.08}, 52760.238316),
    ],
    ids=["stop-loss", "target", "trailing stop"],
)
def test_crossing_events_at_the_close_are_protected_as_by_vectorbt(goog, crossings, protection, known):
    costs = Costs.percent(0.001)
    signal = Signal(crossings[2], **protection)
    result = backtest(signal, goog, cash=10_000, costs=costs, sizing=ALL_IN_FRACTIONS, fill="close")
    assert abs(difference(f"close, {protection}", result.stats["final_equity"], known)) < 5e-6


# -- backtrader ----------------------------------------------------------------------------------------------

BUYS = """3643.35 3801.03 3872.37 3863.57 3845.32 3656.43 3542.65 3639.65 3799.86 3840.20 4047.63 4052.55"""
SELLS = """3763.95 3811.85 3822.35 3822.57 3829.82 3598.58 3545.92 3766.80 3782.15 3979.73 4045.05"""
BUY_DECISIONS = (
    """3641.42 3798.46 3874.61 3860.00 3843.08 3648.33 3526.84 3632.93 3788.96 3841.31 4045.22 4052.89"""
)

HELD_FROM_THE_FIRST_CROSSING = [
    (2, 14525.80), (2, 15408.20), (10, 14763.90), (3, 13187.10), (6, 13684.40), (4, 13656.10), (13, 12988.10),
]  # fmt: skip
"""Final values for averages of 5, 6, ... 44 bars, as (how many in a row, value)."""


@pytest.fixture(scope="module")
def euro_stoxx(shared_data):
    frame = pd.read_csv(shared_data / "backtrader" / "2006-day-001.txt.gz")
    frame.columns = [c.strip().lower() for c in frame.columns]
    frame.index = pd.to_datetime(frame["date"])
    return frame[["open", "high", "low", "close", "volume"]]


def as_stock(frame):
    return Bars.from_frame(frame, symbol="X", bar_size="1 day")


def as_future(frame):
    future = Instrument("X", "FUT", multiplier=10)
    return Bars.from_frame(frame, symbol="X", bar_size="1 day", instruments=[future])


def cross_events(bars, period):
    average = sma(bars.close, period)
    return latch(crossed_above(bars.close, average), crossed_below(bars.close, average))


ONE = Sizing.units(1, max_leverage=100.0)
THIN_MARGIN = Account.margin(0.01)


@pytest.mark.data
def test_backtraders_sample_with_one_unit(euro_stoxx):
    bars = as_stock(euro_stoxx)
    result = backtest(cross_events(bars, 15), bars, cash=10_000, costs=FREE, sizing=ONE)
    assert abs(difference("backtrader, one unit", result.stats["final_equity"], 10284.10)) < 0.005
    fills = result.fills
    shown = [f"{x:.2f}" for x in fills.loc[fills["quantity"] > 0, "price"]]
    assert shown == BUYS.split()
    assert [f"{x:.2f}" for x in fills.loc[fills["quantity"] < 0, "price"]] == SELLS.split()
    bought = result.orders.loc[result.orders["quantity"] > 0, "decision_price"]
    assert [f"{x:.2f}" for x in bought] == BUY_DECISIONS.split()


@pytest.mark.data
def test_backtraders_sample_as_a_future_with_commission_per_contract(euro_stoxx):
    bars = as_future(euro_stoxx)
    costs = Costs.per_share(2.0)
    result = backtest(cross_events(bars, 15), bars, cash=10_000, costs=costs, sizing=ONE, account=THIN_MARGIN)
    assert abs(difference("backtrader, future", result.stats["final_equity"], 12795.00)) < 0.005
    assert result.stats["total_return"] == approx(0.2794999999999983, abs=1e-12)
    # backtrader divides by the deviation of the population, we by that of the sample.
    n = result.stats["n_trades"]
    assert n == 11
    known = 0.912550316439
    assert abs(difference("backtrader, SQN", result.stats["sqn"] * math.sqrt(n / (n - 1)), known)) < 1e-11


@pytest.mark.data
def test_backtraders_forty_averages_held_from_their_first_crossing(euro_stoxx):
    bars = as_future(euro_stoxx)
    known = [value for count, value in HELD_FROM_THE_FIRST_CROSSING for _ in range(count)]
    assert len(known) == 40
    for period, value in zip(range(5, 45), known, strict=True):
        above = crossed_above(bars.close, sma(bars.close, period))
        held = np.maximum.accumulate(above.astype(float), axis=0)
        result = backtest(
            held, bars, cash=10_000, costs=Costs.per_share(2.0), sizing=ONE, account=THIN_MARGIN
        )
        assert result.stats["final_equity"] == approx(value, abs=0.005), period


# -- backtesting.py, run here --------------------------------------------------------------------------------


def run_backtesting_py(frame, target, **options):
    """backtesting.py going all in, long or short or flat, whenever the target changes."""
    import warnings

    from backtesting import Backtest, Strategy

    class Follow(Strategy):
        def init(self):
            self.wanted = self.I(lambda: target, plot=False)

        def next(self):
            now, before = self.wanted[-1], self.wanted[-2]
            if now != before:
                self.position.close()
                if now > 0:
                    self.buy()
                elif now < 0:
                    self.sell()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Backtest(frame, Follow, cash=10_000, **options).run()


@pytest.mark.parametrize("short", [False, True])
def test_backtesting_py_has_the_same_equity_at_every_bar(goog_frame, goog, crossings, short):
    fast, slow, events = crossings
    target = np.where(np.isnan(slow), 0.0, np.where(fast > slow, 1.0, -1.0)) if short else events
    theirs = run_backtesting_py(goog_frame, target[:, 0])
    ours = backtest(target, goog, cash=10_000, costs=FREE, sizing=ALL_IN)
    equity = theirs["_equity_curve"]["Equity"].to_numpy()
    gap = np.abs(ours.equity.to_numpy() / equity - 1)
    print(f"backtesting.py, short={short}: largest relative difference of equity {gap.max():.1e}")  # noqa: T201  # what a reader of the test asks for
    assert gap.max() < 1e-9
    closed = ours.trades[~ours.trades["open"]]
    trades = theirs["_trades"]
    assert len(closed) == len(trades) > 40
    np.testing.assert_allclose(closed["quantity"], trades["Size"])
    np.testing.assert_allclose(closed["pnl"], trades["PnL"], rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(closed["entry_price"], trades["EntryPrice"])
    stats = ours.stats
    assert stats["max_drawdown"] * 100 == approx(theirs["Max. Drawdown [%]"])
    assert stats["win_rate"] * 100 == approx(theirs["Win Rate [%]"])
    assert stats["best_trade"] * 100 == approx(theirs["Best Trade [%]"])
    assert stats["worst_trade"] * 100 == approx(theirs["Worst Trade [%]"])
    assert stats["sqn"] == approx(theirs["SQN"])
    assert stats["kelly"] == approx(theirs["Kelly Criterion"])


def test_backtesting_py_charges_the_same_commission(goog_frame, goog, crossings):
    events = crossings[2]
    theirs = run_backtesting_py(goog_frame, events[:, 0], commission=0.002)
    ours = backtest(events, goog, cash=10_000, costs=Costs.percent(0.002), sizing=ALL_IN)
    difference("backtesting.py, 20 bp", ours.stats["final_equity"], theirs["Equity Final [$]"])
    assert ours.equity.to_numpy() == approx(theirs["_equity_curve"]["Equity"].to_numpy(), rel=1e-9)
    # Theirs leaves out the position that is still open.
    closed = ours.trades[~ours.trades["open"]]
    assert closed["commission"].sum() == approx(theirs["Commissions [$]"])


# -- vectorbt, run here --------------------------------------------------------------------------------------

KEYS = {
    "total_return": "total_return",
    "sharpe": "sharpe_ratio",
    "sortino": "sortino_ratio",
    "calmar": "calmar_ratio",
    "volatility": "annualized_volatility",
    "cagr": "annualized_return",
    "max_drawdown": "max_drawdown",
}


@pytest.fixture(scope="module")
def vbt():
    vectorbt = pytest.importorskip("vectorbt")
    wrapper, returns = vectorbt.settings.array_wrapper, vectorbt.settings.returns
    before = wrapper["freq"], returns["year_freq"]
    wrapper["freq"], returns["year_freq"] = "1D", "252 days"
    yield vectorbt
    wrapper["freq"], returns["year_freq"] = before


def assert_same_as_vectorbt(result, portfolio):
    theirs = portfolio.value().to_numpy().ravel()
    gap = np.abs(result.equity.to_numpy() / theirs - 1).max()
    print(f"vectorbt: largest relative difference of equity {gap:.1e}")  # noqa: T201  # what a reader of the test asks for
    assert gap < 1e-9
    for ours, name in KEYS.items():
        value = getattr(portfolio, name)()
        assert result.stats[ours] == approx(float(np.ravel(value)[0]), rel=1e-8), ours


def test_vectorbt_goes_all_in_with_fractions_costs_and_slippage(vbt, goog, crossings):
    events = crossings[2]
    enters, leaves = np.diff(events, axis=0, prepend=0) > 0, np.diff(events, axis=0, prepend=0) < 0
    opens = np.vstack([goog.open[1:], goog.open[-1:]])
    portfolio = vbt.Portfolio.from_signals(
        close=pd.Series(goog.close[:, 0], index=goog.index),
        entries=np.vstack([[[False]], enters[:-1]])[:, 0],
        exits=np.vstack([[[False]], leaves[:-1]])[:, 0],
        price=np.vstack([opens[:1], opens[:-1]])[:, 0],
        init_cash=10_000,
        fees=0.001,
        slippage=0.0005,
    )
    costs = Costs.percent(0.001, slippage_bps=5)
    result = backtest(events, goog, cash=10_000, costs=costs, sizing=ALL_IN_FRACTIONS)
    assert_same_as_vectorbt(result, portfolio)
    assert result.stats["n_trades"] == portfolio.trades.closed.count()
    assert result.stats["win_rate"] == approx(portfolio.trades.closed.win_rate())


def test_vectorbt_shares_cash_among_assets(vbt):
    """Targets of four assets, rebalanced at every bar at its close, with costs and slippage."""
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (300, 4)), axis=0))
    index = pd.bdate_range("2020-01-01", periods=300)
    names = list("ABCD")
    frames = {
        s: pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close[:, i]), index=index)
        for i, s in enumerate(names)
    }
    bars = Bars.from_frame(pd.concat(frames, axis=1), bar_size="1 day")
    target = rng.choice([-0.8, 0.0, 0.4, 0.8], (300, 4))
    portfolio = vbt.Portfolio.from_orders(
        close=pd.DataFrame(close, index=index, columns=names),
        size=target / 4,
        size_type="targetpercent",
        init_cash=10_000,
        fees=0.001,
        slippage=0.0005,
        group_by=True,
        cash_sharing=True,
    )
    sizing = Sizing(whole_units=False, rebalance="every_bar")
    costs = Costs.percent(0.001, slippage_bps=5)
    result = backtest(target, bars, cash=10_000, costs=costs, sizing=sizing, fill="close")
    assert_same_as_vectorbt(result, portfolio)
    assert result.stats["commission"] == approx(float(portfolio.orders.fees.sum()))
