"""The chart of an asset's prices with the trades on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.report.decimate import thin
from quantlab.report.figures import Drawing, labels, layout, log_ticks, thinned, typed
from quantlab.report.palette import light
from quantlab.report.statistics import format_money, format_value

if TYPE_CHECKING:
    import pandas as pd

    from quantlab.report.content import ReportContent

__all__ = ["MAX_ASSETS", "asset_order", "price", "price_text", "quantity_text"]

MAX_ASSETS = 60
"""Most assets that get a chart: those with the most trades."""

MAX_CANDLES = 400
"""Most bars drawn with their open, high and low; beyond it the closes are a line."""

STEEP = 5.0
"""Highest over lowest close from which the chart has a log scale."""

RESULTS = (("Won", "gain"), ("Lost", "loss"), ("Open", "muted"))


def asset_order(content: ReportContent) -> list[str]:
    """Symbols that get a chart, in the order of the bars: all, or the `MAX_ASSETS` with the most trades."""
    symbols = list(content.prices)
    if len(symbols) <= MAX_ASSETS:
        return symbols
    counts = content.trades["symbol"].value_counts()
    busiest = sorted(symbols, key=lambda s: -int(counts.get(s, 0)))[:MAX_ASSETS]
    return [s for s in symbols if s in set(busiest)]


def quantity_text(quantity: float) -> str:
    """Units for a reader: whole where they are whole, else six places without trailing zeros."""
    text = f"{abs(quantity):,.6f}".rstrip("0").rstrip(".")
    return text or "0"


def price_text(price: float) -> str:
    """Price for a reader: four places, more for prices below 1."""
    return f"{price:,.4f}" if abs(price) >= 1.0 else f"{price:.6g}"


def trade_text(row: Any) -> str:
    """One trade in one line, from a row of the trades frame."""
    side = "long" if row.quantity > 0 else "short"
    end = "open, marked at" if row.open else "out at"
    into, out = price_text(row.entry_price), price_text(row.exit_price)
    return (
        f"{side} {quantity_text(row.quantity)}, in at {into}, {end} {out}<br>"
        f"pnl {format_money(row.pnl)} ({format_value(row.return_, 'percent')}), {row.bars_held:,.0f} bars"
    )


def _markers(trades: pd.DataFrame, name: str, role: str, size: int) -> list[dict[str, Any]]:
    """Entry and exit markers of trades with one result, joined by thin lines."""
    import pandas as pd

    entry, leave = (labels(pd.DatetimeIndex(trades[c])) for c in ("entry_time", "exit_time"))
    rows: list[Any] = list(trades.itertuples(index=False))
    path_x = [x for a, b in zip(entry, leave, strict=True) for x in (a, b, None)]
    path_y = [float(y) for r in rows for y in (r.entry_price, r.exit_price, np.nan)]
    closed = [k for k, r in enumerate(rows) if not r.open]
    said = [trade_text(r) for r in rows]
    up = ["triangle-up" if r.quantity > 0 else "triangle-down" for r in rows]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": path_x,
            "y": typed(np.array(path_y)),
            "line": {"color": light(role), "width": 1.2, "dash": "dot"},
            "hoverinfo": "skip",
            "showlegend": False,
            "legendgroup": name,
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "legendgroup": name,
            "x": entry + [leave[k] for k in closed],
            "y": typed(np.array([r.entry_price for r in rows] + [rows[k].exit_price for k in closed])),
            "text": [f"{name}: {s}" for s in said] + [f"{name}: {said[k]}" for k in closed],
            "hovertemplate": "%{text}<extra></extra>",
            "cliponaxis": False,
            "marker": {
                "symbol": up + ["circle"] * len(closed),
                "size": [size] * len(rows) + [size - 3] * len(closed),
                "color": light(role),
                "line": {"width": 1, "color": light("surface")},
            },
        },
    ]


def _price_trace(frame: pd.DataFrame, limit: int, n_assets: int) -> dict[str, Any]:
    index: Any = frame.index
    if len(frame) <= MAX_CANDLES // (1 if n_assets <= 20 else 4):
        return {
            "type": "candlestick",
            "name": "Price",
            "x": labels(index),
            **{k: typed(frame[k].to_numpy(np.float64)) for k in ("open", "high", "low", "close")},
            "increasing": {"line": {"color": light("bar_down"), "width": 1}, "fillcolor": light("bar_up")},
            "decreasing": {"line": {"color": light("bar_down"), "width": 1}, "fillcolor": light("bar_down")},
            "showlegend": False,
            "hoverlabel": {"split": False},
        }
    close = frame["close"].to_numpy(np.float64)
    rows = thin(close, limit)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Close",
        "x": labels(index[rows]),
        "y": typed(close[rows]),
        "line": {"color": light("price"), "width": 1.2},
        "hovertemplate": "%{x}<br>close %{y:,.6~g}<extra></extra>",
        "showlegend": False,
    }


def price(content: ReportContent, symbol: str) -> Drawing:
    """Draw the prices of one asset with its trades: entries, exits, coloured by result.

    With many assets each chart gets fewer points and trades, so that the file stays small; the caption says
    so.
    """
    n_assets = min(len(content.prices), MAX_ASSETS)
    limit = int(np.clip(48_000 // n_assets, 400, 4000))
    most = int(np.clip(12_000 // n_assets, 100, 1000))
    frame = content.prices[symbol].dropna(subset=["close"])
    trades = content.trades[content.trades["symbol"] == symbol]
    n_trades, n_won = len(trades), int((trades["pnl"] > 0).sum())
    if n_trades > most:
        largest = trades["pnl"].abs().sort_values(ascending=False, kind="stable").index[:most]
        trades = trades[trades.index.isin(largest)]
    is_open = trades["open"].astype(bool)
    won = trades["pnl"] > 0
    data = [_price_trace(frame, limit, n_assets)]
    for (name, role), member in zip(RESULTS, (won & ~is_open, ~won & ~is_open, is_open), strict=True):
        if member.any():
            data += _markers(trades[member], name, role, 11 if len(trades) <= 100 else 8)
    drawn_as_line = data[0]["type"] == "scatter"
    caption = "▲ long entry, ▼ short entry, ● exit, at the fill prices; colour says how the trade ended."
    if n_trades > most:
        caption += f" Shown are the {most:,} trades with the largest gain or loss of {n_trades:,}."
    if drawn_as_line:
        caption += " The line joins the closes." + thinned(len(frame), limit)
    close = frame["close"].to_numpy(np.float64)
    steep = bool(close.size > 0 and close.max() > STEEP * close.min())
    caption += " Log scale." if steep else ""
    index: Any = frame.index
    more: dict[str, Any] = {"rangeslider": {"visible": False}}
    if not drawn_as_line and index.tz is None and not (index.day_of_week >= 5).any():
        more["rangebreaks"] = [{"bounds": ["sat", "mon"]}]
    return Drawing(
        {
            "data": data,
            "layout": layout(
                content.index,
                showlegend=n_trades > 0,
                hovermode="closest",
                margin={"t": 34},
                xaxis=more,
                yaxis={
                    "tickformat": ",~r",
                    **({"type": "log", **log_ticks(close.min(), close.max())} if steep else {}),
                },
            ),
        },
        caption,
        f"{n_trades:,} trades, {n_won:,} of them with a gain.",
        400,
    )
