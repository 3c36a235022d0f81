"""Trials: one target after another through the same market, each to its row of statistics.

A block of trials is one call, so that a sweep of short histories spends its time in the simulation. `run_trial` is
what a single backtest calls too: the same function with the same arguments gives the same numbers, to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.kernels._jit import kernel
from quantlab.kernels.alone import hold_alone, trade_alone
from quantlab.kernels.cost import CostTable  # noqa: TC001  # a NamedTuple whose types numba reads
from quantlab.kernels.lanes import ROOM
from quantlab.kernels.levels import Levels  # noqa: TC001  # as above
from quantlab.kernels.records import BARS, BOOK, GUARD, MONEY, STEP, TALLY
from quantlab.kernels.simulate import Market, finish_run, simulate
from quantlab.kernels.stats import finish_stats, hold_sums
from quantlab.kernels.target import clean_flags, flipped_bars, merged_bars, moved_bars
from quantlab.kernels.trade import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.records import Records

__all__ = ["Room", "Terms", "run_block", "run_trial"]


class Terms(NamedTuple):
    """Everything about a trial but its target.

    Parameters
    ----------
    market : Market
        Prices, factors and ends.
    presence : ndarray of shape (n_presence,)
        Bars at which an asset comes or goes, rising.
    assets : ndarray of int64 of shape (n_words,)
        Records of layout `records.BOOK`, as plain numbers: what the instruments fix, and no position.
    rules : structured array of shape (1,)
        Sizing and account, layout `records.RULES`.
    table : CostTable
        Costs.
    fill : int
        `simulate.NEXT_OPEN`, `NEXT_CLOSE` or `AT_CLOSE`.
    cash, risk_free, bars_per_year : float
        Starting cash, return of one bar without risk, and bars a year.
    benchmark : ndarray of shape (n_bars,)
        Bar returns of the benchmark.
    benchmark_sums : tuple of float
        Their sum, their sum of squares, and the total return.
    edges : ndarray of shape (n_parts + 1,)
        Bars at which the parts of the run begin, and its end; rising from 0 to n_bars.
    plain : int
        1 where the functions of `alone` may run the trial, else 0.
    """

    market: Market
    presence: NDArray[np.int64]
    assets: NDArray[np.int64]
    rules: Records
    table: CostTable
    fill: int
    cash: float
    risk_free: float
    bars_per_year: float
    benchmark: NDArray[np.float64]
    benchmark_sums: tuple[float, float, float]
    edges: NDArray[np.int64]
    plain: int


class Room(NamedTuple):
    """Working memory of `run_trial`, used again for every trial. Made by `Room.of`.

    The records are there twice, the second time as plain numbers that can be cleared at once.
    """

    book: Records
    book_words: NDArray[np.int64]
    bars: Records
    tally: Records
    money: Records
    bars_words: NDArray[np.int64]
    tally_words: NDArray[np.int64]
    money_words: NDArray[np.int64]
    blocks: NDArray[np.float64]
    month_units: NDArray[np.float64]
    steps: Records
    guards: Records
    guard_words: NDArray[np.int64]
    near: NDArray[np.float64]

    @classmethod
    def of(cls, n_bars: int, n_assets: int, n_groups: int) -> Room:
        """Working memory for so many bars, assets and groups of costs."""
        book, bars = np.zeros(n_assets, BOOK), np.zeros(1, BARS)
        tally, money = np.zeros(1, TALLY), np.zeros(1, MONEY)
        guards = np.zeros(n_assets, GUARD)
        return cls(
            book=book,
            book_words=book.view(np.int64),
            bars=bars,
            tally=tally,
            money=money,
            bars_words=bars.view(np.int64),
            tally_words=tally.view(np.int64),
            money_words=money.view(np.int64),
            blocks=np.zeros(ROOM),
            month_units=np.zeros(n_groups),
            steps=np.empty(n_bars if n_assets == 1 else 0, STEP),
            guards=guards,
            guard_words=guards.view(np.int64),
            near=np.zeros((3, n_assets)),
        )


@kernel(allocates=False)
def _clear(terms: Terms, room: Room, moments: NDArray[np.float64]) -> None:
    """Make the working memory ready for a run."""
    for k in range(terms.assets.shape[0]):
        room.book_words[k] = terms.assets[k]
    room.bars_words[:] = 0
    room.tally_words[:] = 0
    room.money_words[:] = 0
    room.month_units[:] = 0.0
    moments[:] = 0.0
    room.money[0]["cash"] = terms.cash


@kernel(allocates=False)
def run_trial(
    terms: Terms,
    change_bar: NDArray[np.int64],
    changed: NDArray[np.float64],
    room: Room,
    kept: tuple[Records, Records, Records],
    curves: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    stats: NDArray[np.float64],
    moments: NDArray[np.float64],
    levels: Levels | None,
) -> int:
    """Run one target, given by its changes, through the market; see `simulate.simulate`.

    Parameters
    ----------
    terms, room
        What is given, and working memory; afterwards `room` has the sums of the run.
    change_bar, changed, kept, curves
        As in `simulate.simulate`.
    stats : ndarray of shape (len(STATS),)
        Filled in; see `stats.finish_stats`.
    moments : ndarray of shape (n_parts, 2)
        Filled in: sum and sum of squares of the bar returns of each part; those after a ruin count as 0.
    levels : Levels or None
        Orders inside the bar; None for market orders alone.

    Returns
    -------
    int
        Number of trades, open ones included.
    """
    state = room.bars, room.tally, room.money
    done = False
    n_trades = typed(0)
    _clear(terms, room, moments)
    if (
        levels is None
        and terms.plain != 0
        and kept[0].shape[0] + curves[0].shape[0] + curves[1].shape[0] == 0
    ):
        n_steps = trade_alone(
            terms.market, change_bar, changed, room.book, terms.rules, terms.table, terms.fill, state, room.steps,
        )  # fmt: skip
        if n_steps >= 0:
            done = hold_alone(
                terms.market, terms.benchmark, terms.risk_free, room.steps[:n_steps], terms.cash, state, room.blocks,
                terms.edges, moments, curves[2],
            )  # fmt: skip
        if done:
            n_bars = terms.market.close.shape[0]
            n_trades = finish_run(
                n_bars, room.book, state, kept[2], room.blocks, terms.risk_free, moments, curves[2]
            )
        else:
            _clear(terms, room, moments)
    scratch = room.blocks, room.month_units
    if levels is not None:
        room.guard_words[:] = 0
        n_trades = simulate(
            terms.market, change_bar, changed, room.book, terms.rules, terms.table, terms.fill, terms.risk_free,
            terms.benchmark, state, kept, curves, scratch, terms.edges, moments, (levels, room.guards, room.near),
        )  # fmt: skip
    elif not done:
        n_trades = simulate(
            terms.market, change_bar, changed, room.book, terms.rules, terms.table, terms.fill, terms.risk_free,
            terms.benchmark, state, kept, curves, scratch, terms.edges, moments, None,
        )  # fmt: skip
    bars = room.bars[0]
    benchmark = terms.benchmark_sums
    if bars["n_bars"] < terms.market.close.shape[0]:
        benchmark = hold_sums(terms.benchmark, bars["n_bars"])
    finish_stats(
        bars, room.tally[0], room.money[0], terms.cash, terms.risk_free, terms.bars_per_year, benchmark, stats
    )
    return n_trades


@kernel(allocates=False)
def run_block(
    terms: Terms,
    targets: NDArray[np.float64],
    flags: NDArray[np.uint8],
    rows: NDArray[np.int64],
    room: Room,
    found: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    kept: tuple[Records, Records, Records],
    curves: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    out: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]],
) -> None:
    """Run a block of targets, each into its row of `out`.

    Parameters
    ----------
    terms, room
        What is given, and working memory.
    targets : ndarray of shape (n_trials, width) or (0, 0)
        Targets as numbers, bar by bar and each with all assets (`width` is at least n_bars n_assets and a multiple of
        8), or
    flags : ndarray of shape (n_trials, width) or (0, 0)
        Targets as 0, and anything else for 1, which it is made.
    rows : ndarray of shape (n_trials,)
        Rows of `out`.
    found : tuple of three ndarrays
        Working memory: two of shape (n_bars,) and one of shape (n_bars, n_assets).
    kept, curves
        As in `simulate.simulate`, empty: they are only kept from compiling it twice.
    out : tuple of three ndarrays
        Statistics of shape (n_rows, len(STATS)), moments of shape (n_rows, n_parts, 2) and the bar of the ruin, -1
        for none, of shape (n_rows,); filled in.
    """
    moved, change_bar, changed = found
    stats, moments, ruin_bar = out
    in_flags = flags.shape[0] > 0
    n_bars, n_assets = terms.market.close.shape
    size = n_bars * n_assets
    for k in range(rows.shape[0]):
        if in_flags:
            clean_flags(flags[k], flags[k].view(np.uint64))
        if in_flags and n_assets == 1:
            flat = flags[k, :n_bars]
            n_moved = flipped_bars(flat, flat[: n_bars // 8 * 8].view(np.uint64), moved)
        elif in_flags:
            n_moved = moved_bars(flags[k, :size].reshape((n_bars, n_assets)), moved)
        else:
            n_moved = moved_bars(targets[k, :size].reshape((n_bars, n_assets)), moved)
        n_changes = merged_bars(moved, n_moved, terms.presence, change_bar)
        for j in range(n_changes):
            for i in range(n_assets):
                place = change_bar[j] * n_assets + i
                changed[j, i] = float(flags[k, place]) if in_flags else targets[k, place]
        row = rows[k]
        run_trial(
            terms,
            change_bar[:n_changes],
            changed[:n_changes],
            room,
            kept,
            curves,
            stats[row],
            moments[row],
            None,
        )
        ruin_bar[row] = room.bars[0]["ruin_bar"]
