"""Verify prices: every check over bars, or over a raw frame that is not fit to become bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import BarSize
from quantlab.data import defects, gaps, splits
from quantlab.data.findings import Finding, Findings
from quantlab.data.series import Series, local_scale
from quantlab.data.sessions import Sessions, sessions_between
from quantlab.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Finding", "Findings", "verify", "verify_frame"]

SPLIT_FIELDS = ("split", "splits", "split_ratio", "stock_splits", "stock splits")
"""Names of fields that hold split ratios."""

CHECKS = (
    defects.inconsistencies,
    defects.spikes,
    defects.wicks,
    splits.halvings,
    splits.splits,
    splits.double_adjustments,
    defects.stale_runs,
    defects.repeated_bars,
    defects.volume_holes,
    defects.open_equals_close,
)


def verify(bars: Bars, *, sessions: Sessions | None = None) -> Findings:
    """Look for defects in bars.

    Parameters
    ----------
    bars : Bars
        A field named ``split`` (2.0 where a two-for-one split takes effect) and steps of `factor` tell known
        splits.
    sessions : Sessions, optional
        Sessions of the bars' calendar, at least over their span; loaded if not given.

    Returns
    -------
    Findings
        In the order of symbols and checks. docs/data.md says what each check does, and its thresholds.

    Notes
    -----
    Bars cannot hold duplicate or unsorted times or prices that are not positive; `verify_frame` finds those
    in
    a frame. Without a calendar, gaps and closed days are judged by weekdays only, and this is said in
    `skipped`.
    """
    calendar = bars.calendar
    if sessions is None and calendar is not None:
        sessions = sessions_between(calendar, int(bars.session[0]), int(bars.session[-1]))
    records: list[Finding] = []
    n_bars = 0
    for i, symbol in enumerate(bars.symbols):
        rows = np.flatnonzero(~np.isnan(bars.close[:, i]))
        n_bars += rows.size
        if rows.size == 0:
            advice = "Leave the symbol out."
            records.append(
                Finding("no_bars", "warning", symbol, "", "", 0, "there is no bar at all.", advice)
            )
            continue
        times = bars.time[rows]
        series = _series(bars, i, rows)
        records += gaps.closed_days(series, sessions)
        records += gaps.missing(series, times, sessions)
        records += gaps.stamps(series, times, sessions)
        for check in CHECKS:
            records += check(series)
    skipped = (
        () if sessions is not None else ("sessions against a calendar (no calendar is named; give one)",)
    )
    return Findings(tuple(records), bars.n_assets, n_bars, skipped)


def _series(bars: Bars, i: int, rows: NDArray[np.int64]) -> Series:
    field = next((n for n in bars.fields if n.lower() in SPLIT_FIELDS), None)
    ones = np.ones(rows.size)
    size = BarSize.parse(bars.bar_size)
    columns = {c: np.ascontiguousarray(getattr(bars, c)[rows, i]) for c in COLUMNS}
    return Series(
        symbol=bars.symbols[i],
        label=_labels(bars, rows, intraday=size.intraday),
        **columns,
        scale=local_scale(columns["close"]),
        factor=np.ascontiguousarray(bars.factor[rows, i]),
        session=bars.session[rows],
        split=ones if field is None else bars.fields[field][rows, i].astype(np.float64),
        size=size,
    )


def _labels(bars: Bars, rows: NDArray[np.int64], *, intraday: bool) -> NDArray[np.datetime64]:
    """Label rows as numpy prints them: dates for daily bars, closes in UTC for intraday ones."""
    if intraday:
        return bars.time[rows].view("M8[ns]").astype("M8[s]")
    return bars.session[rows].astype("M8[D]")


# -- raw frames -------------------------------------------------------------------------------------------


def verify_frame(
    df: pd.DataFrame,
    *,
    symbol: str | None = None,
    bar_size: str,
    stamp: str = "close",
    tz: str | None = None,
    calendar: str | None = None,
) -> Findings:
    """Look for defects in a frame, also for those that keep it from becoming bars.

    Parameters
    ----------
    df, symbol, bar_size, stamp, tz, calendar
        As in `Bars.from_frame`; times may be unsorted, repeated or missing, prices anything.

    Returns
    -------
    Findings
        ``times`` (missing), ``unsorted``, ``duplicates``, ``spacing``, ``prices`` and ``ohlc`` for the raw
        rows, then those of `verify` for the rows that are left when the ones at fault are put aside.

    Raises
    ------
    DataError
        For columns that are missing, an empty frame, naive intraday times without `tz`.
    """
    import pandas as pd

    if not isinstance(df, pd.DataFrame) or df.empty:
        raise DataError("a pandas DataFrame with at least one row is needed.")
    found = Findings((), 0, 0, ())
    for name, part in _parts(df, symbol):
        records, clean = _raw_findings(part, name, BarSize.parse(bar_size))
        found += Findings(tuple(records), 0, 0, ())
        if clean is None or clean.empty:
            found += Findings((), 1, 0, ())
            continue
        bars = Bars.from_frame(clean, symbol=name, bar_size=bar_size, stamp=stamp, tz=tz, calendar=calendar)
        found += verify(bars)
    return found


def _parts(df: pd.DataFrame, symbol: str | None) -> Iterator[tuple[str, pd.DataFrame]]:
    import pandas as pd

    if not isinstance(df.columns, pd.MultiIndex):
        yield symbol or str(df.attrs.get("symbol", "ASSET")), df
        return
    level = 1 if {str(x).lower() for x in df.columns.levels[0]} >= {"open", "close"} else 0
    for name in dict.fromkeys(df.columns.get_level_values(level)):
        part = pd.DataFrame(df.xs(name, axis=1, level=level))
        yield str(name), part.dropna(how="all")


def _raw_findings(df: pd.DataFrame, symbol: str, size: BarSize) -> tuple[list[Finding], pd.DataFrame | None]:
    """Find what is wrong with the rows as they are, and keep those that can become bars."""
    import pandas as pd

    df = df.set_axis([str(c).strip().lower() for c in df.columns], axis=1)
    missing = [c for c in COLUMNS[:4] if c not in df.columns]
    if missing:
        raise DataError(
            f"column(s) {', '.join(missing)} of {symbol} are missing; given: {', '.join(df.columns)}."
        )
    records: list[Finding] = []

    def put(check: str, rows: NDArray[Any], labels: Any, detail: str, advice: str) -> None:
        first, last = str(labels[rows[0]]), str(labels[rows[-1]])
        records.append(Finding(check, "error", symbol, first, last, int(rows.size), detail, advice))

    times = pd.DatetimeIndex(pd.to_datetime(df.index, errors="coerce"))
    if times.hasnans:
        rows = np.flatnonzero(times.isna())
        put(
            "times",
            rows,
            df.index,
            f"{rows.size} row(s) have no time.",
            "Repair the times, or drop the rows.",
        )
        there = np.asarray(times.notna())
        df, times = df[there], times[there]
    if len(times) == 0:
        return records, None
    df = df.set_axis(times, axis=0)
    steps = np.diff(times.as_unit("ns").asi8)
    rows = np.flatnonzero(steps < 0) + 1
    if rows.size:
        newest_first = bool((steps <= 0).all())
        detail = (
            "the rows are newest first." if newest_first else f"{rows.size} row(s) come after a later one."
        )
        put("unsorted", rows, times, detail, "Sort them by time.")
        df = df.sort_index(kind="stable")
    times = pd.DatetimeIndex(df.index)
    rows = np.flatnonzero(times.duplicated())
    if rows.size:
        held = df[times.duplicated(keep=False)]
        same = int(
            held.duplicated().sum() == rows.size
            and held.groupby(level=0).nunique(dropna=False).le(1).all(axis=None)
        )
        detail = f"{rows.size} time(s) occur again, " + (
            "with the same numbers." if same else "with other numbers."
        )
        put("duplicates", rows, times, detail, "Keep the right one of each.")
        df = df[~times.duplicated()]
    return records, _drop_bad_rows(df, size, put)


def _drop_bad_rows(df: pd.DataFrame, size: BarSize, put: Any) -> pd.DataFrame | None:
    import pandas as pd

    labels = df.index
    prices = np.column_stack(
        [pd.to_numeric(df[c], errors="coerce").to_numpy(np.float64) for c in COLUMNS[:4]]
    )
    missing = np.isnan(prices).all(axis=1)
    bad = ~missing & ~(np.isfinite(prices) & (prices > 0.0)).all(axis=1)
    if missing.any():
        rows = np.flatnonzero(missing)
        put("prices", rows, labels, f"{rows.size} row(s) have no price at all.", "Drop the rows.")
    if bad.any():
        rows = np.flatnonzero(bad)
        shown = ", ".join(f"{x:g}" for x in prices[rows[0]])
        detail = (
            f"open, high, low or close is missing, infinite, zero or negative ({labels[rows[0]]}: {shown})."
        )
        put("prices", rows, labels, detail, "Repair the rows from another source, or drop them.")
    crossed = ~bad & ~missing & (prices[:, 1] < prices[:, 2])
    if crossed.any():
        rows = np.flatnonzero(crossed)
        detail = f"high is below low ({labels[rows[0]]}: {prices[rows[0], 1]:g} < {prices[rows[0], 2]:g})."
        put("ohlc", rows, labels, detail, "Repair the rows from another source, or drop them.")
    keep = ~(missing | bad | crossed)
    numbers = {c: pd.to_numeric(df[c], errors="coerce") for c in df.columns if c in COLUMNS}
    others = {c: df[c] for c in df.columns if c not in COLUMNS and pd.api.types.is_numeric_dtype(df[c])}
    clean = pd.DataFrame(numbers | others).loc[keep]
    if size.intraday and len(clean) > 1:
        steps = np.diff(pd.DatetimeIndex(clean.index).as_unit("ns").asi8)
        rows = np.flatnonzero(steps < size.duration_ns) + 1
        if rows.size:
            detail = f"{rows.size} bar(s) are closer to the one before than {size}."
            put("spacing", rows, clean.index, detail, "Bar sizes are mixed, or another bar size is meant.")
            return None
    return pd.DataFrame(clean)
