"""Time sweeps with the full statistics, beside those of other engines, and the memory that each takes.

What is measured, by letter (`--only a,c` chooses):

a  vectorbt's own example: all pairs of averages over 2 to 100 days on three stocks, 14,553 columns x 2,978 days
b  990 pairs on 100,000 and on 200,000 one-minute bars, where vectorbt runs out of memory
c  10,011 pairs on 200,000 one-minute bars
d  a million sets of three parameters on 2,500 days
e  signal functions in plain numpy and in pandas, which nothing remembers: cold and warm, in threads and processes
f  raptorbt's example of its batch call: 184 pairs on 93,750 one-minute bars

How it is fair. Parity comes first: of every column whose signals are the same, vectorbt must have the same total
return, Sharpe ratio and greatest drawdown to 1e-9, raptorbt the same final equity, closed trades and first fills, and
our own rows must be those of a backtest to the last bit; otherwise nothing is timed. (Moving sums round, and where two
averages are equal but for that, engines decide otherwise: those columns are counted.) Signals are made inside the
timed call on all sides, and on ours the table of all statistics too; vectorbt makes three statistics by the cheapest
calls it has, with the quicker of its engines, a time index without a zone and no more order records than are needed.
It gets the state (above or not), which is less work than the crossings of its example; the example as it stands is
shown as well. All is warm unless called cold. Engines run in this process in turn, and
ratios are medians over neighbouring runs; only what may take the memory of the machine runs in a process with a limit
(b). Memory is measured in a process for each: what a run adds at its highest to loaded code and prices, worker
processes counted whole, and what the program holds in all.

Ends with 1 if engines differ or a promise is missed: (a) at least 100 times as fast as vectorbt within 300 MB, (c) 4.5
seconds and 400 MB, (d) 15 seconds and 1 GB, and a cost that is linear in trials and bars.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _sweep_cases import (
    COMPARED,
    DAY_RATE,
    MINUTE_RATE,
    UNREMEMBERED,
    Sweep,
    compared,
    like_backtest,
    pairs,
    sweep_a,
    sweep_b,
    sweep_c,
    sweep_d,
    sweep_e,
    sweep_f,
)
from _sweep_children import free_memory, limit_memory, measure, run_child
from _sweep_peers import RaptorbtSweep, VectorbtSweep
from _sweep_scaling import broken_scaling, print_scaling, scaling
from _timing import alternate, clock, print_rows, ratio, shown

import quantlab as ql

if TYPE_CHECKING:
    from collections.abc import Callable

FASTER = 100.0
"""How many times vectorbt's time (a)."""

PROMISED = {"a": (None, 300.0), "c": (4.5, 400.0), "d": (15.0, 1000.0)}
"""Seconds, and megabytes added."""

TOLERANCE = 1e-9
FEW = 0.01
"""Share of the columns whose signals rounding may decide."""

LIMIT = 18e9
"""Address space of a process that may want more than there is."""

SPARE = 3e9
"""Bytes that such a process leaves to others."""

ROOM_A = 10e9
"""Bytes that have to be free for vectorbt's example."""

MINUTES = (100_000, 200_000)
OURS = "quantlab"

COLD = """
import sys
sys.path.insert(0, {folder!r})
from _sweep_cases import sweep_e
sweep_e({name!r}, quick={quick}).run(workers={workers!r})
"""


