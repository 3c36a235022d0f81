"""Fills held against the bars they are in: volume, range, order of events, and bars that are not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine import diagnostics as d
from quantlab.engine.diagnostics import INFO, WARNING, Diagnostic
from quantlab.engine.records import PROTECTIVE, fills_frame
from quantlab.kernels import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.result import Result
    from quantlab.kernels.records import Records

__all__ = ["check_fills"]

BOOKED = (fill.DELISTED, fill.RUINED)
"""Kinds of fills that nobody traded: positions closed at their last close."""

NOISE = 1e-9
"""Part of a price that counts as equal."""

SHOWN = ("time", "symbol", "quantity", "price", "kind")
"""Columns of fills that evidence shows before its own."""


@dataclass(frozen=True, eq=False)
class Executions:
    """Fills that were traded, each beside its bar.

    Parameters
    ----------
    bars : Bars
        What was simulated.
    n_bars : int
        Bars of them up to a ruin.
    at_open : bool
        Whether market orders fill at the open.
    rows : ndarray of shape (n_fills,)
        Records of layout `quantlab.kernels.records.FILL`.
    high, low : ndarray of shape (n_bars_of_run, n_assets)
        Extremes of each bar, those of its finer bars included.
    value : ndarray of shape (n_fills,)
        Money traded.
    tick : ndarray of shape (n_assets,)
        Price step of raw prices, 0 for none.
    """

    bars: Bars
    n_bars: int
    at_open: bool
    rows: Records
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    value: NDArray[np.float64]
    tick: NDArray[np.float64]

    @classmethod
    def of(cls, result: Result) -> Executions:
        """Take the fills of a result, without those that only the books know."""
        setup, run = result._setup, result._records  # noqa: SLF001  # one package
        rows = run.fills[~np.isin(run.fills["kind"], BOOKED)]
        multiplier = setup.rules[1]["multiplier"][rows["asset"]]
        return cls(
            bars=setup.bars,
            n_bars=run.n_bars,
            at_open=setup.fill == "next_open",
            rows=rows,
            high=setup.path.high,
            low=setup.path.low,
            value=np.abs(rows["quantity"]) * rows["price"] * multiplier,
            tick=np.array([x.tick or 0.0 for x in setup.bars.instruments]),
        )

    def at(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Value of a column of bars at each fill's bar."""
        return np.asarray(column[self.rows["bar"], self.rows["asset"]], np.float64)

    def evidence(self, chosen: NDArray[np.bool_], **more: NDArray[Any]) -> pd.DataFrame:
        """Frame of the chosen fills, with further columns of shape (n_fills,)."""
        frame = fills_frame(self.rows[chosen], self.bars)[list(SHOWN)]
        return frame.assign(**{name: column[chosen] for name, column in more.items()})


def check_fills(result: Result) -> Iterator[Diagnostic]:
    """Diagnostics of a result's fills.

    Parameters
    ----------
    result : Result
        Of a run; its records are made where they are not there yet.

    Yields
    ------
    Diagnostic
        Those that have something to say.
    """
    x = Executions.of(result)
    if len(x.rows):
        yield from _volume(x)
        yield from _participation(x)
        yield from _extremes(x)
        yield from _beyond(x)
        yield from _doubtful(x, int((result._records.trades["open"] == 0).sum()))  # noqa: SLF001  # one package
    yield from _missing(x, result)


# -- volume ---------------------------------------------------------------------------------------------


def _medians(x: Executions) -> NDArray[np.float64]:
    """Median volume of each asset that was traded, of its bars with volume; NaN for an asset without any."""
    medians = np.full(x.bars.n_assets, np.nan)
    for i in np.unique(x.rows["asset"]):
        column = x.bars.volume[: x.n_bars, i]
        known = column[column > 0.0]
        if len(known):
            medians[i] = np.median(known)
    return medians


