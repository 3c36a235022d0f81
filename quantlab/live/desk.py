"""The desk: orders wanted against limits, freezes and halts, journaled, then sent; and what the broker says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.broker.codes import POLICIES
from quantlab.broker.events import (
    CallbackFailure,
    Commission,
    Execution,
    Notice,
    OrderOpen,
    OrderStatus,
    PositionHeld,
)
from quantlab.broker.orders import Ticket
from quantlab.engine.files import write_text
from quantlab.kernels import order as od
from quantlab.live.book import order_ref
from quantlab.live.journal import Entry
from quantlab.live.reconcile import (
    UNITS_TOLERANCE,
    Report,
    commission_to_entry,
    execution_to_entry,
    foreign_orders,
    positions_of,
    positions_to_disagreements,
    report_to_entries,
    unknown_orders,
)
from quantlab.live.risk import Exposure, order_to_breach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quantlab.broker.client import Client
    from quantlab.broker.contracts import ContractId
    from quantlab.broker.events import Event
    from quantlab.live.book import Book, WorkingOrder
    from quantlab.live.bundle import Bundle
    from quantlab.live.decision import Decision
    from quantlab.live.ledger import Ledger

__all__ = ["Desk"]

CANCELLED, FILLED = frozenset({"Cancelled", "ApiCancelled"}), "Filled"
ORDER_CANCELLED, DUPLICATE_ID = 202, 103

USUAL = frozenset({399})
"""Codes that come with every market order sent after the close: nothing to tell."""

OFFLINE, ONLINE = frozenset({1100, 2110}), frozenset({1101, 1102})
"""Codes of TWS losing Interactive Brokers, and of having it back."""

REPLACING = (od.ORDERED, od.CUT_TO_FLAT)
"""Outcomes that replace a standing order."""


class Desk:
    """Everything that has to do with orders, on one connection.

    Parameters
    ----------
    bundle : Bundle
        Whose orders.
    ledger : Ledger
        Journal and book.
    client : Client
        Connected.
    account : str
        Account that is traded.
    contracts : mapping of str to ContractId
        Contract of each symbol, with its number.
    next_order_id : int
        As the broker greeted; the journal may know that more were used.
    say : callable
        Takes one line for people.
    """

    def __init__(
        self,
        bundle: Bundle,
        ledger: Ledger,
        client: Client,
        *,
        account: str,
        contracts: Mapping[str, ContractId],
        next_order_id: int,
        say: Callable[[str], None],
    ) -> None:
        self._bundle, self._ledger, self._client = bundle, ledger, client
        self._account, self.contracts, self._say = account, contracts, say
        self._numbers = {c.con_id: s for s, c in contracts.items()}
        self._held = dict.fromkeys(bundle.symbols, 0.0)
        self._said_filled: set[str] = set()
        self._offline: str | None = None
        self.must_reconcile = False
        self._steps: dict[type, Callable[[Any], None]] = {
            Execution: self._execution,
            Commission: self._commission,
            OrderOpen: self._open,
            OrderStatus: self._status,
            PositionHeld: self._position,
            Notice: self._notice,
            CallbackFailure: self._failure,
        }
        self._next_id = max(next_order_id, ledger.book.max_order_id + 1)

    @property
    def _book(self) -> Book:
        return self._ledger.book

    # -- after a connection ----------------------------------------------------------------------------

    def reconcile(self) -> list[WorkingOrder]:
        """Ask the broker for everything, bring the book to it, freeze what disagrees.

        Returns
        -------
        list of WorkingOrder
            Orders of the journal that never arrived at the broker.

        Raises
        ------
        NoAnswerError
            If an answer does not come to its end: nothing is concluded from silence.
        """
        client = self._client
        client.request_positions()
        report = Report(
            open_orders=client.open_orders(everyone=True),
            executions=client.executions(),
            completed=client.completed_orders(),
            positions=client.positions(),
        )
        self._ledger.record_all(report_to_entries(self._book, report))
        self._held = positions_of(report.positions, self._numbers, self._account)
        unknown = unknown_orders(self._book, report)
        for order in [o for o in unknown if o.status]:
            # It was at the broker once and is gone: cancelled or expired. What it filled is in the executions.
            self._end(order, "cancelled", "the broker does not have it any more")
        for symbol, why in positions_to_disagreements(self._book, self._held).items():
            self._freeze(symbol, why)
        for foreign in foreign_orders(self._bundle.id, self._bundle.symbols, report):
            self._freeze(
                foreign.contract.symbol,
                f"an order of somebody else stands on it ({foreign.action} {abs(foreign.quantity):g}, reference "
                f"{foreign.order_ref or 'none'}); one bundle owns an asset",
            )
        self._thaw_what_agrees()
        self._offline, self.must_reconcile = None, False
        return [o for o in unknown if not o.status]

    def _thaw_what_agrees(self) -> None:
        """Trade assets again that were frozen for a disagreement that is gone."""
        agreed = positions_to_disagreements(self._book, self._held)
        for symbol, state in self._book.assets.items():
            if state.frozen is not None and symbol not in agreed and "broker holds" in state.frozen:
                self._ledger.record(Entry("thaw", {"symbol": symbol, "reason": "book and broker agree"}))

    def send_late(self, order: WorkingOrder, newest_ns: int) -> None:
        """Send an order that never arrived, if its bar still is the newest closed one; else it was missed.

        It goes out under the id and the reference that the journal gave it: should it have arrived after all, the
        broker refuses the second one.
        """
        halted = self._stop_reason()
        if order.bar_time_ns != newest_ns or halted or self._book.assets[order.symbol].frozen:
            why = (
                "a later bar has closed"
                if order.bar_time_ns != newest_ns
                else halted or "the asset is frozen"
            )
            self._say(f"missed: {order.ref} was not sent in time: {why}")
            self._end(order, "missed", why)
            return
        self._place(order)

    def drop_late(self, newest_ns: int) -> None:
        """Give up what waited for an older order to end, where its bar is not the newest any more."""
        for symbol, wanted in list(self._book.wanted.items()):
            if wanted["bar_time_ns"] != newest_ns:
                reason = "missed: a later bar has closed"
                self._ledger.record(self._blocked(wanted["ref"], symbol, 0.0, reason, wanted["before"]))

    # -- a decision --------------------------------------------------------------------------------------

    def execute(self, decision: Decision, body: dict[str, Any], entries: list[Entry]) -> None:
        """Journal a decision with the orders that it comes to, in one step; then send them.

        Parameters
        ----------
        decision : Decision
            What was decided.
        body : dict
            The same as what is journaled.
        entries : list of Entry
            What belongs into the same step, before the decision.
        """
        halted = self._stop_reason() or self._halt_on_loss(decision)
        held_back, intents = self._wanted(decision, halted)
        self._ledger.record(*entries, Entry("decision", body, str(decision.time_ns)), *held_back, *intents)
        self._cancel_replaced(decision)
        for entry in intents:
            self._place(self._book.orders[entry.body["ref"]])

    def _wanted(self, decision: Decision, halted: str | None) -> tuple[list[Entry], list[Entry]]:
        """Entries of orders that are held back, and intents of those that go out now.

        An order whose asset still has an older one standing is neither: it waits for that one to end.
        """
        held_back: list[Entry] = []
        intents: list[Entry] = []
        units = np.array([x.multiplier for x in self._bundle.instruments]) * np.nan_to_num(decision.close)
        on_way = decision.position + decision.pending
        gross, n_sent = float((np.abs(on_way) * units).sum()), self._book.sent_in(decision.session)
        for i, symbol in enumerate(self._bundle.symbols):
            quantity = float(decision.quantity[i])
            if quantity == 0.0:
                continue
            state, standing = self._book.assets[symbol], self._book.working(symbol)
            position = float(decision.position[i])
            exposure = Exposure(position, float(units[i]), gross, n_sent)
            stop = halted or state.frozen
            reason = stop or order_to_breach(quantity, exposure, self._bundle.terms.limits)
            ref = order_ref(self._bundle.id, decision.time_ns, symbol)
            if reason:
                # What a halt or a freeze holds back is wanted again at the next bar; what a limit refuses is not.
                before = state.last_target if stop else None
                held_back.append(self._blocked(ref, symbol, quantity, reason, before))
                self._say(f"held back: {quantity:+g} {symbol}: {reason}")
                continue
            gross += (abs(position + quantity) - abs(position)) * float(units[i])
            n_sent += 1
            if not standing:
                wanted = {
                    "ref": ref,
                    "bar_time_ns": decision.time_ns,
                    "session": decision.session,
                    "before": state.last_target,
                }
                intents.append(self._intent(wanted, symbol, quantity))
        return held_back, intents

    def _cancel_replaced(self, decision: Decision) -> None:
        """Cancel standing orders of assets that have a newer decision."""
        for i, symbol in enumerate(self._bundle.symbols):
            if decision.outcome[i] in REPLACING:
                for standing in self._book.working(symbol):
                    if standing.bar_time_ns != decision.time_ns:
                        self._client.cancel_order(standing.order_id)

    def _send_wanted(self) -> None:
        """Send what waited for an older order of its asset to end, sized by what is held now."""
        for symbol, wanted in list(self._book.wanted.items()):
            if self._book.working(symbol):
                continue
            quantity = wanted["desired"] - self._book.assets[symbol].position
            reason = self._stop_reason() or self._book.assets[symbol].frozen
            if abs(quantity) <= UNITS_TOLERANCE:
                reason = "nothing is left to be ordered"
            if reason:
                self._ledger.record(self._blocked(wanted["ref"], symbol, quantity, reason, wanted["before"]))
                continue
            self._ledger.record(self._intent(wanted, symbol, quantity))
            self._place(self._book.orders[wanted["ref"]])

    def _intent(self, wanted: Mapping[str, Any], symbol: str, quantity: float) -> Entry:
        body = {
            "ref": wanted["ref"],
            "symbol": symbol,
            "quantity": quantity,
            "order_id": self._next_id,
            "client_id": self._client.client_id,
            "bar_time_ns": wanted["bar_time_ns"],
            "session": wanted["session"],
            "before": wanted["before"],
            "order_type": "MKT",
        }
        self._next_id += 1
        return Entry("intent", body, wanted["ref"])

    @staticmethod
    def _blocked(ref: str, symbol: str, quantity: float, reason: str, before: float | None) -> Entry:
        body = {"ref": ref, "symbol": symbol, "quantity": quantity, "reason": reason, "before": before}
        return Entry("blocked", body, ref)

    def _place(self, order: WorkingOrder) -> None:
        """Send one journaled order."""
        ticket = Ticket(
            order.quantity, order_type="MKT", tif="DAY", order_ref=order.ref, account=self._account
        )
        self._client.place_order(order.order_id, self.contracts[order.symbol], ticket)
        self._say(f"sent: {order.quantity:+g} {order.symbol}  ({order.ref})")

    # -- halts and freezes -------------------------------------------------------------------------------

    def _stop_reason(self) -> str | None:
        """Reason why nothing is traded at all: a halt, or a TWS that is cut off."""
        return self._halt_reason() or self._offline

    def _halt_reason(self) -> str | None:
        """Reason of a halt, from the file or the journal; a file that appeared or went is journaled."""
        path, known = self._bundle.halt_path, self._book.halted
        if path.exists():
            reason = path.read_text(encoding="utf-8").strip() or "halted by its file"
            if known is None:
                self._ledger.record(Entry("halt", {"reason": reason}))
                self._say(f"halted: {reason}")
                for order in self._book.working():
                    self._client.cancel_order(order.order_id)
            return reason
        if known is not None:
            self._ledger.record(Entry("resume", {}))
            self._say("the halt is over")
        return None

    def _halt_on_loss(self, decision: Decision) -> str | None:
        """Halt the run where equity fell too far since the last session; the reason, if it did."""
        book, limit = self._book, self._bundle.terms.limits.max_daily_loss
        before = book.equity_at[1] if book.equity_at[0] not in {-1, decision.session} else book.equity_before
        loss = before - decision.equity
        if loss <= limit:
            return None
        reason = f"equity fell by {loss:,.2f} in a session, max_daily_loss is {limit:,.2f}"
        write_text(self._bundle.halt_path, reason + "\n")
        return self._halt_reason()

    def _freeze(self, symbol: str, reason: str) -> None:
        if self._book.assets[symbol].frozen is None:
            self._ledger.record(Entry("freeze", {"symbol": symbol, "reason": reason}))
            self._say(f"frozen: {symbol}: {reason}")

    def _end(self, order: WorkingOrder, how: str, text: str) -> None:
        if order.ended is None:
            self._ledger.record(Entry("ended", {"ref": order.ref, "how": how, "text": text}, order.ref))

    # -- what comes back ---------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take one event of the broker."""
        step = self._steps.get(type(event))
        if step is not None:
            step(event)

    def _execution(self, event: Execution) -> None:
        self._ledger.record(execution_to_entry(self._book, event))

    def _commission(self, event: Commission) -> None:
        self._ledger.record(commission_to_entry(self._book, event.exec_id, event.amount, event.currency))

    def _open(self, event: OrderOpen) -> None:
        order = self._book.order_of(event.order_ref, event.perm_id or 0, (event.client_id, event.order_id))
        if order is not None:
            self._note_status(order, event.status, event.perm_id)

    def _status(self, event: OrderStatus) -> None:
        order = self._book.order_of("", event.perm_id or 0, (event.client_id, event.order_id))
        if order is None:
            return
        self._note_status(order, event.status, event.perm_id)
        if event.status in CANCELLED:
            self._end(order, "cancelled", event.status)

    def _note_status(self, order: WorkingOrder, status: str, perm_id: int | None) -> None:
        """Journal that the broker has an order, once; what it says later on is kept, and executions are the truth."""
        if not order.status or (perm_id and order.perm_id != perm_id):
            body = {"ref": order.ref, "status": status, "perm_id": perm_id or 0}
            self._ledger.record(Entry("status", body))
        if status == FILLED:
            self._said_filled.add(order.ref)

    def _position(self, event: PositionHeld) -> None:
        symbol = self._numbers.get(event.contract.con_id)
        if symbol is not None and event.account == self._account:
            self._held[symbol] = event.quantity

    def _notice(self, event: Notice) -> None:
        if event.code in OFFLINE:
            self._offline = f"TWS lost Interactive Brokers ({event.code})"
        elif event.code in ONLINE:
            self.must_reconcile = True
        order = self._book.working_id(event.request_id)
        if event.severity != "info" and event.code not in USUAL:
            body = {
                "request_id": event.request_id,
                "code": event.code,
                "text": event.text,
                "severity": event.severity,
            }
            self._ledger.record(Entry("notice", body))
            self._say(f"broker: {event.code} {event.text}")
        if order is None:
            return
        if event.code == DUPLICATE_ID:
            # The id was used: the order, or another one, has been there. Nothing may be concluded but that.
            self._end(order, "rejected", event.text)
            self._freeze(order.symbol, f"order id {order.order_id} was used before ({event.text})")
        elif event.code == ORDER_CANCELLED:
            self._end(order, "cancelled", event.text)
        elif event.severity == "order":
            self._end(order, "rejected", event.text)
        elif event.code not in POLICIES and event.severity != "info":
            self._freeze(order.symbol, f"code {event.code} on a live order is not known: {event.text}")

    def _failure(self, event: CallbackFailure) -> None:
        self._ledger.record(
            Entry("notice", {"callback": event.callback, "text": event.text, "severity": "failure"})
        )
        self._say(f"a message of the broker could not be read ({event.callback}): {event.text}")
        for symbol in self._bundle.symbols:
            self._freeze(symbol, "a message of the broker was lost; restart to reconcile")

    def verify(self) -> bool:
        """Compare book and broker once everything sent has been answered; ask again where they differ, then freeze.

        An order that is said to be filled without an execution, and a position that is not the book's, mean a report
        that was lost: the executions are asked for once more. What differs even then is not traded.

        Returns
        -------
        bool
            Whether the broker was asked, so that further reports may be waiting.
        """
        if not self._doubts():
            return False
        client = self._client
        report = Report((), client.executions(), (), client.positions())
        self._ledger.record_all(report_to_entries(self._book, report))
        self._held = positions_of(report.positions, self._numbers, self._account)
        for symbol, why in self._doubts().items():
            self._freeze(symbol, why)
        return True

    def _doubts(self) -> dict[str, str]:
        """Assets whose book cannot be right, each with why; those that are frozen already are left out."""
        traded = {s for s in self._bundle.symbols if self._book.assets[s].frozen is None}
        quiet = {s: q for s, q in self._held.items() if s in traded and not self._book.working(s)}
        found = positions_to_disagreements(self._book, quiet)
        for order in self._book.working():
            if order.ref in self._said_filled and order.symbol in traded:
                found[order.symbol] = (
                    f"the broker holds that {order.ref} is filled, and reports no execution for {order.remaining:+g}"
                )
        return found

    def settle(self) -> None:
        """Do what was waiting: halts that were asked for, orders that waited for older ones."""
        self._halt_reason()
        self._send_wanted()
