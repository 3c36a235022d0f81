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
from quantlab.errors import LiveError
from quantlab.kernels import order as od
from quantlab.live.book import REST, order_ref
from quantlab.live.brakes import Brakes
from quantlab.live.cover import book_to_resizes, left_by_stop, lost_protection, without_position
from quantlab.live.decision import is_over
from quantlab.live.gate import Shape
from quantlab.live.journal import Entry
from quantlab.live.outgoing import Outgoing
from quantlab.live.reconcile import (
    UNITS_TOLERANCE,
    Report,
    commission_to_entry,
    execution_to_entry,
    positions_of,
    positions_to_disagreements,
    report_to_entries,
    strange_orders,
    unknown_orders,
)
from quantlab.live.risk import Exposure, order_to_breach

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.broker.client import Client
    from quantlab.broker.events import Event
    from quantlab.live.book import WorkingOrder
    from quantlab.live.bundle import Bundle
    from quantlab.live.decision import Decision
    from quantlab.live.ledger import Ledger

__all__ = ["Desk"]

CANCELLED, INACTIVE, FILLED = frozenset({"Cancelled", "ApiCancelled"}), "Inactive", "Filled"
ORDER_CANCELLED, DUPLICATE_ID = 202, 103

CANCEL_FAILED = frozenset({135, 136, 161, 10147, 10148})
"""Codes that answer a cancel whose order is not where it was thought to be: everything is asked for anew."""

USUAL = frozenset({399})
"""Codes that come with every market order sent after the close: nothing to tell."""


