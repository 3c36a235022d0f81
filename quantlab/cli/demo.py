"""``quantlab demo``: the whole path once, on real prices, from verified data to a year of paper trading."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import JsonOption
from quantlab.cli._rehearsal import LIMITS, UNTIL, YEAR, cheat_refusal, paper_year, promote_demo

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.bars import Bars
    from quantlab.cli._rehearsal import PaperYear
    from quantlab.data.findings import Findings
    from quantlab.engine.result import Result
    from quantlab.live.bundle import Bundle
    from quantlab.live.journal import Entry
    from quantlab.live.parity import ParityReport
    from quantlab.research.verdict import CheckReport
    from quantlab.strategy import Strategy

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
    second_opinion: Annotated[
        bool,
        typer.Option(
            "--second-opinion", help="Only this: the demo's backtests beside vectorbt's, if it is installed."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Take a strategy the whole way on real prices: backtest, promotion, a year of paper trading, proof.

    Nothing is tuned until it passes: the parameters are round numbers, and what comes of them is what is shown. The
    folder is left with a page that leads to everything in it.
    """
    if second_opinion:
        return _second_opinion(Path(folder), as_json=as_json)
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
    say(f"cheat    {cheat_refusal(place, one)}")
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
    if not as_json:
        _print_table(runs, f"{REPORTED} held", net)
    live = _live(place, strategy, file, say) if verdict.causal else None
    good = findings.ok and verdict.causal and live is not None and live.good
    if as_json:
        _print_json(file, written, findings=findings, verdict=verdict, runs=runs, live=live)
    else:
        commands = _commands(file, written, live)
        page = _write_page(file, written, runs=runs, live=live, commands=commands)
        _print_end(written, net, page, commands)
    return 0 if good else 1


def _second_opinion(place: Path, *, as_json: bool) -> int:
    """Hand the decisions of the demo's backtests to vectorbt, and say whether it agrees."""
    from importlib.util import find_spec

    from quantlab.data.sample import sample
    from quantlab.engine.backtest import backtest
    from quantlab.engine.loader import load_strategy

    if find_spec("vectorbt") is None:
        typer.echo(
            "second opinion: skipped, vectorbt is not installed; pip install 'quantlab[vectorbt]' brings it"
        )
        return 0
    from quantlab.engine.crosscheck import crosscheck

    strategy = load_strategy(str(_strategy_file(place)))
    opinions = {s: crosscheck(backtest(strategy, sample(s))) for s in SYMBOLS}
    if as_json:
        from quantlab.cli._output import print_json

        print_json({s: {"agrees": o.agrees, "largest_difference": o.largest} for s, o in opinions.items()})
    for symbol, opinion in {} if as_json else opinions.items():
        verdict = "agrees" if opinion.agrees else f"DISAGREES on {opinion.worst.name}"
        typer.echo(f"second opinion, {symbol}: vectorbt {verdict} (largest difference {opinion.largest:.1e})")
    return 0 if all(o.agrees for o in opinions.values()) else 1


@dataclass(frozen=True)
class _Live:
    """What the second half of the demo came to."""

    bundle: Bundle
    proofs: list[ParityReport]
    year: PaperYear

    @property
    def good(self) -> bool:
        return all(p.ok for p in self.proofs) and self.year.good


def _live(place: Path, strategy: Strategy, file: Path, say: Callable[[str], None]) -> _Live | None:
    """Promote, prove and trade the strategy; None where the official client of the broker is not installed."""
    from importlib.util import find_spec

    if find_spec("ibapi") is None:
        say("paper    skipped: the official client is not installed; pip install 'quantlab[ib]' brings it")
        return None
    from quantlab.gateway.market import Market
    from quantlab.live.parity import run_parity
    from quantlab.live.replay import served_bars

    source = {"kind": "sample", "symbols": list(SYMBOLS), "bar_size": "1 day", "adjustment": "splits"}
    served = Market.of_sample(SYMBOLS).base
    bundle = promote_demo(place, strategy, file, replace(served, meta={**served.meta, "source": source}))
    say(f"promote  {bundle}: {bundle.folder}")
    proofs = [run_parity(bundle, fills=mode) for mode in ("bars", "quotes")]
    for proof in proofs:
        say(_parity_line(proof))
    say(f"paper    a year at the simulated gateway, {UNTIL} to {YEAR}, in a process of its own")
    year = paper_year(bundle, served_bars(bundle), say)
    say(_year_line(year))
    return _Live(bundle, proofs, year)


def _parity_line(proof: ParityReport) -> str:
    equal = "equal" if proof.decisions_equal else "DIFFERENT"
    text = f"parity   {proof.first} to {proof.last}, fills by {proof.fills}: {len(proof.rows):,} decisions {equal}"
    if proof.fills == "bars":
        return (
            text + f", {proof.n_fills} fills {'equal by construction' if proof.fills_equal else 'DIFFERENT'}"
        )
    return text + f", gap in profit {proof.gap.total:,.2f}, all of it explained" * proof.gap.closes


