"""Columns of text or numbers into times, with the format read from the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.barsize import DAY_NS, SECOND_NS
from quantlab.errors import DataError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["DATE_ORDERS", "Times", "epochs_to_times", "text_to_times"]

DATE_ORDERS = ("ymd", "mdy", "dmy")
"""Orders of year, month and day that ``date_format`` may name; it may also be a pattern such as
``%d/%m/%Y``."""

EPOCHS = (("s", 1e11, SECOND_NS), ("ms", 1e14, 1_000_000), ("us", 1e17, 1_000), ("ns", np.inf, 1))
"""Unit of a count since 1970, by its size: seconds until the year 5138, milliseconds from 1973 to 5138, and
so on."""

CLOCK = (
    r"(?:[T ;,]+(?P<hour>\d{1,2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,:](?P<frac>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[A-Za-z]+/[A-Za-z_/]+)?$"
)
"""Time of day and zone behind a date; both may be absent."""

PATTERNS = (
    ("ymd", r"^(?P<a>\d{4})(?P<b>\d{2})(?P<c>\d{2})"),
    ("ymd", r"^(?P<a>\d{4})[-/. ](?P<b>\d{1,2})[-/. ](?P<c>\d{1,2})"),
    (
        "named_dmy",
        r"^(?:[A-Za-z]{3,9},? )?(?P<a>\d{1,2})[- /.]?(?P<b>[A-Za-z]{3,9})\.?[- /,]*(?P<c>\d{4}|\d{2})",
    ),
    (
        "named_mdy",
        r"^(?:[A-Za-z]{3,9},? )?(?P<b>[A-Za-z]{3,9})\.?[- /]?(?P<a>\d{1,2}),?[- /](?P<c>\d{4}|\d{2})",
    ),
    ("numbers", r"^(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{4}|\d{2})"),
)

TRIED = 1000
"""Times on which the patterns are tried."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

PIVOT = 69
"""Two-digit years from here on are 19xx, as in POSIX."""


@dataclass(frozen=True, eq=False)
class Times:
    """Parsed times.

    Attributes
    ----------
    ns : ndarray of int64
        Nanoseconds since 1970 in UTC, or of the wall clock where `zone` is None; 0 where `bad`.
    bad : ndarray of bool
        Rows whose text is no time.
    zone : str or None
        ``"UTC"`` for instants; a zone that the text itself names; None for a wall clock without a zone.
    notes : tuple of str
        What was guessed, in words.
    """

    ns: NDArray[np.int64]
    bad: NDArray[np.bool_]
    zone: str | None
    notes: tuple[str, ...]


def epochs_to_times(values: NDArray[np.float64] | NDArray[np.int64]) -> Times:
    """Make times of counts since 1970; the unit is told by their size.

    Raises
    ------
    DataError
        For numbers that are no count since 1970, such as row numbers.
    """
    finite = np.isfinite(values)
    size = float(np.median(np.abs(values[finite]))) if finite.any() else 0.0
    if size < 1e7:
        raise DataError(
            f"the time column holds numbers such as {values[0]:g}, which are neither dates nor counts since "
            "1970; name the column of times with --columns date=…"
        )
    unit, _, scale = next(e for e in EPOCHS if size < e[1])
    if values.dtype.kind == "f":
        # A float keeps 15 digits: split the seconds off before they are multiplied.
        whole = np.floor(np.where(finite, values, 0.0))
        rest = np.where(finite, values, 0.0) - whole
        ns = whole.astype(np.int64) * scale + np.round(rest * scale).astype(np.int64)
    else:
        ns = values.astype(np.int64) * scale
    name = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[unit]
    return Times(ns, ~finite, "UTC", (f"times: {name} since 1970, UTC.",))


def text_to_times(
    text: pa.ChunkedArray, clock: pa.ChunkedArray | None = None, date_format: str | None = None
) -> Times:
    """Text into times.

    Parameters
    ----------
    text : pyarrow array of str
        Dates, with or without a time of day.
    clock : pyarrow array of str, optional
        Times of day, where they stand in a column of their own.
    date_format : str, optional
        ``"mdy"``, ``"dmy"`` or ``"ymd"``, or a pattern of `strptime`. Read from the data if not given.

    Raises
    ------
    DataError
        For text that is no time, and for dates that can be read both as m/d and as d/m.
    ParameterError
        For a `date_format` that is none.
    """
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(text)
    if clock is not None:
        padded = pc.utf8_lpad(pc.utf8_trim_whitespace(clock), 4, "0") if _digits_only(clock) else clock
        text = pc.binary_join_element_wise(text, padded, " ")
    # Many rows share few times where a file holds many symbols.
    encoded = pc.dictionary_encode(text).combine_chunks()
    if hasattr(encoded, "num_chunks"):
        encoded = encoded.chunk(0)
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    distinct = encoded.dictionary
    parsed = (
        _by_pattern(distinct, date_format)
        if date_format and "%" in date_format
        else _by_guess(distinct, date_format)
    )
    return Times(parsed.ns[codes], parsed.bad[codes], parsed.zone, parsed.notes)


