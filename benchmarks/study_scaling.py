"""What a sweep too large for one machine costs: cores and hours, computed from rates that are measured here.

Rates are processor time of one thread, so that other work on the machine does not count; the share that a cluster
loses is measured with two of its workers on this machine, beside the same trials in one process. The cost is that of
trials x bars x rate, since both grow linearly (`bench_sweep.py --scaling` shows that).

Run with: python benchmarks/study_scaling.py [--bars 1000000] [--trials 1e9] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from _sweep_cases import AS_THEY_COME, minutes, pairs
from _sweep_signals import crossing, pandas_crossing, plain_crossing
from _timing import print_rows

from quantlab.kernels.stats import STATS
from quantlab.research.cluster import ClusterPool
from quantlab.research.shipping import to_bytes
from quantlab.research.space import Trials
from quantlab.research.trial import Job, Worker
from quantlab.strategy import Strategy

if TYPE_CHECKING:
    from quantlab.bars import Bars

SIGNALS = {
    "averages that are remembered": (crossing, 192),
    "the same in plain numpy": (plain_crossing, 64),
    "exponential averages and deviations in pandas": (pandas_crossing, 16),
}
"""By name the signal function, and how many trials of it are measured."""

CORES = (2, 32, 1_000)
SMALL = 400
"""Chunks of one trial on few bars: what one costs is the way there and back."""

ROW_BYTES = 8 * len(STATS) + 16 * 16 + 8
"""Statistics, moments of 16 parts, bar of the ruin."""


def job_of(signal: Any, bars: Bars) -> tuple[Job, Trials]:
    """Pairs of averages over 2 to 143 bars; a worker remembers up to a gigabyte of them."""
    strategy = Strategy(signal)
    return Job(strategy, bars, options=AS_THEY_COME, memo_bytes=10**9), Trials.of(
        strategy, pairs(143), "fast < slow"
    )


def processor_rate(signal: Any, bars: Bars, n_trials: int) -> float:
    """Nanoseconds of one thread by bar and trial, the better of two, warm."""
    job, trials = job_of(signal, bars)
    trials = trials.take(np.random.default_rng(1).choice(len(trials), n_trials, replace=False))
    worker = Worker(job)
    worker.run(trials, 0, n_trials)
    found = []
    for _ in range(2):
        began = time.process_time()
        worker.run(trials, 0, n_trials)
        found.append(time.process_time() - began)
    return min(found) / (n_trials * bars.n_bars) * 1e9


def cluster_rates(bars: Bars) -> dict[str, float]:
    """Measure what two workers of a cluster on this machine lose, and what a chunk costs on its way."""
    from distributed import Client, LocalCluster

    place = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with LocalCluster(**place) as cluster, Client(cluster, set_as_default=False) as client:
        job, trials = job_of(plain_crossing, bars)
        pool = ClusterPool(client, job)
        n, size = 96, 8
        ranges = [(k, k + size) for k in range(0, n, size)]
        list(pool.chunks(trials, ranges))  # kernels load, memos fill
        began = time.perf_counter()
        chunks = list(pool.chunks(trials, ranges))
        seconds = time.perf_counter() - began
        pool.close()
        worked = sum(sum(c.seconds) for c in chunks)

        few, trials = job_of(plain_crossing, bars.take(slice(0, 100)))
        pool = ClusterPool(client, few)
        ranges = [(2 * k, 2 * k + 1) for k in range(SMALL)]  # neighbours would go together
        list(pool.chunks(trials, ranges[:20]))
        began = time.perf_counter()
        list(pool.chunks(trials, ranges))
        way = (time.perf_counter() - began) / SMALL
        pool.close()
    return {
        "busy": worked / (2 * seconds),
        "chunk_s": way,
        "job_bytes": float(len(to_bytes(job))),
    }


def main() -> None:
    """Measure, compute, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bars", type=lambda x: int(float(x)), default=1_000_000)
    parser.add_argument("--trials", type=lambda x: int(float(x)), default=1_000_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    (bars,) = minutes(options.bars)
    rates = {name: processor_rate(f, bars, n) for name, (f, n) in SIGNALS.items()}
    cluster = cluster_rates(bars)
    hours = {name: options.trials * options.bars * ns * 1e-9 / 3600 for name, ns in rates.items()}
    found = {
        "bars": options.bars, "trials": options.trials, "ns_per_bar_trial": rates, "core_hours": hours,
        "table_bytes": options.trials * ROW_BYTES, "cluster": cluster,
    }  # fmt: skip
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{options.trials:,} trials x {options.bars:,} bars, from rates at {options.bars:,} bars\n")
    rows = [
        (name, f"{ns:.2f}", f"{hours[name]:,.0f}", *(f"{hours[name] / n:,.1f}" for n in CORES))
        for name, ns in rates.items()
    ]
    print_rows(
        ("signal function", "ns a bar and trial", "core hours", *(f"hours on {n:,} cores" for n in CORES)),
        rows,
    )
    print(
        f"\ntable: {ROW_BYTES} bytes a trial, {found['table_bytes'] / 1e9:,.0f} GB in all"
        f"\nprices and strategy: {cluster['job_bytes'] / 1e6:.0f} MB to each worker, once"
        f"\na chunk's way to a worker and back: {cluster['chunk_s'] * 1e3:.1f} ms, with two workers"
        f"\ntwo workers of a cluster on this machine: {cluster['busy']:.0%} of their time in trials"
    )


if __name__ == "__main__":
    main()
