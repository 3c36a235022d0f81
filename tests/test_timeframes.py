"""Longer bars inside a strategy: which are completed when, against a loop, and that nothing of the future shows."""

from __future__ import annotations

from dataclasses import replace

import exchange_calendars as xc
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.coarse import last_completed

import quantlab as ql
from quantlab import signals
from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import DAY_NS, BarSize
from quantlab.errors import DataError, ParameterError
from quantlab.signals import Coarse, atr, resample_to, sma
from quantlab.signals.memo import Memo

# -- one exchange, by hand -----------------------------------------------------------------------------

DAYS = pd.bdate_range("2024-06-24", "2024-07-09")
"""Around the third of July, on which New York closes at one, and the fourth, a holiday; two months."""


def session_minutes(day, step):
    """Closes of the bars of a day in New York, in UTC."""
    end = "13:00" if day == pd.Timestamp("2024-07-03") else "16:00"
    local = pd.date_range(
        f"{day.date()} 09:30", f"{day.date()} {end}", freq=f"{step}min", tz="America/New_York"
    )
    return local[1:].tz_convert("UTC")


def minutes(step=30, drop=(), calendar="XNYS", symbols="AB", seed=0):
    """Bars of some minutes over the days above; `drop` are rows that are missing."""
    days = [d for d in DAYS if d != pd.Timestamp("2024-07-04")]
    index = session_minutes(days[0], step).append([session_minutes(d, step) for d in days[1:]])
    index = index[np.setdiff1d(np.arange(len(index)), np.asarray(drop, int))]
    rng = np.random.default_rng(seed)
    columns = {}
    for s in symbols:
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(index))))
        opened = close * np.exp(rng.normal(0.0, 0.002, len(index)))
        high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
        names = ("open", "high", "low", "close", "volume")
        for name, values in zip(names, (opened, high, low, close, np.full(len(index), 9.0)), strict=True):
            columns[s, name] = values
    frame = pd.DataFrame(columns, index=index)
    return Bars.from_frame(frame, bar_size=f"{step} mins", calendar=calendar)


def local(bars, t):
    return pd.Timestamp(bars.time[t], tz="UTC").tz_convert("America/New_York")


def naive_completed(bars, key_of, is_over):
    """Row of the last longer bar that is known to be over at each bar, by looking at every bar up to it."""
    keys = [key_of(local(bars, t)) for t in range(bars.n_bars)]
    order = list(dict.fromkeys(keys))
    found = []
    for t in range(bars.n_bars):
        over = [k for k in order[1:] if k in keys[: t + 1] and (keys[t] != k or is_over(local(bars, t)))]
        found.append(order.index(over[-1]) if over else -1)
    return found


def day_is_over(now):
    return now.strftime("%H:%M") == ("13:00" if now.strftime("%m-%d") == "07-03" else "16:00")


def week_is_over(now):
    return day_is_over(now) and now.day_name() == "Friday"


def month_is_over(now):
    return day_is_over(now) and now.strftime("%m-%d") == "06-28"


CASES = [
    ("1 day", lambda now: now.date(), day_is_over),
    ("1 week", lambda now: now.isocalendar()[:2], week_is_over),
    ("1 month", lambda now: now.month, month_is_over),
    ("1 hour", lambda now: (now.date(), (now - pd.Timedelta(1, "s")).hour), lambda now: now.minute == 0),
]


@pytest.mark.parametrize(("size", "key_of", "is_over"), CASES, ids=[c[0] for c in CASES])
@settings(max_examples=25)
@given(drop=st.sets(st.integers(0, 130), max_size=40))
def test_a_longer_bar_is_seen_from_the_bar_at_which_it_is_known_to_be_over(size, key_of, is_over, drop):
    bars = minutes(drop=sorted(drop))
    assert resample_to(bars, size).completed.tolist() == naive_completed(bars, key_of, is_over)


def test_without_a_calendar_a_day_is_over_when_the_next_one_has_come():
    bars = minutes(calendar=None)
    expected = naive_completed(bars, lambda now: now.date(), lambda _: False)
    assert resample_to(bars, "1 day").completed.tolist() == expected


