"""A causality test nobody could misread: cut after every bar, triple or third the rest, compare singly."""

from dataclasses import replace

import numpy as np

MEMBERS = ("target", "entry", "stop_loss", "take_profit", "trailing_stop", "limit", "stop", "time_stop")


def changed(bars, cut, factor):
    """Copy of bars whose prices, volumes and fields after `cut` are multiplied by `factor`."""
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    fields = {name: column.copy() for name, column in bars.fields.items()}
    for column in (*columns.values(), *fields.values()):
        column[cut + 1 :] *= factor
    for column in fields.values():
        column[cut + 1 :] += factor - 1.0
    return replace(bars, **columns, fields=fields)


def values(strategy, bars):
    signal = strategy.evaluate(bars)
    found = []
    for name in MEMBERS:
        member = getattr(signal, name)
        if member is not None:
            found.append(np.broadcast_to(np.asarray(member, float), bars.shape))
    return found


def earliest_offence(strategy, bars):
    """First bar whose signal changes with a later bar, found by trying every cut; None if there is none."""
    full = values(strategy, bars)
    for cut in range(bars.n_bars - 1):
        for factor in (3.0, 1.0 / 3.0):
            other = values(strategy, changed(bars, cut, factor))
            for t in range(cut + 1):
                for i in range(bars.n_assets):
                    for a, b in zip(full, other, strict=True):
                        if not (a[t, i] == b[t, i] or (np.isnan(a[t, i]) and np.isnan(b[t, i]))):
                            return t
    return None


def warmup(strategy, bars, ends):
    """Shortest history after which the last value stays that of the full one, by trying every length."""
    full = values(strategy, bars)[0]
    longest = 0
    for end in ends:
        for length in range(end + 1, 0, -1):
            rows = slice(end + 1 - length, end + 1)
            part = replace(
                bars,
                **{
                    n: getattr(bars, n)[rows]
                    for n in ("time", "session", "open", "high", "low", "close", "volume")
                },
                factor=None,
                member=None,
                fields={n: c[rows] for n, c in bars.fields.items()},
            )
            short = values(strategy, part)[0]
            same = np.isclose(short[-1], full[end], rtol=0.0, atol=1e-9, equal_nan=True)
            if not same.all():
                longest = max(longest, length + 1)
                break
    return longest
