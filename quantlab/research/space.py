"""The parameter space of a sweep: grids, lists, distributions and conditions, made into a finite list of trials."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from operator import setitem
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.condition import condition_on_columns, names_in_condition, parse_condition
from quantlab.errors import ParameterError
from quantlab.research.coding import (
    coded,
    coded_values,
    distinct,
    first_rows,
    identity,
    stable_text,
    typed,
    unravelled,
)
from quantlab.research.distributions import Distribution, Frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from quantlab.strategy import Strategy

__all__ = ["COUNTED", "Axis", "Space", "Trials", "listed_sets"]

MOST_SETS = 1_000_000_000
"""A grid up to this size is written out, if need be to see which sets its condition allows."""

MOST_TRIALS = 100_000_000
"""More trials than this have a table that no ordinary machine holds."""

BLOCK = 1 << 18
"""Parameter sets whose condition is looked at together."""

COUNTED = 5_000_000
"""A sample of a listed space up to this size is drawn from its written-out sets, without a second try."""

DRAWS = 200
"""Draws per wanted trial before a condition is taken for one that allows too little."""


@dataclass(frozen=True, eq=False)
class Trials:
    """A finite list of parameter sets, kept as places in short lists of values: a million of them are a few megabytes.

    Parameters
    ----------
    names : tuple of str
        The parameters that differ, in the order of the grid.
    values : tuple of tuple
        Distinct values of each parameter, as the strategy takes them.
    codes : ndarray of shape (n_trials, n_names), int32
        Places in `values`.
    defaults : dict
        Every parameter of the strategy with its default.
    n_duplicates : int
        Sets that were named more than once and are trials once.
    n_excluded : int
        Sets that the condition excluded.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    codes: NDArray[np.int32]
    defaults: dict[str, Any]
    n_duplicates: int = 0
    n_excluded: int = 0

    @classmethod
    def of(
        cls,
        strategy: Strategy,
        grid: Any = None,
        where: str | Callable[..., bool] | None = None,
        *,
        n_trials: int | None = None,
        seed: int = 0,
    ) -> Trials:
        """Write out the trials of a grid.

        Parameters
        ----------
        strategy : Strategy
            Whose parameters they are; a value must have the type of the default.
        grid : mapping, sequence of mappings or Trials, optional
            By parameter a sequence of values, one value, or a distribution (`Uniform`, `Integers`, `Choice` or a
            frozen one of `scipy.stats`); or complete sets one by one, where a parameter that is left out keeps its
            default. Default: the strategy's own grid.
        where : str or callable, optional
            Condition on a complete set, such as ``"fast < slow"``; default: the strategy's own.
        n_trials : int, optional
            How many sets to draw; required with a distribution. From a grid they are drawn without replacement.
        seed : int
            The same seed draws the same sets.

        Returns
        -------
        Trials
            A grid in the order of `Strategy.parameter_sets`, a sample of listed values in that order too, a sample
            with a distribution in the order of the draws. No set is there twice.

        Raises
        ------
        UnknownNameError
            For a parameter that the strategy does not have, in the grid or in the condition.
        ParameterError
            For values of a wrong type, a parameter without values, a condition that raises or that excludes
            everything, and a number of trials that the space cannot give.
        """
        return Space.of(strategy, grid, where).trials(n_trials, seed)

    def __len__(self) -> int:
        return len(self.codes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def named(self, k: int) -> dict[str, Any]:
        """Give the parameters of trial `k` that the grid names."""
        if not 0 <= k < len(self):
            raise ParameterError(f"there is no trial {k}; they are numbered from 0 to {len(self) - 1}.")
        return {n: v[c] for n, v, c in zip(self.names, self.values, self.codes[k].tolist(), strict=True)}

    def params(self, k: int) -> dict[str, Any]:
        """Give the complete parameter set of trial `k`."""
        return {**self.defaults, **self.named(k)}

    def iterate(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, Any]]:
        """Complete parameter sets of the trials from `start` up to `stop`, each a dict of its own."""
        stop = len(self) if stop is None else min(stop, len(self))
        consume = deque[None](maxlen=0).extend
        for first in range(start, stop, 512):
            codes = self.codes[first : min(first + 512, stop)]
            sets = [self.defaults.copy() for _ in range(len(codes))]
            for j, name in enumerate(self.names):
                # Column by column without a loop of Python's own: a million sets take half a second.
                consume(map(setitem, sets, repeat(name), self._objects[j][codes[:, j]].tolist()))
            yield from sets

    def take(self, rows: slice | ArrayLike) -> Trials:
        """Give the trials of some rows, with the values that they use."""
        codes = self.codes[
            rows if isinstance(rows, slice) else np.asarray(rows, None if np.size(rows) else np.intp)
        ]
        values, columns = [], []
        for j, listed in enumerate(self.values):
            kept, column = listed, codes[:, j].astype(np.intp)
            if len(listed) > len(codes):
                used, column = np.unique(column, return_inverse=True)
                kept = tuple(self._objects[j][used].tolist())
            values.append(kept)
            columns.append(column)
        taken = coded(columns, len(codes)) if columns else codes.copy()
        return Trials(self.names, tuple(values), taken, self.defaults)

    def column(self, name: str) -> NDArray[Any]:
        """Values of one parameter, shape (n_trials,): bool, int64, float64, or Python objects."""
        if name in self.names:
            j = self.names.index(name)
            return self._typed[j][self.codes[:, j]]
        if name not in self.defaults:
            raise ParameterError(f"there is no parameter {name!r}; there are {', '.join(self.defaults)}.")
        return typed((self.defaults[name],))[np.zeros(len(self), np.intp)]

    def allowed(self, where: str | Callable[..., bool] | None) -> NDArray[np.bool_]:
        """Whether a condition holds for each trial, shape (n_trials,).

        Raises
        ------
        ParameterError
            If the condition raises; says for which set.
        """
        if where is None:
            return np.ones(len(self), bool)
        if isinstance(where, str):
            columns = {name: self.column(name) for name in names_in_condition(where)}
            try:
                return condition_on_columns(where, columns, len(self))
            except (ArithmeticError, TypeError, ValueError):
                pass  # one by one, to say which set it was
        test = parse_condition(where, self.defaults)
        held = np.empty(len(self), bool)
        for k, params in enumerate(self.iterate()):
            try:
                held[k] = test(params)
            except Exception as error:
                raise ParameterError(
                    f"where={_shown(where)} raised {type(error).__name__} for {_set_text(params)}: {error}."
                ) from error
        return held

    @cached_property
    def digest(self) -> str:
        """Hash of names, values, codes and defaults (32 hex digits): the same trials in every process."""
        found = hashlib.blake2b(digest_size=16)
        found.update(repr((self.names, self.codes.shape)).encode())
        found.update(stable_text(self.defaults).encode())
        for listed, array in zip(self.values, self._typed, strict=True):
            found.update(array.dtype.str.encode())
            found.update(stable_text(listed).encode() if array.dtype == object else array.tobytes())
        found.update(np.ascontiguousarray(self.codes, "<i4").tobytes())
        return found.hexdigest()

    @cached_property
    def _objects(self) -> tuple[NDArray[np.object_], ...]:
        return tuple(np.fromiter(v, object, len(v)) for v in self.values)

    @cached_property
    def _typed(self) -> tuple[NDArray[Any], ...]:
        return tuple(typed(v) for v in self.values)


