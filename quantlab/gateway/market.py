"""What is traded at the simulated gateway: the whole history, past and future, at every bar size."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS, Bars
from quantlab.barsize import DAY_NS, BarSize
from quantlab.errors import DataError, GatewayError, ParameterError
from quantlab.gateway.path import STEP_NS, Path, Prices, draw_path, generator_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path as FilePath

    from numpy.typing import NDArray

    from quantlab.data.catalog import Catalog

__all__ = ["Hours", "Market", "Series"]

CENT = 0.01
"""Step of the prices of US stocks above one dollar (Regulation NMS, rule 612)."""

KEPT_PATHS = 128
"""Paths that are kept; one of a day takes 250 kB."""

KEPT_SERIES = 512
"""Cut paths that are kept; those of a day by the minute take 20 kB."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When sessions begin and end: arrays of shape (n_sessions,), rising; days since 1970 and ns UTC."""

    day: NDArray[np.int64]
    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]

    def at(self, time_ns: int) -> int | None:
        """Give the number of the session that is open at an instant: its open belongs to it, its close does not."""
        k = int(np.searchsorted(self.close_ns, time_ns, "right"))
        return k if k < self.day.size and self.open_ns[k] <= time_ns else None

    def after(self, time_ns: int) -> int | None:
        """Give the number of the first session that closes after an instant, open or not yet; None at the end."""
        k = int(np.searchsorted(self.close_ns, time_ns, "right"))
        return k if k < self.day.size else None

    def upto(self, time_ns: int) -> int:
        """Count the sessions that have begun at an instant."""
        return int(np.searchsorted(self.open_ns, time_ns, "right"))


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of every asset at one size, with when each begins; real, or cut from what is longer than a bar."""

    bars: Bars
    open_ns: NDArray[np.int64]


class Market:
    """Prices that a gateway serves, and their hours. It knows the future; the gateway must not tell.

    Parameters
    ----------
    bars : Bars
        Bars of a day or less. They are adjusted for splits alone, as Interactive Brokers' trades are. Stocks in
        USD without a tick get one of a cent. A high below the open or close (noise of adjusting) is raised to it,
        a low lowered.
    seed : int
        Of the synthetic paths.

    Raises
    ------
    GatewayError
        For bars of more than a day or less than five seconds.
    """

    def __init__(self, bars: Bars, *, seed: int = 0) -> None:
        from quantlab.data.actions import split_adjusted

        size = BarSize.parse(bars.bar_size)
        if not STEP_NS <= size.duration_ns <= DAY_NS:
            raise GatewayError(
                f"bars of {size} cannot be served; the gateway needs bars of 5 secs to 1 day, and makes longer "
                "and shorter ones itself."
            )
        self.base = _consistent(_ticked(split_adjusted(bars)))
        self.size = size
        self.seed = seed
        self._paths: OrderedDict[tuple[int, int], Path] = OrderedDict()
        self._cuts: OrderedDict[tuple[int, int, int], Path] = OrderedDict()
        self._series: dict[BarSize, Series] = {}

    # -- making ----------------------------------------------------------------------------------------

    @classmethod
    def of_sample(cls, symbols: str | Sequence[str] | None = None, *, seed: int = 0) -> Market:
        """Serve the sample's real daily prices; all of its symbols unless some are named."""
        from quantlab.data.sample import SAMPLE_SYMBOLS, sample

        return cls(sample(symbols or list(SAMPLE_SYMBOLS), adjustment="splits"), seed=seed)

    @classmethod
    def of_catalog(
        cls,
        catalog: Catalog | FilePath | str,
        symbols: str | Sequence[str] | None = None,
        *,
        bar_size: str | None = None,
        seed: int = 0,
    ) -> Market:
        """Serve stored bars.

        Parameters
        ----------
        catalog : Catalog or path
            Where they are stored.
        symbols : str or sequence of str, optional
            Which; all that have bars of the size.
        bar_size : str, optional
            Which bars are the real ones: by default the shortest of a day or less that the first symbol has.

        Raises
        ------
        DataError
            If there is nothing to serve.
        """
        from quantlab.data.catalog import Catalog as CatalogType

        store = catalog if isinstance(catalog, CatalogType) else CatalogType(catalog)
        names = [symbols] if isinstance(symbols, str) else list(symbols or ())
        sizes = {str(BarSize.parse(e.bar_size)) for e in store.list() if not names or e.symbol == names[0]}
        fit = sorted((BarSize.parse(s) for s in sizes), key=lambda s: s.duration_ns)
        fit = [s for s in fit if STEP_NS <= s.duration_ns <= DAY_NS]
        if bar_size is None and not fit:
            raise DataError(
                f"catalog {store.path} has no bars of a day or less"
                + (f" of {names[0]}" if names else "")
                + "; 'quantlab data list' shows what it has."
            )
        size = str(fit[0]) if bar_size is None else bar_size
        return cls(store.bars(names or list(store.symbols(size)), size), seed=seed)

    @classmethod
    def of_bars(cls, bars: Bars, *, seed: int = 0) -> Market:
        """Serve any bars."""
        return cls(bars, seed=seed)

    def with_seed(self, seed: int) -> Market:
        """Return the same prices with other synthetic paths."""
        return self if seed == self.seed else Market(self.base, seed=seed)

    # -- looking ---------------------------------------------------------------------------------------

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in column order."""
        return self.base.symbols

    def column(self, symbol: str) -> int:
        """Column of a symbol."""
        return self.base.column(symbol)

    @cached_property
    def hours(self) -> Hours:
        """Sessions from the first bar to the last, by the bars' calendar; without one, as the bars are stamped."""
        day, first = np.unique(self.base.session, return_index=True)
        last = np.append(first[1:], self.base.n_bars) - 1
        opened, closed = _bare_opens(self.base, first), self.base.time[last].copy()
        if self.base.calendar is not None:
            from quantlab.data.sessions import sessions_between

            known = sessions_between(self.base.calendar, int(day[0]), int(day[-1]))
            k = np.minimum(np.searchsorted(known.day, day), known.day.size - 1)
            listed = known.day[k] == day
            if not self.base.intraday:
                # A bar on a day on which the exchange was closed is as long as the sessions are.
                opened = np.where(listed, known.open[k], closed - int(np.median(known.close - known.open)))
            opened = np.where(
                listed, np.minimum(known.open[k], opened) if self.base.intraday else opened, opened
            )
            closed = np.where(listed, np.maximum(known.close[k], closed), closed)
        opened[1:] = np.maximum(opened[1:], closed[:-1])
        return Hours(day, opened, closed)

    @cached_property
    def zone(self) -> str:
        """Time zone of the exchange; UTC without a calendar."""
        if self.base.calendar is None:
            return "UTC"
        from quantlab.frames import load_calendar

        zone = load_calendar(self.base.calendar, int(self.base.session[0]), int(self.base.session[0])).tz
        return str(getattr(zone, "key", zone))

    def session_number(self, session: int) -> int:
        """Position of a session in `hours`."""
        return int(np.searchsorted(self.hours.day, session))

    # -- bars ------------------------------------------------------------------------------------------

    def series(self, bar_size: BarSize | str) -> Series:
        """Every bar of a size that is real: of the market's own size, or longer.

        Raises
        ------
        ParameterError
            For a size that is shorter; see `slices`.
        """
        size = BarSize.parse(bar_size)
        if size not in self._series:
            if size.duration_ns < self.size.duration_ns:
                raise ParameterError(
                    f"{size} bars are shorter than the {self.size} bars that are served; they are cut from "
                    "synthetic paths, a session at a time."
                )
            self._series[size] = self._make_series(size)
        return self._series[size]

    def _make_series(self, size: BarSize) -> Series:
        own = _opens(self.base, self.hours, self.size)
        if size == self.size and size.intraday:
            return Series(self.base, own)
        bars = self.base.resample(str(size)) if size.duration_ns > self.size.duration_ns else self.base
        starts = np.append(0, np.searchsorted(self.base.time, bars.time[:-1], "right"))
        if not size.intraday:
            k = np.searchsorted(self.hours.day, bars.session)
            first = np.searchsorted(self.hours.day, self.base.session[starts])
            return Series(replace(bars, time=self.hours.close_ns[k]), self.hours.open_ns[first])
        return Series(bars, own[starts])

    def slices(self, column: int, number: int, length_ns: int) -> Path | None:
        """Bars of one asset in one session, shorter than the real ones; None where it has no bar.

        Parameters
        ----------
        column : int
            Of the asset.
        number : int
            Of the session, in `hours`.
        length_ns : int
            Length of a bar, at least `STEP_NS`.
        """
        key = (column, number, length_ns)
        found = self._cuts.get(key)
        if found is None:
            found = self._slice(column, number, length_ns)
            if found is None:
                return None
            self._cuts[key] = found
            if len(self._cuts) > KEPT_SERIES:
                self._cuts.popitem(last=False)
        return found

    def _slice(self, column: int, number: int, length_ns: int) -> Path | None:
        day = self.hours.day[number]
        rows = range(*np.searchsorted(self.base.session, (day, day + 1)).tolist())
        parts = [p.cut(length_ns) for row in rows if (p := self.path(column, row)) is not None]
        if len(parts) < 2:
            return parts[0] if parts else None
        fields = ("open_ns", "close_ns", "open", "high", "low", "close", "volume")
        return Path(*(np.concatenate([getattr(p, name) for p in parts]) for name in fields))

    def path(self, column: int, row: int) -> Path | None:
        """Path of one real bar; None where the asset has none."""
        key = (column, row)
        found = self._paths.get(key)
        if found is None:
            b = self.base
            if np.isnan(b.close[row, column]):
                return None
            prices = Prices(*(float(getattr(b, name)[row, column]) for name in COLUMNS))
            close_ns = int(
                b.time[row] if b.intraday else self.hours.close_ns[self.session_number(b.session[row])]
            )
            chance = generator_of(b.symbols[column], close_ns, self.seed)
            open_ns = int(self.series(self.size).open_ns[row])
            found = draw_path(prices, open_ns, close_ns, b.instruments[column].tick, chance)
            self._paths[key] = found
            if len(self._paths) > KEPT_PATHS:
                self._paths.popitem(last=False)
        return found

    def bars(
        self,
        symbols: str | Sequence[str] | None = None,
        bar_size: str | None = None,
        start: Any = None,
        end: Any = None,
    ) -> Bars:
        """Bars as the gateway serves them, future included: what a backtest beside it should run on.

        Parameters
        ----------
        symbols : str or sequence of str, optional
            Which, in this order; all of them by default.
        bar_size : str, optional
            The market's own by default. Shorter ones are made up (`path`), and ``meta["synthetic"]`` says so.
        start, end : optional
            As in `Bars.between`. Short bars of many years take a second a symbol and decade.

        Raises
        ------
        ParameterError
            For bars of less than five seconds.
        """
        names = (
            list(self.symbols)
            if symbols is None
            else [symbols]
            if isinstance(symbols, str)
            else list(symbols)
        )
        size = self.size if bar_size is None else BarSize.parse(bar_size)
        if size.duration_ns >= self.size.duration_ns:
            return self.series(size).bars[names].between(start, end)
        if size.duration_ns < STEP_NS:
            raise ParameterError(f"{size} bars are not served; the shortest are of 5 secs.")
        sessions = self.base.rows(start, end)
        days = np.unique(self.base.session[sessions])
        return Bars.join([self._synthetic(self.column(n), days, size) for n in names]).between(start, end)

    def _synthetic(self, column: int, days: NDArray[np.int64], size: BarSize) -> Bars:
        cuts = [(d, self.slices(column, self.session_number(d), size.duration_ns)) for d in days.tolist()]
        parts = [(d, p) for d, p in cuts if p is not None]
        if not parts:
            raise DataError(f"{self.symbols[column]} has no bar at all between these days.")
        prices: dict[str, Any] = {
            c: np.concatenate([getattr(p, c) for _, p in parts])[:, None] for c in COLUMNS
        }
        return Bars(
            time=np.concatenate([p.close_ns for _, p in parts]),
            **prices,
            session=np.concatenate([np.full(p.close_ns.size, d) for d, p in parts]),
            instruments=(self.base.instruments[column],),
            bar_size=str(size),
            meta={k: v for k, v in self.base.meta.items() if k in {"calendar", "adjustment"}}
            | {"synthetic": f"made up inside real {self.size} bars, seed {self.seed}"},
        )


