"""Bar sizes: the interval one bar covers, in Interactive Brokers' words (``"1 min"``, ``"1 day"``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantlab.errors import ParameterError

__all__ = ["DAY_NS", "BarSize"]

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS

_UNITS = {
    "sec": ("s", "sec", "secs", "second", "seconds"),
    "min": ("m", "min", "mins", "minute", "minutes", "t"),
    "hour": ("h", "hr", "hour", "hours"),
    "day": ("d", "day", "days", "b"),
    "week": ("w", "week", "weeks"),
    "month": ("mo", "mon", "month", "months", "me", "ms"),
}
_UNIT_OF = {alias: unit for unit, aliases in _UNITS.items() for alias in aliases}
_UNIT_NS = {
    "sec": SECOND_NS,
    "min": 60 * SECOND_NS,
    "hour": 3600 * SECOND_NS,
    "day": DAY_NS,
    "week": 7 * DAY_NS,
    "month": 30 * DAY_NS,
}
_PATTERN = re.compile(r"\s*(\d*)\s*([A-Za-z]+)\s*")


@dataclass(frozen=True, slots=True, order=False)
class BarSize:
    """The interval of one bar.

    Parameters
    ----------
    count : int
        How many units, above zero.
    unit : str
        ``"sec"``, ``"min"``, ``"hour"``, ``"day"``, ``"week"`` or ``"month"``.
    """

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str | BarSize) -> BarSize:
        """Read ``"1 min"``, ``"5 mins"``, ``"1 day"``, ``"1d"``, ``"2h"`` and the like.

        Raises
        ------
        ParameterError
            For a text that names no interval.
        """
        if isinstance(text, BarSize):
            return text
        match = _PATTERN.fullmatch(str(text))
        word = match[2] if match else ""
        unit = "month" if word == "M" else _UNIT_OF.get(word.lower())
        count = int(match[1] or 1) if match else 0
        if unit is None or count < 1:
            raise ParameterError(
                f"bar size {text!r} is not understood; write a count and a unit, such as '5 secs', '1 min', "
                "'15 mins', '1 hour', '1 day', '1 week' or '1 month'."
            )
        return cls(count, unit)

    @property
    def duration_ns(self) -> int:
        """Length in nanoseconds (a month counts 30 days; use it for comparison only)."""
        return self.count * _UNIT_NS[self.unit]

    @property
    def intraday(self) -> bool:
        """Whether the bar is shorter than a day."""
        return self.unit in {"sec", "min", "hour"}

    def __str__(self) -> str:
        """Interactive Brokers' spelling."""
        plural = self.unit == "sec" or self.count > 1
        return f"{self.count} {self.unit}{'s' if plural else ''}"
