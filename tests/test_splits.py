"""Splits: numbers known from the literature, purge and embargo counted by hand, and properties of any input."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.errors import ParameterError
from quantlab.research.splits import (
    Split,
    combinatorial_splits,
    group_spans,
    n_paths,
    part_edges,
    part_mask,
    path_splits,
    walk_forward_splits,
)


def rows(spans):
    return [t for start, stop in spans for t in range(start, stop)]


# -- walk-forward --------------------------------------------------------------------------------------


def test_rolling_windows_are_those_worked_out_by_hand():
    splits = walk_forward_splits(10, train=4, test=2)
    assert [(s.train, s.test) for s in splits] == [
        (((0, 4),), ((4, 6),)),
        (((2, 6),), ((6, 8),)),
        (((4, 8),), ((8, 10),)),
    ]


def test_anchored_windows_begin_at_the_first_bar_and_grow():
    splits = walk_forward_splits(10, train=4, test=3, anchored=True)
    assert [(s.train, s.test) for s in splits] == [(((0, 4),), ((4, 7),)), (((0, 7),), ((7, 10),))]


def test_the_last_window_may_be_shorter_so_that_no_bar_is_lost():
    assert [s.test for s in walk_forward_splits(9, train=4, test=2)] == [((4, 6),), ((6, 8),), ((8, 9),)]


def test_a_purge_lies_between_training_and_test():
    splits = walk_forward_splits(12, train=4, test=3, purge=2)
    assert [(s.train, s.test) for s in splits] == [(((0, 4),), ((6, 9),)), (((3, 7),), ((9, 12),))]


@given(st.integers(2, 300), st.integers(1, 100), st.integers(1, 50), st.booleans(), st.integers(0, 20))
def test_windows_train_only_on_the_past_and_test_every_later_bar_once(n_bars, train, test, anchored, purge):
    if train + purge >= n_bars:
        with pytest.raises(ParameterError, match="leave none of"):
            walk_forward_splits(n_bars, train=train, test=test, anchored=anchored, purge=purge)
        return
    splits = walk_forward_splits(n_bars, train=train, test=test, anchored=anchored, purge=purge)
    assert rows(s.test[0] for s in splits) == list(range(train + purge, n_bars))
    for split in splits:
        (begin, end), (start, _) = split.train[0], split.test[0]
        assert end == start - purge
        assert begin == (0 if anchored else end - train)


# -- k-fold and combinatorial --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "test_groups", "splits", "paths"),
    [(6, 2, 15, 5), (10, 2, 45, 9), (16, 8, 12_870, 6_435), (5, 1, 5, 1), (6, 4, 15, 10)],
)
def test_splits_and_paths_are_as_many_as_the_literature_says(groups, test_groups, splits, paths):
    # Six groups of which two test: 15 splits and 5 paths, figure 12.1 of López de Prado (2018).
    found = combinatorial_splits(480, groups=groups, test_groups=test_groups)
    assert len(found) == splits
    assert n_paths(groups, test_groups) == paths
    assert n_paths(groups, test_groups) * groups == test_groups * comb(groups, test_groups)


def test_the_paths_of_six_groups_are_those_of_the_book():
    # Figure 12.2: the split (numbered from 1 there) that tests group g on each path.
    paths = path_splits(combinatorial_splits(60, groups=6, test_groups=2), 6)
    assert (paths + 1).T.tolist() == [
        [1, 2, 3, 4, 5],
        [1, 6, 7, 8, 9],
        [2, 6, 10, 11, 12],
        [3, 7, 10, 13, 14],
        [4, 8, 11, 13, 15],
        [5, 9, 12, 14, 15],
    ]


@given(st.integers(2, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))))
def test_every_test_of_every_split_is_on_exactly_one_path(sizes):
    groups, test_groups = sizes
    splits = combinatorial_splits(groups, groups=groups, test_groups=test_groups)
    paths = path_splits(splits, groups)
    assert paths.shape == (n_paths(groups, test_groups), groups)
    used = sorted((int(number), group) for path in paths for group, number in enumerate(path))
    assert used == sorted((number, group) for number, split in enumerate(splits) for group in split.groups)


def test_the_purge_is_on_both_sides_and_the_embargo_only_after():
    splits = combinatorial_splits(100, groups=5, purge=3, embargo=2)
    assert splits[2].test == ((40, 60),)
    assert splits[2].train == ((0, 37), (65, 100))
    assert splits[0].train == ((25, 100),)
    assert splits[4].train == ((0, 77),)


def test_each_of_two_tests_apart_is_purged_and_neighbours_are_one_test():
    splits = {s.groups: s for s in combinatorial_splits(60, groups=6, test_groups=2, purge=1, embargo=2)}
    assert splits[1, 4].train == ((0, 9), (23, 39), (53, 60))
    assert splits[2, 3].test == ((20, 40),)
    assert splits[2, 3].train == ((0, 19), (43, 60))


def test_a_stretch_between_tests_shorter_than_the_purge_trains_nothing():
    splits = {s.groups: s for s in combinatorial_splits(60, groups=6, test_groups=2, purge=6)}
    assert splits[1, 3].train == ((0, 4), (46, 60))


@given(
    st.integers(8, 200),
    st.integers(2, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_no_training_bar_is_within_the_purge_of_a_test_bar_and_no_other_is_lost(
    n_bars, sizes, purge, embargo
):
    options = {"groups": sizes[0], "test_groups": sizes[1], "purge": purge, "embargo": embargo}
    spans = group_spans(n_bars, sizes[0])
    expected = []
    for chosen in combinations(range(sizes[0]), sizes[1]):
        test = np.array(rows(spans[g] for g in chosen))
        far = [not ((test >= t - purge - embargo) & (test <= t + purge)).any() for t in range(n_bars)]
        expected.append((np.flatnonzero(far).tolist(), test.tolist()))
    if not all(train for train, _ in expected):
        with pytest.raises(ParameterError, match="leave no bar to train"):
            combinatorial_splits(n_bars, **options)
        return
    splits = combinatorial_splits(n_bars, **options)
    assert [(rows(s.train), rows(s.test)) for s in splits] == expected
    assert [(s.n_train, s.n_test) for s in splits] == [(len(a), len(b)) for a, b in expected]
    for split in splits:
        for spans in (split.train, split.test):
            assert all(start < stop for start, stop in spans)
            assert all(a[1] < b[0] for a, b in pairwise(spans))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_groups_cover_all_bars_and_differ_by_one_at_most(sizes):
    n_bars, groups = sizes
    spans = group_spans(n_bars, groups)
    assert rows(spans) == list(range(n_bars))
    lengths = {stop - start for start, stop in spans}
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= 1


# -- parts ---------------------------------------------------------------------------------------------


@given(
    st.integers(12, 150),
    st.integers(2, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_every_span_is_made_up_of_whole_parts(n_bars, sizes, purge, embargo):
    groups, test_groups = sizes
    try:
        splits = combinatorial_splits(
            n_bars, groups=groups, test_groups=test_groups, purge=purge, embargo=embargo
        )
    except ParameterError:
        return
    edges = part_edges(splits, n_bars)
    assert (edges[0], edges[-1]) == (0, n_bars)
    assert (np.diff(edges) > 0).all()
    parts = list(pairwise(edges.tolist()))
    for split in splits:
        for spans in (split.train, split.test):
            chosen = [part for part, inside in zip(parts, part_mask(spans, edges), strict=True) if inside]
            assert rows(chosen) == rows(spans)


def test_a_split_moves_as_a_whole():
    split = Split(((0, 4),), ((6, 9),), (1,))
    assert split.shifted(10) == Split(((10, 14),), ((16, 19),), (1,))


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 1}, "groups=1; a whole number of at least 2"),
        ({"groups": 2.5}, "groups=2.5"),
        ({"groups": True}, "groups=True"),
        ({"groups": 5, "purge": -1}, "purge=-1; a whole number of at least 0"),
        ({"groups": 5, "embargo": -1}, "embargo=-1"),
        ({"groups": 5, "test_groups": 5}, "leave none to train"),
        ({"groups": 200}, "more than the 100 bars"),
        ({"groups": 2, "purge": 60}, "leave no bar to train when group"),
        ({"groups": 20, "test_groups": 10}, "184,756 splits"),
    ],
)
def test_groups_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        combinatorial_splits(100, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0, "test": 1}, "train=0"),
        ({"train": 10, "test": 0}, "test=0"),
        ({"train": 90, "test": 5, "purge": 10}, "leave none of 100 bars"),
    ],
)
def test_windows_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        walk_forward_splits(100, **arguments)
