"""pandas frames into Bars: columns by name, times to closes, sessions by calendar."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import DAY_NS, BarSize
from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.model import Instrument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["foreseen_sessions", "frame_to_bars", "load_calendar", "session_closes"]

TIME_NAMES = ("date", "time", "datetime", "timestamp", "session")


@lru_cache(maxsize=16)
def _calendar(name: str, start: pd.Timestamp, end: pd.Timestamp) -> Any:
    """Calendar over a span; kept, since making one takes a quarter of a second."""
    import exchange_calendars as xc

    return xc.get_calendar(name, start=start, end=end)


def load_calendar(name: str, first_day: int, last_day: int) -> Any:
    """Exchange calendar `name` from `exchange_calendars`, spanning the days given (days since 1970-01-01).

    Raises
    ------
    UnknownNameError
        For a name that `exchange_calendars` does not know.
    DataError
        For days before the calendar's history begins, and for a calendar that the library cannot make.
    """
    import exchange_calendars as xc

    known = xc.get_calendar_names()
    if name not in known:
        raise UnknownNameError("calendar", name, known)
    # Whole decades, so that bars of one time ask for the same calendar again and again.
    first, last = (pd.Timestamp(d * DAY_NS) for d in (first_day - 7, last_day + 7))
    start, end = pd.Timestamp(first.year // 10 * 10, 1, 1), pd.Timestamp(last.year // 10 * 10 + 9, 12, 31)
    try:
        return _calendar(name, start, end)
    except (ValueError, NotImplementedError):
        earliest, latest = _bounds(name)
    start, end = max(start, earliest or start), min(end, latest or end)
    if start.value > first_day * DAY_NS or end.value < last_day * DAY_NS:
        days = " to ".join(str(np.datetime64(d, "D")) for d in (first_day, last_day))
        raise DataError(
            f"calendar {name!r} is known from {earliest or 'the beginning'} to {latest or 'the end'}, and {days} "
            "is asked for; cut the bars to these days, or leave the calendar out."
        )
    return _calendar(name, start, end)


def _bounds(name: str) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """First and last day of a calendar's history; None where it has no end."""
    import exchange_calendars as xc

    try:
        calendar = xc.get_calendar(name)
    except (ValueError, NotImplementedError) as error:  # some calendars fail with some versions of pandas
        raise DataError(
            f"the installed exchange_calendars cannot make the calendar {name!r} ({str(error)[:80]} …); update "
            "it, or leave the calendar out."
        ) from error
    return calendar.bound_min(), calendar.bound_max()


