"""Where the next parameter sets of a search come from: at random, or from a model of those already run (Optuna)."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quantlab.errors import MissingExtraError, ParameterError
from quantlab.research.coding import identity
from quantlab.research.distributions import Choice
from quantlab.research.space import listed_sets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.research.space import Axis, Space, Trials

__all__ = ["Asked", "ModelSampler", "RandomSampler", "Sampler", "load_optuna"]

ATTEMPTS = 25
"""Suggestions per wanted set before new ones are drawn at random."""

WRITTEN = 200_000
"""A listed space up to this size is written out, and a suggestion taken as the nearest set in it that is new."""

EDGE = 1e-9
"""Shares nearer to 0 or 1 than this are not asked of a quantile, which may be infinite there."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A parameter set to be run.

    Parameters
    ----------
    named : dict
        The parameters that the grid names.
    handle : object
        The sampler's own record of it, if it has one.
    """

    named: dict[str, Any]
    handle: Any = None


class Sampler(Protocol):
    """Suggests parameter sets that were not run yet, and hears what they came to."""

    def ask(self, n: int) -> list[Asked]:
        """Up to `n` new sets that the condition allows; fewer if there are no more."""
        ...

    def tell(self, asked: Asked, score: float | None, prefixes: list[float], *, stopped: bool) -> None:
        """Say what a set came to: its score (None: no number), those on each prefix, whether it was stopped."""
        ...


class RandomSampler:
    """Sets in random order, without replacement.

    Parameters
    ----------
    trials : Trials
        All that will be run.
    seed : int
        Of the order.
    """

    def __init__(self, trials: Trials, seed: int) -> None:
        self._trials = trials
        self._order = np.random.default_rng(seed).permutation(len(trials)).tolist()

    def ask(self, n: int) -> list[Asked]:
        """Give the next `n` sets."""
        taken, self._order = self._order[:n], self._order[n:]
        return [Asked(self._trials.named(k)) for k in taken]

    def tell(self, asked: Asked, score: float | None, prefixes: list[float], *, stopped: bool) -> None:
        """Nothing is learned."""


class ModelSampler:
    """Optuna's tree-structured Parzen estimator over the axes of a space.

    A set that the condition excludes is never run, and none is run twice. In a listed space of up to `WRITTEN` sets a
    suggestion stands for the nearest set that is allowed and new. Else the model is asked anew, and hears of an
    excluded set as of a trial that failed early; after `ATTEMPTS` suggestions each the rest is drawn at random.

    Parameters
    ----------
    space : Space
        Axes and condition.
    seed : int
        The same seed suggests the same sets.
    n_startup : int
        Sets that are drawn at random before the model is asked.

    Raises
    ------
    MissingExtraError
        If Optuna is not installed.

    Notes
    -----
    Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for hyper-parameter optimization".
    """

    def __init__(self, space: Space, seed: int, n_startup: int) -> None:
        self._optuna = optuna = load_optuna()
        self._space = space
        self._readers = {axis.name: _Reader(axis, optuna.distributions) for axis in space.axes}
        self._asked = {
            r.axis.name: r.distribution for r in self._readers.values() if r.distribution is not None
        }
        self._seen: set[Any] = set()
        self._rng = np.random.default_rng(seed)
        self._n_startup, self._n_told = n_startup, 0
        self._sites = _Sites(space.every(), list(self._readers.values())) if _is_written(space) else None
        with _quiet(optuna):
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=n_startup, multivariate=True, constant_liar=True
            )
            self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def ask(self, n: int) -> list[Asked]:
        """Give up to `n` new sets."""
        with _quiet(self._optuna):
            return self._suggested(n) if self._sites is None else self._nearest(self._sites, n)

    def tell(self, asked: Asked, score: float | None, prefixes: list[float], *, stopped: bool) -> None:
        """Say what a set came to."""
        states, early = self._optuna.trial.TrialState, stopped or score is None
        self._n_told += 1
        reports = {step: value for step, value in enumerate(prefixes) if not math.isnan(value)}
        with _quiet(self._optuna):
            if asked.handle is None:
                self._study.add_trial(
                    self._optuna.trial.create_trial(
                        state=states.PRUNED if early else states.COMPLETE,
                        value=None if early else score,
                        params={
                            n: r.place(asked.named[n]) for n, r in self._readers.items() if n in self._asked
                        },
                        distributions=self._asked,
                        intermediate_values=reports,
                    )
                )
                return
            for step, value in reports.items():
                asked.handle.report(value, step)
            self._study.tell(asked.handle, None if early else score, states.PRUNED if early else None)

    def _nearest(self, sites: _Sites, n: int) -> list[Asked]:
        """Give the new sets nearest to `n` suggestions, each in turn."""
        found: list[Asked] = []
        while len(found) < n and sites.any_left:
            trial = self._study.ask(self._asked)
            named, exact = sites.take(trial.params, self._rng)
            if not exact:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            found.append(Asked(named, trial if exact else None))
        return found

    def _suggested(self, n: int) -> list[Asked]:
        """Give `n` suggestions that are allowed and new, and sets at random if there are not enough."""
        states, space = self._optuna.trial.TrialState, self._space
        found: list[Asked] = []
        for _ in range(ATTEMPTS * n):
            if len(found) == n:
                return found
            trial = self._study.ask(self._asked)
            named = {name: reader.value(trial.params) for name, reader in self._readers.items()}
            key = self._key(named)
            if key in self._seen:
                self._study.tell(trial, state=states.FAIL)
            elif not listed_sets(space.strategy, [named]).allowed(space.where)[0]:
                # While sets are drawn at random it must not count as one of them.
                started = self._n_told >= self._n_startup
                self._study.tell(trial, state=states.PRUNED if started else states.FAIL)
            else:
                self._seen.add(key)
                found.append(Asked(named, trial))
        return found + self._drawn(n - len(found))

    def _drawn(self, n: int) -> list[Asked]:
        """Draw new sets at random, where the model finds none."""
        found: list[Asked] = []
        try:
            trials = self._space.trials(n + len(self._seen), int(self._rng.integers(1 << 31)))
        except ParameterError:  # the space has no more of them
            return []
        for k in range(len(trials)):
            named = trials.named(k)
            if len(found) < n and self._key(named) not in self._seen:
                self._seen.add(self._key(named))
                found.append(Asked(named))
        return found

    @staticmethod
    def _key(named: dict[str, Any]) -> Any:
        return tuple(map(identity, named.values()))


class _Reader:
    """One axis as Optuna sees it: a share from 0 to 1 of its values in order, or one of some without an order.

    Shares are real numbers whatever the values are: Optuna's estimator takes twice as long over whole numbers.
    """

    def __init__(self, axis: Axis, kinds: Any) -> None:
        self.axis = axis
        self.distribution: Any = None
        values, self._source = axis.values, axis.source
        self.is_ordered = values is None or all(type(v) in {int, float} and not math.isnan(v) for v in values)
        if values is None or len(values) > 1:
            self.distribution = (
                kinds.FloatDistribution(EDGE, 1.0 - EDGE)
                if self.is_ordered
                else kinds.CategoricalDistribution(range(len(values or ())))
            )
        if values is None or axis.weights is not None:
            return
        # The place in the list is the scale: whoever lists 1, 10, 100 thinks of equal steps.
        self._source = Choice(*(sorted(values) if self.is_ordered else values))

    def value(self, params: dict[str, Any]) -> Any:
        """Value of the parameter for what Optuna suggests."""
        if self.distribution is None:
            return self.axis.values[0] if self.axis.values else None
        given = params[self.axis.name]
        if self.is_ordered and self._source is not None:
            return self._source.quantile(given)
        return self.axis.values[given] if self.axis.values else None

    def place(self, value: Any) -> Any:
        """Give what Optuna would have suggested for a value."""
        if not self.is_ordered or self._source is None:
            return [identity(v) for v in self.axis.values or ()].index(identity(value))
        return 0.5 * (self._share(value, above=False) + self._share(value, above=True))

    def _share(self, value: float, *, above: bool) -> float:
        """Share of the draws below a value, or up to it, by bisection: a distribution need not know it."""
        low, high = EDGE, 1.0 - EDGE
        for _ in range(40):
            middle = 0.5 * (low + high)
            found = self._source.quantile(middle) if self._source is not None else middle
            low, high = (middle, high) if found < value or (above and found == value) else (low, middle)
        return high


class _Sites:
    """Every set of a listed space on a unit cube, and which of them are new."""

    def __init__(self, trials: Trials, readers: list[_Reader]) -> None:
        self._trials = trials
        self._readers = [r for r in readers if r.distribution is not None]
        self._left = np.ones(len(trials), bool)
        self._at = np.empty((len(self._readers), len(trials)))
        for row, reader in zip(self._at, self._readers, strict=True):
            j = trials.names.index(reader.axis.name)
            row[:] = np.array([reader.place(v) for v in trials.values[j]])[trials.codes[:, j]]

    @property
    def any_left(self) -> bool:
        """Whether a set is new."""
        return bool(self._left.any())

    def take(self, params: dict[str, Any], rng: np.random.Generator) -> tuple[dict[str, Any], bool]:
        """Take the new set nearest to a suggestion, and say whether it is the suggestion itself."""
        far = np.where(self._left, 0.0, np.inf)
        for row, reader in zip(self._at, self._readers, strict=True):
            gap = row - params[reader.axis.name]
            far += gap * gap if reader.is_ordered else gap != 0.0
        k = int(rng.choice(np.flatnonzero(far == far.min())))
        self._left[k] = False
        named = self._trials.named(k)
        return named, all(r.value(params) == named[r.axis.name] for r in self._readers)


def _is_written(space: Space) -> bool:
    return space.size is not None and space.size <= WRITTEN


def load_optuna() -> Any:
    """Load optuna.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise MissingExtraError("optuna", "research", "ql.search with method='tpe'") from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna from telling of each trial, and leave its settings as they were."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