class Case:
    """What a letter comes to: rows of times, what was compared, what broke.

    Parameters
    ----------
    letter, title : str
        Which, and what it is.
    quick : bool
        Small sizes; no promise is tested.
    """

    def __init__(self, letter: str, title: str, *, quick: bool) -> None:
        self.letter, self.title, self.quick = letter, title, quick
        self.notes: list[str] = []
        self.broken: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def child(self, name: str, **options: Any) -> dict[str, Any]:
        """Measure in a process of its own."""
        found = run_child(f"{self.letter}:{name}", quick=self.quick, **options)
        if "failed" in found:
            self.notes.append(f"{name}, in a process of its own: {found['failed']}")
        return found

    def row(
        self, name: str, seconds: list[float], work: int, memory: dict[str, Any], times: float | None = None
    ) -> None:
        """Enter a row; `work` is bars x trials."""
        median = statistics.median(seconds) if seconds else None
        self.rows.append({
            "name": name, "seconds": median, "ratio": times,
            "ns_per_bar_trial": None if median is None else median / work * 1e9,
            "added_mb": memory.get("added_mb"), "peak_mb": memory.get("peak_mb"),
        })  # fmt: skip

    def test_promises(self) -> None:
        """Test what was promised of our first row."""
        seconds, megabytes = PROMISED[self.letter]
        row = self.rows[0]
        if self.quick:
            return
        if seconds is not None and row["seconds"] > seconds:
            self.broken.append(f"takes {row['seconds']:.2f} s; {seconds:g} s are promised")
        if row["added_mb"] is None or row["added_mb"] > megabytes:
            self.broken.append(f"adds {row['added_mb'] or 0:.0f} MB; {megabytes:.0f} MB are promised")

    def compare(self, ours: np.ndarray, theirs: np.ndarray, same: np.ndarray) -> bool:
        """Compare statistics of columns whose signals are the same; True if they are equal."""
        a, b = ours[same], theirs[same]
        off = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(a)))
        worst = off.max(axis=0)
        n_other = int((~same).sum())
        self.notes.append(
            f"parity: {', '.join(f'{n} {x:.1e}' for n, x in zip(COMPARED, worst, strict=True))} apart at most over "
            f"{int(same.sum()):,} columns; rounding decides signals of {n_other:,} others"
        )
        if not (worst <= TOLERANCE).all():
            self.broken.append(f"vectorbt differs: {dict(zip(COMPARED, worst.tolist(), strict=True))}")
        if not self.quick and n_other > FEW * same.size:
            self.broken.append(
                f"signals of {n_other:,} of {same.size:,} columns differ; that is not only rounding"
            )
        return not self.broken

    def check_rows(self, sweep: Sweep, results: list[ql.SweepResult], what: str = "") -> bool:
        """Hold rows against backtests; True if they are the same."""
        self.broken += like_backtest(sweep, results)
        if not self.broken:
            self.notes.append(f"{what}rows are those of a backtest, to the last bit; {results[0].how}")
        return not self.broken


SEVERAL = 4
"""Runs of ours before and after each run of another engine."""


def beside(
    ours: Callable[[], Any], others: dict[str, Callable[[], Any]], rounds: int
) -> tuple[list[float], dict[str, list[float]], dict[str, float]]:
    """Seconds of ours and of each other, and the ratios: ours runs before and after each of them, warm as they are.

    What takes a quarter of a second is run several times: the first one pays for the caches that gigabytes of the other
    have swept, and any one of them meets the neighbours of this machine or does not.
    """
    mine: list[float] = []
    seconds: dict[str, list[float]] = {name: [] for name in others}
    beside_it: dict[str, list[float]] = {name: [] for name in others}
    for _ in range(rounds):
        for name, call in others.items():
            near = [clock(ours) for _ in range(SEVERAL)]
            seconds[name].append(clock(call))
            near += [clock(ours) for _ in range(SEVERAL)]
            mine += near
            beside_it[name].append(statistics.median(near))
    return mine, seconds, {name: ratio(beside_it[name], taken) for name, taken in seconds.items()}


def n_orders(results: list[ql.SweepResult]) -> int:
    """Order records that vectorbt needs, with a little room for columns that rounding decides."""
    return int(sum(r.table["n_orders"].sum() for r in results) * 1.02) + 1000


@cache
def better_engine(*, quick: bool) -> tuple[str, str]:
    """Name the quicker engine of vectorbt, by a part of its example, and say what was found."""
    part = sweep_a(quick=quick)
    part = Sweep(part.signal, part.markets, pairs(5 if quick else 60), part.options)
    calls, missing = {}, ""
    for engine in ("numba", "rust"):
        try:
            calls[engine] = VectorbtSweep(part, DAY_RATE, engine, 10**6).run
        except ImportError as error:
            missing = f"vectorbt {engine}: {error}; 'make bench' installs it"
    if len(calls) == 1 or quick:
        return list(calls)[-1], missing or "vectorbt's engines are not compared at small sizes"
    for call in calls.values():
        call()
    taken = {engine: statistics.median(s) for engine, s in alternate(calls, 3).items()}
    found = ", ".join(f"{e} {shown(s)}" for e, s in taken.items())
    return min(taken, key=lambda engine: taken[engine]), f"vectorbt's engines on 5,133 columns: {found}"


