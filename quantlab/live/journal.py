"""The journal: an append-only record of a live run in SQLite, written before anything leaves for the broker."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from quantlab.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["KINDS", "Entry", "Journal", "is_written", "read_journal"]

KINDS = (
    "opened",  # once, first: which bundle
    "account",  # once: which account is traded
    "connected",  # a connection was made and everything reconciled
    "lost",  # a connection was lost
    "seed",  # state of a first start, from the backtest's targets
    "bar",  # a closed bar, as it was decided on
    "decision",  # what a bar's close came to
    "missed",  # a bar that closed while nobody could decide
    "intent",  # an order that is about to be sent
    "resized",  # a protective order that covers another number of units
    "blocked",  # an order that risk limits, a freeze or a halt held back
    "status",  # what the broker says of an order
    "ended",  # an order that nothing more is expected of
    "execution",  # a fill
    "commission",  # what a fill cost
    "freeze",  # an asset that is not traded until somebody looked
    "thaw",  # an asset that is traded again
    "again",  # an exit that failed: the next bar decides the asset anew
    "halt",  # nothing is traded until it is resumed
    "resume",  # a halt is over
    "notice",  # a message of the broker
    "stopped",  # the run ended by itself
)
"""What an entry may be."""

APPLICATION_ID = 0x514C4A31
"""Marks a file as a journal of this kind ("QLJ1")."""

SCHEMA = (
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ns INTEGER NOT NULL,
        kind TEXT NOT NULL,
        key TEXT,
        body TEXT NOT NULL,
        UNIQUE (kind, key)
    )""",
    "CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'a journal is only added to'); END",
    "CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'a journal is only added to'); END",
    f"PRAGMA application_id = {APPLICATION_ID}",
)

INSERT = "INSERT INTO entries (at_ns, kind, key, body) VALUES (?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    body : dict
        What happened, JSON-able.
    key : str, optional
        Identity among entries of its kind: a second entry of the same key is refused.
    at_ns : int
        When, ns UTC, by the clock of the run; 0 until it is written.
    seq : int
        Its number; 0 until it is written.
    """

    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    at_ns: int = 0
    seq: int = 0


class Journal:
    """The journal of one bundle, open for writing by one process. Made by `Journal.open`."""

    def __init__(self, path: Path, database: sqlite3.Connection, lock: Any) -> None:
        self.path = path
        self._database, self._lock = database, lock

    @classmethod
    def open(cls, path: str | Path, bundle: str, *, durable: bool = True) -> Journal:
        """Open the journal of a bundle, or begin it.

        Parameters
        ----------
        path : path
            File of the journal.
        bundle : str
            Id of the bundle it belongs to.
        durable : bool
            Wait for the disk at every entry. False is for replays that prove something and trade nothing.

        Raises
        ------
        JournalError
            For a journal that another process writes, that is damaged, that is no journal, or that belongs to another
            bundle.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(place.with_suffix(".lock"), place)
        try:
            database = _connect(place, durable=durable)
            journal = cls(place, database, lock)
            journal._begin(bundle)
        except BaseException:
            lock.close()
            raise
        return journal

    def _begin(self, bundle: str) -> None:
        """Make the table in an empty file; test that a filled one belongs to the bundle."""
        with _readable(self.path):
            tables = self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            if not tables:
                # Table and owner come together: a crash between them would leave a journal of nobody.
                self._database.execute("BEGIN")
                for statement in SCHEMA:
                    self._database.execute(statement)
                opened = json.dumps({"bundle": str(bundle)})
                self._database.execute(INSERT, (0, "opened", "bundle", opened))
                self._database.commit()
            _test_journal(self.path, self._database)
            row = self._database.execute("SELECT body FROM entries WHERE kind = 'opened'").fetchone()
            owner = json.loads(row[0])["bundle"] if row else None
        if owner != bundle:
            raise JournalError(
                f"{self.path} is the journal of bundle {owner}, not of {bundle}: a bundle keeps its own. Move the file "
                "away if it was copied here by mistake; never delete one whose positions are still open."
            )

    def append(self, entries: Iterable[Entry], at_ns: int) -> list[Entry]:
        """Write entries, all or none, and return them as they were written.

        Raises
        ------
        JournalError
            For an entry whose key was written before, or if the disk refuses.
        """
        rows = list(entries)
        written = []
        try:
            with self._database:
                for entry in rows:
                    cursor = self._database.execute(
                        INSERT,
                        (at_ns, entry.kind, entry.key, json.dumps(entry.body, allow_nan=False)),
                    )
                    seq = int(cursor.lastrowid or 0)
                    written.append(Entry(entry.kind, entry.body, entry.key, at_ns, seq))
        except sqlite3.Error as error:
            raise JournalError(
                f"{self.path} cannot be written: {error}. Nothing of this step was recorded."
            ) from error
        return written

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Give every entry, or those of some kinds, in order."""
        with _readable(self.path):
            yield from _select(self._database, kinds, 0)

    def close(self) -> None:
        """Close the file and let go of it."""
        self._database.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_journal(path: str | Path, *kinds: str, after: int = 0) -> list[Entry]:
    """Entries of a journal, also while a run writes it.

    Parameters
    ----------
    path : path
        File of the journal.
    *kinds : str
        Which kinds; all of them if none is named.
    after : int
        Number of the last entry that is already known.

    Raises
    ------
    JournalError
        For a file that is missing, damaged or no journal.
    """
    place = Path(path)
    if not place.is_file():
        raise JournalError(f"there is no journal {place}; 'quantlab paper BUNDLE' begins one.")
    with _readable(place):
        database = sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return []  # its first step is not written yet
            _test_journal(place, database)
            return list(_select(database, kinds, after))
        finally:
            database.close()


def is_written(path: str | Path) -> bool:
    """Whether a process has the journal open for writing."""
    place = Path(path)
    if not place.with_suffix(".lock").exists():
        return False
    try:
        _lock(place.with_suffix(".lock"), place).close()
    except JournalError:
        return True
    return False


def _select(database: sqlite3.Connection, kinds: Sequence[str], after: int) -> Iterator[Entry]:
    chosen = f"AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
    query = f"SELECT kind, body, key, at_ns, seq FROM entries WHERE seq > ? {chosen} ORDER BY seq"  # noqa: S608
    for kind, body, key, at_ns, seq in database.execute(query, (after, *kinds)):
        yield Entry(kind, json.loads(body), key, at_ns, seq)


def _connect(place: Path, *, durable: bool) -> sqlite3.Connection:
    with _readable(place):
        database = sqlite3.connect(place, timeout=5.0)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        return database


def _test_journal(place: Path, database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise JournalError(
            f"{place} is a database, but no journal of a live run; give the bundle another folder."
        )


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    """Say what a damaged file means."""
    try:
        yield
    except (sqlite3.Error, json.JSONDecodeError) as error:
        raise JournalError(
            f"{place} cannot be read: {error}. It is the only record of what was decided: keep it, do not trade this "
            "bundle, close its positions by hand or promote a new bundle."
        ) from error


def _lock(path: Path, journal: Path) -> Any:
    """Hold a lock that the system drops when its holder dies.

    Raises
    ------
    JournalError
        If another process holds it.
    """
    handle = path.open("a+b")
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise JournalError(
            f"{journal} is being written by another process: one runner a bundle. Stop the other one first "
            "('quantlab status BUNDLE' shows it)."
        ) from error
    return handle
