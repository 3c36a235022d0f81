"""``quantlab check``: does a strategy look ahead, and how much history does it need."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import (
    BarsChoice,
    BarSizeOption,
    CatalogOption,
    DataOption,
    EndOption,
    JsonOption,
    ParamOption,
    StartOption,
    StrategyArgument,
    SymbolsOption,
    parse_params,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quantlab.research.causality import CheckReport

__all__ = ["app"]

app = make_app()


@app.command()
def check(  # noqa: PLR0917  # typer reads options from parameters
    strategy: StrategyArgument,
    param: ParamOption = None,
    symbols: SymbolsOption = None,
    catalog: CatalogOption = None,
    data: DataOption = None,
    bar_size: BarSizeOption = None,
    start: StartOption = None,
    end: EndOption = None,
    cuts: Annotated[
        int, typer.Option("--cuts", min=1, help="Bars after which the future is replaced.")
    ] = 256,
    max_sets: Annotated[
        int, typer.Option("--max-sets", min=1, help="More parameter sets than this are sampled.")
    ] = 512,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything drawn.")] = 0,
    as_json: JsonOption = False,
) -> int:
    """Test that a strategy does not look ahead, and find its warm-up.

    Without -p the whole default grid is tested; a parameter given with -p is held at its value. The exit
    code is 0 if no signal changed with its future, 1 if one did (or two equal calls differed).
    """
    from quantlab.engine.loader import load_strategy
    from quantlab.research.causality import check as run

    found = load_strategy(strategy)
    held = parse_params(found, param)
    grid = {**found.grid, **{name: (value,) for name, value in held.items()}} if held else None
    bars = BarsChoice(symbols, catalog, data, bar_size, start, end).load()
    with _progress(hidden=as_json) as tell:
        report = run(found, bars, grid=grid, cuts=cuts, max_sets=max_sets, seed=seed, progress=tell)
    if as_json:
        from quantlab.cli._output import print_json

        print_json(report.to_dict())
    else:
        _print_text(report)
    return 0 if report.causal else 1


@contextmanager
def _progress(*, hidden: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Bar of progress on standard error, where somebody sees it."""
    from quantlab.cli._output import console

    screen = console(err=True)
    if hidden or not screen.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("checking", total=None)
        yield lambda done, planned: bar.update(task, completed=done, total=planned)


def _print_text(report: CheckReport) -> None:
    """Print the verdict, then what was measured and covered."""
    from quantlab.cli._output import print_table

    rows = [
        ("verdict", report.verdict),
        ("parameter sets", f"{report.n_parameter_sets}"),
        ("cuts", f"{len(report.cuts)}"),
        ("comparisons", f"{report.n_comparisons:,}"),
    ]
    if report.first_offence is not None:
        rows.insert(1, ("sets that offend", f"{len(report.offending)} of {report.n_parameter_sets}"))
    known = [bars for bars in report.warmup.values() if bars is not None]
    if known:
        rows.append(
            ("warm-up, bars", f"{min(known)}" + (f" to {max(known)}" if min(known) < max(known) else ""))
        )
    if len(known) < len(report.warmup):
        rows.append(("whole history", f"{len(report.warmup) - len(known)} of {len(report.warmup)} sets"))
    print_table(("", "result"), rows, title=f"{report.strategy} on {report.data}")
    if report.first_offence is not None:
        typer.echo(f"first offence: {report.first_offence}")
    if report.warmup_reasons:
        typer.echo(f"whole history: it {next(iter(report.warmup_reasons.values()))}")
    if report.settling_text():
        typer.echo(f"settling: {report.settling_text()}")
    for note in report.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"covered: {report.coverage}")
    typer.echo("cannot be seen this way:")
    for spot in report.blind_spots:
        typer.echo(f"  - {spot}")
