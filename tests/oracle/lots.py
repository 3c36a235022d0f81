"""Numbers as every twin takes them: when two are the same, when there is none, whole lots, and what fits a budget."""

from __future__ import annotations

import math

SAME = 1e-9
"""Targets, lots and limits that differ by less are the same."""


def to_lot(units, lot):
    """Whole lots, towards zero; a lot that only rounding misses counts."""
    exact = abs(units) / lot
    nearest = round(exact)
    missed = 0 < nearest - exact <= SAME + exact * 1e-15
    return math.copysign((nearest if missed else math.floor(exact)) * lot, units)


def is_number(x):
    return not math.isnan(x)


def most_lots(most, lot, fits):
    """Most units in whole lots, up to `most`, that fit."""
    lots = math.floor(most / lot + SAME)
    while lots > 0 and not fits(lots * lot - SAME * lot):
        lots -= 1
    return lots * lot


def most_units(most, fits):
    """Most units, up to `most`, that fit; found by halving."""
    low, high = 0.0, most
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
