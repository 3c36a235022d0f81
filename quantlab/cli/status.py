"""``quantlab status``: what a bundle holds, what it last decided, and whether it runs."""

from __future__ import annotations

from typing import Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import JsonOption
from quantlab.cli.paper import BundleArgument

__all__ = ["app"]

app = make_app()


@app.command()
def status(bundle: BundleArgument, as_json: JsonOption = False) -> int:
    """Say what a bundle holds, what it last decided, and whether it runs.

    The exit code is 1 if an asset is frozen or the run is halted.
    """
    from quantlab.live.book import Book
    from quantlab.live.bundle import read_bundle
    from quantlab.live.journal import is_written, read_journal
    from quantlab.live.outgoing import ticket_text

    found = read_bundle(bundle)
    entries = read_journal(found.journal_path)
    book = Book.of(found.id, found.terms.cash, {x.symbol: x.multiplier for x in found.instruments}, entries)
    halted = book.halted or ("asked for by its file" if found.halt_path.exists() else None)
    said: dict[str, Any] = {
        "bundle": str(found),
        "running": is_written(found.journal_path),
        "account": book.account,
        "decided": _when(book.decided_ns),
        "cash": book.cash,
        "equity": book.equity_at[1] if book.decided_ns else book.cash,
        "halted": halted,
        "assets": {
            s: {
                "position": a.position,
                "target": a.last_target,
                "joined": a.joined,
                "on the way": book.pending(s),
                "protected by": [ticket_text(o.ticket) for o in book.protection(s) if a.position],
                "flat until next entry": a.stopped,
                "frozen": a.frozen,
            }
            for s, a in book.assets.items()
        },
        "entries": len(entries),
    }
    if as_json:
        from quantlab.cli._output import print_json

        print_json(said)
    else:
        _print_text(said)
    return 1 if halted or any(a.frozen for a in book.assets.values()) else 0


def _when(time_ns: int) -> str | None:
    import numpy as np

    return f"{str(np.datetime64(time_ns, 'ns'))[:16]} UTC" if time_ns else None


def _print_text(said: dict[str, Any]) -> None:
    from quantlab.cli._output import print_pairs, print_table

    print_pairs(
        {
            "bundle": said["bundle"],
            "running": "yes" if said["running"] else "no",
            "account": said["account"] or "none yet",
            "last decision": said["decided"] or "none yet",
            "cash": f"{said['cash']:,.2f}",
            "equity": f"{said['equity']:,.2f} at the last decision",
            "halted": said["halted"] or "no",
        }
    )
    rows = [
        (
            s,
            f"{a['position']:g}",
            f"{a['target']:g}",
            f"{a['on the way']:g}",
            ", ".join(a["protected by"])
            or ("flat until the next entry" if a["flat until next entry"] else "-"),
            "yes" if a["joined"] else "not yet",
        )
        for s, a in said["assets"].items()
    ]
    print_table(("asset", "position", "last target", "on the way", "protected by", "joined"), rows)
    for symbol, asset in said["assets"].items():
        if asset["frozen"]:
            typer.echo(f"frozen: {symbol}: {asset['frozen']}")
