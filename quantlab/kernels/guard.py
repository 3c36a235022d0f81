"""Protective orders: levels around a position, and what closes it inside the bar.

A long and a short position differ in a sign: ``s * price`` rises where the position gains.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels import fill as fl
from quantlab.kernels import order as od
from quantlab.kernels._jit import kernel
from quantlab.kernels.cost import fill_price, order_commission, order_fees
from quantlab.kernels.levels import STOP
from quantlab.kernels.records import RUNGS
from quantlab.kernels.trade import book_fill, typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.levels import Books
    from quantlab.kernels.records import Record, Records

__all__ = ["arm", "execute", "first_touch", "guard_positions", "protect", "protect_entry", "trail"]

SAME = 1e-9
"""Part of a level by which another may differ and be the same."""

WHOLE = 1.0 - 1e-9
"""Share of a position from which on it is all of it."""


@kernel(allocates=False, inline=True)
def _level_from(base: float, side: float, value: float, is_distance: int) -> float:
    """Price that lies `value` from `base`, above it (1) or below it (-1)."""
    return base + side * value if is_distance != 0 else base * (1.0 + side * value)


@kernel(allocates=False, inline=True)
def _on_tick(level: float, side: float, tick: float, factor: float) -> float:
    """Level rounded up (1) or down (-1) to the tick; NaN where nothing is left of it."""
    return float(fill_price(level, side, 0.0, 0.0, tick, factor)) if level > 0.0 else np.nan


@kernel(allocates=False, inline=True)
def _pull(asked: Record, b: Record, g: Record, factor: float) -> None:
    """Bring the trailing level up to its extreme."""
    side = float(g["side"])
    level = _level_from(g["extreme"], -side, g["trail"], asked["trail_is_distance"])
    g["trail_level"] = _on_tick(level, -side, b["tick"], factor)


@kernel(allocates=False, inline=True)
def trail(price: float, factor: float, asked: Record, b: Record, g: Record) -> None:
    """Step e: move the trailing stop of a position by a price that was seen."""
    if g["trail"] == g["trail"] and g["side"] * price > g["side"] * g["extreme"]:
        g["extreme"] = price
        _pull(asked, b, g, factor)


@kernel(allocates=False)
def arm(t: int, side: int, factor: float, asked: Record, b: Record, g: Record) -> None:
    """Protect a position that was opened at bar `t`, by what its order brought."""
    s = float(side)
    base = b["fill_price"] if asked["from_fill"] != 0 else g["decision_price"]
    g["side"], g["entry_bar"], g["rung"], g["sold"] = side, t, 0, 0.0
    g["guard_bar"], g["guard_price"] = g["decision_bar"], g["decision_price"]
    g["hold_bars"] = np.int64(g["next_time"]) if g["next_time"] == g["next_time"] else 0
    level = _level_from(base, -s, g["next_stop"], asked["stop_is_distance"])
    g["stop_level"] = _on_tick(level, -s, b["tick"], factor)
    g["trail"], g["extreme"] = g["next_trail"], b["fill_price"]
    if asked["trail_is_distance"] != 0:
        # A broker takes whole ticks of it.
        g["trail"] = _on_tick(g["next_trail"], 1.0, b["tick"], factor)
    _pull(asked, b, g, factor)
    given, sorted_levels, shares = g["next_target"], g["target_level"], g["share"]
    for k in range(RUNGS):
        level = _level_from(base, s, given[k], asked["target_is_distance"])
        level = _on_tick(level, s, b["tick"], factor)
        share = asked["share"][k]
        # Nearest first, none last.
        place = k
        while place > 0 and (
            sorted_levels[place - 1] != sorted_levels[place - 1] or s * level < s * sorted_levels[place - 1]
        ):
            sorted_levels[place], shares[place] = sorted_levels[place - 1], shares[place - 1]
            place -= 1
        sorted_levels[place], shares[place] = level, share


@kernel(allocates=False)
def guard_positions(
    t: int, factor: NDArray[np.float64], asked: Record, book: Records, guards: Records
) -> int:
    """Protect every position that a fill of bar `t` opened, and none that is gone; return how many there are."""
    count = 0
    for i in range(book.shape[0]):
        b, g = book[i], guards[i]
        position = b["position"]
        side = 1 if position > 0.0 else -1 if position < 0.0 else 0
        if side != g["side"]:
            g["side"] = side
            if side != 0:
                arm(t, side, factor[i], asked, b, g)
        count += side != 0
    return count


@kernel(allocates=False, inline=True)
def _nearer_stop(g: Record) -> tuple[float, int]:
    """Level of the stop that is reached first, and its kind; levels that only rounding keeps apart are the same."""
    fixed, trailing = g["stop_level"], g["trail_level"]
    if fixed == fixed and not g["side"] * (trailing - fixed) > SAME * fixed:
        return fixed, fl.STOP_LOSS
    return trailing, fl.TRAILING_STOP


@kernel(allocates=False)
def _cut_standing(t: int, sold: float, b: Record, g: Record, orders: Records) -> None:
    """Bring the standing order of an asset in line with what a protective order `sold` (signed as the position was)."""
    left = b["position"]
    survives = False
    if b["is_pending"] != 0:
        against = b["pending"] * sold < 0.0
        rest = b["pending"] + sold if against else b["pending"]
        survives = rest * b["pending"] > 0.0 and (against or left != 0.0)
        if survives:
            b["pending"] = rest
        else:
            b["is_pending"] = 0
            b["pending"] = 0.0
        if orders.shape[0] > 0:
            order = orders[b["order"]]
            order["quantity"] = rest if survives else order["quantity"]
            order["status"] = order["status"] if survives else fl.CANCELLED
            order["reason"] = order["reason"] if survives else fl.PROTECTED
    if left == 0.0:
        g["side"] = 0
        g["exit_bar"] = t + 1
        if not survives:
            b["last_target"] = 0.0
            g["stopped"] = 1


@kernel(allocates=False)
def execute(
    t: int,
    i: int,
    quantity: float,
    reference: float,
    limit: float,
    factor: float,
    order: int,
    kind: int,
    b: Record,
    books: Books,
) -> None:
    """Fill `quantity` at a reference price, worsened by slippage and spread, but never beyond a limit (NaN: none)."""
    side = math.copysign(1.0, quantity)
    half_spread = b["half_spread"]
    price = fill_price(reference, side, b["slippage"], half_spread, b["tick"], factor)
    if limit == limit:
        price = min(price, limit) if side > 0.0 else max(price, limit)
        half_spread = min(half_spread, abs(price / reference - 1.0))
    units, before = quantity / factor, books.month_units[b["group"]]
    paid = order_commission(b["rates"], units, price * factor, b["multiplier"], before)
    due = order_fees(b["rates"], units, price * factor, b["multiplier"])
    books.month_units[b["group"]] += abs(units)
    book_fill(
        b, books.money, books.tally, books.trades, books.fills, i, t, quantity, price, reference, half_spread, paid,
        due, order, kind,
    )  # fmt: skip


@kernel(allocates=False)
def _exit(
    t: int,
    i: int,
    closing: float,
    reference: float,
    level: float,
    factor: float,
    kind: int,
    doubtful: int,
    b: Record,
    g: Record,
    books: Books,
) -> None:
    """Close `closing` units (signed as the position) by a protective order with that level."""
    money, orders, fills = books.money, books.orders, books.fills
    row, place = money["n_rows"], money["n_fills"]
    money["n_rows"] += 1
    money["n_orders"] += 1
    is_limit = kind == fl.TAKE_PROFIT
    limit = level if is_limit else np.nan
    execute(t, i, -closing, reference, limit, factor, row, kind, b, books)
    if fills.shape[0] > 0:
        fills[place]["doubtful"] = doubtful
    if orders.shape[0] > 0:
        order = orders[row]
        order["bar"], order["asset"], order["target"] = g["guard_bar"], i, 0.0
        order["quantity"], order["decision_price"] = -closing, g["guard_price"]
        order["status"], order["reason"], order["type"] = fl.FILLED, 0, kind
        order["fill_bar"], order["fill_price"] = t, b["fill_price"]
        order["limit"], order["stop"] = limit, np.nan if is_limit else level
        order["residue"] = 0.0
    _cut_standing(t, closing, b, g, orders)


@kernel(allocates=False)
def _take_profits(
    t: int, i: int, reached: float, at_open: bool, factor: float, b: Record, g: Record, books: Books
) -> None:
    """Fill every rung that the price `reached`: went through, or at the open is at."""
    s = float(g["side"])
    targets, shares = g["target_level"], g["share"]
    while g["side"] != 0 and g["rung"] < RUNGS:
        level = targets[g["rung"]]
        if not (s * reached > s * level or (at_open and reached == level)):
            return
        share = shares[g["rung"]]
        closing = b["position"]
        if g["sold"] + share < WHOLE:
            closing *= share / (1.0 - g["sold"])
            if books.whole_units != 0:
                closing = od.to_lot(closing / factor, b["lot"]) * factor
        g["sold"] += share
        g["rung"] += 1
        if closing != 0.0:
            reference = reached if at_open else level
            _exit(t, i, closing, reference, level, factor, typed(fl.TAKE_PROFIT), typed(0), b, g, books)


@kernel(allocates=False)
def protect(
    t: int, i: int, opened: float, gain: float, loss: float, factor: float, b: Record, g: Record, books: Books
) -> None:
    """Let protective orders meet the open, then the rest: steps b and c; `gain` and `loss` are the bar's extremes."""
    s = float(g["side"])
    level, kind = _nearer_stop(g)
    if s * opened <= s * level:
        _exit(t, i, b["position"], opened, level, factor, kind, typed(0), b, g, books)
        return
    _take_profits(t, i, opened, True, factor, b, g, books)
    if g["side"] == 0:
        return
    if s * loss <= s * level:
        rung = min(g["rung"], RUNGS - 1)
        doubtful = 1 if g["rung"] < RUNGS and s * gain > s * g["target_level"][rung] else 0
        _exit(t, i, b["position"], level, level, factor, kind, doubtful, b, g, books)
        return
    _take_profits(t, i, gain, False, factor, b, g, books)