class Desk(Outgoing):
    """Everything that has to do with orders, on one connection. Parameters as in `quantlab.live.outgoing.Outgoing`."""

    def __init__(self, bundle: Bundle, ledger: Ledger, client: Client, **options: Any) -> None:
        super().__init__(bundle, ledger, client, **options)
        self.brakes = Brakes(bundle, ledger, self._say)
        self._numbers = {c.con_id: s for s, c in self.contracts.items()}
        self._held = dict.fromkeys(bundle.symbols, 0.0)
        self._said_filled: set[str] = set()
        self._steps: dict[type, Callable[[Any], None]] = {
            Execution: self._execution,
            Commission: self._commission,
            OrderOpen: self._open,
            OrderStatus: self._status,
            PositionHeld: self._position,
            Notice: self._notice,
            CallbackFailure: self._failure,
        }

    # -- after a connection ----------------------------------------------------------------------------

    def reconcile(self) -> list[WorkingOrder]:
        """Ask the broker for everything, bring the book to it, freeze what is not in order.

        Positions are compared by `verify`, once what came with the answers has been taken.

        Returns
        -------
        list of WorkingOrder
            Orders of the journal that never arrived at the broker.

        Raises
        ------
        NoAnswerError
            If an answer does not come to its end: nothing is concluded from silence.
        LiveError
            If orders of another client id are alive: only that id can cancel them.
        """
        client = self._client
        self.brakes.must_reconcile = False
        client.request_positions()
        report = Report(
            open_orders=client.open_orders(everyone=True),
            executions=client.executions(),
            completed=client.completed_orders(),
            positions=client.positions(),
        )
        self._ledger.record_all(report_to_entries(self._book, report))
        self._held = positions_of(report.positions, self._numbers, self._account)
        lost, gone = unknown_orders(self._book, report)
        for order in gone:
            self._end(order, "cancelled", "the broker does not have it any more")
        others = {o.client_id for o in self._book.working()} - {client.client_id}
        if others:
            raise LiveError(
                f"orders of client id {min(others)} are alive, and only that id can cancel them; start with "
                f"--client-id {min(others)}."
            )
        strange = strange_orders(self._book, self._bundle.symbols, self._account, report)
        self.brakes.thaw_all_but(strange)
        return lost

    def send_late(self, order: WorkingOrder, newest_ns: int) -> None:
        """Send an order that never arrived, if its bar still is the newest closed one; else it was missed.

        It goes out under the id and the reference that the journal gave it: should it have arrived after all, the
        broker refuses the second one.
        """
        why = self.brakes.stop_reason() or self.brakes.reason_for(order.symbol)
        if order.bar_time_ns != newest_ns:
            why = "a later bar has closed"
        parent = self._book.orders.get(order.parent) if order.is_protective else None
        if parent is not None and parent.ended is not None:
            why = f"its order was {parent.ended}"
        if not why:
            self._place(order)
            return
        self._end(order, "missed", f"not sent in time: {why}")
        if parent is not None and parent.ended is None:
            # It waits at the broker for what protects it, which does not come any more.
            self._cancel(parent)

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
        self.brakes.halt_on_loss(decision.session, decision.equity)
        held_back, intents = self._wanted(decision)
        self._ledger.record(*entries, Entry("decision", body, str(decision.time_ns)), *held_back, *intents)
        self._cancel_replaced(decision)
        self._cover()
        for entry in intents:
            self._place(self._book.orders[entry.body["ref"]])

    def _wanted(self, decision: Decision) -> tuple[list[Entry], list[Entry]]:
        """Entries of orders that are held back, and intents of those that go out now.

        An order whose asset still has an older one standing is neither: it waits for that one to end.
        """
        held_back: list[Entry] = []
        intents: list[Entry] = []
        stopped = self.brakes.stop_reason()
        units = np.array([x.multiplier for x in self._bundle.instruments]) * decision.mark
        values = np.maximum(np.abs(decision.position), np.abs(decision.position + decision.pending)) * units
        n_sent = self._book.sent_in(decision.session)
        for i, symbol in enumerate(self._bundle.symbols):
            quantity, position = float(decision.quantity[i]), float(decision.position[i])
            if quantity == 0.0:
                continue
            state = self._book.assets[symbol]
            stop = stopped or self.brakes.reason_for(symbol)
            reason = stop or self._breach(quantity, position, float(units[i]), float(values.sum()), n_sent)
            ref = order_ref(self._bundle.id, decision.time_ns, symbol)
            if reason:
                # What a halt or a freeze holds back, and every exit, is wanted again at the next bar; an entry that a
                # limit refuses is not.
                after = position + quantity
                is_exit = position * after >= 0.0 and abs(after) < abs(position)
                before = state.last_target if stop or is_exit else None
                held_back.append(self._blocked(ref, symbol, quantity, reason, before))
                self._say(f"held back: {quantity:+g} {symbol}: {reason}")
                continue
            values[i] = max(values[i], abs(position + quantity) * units[i])
            n_sent += 1
            if not self._book.standing(symbol):
                wanted = {
                    "ref": ref,
                    "bar_time_ns": decision.time_ns,
                    "session": decision.session,
                    "before": state.last_target,
                    "shape": decision.shape(i).to_body(),
                }
                intents += self._intents(wanted, symbol, quantity)
        return held_back, intents

    def _breach(self, quantity: float, position: float, unit: float, gross: float, n_sent: int) -> str | None:
        """Limit that an order would break; None if it breaks none."""
        exposure = Exposure(position, unit, gross, n_sent)
        return order_to_breach(quantity, exposure, self._bundle.terms.limits)

    def _cancel_replaced(self, decision: Decision) -> None:
        """Cancel standing orders of assets that have a newer decision, and those that were good for one bar."""
        for i, symbol in enumerate(self._bundle.symbols):
            decided, there = decision.outcome[i] != od.NONE, not np.isnan(decision.close[i])
            for standing in self._book.standing(symbol):
                over = is_over(standing.until, standing.bar_time_ns, there, decision.time_ns)
                if (decided or over) and standing.bar_time_ns != decision.time_ns:
                    self._cancel(standing)

    def _send_wanted(self) -> None:
        """Send what waited for an older order of its asset to end, sized by what is held now."""
        ready = {s: w for s, w in self._book.wanted.items() if not self._book.standing(s)}
        if ready:
            # A fill can follow a cancel: what is held is asked for once more before anything is sized by it.
            self._ask_fills()
        for symbol, wanted in ready.items():
            position = self._book.assets[symbol].position
            quantity = wanted["desired"] - position
            stop = self.brakes.stop_reason() or self.brakes.reason_for(symbol)
            reason = stop or self._breach(
                quantity, position, wanted["unit"], wanted["gross"], self._book.sent_in(wanted["session"])
            )
            shape = Shape.from_body(wanted.get("shape"))
            if shape.protects and not shape.opens and wanted["desired"] != 0.0 and position == 0.0:
                stop, reason = None, "the position that it was to change is gone"
            if abs(quantity) <= UNITS_TOLERANCE:
                stop, reason = None, "nothing is left to be ordered"
            if reason:
                before = wanted["before"] if stop else None
                self._ledger.record(self._blocked(wanted["ref"], symbol, quantity, reason, before))
                continue
            self._send(self._intents(wanted, symbol, quantity))

    @staticmethod
    def _blocked(ref: str, symbol: str, quantity: float, reason: str, before: float | None) -> Entry:
        body = {"ref": ref, "symbol": symbol, "quantity": quantity, "reason": reason, "before": before}
        return Entry("blocked", body, ref)

    def _end(self, order: WorkingOrder, how: str, text: str) -> None:
        """Journal that nothing more is expected of an order; a failed exit, or what a halt ended, is decided anew."""
        if order.ended is not None:
            return
        rest, position = order.remaining, self._book.assets[order.symbol].position
        unwanted = how != "missed" and order.symbol not in self._book.wanted and not order.is_protective
        again = None
        if unwanted and (abs(position + rest) < abs(position) or self._book.halted):
            again = Entry("again", {"symbol": order.symbol, "ref": order.ref})
        self._ledger.record(Entry("ended", {"ref": order.ref, "how": how, "text": text}), again)
        if position or not order.is_protective:
            self._say(f"{how}: {order.ref}: {text}")

    # -- what comes back ---------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take one event of the broker."""
        step = self._steps.get(type(event))
        if step is not None:
            step(event)

    def _execution(self, event: Execution) -> None:
        entry = execution_to_entry(self._book, event)
        if entry is None:
            return
        order = self._book.orders[entry.body["ref"]]
        ended = order.ended
        self._ledger.record(entry)
        if ended in {"cancelled", "rejected", "missed"}:
            self.brakes.freeze(order.symbol, f"{order.ref} was filled after it was {ended}; restart to go on")

    def _commission(self, event: Commission) -> None:
        self._ledger.record(commission_to_entry(self._book, event.exec_id, event.amount, event.currency))

    def _open(self, event: OrderOpen) -> None:
        order = self._book.order_of(event.order_ref, event.perm_id or 0, (event.client_id, event.order_id))
        if order is not None:
            self._note_status(order, event.status, event.perm_id)
            self._note_protection(order, event)

    def _status(self, event: OrderStatus) -> None:
        order = self._book.order_of("", event.perm_id or 0, (event.client_id, event.order_id))
        if order is None:
            return
        self._note_status(order, event.status, event.perm_id)
        if event.status in CANCELLED:
            self._end(order, "cancelled", event.status)
        elif event.status == INACTIVE and order.ended is None:
            self.brakes.freeze(order.symbol, f"{order.ref} is inactive: it is neither alive nor refused")

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
        self.brakes.on_code(event.code)
        order = self._book.working_id(event.request_id)
        if event.severity != "info" and event.code not in USUAL:
            body = {
                "request_id": event.request_id,
                "code": event.code,
                "text": event.text,
                "severity": event.severity,
            }
            self._ledger.record(Entry("notice", body))
            if event.code != ORDER_CANCELLED or order is None:
                # The end of an order of ours is told once, with its reference.
                self._say(f"broker: {event.code} {event.text}")
        if order is None:
            return
        if event.code == DUPLICATE_ID:
            # The id was used: the order, or another one, has been there. Nothing may be concluded but that.
            self._end(order, "rejected", event.text)
            self.brakes.freeze(order.symbol, f"order id {order.order_id} was used before ({event.text})")
        elif event.code == ORDER_CANCELLED:
            self._end(order, "cancelled", event.text)
        elif event.severity == "order":
            self._refused(order, event.text)
        elif event.code in CANCEL_FAILED:
            self.brakes.must_reconcile = True
        elif event.code not in POLICIES and event.severity != "info":
            self.brakes.freeze(order.symbol, f"code {event.code} on a live order is not known: {event.text}")

    def _refused(self, order: WorkingOrder, text: str) -> None:
        """Take the refusal of an order, or of a change of a protective one, which stands as it was then."""
        if order.order_id in self._resizing:
            reason = f"{order.ref} could not be made to cover {order.quantity:+g} units: {text}"
            self.brakes.freeze(order.symbol, reason)
            return
        self._end(order, "rejected", text)
        parent = self._book.orders.get(order.parent) if order.is_protective else None
        if parent is not None and parent.ended is None and not parent.filled:
            # An entry does not go without what protects it.
            self._cancel(parent)

    def _failure(self, event: CallbackFailure) -> None:
        self._ledger.record(
            Entry("notice", {"callback": event.callback, "text": event.text, "severity": "failure"})
        )
        self._say(f"a message of the broker could not be read ({event.callback}): {event.text}")
        self.brakes.must_reconcile = True

    # -- once everything that was sent has been answered ---------------------------------------------------

    def verify(self) -> bool:
        """Compare book and broker; ask again where they differ, hold the asset back, and freeze it if it stays so.

        An order that is said to be filled without an execution, and a position that is not the book's, mean a report
        that was lost or is late: executions and positions are asked for once more.

        Returns
        -------
        bool
            Whether the broker was asked, so that further reports may be waiting.
        """
        if not self._differences():
            self.brakes.doubt({})
            return False
        self._ask_fills()
        self._held = positions_of(self._client.positions(), self._numbers, self._account)
        self.brakes.doubt(self._differences())
        return True

    def _ask_fills(self) -> None:
        """Ask for executions, and book those that are not known."""
        for event in self._client.executions():
            self._execution(event)

    def _differences(self) -> dict[str, str]:
        """Assets whose book cannot be right, each with why; those that are frozen already are left out."""
        traded = {s for s in self._bundle.symbols if self._book.assets[s].frozen is None}
        quiet = {s: q for s, q in self._held.items() if s in traded and not self._book.standing(s)}
        found = positions_to_disagreements(self._book, quiet)
        for symbol in traded - found.keys():
            if (lost := lost_protection(self._book, symbol)) is not None:
                found[symbol] = lost
        for order in self._book.working():
            if order.ref in self._said_filled and order.symbol in traded:
                found[order.symbol] = (
                    f"the broker holds that {order.ref} is filled, and reports no execution for "
                    f"{order.remaining:+g}"
                )
        return found

    def settle(self) -> None:
        """Do what was waiting: cancels of a halt, orders that waited for older ones, changes of protective orders.

        A halt leaves protective orders where they are.
        """
        halted = self.brakes.halt_reason()
        for symbol in self._bundle.symbols:
            for order in self._book.standing(symbol) if halted else without_position(self._book, symbol):
                self._cancel(order)
        self._send_wanted()
        self.protect()

    def protect(self) -> None:
        """Bring protective orders to what is held, and close what a stop that has filled did not cover."""
        self._cover()
        self._sell_rest()

    def lacks_protection(self) -> bool:
        """Whether something has to be sent at once, since protective orders do not fit what is held."""
        book, symbols = self._book, self._bundle.symbols
        return any(
            book_to_resizes(book, s) or left_by_stop(book, s) or without_position(book, s) for s in symbols
        )

    def _sell_rest(self) -> None:
        """Close at the market what a stop that has filled did not cover."""
        for symbol in self._bundle.symbols:
            left = left_by_stop(self._book, symbol)
            ref = order_ref(self._bundle.id, self._book.decided_ns, symbol, REST)
            held_back = self.brakes.stop_reason() or self.brakes.reason_for(symbol)
            if not left or held_back or ref in self._book.orders:
                continue
            wanted = {
                "ref": ref,
                "bar_time_ns": self._book.decided_ns,
                "session": self._book.sent[0],
                "before": 0.0,
            }
            self._send([self._intent(wanted, symbol, -left, REST, {})])
