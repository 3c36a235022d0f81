"""Sums without rounding: the sum of a window, rounded once, whatever came before the window.

A running sum in floating point carries the rounding errors of every bar it ever saw, so two histories that
start on different days disagree in the last bits of the same window, and a comparison that is a tie in one is
none in the other. Here each window's sum is the exact sum of its values, kept as a pair of doubles.
Three ways lead to it:

1. *split sums*: when all values of a piece share enough of their binary range, each value is cut at one
   common bit into two parts whose sums need no more than 53 bits, so that plain adding is exact;
2. *running sums*: a pair of doubles kept exact by error-free additions, as long as these leave no remainder;
3. *window by window*: an expansion of as many doubles as it takes, when they do.

Sources: T. J. Dekker, "A floating-point technique for extending the available precision" (1971); D. E. Knuth,
The Art of Computer Programming 2, 4.2.2 (two_sum); J. R. Shewchuk, "Adaptive precision floating-point
arithmetic" (1997), section 2.4; S. M. Rump, T. Ogita, S. Oishi, "Accurate floating-point summation I" (2008),
section 3 (the cut). Sums beyond 1.8e308 are infinite or NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_PARTIALS", "expansion_sum", "grow", "moving_sums", "two_product", "two_sum"]

MAX_PARTIALS = 2_200
"""Room for an expansion: its parts do not overlap, and doubles span 2,098 bits."""

LARGE = 1e290
"""Largest magnitude that the split takes; beyond it a cut could overflow."""

SMALL = 1e-290
"""Smallest unit that the split tests for; its inverse must be finite."""


@kernel
def two_sum(a: float, b: float) -> tuple[float, float]:
    """Return the rounded sum and its exact error (Knuth)."""
    s = a + b
    bb = s - a
    return s, (a - (s - bb)) + (b - bb)


@kernel
def two_product(a: float, b: float) -> tuple[float, float]:
    """Return the rounded product and its exact error (Dekker); magnitudes in 1e-145 .. 1e145, or zero."""
    p = a * b
    c = 134217729.0 * a
    ah = c - (c - a)
    al = a - ah
    c = 134217729.0 * b
    bh = c - (c - b)
    bl = b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


@kernel
def grow(partials: NDArray[np.float64], count: int, x: float) -> int:
    """Add `x` to the expansion in ``partials[:count]``, rising in magnitude, and return its new length."""
    kept = 0
    for k in range(count):
        s, e = two_sum(x, partials[k])
        if e != 0.0:
            partials[kept] = e
            kept += 1
        x = s
    partials[kept] = x
    return kept + 1


@kernel
def _nearest(partials: NDArray[np.float64], count: int) -> float:
    """Nearest double of an expansion, ties to even."""
    k = count - 1
    total: float = partials[k]
    rest = 0.0
    while k > 0 and rest == 0.0:
        k -= 1
        total, rest = two_sum(total, partials[k])
    # A tie is only one when nothing lies below it: what does decides the direction.
    if k > 0 and ((rest < 0.0 and partials[k - 1] < 0.0) or (rest > 0.0 and partials[k - 1] > 0.0)):
        further = total + 2.0 * rest
        if further - total == 2.0 * rest:
            total = further
    return total


@kernel
def expansion_sum(
    values: NDArray[np.float64], start: int, stop: int, partials: NDArray[np.float64]
) -> tuple[float, float, bool]:
    """Sum of ``values[start:stop]`` as a pair, and whether the pair is all of it.

    Its nearest double, then the nearest double of what is left; ``high + low == high`` always.
    """
    count = 0
    for t in range(start, stop):
        count = grow(partials, count, values[t])
    if count == 0:
        return 0.0, 0.0, True
    high = _nearest(partials, count)
    if not np.isfinite(high):
        return high, 0.0, False
    count = grow(partials, count, -high)
    low = _nearest(partials, count)
    count = grow(partials, count, -low)
    if high + low != high:
        # The rest, rounded, makes a tie that the sum is not: one unit less keeps ``high`` the nearest double.
        low *= 1.0 - 2.0**-53
    # Adding zero turns a negative zero into zero, so that the sign does not depend on the way.
    return high + 0.0, low + 0.0, count == 1 and partials[0] == 0.0


@kernel
def _cut(values: NDArray[np.float64], n: int) -> float:
    """Power of two at which to cut the values so that sums of n of both parts are exact; 0 if there is none.

    With ``sigma >= 2 n max|x|``, the upper part of x, ``(sigma + x) - sigma``, is a multiple of
    sigma * 2^-53: sums of n stay below sigma and are exact. The rest is at most sigma * 2^-53 and a multiple
    of the finest unit of the values, q: sums of n are exact if (n + 1) sigma <= 2^106 q.
    """
    large = 0.0
    small = np.inf
    for t in range(values.shape[0]):
        a = abs(values[t])
        large = max(large, a)
        small = min(small, a if a > 0.0 else np.inf)
    if not large * n < LARGE:
        return 0.0
    sigma = math.ldexp(1.0, math.frexp(2.0 * n * large)[1])
    unit = math.ldexp(1.0, math.frexp((n + 1.0) * sigma)[1] - 106)
    if small >= unit * 9007199254740992.0:
        return sigma
    if unit < SMALL or small < unit:
        return 0.0
    finer = 0
    inverse = 1.0 / unit
    for t in range(values.shape[0]):
        scaled = values[t] * inverse
        finer += np.floor(scaled) != scaled
    return sigma if finer == 0 else 0.0


@kernel
def _split_sums(
    values: NDArray[np.float64], n: int, sigma: float, high: NDArray[np.float64], low: NDArray[np.float64]
) -> None:
    upper = 0.0
    lower = 0.0
    for t in range(n):
        a = (sigma + values[t]) - sigma
        upper += a
        lower += values[t] - a
    high[n - 1] = upper
    low[n - 1] = lower
    old, new = values[: values.shape[0] - n], values[n:]
    high, low = high[n:], low[n:]
    for t in range(new.shape[0]):
        a = (sigma + new[t]) - sigma
        b = (sigma + old[t]) - sigma
        upper += a - b
        lower += (new[t] - a) - (old[t] - b)
        high[t] = upper
        low[t] = lower


@kernel
def _run(
    values: NDArray[np.float64], n: int, first: int, high: NDArray[np.float64], low: NDArray[np.float64]
) -> int:
    """Go on from the window that ends before `first` while two doubles suffice; return where they do not."""
    hi = high[first - 1]
    lo = low[first - 1]
    for t in range(first, values.shape[0]):
        d, de = two_sum(values[t], -values[t - n])
        hi, e = two_sum(hi, d)
        c, left = two_sum(e, de)
        lo, over = two_sum(lo, c)
        # Written so that NaN, from sums beyond the range of doubles, stops here too.
        if not (left == 0.0 and over == 0.0):
            return t
        high[t] = hi
        low[t] = lo
    return int(values.shape[0])


@kernel
def _running_sums(
    values: NDArray[np.float64], n: int, high: NDArray[np.float64], low: NDArray[np.float64]
) -> None:
    partials = np.empty(MAX_PARTIALS)
    t = n - 1
    while t < values.shape[0]:
        high[t], low[t], exact = expansion_sum(values, t - n + 1, t + 1, partials)
        t = _run(values, n, t + 1, high, low) if exact else t + 1


@kernel
def moving_sums(
    values: NDArray[np.float64], n: int, high: NDArray[np.float64], low: NDArray[np.float64]
) -> None:
    """Sum of each window of n values, as a pair of doubles.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Finite values.
    n : int
        Length of a window, 1 <= n <= m.
    high, low : ndarray of shape (m,)
        Written from n - 1 on. ``two_sum(high, low)`` is the sum's nearest double and what is left of it: they
        depend on the window alone, the pair itself does not.
    """
    sigma = _cut(values, n)
    if sigma > 0.0:
        _split_sums(values, n, sigma, high, low)
    else:
        _running_sums(values, n, high, low)