def _digits_only(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(pc.utf8_trim_whitespace(column), r"^\d{1,6}$")).as_py())


def _by_pattern(distinct: pa.Array, pattern: str) -> Times:
    import pandas as pd

    try:
        parsed = pd.to_datetime(
            pd.Series(distinct.to_pylist(), dtype=object), format=pattern, errors="coerce"
        )
    except (ValueError, TypeError) as error:
        raise ParameterError(
            f"date format {pattern!r} is not understood: {error}; write mdy, dmy, ymd or a pattern such as "
            "'%d/%m/%Y %H:%M'."
        ) from error
    index = pd.DatetimeIndex(parsed)
    if index.isna().all():
        raise DataError(f"no time fits the date format {pattern!r}; the first is {distinct[0].as_py()!r}.")
    zone = None if index.tz is None else "UTC"
    stamps = index.as_unit("ns").asi8
    return Times(
        np.where(index.isna(), 0, stamps), np.asarray(index.isna()), zone, (f"times: format {pattern}.",)
    )


def _by_guess(distinct: pa.Array, order: str | None) -> Times:
    """Parse by the pattern that fits most rows."""
    import pyarrow.compute as pc

    if order is not None and order not in DATE_ORDERS:
        raise UnknownNameError("date format", order, DATE_ORDERS, "Or a pattern such as '%d/%m/%Y %H:%M'.")
    if len(distinct) == 0:
        raise DataError("there are no times.")
    numeric = pc.match_substring_regex(distinct, r"^\d{9,10}(\.\d*)?$|^\d{12,19}$")
    if _looks_like_digits_date(distinct[0].as_py()):
        distinct = pc.replace_substring_regex(distinct, r"^(\d{8})(\d{4}|\d{6})$", r"\1 \2")
    elif pc.all(numeric).as_py():
        values = distinct.to_numpy(zero_copy_only=False)
        whole = pc.all(pc.match_substring_regex(distinct, r"^\d+$")).as_py()
        return epochs_to_times(values.astype(np.int64) if whole else values.astype(np.float64))
    # The pattern is chosen on some of the times, spread over the file, since each trial reads them all.
    tried = distinct.take(np.unique(np.linspace(0, len(distinct) - 1, TRIED).astype(np.int64)))
    fits = [int(pc.sum(pc.match_substring_regex(tried, p + CLOCK)).as_py() or 0) for _, p in PATTERNS]
    kind, pattern = PATTERNS[int(np.argmax(fits))]
    match = pc.extract_regex(distinct, pattern + CLOCK)
    if max(fits) == 0:
        raise DataError(
            f"times such as {distinct[0].as_py()!r} are not understood; say how they are written with "
            "date_format (--date-format), for example '%d/%m/%Y %H:%M', or name another column with "
            "--columns date=…"
        )
    return _assemble(match, kind, order, distinct[0].as_py())


def _looks_like_digits_date(text: str) -> bool:
    """Whether 12 or 14 digits are yyyymmddHHMM[SS] and no count since 1970."""
    if len(text) not in {12, 14} or not text.isdigit():
        return False
    month, day, hour, minute = (int(text[k : k + 2]) for k in (4, 6, 8, 10))
    return (
        text[:2] in {"18", "19", "20"} and 1 <= month <= 12 and 1 <= day <= 31 and hour < 25 and minute < 60
    )


def _assemble(match: pa.Array, kind: str, order: str | None, sample: str) -> Times:
    import pyarrow.compute as pc

    valid = pc.is_valid(match).to_numpy(zero_copy_only=False)

    def group(name: str) -> Any:
        return pc.fill_null(pc.struct_field(match, name), "")

    def number(name: str) -> NDArray[np.int64]:
        text = group(name)
        filled = pc.if_else(pc.equal(text, ""), "0", text)
        return np.asarray(pc.cast(filled, "int64").to_numpy(zero_copy_only=False), np.int64)

    notes: list[str] = []
    if kind.startswith("named"):
        names = pc.utf8_lower(pc.utf8_slice_codeunits(group("b"), 0, 3))
        index = pc.index_in(names, value_set=_months())
        month = pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
        day, year = number("a"), number("c")
    elif kind == "ymd" and order in (None, "ymd"):
        year, month, day = number("a"), number("b"), number("c")
    elif kind == "ymd":
        raise DataError(
            f"times such as {sample!r} begin with the year, and --date-format {order} says otherwise."
        )
    else:
        first, second, year = number("a"), number("b"), number("c")
        order, note = _day_or_month(first[valid], second[valid], order, sample)
        notes.append(note)
        month, day = (first, second) if order == "mdy" else (second, first)
    short = valid & (year < 100)
    if short.any() and kind != "ymd":
        year = np.where(short, year + np.where(year >= PIVOT, 1900, 2000), year)
        notes.append("times: years of two digits are read as 1969 to 2068.")
    date, good = _civil(year, month, day)
    clock, has_clock, in_day = _clock(group, number)
    ns = date * DAY_NS + clock
    bad = ~(valid & good & in_day)
    zone, ns, zoned = _zone(group("zone"), ns, valid)
    notes += [f"times: such as {sample!r}{', with a time of day' if has_clock[valid].any() else ''}{zoned}."]
    return Times(np.where(bad, 0, ns), bad, zone, tuple(notes))


