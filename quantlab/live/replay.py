"""A period replayed through the real path: runner, official `ibapi`, a socket, and the simulated gateway."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import LiveError
from quantlab.gateway.grid import CLOSE
from quantlab.live.book import ORDER, PROTECTIVE, order_ref
from quantlab.live.feed import Timing
from quantlab.live.journal import Journal, read_journal
from quantlab.live.ledger import Ledger
from quantlab.live.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.gateway.server import Gateway
    from quantlab.live.bundle import Bundle

__all__ = ["FILLS", "Part", "Replay", "collect", "is_before", "period", "replay", "served_bars"]

FILLS = ("bars", "quotes")
"""How the gateway may fill."""

SESSIONS = 252
"""Sessions that are replayed if nothing is said."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What came of a replay, as the gateway saw it, and what the journal says.

    Parameters
    ----------
    bundle : str
        Id of the bundle.
    symbols : tuple of str
        Its assets.
    fills : {"bars", "quotes"}
        How the gateway filled.
    client : str
        Which `ibapi`, and the protocol version spoken.
    first_ns : int
        Close of the bar that had to be decided first: the newest one when the run began.
    orders, executions : sequence
        The gateway's records.
    decisions : dict of int to dict
        The journal's decisions by the close of their bar.
    seconds : float
        Wall time.
    bars_ns : tuple of int
        Closes of the bars that a reference may name.
    n_held_back : int
        Orders that limits, a freeze or a halt held back.
    """

    bundle: str
    symbols: tuple[str, ...]
    fills: str
    client: str
    first_ns: int
    orders: Sequence[Any]
    executions: Sequence[Any]
    decisions: dict[int, dict[str, Any]]
    seconds: float
    bars_ns: tuple[int, ...] = field(default=())
    n_held_back: int = 0

    @cached_property
    def _bar_of_decision(self) -> dict[str, int]:
        refs = ((order_ref(self.bundle, t, s), t) for t in self.bars_ns for s in self.symbols)
        return {ref.rpartition("-")[0]: t for ref, t in refs}

    def bar_of(self, ref: str) -> int:
        """Close of the bar that an order's reference names; 0 for a reference that is not of this bundle."""
        decision, _, leg = ref.rpartition("-")
        return self._bar_of_decision.get(decision, 0) if leg.isdigit() else 0

    def ref(self, time_ns: int, symbol: str) -> str:
        """Name the order of a decision."""
        return order_ref(self.bundle, time_ns, symbol)

    @staticmethod
    def leg_of(ref: str) -> int:
        """Leg that an order's reference names, see `quantlab.live.book`."""
        leg = ref.rpartition("-")[2]
        return int(leg) if leg.isdigit() else 0

    @staticmethod
    def part_of(ref: str) -> int:
        """Give what an order is to the backtest: its leg if it is protective, else 0, the decision's own order."""
        leg = Replay.leg_of(ref)
        return leg if leg in PROTECTIVE else ORDER

    def orders_of(self, time_ns: int) -> list[Any]:
        """Orders that the gateway received for the decision of a bar."""
        return self._orders_by_bar.get(time_ns, [])

    @cached_property
    def _orders_by_bar(self) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {}
        for order in self.orders:
            found.setdefault(self.bar_of(order.order_ref), []).append(order)
        return found

    def executions_by_decision(self) -> dict[Part, list[Any]]:
        """Group fills by decision bar, symbol, and the decision's own order or a protective one."""
        found: dict[Part, list[Any]] = {}
        for fill in self.executions:
            key = self.bar_of(fill.order_ref), fill.symbol, self.part_of(fill.order_ref)
            found.setdefault(key, []).append(fill)
        return found

    def book_at(
        self, time_ns: int, symbols: Sequence[str], multiplier: NDArray[np.float64], cash: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Positions, units on their way and cash at the decision of a bar, from the gateway's records alone.

        What protective orders may do is not on its way. See `is_before` for the fills that count.
        """
        position, pending = np.zeros(len(symbols)), np.zeros(len(symbols))
        column = {s: i for i, s in enumerate(symbols)}
        for order in self.orders:
            ended = order.status in DEAD and order.done_ns is not None and order.done_ns <= time_ns
            ours = self.bar_of(order.order_ref) < time_ns and order.symbol in column
            if ours and not ended and self.part_of(order.order_ref) == ORDER:
                pending[column[order.symbol]] += order.quantity
        for fill in self.executions:
            if is_before(fill, time_ns) and fill.symbol in column:
                i = column[fill.symbol]
                position[i] += fill.quantity
                cash -= fill.quantity * fill.price * multiplier[i]
                cash -= fill.commission
                if self.part_of(fill.order_ref) == ORDER:
                    pending[i] -= fill.quantity
        return position, pending, cash


Part = tuple[int, str, int]
"""Close of the decision bar, symbol, and 0 or the leg of a protective order."""


def is_before(fill: Any, time_ns: int) -> bool:
    """Whether a fill was made before the decision of the bar that closes then: the next may open at that instant."""
    return (fill.time_ns, fill.phase) <= (time_ns, CLOSE)


DEAD = ("Cancelled", "ApiCancelled", "Inactive")
"""Statuses of orders that will not fill any more."""


def replay(
    bundle: Bundle,
    bars: Bars,
    *,
    fills: str = "bars",
    start: Any = None,
    end: Any = None,
    prepare: Callable[[Gateway, Runner], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Replay:
    """Run a bundle over a period in simulated time.

    Parameters
    ----------
    bundle : Bundle
        What is run; its own bars are what the run knows at the beginning, up to `start`.
    bars : Bars
        What the gateway serves, before, during and after the period.
    fills : {"bars", "quotes"}
        By the engine's rule at the next open, or at quotes with spread and latency.
    start, end : str or datetime, optional
        The last bar of the session before `start` is decided first, the last one up to `end` last. Default: the last
        year of sessions.
    prepare : callable, optional
        Called with gateway and runner before the run: tests put their faults in place.
    say : callable, optional
        Takes one line for people.

    Raises
    ------
    LiveError
        If the period has no bar to decide.
    """
    from quantlab.broker.client import Client
    from quantlab.gateway.market import Market
    from quantlab.gateway.server import Gateway

    first, last = period(bars, start, end)
    began = time.perf_counter()
    known = _cut(bundle, int(bars.time[first]))
    with (
        tempfile.TemporaryDirectory(prefix="quantlab-replay-") as folder,
        Gateway(
            Market.of_bars(bars),
            fills=fills,
            bar_size=bars.bar_size,
            costs=bundle.terms.costs,
            speed="max",
            start=str(np.datetime64(int(bars.session[first + 1]), "D")),
            cash=max(10.0 * bundle.terms.cash, 1_000_000.0),
        ) as gateway,
    ):

        def make_client() -> Client:
            return Client(port=gateway.port, client_id=1, allow_orders=True, messages_per_s=None)

        with Journal.open(Path(folder) / "journal.db", bundle.id, durable=False) as journal:
            runner = Runner(
                known,
                make_client,
                Ledger(known, journal),
                timing=Timing.replay(),
                until_ns=int(bars.time[last]),
                end_ns=int(bars.time[last]),
                say=say or _silent,
            )
            if prepare is not None:
                prepare(gateway, runner)
            runner.run()
            spoken = f"{client_name()}, protocol version {runner.server_version}"
        return collect(
            known,
            bars,
            gateway,
            Path(folder) / "journal.db",
            fills=fills,
            first=first,
            client=spoken,
            began=began,
        )


def collect(
    bundle: Bundle,
    bars: Bars,
    gateway: Gateway,
    journal: Path,
    *,
    fills: str,
    first: int,
    client: str,
    began: float,
) -> Replay:
    """Take what a gateway and a journal hold, for `quantlab.live.parity.compare`."""
    decisions = {e.body["time_ns"]: e.body for e in read_journal(journal, "decision")}
    return Replay(
        bundle=bundle.id,
        symbols=bundle.symbols,
        fills=fills,
        client=client,
        first_ns=int(bars.time[first]),
        orders=gateway.orders(),
        executions=gateway.executions(),
        decisions=decisions,
        seconds=time.perf_counter() - began,
        bars_ns=tuple(bars.time.tolist()),
        n_held_back=len(read_journal(journal, "blocked")),
    )


def served_bars(bundle: Bundle) -> Bars:
    """Bars that a simulated gateway serves for a bundle: those that its own came from, or its own.

    The sample and catalogs are read again, so that what came after the bundle's bars is there; what they say of the
    bundle's own time must still be the same.

    Raises
    ------
    LiveError
        If it is not.
    """
    from quantlab.data.source import load_source
    from quantlab.errors import QuantlabError
    from quantlab.gateway.market import Market

    source = bundle.content["data"]["source"]
    try:
        whole = load_source(source)[list(bundle.symbols)]
    except (QuantlabError, OSError):
        return bundle.bars
    bars = Market.of_bars(whole).base
    own = bundle.bars
    first = int(np.searchsorted(bars.time, own.time[0]))
    part = bars.take(slice(first, first + own.n_bars))
    if part.shape != own.shape or not np.array_equal(part.close, own.close, equal_nan=True):
        raise LiveError(
            f"the bars that the bundle came from ({source}) are not the same any more; promote again from them."
        )
    return bars.take(slice(first, bars.n_bars))


def _silent(_: str) -> None:
    """Say nothing."""


def client_name() -> str:
    """Name and version of the installed `ibapi`."""
    import ibapi

    return f"ibapi {getattr(ibapi, '__version__', None) or ibapi.get_version_string()}"


def period(bars: Bars, start: Any, end: Any) -> tuple[int, int]:
    """First and last row that are decided: the last bar of the session before `start`, and the last one up to `end`.

    Raises
    ------
    LiveError
        If there is none.
    """
    last = bars.n_bars - 1 if end is None else bars.rows(None, end).stop - 1
    if start is None:
        sessions = np.unique(bars.session[: last + 1])
        day = int(sessions[max(len(sessions) - SESSIONS, 1)])
    else:
        day = int(bars.session[bars.rows(start, None).start])
    first = int(np.searchsorted(bars.session, day)) - 1
    if not 0 < first < last:
        raise LiveError(
            f"there is nothing to replay between {start or 'a year before the end'} and {end or 'the end'}: these bars "
            f"run from {bars.index[0]} to {bars.index[-1]}, and a session before the start has to be known."
        )
    return first, last


def _cut(bundle: Bundle, until_ns: int) -> Bundle:
    """Give the bundle as it would have been: it knows no bar after `until_ns`."""
    from dataclasses import replace

    rows = int(np.searchsorted(bundle.bars.time, until_ns, "right"))
    return bundle if rows >= bundle.bars.n_bars else replace(bundle, bars=bundle.bars.take(slice(0, rows)))
