"""Text and numbers into times: every vendor's way of writing a date, and no silent guess."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.data.times import epochs_to_times, text_to_times
from quantlab.errors import DataError, ParameterError, UnknownNameError


def parse(*texts, clock=None, date_format=None):
    clocks = None if clock is None else pa.chunked_array([pa.array(clock)])
    return text_to_times(pa.chunked_array([pa.array(texts)]), clocks, date_format)


def shown(times):
    return [str(t)[:19].replace("T", " ") for t in times.ns.view("M8[ns]")]


DAY = "2024-03-05 00:00:00"
WRITTEN = [
    (("2024-03-05",), None, DAY),
    (("2024/03/05",), None, DAY),
    (("2024.03.05",), None, DAY),
    (("2024-3-5",), None, DAY),
    (("20240305",), None, DAY),
    (("05.03.2024",), None, DAY),
    (("3/5/2024", "3/25/2024"), None, DAY),
    (("5/3/2024", "25/3/2024"), None, DAY),
    (("05-03-2024", "25-03-2024"), None, DAY),
    (("5-Mar-24",), None, DAY),
    (("05 March 2024",), None, DAY),
    (("Mar 05, 2024",), None, DAY),
    (("Tue, 05 Mar 2024",), None, DAY),
    (("2024-03-05 09:30",), None, "2024-03-05 09:30:00"),
    (("2024-03-05T09:30:15",), None, "2024-03-05 09:30:15"),
    (("2024-03-05T09:30:15.123456789",), None, "2024-03-05 09:30:15"),
    (("20240305 09:30:15",), None, "2024-03-05 09:30:15"),
    (("20240305 093015",), None, "2024-03-05 09:30:15"),
    (("20240305;093015",), None, "2024-03-05 09:30:15"),
    (("2024-03-05 09:30 AM", "2024-03-05 12:00 PM"), None, "2024-03-05 09:30:00"),
    (("3/25/2024 1:05:00 PM",), None, "2024-03-25 13:05:00"),
    (("2024-03-05 12:30 am",), None, "2024-03-05 00:30:00"),
    (("2024-03-05 24:00",), None, "2024-03-06 00:00:00"),
    (("25.03.2024 09:30:00.000",), None, "2024-03-25 09:30:00"),
    (("202403050930",), None, "2024-03-05 09:30:00"),
    (("20240305093015",), None, "2024-03-05 09:30:15"),
]


@pytest.mark.parametrize(("texts", "date_format", "expected"), WRITTEN)
def test_dates_are_read_however_they_are_written(texts, date_format, expected):
    times = parse(*texts, date_format=date_format)
    assert shown(times)[0] == expected
    assert times.zone is None
    assert not times.bad.any()


ZONED = [
    ("2024-03-05T09:30:00Z", "UTC", "2024-03-05 09:30:00"),
    ("2024-03-05 09:30:00+00:00", "UTC", "2024-03-05 09:30:00"),
    ("2024-03-05 09:30:00-05:00", "UTC", "2024-03-05 14:30:00"),
    ("2024-03-05 09:30:00+0530", "UTC", "2024-03-05 04:00:00"),
    ("20240305 09:30:00 US/Eastern", "US/Eastern", "2024-03-05 09:30:00"),
    ("2024-03-05 09:30:00 UTC", "UTC", "2024-03-05 09:30:00"),
]


@pytest.mark.parametrize(("text", "zone", "expected"), ZONED)
def test_zones_in_the_text_are_used(text, zone, expected):
    times = parse(text)
    assert (times.zone, shown(times)) == (zone, [expected])


def test_offsets_that_change_with_the_season_are_taken_row_by_row():
    assert shown(parse("2024-01-05 09:30-05:00", "2024-07-05 09:30-04:00")) == [
        "2024-01-05 14:30:00",
        "2024-07-05 13:30:00",
    ]


@pytest.mark.parametrize(
    "texts",
    [
        ("2024-01-05 09:30Z", "2024-01-05 09:31"),
        ("2024-01-05 09:30 US/Eastern", "2024-01-05 09:30 US/Central"),
    ],
)
def test_mixed_zones_are_an_error(texts):
    with pytest.raises(DataError, match="zone"):
        parse(*texts)


def test_a_date_and_a_time_of_day_in_two_columns_are_put_together():
    assert shown(parse("2024-03-05", "2024-03-05", clock=("09:30", "16:00:30"))) == [
        "2024-03-05 09:30:00",
        "2024-03-05 16:00:30",
    ]
    assert shown(parse("20240305", "20240305", clock=("93000", "160000"))) == [
        "2024-03-05 09:30:00",
        "2024-03-05 16:00:00",
    ]
    assert shown(parse("20240305", clock=("930",))) == ["2024-03-05 09:30:00"]


# -- m/d against d/m -------------------------------------------------------------------------------------


def test_dates_that_can_be_read_both_ways_are_an_error_that_names_the_option():
    with pytest.raises(DataError, match=r"month/day and as day/month.*--date-format"):
        parse("1/2/2024", "1/3/2024", "1/4/2024")


@pytest.mark.parametrize(("order", "month"), [("mdy", 1), ("dmy", 2)])
def test_the_option_settles_what_the_data_cannot(order, month):
    assert shown(parse("1/2/2024", date_format=order))[0][5:7] == f"{month:02d}"


def test_how_the_month_was_found_is_said():
    assert "mdy, since the second number exceeds 12" in parse("1/2/2024", "1/13/2024").notes[0]
    assert "dmy, since the first number exceeds 12" in parse("1/2/2024", "13/1/2024").notes[0]


def test_an_order_that_changes_within_the_file_is_an_error():
    with pytest.raises(DataError, match="change places"):
        parse("13/1/2024", "1/13/2024")


def test_an_order_that_contradicts_the_data_marks_the_rows_that_are_no_dates():
    assert parse("1/13/2024", "1/2/2024", date_format="dmy").bad.tolist() == [True, False]


def test_a_pattern_may_be_given():
    assert shown(parse("05|03|24", date_format="%d|%m|%y")) == [DAY]
    with pytest.raises(DataError, match="no time fits"):
        parse("2024", date_format="%d/%m/%Y")
    with pytest.raises(UnknownNameError, match="'mmddyy'"):
        parse("2024-03-05", date_format="mmddyy")
    with pytest.raises((ParameterError, DataError)):
        parse("2024-03-05", date_format="%Q")


def test_an_order_that_the_text_rules_out_is_an_error():
    with pytest.raises(DataError, match="begin with the year"):
        parse("2024-03-05", date_format="dmy")
    with pytest.raises(DataError, match="do not begin with the year"):
        parse("3/5/2024", date_format="ymd")


def test_two_digit_years_are_read_and_said():
    times = parse("3/25/68", "3/25/69")
    assert [s[:4] for s in shown(times)] == ["2068", "1969"]
    assert any("two digits" in n for n in times.notes)


# -- what is no time -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2024-13-01",
        "2024-00-10",
        "",
        "total",
        "2024-03-05 25:00",
        "2024-03-05 10:61",
        "2024-03-05x",
    ],
)
def test_a_row_that_is_no_time_is_marked_and_the_others_are_read(text):
    times = parse("2024-03-05", text, "2024-03-06")
    assert times.bad.tolist() == [False, True, False]


def test_a_column_without_any_time_is_an_error():
    with pytest.raises(DataError, match=r"'apples' are not understood.*--date-format"):
        parse("apples", "pears")


@given(st.dates(dt.date(1900, 1, 1), dt.date(2099, 12, 31)), st.times())
def test_iso_text_is_read_to_the_microsecond(date, time):
    moment = dt.datetime.combine(date, time)
    times = parse(moment.isoformat(sep=" ", timespec="microseconds"))
    assert times.ns[0] == np.datetime64(moment, "ns").astype(np.int64)


@given(
    st.lists(st.dates(dt.date(1970, 1, 1), dt.date(2068, 12, 31)), min_size=1, max_size=20),
    st.sampled_from(["mdy", "dmy"]),
)
def test_slashed_dates_are_read_right_or_refused_never_wrong(dates, order):
    pattern = {"mdy": "%m/%d/%Y", "dmy": "%d/%m/%Y"}[order]
    try:
        times = parse(*(d.strftime(pattern) for d in dates))
    except DataError:
        assert all(d.day <= 12 for d in dates)
        return
    assert [str(t)[:10] for t in times.ns.view("M8[ns]")] == [d.isoformat() for d in dates]


# -- counts since 1970 -----------------------------------------------------------------------------------

COUNTS = [
    (1_709_631_000, "seconds"),
    (1_709_631_000_000, "milliseconds"),
    (1_709_631_000_000_000, "microseconds"),
    (1_709_631_000_000_000_000, "nanoseconds"),
]


@pytest.mark.parametrize(("count", "unit"), COUNTS)
@pytest.mark.parametrize("as_text", [True, False])
def test_counts_since_1970_are_told_by_their_size(count, unit, as_text):
    times = parse(str(count)) if as_text else epochs_to_times(np.array([count]))
    assert shown(times) == ["2024-03-05 09:30:00"]
    assert times.zone == "UTC"
    assert unit in times.notes[0]


def test_counts_with_decimals_keep_their_fraction():
    assert shown(epochs_to_times(np.array([1_709_631_000.5])))[0] == "2024-03-05 09:30:00"
    assert epochs_to_times(np.array([1_709_631_000.5])).ns[0] % 10**9 == 5 * 10**8
    assert shown(parse("1709631000.0")) == ["2024-03-05 09:30:00"]


def test_row_numbers_are_no_times():
    with pytest.raises(DataError, match="neither dates nor counts"):
        epochs_to_times(np.arange(10))