def test_a_day_whose_last_bars_are_missing_is_over_when_the_next_one_has_come():
    bars = minutes(drop=[25])  # the last half hour of the second day
    completed = resample_to(bars, "1 day").completed
    assert completed[24] == -1
    assert completed[25] == 1


def test_weeks_of_days_end_on_their_last_session_by_the_calendar():
    bars = ql.sample("AAPL", adjustment="splits")
    week = resample_to(bars, "1 week")
    friday = bars.index.get_loc("2012-03-09")
    assert week.bars.index[week.completed[friday]] == pd.Timestamp("2012-03-09")
    assert week.completed[friday - 1] == week.completed[friday] - 1
    good_friday = bars.index.get_loc("2012-04-05")  # a Thursday, the last session of its week
    assert week.completed[good_friday] == week.completed[good_friday - 1] + 1


def test_values_are_those_of_the_last_completed_bar_and_nothing_before_the_first():
    bars = minutes()
    day = resample_to(bars, "1 day")
    average = sma(day.bars.close, 2)
    aligned = day.align(average)
    assert aligned.shape == bars.shape
    for t in range(bars.n_bars):
        k = day.completed[t]
        expected = average[k] if k >= 0 else np.full(2, np.nan)
        np.testing.assert_array_equal(aligned[t], expected)
    truths = day.align(day.bars.close > 0)
    assert truths.dtype == bool
    assert not truths[:25].any()
    assert day.align(np.arange(day.bars.n_bars)).shape == (bars.n_bars,)


def test_the_first_bar_and_one_in_progress_have_no_prices():
    bars = minutes()
    whole, part = resample_to(bars, "1 day"), resample_to(bars.take(slice(0, bars.n_bars - 3)), "1 day")
    assert np.isnan(whole.bars.close[0]).all()
    assert not np.isnan(whole.bars.close[1:]).any()
    for column in ("open", "high", "low", "close", "volume"):
        assert np.isnan(getattr(part.bars, column)[-1]).all()


# -- bars as they come, against a naive twin -----------------------------------------------------------

NEW_YORK_CLOSED = [
    "2001-09-03",
    "2001-11-22",
    "2001-12-25",
    "2024-03-29",
    "2024-05-27",
    "2024-06-19",
    "2024-07-04",
    "2024-09-02",
    "2024-11-28",
    "2024-12-25",
    "2025-01-01",
    "2025-01-20",
    "2025-02-17",
]
NEW_YORK_AT_ONE = ["2001-11-23", "2001-12-24", "2024-07-03", "2024-11-29", "2024-12-24"]


def new_york(first, last):
    """What was planned, written down by hand: nobody planned to close on the 11th of September 2001."""
    days = [d for d in pd.bdate_range(first, last) if str(d.date()) not in NEW_YORK_CLOSED]
    hours = [13 if str(d.date()) in NEW_YORK_AT_ONE else 16 for d in days]
    return [
        (d, (d + pd.Timedelta(hours=h)).tz_localize("America/New_York"))
        for d, h in zip(days, hours, strict=True)
    ]


def chicago(first, last):
    """Sessions that begin on the evening before."""
    return list(xc.get_calendar("CMES", start=first, end=last).closes.items())


def all_day(first, last):
    return [(d, (d + pd.Timedelta(days=1)).tz_localize("UTC")) for d in pd.date_range(first, last)]


PLACES = [
    ("XNYS", new_york, "America/New_York", "2024-06-26"),  # a half day and a holiday
    ("XNYS", new_york, "America/New_York", "2024-03-04"),  # clocks go forward
    ("XNYS", new_york, "America/New_York", "2024-10-28"),  # and back
    ("XNYS", new_york, "America/New_York", "2001-08-27"),  # closed all of a sudden
    ("CMES", chicago, "America/Chicago", "2024-03-04"),
    ("24/7", all_day, "UTC", "2024-02-26"),
    (None, None, "America/New_York", "2024-06-24"),
]
SIZES = {
    30: ("1 hour", "2 hours", "1 day", "1 week"),
    240: ("8 hours", "1 day", "2 days", "1 week", "1 month"),
    1440: ("2 days", "1 week", "2 weeks", "1 month"),
}


