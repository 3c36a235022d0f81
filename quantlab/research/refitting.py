"""A fitted strategy under examination: fitted on the first part of the bars, and again whenever that part is back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError
from quantlab.research.scramble import take

if TYPE_CHECKING:
    from quantlab.bars import Bars
    from quantlab.strategy import Strategy

__all__ = ["FirstPart", "n_training_bars"]

TRAINING_SHARE = 0.5
"""Share of the bars that a strategy under examination is fitted on."""

REFITS = 64
"""Replaced futures of the first parameter set, on every other of which it is fitted anew."""


def n_training_bars(bars: Bars) -> int:
    """First bars that a fitted strategy is fitted on; every cut lies after them.

    Raises
    ------
    DataError
        If that leaves nothing to cut.
    """
    n_bars = int(TRAINING_SHARE * bars.n_bars)
    if n_bars < 1 or bars.n_bars - n_bars < 2:
        raise DataError(
            f"{bars.n_bars} bars are too few: a fitted strategy trains on the first half, and is checked on the rest."
        )
    return n_bars


class FirstPart:
    """Models of a fitted strategy, one a parameter set, all fitted on the first part of the same bars.

    A model that is fitted again must decide as the first one did. So each call on the bars as they are fits again,
    which shows a fit that draws at random or remembers; and so do, for the first parameter set, some calls on
    bars whose future was replaced, which shows one that learns from anything but the bars it gets.

    Parameters
    ----------
    idea : Strategy
        The strategy; one without a fit, or with a model, is left as it is.
    bars : Bars
        The bars as they are.
    """

    def __init__(self, idea: Strategy, bars: Bars) -> None:
        self.idea, self.bars = idea, bars
        self.n_bars = n_training_bars(bars) if idea.unfitted else 0
        self._kept: dict[int, Strategy] = {}
        self._refits = 0

    def strategy(self, bars: Bars, k: int, params: dict[str, Any]) -> Strategy:
        """Strategy with the model of parameter set `k`, to be evaluated on `bars`."""
        if not self.n_bars:
            return self.idea
        known = self._kept.get(k)
        if known is None:
            known = self._kept[k] = self._fitted(self.bars, params)
        elif bars is self.bars:
            return self._fitted(bars, params)
        elif k == 0 and self._refits < REFITS and self._begins_alike(bars):
            # Every other time only: a model that the signals write into shows when it is used again.
            self._refits += 1
            return self._fitted(bars, params) if self._refits % 2 else known
        return known

    def fitted_elsewhere(self, past: Bars, params: dict[str, Any]) -> Strategy:
        """Strategy with a model of other training bars: the first rows of `past`."""
        return self._fitted(past, params)

    def _fitted(self, bars: Bars, params: dict[str, Any]) -> Strategy:
        return self.idea.fitted(take(bars, slice(0, self.n_bars)), params)

    def _begins_alike(self, bars: Bars) -> bool:
        first = slice(0, self.n_bars)
        return np.array_equal(bars.time[first], self.bars.time[first]) and np.array_equal(
            bars.close[first], self.bars.close[first], equal_nan=True
        )
