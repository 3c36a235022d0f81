"""Frames into bars: names, stamps, zones and sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.bars import Bars
from quantlab.errors import DataError, UnknownNameError
from quantlab.frames import foreseen_sessions, load_calendar, session_closes
from quantlab.model import Instrument

OHLC = ("open", "high", "low", "close")


def frame_at(index, price=10.0, **columns):
    index = pd.DatetimeIndex(index)
    steps = price + np.arange(len(index))
    return pd.DataFrame({**dict.fromkeys(OHLC, steps), **columns}, index=index)


def stamps(bars):
    return [str(t)[:16] for t in pd.to_datetime(bars.time)]


# -- columns ---------------------------------------------------------------------------------------------


def test_column_names_are_read_in_any_case_and_volume_may_be_missing():
    frame = frame_at(["2020-01-02"]).rename(columns=str.upper)
    bars = Bars.from_frame(frame, symbol="X", bar_size="1 day")
    assert bars.symbols == ("X",)
    assert np.isnan(bars.volume).all()


def test_a_missing_price_column_is_named():
    with pytest.raises(DataError, match=r"column\(s\) low are missing; given: open, high, close"):
        Bars.from_frame(frame_at(["2020-01-02"]).drop(columns="low"), bar_size="1 day")


def test_a_column_that_occurs_twice_is_an_error():
    frame = frame_at(["2020-01-02"])
    frame["CLOSE"] = 1.0
    with pytest.raises(DataError, match="'close' occurs more than once"):
        Bars.from_frame(frame, bar_size="1 day")


def test_a_price_that_is_text_is_an_error():
    frame = frame_at(["2020-01-02"]).astype(object)
    frame.iloc[0, 0] = "ten"
    with pytest.raises(DataError, match="'open' of ASSET holds something that is not a number"):
        Bars.from_frame(frame, bar_size="1 day")


@pytest.mark.parametrize("field_first", [False, True])
def test_several_assets_come_from_either_order_of_a_column_multiindex(field_first):
    index = pd.DatetimeIndex(["2020-01-02", "2020-01-03"])
    wide = pd.concat({"A": frame_at(index), "B": frame_at(index, 50.0, volume=7.0)}, axis=1)
    if field_first:
        wide = wide.swaplevel(axis=1).sort_index(axis=1)
    bars = Bars.from_frame(wide, bar_size="1 day")
    assert bars.symbols == ("A", "B")
    assert bars.close.tolist() == [[10.0, 50.0], [11.0, 51.0]]
    assert np.isnan(bars.volume[:, 0]).all()
    assert (bars.volume[:, 1] == 7.0).all()


def test_other_numeric_columns_become_fields_and_factor_and_member_find_their_place():
    frame = frame_at(["2020-01-02", "2020-01-03"], factor=2.0, member=[1, 0], pe=15.0, note="text")
    bars = Bars.from_frame(frame, bar_size="1 day")
    assert (bars.factor == 2.0).all()
    assert bars.member[:, 0].tolist() == [True, False]
    assert list(bars.fields) == ["pe"]


def test_instruments_are_matched_by_symbol_and_unknown_ones_refused():
    frame = frame_at(["2020-01-02"])
    es = Instrument("ES", "FUT", "CME", "USD", 50.0, 0.25)
    assert Bars.from_frame(frame, symbol="ES", bar_size="1 day", instruments=[es]).instruments == (es,)
    with pytest.raises(UnknownNameError, match="'ES'"):
        Bars.from_frame(frame, symbol="NQ", bar_size="1 day", instruments=[es])


@pytest.mark.parametrize(
    ("given_frame", "says"),
    [
        (pd.DataFrame(), "empty"),
        ([1, 2], "DataFrame is needed"),
        (pd.DataFrame({c: [1.0] for c in OHLC}), "numbers .* not times"),
        (pd.DataFrame({c: [1.0] for c in OHLC}, index=["yesterday-ish"]), "cannot be read as times"),
    ],
)
def test_what_is_no_frame_of_bars_is_an_error(given_frame, says):
    with pytest.raises(DataError, match=says):
        Bars.from_frame(given_frame, bar_size="1 day")


def test_text_dates_in_the_index_are_read():
    frame = frame_at(["2020-01-02"]).set_axis(["2020-01-02"], axis=0)
    assert Bars.from_frame(frame, bar_size="1 day").index[0] == pd.Timestamp("2020-01-02")


# -- times -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (["2020-01-03", "2020-01-02"], "comes after"),
        (["2020-01-02", "2020-01-02"], "occurs twice"),
        (["2020-01-02", None], "row 1 has no time"),
    ],
)
def test_unsorted_duplicate_and_missing_times_are_errors(index, says):
    with pytest.raises(DataError, match=says):
        Bars.from_frame(frame_at(index), bar_size="1 day")


def test_naive_intraday_times_need_a_zone():
    frame = frame_at(["2020-01-02 10:00"])
    with pytest.raises(DataError, match="no zone; give tz"):
        Bars.from_frame(frame, bar_size="1 min")
    assert stamps(Bars.from_frame(frame, bar_size="1 min", tz="America/New_York")) == ["2020-01-02 15:00"]


def test_an_unknown_zone_calendar_or_stamp_is_an_error():
    frame = frame_at(["2020-01-02 10:00"])
    with pytest.raises(DataError, match="zone 'Mars'"):
        Bars.from_frame(frame, bar_size="1 min", tz="Mars")
    with pytest.raises(UnknownNameError, match="did you mean 'XNYS'"):
        Bars.from_frame(frame, bar_size="1 min", tz="UTC", calendar="XNYSE")
    with pytest.raises(UnknownNameError, match="stamp 'middle'"):
        Bars.from_frame(frame, bar_size="1 min", tz="UTC", stamp="middle")


def test_an_hour_that_a_clock_change_repeats_is_an_error():
    frame = frame_at(["2020-11-01 01:30"])
    with pytest.raises(DataError, match="cannot be placed in zone"):
        Bars.from_frame(frame, bar_size="1 min", tz="America/New_York")


def test_so_is_a_daily_time_in_it():
    frame = frame_at(["2020-11-01 01:30"])
    with pytest.raises(DataError, match="cannot be placed in zone"):
        Bars.from_frame(frame, bar_size="1 day", tz="America/New_York")


def test_times_closer_than_the_bar_size_are_mixed_sizes():
    frame = frame_at(["2020-01-02 10:00", "2020-01-02 10:05", "2020-01-02 10:06"])
    with pytest.raises(DataError, match=r"60 s apart.*bar sizes are mixed"):
        Bars.from_frame(frame, bar_size="5 mins", tz="UTC")


# -- daily stamps ----------------------------------------------------------------------------------------

MIDNIGHTS = [
    (["2020-01-02", "2020-07-02"], None, None),
    (pd.DatetimeIndex(["2020-01-02", "2020-07-02"], tz="UTC"), None, None),
    (pd.DatetimeIndex(["2020-01-02", "2020-07-02"], tz="Asia/Tokyo"), None, None),
    (pd.DatetimeIndex(["2020-01-02 05:00", "2020-07-02 04:00"], tz="UTC"), "America/New_York", None),
]


@pytest.mark.parametrize(("index", "tz", "_"), MIDNIGHTS)
def test_midnights_in_any_zone_name_sessions(index, tz, _):
    bars = Bars.from_frame(frame_at(index), bar_size="1 day", tz=tz)
    assert [str(d)[:10] for d in bars.index] == ["2020-01-02", "2020-07-02"]
    assert stamps(bars) == ["2020-01-03 00:00", "2020-07-03 00:00"]


def test_a_calendar_stamps_sessions_at_their_close_in_summer_winter_and_on_short_days():
    bars = Bars.from_frame(
        frame_at(["2012-01-03", "2012-07-02", "2012-07-03"]), bar_size="1 day", calendar="XNYS"
    )
    assert stamps(bars) == ["2012-01-03 21:00", "2012-07-02 20:00", "2012-07-03 17:00"]
    assert bars.calendar == "XNYS"


def test_daily_closes_with_a_time_of_day_keep_their_date_and_time():
    index = pd.DatetimeIndex(["2020-01-02 16:00", "2020-01-03 16:00"], tz="America/New_York")
    bars = Bars.from_frame(frame_at(index), bar_size="1 day")
    assert stamps(bars) == ["2020-01-02 21:00", "2020-01-03 21:00"]
    assert [str(d)[:10] for d in bars.index] == ["2020-01-02", "2020-01-03"]


def test_naive_daily_times_of_day_need_a_zone():
    with pytest.raises(DataError, match="time of day but no zone"):
        Bars.from_frame(frame_at(["2020-01-02 16:00"]), bar_size="1 day")


def test_a_bar_on_a_closed_day_stays_in_order():
    bars = Bars.from_frame(
        frame_at(["2012-07-03", "2012-07-04", "2012-07-05"]), bar_size="1 day", calendar="XNYS"
    )
    assert stamps(bars)[1] == "2012-07-04 20:00"


@pytest.mark.parametrize(
    ("size", "label", "stamp", "calendar", "session"),
    [
        ("1 week", "2020-01-06", "open", None, "2020-01-12"),
        ("1 week", "2020-04-06", "open", "XNYS", "2020-04-09"),  # Good Friday: Thursday is the last session
        ("1 week", "2020-01-10", "close", "XNYS", "2020-01-10"),
        ("1 month", "2020-02-01", "open", None, "2020-02-29"),
        ("1 month", "2020-02-01", "open", "XNYS", "2020-02-28"),
        ("1 month", "2020-05-31", "close", "XNYS", "2020-05-29"),
        ("3 months", "2020-01-01", "open", None, "2020-03-31"),
    ],
)
def test_weeks_and_months_end_on_their_last_session(size, label, stamp, calendar, session):
    bars = Bars.from_frame(frame_at([label]), bar_size=size, stamp=stamp, calendar=calendar)
    assert str(bars.index[0])[:10] == session


# -- intraday stamps -------------------------------------------------------------------------------------


def test_open_stamped_bars_are_moved_to_their_close():
    index = pd.DatetimeIndex(["2020-01-02 09:30", "2020-01-02 09:31"], tz="America/New_York")
    bars = Bars.from_frame(frame_at(index), bar_size="1 min", stamp="open")
    assert stamps(bars) == ["2020-01-02 14:31", "2020-01-02 14:32"]


def test_a_last_bar_that_would_reach_beyond_its_session_ends_with_it():
    index = pd.DatetimeIndex(["2020-01-02 14:30", "2020-01-02 15:30"], tz="America/New_York")
    bars = Bars.from_frame(frame_at(index), bar_size="1 hour", stamp="open", calendar="XNYS")
    assert stamps(bars) == ["2020-01-02 20:30", "2020-01-02 21:00"]


def test_a_bar_belongs_to_the_session_it_starts_in_and_evenings_to_the_next():
    index = pd.DatetimeIndex(
        ["2020-01-03 15:00", "2020-01-03 17:30", "2020-01-06 10:00"], tz="America/New_York"
    )
    bars = Bars.from_frame(frame_at(index), bar_size="1 min", calendar="XNYS")
    assert [str(s.astype("M8[D]")) for s in bars.session] == ["2020-01-03", "2020-01-06", "2020-01-06"]


def test_without_a_calendar_sessions_are_local_dates_and_midnight_ends_the_day_before():
    index = pd.DatetimeIndex(
        ["2020-01-02 23:59", "2020-01-03 00:00", "2020-01-03 00:01"], tz="America/New_York"
    )
    bars = Bars.from_frame(frame_at(index), bar_size="1 min")
    assert [str(s.astype("M8[D]")) for s in bars.session] == ["2020-01-02", "2020-01-02", "2020-01-03"]


def test_futures_evenings_belong_to_the_next_date():
    index = pd.DatetimeIndex(["2020-01-02 16:59", "2020-01-02 18:05"], tz="America/New_York")
    bars = Bars.from_frame(frame_at(index), bar_size="1 min", calendar="us_futures")
    assert [str(s.astype("M8[D]")) for s in bars.session] == ["2020-01-02", "2020-01-03"]


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_open_and_close_stamps_of_the_same_bars_give_the_same_bars(seed, n_bars):
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.choice(np.arange(1, 5000), n_bars, replace=False))
    opens = pd.Timestamp("2020-03-02", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    a = Bars.from_frame(frame_at(opens), bar_size="1 min", stamp="open")
    b = Bars.from_frame(frame_at(opens + pd.Timedelta("1min")), bar_size="1 min", stamp="close")
    assert a.content_hash == b.content_hash


@pytest.mark.parametrize("calendar", [None, "XNYS"])
def test_bars_to_frame_and_back_are_the_same_bars(calendar):
    frame = pd.concat(
        {"A": frame_at(["2020-01-02", "2020-01-03"]), "B": frame_at(["2020-01-02", "2020-01-03"], 5.0)},
        axis=1,
    )
    bars = Bars.from_frame(frame, bar_size="1 day", calendar=calendar)
    again = Bars.from_frame(bars.to_frame(), bar_size="1 day", calendar=calendar)
    assert again.content_hash == bars.content_hash


# -- calendars -------------------------------------------------------------------------------------------


def days(text):
    return int(np.datetime64(text, "D").astype(np.int64))


def test_a_calendar_reaches_back_beyond_the_library_default():
    closes = session_closes("XNYS", np.array([days("1987-10-19")]))
    assert str(closes.view("M8[ns]")[0])[:16] == "1987-10-19T20:00"


def test_days_before_a_calendar_begins_are_an_error_that_says_from_when():
    with pytest.raises(DataError, match="'XTKS' is known from 1997-01-01"):
        load_calendar("XTKS", days("1990-01-02"), days("1991-01-02"))
    first = load_calendar("XTKS", days("1997-01-03"), days("1997-02-03")).closes.index[0]
    assert first >= pd.Timestamp("1997-01-01")


def test_sessions_as_planned_have_the_days_that_fell_out_with_their_usual_close():
    day, close = foreseen_sessions("XNYS", days("2001-09-10"), days("2001-09-17"))
    week = slice(*np.searchsorted(day, [days("2001-09-07"), days("2001-09-18")]))
    assert [str(d)[-2:] for d in day[week].astype("M8[D]")] == ["07", "10", "11", "12", "13", "14", "17"]
    assert {str(t)[11:16] for t in close[week].view("M8[ns]")} == {"20:00"}
    assert (np.diff(day) > 0).all()
    assert (np.diff(close) > 0).all()
    calendar = load_calendar("XNYS", days("2001-09-10"), days("2001-09-17"))
    opened = np.isin(day.astype("M8[D]"), calendar.closes.index.to_numpy("M8[D]"))
    assert opened.sum() == len(calendar.closes)
    np.testing.assert_array_equal(session_closes("XNYS", day[opened]), close[opened])


def test_a_holiday_on_a_day_that_never_is_a_session_was_not_planned_as_one():
    day, _ = foreseen_sessions("XHKG", days("2024-02-01"), days("2024-02-20"))
    assert days("2024-02-09") in day  # half a day before the new year
    assert days("2024-02-10") not in day  # listed as a holiday, and a Saturday
    assert not (day > days("2029-12-31")).any()
