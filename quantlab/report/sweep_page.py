"""The report of a sweep as one HTML file: what its best is worth first, then where it lies, then how it was run."""

from __future__ import annotations

import base64
import json
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.report import frame
from quantlab.report.figures import Drawing
from quantlab.report.frame import section
from quantlab.report.heatmap import colours, contour_style, formats, heat, safe
from quantlab.report.levels import value_text
from quantlab.report.palette import dark_of
from quantlab.report.parallel import parallel
from quantlab.report.slices import neighbourhood, parameter_slice
from quantlab.report.statistics import STATISTICS, format_value
from quantlab.report.surface import MAX_PARAMETERS, MODES, importance, surfaces
from quantlab.report.sweep_content import WORTH, column_of
from quantlab.report.sweep_figures import distribution, equity_fan, logit_histogram
from quantlab.report.sweep_script import SWEEP_SCRIPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd

    from quantlab.report.surface import Surface
    from quantlab.report.sweep_content import SweepContent

__all__ = ["sweep_page"]

MAX_SLICES = 12
"""Most parameters with a figure of their own: those that matter most."""

MAX_ERRORS = 20
"""Most kinds of error that are listed."""

MAX_ROWS = 60
"""Most rows of a further table."""

MAX_COLUMNS = 14
"""Most columns of a further table, and most parameters in the table of the best."""

FEW_COLUMNS = 4
"""Most columns of a table that a telephone shows without scrolling."""

LISTED = (
    "sharpe", "total_return", "cagr", "volatility", "max_drawdown", "calmar", "exposure", "turnover", "n_trades",
    "win_rate", "final_equity", "psr",
)  # fmt: skip
"""Statistics in the table of the best, after the metric."""


def sweep_page(content: SweepContent) -> str:
    """Report of a sweep as the text of an HTML file.

    Parameters
    ----------
    content : SweepContent
        What to show. Equal content gives equal text.

    Returns
    -------
    str
        A complete page of a few MB (most of it is Plotly), whatever the number of trials. Text from outside is
        escaped everywhere; a content security policy forbids every request and every script but the two that
        are written here.

    Raises
    ------
    DataError
        For settings that JSON cannot carry.
    """
    figures: dict[str, Any] = {}

    def place(name: str, drawing: Drawing | None, **more: Any) -> str:
        if drawing is None:
            return ""
        figures[name] = drawing.spec
        return frame.chart(name, drawing, **more)

    body = [
        frame.header("sweep", content.title, content.subtitle or _describe(content)),
        frame.notes([*content.notes, *_own_notes(content)]),
        f'<p class="verdict">{escape(content.headline)}</p>',
        _headline(content),
        _checks(content),
        _all_trials(place("distribution", distribution(content)), place("logits", logit_histogram(content))),
    ]
    packed: dict[str, Any] = {"dark": dark_of(), "figures": figures}
    has_values = bool(np.isfinite(content.metric_values).any())
    found = surfaces(content) if has_values else []
    if found:
        packed["surfaces"] = _pack(content, found)
        body.append(_surface(content, found, packed["surfaces"], place))
    best = _best(content)
    body += [best, _slices(content, place) if has_values else ""]
    fan = place("fan", equity_fan(content))
    if fan:
        body.append(section("Equity of the best trials", fan))
    lines = place("parallel", parallel(content), wide=True)
    if lines:
        body.append(section("Every parameter at once", lines))
    body += [_table(heading, table) for heading, table in content.tables.items()]
    body += [_errors(content), frame.run(content.settings, content.fingerprint)]
    return frame.Document(
        title=f"{content.title} – sweep",
        main="\n".join(filter(None, body)),
        footer=_footer(),
        figures=json.dumps(packed, allow_nan=False, separators=(",", ":")),
        script=SWEEP_SCRIPT,
    ).html()


def _footer() -> str:
    return (
        "<footer><p>This file is complete in itself and asks nothing of the network.</p>"
        "<noscript><p>The charts need JavaScript; the numbers do not.</p></noscript></footer>"
    )


