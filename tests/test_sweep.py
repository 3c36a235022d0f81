"""Sweeps: a row is a backtest, whoever runs it, in whatever chunks, killed or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_bars import make_bars

import quantlab as ql
from quantlab.errors import DataError, ParameterError, StrategyError, UnknownNameError
from quantlab.kernels.stats import STATS
from quantlab.research import parts as parts_module
from quantlab.research import trial as trial_module
from quantlab.research.space import Trials
from quantlab.research.sweep import Memory, _ranges, parse_bytes, sweep
from quantlab.research.trial import Job, Worker, n_together
from quantlab.signals import bollinger, crossed_above, latch, rank, sma, ta


@ql.strategy(fast=range(2, 12), slow=range(3, 40, 3), where="fast < slow")
def cross(bars, fast=5, slow=20):
    return sma(bars.close, fast) > sma(bars.close, slow)


@ql.strategy(n=range(5, 30, 3), width=(1.0, 1.5, 2.0))
def fade(bars, n=20, width=2.0):
    bands = bollinger(bars.close, n, width)
    return np.where(bars.close < bands.lower, 1.0, np.where(bars.close > bands.upper, -0.5, 0.0))


@ql.strategy(n=range(2, 20))
def framed(bars, n=10):
    close = bars.frame("close")
    return close > close.rolling(n).mean()


@ql.strategy(n=range(2, 20))
def by_talib(bars, n=14):
    return ql.Signal((ta.RSI(bars.close, timeperiod=n) < 50.0).astype(int))


@ql.strategy(n=range(2, 20))
def latched(bars, n=10):
    return latch(crossed_above(bars.close, sma(bars.close, n)), bars.close < sma(bars.close, 2 * n))


@ql.strategy(n=range(2, 9))
def ranked(bars, n=5):
    return np.where(rank(bars.close / sma(bars.close, n)) <= 1, 1.0, 0.0)


@ql.strategy(n=(2, 3, 4, 5, 6))
def broken(bars, n=2):
    if n in {3, 5}:
        raise ValueError(f"no {n} today")
    return bars.close > sma(bars.close, n)


@ql.strategy(n=range(2, 12))
def writing(bars, n=5):
    average = sma(bars.close, n)
    average[np.isnan(average)] = 0.0
    return bars.close > average


@ql.strategy(n=range(2, 12), stop=(0.02, 0.05))
def stopped(bars, n=5, stop=0.02):
    up = bars.close > sma(bars.close, n)
    return ql.Signal(
        up, entry=crossed_above(bars.close, sma(bars.close, 2 * n)), stop_loss=stop, time_stop=2 * n
    )


@ql.strategy(n=range(2, 12))
def bidding(bars, n=5):
    ladder = ql.Ladder((0.02, 0.5), (0.05, 0.5))
    up = bars.close > sma(bars.close, n)
    return ql.Signal(up, take_profit=ladder, trailing_stop=ql.AtrMultiple(2.0, n), limit=bars.close * 0.99)


@ql.strategy(n=range(2, 12), stop=(0.05, np.nan))
def turning(bars, n=5, stop=0.05):
    return ql.Signal(np.where(bars.close > sma(bars.close, n), 1.0, -1.0), stop_loss=stop)


ONE, THREE = make_bars(400, "A", seed=1), make_bars(400, "ABC", seed=2, holes=0.05)


def rows_of(result):
    return np.column_stack([result.table[s].to_numpy(float) for s in STATS])


def assert_row_is_backtest(result, k):
    run = result.trial(k)
    alone = run.stats.drop(["var_95", "cvar_95"]).to_numpy(float)
    assert np.array_equal(rows_of(result)[k], alone, equal_nan=True), result.trials.named(k)
    assert np.array_equal(result.moments[k], run._run.moments)


CASES = [
    (cross, ONE, {}),
    (cross, THREE, {"costs": ql.Costs.percent(0.001)}),
    (cross, ONE, {"start": "2003-01-01", "end": "2003-06-30", "risk_free": 0.03}),
    (cross, THREE, {"fill": "close", "sizing": ql.Sizing(price="fill", whole_units=False)}),
    (cross, ONE, {"account": ql.Account.cash(), "fill": "next_close"}),
    (fade, THREE, {"cash": 3_000.0}),
    (fade, ONE, {"sizing": ql.Sizing(rebalance="every_bar", max_leverage=2.0, allocation=1.5)}),
    (framed, THREE, {}),
    (by_talib, ONE, {"benchmark": "A"}),
    (latched, THREE, {"costs": ql.Costs.ibkr_tiered()}),
    (ranked, THREE, {}),
    (writing, THREE, {}),
    (stopped, ONE, {"start": "2003-01-01", "end": "2003-06-30"}),
    (stopped, THREE, {"fill": "close", "sizing": ql.Sizing(price="fill", whole_units=False)}),
    (bidding, ONE, {"account": ql.Account.cash()}),
    (bidding, THREE, {"costs": ql.Costs.ibkr_tiered()}),
    (turning, THREE, {"costs": ql.Costs.ibkr_tiered()}),
]


@pytest.mark.parametrize(("strategy", "bars", "options"), CASES)
def test_every_row_is_the_backtest_of_its_parameters_to_the_last_bit(strategy, bars, options):
    result = sweep(strategy, bars, progress=False, **options)
    assert result.complete
    assert not result.errors
    assert list(result.table.columns) == [*result.trials.names, *STATS, "ruined_at", "error"]
    for k in range(0, len(result), 5):
        assert_row_is_backtest(result, k)


def test_assets_outside_the_universe_are_not_held_in_a_sweep_either():
    member = np.ones(THREE.shape, bool)
    member[150:, 1] = False
    bars = make_bars(400, "ABC", seed=2, holes=0.05, member=member)
    result = sweep(cross, bars, progress=False)
    assert_row_is_backtest(result, 3)
    assert not np.array_equal(rows_of(result), rows_of(sweep(cross, THREE, progress=False)), equal_nan=True)


@pytest.mark.parametrize("workers", [1, 2, "threads", "threads:3"])
def test_the_table_does_not_depend_on_who_ran_it(workers):
    alone = sweep(cross, ONE, progress=False, workers=1)
    other = sweep(cross, ONE, progress=False, workers=workers)
    pd.testing.assert_frame_equal(alone.table, other.table, check_exact=True)
    assert np.array_equal(alone.moments, other.moments)


def test_a_sweep_charges_reversals_as_two_orders_where_a_trial_has_protective_orders():
    always = ql.strategy(
        lambda bars, stop=1.0: ql.Signal(np.where(np.arange(400) % 9 < 5, 1, -1), stop_loss=stop)
    )
    costs, sizing = ql.Costs.per_share(0.0, minimum=1.0), ql.Sizing.units(1, max_leverage=9.0)
    result = sweep(always, ONE, {"stop": [1.0, np.nan]}, costs=costs, sizing=sizing, progress=False)
    # The first order opens; each of the 88 that follow turns around: no short is stopped out by a doubled price.
    assert result.table["n_orders"].tolist() == [89, 89]
    assert result.table["commission"].tolist() == [1 + 2 * 88, 89]


def test_a_trial_whose_levels_cannot_be_has_its_row_and_an_option_that_cannot_be_has_it_everywhere():
    result = sweep(stopped, ONE, {"stop": [0.05, 5.0]}, progress=False)
    assert "stop_loss is 5.0" in result.errors[1]
    assert list(result.errors) == [1]
    assert_row_is_backtest(result, 0)
    every = sweep(bidding, ONE, progress=False, sizing=ql.Sizing(price="fill"))
    assert len(every.errors) == len(every)


def test_finer_bars_are_an_option_of_a_sweep():
    fine = make_bars(400, "A", seed=1)
    hours = ql.Bars(
        time=fine.time - 1, session=fine.session, open=fine.open, high=fine.high, low=fine.low, close=fine.close,
        volume=fine.volume, instruments=fine.instruments, bar_size="12 hours",
    )  # fmt: skip
    result = sweep(stopped, ONE, progress=False, detail=hours)
    assert_row_is_backtest(result, 2)
    np.testing.assert_array_equal(rows_of(result), rows_of(sweep(stopped, ONE, progress=False)))
    assert result.settings["detail"] == hours.content_hash


def test_a_trial_that_raises_has_its_row_and_the_others_have_theirs():
    result = sweep(broken, ONE, progress=False)
    assert sorted(result.errors) == [1, 3]
    assert "broken(n=3) raised ValueError: no 3 today" in result.table["error"][1]
    assert result.table.loc[[1, 3], list(STATS)].isna().all(axis=None)
    assert np.isnan(result.moments[[1, 3]]).all()
    assert_row_is_backtest(result, 4)
    assert set(result.best(n=5).index) == {0, 2, 4}


def test_a_strategy_that_wants_to_leave_the_program_is_a_trial_that_failed():
    def leaving(bars, n=1):
        if n == 2:
            sys.exit("away")
        return bars.close > 50

    result = sweep(leaving, ONE, {"n": [1, 2, 3]}, progress=False)
    assert "SystemExit: away" in result.errors[1]
    assert result.table["final_equity"].notna().tolist() == [True, False, True]


def test_a_strategy_that_returns_nonsense_is_told_what_was_wrong():
    def wide(bars, n=1):
        return np.zeros((bars.n_bars, bars.n_bars)) if n == 2 else np.zeros(bars.shape) + (n == 3) * 2.0

    result = sweep(wide, ONE, {"n": [1, 2, 3, 4]}, progress=False)
    assert "broadcasting" in result.errors[1]
    assert "targets lie in [-1, 1]" in result.errors[2]
    assert sorted(result.errors) == [1, 2]


def test_a_strategy_that_makes_the_bars_writeable_ends_the_sweep():
    bars = make_bars(60, "A")

    def cheat(bars, n=1):
        object.__setattr__(bars, "close", np.array(bars.close) * n)
        return bars.close > 50

    with pytest.raises(StrategyError, match="writeable"):
        sweep(cheat, bars, {"n": [1, 2]}, progress=False)


def test_an_interruption_returns_what_is_done():
    def interrupt(done, _):
        if done >= 4:
            raise KeyboardInterrupt

    result = sweep(cross, ONE, workers=1, progress=interrupt)
    assert not result.complete
    done = result.table["final_equity"].notna()
    assert 4 <= done.sum() < len(result)
    assert_row_is_backtest(result, int(np.flatnonzero(done)[-1]))
    assert "of them done" in repr(result)


def test_a_resumed_sweep_runs_only_what_is_missing_and_has_the_same_table(tmp_path):
    seen = []

    @ql.strategy(fast=range(2, 12), slow=range(3, 40, 3), where="fast < slow")
    def counted(bars, fast=5, slow=20):
        seen.append((fast, slow))
        return sma(bars.close, fast) > sma(bars.close, slow)

    def interrupt(done, _):
        if done >= 4:
            raise KeyboardInterrupt

    whole = sweep(counted, ONE, progress=False, workers=1)
    n_all = len(seen)
    seen.clear()
    part = sweep(counted, ONE, progress=interrupt, workers=1, resume=tmp_path / "s")
    n_first = len(seen)
    assert 0 < n_first < n_all
    seen.clear()
    rest = sweep(counted, ONE, progress=False, workers=1, resume=tmp_path / "s")
    assert not part.complete
    assert rest.complete
    assert len(seen) == n_all - n_first
    pd.testing.assert_frame_equal(whole.table, rest.table, check_exact=True)
    assert np.array_equal(whole.moments, rest.moments)
    seen.clear()
    sweep(counted, ONE, progress=False, workers=1, resume=tmp_path / "s")
    assert not seen


def test_errors_of_trials_are_kept_in_the_parts(tmp_path):
    first = sweep(broken, ONE, progress=False, resume=tmp_path)
    again = sweep(broken, ONE, progress=False, resume=tmp_path)
    assert first.errors == again.errors


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cash": 1.0}, "settings"),
        ({"grid": {"fast": [2, 3]}}, "parameters"),
        ({"bars": THREE}, "data"),
        ({"edges": np.array([0, 400])}, "parts"),
        ({"strategy": fade}, "parameters"),
    ],
)
def test_the_parts_of_another_sweep_are_refused_and_say_what_differs(tmp_path, change, named):
    base = {"strategy": cross, "bars": ONE, "progress": False, "resume": tmp_path}
    sweep(**base)
    with pytest.raises(ParameterError, match=f"another sweep: .*{named}"):
        sweep(**{**base, **change})


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ParameterError, match="not the folder of a sweep"):
        sweep(cross, ONE, progress=False, resume=tmp_path)
    with pytest.raises(ParameterError, match="not the folder of a sweep"):
        sweep(cross, ONE, progress=False, resume=tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "x"


def test_a_manifest_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / parts_module.MANIFEST).write_text("{")
    with pytest.raises(ParameterError, match="cannot be read"):
        sweep(cross, ONE, progress=False, resume=tmp_path)


def test_a_damaged_part_is_run_again(tmp_path):
    whole = sweep(cross, ONE, progress=False, resume=tmp_path)
    part = next(tmp_path.glob("trials-*.parquet"))
    part.write_bytes(part.read_bytes()[:200])
    with pytest.warns(RuntimeWarning, match="run again"):
        again = sweep(cross, ONE, progress=False, resume=tmp_path)
    pd.testing.assert_frame_equal(whole.table, again.table, check_exact=True)


def test_a_full_disk_ends_the_parts_and_not_the_sweep(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.warns(RuntimeWarning, match="No space left on device.*goes on in memory"):
        result = sweep(cross, ONE, progress=False, resume=tmp_path)
    assert result.complete
    assert [p.name for p in tmp_path.iterdir()] == [parts_module.MANIFEST]


KILLED = """
import os, signal, sys, time
import quantlab as ql
from made_bars import make_bars
from quantlab.research import sweep as module
module.PART_SECONDS = 0.0

