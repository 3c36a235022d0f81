"""``quantlab backtest``: one strategy over bars, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._errors import FAILED
from quantlab.cli._options import (
    BarsChoice,
    BarSizeOption,
    CatalogOption,
    DataOption,
    EndOption,
    JsonOption,
    ParamOption,
    StampOption,
    StartOption,
    StrategyArgument,
    SymbolsOption,
    TzOption,
    number,
    parse_params,
)
from quantlab.errors import MismatchError

if TYPE_CHECKING:
    from quantlab.engine.crosscheck import CrossCheck
    from quantlab.engine.result import Result

__all__ = ["app", "headline", "hold_stats", "summary"]

app = make_app()

HEADLINE = (
    "final_equity",
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "exposure",
    "turnover",
    "n_trades",
    "win_rate",
    "profit_factor",
)
"""Statistics that are printed; --json and the report have all of them."""


@app.command()
def backtest(  # noqa: PLR0917  # typer reads options from parameters
    strategy: StrategyArgument,
    param: ParamOption = None,
    symbols: SymbolsOption = None,
    catalog: CatalogOption = None,
    data: DataOption = None,
    bar_size: BarSizeOption = None,
    start: StartOption = None,
    end: EndOption = None,
    stamp: StampOption = None,
    tz: TzOption = None,
    cash: Annotated[
        float, typer.Option("--cash", parser=number, metavar="MONEY", help="Starting cash.")
    ] = 100_000.0,
    costs: Annotated[
        str,
        typer.Option(
            "--costs",
            metavar="NAME[:RATE]",
            help="default (IB's fixed schedule and 1 bp of slippage), zero, percent:0.001, per-share:0.005, "
            "ibkr-fixed, ibkr-tiered, ibkr-futures or ibkr-forex.",
        ),
    ] = "default",
    slippage_bps: Annotated[
        float | None,
        typer.Option(
            "--slippage-bps", parser=number, metavar="BPS", help="Slippage in place of that of --costs."
        ),
    ] = None,
    sizing: Annotated[
        str | None,
        typer.Option(
            "--sizing", help="What a target of 1 is: equal, a share of equity, units:10 or value:10000."
        ),
    ] = None,
    fractional: Annotated[bool, typer.Option("--fractional", help="Trade fractions of a unit.")] = False,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="WHICH", help="Size at the price of the decision or of the fill."),
    ] = None,
    rebalance: Annotated[
        str | None,
        typer.Option("--rebalance", metavar="RULE", help="on-change, every-bar, or a band such as 0.05."),
    ] = None,
    max_leverage: Annotated[
        float | None,
        typer.Option(
            "--max-leverage", parser=number, metavar="N", help="Limit of gross position value over equity."
        ),
    ] = None,
    account: Annotated[str, typer.Option("--account", metavar="KIND", help="margin or cash.")] = "margin",
    fill: Annotated[
        str, typer.Option("--fill", metavar="WHEN", help="next_open, next_close or close.")
    ] = "next_open",
    detail: Annotated[
        str | None,
        typer.Option(
            "--detail",
            metavar="WHAT",
            help="Finer bars through which stops and limits go: a bar size of the catalog, such as '1 min', or with "
            "--data another file.",
        ),
    ] = None,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="Write a report (HTML).")
    ] = None,
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="Run the same decisions through vectorbt and compare.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Run one strategy over bars and print what came of it.

    Ends with 1 if --cross-check finds a number that differs, with 2 for input that cannot be used.
    """
    from quantlab.cli._output import say_when_compiling, write_report
    from quantlab.cli._settings import parse_account, parse_costs, parse_sizing
    from quantlab.engine.loader import load_strategy
    from quantlab.research.record import backtest as run

    found = load_strategy(strategy)
    params = parse_params(found, param)
    chosen_costs = parse_costs(costs, slippage_bps)
    chosen_sizing = parse_sizing(
        found,
        sizing=sizing,
        fractional=fractional,
        price=price,
        rebalance=rebalance,
        max_leverage=max_leverage,
    )
    window = BarsChoice(start=start, end=end).window
    choice = BarsChoice(symbols, catalog, data, bar_size, stamp=stamp, tz=tz)
    bars = choice.load()
    say_when_compiling()
    result = run(
        found,
        bars,
        params,
        cash=cash,
        costs=chosen_costs,
        sizing=chosen_sizing,
        account=parse_account(account),
        fill=fill.replace("-", "_"),
        detail=None if detail is None else choice.finer(detail),
        start=window[0],
        end=window[1],
    )
    written = None if report is None else write_report(result, report)
    opinion = None
    if cross_check:
        from quantlab.engine.crosscheck import crosscheck

        opinion = crosscheck(result)
    if as_json:
        _print_json(result, written, opinion)
    else:
        _print_text(result, written, opinion)
    return 0 if opinion is None or opinion.agrees else FAILED