# -- what it is worth ----------------------------------------------------------------------------------


def _describe(content: SweepContent) -> str:
    """Describe in one line what was tried."""
    counts = [f"{name} × {len(levels):,}" for name, levels in content.levels.items()]
    shown = ", ".join(counts[:6]) + (f" and {len(counts) - 6} more parameters" if len(counts) > 6 else "")
    n = content.n_trials
    return " · ".join([*filter(None, [shown]), f"{n:,} trial{'s' * (n != 1)}"])


def _own_notes(content: SweepContent) -> Iterator[str]:
    failed, ruined = len(content.failed), content.n_ruined
    if failed:
        yield f"{failed:,} of {content.n_trials:,} trials failed; their errors are listed below."
    if ruined:
        yield f"{ruined:,} of {content.n_trials:,} trials went to ruin; none of them can be the best."
    if content.best is None:
        yield f"No trial can be ranked by its {content.metric_inline}: there is no best."


def _tiles(content: SweepContent) -> Iterator[tuple[str, str, str]]:
    worth, best = content.worth, content.best
    value = float("nan") if best is None else float(content.metric_values[best])
    beside = "" if best is None else f"trial {content.table.index[best]}"
    yield f"Best {escape(content.metric_inline)}", frame.number(value, content.metric_unit), escape(beside)
    n = int(worth.get("n_trials", content.n_trials))
    effective = worth.get("n_effective")
    beside = "" if effective is None else f"effectively {effective:,.0f}"
    yield "Trials", f'<data value="{n}">{n:,}</data>', beside
    if "deflated_sharpe" in worth:
        noise = worth.get("expected_max_sharpe")
        beside = "" if noise is None else f"best of noise {format_value(noise, 'ratio')}"
        yield "Deflated Sharpe", frame.number(worth["deflated_sharpe"], "ratio"), beside
    elif "expected_max_sharpe" in worth:
        yield "Best of noise", frame.number(worth["expected_max_sharpe"], "ratio"), "Sharpe ratio, a year"
    if "pbo" in worth:
        yield "Overfit (PBO)", frame.number(worth["pbo"], "ratio"), "0.5 is a coin's toss"
    if "beats_noise" in worth:
        yield "Beats noise", frame.number(worth["beats_noise"], "percent"), "of histories without an edge"
    if "min_track_record_bars" in worth:
        yield "Track record needed", frame.number(worth["min_track_record_bars"], "count"), "bars"


def _headline(content: SweepContent) -> str:
    tiles = "".join(
        f'<div><dt>{label}</dt><dd class="value">{value}</dd><dd class="beside">{beside}</dd></div>'
        for label, value, beside in _tiles(content)
    )
    known = [f"<p><b>{escape(key)}</b> {escape(WORTH[key])}</p>" for key in content.worth]
    how = ""
    if known:
        how = f'<details class="meaning"><summary>What these mean</summary>{"".join(known)}</details>'
    return f'<dl class="headline fit">{tiles}</dl>{how}'


def _checks(content: SweepContent) -> str:
    if not content.checks:
        return ""
    words = {"True": ("win", "holds"), "False": ("lost", "fails")}
    rows = []
    for check in content.checks:
        colour, said = words.get(str(check.get("passed")), ("how", "–"))
        rows.append(
            f'<tr><th scope="row">{escape(str(check.get("name", "")))}'
            f'<span class="how">{escape(str(check.get("how", "")))}</span></th>'
            f'<td class="n">{escape(str(check.get("value", "")))}</td>'
            f'<td class="n"><span class="{colour}">{said}</span></td></tr>'
        )
    heads = (
        '<th scope="col">Check</th><th scope="col" class="n">Value</th><th scope="col" class="n">Verdict</th>'
    )
    return section(
        "What the best is worth",
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
        "",
        "long",
    )


def _all_trials(spread: str, logits: str) -> str:
    first = section("All trials", spread) if spread else ""
    if not (spread and logits):
        return first or (section("In and out of sample", logits) if logits else "")
    return f'<div class="pair">{first}{section("In and out of sample", logits)}</div>'


