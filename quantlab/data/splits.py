"""Detectors of splits: not adjusted for, adjusted for twice, applied to some rows only.

Thresholds were set on public data sets (docs/data.md says which, and what was found).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.data.series import usual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.data.findings import Finding
    from quantlab.data.series import Series

__all__ = ["double_adjustments", "halvings", "splits", "wrong_stretches"]

HALVINGS = (2.0, 3.0, 4.0, 5.0, 10.0, 100.0)
"""Factors by which a wrong row is too low or too high: lost splits, and prices in cents."""

HALVING_TOLERANCE = 0.05
"""How far the quotient may be from the factor, as a logarithm."""

HALVING_BARS = 20
"""Longest stretch that jumps by a factor and back and counts as one wrong stretch, not as two splits."""

SPLITS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 100.0)
"""Ratios of splits that companies made; 5:4 and 4:3 are left out, an earnings gap looks the same."""

SPLIT_OPEN = 0.05
"""How far the opening gap may be from the ratio, as a logarithm: the night's own move."""

SPLIT_CLOSE = 0.12
"""How far close to close may be from the ratio: the night's and the day's own move."""

SPLIT_BLIND = 0.69
"""Least ratio, as a logarithm (2:1), where no volume tells a split from news: a fall by a third is often
news."""

SPLIT_BLIND_CLOSE = 0.03
"""How far close to close may be from the ratio then; AAPL's fall of 29 September 2000 is 0.04 from 2:1."""

SPLIT_WILD = 3.0
"""Median absolute returns to which both tolerances grow in wild times (USO's 1:8 in April 2020)."""

BREAK_DAYS = 14
"""Days between two bars after which their prices are not compared: a long gap is a finding of its own."""

SPLIT_SCALES = 8.0
"""Median absolute returns that the gap must exceed; an ordinary move of a wild stock is no split."""

SPLIT_NEWS = 3.0
"""Volume of the bar over its expected volume (usual volume x ratio) above which the gap is news, not a
split."""

SPLIT_NEWS_SMALL = 2.0
"""The same for ratios below 2:1 and for bars of a wide range: falls by a third are mostly news (NVDA on 3 July
2008: 2.5 times)."""

SPLIT_RANGE = 4.0
"""Range of the bar over the usual one, above which the gap is news: a split changes the unit, not the
nerves."""

SPLIT_VOLUME_BARS = 20
"""Bars before, whose medians are the usual volume and range."""

KNOWN_SPLIT = 0.18
"""Step of the factor, as a logarithm, from which it is a split and no dividend (6:5 and more)."""


