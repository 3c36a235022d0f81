"""``quantlab demo``: the main job once, on real prices, with a report at the end."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import JsonOption

if TYPE_CHECKING:
    from quantlab.bars import Bars
    from quantlab.data.findings import Findings
    from quantlab.engine.result import Result
    from quantlab.research.verdict import CheckReport

__all__ = ["STRATEGY", "app"]

app = make_app()

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
REPORTED = "AAPL"

STRATEGY = '''\
"""Long while a fast moving average is above a slow one."""

import quantlab as ql
from quantlab.signals import sma


@ql.strategy(fast=range(5, 60, 5), slow=range(20, 260, 10), where="fast < slow")
def sma_cross(bars, fast=20, slow=100):
    """Long while the fast average is above the slow one."""
    return sma(bars.close, fast) > sma(bars.close, slow)
'''
"""The demo's strategy, as its file is written. Its parameters are round numbers, not the best ones."""


@app.command()
def demo(
    folder: Annotated[
        str, typer.Option("--folder", metavar="PATH", help="Where the report and the strategy are written.")
    ] = "quantlab-demo",
    as_json: JsonOption = False,
) -> int:
    """Backtest a strategy on real prices, write a report and say where it is."""
    from quantlab.cli._output import say_when_compiling
    from quantlab.costs import Costs
    from quantlab.data.checks import verify
    from quantlab.data.sample import sample
    from quantlab.engine.backtest import backtest
    from quantlab.engine.loader import load_strategy
    from quantlab.research.causality import check

    place = Path(folder)
    file = _strategy_file(place)
    say = _quiet if as_json else typer.echo
    bars = sample(SYMBOLS)
    one = bars[REPORTED]
    findings = verify(bars)
    say(_prices_line(bars, findings))
    say_when_compiling()
    strategy = load_strategy(str(file))
    say(f"strategy {file}: {strategy.__doc__ or strategy.name}")
    verdict = check(strategy, one)
    say(_check_line(verdict))
    runs = {
        f"{REPORTED} gross": backtest(strategy, one, costs=Costs.zero()),
        f"{REPORTED} net": backtest(strategy, one),
        f"all {len(SYMBOLS)} net": backtest(strategy, bars),
    }
    net = runs[f"{REPORTED} net"]
    written = net.report(place / "report.html")
    good = findings.ok and verdict.causal
    if as_json:
        _print_json(file, written, findings, verdict, runs)
    else:
        _print_table(runs, f"{REPORTED} held", net)
        _print_end(file, written, net)
    return 0 if good else 1


def _quiet(_: str) -> None:
    """Say nothing: the JSON document says it all."""


def _strategy_file(place: Path) -> Path:
    """Write the demo's strategy; a file that is there already may carry the user's changes and is kept."""
    from quantlab.engine.files import write_text
    from quantlab.errors import ParameterError

    file = place / "sma_cross.py"
    try:
        return file if file.is_file() else write_text(file, STRATEGY)
    except OSError as error:
        raise ParameterError(
            f"--folder {place} cannot be written ({error.strerror}); name a folder that can be."
        ) from error


def _prices_line(bars: Bars, findings: Findings) -> str:
    first, last = (str(bars.index[k].date()) for k in (0, -1))
    found = {s: len(findings.of(s)) for s in ("error", "warning")}
    counts = ", ".join(f"{n} {s}{'' if n == 1 else 's'}" for s, n in found.items())
    return (
        f"prices   {', '.join(bars.symbols)}, {first} to {last}, {bars.n_bars} sessions; verified: {counts}"
    )


def _check_line(verdict: CheckReport) -> str:
    return (
        f"check    {verdict.verdict}: {verdict.n_comparisons:,} comparisons with a replaced future over "
        f"{verdict.n_parameter_sets} parameter sets"
    )


def _print_table(runs: dict[str, Result], held: str, net: Result) -> None:
    from quantlab.cli._output import print_table
    from quantlab.cli.backtest import HEADLINE, hold_stats
    from quantlab.report.statistics import STATISTICS, format_value

    hold = hold_stats(net)
    rows = []
    for key in HEADLINE:
        known = STATISTICS[key]
        cells = [format_value(float(r.stats[key]), known.unit) for r in runs.values()]
        rows.append((known.label, *cells, format_value(hold[key], known.unit) if key in hold else ""))
    print_table(("", *runs, held), rows)


def _print_end(file: Path, written: Path, net: Result) -> None:
    from quantlab.report.statistics import format_money

    stats = net.stats
    parts = ("commission", "fees", "slippage", "spread", "borrow", "interest")
    paid = ", ".join(f"{name} {format_money(float(stats[name]))}" for name in parts if stats[name] > 0.0)
    typer.echo(f"costs of {REPORTED}: {paid}")
    typer.echo(f"report: {written}\n")
    typer.echo("Each step by itself:")
    symbols = ",".join(SYMBOLS)
    for arguments in (
        f"data verify --symbols {symbols}",
        f"check {file}",
        f"backtest {file} --report {written}",
        f"verify {written} --strategy {file}",
        f"backtest {file} --costs zero",
        f"backtest {file} -p fast=10 -p slow=50 --symbols {symbols}",
    ):
        typer.echo(f"  {_program()} {arguments}")


def _program() -> str:
    """How this program is called from here: by its name, or by its place where the name would not be found."""
    if shutil.which("quantlab"):
        return "quantlab"
    place = Path(sys.executable).with_name("quantlab")
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def _print_json(
    file: Path, written: Path, findings: Findings, verdict: CheckReport, runs: dict[str, Result]
) -> None:
    from quantlab.cli._output import print_json
    from quantlab.cli.backtest import summary

    document: dict[str, Any] = {
        "strategy_file": str(file),
        "report": str(written),
        "verify": {"ok": findings.ok, "findings": findings.to_records()},
        "check": {"verdict": verdict.verdict, "n_comparisons": verdict.n_comparisons},
        "backtests": {name: summary(result) for name, result in runs.items()},
    }
    print_json(document)
