"""Two numbers that should be one: how far apart they are, and a table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import MismatchError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["COMPUTED", "TOLERANCE", "Comparison", "CrossCheck", "compare_numbers", "compare_series"]

TOLERANCE = 1e-9

BEYOND = 1e12
"""Ratios that reach this divide by nothing, or by what rounding left of nothing."""

COMPUTED = "computed by both"


@dataclass(frozen=True)
class Comparison:
    """One number of both engines.

    Parameters
    ----------
    name : str
        What is compared.
    ours, theirs : float
        The numbers; of a series those of the bar, fill or trade that differ most.
    difference : float
        Relative difference: 0 where both are equal, inf where one alone is a number; NaN if not compared.
    basis : str
        ``"computed by both"``, what vectorbt was given, or why they cannot be compared.
    at : str
        Of a series, where they differ most.
    """

    name: str
    ours: float
    theirs: float
    difference: float
    basis: str = COMPUTED
    at: str = ""

    @property
    def compared(self) -> bool:
        """Whether the numbers were compared at all."""
        return not np.isnan(self.difference)


@dataclass(frozen=True)
class CrossCheck:
    """What vectorbt makes of a run's decisions, beside what the run made of them.

    Parameters
    ----------
    comparisons : tuple of Comparison
        Cause before effect: orders, cash, equity, statistics, trades.
    tolerance : float
        Largest relative difference that counts as agreement.
    """

    comparisons: tuple[Comparison, ...]
    tolerance: float = TOLERANCE

    @property
    def worst(self) -> Comparison:
        """The comparison with the largest difference."""
        return max((c for c in self.comparisons if c.compared), key=lambda c: c.difference)

    @property
    def largest(self) -> float:
        """The largest relative difference."""
        return self.worst.difference

    @property
    def agrees(self) -> bool:
        """Whether every number that was compared is the same within the tolerance."""
        return self.largest <= self.tolerance

    @property
    def not_compared(self) -> dict[str, str]:
        """What was not compared, and why."""
        return {c.name: c.basis for c in self.comparisons if not c.compared}

    @property
    def table(self) -> pd.DataFrame:
        """Everything, one row a comparison: ours, theirs, difference, at, basis."""
        import pandas as pd

        columns = ("ours", "theirs", "difference", "at", "basis")
        rows = [[getattr(c, k) for k in columns] for c in self.comparisons]
        return pd.DataFrame(rows, index=[c.name for c in self.comparisons], columns=list(columns))

    def raise_if_different(self) -> None:
        """Do nothing if both agree.

        Raises
        ------
        MismatchError
            Names the first number that differs: what comes first is closest to the cause.
        """
        for c in self.comparisons:
            if c.compared and c.difference > self.tolerance:
                where = f" at {c.at}" if c.at else ""
                raise MismatchError(
                    f"vectorbt disagrees on {c.name}{where}: ours is {c.ours!r}, vectorbt's {c.theirs!r}, a "
                    f"relative difference of {c.difference:.3g} where {self.tolerance:g} is allowed. "
                    "One of the two is wrong: do not trust this result before you know which; "
                    "crosscheck(result).table shows every number."
                )

    def __repr__(self) -> str:
        verdict = "agrees" if self.agrees else "DISAGREES"
        n = sum(c.compared for c in self.comparisons)
        largest = f"{self.largest:.2g} ({self.worst.name})"
        return f"CrossCheck(vectorbt {verdict} on {n} numbers; largest difference {largest})"


def _relative(ours: Any, theirs: Any, scale: Any = 0.0) -> NDArray[np.float64]:
    """Differences relative to the largest of both numbers and `scale`."""
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), scale)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(found), np.inf, found))


def compare_numbers(
    name: str, ours: float, theirs: float, scale: float = 0.0, basis: str = COMPUTED
) -> Comparison:
    """Compare two numbers; where neither is one, or both only for rounding, say so.

    Parameters
    ----------
    name, basis : str
        As in `Comparison`.
    ours, theirs : float
        The numbers; NaN where a statistic is not defined.
    scale : float
        Least value that the difference is relative to.
    """
    ours, theirs = float(ours), float(theirs)
    if not (abs(ours) < BEYOND or abs(theirs) < BEYOND):
        reason = "not compared: not defined for this run, but for rounding"
        return Comparison(name, ours, theirs, np.nan, reason)
    return Comparison(name, ours, theirs, float(_relative(ours, theirs, scale)), basis)


def compare_series(
    name: str, ours: Any, theirs: Any, labels: Any, *, scale: Any = 0.0, basis: str = COMPUTED
) -> Comparison:
    """Compare two series where they differ most. Different lengths are an infinite difference.

    Parameters
    ----------
    name, basis : str
        As in `Comparison`.
    ours, theirs : array_like of shape (n,)
        The numbers; NaN equals NaN.
    labels : callable
        Text of the k-th place.
    scale : float or array_like of shape (n,)
        Least values that differences are relative to.
    """
    a, b = (np.asarray(x, np.float64) for x in (ours, theirs))
    if a.size != b.size:
        n = min(a.size, b.size)
        return Comparison(
            name, a.size, b.size, np.inf, "computed by both; one has more of them", f"number {n}"
        )
    if a.size == 0:
        return Comparison(name, np.nan, np.nan, np.nan, "not compared: there is none")
    found = _relative(a, b, scale)
    k = int(np.argmax(found))
    return Comparison(name, float(a[k]), float(b[k]), float(found[k]), basis, str(labels(k)))
