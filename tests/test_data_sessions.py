"""Sessions: a thin face of exchange_calendars."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab.data.sessions import known_calendars, sessions_between
from quantlab.errors import DataError, UnknownNameError


def days(text):
    return int(np.datetime64(text, "D").astype(np.int64))


def test_sessions_have_their_open_and_close_and_both_ends_count():
    sessions = sessions_between("XNYS", days("2012-07-02"), days("2012-07-05"))
    assert [str(d.astype("M8[D]")) for d in sessions.day] == ["2012-07-02", "2012-07-03", "2012-07-05"]
    assert [str(t)[11:16] for t in sessions.open.view("M8[ns]")] == ["13:30"] * 3
    assert [str(t)[11:16] for t in sessions.close.view("M8[ns]")] == ["20:00", "17:00", "20:00"]


def test_a_span_without_sessions_is_empty():
    sessions = sessions_between("XNYS", days("2012-07-04"), days("2012-07-04"))
    assert sessions.day.size == 0
    assert sessions.asked == (days("2012-07-04"), days("2012-07-04"))


def test_history_reaches_back_beyond_twenty_years():
    assert sessions_between("XNYS", days("1990-01-01"), days("1990-01-31")).day.size == 22


def test_unknown_calendars_and_days_out_of_reach_are_errors():
    with pytest.raises(UnknownNameError, match="did you mean 'XNYS'"):
        sessions_between("XNYSS", 0, 1)
    with pytest.raises(DataError, match="known from"):
        sessions_between("XTKS", days("1980-01-01"), days("1980-02-01"))


def test_the_names_of_calendars_can_be_listed():
    assert {"XNYS", "CMES", "24/7", "24/5"} <= set(known_calendars())
