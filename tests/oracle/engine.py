"""A backtest the slow way: one event after the other, in plain Python, as docs/fills.md tells it.

Written from the rules, not from the kernels. Money is added up with ordinary floats; what a trade costs comes
from exact fractions (`oracle.cost`). Positions are in the units of the bars; raw units = units / factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from oracle.cost import (
    naive_borrow,
    naive_commission,
    naive_fill_price,
    naive_interest,
    naive_row,
)
from oracle.lots import SAME, is_number, most_lots, most_units, to_lot
from oracle.trades import fills_to_trades, rows_to_frame

NO_POWER = "not enough buying power"
NO_SHORT = "short sale on a cash account"
TO_FLAT = "short sale on a cash account: only the long position is closed"
ENDED = "the asset's data ended"
RUIN = "equity fell to zero"
NOTHING = "less than one lot at the fill price"


def naive_fees(fees, session, units, raw_price):
    """SEC and TAF of one sale, each up to the cent; a whole cent that rounding missed is not the next one."""
    if units >= 0:
        return 0.0
    sec, taf = naive_row(fees.sec.rows, session), naive_row(fees.taf.rows, session)
    amounts = -units * raw_price * sec.rate, min(-units * taf.rate, taf.maximum or math.inf)
    return sum(math.ceil(round(x * 100, 7)) / 100 for x in amounts)


@dataclass
class Asset:
    """One asset of the book."""

    position: float = 0.0
    last_close: float = 0.0
    decided: float = 0.0
    order: dict | None = None
    order_target: float = 0.0
    order_share: float = 1.0


@dataclass
class Twin:
    """Run one target through bars; afterwards `orders`, `fills`, `equity`, `cash_series` say what happened."""

    bars: object
    target: np.ndarray
    cash: float
    costs: object
    sizing: object
    account: object
    fill: str = "next_open"
    orders: list = field(default_factory=list)
    fills: list = field(default_factory=list)
    borrowed: list = field(default_factory=list)
    equity_series: list = field(default_factory=list)
    cash_series: list = field(default_factory=list)
    gross_series: list = field(default_factory=list)
    interest: float = 0.0
    ruin_bar: int | None = None

    asset_type = Asset

    def run(self):
        n_bars, self.n = self.bars.shape
        self.assets = [self.asset_type() for _ in range(self.n)]
        self.start = self.equity = float(self.cash)
        self.money = float(self.cash)
        self.month, self.month_units = None, {}
        has_bar = ~np.isnan(self.bars.close)
        self.last_bar = [np.flatnonzero(has_bar[:, i]).max(initial=-1) for i in range(self.n)]
        for t in range(n_bars):
            self.new_month(t)
            self.pay_for_holding(t)
            self.trade(t)
            self.close_delisted(t)
            self.mark(t)
            if self.equity > 0:
                self.decide(t)
                if self.fill == "close":
                    self.fill_orders(t, self.bars.close[t])
                    self.mark(t)
            if self.equity <= 0:
                self.ruin_bar = t
                for i in range(self.n):
                    self.close_out(t, i, RUIN, "ruin")
            self.equity_series.append(self.equity)
            self.cash_series.append(self.money)
            self.gross_series.append(sum(abs(self.worth(i)) for i in range(self.n)))
            if self.ruin_bar is not None:
                break
        return self

    def trade(self, t):
        """What happens between the charges for holding and the marks: standing orders fill."""
        if self.fill != "close":
            self.fill_orders(t, (self.bars.open if self.fill == "next_open" else self.bars.close)[t])

    # -- what things are worth ----------------------------------------------------------------------------

    def multiplier(self, i):
        return self.bars.instruments[i].multiplier

    def factor(self, t, i):
        return float(self.bars.factor[t, i])

    def worth(self, i):
        return self.assets[i].position * self.assets[i].last_close * self.multiplier(i)

    def mark(self, t):
        for i, a in enumerate(self.assets):
            if is_number(self.bars.close[t, i]):
                a.last_close = float(self.bars.close[t, i])
        self.equity = self.money + sum(self.worth(i) for i in range(self.n))

    # -- what things cost ---------------------------------------------------------------------------------

    def date(self, t):
        return str(np.datetime64(int(self.bars.session[t]), "D"))

    def new_month(self, t):
        if self.date(t)[:7] != self.month:
            self.month, self.month_units = self.date(t)[:7], {}

    def schedule(self, i):
        instrument, given = self.bars.instruments[i], self.costs.commission
        if isinstance(given, dict):
            return given[instrument.symbol if instrument.symbol in given else instrument.security_type]
        return given

    def group(self, i):
        schedule = self.schedule(i)
        return "" if schedule is None else schedule.group or schedule.name

    def per_symbol(self, value, i):
        return value.get(self.bars.symbols[i], 0.0) if isinstance(value, dict) else value

    def worse(self, i):
        """Slippage and half the spread, as fractions of price."""
        slippage = self.per_symbol(self.costs.slippage_bps, i)
        return slippage / 10_000, self.per_symbol(self.costs.spread_bps, i) / 20_000

    def order_costs(self, t, i, raw_units, raw_price):
        """Commission and regulatory fees of an order."""
        schedule, instrument = self.schedule(i), self.bars.instruments[i]
        paid = due = 0.0
        if schedule is not None:
            row = naive_row(schedule.rows, self.date(t))
            done = self.month_units.get(self.group(i), 0.0)
            paid = float(naive_commission(row, raw_units, raw_price, instrument.multiplier, done))
        if self.costs.fees is not None and instrument.security_type == "STK" and instrument.currency == "USD":
            due = naive_fees(self.costs.fees, self.date(t), raw_units, raw_price * instrument.multiplier)
        return paid, due

    def price_of(self, t, i, side, reference):
        """Fill price, in the prices of the bars, of a marketable order with this reference price."""
        factor, tick = self.factor(t, i), self.bars.instruments[i].tick
        if tick is None:
            return reference * (1 + side * sum(self.worse(i)))
        raw = naive_fill_price(reference * factor, int(side), sum(self.worse(i)), tick)
        return float(raw) / factor

    def pay_for_holding(self, t):
        """Borrow and interest for the days since the bar before."""
        days = int(self.bars.session[t] - self.bars.session[t - 1]) if t else 0
        if days == 0:
            return
        interest = 0.0
        if self.costs.interest is not None:
            starts = [rate for day, rate in self.costs.interest.starts() if day <= self.bars.session[t]]
            rate = starts[-1] if starts else self.costs.interest.starts()[0][1]
            interest = float(naive_interest(self.costs.interest, rate, self.money, self.equity, days))
            interest *= self.costs.interest.debit_scale if interest > 0 else 1.0
        for i, a in enumerate(self.assets):
            rate = self.per_symbol(self.costs.borrow, i)
            if a.position < 0 and rate > 0:
                factor = self.factor(t, i)
                # A price that was adjusted and is made raw again misses its cents by rounding.
                raw_price = round(a.last_close * factor, 9)
                due = float(naive_borrow(rate, -a.position / factor, raw_price, days))
                due *= self.multiplier(i)
                self.money -= due
                self.borrowed.append({"bar": t, "asset": i, "money": due})
        self.money -= interest
        self.interest += interest

    # -- decisions ----------------------------------------------------------------------------------------

    def base(self):
        """Equity that is sized: a cash account leaves its buffer alone."""
        return self.equity * (1 - self.account.buffer) if self.account.kind == "cash" else self.equity

    def amount(self):
        """What a target of 1 stands for: units, money or a share of equity."""
        s = self.sizing
        if s.fixed_units is not None:
            return s.fixed_units
        if s.fixed_value is not None:
            return s.fixed_value
        return 1 / self.n if s.allocation == "equal" else s.allocation

    def money_for(self, i, share, base, unit):
        """Money that a target stands for, at `unit` money per raw unit."""
        s = self.sizing
        if s.fixed_units is not None:
            return share * s.fixed_units * unit
        return share * self.amount() * (1.0 if s.fixed_value is not None else base)

    def units_for(self, i, share, base, raw_price):
        """Raw units that a target stands for."""
        unit = raw_price * self.multiplier(i)
        units = self.money_for(i, share, base, unit) / unit
        return to_lot(units, self.bars.instruments[i].lot) if self.sizing.whole_units else units

    def wanted(self, t, i):
        """Target that counts at this bar."""
        return float(self.target[t, i]) if is_number(self.target[t, i]) else 0.0

    def is_due(self, t, i, wanted):
        a, rule = self.assets[i], self.sizing.rebalance
        if abs(wanted - a.decided) > SAME:
            return True
        if rule == "on_change" or (wanted == 0 and a.position == 0 and a.order is None):
            return False
        if rule == "every_bar":
            return True
        unit = a.last_close * self.multiplier(i)
        raw_unit = unit * self.factor(t, i)
        return abs(self.worth(i) - self.money_for(i, wanted, self.base(), raw_unit)) > rule * self.equity

    def decide(self, t):
        """Turn the targets of bar t into orders."""
        wishes, notes, asked = {}, {}, {}
        for i, a in enumerate(self.assets):
            close = float(self.bars.close[t, i])
            if not is_number(close):
                continue
            wanted = self.wanted(t, i)
            if not self.is_due(t, i, wanted):
                continue
            a.decided = wanted
            factor = self.factor(t, i)
            wishes[i] = self.units_for(i, wanted, self.base(), close * factor) * factor
            notes[i] = ""
            if self.account.kind == "cash" and wishes[i] < 0:
                notes[i] = TO_FLAT if a.position > 0 else NO_SHORT
                if notes[i] == NO_SHORT:
                    asked[i] = wishes[i]
                wishes[i] = 0.0
        share = self.shrink_to_leverage(t, wishes)
        quantities = {i: self.whole(t, i, asked.get(i, wish)) for i, wish in wishes.items()}
        refused = self.refuse_beyond_buying_power(t, wishes, notes, quantities)
        for i in wishes:
            self.place(t, i, quantities[i], notes[i], refused.get(i), share)

    def kept(self, i, wish):
        """Units of the position that the wish keeps."""
        position = self.assets[i].position
        return min(abs(position), abs(wish)) if position * wish > 0 else 0.0

    def whole(self, t, i, wish):
        """Units to order: whole raw lots, except when everything is closed; rounding noise is no order."""
        position = self.assets[i].position
        units = wish - position
        if abs(units) <= SAME * max(abs(wish), abs(position)):
            return 0.0
        if wish == 0 or not self.sizing.whole_units:
            return units
        return to_lot(units / self.factor(t, i), self.bars.instruments[i].lot) * self.factor(t, i)

    def shrink_to_leverage(self, t, wishes):
        """Cut what this bar adds by one common factor, so that gross value stays within max_leverage."""
        kept = added = 0.0
        for i, a in enumerate(self.assets):
            unit = a.last_close * self.multiplier(i)
            standing = a.position + (a.order["quantity"] if a.order else 0.0)
            wish = wishes.get(i, standing)
            stays = self.kept(i, wish) if i in wishes else abs(wish)
            kept += stays * unit
            added += (abs(wish) - stays) * unit
        limit = self.sizing.max_leverage * self.equity
        if added <= 0 or kept + added <= limit * (1 + SAME):
            return 1.0
        room = limit - kept
        share = room / added if room > SAME * limit else 0.0
        for i, wish in wishes.items():
            stays = self.kept(i, wish)
            if abs(wish) > stays:
                factor = self.factor(t, i)
                units = math.copysign(stays + (abs(wish) - stays) * share, wish) / factor
                lot = self.bars.instruments[i].lot
                wishes[i] = (to_lot(units, lot) if self.sizing.whole_units else units) * factor
        return share

    def refuse_beyond_buying_power(self, t, wishes, notes, quantities):
        """Reasons of the orders that the account cannot carry: exits are counted first."""
        gross, cash = 0.0, self.money
        for i, a in enumerate(self.assets):
            standing = a.position
            if i not in wishes and a.order:
                standing += a.order["quantity"]
                cash -= a.order["quantity"] * a.last_close * self.multiplier(i)
            gross += abs(standing) * a.last_close * self.multiplier(i)
        refused = {i: NO_SHORT for i in wishes if notes[i] == NO_SHORT}
        grows = {i: abs(wish) > self.kept(i, wish) for i, wish in wishes.items()}
        ranked = [i for i in wishes if not grows[i]] + self.in_turn(t, [i for i in wishes if grows[i]])
        for i in ranked:
            a, unit = self.assets[i], self.assets[i].last_close * self.multiplier(i)
            if i in refused:
                continue
            after = gross + (abs(wishes[i]) - abs(a.position)) * unit
            pay = self.estimate(t, i, quantities[i])
            if self.account.kind == "margin":
                short_of = after * self.account.initial_margin > self.equity * (1 + SAME)
            else:
                # Sized at the fill, an order is cut to the cash there is then.
                short_of = self.sizing.price == "decision" and pay > cash * (1 + SAME)
            if grows[i] and short_of:
                refused[i] = NO_POWER
                continue
            gross, cash = after, cash - pay
        return refused

    def in_turn(self, t, entries):
        """Entries of a bar in the order in which the account is asked for them."""
        return entries

    def estimate(self, t, i, quantity):
        """Cash that an order takes at its decision price, costs included."""
        if quantity == 0 or self.account.kind == "margin":
            return 0.0
        factor = self.factor(t, i)
        price = self.assets[i].last_close * (1 + math.copysign(sum(self.worse(i)), quantity))
        costs = sum(self.order_costs(t, i, quantity / factor, price * factor))
        return quantity * price * self.multiplier(i) + costs

    def place(self, t, i, quantity, note, refusal, share):
        a = self.assets[i]
        self.replace_standing(a)
        at_fill = self.sizing.price == "fill" and note == "" and a.decided != 0
        if refusal is None and quantity == 0 and not at_fill:
            return None
        order = {
            "number": len(self.orders),
            "bar": t,
            "asset": i,
            "target": a.decided,
            "quantity": quantity,
            "decision_price": a.last_close,
            "status": "open" if refusal is None else "rejected",
            "reason": note if refusal is None else refusal,
            "fill_bar": -1,
            "fill_price": math.nan,
        }
        self.orders.append(order)
        if refusal is None:
            a.order = order
            a.order_target, a.order_share = a.decided if note == "" else 0.0, share
        return order

    def replace_standing(self, a):
        if a.order is not None:
            a.order["status"] = "replaced"
            a.order = None

    # -- fills --------------------------------------------------------------------------------------------

    def fill_orders(self, t, prices):
        """Fill the standing orders whose asset has a price: exits, then entries in column order."""
        equity = self.money
        for i, a in enumerate(self.assets):
            price = float(prices[i]) if is_number(prices[i]) else a.last_close
            equity += a.position * price * self.multiplier(i)
        ready = [i for i, a in enumerate(self.assets) if a.order and is_number(prices[i]) and self.goes(t, i)]

        def only_reduces(i):
            quantity, position = self.assets[i].order["quantity"], self.assets[i].position
            return quantity * position < 0 and abs(quantity) <= abs(position)

        for i in [i for i in ready if only_reduces(i)] + [i for i in ready if not only_reduces(i)]:
            a = self.assets[i]
            order, reference = a.order, float(prices[i])
            quantity = order["quantity"]
            side = math.copysign(1, quantity if quantity != 0 else a.order_target)
            price = self.price_of(t, i, side, reference)
            if self.sizing.price == "fill":
                quantity = self.whole(t, i, self.wish_at_fill(t, i, equity, price, reference))
                if quantity * side < 0:
                    price = self.price_of(t, i, -side, reference)
            a.order = None
            order["quantity"] = quantity
            if quantity == 0:
                order["status"], order["reason"] = "cancelled", NOTHING
                continue
            self.execute(t, i, order, price, reference, "order")

    def goes(self, t, i):
        """Whether the standing order of an asset fills at the prices that are asked now."""
        return True

    def execute(self, t, i, order, price, reference, kind):
        """Fill an order as a whole, and charge what it costs."""
        order["status"], order["fill_bar"], order["fill_price"] = "filled", t, price
        paid = due = 0.0
        for units in self.charged_apart(i, order["quantity"]):
            factor = self.factor(t, i)
            costs = self.order_costs(t, i, units / factor, price * factor)
            paid, due = paid + costs[0], due + costs[1]
            self.month_units[self.group(i)] = self.month_units.get(self.group(i), 0.0) + abs(units / factor)
        self.book(t, i, order["quantity"], price, reference, paid, due, order["number"], kind)

    def charged_apart(self, i, quantity):
        """Parts of an order that are charged like orders of their own."""
        return [quantity]

    def wish_at_fill(self, t, i, equity, price, reference):
        """Position wanted when sized at the fill price: what the money for the target buys, costs included.

        The asset's own position counts at the fill price, so that all in leaves no cash.
        """
        a, s, factor, lot = self.assets[i], self.sizing, self.factor(t, i), self.bars.instruments[i].lot
        unit = price * factor * self.multiplier(i)
        equity += a.position * (price - reference) * self.multiplier(i)
        cash_account = self.account.kind == "cash"
        base = max(equity, 0.0) * (1 - self.account.buffer if cash_account else 1)
        wish = self.units_for(i, a.order_target, base, price * factor) * factor
        stays = self.kept(i, wish)
        if abs(wish) <= stays:
            return wish
        if s.fixed_units is not None:
            added = (abs(wish) - stays) / factor * a.order_share
            return math.copysign(stays + (to_lot(added, lot) if s.whole_units else added) * factor, wish)
        budget = (abs(self.money_for(i, a.order_target, base, unit)) - stays / factor * unit) * a.order_share
        if cash_account:
            whole, budget = budget, min(budget, self.money)
            if budget <= SAME * whole:
                return math.copysign(stays, wish)
        closing, side = (abs(a.position) - stays) / factor, math.copysign(1, wish)

        def fits(units):
            costs = sum(self.order_costs(t, i, side * (units + closing), price * factor))
            return units * unit + costs <= budget * (1 + 1e-13)

        most = max(budget, 0) / unit
        added = most_lots(most, lot, fits) if s.whole_units else most_units(most, fits)
        return side * (stays + added * factor)

    def book(self, t, i, quantity, price, reference, paid, due, order, kind):
        a, multiplier = self.assets[i], self.multiplier(i)
        self.money -= quantity * price * multiplier + paid + due
        a.position += quantity
        half_spread = self.half_spread(i, price, reference, kind, order)
        spread = abs(quantity) * reference * half_spread * multiplier
        self.fills.append(
            {
                "bar": t,
                "asset": i,
                "quantity": quantity,
                "price": price,
                "reference": reference,
                "commission": paid,
                "fees": due,
                "slippage": abs(quantity * (price - reference)) * multiplier - spread,
                "spread": spread,
                "order": order,
                "cash": self.money,
                "kind": kind,
            }
        )

    def half_spread(self, i, price, reference, kind, order):
        """Part of a fill's price that counts as half the spread, as a fraction."""
        return self.worse(i)[1] if kind == "order" else 0.0

    def close_delisted(self, t):
        for i in range(self.n):
            if 0 <= self.last_bar[i] == t - 1:
                self.close_out(t, i, ENDED, "delisted")

    def close_out(self, t, i, reason, kind):
        """Cancel the order and close the position at the last close, without cost."""
        a = self.assets[i]
        if a.order is not None:
            a.order["status"], a.order["reason"] = "cancelled", reason
            a.order = None
        a.decided = 0.0
        if a.position != 0:
            self.book(t, i, -a.position, a.last_close, a.last_close, 0.0, 0.0, -1, kind)

    # -- what came of it ----------------------------------------------------------------------------------

    def trades(self):
        """Round trips from flat to flat made from the fills, in order of their end; open ones last."""
        return fills_to_trades(self)

    def frame(self, rows, columns):
        """Frame of rows with bar numbers and columns as labels, as a `Result` gives them."""
        return rows_to_frame(self.bars, rows, columns)
