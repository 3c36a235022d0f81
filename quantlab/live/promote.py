"""Promotion: the evidence that a strategy has to bring before it trades, and the bundle that carries it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.barsize import BarSize
from quantlab.engine.backtest import backtest, signal_to_wish
from quantlab.errors import BundleError, DataError, LiveError, ParameterError, UnknownNameError
from quantlab.live.bundle import JOINS, Bundle, read_bundle, write_bundle
from quantlab.live.decision import bars_to_wish
from quantlab.research.causality import check
from quantlab.strategy import as_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quantlab.bars import Bars
    from quantlab.engine.backtest import Wish
    from quantlab.levels import OrdersInside
    from quantlab.live.bundle import Terms
    from quantlab.research.verdict import CheckReport
    from quantlab.strategy import Strategy

__all__ = [
    "STRESS",
    "Evidence",
    "examine",
    "hash_of",
    "promote",
    "refuse_bars",
    "refuse_orders",
    "refuse_terms",
    "wish_hash",
]

STRESS = (0.0, 1.0, 2.0, 3.0)
"""What every cost is multiplied by in the cost stress."""

STRESS_STATISTICS = ("total_return", "cagr", "sharpe", "max_drawdown", "turnover", "n_orders")


@dataclass(frozen=True)
class Evidence:
    """What was found about a strategy with one parameter set on one set of bars.

    Parameters
    ----------
    causality : CheckReport
        Whether it looks ahead, and its warm-up.
    warmup : int or None
        Bars of history that it needs; None: all of them, from the first bar on.
    stress : tuple of dict
        Statistics of the backtest with costs multiplied by `STRESS`.
    fingerprint : dict
        That of the backtest with the costs as they are.
    notes : tuple of str
        What the backtest says a reader should know.
    """

    causality: CheckReport
    warmup: int | None
    stress: tuple[dict[str, float], ...]
    fingerprint: dict[str, str]
    notes: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Everything, as a mapping."""
        return {
            "causality": self.causality.to_dict(),
            "warmup": self.warmup,
            "stress": list(self.stress),
            "backtest": self.fingerprint,
            "notes": list(self.notes),
        }

    @property
    def doubts(self) -> list[str]:
        """What a careful reader would object to; none of it stops a promotion to paper."""
        found = []
        plain, double = self.stress[1], self.stress[2]
        if not plain["total_return"] > 0.0:
            found.append(f"it lost money with its costs: total return {plain['total_return']:.1%}")
        elif not double["total_return"] > 0.0:
            found.append("it loses money when costs double")
        if plain["n_orders"] < 10:
            found.append(f"its backtest has {plain['n_orders']:.0f} orders: too few to judge it by")
        if self.warmup is None:
            found.append("it needs its whole history: live keeps every bar since the first one promoted on")
        return found


def examine(
    strategy: Strategy, bars: Bars, params: Mapping[str, Any], terms: Terms, *, cuts: int | None = None
) -> Evidence:
    """Causality check, warm-up test and cost stress.

    Parameters
    ----------
    cuts : int, optional
        Cuts of the causality check; its own default if not given.

    Raises
    ------
    LiveError
        If the strategy looks ahead, cannot be tested, or never traded.
    """
    complete = strategy.params(params)
    grid = {k: [v] for k, v in complete.items()}
    options: dict[str, Any] = {} if cuts is None else {"cuts": cuts}
    report = check(strategy, bars, grid=grid, where=lambda **_: True, **options)
    if not report.causal:
        said = f"first offence: {report.first_offence}" if report.first_offence else report.verdict
        raise LiveError(
            f"{strategy.name} is not promoted: {report.verdict}. {said} A signal that knows its future is worth "
            "nothing; 'quantlab check' shows more."
        )
    warmup = next(iter(report.warmup.values()), None)
    options_of_run: dict[str, Any] = {"cash": terms.cash, "sizing": terms.sizing, "account": terms.account}
    runs = [
        backtest(strategy, bars, complete, costs=terms.costs.stressed(m), **options_of_run) for m in STRESS
    ]
    stress = tuple(
        {"costs": m, **{k: float(run.stats[k]) for k in STRESS_STATISTICS}}
        for m, run in zip(STRESS, runs, strict=True)
    )
    plain = runs[STRESS.index(1.0)]
    if not plain.stats["n_orders"]:
        raise LiveError(
            f"{strategy.name} is not promoted: it never traded on {bars}, so nothing is known about it. Its parameters "
            "may need more history than there is."
        )
    return Evidence(report, warmup, stress, dict(plain.fingerprint), tuple(plain.notes))


