"""A second opinion: the same decisions through vectorbt, and what both engines make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.comparison import (
    COMPUTED,
    TOLERANCE,
    Comparison,
    CrossCheck,
    compare_numbers,
    compare_series,
)
from quantlab.engine.ownsizing import own_sizing_equity, sizes_from_books
from quantlab.engine.replay import CLOSE_OUTS, YEAR, frequency, load_vectorbt, quiet, replay
from quantlab.engine.setup import OWN_BENCHMARKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.engine.replay import Replay
    from quantlab.engine.result import Result

__all__ = ["Comparison", "CrossCheck", "crosscheck", "to_vectorbt"]

NEAR_ZERO = 1e-3
"""Ratios and returns smaller than this are compared with it: the rest of them is rounding."""

DUST = 1e-12
"""Units that vectorbt takes for none."""

SMALLEST = 1e-5
"""Deviations of returns that are smaller have too few digits left for a ratio of nine."""

NOT_IN_VECTORBT = {
    "calmar": "cagr and max_drawdown are, and it is their quotient",
    "max_drawdown_bars": "vectorbt counts the bars of a drawdown in another way",
    "avg_drawdown": "vectorbt averages drawdowns in another way",
    "exposure": "vectorbt takes margin that shorts lock as cash that is gone",
    "turnover": "vectorbt has none",
    "kelly": "vectorbt has none",
    "skew": "vectorbt has none",
    "kurtosis": "vectorbt has none",
    "alpha": "vectorbt compounds it",
    "psr": "vectorbt has none",
    "slippage": "vectorbt keeps prices after slippage only; they are compared",
    "spread": "vectorbt keeps prices after the spread only; they are compared",
}


def to_vectorbt(result: Result) -> Any:
    """Replay the orders of a result in vectorbt and return its portfolio; errors as in `crosscheck`.

    Parameters
    ----------
    result : Result
        Of a run.

    Returns
    -------
    vectorbt.Portfolio
        On an index without a zone, with the length of a bar chosen so that ``portfolio.sharpe_ratio()`` and
        the like annualise as the run does. Prices of futures are multiplied by their multiplier.
    """
    return replay(result).portfolio


def crosscheck(result: Result, tolerance: float = TOLERANCE) -> CrossCheck:
    """Compare a run with vectorbt's reading of the same decisions.

    Parameters
    ----------
    result : Result
        Of a run.
    tolerance : float
        Largest relative difference that counts as agreement.

    Returns
    -------
    CrossCheck

    Raises
    ------
    MissingExtraError
        If vectorbt is not installed.
    ParameterError
        For runs that vectorbt has no place for: with borrow or interest, or a sale that costs more than it
        brings.

    Notes
    -----
    Relative differences are of the larger of both numbers; of cash, relative to equity; of the profit of a
    trade, to its entry value; of returns and ratios below 0.001, to 0.001.
    """
    again = replay(result)
    with quiet():
        found = [
            *_orders(result, again),
            *_money(result, again),
            *_statistics(result, again),
            *_trades(result, again),
            *_sizing(result, again),
        ]
    rest = [
        Comparison(k, float(result.stats[k]), np.nan, np.nan, f"not compared: {v}")
        for k, v in NOT_IN_VECTORBT.items()
    ]
    return CrossCheck((*found, *rest), tolerance)


# -- orders and money --------------------------------------------------------------------------------------


def _orders(result: Result, again: Replay) -> Iterator[Comparison]:
    """Compare fills: how many, when, how much, at which price, for what."""
    fills = result._records.fills  # noqa: SLF001  # one package
    if again.left_out:
        note = "not compared: vectorbt takes one order per asset and bar"
        yield Comparison("close-outs at the ruin", again.left_out, np.nan, np.nan, note)
        place = fills["bar"] * result.bars.n_assets + fills["asset"]
        own = ~np.isin(fills["kind"], CLOSE_OUTS)
        fills = fills[own | ~np.isin(place, place[own])]
    dust = np.abs(fills["quantity"]) <= DUST
    if dust.any():
        note = f"not compared: vectorbt takes no order of {DUST:g} units or less"
        yield Comparison("fills of dust", int(dust.sum()), np.nan, np.nan, note)
        fills = fills[~dust]
    fills = fills[np.lexsort((fills["asset"], fills["bar"]))]
    records = again.portfolio.orders.values  # records, not a frame
    records = records[np.lexsort((records["col"], records["idx"]))]
    theirs = {
        "bar": records["idx"],
        "asset": records["col"],
        "quantity": np.where(records["side"] == 0, records["size"], -records["size"]),
        "price": records["price"] / _multiplier(result)[records["col"]],
    }
    symbols, index = result.bars.symbols, result.bars.index
    yield compare_numbers("fills", len(fills), len(records))

    def label(k: int) -> str:
        t, i = (int(fills[n][k]) if k < len(fills) else int(theirs[n][k]) for n in ("bar", "asset"))
        return f"fill {k} ({symbols[i]}, {index[t]})"

    n = min(len(fills), len(records))
    place = fills["bar"][:n] * len(symbols) + fills["asset"][:n]
    other = theirs["bar"][:n] * len(symbols) + theirs["asset"][:n]
    k = int(np.argmax(place != other)) if (place != other).any() else 0
    off = float(np.inf if (place != other).any() else 0.0)
    if n:
        yield Comparison(
            "fill bars", float(fills["bar"][k]), float(theirs["bar"][k]), off, COMPUTED, label(k)
        )
    if len(fills) == len(records):
        yield compare_series("fill quantities", fills["quantity"], theirs["quantity"], label)
        basis = "given: vectorbt does not round to ticks" if "prices" in again.given else COMPUTED
        basis = "given: vectorbt has other rules inside the bar" if "decisions" in again.given else basis
        yield compare_series("fill prices", fills["price"], theirs["price"], label, basis=basis)
        if "costs" not in again.given:
            yield compare_series("fill costs", fills["commission"] + fills["fees"], records["fees"], label)
    basis = "given: vectorbt has no such commission schedule" if "costs" in again.given else COMPUTED
    paid = float(result.stats["commission"] + result.stats["fees"])
    yield compare_series("costs paid", [paid], [records["fees"].sum()], lambda _: "the last bar", basis=basis)


def _multiplier(result: Result) -> NDArray[np.float64]:
    return np.array([x.multiplier for x in result.bars.instruments])


def _money(result: Result, again: Replay) -> Iterator[Comparison]:
    """Cash and equity after each bar, and the returns of equity."""
    index = result.bars.index
    equity = result.equity.to_numpy()
    ours, theirs = result.cash.to_numpy(), again.cash.to_numpy()
    if again.left_out:
        ours, theirs = ours[:-1], theirs[:-1]
    yield compare_series("cash", ours, theirs, lambda k: index[k], scale=np.abs(equity[: len(ours)]))
    yield compare_series("equity", equity, again.value, lambda k: index[k])
    yield compare_series(
        "returns", result.returns, _returns(result, again).obj, lambda k: index[k], scale=1.0
    )


def _returns(result: Result, again: Replay) -> Any:
    """Make vectorbt's accessor of returns, with the run's year and rate without risk."""
    vbt = load_vectorbt()
    rate = result.settings["risk_free"] / result.bars_per_year
    return vbt.returns.accessors.ReturnsSRAccessor.from_value(
        again.value,
        init_value=result.cash_start,
        benchmark_rets=_benchmark(result, again.portfolio),
        freq=frequency(result),
        year_freq=YEAR,
        defaults={"risk_free": rate, "required_return": rate},
    )


# -- statistics --------------------------------------------------------------------------------------------


def _statistics(result: Result, again: Replay) -> Iterator[Comparison]:
    """Statistics of the bars, by vectorbt's own functions on vectorbt's own returns."""
    vbt = load_vectorbt()
    stats, acc = result.stats, _returns(result, again)
    final = again.value.iloc[-1]
    yield compare_series("final_equity", [stats["final_equity"]], [final], lambda _: "the last bar")
    yield compare_numbers("total_return", stats["total_return"], acc.total(), NEAR_ZERO)
    if result.ruined_at is not None:
        for name in (
            "cagr",
            "volatility",
            "sharpe",
            "sortino",
            "max_drawdown",
            "var_95",
            "cvar_95",
            "beta",
        ):
            reason = "not compared: vectorbt compounds returns beyond a loss of everything"
            yield Comparison(name, float(stats[name]), np.nan, np.nan, reason)
        return
    returns = acc.obj.to_numpy(np.float64)
    # vectorbt's running peak begins after the first bar, ours with the starting cash.
    deepest = float(vbt.returns.nb.max_drawdown_1d_nb(np.concatenate(([0.0], returns))))
    theirs = {
        "cagr": acc.annualized(),
        "volatility": acc.annualized_volatility(),
        "sharpe": acc.sharpe_ratio(),
        "sortino": acc.sortino_ratio(),
        "max_drawdown": deepest,
        "var_95": acc.value_at_risk(),
        "cvar_95": acc.cond_value_at_risk(),
        "beta": acc.beta(),
        "buy_hold_return": float(np.prod(1.0 + np.asarray(acc.benchmark_rets, np.float64)) - 1.0),
    }
    given = (
        {} if _own_benchmark(result) else dict.fromkeys(("beta", "buy_hold_return"), "given: the benchmark")
    )
    reasons = _undefined(returns - result.settings["risk_free"] / result.bars_per_year)
    for name, value in theirs.items():
        if name in reasons:
            yield Comparison(name, float(stats[name]), float(value), np.nan, f"not compared: {reasons[name]}")
        else:
            yield compare_numbers(name, stats[name], value, NEAR_ZERO, given.get(name, COMPUTED))


def _undefined(excess: NDArray[np.float64]) -> dict[str, str]:
    """Statistics that these returns leave without a meaning that both engines share, and why."""
    reasons: dict[str, str] = {}
    if excess.size == 1:
        names = ("volatility", "sharpe", "sortino", "beta")
        return dict.fromkeys(names, "vectorbt wants two bars at least")
    short = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2))
    spreads = {"sharpe": excess.std(), "sortino": short}
    reasons |= {k: "returns are too small to divide by" for k, v in spreads.items() if v < SMALLEST}
    return reasons


def _own_benchmark(result: Result) -> bool:
    """Whether vectorbt's benchmark is ours: equal money in every asset from the first bar on."""
    default = result._setup.benchmark_name in OWN_BENCHMARKS  # noqa: SLF001
    return default and not bool(np.isnan(result.bars.close[0]).any())


