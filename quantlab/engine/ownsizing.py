"""Sizes reckoned again: by our rule on vectorbt's books, and by vectorbt's own rule where that is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.engine.replay import frequency, load_vectorbt, naive_index, percent_rates, quiet
from quantlab.kernels import order as od
from quantlab.kernels.fill import REJECTED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.engine.replay import Replay
    from quantlab.engine.result import Result

__all__ = ["Books", "own_sizing_equity", "sizes_from_books"]


class Books(NamedTuple):
    """Orders, and what each should be.

    Parameters
    ----------
    orders : structured array
        Orders that were reckoned again, layout `quantlab.kernels.records.ORDER`.
    quantity, scale : ndarray of shape (n_orders,)
        Stored units by the rule, and the larger of the positions before and after.
    skipped : int
        Orders left out: those that were cut to the allowed leverage or to flat.
    """

    orders: NDArray[np.void]
    quantity: NDArray[np.float64]
    scale: NDArray[np.float64]
    skipped: int


def _cut(units: NDArray[np.float64], lot: NDArray[np.float64]) -> NDArray[np.float64]:
    """Units cut towards zero to whole lots."""
    lots = np.abs(units) / lot
    return np.sign(units) * np.floor(lots + od.LOT_TOLERANCE + od.LOT_NOISE * lots) * lot


def sizes_from_books(result: Result, again: Replay) -> Books | str:
    """Reckon every order from vectorbt's cash and positions at its decision, or say why that cannot be done.

    Parameters
    ----------
    result : Result
        Of a run.
    again : Replay
        Of the run.
    """
    setup, run = result._setup, result._records  # noqa: SLF001  # one package
    if setup.sizing.price == "fill":
        return "orders are sized at their fill"
    bars, (rules,), assets = result.bars, setup.rules[0], setup.rules[1]
    accepted = run.orders[run.orders["status"] != REJECTED]
    orders = accepted[_by_rule(accepted, result)]
    if not len(orders):
        return "there is no order by the rule"
    cash, held, close = _books(result, again)
    unit = close * assets["multiplier"]
    equity = cash + (held * unit).sum(axis=1)
    t, i = orders["bar"], orders["asset"]
    factor, lot = bars.factor[t, i], assets["lot"][i]
    base = equity[t] * (1.0 - rules["buffer"]) if rules["cash_account"] else equity[t]
    wanted = orders["target"] * assets["amount"][i]
    if rules["mode"] != od.UNITS:
        wanted = wanted / (close[t, i] * factor * assets["multiplier"][i])
    if rules["mode"] == od.ALLOCATION:
        wanted = wanted * base
    whole = bool(rules["whole_units"])
    desired = (_cut(wanted, lot) if whole else wanted) * factor
    quantity = desired - held[t, i]
    if whole:
        quantity = np.where(desired == 0.0, quantity, _cut(quantity / factor, lot) * factor)
    cut = _may_be_cut(result, orders, desired, held, unit, equity)
    kept = ~(cut | _standing(accepted, result))
    if not kept.any():
        return "every order was cut to the allowed leverage, or may have been"
    scale = np.maximum(np.abs(desired), np.abs(held[t, i]))
    return Books(orders[kept], quantity[kept], scale[kept], len(accepted) - int(kept.sum()))


def _by_rule(accepted: NDArray[np.void], result: Result) -> NDArray[np.bool_]:
    """Orders that take a position to its target: not those that a cash account cut from short to flat."""
    cash_account = bool(result._setup.rules[0][0]["cash_account"])  # noqa: SLF001
    return np.asarray((accepted["quantity"] != 0.0) & ~(cash_account & (accepted["target"] < 0.0)), np.bool_)


def _books(
    result: Result, again: Replay
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Read vectorbt's cash and positions when each bar is decided, and the last closes, without NaN."""
    shape = result._records.n_bars, result.bars.n_assets  # noqa: SLF001
    cash, portfolio = again.cash.to_numpy(np.float64), again.portfolio
    held = np.asarray(portfolio.assets(), np.float64).reshape(shape)
    if result._setup.fill == "close":  # noqa: SLF001  # fills come after the decision of their own bar
        cash = np.concatenate(([result.cash_start], cash[:-1]))
        held = np.concatenate((np.zeros((1, shape[1])), held[:-1]))
    multiplier = result._setup.rules[1]["multiplier"]  # noqa: SLF001
    close = np.asarray(portfolio.get_filled_close(), np.float64).reshape(shape) / multiplier
    return cash, held, np.nan_to_num(close)


