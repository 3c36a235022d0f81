"""Search: sets chosen by what the earlier ones came to, with rows that are those of single runs."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from made_bars import make_bars

import quantlab as ql
from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.errors import DataError, MissingExtraError, ParameterError, UnknownNameError
from quantlab.kernels.stats import STATS
from quantlab.research.distributions import Choice, Integers, Uniform
from quantlab.research.sampler import ModelSampler
from quantlab.research.search import Plan, run_search
from quantlab.research.space import Space, Trials
from quantlab.research.trial import Job
from quantlab.signals import sma
from quantlab.strategy import strategy

pytest.importorskip("optuna", reason="search needs the extra research")

SHARPE, TOTAL = STATS.index("sharpe"), STATS.index("total_return")
PEAK = 0.37, 61


def rising(n_bars=240, step=1.001):
    """One asset that rises by the same share every bar."""
    index = pd.bdate_range("2020-01-01", periods=n_bars)
    close = 10.0 * step ** np.arange(n_bars)
    frame = pd.DataFrame(
        {"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=index
    )
    return Bars.from_frame(frame, symbol="UP", bar_size="1 day")


@strategy
def hill(bars, height=0.9, place=30, kind="a"):
    """Exposure to a rising price, by how near the parameters are to `PEAK`: the best return is there."""
    far = (height - PEAK[0]) ** 2 / 0.08 + (place - PEAK[1]) ** 2 / 1500
    return np.full(bars.n_bars, np.exp(-far) * (1.0 if kind == "a" else 0.5))


@strategy(fast=range(2, 12), slow=range(5, 40), where="fast < slow")
def cross(bars, fast=5, slow=20):
    return sma(bars.close, fast) > sma(bars.close, slow)


HILL = {"height": Uniform(0, 1), "place": Integers(0, 100), "kind": ["b", "a"]}
FREE = {"cash": 1e8, "costs": Costs.zero()}


def search(
    idea, bars, grid=None, *, where=None, window=(None, None), options=None, sign=1.0, told=None, **plan
):
    """Search with the options as they come."""
    job = Job(idea, bars, window, options or {})
    return run_search(job, Space.of(idea, grid, where), Plan(**plan), sign=sign, told=told)


# -- rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_a_row_is_that_of_a_single_run_to_the_last_bit(method):
    bars = make_bars(300)
    window = (bars.index[40], bars.index[280])
    options = {"cash": 50_000, "costs": Costs.percent(0.001), "fill": "next_close", "risk_free": 0.02}
    found = search(cross, bars, window=window, options=options, n_trials=40, method=method)
    assert len(found.trials) == 40
    for k in range(40):
        run = backtest(cross, bars, found.trials.params(k), start=window[0], end=window[1], **options)
        assert np.array_equal(run.stats[list(STATS)].to_numpy(float), found.stats[k], equal_nan=True)
    assert found.complete
    assert not found.errors


def test_no_set_is_run_twice_and_none_that_the_condition_excludes():
    calls = []

    @strategy
    def noted(bars, a=1, b=2.0):
        calls.append((a, b))
        return np.full(bars.n_bars, a / 100)

    for grid in (
        {"a": range(1, 30), "b": np.linspace(0, 29, 30)},
        {"a": Integers(1, 10**6), "b": Uniform(0, 30)},
    ):
        calls.clear()
        where = "a % 7 < b / 5"
        found = search(noted, rising(40), grid, where=where, n_trials=80)
        assert len(calls) == len(set(calls)) == 80
        assert found.trials.allowed(where).all()
        assert [(p["a"], p["b"]) for p in found.trials.iterate()] == calls


def test_a_trial_that_raises_has_its_error_and_the_search_goes_on():
    @strategy
    def fragile(bars, place=30):
        if place % 3 == 0:
            raise ValueError("no third place")
        return np.full(bars.n_bars, place / 100)

    found = search(
        fragile, rising(60), {"place": range(100)}, n_trials=40, metric="total_return", options=FREE
    )
    failed = found.trials.column("place") % 3 == 0
    assert 0 < failed.sum() < 30
    assert set(found.errors) == set(np.flatnonzero(failed).tolist())
    assert all("no third place" in text for text in found.errors.values())
    assert np.isnan(found.stats[failed]).all()
    assert found.trials.column("place")[np.nanargmax(found.stats[:, TOTAL])] > 90


def test_a_space_of_no_more_sets_than_trials_is_run_whole():
    found = search(
        hill, rising(40), {"place": range(10), "kind": ["a", "b"]}, where="place > 3", n_trials=200
    )
    assert len(found.trials) == 12
    assert len({tuple(p.values()) for p in found.trials.iterate()}) == 12


def test_a_space_that_is_not_written_out_is_run_without_repeats_until_it_is_exhausted(monkeypatch):
    monkeypatch.setattr("quantlab.research.sampler.WRITTEN", 0)
    found = search(hill, rising(40), {"place": range(12), "kind": ["a", "b"]}, where="place > 1", n_trials=19)
    assert len(found.trials) == len(found.stats) == 19
    assert found.trials.column("place").min() > 1


def test_an_interruption_keeps_what_is_done():
    calls = []

    @strategy
    def stubborn(bars, place=30):
        calls.append(place)
        if len(calls) == 35:
            raise KeyboardInterrupt
        return np.full(bars.n_bars, place / 1000)

    found = search(stubborn, rising(40), {"place": range(1000)}, n_trials=100, batch=4)
    assert not found.complete
    assert len(found.trials) == len(found.stats) == 34
    assert list(found.trials.column("place")) == calls[:34]


# -- what is found -------------------------------------------------------------------------------------------


def test_the_model_comes_nearer_to_the_best_than_chance():
    best = backtest(hill, rising(40), {"height": PEAK[0], "place": PEAK[1], "kind": "a"}, **FREE).stats
    short = {"model": [], "chance": []}
    for seed in range(5):
        for name, method in (("model", "tpe"), ("chance", "random")):
            found = search(
                hill,
                rising(40),
                HILL,
                n_trials=60,
                method=method,
                seed=seed,
                metric="total_return",
                options=FREE,
            )
            short[name].append(best["total_return"] - np.nanmax(found.stats[:, TOTAL]))
    assert min(short["model"]) >= 0
    assert np.median(short["model"]) < 0.5 * np.median(short["chance"])
    assert np.median(short["model"]) < 0.01 * best["total_return"]


def test_a_listed_space_is_searched_along_its_values_in_any_order():
    places = np.random.default_rng(5).permutation(500).tolist()
    grid = {"place": places, "height": [k / 50 for k in range(50)], "kind": "a"}
    found = search(hill, rising(40), grid, n_trials=100, metric="total_return", options=FREE)
    # At random half of them would be 125 or more away, and so they would be if the model saw the order of the list.
    assert np.median(np.abs(found.trials.column("place")[50:] - PEAK[1])) < 30
    assert np.median(np.abs(found.trials.column("height")[50:] - PEAK[0])) < 0.15


def test_a_metric_that_should_be_small_is_made_small():
    found = search(hill, rising(40), HILL, n_trials=60, metric="turnover", sign=-1.0, options=FREE)
    turnover = found.stats[:, STATS.index("turnover")]
    assert np.median(turnover[40:]) < 0.5 * np.median(turnover[:10])


def test_the_same_seed_finds_the_same_and_threads_do_not_matter():
    bars = rising(60)
    runs = [
        search(hill, bars, HILL, n_trials=40, seed=seed, batch=4, workers=workers, options=FREE)
        for seed, workers in ((1, 1), (1, 1), (1, 3), (2, 1))
    ]
    digests = [r.trials.digest for r in runs]
    assert digests[0] == digests[1] == digests[2] != digests[3]
    assert np.array_equal(runs[0].stats, runs[2].stats, equal_nan=True)


def test_every_kind_of_axis_can_be_searched():
    from scipy import stats

    @strategy
    def wide(bars, a=1, b=1, c=1.0, d=1.0, e="x", f=True, g=1.0, h=7):
        return np.full(bars.n_bars, 0.5)

    grid = {
        "a": Integers(1, 1000, log=True),
        "b": Integers(10, 10**7, step=10),
        "c": Uniform(1e-3, 1e3, log=True),
        "d": stats.norm(5, 1),
        "e": Choice("x", "y", "z"),
        "f": [True, False],
        "g": [1, 10, 100.0],
        "h": 3,
    }
    found = search(wide, rising(40), grid, n_trials=50, metric="total_return")
    for name, kind in zip("abcdefgh", (int, int, float, float, str, bool, float, int), strict=True):
        assert all(type(p[name]) is kind for p in found.trials.iterate()), name
    assert (found.trials.column("b") % 10 == 0).all()
    assert set(found.trials.column("h")) == {3}
    assert len(set(found.trials.column("e"))) == 3


def test_what_was_told_is_what_the_model_knows():
    space = Space.of(
        hill, {"place": Integers(1, 50, log=True), "kind": ["a", "b"], "height": [0.1, 0.2, 0.4]}
    )
    sampler = ModelSampler(space, 0, 5)
    for asked in sampler.ask(60):
        sampler.tell(asked, float(asked.named["place"]), [], stopped=False)
    known = sampler._study.get_trials(deepcopy=False)
    complete = [t for t in known if t.state.name == "COMPLETE"]
    assert len(complete) == 60
    for trial in complete:
        assert sampler._readers["place"].value(trial.params) == trial.value


# -- early stopping ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_stopping_the_hopeless_saves_bars_and_still_finds_the_best(method):
    plan = {"n_trials": 120, "metric": "total_return", "seed": 3, "method": method}
    full = search(hill, rising(400), HILL, options=FREE, **plan)
    short = search(hill, rising(400), HILL, options=FREE, prune=0.75, **plan)
    assert full.share_run == 1.0
    assert short.share_run < 0.65
    stopped = np.array([p is not None for p in short.pruned_at])
    assert 60 < stopped.sum() < 110
    assert np.isnan(short.stats[stopped]).all()
    assert np.isnan(short.moments[stopped]).all()
    assert not np.isnan(short.stats[~stopped][:, TOTAL]).any()
    assert np.nanmax(short.stats[:, TOTAL]) > 0.98 * np.nanmax(full.stats[:, TOTAL])


def test_nothing_is_stopped_before_some_ran_in_full():
    found = search(hill, rising(400), HILL, n_trials=60, metric="total_return", prune=0.9, options=FREE)
    first = [p is not None for p in found.pruned_at]
    assert not any(first[:10])
    assert sum(first) > 25


def test_a_prefix_shows_its_own_bars_alone():
    bars, seen = rising(200), {}

    @strategy
    def noted(bars, place=30):
        seen.setdefault(place, []).append((bars.index[0], bars.index[-1]))
        return np.full(bars.n_bars, place / 1000)

    window = bars.index[50], bars.index[189]  # 140 bars simulated, 50 of warm-up before them
    found = search(
        noted, bars, {"place": range(1000)}, n_trials=60, metric="total_return", prune=0.5, prefixes=(0.25, 0.5),
        window=window, options=FREE,
    )  # fmt: skip
    ends = [bars.index[50 + 34], bars.index[50 + 69], window[1]]
    for place, at in zip(found.trials.column("place"), found.pruned_at, strict=True):
        assert {first for first, _ in seen[place]} == {bars.index[0]}
        last = ends if at is None else ends[: ends.index(at) + 1]
        assert [end for _, end in seen[place]] == last
    assert {None, ends[0]} <= set(found.pruned_at)


def test_what_has_no_number_on_a_prefix_is_run_in_full():
    @strategy
    def late(bars, place=30):
        if bars.n_bars < 150:
            raise ValueError("too short for me")
        return np.full(bars.n_bars, place / 1000)

    found = search(late, rising(200), {"place": range(1000)}, n_trials=50, metric="total_return", prune=0.9)
    assert not found.errors
    assert all(at is None for at in found.pruned_at)


def test_a_ruined_trial_is_no_answer():
    @strategy
    def short(bars, place=30):
        return np.full(bars.n_bars, -1.0 if place > 200 else 0.1)

    found = search(
        short,
        rising(300, 1.004),
        {"place": range(1000)},
        n_trials=60,
        metric="total_return",
        prune=0.5,
        prefixes=(0.7,),  # the ruin is before its end
        options=FREE,
    )
    ruined = found.trials.column("place") > 200
    assert np.array_equal(found.ruin_bar >= 0, ruined)
    assert all(at is None for at in found.pruned_at[ruined])
    assert ruined[-20:].mean() < ruined[:10].mean()


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "kind", "words"),
    [
        ({"metric": "sharp"}, UnknownNameError, ["did you mean 'sharpe'"]),
        ({"method": "tpee"}, UnknownNameError, ["did you mean 'tpe'"]),
        ({"n_trials": 0}, ParameterError, ["n_trials is 0"]),
        ({"batch": 1.5}, ParameterError, ["batch is 1.5"]),
        ({"workers": -1}, ParameterError, ["workers is -1"]),
        ({"prune": 1.0}, ParameterError, ["prune is 1.0", "between 0 and 1"]),
        ({"prune": True}, ParameterError, ["prune is True"]),
        ({"prefixes": ()}, ParameterError, ["prefixes is ()", "rising"]),
        ({"prefixes": (0.5, 0.2)}, ParameterError, ["(0.5, 0.2)", "rising"]),
        ({"prefixes": (0.5, 1.2)}, ParameterError, ["(0.5, 1.2)"]),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan, kind, words):
    with pytest.raises(kind) as error:
        Plan(**plan)
    for word in words:
        assert word in str(error.value)


def test_a_list_of_sets_has_no_axes_to_search_along():
    sets = [{"place": k} for k in range(50)]
    with pytest.raises(ParameterError, match="no axes"):
        search(hill, rising(40), sets, n_trials=20)
    found = search(hill, rising(40), sets, n_trials=20, method="random", prune=0.5, prefixes=(0.6,))
    assert len(found.trials) == 20


def test_a_prefix_of_a_few_bars_is_refused():
    with pytest.raises(ParameterError, match=r"0\.1 of 100 bars has 10; at least 20"):
        search(hill, rising(100), HILL, n_trials=20, prune=0.5)


def test_without_optuna_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"quantlab\[research\]"):
        search(hill, rising(40), HILL, n_trials=20)
    assert len(search(hill, rising(40), HILL, n_trials=20, method="random").trials) == 20


def test_optuna_says_nothing_and_keeps_its_settings(capfd):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.INFO)
    search(hill, rising(40), HILL, n_trials=20)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


def test_each_batch_is_told_of():
    told = []
    search(hill, rising(40), HILL, n_trials=25, batch=6, told=told.append)
    assert told == [10, 16, 22, 25]


def test_searched_sets_can_be_swept_again():
    found = search(cross, make_bars(100), n_trials=30)
    assert Trials.of(cross, found.trials).digest == found.trials.digest


# -- the table -----------------------------------------------------------------------------------------------


def test_a_search_gives_what_a_sweep_gives():
    bars = make_bars(300)
    done = []
    result = ql.search(
        cross, bars, n_trials=60, prune=0.75, costs=Costs.zero(), progress=lambda n, of: done.append((n, of))
    )
    table = result.table
    stopped = table["pruned_at"].notna()
    assert 10 < stopped.sum() < 50
    assert set(table.loc[stopped, "pruned_at"]) <= {bars.index[29], bars.index[89]}
    assert table.loc[stopped, "sharpe"].isna().all()
    assert table["error"].isna().all()
    assert result.complete
    assert done[0] == (10, 60)
    assert done[-1] == (60, 60)
    best = result.best_trial()
    again = result.trial(best)
    assert again.stats["sharpe"] == table["sharpe"].max() == table["sharpe"][best]
    assert np.isfinite(result.sharpes()).sum() == 60 - stopped.sum()
    ran = np.flatnonzero(~stopped)
    swept = ql.sweep(cross, bars, result.trials.take(ran), costs=Costs.zero(), progress=False)
    assert np.array_equal(swept.table[list(STATS)], table.loc[ran, list(STATS)], equal_nan=True)
    assert np.array_equal(swept.moments, result.moments[ran])


def test_without_pruning_there_is_no_such_column_and_small_is_good_where_it_should_be():
    result = ql.search(hill, rising(40), HILL, n_trials=40, metric="turnover", progress=False, **FREE)
    assert "pruned_at" not in result.table
    assert result.best("turnover").index[0] == result.table["turnover"].idxmin()
    assert result.table["turnover"][20:].median() < result.table["turnover"][:10].median()


def test_bars_that_are_none_and_too_little_memory_are_refused():
    with pytest.raises(DataError, match=r"Bars\.from_frame"):
        ql.search(hill, pd.DataFrame({"close": [1.0]}))
    with pytest.raises(ParameterError, match="max_memory"):
        ql.search(hill, rising(40), HILL, max_memory="1KB")
