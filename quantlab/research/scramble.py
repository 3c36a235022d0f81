"""Other futures and other pasts: copies of bars in which everything on one side of a bar is replaced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars

__all__ = ["FALL", "HOLES", "RISE", "TRUNCATED", "Future", "Scrambler", "replaced", "take"]

COLUMNS = ("open", "high", "low", "close", "volume")

JUMP = (0.25, 1.4)
"""Log jump at the first replaced bar: from about 28% to a factor of four, up or down."""

SPREAD = 1.7
"""How much wilder than the sample's own the redrawn returns are."""

LARGEST_LOG = 6.0
"""Replaced prices stay within a factor of exp(6) of the price they start from."""


@dataclass(frozen=True, slots=True)
class Future:
    """One way to replace what comes after a cut.

    Parameters
    ----------
    kind : {"rise", "fall", "holes", "truncated"}
        Prices, volumes and fields of another stretch, wilder and pushed one way or the other; the same with
        bars missing and assets gone; no later bar at all.
    asset : int or None
        The only asset whose future is replaced; None replaces all.
    """

    kind: str
    asset: int | None = None


RISE, FALL, HOLES, TRUNCATED = (Future(kind) for kind in ("rise", "fall", "holes", "truncated"))


def replaced(bars: Bars, **columns: Any) -> Bars:
    """Copy of `bars` with some columns given anew."""
    return replace(bars, **columns)


def take(bars: Bars, rows: slice) -> Bars:
    """Copy of some rows of `bars`: a copy, so that the rest cannot be reached through ``array.base``."""

    def cut(array: NDArray[Any]) -> NDArray[Any]:
        return array[rows].copy()

    return replaced(
        bars,
        time=cut(bars.time),
        session=cut(bars.session),
        **{name: cut(getattr(bars, name)) for name in COLUMNS},
        factor=None if bars.factor.strides == (0, 0) else cut(bars.factor),
        member=None if bars.member.strides == (0, 0) else cut(bars.member),
        fields={name: cut(column) for name, column in bars.fields.items()},
    )


