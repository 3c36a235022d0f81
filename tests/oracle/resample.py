"""Longer bars, one bar at a time."""

from __future__ import annotations

import math


def group_keys(times_ns, sessions, size):
    """Key of the longer bar of each bar: equal for bars that belong together."""
    import datetime as dt

    keys = []
    for time, session in zip(times_ns, sessions, strict=True):
        day = dt.date(1970, 1, 1) + dt.timedelta(days=int(session))
        if size.unit == "month":
            keys.append((day.year * 12 + day.month - 1) // size.count)
        elif size.unit == "week":
            monday = day - dt.timedelta(days=day.weekday())
            keys.append(((monday - dt.date(1969, 12, 29)).days // 7) // size.count)
        elif size.unit == "day":
            keys.append(int(session) // size.count)
        else:
            keys.append((int(session), -(-int(time) // size.duration_ns)))
    return keys


def join_bars(keys, columns):
    """Open, high, low, close, volume of each group of one asset, in order; rows are tuples or None."""
    groups = {}
    for k, key in enumerate(keys):
        groups.setdefault(key, []).append(k)
    rows = []
    for members in groups.values():
        there = [k for k in members if not math.isnan(columns["close"][k])]
        if not there:
            rows.append((math.nan,) * 5)
            continue
        volumes = [columns["volume"][k] for k in there if not math.isnan(columns["volume"][k])]
        rows.append(
            (
                columns["open"][there[0]],
                max(columns["high"][k] for k in there),
                min(columns["low"][k] for k in there),
                columns["close"][there[-1]],
                sum(volumes) if volumes else math.nan,
            )
        )
    return rows
