"""Requests that are only sent: they return at once, and what they bring comes as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.barsize import BarSize
from quantlab.broker import events as ev
from quantlab.broker.codes import FIRST_REQUEST_ID
from quantlab.broker.line import Line
from quantlab.broker.orders import Ticket, ascii_text
from quantlab.errors import BrokerError, NotConnectedError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quantlab.broker.contracts import ContractId
    from quantlab.broker.link import Link

__all__ = ["BAR_SIZES", "PRICE_KINDS", "TICK_STREAMS", "Sending", "official_size"]

BAR_SIZES = (
    *(f"{n} secs" for n in (1, 5, 10, 15, 30)),
    "1 min",
    *(f"{n} mins" for n in (2, 3, 5, 10, 15, 20, 30)),
    "1 hour",
    *(f"{n} hours" for n in (2, 3, 4, 8)),
    "1 day",
    "1 week",
    "1 month",
)
"""Bar sizes that Interactive Brokers makes."""

PRICE_KINDS = (
    "TRADES",
    "MIDPOINT",
    "BID",
    "ASK",
    "BID_ASK",
    "ADJUSTED_LAST",
    "HISTORICAL_VOLATILITY",
    "OPTION_IMPLIED_VOLATILITY",
    "AGGTRADES",
)
"""What history can be made of."""

TICK_STREAMS = {"trades": "Last", "all trades": "AllLast", "quotes": "BidAsk", "midpoint": "MidPoint"}
"""Tick-by-tick streams and Interactive Brokers' names of them; ``"market"`` is the sampled stream."""


CONTRACT_TEXTS = (
    "symbol",
    "security_type",
    "exchange",
    "primary_exchange",
    "currency",
    "last_trade_date",
    "local_symbol",
    "trading_class",
)
"""Texts of a contract that are sent."""


def official_size(bar_size: str | BarSize) -> str:
    """Bar size as Interactive Brokers writes it.

    Raises
    ------
    ParameterError, UnknownNameError
        For a text that is no bar size; for one that Interactive Brokers does not make.
    """
    size = str(BarSize.parse(bar_size))
    if size not in BAR_SIZES:
        raise UnknownNameError(
            "bar size at Interactive Brokers", size, BAR_SIZES, "Make others by .resample()."
        )
    return size


