"""The one place that knows which official client is installed, and in what its releases differ.

Releases from 9.81.1 (2020) to 10.50.2 (2026) are bridged by what they offer, never by their number: signatures,
modules and attributes are looked at once, when the client is loaded. Nothing of the official package is changed,
so a program may use it bare beside quantlab.
"""

from __future__ import annotations

import inspect
import math
import sys
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any

from quantlab.broker.orders import OCA_TYPES
from quantlab.errors import BrokerError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quantlab.broker.contracts import ContractId
    from quantlab.broker.orders import Ticket

__all__ = [
    "OLDEST",
    "Bridge",
    "commission_of",
    "error_parts",
    "load_bridge",
    "number",
    "state_commission",
    "whole",
]

OLDEST = 157
"""Oldest protocol version that is spoken; the official client speaks it since 9.81.1."""

UNSET_DOUBLE = sys.float_info.max
UNSET_INTEGERS = (2**31 - 1, 2**63 - 1)
UNSET_DECIMAL = Decimal(2**127 - 1)


@dataclass(frozen=True, slots=True)
class Bridge:
    """The official client that is installed.

    Attributes
    ----------
    version : str
        Its release, as it calls itself.
    max_version : int
        Newest protocol version that it speaks.
    min_version : int
        Oldest one that it offers.
    """

    version: str
    max_version: int
    min_version: int

    # -- the client ----------------------------------------------------------------------------------------

    def make_client(self, callbacks: Any, link: Any, *, server: tuple[int, str], client_id: int) -> Any:
        """Make an official client that talks through an open link whose versions are already agreed.

        Its own ``connect`` waits forever for a mute peer, loses what arrives together with the version, and
        starts a thread that keeps the process alive; so the link does that part.

        Parameters
        ----------
        callbacks : object
            Receives what the client decodes.
        link : Link
            What it sends through.
        server : tuple of (int, str)
            Agreed version, and the time that came with it.
        client_id : int
            Who we are.
        """
        from ibapi.client import EClient

        client = EClient(callbacks)
        client.host, client.port, client.clientId = link.host, link.port, client_id
        client.serverVersion_, client.connTime = server
        client.conn = link
        client.decoder = _strict_decoder()(callbacks, server[0])
        client.setConnState(EClient.CONNECTED)
        return client

    @staticmethod
    def interpreter(client: Any) -> Callable[[bytes], None]:
        """Give what decodes one payload of the text protocol and calls the callbacks."""
        interpret = client.decoder.interpret
        if _takes_id(interpret):

            def by_id(payload: bytes) -> None:
                head, _, rest = payload.partition(b"\0")
                interpret(tuple(rest.split(b"\0")[:-1]), int(head))

            return by_id

        def whole_message(payload: bytes) -> None:
            interpret(tuple(payload.split(b"\0")[:-1]))

        return whole_message

    # -- requests whose signatures differ ------------------------------------------------------------------

    @staticmethod
    def cancel_order(client: Any, order_id: int) -> None:
        """Cancel one order: releases want nothing more, a time, or a record."""
        names = list(inspect.signature(client.cancelOrder).parameters)
        if len(names) == 1:
            client.cancelOrder(order_id)
        elif names[1] == "orderCancel":
            client.cancelOrder(order_id, import_module("ibapi.order_cancel").OrderCancel())
        else:
            client.cancelOrder(order_id, "")

    @staticmethod
    def cancel_all(client: Any) -> None:
        """Cancel every order of every client."""
        if inspect.signature(client.reqGlobalCancel).parameters:
            client.reqGlobalCancel(import_module("ibapi.order_cancel").OrderCancel())
        else:
            client.reqGlobalCancel()

    # -- records -------------------------------------------------------------------------------------------

    @staticmethod
    def contract(wanted: ContractId) -> Any:
        """Official contract, made new: a decoded one is never sent again, since its defaults differ."""
        from ibapi.contract import Contract

        made = Contract()
        made.conId = wanted.con_id
        made.symbol = wanted.symbol
        made.secType = wanted.security_type
        made.exchange = wanted.exchange
        made.primaryExchange = wanted.primary_exchange
        made.currency = wanted.currency
        made.multiplier = "" if wanted.multiplier == 1.0 else f"{wanted.multiplier:.12g}"
        made.lastTradeDateOrContractMonth = wanted.last_trade_date
        made.localSymbol = wanted.local_symbol
        made.tradingClass = wanted.trading_class
        made.strike = 0.0  # what releases before 10.37 send; later ones leave the field empty
        return made

    @staticmethod
    def order(ticket: Ticket, *, account: str) -> Any:
        """Official order of a ticket, with everything set on which releases or presets disagree."""
        from ibapi.order import Order

        made = Order()
        made.action = "BUY" if ticket.quantity > 0 else "SELL"
        made.totalQuantity = _units(abs(ticket.quantity))
        made.orderType = ticket.order_type
        if ticket.limit_price is not None:
            made.lmtPrice = ticket.limit_price
        if ticket.stop_price is not None:
            made.auxPrice = ticket.stop_price
        made.tif = ticket.tif
        made.orderRef = ticket.order_ref
        made.outsideRth = ticket.outside_rth
        made.account = account
        made.transmit = ticket.transmit
        made.parentId = ticket.parent_id
        if ticket.trail_amount is not None:
            made.auxPrice = ticket.trail_amount
        if ticket.trail_percent is not None:
            made.trailingPercent = ticket.trail_percent
        if ticket.trail_stop_price is not None:
            made.trailStopPrice = ticket.trail_stop_price
        if ticket.oca_group:
            made.ocaGroup, made.ocaType = ticket.oca_group, OCA_TYPES[ticket.oca_type]
        # Old releases set these, and today's servers refuse the order for it (10268, 10269).
        for name in ("eTradeOnly", "firmQuoteOnly"):
            if hasattr(made, name):
                setattr(made, name, False)
        return made

    @staticmethod
    def execution_filter() -> Any:
        """Official filter that lets every execution of today through."""
        from ibapi.execution import ExecutionFilter

        return ExecutionFilter()


