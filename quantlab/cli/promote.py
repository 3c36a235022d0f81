"""``quantlab promote``: a strategy with its evidence and its limits, sealed into a bundle."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import (
    BarsChoice,
    BarSizeOption,
    CatalogOption,
    EndOption,
    JsonOption,
    ParamOption,
    StartOption,
    StrategyArgument,
    SymbolsOption,
    parse_params,
)
from quantlab.errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from quantlab.bars import Bars
    from quantlab.live.bundle import Bundle
    from quantlab.live.promote import Evidence
    from quantlab.live.risk import Limits

__all__ = ["app", "bars_to_promote"]

app = make_app()

LIMITS = {
    "max_order_value": "largest value of one order",
    "max_position_value": "largest value of one position",
    "max_gross_value": "largest value of all positions together",
    "max_orders_per_day": "most orders in one session",
    "max_daily_loss": "loss in one session that halts the run",
}
"""Risk limits, each with what is asked for."""


def _limit(name: str) -> Any:
    """Option of one risk limit."""
    metavar = "NUMBER" if name == "max_orders_per_day" else "MONEY"
    return typer.Option(metavar=metavar, show_default=False, help=f"Risk limit: {LIMITS[name]}.")


@app.command()
def promote(  # noqa: PLR0917  # typer reads options from parameters
    strategy: StrategyArgument,
    param: ParamOption = None,
    to: Annotated[str, typer.Option("--to", metavar="MODE", help="'paper' is all there is.")] = "paper",
    symbols: SymbolsOption = None,
    catalog: CatalogOption = None,
    bar_size: BarSizeOption = None,
    start: StartOption = None,
    end: EndOption = None,
    cash: Annotated[float, typer.Option("--cash", help="Money allotted to the bundle.")] = 100_000.0,
    costs: Annotated[str, typer.Option("--costs", help="As for 'quantlab backtest'.")] = "default",
    sizing: Annotated[
        str | None, typer.Option("--sizing", help="equal, a share of equity, units:10 or value:10000.")
    ] = None,
    account: Annotated[str, typer.Option("--account", help="margin or cash.")] = "margin",
    join: Annotated[
        str, typer.Option("--join", help="Take over a standing target at its 'next_entry', or 'now'.")
    ] = "next_entry",
    max_order_value: Annotated[float | None, _limit("max_order_value")] = None,
    max_position_value: Annotated[float | None, _limit("max_position_value")] = None,
    max_gross_value: Annotated[float | None, _limit("max_gross_value")] = None,
    max_orders_per_day: Annotated[int | None, _limit("max_orders_per_day")] = None,
    max_daily_loss: Annotated[float | None, _limit("max_daily_loss")] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FOLDER", help="Where the bundle goes. [default: bundles/NAME]"),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Examine a strategy and seal it, with its evidence and its risk limits, into a bundle.

    The causality check, the warm-up test and the cost stress run first; a strategy that looks ahead is refused. The
    bars are those of a catalog ('quantlab data fetch'), or the sample's prices as the simulated gateway serves them.
    With --end the rest is held back, so that a simulated paper run has something to trade.
    """
    from datetime import UTC, datetime

    from quantlab.cli._output import say_when_compiling
    from quantlab.cli._settings import parse_account, parse_costs, parse_sizing
    from quantlab.costs import Costs
    from quantlab.engine.loader import load_strategy
    from quantlab.live.bundle import Terms
    from quantlab.live.promote import promote as run
    from quantlab.sizing import Sizing

    if to != "paper":
        raise UnknownNameError("mode", to, ("paper",), "Real money is not traded in this version.")
    limits = _limits(
        {
            "max_order_value": max_order_value,
            "max_position_value": max_position_value,
            "max_gross_value": max_gross_value,
            "max_orders_per_day": max_orders_per_day,
            "max_daily_loss": max_daily_loss,
        },
        ask=sys.stdin.isatty() and not as_json,
    )
    found = load_strategy(strategy)
    size = parse_sizing(found, sizing=sizing, fractional=False, price=None, rebalance=None, max_leverage=None)
    terms = Terms(
        cash=cash,
        costs=parse_costs(costs) or Costs.default(),
        sizing=size or found.sizing or Sizing(),
        account=parse_account(account),
        limits=limits,
        join=join,
    )
    bars = bars_to_promote(BarsChoice(symbols, catalog, None, bar_size, start, end))
    if not as_json:
        say_when_compiling()
    bundle, evidence = run(
        found,
        bars,
        parse_params(found, param),
        terms=terms,
        out=out or f"bundles/{found.name}",
        origin=strategy,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if as_json:
        from quantlab.cli._output import print_json

        print_json({"bundle": str(bundle.folder), **bundle.content, "doubts": evidence.doubts})
    else:
        _print_text(bundle, evidence)
    return 0


def bars_to_promote(choice: BarsChoice) -> Bars:
    """Bars of a catalog, or the sample's as the simulated gateway serves them (adjusted for splits alone)."""
    if choice.catalog is not None:
        return choice.load()
    from quantlab.gateway.market import Market

    if choice.bar_size not in {None, "1 day"}:
        raise ParameterError(
            f"--bar-size {choice.bar_size!r} of the sample has no real prices; fetch bars into a catalog first "
            "('quantlab data fetch'), and name it with --catalog."
        )
    names = choice.names or ["AAPL"]
    source = {"kind": "sample", "symbols": names, "bar_size": "1 day", "adjustment": "splits"}
    served = Market.of_sample(names).base
    bars = replace(served, meta={**served.meta, "source": source})
    start, end = choice.window
    return bars if start is None and end is None else bars.between(start, end)


def _limits(given: dict[str, Any], *, ask: bool) -> Limits:
    """Risk limits, asked for where somebody can answer.

    Raises
    ------
    ParameterError
        For limits that were not given, where nobody can be asked.
    """
    from quantlab.live.risk import Limits

    missing = [name for name, value in given.items() if value is None]
    if missing and not ask:
        options = " ".join(f"--{name.replace('_', '-')} …" for name in missing)
        raise ParameterError(
            f"risk limits are missing: {', '.join(missing)}. A live run needs every one of them, in the account's "
            f"currency: {options}"
        )
    for name in missing:
        kind = int if name == "max_orders_per_day" else float
        given[name] = typer.prompt(f"{name} ({LIMITS[name]})", type=kind)
    return Limits.from_description(given)


def _print_text(bundle: Bundle, evidence: Evidence) -> None:
    from quantlab.cli._output import print_pairs, print_table

    warmup = evidence.warmup
    print_pairs(
        {
            "promoted": str(bundle),
            "causality": f"{evidence.causality.verdict}, {evidence.causality.n_comparisons:,} comparisons",
            "warm-up": "the whole history" if warmup is None else f"{warmup} of {bundle.bars.n_bars} bars",
            "data": f"{bundle.bars}",
        }
    )
    rows = [
        (
            f"{run['costs']:g} x",
            f"{run['total_return']:.1%}",
            f"{run['sharpe']:.2f}",
            f"{run['max_drawdown']:.1%}",
            f"{run['n_orders']:.0f}",
        )
        for run in evidence.stress
    ]
    print_table(
        ("costs", "total return", "Sharpe", "max drawdown", "orders"), rows, title="under the stress of costs"
    )
    for doubt in evidence.doubts:
        typer.echo(f"doubt: {doubt}")
    typer.echo(f"bundle: {bundle.folder}")
    typer.echo(f"next: quantlab parity {bundle.folder}   then   quantlab paper {bundle.folder} --simulate")
