"""Pacing: how often Interactive Brokers may be asked, kept by waiting before a request and never by luck.

Source: Interactive Brokers' pages on pacing violations. Messages: half as many a second as there are market data
lines. History of bars up to thirty seconds: no identical request within 15 seconds, fewer than six for one contract
and kind of price within 2 seconds, at most sixty in ten minutes, and BID_ASK counts twice. Longer bars have no hard
limit any more.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from quantlab.barsize import SECOND_NS, BarSize

if TYPE_CHECKING:
    from collections.abc import Hashable

    from quantlab.broker.clock import Clock

__all__ = ["HistoryPacing", "RateLimit"]

SMALL_NS = 30 * SECOND_NS
"""Longest bars to which the rules of history apply."""


class RateLimit:
    """At most so much in any stretch of time.

    Parameters
    ----------
    limit : int
        How much, above zero.
    period_s : float
        Length of the stretch.
    clock : Clock
        Tells the time, and waits.
    """

    def __init__(self, limit: int, period_s: float, clock: Clock) -> None:
        self._limit, self._period_ns, self._clock = limit, int(period_s * SECOND_NS), clock
        self._taken: deque[int] = deque()

    def take(self, weight: int = 1) -> float:
        """Wait until `weight` more is allowed, and take it.

        Returns
        -------
        float
            Seconds waited.
        """
        waited = 0.0
        while (wait_s := self.wait_s(weight)) > 0.0:
            self._clock.sleep(wait_s)
            waited += wait_s
        self._taken.extend([self._clock.now_ns()] * weight)
        return waited

    def wait_s(self, weight: int = 1) -> float:
        """Seconds until `weight` more is allowed; 0 when it is now."""
        now = self._clock.now_ns()
        taken = self._taken
        self._drop_old(now)
        over = len(taken) + weight - self._limit
        if over <= 0 or not taken:
            return 0.0
        return (taken[min(over, len(taken)) - 1] + self._period_ns - now) / SECOND_NS

    @property
    def idle(self) -> bool:
        """Whether nothing was taken lately."""
        self._drop_old(self._clock.now_ns())
        return not self._taken

    def _drop_old(self, now: int) -> None:
        taken = self._taken
        if taken and now < taken[-1]:  # the clock was set back: what it said before means nothing
            taken.clear()
        while taken and now - taken[0] >= self._period_ns:
            taken.popleft()


class HistoryPacing:
    """The rules for requests of history.

    Parameters
    ----------
    clock : Clock
        Tells the time, and waits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = RateLimit(60, 600.0, clock)
        self._same: dict[Hashable, RateLimit] = {}
        self._alike: dict[Hashable, RateLimit] = {}

    def take(self, contract: Hashable, what: str, bar_size: BarSize | None, request: Hashable) -> float:
        """Wait until a request is allowed, and count it.

        Parameters
        ----------
        contract : hashable
            Which contract.
        what : str
            Kind of price.
        bar_size : BarSize or None
            Interval of one bar; None for what obeys the rules of small bars whatever is asked.
        request : hashable
            All of the request: an equal one is identical.

        Returns
        -------
        float
            Seconds waited.
        """
        if bar_size is not None and bar_size.duration_ns > SMALL_NS:
            return 0.0
        weight = 2 if what == "BID_ASK" else 1
        same = self._same.setdefault(request, RateLimit(1, 15.0, self._clock))
        alike = self._alike.setdefault((contract, what), RateLimit(5, 2.0, self._clock))
        waited = same.take() + alike.take(weight) + self._all.take(weight)
        self._forget()
        return waited

    def _forget(self) -> None:
        """Drop limits that no longer limit anything."""
        for limits in (self._same, self._alike):
            for key in [k for k, limit in limits.items() if limit.idle]:
                del limits[key]
