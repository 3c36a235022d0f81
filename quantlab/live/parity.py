"""Parity: at every bar, did live decide what the backtest decides; and where fills differ, by what.

The comparison trusts nothing that the runner says of itself. Orders and fills are those that the gateway received and
made; the live book is reckoned again from them; the signals are those of one pass over the whole history.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.backtest import backtest
from quantlab.live.attribution import EngineFill, Gap, attribute, engine_fills, last_closes
from quantlab.live.book import ORDER, REST
from quantlab.live.decision import Sizer, bars_to_wish
from quantlab.live.expected import Expectation, expected_targets, order_text
from quantlab.live.replay import Replay, period, replay, served_bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.backtest import Wish
    from quantlab.engine.result import Result
    from quantlab.live.bundle import Bundle

__all__ = ["DecisionRow", "Difference", "ParityReport", "compare", "run_parity"]

MONEY_TOLERANCE = 1e-9
"""Relative difference up to which two sums of the same money are equal: they are added in another order."""

SHOWN = 20
"""Differences that a report lists."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not what it should be.

    Parameters
    ----------
    what : str
        ``"signal"``, ``"target"``, ``"order"``, ``"time"``, ``"position"``, ``"cash"``, ``"missing decision"``,
        ``"foreign order"``, ``"fill"``, ``"equity"``.
    time_ns : int
        The bar.
    symbol : str
        The asset; empty where it is about all of them.
    live, expected : str
        What was seen, and what should have been.
    """

    what: str
    time_ns: int
    symbol: str
    live: str
    expected: str

    def __str__(self) -> str:
        when = str(np.datetime64(self.time_ns, "ns"))[:16]
        return f"{when} {self.symbol or '-'}: {self.what} is {self.live}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One bar of one asset, as live decided it and as it should have been."""

    time_ns: int
    symbol: str
    signal: float
    target: float
    position: float
    order: float
    live_signal: float
    live_target: float
    live_order: float

    @property
    def equal(self) -> bool:
        """Whether all three agree exactly (NaN equals NaN)."""
        pairs = (
            (self.signal, self.live_signal),
            (self.target, self.live_target),
            (self.order, self.live_order),
        )
        return all(a == b or (a != a and b != b) for a, b in pairs)  # noqa: PLR0124  # NaN differs from itself


