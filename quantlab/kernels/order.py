"""From targets to orders at one bar's close: units, leverage, buying power. One rule for engine and live."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel
from quantlab.kernels.cost import order_commission, order_fees
from quantlab.kernels.trade import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.cost import CostTable
    from quantlab.kernels.records import Record, Records

__all__ = [
    "ALLOCATION",
    "CUT_TO_FLAT",
    "EVERY_BAR",
    "NONE",
    "NO_BUYING_POWER",
    "NO_SHORT_SALE",
    "ON_CHANGE",
    "ORDERED",
    "TARGET_TOLERANCE",
    "UNITS",
    "VALUE",
    "WITHIN_BAND",
    "decide",
    "load_costs",
    "needs_decision",
    "order_units",
    "residue",
    "to_lot",
    "units_between",
    "units_for",
    "wanted_units",
]

TARGET_TOLERANCE = 1e-9
"""A target that moved by less is the same target."""

LOT_TOLERANCE = 1e-9
"""Part of a lot that counts as rounding noise: 2.9999999999 lots are 3."""

LOT_NOISE = 1e-15
"""The same as a part of the number of lots: of ten million, floating point leaves no ninth decimal."""

# Outcomes of a decision.
NONE = 0
ORDERED = 1
NO_BUYING_POWER = 2
NO_SHORT_SALE = 3
CUT_TO_FLAT = 4

# What an amount of the sizing rule means: a share of equity, raw units, money.
ALLOCATION = 0
UNITS = 1
VALUE = 2

# When an unchanged target is traded again.
ON_CHANGE = 0
EVERY_BAR = 1
WITHIN_BAND = 2


@kernel(allocates=False)
def load_costs(book: Records, table: CostTable, row: int) -> None:
    """Put the costs in force into the record of each asset."""
    r = table.rate_row[row]
    for i in range(book.shape[0]):
        b = book[i]
        b["slippage"], b["half_spread"], b["group"] = table.slippage[i], table.half_spread[i], table.group[i]
        rates = b["rates"]
        for k in range(rates.shape[0]):
            rates[k] = table.rates[r, i, k]


@kernel(allocates=False, inline=True)
def to_lot(units: float, lot: float) -> float:
    """Units cut towards zero to a whole number of lots."""
    # Dividing by one changes nothing and takes as long as the rest together; so below.
    lots = abs(units) if lot == 1.0 else abs(units) / lot
    return math.copysign(math.floor(lots + LOT_TOLERANCE + LOT_NOISE * lots) * lot, units)


@kernel(allocates=False, inline=True)
def units_for(
    mode: int,
    whole_units: int,
    amount: float,
    multiplier: float,
    lot: float,
    target: float,
    equity: float,
    raw_price: float,
) -> float:
    """Raw units wanted of an asset for a target, when `equity` is what its allocation is a share of."""
    units = target * amount
    if mode != UNITS:
        units /= raw_price * multiplier
        if mode == ALLOCATION:
            units *= equity
    return to_lot(units, lot) if whole_units != 0 else units


@kernel(allocates=False)
def wanted_units(rules: Record, b: Record, target: float, equity: float, raw_price: float) -> float:
    """As `units_for`, of an asset's record."""
    return units_for(
        rules["mode"], rules["whole_units"], b["amount"], b["multiplier"], b["lot"], target, equity, raw_price
    )


@kernel(allocates=False)
def needs_decision(
    rules: Record, b: Record, target: float, equity: float, base: float, factor: float
) -> bool:
    """Whether an asset gets a new decision at a bar on which it trades; `base` is the equity that is sized."""
    if abs(target - b["last_target"]) > TARGET_TOLERANCE:
        return True
    if rules["rebalance"] == ON_CHANGE:
        return False
    if target == 0.0 and b["position"] == 0.0 and b["is_pending"] == 0:
        return False
    if rules["rebalance"] == EVERY_BAR:
        return True
    unit = b["last_close"] * b["multiplier"]
    wanted = target * b["amount"]
    if rules["mode"] == ALLOCATION:
        wanted *= base
    elif rules["mode"] == UNITS:
        wanted *= unit * factor
    return bool(abs(b["position"] * unit - wanted) > rules["band"] * equity)


