"""The bridge to TA-Lib: every function, on each asset's own bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib
from test_signals import make_bars

from quantlab.errors import ParameterError, UnknownNameError
from quantlab.signals import ta

NAMES = talib.get_functions()


def inputs(name, bars):
    """Arrays for a function, in its order."""
    made = {"periods": np.where(np.isnan(bars.close), np.nan, 5.0 + np.arange(bars.n_bars)[:, None] % 7)}
    if name in {"ACOS", "ASIN", "COSH", "EXP", "SINH", "TAN"}:
        return [bars.close / 1000 for _ in getattr(ta, name).inputs]
    return [made[k] if k in made else getattr(bars, k) for k in getattr(ta, name).inputs]


def outputs(result):
    return list(result) if isinstance(result, tuple) else [result]


def directly(name, columns):
    """TA-Lib's own answer for one asset without holes, with NaN where it looks back."""
    raw = outputs(getattr(talib, name)(*columns))
    lookback = talib.abstract.Function(name).lookback
    return [np.where(np.arange(len(r)) < lookback, np.nan, r) if r.dtype.kind == "i" else r for r in raw]


@pytest.mark.parametrize("name", NAMES)
def test_each_asset_gets_what_talib_gives_for_its_own_bars(name):
    bars = make_bars(150, 2)
    given = inputs(name, bars)
    results = outputs(getattr(ta, name)(*given))
    for i in range(bars.n_assets):
        rows = np.isfinite(bars.close[:, i])
        expected = directly(name, [np.ascontiguousarray(x[rows, i]) for x in given])
        if name in ta.POSITIONS:
            expected = [
                np.where(np.isnan(e), e, np.flatnonzero(rows)[np.nan_to_num(e).astype(int)]) for e in expected
            ]
        assert len(results) == len(expected)
        for got, wanted in zip(results, expected, strict=True):
            assert got.shape == bars.shape
            np.testing.assert_array_equal(got[rows, i], wanted)
            assert np.isnan(got[~rows, i]).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_function_of_talib_looks_ahead(name):
    bars = make_bars(150, 2)
    given = inputs(name, bars)
    whole = outputs(getattr(ta, name)(*given))
    for cut in (1, 60, 149):
        for part, result in zip(outputs(getattr(ta, name)(*(x[:cut] for x in given))), whole, strict=True):
            np.testing.assert_allclose(part, result[:cut], rtol=1e-12)


def test_bars_give_the_columns_that_talib_names():
    bars = make_bars(80, 2)
    np.testing.assert_array_equal(ta.ADX(bars, 7), ta.ADX(bars.high, bars.low, bars.close, timeperiod=7))
    np.testing.assert_array_equal(ta.OBV(bars), ta.OBV(bars.close, bars.volume))
    np.testing.assert_array_equal(ta.RSI(bars), ta.RSI(bars.close, 14))
    with pytest.raises(ParameterError, match="periods"):
        ta.MAVP(bars)


def test_several_outputs_come_by_name_in_talibs_order():
    bars = make_bars(80, 1, holes=False)
    bands = ta.BBANDS(bars.close, timeperiod=5, nbdevup=2.0)
    assert bands._fields == ("upperband", "middleband", "lowerband")
    expected = talib.BBANDS(bars.close[:, 0].copy(), timeperiod=5, nbdevup=2.0)
    for got, wanted in zip(bands, expected, strict=True):
        np.testing.assert_array_equal(got[:, 0], wanted)


def test_frames_keep_their_labels():
    frame = make_bars(40, 2).frame("close")
    result = ta.EMA(frame, timeperiod=5)
    assert result.index.equals(frame.index)
    assert result.columns.equals(frame.columns)
    assert isinstance(ta.EMA(frame["A0"], 5), pd.Series)
    lines = ta.MACD(frame)
    assert all(isinstance(line, pd.DataFrame) for line in lines)


def test_an_asset_without_any_bar_gets_nan():
    x = np.full((30, 2), np.nan)
    x[:, 0] = 100 + np.arange(30)
    assert np.isnan(ta.SMA(x, 5)[:, 1]).all()
    assert np.isfinite(ta.SMA(x, 5)[4:, 0]).all()
    assert ta.SMA(np.empty((0, 2)), 5).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: ta.rsi, UnknownNameError, "did you mean 'RSI'"),
        (lambda x: ta.BBAND, UnknownNameError, "did you mean 'BBANDS'"),
        (lambda x: ta.RSI(x, timperiod=5), UnknownNameError, "did you mean 'timeperiod'"),
        (lambda x: ta.RSI(x, timeperiod=1), ParameterError, "TA_BAD_PARAM"),
        (lambda x: ta.RSI(x, timeperiod=2**40), ParameterError, "refused"),
        (lambda x: ta.RSI(x, timeperiod=5.0), ParameterError, "whole number"),
        (lambda x: ta.RSI(x, timeperiod=True), ParameterError, "whole number"),
        (lambda x: ta.BBANDS(x, nbdevup="2"), ParameterError, "a number"),
        (lambda x: ta.RSI(x, 5, timeperiod=5), ParameterError, "twice"),
        (lambda x: ta.RSI(x, 5, 6), ParameterError, "2 parameters"),
        (lambda x: ta.ADX(x, x), ParameterError, "2 of its 3 inputs"),
        (lambda x: ta.ADX(), ParameterError, "0 of its 3 inputs"),
        (lambda x: ta.ADX(x, x, x[:5]), ParameterError, "shape"),
    ],
)
def test_bad_calls_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call(make_bars(30, 2).close)


def test_private_names_are_not_looked_for_in_talib():
    assert not hasattr(ta, "__wrapped__")
    assert "RSI" in dir(ta)
