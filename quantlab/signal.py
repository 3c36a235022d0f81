"""What a strategy returns: a target, and the orders inside the bar that it asks for."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import ParameterError, StrategyError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from quantlab.bars import Bars

__all__ = ["Signal", "labelled", "signal_to_target"]


@dataclass(frozen=True, eq=False)
class Signal:
    """What a strategy returns when a bare target is not enough.

    Members are scalars, arrays of shape (n_bars, n_assets) or frames; what each does is in docs/fills.md, 29 to 52.

    Parameters
    ----------
    target : array_like of shape (n_bars, n_assets)
        Wanted exposure in [-1, 1] of each asset's allocation; NaN counts as 0 where the asset has a bar.
    entry : array_like of bool, optional
        Further entry events while the target stands: they enter where nothing is held, after a stop for one.
    stop_loss, take_profit, trailing_stop : optional
        Protective levels, read at the decision bar of the entry: fractions in (0, 1] of the decision price (of the
        fill price with ``stop_from="fill"``; a trailing stop always starts from there), `quantlab.Distance` or
        `quantlab.AtrMultiple`; `take_profit` may be a `quantlab.Ladder`. NaN is none.
    limit, stop : optional
        Prices, in the bars' prices, of orders that open a position or make it larger; both are a stop-limit. NaN sends
        no order.
    time_stop : optional
        Bars after which a position is closed, a whole number; NaN is none.
    stop_from : {"decision", "fill"}
        What the protective levels are measured from. The fill price is not known when an order is sent.
    tif : {"bar", "day", "gtc", "ioc"}
        How long an order at a price stands: for one bar, and then decided anew; for the session; until it fills; for
        the open of its first bar.
    order_type : {"market", "moo", "moc"}
        Market orders fill as the run says, at the next session's open, or at a session's close.
    rank : optional
        Numbers: when the account cannot carry every entry of a bar, the highest come first (NaN last, equals in column
        order).

    Raises
    ------
    UnknownNameError
        For another `stop_from`, `tif` or `order_type`.
    ParameterError
        For an order at a price that is also sent to an auction.
    """

    target: ArrayLike
    entry: ArrayLike | None = None
    stop_loss: Any = None
    take_profit: Any = None
    trailing_stop: Any = None
    limit: ArrayLike | None = None
    _: KW_ONLY
    stop: ArrayLike | None = None
    time_stop: ArrayLike | None = None
    stop_from: str = "decision"
    tif: str = "bar"
    order_type: str = "market"
    rank: ArrayLike | None = None

    def __post_init__(self) -> None:
        choices = (
            ("stop_from", ("decision", "fill")),
            ("tif", ("bar", "day", "gtc", "ioc")),
            ("order_type", ("market", "moo", "moc")),
        )
        for name, allowed in choices:
            if getattr(self, name) not in allowed:
                raise UnknownNameError(name, str(getattr(self, name)), allowed)
        if self.order_type != "market" and not (self.limit is None and self.stop is None):
            raise ParameterError(
                f"order_type={self.order_type!r} is a market order, and a limit or a stop is none; give one of them."
            )

    @property
    def orders_inside_bar(self) -> tuple[str, ...]:
        """Members that ask for more than market orders at the run's fill."""
        names = ("entry", "stop_loss", "take_profit", "trailing_stop", "limit", "stop", "time_stop", "rank")
        asked = tuple(n for n in names if getattr(self, n) is not None)
        return asked if self.order_type == "market" else (*asked, "order_type")


