"""Figures of a report, as Plotly understands them: plain data, so that drawing needs no import of Plotly.

Each function returns a `Drawing`; `figure` makes a Plotly figure of one, for a notebook.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.report.decimate import thin
from quantlab.report.palette import FONT, light
from quantlab.report.statistics import STATISTICS, format_money, format_value

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.report.content import ReportContent

__all__ = [
    "MAX_POINTS",
    "Drawing",
    "costs",
    "distribution",
    "drawdown",
    "equity",
    "exposure",
    "figure",
    "labels",
    "monthly",
    "monthly_returns",
    "overview",
    "typed",
]

MAX_POINTS = 4000
"""Most points of one line; beyond it every extreme is kept and the caption says so."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Drawing:
    """One figure with what a reader needs beside it.

    Parameters
    ----------
    spec : dict
        ``data`` and ``layout`` of Plotly.
    caption : str
        What the eye cannot see: conventions, and what was left out. Plain text.
    summary : str
        The figure in one sentence, for a reader who does not see it. Plain text.
    height : int
        Height in pixels on a wide screen.
    """

    spec: dict[str, Any]
    caption: str
    summary: str
    height: int = 240


def typed(values: NDArray[Any]) -> dict[str, str]:
    """Numbers as Plotly's typed array: exact, and half as long as text."""
    data = np.ascontiguousarray(values, "<f8")
    return {"dtype": "f8", "bdata": base64.b64encode(data.tobytes()).decode("ascii")}


def labels(index: pd.DatetimeIndex) -> list[str]:
    """Labels as text: dates where all are midnights without a zone, else times in their own zone."""
    dated = index.tz is None and bool((index == index.normalize()).all())
    stamps = index.tz_localize(None).to_numpy()
    return [str(s) for s in np.datetime_as_string(stamps.astype("M8[D]" if dated else "M8[s]"))]


def layout(index: pd.DatetimeIndex | None = None, **more: Any) -> dict[str, Any]:
    """Layout that all figures share; with an index, on an axis of time."""
    axis: dict[str, Any] = {
        "showgrid": False,
        "zeroline": False,
        "showline": True,
        "linecolor": light("rule"),
        "tickcolor": light("rule"),
        "ticks": "outside",
        "ticklen": 4,
    }
    if index is not None:
        axis |= {"type": "date", "hoverformat": "%d %b %Y" if index.tz is None else "%d %b %Y %H:%M"}
        if len(index) > 1:
            axis["range"] = labels(index[[0, -1]])
        if index.tz is not None:
            axis["title"] = {"text": str(index.tz), "font": {"size": 11, "color": light("muted")}}
    base: dict[str, Any] = {
        "font": {"family": FONT, "size": 12, "color": light("muted")},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 58, "r": 10, "t": 12, "b": 30 if index is None or index.tz is None else 46},
        "autosize": True,
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": light("surface"),
            "bordercolor": light("rule"),
            "font": {"color": light("ink")},
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"color": light("ink")}},
        "xaxis": axis,
        "yaxis": {"gridcolor": light("grid"), "zeroline": False, "ticklabelstandoff": 4},
    }
    for key, value in more.items():
        base[key] = {**base.get(key, {}), **value} if isinstance(value, dict) else value
    return base


def line(series: pd.Series[float], role: str, name: str, shown: str, **more: Any) -> dict[str, Any]:
    """Line through a series, thinned where it is long; `shown` is the format of its values on hover."""
    values = np.asarray(series, np.float64)
    index: Any = series.index
    rows = thin(values, MAX_POINTS)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": labels(index[rows]),
        "y": typed(values[rows]),
        "line": {"color": light(role), "width": 1.6},
        "hovertemplate": f"%{{y:{shown}}}",
        **more,
    }


def thinned(n_bars: int, limit: int = MAX_POINTS) -> str:
    """Say in a caption that a line was thinned; nothing where all bars are drawn."""
    if n_bars <= limit:
        return ""
    return (
        f" Drawn with at most {limit:,} of {n_bars:,} points: the first, lowest, highest and last of each "
        "stretch, so every extreme is there."
    )