def bench_a(*, quick: bool, rounds: int) -> Case:
    """Run the example of vectorbt on both sides."""
    sweep = sweep_a(quick=quick)
    results = sweep.run()
    n_columns = sum(map(len, results))
    case = Case("a", f"vectorbt's example: {n_columns:,} columns x {sweep.n_bars:,} days", quick=quick)
    if not case.check_rows(sweep, results):
        return case
    if free_memory() < ROOM_A and not quick:
        case.notes.append(f"vectorbt was not run: less than {ROOM_A / 1e9:.0f} GB of memory are free")
        case.row(OURS, [clock(sweep.run) for _ in range(5)], n_columns * sweep.n_bars, case.child(OURS))
        case.test_promises()
        return case
    (engine, note), most = better_engine(quick=quick), n_orders(results)
    case.notes.append(note)
    whole = VectorbtSweep(sweep, DAY_RATE, engine, most)
    example = VectorbtSweep(sweep, DAY_RATE, engine, most, crossings=True)
    if not case.compare(compared(results), whole.run(), whole.same_signals()):
        return case
    del results
    name = f"vectorbt {engine}"
    crossings = f"{name}, README"
    mine, theirs, times = beside(sweep.run, {name: whole.run, crossings: example.run}, rounds)
    work = n_columns * sweep.n_bars
    case.row(OURS, mine, work, case.child(OURS), 1.0)
    case.row(name, theirs[name], work, case.child(name, n_orders=most, limit=LIMIT), times[name])
    case.row(crossings, theirs[crossings], work, {}, times[crossings])
    case.notes.append(
        "README: by crossings, as the example of vectorbt has it; above it the same in fewer steps"
    )
    case.test_promises()
    if times[crossings] < FASTER and not quick:
        case.broken.append(
            f"vectorbt's example takes {times[crossings]:.0f}x our time; {FASTER:.0f}x are promised"
        )
    return case


def bench_b(*, quick: bool, rounds: int) -> Case:
    """Minutes that vectorbt can hold, and twice as many."""
    case = Case("b", "990 pairs on one-minute bars", quick=quick)
    engine, note = better_engine(quick=quick)
    case.notes.append(note)
    for n_bars in (2_000, 4_000) if quick else MINUTES:
        sweep = sweep_b(n_bars, quick=quick)
        results = sweep.run()
        if not case.check_rows(sweep, results, f"{n_bars:,} bars: "):
            return case
        limit = min(LIMIT, free_memory() - SPARE)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, "statistics.npz")
            before = [clock(sweep.run) for _ in range(rounds)]
            theirs = case.child(
                f"vectorbt {engine}:{n_bars}",
                n_orders=n_orders(results),
                limit=limit,
                save=place,
            )
            mine = before + [clock(sweep.run) for _ in range(rounds)]
            if place.exists():
                with np.load(place) as saved:
                    if not case.compare(compared(results), saved["statistics"], saved["same"]):
                        return case
        work = len(results[0]) * n_bars
        case.row(f"{OURS}, {n_bars:,} bars", mine, work, case.child(f"{OURS}:{n_bars}"), 1.0)
        seconds = [theirs["seconds"]] if "seconds" in theirs else []
        times = theirs["seconds"] / statistics.median(mine) if seconds else None
        case.row(f"vectorbt {engine}, {n_bars:,} bars", seconds, work, theirs, times)
    case.notes.append(f"vectorbt runs in processes that may have up to {LIMIT / 1e9:.0f} GB of address space")
    return case


