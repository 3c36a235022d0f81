"""``quantlab ledger``: what was tried in a project, and what it adds up to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import JsonOption

if TYPE_CHECKING:
    import pandas as pd

    from quantlab.research.attempts import Tried
    from quantlab.research.ledger import Ledger

__all__ = ["app"]

app = make_app()


@app.command()
def ledger(
    strategy: Annotated[
        str | None,
        typer.Argument(
            metavar="[STRATEGY]",
            show_default=False,
            help="Name of a strategy, or its file as elsewhere; all if not given.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", metavar="KIND", help="Only entries that are a backtest, sweep, search or walk_forward."
        ),
    ] = None,
    last: Annotated[int, typer.Option("--last", min=0, help="So many entries, from the end.")] = 20,
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="PATH", help="A folder in the project, if not this one."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what was tried in this project: entries, and what they add up to by strategy.

    Ends with 2 outside a project, and for a strategy that has no entry.
    """
    book = _ledger_at(project)
    names = book.strategies()
    name = None if strategy is None else _name_of(strategy, names)
    if kind is not None:
        _check_kind(kind)
    totals = {n: book.tried(n) for n in (names if name is None else [name])}
    entries = book.entries(name, kind=kind)
    if as_json:
        from quantlab.cli._output import print_json

        shown = entries.tail(last) if last else entries.iloc[:0]
        print_json(
            {
                "ledger": book.path,
                "totals": [{"strategy": n, **t.describe()} for n, t in totals.items()],
                "n_entries": len(entries),
                "entries": [
                    {"entry": k, **row} for k, row in zip(shown.index, shown.to_dict("records"), strict=True)
                ],
            }
        )
        return 0
    if not names:
        typer.echo(
            f"{book.path}: nothing was tried yet; quantlab backtest and quantlab sweep are counted here"
        )
        return 0
    _print_totals(totals)
    _print_entries(entries, last)
    return 0


def _ledger_at(folder: str | None) -> Ledger:
    """Ledger of the project around a folder.

    Raises
    ------
    ParameterError
        Outside a project.
    """
    from pathlib import Path

    from quantlab.errors import ParameterError
    from quantlab.research.ledger import ledger_at
    from quantlab.research.project import MARKER, find_project

    found = find_project(folder)
    if found is None:
        raise ParameterError(
            f"{Path(folder or '.').absolute()} lies in no project (no {MARKER} there or above), so nothing was "
            "counted; make it one with 'quantlab init', or name one with --project."
        )
    return ledger_at(found.ledger_path)


def _name_of(given: str, names: list[str]) -> str:
    """Name of a strategy that has entries, from its name or its file.

    Raises
    ------
    UnknownNameError
        If it has none; says the nearest.
    """
    from quantlab.errors import UnknownNameError

    name = given
    if name not in names and (":" in name or name.endswith(".py")):
        from quantlab.engine.loader import load_strategy

        name = str(load_strategy(given).name)
    if name not in names:
        raise UnknownNameError(
            "strategy in the ledger", name, names, "It is entered once it runs in the project."
        )
    return name


def _check_kind(kind: str) -> None:
    from quantlab.errors import UnknownNameError
    from quantlab.research.attempts import KINDS

    if kind not in KINDS:
        raise UnknownNameError("kind of entry", kind, KINDS)


def _print_totals(totals: dict[str, Tried]) -> None:
    from quantlab.cli._output import print_table

    columns = ("strategy", "trials", "entries", "sources", "best", "mean", "deviation")
    rows = [_total(name, tried) for name, tried in totals.items()]
    print_table(columns, rows, title="tried so far (annual Sharpe ratios)")


def _total(name: str, tried: Tried) -> tuple[str, ...]:
    root = tried.bars_per_year**0.5
    numbers = (tried.largest * root, tried.mean * root, tried.variance**0.5 * root)
    return (
        name,
        f"{tried.n_trials:,}",
        f"{tried.n_entries:,}",
        f"{tried.n_sources:,}",
        *map(_number, numbers),
    )


def _print_entries(entries: pd.DataFrame, last: int) -> None:
    """Print an entry a line: parameters are too long for a column."""
    if not last:
        return
    shown = entries.tail(last)
    of = f"the last {len(shown)} of {len(entries):,} entries" if len(shown) < len(entries) else "entries"
    typer.echo(f"{of}\n\n{_line('last run, UTC', 'kind', 'trials', 'best', 'runs', 'what')}")
    for row in shown.to_dict("records"):
        what = f"{row['strategy']}({row['parameters']}) on {row['symbols']}, {row['bar_size']}"
        when, best = f"{row['last_at']:%Y-%m-%d %H:%M}", _number(row["best_sharpe"])
        typer.echo(_line(when, row["kind"], f"{row['n_trials']:,}", best, f"{row['runs']:,}", what))


def _line(when: str, kind: str, trials: str, best: str, runs: str, what: str) -> str:  # noqa: PLR0917  # cells of a row
    return f" {when:<16}  {kind:<12} {trials:>9} {best:>6} {runs:>5}  {what}"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"  # noqa: PLR0124  # NaN differs from itself
