"""A desk with its journal, against a broker that says what a test puts into it."""

from __future__ import annotations

import numpy as np

from quantlab.broker import events as ev
from quantlab.broker.contracts import ContractId
from quantlab.live.decision import Decision, decision_to_body
from quantlab.live.desk import Desk
from quantlab.live.journal import Journal
from quantlab.live.ledger import Ledger

ACCOUNT = "DU1"
CONTRACTS = {"A": ContractId(1, "A"), "B": ContractId(2, "B")}
DAY = 15_400


class Script:
    """A connected client whose answers are lists."""

    client_id = 1

    def __init__(self):
        self.placed, self.cancelled, self.tickets = [], [], []
        self.open, self.fills, self.done, self.held = [], [], [], []

    def request_positions(self):
        pass

    def open_orders(self, everyone=True):
        return tuple(self.open)

    def executions(self):
        return tuple(self.fills)

    def completed_orders(self):
        return tuple(self.done)

    def positions(self):
        return tuple(self.held)

    def place_order(self, order_id, contract, ticket):
        self.placed.append((order_id, contract.symbol, ticket.quantity, ticket.order_ref))
        self.tickets.append(ticket)

    def cancel_order(self, order_id):
        self.cancelled.append(order_id)


class Stage:
    """A desk with its journal and a broker that says what is put into it."""

    def __init__(self, folder, bundle, client=None):
        self.bundle, self.client, self.said = bundle, client or Script(), []
        self.journal = Journal.open(folder / "journal.db", bundle.id, durable=False)
        self.ledger = Ledger(bundle, self.journal)
        self.bar = 0
        self.connect()

    def connect(self):
        self.desk = Desk(
            self.bundle,
            self.ledger,
            self.client,
            account=ACCOUNT,
            contracts=CONTRACTS,
            next_order_id=1,
            say=self.said.append,
        )
        return self.desk.reconcile()

    @property
    def book(self):
        return self.ledger.book

    def decide(
        self, target, quantity, *, close=(100.0, 50.0), equity=100_000.0, session=None, shapes=(), **state
    ):
        """Decide a bar with these targets and quantities of A and B; shapes are those of their orders."""
        self.bar += 1
        close = np.array(close, float)
        position = np.array([self.book.assets[s].position for s in "AB"])
        pending = np.array([self.book.pending(s) for s in "AB"])
        before = np.array([self.book.assets[s].last_target for s in "AB"])
        target = np.array(target, float)
        changed = target != before
        decision = Decision(
            time_ns=self.bar * 10**9 + DAY * 86_400 * 10**9,
            session=DAY + self.bar if session is None else session,
            signal=target,
            target=target,
            joined=np.ones(2, bool),
            last_signal=target,
            last_target=target,
            quantity=np.array(quantity, float),
            outcome=changed.astype(np.int64),
            position=position,
            pending=pending,
            close=close,
            mark=np.nan_to_num(close, nan=100.0),
            cash=self.book.cash,
            equity=equity,
            shapes=shapes,
            **self.state(target, state) if shapes else {},
        )
        self.desk.execute(decision, decision_to_body(decision, ("A", "B"), 0, decision.time_ns), [])
        return decision

    @staticmethod
    def state(target, given):
        """State of orders inside the bar after a decision."""
        flags = {name: np.zeros(2, bool) for name in ("stopped", "renew")}
        return {"target_before": target, **flags, **{k: np.array(v, bool) for k, v in given.items()}}

    def order(self, k=-1):
        return list(self.book.orders.values())[k]

    def report(self, order, quantity, number, price=100.0, version="01"):
        """An execution of an order, as the broker tells it; positions follow."""
        fill = ev.Execution(
            -1, f"0001.000{number}.01.{version}", order.order_id, 6 + order.order_id, 1, order.ref, ACCOUNT,
            order.symbol, CONTRACTS[order.symbol], quantity, price, 10**18, "", abs(quantity), price,
        )  # fmt: skip
        self.client.fills.append(fill)
        return fill

    def hold(self, symbol, quantity):
        self.client.held = [h for h in self.client.held if h.contract.symbol != symbol]
        self.client.held.append(ev.PositionHeld(ACCOUNT, CONTRACTS[symbol], quantity, 0.0))
        self.desk.on_event(self.client.held[-1])

    def status(self, order, status):
        perm_id = 6 + order.order_id
        self.desk.on_event(ev.OrderStatus(order.order_id, status, 0, 0, None, perm_id, 0, None, 1, ""))

    def kinds(self, *kinds):
        return list(self.journal.entries(*kinds))