@kernel(allocates=False)
def protect_entry(
    t: int,
    i: int,
    way: int,
    gain: float,
    loss: float,
    closed: float,
    factor: float,
    asked: Record,
    b: Record,
    g: Record,
    books: Books,
) -> None:
    """Protect what an order at a price opened inside the bar, as far as the bar tells what came after it.

    `way` is STOP or LIMIT: how the order came to fill.
    """
    arm(t, 1 if b["position"] > 0.0 else -1, factor, asked, b, g)
    s = float(g["side"])
    level, kind = _nearer_stop(g)
    if s * loss <= s * level:
        doubtful = 1 if way == STOP and not s * closed <= s * level else 0
        _exit(t, i, b["position"], level, level, factor, kind, doubtful, b, g, books)
        return
    # After a limit the high may have come first; the close came last.
    seen = gain if way == STOP else closed
    _take_profits(t, i, seen, False, factor, b, g, books)
    if g["side"] != 0:
        trail(seen, factor, asked, b, g)


@kernel(allocates=False, inline=True)
def _triggers(g: Record) -> tuple[float, float]:
    """Low and high prices from which on something may happen: a level is touched, or a trailing stop is moved."""
    if g["side"] == 0:
        return np.nan, np.nan
    s = float(g["side"])
    target = g["target_level"][min(g["rung"], RUNGS - 1)] if g["rung"] < RUNGS else np.nan
    gain = g["extreme"] if g["trail"] == g["trail"] and not s * g["extreme"] >= s * target else target
    loss = _nearer_stop(g)[0]
    return (loss, gain) if s > 0.0 else (gain, loss)


