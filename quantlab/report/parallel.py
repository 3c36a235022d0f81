"""Parallel coordinates of a sweep: one line a trial across its parameters to its metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.report.figures import Drawing, layout, typed
from quantlab.report.heatmap import safe
from quantlab.report.palette import light
from quantlab.report.surface import importance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.report.levels import Levels
    from quantlab.report.sweep_content import SweepContent

__all__ = ["MAX_LINES", "parallel"]

MAX_LINES = 1500
"""Most lines: the best fifth of them are the best trials, the others stand for the rest at equal distance."""

MAX_AXES = 10
"""Most parameters: those that matter most."""

MAX_TICKS = 6
"""Most labels of an axis of numbers."""

MAX_NAMES = 12
"""Most labels of an axis of other values."""

MANY = 60
"""Levels of a number beyond which its axis is to scale."""

CLASSES = (
    (0.05, "gain", 0.55, 1.1, "top 5%"),
    (0.25, "gain_mid", 0.5, 1.0, "next 20%"),
    (1.0, "benchmark", 0.22, 0.8, "the rest"),
)
"""Share from the top, colour, opacity, width and name of the lines."""


def _drawn(n: int) -> NDArray[np.int64]:
    """Places in the ranking of the trials that are drawn."""
    if n <= MAX_LINES:
        return np.arange(n)
    top = MAX_LINES // 5
    rest = np.linspace(top, n - 1, MAX_LINES - top).astype(np.int64)
    return np.concatenate([np.arange(top), rest])


def _places(levels: Levels) -> NDArray[np.float64]:
    """Height of each level on its axis, in [0, 1]: at equal distance, or to scale where there are many numbers."""
    n = len(levels)
    if levels.numbers is None or n <= MANY:
        return np.arange(n) / (n - 1)
    numbers = np.log(levels.numbers) if levels.by_ratio else levels.numbers
    return np.asarray((numbers - numbers[0]) / (numbers[-1] - numbers[0]))


def _heights(levels: Levels, rows: NDArray[np.int64], rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of each line on an axis, in [0, 1].

    Lines through the same value are spread within its room, the better ones above, so that they can be told
    apart.
    """
    n = len(levels)
    room = 0.06 if n < 10 else 0.55 / (n - 1)
    return np.asarray(_places(levels)[levels.codes[rows]] + room * (0.5 - rank))


def _ticks(levels: Levels) -> list[tuple[float, str]]:
    """Places and labels of an axis."""
    n = len(levels)
    if levels.numbers is None or n <= MANY:
        most = MAX_TICKS if levels.numbers is not None else MAX_NAMES
        chosen = np.unique(np.rint(np.linspace(0, n - 1, min(n, most))).astype(np.int64))
        return [(k / (n - 1), levels.labels[k]) for k in chosen.tolist()]
    low, high = float(levels.numbers[0]), float(levels.numbers[-1])
    wanted = np.linspace(0.0, 1.0, MAX_TICKS)
    shown = low * (high / low) ** wanted if levels.by_ratio else low + (high - low) * wanted
    return [(float(y), f"{value:.3g}") for y, value in zip(wanted, shown, strict=True)]


def _label(x: float, y: float, text: str, **more: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "text": safe(text), "showarrow": False, **more}


def _axis_labels(k: int, name: str, ticks: list[tuple[float, str]], *, turned: bool) -> list[dict[str, Any]]:
    """Name and tick labels of the k-th axis."""
    plate = {"bgcolor": light("surface"), "opacity": 0.86, "borderpad": 1}
    short = name if len(name) <= 22 else name[:21] + "…"
    title = _label(
        k,
        1.06,
        short,
        yanchor="bottom",
        xanchor="left" if turned else "center",
        textangle=-20 if turned else 0,
        font={"size": 12, "color": light("ink")},
    )
    cut = [(y, t if len(t) <= 14 else t[:13] + "…") for y, t in ticks]
    small = {"size": 10.5, "color": light("muted")}
    return [title] + [_label(k, y, t, xanchor="right", xshift=-4, font=small, **plate) for y, t in cut]


