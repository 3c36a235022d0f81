"""Where a causality test looks: the bars it cuts after, the parameter sets it tries, and which set where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.strategy import Strategy

__all__ = ["choose_sets", "place_cuts", "plan_cuts"]

EARLY = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)
"""Cuts within the usual warm-ups."""

LATE = (2, 3, 4, 6, 9, 14, 22)
"""Cuts counted from the end of the sample."""

ENUMERATED = 50_000
"""Grids up to this size are written out; larger ones are drawn from."""


def _turns(key: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bars after which `key` changes."""
    return np.append(np.diff(key) != 0, False)


def _classes(bars: Bars) -> dict[str, NDArray[np.bool_]]:
    """Kinds of bars at which a short peek may hide: the ends and starts of periods, and of holes."""
    days = bars.session.astype("M8[D]")
    month = days.astype("M8[M]").astype(np.int64)
    ends = {"week": _turns((bars.session + 3) // 7), "month": _turns(month), "year": _turns(month // 12)}
    if bars.intraday:
        ends = {"session": _turns(bars.session), **ends}
    classes = {f"{name} end": mask for name, mask in ends.items()}
    classes |= {f"{name} start": np.roll(mask, 1) for name, mask in ends.items() if name != "year"}
    classes["bar before a month end"] = np.roll(ends["month"], -1)
    missing = np.isnan(bars.close)
    classes["last bar of a hole"] = np.any(missing & ~np.roll(missing, -1, axis=0), axis=1)
    return classes


def _even(rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """At most `number` of `rows`, evenly spaced, with the first and the last."""
    if rows.size <= number:
        return rows
    return rows[np.linspace(0, rows.size - 1, number).round().astype(np.int64)]


def place_cuts(bars: Bars, number: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Bars to cut after, by the reason for which each was chosen.

    Parameters
    ----------
    bars : Bars
        At least two bars.
    number : int
        How many cuts in all; every bar but the last when there are no more.
    seed : int
        Seed of the cuts that are spread at random.

    Returns
    -------
    dict of str to ndarray of int64
        Rows from 0 to n_bars - 2, sorted. One row may stand under several reasons.
    """
    last = bars.n_bars - 2
    if number > last:
        return {"every bar": np.arange(last + 1)}
    early = np.array([c for c in EARLY if c <= last], np.int64)
    late = np.array(sorted(bars.n_bars - k for k in LATE if bars.n_bars >= k), np.int64)
    places = {"early": _even(early, max(3, number // 8)), "late": _even(late, max(2, number // 12))}
    for name, mask in _classes(bars).items():
        rows = np.flatnonzero(mask[: last + 1])
        if rows.size:
            places[name] = _even(rows, max(2, number // 14))
    # The rest is drawn one from each of equal stretches: no part of the sample is left out, and no weekday.
    placed = np.unique(np.concatenate(list(places.values()))).size
    edges = np.linspace(0, last + 1, max(4, number - placed) + 1).astype(np.int64)
    rng = np.random.default_rng((seed, bars.n_bars))
    places["spread"] = np.unique(rng.integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)))
    return places


def plan_cuts(places: Mapping[str, NDArray[np.int64]], n_sets: int, pairs: int) -> dict[int, list[int]]:
    """Choose which parameter sets are tested at which cut; the first set is tested at all of them.

    The others take cuts from every reason in turn, one of each at least, each set starting at another place,
    so that all together visit all cuts.

    Parameters
    ----------
    places : mapping of str to ndarray
        As of `place_cuts`.
    n_sets : int
        Number of parameter sets.
    pairs : int
        Pairs of a set and a cut in all; more where one cut of each reason for each set is more.

    Returns
    -------
    dict of int to list of int
        Cut -> numbers of the sets tested there, both rising.
    """
    every = np.unique(np.concatenate(list(places.values())))
    groups = list(places.values())
    each = min(every.size, max(len(groups), pairs // max(1, n_sets)))
    plan: dict[int, list[int]] = {int(cut): [] for cut in every}
    for k in range(n_sets):
        if k == 0 or each == every.size:
            chosen = set(every.tolist())
        else:
            picks = ((groups[turn % len(groups)], turn // len(groups)) for turn in range(each))
            chosen = {int(g[(k + lap * (1 + g.size * len(groups) // each)) % g.size]) for g, lap in picks}
        for cut in sorted(chosen):
            plan[cut].append(k)
    return plan


def choose_sets(
    idea: Strategy,
    grid: Mapping[str, Sequence[Any]] | None,
    where: str | Callable[..., bool] | None,
    max_sets: int,
    seed: int,
) -> tuple[list[dict[str, Any]], int | None]:
    """Parameter sets to test, the default one first, and how many the grid has in all (None: not counted).

    All that `where` allows, up to `max_sets`; of more, an even sample with every value of every parameter.

    Raises
    ------
    ParameterError
        If the condition allows no set of the grid.
    """
    given = idea.grid if grid is None else grid
    values = {n: tuple(idea.check_value(n, v) for v in vs) for n, vs in given.items()}
    size = math.prod(len(v) for v in values.values())
    defaults = idea.params()
    # A grid given by the caller says which sets are meant; the defaults join only the strategy's own grid.
    meant = grid is None or all(defaults[n] in v for n, v in values.items())
    meant = meant and any(idea.parameter_sets({n: (defaults[n],) for n in values}, where))
    if size > ENUMERATED:
        drawn = _drawn_sets(idea, values, where, max_sets, seed)
        return ([defaults, *(p for p in drawn if p != defaults)] if meant else drawn), None
    allowed = list(idea.parameter_sets(values, where))
    total = len(allowed)
    if not allowed:
        raise ParameterError(
            f"no parameter set of {idea.name} is left: the condition {where or idea.where!r} allows none of "
            f"the {size} sets of the grid."
        )
    if meant:
        allowed = [defaults, *(p for p in allowed if p != defaults)]
    if len(allowed) <= max_sets:
        return allowed, total
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.arange(1, len(allowed)))
    chosen = {0}
    for name, listed in values.items():
        for value in listed:
            holders = [int(k) for k in order if allowed[k][name] == value]
            if holders and not any(allowed[k][name] == value for k in chosen):
                chosen.add(holders[0])
    spaced = _even(np.setdiff1d(np.arange(len(allowed)), list(chosen)), max(0, max_sets - len(chosen)))
    return [allowed[k] for k in sorted(chosen | set(spaced.tolist()))], total


def _drawn_sets(
    idea: Strategy,
    values: Mapping[str, Sequence[Any]],
    where: str | Callable[..., bool] | None,
    max_sets: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Draw sets from a grid too large to write out: first one for each value, then at random."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, dict[str, Any]] = {}

    def draw(pinned: Mapping[str, Any]) -> bool:
        one = {n: (pinned[n] if n in pinned else v[int(rng.integers(len(v)))],) for n, v in values.items()}
        for params in idea.parameter_sets(one, where):
            drawn[repr(params)] = params
            return True
        return False

    for name, listed in values.items():
        for k in _even(np.arange(len(listed)), max_sets):
            any(draw({name: listed[k]}) for _ in range(200))
    for _ in range(20 * max_sets):
        if len(drawn) >= max_sets:
            break
        draw({})
    if not drawn:
        raise ParameterError(f"no parameter set of {idea.name} was found that the condition allows.")
    return list(drawn.values())
