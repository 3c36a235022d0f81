"""Rows that can become bars: bad ones refused or left out, times in order, prices adjusted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS
from quantlab.data.rows import symbol_codes
from quantlab.data.table import SHOWN
from quantlab.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.data.rows import Rows

__all__ = ["adjust_rows", "drop_bad_rows", "sort_rows"]


def drop_bad_rows(rows: Rows, *, adjust: bool, skip_bad: bool) -> Rows:
    """Drop rows that cannot be a bar; an error that names their lines, unless they may be left out."""
    bad = dict(rows.bad)
    prices = np.column_stack([rows.column[c] for c in COLUMNS[:4]])
    empty = np.isnan(prices).all(axis=1)
    known = set(bad)
    blank = empty & ~np.isin(rows.line, list(known))
    if blank.any():
        rows.notes.append(
            f"{int(blank.sum())} row(s) without any price are left out, first on line {rows.line[blank][0]}."
        )
    _mark(bad, rows, np.asarray(~empty & np.isnan(prices).any(axis=1)), "a price is missing")
    _mark(bad, rows, np.asarray((prices <= 0.0).any(axis=1)), "a price is zero or negative")
    _mark(bad, rows, np.asarray(np.isinf(prices).any(axis=1)), "a price is infinite")
    _mark(bad, rows, rows.column["high"] < rows.column["low"], "high is below low")
    if "volume" in rows.column:
        _mark(bad, rows, rows.column["volume"] < 0.0, "volume is negative")
    if adjust and "adj_close" in rows.column:
        adjusted = rows.column["adj_close"]
        _mark(
            bad,
            rows,
            ~empty & ~((adjusted > 0.0) & np.isfinite(adjusted)),
            "the adjusted close is missing or not above zero",
        )
    if "factor" in rows.column:
        factor = rows.column["factor"]
        _mark(bad, rows, ~empty & ~((factor > 0.0) & np.isfinite(factor)), "the factor is not above zero")
    keep = ~blank & ~np.isin(rows.line, list(bad)) & ~rows.time.bad
    if bad:
        lines = sorted(bad)
        shown = "; ".join(f"line {n}: {bad[n]}" for n in lines[:SHOWN])
        more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        if not skip_bad:
            raise DataError(
                f"{rows.path} has {len(lines)} bad row(s): {shown}{more}. Repair them, or leave them out "
                "with skip_bad=True (--skip-bad)."
            )
        rows.notes.append(f"{len(lines)} bad row(s) are left out: {shown}{more}.")
    if not keep.any():
        raise DataError(f"{rows.path} has no row that can be a bar.")
    return rows.take(keep)


def _mark(bad: dict[int, str], rows: Rows, wrong: NDArray[np.bool_], why: str) -> None:
    for n in rows.line[wrong].tolist():
        bad.setdefault(int(n), why)


def sort_rows(rows: Rows, *, skip_bad: bool) -> Rows:
    """Rows by symbol and time. Newest first is turned round; times that jump about are an error."""
    codes, _ = symbol_codes(rows.symbol)
    same = np.diff(codes) == 0
    steps = np.diff(rows.time.ns)
    falls = same & (steps < 0)
    order = np.lexsort((rows.time.ns, codes))
    if falls.any():
        if not (same & (steps > 0)).any():
            rows.notes.append("order: newest first, turned round.")
        elif skip_bad:
            rows.notes.append(f"order: {int(falls.sum())} time(s) jump back; the rows are sorted.")
        else:
            k = int(np.argmax(falls)) + 1
            raise DataError(
                f"{rows.path}, line {rows.line[k]}: time {_stamp(rows.time.ns[k])} comes after "
                f"{_stamp(rows.time.ns[k - 1])}, and {int(falls.sum())} time(s) jump back in all. Sort the "
                "file (a file that is newest first throughout is turned round), or give skip_bad=True "
                "(--skip-bad) to sort it here."
            )
    rows, codes = rows.take(order), codes[order]
    again = np.flatnonzero((np.diff(rows.time.ns) == 0) & (np.diff(codes) == 0)) + 1
    if again.size and not skip_bad:
        k = int(again[0])
        equal = all(np.array_equal(c[k], c[k - 1], equal_nan=True) for c in rows.column.values())
        raise DataError(
            f"{rows.path}: time {_stamp(rows.time.ns[k])} of {rows.symbol[k]} stands on lines "
            f"{rows.line[k - 1]} and {rows.line[k]} ({'the same' if equal else 'different'} numbers), and "
            f"{again.size} time(s) occur again in all. Decide which row is right and delete the others, or "
            "keep the first of each with skip_bad=True (--skip-bad)."
        )
    if again.size:
        rows.notes.append(f"{again.size} row(s) repeat a time and are left out; the first of each is kept.")
        rows = rows.take(np.delete(np.arange(codes.size), again))
    return rows


def _stamp(ns: Any) -> str:
    return str(np.datetime64(int(ns), "ns"))[:19].replace("T", " ")


def adjust_rows(rows: Rows) -> tuple[Rows, str]:
    """Rows with prices adjusted by the adjusted close."""
    if "adj_close" not in rows.column:
        raise DataError(
            f"{rows.path} has no column of adjusted closes to adjust by; name it with --columns adj_close=…, "
            "or leave --adjust out."
        )
    factor = rows.column["close"] / rows.column["adj_close"]
    column = {n: c / factor if n in COLUMNS[:4] else c for n, c in rows.column.items()}
    if "volume" in column:
        column["volume"] = column["volume"] * factor
    column["factor"] = factor * rows.column.get("factor", np.ones_like(factor))
    rows.notes.append(
        "adjusted by the adjusted close; factor takes the file's close as the raw price. Where that close is "
        "split-adjusted already (Yahoo), lots and per-share costs before a split act on the split-adjusted "
        "shares."
    )
    return replace(rows, column=column), "splits and dividends, by the file's adjusted close"
