"""``quantlab parity``: a period through backtest and through the real path, decision by decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import EndOption, JsonOption, StartOption
from quantlab.cli.paper import BundleArgument
from quantlab.errors import UnknownNameError

if TYPE_CHECKING:
    from quantlab.live.parity import ParityReport

__all__ = ["app", "print_report"]

app = make_app()

MODES = ("bars", "quotes", "both")

SHOWN = 10


@app.command()
def parity(
    bundle: BundleArgument,
    fills: Annotated[
        str,
        typer.Option(
            "--fills", help="How the gateway fills: 'bars' (the engine's rule), 'quotes', or 'both'."
        ),
    ] = "both",
    start: StartOption = None,
    end: EndOption = None,
    as_json: JsonOption = False,
) -> int:
    """Replay a period through the official client, a socket and the gateway, beside the backtest.

    Decisions (signal, target, order) must be equal at every bar in both modes. Fills are equal by construction where
    the gateway fills by the engine's rule; at quotes, the gap in profit is taken apart. The exit code is 0 if the claim
    holds, 1 if not.
    """
    from quantlab.cli._output import say_when_compiling
    from quantlab.live.bundle import read_bundle
    from quantlab.live.parity import run_parity

    if fills not in MODES:
        raise UnknownNameError("way to fill", fills, MODES)
    found = read_bundle(bundle)
    if not as_json:
        say_when_compiling()
    modes = MODES[:2] if fills == "both" else (fills,)
    reports = [run_parity(found, fills=mode, start=start, end=end) for mode in modes]
    if as_json:
        from quantlab.cli._output import print_json

        print_json([r.to_dict() for r in reports])
    else:
        for report in reports:
            print_report(report)
    return 0 if all(r.ok for r in reports) else 1


def print_report(report: ParityReport) -> None:
    """Print a report as people read it: the claim, the numbers, what differs, and what the gap is made of."""
    from quantlab.cli._output import print_table
    from quantlab.live.attribution import CAUSES

    typer.echo(f"{report.bundle}")
    typer.echo(
        f"{report.first} to {report.last}, {report.client}, fills by {report.fills}, {report.seconds:.1f} s"
    )
    n = len(report.rows)
    equal = n - len({(d.time_ns, d.symbol) for d in report.differences})
    rows = [
        (
            "signal, target and order",
            f"{equal:,} of {n:,}",
            "equal" if report.decisions_equal else "DIFFERENT",
        ),
        ("orders received by the gateway", f"{report.n_orders:,}", ""),
        *_held_back(report),
        ("fills", f"{report.n_fills:,}", _fills_verdict(report)),
        ("profit, live", f"{report.live_pnl:,.2f}", ""),
        ("profit, backtest", f"{report.backtest_pnl:,.2f}", ""),
        ("gap", f"{report.gap.total:,.2f}", ""),
    ]
    if report.fills == "quotes":
        rows += [(f"  of {cause}", f"{getattr(report.gap, cause):,.2f}", "") for cause in CAUSES]
        rows.append(
            ("  explained", f"{report.gap.explained:,.2f}", "all" if report.gap.closes else "NOT ALL")
        )
    print_table(("", "number", ""), rows)
    for difference in report.differences[:SHOWN]:
        typer.echo(f"differs: {difference}")
    if report.fills == "bars":
        for difference in report.fill_differences[:SHOWN]:
            typer.echo(f"fill differs: {difference}")


def _held_back(report: ParityReport) -> list[tuple[str, str, str]]:
    """Row of orders that were not sent, if there are any: limits are a part of live that a backtest does not have."""
    n = report.n_held_back
    return [("orders held back by limits", f"{n:,}", "wider limits, or less cash")] if n else []


def _fills_verdict(report: ParityReport) -> str:
    if report.fills == "quotes":
        return "differ, as in life"
    return "equal by construction (the engine's rule)" if report.fills_equal else "DIFFERENT"