def _last_known(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Last value that is not NaN at or before each row; before the first one, the first one (1 if none)."""
    known = ~np.isnan(column)
    row = np.maximum.accumulate(np.where(known, np.arange(column.shape[0])[:, None], -1), axis=0)
    row = np.where(row < 0, known.argmax(axis=0), row)
    return np.nan_to_num(np.take_along_axis(column, row, axis=0), nan=1.0)


def _twice(column: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([column, column])


class Scrambler:
    """Makes other futures and pasts of one set of bars, the same ones for the same seed.

    ``RISE`` and ``FALL`` of one cut are mirror images: the same draw with its sign turned. Whatever a signal
    asks of the next bar (is it higher, is its volume above the mean), one of the two answers otherwise.
    With several assets half of the cuts push all of them the same way and half push each its own way,
    so that neither sums nor differences of assets can stay as they were.

    Parameters
    ----------
    bars : Bars
        The bars to replace parts of.
    seed : int
        Seed of every draw.
    """

    def __init__(self, bars: Bars, seed: int = 0) -> None:
        self.bars, self.seed = bars, seed
        close = _last_known(bars.close)
        returns = np.diff(np.log(close), axis=0, prepend=np.log(close[:1]))
        self._anchor = close
        # Twice round, so that any stretch can be cut from anywhere without gathering rows.
        self._walk = np.cumsum(_twice(returns - returns.mean(axis=0)), axis=0) * SPREAD
        self._ratios = {n: _twice(np.nan_to_num(getattr(bars, n) / bars.close, nan=1.0)) for n in COLUMNS[:3]}
        self._volume = _twice(np.nan_to_num(bars.volume, nan=1.0))
        self._missing = np.isnan(bars.close)
        self._unknown = np.isnan(bars.volume)
        self._factor = None if bars.is_raw else _twice(bars.factor)
        self._member = None if bars.member.strides == (0, 0) else _twice(bars.member)
        self._fields = {name: _twice(column) for name, column in bars.fields.items()}

    def future(self, cut: int, future: Future) -> Bars:
        """Bars that are unchanged up to and including row `cut` and replaced after it.

        Times stay what they are. The result has the shape of the original, but for ``"truncated"``.
        """
        if future.kind == "truncated":
            return take(self.bars, slice(0, cut + 1))
        rng = np.random.default_rng((self.seed, cut))
        rows = slice(cut + 1, self.bars.n_bars)
        drawn = self._draw(rows, self._anchor[cut], -1.0 if future.kind == "fall" else 1.0, rng)
        if future.kind == "holes":
            self._punch(drawn, rng)
        return self._replaced(rows, drawn, future.asset)

    def past(self, start: int, kind: str) -> Bars:
        """Bars that are unchanged from row `start` on and replaced before it, rising or falling."""
        rng = np.random.default_rng((self.seed, start, 1))
        rows = slice(0, start)
        drawn = self._draw(rows, self._anchor[start], -1.0 if kind == "fall" else 1.0, rng)
        return self._replaced(rows, {name: column[::-1] for name, column in drawn.items()}, None)

    def quiet(self, start: int) -> Bars:
        """Bars that are unchanged before `start`, then swing ever less about the last price.

        No later close leaves the range of the earlier ones, so that a rule which waits for an event waits for
        ever. The swings shrink without end, so that no two averages tie.
        """
        n_bars, n_assets = self.bars.shape
        k = np.arange(n_bars - start)[:, None]
        shrinking = 0.005 * (1.0 + np.exp(-3.0 * k / max(1, n_bars - start)))
        size = shrinking * (1.0 + 0.1 * np.arange(n_assets) / n_assets)
        close = self._anchor[max(0, start - 1)] * (1.0 + np.where((k + np.arange(n_assets)) % 2, size, -size))
        opened = np.vstack([self._anchor[max(0, start - 1)][None], close[:-1]])
        drawn: dict[str, NDArray[Any]] = {
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume": np.broadcast_to(np.median(self._volume, axis=0), close.shape),
        }
        return self._replaced(slice(start, n_bars), drawn, None)

    # -- drawing ---------------------------------------------------------------------------------------

    def _draw(
        self, rows: slice, anchor: NDArray[np.float64], way: float, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Columns for `rows`, counted from the bar beside the part that is kept."""
        n_bars, n_assets = self.bars.shape
        n_rows = rows.stop - rows.start
        first = int(rng.integers(0, n_bars))
        other = slice(first, first + n_rows)
        together = rng.random() < 0.5
        sign = way * (np.ones(n_assets) if together else rng.choice((-1.0, 1.0), n_assets))
        walk = self._walk[other] - self._walk[first] + rng.uniform(*JUMP, n_assets)
        close = anchor * np.exp(sign * np.clip(walk, -LARGEST_LOG, LARGEST_LOG))
        close[self._missing[rows]] = np.nan
        columns: dict[str, NDArray[Any]] = {n: close * ratio[other] for n, ratio in self._ratios.items()}
        volume = self._volume[other] * np.exp(sign * rng.uniform(0.5, 2.0))
        volume[self._missing[rows] | self._unknown[rows]] = np.nan
        columns |= {"close": close, "volume": volume}
        if self._factor is not None:
            columns["factor"] = self._factor[other] * np.exp(sign * rng.uniform(0.1, 1.0))
        if self._member is not None:
            columns["member"] = self._member[other] ^ (sign < 0)
        size = rng.uniform(0.5, 2.0)
        for name, column in self._fields.items():
            columns[name] = _pushed(column[other], column, sign, size)
        return columns

    @staticmethod
    def _punch(drawn: dict[str, NDArray[Any]], rng: np.random.Generator) -> None:
        """Take bars away: some of every asset's, and all of some assets'."""
        shape = drawn["close"].shape
        gone = (rng.random(shape) < 0.3) | (rng.random(shape[1]) < 0.4)
        gone[:1] |= rng.random(shape[1]) < 0.5
        for name in COLUMNS:
            drawn[name][gone] = np.nan

    def _replaced(self, rows: slice, drawn: dict[str, NDArray[Any]], asset: int | None) -> Bars:
        fields = dict(self.bars.fields)
        columns: dict[str, Any] = {}
        for name, values in drawn.items():
            old = self.bars.fields[name] if name in fields else getattr(self.bars, name)
            column = old.copy()
            where = (rows, slice(None) if asset is None else asset)
            column[where] = values if asset is None else values[:, asset]
            if name in fields:
                fields[name] = column
            else:
                columns[name] = column
        return replaced(self.bars, **columns, fields=fields)


def _pushed(
    values: NDArray[Any], column: NDArray[Any], sign: NDArray[np.float64], size: float
) -> NDArray[Any]:
    """Values of a field from elsewhere: numbers are pushed the way of `sign`, truths turned over."""
    if column.dtype.kind == "b":
        return np.asarray(values ^ (sign < 0))
    if column.dtype.kind != "f":
        return np.where(sign < 0, values[::-1], values).astype(column.dtype)
    finite = np.where(np.isfinite(column), np.abs(column), 0.0)
    largest = finite.max(axis=0)
    return np.asarray(values + sign * size * np.where(largest > 0.0, largest, 1.0), column.dtype)
