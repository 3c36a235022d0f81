"""``quantlab walk-forward``: choose parameters on some bars, judge them on the next, stitch what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli import _trials as opt
from quantlab.cli._commands import make_app
from quantlab.cli._errors import FAILED
from quantlab.cli._options import (
    BarsChoice,
    BarSizeOption,
    CatalogOption,
    DataOption,
    EndOption,
    JsonOption,
    StampOption,
    StartOption,
    StrategyArgument,
    SymbolsOption,
    TzOption,
)

if TYPE_CHECKING:
    from quantlab.research.walkforward_result import WalkForwardResult

__all__ = ["app"]

app = make_app()

HEADLINE = (
    "final_equity",
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "max_drawdown",
    "turnover",
    "n_trades",
)
"""Statistics of the stitched run that are printed; --json and the report have all of them."""

ROWS = 40
"""Windows or splits that are printed; --json has all of them."""


@app.command()
def walk_forward(  # noqa: PLR0917  # typer reads options from parameters
    strategy: StrategyArgument,
    param: opt.GridOption = None,
    where: opt.WhereOption = None,
    n_trials: opt.TrialsOption = None,
    seed: opt.SeedOption = 0,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="rolling, anchored, kfold or cpcv.")
    ] = "rolling",
    train: Annotated[
        str | None,
        typer.Option(
            "--train", metavar="LENGTH", help="Bars, a share of them, or such as '2 years'. [default: 0.5]"
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            "--test", metavar="LENGTH", help="Bars, a share of them, or such as '6 months'. [default: 0.1]"
        ),
    ] = None,
    groups: Annotated[
        int | None, typer.Option("--groups", help="Groups of bars, for kfold and cpcv. [default: 6]")
    ] = None,
    test_groups: Annotated[
        int | None, typer.Option("--test-groups", help="Groups that test at a time, for cpcv. [default: 2]")
    ] = None,
    purge: Annotated[int, typer.Option("--purge", help="Bars left out beside each test.")] = 0,
    embargo: Annotated[int, typer.Option("--embargo", help="Further bars left out after each test.")] = 0,
    metric: opt.MetricOption = "sharpe",
    symbols: SymbolsOption = None,
    catalog: CatalogOption = None,
    data: DataOption = None,
    bar_size: BarSizeOption = None,
    start: StartOption = None,
    end: EndOption = None,
    stamp: StampOption = None,
    tz: TzOption = None,
    cash: opt.CashOption = 100_000.0,
    costs: opt.CostsOption = "default",
    slippage_bps: opt.SlippageOption = None,
    sizing: opt.SizingOption = None,
    fractional: opt.FractionalOption = False,
    account: opt.AccountOption = "margin",
    fill: opt.FillOption = "next_open",
    risk_free: opt.RiskFreeOption = 0.0,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="Write a report (HTML).")
    ] = None,
    workers: opt.WorkersOption = None,
    max_memory: opt.MaxMemoryOption = "1GB",
    as_json: JsonOption = False,
) -> int:
    """Choose parameters on some bars, judge them on others, and stitch what came of it into one run.

    A fitted strategy is fitted anew on each training window. Ends with 1 if a window stays flat since nothing could
    be chosen in it, or if it was interrupted; with 2 for input that cannot be used.
    """
    from quantlab.cli._output import print_json, say_when_compiling, write_report
    from quantlab.engine.loader import load_strategy
    from quantlab.research.walkforward import walk_forward as run

    found = load_strategy(strategy)
    options = opt.run_options(
        found, cash=cash, costs=costs, slippage_bps=slippage_bps, sizing=sizing, fractional=fractional,
        account=account, fill=fill, risk_free=risk_free, start=start, end=end,
    )  # fmt: skip
    grid = opt.parse_grid(found, param) or None
    bars = BarsChoice(symbols, catalog, data, bar_size, stamp=stamp, tz=tz).load()
    say_when_compiling()
    result = run(
        found,
        bars,
        grid,
        method=method,
        train=_length(train),
        test=_length(test),
        purge=purge,
        embargo=embargo,
        groups=groups,
        test_groups=test_groups,
        metric=metric,
        where=where,
        n_trials=n_trials,
        seed=seed,
        workers=opt.parse_workers(workers),
        max_memory=max_memory,
        progress=not as_json,
        **options,
    )
    written = None if report is None else write_report(result, report)
    if as_json:
        print_json({**result.describe(), "report": written})
    else:
        _print_text(result, written)
    return 0 if result.complete and not any(fold.error for fold in result.folds) else FAILED


def _length(text: str | None) -> float | str | None:
    """Length as `quantlab.walk_forward` takes it: bars, a share, or the text as it is."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _print_text(result: WalkForwardResult, written: str | None) -> None:
    """Print the folds, then what the stitched run came to."""
    from quantlab.cli._output import print_table
    from quantlab.report.statistics import STATISTICS, format_value

    table, walks = result.table, result.walks
    columns = {
        ("test_start" if walks else "groups"): "tests from" if walks else "tests group",
        **{name: name for name in result.trial_names},
        "in_sample": "in sample",
        "out_of_sample": "out",
    }
    rows = [
        [number, *(_cell(name, value) for name, value in zip(columns, row, strict=True))]
        for number, row in zip(table.index, table[list(columns)].itertuples(index=False), strict=True)
    ]
    title = f"{result.strategy.name}, {result.method}, {result.n_trials} trials: {result.metric} in and out of sample"
    print_table((str(table.index.name), *columns.values()), rows[:ROWS], title=title)
    if len(rows) > ROWS:
        typer.echo(f"… {len(rows) - ROWS} more; --json has all")
    stats = result.stats
    stitched = [(STATISTICS[k].label, format_value(float(stats[k]), STATISTICS[k].unit)) for k in HEADLINE]
    if result.n_paths > 1:
        sharpes = result.paths["sharpe"]
        stitched.append(
            (f"Sharpe ratio of {result.n_paths} paths", f"{sharpes.min():.2f} to {sharpes.max():.2f}")
        )
    print_table(("", "out of sample"), [*stitched, ("Efficiency", f"{result.efficiency:.2f}")])
    for note in result.notes:
        typer.echo(f"note: {note}")
    if written is not None:
        typer.echo(f"report: {written}")


def _cell(name: str, value: Any) -> str:
    if name in {"in_sample", "out_of_sample"}:
        return f"{value:.3f}"
    if hasattr(value, "strftime"):
        return str(value).removesuffix(" 00:00:00")
    return "" if value is None or value != value else str(value)  # noqa: PLR0124  # NaN differs from itself
