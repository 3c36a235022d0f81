"""Bars into other bars: several joined side by side, and short ones made into longer ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import BarSize
from quantlab.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["bar_group", "join_bars", "resample_bars", "session_group"]


def join_bars(parts: Sequence[Bars]) -> Bars:
    """Put several bars side by side on the union of their times. Parameters and errors as in `Bars.join`."""
    parts = list(parts)
    if not parts:
        raise DataError("nothing to join; give at least one Bars.")
    sizes = {p.bar_size for p in parts}
    if len(sizes) > 1:
        raise DataError(
            f"bar sizes {sorted(sizes)} cannot be joined; resample to one size first, "
            "for example bars.resample('1 day')."
        )
    time = np.unique(np.concatenate([p.time for p in parts]))
    rows = [np.searchsorted(time, p.time) for p in parts]

    def spread(arrays: list[NDArray[Any]], fill: Any, dtype: Any) -> NDArray[Any]:
        joined = np.full((time.size, sum(a.shape[1] for a in arrays)), fill, dtype)
        start = 0
        for row, array in zip(rows, arrays, strict=True):
            joined[row, start : start + array.shape[1]] = array
            start += array.shape[1]
        return joined

    session = np.zeros(time.size, np.int64)
    for row, part in zip(rows, parts, strict=True):
        session[row] = part.session
    names = sorted({name for p in parts for name in p.fields})
    void = [np.full(p.close.shape, np.nan) for p in parts]
    metas = [dict(p.meta) for p in parts]
    optional: dict[str, Any] = {}
    if not all(p.is_raw for p in parts):
        optional["factor"] = spread([p.factor for p in parts], 1.0, np.float64)
    if not all(p.member.all() for p in parts):
        optional["member"] = spread([p.member for p in parts], fill=False, dtype=bool)
    return Bars(
        time=time,
        session=session,
        **{c: spread([getattr(p, c) for p in parts], np.nan, np.float64) for c in COLUMNS},
        **optional,
        fields={
            n: spread([p.fields.get(n, v) for p, v in zip(parts, void, strict=True)], np.nan, np.float64)
            for n in names
        },
        instruments=tuple(x for p in parts for x in p.instruments),
        bar_size=parts[0].bar_size,
        meta={k: v for k, v in metas[0].items() if all(m.get(k) == v for m in metas)},
    )


def resample_bars(bars: Bars, bar_size: str) -> Bars:
    """Make longer bars. Parameters and errors as in `Bars.resample`."""
    from quantlab.kernels.resample import bars_to_bars

    new, old = BarSize.parse(bar_size), BarSize.parse(bars.bar_size)
    if new.duration_ns <= old.duration_ns:
        raise DataError(f"{bars.bar_size} bars cannot become {new} bars; choose a longer size.")
    starts = np.append(np.flatnonzero(np.diff(bar_group(bars, new), prepend=-1)), bars.n_bars)
    last = starts[1:] - 1
    columns = np.stack([getattr(bars, c) for c in COLUMNS])
    joined = bars_to_bars(columns, starts.astype(np.int64))
    time = bars.time[last].copy()
    if new.intraday:
        bucket = -(-bars.time[last] // new.duration_ns) * new.duration_ns
        ends_session = np.append(np.diff(bars.session[last]) != 0, False)
        time = np.where(ends_session, time, bucket)
        time[-1] = _last_close(bars, int(bucket[-1]))
    return replace(
        bars.take(last), time=time, bar_size=str(new), **{c: joined[k] for k, c in enumerate(COLUMNS)}
    )


def _last_close(bars: Bars, bucket: int) -> int:
    """Close of a last, perhaps unfinished, longer bar: that of its session where it comes first."""
    if bars.calendar is None or bucket == bars.time[-1]:
        return bucket
    from quantlab.frames import session_closes

    return max(int(bars.time[-1]), min(bucket, int(session_closes(bars.calendar, bars.session[-1:])[0])))


def session_group(session: NDArray[np.int64], size: BarSize) -> NDArray[np.int64]:
    """Return the number of the longer bar, of days, weeks or months, that each session belongs to; same shape."""
    if size.unit == "month":
        return np.asarray(session.astype("M8[D]").astype("M8[M]").astype(np.int64) // size.count)
    return np.asarray((session + 3) // (7 * size.count) if size.unit == "week" else session // size.count)


def bar_group(bars: Bars, size: BarSize) -> NDArray[np.int64]:
    """Return the number of the longer bar that each bar belongs to, rising from 0.

    Groups are counted from fixed dates, never from the first bar: a live window and the full history cut alike.
    """
    if not size.intraday:
        key = session_group(bars.session, size)
    else:
        key = -(-bars.time // size.duration_ns)
        key = np.cumsum(
            (np.diff(key, prepend=key[0]) != 0) | (np.diff(bars.session, prepend=bars.session[0]) != 0)
        )
    return np.cumsum(np.diff(key, prepend=key[0]) != 0).astype(np.int64)
