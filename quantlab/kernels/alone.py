"""The plain case of `simulate`, in two passes: one asset without gaps, market orders on change.

Most trials of a sweep are of this kind. Nothing then happens between two changes of the target, so that the first pass
goes from order to order with the account in registers, and the second one through the bars that are held. The rules
are those of `simulate`, step by step and in the same order of arithmetic: the two agree to the last bit, which tests
prove. Whatever is out of the ordinary (equity gone, an order cut to the allowed leverage or refused) ends the attempt,
and `simulate` runs the trial from its start.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantlab.kernels import order as od
from quantlab.kernels._jit import fetch, kernel
from quantlab.kernels.cost import fill_price, order_commission, order_fees
from quantlab.kernels.curve import begin_sums, enter_block, next_part
from quantlab.kernels.fill import units_at_fill
from quantlab.kernels.lanes import BLOCK, mark_bars
from quantlab.kernels.order import units_between, units_for
from quantlab.kernels.simulate import AT_CLOSE, LINE, NEXT_OPEN, Market
from quantlab.kernels.trade import tally_trade, typed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantlab.kernels.cost import CostTable
    from quantlab.kernels.records import Records

__all__ = ["hold_alone", "trade_alone"]

AHEAD = 2
"""Changes, and stretches that are held, whose prices are asked for ahead."""


@kernel(allocates=False)
def trade_alone(
    market: Market,
    change_bar: NDArray[np.int64],
    changed: NDArray[np.float64],
    book: Records,
    rule_rows: Records,
    table: CostTable,
    fill: int,
    state: tuple[Records, Records, Records],
    steps: Records,
) -> int:
    """Turn a target into orders and fills, from one change to the next.

    Parameters
    ----------
    market, change_bar, changed, book, rule_rows, table, fill, state
        As in `simulate.simulate`. No price is NaN, the account is a margin account, orders are decided when the target
        moves, nothing accrues, and no schedule has monthly tiers.
    steps : structured array of shape (n_bars,)
        Layout `records.STEP`; filled in from the front with what is held from each fill on.

    Returns
    -------
    int
        Number of fills, or -1 if the trial is none for this function.
    """
    opens, closes, factors, factor_step = market.open, market.close, market.factor, market.factor_step
    n_bars, n_changes = closes.shape[0], change_bar.shape[0]
    rules, b = rule_rows[0], book[0]
    tally, money = state[1][0], state[2][0]
    mode, whole_units, at_fill = rules["mode"], rules["whole_units"], rules["at_fill"] != 0
    max_leverage, initial_margin = rules["max_leverage"], rules["initial_margin"]
    leverage = min(max_leverage, 1.0 / initial_margin)
    multiplier, tick, lot, amount = b["multiplier"], b["tick"], b["lot"], b["amount"]
    slippage, half_spread = table.slippage[0], table.half_spread[0]
    row = typed(0)
    rates = table.rates[table.rate_row[0], 0]
    cash = money["cash"]
    position = last_target = commission = fees = slipped = spread = turnover = 0.0
    n_orders = n_fills = trade_bar = typed(0)
    trade_cash = entry_value = entry_quantity = 0.0
    lag = typed(0) if fill == AT_CLOSE else typed(1)
    for j in range(n_changes):
        if j + AHEAD < n_changes:
            fetch(closes, change_bar[j + AHEAD])
            fetch(opens, change_bar[j + AHEAD])
        wanted = changed[j, 0]
        wanted = wanted if wanted == wanted else 0.0
        if not abs(wanted - last_target) > od.TARGET_TOLERANCE:
            continue
        last_target = wanted
        t = change_bar[j]
        close, factor = closes[t, 0], factors[t * factor_step, 0]
        equity = cash + position * multiplier * close
        if not equity > 0.0:
            return -1
        desired = 0.0
        if wanted != 0.0:
            desired = units_for(mode, whole_units, amount, multiplier, lot, wanted, equity, close * factor)
            desired *= factor
        size = max(abs(desired), abs(position)) * close * multiplier
        if size > equity * leverage and not _allowed(
            desired, position, close, multiplier, equity, max_leverage, initial_margin
        ):
            return -1
        quantity = units_between(position, desired, whole_units, lot, factor)
        if quantity == 0.0 and not (at_fill and wanted != 0.0):
            continue
        n_orders += 1
        t += lag
        if t >= n_bars:
            continue
        if lag != 0:
            close, factor = closes[t, 0], factors[t * factor_step, 0]
        while row + 1 < table.from_bar.shape[0] and table.from_bar[row + 1] <= t:
            row += 1
            rates = table.rates[table.rate_row[row], 0]
        reference = opens[t, 0] if fill == NEXT_OPEN else close
        side = math.copysign(1.0, quantity if quantity != 0.0 else wanted)
        price = fill_price(reference, side, slippage, half_spread, tick, factor)
        if at_fill:
            there = cash if position == 0.0 else cash + position * reference * multiplier
            there += position * (price - reference) * multiplier
            desired = units_at_fill(
                rates, mode, whole_units, typed(0), 0.0, multiplier, lot, amount, wanted, 1.0, position, cash, there,
                price, factor, 0.0,
            )  # fmt: skip
            quantity = units_between(position, desired, whole_units, lot, factor)
            if quantity * side < 0.0:
                price = fill_price(reference, -side, slippage, half_spread, tick, factor)
        if quantity == 0.0:
            continue
        units, raw_price = quantity if factor == 1.0 else quantity / factor, price * factor
        paid = order_commission(rates, units, raw_price, multiplier, 0.0)
        due = order_fees(rates, units, raw_price, multiplier)
        n_units = abs(quantity)
        value = n_units * price * multiplier
        cash -= math.copysign(value, quantity) + paid + due
        commission += paid
        fees += due
        of_spread = n_units * reference * half_spread * multiplier
        spread += of_spread
        slipped += n_units * abs(price - reference) * multiplier - of_spread
        left = quantity
        if position * quantity < 0.0:
            closing = min(abs(position), n_units)
            share = 1.0 if closing == n_units else closing / n_units
            trade_cash -= math.copysign(value * share, quantity) + paid * share + due * share
            left = quantity + position if closing < n_units else 0.0
            position += math.copysign(closing, quantity)
            if position == 0.0:
                tally_trade(tally, trade_cash, entry_value, t - trade_bar)
                trade_cash = entry_value = entry_quantity = 0.0
            share = 1.0 - share
            value, paid, due = value * share, paid * share, due * share
        if left != 0.0:
            trade_bar = t if entry_quantity == 0.0 else trade_bar
            trade_cash -= math.copysign(value, left) + paid + due
            entry_value += value
            entry_quantity += left
            position += left
        held = position * multiplier
        equity = cash + held * close
        if not equity > 0.0:
            return -1
        turnover += n_units * price * multiplier / equity
        step = steps[n_fills]
        step["bar"], step["cash"], step["units"] = t, cash, held
        n_fills += 1
    state[0][0]["turnover"] = turnover
    money["cash"], money["commission"], money["fees"] = cash, commission, fees
    money["slippage"], money["spread"] = slipped, spread
    money["n_orders"], money["n_rows"], money["n_fills"] = n_orders, n_orders, n_fills
    b["position"], b["last_close"], b["trade_bar"] = position, closes[n_bars - 1, 0], trade_bar
    b["trade_cash"], b["trade_entry_value"] = trade_cash, entry_value
    b["trade_entry_quantity"] = entry_quantity
    return int(n_fills)


@kernel(allocates=False)
def hold_alone(
    market: Market,
    benchmark: NDArray[np.float64],
    risk_free: float,
    steps: Records,
    cash: float,
    state: tuple[Records, Records, Records],
    blocks: NDArray[np.float64],
    edges: NDArray[np.int64],
    moments: NDArray[np.float64],
    tail: NDArray[np.float64],
) -> bool:
    """Enter the bars on which something is held into the sums.

    Parameters
    ----------
    market, benchmark, risk_free, state, edges, moments, tail
        As in `simulate.simulate`; the tail is the last of its `curves`.
    steps : structured array of shape (n_fills,)
        What is held from each fill on, as `trade_alone` leaves it.
    cash : float
        What there is before the first fill.
    blocks : ndarray of shape (lanes.ROOM,)
        Working memory.

    Returns
    -------
    bool
        Whether equity stayed above zero; the sums are then in `state` and `blocks`, for `simulate.finish_run`.
    """
    closes, bars = market.close, state[0][0]
    n_bars, n_steps = closes.shape[0], steps.shape[0]
    prices = closes.reshape(closes.size)
    begin_sums(cash, blocks, bars)
    n_flat = steps[0]["bar"] if n_steps > 0 else n_bars
    part_stop = edges[1]
    filled, held = typed(0), 0.0
    for j in range(n_steps):
        step = steps[j]
        t, cash, held = step["bar"], step["cash"], step["units"]
        stop = steps[j + 1]["bar"] if j + 1 < n_steps else n_bars
        if j + AHEAD < n_steps:
            after = steps[j + AHEAD]["bar"]
            fetch(closes, after)
            fetch(closes, min(after + LINE, n_bars - 1))
        n_quiet = typed(0)
        if held == 0.0:
            # The bar of the fill counts; those after it are quiet.
            n_quiet = stop - (t + 1)
            stop = t + 1
        while t < stop:
            if part_stop <= t:
                bars["filled"], bars["n_flat"] = filled, n_flat
                next_part(t, edges, blocks, risk_free, bars, moments, tail)
                filled, part_stop = typed(0), edges[bars["part"] + 1]
            n = min(min(stop, part_stop) - t, BLOCK - filled)
            if mark_bars(t, n, filled, cash, held, prices, benchmark, blocks) != 0:
                return False
            filled += n
            t += n
            if filled == BLOCK:
                bars["filled"], bars["n_flat"] = filled, n_flat
                enter_block(blocks, risk_free, bars, tail)
                filled = typed(0)
        n_flat += n_quiet
    bars["filled"], bars["n_flat"] = filled, n_flat
    bars["equity"] = cash + held * prices[n_bars - 1]
    return True


@kernel(allocates=False)
def _allowed(
    desired: float,
    position: float,
    close: float,
    multiplier: float,
    equity: float,
    max_leverage: float,
    initial_margin: float,
) -> bool:
    """Whether an order is neither cut to the allowed leverage nor refused for want of buying power."""
    kept = min(abs(position), abs(desired)) if desired * position > 0.0 else 0.0
    unit = close * multiplier
    size, held = abs(desired) * unit, kept * unit
    if size - held > 0.0 and held + (size - held) > max_leverage * equity * (1.0 + od.TARGET_TOLERANCE):
        return False
    after = abs(position) * close * multiplier + (abs(desired) - abs(position)) * close * multiplier
    grows = abs(desired) > kept
    return not (grows and after * initial_margin > equity * (1.0 + od.TARGET_TOLERANCE))