def shortened(name: str, most: int = 32) -> str:
    """Cut a name to what a legend has room for, and start it with a capital."""
    name = name[:1].upper() + name[1:]
    return name if len(name) <= most else name[: most - 1] + "…"


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Step of the ticks of a log axis: 1, 2, 5 or only powers of ten where more would overlap."""
    ratio = high / low if low > 0.0 else 1.0
    if ratio < 4.0:
        return {}
    return {"dtick": "D2" if ratio < 300.0 else 1}


def equity(content: ReportContent) -> Drawing:
    """Equity against the benchmark, in money."""
    first, last = content.cash, float(content.equity.iloc[-1])
    hold = float(content.benchmark.iloc[-1])
    top = max(float(content.equity.max()), float(content.benchmark.max()))
    low = min(float(content.equity.min()), float(content.benchmark.min()))
    data = [
        line(content.benchmark, "benchmark", escape(shortened(content.benchmark_name)), ",.0f"),
        line(content.equity, "gain", "Strategy", ",.0f"),
    ]
    data[1]["line"]["width"] = 2.2
    return Drawing(
        {
            "data": data,
            "layout": layout(
                content.index,
                showlegend=True,
                margin={"t": 34},
                meta={"log": log_ticks(low, top)},
                legend={"traceorder": "reversed"},
                yaxis={"tickformat": ",~r" if top < 1e6 else "~s"},
            ),
        },
        f"{content.currency}, at each bar's close, after all costs; {content.benchmark_inline} "
        "without costs." + thinned(content.n_bars),
        f"Equity goes from {format_money(first, 0)} to {format_money(last, 0)} {content.currency}; "
        f"{content.benchmark_inline} ends at {format_money(hold, 0)}.",
        430,
    )


def drawdown(content: ReportContent) -> Drawing:
    """Fall from the running peak."""
    values = content.drawdown
    worst = float(values.min())
    trace = line(values, "loss", "Drawdown", ".2%", fill="tozeroy", fillcolor=light("loss_soft"))
    trace["line"]["width"] = 1.2
    return Drawing(
        {
            "data": [trace],
            "layout": layout(content.index, yaxis={"tickformat": ".0%", "rangemode": "tozero"}),
        },
        "Fall from the highest equity so far." + thinned(content.n_bars),
        f"The deepest drawdown is {format_value(worst, 'percent')}, on {str(values.idxmin())[:10]}.",
        190,
    )


def exposure(content: ReportContent) -> Drawing:
    """Gross position value over equity."""
    values = content.exposure
    trace = line(values, "exposure", "Exposure", ".1%", fill="tozeroy", fillcolor=light("exposure_soft"))
    trace["line"] = {"color": light("exposure"), "width": 1.0, "shape": "hv"}
    mean = float(np.nanmean(values.to_numpy(np.float64))) if values.notna().any() else float("nan")
    return Drawing(
        {
            "data": [trace],
            "layout": layout(content.index, yaxis={"tickformat": ".0%", "rangemode": "tozero"}),
        },
        "Gross position value / equity, at each bar's close." + thinned(content.n_bars),
        f"Mean exposure is {format_value(mean, 'percent')}, the highest "
        f"{format_value(float(values.max()), 'percent')}.",
        160,
    )


def monthly_returns(content: ReportContent) -> tuple[list[int], NDArray[np.float64]]:
    """Compute returns by calendar month of the labels.

    Returns
    -------
    years : list of int
        Every year from the first to the last.
    returns : ndarray of shape (n_years, 13)
        January to December, then the whole year; NaN for a month without a bar. The first month is taken
        against the starting cash, so the months of a year compound to the year.
    """
    years = content.index.year.to_numpy()
    months = content.index.month.to_numpy()
    values = content.equity.to_numpy(np.float64)
    table = np.full((int(years[-1]) - int(years[0]) + 1, 13), np.nan)
    for group, column in ((years * 12 + months, months - 1), (years, np.full_like(months, 12))):
        ends = np.flatnonzero(np.diff(group, append=group[-1] + 1))
        before = np.concatenate([[content.cash], values[ends[:-1]]])
        table[years[ends] - years[0], column[ends]] = (
            values[ends] / np.where(before > 0.0, before, np.nan) - 1.0
        )
    return list(range(int(years[0]), int(years[-1]) + 1)), table


def monthly(content: ReportContent) -> Drawing:
    """Heat map of monthly returns, with the year at the right."""
    years, table = monthly_returns(content)
    z = np.insert(table, 12, np.nan, axis=1)
    top = float(np.nanmax(np.abs(table[:, :12]), initial=0.01))
    scale = ((0.0, "loss_mid"), (0.5, "surface"), (1.0, "gain_mid"))
    known = table[:, :12][np.isfinite(table[:, :12])]
    trace = {
        "type": "heatmap",
        "x": [*MONTHS, " ", "Year"],
        "y": [str(y) for y in years],
        "z": [[None if not np.isfinite(v) else float(v) for v in row] for row in z],
        "text": [["" if not np.isfinite(v) else format_money(100.0 * v, 1) for v in row] for row in z],
        "texttemplate": "%{text}",
        "textfont": {"color": light("ink")},
        "hovertemplate": "%{x} %{y}: %{z:.2%}<extra></extra>",
        "hoverongaps": False,
        "colorscale": [[at, light(role)] for at, role in scale],
        "zmin": -top,
        "zmax": top,
        "showscale": False,
        "xgap": 3,
        "ygap": 3,
    }
    plain = {"showgrid": False, "ticks": "", "showline": False, "zeroline": False, "fixedrange": True}
    return Drawing(
        {
            "data": [trace],
            "layout": layout(
                hovermode="closest",
                font={"size": 11},
                margin={"l": 44, "r": 0, "t": 26, "b": 2},
                xaxis={**plain, "side": "top", "type": "category"},
                yaxis={**plain, "autorange": "reversed", "type": "category"},
            ),
        },
        "Percent, by the month of each bar's label; the months of a year compound to the year. The first and "
        "the last may be incomplete.",
        f"{int((known > 0.0).sum())} of {known.size} months gained; best "
        f"{_percent(known.max(initial=-np.inf))}, worst {_percent(known.min(initial=np.inf))}.",
        28 + 31 * len(years),
    )


def _percent(value: float) -> str:
    return format_value(float(value), "percent")


LEAST_SPAN = 1e-12
"""Span of the histogram for returns that are nothing but rounding noise."""


def histogram_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of equal bins that hold all values, with 0 among them, so that no bin mixes gains and losses.

    The width is that of Freedman and Diaconis (1981), kept between 1/120 and 1/15 of the span.
    """
    if values.size == 0:
        return np.array([-0.01, 0.0, 0.01])
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    lower, upper = np.quantile(values, [0.25, 0.75])
    span = max(high - low, LEAST_SPAN)
    width = float(np.clip(2.0 * (upper - lower) / values.size ** (1 / 3), span / 120, span / 15))
    # One more at each end, since a rounded edge may fall short of the extreme.
    steps = np.arange(np.floor(low / width) - 1, np.ceil(high / width) + 2)
    return np.asarray(steps * width)


