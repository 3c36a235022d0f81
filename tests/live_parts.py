"""Parts of live tests: terms, small bundles, and entries as a run writes them."""

from __future__ import annotations

import numpy as np

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.live.book import order_ref
from quantlab.live.bundle import Terms
from quantlab.live.journal import Entry
from quantlab.live.promote import promote
from quantlab.live.risk import Limits
from quantlab.model import Instrument
from quantlab.sizing import Account, Sizing

WIDE = Limits(1e9, 1e9, 1e9, 100_000, 1e9)
"""Limits that nothing reaches."""

STRATEGY = '''\
"""Long while the close is above that of some bars ago."""

import quantlab as ql
from quantlab.signals import roc


@ql.strategy(days=range(2, 10))
def above(bars, days=3):
    """Long while the close is above that of some bars ago."""
    return roc(bars.close, days) > 0.0
'''

BUSY = '''\
import quantlab as ql
from quantlab.signals import sma


@ql.strategy
def busy(bars, fast=1, slow=3):
    """With every move, both ways."""
    return (sma(bars.close, fast) > sma(bars.close, slow)) * 2.0 - 1.0
'''

BRACKETS = '''\
import numpy as np

import quantlab as ql
from quantlab.signals import sma


@ql.strategy
def brackets(bars, fast=1, slow=3):
    """With every move, both ways, each position with a stop, a target and a trailing stop."""
    ways = np.where(sma(bars.close, fast) > sma(bars.close, slow), 1.0, -1.0)
    again = (np.arange(bars.n_bars)[:, None] % 2 == 0) & np.ones(bars.n_assets, bool)
    levels = {"stop_loss": 0.02, "take_profit": 0.02, "trailing_stop": ql.Distance(0.877)}
    return ql.Signal(ways, entry=again, time_stop=4, **levels)
'''

BIDS = '''\
import numpy as np

import quantlab as ql


@ql.strategy
def bids(bars, discount=0.01, days=3):
    """Bid below every close, anew at each; every position with a stop and a time limit."""
    target = np.ones(bars.shape)
    again = np.ones(bars.shape, bool)
    limit = bars.close * (1.0 - discount)
    return ql.Signal(target, entry=again, limit=limit, stop_loss=ql.AtrMultiple(0.5, 5), time_stop=days)
'''


def terms(**changes):
    """Wide terms of 100,000, with changes."""
    given = {
        "cash": 100_000.0,
        "costs": Costs.default(),
        "sizing": Sizing(),
        "account": Account.margin(),
        "limits": WIDE,
        "join": "next_entry",
    }
    return Terms(**{**given, **changes})


def walk(n_bars=120, symbols=("A", "B"), *, seed=7, calendar="XNYS", day="2012-01-03", hole=None):
    """Daily bars of a random walk on real sessions, whole cents and whole volumes."""
    from quantlab.data.sessions import sessions_between

    first = int(np.datetime64(day, "D").astype(np.int64))
    sessions = sessions_between(calendar, first, first + 2 * n_bars + 30)
    rng = np.random.default_rng(seed)
    n = len(symbols)
    close = np.round(50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (n_bars, n)), axis=0)), 2)
    opened = np.round(np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0.0, 0.005, (n_bars, n))), 2)
    spread = np.round(np.abs(rng.normal(0.0, 0.3, (n_bars, n))), 2)
    high, low = (
        np.round(np.maximum(opened, close) + spread, 2),
        np.round(np.minimum(opened, close) - spread, 2),
    )
    volume = rng.integers(10_000, 90_000, (n_bars, n)).astype(float)
    if hole is not None:
        for array in (opened, high, low, close, volume):
            array[hole] = np.nan
    return Bars(
        time=sessions.close[:n_bars].copy(),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        session=sessions.day[:n_bars].copy(),
        instruments=tuple(Instrument(s, tick=0.01) for s in symbols),
        bar_size="1 day",
        meta={"calendar": calendar, "source": {"kind": "made"}},
    )


def make_bundle(folder, bars, *, source=STRATEGY, params=None, cuts=8, **changes):
    """Promote a strategy given as text."""
    from quantlab.engine.loader import load_strategy

    file = folder / "idea.py"
    file.write_text(source, encoding="utf-8")
    bundle, _ = promote(
        load_strategy(str(file)), bars, params, terms=terms(**changes), out=folder / "bundle", cuts=cuts
    )
    return bundle


BUNDLE = "0123456789abcdef"
BAR = 1_331_845_200_000_000_000


def intent(symbol="A", quantity=10.0, order_id=5, time_ns=BAR, before=0.0):
    """An order about to be sent."""
    ref = order_ref(BUNDLE, time_ns, symbol)
    body = {
        "ref": ref,
        "symbol": symbol,
        "quantity": quantity,
        "order_id": order_id,
        "client_id": 1,
        "bar_time_ns": time_ns,
        "session": time_ns // 86_400_000_000_000,
        "before": before,
        "order_type": "MKT",
    }
    return Entry("intent", body, ref)


def execution(symbol="A", quantity=10.0, price=50.0, exec_id="0001.0001.01.01", time_ns=BAR):
    """A fill of the order of `intent`."""
    body = {
        "exec_id": exec_id,
        "ref": order_ref(BUNDLE, time_ns, symbol),
        "symbol": symbol,
        "quantity": quantity,
        "price": price,
        "time_ns": time_ns + 1,
        "order_id": 5,
        "perm_id": 77,
    }
    return Entry("execution", body, exec_id)


def commission(amount=1.0, exec_id="0001.0001.01.01"):
    """What a fill cost."""
    return Entry("commission", {"exec_id": exec_id, "amount": amount, "currency": "USD"}, exec_id)
