"""Files into bars: CSV in any vendor's dialect and Parquet, with every guess written down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import DAY_NS
from quantlab.data.checks import verify_frame
from quantlab.data.cleaning import adjust_rows, drop_bad_rows, sort_rows
from quantlab.data.columns import parse_columns
from quantlab.data.findings import Finding, Findings
from quantlab.data.rows import Rows, is_parquet, read_rows, symbol_codes
from quantlab.data.sessions import sessions_between
from quantlab.data.table import SHOWN
from quantlab.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from quantlab.model import Instrument

__all__ = ["import_csv", "import_file", "import_parquet", "verify_file"]

STAMP_SHARE = 0.5
"""Share of sessions whose edge must carry a bar for the calendar to decide which end of a bar is stamped."""


def import_file(path: str | Path, **options: Any) -> Bars:
    """Bars of a CSV or Parquet file, told by its suffix or first bytes; options as in `import_csv`."""
    path = Path(path)
    if is_parquet(path):
        for name in ("separator", "header"):
            options.pop(name, None)
        return import_parquet(path, **options)
    return import_csv(path, **options)


def import_csv(
    path: str | Path,
    *,
    symbol: str | None = None,
    bar_size: str | None = None,
    stamp: str | None = None,
    tz: str | None = None,
    calendar: str | None = None,
    columns: str | Sequence[str] | Mapping[str, str] | None = None,
    date_format: str | None = None,
    adjust: bool = False,
    skip_bad: bool = False,
    instruments: Sequence[Instrument] = (),
    separator: str | None = None,
    header: bool | None = None,
) -> Bars:
    """Bars of a CSV file, also one packed by gzip or zip.

    Parameters
    ----------
    path : path
    symbol : str, optional
        Symbol of the bars; of a file with a column of symbols, the one to read. The file's name by default.
    bar_size : str, optional
        Interval of one bar; told from the times if not given.
    stamp : {"close", "open"}, optional
        Which end of an intraday bar the times name. Told by the calendar or the column's name, else an error:
        taking one for the other is a look ahead, or a bar too late. Daily bars name their session.
    tz : str, optional
        Zone of times without one.
    calendar : str, optional
        Exchange calendar, such as ``"XNYS"``.
    columns : str, sequence or mapping, optional
        ``{"open": "O"}`` or ``"open=O"`` names some columns; ``"date,open,high,low,close"`` all, in order,
        also
        of a file without a header. Roles: date, clock, open, high, low, close, adj_close, volume, symbol,
        factor.
    date_format : str, optional
        ``"mdy"``, ``"dmy"``, ``"ymd"`` or a pattern of `strptime`; read from the data if not given.
    adjust : bool
        Adjust by the column of adjusted closes: prices times adjusted close / close, volume divided by it (so
        that price x volume stays the money traded), and factor = close / adjusted close.
    skip_bad : bool
        Leave rows out that cannot be used, instead of refusing the file.
    instruments : sequence of Instrument, optional
        Records for some or all symbols.
    separator, header : optional
        Dialect; told from the first lines if not given.

    Returns
    -------
    Bars
        ``meta["source"]`` is the recipe by which `quantlab.data.source.load_source` reads the file again,
        ``meta["notes"]`` lists every guess, ``meta["adjustment"]`` says what was done to the prices.

    Raises
    ------
    DataError
        For a file that is not there, empty or no text; for bad rows, duplicate times and times that jump
        back, each by line number; for times that can be read in two ways; for naive intraday times without
        `tz`.
    UnknownNameError
        For a symbol, column, calendar or option value that does not exist.
    """
    given = parse_columns(columns)
    rows = read_rows(
        path,
        symbol=symbol,
        bar_size=bar_size,
        columns=given,
        date_format=date_format,
        separator=separator,
        header=header,
        parquet=False,
    )
    options = {"separator": separator, "header": header}
    return _finish(
        rows,
        symbol,
        stamp,
        tz,
        calendar,
        given,
        date_format,
        instruments,
        options,
        adjust=adjust,
        skip_bad=skip_bad,
    )


def import_parquet(
    path: str | Path,
    *,
    symbol: str | None = None,
    bar_size: str | None = None,
    stamp: str | None = None,
    tz: str | None = None,
    calendar: str | None = None,
    columns: str | Sequence[str] | Mapping[str, str] | None = None,
    date_format: str | None = None,
    adjust: bool = False,
    skip_bad: bool = False,
    instruments: Sequence[Instrument] = (),
) -> Bars:
    """Bars of a Parquet file; a column of symbols gives one asset each.

    Parameters, result and errors as in `import_csv`; line numbers are row numbers. A file of a catalog is
    better read by `Catalog`, which checks its hash.
    """
    given = parse_columns(columns)
    rows = read_rows(
        path, symbol=symbol, bar_size=bar_size, columns=given, date_format=date_format, parquet=True
    )
    return _finish(
        rows,
        symbol,
        stamp,
        tz,
        calendar,
        given,
        date_format,
        instruments,
        {},
        adjust=adjust,
        skip_bad=skip_bad,
    )


def verify_file(
    path: str | Path,
    *,
    symbols: Sequence[str] = (),
    bar_size: str | None = None,
    stamp: str | None = None,
    tz: str | None = None,
    calendar: str | None = None,
    columns: str | Sequence[str] | Mapping[str, str] | None = None,
    date_format: str | None = None,
) -> Findings:
    """Look for defects in a file, also on rows that keep it from being imported.

    Parameters
    ----------
    path : path
    symbols : sequence of str
        Which of the file's symbols; all of them by default.
    bar_size, stamp, tz, calendar, columns, date_format
        As in `import_csv`. Where nothing tells the end that intraday bars name, the close is taken, and the
        check ``stamp`` says so if the sessions' edges speak against it.

    Returns
    -------
    Findings
        ``rows`` for lines that hold no bar, then those of `verify_frame`.

    Raises
    ------
    DataError, UnknownNameError
        For a file that cannot be read at all, and for a symbol that it does not hold.
    """
    given = parse_columns(columns)
    rows = read_rows(path, bar_size=bar_size, columns=given, date_format=date_format)
    tz = _zone(rows, tz)
    present = list(dict.fromkeys(rows.symbol.tolist()))
    for name in symbols:
        if name not in present:
            raise UnknownNameError("symbol", name, present, f"These are in {path}.")
    found = Findings((), 0, 0, ())
    if rows.bad:
        lines = sorted(rows.bad)
        detail = "; ".join(f"line {n}: {rows.bad[n]}" for n in lines[:SHOWN])
        text = f"{len(lines)} line(s) hold something else than a bar: {detail}."
        advice = "Repair the lines, or leave them out with --skip-bad."
        first, last = f"line {lines[0]}", f"line {lines[-1]}"
        whose = present[0] if len(present) == 1 else Path(path).name
        found += Findings((Finding("rows", "error", whose, first, last, len(lines), text, advice),), 0, 0, ())
    keep = ~np.isin(rows.line, list(rows.bad)) if rows.bad else np.ones(rows.line.size, bool)
    codes, names = symbol_codes(rows.symbol)
    for k, name in enumerate(names):
        if symbols and name not in symbols:
            continue
        chosen = keep & (codes == k)
        if not chosen.any():
            continue
        frame = rows.take(chosen).to_frame()
        end = stamp or rows.stamp_hint or "close"
        found += verify_frame(
            frame, symbol=name, bar_size=str(rows.bar_size), stamp=end, tz=tz, calendar=calendar
        )
    return found


def _finish(  # noqa: PLR0917  # the options of both importers
    rows: Rows,
    symbol: str | None,
    stamp: str | None,
    tz: str | None,
    calendar: str | None,
    columns: dict[str, str] | list[str] | None,
    date_format: str | None,
    instruments: Sequence[Instrument],
    options: dict[str, Any],
    *,
    adjust: bool,
    skip_bad: bool,
) -> Bars:
    """Bars of rows: bad ones refused or left out, sorted, adjusted, stamped."""
    if stamp not in {None, "open", "close"}:
        raise UnknownNameError("stamp", str(stamp), ("open", "close"))
    notes = rows.notes
    rows = drop_bad_rows(rows, adjust=adjust, skip_bad=skip_bad)
    rows = sort_rows(rows, skip_bad=skip_bad)
    tz = _zone(rows, tz)
    adjustment = "as in the file"
    if adjust:
        rows, adjustment = adjust_rows(rows)
    elif "adj_close" in rows.column:
        notes.append("the adjusted close is not used; adjust=True (--adjust) adjusts the prices by it.")
        adjustment = "as in the file, not adjusted by its adjusted close"
    frame = _wide(rows)
    if stamp is None and rows.bar_size.unit != "day":
        guess = _guess_stamp if rows.bar_size.intraday else _guess_period_stamp
        stamp, why = guess(rows, frame, tz, calendar)
        notes.append(why)
    recipe = {
        "kind": "file",
        "path": str(rows.path.absolute()),
        "symbol": symbol,
        "bar_size": str(rows.bar_size),
        "stamp": stamp,
        "tz": tz,
        "calendar": calendar,
        "columns": columns,
        "date_format": date_format,
        "adjust": adjust,
        "skip_bad": skip_bad,
        **options,
    }
    source = {k: v for k, v in recipe.items() if v is not None and v is not False}
    return Bars.from_frame(
        frame,
        bar_size=str(rows.bar_size),
        stamp=stamp or "close",
        tz=tz,
        calendar=calendar,
        instruments=instruments,
        meta={"source": source, "adjustment": adjustment, "notes": notes},
    )


def _zone(rows: Rows, tz: str | None) -> str | None:
    """Zone of the wall clock: what the text says, or what is given.

    Raises
    ------
    DataError
        If the two differ.
    """
    said = rows.time.zone
    if said in {None, "UTC"}:
        return tz
    if tz not in {None, said}:
        raise DataError(f"{rows.path} writes its times in {said}, and --tz says {tz}; leave --tz out.")
    return said


def _wide(rows: Rows) -> pd.DataFrame:
    """Frame under (symbol, field) on the union of times."""
    import pandas as pd

    times, row = np.unique(rows.time.ns, return_inverse=True)
    asset, symbols = symbol_codes(rows.symbol)
    fields = [n for n in (*COLUMNS, "factor") if n in rows.column]
    values = np.full((len(fields), len(symbols), times.size), np.nan)
    for k, name in enumerate(fields):
        values[k, asset, row] = rows.column[name]
        if name == "factor":
            values[k][np.isnan(values[k])] = 1.0
    index = pd.DatetimeIndex(times.view("M8[ns]"))
    if rows.time.zone == "UTC":
        index = index.tz_localize("UTC")
    columns = pd.MultiIndex.from_product([fields, symbols]).swaplevel()
    return pd.DataFrame(values.reshape(-1, times.size).T, index=index, columns=columns)


def _guess_period_stamp(
    rows: Rows,
    frame: pd.DataFrame,
    tz: str | None,  # noqa: ARG001  # the signature of _guess_stamp
    calendar: str | None,  # noqa: ARG001
) -> tuple[str, str]:
    """Which end of a week or month its date names: Mondays and first days name what begins."""
    import pandas as pd

    index = pd.DatetimeIndex(frame.index)
    if rows.bar_size.unit == "month" and bool((index.day == 1).all()):
        return "open", "stamp: open, since every month is named by its first day; it is known at its end."
    if rows.bar_size.unit == "week" and float((index.day_of_week == 0).mean()) > STAMP_SHARE:
        return "open", "stamp: open, since weeks are named by their Mondays; they are known at their ends."
    return "close", f"stamp: close, since the dates are not the first days of {rows.bar_size.unit}s."


def _guess_stamp(rows: Rows, frame: pd.DataFrame, tz: str | None, calendar: str | None) -> tuple[str, str]:
    """Which end of an intraday bar the times name: told by the column's name or by the sessions' edges.

    Raises
    ------
    DataError
        Where neither tells.
    """
    import pandas as pd

    index = pd.DatetimeIndex(frame.index)
    if rows.stamp_hint is not None:
        return rows.stamp_hint, f"stamp: {rows.stamp_hint}, from the name of the time column."
    if calendar is not None and (index.tz is not None or tz is not None):
        try:
            aware = index if index.tz is not None else index.tz_localize(tz)
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"times of {rows.path} cannot be placed in zone {tz!r}: {error}") from error
        stamps = aware.as_unit("ns").asi8
        span = sessions_between(calendar, int(stamps[0]) // DAY_NS - 1, int(stamps[-1]) // DAY_NS + 1)
        here = (span.close > stamps[0]) & (span.open <= stamps[-1])
        opened, closed = span.open[here], span.close[here]
        split = opened.size and not bool((opened[1:] == closed[:-1]).any())
        at_open, at_close = (float(np.isin(x, stamps).mean()) if split else 0.0 for x in (opened, closed))
        if max(at_open, at_close) > STAMP_SHARE > min(at_open, at_close):
            stamp = "open" if at_open > at_close else "close"
            share = f"{max(at_open, at_close):.0%}"
            return (
                stamp,
                f"stamp: {stamp}, since {share} of sessions of {calendar} have a bar at the {stamp}.",
            )
    raise DataError(
        f"{rows.path} has bars of {rows.bar_size}, and nothing says whether their times are those of the "
        "open or of the close; give stamp='open' or 'close' (--stamp). Interactive Brokers and most vendors "
        "stamp at the open."
    )
