"""Markets made by hand, and random runs with every option, for the tests of the engine."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oracle.engine import Twin
from quantlab.bars import Bars
from quantlab.costs import Costs, Interest
from quantlab.engine.backtest import backtest
from quantlab.model import Instrument
from quantlab.schedules import CommissionRow, Schedule, Tier
from quantlab.sizing import Account, Sizing

DAY_NS = 86_400_000_000_000
FIRST_DAY = 19_724
"""2024-01-02, a Tuesday."""


def hand_bars(prices, *, days=None, factor=None, instruments=None, meta=None):
    """Daily bars from lists by symbol: ``(open, close)``, one number for both, or None for no bar.

    `days` are session dates as days since 1970 (consecutive ones if left out), `factor` a list by symbol.
    """
    n_bars = len(next(iter(prices.values())))
    open_, close = np.full((2, n_bars, len(prices)), np.nan)
    for i, column in enumerate(prices.values()):
        for t, price in enumerate(column):
            if price is not None:
                open_[t, i], close[t, i] = price if isinstance(price, tuple) else (price, price)
    session = np.arange(n_bars) + FIRST_DAY if days is None else np.asarray(days)
    return Bars(
        time=(session + 1) * DAY_NS,
        session=session,
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        volume=np.where(np.isnan(close), np.nan, 1000.0),
        factor=None if factor is None else np.column_stack([np.asarray(factor[s], float) for s in prices]),
        instruments=instruments or [Instrument(s) for s in prices],
        bar_size="1 day",
        meta=meta or {},
    )


TIERED = Schedule(
    "tiers that a small order crosses",
    (
        CommissionRow(
            None,
            (Tier(per_unit=0.05, minimum=1.0, up_to=100.0), Tier(per_unit=0.01, rate=0.001, minimum=0.5)),
            "made up",
        ),
        CommissionRow("2024-02-01", (Tier(per_unit=0.1),), "made up", cap=0.01, unit_fee=0.002, share=0.1),
    ),
)


class RandomRun:
    """One market, one target, every option; the engine and its twin run it when asked."""

    def __init__(self, bars, target, cash, risk_free, options):
        self.bars, self.target, self.cash, self.risk_free = bars, target, cash, risk_free
        self.options = options

    def __repr__(self):
        columns = ("session", "open", "close", "factor")
        arrays = {"target": self.target} | {c: getattr(self.bars, c) for c in columns}
        shown = "".join(f"\n{k}={v.tolist()}" for k, v in arrays.items())
        instruments = [(x.multiplier, x.tick, x.lot) for x in self.bars.instruments]
        return f"cash={self.cash}, rf={self.risk_free}, {self.options}, {instruments=}{shown}"

    @cached_property
    def result(self):
        return backtest(self.target, self.bars, cash=self.cash, risk_free=self.risk_free, **self.options)

    @cached_property
    def twin(self):
        o = self.options
        return Twin(self.bars, self.target, self.cash, o["costs"], o["sizing"], o["account"], o["fill"]).run()


@st.composite
def markets(draw, max_bars=24, max_assets=3):
    """Bars with gaps, holes, late listings, delistings, crashes, adjusted prices, ticks, lots, multipliers."""
    n, m = draw(st.integers(1, max_bars)), draw(st.integers(1, max_assets))
    percent = st.one_of(st.integers(-8, 8), st.integers(-8, 8), st.sampled_from([-95, -60, 0, 150]))
    moves = draw(hnp.arrays(np.int64, (n, m), elements=percent)) / 100
    gaps = draw(hnp.arrays(np.int64, (n, m), elements=st.integers(-5, 5))) / 100
    first = np.array([draw(st.sampled_from([5.0, 10.5, 100.0])) for _ in range(m)])
    close = np.round(first * np.cumprod(1 + moves, axis=0), 2).clip(0.5, 1e5)
    open_ = np.round(np.vstack([close[:1], close[:-1]]) * (1 + gaps), 2).clip(0.5)
    gone = draw(st.sampled_from([0, 1])) * (
        draw(hnp.arrays(np.int64, (n, m), elements=st.integers(0, 5))) == 5
    )
    gone = gone.astype(bool)
    for i in range(m):
        gone[: draw(st.sampled_from([0, 0, 0, n // 3, n // 2])), i] = True
        gone[n - draw(st.sampled_from([0, 0, 0, n // 3, 1])) :, i] = True
    factor = None
    if draw(st.booleans()) and draw(st.booleans()):
        steps = draw(hnp.arrays(float, (n, m), elements=st.sampled_from([1.0, 1.0, 1.0, 1.01, 2.0, 0.5])))
        factor = np.cumprod(steps[::-1], axis=0)[::-1]
        open_, close = open_ / factor, close / factor
    open_, close = np.where(gone, np.nan, open_), np.where(gone, np.nan, close)
    session = (
        FIRST_DAY + 20 + np.cumsum(draw(hnp.arrays(np.int64, n, elements=st.sampled_from([1, 1, 1, 3, 20]))))
    )
    instruments = [
        Instrument(
            "ABC"[i],
            multiplier=draw(st.sampled_from([1.0, 1.0, 10.0])),
            tick=draw(st.sampled_from([None, None, 0.01, 0.25])),
            lot=draw(st.sampled_from([1.0, 1.0, 5.0, 0.1])),
        )
        for i in range(m)
    ]
    return Bars(
        time=(session + 1) * DAY_NS,
        session=session,
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        volume=np.where(gone, np.nan, 1000.0),
        factor=factor,
        instruments=instruments,
        bar_size="1 day",
    )


@st.composite
def targets(draw, shape):
    """Targets with reversals, NaN, and stretches in which they stand."""
    levels = st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.5, 0.3, np.nan])
    target = draw(hnp.arrays(float, shape, elements=levels))
    stands = draw(hnp.arrays(bool, shape))
    for t in range(1, shape[0]):
        target[t] = np.where(stands[t], target[t - 1], target[t])
    return target


def sizings():
    """Every way to size."""
    rules = {
        "price": st.sampled_from(["decision", "decision", "fill"]),
        "rebalance": st.sampled_from(["on_change", "on_change", "every_bar", 0.05, 0.2]),
        "whole_units": st.sampled_from([True, True, False]),
        "max_leverage": st.sampled_from([1.0, 1.0, 0.5, 2.0, 10.0]),
    }
    return st.one_of(
        st.builds(Sizing, allocation=st.sampled_from(["equal", 0.5, 1.0, 2.0]), **rules),
        st.builds(Sizing, allocation=st.sampled_from(["equal", 0.5, 1.0, 2.0]), **rules),
        st.builds(Sizing, fixed_units=st.sampled_from([1.0, 7.0, 50.0]), **rules),
        st.builds(Sizing, fixed_value=st.sampled_from([100.0, 2500.0]), **rules),
    )


@st.composite
def cost_models(draw, kinds=None):
    """Every kind of cost, or of these `kinds`."""
    more = {
        "slippage_bps": draw(st.sampled_from([0.0, 5.0, 50.0])),
        "spread_bps": draw(st.sampled_from([0.0, 10.0])),
        "borrow": draw(st.sampled_from([0.0, 0.05])),
        "interest": draw(
            st.sampled_from([None, Interest(0.04, credit_free=100.0, full_credit_equity=5000.0)])
        ),
    }
    makers = {
        "zero": Costs.zero,
        "market": lambda: Costs.zero().replace(**more),
        "percent": lambda: Costs.percent(0.001, **more),
        "per share": lambda: Costs.per_share(0.005, minimum=1.0, cap=0.01, **more),
        "small": lambda: Costs.per_share(0.01, minimum=2.0),
        "fixed": lambda: Costs.ibkr_fixed(**more),
        "tiers": lambda: Costs(commission=TIERED, **more),
    }
    return makers[draw(st.sampled_from(kinds or list(makers)))]()


ACCOUNTS = (Account.margin(), Account.margin(0.25), Account.margin(1.0), Account.cash(), Account.cash(0.05))


@st.composite
def random_runs(draw, max_bars=24, max_assets=3, **fixed):
    """Draw a run; `fixed` sets options (``sizing=...``, ``fill=...``) instead of drawing them."""
    bars = draw(markets(max_bars, max_assets))
    drawn = {
        "costs": cost_models(),
        "sizing": sizings(),
        "account": st.sampled_from(ACCOUNTS),
        "fill": st.sampled_from(["next_open", "next_open", "next_close", "close"]),
    }
    options = {k: fixed[k] if k in fixed else draw(v) for k, v in drawn.items()}
    return RandomRun(
        bars,
        draw(targets(bars.shape)),
        draw(st.sampled_from([1000.0, 5000.0, 100_000.0])),
        draw(st.sampled_from([0.0, 0.02])),
        options,
    )
