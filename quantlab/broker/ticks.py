"""Kinds of ticks: Interactive Brokers' numbers as words."""

from __future__ import annotations

from quantlab.barsize import SECOND_NS

__all__ = ["TICK_KINDS", "tick_kind", "tick_time"]

TICK_KINDS = {
    0: "bid_size",
    1: "bid",
    2: "ask",
    3: "ask_size",
    4: "last",
    5: "last_size",
    6: "high",
    7: "low",
    8: "volume",
    9: "close",
    14: "open",
    37: "mark",
    45: "last_time",
    46: "shortable",
    49: "halted",
    54: "trade_count",
    55: "trade_rate",
    56: "volume_rate",
    66: "delayed_bid",
    67: "delayed_ask",
    68: "delayed_last",
    69: "delayed_bid_size",
    70: "delayed_ask_size",
    71: "delayed_last_size",
    72: "delayed_high",
    73: "delayed_low",
    74: "delayed_volume",
    75: "delayed_close",
    76: "delayed_open",
    88: "delayed_last_time",
    89: "shortable_shares",
}
"""Word of each number; a delayed figure says so in its name, so that nobody takes it for a live one."""


def tick_kind(tick_type: int) -> str:
    """Word of a number; ``"tick_N"`` for one that has none."""
    return TICK_KINDS.get(tick_type) or f"tick_{tick_type}"


def tick_time(tick_type: int, text: str) -> int | None:
    """Time in ns UTC of a tick that carries a time in seconds since 1970; None for other texts."""
    if tick_kind(tick_type).endswith("last_time") and text.isdigit():
        return int(text) * SECOND_NS
    return None
