"""Sharpe ratios deflated by the number of tries, against the numbers of the papers and naive twins."""

from __future__ import annotations

import json
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.errors import DataError, MissingExtraError, ParameterError
from quantlab.research import overfitting as ov
from quantlab.research.cscv import block_edges, block_moments
from tests.oracle.overfitting import naive_cscv

PAPER = 2.5 / math.sqrt(250)


# -- one Sharpe ratio --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("skew", "kurtosis", "expected"), [(-2.448, 10.164, 0.913), (0.0, 3.0, 0.982)])
def test_psr_is_that_of_the_paper_for_two_years_of_months(skew, kurtosis, expected):
    assert ov.psr(0.458, n_obs=24, skew=skew, kurtosis=kurtosis) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("periods", "skew", "kurtosis", "years"),
    [(250, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_record_for_two_over_one_is_that_of_the_paper(periods, skew, kurtosis, years):
    root = math.sqrt(periods)
    found = ov.min_track_record_length(2 / root, 1 / root, skew=skew, kurtosis=kurtosis)
    assert found / periods == pytest.approx(years, abs=5e-3)


@given(
    st.floats(0.001, 0.5),
    st.floats(-0.2, 0.0),
    st.floats(-1.5, 1.5),
    st.floats(0.51, 0.999),
)
def test_after_the_minimum_track_record_psr_is_the_confidence(sharpe, benchmark, skew, confidence):
    kurtosis = 3 + skew * skew
    n = ov.min_track_record_length(sharpe, benchmark, skew=skew, kurtosis=kurtosis, confidence=confidence)
    if n >= 2:
        assert ov.psr(sharpe, benchmark, n_obs=n, skew=skew, kurtosis=kurtosis) == pytest.approx(confidence)


def test_what_does_not_beat_the_benchmark_never_has_a_long_enough_record():
    assert ov.min_track_record_length(0.1, 0.1, skew=0, kurtosis=3) == math.inf
    assert ov.psr(0.1, 0.1, n_obs=100, skew=0, kurtosis=3) == 0.5


def test_what_is_not_known_stays_unknown():
    nan = math.nan
    assert math.isnan(ov.psr(nan, n_obs=10, skew=0, kurtosis=3))
    assert math.isnan(ov.psr(0.1, nan, n_obs=10, skew=0, kurtosis=3))
    assert math.isnan(ov.psr(0.1, n_obs=10, skew=nan, kurtosis=3))
    assert math.isnan(ov.min_track_record_length(0.1, skew=0, kurtosis=nan))
    assert math.isnan(ov.min_track_record_length(nan, skew=0, kurtosis=3))
    assert math.isnan(ov.expected_max_sharpe(10, nan))
    assert math.isnan(ov.expected_max_sharpe(nan, 0.1))


# -- the best of many --------------------------------------------------------------------------------------


def test_the_example_of_the_deflated_sharpe_ratio_is_met():
    moments = {"n_obs": 1250, "skew": -3, "kurtosis": 10}
    assert ov.expected_max_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    found = [ov.deflated_sharpe(PAPER, **moments, n_trials=n, trials_variance=0.5 / 250) for n in (100, 46)]
    assert found == pytest.approx([0.9004, 0.9505], abs=5e-5)


def test_normal_returns_would_have_passed_with_88_trials():
    found = ov.deflated_sharpe(PAPER, n_obs=1250, skew=0, kurtosis=3, n_trials=88, trials_variance=0.5 / 250)
    assert found == pytest.approx(0.9505, abs=5e-5)


def test_one_trial_is_not_deflated():
    moments = {"n_obs": 500, "skew": -0.5, "kurtosis": 4}
    alone = ov.deflated_sharpe(0.08, **moments, n_trials=1, trials_variance=0.01)
    assert alone == ov.psr(0.08, **moments)
    assert ov.expected_max_sharpe(1.1, 0.01) == 0.0


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_the_expected_maximum_is_near_that_of_normal_numbers(n):
    drawn = np.random.default_rng(n).normal(0.0, 0.03, (4000, n)).max(axis=1)
    error = 4 * drawn.std() / math.sqrt(4000)
    assert ov.expected_max_sharpe(n, 0.03**2) == pytest.approx(drawn.mean(), abs=error + 0.03 * 0.03)


def test_a_billion_billion_trials_have_a_finite_maximum():
    assert 8.0 < ov.expected_max_sharpe(10**18, 1.0) < 9.5


@given(st.floats(2, 1e6), st.floats(1.01, 10))
def test_more_trials_are_worth_less(n, more):
    few, many = (
        ov.deflated_sharpe(0.1, n_obs=900, skew=0, kurtosis=3, n_trials=k, trials_variance=0.001)
        for k in (n, n * more)
    )
    assert many <= few


def test_the_variance_of_trials_is_at_least_that_of_one_estimate():
    spread = np.array([0.1, -0.1, np.nan, 0.2, np.inf])
    assert ov.sharpe_variance(spread, 10_000) == pytest.approx(np.var([0.1, -0.1, 0.2], ddof=1))
    assert ov.sharpe_variance(spread * 0.001, 101) == pytest.approx(0.01)
    assert ov.sharpe_variance([0.3], 101) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ov.psr(0.1, n_obs=1, skew=0, kurtosis=3), "2 observations"),
        (lambda: ov.psr(0.1, n_obs=math.nan, skew=0, kurtosis=3), "2 observations"),
        (lambda: ov.psr(0.1, n_obs=10, skew=0, kurtosis=0.2), "add 3"),
        (lambda: ov.min_track_record_length(0.1, skew=0, kurtosis=3, confidence=95), "confidence"),
        (lambda: ov.expected_max_sharpe(0, 0.1), "n_trials"),
        (lambda: ov.expected_max_sharpe(5, -0.1), "trials_variance"),
        (lambda: ov.sharpe_variance([0.1], 1), "2 observations"),
        (lambda: ov.pbo(np.ones((30, 3)), blocks=5), "even number"),
        (lambda: ov.pbo(np.ones((30, 3)), blocks=26), "24"),
        (lambda: ov.pbo(np.ones((30, 3)), blocks=4.0), "whole number"),
        (lambda: ov.effective_trials(np.ones((5, 3)), 2), "fewer than"),
        (lambda: ov.effective_trials(np.ones((5, 3)), correlation=1), "correlation"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(ParameterError, match=said):
        call()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ov.pbo(np.ones(30)), "n_obs, n_trials"),
        (lambda: ov.pbo(np.eye(10), blocks=16), "fewer blocks"),
        (lambda: ov.pbo(np.eye(30)[:, :1]), "2 or more"),
        (lambda: ov.pbo(np.ones((30, 5))), "0 of 5"),
        (lambda: ov.pbo_of_moments(np.ones((5, 4, 2)), [1, 2, 3]), "n_bars_of_parts"),
        (lambda: ov.pbo_of_moments(np.ones((5, 4, 2)), [1, 2, 0, 3]), "part 2 has no bars"),
        (lambda: ov.effective_trials(np.ones(30)), "n_obs, n_trials"),
    ],
)
def test_data_that_cannot_be_judged_are_refused(call, said):
    with pytest.raises(DataError, match=said):
        call()


