"""State that outlives the gateway: orders, executions, money and time in one file, each change in one step.

The file is an SQLite database in write-ahead mode. A change is in it before the client hears of it; a gateway that
is killed comes back as it was. Only one gateway at a time may have it open.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quantlab.errors import GatewayError
from quantlab.gateway.account import Holding
from quantlab.gateway.grid import Moment
from quantlab.gateway.orders import Execution, Order

if TYPE_CHECKING:
    from pathlib import Path

    from quantlab.gateway.venue import Venue

__all__ = ["StateFile"]

LAYOUT = 2
"""Number of the layout below."""

READABLE = (1, 2)
"""Layouts that can be continued; in the first one orders have no parents, groups and stops, and these have none."""

TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (perm_id INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS executions (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""


class StateFile:
    """A gateway's state on disk.

    Parameters
    ----------
    path : path or str
        The file; made if it is not there.

    Raises
    ------
    GatewayError
        For a file that another gateway has open, or that is no state of a gateway.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._written: dict[str, str] = {}
        self._executions = 0
        try:
            self._base = sqlite3.connect(
                self.path, timeout=0.0, isolation_level=None, check_same_thread=False
            )
            self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.executescript(TABLES)
            self._base.execute("BEGIN EXCLUSIVE")
            self._base.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise GatewayError(
                f"the state file {self.path} cannot be opened ({error}); it may belong to a gateway that is running. "
                "Stop that one, or name another file."
            ) from error
        except sqlite3.DatabaseError as error:
            raise GatewayError(
                f"{self.path} is no state of a gateway ({error}); name another file, or a new one."
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    # -- reading ---------------------------------------------------------------------------------------

    def restore(self, venue: Venue) -> bool:
        """Put what is stored into a new venue; False where nothing is stored yet.

        Raises
        ------
        GatewayError
            For a state of other prices, costs, account or ways to fill.
        """
        meta = {name: json.loads(value) for name, value in self._base.execute("SELECT name, value FROM meta")}
        settings = _settings_of(venue)
        if not meta:
            self._put({"settings": settings, "layout": LAYOUT})
            return False
        if meta["layout"] not in READABLE:
            raise GatewayError(
                f"{self.path} has layout {meta['layout']} and {LAYOUT} is known; use the quantlab that wrote it."
            )
        other = [name for name, value in settings.items() if meta["settings"].get(name) != value]
        if other:
            raise GatewayError(
                f"{self.path} is the state of another gateway: {', '.join(other)} differ. Start with the same "
                "options, or name a new file."
            )
        self._put({"layout": LAYOUT})
        if "moment" not in meta:
            return False
        rows = self._base.execute("SELECT body FROM orders ORDER BY perm_id").fetchall()
        orders = [Order.restored(json.loads(body)) for (body,) in rows]
        rows = self._base.execute("SELECT body FROM executions ORDER BY number").fetchall()
        executions = [Execution(**json.loads(body)) for (body,) in rows]
        self._executions = len(executions)
        venue.desk.take_over(orders, executions)
        account = meta["account"]
        venue.account.cash = account["cash"]
        venue.account.day_equity, venue.account.close_equity = account["day_equity"], account["close_equity"]
        venue.account.holdings = {int(i): Holding(**h) for i, h in account["holdings"].items()}
        venue.charges.month = meta["month"]["number"]
        venue.charges.month_units[:] = meta["month"]["units"]
        venue.clock.moment = Moment(*meta["moment"])
        return True

    # -- writing ---------------------------------------------------------------------------------------

    def save(self, venue: Venue) -> None:
        """Write what has changed since the last time, in one step."""
        desk = venue.desk
        new = desk.executions[self._executions :]
        self._base.execute("BEGIN")
        if desk.changed:
            self._base.executemany(
                "INSERT OR REPLACE INTO orders VALUES (?, ?)",
                [(o.perm_id, json.dumps(o.describe())) for o in map(desk.orders.__getitem__, desk.changed)],
            )
        if new:
            first = self._executions + 1
            self._base.executemany(
                "INSERT INTO executions VALUES (?, ?)",
                [(first + k, json.dumps(asdict(e))) for k, e in enumerate(new)],
            )
        account = venue.account
        self._put(
            {
                "moment": list(venue.clock.moment),
                "account": {
                    "cash": account.cash,
                    "day_equity": account.day_equity,
                    "close_equity": account.close_equity,
                    "holdings": {str(i): asdict(h) for i, h in account.held()},
                },
                "month": {"number": venue.charges.month, "units": venue.charges.month_units.tolist()},
            }
        )
        self._base.execute("COMMIT")
        desk.changed.clear()
        self._executions = len(desk.executions)

    def _put(self, values: dict[str, Any]) -> None:
        """Write those values that differ from what was written last."""
        for name, value in values.items():
            text = json.dumps(value)
            if self._written.get(name) != text:
                self._base.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, text))
                self._written[name] = text


def _settings_of(venue: Venue) -> dict[str, Any]:
    """List what has to be the same for a state to go on."""
    settings = venue.settings
    found: dict[str, Any] = {
        "account": settings.account,
        "fills": settings.fills,
        "fill_size": str(settings.fill_size),
        "costs": settings.costs.describe(),
        "spread_bps": settings.spread_bps,
        "latency_s": settings.latency_s,
        "prices": venue.market.base.content_hash,
        "seed": venue.market.seed,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain
