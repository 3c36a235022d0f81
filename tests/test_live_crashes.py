"""Crashes anywhere: all state is dropped and rebuilt from the journal; no order is sent twice, none is lost.

The crash is an exception that nothing catches, raised before or after any step that touches the world: reading an
event, asking the clock, sending or cancelling an order, writing the journal. `make kill` kills a
whole process instead.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from live_parts import BIDS, BRACKETS, BUSY, make_bundle, walk

from quantlab.broker.client import Client
from quantlab.costs import Costs
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.live.book import PROTECTIVE
from quantlab.live.desk import Desk
from quantlab.live.feed import Timing
from quantlab.live.journal import Journal, read_journal
from quantlab.live.ledger import Ledger
from quantlab.live.parity import compare
from quantlab.live.replay import collect
from quantlab.live.runner import Runner, Seams

pytestmark = pytest.mark.ib

FIRST = 12
"""Row that is decided first."""


class Crash(BaseException):
    """The process is gone; what follows is what a new one finds."""


class Fuse:
    """Burns down by one at every step that touches the world."""

    def __init__(self, length):
        self.length = length

    def burn(self):
        self.length -= 1
        if self.length < 0:
            raise Crash

    def around(self, step):
        def guarded(*args, **options):
            self.burn()
            result = step(*args, **options)
            self.burn()
            return result

        return guarded


def fragile_client(fuse, port):
    client = Client(port=port, client_id=1, allow_orders=True, messages_per_s=None)
    steps = ("next", "request_current_time", "place_order", "cancel_order", "executions", "positions")
    for name in (*steps, "open_orders"):
        setattr(client, name, fuse.around(getattr(client, name)))
    return client


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crashes")
    return make_bundle(folder, walk(40), source=BUSY, costs=Costs.percent(0.001), join="now")


@pytest.fixture(scope="module")
def protected(tmp_path_factory):
    folders = [(source, tmp_path_factory.mktemp("protected")) for source in (BRACKETS, BIDS)]
    costs = Costs.percent(0.001)
    return [make_bundle(folder, walk(40), source=source, costs=costs, cuts=4) for source, folder in folders]


def run_with_crashes(bundle, folder, rng, *, longest, seams=None):
    """Run to the end through as many crashes as it takes; return the gateway's view, compared, and the count."""
    bars = bundle.bars
    known = replace(bundle, folder=folder, bars=bars.take(slice(0, FIRST + 1)))
    crashes = 0
    day = str(np.datetime64(int(bars.session[FIRST + 1]), "D"))
    with Gateway(
        Market.of_bars(bars), fills="bars", costs=bundle.terms.costs, speed="max", start=day
    ) as gateway:
        while True:
            fuse = Fuse(rng.randint(1, longest))
            journal = Journal.open(folder / "journal.db", bundle.id, durable=False)
            journal.append = fuse.around(journal.append)
            runner = None
            try:
                runner = Runner(
                    known,
                    lambda fuse=fuse: fragile_client(fuse, gateway.port),
                    Ledger(known, journal),
                    timing=Timing.replay(),
                    until_ns=int(bars.time[-1]),
                    end_ns=int(bars.time[-1]),
                    seams=seams or Seams(),
                )
                runner.run()
            except Crash:
                crashes += 1
                assert crashes < 1_000, "the run does not get anywhere"
                if runner is not None:
                    runner.close()
                continue
            finally:
                journal.close()
            break
        done = collect(
            known, bars, gateway, folder / "journal.db", fills="bars", first=FIRST, client="", began=0.0
        )
        held = {p.symbol: p.quantity for p in gateway.positions()}
    return SimpleNamespace(report=compare(known, bars, done), done=done, held=held, crashes=crashes)


def assert_whole(outcome, folder):
    """Each decision once, each order once, and the journal's fills are the broker's."""
    refs = Counter(o.order_ref for o in outcome.done.orders)
    assert [r for r, n in refs.items() if n > 1] == []
    report = outcome.report
    assert report.differences == [], str(report.differences[:4])
    assert report.fill_differences == [], str(report.fill_differences[:4])
    entries = read_journal(folder / "journal.db")
    journaled = {
        e.body["exec_id"]: (e.body["quantity"], e.body["price"]) for e in entries if e.kind == "execution"
    }
    assert journaled == {x.exec_id: (x.quantity, x.price) for x in outcome.done.executions}
    decided = [e.body["time_ns"] for e in entries if e.kind == "decision"]
    assert len(decided) == len(set(decided)) == report.n_bars
    assert not [e for e in entries if e.kind in {"freeze", "missed", "blocked"}]
    for symbol in ("A", "B"):
        filled = sum(x.quantity for x in outcome.done.executions if x.symbol == symbol)
        assert filled == outcome.held.get(symbol, 0.0)


def test_five_hundred_crashes_double_nothing_and_lose_nothing(bundle, tmp_path):
    rng = random.Random(20120103)
    crashes = runs = 0
    while crashes < 500:
        folder = tmp_path / str(runs)
        folder.mkdir()
        outcome = run_with_crashes(bundle, folder, rng, longest=60)
        assert_whole(outcome, folder)
        crashes, runs = crashes + outcome.crashes, runs + 1
    assert runs < 120


@pytest.mark.parametrize("which", [0, 1], ids=["brackets", "bids"])
def test_crashes_leave_no_position_without_its_protection_and_no_order_twice(protected, which, tmp_path):
    rng = random.Random(20120201 + which)
    crashes = runs = orders = 0
    while crashes < 250:
        folder = tmp_path / str(runs)
        folder.mkdir()
        outcome = run_with_crashes(protected[which], folder, rng, longest=160)
        assert_whole(outcome, folder)
        protective = [o for o in outcome.done.orders if outcome.done.leg_of(o.order_ref) in PROTECTIVE]
        assert protective
        crashes, runs, orders = crashes + outcome.crashes, runs + 1, orders + len(outcome.done.orders)
    assert runs < 120
    assert orders > 40 * runs


class SendsFirst(Desk):
    """The order leaves before it is journaled."""

    def execute(self, decision, body, entries):
        held_back, intents = self._wanted(decision)
        from quantlab.live.book import WorkingOrder
        from quantlab.live.journal import Entry

        for entry in intents:
            names = ("ref", "symbol", "quantity", "order_id", "client_id", "bar_time_ns")
            self._place(WorkingOrder(**{k: entry.body[k] for k in names}))
        self._ledger.record(*entries, Entry("decision", body, str(decision.time_ns)), *held_back, *intents)


def test_without_the_intent_before_the_send_the_crashes_find_the_fault(bundle, tmp_path):
    rng = random.Random(5)
    found = []
    for run in range(6):
        folder = tmp_path / str(run)
        folder.mkdir()
        try:
            outcome = run_with_crashes(
                bundle, folder, rng, longest=80, seams=replace(Seams(), desk=SendsFirst)
            )
            assert_whole(outcome, folder)
        except AssertionError as error:
            found.append(str(error))
    assert found, "the fault was not found"


def test_the_same_run_sends_first_and_is_whole_as_long_as_nothing_crashes(bundle, tmp_path):
    # What the test above finds is the crash between send and journal, not the order of the two as such.
    outcome = run_with_crashes(
        bundle, tmp_path, random.Random(1), longest=10**9, seams=replace(Seams(), desk=SendsFirst)
    )
    assert outcome.crashes == 0
    assert_whole(outcome, tmp_path)