def _second_opinion(check: CrossCheck) -> str:
    """Say in a line what vectorbt makes of the run."""
    compared = sum(c.compared for c in check.comparisons)
    if check.agrees:
        return (
            f"cross-check: vectorbt agrees on {compared} numbers; the largest relative difference is "
            f"{check.largest:.2g} ({check.worst.name})"
        )
    try:
        check.raise_if_different()
    except MismatchError as error:
        return f"cross-check: {error}"
    return f"cross-check: vectorbt differs by {check.largest:.2g} ({check.worst.name})"


def hold_stats(result: Result) -> dict[str, float]:
    """Statistics of the benchmark that need its equity alone, by the formulas of docs/statistics.md.

    Parameters
    ----------
    result : Result
        Of a run; its benchmark starts with the same cash.
    """
    return equity_stats(
        result.benchmark.to_numpy(), result.cash_start, result.bars_per_year, result.settings["risk_free"]
    )


def equity_stats(equity: Any, cash: float, bars_per_year: float, risk_free: float) -> dict[str, float]:
    """Statistics of a line of equity.

    Parameters
    ----------
    equity : ndarray of shape (n_bars,)
        Money after each bar.
    cash : float
        Money before the first bar.
    bars_per_year, risk_free : float
        Bars a year, and the annual return without risk.
    """
    import numpy as np

    line = np.concatenate(([cash], equity))
    returns = line[1:] / line[:-1] - 1.0
    excess = returns - risk_free / bars_per_year
    root = np.sqrt(bars_per_year)
    with np.errstate(divide="ignore", invalid="ignore"):
        cagr = np.float64(line[-1] / cash) ** (bars_per_year / len(equity)) - 1.0
        deviation = returns.std(ddof=1) if len(returns) > 1 else np.float64(np.nan)
        downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2))
        worst = np.min(line / np.maximum.accumulate(line)) - 1.0
        stats = {
            "final_equity": line[-1],
            "total_return": line[-1] / cash - 1.0,
            "cagr": cagr,
            "volatility": deviation * root,
            "sharpe": excess.mean() / deviation * root,
            "sortino": excess.mean() / downside * root,
            "calmar": cagr / np.abs(worst),
            "max_drawdown": worst,
        }
    return {k: float(v) for k, v in stats.items()}


def headline(result: Result) -> list[tuple[str, str, str]]:
    """Rows of the printed table: label, strategy, benchmark (empty where it has no such number)."""
    from quantlab.report.statistics import STATISTICS, format_value

    hold = hold_stats(result)
    rows = []
    for key in HEADLINE:
        known = STATISTICS[key]
        beside = format_value(hold[key], known.unit) if key in hold else ""
        rows.append((known.label, format_value(float(result.stats[key]), known.unit), beside))
    return rows


def summary(result: Result) -> dict[str, Any]:
    """Everything that ``--json`` prints of a result."""
    bars, index = result.bars, result.bars.index
    return {
        "strategy": result.name,
        "params": result.params,
        "bars": {
            "symbols": bars.symbols,
            "bar_size": bars.bar_size,
            "n_bars": bars.n_bars,
            "first": index[0],
            "last": index[-1],
            "bars_per_year": result.bars_per_year,
        },
        "stats": result.stats,
        "benchmark": hold_stats(result),
        "ruined_at": result.ruined_at,
        "notes": result.notes,
        "diagnostics": [each.describe() for each in result.diagnostics],
        "settings": result.settings,
        "fingerprint": result.fingerprint,
    }


def _print_json(result: Result, written: str | None, opinion: CrossCheck | None) -> None:
    from quantlab.cli._output import print_json

    more: dict[str, Any] = {"report": written}
    if opinion is not None:
        more["cross_check"] = {
            "engine": "vectorbt",
            "agrees": opinion.agrees,
            "tolerance": opinion.tolerance,
            "largest_difference": opinion.largest,
            "worst": opinion.worst.name,
            "message": _second_opinion(opinion),
            "not_compared": opinion.not_compared,
        }
    print_json(summary(result) | more)


def _print_text(result: Result, written: str | None, opinion: CrossCheck | None) -> None:
    from quantlab.cli._output import print_table

    shown = ", ".join(f"{k}={v!r}" for k, v in result.params.items())
    title = f"{result.name}({shown}) on {result.bars!r}"
    print_table(("", "strategy", result.settings["benchmark"]), headline(result), title=title)
    for note in result.notes:
        typer.echo(f"note: {note}")
    for found in result.diagnostics:
        typer.echo(repr(found))
    if opinion is not None:
        typer.echo(_second_opinion(opinion))
    if written is not None:
        typer.echo(f"report: {written}")
