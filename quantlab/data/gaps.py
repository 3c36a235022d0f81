"""Detectors of missing and surplus bars, against an exchange calendar or against the weekdays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.barsize import DAY_NS
from quantlab.data.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.data.series import Series
    from quantlab.data.sessions import Sessions

__all__ = ["closed_days", "missing", "stamps"]

SHOWN = 3
"""Gaps that a finding names; the others are counted."""

HOLE_WEEKDAYS = 5
"""Weekdays in a row without a bar that no holiday explains, where there is no calendar. The longest closure
of
the New York exchange since 1933 took four (11 to 14 September 2001); Chinese and Japanese holidays take
more."""

CALENDAR_FROM = 0
"""Day from which the holidays of XNYS are judged (1970-01-01): before it, two independent histories of the
S&P 500
lack the same 182 days that exchange_calendars takes for sessions, so the calendar is at fault."""

LONG_SESSIONS = 63
"""Missing sessions in a row (a quarter) after which the symbol may stand for another company."""

MANY_MISSING = 0.05
"""Share of missing sessions above which the gap is an error: returns and averages then span wrong times."""

WEEKEND_SHARE = 0.02
"""Share of bars on weekends below which they are strays: a market that trades on weekends has 2 in 7, one
that
opens on Sunday evening 1 in 6."""

ACTIVE_MINUTES = 0.9
"""Share of its bars that a session must usually have before a missing one is called a gap: below it the
instrument is thinly traded, and a minute without a trade has no bar."""

HABIT_SHARE = 0.5
"""Share of sessions of the same weekday that have a bar, from which it is missed where it is not there."""

HABIT_SESSIONS = 3
"""Sessions of a weekday that make a habit; below that all weekdays are taken together."""

HOLE_SHARE = 0.02
"""Share of a session's bars (8 of 390 minutes) whose loss is a warning; single quiet minutes are for
information."""

SHORT_SESSION = 0.5
"""Share of the usual number of bars below which a session is called incomplete, without a calendar."""

STAMP_SHARE = 0.5
"""Share of sessions with a bar stamped at the session's opening instant, above which bars are stamped at
their
open: a closed bar cannot end when trading begins."""


def _date(day: Any) -> str:
    return str(np.datetime64(int(day), "D"))


def _stretches(days: NDArray[np.int64], order: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """First day, last day and number of sessions of each run; `order` numbers the sessions of all days."""
    cuts = np.flatnonzero(np.diff(order) > 1) + 1
    return [(int(g[0]), int(g[-1]), int(g.size)) for g in np.split(days, cuts)]


def _named(stretches: list[tuple[int, int, int]], unit: str) -> str:
    largest = sorted(stretches, key=lambda g: -g[2])[:SHOWN]
    shown = "; ".join(_date(a) if a == b else f"{_date(a)} to {_date(b)} ({n} {unit})" for a, b, n in largest)
    more = len(stretches) - len(largest)
    return shown + (f"; and {more} more gap(s)." if more else ".")


def closed_days(s: Series, sessions: Sessions | None) -> Iterator[Finding]:
    """Bars on days on which the exchange was closed."""
    if s.size.unit in {"week", "month"}:
        return
    days = np.unique(s.session)
    if sessions is not None:
        closed = days[~np.isin(days, sessions.day)]
        why = f"the calendar {sessions.calendar} has no session on"
    else:
        weekend = days[(days + 3) % 7 >= 5]
        closed = weekend if weekend.size <= WEEKEND_SHARE * days.size else days[:0]
        why = "almost no other weekend has bars, but"
    if closed.size:
        shown = ", ".join(_date(d) for d in closed[:SHOWN]) + (" …" if closed.size > SHOWN else "")
        detail = f"{why} {closed.size} day(s) with bars: {shown}."
        advice = "The dates are shifted, the zone or the calendar is another one, or the rows are made up."
        span = _date(closed[0]), _date(closed[-1])
        yield Finding("closed_day", "warning", s.symbol, *span, int(closed.size), detail, advice)


def missing(s: Series, times: NDArray[np.int64], sessions: Sessions | None) -> Iterator[Finding]:
    """Sessions without bars, and within the day bars missing from their session."""
    if s.size.unit in {"week", "month"}:
        yield from _missing_periods(s)
        return
    days = np.unique(s.session)
    if sessions is None:
        yield from _missing_weekdays(s, days)
        if s.size.intraday:
            yield from _short_sessions(s)
        return
    span = sessions.between(max(int(days[0]), _known_from(sessions.calendar)), int(days[-1]))
    absent = np.flatnonzero(~np.isin(span.day, days))
    if absent.size and span.day.size:
        yield from _gap(
            s, span.day[absent], absent, absent.size / span.day.size, f"session(s) of {span.calendar}"
        )
    if s.size.intraday and span.day.size:
        yield from _missing_bars(s, times, span)


def _known_from(calendar: str) -> int:
    return CALENDAR_FROM if calendar == "XNYS" else -(2**31)


def _gap(s: Series, days: NDArray[Any], order: NDArray[Any], share: float, unit: str) -> Iterator[Finding]:
    stretches = _stretches(days, order)
    longest = max(n for _, _, n in stretches)
    detail = f"{days.size} {unit} ({share:.1%}) have no bar: {_named(stretches, 'sessions')}"
    advice = "Get the missing bars; averages and returns reach across the gap as if it were one bar."
    if longest >= LONG_SESSIONS:
        advice += (
            " After a gap this long the symbol may stand for another company: check, and cut the history."
        )
    severity = "error" if share > MANY_MISSING or longest >= LONG_SESSIONS else "warning"
    yield Finding("gap", severity, s.symbol, _date(days[0]), _date(days[-1]), int(days.size), detail, advice)


def _missing_weekdays(s: Series, days: NDArray[np.int64]) -> Iterator[Finding]:
    """Holes of weekdays that are longer than any holiday."""
    every = np.arange(days[0], days[-1] + 1)
    weekdays = every[(every + 3) % 7 < 5]
    absent = np.flatnonzero(~np.isin(weekdays, days))
    if not absent.size:
        return
    long = [g for g in _stretches(weekdays[absent], absent) if g[2] >= HOLE_WEEKDAYS]
    if long:
        count = sum(n for _, _, n in long)
        detail = f"{len(long)} hole(s) of {HOLE_WEEKDAYS} weekdays or more: {_named(long, 'weekdays')}"
        advice = "Give the calendar to tell holidays from missing bars; get the bars that are missing."
        severity = "error" if max(n for _, _, n in long) >= LONG_SESSIONS else "warning"
        yield Finding("gap", severity, s.symbol, _date(long[0][0]), _date(long[-1][1]), count, detail, advice)


def _missing_periods(s: Series) -> Iterator[Finding]:
    """Weeks or months without a bar."""
    if s.size.unit == "week":
        period = (s.session + 3) // 7
    else:
        period = s.session.astype("M8[D]").astype("M8[M]").astype(np.int64)
    steps = np.diff(period)
    rows = np.flatnonzero(steps > s.size.count) + 1
    if rows.size:
        longest = rows[np.argmax(steps[rows - 1])]
        detail = (
            f"{rows.size} step(s) are longer than {s.size}; the longest ends at {s.label[longest]} "
            f"({int(steps[longest - 1])} {s.size.unit}s)."
        )
        yield s.finding("gap", "warning", rows, detail, "Get the missing bars.")


def _slots(
    s: Series, times: NDArray[np.int64], span: Sessions
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which bars each session has, and which it can have: bool of shape (n_sessions, n_slots).

    A session can have the bars up to its close (a last, shorter one counts) that lie between the first and
    the
    last bar of all: before and after that is the edge of the file, and no gap.
    """
    step = s.size.duration_ns
    n_slots = -(-(span.close - span.open) // step)
    k = np.minimum(np.searchsorted(span.day, s.session), span.day.size - 1)
    within = (span.day[k] == s.session) & (times > span.open[k]) & (times <= span.close[k])
    have = np.zeros((span.day.size, int(n_slots.max())), bool)
    have[k[within], -(-(times - span.open[k])[within] // step) - 1] = True
    ends = span.open[:, None] + step * np.arange(1, have.shape[1] + 1)
    can = (np.arange(have.shape[1]) < n_slots[:, None]) & (ends >= times[0]) & (ends <= times[-1])
    return have, can & have.any(axis=1, keepdims=True)


def _habit(have: NDArray[np.bool_], can: NDArray[np.bool_], days: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which bars are there in most sessions of the same weekday: breaks and early Fridays are no gaps."""
    usual = np.zeros_like(have)
    weekday = (days + 3) % 7
    for w in range(7):
        alike = weekday == w
        if not alike.any():
            continue
        group = alike if can[alike].any(axis=1).sum() >= HABIT_SESSIONS else np.ones_like(alike)
        known = can[group].sum(axis=0)
        share = have[group].sum(axis=0) / np.maximum(known, 1)
        usual[alike] = share >= HABIT_SHARE
    return usual & can


def _missing_bars(s: Series, times: NDArray[np.int64], span: Sessions) -> Iterator[Finding]:
    """Bars missing inside sessions, where the instrument usually trades in them."""
    have, can = _slots(s, times, span)
    if not can.any():
        return
    wanted = _habit(have, can, span.day)
    expected, present = wanted.sum(axis=1), (wanted & have).sum(axis=1)
    lost = expected - present
    rows = np.flatnonzero(lost > 0)
    filled = float(have[can].mean()) if not wanted.any() else float(present.sum() / expected.sum())
    if filled < ACTIVE_MINUTES:
        dates = _date(span.day[0]), _date(span.day[-1])
        detail = f"thinly traded: {filled:.0%} of the bars that sessions usually have are there."
        advice = "A bar without a trade does not exist; next-bar fills then come later than one bar."
        yield Finding("thin", "info", s.symbol, *dates, int(lost.sum()), detail, advice)
        return
    if rows.size:
        dates = _date(span.day[rows[0]]), _date(span.day[rows[-1]])
        worst = rows[np.argsort(-lost[rows], kind="stable")][:SHOWN]
        shown = "; ".join(f"{_date(span.day[w])} has {present[w]} of {expected[w]}" for w in worst)
        detail = f"{int(lost.sum())} bar(s) are missing inside {rows.size} session(s): {shown}."
        severity = "warning" if (lost[rows] > HOLE_SHARE * expected[rows]).any() else "info"
        yield Finding("gap", severity, s.symbol, *dates, int(lost.sum()), detail, "Get the missing bars.")


def _short_sessions(s: Series) -> Iterator[Finding]:
    """Sessions with far fewer bars than usual, without a calendar; the file's edges are left out."""
    days, counts = np.unique(s.session, return_counts=True)
    if days.size < 5:
        return
    # Sunday evenings and holidays differ from a full day, so each weekday is judged by its own kind.
    weekday = (days + 3) % 7
    usual = np.array([np.median(counts[weekday == w]) for w in range(7) if (weekday == w).any()])
    by_day = dict(zip(np.unique(weekday).tolist(), usual.tolist(), strict=True))
    expected = np.array([by_day[int(w)] for w in weekday])
    short = counts < SHORT_SESSION * expected
    short[[0, -1]] = False
    if short.any():
        rows = np.flatnonzero(short)
        shown = "; ".join(f"{_date(days[r])} has {counts[r]} of {expected[r]:.0f}" for r in rows[:SHOWN])
        detail = f"{rows.size} session(s) have less than {SHORT_SESSION:.0%} of the usual bars: {shown}."
        advice = "Give the calendar to tell early closes and holidays from missing bars."
        span = _date(days[rows[0]]), _date(days[rows[-1]])
        yield Finding("short_session", "warning", s.symbol, *span, int(rows.size), detail, advice)


def stamps(s: Series, times: NDArray[np.int64], sessions: Sessions | None) -> Iterator[Finding]:
    """Bars stamped at their open instead of their close, judged by the session's edges."""
    if sessions is None or not s.size.intraday:
        return
    days = np.unique(s.session)
    span = sessions.between(int(days[0]), int(days[-1]))
    span_days = np.isin(span.day, days)
    if not span_days.any():
        return
    opened, closed = span.open[span_days], span.close[span_days]
    # Round-the-clock markets have a bar at every instant, so their edges tell nothing.
    if bool((opened[1:] == closed[:-1]).any()) or (closed - opened).min() >= 0.9 * DAY_NS:
        return
    at_open = float(np.isin(opened, times).mean())
    at_close = float(np.isin(closed, times).mean())
    extended = float(np.isin(opened - s.size.duration_ns, times).mean())
    if at_open > STAMP_SHARE and at_close < STAMP_SHARE and extended < STAMP_SHARE:
        detail = (
            f"in {at_open:.0%} of sessions a bar ends at the very opening, and only in {at_close:.0%} one "
            "ends at the close."
        )
        advice = (
            "The bars are stamped at their open: import them with --stamp open, or every fill looks ahead."
        )
        span_text = str(s.label[0]), str(s.label[-1])
        yield Finding("stamp", "error", s.symbol, *span_text, int(times.size), detail, advice)