# -- PBO ---------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(2, 9), st.sampled_from([2, 4, 6]), st.integers(12, 50))
def test_pbo_of_a_matrix_is_that_of_its_block_sums_and_of_the_naive_twin(seed, n_trials, blocks, n_obs):
    returns = np.random.default_rng(seed).normal(0.0, 0.01, (n_obs, n_trials))
    edges = block_edges(n_obs, blocks)
    found = ov.pbo(returns, blocks)
    assert found == ov.pbo_of_moments(block_moments(returns, edges), np.diff(edges)).pbo
    logits = naive_cscv(returns, edges)[0]
    assert found == np.mean(logits <= 1e-12)


def test_parts_join_to_fewer_blocks():
    returns = np.random.default_rng(2).normal(0.0, 0.01, (160, 12))
    edges = block_edges(160, 16)
    joined = ov.pbo_of_moments(block_moments(returns, edges), np.diff(edges), blocks=8)
    assert joined.n_blocks == 8
    np.testing.assert_allclose(joined.logits, ov.cscv(returns, 8).logits)
    with pytest.raises(ParameterError, match="possible are 2, 4, 8, 16"):
        ov.pbo_of_moments(block_moments(returns, edges), np.diff(edges), blocks=6)


def test_one_trial_with_skill_among_noise_is_not_overfit():
    returns = np.random.default_rng(4).normal(0.0, 0.01, (800, 40))
    returns[:, 7] += 0.003
    found = ov.cscv(returns)
    assert found.pbo < 0.01
    assert (found.chosen == 7).mean() > 0.99
    assert found.probability_of_loss < 0.01


def test_the_best_of_noise_does_no_better_than_the_median_half_of_the_time():
    shares = [ov.pbo(np.random.default_rng(k).normal(0.0, 0.01, (400, 30)), 8) for k in range(60)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.12)


def test_a_logit_of_zero_counts_as_overfit():
    # Three trials, two blocks: each half's best is the second of three in the other.
    rows = np.array([[3.0, 2.0, 1.0], [2.0, 3.0, 1.0]])
    noise = np.array([1.0, -1.0])[:, None]
    returns = np.concatenate([row + noise for row in rows])
    found = ov.cscv(returns, 2)
    np.testing.assert_array_equal(found.logits, [0.0, 0.0])
    assert found.pbo == 1.0


