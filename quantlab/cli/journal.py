"""``quantlab journal``: what a bundle decided, sent and heard, line by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import JsonOption
from quantlab.cli.paper import BundleArgument
from quantlab.errors import UnknownNameError

if TYPE_CHECKING:
    from quantlab.live.journal import Entry

__all__ = ["app"]

app = make_app()

QUIET = ("bar", "status", "notice")
"""Kinds that are left out unless asked for: many, and seldom what one looks for."""


@app.command()
def journal(
    bundle: BundleArgument,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only entries of this kind (repeatable).")
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="So many, from the end.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """Print what a bundle decided, sent and heard, from the journal, also while it runs."""
    from quantlab.live.bundle import read_bundle
    from quantlab.live.journal import KINDS, read_journal

    for name in kind or ():
        if name not in KINDS:
            raise UnknownNameError("kind of entry", name, KINDS)
    chosen = tuple(kind) if kind else tuple(k for k in KINDS if k not in QUIET)
    entries = read_journal(read_bundle(bundle).journal_path, *chosen)[-last:]
    if as_json:
        from quantlab.cli._output import print_json

        print_json([{"seq": e.seq, "at_ns": e.at_ns, "kind": e.kind, **e.body} for e in entries])
        return 0
    for entry in entries:
        typer.echo(_line(entry))
    return 0


def _line(entry: Entry) -> str:
    import numpy as np

    when = str(np.datetime64(entry.at_ns, "ns"))[:19] if entry.at_ns else " " * 19
    return f"{entry.seq:>6}  {when}  {entry.kind:<10}  {_told(entry.kind, entry.body)}"


def _told(kind: str, body: dict[str, Any]) -> str:
    """Tell one entry in a few words."""
    if kind == "decision":
        orders = {s: a["quantity"] for s, a in body["assets"].items() if a["quantity"]}
        targets = " ".join(f"{s}={_text(a['target'])}" for s, a in body["assets"].items())
        wanted = ", ".join(f"{q:+g} {s}" for s, q in orders.items()) or "no order"
        return f"equity {body['equity']:,.2f}  targets {targets}  {wanted}"
    if kind in {"intent", "blocked", "resized"}:
        from quantlab.live.outgoing import ticket_text

        what = f" {body['symbol']}" if "symbol" in body else ""
        what += f" {ticket_text(body.get('ticket', {}))}" if kind == "intent" else ""
        return f"{body['quantity']:+g}{what}  {body.get('reason', body['ref'])}"
    if kind == "execution":
        return f"{body['quantity']:+g} {body['symbol']} @ {body['price']:g}  {body['exec_id']}"
    if kind == "commission":
        return f"{body['amount']:g} {body['currency']}  {body['exec_id']}"
    return json.dumps(body)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
