"""Rows of a file: columns found, numbers and times read, faults noted by line and nothing refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS
from quantlab.barsize import DAY_NS, SECOND_NS, BarSize
from quantlab.data.columns import CLOSE_STAMPS, OPEN_STAMPS, guess_roles, name_by_position, plain
from quantlab.data.table import Table, read_csv, read_parquet, text_to_numbers
from quantlab.data.times import Times, epochs_to_times, text_to_times
from quantlab.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Rows", "is_parquet", "read_rows", "symbol_codes"]

PARQUET_SUFFIXES = (".parquet", ".pq", ".parq")

NOTED = 1000
"""Bad cells of a column that are noted; an error shows the first few lines, so the rest only costs time."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a file with numbers and times read, in the file's order.

    Attributes
    ----------
    path : Path
    time : Times
    symbol : ndarray of str of shape (n_rows,)
    column : dict of str to ndarray of float64 of shape (n_rows,)
        Prices, and volume, adj_close and factor where the file has them; NaN where there is no number.
    line : ndarray of int64 of shape (n_rows,)
        Line in the file.
    bad : dict of int to str
        What is wrong with a line, by line.
    bar_size : BarSize
    stamp_hint : str or None
        Which end of the bar the name of the time column says.
    notes : list of str
        What was guessed, in words.
    """

    path: Path
    time: Times
    symbol: NDArray[np.object_]
    column: dict[str, NDArray[np.float64]]
    line: NDArray[np.int64]
    bad: dict[int, str]
    bar_size: BarSize
    stamp_hint: str | None
    notes: list[str]

    def take(self, keep: NDArray[Any]) -> Rows:
        """Take some of the rows, or all in another order."""
        time = Times(self.time.ns[keep], self.time.bad[keep], self.time.zone, self.time.notes)
        column = {n: c[keep] for n, c in self.column.items()}
        return replace(self, time=time, symbol=self.symbol[keep], column=column, line=self.line[keep])

    def to_frame(self) -> pd.DataFrame:
        """Rows as a raw frame for `verify_frame`: one symbol plain, several under (symbol, field)."""
        import pandas as pd

        index = pd.DatetimeIndex(
            np.where(self.time.bad, np.datetime64("NaT", "ns"), self.time.ns.view("M8[ns]"))
        )
        if self.time.zone == "UTC":
            index = index.tz_localize("UTC")
        return pd.DataFrame(self.column, index=index)


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its suffix or its first bytes."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


def read_rows(
    path: str | Path,
    *,
    symbol: str | None = None,
    bar_size: str | None = None,
    columns: dict[str, str] | list[str] | None = None,
    date_format: str | None = None,
    separator: str | None = None,
    header: bool | None = None,
    parquet: bool | None = None,
) -> Rows:
    """Rows of a file with columns, numbers and times read, bad ones marked and none refused.

    Parameters and errors as in `import_csv`; bad rows, order and duplicates are no error here.
    """
    path = Path(path)
    if is_parquet(path) if parquet is None else parquet:
        table = read_parquet(path)
    else:
        listed = isinstance(columns, list)
        table = (
            _read_listed(path, separator, columns, header)
            if listed
            else read_csv(path, separator=separator, header=header)
        )
    names, wanted = _names(table, columns)
    roles, notes = guess_roles(names, wanted)
    notes = [*table.notes, *notes]
    bad: dict[int, str] = {n: f"another number of columns ({t[:60]})" for n, t in table.broken}
    column, more = _numbers(table, roles, bad)
    notes += more
    time = _times(table, roles, date_format)
    notes += time.notes
    texts = table.columns[roles["date"]]
    for k in np.flatnonzero(time.bad)[:NOTED].tolist():
        bad[int(table.line[k])] = f"{str(texts[k].as_py())!r} is no time"
    symbols, more = _symbols(table, roles, symbol)
    notes += more
    size = BarSize.parse(bar_size) if bar_size is not None else _guess_size(time, symbols)
    notes += [] if bar_size is not None else [f"bar size: {size}, from the steps between times."]
    date_name = plain(names[roles["date"]])
    hint = "open" if date_name in OPEN_STAMPS else "close" if date_name in CLOSE_STAMPS else None
    rows = Rows(path, time, symbols, column, table.line, bad, size, hint, notes)
    if "symbol" in roles and symbol is not None:
        keep = symbols == symbol
        if not keep.any():
            raise UnknownNameError("symbol", symbol, set(symbols.tolist()), f"These are in {path}.")
        rows = rows.take(keep)
    return rows


def _read_listed(path: Path, separator: str | None, columns: Any, header: bool | None) -> Table:
    """Table of a file whose columns are named in order, whatever its first line says."""
    first = read_csv(path, separator=separator, header=False)
    if first.broken and first.broken[0][0] < int(first.line[0]) and header is not False:
        # A header of another length than the rows is why the columns are named.
        note = "the first line is a header of another length, and left out."
        return replace(first, broken=first.broken[1:], has_header=True, notes=(*first.notes, note))
    if len(first.names) != len(columns):
        name_by_position(columns, len(first.names))
    if header is None:
        prices = [first.columns[k] for k, c in enumerate(columns) if c.lower() in COLUMNS[:4]]
        header = bool(prices) and not any(np.isfinite(text_to_numbers(p[:1])[0][0]) for p in prices)
    if not header:
        return first
    kept = [c.slice(1) for c in first.columns]
    return replace(
        first,
        columns=kept,
        line=first.line[1:],
        has_header=True,
        notes=(*first.notes, "the first line is a header."),
    )


def _names(table: Table, columns: dict[str, str] | list[str] | None) -> tuple[list[str], dict[str, str]]:
    """Names of the columns, and those that the user gives by role."""
    if isinstance(columns, list):
        names = name_by_position(columns, len(table.names))
        return names, {n: n for n in names if n}
    if not table.has_header and columns is None:
        shown = ", ".join(str(c[0].as_py()) for c in table.columns)
        raise DataError(
            f"{table.path} has no header ({shown}); name every column in order with columns= (--columns), "
            "for example --columns date,open,high,low,close,volume (- leaves one out)."
        )
    return list(table.names), dict(columns or {})


def _numbers(
    table: Table, roles: dict[str, int], bad: dict[int, str]
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Numbers by role; fills `bad` for cells that hold none."""
    names = [r for r in (*COLUMNS, "adj_close", "factor") if r in roles]
    comma = any(_decimal_comma(table.columns[roles[r]]) for r in COLUMNS[:4])
    column: dict[str, NDArray[np.float64]] = {}
    for role in names:
        cells = table.columns[roles[role]]
        column[role], wrong = text_to_numbers(cells, comma=comma)
        for k in np.flatnonzero(wrong)[:NOTED].tolist():
            bad.setdefault(int(table.line[k]), f"{role} {cells[k].as_py()!r} is no number")
    notes = ["decimal sign: the comma."] if comma else []
    volume = column.get("volume")
    if volume is not None and (volume < 0.0).any() and bool((volume[volume < 0.0] == -1.0).all()):
        column["volume"] = np.where(volume < 0.0, np.nan, volume)
        notes.append("volume: -1 is read as unknown, as Interactive Brokers writes it.")
    return column, notes


