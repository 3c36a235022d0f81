"""What the best trial of a sweep is worth: every test with its limit, and the sentence that says it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from quantlab.research.bootstrap import Intervals
    from quantlab.research.cscv import Cscv
    from quantlab.research.neighbourhood import Neighbourhood
    from quantlab.research.reality import RealityCheck
    from quantlab.research.stress import CostStress
    from quantlab.research.tradepaths import TradePaths

__all__ = ["Check", "Deflation", "Validation", "headline"]


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Parameters
    ----------
    name : str
        What is asked.
    value : float
        The number; NaN where there is none.
    limit : str
        What it must be, such as ">= 0.95".
    passes : bool or None
        Whether it is; None where there is no answer.
    required : bool
        Whether the verdict depends on it.
    text : str
        The answer in words.
    """

    name: str
    value: float
    limit: str
    passes: bool | None
    required: bool
    text: str

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold (NaN becomes None, infinity the text "inf")."""
        return {**vars(self), "value": plain(self.value)}


@dataclass(frozen=True)
class Deflation:
    """The best Sharpe ratio beside the one that as many trials without skill would show.

    Parameters
    ----------
    n_trials : int
        Trials of the sweep that did not fail.
    n_tried : int
        Trials of this strategy so far, by the ledger: `n_trials` without one.
    effective : float
        Number of different ideas among `n_tried`.
    variance : float
        Of the trials' Sharpe ratios, per bar.
    sharpe, noise_sharpe : float
        The best trial's, and the one to beat, both annual.
    psr, deflated_sharpe : float
        Probability that the true Sharpe ratio is above 0, and above that of noise.
    n_bars : int
        Bars that the Sharpe ratio is of.
    needed_bars, needed_bars_deflated : float
        Bars after which it would be above 0, and above that of noise, with 95 % confidence; infinite for never.
    """

    n_trials: int
    n_tried: int
    effective: float
    variance: float
    sharpe: float
    noise_sharpe: float
    psr: float
    deflated_sharpe: float
    n_bars: int
    needed_bars: float
    needed_bars_deflated: float

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold (NaN becomes None, infinity the text "inf")."""
        return {k: plain(v) for k, v in vars(self).items()}


@dataclass(frozen=True, eq=False)
class Validation:
    """What the best trial of a sweep is worth.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    trial : int
        Number of the best trial.
    params : dict
        Its complete parameters.
    metric : str
        What it is best by.
    value : float
        That metric.
    checks : tuple of Check
        Every question with its answer.
    deflation : Deflation
        The Sharpe ratio beside that of noise.
    cscv : Cscv or None
        Cross-validation of the choice; None for a single trial.
    against_cash, against_benchmark : RealityCheck or None
        Data-snooping tests of a sample of the trials with the best among them.
    intervals : Intervals or None
        Bootstrap intervals of the best trial's statistics.
    trade_paths : TradePaths or None
        Its trades in other orders; None where they are few.
    stress : CostStress
        It at higher costs.
    neighbourhood : Neighbourhood or None
        What its neighbours reach; None where its own value is infinite.
    null_worlds : dict or None
        What the sweep on histories without an edge came to, if that was run.
    notes : tuple of str
        What could not be answered, and why.
    """

    strategy: str
    trial: int
    params: dict[str, Any]
    metric: str
    value: float
    checks: tuple[Check, ...]
    deflation: Deflation
    cscv: Cscv | None
    against_cash: RealityCheck | None
    against_benchmark: RealityCheck | None
    intervals: Intervals | None
    trade_paths: TradePaths | None
    stress: CostStress
    neighbourhood: Neighbourhood | None
    null_worlds: dict[str, Any] | None
    notes: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether every required question that has an answer passes, the deflated Sharpe ratio among them."""
        answers = [c.passes for c in self.checks if c.required and c.passes is not None]
        return not math.isnan(self.deflation.deflated_sharpe) and all(answers)

    @property
    def sentence(self) -> str:
        """The headline: best of how many trials, effectively how many, deflated Sharpe ratio and PBO."""
        return headline(self.deflation, self.cscv)

    @property
    def frame(self) -> pd.DataFrame:
        """The checks as a table: one row each, by name."""
        import pandas as pd

        rows = [vars(c) for c in self.checks]
        return pd.DataFrame(rows).set_index("name")

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold."""

        def told(part: Any) -> Any:
            return None if part is None else part.describe()

        return {
            "sentence": self.sentence,
            "passes": self.passes,
            "strategy": self.strategy,
            "trial": self.trial,
            "params": {k: plain(v) for k, v in self.params.items()},
            "metric": self.metric,
            "value": plain(self.value),
            "checks": [c.describe() for c in self.checks],
            "deflation": self.deflation.describe(),
            "pbo": told(self.cscv),
            "against_cash": told(self.against_cash),
            "against_benchmark": told(self.against_benchmark),
            "intervals": told(self.intervals),
            "trade_paths": told(self.trade_paths),
            "stress": told(self.stress),
            "neighbourhood": told(self.neighbourhood),
            "null_worlds": self.null_worlds,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"Validation({self.strategy}: {self.sentence}; {'passes' if self.passes else 'does not pass'})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(c.name)}</td><td>{escape(answer(c))}</td><td>{escape(c.text)}</td></tr>"
            for c in self.checks
        )
        notes = "".join(f"<li>{escape(n)}</li>" for n in self.notes)
        return f"<p><b>{escape(repr(self))}</b></p><table>{rows}</table><ul>{notes}</ul>"


def headline(deflation: Deflation, cscv: Cscv | None) -> str:
    """Say how good the best is after so many tries.

    Parameters
    ----------
    deflation : Deflation
        With the numbers of trials.
    cscv : Cscv or None
        None where no choice was made.
    """
    count = f"best of {deflation.n_tried:,} trial{'s' * (deflation.n_tried != 1)}"
    if deflation.n_tried > deflation.n_trials:
        count += f" so far ({deflation.n_trials:,} in this sweep)"
    deflated = (
        "is not defined" if math.isnan(deflation.deflated_sharpe) else f"{deflation.deflated_sharpe:.2f}"
    )
    pbo = "not defined" if cscv is None else f"{cscv.pbo:.2f}"
    return f"{count}, effectively {deflation.effective:,.0f}, deflated Sharpe {deflated}, PBO {pbo}"


def answer(check: Check) -> str:
    """Whether a check passes, in a word; in brackets where the verdict does not depend on it."""
    word = {True: "yes", False: "no", None: "unknown"}[check.passes]
    return word if check.required else f"({word})"


def plain(value: Any) -> Any:
    """Turn a number into what JSON can hold: NaN into None, infinities into text, numpy's scalars into Python's."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0.0 else "-inf")
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
