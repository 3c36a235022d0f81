"""Fills: standing orders meet a price; assets whose data or whose account ended are closed out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantlab.kernels import order as od
from quantlab.kernels._jit import kernel
from quantlab.kernels.cost import fill_price, order_commission, order_fees
from quantlab.kernels.order import order_units, to_lot
from quantlab.kernels.trade import book_fill, typed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantlab.kernels.records import Record, Records

__all__ = [
    "CANCELLED",
    "DELISTED",
    "EXPIRED",
    "FILLED",
    "NOTHING_LEFT",
    "OPEN",
    "PROTECTED",
    "REJECTED",
    "REPLACED",
    "RUINED",
    "STOP_LOSS",
    "TAKE_PROFIT",
    "TIME_UP",
    "TRAILING_STOP",
    "close_out",
    "fill_orders",
    "units_at_fill",
]

# Status of an order record.
OPEN = 0
FILLED = 1
REPLACED = 2
REJECTED = 3
CANCELLED = 4

# Reasons beyond the outcomes of `order.decide`, and kinds of fills (0 is an order's own).
DELISTED = 10
RUINED = 11
NOTHING_LEFT = 12
EXPIRED = 13
PROTECTED = 14
TIME_UP = 15
STOP_LOSS = 20
TAKE_PROFIT = 21
TRAILING_STOP = 22

AFFORD_STEPS = 60
"""Fixed-point steps for the units that a budget buys with costs; costs of a few percent settle in ten."""


@kernel(allocates=False, inline=True)
def _affordable_units(
    rates: NDArray[np.float64],
    multiplier: float,
    budget: float,
    closing: float,
    side: float,
    raw_price: float,
    month_units: float,
) -> float:
    """Raw units that `budget` buys at `raw_price` with the costs of the whole order.

    The order also closes `closing` units of the other side, whose costs count too. Costs rise by less than the
    price a unit, so the steps settle; where fees in whole cents make them swing between two values, the lower one
    is affordable, since costs never fall with size. The first step takes costs to be in proportion to size, as
    those of most schedules are: nothing is left to be done then.
    """
    each = 1.0 / (raw_price * multiplier)
    units = before = budget * each
    for step in range(AFFORD_STEPS):
        size = side * (units + closing)
        cost = order_commission(rates, size, raw_price, multiplier, month_units)
        cost += order_fees(rates, size, raw_price, multiplier)
        afforded = (budget - cost) * each
        if afforded <= 0.0:
            return 0.0
        if abs(afforded - units) <= 1e-15 * units:
            return afforded
        before = units
        units = afforded if step > 0 else units * (budget / (budget + cost))
    return min(units, before)


@kernel(allocates=False, inline=True)
def units_at_fill(
    rates: NDArray[np.float64],
    mode: int,
    whole_units: int,
    cash_account: int,
    buffer: float,
    multiplier: float,
    lot: float,
    amount: float,
    target: float,
    shrink: float,
    position: float,
    cash: float,
    equity: float,
    price: float,
    factor: float,
    month_units: float,
) -> float:
    """Position wanted, in stored units, when an order is sized at its fill price with costs included.

    `equity` has this asset at its fill price, so that what closing loses to slippage is not invested again.
    """
    raw_price = price * factor
    base = max(equity, 0.0) * (1.0 - buffer if cash_account != 0 else 1.0)
    wanted = od.units_for(mode, whole_units, amount, multiplier, lot, target, base, raw_price) * factor
    held = min(abs(position), abs(wanted)) if wanted * position > 0.0 else 0.0
    if abs(wanted) <= held:
        return wanted
    side = math.copysign(1.0, wanted)
    if mode == od.UNITS:
        added = (abs(wanted) - held) * shrink / factor
    else:
        budget = abs(target) * amount * (base if mode == od.ALLOCATION else 1.0)
        budget = (budget - held * price * multiplier) * shrink
        whole = budget
        if cash_account != 0:
            budget = min(budget, cash)
        if budget <= od.TARGET_TOLERANCE * whole:
            return side * held
        closing = (abs(position) - held) / factor
        added = _affordable_units(rates, multiplier, budget, closing, side, raw_price, month_units)
    if whole_units != 0:
        added = to_lot(added, lot)
    return side * (held + added * factor)


@kernel(allocates=False)
def _order_costs(b: Record, units: float, raw_price: float, month_units: float) -> tuple[float, float]:
    """Commission and regulatory fees of one order; called where both are needed once more, which is seldom."""
    paid = order_commission(b["rates"], units, raw_price, b["multiplier"], month_units)
    return paid, order_fees(b["rates"], units, raw_price, b["multiplier"])


@kernel(allocates=False, inline=True)
def fill_orders(
    t: int,
    reference: NDArray[np.float64],
    factor: NDArray[np.float64],
    book: Records,
    money: Record,
    tally: Record,
    rules: Record,
    month_units: NDArray[np.float64],
    orders: Records,
    fills: Records,
    trades: Records,
) -> None:
    """Fill every standing order whose asset has a price, exits first, then entries in column order."""
    equity = money["cash"]
    for i in range(book.shape[0]):
        b = book[i]
        if b["position"] != 0.0:
            price = reference[i] if reference[i] == reference[i] else b["last_close"]
            equity += b["position"] * price * b["multiplier"]
    for entries in range(2):
        for i in range(book.shape[0]):
            b = book[i]
            # 2 is an order at a price, which `inside` fills.
            if b["is_pending"] != 1 or reference[i] != reference[i]:
                continue
            quantity, position = b["pending"], b["position"]
            grows = quantity * position >= 0.0 or abs(quantity) > abs(position)
            if grows != (entries == 1):
                continue
            slippage, half_spread = b["slippage"], b["half_spread"]
            units_before = month_units[b["group"]]
            side = math.copysign(1.0, quantity if quantity != 0.0 else b["pending_share"])
            price = fill_price(reference[i], side, slippage, half_spread, b["tick"], factor[i])
            if rules["at_fill"]:
                there = equity + position * (price - reference[i]) * b["multiplier"]
                b["desired"] = units_at_fill(
                    b["rates"], rules["mode"], rules["whole_units"], rules["cash_account"], rules["buffer"],
                    b["multiplier"], b["lot"], b["amount"], b["pending_share"], b["pending_shrink"], position,
                    money["cash"], there, price, factor[i], units_before,
                )  # fmt: skip
                quantity = order_units(rules, b, factor[i])
                if quantity * side < 0.0:
                    price = fill_price(reference[i], -side, slippage, half_spread, b["tick"], factor[i])
            b["is_pending"] = 0
            b["pending"] = 0.0
            if quantity != 0.0:
                units, paid, due = quantity / factor[i], 0.0, 0.0
                if rules["splits_reversals"] != 0 and grows and quantity * position < 0.0:
                    closing = -position / factor[i]
                    paid, due = _order_costs(b, closing, price * factor[i], units_before)
                    month_units[b["group"]] += abs(closing)
                    units_before = month_units[b["group"]]
                    units = (quantity + position) / factor[i]
                paid += order_commission(b["rates"], units, price * factor[i], b["multiplier"], units_before)
                due += order_fees(b["rates"], units, price * factor[i], b["multiplier"])
                month_units[b["group"]] += abs(units)
                book_fill(
                    b, money, tally, trades, fills, i, t, quantity, price, reference[i], half_spread, paid, due,
                    b["order"], typed(0),
                )  # fmt: skip
            if orders.shape[0] > 0:
                order = orders[b["order"]]
                order["quantity"] = quantity
                order["status"] = FILLED if quantity != 0.0 else CANCELLED
                order["reason"] = order["reason"] if quantity != 0.0 else NOTHING_LEFT
                if quantity != 0.0:
                    order["fill_bar"] = t
                    order["fill_price"] = price


@kernel(allocates=False)
def close_out(
    t: int,
    i: int,
    b: Record,
    money: Record,
    tally: Record,
    orders: Records,
    fills: Records,
    trades: Records,
    kind: int,
) -> None:
    """Cancel the order of asset `i` and close its position at its last close, without cost."""
    if b["is_pending"] != 0:
        b["is_pending"] = 0
        b["pending"] = 0.0
        if orders.shape[0] > 0:
            order = orders[b["order"]]
            order["status"] = CANCELLED
            order["reason"] = kind
    b["last_target"] = 0.0
    if b["position"] != 0.0:
        price = b["last_close"]
        book_fill(
            b,
            money,
            tally,
            trades,
            fills,
            i,
            t,
            -b["position"],
            price,
            price,
            0.0,
            0.0,
            0.0,
            typed(-1),
            kind,
        )