def session_closes(calendar: str, session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Close of each session in ns UTC, shape of `session`.

    A day on which the exchange was closed gets the regular closing time of that day, so that a bar on it
    stays in order; 'quantlab data verify' reports such bars.
    """
    cal = load_calendar(calendar, int(session.min()), int(session.max()))
    closes = cal.closes
    days = closes.index.as_unit("ns").asi8 // DAY_NS
    stamps = pd.DatetimeIndex(closes.array).as_unit("ns").asi8
    k = np.minimum(np.searchsorted(days, session), days.size - 1)
    known = days[k] == session
    if known.all():
        return np.asarray(stamps[k], np.int64)
    return np.where(known, stamps[k], _usual_closes(cal, session))


def _usual_closes(cal: Any, day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Close that each day would have as an ordinary session, ns UTC."""
    usual = pd.to_datetime((day * DAY_NS).view("M8[ns]")) + pd.Timedelta(str(cal.close_times[-1][1]))
    shift = usual.tz_localize(cal.tz, nonexistent="shift_forward", ambiguous="NaT").as_unit("ns").asi8
    return np.asarray(shift, np.int64)


def foreseen_sessions(
    calendar: str, first_day: int, last_day: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sessions that the exchange had planned, whatever became of them, from before `first_day` to after `last_day`.

    A library of calendars also knows, afterwards, of days on which an exchange stayed closed all of a sudden: on the
    10th of September 2001 nobody knew that this was the week's last session. Days that it lists singly, outside
    the rules of the year, count as sessions here, with the usual close.

    Parameters
    ----------
    calendar : str
        Name that `exchange_calendars` knows, such as ``"XNYS"``.
    first_day, last_day : int
        Days from 1970-01-01.

    Returns
    -------
    day, close : ndarray of int64 of shape (n_sessions,)
        Days from 1970-01-01, rising, and closes in ns UTC.

    Raises
    ------
    UnknownNameError, DataError
        As `load_calendar`.
    """
    return _planned(load_calendar(calendar, first_day, last_day))


@lru_cache(maxsize=16)
def _planned(cal: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All sessions of a loaded calendar as they were planned; kept, since a strategy may ask at every evaluation."""
    day = cal.closes.index.as_unit("ns").asi8 // DAY_NS
    close = pd.DatetimeIndex(cal.closes.array).as_unit("ns").asi8
    listed = pd.DatetimeIndex([pd.Timestamp(x) for x in cal.adhoc_holidays])
    listed = listed[[cal.weekmask[x.weekday()] == "1" for x in listed]]
    added = np.setdiff1d(listed.as_unit("ns").asi8 // DAY_NS, day)
    added = added[(added > day[0]) & (added < day[-1])]
    days, closes = np.concatenate([day, added]), np.concatenate([close, _usual_closes(cal, added)])
    order = np.argsort(days)
    days, closes = days[order], closes[order]
    days.flags.writeable = closes.flags.writeable = False
    return days, closes


def _index_times(df: pd.DataFrame) -> pd.DatetimeIndex:
    """Read the times of the rows from the index."""
    index = df.index
    if isinstance(index, pd.DatetimeIndex):
        return index.as_unit("ns")
    if pd.api.types.is_numeric_dtype(index.dtype):
        raise DataError(
            f"the frame's index holds numbers ({index[:1].tolist()} …), not times; set a column of times as "
            "index first, for example df.set_index(pd.to_datetime(df['date']))."
        )
    try:
        return pd.DatetimeIndex(pd.to_datetime(index)).as_unit("ns")
    except (ValueError, TypeError) as error:
        raise DataError(f"the frame's index cannot be read as times: {error}") from error


def _columns(df: pd.DataFrame, symbol: str | None) -> dict[str, pd.DataFrame]:
    """One frame of lower-case columns per symbol."""
    if not isinstance(df.columns, pd.MultiIndex):
        return {symbol or str(df.attrs.get("symbol", "ASSET")): _lower(df)}
    if df.columns.nlevels != 2:
        raise DataError(f"columns have {df.columns.nlevels} levels; (symbol, field) is needed.")
    if {str(x).lower() for x in df.columns.levels[0]} >= {"open", "close"}:
        df = df.swaplevel(axis=1)
    # Columns by position: a lookup by label takes milliseconds, and there may be hundreds of symbols.
    places: dict[str, list[int]] = {}
    for k, symbol_of in enumerate(df.columns.get_level_values(0)):
        places.setdefault(str(symbol_of), []).append(k)
    plain = df.set_axis(df.columns.get_level_values(1), axis=1)
    return {s: _lower(plain.iloc[:, k]) for s, k in places.items()}


def _lower(df: pd.DataFrame) -> pd.DataFrame:
    names = [str(c).strip().lower() for c in df.columns]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise DataError(f"column {min(twice)!r} occurs more than once (names are read in any case).")
    lowered = df.set_axis(names, axis=1)
    missing = [c for c in COLUMNS[:4] if c not in names]
    if missing:
        raise DataError(
            f"column(s) {', '.join(missing)} are missing; given: {', '.join(map(str, df.columns))}. "
            "Open, high, low and close are needed."
        )
    return lowered


def _numbers(frame: pd.DataFrame, name: str, symbol: str) -> NDArray[np.float64]:
    try:
        return frame[name].to_numpy(np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {name!r} of {symbol} holds something that is not a number: {error}"
        ) from error


def _check_order(times: pd.DatetimeIndex) -> None:
    if times.hasnans:
        raise DataError(f"row {int(np.argmax(times.isna()))} has no time.")
    if times.is_monotonic_increasing and times.is_unique:
        return
    stamps = times.asi8
    t = int(np.argmax(np.diff(stamps) <= 0)) + 1
    what = "occurs twice" if stamps[t] == stamps[t - 1] else f"comes after {times[t - 1]}"
    raise DataError(
        f"time {times[t]} (row {t}) {what}; times must rise strictly. Sort the frame with df.sort_index() "
        "and drop or repair duplicates; 'quantlab data verify' lists them."
    )


def _check_spacing(times: pd.DatetimeIndex, size: BarSize) -> None:
    """Refuse times that cannot be of this bar size: mixed sizes, or the wrong one."""
    if len(times) < 2 or not size.intraday:
        return
    closest = int(np.diff(times.asi8).min())
    if closest < size.duration_ns:
        t = int(np.argmin(np.diff(times.asi8))) + 1
        raise DataError(
            f"times {times[t - 1]} and {times[t]} are {closest / 1e9:g} s apart, closer than one bar of "
            f"{size}; bar sizes are mixed, or another bar_size is meant."
        )


def _stamp_sessions(
    times: pd.DatetimeIndex, size: BarSize, stamp: str, tz: str | None, calendar: str | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Close and session of bars of a day or longer."""
    midnights = bool((times == times.normalize()).all())
    naive = times.tz is None
    if not midnights and not naive and tz is not None:
        # Midnights of New York written in UTC name sessions as well.
        there = times.tz_convert(tz)
        midnights = bool((there == there.normalize()).all())
        times = there if midnights else times
    if not midnights and naive and tz is None:
        raise DataError(
            f"daily times such as {times[int(np.argmax(times != times.normalize()))]} have a time of day but "
            "no zone; give tz, for example tz='America/New_York', or midnights that name sessions."
        )
    if not midnights:
        shown = _placed(times, tz)[1]
        if stamp == "open":
            shown = shown + pd.Timedelta(size.duration_ns)
        # The last instant before the close tells the date: a close at midnight belongs to the day before.
        dates = (shown - pd.Timedelta(1, "ns")).tz_localize(None).normalize()
        return shown.as_unit("ns").asi8, dates.as_unit("ns").asi8 // DAY_NS
    dates = times if naive else times.tz_localize(None)
    if stamp == "open" and size.unit == "month":
        dates = dates + pd.DateOffset(months=size.count) - pd.Timedelta(days=1)
    elif stamp == "open":
        dates = dates + pd.Timedelta(size.duration_ns) - pd.Timedelta(days=1)
    session = pd.DatetimeIndex(dates).as_unit("ns").asi8 // DAY_NS
    if calendar is None:
        return (session + 1) * DAY_NS, session
    if size.unit in {"week", "month"}:
        session = _last_sessions(calendar, session)
    return session_closes(calendar, session), session


def _last_sessions(calendar: str, day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Last session on or before each day: weeks and months end with it, whatever day names them."""
    loaded = load_calendar(calendar, int(day.min()), int(day.max()))
    days = loaded.closes.index.as_unit("ns").asi8 // DAY_NS
    return np.asarray(days[np.maximum(np.searchsorted(days, day, "right") - 1, 0)], np.int64)


def _placed(times: pd.DatetimeIndex, tz: str | None) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """Give times with a zone, and the same as the clocks of `tz` show them; naive times are those of `tz`."""
    try:
        aware = times.tz_localize(tz) if times.tz is None else times
        return aware, aware if tz is None else aware.tz_convert(tz)
    except Exception as error:  # pandas 2 raises errors of pytz, which have no base to name
        raise DataError(f"times cannot be placed in zone {tz!r}: {error}") from error


def _stamp_intraday(
    times: pd.DatetimeIndex, size: BarSize, stamp: str, tz: str | None, calendar: str | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Close and session of intraday bars."""
    if times.tz is None and tz is None:
        raise DataError(
            f"times such as {times[0]} have no zone; give tz, for example tz='America/New_York' or tz='UTC'."
        )
    aware, local = _placed(times, tz)
    close = aware.as_unit("ns").asi8 + (size.duration_ns if stamp == "open" else 0)
    if calendar is None:
        inside = pd.DatetimeIndex((close - 1).view("M8[ns]"), tz="UTC").tz_convert(local.tz)
        return close, inside.tz_localize(None).normalize().as_unit("ns").asi8 // DAY_NS
    days = close // DAY_NS
    cal = load_calendar(calendar, int(days.min()), int(days.max()))
    closes = pd.DatetimeIndex(cal.closes.array).as_unit("ns").asi8
    opens = pd.DatetimeIndex(cal.opens.array).as_unit("ns").asi8
    sessions = cal.closes.index.as_unit("ns").asi8 // DAY_NS
    # A bar belongs to the session it starts in; between sessions, to the one that comes next.
    k = np.minimum(np.searchsorted(closes, close - size.duration_ns, "right"), closes.size - 1)
    if stamp == "open":
        cut = (close > closes[k]) & (close - size.duration_ns >= opens[k])
        close = np.where(cut, closes[k], close)
    return close, sessions[k]


def frame_to_bars(
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
    """Make Bars of a frame. Parameters and errors as in `Bars.from_frame`.

    Notes
    -----
    Bars of a day or longer on an index of midnights, naive or in any zone: the date names the session
    (with ``stamp="open"`` and weeks or months, the first day of the bar). The bar is stamped at that
    session's close, without a calendar at 24:00 UTC of that date. A last intraday bar that would reach
    beyond its session is stamped at the session's close.
    """
    if stamp not in {"close", "open"}:
        raise UnknownNameError("stamp", stamp, ("close", "open"))
    if not isinstance(df, pd.DataFrame):
        raise DataError(f"a pandas DataFrame is needed, not {type(df).__name__}.")
    size = BarSize.parse(bar_size)
    if df.empty:
        raise DataError("the frame is empty; at least one bar is needed.")
    parts = _columns(df, symbol)
    times = _index_times(df)
    _check_order(times)
    _check_spacing(times, size)
    place = _stamp_intraday if size.intraday else _stamp_sessions
    close, session = place(times, size, stamp, tz, calendar)
    symbols = list(parts)
    known = {x.symbol: x for x in instruments}
    unknown = [s for s in known if s not in symbols]
    if unknown:
        raise UnknownNameError("symbol", unknown[0], symbols, "instruments names symbols of the frame.")

    def stack(name: str) -> NDArray[np.float64]:
        void = np.full(len(df), np.nan)
        return np.column_stack(
            [_numbers(f, name, s) if name in f.columns else void for s, f in parts.items()]
        )

    names = list(dict.fromkeys(c for f in parts.values() for c in f.columns))
    extra = [n for n in names if n not in (*COLUMNS, "factor", "member")]
    numeric = [n for n in extra if all(pd.api.types.is_numeric_dtype(f[n]) for f in parts.values() if n in f)]
    columns: dict[str, Any] = {c: stack(c) for c in COLUMNS}
    if "factor" in names:
        columns["factor"] = stack("factor")
    if "member" in names:
        columns["member"] = stack("member") == 1.0
    try:
        return Bars(
            time=close,
            session=session,
            **columns,
            fields={n: stack(n) for n in numeric},
            instruments=tuple(known.get(s, Instrument(s)) for s in symbols),
            bar_size=str(size),
            meta={**(meta or {}), **({"calendar": calendar} if calendar else {})},
        )
    except ParameterError as error:
        raise DataError(str(error)) from error
