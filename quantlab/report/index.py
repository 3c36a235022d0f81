"""An index page: what a folder holds, what was found, and the commands that do it again. Text in, HTML out."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from quantlab.report.style import stylesheet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["IndexPage", "Part", "render_index"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The page loads nothing and runs nothing."""


@dataclass(frozen=True)
class Part:
    """One part of the page.

    Parameters
    ----------
    heading : str
        What it is about.
    text : str
        One paragraph.
    rows : sequence of tuple of str
        A table: the first column names, the others are numbers; the first row is the heading.
    lines : sequence of str
        Lines that are shown as they are, such as commands.
    links : sequence of tuple of str
        Files beside the page: relative path, and what it is.
    """

    heading: str
    text: str = ""
    rows: Sequence[tuple[str, ...]] = ()
    lines: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class IndexPage:
    """The whole page: a title, a sentence below it, and parts."""

    title: str
    sentence: str
    parts: Sequence[Part] = field(default=())


def render_index(page: IndexPage) -> str:
    """Render an index page as one HTML file. Everything given is escaped.

    Parameters
    ----------
    page : IndexPage
        What it says.
    """
    body = "".join(_part(part) for part in page.parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(page.title)}</title><style>{stylesheet()}{_RULES}</style></head><body><main>"
        f'<header><p class="mark">quantlab</p><h1>{escape(page.title)}</h1>'
        f'<p class="ran">{escape(page.sentence)}</p></header>{body}</main></body></html>\n'
    )


_RULES = """
.index table { border-collapse: collapse; margin: 10px 0 0; }
.index th, .index td { padding: 3px 22px 3px 0; text-align: right; border-bottom: 1px solid var(--rule); }
.index th:first-child, .index td:first-child { text-align: left; }
.index th { color: var(--muted); font-weight: 600; }
.index pre { margin: 10px 0 0; white-space: pre-wrap; font-size: 13px; }
.index ul { margin: 8px 0 0; padding-left: 18px; }
"""


def _part(part: Part) -> str:
    inner = f"<h2>{escape(part.heading)}</h2>"
    if part.text:
        inner += f"<p>{escape(part.text)}</p>"
    if part.rows:
        head, *rows = part.rows
        cells = "".join(f"<th>{escape(c)}</th>" for c in head)
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        inner += f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    if part.lines:
        inner += f"<pre>{escape(chr(10).join(part.lines))}</pre>"
    if part.links:
        items = "".join(f'<li><a href="{_safe(p)}">{escape(p)}</a>: {escape(t)}</li>' for p, t in part.links)
        inner += f"<ul>{items}</ul>"
    return f'<section class="index">{inner}</section>'


def _safe(path: str) -> str:
    """Relative path as it may stand in a link: never another scheme, never outside the folder.

    Raises
    ------
    ValueError
        For a path that leads elsewhere.
    """
    from urllib.parse import quote

    if path.startswith(("/", "\\")) or ":" in path or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of the page's folder")
    return escape(quote(path))
