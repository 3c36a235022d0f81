"""Heat map and contour plot of a metric over two parameters."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.report.figures import Drawing, figure, layout
from quantlab.report.levels import distinct_texts
from quantlab.report.palette import light
from quantlab.report.statistics import STATISTICS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "FORMATS",
    "colours",
    "contour_figure",
    "contour_style",
    "formats",
    "heat",
    "heatmap_figure",
    "safe",
]

FORMATS = {"percent": ".1~%", "money": "~s", "ratio": ".3~r", "count": ",~r", "bars": ",~r"}
"""Unit of a statistic -> format of its axis."""


def safe(text: str) -> str:
    """Text from outside as Plotly may show it: no tag and no template in it."""
    return escape(text).replace("%{", "% {")


def formats(metric: str) -> tuple[str, str]:
    """Name of a metric, ready for Plotly, and the format of its axis."""
    known = STATISTICS.get(metric)
    return (known.label, FORMATS[known.unit]) if known else (safe(metric), FORMATS["ratio"])


def colours(values: NDArray[np.float64], *, smaller_is_better: bool = False) -> dict[str, Any]:
    """Colours of a heat map: blue is good; where values have both signs, grey is 0 and orange is bad.

    The worst 2% share the last colour, so that a few bad cells do not hide the shape of the good ones.
    """
    values = values[np.isfinite(values)]
    if values.size == 0:
        values = np.zeros(1)
    worst = float(np.quantile(values, 0.98 if smaller_is_better else 0.02))
    low = float(values.min()) if smaller_is_better else worst
    high = worst if smaller_is_better else float(values.max())
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - max(abs(low), 1.0) * 0.01, high + max(abs(high), 1.0) * 0.01
    zero = -low / (high - low)
    roles = ["gain_soft", "gain_mid", "gain"]
    stops = [0.0, 0.5, 1.0]
    if 0.02 < zero < 0.98:
        # A little below 0 is pale, so that no colour shouts about nothing.
        bad = -low / high if not smaller_is_better else -high / low
        dark = "loss" if bad > 0.6 else "loss_mid" if bad > 0.3 else "loss_soft"
        roles = [dark, "rule", "gain_mid", "gain"]
        stops = [0.0, zero, (1.0 + zero) / 2.0, 1.0]
        if smaller_is_better:
            stops = [0.0, zero / 2.0, zero, 1.0]
    if smaller_is_better:
        roles = roles[::-1]
    return {
        "zmin": low,
        "zmax": high,
        "colorscale": [[at, light(role)] for at, role in zip(stops, roles, strict=True)],
    }


def _nested(cells: NDArray[np.float64]) -> list[list[float | None]]:
    return [[float(f"{v:.6g}") if np.isfinite(v) else None for v in row] for row in cells]


def contour_style() -> dict[str, Any]:
    """Style of a contour plot, beyond that of a heat map."""
    return {
        "contours": {"coloring": "heatmap"},
        "line": {"width": 0.7, "color": light("ink")},
        "ncontours": 14,
        "connectgaps": False,
    }


def heat(
    cells: NDArray[np.float64],
    axes: tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]],
    metric: str,
    *,
    at: tuple[int, int] | None = None,
    kind: str = "heatmap",
    scale: dict[str, Any] | None = None,
    drawn: bool = True,
) -> dict[str, Any]:
    """Draw a heat map or a contour plot: data and layout of Plotly.

    Parameters
    ----------
    cells : ndarray of float64, shape (n_y, n_x)
        NaN is left blank.
    axes : tuple of (name, labels)
        Of x and of y, plain text.
    metric : str
        What the cells show.
    at : tuple of int, optional
        Place (x, y) of the best trial.
    kind : {"heatmap", "contour"}
        How to draw.
    scale : dict, optional
        As `colours` gives it.
    drawn : bool
        False leaves the cells to the page's script.
    """
    label, shown = formats(metric)
    (x_name, x_labels), (y_name, y_labels) = ((safe(n), [safe(t) for t in ts]) for n, ts in axes)
    trace: dict[str, Any] = {
        "type": kind,
        "x": x_labels,
        "y": y_labels,
        "z": _nested(cells) if drawn else [],
        "hoverongaps": False,
        "hovertemplate": f"{x_name} %{{x}}<br>{y_name} %{{y}}<br>{label} %{{z:{shown}}}<extra></extra>",
        "colorbar": {
            "thickness": 10,
            "outlinewidth": 0,
            "tickformat": shown,
            "title": {"text": label, "side": "right", "font": {"size": 11, "color": light("muted")}},
            "tickfont": {"size": 11, "color": light("muted")},
            "xpad": 6,
        },
        **(scale or colours(cells)),
    }
    if kind == "contour":
        trace |= contour_style()
    marker = {
        "type": "scatter",
        "mode": "markers",
        "x": [x_labels[at[0]]] if at else [],
        "y": [y_labels[at[1]]] if at else [],
        "marker": {
            "symbol": "circle-open",
            "size": 15,
            "color": light("ink"),
            "line": {"width": 2.4, "color": light("ink")},
        },
        "hoverinfo": "skip",
    }
    axis = {"type": "category", "showgrid": False, "automargin": True, "ticks": "outside", "ticklen": 4}
    axis |= {"tickcolor": light("rule")}
    title = {"font": {"size": 12, "color": light("ink")}, "standoff": 8}
    return {
        "data": [trace, marker],
        "layout": layout(
            hovermode="closest",
            margin={"l": 62, "r": 8, "t": 10, "b": 52},
            xaxis={**axis, "title": {"text": x_name, **title}},
            yaxis={**axis, "title": {"text": y_name, **title}},
        ),
    }


def _frame_figure(frame: pd.DataFrame, metric: str, kind: str, *, smaller_is_better: bool) -> Any:
    cells = frame.to_numpy(np.float64, na_value=np.nan)
    axes = tuple(
        (str(index.name if index.name is not None else default), distinct_texts(index.tolist()))
        for index, default in ((frame.columns, "x"), (frame.index, "y"))
    )
    at = None
    if np.isfinite(cells).any():
        good = np.where(np.isfinite(cells), -cells if smaller_is_better else cells, -np.inf)
        row, column = np.unravel_index(int(good.argmax()), cells.shape)
        at = (int(column), int(row))
    scale = colours(cells, smaller_is_better=smaller_is_better)
    spec = heat(cells, (axes[0], axes[1]), metric, at=at, kind=kind, scale=scale)
    spec["layout"] |= {"paper_bgcolor": light("surface"), "plot_bgcolor": light("surface")}
    return figure(Drawing(spec, "", "", 460))


def heatmap_figure(frame: pd.DataFrame, metric: str = "sharpe", *, smaller_is_better: bool = False) -> Any:
    """Heat map of a frame, as `quantlab.report.surface.pivot` makes it, as a Plotly figure; the best is ringed.

    Parameters
    ----------
    frame : DataFrame of shape (n_y, n_x)
        Values of the metric; NaN is left blank. The names of index and columns name the axes.
    metric : str
        What the values are.
    smaller_is_better : bool
        Whether the smallest value is the best.
    """
    return _frame_figure(frame, metric, "heatmap", smaller_is_better=smaller_is_better)


def contour_figure(frame: pd.DataFrame, metric: str = "sharpe", *, smaller_is_better: bool = False) -> Any:
    """Contour plot of a frame, with the parameters of `heatmap_figure`."""
    return _frame_figure(frame, metric, "contour", smaller_is_better=smaller_is_better)