def promote(
    strategy: Strategy | Callable[..., Any],
    bars: Bars,
    params: Mapping[str, Any] | None = None,
    *,
    terms: Terms,
    out: str | Path,
    origin: str = "",
    created: str = "",
    cuts: int | None = None,
) -> tuple[Bundle, Evidence]:
    """Examine a strategy and write it, with its evidence, into a bundle.

    Parameters
    ----------
    strategy : Strategy or callable
        The signal function.
    bars : Bars
        Raw prices with an exchange calendar, daily or intraday, as the broker gives them.
    params : mapping, optional
        Parameters that differ from the defaults.
    terms : Terms
        Cash, costs, sizing, account and risk limits.
    out : path
        Folder of the bundle; new or empty.
    origin, created : str
        File that the strategy came from, and when it was promoted; for people.
    cuts : int, optional
        Cuts of the causality check.

    Returns
    -------
    bundle : Bundle
        As it was read back.
    evidence : Evidence
        What was found.

    Raises
    ------
    LiveError, BundleError
        If it is refused; says why.
    DataError, ParameterError
        For bars and terms that cannot be traded live.
    """
    idea = as_strategy(strategy)
    if idea.fit is not None:
        raise LiveError(
            f"strategy {idea.name} has a model that is fitted, and a bundle holds source alone: models cannot be "
            "traded live in this version. Write what was learned into the source, as numbers, and promote that."
        )
    refuse_bars(bars)
    refuse_terms(terms)
    inside = signal_to_wish(idea.evaluate(bars, params), bars, idea.name).inside
    refuse_orders(inside, terms, idea.name, intraday=bars.intraday)
    evidence = examine(idea, bars, params or {}, terms, cuts=cuts)
    place = Path(out)
    existed = place.exists()
    bundle = write_bundle(
        place,
        idea,
        idea.params(params),
        bars,
        terms=terms,
        evidence=evidence.describe(),
        origin=origin,
        created=created,
    )
    wish = signal_to_wish(idea.evaluate(bars, bundle.params), bars, idea.name)
    try:
        _test_alone(bundle, wish)
    except BundleError:
        shutil.rmtree(place) if not existed else _empty(place)
        raise
    return bundle, evidence


def _test_alone(bundle: Bundle, wish: Wish) -> None:
    """Evaluate the bundle in a new process that knows nothing but its folder.

    Raises
    ------
    BundleError
        If it wants something else there, or cannot be loaded.
    """
    code = f"from quantlab.live.promote import wish_hash; print(wish_hash({str(bundle.folder.absolute())!r}))"
    done = subprocess.run(  # noqa: S603  # this Python, on code written here
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=bundle.folder, check=False
    )
    said = done.stdout.strip().splitlines()
    if done.returncode == 0 and said and said[-1] == hash_of(wish):
        return
    why = (done.stderr.strip().splitlines() or ["it wants something else"])[-1]
    raise BundleError(
        f"{bundle.name} is not the same strategy when its source stands alone: {why} A strategy has to be one file "
        "that imports installed packages only; put what it needs into that file, or into a package."
    )


def hash_of(wish: Wish) -> str:
    """Hash of targets and orders inside the bar to the last bit (32 hex digits)."""
    target = np.ascontiguousarray(wish.target, np.float64)
    orders = b"" if wish.inside is None else wish.inside.tobytes()
    return hashlib.blake2b(target.tobytes() + orders, digest_size=16).hexdigest()


