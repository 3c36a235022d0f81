"""Bars that wait to enter the sums of a run, and the loops over them: four bars at a time, in vector registers.

What is done with four bars is said once, as arithmetic on four numbers. `Lanes` makes machine code of it, numpy runs it
where nothing is compiled, and both give the same bits: each sum is kept as four, of every fourth bar that waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from quantlab.kernels._jit import cgutils, config, intrinsic, ir, types

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["BLOCK", "ROOM", "fall_below", "mark_bars", "sum_bars"]

N_LANES = 4

BLOCK = 256
"""Bars that enter the sums together: what they need stays in the processor's nearest memory."""

WIDTH = BLOCK + N_LANES
BEFORE, GROSS_BEFORE, BENCHMARK, WHEN, GAINS, SUMS = (WIDTH * row for row in range(6))
EQUITY, GROSS = BEFORE + 1, GROSS_BEFORE + 1
N_SUMS = 7
RETURN_1, RETURN_2, RETURN_3, RETURN_4, DOWNSIDE, WITH_BENCHMARK, EXPOSURE = (
    SUMS + N_LANES * row for row in range(N_SUMS)
)
ROOM = SUMS + N_LANES * N_SUMS
"""Working memory, one row after the other in one array: equity and gross value of the bar before and of those that
wait; of these the benchmark's returns, the numbers and, once they entered the sums, the returns; and the sums that
begin `records.BARS`, the first two of them of the present part.
"""

Four: TypeAlias = Any
"""Four numbers, as `Lanes` or as an array: arithmetic on them is the same."""


# -- what is done with four bars -----------------------------------------------------------------------


def _marked(price: Four, units: Four, cash: Four) -> tuple[Four, Four]:
    """Equity and gross value of `units` at a price."""
    worth = units * price
    return cash + worth, abs(worth)


def _summed(
    sums: Sequence[Four],
    before: Four,
    after: Four,
    gross_before: Four,
    benchmark: Four,
    risk_free: Four,
    which: Any = None,
) -> tuple[Four, list[Four]]:
    """Give the returns of four more bars, and the sums with them, or with `which` of them.

    The exposure that is added is that of the bar before each.
    """
    inverse = 1.0 / before
    gain = (after - before) * inverse
    squared = gain * gain
    short = _lesser(gain - risk_free, 0.0)
    more = (
        gain, squared, squared * gain, squared * squared, short * short, gain * benchmark, gross_before * inverse
    )  # fmt: skip
    return gain, [total + _chosen(new, which) for total, new in zip(sums, more, strict=True)]


def _lesser(x: Four, limit: Any) -> Four:
    """Each number or the limit, whichever is less."""
    return x.lesser(limit) if isinstance(x, Lanes) else np.where(x < limit, x, limit)


def _chosen(x: Four, which: Any, other: Any = 0.0) -> Four:
    """Give the numbers of `which`, and `other` in place of the rest."""
    if which is None:
        return x
    return x.chosen(which, other) if isinstance(x, Lanes) else np.where(which, x, other)


# -- as machine code -----------------------------------------------------------------------------------

DOUBLE, INT, PLACE = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
FOUR, FOUR_INTS = ir.VectorType(DOUBLE, N_LANES), ir.VectorType(INT, N_LANES)
FOUND: Any = types.Tuple((types.int64, types.float64))  # type: ignore[attr-defined]  # made when numba loads


