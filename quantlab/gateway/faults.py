"""Faults on purpose: what a test may do to the messages of the gateway, and where it may cut a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantlab.gateway.session import Session
    from quantlab.wire.messages import Message

__all__ = ["AFTER", "BEFORE", "Faults"]

BEFORE, AFTER = "before", "after"
"""On which side of a message a connection is cut."""


class Faults:
    """What goes wrong; nothing, unless it is told.

    Assign to ``on_send``, or subclass and override it, to lose, double, delay or reorder what is sent. It runs in
    the gateway's thread and must not block.

    Attributes
    ----------
    fill_at_most : float or None
        Units that one execution has at most; what is left of an order fills at its next chance. None is no bound.

    Examples
    --------
    >>> from quantlab.wire.messages import OrderStatus
    >>> faults = Faults()
    >>> faults.on_send = lambda message, session: () if isinstance(message, OrderStatus) else (message,)
    """

    def __init__(self) -> None:
        self._cuts: dict[type, tuple[int, str]] = {}
        self.fill_at_most: float | None = None

    def on_send(self, message: Message, session: Session) -> Iterable[Message]:  # noqa: ARG002  # a hook
        """Messages that are sent in the place of one."""
        return (message,)

    def close_after(self, kind: type, n: int = 1, *, side: str = AFTER) -> None:
        """Cut the connection at the `n`-th message of a type from now on, once.

        Parameters
        ----------
        kind : type
            A message of either direction.
        n : int
            Which one, counted over all clients.
        side : {"after", "before"}
            A message to a client has been sent, or not. One from a client has been acted upon and its answers are
            lost, or it has not been acted upon.

        Raises
        ------
        GatewayError
            For another side, or a number below 1.
        """
        if side not in {AFTER, BEFORE} or n < 1:
            raise GatewayError(
                f"close_after({kind.__name__}, {n!r}, side={side!r}): give a number of 1 or more, and 'after' or "
                "'before'."
            )
        self._cuts[kind] = n, side

    def cut_at(self, message: Message) -> str | None:
        """Count a message; say on which side of it the connection is cut, None if it is not."""
        kind = type(message)
        if kind not in self._cuts:
            return None
        left, side = self._cuts[kind]
        if left > 1:
            self._cuts[kind] = left - 1, side
            return None
        del self._cuts[kind]
        return side
