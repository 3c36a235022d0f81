"""Our side of the sweeps: which prices, which parameter sets, which options; everything by the public face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from _peers import SESSION, Market
from _sweep_signals import banded, crossing, pandas_crossing, plain_crossing

import quantlab as ql
from quantlab.bars import Bars

if TYPE_CHECKING:
    from collections.abc import Mapping

SYMBOLS = ("AAPL", "IBM", "MSFT")
CASH = 1e5
DAY_RATE, MINUTE_RATE = 1e-3, 1e-4
"""Commission rates: that of vectorbt's example, and one under which a thousand trades leave something."""

COMPARED = ("total_return", "sharpe", "max_drawdown")


def days(n_bars: int, symbols: tuple[str, ...] = SYMBOLS) -> tuple[Bars, ...]:
    """Last sessions of real daily prices, each asset alone."""
    found = ql.sample(list(symbols))
    since = found.index[-n_bars]
    return tuple(found[s].between(since, None) for s in symbols)


def minutes(n_bars: int) -> tuple[Bars]:
    """One asset's bars a minute apart."""
    market = Market(n_bars)
    columns = {k: v[:, None] for k, v in market.columns.items()}
    session = np.arange(n_bars) // SESSION
    bars = Bars(
        time=market.time, session=session, **columns, instruments=[ql.Instrument("X")], bar_size="1 min"
    )
    return (bars,)


def pairs(most: int, least: int = 2) -> dict[str, range]:
    """Windows of two averages; with `WHERE` every pair once."""
    return {"fast": range(least, most + 1), "slow": range(least, most + 1)}


WHERE = "fast < slow"


def all_in(rate: float, fill: str) -> dict[str, Any]:
    """Options under which other engines trade alike: all money, fractions of a unit, one rate of commission."""
    return {
        "cash": CASH,
        "costs": ql.Costs.percent(rate),
        "sizing": ql.Sizing(price="fill", whole_units=False),
        "fill": fill,
    }


AS_THEY_COME = {"cash": 1e6, "costs": ql.Costs.percent(MINUTE_RATE)}
"""Options of a backtest as they come, but that no minimum commission may ruin thousands of trades a trial."""


@dataclass(frozen=True)
class Sweep:
    """Sweeps of one strategy, one for each of some bars.

    Parameters
    ----------
    signal : callable
        Signal function.
    markets : tuple of Bars
        One sweep each.
    grid : mapping
        Values by parameter.
    options : mapping
        Options of `quantlab.sweep`.
    """

    signal: Any
    markets: tuple[Bars, ...]
    grid: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, **more: Any) -> list[ql.SweepResult]:
        """Sweep, and make every table."""
        options = {"where": WHERE, "progress": False, **self.options, **more}
        results = [ql.sweep(self.signal, bars, self.grid, **options) for bars in self.markets]
        for result in results:
            _ = result.table
        return results

    @property
    def n_bars(self) -> int:
        """Bars of each asset."""
        return self.markets[0].n_bars


def sweep_a(*, quick: bool) -> Sweep:
    """Every pair of windows 2 to 100 on three assets' 2,978 days, filled at the signal bar's own close."""
    most, n_bars = (16, 600) if quick else (100, 2_978)
    return Sweep(crossing, days(n_bars), pairs(most), all_in(DAY_RATE, "close"))


def sweep_b(n_bars: int, *, quick: bool) -> Sweep:
    """990 pairs on minutes, filled at the signal bar's own close."""
    return Sweep(crossing, minutes(n_bars), pairs(10 if quick else 46), all_in(MINUTE_RATE, "close"))


def sweep_c(*, quick: bool) -> Sweep:
    """10,011 pairs on 200,000 minutes, in whole units decided at the close and filled at the next open."""
    most, n_bars = (16, 20_000) if quick else (143, 200_000)
    return Sweep(crossing, minutes(n_bars), pairs(most), AS_THEY_COME)


def sweep_d(*, quick: bool) -> Sweep:
    """One million sets of three parameters on ten years of one stock, with the options of a backtest as they come."""
    n_bands = 2 if quick else 125
    grid = {"fast": range(2, 62), "slow": range(7, 166), "band": tuple(k * 0.0004 for k in range(n_bands))}
    if quick:
        grid["slow"] = range(7, 30)
    return Sweep(banded, days(2_500, ("AAPL",)), grid)


def sweep_e(name: str, *, quick: bool) -> Sweep:
    """Signals that nothing remembers, by name: on days in numpy or pandas, and on minutes in numpy."""
    if name == "numpy, minutes":
        most, n_bars = (10, 10_000) if quick else (46, 100_000)
        return Sweep(plain_crossing, minutes(n_bars), pairs(most), all_in(MINUTE_RATE, "next_open"))
    signal, most = (plain_crossing, 100) if name == "numpy, days" else (pandas_crossing, 50)
    bars = days(600 if quick else 2_978, ("AAPL",))
    return Sweep(signal, bars, pairs(12 if quick else most), all_in(DAY_RATE, "next_open"))


UNREMEMBERED = ("numpy, days", "numpy, minutes", "pandas, days")
"""Names for `sweep_e`."""


def sweep_f(*, quick: bool) -> Sweep:
    """184 pairs on 93,750 minutes, raptorbt's own example, filled at the next open."""
    grid = {"fast": range(5, 55, 5), "slow": range(20, 220, 10)}
    return Sweep(crossing, minutes(5_000 if quick else 93_750), grid, all_in(MINUTE_RATE, "next_open"))


def like_backtest(sweep: Sweep, results: list[ql.SweepResult], n: int = 5) -> list[str]:
    """Rows that are not those of a backtest with the same parameters, to the last bit."""
    rng = np.random.default_rng(0)
    found = []
    for result in results:
        if not result.complete or result.errors:
            found.append(f"{len(result.errors)} trials failed: {next(iter(result.errors.values()), '')}")
            continue
        for k in rng.integers(0, len(result), n).tolist():
            params = result.trials.params(k)
            alone = ql.backtest(sweep.signal, result.bars, params, **sweep.options).stats
            row = result.table.loc[k]
            wrong = [x for x in alone.index.intersection(row.index) if not _same(alone[x], row[x])]
            found += [f"trial {k}: {x} is {row[x]!r}, of a backtest {alone[x]!r}" for x in wrong[:1]]
    return found


def _same(a: float, b: float) -> bool:
    return a == b or (np.isnan(a) and np.isnan(b))


def compared(results: list[ql.SweepResult]) -> np.ndarray:
    """Take what is compared with others, of shape (n_trials, n_assets, len(COMPARED))."""
    return np.stack([r.table[list(COMPARED)].to_numpy() for r in results], axis=1)