@kernel(allocates=False, inline=True)
def _is_touched(high: float, low: float, asked: Record, g: Record) -> bool:
    """Whether a protective order may fill at a bar with these extremes."""
    if g["side"] == 0:
        return False
    if asked["is_finer"] != 0 and g["trail"] == g["trail"]:
        # On its way through the bar the level moves before it is tested again.
        return True
    s = float(g["side"])
    gain, loss = (high, low) if s > 0.0 else (low, high)
    target = g["target_level"][min(g["rung"], RUNGS - 1)] if g["rung"] < RUNGS else np.nan
    return bool(s * loss <= s * _nearer_stop(g)[0] or s * gain >= s * target)


@kernel(allocates=False, inline=True)
def _trail_by(high: float, low: float, factor: float, asked: Record, b: Record, g: Record) -> None:
    """Move the trailing stop, if there is one, by the extremes of a bar."""
    if g["side"] != 0:
        trail(high if g["side"] > 0 else low, factor, asked, b, g)


@kernel(allocates=False, inline=True)
def _first_touch_alone(
    t: int,
    stop: int,
    factors: NDArray[np.float64],
    factor_step: int,
    highs: NDArray[np.float64],
    lows: NDArray[np.float64],
    asked: Record,
    b: Record,
    g: Record,
) -> int:
    """As `first_touch`, of the only asset."""
    low, high = _triggers(g)
    for k in range(t, stop):
        if lows[k, 0] <= low or highs[k, 0] >= high:
            if _is_touched(highs[k, 0], lows[k, 0], asked, g):
                return k
            _trail_by(highs[k, 0], lows[k, 0], factors[k * factor_step, 0], asked, b, g)
            low, high = _triggers(g)
    return stop


@kernel(allocates=False)
def first_touch(
    t: int,
    stop: int,
    factors: NDArray[np.float64],
    factor_step: int,
    highs: NDArray[np.float64],
    lows: NDArray[np.float64],
    asked: Record,
    book: Records,
    guards: Records,
    near: NDArray[np.float64],
) -> int:
    """First bar from `t` on, before `stop`, at which a protective order may fill, or `stop`.

    Trailing stops are moved through the bars before it. `near` is working memory of shape (2, n_assets).
    """
    n_assets = book.shape[0]
    if n_assets == 1:
        return _first_touch_alone(t, stop, factors, factor_step, highs, lows, asked, book[0], guards[0])
    low, high = near[0], near[1]
    for i in range(n_assets):
        low[i], high[i] = _triggers(guards[i])
    for k in range(t, stop):
        reached = 0
        for i in range(n_assets):
            reached += (lows[k, i] <= low[i]) | (highs[k, i] >= high[i])
        if reached == 0:
            continue
        for i in range(n_assets):
            if _is_touched(highs[k, i], lows[k, i], asked, guards[i]):
                return k
        for i in range(n_assets):
            if lows[k, i] <= low[i] or highs[k, i] >= high[i]:
                _trail_by(highs[k, i], lows[k, i], factors[k * factor_step, i], asked, book[i], guards[i])
                low[i], high[i] = _triggers(guards[i])
    return stop
