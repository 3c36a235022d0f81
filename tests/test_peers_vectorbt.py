"""vectorbt and the engine on thousands of random price paths: the same orders, prices, costs, cash and equity.

Each column of a batch is a case of its own: 60 bars, random entries and exits, levels that change from bar to bar and
are missing at some. vectorbt simulates a batch in one call, the engine each column by itself (or all columns of one
account together). What is left out, since the two mean different things:

- A bar that opens beyond the target and then reaches the stop: the engine sells at the open (step b of docs/fills.md),
  vectorbt tests the stop against the whole bar first. No bar here moves more than `REACH` from its open, and levels lie
  further apart than that. (With fills at the open this is compared: vectorbt gets two rows a bar, see `_rows`.)
- A protective exit at the very price and time at which a reversal was decided to fill: vectorbt has one order a row,
  and drops the reversal. Such a case is compared up to that bar, and counted as cut.
- Slippage with targets: vectorbt has it on both kinds of levels or on none, the engine on stops, and on targets at the
  open. Targets with slippage are compared where no bar opens away from the close before it.
- A stop-loss and a trailing stop at once, ladders, time stops, entries at a price: vectorbt has none of them.
- A touch of a target: prices are continuous, so none happens (the engine wants the price to go through it).
- A run that ends in ruin: vectorbt goes on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.kernels.fill import STOP_LOSS, TAKE_PROFIT, TRAILING_STOP
from quantlab.levels import Distance
from quantlab.model import Instrument
from quantlab.signal import Signal
from quantlab.signals import latch
from quantlab.sizing import Sizing

vbt = pytest.importorskip("vectorbt")

N_BARS, N_CASES, ASSETS = 60, 48, 4
CASH = 100_000.0
REACH = 0.04
KINDS = {STOP_LOSS: "stops", TAKE_PROFIT: "targets", TRAILING_STOP: "trailing stops"}

# A batch that fails says so by case and bar; hypothesis would shrink all of its cases at a time.
batches = settings(
    suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)

SIZINGS = {
    "all in": (Sizing(allocation=1.0, price="fill", whole_units=False), {}),
    "all in, whole": (Sizing(allocation=1.0, price="fill"), {"size_granularity": 1.0}),
    "share": (Sizing(allocation=0.6, price="fill", whole_units=False), {"size": 0.6, "size_type": "percent"}),
    "units": (Sizing.units(137), {"size": 137.0}),
    "parts of units": (Sizing.units(20.75, whole_units=False), {"size": 20.75}),
    "value": (Sizing.value(7_000, whole_units=False), {"size": 7_000.0, "size_type": "value"}),
}
PROTECTION = (
    "none", "stop", "trail", "target", "stop or trail", "stop and target", "trail and target",
)  # fmt: skip
ONE_SIDE = ("longonly", "shortonly")


class Market(NamedTuple):
    """Prices, each of shape (n_bars, n_cases)."""

    open: Any
    high: Any
    low: Any
    close: Any


@dataclass(frozen=True)
class Batch:
    """What all columns of a call have in common."""

    seed: int
    fill: str
    sides: str
    stop: bool
    trail: bool
    target: bool
    stop_from: str
    by_distance: bool
    sizing: str
    rate: float
    slippage: float
    gaps: bool


@st.composite
def batch_of(draw, fill, kind, sizings=tuple(SIZINGS)):
    stop, trail, target = ("stop" in kind), ("trail" in kind), ("target" in kind)
    gaps = not target or stop or trail or draw(st.booleans())
    slippage = draw(st.sampled_from([0.0, 0.0005, 0.004])) if not target or not gaps else 0.0
    sizing = draw(st.sampled_from(sizings))
    # vectorbt refuses to reverse a share of cash.
    sides = draw(st.sampled_from(ONE_SIDE if sizing == "share" else (*ONE_SIDE, "both", "with exits")))
    # vectorbt has one reference for all levels of an entry, and a trailing stop starts from the fill.
    from_fill = trail and target
    # The next close may be past a target that was measured from this one, and so is the open that follows.
    from_fill = from_fill or (target and slippage > 0.0 and fill == "next_close")
    stop_from = "fill" if from_fill else draw(st.sampled_from(["decision", "fill"]))
    return Batch(
        seed=draw(st.integers(0, 2**32 - 1)),
        fill=fill,
        sides=sides,
        stop=stop,
        trail=trail,
        target=target,
        stop_from=stop_from,
        by_distance=stop_from == "decision" and draw(st.booleans()),
        sizing=sizing,
        rate=draw(st.sampled_from([0.0, 0.0005, 0.01])),
        slippage=slippage,
        gaps=gaps,
    )


# -- what is made up ---------------------------------------------------------------------------------------


def random_market(rng, *, gaps=True):
    """Bars that open away from the close before, or at it, and move at most `REACH` from their open."""
    shape = (N_BARS, N_CASES)
    gap, body = (np.clip(rng.normal(0.0, 0.018, shape), -limit, limit) for limit in (0.06, 0.035))
    up, down = rng.exponential(0.012, (2, *shape))
    close = 50.0 * np.exp(np.cumsum(body + gap * gaps, axis=0))
    opens = close / np.exp(body)
    high = np.minimum(np.maximum(opens, close) * (1.0 + up), opens * (1.0 + REACH))
    low = np.maximum(np.minimum(opens, close) * (1.0 - down), opens * (1.0 - REACH))
    return Market(opens, high, low, close)


def random_signals(rng, sides):
    """Entries and exits, long and short: at most one of them a bar."""
    event = rng.choice(5, (N_BARS, N_CASES), p=[0.6, 0.15, 0.05, 0.15, 0.05])
    if sides in ONE_SIDE:
        event = np.select([event % 2 == 1, event > 0], [1, 2], 0)
        event = np.where((sides == "shortonly") & (event > 0), event + 2, event)
    if sides == "both":
        event = np.where(event % 2 == 1, event, 0)
    return [event == k for k in range(1, 5)]


def random_levels(rng, batch):
    """Fractions of the stop-loss, the trailing stop and the target at each bar; NaN is none."""
    shape = (N_BARS, N_CASES)
    nothing = np.full(shape, np.nan)
    stop = 0.03 + 0.05 * rng.random(shape) ** 3 if batch.stop else nothing
    trail = rng.uniform(REACH + 0.002 if batch.target else 0.015, 0.1, shape) if batch.trail else nothing
    target = 0.02 + 0.06 * rng.random(shape) ** 3 if batch.target else nothing
    if batch.stop and batch.trail:  # one of them at a time
        trails = rng.random(shape) < 0.5
        stop, trail = np.where(trails, np.nan, stop), np.where(trails, trail, np.nan)
    missing = rng.random((3, *shape)) < 0.1
    return [np.where(gone, np.nan, level) for gone, level in zip(missing, (stop, trail, target), strict=True)]


def bars_of(market, columns):
    n_bars, n_assets = market.close[:, columns].shape
    return Bars(
        time=np.arange(1, n_bars + 1) * 86_400_000_000_000,
        session=np.arange(n_bars),
        volume=np.full((n_bars, n_assets), 1e6),
        instruments=tuple(Instrument(f"S{i}") for i in range(n_assets)),
        bar_size="1 day",
        **{name: prices[:, columns] for name, prices in market._asdict().items()},
    )


# -- the two engines ---------------------------------------------------------------------------------------


def our_run(batch, market, signals, levels, columns):
    """Run some columns of a batch, as assets of one account, through the engine."""
    events, close = [x[:, columns] for x in signals], market.close[:, columns]
    stop, trail, target = (x[:, columns] for x in levels)

    def level(fractions):
        return Distance(fractions * close) if batch.by_distance else fractions

    signal = Signal(
        latch(*events),
        entry=events[0] | events[2],
        stop_loss=level(stop) if batch.stop else None,
        trailing_stop=trail if batch.trail else None,
        take_profit=level(target) if batch.target else None,
        stop_from=batch.stop_from,
    )
    half = batch.slippage / 2.0  # of slippage and of the spread, which vectorbt knows as one
    costs = Costs.percent(batch.rate, slippage_bps=half * 1e4, spread_bps=2.0 * half * 1e4)
    sizing, _ = SIZINGS[batch.sizing]
    return backtest(signal, bars_of(market, columns), cash=CASH, costs=costs, sizing=sizing, fill=batch.fill)


def _later(values, first):
    """Values of the bar before."""
    return np.concatenate((np.full_like(values[:1], first), values[:-1]))


def _rows(batch, market, signals, levels):
    """Tell vectorbt the fills: prices, signals and levels by row, and how many rows a bar has.

    At the close a row is a bar. At the next close signals and levels come from the bar before. At the next open a bar
    has two rows: the open alone, where orders fill and levels meet the open, and then the whole bar. The first has its
    extremes the wrong way around, so that only its open can reach a level, and nothing moves a trailing stop.
    """
    if batch.fill == "close":
        return market, signals, levels, market.close, market.close, 1
    signals, levels = [_later(x, first=False) for x in signals], [_later(x, np.nan) for x in levels]
    decided = np.vstack([market.open[:1], market.close[:-1]])
    if batch.fill == "next_close":
        return market, signals, levels, market.close, decided, 1

    def pairs(first, second):
        return np.stack((np.broadcast_to(first, second.shape), second), axis=1).reshape(-1, second.shape[1])

    first = (market.open, 1e-9, 1e9, market.open)
    rows = Market(*(pairs(*x) for x in zip(first, market, strict=True)))
    return (
        rows,
        [pairs(x, np.zeros_like(x)) for x in signals],
        [pairs(x, np.full_like(x, np.nan)) for x in levels],
        rows.close,
        pairs(decided, market.close),
        2,
    )


class Peer(NamedTuple):
    """What vectorbt did: orders by column, books by bar, and the first bar of each column that cannot be compared."""

    orders: Any
    cash: Any
    value: Any
    cut: Any


def their_run(batch, market, signals, levels, **account):
    rows, signals, levels, price, decided, per_bar = _rows(batch, market, signals, levels)
    stop, trail, target = levels
    trails = ~np.isnan(trail)
    from_fill = trails | (batch.stop_from == "fill")
    given = dict(zip(("entries", "exits", "short_entries", "short_exits"), signals, strict=True))
    if batch.sides != "with exits":
        entries, exits = {"longonly": (0, 1), "shortonly": (2, 3), "both": (0, 2)}[batch.sides]
        given = {"entries": signals[entries], "exits": signals[exits], "direction": batch.sides}
    portfolio = vbt.Portfolio.from_signals(
        pd.DataFrame(rows.close),
        open=rows.open,
        high=rows.high,
        low=rows.low,
        price=price,
        val_price=decided,
        sl_stop=np.where(trails, trail, stop),
        sl_trail=trails,
        tp_stop=target,
        stop_entry_price=np.where(from_fill, 2, 0),  # FillPrice, and ValPrice: that of the decision
        stop_exit_price="stoplimit" if batch.target else "stopmarket",
        fees=batch.rate,
        slippage=batch.slippage,
        init_cash=CASH,
        **SIZINGS[batch.sizing][1],
        **given,
        **account,
    )
    held = portfolio.assets().to_numpy()
    before = _later(held, 0.0)
    turned = ((signals[0] & (before < 0.0)) | (signals[2] & (before > 0.0))) & (held == 0.0)
    if batch.fill == "close":  # here the engine drops the reversal too (rule 30)
        turned[:] = False
    cut = np.where(turned.any(axis=0), turned.argmax(axis=0) // per_bar, N_BARS)
    return peer_of(portfolio, per_bar, cut)


def peer_of(portfolio, per_bar=1, cut=None):
    records = portfolio.order_records
    orders = np.rec.fromarrays(
        [
            records["col"],
            records["idx"] // per_bar,
            np.where(records["side"] == 0, records["size"], -records["size"]),
            records["price"],
            records["fees"],
        ],
        names="column,bar,quantity,price,commission",
    )
    cash, value = (x.to_numpy()[per_bar - 1 :: per_bar] for x in (portfolio.cash(), portfolio.value()))
    return Peer(orders, cash, value, cut)


# -- the comparison ----------------------------------------------------------------------------------------


def assert_same_orders(fills, theirs, cut, where):
    ours, theirs = fills[fills["bar"] < cut], theirs[theirs["bar"] < cut]
    assert ours["bar"].tolist() == theirs["bar"].tolist(), f"{where}: bars of orders\n{ours}\n{theirs}"
    for name in ("quantity", "price", "commission"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9, err_msg=f"{where}: {name}")


def assert_same_books(result, cash, value, cut, where):
    ours = result.cash.to_numpy()[:cut], result.equity.to_numpy()[:cut]
    for name, mine, theirs in zip(("cash", "equity"), ours, (cash, value), strict=True):
        np.testing.assert_allclose(
            mine, theirs[:cut], rtol=1e-9, atol=1e-9 * CASH, err_msg=f"{where}: {name}"
        )


def tally(fills):
    """Count what a case is a test of."""
    kinds = {name: int((fills["kind"] == kind).sum()) for kind, name in KINDS.items()}
    return Counter(kinds, orders=len(fills), doubtful=int(fills["doubtful"].sum()))


def made_up(batch):
    """Prices, signals and levels of a batch."""
    rng = np.random.default_rng(batch.seed)
    market = random_market(rng, gaps=batch.gaps)
    return market, random_signals(rng, batch.sides), random_levels(rng, batch)


def compare(batch, told=None):
    """Compare a batch, case by case; vectorbt may be told another one."""
    parts = made_up(batch)
    market, peer = parts[0], their_run(told or batch, *parts)
    seen = Counter()
    for j in range(N_CASES):
        result = our_run(batch, *parts, slice(j, j + 1))
        if result.ruined_at is not None:
            seen["ruined"] += 1
            continue
        cut, fills, where = peer.cut[j], result._records.fills, f"{batch}, column {j}"
        assert_same_orders(fills, peer.orders[peer.orders["column"] == j], cut, where)
        assert_same_books(result, peer.cash[:, j], peer.value[:, j], cut, where)
        seen["cases" if cut == N_BARS else "cut"] += 1
        opened = market.open[fills["bar"], j] == fills["reference"]
        seen["gaps"] += int((opened & (fills["kind"] != 0)).sum())
        seen += tally(fills)
    return seen


def compare_accounts(batch):
    """Compare accounts of four assets each; their costs, cash and equity are those of all four together."""
    parts = made_up(batch)
    groups = np.repeat(np.arange(N_CASES // ASSETS), ASSETS)
    peer = their_run(batch, *parts, group_by=groups, cash_sharing=True)
    seen = Counter()
    for g in range(N_CASES // ASSETS):
        columns = slice(g * ASSETS, (g + 1) * ASSETS)
        result, cut, where = our_run(batch, *parts, columns), peer.cut[columns].min(), f"{batch}, account {g}"
        fills = result._records.fills
        for i, column in enumerate(range(N_CASES)[columns]):
            theirs = peer.orders[peer.orders["column"] == column]
            assert_same_orders(fills[fills["asset"] == i], theirs, cut, f"{where}, asset {i}")
        assert_same_books(result, peer.cash[:, g], peer.value[:, g], cut, where)
        seen["cases" if cut == N_BARS else "cut"] += 1
        seen += tally(fills)
    return seen


def explore(strategies, n_batches, compared=compare):
    """Compare random batches of each kind, and say what was seen."""
    seen = Counter()
    for strategy in strategies:

        @settings(batches, max_examples=n_batches)
        @given(strategy)
        def run(batch):
            seen.update(compared(batch))

        run()
    print(dict(seen))  # noqa: T201  # what a reader of the test asks for
    return seen


def batches_of(fill, **options):
    return [batch_of(fill, kind, **options) for kind in PROTECTION]


def test_vectorbt_has_the_same_stops_targets_and_trailing_stops_at_the_close():
    seen = explore(batches_of("close"), 6)
    assert seen["cases"] + seen["ruined"] == 6 * len(PROTECTION) * N_CASES
    assert seen["ruined"] < 10
    assert min(seen[k] for k in (*KINDS.values(), "gaps")) > 300
    assert seen["doubtful"] > 5


def test_vectorbt_has_the_same_protection_from_the_bar_of_the_entry_on_at_the_next_open():
    seen = explore(batches_of("next_open"), 6)
    assert seen["cases"] > 1_600
    assert min(seen[k] for k in (*KINDS.values(), "gaps")) > 300
    assert seen["doubtful"] > 5


def test_vectorbt_has_the_same_protection_when_orders_fill_at_the_next_close():
    seen = explore(batches_of("next_close"), 4)
    assert seen["cases"] > 800
    assert min(seen[k] for k in (*KINDS.values(), "gaps")) > 150


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_vectorbt_has_the_same_books_when_assets_share_an_account(fill):
    sizings = ("units", "parts of units", "value")
    seen = explore(batches_of(fill, sizings=sizings), 4, compare_accounts)
    assert seen["cases"] > 150
    assert min(seen[k] for k in KINDS.values()) > 150


def test_a_rate_that_is_off_by_a_millionth_is_found():
    batch = Batch(1, "close", "longonly", True, False, False, "fill", False, "all in", 0.01, 0.0, gaps=True)
    assert compare(batch)["cases"] == N_CASES
    with pytest.raises(AssertionError, match="quantity"):
        compare(batch, replace(batch, rate=0.01 * (1.0 + 1e-6)))


# Open, high, low and close after a close of 100: both buy there, with a stop-loss of 6.25 % and a target of 12.5 %.
@pytest.mark.parametrize(
    ("bar", "theirs", "ours"),
    [((114.0, 115.0, 93.0, 96.0), 93.75, 114.0), ((101.0, 112.5, 99.0, 105.0), 112.5, None)],
    ids=["a target passed by the open of a bar that reaches the stop", "a target that is touched"],
)
def test_what_is_left_out_differs_as_said(bar, theirs, ours):
    market = Market(*(np.array([[100.0], [x]]) for x in bar))
    prices = {name: x[:, 0] for name, x in market._asdict().items() if name != "close"}
    portfolio = vbt.Portfolio.from_signals(
        pd.Series(market.close[:, 0]), [True, False], sl_stop=0.0625, tp_stop=0.125, **prices
    )
    signal = Signal(np.ones(2), stop_loss=0.0625, take_profit=0.125)
    result = backtest(signal, bars_of(market, slice(0, 1)), costs=Costs.zero(), fill="close")
    assert portfolio.order_records["price"].tolist() == [100.0, theirs]
    assert result.fills["price"].tolist() == [100.0, *([] if ours is None else [ours])]


# -- market orders -----------------------------------------------------------------------------------------


@st.composite
def market_orders(draw):
    return {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "every_bar": draw(st.booleans()),
        "rate": draw(st.sampled_from([0.0, 0.0005, 0.01])),
        "slippage": draw(st.sampled_from([0.0, 0.0005, 0.004])),
    }


def compare_market_orders(fill, by_units, given):
    """Compare targets in steps of a half, in units or as a share of equity at the decision."""
    rng = np.random.default_rng(given["seed"])
    market = random_market(rng)
    target = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], market.close.shape)
    keep = rng.random(target.shape) < 0.7
    keep[0] = False
    rows = np.maximum.accumulate(np.where(keep, 0, np.arange(N_BARS)[:, None]), axis=0)
    target = np.take_along_axis(target, rows, axis=0)
    amount, kind = (150.0, "targetamount") if by_units else (0.5, "targetpercent")
    size = target * amount
    if not given["every_bar"]:
        size[(np.diff(target, axis=0, prepend=0.0) == 0.0)] = np.nan
    later = fill != "close"
    portfolio = vbt.Portfolio.from_orders(
        pd.DataFrame(market.close),
        size=_later(size, np.nan) if later else size,
        size_type=kind,
        price=market.open if fill == "next_open" else market.close,
        val_price=_later(market.close, np.nan) if later else market.close,
        fees=given["rate"],
        slippage=given["slippage"],
        init_cash=CASH,
    )
    peer = peer_of(portfolio)
    costs = Costs.percent(given["rate"], slippage_bps=given["slippage"] * 1e4)
    options = {"whole_units": False, "rebalance": "every_bar" if given["every_bar"] else "on_change"}
    sizing = Sizing.units(amount, **options) if by_units else Sizing(allocation=amount, **options)
    for j in range(N_CASES):
        bars = bars_of(market, slice(j, j + 1))
        result = backtest(target[:, j], bars, cash=CASH, costs=costs, sizing=sizing, fill=fill)
        where = f"{fill}, {given}, column {j}"
        theirs = peer.orders[peer.orders["column"] == j]
        assert_same_orders(result._records.fills, theirs, N_BARS, where)
        assert_same_books(result, peer.cash[:, j], peer.value[:, j], N_BARS, where)
    return Counter(cases=N_CASES, orders=len(peer.orders))


@pytest.mark.parametrize("by_units", [True, False])
@pytest.mark.parametrize("fill", ["close", "next_open", "next_close"])
def test_vectorbt_fills_the_same_market_orders(fill, by_units):
    seen = explore([market_orders()], 5, partial(compare_market_orders, fill, by_units))
    assert seen["cases"] == 5 * N_CASES
    assert seen["orders"] > 3_000
