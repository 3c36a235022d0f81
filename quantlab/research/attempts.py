"""What the trial ledger keeps of a run, and what such entries add up to."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = ["KINDS", "Data", "Entry", "Moments", "Tried", "shape_of"]

KINDS = ("backtest", "sweep", "search", "walk_forward")
"""What is entered. Runs on made-up prices are not: nobody chooses by them."""

NOISE = 1e-13
"""Share of the raw second moment below which a variance is the rounding noise of equal ratios."""


class Moments(NamedTuple):
    """Power sums of the Sharpe ratios per observation of some trials; they add up.

    Parameters
    ----------
    n_finite : int
        Trials whose Sharpe ratio is finite; only these are in the sums.
    sum_1, sum_2, sum_3, sum_4 : float
        Sums of their first to fourth powers.
    largest : float
        NaN where there is none.
    """

    n_finite: int
    sum_1: float
    sum_2: float
    sum_3: float
    sum_4: float
    largest: float

    @classmethod
    def of(cls, sharpes: ArrayLike) -> Moments:
        """Sum up Sharpe ratios per observation, of any shape; those that are not finite are left out."""
        given = np.asarray(sharpes, np.float64).ravel()
        x = given[np.isfinite(given)]
        square = x * x
        first, second, third, fourth = (float(v.sum()) for v in (x, square, square * x, square * square))
        return cls(len(x), first, second, third, fourth, float(x.max()) if len(x) else float("nan"))

    @classmethod
    def of_one(cls, sharpe: float) -> Moments:
        """Sum up one Sharpe ratio: what `of` gives, without making arrays."""
        if not -np.inf < sharpe < np.inf:
            return cls(0, 0.0, 0.0, 0.0, 0.0, float("nan"))
        square = sharpe * sharpe
        return cls(1, sharpe, square, square * sharpe, square * square, sharpe)


class Data(NamedTuple):
    """What bars an entry was made on: their hash, and for reading their symbols, bar size and first and last bar."""

    hash: str
    symbols: str
    bar_size: str
    first: str
    last: str


class Entry(NamedTuple):
    """What a ledger keeps of one backtest or one sweep.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    strategy : str
        Its name.
    source, settings, parameters : str
        Hashes of its source text, of the options of the run, and of its parameters (of a sweep: of all sets).
    said : str
        The parameters, for reading.
    data : Data
        The bars.
    n_bars : int
        Bars simulated.
    bars_per_year : float
        The unit of annual statistics.
    n_trials : int
        Trials that were evaluated.
    moments : Moments
        Of their Sharpe ratios per observation.
    at_ns : int
        When it ended, ns UTC.
    """

    kind: str
    strategy: str
    source: str
    settings: str
    parameters: str
    said: str
    data: Data
    n_bars: int
    bars_per_year: float
    n_trials: int
    moments: Moments
    at_ns: int

    @property
    def key(self) -> str:
        """Hash of what makes two entries the same (32 hex digits); time and outcome do not."""
        parts = (self.kind, self.strategy, self.source, self.data.hash, self.settings, self.parameters)
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Tried:
    """What all attempts add up to: the sample of which the best Sharpe ratio is the largest.

    Parameters
    ----------
    n_trials : int
        Trials that were evaluated, each entry counted once however often it ran.
    n_entries : int
        Entries that they come from.
    n_sources : int
        Versions of the source text.
    n_finite : int
        Trials whose Sharpe ratio is finite; the numbers below are of these.
    mean, variance, skew, kurtosis, largest : float
        Of Sharpe ratios per observation: variance by n - 1, kurtosis not in excess. NaN where there are too few.
    bars_per_year : float
        Bars a year of the observation meant; entries on other bars are brought to it by the square root of time.
        NaN without entries.
    """

    n_trials: int
    n_entries: int
    n_sources: int
    n_finite: int
    mean: float
    variance: float
    skew: float
    kurtosis: float
    largest: float
    bars_per_year: float

    def describe(self) -> dict[str, Any]:
        """Everything, JSON-able but for NaN."""
        return asdict(self)


def shape_of(n: int, power_sums: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, variance (by n - 1), skew and kurtosis (not in excess) from sums of powers; NaN where there are too few."""
    nan = float("nan")
    if n == 0:
        return nan, nan, nan, nan
    raw = [s / n for s in power_sums]
    mean = raw[0]
    second = max(0.0, raw[1] - mean**2)
    if n == 1 or second <= NOISE * raw[1]:
        return mean, (0.0 if n > 1 else nan), nan, nan
    third = raw[2] - 3.0 * mean * raw[1] + 2.0 * mean**3
    fourth = raw[3] - 4.0 * mean * raw[2] + 6.0 * mean**2 * raw[1] - 3.0 * mean**4
    return mean, second * n / (n - 1), third / second**1.5, fourth / second**2
