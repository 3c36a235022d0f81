"""Does a signal know its future? Replace what comes after a bar, and see whether what came before changes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.errors import DataError, ParameterError, StrategyError
from quantlab.research.coverage import choose_sets, place_cuts, plan_cuts
from quantlab.research.examination import Examination, shortened
from quantlab.research.refitting import n_training_bars
from quantlab.research.scramble import take
from quantlab.research.verdict import CheckReport, Offence
from quantlab.research.warmup import TOLERANCES
from quantlab.strategy import Strategy, as_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["CheckReport", "Offence", "check"]

CUTS = 256
"""Cuts for the default parameter set: a peek at one bar in twenty escapes them once in 500,000."""

PAIRS = 1_000
"""Pairs of a parameter set and a cut in all, unless one cut of every kind for every set is more."""


def check(
    strategy: Strategy | Callable[..., Any],
    bars: Bars,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    where: str | Callable[..., bool] | None = None,
    cuts: int | Sequence[int] = CUTS,
    seed: int = 0,
    max_sets: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Test that no signal depends on a later bar, and measure how much history it needs.

    Everything after a cut is replaced: prices, volumes, factors, membership and fields come from another
    stretch, wilder, and are pushed up, then down; bars and whole assets go missing; one asset is replaced
    alone; or the bars end at the cut. Times stay. Every member of the signal at or before the cut must then
    stay what it was.

    A strategy with a fit is fitted on the first half of the bars, and every cut lies after it. It is fitted again on
    the bars as they are and on replaced futures, and must decide the same each time: a fit may depend on nothing
    but the bars it gets and its parameters.

    Parameters
    ----------
    strategy : Strategy or callable
        The signal function.
    bars : Bars
        What to test it on; two bars at least.
    grid : mapping of str to sequence, optional
        Parameter sets to test; the strategy's own grid if not given.
    where : str or callable, optional
        Condition on a set; the strategy's own if not given.
    cuts : int or sequence of int
        How many cuts the default parameter set gets (all sets when they are few), or the rows to cut after.
        They are placed early and late, at the ends and starts of weeks, months and years (of sessions, for
        bars within the day), at the ends of holes, and one in each of equal stretches of the rest.
    seed : int
        Seed of cuts and replaced bars: the same seed gives the same report.
    max_sets : int
        More parameter sets than this are sampled evenly; every value of every parameter stays in.
    progress : callable, optional
        Called with the number of evaluations done and planned.

    Returns
    -------
    CheckReport
        ``causal``, ``first_offence``, ``warmup`` and what was covered.

    Raises
    ------
    StrategyError
        If the strategy breaks its contract or raises on the bars as they are.
    DataError
        For fewer than two bars, or something that is no `Bars`.
    ParameterError
        For cuts outside the bars, or a condition that allows no parameter set.

    Notes
    -----
    Signals are compared for equality, NaN equal to NaN, not within a tolerance: a causal function given bars
    of the same shape does the same operations on the same numbers up to the cut, so that even the running
    sums of a moving average, noisy as they are, come out the same to the bit. Where the bars end at the cut
    the shape differs, and libraries that choose their order of summation by it (BLAS, pairwise sums) may
    differ in the last digits: there 1e-12, absolute within [-1, 1] and relative beyond, counts as equal.
    Truths must be equal throughout.
    """
    idea = _idea(strategy)
    if not isinstance(bars, Bars):
        raise DataError(f"Bars are needed, not {type(bars).__name__}; make them with Bars.from_frame(...).")
    if bars.n_bars < 2:
        raise DataError("one bar has no future to replace; check needs two bars at least.")
    if max_sets < 1:
        raise ParameterError(f"max_sets={max_sets!r}; at least one parameter set is needed.")
    sets, total = choose_sets(idea, grid, where, max_sets, seed)
    n_training = n_training_bars(bars) if idea.unfitted else 0
    places = _places(bars, cuts, seed, max(0, n_training - 1))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scrambled prices may well divide by zero
        run = Examination(idea, bars, sets, plan_cuts(places, len(sets), PAIRS), seed=seed, progress=progress)
        run.examine()
        notes = [*_model_notes(run, n_training), *run.examine_with_holes()]
        return _report(run, notes, grid, total)


def _idea(given: Any) -> Strategy:
    if not isinstance(given, Strategy) and not callable(given):
        raise StrategyError(
            f"a strategy or a function of bars is needed, not {type(given).__name__}: values that were "
            "computed before the test cannot change when the bars do. Give the function that computes them."
        )
    return as_strategy(given)


def _model_notes(run: Examination, n_training: int) -> list[str]:
    """Say what a model was fitted on, and what a reader should know of that."""
    fitting, bars = run.idea.fitting, run.bars

    def label(row: int) -> str:
        return str(bars.index[row])[: 16 if bars.intraday else 10]

    if fitting is not None:
        known = int(np.searchsorted(bars.time, fitting.last_ns, "right"))
        told = f"its model was fitted on bars up to {label(known - 1)}: it knows what came until then"
        return [told] * (known > 0)
    if not n_training:
        return []
    notes = [f"fitted on the first {n_training} bars, up to {label(n_training - 1)}; the cuts lie after them"]
    if not run.findings and not run.unstable and not run.model_reacts():
        notes.append(
            "its model gives the same signals when its training bars are replaced: it may have learned from elsewhere"
        )
    return notes


