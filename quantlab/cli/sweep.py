"""``quantlab sweep``: every parameter set of a grid, and which were best."""

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
    number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from quantlab.research.sweep_result import SweepResult

__all__ = ["app"]

app = make_app()

SHOWN = {
    "total_return": "return",
    "cagr": "CAGR",
    "sharpe": "Sharpe",
    "max_drawdown": "drawdown",
    "n_trades": "trades",
}
"""Statistics that are printed, with short headings; --json, --out and the report have all of them."""

METHODS = ("grid", "tpe", "random")

TRIALS = 200
"""Trials of a search, where none are said."""

ERRORS = 3
"""Errors that are printed."""


@app.command()
def sweep(  # noqa: PLR0917  # typer reads options from parameters
    strategy: StrategyArgument,
    param: opt.GridOption = None,
    where: opt.WhereOption = None,
    n_trials: opt.TrialsOption = None,
    seed: opt.SeedOption = 0,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="grid runs every set; tpe (a model) and random choose --n-trials of them, one after another.",
        ),
    ] = "grid",
    prune: Annotated[
        float | None,
        typer.Option(
            "--prune",
            parser=number,
            metavar="Q",
            help="With tpe and random: stop a trial that is below this quantile on the first part of the bars.",
        ),
    ] = None,
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
    metric: opt.MetricOption = "sharpe",
    best: Annotated[int, typer.Option("--best", min=1, metavar="N", help="Best trials to print.")] = 10,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Write the whole table: a .parquet or .csv file."),
    ] = None,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="Write a report (HTML).")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="FOLDER", help="Keep finished trials there, and go on with those it has."
        ),
    ] = None,
    workers: opt.WorkersOption = None,
    max_memory: opt.MaxMemoryOption = "1GB",
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="ADDRESS", help="Run on a Dask cluster, such as tcp://127.0.0.1:8786."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Run every parameter set of a grid and print the best.

    Ends with 1 if a trial raised (its row says why) or the sweep was interrupted, with 2 for input that cannot be
    used. What the best is worth after so many tries is said by 'quantlab validate'.
    """
    from quantlab.cli._output import say_when_compiling, write_report
    from quantlab.engine.loader import load_strategy

    found = load_strategy(strategy)
    options = opt.run_options(
        found, cash=cash, costs=costs, slippage_bps=slippage_bps, sizing=sizing, fractional=fractional,
        account=account, fill=fill, risk_free=risk_free, start=start, end=end,
    )  # fmt: skip
    grid = opt.parse_grid(found, param) or None
    _check_choice(metric, method, given={"--prune": prune, "--resume": resume, "--cluster": cluster})
    written = _writer(out)
    bars = BarsChoice(symbols, catalog, data, bar_size, stamp=stamp, tz=tz).load()
    say_when_compiling()
    if method == "grid":
        from quantlab.research.recorded_sweep import sweep as run

        more: dict[str, Any] = {"cluster": cluster, "resume": resume, "n_trials": n_trials}
    else:
        from quantlab.research.search import search as run  # type: ignore[assignment]  # called by keywords only

        more = {"n_trials": n_trials or TRIALS, "method": method, "metric": metric, "prune": prune}
    result = run(
        found,
        bars,
        grid,
        where=where,
        seed=seed,
        workers=opt.parse_workers(workers),
        max_memory=max_memory,
        progress=not as_json,
        **more,
        **options,
    )
    files = {"table": None if written is None else str(written(result))}
    files["report"] = None if report is None else write_report(result, report, metric=metric)
    if as_json:
        _print_json(result, metric, best, files)
    else:
        _print_text(result, metric, best, files)
    return 0 if result.complete and not result.errors else FAILED


def _check_choice(metric: str, method: str, given: Mapping[str, Any]) -> None:
    """Refuse what cannot be used, before anything is loaded."""
    from quantlab.errors import ParameterError, UnknownNameError
    from quantlab.kernels.stats import STATS

    if metric not in STATS:
        raise UnknownNameError("metric", metric, STATS)
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)
    useless = ["--prune"] if method == "grid" else ["--resume", "--cluster"]
    for option in useless:
        if given[option] is not None:
            raise ParameterError(f"{option} does not go with --method {method}; leave it out.")


def _writer(out: str | None) -> Any:
    """Give a function that writes the table to `out`; None where there is nothing to write.

    Raises
    ------
    ParameterError
        For another kind of file, before anything is run.
    """
    if out is None:
        return None
    from pathlib import Path

    from quantlab.errors import ParameterError

    path = Path(out)
    if path.suffix not in {".csv", ".parquet"}:
        raise ParameterError(f"--out {out}: the table is written as .parquet or .csv; name such a file.")

    def write(result: SweepResult) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            result.table.to_csv(path)
        else:
            result.table.to_parquet(path)
        return path

    return write


def _print_json(result: SweepResult, metric: str, best: int, files: dict[str, str | None]) -> None:
    from quantlab.cli._output import print_json

    rows = result.table.iloc[result.ranked(metric, best)]
    print_json(
        {
            "strategy": result.strategy.name,
            "n_trials": len(result),
            "complete": result.complete,
            "n_failed": len(result.errors),
            "errors": dict(list(result.errors.items())[:ERRORS]),
            "seconds": result.seconds,
            "workers": result.how,
            "metric": metric,
            "best": [{"trial": k, **row.to_dict()} for k, row in rows.iterrows()],
            "settings": result.settings,
            "fingerprint": result.fingerprint,
            **files,
        }
    )


def _print_text(result: SweepResult, metric: str, best: int, files: dict[str, str | None]) -> None:
    from quantlab.cli._output import print_table
    from quantlab.report.statistics import STATISTICS, format_value

    rows = result.table.iloc[result.ranked(metric, best)]
    shown = SHOWN if metric in SHOWN else {metric: STATISTICS[metric].label, **SHOWN}
    names = result.trials.names
    lines = [
        [
            str(k),
            *(str(row[n]) for n in names),
            *(format_value(float(row[s]), STATISTICS[s].unit) for s in shown),
        ]
        for k, row in rows.iterrows()
    ]
    ended = "" if result.complete else " (interrupted)"
    title = f"{result.strategy.name}: the best of {len(result):,} trials{ended} on {result.bars!r}"
    print_table(("trial", *names, *shown.values()), lines, title=title)
    typer.echo(f"{result.seconds:.2f} s with {result.how}")
    if result.errors:
        typer.echo(f"{len(result.errors):,} trials raised; the first:")
        for k, text in list(result.errors.items())[:ERRORS]:
            typer.echo(f"  trial {k}: {text}")
    for what, path in files.items():
        if path is not None:
            typer.echo(f"{what}: {path}")
