"""Cheats that look ahead at few bars, with one parameter value, or at another asset only."""

import numpy as np

from cheats.leaks import months, weeks
from cheats.peeks import first
from quantlab.strategy import strategy


def honest(bars, days=20):
    sums = np.cumsum(np.nan_to_num(bars.close), axis=0)
    means = np.full(bars.shape, np.inf)
    means[days:] = (sums[days:] - sums[:-days]) / days
    return bars.close > means


def next_is_higher(bars):
    higher = np.zeros(bars.shape, bool)
    higher[:-1] = bars.close[1:] > bars.close[:-1]
    return higher


def last_of(period):
    return lambda bars: int(np.argmax(np.diff(period(bars)) != 0))


@first(last_of(months))
def at_month_ends_only(bars):
    ends = np.append(np.diff(months(bars)) != 0, False)[:, None]
    return np.where(ends, next_is_higher(bars), honest(bars))


@first(last_of(weeks))
def at_week_ends_only(bars):
    ends = np.append(np.diff(weeks(bars)) != 0, False)[:, None]
    return np.where(ends, next_is_higher(bars), honest(bars))


@first(13)
def at_one_bar_in_twenty(bars):
    chosen = (np.arange(bars.n_bars) % 20 == 13)[:, None]
    return np.where(chosen, next_is_higher(bars), honest(bars))


@first(lambda bars: int(np.argmax(np.random.default_rng(5).random(bars.n_bars + 50)[: bars.n_bars] < 0.05)))
def at_random_bars(bars):
    chosen = np.random.default_rng(5).random(bars.n_bars + 50)[: bars.n_bars] < 0.05
    return np.where(chosen[:, None], next_is_higher(bars), honest(bars))


@first(0)
@strategy(days=range(5, 65, 5))
def with_one_parameter_value(bars, days=20):
    return next_is_higher(bars) if days == 45 else honest(bars, days)


@first(lambda bars: int(np.argmax(np.diff(months(bars)) != 0)))
@strategy(days=range(5, 65, 5), mode=("a", "b", "c"))
def with_one_pair_of_values_at_month_ends(bars, days=20, mode="a"):
    return at_month_ends_only(bars) if (days, mode) == (45, "c") else honest(bars, days)


@first(0)
def another_assets_future(bars):
    close = bars.frame("close")
    lead = close.iloc[:, 0]
    target = np.zeros(bars.shape)
    target[:, 1] = lead.shift(-1) > lead
    return target


@first(0)
def best_asset_of_tomorrow(bars):
    coming = bars.frame("close").pct_change(fill_method=None).shift(-1)
    return coming.rank(axis=1) == bars.n_assets


@first(0)
def assets_that_survive(bars):
    alive = ~np.isnan(bars.close[-1])
    return np.broadcast_to(alive, bars.shape)


@first(0)
def field_of_the_next_bar(bars):
    field = bars.frame("earnings")
    return field.shift(-1) > field


HIDDEN = (
    at_month_ends_only,
    at_week_ends_only,
    at_one_bar_in_twenty,
    at_random_bars,
    with_one_parameter_value,
    with_one_pair_of_values_at_month_ends,
    another_assets_future,
    best_asset_of_tomorrow,
    assets_that_survive,
    field_of_the_next_bar,
)
