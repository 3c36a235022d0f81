"""The demo's second half: a strategy promoted, proved, traded for a year, killed in the middle and resumed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quantlab.errors import LiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from quantlab.bars import Bars
    from quantlab.live.bundle import Bundle
    from quantlab.live.parity import ParityReport
    from quantlab.strategy import Strategy

__all__ = ["LIMITS", "UNTIL", "YEAR", "PaperYear", "cheat_refusal", "paper_year", "promote_demo"]

UNTIL, YEAR = "2012-02-29", "2013-03-01"
"""What is promoted on ends here; the year after it is traded as if it were the future."""

LIMITS = {
    "max_order_value": 60_000.0,
    "max_position_value": 80_000.0,
    "max_gross_value": 200_000.0,
    "max_orders_per_day": 20,
    "max_daily_loss": 20_000.0,
}
"""Risk limits of the demo: room for its four positions of a quarter each, not much more."""

CHEAT = '''\
"""Knows tomorrow: refused, as it should be."""

import numpy as np

import quantlab as ql


@ql.strategy
def tomorrow(bars, days=1):
    """Long before a rise."""
    later = np.roll(bars.close, -days, axis=0)
    return later > bars.close
'''

KILL_AFTER = 100
"""Decisions after which the paper run is killed."""

PATIENCE_S = 120.0
"""Longest wait for a step of the paper run."""


@dataclass(frozen=True)
class PaperYear:
    """What a year of paper trading came to.

    Parameters
    ----------
    report : ParityReport
        The year beside the backtest.
    killed_at : int
        Decisions that were made when the run was killed.
    n_doubled : int
        Orders that went out twice.
    n_journaled : int
        Fills in the journal.
    seconds : float
        Wall time, starts of processes included.
    """

    report: ParityReport
    killed_at: int
    n_doubled: int
    n_journaled: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing was doubled, nothing was lost, and every decision is the backtest's."""
        return self.n_doubled == 0 and self.n_journaled == self.report.n_fills and self.report.decisions_equal


def cheat_refusal(folder: Path, bars: Bars) -> str:
    """Have the promotion refuse a strategy that knows tomorrow; what it says.

    Raises
    ------
    LiveError
        If it does not refuse.
    """
    from quantlab.engine.files import write_text
    from quantlab.engine.loader import load_strategy
    from quantlab.live.promote import examine

    file = write_text(folder / "cheat.py", CHEAT)
    strategy = load_strategy(str(file))
    try:
        examine(strategy, bars, {}, _terms())
    except LiveError as error:
        return str(error)
    raise LiveError(f"{file} looks ahead and was not refused: this is a defect of quantlab.")


def _terms() -> Any:
    from quantlab.costs import Costs
    from quantlab.live.bundle import Terms
    from quantlab.live.risk import Limits
    from quantlab.sizing import Account, Sizing

    limits = Limits.from_description(LIMITS)
    return Terms(100_000.0, Costs.default(), Sizing(), Account.margin(), limits, join="now")


def promote_demo(folder: Path, strategy: Strategy, file: Path, bars: Bars) -> Bundle:
    """Promote the demo's strategy on the bars up to `UNTIL`; an earlier bundle of the demo is replaced."""
    from quantlab.live.promote import promote

    place = folder / "bundle"
    if (place / "bundle.json").is_file():
        shutil.rmtree(place)
    bundle, _ = promote(strategy, bars.between(None, UNTIL), terms=_terms(), out=place, origin=str(file))
    return bundle


def paper_year(bundle: Bundle, bars: Bars, say: Callable[[str], None]) -> PaperYear:
    """Trade a year in processes of their own at a simulated gateway; kill the first one, start a second.

    Parameters
    ----------
    bundle : Bundle
        Without a journal yet.
    bars : Bars
        What the gateway serves, the bundle's future included.
    say : callable
        Takes one line for people.

    Raises
    ------
    LiveError
        If a process ends before its time.
    """
    import numpy as np

    from quantlab.gateway.market import Market
    from quantlab.gateway.server import Gateway
    from quantlab.live.journal import read_journal
    from quantlab.live.parity import compare
    from quantlab.live.replay import client_name, collect

    began = time.perf_counter()
    first = int(np.searchsorted(bars.time, bundle.bars.time[-1]))
    last = bars.rows(None, YEAR).stop - 1
    with Gateway(
        Market.of_bars(bars), speed="max", start=str(np.datetime64(int(bars.session[first + 1]), "D"))
    ) as gateway:
        process = _start(bundle, gateway.port)
        killed_at = _wait(process, bundle, KILL_AFTER)
        process.kill()
        process.communicate()
        say(f"         killed (kill -9) after {killed_at} decisions; started again")
        process = _start(bundle, gateway.port)
        _wait(process, bundle, last - first + 1)
        _, err = process.communicate(timeout=PATIENCE_S)
        if process.returncode:
            raise LiveError(f"the paper run ended with {process.returncode}: {err.strip()}")
        done = collect(
            bundle,
            bars,
            gateway,
            bundle.journal_path,
            fills="quotes",
            first=first,
            client=client_name(),
            began=began,
        )
    report = compare(bundle, bars.take(slice(0, last + 1)), done)
    counts = Counter(order.order_ref for order in done.orders)
    return PaperYear(
        report=replace(report, seconds=time.perf_counter() - began),
        killed_at=killed_at,
        n_doubled=sum(n - 1 for n in counts.values()),
        n_journaled=len(read_journal(bundle.journal_path, "execution")),
        seconds=time.perf_counter() - began,
    )


def _start(bundle: Bundle, port: int) -> subprocess.Popen[str]:
    options = ["--gateway", f"127.0.0.1:{port}", "--driven", "--until", YEAR, "--json"]
    return subprocess.Popen(  # noqa: S603  # this program, on files that it wrote
        [sys.executable, "-m", "quantlab", "paper", str(bundle.folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )


def _wait(process: subprocess.Popen[str], bundle: Bundle, decisions: int) -> int:
    """Wait until so many decisions were journaled; how many there are.

    Raises
    ------
    LiveError
        If the process ended before, or nothing happens.
    """
    from quantlab.live.journal import read_journal

    deadline = time.monotonic() + PATIENCE_S
    while True:
        made = len(read_journal(bundle.journal_path, "decision")) if bundle.journal_path.is_file() else 0
        if made >= decisions:
            return made
        if process.poll() is not None:
            raise LiveError(f"the paper run ended after {made} decisions: {process.communicate()[1].strip()}")
        if time.monotonic() > deadline:
            process.kill()
            raise LiveError(f"the paper run stopped at {made} decisions of {decisions}.")
        time.sleep(0.02)