@dataclass(frozen=True, eq=False)
class Axis:
    """One parameter of a space.

    Parameters
    ----------
    name : str
        The parameter.
    values : tuple, optional
        Distinct values, where they can be listed.
    weights : ndarray of shape (n_values,), optional
        Probabilities of the values; None for equal ones.
    source : Distribution, optional
        What it is drawn from, where it is drawn.
    """

    name: str
    values: tuple[Any, ...] | None
    weights: NDArray[np.float64] | None = None
    source: Distribution | None = None

    def draw(self, strategy: Strategy, n: int, rng: np.random.Generator) -> NDArray[Any]:
        """Draw `n` times: places in `values` where there are such, else values of the type that is needed."""
        if self.values is not None:
            if self.weights is None:
                return rng.integers(len(self.values), size=n)
            return rng.choice(len(self.values), n, p=self.weights)
        drawn = self.source.draw(rng, n) if self.source is not None else np.empty(0)
        if drawn.dtype == object:
            return np.fromiter((strategy.check_value(self.name, v) for v in drawn), object, n)
        return drawn.astype(np.float64) if isinstance(strategy.defaults[self.name], float) else drawn


@dataclass(frozen=True, eq=False)
class Space:
    """Everything a sweep may try: axes or written-out sets, and a condition. Made by `Space.of`."""

    strategy: Strategy
    axes: tuple[Axis, ...]
    where: str | Callable[..., bool] | None
    sets: Trials | None = field(default=None)

    @classmethod
    def of(
        cls, strategy: Strategy, grid: Any = None, where: str | Callable[..., bool] | None = None
    ) -> Space:
        """Check a grid and its condition; parameters as in `Trials.of`."""
        grid = strategy.grid if grid is None else grid
        where = strategy.where if where is None else where
        parse_condition(where, strategy.defaults)
        if hasattr(grid, "to_dict") and hasattr(grid, "columns"):
            grid = grid.to_dict("records")
        if isinstance(grid, Trials):
            for name, values in zip(grid.names, grid.values, strict=True):
                for value in values[:1]:
                    strategy.check_value(name, value)
            return cls(strategy, (), where, grid)
        if isinstance(grid, Mapping):
            return cls(strategy, tuple(_axis(strategy, n, v) for n, v in grid.items()), where)
        if isinstance(grid, Iterable) and not isinstance(grid, (str, bytes)):
            return cls(strategy, (), where, listed_sets(strategy, list(grid)))
        raise ParameterError(
            f"grid is {grid!r}; a mapping of parameters to values, such as {{'fast': [5, 10]}}, or a sequence of "
            "parameter sets is needed."
        )

    @property
    def is_drawn(self) -> bool:
        """Whether a distribution is among the axes."""
        return any(axis.source is not None for axis in self.axes)

    @property
    def size(self) -> int | None:
        """Number of sets before the condition; None if values of an axis cannot be listed."""
        if self.sets is not None:
            return len(self.sets)
        counts = [len(axis.values) for axis in self.axes if axis.values is not None]
        return math.prod(counts) if len(counts) == len(self.axes) else None

    def trials(self, n_trials: int | None = None, seed: int = 0) -> Trials:
        """Write the space out, or draw `n_trials` of it; see `Trials.of`."""
        if n_trials is None:
            if self.is_drawn:
                drawn = ", ".join(a.name for a in self.axes if a.source is not None)
                raise ParameterError(
                    f"the grid draws {drawn} from a distribution; say how many sets to draw with n_trials."
                )
            return self.every()
        if isinstance(n_trials, bool) or not isinstance(n_trials, (int, np.integer)) or n_trials < 1:
            raise ParameterError(f"n_trials is {n_trials!r}; a whole number of 1 or more is needed.")
        _check_number(int(n_trials))
        rng = np.random.default_rng(seed)
        if self.size is not None and self.size <= COUNTED:
            return self._sampled(int(n_trials), rng)
        return self._drawn(int(n_trials), rng)

    def every(self) -> Trials:
        """Every set that the condition allows, in the order of a product; of a space that has a size."""
        if self.sets is not None:
            held = self.sets.allowed(self.where)
            kept = self._some(self.sets.codes[held], int((~held).sum()))
            return Trials(
                self.sets.names, self.sets.values, kept, self.strategy.defaults,
                self.sets.n_duplicates, int((~held).sum()),
            )  # fmt: skip
        names = tuple(a.name for a in self.axes)
        values = tuple(a.values or () for a in self.axes)
        size = math.prod(len(v) for v in values)
        if size > MOST_SETS:
            raise ParameterError(
                f"the grid has {size:,} sets, more than the {MOST_SETS:,} that are written out; draw some of them "
                "with n_trials, or search it with ql.search."
            )
        if self.where is None:
            _check_number(size)
        parts, n_kept = [], 0
        for first in range(0, size, BLOCK):
            flat = np.arange(first, min(first + BLOCK, size))
            block = Trials(names, values, unravelled(flat, values), self.strategy.defaults)
            parts.append(block.codes[block.allowed(self.where)])
            n_kept += len(parts[-1])
            _check_number(n_kept)
        codes = self._some(np.concatenate(parts), size - n_kept)
        return Trials(names, values, codes, self.strategy.defaults, 0, size - n_kept)

    def _some(self, codes: NDArray[np.int32], n_excluded: int) -> NDArray[np.int32]:
        """Give the codes back if there are any."""
        if len(codes):
            return codes
        example = self._example()
        raise ParameterError(
            f"where={_shown(self.where)} excludes all {n_excluded:,} parameter sets of {self.strategy.name}, "
            f"{_set_text(example)} for one; widen the grid or change the condition."
        )

    def _example(self) -> dict[str, Any]:
        if self.sets is not None:
            return self.sets.params(0)
        return {**self.strategy.defaults, **{a.name: a.values[0] for a in self.axes if a.values}}

    def _sampled(self, n: int, rng: np.random.Generator) -> Trials:
        """Draw from a space whose sets can be written out, without replacement, and keep their order."""
        every = self.every()
        if n > len(every):
            left = f" after where={_shown(self.where)}" if self.where is not None else ""
            raise ParameterError(
                f"n_trials is {n:,}, and the space of {self.strategy.name} has {len(every):,} sets{left}; "
                "ask for at most that many."
            )
        weights = np.ones(len(every))
        for j, axis in enumerate(self.axes):
            if axis.weights is not None:
                weights *= axis.weights[every.codes[:, j]]
        equal = all(axis.weights is None for axis in self.axes)
        share = None if equal else weights / weights.sum()
        chosen = np.sort(rng.choice(len(every), n, replace=False, p=share))
        return Trials(every.names, every.values, every.codes[chosen], every.defaults, 0, every.n_excluded)

    def _drawn(self, n: int, rng: np.random.Generator) -> Trials:
        """Draw sets independently, pass over those that the condition excludes or that are there already."""
        kept = [axis.draw(self.strategy, 0, rng) for axis in self.axes]
        n_kept = n_drawn = n_excluded = n_same = 0
        while n_kept < n:
            if n_drawn >= DRAWS * max(n, 1000):
                raise ParameterError(
                    f"{n_kept:,} of n_trials={n:,} sets of {self.strategy.name} were found in {n_drawn:,} draws: "
                    f"where={_shown(self.where)} excluded {n_excluded:,}, and {n_same:,} were there already. Ask for "
                    "fewer, widen the space or change the condition."
                )
            # A condition that lets few through makes the next block larger.
            rate = 1.1 * n_drawn / max(1, n_kept) if n_drawn else 1.0
            size = int(min(max(1024.0, (n - n_kept) * rate), 4.0 * max(n, 1024)))
            block = [axis.draw(self.strategy, size, rng) for axis in self.axes]
            held = self._trials(block).allowed(self.where)
            kept = [np.concatenate((a, b[held])) for a, b in zip(kept, block, strict=True)]
            first = first_rows(self._trials(kept).codes)
            n_drawn, n_excluded = n_drawn + size, n_excluded + int((~held).sum())
            n_same += len(kept[0]) - len(first)
            kept = [a[first[:n]] for a in kept]
            n_kept = len(kept[0])
        found = self._trials(kept)
        return Trials(found.names, found.values, found.codes, found.defaults, 0, n_excluded)

    def _trials(self, drawn: list[NDArray[Any]]) -> Trials:
        """Trials of drawn columns: places for an axis with a list of values, else the values themselves."""
        values, columns = [], []
        for axis, column in zip(self.axes, drawn, strict=True):
            listed, codes = (axis.values, column) if axis.values is not None else coded_values(column)
            values.append(listed)
            columns.append(codes)
        names = tuple(axis.name for axis in self.axes)
        return Trials(names, tuple(values), coded(columns, len(drawn[0])), self.strategy.defaults)


