"""Clocks: what tells the time and waits; passed in, so that a test or a replay brings its own."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What tells the time and waits."""

    def now_ns(self) -> int:
        """Time now, ns UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def now_ns(self) -> int:
        """Time now, ns UTC."""
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