@ql.strategy(fast=range(2, 12), slow=range(3, 40, 3), where="fast < slow")
def cross(bars, fast=5, slow=20):
    time.sleep(0.002)
    return ql.signals.sma(bars.close, fast) > ql.signals.sma(bars.close, slow)

def tell(done, n):
    print(done, flush=True)

result = module.sweep(cross, make_bars(400, "A", seed=1), workers=int(sys.argv[2]), resume=sys.argv[1], progress=tell)
result.table.to_parquet(sys.argv[1] + ".table.parquet")
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_that_was_killed_goes_on_and_has_the_table_of_one_that_was_not(tmp_path, workers):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED))
    command = [sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    folder = tmp_path / "parts"
    process = subprocess.Popen(
        [*command, str(folder), str(workers)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 65:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    kept = sum(pq.read_metadata(p).num_rows for p in folder.glob("trials-*.parquet"))
    subprocess.run(
        [*command, str(folder), str(workers)], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    subprocess.run(
        [*command, str(tmp_path / "whole"), "1"], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    resumed, whole = (pd.read_parquet(f"{f}.table.parquet") for f in (folder, tmp_path / "whole"))
    assert 0 < kept < len(whole)
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)


def test_the_best_are_ranked_by_any_statistic_without_the_failed_and_the_ruined():
    bars = make_bars(300, "A", scale=0.08, seed=4)
    grid = {"n": range(2, 20), "width": (0.5, 1.0)}
    geared = ql.Sizing(max_leverage=3.0, allocation=3.0)
    result = sweep(fade, bars, grid, cash=5_000.0, sizing=geared, progress=False)
    assert result.table["ruined_at"].notna().any()
    usable = result.table[result.table["ruined_at"].isna()]
    best = result.best("total_return", 4)
    assert best["total_return"].tolist() == sorted(usable["total_return"], reverse=True)[:4]
    assert result.best("max_drawdown", 1)["max_drawdown"].iloc[0] == usable["max_drawdown"].max()
    assert result.best("turnover", 1)["turnover"].iloc[0] == usable["turnover"].min()
    gone = result.table["ruined_at"].notna().idxmax()
    assert result.trial(int(gone)).ruined_at == result.table["ruined_at"][gone]


def test_a_heat_map_shows_the_best_the_median_or_fixed_others():
    result = sweep(
        lambda bars, a=1, b=2, c=3: bars.close > sma(bars.close, a + b * c), ONE,
        {"a": [1, 2, 3], "b": [1, 2], "c": [1, 2, 3]}, progress=False,
    )  # fmt: skip
    table = result.table
    best, median = result.heatmap("a", "b"), result.heatmap("a", "b", others="median")
    fixed = result.heatmap("a", "b", "total_return", {"c": 2})
    group = table[(table.a == 2) & (table.b == 1)]
    assert best.shape == (2, 3)
    assert best.loc[1, 2] == group["sharpe"].max()
    assert median.loc[1, 2] == group["sharpe"].median()
    assert fixed.loc[1, 2] == group[group.c == 2]["total_return"].iloc[0]
    with pytest.raises(UnknownNameError, match="parameter"):
        result.heatmap("a", "z")
    with pytest.raises(UnknownNameError, match="metric"):
        result.heatmap("a", "b", "sharp")


def test_bar_returns_of_trials_give_their_sharpe_ratios():
    result = sweep(cross, ONE, progress=False)
    returns = result.returns([3, 7])
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    assert ratios == pytest.approx(result.sharpes()[[3, 7]], rel=1e-10)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"grid": {"fast": []}}, ParameterError, "fast"),
        ({"grid": {"fats": [1]}}, UnknownNameError, "fast"),
        ({"where": "fast < slw"}, UnknownNameError, "slow"),
        ({"where": "fast > slow + 1000"}, ParameterError, "exclud"),
        ({"workers": 0}, ParameterError, "workers is 0"),
        ({"workers": "horses"}, ParameterError, "threads"),
        ({"max_memory": "1 kb"}, ParameterError, "max_memory allows 1KB.*Give max_memory"),
        ({"max_memory": "much"}, ParameterError, "1GB"),
        ({"fill": "sometime"}, UnknownNameError, "next_open"),
        ({"cash": -1}, ParameterError, "cash"),
        ({"bars": [1, 2]}, DataError, "Bars"),
        ({"cluster": "nowhere"}, ParameterError, "tcp://"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_run(options, error, text):
    with pytest.raises(error, match=text):
        sweep(**{"strategy": cross, "bars": ONE, "progress": False, **options})


def test_sizes_are_read_in_powers_of_ten():
    assert [parse_bytes(x) for x in ("1GB", "300 mb", "1.5k", "7", 12, "2g")] == [
        10**9, 3 * 10**8, 1500, 7, 12, 2 * 10**9,
    ]  # fmt: skip


def test_memory_is_shared_out_among_as_many_workers_as_it_carries():
    bars = make_bars(2_000, "ABCD")
    whole = Memory.plan(10**9, 1000, 16, bars, 8)
    tight = Memory.plan(1000 * 569 + 3_000_000, 1000, 16, bars, 8)
    assert whole.n_workers == 8
    assert 1 <= tight.n_workers < 8
    assert whole.memo_bytes > 9 * 10**8


def test_distributions_are_drawn_with_a_seed():
    grid = {"fast": ql.Integers(2, 20), "slow": ql.Integers(21, 60)}
    a, b = (sweep(cross, ONE, grid, n_trials=20, seed=s, progress=False).table for s in (1, 1))
    c = sweep(cross, ONE, grid, n_trials=20, seed=2, progress=False).table
    pd.testing.assert_frame_equal(a, b)
    assert not a["fast"].equals(c["fast"])


def test_a_report_is_written_whole(tmp_path):
    result = sweep(cross, ONE, progress=False)
    path = result.report(tmp_path / "sweep.html", metric="cagr")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(("<!doctype html>", "<!DOCTYPE html>"))
    assert "cross" in text


def test_time_is_told_and_so_is_who_ran_it():
    began = time.perf_counter()
    result = sweep(cross, ONE, progress=False, workers=1)
    assert 0.0 < result.seconds <= time.perf_counter() - began
    assert result.how == "one thread"


@pytest.mark.parametrize("n_workers", [1, 2, 7])
@pytest.mark.parametrize("size", [1, 5, 64, 640])
def test_trials_are_handed_out_once_each_and_in_shorter_ranges_towards_the_end(n_workers, size):
    missing = [(3, 70), (80, 81), (100, 9_000)]
    ranges = list(_ranges(missing, size, n_workers))
    assert [k for a, b in ranges for k in range(a, b)] == [k for a, b in missing for k in range(a, b)]
    lengths = [b - a for a, b in ranges if a >= 100]
    assert max(lengths) <= size
    assert lengths[-1] <= 64
    assert lengths == sorted(lengths, reverse=True)


def test_a_call_takes_many_short_trials_and_at_least_one_long_one():
    assert n_together(10) == 1024
    assert n_together(2_504) == 418
    assert n_together(200_000) == 5
    assert n_together(10**9) == 1


def test_the_first_calls_of_a_worker_are_short_and_no_call_is_longer_than_its_room(monkeypatch):
    calls = []

    def seen(terms, targets, flags, rows, *rest):
        calls.append(len(rows))
        return run_block(terms, targets, flags, rows, *rest)

    run_block = trial_module.run_block
    monkeypatch.setattr(trial_module, "run_block", seen)
    monkeypatch.setattr(trial_module, "n_together", lambda _: 100)
    job = Job(cross, make_bars(300, "A", seed=1))
    trials = Trials.of(job.strategy, {"fast": range(2, 22), "slow": range(22, 42)})
    worker = Worker(job)
    worker.run(trials, 0, 400)
    assert calls == [32, 64, 100, 100, 100, 4]
    worker.run(trials, 0, 250)
    assert calls[6:] == [100, 100, 50]


@pytest.mark.parametrize("bars", [make_bars(203, "A", seed=1), make_bars(203, "AB", seed=1)])
def test_flags_in_memory_that_was_never_written_count_as_numpy_counts_them(bars):
    def careless(bars, n=5):
        kinds = np.array([0, 90, 1, 2, 255], np.uint8)
        return kinds[np.arange(bars.close.size) // n % 5].view(bool).reshape(bars.shape)

    result = sweep(careless, bars, {"n": [3, 5, 7]}, progress=False)
    for k, n in enumerate((3, 5, 7)):
        alone = ql.backtest(careless, bars, {"n": n})
        assert alone.stats["n_orders"] > 0
        for name in ("final_equity", "sharpe", "n_orders", "turnover"):
            assert result.table[name][k] == alone.stats[name]
