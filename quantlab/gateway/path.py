"""A synthetic path of prices inside a real bar: made up, and exact where the bar is known.

What is real is the bar. Between its open and its close a path is drawn in steps of five seconds that touches its
high and its low, ends at its close and trades its volume: put together again it is the bar, to the bit. Nothing
else about it is real, and a strategy that earns money on it has earned nothing.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantlab.barsize import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["STEP_NS", "Path", "Prices", "Trail", "draw_path", "generator_of"]

STEP_NS = 5 * SECOND_NS
"""Length of one step of a path."""

RANGE_PER_DEVIATION = 1.67
"""Expected range of a random walk over its standard deviation at the end, 2 sqrt(ln 2) (Parkinson, 1980)."""

WICK = 0.5
"""Size of the wicks of a step over the deviation of a step."""

SMILE = 2.0
"""How much more is traded at both ends of a session than in its middle."""

NOISE = 1e-9
"""Part of a price that is representation."""

CORNERS = np.array([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0])
"""When a step is at its open, its first extreme, its second one and its close."""


@dataclass(frozen=True, slots=True)
class Prices:
    """One bar: open, high, low, close and volume (NaN where unknown), ``low <= open, close <= high``."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Trail:
    """A stop that follows the price.

    Parameters
    ----------
    side : {1, -1}
        Of the order: a sale (-1) follows rising prices and triggers below them.
    extreme : float
        Best price so far.
    level : float
        Where it triggers now.
    rough : callable
        Level of extremes, not rounded; of an array as of a number.
    exact : callable
        Level of one extreme, as it is rounded: never nearer to the price than the rough one.
    """

    side: int
    extreme: float
    level: float
    rough: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    exact: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Path:
    """Consecutive short bars of one asset.

    Parameters
    ----------
    open_ns, close_ns : ndarray of shape (n,)
        When each begins and ends, int64 ns UTC; one ends where the next begins.
    open, high, low, close : ndarray of shape (n,)
        Prices; one opens where the one before closed.
    volume : ndarray of shape (n,)
        Units; NaN where the bar's volume is unknown.
    """

    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def at(self, time_ns: int) -> float:
        """Price at one instant: a step goes from its open by its two extremes to its close in straight lines."""
        k = int(np.searchsorted(self.close_ns, time_ns, "right"))
        if k >= self.close.size:
            return float(self.close[-1])
        if time_ns <= self.open_ns[k]:
            return float(self.open[k])
        share = (time_ns - int(self.open_ns[k])) / int(self.close_ns[k] - self.open_ns[k])
        return float(np.interp(share, CORNERS, self.corners(k)))

    def corners(self, k: int) -> tuple[float, float, float, float]:
        """Prices of step `k` in the order in which they are reached."""
        low, high = float(self.low[k]), float(self.high[k])
        rises = self.close[k] >= self.open[k]
        first, second = (low, high) if rises else (high, low)
        return float(self.open[k]), first, second, float(self.close[k])

    def first_at_or_below(self, limit: float, from_ns: int) -> int | None:
        """Earliest instant from `from_ns` on at which the price is at most `limit`, ns UTC; None if there is none."""
        return self._first(limit, from_ns, 1.0)

    def first_at_or_above(self, limit: float, from_ns: int) -> int | None:
        """Earliest instant from `from_ns` on at which the price is at least `limit`, ns UTC; None if there is none."""
        return self._first(limit, from_ns, -1.0)

    def _first(self, limit: float, from_ns: int, sign: float) -> int | None:
        start = int(np.searchsorted(self.close_ns, from_ns, "right"))
        worst = self.low if sign > 0 else self.high
        hits = np.flatnonzero(sign * worst[start:] <= sign * limit)
        for k in (
            hits[:2] + start
        ).tolist():  # the step that `from_ns` is in may have touched the limit before
            found = self._crossing(k, sign * limit, from_ns, sign)
            if found is not None:
                return found
        return None

    def _crossing(self, k: int, limit: float, from_ns: int, sign: float) -> int | None:
        """Instant within step `k` at which `sign` times the price is first at most `limit`."""
        begin, length = int(self.open_ns[k]), int(self.close_ns[k] - self.open_ns[k])
        prices = [sign * p for p in self.corners(k)]
        times: list[int] = [begin + round(length * share) for share in CORNERS.tolist()]
        for a in range(3):
            if times[a + 1] < from_ns:
                continue
            entered: int = max(times[a], from_ns)
            share = (entered - times[a]) / (times[a + 1] - times[a])
            price = prices[a] + share * (prices[a + 1] - prices[a])
            if price <= limit:
                return entered
            if prices[a + 1] <= limit:
                left = (price - limit) / (price - prices[a + 1])
                return min(entered + int(np.ceil(left * (times[a + 1] - entered))), times[a + 1])
        return None

    def points(self, from_ns: int, to_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Instants (ns UTC) and prices of the corners between two instants, with these two: lines lead between them."""
        begin, length = self.open_ns, self.close_ns - self.open_ns
        times = begin[:, None] + np.rint(length[:, None] * CORNERS[:3]).astype(np.int64)
        rises = self.close >= self.open
        first, second = np.where(rises, self.low, self.high), np.where(rises, self.high, self.low)
        flat = times.ravel()
        inside = slice(*np.searchsorted(flat, [from_ns + 1, to_ns]))
        prices = np.column_stack((self.open, first, second)).ravel()[inside]
        ends = self.at(from_ns), self.at(to_ns)
        return (
            np.concatenate(([from_ns], flat[inside], [to_ns])),
            np.concatenate(([ends[0]], prices, [ends[1]])),
        )

    def first_trailed(self, trail: Trail, from_ns: int, to_ns: int) -> tuple[int | None, float]:
        """When the price first falls back to a trailing stop (ns UTC, None if never), and the best price by then."""
        times, prices = self.points(from_ns, to_ns)
        sign = -trail.side
        best = sign * np.maximum.accumulate(np.append(sign * trail.extreme, sign * prices))
        if sign * prices[0] <= sign * trail.level:
            return from_ns, trail.extreme
        rough = trail.rough(best[1:]) * (1.0 + sign * NOISE)
        for k in np.flatnonzero(sign * prices[1:] <= sign * rough[:-1]).tolist():
            extreme = float(best[k + 1])
            level = trail.level if extreme == trail.extreme else trail.exact(extreme)
            before, after = float(prices[k]), float(prices[k + 1])
            if sign * after <= sign * level:
                share = max(sign * (before - level), 0.0) / (sign * (before - after))
                span = int(times[k + 1] - times[k])
                return int(times[k]) + min(int(np.ceil(share * span)), span), extreme
        return None, float(best[-1])

    def cut(self, length_ns: int) -> Path:
        """Longer bars, cut at whole multiples of `length_ns` on the UTC clock, as `Bars.resample` cuts them."""
        key = -(-self.close_ns // length_ns)
        starts = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
        last = np.append(starts[1:], key.size) - 1
        return Path(
            open_ns=self.open_ns[starts],
            close_ns=self.close_ns[last],
            open=self.open[starts],
            high=np.maximum.reduceat(self.high, starts),
            low=np.minimum.reduceat(self.low, starts),
            close=self.close[last],
            volume=np.add.reduceat(self.volume, starts),
        )


def generator_of(symbol: str, time_ns: int, seed: int) -> np.random.Generator:
    """Make the generator of one bar's path: the same for a symbol, a bar and a seed, whatever else is in the market."""
    digest = hashlib.blake2b(f"{seed}\0{symbol}\0{time_ns}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def draw_path(
    bar: Prices, open_ns: int, close_ns: int, tick: float | None, generator: np.random.Generator
) -> Path:
    """Draw the path of one bar.

    Parameters
    ----------
    bar : Prices
        The bar that the path is of.
    open_ns, close_ns : int
        When it begins and ends, ns UTC.
    tick : float or None
        Step of the prices in between; those of the bar itself are taken as they are.
    generator
        Where chance comes from.

    Returns
    -------
    Path
        Steps that end at whole multiples of `STEP_NS`, and the last one at the bar's close. First open, highest high,
        lowest low, last close and the sum of the volumes are those of the bar, to the bit.
    """
    first = (open_ns // STEP_NS + 1) * STEP_NS
    begin = np.concatenate(([open_ns], np.arange(first, close_ns, STEP_NS, dtype=np.int64)))
    end = np.append(begin[1:], close_ns)
    n = begin.size
    if n == 1:
        one = (np.array([x]) for x in (bar.open, bar.high, bar.low, bar.close, bar.volume))
        return Path(begin, end, *one)
    points, extremes = _points(bar, n, tick, generator)
    before, after = points[:-1], points[1:]
    wick = np.abs(generator.standard_normal((2, n))) * (WICK * _step_deviation(bar, n))
    high = _on_grid(np.maximum(before, after) + wick[0], bar, tick)
    low = _on_grid(np.minimum(before, after) - wick[1], bar, tick)
    high, low = np.maximum(high, np.maximum(before, after)), np.minimum(low, np.minimum(before, after))
    high[extremes[0]], low[extremes[1]] = bar.high, bar.low
    volume = _volumes(bar.volume, n, generator)
    return Path(begin, end, before.copy(), high, low, after.copy(), volume)


def _step_deviation(bar: Prices, n: int) -> float:
    return (bar.high - bar.low) / (RANGE_PER_DEVIATION * math.sqrt(n))


def _points(
    bar: Prices, n: int, tick: float | None, generator: np.random.Generator
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Prices between the steps, shape (n + 1,), and the steps that touch the high and the low."""
    first, second = _two_of(n - 1, generator) if n > 2 else (1, 1)
    low_first = generator.random() < (0.75 if bar.close >= bar.open else 0.25)
    where_low, where_high = (first, second) if low_first else (second, first)
    walk = np.concatenate(([0.0], np.cumsum(generator.standard_normal(n)))) * _step_deviation(bar, n)
    knots = {0: bar.open, n: bar.close}
    if n > 2:
        knots |= {where_low: bar.low, where_high: bar.high}
    at = np.array(sorted(knots))
    bent = np.array([knots[k] for k in at.tolist()]) - walk[at]
    points = _on_grid(walk + np.interp(np.arange(n + 1), at, bent), bar, tick)
    for k, price in knots.items():
        points[k] = price
    # A step is the stretch after a point; the last point of all has none.
    return points, (min(where_high, n - 1), min(where_low, n - 1) if n > 2 else 0)


def _two_of(n: int, generator: np.random.Generator) -> tuple[int, int]:
    """Two different numbers of 1 to `n`, the smaller one first."""
    a, b = int(generator.integers(1, n + 1)), int(generator.integers(1, n))
    b += b >= a
    return min(a, b), max(a, b)


def _on_grid(prices: NDArray[np.float64], bar: Prices, tick: float | None) -> NDArray[np.float64]:
    """Fold prices back into the bar's range and round them to the tick; the range's ends may be off it."""
    folded = np.where(prices > bar.high, 2.0 * bar.high - prices, prices)
    folded = np.where(folded < bar.low, 2.0 * bar.low - folded, folded)
    if tick:
        per_point = np.rint(1.0 / tick)
        whole = abs(per_point * tick - 1.0) < 1e-12
        folded = np.rint(folded * per_point) / per_point if whole else np.rint(folded / tick) * tick
    return np.asarray(np.clip(folded, bar.low, bar.high))


def _volumes(volume: float, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Whole units a step, more at both ends; a fraction of a unit goes to the last step."""
    if not volume >= 0.0:
        return np.full(n, np.nan)
    ends = np.linspace(-1.0, 1.0, n)
    weights = np.cumsum((1.0 + SMILE * ends * ends) * generator.standard_exponential(n))
    whole = np.floor(volume)
    done = np.floor(weights * (whole / weights[-1]))
    done[-1] = whole
    steps: NDArray[np.float64] = np.diff(np.minimum(done, whole), prepend=0.0)
    steps[-1] += volume - whole
    return steps
