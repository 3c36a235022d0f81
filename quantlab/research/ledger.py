"""The trial ledger: every backtest and sweep of a project, and what all attempts add up to."""

from __future__ import annotations

import atexit
import os
import sqlite3
import sys
import threading
import warnings
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError
from quantlab.research.attempts import Tried, shape_of
from quantlab.research.ledger_tables import (
    ADD_UP,
    COLUMNS,
    COUNT_SOURCES,
    NAMES,
    SELECT,
    VERSION,
    make_tables,
    write_entries,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from quantlab.research.attempts import Entry

__all__ = ["Ledger", "LedgerWarning", "ledger_at", "tell"]

DELAY_S = 0.2
"""How long entries are gathered before they are written together."""

PATIENCE_S = 5.0
"""How long a write waits for other writers."""

LIMIT = 20_000
"""Entries that are kept while the ledger cannot be written; the rest is counted as lost."""

REMEMBERED = 64
"""Ledgers of a process."""

FAULTS = (sqlite3.Error, OSError)
"""What a ledger that cannot be opened or written raises."""


class LedgerWarning(UserWarning):
    """Something was not entered in the ledger; the result itself is whole."""


class Ledger:
    """Ledger in one SQLite file, which any number of processes write at once.

    Parameters
    ----------
    path : str or Path
        File; it and its folder are made by the first write.
    delay_s : float
        How long entries given to `defer` are gathered.
    patience_s : float
        How long a write, or the opening of the file, waits for other writers.

    Notes
    -----
    An entry is written in one transaction: it is in the file whole, or not at all, whatever is killed when. What
    `append` wrote outlives the process (a power cut may take the last entries with it, never the file). What was given
    to `defer` is written after `delay_s` at the latest, and when the process ends; a process that is killed loses
    what is younger. Worker processes of `multiprocessing` end without notice, so there nothing is deferred.
    """

    def __init__(self, path: str | Path, *, delay_s: float = DELAY_S, patience_s: float = PATIENCE_S) -> None:
        self.path = Path(path)
        self.delay_s, self.patience_s = delay_s, patience_s
        self._ready = False
        self._inherited: list[sqlite3.Connection | None] = []
        self._begin()

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"

    def _begin(self) -> None:
        """Start with nothing deferred: what a fork inherited is its parent's to write, and so are its locks."""
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._waiting: list[Callable[[], Entry]] = []
        self._timer: threading.Timer | None = None
        self._lost = 0
        self._guard, self._writing = threading.Lock(), threading.Lock()

    # -- writing ---------------------------------------------------------------------------------------

    def append(self, *entries: Entry) -> None:
        """Write entries now, in one transaction.

        The same trials again (same kind, strategy, source, data, settings and parameters) count a run, not an entry;
        if more of them were evaluated than before, as when a sweep is resumed, their moments replace the earlier.

        Raises
        ------
        sqlite3.Error, OSError
            If the file cannot be written; then none is.
        DataError
            For a file of a later version.
        """
        self._own()
        with self._writing:
            write_entries(self._writer(), entries)

    def defer(self, make: Callable[[], Entry]) -> None:
        """Write an entry soon, from another thread; returns at once and never raises.

        Parameters
        ----------
        make : callable
            Gives the entry; called when it is written, so that what takes long (hashing the bars) delays nobody.
        """
        self._own()
        timer = None
        with self._guard:
            self._waiting.append(make)
            if self._timer is None:
                timer = self._timer = threading.Timer(self.delay_s, self.flush)
        if timer is None:
            return
        if not self._ready:
            self._ready = True
            atexit.register(self._end)
        if _is_worker():
            self.flush()
            return
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # the interpreter is ending, and starts no more threads
            self.flush()

    def flush(self) -> bool:
        """Write what was deferred; False, with a `LedgerWarning`, if it could not be and is kept for the next time."""
        self._own()
        with self._writing:
            with self._guard:
                batch, self._waiting, self._timer = self._waiting, [], None
            entries = [entry for make in batch if (entry := _made(make)) is not None]
            if not entries:
                return True
            try:
                write_entries(self._writer(), entries)
            except (*FAULTS, DataError) as error:
                with self._guard:
                    kept = [*(_constant(e) for e in entries), *self._waiting]
                    self._waiting = kept[:LIMIT]
                    self._lost += max(0, len(kept) - LIMIT)
                tell(f"trials are not entered in the ledger {self.path}: {_reason(error)}")
                return False
        return True

    def _end(self) -> None:
        """Write what is left when the process ends, and say what is lost."""
        if not self.flush():
            lost = len(self._waiting) + self._lost
            tell(f"{lost} {'entry is' if lost == 1 else 'entries are'} lost to the ledger {self.path}.")
        self._shut()

    def _own(self) -> None:
        """Notice that this is another process than before, by a fork."""
        if self._pid != os.getpid():
            self._inherited.append(self._connection)  # SQLite forbids even to close it here
            self._begin()

    def _writer(self) -> sqlite3.Connection:
        """Give the connection of this process, kept: the last one to close waits for the disk."""
        if self._connection is not None:
            if self._file == _identity(self.path):
                return self._connection
            self._connection.close()  # the file was moved away, or replaced
            self._connection = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=self.patience_s, isolation_level=None, check_same_thread=False
        )
        try:
            if self._version(connection) == 0:
                make_tables(connection)
            connection.execute("PRAGMA synchronous=NORMAL")
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, _identity(self.path)
        return connection

    def _version(self, connection: sqlite3.Connection) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            raise DataError(
                f"the ledger {self.path} is of version {version}, written by a later quantlab; this one knows "
                f"version {VERSION}. Update quantlab."
            )
        return version

    def close(self) -> None:
        """Write what was deferred and close the file; the next write opens it again."""
        self.flush()
        self._shut()

    def _shut(self) -> None:
        """Close the file, which then is one whole, without a log beside it."""
        with self._writing:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # -- reading ---------------------------------------------------------------------------------------

    def _read(self, query: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query; none where there is no file yet.

        Raises
        ------
        DataError
            For a file that is no ledger, is damaged, or is of a later version.
        """
        self.flush()
        if not self.path.exists():
            return []
        place = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(place, timeout=self.patience_s, uri=True)) as connection:
                return connection.execute(query, given).fetchall() if self._version(connection) else []
        except sqlite3.Error as error:
            raise DataError(
                f"the ledger {self.path} cannot be read: {_reason(error)} Its trials count, so move it aside rather "
                "than delete it; a new one begins with the next backtest."
            ) from error

    def entries(
        self, strategy_name: str | None = None, *, kind: str | None = None, data: str | None = None
    ) -> pd.DataFrame:
        """Entries as a frame, the oldest first; one that ran again keeps its place.

        Parameters
        ----------
        strategy_name, kind, data : str, optional
            Only entries of this strategy, kind, or hash of bars (`Bars.content_hash`).

        Returns
        -------
        DataFrame
            ``first_at``, ``last_at`` (UTC), ``runs``, ``kind``, ``strategy``, ``parameters`` (for reading),
            ``symbols``, ``bar_size``, ``first``, ``last``, ``n_bars``, ``bars_per_year``, ``n_trials``, ``n_finite``,
            ``mean_sharpe`` and ``best_sharpe`` (annual, NaN where none is finite), and the hashes ``source_hash``,
            ``data_hash``, ``settings_hash``, ``parameters_hash``. Index: the number of the entry.

        Raises
        ------
        DataError
            For a file that cannot be read. A file that is not there yet gives no rows.
        """
        import pandas as pd

        where, given = _condition(strategy=strategy_name, kind=kind, data=data)
        rows = self._read(f"{SELECT}{where} ORDER BY id", given)
        table = pd.DataFrame(rows, columns=[*COLUMNS]).set_index("entry")
        for name in ("first_at", "last_at"):
            table[name] = pd.to_datetime(table[name].astype("int64"), unit="ns", utc=True)
        for name in ("mean_sharpe", "best_sharpe"):
            table[name] = table[name].astype("float64") * np.sqrt(table["bars_per_year"].astype("float64"))
        return table

    def strategies(self) -> list[str]:
        """Names of the strategies that have entries, the one that ran last first."""
        return [name for (name,) in self._read(NAMES)]

    def tried(
        self,
        strategy_name: str | None = None,
        *,
        data: str | None = None,
        bars_per_year: float | None = None,
    ) -> Tried:
        """Add up all attempts at a strategy.

        Parameters
        ----------
        strategy_name : str, optional
            Every entry of that name counts, whatever its source, parameters, settings and kind: to edit the file and
            try again is another trial. All strategies, if not given.
        data : str, optional
            Only attempts on bars of this hash (`Bars.content_hash`). Not the default: what was learnt on one history
            was learnt for the others too.
        bars_per_year : float, optional
            Observation of the ratios given; that of the latest entry if not given.

        Returns
        -------
        Tried
            Of no trials, where there are no entries.

        Raises
        ------
        DataError
            For a file that cannot be read.

        Notes
        -----
        A trial counts twice where it is in two entries, as in two sweeps whose grids overlap, or as a backtest and in a
        sweep: the ledger keeps sums and not trials. So the number is an upper bound, and a deflated Sharpe ratio made
        with it errs on the careful side.
        """
        where, given = _condition(strategy=strategy_name, data=data)
        groups = self._read(f"{ADD_UP}{where} GROUP BY bars_per_year", given)
        if not groups:
            nan = float("nan")
            return Tried(0, 0, 0, 0, nan, nan, nan, nan, nan, nan if bars_per_year is None else bars_per_year)
        sources = self._read(f"{COUNT_SOURCES}{where}", given)[0][0]
        unit = max(groups, key=lambda g: g[9])[0] if bars_per_year is None else bars_per_year
        table = np.array(
            [[np.nan if v is None else float(v) for v in group[:9]] for group in groups], np.float64
        )
        scale = np.sqrt(table[:, 0] / unit)
        power_sums = [float((table[:, 3 + k] * scale**k).sum()) for k in range(1, 5)]
        return Tried(
            int(table[:, 1].sum()),
            int(table[:, 2].sum()),
            int(sources),
            int(table[:, 3].sum()),
            *shape_of(int(table[:, 3].sum()), power_sums),
            largest=float(np.fmax.reduce(table[:, 8] * scale)),
            bars_per_year=float(unit),
        )


@lru_cache(REMEMBERED)
def ledger_at(path: Path) -> Ledger:
    """Give the one ledger that this process has of a file, so that who reads it sees what was deferred."""
    return Ledger(path)


def _condition(**wanted: str | None) -> tuple[str, list[str]]:
    """Condition of a query and its values, from what is asked for."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"entries.{name} = ?" for name in asked)
    return (f" WHERE {where}" if where else ""), [*asked.values()]


# -- the file ------------------------------------------------------------------------------------------


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell which file is at a path; None for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


# -- what goes wrong -----------------------------------------------------------------------------------


def tell(text: str) -> None:
    """Warn that something was not recorded, without ever raising.

    Where warnings are errors it is printed: the result that was computed must not be lost over its record.
    """
    try:
        warnings.warn(text, LedgerWarning, stacklevel=3)
    except LedgerWarning:
        print(f"LedgerWarning: {text}", file=sys.stderr)  # noqa: T201  # see above


def _made(make: Callable[[], Entry]) -> Entry | None:
    try:
        return make()
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a record, the result stands
        tell(f"a trial is not entered in the ledger: {type(error).__name__}: {error}")
        return None


def _constant(entry: Entry) -> Callable[[], Entry]:
    return lambda: entry


def _reason(error: Exception) -> str:
    """Say what is wrong with the file, and what to do."""
    text = str(error).rstrip(".")
    advice = {
        "locked": "another process holds it; they are tried again.",
        "readonly": "its disk or folder is read-only; make it writable, or set record = false in quantlab.toml.",
        "Read-only": "its disk is read-only; make it writable, or set record = false in quantlab.toml.",
        "full": "free some space.",
        "not a database": "the file is no ledger; move it away.",
        "malformed": "the file is damaged; move it away.",
        "unable to open": "see whether its folder exists and may be written.",
    }
    found = next((said for word, said in advice.items() if word in text), "")
    return f"{text}{': ' + found if found else '.'}"


def _is_worker() -> bool:
    """Whether this is a worker of `multiprocessing`, which ends without notice."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
