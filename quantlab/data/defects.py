"""Detectors of defects in the prices of one symbol: arrays in, findings out.

Thresholds were set on public data sets (docs/data.md says which, and what was found): each is wide enough to
stay silent on what markets really did there, and narrow enough for the planted defects of the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.data.series import SCALE_BARS
from quantlab.data.splits import wrong_stretches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.data.findings import Finding
    from quantlab.data.series import Series

__all__ = [
    "inconsistencies",
    "open_equals_close",
    "repeated_bars",
    "spikes",
    "stale_runs",
    "volume_holes",
    "wicks",
]


ROUNDING = 2e-4
"""Relative excess of open or close over high that comes from rounding or adjusting, not from a wrong
price."""


SPIKE_SCALES = 12.0
"""Median absolute returns that a spike must exceed, up and back. Crash and rebound of 2008 and 2020 stay
below."""

SPIKE_RETURN = 0.06
"""Least return of a spike in daily bars: smaller ones cannot be told from news in a quiet stock."""

SPIKE_RETURN_INTRADAY = 0.01
"""The same within the day."""

SPIKE_LEFT = 0.35
"""Share of a spike that may be left after the bar: what stays is news, what goes back was a wrong price."""

WICK_SCALES = 14.0
"""Median absolute returns by which a high or low leaves its own open and close and both neighbours."""

WICK_RETURN = 0.10
"""Least such distance in daily bars; within the day `SPIKE_RETURN_INTRADAY` doubled."""


STALE_BARS = 5
"""Daily bars in a row without any movement (open = high = low = close = the one before) that count as
stale."""

STALE_BARS_INTRADAY = 60
"""The same within the day: thinly traded minutes repeat for an hour, and no longer while the market is
open."""

REPEATED_TICKS = 8.0
"""Ticks that a bar must span before an equal neighbour is no chance: four numbers of a few ticks do meet
(MSFT
adjusted to 1.70 dollars: three times in 800 bars)."""

ACTIVE_VOLUME = 0.9
"""Share of bars with volume above which a bar without it is a hole and not the habit of the series."""

OPEN_SHARE = 0.5
"""Share of opens equal to the previous close above which opens look made up; real daily opens: below 0.05."""

MOVED_SHARE = 0.5
"""Share of bars whose close moved, below which equal opens only say that nothing moved."""


def inconsistencies(s: Series) -> Iterator[Finding]:
    """High below open or close, low above them."""
    over = np.maximum(s.open, s.close) / s.high - 1.0
    under = s.low / np.minimum(s.open, s.close) - 1.0
    off = np.maximum(over, under)
    wrong = np.flatnonzero(off > ROUNDING)
    if wrong.size:
        worst = int(np.argmax(off))
        detail = (
            f"open or close lies outside high and low by up to {off[worst]:.2%} ({s.label[worst]}: open "
            f"{s.open[worst]:g}, high {s.high[worst]:g}, low {s.low[worst]:g}, close {s.close[worst]:g})."
        )
        advice = (
            "One of the four is wrong: compare with another source. Stops and limits fill at high and low."
        )
        yield s.finding("ohlc", "error", wrong, detail, advice)


def spikes(s: Series) -> Iterator[Finding]:
    """One-bar spikes: the close leaves and comes back at once."""
    if s.close.size < 3:
        return
    steps = np.diff(np.log(s.close))
    there, back = steps[:-1], steps[1:]
    size = np.minimum(np.abs(there), np.abs(back))
    least = SPIKE_RETURN_INTRADAY if s.size.intraday else SPIKE_RETURN
    limit = np.maximum(SPIKE_SCALES * s.scale[1:-1], least)
    hit = (there * back < 0.0) & (size > limit) & (np.abs(there + back) < SPIKE_LEFT * size)
    rows = np.flatnonzero(hit) + 1
    rows = rows[~np.isin(rows, wrong_stretches(s)[0])]
    if rows.size:
        detail = "the close leaves and comes back: " + s.places(
            rows, lambda k: f"{s.close[k - 1]:g}, {s.close[k]:g}, {s.close[k + 1]:g}"
        )
        yield s.finding(
            "spike", "warning", rows, detail, "Compare with another source before you trust a trade there."
        )


def wicks(s: Series) -> Iterator[Finding]:
    """Bad ticks in high or low: far from open and close and from both neighbours."""
    if s.close.size < 3:
        return
    body_top, body_bottom = np.maximum(s.open, s.close), np.minimum(s.open, s.close)
    top = np.maximum(body_top, np.maximum(np.roll(s.close, 1), np.roll(s.open, -1)))
    bottom = np.minimum(body_bottom, np.minimum(np.roll(s.close, 1), np.roll(s.open, -1)))
    reach = np.maximum(np.log(s.high / top), np.log(bottom / s.low))
    least = 2.0 * SPIKE_RETURN_INTRADAY if s.size.intraday else WICK_RETURN
    hit = reach > np.maximum(WICK_SCALES * s.scale, least)
    hit[[0, -1]] = False
    rows = np.flatnonzero(hit)
    if rows.size:
        detail = "high or low is far from everything around it: " + s.places(
            rows, lambda k: f"open {s.open[k]:g}, high {s.high[k]:g}, low {s.low[k]:g}, close {s.close[k]:g}"
        )
        yield s.finding(
            "wick", "warning", rows, detail, "A stop or limit may fill at a price nobody could trade at."
        )


def _runs(flag: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """First row and length of each run of True."""
    edges = np.diff(flag.astype(np.int8), prepend=0, append=0)
    starts = np.flatnonzero(edges == 1)
    return starts, np.flatnonzero(edges == -1) - starts


def stale_runs(s: Series) -> Iterator[Finding]:
    """Find runs of bars in which nothing moves at all."""
    still = (s.high == s.low) & (np.diff(s.close, prepend=np.nan) == 0.0)
    starts, lengths = _runs(still)
    long = lengths >= (STALE_BARS_INTRADAY if s.size.intraday else STALE_BARS)
    if not long.any():
        return
    starts, lengths = starts[long], lengths[long]
    length = dict(zip(starts.tolist(), lengths.tolist(), strict=True))
    rows = np.concatenate([np.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)])
    detail = f"{starts.size} run(s) without any movement: " + s.places(
        starts, lambda k: f"{length[int(k)]} bars at {s.close[k]:g}"
    )
    advice = (
        "The price was carried forward, or nothing traded: a backtest would trade at a price nobody gave."
    )
    yield s.finding("stale", "warning", rows, detail, advice)


def repeated_bars(s: Series) -> Iterator[Finding]:
    """Bars that repeat the one before, where chance cannot explain it."""
    same = s.high[1:] > s.low[1:]
    for column in (s.open, s.high, s.low, s.close):
        same = same & (column[1:] == column[:-1])
    rows = np.flatnonzero(same) + 1
    volume = s.volume / s.factor
    rows = np.array([k for k in rows.tolist() if _no_chance(s, volume, k)], np.int64)
    if rows.size:
        detail = "the bar is the one before once more: " + s.places(
            rows, lambda k: f"open {s.open[k]:g}, high {s.high[k]:g}, low {s.low[k]:g}, close {s.close[k]:g}"
        )
        yield s.finding(
            "repeated", "warning", rows, detail, "A missing row was filled with the one before it."
        )


def _no_chance(s: Series, volume: NDArray[np.float64], k: int) -> bool:
    """Whether bars k - 1 and k cannot be equal by chance: their volumes are too, or they span many ticks."""
    near = slice(max(0, k - SCALE_BARS), k + SCALE_BARS)
    prices = np.unique(np.concatenate([s.open[near], s.high[near], s.low[near], s.close[near]]))
    steps = np.diff(prices)
    steps = steps[steps > 1e-9 * s.close[k]]
    wide = bool(steps.size and s.high[k] - s.low[k] > REPEATED_TICKS * steps.min())
    known = bool(volume[k] > 0.0)
    equal = known and bool(volume[k] == volume[k - 1])
    # Within the day there are so many bars that chance needs both to be ruled out.
    return wide and equal if s.size.intraday else wide or equal


def volume_holes(s: Series) -> Iterator[Finding]:
    """Bars without volume in a series that has it, and negative volume."""
    negative = np.flatnonzero(s.volume < 0.0)
    if negative.size:
        advice = "Store NaN where the volume is not known."
        yield s.finding("volume", "warning", negative, f"{negative.size} volumes are negative.", advice)
    there = s.volume > 0.0
    holes = np.flatnonzero(~there & ~(s.volume < 0.0))
    if holes.size == 0:
        return
    share = holes.size / s.volume.size
    if share == 1.0:
        detail = "no bar has a volume."
        yield s.finding("no_volume", "info", holes, detail, "Nothing that asks for volume can be used.")
    elif share <= 1.0 - ACTIVE_VOLUME:
        moved = holes[s.high[holes] > s.low[holes]]
        detail = (
            f"{share:.2%} of bars have no volume, and in {moved.size} of them the price moves: "
            + s.places(moved if moved.size else holes, lambda k: f"close {s.close[k]:g}")
        )
        advice = "Volume was lost, or the price was not traded."
        severity = "warning" if moved.size or not s.size.intraday else "info"
        yield s.finding("volume_hole", severity, holes, detail, advice)
    else:
        first = np.flatnonzero(there)
        detail = f"{share:.1%} of bars have no volume; the first bar that has one is {s.label[first[0]]}."
        yield s.finding("volume_hole", "info", holes, detail, "Do not use volume before that, or at all.")


def open_equals_close(s: Series) -> Iterator[Finding]:
    """Find opens that are the previous close: made up, or an index that has no open of its own."""
    if s.close.size < SCALE_BARS:
        return
    equal = s.open[1:] == s.close[:-1]
    share = float(equal.mean())
    moved = float((np.diff(s.close) != 0.0).mean())
    if share > OPEN_SHARE and moved > MOVED_SHARE:
        rows = np.flatnonzero(equal) + 1
        detail = (
            f"{share:.0%} of opens equal the previous close (normal for indices and round-the-clock markets)."
        )
        advice = "Fills at the next open are then fills at this close: slippage is understated."
        yield s.finding("open_equals_close", "info", rows, detail, advice)
