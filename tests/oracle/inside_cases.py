"""Random runs with orders inside the bar: markets with real highs and lows, and signals that ask for everything.

Numbers come from a generator with a drawn seed, for a run holds thousands of them. Two kinds of market: on a coarse
grid of halves with fractions that are powers of two, where every level is exact and prices often sit on it; and with
cents and odd fractions, where ticks and factors move levels about.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from hypothesis import strategies as st

from oracle.cases import ACCOUNTS, DAY_NS, FIRST_DAY, cost_models, sizings
from oracle.inside import InsideTwin
from quantlab.bars import Bars
from quantlab.engine.backtest import backtest
from quantlab.levels import AtrMultiple, Distance, Ladder
from quantlab.model import Instrument
from quantlab.signal import Signal
from quantlab.sizing import Account, Sizing

MINUTE_NS = 60_000_000_000
SHARES = ((1.0,), (0.5, 0.5), (0.5, 0.3), (0.25, 0.25, 0.25, 0.25), (0.3, 0.3, 0.3), (0.1, 0.2), (0.6,))


class InsideRun:
    """One market, one signal, every option; the engine and its twin run it when asked."""

    def __init__(self, bars, detail, signal, cash, risk_free, options):
        self.bars, self.detail, self.signal = bars, detail, signal
        self.cash, self.risk_free, self.options = cash, risk_free, options

    def __repr__(self):
        instruments = [(x.multiplier, x.tick, x.lot) for x in self.bars.instruments]
        asked = {k: v for k, v in vars(self.signal).items() if v is not None}
        shown = "".join(f"\n{k}={_shown(v)}" for k, v in asked.items())
        for name, bars in (("bars", self.bars), ("detail", self.detail)):
            columns = ("time", "session", "open", "high", "low", "close", "factor")
            if bars is not None:
                shown += "".join(f"\n{name}.{c}={getattr(bars, c).tolist()}" for c in columns)
        return f"cash={self.cash}, rf={self.risk_free}, {self.options}, {instruments=}{shown}"

    @cached_property
    def result(self):
        given = {"cash": self.cash, "risk_free": self.risk_free, "detail": self.detail}
        return backtest(self.signal, self.bars, **given, **self.options)

    @cached_property
    def twin(self):
        return self.run_twin(self.detail)

    def run_twin(self, detail):
        o, target = self.options, np.asarray(self.signal.target, float)
        asked = {"signal": self.signal, "detail": detail}
        return InsideTwin(
            self.bars, target, self.cash, o["costs"], o["sizing"], o["account"], o["fill"], **asked
        ).run()


def _shown(value):
    if isinstance(value, Distance):
        return f"Distance({_shown(value.values)})"
    if isinstance(value, Ladder):
        return f"Ladder({', '.join(f'({_shown(level)}, {share})' for level, share in value.rungs)})"
    return value.tolist() if isinstance(value, np.ndarray) else value


class Maker:
    """Numbers of one market and one signal, from one seed."""

    def __init__(self, seed, *, exact, n_bars, n_assets):
        self.rng = np.random.default_rng(seed)
        self.exact, self.n_bars, self.n_assets = exact, n_bars, n_assets

    def pick(self, values, shape=None):
        """Random choice, as a plain number where no shape is given."""
        found = self.rng.choice(np.asarray(values, float), shape)
        return float(found) if shape is None else found

    def rounded(self, prices):
        """Prices as they are quoted in this market."""
        if self.exact:
            return np.round(np.asarray(prices) * 2).clip(1) / 2
        return np.round(prices, 2).clip(0.5)

    # -- market -------------------------------------------------------------------------------------------

    def times(self, *, intraday, fine):
        """Times and sessions of the bars, and the same of the `fine` ones of each of them."""
        steps = [0, 0, 0, 1, 3] if intraday else [1, 1, 1, 3, 20]
        session = FIRST_DAY + 20 + np.cumsum(self.rng.choice(steps, self.n_bars))
        within = np.array([k - np.flatnonzero(session == s)[0] for k, s in enumerate(session)])
        close = session * DAY_NS + (600 + (within + 1) * 30) * MINUTE_NS
        back = [(f - 1 - np.arange(f)) * 5 * MINUTE_NS for f in fine]
        times = np.concatenate([c - b for c, b in zip(close, back, strict=True)])
        return close, session, times, np.repeat(session, fine)

    def walk(self, n):
        """Open, high, low and close of n fine bars of one asset."""
        rows, last = [], self.pick([16.0, 32.0, 48.0] if self.exact else [5.0, 10.5, 100.0])
        for _ in range(n):
            jump = self.pick([0.0, 0.0, 0.0, *range(-5, 6)]) / 100
            move = self.pick([-60, 150] if self.rng.random() < 0.005 else range(-8, 9)) / 100
            open_ = self.rounded(last * (1 + jump))
            last = self.rounded(min(open_ * (1 + move), 1e5))
            wicks = self.pick([0.0, 0.0, 1.0, 3.0, 7.0], 2) / 100
            high = max(open_, last, self.rounded(max(open_, last) * (1 + wicks[0])))
            low = min(open_, last, self.rounded(min(open_, last) * (1 - wicks[1])))
            rows.append((open_, high, low, last))
        return np.array(rows, float)

    def holes(self):
        """Where assets have no bar: single holes, late listings, early ends."""
        n, m = self.n_bars, self.n_assets
        gone = self.rng.random((n, m)) < self.pick([0.0, 0.15])
        for i in range(m):
            gone[: int(self.pick([0, 0, 0, n // 3])), i] = True
            gone[n - int(self.pick([0, 0, 0, n // 3, 1])) :, i] = True
        return gone

    def market(self, *, intraday):
        """Bars, and the finer bars that they are made of."""
        n, m = self.n_bars, self.n_assets
        fine = self.rng.integers(1, 4, n)
        ends = np.cumsum(fine)
        close, session, times, sessions = self.times(intraday=intraday, fine=fine)
        gone = self.holes()
        steps = [1.0, 1.0, 1.0, 2.0, 0.5] if self.exact else [1.0, 1.0, 1.0, 1.01, 2.0, 0.5]
        factor = np.ones((n, m))
        if self.rng.random() < 0.3:
            # Bounded, or a tick comes to more than a price.
            factor = np.cumprod(self.pick(steps, (n, m)), axis=0).clip(0.5, 4.0)
        walks = np.stack([self.walk(ends[-1]) for _ in range(m)], axis=1)
        walks[np.repeat(gone, fine, axis=0)] = np.nan
        parts = np.split(walks, ends[:-1])
        whole = np.stack(
            [
                np.stack([p[0, :, 0], p[:, :, 1].max(axis=0), p[:, :, 2].min(axis=0), p[-1, :, 3]], axis=-1)
                for p in parts
            ]
        )
        instruments = [
            Instrument(
                "ABCD"[i],
                multiplier=self.pick([1.0, 1.0, 10.0]),
                tick=[None, None, 0.25 if self.exact else 0.01, 0.5][self.rng.integers(4)],
                lot=self.pick([1.0, 1.0, 1.0, 5.0, 0.1]),
            )
            for i in range(m)
        ]
        bars = _bars(whole, close, session, factor, instruments, "30 mins" if intraday else "1 day")
        return bars, _bars(walks, times, sessions, np.repeat(factor, fine, axis=0), instruments, "5 mins")

    # -- signal -------------------------------------------------------------------------------------------

    def target(self):
        """Targets that stand most of the time, with reversals and NaN."""
        target = self.pick([0.0, 1.0, 1.0, -1.0, -1.0, 0.5, -0.5, 0.3, np.nan], (self.n_bars, self.n_assets))
        stands = self.rng.random(target.shape) < self.pick([0.5, 0.8, 0.95])
        for t in range(1, self.n_bars):
            target[t] = np.where(stands[t], target[t - 1], target[t])
        return target

    def turning_target(self):
        """Targets that are seldom 0, and often turn around."""
        target = self.pick([1.0, 1.0, -1.0, -1.0, 0.5, -0.5, 0.0], (self.n_bars, self.n_assets))
        stands = self.rng.random(target.shape) < self.pick([0.3, 0.6])
        for t in range(1, self.n_bars):
            target[t] = np.where(stands[t], target[t - 1], target[t])
        return target

    def crowded_target(self):
        """Targets that most assets share, so that many want in at the same bar."""
        shared = self.pick([0.0, 0.0, 1.0, 1.0, 1.0, 0.5, -1.0], (self.n_bars, 1))
        own = self.pick([0.0, 1.0, -1.0], (self.n_bars, self.n_assets))
        return np.where(self.rng.random(own.shape) < 0.2, own, shared)

    def ranks(self):
        """Numbers of few kinds, so that some are equal, by bar or for all bars."""
        n_rows = 1 if self.rng.random() < 0.3 else self.n_bars
        return self.pick([1.0, 2.0, 3.0, 4.0, np.nan], (n_rows, self.n_assets))

    def fractions(self):
        if self.exact:
            return [0.0625, 0.0625, 0.125, 0.125, 0.25, 0.5]
        return [0.01013, 0.03171, 0.03171, 0.05077, 0.08119, 0.2037, 1.0]

    def values(self, some):
        """One number for all, or an array with NaN in it."""
        if self.rng.random() < 0.5:
            return self.pick(some)
        shape = (self.n_bars, self.n_assets)
        return np.where(self.rng.random(shape) < 0.15, np.nan, self.pick(some, shape))

    def level(self, kind):
        if kind == "fraction":
            return self.values(self.fractions())
        if kind == "distance":
            return Distance(self.values([0.5, 1.0, 2.0, 2.0, 4.0] if self.exact else [0.171, 0.503, 1.337]))
        return AtrMultiple(self.pick([1.0, 2.5]), int(self.pick([2, 5])))

    def ladder(self, kind):
        shares = SHARES[self.rng.integers(len(SHARES))]
        return Ladder(*((self.level(kind), share) for share in shares))

    def entry(self):
        return self.rng.random((self.n_bars, self.n_assets)) < self.pick([0.1, 0.1, 0.3, 1.0])

    def limits(self, close, side):
        """Limits around the close, mostly where they have to wait."""
        away = self.pick([0.0625, 0.03125] if self.exact else [0.01, 0.037], close.shape)
        away *= self.pick([1.0, 1.0, 1.0, 0.0, -1.0], close.shape)
        if self.rng.random() < 0.1:
            return float(self.rounded(np.nanmean(close)) if not np.isnan(close).all() else 10.0)
        limit = self.rounded(close * (1 - side * away))
        return np.where(self.rng.random(close.shape) < 0.1, np.nan, limit)

    def limits_near(self, stop, side):
        """Limits of stop-limits: at the stop, a little beyond it, or a little before it."""
        away = self.pick([0.0, 0.5, 1.0, -0.5] if self.exact else [0.0, 0.07, 0.21, -0.11], stop.shape)
        return self.rounded(stop + side * away)

    def stops(self, close, side, events):
        """Stops beyond the close; where no entry is decided, some on its other side."""
        away = self.pick([0.5, 1.0, 2.0] if self.exact else [0.11, 0.37, 1.03], close.shape)
        wrong = ~events & (self.rng.random(close.shape) < 0.2)
        stop = self.rounded(close + np.where(wrong, -side, side) * away)
        # A low price has no room for a sell stop below it.
        good = wrong | ~events | (side * (stop - close) > 0)
        return np.where((self.rng.random(close.shape) < 0.1) | ~good, np.nan, stop)


def _bars(prices, time, session, factor, instruments, bar_size):
    return Bars(
        time=time,
        session=session,
        **{name: prices[:, :, k] for k, name in enumerate(("open", "high", "low", "close"))},
        volume=np.where(np.isnan(prices[:, :, 0]), np.nan, 1000.0),
        factor=factor,
        instruments=instruments,
        bar_size=bar_size,
    )


def entry_events(target, entry, close):
    """Bars of entry events (rule 29)."""
    found = np.zeros(target.shape, bool)
    for i in range(target.shape[1]):
        before = 0.0
        for t in np.flatnonzero(~np.isnan(close[:, i])):
            wanted = 0.0 if np.isnan(target[t, i]) else target[t, i]
            found[t, i] = wanted != 0 and (wanted * before <= 0 or (entry is not None and entry[t, i]))
            before = wanted
    return found


@st.composite
def signals(
    draw, maker, bars, fill, target=None, prices=("", "", "", "limit", "limit", "stop", "limit stop")
):
    """A signal that asks for some of everything; `prices` are what its entries may have."""
    target = maker.target() if target is None else target
    kinds = st.sampled_from([None, "fraction", "fraction", "distance", "atr"])
    level = {k: draw(kinds) for k in ("stop_loss", "trailing_stop", "take_profit")}
    asked = {k: maker.level(v) for k, v in level.items() if v is not None}
    if level["take_profit"] is not None and draw(st.booleans()):
        asked["take_profit"] = maker.ladder(level["take_profit"])
    if draw(st.booleans()):
        asked["entry"] = maker.entry()
    if draw(st.integers(0, 3)) == 0:
        asked["time_stop"] = maker.values([1, 2, 3, 5])
    prices = draw(st.sampled_from(prices))
    side = np.where(np.nan_to_num(target) < 0, -1.0, 1.0)
    if "limit" in prices:
        asked["limit"] = maker.limits(bars.close, side)
    if "stop" in prices:
        events = entry_events(target, asked.get("entry"), bars.close)
        asked["stop"] = maker.stops(bars.close, side, events)
        if "limit" in prices and draw(st.booleans()):
            asked["limit"] = maker.limits_near(asked["stop"], side)
    if not prices and fill != "close":
        asked["order_type"] = draw(st.sampled_from(["market", "market", "moo", "moc"]))
    if draw(st.integers(0, 4)) == 0:
        asked["rank"] = maker.ranks()
    return Signal(
        target,
        stop_from=draw(st.sampled_from(["decision", "fill"])),
        tif=draw(st.sampled_from(["bar", "day", "gtc", "ioc"])),
        **asked,
    )


def sizing_for(signal, sizing):
    """The same sizing without what this signal does not go with."""
    if signal.limit is not None or signal.stop is not None:
        sizing = dataclasses.replace(sizing, price="decision")
    if isinstance(signal.take_profit, Ladder) and any(share < 1 for _, share in signal.take_profit.rungs):
        sizing = dataclasses.replace(sizing, rebalance="on_change")
    return sizing


@st.composite
def makers(draw, n_bars, n_assets):
    """Maker of one market and one signal."""
    seed = int.from_bytes(draw(st.binary(min_size=8, max_size=8)), "little")
    return Maker(seed, exact=draw(st.booleans()), n_bars=draw(n_bars), n_assets=draw(n_assets))


FILLS = st.sampled_from(["next_open", "next_open", "next_close", "close"])


@st.composite
def inside_runs(draw, max_bars=24, max_assets=3, *, with_detail=None):
    """Draw a run; `with_detail` says whether it goes through finer bars (drawn where it is None)."""
    maker = draw(makers(st.integers(2, max_bars), st.integers(1, max_assets)))
    bars, detail = maker.market(intraday=draw(st.booleans()))
    fill = draw(FILLS)
    signal = draw(signals(maker, bars, fill))
    options = {
        "costs": draw(cost_models()),
        "sizing": sizing_for(signal, draw(sizings())),
        "account": draw(st.sampled_from(ACCOUNTS)),
        "fill": fill,
    }
    use_detail = draw(st.booleans()) if with_detail is None else with_detail
    cash, risk_free = draw(st.sampled_from([1000.0, 5000.0, 100_000.0])), draw(st.sampled_from([0.0, 0.02]))
    return InsideRun(bars, detail if use_detail else None, signal, cash, risk_free, options)


@st.composite
def turning_runs(draw):
    """Draw a run that often turns around at the market, at costs that depend on how many orders that is."""
    maker = draw(makers(st.integers(8, 24), st.integers(1, 3)))
    bars, _ = maker.market(intraday=draw(st.booleans()))
    fill = draw(FILLS)
    signal = draw(signals(maker, bars, fill, maker.turning_target(), prices=("", "", "", "limit")))
    sizing = st.builds(
        Sizing,
        allocation=st.sampled_from(["equal", 0.5]),
        price=st.sampled_from(["decision", "decision", "decision", "fill"]),
        rebalance=st.sampled_from(["on_change", "on_change", 0.17]),
        whole_units=st.booleans(),
        max_leverage=st.sampled_from([1.0, 10.0]),
    )
    options = {
        "costs": draw(cost_models(["per share", "small", "fixed", "tiers"])),
        "sizing": sizing_for(signal, draw(sizing)),
        "account": draw(st.sampled_from([Account.margin(), Account.margin(0.25)])),
        "fill": fill,
    }
    return InsideRun(bars, None, signal, draw(st.sampled_from([1000.0, 5000.0, 100_000.0])), 0.0, options)


@st.composite
def crowded_runs(draw):
    """Draw a run with ranks, in which more assets want in at a bar than the account can carry."""
    maker = draw(makers(st.integers(4, 16), st.integers(2, 4)))
    bars, _ = maker.market(intraday=draw(st.booleans()))
    fill = draw(FILLS)
    signal = draw(signals(maker, bars, fill, maker.crowded_target()))
    signal = dataclasses.replace(signal, rank=maker.ranks())
    sizing = st.builds(
        Sizing,
        allocation=st.sampled_from([0.6, 0.9, 1.2]),
        price=st.sampled_from(["decision", "decision", "decision", "fill"]),
        rebalance=st.sampled_from(["on_change", "on_change", "every_bar", 0.17]),
        whole_units=st.booleans(),
        max_leverage=st.sampled_from([2.0, 10.0, 10.0]),
    )
    # By the maker's seed: hypothesis likes one account better than the others.
    account = (Account.margin(1.0), Account.margin(0.8), Account.cash(), Account.cash(0.05))[
        maker.rng.integers(4)
    ]
    options = {
        "costs": draw(cost_models()),
        "sizing": sizing_for(signal, draw(sizing)),
        "account": account,
        "fill": fill,
    }
    return InsideRun(bars, None, signal, draw(st.sampled_from([1000.0, 5000.0, 100_000.0])), 0.0, options)
