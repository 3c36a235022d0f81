"""Orders inside the bar as kernels take them, and the path that prices take through each bar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.barsize import BarSize
from quantlab.errors import DataError, ParameterError
from quantlab.kernels import levels as kernel
from quantlab.kernels.records import ASKED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.levels import Kind, OrdersInside
    from quantlab.sizing import Sizing

__all__ = ["Path", "check_options", "orders_to_levels"]

TIF = {"bar": kernel.BAR, "day": kernel.DAY, "gtc": kernel.GTC, "ioc": kernel.IOC}
ORDER_TYPES = {"market": kernel.MARKET, "moo": kernel.ON_OPEN, "moc": kernel.ON_CLOSE}

TOLERANCE = 0.01
"""Part of the price by which finer bars may lie beyond the bar they are in: consolidated and primary prints differ."""


def _frozen(values: NDArray[Any]) -> NDArray[Any]:
    values = np.ascontiguousarray(values)
    values.flags.writeable = False
    return values


NO_STEPS = _frozen(np.empty(0, np.int64))
NO_EDGE = _frozen(np.empty(0, np.uint8))


@dataclass(frozen=True, eq=False)
class Path:
    """How prices go through each bar.

    Parameters
    ----------
    steps : tuple of four ndarrays of shape (n_steps, n_assets)
        Open, high, low and close of each step.
    first : ndarray of shape (n_bars + 1,) or (0,)
        First step of each bar, and the end; empty where steps are bars.
    high, low : ndarray of shape (n_bars, n_assets)
        Extremes of each bar's steps.
    session : ndarray of shape (n_bars,)
        Session of each bar.
    """

    steps: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    first: NDArray[np.int64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    session: NDArray[np.int64]

    @property
    def is_finer(self) -> bool:
        """Whether steps are finer than bars."""
        return len(self.first) > 0

    @cached_property
    def edge(self) -> NDArray[np.uint8]:
        """Which bars are the first or the last of their session, shape (n_bars,)."""
        begins = np.diff(self.session, prepend=self.session[0] - 1) != 0
        ends = np.diff(self.session, append=self.session[-1] + 1) != 0
        return _frozen((begins * kernel.SESSION_FIRST + ends * kernel.SESSION_LAST).astype(np.uint8))

    @classmethod
    def of(cls, bars: Bars, detail: Bars | None) -> Path:
        """Path through `bars`: one step each, or those of finer bars.

        Raises
        ------
        DataError
            For finer bars that are none, or leave out an asset or a bar; the message names it.
        """
        if detail is None:
            return cls(
                (bars.open, bars.high, bars.low, bars.close), NO_STEPS, bars.high, bars.low, bars.session
            )
        finer = _same_assets(detail, bars)
        edges = np.concatenate(([bars.time[0] - _duration_ns(bars)], bars.time))
        first = np.searchsorted(finer.time, edges, "right").astype(np.int64)
        high, low = _extremes(finer, first)
        _check_covered(bars, high, low)
        steps = (finer.open, finer.high, finer.low, finer.close)
        high, low = np.fmax(high, bars.high), np.fmin(low, bars.low)
        return cls(steps, _frozen(first), _frozen(high), _frozen(low), bars.session)


def _duration_ns(bars: Bars) -> int:
    return int(BarSize.parse(bars.bar_size).duration_ns)


def _same_assets(detail: Bars, bars: Bars) -> Bars:
    missing = [s for s in bars.symbols if s not in detail.symbols]
    if missing:
        raise DataError(f"detail has no bars of {missing[0]}; it has {', '.join(detail.symbols)}.")
    if _duration_ns(detail) >= _duration_ns(bars):
        raise DataError(
            f"detail has bars of {detail.bar_size}, which are not finer than those of {bars.bar_size}."
        )
    if detail.symbols == bars.symbols:
        return detail
    return detail.take(slice(None), [detail.column(s) for s in bars.symbols])


def _extremes(finer: Bars, first: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Highest and lowest price of the steps of each bar; NaN where it has none."""
    n_bars = len(first) - 1
    high, low = np.full((n_bars, finer.n_assets), np.nan), np.full((n_bars, finer.n_assets), np.nan)
    some = np.flatnonzero(np.diff(first) > 0)
    if len(some):
        # From the first step of one bar that has any to that of the next: no step is left over in between.
        high[some] = np.fmax.reduceat(finer.high[: first[-1]], first[some], axis=0)
        low[some] = np.fmin.reduceat(finer.low[: first[-1]], first[some], axis=0)
    return high, low


