"""The synthetic path: inside a real bar, and exact where the bar is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.gateway.path import STEP_NS, Path, Prices, draw_path, generator_of

SECOND = 1_000_000_000
OPENED = 1_325_601_000 * SECOND  # 2012-01-03 09:30 in New York
FIELDS = ("open", "high", "low", "close", "volume")


@st.composite
def bars(draw):
    low = draw(st.floats(0.01, 1000.0))
    high = low + draw(st.one_of(st.just(0.0), st.floats(0.0, 100.0)))
    inside = st.one_of(st.just(low), st.just(high), st.floats(low, high))
    volume = draw(
        st.one_of(st.just(np.nan), st.just(0.0), st.integers(0, 10**9).map(float), st.floats(0.0, 1e7))
    )
    return Prices(draw(inside), high, low, draw(inside), volume)


def path_of(bar, seconds=6 * 3600 + 1800, tick=0.01, seed=0, opened=OPENED):
    closed = opened + seconds * SECOND
    return draw_path(bar, opened, closed, tick, generator_of("A", closed, seed))


def joined(path):
    return Prices(path.open[0], path.high.max(), path.low.min(), path.close[-1], np.add.reduce(path.volume))


@given(
    bars(),
    st.sampled_from([5, 6, 10, 15, 60, 61, 3600, 23_400]),
    st.sampled_from([0.01, 0.05, 0.25, 7.0, None]),
    st.integers(0, 5),
)
def test_put_together_again_a_path_is_its_bar_to_the_bit(bar, seconds, tick, seed):
    path = path_of(bar, seconds, tick, seed)
    again = joined(path)
    for name in FIELDS[:4]:
        assert getattr(again, name) == getattr(bar, name)
    assert again.volume == bar.volume or (np.isnan(bar.volume) and np.isnan(path.volume).all())


@given(bars(), st.sampled_from([5, 10, 60, 3600]), st.integers(0, 5), st.sampled_from([10, 60, 1800]))
def test_cut_into_longer_bars_it_is_still_the_bar(bar, seconds, seed, length):
    path = path_of(bar, seconds, seed=seed)
    cut = path.cut(length * SECOND)
    again = joined(cut)
    assert (again.open, again.high, again.low, again.close) == (bar.open, bar.high, bar.low, bar.close)
    assert cut.open_ns[0] == path.open_ns[0]
    assert cut.close_ns[-1] == path.close_ns[-1]
    assert (cut.close_ns[:-1] % (length * SECOND) == 0).all()


@given(bars(), st.sampled_from([10, 60, 3600]), st.sampled_from([0.01, None]))
def test_every_step_is_a_bar_that_begins_where_the_one_before_ended(bar, seconds, tick):
    path = path_of(bar, seconds, tick)
    assert np.array_equal(path.open[1:], path.close[:-1])
    assert np.array_equal(path.open_ns[1:], path.close_ns[:-1])
    assert (path.high >= np.maximum(path.open, path.close)).all()
    assert (path.low <= np.minimum(path.open, path.close)).all()
    assert (path.volume >= 0.0).all() or np.isnan(bar.volume)


def test_a_day_has_a_step_every_five_seconds_in_cents_and_whole_shares():
    path = path_of(Prices(100.0, 103.0, 99.5, 101.0, 1e6))
    assert path.open.size == 6.5 * 3600 / 5
    for prices in (path.open, path.high, path.low, path.close):
        np.testing.assert_array_equal(prices, np.rint(prices * 100) / 100)
    np.testing.assert_array_equal(path.volume, np.rint(path.volume))
    assert (np.diff(path.close_ns) == STEP_NS).all()


def test_it_is_the_same_for_a_symbol_a_bar_and_a_seed_and_another_for_any_other():
    bar = Prices(100.0, 103.0, 99.5, 101.0, 1e6)
    first = path_of(bar)
    assert np.array_equal(first.close, path_of(bar).close)
    assert not np.array_equal(first.close, path_of(bar, seed=1).close)
    closed = OPENED + 23_400 * SECOND
    other = draw_path(bar, OPENED, closed, 0.01, generator_of("B", closed, 0))
    assert not np.array_equal(first.close, other.close)


def test_the_price_at_an_instant_is_on_the_way_from_open_by_the_extremes_to_close():
    path = Path(
        np.array([0, STEP_NS]),
        np.array([STEP_NS, 2 * STEP_NS]),
        *(np.array(x, float) for x in ([10, 11], [12, 11], [9, 8], [11, 8], [1, 1])),
    )
    third = STEP_NS // 3
    assert path.at(-1) == 10.0
    assert path.at(0) == 10.0
    assert path.at(third) == pytest.approx(9.0)  # it rises, so the low comes first
    assert path.at(2 * third) == pytest.approx(12.0)
    assert path.at(STEP_NS) == 11.0
    assert path.at(STEP_NS + 2 * third) == pytest.approx(8.0)
    assert path.at(9 * STEP_NS) == 8.0


@given(bars(), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from([1, -1]))
def test_a_limit_is_reached_when_the_price_first_gets_there(bar, level, begin, side):
    path = path_of(bar, 120)
    limit = bar.low + level * (bar.high - bar.low)
    start = int(OPENED + begin * 119 * SECOND)
    found = (path.first_at_or_below if side > 0 else path.first_at_or_above)(limit, start)
    noise = 1e-9 * bar.high
    instants = np.linspace(start, path.close_ns[-1] - 1, 400).astype(np.int64)
    reached = [t for t in instants.tolist() if side * path.at(t) < side * limit - noise]
    if found is None:
        assert not reached
    else:
        assert found >= start
        assert side * path.at(found) <= side * limit + noise
        assert not reached or found <= reached[0]
