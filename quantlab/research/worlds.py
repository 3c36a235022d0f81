"""Histories without an edge, made of a real one: the same market, and nothing in it to foresee."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.backtest import Window
from quantlab.errors import DataError, MissingExtraError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars

__all__ = ["DRIFTS", "FEWEST_MOVES", "FEWEST_SESSIONS", "Worlds"]

DRIFTS = ("keep", "remove")
"""What becomes of the mean return of each asset."""

FEWEST_MOVES = 20
"""Moves of prices below which there is nothing to draw from."""

FEWEST_SESSIONS = 20
"""Sessions from which intraday bars are drawn from their own time of day."""

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, eq=False)
class Worlds:
    """Resampled histories of the same shape, times, sessions and instruments. Made by `Worlds.of`.

    A bar is taken as its moves: open, high, low and close over the asset's close before, in logs. Rows of moves, each
    with all assets and their volumes, are drawn in blocks and put together to prices again.

    Parameters
    ----------
    bars : Bars
        The real history.
    rows : slice
        Bars that are drawn anew, from among themselves; those outside stay as they are.
    block : float
        Mean length of the blocks, in bars.
    drift : {"keep", "remove"}
        Mean return that every asset has over `rows`: the one it had, or 0.
    mirror : bool
        Whether a drawn row is turned upside down, about the mean, with probability 1/2.
    seed : int
        World `k` depends on `seed` and `k` alone.

    Notes
    -----
    **Blocks.** Stationary bootstrap (Politis and Romano, 1994): blocks of geometric length begin anywhere, and go round
    at the end. Volatility comes in clusters as long as a block, and moves of one bar stay together across assets and
    with their volume. Intraday, with 20 sessions or more, a bar is drawn from bars of its own place in the session
    (seasonal blocks: Politis, 2001), so that nights stay nights and busy hours busy; a place that the drawn session
    does not have is filled by a bar of the same place of any other.

    **Mirror.** A block is a piece of the real history, with whatever could be foreseen within it: a rule that holds
    for two days finds its edge again in blocks of twenty. Rows turned upside down at random (the wild bootstrap: Wu,
    1986; for tests that returns cannot be foreseen: Kim, 2006) have a mean that does not depend on anything before,
    at any distance, and keep their size, so volatility and correlation are untouched. The price: rises and falls are
    alike in size, and volatility no longer answers falls more than rises.

    **Drift.** The mean simple return of each asset over `rows` is exact, in every world. What a strategy earns by
    merely being long is so the same in all of them, and what is left to differ is timing. Moves are shifted by one
    number an asset, open included.

    **Bars that are missing** stay missing where they were, so an asset is listed, delisted and halted when it was. A
    row in which it had no bar gives it its next own bar; one from outside its life is counted round within it. Its
    first bar stays.

    ``factor``, ``member`` and ``fields`` stay at their bars: raw prices and their costs keep their size, and a field
    says nothing about prices any more.
    """

    bars: Bars
    rows: slice
    block: float
    drift: str = "keep"
    mirror: bool = True
    seed: int = 0

    @classmethod
    def of(
        cls,
        bars: Bars,
        window: tuple[Any, Any] = (None, None),
        *,
        block: float | None = None,
        drift: str = "keep",
        mirror: bool = True,
        seed: int = 0,
    ) -> Worlds:
        """Check the options and choose the length of the blocks.

        Parameters
        ----------
        bars : Bars
            The real history.
        window : tuple
            Start and end of what is drawn anew, as in `quantlab.backtest`; bars outside stay as they are.
        block : float, optional
            Mean length of the blocks, in bars, from 1 (single rows) to the number of bars. Default: that of Politis
            and White (2004) for the absolute returns, the mean over the assets, whose dependence is what blocks are
            to keep; without the package arch 2 n^(1/3) of n bars.
        drift, mirror, seed
            As in the class.

        Raises
        ------
        ParameterError, UnknownNameError
            For options out of range.
        DataError
            For fewer than 20 moves.
        """
        if drift not in DRIFTS:
            raise UnknownNameError("drift", str(drift), DRIFTS)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ParameterError(f"seed is {seed!r}; a whole number of 0 or more is needed.")
        found = Window.of(bars, *window)
        # The very first bar has no move: it is where every world begins.
        rows = slice(max(found.rows.start, 1), found.rows.stop)
        worlds = cls(bars, rows, 1.0, drift, bool(mirror), int(seed))
        n_rows = rows.stop - rows.start
        if n_rows < FEWEST_MOVES or not worlds.moves.known.any():
            raise DataError(
                f"{max(n_rows, 0)} moves of prices are too few to draw histories from; {FEWEST_MOVES} or more are "
                "needed."
            )
        if block is None:
            return replace(worlds, block=worlds._own_block())
        if isinstance(block, bool) or not isinstance(block, (int, float)) or not 1.0 <= block <= n_rows:
            raise ParameterError(f"block is {block!r}; a number of bars from 1 to {n_rows} is needed.")
        return replace(worlds, block=float(block))

    def _own_block(self) -> float:
        from quantlab.research.bootstrap import block_length

        moves = self.moves
        size = np.abs(np.where(moves.known, moves.close, 0.0)).sum(axis=1) / np.maximum(
            moves.known.sum(axis=1), 1
        )
        try:
            return block_length(size)
        except MissingExtraError:
            return float(min(2.0 * len(size) ** (1.0 / 3.0), len(size) / 3.0))

    @cached_property
    def moves(self) -> Moves:
        """Moves that are drawn from."""
        return Moves.of(self.bars, self.rows)

    @cached_property
    def places(self) -> Places:
        """Sessions and places in them that rows are drawn by."""
        return Places.of(self.bars, self.rows, self.moves)

    def draw(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of world `k`, counted from the first that is drawn, and whether each is turned upside down."""
        rng = np.random.default_rng((self.seed, k))
        rows = self.places.draw(rng, self.block)
        return rows, rng.random(len(rows)) < 0.5 if self.mirror else np.zeros(len(rows), bool)

    def make(self, k: int) -> Bars:
        """World number `k`, 0 or more."""
        rows, turned = self.draw(k)
        moves, bars = self.moves, self.bars
        taken = rows if moves.source is None else moves.source[rows]

        def drawn(column: NDArray[np.float64]) -> NDArray[np.float64]:
            if moves.source is None:
                return column.take(taken, axis=0)
            return np.take_along_axis(column, taken, axis=0)

        way = np.where(turned, -1.0, 1.0)[:, None]
        high, low = drawn(moves.high), drawn(moves.low)
        made = {
            "open": drawn(moves.open) * way,
            "high": np.where(way > 0.0, high, -low),
            "low": np.where(way > 0.0, low, -high),
            "close": drawn(moves.close) * way,
        }
        self._place(made)
        columns: dict[str, Any] = {}
        for name, values in made.items():
            columns[name] = getattr(bars, name).copy()
            columns[name][self.rows] = values
        columns["volume"] = bars.volume.copy()
        columns["volume"][self.rows] = self._volume(drawn(moves.volume))
        for name in ("factor", "member"):
            if getattr(bars, name).strides == (0, 0):
                columns[name] = None  # what stands for "the same everywhere" would be copied out otherwise
        meta = {**bars.meta, "world": f"{k} of seed {self.seed}, blocks of {self.block:.1f} bars"}
        return replace(bars, **columns, meta=meta)

    def _place(self, made: dict[str, NDArray[np.float64]]) -> None:
        """Turn drawn moves into prices: exact mean return, from the anchor on, NaN where there is no bar."""
        moves = self.moves
        close = made["close"]
        if not moves.complete:
            for name, first in moves.first.items():
                made[name][moves.begins] = first[moves.begins]
            close[~moves.known] = 0.0
        growth = np.where(moves.known, np.exp(close), 0.0).sum(axis=0) / moves.n_known
        steps = np.where(moves.known, np.log((1.0 + self._mean_return) / growth), 0.0)
        for name in PRICES:
            made[name] += steps
        # All four as moves from one number, or rounding could put a close above its high.
        before = moves.anchor + np.cumsum(close, axis=0) - close
        for name in PRICES:
            made[name] = np.exp(before + made[name])
            if not moves.complete:
                made[name][moves.absent] = np.nan

    @cached_property
    def _mean_return(self) -> NDArray[np.float64]:
        """Mean simple return that each asset is to have, of shape (n_assets,)."""
        return self.moves.mean_return if self.drift == "keep" else np.zeros(self.bars.n_assets)

    def _volume(self, volume: NDArray[np.float64]) -> NDArray[np.float64]:
        moves = self.moves
        if not moves.complete:
            volume[moves.begins] = self.bars.volume[self.rows][moves.begins]
            volume[moves.absent] = np.nan
        return volume


