"""How much history a signal needs before its last value no longer depends on what came earlier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from quantlab.research.scramble import Scrambler, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from quantlab.bars import Bars

__all__ = ["FEWEST_BARS", "TOLERANCES", "Warmup", "events", "gap", "histories", "quiet_pasts"]

TOLERANCES = (1e-3, 1e-6, 1e-9)
"""Distances within which a value counts as settled; the last one defines the warm-up."""

STARTS = (0.10, 0.25, 0.40, 0.55, 0.70)
"""Where the shortened histories start, as fractions of the sample."""

EVENTS = 4
"""Bars at which a position begins or changes that are looked at one by one."""

FEWEST_BARS = 30
"""Below this many bars nothing can be said about a warm-up."""


def gap(a: Mapping[str, NDArray[np.float64]], b: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Largest difference of two signals at each bar, over assets and members, shape (n_bars,).

    Absolute for values within [-1, 1], relative for larger ones (price levels); inf where one is NaN or
    absent and the other is not.
    """
    n_bars = next(iter(a.values())).shape[0]
    largest = np.zeros(n_bars)
    for name in {**a, **b}:
        if name not in a or name not in b:
            return np.full(n_bars, np.inf)
        x, y = a[name], b[name]
        if np.array_equal(x, y):
            continue
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        apart = np.abs(np.subtract(x, y, dtype=np.float64)) / np.maximum(1.0, np.abs(y))
        apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
        largest = np.maximum(largest, apart.max(axis=1))
    return largest


def events(target: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return a few bars and assets at which the target takes up another position, spread over the sample."""
    before, after = target[:-1], target[1:]
    taken = (after != before) & (after != 0) & ~np.isnan(after)
    rows = np.argwhere(taken)
    # An early one has too short a history to tell a long warm-up from a signal that never settles.
    late = rows[rows[:, 0] >= target.shape[0] // 4]
    rows = late if late.size else rows
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, EVENTS).astype(int))] if rows.size else rows
    return [(int(t) + 1, int(i)) for t, i in chosen]


def histories(bars: Bars) -> Iterator[tuple[int, Bars]]:
    """Shortened copies of `bars`, with the row each starts at; none when there are too few bars."""
    if bars.n_bars >= FEWEST_BARS:
        for share in STARTS:
            start = int(share * bars.n_bars)
            yield start, take(bars, slice(start, bars.n_bars))


def quiet_pasts(scrambler: Scrambler) -> tuple[int, list[Bars]]:
    """Bars that go quiet after a third, and the same with other pasts or with none (the last).

    Returns
    -------
    start : int
        First quiet row.
    variants : list of Bars
        The real past, a rising one, a falling one, then none: the last starts at row `start`.
    """
    start = scrambler.bars.n_bars // 3
    quiet = scrambler.quiet(start)
    pasts = Scrambler(quiet, scrambler.seed)
    none = take(quiet, slice(start, quiet.n_bars))
    return start, [quiet, pasts.past(start, "rise"), pasts.past(start, "fall"), none]


@dataclass(slots=True)
class Warmup:
    """What was measured of one parameter set's memory.

    The whole tail after each start is compared, not one last value, so that "stays within" is seen and not
    concluded from a search that takes agreement to be monotone: a signal of truths agrees by chance half of
    the time.
    """

    settled: dict[float, int] = field(default_factory=lambda: dict.fromkeys(TOLERANCES, 1))
    """Tolerance -> longest history that any start needed, in bars."""
    unsettled: dict[float, int] = field(default_factory=dict)
    """Tolerance -> longest history that was given and did not suffice, in bars."""
    latched: bool = False
    still: bool = False
    """The signal never changed, so nothing could be seen."""

    def add(self, gaps: NDArray[np.float64]) -> None:
        """Take in the gaps to the full history, from the first bar of a shortened one."""
        for tolerance in TOLERANCES:
            apart = np.flatnonzero(gaps > tolerance)
            if apart.size == 0:
                continue
            kept = self.unsettled if apart[-1] == gaps.size - 1 else self.settled
            needed = gaps.size if kept is self.unsettled else int(apart[-1]) + 2
            kept[tolerance] = max(kept.get(tolerance, 1), needed)

    def add_event(self, bar: int, gap_after: Callable[[int], float]) -> None:
        """Take in one bar at which a position begins: double the history until it suffices, then bisect.

        Rare events hide the warm-up from whole tails: a shortened history that is flat agrees with a full one
        that is flat as well.

        Parameters
        ----------
        bar : int
            Row of the event; its full history has ``bar + 1`` bars.
        gap_after : callable
            Gap to the full history when only so many bars are given, ending at the event.
        """
        for tolerance in TOLERANCES:
            low = self.settled[tolerance]
            if low > bar or gap_after(low) <= tolerance:
                continue
            high = 2 * low
            while high <= bar and gap_after(high) > tolerance:
                low, high = high, 2 * high
            high = min(high, bar + 1)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if gap_after(middle) > tolerance else (low, middle)
            # What needs every bar there is has not been seen to settle.
            kept = self.unsettled if high == bar + 1 else self.settled
            kept[tolerance] = max(kept.get(tolerance, 1), high)

    def add_quiet(self, gaps: NDArray[np.float64]) -> None:
        """Take in the gaps between two pasts of one quiet market: what does not shrink is never forgotten."""
        stretch = max(1, gaps.size // 20)
        middle, end = gaps[gaps.size // 2 :][:stretch].max(), gaps[-stretch:].max()
        short = max(self.settled.values()) < gaps.size // 2
        self.latched |= bool(short and end > TOLERANCES[-1] and end > 0.5 * middle)

    def bars(self, tolerance: float = TOLERANCES[-1]) -> int | None:
        """History after which the value stays within `tolerance`; None when it did not within the sample."""
        needed = self.settled[tolerance]
        return None if self.unsettled.get(tolerance, 0) > needed else needed

    @property
    def reason(self) -> str:
        """Why there is no finite warm-up; empty where there is one."""
        if self.still:
            return "gave the same signal at every bar, so that nothing can be seen of its warm-up"
        if self.latched:
            return (
                "holds a state until an event, and in a market that brings none it still differs by what "
                "happened before"
            )
        if self.bars() is None:
            return (
                f"had not settled to 1e-9 after {self.unsettled[TOLERANCES[-1]]} bars, where the sample ends"
            )
        return ""

    @property
    def value(self) -> int | None:
        """The warm-up in bars; None means the whole history."""
        return None if self.latched or self.still else self.bars()