def signal_to_target(signal: Signal, bars: Bars, name: str = "strategy") -> NDArray[Any]:
    """Target of a signal as float64 or bool of shape (n_bars, n_assets), C-contiguous.

    A frame or Series is matched by its labels (`bars.index` and symbols, or closes in UTC), never by position;
    labels that are missing give NaN. NaN is kept: the engine reads it as 0 where the asset has a bar.

    Raises
    ------
    StrategyError
        For a wrong shape or type, labels that are not those of the bars, and targets beyond [-1, 1].
    """
    target = labelled(signal.target, bars, name)
    if target.dtype == object or target.dtype.kind not in "biuf":
        raise StrategyError(
            f"strategy {name} returned values of type {target.dtype}; bool, int or float are needed."
        )
    n_bars, n_assets = bars.shape
    if target.ndim == 1 and n_assets == 1:
        target = target[:, None]
    if target.shape != (n_bars, n_assets):
        raise StrategyError(_shape_error(target.shape, bars, name))
    if target.dtype.kind == "b":
        return np.ascontiguousarray(target)
    target = np.ascontiguousarray(target, np.float64)
    if target.size:
        low, high = np.fmin.reduce(target, axis=None), np.fmax.reduce(target, axis=None)
        if low < -1.0 or high > 1.0:
            t, i = (int(k) for k in np.argwhere(np.abs(target) > 1.0)[0])
            raise StrategyError(
                f"strategy {name} wants a target of {target[t, i]} for {bars.symbols[i]} at {bars.index[t]}; targets "
                "lie in [-1, 1], as fractions of the asset's allocation. For more exposure use "
                "Sizing(allocation=..., max_leverage=...)."
            )
    return target


def labelled(given: Any, bars: Bars, name: str) -> NDArray[Any]:
    """Array of what a strategy returned: a frame or Series is matched by labels, anything else taken as it is.

    Raises
    ------
    StrategyError
        For repeated labels, a column of no symbol, and an index that shares nothing with that of the bars.
    """
    import pandas as pd

    if not isinstance(given, (pd.DataFrame, pd.Series)):
        return np.asarray(given)
    labels, index = given.index, bars.index
    if not labels.is_unique:
        raise StrategyError(f"strategy {name} returned a frame whose index has repeated labels.")
    if isinstance(labels, pd.DatetimeIndex) and labels.tz is not None and index.tz is None:
        # As in from_frame: midnights name sessions, whatever their zone; other times are closes.
        if (labels == labels.normalize()).all():
            labels = labels.tz_localize(None)
        else:
            index = pd.DatetimeIndex(bars.time.view("M8[ns]"), tz="UTC")
    if not labels.isin(index).any():
        raise StrategyError(
            f"strategy {name} returned a frame whose index ({given.index[:1].tolist()} …) shares no label with the "
            f"bars ({bars.index[0]} …); keep the index of bars.frame('close')."
        )
    frame = given.to_frame() if isinstance(given, pd.Series) else given
    unknown = [str(c) for c in given.columns if c not in bars.symbols] if frame is given else []
    if unknown:
        raise StrategyError(
            f"strategy {name} returned a column: {UnknownNameError('symbol', unknown[0], bars.symbols)}"
        )
    ordered = frame.set_axis(labels, axis=0).reindex(index)
    if frame is given:
        ordered = ordered.reindex(columns=list(bars.symbols))
    others = frame.loc[:, [not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]]
    if any(isinstance(value, str) for _, column in others.items() for value in column):
        raise StrategyError(f"strategy {name} returned text; bool, int or float are needed.")
    values = ordered.to_numpy(np.float64, na_value=np.nan)
    return values if frame is given else values[:, 0]


def _shape_error(shape: tuple[int, ...], bars: Bars, name: str) -> str:
    n_bars, n_assets = bars.shape
    text = f"strategy {name} returned shape {shape}; (n_bars, n_assets) = ({n_bars}, {n_assets}) is needed."
    if shape == (n_bars, n_bars):
        text += (
            " A shape of (n_bars, n_bars) comes from broadcasting: an array of shape (n_bars,) was compared with one "
            f"of shape (n_bars, {n_assets}). Keep two dimensions (x[:, None]), or work on bars.frame('close')."
        )
    elif shape == (n_bars,):
        text += " One target for several assets is ambiguous; return one column per asset."
    return text
