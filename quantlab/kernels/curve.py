"""The equity curve: bars are marked as they pass and enter the sums of a run a block at a time.

A bar on which nothing is held and nothing is paid is quiet: it adds nothing to the sums and is passed over. The others
wait until there are enough of them, however short the stretches in which something is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel
from quantlab.kernels.trade import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.records import Record, Records

__all__ = ["BLOCK", "ROOM", "TAIL_WARMUP", "advance", "enter_block", "finish_sums", "mark_alone", "next_part"]

TAIL_WARMUP = 4096
"""Returns after which the worst ones alone are collected."""

TAIL_DEPTH = 1.0
"""Standard deviations below the mean from which a return counts as one of the worst: about a sixth do."""

PEAK_NOISE = 1e-12
"""Part by which equity may miss its peak and still be at it."""

BLOCK = 128
"""Bars that enter the sums together: what they need stays in the processor's nearest memory."""

WIDTH = BLOCK + 2
EQUITY, GROSS, INVERSE, GAINS, BENCHMARK, WHEN, LOW, RETURN_1, RETURN_2, RETURN_3, RETURN_4 = (
    np.uint64(WIDTH * row) for row in range(11)
)
DOWNSIDE, WITH_BENCHMARK, EXPOSURE = (np.uint64(WIDTH * row) for row in range(11, 14))
ROOM = 14 * WIDTH
"""Working memory, one row after the other in one array: equity, gross value, 1 / equity, returns, benchmark returns
and number of the bars that wait (equity of the bar before comes first), the lowest equity of each place since the last
peak, and the sums that begin `records.BARS`; the first two of these are those of the present part.

Places are unsigned and rows known when the loops are compiled: that spares the questions whether a place counts from
the end and whether rows overlap, and the processor takes several bars at a time.
"""

NEXT = np.uint64(1)


@kernel(allocates=False, inline=True)
def mark_alone(
    t: int,
    n: int,
    place: int,
    cash: float,
    units: float,
    prices: NDArray[np.float64],
    benchmark: NDArray[np.float64],
    blocks: NDArray[np.float64],
) -> int:
    """Let `n` bars from `t` on wait from `place` on, for a single asset: no bar depends on the one before.

    Returns
    -------
    int
        Number of those bars whose equity is at or below zero, or NaN for a missing price.
    """
    gone = 0
    bar, first = np.uint64(t), np.uint64(place)
    for k in range(np.uint64(n)):
        worth = units * prices[bar + k]
        equity = cash + worth
        blocks[EQUITY + NEXT + first + k] = equity
        blocks[GROSS + NEXT + first + k] = abs(worth)
        blocks[BENCHMARK + first + k] = benchmark[bar + k]
        blocks[WHEN + first + k] = t + np.int64(k)
        gone += not equity > 0.0
    return gone


@kernel(allocates=False)
def _mark_block(
    n: int,
    cash: float,
    closes: NDArray[np.float64],
    book: Records,
    equity: NDArray[np.float64],
    gross: NDArray[np.float64],
) -> int:
    """Mark the first `n` bars of `closes`, on which nothing trades, into `equity` and `gross`.

    Returns
    -------
    int
        Number of those bars whose equity is at or below zero.
    """
    for k in range(n):
        equity[k] = cash
        gross[k] = 0.0
    for i in range(book.shape[0]):
        b = book[i]
        if b["position"] == 0.0:
            continue
        units, price = b["position"] * b["multiplier"], b["last_close"]
        for k in range(n):
            price = closes[k, i] if closes[k, i] == closes[k, i] else price
            worth = units * price
            equity[k] += worth
            gross[k] += abs(worth)
    gone = 0
    for k in range(n):
        gone += equity[k] <= 0.0
    return gone


@kernel(allocates=False)
def _keep_last_closes(t: int, n: int, closes: NDArray[np.float64], book: Records) -> None:
    """Bring the last close of every asset that is held up to the `n` bars from `t` on."""
    for i in range(book.shape[0]):
        if book[i]["position"] == 0.0:
            continue
        for k in range(n - 1, -1, -1):
            if closes[t + k, i] == closes[t + k, i]:
                book[i]["last_close"] = closes[t + k, i]
                break


@kernel(allocates=False)
def _sum_block(n: int, blocks: NDArray[np.float64], risk_free: float) -> None:
    """Enter the returns of `n` bars into the sums, and leave them in the row of `GAINS`.

    Every place of a block has sums of its own: no addition waits for another, so that the processor takes several
    at a time, and their order is the same on every machine.
    """
    stop = np.uint64(n)
    for k in range(stop):
        blocks[INVERSE + k] = 1.0 / blocks[EQUITY + k]
    last = blocks[EQUITY + stop]
    blocks[INVERSE + stop] = 1.0 / last if last > 0.0 else 0.0
    for k in range(stop):
        gain = (blocks[EQUITY + NEXT + k] - blocks[EQUITY + k]) * blocks[INVERSE + k]
        squared = gain * gain
        short = gain - risk_free
        short = short if short < 0.0 else 0.0
        blocks[GAINS + k] = gain
        blocks[RETURN_1 + k] += gain
        blocks[RETURN_2 + k] += squared
        blocks[RETURN_3 + k] += squared * gain
        blocks[RETURN_4 + k] += squared * squared
        blocks[DOWNSIDE + k] += short * short
        blocks[WITH_BENCHMARK + k] += gain * blocks[BENCHMARK + k]
        blocks[EXPOSURE + k] += blocks[GROSS + NEXT + k] * blocks[INVERSE + NEXT + k]


