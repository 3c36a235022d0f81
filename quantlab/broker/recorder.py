"""Recorder: a stream into Parquet, in parts, each written whole or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantlab.barsize import SECOND_NS
from quantlab.data.store import LocalFolder, file_name
from quantlab.errors import CatalogError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from quantlab.broker.clock import Clock
    from quantlab.broker.stream import Row

__all__ = ["TABLES", "Recorder", "read_recorded"]

NUMBER, TEXT, TIME, COUNT = "float64", "string", "int64", "int64"

TABLES: dict[str, dict[str, str]] = {
    "bars": {
        **dict.fromkeys(("open", "high", "low", "close", "volume"), NUMBER),
        "count": COUNT,
    },
    "ticks": {"kind": TEXT, "value": NUMBER},
    "trades": {"price": NUMBER, "size": NUMBER, "exchange": TEXT, "conditions": TEXT},
    "quotes": dict.fromkeys(("bid", "ask", "bid_size", "ask_size"), NUMBER),
}
"""Columns of each table after ``time`` and ``received`` (ns UTC), and their types."""

PART = re.compile(r"part-(\d{6})\.parquet")


@dataclass(frozen=True, slots=True)
class _Place:
    table: str
    symbol: str

    @property
    def group(self) -> str:
        return f"{self.table}.{file_name(self.symbol).removesuffix('.parquet')}"


class Recorder:
    """Collects rows and writes them in parts: ``FOLDER/TABLE.SYMBOL/part-000001.parquet`` and on.

    Parameters
    ----------
    folder : path
        Where to; made when the first part is written. Parts that are there stay, and new ones follow.
    clock : Clock
        Tells when a part is due.
    rows_per_part : int
        Rows at which a part is written.
    seconds_per_part : float
        Age of the oldest row at which a part is written: what a kill can lose at most.

    Raises
    ------
    ParameterError
        For numbers that are not above zero.
    CatalogError
        If the folder is a file, or a part cannot be written; the rows are kept then, and written next time.
    """

    def __init__(
        self, folder: str | Path, clock: Clock, *, rows_per_part: int = 50_000, seconds_per_part: float = 60.0
    ) -> None:
        if rows_per_part < 1 or not seconds_per_part > 0.0:
            raise ParameterError(
                f"rows_per_part is {rows_per_part} and seconds_per_part {seconds_per_part}; both must be above 0."
            )
        self._folder, self._clock = LocalFolder(folder), clock
        self._limit, self._age_ns = rows_per_part, int(seconds_per_part * SECOND_NS)
        self._rows: dict[_Place, list[dict[str, Any]]] = {}
        self._began: dict[_Place, int] = {}
        self.n_rows = 0
        self.parts: list[str] = []

    @property
    def folder(self) -> str:
        """Where the parts are."""
        return self._folder.root

    def put(self, row: Row) -> None:
        """Take a row; write the part that it fills."""
        place = _Place(row.table, row.symbol)
        rows = self._rows.setdefault(place, [])
        if not rows:
            self._began[place] = self._clock.now_ns()
        rows.append(row.values)
        self.n_rows += 1
        if len(rows) >= self._limit:
            self._write(place)

    def write_due(self) -> None:
        """Write the parts whose oldest row is old enough."""
        now = self._clock.now_ns()
        for place, began in list(self._began.items()):
            if now - began >= self._age_ns:
                self._write(place)

    def close(self) -> None:
        """Write everything that is left."""
        for place in list(self._rows):
            self._write(place)

    def _write(self, place: _Place) -> None:
        rows = self._rows.get(place)
        if not rows:
            return
        with self._folder.writing(place.group) as write:
            there = [
                PART.fullmatch(n.split("/")[1])
                for n in self._folder.names()
                if n.startswith(place.group + "/")
            ]
            number = 1 + max((int(m[1]) for m in there if m), default=0)
            name = f"part-{number:06d}.parquet"
            write(name, _table(place, rows))
        self.parts.append(self._folder.path(place.group, name))
        del self._rows[place], self._began[place]


def _table(place: _Place, rows: Sequence[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    types = {"time": TIME, "received": TIME, **TABLES[place.table]}
    schema = pa.schema(
        [(n, pa.type_for_alias(t)) for n, t in types.items()],
        metadata={"symbol": place.symbol, "table": place.table},
    )
    return pa.Table.from_pydict({n: [row.get(n) for row in rows] for n in types}, schema=schema)


def read_recorded(folder: str | Path, table: str, symbol: str) -> pa.Table:
    """Read every part of a table of one symbol, oldest first.

    Raises
    ------
    CatalogError
        If there is none, or a part is damaged.
    """
    import pyarrow as pa

    place, source = _Place(table, symbol), LocalFolder(folder)
    names = [n for n in source.names() if n.startswith(place.group + "/")]
    if not names:
        there = sorted({n.split("/")[0] for n in source.names()})
        raise CatalogError(
            f"{source.root} has no {table} of {symbol}; it has {', '.join(there) or 'nothing'}."
        )
    return pa.concat_tables([source.read(n) for n in names])
