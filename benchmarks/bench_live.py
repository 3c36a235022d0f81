"""The live loop: from the last tick of a bar to order bytes on the socket, and bars a second through the whole path.

Latency runs from the instant at which the simulated gateway hands over the update that closes the last asset's bar to
the instant at which the client has handed the bytes of an order to its socket. Between them lie the socket, decoding by
the official client, the queue, the signal on the whole history, sizing, limits, the journal on disk and encoding. The
floor is a bare official client that sends an order from its callback and does nothing else. Ends with 1 if a year of
daily bars of 20 assets takes more than 20 seconds, or an order is late by more than 100 ms in the median.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.bars import Bars
    from quantlab.live.bundle import Bundle

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "tests"))

from live_parts import make_bundle, walk  # noqa: E402  # the folder of tests has the made bundles

from quantlab.broker.client import Client  # noqa: E402
from quantlab.costs import Costs  # noqa: E402
from quantlab.gateway.market import Market  # noqa: E402
from quantlab.gateway.server import Gateway  # noqa: E402
from quantlab.live.desk import Desk  # noqa: E402
from quantlab.live.feed import Timing  # noqa: E402
from quantlab.live.journal import Journal  # noqa: E402
from quantlab.live.ledger import Ledger  # noqa: E402
from quantlab.live.parity import compare  # noqa: E402
from quantlab.live.replay import collect  # noqa: E402
from quantlab.live.runner import Runner, Seams  # noqa: E402
from quantlab.wire.messages import HistoricalDataUpdate  # noqa: E402

BUSY = '''\
import numpy as np

import quantlab as ql


@ql.strategy
def busy(bars, days=1):
    """The other way at every bar."""
    side = np.where(np.arange(bars.n_bars) % 2, 1.0, -1.0)
    return side[:, None] * np.ones(bars.n_assets)
'''

TREND = '''\
import quantlab as ql
from quantlab.signals import sma


@ql.strategy
def trend(bars, fast=3, slow=10):
    """Long while the fast average is above the slow one."""
    return sma(bars.close, fast) > sma(bars.close, slow)
'''

LIMIT_YEAR_S, LIMIT_LATENCY_MS = 20.0, 100.0
PATIENCE_S = 60.0


def client_of(gateway: Gateway) -> Client:
    """Client of a gateway, without pacing."""
    return Client(port=gateway.port, client_id=1, allow_orders=True, messages_per_s=None)


def symbols_of(n: int) -> tuple[str, ...]:
    """Names of so many assets."""
    return tuple(f"S{k:02d}" for k in range(n))


def milliseconds(ns: list[int]) -> dict[str, float]:
    """Median and 99th percentile of times in nanoseconds."""
    values = np.array(ns) / 1e6
    return {"median": float(np.median(values)), "p99": float(np.percentile(values, 99)), "n": len(values)}


# -- latency ---------------------------------------------------------------------------------------------


class Timed(Desk):
    """Notes when the bytes of an order have been handed over."""

    sent: list[int]

    def _place(self, order: Any) -> None:
        super()._place(order)
        self.sent.append(time.perf_counter_ns())


def minute_bundle(folder: Path, n_assets: int) -> tuple[Bundle, Bars]:
    """Bundle on minute bars of four sessions, and those bars."""
    daily = walk(4, symbols_of(n_assets), seed=3)
    minutes = Market.of_bars(daily).bars(list(symbols_of(n_assets)), "1 min")
    return make_bundle(folder, minutes, source=BUSY, costs=Costs.percent(0.0001), join="now"), minutes


def note_updates(gateway: Gateway) -> list[int]:
    """Note the times at which updates leave the gateway that begin a bar, and so end the one before."""
    updates: list[int] = []
    dates: dict[int, str] = {}

    def on_send(message: Any, _: Any) -> tuple[Any, ...]:
        if isinstance(message, HistoricalDataUpdate):
            known = dates.get(message.request_id)
            dates[message.request_id] = message.bar.date
            if known not in {None, message.bar.date}:
                updates.append(time.perf_counter_ns())
        return (message,)

    gateway.faults.on_send = on_send
    return updates


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing happens")
        time.sleep(0.0005)


def measure_loop(n_assets: int, n_bars: int) -> dict[str, Any]:
    """Time the whole loop: first and last order of a bar."""
    with tempfile.TemporaryDirectory() as place:
        bundle, bars = minute_bundle(Path(place), n_assets)
        day = str(np.datetime64(int(bars.session[-1]), "D"))
        known = replace(
            bundle, bars=bars.take(slice(0, int(np.searchsorted(bars.session, bars.session[-1]))))
        )
        Timed.sent = []
        with Gateway(Market.of_bars(bars), costs=Costs.zero(), speed="step", start=day) as gateway:
            running: list[Runner] = []

            def run() -> None:
                with Journal.open(Path(place) / "journal.db", bundle.id) as journal:
                    runner = Runner(
                        known,
                        lambda: client_of(gateway),
                        Ledger(known, journal),
                        timing=Timing(grace_s=1e6, poll_s=0.2),
                        seams=Seams(desk=Timed),
                    )
                    running.append(runner)
                    runner.run()

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            wait_for(lambda: len(Timed.sent) >= n_assets)
            wait_for(lambda: len(gateway.orders()) >= n_assets)
            runner = running[0]
            updates = note_updates(gateway)
            first: list[int] = []
            last: list[int] = []
            while len(first) < n_bars:
                updates.clear()
                before = len(Timed.sent)
                if not gateway.advance():
                    break
                if len(updates) == n_assets:
                    wait_for(lambda before=before: len(Timed.sent) >= before + n_assets)
                    # Time goes on when the gateway has them, or they would still stand at the next bar.
                    wait_for(lambda: len(gateway.orders()) >= len(Timed.sent))
                    first.append(Timed.sent[before] - updates[-1])
                    last.append(Timed.sent[before + n_assets - 1] - updates[-1])
            runner.stop()
            thread.join(PATIENCE_S)
    return {"first order": milliseconds(first[5:]), "last order": milliseconds(last[5:])}


def measure_floor(n_bars: int) -> dict[str, float]:
    """Time a bare official client that sends an order from its callback."""
    from ibapi.client import EClient
    from ibapi.contract import Contract
    from ibapi.order import Order
    from ibapi.wrapper import EWrapper

    sent: list[int] = []
    seen = SimpleNamespace(order_id=None, date="")

    class Bare(EWrapper, EClient):
        def __init__(self) -> None:
            EClient.__init__(self, self)

        def nextValidId(self, orderId: int) -> None:  # noqa: N802, N803  # the official client's names
            seen.order_id = orderId

        def historicalDataUpdate(self, reqId: int, bar: Any) -> None:  # noqa: ARG002, N802, N803  # the same
            if bar.date == seen.date:
                return
            seen.date = bar.date
            order = Order()
            order.action, order.orderType, order.totalQuantity, order.tif = "BUY", "MKT", 1, "DAY"
            for flag in ("eTradeOnly", "firmQuoteOnly"):
                if hasattr(order, flag):
                    setattr(order, flag, False)
            self.placeOrder(seen.order_id, contract, order)
            sent.append(time.perf_counter_ns())
            seen.order_id += 1

    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = "S00", "STK", "SMART", "USD"
    daily = walk(4, ("S00",), seed=3)
    bars = Market.of_bars(daily).bars(["S00"], "1 min")
    day = str(np.datetime64(int(bars.session[-1]), "D"))
    found: list[int] = []
    with Gateway(Market.of_bars(bars), costs=Costs.zero(), speed="step", start=day) as gateway:
        updates = note_updates(gateway)
        app = Bare()
        app.connect("127.0.0.1", gateway.port, 5)
        threading.Thread(target=app.run, daemon=True).start()
        wait_for(lambda: seen.order_id is not None)
        app.reqHistoricalData(1, contract, "", "3600 S", "1 min", "TRADES", 1, 2, True, [])
        time.sleep(0.3)
        while len(found) < n_bars:
            updates.clear()
            before = len(sent)
            if not gateway.advance():
                break
            if updates:
                wait_for(lambda before=before: len(sent) > before)
                found.append(sent[before] - updates[-1])
        app.disconnect()
    return milliseconds(found[5:])


# -- bars a second ---------------------------------------------------------------------------------------


def measure_year(n_assets: int, n_bars: int, source: str, *, durable: bool = True) -> dict[str, float]:
    """Time daily bars through the whole path; they are compared with the backtest, or nothing is told."""
    bars = walk(n_bars + 20, symbols_of(n_assets), seed=5)
    first = 19
    with tempfile.TemporaryDirectory() as place:
        bundle = make_bundle(
            Path(place), bars, source=source, costs=Costs.percent(0.0001), join="now", cuts=4
        )
        known = replace(bundle, bars=bars.take(slice(0, first + 1)))
        day = str(np.datetime64(int(bars.session[first + 1]), "D"))
        journal_path = Path(place) / "journal.db"
        with Gateway(
            Market.of_bars(bars), fills="bars", costs=bundle.terms.costs, speed="max", start=day
        ) as gateway:
            with Journal.open(journal_path, bundle.id, durable=durable) as journal:
                runner = Runner(
                    known,
                    lambda: client_of(gateway),
                    Ledger(known, journal),
                    timing=Timing.replay(),
                    until_ns=int(bars.time[-1]),
                    end_ns=int(bars.time[-1]),
                )
                began = time.perf_counter()
                runner.run()
                seconds = time.perf_counter() - began
            done = collect(
                known, bars, gateway, journal_path, fills="bars", first=first, client="", began=began
            )
        report = compare(known, bars, done)
    if not report.ok:
        raise SystemExit(f"parity failed, nothing is timed: {report.differences[:3]}")
    return {"seconds": seconds, "bars a second": report.n_bars / seconds, "orders": report.n_orders}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bars", type=int, default=120, help="bars whose latency is measured")
    parser.add_argument("--quick", action="store_true", help="few bars, no promise tested")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    n_bars = 25 if options.quick else options.bars
    year = 40 if options.quick else 252
    found = {
        "latency ms": {
            "bare official client, 1 asset": measure_floor(n_bars),
            "1 asset": measure_loop(1, n_bars),
            "20 assets": measure_loop(20, n_bars),
        },
        f"{year} daily bars": {
            "1 asset": measure_year(1, year, TREND),
            "20 assets": measure_year(20, year, TREND),
            "20 assets, journal not on disk": measure_year(20, year, TREND, durable=False),
            "20 assets, 20 orders a bar": measure_year(20, year, BUSY),
        },
    }
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for heading, rows in found.items():
            print(heading)
            for name, row in rows.items():
                print(f"  {name:<32}{row}")
    slow = found[f"{year} daily bars"]["20 assets"]["seconds"] > LIMIT_YEAR_S
    late = found["latency ms"]["20 assets"]["first order"]["median"] > LIMIT_LATENCY_MS
    return 1 if not options.quick and (slow or late) else 0


if __name__ == "__main__":
    sys.exit(main())
