"""Longer bars that are known to be over, found at each bar from nothing but the bars up to it."""

from __future__ import annotations

import math

from oracle.resample import group_keys, join_bars

NOTHING = (math.nan,) * 5

WITHIN_DAYS = {"sec", "min", "hour"}


def placed_sessions(times_ns, labels, duration_ns, schedule):
    """Session of each bar: of those from its label on, the first that closes after the bar began.

    `schedule` is a list of (day, close in ns), or None where nothing is known.
    """
    if schedule is None:
        return list(labels)
    return [
        next(day for day, close in schedule if day >= label and close > time - duration_ns)
        for time, label in zip(times_ns, labels, strict=True)
    ]


def planned_ends(size, schedule):
    """When each longer bar of days, weeks or months is over: at the close of the last session planned for it."""
    if schedule is None or size.unit in WITHIN_DAYS:
        return {}
    # Keys of these sizes do not depend on the time of a bar.
    keys = group_keys([0] * len(schedule), [day for day, _ in schedule], size)
    return {key: close for key, (_, close) in zip(keys, schedule, strict=True)}


def last_completed(times_ns, labels, assets, duration_ns, size, schedule):
    """For each asset and bar the (open, high, low, close, volume) of the last longer bar that is over.

    NaN until one is over that did not begin before the bars: the first is never known to have begun with them.
    `assets` is a list of columns by name.
    """
    sessions = placed_sessions(times_ns, labels, duration_ns, schedule)
    keys = group_keys(times_ns, sessions, size)
    ends, closes = planned_ends(size, schedule), dict(schedule or ())
    rows = [[] for _ in assets]
    for t, time in enumerate(times_ns):
        if size.unit in WITHIN_DAYS:
            over = time % size.duration_ns == 0 or time >= closes.get(sessions[t], math.inf)
        else:
            over = time >= ends.get(keys[t], math.inf)
        begun = list(dict.fromkeys(keys[: t + 1]))
        known = begun if over else begun[:-1]
        for found, columns in zip(rows, assets, strict=True):
            if len(known) < 2:
                found.append(NOTHING)
                continue
            # All that it holds up to now; that nothing comes later is what makes it over.
            members = [k for k in range(t + 1) if keys[k] == known[-1]]
            found.extend(
                join_bars([0] * len(members), {c: [v[k] for k in members] for c, v in columns.items()})
            )
    return rows