@kernel(allocates=False, inline=True)
def units_between(position: float, desired: float, whole_units: int, lot: float, factor: float) -> float:
    """Return the stored units that take an asset from its position to the desired one.

    Adjusted prices let the raw position drift off the lot as dividends are reinvested: an order is still
    whole raw units, except the one that closes everything.
    """
    units = desired - position
    if abs(units) <= TARGET_TOLERANCE * max(abs(desired), abs(position)):
        return 0.0
    if desired == 0.0 or whole_units == 0:
        return units
    return to_lot(units if factor == 1.0 else units / factor, lot) * factor


@kernel(allocates=False)
def order_units(rules: Record, b: Record, factor: float) -> float:
    """As `units_between`, of an asset's record."""
    return units_between(b["position"], b["desired"], rules["whole_units"], b["lot"], factor)


@kernel(allocates=False)
def _kept_units(b: Record) -> float:
    """Units of the present position that the desired one keeps."""
    if b["desired"] * b["position"] > 0.0:
        return float(min(abs(b["position"]), abs(b["desired"])))
    return 0.0


@kernel(allocates=False)
def _shrink(book: Records, rules: Record, factor: NDArray[np.float64], equity: float) -> float:
    """Cut the orders of this bar by one common factor to the allowed leverage; return the factor."""
    kept = 0.0
    added = 0.0
    for i in range(book.shape[0]):
        b = book[i]
        if b["desired"] == 0.0 or b["outcome"] == NO_SHORT_SALE:
            continue
        unit = b["last_close"] * b["multiplier"]
        size = abs(b["desired"]) * unit
        held = _kept_units(b) * unit if b["outcome"] == ORDERED else size
        kept += held
        added += size - held
    limit = rules["max_leverage"] * equity
    if added <= 0.0 or kept + added <= limit * (1.0 + TARGET_TOLERANCE):
        return 1.0
    share = float((limit - kept) / added) if limit - kept > TARGET_TOLERANCE * limit else 0.0
    for i in range(book.shape[0]):
        b = book[i]
        held = _kept_units(b)
        if b["outcome"] == ORDERED and abs(b["desired"]) > held:
            units = math.copysign(held + (abs(b["desired"]) - held) * share, b["desired"]) / factor[i]
            b["desired"] = (to_lot(units, b["lot"]) if rules["whole_units"] else units) * factor[i]
    return share


@kernel(allocates=False)
def _payment(b: Record, rules: Record, factor: float, month_units: float) -> float:
    """Cash that an order is estimated to take at its decision price, costs included."""
    quantity = order_units(rules, b, factor)
    if quantity == 0.0:
        return 0.0
    side = math.copysign(1.0, quantity)
    price = b["last_close"] * (1.0 + side * (b["slippage"] + b["half_spread"]))
    units, raw_price = quantity / factor, price * factor
    cost = order_commission(b["rates"], units, raw_price, b["multiplier"], month_units)
    cost += order_fees(b["rates"], units, raw_price, b["multiplier"])
    return float(quantity * price * b["multiplier"] + cost)


@kernel(allocates=False)
def residue(rules: Record, b: Record, share: float, equity: float, factor: float, quantity: float) -> float:
    """Money that whole lots leave out of what a decision wanted; 0 where orders are sized at their fill.

    Parameters
    ----------
    share, equity : float
        What `decide` returned, and what it was given.
    quantity : float
        The order, in stored units.
    """
    if rules["at_fill"] or rules["whole_units"] == 0 or b["outcome"] != ORDERED:
        return 0.0
    base = equity * (1.0 - rules["buffer"]) if rules["cash_account"] else equity
    units = units_for(
        rules["mode"], typed(0), b["amount"], b["multiplier"], b["lot"], b["last_target"], base,
        b["last_close"] * factor,
    )  # fmt: skip
    wanted = abs(units * factor)
    kept = min(abs(b["position"]), wanted) if units * b["position"] > 0.0 else 0.0
    wanted = kept + (wanted - kept) * share
    return float((wanted - abs(b["position"] + quantity)) * b["last_close"] * b["multiplier"])


@kernel(allocates=False)
def _next_ranked(rank: NDArray[np.float64], before: int) -> int:
    """Asset that comes after asset `before` (-1: none) by falling rank, then by column; NaN comes last."""
    found = -1
    best = -np.inf
    limit = rank[max(before, 0)]
    limit = limit if limit == limit else -np.inf
    for i in range(rank.shape[0]):
        mine = rank[i] if rank[i] == rank[i] else -np.inf
        after = before < 0 or mine < limit or (mine == limit and i > before)
        if after and (found < 0 or mine > best):
            found, best = i, mine
    return found


