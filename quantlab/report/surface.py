"""A sweep's metric over two parameters: a table of cells, whatever the number of trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quantlab.errors import ParameterError, UnknownNameError
from quantlab.report.levels import Levels, binned, fewest, levels_of
from quantlab.report.sweep_content import column_of, goodness

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.report.sweep_content import SweepContent

__all__ = ["MAX_CELLS", "MODES", "Surface", "group_quantiles", "importance", "pivot", "surface", "surfaces"]

MAX_CELLS = 40_000
"""Most cells of one surface; beyond it values are gathered into bins."""

MAX_DRAWN_CELLS = 200_000
"""Most cells of all surfaces of a report together."""

MAX_PARAMETERS = 8
"""Most parameters that a report offers for its surfaces: those that matter most."""

SPARSE = 0.2
"""Share of filled cells below which numeric values are gathered into bins."""

MODES = ("best", "median", "fixed")
"""What a cell shows of the other parameters: their best, the median over all, or their values in the best trial."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The metric over two parameters.

    Parameters
    ----------
    x, y : Levels
        Levels along the two axes.
    cells : mapping of str to ndarray of float64, shape (n_y, n_x)
        Mode -> metric; NaN where no trial is. Modes that say the same as another are left out.
    at : tuple of int or None
        Places (x, y) of the best trial.
    """

    x: Levels
    y: Levels
    cells: Mapping[str, NDArray[np.float64]]
    at: tuple[int, int] | None

    @property
    def is_binned(self) -> bool:
        """Whether values of a parameter were gathered into bins."""
        return bool(self.x.bins or self.y.bins)


def _axes(
    x: Levels, y: Levels, rows: NDArray[np.int64], most: int, *, gather: bool = True
) -> tuple[Levels, Levels]:
    """Levels of both axes with at most `most` cells, and bins where single values would leave most empty.

    `rows` are the trials with a value, the best first.
    """
    n_cells = len(x) * len(y)
    filled = min(rows.size, n_cells)
    if n_cells <= 4 * most:
        cell = y.codes[rows].astype(np.int64) * len(x) + x.codes[rows]
        filled = int(np.count_nonzero(np.bincount(cell, minlength=1)))
    # A sample of two long axes is dust; each bin should hold some trials.
    sparse = gather and filled < SPARSE * n_cells and filled < n_cells
    if n_cells <= most and not sparse:
        return x, y
    side = max(2, int(most**0.5))
    if sparse and max(len(x), len(y)) > 12:
        side = min(side, max(6, int((rows.size / 4.0) ** 0.5)))
    first, second = (x, y) if len(x) <= len(y) else (y, x)
    first = fewest(binned(first, side), side, rows)
    room = max(side, 2 if sparse else most // len(first))
    second = fewest(binned(second, room), room, rows)
    return (first, second) if len(x) <= len(y) else (second, first)


def _best(
    cell: NDArray[np.integer[Any]], values: NDArray[np.float64], n_cells: int, *, last: bool
) -> NDArray[np.float64]:
    """Value of the last, or else of the first, trial of each cell; NaN where there is none."""
    out = np.full(n_cells, np.nan)
    step = 1 if last else -1
    # Of equal places the one written last stays.
    out[cell[::step]] = values[::step]
    return out


def group_quantiles(
    group: NDArray[np.integer[Any]], values: NDArray[np.float64], n_groups: int, shares: tuple[float, ...]
) -> NDArray[np.float64]:
    """Quantiles of the values of each group, by linear interpolation.

    Parameters
    ----------
    group : ndarray of int, shape (n,)
        Group of each value, from 0.
    values : ndarray of float64, shape (n,)
        Rising and finite.
    n_groups : int
        Number of groups.
    shares : tuple of float
        Quantiles wanted, in [0, 1].

    Returns
    -------
    ndarray of shape (len(shares), n_groups)
        NaN for a group without a value.
    """
    # Values rise: a stable sort by group, quick on 16 bits, leaves those of each group in order.
    by_group = np.argsort(group.astype(np.uint16) if n_groups <= 2**16 else group, kind="stable")
    counts = np.bincount(group, minlength=n_groups)
    some = counts > 0
    starts = (np.cumsum(counts) - counts)[some]
    out = np.full((len(shares), n_groups), np.nan)
    for k, share in enumerate(shares):
        at = (counts[some] - 1) * share
        low, high = np.floor(at).astype(np.int64), np.ceil(at).astype(np.int64)
        part = at - low
        below, above = values[by_group[starts + low]], values[by_group[starts + high]]
        out[k, some] = (1.0 - part) * below + part * above
    return out


def surface(content: SweepContent, x: str, y: str, *, max_cells: int = MAX_CELLS) -> Surface:
    """Metric of a sweep over two parameters, the others at their best, at the median, and as in the best trial.

    Parameters
    ----------
    content : SweepContent
        The sweep.
    x, y : str
        Two parameters that took more than one value.
    max_cells : int
        Most cells.

    Returns
    -------
    Surface
        Trials that failed are nowhere; those that went to ruin are only in the median, at what they were then.
        A trial with an infinite value is left out.
    """
    rising, last = content.rising, not content.smaller_is_better
    usable = np.flatnonzero(rising.usable)
    ranked = usable[::-1] if last else usable
    across, up = _axes(rising.levels[x], rising.levels[y], ranked, max_cells)
    n_cells = len(across) * len(up)
    shape = (len(up), len(across))
    cell = up.codes * np.int32(len(across)) + across.codes
    metric, some, n_ruined = rising.metric, cell, rising.usable.size - usable.size
    if n_ruined:
        metric, some = metric[usable], cell[usable]
    cells = {"best": _best(some, metric, n_cells, last=last).reshape(shape)}
    if n_ruined or usable.size != np.count_nonzero(~np.isnan(cells["best"])):
        cells["median"] = group_quantiles(cell, rising.metric, n_cells, (0.5,)).reshape(shape)
    others = [agrees for name, agrees in rising.agreement.items() if name not in (x, y)]
    if others:
        same = np.flatnonzero(np.logical_and.reduce([rising.usable, *others]))
        cells["fixed"] = _best(cell[same], rising.metric[same], n_cells, last=last).reshape(shape)
    at = rising.best
    return Surface(across, up, cells, None if at is None else (int(across.codes[at]), int(up.codes[at])))


def importance(content: SweepContent) -> dict[str, float]:
    """Share of the metric's variance that the mean over each parameter's levels explains, the largest first.

    This is the first-order index of a sensitivity analysis (Sobol, 1993), for a grid without constraint; with
    constraints or few trials it is a ranking, not more.

    Returns
    -------
    dict of str to float
        Parameters with more than one level; 0 where nothing varies.
    """
    values = content.rising.metric
    found: dict[str, float] = {}
    mean, total = (float(values.mean()), float(values.var())) if values.size else (0.0, 0.0)
    for name, exact in content.rising.levels.items():
        levels = binned(exact, 30)
        counts = np.bincount(levels.codes, minlength=len(levels))
        sums = np.bincount(levels.codes, weights=values, minlength=len(levels))
        some = counts > 0
        between = float((counts[some] * (sums[some] / counts[some] - mean) ** 2).sum())
        found[name] = between / values.size / total if total > 0.0 else 0.0
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def surfaces(content: SweepContent) -> list[Surface]:
    """Surfaces of all pairs of the parameters that matter most, the most telling pair first."""
    names = list(importance(content))[:MAX_PARAMETERS]
    pairs = list(combinations(names, 2))
    if not pairs:
        return []
    most = min(MAX_CELLS, MAX_DRAWN_CELLS // (len(pairs) * len(MODES)))
    order = list(content.levels)
    return [surface(content, *sorted(pair, key=order.index), max_cells=most) for pair in pairs]


def pivot(
    table: pd.DataFrame,
    x: str,
    y: str,
    metric: str = "sharpe",
    *,
    others: str | Mapping[str, Any] = "best",
    smaller_is_better: bool = False,
) -> pd.DataFrame:
    """Metric of a sweep's table over two parameters.

    Parameters
    ----------
    table : DataFrame of shape (n_trials, ...)
        One row a trial, as in `SweepContent`.
    x, y : str
        Parameters: columns and rows of the answer.
    metric : str
        Column with the values.
    others : {"best", "median"} or mapping of str to value
        What a cell shows of the trials with its two values: the best of them, their median, or the best of
        those whose other parameters have the values given.
    smaller_is_better : bool
        Whether the smallest value is the best.

    Returns
    -------
    DataFrame of shape (n_y, n_x)
        NaN where no trial is; values of the parameters as labels, middles of bins beyond `MAX_CELLS` cells.
        The best passes over trials that failed or went to ruin, the median over those that failed.

    Raises
    ------
    UnknownNameError
        For a column that the table does not have.
    ParameterError
        For twice the same parameter, an unknown word for `others`, or fixed values that no trial has.
    """
    import pandas as pd

    if x == y:
        raise ParameterError(f"x and y are both {x!r}; a heat map needs two parameters.")
    fixed = isinstance(others, Mapping)
    if not fixed and others not in ("best", "median"):
        raise UnknownNameError("choice of others", str(others), ("best", "median"), "Or give values by name.")
    keep = np.ones(len(table), bool)
    for name, value in cast("Mapping[str, Any]", others if fixed else {}).items():
        keep &= (column_of(table, name, parameter=True) == value).to_numpy(bool)
        if not keep.any():
            raise ParameterError(
                f"no trial has {name}={value!r} with the other values given in others={dict(cast('Any', others))!r}; "
                "take values of the grid."
            )
    table = table[keep]
    good = goodness(table, metric, smaller_is_better=smaller_is_better)
    ranked = np.flatnonzero(~np.isnan(good))
    ranked = np.asarray(ranked[np.argsort(-good[ranked], kind="stable")], np.int64)
    given = [levels_of(column_of(table, name, parameter=True)) for name in (x, y)]
    across, up = _axes(given[0], given[1], ranked, MAX_CELLS, gather=False)
    n_cells = len(across) * len(up)
    cell = up.codes.astype(np.int64) * len(across) + across.codes
    values = column_of(table, metric).to_numpy(np.float64, na_value=np.nan)
    flat = _best(cell[ranked], values[ranked], n_cells, last=False)
    if others == "median":
        finite = np.flatnonzero(np.isfinite(values))
        rising = finite[np.argsort(values[finite], kind="stable")]
        flat = group_quantiles(cell[rising], values[rising], n_cells, (0.5,))
    return pd.DataFrame(
        flat.reshape(len(up), len(across)),
        index=pd.Index(list(up.choices), name=y),
        columns=pd.Index(list(across.choices), name=x),
    )