def _check_covered(bars: Bars, high: NDArray[np.float64], low: NDArray[np.float64]) -> None:
    uncovered = ~np.isnan(bars.close) & np.isnan(high)
    if uncovered.any():
        t, i = (int(k) for k in np.argwhere(uncovered)[0])
        raise DataError(
            f"detail has no bar of {bars.symbols[i]} within the bar of {bars.index[t]} ({int(uncovered.sum())} bar(s) "
            "are not covered); give finer bars for the whole simulated time, or simulate less with start= and end=."
        )
    with np.errstate(invalid="ignore"):
        beyond = (high > bars.high * (1.0 + TOLERANCE)) | (low < bars.low * (1.0 - TOLERANCE))
    if beyond.any():
        t, i = (int(k) for k in np.argwhere(beyond)[0])
        raise DataError(
            f"detail of {bars.symbols[i]} goes from {low[t, i]:g} to {high[t, i]:g} within the bar of {bars.index[t]}, "
            f"which goes from {bars.low[t, i]:g} to {bars.high[t, i]:g}: these are not the same prices. Adjust both "
            "alike, and see that their times agree."
        )


def check_options(orders: OrdersInside, sizing: Sizing, fill: str) -> None:
    """Refuse what orders inside the bar cannot be combined with.

    Raises
    ------
    ParameterError
        With what to change.
    """
    if orders.at_price and sizing.price == "fill":
        raise ParameterError(
            "an order at a price (limit, stop) is sized when it is sent; use Sizing(price='decision')."
        )
    if orders.scales_out and sizing.rebalance != "on_change":
        raise ParameterError(
            f"a ladder sells parts of a position that rebalance={sizing.rebalance!r} would buy back at the next bar; "
            "use rebalance='on_change'."
        )
    if orders.order_type != "market" and fill == "close":
        raise ParameterError(
            f"order_type={orders.order_type!r} fills after the decision, and fill='close' with it; "
            "give one of them."
        )


def orders_to_levels(orders: OrdersInside, path: Path) -> kernel.Levels:
    """Orders inside the bar as kernels take them."""
    return kernel.Levels(
        entry=orders.entry,
        stop_loss=orders.stop_loss,
        trailing_stop=orders.trailing_stop,
        take_profit=orders.take_profit,
        limit=orders.limit,
        stop=orders.stop,
        time_stop=orders.time_stop,
        rank=orders.rank,
        asked=_asked(orders.kind, path.is_finer),
        edge=path.edge if orders.tif == "day" or orders.order_type != "market" else NO_EDGE,
        path=path.steps,
        path_from=path.first,
        high=path.high,
        low=path.low,
    )


@lru_cache(256)
def _asked(kind: Kind, is_finer: bool) -> NDArray[Any]:
    """Record of what is asked for, of which there are few in a sweep."""
    asked = np.zeros(1, ASKED)
    for name, is_distance in zip(("stop", "trail", "target"), kind.by_distance, strict=True):
        asked[f"{name}_is_distance"] = is_distance
    asked["from_fill"] = kind.stop_from == "fill"
    asked["has_limit"], asked["has_stop"], asked["is_finer"] = kind.has_limit, kind.has_stop, is_finer
    asked["tif"], asked["order_type"] = TIF[kind.tif], ORDER_TYPES[kind.order_type]
    asked["share"][0, : len(kind.shares)] = kind.shares
    return _frozen(asked)