def _axis(strategy: Strategy, name: str, given: Any) -> Axis:
    """Read what a grid gives for one parameter."""
    if hasattr(given, "rvs") and hasattr(given, "ppf"):
        given = Frozen(given)
    if isinstance(given, Distribution):
        listed = given.listed()
        if listed is None:
            middle = given.quantile(0.5)
            if isinstance(strategy.defaults.get(name), int) and isinstance(middle, float):
                raise ParameterError(
                    f"parameter {name!r} of {strategy.name} takes whole numbers, as its default "
                    f"{strategy.defaults[name]!r} says, and {given} gives real ones; use Integers(low, high)."
                )
            strategy.check_value(name, middle)
            return Axis(name, None, None, given)
        values, weights = listed
        checked = distinct([strategy.check_value(name, v) for v in values])
        equal = len(checked) < len(values) or bool((weights == weights[0]).all())
        return Axis(name, checked, None if equal else weights, given)
    if isinstance(given, Mapping):
        raise ParameterError(f"parameter {name!r} got a mapping; give a sequence of values.")
    if isinstance(given, (set, frozenset)):
        raise ParameterError(f"parameter {name!r} got a set, which has no order; give a list of values.")
    alone = (
        isinstance(given, (str, bytes)) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0
    )
    found = [given] if alone else list(given)
    if not found:
        strategy.check_value(name, strategy.defaults.get(name))
        raise ParameterError(
            f"parameter {name!r} of {strategy.name} has no values; give at least one, or leave it out to keep its "
            f"default {strategy.defaults[name]!r}."
        )
    return Axis(name, distinct([strategy.check_value(name, v) for v in found]))


