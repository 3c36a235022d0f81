"""What the report of a sweep shows: plain frames and text, gathered for `quantlab.report.sweep_page`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.kernels.stats import SMALLER_IS_BETTER
from quantlab.report.sweep_content import SweepContent

if TYPE_CHECKING:
    import pandas as pd

    from quantlab.research.sweep_result import SweepResult
    from quantlab.research.validation import Validation

__all__ = ["content_of"]

FAN = 10
"""Best trials whose equity is drawn."""


def content_of(
    sweep: SweepResult, metric: str = "sharpe", validation: Validation | None = None
) -> SweepContent:
    """Gather everything that the report of a sweep shows.

    Parameters
    ----------
    sweep : SweepResult
        What is reported. The best trials are run again for their equity.
    metric : str
        By which trials are ranked.
    validation : Validation, optional
        What the best is worth; without it the report says nothing about that.
    """
    ranked = sweep.ranked(metric, FAN)
    equities, benchmark, name = None, None, "Buy and hold"
    if len(ranked):
        first = sweep.trial(int(ranked[0]))
        equities, benchmark = sweep.equities(metric, FAN), first.benchmark
        name = str(first.settings["benchmark"]).capitalize()
    notes = (
        [] if sweep.complete else ["The sweep was interrupted: trials that were not reached have no values."]
    )
    content = SweepContent(
        title=sweep.strategy.name,
        table=sweep.table,
        names=sweep.trials.names,
        metric=metric,
        smaller_is_better=metric in SMALLER_IS_BETTER,
        equities=equities,
        benchmark=benchmark,
        benchmark_name=name,
        settings=sweep.settings,
        fingerprint=sweep.fingerprint,
        notes=notes,
    )
    return content if validation is None else _with_worth(content, validation)


def _with_worth(content: SweepContent, validation: Validation) -> SweepContent:
    from dataclasses import replace

    deflation, cscv = validation.deflation, validation.cscv
    worlds: dict[str, Any] = validation.null_worlds or {}
    worth = {
        "n_trials": deflation.n_tried,
        "n_effective": deflation.effective,
        "expected_max_sharpe": deflation.noise_sharpe,
        "deflated_sharpe": deflation.deflated_sharpe,
        "pbo": None if cscv is None else cscv.pbo,
        "beats_noise": worlds.get("beats"),
        "min_track_record_bars": deflation.needed_bars,
    }
    checks = [
        {"name": c.name, "value": f"{c.value:.4g}", "passed": c.passes if c.required else None, "how": c.text}
        for c in validation.checks
    ]
    return replace(
        content,
        worth={k: float(v) for k, v in worth.items() if v is not None},
        sentence=validation.sentence,
        checks=checks,
        logits=None if cscv is None else cscv.logits,
        tables=_tables(validation),
        notes=[*content.notes, *validation.notes],
    )


def _tables(validation: Validation) -> dict[str, pd.DataFrame]:
    """Tables of the parts that have one."""
    found = {"Costs raised": validation.stress, "Bootstrap intervals": validation.intervals}
    return {name: part.table for name, part in found.items() if part is not None}
