"""Bars: columns of open, high, low, close and volume, stamped at the close, validated and frozen once."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.barsize import DAY_NS, BarSize
from quantlab.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from quantlab.model import Instrument

__all__ = ["Bars"]

COLUMNS = ("open", "high", "low", "close", "volume")

SESSIONS_PER_YEAR = {"24/7": 365.0, "24/5": 260.0}
"""Sessions a year by calendar; every exchange with weekends and holidays counts 252, the US convention."""

MINUTE_NS = 60_000_000_000

PERIOD = re.compile(r"\d{4}(-\d{2})?")
"""A year or a month, which `between` takes whole."""


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def _iso(time_ns: int) -> str:
    return str(np.datetime64(int(time_ns), "ns"))[:19]


@dataclass(frozen=True, eq=False)
class Bars:
    """Prices of one or more assets on one time axis. Every array is read-only and C-contiguous.

    Arrays of the right type and order are taken as they are, without a copy; do not write into them later.

    Parameters
    ----------
    time : ndarray of shape (n_bars,)
        Close of each bar, int64 nanoseconds since 1970 UTC, strictly rising.
    open, high, low, close : ndarray of shape (n_bars, n_assets)
        Prices. Where an asset has no bar all four are NaN; a bar with some of them missing is an error.
    volume : ndarray of shape (n_bars, n_assets)
        Units traded; NaN where unknown.
    session : ndarray of shape (n_bars,)
        Exchange session of each bar: int64 days from 1970-01-01 to the session's date, never falling.
    instruments : sequence of Instrument
        One per asset, with distinct symbols.
    bar_size : str or BarSize
        Interval of one bar, such as ``"1 day"`` or ``"5 mins"``.
    factor : ndarray of shape (n_bars, n_assets), optional
        Raw price / stored price; None means that prices are raw.
    member : ndarray of bool of shape (n_bars, n_assets), optional
        Point-in-time membership of the universe; None means always.
    fields : mapping of str to ndarray of shape (n_bars, n_assets), optional
        Further columns, such as fundamentals, already known at the bar's close.
    meta : mapping, optional
        Provenance: ``source``, ``calendar``, ``adjustment`` and what else a reader should know.

    Raises
    ------
    DataError
        For unsorted or duplicate times, sessions that fall, wrong shapes, prices that are not above zero or
        not finite, a high below a low, a repeated symbol.
    """

    time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    session: NDArray[np.int64]
    instruments: tuple[Instrument, ...]
    bar_size: str
    factor: NDArray[np.float64] = None  # type: ignore[assignment]  # None becomes ones
    member: NDArray[np.bool_] = None  # type: ignore[assignment]  # None becomes True
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "instruments", tuple(self.instruments))
        put(self, "bar_size", str(BarSize.parse(self.bar_size)))
        put(self, "time", _frozen(np.asarray(self.time, np.int64)))
        put(self, "session", _frozen(np.asarray(self.session, np.int64)))
        for name in COLUMNS:
            put(self, name, _frozen(np.asarray(getattr(self, name), np.float64)))
        shape = self.close.shape
        one, true = np.ones((1, 1)), np.ones((1, 1), bool)
        factor, member = self.factor, self.member
        put(
            self,
            "factor",
            np.broadcast_to(one, shape) if factor is None else _frozen(np.asarray(factor, float)),
        )
        put(
            self,
            "member",
            np.broadcast_to(true, shape) if member is None else _frozen(np.asarray(member, bool)),
        )
        put(self, "fields", MappingProxyType({k: _frozen(np.asarray(v)) for k, v in self.fields.items()}))
        put(self, "meta", MappingProxyType(dict(self.meta)))
        self._validate()

    # -- validation ------------------------------------------------------------------------------------

    def _validate(self) -> None:
        n_bars, n_assets = self.time.shape[0], len(self.instruments)
        if n_bars == 0 or n_assets == 0:
            raise DataError(
                f"no bars at all ({n_bars} times, {n_assets} assets); at least one bar of one asset is "
                "needed."
            )
        shaped = {name: getattr(self, name) for name in (*COLUMNS, "factor", "member")} | dict(self.fields)
        for name, array in shaped.items():
            if array.shape != (n_bars, n_assets):
                raise DataError(
                    f"{name} has shape {array.shape}; (n_bars, n_assets) = ({n_bars}, {n_assets}) is needed."
                )
        if self.session.shape != (n_bars,):
            raise DataError(f"session has shape {self.session.shape}; ({n_bars},) is needed.")
        repeated = {s for s in self.symbols if self.symbols.count(s) > 1}
        if repeated:
            raise DataError(f"symbol {min(repeated)!r} occurs more than once; symbols must be distinct.")
        self._validate_times()
        self._validate_prices()

    def _validate_times(self) -> None:
        steps = np.diff(self.time)
        if not (steps > 0).all():
            t = int(np.argmax(steps <= 0)) + 1
            kind = "twice" if steps[t - 1] == 0 else f"after {_iso(self.time[t - 1])}"
            raise DataError(
                f"time {_iso(self.time[t])} UTC (row {t}) comes {kind}; times must rise strictly. "
                "Sort them and decide which of two bars of one time is right; 'quantlab data verify' lists "
                "them."
            )

        falls = np.diff(self.session) < 0
        if falls.any():
            t = int(np.argmax(falls)) + 1
            before, after = (str(self.session[k].astype("M8[D]")) for k in (t - 1, t))
            raise DataError(
                f"session {after} at {_iso(self.time[t])} UTC comes after session {before}; sessions must "
                "not fall while time rises. Give the same calendar to all bars that are joined."
            )

    def _validate_prices(self) -> None:
        for name in ("open", "high", "low"):
            missing = np.isnan(getattr(self, name)) != np.isnan(self.close)
            if missing.any():
                self._fail(missing, f"{name} or close is missing while the other is there")
        for name in ("open", "high", "low", "close"):
            column = getattr(self, name)
            wrong = (column <= 0.0) | np.isinf(column)
            if wrong.any():
                self._fail(wrong, f"{name} is zero, negative or infinite", column)
        wrong = self.high < self.low
        if wrong.any():
            self._fail(wrong, "high is below low", self.high)
        wrong = ~((self.factor > 0.0) & np.isfinite(self.factor))
        if wrong.any():
            self._fail(wrong, "factor is not above zero and finite", self.factor)

    def _fail(self, wrong: NDArray[np.bool_], what: str, column: NDArray[np.float64] | None = None) -> None:
        t, i = (int(x) for x in np.argwhere(wrong)[0])
        given = "" if column is None else f" ({column[t, i]!r})"
        raise DataError(
            f"{what}{given} for {self.symbols[i]} at {_iso(self.time[t])} UTC, and in {int(wrong.sum())} "
            "bar(s) in all. Prices must be finite and above zero, with NaN in all four where there is no "
            "bar; 'quantlab data verify' lists every such bar."
        )

    # -- making ----------------------------------------------------------------------------------------

    @classmethod
    def from_frame(
        cls,
        df: pd.DataFrame,
        *,
        symbol: str | None = None,
        bar_size: str,
        stamp: str = "close",
        tz: str | None = None,
        calendar: str | None = None,
        instruments: Iterable[Instrument] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Bars:
        """Make bars from a pandas frame; see `quantlab.frames.frame_to_bars` for the rules.

        Parameters
        ----------
        df : DataFrame of n_bars rows
            Columns open, high, low, close and, if known, volume, factor and member, in any case, or a
            column MultiIndex (symbol, field); other columns become `fields`. The index holds times; for
            bars of a day or longer, midnights name sessions.
        symbol : str, optional
            Symbol of plain columns.
        bar_size : str
            Interval of one bar.
        stamp : {"close", "open"}
            Which end of the bar the index names (Interactive Brokers: open, for intraday bars).
        tz : str, optional
            Zone of naive intraday times.
        calendar : str, optional
            Exchange calendar, such as ``"XNYS"``: gives sessions and their closes.
        instruments : iterable of Instrument, optional
            Records for some or all symbols; the others get a stock of multiplier 1 and lot 1.
        meta : mapping, optional
            Provenance to keep with the bars.

        Raises
        ------
        DataError
            For anything that is not the above, naming the first bar at fault.
        """
        from quantlab.frames import frame_to_bars

        return frame_to_bars(
            df,
            symbol=symbol,
            bar_size=bar_size,
            stamp=stamp,
            tz=tz,
            calendar=calendar,
            instruments=instruments,
            meta=meta,
        )

    @classmethod
    def join(cls, parts: Sequence[Bars]) -> Bars:
        """Put several bars side by side on the union of their times; NaN where an asset has no bar.

        Raises
        ------
        DataError
            For an empty list, mixed bar sizes, or a symbol that occurs twice.
        """
        from quantlab.reshape import join_bars

        return join_bars(parts)

    # -- looking ---------------------------------------------------------------------------------------

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbol of each asset, in column order."""
        return tuple(x.symbol for x in self.instruments)

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.time.shape[0])

    @property
    def n_assets(self) -> int:
        """Number of assets."""
        return len(self.instruments)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_bars, n_assets)``."""
        return self.n_bars, self.n_assets

    def __len__(self) -> int:
        return self.n_bars

    @property
    def is_raw(self) -> bool:
        """Whether prices are raw: no factor differs from 1."""
        return self.factor.strides == (0, 0) or bool((self.factor == 1.0).all())

    @property
    def intraday(self) -> bool:
        """Whether a bar is shorter than a day."""
        return BarSize.parse(self.bar_size).intraday

    @property
    def calendar(self) -> str | None:
        """Exchange calendar that the sessions come from, or None."""
        name = self.meta.get("calendar")
        return None if name is None else str(name)

    @cached_property
    def index(self) -> pd.DatetimeIndex:
        """Labels of frames: session dates (no zone) for bars of a day or longer, else closes in UTC."""
        import pandas as pd

        if self.intraday or not (np.diff(self.session) > 0).all():
            return pd.DatetimeIndex(self.time.view("M8[ns]"), tz="UTC", name="time")
        return pd.DatetimeIndex((self.session * DAY_NS).view("M8[ns]"), name="session")

    @cached_property
    def bars_per_year(self) -> float:
        """Bars a year: 252 sessions, 52 weeks or 12 months; intraday, sessions x median bars a session."""
        size = BarSize.parse(self.bar_size)
        sessions = SESSIONS_PER_YEAR.get(self.calendar or "", 252.0)
        if size.unit == "month":
            return 12.0 / size.count
        if size.unit == "week":
            return 52.0 / size.count
        if size.unit == "day":
            return sessions / size.count
        starts = np.flatnonzero(np.diff(self.session, prepend=self.session[0] - 1))
        return sessions * float(np.median(np.diff(starts, append=self.n_bars)))

    @cached_property
    def presence(self) -> NDArray[np.int64]:
        """Rows at which some asset has a bar and had none in the row before, or the other way round."""
        from quantlab.kernels.target import presence_bars

        found = np.empty(self.n_bars, np.int64)
        return _frozen(found[: presence_bars(self.close, found)].copy())

    @cached_property
    def hold(self) -> tuple[NDArray[np.float64], tuple[float, float, float]]:
        """Bar returns of equal-weight buy-and-hold without cost, and their sum, sum of squares and total return."""
        from quantlab.kernels.stats import hold_returns

        returns = np.empty(self.n_bars)
        sums = hold_returns(self.close, returns)
        return _frozen(returns), sums

    @cached_property
    def minutes_to_close(self) -> NDArray[np.float64]:
        """Minutes from each bar's close to its session's close, shape (n_bars,).

        Raises
        ------
        DataError
            For intraday bars without a calendar: the session's end would have to be read from the future.
        """
        if not self.intraday:
            return _frozen(np.zeros(self.n_bars))
        if self.calendar is None:
            raise DataError(
                "minutes_to_close needs to know when the session closes; make the bars with a calendar, "
                "for example Bars.from_frame(..., calendar='XNYS')."
            )
        from quantlab.frames import session_closes

        minutes = (session_closes(self.calendar, self.session) - self.time) / MINUTE_NS
        return _frozen(np.asarray(minutes, np.float64))

    @cached_property
    def content_hash(self) -> str:
        """Hash of times, prices, factors, membership, fields, symbols and bar size (32 hex digits)."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.bar_size, self.calendar, self.instruments, self.shape)).encode())
        raw = self.is_raw
        for array in (self.time, self.session, *(getattr(self, c) for c in COLUMNS)):
            digest.update(array.data)
        digest.update(b"raw" if raw else np.ascontiguousarray(self.factor).data)
        digest.update(b"all" if self.member.all() else np.ascontiguousarray(self.member).data)
        for name in sorted(self.fields):
            digest.update(name.encode())
            digest.update(self.fields[name].tobytes())
        return digest.hexdigest()

    def column(self, symbol: str) -> int:
        """Column of `symbol`.

        Raises
        ------
        UnknownNameError
            For a symbol that these bars do not have.
        """
        if symbol not in self.symbols:
            raise UnknownNameError("symbol", symbol, self.symbols)
        return self.symbols.index(symbol)

    def frame(self, name: str) -> pd.DataFrame:
        """One column of all assets as a frame of shape (n_bars, n_assets), labelled by `index` and symbols.

        Parameters
        ----------
        name : str
            ``"open"``, ``"high"``, ``"low"``, ``"close"``, ``"volume"``, ``"factor"``, ``"member"`` or
            a field.
        """
        import pandas as pd

        columns = {c: getattr(self, c) for c in (*COLUMNS, "factor", "member")} | dict(self.fields)
        if name not in columns:
            raise UnknownNameError("column", name, columns)
        return pd.DataFrame(columns[name], index=self.index, columns=list(self.symbols), copy=True)

    def to_frame(self) -> pd.DataFrame:
        """All columns: plain for one asset, else under a MultiIndex (symbol, field)."""
        import pandas as pd

        names = [*COLUMNS, *([] if self.is_raw else ["factor"]), *self.fields]
        if self.n_assets == 1:
            return pd.DataFrame({n: self.frame(n).iloc[:, 0] for n in names})
        frames = {n: self.frame(n) for n in names}
        return pd.concat(
            {s: pd.DataFrame({n: frames[n][s] for n in names}) for s in self.symbols},
            axis=1,
            names=["symbol", "field"],
        )

    def __repr__(self) -> str:
        names = ", ".join(self.symbols[:4]) + (f", … {self.n_assets} in all" if self.n_assets > 4 else "")
        first, last = (str(self.index[k])[: 16 if self.intraday else 10] for k in (0, -1))
        return f"Bars({names}; {self.n_bars} x {self.bar_size}, {first} to {last})"

    # -- cutting ---------------------------------------------------------------------------------------

    def take(self, rows: Any, columns: Sequence[int] | None = None) -> Bars:
        """Bars of some rows (a slice, numbers or booleans) and, if given, some columns by number."""
        keep = slice(None) if columns is None else list(columns)

        def cut(array: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(array[rows] if columns is None else array[rows][:, keep])

        changed: dict[str, Any] = {c: cut(getattr(self, c)) for c in COLUMNS}
        for name in ("factor", "member"):
            column = getattr(self, name)
            changed[name] = None if column.strides == (0, 0) else cut(column)
        changed["fields"] = {k: cut(v) for k, v in self.fields.items()}
        if columns is not None:
            changed["instruments"] = tuple(self.instruments[i] for i in columns)
        return replace(self, time=self.time[rows], session=self.session[rows], **changed)

    def __getitem__(self, symbols: str | Sequence[str]) -> Bars:
        """Bars of one symbol or of a list of them, without the times at which none has a bar."""
        names = [symbols] if isinstance(symbols, str) else list(symbols)
        chosen = [self.column(s) for s in names]
        rows = ~np.isnan(self.close[:, chosen]).all(axis=1)
        if not rows.any():
            raise DataError(
                f"{', '.join(names)} has no bar at all between {self.index[0]} and {self.index[-1]}."
            )
        return self.take(slice(None) if rows.all() else rows, chosen)

    def rows(self, start: Any = None, end: Any = None) -> slice:
        """Rows from `start` to `end`, both inclusive, as in `between`."""
        import pandas as pd

        def limit(value: Any, *, last: bool) -> int:
            if isinstance(value, str) and PERIOD.fullmatch(value.strip()):
                value = getattr(pd.Period(value.strip()), "end_time" if last else "start_time").normalize()
            stamp = pd.Timestamp(value)
            dated = stamp == stamp.normalize() and (isinstance(value, str) or stamp.tzinfo is None)
            if dated and stamp.tzinfo is None:
                day = stamp.as_unit("ns").value // DAY_NS
                return int(np.searchsorted(self.session, day, "right" if last else "left"))
            if stamp.tzinfo is None:
                stamp = stamp.tz_localize("UTC")
            return int(np.searchsorted(self.time, stamp.as_unit("ns").value, "right" if last else "left"))

        first = 0 if start is None else limit(start, last=False)
        stop = self.n_bars if end is None else limit(end, last=True)
        if first >= stop:
            raise DataError(
                f"no bar between {start} and {end}; these bars run from {self.index[0]} to {self.index[-1]}."
            )
        return slice(first, stop)

    def between(self, start: Any = None, end: Any = None) -> Bars:
        """Bars from `start` to `end`, both inclusive.

        Parameters
        ----------
        start, end : str, date, datetime or Timestamp, optional
            A date names whole sessions, ``"2005"`` a year and ``"2005-03"`` a month. A time of day compares
            with the close of the bar; without a zone it is UTC.

        Raises
        ------
        DataError
            If no bar is left.
        """
        return self.take(self.rows(start, end))

    def with_fields(self, **arrays: ArrayLike) -> Bars:
        """Return these bars with further columns in `fields`, each of shape (n_bars, n_assets).

        A frame is matched by its labels (`index` and symbols), never by position; missing labels give NaN.
        An array of shape (n_bars,) is taken when there is one asset.
        """
        import pandas as pd

        added: dict[str, NDArray[Any]] = {}
        for name, given in arrays.items():
            if name in (*COLUMNS, "factor", "member"):
                raise DataError(f"{name!r} is a price column; give the field another name.")
            array: NDArray[Any]
            if isinstance(given, pd.DataFrame):
                array = given.reindex(index=self.index, columns=list(self.symbols)).to_numpy(np.float64)
            elif isinstance(given, pd.Series):
                array = given.reindex(self.index).to_numpy(np.float64)
            else:
                array = np.asarray(given)
            added[name] = np.array(array[:, None] if array.ndim == 1 and self.n_assets == 1 else array)
        return replace(self, fields={**self.fields, **added})

    def resample(self, bar_size: str) -> Bars:
        """Longer bars: first open, highest high, lowest low, last close, summed volume.

        Intraday targets are cut at whole multiples of the size on the UTC clock and never reach across a
        session; ``"1 day"`` is a session, several days are cut at multiples of the days since 1970, weeks and
        months end on their last session. Factor, member and fields are those of the last bar of each group.

        Raises
        ------
        DataError
            For a size that is not longer than the present one.
        """
        from quantlab.reshape import resample_bars

        return resample_bars(self, bar_size)
