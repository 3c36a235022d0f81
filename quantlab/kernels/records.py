"""Layout of everything the simulation reads and keeps by name: one structured dtype each.

A record travels between compiled functions as one pointer, where a tuple of arrays would be taken apart at every
call: that keeps compilation short. Fields are read as ``row["name"]``, which works compiled and not compiled.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantlab.kernels.cost import N_RATES

__all__ = [
    "ASKED",
    "BARS",
    "BOOK",
    "FILL",
    "GUARD",
    "MONEY",
    "ORDER",
    "RULES",
    "RUNGS",
    "STEP",
    "TALLY",
    "TRADE",
    "Record",
    "Records",
]

Record: TypeAlias = Any
"""One row of a structured array: a record when compiled, ``numpy.void`` when not."""

Records: TypeAlias = NDArray[np.void]
"""A structured array."""


def _layout(floats: str, integers: str = "", **arrays: int) -> np.dtype[np.void]:
    fields: list[Any] = [(n, "<f8") for n in floats.split()] + [(n, "<i8") for n in integers.split()]
    return np.dtype(fields + [(n, "<f8", (size,)) for n, size in arrays.items()])


RULES = _layout(
    "band max_leverage buffer initial_margin",
    "mode at_fill rebalance whole_units cash_account splits_reversals",
)
"""Sizing and account; ``mode`` and ``rebalance`` are codes of `order`, the other integers are flags.
``splits_reversals`` says that a reversal is charged as two orders, which depends on the signal: `rules_of` leaves it 0.
"""

BOOK = _layout(
    # of the instrument: money per unit and point, price step (0: none), lot, share / units / money by mode
    "multiplier tick lot amount "
    # of its costs: fractions of price
    "slippage half_spread "
    # state in stored units and prices; `pending_share` is the target of the standing order and `pending_shrink` what
    # leverage left of the part it adds, `desired` the position wanted, `fill_price` that of the last fill
    "position last_close last_target pending pending_share pending_shrink desired "
    # the running trade: cash flow since it began, and its sides
    "trade_cash trade_entry_value trade_entry_quantity trade_exit_value trade_commission trade_fees fill_price",
    # what the last decision came to; whether an order stands and its row; first bar of the running trade
    # assets of one group have their monthly units counted together
    "outcome is_pending order trade_bar group",
    # the row of `cost.CostTable.rates` in force
    rates=N_RATES,
)
"""State of one asset, and what its instrument and its costs fix."""

MONEY = _layout(
    "cash commission fees slippage spread borrow interest traded", "n_orders n_rows n_fills n_cut"
)
"""Cash, what was paid so far, the value traded in the present bar; orders sent, order records (rejected ones too),
fills, and the orders that leverage cut to nothing."""

TALLY = _layout("win_sum loss_sum pnl_squared return_sum best worst", "n_trades n_wins bars_held")
"""Sums over closed trades."""

BARS = _layout(
    # sums over bars
    "return_1 return_2 return_3 return_4 downside_2 return_benchmark exposure turnover max_drawdown drawdown_sum "
    # state: equity now, gross position value, the running peak and the lowest equity since; `tail_limit` is the
    # largest return that is being collected
    "equity gross peak low tail_limit",
    # `ruin_bar` is -1 without one; `peak_bar` is the last bar at a peak, `part` that of the bars that wait to
    # enter the sums, and `filled` their number
    "n_bars n_flat n_drawdowns max_spell ruin_bar peak_bar n_tail part filled",
)
"""The run bar by bar: sums and state."""

ORDER = _layout(
    "target quantity decision_price fill_price limit stop residue", "bar asset status reason fill_bar type"
)
"""One order. ``fill_bar`` is -1 without a fill, prices are NaN where there are none; ``residue`` is the money that
whole lots left out of what was wanted."""

FILL = _layout(
    "quantity price reference commission fees slippage spread cash", "bar asset order kind doubtful"
)
"""One execution; ``cash`` is what there was after it, ``kind`` a reason code, 0 for an order's own fill; ``doubtful``
is 1 where the bar does not tell whether another order came first."""

RUNGS = 4
"""Parts in which a profit can be taken."""

ASKED = _layout(
    "",
    # whether values are distances, levels are measured from the fill, orders have a limit or a stop, and the path is
    # finer than the bars; codes of `levels`
    "stop_is_distance trail_is_distance target_is_distance from_fill has_limit has_stop is_finer tif order_type",
    share=RUNGS,
)
"""What a signal asks for inside the bar, beside values: of which kind they are, and shares of the rungs."""

GUARD = _layout(
    # the standing order at a price
    "limit stop "
    # what protects the position: levels, the extreme that the trailing stop follows, and what it follows it by
    "stop_level trail_level extreme trail "
    # the share of the position that rungs have sold, and the closes of the decisions behind position and order
    "sold guard_price decision_price "
    # what the order on its way will protect its position with, as it was given
    "next_stop next_trail next_time "
    # the target of the asset's bar before
    "target_before",
    # sign of the position that is protected, its first bar and its decision's, and the bars it may be held (0: any)
    "side entry_bar guard_bar hold_bars "
    # rungs reached, bar of the decision of the order on its way, bar of the last protective exit
    "rung decision_bar exit_bar "
    # flags: flat until an entry event; decide anew; the order at a price became a limit order, has met a bar; the
    # time is up
    "stopped renew triggered met timed_out",
    next_target=RUNGS,
    target_level=RUNGS,
    share=RUNGS,
)
"""Orders inside the bar of one asset."""

TRADE = _layout(
    "quantity entry_price exit_price pnl return_ commission fees", "asset entry_bar exit_bar open exit"
)
"""One round trip from flat to flat, or one still open at the end; ``exit`` is the kind of the fill that closed it."""

STEP = _layout("cash units", "bar")
"""What a single asset's account holds from a bar on: cash, and units times their multiplier."""
