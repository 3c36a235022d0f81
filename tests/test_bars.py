"""Bars: validated, frozen, and cut, joined and resampled without losing what they mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_bars import columns_of, make_bars, rebuilt
from oracle.resample import group_keys, join_bars

from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import BarSize
from quantlab.errors import DataError, InputError, ParameterError, UnknownNameError
from quantlab.model import Instrument


def equal(a, b):
    return a.content_hash == b.content_hash


# -- validation ------------------------------------------------------------------------------------------


def spoilt(column, t, i, value):
    def spoil(parts):
        parts[column][t, i] = value

    return spoil


def swap_times(parts):
    parts["time"][[1, 2]] = parts["time"][[2, 1]]


def repeat_time(parts):
    parts["time"][2] = parts["time"][1]


def cross(parts):
    parts["high"][3, 0] = parts["low"][3, 0] / 2


BAD = [
    (swap_times, r"comes after .*rise strictly"),
    (repeat_time, "comes twice"),
    (spoilt("open", 1, 0, np.nan), "open or close is missing"),
    (spoilt("high", 1, 1, np.nan), "high or close is missing"),
    (spoilt("close", 1, 1, np.nan), "missing while the other is there"),
    (spoilt("low", 2, 1, 0.0), r"low is zero, negative or infinite \(.*0\.0.*\) for B"),
    (spoilt("close", 2, 0, -1.0), "close is zero, negative or infinite"),
    (spoilt("open", 2, 0, np.inf), "open is zero, negative or infinite"),
    (cross, "high is below low"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD)
def test_bad_prices_and_times_are_refused_with_the_bar_named(spoil, says):
    parts = columns_of(make_bars())
    spoil(parts)
    with pytest.raises(DataError, match=says):
        Bars(**parts, instruments=(Instrument("A"), Instrument("B")), bar_size="1 day")


def test_a_falling_session_is_refused_because_dates_could_not_be_cut():
    bars = make_bars()
    session = np.array(bars.session)
    session[3] = session[0]
    with pytest.raises(DataError, match=r"comes after session .*same calendar"):
        rebuilt(bars, session=session)


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf])
def test_a_factor_that_is_not_above_zero_is_refused(factor):
    bars = make_bars()
    factors = np.ones(bars.shape)
    factors[4, 1] = factor
    with pytest.raises(DataError, match="factor is not above zero"):
        rebuilt(bars, factor=factors)


def test_wrong_shapes_are_refused_with_the_shape_that_is_needed():
    bars = make_bars()
    with pytest.raises(DataError, match=r"volume has shape \(6, 1\).*\(6, 2\)"):
        rebuilt(bars, volume=bars.volume[:, :1])
    with pytest.raises(DataError, match=r"pe has shape"):
        rebuilt(bars, fields={"pe": np.ones(3)})
    with pytest.raises(DataError, match=r"session has shape"):
        rebuilt(bars, session=bars.session[:2])


def test_no_bars_at_all_is_an_error():
    empty = np.empty((0, 1))
    with pytest.raises(DataError, match="no bars at all"):
        Bars(
            time=[],
            **dict.fromkeys(COLUMNS, empty),
            session=[],
            instruments=(Instrument("A"),),
            bar_size="1 day",
        )


def test_a_repeated_symbol_and_an_unknown_bar_size_are_errors():
    with pytest.raises(DataError, match="'A' occurs more than once"):
        make_bars(symbols=("A", "A"))
    with pytest.raises(ParameterError, match="fortnight"):
        rebuilt(make_bars(), bar_size="1 fortnight")


def test_a_bar_of_nan_in_all_four_is_no_bar_and_allowed():
    bars = make_bars(holes=0.4, seed=3, n_bars=40)
    assert np.isnan(bars.close).any()
    assert np.array_equal(np.isnan(bars.open), np.isnan(bars.close))


# -- frozen ----------------------------------------------------------------------------------------------


def test_every_array_is_read_only_and_contiguous():
    bars = make_bars().with_fields(pe=np.ones((6, 2)))
    arrays = [bars.time, bars.session, *(getattr(bars, c) for c in COLUMNS), *bars.fields.values()]
    for array in arrays:
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    for broadcast in (bars.factor, bars.member):
        with pytest.raises(ValueError, match="read-only"):
            broadcast[0, 0] = 1
    with pytest.raises(TypeError):
        bars.fields["x"] = 1
    with pytest.raises(TypeError):
        bars.meta["x"] = 1
    with pytest.raises(AttributeError):
        bars.close = None


def test_integers_and_lists_become_the_types_that_kernels_expect():
    bars = Bars(
        time=[1, 2],
        open=[[1], [2]],
        high=[[2], [3]],
        low=[[1], [1]],
        close=[[2], [2]],
        volume=[[0], [5]],
        session=[0, 1],
        instruments=(Instrument("A"),),
        bar_size="1d",
        factor=[[2], [1]],
        member=[[1], [0]],
    )
    assert bars.close.dtype == np.float64
    assert bars.factor.dtype == np.float64
    assert bars.member.dtype == np.bool_
    assert bars.bar_size == "1 day"


def test_the_content_hash_sees_every_column_and_not_the_provenance():
    bars = make_bars()
    assert rebuilt(bars, meta={"source": "elsewhere"}).content_hash == bars.content_hash
    changes = {
        "volume": bars.volume + 1,
        "time": bars.time + 1,
        "session": bars.session + 1,
        "factor": np.full(bars.shape, 2.0),
        "member": np.zeros(bars.shape, bool),
        "fields": {"pe": np.ones(bars.shape)},
        "instruments": (Instrument("A"), Instrument("C")),
        "bar_size": "1 week",
        "meta": {"calendar": "XNYS"},
    }
    hashes = {name: rebuilt(bars, **{name: value}).content_hash for name, value in changes.items()}
    assert len({*hashes.values(), bars.content_hash}) == len(changes) + 1


def test_a_factor_of_ones_is_raw_and_hashes_as_raw():
    bars = make_bars()
    ones = rebuilt(bars, factor=np.ones(bars.shape), member=np.ones(bars.shape, bool))
    assert ones.is_raw
    assert equal(ones, bars)


# -- looking ---------------------------------------------------------------------------------------------


def test_daily_labels_are_session_dates_and_intraday_labels_are_closes_in_utc():
    daily = make_bars(first_day=0)
    assert daily.index.tz is None
    assert list(daily.index[:2]) == [pd.Timestamp("1970-01-01"), pd.Timestamp("1970-01-02")]
    minutes = make_bars(bar_size="1 min", per_session=3, first_day=0)
    assert str(minutes.index.tz) == "UTC"
    assert minutes.index[0] == pd.Timestamp("1970-01-01 15:01", tz="UTC")


def test_frame_and_to_frame_carry_the_labels():
    bars = make_bars()
    assert list(bars.frame("close").columns) == ["A", "B"]
    assert bars.frame("close").index.equals(bars.index)
    wide = bars.to_frame()
    assert wide["B"]["high"].tolist() == bars.high[:, 1].tolist()
    assert list(bars["A"].to_frame().columns) == list(COLUMNS)
    with pytest.raises(UnknownNameError, match="did you mean 'close'"):
        bars.frame("clsoe")


def test_a_frame_is_a_copy_that_may_be_written():
    bars = make_bars()
    frame = bars.frame("close")
    frame.iloc[0, 0] = 0.0
    assert bars.close[0, 0] > 0


BARS_PER_YEAR = [
    ("1 day", None, 1, 252.0),
    ("1 day", "24/7", 1, 365.0),
    ("1 week", None, 1, 52.0),
    ("1 month", None, 1, 12.0),
    ("3 months", None, 1, 4.0),
    ("1 min", None, 3, 756.0),
    ("1 hour", "24/5", 3, 780.0),
]


@pytest.mark.parametrize(("size", "calendar", "per_session", "expected"), BARS_PER_YEAR)
def test_bars_a_year_follow_from_bar_size_and_calendar(size, calendar, per_session, expected):
    meta = {"calendar": calendar} if calendar else {}
    bars = make_bars(n_bars=9, bar_size=size, per_session=per_session, meta=meta)
    assert bars.bars_per_year == expected


def test_minutes_to_close_need_a_calendar_within_the_day():
    assert (make_bars().minutes_to_close == 0.0).all()
    with pytest.raises(DataError, match="calendar"):
        _ = make_bars(bar_size="1 min").minutes_to_close


def test_minutes_to_close_know_early_closes():
    index = pd.DatetimeIndex(["2012-07-02 15:30", "2012-07-03 12:30"], tz="America/New_York")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 1.0), index=index)
    bars = Bars.from_frame(frame, bar_size="30 mins", calendar="XNYS")
    assert bars.minutes_to_close.tolist() == [30.0, 30.0]


# -- cutting ---------------------------------------------------------------------------------------------


def test_one_symbol_or_several_are_taken_by_name_and_empty_times_are_dropped():
    bars = make_bars(n_bars=30, holes=0.5, seed=1)
    one = bars["B"]
    assert one.symbols == ("B",)
    assert not np.isnan(one.close).any()
    assert bars[["B", "A"]].symbols == ("B", "A")
    with pytest.raises(UnknownNameError):
        bars["C"]


CUTS = [
    ("2002-11-10", "2002-11-12", 3),
    ("2002-11-10", None, 6),
    (None, "2002-11-09", 0),
    (pd.Timestamp("2002-11-11"), pd.Timestamp("2002-11-11"), 1),
    ("2002-11-11 00:00:01", None, 5),
    (pd.Timestamp("2002-11-12", tz="UTC"), None, 5),
    ("2002", "2002", 6),
    ("2002-11", "2002-11", 6),
    ("2002-12", None, 0),
    ("2002", "2002-10", 0),
]


@pytest.mark.parametrize(("start", "end", "count"), CUTS)
def test_between_takes_both_ends_and_dates_name_sessions(start, end, count):
    bars = make_bars(first_day=12_001)  # 2002-11-10, closing at 24:00 UTC
    if count == 0:
        with pytest.raises(DataError, match="no bar between"):
            bars.between(start, end)
    else:
        assert bars.between(start, end).n_bars == count


@given(st.integers(0, 29), st.integers(0, 29))
def test_cutting_by_label_is_cutting_by_row(a, b):
    bars = make_bars(n_bars=30, holes=0.3)
    low, high = sorted((a, b))
    cut = bars.between(bars.index[low], bars.index[high])
    assert np.array_equal(cut.time, bars.time[low : high + 1])
    assert np.array_equal(cut.close, bars.close[low : high + 1], equal_nan=True)


# -- joining ---------------------------------------------------------------------------------------------


def test_join_uses_the_union_of_times_and_leaves_nan_where_there_is_no_bar():
    left = make_bars(n_bars=4, symbols=("A",))
    right = make_bars(n_bars=4, symbols=("B",), first_day=12_002)
    both = Bars.join([left, right])
    assert both.shape == (6, 2)
    assert np.isnan(both.close[:2, 1]).all()
    assert np.isnan(both.close[4:, 0]).all()
    assert equal(both["A"], left)
    assert equal(both["B"], right)


def test_join_keeps_factor_member_fields_and_the_provenance_that_all_share():
    left = rebuilt(
        make_bars(symbols=("A",)), factor=np.full((6, 1), 2.0), meta={"calendar": "XNYS", "what": "TRADES"}
    )
    right = rebuilt(make_bars(symbols=("B",)), meta={"calendar": "XNYS", "what": "BID"}).with_fields(
        pe=np.ones(6)
    )
    both = Bars.join([left, right])
    assert both.factor[0].tolist() == [2.0, 1.0]
    assert np.isnan(both.fields["pe"][:, 0]).all()
    assert (both.fields["pe"][:, 1] == 1.0).all()
    assert dict(both.meta) == {"calendar": "XNYS"}


def test_joining_nothing_mixed_sizes_or_one_symbol_twice_is_an_error():
    with pytest.raises(DataError, match="nothing to join"):
        Bars.join([])
    with pytest.raises(DataError, match="resample"):
        Bars.join([make_bars(symbols=("A",)), make_bars(symbols=("B",), bar_size="1 week")])
    with pytest.raises(DataError, match="more than once"):
        Bars.join([make_bars(symbols=("A",)), make_bars(symbols=("A",))])


@given(st.integers(0, 1000))
def test_joining_the_parts_of_bars_gives_the_bars(seed):
    bars = make_bars(n_bars=20, symbols=("A", "B", "C"), seed=seed, holes=0.2)
    there = ~np.isnan(bars.close).all(axis=1)
    again = Bars.join([bars[s] for s in bars.symbols])
    assert np.array_equal(again.time, bars.time[there])
    assert np.array_equal(again.close, bars.close[there], equal_nan=True)


# -- fields ----------------------------------------------------------------------------------------------


def test_fields_are_matched_by_labels_and_never_by_position():
    bars = make_bars()
    shuffled = bars.frame("close").iloc[::-1, ::-1].iloc[:4]
    field = bars.with_fields(copy=shuffled).fields["copy"]
    assert np.array_equal(field[2:], bars.close[2:])
    assert np.isnan(field[:2]).all()


def test_a_field_may_be_one_dimensional_only_for_one_asset_and_may_not_hide_a_price():
    assert make_bars(symbols=("A",)).with_fields(pe=np.arange(6)).fields["pe"].shape == (6, 1)
    with pytest.raises(DataError, match="shape"):
        make_bars().with_fields(pe=np.arange(6))
    with pytest.raises(DataError, match="price column"):
        make_bars().with_fields(close=np.ones((6, 2)))


def test_a_field_does_not_follow_the_array_it_was_made_from():
    given_array = np.ones((6, 2))
    bars = make_bars().with_fields(pe=given_array)
    given_array[:] = 7.0
    assert (bars.fields["pe"] == 1.0).all()


# -- resampling ------------------------------------------------------------------------------------------

RESAMPLED = [
    ("1 min", 7, "5 mins"),
    ("1 min", 130, "1 hour"),
    ("1 min", 7, "1 day"),
    ("1 day", 1, "1 week"),
    ("1 day", 1, "2 weeks"),
    ("1 day", 1, "1 month"),
    ("1 day", 1, "3 months"),
]


@pytest.mark.parametrize(("old", "per_session", "new"), RESAMPLED)
@pytest.mark.parametrize("seed", range(3))
def test_resampling_agrees_with_a_naive_twin(old, per_session, new, seed):
    bars = make_bars(n_bars=260, bar_size=old, per_session=per_session, holes=0.2, seed=seed)
    longer = bars.resample(new)
    keys = group_keys(bars.time, bars.session, BarSize.parse(new))
    for i in range(bars.n_assets):
        naive = join_bars(keys, {c: getattr(bars, c)[:, i] for c in COLUMNS})
        for k, c in enumerate(COLUMNS):
            expected = np.array([row[k] for row in naive])
            np.testing.assert_allclose(getattr(longer, c)[:, i], expected, rtol=1e-12)


def test_resampled_intraday_bars_end_on_the_clock_or_with_their_session():
    bars = make_bars(n_bars=14, bar_size="1 min", per_session=7, first_day=0)
    longer = bars.resample("5 mins")
    assert [str(t)[11:16] for t in longer.index] == ["15:05", "15:07", "15:05", "15:10"]


def test_a_last_unfinished_bar_ends_with_its_session_where_a_calendar_tells():
    index = pd.date_range("2012-07-03 12:30", "2012-07-03 12:40", freq="1min", tz="America/New_York")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 1.0), index=index)
    bars = Bars.from_frame(frame, bar_size="1 min", calendar="XNYS")
    assert str(bars.resample("4 hours").index[-1]) == "2012-07-03 17:00:00+00:00"


def test_factor_and_member_of_a_longer_bar_are_those_of_its_last_bar():
    bars = make_bars(n_bars=10, symbols=("A",), first_day=12_002)  # a Monday
    factor = np.arange(1.0, 11.0)[:, None]
    member = (np.arange(10) % 2 == 0)[:, None]
    weekly = rebuilt(bars, factor=factor, member=member).resample("1 week")
    assert weekly.factor[:, 0].tolist() == [7.0, 10.0]
    assert weekly.member[:, 0].tolist() == [True, False]


@pytest.mark.parametrize("size", ["1 day", "1 hour"])
def test_bars_cannot_become_shorter_or_equal(size):
    with pytest.raises(DataError, match="choose a longer size"):
        make_bars().resample(size)


@given(st.integers(2, 59), st.integers(0, 20))
def test_finished_longer_bars_do_not_depend_on_what_comes_later(cut, seed):
    bars = make_bars(n_bars=60, symbols=("A",), seed=seed)
    whole, part = bars.resample("1 week"), bars.between(None, bars.index[cut]).resample("1 week")
    done = part.n_bars - 1
    assert np.array_equal(part.close[:done], whole.close[:done])
    assert np.array_equal(part.time[:done], whole.time[:done])


# -- anything at all -------------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -1.0, 1.0, 2.0])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6), st.data())
def test_whatever_is_given_becomes_sound_bars_or_an_input_error(rows, data):
    n_bars = len(rows)
    times = data.draw(st.lists(st.integers(-5, 5), min_size=n_bars, max_size=n_bars))
    table = np.array(rows)
    try:
        bars = Bars(
            time=times,
            open=table[:, :1],
            high=table[:, 1:2],
            low=table[:, 2:3],
            close=table[:, 3:],
            volume=np.full((n_bars, 1), np.nan),
            session=np.arange(n_bars),
            instruments=(Instrument("A"),),
            bar_size="1 day",
        )
    except InputError:
        return
    assert (np.diff(bars.time) > 0).all()
    there = ~np.isnan(bars.close)
    for name in ("open", "high", "low", "close"):
        column = getattr(bars, name)[there]
        assert np.isfinite(column).all()
        assert (column > 0).all()
    assert (bars.high[there] >= bars.low[there]).all()
