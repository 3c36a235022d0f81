"""Measuring on a machine that does other things too: alternating runs, medians of pairs, memory in a child."""

from __future__ import annotations

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MB = 1e6


def clock(call: Callable[[], Any]) -> float:
    """Seconds of one call, without the collector of garbage."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        kept = call()
        seconds = time.perf_counter() - start
    finally:
        gc.enable()
    del kept
    return seconds


def alternate(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, one of each a round, so that a disturbance meets all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(clock(call))
    return seconds


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the ratios of runs that stood beside each other."""
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=False))


def _status(key: str) -> int | None:
    """Line of /proc/self/status in bytes; None where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith(key)), None)


def peak_of(call: Callable[[], Any]) -> float:
    """Bytes by which a call raises the memory of this process at its highest."""
    gc.collect()
    before = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    except OSError:
        before = None
    if before is None:  # elsewhere the mark holds all that came before: what is reported may be too little
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    kept = call()
    after = _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    del kept
    return float(max(after - before, 0))


def child(script: str, *arguments: str, environment: Mapping[str, str | None] | None = None) -> Any:
    """Run a script in a process of its own and read the JSON of its last line."""
    variables = {**os.environ, **{k: v for k, v in (environment or {}).items() if v is not None}}
    for key, value in (environment or {}).items():
        if value is None:
            variables.pop(key, None)
    done = subprocess.run(
        [sys.executable, script, *arguments], env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def shown(seconds: float) -> str:
    """Seconds for a reader."""
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"


def print_rows(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table; every column but the first is set to the right."""
    widths = [max(len(r[k]) for r in (columns, *rows)) for k in range(len(columns))]
    for row in (columns, tuple("-" * w for w in widths), *rows):
        cells = (
            c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
