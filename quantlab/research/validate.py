"""Put the best trial of a sweep to every test."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.kernels.stats import STATS
from quantlab.research.bootstrap import bootstrap_intervals, check_draws
from quantlab.research.cscv import check_blocks, pbo_of_moments
from quantlab.research.neighbourhood import neighbourhood
from quantlab.research.overfitting import (
    deflated_sharpe,
    expected_max_sharpe,
    min_track_record_length,
    psr,
    sharpe_variance,
)
from quantlab.research.reality import coarsen, reality_check
from quantlab.research.sampling import SAMPLE, ran_of, sample_trials, steps_of
from quantlab.research.stress import cost_stress
from quantlab.research.tradepaths import trade_paths
from quantlab.research.validation import Check, Deflation, Validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quantlab.engine.result import Result
    from quantlab.research.cscv import Cscv
    from quantlab.research.neighbourhood import Neighbourhood
    from quantlab.research.reality import RealityCheck
    from quantlab.research.sampling import Sample
    from quantlab.research.sweep_result import SweepResult

__all__ = ["check_options", "deflate", "sharpe_worth", "validate"]

CONFIDENCE = 0.95
"""Deflated Sharpe ratio, and share of null worlds beaten, that pass."""

P_VALUE = 0.05
"""Largest p-value of the test of superior predictive ability that passes."""

COIN = 0.5
"""PBO that fails: choosing by the past is no better than choosing at random."""

STRESSED = 2.0
"""Multiple of all costs at which something must still be earned."""

N_PARTS = 16
"""Parts of time that a sweep keeps, if nothing is said."""

COMPARED = 200
"""Trials in the data-snooping tests at most."""


def validate(
    sweep: SweepResult,
    *,
    metric: str = "sharpe",
    ledger: Any = None,
    null_worlds: Any = None,
    seed: int = 0,
    n_resamples: int = 1_000,
    n_sample: int = SAMPLE,
    blocks: int | None = None,
) -> Validation:
    """Say what the best trial of a sweep is worth after so many tries.

    Parameters
    ----------
    sweep : SweepResult
        The trials.
    metric : str
        Statistic that the best is chosen by.
    ledger : Ledger, optional
        What was tried before: its count and the variance of its Sharpe ratios take the place of the sweep's own.
    null_worlds : NullWorlds, optional
        The whole sweep on histories without an edge, where it was run: its verdict is one of the checks.
    seed : int
        Of everything drawn.
    n_resamples : int
        Histories, and orders of trades, that are drawn; 100 or more.
    n_sample : int
        Trials that are run again to count different ideas and for the data-snooping tests; 2 or more.
    blocks : int, optional
        Blocks of PBO; default: the parts of the sweep.

    Returns
    -------
    Validation

    Raises
    ------
    UnknownNameError
        For a metric that no trial has.
    ParameterError
        For options out of range.
    DataError
        For a sweep without a single trial that could be the best.
    MissingExtraError
        Without arch and scipy (the extra ``research``).

    Notes
    -----
    docs/overfitting.md says what each check asks, its limit, and why the verdict depends on it.
    """
    check_options(
        metric, n_resamples=n_resamples, n_sample=n_sample, blocks=blocks, n_parts=len(sweep.edges) - 1
    )
    trial = _best(sweep, metric)
    notes: list[str] = []
    if metric != "sharpe":
        notes.append(
            f"the best is chosen by {metric}; PBO and the deflated ratio are by Sharpe all the same."
        )
    if not sweep.complete:
        notes.append("the sweep was stopped before its end: only the trials that ran are counted.")
    result = sweep.trial(trial)
    sample = sample_trials(sweep, n_sample, seed=seed)
    deflation = deflate(sweep, trial, sample.effective, n_trials=sample.n_trials, ledger=ledger)
    cash, market = _snooping(sweep, result, sample, notes, trial=trial, n_resamples=n_resamples, seed=seed)
    found: dict[str, Any] = {
        "cscv": _or_note(lambda: _cscv(sweep, blocks), "PBO", notes),
        "against_cash": cash,
        "against_benchmark": market,
        "intervals": _or_note(
            lambda: bootstrap_intervals(result, n_resamples=n_resamples, seed=seed), "intervals", notes
        ),
        "trade_paths": _or_note(
            lambda: trade_paths(result, n_paths=n_resamples, seed=seed), "order of trades", notes
        ),
        "stress": cost_stress(result, multipliers=(1.0, STRESSED, 3.0, 5.0)),
        "neighbourhood": _or_note(lambda: _neighbours(sweep, metric, trial), "neighbours", notes),
        "null_worlds": None if null_worlds is None else null_worlds.describe(),
    }
    beats = math.nan if null_worlds is None else float(null_worlds.beats)
    return Validation(
        strategy=str(sweep.strategy.name),
        trial=trial,
        params=dict(result.params),
        metric=metric,
        value=float(sweep.metric(metric)[trial]),
        checks=(*_required(deflation, found, beats), *_informative(deflation, found)),
        deflation=deflation,
        notes=tuple(notes),
        **found,
    )


def check_options(
    metric: str,
    *,
    n_resamples: int = 1_000,
    n_sample: int = SAMPLE,
    blocks: int | None = None,
    n_parts: int = N_PARTS,
) -> None:
    """Check the options of `validate`, which a caller may do before a long sweep.

    Raises
    ------
    UnknownNameError, ParameterError
        As `validate` does; `n_parts` are the parts that the sweep has, or will have.
    """
    if metric not in STATS:
        raise UnknownNameError("metric", str(metric), STATS)
    check_draws("n_resamples", n_resamples)
    if isinstance(n_sample, bool) or not isinstance(n_sample, int) or n_sample < 2:
        raise ParameterError(f"n_sample is {n_sample!r}; a whole number of 2 or more is needed.")
    if blocks is not None:
        check_blocks(blocks, n_parts)


def deflate(
    sweep: SweepResult, trial: int, effective: float, *, n_trials: int | None = None, ledger: Any = None
) -> Deflation:
    """Deflate the Sharpe ratio of one trial of a sweep by the number of tries.

    Parameters
    ----------
    sweep : SweepResult
        The trials.
    trial : int
        Which of them.
    effective : float
        Number of different ideas among the trials of the sweep.
    n_trials : int, optional
        Trials of the sweep that did not fail; counted if not given.
    ledger : Ledger, optional
        With the count and variance of everything tried so far; those of the sweep are taken where it has fewer.

    Returns
    -------
    Deflation

    Notes
    -----
    Trials of the ledger beyond this sweep are taken to be as much alike as those of the sweep: `effective` grows in
    proportion.
    """
    year = math.sqrt(sweep.bars_per_year)
    ratios = np.asarray(sweep.sharpes(), np.float64)
    own = int(ran_of(sweep).sum()) if n_trials is None else n_trials
    tried, variance = own, sharpe_variance(ratios, sweep.n_bars)
    if ledger is not None:
        before = ledger.tried(str(sweep.strategy.name), bars_per_year=sweep.bars_per_year)
        if before.n_trials >= own and math.isfinite(before.variance):
            tried = int(before.n_trials)
            variance = max(float(before.variance), 1.0 / (sweep.n_bars - 1))
    count = max(effective * tried / max(own, 1), 1.0)
    sharpe = float(ratios[trial])
    shape = {k: float(sweep.metric(k)[trial]) for k in ("skew", "kurtosis")}
    noise = expected_max_sharpe(count, variance)
    return Deflation(
        n_trials=own,
        n_tried=tried,
        effective=count,
        variance=variance,
        sharpe=sharpe * year,
        noise_sharpe=noise * year,
        psr=psr(sharpe, n_obs=sweep.n_bars, **shape),
        deflated_sharpe=deflated_sharpe(
            sharpe, n_obs=sweep.n_bars, **shape, n_trials=count, trials_variance=variance
        ),
        n_bars=int(sweep.n_bars),
        needed_bars=min_track_record_length(sharpe, **shape),
        needed_bars_deflated=min_track_record_length(sharpe, noise, **shape),
    )


def sharpe_worth(
    sweep: SweepResult,
    *,
    metric: str = "sharpe",
    ledger: Any = None,
    n_sample: int = SAMPLE,
    seed: int = 0,
) -> Deflation:
    """Deflate the Sharpe ratio of the best trial of a sweep; parameters and errors as in `validate`.

    Trials are run again only to count how many are different.
    """
    check_options(metric, n_sample=n_sample)
    trial = _best(sweep, metric)
    sample = sample_trials(sweep, n_sample, seed=seed)
    return deflate(sweep, trial, sample.effective, n_trials=sample.n_trials, ledger=ledger)


# -- the parts ---------------------------------------------------------------------------------------------


def _best(sweep: SweepResult, metric: str) -> int:
    """Find the best trial.

    Raises
    ------
    DataError
        If there is none.
    """
    best = sweep.best(metric, 1)
    if not len(best):
        raise DataError(f"no trial of the sweep has a {metric}: all failed, were ruined, or never traded.")
    return int(best.index[0])


def _or_note(make: Callable[[], Any], what: str, notes: list[str]) -> Any:
    """Run a test; None, with a note of why, where the data give no answer."""
    try:
        return make()
    except DataError as error:
        notes.append(f"{what}: {error}")
        return None


def _cscv(sweep: SweepResult, blocks: int | None) -> Cscv:
    return pbo_of_moments(
        sweep.moments,
        np.diff(sweep.edges),
        blocks=blocks,
        risk_free=sweep.risk_free / sweep.bars_per_year,
    )


def _neighbours(sweep: SweepResult, metric: str, trial: int) -> Neighbourhood:
    values = sweep.metric(metric)
    # The best is at one end of the values: which end says whether small or large is good.
    small = bool(values[trial] < np.nanmedian(values))
    return neighbourhood(sweep.trials, values, trial, smaller_is_better=small)


def _snooping(
    sweep: SweepResult,
    result: Result,
    sample: Sample,
    notes: list[str],
    *,
    trial: int,
    n_resamples: int,
    seed: int,
) -> tuple[Any, Any]:
    """Test the best among a sample of the trials against cash and against the benchmark."""
    every = np.unique(np.linspace(0, len(sample.rows) - 1, min(COMPARED, len(sample.rows))).astype(int))
    steps = sample.steps[:, every]
    if trial not in sample.rows[every]:
        steps = np.hstack((steps, steps_of(sweep, [trial])))
    if steps.shape[1] < sample.n_trials:
        notes.append(
            f"the data-snooping tests saw {steps.shape[1]} of {sample.n_trials:,} trials, the best among them: their "
            "p-values flatter."
        )
    values = result.benchmark.to_numpy(np.float64)
    market = values / np.concatenate(([result.cash_start], values[:-1])) - 1.0
    # A ruined trial has fewer bars; the best is none, so its benchmark is as long as the returns.
    per_step = sweep.n_bars / max(len(steps), 1)
    idle = np.full(len(steps), sweep.risk_free / sweep.bars_per_year * per_step)

    def against(other: NDArray[np.float64]) -> Callable[[], Any]:
        def test() -> Any:
            found = reality_check(steps, other, n_resamples=n_resamples, size=P_VALUE, seed=seed)
            return replace(found, bars_per_step=per_step)

        return test

    return (
        _or_note(against(idle), "data-snooping test against cash", notes),
        _or_note(against(coarsen(market)), "data-snooping test against the benchmark", notes),
    )


# -- the checks --------------------------------------------------------------------------------------------


def _check(name: str, value: float, limit: str, text: str, *, required: bool, passes: bool) -> Check:
    """Answer of a number; none where it is NaN."""
    known = not math.isnan(value)
    return Check(name, value, limit, passes if known else None, required, text if known else "no answer")


def _required(d: Deflation, found: dict[str, Any], beats: float) -> list[Check]:
    """Questions that the verdict depends on."""
    cscv, cash, near = found["cscv"], found["against_cash"], found["neighbourhood"]
    pbo = math.nan if cscv is None else cscv.pbo
    p = math.nan if cash is None else cash.p_spa
    table = found["stress"].table
    row = table[(table["kind"] == "costs x") & (table["value"] == STRESSED)].iloc[0]
    left = float(row["total_return"])
    checks = [
        _check(
            "deflated Sharpe",
            d.deflated_sharpe,
            f">= {CONFIDENCE}",
            f"Sharpe {d.sharpe:.2f} against {d.noise_sharpe:.2f}, the best that {d.effective:,.0f} trials without "
            "skill would show",
            required=True,
            passes=d.deflated_sharpe >= CONFIDENCE,
        ),
        _check(
            "PBO",
            pbo,
            f"< {COIN}",
            f"the best of one half of time is no better than the median in the other {pbo:.0%} of the time",
            required=True,
            passes=pbo < COIN,
        ),
        _check(
            "better than cash (SPA)",
            p,
            f"<= {P_VALUE}",
            _luck(cash),
            required=True,
            passes=p <= P_VALUE,
        ),
        _check(
            f"earns at {STRESSED:g}x costs",
            left,
            "> 0",
            f"total return {left:+.1%} with every cost times {STRESSED:g}",
            required=True,
            passes=left > 0.0,
        ),
        Check(
            "plateau",
            math.nan if near is None else near.retained,
            ">= 0.5",
            None if near is None or near.verdict in {"alone", "flat"} else near.verdict == "plateau",
            required=True,
            text=_neighbours_text(near),
        ),
    ]
    if found["null_worlds"] is not None:
        text = f"the best beats that of {beats:.1%} of the histories without an edge"
        checks.append(
            _check("null worlds", beats, f">= {CONFIDENCE}", text, required=True, passes=beats >= CONFIDENCE)
        )
    return checks


def _luck(check: RealityCheck | None) -> str:
    """Say how probable as good a best is without skill."""
    if check is None:
        return ""
    least = 1.0 / check.n_resamples
    return (
        f"the best of {check.n_trials} such trials without skill is as good with a probability "
        f"{'below' if check.p_spa < least else 'of'} {max(check.p_spa, least):.3f}"
    )


def _neighbours_text(near: Neighbourhood | None) -> str:
    if near is None:
        return "no answer"
    if near.verdict == "alone":
        return "no neighbouring parameter set was tried"
    if near.verdict == "flat":
        return "the best leads the median trial by nothing"
    return (
        f"{near.verdict}: the median of {len(near.rows)} neighbours keeps {near.retained:.0%} of the lead, the worst "
        f"{near.retained_worst:.0%}"
    )


def _informative(d: Deflation, found: dict[str, Any]) -> list[Check]:
    """Questions that are answered beside the verdict."""
    market, intervals, paths = found["against_benchmark"], found["intervals"], found["trade_paths"]
    p = math.nan if market is None else market.p_spa
    low = math.nan if intervals is None else float(intervals.table.loc["sharpe", "low"])
    lucky = math.nan if paths is None else paths.share_of_worse_orders
    even = found["stress"].break_even_bps
    enough = "more than there can be" if math.isinf(d.needed_bars) else f"{d.needed_bars:,.0f}"
    return [
        _check(
            "better than the benchmark (SPA)",
            p,
            f"<= {P_VALUE}",
            _luck(market),
            required=False,
            passes=p <= P_VALUE,
        ),
        _check(
            "track record",
            d.n_bars / d.needed_bars if d.needed_bars else math.nan,
            ">= 1",
            f"{d.n_bars:,} bars; to be 95% sure of a Sharpe ratio above 0, {enough} are needed",
            required=False,
            passes=d.n_bars >= d.needed_bars,
        ),
        _check(
            "Sharpe interval",
            low,
            "> 0",
            f"resampled histories leave it above {low:.2f} in 97.5% of cases",
            required=False,
            passes=low > 0.0,
        ),
        _check(
            "order of trades",
            lucky,
            "<= 0.95",
            f"{lucky:.0%} of the orders of the same trades draw down deeper",
            required=False,
            passes=lucky <= CONFIDENCE,
        ),
        _check(
            "break-even slippage",
            even,
            ">= 5 bp",
            "no slippage up to 1,000 bp eats it up" if math.isinf(even) else f"{even:.1f} bp a fill",
            required=False,
            passes=even >= 5.0,
        ),
    ]