def distribution(content: ReportContent) -> Drawing:
    """Histogram of the bar returns that are not zero, with the tail statistics marked."""
    returns = content.returns
    moved = returns[np.isfinite(returns) & (returns != 0.0)]
    edges = histogram_edges(moved)
    counts, _ = np.histogram(moved, edges)
    centres = (edges[1:] + edges[:-1]) / 2.0
    marks = [
        (k, content.stats[k]) for k in ("var_95", "cvar_95") if np.isfinite(content.stats.get(k, np.nan))
    ]
    trace = {
        "type": "bar",
        "x": typed(centres),
        "y": typed(counts),
        "width": typed(np.diff(edges)),
        "marker": {
            "color": [light("loss" if c < 0 else "gain") for c in centres],
            "line": {"width": 0.5, "color": light("surface")},
        },
        "hovertemplate": "%{x:.2%}: %{y:,} bars<extra></extra>",
    }
    shapes = [
        {
            "type": "line",
            "x0": value,
            "x1": value,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": light("ink"), "width": 1, "dash": "dot" if key == "var_95" else "dash"},
        }
        for key, value in marks
    ]
    return Drawing(
        {
            "data": [trace],
            "layout": layout(
                hovermode="closest",
                bargap=0,
                shapes=shapes,
                xaxis={"tickformat": ".1~%"},
                yaxis={"tickformat": ",d", "rangemode": "tozero"},
            ),
        },
        f"Bars by their return; {content.n_bars - moved.size:,} of {content.n_bars:,} bars with a return of "
        "exactly 0 are left out."
        + "".join(
            f" {'Dotted' if k == 'var_95' else 'Dashed'}: {STATISTICS[k].label.lower()}, {_percent(v)}."
            for k, v in marks
        ),
        f"{moved.size:,} bars with a return, {int((moved > 0.0).sum()):,} of them above zero.",
        280,
    )


