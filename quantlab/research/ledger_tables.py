"""The ledger's tables, and every statement that reads or writes them."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from quantlab.research.attempts import Moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantlab.research.attempts import Entry

__all__ = ["ADD_UP", "COLUMNS", "COUNT_SOURCES", "NAMES", "SELECT", "VERSION", "make_tables", "write_entries"]

VERSION = 1
"""Of the tables, kept in the file as its ``user_version``."""

TABLES = """
CREATE TABLE data (
    hash TEXT PRIMARY KEY, symbols TEXT NOT NULL, bar_size TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
    runs INTEGER NOT NULL, kind TEXT NOT NULL, strategy TEXT NOT NULL, source TEXT NOT NULL, data TEXT NOT NULL,
    settings TEXT NOT NULL, parameters TEXT NOT NULL, said TEXT NOT NULL, n_bars INTEGER NOT NULL,
    bars_per_year REAL NOT NULL, n_trials INTEGER NOT NULL, n_finite INTEGER NOT NULL, sum_1 REAL NOT NULL,
    sum_2 REAL NOT NULL, sum_3 REAL NOT NULL, sum_4 REAL NOT NULL, largest REAL
);
CREATE INDEX entries_by_strategy ON entries (strategy);
"""
"""Times are ns UTC; `largest` is NULL where no ratio is finite, since SQLite has no NaN."""


COLUMNS = {
    "entry": "id",
    "first_at": "first_ns",
    "last_at": "last_ns",
    "runs": "runs",
    "kind": "kind",
    "strategy": "strategy",
    "parameters": "said",
    "symbols": "symbols",
    "bar_size": "bar_size",
    "first": "first",
    "last": "last",
    "n_bars": "n_bars",
    "bars_per_year": "bars_per_year",
    "n_trials": "n_trials",
    "n_finite": "n_finite",
    "mean_sharpe": "sum_1 / nullif(n_finite, 0)",
    "best_sharpe": "largest",
    "source_hash": "source",
    "data_hash": "entries.data",
    "settings_hash": "settings",
    "parameters_hash": "parameters",
}
"""Columns of `Ledger.entries`, and where each comes from."""

SELECT = f"SELECT {', '.join(COLUMNS.values())} FROM entries JOIN data ON data.hash = entries.data"  # noqa: S608  # constants

ADD_UP = (
    "SELECT bars_per_year, sum(n_trials), count(*), sum(n_finite), sum(sum_1), sum(sum_2), sum(sum_3), sum(sum_4), "
    "max(largest), max(last_ns) FROM entries"
)

COUNT_SOURCES = "SELECT count(DISTINCT source) FROM entries"

NAMES = "SELECT strategy FROM entries GROUP BY 1 ORDER BY max(last_ns) DESC"

_OUTCOME = ("n_trials", *Moments._fields)

_INSERT_DATA = "INSERT OR IGNORE INTO data VALUES (?, ?, ?, ?, ?)"

_COLUMNS = (
    *(
        "key",
        "first_ns",
        "last_ns",
        "runs",
        "kind",
        "strategy",
        "source",
        "data",
        "settings",
        "parameters",
        "said",
    ),
    *("n_bars", "bars_per_year", *_OUTCOME),
)

_TOGETHER = 500
"""Entries of one statement. SQLite hands over the interpreter's lock at each, and the thread that computes keeps it for
milliseconds: with a statement an entry, a batch would hold the file for a second."""

_RENEW = f"UPDATE entries SET {', '.join(f'{name} = ?' for name in _OUTCOME)} WHERE key = ? AND n_trials < ?"  # noqa: S608  # constants only


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables, unless another process just did."""
    # Where there can be no write-ahead log, the rollback journal does as well.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")


def write_entries(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Write entries in one transaction.

    Raises
    ------
    sqlite3.Error
        If it cannot be done; then none is written.
    """
    rows = [_row(e) for e in entries]
    data = {e.data for e in entries}
    many = [(*_outcome(e), e.key, e.n_trials) for e in entries if e.n_trials > 1]
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_INSERT_DATA, data)
        for k in range(0, len(rows), _TOGETHER):
            part = rows[k : k + _TOGETHER]
            connection.execute(_insert(len(part)), [*chain.from_iterable(part)])
        connection.executemany(_RENEW, many)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _insert(n_rows: int) -> str:
    marks = ", ".join([f"({', '.join('?' * len(_COLUMNS))})"] * n_rows)
    return (
        f"INSERT INTO entries ({', '.join(_COLUMNS)}) VALUES {marks} "  # noqa: S608  # constants only
        "ON CONFLICT (key) DO UPDATE SET runs = runs + 1, last_ns = max(last_ns, excluded.last_ns)"
    )


def _outcome(entry: Entry) -> tuple[float | None, ...]:
    return (entry.n_trials, *entry.moments[:-1], entry.moments.largest if entry.moments.n_finite else None)


def _row(e: Entry) -> tuple[Any, ...]:
    hashes = (e.source, e.data.hash, e.settings, e.parameters)
    return (
        e.key,
        e.at_ns,
        e.at_ns,
        1,
        e.kind,
        e.strategy,
        *hashes,
        e.said,
        e.n_bars,
        e.bars_per_year,
        *_outcome(e),
    )
