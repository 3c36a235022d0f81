"""The numbers behind a report, as data inside it: written exactly, read back without running anything."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantlab.errors import DataError
from quantlab.report.content import FILL_COLUMNS, TRADE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from quantlab.report.content import ReportContent

__all__ = [
    "Difference",
    "content_to_data",
    "data_to_json",
    "first_difference",
    "read_result",
    "script_element",
]

ELEMENT = '<script type="application/json" id="quantlab-result">'
FORMAT = "quantlab-result"
VERSION = 1

MAX_BARS = 20_000
"""Longest series that is written out; a longer one is its length, its ends and a hash of its bytes."""

MAX_ROWS = 5_000
"""Most trades and fills that are written out, each."""

MAX_PAGE = 64 * 2**20
MAX_DATA = 16 * 2**20
MAX_DEPTH = 32

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Difference(NamedTuple):
    """First place where two results are not the same."""

    where: str
    recorded: Any
    again: Any


# -- writing -------------------------------------------------------------------------------------------


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """Make a value one that JSON knows; numbers that it does not know become ``{"$float": "nan"}``.

    Raises
    ------
    DataError
        For anything but text, numbers, booleans, None, lists and mappings; it names the place.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if depth < MAX_DEPTH - 4 and isinstance(value, (list, tuple)):
        return [plain(v, f"{where}[{k}]", depth + 1) for k, v in enumerate(value)]
    if depth < MAX_DEPTH - 4 and hasattr(value, "items"):
        return {str(k): plain(v, f"{where}.{k}", depth + 1) for k, v in value.items()}
    raise DataError(
        f"{where} is a {type(value).__name__}, which a report cannot carry; text, numbers, booleans, None, "
        f"lists and mappings of them can be, nested up to {MAX_DEPTH - 4} deep."
    )


def _hash(values: np.ndarray[Any, Any], dtype: str) -> str:
    return hashlib.blake2b(np.ascontiguousarray(values, dtype).tobytes(), digest_size=16).hexdigest()


def _column(series: pd.Series[Any], rows: slice) -> list[Any]:
    if series.dtype.kind == "M" or hasattr(series.dtype, "tz"):
        stamps = series.iloc[rows]
        return [None if gone else t.isoformat() for t, gone in zip(stamps, stamps.isna(), strict=True)]
    if series.dtype.kind in "biuf":
        return list(series.iloc[rows].to_numpy().tolist())
    return [v if v is None or isinstance(v, (bool, int, float)) else str(v) for v in series.iloc[rows]]


def _table(frame: pd.DataFrame, columns: Sequence[str]) -> dict[str, Any]:
    """Frame by columns: all rows, or its number of rows and its last ones."""
    n = len(frame)
    rows = slice(max(0, n - MAX_ROWS), n)
    return {"n": n, "first_row": rows.start, "columns": {c: _column(frame[c], rows) for c in columns}}


def _curve(series: pd.Series[float]) -> dict[str, Any]:
    """Series as its length, ends and hashes of its times (int64 ns) and values (float64), little-endian."""
    import pandas as pd

    index = pd.DatetimeIndex(series.index).as_unit("ns")
    values = series.to_numpy(np.float64)
    curve: dict[str, Any] = {
        "n": len(values),
        "first_time": index[0].isoformat(),
        "last_time": index[-1].isoformat(),
        "first": float(values[0]),
        "last": float(values[-1]),
        "time_hash": _hash(index.asi8, "<i8"),
        "hash": _hash(values, "<f8"),
    }
    if len(values) <= MAX_BARS:
        curve["values"] = values.tolist()
    return curve


def content_to_data(content: ReportContent) -> dict[str, Any]:
    """Numbers of a report as plain data: what `read_result` gives back of it.

    Returns
    -------
    dict
        ``format, version, title, subtitle, currency, cash, bars_per_year, stats, costs, settings,
        fingerprint, notes, equity, trades, fills``. Floats are exact; NaN and infinities are floats.

    Raises
    ------
    DataError
        For settings that JSON cannot carry.
    """
    data: dict[str, Any] = _decoded(json.loads(data_to_json(content)))
    return data


def data_to_json(content: ReportContent) -> str:
    """Numbers of a report as JSON text."""
    data = {
        "format": FORMAT,
        "version": VERSION,
        "title": content.title,
        "subtitle": content.subtitle,
        "currency": content.currency,
        "cash": float(content.cash),
        "bars_per_year": float(content.bars_per_year),
        "stats": {k: float(v) for k, v in content.stats.items()},
        "costs": {k: float(v) for k, v in content.costs.items()},
        "settings": content.settings,
        "fingerprint": content.fingerprint,
        "notes": list(content.notes),
        "equity": _curve(content.equity),
        "trades": _table(content.trades, TRADE_COLUMNS),
        "fills": _table(content.fills, FILL_COLUMNS),
    }
    return json.dumps({k: plain(v, k) for k, v in data.items()}, allow_nan=False, separators=(",", ":"))


def script_element(json_text: str, name: str) -> str:
    """Element that carries JSON as data: no text in it can end the element or start another."""
    safe = json_text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{name}">{safe}</script>'