def listed_sets(strategy: Strategy, given: Sequence[Any]) -> Trials:
    """Trials of sets that were written out one by one, each once, whatever the condition says of them."""
    if not given:
        raise ParameterError("grid is an empty list; give at least one parameter set.")
    for one in given:
        if not isinstance(one, Mapping):
            raise ParameterError(
                f"grid is a sequence with {one!r} in it; each must be a parameter set, such as {{'fast': 5}}."
            )
    names = tuple(dict.fromkeys(name for one in given for name in one))
    values, columns = [], []
    for name in names:
        strategy.check_value(name, strategy.defaults.get(name))
        default = strategy.defaults[name]
        places: dict[Any, int] = {}
        listed: list[Any] = []
        column = []
        for one in given:
            value = strategy.check_value(name, one[name]) if name in one else default
            place = places.setdefault(identity(value), len(listed))
            if place == len(listed):
                listed.append(value)
            column.append(place)
        values.append(tuple(listed))
        columns.append(np.array(column))
    codes = coded(columns, len(given))
    first = first_rows(codes)
    return Trials(names, tuple(values), codes[first], strategy.defaults, len(codes) - len(first))


def _check_number(n: int) -> None:
    if n > MOST_TRIALS:
        raise ParameterError(
            f"these are {n:,} trials or more, and one table holds up to {MOST_TRIALS:,}; draw some of them with "
            "n_trials, or sweep the space in parts."
        )


def _shown(where: Any) -> str:
    return repr(where) if isinstance(where, str) else f"{getattr(where, '__name__', where)}"


def _set_text(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in params.items())
