"""``quantlab paper``: run a bundle on paper money, at a simulated gateway or at a real one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._connection import parse_place
from quantlab.cli._options import JsonOption
from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quantlab.live.runner import Runner

__all__ = ["BundleArgument", "app"]

app = make_app()

BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", show_default=False, help="Folder that 'quantlab promote' made.")
]


@app.command()
def paper(  # noqa: PLR0917  # typer reads options from parameters
    bundle: BundleArgument,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Trade at a gateway that is simulated here, from the data's end on."),
    ] = False,
    gateway: Annotated[
        str | None,
        typer.Option(
            "--gateway", metavar="HOST:PORT", help="TWS (7497), IB Gateway (4002), or 'quantlab gateway'."
        ),
    ] = None,
    client_id: Annotated[int, typer.Option("--client-id", min=1, help="Who we are at the gateway.")] = 1,
    fills: Annotated[
        str, typer.Option("--fills", help="With --simulate: by 'quotes', or by 'bars' as the backtest does.")
    ] = "quotes",
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="Stop after the last bar up to this day.")
    ] = None,
    driven: Annotated[
        bool,
        typer.Option(
            "--driven",
            help="With --gateway: its time stands still until it is asked (--speed max).",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Run a bundle on paper money: closed bar, signal, order, journal, until it is stopped.

    Everything is written to the bundle's journal before it is sent; run the same command again after a crash, and it
    reconciles with the broker before it trades. Real-money ports and accounts are refused.
    """
    from quantlab.live.bundle import read_bundle
    from quantlab.live.session import at_gateway, simulated

    if simulate == (gateway is not None):
        raise ParameterError("say where to trade: --simulate, or --gateway 127.0.0.1:4002 (one of them).")
    found = read_bundle(bundle)
    say: Callable[[str], None] = _quiet if as_json else typer.echo
    say(f"bundle {found}")
    if simulate:
        running = simulated(found, client_id=client_id, fills=fills, until=until, say=say)
    else:
        running = at_gateway(
            found, *parse_place(gateway or ""), client_id=client_id, until=until, driven=driven, say=say
        )
    with running as runner, _stopping(runner):
        runner.run()
        said = _summary(runner)
    if as_json:
        from quantlab.cli._output import print_json

        print_json(said)
    else:
        from quantlab.cli._output import print_pairs

        print_pairs(said)
    return 1 if said["frozen"] or said["halted"] else 0


def _quiet(_: str) -> None:
    """Say nothing: the JSON document says it all."""


@contextmanager
def _stopping(runner: Runner) -> Iterator[None]:
    """Let an interrupt end the loop between two steps instead of within one."""
    import signal

    def stop(*_: Any) -> None:
        runner.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _summary(runner: Runner) -> dict[str, Any]:
    """Say how a run ended."""
    book = runner.book
    held = {s: a.position for s, a in book.assets.items() if a.position}
    return {
        "decided": runner.n_decided,
        "orders": len(book.orders),
        "fills": len(book.executions),
        "cash": f"{book.cash:,.2f}",
        "equity": f"{book.equity_at[1]:,.2f}",
        "positions": ", ".join(f"{q:g} {s}" for s, q in held.items()) or "none",
        "frozen": ", ".join(f"{s}: {a.frozen}" for s, a in book.assets.items() if a.frozen) or "",
        "halted": book.halted or "",
        "journal": str(runner.bundle.journal_path),
    }
