"""What a sweep costs by bar and trial as trials, bars and workers grow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from _sweep_cases import AS_THEY_COME, Sweep, minutes
from _sweep_signals import crossing
from _timing import clock, print_rows, shown

RISE = 1.3
"""How much more a bar and trial may cost with four times as many of them: linear, but for caches."""

TRIES = 3


def measured(n_bars: int, n_trials: int, workers: int | str, step: int = 1) -> dict[str, Any]:
    """Rate of a sweep of every `step`-th window: the quickest of `TRIES`, since others on the machine only ever add."""
    windows = range(2, 144, step)
    sweep = Sweep(crossing, minutes(n_bars), {"fast": windows, "slow": windows}, AS_THEY_COME)
    options = {"n_trials": n_trials, "workers": workers}
    how = sweep.run(**options)[0].how
    seconds = min(clock(lambda: sweep.run(**options)) for _ in range(TRIES))
    return {
        "n_bars": n_bars, "n_trials": n_trials, "workers": workers, "how": how, "seconds": seconds,
        "ns_per_bar_trial": seconds / (n_bars * n_trials) * 1e9, "trials_per_s": n_trials / seconds,
    }  # fmt: skip


def scaling(*, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Measure trials x 1, 4, 16, bars x 1, 4, 16, and workers."""
    trials, bars, base = ((30, 120, 480), (500, 2_000, 8_000), (120, 2_000)) if quick else (
        (600, 2_400, 9_600), (2_500, 10_000, 40_000), (2_400, 10_000)
    )  # fmt: skip
    kinds = (1, "threads:2", "processes:2")
    return {
        "trials": [measured(base[1], n, 2) for n in trials],
        "bars": [measured(n, base[0], 2) for n in bars],
        "workers": [measured(n, base[0], kind) for n in (bars[0], bars[-1]) for kind in kinds],
        "long": [] if quick else [measured(1_000_000, 276, kind, step=6) for kind in (1, 2)],
    }


def broken_scaling(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Where a bar and trial cost more and more."""
    broken = []
    for name in ("trials", "bars"):
        rows = found[name]
        for few, many in pairwise(rows):
            rise = many["ns_per_bar_trial"] / few["ns_per_bar_trial"]
            if rise > RISE:
                broken.append(
                    f"scaling: four times the {name} cost {4 * rise:.1f} times as much ({few['n_trials']:,} trials x "
                    f"{few['n_bars']:,} bars to {many['n_trials']:,} x {many['n_bars']:,}); linear is promised"
                )
    return broken


def print_scaling(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the table."""
    print("\nscaling: pairs of averages on one-minute bars, the quickest of three")
    rows = [
        (
            name, f"{x['n_trials']:,}", f"{x['n_bars']:,}", x["how"], shown(x["seconds"]),
            f"{x['ns_per_bar_trial']:.2f}", f"{x['trials_per_s']:,.0f}",
        )
        for name, group in found.items()
        for x in group
    ]  # fmt: skip
    print_rows(
        ("what grows", "trials", "bars", "workers", "time", "ns a bar and trial", "trials a second"), rows
    )