@dataclass(frozen=True, eq=False)
class Moves:
    """Moves of bars over their asset's close before, in logs, less the asset's mean move of the close.

    Parameters
    ----------
    open, high, low, close, volume : ndarray of shape (n_rows, n_assets)
        Moves, and units traded; NaN where an asset has no move.
    known : ndarray of bool of shape (n_rows, n_assets)
        Where it has one.
    absent, begins : ndarray of bool of shape (n_rows, n_assets)
        Where an asset has no bar, and where it has its first.
    first : dict of str to ndarray of shape (n_rows, n_assets)
        Prices of each bar over its own close, in logs: what a first bar is placed by. Empty if no asset begins later.
    anchor : ndarray of shape (n_assets,)
        Log of the close that the first move starts from.
    mean_return : ndarray of shape (n_assets,)
        Mean simple return.
    source : ndarray of int64 of shape (n_rows, n_assets), optional
        Row that each asset takes its move from when a row is drawn; None if every row has a move of every asset.
    """

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    known: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    first: dict[str, NDArray[np.float64]]
    anchor: NDArray[np.float64]
    mean_return: NDArray[np.float64]
    source: NDArray[np.int64] | None

    @cached_property
    def n_known(self) -> NDArray[np.int64]:
        """Moves of each asset, at least 1, of shape (n_assets,)."""
        return np.asarray(np.maximum(self.known.sum(axis=0), 1))

    @property
    def complete(self) -> bool:
        """Whether every row has a move of every asset."""
        return self.source is None

    @classmethod
    def of(cls, bars: Bars, rows: slice) -> Moves:
        """Take the moves of some rows of `bars`, the first of which is not its very first."""
        logs = {name: np.log(getattr(bars, name)) for name in PRICES}
        close = logs["close"]
        before = _last_before(close)[rows]
        logs = {name: column[rows] for name, column in logs.items()}
        moves = {name: column - before for name, column in logs.items()}
        known = ~np.isnan(moves["close"])
        absent = np.isnan(logs["close"])
        begins = ~absent & ~known
        n = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, moves["close"], 0.0).sum(axis=0) / n
        simple = np.where(known, np.expm1(moves["close"]), 0.0).sum(axis=0) / n
        opening = np.where(begins.any(axis=0), np.where(begins, logs["close"], 0.0).sum(axis=0), before[0])
        return cls(
            **{name: column - centre for name, column in moves.items()},
            volume=np.ascontiguousarray(bars.volume[rows]),
            known=known,
            absent=absent,
            begins=begins,
            first={} if known.all() else {name: logs[name] - logs["close"] for name in PRICES},
            # An asset without any bar yet or ever again has nothing to be placed.
            anchor=np.nan_to_num(opening),
            mean_return=simple,
            source=None if known.all() else _own_rows(known),
        )


