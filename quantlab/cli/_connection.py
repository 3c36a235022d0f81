"""Options of commands that talk to TWS or IB Gateway, and the connection that they make."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.broker.client import Client

__all__ = [
    "DEFAULT_PLACE",
    "CurrencyOption",
    "ExchangeOption",
    "GatewayOption",
    "PrimaryOption",
    "SecurityTypeOption",
    "connected",
    "parse_place",
]

DEFAULT_PLACE = "127.0.0.1:4002"

GatewayOption = Annotated[
    str,
    typer.Option(
        "--gateway",
        metavar="HOST:PORT",
        help="TWS (7497, real money 7496), IB Gateway (4002, real money 4001), or 'quantlab gateway'.",
    ),
]
SecurityTypeOption = Annotated[
    str, typer.Option("--security-type", help="STK, FUT, CASH, CFD, IND or CRYPTO.")
]
ExchangeOption = Annotated[str, typer.Option("--exchange", help="Where it is routed to.")]
PrimaryOption = Annotated[
    str, typer.Option("--primary-exchange", metavar="NAME", help="Where it is listed, such as NASDAQ.")
]
CurrencyOption = Annotated[str, typer.Option("--currency", help="Currency of its prices.")]


def parse_place(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises
    ------
    ParameterError
        For anything else.
    """
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise ParameterError(f"{text!r} is no place; write host:port, such as {DEFAULT_PLACE}.")
    return host, int(port)


@contextmanager
def connected(place: str, client_id: int, timeout_s: float = 10.0) -> Iterator[Client]:
    """Connect a client that may not touch orders; closed in the end.

    Raises
    ------
    ParameterError
        For a place that is none.
    NotConnectedError, MissingExtraError
        If there is no connection; says what to do.
    """
    from quantlab.broker.client import Client

    with Client(*parse_place(place), client_id) as client:
        client.connect(timeout_s)
        yield client