def bench_ours(letter: str, title: str, sweep: Sweep, *, quick: bool, rounds: int) -> Case:
    """Measure a sweep that no other engine here can do in the memory of this machine."""
    results = sweep.run()
    case = Case(letter, f"{title}: {len(results[0]):,} trials x {sweep.n_bars:,} bars", quick=quick)
    if case.check_rows(sweep, results):
        work = len(results[0]) * sweep.n_bars
        del results
        case.row(OURS, [clock(sweep.run) for _ in range(rounds)], work, case.child(OURS), 1.0)
        case.test_promises()
    return case


def bench_e(*, quick: bool, rounds: int) -> Case:
    """Signals that nothing remembers; the peer is one backtest after another."""
    case = Case("e", "signals that nothing remembers", quick=quick)
    for name in UNREMEMBERED:
        sweep = sweep_e(name, quick=quick)
        warm = {kind: sweep.run(workers=kind) for kind in KINDS}  # workers are started, too
        results = warm["threads"]
        if not case.check_rows(sweep, results, f"{name}: "):
            return case
        trials, work = results[0].trials, len(results[0]) * sweep.n_bars
        taken = {kind: [clock(partial(sweep.run, workers=kind)) for _ in range(rounds)] for kind in KINDS}
        some = range(0, len(trials), max(1, len(trials) // 20))
        alone = clock(partial(one_by_one, sweep, [trials.params(k) for k in some])) / len(some) * len(trials)
        quickest = min(statistics.median(t) for t in taken.values())
        for kind, seconds in taken.items():
            also = not quick or name == UNREMEMBERED[0]
            memory = case.child(f"{name}:{kind}") if also else {}
            case.row(f"{name}, {kind}", seconds, work, memory, statistics.median(seconds) / quickest)
            if also:
                cold = cold_start(name, kind, quick=quick)
                case.row(f"{name}, {kind}, cold", [cold], work, {}, cold / quickest)
        case.row(f"{name}, ql.backtest for each", [alone], work, {}, alone / quickest)
    case.notes.append(
        "cold: a new process, from its start to its end; ql.backtest for each: by a part of the trials"
    )
    return case


KINDS = ("threads", "processes")


def one_by_one(sweep: Sweep, sets: list[dict[str, Any]]) -> None:
    """Run one backtest after another."""
    for params in sets:
        ql.backtest(sweep.signal, sweep.markets[0], params, **sweep.options)


def cold_start(name: str, kind: str, *, quick: bool) -> float:
    """Seconds of a new process that sweeps and ends; machine code is already there."""
    code = COLD.format(folder=str(Path(__file__).parent), name=name, quick=quick, workers=kind)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def bench_f(*, quick: bool, rounds: int) -> Case:
    """Run the example of raptorbt on both sides."""
    sweep = sweep_f(quick=quick)
    results = sweep.run()
    case = Case(
        "f", f"raptorbt's example: {len(results[0]):,} pairs x {sweep.n_bars:,} one-minute bars", quick=quick
    )
    work = len(results[0]) * sweep.n_bars
    try:
        peer = RaptorbtSweep(sweep)
    except ImportError as error:
        case.notes.append(f"raptorbt: {error}; 'make bench' installs it where there is a wheel")
        case.row(OURS, [clock(sweep.run) for _ in range(rounds)], work, case.child(OURS), 1.0)
        return case
    case.check_rows(sweep, results)
    differ, n_same = peer.differences(sweep, results[0])
    case.notes.append(
        f"parity: final equity to {TOLERANCE:g} and closed trades of {n_same} pairs, and first fills; rounding decides "
        f"signals of {len(results[0]) - n_same} others"
    )
    case.broken += [f"raptorbt differs: {text}" for text in differ[:3]]
    if n_same < len(results[0]) // 2:
        case.broken.append(f"signals of only {n_same} pairs are the same; that is not only rounding")
    if not case.broken:
        mine, theirs, times = beside(sweep.run, {"raptorbt": peer.run}, max(rounds, 7))
        case.row(OURS, mine, work, case.child(OURS), 1.0)
        case.row("raptorbt", theirs["raptorbt"], work, case.child("raptorbt"), times["raptorbt"])
    return case


BENCHES: dict[str, Callable[..., Case]] = {
    "a": bench_a,
    "b": bench_b,
    "c": lambda quick, rounds: bench_ours(
        "c", "pairs on one-minute bars", sweep_c(quick=quick), quick=quick, rounds=rounds
    ),
    "d": lambda quick, rounds: bench_ours(
        "d", "three parameters on days", sweep_d(quick=quick), quick=quick, rounds=rounds
    ),
    "e": bench_e,
    "f": bench_f,
}
ROUNDS = {"a": 2, "b": 3, "c": 3, "d": 1, "e": 1, "f": 9}


def job(name: str, most: int, *, quick: bool) -> tuple[Callable[[], Any], Any]:
    """Find what a child runs by its name, and the peer if it is one."""
    letter, _, rest = name.partition(":")
    who, _, more = rest.partition(":")
    if letter == "e":
        return partial(sweep_e(who, quick=quick).run, workers=more), None
    sweep = (
        sweep_b(int(more), quick=quick)
        if letter == "b"
        else {"a": sweep_a, "c": sweep_c, "d": sweep_d, "f": sweep_f}[letter](quick=quick)
    )
    if who == OURS:
        return sweep.run, None
    if who == "raptorbt":
        return RaptorbtSweep(sweep).run, None
    peer = VectorbtSweep(sweep, DAY_RATE if letter == "a" else MINUTE_RATE, who.split()[1], most)
    return peer.run, peer


def be_child(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one sweep here, after a small one has loaded and compiled everything."""
    limit_memory(options.limit)
    small = re.sub(r":\d+$", ":2000", options.child)
    job(small, 10**6, quick=True)[0]()
    run, peer = job(options.child, options.n_orders, quick=options.quick)
    kept: list[Any] = []
    try:
        found: dict[str, Any] = measure(lambda: kept.append(run()))
        if options.save:
            np.savez(options.save, statistics=kept[0], same=peer.same_signals())
    except MemoryError as error:
        return {"failed": f"MemoryError: {error}"}
    return found


def print_case(case: Case) -> None:
    """Print one letter."""
    print(f"\n({case.letter}) {case.title}")
    for text in case.notes:
        print(f"  {text}")
    rows: list[tuple[str, ...]] = [
        (
            x["name"],
            "-" if x["seconds"] is None else shown(x["seconds"]),
            "-" if x["ratio"] is None else f"{x['ratio']:,.1f}x",
            "-" if x["ns_per_bar_trial"] is None else f"{x['ns_per_bar_trial']:.2f}",
            "-" if x["added_mb"] is None else f"{x['added_mb']:,.0f} MB",
            "-" if x["peak_mb"] is None else f"{x['peak_mb']:,.0f} MB",
        )
        for x in case.rows
    ]
    if rows:
        print_rows(
            ("sweep", "time", "our time", "ns a bar and trial", "memory added", "program in all"), rows
        )


def main() -> int:
    """Measure, print, and say whether every promise holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; no promise is tested")
    parser.add_argument("--only", default="", help="letters, such as a,c; without them everything")
    parser.add_argument("--scaling", action="store_true", help="only how the cost grows")
    parser.add_argument("--rounds", type=int, help="runs of each")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--n-orders", type=int, default=10**6, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(be_child(options)))
        return 0
    letters = [x for x in options.only.split(",") if x] or list(BENCHES)
    if unknown := set(letters) - set(BENCHES):
        parser.error(f"--only names {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    start, cases, broken, grown = time.perf_counter(), [], [], {}
    for letter in [] if options.scaling else letters:
        rounds = options.rounds or (1 if options.quick else ROUNDS[letter])
        case = BENCHES[letter](quick=options.quick, rounds=rounds)
        cases.append(case)
        broken += [f"({letter}) {text}" for text in case.broken]
        if not options.json:
            print_case(case)
    if options.scaling or not options.only:
        grown = scaling(quick=options.quick)
        broken += [] if options.quick else broken_scaling(grown)
        if not options.json:
            print_scaling(grown)
    if options.json:
        print(json.dumps({"cases": [vars(c) for c in cases], "scaling": grown, "broken": broken}, indent=2))
    else:
        print(f"\n{time.perf_counter() - start:.0f} s in all")
        for text in broken:
            print(f"BROKEN: {text}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
