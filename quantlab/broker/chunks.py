"""Chunks of history: which stretches to ask for, so that each request is one that Interactive Brokers allows.

A stretch is at most as long as its duration certainly reaches back, so that no bar falls between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantlab.barsize import DAY_NS, SECOND_NS, BarSize

if TYPE_CHECKING:
    from quantlab.data.sessions import Sessions

__all__ = ["Chunk", "chunks_between"]

SECONDS = 1800
"""Stretch of bars below five seconds; 2000 seconds are the most that may be asked for."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request of history.

    Attributes
    ----------
    start_ns, end_ns : int
        Bars that open from `start_ns` up to, but not at, `end_ns` belong to it; UTC. For bars of a day or longer
        these are midnights UTC of dates, and dates count.
    until_ns : int
        End to ask for.
    duration : str
        How far back from there, in Interactive Brokers' words.
    """

    start_ns: int
    end_ns: int
    until_ns: int
    duration: str


def _step(size: BarSize) -> tuple[str, int]:
    """Duration to ask for, and days that it certainly covers."""
    if size.unit == "sec":
        return "1 D", 1
    if size.unit == "min":
        return ("1 W", 7) if size.count < 5 else ("1 M", 28)
    if size.unit in {"hour", "day"}:
        return "1 Y", 360
    return "5 Y", 1800


def chunks_between(
    size: BarSize, start_ns: int, end_ns: int, sessions: Sessions, *, backwards: bool = False
) -> list[Chunk]:
    """Chunks that cover a stretch.

    Parameters
    ----------
    size : BarSize
        Interval of one bar.
    start_ns, end_ns : int
        The stretch, UTC; the end is not in it.
    sessions : Sessions
        Sessions over the stretch; nothing is asked for where there is none.
    backwards : bool
        Newest first, so that what is stored always touches what was stored before.
    """
    if size.unit == "sec" and size.count < 5:
        found = _seconds(start_ns, end_ns, sessions)
    else:
        duration, days = _step(size)
        # A date's bar is complete on the next date at the latest, wherever the exchange is.
        margin = 0 if size.intraday else DAY_NS
        found = []
        first = start_ns if size.intraday else start_ns // DAY_NS * DAY_NS
        while first < end_ns:
            last = min((first // DAY_NS + days) * DAY_NS, end_ns)
            if _trades(sessions, first, last, by_date=not size.intraday):
                found.append(Chunk(first, last, last + margin, duration))
            first = last
    return found[::-1] if backwards else found


def _seconds(start_ns: int, end_ns: int, sessions: Sessions) -> list[Chunk]:
    found = []
    for opened, closed in zip(sessions.open.tolist(), sessions.close.tolist(), strict=True):
        first, over = max(opened, start_ns), min(closed, end_ns)
        while first < over:
            last = min(first + SECONDS * SECOND_NS, over)
            found.append(Chunk(first, last, last, f"{SECONDS} S"))
            first = last
    return found


def _trades(sessions: Sessions, start_ns: int, end_ns: int, *, by_date: bool) -> bool:
    """Whether any session lies in the stretch, at least in part."""
    if by_date:
        return bool(((sessions.day * DAY_NS >= start_ns) & (sessions.day * DAY_NS < end_ns)).any())
    return bool(((sessions.close > start_ns) & (sessions.open < end_ns)).any())
