"""Every indicator kernel against its naive twin; and a window's value is its own, to the bit.

Quick enough for ``NUMBA_DISABLE_JIT=1``, where reading out of bounds raises instead of going unnoticed.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numba.core import config
from oracle import rolling as twin

from quantlab.kernels import averages, columns, events, exact, rolling

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's scalars warn without the compiler

KINDS = {
    "prices": st.integers(1, 99_999).map(lambda k: k / 100),
    "ticks": st.integers(16_000, 20_000).map(lambda k: k / 4),
    "ties": st.sampled_from([1.0, 2.0, 3.5, -0.0, 0.0]),
    "still": st.just(4000.1),
    "any": st.floats(-1e100, 1e100, allow_subnormal=True),
    "wild": st.sampled_from([1e200, -1e200, 1.0, 1e-200, 3e-320, -1.0, 0.1, 1e16, 0.0]),
    "broad": st.builds(math.ldexp, st.floats(1, 2), st.integers(-50, 50)),
    "close together": st.integers(0, 5).map(lambda k: 4000.0 + k * 2.0**-40),
}


def frozen(x):
    x = np.ascontiguousarray(x, np.float64)
    if x.ndim == 1:
        x = x[:, None]
    x = x.view()
    x.setflags(write=False)
    return x


@st.composite
def arrays(draw, least=0.0, kinds=tuple(KINDS), longest=40):
    """Columns of one kind of number, with holes or without."""
    values = KINDS[draw(st.sampled_from(kinds))]
    shape = draw(st.tuples(st.integers(1, longest), st.sampled_from([1, 1, 3])))
    x = draw(hnp.arrays(np.float64, shape, elements=values))
    holes = draw(st.sampled_from([0, 0, 0.2, 1]))
    if holes:
        gaps = draw(hnp.arrays(np.int8, shape, elements=st.integers(0, 4)))
        x[gaps < 5 * holes if holes < 1 else gaps >= 0] = draw(st.sampled_from([np.nan, np.inf]))
    return frozen(x)


lengths = st.integers(1, 12)


# -- against the twins ---------------------------------------------------------------------------------


@given(arrays(), lengths)
@example(frozen([0.1, 0.2, 0.3]), 5)
@example(frozen([np.nan]), 1)
@example(frozen([1.0] + [1e200] * 10), 11)  # the sum is next to a tie
@example(frozen([1e200, 1e-200]), 1)  # a value far below the other's last bit
def test_a_mean_is_the_exact_sum_rounded_once_over_n(x, n):
    np.testing.assert_array_equal(rolling.moving_mean(x, n), twin.windows(x, n, twin.mean))


@given(arrays(kinds=("prices", "ticks", "ties", "still", "any", "close together")), lengths)
def test_a_weighted_mean_is_its_exact_sum_rounded_once(x, n):
    np.testing.assert_array_equal(rolling.moving_weighted_mean(x, n), twin.windows(x, n, twin.weighted))


@given(arrays(), lengths, st.integers(0, 2))
def test_mean_and_deviation_are_right_however_small_the_deviation_is(x, n, ddof):
    mean, deviation = rolling.moving_moments(x, n, ddof)
    np.testing.assert_array_equal(mean, twin.windows(x, n, twin.mean))
    expected = twin.windows(x, n, lambda w: twin.std(w, ddof))
    np.testing.assert_allclose(deviation, expected, rtol=1e-13, atol=1e-290)
    np.testing.assert_array_equal(deviation == 0, expected == 0)


@given(arrays(kinds=("prices", "ticks", "ties", "still", "close together")), lengths, st.integers(0, 1))
def test_a_score_is_the_distance_from_the_mean_in_deviations(x, n, ddof):
    expected = twin.windows(x, n, lambda w: twin.zscore(w, ddof))
    np.testing.assert_allclose(rolling.moving_score(x, n, ddof), expected, rtol=1e-12, atol=1e-14)


@given(arrays(), lengths)
def test_extremes_are_the_least_and_the_greatest_of_the_window(x, n):
    np.testing.assert_array_equal(rolling.moving_extreme(x, n, 1.0), twin.windows(x, n, min))
    np.testing.assert_array_equal(rolling.moving_extreme(x, n, -1.0), twin.windows(x, n, max))


@given(arrays(), lengths)
def test_a_rank_counts_what_is_less_and_shares_ties(x, n):
    np.testing.assert_array_equal(rolling.moving_rank(x, n), twin.windows(x, n, twin.rank_in))


ORDINARY = ("prices", "ticks", "ties", "still")


@given(arrays(kinds=ORDINARY), lengths)
def test_exponential_means_and_strength_follow_their_recursions(x, n):
    expected = twin.own(lambda v: twin.ema(v, n), x)
    np.testing.assert_allclose(averages.exponential_mean(x, n), expected, rtol=1e-12, atol=1e-12)
    expected = twin.own(lambda v: twin.rsi(v, n), x)
    np.testing.assert_allclose(averages.relative_strength(x, n), expected, rtol=1e-9, atol=1e-9)


@given(arrays(kinds=ORDINARY), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
def test_macd_lines_start_together_and_differ_by_the_histogram(x, fast, more, signal):
    line, mean, rest = averages.macd_lines(x, fast, fast + more, signal)
    for got, k in ((line, 0), (mean, 1)):
        expected = twin.own(lambda v, k=k: twin.macd(v, fast, fast + more, signal)[k], x)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(rest, line - mean)


@given(arrays(kinds=ORDINARY), lengths, st.data())
def test_a_true_range_uses_bars_that_have_all_three_prices(x, n, data):
    high = frozen(
        x + data.draw(hnp.arrays(np.float64, x.shape, elements=st.sampled_from([0.0, 1.0, np.nan])))
    )
    low = frozen(x - data.draw(hnp.arrays(np.float64, x.shape, elements=st.sampled_from([0.0, 2.0]))))
    expected = twin.own(lambda *v: twin.atr(*v, n), high, low, x)
    np.testing.assert_allclose(averages.average_true_range(high, low, x, n), expected, rtol=1e-10, atol=1e-10)


@given(arrays(kinds=(*ORDINARY, "any")), st.integers(0, 12))
def test_shifts_and_changes_count_own_bars(x, n):
    expected = twin.own(lambda v: [v[t - n] if t >= n else np.nan for t in range(len(v))], x)
    np.testing.assert_array_equal(columns.shifted(x, n), expected)
    if n:
        expected = twin.own(lambda v: twin.roc(v, n), x)
        np.testing.assert_allclose(averages.rate_of_change(x, n), expected, rtol=1e-10, atol=1e-10)


@given(arrays(kinds=("ties",)), st.data())
def test_a_crossing_needs_four_finite_values_and_a_change_of_side(x, data):
    y = data.draw(hnp.arrays(np.float64, x.shape, elements=st.sampled_from([1.0, 2.0, 3.0, np.nan, np.inf])))
    np.testing.assert_array_equal(events.crossings(x, frozen(y)), twin.crossed_above(x, y))
    level = frozen([[2.0]])
    np.testing.assert_array_equal(events.crossings(x, level), twin.crossed_above(x, np.full(x.shape, 2.0)))


@given(hnp.arrays(np.bool_, st.tuples(st.just(4), st.integers(1, 12), st.integers(1, 3))))
def test_a_latch_follows_its_rules(x):
    x.setflags(write=False)
    expected = [twin.latch(*x[:, :, i]) for i in range(x.shape[2])]
    np.testing.assert_array_equal(events.events_to_target(*x), np.array(expected, float).T)


@given(arrays(kinds=("prices",)), st.data())
def test_a_session_price_starts_anew_with_the_session(x, data):
    volume = data.draw(hnp.arrays(np.float64, x.shape, elements=st.sampled_from([0.0, 1.0, 500.0, np.nan])))
    session = np.cumsum(data.draw(hnp.arrays(np.int64, x.shape[0], elements=st.sampled_from([0, 0, 1]))))
    session.setflags(write=False)
    high, low = frozen(x + 1), frozen(x - 0.5)
    got = events.session_mean_price(high, low, x, frozen(volume), session)
    for i in range(x.shape[1]):
        expected = twin.vwap(high[:, i], low[:, i], x[:, i], volume[:, i], session)
        np.testing.assert_allclose(got[:, i], expected, rtol=1e-12)


# -- the window alone ----------------------------------------------------------------------------------

WINDOWED = {
    "mean": rolling.moving_mean,
    "weighted mean": rolling.moving_weighted_mean,
    "deviation": lambda x, n: rolling.moving_moments(x, n, 0)[1],
    "score": lambda x, n: rolling.moving_score(x, n, 1),
    "minimum": lambda x, n: rolling.moving_extreme(x, n, 1.0),
    "maximum": lambda x, n: rolling.moving_extreme(x, n, -1.0),
    "rank": rolling.moving_rank,
}


def bits(x):
    return np.where(np.isnan(x), np.int64(-1), np.ascontiguousarray(x).view(np.int64))


@pytest.mark.parametrize("name", WINDOWED)
@given(arrays(), lengths, st.integers(0, 39))
def test_a_window_has_one_value_whatever_came_before(name, x, n, start):
    x = frozen(np.where(np.isfinite(x), x, 1.5))
    whole = WINDOWED[name](x, n)
    later = WINDOWED[name](frozen(x[start:]), n)
    np.testing.assert_array_equal(bits(later[n - 1 :]), bits(whole[start + n - 1 :]))


@pytest.mark.parametrize("name", ["mean", "weighted mean", "deviation", "score"])
@pytest.mark.parametrize("outlier", [1e60, 1e-60, 1e160, 7e-310])
def test_an_outlier_is_forgotten_once_it_has_left_the_window(name, outlier):
    rng = np.random.default_rng(3)
    x = np.round(100 * np.exp(rng.normal(0, 0.01, 300).cumsum()), 2)
    x[40] = outlier
    got = WINDOWED[name](frozen(x), 30)
    clean = WINDOWED[name](frozen(x[41:]), 30)
    np.testing.assert_array_equal(bits(got[70:]), bits(clean[29:]))


@pytest.mark.parametrize("name", ["mean", "weighted mean", "deviation", "score"])
def test_long_histories_cross_the_borders_of_pieces_unnoticed(name):
    rng = np.random.default_rng(5)
    length = 2 * rolling.CHUNK + 700 if not config.DISABLE_JIT else 900
    x = np.round(4000 + rng.normal(0, 0.02, length).cumsum(), 2)
    x[length // 3 : length // 3 + 60] = 4000.01
    whole = WINDOWED[name](frozen(x), 50)
    for start in (1, 333, length // 2, length - 51):
        np.testing.assert_array_equal(
            bits(WINDOWED[name](frozen(x[start:]), 50)[49:]), bits(whole[start + 49 :])
        )
    for t in (
        49,
        50,
        length // 2,
        length - 1,
        *(k for k in (rolling.CHUNK + 48, rolling.CHUNK + 49) if k < length),
    ):
        window = list(x[t - 49 : t + 1])
        expected = {"mean": twin.mean, "weighted mean": twin.weighted, "deviation": twin.std}.get(
            name, lambda w: twin.zscore(w, 1)
        )(window)
        assert whole[t, 0] == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_a_deviation_of_a_cent_at_four_thousand_is_right_to_twelve_digits():
    x = 4000 + 0.01 * np.random.default_rng(0).standard_normal(200)
    got = rolling.moving_moments(frozen(x), 20, 0)[1][:, 0]
    for t in range(19, 200):
        assert got[t] == pytest.approx(twin.std(list(x[t - 19 : t + 1])), rel=1e-14)


def test_equal_values_have_no_deviation_and_no_score():
    for value in (0.1, 4000.1, 1 / 3, 1e-300, 1e300, 3e-320):
        x = frozen(np.full(40, value))
        assert (rolling.moving_moments(x, 7, 1)[1][6:] == 0.0).all()
        assert np.isnan(rolling.moving_score(x, 7, 0)).all()


# -- exact sums ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30))
def test_an_expansion_gives_the_nearest_double_and_what_is_left(values):
    high, low, complete = exact.expansion_sum(np.array(values), 0, len(values), np.empty(exact.MAX_PARTIALS))
    total = sum(map(Fraction, values))
    assert high == float(total) == math.fsum(values)
    assert high + low == high
    assert low == float(total - Fraction(high)) or abs(low) == math.ulp(high) / 2 * (1 - 2**-53)
    assert complete == (total == Fraction(high) + Fraction(low))


@given(arrays(longest=60), lengths)
def test_all_ways_to_a_sum_agree(x, n):
    values = np.array(x[np.isfinite(x)])
    if len(values) < n:
        return
    pairs = np.zeros((2, len(values)))
    exact._running_sums(values, n, *pairs)
    ways = [pairs.copy()]
    sigma = exact._cut(values, n)
    if sigma > 0:
        exact._split_sums(values, n, sigma, *pairs)
        ways.append(pairs.copy())
    for pair in ways:
        for t in range(n - 1, len(values)):
            total = sum(map(Fraction, values[t - n + 1 : t + 1].tolist()))
            high, low = exact.two_sum(*pair[:, t])
            assert high == float(total)
            assert low in {float(total - Fraction(float(high))), pair[1, t]}


def test_a_deviation_does_not_depend_on_how_its_sums_are_split():
    rng = np.random.default_rng(2)
    for _ in range(50):
        x = 200 + rng.uniform(0, 1e-3, 10)
        squares = [exact.two_product(v, v) for v in x]
        whole, split = [], []
        for values in (x, [p for p, _ in squares], [e for _, e in squares]):
            total = sum(map(Fraction, map(float, values)))
            high = float(total)
            whole += [high, float(total - Fraction(high))]
            upper = float(np.float32(high))
            split += [upper, float(total - Fraction(upper))]
        if sum(map(Fraction, whole)) == sum(map(Fraction, split)):
            assert rolling._direct_spread(10, *whole) == rolling._direct_spread(10, *split)
            assert rolling._direct_spread(10, *whole) > 0


def test_prices_are_summed_the_fast_way():
    rng = np.random.default_rng(1)
    prices = np.round(100 * np.exp(rng.normal(0, 0.02, 5000).cumsum() / 10), 2)
    assert exact._cut(prices, 500) > 0
    assert exact._cut(np.array([1e-30, 1e30]), 2) == 0
    assert exact._cut(np.array([1.0 / 3e8, 1e8 / 3]), 200) == 0
    assert exact._cut(prices[1:] / prices[:-1] - 1, 200) > 0


# -- compilation ---------------------------------------------------------------------------------------


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="numba is switched off")
def test_each_kernel_compiles_once_for_arrays_of_any_origin():
    from quantlab import signals

    x = np.random.default_rng(0).uniform(1, 2, (50, 4))
    read_only = x.copy()
    read_only.setflags(write=False)
    for given_ in (
        x,
        read_only,
        x[:, 0],
        x[:, 1:3],
        x[::2],
        np.asfortranarray(x),
        x.astype(np.float32),
        x[:0],
    ):
        signals.sma(given_, 3)
        signals.ema(given_, 3)
        signals.rolling_std(given_, 3)
        signals.crossed_above(given_, 1.5)
        signals.latch(given_ > 1.5, given_ < 1.2)
    for kernel in (rolling.moving_mean, averages.exponential_mean, rolling.moving_moments):
        assert len(kernel.signatures) == 1
    assert len(events.crossings.signatures) == len(events.events_to_target.signatures) == 1
    # None when it came from the cache as a part of its callers.
    assert len(exact.moving_sums.signatures) <= 1
