"""Time one run with the full statistics, beside other engines on the same decisions.

Parity comes first: every engine must make the same fills and the same equity of the same signals, or nothing is
timed. Then all run in this one process, in turn; ratios are medians over neighbouring runs. Peak memory is what one
run adds, measured in a process of its own. Ends with 1 if the engines differ or a promise is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
from _peers import PEERS, Backtesting, Market, Outcome, Quantlab, QuantlabWhole
from _timing import MB, alternate, child, peak_of, print_rows, ratio, shown

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK = (10_000, 100_000)
ROUNDS = {10_000: 31, 100_000: 15, 1_000_000: 9, 10_000_000: 3}

PROMISED = 10.0
"""How many times faster than raptorbt and than either engine of vectorbt, at a million bars."""
PROMISED_AT = 1_000_000
PROMISED_TO = ("vectorbt numba", "vectorbt rust", "raptorbt")

ROOM = 300.0
"""Megabytes that the engine may add to the bars, at ten million of them."""
ROOM_AT = 10_000_000

TOLERANCE = 1e-9
OURS = Quantlab.name


def differences(ours: Outcome, theirs: Outcome) -> list[str]:
    """List what two engines disagree on."""
    found = []
    k = min(len(ours.first_fills), len(theirs.first_fills))
    pairs = zip(ours.first_fills[:k], theirs.first_fills[:k], strict=True)
    wrong = [j for j, (a, b) in enumerate(pairs) if a[0] != b[0] or abs(a[1] / b[1] - 1.0) > TOLERANCE]
    if wrong or k == 0:
        j = wrong[0] if wrong else 0
        found.append(
            f"fill {j}: {ours.first_fills[j : j + 1]} and {theirs.first_fills[j : j + 1]} (bar, price)"
        )
    if ours.n_closed != theirs.n_closed:
        found.append(f"closed trades: {ours.n_closed} and {theirs.n_closed}")
    off = abs(theirs.final_equity / ours.final_equity - 1.0)
    if not off <= TOLERANCE:
        found.append(f"final equity: {ours.final_equity!r} and {theirs.final_equity!r}, {off:.2g} apart")
    if ours.equity is not None and theirs.equity is not None:
        same = len(ours.equity) == len(theirs.equity)
        off = float(np.abs(theirs.equity / ours.equity - 1.0).max()) if same else np.inf
        if not off <= TOLERANCE:
            found.append(f"equity: {off:.2g} apart at most")
    return found


def make(market: Market) -> tuple[list[Any], list[str]]:
    """Make every engine that can run this market, and say why the others cannot."""
    made, missing = [], []
    for peer in PEERS:
        if market.n_bars > getattr(peer, "most_bars", market.n_bars):
            missing.append(f"{peer.name}: takes a Python call a bar; not run beyond {peer.most_bars:,} bars")
            continue
        try:
            made.append(peer(market))
        except ImportError as error:
            missing.append(f"{peer.name}: not installed ({error}); 'make bench' installs it")
    return made, missing


def check_parity(engines: list[Any]) -> list[tuple[str, list[str]]]:
    """Run each engine once and compare it with ours in the same units; this warms every cache too."""
    ours = {e.whole: e.read(e.run()) for e in engines if type(e) in {Quantlab, QuantlabWhole}}
    others = [e for e in engines if type(e) not in {Quantlab, QuantlabWhole}]
    return [(e.name, differences(ours[e.whole], e.read(e.run()))) for e in others]


def measure_memory(name: str, sizes: tuple[int, ...]) -> dict[str, float]:
    """Megabytes that one run of each size adds here, after a small one has loaded and compiled everything."""
    peer = next(p for p in PEERS if p.name == name)
    small = peer(Market(2_000))
    small.read(small.run())
    most = getattr(peer, "most_bars", max(sizes))
    return {str(n): peak_of(peer(Market(n)).run) / MB for n in sorted(sizes) if n <= most}


def memory_of_all(sizes: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Megabytes by engine and size, each engine in a process of its own."""
    listed = ",".join(map(str, sizes))
    names = [e.name for e in make(Market(2_000))[0]]
    return {name: child(__file__, "--child", name, "--sizes", listed) for name in names}


