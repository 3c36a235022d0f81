"""Reasons to look twice at a result, each with its rows to unfold: what a page shows of them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from quantlab.report.frame import section

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["Finding", "diagnostics"]

MAX_ROWS = 50
"""Most rows of evidence that a page lists of each; the result has all."""


class Finding(Protocol):
    """One reason to look twice."""

    @property
    def name(self) -> str:
        """What was found, in a word."""

    @property
    def severity(self) -> str:
        """``"warning"`` or ``"info"``."""

    @property
    def text(self) -> str:
        """What to read: a sentence with its numbers."""

    @property
    def evidence(self) -> pd.DataFrame:
        """Rows behind the text."""


def diagnostics(findings: Sequence[Finding]) -> str:
    """Section with one line for each finding, which unfolds into its rows; nothing where there are none.

    Parameters
    ----------
    findings : sequence of Finding
        In the order in which they are shown. Text and rows from outside are escaped here.
    """
    if not findings:
        return ""
    inner = "".join(_finding(each) for each in findings)
    return section("Diagnostics", f'<div class="findings">{inner}</div>', "", "long")


def _finding(finding: Finding) -> str:
    severity = "warning" if finding.severity == "warning" else "info"
    said = f'<b class="{severity}">{severity}</b><span>{escape(finding.text)}</span>'
    return (
        f"<details><summary>{said}</summary>"
        f'<div class="scroll" tabindex="0" role="group" aria-label="Evidence: {escape(finding.name)}">'
        f"{_table(finding.name, finding.evidence)}</div>{_more(len(finding.evidence))}</details>"
    )


def _more(n_rows: int) -> str:
    return f'<p class="how">The first {MAX_ROWS} of {n_rows:,} rows.</p>' if n_rows > MAX_ROWS else ""


def _table(name: str, frame: pd.DataFrame) -> str:
    numeric = [dtype.kind in "iuf" for dtype in frame.dtypes]
    classes = [" class=n" if n else "" for n in numeric]
    heads = "".join(
        f'<th scope="col"{kind}>{escape(str(column).strip("_").replace("_", " "))}</th>'
        for column, kind in zip(frame.columns, classes, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{k}>{escape(_cell(v))}</td>" for v, k in zip(row, classes, strict=True))
        + "</tr>"
        for row in frame.head(MAX_ROWS).itertuples(index=False, name=None)
    )
    return (
        f'<table><caption class="hidden">Evidence: {escape(name)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _cell(value: Any) -> str:
    """Show one value: times to the minute, numbers to six digits, a dash where there is none."""
    if value is None or value != value:  # noqa: PLR0124  # NaN and NaT differ from themselves
        return "–"
    if hasattr(value, "isoformat"):
        return str(value).removesuffix(" 00:00:00")[:16]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        f"{value:,.6g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
