"""One strategy on one set of bars, examined: evaluated on other futures, compared, its offence located."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantlab.errors import StrategyError
from quantlab.levels import signal_members, signal_to_orders
from quantlab.research.refitting import FirstPart
from quantlab.research.scramble import FALL, HOLES, RISE, TRUNCATED, Future, Scrambler, replaced, take
from quantlab.research.verdict import Offence
from quantlab.research.warmup import FEWEST_BARS, Warmup, events, gap, histories, quiet_pasts
from quantlab.signal import labelled, signal_to_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.strategy import Strategy

    Members = dict[str, NDArray[Any]]

__all__ = ["Examination", "shortened"]

ROUNDING = 1e-12
"""Tolerance where the number of bars changes; see `check`, Notes."""

MEMORY = 400_000_000
"""Bytes of signals kept at a time."""

ENOUGH = 3
"""Offending cuts after which a parameter set is not cut any more; `locate` does the rest."""

SEARCHED = 400
"""Bars before the first offence found that are searched one by one for an earlier one."""

HOLE_SHARE = 0.03
"""Share of bars taken away where holes are planted."""


class _Difference(NamedTuple):
    bar: int
    asset: int
    member: str
    before: float | bool | None
    after: float | bool | None


class _Finding(NamedTuple):
    difference: _Difference
    parameter_set: int
    cut: int
    future: Future


def _first_difference(before: Members, after: Members, n_rows: int, tolerance: float) -> _Difference | None:
    """Earliest signal among the first `n_rows` that differs."""
    first: _Difference | None = None
    for name in {**before, **after}:
        a, b = before.get(name), after.get(name)
        if a is None or b is None:
            values = [None if x is None else x[0, 0].item() for x in (a, b)]
            return _Difference(0, 0, name, *values)
        a, b = a[:n_rows], b[:n_rows]
        if np.array_equal(a, b):
            continue
        apart = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        if tolerance and a.dtype != bool:
            apart &= ~(np.abs(np.subtract(a, b, dtype=np.float64)) <= tolerance * np.maximum(1.0, np.abs(a)))
        rows = apart.any(axis=1)
        bar = int(rows.argmax())
        if rows[bar] and (first is None or bar < first.bar):
            asset = int(apart[bar].argmax())
            first = _Difference(bar, asset, name, a[bar, asset].item(), b[bar, asset].item())
    return first


class Examination:
    """One strategy on one set of bars: evaluates, compares, and keeps what was found."""

    def __init__(
        self,
        idea: Strategy,
        bars: Bars,
        sets: list[dict[str, Any]],
        plan: dict[int, list[int]],
        *,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.idea, self.bars, self.sets, self.plan, self.seed = idea, bars, sets, plan, seed
        self.scrambler = Scrambler(bars, seed)
        self._models = FirstPart(idea, bars)
        self.findings: dict[int, _Finding] = {}
        self.unstable: dict[int, _Difference] = {}
        self.warmups: dict[int, Warmup] = {}
        self.compared = np.zeros(len(sets), np.int64)
        self.reacted: set[int] = set()
        self.raised: list[str] = []
        self.truths = False
        self._hits = np.zeros(len(sets), np.int64)
        self._shortened = np.zeros(len(sets), np.int64)
        self._progress, self._done = progress, 0
        self._planned = 14 * len(sets) + sum(
            len(wanting)
            for rank, cut in enumerate(plan)
            for wanting in self._futures(rank, plan[cut]).values()
        )

    def untested(self) -> list[int]:
        """Return the sets of which nothing is known: never compared, or never evaluated on the bars up to a cut.

        The latter is what live trading does, and what a result kept from an earlier call cannot do.
        """
        known = (self.compared > 0) & (self._shortened <= 0)
        return [k for k in range(len(self.sets)) if not known[k] and k not in self.unstable]

    # -- evaluating ------------------------------------------------------------------------------------

    def members(self, bars: Bars, k: int, *, strict: bool = False) -> Members:
        """Signal of parameter set `k`, each member as an array of shape (n_bars, n_assets).

        Targets beyond [-1, 1] are an error only where `strict`: on replaced prices they prove nothing.
        """
        self._done += 1
        if self._progress is not None and self._done % 50 == 0:
            self._progress(min(self._done, self._planned), self._planned)
        return self._members_of(self._models.strategy(bars, k, self.sets[k]), bars, k, strict=strict)

    def _members_of(self, strategy: Strategy, bars: Bars, k: int, *, strict: bool) -> Members:
        signal = strategy.evaluate(bars, self.sets[k])
        name = str(self.idea.name)
        if strict:
            signal_to_orders(signal, signal_to_target(signal, bars, name), bars, name)
        return {n: _member(v, n, bars, name) for n, v in signal_members(signal, bars).items()}

    def tried(self, bars: Bars, k: int) -> Members | None:
        """As `members`; None where the strategy raises on bars that were changed."""
        try:
            return self.members(bars, k)
        except StrategyError as error:
            self.raised.append(f"{bars.n_bars} bars: {error}")
            return None

    def difference(self, full: Members, k: int, cut: int, future: Future, bars: Bars) -> _Difference | None:
        """Earliest signal of set `k` at or before `cut` that is another one on `bars`."""
        if future is TRUNCATED and cut >= self.bars.n_bars // 2:
            self._shortened[k] += 1
        other = self.tried(bars, k)
        if other is None:
            return None
        if future is TRUNCATED:
            self._shortened[k] = -len(self.plan)
        self.compared[k] += 1
        if k not in self.reacted and future is not TRUNCATED:
            tails = ({n: v[cut + 1 :] for n, v in m.items()} for m in (full, other))
            if gap(*tails).any():
                self.reacted.add(k)
        return _first_difference(full, other, cut + 1, ROUNDING if future is TRUNCATED else 0.0)

    # -- the test --------------------------------------------------------------------------------------

    def examine(self) -> None:
        """Compare every parameter set at its cuts, and measure warm-ups while nothing offends."""
        first = self._full(0)
        size = sum(v.nbytes for v in first.values())
        self.truths = all(v.dtype == bool for v in first.values())
        step = max(1, MEMORY // max(1, size))
        for start in range(0, len(self.sets), step):
            chunk = range(start, min(start + step, len(self.sets)))
            full = {k: self._full(k) for k in chunk}
            self._compare_calls(full)
            for rank, cut in enumerate(self.plan):
                self._compare_cut(rank, cut, full)
            if not self.findings and not self.unstable:
                self._measure_warmups(full)
            # What was found of a set that no longer repeats its first result proves nothing about the future.
            self._compare_calls({k: full[k] for k in chunk if k in self.findings})
        self._compare_calls({0: first})

    def _full(self, k: int) -> Members:
        """Signal on the bars as they are, copied: a strategy may write its next result into the same array."""
        return {n: v.copy() for n, v in self.members(self.bars, k, strict=True).items()}

    def _compare_calls(self, full: dict[int, Members]) -> None:
        for k, members in full.items():
            again = self.tried(self.bars, k)
            unstable = None if again is None else _first_difference(members, again, self.bars.n_bars, 0.0)
            if unstable is not None:
                self.unstable.setdefault(k, unstable)
                self.findings.pop(k, None)

    def _futures(self, rank: int, wanting: Sequence[int]) -> dict[Future, list[int]]:
        """List the replacements to try at one cut, each with the parameter sets that try it.

        All sets see both ways. Set 0 ends its bars at every cut and takes turns between holes and one asset
        alone; a third of the others end theirs, a third have holes.
        """
        n_assets = self.bars.n_assets
        asset = rank // 2 % n_assets
        alone = [Future("rise", asset), Future("fall", asset)] if n_assets > 1 else []
        futures: dict[Future, list[int]] = {
            RISE: list(wanting),
            FALL: list(wanting),
            TRUNCATED: [],
            HOLES: [],
        }
        futures |= {future: [] for future in alone}
        for k in wanting:
            turn = (rank + k) % 3
            if k == 0 or turn == 0:
                futures[TRUNCATED].append(k)
            if (k == 0 and rank % 2 == 0) or (k > 0 and turn == 1):
                futures[HOLES].append(k)
            if k == 0 and rank % 2 == 1:
                for future in alone:
                    futures[future].append(k)
        return futures

    def _compare_cut(self, rank: int, cut: int, full: dict[int, Members]) -> None:
        for future, wanting in self._futures(rank, self.plan[cut]).items():
            present = [k for k in wanting if k in full and k not in self.unstable and self._hits[k] < ENOUGH]
            if not present:
                continue
            changed = self.scrambler.future(cut, future)
            for k in present:
                found = self.difference(full[k], k, cut, future, changed)
                if found is None:
                    continue
                self._hits[k] += 1
                known = self.findings.get(k)
                if known is None or found.bar < known.difference.bar:
                    self.findings[k] = _Finding(found, k, cut, future)

    def _measure_warmups(self, full: dict[int, Members]) -> None:
        warmups = {k: Warmup() for k in full}
        for start, shortened in histories(self.bars):
            for k, members in full.items():
                short = self.tried(shortened, k)
                if short is not None:
                    warmups[k].add(gap({n: v[start:] for n, v in members.items()}, short))
        if self.bars.n_bars < FEWEST_BARS:
            return
        for k, members in full.items():
            warmups[k].still = all(not np.any(gap({n: v[1:]}, {n: v[:-1]})) for n, v in members.items())
            for bar, asset in events(members["target"]):
                warmups[k].add_event(bar, self._gap_after(members["target"], k, bar, asset))
        self._measure_memory(warmups)
        self.warmups |= warmups

    def _gap_after(self, target: NDArray[Any], k: int, bar: int, asset: int) -> Callable[[int], float]:
        """Gap of one target to itself when only the last so many bars are given; inf where that raises."""

        @cache
        def gap_after(n_bars: int) -> float:
            short = self.tried(take(self.bars, slice(bar + 1 - n_bars, bar + 1)), k)
            if short is None:
                return np.inf
            pair = ({"target": x[-1:, asset : asset + 1]} for x in (target[: bar + 1], short["target"]))
            return float(gap(*pair)[0])

        return gap_after

    def _measure_memory(self, warmups: dict[int, Warmup]) -> None:
        start, variants = quiet_pasts(self.scrambler)
        for k, warmup in warmups.items():
            tails = []
            for variant in variants:
                members = self.tried(variant, k)
                if members is not None:
                    tails.append({n: v[start - variants[0].n_bars :] for n, v in members.items()})
            for other in tails[1:]:
                warmup.add_quiet(gap(tails[0], other))

    # -- after the test --------------------------------------------------------------------------------

    def examine_with_holes(self) -> list[str]:
        """Test the first parameter set once more on bars with holes, where filling backwards shows."""
        if self.findings or self.unstable or self.bars.n_bars < 20:
            return []
        holed, ends = _with_holes(self.bars, self.seed, self._models.n_bars)
        run = Examination(self.idea, holed, self.sets[:1], {int(cut): [0] for cut in ends}, seed=self.seed)
        try:
            run.examine()
        except StrategyError as error:
            return [f"it could not be tested on bars with holes, since it raised: {shortened(error)}"]
        self.compared[0] += run.compared[0]
        if run.findings or run.unstable:
            self.findings, self.unstable, self.warmups = run.findings, run.unstable, {}
            self.bars, self.scrambler, self.plan = run.bars, run.scrambler, run.plan
            return [
                "the offence shows where bars are missing: these bars had holes planted into a copy of them"
            ]
        return []

    def model_reacts(self) -> bool:
        """Whether another history of the training bars changes any signal of the first parameter set."""
        past = self.scrambler.past(self._models.n_bars, "fall")
        try:
            other = self._models.fitted_elsewhere(past, self.sets[0])
            there = self._members_of(other, self.bars, 0, strict=False)
        except StrategyError:
            return True
        return _first_difference(self.members(self.bars, 0), there, self.bars.n_bars, 0.0) is not None

    def locate(self) -> Offence | None:
        """Name the earliest offence, after looking for one before it, with how far it reads and whom."""
        if not self.findings:
            return self._unstable_offence()
        found = min(self.findings.values(), key=lambda f: (f.difference.bar, f.parameter_set))
        k = found.parameter_set
        full = self.members(self.bars, k)
        found = self._earlier(full, found)
        change, names = found.difference, self.bars.symbols
        return Offence(
            kind="looks ahead",
            bar=change.bar,
            time=self.bars.index[change.bar],
            symbol=names[change.asset],
            params=self.sets[k],
            member=change.member,
            before=change.before,
            after=change.after,
            cut=found.cut,
            cut_time=self.bars.index[found.cut],
            future=_in_words(found.future, names),
            sources=tuple(names[i] for i in self._sources(full, found)),
            reads_ahead=self._reach(full, found),
        )

    def _unstable_offence(self) -> Offence | None:
        if not self.unstable:
            return None
        k, change = min(self.unstable.items(), key=lambda item: (item[1].bar, item[0]))
        time, symbol = self.bars.index[change.bar], self.bars.symbols[change.asset]
        member, before, after = change.member, change.before, change.after
        return Offence("not reproducible", change.bar, time, symbol, self.sets[k], member, before, after)

    def _try(self, full: Members, found: _Finding, cut: int, future: Future) -> _Difference | None:
        return self.difference(full, found.parameter_set, cut, future, self.scrambler.future(cut, future))

    def _earlier(self, full: Members, found: _Finding) -> _Finding:
        for cut in range(max(0, found.difference.bar - SEARCHED), found.difference.bar):
            for future in dict.fromkeys((RISE, FALL, TRUNCATED, found.future)):
                change = self._try(full, found, cut, future)
                if change is not None:
                    return _Finding(change, found.parameter_set, cut, future)
        return found

    def _changes(self, full: Members, found: _Finding, cut: int, futures: Sequence[Future]) -> bool:
        """Whether the offending signal itself changes with the future after `cut`."""
        bar, asset, member = found.difference[:3]
        here = {member: full[member][bar : bar + 1, asset : asset + 1]} if member in full else {}
        for future in futures:
            other = self.tried(self.scrambler.future(cut, future), found.parameter_set)
            there = (
                {}
                if other is None or member not in other
                else {member: other[member][bar : bar + 1, asset : asset + 1]}
            )
            tolerance = ROUNDING if future is TRUNCATED else 0.0
            if other is not None and (here or there) and _first_difference(here, there, 1, tolerance):
                return True
        return False

    def _sources(self, full: Members, found: _Finding) -> Iterator[int]:
        """Assets that change the offending signal when only their own future is replaced."""
        for asset in range(self.bars.n_assets):
            if self._changes(full, found, found.cut, [Future("rise", asset), Future("fall", asset)]):
                yield asset

    def _reach(self, full: Members, found: _Finding) -> int | None:
        """Bars that the offending signal reads ahead, at least: where a later cut stops changing it."""
        bar, last = found.difference.bar, self.bars.n_bars - 2
        futures = list(dict.fromkeys((found.future, RISE, FALL)))

        def reads(ahead: int) -> bool:
            return self._changes(full, found, bar + ahead - 1, futures)

        low = found.cut - bar + 1
        high = low
        while bar + 2 * high - 1 <= last and reads(2 * high):
            high *= 2
        low, high = high, min(2 * high, last - bar + 2)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if reads(middle) else (low, middle)
        return low


def _member(given: Any, member: str, bars: Bars, name: str) -> NDArray[Any]:
    """One member of a signal as truths or float64, of the bars' shape."""
    values = labelled(given, bars, name)
    if values.dtype != bool:
        try:
            values = values.astype(np.float64, copy=False)
        except (TypeError, ValueError) as error:
            raise StrategyError(
                f"strategy {name} returned a {member} that holds no numbers: {error}"
            ) from error
    if values.shape == bars.shape:
        return values
    if values.ndim == 1 and values.shape[0] == bars.n_bars:
        values = values[:, None]
    try:
        return np.broadcast_to(values, bars.shape)
    except ValueError as error:
        raise StrategyError(
            f"the {member} that strategy {name} returned has shape {values.shape}; (n_bars, n_assets) = "
            f"{bars.shape} is needed."
        ) from error


