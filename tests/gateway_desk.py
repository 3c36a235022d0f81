"""A gateway without a socket for tests: bars that are written out, orders, and time moved by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

import quantlab as ql
from quantlab.gateway.grid import CLOSE, OPEN, Moment
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as m

FIRST_DAY = "2012-01-03"
COLUMNS = ("open", "high", "low", "close")


def daily(*rows, symbol="A", before=100.0):
    """Bars of consecutive sessions; the first one, on which nothing trades yet, is flat."""
    days = ql.sample("AAPL").between(FIRST_DAY, "2012-12-31").index[: len(rows) + 1]
    frame = pd.DataFrame(
        [(before,) * 4, *rows], columns=list(COLUMNS), index=pd.DatetimeIndex(days).normalize()
    )
    frame["volume"] = 1e6
    return ql.Bars.from_frame(frame.tz_localize(None), symbol=symbol, bar_size="1 day", calendar="XNYS")


def order(action, quantity, kind="MKT", limit=None, stop=None, **more):
    """Ticket of any type: ``order("SELL", 10, "STP", stop=95.0)``."""
    return m.OrderTicket(action, quantity, kind, limit_price=limit, aux_price=stop, **more)


def bracket(parent, *, target=None, stop=None, trail=None, first=1, quantity=None):
    """Parent and children as clients send them: everything waits for the last one. Order ids count from `first`."""
    away = "SELL" if parent.action == "BUY" else "BUY"
    amount = parent.quantity if quantity is None else quantity
    shared = {"parent_id": first, "tif": "GTC"}
    children = []
    if target is not None:
        children.append(order(away, amount, "LMT", limit=target, **shared))
    if stop is not None:
        children.append(order(away, amount, "STP", stop=stop, **shared))
    if trail is not None:
        children.append(m.OrderTicket(away, amount, "TRAIL", **trail, **shared))
    last = len(children) - 1
    return [
        replace(parent, transmit=False),
        *(replace(child, transmit=k == last) for k, child in enumerate(children)),
    ]


class Recorder:
    """Takes what a client would be sent."""

    def __init__(self):
        self.heard = []

    def send(self, message):
        self.heard.append(message)


class Desk:
    """The desk of a gateway that nobody is connected to, with one client that only listens."""

    def __init__(self, bars, **options):
        given = {"fills": "bars", "costs": ql.Costs.zero(), "speed": "step", "cash": 1e6} | options
        start = str(bars.index[1])[:10]
        self.gateway = Gateway(Market.of_bars(bars), start=start, **given)
        self.venue = self.gateway._venue
        self.desk = self.venue.desk
        self.client = self.venue.clients[1] = Recorder()
        self.symbols = bars.symbols

    # -- doing -------------------------------------------------------------------------------------------

    def place(self, number, ticket, symbol=None):
        """Send an order; what is heard of it."""
        contract = m.Contract(
            symbol=symbol or self.symbols[0], security_type="STK", exchange="SMART", currency="USD"
        )
        return self.hear(lambda: self.desk.place(1, m.PlaceOrder(number, contract, ticket)))

    def place_all(self, tickets, first=1):
        return [x for k, ticket in enumerate(tickets) for x in self.place(first + k, ticket)]

    def cancel(self, number):
        return self.hear(lambda: self.desk.cancel(1, m.CancelOrder(number)))

    def hear(self, do):
        n = len(self.client.heard)
        do()
        return self.client.heard[n:]

    def open(self):
        """Go to the next open; what is heard on the way."""
        return self.hear(lambda: self._until(OPEN))

    def close(self):
        """Go to the next close; what is heard on the way."""
        return self.hear(lambda: self._until(CLOSE))

    def closed(self, time_ns):
        """Go to the close of a bar, whether anything happens then or not."""
        goal = Moment(int(time_ns), CLOSE)
        while (moment := self.venue.next()) is not None and moment <= goal:
            self.venue.advance()
        self.venue.clock.move_to(goal)

    def _until(self, phase):
        while self.venue.advance():
            moment = self.venue.clock.moment
            if moment.phase == phase:
                return
        raise AssertionError("time has come to its end")

    # -- looking -----------------------------------------------------------------------------------------

    @property
    def now(self):
        return self.venue.clock.moment

    @property
    def position(self):
        return self.venue.account.quantity(0)

    def order(self, number):
        return self.desk.orders[1, number]

    def statuses(self, *numbers):
        return [self.desk.orders[1, n].status for n in numbers or [k[1] for k in self.desk.orders]]

    @property
    def fills(self):
        """Order id, price, and ``"open"``, ``"close"`` or ``"within"`` a session, of each execution so far."""
        hours = self.venue.market.hours
        opens, closes = set(hours.open_ns.tolist()), set(hours.close_ns.tolist())
        named = {**dict.fromkeys(opens, "open"), **dict.fromkeys(closes, "close")}
        return [(e.order_id, e.price, named.get(e.time_ns, "within")) for e in self.desk.executions]


def codes(messages, number=None):
    return [x.code for x in messages if isinstance(x, m.ErrorMessage) and number in {None, x.request_id}]


def told(messages, number):
    """Statuses that were heard of an order."""
    return [x.status for x in messages if isinstance(x, m.OrderStatus) and x.order_id == number]