@kernel(allocates=False)
def _total(blocks: NDArray[np.float64], row: np.uint64) -> float:
    """Sum of a row of sums, which is cleared: halves are laid over each other, so that few additions wait."""
    half = np.uint64(BLOCK // 2)
    while half > np.uint64(0):
        for k in range(half):
            blocks[row + k] += blocks[row + half + k]
        half //= np.uint64(2)
    total = blocks[row]
    for k in range(np.uint64(BLOCK)):
        blocks[row + k] = 0.0
    return float(total)


@kernel(allocates=False)
def _close_part(blocks: NDArray[np.float64], moments: NDArray[np.float64], bars: Record) -> None:
    """Take the sums of the present part out of the working memory."""
    part = bars["part"]
    moments[part, 0], moments[part, 1] = _total(blocks, RETURN_1), _total(blocks, RETURN_2)
    bars["return_1"] += moments[part, 0]
    bars["return_2"] += moments[part, 1]


@kernel(allocates=False)
def finish_sums(
    blocks: NDArray[np.float64],
    risk_free: float,
    bars: Record,
    moments: NDArray[np.float64],
    tail: NDArray[np.float64],
) -> None:
    """Enter the bars that wait, and add up the sums of all places."""
    enter_block(blocks, risk_free, bars, tail)
    _close_part(blocks, moments, bars)
    bars["return_3"], bars["return_4"] = _total(blocks, RETURN_3), _total(blocks, RETURN_4)
    bars["downside_2"] = _total(blocks, DOWNSIDE)
    bars["return_benchmark"] = _total(blocks, WITH_BENCHMARK)
    bars["exposure"] = _total(blocks, EXPOSURE)
    bars["low"] = _take_lowest(bars["low"], blocks)


@kernel(allocates=False)
def _collect_worst(n: int, blocks: NDArray[np.float64], bars: Record, tail: NDArray[np.float64]) -> None:
    """Keep the returns that may be among the worst; a full `tail` says that some were lost."""
    n_tail, limit = bars["n_tail"], bars["tail_limit"]
    if n_tail + n > tail.shape[0]:
        bars["n_tail"] = tail.shape[0]
        return
    for k in range(np.uint64(n)):
        # Written always and counted if it is one of the worst: no branch to guess wrong.
        tail[n_tail] = blocks[GAINS + k]
        n_tail += blocks[GAINS + k] <= limit
    bars["n_tail"] = n_tail
    if limit == np.inf and n_tail >= TAIL_WARMUP:
        total, squares = bars["return_1"], bars["return_2"]
        for k in range(np.uint64(BLOCK)):
            total += blocks[RETURN_1 + k]
            squares += blocks[RETURN_2 + k]
        mean = total / n_tail
        bars["tail_limit"] = mean - TAIL_DEPTH * np.sqrt(max(squares / n_tail - mean * mean, 0.0))


@kernel(allocates=False)
def _take_lowest(low: float, blocks: NDArray[np.float64]) -> float:
    """Lowest of a number and of those of all places, which are forgotten."""
    for k in range(np.uint64(BLOCK)):
        low = blocks[LOW + k] if blocks[LOW + k] < low else low
        blocks[LOW + k] = np.inf
    return low


@kernel(allocates=False)
def _follow_drawdown(n: int, blocks: NDArray[np.float64], bars: Record) -> None:
    """Follow the peak and the fall from it through the `n` bars of a block."""
    at_peak = bars["peak"] * (1.0 - PEAK_NOISE)
    if blocks[EQUITY] >= at_peak:
        bars["peak_bar"] = np.int64(blocks[WHEN]) - 1
    n_peaks = 0
    stop = np.uint64(n)
    for k in range(stop):
        n_peaks += blocks[EQUITY + NEXT + k] >= at_peak
    if n_peaks == 0:
        for k in range(stop):
            after, low = blocks[EQUITY + NEXT + k], blocks[LOW + k]
            blocks[LOW + k] = after if after < low else low
        return
    peak, low, peak_bar = bars["peak"], _take_lowest(bars["low"], blocks), bars["peak_bar"]
    place = np.uint64(0)
    while place < stop:
        if blocks[EQUITY + place] >= at_peak:
            # Bars at the peak that were passed over count too.
            peak_bar = np.int64(blocks[WHEN + place]) - 1
        while place < stop and blocks[EQUITY + NEXT + place] < at_peak:
            low = min(low, blocks[EQUITY + NEXT + place])
            place += NEXT
        if place < stop:
            if low < peak:
                depth = low / peak - 1.0
                bars["max_drawdown"] = min(bars["max_drawdown"], depth)
                bars["drawdown_sum"] += depth
                bars["n_drawdowns"] += 1
                bars["max_spell"] = max(bars["max_spell"], np.int64(blocks[WHEN + place]) - 1 - peak_bar)
            peak = low = max(peak, blocks[EQUITY + NEXT + place])
            at_peak = peak * (1.0 - PEAK_NOISE)
            peak_bar = np.int64(blocks[WHEN + place])
            place += NEXT
    bars["peak"], bars["low"], bars["peak_bar"] = peak, low, peak_bar


@kernel(allocates=False)
def enter_block(
    blocks: NDArray[np.float64], risk_free: float, bars: Record, tail: NDArray[np.float64]
) -> None:
    """Enter the bars that wait into the sums."""
    n = bars["filled"]
    if n == 0:
        return
    _sum_block(n, blocks, risk_free)
    if tail.shape[0] > 0:
        _collect_worst(n, blocks, bars, tail)
    _follow_drawdown(n, blocks, bars)
    blocks[EQUITY] = blocks[EQUITY + np.uint64(n)]
    bars["filled"] = 0


@kernel(allocates=False)
def next_part(
    t: int,
    edges: NDArray[np.int64],
    blocks: NDArray[np.float64],
    risk_free: float,
    bars: Record,
    moments: NDArray[np.float64],
    tail: NDArray[np.float64],
) -> None:
    """Bring the part up to that of bar `t`."""
    enter_block(blocks, risk_free, bars, tail)
    _close_part(blocks, moments, bars)
    while edges[bars["part"] + 1] <= t:
        bars["part"] += 1


@kernel(allocates=False, inline=True)
def advance(
    t: int,
    stop: int,
    closes: NDArray[np.float64],
    book: Records,
    money: Record,
    bars: Record,
    risk_free: float,
    benchmark: NDArray[np.float64],
    curves: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    blocks: NDArray[np.float64],
    edges: NDArray[np.int64],
    moments: NDArray[np.float64],
) -> tuple[int, bool]:
    """Enter marked bar `t` and every bar before `stop`, on which nothing trades.

    Returns
    -------
    t, ruined
        ``(stop, False)``, or ``(t, True)``: bar `t` is marked, not entered, and equity is gone.
    """
    equity_out, cash_out, tail_out = curves
    known = 1
    ruined = False
    while t < stop and not ruined:
        flat = bars["gross"] == 0.0
        if flat and bars["equity"] == blocks[EQUITY + np.uint64(bars["filled"])] and money["traded"] == 0.0:
            # Until something is done cash is all there is.
            for k in range(t, stop if equity_out.shape[0] > 0 else t):
                equity_out[k] = bars["equity"]
            for k in range(t, stop if cash_out.shape[0] > 0 else t):
                cash_out[k] = money["cash"]
            bars["n_flat"] += stop - t
            return stop, False
        if edges[bars["part"] + 1] <= t:
            next_part(t, edges, blocks, risk_free, bars, moments, tail_out)
        if money["traded"] != 0.0:
            bars["turnover"] += money["traded"] / bars["equity"] if bars["equity"] > 0.0 else 0.0
            money["traded"] = 0.0
        place = bars["filled"]
        n = min(min(stop, edges[bars["part"] + 1]) - t, BLOCK - place)
        n = typed(1) if flat else n
        gone = 1
        if book.shape[0] == 1 and n > known:
            units, prices = book[0]["position"] * book[0]["multiplier"], closes.reshape(closes.size)
            gone = mark_alone(t, n, place, money["cash"], units, prices, benchmark, blocks)
        else:
            for k in range(n):
                blocks[BENCHMARK + np.uint64(place + k)] = benchmark[t + k]
                blocks[WHEN + np.uint64(place + k)] = t + k
        after = np.uint64(place) + NEXT
        if known == 1:
            blocks[EQUITY + after], blocks[GROSS + after] = bars["equity"], bars["gross"]
        if n > known:
            if gone > 0:
                first = after + np.uint64(known)
                gone = _mark_block(
                    n - known, money["cash"], closes[t + known :], book, blocks[EQUITY + first :],
                    blocks[GROSS + first :],
                )  # fmt: skip
            if gone > 0:
                ruined = True
                n = known
                while blocks[EQUITY + after + np.uint64(n)] > 0.0:
                    n += 1
            last = np.uint64(place + n + ruined)
            bars["equity"], bars["gross"] = blocks[EQUITY + last], blocks[GROSS + last]
            _keep_last_closes(t, n + ruined, closes, book)
        for k in range(n if equity_out.shape[0] > 0 else 0):
            equity_out[t + k] = blocks[EQUITY + after + np.uint64(k)]
        for k in range(n if cash_out.shape[0] > 0 else 0):
            cash_out[t + k] = money["cash"]
        known = 0
        bars["filled"] += n
        t += n
        if bars["filled"] == BLOCK:
            enter_block(blocks, risk_free, bars, tail_out)
    return t, ruined
