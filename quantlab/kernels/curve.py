"""The equity curve between decisions: quiet bars are marked and enter the sums a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel
from quantlab.kernels.trade import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.records import Record, Records

__all__ = ["BLOCK", "ROWS", "TAIL_WARMUP", "advance", "finish_sums"]

TAIL_WARMUP = 4096
"""Returns after which the worst ones alone are collected."""

TAIL_DEPTH = 1.0
"""Standard deviations below the mean from which a return counts as one of the worst: about a sixth do."""

PEAK_NOISE = 1e-12
"""Part by which equity may miss its peak and still be at it."""

BLOCK = 128
"""Quiet bars that enter the sums together: what they need stays in the processor's nearest memory."""

SHORT = 16
"""Bars of a block below which one loop is quicker than several."""

EQUITY, GROSS, INVERSE, GAINS, SUMS, ROWS = 0, 1, 2, 3, 4, 11
"""Rows of the working memory: equity, gross value, 1 / equity and returns of a block (equity of the bar before comes
first), and from `SUMS` on a row for each sum that begins `records.BARS`."""


@kernel(allocates=False)
def _mark_alone(
    n: int,
    cash: float,
    units: float,
    prices: NDArray[np.float64],
    equity: NDArray[np.float64],
    gross: NDArray[np.float64],
) -> int:
    """As `_mark_block` for a single asset without gaps: no bar depends on the one before.

    Equity that is NaN for a missing price counts as gone.
    """
    gone = 0
    for k in range(n):
        worth = units * prices[k]
        equity[k] = cash + worth
        gross[k] = abs(worth)
    for k in range(n):
        gone += not equity[k] > 0.0
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
    if closes.shape[1] == 1:
        units = book[0]["position"] * book[0]["multiplier"]
        if _mark_alone(n, cash, units, closes.reshape(closes.size), equity, gross) == 0:
            return 0
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
def _sum_block(n: int, blocks: NDArray[np.float64], benchmark: NDArray[np.float64], risk_free: float) -> None:
    """Enter the returns of `n` bars into the sums, and leave them in ``blocks[GAINS]``.

    Every place of a block has sums of its own: no addition waits for another, so that the processor takes several
    at a time, and their order is the same on every machine.
    """
    equity, inverse, gains = blocks[EQUITY], blocks[INVERSE], blocks[GAINS]
    after, gross, inverse_after = equity[1:], blocks[GROSS, 1:], inverse[1:]
    first, second, third, fourth = blocks[SUMS], blocks[SUMS + 1], blocks[SUMS + 2], blocks[SUMS + 3]
    downside, with_benchmark, exposure = blocks[SUMS + 4], blocks[SUMS + 5], blocks[SUMS + 6]
    for k in range(n):
        inverse[k] = 1.0 / equity[k]
    inverse[n] = 1.0 / equity[n] if equity[n] > 0.0 else 0.0
    # One loop would do, and does where there is little to do. The processor takes several bars at a time only in
    # loops that read and write few rows.
    for k in range(n):
        gains[k] = after[k] * inverse[k] - 1.0
    if n < SHORT:
        for k in range(n):
            gain = gains[k]
            squared = gain * gain
            first[k] += gain
            second[k] += squared
            third[k] += squared * gain
            fourth[k] += squared * squared
            short = min(gain - risk_free, 0.0)
            downside[k] += short * short
            with_benchmark[k] += gain * benchmark[k]
            exposure[k] += gross[k] * inverse_after[k]
        return
    for k in range(n):
        first[k] += gains[k]
        second[k] += gains[k] * gains[k]
    for k in range(n):
        squared = gains[k] * gains[k]
        third[k] += squared * gains[k]
        fourth[k] += squared * squared
    for k in range(n):
        short = gains[k] - risk_free
        short = short if short < 0.0 else 0.0
        downside[k] += short * short
    for k in range(n):
        with_benchmark[k] += gains[k] * benchmark[k]
    for k in range(n):
        exposure[k] += gross[k] * inverse_after[k]


@kernel(allocates=False)
def _total(sums: NDArray[np.float64]) -> float:
    """Sum of a row of sums."""
    total = 0.0
    for k in range(BLOCK):
        total += sums[k]
    return total


@kernel(allocates=False)
def finish_sums(blocks: NDArray[np.float64], bars: Record) -> None:
    """Add up the sums of all places into the record of the run."""
    bars["return_1"], bars["return_2"] = _total(blocks[SUMS]), _total(blocks[SUMS + 1])
    bars["return_3"], bars["return_4"] = _total(blocks[SUMS + 2]), _total(blocks[SUMS + 3])
    bars["downside_2"], bars["return_benchmark"] = _total(blocks[SUMS + 4]), _total(blocks[SUMS + 5])
    bars["exposure"] = _total(blocks[SUMS + 6])


