"""Exchange sessions: which days an exchange trades, and from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantlab.barsize import DAY_NS
from quantlab.frames import load_calendar

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sessions", "known_calendars", "sessions_between"]


@dataclass(frozen=True, eq=False)
class Sessions:
    """Consecutive sessions of one exchange.

    Attributes
    ----------
    calendar : str
        Name of the calendar.
    day : ndarray of shape (n_sessions,)
        int64 days from 1970-01-01 to the session's date, rising.
    open, close : ndarray of shape (n_sessions,)
        First and last instant of trading, int64 ns UTC.
    asked : tuple of int
        First and last day that were asked for; between them every session is listed.
    """

    calendar: str
    day: NDArray[np.int64]
    open: NDArray[np.int64]
    close: NDArray[np.int64]
    asked: tuple[int, int]

    def between(self, first_day: int, last_day: int) -> Sessions:
        """Sessions from `first_day` to `last_day`, both inclusive; may be none."""
        cut = slice(*np.searchsorted(self.day, (first_day, last_day + 1)))
        return Sessions(self.calendar, self.day[cut], self.open[cut], self.close[cut], (first_day, last_day))


def known_calendars() -> list[str]:
    """Names that a calendar may have, sorted."""
    import exchange_calendars as xc

    return sorted(xc.get_calendar_names())


def sessions_between(calendar: str, first_day: int, last_day: int) -> Sessions:
    """Sessions of `calendar` from `first_day` to `last_day`, both inclusive.

    Parameters
    ----------
    calendar : str
        Name that `exchange_calendars` knows, such as ``"XNYS"``.
    first_day, last_day : int
        Days from 1970-01-01.

    Raises
    ------
    UnknownNameError
        For a calendar that is not known.
    DataError
        For days that the calendar does not reach.
    """
    import pandas as pd

    loaded = load_calendar(calendar, first_day, last_day)
    day = loaded.closes.index.as_unit("ns").asi8 // DAY_NS
    opened, closed = (pd.DatetimeIndex(x.array).as_unit("ns").asi8 for x in (loaded.opens, loaded.closes))
    return Sessions(calendar, day, opened, closed, (first_day, last_day)).between(first_day, last_day)