def _months() -> pa.Array:
    import pyarrow as pa

    return pa.array(MONTHS)


def _day_or_month(
    first: NDArray[np.int64], second: NDArray[np.int64], order: str | None, sample: str
) -> tuple[str, str]:
    """Which of two numbers is the month, told by the one that is above 12."""
    if order in {"mdy", "dmy"}:
        return order, f"times: {order}, as given."
    if order == "ymd":
        raise DataError(f"times such as {sample!r} do not begin with the year; say mdy or dmy.")
    day_first, day_second = bool((first > 12).any()), bool((second > 12).any())
    if day_first and day_second:
        raise DataError(
            f"times such as {sample!r} have numbers above 12 in both places, so month and day change places "
            "within the file; repair it, or split it and import the parts with --date-format mdy and dmy."
        )
    if day_first or day_second:
        said = "dmy" if day_first else "mdy"
        return said, f"times: {said}, since the {'first' if day_first else 'second'} number exceeds 12."
    if "." in sample:
        return "dmy", "times: dmy, since dots separate the numbers."
    raise DataError(
        f"times such as {sample!r} can be read as month/day and as day/month (no number exceeds 12); say "
        "which with date_format='mdy' or 'dmy' (--date-format)."
    )


def _civil(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days since 1970, and whether the date exists."""
    sane = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1700) & (year <= 2200)
    y, m = np.where(sane, year, 1970), np.where(sane, month, 1)
    months = (y - 1970) * 12 + (m - 1)
    start = months.astype("M8[M]")
    length = ((months + 1).astype("M8[M]").astype("M8[D]") - start.astype("M8[D]")).astype(np.int64)
    good = sane & (day <= length)
    return start.astype("M8[D]").astype(np.int64) + np.where(good, day, 1) - 1, good


def _clock(group: Any, number: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Nanoseconds since midnight, whether there is a time of day, and whether it exists."""
    import pyarrow.compute as pc

    hour, minute, second = number("hour"), number("minute"), number("second")
    half = pc.utf8_slice_codeunits(pc.utf8_lower(group("half")), 0, 1)
    pm = pc.equal(half, "p").to_numpy(zero_copy_only=False)
    am = pc.equal(half, "a").to_numpy(zero_copy_only=False)
    hour = np.where((pm | am) & (hour == 12), 0, hour) + np.where(pm, 12, 0)
    frac = pc.cast(pc.utf8_rpad(group("frac"), 9, "0"), "int64").to_numpy(zero_copy_only=False)
    ns = (hour * 3600 + minute * 60 + second) * SECOND_NS + frac
    there = pc.not_equal(group("hour"), "").to_numpy(zero_copy_only=False)
    # 24:00 is how some vendors end a day.
    good = (minute < 60) & (second < 60) & (ns <= DAY_NS)
    return ns, there, good


def _zone(
    text: Any, ns: NDArray[np.int64], valid: NDArray[np.bool_]
) -> tuple[str | None, NDArray[np.int64], str]:
    """Zone that the text names, times moved to UTC where it gives offsets, and words for it."""
    import pyarrow.compute as pc

    zones = [z.as_py() for z in text.unique()]
    named = {z for z in zones if z}
    if not named:
        return None, ns, ""
    marked = pc.not_equal(text, "").to_numpy(zero_copy_only=False)
    if not marked[valid].all():
        raise DataError(f"some times name a zone ({min(named)}) and some do not; write them all alike.")
    places = {z for z in named if "/" in z}
    if places:
        if len(named) > 1:
            raise DataError(f"times name several zones ({', '.join(sorted(named))}); write them all in one.")
        place = places.pop()
        return place, ns, f", in {place}"
    encoded = pc.dictionary_encode(text)
    offsets = np.asarray([_offset_ns(z) if z else 0 for z in encoded.dictionary.to_pylist()], np.int64)
    moved = ns - offsets[encoded.indices.to_numpy(zero_copy_only=False)]
    return "UTC", moved, ", with the zone's offset"


def _offset_ns(zone: str) -> int:
    if zone in {"Z", "UTC", "GMT"}:
        return 0
    digits = zone[1:].replace(":", "")
    return (-1 if zone[0] == "-" else 1) * (int(digits[:2]) * 60 + int(digits[2:])) * 60 * SECOND_NS
