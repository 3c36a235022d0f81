"""What the best of a sweep is worth: on noise, on skill, and where there is little to say."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

import quantlab as ql
from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.research.overfitting import deflated_sharpe, sharpe_variance
from quantlab.research.sampling import sample_trials
from quantlab.research.sweep import sweep
from quantlab.research.validate import deflate, sharpe_worth, validate
from quantlab.signals import sma
from tests.made_bars import make_bars, rebuilt

pytest.importorskip("arch")

FEW = {"n_resamples": 100, "seed": 1}


@ql.strategy(days=range(3, 15), other=range(20, 60, 10))
def follow(bars, days=5, other=20):
    """Long above one average and one slower average."""
    return (bars.close > sma(bars.close, days)) & (bars.close > sma(bars.close, other))


def swept(strategy=follow, bars=None, grid=None, **options):
    bars = make_bars(500, ("A",), seed=2) if bars is None else bars
    return sweep(strategy, bars, grid, progress=False, workers=1, **options)


@pytest.fixture(scope="module")
def noise():
    return swept()


@pytest.fixture(scope="module")
def skill():
    bars = make_bars(700, ("A",), seed=4)
    # Trends of some weeks, up and down: what follows them earns.
    drift = 0.012 * np.sign(np.sin(np.arange(700) / 18))
    price = 50 * np.exp(np.cumsum(drift + np.random.default_rng(0).normal(0, 0.008, 700)))[:, None]
    return swept(bars=rebuilt(bars, open=price, high=price * 1.01, low=price * 0.99, close=price))


def check(validation, name):
    return next(c for c in validation.checks if c.name == name)


def test_the_best_of_noise_does_not_pass(noise):
    found = validate(noise, **FEW)
    assert not found.passes
    assert check(found, "deflated Sharpe").passes is False
    assert found.deflation.deflated_sharpe < found.deflation.psr
    assert 1 <= found.deflation.effective <= len(noise.trials)


def test_a_strategy_with_skill_passes(skill):
    found = validate(skill, **FEW)
    assert [c.name for c in found.checks if c.required and c.passes is False] == []
    assert found.passes
    assert found.deflation.deflated_sharpe > 0.99
    assert found.neighbourhood.verdict == "plateau"


def test_the_sentence_has_the_numbers_of_the_parts(noise):
    found = validate(noise, **FEW)
    d = found.deflation
    assert found.sentence == (
        f"best of {len(noise.trials)} trials, effectively {d.effective:,.0f}, deflated Sharpe {d.deflated_sharpe:.2f}, "
        f"PBO {found.cscv.pbo:.2f}"
    )


def test_the_deflated_ratio_is_that_of_its_parts(noise):
    trial = int(noise.best().index[0])
    sample = sample_trials(noise)
    found = deflate(noise, trial, sample.effective)
    row = noise.table.loc[trial]
    variance = sharpe_variance(noise.sharpes(), noise.n_bars)
    assert found.deflated_sharpe == deflated_sharpe(
        noise.sharpes()[trial],
        n_obs=500,
        skew=row["skew"],
        kurtosis=row["kurtosis"],
        n_trials=sample.effective,
        trials_variance=variance,
    )
    assert found.sharpe == pytest.approx(row["sharpe"])
    assert found.psr == pytest.approx(row["psr"])


def test_a_ledger_counts_what_was_tried_before(noise):
    asked = []

    def tried(name, **more):
        asked.append((name, more))
        return SimpleNamespace(n_trials=4800, variance=0.02)

    alone, after = (validate(noise, **FEW, ledger=x) for x in (None, SimpleNamespace(tried=tried)))
    assert asked == [("follow", {"bars_per_year": noise.bars_per_year})]
    assert after.deflation.n_tried == 4800
    assert after.deflation.effective == pytest.approx(alone.deflation.effective * 100)
    assert after.deflation.variance == 0.02
    assert after.deflation.deflated_sharpe < alone.deflation.deflated_sharpe
    assert after.sentence.startswith("best of 4,800 trials so far (48 in this sweep), effectively")


def test_a_ledger_that_knows_less_than_the_sweep_changes_nothing(noise):
    empty = SimpleNamespace(tried=lambda _, **more: SimpleNamespace(n_trials=0, variance=math.nan))
    assert deflate(noise, 0, 5.0, ledger=empty) == deflate(noise, 0, 5.0)


@pytest.mark.parametrize(("beats", "passes"), [(0.97, True), (0.5, False)])
def test_null_worlds_are_one_of_the_checks(skill, beats, passes):
    worlds = SimpleNamespace(beats=beats, describe=lambda: {"beats": beats})
    found = validate(skill, **FEW, null_worlds=worlds)
    assert check(found, "null worlds").passes is passes
    assert found.passes is passes
    assert found.describe()["null_worlds"] == {"beats": beats}


def test_everything_is_what_json_can_hold_and_repeats(noise):
    one, again = (json.dumps(validate(noise, **FEW).describe(), allow_nan=False) for _ in range(2))
    assert one == again
    assert json.loads(one)["checks"][0]["name"] == "deflated Sharpe"


def test_the_frame_and_the_notebook_show_every_check(noise):
    found = validate(noise, **FEW)
    assert list(found.frame.index) == [c.name for c in found.checks]
    assert all(c.name.replace(">", "&gt;") in found._repr_html_() for c in found.checks)
    assert "does not pass" in repr(found)


def test_a_single_trial_has_no_pbo_and_no_neighbours():
    one = swept(grid={"days": (5,)})
    found = validate(one, **FEW)
    assert found.cscv is None
    assert check(found, "PBO").passes is None
    assert check(found, "plateau").passes is None
    assert any(n.startswith("PBO") for n in found.notes)
    assert found.sentence.startswith("best of 1 trial, effectively 1, deflated Sharpe 0.")
    assert found.sentence.endswith("PBO not defined")
    json.dumps(found.describe(), allow_nan=False)


def test_a_run_of_few_trades_has_no_order_of_trades():
    @ql.strategy(days=(3, 4, 5))
    def hold(bars, days=3):
        target = np.ones(bars.shape)
        target[:days] = 0.0
        return target

    found = validate(swept(hold), **FEW)
    assert found.trade_paths is None
    assert check(found, "order of trades").passes is None


def test_a_sample_stands_for_a_sweep_and_says_so(noise):
    found = validate(noise, **FEW, n_sample=10)
    assert found.against_cash.n_trials in {10, 11}
    assert any("of 48 trials" in n for n in found.notes)
    small, whole = sample_trials(noise, 30, seed=3), sample_trials(noise)
    assert len(small.rows) == 30
    assert small.n_trials == 48
    assert whole.effective / 2.5 < small.effective < whole.effective * 2.5


def test_trials_that_failed_are_not_counted():
    @ql.strategy(days=range(3, 15))
    def brittle(bars, days=5):
        if days == 6:
            raise ValueError("six")
        return bars.close > sma(bars.close, days)

    found = validate(swept(brittle), **FEW)
    assert found.deflation.n_trials == 11
    assert found.cscv.n_excluded == 1


def test_a_result_knows_its_own_worth(noise):
    whole = validate(noise, **FEW)
    assert sharpe_worth(noise, seed=1) == whole.deflation
    assert sharpe_worth(noise).deflated_sharpe == noise.deflated_sharpe()
    assert whole.cscv.pbo == noise.pbo()


def test_an_infinite_best_has_no_neighbours_to_be_measured_by():
    @ql.strategy(days=(3, 4, 5))
    def in_and_out(bars, days=3):
        return np.arange(bars.n_bars)[:, None] // days % 2 == 0

    rising = 100 * 1.01 ** np.arange(200)[:, None]
    bars = rebuilt(make_bars(200, ("A",)), open=rising, high=rising, low=rising, close=rising)
    found = validate(swept(in_and_out, bars), **FEW, metric="profit_factor")
    assert math.isinf(found.value)
    assert found.neighbourhood is None
    assert check(found, "plateau").passes is None
    json.dumps(found.describe(), allow_nan=False)


def test_small_is_good_where_the_sweep_says_so(noise):
    near = validate(noise, **FEW, metric="volatility").neighbourhood
    assert near.value == noise.table["volatility"].min()
    assert near.value <= near.median <= near.worst


def test_another_metric_is_said(noise):
    found = validate(noise, **FEW, metric="calmar")
    assert found.metric == "calmar"
    assert any("calmar" in n for n in found.notes)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"metric": "sharp"}, UnknownNameError, "sharpe"),
        ({"n_resamples": 3}, ParameterError, "n_resamples"),
        ({"n_sample": 1}, ParameterError, "n_sample"),
        ({"blocks": 7}, ParameterError, "even"),
    ],
)
def test_options_that_cannot_be_are_refused(noise, options, error, said):
    with pytest.raises(error, match=said):
        validate(noise, **{**FEW, **options})


def test_a_sweep_in_which_nothing_traded_has_no_best():
    @ql.strategy(days=(3, 4))
    def never(bars, days=3):
        return np.zeros(bars.shape)

    with pytest.raises(DataError, match="no trial"):
        validate(swept(never), **FEW)
