"""Fitted strategies: what a fit may see, what a model is bound to, and that cheats are caught."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from made_bars import make_bars

import quantlab as ql
from quantlab.errors import ParameterError, StrategyError, UnknownNameError
from quantlab.research.causality import check
from quantlab.strategy import Strategy, strategy


def level(bars, params):
    """Learn a level: a quantile of the training closes of each asset."""
    return np.nanquantile(bars.close, params["share"], axis=0)


@strategy(fit=level, share=(0.3, 0.5, 0.7))
def above_level(bars, share=0.5, *, model=None):
    """Long while the close is above the level that was learned."""
    return bars.close > model


@pytest.fixture
def bars():
    return make_bars(240)


# -- binding -------------------------------------------------------------------------------------------


def test_a_model_is_no_parameter(bars):
    assert above_level.defaults == {"share": 0.5}
    with pytest.raises(UnknownNameError, match="model"):
        above_level.params({"model": 3})


def test_a_fitted_strategy_decides_by_the_model_of_its_training_bars(bars):
    training = bars.take(slice(0, 100))
    fitted = above_level.fitted(training, {"share": 0.3})
    expected = bars.close > np.quantile(bars.close[:100], 0.3, axis=0)
    assert np.array_equal(fitted.evaluate(bars).target, expected)
    assert np.array_equal(fitted(bars), expected)
    assert (fitted.unfitted, above_level.unfitted) == (False, True)


def test_a_backtest_of_a_fitted_strategy_is_that_of_its_signal(bars):
    fitted = above_level.fitted(bars.take(slice(0, 100)))
    start = bars.index[100]
    by_hand = bars.close > np.quantile(bars.close[:100], 0.5, axis=0)
    result, twin = (ql.backtest(x, bars, start=start) for x in (fitted, by_hand))
    assert result.stats.equals(twin.stats.rename(result.name))
    assert result.stats["n_orders"] > 0


def test_a_backtest_on_training_bars_says_that_the_model_knew_what_came(bars):
    fitted = above_level.fitted(bars.take(slice(0, 100)))
    known = "fitted on bars that are traded"
    assert any(known in note for note in ql.backtest(fitted, bars).notes)
    assert not any(known in note for note in ql.backtest(fitted, bars, start=bars.index[100]).notes)


def test_its_defaults_are_those_it_was_fitted_with_and_it_has_no_grid(bars):
    fitted = above_level.fitted(bars, {"share": 0.3})
    assert fitted.defaults == {"share": 0.3}
    assert fitted.grid == {}
    assert fitted.name == "above_level"


@pytest.mark.parametrize(
    "call",
    [
        lambda bars: ql.backtest(above_level, bars),
        lambda bars: ql.sweep(above_level, bars, progress=False),
        above_level.evaluate,
        lambda bars: above_level.require_model(),
    ],
)
def test_to_trade_without_a_model_is_refused_and_says_what_to_do(bars, call):
    with pytest.raises(
        StrategyError, match=r"look ahead; use ql.walk_forward\(above_level, bars\), or above_lev"
    ):
        call(bars)


def test_the_fingerprint_names_the_training_bars_and_parameters(bars):
    first, second = bars.take(slice(0, 100)), bars.take(slice(0, 101))
    runs = {
        name: ql.backtest(fitted, bars, {"share": 0.5}).fingerprint
        for name, fitted in {
            "one": above_level.fitted(first),
            "same": above_level.fitted(bars.take(slice(0, 100))),
            "other bars": above_level.fitted(second),
            "other share": above_level.fitted(first, {"share": 0.3}),
        }.items()
    }
    assert runs["one"] == runs["same"]
    hashes = {runs[name]["strategy"] for name in ("one", "other bars", "other share")}
    assert len({*hashes, above_level.source_hash}) == 4
    assert above_level.fitted(first).fitting.data == first.content_hash


def test_a_fitted_strategy_travels_to_another_process(bars):
    cloudpickle = pytest.importorskip("cloudpickle")
    fitted = above_level.fitted(bars)
    again = pickle.loads(cloudpickle.dumps(fitted))
    assert np.array_equal(again.evaluate(bars).target, fitted.evaluate(bars).target)
    assert again.source_hash == fitted.source_hash


# -- what a fit may see --------------------------------------------------------------------------------


def test_a_fit_cannot_reach_the_bars_around_its_own(bars):
    seen = []

    def look_around(training, params):
        for name in ("time", "session", "open", "high", "low", "close", "volume", "factor", "member"):
            array = getattr(training, name)
            while array is not None:
                if array.strides[0]:
                    seen.append(len(array))
                array = array.base
        seen.extend(len(base) for x in training.fields.values() if (base := x.base) is not None)
        return 1

    idea = Strategy(above_level.function, fit=look_around)
    marked = bars.with_fields(x=bars.close * 2.0)
    idea.fitted(marked.take(slice(40, 140)))
    assert set(seen) == {100}
    assert len(seen) >= 14


def test_what_a_fit_does_to_its_parameters_changes_nothing(bars):
    def spoil(training, params):
        params.clear()
        return 50.0

    fitted = Strategy(above_level.function, fit=spoil).fitted(bars)
    assert fitted.defaults == fitted.fitting.params == {"share": 0.5}


def test_a_fit_cannot_write_into_the_bars(bars):
    def write(training, params):
        training.close[0] = 1.0

    with pytest.raises(StrategyError, match=r"the fit of above_level\(share=0.5\) raised ValueError"):
        Strategy(above_level.function, fit=write).fitted(bars)


# -- check ---------------------------------------------------------------------------------------------


def test_check_fits_on_the_first_half_and_cuts_after_it(bars):
    report = check(above_level, bars, cuts=24)
    assert report.verdict == "causal"
    assert report.n_parameter_sets == 3
    assert min(report.cuts) == 119
    assert report.notes[0].startswith("fitted on the first 120 bars")
    assert "elsewhere" not in " ".join(report.notes)


def test_check_covers_a_strategy_with_its_model_and_says_what_the_model_knows(bars):
    report = check(above_level.fitted(bars.take(slice(0, 100))), bars, cuts=24)
    assert report.verdict == "causal"
    assert min(report.cuts) == 0
    assert "fitted on bars up to" in report.notes[0]


def test_signals_that_look_ahead_are_caught_behind_a_model(bars):
    @strategy(fit=level)
    def peeking(bars, share=0.5, *, model=None):
        return np.roll(bars.close, -1, axis=0) > model

    report = check(peeking, bars, cuts=24)
    assert report.verdict == "looks ahead"
    assert report.first_offence.reads_ahead == 1


def test_a_fit_that_learns_from_what_the_signals_saw_is_caught(bars):
    seen = []

    def learn(training, params):
        return seen[-1] if seen else float(training.close[-1, 0])

    @strategy(fit=learn)
    def leaking(bars, model=None):
        seen.append(float(bars.close[-1, 0]))
        return bars.close > model

    assert not check(leaking, bars, cuts=24).causal


def test_a_model_that_the_signals_write_into_is_caught(bars):
    @strategy(fit=lambda training, params: {})
    def learning_on(bars, model=None):
        last = model.setdefault("last", float(bars.close[-1, 0]))
        return bars.close > last

    assert not check(learning_on, bars, cuts=24).causal


def test_a_model_that_changes_with_its_use_is_caught_at_a_single_cut(bars):
    @strategy(fit=lambda training, params: [])
    def tiring(bars, model=None):
        model.append(1)
        return bars.close > bars.close[0] * (1.0 if len(model) == 1 else 1.1)

    assert not check(tiring, bars, cuts=[200]).causal


def test_a_fit_that_draws_at_random_for_one_set_is_not_reproducible(bars):
    rng = np.random.default_rng(1)

    def learn(training, params):
        return training.close.mean(axis=0) * (rng.uniform(0.9, 1.1) if params["mode"] == "drawn" else 1.0)

    @strategy(fit=learn, mode=("plain", "drawn"))
    def sometimes_random(bars, mode="plain", model=None):
        return bars.close > model

    report = check(sometimes_random, bars, cuts=24)
    assert report.verdict == "not reproducible"
    assert report.offending == ({"mode": "drawn"},)


def test_a_fit_that_draws_at_random_is_not_reproducible(bars):
    rng = np.random.default_rng(1)

    @strategy(fit=lambda training, params: training.close.mean(axis=0) * rng.uniform(0.9, 1.1))
    def random_level(bars, model=None):
        return bars.close > model

    assert check(random_level, bars, cuts=24).verdict == "not reproducible"


def test_a_model_from_elsewhere_is_noted(bars):
    whole = bars.close.mean(axis=0)

    @strategy(fit=lambda training, params: whole)
    def from_outside(bars, model=None):
        return bars.close > model

    report = check(from_outside, bars, cuts=24)
    assert "it may have learned from elsewhere" in " ".join(report.notes)


def test_a_fit_that_raises_in_check_says_so(bars):
    @strategy(fit=lambda training, params: 1 / 0)
    def broken(bars, model=None):
        return bars.close > model

    with pytest.raises(StrategyError, match=r"the fit of broken.* raised ZeroDivisionError"):
        check(broken, bars)


# -- bad input -----------------------------------------------------------------------------------------


def test_a_fit_needs_a_place_for_its_model():
    with pytest.raises(StrategyError, match="model=None"):
        Strategy(lambda bars, days=3: bars.close, fit=level)
    with pytest.raises(StrategyError, match="a function of"):
        Strategy(above_level.function, fit=3)


def test_a_strategy_without_a_fit_cannot_be_fitted(bars):
    with pytest.raises(StrategyError, match=r"has no fit; make it with @ql.strategy\(fit=function\)"):
        Strategy(lambda bars: bars.close > 0).fitted(bars)


def test_a_fit_that_returns_nothing_is_an_error(bars):
    with pytest.raises(StrategyError, match="returned None; return the model"):
        Strategy(above_level.function, fit=lambda bars, params: None).fitted(bars)


def test_cuts_within_the_training_bars_are_refused(bars):
    with pytest.raises(ParameterError, match="rows from 119 to 238"):
        check(above_level, bars, cuts=[10, 200])


def test_too_few_bars_to_train_and_to_check_are_refused():
    with pytest.raises(ql.errors.DataError, match="trains on the first half"):
        check(above_level, make_bars(2))