def _with_holes(bars: Bars, seed: int, first: int) -> tuple[Bars, NDArray[np.int64]]:
    """Copy of `bars` with some bars of each asset taken away from row `first` on, and last bars of some holes."""
    rng = np.random.default_rng((seed, bars.n_bars, 2))
    gone = rng.random(bars.shape) < HOLE_SHARE
    gone |= np.roll(gone, 1, axis=0) & (rng.random(bars.shape) < 0.5)
    gone[: max(1, first)] = gone[-1] = False
    columns = {
        n: np.where(gone, np.nan, getattr(bars, n)) for n in ("open", "high", "low", "close", "volume")
    }
    ends = np.flatnonzero((gone[:-1] & ~gone[1:]).any(axis=1))
    if ends.size == 0:
        gone[(middle := (first + bars.n_bars) // 2)] = True
        columns = {n: np.where(gone, np.nan, column) for n, column in columns.items()}
        ends = np.array([middle])
    chosen = ends[np.linspace(0, ends.size - 1, min(24, ends.size)).round().astype(np.int64)]
    return replaced(bars, **columns), chosen


def _in_words(future: Future, symbols: tuple[str, ...]) -> str:
    if future.kind == "truncated":
        return "there are no bars"
    whose = "the bars" if future.asset is None else f"the bars of {symbols[future.asset]}"
    return f"{whose} are replaced (some go missing)" if future.kind == "holes" else f"{whose} are replaced"


def shortened(error: Exception | str) -> str:
    """Text of an error, cut to a length that fits a note."""
    text = str(error)
    return text if len(text) < 240 else text[:240] + " …"
