"""The brakes: what keeps orders back. A halt, a TWS that is cut off, a loss, a frozen asset, a doubt about one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.engine.files import write_text
from quantlab.live.journal import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quantlab.live.book import Book
    from quantlab.live.bundle import Bundle
    from quantlab.live.ledger import Ledger

__all__ = ["Brakes"]

OFFLINE, ONLINE = frozenset({1100, 2110}), frozenset({1101, 1102})
"""Codes of TWS losing Interactive Brokers, and of having it back."""

DOUBTS = 3
"""Steps of the clock for which an asset may be in doubt before it is frozen: a report can be late."""


class Brakes:
    """What keeps orders back, for everything or for one asset.

    Parameters
    ----------
    bundle : Bundle
        Whose orders; its folder has the file that halts.
    ledger : Ledger
        Journal and book: halts and freezes are journaled.
    say : callable
        Takes one line for people.

    Attributes
    ----------
    must_reconcile : bool
        Whether nothing may be sent until the broker was asked for everything again.
    """

    def __init__(self, bundle: Bundle, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._bundle, self._ledger, self._say = bundle, ledger, say
        self._offline: str | None = None
        self._doubts: dict[str, tuple[int, str]] = {}
        self.must_reconcile = False

    @property
    def _book(self) -> Book:
        return self._ledger.book

    # -- everything ------------------------------------------------------------------------------------

    def stop_reason(self) -> str | None:
        """Reason why nothing is traded at all; None if there is none."""
        waiting = "the broker has to be asked for everything first" if self.must_reconcile else None
        return self.halt_reason() or self._offline or waiting

    def halt_reason(self) -> str | None:
        """Reason of a halt, from its file; a file that appeared or went is journaled."""
        path, known = self._bundle.halt_path, self._book.halted
        if path.exists():
            reason = path.read_text(encoding="utf-8").strip() or "halted by its file"
            if known is None:
                self._ledger.record(Entry("halt", {"reason": reason}))
                self._say(f"halted: {reason}")
            return reason
        if known is not None:
            self._ledger.record(Entry("resume", {}))
            self._say("the halt is over")
        return None

    def halt_on_loss(self, session: int, equity: float) -> None:
        """Halt the run where equity fell too far since the last session."""
        book, limit = self._book, self._bundle.terms.limits.max_daily_loss
        before = book.equity_at[1] if book.equity_at[0] not in {-1, session} else book.equity_before
        loss = before - equity
        if loss > limit and not self._bundle.halt_path.exists():
            reason = f"equity fell by {loss:,.2f} in a session, max_daily_loss is {limit:,.2f}"
            write_text(self._bundle.halt_path, reason + "\n")

    def on_code(self, code: int) -> None:
        """Take a code of the broker: whether TWS has Interactive Brokers, and whether everything is to be asked."""
        if code in OFFLINE:
            self._offline = f"TWS lost Interactive Brokers ({code})"
        elif code in ONLINE:
            self._offline, self.must_reconcile = None, True

    # -- one asset -------------------------------------------------------------------------------------

    def reason_for(self, symbol: str) -> str | None:
        """Reason why an asset is not traded; None if there is none."""
        return self._book.assets[symbol].frozen or self._doubts.get(symbol, (0, None))[1]

    def freeze(self, symbol: str, reason: str) -> None:
        """Stop trading an asset until a start, or a new connection, finds everything in order."""
        if self._book.assets[symbol].frozen is None:
            self._ledger.record(Entry("freeze", {"symbol": symbol, "reason": reason}))
            self._say(f"frozen: {symbol}: {reason}")

    def doubt(self, found: Mapping[str, str]) -> None:
        """Hold back assets whose book may be wrong; freeze those that were in doubt for too long."""
        self._doubts = {s: (self._doubts.get(s, (0, ""))[0] + 1, why) for s, why in found.items()}
        for symbol, (count, why) in self._doubts.items():
            if count >= DOUBTS:
                self.freeze(symbol, why)

    def thaw_all_but(self, symbols: Mapping[str, str]) -> None:
        """Trade frozen assets again, once everything was asked for and found in order; freeze those that are named."""
        for symbol, state in self._book.assets.items():
            if state.frozen is not None and symbol not in symbols:
                self._ledger.record(Entry("thaw", {"symbol": symbol, "reason": "book and broker agree"}))
                self._say(f"thawed: {symbol}: book and broker agree")
        for symbol, why in symbols.items():
            self.freeze(symbol, why)
