"""The inner loop: targets to orders to fills to cash, equity and streamed statistics, in one pass.

Each bar runs in this order, which docs/fills.md states to users:

1. borrow and interest for the days since the last bar;
2. standing orders fill at this bar's open (or close), exits first, then entries in column order;
3. assets whose data ended are closed at their last close;
4. positions are marked at this bar's close; equity at or below zero ends the run;
5. targets that changed become orders (`order.decide`); with fills at the signal bar's close they fill now;
6. the bar's return, exposure and drawdown enter the sums. A bar without position, fill or cost adds nothing to
   them and is skipped.

Orders inside the bar (stops, limits) belong between steps 2 and 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.kernels import order as od
from quantlab.kernels._jit import kernel
from quantlab.kernels.cost import CostTable, borrow_cost, interest_cost, month_at, row_at
from quantlab.kernels.fill import DELISTED, OPEN, REJECTED, REPLACED, RUINED, close_out, fill_orders
from quantlab.kernels.order import decide, load_costs, order_units
from quantlab.kernels.records import BARS, FILL, MONEY, ORDER, TALLY, TRADE, Record, Records
from quantlab.kernels.trade import record_trade, typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AT_CLOSE", "NEXT_CLOSE", "NEXT_OPEN", "Market", "simulate"]

# When an order fills.
NEXT_OPEN = 0
NEXT_CLOSE = 1
AT_CLOSE = 2

TAIL_WARMUP = 4096
"""Returns after which the worst ones alone are collected."""

TAIL_DEPTH = 1.0
"""Standard deviations below the mean from which a return counts as one of the worst: about a sixth do."""

PEAK_NOISE = 1e-12
"""Part by which equity may miss its peak and still be at it."""

ROOM = 256
"""Spare rows of each record at the start; all double when they fill up."""


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


@kernel
def _grown(rows: Records, used: int) -> Records:
    """Copy the first `used` rows into an array of twice the size."""
    grown = np.empty(2 * rows.shape[0], rows.dtype)
    for k in range(used):
        grown[k] = rows[k]
    return grown


@kernel
def _place_orders(
    t: int,
    share: float,
    factor: NDArray[np.float64],
    book: Records,
    money: Record,
    rules: Record,
    orders: Records,
    n_orders: int,
) -> int:
    """Turn the outcome of `decide` into standing orders; return the order records so far."""
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
        if not rejected:
            b["is_pending"] = 1
            b["pending"] = quantity
            b["pending_share"] = b["last_target"] if outcome == od.ORDERED else 0.0
            b["pending_shrink"] = share
            b["order"] = n_orders
            money["n_orders"] += 1
        if orders.shape[0] > 0:
            order = orders[n_orders]
            order["bar"] = t
            order["asset"] = i
            order["target"] = b["last_target"]
            order["quantity"] = quantity
            order["decision_price"] = b["last_close"]
            order["status"] = REJECTED if rejected else OPEN
            order["reason"] = 0 if outcome == od.ORDERED else outcome
            order["fill_bar"] = -1
            order["fill_price"] = np.nan
        n_orders += 1
    return n_orders


@kernel
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


@kernel
def _first_after(starts: NDArray[np.int64], k: int, limit: int) -> int:
    """Bar at which entry `k` + 1 of `starts` begins, or `limit` where that is earlier or there is none."""
    return min(starts[k + 1], limit) if k + 1 < starts.shape[0] else limit


@kernel
def _wants(wanted: NDArray[np.float64], close: NDArray[np.float64], book: Records) -> bool:
    """Whether any asset that has a bar has another target than the last one decided (NaN counts as 0)."""
    for i in range(book.shape[0]):
        target = wanted[i] if wanted[i] == wanted[i] else 0.0
        if close[i] == close[i] and abs(target - book[i]["last_target"]) > od.TARGET_TOLERANCE:
            return True
    return False


@kernel
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


@kernel
def _advance(
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
) -> tuple[int, bool]:
    """Enter marked bar `t` into the sums, and every bar before `stop`: nothing trades on those.

    Returns
    -------
    t, ruined
        ``(stop, False)``, or ``(t, True)``: bar `t` is marked, not entered, and equity is gone.
    """
    n_assets = book.shape[0]
    keep_equity, keep_cash = equity_out.shape[0] > 0, cash_out.shape[0] > 0
    n_tail, tail_limit, tail_room = bars["n_tail"], bars["tail_limit"], tail_out.shape[0]
    equity, before, inverse, gross = bars["equity"], bars["before"], bars["inverse"], bars["gross"]
    peak, low, peak_bar, n_flat = bars["peak"], bars["low"], bars["peak_bar"], bars["n_flat"]
    s1, s2, s3, s4 = bars["return_1"], bars["return_2"], bars["return_3"], bars["return_4"]
    downside, with_benchmark = bars["downside_2"], bars["return_benchmark"]
    exposure, traded, cash = bars["exposure"], money["traded"], money["cash"]
    # The first asset is marked in registers, outside the loop: most runs have no other.
    first = book[0]
    last_close, units = first["last_close"], first["position"] * first["multiplier"]
    ruined = False
    at_peak = peak * (1.0 - PEAK_NOISE)
    while True:
        if keep_equity:
            equity_out[t] = equity
        if keep_cash:
            cash_out[t] = cash
        if gross == 0.0 and equity == before and traded == 0.0:
            n_flat += 1
        else:
            if before >= at_peak:
                peak_bar = t - 1
            gain = equity * inverse - 1.0
            inverse = 1.0 / equity if equity > 0.0 else 0.0
            squared = gain * gain
            s1 += gain
            s2 += squared
            s3 += squared * gain
            s4 += squared * squared
            short = min(gain - risk_free, 0.0)
            downside += short * short
            with_benchmark += gain * benchmark[t]
            exposure += gross * inverse
            if n_tail < tail_room:
                # Written always and counted if it is one of the worst: no branch to guess wrong.
                tail_out[n_tail] = gain
                n_tail += gain <= tail_limit
                if n_tail == TAIL_WARMUP and tail_limit == np.inf:
                    mean = s1 / n_tail
                    tail_limit = mean - TAIL_DEPTH * np.sqrt(s2 / n_tail - mean * mean)
            if traded != 0.0:
                bars["turnover"] += traded * inverse
                traded = 0.0
            if equity >= at_peak:
                if low < peak:
                    depth = low / peak - 1.0
                    bars["max_drawdown"] = min(bars["max_drawdown"], depth)
                    bars["drawdown_sum"] += depth
                    bars["n_drawdowns"] += 1
                    bars["max_spell"] = max(bars["max_spell"], t - 1 - peak_bar)
                peak = low = max(peak, equity)
                at_peak = peak * (1.0 - PEAK_NOISE)
                peak_bar = t
            else:
                low = min(low, equity)
            before = equity
        t += 1
        if gross == 0.0:
            # Flat until something is done: cash is all there is, and no bar adds anything.
            n_flat += stop - t
            for k in range(t, stop):
                if keep_equity:
                    equity_out[k] = equity
                if keep_cash:
                    cash_out[k] = cash
            t = stop
        if t >= stop:
            break
        price = closes[t, 0]
        if price == price:
            last_close = price
        worth = units * last_close
        equity = cash + worth
        gross = abs(worth)
        for i in range(1, n_assets):
            b = book[i]
            price = closes[t, i]
            if price == price:
                b["last_close"] = price
            if b["position"] != 0.0:
                worth = b["position"] * b["multiplier"] * b["last_close"]
                equity += worth
                gross += abs(worth)
        if equity <= 0.0:
            ruined = True
            break
    first["last_close"] = last_close
    bars["n_tail"], bars["tail_limit"] = n_tail, tail_limit
    bars["equity"], bars["before"], bars["inverse"], bars["gross"] = equity, before, inverse, gross
    bars["peak"], bars["low"], bars["peak_bar"], bars["n_flat"] = peak, low, peak_bar, n_flat
    bars["return_1"], bars["return_2"], bars["return_3"], bars["return_4"] = s1, s2, s3, s4
    bars["downside_2"], bars["return_benchmark"] = downside, with_benchmark
    bars["exposure"], money["traded"] = exposure, traded
    return t, ruined


@kernel
def simulate(
    market: Market,
    change_bar: NDArray[np.int64],
    changed: NDArray[np.float64],
    assets: Records,
    rule_rows: Records,
    table: CostTable,
    fill: int,
    cash: float,
    risk_free: float,
    benchmark: NDArray[np.float64],
    equity_out: NDArray[np.float64],
    cash_out: NDArray[np.float64],
    tail_out: NDArray[np.float64],
    record: bool,
) -> tuple[Records, Records, Records, Records, Records, Records]:
    """Run one target through the market.

    Parameters
    ----------
    market : Market
        Prices, factors and ends.
    change_bar : ndarray of shape (n_changes,)
        Bars from which another row of targets holds, and bars at which an asset comes or goes; rising from 0.
    changed : ndarray of shape (n_changes, n_assets)
        The targets from each of those bars on: wanted exposure in [-1, 1]; NaN counts as 0 where the asset has a bar.
    assets : structured array of shape (n_assets,)
        Layout `records.BOOK`, with what the instruments fix; copied, so that runs may share it.
    rule_rows : structured array of shape (1,)
        Sizing and account, layout `records.RULES`.
    table : CostTable
        Costs.
    fill : int
        NEXT_OPEN, NEXT_CLOSE or AT_CLOSE.
    cash : float
        Starting cash, above zero.
    risk_free : float
        Return of one bar without risk.
    benchmark : ndarray of shape (n_bars,)
        Bar returns of the benchmark.
    equity_out, cash_out : ndarray of shape (n_bars,) or (0,)
        Filled in with equity and cash after each bar; empty ones are left alone.
    tail_out : ndarray of any length
        Filled in with ``n_tail`` bar returns that are not zero: all of the first `TAIL_WARMUP`, then those up to
        ``tail_limit``, as long as there is room.
    record : bool
        Whether to keep orders, fills and trades.

    Returns
    -------
    bars, tally, money : structured arrays of shape (1,)
        Sums for `stats.finish_stats`, layouts `records.BARS`, `TALLY` and `MONEY`.
    orders, fills, trades : structured arrays
        Layouts `records.ORDER`, `FILL` and `TRADE`; empty unless asked for. Trades still open come last.
    """
    n_bars, n_assets = market.close.shape
    opens, closes, factors, factor_step = market.open, market.close, market.factor, market.factor_step
    end_bar, end_asset = market.end_bar, market.end_asset
    row_from, month_from, accrues = table.from_bar, table.month_from, table.accrues != 0
    rules = rule_rows[0]
    book = assets.copy()
    load_costs(book, table, typed(0))
    money_rows, tally_rows, bars_rows = np.zeros(1, MONEY), np.zeros(1, TALLY), np.zeros(1, BARS)
    money, tally, bars = money_rows[0], tally_rows[0], bars_rows[0]
    money["cash"] = cash
    bars["equity"], bars["before"], bars["peak"], bars["low"] = cash, cash, cash, cash
    bars["tail_limit"] = np.inf
    bars["inverse"], bars["peak_bar"], bars["ruin_bar"] = 1.0 / cash, -1, -1
    month_units = np.zeros(table.n_groups)
    n_pending = typed(0)
    # A change of targets is one order at most where there is one asset: room for all is never grown.
    room = ROOM + change_bar.shape[0] + 4 * n_assets if record else 0
    orders, fills, trades = np.empty(room, ORDER), np.empty(room, FILL), np.empty(room, TRADE)
    always = rules["rebalance"] != od.ON_CHANGE
    # Typed at once: a literal 0 would compile every callee a second time.
    t = n_orders = row = month = next_end = typed(0)
    ruined = n_bars < 0
    latest = typed(-1)
    while t < n_bars and bars["ruin_bar"] < 0:
        if record and max(n_orders, money["n_fills"], tally["n_trades"]) + 4 * n_assets > room:
            orders = _grown(orders, n_orders)
            fills, trades = _grown(fills, money["n_fills"]), _grown(trades, tally["n_trades"])
            room *= 2
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
            if n_pending > 0:
                prices = opens[t] if fill == NEXT_OPEN else closes[t]
                fill_orders(t, prices, factor, book, money, tally, rules, month_units, orders, fills, trades)
            while next_end < end_bar.shape[0] and end_bar[next_end] == t:
                i = end_asset[next_end]
                close_out(t, i, book[i], money, tally, orders, fills, trades, typed(DELISTED))
                next_end += 1
            _mark(closes[t], book, money, bars)
            looks = always
            if latest + 1 < change_bar.shape[0] and change_bar[latest + 1] == t:
                latest += 1
                looks = looks or _wants(changed[latest], closes[t], book)
            if looks and bars["equity"] > 0.0:
                share = decide(
                    changed[latest],
                    closes[t],
                    factor,
                    book,
                    rules,
                    month_units,
                    money["cash"],
                    bars["equity"],
                )
                n_orders = _place_orders(t, share, factor, book, money, rules, orders, n_orders)
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
        t, ruined = _advance(
            t, stop, closes, book, money, bars, risk_free, benchmark, equity_out, cash_out, tail_out
        )
    n_trades = tally["n_trades"]
    if record:
        for i in range(n_assets):
            b = book[i]
            if b["position"] != 0.0:
                marked_value = b["position"] * b["last_close"] * b["multiplier"]
                pnl, exit_value = b["trade_cash"] + marked_value, b["trade_exit_value"] + abs(marked_value)
                record_trade(b, trades[n_trades], i, t - 1, pnl, exit_value, typed(1))
                n_trades += 1
    bars["n_bars"] = t
    if bars["low"] < bars["peak"]:
        depth = max(bars["low"] / bars["peak"] - 1.0, -1.0)
        bars["max_drawdown"] = min(bars["max_drawdown"], depth)
        bars["drawdown_sum"] += depth
        bars["n_drawdowns"] += 1
        bars["max_spell"] = max(bars["max_spell"], t - 1 - bars["peak_bar"])
    if risk_free > 0.0:
        bars["downside_2"] += bars["n_flat"] * risk_free * risk_free
    n_fills = money["n_fills"]
    return bars_rows, tally_rows, money_rows, orders[:n_orders], fills[:n_fills], trades[:n_trades]
