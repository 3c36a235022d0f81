"""Runs by hand for the tests of diagnostics, and what these should count, by plain loops over frames."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from oracle.cases import hand_bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.sizing import Sizing

FREE = Costs.zero()
TEN = Sizing.units(10)
EVERY = np.tile([1.0, 0.0], 10)
"""In and out at every bar: twenty bars, nineteen fills."""


def run(prices, target, **options):
    """Backtest by hand: `volume`, `high` and `low` are lists by symbol in place of those of `hand_bars`."""
    columns = {k: options.pop(k) for k in ("volume", "high", "low") if k in options}
    made = {k: options.pop(k) for k in ("factor", "instruments", "days") if k in options}
    bars = hand_bars(prices, **made)
    columns = {k: np.column_stack([np.asarray(v[s], float) for s in prices]) for k, v in columns.items()}
    options = {"costs": FREE, "sizing": TEN, "cash": 100_000, **options}
    return backtest(target, dataclasses.replace(bars, **columns), **options)


def found(result, name):
    """Return the diagnostic of a name, or None."""
    named = [each for each in result.diagnostics if each.name == name]
    assert len(named) <= 1
    return named[0] if named else None


def naive_counts(result):
    """Rows that each diagnostic of fills should list if it speaks, by plain loops over frames."""
    bars = result.bars
    index = {label: t for t, label in enumerate(bars.index)}
    fills = [f for f in result.fills.itertuples() if f.kind not in {"delisted", "ruin"}]
    n_bars = len(result.equity)
    counts = dict.fromkeys(("thin_volume", "unknown_volume", "beyond_range", "doubtful"), 0)
    traded = {}
    for f in fills:
        t, i = index[f.time], bars.symbols.index(f.symbol)
        known = [v for v in bars.volume[:n_bars, i] if v > 0]
        volume = bars.volume[t, i]
        if not known:
            counts["unknown_volume"] += 1
        elif not volume > 0 or volume < 0.05 * sorted_median(known):
            counts["thin_volume"] += 1
        traded[t, i] = traded.get((t, i), 0.0) + abs(f.quantity)
        high, low = bars.high[t, i], bars.low[t, i]
        counts["beyond_range"] += f.price > high * (1 + 1e-9) or f.price < low * (1 - 1e-9)
        counts["doubtful"] += f.doubtful
    counts["participation"] = sum(
        q > 0.05 * bars.volume[place] for place, q in traded.items() if bars.volume[place] > 0
    )
    counts["rejected"] = int((result.orders["status"] == "rejected").sum())
    return counts, len(fills)


def sorted_median(values):
    values, half = sorted(values), len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def naive_spells(result):
    """Bars without a price while a position is held, and the first ones of such stretches."""
    n_bars, n_spells = 0, 0
    for symbol in result.bars.symbols:
        units = result.positions[symbol].tolist()
        close = result.bars.frame("close")[symbol].tolist()
        before = False
        for t, held in enumerate(units):
            now = held != 0 and math.isnan(close[t])
            n_bars, n_spells, before = n_bars + now, n_spells + (now and not before), now
    return n_bars, n_spells


def naive_profit(result):
    """Profit, and what the best trade leaves of it."""
    pnl = result.trades["pnl"].tolist()
    profit = float(result.equity.iloc[-1]) - result.cash_start
    return profit, profit - max(pnl, default=0.0), len(pnl)


def naive_extremes(result):
    """Fills at the best price of their bar, fills whose bar has one, and how many of them chance would give."""
    bars, n_bars = result.bars, len(result.equity)
    index = {label: t for t, label in enumerate(bars.index)}
    first = bars.open if result.settings["fill"] == "next_open" else bars.close
    n_best, n_judged, by_chance = 0, 0, 0.0

    def near(price, t, i):
        return (bars.instruments[i].tick or 0.0) * (1 + 1e-6) / bars.factor[t, i] + 1e-9 * price

    def at_best(price, t, i, *, buys):
        room = near(price, t, i)
        return price <= bars.low[t, i] + room if buys else price >= bars.high[t, i] - room

    for f in result.fills.itertuples():
        t, i = index[f.time], bars.symbols.index(f.symbol)
        if f.kind in {"delisted", "ruin"} or bars.high[t, i] - bars.low[t, i] <= 2 * near(f.reference, t, i):
            continue
        n_judged += 1
        n_best += at_best(f.reference, t, i, buys=f.quantity > 0)
        hits = [
            at_best(first[k, i], k, i, buys=f.quantity > 0)
            for k in range(n_bars)
            if bars.high[k, i] - bars.low[k, i] > 2 * near(first[k, i], k, i)
        ]
        by_chance += sum(hits) / len(hits)
    return n_best, n_judged, by_chance


def naive_waits(result):
    """Fills that made a position smaller at the first bar after some without a price, decided before or protective."""
    index = {label: t for t, label in enumerate(result.bars.index)}
    close, positions, orders = result.bars.frame("close"), result.positions, result.orders
    n = 0
    for f in result.fills.itertuples():
        t = index[f.time]
        if f.kind in {"delisted", "ruin"} or t == 0:
            continue
        held = positions[f.symbol].iloc[t - 1]
        decided = index[orders["time"].iloc[f.order]] if f.kind == "order" else -1
        n += held * f.quantity < 0 and math.isnan(close[f.symbol].iloc[t - 1]) and decided < t
    return n
