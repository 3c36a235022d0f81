"""Orders inside the bar that a signal asks for: levels by fraction or distance, ladders, and their checked arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantlab.errors import ParameterError, StrategyError
from quantlab.signal import labelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from quantlab.bars import Bars
    from quantlab.signal import Signal

__all__ = [
    "AtrMultiple",
    "Distance",
    "Kind",
    "Ladder",
    "OrdersInside",
    "signal_members",
    "signal_to_orders",
    "stitched_orders",
]

MOST_RUNGS = 4
"""Rungs of a ladder; `quantlab.kernels.records.RUNGS` has room for as many."""

ARRAYS = ("entry", "stop_loss", "trailing_stop", "take_profit", "limit", "stop", "time_stop", "rank")
"""Members of `OrdersInside` that have a row a bar."""

ALL = 1.0 + 1e-9
"""Shares of a ladder may add up to this."""


@dataclass(frozen=True, eq=False)
class Distance:
    """A level so far from a price, instead of a fraction of it.

    Parameters
    ----------
    values : scalar or array_like of shape (n_bars,) or (n_bars, n_assets)
        Distance above zero, in stored prices; NaN is no level.

    Examples
    --------
    >>> from quantlab.levels import Distance
    >>> Distance(2.5).values
    2.5
    """

    values: ArrayLike


@dataclass(frozen=True)
class AtrMultiple:
    """A level so many average true ranges from a price.

    Parameters
    ----------
    multiple : float
        How many, above zero.
    n : int
        Bars of the average (Wilder's, as in `quantlab.signals.atr`).

    Raises
    ------
    ParameterError
        For a multiple that is not above zero, and a length below 1.
    """

    multiple: float
    n: int = 14

    def __post_init__(self) -> None:
        if not (np.isfinite(self.multiple) and self.multiple > 0):
            raise ParameterError(f"multiple is {self.multiple!r}; a finite number above zero is needed.")
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ParameterError(f"n is {self.n!r}; a whole number of bars of at least 1 is needed.")

    def on(self, bars: Bars) -> Distance:
        """Distance on these bars."""
        from quantlab.kernels.averages import average_true_range

        return Distance(self.multiple * average_true_range(bars.high, bars.low, bars.close, self.n))


@dataclass(frozen=True, init=False, eq=False)
class Ladder:
    """Take profit in parts: each rung is a level and the share of the position that it closes.

    Parameters
    ----------
    *rungs : tuple of (level, share)
        Level as in `quantlab.Signal` (all of them fractions, or all of them distances), and a share in (0, 1];
        shares add up to at most 1. The rest of the position is left to other orders.

    Raises
    ------
    ParameterError
        For no rung or more than four, and for shares that are not the above.

    Examples
    --------
    >>> from quantlab.levels import Ladder
    >>> Ladder((0.05, 0.5), (0.10, 0.5)).rungs
    ((0.05, 0.5), (0.1, 0.5))
    """

    rungs: tuple[tuple[Any, float], ...]

    def __init__(self, *rungs: tuple[Any, float]) -> None:
        if not 1 <= len(rungs) <= MOST_RUNGS:
            raise ParameterError(f"a ladder of {len(rungs)} rungs; 1 to {MOST_RUNGS} are allowed.")
        for rung in rungs:
            if not isinstance(rung, tuple) or len(rung) != 2:
                raise ParameterError(f"rung {rung!r}; a pair (level, share) is needed, such as (0.05, 0.5).")
        shares = [share for _, share in rungs]
        if not all(isinstance(s, (int, float)) and 0.0 < s <= 1.0 for s in shares) or sum(shares) > ALL:
            raise ParameterError(
                f"shares {shares} of a ladder; each lies in (0, 1], and their sum is at most 1."
            )
        object.__setattr__(self, "rungs", tuple((level, float(share)) for level, share in rungs))


class Kind(NamedTuple):
    """What `OrdersInside` are, beside their values; fields as there."""

    by_distance: tuple[bool, bool, bool]
    shares: tuple[float, ...]
    has_limit: bool
    has_stop: bool
    stop_from: str
    tif: str
    order_type: str


@dataclass(frozen=True, eq=False)
class OrdersInside:
    """What a signal asks for beside its target, checked, as arrays that a kernel takes.

    Arrays have shape (n_bars, n_assets), or (1, n_assets) where one row holds for all; NaN is none.

    Parameters
    ----------
    entry : ndarray of uint8
        Further entry events.
    stop_loss, trailing_stop : ndarray
        Fractions or distances.
    take_profit : ndarray of shape (n_rungs, n_rows, n_assets)
        The same.
    shares : ndarray of shape (n_rungs,)
        Part of the position that each rung closes.
    limit, stop, time_stop : ndarray
        Prices of entries; bars that a position is held.
    rank : ndarray
        Who comes first when the account cannot carry every entry.
    by_distance : tuple of bool
        Whether stop-loss, trailing stop and take-profit are distances.
    has_limit, has_stop : bool
        Whether orders that make a position larger have a limit, a stop.
    stop_from, tif, order_type : str
        As in `quantlab.Signal`.
    """

    entry: NDArray[np.uint8]
    stop_loss: NDArray[np.float64]
    trailing_stop: NDArray[np.float64]
    take_profit: NDArray[np.float64]
    shares: NDArray[np.float64]
    limit: NDArray[np.float64]
    stop: NDArray[np.float64]
    time_stop: NDArray[np.float64]
    rank: NDArray[np.float64]
    by_distance: tuple[bool, bool, bool]
    has_limit: bool
    has_stop: bool
    stop_from: str
    tif: str
    order_type: str

    def rows(self, rows: slice) -> OrdersInside:
        """Give the orders for part of the bars."""
        if all(getattr(self, n).shape[-2] == 1 for n in ARRAYS):
            return self

        def part(values: NDArray[Any]) -> NDArray[Any]:
            return _frozen(values[..., rows, :]) if values.shape[-2] > 1 else values

        changed: dict[str, Any] = {n: part(getattr(self, n)) for n in ARRAYS}
        return replace(self, **changed)

    @cached_property
    def entry_rows(self) -> NDArray[np.int64]:
        """Bars with an entry event of their own."""
        return np.flatnonzero(self.entry.any(axis=1)) if len(self.entry) > 1 else np.empty(0, np.int64)

    @property
    def scales_out(self) -> bool:
        """Whether a position may be closed in parts."""
        return bool((self.shares < 1.0).any())

    @property
    def at_price(self) -> bool:
        """Whether entries have a price."""
        return self.has_limit or self.has_stop

    @property
    def protects(self) -> bool:
        """Whether protective orders are asked for: values by bar are, whatever they are, for some may come later."""
        given = (self.stop_loss, self.trailing_stop, self.take_profit)
        return any(v.size > 0 and not _is_none(v) for v in given)

    @property
    def kind(self) -> Kind:
        """Everything but the values."""
        shares = tuple(self.shares.tolist())
        return Kind(
            self.by_distance, shares, self.has_limit, self.has_stop, self.stop_from, self.tif, self.order_type
        )

    def tobytes(self) -> bytes:
        """Give everything as bytes, for a fingerprint."""
        return b"".join([*(getattr(self, n).tobytes() for n in ARRAYS), repr(tuple(self.kind)).encode()])


def signal_to_orders(
    signal: Signal, target: NDArray[Any], bars: Bars, name: str = "strategy"
) -> OrdersInside | None:
    """Orders inside the bar of a signal; None where it asks for market orders alone.

    Parameters
    ----------
    signal : Signal
        What a strategy returned.
    target : ndarray of shape (n_bars, n_assets)
        Its target, checked: values count where it is not 0 and the asset has a bar.
    bars : Bars
        The bars.
    name : str
        Of the strategy, for messages.

    Raises
    ------
    StrategyError
        For a fraction outside (0, 1], a distance, a price or a time that is not above zero, a stop entry on the wrong
        side of the close, and wrong shapes; the message names asset and bar.
    """
    if not signal.orders_inside_bar:
        return None
    reader = _Reader(bars, target, name)
    stop_loss, trailing = (
        reader.level("stop_loss", signal.stop_loss),
        reader.level("trailing_stop", signal.trailing_stop),
    )
    rungs = (
        signal.take_profit.rungs if isinstance(signal.take_profit, Ladder) else ((signal.take_profit, 1.0),)
    )
    if signal.take_profit is None:
        rungs = ()
    targets = [reader.level("take_profit", level) for level, _ in rungs]
    if len({is_distance for _, is_distance in targets}) > 1:
        raise StrategyError(
            f"strategy {name}: a ladder mixes fractions and distances; make all of its levels of one kind."
        )
    n_rows = max((len(values) for values, _ in targets), default=1)
    profit = np.empty((len(targets), n_rows, bars.n_assets))
    for k, (values, _) in enumerate(targets):
        profit[k] = values
    orders = OrdersInside(
        entry=reader.flags("entry", signal.entry),
        stop_loss=stop_loss[0],
        trailing_stop=trailing[0],
        take_profit=_frozen(profit),
        shares=_frozen(np.array([share for _, share in rungs], np.float64)),
        limit=reader.price("limit", signal.limit),
        stop=reader.price("stop", signal.stop),
        time_stop=reader.whole("time_stop", signal.time_stop),
        rank=reader.numbers("rank", signal.rank),
        by_distance=(stop_loss[1], trailing[1], bool(targets) and targets[0][1]),
        has_limit=signal.limit is not None,
        has_stop=signal.stop is not None,
        stop_from=signal.stop_from,
        tif=signal.tif,
        order_type=signal.order_type,
    )
    if orders.has_stop:
        _check_sides(orders, np.nan_to_num(target).astype(np.float64), bars, name)
    return orders


def signal_members(signal: Signal, bars: Bars) -> dict[str, Any]:
    """Give what a signal holds, each member as numbers; rungs of a ladder one by one."""
    names = ("target", "take_profit", *(n for n in ARRAYS if n != "take_profit"))
    members = {n: getattr(signal, n) for n in names if getattr(signal, n) is not None}
    if isinstance(members.get("take_profit"), Ladder):
        rungs = members.pop("take_profit").rungs
        members |= {f"take_profit {k + 1}": level for k, (level, _) in enumerate(rungs)}
    for name, given in members.items():
        level = given.on(bars) if isinstance(given, AtrMultiple) else given
        members[name] = level.values if isinstance(level, Distance) else level
    return members


def stitched_orders(
    pieces: Sequence[tuple[int, int, OrdersInside | None]], n_bars: int
) -> OrdersInside | None:
    """Join orders inside the bar of several spans into those of all bars; None where no span has any.

    Parameters
    ----------
    pieces : sequence of (int, int, OrdersInside or None)
        Start and stop of each span, and its orders, of its bars alone; None is none.
    n_bars : int
        Bars in all; outside the spans there are no orders.

    Raises
    ------
    StrategyError
        If the orders of two spans differ in more than their values.
    """
    some = [(start, stop, orders) for start, stop, orders in pieces if orders is not None]
    if not some:
        return None
    first = some[0][2]
    kinds = {o.kind for _, _, o in some}
    if len(kinds) > 1 or len(some) < len(pieces):
        raise StrategyError(
            "the orders inside the bar of two spans are of different kinds (fractions and distances, with and without "
            "a limit or a stop, ladders of other shares); a strategy keeps their kind whatever its parameters are. "
            "NaN leaves an order out."
        )
    changed: dict[str, Any] = {}
    for name in ARRAYS:
        values = getattr(first, name)
        if all(_is_none(getattr(orders, name)) for _, _, orders in some):
            # What no span asks for is not asked for by all of them together.
            continue
        whole = np.full(
            (*values.shape[:-2], n_bars, values.shape[-1]), 0 if name == "entry" else np.nan, values.dtype
        )
        for start, stop, orders in some:
            whole[..., start:stop, :] = getattr(orders, name)
        changed[name] = _frozen(whole)
    return replace(first, **changed)


def _frozen(values: NDArray[Any]) -> NDArray[Any]:
    """Contiguous and read-only: one kind of array, or kernels compile once more."""
    values = np.ascontiguousarray(values)
    values.flags.writeable = False
    return values


def _is_none(values: NDArray[Any]) -> bool:
    """Whether an array is what a member that is not given becomes: one row for all bars, with nothing in it."""
    if values.shape[-2] > 1:
        return False
    return not values.any() if values.dtype == np.uint8 else bool(np.isnan(values).all())


@lru_cache(64)
def _row_of(kind: Any, value: Any, n_assets: int) -> NDArray[Any]:
    """Row of one value, the same array each time: a sweep asks for it a million times."""
    return _frozen(np.full((1, n_assets), value, kind))


class _Reader:
    """Makes arrays of the members of one signal."""

    def __init__(self, bars: Bars, target: NDArray[Any], name: str) -> None:
        self._bars, self._target, self._name = bars, target, name

    def _array(self, member: str, given: Any, kind: Any = np.float64) -> NDArray[Any]:
        n_bars, n_assets = self._bars.shape
        values = labelled(given, self._bars, self._name)
        if values.dtype == object or values.dtype.kind not in "biuf":
            raise StrategyError(
                f"strategy {self._name}: {member} has values of type {values.dtype}; numbers are needed."
            )
        if values.ndim == 1 and n_assets == 1:
            values = values[:, None]
        if values.ndim == 0:
            values = np.full((1, n_assets), values)
        if values.shape not in {(n_bars, n_assets), (1, n_assets)}:
            raise StrategyError(
                f"strategy {self._name}: {member} has shape {values.shape}; a number or shape (n_bars, n_assets) = "
                f"({n_bars}, {n_assets}) is needed."
            )
        return np.ascontiguousarray(values, kind)

    def _row(self, kind: Any, value: Any) -> NDArray[Any]:
        return _row_of(kind, value, self._bars.n_assets)

    def _refuse(self, member: str, values: NDArray[np.float64], bad: NDArray[np.bool_], need: str) -> None:
        if not bad.any():
            return
        # Where nothing is wanted, or there is no bar, nobody reads the value.
        bad = bad & (np.nan_to_num(self._target) != 0.0) & ~np.isnan(self._bars.close)
        if bad.any():
            t, i = (int(k) for k in np.argwhere(bad)[0])
            value = values[t if len(values) > 1 else 0, i]
            raise StrategyError(
                f"strategy {self._name}: {member} is {value} for {self._bars.symbols[i]} at {self._bars.index[t]}; "
                f"{need}"
            )

    def flags(self, member: str, given: Any) -> NDArray[np.uint8]:
        """Events."""
        if given is None:
            return self._row(np.uint8, 0)
        values = self._array(member, given)
        return _frozen(((values != 0.0) & ~np.isnan(values)).astype(np.uint8))

    def level(self, member: str, given: Any) -> tuple[NDArray[np.float64], bool]:
        """Fractions or distances, and whether they are distances."""
        if isinstance(given, AtrMultiple):
            given = given.on(self._bars)
        is_distance = isinstance(given, Distance)
        if given is None:
            return self._row(np.float64, np.nan), False
        # The common case, without a detour: one good number for all.
        if type(given) is float and 0.0 < given <= 1.0:
            return self._row(np.float64, given), False
        values = self._array(member, given.values if is_distance else given)
        known = ~np.isnan(values)
        if is_distance:
            bad = known & ~((values > 0.0) & np.isfinite(values))
            self._refuse(member, values, bad, "a distance is a price above zero (NaN for none).")
        else:
            need = (
                "a fraction lies in (0, 1], so that 5 percent is 0.05 (NaN for none); a price distance is "
                "ql.Distance(values)."
            )
            self._refuse(member, values, known & ~((values > 0.0) & (values <= 1.0)), need)
        return _frozen(values), is_distance

    def price(self, member: str, given: Any) -> NDArray[np.float64]:
        """Prices."""
        if given is None:
            return self._row(np.float64, np.nan)
        values = self._array(member, given)
        bad = ~np.isnan(values) & ~((values > 0.0) & np.isfinite(values))
        self._refuse(member, values, bad, "a price above zero is needed (NaN sends no order).")
        return _frozen(values)

    def numbers(self, member: str, given: Any) -> NDArray[np.float64]:
        """Any numbers."""
        return self._row(np.float64, np.nan) if given is None else _frozen(self._array(member, given))

    def whole(self, member: str, given: Any) -> NDArray[np.float64]:
        """Numbers of bars."""
        if given is None:
            return self._row(np.float64, np.nan)
        if type(given) is int and given >= 1:
            return self._row(np.float64, float(given))
        values = self._array(member, given)
        with np.errstate(invalid="ignore"):
            bad = ~np.isnan(values) & ~((values >= 1.0) & (values == np.floor(values)) & np.isfinite(values))
        self._refuse(member, values, bad, "a whole number of bars of at least 1 is needed (NaN for none).")
        return _frozen(values)


def _check_sides(orders: OrdersInside, target: NDArray[Any], bars: Bars, name: str) -> None:
    """Refuse entry events whose stop the price has already passed.

    Raises
    ------
    StrategyError
        With asset and bar.
    """
    side = np.sign(target)
    for i in range(bars.n_assets):
        rows = np.flatnonzero(~np.isnan(bars.close[:, i]))
        mine = side[rows, i]
        before = np.concatenate(([0.0], mine[:-1]))
        entry = orders.entry[:, i] if len(orders.entry) > 1 else np.zeros(len(target), np.uint8)
        events = rows[(mine != 0.0) & ((mine * before <= 0.0) | (entry[rows] != 0))]
        stops = orders.stop[events, i] if len(orders.stop) > 1 else np.full(len(events), orders.stop[0, i])
        wrong = events[side[events, i] * (stops - bars.close[events, i]) <= 0.0]
        if len(wrong):
            t = int(wrong[0])
            stop, close = orders.stop[t if len(orders.stop) > 1 else 0, i], bars.close[t, i]
            buys = target[t, i] > 0
            raise StrategyError(
                f"strategy {name}: the {'buy' if buys else 'sell'} stop of {bars.symbols[i]} at {bars.index[t]} is "
                f"{stop:g}, {'at or below' if buys else 'at or above'} the close of {close:g}, and would be a market "
                f"order; a {'buy' if buys else 'sell'} stop lies {'above' if buys else 'below'} the price. To wait "
                "for a better price use limit=."
            )
