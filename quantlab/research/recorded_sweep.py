"""The recording face of a sweep: apart from that of a backtest, which should not load what a sweep needs."""

from __future__ import annotations

import functools
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from quantlab.research import sweep as plain
from quantlab.research.record import record_sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.research.sweep_result import SweepResult

__all__ = ["sweep"]

P = ParamSpec("P")


def _recording(run: Callable[P, SweepResult]) -> Callable[P, SweepResult]:
    @wraps(run, assigned=[n for n in functools.WRAPPER_ASSIGNMENTS if n != "__module__"])
    def recorded(*args: P.args, **options: P.kwargs) -> SweepResult:
        result = run(*args, **options)
        record_sweep(result)
        return result

    return recorded


sweep = _recording(plain.sweep)
"""`quantlab.research.sweep.sweep`, which is also entered in the ledger when run inside a project."""
