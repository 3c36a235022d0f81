"""Orders inside the bar: what they are decided from, and what they do while a bar passes.

Each asset, in column order, goes through a bar in the steps that docs/fills.md states to users:

a. its standing order at a price meets the open;
b. its protective orders (`guard`) meet the open, stops before targets;
c. its protective orders meet the rest of the bar, stops before targets;
d. its standing order at a price meets the rest of the bar;
e. its trailing stop is moved by the bar's extreme.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels import fill as fl
from quantlab.kernels._jit import kernel
from quantlab.kernels.cost import fill_price
from quantlab.kernels.guard import arm, execute, first_touch, protect, protect_entry, trail
from quantlab.kernels.levels import (
    AT_PRICE,
    BAR,
    CLOSING,
    DAY,
    IOC,
    LIMIT,
    NEVER,
    ON_CLOSE,
    ON_OPEN,
    OPENING,
    SESSION_FIRST,
    SESSION_LAST,
    STOP,
    STOP_LIMIT,
)
from quantlab.kernels.records import RUNGS
from quantlab.kernels.trade import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.levels import Books, Levels
    from quantlab.kernels.records import Record, Records

__all__ = ["filling_phase", "gate_targets", "next_event", "pass_bar", "prepare_order"]

UNDECIDED = 2.0
"""A last target that no strategy can have: the asset is decided anew."""


@kernel(allocates=False, inline=True)
def _at(values: NDArray[np.float64], t: int, i: int) -> float:
    """Value of a bar and asset."""
    return float(values[t if values.shape[0] > 1 else 0, i])


# -- decisions -----------------------------------------------------------------------------------------------


@kernel(allocates=False)
def _is_up(t: int, lag: int, g: Record) -> bool:
    """Whether a position will have been held for as long as it may be when an order of bar `t` fills."""
    return bool(g["side"] != 0 and g["hold_bars"] > 0 and t + lag - g["entry_bar"] >= g["hold_bars"])


@kernel(allocates=False, inline=True)
def gate_targets(
    t: int,
    looks: bool,
    at_close: bool,
    row: NDArray[np.float64],
    close: NDArray[np.float64],
    levels: Levels,
    book: Records,
    guards: Records,
    wanted: NDArray[np.float64],
) -> bool:
    """Write the targets that count at bar `t` into `wanted`: 0 after a protective exit, until the next entry event.

    Parameters
    ----------
    t : int
        The bar.
    looks, at_close : bool
        Whether there may be something to decide even if nothing here says so; whether orders fill at this close.
    row, close : ndarray of shape (n_assets,)
        Targets and closes of the bar.
    levels, book, guards
        State; an asset that has to be decided anew gets a last target that nothing equals.
    wanted : ndarray of shape (n_assets,)
        Filled in.

    Returns
    -------
    bool
        Whether there may be something to decide.
    """
    lag = 0 if at_close else 1
    asked = levels.asked[0]
    for i in range(book.shape[0]):
        looks = looks or guards[i]["renew"] != 0 or _is_up(t, lag, guards[i])
    if not looks:
        return False
    for i in range(book.shape[0]):
        wanted[i] = row[i]
        if close[i] != close[i]:
            continue
        b, g = book[i], guards[i]
        raw = row[i] if row[i] == row[i] else 0.0
        before, position = g["target_before"], b["position"]
        g["target_before"], g["timed_out"] = raw, 0
        event = raw != 0.0 and (
            before * raw <= 0.0 or levels.entry[t if levels.entry.shape[0] > 1 else 0, i] != 0
        )
        if event and at_close and g["exit_bar"] == t + 1:
            event = False
        # While a position of its sign is held an event does nothing, not even where the exit of it waits.
        if event and position * raw <= 0.0:
            g["stopped"] = 0
        target = 0.0 if g["stopped"] != 0 else raw
        if target * position > 0.0 and _is_up(t, lag, g):
            target = 0.0
            g["stopped"], g["timed_out"] = 1, 1
        if g["renew"] != 0 or (event and position == 0.0):
            b["last_target"] = UNDECIDED
        g["renew"] = 0
        if target * position < 0.0 and asked["has_limit"] + asked["has_stop"] > 0:
            target = 0.0
            g["renew"] = 1
        wanted[i] = target
    return True


@kernel(allocates=False, inline=True)
def prepare_order(
    t: int, i: int, factor: float, quantity: float, levels: Levels, b: Record, g: Record
) -> int:
    """Give the order of asset `i` its prices, and keep what it will protect its position with.

    Returns
    -------
    int
        Type of the order; -1 if a price that it needs is not known.
    """
    asked = levels.asked[0]
    if b["last_target"] != 0.0 and b["last_target"] * b["position"] <= 0.0:
        g["decision_bar"], g["decision_price"] = t, b["last_close"]
        g["next_stop"] = _at(levels.stop_loss, t, i)
        g["next_trail"] = _at(levels.trailing_stop, t, i)
        g["next_time"] = _at(levels.time_stop, t, i)
        targets = g["next_target"]
        for k in range(RUNGS):
            targets[k] = _at(levels.take_profit[k], t, i) if k < levels.take_profit.shape[0] else np.nan
    g["limit"] = g["stop"] = np.nan
    g["triggered"] = g["met"] = 0
    if (
        asked["has_limit"] + asked["has_stop"] == 0
        or quantity * b["position"] < 0.0
        or b["last_target"] == 0.0
    ):
        return int(asked["order_type"])
    side = math.copysign(1.0, quantity)
    if asked["has_limit"] != 0:
        g["limit"] = fill_price(_at(levels.limit, t, i), -side, 0.0, 0.0, b["tick"], factor)
        if g["limit"] != g["limit"]:
            return -1
    if asked["has_stop"] != 0:
        g["stop"] = fill_price(_at(levels.stop, t, i), side, 0.0, 0.0, b["tick"], factor)
        if g["stop"] != g["stop"]:
            return -1
    if asked["has_stop"] == 0:
        return LIMIT
    return STOP if asked["has_limit"] == 0 else STOP_LIMIT


@kernel(allocates=False, inline=True)
def filling_phase(t: int, at_open: bool, asked: Record, edge: NDArray[np.uint8]) -> int:
    """When market orders fill at bar `t`: OPENING, CLOSING or NEVER; `at_open` is what the run has for usual."""
    if asked["order_type"] == ON_OPEN:
        return OPENING if edge[t] & SESSION_FIRST != 0 else NEVER
    if asked["order_type"] == ON_CLOSE:
        return CLOSING if edge[t] & SESSION_LAST != 0 else NEVER
    return OPENING if at_open else CLOSING


@kernel(allocates=False)
def _end_standing(b: Record, g: Record, orders: Records, renew: int) -> None:
    """Cancel an order at a price that was not filled in time."""
    b["is_pending"] = 0
    b["pending"] = 0.0
    g["renew"] = renew
    if orders.shape[0] > 0:
        order = orders[b["order"]]
        order["status"], order["reason"] = fl.CANCELLED, fl.EXPIRED


@kernel(allocates=False)
def _fill_standing(
    t: int, i: int, reference: float, limit: float, factor: float, b: Record, books: Books
) -> None:
    """Fill the standing order at a price."""
    quantity = b["pending"]
    b["is_pending"] = 0
    b["pending"] = 0.0
    execute(t, i, quantity, reference, limit, factor, b["order"], typed(0), b, books)
    if books.orders.shape[0] > 0:
        order = books.orders[b["order"]]
        order["status"], order["fill_bar"], order["fill_price"] = fl.FILLED, t, b["fill_price"]


@kernel(allocates=False)
def _meet_open(
    t: int, i: int, opened: float, factor: float, asked: Record, b: Record, g: Record, books: Books
) -> None:
    """Step a: the standing order at a price meets the open."""
    side = math.copysign(1.0, b["pending"])
    limit, stop = g["limit"], g["stop"]
    if stop == stop and side * opened >= side * stop:
        g["triggered"] = 1
    marketable = limit != limit or side * opened <= side * limit
    if (stop != stop or g["triggered"] != 0) and marketable:
        _fill_standing(t, i, opened, limit, factor, b, books)
        if g["side"] == 0:
            arm(t, 1 if side > 0.0 else -1, factor, asked, b, g)
    elif asked["tif"] == IOC:
        _end_standing(b, g, books.orders, typed(0))


@kernel(allocates=False)
def _meet_rest(
    t: int, i: int, up: float, down: float, closed: float, factor: float, b: Record, g: Record, books: Books
) -> int:
    """Step d: the standing order meets the rest of the bar; return how it filled: LIMIT, STOP, or -1 if not.

    `up` and `down` are the extremes that are dear and cheap for the order.
    """
    side = math.copysign(1.0, b["pending"])
    limit, stop = g["limit"], g["stop"]
    if stop != stop or g["triggered"] != 0:
        if not side * down < side * limit:
            return -1
        _fill_standing(t, i, limit, limit, factor, b, books)
        return LIMIT
    if not side * up >= side * stop:
        return -1
    if limit != limit or side * limit >= side * stop:
        _fill_standing(t, i, stop, limit, factor, b, books)
        return STOP
    g["triggered"] = 1
    if not side * closed < side * limit:
        return -1
    _fill_standing(t, i, limit, limit, factor, b, books)
    return LIMIT


@kernel(allocates=False)
def _pass_step(
    t: int,
    i: int,
    opened: float,
    high: float,
    low: float,
    closed: float,
    factor: float,
    asked: Record,
    b: Record,
    g: Record,
    books: Books,
) -> None:
    """Take asset `i` through one step of the path, which lies in bar `t`."""
    if b["is_pending"] == AT_PRICE:
        g["met"] = 1
        _meet_open(t, i, opened, factor, asked, b, g, books)
    if g["side"] != 0:
        gain, loss = (high, low) if g["side"] > 0 else (low, high)
        protect(t, i, opened, gain, loss, factor, b, g, books)
    if b["is_pending"] == AT_PRICE:
        up, down = (high, low) if b["pending"] > 0.0 else (low, high)
        way = _meet_rest(t, i, up, down, closed, factor, b, g, books)
        if way >= 0 and g["side"] == 0:
            protect_entry(t, i, way, up, down, closed, factor, asked, b, g, books)
            return
    if g["side"] != 0:
        trail(high if g["side"] > 0 else low, factor, asked, b, g)


@kernel(allocates=False, inline=True)
def pass_bar(
    t: int, factor: NDArray[np.float64], levels: Levels, book: Records, guards: Records, books: Books
) -> None:
    """Take bar `t` through every order inside it, and end orders at a price whose time is over."""
    asked = levels.asked[0]
    opens, highs, lows, closes = levels.path
    first, stop = t, t + 1
    if asked["is_finer"] != 0:
        first, stop = levels.path_from[t], levels.path_from[t + 1]
    for k in range(first, stop):
        for i in range(book.shape[0]):
            b, g = book[i], guards[i]
            if opens[k, i] == opens[k, i] and (g["side"] != 0 or b["is_pending"] == AT_PRICE):
                _pass_step(
                    t, i, opens[k, i], highs[k, i], lows[k, i], closes[k, i], factor[i], asked, b, g, books
                )  # fmt: skip
    is_last = asked["tif"] == DAY and levels.edge[t] & SESSION_LAST != 0
    for i in range(book.shape[0]):
        b, g = book[i], guards[i]
        if b["is_pending"] != AT_PRICE or g["met"] == 0:
            continue
        if asked["tif"] == BAR:
            _end_standing(b, g, books.orders, typed(1))
        elif is_last:
            _end_standing(b, g, books.orders, typed(0))


@kernel(allocates=False, inline=True)
def next_event(
    t: int,
    stop: int,
    at_close: bool,
    factors: NDArray[np.float64],
    factor_step: int,
    levels: Levels,
    book: Records,
    guards: Records,
    near: NDArray[np.float64],
) -> int:
    """First bar after `t`, up to `stop`, at which something may happen; trailing stops are moved up to there."""
    lag = 0 if at_close else 1
    count = 0
    for i in range(book.shape[0]):
        g = guards[i]
        count += 1 if g["side"] != 0 else 0
        if g["renew"] != 0:
            return t + 1
        if g["hold_bars"] > 0 and g["side"] * book[i]["last_target"] > 0.0:
            stop = max(t + 1, min(stop, g["entry_bar"] + g["hold_bars"] - lag))
    if count == 0:
        return stop
    return first_touch(
        t + 1, stop, factors, factor_step, levels.high, levels.low, levels.asked[0], book, guards, near
    )  # fmt: skip