def _year_line(year: PaperYear) -> str:
    report = year.report
    return (
        f"paper    {report.n_bars} decisions on {report.n_assets} assets in {year.seconds:.0f} s, "
        f"{'all' if report.decisions_equal else 'NOT all'} those of the backtest; {report.n_orders} orders, "
        f"{year.n_doubled} doubled; {report.n_fills} fills, {year.n_journaled} in the journal; profit "
        f"{report.live_pnl:,.2f}"
    )


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


def _print_end(written: Path, net: Result, page: Path, commands: list[str]) -> None:
    from quantlab.report.statistics import format_money

    stats = net.stats
    parts = ("commission", "fees", "slippage", "spread", "borrow", "interest")
    paid = ", ".join(f"{name} {format_money(float(stats[name]))}" for name in parts if stats[name] > 0.0)
    typer.echo(f"costs of {REPORTED}: {paid}")
    typer.echo(f"report: {written}")
    typer.echo(f"page: {page}\n")
    typer.echo("Each step by itself:")
    for command in commands:
        typer.echo(f"  {command}")


def _commands(file: Path, written: Path, live: _Live | None) -> list[str]:
    """Commands that do each step of the demo by itself."""
    symbols = ",".join(SYMBOLS)
    steps = [
        f"data verify --symbols {symbols}",
        f"check {file}",
        f"backtest {file} --report {written}",
        f"verify {written} --strategy {file}",
        f"backtest {file} --costs zero",
        f"backtest {file} -p fast=10 -p slow=50 --symbols {symbols}",
    ]
    if live is not None:
        limits = " ".join(f"--{k.replace('_', '-')} {v:g}" for k, v in LIMITS.items())
        place = written.parent
        again = place / f"bundle-{len(list(place.glob('bundle*'))) + 1}"
        steps += [
            f"promote {file} --symbols {symbols} --end {UNTIL} --join now {limits} --out {again}",
            f"parity {live.bundle.folder}",
            f"status {live.bundle.folder}",
            f"journal {live.bundle.folder}",
        ]
    return [f"{_program()} {arguments}" for arguments in steps]


def _fills(entries: list[Entry]) -> list[tuple[str, ...]]:
    """Rows of a table of fills."""
    import numpy as np

    def row(body: dict[str, Any]) -> tuple[str, ...]:
        when = str(np.datetime64(body["time_ns"], "ns"))[:16].replace("T", " ")
        return f"{when} UTC", body["symbol"], f"{body['quantity']:+g}", f"{body['price']:,.2f}"

    return [row(entry.body) for entry in entries]


def _write_page(
    file: Path, written: Path, *, runs: dict[str, Result], live: _Live | None, commands: list[str]
) -> Path:
    """Write the page that leads to everything in the folder."""
    from quantlab.cli.backtest import HEADLINE
    from quantlab.engine.files import write_text
    from quantlab.live.journal import read_journal
    from quantlab.report.index import IndexPage, Part, render_index
    from quantlab.report.statistics import STATISTICS, format_value

    table = [("", *runs)]
    for key in HEADLINE:
        known = STATISTICS[key]
        table.append((known.label, *(format_value(float(r.stats[key]), known.unit) for r in runs.values())))
    parts = [
        Part("Backtest", "Gross and net, next open, Interactive Brokers' fixed costs.", table),
        Part("Files", links=[(file.name, "the strategy"), (written.name, "its report")]),
    ]
    if live is not None:
        lines = [_parity_line(p).removeprefix("parity   ") for p in live.proofs]
        parts.append(Part("Parity: live beside the backtest", lines=lines))
        told = _year_line(live.year).removeprefix("paper    ")
        parts.append(
            Part(
                "A year of paper trading",
                f"{told}. Killed after {live.year.killed_at} decisions, started again.",
                [
                    ("filled", "asset", "units", "price"),
                    *_fills(read_journal(live.bundle.journal_path, "execution")),
                ],
                links=[("bundle/bundle.json", "what was promoted, with its evidence and limits")],
            )
        )
    parts.append(Part("Each step by itself", lines=commands))
    page = IndexPage("From prices to paper orders", "What the demo did, and what it left here.", parts)
    return write_text(written.with_name("index.html"), render_index(page))


def _program() -> str:
    """How this program is called from here: by its name, or by its place where the name would not be found."""
    if shutil.which("quantlab"):
        return "quantlab"
    place = Path(sys.executable).with_name("quantlab")
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def _print_json(
    file: Path,
    written: Path,
    *,
    findings: Findings,
    verdict: CheckReport,
    runs: dict[str, Result],
    live: _Live | None,
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
    if live is not None:
        document["bundle"] = str(live.bundle.folder)
        document["parity"] = [proof.to_dict() for proof in live.proofs]
        document["paper"] = {
            "killed_at": live.year.killed_at,
            "doubled": live.year.n_doubled,
            "journaled": live.year.n_journaled,
            "seconds": live.year.seconds,
            **live.year.report.to_dict(),
        }
    print_json(document)