def _benchmark(result: Result, portfolio: Any) -> Any:
    import pandas as pd

    if _own_benchmark(result):
        return portfolio.benchmark_returns()
    returns = portfolio.returns()
    return pd.Series(result._setup.benchmark[: len(returns)], index=returns.index)  # noqa: SLF001


# -- trades ------------------------------------------------------------------------------------------------


def _trades(result: Result, again: Replay) -> Iterator[Comparison]:
    """Compare closed round trips: ours are vectorbt's positions, from flat to flat."""
    if again.left_out:
        yield Comparison(
            "trades", np.nan, np.nan, np.nan, "not compared: the ruin's close-outs are not in vectorbt"
        )
        return
    if _leaves_dust(result):
        yield Comparison(
            "trades", np.nan, np.nan, np.nan, "not compared: vectorbt takes dust for a flat position"
        )
        return
    ours = result._records.trades  # noqa: SLF001
    ours = ours[ours["open"] == 0]
    ours = ours[np.lexsort((ours["exit_bar"], ours["entry_bar"], ours["asset"]))]
    positions = again.portfolio.get_positions(group_by=False)
    theirs = positions.values  # noqa: PD011  # records, not a frame
    theirs = theirs[theirs["status"] == 1]
    theirs = theirs[np.lexsort((theirs["exit_idx"], theirs["entry_idx"], theirs["col"]))]
    symbols, index = result.bars.symbols, result.bars.index
    yield compare_numbers("n_trades", len(ours), len(theirs))
    if len(ours) != len(theirs):
        return

    def label(k: int) -> str:
        return f"trade {k} ({symbols[ours['asset'][k]]}, entry {index[ours['entry_bar'][k]]})"

    value = np.abs(ours["quantity"]) * ours["entry_price"] * _multiplier(result)[ours["asset"]]
    yield compare_series("entry bars of trades", ours["entry_bar"], theirs["entry_idx"], label)
    yield compare_series("exit bars of trades", ours["exit_bar"], theirs["exit_idx"], label)
    yield compare_series("quantities of trades", np.abs(ours["quantity"]), theirs["size"], label)
    yield compare_series("pnl of trades", ours["pnl"], theirs["pnl"], label, scale=value)
    yield compare_series("returns of trades", ours["return_"], theirs["return"], label, scale=1.0)
    if len(theirs):
        yield from _trade_statistics(result, again, theirs, bool((np.abs(ours["return_"]) < TOLERANCE).any()))


