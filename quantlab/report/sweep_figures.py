"""Figures of a sweep: aggregated before they are drawn, so that a million trials make a small file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.report.decimate import thin
from quantlab.report.figures import Drawing, histogram_edges, labels, layout, log_ticks, shortened, typed
from quantlab.report.heatmap import formats, safe
from quantlab.report.palette import light
from quantlab.report.statistics import format_money

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.report.sweep_content import SweepContent

__all__ = ["distribution", "equity_fan", "logit_histogram"]

MAX_FAN = 30
"""Most equities in one figure."""

MAX_FAN_POINTS = 24_000
"""Most points of all equities together."""

CROWD = 10_000
"""Trials beyond which the outermost 0.05% at each end may be outside of a histogram."""


# -- all trials ----------------------------------------------------------------------------------------


def _bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of at most about 80 equal bins; 0 is an edge where it lies among the values."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return low + (0.05 * abs(low) or 0.01) * np.array([-1.5, -0.5, 0.5, 1.5])
    if low <= 0.0 <= high:
        return histogram_edges(values)
    lower, upper = np.quantile(values, [0.25, 0.75])
    span = high - low
    # Freedman and Diaconis (1981), within what a screen can show.
    width = float(np.clip(2.0 * (upper - lower) / values.size ** (1 / 3), span / 80, span / 12))
    return np.asarray(low - width / 2 + width * np.arange(np.ceil(span / width) + 2))


def _mark(value: float, text: str, place: float, role: str, dash: str, *, leftward: bool) -> tuple[Any, Any]:
    """Vertical line with its label above the plot."""
    stroke = {"color": light(role), "width": 1.6, "dash": dash}
    shape = {"type": "line", "x0": value, "x1": value, "y0": 0, "y1": place, "yref": "paper", "line": stroke}
    note = {
        "x": value,
        "y": place,
        "yref": "paper",
        "text": text,
        "showarrow": False,
        "xanchor": "right" if leftward else "left",
        "yanchor": "middle",
        "xshift": -5 if leftward else 5,
        "font": {"size": 12, "color": light(role)},
    }
    return shape, note


def _counted(most: int) -> dict[str, Any]:
    """Axis of whole numbers up to `most`."""
    axis: dict[str, Any] = {"rangemode": "tozero", "tickformat": ",d" if most < 10_000 else "~s"}
    return axis | ({"dtick": 1} if most < 5 else {})


def _drawn(content: SweepContent, finite: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values that set the picture's span: of very many all but the outermost; the best always."""
    shown = finite
    if finite.size > CROWD:
        worst, top = np.quantile(finite, [0.0005, 0.9995])
        shown = finite[(finite >= worst) & (finite <= top)]
    best = content.rising.best
    return shown if best is None else np.append(shown, content.rising.metric[best])


def _marks(
    content: SweepContent, span: list[float], threshold: float | None
) -> tuple[list[Any], list[Any], str]:
    """Lines of the best and of the best of noise, their labels, and both in words; widens `span` to hold them."""
    best = content.rising.best
    value_of_best = None if best is None else float(content.rising.metric[best])
    shapes, notes, said = [], [], ""
    for value, text, place, role, dash in (
        (value_of_best, "best", 1.15, "gain", "solid"),
        (threshold, "best of noise", 1.05, "loss", "dash"),
    ):
        if value is None:
            continue
        room = 0.03 * (span[1] - span[0])
        span[:] = [min(span[0], value - room), max(span[1], value + room)]
        shown = f"{text} {content.metric_text(value)}"
        shape, note = _mark(value, shown, place, role, dash, leftward=value > sum(span) / 2.0)
        shapes.append(shape)
        notes.append(note)
        said += f"; {shown}"
    return shapes, notes, said


def distribution(content: SweepContent) -> Drawing | None:
    """Histogram of the metric over the trials, with the best and what noise alone would have reached.

    None where no trial has a value.
    """
    finite = content.rising.metric
    if finite.size == 0:
        return None
    threshold = content.worth.get("expected_max_sharpe") if content.metric == "sharpe" else None
    edges = _bins(_drawn(content, finite))
    counts, _ = np.histogram(finite, edges)
    centres = (edges[1:] + edges[:-1]) / 2.0
    plain = light("gain_mid" if threshold is None else "benchmark")
    label, shown_as = formats(content.metric)
    data = {
        "type": "bar",
        "x": typed(centres),
        "y": typed(counts),
        "width": typed(np.diff(edges)),
        "marker": {
            "color": [light("gain") if threshold is not None and c > threshold else plain for c in centres],
            "line": {"width": 0.5, "color": light("surface")},
        },
        "hovertemplate": f"{label} %{{x:{shown_as}}}: %{{y:,}} trials<extra></extra>",
    }
    span = [float(edges[0]), float(edges[-1])]
    shapes, notes, said = _marks(content, span, threshold)
    caption = f"Trials by their {content.metric_inline}."
    if threshold is not None:
        caption += (
            " Best of noise: the highest that as many independent trials without an edge would be expected to "
            "show (SR0; Bailey and López de Prado, 2014); "
            f"{int((finite > threshold).sum()):,} trials are above it."
        )
    outside, missing = int(finite.size - counts.sum()), content.n_trials - finite.size
    caption += f" {outside:,} extreme trials are outside of the picture." if outside else ""
    caption += f" {missing:,} trials without a value are left out." if missing else ""
    return Drawing(
        {
            "data": [data],
            "layout": layout(
                hovermode="closest",
                bargap=0,
                margin={"t": 52},
                shapes=shapes,
                annotations=notes,
                xaxis={"tickformat": shown_as, "range": span},
                yaxis=_counted(int(counts.max())),
            ),
        },
        caption,
        f"{content.metric_label} of {finite.size:,} trials, median "
        f"{content.metric_text(float(np.median(finite)))}{said}.",
        300,
    )


