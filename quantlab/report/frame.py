"""What every report's page shares: the document, its policy, its sections, and lists of settings."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from quantlab.report.record import plain, script_element
from quantlab.report.statistics import format_value
from quantlab.report.style import stylesheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from quantlab.report.figures import Drawing

__all__ = ["Document", "chart", "header", "notes", "number", "run", "section", "word"]


@dataclass(frozen=True)
class Document:
    """A page complete in itself.

    Parameters
    ----------
    title : str
        Title of the window. Plain text.
    main, footer : str
        HTML, in which all text from outside is escaped already.
    figures : str
        JSON that `script` draws.
    script : str
        JavaScript that draws the figures, after Plotly.
    head : str
        HTML that goes into the head, after the style sheet.
    """

    title: str
    main: str
    footer: str
    figures: str
    script: str
    head: str = ""

    def html(self) -> str:
        """Text of the file; its policy allows the two scripts that are written here, and no request."""
        from plotly.offline import get_plotlyjs

        library = get_plotlyjs().replace("</script", "<\\/script")
        lines = [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(library, self.script)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(self.title)}</title>",
            f"<style>{stylesheet()}</style>",
            *filter(None, [self.head]),
            "</head>",
            "<body>",
            f"<main>{self.main}</main>",
            self.footer,
            script_element(self.figures, "quantlab-figures"),
            f"<script>{library}</script>",
            f"<script>{self.script}</script>",
            "</body>",
            "</html>",
            "",
        ]
        return "\n".join(lines)


def _policy(*scripts: str) -> str:
    """Policy that allows the scripts given, by their hash, and no request at all."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode('ascii')}'" for s in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


# -- parts of a page -----------------------------------------------------------------------------------


def header(kind: str, title: str, subtitle: str) -> str:
    """Head of the page: what kind of report it is, of what, and how that was run."""
    return (
        f'<header><p class="mark">quantlab · {escape(kind)}</p>'
        f"<h1>{escape(title)}</h1>"
        f'<p class="ran">{escape(subtitle)}</p></header>'
    )


def notes(given: Sequence[str]) -> str:
    """Box of warnings that a reader must see first; nothing where there are none."""
    if not given:
        return ""
    items = "".join(f"<li>{escape(str(note))}</li>" for note in given)
    heading = '<h2 id="s-notes">Read this first</h2>'
    return f'<aside class="notes" aria-labelledby="s-notes">{heading}<ul>{items}</ul></aside>'


def section(heading: str, inner: str, beside: str = "", kind: str = "") -> str:
    """Section with its heading; `inner` and `beside` are HTML."""
    name = "s-" + "".join(c if c.isalnum() else "-" for c in heading.lower())
    return (
        f'<section aria-labelledby="{name}"{f" class={kind}" if kind else ""}>'
        f'<div class="top"><h2 id="{name}">{escape(heading)}</h2>{beside}</div>{inner}</section>'
    )


def chart(name: str, drawing: Drawing, *, timed: bool = False, wide: bool = False, heading: str = "") -> str:
    """Place of a figure with its caption; the page's script draws it.

    Parameters
    ----------
    name : str
        Key of the figure in the page's data.
    drawing : Drawing
        Gives caption, summary and height.
    timed : bool
        Whether the figure moves with the others over time.
    wide : bool
        Whether a narrow screen scrolls the figure sideways and does not squeeze it.
    heading : str
        HTML of a small heading.
    """
    place = (
        f'<div class="chart" role="img" aria-label="{escape(drawing.summary)}" data-figure="{name}"'
        f'{" data-time" if timed else ""} style="--h:{drawing.height}px"></div>'
    )
    if wide:
        place = f'<div class="wide" tabindex="0" role="group" aria-label="Scrollable chart">{place}</div>'
    head = f"<h3>{heading}</h3>" if heading else ""
    caption = f'<figcaption id="{name}-caption">{escape(drawing.caption)}</figcaption>'
    return f"{head}<figure>{place}{caption}</figure>"


def number(value: float, unit: str) -> str:
    """Show a number to a reader, with its exact value in the element."""
    return f'<data value="{float(value)!r}">{format_value(float(value), unit)}</data>'


# -- how it was run ------------------------------------------------------------------------------------


def _is_table(value: Any) -> bool:
    """Tell whether a setting is a whole table: a mapping with rows that are mappings."""
    inner = value.values() if hasattr(value, "items") else ()
    return any(isinstance(v, (list, tuple)) and any(hasattr(row, "items") for row in v) for v in inner)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings as lines: nested names joined by dots, values as text, a table by its name."""
    if prefix and _is_table(value):
        yield prefix, str(value.get("name") or "table, in full below")
    elif hasattr(value, "items") and len(value):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, (list, tuple)):
        yield prefix, ", ".join(word(v) for v in value) or "none"
    elif prefix:
        yield prefix, word(value)


def word(value: Any) -> str:
    """One setting for a reader, as plain text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,.15g}"
    return "none" if value is None or hasattr(value, "items") else str(value)


def _pairs(heading: str, pairs: Iterator[tuple[str, str]], *, code: bool) -> str:
    rows = "".join(
        f'<tr><th scope="row" class="key">{escape(key)}</th>'
        f"<td>{f'<code>{escape(v)}</code>' if code else escape(v)}</td></tr>"
        for key, v in pairs
    )
    return f"<div><h3>{heading}</h3><table><tbody>{rows}</tbody></table></div>" if rows else ""


def run(settings: Mapping[str, Any], fingerprint: Mapping[str, str]) -> str:
    """Section with the settings and the fingerprint; nothing where there are none."""
    inner = _pairs("Settings", _flat(settings), code=False)
    inner += _pairs("Fingerprint", _flat(fingerprint), code=True)
    if not inner:
        return ""
    full = escape(json.dumps(plain(settings, "settings"), indent=1, ensure_ascii=False))
    more = (
        "<details><summary>All settings in full</summary>"
        '<div class="scroll" tabindex="0" role="group" aria-label="Settings">'
        f"<pre>{full}</pre></div></details>"
    )
    return section("How it was run", f'<div class="run">{inner}</div>{more}', "", "long")