@kernel(allocates=False)
def _collect_worst(n: int, blocks: NDArray[np.float64], bars: Record, tail: NDArray[np.float64]) -> None:
    """Keep the returns that may be among the worst; a full `tail` says that some were lost."""
    n_tail, limit, gains = bars["n_tail"], bars["tail_limit"], blocks[GAINS]
    if n_tail + n > tail.shape[0]:
        bars["n_tail"] = tail.shape[0]
        return
    for k in range(n):
        # Written always and counted if it is one of the worst: no branch to guess wrong.
        tail[n_tail] = gains[k]
        n_tail += gains[k] <= limit
    bars["n_tail"] = n_tail
    if limit == np.inf and n_tail >= TAIL_WARMUP:
        mean = _total(blocks[SUMS]) / n_tail
        bars["tail_limit"] = mean - TAIL_DEPTH * np.sqrt(_total(blocks[SUMS + 1]) / n_tail - mean * mean)


@kernel(allocates=False)
def _follow_drawdown(t: int, n: int, before: float, equity: NDArray[np.float64], bars: Record) -> None:
    """Follow the peak and the fall from it through `n` bars, of which the first is bar `t`."""
    peak, low, peak_bar = bars["peak"], bars["low"], bars["peak_bar"]
    at_peak = peak * (1.0 - PEAK_NOISE)
    if before >= at_peak:
        peak_bar = t - 1
    lowest = highest = equity[0]
    for k in range(n):
        lowest = equity[k] if equity[k] < lowest else lowest
        highest = equity[k] if equity[k] > highest else highest
    if highest < at_peak:
        bars["low"], bars["peak_bar"] = min(low, lowest), peak_bar
        return
    for k in range(n):
        if equity[k] < at_peak:
            low = min(low, equity[k])
            continue
        if low < peak:
            depth = low / peak - 1.0
            bars["max_drawdown"] = min(bars["max_drawdown"], depth)
            bars["drawdown_sum"] += depth
            bars["n_drawdowns"] += 1
            bars["max_spell"] = max(bars["max_spell"], t + k - 1 - peak_bar)
        peak = low = max(peak, equity[k])
        at_peak = peak * (1.0 - PEAK_NOISE)
        peak_bar = t + k
    bars["peak"], bars["low"], bars["peak_bar"] = peak, low, peak_bar


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
    equity_out: NDArray[np.float64],
    cash_out: NDArray[np.float64],
    tail_out: NDArray[np.float64],
    blocks: NDArray[np.float64],
) -> tuple[int, bool]:
    """Enter marked bar `t` into the sums, and every bar before `stop`: nothing trades on those.

    Returns
    -------
    t, ruined
        ``(stop, False)``, or ``(t, True)``: bar `t` is marked, not entered, and equity is gone.
    """
    equity, gross = blocks[EQUITY], blocks[GROSS]
    ruined = False
    while t < stop and not ruined:
        flat = bars["gross"] == 0.0
        if flat and bars["equity"] == bars["before"] and money["traded"] == 0.0:
            # Until something is done cash is all there is, and no bar adds anything.
            for k in range(t, stop if equity_out.shape[0] > 0 else t):
                equity_out[k] = bars["equity"]
            for k in range(t, stop if cash_out.shape[0] > 0 else t):
                cash_out[k] = money["cash"]
            bars["n_flat"] += stop - t
            return stop, False
        n = typed(1) if flat else min(stop - t, typed(BLOCK))
        # The bar after these is marked with them, for the next round.
        further = min(n, stop - t - 1)
        equity[0], equity[1], gross[1] = bars["before"], bars["equity"], bars["gross"]
        if further > 0:
            if _mark_block(further, money["cash"], closes[t + 1 :], book, equity[2:], gross[2:]) > 0:
                ruined = True
                n = 1
                while equity[n + 1] > 0.0:
                    n += 1
                further = n
            _keep_last_closes(t + 1, further, closes, book)
        _sum_block(n, blocks, benchmark[t:], risk_free)
        if tail_out.shape[0] > 0:
            _collect_worst(n, blocks, bars, tail_out)
        _follow_drawdown(t, n, equity[0], equity[1:], bars)
        if money["traded"] != 0.0:
            bars["turnover"] += money["traded"] * blocks[INVERSE, 1]
            money["traded"] = 0.0
        for k in range(n if equity_out.shape[0] > 0 else 0):
            equity_out[t + k] = equity[k + 1]
        for k in range(n if cash_out.shape[0] > 0 else 0):
            cash_out[t + k] = money["cash"]
        bars["before"] = equity[n]
        bars["equity"], bars["gross"] = equity[further + 1], gross[further + 1]
        t += n
    return t, ruined
