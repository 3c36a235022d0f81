"""Large libraries loaded in less time."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["collector_paused"]

FEW = 50_000
"""Objects of a process that has loaded little yet; a notebook has several times as many before its first cell."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's collector from running inside the block.

    A library makes hundreds of thousands of objects as it is imported, all of which stay. The collector looks through
    them again and again, and once more when the process ends, which takes a third of the time of a first backtest.
    They are therefore set aside for good (`gc.freeze`), where hardly anything else exists yet that would be too.
    """
    fresh = len(gc.get_objects()) < FEW
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if fresh:
            gc.freeze()
        if before:
            gc.enable()