class Sending(Line):
    """A line with the requests that are only sent. Parameters as in `quantlab.broker.client.Client`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cancels: dict[int, Callable[..., Any]] = {}
        self._positions_wanted = False

    def _start(self, link: Link, version: int, text: str) -> None:
        # What an earlier connection subscribed ended with it.
        self._cancels.clear()
        self._positions_wanted = False
        super()._start(link, version, text)

    # -- time, ids and the account ---------------------------------------------------------------------------

    def request_current_time(self) -> None:
        """Ask for the broker's clock: `CurrentTime` comes."""
        self._send(self._api.reqCurrentTime, answer=ev.CurrentTime)

    def request_order_ids(self) -> None:
        """Ask for the next order id: `NextOrderId` comes."""
        self._send(self._api.reqIds, -1)

    def request_positions(self) -> None:
        """Ask for positions, and for every change of them: `PositionHeld` comes, and `PositionsEnd` once."""
        self._send(self._api.reqPositions, answer=ev.PositionsEnd)
        self._positions_wanted = True

    def request_account_summary(self, tags: str | Sequence[str]) -> int:
        """Ask for figures of all accounts, and their changes: `AccountFigure` comes, and `AccountEnd` once.

        Parameters
        ----------
        tags : str or sequence of str
            ``"NetLiquidation"``, ``"TotalCashValue"``, ``"BuyingPower"`` …, or several.
        """
        names = tags if isinstance(tags, str) else ",".join(tags)
        return self._subscribe(
            "cancelAccountSummary", self._api.reqAccountSummary, "All", ascii_text("tags", names)
        )

    def request_account_updates(self, subscribe: bool = True, account: str = "") -> None:
        """Turn updates of one account on or off: `AccountFigure` and `PortfolioFigure` come."""
        whose = ascii_text("account", account or self.account)
        self._send(self._api.reqAccountUpdates, subscribe, whose, answer=ev.AccountEnd if subscribe else None)

    def request_pnl(self, account: str = "", con_id: int | None = None) -> int:
        """Ask for the profit and loss of an account, or of one contract in it: `PnlFigure` comes."""
        whose = ascii_text("account", account or self.account)
        if con_id is None:
            return self._subscribe("cancelPnL", self._api.reqPnL, whose, "")
        return self._subscribe("cancelPnLSingle", self._api.reqPnLSingle, whose, "", con_id)

    # -- orders ----------------------------------------------------------------------------------------------

    def place_order(self, order_id: int, contract: ContractId, ticket: Ticket) -> None:
        """Send an order, or change one: the same id again, with everything of it.

        Parameters
        ----------
        order_id : int
            From `NextOrderId` on, each used once.
        contract : ContractId
            What to trade.
        ticket : Ticket
            What to do.

        Raises
        ------
        BrokerError
            If the client was made without ``allow_orders=True``.
        ParameterError
            For an id that is none, letters that cannot be sent, and a missing account where there are several.
        NotConnectedError
            If there is no connection, or it broke: the order may have arrived, so reconcile.
        """
        self._refuse_orders("place_order")
        if not 0 < order_id < FIRST_REQUEST_ID:
            raise ParameterError(
                f"order id {order_id} is out of range; ids from NextOrderId up, below {FIRST_REQUEST_ID}, "
                "are for orders."
            )
        account = ticket.account or self.account
        if not account and len(self.accounts) > 1:
            raise ParameterError(
                f"this connection has accounts {', '.join(self.accounts)}, and the order names none; give "
                "account to the client or to the ticket."
            )
        order = self._loaded.order(ticket, account=ascii_text("account", account))
        self._send(self._api.placeOrder, order_id, self._contract(contract), order)

    def cancel_order(self, order_id: int) -> None:
        """Ask to cancel an order; what became of it is told by its status and executions."""
        self._refuse_orders("cancel_order")
        self._send(self._loaded.cancel_order, self._api, order_id)

    def request_global_cancel(self) -> None:
        """Ask to cancel every order of every client, and those that people entered."""
        self._refuse_orders("request_global_cancel")
        self._send(self._loaded.cancel_all, self._api)

    def request_open_orders(self, everyone: bool = False) -> None:
        """Ask for open orders: `OrderOpen` and `OrderStatus` come, then `OpenOrdersEnd`.

        Parameters
        ----------
        everyone : bool
            Also those of other clients, and those that people entered.
        """
        ask = self._api.reqAllOpenOrders if everyone else self._api.reqOpenOrders
        self._send(ask, answer=ev.OpenOrdersEnd)

    def request_executions(self) -> int:
        """Ask for today's executions: `Execution` and `Commission` come, then `ExecutionsEnd`."""
        number = next(self._ids)
        self._send(self._api.reqExecutions, number, self._loaded.execution_filter())
        return number

    def request_completed_orders(self) -> None:
        """Ask for today's finished orders: `CompletedOrder` comes, then `CompletedOrdersEnd`."""
        self._send(self._api.reqCompletedOrders, False, answer=ev.CompletedOrdersEnd)

    def _refuse_orders(self, name: str) -> None:
        if not self.allow_orders:
            raise BrokerError(
                f"{name} was called on a client that may not touch orders; make it with "
                "Client(..., allow_orders=True) if it shall."
            )

    # -- data ------------------------------------------------------------------------------------------------

    def subscribe_bars(
        self,
        contract: ContractId,
        bar_size: str,
        duration: str,
        what: str = "TRADES",
        rth: bool = True,
    ) -> int:
        """Ask for history that stays up to date.

        `HistoryBar` comes, then `HistoryEnd`, then `BarUpdate` for the bar in progress; a bar is final when a
        later one comes.

        Parameters
        ----------
        contract : ContractId
            Of what.
        bar_size : str
            Interval, one of `BAR_SIZES`.
        duration : str
            How far back, in Interactive Brokers' words: ``"1 D"``, ``"2 W"``, ``"1 Y"``.
        what : str
            ``"TRADES"``, ``"MIDPOINT"``, ``"BID"`` or ``"ASK"``.
        rth : bool
            Regular trading hours only.

        Returns
        -------
        int
            Request id.
        """
        size, made = official_size(bar_size), self._contract(contract)
        if what not in PRICE_KINDS[:4]:
            raise UnknownNameError("kind of price of a stream", what, PRICE_KINDS[:4])
        options: tuple[Any, ...] = ("", ascii_text("duration", duration), size, what, int(rth), 2, True, [])
        return self._subscribe("cancelHistoricalData", self._api.reqHistoricalData, made, *options)

    def subscribe_real_time_bars(self, contract: ContractId, what: str = "TRADES", rth: bool = True) -> int:
        """Ask for bars of five seconds as they close: `RealTimeBar` comes."""
        if what not in PRICE_KINDS[:4]:
            raise UnknownNameError("kind of price of a stream", what, PRICE_KINDS[:4])
        made = self._contract(contract)
        return self._subscribe("cancelRealTimeBars", self._api.reqRealTimeBars, made, 5, what, rth, [])

    def subscribe_ticks(self, contract: ContractId, kind: str = "market") -> int:
        """Ask for ticks.

        Parameters
        ----------
        contract : ContractId
            Of what.
        kind : str
            ``"market"``: bid, ask, last and volume, some four times a second (`Tick`). ``"trades"``, ``"all
            trades"``, ``"quotes"``, ``"midpoint"``: each one (`TradeTick`, `QuoteTick`, `MidTick`), for few
            contracts at a time.
        """
        made = self._contract(contract)
        if kind == "market":
            return self._subscribe("cancelMktData", self._api.reqMktData, made, "", False, False, [])
        if kind not in TICK_STREAMS:
            raise UnknownNameError("kind of ticks", kind, ("market", *TICK_STREAMS))
        return self._subscribe(
            "cancelTickByTickData", self._api.reqTickByTickData, made, TICK_STREAMS[kind], 0, False
        )

    def unsubscribe(self, request_id: int) -> None:
        """End what a request brings.

        Raises
        ------
        ParameterError
            For an id that is not subscribed.
        """
        cancel = self._cancels.pop(request_id, None)
        if cancel is None:
            raise ParameterError(
                f"{request_id} is no subscription of this client; subscribed are {sorted(self._cancels)}."
            )
        self._send(cancel, request_id)

    # -- what the others share -------------------------------------------------------------------------------

    @property
    def _api(self) -> Any:
        """The official client.

        Raises
        ------
        NotConnectedError
            If there is no connection.
        """
        if self._official is None or not self.connected:
            raise NotConnectedError(self._not_connected())
        return self._official

    def _contract(self, contract: ContractId) -> Any:
        """Official contract, its texts checked."""
        for name in CONTRACT_TEXTS:
            ascii_text(name, getattr(contract, name))
        return self._loaded.contract(contract)

    def _subscribe(self, cancel: str, request: Callable[..., Any], *args: Any) -> int:
        number = next(self._ids)
        self._send(request, number, *args)
        self._cancels[number] = getattr(self._api, cancel)
        return number
