"""Levels of a parameter: the values that it took in a sweep, in order, as codes, labels and numbers."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Levels", "binned", "distinct_texts", "fewest", "levels_of", "value_text"]

LONGEST = 26
"""Most characters of a label: what an axis has room for."""

WIDE = 100.0
"""Highest over lowest value from which bins may be equal in ratio."""


@dataclass(frozen=True, eq=False)
class Levels:
    """What one parameter was in each trial.

    Parameters
    ----------
    name : str
        Name of the parameter.
    codes : ndarray of int32, shape (n_trials,)
        Place of each trial's value in `choices`.
    choices : sequence
        The values, one a level; of a bin its middle. Numbers rise; other values keep their first order.
    numbers : ndarray of float64, shape (n_levels,), or None
        `choices` as rising finite numbers; None where one is no number.
    bins : str
        ``""`` for the values as they are, ``"equal"`` or ``"ratio"`` for bins of equal width or ratio.
    texts : tuple of str or None
        `labels`, where they are not those of the values.
    """

    name: str
    codes: NDArray[np.int32]
    choices: Sequence[Any] | NDArray[Any]
    numbers: NDArray[np.float64] | None
    bins: str = ""
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.choices)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Distinct plain texts, one a level; made when asked for, since a sample has as many as trials."""
        return distinct_texts(self.choices) if self.texts is None else self.texts

    @cached_property
    def by_ratio(self) -> bool:
        """Whether the numbers read better on a log scale.

        That is so where they are above zero, span a factor of 100, and have their median nearer to the
        geometric middle.
        """
        if self.numbers is None or not self.numbers[0] > 0.0:
            return False
        low, high = float(self.numbers[0]), float(self.numbers[-1])
        middle = (math.sqrt(low) * math.sqrt(high) + (low + high) / 2.0) / 2.0
        return high / low >= WIDE and float(np.median(self.numbers)) < middle


def value_text(value: Any) -> str:
    """One value of a parameter for a reader, as plain text."""
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    return str(value)


def distinct_texts(values: Sequence[Any] | NDArray[Any]) -> tuple[str, ...]:
    """Texts of values, cut to what an axis has room for and told apart by a number where they are alike."""
    texts = [value_text(v) for v in values]
    if len(set(texts)) < len(texts):
        texts = [repr(v) for v in values]
    texts = [t if len(t) <= LONGEST else t[: LONGEST - 1] + "…" for t in texts]
    seen: Counter[str] = Counter(texts)
    return tuple(t if seen[t] == 1 else f"{t} ({k})" for k, t in enumerate(texts, 1))


def levels_of(column: pd.Series[Any]) -> Levels:
    """Levels of a column of a sweep's table.

    Parameters
    ----------
    column : Series of shape (n_trials,)
        Values of any kind; values that cannot be hashed are told apart by their text.

    Returns
    -------
    Levels
        One level a distinct value.
    """
    import pandas as pd

    name = str(column.name)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        raw = column.to_numpy()
        if bool(np.isfinite(raw).all()):
            found, places = np.unique(raw, return_inverse=True)
            return Levels(name, places.astype(np.int32), found, found.astype(np.float64))
    try:
        given, distinct = pd.factorize(column, use_na_sentinel=False)
    except TypeError:
        given, distinct = pd.factorize(column.map(repr), use_na_sentinel=False)
    codes, values = np.asarray(given, np.int32), list(distinct.tolist())
    for k in np.flatnonzero(pd.isna(distinct)) if column.dtype == object else ():
        # Pandas has made a NaN of None, which is a value of its own to a strategy.
        values[k] = column.iloc[int(np.argmax(codes == k))]
    if not set(map(type, values)) <= {int, float} or not all(map(math.isfinite, values)):
        return Levels(name, codes, tuple(values), None)
    raw = np.array(values, np.float64)
    order = np.argsort(raw, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Levels(name, place[codes], tuple(values[k] for k in order), raw[order])


def _edges(levels: Levels, numbers: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    """Edges of at most `n_bins` bins; of whole numbers each bin holds equally many."""
    low, high = float(numbers[0]), float(numbers[-1])
    if levels.by_ratio:
        return np.geomspace(low, high, n_bins + 1)
    if high - low < 2**53 and bool((numbers == np.rint(numbers)).all()):
        width = math.ceil((high - low + 1.0) / n_bins)
        return np.asarray(low - 0.5 + width * np.arange(math.ceil((high - low + 1.0) / width) + 1))
    return np.linspace(low, high, n_bins + 1)


def binned(levels: Levels, n_bins: int) -> Levels:
    """Gather numeric levels into at most `n_bins` bins; other levels are returned as they are.

    Bins are equal in width, or in ratio where `Levels.by_ratio` says so. Empty bins stay, so that an axis
    keeps its scale. Labels are the middles, of whole numbers the first and the last.
    """
    numbers = levels.numbers
    if numbers is None or len(numbers) <= n_bins:
        return levels
    edges = _edges(levels, numbers, n_bins)
    n = len(edges) - 1
    place = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, n - 1).astype(np.int32)
    ratio = levels.by_ratio
    middles = np.sqrt(edges[1:]) * np.sqrt(edges[:-1]) if ratio else (edges[1:] + edges[:-1]) / 2.0
    if not ratio and edges[0] < numbers[0]:
        whole = [(f"{a + 0.5:.0f}", f"{b - 0.5:.0f}") for a, b in pairwise(edges.tolist())]
        texts = tuple(a if a == b else f"{a}–{b}" for a, b in whole)
    else:
        digits = next((d for d in range(3, 17) if len({f"{m:.{d}g}" for m in middles}) == n), 17)
        texts = tuple(f"{m:.{digits}g}" for m in middles)
    return Levels(
        levels.name,
        place[levels.codes],
        tuple(middles.tolist()),
        middles,
        "ratio" if ratio else "equal",
        texts,
    )


def fewest(levels: Levels, most: int, first: NDArray[np.int64]) -> Levels:
    """Keep `most` levels of values that are no numbers, the others under one label.

    Parameters
    ----------
    levels : Levels
        Returned as they are where they are no more than `most`.
    most : int
        Most levels, the one for the others included; at least 2.
    first : ndarray of int64
        Trials in the order in which their levels are kept: the best ones first.
    """
    if len(levels) <= most:
        return levels
    codes = levels.codes[first]
    _, seen = np.unique(codes, return_index=True)
    kept = np.sort(codes[np.sort(seen)[: most - 1]])
    place = np.full(len(levels), len(kept), np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    others = f"{len(levels) - len(kept):,} others"
    return Levels(
        levels.name,
        place[levels.codes],
        (*(levels.choices[k] for k in kept), others),
        None,
        texts=(*(levels.labels[k] for k in kept), others),
    )
