"""Costs the slow way: exact fractions, one tier at a time, straight from the schedules."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

CENT = Fraction(1, 100)


def exact(number) -> Fraction:
    """The decimal number a person wrote, not the double nearest to it."""
    return Fraction(str(number))


def naive_row(rows, session):
    """Last row that has started on the ISO date `session`; the first where none has."""
    started = [row for row in rows if row.start is None or row.start <= session]
    return started[-1] if started else rows[0]


def naive_commission(row, units, raw_price, multiplier=1, month_units=0) -> Fraction:
    """Commission of one order by one row of a schedule."""
    size = abs(exact(units))
    if size == 0:
        return Fraction(0)
    price = exact(raw_price) * exact(multiplier)
    first, last = exact(month_units), exact(month_units) + size
    total, minimum, low = Fraction(0), None, Fraction(0)
    for tier in row.tiers:
        high = last if tier.up_to is None else exact(tier.up_to)
        inside = max(min(last, high) - max(first, low), Fraction(0))
        if inside and minimum is None:
            minimum = exact(tier.minimum)
        total += inside * (exact(tier.per_unit) + exact(tier.rate) * price)
        low = max(low, high)
    total = max(total, minimum)
    if row.cap is not None:
        total = min(total, exact(row.cap) * size * price)
    return max(total * (1 + exact(row.share)) + size * exact(row.unit_fee), Fraction(0))


def naive_fees(fees, session, units, raw_price) -> Fraction:
    """SEC and TAF of one sale, each rounded up to the cent; nothing for a buy."""
    sold = -exact(units)
    if sold <= 0:
        return Fraction(0)
    sec, taf = naive_row(fees.sec.rows, session), naive_row(fees.taf.rows, session)
    activity = sold * exact(taf.rate)
    if taf.maximum is not None:
        activity = min(activity, exact(taf.maximum))
    return sum(
        (ceil(x / CENT) * CENT for x in (sold * exact(raw_price) * exact(sec.rate), activity)), Fraction(0)
    )


def naive_fill_price(reference, side, worse, tick, slack=Fraction(1, 10**9)) -> Fraction:
    """Raw price worsened by the fraction `worse`, then moved to the worse side on the grid of `tick`.

    A price within the relative `slack` of the grid is on it.
    """
    price = exact(reference) * (1 + side * exact(worse))
    if not tick:
        return price
    steps = price / exact(tick)
    if abs(steps - round(steps)) <= slack * max(steps, 1):
        return price
    moved = (ceil(steps) if side > 0 else floor(steps)) * exact(tick)
    return moved if moved > 0 else price


def naive_borrow(rate, units, raw_price, days) -> Fraction:
    """Borrow cost: 102 % of the price, up to the next whole unit of currency."""
    collateral = ceil(exact(raw_price) * Fraction(102, 100))
    return collateral * exact(units) * exact(rate) / 360 * exact(days)


def naive_interest(interest, benchmark, cash, equity, days) -> Fraction:
    """Interest paid (positive) or earned (negative) by Interactive Brokers' rules."""
    cash, benchmark = exact(cash), exact(benchmark)
    year = exact(days) / exact(interest.year_days)
    if cash < 0:
        low, paid = Fraction(0), Fraction(0)
        for end, spread in interest.debit:
            high = -cash if end is None else min(-cash, exact(end))
            paid += max(high - low, 0) * max(benchmark + exact(spread), 0)
            low = max(low, high)
        return paid * year
    lent = max(cash - exact(interest.credit_free), Fraction(0))
    share = min(max(exact(equity), Fraction(0)) / exact(interest.full_credit_equity), Fraction(1))
    return -lent * max(benchmark - exact(interest.credit_spread), Fraction(0)) * share * year
