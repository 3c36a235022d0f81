"""Orders of every kind placed, changed and cancelled at random: what holds whatever is sent, and however it fills."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from gateway_desk import Desk, daily, order

import quantlab as ql
from quantlab.gateway.orders import Order
from quantlab.wire import messages as m

N_ACTS = 40

KINDS = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC")


def drawn_rows(rng, n_bars=6):
    rows, price = [], 100.0
    for _ in range(n_bars):
        opened = round(price * (1 + rng.normal(0, 0.01)), 2)
        path = [opened, *np.round(opened * np.exp(np.cumsum(rng.normal(0, 0.01, 6))), 2).tolist()]
        price = path[-1]
        rows.append((opened, max(path), min(path), price))
    return rows


class Client:
    """Sends whatever comes to its mind."""

    def __init__(self, rng, desk):
        self.rng, self.desk, self.number = rng, desk, 1

    def pick(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def price(self):
        return round(float(self.desk.desk.price(0) * (1 + self.rng.normal(0, 0.015))), 2)

    def ticket(self, **more):
        kind = self.pick(*KINDS)
        tif = "DAY" if kind == "MOC" else self.pick("DAY", "GTC", "GTC", "IOC", "FOK")
        if "LMT" in kind:
            more["limit"] = self.price()
        if kind.startswith("STP"):
            more["stop"] = self.price()
        if kind == "TRAIL":
            more |= self.pick(
                {"stop": 1.505}, {"trailing_percent": 1.0}, {"stop": 2.0, "trail_stop_price": self.price()}
            )
        return order(self.pick("BUY", "SELL"), self.pick(5, 10, 20), kind, tif=tif, **more)

    def send(self, ticket, symbol):
        self.desk.place(self.number, ticket, symbol)
        self.number += 1

    def act(self):
        """Do one thing."""
        symbol, standing = self.pick("A", "B"), self.desk.desk.standing
        what = self.rng.random()
        if what < 0.35:
            first, parent = self.number, self.ticket(transmit=False)
            away = "SELL" if parent.action == "BUY" else "BUY"
            self.send(parent, symbol)
            for k in range(3):
                child = self.ticket(parent_id=first, transmit=k == 2)
                self.send(replace(child, quantity=parent.quantity, action=away), symbol)
        elif what < 0.7 or not standing:
            more = {"oca_group": self.pick("", "g", "h", "i"), "oca_type": self.pick(0, 1, 2, 3)}
            self.send(self.ticket(transmit=self.rng.random() < 0.8, **more), symbol)
        elif what < 0.85:
            chosen = self.pick(*standing)
            prices = {n: self.price() for n in ("limit_price", "aux_price") if getattr(chosen.ticket, n)}
            more = self.pick({}, {"quantity": 10}, {"parent_id": 0}, {"transmit": True})
            changed = replace(self.pick(chosen.shown, chosen.ticket), **prices, **more)
            self.desk.place(chosen.order_id, changed, self.desk.symbols[chosen.column])
        else:
            self.desk.cancel(self.pick(*standing).order_id)


def check(desk, whole):
    """What holds at every moment."""
    orders = desk.desk.orders
    by_number = {o.perm_id: o for o in orders.values()}
    last = {x.order_id: x for x in desk.client.heard if isinstance(x, m.OrderStatus)}
    filled = []
    for key, each in orders.items():
        told = last[each.order_id]
        assert (told.status, told.filled, told.remaining) == (each.status, each.filled, each.remaining)
        assert (each in desk.desk.standing) != each.done
        assert Order.restored(json.loads(json.dumps(each.describe()))) == each
        parent = by_number.get(each.parent_perm_id)
        if parent is not None:
            assert not (each.waits and not each.done and parent.done), key
            assert each.done or parent.filled or not parent.done
        if each.group and each.status == "Filled":
            filled.append(each.group)
    assert not whole or len(filled) == len(set(filled))
    for column, symbol in enumerate(desk.symbols):
        done = sum(x.quantity for x in desk.desk.executions if x.symbol == symbol)
        assert desk.venue.account.quantity(column) == pytest.approx(done)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("fills", ["bars", "quotes"])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_sent_what_was_told_last_is_what_is(seed, fills, whole):
    rng = np.random.default_rng(seed)
    options = {"bar_size": "1 hour"} if fills == "bars" and seed % 2 else {"latency_s": float(seed)}
    bars = ql.Bars.join([daily(*drawn_rows(rng), symbol=s) for s in ("A", "B")])
    desk = Desk(bars, fills=fills, cash=[1e6, 5e3][seed % 3 == 2], **options)
    client = Client(rng, desk)
    moving, n_acts = True, 0
    while moving:
        n = int(rng.integers(0, 3)) if n_acts < N_ACTS else 0
        for _ in range(n):
            client.act()
        n_acts += n
        desk.venue.faults.fill_at_most = None if whole else client.pick(None, 3.0, 7.0)
        moving = desk.venue.advance()
        if n or not moving:
            check(desk, whole)
    assert desk.desk.executions
