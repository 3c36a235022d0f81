"""The memo of indicators: only what cannot change is remembered, and nothing is taken for something else."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from made_bars import make_bars

from quantlab.signals import bollinger, macd, rsi, session_vwap, sma, ta
from quantlab.signals.memo import Memo

BARS = make_bars(200, "AB")


@pytest.fixture
def memo():
    found = Memo(BARS, 10**8)
    with found.active():
        yield found


def test_the_same_indicator_of_the_same_prices_is_the_same_array(memo):
    assert sma(BARS.close, 5) is sma(BARS.close, 5)
    assert sma(BARS.close, n=5) is sma(BARS.close, n=5)
    assert ta.RSI(BARS.close, timeperiod=5) is ta.RSI(BARS.close, timeperiod=5)
    assert bollinger(BARS.close, 5).upper is bollinger(BARS.close, 5).upper
    assert session_vwap(BARS) is session_vwap(BARS)


def test_other_arguments_are_other_indicators(memo):
    arrays = [
        sma(BARS.close, 5), sma(BARS.close, 6), sma(BARS.open, 5), rsi(BARS.close, 5), ta.SMA(BARS.close, 5),
        bollinger(BARS.close, 5, 1.0).upper, bollinger(BARS.close, 5, 2.0).upper, macd(BARS.close).line,
    ]  # fmt: skip
    for i, a in enumerate(arrays):
        for b in arrays[:i]:
            assert a is not b


def test_a_value_of_another_type_is_not_taken_for_the_same(memo):
    sma(BARS.close, 1)
    with pytest.raises(ValueError, match="whole number"):
        sma(BARS.close, 1.0)
    with pytest.raises(ValueError, match="whole number"):
        sma(BARS.close, True)


def test_indicators_of_indicators_are_remembered_too(memo):
    assert sma(sma(BARS.close, 3), 4) is sma(sma(BARS.close, 3), 4)


def test_read_only_views_of_prices_are_told_apart_by_place_and_shape(memo):
    first, second = BARS.close[:, 0], BARS.close[:, 1]
    assert sma(first, 5) is sma(BARS.close[:, 0], 5)
    assert not np.array_equal(sma(first, 5), sma(second, 5), equal_nan=True)
    assert sma(BARS.close[::2, 0], 5).shape == (100,)
    assert np.array_equal(sma(BARS.close[10:], 5), sma(np.array(BARS.close[10:]), 5), equal_nan=True)


def test_arrays_that_may_change_are_computed_every_time(memo):
    mine = np.array(BARS.close)
    before = sma(mine, 5)
    mine[:] = 1.0
    assert not np.array_equal(sma(mine, 5), before, equal_nan=True)
    mine.flags.writeable = False
    assert sma(mine, 5) is not sma(mine, 5)


def test_an_array_in_the_place_of_a_freed_one_is_not_taken_for_it(memo):
    for k in range(300):
        made = np.full((200, 1), float(k))
        made.flags.writeable = False
        assert sma(made, 2)[-1, 0] == k
        del made
        gc.collect(0)


def test_what_is_remembered_cannot_be_changed(memo):
    average = sma(BARS.close, 5)
    with pytest.raises(ValueError, match="read-only"):
        average[0, 0] = 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        average.flags.writeable = True


def test_without_a_memo_results_are_ones_own():
    average = sma(BARS.close, 5)
    average[0, 0] = 1.0
    assert sma(BARS.close, 5) is not average


def test_a_pause_gives_fresh_arrays(memo):
    kept = sma(BARS.close, 5)
    with memo.paused():
        fresh = sma(BARS.close, 5)
    assert fresh is not kept
    assert fresh.flags.writeable
    assert sma(BARS.close, 5) is kept


def test_a_full_memo_drops_results_and_keeps_below_its_bytes():
    size = BARS.close.nbytes
    memo = Memo(BARS, 10 * size)
    with memo.active():
        for _ in range(3):
            for n in range(1, 40):
                held = sma(BARS.close, n)
                assert memo.n_bytes <= 10 * size
                assert np.array_equal(held, sma(np.array(BARS.close), n), equal_nan=True)
        # An indicator of one that was dropped is computed as well.
        assert np.array_equal(sma(held, 2), sma(np.array(held), 2), equal_nan=True)
        hits = sum(sma(BARS.close, n) is sma(BARS.close, n) for n in range(1, 40))
    assert hits == 39


def test_labelled_inputs_are_not_remembered(memo):
    close = BARS.frame("close")
    assert sma(close, 3) is not sma(close, 3)
