"""Combinatorially symmetric cross-validation: does the best of one half of time stay good in the other."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, ParameterError
from quantlab.kernels.cscv import (
    VARIANCE_NOISE,
    Halves,
    best_of_halves,
    half_ratios,
    rank_in_halves,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Cscv", "block_edges", "block_moments", "check_blocks", "cscv", "pbo_of_moments"]

MOST_BLOCKS = 24
"""Blocks at most: 24 have 2.7 million halves."""

FEW_TRIALS = 1_000
"""Trials for which a second thread is not worth starting."""

CHUNK = 65_536
"""Trials that are looked at together when constant ones are left out."""


@dataclass(frozen=True, eq=False)
class Cscv:
    """What choosing by one half of time came to in the other, over every way to halve it.

    Parameters
    ----------
    pbo : float
        Share of the halves whose best trial is at or below the median in the other half: a logit of 0 or less.
    logits : ndarray of shape (n_halves,)
        ln(w / (1 − w)), w = rank / (n_trials + 1) of that trial in the other half; equal ones share their mean rank.
    in_sample, out_of_sample : ndarray of shape (n_halves,)
        Sharpe ratios per bar of the chosen trial, in the half that chose it and in the other; NaN where constant.
    chosen : ndarray of shape (n_halves,)
        The best trial of each half.
    probability_of_loss : float
        Share of the halves whose best trial has an out-of-sample Sharpe ratio below 0.
    slope, intercept : float
        Least-squares line of `out_of_sample` on `in_sample`: below a slope of 0 a better fit is a worse future.
    n_blocks, n_trials, n_excluded : int
        Blocks, trials that took part, and trials that were left out: with NaN, or with constant returns.
    """

    pbo: float
    logits: NDArray[np.float64]
    in_sample: NDArray[np.float64]
    out_of_sample: NDArray[np.float64]
    chosen: NDArray[np.int64]
    probability_of_loss: float
    slope: float
    intercept: float
    n_blocks: int
    n_trials: int
    n_excluded: int

    def describe(self) -> dict[str, Any]:
        """Its numbers, without the arrays, as what JSON can hold (NaN becomes None)."""
        numbers = {k: getattr(self, k) for k in ("pbo", "probability_of_loss", "slope", "intercept")}
        counts = {k: getattr(self, k) for k in ("n_blocks", "n_trials", "n_excluded")}
        return {**{k: None if math.isnan(v) else v for k, v in numbers.items()}, **counts}


def block_edges(n_obs: int, blocks: int = 16) -> NDArray[np.int64]:
    """Observations at which equal blocks begin, and the end: shape (blocks + 1,); sizes differ by one at most."""
    return np.arange(blocks + 1) * n_obs // blocks


def block_moments(returns: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Add up returns and their squares over blocks.

    Parameters
    ----------
    returns : ndarray of shape (n_obs, n_trials)
        Returns of each trial.
    edges : ndarray of shape (n_blocks + 1,)
        As `block_edges` gives them; no block is empty.

    Returns
    -------
    ndarray of shape (n_trials, n_blocks, 2)
    """
    starts = edges[:-1]
    sums = np.add.reduceat(returns, starts, axis=0), np.add.reduceat(returns * returns, starts, axis=0)
    return np.ascontiguousarray(np.stack(sums, axis=-1).transpose(1, 0, 2))


def cscv(returns: ArrayLike, blocks: int = 16) -> Cscv:
    """Cross-validate the choice of the best by Sharpe ratio; parameters and errors as in `quantlab.overfitting.pbo`."""
    matrix = np.asarray(returns, np.float64)
    if matrix.ndim != 2:
        raise DataError(f"returns have shape {matrix.shape}; (n_obs, n_trials) is needed.")
    check_blocks(blocks)
    if len(matrix) < blocks:
        raise DataError(f"{len(matrix)} observations cannot be cut into {blocks} blocks; give fewer blocks.")
    edges = block_edges(len(matrix), blocks)
    return pbo_of_moments(block_moments(matrix, edges), np.diff(edges))


