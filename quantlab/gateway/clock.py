"""Simulated time: it stands still until it is driven, or it runs with the wall clock and leaps over idle hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.barsize import SECOND_NS
from quantlab.errors import GatewayError
from quantlab.gateway.grid import PULSE, Moment

if TYPE_CHECKING:
    from quantlab.gateway.market import Hours

__all__ = ["DRIVEN", "STEPPED", "Clock", "Pace", "checked_speed", "moment_before", "opening_moment"]

DRIVEN, STEPPED = "max", "step"
"""Speeds at which simulated time does not follow the wall clock."""

IDLE_S = 60
"""Seconds that are kept after each close and before each open; the hours between them are leapt over."""

MORNING_S = 30 * 60
"""Seconds after the open at which a gateway that runs with the wall clock starts: 10:00 in New York."""


def checked_speed(speed: float | str) -> float | str:
    """Speed as a gateway takes it.

    Raises
    ------
    GatewayError
        For anything but a positive number, ``"max"`` and ``"step"``.
    """
    if speed in (DRIVEN, STEPPED):
        return speed
    try:
        number = float(speed)
    except (TypeError, ValueError):
        number = -1.0
    if not 0.0 < number < float("inf"):
        raise GatewayError(
            f"speed is {speed!r}; give 1 (as the wall clock), another positive number such as 60, 'max' (time moves "
            "when the client asks for it) or 'step' (time moves by hand)."
        )
    return number


class Clock:
    """Where simulated time is.

    Parameters
    ----------
    start : Moment
        Where it begins.
    speed : float or str
        Simulated seconds a second, or `DRIVEN` or `STEPPED`.
    """

    def __init__(self, start: Moment, speed: float | str) -> None:
        self.moment = start
        self.speed = speed

    @property
    def now_ns(self) -> int:
        """Simulated time, ns UTC."""
        return self.moment.time_ns

    @property
    def runs(self) -> bool:
        """Whether time runs by itself."""
        return not isinstance(self.speed, str)

    def move_to(self, moment: Moment) -> None:
        """Go to a moment; one that is past leaves time where it is."""
        self.moment = max(self.moment, moment)


class Pace:
    """How simulated time follows the wall clock.

    Parameters
    ----------
    hours : Hours
        Sessions; between a minute after a close and a minute before the next open no time passes.
    speed : float
        Simulated seconds a wall second.
    start_ns : int
        Simulated time now.
    wall_s : float
        Wall time now, in seconds of any clock that runs evenly.
    """

    def __init__(self, hours: Hours, speed: float, start_ns: int, wall_s: float) -> None:
        margin = IDLE_S * SECOND_NS
        begin, end = hours.open_ns - margin, hours.close_ns + margin
        joined = np.concatenate(([False], begin[1:] <= end[:-1]))
        self._begin = begin[~joined]
        self._end = end[np.append(~joined[1:], True)]
        length = self._end - self._begin
        self._passed = np.concatenate(([0], np.cumsum(length)))
        self.speed, self._wall_s = speed, wall_s
        self._origin = self._active(start_ns)

    def _active(self, time_ns: int) -> int:
        """Active time before an instant."""
        k = max(int(np.searchsorted(self._begin, time_ns, "right")) - 1, 0)
        within = min(max(time_ns - int(self._begin[k]), 0), int(self._end[k] - self._begin[k]))
        return int(self._passed[k]) + within

    def time_at(self, wall_s: float) -> int:
        """Give the simulated time at a wall time, ns UTC; at the end of the data it stands still."""
        active = self._origin + round((wall_s - self._wall_s) * self.speed * SECOND_NS)
        active = min(active, int(self._passed[-1]))
        k = min(int(np.searchsorted(self._passed, active, "right")) - 1, self._begin.size - 1)
        return int(self._begin[k]) + active - int(self._passed[k])

    def wall_of(self, time_ns: int) -> float:
        """Wall time at which simulated time gets to an instant."""
        return self._wall_s + (self._active(time_ns) - self._origin) / (self.speed * SECOND_NS)


def opening_moment(hours: Hours, speed: float | str, start_day: int | None) -> Moment:
    """Where a gateway starts.

    Parameters
    ----------
    hours : Hours
        Sessions.
    speed : float or str
        With the wall clock half an hour into the session; else at the last close before it.
    start_day : int or None
        Days since 1970; the first session of the last calendar year, if None.

    Raises
    ------
    GatewayError
        For a day after the last session.
    """
    if start_day is None:
        year = hours.day[-1].astype("M8[D]").astype("M8[Y]")
        start_day = int(year.astype("M8[D]").astype(np.int64))
    k = int(np.searchsorted(hours.day, start_day))
    if k >= hours.day.size:
        first, last = (str(hours.day[i].astype("M8[D]")) for i in (0, -1))
        raise GatewayError(
            f"the gateway cannot start on {np.datetime64(start_day, 'D')}: its prices run from {first} to {last}."
        )
    if isinstance(speed, str):
        return moment_before(hours, k)
    opened, closed = int(hours.open_ns[k]), int(hours.close_ns[k])
    return Moment(min(opened + MORNING_S * SECOND_NS, (opened + closed) // 2), PULSE)


def moment_before(hours: Hours, number: int) -> Moment:
    """Last close before a session; a second before the first session of all."""
    if number > 0:
        # Bars that close then have closed; those that open at the same instant have not opened.
        return Moment(int(hours.close_ns[number - 1]), 0)
    return Moment(int(hours.open_ns[0]) - SECOND_NS, PULSE)