class Lanes:
    """Four numbers side by side in a register, while machine code is generated."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, other.value))

    def __rtruediv__(self, other: float) -> Lanes:
        return Lanes(self.builder, self.builder.fdiv(_constant(other), self.value))

    def __abs__(self) -> Lanes:
        kind = ir.FunctionType(FOUR, [FOUR])
        function = self.builder.module.declare_intrinsic("llvm.fabs.v4f64", fnty=kind)
        return Lanes(self.builder, self.builder.call(function, [self.value]))

    def lesser(self, limit: float | Lanes) -> Lanes:
        """As `_lesser`."""
        other = limit.value if isinstance(limit, Lanes) else _constant(limit)
        less = self.builder.fcmp_ordered("<", self.value, other)
        return Lanes(self.builder, self.builder.select(less, self.value, other))

    def greater(self, limit: Lanes) -> Lanes:
        """Give each number or the limit, whichever is greater."""
        more = self.builder.fcmp_ordered(">", self.value, limit.value)
        return Lanes(self.builder, self.builder.select(more, self.value, limit.value))

    def lowest(self) -> Any:
        """Give the lowest of the four numbers."""
        low = self.builder.extract_element(self.value, ir.Constant(PLACE, 0))
        for lane in range(1, N_LANES):
            other = self.builder.extract_element(self.value, ir.Constant(PLACE, lane))
            low = self.builder.select(self.builder.fcmp_ordered("<", other, low), other, low)
        return low

    def chosen(self, which: Any, other: float | Lanes) -> Lanes:
        """As `_chosen`."""
        rest = other.value if isinstance(other, Lanes) else _constant(other)
        return Lanes(self.builder, self.builder.select(which, self.value, rest))


def _constant(x: float) -> Any:
    """Give the same number in four lanes."""
    return ir.Constant(FOUR, [ir.Constant(DOUBLE, x)] * N_LANES)


class _Code:
    """Words for what the loops are generated from.

    Parameters
    ----------
    context, builder, signature
        As numba hands them over.
    """

    def __init__(self, context: Any, builder: Any, signature: Any) -> None:
        self.context, self.builder, self.signature = context, builder, signature

    def array(self, k: int, array: Any) -> Any:
        """Give the address of the float64 of argument `k`."""
        return self.context.make_array(self.signature.args[k])(self.context, self.builder, array).data

    def load(self, data: Any, place: Any, kind: Any = FOUR) -> Lanes:
        """Give four numbers from a place on, which need not be aligned, or the one there in all lanes."""
        if kind is DOUBLE:
            return Lanes(self.builder, self.spread(self.builder.load(self.builder.gep(data, [place]))))
        return Lanes(self.builder, self.builder.load(self._at(data, place), align=8))

    def store(self, numbers: Lanes, data: Any, place: Any, kind: Any = FOUR) -> None:
        """Write four numbers from a place on, or the first of them."""
        if kind is DOUBLE:
            number = self.builder.extract_element(numbers.value, ir.Constant(PLACE, 0))
            self.builder.store(number, self.builder.gep(data, [place]))
        else:
            self.builder.store(numbers.value, self._at(data, place), align=8)

    def _at(self, data: Any, place: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [place]), FOUR.as_pointer())

    def spread(self, number: Any, kind: Any = FOUR) -> Any:
        """Give one number in all four lanes."""
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(PLACE, 0))
        everywhere = ir.Constant(ir.VectorType(PLACE, N_LANES), [ir.Constant(PLACE, 0)] * N_LANES)
        return self.builder.shuffle_vector(first, first, everywhere)

    def plus(self, place: Any, more: int) -> Any:
        """Give a place further on."""
        return self.builder.add(place, ir.Constant(INT, more))

    def any_of(self, which: Any) -> Any:
        """Whether any of four answers is yes."""
        answers = self.builder.bitcast(which, ir.IntType(N_LANES))
        return self.builder.icmp_unsigned("!=", answers, ir.Constant(ir.IntType(N_LANES), 0))

    def variable(self, start: Any) -> _Variable:
        """Make a variable."""
        return _Variable(self.builder, cgutils.alloca_once_value(self.builder, start))

    def loop(self, count: Any) -> Any:
        """Begin a loop of `count` rounds."""
        return cgutils.for_range(self.builder, count, intp=INT)

    def fours(self, round_: Any) -> Any:
        """Give the place at which a round that takes four bars begins."""
        return self.builder.mul(round_.index, ir.Constant(INT, N_LANES))


class _Variable:
    """A variable of generated code, which ends in a register."""

    def __init__(self, builder: Any, place: Any) -> None:
        self.builder, self.place = builder, place

    def get(self) -> Any:
        return self.builder.load(self.place)

    def set(self, value: Any) -> None:
        self.builder.store(value, self.place)


def _mark_code(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
    """Generate `mark_bars`."""
    code = _Code(context, builder, signature)
    t, n, place, cash, units = given[:5]
    prices, benchmark, blocks = (code.array(k, given[k]) for k in (5, 6, 7))
    gone = code.variable(ir.Constant(ir.IntType(1), 0))
    counted = Lanes(builder, ir.Constant(FOUR, [ir.Constant(DOUBLE, float(k)) for k in range(N_LANES)]))
    held, money = (Lanes(builder, code.spread(x)) for x in (units, cash))

    def mark(k: Any, kind: Any) -> None:
        bar, to = builder.add(t, k), builder.add(place, k)
        number = builder.sitofp(bar, DOUBLE)
        when = Lanes(builder, code.spread(number)) + counted
        price, market = code.load(prices, bar, kind), code.load(benchmark, bar, kind)
        equity, gross = _marked(price, held, money)
        rows = (EQUITY, equity), (GROSS, gross), (BENCHMARK, market), (WHEN, when)
        for row, numbers in rows:
            code.store(numbers, blocks, code.plus(to, row), kind)
        bad = builder.fcmp_unordered("<=", equity.value, _constant(0.0))
        bad = code.any_of(bad) if kind is FOUR else builder.extract_element(bad, ir.Constant(PLACE, 0))
        gone.set(builder.or_(gone.get(), bad))

    four = ir.Constant(INT, N_LANES)
    with builder.if_else(builder.icmp_signed("<", n, four)) as (few, many):
        with few, code.loop(n) as one:
            mark(one.index, DOUBLE)
        with many:
            with code.loop(builder.sdiv(code.plus(n, -1), four)) as some:
                mark(code.fours(some), FOUR)
            # The last four, some of them once more: marking twice changes nothing.
            mark(builder.sub(n, four), FOUR)
    return builder.zext(gone.get(), INT)


def _sum_code(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
    """Generate `sum_bars`."""
    code = _Code(context, builder, signature)
    n, blocks = given[0], code.array(1, given[1])
    risk_free, limit = (Lanes(builder, code.spread(x)) for x in given[2:])
    places = [ir.Constant(INT, SUMS + N_LANES * row) for row in range(N_SUMS)]
    sums = [code.variable(code.load(blocks, place).value) for place in places]
    lows, highs = code.variable(_constant(np.inf)), code.variable(_constant(-np.inf))

    def add(k: Any, which: Any) -> None:
        rows = (BEFORE, EQUITY, GROSS_BEFORE, BENCHMARK)
        before, after, gross, market = (code.load(blocks, code.plus(k, row)) for row in rows)
        totals = [Lanes(builder, total.get()) for total in sums]
        gain, totals = _summed(totals, before, after, gross, market, risk_free, which)
        code.store(gain, blocks, code.plus(k, GAINS))
        for total, new in zip(sums, totals, strict=True):
            total.set(new.value)
        lows.set(_lesser(_chosen(after, which, np.inf), Lanes(builder, lows.get())).value)
        highs.set(_chosen(after, which, -np.inf).greater(Lanes(builder, highs.get())).value)

    four = ir.Constant(INT, N_LANES)
    with code.loop(builder.sdiv(n, four)) as some:
        add(code.fours(some), None)
    rest = builder.srem(n, four)
    with builder.if_then(builder.icmp_signed("!=", rest, ir.Constant(INT, 0))):
        lanes = ir.Constant(FOUR_INTS, [ir.Constant(INT, k) for k in range(N_LANES)])
        add(builder.sub(n, rest), builder.icmp_signed("<", lanes, code.spread(rest, FOUR_INTS)))
    for place, total in zip(places, sums, strict=True):
        code.store(Lanes(builder, total.get()), blocks, place)
    reached = code.any_of(builder.fcmp_ordered(">=", highs.get(), limit.value))
    found = [builder.zext(reached, INT), Lanes(builder, lows.get()).lowest()]
    return context.make_tuple(builder, signature.return_type, found)


def _fall_code(context: Any, builder: Any, signature: Any, given: Sequence[Any]) -> Any:
    """Generate `fall_below`."""
    code = _Code(context, builder, signature)
    first, n, low, limit, blocks = given
    blocks = code.array(4, blocks)
    limits = code.spread(limit)
    place, lows = code.variable(first), code.variable(code.spread(low))
    again, look, below, done = (builder.append_basic_block(x) for x in ("again", "look", "below", "done"))
    builder.branch(again)
    builder.position_at_end(again)
    k = place.get()
    builder.cbranch(builder.icmp_signed("<=", code.plus(k, N_LANES), n), look, done)
    builder.position_at_end(look)
    equity = code.load(blocks, code.plus(k, EQUITY))
    builder.cbranch(code.any_of(builder.fcmp_ordered(">=", equity.value, limits)), done, below)
    builder.position_at_end(below)
    lows.set(_lesser(equity, Lanes(builder, lows.get())).value)
    place.set(code.plus(k, N_LANES))
    builder.branch(again)
    builder.position_at_end(done)
    lowest = Lanes(builder, lows.get()).lowest()
    return context.make_tuple(builder, signature.return_type, [place.get(), lowest])


def _test_flat(*arrays: Any) -> None:
    """Refuse to compile for arrays that are not what the generated code takes them for."""
    for array in arrays:
        if array.dtype != types.float64 or array.ndim != 1 or array.layout != "C":
            raise TypeError(f"an array of float64, one behind the other, is needed, not {array}.")


def _mark_type(
    _context: Any, t: Any, n: Any, place: Any, cash: Any, units: Any, prices: Any, benchmark: Any, blocks: Any
) -> Any:
    """Type of `mark_bars`, and what generates it."""
    del t, n, place, cash, units
    _test_flat(prices, benchmark, blocks)
    return types.int64(*[types.int64] * 3, *[types.float64] * 2, prices, benchmark, blocks), _mark_code


def _sum_type(_context: Any, n: Any, blocks: Any, risk_free: Any, limit: Any) -> Any:
    """Type of `sum_bars`, and what generates it."""
    del n, risk_free, limit
    _test_flat(blocks)
    return FOUND(types.int64, blocks, types.float64, types.float64), _sum_code


def _fall_type(_context: Any, first: Any, n: Any, low: Any, limit: Any, blocks: Any) -> Any:
    """Type of `fall_below`, and what generates it."""
    del first, n, low, limit
    _test_flat(blocks)
    return FOUND(types.int64, types.int64, types.float64, types.float64, blocks), _fall_code


# -- with numpy, where nothing is compiled -------------------------------------------------------------


def _mark_plain(
    t: int,
    n: int,
    place: int,
    cash: float,
    units: float,
    prices: NDArray[np.float64],
    benchmark: NDArray[np.float64],
    blocks: NDArray[np.float64],
) -> int:
    """Be `mark_bars`."""
    equity, gross = _marked(prices[t : t + n], units, cash)
    blocks[EQUITY + place : EQUITY + place + n] = equity
    blocks[GROSS + place : GROSS + place + n] = gross
    blocks[BENCHMARK + place : BENCHMARK + place + n] = benchmark[t : t + n]
    blocks[WHEN + place : WHEN + place + n] = np.arange(t, t + n)
    return int(not (equity > 0.0).all())


def _sum_plain(n: int, blocks: NDArray[np.float64], risk_free: float, limit: float) -> tuple[int, float]:
    """Be `sum_bars`."""
    sums = blocks[SUMS:ROOM].reshape(N_SUMS, N_LANES)
    for k in range(0, n, N_LANES):
        rows = BEFORE, EQUITY, GROSS_BEFORE, BENCHMARK
        before, after, gross, market = (blocks[row + k : row + k + N_LANES] for row in rows)
        with np.errstate(all="ignore"):  # in lanes that are not chosen
            which = np.arange(N_LANES) < n - k
            gain, sums[:] = _summed(list(sums), before, after, gross, market, risk_free, which)
        blocks[GAINS + k : GAINS + k + N_LANES] = gain
    equity = blocks[EQUITY : EQUITY + n]
    return int((equity >= limit).any()), float(equity.min())


def _fall_plain(
    first: int, n: int, low: float, limit: float, blocks: NDArray[np.float64]
) -> tuple[int, float]:
    """Be `fall_below`."""
    place = first
    while place + N_LANES <= n:
        equity = blocks[EQUITY + place : EQUITY + place + N_LANES]
        if (equity >= limit).any():
            break
        low = min(low, float(equity.min()))
        place += N_LANES
    return place, low


# -- the loops -----------------------------------------------------------------------------------------

mark_bars: Callable[..., int] = _mark_plain if config.DISABLE_JIT else intrinsic(_mark_type)
"""``mark_bars(t, n, place, cash, units, prices, benchmark, blocks)``: let `n` > 0 bars from `t` on, on which `units` of
the single asset are held, wait from `place` on; say whether equity is at or below zero (1, else 0) on any of them, or
NaN for a missing price.

``prices`` and ``benchmark`` are of shape (n_bars,), ``blocks`` is the working memory. No bar depends on the one before.
"""

sum_bars: Callable[..., tuple[int, float]] = _sum_plain if config.DISABLE_JIT else intrinsic(_sum_type)
"""``sum_bars(n, blocks, risk_free, limit)``: enter the first `n` > 0 bars that wait into the sums, and leave their
returns in the row `GAINS`; say whether equity reaches `limit` (1, else 0) on any of them, and give the lowest."""

fall_below: Callable[..., tuple[int, float]] = _fall_plain if config.DISABLE_JIT else intrinsic(_fall_type)
"""``fall_below(first, n, low, limit, blocks)``: pass over bars that wait, four at a time, from place `first` on and
before `n`, as long as equity stays below `limit`; return the place that was reached, where one of the next four reaches
the limit or fewer than four are left, and the lowest of `low` and the equity that was passed over."""