def _lines(heights: NDArray[np.float64]) -> tuple[dict[str, str], dict[str, str]]:
    """Coordinates of lines of shape (n_lines, n_axes), with a gap after each line."""
    n, n_axes = heights.shape
    y = np.concatenate([heights, np.full((n, 1), np.nan)], axis=1)
    x = np.tile(np.append(np.arange(n_axes, dtype=np.float64), np.nan), n)
    return typed(x), typed(np.round(y.ravel(), 4))


def parallel(content: SweepContent) -> Drawing | None:
    """Draw parallel coordinates; None with fewer than two parameters or no trial with a value.

    Parameters
    ----------
    content : SweepContent
        The sweep. At most `MAX_LINES` trials are drawn, the best always.
    """
    order = content.order[np.isfinite(content.metric_values[content.order])]
    if len(content.levels) < 2 or order.size == 0:
        return None
    chosen = set(list(importance(content))[:MAX_AXES])
    names = [name for name in content.levels if name in chosen]
    places = _drawn(order.size)
    rows = order[places]
    rank = places / max(1, order.size - 1)
    columns = [_heights(content.coarse[name], rows, rank) for name in names]
    values = content.metric_values[rows]
    low = float(np.quantile(values, 0.01)) if values.size > 100 else float(values.min())
    high = float(values.max())
    if content.smaller_is_better:
        low, high = float(values.min()), float(np.quantile(values, 0.99 if values.size > 100 else 1.0))
    span = high - low or 1.0
    columns.append(np.clip((values - low) / span, -0.04, 1.04))
    heights = np.stack(columns, axis=1)
    data: list[dict[str, Any]] = []
    keys: list[dict[str, Any]] = []
    for (share, role, opacity, width, name), above in zip(CLASSES, (-1.0, 0.05, 0.25), strict=True):
        member = (rank > above) & (rank <= share)
        member[0] = False
        if member.any():
            x, y = _lines(heights[member])
            line = {"color": light(role), "width": width}
            data.append({"x": x, "y": y, "opacity": opacity, "line": line, "showlegend": False})
            # The legend shows the colour in full: a faint line is no key.
            keys.append({"x": [None], "y": [None], "name": name, "line": {**line, "width": 2.0}})
    x, y = _lines(heights[:1])
    best: dict[str, Any] = {"x": x, "y": y, "name": "best", "line": {"color": light("loss"), "width": 2.6}}
    data = [*data[::-1], *keys[::-1], best]
    for trace in data:
        trace |= {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "cliponaxis": False}
    turned = len(names) > 6
    annotations = [
        a for k, n in enumerate(names) for a in _axis_labels(k, n, _ticks(content.coarse[n]), turned=turned)
    ]
    marks = [(p, content.metric_text(low + p * span)) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    annotations += _axis_labels(len(names), content.metric_label, marks, turned=turned)
    left_out = len(content.levels) - len(names)
    caption = "Each line is one trial, from its parameters to its metric at the right; lines through the same value "
    caption += "are spread a little, the better ones above."
    if order.size > MAX_LINES:
        caption += (
            f" Drawn are {rows.size:,} of {order.size:,} trials: the best {MAX_LINES // 5}, and of the rest "
            f"{MAX_LINES - MAX_LINES // 5:,} at equal distance in rank."
        )
    if left_out:
        caption += f" {left_out} parameters that matter least are left out."
    return Drawing(
        {"data": data, "layout": _layout(len(names) + 1, annotations, turned=turned)},
        caption,
        f"{rows.size:,} trials across {len(names)} parameters and the {content.metric_inline}.",
        400,
    )


def _layout(n_axes: int, annotations: list[dict[str, Any]], *, turned: bool) -> dict[str, Any]:
    stroke = {"color": light("muted"), "width": 1}
    bars = [
        {"type": "line", "x0": k, "x1": k, "y0": -0.02, "y1": 1.02, "line": stroke} for k in range(n_axes)
    ]
    bare = {"showgrid": False, "showline": False, "zeroline": False, "ticks": "", "showticklabels": False}
    return layout(
        hovermode=False,
        showlegend=True,
        legend={"traceorder": "reversed", "y": -0.02, "yanchor": "top"},
        margin={"l": 54, "r": 84 if turned else 40, "t": 60 if turned else 34, "b": 36},
        shapes=bars,
        annotations=annotations,
        xaxis={**bare, "range": [-0.12, n_axes - 0.88], "fixedrange": True},
        yaxis={**bare, "range": [-0.06, 1.06], "fixedrange": True},
    )
