"""Cross-validation over every half of the blocks, beside a naive twin."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab.research.cscv import block_edges, block_moments, pbo_of_moments
from tests.oracle.overfitting import naive_cscv


def same_halves(found, expected):
    """Whether both hold the same halves, whatever their order."""
    logits, inside, outside, chosen = expected
    ours = np.column_stack((found.in_sample, found.out_of_sample, found.logits, found.chosen))
    theirs = np.column_stack((inside, outside, logits, chosen))
    ours, theirs = (x[np.lexsort(x.T[::-1].round(9))] for x in (np.nan_to_num(ours), theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("blocks", [2, 4, 6, 8])
@pytest.mark.parametrize("risk_free", [0.0, 0.0003, -0.001])
def test_every_half_is_judged_as_by_the_naive_twin(blocks, risk_free):
    returns = np.random.default_rng(blocks).normal(0.0002, 0.01, (61, 7))
    edges = block_edges(61, blocks)
    found = pbo_of_moments(block_moments(returns, edges), np.diff(edges), risk_free=risk_free)
    expected = naive_cscv(returns, edges, risk_free)
    same_halves(found, expected)
    assert found.pbo == np.mean(expected[0] <= 1e-12)


def test_trials_that_are_copies_share_their_mean_rank():
    rng = np.random.default_rng(3)
    returns = np.repeat(rng.normal(0.0, 0.01, (40, 3)), 4, axis=1)
    edges = block_edges(40, 6)
    found = pbo_of_moments(block_moments(returns, edges), np.diff(edges))
    logits, inside, outside, _ = naive_cscv(returns, edges)
    np.testing.assert_allclose(np.sort(found.logits), np.sort(logits), rtol=1e-12, atol=1e-12)
    assert {x // 4 for x in found.chosen} <= {0, 1, 2}
    np.testing.assert_allclose(np.sort(found.in_sample), np.sort(inside))
    np.testing.assert_allclose(np.sort(found.out_of_sample), np.sort(outside))


@pytest.mark.parametrize("risk_free", [0.0, 0.0005])
def test_a_trial_that_is_flat_in_half_of_time_ranks_between_gains_and_losses(risk_free):
    rng = np.random.default_rng(5)
    returns = rng.normal(0.0, 0.01, (48, 5))
    returns[:24, 0] = 0.0
    returns[36:, 1] = 0.0
    edges = block_edges(48, 4)
    found = pbo_of_moments(block_moments(returns, edges), np.diff(edges), risk_free=risk_free)
    same_halves(found, naive_cscv(returns, edges, risk_free))


def test_trials_that_failed_or_never_traded_do_not_take_part():
    rng = np.random.default_rng(7)
    good = rng.normal(0.0, 0.01, (64, 6))
    mixed = np.insert(good, [0, 3, 6], np.array([np.nan, 0.0, 0.001]), axis=1)
    edges = block_edges(64, 8)
    alone = pbo_of_moments(block_moments(good, edges), np.diff(edges))
    among = pbo_of_moments(block_moments(mixed, edges), np.diff(edges))
    np.testing.assert_array_equal(alone.logits, among.logits)
    np.testing.assert_array_equal(alone.out_of_sample, among.out_of_sample)
    places = np.flatnonzero(np.isfinite(mixed).all(axis=0) & (np.ptp(mixed, axis=0) > 0))
    np.testing.assert_array_equal(places[alone.chosen], among.chosen)
    assert (among.n_trials, among.n_excluded) == (6, 3)


def test_the_number_of_threads_changes_nothing():
    rng = np.random.default_rng(11)
    moments = block_moments(np.repeat(rng.normal(0.0, 0.01, (60, 9)), 2, axis=1), block_edges(60, 6))
    bars = np.diff(block_edges(60, 6))
    one, three = (pbo_of_moments(moments, bars, workers=k) for k in (1, 3))
    for name in ("logits", "in_sample", "out_of_sample", "chosen"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
