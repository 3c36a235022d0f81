"""How often does a sweep on pure noise pass, and how often is an edge found: null worlds and the deflated Sharpe ratio.

Every sweep is of 36 pairs of moving averages on 750 daily bars, without costs, so that noise has no handicap. Each is
put to three verdicts: a probabilistic Sharpe ratio of the best of 0.95 (which knows nothing of the other 35 tries), a
deflated one of 0.95, and null worlds of which 95% are beaten (p of 0.05; 99 worlds, and none is run after five were as
good, which settles it).

Run with: python benchmarks/study_null_worlds.py [--sweeps 500] [--workers 2] [--market NAME] [--plain]
"""

from __future__ import annotations

import argparse
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

import quantlab as ql
from quantlab.bars import Bars
from quantlab.barsize import DAY_NS
from quantlab.model import Instrument
from quantlab.research.null_worlds import Rerun
from quantlab.research.overfitting import effective_trials
from quantlab.research.sweep import sweep
from quantlab.research.trial import Job, Worker
from quantlab.research.validate import deflate, sharpe_worth
from quantlab.research.worlds import Worlds
from quantlab.signals import sma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.research.sweep_result import SweepResult

N_BARS = 750
N_WORLDS = 99
LEVEL = 0.05
GRID: dict[str, Any] = {"fast": (2, 4, 6, 10, 15, 20), "slow": (25, 35, 50, 70, 100, 140)}
FREE: dict[str, Any] = {"costs": ql.Costs.zero(), "sizing": ql.Sizing(whole_units=False)}
DAILY = 0.01


@ql.strategy(**GRID)
def long_or_flat(bars: Bars, fast: int = 10, slow: int = 50) -> NDArray[np.bool_]:
    """Long while the fast average is above the slow one."""
    return sma(bars.close, fast) > sma(bars.close, slow)


@ql.strategy(**GRID)
def long_or_short(bars: Bars, fast: int = 10, slow: int = 50) -> NDArray[np.float64]:
    """Long while the fast average is above the slow one, else short."""
    return np.where(sma(bars.close, fast) > sma(bars.close, slow), 1.0, -1.0)


# -- markets: log returns of N_BARS days -------------------------------------------------------------------


def random_walk(rng: np.random.Generator) -> NDArray[np.float64]:
    """Independent normal returns without drift."""
    return rng.normal(0.0, DAILY, N_BARS)


def rising(rng: np.random.Generator) -> NDArray[np.float64]:
    """Independent normal returns with a Sharpe ratio of 0.8 a year."""
    return rng.normal(0.8 / math.sqrt(252) * DAILY, DAILY, N_BARS)


