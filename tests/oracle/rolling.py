"""Naive twins of the indicators: one window at a time, in exact fractions where sums are concerned."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np

__all__ = [
    "atr",
    "crossed_above",
    "ema",
    "latch",
    "macd",
    "mean",
    "own",
    "rank_across",
    "rank_in",
    "roc",
    "rsi",
    "std",
    "vwap",
    "weighted",
    "windows",
    "zscore",
]


def own(function, *columns):
    """Apply a function of plain lists to each asset's finite rows; NaN elsewhere."""
    n_bars, n_assets = columns[0].shape
    out = np.full((n_bars, n_assets), np.nan)
    for i in range(n_assets):
        rows = [t for t in range(n_bars) if all(math.isfinite(c[t, i]) for c in columns)]
        for t, value in zip(rows, function(*([float(c[t, i]) for t in rows] for c in columns)), strict=True):
            out[t, i] = value
    return out


def windows(x, n, function):
    """Apply a function of one window at each bar that has one."""
    return own(lambda v: [function(v[t - n + 1 : t + 1]) if t >= n - 1 else np.nan for t in range(len(v))], x)


def mean(window):
    return math.fsum(window) / len(window)


def weighted(window):
    n = len(window)
    return float(sum((k + 1) * Fraction(v) for k, v in enumerate(window))) / (n * (n + 1) / 2)


def _root(square):
    """Square root of a fraction, scaled so that no float on the way is out of range."""
    if square == 0:
        return 0.0
    power = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(square / Fraction(4) ** power), power)


def _deviations(window):
    middle = sum(map(Fraction, window)) / len(window)
    return [Fraction(v) - middle for v in window]


def std(window, ddof=0):
    if len(window) <= ddof:
        return np.nan
    return _root(sum(d * d for d in _deviations(window)) / (len(window) - ddof))


def zscore(window, ddof=0):
    deviation = std(window, ddof)
    return float(_deviations(window)[-1] / Fraction(deviation)) if deviation > 0 else np.nan


def rank_in(window):
    less, equal = (sum(f) for f in zip(*((v < window[-1], v == window[-1]) for v in window), strict=True))
    return less + (equal + 1) / 2


def ema(values, n):
    out = []
    for t, v in enumerate(values):
        if t < n - 1:
            out.append(np.nan)
        elif t == n - 1:
            out.append(sum(values[:n]) / n)
        else:
            out.append(out[-1] + 2 / (n + 1) * (v - out[-1]))
    return out


def wilder(values, n):
    out = []
    for t, v in enumerate(values):
        if t < n - 1:
            out.append(np.nan)
        elif t == n - 1:
            out.append(sum(values[:n]) / n)
        else:
            out.append((out[-1] * (n - 1) + v) / n)
    return out


def rsi(values, n):
    if not values:
        return []
    changes = [b - a for a, b in pairwise(values)]
    gains, losses = wilder([max(c, 0) for c in changes], n), wilder([max(-c, 0) for c in changes], n)
    return [np.nan] + [
        g if math.isnan(g) else (100 * g / (g + k) if g + k > 0 else 0.0)
        for g, k in zip(gains, losses, strict=True)
    ]


def atr(high, low, close, n):
    if not close:
        return []
    ranges = [max(h - k, abs(h - c), abs(k - c)) for h, k, c in zip(high[1:], low[1:], close, strict=False)]
    return [np.nan, *wilder(ranges, n)]


def macd(values, fast, slow, signal):
    """Line and signal line."""
    quick = [np.nan] * (slow - fast) + ema(values[slow - fast :], fast)
    line = [a - b for a, b in zip(quick, ema(values, slow), strict=False)][: len(values)]
    mean = ([np.nan] * (slow - 1) + ema(line[slow - 1 :], signal))[: len(values)]
    return [np.nan if math.isnan(m) else v for v, m in zip(line, mean, strict=True)], mean


def roc(values, n):
    return [
        np.nan if t < n or values[t - n] == 0 else 100 * (v / values[t - n] - 1) for t, v in enumerate(values)
    ]


def crossed_above(a, b):
    out = np.zeros(a.shape, bool)
    for t in range(1, a.shape[0]):
        for i in range(a.shape[1]):
            four = (a[t, i], b[t, i], a[t - 1, i], b[t - 1, i])
            out[t, i] = all(map(math.isfinite, four)) and four[0] > four[1] and four[2] <= four[3]
    return out


def latch(entries, exits, short_entries, short_exits):
    """State of one asset after each bar, by the rules as they are told to users."""
    state, out = 0, []
    for le, lx, se, sx in zip(entries, exits, short_entries, short_exits, strict=True):
        buy, sell = le and not lx, se and not sx
        if buy != sell:
            state = 1 if buy else -1
        elif (state == 1 and lx and not le) or (state == -1 and sx and not se):
            state = 0
        out.append(state)
    return out


def rank_across(row):
    known = [v for v in row if math.isfinite(v)]
    return [sum(k < v for k in known) + (known.count(v) + 1) / 2 if math.isfinite(v) else np.nan for v in row]


def vwap(high, low, close, volume, session):
    """Of one asset: everything of the session up to each bar, added up anew."""
    out = []
    for t, today in enumerate(session):
        rows = [
            s
            for s in range(t + 1)
            if session[s] == today and math.isfinite(close[s]) and math.isfinite(volume[s])
        ]
        traded = sum(volume[s] for s in rows)
        value = sum((high[s] + low[s] + close[s]) / 3 * volume[s] for s in rows)
        out.append(value / traded if t in rows and traded > 0 else np.nan)
    return out
