"""What a diagnostic is, and the thresholds from which each speaks: docs/diagnostics.md has them with their advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INFO", "WARNING", "Diagnostic"]

WARNING, INFO = "warning", "info"
"""Severities: the number may mislead; or it is worth knowing."""

# -- fills against their bars ---------------------------------------------------------------------------

THIN = 0.05
"""Share of an asset's median volume below which a bar counts as nearly without trade. Of the 12,000 daily bars of the
sample the thinnest is at 0.08, half sessions included."""

PARTICIPATION = 0.05
"""Share of a bar's volume that one's own fills may be: costs here do not know that size moves prices, and from a few
percent of the volume on it does."""

EXTREME = 0.10
"""Share of fills at the best price of their bar from which luck, or data that cannot be traded, is asked about."""

CHANCE = 2.0
"""And times what chance gives: an open is at one end of the range in 1 to 4 % of daily bars, and far more often in
minutes of few ticks."""

EXTREME_FILLS = 3
"""And fills of that kind: one or two say nothing."""

BEYOND = 0.10
"""Share of fills priced outside their bar from which that is told. Some always are: an open at the high, worsened."""

DOUBTFUL = 0.10
"""Share of trades that the pessimistic rule decides from which it is a warning: as many may be told wrong."""

# -- the result as a whole ------------------------------------------------------------------------------

LEFT = 0.5
"""Share of the profit that must remain without the best trade, or the best month."""

MONTHS = 12
"""Months below which one of them is always a large part."""

COST_MULTIPLE = 2.0
"""Multiple of its costs that a profit should survive: published rates leave out market impact, and spreads double in
bad weeks. `quantlab validate` asks for the same."""

COST_LIMIT = 2_000_000
"""Bars x assets up to which the break-even is looked for: sixteen runs, about two seconds."""

TRADES = 30
"""Closed trades below which averages over them are noise: the normal approximation is said to begin there."""

TRADES_PER_PARAMETER = 10
"""Closed trades for each free parameter: the rule of thumb of ten observations per variable (Peduzzi et al., 1996)."""

REJECTED = 0.10
"""Share of rejected orders from which the result is that of another strategy."""

LISTED = 50
"""Rows of evidence that are written out as JSON; the frame has all."""


@dataclass(frozen=True, eq=False, repr=False)
class Diagnostic:
    """One reason to look twice at a result, with the rows that prove it.

    Parameters
    ----------
    name : str
        What was found, as docs/diagnostics.md lists it.
    severity : str
        `WARNING` or `INFO`.
    text : str
        One or two sentences with the numbers.
    evidence : DataFrame
        The rows behind them; times are labels of the bars, prices and units those of the bars.
    """

    name: str
    severity: str
    text: str
    evidence: pd.DataFrame

    def __repr__(self) -> str:
        return f"{self.severity}: {self.text} [{self.name}]"

    def describe(self) -> dict[str, Any]:
        """Everything as plain values, with the first `LISTED` rows of evidence and their number."""
        return {
            "name": self.name,
            "severity": self.severity,
            "text": self.text,
            "n_rows": len(self.evidence),
            "evidence": self.evidence.head(LISTED).to_dict("records"),
        }