def _leaves_dust(result: Result) -> bool:
    """Whether a position was ever a rounding error instead of none."""
    fills = result._records.fills  # noqa: SLF001
    if (np.abs(fills["quantity"]) <= DUST).any():
        return True
    for i in range(result.bars.n_assets):
        held = np.abs(np.cumsum(fills["quantity"][fills["asset"] == i]))
        if ((held > 0.0) & (held < TOLERANCE * held.max(initial=0.0))).any():
            return True
    return False


def _trade_statistics(
    result: Result, again: Replay, theirs: NDArray[np.void], even: bool
) -> Iterator[Comparison]:
    grouped = again.portfolio.wrapper.grouper.is_grouped()
    closed = again.portfolio.get_positions(group_by=True if grouped else None).closed
    held = (theirs["exit_idx"] - theirs["entry_idx"]).mean()
    numbers = {
        "win_rate": closed.win_rate(),
        "profit_factor": closed.profit_factor(),
        "sqn": closed.sqn(),
        "avg_trade": theirs["return"].mean(),
        "best_trade": theirs["return"].max(),
        "worst_trade": theirs["return"].min(),
        "avg_bars_held": held,
    }
    stats = result.stats
    for name, number in numbers.items():
        if even and name in ("win_rate", "profit_factor"):
            reason = "not compared: a trade came out even but for rounding, which decides whether it is a win"
            yield Comparison(name, float(stats[name]), float(number), np.nan, reason)
        else:
            yield compare_numbers(name, stats[name], number, NEAR_ZERO)
    scale = float(np.abs(theirs["pnl"]).mean())
    yield compare_numbers("expectancy", stats["expectancy"], closed.expectancy(), scale)


