"""Peaks and plateaus on surfaces that are drawn by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from quantlab.errors import DataError, ParameterError
from quantlab.research.neighbourhood import neighbourhood
from quantlab.research.space import Trials


def grid(**values):
    """Trials of a whole grid."""
    sizes = [len(v) for v in values.values()]
    codes = np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1).astype(np.int32)
    return Trials(
        tuple(values), tuple(tuple(v) for v in values.values()), codes, {k: v[0] for k, v in values.items()}
    )


SQUARE = grid(fast=range(9), slow=range(10, 100, 10))


def surface(width):
    """A hill in the middle of the square."""
    a, b = np.indices((9, 9))
    return np.exp(-((a - 4) ** 2 + (b - 4) ** 2) / width).ravel()


def test_neighbours_are_one_step_away_in_one_parameter():
    found = neighbourhood(SQUARE, surface(20), 40)
    assert found.rows.tolist() == [31, 39, 41, 49]
    assert neighbourhood(SQUARE, surface(20), 0).rows.tolist() == [1, 9]


def test_a_wide_hill_is_a_plateau_and_a_spike_is_a_peak():
    wide, spike = neighbourhood(SQUARE, surface(20), 40), neighbourhood(SQUARE, surface(0.2), 40)
    assert wide.verdict == "plateau"
    assert wide.retained > 0.85
    assert spike.verdict == "peak"
    assert spike.retained < 0.05


def test_the_numbers_are_those_of_the_definition():
    values = np.zeros(81)
    values[[31, 39, 41, 49]] = [0.2, 0.4, 0.6, np.nan]
    values[0] = -1.0
    values[40] = 1.0
    found = neighbourhood(SQUARE, values, 40)
    assert (found.median, found.worst, found.n_failed) == (pytest.approx(0.3), -1.0, 1)
    assert found.retained == pytest.approx(0.3)
    assert found.retained_worst == pytest.approx(-1.0)
    assert found.percentile_of_worst == pytest.approx(1 / 80)
    assert found.verdict == "peak"


def test_values_in_any_order_are_stepped_through_by_size():
    trials = grid(fast=[30, 10, 20, 40])
    assert neighbourhood(trials, [0.0, 1.0, 2.0, 0.5], 2).rows.tolist() == [0, 1]


def test_words_and_switches_are_held():
    trials = grid(kind=["a", "b"], on=[False, True], fast=[1, 2, 3])
    codes_of_rows = trials.codes[neighbourhood(trials, np.arange(12.0), 4).rows]
    assert codes_of_rows.tolist() == [[0, 1, 0], [0, 1, 2]]


def test_small_is_good_where_it_is_said():
    costs = 5.0 - surface(20)
    found = neighbourhood(SQUARE, costs, 40, smaller_is_better=True)
    best = neighbourhood(SQUARE, surface(20), 40)
    assert found.retained == pytest.approx(best.retained)
    assert found.median == pytest.approx(5.0 - best.median)
    assert found.value == pytest.approx(4.0)


def test_sets_that_were_drawn_have_their_nearest_as_neighbours():
    rng = np.random.default_rng(0)
    n = 300
    drawn = [tuple(rng.random(n).tolist()) for _ in range(2)]
    codes = np.repeat(np.arange(n, dtype=np.int32)[:, None], 2, axis=1)
    trials = Trials(("a", "b"), tuple(drawn), codes, {"a": 0.0, "b": 0.0})
    a, b = np.array(drawn)
    values = -((a - 0.5) ** 2) - (b - 0.5) ** 2
    found = neighbourhood(trials, values, int(values.argmax()))
    assert (found.kind, len(found.rows), found.verdict) == ("nearest", 4, "plateau")
    noise = rng.normal(size=n)
    assert neighbourhood(trials, noise, int(noise.argmax())).verdict == "peak"


def test_a_set_without_neighbours_is_alone_and_equal_sets_are_flat():
    assert neighbourhood(grid(fast=[1]), [0.3], 0).verdict == "alone"
    assert neighbourhood(SQUARE, np.full(81, 0.5), 40).verdict == "flat"
    found = neighbourhood(grid(kind=["a", "b"]), [1.0, 0.0], 0)
    assert (found.verdict, found.retained) == ("alone", pytest.approx(math.nan, nan_ok=True))
    json.dumps(found.describe(), allow_nan=False)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="81 trials"):
        neighbourhood(SQUARE, [1.0], 0)
    values = surface(1)
    for trial in (81, -1):
        with pytest.raises(ParameterError, match=f"trial {trial}"):
            neighbourhood(SQUARE, values, trial)
    for bad in (np.nan, np.inf):
        values[3] = bad
        with pytest.raises(DataError, match="trial 3"):
            neighbourhood(SQUARE, values, 3)