def pbo_of_moments(
    moments: NDArray[np.float64],
    n_bars_of_parts: ArrayLike,
    *,
    blocks: int | None = None,
    risk_free: float = 0.0,
    workers: int | None = None,
) -> Cscv:
    """Cross-validate from what each trial earned in each part of time: no returns are needed, and any width goes.

    Parameters
    ----------
    moments : ndarray of shape (n_trials, n_parts, 2)
        Sum and sum of squares of the bar returns in each part.
    n_bars_of_parts : array_like of shape (n_parts,)
        Bars of each part.
    blocks : int, optional
        Neighbouring parts are joined to so many blocks; even, and a divisor of n_parts. Default: the parts.
    risk_free : float
        Return of one bar without risk.
    workers : int, optional
        Threads; default: one a processor, and one for few trials. The result does not depend on it.

    Returns
    -------
    Cscv

    Raises
    ------
    ParameterError
        For a number of blocks that is odd, out of range or no divisor of the parts.
    DataError
        For arrays whose shapes do not fit, empty parts, and fewer than 2 trials that can be ranked.

    Notes
    -----
    Two passes over the trials: the first finds the best of each half, the second its rank in the other. Memory beyond
    `moments` is a few numbers for each of the C(blocks, blocks / 2) halves. About 40 s of processor time for a million
    trials of 16 parts.
    """
    bars = np.asarray(n_bars_of_parts, np.float64)
    if moments.ndim != 3 or moments.shape[2] != 2 or bars.shape != moments.shape[1:2]:
        raise DataError(
            f"moments have shape {moments.shape} and n_bars_of_parts {bars.shape}; (n_trials, n_parts, 2) and "
            "(n_parts,) are needed."
        )
    if not (bars > 0.0).all():
        raise DataError(f"part {int(np.argmin(bars))} has no bars; every part needs one.")
    moments, bars = _joined(np.ascontiguousarray(moments, np.float64), bars, blocks)
    usable = _varying(moments, float(bars.sum()))
    n = int(usable.sum())
    if n < 2:
        raise DataError(
            f"{n} of {len(moments)} trials can be ranked (the others are constant or failed); overfitting shows in a "
            "choice among 2 or more."
        )
    halves, other = _halves(tuple(bars.tolist()))
    n_workers = workers or (os.cpu_count() or 1 if len(moments) > FEW_TRIALS else 1)
    shared = (bars, float(risk_free), halves)
    _, chosen = _best(moments, usable, shared, n_workers)
    # Row c of these is about the half that chose; its other half is where the choice is judged.
    inside, outside = _measures(moments, chosen, other, shared)
    level = outside[other]
    below, equal = _ranks(moments, usable, (*shared, level), n_workers)
    rank = (below + (equal + 1) / 2.0)[other]
    logits = np.log(rank / (n + 1.0 - rank))
    in_sample = _sharpe(inside, halves.n_bars)
    out_of_sample = _sharpe(outside, halves.n_bars[other])
    slope, intercept = _line(in_sample, out_of_sample)
    return Cscv(
        pbo=float((logits <= 0.0).mean()),
        logits=logits,
        in_sample=in_sample,
        out_of_sample=out_of_sample,
        chosen=chosen,
        probability_of_loss=float((outside < 0.0).mean()),
        slope=slope,
        intercept=intercept,
        n_blocks=len(bars),
        n_trials=n,
        n_excluded=len(moments) - n,
    )


# -- what takes part ---------------------------------------------------------------------------------------


def check_blocks(blocks: int, n_parts: int | None = None) -> None:
    """Check a number of blocks, and that so many parts join to it.

    Raises
    ------
    ParameterError
        For a number that is odd, out of range, or no divisor of `n_parts`.
    """
    if isinstance(blocks, bool) or not isinstance(blocks, (int, np.integer)):
        raise ParameterError(f"blocks is {blocks!r}; a whole number is needed.")
    if blocks % 2 or not 2 <= blocks <= MOST_BLOCKS:
        raise ParameterError(
            f"blocks is {blocks}; half of them are compared with the other half, so an even number from 2 to "
            f"{MOST_BLOCKS} is needed."
        )
    if n_parts is not None and n_parts % blocks:
        even = [k for k in range(2, n_parts + 1, 2) if n_parts % k == 0]
        raise ParameterError(
            f"blocks is {blocks}, and {n_parts} parts do not join to so many; possible are "
            f"{', '.join(map(str, even)) or 'none'}."
        )


