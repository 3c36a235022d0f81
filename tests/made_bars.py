"""Bars made up for tests. Imports little: killed writers start with it."""

from __future__ import annotations

import numpy as np

from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import DAY_NS, BarSize
from quantlab.model import Instrument

MINUTE = 60_000_000_000


def make_bars(
    n_bars=6,
    symbols=("A", "B"),
    bar_size="1 day",
    *,
    seed=0,
    holes=0.0,
    first_day=12_000,
    per_session=1,
    scale=0.02,
    **more,
):
    rng = np.random.default_rng(seed)
    shape = (n_bars, len(symbols))
    close = 50 * np.exp(np.cumsum(rng.normal(0, scale, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, scale / 2, shape))
    high = np.maximum(open_, close) * 1.01
    low = np.minimum(open_, close) * 0.99
    volume = rng.integers(1, 1000, shape).astype(float)
    gone = rng.random(shape) < holes
    for column in (open_, high, low, close, volume):
        column[gone] = np.nan
    session = first_day + np.arange(n_bars) // per_session
    size = BarSize.parse(bar_size)
    within = np.arange(n_bars) % per_session
    time = session * DAY_NS + (
        15 * 60 * MINUTE + (within + 1) * size.duration_ns if size.intraday else DAY_NS
    )
    return Bars(
        time=time,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        session=session,
        instruments=tuple(Instrument(s) for s in symbols),
        bar_size=bar_size,
        **more,
    )


def columns_of(bars):
    return {c: np.array(getattr(bars, c)) for c in ("time", "session", *COLUMNS)}


def rebuilt(bars, **changed):
    return Bars(**{**columns_of(bars), "instruments": bars.instruments, "bar_size": bars.bar_size, **changed})
