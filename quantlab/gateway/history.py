"""Bars that a client asks for: which request is good, which bars it means, and how they are written.

Nothing here shows a bar that has not closed, except the one in progress that a client asked to be kept up to date.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from quantlab.barsize import DAY_NS, SECOND_NS, BarSize
from quantlab.errors import ParameterError
from quantlab.gateway.contracts import Refusal, in_zone
from quantlab.gateway.path import STEP_NS
from quantlab.gateway.statements import moment_text
from quantlab.wire.messages import HistoricalBar, HistoricalData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.gateway.grid import Moment
    from quantlab.gateway.tape import Bar, Tape
    from quantlab.wire.messages import RequestHistoricalData

__all__ = ["BAR_SIZES", "PRICE_KINDS", "Query", "Shape", "answer_history", "head_text", "read_query"]

BAR_SIZES = (
    *("1 secs", "5 secs", "10 secs", "15 secs", "30 secs", "1 min", "2 mins", "3 mins", "5 mins", "10 mins"),
    *("15 mins", "20 mins", "30 mins", "1 hour", "2 hours", "3 hours", "4 hours", "8 hours"),
    *("1 day", "1 week", "1 month"),
)
"""Bar sizes that TWS knows."""

PRICE_KINDS = ("TRADES", "MIDPOINT", "BID", "ASK")
"""Kinds of prices that are served, and may be kept up to date."""

WHOLE_KINDS = (*PRICE_KINDS, "BID_ASK")

LONGEST = {"S": 86_400, "D": 365, "W": 52, "M": 12, "Y": 68}
"""Longest duration by its unit."""

SHORTEST_BAR_S = {"S": 1, "D": 5, "W": 10, "M": 30, "Y": 60}
"""Shortest bar that may be asked for over a duration of a unit, in seconds."""

UNITS_A_TRADE = 200.0
"""Units that one trade is taken to be of, since the data has no number of trades."""

DURATION = re.compile(r"(\d+) ([SDWMY])")
END = re.compile(r"(\d{8})(?:-|  ?)(\d{2}:\d{2}:\d{2})(?: ([A-Za-z_/+\-0-9]+))?")


class Shape(NamedTuple):
    """How a client wants its bars: kind of prices, half the spread as a fraction, format of dates, zone."""

    what: str
    half_spread: float
    format_date: int
    zone: str

    def bar(self, bar: Bar, size: BarSize) -> HistoricalBar:
        """Write one bar."""
        return HistoricalBar(self.stamp(bar, size), *self.numbers(bar))

    def numbers(self, bar: Bar) -> tuple[float, float, float, float, float, float, int]:
        """Open, high, low, close, volume, average and number of trades, of the kind that is wanted."""
        if self.what == "TRADES":
            known = bar.volume >= 0.0
            average = min(max((bar.high + bar.low + bar.close) / 3.0, bar.low), bar.high)
            count = int(bar.volume / UNITS_A_TRADE) + (bar.volume > 0.0) if known else -1
            return (
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume if known else -1.0,
                average,
                count,
            )
        side = {"BID": -1.0, "ASK": 1.0}.get(self.what, 0.0)
        scale = 1.0 + side * self.half_spread
        if self.what == "BID_ASK":
            down, up = 1.0 - self.half_spread, 1.0 + self.half_spread
            middle = (bar.high + bar.low) / 2.0
            return middle * down, bar.high * up, bar.low * down, middle * up, -1.0, -1.0, -1
        return bar.open * scale, bar.high * scale, bar.low * scale, bar.close * scale, -1.0, -1.0, -1

    def stamp(self, bar: Bar, size: BarSize) -> str:
        """Write a bar's date: the open of an intraday bar, the day of any other."""
        if not size.intraday:
            return _day_text(bar.close_ns, self.zone)
        if self.format_date == 2:
            return str(bar.open_ns // SECOND_NS)
        return _moment_text(bar.open_ns, self.zone)


class Query(NamedTuple):
    """A request that is good: bar size, first and last instant (ns UTC), and how to write."""

    size: BarSize
    from_ns: int
    to_ns: int
    shape: Shape
    without_zone: bool


def read_query(
    request: RequestHistoricalData, tape: Tape, moment: Moment, half_spread: float
) -> Query | Refusal:
    """Read a request for bars, or say why it is refused."""
    size = _bar_size(request.bar_size)
    if isinstance(size, Refusal):
        return size
    refusal = _kind_refusal(request, size)
    if refusal is not None:
        return refusal
    zone = tape.market.zone
    end = _end(request.end, zone, moment.time_ns)
    if isinstance(end, Refusal):
        return end
    first = _first(request.duration, size, tape, end.time_ns)
    if isinstance(first, Refusal):
        return first
    if size.duration_ns > DAY_NS:
        span = tape.grid(size).length_at(first)
        first = first if span is None else span[0]
    shape = Shape(request.what, half_spread, request.format_date, zone)
    return Query(size, first, end.time_ns, shape, end.without_zone)


def answer_history(
    request: RequestHistoricalData, query: Query, tape: Tape, column: int, running: Bar | None
) -> HistoricalData | Refusal:
    """Bars of a query as a message; error 162 where there is none.

    Parameters
    ----------
    request, query
        What was asked, as it came and as it was read.
    tape : Tape
        Prices.
    column : int
        Of the asset.
    running : Bar or None
        The bar in progress, for a request that is kept up to date.
    """
    found: Iterator[Bar] = tape.history(column, query.size, query.from_ns, query.to_ns)
    bars = [query.shape.bar(b, query.size) for b in found]
    if running is not None:
        bars.append(query.shape.bar(running, query.size))
    if not bars and not request.keep_up_to_date:
        symbol = tape.market.symbols[column]
        return Refusal(
            162,
            "Historical Market Data Service error message:HMDS query returned no data: "
            f"{symbol}@SMART {request.what.title()}",
        )
    start, end = (moment_text(t, query.shape.zone) for t in (query.from_ns, query.to_ns))
    return HistoricalData(request.request_id, start, end, tuple(bars))


def head_text(time_ns: int, format_date: int) -> str:
    """Write the earliest instant of which there is data."""
    if format_date == 2:
        return str(time_ns // SECOND_NS)
    return f"{in_zone(time_ns, 'UTC'):%Y%m%d-%H:%M:%S}"


@lru_cache(maxsize=1024)
def _day_text(close_ns: int, zone: str) -> str:
    """Day of a bar; kept, since the bars of many assets close together."""
    return f"{in_zone(close_ns - 1, zone):%Y%m%d}"


@lru_cache(maxsize=1024)
def _moment_text(time_ns: int, zone: str) -> str:
    return moment_text(time_ns, zone)


def _bar_size(text: str) -> BarSize | Refusal:
    try:
        size = BarSize.parse(text)
    except ParameterError:
        size = None
    if size is None or str(size) not in BAR_SIZES:
        return Refusal(
            321,
            f"Error validating request: bar size {text!r} is not known. Legal ones are: {', '.join(BAR_SIZES)}",
        )
    if size.duration_ns < STEP_NS:
        return Refusal(321, "Error validating request: this gateway serves no bars shorter than 5 secs.")
    return size


def _kind_refusal(request: RequestHistoricalData, size: BarSize) -> Refusal | None:
    """Why a kind of prices, or keeping it up to date, is refused; or None."""
    if request.what not in WHOLE_KINDS:
        return Refusal(
            321,
            f"Error validating request: {request.what!r} is not served by this gateway; "
            f"{', '.join(WHOLE_KINDS)} are. Prices are adjusted for splits, not for dividends.",
        )
    if request.format_date not in {1, 2}:
        return Refusal(321, f"Error validating request: formatDate {request.format_date} is not 1 or 2.")
    if request.keep_up_to_date and (request.end or request.what not in PRICE_KINDS):
        return Refusal(
            321,
            "Error validating request: what is kept up to date has no end date, and is one of "
            + ", ".join(PRICE_KINDS),
        )
    if request.keep_up_to_date and size.duration_ns > DAY_NS:
        return Refusal(321, f"Error validating request: bars of {size} cannot be kept up to date.")
    return None


class _End(NamedTuple):
    """End of a request, and whether its zone had to be guessed."""

    time_ns: int
    without_zone: bool


def _end(text: str, zone: str, now_ns: int) -> _End | Refusal:
    """Read the end of a request; one in the future is now."""
    if not text:
        return _End(now_ns, without_zone=False)
    wrong = Refusal(
        10314,
        f"End Date/Time: the date, time or time zone {text!r} is invalid. Write 'yyyymmdd-hh:mm:ss' in UTC, or "
        "'yyyymmdd hh:mm:ss US/Eastern'.",
    )
    match = END.fullmatch(text.strip())
    if match is None:
        return wrong
    named = "UTC" if "-" in text[:9] else match[3]
    try:
        clock = datetime.strptime(match[1] + match[2], "%Y%m%d%H:%M:%S").replace(
            tzinfo=ZoneInfo(named or zone)
        )
    except (ValueError, KeyError, OSError):
        return wrong
    return _End(min(int(clock.astimezone(UTC).timestamp()) * SECOND_NS, now_ns), named is None)


def _first(duration: str, size: BarSize, tape: Tape, end_ns: int) -> int | Refusal:
    """First instant of a request; days are sessions, weeks, months and years are dates."""
    match = DURATION.fullmatch(duration.strip())
    count = int(match[1]) if match else 0
    unit = match[2] if match else "S"
    if not 1 <= count <= LONGEST[unit]:
        allowed = ", ".join(f"{n} {u}" for u, n in LONGEST.items())
        return Refusal(
            321,
            f"Error validating request: duration {duration!r} is invalid; a number and a unit are needed, at most "
            f"{allowed}.",
        )
    if size.duration_ns < SHORTEST_BAR_S[unit] * SECOND_NS:
        return Refusal(
            162,
            f"Historical Market Data Service error message:invalid step: bars of {size} over {duration}; "
            f"the shortest are of {SHORTEST_BAR_S[unit]} seconds.",
        )
    hours = tape.market.hours
    begun = hours.upto(end_ns)
    if begun == 0:
        return end_ns
    if unit == "S":
        # Out of hours, the seconds before the last close.
        return min(end_ns, int(hours.close_ns[begun - 1])) - count * SECOND_NS
    if unit == "D":
        return int(hours.open_ns[max(begun - count, 0)])
    day = _days_before(in_zone(end_ns - 1, tape.market.zone).date(), count, unit)
    number = int(np.searchsorted(hours.day, day, "right"))
    return int(hours.open_ns[min(number, begun - 1)])


def _days_before(day: date, count: int, unit: str) -> int:
    """Days since 1970 of the date that is weeks, months or years before a date."""
    number = (day - date(1970, 1, 1)).days
    if unit == "W":
        return number - 7 * count
    months = day.year * 12 + day.month - 1 - count * (12 if unit == "Y" else 1)
    first = np.datetime64(f"{months // 12:04d}-{months % 12 + 1:02d}", "D")
    length = int((first.astype("M8[M]") + 1).astype("M8[D]").astype(np.int64) - first.astype(np.int64))
    return int(first.astype(np.int64)) + min(day.day, length) - 1
