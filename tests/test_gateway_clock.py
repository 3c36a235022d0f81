"""Simulated time: where it starts, how it runs with the wall clock, and what it leaps over."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab.errors import GatewayError
from quantlab.gateway.clock import Clock, Pace, checked_speed, opening_moment
from quantlab.gateway.grid import CLOSE, OPEN, PULSE, Moment
from quantlab.gateway.market import Hours

S = 10**9
HOUR = 3600 * S
HOURS = Hours(
    np.array([10, 11, 400]),
    np.array([10, 34, 9600]) * HOUR,
    np.array([16, 40, 9606]) * HOUR,
)


def test_time_at_rest_only_moves_forward():
    clock = Clock(Moment(100, CLOSE), "max")
    clock.move_to(Moment(100, OPEN))
    clock.move_to(Moment(99, PULSE))
    assert clock.moment == Moment(100, OPEN)
    assert not clock.runs


@pytest.mark.parametrize(
    ("speed", "day", "moment"),
    [
        ("max", None, Moment(40 * HOUR, CLOSE)),
        ("step", 11, Moment(16 * HOUR, CLOSE)),
        ("max", 10, Moment(10 * HOUR - S, PULSE)),
        (1.0, 11, Moment(34 * HOUR + HOUR // 2, PULSE)),
        (60.0, None, Moment(9600 * HOUR + HOUR // 2, PULSE)),
    ],
)
def test_it_starts_at_the_close_before_the_first_day_or_half_an_hour_into_it(speed, day, moment):
    assert opening_moment(HOURS, speed, day) == moment


def test_a_start_after_the_last_session_is_refused_with_what_there_is():
    with pytest.raises(GatewayError, match=r"1971-02-10.*from 1970-01-11 to 1971-02-05"):
        opening_moment(HOURS, "max", 405)


@pytest.mark.parametrize("speed", ["fast", 0, -1, float("nan"), float("inf"), None])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(GatewayError, match="'max'"):
        checked_speed(speed)


@pytest.mark.parametrize(("given", "taken"), [("60", 60.0), (1, 1.0), ("max", "max"), ("step", "step")])
def test_a_speed_may_be_text(given, taken):
    assert checked_speed(given) == taken


def test_in_a_session_it_runs_with_the_wall_clock_times_its_speed():
    pace = Pace(HOURS, 60.0, 10 * HOUR, wall_s=1000.0)
    assert pace.time_at(1000.0) == 10 * HOUR
    assert pace.time_at(1010.0) == 10 * HOUR + 600 * S
    assert pace.wall_of(10 * HOUR + 600 * S) == pytest.approx(1010.0)


def test_it_leaps_from_a_minute_after_the_close_to_a_minute_before_the_open():
    pace = Pace(HOURS, 1.0, 16 * HOUR, wall_s=0.0)
    assert pace.time_at(59.0) == 16 * HOUR + 59 * S
    assert pace.time_at(61.0) == 34 * HOUR - 59 * S
    assert pace.wall_of(34 * HOUR) == pytest.approx(120.0)
    assert pace.wall_of(9600 * HOUR) == pytest.approx(120.0 + 6 * 3600 + 120.0)


def test_at_the_end_of_the_prices_it_stands_still():
    pace = Pace(HOURS, 1.0, 9606 * HOUR, wall_s=0.0)
    assert pace.time_at(60.0) == pace.time_at(1e9) == 9606 * HOUR + 60 * S


def test_sessions_without_a_pause_between_them_are_run_through():
    hours = Hours(np.arange(3), np.array([0, 24, 48]) * HOUR, np.array([24, 48, 72]) * HOUR)
    pace = Pace(hours, 3600.0, 0, wall_s=0.0)
    assert [pace.time_at(float(k)) for k in (0, 24, 30, 48)] == [0, 24 * HOUR, 30 * HOUR, 48 * HOUR]
