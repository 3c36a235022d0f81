"""Parts of the twin of orders inside the bar: values, levels, and what guards a position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from oracle.cost import exact
from oracle.engine import Asset
from oracle.lots import SAME, is_number


def value_at(given, t, i):
    """Value of a member of a signal at one bar of one asset; NaN where the member is not given."""
    values = np.asarray(math.nan if given is None else given, float)
    if values.ndim == 0:
        return float(values)
    if values.ndim == 1:
        return float(values[t])
    return float(values[t if len(values) > 1 else 0, i])


def on_tick(price, factor, tick, up):
    """Price moved up or down to the tick of the raw price; one that is a billionth off the tick is on it.

    As with fills, a price stays where it is if the tick below it is zero.
    """
    if tick is None or not is_number(price):
        return price
    steps = exact(price) * exact(factor) / exact(tick)
    if abs(steps - round(steps)) <= SAME * max(steps, 1):
        steps = round(steps)
    moved = (math.ceil(steps) if up else math.floor(steps)) * exact(tick)
    return float(moved) / factor if moved > 0 else price


def compare(price, level):
    """-1, 0 or 1: prices that only rounding keeps apart are the same."""
    if abs(price - level) <= SAME * level:
        return 0
    return 1 if price > level else -1


class Rung(NamedTuple):
    """One step of a ladder; a plain target is one rung with a share of 1."""

    level: float
    share: float


class Prices(NamedTuple):
    """One bar, or one of the finer ones that it is made of."""

    open: float
    high: float
    low: float
    close: float

    def best(self, side):
        return self.high if side > 0 else self.low

    def worst(self, side):
        return self.low if side > 0 else self.high


@dataclass
class Guard:
    """What guards one position."""

    side: int
    entry: dict
    opened: int
    stop_loss: float
    extreme: float
    away: float
    """Fraction or distance of the trailing stop from the extreme."""
    rungs: list
    time_stop: float
    trailing: float = math.nan
    sold: float = 0.0
    """Shares of the rungs that are done."""


@dataclass
class InsideAsset(Asset):
    """One asset of the book, and where its signal stands."""

    before: float = 0.0
    """Target at its bar before."""
    stopped: bool = False
    """Flat until the next entry event."""
    exit_bar: int = -1
    renew: bool = False
    """Decide anew at the next bar, whatever was decided last."""
    forced: bool = False
    reason: str = ""
    guard: Guard | None = None
