"""One sweep in a process of its own: its time, and the memory that it adds, worker processes included."""

from __future__ import annotations

import ctypes
import json
import math
import re
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _timing import MB, clock, peak_of

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = str(Path(__file__).with_name("bench_sweep.py"))

GONE = {-6: "aborted, as it does when memory is refused", -9: "killed", -11: "crashed (a segmentation fault)"}


def free_memory() -> float:
    """Bytes that programs may still take; infinite where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return math.inf
    found = re.search(r"MemAvailable:\s*(\d+)", text)
    return float(found[1]) * 1024 if found else math.inf


def highest(process: int | str = "self") -> float:
    """Bytes of memory that a process held at most; of another one without those of libraries, which both share."""
    with suppress(OSError):
        text = Path(f"/proc/{process}/status").read_text()
        found = {key: float(n) * 1024 for key, n in re.findall(r"(VmHWM|RssFile):\s*(\d+)", text)}
        if "VmHWM" in found:
            return found["VmHWM"] - (0.0 if process == "self" else found.get("RssFile", 0.0))
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024 if process == "self" else 0.0


def workers() -> list[int]:
    """Ids of the processes that this one has started and that still are there."""
    try:
        lists = [task.read_text() for task in Path("/proc/self/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def measure(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds of one run, and megabytes: those it adds to what is loaded, and all of the program with its workers."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what a warm-up freed is not there to be used again
    seconds = []
    added = peak_of(lambda: seconds.append(clock(run)))
    whole, others = highest(), sum(highest(child) for child in workers())
    return {"seconds": seconds[0], "added_mb": (added + others) / MB, "peak_mb": (whole + others) / MB}


def limit_memory(n_bytes: float) -> None:
    """Let this process have so much address space and no more."""
    if n_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (int(n_bytes), int(n_bytes)))


def run_child(name: str, *, quick: bool, timeout: float = 300.0, **options: Any) -> dict[str, Any]:
    """Measure what `name` stands for in a new process; ``failed`` says why there are no numbers."""
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value]
    command = [sys.executable, PROGRAM, "--child", name, *arguments, *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {timeout:.0f} s"}
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return {"failed": f"{GONE.get(done.returncode, f'ended with code {done.returncode}')}: {last[:200]}"}