def bench(n_bars: int, rounds: int, memory: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Parity, then times, at one size."""
    engines, missing = make(Market(n_bars))
    parity = dict(check_parity(engines))
    report: dict[str, Any] = {"n_bars": n_bars, "parity": parity, "missing": missing, "engines": {}}
    if any(parity.values()):
        return report
    slow = [e for e in engines if isinstance(e, Backtesting)]
    partner = next(e for e in engines if isinstance(e, QuantlabWhole))
    seconds = alternate({e.name: e.run for e in engines if e not in slow}, rounds)
    ratios = {name: ratio(seconds[OURS], taken) for name, taken in seconds.items()}
    for engine in slow:
        few = 3 if n_bars <= QUICK[-1] else 1
        pair = alternate({partner.name: partner.run, engine.name: engine.run}, few)
        seconds[engine.name], ratios[engine.name] = pair[engine.name], ratio(*pair.values())
    for name, taken in seconds.items():
        added = memory.get(name, {}).get(str(n_bars))
        report["engines"][name] = {
            "median_s": float(np.median(taken)),
            "ratio": ratios[name],
            "peak_mb": added,
        }
    return report


def broken_promises(report: dict[str, Any], *, quick: bool) -> list[str]:
    """List what was promised and missed at this size."""
    broken = [f"{name} differs: {'; '.join(found)}" for name, found in report["parity"].items() if found]
    n_bars, engines = report["n_bars"], report["engines"]
    if n_bars == PROMISED_AT and not quick:
        ratios = {name: engines[name]["ratio"] for name in PROMISED_TO if name in engines}
        missed = {name: x for name, x in ratios.items() if x < PROMISED}
        broken += [
            f"{name} takes {x:.1f}x our time; {PROMISED:.0f}x is promised" for name, x in missed.items()
        ]
    added = engines.get(OURS, {}).get("peak_mb")
    if n_bars == ROOM_AT and added is not None and added > ROOM:
        broken.append(f"a run adds {added:.0f} MB; {ROOM:.0f} MB are promised")
    return [f"{n_bars:,} bars: {text}" for text in broken]


def print_report(report: dict[str, Any]) -> None:
    """Print one size."""
    print(f"\n{report['n_bars']:,} bars")
    for name, found in report["parity"].items():
        if found:
            print(f"  {name} DIFFERS: {'; '.join(found)}")
    if not any(report["parity"].values()):
        print(f"parity: same fills, trades and equity (to {TOLERANCE:g}) in {', '.join(report['parity'])}")
    rows = [
        (
            name,
            shown(e["median_s"]),
            f"{report['n_bars'] / e['median_s'] / 1e6:,.2f}",
            f"{e['ratio']:,.1f}x",
            "-" if e["peak_mb"] is None else f"{e['peak_mb']:,.0f} MB",
        )
        for name, e in report["engines"].items()
    ]
    if rows:
        print_rows(("engine", "median", "million bars a second", "our time", "memory added"), rows)
    for text in report["missing"]:
        print(f"  {text}")


def main() -> int:
    """Measure, print, and say whether every promise holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, parity and times; no promise is tested"
    )
    parser.add_argument("--sizes", help="numbers of bars, such as 1e4,1e6")
    parser.add_argument("--rounds", type=int, help="runs of each engine and size")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = QUICK if options.quick else SIZES
    if options.sizes:
        sizes = tuple(int(float(x)) for x in options.sizes.split(","))
    if options.child:
        print(json.dumps(measure_memory(options.child, sizes)))
        return 0
    start, reports, broken = time.perf_counter(), [], []
    if not options.json:
        print(
            "One run, one asset, long only, all in, next open, 1 bp of commission; signals are made before."
        )
    memory = {} if options.no_memory else memory_of_all(sizes)
    for n_bars in sizes:
        rounds = options.rounds or ROUNDS.get(n_bars, 7)
        report = bench(n_bars, rounds, memory)
        reports.append(report)
        broken += broken_promises(report, quick=options.quick)
        if not options.json:
            print_report(report)
    if options.json:
        print(json.dumps({"reports": reports, "broken": broken}, indent=2))
    else:
        print(f"\n{time.perf_counter() - start:.0f} s in all")
        for text in broken:
            print(f"BROKEN: {text}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