def clustered(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return fat tails whose volatility comes in clusters and rises after falls, and a drift of 0.4 a year.

    GJR-GARCH(1, 1) with Student's t of 5 degrees (Glosten, Jagannathan and Runkle, 1993).
    """
    shocks = rng.standard_t(5, N_BARS) * math.sqrt(3 / 5)
    variance, found = 1.0, np.empty(N_BARS)
    for t in range(N_BARS):
        found[t] = math.sqrt(variance) * shocks[t]
        variance = 0.02 + (0.03 + 0.14 * (shocks[t] < 0.0)) * found[t] ** 2 + 0.88 * variance
    return DAILY * (found + 0.4 / math.sqrt(252))


def trending(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an edge of months: a drift of a fifth of the volatility that changes its sign every 50 days or so."""
    turns = np.where(rng.random(N_BARS) < 1 / 50, -1.0, 1.0)
    return DAILY * (0.2 * np.cumprod(turns) * rng.choice((-1.0, 1.0)) + rng.normal(0.0, 1.0, N_BARS))


def echoing(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an edge of a few days: an eighth of each of the three returns before goes on."""
    shocks, found = rng.normal(0.0, 1.0, N_BARS), np.zeros(N_BARS)
    for t in range(N_BARS):
        found[t] = shocks[t] + found[max(t - 3, 0) : t].sum() / 8
    return DAILY * found


NOISE = (random_walk, rising, clustered)
EDGES = (trending, echoing)


def bars_of(returns: NDArray[np.float64]) -> Bars:
    """One asset with these log returns."""
    close = 100.0 * np.exp(np.cumsum(returns))[:, None]
    opened = np.vstack((np.full((1, 1), 100.0), close[:-1]))
    day = 12_000 + np.arange(N_BARS)
    return Bars(
        time=(day + 1) * DAY_NS,
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.full(close.shape, 1e6),
        session=day,
        instruments=(Instrument("NOISE"),),
        bar_size="1 day",
    )


# -- one sweep, all verdicts -------------------------------------------------------------------------------


def passes_worlds(swept: SweepResult, seed: int, *, mirror: bool) -> bool:
    """Whether at least 95% of the null worlds are beaten: five that are as good settle it."""
    rerun = Rerun(swept, Worlds.of(swept.bars, mirror=mirror, seed=seed), "sharpe")
    observed = float(swept.metric()[swept.best_trial()])
    allowed = int(LEVEL * (N_WORLDS + 1)) - 1
    as_good = 0
    for k in range(N_WORLDS):
        as_good += rerun.in_world(k) >= observed
        if as_good > allowed:
            return False
    return True


def different(swept: SweepResult) -> float:
    """Effective number of trials, as `quantlab.research.sampling` counts it, without making frames."""
    worker = Worker(Job(swept.strategy, swept.bars, (None, None), FREE))
    columns = []
    for k in range(len(swept)):
        target = np.ascontiguousarray(swept.strategy.function(swept.bars, **swept.trials.params(k)))
        equity = worker.setup.run(target, equity=True).equity
        columns.append(
            np.diff(equity, prepend=worker.setup.cash) / np.concatenate(([worker.setup.cash], equity[:-1]))
        )
    return effective_trials(np.array(columns).T)


def verdicts(case: tuple[str, str], mirror: bool, seed: int) -> tuple[bool, ...]:  # sent to a worker
    """Whether a sweep passes by its probabilistic Sharpe ratio, by its deflated one, and by null worlds."""
    market, strategy = (globals()[name] for name in case)
    bars = bars_of(market(np.random.default_rng((seed, 11))))
    swept = sweep(strategy, bars, progress=False, workers=1, **FREE)
    worth = deflate(swept, swept.best_trial(), different(swept))
    if seed == 0:
        full = sharpe_worth(swept)
        assert math.isclose(full.deflated_sharpe, worth.deflated_sharpe, abs_tol=1e-9), (full, worth)
    return (
        worth.psr >= 1 - LEVEL,
        worth.deflated_sharpe >= 1 - LEVEL,
        passes_worlds(swept, seed, mirror=mirror),
    )


def main() -> None:
    """Run all sweeps and print the share that passes, with its standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sweeps", type=int, default=500, help="sweeps of each kind on noise; a fifth on edges"
    )
    parser.add_argument("--market", choices=[m.__name__ for m in (*NOISE, *EDGES)], help="only this one")
    parser.add_argument("--plain", action="store_true", help="null worlds of blocks that are not turned")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    began = time.perf_counter()
    columns = ("market", "strategy", "sweeps", "PSR", "deflated", "worlds", "s.e. at most")
    widths = (-13, -15, 7, 8, 10, 9, 14)
    print("".join(f"{c:<{-w}}" if w < 0 else f"{c:>{w}}" for c, w in zip(columns, widths, strict=True)))
    # Each worker is a core's: threads of the linear algebra would only stand in each other's way.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool:
        for market, strategy in product((*NOISE, *EDGES), (long_or_flat, long_or_short)):
            if args.market not in {None, market.__name__}:
                continue
            n = args.sweeps if market in NOISE else max(args.sweeps // 5, 1)
            case = market.__name__, strategy.name
            rates = np.array(
                list(pool.map(partial(verdicts, case, not args.plain), range(n), chunksize=10)), float
            ).mean(axis=0)
            error = math.sqrt((rates * (1 - rates)).max() / n)
            shown = (*case, f"{n:,}", *(f"{r:.1%}" for r in rates), f"{error:.1%}")
            print(
                "".join(f"{c:<{-w}}" if w < 0 else f"{c:>{w}}" for c, w in zip(shown, widths, strict=True)),
                flush=True,
            )
    print(f"{time.perf_counter() - began:.0f} s with {args.workers} processes")


if __name__ == "__main__":
    main()