def costs(content: ReportContent) -> Drawing:
    """Money by cost component, largest first."""
    paid = sorted(((k, v) for k, v in content.costs.items() if v != 0.0), key=lambda item: item[1])
    total = content.total_cost
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [STATISTICS[k].label for k, _ in paid],
        "x": [v for _, v in paid],
        "text": [f"{format_money(v)} ({_percent(v / total) if total > 0.0 else '–'})" for _, v in paid],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": light("gain")},
        "textfont": {"color": light("ink")},
        "hoverinfo": "skip",
    }
    values = [0.0, *(v for _, v in paid)]
    low, high = min(values), max(values)
    # Room for the text beyond the longest bar, on each side that has one.
    room = 0.9 * (high - low) or 1.0
    return Drawing(
        {
            "data": [trace],
            "layout": layout(
                hovermode=False,
                bargap=0.5,
                margin={"l": 112, "t": 4, "b": 4},
                xaxis={"visible": False, "range": [low - (room if low < 0.0 else 0.0), high + room]},
                yaxis={
                    "ticks": "",
                    "tickfont": {"color": light("ink"), "size": 13},
                    "ticklabelstandoff": 8,
                    "showgrid": False,
                    "fixedrange": True,
                },
            ),
        },
        f"{content.currency}, and share of all costs." if paid else "No cost was charged.",
        f"Costs of {format_money(total)} {content.currency} in all.",
        280,
    )


def figure(drawing: Drawing) -> Any:
    """Make a Plotly figure of a drawing, in light colours (imports Plotly)."""
    import plotly.graph_objects as go

    return go.Figure(drawing.spec).update_layout(height=drawing.height, template="none")


def overview(content: ReportContent) -> Any:
    """Draw equity, drawdown and exposure on one axis of time, as a Plotly figure (imports Plotly)."""
    import plotly.graph_objects as go

    domains = {"y": [0.46, 1.0], "y2": [0.2, 0.42], "y3": [0.0, 0.16]}
    combined = go.Figure(equity(content).spec)
    for axis, drawing in (("y2", drawdown(content)), ("y3", exposure(content))):
        combined.add_traces([{**trace, "yaxis": axis, "showlegend": False} for trace in drawing.spec["data"]])
        combined.update_layout(
            {f"yaxis{axis[1:]}": {**drawing.spec["layout"]["yaxis"], "domain": domains[axis]}}
        )
    combined.update_layout(
        title={"text": escape(content.title)},
        template="none",
        height=680,
        margin={"t": 80},
        paper_bgcolor=light("surface"),
        plot_bgcolor=light("surface"),
    )
    combined.update_yaxes(selector={"anchor": None}, gridcolor=light("grid"))
    combined.update_layout(yaxis={"domain": domains["y"]}, xaxis={"anchor": "y3"})
    return combined
