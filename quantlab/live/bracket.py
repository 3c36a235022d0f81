"""From a decided quantity to the orders that are sent: one, a bracket, or two for a reversal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.live.book import CLOSE, ORDER, STOP, TARGET, TRAIL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quantlab.live.book import WorkingOrder
    from quantlab.live.gate import Shape

__all__ = ["Leg", "legs_of", "ref_of_leg"]

Leg = tuple[int, float, dict[str, Any]]
"""Leg, signed units, and what of the intent is beside reference, numbers and bar."""


def ref_of_leg(ref: str, leg: int) -> str:
    """Give the reference of another leg of the same decision."""
    return f"{ref.rpartition('-')[0]}-{leg}"


def legs_of(
    ref: str, quantity: float, position: float, shape: Shape, protection: Sequence[WorkingOrder]
) -> list[Leg]:
    """Orders of one decision, in the sequence in which they are sent.

    An exit joins the group of the orders that protect the position: whichever fills first ends the others, so that the
    position is covered until it is gone, and never sold twice. An entry brings its protective orders with it; they wait
    at the broker until it has filled. A reversal of a strategy with protective orders is an exit and an entry, since a
    bracket cannot hang on an order that also closes.

    Parameters
    ----------
    ref : str
        Reference of the decision's order.
    quantity, position : float
        Signed units to order, and held.
    shape : Shape
        Type, prices, and what will protect.
    protection : sequence of WorkingOrder
        Protective orders of the position that may still fill.
    """
    after = position + quantity
    prices = _given(limit_price=shape.limit, stop_price=shape.stop)
    main = {"order_type": shape.order_type, "tif": shape.tif, **prices}
    said: dict[str, Any] = {"until": shape.until} if shape.until else {}
    group = next((o.ticket["oca_group"] for o in protection if "oca_group" in o.ticket), None)
    closing = {"order_type": shape.order_type, "tif": shape.tif} | _given(oca_group=group)
    if after == 0.0:
        return [(ORDER, quantity, {"ticket": closing})]
    if position * after > 0.0:
        return [(ORDER, quantity, {"ticket": main, **said})]
    if position != 0.0 and (shape.protects or group):
        apart = (CLOSE, -position, {"ticket": closing, "parent": ref})
        return [apart, *_bracket(ref, after, shape, main, said)]
    return _bracket(ref, quantity, shape, main, said)


def _bracket(
    ref: str, quantity: float, shape: Shape, main: Mapping[str, Any], said: Mapping[str, Any]
) -> list[Leg]:
    """Open a position by an order, with what protects it; the last one sends them all."""
    opens = {"opens": 1 if quantity > 0.0 else -1} | _given(hold=shape.hold)
    children = [
        (leg, ticket)
        for leg, ticket in (
            (STOP, {"order_type": "STP", "stop_price": shape.stop_level}),
            (TARGET, {"order_type": "LMT", "limit_price": shape.target_level}),
            (TRAIL, {"order_type": "TRAIL", "trail_amount": shape.trail_amount}),
            (TRAIL, {"order_type": "TRAIL", "trail_percent": shape.trail_percent}),
        )
        if None not in ticket.values()
    ]
    if not children:
        return [(ORDER, quantity, {"ticket": dict(main), **said, **opens})]
    legs: list[Leg] = [(ORDER, quantity, {"ticket": {**main, "transmit": False}, **said, **opens})]
    last = len(children) - 1
    for k, (leg, ticket) in enumerate(children):
        whole = {**ticket, "tif": "GTC", "oca_group": ref}
        if k < last:
            whole["transmit"] = False
        legs.append((leg, -quantity, {"ticket": whole, "parent": ref}))
    return legs


def _given(**values: Any) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}
