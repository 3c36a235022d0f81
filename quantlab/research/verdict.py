"""What a causality test found: the first offence, the warm-ups, what was covered and what cannot be seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["BLIND_SPOTS", "CheckReport", "Offence"]

BLIND_SPOTS = (
    "a future that is in the bars already: revised fundamentals, an index's present members, later factors",
    "assets chosen because they survived, and parameters chosen because they did well",
    "values fitted on the whole sample outside the function, and files, clocks or networks it reads",
    "results kept from an earlier call: they do not change because they are not computed again",
    "a peek at bars that no cut was next to: a rarer one than the cuts are dense may pass",
    "prices inside a bar: a decision at its close may use its high and low, an order inside it may not",
)
"""What scrambling the future cannot show."""


SETTLED = 1e-9
"""The tolerance that defines the warm-up."""


def _shown(value: float | bool | None) -> str:
    if value is None:
        return "nothing"
    return str(value) if isinstance(value, bool) else f"{value:.10g}"


def _params_text(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in params.items())


@dataclass(frozen=True, slots=True)
class Offence:
    """One signal that changed though nothing at or before its bar did.

    Parameters
    ----------
    kind : {"looks ahead", "not reproducible"}
        Whether the future was replaced, or nothing at all (two equal calls differ).
    bar : int
        Row of the earliest signal that changed.
    time : Timestamp
        Its label in ``bars.index``.
    symbol : str
        The asset whose signal changed.
    params : dict
        The complete parameter set.
    member : str
        ``"target"`` or another member of `Signal`.
    before, after : float, bool or None
        The signal on the bars as they are, and on the changed ones; None: the member was not returned.
    cut : int or None
        Everything after this row was replaced.
    cut_time : Timestamp or None
        Its label.
    future : str
        How it was replaced.
    sources : tuple of str
        Assets of which each alone, its future replaced, changes the signal.
    reads_ahead : int or None
        How many bars after `bar` it reads at least; None if that could not be told.
    """

    kind: str
    bar: int
    time: pd.Timestamp
    symbol: str
    params: dict[str, Any]
    member: str
    before: float | bool | None
    after: float | bool | None
    cut: int | None = None
    cut_time: pd.Timestamp | None = None
    future: str = ""
    sources: tuple[str, ...] = ()
    reads_ahead: int | None = None

    def __str__(self) -> str:
        where = f"the {self.member} of {self.symbol} at {_label(self.time)} (bar {self.bar})"
        change = f"from {_shown(self.before)} to {_shown(self.after)}"
        params = _params_text(self.params)
        setting = f" with {params}" if params else ""
        if self.kind == "not reproducible":
            return f"{where} went {change} between two calls on the same bars{setting}."
        text = f"{where} changes {change} when {self.future} after {_label(self.cut_time)}{setting}"
        if self.sources and set(self.sources) != {self.symbol}:
            text += f"; it depends on the future of {', '.join(self.sources)}"
        if self.reads_ahead is not None:
            text += f"; it reads at least {self.reads_ahead} bar{'s' * (self.reads_ahead != 1)} ahead"
        return text + "."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes the text ``"nan"``."""

        def plain(value: float | bool | None) -> float | bool | str | None:
            return value if value is None or isinstance(value, bool) or value - value == 0 else str(value)

        return {
            "kind": self.kind,
            "bar": self.bar,
            "time": self.time.isoformat(),
            "symbol": self.symbol,
            "params": {k: _plain(v) for k, v in self.params.items()},
            "member": self.member,
            "before": plain(self.before),
            "after": plain(self.after),
            "cut": self.cut,
            "cut_time": None if self.cut_time is None else self.cut_time.isoformat(),
            "future": self.future,
            "sources": list(self.sources),
            "reads_ahead": self.reads_ahead,
            "sentence": str(self),
        }


