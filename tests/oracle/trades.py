"""What a twin did, as tables: its rows as frames, and round trips from its fills, one fill after the other."""

from __future__ import annotations

import math

import pandas as pd


def rows_to_frame(bars, rows, columns):
    """Frame of rows with bar numbers and columns as labels, as a `Result` gives them."""
    frame = pd.DataFrame(rows, columns=columns)
    for name in [c for c in columns if c in ("bar", "fill_bar", "entry_bar", "exit_bar")]:
        frame[name] = [bars.index[b] if b >= 0 else pd.NaT for b in frame[name]]
    frame["asset"] = [bars.symbols[k] for k in frame["asset"]]
    names = {"bar": "time", "asset": "symbol"} | {f"{k}_bar": f"{k}_time" for k in ("fill", "entry", "exit")}
    return frame.rename(columns=names)


def fills_to_trades(twin):
    """Trades of a twin: every fill and every borrow charge goes into the running trade of its asset."""
    closed, running = [], [None] * twin.n
    events = [(b["bar"], 0, b) for b in twin.borrowed] + [(f["bar"], 1, f) for f in twin.fills]
    for bar, kind, event in sorted(events, key=lambda e: e[:2]):  # stable: fills of a bar stay in order
        i = event["asset"]
        if kind == 0:
            running[i]["pnl"] -= event["money"]
            continue
        left, multiplier = event["quantity"], twin.multiplier(i)
        while left != 0:
            trade = running[i]
            if trade is None:
                trade = running[i] = {
                    "asset": i, "entry_bar": bar, "exit_bar": -1, "quantity": 0.0, "held": 0.0, "in": 0.0, "out": 0.0,
                    "pnl": 0.0, "commission": 0.0, "fees": 0.0, "open": False,
                }  # fmt: skip
            closes = trade["held"] * left < 0
            part = math.copysign(min(abs(left), abs(trade["held"])), left) if closes else left
            share, value = part / event["quantity"], abs(part) * event["price"] * multiplier
            trade["held"] += part
            trade["quantity"] += 0.0 if closes else part
            trade["out" if closes else "in"] += value
            trade["commission"] += event["commission"] * share
            trade["fees"] += event["fees"] * share
            trade["pnl"] -= math.copysign(value, part) + (event["commission"] + event["fees"]) * share
            left = event["quantity"] - part if closes and abs(part) < abs(left) else 0.0
            if trade["held"] == 0:
                trade["exit_bar"] = bar
                closed.append(trade)
                running[i] = None
    last = len(twin.equity_series) - 1
    still_open = []
    for i, trade in enumerate(running):
        if trade is not None:
            value = trade["held"] * twin.assets[i].last_close * twin.multiplier(i)
            trade |= {
                "exit_bar": last,
                "open": True,
                "pnl": trade["pnl"] + value,
                "out": trade["out"] + abs(value),
            }
            still_open.append(trade)
    for trade in closed + still_open:
        size = abs(trade["quantity"]) * twin.multiplier(trade["asset"])
        trade["entry_price"], trade["exit_price"] = trade["in"] / size, trade["out"] / size
        trade["return_"] = trade["pnl"] / trade["in"]
        trade["bars_held"] = trade["exit_bar"] - trade["entry_bar"]
    return closed + still_open
