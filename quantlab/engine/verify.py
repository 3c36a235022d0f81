"""A recorded result, run again: the same strategy, bars and settings must give the same numbers to the last bit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.engine.result import digest
from quantlab.engine.setup import OWN_BENCHMARKS
from quantlab.errors import DataError, InputError
from quantlab.report.record import COMPARED, Difference, content_to_data, first_difference
from quantlab.sizing import Account, Sizing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quantlab.bars import Bars
    from quantlab.strategy import Strategy

__all__ = ["Verification", "hash_of_source", "verify_result"]

OPTIONS = (
    "cash",
    "costs",
    "sizing",
    "account",
    "fill",
    "risk_free",
    "benchmark",
    "benchmark_data",
    "start",
    "end",
)
"""Settings of a run, as `Result.settings` has them; a report adds strategy, parameters and bars."""

HELD = "buy-and-hold "
ABOUT = ("symbols", "bar_size", "n_bars")
"""What a report says of its bars beyond where they come from."""

OF_BENCHMARK = ("buy_hold_return", "alpha", "beta")
"""Statistics that depend on the benchmark."""


@dataclass(frozen=True)
class Verification:
    """What running a recorded result again came to.

    Parameters
    ----------
    difference : Difference or None
        The first number that differs; None if none does.
    notes : tuple of str
        What was not compared, and what else a reader should know.
    content : ReportContent or None
        What a report of the new run shows; None if it was not run.
    """

    difference: Difference | None
    notes: tuple[str, ...] = ()
    content: Any = None

    @property
    def same(self) -> bool:
        """Whether everything that was compared is the same."""
        return self.difference is None


def hash_of_source(text: str) -> str:
    """Hash of a strategy's source, as the fingerprint has it (32 hex digits)."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def verify_result(recorded: Mapping[str, Any], strategy: Strategy, bars: Bars) -> Verification:
    """Run a recorded result again and compare.

    Parameters
    ----------
    recorded : mapping
        From `quantlab.report.read_result`.
    strategy : Strategy
        Given by the user; compared with the record by its hash.
    bars : Bars
        The bars that the strategy saw; compared by their content hash.

    Returns
    -------
    Verification
        Strategy and data are compared first, and nothing is run if either differs.

    Raises
    ------
    DataError
        For a record without the settings of a run, or with settings that are none.
    """
    settings, fingerprint = recorded["settings"], recorded["fingerprint"]
    _check_record(recorded)
    for part, now in (("strategy", strategy.source_hash), ("data", bars.content_hash)):
        if fingerprint[part] != now:
            return Verification(Difference(f"fingerprint.{part}", fingerprint[part], now))
    benchmark, notes = _benchmark(settings)
    try:
        result = backtest(
            strategy,
            bars,
            _params(strategy, settings["params"]),
            cash=settings["cash"],
            costs=Costs.from_description(settings["costs"]),
            sizing=Sizing(**settings["sizing"]),
            account=Account(**settings["account"]),
            fill=settings["fill"],
            start=settings["start"],
            end=settings["end"],
            benchmark=benchmark,
            risk_free=settings["risk_free"],
        )
    except (InputError, TypeError) as error:
        raise DataError(f"the run that the report records cannot be run again: {error}") from error
    content = result.content()
    again, before = content_to_data(content), dict(recorded)
    about = first_difference(_about(before), _about(again), ("settings",))
    if about is not None:
        return Verification(about, notes)
    if notes:
        again["fingerprint"] = _with_benchmark(again["fingerprint"], settings)
        for data in (again, before):
            data["stats"] = {k: v for k, v in data["stats"].items() if k not in OF_BENCHMARK}
    return Verification(first_difference(before, again, COMPARED), notes, content)


def _about(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take what a record says of strategy and bars beside their hashes; where bars were read from may change."""
    settings = data["settings"]
    bars = {k: settings["bars"].get(k) for k in ABOUT}
    return {"settings": {"strategy": settings["strategy"], "bars": bars}}


def _check_record(recorded: Mapping[str, Any]) -> None:
    """Refuse records that do not say how to run them again."""
    settings, fingerprint = recorded["settings"], recorded["fingerprint"]
    missing = [k for k in (*OPTIONS, "strategy", "params", "bars") if k not in settings]
    missing += [k for k in ("strategy", "parameters", "data", "settings", "digest") if k not in fingerprint]
    if missing:
        raise DataError(f"the report does not record {missing[0]!r}, without which it cannot be run again.")
    if settings["strategy"] is None:
        raise DataError(
            "the report is of a target array, which is not in it: there is no strategy to run again. Write the "
            "rule as a function of bars, and make the report from that."
        )
    kinds = {"params": dict, "costs": dict, "sizing": dict, "account": dict, "bars": dict, "benchmark": str}
    for name, kind in kinds.items():
        if not isinstance(settings[name], kind):
            raise DataError(
                f"the report's setting {name!r} is {settings[name]!r}, which is no setting of a run."
            )


def _params(strategy: Strategy, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they were: JSON has lists where the strategy has tuples."""
    return {
        k: tuple(v) if isinstance(v, list) and isinstance(strategy.defaults.get(k), tuple) else v
        for k, v in recorded.items()
    }


def _benchmark(settings: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Find the benchmark of its name, or say that it is not in the report."""
    name = settings["benchmark"]
    if settings["benchmark_data"] is not None:
        note = f"the benchmark ({name}) was given by the user and is not in the report: {', '.join(OF_BENCHMARK)}"
        return None, (f"{note} are not compared",)
    return None if name in OWN_BENCHMARKS else name.removeprefix(HELD), ()


def _with_benchmark(fingerprint: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, str]:
    """Fingerprint of a run with the benchmark that was recorded."""
    parts = {k: fingerprint[k] for k in ("strategy", "parameters", "data")}
    parts["settings"] = digest({k: settings[k] for k in OPTIONS})
    return {**parts, "digest": digest(parts)}
