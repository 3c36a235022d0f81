"""Times as Interactive Brokers writes them, into ns UTC and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from quantlab.barsize import SECOND_NS
from quantlab.errors import DataError

__all__ = ["date_ns", "is_date", "text_of_time", "time_of_text"]

PATTERN = re.compile(r"(\d{4})(\d{2})(\d{2})(-| {1,2})(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(?: (\S.*))?")

SHORT_ZONES = {"UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "MST": -7, "MDT": -6, "PDT": -7, "PST": -8}
"""Abbreviations that mean one thing, in hours; CST is Chicago's and Shanghai's, so it is not here."""


def is_date(text: str) -> bool:
    """Whether a stamp is a date (``"yyyymmdd"``), which names a session and no instant."""
    return len(text) == 8 and text.isdigit()


def date_ns(text: str) -> int:
    """Midnight UTC of a date ``"yyyymmdd"``, ns.

    Raises
    ------
    DataError
        For a text that is no date.
    """
    try:
        return int(datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).timestamp()) * SECOND_NS
    except ValueError as error:
        raise DataError(f"{text!r} is no date; 'yyyymmdd' is needed.") from error


def time_of_text(text: str) -> int | None:
    """Read a time.

    Parameters
    ----------
    text : str
        Seconds since 1970; ``"yyyymmdd-hh:mm:ss"`` (UTC); or ``"yyyymmdd hh:mm:ss Zone"``.

    Returns
    -------
    int or None
        ns UTC; None where the text names no instant: a date, a wall clock without a zone, an unknown zone.
    """
    if text.isdigit() and len(text) != 8:
        return int(text) * SECOND_NS
    match = PATTERN.fullmatch(text.strip())
    if match is None:
        return None
    name = match[8] or ("UTC" if match[4] == "-" else "")
    zone = _zone(name) if name else None
    if zone is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(match[k]) for k in (1, 2, 3, 5, 6, 7))
        local = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
    return int(local.timestamp()) * SECOND_NS


def text_of_time(time_ns: int) -> str:
    """``"yyyymmdd-hh:mm:ss"``, which means UTC: the one form that TWS reads without a question."""
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).strftime("%Y%m%d-%H:%M:%S")


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo | None:
    if name in SHORT_ZONES:
        return timezone(timedelta(hours=SHORT_ZONES[name]))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what the zone database says to names it does not have
        return None