def _decimal_comma(cells: Any) -> bool:
    """Whether prices are written with a decimal comma: one that is not followed by three digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(cells.type):
        return False
    text = pc.utf8_trim_whitespace(cells)
    comma = pc.match_substring_regex(text, r"^[^.]*\d,(\d{1,2}|\d{4,})$|\.\d{3},\d")
    return bool(pc.any(comma).as_py())


def _times(table: Table, roles: dict[str, int], date_format: str | None) -> Times:
    """Read the times of the rows, from one column or from a date and a time of day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.columns[roles["date"]]
    kind = column.type
    clock = table.columns[roles["clock"]] if "clock" in roles else None
    if pa.types.is_timestamp(kind):
        ns = pc.cast(pc.cast(column, pa.timestamp("ns", tz=kind.tz)), pa.int64())
        return Times(
            pc.fill_null(ns, 0).to_numpy(), pc.is_null(column).to_numpy(), "UTC" if kind.tz else None, ()
        )
    if pa.types.is_date(kind):
        days = pc.cast(pc.cast(column, pa.date32()), pa.int32())
        ns = pc.fill_null(days, 0).to_numpy().astype(np.int64) * DAY_NS
        return Times(ns, pc.is_null(column).to_numpy(), None, ())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = column.to_numpy()
        size = float(np.nanmedian(values)) if len(values) else 0.0
        if 1.7e7 < size < 2.2e7:
            return text_to_times(pc.cast(pc.cast(column, pa.int64()), pa.string()), clock, date_format)
        return epochs_to_times(values)
    if not pa.types.is_string(kind):
        column = pc.cast(column, pa.string())
    return text_to_times(pc.fill_null(column, ""), clock, date_format)


def _symbols(
    table: Table, roles: dict[str, int], symbol: str | None
) -> tuple[NDArray[np.object_], list[str]]:
    """Symbol of each row."""
    n_rows = len(table.line)
    if "symbol" in roles:
        found = np.array([str(x).strip() for x in table.columns[roles["symbol"]].to_pylist()], dtype=object)
        n_symbols = len(set(found.tolist()))
        return found, [f"symbols: {n_symbols}, from column {table.names[roles['symbol']]!r}."]
    notes = []
    if symbol is None:
        symbol = table.symbol or table.path.name.split(".")[0].upper()
        notes = [f"symbol: {symbol}, from the {'header' if table.symbol else 'name of the file'}."]
    return np.full(n_rows, symbol, dtype=object), notes


def symbol_codes(symbols: NDArray[np.object_]) -> tuple[NDArray[np.int64], list[str]]:
    """Count the symbols in sorted order: the number of each row's symbol, and the symbols."""
    import pandas as pd

    codes, found = pd.factorize(symbols, sort=True)
    return codes.astype(np.int64), [str(s) for s in found]


def _guess_size(time: Times, symbols: NDArray[np.object_]) -> BarSize:
    """Bar size of the most common step within a symbol."""
    good = ~time.bad
    ns = time.ns[good]
    codes, _ = symbol_codes(symbols[good])
    order = np.lexsort((ns, codes))
    steps = np.diff(ns[order])[np.diff(codes[order]) == 0]
    steps = steps[steps > 0]
    if not steps.size:
        raise DataError(
            "the bar size cannot be told from one bar; give bar_size (--bar-size), such as '1 day'."
        )
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[np.argmax(counts)])
    days = step / DAY_NS
    if days >= 1.0 or bool((ns % DAY_NS == ns[0] % DAY_NS).all()):
        if days >= 25.0:
            return BarSize(max(1, round(days / 30.4)), "month")
        if days >= 6.0:
            return BarSize(max(1, round(days / 7.0)), "week")
        return BarSize(1, "day")
    for unit, length in (("hour", 3600 * SECOND_NS), ("min", 60 * SECOND_NS), ("sec", SECOND_NS)):
        if step % length == 0:
            return BarSize(step // length, unit)
    raise DataError(
        f"the most common step between times is {step / SECOND_NS:g} s, which is no bar size; these may be "
        "ticks. Give bar_size (--bar-size) if they are bars."
    )
