"""The second opinion: vectorbt reads the same decisions, and finds every planted error."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.bars import Bars
from quantlab.costs import Costs, Interest
from quantlab.data import sample as prices
from quantlab.engine.backtest import backtest
from quantlab.engine.crosscheck import crosscheck, to_vectorbt
from quantlab.engine.result import Result
from quantlab.engine.setup import Setup
from quantlab.errors import MismatchError, MissingExtraError, ParameterError
from quantlab.model import Instrument
from quantlab.signal import Signal
from quantlab.signals import crossed_above, crossed_below, from_vectorbt, sma
from quantlab.sizing import Account, Sizing

vbt = pytest.importorskip("vectorbt")

sample = cache(prices.sample)

FOUR = ("AAPL", "GOOG", "IBM", "MSFT")
ALL_IN = Sizing(allocation=1.0, price="fill", whole_units=False)
BOOKS = "order quantities from vectorbt's books"
OWN = "equity by vectorbt's own sizing"


def trend(bars):
    return sma(bars.close, 20) > sma(bars.close, 100)


def swing(bars):
    return np.where(sma(bars.close, 5) > sma(bars.close, 20), 1.0, -1.0)


def graded(bars):
    rising = np.nan_to_num(bars.close / sma(bars.close, 50) - 1.0)
    return np.clip(np.round(10.0 * rising) / 4.0, -1.0, 1.0)


def walk(n_bars, n_assets=1, seed=0, scale=0.02, holes=0.0, ends=None, instruments=None):
    """Bars of random walks; `holes` is the share of bars that are missing, `ends` the last bars of some assets."""
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, scale, (n_bars, n_assets)), axis=0))
    opens = close * np.exp(rng.normal(0.0, scale / 3.0, close.shape))
    gone = rng.random(close.shape) < holes
    gone[-1] = False
    for i, last in (ends or {}).items():
        gone[last + 1 :, i] = True
    opens[gone] = close[gone] = np.nan
    return Bars(
        time=np.arange(1, n_bars + 1) * 86_400_000_000_000,
        session=np.arange(n_bars),
        open=opens,
        high=np.fmax(opens, close),
        low=np.fmin(opens, close),
        close=close,
        volume=np.full(close.shape, 1e6),
        instruments=instruments or tuple(Instrument(f"S{i}") for i in range(n_assets)),
        bar_size="1 day",
    )


# -- agreement -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["next_open", "next_close", "close"])
@pytest.mark.parametrize("strategy", [trend, swing, graded])
@pytest.mark.parametrize("symbols", ["AAPL", FOUR])
def test_vectorbt_agrees_on_real_prices_with_the_default_costs(symbols, strategy, fill):
    check = crosscheck(backtest(strategy, sample(symbols), fill=fill))
    assert check.agrees, check
    assert check.largest < 1e-10
    compared = {c.name for c in check.comparisons if c.compared}
    assert {
        "fills",
        "fill bars",
        "fill quantities",
        "fill prices",
        "costs paid",
        "cash",
        "equity",
    } <= compared
    assert {"total_return", "sharpe", "sortino", "volatility", "max_drawdown", "var_95", "beta"} <= compared
    assert {"n_trades", "win_rate", "profit_factor", "pnl of trades", BOOKS} <= compared


@pytest.mark.parametrize(
    "options",
    [
        {"sizing": Sizing.units(10)},
        {"sizing": Sizing.value(10_000)},
        {"sizing": Sizing(allocation=0.7, whole_units=False), "costs": Costs.percent(0.002, spread_bps=4.0)},
        {"sizing": Sizing(rebalance="every_bar")},
        {"sizing": Sizing(rebalance=0.05, whole_units=False), "costs": Costs.zero()},
        {"sizing": Sizing(allocation=1.0, max_leverage=2.0)},
        {"sizing": Sizing(allocation=1.0, max_leverage=1.5), "account": Account.margin(0.9)},
        {"account": Account.cash(buffer=0.02)},
        {"costs": Costs.ibkr_tiered(slippage_bps=2.0), "risk_free": 0.03},
        {"start": "2006-01-01", "end": "2010-12-31", "benchmark": "IBM"},
    ],
    ids=", ".join,
)
def test_vectorbt_agrees_under_every_option(options):
    check = crosscheck(backtest(graded, sample(FOUR), **options))
    assert check.agrees, check


@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.sampled_from(["next_open", "next_close", "close"]),
    st.sampled_from([Costs.zero(), Costs.percent(0.001, slippage_bps=3.0), Costs.per_share(0.01)]),
    st.sampled_from(
        [Sizing(), ALL_IN, Sizing(whole_units=False), Sizing(allocation=0.3, rebalance="every_bar")]
    ),
)
@settings(max_examples=25)
def test_vectorbt_agrees_on_random_targets_over_bars_with_holes(seed, n_assets, fill, costs, sizing):
    rng = np.random.default_rng(seed)
    ends = {0: 20} if seed % 3 == 0 and n_assets > 1 else None
    bars = walk(60, n_assets, seed, holes=0.1 if seed % 2 else 0.0, ends=ends)
    target = np.where(
        rng.random(bars.shape) < 0.3, rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], bars.shape), np.nan
    )
    target = pd.DataFrame(target).ffill().fillna(0.0).to_numpy()
    check = crosscheck(backtest(target, bars, costs=costs, sizing=sizing, fill=fill))
    assert check.agrees, check


def test_fractions_all_in_leave_no_dust_behind():
    names = {
        c.name for c in crosscheck(backtest(swing, sample("AAPL"), sizing=ALL_IN)).comparisons if c.compared
    }
    assert {"n_trades", "pnl of trades", "win_rate"} <= names


def test_a_large_account_is_not_lost_in_the_rounding_of_vectorbt():
    # vectorbt drops what is left of cash below a billionth of what was spent: here, dollars.
    check = crosscheck(
        backtest(graded, sample(FOUR), cash=1e11, sizing=Sizing(price="fill", rebalance="every_bar"))
    )
    assert check.agrees, check
    assert check.table.loc["cash", "difference"] < 1e-12


def test_a_delisted_asset_is_closed_by_both():
    bars = walk(50, 2, ends={0: 30})
    check = crosscheck(backtest(np.ones((50, 2)), bars, costs=Costs.percent(0.001)))
    assert check.agrees, check
    assert {c.name: c.ours for c in check.comparisons}["fills"] == 3


def test_a_short_that_ends_in_ruin_is_followed_to_the_last_bar():
    bars = walk(40, scale=0.25, seed=3)
    result = backtest(
        np.full((40, 1), -1.0), bars, sizing=Sizing(allocation=2.0, max_leverage=2.0), costs=Costs.zero()
    )
    assert result.ruined_at is not None
    check = crosscheck(result)
    assert check.agrees, check
    assert "sharpe" in check.not_compared


def test_reversals_that_are_charged_as_two_orders_agree_trade_by_trade():
    bars, costs, sizing = walk(300, seed=3), Costs.per_share(0.005, minimum=1.0), Sizing.units(10)
    target = np.where(np.arange(300) % 9 < 5, 1.0, -1.0)[:, None]
    result = backtest(Signal(target, stop_loss=1.0), bars, costs=costs, sizing=sizing)
    assert set(result.fills["commission"][1:]) == {2.0}
    check = crosscheck(result)
    assert check.agrees, check
    assert {"costs paid", "pnl of trades"} <= {c.name for c in check.comparisons if c.compared}


def test_futures_are_compared_in_money_and_ticks_are_said_to_be_given():
    future = Instrument("ES", "FUT", multiplier=50.0, tick=0.25)
    bars = walk(200, instruments=(future,))
    check = crosscheck(backtest(swing, bars, cash=1e6))
    assert check.agrees, check
    table = check.table
    assert table.loc["fill prices", "basis"].startswith("given")
    assert table.loc["costs paid", "basis"].startswith("given")
    assert table.loc["cash", "basis"] == "computed by both"


def test_bars_with_a_zone_reach_vectorbt_without_one():
    frame = pd.DataFrame(
        {c: np.linspace(10.0, 11.0, 90) for c in ("open", "high", "low", "close")},
        index=pd.date_range("2024-01-02 14:31", periods=90, freq="1min", tz="UTC"),
    )
    result = backtest(np.ones((90, 1)), Bars.from_frame(frame, symbol="X", bar_size="1 min"))
    assert result.equity.index.tz is not None
    assert to_vectorbt(result).value().index.tz is None
    assert crosscheck(result).agrees


def test_a_run_that_never_trades_agrees_and_its_ratios_are_not_compared():
    check = crosscheck(backtest(np.zeros((30, 1)), walk(30)))
    assert check.agrees
    assert {"sharpe", "fill quantities", BOOKS, OWN} <= set(check.not_compared)


def test_one_bar_agrees():
    assert crosscheck(backtest(np.ones((1, 1)), walk(1), fill="close", costs=Costs.percent(0.01))).agrees


NUMBA = """
import numpy as np, vectorbt
from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.engine.crosscheck import crosscheck
from test_crosscheck import graded, walk
vectorbt.settings["engine"] = "numba"
check = crosscheck(backtest(graded, walk(150, 2), costs=Costs.percent(0.001)))
print(check)
check.raise_if_different()
"""


def test_the_numba_engine_of_vectorbt_agrees_too():
    # As plain Python: compiling vectorbt takes a minute where it was never done.
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", NUMBA], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "vectorbt agrees" in done.stdout


def test_the_rust_engine_of_vectorbt_agrees_too(monkeypatch):
    pytest.importorskip("vectorbt_rust")
    monkeypatch.setitem(vbt.settings, "engine", "rust")
    assert crosscheck(backtest(graded, sample(FOUR), costs=Costs.percent(0.001))).agrees


def test_the_portfolio_annualises_as_the_run_does():
    result = backtest(trend, sample("AAPL"))
    portfolio = result.to_vectorbt()
    assert isinstance(portfolio, vbt.Portfolio)
    assert portfolio.sharpe_ratio() == pytest.approx(result.stats["sharpe"], rel=1e-12)
    assert portfolio.annualized_volatility() == pytest.approx(result.stats["volatility"], rel=1e-12)
    assert portfolio.init_cash == 100_000
    assert portfolio.cash().min() < 0.0  # a gap at the open: what vectorbt by itself would not do


def test_the_settings_of_a_user_of_vectorbt_do_not_matter(monkeypatch):
    monkeypatch.setitem(vbt.settings.portfolio, "fees", 0.5)
    monkeypatch.setitem(vbt.settings.portfolio, "slippage", 0.5)
    monkeypatch.setitem(vbt.settings.portfolio, "size_granularity", 1000.0)
    monkeypatch.setitem(vbt.settings.returns, "year_freq", "1 day")
    assert crosscheck(backtest(graded, sample(FOUR))).agrees


def test_no_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crosscheck(backtest(graded, sample(FOUR)))


# -- planted errors ------------------------------------------------------------------------------------


def planted(result, **changes):
    """The result with parts of its run exchanged."""
    run = replace(result._records, **changes)
    return Result(result._setup, run, None, {}, data=result.bars, window=(None, None))


@pytest.fixture(scope="module")
def honest():
    return backtest(trend(sample("AAPL")), sample("AAPL"), costs=Costs.percent(0.001), sizing=ALL_IN)


def first_difference(result):
    check = crosscheck(result)
    assert not check.agrees
    with pytest.raises(MismatchError, match="vectorbt disagrees on") as caught:
        check.raise_if_different()
    return str(caught.value)


def test_a_commission_off_by_a_millionth_is_found_at_its_fill(honest):
    fills = honest._records.fills.copy()
    fills["commission"][7] *= 1.0 + 1e-6
    assert "fill costs at fill 7" in first_difference(planted(honest, fills=fills))


@pytest.mark.planted
def test_a_commission_off_by_a_millionth_throughout_is_found(honest):
    wrong = Setup.of(honest.bars, costs=Costs.percent(0.001 * (1.0 + 1e-6)), sizing=ALL_IN)
    run = wrong.run(honest._target, equity=True, record=True)
    result = Result(honest._setup, run, None, {}, data=honest.bars, window=(None, None))
    assert "fill costs" in first_difference(result)
    assert crosscheck(result).table.loc["costs paid", "difference"] == pytest.approx(1e-6, rel=0.1)


def test_a_commission_of_a_schedule_that_does_not_add_up_is_found():
    result = backtest(trend, sample("AAPL"))
    fills = result._records.fills.copy()
    fills["commission"][7] *= 1.0 + 1e-6
    assert "costs paid" in first_difference(planted(result, fills=fills))


@pytest.mark.planted
def test_a_fill_one_bar_late_is_found(honest):
    fills = honest._records.fills.copy()
    fills["bar"][5] += 1
    assert "fill bars at fill 5" in first_difference(planted(honest, fills=fills))


def test_an_engine_that_fills_every_order_one_bar_late_is_found(honest):
    late = np.concatenate((honest._target[:1], honest._target[:-1]))
    run = honest._setup.run(late, equity=True, record=True)
    orders = run.orders.copy()
    orders["bar"] -= 1
    assert "fill bars at fill 0" in first_difference(planted(honest, **(vars(run) | {"orders": orders})))


def test_a_doubled_order_is_found(honest):
    orders = honest._records.orders
    assert "fill quantities" in first_difference(planted(honest, orders=np.append(orders, orders[4:5])))


@pytest.mark.planted
def test_a_doubled_fill_is_found(honest):
    fills = honest._records.fills
    assert "fills: ours is" in first_difference(planted(honest, fills=np.append(fills, fills[4:5])))


@pytest.mark.planted
def test_a_quantity_off_by_one_share_is_found_in_the_books():
    result = backtest(trend, sample("AAPL"), sizing=Sizing(allocation=0.5))
    orders, fills = result._records.orders.copy(), result._records.fills.copy()
    orders["quantity"][6] += 1.0
    fills["quantity"][6] += 1.0
    check = crosscheck(planted(result, orders=orders, fills=fills))
    assert check.table.loc["fill quantities", "difference"] == 0.0
    assert check.table.loc[BOOKS, "difference"] > 1e-6


def test_a_wrong_statistic_is_found_by_its_name(honest):
    stats = honest._run.stats.copy()
    stats[list(honest.stats.index).index("sharpe")] *= 1.0 + 1e-6
    assert "sharpe: ours is" in first_difference(planted(honest, stats=stats))


@pytest.mark.planted
def test_equity_that_is_wrong_at_one_bar_is_found_there(honest):
    result = planted(honest)
    result.equity.iloc[1000] *= 1.0 + 1e-6
    assert f"equity at {honest.bars.index[1000]}" in first_difference(result)


@pytest.mark.planted
def test_a_price_off_by_a_millionth_is_found(honest):
    fills = honest._records.fills.copy()
    fills["price"][3] *= 1.0 + 1e-6
    assert "fill prices at fill 3" in first_difference(planted(honest, fills=fills))


@pytest.mark.planted
def test_a_trade_with_another_profit_is_found(honest):
    trades = honest._records.trades.copy()
    trades["pnl"][2] *= 1.0 + 1e-6
    assert "pnl of trades at trade 2" in first_difference(planted(honest, trades=trades))


def test_the_order_of_the_table_is_cause_before_effect(honest):
    names = [c.name for c in crosscheck(honest).comparisons]
    places = [
        names.index(n)
        for n in ("fills", "fill bars", "fill quantities", "fill prices", "cash", "equity", "sharpe")
    ]
    assert places == sorted(places)


def test_a_tolerance_that_is_too_tight_says_what_is_largest(honest):
    check = crosscheck(honest, tolerance=0.0)
    assert not check.agrees
    assert "DISAGREES" in repr(check)
    assert check.largest == check.worst.difference == check.table["difference"].max()


# -- what vectorbt has no place for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "costs", [Costs.percent(0.001, borrow=0.01), Costs.percent(0.0, interest=Interest(0.05))]
)
def test_borrow_and_interest_are_refused_with_the_way_out(costs):
    result = backtest(swing, sample("AAPL"), costs=costs)
    with pytest.raises(ParameterError, match=r"borrow=0\.0, interest=None"):
        crosscheck(result)


def test_a_sale_that_costs_more_than_it_brings_is_refused():
    costs = Costs.per_share(0.0, minimum=500.0)
    result = backtest(swing, walk(60), costs=costs, sizing=Sizing.units(1))
    with pytest.raises(ParameterError, match="does not pay for itself"):
        to_vectorbt(result)


def test_a_missing_vectorbt_names_the_extra(monkeypatch):
    real = builtins.__import__

    def no_vectorbt(name, *rest):
        if name == "vectorbt":
            raise ImportError(name)
        return real(name, *rest)

    result = backtest(np.ones((10, 1)), walk(10))
    monkeypatch.setattr(builtins, "__import__", no_vectorbt)
    with pytest.raises(MissingExtraError, match=r"pip install 'quantlab\[vectorbt\]'"):
        crosscheck(result)


# -- vectorbt's own sizing, and its signals here -----------------------------------------------------------


@pytest.mark.parametrize("fill", ["next_open", "next_close", "close"])
@pytest.mark.parametrize("strategy", [trend, swing])
def test_vectorbts_own_sizing_gives_the_same_equity_when_all_in(strategy, fill):
    result = backtest(strategy, sample("AAPL"), costs=Costs.percent(0.001), sizing=ALL_IN, fill=fill)
    assert crosscheck(result).table.loc[OWN, "difference"] < 1e-10


def test_vectorbts_own_sizing_cuts_to_whole_units_alike():
    raw = walk(400, seed=5)
    sizing = replace(ALL_IN, whole_units=True)
    for strategy in (trend, swing):
        result = backtest(strategy, raw, costs=Costs.percent(0.002), sizing=sizing)
        assert crosscheck(result).table.loc[OWN, "difference"] < 1e-10


def test_vectorbts_own_sizing_takes_slippage_alike_when_long_only():
    result = backtest(trend, sample("AAPL"), costs=Costs.percent(0.001, slippage_bps=5.0), sizing=ALL_IN)
    assert crosscheck(result).table.loc[OWN, "difference"] < 1e-10


def equity_of_signals(bars, *signals, rate):
    portfolio = vbt.Portfolio.from_signals(
        pd.Series(bars.close[:, 0]), *signals, fees=rate, init_cash=100_000.0, freq="1D"
    )
    return portfolio.value().to_numpy()


@given(st.integers(0, 100_000), st.booleans(), st.sampled_from([0.0, 0.001]), st.floats(0.05, 0.5))
@settings(max_examples=40)
def test_a_vectorbt_strategys_signals_give_vectorbts_equity(seed, shorts, rate, share):
    rng = np.random.default_rng(seed)
    bars = walk(80, seed=seed)
    signals = [rng.random(80) < share for _ in range(4 if shorts else 2)]
    result = backtest(
        from_vectorbt(*signals),
        bars,
        fill="close",
        sizing=ALL_IN,
        costs=Costs.percent(rate),
        account=Account.margin(),
    )
    if result.ruined_at is None:
        np.testing.assert_allclose(result.equity, equity_of_signals(bars, *signals, rate=rate), rtol=1e-9)


@pytest.mark.parametrize("shorts", [False, True])
def test_a_vectorbt_crossing_strategy_gives_vectorbts_equity_on_real_prices(shorts):
    bars = sample("AAPL")
    fast, slow = sma(bars.close, 10), sma(bars.close, 20)
    up, down = crossed_above(fast, slow)[:, 0], crossed_below(fast, slow)[:, 0]
    signals = (up, down, down, up) if shorts else (up, down)
    result = backtest(from_vectorbt(*signals), bars, fill="close", sizing=ALL_IN, costs=Costs.percent(0.001))
    np.testing.assert_allclose(result.equity, equity_of_signals(bars, *signals, rate=0.001), rtol=1e-9)
