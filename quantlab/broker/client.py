"""The client: a connection to TWS or IB Gateway that is asked, and that answers or says that it did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.barsize import BarSize
from quantlab.broker import events as ev
from quantlab.broker.orders import ascii_text
from quantlab.broker.sending import PRICE_KINDS, Sending, official_size
from quantlab.broker.times import text_of_time
from quantlab.errors import ParameterError, RequestError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantlab.broker.contracts import ContractDetails, ContractId

__all__ = ["Client"]

ANSWER_S = 10.0
"""How long an answer may take, unless it is said otherwise."""

HISTORY_S = 60.0
"""The same for history, which is slow when it is much."""

NO_DATA = 162


class Client(Sending):
    """A connection to TWS or IB Gateway, through the official client.

    Everything that comes is an event on one queue, read with `next`. Requests named ``request_…`` and
    ``subscribe_…`` are only sent; the others wait for their answer, and leave what does not belong to it for
    `next`, in order. All of it runs in the caller's thread; a thread of the client's own only reads.

    Parameters
    ----------
    host : str
        Where TWS or IB Gateway runs.
    port : int
        7497 and 4002 are the usual ports of paper accounts, 7496 and 4001 those of real money.
    client_id : int
        Who we are; each connection at a time needs its own.
    account : str, optional
        Account that orders go to; the only one there is, if not given.
    ceiling : int
        Newest protocol version to offer.
    clock : Clock, optional
        What pacing waits by; the clock of this machine by default.
    messages_per_s : float or None
        Most messages in any second; None sends without pacing, also of history, which a simulated gateway takes.
    allow_orders : bool
        Whether orders may be placed and cancelled.

    Raises
    ------
    ParameterError
        For values that cannot be used.
    """

    # -- time and contracts ----------------------------------------------------------------------------------

    def current_time(self, timeout_s: float | None = None) -> int:
        """Ask for the broker's clock: ns UTC, in whole seconds.

        A simulated gateway moves on after its answer, so that what was sent before is in before time passes.

        Raises
        ------
        NoAnswerError, NotConnectedError
            As everything that waits for an answer.
        """
        self.request_current_time()
        found = self._collect("the time", ev.CurrentTime, ev.CurrentTime, timeout_s or ANSWER_S)
        return int(found[-1].time_ns)

    def contract_details(
        self, contract: ContractId, *, timeout_s: float | None = None
    ) -> tuple[ContractDetails, ...]:
        """Ask for everything that fits a description.

        Raises
        ------
        RequestError
            Code 200 where nothing does.
        NoAnswerError, NotConnectedError
            As everything that waits for an answer.
        """
        number = next(self._ids)
        self._send(self._api.reqContractDetails, number, self._contract(contract))
        what = f"the question which contracts are {contract}"
        found = self._collect(
            what, ev.ContractFound, ev.ContractsEnd, timeout_s or ANSWER_S, request_id=number
        )
        return tuple(event.details for event in found)

    # -- history ---------------------------------------------------------------------------------------------

    def head_timestamp(
        self, contract: ContractId, what: str = "TRADES", *, rth: bool = True, timeout_s: float | None = None
    ) -> int | None:
        """Ask how far back history goes: ns UTC, None where the answer is no time.

        Raises
        ------
        RequestError
            Where there is no history.
        NoAnswerError, NotConnectedError
            As everything that waits for an answer.
        """
        made = self._contract(contract)
        self._take_history_turn(contract, what, None, "head", rth)
        number = next(self._ids)
        self._send(self._api.reqHeadTimeStamp, number, made, what, int(rth), 2)

        def cancel() -> None:
            self._send(self._api.cancelHeadTimeStamp, number)

        found = self._collect(
            f"the question how far back {contract} goes",
            ev.HeadTimestamp,
            ev.HeadTimestamp,
            timeout_s or ANSWER_S,
            request_id=number,
            cancel=cancel,
        )
        cancel()  # such a request stays open until it is cancelled
        time_ns: int | None = found[-1].time_ns
        return time_ns

    def history(
        self,
        contract: ContractId,
        *,
        end: int | None = None,
        duration: str,
        bar_size: str,
        what: str = "TRADES",
        rth: bool = True,
        timeout_s: float | None = None,
    ) -> tuple[ev.HistoryBar, ...]:
        """Ask for bars of the past, as Interactive Brokers stamps them: intraday ones at their OPEN.

        Parameters
        ----------
        contract : ContractId
            Of what.
        end : int, optional
            ns UTC up to which they reach; now, if not given.
        duration : str
            How far back from there, in Interactive Brokers' words.
        bar_size, what : str
            Interval and kind of price, of `BAR_SIZES` and `PRICE_KINDS`.
        rth : bool
            Regular trading hours only.
        timeout_s : float, optional
            How long the answer may take.

        Returns
        -------
        tuple of HistoryBar
            Oldest first; empty where Interactive Brokers says that it has no data. The newest may be in progress.

        Raises
        ------
        RequestError
            Where the request is refused; code 162 with a text of pacing means: wait, then ask again.
        NoAnswerError, NotConnectedError
            As everything that waits for an answer.
        """
        size, made = official_size(bar_size), self._contract(contract)
        if what not in PRICE_KINDS:
            raise UnknownNameError("kind of price", what, PRICE_KINDS)
        if what == "ADJUSTED_LAST" and end is not None:
            raise ParameterError("ADJUSTED_LAST can only be asked for up to now; leave end out.")
        until = "" if end is None else text_of_time(end)
        ascii_text("duration", duration)
        self._take_history_turn(contract, what, BarSize.parse(size), until, duration, rth)
        number = next(self._ids)
        options: tuple[Any, ...] = (until, duration, size, what, int(rth), 2, False, [])
        self._send(self._api.reqHistoricalData, number, made, *options)
        try:
            found = self._collect(
                f"the request for {size} bars of {contract}",
                ev.HistoryBar,
                ev.HistoryEnd,
                timeout_s or HISTORY_S,
                request_id=number,
                cancel=lambda: self._send(self._api.cancelHistoricalData, number),
            )
        except RequestError as error:
            if error.code == NO_DATA and "no data" in error.text.lower():
                return ()
            raise
        return tuple(found)

    # -- orders and the account ------------------------------------------------------------------------------

    def open_orders(self, everyone: bool = True, timeout_s: float | None = None) -> tuple[ev.OrderOpen, ...]:
        """Ask for open orders; their `OrderStatus` events are left for `next`.

        Raises
        ------
        NoAnswerError, NotConnectedError, RequestError
            As everything that waits for an answer; an empty tuple is an answer.
        """
        self.request_open_orders(everyone)
        return tuple(
            self._collect(
                "the question for open orders", ev.OrderOpen, ev.OpenOrdersEnd, timeout_s or ANSWER_S
            )
        )

    def executions(self, timeout_s: float | None = None) -> tuple[ev.Execution, ...]:
        """Ask for executions of today; their `Commission` events are left for `next`. Errors as in `open_orders`."""
        number = self.request_executions()
        return tuple(
            self._collect(
                "the question for executions",
                ev.Execution,
                ev.ExecutionsEnd,
                timeout_s or ANSWER_S,
                request_id=number,
            )
        )

    def positions(self, timeout_s: float | None = None) -> tuple[ev.PositionHeld, ...]:
        """Ask for the positions of all accounts. Errors as in `open_orders`."""
        wanted = self._positions_wanted
        self.request_positions()
        try:
            found = self._collect(
                "the question for positions", ev.PositionHeld, ev.PositionsEnd, timeout_s or ANSWER_S
            )
        finally:
            self._positions_wanted = wanted
            if not wanted and self.connected:
                self._send(self._api.cancelPositions)
        return tuple(found)

    def completed_orders(self, timeout_s: float | None = None) -> tuple[ev.CompletedOrder, ...]:
        """Ask for the finished orders of today. Errors as in `open_orders`."""
        self.request_completed_orders()
        return tuple(
            self._collect(
                "the question for completed orders",
                ev.CompletedOrder,
                ev.CompletedOrdersEnd,
                timeout_s or ANSWER_S,
            )
        )

    completed_orders_end = completed_orders

    def account_summary(
        self, tags: str | Sequence[str], timeout_s: float | None = None
    ) -> tuple[ev.AccountFigure, ...]:
        """Ask for figures of all accounts, once. Errors as in `open_orders`."""
        number = self.request_account_summary(tags)
        try:
            found = self._collect(
                "the question for figures of the account",
                ev.AccountFigure,
                ev.AccountEnd,
                timeout_s or ANSWER_S,
                request_id=number,
            )
        finally:
            if self.connected:
                self.unsubscribe(number)
        return tuple(found)
