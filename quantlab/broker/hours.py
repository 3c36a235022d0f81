"""Trading hours as Interactive Brokers writes them, into instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from quantlab.barsize import SECOND_NS
from quantlab.errors import DataError

__all__ = ["Hours", "read_hours"]

PLACES = {
    "EST": "America/New_York",
    "EST5EDT": "America/New_York",
    "CST": "America/Chicago",
    "MST": "America/Denver",
    "PST": "America/Los_Angeles",
    "JST": "Asia/Tokyo",
}
"""Places behind abbreviations that older versions of TWS give; they mean the place, summer and winter."""


@dataclass(frozen=True, slots=True)
class Hours:
    """One stretch of trading.

    Attributes
    ----------
    date : str
        Day that it belongs to, ``"yyyymmdd"``.
    open_ns, close_ns : int
        From when to when, ns UTC.
    opens, closes : str
        The same as the exchange's clocks show it, ``"hh:mm"``.
    """

    date: str
    open_ns: int
    close_ns: int
    opens: str
    closes: str


def read_hours(text: str, zone: str) -> tuple[Hours, ...]:
    """Read trading hours.

    Parameters
    ----------
    text : str
        ``"20240105:0930-20240105:1600;20240106:CLOSED"``, or ``"20240105:0930-1200,1300-1600"``.
    zone : str
        Zone of its clocks, as contract details name it.

    Returns
    -------
    tuple of Hours
        Closed days have none.

    Raises
    ------
    DataError
        For a text that holds something else, and for an unknown zone.
    """
    word = zone.partition(" ")[0]
    try:
        place = ZoneInfo(PLACES.get(word, word))
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"the zone {zone!r} of trading hours is not known.") from error
    found = []
    for day in filter(None, text.split(";")):
        date, colon, stretches = day.partition(":")
        if not colon:
            raise DataError(f"trading hours {day!r} are not understood; 'yyyymmdd:hhmm-hhmm' is known.")
        if stretches == "CLOSED":
            continue
        # The newer form names the date once more, before the closing time.
        parts = [day] if stretches.count(":") else [f"{date}:{s}" for s in stretches.split(",")]
        found += [_stretch(date, part, place) for part in parts]
    return tuple(found)


def _stretch(date: str, text: str, place: ZoneInfo) -> Hours:
    start, dash, end = text.partition("-")
    if ":" not in end:
        end = f"{date}:{end}"
    try:
        opened, closed = (datetime.strptime(t, "%Y%m%d:%H%M").replace(tzinfo=place) for t in (start, end))
    except ValueError as error:
        raise DataError(
            f"trading hours {text!r} are not understood; 'yyyymmdd:hhmm-hhmm' is known."
        ) from error
    if not dash:
        raise DataError(f"trading hours {text!r} have no end.")
    stamps = [int(t.timestamp()) * SECOND_NS for t in (opened, closed)]
    return Hours(date, stamps[0], stamps[1], f"{opened:%H:%M}", f"{closed:%H:%M}")
