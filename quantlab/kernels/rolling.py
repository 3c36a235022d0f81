"""Moving means, deviations, extremes and ranks over each asset's own bars.

All kernels here take a C-contiguous read-only array of shape (n_bars, n_assets) in which an asset without a
bar is not finite, and a window length n >= 1 in own bars. They return NaN where the asset has no bar and
until its window is full. A value depends on its window alone, to the bit: see `quantlab.kernels.exact`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel
from quantlab.kernels.columns import column_of, place, room_for, rows_of
from quantlab.kernels.exact import MAX_PARTIALS, expansion_sum, moving_sums, two_product, two_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "moving_extreme",
    "moving_mean",
    "moving_moments",
    "moving_rank",
    "moving_score",
    "moving_weighted_mean",
]

CHUNK = 4_096
"""Windows done at a time: their buffers stay in the second-level cache."""

CANCELLED = 2.0**-45
"""Share of the squares that must be left in the squared deviations for the direct formula to be precise."""

SQUARABLE = 1e145
"""Squares of magnitudes from its inverse to this, and their errors, are neither infinite nor subnormal."""


@kernel
def _chunk_size(n: int) -> int:
    return max(CHUNK, 4 * n)


@kernel
def _copy(column: NDArray[np.float64], start: int, piece: NDArray[np.float64]) -> None:
    """Copy a piece, since read-only and writeable arrays would each compile all of `moving_sums`."""
    for t in range(piece.shape[0]):
        piece[t] = column[start + t]


@kernel
def _means(high: NDArray[np.float64], low: NDArray[np.float64], n: int, out: NDArray[np.float64]) -> None:
    count = float(n)
    for t in range(out.shape[0]):
        out[t] = (high[t] + low[t]) / count


@kernel
def _mean_column(column: NDArray[np.float64], n: int, out: NDArray[np.float64]) -> None:
    m = column.shape[0]
    size = _chunk_size(n)
    room = np.empty((3, min(m, size + n)))
    for first in range(n - 1, m, size):
        start, stop = first - n + 1, min(m, first + size)
        piece = room[0, : stop - start]
        _copy(column, start, piece)
        moving_sums(piece, n, room[1], room[2])
        _means(room[1, n - 1 :], room[2, n - 1 :], n, out[first:stop])


@kernel
def moving_mean(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Mean of the last n own bars: the exact sum, rounded once, over n. Shape of `x`."""
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        _mean_column(column, n, result)
        place(result, rows, out, i)
    return out


@kernel
def _weighted_window(
    column: NDArray[np.float64], t: int, n: int, terms: NDArray[np.float64], partials: NDArray[np.float64]
) -> tuple[float, float, bool]:
    """Exact sum of 1 x oldest + ... + n x newest of the window that ends at t, as `expansion_sum`."""
    for k in range(n):
        terms[2 * k], terms[2 * k + 1] = two_product(k + 1.0, column[t - n + 1 + k])
    return expansion_sum(terms, 0, 2 * n, partials)


@kernel
def _weighted_column(column: NDArray[np.float64], n: int, out: NDArray[np.float64]) -> None:
    m = column.shape[0]
    if m < n:
        return
    weight = n * (n + 1) / 2
    partials = np.empty(MAX_PARTIALS)
    terms = np.empty(2 * n)
    t = n - 1
    while t < m:
        hi, lo, exact = _weighted_window(column, t, n, terms, partials)
        out[t] = hi / weight
        sum_hi, sum_lo, both = expansion_sum(column, t - n + 1, t + 1, partials)
        exact = exact and both
        t += 1
        # The weighted sum gains n times the new value and loses the plain sum of the window before.
        while exact and t < m:
            p, pe = two_product(float(n), column[t])
            d, de = two_sum(p, -sum_hi)
            c, left = two_sum(pe, -sum_lo)
            hi, e = two_sum(hi, d)
            c, more = two_sum(c, e)
            c, over = two_sum(c, de)
            lo, rest = two_sum(lo, c)
            d, de = two_sum(column[t], -column[t - n])
            sum_hi, e = two_sum(sum_hi, d)
            c, spill = two_sum(e, de)
            sum_lo, spoilt = two_sum(sum_lo, c)
            lost = abs(left) + abs(more) + abs(over) + abs(rest) + abs(spill) + abs(spoilt)
            # NaN, from sums beyond the range of doubles, is not 0 either.
            exact = lost == 0.0
            if exact:
                out[t] = (hi + lo) / weight
                t += 1


