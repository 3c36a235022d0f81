"""Longer bars inside a strategy, of which only completed ones are seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.barsize import BarSize
from quantlab.errors import ParameterError
from quantlab.frames import next_sessions, session_closes
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
        Row of the last completed longer bar at the close of each bar; -1 before the first.
    """

    bars: Bars
    completed: NDArray[np.int64]

    def align(self, values: Any) -> NDArray[Any]:
        """Give each bar what holds for the longer bar that was completed last.

        Parameters
        ----------
        values : array_like, Series or DataFrame of shape (n_coarse,) or (n_coarse, n_assets)
            One row for each of `bars`.

        Returns
        -------
        ndarray of shape (n_bars,) or (n_bars, n_assets)
            In the type of `values`; before the first completed bar NaN, or False for truths. Whole numbers become
            floats.

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
        if given.dtype != bool:
            given = given.astype(np.float64)
        known = self.completed >= 0
        known = known if given.ndim == 1 else known[:, None]
        nothing = False if given.dtype == bool else np.nan
        return np.where(known, given[np.maximum(self.completed, 0)], nothing)


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
        For a size that is not longer.

    Notes
    -----
    A longer bar is completed at the close that its schedule names: the end of its stretch of the clock, or the
    exchange's close of its last session where the bars have a calendar. Without one it is completed when a bar of
    the next one has come, for nobody knows before that nothing follows. Longer bars are cut at fixed times, and the
    first one never counts, so that a live window and the whole history see the same.

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
    group = bar_group(bars, size)
    coarse = bars.resample(str(size))
    completed = np.where(_is_last(bars, size), group, group - 1).astype(np.int64)
    # Of the first longer bar nobody knows whether it began before these bars.
    completed[completed == 0] = -1
    hidden = np.zeros(coarse.n_bars, bool)
    hidden[0] = True
    hidden[-1] = hidden[-1] or completed[-1] < coarse.n_bars - 1
    columns: dict[str, Any] = {c: np.where(hidden[:, None], np.nan, getattr(coarse, c)) for c in COLUMNS}
    completed.flags.writeable = False
    return Coarse(replace(coarse, **columns), completed)


def _is_last(bars: Bars, size: BarSize) -> NDArray[np.bool_]:
    """Whether the longer bar of each bar is known to end with it, shape (n_bars,)."""
    closes = None
    if bars.calendar is not None:
        closes = session_closes(bars.calendar, bars.session)
    ends_session = np.zeros(bars.n_bars, bool) if closes is None else bars.time >= closes
    if size.intraday:
        return np.asarray((bars.time % size.duration_ns == 0) | ends_session)
    if closes is None or bars.calendar is None:
        return ends_session
    following = next_sessions(bars.calendar, bars.session)
    return np.asarray(ends_session & (session_group(following, size) != session_group(bars.session, size)))
