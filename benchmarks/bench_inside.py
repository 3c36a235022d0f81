"""Time one run with stops, targets and trailing stops beside vectorbt, by vectorbt's rules; and nanoseconds a bar.

Parity comes first: both must come to the same equity after every bar, or nothing is timed. Then both run in this one
process, in turn. Rules are vectorbt's: fills at the signal bar's own close, all in with fractions, levels from there.
Ends with 1 if the engines differ, or if a run takes more nanoseconds a bar than are promised.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from typing import Any

import numpy as np
from _peers import BARS_PER_YEAR, CASH, RATE, Market
from _timing import MB, alternate, child, peak_of, print_rows, ratio, shown

SIZES = (100_000, 1_000_000)
QUICK = (10_000,)
ROUNDS = 9

PROMISED_NS = 12.0
"""Nanoseconds a bar that a run with orders inside the bar takes at most, statistics included."""
PROMISED_AT = 1_000_000

TOLERANCE = 1e-9

CASES: dict[str, dict[str, float]] = {
    "market orders alone": {},
    "stop 4 %": {"stop_loss": 0.04},
    "target 8 %": {"take_profit": 0.08},
    "trailing 5 %": {"trailing_stop": 0.05},
    "stop 4 %, target 8 %": {"stop_loss": 0.04, "take_profit": 0.08},
}


class Ours:
    """Our engine."""

    name = "quantlab"

    def __init__(self, market: Market, case: dict[str, float]) -> None:
        import quantlab as ql
        from quantlab.bars import Bars

        columns = {k: v[:, None] for k, v in market.columns.items()}
        session = np.arange(market.n_bars) // 390
        self.bars = Bars(
            time=market.time, session=session, **columns, instruments=[ql.Instrument("X")], bar_size="1 min"
        )
        self.signal = ql.Signal(market.state, **case)
        self.backtest, self.costs = ql.backtest, ql.Costs.percent(RATE)
        self.sizing = ql.Sizing(allocation=1.0, price="fill", whole_units=False)
        _ = self.bars.bars_per_year

    def run(self) -> Any:
        """Run once, statistics included."""
        result = self.backtest(
            self.signal, self.bars, cash=CASH, costs=self.costs, sizing=self.sizing, fill="close"
        )
        _ = result.stats
        return result

    def equity(self, raw: Any) -> np.ndarray:
        """Equity after each bar."""
        return raw.equity.to_numpy()


class Vectorbt:
    """vectorbt's `from_signals`, compiled by numba: its rust engine has no stops that depend on highs and lows."""

    name = "vectorbt numba"

    def __init__(self, market: Market, case: dict[str, float]) -> None:
        import pandas as pd

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import vectorbt as vbt
        self.vbt = vbt
        c = market.columns
        self.prices = {k: pd.Series(c[k], market.index) for k in ("open", "high", "low", "close")}
        self.events = market.events
        trail = "trailing_stop" in case
        self.stops = {
            "sl_stop": case.get("stop_loss", case.get("trailing_stop")),
            "tp_stop": case.get("take_profit"),
        }
        self.stops = {k: v for k, v in self.stops.items() if v is not None} | (
            {"sl_trail": True} if trail else {}
        )
        self.freq = pd.Timedelta(round(pd.Timedelta("365 days").value / BARS_PER_YEAR), "ns")
        self.max_orders = 2 * int(self.events[0].sum()) + 2

    def run(self) -> Any:
        """Simulate, then take each statistic once; what they share vectorbt keeps."""
        p = self.prices
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pf = self.vbt.Portfolio.from_signals(
                p["close"], *self.events, open=p["open"], high=p["high"], low=p["low"], fees=RATE, init_cash=CASH,
                freq=self.freq, max_orders=self.max_orders, max_logs=1, **self.stops,
            )  # fmt: skip
            acc, trades = pf.returns_acc, pf.trades.closed
            _ = (
                acc.sharpe_ratio(),
                acc.sortino_ratio(),
                acc.max_drawdown(),
                acc.annualized(),
                trades.win_rate(),
            )
        return pf

    def equity(self, raw: Any) -> np.ndarray:
        """Equity after each bar."""
        return raw.value().to_numpy()


def bench(n_bars: int, case: str) -> dict[str, Any]:
    """Parity, then times, of one case."""
    market = Market(n_bars)
    engines = [Ours(market, CASES[case]), Vectorbt(market, CASES[case])]
    curves = [e.equity(e.run()) for e in engines]
    off = float(np.abs(curves[1] / curves[0] - 1.0).max())
    report: dict[str, Any] = {"n_bars": n_bars, "case": case, "apart": off}
    if not off <= TOLERANCE:
        return report
    seconds = alternate({e.name: e.run for e in engines}, ROUNDS)
    report["median_s"] = {name: float(np.median(taken)) for name, taken in seconds.items()}
    report["ratio"] = ratio(*seconds.values())
    report["ns_a_bar"] = min(seconds[Ours.name]) / n_bars * 1e9
    return report


def broken_promises(report: dict[str, Any]) -> list[str]:
    """List what was promised and missed."""
    what = f"{report['case']}, {report['n_bars']:,} bars"
    if "ratio" not in report:
        return [f"{what}: equity is {report['apart']:.2g} apart"]
    if report["n_bars"] == PROMISED_AT and report["ns_a_bar"] > PROMISED_NS:
        return [f"{what}: {report['ns_a_bar']:.1f} ns a bar; {PROMISED_NS:g} are promised"]
    return []


def memory_of(name: str, n_bars: int) -> float:
    """Megabytes that one run adds here, after a small one has loaded and compiled everything."""
    kind = {Ours.name: Ours, Vectorbt.name: Vectorbt}[name]
    case = CASES["stop 4 %, target 8 %"]
    kind(Market(2_000), case).run()
    return peak_of(kind(Market(n_bars), case).run) / MB


def main() -> int:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, no promise")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(memory_of(options.child, SIZES[-1])))
        return 0
    reports = [bench(n, case) for n in (QUICK if options.quick else SIZES) for case in CASES]
    broken = [text for report in reports for text in broken_promises(report)]
    memory = {} if options.quick else {n: child(__file__, "--child", n) for n in (Ours.name, Vectorbt.name)}
    if options.json:
        print(json.dumps({"reports": reports, "memory_mb": memory, "broken": broken}))
        return int(bool(broken))
    rows = []
    for r in reports:
        if "ratio" in r:
            ours, theirs = (shown(r["median_s"][n]) for n in (Ours.name, Vectorbt.name))
            rows.append(
                (f"{r['n_bars']:,}", r["case"], ours, f"{r['ns_a_bar']:.1f}", theirs, f"{r['ratio']:.1f}x")
            )
    print_rows(("bars", "orders", "quantlab", "ns a bar, best", "vectorbt", "median ratio"), rows)
    for name, added in memory.items():
        print(f"{name}: {added:.0f} MB added by a run of {SIZES[-1]:,} bars with stop and target")
    for text in broken:
        print(f"MISSED: {text}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