def _ticked(bars: Bars) -> Bars:
    """Bars whose US stocks have a tick; what describes the bars as they were is dropped."""
    instruments = tuple(
        replace(x, tick=CENT) if x.tick is None and (x.security_type, x.currency) == ("STK", "USD") else x
        for x in bars.instruments
    )
    return replace(bars, instruments=instruments, meta={k: v for k, v in bars.meta.items() if k != "source"})


def _consistent(bars: Bars) -> Bars:
    """Bars whose range holds their open and close."""
    high = np.maximum(bars.high, np.maximum(bars.open, bars.close))
    low = np.minimum(bars.low, np.minimum(bars.open, bars.close))
    same = np.array_equal(high, bars.high, equal_nan=True) and np.array_equal(low, bars.low, equal_nan=True)
    return bars if same else replace(bars, high=high, low=low)


def _bare_opens(bars: Bars, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """When the bars in rows `first` would begin if each were of full length."""
    return np.asarray(bars.time[first] - BarSize.parse(bars.bar_size).duration_ns)


def _opens(bars: Bars, hours: Hours, size: BarSize) -> NDArray[np.int64]:
    """When each bar begins: a length before its close, but not before its session or the bar before it."""
    number = np.searchsorted(hours.day, bars.session)
    if not size.intraday:
        return np.asarray(hours.open_ns[number])
    opened = np.maximum(bars.time - size.duration_ns, hours.open_ns[number])
    opened[1:] = np.maximum(opened[1:], bars.time[:-1])
    return np.asarray(opened)