@st.composite
def cases(draw):
    """Bars round the clock and on every day, with holes in time and in assets, a longer size, and what was planned."""
    calendar, planned, zone, first = draw(st.sampled_from(PLACES))
    step = draw(st.sampled_from(sorted(SIZES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    midnight = pd.Timestamp(first) + pd.Timedelta(days=draw(st.integers(0, 9)))
    # Ten minutes off the clock a bar reaches across closes.
    off = draw(st.sampled_from([0, 10])) if step < 1440 else 0
    grid = midnight + pd.to_timedelta(np.arange(60) * step + off, unit="min")
    index = grid[rng.random(60) < draw(st.sampled_from([0.4, 0.9, 1.1]))]
    if not len(index):
        index = grid[:1]
    columns = {}
    for s in "AB":
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(index))))
        opened = close * np.exp(rng.normal(0.0, 0.002, len(index)))
        volume = np.where(rng.random(len(index)) < 0.1, np.nan, rng.integers(1, 99, len(index)))
        values = opened, np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999, close, volume
        hole = rng.random(len(index)) < draw(st.sampled_from([0.0, 0.3]))
        columns |= {(s, c): np.where(hole, np.nan, v) for c, v in zip(COLUMNS, values, strict=True)}
    index = index if step == 1440 else index.tz_localize("UTC")
    bars = Bars.from_frame(
        pd.DataFrame(columns, index=index),
        bar_size=f"{step} mins" if step < 1440 else "1 day",
        calendar=calendar,
    )
    if step < 1440 and draw(st.booleans()):
        # Dates of the place as sessions, so that trading after the close is of the day that closed.
        dates = (index - pd.Timedelta(1, "ns")).tz_convert(zone).tz_localize(None).normalize()
        bars = replace(bars, session=dates.as_unit("ns").asi8 // DAY_NS)
    return bars, draw(st.sampled_from(SIZES[step])), planned


def schedule_of(bars, planned):
    """Day and close, in ns, of every session planned around the bars; None where nobody knows."""
    if planned is None:
        return None
    first, last = (pd.Timestamp(int(x), unit="D") for x in (bars.session[0] - 35, bars.session[-1] + 45))
    found = planned(str(first.date()), str(last.date()))
    return [((d - pd.Timestamp(0)).days, c.as_unit("ns").value) for d, c in found]


@settings(max_examples=100)
@given(cases())
def test_what_is_seen_is_the_last_longer_bar_that_a_naive_twin_knows_to_be_over(case):
    bars, size, planned = case
    longer = resample_to(bars, size)
    expected = last_completed(
        bars.time.tolist(),
        bars.session.tolist(),
        [{c: getattr(bars, c)[:, i].tolist() for c in COLUMNS} for i in range(bars.n_assets)],
        BarSize.parse(bars.bar_size).duration_ns,
        BarSize.parse(size),
        schedule_of(bars, planned),
    )
    for k, c in enumerate(COLUMNS):
        seen = longer.align(getattr(longer.bars, c))
        np.testing.assert_array_equal(seen.T, np.array(expected)[:, :, k], err_msg=f"{c} of {size}")


@settings(max_examples=100)
@given(cases(), st.data())
def test_a_window_of_the_history_sees_what_the_history_sees(case, data):
    """What a live run sees is a window that ends at the newest bar."""
    bars, size, _ = case
    stop = data.draw(st.integers(1, bars.n_bars))
    start = data.draw(st.integers(0, stop - 1))
    whole, window = resample_to(bars, size), resample_to(bars.take(slice(start, stop)), size)
    known = window.completed >= 0
    for c in COLUMNS:
        seen, full = window.align(getattr(window.bars, c)), whole.align(getattr(whole.bars, c))[start:stop]
        np.testing.assert_array_equal(seen[known], full[known], err_msg=c)
        assert np.isnan(seen[~known]).all()
    # Only what began before the window may be missing.
    first = int(np.argmax(known)) if known.any() else len(known)
    assert known[first:].all()


@pytest.mark.parametrize("calendar", ["XNYS", None])
@pytest.mark.parametrize("size", ["1 hour", "1 day", "1 week"])
def test_longer_bars_are_those_of_resampling_but_for_the_first_and_one_in_progress(size, calendar):
    bars = minutes(drop=[4, 30, 31, 70], calendar=calendar).take(slice(3, 128))
    longer, resampled = resample_to(bars, size), bars.resample(size)
    np.testing.assert_array_equal(longer.bars.time, resampled.time)
    over = slice(1, longer.completed[-1] + 1)
    for c in COLUMNS:
        np.testing.assert_array_equal(getattr(longer.bars, c)[over], getattr(resampled, c)[over])
        assert np.isnan(getattr(longer.bars, c)[0]).all()
        assert np.isnan(getattr(longer.bars, c)[over.stop :]).all()


# -- what a calendar cannot be asked -------------------------------------------------------------------


def daily(days, calendar="XNYS"):
    close = 100.0 + np.arange(len(days)) % 7
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close), index=days)
    return Bars.from_frame(frame.assign(volume=1.0), bar_size="1 day", calendar=calendar)


