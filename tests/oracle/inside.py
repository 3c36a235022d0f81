"""Orders inside the bar the slow way: rules 29 to 52 of docs/fills.md, one event after the other.

`Twin` sends and fills market orders; here are the levels that guard a position, the orders at a price, and the way
of each asset through its bar. A long and a short position differ by `side`, +1 and -1: `side * (price - level)` is
above zero where a price is better than a level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from oracle.engine import Twin
from oracle.inside_parts import Guard, InsideAsset, Prices, Rung, compare, on_tick, value_at
from oracle.lots import SAME, is_number, to_lot
from quantlab.levels import AtrMultiple, Distance, Ladder
from quantlab.signals import atr

STOP_LOSS, TRAILING_STOP, TAKE_PROFIT = "stop loss", "trailing stop", "take profit"
AT_PRICE = ("limit", "stop", "stop limit")
TIME_STOP = "time stop"
EXPIRED = "not filled within its time in force"
CLOSED = "its position was closed by a protective order"


@dataclass
class InsideTwin(Twin):
    """Run a signal through bars, or through the finer `detail` of each of them."""

    signal: object = None
    detail: object = None
    moment: str = field(default="open", init=False)

    asset_type = InsideAsset

    # -- the bar ------------------------------------------------------------------------------------------

    def trade(self, t):
        self.moment = "open"
        self.fill_orders(t, self.bars.open[t])
        bars, rows = self.path(t)
        for k in rows:
            for i in range(self.n):
                if is_number(bars.close[k, i]):
                    columns = (bars.open, bars.high, bars.low, bars.close)
                    self.go_through(t, i, Prices(*(float(column[k, i]) for column in columns)))
        for i in range(self.n):
            if is_number(self.bars.close[t, i]):
                self.end_bar(i)
        self.moment = "close"
        self.fill_orders(t, self.bars.close[t])
        self.end_session(t)

    def path(self, t):
        """Bars that this bar goes through, and which: itself, or the finer ones since the bar before (rule 52)."""
        if self.detail is None:
            return self.bars, [t]
        start, times = self.bars.time[t - 1] if t else -math.inf, self.detail.time
        return self.detail, [k for k, time in enumerate(times) if start < time <= self.bars.time[t]]

    def go_through(self, t, i, bar):
        """Steps a to e."""
        self.order_meets_open(t, i, bar)
        self.guard_meets_open(t, i, bar)
        self.guard_meets_bar(t, i, bar)
        if not self.order_meets_bar(t, i, bar):
            self.move_trailing(t, i, bar.best)

    def goes(self, t, i):
        """Whether the market order of an asset fills now (rule 51)."""
        kind = self.assets[i].order["type"]
        if kind == "moo":
            return self.moment == "open" and self.starts_session(t)
        if kind == "moc":
            return self.moment == "close" and self.ends_session(t)
        return kind == "market" and self.moment == ("open" if self.fill == "next_open" else "close")

    def starts_session(self, t):
        return t == 0 or self.bars.session[t - 1] != self.bars.session[t]

    def ends_session(self, t):
        return t == len(self.bars.time) - 1 or self.bars.session[t + 1] != self.bars.session[t]

    # -- decisions ----------------------------------------------------------------------------------------

    def wanted(self, t, i):
        """Target that counts at this bar (rules 29, 30, 41, 44)."""
        a, target = self.assets[i], super().wanted(t, i)
        event = self.is_event(t, i, target)
        a.before, a.forced, a.renew, a.reason = target, a.renew, False, ""
        void = self.fill == "close" and a.exit_bar == t
        if event and target * a.position <= 0 and not void:
            a.stopped = False
            a.forced = a.forced or a.position == 0
        if a.stopped:
            return 0.0
        if target * a.position > 0 and self.is_time_up(t, i):
            a.stopped = True
            a.reason = TIME_STOP
            return 0.0
        if self.has_price and target * a.position < 0:
            a.renew = True
            return 0.0
        return target

    def is_event(self, t, i, target):
        """Entry event (rule 29)."""
        flag = value_at(self.signal.entry, t, i)
        marked = is_number(flag) and flag != 0
        return target != 0 and (marked or target * self.assets[i].before <= 0)

    def is_time_up(self, t, i):
        guard = self.assets[i].guard
        held = t - guard.opened + (0 if self.fill == "close" else 1)
        return held >= guard.time_stop  # never where that is NaN

    def is_due(self, t, i, wanted):
        return self.assets[i].forced or super().is_due(t, i, wanted)

    def in_turn(self, t, entries):
        """Highest rank first, NaN last."""

        def late(i):
            rank = value_at(getattr(self.signal, "rank", None), t, i)
            return -rank if is_number(rank) else math.inf

        return sorted(entries, key=late)

    @property
    def has_price(self):
        return self.signal.limit is not None or self.signal.stop is not None

    def place(self, t, i, quantity, note, refusal, share):
        a = self.assets[i]
        at_price = self.has_price and a.decided != 0 and quantity * a.position >= 0
        kind, limit, stop = (
            self.prices_of_entry(t, i) if at_price else (self.signal.order_type, math.nan, math.nan)
        )
        if kind is None and quantity != 0:
            self.replace_standing(a)
            a.renew = True
            return None
        order = super().place(t, i, quantity, note, refusal, share)
        if order is not None:
            order |= {"type": kind, "limit": limit, "stop": stop, "met": False, "triggered": False}
            order["reason"] = order["reason"] or a.reason
        return order

    def prices_of_entry(self, t, i):
        """Type, limit and stop of an order at a price; no type where a price is missing (rule 44)."""
        buys = self.assets[i].decided > 0
        tick, factor = self.bars.instruments[i].tick, self.factor(t, i)
        limit = on_tick(value_at(self.signal.limit, t, i), factor, tick, up=not buys)
        stop = on_tick(value_at(self.signal.stop, t, i), factor, tick, up=buys)
        if self.signal.stop is None:
            return "limit" if is_number(limit) else None, limit, stop
        if self.signal.limit is None:
            return "stop" if is_number(stop) else None, limit, stop
        return "stop limit" if is_number(limit) and is_number(stop) else None, limit, stop

    # -- reversals ----------------------------------------------------------------------------------------

    def charged_apart(self, i, quantity):
        """What a reversal closes, and what it opens, where a bracket would have to hang on it (rule 31)."""
        position = self.assets[i].position
        turns_around = position * quantity < 0 and abs(quantity) > abs(position)
        if turns_around and self.asks_for_protection and self.sizing.price != "fill":
            return [-position, quantity + position]
        return [quantity]

    @property
    def asks_for_protection(self):
        """Whether some level is given, be it NaN at every bar; a single NaN is none."""
        s = self.signal
        targets = s.take_profit.rungs if isinstance(s.take_profit, Ladder) else [(s.take_profit, 1.0)]
        levels = [s.stop_loss, s.trailing_stop, *(level for level, _ in targets)]
        arrays = [np.asarray(self.resolved(level), float) for level in levels if level is not None]
        return any(x.size > self.n or not np.isnan(x).all() for x in arrays)

    # -- time in force ------------------------------------------------------------------------------------

    def standing(self, i):
        """Order at a price that stands, or None."""
        order = self.assets[i].order
        return order if order is not None and order["type"] in AT_PRICE else None

    def expire(self, i):
        a = self.assets[i]
        a.order["status"], a.order["reason"] = "cancelled", EXPIRED
        a.order = None

    def end_bar(self, i):
        """Rules 48 and 49: the order has met a bar."""
        order = self.standing(i)
        if order is not None:
            order["met"] = True
            if self.signal.tif == "bar":
                self.expire(i)
                self.assets[i].renew = True

    def end_session(self, t):
        for i in range(self.n):
            order = self.standing(i)
            if order is not None and order["met"] and self.signal.tif == "day" and self.ends_session(t):
                self.expire(i)

    # -- a and d: orders at a price -----------------------------------------------------------------------

    def order_meets_open(self, t, i, bar):
        order = self.standing(i)
        if order is None:
            return
        side, reference = math.copysign(1, order["quantity"]), bar.open
        is_limit = order["type"] == "limit" or order["triggered"]
        if not is_limit and side * compare(bar.open, order["stop"]) >= 0:
            order["triggered"] = True
            is_limit = order["type"] == "stop limit"
            if not is_limit:
                self.fill_entry(t, i, reference)
                return
        if is_limit and side * compare(bar.open, order["limit"]) <= 0:
            self.fill_entry(t, i, reference)
        elif self.signal.tif == "ioc":
            self.expire(i)

    def order_meets_bar(self, t, i, bar):
        """Step d; whether it opened a position."""
        order, flat = self.standing(i), self.assets[i].position == 0
        if order is None:
            return False
        side = math.copysign(1, order["quantity"])
        like = self.way_of_filling(order, side, bar)
        if like is None:
            return False
        self.fill_entry(t, i, order["limit" if like == "limit" else "stop"], at_limit=like == "limit")
        if not flat:
            return False
        if like == "limit":
            self.guard_after_limit(t, i, bar)
        else:
            self.guard_after_stop(t, i, bar)
        return True

    def way_of_filling(self, order, side, bar):
        """How an order fills inside the bar: "limit", "stop" or not at all (rules 45 to 47)."""
        if order["type"] == "limit" or order["triggered"]:
            # The worst price for a position is where one is entered cheaply.
            return "limit" if side * compare(bar.worst(side), order["limit"]) < 0 else None
        if side * compare(bar.best(side), order["stop"]) < 0:
            return None
        order["triggered"] = True
        if order["type"] == "stop" or side * compare(order["limit"], order["stop"]) >= 0:
            return "stop"
        return "limit" if side * compare(bar.close, order["limit"]) < 0 else None

    def fill_entry(self, t, i, reference, *, at_limit=False):
        """Fill an order at a price: worsened from its reference, but never beyond its limit."""
        a = self.assets[i]
        order, side = a.order, math.copysign(1, a.order["quantity"])
        price = reference if at_limit else self.price_of(t, i, side, reference)
        if is_number(order["limit"]) and side * (price - order["limit"]) > 0:
            price = order["limit"]
        a.order = None
        self.execute(t, i, order, price, reference, "order")

    # -- what guards a position ---------------------------------------------------------------------------

    def book(self, t, i, quantity, price, reference, paid, due, order, kind):
        a = self.assets[i]
        before = a.position
        super().book(t, i, quantity, price, reference, paid, due, order, kind)
        self.fills[-1]["doubtful"] = False
        if a.position == 0:
            a.guard = None
        elif before * a.position <= 0:
            a.guard = self.guard_of(t, i, self.orders[order], price)
            self.set_trailing(t, i)

    def half_spread(self, i, price, reference, kind, order):
        """A limit order pays no more of the spread than its limit lets it."""
        if kind in ("delisted", "ruin"):
            return 0.0
        half = self.worse(i)[1]
        if kind == TAKE_PROFIT or is_number(self.orders[order]["limit"]):
            return min(half, abs(price / reference - 1))
        return half

    def guard_of(self, t, i, entry, price):
        """Levels of a position that this fill opened (rules 32 to 34, 40 to 42)."""
        side, decided, s = int(math.copysign(1, self.assets[i].position)), entry["bar"], self.signal
        base = price if s.stop_from == "fill" else entry["decision_price"]
        stop = base - side * self.distance(s.stop_loss, decided, i, base)
        return Guard(
            side=side,
            entry=entry,
            opened=t,
            stop_loss=self.level_on_tick(t, i, stop, up=side < 0),
            extreme=price,
            away=self.trailing_distance(t, i, decided),
            rungs=self.rungs_of(t, i, decided, base, side),
            time_stop=value_at(s.time_stop, decided, i),
        )

    def trailing_distance(self, t, i, decided):
        """What a trailing stop follows by; a distance is whole ticks (rule 40)."""
        given = self.signal.trailing_stop
        away = value_at(self.resolved(given), decided, i)
        if not isinstance(given, (Distance, AtrMultiple)):
            return away
        return on_tick(away, self.factor(t, i), self.bars.instruments[i].tick, True)

    def resolved(self, given):
        """Member as numbers."""
        if isinstance(given, AtrMultiple):
            bars = self.bars
            return given.multiple * atr(bars.high, bars.low, bars.close, given.n)
        return given.values if isinstance(given, Distance) else given

    def distance(self, given, t, i, base):
        """How far from `base` a level is."""
        value = value_at(self.resolved(given), t, i)
        return value if isinstance(given, (Distance, AtrMultiple)) else value * base

    def level_on_tick(self, t, i, level, *, up):
        """Level, or NaN where it can never be reached (rule 33)."""
        level = on_tick(level, self.factor(t, i), self.bars.instruments[i].tick, up)
        return level if level > 0 else math.nan

    def rungs_of(self, t, i, decided, base, side):
        """Rungs that exist, nearest first."""
        given = self.signal.take_profit
        pairs = given.rungs if isinstance(given, Ladder) else ((given, 1.0),)
        rungs = [
            Rung(
                self.level_on_tick(t, i, base + side * self.distance(level, decided, i, base), up=side > 0),
                share,
            )
            for level, share in pairs
        ]
        return sorted((r for r in rungs if is_number(r.level)), key=lambda r: side * r.level)

    def nearest_stop(self, i):
        """Level and name of the stop that counts (rule 40); no name where there is none."""
        guard = self.assets[i].guard
        if guard is None:
            return math.nan, None
        found = (guard.stop_loss, STOP_LOSS), (guard.trailing, TRAILING_STOP)
        known = [(level, name) for level, name in found if is_number(level)]
        if len(known) == 2:
            return found[guard.side * compare(guard.trailing, guard.stop_loss) > 0]
        return known[0] if known else (math.nan, None)

    def set_trailing(self, t, i):
        """Level of the trailing stop, on the tick of the bar at which it is set."""
        guard = self.assets[i].guard
        away = guard.away
        if not isinstance(self.signal.trailing_stop, (Distance, AtrMultiple)):
            away *= guard.extreme
        guard.trailing = self.level_on_tick(t, i, guard.extreme - guard.side * away, up=guard.side < 0)

    def move_trailing(self, t, i, extreme_of):
        guard = self.assets[i].guard
        if guard is not None and guard.side * (extreme_of(guard.side) - guard.extreme) > 0:
            guard.extreme = extreme_of(guard.side)
            self.set_trailing(t, i)

    # -- b and c: protective orders -----------------------------------------------------------------------

    def guard_meets_open(self, t, i, bar):
        level, name = self.nearest_stop(i)
        guard = self.assets[i].guard
        if name is not None and guard.side * compare(bar.open, level) <= 0:
            self.stop_out(t, i, name, level, bar.open)
        self.take_profits(t, i, bar.open, at_level=True)

    def guard_meets_bar(self, t, i, bar):
        guard = self.assets[i].guard
        if guard is None:
            return
        level, name = self.nearest_stop(i)
        if name is not None and guard.side * compare(bar.worst(guard.side), level) <= 0:
            best, targets = bar.best(guard.side), guard.rungs
            both = bool(targets) and guard.side * compare(best, targets[0].level) > 0
            self.stop_out(t, i, name, level, level, doubtful=both)
        self.take_profits(t, i, bar.best(guard.side))

    def guard_after_limit(self, t, i, bar):
        """The bar after an entry at a limit inside it: what came after is certain up to the close (rule 50)."""
        guard = self.assets[i].guard
        level, name = self.nearest_stop(i)
        if name is not None and guard.side * compare(bar.worst(guard.side), level) <= 0:
            self.stop_out(t, i, name, level, level)
        self.take_profits(t, i, bar.close)
        self.move_trailing(t, i, lambda _: bar.close)

    def guard_after_stop(self, t, i, bar):
        """The bar after an entry at a stop inside it: the worse is taken (rule 50)."""
        guard = self.assets[i].guard
        level, name = self.nearest_stop(i)
        if name is not None and guard.side * compare(bar.worst(guard.side), level) <= 0:
            certain = guard.side * compare(bar.close, level) <= 0
            self.stop_out(t, i, name, level, level, doubtful=not certain)
        self.take_profits(t, i, bar.best(guard.side))
        self.move_trailing(t, i, bar.best)

    def stop_out(self, t, i, name, level, reference, *, doubtful=False):
        """A stop was touched: everything goes, at a worsened price (rules 35 and 37)."""
        quantity = -self.assets[i].position
        price = self.price_of(t, i, math.copysign(1, quantity), reference)
        self.protect(t, i, name, level, quantity, price, reference)
        self.fills[-1]["doubtful"] = doubtful

    def take_profits(self, t, i, price, *, at_level=False):
        """Fill the rungs that a price went through, or (at an open) is at (rules 36, 37, 42)."""
        a = self.assets[i]
        while a.guard is not None and a.guard.rungs:
            rung, side = a.guard.rungs[0], a.guard.side
            reached = side * compare(price, rung.level)
            if reached < 0 or (reached == 0 and not at_level):
                return
            a.guard.rungs.pop(0)
            quantity = -self.part(t, i, rung.share, a.guard.sold)
            a.guard.sold += rung.share
            if quantity == 0:
                continue
            reference = price if at_level else rung.level
            paid = self.price_of(t, i, -side, reference) if at_level else reference
            if side * (paid - rung.level) < 0:
                paid = rung.level
            self.protect(t, i, TAKE_PROFIT, rung.level, quantity, paid, reference)

    def part(self, t, i, share, sold):
        """Units of the position that a rung closes."""
        position, factor = self.assets[i].position, self.factor(t, i)
        if share + sold >= 1 - SAME:
            return position
        units = position * share / (1 - sold)
        if not self.sizing.whole_units:
            return units
        return to_lot(units / factor, self.bars.instruments[i].lot) * factor

    def protect(self, t, i, name, level, quantity, price, reference):
        """Fill one protective order, and see to the orders that stand (rule 43)."""
        a, entry = self.assets[i], self.assets[i].guard.entry
        is_target = name == TAKE_PROFIT
        order = {
            "number": len(self.orders),
            "bar": entry["bar"],
            "asset": i,
            "target": 0.0,
            "quantity": quantity,
            "decision_price": entry["decision_price"],
            "reason": "",
            "type": name,
            "limit": level if is_target else math.nan,
            "stop": math.nan if is_target else level,
        }
        self.orders.append(order)
        self.execute(t, i, order, price, reference, name)
        self.cut_standing(a, quantity)
        if a.position == 0:
            a.exit_bar = t
            if a.order is None:
                a.decided, a.stopped = 0.0, True

    def cut_standing(self, a, filled):
        """An order against the position shrinks by what was filled; one that would add to nothing goes."""
        order = a.order
        if order is None:
            return
        if order["quantity"] * filled > 0 and abs(order["quantity"]) > abs(filled):
            order["quantity"] -= filled
        elif order["quantity"] * filled >= 0 or a.position == 0:
            # Also an order of nothing that was to be sized at its fill: it would buy back what was sold (rule 42).
            order["status"], order["reason"] = "cancelled", CLOSED
            a.order = None