def load_bridge() -> Bridge:
    """Load the official client.

    Raises
    ------
    MissingExtraError
        If none is installed.
    BrokerError
        If it is too old, or not the official client at all.
    """
    try:
        package, client = import_module("ibapi"), import_module("ibapi.client")
    except ImportError as error:
        if (error.name or "").split(".")[0] != "ibapi":
            raise BrokerError(
                f"the installed ibapi cannot be loaded: {error}. Install a whole one with: pip install "
                "'quantlab[ib]'"
            ) from error
        raise MissingExtraError("ibapi-stable", "ib", "talking to Interactive Brokers") from error
    newest, oldest = getattr(client, "MAX_CLIENT_VER", None), getattr(client, "MIN_CLIENT_VER", 100)
    version = str(getattr(package, "__version__", "unknown"))
    if not isinstance(newest, int) or not hasattr(client, "EClient"):
        raise BrokerError(
            f"the module ibapi at {getattr(package, '__file__', '?')} is not Interactive Brokers' client; "
            "uninstall it and run: pip install 'quantlab[ib]'"
        )
    if newest < OLDEST:
        raise BrokerError(
            f"ibapi {version} speaks the protocol up to version {newest}, and {OLDEST} is needed; run: pip "
            "install --upgrade 'quantlab[ib]'"
        )
    return Bridge(version, newest, oldest)


def _takes_id(interpret: Callable[..., Any]) -> bool:
    """Whether messages are interpreted by their id, given apart from their fields."""
    return len(inspect.signature(interpret).parameters) > 1


def _strict_decoder() -> Any:
    """Class of decoders that say so when a message has another number of fields than they know.

    The official one logs it and drops the message.
    """
    from ibapi.decoder import Decoder

    class StrictDecoder(Decoder):  # type: ignore[misc]  # ibapi has no types
        """Decoder that raises where the official one drops a message."""

        def interpretWithSignature(self, fields: Sequence[bytes], handleInfo: Any) -> None:  # noqa: N802, N803
            """Decode a message by the signature of its callback."""
            known = handleInfo.wrapperParams
            skipped = 1 if _takes_id(self.interpret) else 2
            if known is not None and len(fields) - skipped != len(known) - 1:
                name = handleInfo.wrapperMeth.__name__
                raise ValueError(
                    f"{name} came with {len(fields) - skipped} fields, {len(known) - 1} are known"
                )
            super().interpretWithSignature(fields, handleInfo)

    return StrictDecoder


def _units(quantity: float) -> Decimal:
    """Units as a decimal that is written without an exponent where they are whole."""
    return Decimal(int(quantity)) if quantity == int(quantity) else Decimal(repr(quantity))


# -- values ------------------------------------------------------------------------------------------------


def number(value: Any) -> float | None:
    """`value` as a float; None where it is unset, in any of the ways that releases have for that."""
    if value is None or value == "":
        return None
    if isinstance(value, Decimal) and (not value.is_finite() or value == UNSET_DECIMAL):
        return None
    if isinstance(value, int) and value in UNSET_INTEGERS:
        return None
    made = float(value)
    return None if not math.isfinite(made) or abs(made) >= UNSET_DOUBLE else made


def whole(value: Any) -> int | None:
    """`value` as an int; None where it is unset."""
    made = number(value)
    return None if made is None else int(value)


def commission_of(report: Any) -> float | None:
    """Commission of a report under either of its names; None where there is none yet (unset, or -1)."""
    value = number(getattr(report, "commissionAndFees", None))
    if value is None:
        value = number(getattr(report, "commission", None))
    return None if value == -1.0 else value


def state_commission(state: Any) -> float | None:
    """Commission in the state of an order, under either of its names; None until it is known."""
    value = number(getattr(state, "commissionAndFees", None))
    return number(getattr(state, "commission", None)) if value is None else value


def error_parts(args: Sequence[Any]) -> tuple[int, str, str]:
    """Code, text and reject details of an error in any of its three shapes.

    Parameters
    ----------
    args : sequence
        What follows the request id: (code, text), (code, text, details) or (time, code, text, details).
    """
    if len(args) >= 3 and isinstance(args[0], int) and isinstance(args[1], int):
        args = args[1:]
    code, text, *rest = args
    return int(code), str(text), str(rest[0]) if rest else ""
