"""When bars open and close: the instants at which something happens, at every bar size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from quantlab.gateway.path import STEP_NS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantlab.barsize import BarSize
    from quantlab.gateway.market import Hours, Market

__all__ = ["CLOSE", "FILL", "OPEN", "PULSE", "Grid", "Moment", "Pulses", "grid_of", "is_among"]

CLOSE, OPEN, FILL, PULSE = 0, 1, 2, 3
"""What happens at one instant, in this order: bars close, bars open, orders fill between opens, prices are sent."""


class Moment(NamedTuple):
    """An instant, ns UTC, and how far into it we are: one of `CLOSE`, `OPEN`, `FILL` and `PULSE`."""

    time_ns: int
    phase: int


def is_among(times: NDArray[np.int64], time_ns: int) -> bool:
    """Whether an instant is one of rising instants."""
    k = int(times.searchsorted(time_ns))
    return k < times.size and bool(times[k] == time_ns)


class Grid(Protocol):
    """Bars of one size: when they open and when they close."""

    def after(self, moment: Moment) -> Moment | None:
        """Next open or close; None when there is none."""

    def opens_at(self, time_ns: int) -> bool:
        """Whether a bar opens at an instant."""

    def closes_at(self, time_ns: int) -> bool:
        """Whether a bar closes at an instant."""

    def length_at(self, time_ns: int) -> tuple[int, int] | None:
        """Open and close of the bar that is open at an instant (its open belongs to it); None between bars."""


class RealGrid:
    """Bars that are in the data.

    Parameters
    ----------
    open_ns, close_ns : ndarray of shape (n,)
        Rising; no bar opens before the one before has closed.
    """

    def __init__(self, open_ns: NDArray[np.int64], close_ns: NDArray[np.int64]) -> None:
        self.open_ns, self.close_ns = open_ns, close_ns
        self._opens, self._closes = (-1, False), (-1, False)

    def after(self, moment: Moment) -> Moment | None:
        """Next open or close; None when there is none."""
        time_ns, phase = moment
        opens, closes = self.open_ns, self.close_ns
        k = int(closes.searchsorted(time_ns, "right"))
        j = int(opens.searchsorted(time_ns, "left" if phase < OPEN else "right"))
        if j < opens.size and (k >= closes.size or opens[j] < closes[k]):
            return Moment(int(opens[j]), OPEN)
        return Moment(int(closes[k]), CLOSE) if k < closes.size else None

    def opens_at(self, time_ns: int) -> bool:
        """Whether a bar opens at an instant."""
        if self._opens[0] != time_ns:  # many assets are asked for at one instant
            self._opens = time_ns, is_among(self.open_ns, time_ns)
        return self._opens[1]

    def closes_at(self, time_ns: int) -> bool:
        """Whether a bar closes at an instant."""
        if self._closes[0] != time_ns:
            self._closes = time_ns, is_among(self.close_ns, time_ns)
        return self._closes[1]

    def length_at(self, time_ns: int) -> tuple[int, int] | None:
        """Open and close of the bar that is open at an instant; None between bars."""
        k = int(self.close_ns.searchsorted(time_ns, "right"))
        if k >= self.close_ns.size or self.open_ns[k] > time_ns:
            return None
        return int(self.open_ns[k]), int(self.close_ns[k])


class CutGrid:
    """Bars shorter than those in the data: these, cut at whole multiples of a length on the UTC clock.

    Parameters
    ----------
    whole : RealGrid
        The bars that are cut.
    length_ns : int
        Length of a piece; the first and the last one of a bar may be shorter.
    """

    def __init__(self, whole: RealGrid, length_ns: int) -> None:
        self.open_ns, self.close_ns, self.length_ns = whole.open_ns, whole.close_ns, length_ns

    def after(self, moment: Moment) -> Moment | None:
        """Next open or close; None when there is none."""
        time_ns, phase = moment
        row = int(self.close_ns.searchsorted(time_ns, "right"))
        if row >= self.close_ns.size:
            return None
        opened, closed, length = int(self.open_ns[row]), int(self.close_ns[row]), self.length_ns
        if time_ns < opened or (time_ns == opened and phase < OPEN):
            return Moment(opened, OPEN)
        if time_ns > opened and time_ns % length == 0 and phase < OPEN:
            return Moment(time_ns, OPEN)
        return Moment(min((time_ns // length + 1) * length, closed), CLOSE)

    def opens_at(self, time_ns: int) -> bool:
        """Whether a piece opens at an instant."""
        row = int(self.close_ns.searchsorted(time_ns, "right"))
        if row >= self.close_ns.size or self.open_ns[row] > time_ns:
            return False
        return time_ns % self.length_ns == 0 or bool(self.open_ns[row] == time_ns)

    def closes_at(self, time_ns: int) -> bool:
        """Whether a piece closes at an instant."""
        row = int(self.close_ns.searchsorted(time_ns))
        if row >= self.close_ns.size or self.open_ns[row] >= time_ns:
            return False
        return time_ns % self.length_ns == 0 or bool(self.close_ns[row] == time_ns)

    def length_at(self, time_ns: int) -> tuple[int, int] | None:
        """Open and close of the piece that is open at an instant; None between bars."""
        row = int(self.close_ns.searchsorted(time_ns, "right"))
        if row >= self.close_ns.size or self.open_ns[row] > time_ns:
            return None
        begin = time_ns // self.length_ns * self.length_ns
        opened, closed = int(self.open_ns[row]), int(self.close_ns[row])
        return max(begin, opened), min(begin + self.length_ns, closed)


class Pulses:
    """Every five seconds of every session: when prices are sent to who watches them."""

    def __init__(self, hours: Hours) -> None:
        self.hours = hours

    def after(self, moment: Moment) -> Moment | None:
        """Next pulse; None when there is none."""
        time_ns, phase = moment
        k = int(self.hours.close_ns.searchsorted(time_ns, "left" if phase < PULSE else "right"))
        while k < self.hours.close_ns.size:
            opened, closed = int(self.hours.open_ns[k]), int(self.hours.close_ns[k])
            begin = max(time_ns, opened)
            found = begin // STEP_NS * STEP_NS
            if found <= opened or found < begin or (found == time_ns and phase >= PULSE):
                found += STEP_NS
            if found <= closed:
                return Moment(found, PULSE)
            k += 1
        return None


def grid_of(market: Market, size: BarSize) -> Grid:
    """Grid of one bar size in a market."""
    if size.duration_ns >= market.size.duration_ns:
        series = market.series(size)
        return RealGrid(series.open_ns, series.bars.time)
    own = market.series(market.size)
    return CutGrid(RealGrid(own.open_ns, own.bars.time), size.duration_ns)
