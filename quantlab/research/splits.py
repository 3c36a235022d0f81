"""Which bars train and which test: walk-forward windows, purged k-fold, combinatorial purged cross-validation.

Pure arithmetic on bar numbers. Spans are half open, ``(start, stop)``, as slices are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Span = tuple[int, int]

__all__ = [
    "MAX_SPLITS",
    "Split",
    "combinatorial_splits",
    "group_spans",
    "n_paths",
    "part_edges",
    "part_mask",
    "path_splits",
    "walk_forward_splits",
]

MAX_SPLITS = 20_000
"""More splits than this are refused: 16 groups of which 8 test give 12,870."""


@dataclass(frozen=True, slots=True)
class Split:
    """Bars that train and bars that test.

    Parameters
    ----------
    train, test : tuple of (int, int)
        Spans of bars, half open, rising and apart from each other; no bar is in both.
    groups : tuple of int
        Numbers of the groups that test; empty for a walk-forward window.
    """

    train: tuple[Span, ...]
    test: tuple[Span, ...]
    groups: tuple[int, ...] = ()

    @property
    def n_train(self) -> int:
        """Number of training bars."""
        return sum(stop - start for start, stop in self.train)

    @property
    def n_test(self) -> int:
        """Number of test bars."""
        return sum(stop - start for start, stop in self.test)

    def shifted(self, by: int) -> Split:
        """Return the same split, `by` bars later."""

        def moved(spans: tuple[Span, ...]) -> tuple[Span, ...]:
            return tuple((start + by, stop + by) for start, stop in spans)

        return Split(moved(self.train), moved(self.test), self.groups)


def walk_forward_splits(
    n_bars: int, *, train: int, test: int, anchored: bool = False, purge: int = 0
) -> tuple[Split, ...]:
    """Windows that train on the past and test on what follows, one behind the other.

    The test spans are adjacent and cover every bar from the first of them to the last bar; the last one may be
    shorter. Between the end of the training and the start of the test lie `purge` bars. No embargo is needed,
    since nothing trains after its test.

    Parameters
    ----------
    n_bars : int
        Bars there are.
    train : int
        Bars of training; of the first window only where `anchored`.
    test : int
        Bars of a test, and how far the next window moves on.
    anchored : bool
        Train from the first bar on, ever longer, instead of on the latest `train` bars.
    purge : int
        Bars left out before each test.

    Raises
    ------
    ParameterError
        For numbers below one (below zero for `purge`), and where nothing is left to test.

    Notes
    -----
    Pardo, "The Evaluation and Optimization of Trading Strategies" (2008), chapter 11.
    """
    for name, value, least in (("train", train, 1), ("test", test, 1), ("purge", purge, 0)):
        _check_whole(name, value, least)
    first = train + purge
    if first >= n_bars:
        raise ParameterError(
            f"train={train} and purge={purge} leave none of {n_bars} bars to test; make them smaller, or give "
            "more bars."
        )
    splits = []
    for start in range(first, n_bars, test):
        end = start - purge
        begin = 0 if anchored else end - train
        splits.append(Split(((begin, end),), ((start, min(start + test, n_bars)),)))
    _check_count(len(splits), f"test={test}")
    return tuple(splits)


def group_spans(n_bars: int, groups: int) -> tuple[Span, ...]:
    """Spans of `groups` adjacent groups that differ by one bar at most."""
    borders = [n_bars * k // groups for k in range(groups + 1)]
    return tuple(pairwise(borders))


def combinatorial_splits(
    n_bars: int, *, groups: int, test_groups: int = 1, purge: int = 0, embargo: int = 0
) -> tuple[Split, ...]:
    """Every choice of `test_groups` of `groups` groups of bars as the test, the rest training; 1 is k-fold.

    From the training, `purge` bars on either side of every test span are left out, since what a bar was labelled
    with may reach that far, and `embargo` more after it, since what a test left behind fades slowly.

    Parameters
    ----------
    n_bars : int
        Bars there are.
    groups : int
        Adjacent groups the bars are cut into; two at least.
    test_groups : int
        How many of them test at a time; fewer than `groups`.
    purge, embargo : int
        Bars.

    Returns
    -------
    tuple of Split
        ``comb(groups, test_groups)`` of them, in the order of `itertools.combinations`.

    Raises
    ------
    ParameterError
        For numbers that do not fit together, and where purge and embargo leave a split without training.

    Notes
    -----
    López de Prado, "Advances in Financial Machine Learning" (2018), sections 7.4 and 12.4.
    """
    _check_whole("groups", groups, 2)
    _check_whole("test_groups", test_groups, 1)
    _check_whole("purge", purge, 0)
    _check_whole("embargo", embargo, 0)
    if groups > n_bars:
        raise ParameterError(
            f"groups={groups} are more than the {n_bars} bars there are; each needs a bar at least."
        )
    if test_groups >= groups:
        raise ParameterError(
            f"test_groups={test_groups} of groups={groups} leave none to train; take fewer test groups."
        )
    _check_count(comb(groups, test_groups), f"{test_groups} of {groups} groups")
    spans = group_spans(n_bars, groups)
    splits = []
    for chosen in combinations(range(groups), test_groups):
        test = _joined(spans[g] for g in chosen)
        train = _training(n_bars, test, purge, embargo)
        if not train:
            raise ParameterError(
                f"purge={purge} and embargo={embargo} leave no bar to train when group(s) "
                f"{', '.join(map(str, chosen))} of {groups} test ({n_bars} bars); make them smaller."
            )
        splits.append(Split(train, test, chosen))
    return tuple(splits)


def n_paths(groups: int, test_groups: int) -> int:
    """Count the whole histories that the tests of all splits make up: ``test_groups / groups * comb(...)``.

    Source: López de Prado (2018), section 12.4.1.
    """
    return comb(groups - 1, test_groups - 1)


def path_splits(splits: Sequence[Split], groups: int) -> NDArray[np.int64]:
    """Which split tests each group on each path.

    Parameters
    ----------
    splits : sequence of Split
        As of `combinatorial_splits`.
    groups : int
        Number of groups.

    Returns
    -------
    ndarray of int64, shape (n_paths, groups)
        Numbers of splits. Path j takes, for each group, the j-th split in which that group tests, so that every
        test of every split is on exactly one path.
    """
    tested: list[list[int]] = [[] for _ in range(groups)]
    for number, split in enumerate(splits):
        for group in split.groups:
            tested[group].append(number)
    return np.array(tested, np.int64).T.copy()


def part_edges(splits: Iterable[Split], n_bars: int) -> NDArray[np.int64]:
    """Borders of parts of which every train and test span of `splits` is made up, from 0 to `n_bars`.

    Returns
    -------
    ndarray of int64, shape (n_parts + 1,)
        Rising strictly.
    """
    found = {0, n_bars}
    for split in splits:
        for span in (*split.train, *split.test):
            found.update(span)
    return np.array(sorted(found), np.int64)


def part_mask(spans: Iterable[Span], edges: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which parts lie in the spans, shape (n_parts,); `edges` must hold every border of theirs."""
    mask = np.zeros(len(edges) - 1, bool)
    for start, stop in spans:
        mask[np.searchsorted(edges, start) : np.searchsorted(edges, stop)] = True
    return mask


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Rising spans, those that touch made one."""
    joined: list[Span] = []
    for start, stop in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)


def _training(n_bars: int, test: tuple[Span, ...], purge: int, embargo: int) -> tuple[Span, ...]:
    """Take what is left between the tests when purge and embargo are taken off."""
    spans, begin = [], 0
    for start, stop in test:
        if start - purge > begin:
            spans.append((begin, start - purge))
        begin = stop + purge + embargo
    if begin < n_bars:
        spans.append((begin, n_bars))
    return tuple(spans)


def _check_whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ParameterError(f"{name}={value!r}; a whole number of at least {least} is needed.")


def _check_count(count: int, what: str) -> None:
    if count > MAX_SPLITS:
        raise ParameterError(
            f"{what} give {count:,} splits; {MAX_SPLITS:,} are the limit. Take longer tests or fewer groups."
        )