@dataclass(frozen=True)
class ParityReport:
    """What a replay through runner, `ibapi`, socket and gateway showed.

    Parameters
    ----------
    bundle : str
        Which bundle, in one line.
    fills : {"bars", "quotes"}
        How the gateway filled.
    client : str
        Which `ibapi` was used, and the protocol version that was spoken.
    first, last : str
        First and last bar decided.
    n_bars, n_assets : int
        What was compared.
    rows : list of DecisionRow
        Every bar of every asset.
    differences : list of Difference
        Of decisions: empty if they are equal at every bar.
    fill_differences : list of Difference
        Of fills and equity, in ``bars`` mode; in ``quotes`` mode fills may differ, and `gap` says by what.
    n_orders, n_fills : int
        What the gateway received and made.
    live_pnl, backtest_pnl : float
        Money, marked at the last close.
    gap : Gap
        What the difference of the two is made of.
    seconds : float
        What the replay took.
    n_held_back : int
        Orders that the bundle's limits, a freeze or a halt held back: each of them is a difference.
    """

    bundle: str
    fills: str
    client: str
    first: str
    last: str
    n_bars: int
    n_assets: int
    rows: list[DecisionRow] = field(repr=False)
    differences: list[Difference]
    fill_differences: list[Difference]
    n_orders: int
    n_fills: int
    live_pnl: float
    backtest_pnl: float
    gap: Gap
    seconds: float
    n_held_back: int = 0

    @property
    def decisions_equal(self) -> bool:
        """Whether every decision was what it should be, at every bar and for every asset."""
        return not self.differences and self.n_bars > 0

    @property
    def fills_equal(self) -> bool:
        """Whether fills and equity are those of the backtest."""
        return not self.fill_differences

    @property
    def ok(self) -> bool:
        """The claim: decisions equal; fills too where the gateway fills by the engine's rule; no unexplained gap."""
        return self.decisions_equal and (self.fills == "quotes" or self.fills_equal) and self.gap.closes

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the rows."""
        return {
            "bundle": self.bundle,
            "ok": self.ok,
            "fills": self.fills,
            "client": self.client,
            "first": self.first,
            "last": self.last,
            "n_bars": self.n_bars,
            "n_assets": self.n_assets,
            "n_decisions": len(self.rows),
            "decisions_equal": self.decisions_equal,
            "fills_equal": self.fills_equal,
            "differences": [str(d) for d in self.differences[:SHOWN]],
            "n_differences": len(self.differences),
            "fill_differences": [str(d) for d in self.fill_differences[:SHOWN]],
            "n_orders": self.n_orders,
            "n_fills": self.n_fills,
            "n_held_back": self.n_held_back,
            "live_pnl": self.live_pnl,
            "backtest_pnl": self.backtest_pnl,
            "gap": self.gap.to_dict(),
            "seconds": self.seconds,
        }


def compare(bundle: Bundle, bars: Bars, done: Replay) -> ParityReport:
    """Compare a replay with the backtest.

    Parameters
    ----------
    bundle : Bundle
        What was run.
    bars : Bars
        The whole history that the gateway served, up to the last bar that was decided.
    done : Replay
        What the gateway received and made, and what the journal says.
    """
    first = int(np.searchsorted(bars.time, done.first_ns))
    wish = bars_to_wish(bundle, bars)
    raw, effective = expected_targets(wish, bars, first, bundle.terms.join)
    window = bars.take(slice(first, bars.n_bars))
    rows, differences = _decisions(bundle, bars, first, raw=raw, effective=effective, replay=done, wish=wish)
    result = backtest(
        replace(wish.rows(slice(first, bars.n_bars)), target=effective),
        window,
        cash=bundle.terms.cash,
        costs=bundle.terms.costs,
        sizing=bundle.terms.sizing,
        account=bundle.terms.account,
    )
    live_pnl = _live_pnl(window, done)
    backtest_pnl = float(result.equity.iloc[-1]) - bundle.terms.cash
    return ParityReport(
        bundle=str(bundle),
        fills=done.fills,
        client=done.client,
        first=_label(window, 0),
        last=_label(window, -1),
        n_bars=window.n_bars,
        n_assets=window.n_assets,
        rows=rows,
        differences=differences,
        fill_differences=_fill_differences(window, result, done, live_pnl - backtest_pnl),
        n_orders=len(done.orders),
        n_fills=len(done.executions),
        live_pnl=live_pnl,
        backtest_pnl=backtest_pnl,
        gap=attribute(window, result, done, live_pnl - backtest_pnl),
        seconds=done.seconds,
        n_held_back=done.n_held_back,
    )


def run_parity(
    bundle: Bundle, *, fills: str = "bars", start: Any = None, end: Any = None, **options: Any
) -> ParityReport:
    """Replay a period and compare it with the backtest; parameters as in `replay`."""
    bars = served_bars(bundle)
    _, last = period(bars, start, end)
    done = replay(bundle, bars, fills=fills, start=start, end=end, **options)
    return compare(bundle, bars.take(slice(0, last + 1)), done)


def _label(bars: Bars, row: int) -> str:
    """Date of a daily bar, date and time of a shorter one."""
    return str(bars.index[row])[: 16 if bars.intraday else 10]


def _decisions(
    bundle: Bundle,
    bars: Bars,
    first: int,
    *,
    raw: NDArray[np.float64],
    effective: NDArray[np.float64],
    replay: Replay,
    wish: Wish,
) -> tuple[list[DecisionRow], list[Difference]]:
    """Walk over the bars: the live book from the gateway's fills, the engine's order for it, and what came instead."""
    expectation = Expectation(bars, wish, replay, Sizer(bundle.terms, bars))
    symbols, n = bars.symbols, bars.n_assets
    last_close = np.zeros(n)
    rows: list[DecisionRow] = []
    found: list[Difference] = []
    for t in range(bars.n_bars):
        close = bars.close[t]
        last_close = np.where(np.isnan(close), last_close, close)
        if t < first:
            continue
        k, time_ns = t - first, int(bars.time[t])
        quantity, shapes, position = expectation.decide(t, effective[k], last_close, bundle.terms.cash)
        received = replay.orders_of(time_ns)
        said = replay.decisions.get(time_ns)
        if said is None:
            found.append(Difference("missing decision", time_ns, "", "none", "one a bar"))
        for i, symbol in enumerate(symbols):
            asset = said["assets"][symbol] if said else {}
            ours = [o for o in received if o.symbol == symbol and replay.leg_of(o.order_ref) != REST]
            wanted = expectation.orders(
                t, i, float(quantity[i]), float(position[i]), shapes[i] if shapes else None
            )
            sent = sum(o.quantity for o in ours if replay.part_of(o.order_ref) == ORDER)
            row = DecisionRow(
                time_ns, symbol, float(raw[k, i]), float(effective[k, i]), float(position[i]), float(quantity[i]),
                _number(asset.get("signal")), _number(asset.get("target")), float(sent),
            )  # fmt: skip
            rows.append(row)
            found += _row_differences(row, ours, wanted, known=said is not None)
        found += _book_differences(time_ns, said, symbols, position, expectation.cash)
    known = {int(x) for x in bars.time[first:]}
    found += [
        Difference(
            "foreign order", o.time_ns, o.symbol, f"{o.quantity:+g} ({o.order_ref})", "an order of a bar"
        )
        for o in replay.orders
        if replay.bar_of(o.order_ref) not in known
    ]
    found += [
        Difference("order", o.time_ns, o.symbol, f"{o.quantity:+g} ({o.order_ref})", wrong)
        for o, wrong in expectation.rests()
        if wrong
    ]
    return rows, found


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _row_differences(
    row: DecisionRow, orders: list[Any], wanted: dict[str, tuple[float, str]], *, known: bool
) -> Iterator[Difference]:
    if known:
        for what, live, expected in (
            ("signal", row.live_signal, row.signal),
            ("target", row.live_target, row.target),
        ):
            if live != expected and not (live != live and expected != expected):  # noqa: PLR0124  # NaN
                yield Difference(what, row.time_ns, row.symbol, f"{live!r}", f"{expected!r}")
    if row.live_order != row.order or sorted(o.order_ref for o in orders) != sorted(wanted):
        seen = ", ".join(f"{o.quantity:+g}" for o in orders) or "none"
        due = ", ".join(f"{units:+g}" for units, _ in wanted.values()) or "none"
        yield Difference("order", row.time_ns, row.symbol, seen, due)
    for order in orders:
        units, text = wanted.get(order.order_ref, (0.0, order_text(order)))
        # How many units a protective order covers changes with what is held: its fills are compared.
        if order_text(order) != text or (
            Replay.part_of(order.order_ref) == ORDER and units not in {0.0, order.quantity}
        ):
            sent = f"{order.quantity:+g} {order_text(order)}"
            yield Difference("order", row.time_ns, row.symbol, sent, f"{units:+g} {text}")
    for order in orders:
        if order.time_ns != row.time_ns:
            when = str(np.datetime64(order.time_ns, "ns"))[:19]
            yield Difference("time", row.time_ns, row.symbol, f"sent at {when}", "sent at the bar's close")


def _book_differences(
    time_ns: int, said: Any, symbols: tuple[str, ...], position: NDArray[np.float64], cash: float
) -> Iterator[Difference]:
    """Compare the book that a decision was made with, as journaled, and the gateway's fills."""
    if said is None:
        return
    for i, symbol in enumerate(symbols):
        held = said["assets"][symbol]["position"]
        if held != position[i]:
            yield Difference("position", time_ns, symbol, f"{held:g}", f"{position[i]:g}")
    if abs(said["cash"] - cash) > MONEY_TOLERANCE * max(1.0, abs(cash)):
        yield Difference("cash", time_ns, "", f"{said['cash']!r}", f"{cash!r}")


