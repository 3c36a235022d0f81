"""Round trips: a fill moves cash, position and the running trade of its asset; from flat to flat is one trade."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from quantlab.kernels.records import Record, Records

__all__ = ["book_fill", "record_trade", "tally_trade", "typed"]

PNL_NOISE = 1e-12
"""Share of the entry value below which a profit or a loss is rounding noise."""


@kernel(allocates=False)
def typed(value: int) -> int:
    """`value` as a plain integer: a literal argument would compile every callee once more."""
    return np.int64(value)  # type: ignore[return-value]


@kernel(allocates=False, inline=True)
def tally_trade(tally: Record, trade_cash: float, entry_value: float, n_bars: int) -> float:
    """Add a finished trade, held for `n_bars`, to the sums; return its profit or loss."""
    pnl = trade_cash
    if abs(pnl) <= PNL_NOISE * entry_value:
        pnl = 0.0
    gain = pnl / entry_value
    first = tally["n_trades"] == 0
    tally["n_trades"] += 1
    # Counted and added always: whether a trade wins is what no processor guesses.
    won = pnl > 0.0
    tally["n_wins"] += won
    tally["win_sum"] += pnl if won else 0.0
    tally["loss_sum"] += 0.0 if won else pnl
    tally["pnl_squared"] += pnl * pnl
    tally["return_sum"] += gain
    tally["best"] = gain if first else max(tally["best"], gain)
    tally["worst"] = gain if first else min(tally["worst"], gain)
    tally["bars_held"] += n_bars
    return pnl


@kernel(allocates=False)
def close_trade(b: Record, tally: Record, trades: Records, i: int, t: int, kind: int) -> None:
    """Record the trade of asset `i` that a fill of this kind finished, add it to the sums, and clear it."""
    place = tally["n_trades"]
    pnl = tally_trade(tally, b["trade_cash"], b["trade_entry_value"], t - b["trade_bar"])
    if trades.shape[0] > 0:
        record_trade(b, trades[place], i, t, pnl, b["trade_exit_value"], typed(0))
        trades[place]["exit"] = kind
    b["trade_cash"] = 0.0
    b["trade_entry_value"] = 0.0
    b["trade_entry_quantity"] = 0.0
    b["trade_exit_value"] = 0.0
    b["trade_commission"] = 0.0
    b["trade_fees"] = 0.0


@kernel(allocates=False)
def record_trade(
    b: Record, trade: Record, i: int, t: int, pnl: float, exit_value: float, still_open: int
) -> None:
    """Write the running trade of asset `i`, ended or marked at bar `t`, into its record."""
    unit = abs(b["trade_entry_quantity"]) * b["multiplier"]
    trade["asset"] = i
    trade["entry_bar"] = b["trade_bar"]
    trade["exit_bar"] = t
    trade["quantity"] = b["trade_entry_quantity"]
    trade["entry_price"] = b["trade_entry_value"] / unit
    trade["exit_price"] = exit_value / unit
    trade["pnl"] = pnl
    trade["return_"] = pnl / b["trade_entry_value"]
    trade["commission"] = b["trade_commission"]
    trade["fees"] = b["trade_fees"]
    trade["open"], trade["exit"] = still_open, 0


@kernel(allocates=False)
def _book_part(b: Record, t: int, quantity: float, value: float, paid: float, due: float) -> None:
    """Enter the opening or the closing part of a fill into the asset's running trade."""
    opens = b["position"] * quantity >= 0.0
    if opens and b["trade_entry_quantity"] == 0.0:
        b["trade_bar"] = t
    b["trade_cash"] -= math.copysign(value, quantity) + paid + due
    b["trade_commission"] += paid
    b["trade_fees"] += due
    if opens:
        b["trade_entry_value"] += value
        b["trade_entry_quantity"] += quantity
    else:
        b["trade_exit_value"] += value
    b["position"] += quantity


@kernel(allocates=False)
def book_fill(
    b: Record,
    money: Record,
    tally: Record,
    trades: Records,
    fills: Records,
    i: int,
    t: int,
    quantity: float,
    price: float,
    reference: float,
    half_spread: float,
    paid: float,
    due: float,
    order: int,
    kind: int,
) -> None:
    """Move cash and position by one fill and record it; a fill through zero ends one trade and begins the next."""
    value = abs(quantity) * price * b["multiplier"]
    money["cash"] -= math.copysign(value, quantity) + paid + due
    money["commission"] += paid
    money["fees"] += due
    money["traded"] += value
    b["fill_price"] = price
    spread = abs(quantity) * reference * half_spread * b["multiplier"]
    slippage = abs(quantity) * abs(price - reference) * b["multiplier"] - spread
    money["spread"] += spread
    money["slippage"] += slippage
    position = b["position"]
    closing = min(abs(position), abs(quantity)) if position * quantity < 0.0 else 0.0
    if closing > 0.0:
        share = closing / abs(quantity)
        _book_part(b, t, math.copysign(closing, quantity), value * share, paid * share, due * share)
        if b["position"] == 0.0:
            close_trade(b, tally, trades, i, t, kind)
    if closing < abs(quantity):
        share = 1.0 - closing / abs(quantity)
        _book_part(
            b, t, quantity + position if closing > 0.0 else quantity, value * share, paid * share, due * share
        )
    if fills.shape[0] > 0:
        fill = fills[money["n_fills"]]
        fill["bar"] = t
        fill["asset"] = i
        fill["quantity"] = quantity
        fill["price"] = price
        fill["reference"] = reference
        fill["commission"] = paid
        fill["fees"] = due
        fill["slippage"] = slippage
        fill["spread"] = spread
        fill["cash"] = money["cash"]
        fill["order"] = order
        fill["kind"] = kind
        fill["doubtful"] = 0
    money["n_fills"] += 1
