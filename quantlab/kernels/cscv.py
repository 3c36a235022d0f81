"""Combinatorially symmetric cross-validation: every half of the blocks against the other, for any number of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Halves", "best_of_halves", "half_ratios", "rank_in_halves"]

VARIANCE_NOISE = 1e-13
"""Share of the raw second moment below which a variance is rounding noise of a constant series."""


class Halves(NamedTuple):
    """Every way to take half of the blocks: a subset of the first half of them, joined with one of the second.

    Sums over a half are then one addition each, of two sums over subsets that are made once a trial.

    Parameters
    ----------
    parent, newest : ndarray of shape (2 ** (n_blocks / 2),)
        Each subset but the first, which is empty, is an earlier one with one more block: which, and which.
    begin, end : ndarray of shape (2 ** (n_blocks / 2),)
        Subsets of the second half that go with each of the first.
    n_bars : ndarray of shape (n_halves,)
        Bars of each half.
    """

    parent: NDArray[np.int64]
    newest: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    n_bars: NDArray[np.float64]


@kernel(allocates=False)
def half_ratios(
    moments: NDArray[np.float64],
    bars: NDArray[np.float64],
    rate: float,
    halves: Halves,
    sums: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Rank measure of one trial over each half: s |s| / q of the sum s and the sum of squares q of excess returns.

    It orders trials as their Sharpe ratio over the half does, without a root: with n bars, mean / deviation is
    a growing function of s / sqrt(q).

    Parameters
    ----------
    moments : ndarray of shape (n_blocks, 2)
        Sum and sum of squares of the bar returns in each block.
    bars : ndarray of shape (n_blocks,)
        Bars of each block.
    rate : float
        Return of one bar without risk.
    halves : Halves
        Which blocks make a half.
    sums : ndarray of shape (4, n_subsets)
        Working memory.
    out : ndarray of shape (n_halves,)
        Filled in; 0 where the returns of the half are constant.
    """
    n_low = moments.shape[0] // 2
    first, first_2, second, second_2 = sums[0], sums[1], sums[2], sums[3]
    first[0] = first_2[0] = second[0] = second_2[0] = 0.0
    for k in range(1, halves.parent.shape[0]):
        before, i = halves.parent[k], halves.newest[k]
        j = i + n_low
        low, high = bars[i] * rate, bars[j] * rate
        first[k] = first[before] + (moments[i, 0] - low)
        first_2[k] = first_2[before] + (moments[i, 1] - rate * (2.0 * moments[i, 0] - low))
        second[k] = second[before] + (moments[j, 0] - high)
        second_2[k] = second_2[before] + (moments[j, 1] - rate * (2.0 * moments[j, 0] - high))
    place = 0
    for k in range(halves.begin.shape[0]):
        begin = halves.begin[k]
        count = halves.end[k] - begin
        a, a_2 = first[k], first_2[k]
        b, b_2 = second[begin:], second_2[begin:]
        n, row = halves.n_bars[place:], out[place:]
        for j in range(count):
            s, q = a + b[j], a_2 + b_2[j]
            ratio = s * abs(s) / q
            row[j] = ratio if q * n[j] - s * s > VARIANCE_NOISE * q * n[j] else 0.0
        place += count


@kernel
def best_of_halves(
    moments: NDArray[np.float64],
    usable: NDArray[np.bool_],
    span: tuple[int, int],
    bars: NDArray[np.float64],
    rate: float,
    halves: Halves,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Best trial of each half among the usable ones in a span of trials; the first of equals.

    Parameters
    ----------
    moments : ndarray of shape (n_trials, n_blocks, 2)
        Sum and sum of squares of the bar returns in each block.
    usable : ndarray of shape (n_trials,)
        Trials that take part.
    span : tuple of int
        First trial, and the one after the last.
    bars, rate, halves
        As in `half_ratios`.

    Returns
    -------
    ndarray of shape (n_halves,), ndarray of shape (n_halves,)
        The largest measure, and whose it is (-inf and -1 where no trial is usable).
    """
    n_halves = halves.n_bars.shape[0]
    best, chosen = np.full(n_halves, -np.inf), np.full(n_halves, -1)
    sums, ratios = np.empty((4, halves.parent.shape[0])), np.empty(n_halves)
    for trial in range(span[0], span[1]):
        if not usable[trial]:
            continue
        half_ratios(moments[trial], bars, rate, halves, sums, ratios)
        for c in range(n_halves):
            better = ratios[c] > best[c]
            best[c] = ratios[c] if better else best[c]
            chosen[c] = trial if better else chosen[c]
    return best, chosen


@kernel
def rank_in_halves(
    moments: NDArray[np.float64],
    usable: NDArray[np.bool_],
    span: tuple[int, int],
    bars: NDArray[np.float64],
    rate: float,
    halves: Halves,
    level: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the usable trials of a span whose measure in each half is below a level, and those at it.

    Parameters
    ----------
    moments, usable, span, bars, rate, halves
        As in `best_of_halves`.
    level : ndarray of shape (n_halves,)
        What is compared with.

    Returns
    -------
    ndarray of shape (n_halves,), ndarray of shape (n_halves,)
        How many are below, and how many equal.
    """
    n_halves = halves.n_bars.shape[0]
    below, equal = np.zeros(n_halves, np.int64), np.zeros(n_halves, np.int64)
    sums, ratios = np.empty((4, halves.parent.shape[0])), np.empty(n_halves)
    for trial in range(span[0], span[1]):
        if not usable[trial]:
            continue
        half_ratios(moments[trial], bars, rate, halves, sums, ratios)
        for c in range(n_halves):
            below[c] += ratios[c] < level[c]
            equal[c] += ratios[c] == level[c]
    return below, equal
