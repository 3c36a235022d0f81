"""Findings: what a check of prices found, as records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

__all__ = ["SEVERITIES", "Finding", "Findings"]

SEVERITIES = ("info", "warning", "error")
"""info: good to know; warning: look at it before you trade on it; error: a backtest on it is wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of defect in one symbol.

    Attributes
    ----------
    check : str
        Name of the check, as listed in docs/data.md.
    severity : str
        One of ``SEVERITIES``.
    symbol : str
    first, last : str
        Labels of the first and last bar at fault: session dates, or closes in UTC for intraday bars.
    count : int
        How many bars, sessions or places.
    detail : str
        What was seen, with numbers.
    advice : str
        What to do.
    """

    check: str
    severity: str
    symbol: str
    first: str
    last: str
    count: int
    detail: str
    advice: str

    def __str__(self) -> str:
        span = self.first if self.first == self.last else f"{self.first} to {self.last}"
        return (
            f"{self.severity}: {self.symbol} {self.check} ({self.count}) {span}: {self.detail} {self.advice}"
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found, and what it looked at.

    Attributes
    ----------
    records : tuple of Finding
    n_series, n_bars : int
        How much was looked at.
    skipped : tuple of str
        Checks that could not be made, with the reason.
    """

    records: tuple[Finding, ...]
    n_series: int
    n_bars: int
    skipped: tuple[str, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __add__(self, other: Findings) -> Findings:
        skipped = tuple(dict.fromkeys(self.skipped + other.skipped))
        n_series, n_bars = self.n_series + other.n_series, self.n_bars + other.n_bars
        return Findings(self.records + other.records, n_series, n_bars, skipped)

    def of(self, severity: str) -> tuple[Finding, ...]:
        """Return the records of one severity."""
        return tuple(r for r in self.records if r.severity == severity)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    def to_records(self) -> list[dict[str, Any]]:
        """Return the records as dictionaries, JSON-able."""
        return [asdict(r) for r in self.records]

    def to_frame(self) -> pd.DataFrame:
        """Return the records as a frame, one row each."""
        import pandas as pd

        return pd.DataFrame(self.to_records(), columns=list(Finding.__slots__))

    def __str__(self) -> str:
        counts = ", ".join(f"{len(self.of(s))} {s}" for s in reversed(SEVERITIES))
        head = f"{self.n_series} series, {self.n_bars} bars: {counts}"
        return "\n".join([head, *map(str, self.records), *(f"not checked: {s}" for s in self.skipped)])