def test_the_record_is_what_json_can_hold():
    found = ov.cscv(np.random.default_rng(0).normal(size=(40, 3)), 4)
    assert json.loads(json.dumps(found.describe()))["n_trials"] == 3


# -- how many trials there are -----------------------------------------------------------------------------


def noisy_copies(n_ideas, copies, noise=0.1, n_obs=600, seed=0):
    rng = np.random.default_rng(seed)
    ideas = np.repeat(rng.normal(0.0, 0.01, (n_obs, n_ideas)), copies, axis=1)
    return ideas + rng.normal(0.0, 0.01 * noise, ideas.shape)


@pytest.mark.parametrize(("n_ideas", "copies"), [(1, 1), (1, 20), (5, 10), (40, 1), (12, 3)])
def test_copies_of_an_idea_are_one_trial(n_ideas, copies):
    assert ov.effective_trials(noisy_copies(n_ideas, copies)) == n_ideas


def test_a_trial_and_its_opposite_are_two():
    one = noisy_copies(1, 1)
    assert ov.effective_trials(np.hstack((one, -one))) == 2


def test_trials_that_never_moved_or_failed_are_none():
    found = np.hstack(
        (noisy_copies(4, 2), np.zeros((600, 3)), np.full((600, 2), np.nan), np.full((600, 1), 0.01))
    )
    assert ov.effective_trials(found) == 4
    assert ov.effective_trials(np.zeros((50, 6))) == 1


def test_the_order_of_trials_does_not_matter():
    returns = noisy_copies(15, 4, noise=0.5)
    shuffled = returns[:, np.random.default_rng(1).permutation(60)]
    assert ov.effective_trials(returns) == ov.effective_trials(shuffled)


def test_a_sample_of_different_trials_stands_for_all_of_them():
    assert ov.effective_trials(noisy_copies(50, 1), 5000) == pytest.approx(5000)


def test_a_sample_of_copies_of_few_ideas_stands_for_few():
    assert ov.effective_trials(noisy_copies(6, 30), 100_000) == 6


def test_a_sample_estimates_the_number_of_ideas_it_did_not_see():
    everything = noisy_copies(100, 20, n_obs=300)
    rng = np.random.default_rng(3)
    found = [
        ov.effective_trials(everything[:, rng.choice(2000, 150, replace=False)], 2000) for _ in range(10)
    ]
    assert np.mean(found) == pytest.approx(100, rel=0.15)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"quantlab\[research\]"):
        ov.effective_trials(noisy_copies(3, 2))


# -- does it hold what it promises -------------------------------------------------------------------------


def test_deflated_sharpe_passes_noise_about_as_seldom_as_it_says():
    rng = np.random.default_rng(17)
    passed = []
    for _ in range(400):
        returns = rng.normal(0.0, 0.01, (250, 50))
        sharpes = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
        variance = ov.sharpe_variance(sharpes, 250)
        found = ov.deflated_sharpe(
            sharpes.max(), n_obs=250, skew=0, kurtosis=3, n_trials=50, trials_variance=variance
        )
        passed.append(found > 0.95)
    assert np.mean(passed) < 0.05
    naive = NormalDist().inv_cdf(0.95) / math.sqrt(249)
    assert naive < ov.expected_max_sharpe(50, 1 / 249)


def crossings(rng, n_obs=1000):
    """Returns of 84 pairs of moving averages, long or flat, on a price without drift or memory."""
    moves = rng.normal(0.0, 0.01, n_obs)
    sums = np.concatenate(([0.0], np.cumsum(np.cumsum(moves))))
    means = {}
    for days in (*range(5, 60, 5), *range(20, 200, 20)):
        means[days] = np.full(n_obs, np.nan)
        means[days][days - 1 :] = (sums[days:] - sums[:-days]) / days
    pairs = [(a, b) for a in range(5, 60, 5) for b in range(20, 200, 20) if a < b]
    held = np.array([means[a] > means[b] for a, b in pairs]).T
    held[:180] = False
    return np.vstack((np.zeros(len(pairs)), held[:-1] * moves[1:, None]))


def test_trials_that_are_alike_pass_noise_about_as_seldom_as_they_should():
    rng = np.random.default_rng(23)
    deflated, single = [], []
    for _ in range(120):
        returns = crossings(rng)
        sharpes = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
        best = returns[:, sharpes.argmax()]
        scaled = (best - best.mean()) / best.std()
        moments = {"n_obs": 1000, "skew": (scaled**3).mean(), "kurtosis": (scaled**4).mean()}
        count = ov.effective_trials(returns)
        variance = ov.sharpe_variance(sharpes, 1000)
        single.append(ov.psr(sharpes.max(), **moments) > 0.95)
        deflated.append(
            ov.deflated_sharpe(sharpes.max(), **moments, n_trials=count, trials_variance=variance) > 0.95
        )
    assert np.mean(single) > 0.12
    assert np.mean(deflated) < 0.08
