"""The plain case of `simulate`, with everything in registers: one asset without gaps, market orders on change.

Most trials of a sweep are of this kind. The rules are those of `simulate`, step by step and in the same order of
arithmetic, so that the two agree to the last bit, which tests prove; whatever is out of the ordinary (equity gone, an
order cut to the allowed leverage or refused) ends the attempt, and `simulate` runs the trial from its start.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels import order as od
from quantlab.kernels._jit import kernel
from quantlab.kernels.cost import fill_price, order_commission, order_fees
from quantlab.kernels.curve import BLOCK, EQUITY, LOW, enter_block, mark_alone, next_part
from quantlab.kernels.fill import units_at_fill
from quantlab.kernels.order import units_between, units_for
from quantlab.kernels.simulate import AT_CLOSE, NEXT_OPEN, Market, fetch_ahead
from quantlab.kernels.trade import tally_trade, typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.cost import CostTable
    from quantlab.kernels.records import Records

__all__ = ["simulate_alone"]


@kernel(allocates=False)
def simulate_alone(
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
    blocks: NDArray[np.float64],
    edges: NDArray[np.int64],
    moments: NDArray[np.float64],
    tail: NDArray[np.float64],
) -> bool:
    """Run one target of one asset through the market, if nothing out of the ordinary happens.

    Parameters
    ----------
    market, change_bar, changed, book, rule_rows, table, fill, risk_free, benchmark, state
        As in `simulate.simulate`. No price is NaN, the account is a margin account, orders are decided when the target
        moves, nothing accrues, and no schedule has monthly tiers.
    blocks : ndarray of shape (curve.ROOM,)
        Zeros: working memory.
    edges, moments
        As in `simulate.simulate`.
    tail : ndarray of shape (0,)
        Kept from compiling what it is handed to twice.

    Returns
    -------
    bool
        Whether the run came to its end; its sums are in `state` and `blocks`, for `simulate.finish_run`.
    """
    opens, closes, factors, factor_step = market.open, market.close, market.factor, market.factor_step
    n_bars, n_changes = closes.shape[0], change_bar.shape[0]
    prices = closes.reshape(closes.size)
    rules, b = rule_rows[0], book[0]
    bars, tally, money = state[0][0], state[1][0], state[2][0]
    mode, whole_units, at_fill = rules["mode"], rules["whole_units"], rules["at_fill"] != 0
    max_leverage, initial_margin = rules["max_leverage"], rules["initial_margin"]
    leverage = min(max_leverage, 1.0 / initial_margin)
    multiplier, tick, lot, amount = b["multiplier"], b["tick"], b["lot"], b["amount"]
    slippage, half_spread = table.slippage[0], table.half_spread[0]
    row = latest_row = typed(0)
    rates = table.rates[table.rate_row[0], 0]
    cash = money["cash"]
    equity = cash
    bars["peak"], bars["low"], blocks[EQUITY] = cash, cash, cash
    for k in range(np.uint64(BLOCK)):
        blocks[LOW + k] = np.inf
    bars["peak_bar"], bars["ruin_bar"] = -1, -1
    position = last_target = pending = pending_share = month_units = traded = turnover = 0.0
    is_pending = False
    commission = fees = slipped = spread = 0.0
    n_orders = n_fills = n_flat = trade_bar = typed(0)
    trade_cash = entry_value = entry_quantity = close = 0.0
    t = typed(0)
    while t < n_bars:
        factor = factors[t * factor_step, 0]
        if row + 1 < table.from_bar.shape[0] and table.from_bar[row + 1] <= t:
            while row + 1 < table.from_bar.shape[0] and table.from_bar[row + 1] <= t:
                row += 1
            rates = table.rates[table.rate_row[row], 0]
        close = closes[t, 0]
        decided = False
        if latest_row < n_changes and change_bar[latest_row] == t:
            wanted = changed[latest_row, 0]
            wanted = wanted if wanted == wanted else 0.0
            latest_row += 1
            fetch_ahead(latest_row, change_bar, changed, fill, opens, closes, benchmark)
            decided = abs(wanted - last_target) > od.TARGET_TOLERANCE
        else:
            wanted = 0.0
        # A standing order fills; with fills at the close, the order of this bar does, after its decision.
        for after in range(2):
            if after == 1:
                worth = position * multiplier * close
                equity = cash + worth
                if not equity > 0.0:
                    return False
                if not decided:
                    break
                last_target = wanted
                desired = units_for(
                    mode, whole_units, amount, multiplier, lot, wanted, equity, close * factor
                )
                desired *= factor
                size = max(abs(desired), abs(position)) * close * multiplier
                if size > equity * leverage and not _allowed(
                    desired, position, close, multiplier, equity, max_leverage, initial_margin
                ):
                    return False
                quantity = units_between(position, desired, whole_units, lot, factor)
                if quantity != 0.0 or (at_fill and wanted != 0.0):
                    is_pending, pending, pending_share = True, quantity, wanted
                    n_orders += 1
                if fill != AT_CLOSE:
                    break
            if not is_pending:
                continue
            reference = opens[t, 0] if fill == NEXT_OPEN else close
            quantity, is_pending = pending, False
            side = math.copysign(1.0, quantity if quantity != 0.0 else pending_share)
            price = fill_price(reference, side, slippage, half_spread, tick, factor)
            if at_fill:
                there = cash if position == 0.0 else cash + position * reference * multiplier
                there += position * (price - reference) * multiplier
                desired = units_at_fill(
                    rates, mode, whole_units, typed(0), 0.0, multiplier, lot, amount, pending_share, 1.0, position,
                    cash, there, price, factor, month_units,
                )  # fmt: skip
                quantity = units_between(position, desired, whole_units, lot, factor)
                if quantity * side < 0.0:
                    price = fill_price(reference, -side, slippage, half_spread, tick, factor)
            if quantity == 0.0:
                continue
            units, raw_price = quantity / factor, price * factor
            paid = order_commission(rates, units, raw_price, multiplier, month_units)
            due = order_fees(rates, units, raw_price, multiplier)
            month_units += abs(units)
            value = abs(quantity) * price * multiplier
            cash -= math.copysign(value, quantity) + paid + due
            commission += paid
            fees += due
            traded += value
            of_spread = abs(quantity) * reference * half_spread * multiplier
            spread += of_spread
            slipped += abs(quantity) * abs(price - reference) * multiplier - of_spread
            n_fills += 1
            closing = min(abs(position), abs(quantity)) if position * quantity < 0.0 else 0.0
            whole = quantity
            if closing > 0.0:
                share = closing / abs(quantity)
                trade_cash -= math.copysign(value * share, quantity) + paid * share + due * share
                whole = quantity + position
                position += math.copysign(closing, quantity)
                if position == 0.0:
                    tally_trade(tally, trade_cash, entry_value, t - trade_bar)
                    trade_cash = entry_value = entry_quantity = 0.0
            if closing < abs(quantity):
                share = 1.0 - closing / abs(quantity)
                if entry_quantity == 0.0:
                    trade_bar = t
                trade_cash -= math.copysign(value * share, whole) + paid * share + due * share
                entry_value += value * share
                entry_quantity += whole
                position += whole
            if after == 1:
                worth = position * multiplier * close
                equity = cash + worth
                if not equity > 0.0:
                    return False
        stop = n_bars
        if is_pending:
            stop = t + 1
        elif latest_row < n_changes:
            stop = change_bar[latest_row]
        if row + 1 < table.from_bar.shape[0]:
            stop = min(stop, table.from_bar[row + 1])
        held = position * multiplier
        while t < stop:
            if position == 0.0 and traded == 0.0 and equity == blocks[EQUITY + np.uint64(bars["filled"])]:
                n_flat += stop - t
                t = stop
                break
            if edges[bars["part"] + 1] <= t:
                next_part(t, edges, blocks, risk_free, bars, moments, tail)
            if traded != 0.0:
                turnover += traded / equity
                traded = 0.0
            place = bars["filled"]
            n = min(min(stop, edges[bars["part"] + 1]) - t, BLOCK - place)
            n = typed(1) if position == 0.0 else n
            if mark_alone(t, n, place, cash, held, prices, benchmark, blocks) > 0:
                return False
            bars["filled"] = place + n
            t += n
            equity = blocks[EQUITY + np.uint64(place + n)]
            if place + n == BLOCK:
                enter_block(blocks, risk_free, bars, tail)
    bars["equity"], bars["n_flat"], bars["turnover"] = equity, n_flat, turnover
    money["cash"], money["commission"], money["fees"] = cash, commission, fees
    money["slippage"], money["spread"] = slipped, spread
    money["n_orders"], money["n_rows"], money["n_fills"] = n_orders, n_orders, n_fills
    b["position"], b["last_close"] = position, close
    b["trade_cash"], b["trade_entry_value"], b["trade_entry_quantity"] = (
        trade_cash,
        entry_value,
        entry_quantity,
    )
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