def _label(time: pd.Timestamp | None) -> str:
    if time is None:
        return ""
    return time.strftime("%Y-%m-%d" if time == time.normalize() and time.tz is None else "%Y-%m-%d %H:%M %Z")


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@dataclass(frozen=True)
class CheckReport:
    """Outcome of `quantlab.check`.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    data : str
        The bars it was tested on, in one line.
    verdict : {"causal", "looks ahead", "not reproducible", "not tested"}
        ``"not tested"``: the strategy raised whenever its bars were changed, so nothing was compared.
    parameters : tuple of str
        Names of the parameters, in the order of the keys of `warmup`.
    first_offence : Offence or None
        The earliest offending bar that was found.
    offending : tuple of dict
        Parameter sets that offend, in grid order.
    warmup : dict
        Parameter set (its values as a tuple) -> bars of history after which the last value stays within
        1e-9 of what the full history gives; None: the whole history is needed, see `warmup_reasons`. Empty
        when the strategy is not causal.
    settling : dict
        Parameter set -> {tolerance: bars, or None beyond the sample} for 1e-3, 1e-6 and 1e-9.
    warmup_reasons : dict
        Parameter set -> why its warm-up is None.
    cuts : tuple of int
        Rows after which the future was replaced.
    n_parameter_sets : int
        How many were tested.
    n_comparisons : int
        How often a signal on replaced bars was compared with the one on the bars as they are.
    coverage : str
        What was covered, in words.
    notes : tuple of str
        What else a reader should know.
    seed : int
        Seed of all draws.
    """

    strategy: str
    data: str
    verdict: str
    parameters: tuple[str, ...]
    first_offence: Offence | None
    offending: tuple[dict[str, Any], ...]
    warmup: dict[tuple[Any, ...], int | None]
    settling: dict[tuple[Any, ...], dict[float, int | None]]
    warmup_reasons: dict[tuple[Any, ...], str]
    cuts: tuple[int, ...]
    n_parameter_sets: int
    n_comparisons: int
    coverage: str
    notes: tuple[str, ...]
    seed: int
    blind_spots: tuple[str, ...] = field(default=BLIND_SPOTS)

    @property
    def causal(self) -> bool:
        """Whether no signal changed with its future, and every one could be compared."""
        return self.verdict == "causal"

    def warmup_text(self) -> str:
        """Say the warm-ups in one line."""
        if not self.warmup:
            return "not measured, since the signal is not causal"
        known = [n for n in self.warmup.values() if n is not None]
        parts = []
        if known:
            span = f"{min(known)}" if min(known) == max(known) else f"{min(known)} to {max(known)}"
            parts.append(f"{span} bars")
        whole = len(self.warmup) - len(known)
        if whole:
            reason = next(iter(self.warmup_reasons.values()))
            parts.append(f"the whole history for {whole} of {len(self.warmup)} parameter sets: it {reason}")
            seen = [self.settling[key][SETTLED] for key, bars in self.warmup.items() if bars is None]
            if all(bars is not None and bars > 1 for bars in seen):
                parts.append(f"in these bars even those settled after {max(b for b in seen if b)}")
        return "; ".join(parts)

    def settling_text(self) -> str:
        """Say when the slowest parameter set settles, by tolerance; empty where all are the same."""
        slowest: dict[float, int | None] = {}
        for settled in self.settling.values():
            for tolerance, bars in settled.items():
                worst = slowest.get(tolerance, 0)
                slowest[tolerance] = None if bars is None or worst is None else max(worst, bars)
        if len(set(slowest.values())) < 2:
            return ""
        return ", ".join(
            f"within {t:g} after {'more than the sample' if n is None else n}" for t, n in slowest.items()
        )

    def __str__(self) -> str:
        lines = [f"{self.strategy} on {self.data}: {self.verdict}"]
        if self.first_offence is not None:
            lines.append(f"  first offence: {self.first_offence}")
            lines.append(f"  parameter sets that offend: {len(self.offending)} of {self.n_parameter_sets}")
        lines.append(f"  warm-up: {self.warmup_text()}")
        if self.settling_text():
            lines.append(f"  settling: {self.settling_text()}")
        lines.append(f"  covered: {self.coverage}")
        lines += [f"  note: {note}" for note in self.notes]
        lines += ["  cannot be seen this way:", *(f"    - {spot}" for spot in self.blind_spots)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "strategy": self.strategy,
            "data": self.data,
            "causal": self.causal,
            "verdict": self.verdict,
            "first_offence": None if self.first_offence is None else self.first_offence.to_dict(),
            "offending": [{k: _plain(v) for k, v in p.items()} for p in self.offending],
            "warmup": [
                {
                    "params": {n: _plain(v) for n, v in zip(self.parameters, key, strict=True)},
                    "bars": bars,
                    "settling": {f"{t:g}": n for t, n in self.settling[key].items()},
                    "reason": self.warmup_reasons.get(key, ""),
                }
                for key, bars in self.warmup.items()
            ],
            "cuts": list(self.cuts),
            "n_parameter_sets": self.n_parameter_sets,
            "n_comparisons": self.n_comparisons,
            "coverage": self.coverage,
            "blind_spots": list(self.blind_spots),
            "notes": list(self.notes),
            "seed": self.seed,
        }

    def _repr_html_(self) -> str:
        rows = {"verdict": self.verdict, "tested on": self.data}
        if self.first_offence is not None:
            rows |= {
                "first offence": str(self.first_offence),
                "parameter sets that offend": f"{len(self.offending)} of {self.n_parameter_sets}",
            }
        rows |= {"warm-up": self.warmup_text()}
        if self.settling_text():
            rows |= {"settling": self.settling_text()}
        rows |= {"covered": self.coverage, "notes": "; ".join(self.notes) or "none"}
        rows |= {"cannot be seen": "; ".join(self.blind_spots)}
        cells = "".join(
            f"<tr><th style='text-align:left;vertical-align:top'>{escape(k)}</th>"
            f"<td style='text-align:left'>{escape(v)}</td></tr>"
            for k, v in rows.items()
        )
        return f"<table><caption>{escape(self.strategy)}</caption>{cells}</table>"