def wish_hash(folder: str) -> str:
    """Hash of what a bundle's strategy wants on the bundle's bars."""
    bundle = read_bundle(folder)
    return hash_of(bars_to_wish(bundle, bundle.bars))


def _empty(place: Path) -> None:
    for child in place.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()


def refuse_bars(bars: Bars) -> None:
    """Refuse bars that cannot be followed live.

    Raises
    ------
    DataError
        For adjusted prices, bars without a calendar, a changing universe, and further fields.
    ParameterError
        For bars longer than a day.
    """
    size = BarSize.parse(bars.bar_size)
    if not size.intraday and str(size) != "1 day":
        raise ParameterError(f"bars of {size} are not traded live; use '1 day' or a shorter bar.")
    if not bars.is_raw:
        raise DataError(
            "these prices are adjusted (their factor is not 1), and live prices are not: fetch them from the broker "
            "('quantlab data fetch'), or take ql.sample(..., adjustment='splits')."
        )
    if bars.calendar is None:
        raise DataError(
            "these bars have no exchange calendar, so nobody knows when they close; make them with one."
        )
    currencies = sorted({x.currency for x in bars.instruments})
    if len(currencies) > 1:
        raise DataError(
            f"these assets trade in {', '.join(currencies)}, and a bundle's book is in one currency; promote apart."
        )
    if not bars.member.all() or bars.fields:
        raise DataError(
            "a changing universe (member) and further fields are not streamed by the broker; such a strategy cannot be "
            "promoted in this version."
        )


def refuse_orders(inside: OrdersInside | None, terms: Terms, name: str, *, intraday: bool) -> None:
    """Refuse orders inside the bar that cannot be sent as the backtest fills them.

    Raises
    ------
    LiveError
        With what to change.
    """
    if inside is None:
        return
    reasons = {
        "stop_from='fill' (a bracket is sent with its order, before the fill is known)": (
            inside.stop_from == "fill" and inside.protects
        ),
        "a ladder (each of its parts would need a bracket of its own)": len(inside.shares) > 1
        or inside.scales_out,
        "tif='ioc' with a stop (a stop waits for its price, and such an order does not wait)": (
            inside.tif == "ioc" and inside.has_stop
        ),
        f"order_type={inside.order_type!r} with protective orders (for hours both would stand, and could sell the same "
        "units)": inside.protects
        and (inside.order_type == "moc" or (inside.order_type == "moo" and intraday)),
        "join='now' (the levels of a position that stands were set at its entry, which this run did not make)": (
            terms.join == "now" and (inside.protects or not np.isnan(inside.time_stop).all())
        ),
    }
    for what, found in reasons.items():
        if found:
            raise LiveError(
                f"strategy {name} asks for {what}; that is not traded live in this version, and to leave it out would "
                "be another strategy. Change it, and look at its backtest again."
            )


def refuse_terms(terms: Terms) -> None:
    """Refuse terms that cannot be followed live.

    Raises
    ------
    ParameterError
        For orders sized at their fill, and for costs that no fill reports (borrow, interest).
    UnknownNameError
        For another way to join.
    """
    if terms.join not in JOINS:
        raise UnknownNameError("way to join", terms.join, JOINS)
    if terms.sizing.price != "decision":
        raise ParameterError(
            "sizing at the fill cannot be traded: an order's size is sent before its price is known."
        )
    if terms.costs.interest is not None or np.any(_numbers(terms.costs.borrow)):
        raise ParameterError(
            "costs with borrow or interest cannot be followed live in this version: no fill reports them, so the book "
            "would not know. Promote with costs that leave them out, and look at the cost stress."
        )


def _numbers(value: Any) -> list[float]:
    return [float(v) for v in (value.values() if isinstance(value, dict) else [value])]
