"""Walk-forward and cross-validation: against naive twins, and against what must not be seen."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_bars import make_bars

import quantlab as ql
from quantlab.errors import DataError, ParameterError, StrategyError, UnknownNameError
from quantlab.kernels.stats import STATS
from quantlab.research import windows
from quantlab.research.folds import best_of, moment_stats
from quantlab.research.scramble import RISE, Scrambler
from quantlab.research.walkforward import walk_forward as run
from quantlab.signal import Signal
from quantlab.signals import sma
from quantlab.strategy import strategy

N = 400
QUIET = {"workers": 1, "progress": False}


def walk_forward(*given, **options):
    return run(*given, **QUIET, **options)


@strategy(fast=(3, 5, 8), slow=(10, 20, 40))
def cross(bars, fast=5, slow=20):
    """Long while the fast average is above the slow one."""
    return sma(bars.close, fast) > sma(bars.close, slow)


@strategy(days=(5, 10, 20))
def leaning(bars, days=10):
    """Lean with the distance from the average, long and short."""
    return np.clip(np.nan_to_num(10.0 * (bars.close / sma(bars.close, days) - 1.0)), -1.0, 1.0)


def level(bars, params):
    return np.nanquantile(bars.close, params["share"], axis=0)


@strategy(fit=level, share=(0.3, 0.5, 0.7))
def above_level(bars, share=0.5, *, model=None):
    return bars.close > model


@strategy(days=(5, 10, 20), stop=(0.01, 0.03))
def guarded(bars, days=10, stop=0.03):
    up = bars.close > sma(bars.close, days)
    return Signal(up, entry=up & (np.arange(len(up)) % 9 == 0)[:, None], stop_loss=stop, take_profit=2 * stop)


@pytest.fixture(scope="module")
def bars():
    return make_bars(N, seed=4)


@pytest.fixture(scope="module")
def rolled(bars):
    return walk_forward(cross, bars, train=150, test=50)


def sets_of(idea):
    return list(idea.parameter_sets())


def naive_sharpe(returns, bars_per_year):
    return returns.mean() / returns.std(ddof=1) * np.sqrt(bars_per_year)


# -- windows -------------------------------------------------------------------------------------------


def test_each_window_takes_the_set_that_a_loop_over_backtests_takes(bars, rolled):
    for number, row in rolled.table.iterrows():
        start = 50 * number
        window = {"start": bars.index[start], "end": bars.index[start + 149]}
        sharpes = [ql.backtest(cross, bars, p, **window).stats["sharpe"] for p in sets_of(cross)]
        best = int(np.nanargmax(sharpes))
        assert {"fast": row.fast, "slow": row.slow} == sets_of(cross)[best]
        assert row.in_sample == row.in_sharpe == sharpes[best]
        assert row.n_trials == 9
        assert (row.train_start, row.train_end) == tuple(window.values())


def test_the_statistics_of_a_test_are_those_of_a_backtest_of_that_window(bars, rolled):
    for _, row in rolled.table.iterrows():
        params = {"fast": int(row.fast), "slow": int(row.slow)}
        result = ql.backtest(cross, bars, params, start=row.test_start, end=row.test_end)
        for name in STATS:
            assert np.array_equal(row[f"out_{name}"], result.stats[name], equal_nan=True)


def test_the_tests_cover_every_bar_after_the_first_training_once(bars, rolled):
    table = rolled.table
    assert table.test_start[0] == bars.index[150]
    assert table.test_end.iloc[-1] == bars.index[-1]
    for end, start in zip(table.test_end[:-1], table.test_start[1:], strict=True):
        assert bars.index.get_loc(start) == bars.index.get_loc(end) + 1
    assert rolled.equity.index.equals(bars.index[150:])


@pytest.mark.parametrize("idea", [cross, leaning, guarded])
@pytest.mark.parametrize("method", ["rolling", "anchored", "kfold", "cpcv"])
def test_with_one_set_the_stitched_run_is_one_backtest_to_the_last_bit(bars, idea, method):
    windows = method in {"rolling", "anchored"}
    sizes = {"train": 100, "test": 37} if windows else {"groups": 5, "purge": 3}
    found = walk_forward(idea, bars, [{}], method=method, **sizes)
    result = ql.backtest(idea, bars, start=bars.index[100] if windows else None)
    for path in range(found.n_paths):
        assert np.array_equal(found.path(path).stats.to_numpy(), result.stats.to_numpy(), equal_nan=True)
    assert found.equity.equals(result.equity)


def test_the_stitched_run_is_the_backtest_of_the_targets_put_together(bars, rolled):
    target = np.zeros(bars.shape)
    for row in rolled.schedule.itertuples():
        start, stop = bars.index.get_loc(row.start), bars.index.get_loc(row.end) + 1
        signal = sma(bars.close, row.fast) > sma(bars.close, row.slow)
        target[start:stop] = signal[start:stop]
    result = ql.backtest(target, bars, start=bars.index[150])
    assert np.array_equal(rolled.stats.to_numpy(), result.stats.to_numpy(), equal_nan=True)
    assert len(set(zip(rolled.schedule.fast, rolled.schedule.slow, strict=True))) > 1
    assert rolled.stats.name == "cross"


def test_anchored_training_begins_with_the_first_bar(bars):
    table = walk_forward(cross, bars, method="anchored", train=150, test=100).table
    assert (table.train_start == bars.index[0]).all()
    assert table.n_train.tolist() == [150, 250, 350]
    assert table.n_test.tolist() == [100, 100, 50]


def test_a_purge_ends_the_training_earlier(bars):
    row = walk_forward(cross, bars, train=150, test=100, purge=7).table.iloc[0]
    assert bars.index.get_loc(row.test_start) - bars.index.get_loc(row.train_end) == 8


def test_bars_outside_start_and_end_neither_train_nor_test_but_warm_up(bars):
    options = {"start": bars.index[60], "end": bars.index[299]}
    found = walk_forward(cross, bars, [{"slow": 40}], train=100, test=70, **options)
    assert found.table.train_start[0] == bars.index[60]
    assert found.table.test_end.iloc[-1] == bars.index[299]
    result = ql.backtest(cross, bars, {"slow": 40}, start=bars.index[160], end=bars.index[299])
    assert found.equity.equals(result.equity)


@pytest.mark.parametrize(
    ("given", "n_bars"), [(80, 80), (0.2, 80), ("1 year", 252), ("3 months", 63), ("2 weeks", 10)]
)
def test_a_length_is_bars_a_share_or_a_time(bars, given, n_bars):
    found = walk_forward(cross, bars, [{}], train=given, test=100)
    assert found.table.n_train[0] == found.settings["train"] == n_bars


def test_less_is_better_where_it_is(bars):
    row = walk_forward(cross, bars, train=200, test=200, metric="turnover").table.iloc[0]
    window = {"start": bars.index[0], "end": bars.index[199]}
    assert row.in_sample == min(
        ql.backtest(cross, bars, p, **window).stats["turnover"] for p in sets_of(cross)
    )


def test_the_parameters_change_after_the_market_does():
    # Two bars up and two down, then six and six: the short average earns in the first, the long one in the second.
    swings = np.concatenate((np.tile([1.0, 1.0, -1.0, -1.0], 50), np.tile(np.repeat([1.0, -1.0], 6), 34)))[
        :600
    ]
    close = 100.0 * np.exp(np.cumsum(0.01 * swings))[:, None]
    plain = make_bars(600, ("A",))
    bars = replace(plain, open=close, high=close, low=close, close=close)

    @strategy(back=(2, 4, 6))
    def opposite(bars, back=2):
        move = np.zeros(bars.shape)
        move[back:] = bars.close[back:] - bars.close[:-back]
        return np.sign(np.round(move, 9)) if back != 2 else -np.sign(np.round(move, 9))

    found = walk_forward(opposite, bars, train=100, test=50, costs=ql.Costs.zero())
    chosen = found.schedule.back.tolist()
    assert len(set(chosen)) > 1
    for number, row in found.table.iterrows():
        window = {"start": row.train_start, "end": row.train_end, "costs": ql.Costs.zero()}
        sharpes = {b: ql.backtest(opposite, bars, {"back": b}, **window).stats["sharpe"] for b in (2, 4, 6)}
        assert chosen[number] == max(sharpes, key=lambda b: np.nan_to_num(sharpes[b], nan=-np.inf))


def test_efficiency_is_the_mean_out_of_sample_over_the_mean_in_sample(rolled):
    table = rolled.table
    assert rolled.efficiency == pytest.approx(table.out_sharpe.mean() / table.in_sharpe.mean(), rel=1e-12)


# -- nothing is seen too early -------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.integers(120, N - 2), st.sampled_from(["rolling", "anchored"]), st.booleans())
def test_no_later_bar_changes_an_earlier_window_or_its_equity(cut, method, fitted):
    bars = make_bars(N, seed=4)
    other = Scrambler(bars, 1).future(cut, RISE)
    idea = above_level if fitted else cross
    ours, theirs = (walk_forward(idea, b, method=method, train=100, test=40) for b in (bars, other))
    done = int((ours.table.test_start <= bars.index[cut]).sum())
    chosen = list(ours.strategy.grid)
    assert ours.table[chosen][:done].equals(theirs.table[chosen][:done])
    known = bars.index[: cut + 1]
    assert ours.equity.reindex(known).equals(theirs.equity.reindex(known))


# -- cross-validation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("idea", [cross, leaning])
def test_each_split_takes_the_set_that_is_best_on_its_training_bars(bars, idea):
    sizes = {"groups": 5, "test_groups": 2, "purge": 4, "embargo": 3}
    found = walk_forward(idea, bars, method="cpcv", **sizes)
    sets = sets_of(idea)
    returns = np.stack([ql.backtest(idea, bars, p).returns.to_numpy() for p in sets], axis=1)
    assert len(found.folds) == 10
    for fold, row in zip(found.folds, found.table.itertuples(), strict=True):
        train, test = (
            np.concatenate([np.arange(*s) for s in x]) for x in (fold.split.train, fold.split.test)
        )
        inside = [naive_sharpe(r[train], bars.bars_per_year) for r in returns.T]
        best = int(np.argmax(inside))
        assert fold.params == sets[best]
        assert row.in_sample == pytest.approx(inside[best], rel=1e-9)
        outside = naive_sharpe(returns[test, best], bars.bars_per_year)
        assert row.out_of_sample == pytest.approx(outside, rel=1e-9)
        assert row.out_mean_return == pytest.approx(returns[test, best].mean() * bars.bars_per_year, rel=1e-9)


def test_one_sweep_serves_all_splits(bars, monkeypatch):
    from quantlab.research import crossvalidation

    calls, real = [], crossvalidation.sweep

    def counted(*given, **options):
        calls.append(options["edges"].tolist())
        return real(*given, **options)

    monkeypatch.setattr(crossvalidation, "sweep", counted)
    walk_forward(cross, bars, method="kfold", groups=4, purge=2, embargo=3)
    assert calls == [[0, 98, 100, 105, 198, 200, 205, 298, 300, 305, 400]]


def test_k_fold_tests_every_group_once_on_one_path(bars):
    found = walk_forward(cross, bars, method="kfold", groups=5)
    assert found.n_paths == 1
    assert found.table.groups.tolist() == ["0", "1", "2", "3", "4"]
    assert found.schedule.fold.tolist() == [0, 1, 2, 3, 4]
    assert found.equity.index.equals(bars.index)
    assert found.notes[0].startswith("Stitched from tests whose training has later bars")


def test_combinatorial_paths_are_a_distribution_and_the_median_is_shown(bars):
    found = walk_forward(cross, bars, method="cpcv")
    assert (len(found.folds), found.n_paths, len(found.paths)) == (15, 5, 5)
    sharpes = found.paths["sharpe"]
    assert found.stats["sharpe"] == sharpes.sort_values().iloc[2]
    for number in range(5):
        assert found.path(number).stats["sharpe"] == sharpes[number]


def test_a_path_is_the_backtest_of_what_its_splits_chose_for_each_group(bars):
    found = walk_forward(cross, bars, method="cpcv", groups=4)
    # Paths of 4 groups of which 2 test: splits 01 02 03 12 13 23, so that path 1 takes 02 for group 0 and so on.
    for path, splits in enumerate([(0, 0, 1, 2), (1, 3, 3, 4), (2, 4, 5, 5)]):
        target = np.zeros(bars.shape)
        for group, split in enumerate(splits):
            p = found.folds[split].params
            signal = sma(bars.close, p["fast"]) > sma(bars.close, p["slow"])
            target[100 * group : 100 * (group + 1)] = signal[100 * group : 100 * (group + 1)]
        assert found.path(path).equity.equals(ql.backtest(target, bars).equity)


def test_moments_of_all_parts_give_the_sharpe_ratio_of_the_run(bars):
    result = ql.backtest(cross, bars, risk_free=0.03)
    returns = result.returns.to_numpy()
    edges = np.array([0, 30, 100, 399, 400])
    moments = np.array([[[p.sum(), (p * p).sum()] for p in (returns[a:b] for a, b in pairwise(edges))]])
    bpy = bars.bars_per_year
    stats = moment_stats(moments, edges, np.ones(4, bool), risk_free=0.03 / bpy, bars_per_year=bpy)
    assert stats["sharpe"][0] == pytest.approx(result.stats["sharpe"], rel=1e-9)
    assert stats["mean_return"][0] == pytest.approx(returns.mean() * bpy, rel=1e-9)


def test_a_constant_has_no_sharpe_ratio_and_is_never_the_best():
    moments = np.array([[[0.0, 0.0]], [[0.1, 0.01 / 10]], [[0.05, 0.02]], [[np.nan, np.nan]]])
    stats = moment_stats(moments, np.array([0, 10]), np.ones(1, bool), risk_free=0.0, bars_per_year=252.0)
    assert np.isnan(stats["sharpe"]).tolist() == [True, True, False, True]
    assert best_of(stats["sharpe"]) == 2
    assert best_of(np.full(3, np.nan)) == -1


def test_a_ruined_trial_is_not_chosen():
    fall = np.full(200, 100.0)
    fall[:90] = np.linspace(50.0, 140.0, 90)  # rises splendidly, then falls to less than was borrowed
    fall[90:] = 5.0
    plain = make_bars(200, ("A",))
    close = fall[:, None]
    bars = replace(plain, open=close, high=close, low=close, close=close)

    @strategy(size=(0.1, 1.0))
    def always(bars, size=0.1):
        return np.full(bars.shape, size)

    sizing = ql.Sizing(allocation=1.9, max_leverage=2.0)
    assert ql.backtest(always, bars, {"size": 1.0}, sizing=sizing).ruined_at is not None
    found = walk_forward(always, bars, method="kfold", groups=2, sizing=sizing, metric="mean_return")
    assert found.table["size"].tolist() == [0.1, 0.1]
    assert found.table.n_trials.tolist() == [1, 1]
    found = walk_forward(always, bars, train=150, test=50, sizing=sizing, metric="exposure")
    assert (found.table["size"][0], found.table.n_trials[0]) == (0.1, 1)

    @strategy(fit=lambda training, params: params["size"], size=(0.1, 1.0))
    def learned(bars, size=0.1, model=None):
        return np.full(bars.shape, model)

    for options in (
        {"method": "kfold", "groups": 2, "metric": "mean_return"},
        {"train": 150, "test": 50, "metric": "exposure"},
    ):
        fold = walk_forward(learned, bars, sizing=sizing, **options).folds[0]
        assert (fold.params, fold.strategy.defaults, fold.n_trials) == ({"size": 0.1}, {"size": 0.1}, 1)


# -- fitted strategies ---------------------------------------------------------------------------------


def test_every_window_is_refitted_on_its_training_bars_alone(bars):
    seen = []

    def learn(training, params):
        seen.append((training.index[0], training.index[-1], training.n_bars, params["share"]))
        return level(training, params)

    idea = strategy(fit=learn, share=(0.3, 0.7))(above_level.function)
    found = walk_forward(idea, bars, train=150, test=100)
    spans = [(bars.index[k], bars.index[k + 149], 150) for k in (0, 100, 200)]
    assert seen == [(*span, share) for span in spans for share in (0.3, 0.7)]
    for row in found.schedule.itertuples():
        training = bars.between(row.train_start, row.train_end)
        assert row.model == str(idea.fitted(training, {"share": row.share}).fitting)


def test_a_fitted_window_takes_the_set_whose_model_did_best_on_the_training(bars):
    found = walk_forward(above_level, bars, train=150, test=100)
    target = np.zeros(bars.shape)
    for number, row in found.table.iterrows():
        start = 100 * number
        training, window = bars.take(slice(start, start + 150)), (row.train_start, row.train_end)
        runs = {}
        for share in (0.3, 0.5, 0.7):
            signal = bars.close > np.quantile(training.close, share, axis=0)
            runs[share] = signal, ql.backtest(signal, bars, start=window[0], end=window[1]).stats["sharpe"]
        best = max(runs, key=lambda s: np.nan_to_num(runs[s][1], nan=-np.inf))
        assert (row.share, row.in_sample) == (best, runs[best][1])
        rows = slice(start + 150, start + 250)
        target[rows] = runs[best][0][rows]
    assert found.equity.equals(ql.backtest(target, bars, start=bars.index[150]).equity)


def test_the_model_that_runs_is_the_one_of_the_chosen_set_also_where_less_is_better(bars):
    found = walk_forward(above_level, bars, train=150, test=100, metric="turnover")
    for fold in found.folds:
        (start, stop), *_ = fold.split.train
        window = {"start": bars.index[start], "end": bars.index[stop - 1]}
        models = [above_level.fitted(bars.take(slice(start, stop)), {"share": s}) for s in (0.3, 0.5, 0.7)]
        turnovers = [ql.backtest(m, bars, **window).stats["turnover"] for m in models]
        assert fold.inside["turnover"] == min(turnovers)
        assert fold.strategy.source_hash == models[int(np.argmin(turnovers))].source_hash
        assert fold.params == fold.strategy.defaults


def test_a_fitted_split_is_fitted_on_its_training_spans_joined(bars):
    found = walk_forward(above_level, bars, method="kfold", groups=4, purge=5, embargo=5)
    fold = found.folds[1]
    rows = np.r_[0:95, 210:400]
    assert fold.split.train == ((0, 95), (210, 400))
    expected = bars.close > np.quantile(bars.close[rows], fold.params["share"], axis=0)
    assert np.array_equal(fold.strategy.evaluate(bars).target, expected)
    run = ql.backtest(expected, bars).returns.to_numpy()
    assert fold.inside["sharpe"] == pytest.approx(naive_sharpe(run[rows], bars.bars_per_year), rel=1e-9)


def test_a_fit_reached_through_walk_forward_sees_no_other_bar(bars):
    lengths = set()

    def look_around(training, params):
        array = training.close
        while array is not None:
            lengths.add(len(array))
            array = array.base
        return level(training, params)

    walk_forward(strategy(fit=look_around)(above_level.function), bars, train=150, test=100)
    assert lengths == {150}


# -- what goes wrong -----------------------------------------------------------------------------------


def test_a_window_in_which_every_trial_fails_stays_flat_and_says_why(bars):
    @strategy(days=(5, 10))
    def late(bars, days=5):
        if bars.n_bars < 200:
            raise ValueError("too early")
        return np.ones(bars.shape)

    found = walk_forward(late, bars, train=150, test=100)
    first = found.table.iloc[0]
    assert re.match("none of 2 trials has a sharpe in the training; 2 failed, .*too early", first.error)
    assert np.isnan(first.out_of_sample)
    assert (found.equity[:100] == 100_000.0).all()
    assert found.schedule.fold.tolist() == [-1, 1, 2]
    assert found.table.error[1:].isna().all()
    assert found.table.days.tolist() == [None, 5, 5]
    assert found.schedule.days.tolist() == [None, 5, 5]
    assert found.equity.iloc[-1] != 100_000.0
    assert found.notes[0].startswith("1 of 3 folds stay flat, the first (0) since none of 2 trials")


def test_a_fit_that_fails_is_the_error_of_its_window(bars):
    def picky(training, params):
        if training.close[0, 0] == bars.close[0, 0]:
            raise ValueError("not these")
        return level(training, params)

    for method, sizes in (("rolling", {"train": 150, "test": 100}), ("kfold", {"groups": 4})):
        found = walk_forward(strategy(fit=picky)(above_level.function), bars, method=method, **sizes)
        failed = found.table.error.notna().tolist()
        assert failed == ([True, False, False] if method == "rolling" else [False, True, True, True])
        assert "the fit of above_level(share=0.5) raised ValueError" in found.table.error[int(failed[1])]


def test_a_strategy_that_never_trades_is_flat_throughout(bars):
    found = walk_forward(lambda bars: np.zeros(bars.shape), bars, train=150, test=100)
    assert found.table.error.str.contains("never traded").all()
    assert (found.equity == 100_000.0).all()
    assert np.isnan(found.efficiency)


def test_an_interrupted_walk_keeps_the_windows_that_were_finished(bars, monkeypatch):
    real, calls = windows.sweep, []

    def stopping(*given, **options):
        calls.append(1)
        result = real(*given, **options)
        if len(calls) == 3:
            result.complete = False
        return result

    monkeypatch.setattr(windows, "sweep", stopping)
    found = walk_forward(cross, bars, train=150, test=50)
    assert (found.complete, len(found.folds)) == (False, 2)
    assert found.equity.index.equals(bars.index[150:250])
    assert "Interrupted after 2 windows." in found.notes
    calls[:] = [1, 1]
    with pytest.raises(KeyboardInterrupt):
        walk_forward(cross, bars, train=150, test=50)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "roling"}, UnknownNameError, "did you mean 'rolling'"),
        ({"metric": "sharp"}, UnknownNameError, "did you mean 'sharpe'"),
        ({"metric": "mean_return"}, ParameterError, "one of cross-validation"),
        ({"method": "cpcv", "metric": "calmar"}, ParameterError, "needs equity bar by bar"),
        ({"groups": 5}, ParameterError, "groups=5 means nothing with method='rolling'"),
        ({"embargo": 5}, ParameterError, "embargo=5 means nothing"),
        ({"method": "kfold", "train": 50}, ParameterError, "train=50 means nothing with method='kfold'"),
        ({"method": "kfold", "test_groups": 2}, ParameterError, "test_groups=2 means nothing"),
        ({"train": "soon"}, ParameterError, "train='soon'; a number of bars"),
        ({"train": 1.5}, ParameterError, "train=1.5"),
        ({"train": True}, ParameterError, "train=True"),
        ({"train": N}, ParameterError, "leave none of 400 bars"),
        ({"where": "fats < slow"}, UnknownNameError, "fast"),
    ],
)
def test_options_that_cannot_be_are_refused(bars, options, error, message):
    with pytest.raises(error, match=message):
        walk_forward(cross, bars, **options)


def test_something_else_than_a_strategy_or_bars_is_refused(bars):
    with pytest.raises(StrategyError, match="a strategy"):
        walk_forward(3, bars)
    with pytest.raises(DataError, match="Bars"):
        walk_forward(cross, bars.close)


# -- the ledger ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idea", "method", "sweeps", "trials"),
    [
        (cross, "rolling", 3, 9),
        (above_level, "rolling", 3, 3),
        (cross, "kfold", 1, 9),
        (above_level, "kfold", 4, 3),
    ],
)
def test_every_trial_is_entered_in_the_ledger(bars, tmp_path, monkeypatch, idea, method, sweeps, trials):
    from quantlab.research.record import find_ledger

    (tmp_path / "quantlab.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    sizes = {"train": 150, "test": 100} if method == "rolling" else {"groups": 4}
    walk_forward(idea, bars, method=method, **sizes)
    entries = find_ledger().entries()
    assert entries["kind"].tolist() == ["walk_forward"] * sweeps
    assert entries["n_trials"].tolist() == [trials] * sweeps


# -- showing -------------------------------------------------------------------------------------------


def test_the_report_says_what_was_stitched(tmp_path, rolled):
    path = rolled.report(tmp_path / "walk.html")
    text = path.read_text(encoding="utf-8")
    assert "cross, rolling walk-forward" in text
    assert "cross, rolling" in rolled._repr_html_()
    assert "5 folds of 9 trials" in repr(rolled)


def test_the_description_is_plain(rolled):
    import json

    from quantlab.cli._output import jsonable

    said = json.loads(json.dumps(jsonable(rolled.describe()), allow_nan=False))
    assert (said["method"], len(said["table"]), len(said["schedule"])) == ("rolling", 5, 5)
    assert said["settings"]["costs"] == jsonable(rolled.result.settings["costs"])


def test_the_same_call_gives_the_same_answer(bars, rolled):
    again = walk_forward(cross, bars, train=150, test=50)
    pd.testing.assert_frame_equal(again.table, rolled.table)
    assert again.equity.equals(rolled.equity)