def test_a_closure_that_nobody_planned_does_not_end_a_week_beforehand():
    days = pd.bdate_range("2001-08-27", "2001-09-21").drop(pd.bdate_range("2001-09-11", "2001-09-14"))
    bars = daily(days.drop(pd.Timestamp("2001-09-03")))
    completed = pd.Series(resample_to(bars, "1 week").completed, bars.index)
    assert completed["2001-09-07"] == 1
    assert completed["2001-09-10"] == 1  # a Monday, after which the exchange stayed closed
    assert completed["2001-09-17"] == 2
    assert completed["2001-09-21"] == 3


def test_a_bar_on_a_saturday_is_of_the_week_that_follows():
    bars = daily(pd.date_range("2024-06-03", "2024-06-30"))
    week = resample_to(bars, "1 week")
    close = pd.Series(week.align(week.bars.close)[:, 0], bars.index)
    of = pd.Series(bars.close[:, 0], bars.index)
    assert close["2024-06-14"] == close["2024-06-16"] == of["2024-06-14"]
    assert week.bars.open[2, 0] == of["2024-06-15"]


def test_trading_after_the_close_is_of_the_day_that_follows_whatever_session_the_bars_name():
    days = ["2024-06-24", "2024-06-25", "2024-06-26"]
    index = pd.DatetimeIndex(
        [pd.Timestamp(f"{d} {h}:00", tz="America/New_York") for d in days for h in (12, 16, 20)]
    )
    close = np.arange(1.0, 10.0)
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close), index=index)
    bars = Bars.from_frame(frame.assign(volume=1.0), bar_size="1 hour", calendar="XNYS")
    named = replace(bars, session=np.repeat(bars.session[::3], 3))
    assert not np.array_equal(named.session, bars.session)
    for given_bars in (bars, named):
        day = resample_to(given_bars, "1 day")
        assert day.align(day.bars.close)[:, 0].tolist()[4:] == [5.0, 5.0, 5.0, 8.0, 8.0]
        assert day.align(day.bars.open)[:, 0].tolist()[4:] == [3.0, 3.0, 3.0, 6.0, 6.0]


# -- check ---------------------------------------------------------------------------------------------


def above_the_day(bars, day_is_up):
    return day_is_up & (bars.close > sma(bars.close, 3))


@ql.strategy
def with_the_day(bars, n=2):
    day = resample_to(bars, "1 day")
    return above_the_day(bars, day.align(day.bars.close > sma(day.bars.close, n)))


@ql.strategy
def joined_by_the_date(bars, n=2):
    """A day's own close at each of its bars."""
    day = bars.resample("1 day")
    return above_the_day(bars, (day.close > sma(day.close, n))[np.searchsorted(day.session, bars.session)])