@dataclass(frozen=True, eq=False)
class Places:
    """Where rows stand: in which session, and at which place in it (daily bars: each row a session of its own).

    Parameters
    ----------
    session, place : ndarray of shape (n_rows,)
        Of each row, counted from 0.
    first, length : ndarray of shape (n_sessions,)
        First row of each session (below 0 where it began before the first row) and its bars.
    usable : ndarray of bool of shape (n_rows,)
        Rows in which some asset moves.
    pool, pool_first, pool_length : ndarray
        Usable rows sorted by place, and where those of each place begin and how many they are.
    """

    session: NDArray[np.int64]
    place: NDArray[np.int64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    usable: NDArray[np.bool_]
    pool: NDArray[np.int64]
    pool_first: NDArray[np.int64]
    pool_length: NDArray[np.int64]

    @classmethod
    def of(cls, bars: Bars, rows: slice, moves: Moves) -> Places:
        """Places of some rows."""
        n_rows = rows.stop - rows.start
        first, length = np.arange(n_rows), np.ones(n_rows, np.int64)
        session, place = first, np.zeros(n_rows, np.int64)
        if bars.intraday:
            # Sessions are counted from their true beginning, which the first row may not be.
            ids = bars.session[: rows.stop]
            begins = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
            of_row = np.searchsorted(begins, np.arange(rows.start, rows.stop), "right") - 1
            if of_row[-1] - of_row[0] + 1 >= FEWEST_SESSIONS:
                begins = begins[of_row[0] :]
                session = of_row - of_row[0]
                first = begins - rows.start
                length = np.diff(begins, append=rows.stop)
                place = np.arange(n_rows) - first[session]
        usable = np.asarray(moves.known.any(axis=1))
        pool = np.flatnonzero(usable)
        pool = pool[np.argsort(place[pool], kind="stable")]
        counts = np.bincount(place[pool], minlength=int(place.max()) + 1)
        starts = np.cumsum(counts) - counts
        # A place of a single session would always get its own bar: it draws from all bars.
        alone = counts < 2
        return cls(
            session=session,
            place=place,
            first=first,
            length=length,
            usable=usable,
            pool=pool,
            pool_first=np.where(alone, 0, starts),
            pool_length=np.where(alone, len(pool), counts),
        )

    def draw(self, rng: np.random.Generator, block: float) -> NDArray[np.int64]:
        """Rows in blocks of mean length `block`, one for each row."""
        n_rows, n_sessions = len(self.session), len(self.first)
        begins = rng.random(n_rows) < 1.0 / block
        begins[0] = True
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=n_rows)
        drawn = rng.integers(n_sessions, size=len(starts)) - self.session[starts]
        session = (np.repeat(drawn, lengths) + self.session) % n_sessions
        rows = self.first[session] + self.place
        missing = (self.place >= self.length[session]) | (rows < 0)
        rows[missing] = 0
        missing |= ~self.usable[rows]
        holes = np.flatnonzero(missing)
        if len(holes):
            place = self.place[holes]
            rows[holes] = self.pool[self.pool_first[place] + rng.integers(self.pool_length[place])]
        return rows


def _last_before(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Last value above each row that is not NaN; NaN where there is none."""
    known = ~np.isnan(logs)
    row = np.maximum.accumulate(np.where(known, np.arange(len(logs))[:, None], -1), axis=0)
    row = np.concatenate((np.full((1, logs.shape[1]), -1), row[:-1]))
    return np.where(row >= 0, np.take_along_axis(logs, np.maximum(row, 0), axis=0), np.nan)


def _own_rows(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row that each asset takes its move from when a row is drawn, of shape (n_rows, n_assets)."""
    n_rows, n_assets = known.shape
    found = np.zeros((n_rows, n_assets), np.int64)
    for i in range(n_assets):
        own = np.flatnonzero(known[:, i])
        if len(own):
            life = own[-1] - own[0] + 1
            within = own[0] + (np.arange(n_rows) - own[0]) % life
            found[:, i] = own[np.searchsorted(own, within)]
    return found
