"""``quantlab validate``: sweep a strategy, and say what its best trial is worth after so many tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.cli import _trials as opt
from quantlab.cli._commands import make_app
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
    from quantlab.research.sweep_result import SweepResult
    from quantlab.research.validation import Validation

__all__ = ["app"]

app = make_app()


@app.command()
def validate(  # noqa: PLR0917  # typer reads options from parameters
    strategy: StrategyArgument,
    param: opt.GridOption = None,
    where: opt.WhereOption = None,
    n_trials: opt.TrialsOption = None,
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
    blocks: Annotated[
        int, typer.Option("--blocks", metavar="N", help="Blocks of time of PBO: 2, 4, 8 or 16.")
    ] = 16,
    resamples: Annotated[
        int, typer.Option("--resamples", metavar="N", help="Resampled histories; 100 or more.")
    ] = 1_000,
    null_worlds: Annotated[
        int,
        typer.Option(
            "--null-worlds",
            min=0,
            metavar="N",
            help="Run the whole sweep again on N histories without the edge.",
        ),
    ] = 0,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            "--max-seconds",
            parser=number,
            metavar="S",
            help="Most time for --null-worlds; fewer are run then.",
        ),
    ] = None,
    seed: opt.SeedOption = 0,
    workers: opt.WorkersOption = None,
    max_memory: opt.MaxMemoryOption = "1GB",
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="FOLDER", help="Keep finished trials there, and go on with those it has."
        ),
    ] = None,
    use_ledger: Annotated[
        bool,
        typer.Option("--ledger/--no-ledger", help="Count what the project's ledger knows was tried before."),
    ] = True,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="Write the sweep and all of this (HTML).")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Sweep a strategy and test what its best trial is worth after so many tries.

    Deflated Sharpe ratio, PBO, data-snooping tests, resampling, cost stress and neighbours. Ends with 1 if a check
    that the verdict depends on says no, with 2 for input that cannot be used.
    """
    from quantlab.cli._output import say_when_compiling, write_report
    from quantlab.engine.loader import load_strategy
    from quantlab.research.extras import load_arch
    from quantlab.research.record import find_ledger, record_sweep
    from quantlab.research.sweep import sweep as run
    from quantlab.research.validate import check_options
    from quantlab.research.validate import validate as judge

    # What would stop the judgement is said before the sweep, not after it.
    load_arch("quantlab validate")
    check_options(metric, n_resamples=resamples, blocks=blocks)
    found = load_strategy(strategy)
    options = opt.run_options(
        found, cash=cash, costs=costs, slippage_bps=slippage_bps, sizing=sizing, fractional=fractional,
        account=account, fill=fill, risk_free=risk_free, start=start, end=end,
    )  # fmt: skip
    grid = opt.parse_grid(found, param) or None
    bars = BarsChoice(symbols, catalog, data, bar_size, stamp=stamp, tz=tz).load()
    say_when_compiling()
    swept = run(
        found,
        bars,
        grid,
        where=where,
        n_trials=n_trials,
        seed=seed,
        workers=opt.parse_workers(workers),
        max_memory=max_memory,
        resume=resume,
        progress=not as_json,
        **options,
    )
    record_sweep(swept)
    worlds = None
    if null_worlds:
        from quantlab.research.null_worlds import null_worlds as noise

        worlds = noise(
            swept, null_worlds, metric=metric, seed=seed, max_seconds=max_seconds, progress=not as_json
        )
    told = judge(
        swept,
        metric=metric,
        ledger=find_ledger() if use_ledger else None,
        seed=seed,
        n_resamples=resamples,
        blocks=blocks,
        null_worlds=worlds,
    )
    written = None if report is None else write_report(swept, report, metric=told.metric, validation=told)
    if as_json:
        from quantlab.cli._output import print_json

        print_json({**told.describe(), "report": written})
    else:
        _print_text(told, swept)
        if written is not None:
            typer.echo(f"report: {written}")
    return 0 if told.passes else 1


def _print_text(told: Validation, swept: SweepResult) -> None:
    """Print the sentence, then every check, then what the numbers rest on."""
    from quantlab.cli._output import print_table
    from quantlab.research.validation import answer

    shown = ", ".join(f"{k}={v!r}" for k, v in told.params.items())
    typer.echo(f"{told.strategy} on {swept.bars!r}")
    typer.echo(told.sentence)
    rows = [(c.name, answer(c), f"{c.value:.3g}", c.limit) for c in told.checks]
    title = f"best by {told.metric}: trial {told.trial}, {shown}"
    print_table(("", "passes", "is", "must be"), rows, title=title)
    for check in told.checks:
        typer.echo(f"{check.name}: {check.text}")
    for note in told.notes:
        typer.echo(f"note: {note}")
    typer.echo("in brackets: told beside the verdict, which does not depend on it")
    typer.echo(f"verdict: {'passes' if told.passes else 'does not pass'}")