@kernel(allocates=False)
def _test_buying_power(
    book: Records,
    rules: Record,
    factor: NDArray[np.float64],
    month_units: NDArray[np.float64],
    cash: float,
    equity: float,
    rank: NDArray[np.float64] | None,
) -> None:
    """Reject the orders that the account cannot carry: exits first, then entries by rank, or in column order.

    Orders that are sized at the fill are cut to the cash there is then, so a cash account lets them pass.
    """
    gross = 0.0
    for i in range(book.shape[0]):
        b = book[i]
        standing = b["position"]
        if b["outcome"] == NONE and b["is_pending"] != 0:
            standing += b["pending"]
            cash -= b["pending"] * b["last_close"] * b["multiplier"]
        gross += abs(standing) * b["last_close"] * b["multiplier"]
    for entries in range(2):
        ranked = typed(-1)
        for k in range(book.shape[0]):
            i = k
            if rank is not None:
                ranked = _next_ranked(rank, ranked)
                i = ranked
            b = book[i]
            grows = abs(b["desired"]) > _kept_units(b)
            ordered = b["outcome"] == ORDERED or b["outcome"] == CUT_TO_FLAT
            if not ordered or grows != (entries == 1):
                continue
            after = gross + (abs(b["desired"]) - abs(b["position"])) * b["last_close"] * b["multiplier"]
            refused = False
            pay = 0.0
            if rules["cash_account"] and not rules["at_fill"]:
                pay = _payment(b, rules, factor[i], month_units[b["group"]])
                refused = grows and pay > cash * (1.0 + TARGET_TOLERANCE)
            elif not rules["cash_account"]:
                refused = grows and after * rules["initial_margin"] > equity * (1.0 + TARGET_TOLERANCE)
            if refused:
                b["outcome"] = NO_BUYING_POWER
            else:
                cash -= pay
                gross = after


@kernel(allocates=False, inline=True)
def decide(
    target: NDArray[np.float64],
    close: NDArray[np.float64],
    factor: NDArray[np.float64],
    book: Records,
    rules: Record,
    month_units: NDArray[np.float64],
    cash: float,
    equity: float,
    rank: NDArray[np.float64] | None,
) -> float:
    """Decide one bar: fill in ``desired`` and ``outcome`` of every asset and move ``last_target``.

    What a rejected order asked for stays in ``desired``.

    Parameters
    ----------
    target, close, factor : ndarray of shape (n_assets,)
        The bar. A NaN close means no bar and so no decision; a NaN target where there is a bar means 0.
    book : structured array of shape (n_assets,)
        State, layout `records.BOOK`, with costs loaded; changed in place.
    rules, month_units
        Sizing and account; units traded this month per group.
    cash, equity : float
        Money, marked at this bar's close.
    rank : ndarray of shape (n_assets,) or None
        Who comes first when the account cannot carry every entry: the higher one, and the earlier column of equals.

    Returns
    -------
    float
        The factor by which this bar's orders were shrunk to the allowed leverage, 1 if they were not.
    """
    base = equity * (1.0 - rules["buffer"]) if rules["cash_account"] else equity
    largest = 0.0
    for i in range(book.shape[0]):
        b = book[i]
        b["outcome"] = NONE
        b["desired"] = b["position"] + (b["pending"] if b["is_pending"] else 0.0)
        wanted = target[i] if target[i] == target[i] else 0.0
        if close[i] == close[i]:
            b["last_close"] = close[i]
        if close[i] == close[i] and needs_decision(rules, b, wanted, equity, base, factor[i]):
            b["last_target"] = wanted
            b["outcome"] = ORDERED
            b["desired"] = wanted_units(rules, b, wanted, base, close[i] * factor[i]) * factor[i]
            if rules["cash_account"] and b["desired"] < 0.0:
                b["outcome"] = CUT_TO_FLAT if b["position"] > 0.0 else NO_SHORT_SALE
            if b["outcome"] == CUT_TO_FLAT:
                b["desired"] = 0.0
        largest += max(abs(b["desired"]), abs(b["position"])) * b["last_close"] * b["multiplier"]
    # Whatever the order of the fills, gross value stays below this: nothing can be too much.
    if not rules["cash_account"] and largest <= equity * min(
        rules["max_leverage"], 1.0 / rules["initial_margin"]
    ):
        return 1.0
    share = _shrink(book, rules, factor, equity)
    _test_buying_power(book, rules, factor, month_units, cash, equity, rank)
    return share