@ql.strategy
def over_when_another_day_follows(bars, n=2):
    """A day counts at its last bar, which is known from the next one."""
    day = bars.resample("1 day")
    row = np.searchsorted(day.session, bars.session) - np.append(np.diff(bars.session) == 0, True)
    return above_the_day(bars, (day.close > sma(day.close, n))[row] & (row >= 0)[:, None])


@ql.strategy
def with_the_hour_the_day_and_the_week(bars, n=3):
    """Whatever longer bars have: several sizes, columns and kinds of indicators at once."""
    hour, day, week = (resample_to(bars, size) for size in ("1 hour", "1 day", "1 week"))
    reach = day.align(atr(day.bars.high, day.bars.low, day.bars.close, n) / day.bars.close)
    fast = hour.align(signals.ta.RSI(hour.bars.close, timeperiod=5) / 100.0)
    tide = week.align(week.bars.close / week.bars.open)
    return np.tanh(np.nan_to_num(10.0 * reach + fast + tide * day.align(day.bars.open) / bars.close))


@ql.strategy
def with_the_week(bars, n=3):
    week = resample_to(bars, "1 week")
    return week.align(week.bars.close > sma(week.bars.close, n))


@pytest.mark.parametrize("idea", [with_the_day, with_the_hour_the_day_and_the_week], ids=lambda x: x.name)
@pytest.mark.parametrize("calendar", ["XNYS", None])
def test_check_finds_it_causal_on_minutes_and_on_bars_that_end_at_the_cut(idea, calendar):
    report = ql.check(idea, minutes(step=10, calendar=calendar, drop=[77, 78, 79, 150]))
    assert report.causal, report
    assert not any("could not be evaluated" in note for note in report.notes)


@pytest.mark.parametrize("calendar", ["XNYS", None])
def test_check_finds_it_causal_on_days(calendar):
    bars = ql.sample(["AAPL", "IBM"]).between("2001-06-01", "2003-12-31")
    bars = bars if calendar else replace(bars, meta={})
    assert ql.check(with_the_week, bars).causal


@pytest.mark.parametrize("cheat", [joined_by_the_date, over_when_another_day_follows], ids=lambda x: x.name)
def test_check_catches_a_day_that_is_seen_before_anybody_knows_it_is_over(cheat):
    report = ql.check(cheat, minutes(step=10))
    assert not report.causal
    assert report.first_offence.bar < 39 * 3  # within the first days


def test_check_would_catch_it_if_a_day_were_completed_one_bar_early(monkeypatch):
    from quantlab.signals import timeframes

    scheduled = timeframes._scheduled

    def hasty(bars, size):
        placed, ended = scheduled(bars, size)
        return placed, ended | np.append(ended[1:], False)

    monkeypatch.setattr(timeframes, "_scheduled", hasty)
    assert not ql.check(with_the_day, minutes(step=10)).causal


# -- the rest ------------------------------------------------------------------------------------------


def test_a_sweep_makes_longer_bars_once():
    bars = minutes()
    memo = Memo(bars, 1 << 22)
    with memo.active():
        assert resample_to(bars, "1 day") is resample_to(bars, "1 day")
        assert isinstance(resample_to(bars, "1 hour"), Coarse)
        assert not resample_to(bars, "1 day").completed.flags.writeable  # others are handed the same
    assert resample_to(bars, "1 day") is not resample_to(bars, "1 day")


def test_a_row_of_a_sweep_is_the_backtest_of_its_parameters():
    bars = ql.sample(["AAPL", "IBM"]).between("2008", "2010")
    table = ql.sweep(with_the_week, bars, {"n": (2, 3, 8)}, progress=False).table
    for n, equity in zip(table["n"], table["final_equity"], strict=True):
        assert ql.backtest(with_the_week, bars, {"n": n}).stats["final_equity"] == equity


def test_what_cannot_be_is_refused():
    bars = minutes()
    day = resample_to(bars, "1 day")
    with pytest.raises(DataError, match="choose a longer size"):
        resample_to(bars, "10 mins")
    with pytest.raises(ParameterError, match=r"one row for each of the 11 bars of 1 day"):
        day.align(bars.close)
    with pytest.raises(ParameterError, match=r"shape \(\)"):
        day.align(1.0)