def _may_be_cut(  # noqa: PLR0917  # what each bar holds, decided and after
    result: Result,
    orders: NDArray[np.void],
    desired: NDArray[np.float64],
    held: NDArray[np.float64],
    unit: NDArray[np.float64],
    equity: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether orders of a bar reach the allowed leverage, so that the engine may have shrunk them."""
    setup = result._setup  # noqa: SLF001
    rules, assets = setup.rules[0][0], setup.rules[1]
    bars, bar_of = np.unique(orders["bar"], return_inverse=True)
    after = np.abs(held[bars])
    after[bar_of, orders["asset"]] = np.abs(desired)
    # An asset that was decided, but to less than a lot, leaves no order: it may count up to one lot more.
    slack = np.broadcast_to(assets["lot"], after.shape) * result.bars.factor[bars] * unit[bars]
    slack[bar_of, orders["asset"]] = 0.0
    gross = (after * unit[bars]).sum(axis=1)
    limit = rules["max_leverage"] * equity[bars]
    over = gross > limit * (1.0 + od.TARGET_TOLERANCE)
    # Orders that are then rejected have had their part in the shrinking.
    everything = result._records.orders  # noqa: SLF001
    over |= np.isin(bars, everything["bar"][everything["status"] == REJECTED])
    if rules["whole_units"] and after.shape[1] > 1:
        over |= gross + slack.sum(axis=1) > limit
    return np.asarray(over[bar_of], np.bool_)


def _standing(accepted: NDArray[np.void], result: Result) -> NDArray[np.bool_]:
    """Whether another order stood when an order was decided: the leverage test counts it as filled."""
    n = result._records.n_bars  # noqa: SLF001
    change = np.zeros(n + 1, np.int64)
    ends = np.where(accepted["fill_bar"] < 0, n, accepted["fill_bar"])
    np.add.at(change, np.minimum(accepted["bar"] + 1, n), 1)
    np.add.at(change, np.maximum(ends, np.minimum(accepted["bar"] + 1, n)), -1)
    return np.asarray(np.cumsum(change)[accepted[_by_rule(accepted, result)]["bar"]] > 0, np.bool_)


# -- vectorbt's own sizing ---------------------------------------------------------------------------------


def own_sizing_equity(result: Result) -> NDArray[np.float64] | str:
    """Equity by ``Portfolio.from_signals``, which decides and sizes by itself, or why its rule is not ours.

    vectorbt is told when the target changes sign, which prices there were, and the rates of slippage and
    commission; all in is its default size.
    """
    reason = _other_rule(result)
    if reason:
        return reason
    import pandas as pd

    setup, bars = result._setup, result.bars  # noqa: SLF001
    n = result._records.n_bars  # noqa: SLF001
    target = np.nan_to_num(result._target[:n, 0])  # noqa: SLF001
    changed = np.diff(target, prepend=0.0) != 0.0
    events = {"entries": target > 0.0, "short_entries": target < 0.0, "exits": target == 0.0}
    later = 0 if setup.fill == "close" else 1
    moved = {
        k: np.concatenate((np.zeros(later, bool), (v & changed)[: n - later])) for k, v in events.items()
    }
    unit = bars.instruments[0].multiplier
    price = (bars.open if setup.fill == "next_open" else bars.close)[:n, 0] * unit
    rates = percent_rates(setup.table)
    vbt = load_vectorbt()
    with quiet():
        portfolio = vbt.Portfolio.from_signals(
            pd.Series(bars.close[:n, 0] * unit, naive_index(result)),
            entries=moved["entries"],
            exits=moved["exits"],
            short_entries=moved["short_entries"],
            short_exits=moved["exits"],
            size=np.inf,
            price=price,
            fees=0.0 if rates is None else float(rates[0]),
            fixed_fees=0.0,
            slippage=float(setup.table.slippage[0] + setup.table.half_spread[0]),
            min_size=0.0,
            max_size=np.inf,
            size_granularity=bars.instruments[0].lot if setup.sizing.whole_units else np.nan,
            lock_cash=False,
            accumulate=False,
            upon_opposite_entry="reverse",
            init_cash=result.cash_start,
            freq=frequency(result),
        )
        return np.asarray(portfolio.value(), np.float64)


def _other_rule(result: Result) -> str:
    """Why vectorbt's own sizing is not ours, in a few words; empty where it is."""
    setup, bars = result._setup, result.bars  # noqa: SLF001
    sizing, target = setup.sizing, result._target  # noqa: SLF001
    shorts = bool((target < 0.0).any())
    reverses = shorts and bool((target > 0.0).any())
    slips = bool((setup.table.slippage + setup.table.half_spread > 0.0).any())
    tests = (
        (bars.n_assets > 1, "vectorbt's all in is for one asset"),
        (sizing.price != "fill", "vectorbt sizes at the fill, this run at the decision"),
        (
            sizing.fixed_units is not None or sizing.fixed_value is not None,
            "the run has fixed units or money",
        ),
        (setup.rules[1]["amount"][0] != 1.0, "the run is not all in"),
        (sizing.rebalance != "on_change", "the run rebalances"),
        (not np.isin(np.nan_to_num(target), (-1.0, 0.0, 1.0)).all(), "targets are fractions"),
        (bool(np.isnan(bars.close).any()), "bars are missing"),
        (percent_rates(setup.table) is None, "commission is no fraction of value"),
        (bool(bars.instruments[0].tick), "prices are rounded to ticks"),
        (sizing.whole_units and not bars.is_raw, "whole raw units of adjusted prices"),
        (setup.account.buffer > 0.0, "the account keeps a buffer"),
        (sizing.max_leverage < 1.0, "leverage is limited"),
        (shorts and setup.account.kind == "cash", "short sales are refused"),
        (
            reverses and slips,
            "the slippage of what a reversal closes is paid from cash here, from its size there",
        ),
        (result.ruined_at is not None, "the run ended in ruin"),
        (bool((result._records.orders["status"] == REJECTED).any()), "orders were rejected"),  # noqa: SLF001
    )
    return next((reason for failed, reason in tests if failed), "")
