"""``quantlab gateway``: a simulated TWS on loopback, until it is interrupted."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import CatalogOption, JsonOption, SymbolsOption

if TYPE_CHECKING:
    from quantlab.gateway.market import Market
    from quantlab.gateway.server import Gateway

__all__ = ["app"]

app = make_app()

TICK_S = 0.5
"""Seconds between looks at what the gateway has to say."""


@app.command()
def gateway(  # noqa: PLR0917  # typer reads options from parameters
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes any free one.")
    ] = 4002,
    symbols: SymbolsOption = None,
    catalog: CatalogOption = None,
    bar_size: Annotated[
        str | None,
        typer.Option(
            "--bar-size",
            metavar="SIZE",
            help="With --catalog: which bars are the real ones. [default: the shortest]",
        ),
    ] = None,
    speed: Annotated[
        str,
        typer.Option(
            "--speed",
            help="1 or 60: simulated seconds a second; max: time moves when a client asks for it; step: by Enter.",
        ),
    ] = "1",
    fills: Annotated[
        str, typer.Option("--fills", help="quotes: bid, ask and latency; bars: the backtest's own rule.")
    ] = "quotes",
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="DATE", help="First day. [default: that of the last year]"),
    ] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="DATE", help="Last day.")] = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state", metavar="FILE", help="Keep orders, money and time there, and go on from there."
        ),
    ] = None,
    cash: Annotated[float, typer.Option("--cash", help="Money of a new account.")] = 1_000_000.0,
    account: Annotated[str, typer.Option("--account", help="Its number, DU….")] = "DU1234567",
    host: Annotated[str, typer.Option("--host", help="A loopback address.")] = "127.0.0.1",
    spread_bps: Annotated[float, typer.Option("--spread-bps", help="Spread of the quotes.")] = 2.0,
    latency: Annotated[
        float, typer.Option("--latency", help="Simulated seconds until an order meets the quotes.")
    ] = 0.25,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the synthetic paths.")] = 0,
    ceiling: Annotated[int, typer.Option("--ceiling", help="Newest protocol version that is spoken.")] = 178,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every order.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Run a simulated TWS on this machine, for any client of Interactive Brokers' protocol.

    It serves the sample's real daily prices (or a catalog's), with a synthetic path inside each bar, fills orders
    of a paper account, and listens on loopback only. Ctrl-C ends it.
    """
    from quantlab.gateway.server import Gateway

    server = Gateway(
        _market(symbols, catalog, bar_size),
        port=port,
        host=host,
        account=account,
        cash=cash,
        fills=fills,
        speed=speed,
        start=start,
        end=end,
        state=state,
        ceiling=ceiling,
        spread_bps=spread_bps,
        latency_s=latency,
        seed=seed,
        read_only=read_only,
    )
    with server:
        try:
            _say_hello(server, speed, fills, as_json=as_json)
            _serve(server, by_hand=speed == "step")
        except KeyboardInterrupt:
            typer.echo("the gateway has stopped", err=True)
    return 0


def _market(symbols: str | None, catalog: str | None, bar_size: str | None) -> Market:
    """Prices that are served."""
    from quantlab.cli._options import BarsChoice
    from quantlab.errors import ParameterError
    from quantlab.gateway.market import Market

    names = BarsChoice(symbols).names or None
    if catalog is not None:
        return Market.of_catalog(catalog, names, bar_size=bar_size)
    if bar_size is not None:
        raise ParameterError("--bar-size chooses among the bars of a catalog; give --catalog PATH with it.")
    return Market.of_sample(names)


def _facts(server: Gateway, speed: str, fills: str) -> dict[str, Any]:
    from quantlab.gateway.statements import moment_text

    return {
        "address": server.address,
        "host": server.address.rpartition(":")[0],
        "port": server.port,
        "account": server.account,
        "time": moment_text(server.now_ns, server.market.zone),
        "symbols": list(server.market.symbols),
        "speed": speed,
        "fills": fills,
    }


def _say_hello(server: Gateway, speed: str, fills: str, *, as_json: bool) -> None:
    """Print one line: where it is, and how to connect."""
    facts = _facts(server, speed, fills)
    if as_json:
        import json

        line = json.dumps(facts)
    else:
        line = (
            f"gateway {facts['address']}, account {facts['account']}, {facts['time']} (speed {speed}, fills {fills}); "
            f'connect with EClient.connect("{facts["host"]}", {facts["port"]}, clientId=1), end with Ctrl-C'
        )
    typer.echo(line)
    sys.stdout.flush()


def _serve(server: Gateway, *, by_hand: bool) -> None:
    """Wait until it is interrupted; pass on what the gateway has to say, and move time by hand."""
    if by_hand:
        threading.Thread(target=_step, args=(server,), daemon=True).start()
    said: tuple[str, ...] = ()
    idle = threading.Event()
    try:
        while True:
            idle.wait(TICK_S)  # in pieces: on Windows a wait without end cannot be interrupted
            said = _pass_on(server, said)
    finally:
        _pass_on(server, said)


def _pass_on(server: Gateway, said: tuple[str, ...]) -> tuple[str, ...]:
    """Print the notices that are new; return all of them."""
    notices = server.notices
    # Old notices are dropped in time: then the last one is what is new.
    for notice in notices[len(said) :] if notices[: len(said)] == said else notices[-1:]:
        typer.echo(notice, err=True)
    return notices


def _step(server: Gateway) -> None:
    """Move time to its next event at each Enter."""
    from quantlab.gateway.statements import moment_text

    for _ in sys.stdin:
        moved = server.advance()
        note = "" if moved else " (the end of the prices)"
        typer.echo(moment_text(server.now_ns, server.market.zone) + note)
