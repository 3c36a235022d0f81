"""What can be known at an instant: bars that have closed, the bar in progress so far, the price now.

The market knows its whole history. Everything that leaves the gateway comes through here, and nothing here returns
what is after the moment it is asked at.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.gateway.grid import CLOSE, OPEN, Grid, Moment, grid_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.barsize import BarSize
    from quantlab.gateway.market import Market
    from quantlab.gateway.path import Path, Trail

__all__ = ["Bar", "Tape"]


class Bar(NamedTuple):
    """One bar of one asset: when it opens and closes (ns UTC), its prices and its volume (NaN where unknown)."""

    open_ns: int
    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Tape:
    """The market as far as it has happened.

    Parameters
    ----------
    market : Market
        Prices, future included.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self._grids: dict[BarSize, Grid] = {}
        self._latest: tuple[BarSize, int, int] = (market.size, -1, -1)
        own = market.series(market.size)
        self._open_ns, self._close_ns = own.open_ns, own.bars.time
        there = ~np.isnan(market.base.close)
        rows = np.where(there, np.arange(market.base.n_bars)[:, None], -1)
        self._newest: NDArray[np.int64] = np.maximum.accumulate(rows, axis=0)

    def grid(self, size: BarSize) -> Grid:
        """Give the opens and closes of one bar size."""
        if size not in self._grids:
            self._grids[size] = grid_of(self.market, size)
        return self._grids[size]

    def is_real(self, size: BarSize) -> bool:
        """Whether bars of a size are in the data, or made of those that are."""
        return size.duration_ns >= self.market.size.duration_ns

    # -- bars ------------------------------------------------------------------------------------------

    def closed(self, column: int, size: BarSize, close_ns: int) -> Bar | None:
        """Bar that closes at an instant; None where the asset has none. Ask when it has closed, not before."""
        if self.is_real(size):
            series = self.market.series(size)
            if self._latest[:2] != (size, close_ns):  # many assets are asked for at one instant
                self._latest = size, close_ns, int(series.bars.time.searchsorted(close_ns))
            return _row(series.bars, series.open_ns, self._latest[2], column)
        number = int(self.market.hours.close_ns.searchsorted(close_ns))
        path = self.market.slices(column, number, size.duration_ns)
        if path is None:
            return None
        k = int(path.close_ns.searchsorted(close_ns))
        return _piece(path, k) if k < path.close_ns.size and path.close_ns[k] == close_ns else None

    def opening(self, column: int, size: BarSize, open_ns: int) -> float | None:
        """Open of the bar that opens at an instant; None where the asset has none."""
        if self.is_real(size):
            series = self.market.series(size)
            row = int(series.open_ns.searchsorted(open_ns))
            price = float(series.bars.open[row, column])
            return None if math.isnan(price) else price
        number = int(self.market.hours.close_ns.searchsorted(open_ns, "right"))
        path = self.market.slices(column, number, size.duration_ns)
        if path is None:
            return None
        k = int(path.open_ns.searchsorted(open_ns))
        return float(path.open[k]) if k < path.open_ns.size and path.open_ns[k] == open_ns else None

    def running(self, column: int, size: BarSize, moment: Moment) -> Bar | None:
        """Bar in progress with what has traded so far; None where there is none, or nothing traded yet."""
        time_ns, grid = moment.time_ns, self.grid(size)
        if grid.opens_at(time_ns):
            if moment.phase < OPEN:
                return None
            price = self.opening(column, size, time_ns)
            if price is None:
                return None
            volume = 0.0 if self._knows_volume(column, time_ns) else np.nan
            return Bar(time_ns, time_ns, price, price, price, price, volume)
        span = grid.length_at(time_ns)
        if span is None:
            return None
        parts = [*self._whole(column, span[0], time_ns), *self._partial(column, span[0], time_ns)]
        return _joined(parts, span[0], time_ns) if parts else None

    def _knows_volume(self, column: int, time_ns: int) -> bool:
        row = min(int(self._close_ns.searchsorted(time_ns, "right")), self._close_ns.size - 1)
        return not np.isnan(self.market.base.volume[row, column])

    def _whole(self, column: int, from_ns: int, now_ns: int) -> Iterator[Bar]:
        """Real bars that lie between two instants."""
        first = int(self._open_ns.searchsorted(from_ns))
        last = int(self._close_ns.searchsorted(now_ns, "right"))
        for row in range(first, last):
            bar = _row(self.market.base, self._open_ns, row, column)
            if bar is not None:
                yield bar

    def _partial(self, column: int, from_ns: int, now_ns: int) -> Iterator[Bar]:
        """Yield the real bar in progress up to now: its whole steps as one, and the step that has begun."""
        row = int(self._close_ns.searchsorted(now_ns, "right"))
        path = None if row >= self._close_ns.size else self.market.path(column, row)
        if path is None:
            return
        first = int(path.open_ns.searchsorted(from_ns))
        last = int(path.close_ns.searchsorted(now_ns, "right"))
        if first < last:
            done = slice(first, last)
            yield Bar(
                int(path.open_ns[first]),
                int(path.close_ns[last - 1]),
                float(path.open[first]),
                float(path.high[done].max()),
                float(path.low[done].min()),
                float(path.close[last - 1]),
                float(path.volume[done].sum()),
            )
        if last < path.open_ns.size and path.open_ns[last] < now_ns:
            begun, price = float(path.open[last]), path.at(now_ns)
            volume = np.nan if np.isnan(path.volume[last]) else 0.0
            yield Bar(
                int(path.open_ns[last]), now_ns, begun, max(begun, price), min(begun, price), price, volume
            )

    def history(self, column: int, size: BarSize, from_ns: int, to_ns: int) -> Iterator[Bar]:
        """Bars that open at `from_ns` or later and close at `to_ns` or earlier, oldest first.

        `to_ns` must not be after now.
        """
        if self.is_real(size):
            series = self.market.series(size)
            first = int(series.open_ns.searchsorted(from_ns))
            last = int(series.bars.time.searchsorted(to_ns, "right"))
            for row in range(first, last):
                bar = _row(series.bars, series.open_ns, row, column)
                if bar is not None:
                    yield bar
            return
        hours = self.market.hours
        first = int(hours.close_ns.searchsorted(from_ns, "right"))
        for number in range(first, hours.upto(to_ns)):
            path = self.market.slices(column, number, size.duration_ns)
            if path is None:
                continue
            begin, end = path.open_ns.searchsorted(from_ns), path.close_ns.searchsorted(to_ns, "right")
            for k in range(int(begin), int(end)):
                yield _piece(path, k)

    # -- prices ----------------------------------------------------------------------------------------

    def row_at(self, time_ns: int) -> int | None:
        """Row of the real bar that is open at an instant (its open belongs to it); None between bars."""
        row = int(self._close_ns.searchsorted(time_ns, "right"))
        return row if row < self._close_ns.size and self._open_ns[row] <= time_ns else None

    def trades_at(self, column: int, time_ns: int) -> bool:
        """Whether an asset has a real bar that is open at an instant."""
        row = self.row_at(time_ns)
        return row is not None and not np.isnan(self.market.base.close[row, column])

    def price(self, column: int, moment: Moment) -> float | None:
        """Price now; the newest one when nothing trades; None before the first one."""
        time_ns, phase = moment
        begun = int(self._open_ns.searchsorted(time_ns, "right" if phase >= OPEN else "left")) - 1
        row = -1 if begun < 0 else int(self._newest[begun, column])
        if row < 0:
            return None
        base = self.market.base
        if self._close_ns[row] <= time_ns:
            return float(base.close[row, column])
        if self._open_ns[row] == time_ns:
            return float(base.open[row, column])
        path = self.market.path(column, row)
        return None if path is None else path.at(time_ns)

    def previous_close(self, column: int, moment: Moment) -> float | None:
        """Close of the session before the one that is open or was open last; None without one."""
        hours, base = self.market.hours, self.market.base
        number = hours.upto(moment.time_ns) - 1
        if number > 0 and moment.phase == CLOSE and hours.open_ns[number] == moment.time_ns:
            number -= 1
        if number < 1:
            return None
        row = int(np.searchsorted(base.session, hours.day[number])) - 1
        row = int(self._newest[row, column])
        return None if row < 0 else float(base.close[row, column])

    def first_reach(self, column: int, limit: float, side: int, from_ns: int, until_ns: int) -> int | None:
        """Look ahead for when a standing limit will be reached; only the matching may ask.

        Parameters
        ----------
        column : int
            Of the asset.
        limit : float
            Price to be reached: from above for a buy, from below for a sale.
        side : {1, -1}
            Buy or sell.
        from_ns, until_ns : int
            Between these instants, the second one excluded.

        Returns
        -------
        int or None
            ns UTC.
        """
        base = self.market.base
        for row, begin in self._rows(from_ns, until_ns):
            extreme = base.low[row, column] if side > 0 else base.high[row, column]
            if not side * extreme <= side * limit:  # NaN where there is no bar
                continue
            path = self.market.path(column, row)
            if path is None:
                continue
            look = path.first_at_or_below if side > 0 else path.first_at_or_above
            found = look(limit, begin)
            if found is not None and found < until_ns:
                return found
        return None

    def first_trailed(self, column: int, trail: Trail, from_ns: int, until_ns: int) -> int | None:
        """Look ahead for when a trailing stop will be reached, before `until_ns`; only the matching may ask."""
        for row, begin in self._rows(from_ns, until_ns):
            path = self.market.path(column, row)
            if path is None:
                continue
            end = min(until_ns, int(self._close_ns[row]))
            found, extreme = path.first_trailed(trail, begin, end)
            if found is not None:
                return found if found < until_ns else None
            if extreme != trail.extreme:
                trail = replace(trail, extreme=extreme, level=trail.exact(extreme))
        return None

    def best(self, column: int, side: int, from_ns: int, now_ns: int) -> float | None:
        """Lowest price for a buy, highest for a sale, between two instants of which the second is not after now."""
        found = []
        for row, begin in self._rows(from_ns, now_ns):
            path = self.market.path(column, row)
            if path is not None:
                found += path.points(begin, min(now_ns, int(self._close_ns[row])))[1].tolist()
        return side * min(side * x for x in found) if found else None

    def _rows(self, from_ns: int, until_ns: int) -> Iterator[tuple[int, int]]:
        """Yield the real bars that are open between two instants, and from when on."""
        first = int(self._close_ns.searchsorted(from_ns, "right"))
        last = int(self._open_ns.searchsorted(until_ns))
        for row in range(first, last):
            yield row, max(from_ns, int(self._open_ns[row]))


def _row(bars: Bars, open_ns: NDArray[np.int64], row: int, column: int) -> Bar | None:
    """Read one real bar."""
    close = float(bars.close[row, column])
    if math.isnan(close):
        return None
    return Bar(
        int(open_ns[row]),
        int(bars.time[row]),
        float(bars.open[row, column]),
        float(bars.high[row, column]),
        float(bars.low[row, column]),
        close,
        float(bars.volume[row, column]),
    )


def _piece(path: Path, k: int) -> Bar:
    """Read one step of a path."""
    return Bar(
        int(path.open_ns[k]),
        int(path.close_ns[k]),
        float(path.open[k]),
        float(path.high[k]),
        float(path.low[k]),
        float(path.close[k]),
        float(path.volume[k]),
    )


def _joined(parts: list[Bar], open_ns: int, now_ns: int) -> Bar:
    """One bar made of several."""
    return Bar(
        open_ns,
        now_ns,
        parts[0].open,
        max(p.high for p in parts),
        min(p.low for p in parts),
        parts[-1].close,
        sum(p.volume for p in parts),
    )