def _live_pnl(window: Bars, replay: Replay) -> float:
    """Profit of the gateway's fills, marked at the last closes."""
    marks = last_closes(window)
    total = 0.0
    for fill in replay.executions:
        i = window.column(fill.symbol)
        unit = window.instruments[i].multiplier
        total += fill.quantity * (marks[i] - fill.price) * unit - fill.commission
    return total


def _fill_differences(window: Bars, result: Result, replay: Replay, gap: float) -> list[Difference]:
    """Compare fills of the backtest with those of the gateway, by decision bar and asset."""
    found: list[Difference] = []
    live = replay.executions_by_decision()
    expected = engine_fills(window, result)
    for key in sorted(live.keys() | expected.keys()):
        ours, theirs = live.get(key, []), expected.get(key)
        if not _same_fill(ours, theirs):
            found.append(Difference("fill", key[0], key[1], _live_text(ours), _engine_text(theirs)))
    scale = max(abs(float(result.equity.iloc[-1])), 1.0)
    if abs(gap) > MONEY_TOLERANCE * scale:
        found.append(Difference("equity", int(window.time[-1]), "", f"off by {gap!r}", "the same"))
    return found


def _same_fill(ours: list[Any], theirs: EngineFill | None) -> bool:
    """Whether an order was filled by the same units, at the same price to the bit, for the same commission.

    A reversal of a protected position is two orders, whose fills are taken together; nothing else fills in parts here.
    """
    if theirs is None or not ours or len({f.order_ref for f in ours}) != len(ours):
        return False
    paid, units = sum(f.commission for f in ours), sum(f.quantity for f in ours)
    cost = abs(paid - theirs.cost) <= MONEY_TOLERANCE * max(1.0, theirs.cost)
    return bool(cost and units == theirs.quantity and {f.price for f in ours} == {theirs.price})


def _live_text(fills: list[Any]) -> str:
    return ", ".join(f"{f.quantity:+g} @ {f.price!r} for {f.commission:.6g}" for f in fills) or "none"


def _engine_text(fill: EngineFill | None) -> str:
    return "none" if fill is None else f"{fill.quantity:+g} @ {fill.price!r} for {fill.cost:.6g}"
