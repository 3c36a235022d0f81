"""The loops over waiting bars: machine code and numpy give the same bits, and the sums are those of the bars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.kernels import lanes
from quantlab.kernels._jit import kernel, types

pytestmark = pytest.mark.kernels


@kernel
def mark(t, n, place, cash, units, prices, benchmark, blocks):
    return lanes.mark_bars(t, n, place, cash, units, prices, benchmark, blocks)


@kernel
def add(n, blocks, risk_free, limit):
    return lanes.sum_bars(n, blocks, risk_free, limit)


@kernel
def fall(first, n, low, limit, blocks):
    return lanes.fall_below(first, n, low, limit, blocks)


def waiting(seed, n, *, units=10.0, cash=1_000.0):
    """Working memory in which `n` bars of a random walk wait, after being filled with what must not be read."""
    rng = np.random.default_rng(seed)
    prices = 100.0 + np.cumsum(rng.normal(0.0, 1.0, 400))
    benchmark = rng.normal(0.0, 0.01, 400)
    blocks = np.full(lanes.ROOM, np.nan)
    blocks[lanes.SUMS :] = 0.0
    blocks[lanes.BEFORE], blocks[lanes.GROSS_BEFORE] = 2_000.0, 1_000.0
    gone = mark(7, n, 0, cash, units, prices, benchmark, blocks)
    return blocks, gone, prices[7 : 7 + n], benchmark[7 : 7 + n]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.integers(1, lanes.BLOCK), st.sampled_from([0.0, 0.0001]))
def test_sums_are_those_of_the_bars(seed, n, risk_free):
    blocks, gone, prices, benchmark = waiting(seed, n)
    equity = 1_000.0 + 10.0 * prices
    assert not gone
    assert np.array_equal(blocks[lanes.EQUITY : lanes.EQUITY + n], equity)
    assert np.array_equal(blocks[lanes.WHEN : lanes.WHEN + n], np.arange(7, 7 + n))
    before = np.concatenate(([2_000.0], equity[:-1]))
    gross = np.concatenate(([1_000.0], np.abs(10.0 * prices[:-1])))
    reached, low = add(n, blocks, risk_free, equity.max())
    assert reached == 1
    assert low == equity.min()
    gain = equity / before - 1.0
    short = np.minimum(gain - risk_free, 0.0)
    wanted = (gain, gain**2, gain**3, gain**4, short**2, gain * benchmark, gross / before)
    sums = blocks[lanes.SUMS : lanes.ROOM].reshape(lanes.N_SUMS, lanes.N_LANES).sum(axis=1)
    assert sums == pytest.approx([x.sum() for x in wanted], rel=1e-9, abs=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.integers(1, lanes.BLOCK), st.integers(0, 5), st.floats(1_900.0, 2_100.0))
def test_machine_code_and_numpy_give_the_same_bits(seed, n, first, limit):
    blocks, gone, _, _ = waiting(seed, n, units=-10.0, cash=3_000.0)
    first = min(first, n - 1)
    assert fall(first, n, 2_050.0, limit, blocks) == lanes._fall_plain(first, n, 2_050.0, limit, blocks)
    plain = blocks.copy()
    assert add(n, blocks, 0.0001, limit) == lanes._sum_plain(n, plain, 0.0001, limit)
    assert np.array_equal(blocks, plain, equal_nan=True)
    assert gone == 0


@pytest.mark.parametrize("n", [1, 3, 4, 6, 200])
@pytest.mark.parametrize("bad", [np.nan, 300.0])
def test_equity_that_is_gone_or_unknown_on_any_bar_is_told(n, bad):
    for k in range(n):
        prices = np.full(n + 3, 100.0)
        prices[2 + k] = bad
        blocks = np.zeros(lanes.ROOM)
        assert mark(2, n, 1, 3_000.0, -10.0, prices, np.zeros(n + 3), blocks) == 1
        prices[2 + k] = 100.0
        assert mark(2, n, 1, 3_000.0, -10.0, prices, np.zeros(n + 3), blocks) == 0


@pytest.mark.parametrize(
    "array",
    [
        types.Array(types.float64, 1, "A"),
        types.Array(types.float64, 2, "C"),
        types.Array(types.int64, 1, "C"),
    ],
)
def test_no_machine_code_is_made_for_arrays_that_are_not_flat(array):
    lanes._test_flat(types.Array(types.float64, 1, "C"))
    with pytest.raises(TypeError, match="one behind the other"):
        lanes._test_flat(array)