def logit_histogram(content: SweepContent) -> Drawing | None:
    """Histogram of the CSCV logits: how the in-sample best ranked out of sample; None where there are none."""
    if content.logits is None:
        return None
    logits = np.asarray(content.logits, np.float64)
    logits = logits[np.isfinite(logits)]
    if logits.size == 0:
        return None
    edges = histogram_edges(logits)
    # Closed on the right, since a logit of exactly 0 counts as overfit.
    counts = np.histogram(-logits, -edges[::-1])[0][::-1]
    centres = (edges[1:] + edges[:-1]) / 2.0
    overfit = content.worth.get("pbo", float((logits <= 0.0).mean()))
    trace = {
        "type": "bar",
        "x": typed(centres),
        "y": typed(counts / logits.size),
        "width": typed(np.diff(edges)),
        "marker": {
            "color": [light("loss" if c < 0.0 else "gain") for c in centres],
            "line": {"width": 0.5, "color": light("surface")},
        },
        "hovertemplate": "logit %{x:.2f}: %{y:.1%} of the splits<extra></extra>",
    }
    return Drawing(
        {
            "data": [trace],
            "layout": layout(
                hovermode="closest",
                bargap=0,
                xaxis={"title": {"text": "logit of the rank out of sample", "font": {"size": 12}}},
                yaxis={"tickformat": ".0~%", "rangemode": "tozero"},
                margin={"t": 24, "b": 46},
            ),
        },
        f"{logits.size:,} ways to cut the bars into two halves: logit of the out-of-sample rank of the trial "
        "that was best in sample (CSCV; Bailey, Borwein, López de Prado and Zhu, 2017). Orange, at or below 0: "
        f"it fell below the median, in {100.0 * overfit:.0f}% of the cuts.",
        f"Probability of backtest overfitting {overfit:.2f} over {logits.size:,} splits.",
        300,
    )


# -- the best over time --------------------------------------------------------------------------------


def equity_fan(content: SweepContent) -> Drawing | None:
    """Equity of the best trials against the benchmark; None where it was not given."""
    if content.equities is None or content.equities.shape[1] == 0:
        return None
    frame = content.equities.iloc[:, :MAX_FAN]
    index: Any = frame.index
    n = frame.shape[1]
    most = max(200, MAX_FAN_POINTS // (n + 1))

    def trace(values: NDArray[np.float64], name: str, role: str, width: float) -> dict[str, Any]:
        rows = thin(values, most)
        return {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": labels(index[rows]),
            "y": typed(values[rows]),
            "line": {"color": light(role), "width": width},
            "hovertemplate": f"{name}: %{{y:,.0f}}<extra></extra>",
        }

    columns = [np.asarray(frame.iloc[:, k], np.float64) for k in range(n)]
    names = [f"trial {safe(str(c))}" for c in frame.columns]
    data = [trace(columns[k], names[k], "gain_mid", 1.0) for k in range(n - 1, 0, -1)]
    for k, one in enumerate(data):
        one["showlegend"] = k == len(data) - 1
        one["legendgroup"] = "others"
    if data:
        data[-1]["name"] = f"next {n - 1}"
    if content.benchmark is not None:
        held = np.asarray(content.benchmark, np.float64)
        data.append(trace(held, safe(shortened(content.benchmark_name)), "benchmark", 1.8))
    data.append(trace(columns[0], names[0], "gain", 2.4))
    ends = [float(c[-1]) for c in columns]
    low, high = _span(columns)
    steep = low > 0.0 and high > 5.0 * low
    caption = f"{content.currency}, at each bar's close, after all costs."
    caption += " Log scale." if steep else ""
    if len(index) > most:
        caption += f" Drawn with at most {most:,} of {len(index):,} points a line; every extreme is there."
    return Drawing(
        {
            "data": data,
            "layout": layout(
                index,
                hovermode="closest",
                showlegend=True,
                margin={"t": 34},
                legend={"traceorder": "reversed"},
                yaxis={
                    "tickformat": ",~r" if high < 1e6 else "~s",
                    **({"type": "log", **log_ticks(low, high)} if steep else {}),
                },
            ),
        },
        caption,
        f"Equity of the best {n} trials; they end between {format_money(min(ends), 0)} and "
        f"{format_money(max(ends), 0)} {content.currency}.",
        380,
    )


def _span(columns: list[NDArray[np.float64]]) -> tuple[float, float]:
    joined = np.concatenate(columns)
    joined = joined[np.isfinite(joined)]
    return (float(joined.min()), float(joined.max())) if joined.size else (0.0, 0.0)
