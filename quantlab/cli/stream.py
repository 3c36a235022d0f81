"""The command ``quantlab stream``: bars or ticks as they come, in a table, and into files."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._connection import (
    DEFAULT_PLACE,
    CurrencyOption,
    ExchangeOption,
    GatewayOption,
    SecurityTypeOption,
    connected,
)
from quantlab.cli._options import JsonOption
from quantlab.errors import NotConnectedError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from quantlab.broker.client import Client
    from quantlab.broker.recorder import Recorder
    from quantlab.broker.stream import Stream, StreamState

__all__ = ["app"]

app = make_app()

CLIENT_ID = 82
"""Own number, so that a stream does not collide with what trades."""

REFRESH_S = 0.25
"""How often the table is drawn, at most."""

SHOWN_NOTICES = 3
MILLION = 1_000_000


@app.command()
def stream(  # noqa: PLR0917  # typer reads options from parameters
    symbols: Annotated[
        list[str], typer.Argument(metavar="SYMBOL...", show_default=False, help="Such as AAPL or 'BRK B'.")
    ],
    bars: Annotated[
        str | None,
        typer.Option("--bars", metavar="SIZE", help="Bars of this size, such as '5 secs' or '1 min'."),
    ] = None,
    ticks: Annotated[bool, typer.Option("--ticks", help="Ticks instead of bars.")] = False,
    kind: Annotated[
        str, typer.Option("--kind", help="With --ticks: market, trades, 'all trades', quotes or midpoint.")
    ] = "market",
    record: Annotated[
        str | None, typer.Option("--record", metavar="DIR", help="Write everything to Parquet, in parts.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.0, help="Stop after so long; else at Ctrl-C.")
    ] = None,
    extended: Annotated[
        bool, typer.Option("--extended", help="Also bars outside regular trading hours.")
    ] = False,
    security_type: SecurityTypeOption = "STK",
    exchange: ExchangeOption = "SMART",
    currency: CurrencyOption = "USD",
    gateway: GatewayOption = DEFAULT_PLACE,
    client_id: Annotated[
        int, typer.Option("--client-id", min=0, help="Who we are at the gateway.")
    ] = CLIENT_ID,
    as_json: JsonOption = False,
) -> None:
    """Show bars or ticks from Interactive Brokers as they come, and record them if asked.

    Ctrl-C ends it; what was recorded is complete then.
    """
    from quantlab.broker.clock import SystemClock
    from quantlab.broker.contracts import find_contract
    from quantlab.broker.recorder import Recorder
    from quantlab.broker.stream import Stream

    if ticks == (bars is not None):
        raise ParameterError("say what to stream: --bars '5 secs', or --ticks (one of them).")
    recorder = None if record is None else Recorder(record, SystemClock())
    with connected(gateway, client_id) as client:
        found = [find_contract(client, s, security_type, exchange, currency).contract for s in symbols]
        running = Stream(client, found, bar_size=bars, ticks=kind if ticks else None, rth=not extended)
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            running.start()
            with _shown(running.state, quiet=as_json) as draw:
                _run(client, running, recorder, deadline, draw)
        except KeyboardInterrupt:
            pass
        finally:
            if recorder is not None:
                recorder.close()
        running.stop()
    _summarize(running.state, recorder, as_json=as_json)


def _run(
    client: Client,
    running: Stream,
    recorder: Recorder | None,
    deadline: float | None,
    draw: Callable[[], None],
) -> None:
    """Read events until the deadline, or until the connection is lost.

    Raises
    ------
    NotConnectedError
        When the connection is lost.
    RequestError
        When a subscription is refused.
    """
    from quantlab.broker.events import Disconnected

    drawn = 0.0
    while deadline is None or time.monotonic() < deadline:
        now = time.monotonic()
        left = REFRESH_S if deadline is None else min(REFRESH_S, deadline - now)
        event = client.next(max(0.0, left))
        if isinstance(event, Disconnected):
            raise NotConnectedError(f"the stream ended: {event.reason}. Run the command again.")
        for row in () if event is None else running.take(event):
            if recorder is not None:
                recorder.put(row)
        if now - drawn >= REFRESH_S:
            drawn = now
            draw()
            if recorder is not None:
                recorder.write_due()


@contextmanager
def _shown(state: StreamState, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Draw a live table where a person looks on; yields what draws it anew."""
    if quiet or not sys.stdout.isatty():
        yield lambda: None
        return
    from rich.live import Live

    from quantlab.cli._output import console

    with Live(_table(state), console=console(), auto_refresh=False) as live:
        yield lambda: live.update(_table(state), refresh=True)


def _table(state: StreamState) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    said = "\n".join(state.notices[-SHOWN_NOTICES:]) or None
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption=said)
    table.add_column("symbol", no_wrap=True)
    for name in (*state.columns, "events"):
        table.add_column(name.replace("_", " "), justify="right", overflow="fold", no_wrap=name == "time")
    for symbol, row in state.rows.items():
        cells = [_cell(name, row.get(name)) for name in state.columns]
        table.add_row(symbol, *cells, str(state.counts[symbol]))
    return table


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "time":
        return time.strftime("%H:%M:%S", time.localtime(value / 1e9))
    if name in {"volume", "bid_size", "ask_size", "last_size"} and value >= MILLION:
        return f"{value / MILLION:.2f}M"
    return f"{value:,.10g}"


def _summarize(state: StreamState, recorder: Recorder | None, *, as_json: bool) -> None:
    parts = [] if recorder is None else recorder.parts
    n_rows = 0 if recorder is None else recorder.n_rows
    if as_json:
        from quantlab.cli._output import print_json

        symbols = {s: {"events": state.counts[s], **state.rows[s]} for s in state.rows}
        print_json({"symbols": symbols, "notices": state.notices, "recorded": n_rows, "parts": parts})
        return
    from quantlab.cli._output import console, print_pairs

    if not sys.stdout.isatty():
        console().print(_table(state))
    if recorder is not None:
        print_pairs({"recorded": f"{n_rows} rows", "parts": f"{len(parts)} in {recorder.folder}"})