# -- two parameters ------------------------------------------------------------------------------------


def _packed(cells: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(cells, "<f4").tobytes()).decode("ascii")


def _captions(content: SweepContent, found: Sequence[Surface]) -> dict[str, str]:
    label = content.metric_inline
    n_others = len(content.levels) - 2
    others = f"the other {n_others} parameters" if n_others > 1 else "the other parameter"
    fixed = "at its value" if n_others == 1 else "at their values"
    end = " The ring is the best trial; blank cells have no trial."
    over = f" over {others}" if n_others else " of the trials with these values"
    captions = {
        "best": f"Best {label}{over}.",
        "median": f"Median {label}{over}; trials that went to ruin count with what they had then.",
        "fixed": f"Best {label} with {others} {fixed} in the best trial (long lists of values: near it).",
        "binned": "Values are gathered into bins, labelled by their middles; of whole numbers by the first and last.",
    }
    if n_others == 0 and not any(surface.is_binned for surface in found):
        captions["best"] = f"{content.metric_label} of each trial."
    return {key: text + end if key in MODES else text for key, text in captions.items()}


def _pack(content: SweepContent, found: Sequence[Surface]) -> dict[str, Any]:
    """Surfaces as data for the page's script: cells as 32-bit numbers, one scale of colours a mode."""
    names = list(dict.fromkeys(n for n in content.levels for s in found if n in (s.x.name, s.y.name)))
    label, shown = formats(content.metric)
    scales = {}
    for mode in MODES:
        values = [s.cells[mode].ravel() for s in found if mode in s.cells]
        if values:
            scales[mode] = colours(np.concatenate(values), smaller_is_better=content.smaller_is_better)
    return {
        "names": [safe(name) for name in names],
        "first": [names.index(found[0].x.name), names.index(found[0].y.name)],
        "pairs": [
            {
                "x": names.index(s.x.name),
                "y": names.index(s.y.name),
                "labels": [[safe(t) for t in s.x.labels], [safe(t) for t in s.y.labels]],
                "cells": {mode: _packed(cells) for mode, cells in s.cells.items()},
                "at": s.at,
                "binned": s.is_binned,
            }
            for s in found
        ],
        "scales": scales,
        "contour": contour_style(),
        "captions": _captions(content, found),
        "hover": f"{label} %{{z:{shown}}}<extra></extra>",
        "plain_names": names,
    }


def _choice(name: str, label: str, options: Iterable[tuple[str, str]]) -> str:
    inner = "".join(f'<option value="{value}">{escape(text)}</option>' for value, text in options)
    return (
        f'<span><label for="surface-{name}">{label}</label>'
        f'<select id="surface-{name}">{inner}</select></span>'
    )


def _surface(content: SweepContent, found: Sequence[Surface], packed: dict[str, Any], place: Any) -> str:
    first = found[0]
    names = packed.pop("plain_names")
    numbered = [(str(k), name) for k, name in enumerate(names)]
    choices = _choice("x", "Across", numbered) + _choice("y", "Up", numbered)
    modes = [m for m in MODES if any(m in s.cells for s in found)]
    words = {"best": "at their best", "median": "median", "fixed": "as in the best trial"}
    if len(modes) > 1:
        label = "Others" if len(content.levels) > 2 else "Cell"
        words |= {} if len(content.levels) > 2 else {"best": "best trial"}
        choices += _choice("others", label, [(m, words[m]) for m in modes])
    choices += _choice("kind", "As", [("heatmap", "heat map"), ("contour", "contour")])
    captions = packed["captions"]
    drawing = Drawing(
        heat(
            first.cells["best"],
            ((first.x.name, first.x.labels), (first.y.name, first.y.labels)),
            content.metric,
            at=first.at,
            scale=packed["scales"]["best"],
            drawn=False,
        ),
        captions["best"] + (" " + captions["binned"] if first.is_binned else ""),
        f"{content.metric_label} over {first.x.name} and {first.y.name}: {len(first.x)} by {len(first.y)} cells.",
        460,
    )
    more = ""
    if len(content.levels) > len(names):
        more = (
            f'<p class="how">The {MAX_PARAMETERS} parameters that matter most can be chosen, of '
            f"{len(content.levels)}.</p>"
        )
    return section(
        "Two parameters",
        f'<div class="choices screen">{choices}</div>{place("surface", drawing)}{more}',
    )