def _places(bars: Bars, cuts: int | Sequence[int], seed: int, first: int = 0) -> dict[str, NDArray[np.int64]]:
    """Rows to cut after, none before row `first`."""
    if isinstance(cuts, (int, np.integer)):
        if cuts < 1:
            raise ParameterError(f"cuts={cuts}; at least one cut is needed.")
        rest = bars if first == 0 else take(bars, slice(first, bars.n_bars))
        return {name: rows + first for name, rows in place_cuts(rest, int(cuts), seed).items()}
    given = np.unique(np.asarray(list(cuts)))
    if given.size == 0 or given.dtype.kind not in "iu" or given[0] < first or given[-1] > bars.n_bars - 2:
        raise ParameterError(
            f"cuts={cuts!r}; a number of cuts is needed, or rows from {first} to {bars.n_bars - 2} (the last bar "
            "but one)."
        )
    return {"given": given.astype(np.int64)}


def _report(
    run: Examination, notes: list[str], grid: Mapping[str, Sequence[Any]] | None, total: int | None
) -> CheckReport:
    idea, sets = run.idea, run.sets
    offence = run.locate()
    untested = run.untested()
    verdict = offence.kind if offence is not None else "not tested" if untested else "causal"
    keys = {k: tuple(map(_hashable, sets[k].values())) for k in run.warmups}
    notes = [*notes, *_notes(run, untested, offence is None)]
    return CheckReport(
        strategy=str(idea.name),
        data=repr(run.bars),
        verdict=verdict,
        parameters=tuple(idea.defaults),
        first_offence=offence,
        offending=tuple(sets[k] for k in sorted({*run.findings, *run.unstable})),
        warmup={keys[k]: w.value for k, w in run.warmups.items()} if verdict == "causal" else {},
        settling={keys[k]: {t: w.bars(t) for t in TOLERANCES} for k, w in run.warmups.items()},
        warmup_reasons={keys[k]: w.reason for k, w in run.warmups.items() if w.reason},
        cuts=tuple(run.plan),
        n_parameter_sets=len(sets),
        n_comparisons=int(run.compared.sum()),
        coverage=_coverage(run, idea.grid if grid is None else grid, total),
        notes=tuple(notes),
        seed=run.seed,
    )


def _hashable(value: Any) -> Any:
    return value if value.__hash__ is not None else repr(value)


def _notes(run: Examination, untested: list[int], quiet: bool) -> list[str]:
    notes = []
    if run.raised:
        notes.append(
            f"it raised {len(run.raised)} times on changed bars, first on {shortened(run.raised[0])}"
        )
    if untested:
        notes.append(
            f"{len(untested)} of {len(run.sets)} parameter sets could not be evaluated on changed bars, or on no "
            "history that ends at a cut; a result kept from an earlier call looks like this"
        )
    still = len(run.sets) - len(run.reacted | run.findings.keys() | run.unstable.keys())
    if quiet and still:
        notes.append(
            f"no change of prices after a cut ever changed a later signal of {still} of {len(run.sets)} "
            "parameter sets: they look at times only, trade too rarely for these bars, or repeat an earlier "
            "result"
        )
    if run.truths and run.warmups:
        notes.append(
            "the signal is true or false: its warm-up is that of the decision, since the averages beneath it "
            "are not visible"
        )
    return notes


def _coverage(run: Examination, grid: Mapping[str, Sequence[Any]], total: int | None) -> str:
    n_sets, n_cuts = len(run.sets), len(run.plan)
    per_set = np.bincount([k for wanting in run.plan.values() for k in wanting], minlength=n_sets)
    if not any(len(v) > 1 for v in grid.values()):
        width = "the one parameter set"
    elif total is not None and total <= n_sets:
        width = f"all {total} parameter sets of the grid" + " and the defaults" * (n_sets > total)
    else:
        tried = {n: [p[n] for p in run.sets] for n in grid}
        missing = sum(v not in tried[n] for n, values in grid.items() for v in values)
        of = f"{total:,}" if total is not None else "a grid too large to count"
        values = f"all but {missing} values" if missing else "every value of every parameter"
        width = f"{n_sets} parameter sets sampled evenly from {of} ({values})"
    least = int(per_set.min())
    if least < n_cuts:
        known = "the defaults" if run.sets[0] == run.idea.params() else "the first"
        width += f", {known} at all {n_cuts} cuts and each other set at {least} or more of them"
    else:
        width += f", each at {n_cuts} cuts"
    cuts = list(run.plan)
    first, last = (str(run.bars.index[k])[: 16 if run.bars.intraday else 10] for k in (cuts[0], cuts[-1]))
    ended = "; a set that offends is not cut on" if run.findings else ""
    return f"{width} from {first} to {last}; {int(run.compared.sum()):,} comparisons{ended}"
