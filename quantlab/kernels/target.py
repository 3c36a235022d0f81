"""Targets as their changes: the bars at which one moves, and nothing in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clean_flags", "flipped_bars", "merged_bars", "moved_bars", "presence_bars"]

ONES, ONE, NOTHING = np.uint64(0x0101010101010101), np.uint64(1), np.uint64(0)
"""Eight bars in, the first of eight, and none, as one word: a byte a bar, the first one lowest."""

BAR, LAST_BAR, BYTE_SUM = np.uint64(8), np.uint64(56), np.uint64(255)
IN = np.uint8(1)


@kernel(allocates=False)
def clean_flags(flags: NDArray[np.uint8], words: NDArray[np.uint64]) -> None:
    """Make 1 of every byte but 0, in place: memory that a strategy took for flags and never wrote may hold any.

    Parameters
    ----------
    flags : ndarray of shape (8 n_words,)
        Flags; written only where one is neither 0 nor 1.
    words : ndarray of shape (n_words,)
        The same memory.
    """
    bits = NOTHING
    for j in range(words.shape[0]):
        bits |= words[j]
    if bits & ~ONES != NOTHING:
        for k in range(flags.shape[0]):
            flags[k] = min(flags[k], IN)


@kernel(allocates=False)
def flipped_bars(target: NDArray[np.uint8], words: NDArray[np.uint64], bars: NDArray[np.int64]) -> int:
    """`moved_bars` of the target of one asset that is in or out: eight bars are looked at together.

    Parameters
    ----------
    target : ndarray of shape (n_bars,)
        0 or 1.
    words : ndarray of shape (n_bars // 8,)
        The same memory.
    bars : ndarray of shape (n_bars,)
        Filled in from the front; the first bar always counts.
    """
    bars[0] = 0
    count = 1
    before = np.uint64(target[0])
    for j in range(words.shape[0]):
        word = words[j]
        # One in the byte of each bar that differs from the one before; the first bar is in the lowest byte.
        moved = word ^ ((word << BAR) | before)
        before = word >> LAST_BAR
        while moved != NOTHING:
            first = moved & (~moved + ONE)
            # The ones below it, one a bar, are counted: modulo 255 a number is the sum of its bytes.
            bars[count] = 8 * j + np.int64(((first - ONE) & ONES) % BYTE_SUM)
            count += 1
            moved ^= first
    for t in range(8 * words.shape[0], target.shape[0]):
        now = np.uint64(target[t])
        if now != before:
            bars[count] = t
            count += 1
            before = now
    return count


@kernel(allocates=False)
def merged_bars(
    moved: NDArray[np.int64], n_moved: int, others: NDArray[np.int64], bars: NDArray[np.int64]
) -> int:
    """Write the bars that are among the first `n_moved` of `moved` or among `others`, both rising; return how many."""
    count = j = k = 0
    while j < n_moved or k < others.shape[0]:
        if k == others.shape[0] or (j < n_moved and moved[j] <= others[k]):
            if k < others.shape[0] and moved[j] == others[k]:
                k += 1
            bars[count] = moved[j]
            j += 1
        else:
            bars[count] = others[k]
            k += 1
        count += 1
    return count


@kernel(allocates=False)
def moved_bars(target: NDArray[Any], bars: NDArray[np.int64]) -> int:
    """Write the bars at which any target differs from the bar before into `bars`; return how many there are.

    Parameters
    ----------
    target : ndarray of shape (n_bars, n_assets)
        NaN equals NaN.
    bars : ndarray of shape (n_bars,)
        Filled in from the front; the first bar always counts.
    """
    n_bars, n_assets = target.shape
    bars[0] = 0
    count = 1
    for t in range(1, n_bars):
        for i in range(n_assets):
            now, before = target[t, i], target[t - 1, i]
            if now != before and (now == now or before == before):
                bars[count] = t
                count += 1
                break
    return count


@kernel
def presence_bars(close: NDArray[np.float64], bars: NDArray[np.int64]) -> int:
    """Write the bars at which any asset comes or goes (its close turns from or to NaN) into `bars`; return how many."""
    n_bars, n_assets = close.shape
    count = 0
    for t in range(1, n_bars):
        for i in range(n_assets):
            now, before = close[t, i], close[t - 1, i]
            if (now == now) != (before == before):
                bars[count] = t
                count += 1
                break
    return count
