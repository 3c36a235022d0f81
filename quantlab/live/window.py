"""The bars a run decides on: everything promoted on, and one row more with each closed bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Row", "Window", "body_to_row", "row_to_body"]

COLUMNS = ("open", "high", "low", "close", "volume")

ROOM = 1024
"""Rows that are made room for at a time."""


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One closed bar of all assets.

    Parameters
    ----------
    time_ns : int
        Its close, ns UTC.
    session : int
        Days from 1970-01-01 to its session's date.
    values : ndarray of shape (n_assets, 5)
        Open, high, low, close, volume; NaN where an asset has no bar.
    """

    time_ns: int
    session: int
    values: NDArray[np.float64]

    @property
    def close(self) -> NDArray[np.float64]:
        """Closes, shape (n_assets,)."""
        return self.values[:, 3]


class Window:
    """Bars that grow by rows; a row once added stays.

    Parameters
    ----------
    bars : Bars
        What there is at the beginning; prices must be raw (factor 1).
    """

    def __init__(self, bars: Bars) -> None:
        self.n_bars = bars.n_bars
        self._first = bars
        self._time = np.array(bars.time)
        self._session = np.array(bars.session)
        self._columns = [np.array(getattr(bars, c)) for c in COLUMNS]

    @property
    def last_ns(self) -> int:
        """Close of the newest bar."""
        return int(self._time[self.n_bars - 1])

    @property
    def last_session(self) -> int:
        """Session of the newest bar."""
        return int(self._session[self.n_bars - 1])

    def is_first(self, time_ns: int) -> bool:
        """Whether a bar is one of those that were there at the beginning."""
        return time_ns <= int(self._first.time[-1])

    def append(self, row: Row) -> None:
        """Add one row, which must be newer than the last one.

        Raises
        ------
        ValueError
            For a row that is not newer.
        """
        if row.time_ns <= self.last_ns:
            raise ValueError(
                f"a row at {row.time_ns} ns is not newer than the last one, at {self.last_ns} ns"
            )
        if self.n_bars == len(self._time):
            self._grow()
        t = self.n_bars
        self._time[t], self._session[t] = row.time_ns, row.session
        for k, column in enumerate(self._columns):
            column[t] = row.values[:, k]
        self.n_bars += 1

    def _grow(self) -> None:
        """Make room; what was handed out before stays as it was."""
        more = self.n_bars + ROOM

        def wider(array: NDArray[Any]) -> NDArray[Any]:
            room = np.empty((more, *array.shape[1:]), array.dtype)
            room[: self.n_bars] = array
            return room

        self._time, self._session = wider(self._time), wider(self._session)
        self._columns = [wider(c) for c in self._columns]

    def bars(self) -> Bars:
        """Everything up to the newest row, as bars; rows are never written again, so nothing is copied."""
        n, first = self.n_bars, self._first
        columns: dict[str, Any] = {
            name: column[:n] for name, column in zip(COLUMNS, self._columns, strict=True)
        }
        return Bars(
            time=self._time[:n],
            session=self._session[:n],
            instruments=first.instruments,
            bar_size=first.bar_size,
            meta=first.meta,
            **columns,
        )

    def last_close(self) -> NDArray[np.float64]:
        """Last known close of each asset, 0 where it never had a bar; shape (n_assets,)."""
        close = self._columns[3][: self.n_bars]
        out = np.zeros(close.shape[1])
        for i in range(close.shape[1]):
            known = np.flatnonzero(~np.isnan(close[-ROOM:, i]))
            if not known.size:
                known = np.flatnonzero(~np.isnan(close[:, i]))
                out[i] = close[known[-1], i] if known.size else 0.0
            else:
                out[i] = close[-ROOM:, i][known[-1]]
        return out

    def at(self, time_ns: int) -> NDArray[np.float64] | None:
        """Values of the row that closed at a time, shape (n_assets, 5); None if there is none."""
        t = int(np.searchsorted(self._time[: self.n_bars], time_ns))
        if t == self.n_bars or self._time[t] != time_ns:
            return None
        return np.stack([c[t] for c in self._columns], axis=1)


def row_to_body(row: Row, symbols: tuple[str, ...]) -> dict[str, Any]:
    """Write a row as what JSON holds; assets without a bar are left out."""
    rows = {
        s: [None if v != v else v for v in row.values[i].tolist()]  # noqa: PLR0124  # NaN differs from itself
        for i, s in enumerate(symbols)
        if row.values[i, 3] == row.values[i, 3]  # the same
    }
    return {"time_ns": row.time_ns, "session": row.session, "rows": rows}


def body_to_row(body: dict[str, Any], symbols: tuple[str, ...]) -> Row:
    """Read what `row_to_body` wrote."""
    values = np.full((len(symbols), len(COLUMNS)), np.nan)
    for i, symbol in enumerate(symbols):
        said = body["rows"].get(symbol)
        if said is not None:
            values[i] = [np.nan if v is None else v for v in said]
    return Row(int(body["time_ns"]), int(body["session"]), values)
