"""Time the causality test for each strategy, and count the planted cheats that it catches.

The peer is the plain way to test the same thing: cut the bars and run the signal again, one cut at a time, on
truncated bars only. Run with: python benchmarks/bench_check.py [--seeds N]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import quantlab as ql
from quantlab.engine.loader import load_strategy
from quantlab.research.scramble import take

if TYPE_CHECKING:
    from quantlab.bars import Bars
    from quantlab.research.causality import CheckReport

ROOT = Path(__file__).resolve().parent.parent
SYMBOLS = ["AAPL", "IBM", "MSFT", "GOOG"]
ONE_ASSET = {"sma_cross", "rsi_reversion", "donchian_breakout", "bollinger_reversion", "macd_trend"}


def timed(function: Any, *args: Any, **options: Any) -> tuple[float, Any]:
    """Processor time in seconds, and what the function returned.

    One thread does all the work: on an idle machine this is the time one waits, on a busy one it stays so.
    """
    start = time.process_time()
    result = function(*args, **options)
    return time.process_time() - start, result


def plain(strategy: Any, bars: Bars, cuts: tuple[int, ...]) -> bool:
    """Whether one parameter set gives the same on truncated bars: the test that everybody writes first."""
    idea = ql.Strategy(strategy) if not isinstance(strategy, ql.Strategy) else strategy
    params = next(iter(idea.parameter_sets()))
    full = np.asarray(idea(bars, **params), float)
    for cut in cuts:
        short = np.asarray(idea(take(bars, slice(0, cut + 1)), **params), float)
        if not np.array_equal(short, full[: cut + 1], equal_nan=True):
            return False
    return True


def bench_strategies() -> None:
    """Time `ql.check` over each default grid, on one asset where the idea needs one, and on four."""
    print(f"{'strategy':<26}{'assets':>7}{'sets':>6}{'cuts':>6}{'comparisons':>13}{'seconds':>9}  warm-up")
    for path in sorted((ROOT / "strategies").glob("*.py")):
        for symbols in (["AAPL"], SYMBOLS):
            if len(symbols) == 1 and path.stem not in ONE_ASSET:
                continue
            bars, idea = ql.sample(symbols), load_strategy(str(path))
            idea.evaluate(bars)  # compile first: the benchmark times the test
            report: CheckReport
            seconds, report = timed(ql.check, idea, bars)
            assert report.causal, report
            known = [n for n in report.warmup.values() if n is not None]
            whole = len(report.warmup) - len(known)
            text = f"{min(known)} to {max(known)}" if known else ""
            text += f"{', ' if known else ''}whole history for {whole}" if whole else ""
            print(
                f"{path.stem:<26}{len(symbols):>7}{report.n_parameter_sets:>6}{len(report.cuts):>6}"
                f"{report.n_comparisons:>13,}{seconds:>9.2f}  {text}"
            )


def bench_cheats(n_seeds: int) -> None:
    """Catch rate of the planted cheats, at the right bar, beside that of truncation at as many cuts."""
    sys.path.insert(0, str(ROOT / "tests"))
    from cheats import CHEATS

    bars = ql.sample(SYMBOLS[:3])
    bars = replace(bars, fields={"earnings": np.random.default_rng(0).normal(size=bars.shape)})
    caught = named = by_truncation = failed = 0
    slowest, total = "", 0.0
    longest = 0.0
    for name, cheat in CHEATS.items():
        for seed in range(n_seeds):
            seconds, report = timed(ql.check, cheat, bars, seed=seed)
            caught += not report.causal
            named += not report.causal and report.first_offence.bar == cheat.first_bar(bars)
            total += seconds
            if seconds > longest:
                longest, slowest = seconds, name
        try:
            with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
                by_truncation += not plain(cheat, bars, report.cuts)
        except (TypeError, ValueError, IndexError):  # a Signal is no array; some fail on very short bars
            failed += 1
    tried = len(CHEATS) * n_seeds
    print(f"\nplanted cheats, {n_seeds} seeds on 3 assets x {bars.n_bars} bars:")
    print(f"  caught              {caught} of {tried}")
    print(f"  first bar named     {named} of {tried}")
    print(f"  seconds             {total / tried:.2f} each, {longest:.2f} at most ({slowest})")
    print(
        f"  by truncating alone {by_truncation} of {len(CHEATS)} ({failed} raise; defaults only, same cuts)"
    )


def main() -> None:
    """Print both tables and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="seeds for the planted cheats")
    options = parser.parse_args()
    bench_strategies()
    bench_cheats(options.seeds)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
