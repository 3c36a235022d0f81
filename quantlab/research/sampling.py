"""A sample of the trials of a sweep, run again for their returns, and how many different ideas it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantlab.research.overfitting import effective_trials
from quantlab.research.reality import coarsen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quantlab.research.sweep_result import SweepResult

__all__ = ["SAMPLE", "Sample", "sample_trials"]

SAMPLE = 500
"""Trials in a sample, if nothing is said."""

AT_ONCE = 4_000_000
"""Returns that are held together before they are summed to steps."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Returns of some trials of a sweep.

    Parameters
    ----------
    rows : ndarray of shape (n_sample,)
        Their trial numbers: drawn without replacement from those with statistics, in order.
    steps : ndarray of shape (n_steps, n_sample)
        Their returns; of long histories the sums over neighbouring bars, at most 1,000 of them.
    n_trials : int
        Trials that were drawn from.
    effective : float
        Number of different ideas among those, by `quantlab.overfitting.effective_trials`.
    """

    rows: NDArray[np.int64]
    steps: NDArray[np.float64]
    n_trials: int
    effective: float


def sample_trials(sweep: SweepResult, n_sample: int = SAMPLE, *, seed: int = 0) -> Sample:
    """Draw trials of a sweep, run them again, and count the different ideas among all trials.

    Parameters
    ----------
    sweep : SweepResult
        Of which trials are drawn; those without statistics are not.
    n_sample : int
        How many at most.
    seed : int
        Of the draw.

    Returns
    -------
    Sample

    Raises
    ------
    MissingExtraError
        Without scipy.

    Notes
    -----
    Memory is a few million numbers, whatever the length of the history.
    """
    ran = np.flatnonzero(ran_of(sweep))
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(ran, n_sample, replace=False)) if len(ran) > n_sample else ran
    steps = steps_of(sweep, rows)
    return Sample(rows, steps, len(ran), effective_trials(steps, len(ran)))


def ran_of(sweep: SweepResult) -> NDArray[np.bool_]:
    """Which trials have statistics: neither failed nor, in a sweep that was stopped, left out."""
    return np.asarray(sweep.table["final_equity"].notna().to_numpy(np.bool_))


def steps_of(sweep: SweepResult, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Run trials of a sweep again for their returns, summed to at most 1,000 steps: (n_steps, n_rows)."""
    at_once = max(AT_ONCE // max(sweep.n_bars, 1), 1)
    parts = [
        coarsen(np.asarray(sweep.returns(rows[start : start + at_once]), np.float64))
        for start in range(0, len(rows), at_once)
    ]
    return np.hstack(parts) if parts else np.empty((0, 0))
