"""Longer bars inside a strategy, of which only completed ones are seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quantlab.barsize import BarSize
from quantlab.errors import ParameterError
from quantlab.frames import foreseen_sessions
from quantlab.reshape import bar_group, session_group
from quantlab.signals.memo import remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars

__all__ = ["Coarse", "resample_to"]

COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Coarse:
    """Longer bars, and which of them was completed last at each of the bars they are made of.

    Parameters
    ----------
    bars : Bars
        The longer bars, n_coarse of them, for indicators to work on. The first one has no prices, since its beginning
        may lie before the bars; neither has the last one while it is in progress.
    completed : ndarray of int64 of shape (n_bars,)
        Row of the last completed longer bar at the close of each bar, never falling; -1 before the first.
    """

    bars: Bars
    completed: NDArray[np.int64]

    @cached_property
    def _n_seen(self) -> NDArray[np.int64]:
        """How many of the shorter bars see nothing yet, and how many each longer bar; shape (n_coarse + 1,)."""
        return np.bincount(self.completed + 1, minlength=self.bars.n_bars + 1)

    def align(self, values: Any) -> NDArray[Any]:
        """Give each bar what holds for the longer bar that was completed last.

        Parameters
        ----------
        values : array_like, Series or DataFrame of shape (n_coarse,) or (n_coarse, n_assets)
            One row for each of `bars`.

        Returns
        -------
        ndarray of shape (n_bars,) or (n_bars, n_assets)
            Truths or floats, as `values` are; before the first completed bar False or NaN. Whole numbers become floats.

        Raises
        ------
        ParameterError
            For another number of rows.
        """
        given = np.asarray(values)
        if given.ndim == 0 or len(given) != self.bars.n_bars:
            raise ParameterError(
                f"values have shape {given.shape}; one row for each of the {self.bars.n_bars} bars of "
                f"{self.bars.bar_size} is needed."
            )
        truths = given.dtype == bool
        seen = np.empty((len(given) + 1, *given.shape[1:]), bool if truths else np.float64)
        seen[0] = False if truths else np.nan
        seen[1:] = given
        return np.repeat(seen, self._n_seen, axis=0)


@remembered
def resample_to(bars: Bars, bar_size: str) -> Coarse:
    """Make longer bars of which a strategy sees the completed ones alone.

    Parameters
    ----------
    bars : Bars
        What the strategy was given.
    bar_size : str
        Longer than that of `bars`: ``"30 mins"`` or ``"1 day"`` for minutes, ``"1 week"`` for days.

    Returns
    -------
    Coarse
        ``.bars`` for indicators, ``.align(values)`` for their results at each bar.

    Raises
    ------
    DataError
        For a size that is not longer, and for days that the bars' calendar does not reach.

    Notes
    -----
    A longer bar is completed at the close that its schedule names: the end of its stretch of the clock, or the
    exchange's close of its last session where the bars have a calendar. Without one it is completed when a bar of
    the next one has come, for nobody knows before that nothing follows. A closure that was not planned counts as
    unknown until then, too.

    Longer bars are cut at fixed times, as by `Bars.resample`, and the first one never counts, so that a live window
    and the whole history see the same. Bars outside the sessions of the calendar (a Saturday, trading after the close)
    go to the session that comes next.

    Examples
    --------
    >>> import quantlab as ql
    >>> from quantlab.signals import resample_to, sma
    >>> bars = ql.sample("AAPL")
    >>> week = resample_to(bars, "1 week")
    >>> rising = week.align(week.bars.close > sma(week.bars.close, 10))
    >>> rising.shape == bars.shape
    True
    """
    size = BarSize.parse(bar_size)
    placed, ended = _scheduled(bars, size)
    group = bar_group(placed, size)
    coarse = placed.resample(str(size))
    completed = np.where(ended, group, group - 1).astype(np.int64)
    # Of the first longer bar nobody knows whether it began before these bars.
    completed[completed == 0] = -1
    hidden = np.zeros(coarse.n_bars, bool)
    hidden[0] = True
    hidden[-1] = hidden[-1] or completed[-1] < coarse.n_bars - 1
    columns: dict[str, Any] = {c: np.where(hidden[:, None], np.nan, getattr(coarse, c)) for c in COLUMNS}
    completed.flags.writeable = False
    return Coarse(replace(coarse, **columns), completed)


def _scheduled(bars: Bars, size: BarSize) -> tuple[Bars, NDArray[np.bool_]]:
    """Put each bar into the session that its calendar has for it, and say whether its longer bar must end with it.

    Returns
    -------
    bars : Bars
        The same with other sessions, where any is another.
    ended : ndarray of bool of shape (n_bars,)
        Whether the scheduled close of the longer bar is reached; of the bars of one longer bar at most the last.
    """
    ended = bars.time % size.duration_ns == 0 if size.intraday else np.zeros(bars.n_bars, bool)
    if bars.calendar is None:
        return bars, ended
    day, close = foreseen_sessions(bars.calendar, int(bars.session[0]), int(bars.session[-1]))
    opened = bars.time - BarSize.parse(bars.bar_size).duration_ns
    # The first session, from the one that the bar names on, which was not over when the bar began: a bar that came
    # later than a session's close would change a longer bar that was seen already.
    named = _n_passed(day, bars.session, "right")
    row = np.minimum(np.maximum(named, _n_passed(close, opened, "left")), day.size - 1)
    is_last = np.ones(day.size, bool)
    if not size.intraday:
        is_last = np.append(np.diff(session_group(day, size)) != 0, False)
    placed = bars if np.array_equal(day[row], bars.session) else replace(bars, session=day[row])
    return placed, ended | (is_last[row] & (bars.time >= close[row]))


def _n_passed(
    marks: NDArray[np.int64], at: NDArray[np.int64], side: Literal["left", "right"]
) -> NDArray[np.int64]:
    """How many marks lie before each of `at`, or at it with "left"; both rise, so the few are sought in the many."""
    return np.cumsum(np.bincount(np.searchsorted(at, marks, side), minlength=at.size + 1)[:-1])
