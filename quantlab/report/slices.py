"""One parameter of a sweep at a time: the metric at each of its values, over all values of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.report.figures import Drawing, layout, log_ticks, typed
from quantlab.report.heatmap import formats, safe
from quantlab.report.levels import Levels, binned, fewest
from quantlab.report.palette import light
from quantlab.report.surface import group_quantiles

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.report.sweep_content import SweepContent

__all__ = ["neighbourhood", "parameter_slice"]

MAX_LEVELS = 200
"""Most values along the axis; beyond it numbers are gathered into bins."""

MAX_CATEGORIES = 24
"""Most values that are no numbers."""

FEW_EACH = 8
"""Trials a value below which numbers are gathered into bins."""


def _levels(content: SweepContent, name: str) -> Levels:
    """Levels for the axis; codes in the order of `SweepContent.rising`."""
    exact = content.rising.levels[name]
    if exact.numbers is None:
        places = np.flatnonzero(content.rising.usable)
        return fewest(exact, MAX_CATEGORIES, places if content.smaller_is_better else places[::-1])
    per_level = content.n_trials / len(exact)
    if per_level < FEW_EACH and len(content.levels) > 1 and len(exact) > MAX_CATEGORIES:
        return binned(exact, int(np.clip(content.n_trials / (2 * FEW_EACH), 6, 60)))
    return binned(exact, 60) if len(exact) > MAX_LEVELS else exact


def _over_numbers(x: Any, curves: NDArray[np.float64], mode: str) -> list[dict[str, Any]]:
    """Band of the middle half, median and best as lines."""
    low, middle, high, top = curves
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    dots = {"size": 5}
    return [
        {"x": x, "y": typed(low), **edge},
        {"x": x, "y": typed(high), **edge, "fill": "tonexty", "fillcolor": light("gain_soft")},
        {
            "x": x,
            "y": typed(middle),
            "name": "median",
            "mode": mode,
            "marker": {**dots, "color": light("gain_mid")},
            "line": {"width": 1.8, "color": light("gain_mid")},
        },
        {
            "x": x,
            "y": typed(top),
            "name": "best",
            "mode": mode,
            "marker": {**dots, "color": light("gain")},
            "line": {"width": 1.8, "color": light("gain")},
        },
    ]


def _over_categories(x: Any, curves: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Middle half as a thick bar, median and best as marks."""
    low, middle, high, top = curves
    bars = {"type": "data", "symmetric": False, "width": 0, "thickness": 18, "color": light("gain_soft")}
    bars |= {"array": typed(high - middle), "arrayminus": typed(middle - low)}
    stroke = {"width": 2.5, "color": light("gain_mid")}
    return [
        {
            "x": x,
            "y": typed(middle),
            "name": "median",
            "mode": "markers",
            "error_y": bars,
            "marker": {"size": 18, "symbol": "line-ew-open", "color": light("gain_mid"), "line": stroke},
        },
        {
            "x": x,
            "y": typed(top),
            "name": "best",
            "mode": "markers",
            "marker": {"size": 8, "color": light("gain")},
        },
    ]


def _curves(content: SweepContent, levels: Levels) -> NDArray[np.float64]:
    """Lower quartile, median, upper quartile and best of each level, shape (4, n_levels)."""
    rising = content.rising
    curves = np.full((4, len(levels)), np.nan)
    curves[:3] = group_quantiles(levels.codes, rising.metric, len(levels), (0.25, 0.5, 0.75))
    # Of equal places the one written last stays: so the best is written last.
    places = np.flatnonzero(rising.usable)[:: -1 if content.smaller_is_better else 1]
    curves[3, levels.codes[places]] = rising.metric[places]
    return curves


