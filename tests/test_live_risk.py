"""Risk limits: each one holds back what is beyond it, and getting out stays possible."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantlab.errors import ParameterError, UnknownNameError
from quantlab.live.risk import Exposure, Limits, order_to_breach

LIMITS = Limits(10_000, 15_000, 20_000, 5, 1_000)
FLAT = Exposure(position=0, unit_value=100, gross_value=0, n_orders=0)


@pytest.mark.parametrize(
    ("quantity", "exposure", "limit"),
    [
        (101, FLAT, "max_order_value"),
        (-101, FLAT, "max_order_value"),
        (60, replace(FLAT, position=100, gross_value=10_000), "max_position_value"),
        (-60, replace(FLAT, position=-100, gross_value=10_000), "max_position_value"),
        (50, replace(FLAT, gross_value=16_000), "max_gross_value"),
        (1, replace(FLAT, n_orders=5), "max_orders_per_day"),
        # A reversal ends on the other side: that is no way out.
        (-260, replace(FLAT, position=100, gross_value=10_000), "max_order_value"),
    ],
)
def test_an_order_beyond_a_limit_is_held_back(quantity, exposure, limit):
    assert limit in order_to_breach(quantity, exposure, LIMITS)


@pytest.mark.parametrize(
    ("quantity", "exposure"),
    [
        (100, FLAT),
        (-100, FLAT),
        (50, replace(FLAT, position=100, gross_value=10_000)),
        (40, replace(FLAT, gross_value=16_000)),
        (1, replace(FLAT, n_orders=4)),
    ],
)
def test_an_order_at_a_limit_goes_out(quantity, exposure):
    assert order_to_breach(quantity, exposure, LIMITS) is None


def test_an_order_that_makes_a_position_smaller_is_not_held_back_by_values():
    long = replace(FLAT, position=1_000, gross_value=100_000)
    assert order_to_breach(-1_000, long, LIMITS) is None
    assert order_to_breach(-999, long, LIMITS) is None
    assert order_to_breach(-1_001, long, LIMITS) is not None


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), None, "5", True])
def test_a_limit_that_cannot_be_is_refused(value):
    with pytest.raises(ParameterError, match="max_daily_loss"):
        Limits(1, 1, 1, 1, value)


def test_half_an_order_a_day_is_refused():
    with pytest.raises(ParameterError, match="whole number"):
        Limits(1, 1, 1, 1.5, 1)


def test_limits_are_restored_from_their_description():
    assert Limits.from_description(LIMITS.describe()) == LIMITS


def test_a_missing_and_an_unknown_limit_are_named():
    described = LIMITS.describe()
    with pytest.raises(UnknownNameError, match="did you mean 'max_order_value'"):
        Limits.from_description({**described, "max_order_values": 1})
    del described["max_daily_loss"]
    with pytest.raises(ParameterError, match="lack max_daily_loss"):
        Limits.from_description(described)
