"""Hand-made bars and signals, played by the engine or by its twin: for tests of one rule each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from oracle.cases import DAY_NS, FIRST_DAY
from oracle.inside import InsideTwin
from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.model import Instrument
from quantlab.signal import Signal
from quantlab.sizing import Account, Sizing

if TYPE_CHECKING:
    import pandas as pd

HOUR_NS = DAY_NS // 24
ORDER = [
    "bar", "asset", "target", "quantity", "decision_price", "status", "reason", "fill_bar", "fill_price", "type",
    "limit", "stop",
]  # fmt: skip
FILL = [
    "bar",
    "asset",
    "quantity",
    "price",
    "reference",
    "commission",
    "fees",
    "slippage",
    "spread",
    "kind",
    "doubtful",
]


@dataclass
class Played:
    """What came of one run; bars are numbers."""

    orders: pd.DataFrame
    fills: pd.DataFrame
    index: pd.DatetimeIndex

    @property
    def moves(self):
        """Bar, units and price of each fill."""
        bars = self.index.get_indexer(self.fills["time"]).tolist()
        prices = self.fills["price"].astype(float).round(9).tolist()
        return list(zip(bars, self.fills["quantity"].tolist(), prices, strict=True))

    @property
    def decided(self):
        """Bars at which each order was decided."""
        return self.index.get_indexer(self.orders["time"]).tolist()

    def column(self, name):
        """One column of the orders, without NaN."""
        return self.orders[name].dropna().tolist()


def candles(rows, *, sessions=None, factor=None, tick=None, lot=1.0, fine=False):
    """Bars of lists by symbol, or of one list: open / high / low / close, one number for all four, None for no bar.

    `sessions` are numbers of days from the first. Without them each bar is a day; bars of `fine` are one of the days
    `sessions` each, and end with it.
    """
    columns = rows if isinstance(rows, dict) else {"A": rows}
    whole = [
        [(np.nan,) * 4 if x is None else x if isinstance(x, tuple) else (x,) * 4 for x in column]
        for column in columns.values()
    ]
    prices = np.array(whole, float).transpose(1, 0, 2)
    days = np.arange(len(prices)) if sessions is None else np.asarray(sessions)
    if fine:
        left = np.array([(days[k:] == day).sum() - 1 for k, day in enumerate(days)])
        time = (days + FIRST_DAY + 1) * DAY_NS - left * HOUR_NS
    else:
        within = np.array([(days[:k] == day).sum() for k, day in enumerate(days)])
        time = (days + FIRST_DAY + 1) * DAY_NS + (0 if sessions is None else within * HOUR_NS)
    return Bars(
        time=time,
        session=days + FIRST_DAY,
        **{name: prices[:, :, k] for k, name in enumerate(("open", "high", "low", "close"))},
        volume=np.where(np.isnan(prices[:, :, 0]), np.nan, 1000.0),
        factor=None if factor is None else np.reshape(factor, (len(prices), 1)).astype(float),
        instruments=[Instrument(s, tick=tick, lot=lot) for s in columns],
        bar_size="1 day" if sessions is None else "1 hour",
    )


def by_engine(bars, signal, detail, options):
    result = backtest(signal, bars, detail=detail, **options)
    return Played(result.orders, result.fills, bars.index)


def by_twin(bars, signal, detail, options):
    twin = InsideTwin(bars, np.asarray(signal.target, float), **options, signal=signal, detail=detail).run()
    return Played(twin.frame(twin.orders, ORDER), twin.frame(twin.fills, FILL), bars.index)


def player(how):
    """Make a function that plays bars; 10 units for a target of 1, and no cost, unless something else is given."""

    def play(rows, target=1.0, *, units=10.0, slippage=0.0, detail=None, **given):
        of_bars = {k: given.pop(k) for k in ("sessions", "factor", "tick", "lot") if k in given}
        options = {
            "cash": given.pop("cash", 100_000.0),
            "costs": given.pop("costs", Costs.zero().replace(slippage_bps=slippage * 10_000)),
            "sizing": given.pop("sizing", Sizing.units(units, max_leverage=10.0)),
            "account": given.pop("account", Account.margin()),
            "fill": given.pop("fill", "next_open"),
        }
        bars = candles(rows, **of_bars)
        if detail is not None:
            days = [day for day, part in enumerate(detail) for _ in part]
            detail = candles([row for part in detail for row in part], sessions=days, fine=True)
        given = {k: _column(v, bars.shape) for k, v in given.items()}
        wanted = np.array(np.broadcast_to(_column(target, bars.shape), bars.shape), float)
        return how(bars, Signal(wanted, **given), detail, options)

    return play


def _column(values, shape):
    """Lists are columns of one asset; anything else stays."""
    return np.reshape(np.asarray(values, float), (shape[0], 1)) if isinstance(values, list) else values
