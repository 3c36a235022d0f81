"""Time what a user waits for: the help, and the first backtest of a new process, beside vectorbt's.

Every program runs in a process of its own, all on bytecode that was compiled the same way: into one new folder, by a
first run that does not count. "Cold" is the first run after an installation or an edit of a kernel, when nothing is
compiled to machine code yet. Ends with 1 if a promise is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from _timing import print_rows, shown

PROJECT = Path(__file__).resolve().parent.parent

OURS = """
import quantlab as ql
from quantlab.signals import sma

def cross(bars):
    return sma(bars.close, 20) > sma(bars.close, 100)

print(ql.backtest(cross, ql.sample()).stats["final_equity"])
"""

# Four statistics, against our thirty-seven: stats() alone compiles for seconds more in every process.
THEIRS = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
import pandas as pd
import vectorbt as vbt

vbt.settings["engine"] = "{engine}"
rng = np.random.default_rng(1)
index = pd.date_range("2000-03-01", periods=3270, freq="B")
close = pd.Series(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, 3270))), index)
fast, slow = close.rolling(20).mean(), close.rolling(100).mean()
portfolio = vbt.Portfolio.from_signals(close, fast > slow, fast <= slow, fees=0.001, init_cash=100_000, freq="1D")
print(portfolio.final_value(), portfolio.sharpe_ratio(), portfolio.max_drawdown(), portfolio.trades.win_rate())
"""


@dataclass(frozen=True)
class Program:
    """What is started, and what was promised of it (seconds)."""

    name: str
    arguments: tuple[str, ...]
    promised: float | None = None
    cold: bool = False


def programs() -> list[Program]:
    """Name everything that is measured."""
    ours, numba, rust = (
        ("-c", code) for code in (OURS, THEIRS.format(engine="numba"), THEIRS.format(engine="rust"))
    )
    found = [
        Program("quantlab --help", ("-m", "quantlab", "--help"), 0.3),
        Program("first backtest: quantlab", ours, 1.5),
        Program("first backtest: vectorbt numba", numba),
        Program("first backtest, cold: quantlab", ours, cold=True),
        Program("first backtest, cold: vectorbt numba", numba, cold=True),
    ]
    if find_spec("vectorbt_rust"):
        found.insert(3, Program("first backtest: vectorbt rust", rust))
    return found


def start(program: Program, bytecode: str) -> float:
    """Seconds of one process from its start to its end."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    with tempfile.TemporaryDirectory() as empty:
        if program.cold:
            environment["NUMBA_CACHE_DIR"] = empty
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *program.arguments],
            env=environment,
            cwd=PROJECT,
            capture_output=True,
            check=False,
        )
        seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{program.name} failed:\n{done.stderr.decode()[-2000:]}")
    return seconds


def measure(rounds: int, *, quick: bool) -> dict[str, list[float]]:
    """Seconds of each program; the warm ones in turn, the cold ones once."""
    listed = [p for p in programs() if not (quick and p.cold)]
    warm = [p for p in listed if not p.cold]
    seconds: dict[str, list[float]] = {p.name: [] for p in listed}
    with tempfile.TemporaryDirectory() as bytecode:
        for program in warm:
            start(program, bytecode)
        for _ in range(rounds):
            for program in warm:
                seconds[program.name].append(start(program, bytecode))
        for program in listed:
            if program.cold:
                seconds[program.name].append(start(program, bytecode))
    return seconds


def main() -> int:
    """Measure, print, and say whether every promise holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="three rounds, no cold start; no promise is tested"
    )
    parser.add_argument("--rounds", type=int, help="starts of each program")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    seconds = measure(options.rounds or (3 if options.quick else 7), quick=options.quick)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    promised = {p.name: p.promised for p in programs() if p.promised is not None}
    broken = [
        f"{name} takes {shown(medians[name])}; {shown(limit)} is promised"
        for name, limit in promised.items()
        if medians[name] > limit and not options.quick
    ]
    if options.json:
        print(json.dumps({"seconds": seconds, "median_s": medians, "broken": broken}, indent=2))
        return 1 if broken else 0
    rows = []
    for name, taken in seconds.items():
        limit = promised.get(name)
        cells = (shown(medians[name]), f"{shown(min(taken))} to {shown(max(taken))}", str(len(taken)))
        rows.append((name, *cells, "-" if limit is None else shown(limit)))
    print_rows(("in a new process", "median", "range", "runs", "promised"), rows)
    for text in broken:
        print(f"BROKEN: {text}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