def _volume(x: Executions) -> Iterator[Diagnostic]:
    volume, median = x.at(x.bars.volume), _medians(x)[x.rows["asset"]]
    unknown = np.isnan(median)
    if unknown.any():
        symbols = [x.bars.symbols[i] for i in np.unique(x.rows["asset"][unknown])]
        named = ", ".join(symbols[:4]) + (f" and {len(symbols) - 4} more" if len(symbols) > 4 else "")
        yield Diagnostic(
            "unknown_volume",
            INFO,
            f"{named}: bars without any volume; whether {unknown.sum():,} of {len(volume):,} fills could have been "
            "traded is not known.",
            x.evidence(unknown),
        )
    thin = ~unknown & ~(volume >= d.THIN * median)
    if thin.any():
        share = x.value[thin].sum() / x.value.sum()
        yield Diagnostic(
            "thin_volume",
            WARNING,
            f"{thin.sum():,} of {len(volume):,} fills ({share:.1%} of the value traded) are in bars without volume, or "
            f"with less than {d.THIN:.0%} of the asset's median: there may have been nobody to trade with.",
            x.evidence(thin, volume=volume, median_volume=median),
        )


def _participation(x: Executions) -> Iterator[Diagnostic]:
    """Look at all fills of a bar together: a ladder is no smaller for its rungs.

    Stored volume is raw volume x factor, as stored units are, so that the factor is the same on both sides.
    """
    import pandas as pd

    places, index = np.unique(x.rows["bar"] * x.bars.n_assets + x.rows["asset"], return_inverse=True)
    bar, asset = places // x.bars.n_assets, places % x.bars.n_assets
    traded, volume = np.bincount(index, np.abs(x.rows["quantity"])), x.bars.volume[bar, asset]
    share = np.divide(traded, volume, out=np.zeros(len(places)), where=volume > 0.0)
    large = np.flatnonzero(share > d.PARTICIPATION)
    if not len(large):
        return
    large = large[np.argsort(-share[large], kind="stable")]
    evidence = pd.DataFrame(
        {
            "time": x.bars.index[bar[large]],
            "symbol": [x.bars.symbols[i] for i in asset[large]],
            "n_fills": np.bincount(index)[large],
            "traded": traded[large],
            "volume": volume[large],
            "participation": share[large],
        }
    )
    yield Diagnostic(
        "participation",
        WARNING,
        f"In {len(large):,} of {len(places):,} bars with fills, these are more than {d.PARTICIPATION:.0%} of the "
        f"volume, up to {share[large[0]]:.1%}: orders of that size move the price, and the costs do not include it.",
        evidence,
    )


# -- range ----------------------------------------------------------------------------------------------


def _nearness(price: Any, factor: Any, tick: Any) -> Any:
    """Difference within which two stored prices are the same, or a tick apart."""
    return tick * (1.0 + 1e-6) / factor + NOISE * price


def _chance(x: Executions, buys: NDArray[np.bool_], judged: NDArray[np.bool_]) -> float:
    """Share of fills at an extreme if bars were chosen blindly: how often the asset's open (or close) lies there."""
    total = 0.0
    for i in np.unique(x.rows["asset"][judged]):
        price = (x.bars.open if x.at_open else x.bars.close)[: x.n_bars, i]
        high, low = x.high[: x.n_bars, i], x.low[: x.n_bars, i]
        near = _nearness(price, x.bars.factor[: x.n_bars, i], x.tick[i])
        ranged = high - low > 2.0 * near
        mine = judged & (x.rows["asset"] == i)
        total += (buys & mine).sum() * (price <= low + near)[ranged].mean()
        total += (~buys & mine).sum() * (price >= high - near)[ranged].mean()
    return float(total / judged.sum())


def _extremes(x: Executions) -> Iterator[Diagnostic]:
    """Look for fills at the best price of their bar; a bar of two ticks or less has none."""
    high, low, price, buys = x.at(x.high), x.at(x.low), x.rows["reference"], x.rows["quantity"] > 0.0
    near = _nearness(price, x.at(x.bars.factor), x.tick[x.rows["asset"]])
    judged = high - low > 2.0 * near
    best = judged & np.where(buys, price <= low + near, price >= high - near)
    n_best = int(best.sum())
    if n_best < d.EXTREME_FILLS or n_best <= d.EXTREME * judged.sum():
        return
    chance, share = _chance(x, buys, judged), n_best / judged.sum()
    if share <= d.CHANCE * chance:
        return
    yield Diagnostic(
        "at_extreme",
        WARNING,
        f"{n_best:,} of {judged.sum():,} fills ({share:.1%}) buy at the low of their bar or sell at its high, within "
        f"a tick; chance would give {chance:.1%}.",
        x.evidence(best, reference=price, low=low, high=high),
    )


