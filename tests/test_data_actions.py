"""Prices adjusted for splits and not for dividends."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_bars import make_bars, rebuilt

from quantlab.bars import COLUMNS, Bars
from quantlab.data.actions import split_adjusted, split_factors
from quantlab.data.sample import SAMPLE_SYMBOLS, sample
from quantlab.data.source import load_source
from quantlab.errors import UnknownNameError


@pytest.fixture(scope="module")
def both():
    names = list(SAMPLE_SYMBOLS)
    return sample(names), sample(names, adjustment="splits")


def row_of(bars, date):
    return int(np.searchsorted(bars.session, np.datetime64(date, "D").astype(np.int64)))


def test_the_newest_prices_are_the_raw_ones_to_the_bit(both):
    _, splits = both
    assert splits.close[-1].tolist() == [430.47, 806.19, 202.91, 27.95]


def test_prices_before_a_split_are_divided_by_every_split_after_them(both):
    _, splits = both
    assert splits.open[0, 0] == 118.56 / 4  # two for one in 2000 and in 2005
    assert splits.open[row_of(splits, "2004-01-02"), 0] == 21.55 / 2
    assert splits.volume[0, 0] == 9_616_100 * 4
    assert (
        abs(splits.open[row_of(splits, "2005-02-28"), 0] / splits.close[row_of(splits, "2005-02-25"), 0] - 1)
        < 0.05
    )


def test_a_large_dividend_is_no_split(both):
    adjusted, splits = both
    t = row_of(splits, "2004-11-15")  # MSFT paid 3.08 dollars
    assert splits.close[t, 3] / splits.close[t - 1, 3] < 0.92
    assert adjusted.close[t, 3] / adjusted.close[t - 1, 3] > 0.98


def test_factors_are_one_and_volumes_whole(both):
    _, splits = both
    there = ~np.isnan(splits.close)
    assert splits.is_raw
    assert np.array_equal(splits.volume[there], np.rint(splits.volume[there]))


def test_money_traded_stays_what_it_was_to_half_a_share(both):
    adjusted, splits = both
    there = ~np.isnan(splits.close)
    money = (adjusted.close * adjusted.volume)[there]
    assert np.abs((splits.close * splits.volume)[there] - money).max() <= 0.5 * np.nanmax(splits.close) * (
        1 + 1e-9
    )


def test_the_recipe_restores_the_adjustment(both):
    for bars in both:
        recipe = json.loads(json.dumps(dict(bars.meta["source"])))
        assert load_source(recipe).content_hash == bars.content_hash
    assert "not dividends" in both[1].meta["adjustment"]
    assert both[0].content_hash != both[1].content_hash


def test_longer_bars_are_made_of_split_adjusted_days(both):
    weekly = sample("AAPL", "1 week", adjustment="splits")
    assert weekly.meta["source"]["adjustment"] == "splits"
    assert weekly.high.max() == both[1].high[:, 0].max()


def test_another_adjustment_is_refused():
    with pytest.raises(UnknownNameError, match="splits"):
        sample(adjustment="dividends")


def test_raw_bars_are_returned_as_they_are():
    bars = make_bars()
    assert split_adjusted(bars) is bars


def with_factor(bars, factor):
    adjusted = {c: getattr(bars, c) / factor for c in COLUMNS[:-1]}
    return rebuilt(
        bars, **adjusted, volume=bars.volume * factor, factor=factor, meta={"source": {"kind": "file"}}
    )


@pytest.mark.parametrize(
    ("ratio", "taken"),
    [(2.0, 2.0), (2.004, 2.0), (1.5, 1.5), (7.0, 7.0), (0.1, 0.1), (1.23, 1.23), (1.0 / 1.5, 1.0 / 1.5)],
)
def test_a_split_is_the_ratio_of_small_numbers_it_is_next_to(ratio, taken):
    assert split_factors(np.array([ratio, ratio, 1.0])).tolist() == pytest.approx(
        [taken, taken, 1.0], rel=1e-15
    )


@pytest.mark.parametrize("step", [1.0, 1.11, 1.19, 0.85])
def test_a_step_of_less_than_a_fifth_is_a_dividend(step):
    assert split_factors(np.array([step, 1.0])).tolist() == [1.0, 1.0]


def test_an_asset_without_bars_for_a_while_is_compared_with_its_own_last_bar():
    a, b = make_bars(6, ("A",)), make_bars(6, ("B",), seed=1)
    a = with_factor(a, np.full((6, 1), 1.5))
    joined = Bars.join([a.take([0, 1, 4, 5]), b])
    assert joined.factor[2, 0] == 1.0  # what an absent bar has
    got = split_adjusted(joined)
    there = ~np.isnan(joined.close[:, 0])
    np.testing.assert_allclose(got.close[there, 0], a.close[[0, 1, 4, 5], 0] * 1.5, rtol=1e-8)
    assert np.isnan(got.close[2, 0])
    assert "source" not in got.meta


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=8), st.integers(0, 1000))
def test_any_factor_gives_valid_bars_that_end_raw(factors, seed):
    bars = make_bars(len(factors), ("A",), seed=seed)
    adjusted = with_factor(bars, np.array(factors)[:, None])
    got = split_adjusted(adjusted)
    assert got.is_raw
    np.testing.assert_allclose(got.close[-1], bars.close[-1], rtol=1e-9, atol=1e-8)
    assert (got.high >= got.low).all()


def test_unknown_volumes_stay_unknown():
    bars = with_factor(make_bars(3, ("A",)), np.full((3, 1), 2.0))
    got = split_adjusted(replace(bars, volume=np.full((3, 1), np.nan)))
    assert np.isnan(got.volume).all()
