"""The command ``quantlab contracts``: what a symbol stands for at Interactive Brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._connection import (
    DEFAULT_PLACE,
    CurrencyOption,
    ExchangeOption,
    GatewayOption,
    PrimaryOption,
    SecurityTypeOption,
    connected,
)
from quantlab.cli._options import JsonOption

if TYPE_CHECKING:
    from quantlab.broker.contracts import ContractDetails
    from quantlab.broker.hours import Hours

__all__ = ["app"]

app = make_app()

SHOWN_HOURS = 3
"""Sessions that are printed for a person."""

CLIENT_ID = 81
"""Own number, so that a look at a contract does not collide with what trades."""


@app.command()
def contracts(  # noqa: PLR0917  # typer reads options from parameters
    symbols: Annotated[
        list[str], typer.Argument(metavar="SYMBOL...", show_default=False, help="Such as AAPL or 'BRK B'.")
    ],
    security_type: SecurityTypeOption = "STK",
    exchange: ExchangeOption = "SMART",
    currency: CurrencyOption = "USD",
    primary_exchange: PrimaryOption = "",
    last_trade_date: Annotated[
        str, typer.Option("--last-trade-date", metavar="YYYYMM", help="Month or day of a future.")
    ] = "",
    gateway: GatewayOption = DEFAULT_PLACE,
    client_id: Annotated[
        int, typer.Option("--client-id", min=0, help="Who we are at the gateway.")
    ] = CLIENT_ID,
    as_json: JsonOption = False,
) -> None:
    """Show what Interactive Brokers knows of a symbol: contract, tick, hours, or its namesakes.

    A symbol that is unknown or stands for several contracts ends with 2 and a list of what there is.
    """
    from quantlab.broker.contracts import find_contract

    with connected(gateway, client_id) as client:
        found = [
            find_contract(
                client,
                symbol,
                security_type,
                exchange,
                currency,
                primary_exchange=primary_exchange,
                last_trade_date=last_trade_date,
            )
            for symbol in symbols
        ]
    if as_json:
        from quantlab.cli._output import print_json

        print_json({"contracts": [_document(details) for details in found]})
        return
    for k, details in enumerate(found):
        if k:
            typer.echo()
        _show(details)


def _hours(text: str, details: ContractDetails) -> tuple[Hours, ...]:
    from quantlab.broker.hours import read_hours
    from quantlab.errors import DataError

    try:
        return read_hours(text, details.time_zone)
    except DataError:  # they are shown as they came
        return ()


def _document(details: ContractDetails) -> dict[str, Any]:
    from dataclasses import asdict

    from quantlab.broker.contracts import instrument_of

    hours = [
        {"date": h.date, "open": _utc(h.open_ns), "close": _utc(h.close_ns)}
        for h in _hours(details.liquid_hours, details)
    ]
    return {**asdict(details), "instrument": asdict(instrument_of(details)), "sessions": hours}


def _utc(time_ns: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat()


def _show(details: ContractDetails) -> None:
    from quantlab.broker.contracts import instrument_of
    from quantlab.cli._output import print_pairs

    contract, instrument = details.contract, instrument_of(details)
    typer.echo(f"{contract}{f'  {details.long_name}' if details.long_name else ''}")
    sessions = _hours(details.liquid_hours, details)[:SHOWN_HOURS]
    shown = {
        "tick": f"{instrument.tick:g} {contract.currency}" if instrument.tick else "not told",
        "lot": f"{instrument.lot:g}",
        "multiplier": f"{instrument.multiplier:g}",
        "local symbol": contract.local_symbol,
        "trading class": contract.trading_class,
        "exchanges": ", ".join(details.exchanges),
        "order types": ", ".join(details.order_types),
        "industry": ", ".join(filter(None, (details.industry, details.category))),
        "hours": _span(sessions) or details.liquid_hours,
        "time zone": details.time_zone,
    }
    print_pairs({f"  {name}": value for name, value in shown.items() if value})


def _span(sessions: tuple[Hours, ...]) -> str:
    return ", ".join(f"{h.date[:4]}-{h.date[4:6]}-{h.date[6:]} {h.opens} to {h.closes}" for h in sessions)
