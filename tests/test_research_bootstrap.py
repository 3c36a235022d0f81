"""Bootstrap intervals, shuffled trades, cost stress and data-snooping tests, on runs whose answer is known."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

import quantlab as ql
from quantlab.errors import DataError, MissingExtraError, ParameterError
from quantlab.research import bootstrap, pathstats
from quantlab.research.bootstrap import block_length, bootstrap_intervals
from quantlab.research.reality import coarsen, reality_check
from quantlab.research.stress import cost_stress
from quantlab.research.tradepaths import trade_paths
from tests.made_bars import make_bars

pytest.importorskip("arch")

ALL_IN = ql.Sizing(price="fill", whole_units=False)


def every(n_days, n_bars=400, n_assets=1):
    """Long for `n_days`, flat for as many, and so on."""
    target = (np.arange(n_bars) // n_days % 2 == 0).astype(float)
    return np.repeat(target[:, None], n_assets, axis=1)


@pytest.fixture(scope="module")
def run():
    bars = make_bars(400, ("A",), seed=3)
    return ql.backtest(every(7), bars, costs=ql.Costs.percent(0.001, slippage_bps=2), risk_free=0.02)


# -- statistics of many paths ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_assets", [1, 3])
def test_a_history_that_is_not_resampled_has_the_statistics_of_the_run(seed, n_assets):
    bars = make_bars(300, [f"A{k}" for k in range(n_assets)], seed=seed)
    result = ql.backtest(every(5 + seed, 300, n_assets), bars, risk_free=0.03)
    series = bootstrap._series(result)
    twice = np.repeat(series[:, None, :], 2, axis=1)
    found = pathstats.bar_statistics(twice, 100_000.0, 0.03 / result.bars_per_year, result.bars_per_year)
    found |= pathstats.trade_statistics(np.repeat(bootstrap._trades(result)[:, None, :], 2, axis=1))
    for name, values in found.items():
        assert values == pytest.approx([result.stats[name]] * 2, rel=1e-7, abs=1e-12), name
    left_out = set(result.stats.index) - set(found)
    costs = {"commission", "fees", "slippage", "spread", "borrow", "interest"}
    assert left_out == costs | {"n_orders", "n_trades"}


def test_flat_equity_has_no_ratios_and_no_drawdown():
    flat = np.zeros((4, 2, 50))
    found = pathstats.bar_statistics(flat, 100.0, 0.0, 252.0)
    assert all(
        math.isnan(x) for k in ("sharpe", "sortino", "skew", "psr", "beta", "calmar") for x in found[k]
    )
    assert found["max_drawdown"].tolist() == found["max_drawdown_bars"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("pnl", "factor", "kelly"),
    [([1.0, 2.0], math.inf, 1.0), ([-1.0, -2.0], 0.0, -math.inf), ([0.0], math.nan, 0.0)],
)
def test_trades_without_losses_or_wins_have_the_engines_limits(pnl, factor, kelly):
    trades = np.array([pnl, pnl, pnl])[:, None, :]
    found = pathstats.trade_statistics(trades)
    assert found["profit_factor"][0] == pytest.approx(factor, nan_ok=True)
    assert found["kelly"][0] == kelly


# -- intervals ---------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_intervals(run):
    one, again, other = (bootstrap_intervals(run, n_resamples=200, seed=s).table for s in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)


def test_every_statistic_lies_in_an_interval_that_has_its_order(run):
    found = bootstrap_intervals(run, n_resamples=300)
    table = found.table
    assert (table["low"] <= table["high"]).all()
    assert {"sharpe", "max_drawdown", "win_rate", "alpha", "kelly", "cvar_95"} <= set(table.index)
    for name in ("total_return", "sharpe", "volatility", "win_rate", "exposure"):
        assert table.loc[name, "low"] < run.stats[name] < table.loc[name, "high"]
        assert table.loc[name, "estimate"] == run.stats[name]
    json.dumps(found.describe(), allow_nan=False)


def test_the_interval_of_a_mean_has_the_width_of_theory():
    bars = make_bars(1000, ("A",), seed=11)
    result = ql.backtest(np.ones((1000, 1)), bars, costs=ql.Costs.zero(), sizing=ALL_IN)
    row = bootstrap_intervals(result, n_resamples=1000, length=1).table.loc["sharpe"]
    s = result.stats["sharpe"] / math.sqrt(result.bars_per_year)
    width = 2 * 1.96 * math.sqrt((1 + s * s / 2) / 1000) * math.sqrt(result.bars_per_year)
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.12)


def test_intervals_of_noise_hold_zero_about_as_often_as_they_say():
    held = []
    for seed in range(30):
        bars = make_bars(250, ("A",), seed=seed)
        result = ql.backtest(np.ones((250, 1)), bars, costs=ql.Costs.zero(), sizing=ALL_IN)
        drift = 0.02**2 / 2  # of the exponential of a symmetric walk
        row = bootstrap_intervals(result, n_resamples=100, confidence=0.8, length=2, seed=seed).table.loc[
            "sharpe"
        ]
        truth = drift / 0.02 * math.sqrt(result.bars_per_year)
        held.append(row["low"] <= truth <= row["high"])
    assert 0.6 <= np.mean(held) <= 0.95


def test_blocks_grow_with_the_memory_of_returns():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=3000)
    slow = np.convolve(noise, 0.9 ** np.arange(60), "same")
    assert block_length(slow) > 5 * block_length(noise)
    assert block_length(np.zeros(50)) == 1.0
    assert block_length(np.column_stack((slow, np.zeros(3000)))) == block_length(slow)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_resamples": 50}, "100 or more"),
        ({"n_resamples": True}, "100 or more"),
        ({"confidence": 95}, "confidence"),
        ({"length": 0.5}, "from 1 to 400"),
        ({"length": 401}, "from 1 to 400"),
    ],
)
def test_options_out_of_range_are_refused(run, options, said):
    with pytest.raises(ParameterError, match=said):
        bootstrap_intervals(run, **options)


def test_runs_that_are_too_short_or_ruined_are_refused():
    short = ql.backtest(np.ones((10, 1)), make_bars(10, ("A",)))
    with pytest.raises(DataError, match="10 bars"):
        bootstrap_intervals(short)
    bars = make_bars(60, ("A",), seed=1)
    price = np.where(np.arange(60) < 30, 10.0, 40.0)[:, None]
    from tests.made_bars import rebuilt

    ruined = ql.backtest(-np.ones((60, 1)), rebuilt(bars, open=price, high=price, low=price, close=price))
    assert ruined.ruined_at is not None
    with pytest.raises(DataError, match="ruined"):
        bootstrap_intervals(ruined)


def test_few_trades_get_no_interval_and_bars_do():
    result = ql.backtest(every(60), make_bars(400, ("A",)))
    table = bootstrap_intervals(result, n_resamples=100).table
    assert "win_rate" not in table.index
    assert "sharpe" in table.index


@pytest.mark.parametrize("call", [bootstrap_intervals, lambda r: reality_check(np.ones((30, 2)))])
def test_without_arch_the_extra_is_named(run, monkeypatch, call):
    monkeypatch.setitem(sys.modules, "arch", None)
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
    with pytest.raises(MissingExtraError, match=r"arch.*quantlab\[research\]"):
        call(run)


# -- trades ------------------------------------------------------------------------------------------------


def test_trades_in_their_order_end_where_the_run_ended():
    bars = make_bars(400, ("A",), seed=5)
    target = every(7)
    target[-10:] = 0.0
    result = ql.backtest(target, bars)
    row = trade_paths(result, n_paths=100).table.loc["resampled final_equity"]
    assert row["actual"] == pytest.approx(result.stats["final_equity"], rel=1e-12)


def test_shuffling_changes_the_way_and_drawing_the_end(run):
    found = trade_paths(run, n_paths=2000, seed=1)
    assert len(np.unique(found.shuffled_drawdown)) > 100
    assert np.std(found.resampled_equity) > 0
    table = found.table
    quantiles = table[["5%", "25%", "50%", "75%", "95%"]].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert 0 <= found.share_of_worse_orders <= 1
    assert table.loc["shuffled max_drawdown", "actual"] >= run.stats["max_drawdown"] - 1e-12
    json.dumps(found.describe(), allow_nan=False)


def test_the_worst_order_of_two_kinds_of_trades_is_known():
    from quantlab.research.tradepaths import _growth

    gains = np.array([[0.1, 0.1, -0.1, -0.1], [-0.1, 0.1, -0.1, 0.1], [-1.5, 0.5, 0.5, 0.5]])
    depths = pathstats.max_drawdown(_growth(gains))
    assert depths == pytest.approx([0.81 - 1, 0.9 * 1.1 * 0.9 - 1, -1.0])


def test_equal_trades_have_one_path():
    bars = make_bars(60, ("A",))
    price = 100 * 1.01 ** np.arange(60)[:, None]
    from tests.made_bars import rebuilt

    steady = rebuilt(bars, open=price, high=price, low=price, close=price)
    found = trade_paths(ql.backtest(every(5, 60), steady, costs=ql.Costs.zero(), sizing=ALL_IN), n_paths=100)
    assert np.ptp(found.resampled_equity) == pytest.approx(0.0, abs=1e-6)
    assert found.probability_of_loss == found.share_of_worse_orders == 0.0


def test_few_trades_are_not_shuffled():
    result = ql.backtest(every(150), make_bars(400, ("A",)))
    with pytest.raises(DataError, match="closed"):
        trade_paths(result)


# -- costs -------------------------------------------------------------------------------------------------


def test_a_variant_is_the_backtest_at_those_costs(run):
    found = cost_stress(run, multipliers=(1, 3), slippages_bps=(0, 10)).table
    own = ql.Costs.percent(0.001, slippage_bps=2)
    expected = [own, own.stressed(3), own.replace(slippage_bps=0), own.replace(slippage_bps=10)]
    for costs, row in zip(expected, found.to_dict("records"), strict=True):
        stats = ql.backtest(every(7), run._data, costs=costs, risk_free=0.02).stats
        for name in ("total_return", "cagr", "sharpe", "max_drawdown", "n_trades"):
            assert row[name] == stats[name]
        assert row["costs"] == pytest.approx(stats["commission"] + stats["slippage"], rel=1e-12)


def steady_bars(n_bars=400, growth=0.001):
    from tests.made_bars import rebuilt

    price = 100 * (1 + growth) ** np.arange(n_bars)[:, None]
    return rebuilt(make_bars(n_bars, ("A",)), open=price, high=price, low=price, close=price)


def test_the_break_even_is_where_nothing_is_earned():
    # Bought and sold every ten bars: each round trip of ten bars earns 1.001^10 and pays twice the slippage.
    result = ql.backtest(every(10), steady_bars(), costs=ql.Costs.zero(), sizing=ALL_IN)
    found = cost_stress(result)
    gain = 1.001**10
    assert found.break_even_bps == pytest.approx(1e4 * (gain - 1) / (gain + 1), rel=0.05)
    at = result._setup.costs.replace(slippage_bps=found.break_even_bps)
    assert ql.backtest(every(10), steady_bars(), costs=at, sizing=ALL_IN).stats["total_return"] <= 0
    json.dumps(found.describe(), allow_nan=False)


def test_what_loses_breaks_even_nowhere_and_what_never_trades_never():
    loser = ql.backtest(every(10), steady_bars(growth=-0.001))
    assert cost_stress(loser).break_even_bps == cost_stress(loser).break_even_multiple == 0.0
    holder = ql.backtest(np.ones((400, 1)), steady_bars(growth=0.01), costs=ql.Costs.percent(0.0001))
    assert cost_stress(holder).break_even_bps == math.inf


def test_a_stress_of_nothing_is_refused(run):
    with pytest.raises(ParameterError, match="at least one"):
        cost_stress(run, multipliers=(), slippages_bps=())
    with pytest.raises(ParameterError, match="multiplier"):
        cost_stress(run, multipliers=(-1,))


# -- reality check -----------------------------------------------------------------------------------------


def noise(n_obs, n_trials, seed=0):
    return np.random.default_rng(seed).normal(0.0, 0.01, (n_obs, n_trials))


def test_one_trial_with_skill_is_found_among_noise():
    returns = noise(600, 15)
    returns[:, 4] += 0.002
    found = reality_check(returns, n_resamples=400)
    assert found.p_white < 0.02
    assert found.p_spa < 0.02
    assert found.superior == (4,)
    assert found.best == 4
    json.dumps(found.describe(), allow_nan=False)


def test_all_trials_with_skill_are_found():
    assert reality_check(noise(600, 4) + 0.003, n_resamples=200).superior == (0, 1, 2, 3)


def test_noise_is_seldom_called_skill():
    found = [reality_check(noise(120, 6, s), n_resamples=100, length=1) for s in range(40)]
    assert np.mean([f.p_spa < 0.1 for f in found]) < 0.3
    assert np.mean([f.p_spa < 0.5 for f in found]) == pytest.approx(0.5, abs=0.25)
    assert np.mean([bool(f.superior) for f in found]) < 0.2


def test_a_wild_trial_does_not_hide_a_calm_one_that_is_better():
    returns = noise(800, 6, 3)
    returns[:, 0] *= 30
    returns[:, 1] += 0.0012
    found = reality_check(returns, n_resamples=400)
    assert found.p_spa < 0.05 < found.p_white
    assert found.superior == (1,)


def test_one_trial_has_the_p_value_of_a_test_of_its_mean():
    returns = noise(1000, 1, 8)
    z = returns.mean() / (returns.std() / math.sqrt(1000))
    found = reality_check(returns, n_resamples=2000, length=1)
    expected = 0.5 * math.erfc(z / math.sqrt(2))
    assert found.p_white == pytest.approx(expected, abs=0.04)
    assert found.p_spa_upper == pytest.approx(expected, abs=0.04)


def test_the_benchmark_is_subtracted_bar_by_bar():
    other = noise(200, 1, 9)[:, 0] + 0.01
    returns = noise(200, 5)
    against = reality_check(returns + other[:, None], other, n_resamples=100)
    alone = reality_check(returns, n_resamples=100)
    assert (against.p_white, against.p_spa) == (alone.p_white, alone.p_spa)
    assert reality_check(returns + 0.002, n_resamples=100).p_white < alone.p_white


def test_trials_that_cannot_be_compared_keep_their_columns():
    returns = np.insert(noise(400, 4) + 0.004, [0, 2], [0.0, np.nan], axis=1)
    found = reality_check(returns, n_resamples=100)
    assert found.superior == (1, 2, 4, 5)
    assert found.n_trials == 4


def test_long_series_are_summed_to_steps():
    returns = noise(5003, 3) + 0.0005
    steps = coarsen(returns, 1000)
    assert steps.shape == (1000, 3)
    assert steps.sum(axis=0) == pytest.approx(returns.sum(axis=0))
    found = reality_check(returns, n_resamples=100)
    assert found.bars_per_step == pytest.approx(5.003)
    assert coarsen(returns[:7], 1000).shape == (7, 3)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: reality_check(np.ones(50)), DataError, "n_bars, n_trials"),
        (lambda: reality_check(noise(50, 2), np.ones(49)), DataError, "n_bars, n_trials"),
        (lambda: reality_check(noise(10, 2)), DataError, "10 bars"),
        (lambda: reality_check(noise(50, 2), np.nan), DataError, "not finite"),
        (lambda: reality_check(np.zeros((50, 2))), DataError, "none of 2"),
        (lambda: reality_check(noise(50, 2), size=0.9), ParameterError, "size"),
        (lambda: reality_check(noise(50, 2), length=0), ParameterError, "steps"),
    ],
)
def test_what_cannot_be_tested_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