def _joined(
    moments: NDArray[np.float64], bars: NDArray[np.float64], blocks: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Parts joined to blocks."""
    n_parts = len(bars)
    blocks = n_parts if blocks is None else blocks
    check_blocks(blocks, n_parts)
    if blocks == n_parts:
        return moments, bars
    joined = moments.reshape(len(moments), blocks, n_parts // blocks, 2).sum(axis=2)
    return joined, bars.reshape(blocks, -1).sum(axis=1)


def _varying(moments: NDArray[np.float64], n: float) -> NDArray[np.bool_]:
    """Which trials are finite and not constant."""
    usable = np.empty(len(moments), np.bool_)
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(moments), CHUNK):
            first, second = moments[start : start + CHUNK].sum(axis=1).T
            varies = second * n - first * first > VARIANCE_NOISE * second * n
            usable[start : start + CHUNK] = varies & np.isfinite(second)
    return usable


# -- halves ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _halves(bars: tuple[float, ...]) -> tuple[Halves, NDArray[np.int64]]:
    """Every half of the blocks, and the place of the half that holds the other blocks."""
    n_low = len(bars) // 2
    masks = np.arange(2**n_low)
    bits = (masks[:, None] >> np.arange(n_low)) & 1
    masks = masks[np.argsort(bits.sum(axis=1), kind="stable")]
    bits = (masks[:, None] >> np.arange(n_low)) & 1
    size = bits.sum(axis=1)
    rank = np.argsort(masks)
    newest = np.argmax(bits, axis=1)
    parent = rank[masks & (masks - 1)]
    begin, end = (np.searchsorted(size, n_low - size, side) for side in ("left", "right"))
    count = end - begin
    low = np.repeat(np.arange(len(masks)), count)
    offset = np.cumsum(count) - count
    high = np.arange(len(low)) - offset[low] + begin[low]
    each = np.array(bars)
    n_bars = (bits @ each[:n_low])[low] + (bits @ each[n_low:])[high]
    other_low, other_high = (rank[masks[-1] ^ masks[k]] for k in (low, high))
    other = offset[other_low] + other_high - begin[other_low]
    return Halves(parent, newest, begin, end, n_bars), other


def _spans(n: int, n_workers: int) -> list[tuple[int, int]]:
    edges = [n * k // n_workers for k in range(n_workers + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def _each_span(function: Callable[..., Any], n: int, n_workers: int) -> list[Any]:
    """Results of a function over spans of trials, in their order."""
    spans = _spans(n, n_workers)
    if len(spans) == 1:
        return [function(spans[0])]
    with ThreadPoolExecutor(len(spans)) as pool:
        return list(pool.map(function, spans))


def _best(
    moments: NDArray[np.float64], usable: NDArray[np.bool_], shared: tuple[Any, ...], n_workers: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Best trial of each half; the first of equals, however many threads there are."""
    found = _each_span(lambda s: best_of_halves(moments, usable, s, *shared), len(moments), n_workers)
    best, chosen = found[0]
    for value, trial in found[1:]:
        better = value > best
        best, chosen = np.where(better, value, best), np.where(better, trial, chosen)
    return best, chosen


def _ranks(
    moments: NDArray[np.float64], usable: NDArray[np.bool_], shared: tuple[Any, ...], n_workers: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many trials are below each level, and how many at it."""
    found = _each_span(lambda s: rank_in_halves(moments, usable, s, *shared), len(moments), n_workers)
    return sum(b for b, _ in found), sum(e for _, e in found)


def _measures(
    moments: NDArray[np.float64],
    chosen: NDArray[np.int64],
    other: NDArray[np.int64],
    shared: tuple[Any, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure of the chosen trial of each half, in that half and in the other."""
    bars, rate, halves = shared
    inside, outside = np.empty(len(chosen)), np.empty(len(chosen))
    sums, ratios = np.empty((4, len(halves.parent))), np.empty(len(chosen))
    order = np.argsort(chosen, kind="stable")
    borders = np.flatnonzero(np.diff(chosen[order])) + 1
    for places in np.split(order, borders):
        half_ratios(moments[chosen[places[0]]], bars, rate, halves, sums, ratios)
        inside[places], outside[places] = ratios[places], ratios[other[places]]
    return inside, outside


def _sharpe(ratio: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sharpe ratio per bar from the rank measure s |s| / q of n returns; NaN where those are constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_over_root = np.sign(ratio) * np.sqrt(np.abs(ratio)) / np.sqrt(n)
        sharpe = mean_over_root * np.sqrt((n - 1.0) / n) / np.sqrt(1.0 - np.abs(ratio) / n)
    return np.where(ratio == 0.0, np.nan, sharpe)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line; NaN where there is none."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2:
        return math.nan, math.nan
    x, y = x[known], y[known]
    dx = x - x.mean()
    scatter = float(dx @ dx)
    if scatter <= 1e-24:
        return math.nan, math.nan
    slope = float(dx @ (y - y.mean())) / scatter
    return slope, float(y.mean() - slope * x.mean())
