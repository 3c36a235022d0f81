"""The equity curve: bars are marked as they pass and enter the sums of a run a block at a time.

A bar on which nothing is held and nothing is paid is quiet: it adds nothing to the sums and is passed over. The others
wait until there are enough of them, however short the stretches in which something is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel
from quantlab.kernels.lanes import (
    BEFORE,
    BENCHMARK,
    BLOCK,
    DOWNSIDE,
    EQUITY,
    EXPOSURE,
    GAINS,
    GROSS,
    GROSS_BEFORE,
    N_LANES,
    RETURN_1,
    RETURN_2,
    RETURN_3,
    RETURN_4,
    ROOM,
    SUMS,
    WHEN,
    WITH_BENCHMARK,
    fall_below,
    mark_bars,
    sum_bars,
)
from quantlab.kernels.trade import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.records import Record, Records

__all__ = ["TAIL_WARMUP", "advance", "begin_sums", "enter_block", "finish_sums", "next_part"]

TAIL_WARMUP = 4096
"""Returns after which the worst ones alone are collected."""

HELD_MOST, HELD_MUCH, HELD_LITTLE = 0.6, 0.3, 0.15
"""Shares of bars on which something is held: the fewer they are, the more of their returns are among the worst."""

PEAK_NOISE = 1e-12
"""Part by which equity may miss its peak and still be at it."""


@kernel(allocates=False)
def begin_sums(cash: float, blocks: NDArray[np.float64], bars: Record) -> None:
    """Make a cleared record and the working memory those of an account before its first bar."""
    blocks[GROSS_BEFORE], blocks[SUMS:ROOM] = 0.0, 0.0
    bars["equity"], bars["peak"], bars["low"], blocks[BEFORE] = cash, cash, cash, cash
    bars["tail_limit"] = np.inf
    bars["peak_bar"], bars["ruin_bar"] = -1, -1


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
def _total(blocks: NDArray[np.float64], row: int) -> float:
    """Sum of four sums, which are cleared."""
    total = (blocks[row] + blocks[row + 1]) + (blocks[row + 2] + blocks[row + 3])
    blocks[row : row + N_LANES] = 0.0
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
    if blocks[BEFORE] > 0.0:
        bars["exposure"] += blocks[GROSS_BEFORE] * (1.0 / blocks[BEFORE])


@kernel(allocates=False)
def _tail_depth(held: float) -> float:
    """Tell how many deviations below the mean a return may be one of the worst twentieth of all bars.

    A sixth of the returns are one deviation below, a third are half of one, and two fifths a quarter: that is more than
    is needed. Where less is held all returns are kept.
    """
    if held >= HELD_MOST:
        return 1.0
    if held >= HELD_MUCH:
        return 0.5
    return 0.25 if held >= HELD_LITTLE else -np.inf


@kernel(allocates=False)
def _collect_worst(n: int, blocks: NDArray[np.float64], bars: Record, tail: NDArray[np.float64]) -> None:
    """Keep the returns that may be among the worst; a full `tail` says that some were lost."""
    n_tail, limit = bars["n_tail"], bars["tail_limit"]
    if n_tail + n > tail.shape[0]:
        bars["n_tail"] = tail.shape[0]
        return
    for k in range(n):
        # Written always and counted if it is one of the worst: no branch to guess wrong.
        tail[n_tail] = blocks[GAINS + k]
        n_tail += blocks[GAINS + k] <= limit
    bars["n_tail"] = n_tail
    if limit == np.inf and n_tail >= TAIL_WARMUP:
        total, squares = bars["return_1"], bars["return_2"]
        for k in range(N_LANES):
            total += blocks[RETURN_1 + k]
            squares += blocks[RETURN_2 + k]
        mean = total / n_tail
        deviation = np.sqrt(max(squares / n_tail - mean * mean, 0.0))
        bars["tail_limit"] = mean - _tail_depth(n_tail / (n_tail + bars["n_flat"])) * deviation


@kernel(allocates=False)
def _follow_drawdown(n: int, blocks: NDArray[np.float64], bars: Record) -> None:
    """Follow the peak and the fall from it through the `n` bars that wait."""
    peak, low, since = bars["peak"], bars["low"], bars["peak_bar"]
    worst, total, spell = bars["max_drawdown"], bars["drawdown_sum"], bars["max_spell"]
    n_drawdowns = bars["n_drawdowns"]
    at_peak = peak * (1.0 - PEAK_NOISE)
    place = typed(0)
    while True:
        place, low = fall_below(place, n, low, at_peak, blocks)
        while place < n and blocks[EQUITY + place] < at_peak:
            low = min(low, blocks[EQUITY + place])
            place += 1
        if place >= n:
            break
        # Counted and added always: whether equity fell since the last peak is what no processor guesses.
        fell = low < peak
        depth = low / peak - 1.0
        worst = min(worst, depth)
        total += depth
        n_drawdowns += fell
        spell = max(spell, np.int64(blocks[WHEN + place]) - 1 - since if fell else 0)
        peak = low = max(peak, blocks[EQUITY + place])
        at_peak = peak * (1.0 - PEAK_NOISE)
        # Bars at the peak that were passed over count too.
        since = np.int64(blocks[WHEN + place + 1]) - 1 if place + 1 < n else np.int64(blocks[WHEN + place])
        place += 1
    bars["max_drawdown"], bars["drawdown_sum"], bars["max_spell"] = worst, total, spell
    bars["n_drawdowns"], bars["peak_bar"] = n_drawdowns, since
    bars["peak"], bars["low"] = peak, low


@kernel(allocates=False)
def enter_block(
    blocks: NDArray[np.float64], risk_free: float, bars: Record, tail: NDArray[np.float64]
) -> None:
    """Enter the bars that wait into the sums."""
    n = bars["filled"]
    if n == 0:
        return
    at_peak = bars["peak"] * (1.0 - PEAK_NOISE)
    reached, low = sum_bars(n, blocks, risk_free, at_peak)
    if tail.shape[0] > 0:
        _collect_worst(n, blocks, bars, tail)
    if blocks[BEFORE] >= at_peak:
        # Bars at the peak that were passed over count too.
        bars["peak_bar"] = np.int64(blocks[WHEN]) - 1
    if reached != 0:
        _follow_drawdown(n, blocks, bars)
    else:
        bars["low"] = min(bars["low"], low)
    blocks[BEFORE], blocks[GROSS_BEFORE] = blocks[BEFORE + n], blocks[GROSS_BEFORE + n]
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
        if flat and bars["equity"] == blocks[BEFORE + bars["filled"]] and money["traded"] == 0.0:
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
            gone = mark_bars(t, n, place, money["cash"], units, prices, benchmark, blocks)
        else:
            for k in range(n):
                blocks[BENCHMARK + place + k] = benchmark[t + k]
                blocks[WHEN + place + k] = t + k
        if known == 1:
            blocks[EQUITY + place], blocks[GROSS + place] = bars["equity"], bars["gross"]
        if n > known:
            if gone > 0:
                first = place + known
                gone = _mark_block(
                    n - known, money["cash"], closes[t + known :], book, blocks[EQUITY + first :],
                    blocks[GROSS + first :],
                )  # fmt: skip
            if gone > 0:
                ruined = True
                n = known
                while blocks[EQUITY + place + n] > 0.0:
                    n += 1
            last = place + n - 1 + ruined
            bars["equity"], bars["gross"] = blocks[EQUITY + last], blocks[GROSS + last]
            _keep_last_closes(t, n + ruined, closes, book)
        for k in range(n if equity_out.shape[0] > 0 else 0):
            equity_out[t + k] = blocks[EQUITY + place + k]
        for k in range(n if cash_out.shape[0] > 0 else 0):
            cash_out[t + k] = money["cash"]
        known = 0
        bars["filled"] += n
        t += n
        if bars["filled"] == BLOCK:
            enter_block(blocks, risk_free, bars, tail_out)
    return t, ruined
