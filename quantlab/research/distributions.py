"""Distributions that parameters are drawn from: uniform numbers, whole numbers, and choices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Choice", "Distribution", "Frozen", "Integers", "Uniform"]

LISTED = 100_000
"""A range of whole numbers up to this size is kept as a list; of a larger one only what is drawn."""


@runtime_checkable
class Distribution(Protocol):
    """What a parameter can be drawn from."""

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[Any]:
        """`n` independent values, shape (n,)."""
        ...

    def quantile(self, share: float) -> Any:
        """Value below which this share of the draws lies; `share` in (0, 1)."""
        ...

    def listed(self) -> tuple[tuple[Any, ...], NDArray[np.float64]] | None:
        """Every value and its probability; None where there are too many."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Real numbers between two bounds, all equally likely.

    Parameters
    ----------
    low, high : float
        Bounds, both finite, `low` below `high`.
    log : bool
        Equally likely on a logarithmic scale; the bounds must then be above zero.

    Raises
    ------
    ParameterError
        For bounds that contradict this.
    """

    low: float
    high: float
    log: bool = False

    def __init__(self, low: float, high: float, *, log: bool = False) -> None:
        _check_bounds("Uniform", low, high, log=log, kinds=(int, float))
        if low == high:
            raise ParameterError(f"Uniform({low!r}, {high!r}) has one value; give the value itself.")
        for name, value in (("low", float(low)), ("high", float(high)), ("log", bool(log))):
            object.__setattr__(self, name, value)

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """`n` independent values, shape (n,)."""
        if self.log:
            return np.clip(
                np.exp(rng.uniform(math.log(self.low), math.log(self.high), n)), self.low, self.high
            )
        return rng.uniform(self.low, self.high, n)

    def quantile(self, share: float) -> float:
        """Value below which this share of the draws lies."""
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + (self.high - self.low) * share

    def listed(self) -> None:
        """There are too many values for a list."""
        return


@dataclass(frozen=True)
class Integers:
    """Whole numbers between two bounds, both included.

    Parameters
    ----------
    low, high : int
        Bounds.
    log : bool
        Equally likely on a logarithmic scale: k has the weight log(k + 1/2) - log(k - 1/2). The bounds must then be
        above zero, and `step` 1.
    step : int
        Distance between two values; the largest value is the last one up to `high`.

    Raises
    ------
    ParameterError
        For bounds that contradict this.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __init__(self, low: int, high: int, *, log: bool = False, step: int = 1) -> None:
        _check_bounds("Integers", low, high, log=log, kinds=(int,))
        if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 1:
            raise ParameterError(f"step of Integers is {step!r}; a whole number of 1 or more is needed.")
        if log and step != 1:
            raise ParameterError(f"Integers with log=True have a step of 1, not {step}.")
        for name, value in (("low", int(low)), ("high", int(high)), ("log", bool(log)), ("step", int(step))):
            object.__setattr__(self, name, value)

    @property
    def size(self) -> int:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        """`n` independent values, shape (n,)."""
        if self.log:
            drawn = np.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5), n))
            return np.clip(np.rint(drawn).astype(np.int64), self.low, self.high)
        return self.low + self.step * rng.integers(self.size, size=n)

    def quantile(self, share: float) -> int:
        """Value at which the share of the draws up to it reaches `share`."""
        if self.log:
            low, high = self.low - 0.5, self.high + 0.5
            return min(max(int(low * (high / low) ** share + 0.5), self.low), self.high)
        return self.low + self.step * min(int(share * self.size), self.size - 1)

    def listed(self) -> tuple[tuple[int, ...], NDArray[np.float64]] | None:
        """Every value and its probability; None where there are too many."""
        if self.size > LISTED:
            return None
        values = np.arange(self.low, self.high + 1, self.step)
        weights = np.log((values + 0.5) / (values - 0.5)) if self.log else np.ones(len(values))
        return tuple(values.tolist()), weights / weights.sum()


@dataclass(frozen=True)
class Choice:
    """One of some values, all equally likely; the same as a list of them.

    Parameters
    ----------
    *values
        At least one.
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        if not values:
            raise ParameterError("Choice() has no value; give at least one, as in Choice('fast', 'slow').")
        object.__setattr__(self, "values", values)

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[Any]:
        """`n` independent values, shape (n,), as Python objects."""
        return np.fromiter(self.values, object, len(self.values))[rng.integers(len(self.values), size=n)]

    def quantile(self, share: float) -> Any:
        """Value at this share of the list."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def listed(self) -> tuple[tuple[Any, ...], NDArray[np.float64]]:
        """Every value and its probability."""
        return self.values, np.full(len(self.values), 1.0 / len(self.values))


@dataclass(frozen=True, eq=False)
class Frozen:
    """A frozen distribution of `scipy.stats`, such as ``scipy.stats.norm(0, 1)``.

    Parameters
    ----------
    source : object with `rvs` and `ppf`
        The distribution.
    """

    source: Any

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[Any]:
        """`n` independent values, shape (n,).

        Raises
        ------
        ParameterError
            For draws that are not finite.
        """
        drawn = np.asarray(self.source.rvs(size=n, random_state=rng))
        if drawn.shape != (n,) or drawn.dtype.kind not in "iuf" or not np.isfinite(drawn).all():
            raise ParameterError(f"{self.source!r} gave values that are not finite numbers.")
        return drawn.astype(np.int64) if drawn.dtype.kind in "iu" else drawn.astype(np.float64)

    def quantile(self, share: float) -> int | float:
        """Value below which this share of the draws lies."""
        value = float(self.source.ppf(share))
        whole = self.draw(np.random.default_rng(0), 1).dtype.kind == "i"
        return int(value) if whole else value

    def listed(self) -> None:
        """Values are known once they are drawn."""
        return


def _check_bounds(kind: str, low: Any, high: Any, *, log: bool, kinds: tuple[type, ...]) -> None:
    wanted = "whole numbers" if float not in kinds else "finite numbers"
    allowed: tuple[Any, ...] = (*kinds, np.integer, np.floating) if float in kinds else (*kinds, np.integer)
    for value in (low, high):
        if isinstance(value, bool) or not isinstance(value, allowed) or not math.isfinite(float(value)):
            raise ParameterError(f"{kind}({low!r}, {high!r}): the bounds must be {wanted}.")
    if low > high:
        raise ParameterError(f"{kind}({low!r}, {high!r}): the lower bound is above the upper one; swap them.")
    if log and low <= 0:
        raise ParameterError(f"{kind}({low!r}, {high!r}, log=True): the bounds must be above zero.")
