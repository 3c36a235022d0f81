"""Longer bars inside a strategy: which are completed when, against a loop, and that nothing of the future shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quantlab as ql
from quantlab.bars import Bars
from quantlab.errors import DataError, ParameterError
from quantlab.signals import Coarse, resample_to, sma
from quantlab.signals.memo import Memo

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


@settings(max_examples=40)
@given(st.integers(1, 129), st.integers(0, 60), st.sampled_from(["1 hour", "1 day", "1 week"]))
def test_a_window_of_the_history_sees_what_the_history_sees(stop, start, size):
    """What a live run sees is a window that ends at the newest bar."""
    bars = minutes()
    whole = resample_to(bars, size)
    stop = max(stop, start + 1)
    window = resample_to(bars.take(slice(start, stop)), size)
    seen, full = window.align(window.bars.close), whole.align(whole.bars.close)[start:stop]
    known = window.completed >= 0
    np.testing.assert_array_equal(seen[known], full[known])
    # Only what began before the window may be missing.
    first = int(np.argmax(known)) if known.any() else len(known)
    assert known[first:].all()


@ql.strategy
def with_the_day(bars, n=2):
    day = resample_to(bars, "1 day")
    return day.align(day.bars.close > sma(day.bars.close, n)) & (bars.close > sma(bars.close, 3))


@ql.strategy
def ahead_of_the_day(bars, n=2):
    """A day's own close at each of its bars: what a join on the date gives."""
    day = bars.resample("1 day")
    rows = np.searchsorted(day.session, bars.session)
    return (day.close > sma(day.close, n))[rows] & (bars.close > sma(bars.close, 3))


@ql.strategy
def with_the_week(bars, n=3):
    week = resample_to(bars, "1 week")
    return week.align(week.bars.close > sma(week.bars.close, n))


def test_check_finds_it_causal_and_what_leaks_the_day_not():
    bars = minutes(step=10)
    assert ql.check(with_the_day, bars).causal
    assert not ql.check(ahead_of_the_day, bars).causal
    assert ql.check(with_the_week, ql.sample(["AAPL", "IBM"]).between("2008-01-01", "2010-12-31")).causal


def test_a_sweep_makes_longer_bars_once():
    bars = minutes()
    memo = Memo(bars, 1 << 22)
    with memo.active():
        assert resample_to(bars, "1 day") is resample_to(bars, "1 day")
        assert isinstance(resample_to(bars, "1 hour"), Coarse)
    assert resample_to(bars, "1 day") is not resample_to(bars, "1 day")


def test_what_cannot_be_is_refused():
    bars = minutes()
    day = resample_to(bars, "1 day")
    with pytest.raises(DataError, match="choose a longer size"):
        resample_to(bars, "10 mins")
    with pytest.raises(ParameterError, match=r"one row for each of the 11 bars of 1 day"):
        day.align(bars.close)
    with pytest.raises(ParameterError, match=r"shape \(\)"):
        day.align(1.0)