# -- reading -------------------------------------------------------------------------------------------


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _decoded(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("$float"), str) and value["$float"] in _SPECIAL:
            return _SPECIAL[value["$float"]]
        return {k: _decoded(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_decoded(v, depth + 1) for v in value]
    return value


_SHAPE: dict[str, type] = {
    "title": str,
    "subtitle": str,
    "currency": str,
    "cash": float,
    "bars_per_year": float,
    "stats": dict,
    "costs": dict,
    "settings": dict,
    "fingerprint": dict,
    "notes": list,
    "equity": dict,
    "trades": dict,
    "fills": dict,
}


def _check_shape(data: Any) -> None:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"it is not of the format {FORMAT!r}")
    if data.get("version") != VERSION or isinstance(data["version"], bool):
        raise ValueError(f"its version is {data.get('version')!r}, this program reads version {VERSION}")
    wrong = [
        f"{key!r} is missing or no {kind.__name__}"
        for key, kind in _SHAPE.items()
        if type(data.get(key)) is not kind
    ]
    if wrong:
        raise ValueError(wrong[0])
    numbers = {f"{part}.{name}": value for part in ("stats", "costs") for name, value in data[part].items()}
    wrong = [f"{name} is no float" for name, value in numbers.items() if type(value) is not float]
    for part in ("trades", "fills"):
        columns = data[part].get("columns")
        if not isinstance(columns, dict) or not all(isinstance(c, list) for c in columns.values()):
            wrong.append(f"{part}.columns is no mapping of lists")
        elif len({len(c) for c in columns.values()}) > 1:
            wrong.append(f"{part}.columns differ in length")
    if wrong:
        raise ValueError(wrong[0])


def read_result(html: str) -> dict[str, Any]:
    """Numbers that a report carries. Nothing in the file is run, and no HTML is parsed.

    Parameters
    ----------
    html : str
        Text of a report, at most 64 MiB.

    Returns
    -------
    dict
        As `content_to_data`. Names and texts in it are the file's: show them escaped.

    Raises
    ------
    DataError
        For text that is no report, carries the data not exactly once, is cut short, too large, or malformed.
    """
    advice = "Give the HTML file that Result.report() or 'quantlab backtest' wrote, unchanged."
    if len(html) > MAX_PAGE:
        raise DataError(f"the report has {len(html):,} characters; at most {MAX_PAGE:,} are read. {advice}")
    start = html.find(ELEMENT)
    if start < 0:
        raise DataError(f"the text carries no result of quantlab. {advice}")
    start += len(ELEMENT)
    if html.find(ELEMENT, start) >= 0:
        raise DataError(f"the text carries more than one result. {advice}")
    end = html.find("</script>", start)
    if end < 0:
        raise DataError(f"the result in the report is cut short. {advice}")
    if end - start > MAX_DATA:
        raise DataError(f"the result has {end - start:,} characters; at most {MAX_DATA:,} are read. {advice}")
    try:
        data = json.loads(html[start:end], object_pairs_hook=_unique, parse_constant=_no_constant)
        data = _decoded(data)
        _check_shape(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the result in the report cannot be read: {error}. {advice}") from error
    return dict(data)


# -- comparing -----------------------------------------------------------------------------------------

COMPARED = ("fingerprint", "cash", "bars_per_year", "fills", "trades", "equity", "costs", "stats")


def first_difference(
    recorded: dict[str, Any], again: dict[str, Any], keys: Sequence[str] = COMPARED
) -> Difference | None:
    """First number that differs between two results, in the order cause before effect; None if none does.

    Parameters
    ----------
    recorded, again : dict
        As `read_result` and `content_to_data` give them.
    keys : sequence of str
        Parts to compare, in this order.

    Returns
    -------
    Difference or None
        Its place, such as ``"stats.sharpe"`` or ``"fills.price[17]"``, and both values. Floats must be equal
        to the last bit; NaN equals NaN.
    """
    missing = object()
    for key in keys:
        found = _differ(recorded.get(key, missing), again.get(key, missing), key)
        if found is not None:
            show = (None if v is missing else v for v in found[1:])
            return Difference(found[0].replace(".columns.", "."), *show)
    return None


def _differ(a: Any, b: Any, where: str) -> Difference | None:
    if isinstance(a, dict) and isinstance(b, dict):
        # Values before lengths and hashes: a reader wants the first number, not that there is one.
        names = sorted({*a, *b}, key=lambda k: (k not in ("values", "columns"), [*a, *b].index(k)))
        rows = _rows_differ(a, b, where)
        if rows is not None:
            return rows
        return next((d for k in names if (d := _differ(a.get(k), b.get(k), f"{where}.{k}"))), None)
    if isinstance(a, list) and isinstance(b, list):
        pairs = (_differ(x, y, f"{where}[{k}]") for k, (x, y) in enumerate(zip(a, b, strict=False)))
        found = next((d for d in pairs if d), None)
        return found or (None if len(a) == len(b) else Difference(f"{where}, its length", len(a), len(b)))
    same = type(a) is type(b) and (a == b or (a != a and b != b))  # noqa: PLR0124  # NaN equals NaN here
    return None if same else Difference(where, a, b)


def _rows_differ(a: dict[str, Any], b: dict[str, Any], where: str) -> Difference | None:
    """Compare two tables row by row, so that the earliest fill is named and not the first column."""
    left, right = a.get("columns"), b.get("columns")
    if not (isinstance(left, dict) and isinstance(right, dict)) or set(left) != set(right):
        return None
    if a.get("first_row") != b.get("first_row"):
        return Difference(f"{where}, its number of rows", a.get("n"), b.get("n"))
    first = a.get("first_row", 0)
    for k, row in enumerate(zip(*left.values(), strict=True)):
        for name, value in zip(left, row, strict=True):
            other = right[name][k] if k < len(right[name]) else None
            if k < len(right[name]) and (found := _differ(value, other, f"{where}.{name}[{first + k}]")):
                return found
    return None
