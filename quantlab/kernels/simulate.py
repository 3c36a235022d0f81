"""The inner loop: targets to orders to fills to cash, equity and streamed statistics, in one pass.

Each bar runs in this order, which docs/fills.md states to users:

1. borrow and interest for the days since the last bar;
2. standing orders fill at this bar's open (or close), exits first, then entries in column order;
3. assets whose data ended are closed at their last close;
4. positions are marked at this bar's close; equity at or below zero ends the run;
5. targets that changed become orders (`order.decide`); with fills at the signal bar's close they fill now;
6. the bar's return, exposure and drawdown enter the sums. A bar without position, fill or cost adds nothing to
   them and is skipped.

Orders inside the bar (`inside`) come between steps 2 and 3, before market orders that fill at the close. A run without
them is compiled without a trace of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.kernels import order as od
from quantlab.kernels._jit import fetch, kernel
from quantlab.kernels.cost import CostTable, borrow_cost, interest_cost, month_at, row_at
from quantlab.kernels.curve import advance, begin_sums, finish_sums
from quantlab.kernels.fill import DELISTED, OPEN, REJECTED, REPLACED, RUINED, TIME_UP, close_out, fill_orders
from quantlab.kernels.guard import guard_positions
from quantlab.kernels.inside import filling_phase, gate_targets, next_event, pass_bar, prepare_order
from quantlab.kernels.levels import AT_PRICE, CLOSING, LIMIT, OPENING, Books, Levels
from quantlab.kernels.order import decide, load_costs, order_units, residue
from quantlab.kernels.trade import record_trade, typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.records import Record, Records

__all__ = ["AT_CLOSE", "NEXT_CLOSE", "NEXT_OPEN", "Market", "fetch_ahead", "finish_run", "simulate"]

# When an order fills.
NEXT_OPEN = 0
NEXT_CLOSE = 1
AT_CLOSE = 2

LINE = 8
"""Numbers that memory hands over at once."""

FETCHED = 128
"""Bars that are asked for ahead."""


class Market(NamedTuple):
    """What happened: arrays of shape (n_bars, n_assets), and where assets end.

    ``factor`` has one row when prices are raw (``factor_step`` 0), else one a bar (``factor_step`` 1).
    ``end_bar`` and ``end_asset`` list, in order, assets without any bar from that bar on.
    """

    open: NDArray[np.float64]
    close: NDArray[np.float64]
    factor: NDArray[np.float64]
    factor_step: int
    end_bar: NDArray[np.int64]
    end_asset: NDArray[np.int64]


@kernel(allocates=False, inline=True)
def _place_orders(
    t: int,
    share: float,
    equity: float,
    factor: NDArray[np.float64],
    book: Records,
    money: Record,
    rules: Record,
    orders: Records,
    inside: tuple[Levels, Records, NDArray[np.float64]] | None,
) -> None:
    """Turn the outcome of `decide` into standing orders."""
    for i in range(book.shape[0]):
        b = book[i]
        outcome = b["outcome"]
        if outcome == od.NONE:
            continue
        if b["is_pending"] != 0:
            b["is_pending"] = 0
            b["pending"] = 0.0
            if orders.shape[0] > 0:
                replaced = orders[b["order"]]
                replaced["status"] = REPLACED
        rejected = outcome == od.NO_BUYING_POWER or outcome == od.NO_SHORT_SALE
        quantity = order_units(rules, b, factor[i])
        # Sized at the fill: less than a lot now may be a lot then.
        resized = rules["at_fill"] and outcome == od.ORDERED and b["last_target"] != 0.0
        if quantity == 0.0 and not rejected and not resized:
            money["n_cut"] += share < 1.0 and b["last_target"] != 0.0 and b["position"] == 0.0
            continue
        if inside is not None:
            kind = prepare_order(t, i, factor[i], quantity, inside[0], b, inside[1][i])
            if kind < 0:
                inside[1][i]["renew"] = 1
                continue
        if not rejected:
            b["is_pending"] = 1
            if inside is not None and kind >= LIMIT:
                b["is_pending"] = AT_PRICE
            b["pending"] = quantity
            b["pending_share"] = b["last_target"] if outcome == od.ORDERED else 0.0
            b["pending_shrink"] = share
            b["order"] = money["n_rows"]
            money["n_orders"] += 1
        if orders.shape[0] > 0:
            order = orders[money["n_rows"]]
            order["bar"] = t
            order["asset"] = i
            order["target"] = b["last_target"]
            order["quantity"] = quantity
            order["decision_price"] = b["last_close"]
            order["status"] = REJECTED if rejected else OPEN
            order["reason"] = 0 if outcome == od.ORDERED else outcome
            order["fill_bar"] = -1
            order["fill_price"] = order["limit"] = order["stop"] = np.nan
            order["type"] = 0
            order["residue"] = 0.0 if rejected else residue(rules, b, share, equity, factor[i], quantity)
            if inside is not None:
                order["type"], order["limit"], order["stop"] = (
                    kind,
                    inside[1][i]["limit"],
                    inside[1][i]["stop"],
                )
                order["reason"] = TIME_UP if inside[1][i]["timed_out"] != 0 else order["reason"]
        money["n_rows"] += 1


@kernel(allocates=False)
def _accrue(
    t: int,
    factor: NDArray[np.float64],
    book: Records,
    money: Record,
    equity: float,
    table: CostTable,
    row: int,
) -> None:
    """Charge borrow on short positions and interest on cash for the days since the last bar."""
    days = table.days[t]
    if days <= 0.0:
        return
    interest = interest_cost(table, row, money["cash"], equity, days)
    for i in range(book.shape[0]):
        b = book[i]
        if b["position"] < 0.0:
            units, price = -b["position"] / factor[i], b["last_close"] * factor[i]
            due = borrow_cost(table, row, i, units, price, b["multiplier"], days)
            money["cash"] -= due
            money["borrow"] += due
            b["trade_cash"] -= due
    money["cash"] -= interest
    money["interest"] += interest


@kernel(allocates=False)
def _first_after(starts: NDArray[np.int64], k: int, limit: int) -> int:
    """Bar at which entry `k` + 1 of `starts` begins, or `limit` where that is earlier or there is none."""
    return min(starts[k + 1], limit) if k + 1 < starts.shape[0] else limit


@kernel(allocates=False)
def fetch_ahead(
    k: int,
    change_bar: NDArray[np.int64],
    changed: NDArray[np.float64],
    fill: int,
    opens: NDArray[np.float64],
    closes: NDArray[np.float64],
    benchmark: NDArray[np.float64],
) -> None:
    """Ask for what change `k` and the bars that are held after it will read: waiting for memory takes the longest.

    Stretches in which a single asset is held are too short for the processor to see by itself where reading goes on;
    the rows of several assets are long enough.
    """
    if k >= change_bar.shape[0] or change_bar[k] + 1 >= closes.shape[0]:
        return
    t = change_bar[k]
    fetch(closes, t)
    fetch(closes, t + 1)
    fetch(benchmark, t)
    if fill == NEXT_OPEN:
        fetch(opens, t + 1)
    if closes.shape[1] == 1 and changed[k, 0] != 0.0:
        stop = min(_first_after(change_bar, k, closes.shape[0]), t + FETCHED)
        for row in range(t + LINE, stop, LINE):
            fetch(closes, row)
            fetch(benchmark, row)


@kernel(allocates=False, inline=True)
def _wants(wanted: NDArray[np.float64], close: NDArray[np.float64], book: Records) -> bool:
    """Whether any asset that has a bar has another target than the last one decided (NaN counts as 0)."""
    for i in range(book.shape[0]):
        target = wanted[i] if wanted[i] == wanted[i] else 0.0
        if close[i] == close[i] and abs(target - book[i]["last_target"]) > od.TARGET_TOLERANCE:
            return True
    return False


@kernel(allocates=False, inline=True)
def _fill_inside(
    t: int,
    fill: int,
    n_pending: int,
    opens: NDArray[np.float64],
    closes: NDArray[np.float64],
    factor: NDArray[np.float64],
    book: Records,
    money: Record,
    tally: Record,
    rules: Record,
    month_units: NDArray[np.float64],
    kept: tuple[Records, Records, Records],
    inside: tuple[Levels, Records, NDArray[np.float64]],
) -> None:
    """Fill market orders at the open, orders inside the bar, then market orders at the close."""
    levels, guards, _ = inside
    orders, fills, trades = kept
    asked = levels.asked[0]
    phase = filling_phase(t, fill == NEXT_OPEN, asked, levels.edge)
    if phase == OPENING and n_pending > 0:
        fill_orders(t, opens, factor, book, money, tally, rules, month_units, orders, fills, trades)
    guard_positions(t, factor, asked, book, guards)
    books = Books(money, tally, month_units, rules["whole_units"], orders, fills, trades)
    pass_bar(t, factor, levels, book, guards, books)
    if phase == CLOSING and n_pending > 0:
        fill_orders(t, closes, factor, book, money, tally, rules, month_units, orders, fills, trades)
        # Before the next decision says what its own order will protect its position with.
        guard_positions(t, factor, asked, book, guards)


@kernel(allocates=False, inline=True)
def _mark(close: NDArray[np.float64], book: Records, money: Record, bars: Record) -> None:
    """Mark every position at its last close."""
    value = gross = 0.0
    for i in range(book.shape[0]):
        b = book[i]
        if close[i] == close[i]:
            b["last_close"] = close[i]
        if b["position"] != 0.0:
            worth = b["position"] * b["multiplier"] * b["last_close"]
            value += worth
            gross += abs(worth)
    bars["equity"], bars["gross"] = money["cash"] + value, gross


@kernel(allocates=False)
def finish_run(
    n_bars: int,
    book: Records,
    state: tuple[Records, Records, Records],
    trades: Records,
    blocks: NDArray[np.float64],
    risk_free: float,
    moments: NDArray[np.float64],
    tail: NDArray[np.float64],
) -> int:
    """Close the sums of a run of `n_bars` bars, and count its trades, open ones included."""
    bars, tally = state[0][0], state[1][0]
    finish_sums(blocks, risk_free, bars, moments, tail)
    n_trades = tally["n_trades"]
    for i in range(book.shape[0]):
        b = book[i]
        if b["position"] != 0.0:
            marked_value = b["position"] * b["last_close"] * b["multiplier"]
            pnl, exit_value = b["trade_cash"] + marked_value, b["trade_exit_value"] + abs(marked_value)
            if trades.shape[0] > 0:
                record_trade(b, trades[n_trades], i, n_bars - 1, pnl, exit_value, typed(1))
            n_trades += 1
    bars["n_bars"] = n_bars
    if bars["low"] < bars["peak"]:
        depth = max(bars["low"] / bars["peak"] - 1.0, -1.0)
        bars["max_drawdown"] = min(bars["max_drawdown"], depth)
        bars["drawdown_sum"] += depth
        bars["n_drawdowns"] += 1
        bars["max_spell"] = max(bars["max_spell"], n_bars - 1 - bars["peak_bar"])
    if risk_free > 0.0:
        bars["downside_2"] += bars["n_flat"] * risk_free * risk_free
    return int(n_trades)


@kernel(allocates=False)
def simulate(
    market: Market,
    change_bar: NDArray[np.int64],
    changed: NDArray[np.float64],
    book: Records,
    rule_rows: Records,
    table: CostTable,
    fill: int,
    risk_free: float,
    benchmark: NDArray[np.float64],
    state: tuple[Records, Records, Records],
    kept: tuple[Records, Records, Records],
    curves: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    scratch: tuple[NDArray[np.float64], NDArray[np.float64]],
    edges: NDArray[np.int64],
    moments: NDArray[np.float64],
    inside: tuple[Levels, Records, NDArray[np.float64]] | None,
) -> int:
    """Run one target through the market.

    Parameters
    ----------
    market : Market
        Prices, factors and ends.
    change_bar : ndarray of shape (n_changes,)
        Bars from which another row of targets holds, and bars at which an asset comes or goes; rising from 0.
    changed : ndarray of shape (n_changes, n_assets)
        The targets from each of those bars on: wanted exposure in [-1, 1]; NaN counts as 0 where the asset has a bar.
    book : structured array of shape (n_assets,)
        Layout `records.BOOK`, with what the instruments fix and no position; changed in place.
    rule_rows : structured array of shape (1,)
        Sizing and account, layout `records.RULES`.
    table : CostTable
        Costs.
    fill : int
        NEXT_OPEN, NEXT_CLOSE or AT_CLOSE.
    risk_free : float
        Return of one bar without risk.
    benchmark : ndarray of shape (n_bars,)
        Bar returns of the benchmark.
    state : tuple of three structured arrays of shape (1,)
        Layouts `records.BARS`, `TALLY` and `MONEY`, zero but for the starting cash in ``MONEY["cash"]``: the sums for
        `stats.finish_stats`, changed in place.
    kept : tuple of three structured arrays
        Filled in with orders, fills and trades, layouts `records.ORDER`, `FILL` and `TRADE`: with rooms for all of
        them (a run without says in `state` how many there are), or empty. Trades still open come last.
    curves : tuple of three ndarrays
        Filled in with equity and with cash after each bar, of shape (n_bars,), and with the ``n_tail`` bar returns
        that may be among the worst, of any length: all of the first `TAIL_WARMUP`, then those up to ``tail_limit``.
        A full one says that some were lost. Empty ones are left alone.
    scratch : tuple of two ndarrays
        Working memory of shape (`lanes.ROOM`,), and zeros of shape (table.n_groups,).

    edges : ndarray of shape (n_parts + 1,)
        Bars at which the parts of the run begin, and its end, rising from 0 to n_bars.
    moments : ndarray of shape (n_parts, 2)
        Zeros; filled in: sum and sum of squares of the bar returns of each part.
    inside : tuple or None
        Orders inside the bar that the signal asks for; cleared records of layout `records.GUARD`, of shape
        (n_assets,); and working memory of shape (3, n_assets). None where there are market orders alone.

    Returns
    -------
    int
        Number of trades, open ones included.
    """
    n_bars, n_assets = market.close.shape
    opens, closes, factors, factor_step = market.open, market.close, market.factor, market.factor_step
    end_bar, end_asset = market.end_bar, market.end_asset
    row_from, month_from, accrues = table.from_bar, table.month_from, table.accrues != 0
    rules = rule_rows[0]
    bars, tally, money = state[0][0], state[1][0], state[2][0]
    orders, fills, trades = kept
    blocks, month_units = scratch
    load_costs(book, table, typed(0))
    begin_sums(money["cash"], blocks, bars)
    n_pending = n_busy = typed(0)
    always = rules["rebalance"] != od.ON_CHANGE
    # Typed at once: a literal 0 would compile every callee a second time.
    t = row = month = next_end = typed(0)
    ruined = n_bars < 0
    latest = typed(-1)
    while t < n_bars and bars["ruin_bar"] < 0:
        factor = factors[t * factor_step]
        if not ruined:
            if row + 1 < row_from.shape[0] and row_from[row + 1] <= t:
                row = row_at(table, row, t)
                load_costs(book, table, row)
            if month + 1 < month_from.shape[0] and month_from[month + 1] <= t:
                month = month_at(table, month, t)
                month_units[:] = 0.0
            if accrues:
                _accrue(t, factor, book, money, bars["equity"], table, row)
            if inside is None:
                if n_pending > 0:
                    prices = opens[t] if fill == NEXT_OPEN else closes[t]
                    fill_orders(
                        t, prices, factor, book, money, tally, rules, month_units, orders, fills, trades
                    )
            elif n_busy > 0:
                _fill_inside(
                    t, fill, n_pending, opens[t], closes[t], factor, book, money, tally, rules, month_units, kept,
                    inside,
                )  # fmt: skip
            while next_end < end_bar.shape[0] and end_bar[next_end] == t:
                i = end_asset[next_end]
                close_out(t, i, book[i], money, tally, orders, fills, trades, typed(DELISTED))
                next_end += 1
            _mark(closes[t], book, money, bars)
            looks = always
            if latest + 1 < change_bar.shape[0] and change_bar[latest + 1] == t:
                latest += 1
                fetch_ahead(latest + 1, change_bar, changed, fill, opens, closes, benchmark)
                looks = looks or inside is not None or _wants(changed[latest], closes[t], book)
            if inside is not None:
                looks = gate_targets(
                    t, looks, fill == AT_CLOSE, changed[latest], closes[t], inside[0], book, inside[1], inside[2][0]
                )  # fmt: skip
            if looks and bars["equity"] > 0.0:
                if inside is None:
                    share = decide(
                        changed[latest], closes[t], factor, book, rules, month_units, money["cash"], bars["equity"],
                        None,
                    )  # fmt: skip
                else:
                    ranks = inside[0].rank
                    share = decide(
                        inside[2][0], closes[t], factor, book, rules, month_units, money["cash"], bars["equity"],
                        ranks[t if ranks.shape[0] > 1 else 0],
                    )  # fmt: skip
                _place_orders(t, share, bars["equity"], factor, book, money, rules, orders, inside)
                if fill == AT_CLOSE:
                    fill_orders(
                        t, closes[t], factor, book, money, tally, rules, month_units, orders, fills, trades
                    )
                    _mark(closes[t], book, money, bars)
        if bars["equity"] <= 0.0:
            for i in range(n_assets):
                close_out(t, i, book[i], money, tally, orders, fills, trades, typed(RUINED))
            bars["ruin_bar"] = t
        n_pending = typed(0)
        for i in range(n_assets):
            n_pending += book[i]["is_pending"]
        stop = t + 1 if n_pending > 0 or accrues or always or bars["ruin_bar"] >= 0 else n_bars
        stop = min(_first_after(end_bar, next_end - 1, stop), _first_after(row_from, row, stop))
        stop = min(_first_after(month_from, month, stop), _first_after(change_bar, latest, stop))
        if inside is not None:
            levels, guards, near = inside
            n_busy = n_pending + guard_positions(t, factor, levels.asked[0], book, guards)
            stop = next_event(t, stop, fill == AT_CLOSE, factors, factor_step, levels, book, guards, near[1:])
        t, ruined = advance(
            t, stop, closes, book, money, bars, risk_free, benchmark, curves, blocks, edges, moments
        )  # fmt: skip
    return finish_run(t, book, state, trades, blocks, risk_free, moments, curves[2])