@kernel
def moving_weighted_mean(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Mean of the last n own bars with weights 1 (oldest) to n (newest). Shape of `x`."""
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        _weighted_column(column, n, result)
        place(result, rows, out, i)
    return out


@kernel
def _squarable(values: NDArray[np.float64]) -> bool:
    """Whether every value can be squared without loss beyond the rounding that `two_product` returns."""
    large = 0.0
    small = np.inf
    for t in range(values.shape[0]):
        a = abs(values[t])
        large = max(large, a)
        small = min(small, a if a > 0.0 else np.inf)
    return large < SQUARABLE and small > 1.0 / SQUARABLE


@kernel
def _direct_spread(
    n: int, sum_hi: float, sum_lo: float, p_hi: float, p_lo: float, e_hi: float, e_lo: float
) -> float:
    """Return n times the squared deviations, ``n sum(x^2) - sum(x)^2``; NaN where too much of it cancels.

    The sum of the squares comes as that of the products and that of their rounding errors, each exact. The
    pairs are made canonical first, so that the result depends on the window alone.
    """
    sum_hi, sum_lo = two_sum(sum_hi, sum_lo)
    p_hi, p_lo = two_sum(p_hi, p_lo)
    e_hi, e_lo = two_sum(e_hi, e_lo)
    square, rest = two_sum(p_hi, e_hi)
    rest += p_lo + e_lo
    a, ae = two_product(float(n), square)
    ae += n * rest
    b, be = two_product(sum_hi, sum_hi)
    be += 2.0 * sum_hi * sum_lo
    d, de = two_sum(a, -b)
    spread = d + (de + (ae - be))
    return spread if spread > CANCELLED * a else np.nan


@kernel
def _centred_deviation(values: NDArray[np.float64], start: int, n: int, ddof: int) -> float:
    """Measure one window's standard deviation from its distances to its first value, in a fixed order."""
    first = values[start]
    far = 0.0
    for t in range(start, start + n):
        far = max(far, abs(values[t] - first))
    if far == 0.0:
        return 0.0
    power = math.frexp(far)[1]
    unit = math.ldexp(1.0, min(max(-power, -1000), 1000))
    s = se = q = qe = 0.0
    for t in range(start, start + n):
        d, de = two_sum(values[t] * unit, -first * unit)
        s, e = two_sum(s, d)
        se += e + de
        p, pe = two_product(d, d)
        q, e = two_sum(q, p)
        qe += e + pe + 2.0 * d * de
    s, se = two_sum(s, se)
    q, qe = two_sum(q, qe)
    a, ae = two_product(float(n), q)
    b, be = two_product(s, s)
    d, de = two_sum(a, -b)
    spread = d + (de + ((ae + n * qe) - (be + 2.0 * s * se)))
    return math.sqrt(max(spread, 0.0) / (float(n) * (n - ddof))) / unit


@kernel
def _lone_spread(
    values: NDArray[np.float64],
    start: int,
    n: int,
    squares: NDArray[np.float64],
    partials: NDArray[np.float64],
) -> float:
    """`_direct_spread` of one window; NaN also where a value cannot be squared."""
    if not _squarable(values[start : start + n]):
        return np.nan
    for t in range(n):
        squares[0, t], squares[1, t] = two_product(values[start + t], values[start + t])
    s = expansion_sum(values, start, start + n, partials)
    p = expansion_sum(squares[0], 0, n, partials)
    e = expansion_sum(squares[1], 0, n, partials)
    return _direct_spread(n, s[0], s[1], p[0], p[1], e[0], e[1])


@kernel
def _spreads(
    piece: NDArray[np.float64],
    n: int,
    room: NDArray[np.float64],
    spread: NDArray[np.float64],
    partials: NDArray[np.float64],
) -> None:
    """`_direct_spread` of every window of a piece whose own sums are in rows 4 and 5 of `room`."""
    m = piece.shape[0]
    squares = room[1:3, :m]
    if not _squarable(piece):
        for t in range(spread.shape[0]):
            spread[t] = _lone_spread(piece, t, n, squares, partials)
        return
    product, error = room[1, :m], room[2, :m]
    for t in range(m):
        product[t], error[t] = two_product(piece[t], piece[t])
    moving_sums(product, n, room[6], room[7])
    moving_sums(error, n, room[8], room[9])
    s, sl, p, pl = room[4, n - 1 :], room[5, n - 1 :], room[6, n - 1 :], room[7, n - 1 :]
    e, el = room[8, n - 1 :], room[9, n - 1 :]
    for t in range(spread.shape[0]):
        spread[t] = _direct_spread(n, s[t], sl[t], p[t], pl[t], e[t], el[t])


@kernel
def _moments_column(
    column: NDArray[np.float64],
    n: int,
    ddof: int,
    mean: NDArray[np.float64],
    deviation: NDArray[np.float64],
    score: NDArray[np.float64],
) -> None:
    """Write mean, deviation and score of each window; an array of length 0 is left alone."""
    m = column.shape[0]
    if m < n:
        return
    size = _chunk_size(n)
    room = np.empty((10, min(m, size + n)))
    partials = np.empty(MAX_PARTIALS)
    for first in range(n - 1, m, size):
        start, stop = first - n + 1, min(m, first + size)
        piece = room[0, : stop - start]
        _copy(column, start, piece)
        moving_sums(piece, n, room[4], room[5])
        high, low = room[4, n - 1 : piece.shape[0]], room[5, n - 1 : piece.shape[0]]
        spread = room[3, : high.shape[0]]
        _spreads(piece, n, room, spread, partials)
        scale = float(n) * (n - ddof)
        for t in range(spread.shape[0]):
            spread[t] = math.sqrt(spread[t] / scale)
        for t in range(spread.shape[0]):
            if spread[t] != spread[t]:
                spread[t] = _centred_deviation(piece, t, n, ddof)
        if mean.shape[0] > 0:
            _means(high, low, n, mean[first:stop])
        if deviation.shape[0] > 0:
            _copy(spread, 0, deviation[first:stop])
        if score.shape[0] > 0:
            scores, newest = score[first:stop], piece[n - 1 :]
            for t in range(scores.shape[0]):
                s, e = two_sum(high[t], low[t])
                a, ae = two_product(float(n), newest[t])
                scores[t] = ((a - s) + (ae - e)) / (n * spread[t])


@kernel
def moving_moments(
    x: NDArray[np.float64], n: int, ddof: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the last n own bars, each in the shape of `x`.

    The deviation divides by n - ddof and is NaN where that is not above zero. It is exactly 0 in a window of
    equal values, and right to about 1e-15 however small it is beside the mean.
    """
    mean = np.full(x.shape, np.nan)
    deviation = np.full(x.shape, np.nan)
    none = np.empty(0)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        means = room_for(mean, column.shape[0], rows)
        deviations = room_for(deviation, column.shape[0], rows)
        _moments_column(column, n, ddof, means, deviations if n > ddof else none, none)
        place(means, rows, mean, i)
        place(deviations, rows, deviation, i)
    return mean, deviation


@kernel
def moving_score(x: NDArray[np.float64], n: int, ddof: int) -> NDArray[np.float64]:
    """Distance of the newest of the last n own bars from their mean, in standard deviations. Shape of `x`.

    NaN where the deviation is 0.
    """
    out = np.full(x.shape, np.nan)
    none = np.empty(0)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        if n > ddof:
            _moments_column(column, n, ddof, none, none, result)
        place(result, rows, out, i)
    return out


@kernel
def _extreme_column(column: NDArray[np.float64], n: int, sign: float, out: NDArray[np.float64]) -> None:
    m = column.shape[0]
    if m < n:
        return
    # Blocks of n: a window is the tail of one block and the head of the next (van Herk 1992, Gil and Werman
    # 1993), so each bar costs three comparisons whatever n is.
    tail = np.empty(n)
    head = np.inf
    j = 0
    for t in range(m):
        head = min(head, sign * column[t])
        if j == n - 1:
            # Adding zero turns a negative zero into zero: which of the two wins a tie depends on the blocks.
            out[t] = sign * head + 0.0
            least = np.inf
            for k in range(n - 1, -1, -1):
                least = min(least, sign * column[t - n + 1 + k])
                tail[k] = least
            head = np.inf
            j = 0
        else:
            j += 1
            if t >= n:
                out[t] = sign * min(tail[j], head) + 0.0


@kernel
def moving_extreme(x: NDArray[np.float64], n: int, sign: float) -> NDArray[np.float64]:
    """Least (`sign` 1.0) or greatest (-1.0) of the last n own bars. Shape of `x`."""
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        _extreme_column(column, n, sign, result)
        place(result, rows, out, i)
    return out


@kernel
def _rank_column(column: NDArray[np.float64], n: int, out: NDArray[np.float64]) -> None:
    for t in range(n - 1, column.shape[0]):
        newest = column[t]
        less = 0
        equal = 0
        for k in range(t - n + 1, t + 1):
            less += column[k] < newest
            equal += column[k] == newest
        out[t] = less + 0.5 * (equal + 1)


@kernel
def moving_rank(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Rank, 1 (least) to n, of the newest of the last n own bars; ties share their mean. Shape of `x`."""
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        rows = rows_of(x, i)
        column = column_of(x, i, rows)
        result = room_for(out, column.shape[0], rows)
        _rank_column(column, n, result)
        place(result, rows, out, i)
    return out
