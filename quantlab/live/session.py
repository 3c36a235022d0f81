"""A run with everything it needs around it: a gateway if it is simulated, the journal, the clock of the place."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from quantlab.broker.accounts import REAL_PORTS
from quantlab.errors import LiveError, UnknownNameError
from quantlab.live.feed import Timing
from quantlab.live.journal import Journal
from quantlab.live.ledger import Ledger
from quantlab.live.replay import FILLS, served_bars
from quantlab.live.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quantlab.bars import Bars
    from quantlab.broker.client import Client
    from quantlab.live.bundle import Bundle

__all__ = ["at_gateway", "simulated"]

STATE = "simulated-account.json"
"""Memory of a simulated gateway, in the bundle's folder: the account outlives the process, as a real one does."""


@contextmanager
def simulated(
    bundle: Bundle,
    *,
    client_id: int = 1,
    fills: str = "quotes",
    until: Any = None,
    say: Callable[[str], None],
) -> Iterator[Runner]:
    """Give a runner at a gateway that is simulated here, in time that passes as fast as the run decides.

    The gateway serves the bars that the bundle's came from, and starts where the bundle's data end.

    Raises
    ------
    LiveError
        If no bars follow the bundle's.
    """
    import numpy as np

    from quantlab.broker.client import Client
    from quantlab.gateway.market import Market
    from quantlab.gateway.server import Gateway

    if fills not in FILLS:
        raise UnknownNameError("way to fill", fills, FILLS)
    bars = served_bars(bundle)
    later = bars.session[bars.session > bundle.bars.session[-1]]
    if later.size == 0:
        raise LiveError(
            f"the bundle's data reach to the end of what can be simulated ({bundle.bars.index[-1]}): there is nothing "
            "left to trade. Promote with --end some time before, and the rest is traded as if it were the future."
        )
    last = _last_ns(bars, until)
    with (
        Gateway(
            Market.of_bars(bars),
            fills=fills,
            bar_size=bars.bar_size,
            costs=bundle.terms.costs,
            speed="max",
            start=str(np.datetime64(int(later[0]), "D")),
            state=bundle.folder / STATE,
            cash=max(10.0 * bundle.terms.cash, 1_000_000.0),
        ) as gateway,
        Journal.open(bundle.journal_path, bundle.id) as journal,
    ):
        say(f"simulated gateway at {gateway.address}, fills by {fills}, up to {bars.index[-1]}")

        def make_client() -> Client:
            return Client(port=gateway.port, client_id=client_id, allow_orders=True, messages_per_s=None)

        yield Runner(
            bundle,
            make_client,
            Ledger(bundle, journal),
            timing=Timing.replay(),
            until_ns=last,
            end_ns=last,
            say=say,
        )


@contextmanager
def at_gateway(
    bundle: Bundle,
    host: str,
    port: int,
    *,
    client_id: int = 1,
    until: Any = None,
    driven: bool = False,
    say: Callable[[str], None],
) -> Iterator[Runner]:
    """Give a runner at TWS, IB Gateway or a simulated gateway.

    Parameters
    ----------
    driven : bool
        The gateway's time stands still until it is asked for.

    Raises
    ------
    LiveError
        For a port of real money.
    """
    from quantlab.broker.client import Client

    if port in REAL_PORTS:
        raise LiveError(
            f"port {port} serves real-money accounts; 'quantlab paper' trades paper money only. Paper accounts are at "
            "7497 (TWS) and 4002 (IB Gateway), see docs/ib-setup.md."
        )
    last = None if until is None else _until_ns(bundle, until)
    with Journal.open(bundle.journal_path, bundle.id) as journal:

        def make_client() -> Client:
            rate = None if driven else 45.0
            return Client(host, port, client_id, allow_orders=True, messages_per_s=rate)

        yield Runner(
            bundle,
            make_client,
            Ledger(bundle, journal),
            timing=Timing.replay() if driven else Timing(),
            until_ns=last,
            end_ns=last,
            say=say,
            pause=time.sleep,
        )


def _last_ns(bars: Bars, until: Any) -> int:
    rows = bars.rows(None, until)
    return int(bars.time[rows.stop - 1])


def _until_ns(bundle: Bundle, until: Any) -> int:
    """Close of the last session up to a day, which may be in the future."""
    import pandas as pd

    from quantlab.barsize import DAY_NS
    from quantlab.data.sessions import sessions_between

    day = int(pd.Timestamp(until).normalize().as_unit("ns").value // DAY_NS)
    closes = sessions_between(bundle.calendar, day - 14, day).close
    return int(closes[-1])
