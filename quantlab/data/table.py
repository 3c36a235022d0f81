"""Files as tables of text or numbers, with the line of each row: CSV in any dialect, and Parquet."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Table", "read_csv", "read_parquet", "text_to_numbers"]

SEPARATORS = (";", "\t", "|", ",")
"""Tried in this order: a comma may also be a decimal comma."""

SNIFFED_LINES = 30

NULLS = ("", "nan", "null", "none", "n/a", "na", "#n/a", "-", "--", ".", "inf", "-inf", "infinity", "nat")
"""Texts that stand for no number. Infinite prices are none either."""

SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9}
"""Endings of shortened volumes, such as 12.3M."""

SHOWN = 5
"""Lines that an error names."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a file.

    Attributes
    ----------
    path : Path
    names : list of str
        Header, or positions ("1", "2", …) where there is none.
    columns : list of pyarrow.ChunkedArray
        Text for CSV, typed for Parquet.
    line : ndarray of int64 of shape (n_rows,)
        Line in the file (row for Parquet), from 1.
    has_header : bool
    broken : tuple of (int, str)
        Lines with another number of columns, and what they hold.
    notes : tuple of str
        What was guessed, in words.
    symbol : str or None
        The symbol, where the header says it.
    """

    path: Path
    names: list[str]
    columns: list[pa.ChunkedArray]
    line: NDArray[np.int64]
    has_header: bool
    broken: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]
    symbol: str | None = None


def _bytes(path: Path) -> bytes:
    """Content of a file, unpacked."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        near = [p.name for p in path.parent.glob("*") if p.name.lower() == path.name.lower()]
        hint = f" There is {near[0]!r}." if near else ""
        raise DataError(f"there is no file {path}.{hint} Give the path of a CSV or Parquet file.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    try:
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        elif raw[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(raw)) as packed:
                members = [n for n in packed.namelist() if not n.endswith("/")]
                if len(members) != 1:
                    raise DataError(
                        f"{path} packs {len(members)} files; unpack it and import them one by one."
                    )
                raw = packed.read(members[0])
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is packed and damaged: {error}. Get it again.") from error
    if not raw.strip():
        raise DataError(f"{path} is empty; a CSV or Parquet file with at least one bar is needed.")
    return raw


def _text(raw: bytes, path: Path) -> tuple[str, list[str]]:
    """Text of a file in the encoding that it is in."""
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return raw.decode("utf-16"), ["encoding: UTF-16."]
    if b"\x00" in raw[:4096]:
        raise DataError(f"{path} holds zero bytes, so it is no text; a CSV or Parquet file is needed.")
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return raw.decode("latin-1"), ["encoding: not UTF-8, read as Latin-1."]


def _separator(lines: list[str]) -> str:
    for candidate in SEPARATORS:
        counts = {line.count(candidate) for line in lines[1:] or lines}
        if min(counts) >= 3:
            return candidate
    return ","


def _is_number(cell: str) -> bool:
    cell = cell.strip().strip('"').lstrip("$€£").replace(",", ".")
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_csv(path: str | Path, *, separator: str | None = None, header: bool | None = None) -> Table:
    """Read a CSV file as text, also one packed by gzip or zip.

    Parameters
    ----------
    path : path
    separator : str, optional
        What separates the columns; told from the first lines if not given.
    header : bool, optional
        Whether the first line names the columns; if not given, it does unless it holds numbers.

    Returns
    -------
    Table
        Lines with another number of columns are put aside in `broken`.

    Raises
    ------
    DataError
        For a file that is not there, empty, or no text.
    """
    import csv

    path = Path(path)
    raw = _bytes(path)
    if raw[:4] == b"PAR1":
        raise DataError(
            f"{path} is a Parquet file; read it with import_parquet, or give it the suffix .parquet."
        )
    text, notes = _text(raw, path)
    lines = text.splitlines()
    start = next((k for k, x in enumerate(lines) if x.strip() and not x.lstrip().startswith("#")), 0)
    sample = [x for x in lines[start : start + SNIFFED_LINES] if x.strip()]
    if separator is None:
        separator = _separator(sample)
        if separator != ",":
            notes.append(f"separator: {separator!r}.")
    cells = list(csv.reader(sample, delimiter=separator))
    first = cells[0]
    if header is None:
        header = sum(_is_number(c) for c in first) < 2
        if not header:
            notes.append("the file has no header.")
    counts = [len(c) for c in (cells[1:] if len(cells) > 1 else cells)]
    n_columns = max(set(counts), key=lambda n: (counts.count(n), n))
    names = [c.strip() for c in first] if header else [str(k + 1) for k in range(n_columns)]
    start += int(header)
    symbol = None
    if (
        header
        and len(cells) > 2
        and (first[0].strip().lower(), cells[1][0].strip().lower()) == ("price", "ticker")
    ):
        symbol, names, start = _yfinance(path, cells, names, start)
        notes.append("header: three lines, as yfinance writes them.")
    body = "\n".join(lines[start:]).encode()
    if not body.strip():
        raise DataError(f"{path} has a header and no row; at least one bar is needed.")
    if len(names) != n_columns:
        raise DataError(
            f"{path} names {len(names)} columns ({', '.join(names)}), and its rows have {n_columns} "
            f"({separator.join(cells[1])}). Name every column in order with columns= (--columns), for "
            "example --columns date,clock,open,high,low,close,volume,- (- leaves one out)."
        )
    table, broken = _rows(body, separator, n_columns)
    line = np.delete(np.arange(1, len(lines) - start + 1), [n - 1 for n, _ in broken]) + start
    aside = tuple((n + start, t) for n, t in broken)
    columns, line = _without_blank(table.columns, line[: table.num_rows])
    return Table(path, names, columns, line, header, aside, tuple(notes), symbol)


def _without_blank(
    columns: list[pa.ChunkedArray], line: NDArray[np.int64]
) -> tuple[list[pa.ChunkedArray], NDArray[np.int64]]:
    """Columns and lines without the rows in which every cell is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = np.zeros(line.size, bool)
    for column in columns:
        filled |= pc.not_equal(column, "").to_numpy()
        if filled.all():
            return columns, line
    mask = pa.array(filled)
    return [c.filter(mask) for c in columns], line[filled]


def _yfinance(path: Path, cells: list[list[str]], names: list[str], start: int) -> tuple[str, list[str], int]:
    """Symbol, names and first row of a file whose header says Price, Ticker and Date below each other."""
    symbols = list(dict.fromkeys(c.strip() for c in cells[1][1:]))
    if len(symbols) > 1:
        raise DataError(
            f"{path} holds {len(symbols)} symbols side by side ({', '.join(symbols[:4])} …); write one file "
            "a symbol, or read it with pandas and use Bars.from_frame."
        )
    return symbols[0], ["Date", *names[1:]], start + 1 + int(cells[2][0].strip().lower() == "date")


def _rows(body: bytes, separator: str, n_columns: int) -> tuple[Any, list[tuple[int, str]]]:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    broken: list[tuple[int, str]] = []

    def put_aside(row: Any) -> str:
        broken.append((int(row.number), str(row.text)))
        return "skip"

    names = [f"f{k}" for k in range(n_columns)]
    return pacsv.read_csv(
        pa.BufferReader(body),
        # One thread: only then does pyarrow number the rows it cannot use.
        read_options=pacsv.ReadOptions(use_threads=False, column_names=names),
        parse_options=pacsv.ParseOptions(
            delimiter=separator, ignore_empty_lines=False, invalid_row_handler=put_aside
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
        ),
    ), broken


def read_parquet(path: str | Path) -> Table:
    """Read a Parquet file.

    Raises
    ------
    DataError
        For a file that is not there, empty, truncated, or no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    raw = _bytes(path)
    if raw[:4] != b"PAR1":
        raise DataError(f"{path} is no Parquet file (it does not begin with PAR1); is it a CSV file?")
    try:
        table = pq.read_table(pa.BufferReader(raw))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is a damaged Parquet file: {error}. Get it again.") from error
    if table.num_rows == 0:
        raise DataError(f"{path} has no row; at least one bar is needed.")
    return Table(
        path, list(table.column_names), table.columns, np.arange(1, table.num_rows + 1), True, (), ()
    )


def text_to_numbers(
    column: pa.ChunkedArray, *, comma: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Text into float64, NaN where it stands for no number.

    Parameters
    ----------
    column : pyarrow array of str or of numbers
    comma : bool
        Whether the comma is the decimal sign.

    Returns
    -------
    numbers : ndarray of float64
    bad : ndarray of bool
        Where the text is neither a number nor one of the words for none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        numbers = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan).to_numpy()
        return np.asarray(numbers, np.float64), np.zeros(len(column), bool)
    text = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(column, "")))
    null = pc.is_in(text, value_set=pa.array(NULLS))
    text = pc.if_else(null, "nan", text)
    if not comma:
        try:
            return np.asarray(pc.cast(text, pa.float64()).to_numpy(), np.float64), np.zeros(len(column), bool)
        except pa.ArrowInvalid:
            pass
    return _one_by_one(text.to_pylist(), comma=comma)


def _one_by_one(cells: list[str], *, comma: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers with currency signs, thousands separators and endings such as M."""
    numbers = np.full(len(cells), np.nan)
    bad = np.zeros(len(cells), bool)
    grouped = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?" if comma else r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
    for k, cell in enumerate(cells):
        bare = re.sub(r"[$€£\s\u00a0']", "", cell)
        scale = SUFFIXES.get(bare[-1:], 1.0)
        bare = bare[:-1] if scale != 1.0 else bare
        if grouped.fullmatch(bare):
            bare = bare.replace("." if comma else ",", "")
        elif comma and "." in bare:
            bad[k] = True
            continue
        try:
            numbers[k] = float(bare.replace(",", ".") if comma else bare) * scale
        except ValueError:
            bad[k] = True
    return numbers, bad