# -- sizing ------------------------------------------------------------------------------------------------


def _sizing(result: Result, again: Replay) -> Iterator[Comparison]:
    """Compare sizes: by our rule on vectorbt's books, and by vectorbt's own rule where that is ours."""
    index, symbols = result.bars.index, result.bars.symbols
    if "decisions" in again.given:
        note = "not compared: vectorbt was told what filled inside the bar"
        yield Comparison("sizes", np.nan, np.nan, np.nan, note)
        return
    books = sizes_from_books(result, again)
    if isinstance(books, str):
        yield Comparison(
            "order quantities from vectorbt's books", np.nan, np.nan, np.nan, f"not compared: {books}"
        )
    else:
        orders = books.orders
        basis = "our rule on vectorbt's cash and positions" + (
            f"; {books.skipped} order(s) left out" if books.skipped else ""
        )

        def label(k: int) -> str:
            return f"order of {symbols[orders['asset'][k]]}, {index[orders['bar'][k]]}"

        yield compare_series(
            "order quantities from vectorbt's books",
            orders["quantity"],
            books.quantity,
            label,
            scale=books.scale,
            basis=basis,
        )
    own = own_sizing_equity(result)
    if isinstance(own, str):
        yield Comparison("equity by vectorbt's own sizing", np.nan, np.nan, np.nan, f"not compared: {own}")
    else:
        yield compare_series("equity by vectorbt's own sizing", result.equity, own, lambda k: index[k])