def _beyond(x: Executions) -> Iterator[Diagnostic]:
    price, sign = x.rows["price"], np.sign(x.rows["quantity"])
    limit = np.where(sign > 0.0, x.at(x.high), x.at(x.low))
    by = sign * (price / limit - 1.0)
    out = by > NOISE
    if out.sum() <= d.BEYOND * len(price):
        return
    yield Diagnostic(
        "beyond_range",
        INFO,
        f"{out.sum():,} of {len(price):,} fills ({out.mean():.1%}) are priced outside their bar, by up to "
        f"{1e4 * by.max():.3g} bp: slippage, spread and ticks made them worse than any price of the bar.",
        x.evidence(out, low=x.at(x.low), high=x.at(x.high), beyond_bps=1e4 * by),
    )


# -- order of events ------------------------------------------------------------------------------------


def _doubtful(x: Executions, n_trades: int) -> Iterator[Diagnostic]:
    doubtful = x.rows["doubtful"] == 1
    n = int(doubtful.sum())
    if not n:
        return
    prices = {name: x.at(getattr(x.bars, name)) for name in ("open", "high", "low", "close")}
    yield Diagnostic(
        "doubtful",
        WARNING if n > d.DOUBTFUL * n_trades else INFO,
        f"{n:,} of {n_trades:,} closed trades ({n / max(n_trades, 1):.1%}) end at a stop where the bar does not tell "
        "whether something else came first; the worse was taken. Finer bars decide (detail=).",
        x.evidence(doubtful, **prices),
    )


# -- bars that are not there ----------------------------------------------------------------------------


def _missing(x: Executions, result: Result) -> Iterator[Diagnostic]:
    gone = np.isnan(x.bars.close[: x.n_bars])
    if not gone.any():
        return
    units = result._units()  # noqa: SLF001  # one package
    held = (gone & (units != 0.0)).T
    edges = np.diff(np.pad(held, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    asset, first = np.nonzero(edges == 1)
    if not len(first):
        return
    length = np.nonzero(edges == -1)[1] - first
    waited = _waited(x, result, held, units)
    # Each waiting fill comes at the bar after the last of its spell, and spells are in order of asset and bar.
    ends = asset * (x.n_bars + 1) + first + length
    exits = np.bincount(np.searchsorted(ends, waited), minlength=len(ends))
    yield _missing_bars(x, (asset, first, length, exits), units[first, asset])


def _waited(
    x: Executions, result: Result, held: NDArray[np.bool_], units: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Find fills that made a position smaller after bars without a price: asset x (n_bars + 1) + bar of each.

    Protective orders could not fill in those bars; others count if they were decided before.
    """
    rows = x.rows[x.rows["bar"] > 0]
    bar, asset = rows["bar"], rows["asset"]
    decided = np.full(len(rows), -1)
    ordered = ~np.isin(rows["kind"], list(PROTECTIVE))
    decided[ordered] = result._records.orders["bar"][rows["order"][ordered]]  # noqa: SLF001  # one package
    exits = held[asset, bar - 1] & (rows["quantity"] * units[bar - 1, asset] < 0.0) & (decided < bar)
    return np.asarray((asset * (x.n_bars + 1) + bar)[exits], np.int64)


def _missing_bars(
    x: Executions, spells: tuple[NDArray[np.int64], ...], units: NDArray[np.float64]
) -> Diagnostic:
    import pandas as pd

    asset, first, length, exits = spells
    longest = int(length.argmax())
    symbol, since = x.bars.symbols[asset[longest]], x.bars.index[first[longest]]
    n_exits, n_gone = int(exits.sum()), int(length.sum())
    evidence = pd.DataFrame(
        {
            "symbol": [x.bars.symbols[i] for i in asset],
            "first": x.bars.index[first],
            "last": x.bars.index[first + length - 1],
            "n_bars": length,
            "units": units,
            "exits_waited": exits,
        }
    )
    waiting = f" {n_exits:,} exit{'s' * (n_exits != 1)} had to wait." if n_exits else ""
    return Diagnostic(
        "missing_bars",
        WARNING if n_exits else INFO,
        f"{n_gone:,} bar{'s' * (n_gone != 1)} had no price of an asset that was held, the longest spell "
        f"{length.max():,} ({symbol}, from {since:%Y-%m-%d}).{waiting}",
        evidence,
    )