def _jumps(s: Series, ratios: tuple[float, ...], tolerance: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Signed logarithm of the ratio near each step of the close, 0 where none is near; and the steps."""
    steps = np.diff(np.log(s.close), prepend=np.log(s.close[0]))
    logs = np.log(np.asarray(ratios))
    nearest = logs[np.argmin(np.abs(np.abs(steps)[:, None] - logs), axis=1)]
    near = np.abs(np.abs(steps) - nearest) < tolerance
    return np.where(near, np.sign(steps) * nearest, 0.0), steps


def wrong_stretches(s: Series) -> tuple[NDArray[Any], list[tuple[int, int, float]]]:
    """Rows too low or too high by a whole factor: they jump by it and, some bars later, back."""
    near, _ = _jumps(s, HALVINGS, HALVING_TOLERANCE)
    big = np.abs(near) > SPLIT_SCALES * s.scale
    rows = np.flatnonzero((near != 0.0) & big)
    stretches: list[tuple[int, int, float]] = []
    used = -1
    for a, b in itertools.pairwise(rows.tolist()):
        if a < used or b - a > HALVING_BARS or near[a] != -near[b]:
            continue
        whole = np.log(s.close[b] / s.close[a - 1])
        if abs(whole) < 2.0 * HALVING_TOLERANCE:
            stretches.append((a, b, float(np.exp(near[a]))))
            used = b + 1
    inside = [np.arange(a, b) for a, b, _ in stretches]
    return (np.concatenate(inside) if inside else np.array([], np.int64)), stretches


def halvings(s: Series) -> Iterator[Finding]:
    """Single bars or short stretches that are too low or too high by a whole factor."""
    rows, stretches = wrong_stretches(s)
    if not stretches:
        return
    starts = np.array([a for a, _, _ in stretches])
    by = {a: (b - a, f) for a, b, f in stretches}
    detail = "closes are off by a whole factor and come back: " + s.places(
        starts,
        lambda k: (
            f"x {by[int(k)][1]:.4g} for {by[int(k)][0]} bar(s), from {s.close[k - 1]:g} to {s.close[k]:g}"
        ),
    )
    advice = (
        "Repair these rows from another source; a split that is applied to some rows only looks like this."
    )
    yield s.finding("halving", "error", rows, detail, advice)


def _split_candidates(s: Series) -> Iterator[tuple[int, float, bool]]:
    """Row, ratio (below 1 for a fall), and whether volume is known.

    A fall by half in the night makes news: range and volume explode. A split leaves the range as it was and
    multiplies the volume by its ratio at most; often it does not even do that (AAPL's of 2005), so the volume
    can acquit and need not convict.
    """
    if s.close.size < 3:
        return
    logs = np.log(np.asarray(SPLITS))
    gap = np.log(s.open[1:] / s.close[:-1])
    step = np.diff(np.log(s.close))
    nearest = logs[np.argmin(np.abs(np.abs(gap)[:, None] - logs), axis=1)]
    signed = np.sign(gap) * nearest
    wild = SPLIT_WILD * s.scale[1:]
    hit = (np.abs(gap - signed) < np.maximum(SPLIT_OPEN, wild)) & (
        np.abs(step - signed) < np.maximum(SPLIT_CLOSE, wild)
    )
    hit &= np.diff(s.session) <= BREAK_DAYS
    hit &= np.abs(gap) > SPLIT_SCALES * s.scale[1:]
    wrong = set(wrong_stretches(s)[0].tolist())
    span = (s.high - s.low) / s.close
    for k in (np.flatnonzero(hit) + 1).tolist():
        if k in wrong or k - 1 in wrong:
            continue
        ratio = float(np.exp(signed[k - 1]))
        two_steps = np.log(s.close[k] / s.close[k - 2]) if k > 1 else signed[k - 1]
        if abs(two_steps - signed[k - 1]) > 0.5 * abs(signed[k - 1]):
            # Back from a wrong close of the bar before: a spike, and no split.
            continue
        usual_span = usual(span, k, SPLIT_VOLUME_BARS)
        wide = bool(np.isfinite(usual_span) and span[k] > SPLIT_RANGE * usual_span)
        expected = usual(s.volume, k, SPLIT_VOLUME_BARS) / min(ratio, 1.0)
        big = abs(signed[k - 1]) > SPLIT_BLIND
        if np.isfinite(expected) and s.volume[k] > 0.0:
            # A wide range alone may be one bad tick (IBM on 27 May 1999), so it needs volume beside it.
            limit = SPLIT_NEWS if big and not wide else SPLIT_NEWS_SMALL
            if s.volume[k] < limit * expected:
                yield k, ratio, True
        elif big and not wide and abs(step[k - 1] - signed[k - 1]) < SPLIT_BLIND_CLOSE:
            yield k, ratio, False


def splits(s: Series) -> Iterator[Finding]:
    """Likely splits that the prices were not adjusted for."""
    known = _known_splits(s)
    found = [(k, r, v) for k, r, v in _split_candidates(s) if not _doubled(r, known.get(k, 1.0))]
    if not found:
        return
    rows = np.array([k for k, _, _ in found])
    ratio = {k: r for k, r, _ in found}
    detail = "the price jumps by a split's ratio: " + s.places(
        rows, lambda k: f"{_ratio_text(ratio[int(k)])}, {s.close[k - 1]:g} to {s.close[k]:g}"
    )
    sure = all(v for _, _, v in found)
    detail += " Neither range nor volume says news." if sure else " There is no volume to tell it from news."
    up = any(r > 1.0 for _, r, _ in found)
    advice = "Adjust the prices (quantlab data import --adjust with an adjusted close), or get adjusted ones."
    if up:
        advice += " A rise is a reverse split, or a split that was adjusted for twice."
    yield s.finding("unadjusted_split", "error" if sure else "warning", rows, detail, advice)


def _known_splits(s: Series) -> dict[int, float]:
    """Row and ratio of splits that the data itself names, in `factor` or in a split column."""
    step = np.divide(s.factor[:-1], s.factor[1:])
    rows = np.flatnonzero(np.abs(np.log(step)) > KNOWN_SPLIT) + 1
    known = {int(k): float(step[k - 1]) for k in rows}
    named = np.flatnonzero((s.split > 0.0) & (s.split != 1.0) & np.isfinite(s.split))
    return known | {int(k): float(s.split[k]) for k in named if k > 0}


def _doubled(jump: float, split: float) -> bool:
    """Whether the price jumps by the split's ratio in the other direction: up for two for one."""
    return split != 1.0 and abs(np.log(jump / split)) < SPLIT_CLOSE


def double_adjustments(s: Series) -> Iterator[Finding]:
    """Known splits that were adjusted for twice: the stored price jumps the other way."""
    hits = {k: r for k, r in _known_splits(s).items() if _doubled(s.close[k] / s.close[k - 1], r)}
    if not hits:
        return
    rows = np.array(sorted(hits))
    detail = "the stored price jumps by a known split's ratio in the other direction: " + s.places(
        rows, lambda k: f"{hits[int(k)]:.4g}:1, {s.close[k - 1]:g} to {s.close[k]:g}"
    )
    advice = "The source was adjusted already: import it again without --adjust."
    yield s.finding("double_adjustment", "error", rows, detail, advice)


def _ratio_text(ratio: float) -> str:
    r = ratio if ratio > 1.0 else 1.0 / ratio
    a, b = (round(2 * r), 2) if abs(r - round(r)) > 0.25 else (round(r), 1)
    return f"{a}:{b} down" if ratio < 1.0 else f"{a}:{b} up"