# -- the best ------------------------------------------------------------------------------------------


def _heads(names: Iterable[tuple[str, bool]]) -> str:
    cells = (f'<th scope="col"{" class=n" if number else ""}>{escape(name)}</th>' for name, number in names)
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _scroll(label: str, table: str) -> str:
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(label)}"><table>'
        f'<caption class="hidden">{escape(label)}</caption>{table}</table></div>'
    )


def _best(content: SweepContent) -> str:
    rows = content.order[: content.n_best]
    if rows.size == 0:
        return ""
    # Parameters that took one value say the same in every row: the settings have them.
    names = list(content.levels)[:MAX_COLUMNS] or list(content.names)[:MAX_COLUMNS]
    numeric = {name: content.levels[name].numbers is not None for name in names if name in content.levels}
    listed = [k for k in LISTED if k != content.metric and k in content.table.columns]
    heads = [("Trial", False), (content.metric_label, True)]
    heads += [(name, numeric.get(name, True)) for name in names]
    heads += [(STATISTICS[k].label.split(" (")[0], True) for k in listed]
    part = content.table.iloc[rows]
    columns = [(column_of(part, name, parameter=True).tolist(), numeric.get(name, True)) for name in names]
    stats = [(column_of(part, k).tolist(), STATISTICS[k].unit) for k in listed]
    lines = []
    for k, trial in enumerate(part.index):
        cells = f'<td class="n">{frame.number(content.metric_values[rows[k]], content.metric_unit)}</td>'
        cells += "".join(
            f"<td{' class=n' if number else ''}>{escape(_cut(value_text(values[k])))}</td>"
            for values, number in columns
        )
        cells += "".join(f'<td class="n">{frame.number(values[k], unit)}</td>' for values, unit in stats)
        lines.append(f'<tr><th scope="row">{escape(str(trial))}</th>{cells}</tr>')
    title = f"The best {len(lines)}" if len(lines) > 1 else "The best"
    left_out = len(content.levels) - len(names)
    how = f"By {content.metric_inline}; trials that failed or went to ruin are left out."
    how += f" {left_out} more parameters are in the table of the sweep." if left_out > 0 else ""
    inner = f'<p class="how">{how}</p>' + _scroll(title, f"{_heads(heads)}<tbody>{''.join(lines)}</tbody>")
    return section(title, inner + _neighbours(content), "", "long")


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _neighbours(content: SweepContent) -> str:
    """Table of the trials one step away from the best."""
    table = neighbourhood(content)
    near = table[["metric_below", "metric_above"]].to_numpy(np.float64)
    near = near[np.isfinite(near)]
    if near.size == 0:
        return ""
    lines = []
    rows: list[Any] = list(table.itertuples(index=False))
    for name, row in zip(table.index, rows, strict=True):
        below, above = (
            "–" if value is None else f"{escape(value_text(value))}: {content.metric_text(float(metric))}"
            for value, metric in ((row.below, row.metric_below), (row.above, row.metric_above))
        )
        value = escape(value_text(row.value))
        lines.append(
            f'<tr><th scope="row">{escape(str(name))}</th><td class="n">{below}</td>'
            f'<td class="n">{value}</td><td class="n">{above}</td></tr>'
        )
    heads = _heads([("Parameter", False), ("One step below", True), ("Best", True), ("One step above", True)])
    worst = near.max() if content.smaller_is_better else near.min()
    said = (
        f"The best has {content.metric_text(float(content.metric_values[content.order[0]]))}; its {near.size} "
        f"neighbours, one step in one parameter away, have a median of {content.metric_text(float(np.median(near)))} "
        f"and {content.metric_text(float(worst))} at worst. A plateau is worth more than a peak."
    )
    return (
        f'<div class="gap"><h3>Peak or plateau</h3><p class="how">{said}</p>'
        f"<table>{heads}<tbody>{''.join(lines)}</tbody></table></div>"
    )