def _axis(name: str, levels: Levels) -> dict[str, Any]:
    shown = name if len(name) <= 40 else name[:39] + "…"
    axis: dict[str, Any] = {
        "title": {"text": safe(shown), "font": {"size": 13, "color": light("ink")}, "standoff": 6},
        "automargin": True,
    }
    if levels.numbers is None:
        return axis | {"type": "category"}
    axis |= {"hoverformat": ",~r", "tickformat": ",~r"}
    if levels.bins == "ratio":
        axis |= {"type": "log", **log_ticks(*levels.numbers[[0, -1]].tolist())}
    return axis


def parameter_slice(content: SweepContent, name: str) -> Drawing:
    """Draw the metric over one parameter: median and middle half of the trials at each value, and their best.

    Parameters
    ----------
    content : SweepContent
        The sweep.
    name : str
        A parameter that took more than one value.
    """
    levels = _levels(content, name)
    curves = _curves(content, levels)
    keep = np.isfinite(curves[1])
    curves = curves[:, keep]
    label, shown = formats(content.metric)
    numbers = levels.numbers
    shapes: list[dict[str, Any]] = []
    if numbers is None:
        texts: Any = [safe(t) for t, k in zip(levels.labels, keep, strict=True) if k]
        data = _over_categories(texts, curves)
    else:
        data = _over_numbers(typed(numbers[keep]), curves, "lines+markers" if keep.sum() <= 30 else "lines")
        if content.rising.best is not None:
            at = float(numbers[levels.codes[content.rising.best]])
            stroke = {"color": light("muted"), "width": 1, "dash": "dot"}
            shapes = [{"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": stroke}]
    # With one parameter each value has one trial, which is all that can be said.
    for trace in data[:-1] if len(content.levels) == 1 else []:
        trace["visible"] = False
    for trace in data:
        trace["type"] = "scatter"
        trace.setdefault("hovertemplate", f"%{{y:{shown}}}")
    place = content.rising.best
    best = "" if place is None else f"; the best trial has {levels.labels[levels.codes[place]]}"
    return Drawing(
        {
            "data": data,
            "layout": layout(
                margin={"t": 8, "b": 44},
                shapes=shapes,
                xaxis=_axis(name, levels),
                yaxis={"tickformat": shown},
            ),
        },
        "",
        f"{label} by {name}, {len(levels)} values{best}.",
        230,
    )


def neighbourhood(content: SweepContent) -> pd.DataFrame:
    """Look at the neighbours of the best trial: those that differ by one step in one parameter.

    Returns
    -------
    DataFrame of shape (n_parameters, 5)
        Index: the parameter. ``below`` and ``above`` are the neighbouring values, ``value`` is the best's;
        ``metric_below`` and ``metric_above`` are the neighbours' metric. None and NaN where there is no such
        trial, as at the edge of a grid or in a sample. Only parameters whose levels are numbers have
        neighbours.
    """
    import pandas as pd

    columns = ["below", "metric_below", "value", "above", "metric_above"]
    rows: dict[str, list[Any]] = {}
    best = content.best
    # From all parameters' agreement down: a neighbour agrees in all but one.
    agree = np.zeros(content.n_trials, np.int32)
    for levels in content.levels.values():
        agree += 0 if best is None else levels.codes == levels.codes[best]
    near = np.flatnonzero(agree >= len(content.levels) - 1)
    for name, levels in content.levels.items() if best is not None else ():
        if levels.numbers is None:
            continue
        place = int(levels.codes[best])
        row: list[Any] = [None, np.nan, levels.choices[place], None, np.nan]
        for step, at in ((-1, 0), (1, 3)):
            found = near[levels.codes[near] == place + step]
            if found.size and 0 <= place + step < len(levels):
                row[at], row[at + 1] = levels.choices[place + step], content.metric_values[found[0]]
        rows[name] = row
    kinds = {name: float if name.startswith("metric") else object for name in columns}
    # From lists of objects, since pandas would make NaN of None and floats of whole numbers.
    return pd.DataFrame(
        {
            name: pd.Series([row[k] for row in rows.values()], index=list(rows), dtype=kinds[name])
            for k, name in enumerate(columns)
        }
    )