# -- the rest ------------------------------------------------------------------------------------------


def _slices(content: SweepContent, place: Any) -> str:
    shares = importance(content)
    if not shares:
        return ""
    names = list(shares)[:MAX_SLICES]
    charts = []
    for k, name in enumerate(names):
        heading = f"{escape(name)} · explains {100.0 * shares[name]:.0f}%" if len(shares) > 1 else ""
        charts.append(f"<div>{place(f'slice-{k}', parameter_slice(content, name), heading=heading)}</div>")
    label = content.metric_inline
    if len(shares) == 1:
        how = f"{content.metric_label} of each trial; the dotted line is at the best."
    else:
        how = (
            f"{content.metric_label} at each value of one parameter, over all values of the others: dark, the "
            "best; light, the median and the middle half of the trials; the dotted line is at the best trial. "
            f"Explains: share of the variance of the {label} that lies between the means at the values."
        )
    if len(shares) > len(names):
        how += f" The {len(names)} parameters that matter most of {len(shares)}."
    inner = charts[0] if len(charts) == 1 else f'<div class="pair slices">{"".join(charts)}</div>'
    return section("One parameter at a time", f'<p class="how">{how}</p>{inner}', "", "long")


def _cell(value: Any) -> tuple[str, bool]:
    if isinstance(value, (float, np.floating)):
        return ("–" if np.isnan(value) else f"{float(value):,.6g}".replace("-", "\N{MINUS SIGN}")), True
    return escape(_cut(str(value), 200)), isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _table(heading: str, table: pd.DataFrame) -> str:
    part = table.iloc[:MAX_ROWS, :MAX_COLUMNS]
    lines = []
    numeric = [True] * part.shape[1]
    for label, row in zip(part.index, part.itertuples(index=False, name=None), strict=True):
        cells = [_cell(value) for value in row]
        numeric = [a and b[1] for a, b in zip(numeric, cells, strict=True)]
        inner = "".join(f"<td{' class=n' if n else ''}>{text}</td>" for text, n in cells)
        lines.append(f'<tr><th scope="row">{_cell(label)[0]}</th>{inner}</tr>')
    heads = [(str(part.index.name or ""), False)]
    heads += list(zip(map(str, part.columns), numeric, strict=True))
    more = ""
    if part.shape != table.shape:
        rows, columns = table.shape
        more = f'<p class="how">Shown are {len(part)} of {rows:,} rows and {part.shape[1]} of {columns} columns.</p>'
    body = f"{_heads(heads)}<tbody>{''.join(lines)}</tbody>"
    inner = _scroll(heading, body) if len(heads) > FEW_COLUMNS else f"<table>{body}</table>"
    return section(heading, inner + more, "", "long")


def _errors(content: SweepContent) -> str:
    failed = content.failed
    if len(failed) == 0:
        return ""
    counts = failed.astype(str).value_counts()
    first = failed.astype(str).drop_duplicates()
    where = dict(zip(first, first.index, strict=True))
    lines = [
        f'<tr><th scope="row">{escape(_cut(str(text), 400))}</th><td class="n">{count:,}</td>'
        f'<td class="n">{escape(str(where[str(text)]))}</td></tr>'
        for text, count in counts.iloc[:MAX_ERRORS].items()
    ]
    heads = _heads([("Error", False), ("Trials", True), ("First trial", True)])
    more = ""
    if len(counts) > MAX_ERRORS:
        more = f'<p class="how">The {MAX_ERRORS} most frequent of {len(counts):,} different errors.</p>'
    return section(
        "Trials that failed", f"<table>{heads}<tbody>{''.join(lines)}</tbody></table>{more}", "", "long"
    )
