"""Looks of the report's page."""

from __future__ import annotations

from quantlab.report.palette import FONT, PALETTE

__all__ = ["stylesheet"]

_RULES = """
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 var(--font); font-variant-numeric: tabular-nums lining-nums; overflow-wrap: anywhere;
}
main, footer { max-width: 1180px; margin: 0 auto; padding: 0 32px; }
header { padding: 34px 0 22px; }
.mark {
  margin: 0 0 10px; color: var(--muted); font-size: 12px; letter-spacing: .09em; text-transform:
  uppercase;
}
h1 { margin: 0; font-size: 34px; line-height: 1.15; font-weight: 650; letter-spacing: -.022em; }
.ran { margin: 8px 0 0; color: var(--muted); font-size: 15.5px; }
h2 { margin: 0 0 2px; font-size: 18px; line-height: 1.3; font-weight: 620; letter-spacing: -.008em; }
h3 {
  margin: 0 0 8px; font-size: 12px; font-weight: 600; letter-spacing: .07em; text-transform: uppercase;
  color: var(--muted);
}
p { margin: 0; }
section {
  margin: 0 0 16px; padding: 20px 24px 18px; background: var(--surface); border: 1px solid var(--rule);
  border-radius: 10px;
}
section > :last-child { margin-bottom: 0; }

.notes {
  margin: 0 0 18px; padding: 13px 20px; border: 1px solid var(--warn); border-left-width: 5px;
  border-radius: 8px; background: var(--warn_soft);
}
.notes h2 { color: var(--warn); font-size: 15px; }
.notes ul { margin: 4px 0 0; padding-left: 18px; }

.headline {
  display: grid; grid-template-columns: repeat(6, 1fr); margin: 0 0 16px; padding: 0; background:
  var(--surface); border: 1px solid var(--rule); border-radius: 10px; overflow: hidden;
}
.headline > div {
  display: flex; flex-direction: column; padding: 16px 12px 15px 20px; border-left: 1px solid
  var(--rule); margin-left: -1px; min-width: 0;
}
.headline dt { color: var(--muted); font-size: 13px; }
.headline dd { margin: 0; }
.headline .value {
  font-size: 27px; line-height: 1.25; font-weight: 620; letter-spacing: -.025em; white-space: nowrap;
}
.headline .beside { color: var(--muted); font-size: 12.5px; line-height: 1.35; }

.headline.fit { grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.verdict { margin: 0 0 16px; font-size: 21px; line-height: 1.35; font-weight: 560; letter-spacing: -.012em; }
.meaning { margin: -6px 2px 16px; font-size: 13px; color: var(--muted); }
.meaning p { margin-top: 4px; }
.meaning b { color: var(--ink); font-weight: 600; }
.choices { display: flex; flex-wrap: wrap; gap: 8px 18px; margin: 10px 0 4px; }
.choices > span { display: flex; align-items: baseline; gap: 7px; min-width: 0; }
.how + table, .top + table { margin-top: 10px; }
.slices { margin-top: 16px; }
.slices h3 { text-transform: none; letter-spacing: 0; font-size: 13px; margin: 0; }

.top {
  display: flex; justify-content: space-between; align-items: baseline; gap: 8px 16px; flex-wrap: wrap;
}
.top > span { display: flex; align-items: baseline; gap: 7px; max-width: 100%; min-width: 0; }
select { min-width: 0; }
button, select {
  font: inherit; font-size: 13px; color: var(--ink); background: var(--surface); border: 1px solid
  var(--rule); border-radius: 7px; padding: 4px 11px; cursor: pointer; max-width: 100%;
}
button:hover, select:hover { border-color: var(--muted); }
button[aria-pressed="true"] { background: var(--ink); color: var(--surface); border-color: var(--ink); }
:focus-visible { outline: 2px solid var(--gain); outline-offset: 2px; }
label { color: var(--muted); font-size: 13px; }

figure { margin: 4px 0 0; min-width: 0; }
.chart { width: 100%; height: var(--h); overflow: hidden; }
.wide { overflow-x: auto; overflow-y: hidden; }
.wide .chart { min-width: 620px; }
figcaption { margin-top: 4px; color: var(--muted); font-size: 12.5px; line-height: 1.45; max-width: 116ch; }
.gap { margin-top: 18px; padding-top: 16px; border-top: 1px solid var(--rule); }
section > .pair { margin-top: 14px; gap: 16px 36px; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 16px; }

.statistics {
  display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 0 36px; margin-top: 14px;
}
table { width: 100%; border-collapse: collapse; }
caption { text-align: left; }
th, td {
  padding: 7px 0; text-align: left; vertical-align: baseline; border-top: 1px solid var(--rule);
  font-weight: inherit;
}
thead th { border-top: 0; color: var(--muted); font-size: 12.5px; padding-top: 0; vertical-align: bottom; }
tbody tr:first-child > * { border-top-color: var(--muted); }
th[scope="row"] { padding-right: 14px; }
.n { text-align: right; white-space: nowrap; padding-left: 14px; }
td.n { font-weight: 560; }
.how { display: block; color: var(--muted); font-size: 12px; line-height: 1.4; overflow-wrap: break-word; }
tfoot th, tfoot td { border-top: 1px solid var(--muted); font-weight: 650; }
.scroll { overflow-x: auto; max-height: 420px; overflow-y: auto; margin-top: 10px; }
.scroll table { font-size: 13px; min-width: 760px; }
.scroll th, .scroll td { padding: 5px 10px 5px 0; font-weight: inherit; white-space: nowrap; }
.scroll thead th {
  position: sticky; top: 0; background: var(--surface); box-shadow: 0 1px 0 var(--muted); font-weight:
  550;
}
.scroll .n { padding: 5px 10px 5px 12px; }
.win { color: var(--gain); } .lost { color: var(--loss); }
pre { margin: 0; font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--muted); font-size: 13.5px; }
summary:hover { color: var(--ink); }
.findings details { margin-top: 0; border-top: 1px solid var(--rule); }
.findings details:first-child { border-top: 0; }
.findings summary { display: flex; gap: 10px; align-items: baseline; padding: 8px 0; color: var(--ink); }
.findings summary b {
  flex: none; min-width: 74px; padding: 1px 8px; border-radius: 5px; font-size: 12px; font-weight: 600;
  text-align: center; color: var(--muted); border: 1px solid var(--rule);
}
.findings summary .warning { color: var(--warn); border-color: var(--warn); background: var(--warn_soft); }
.findings summary::after { content: "rows"; margin-left: auto; flex: none; color: var(--muted); font-size: 12.5px; }
.findings details[open] > summary::after { content: "hide"; }
.findings .scroll { margin: 0 0 12px; }
.findings .scroll table { min-width: 0; }
.findings .scroll :is(th, td):not(.n) { padding-left: 14px; }
.findings .scroll :is(th, td):first-child { padding-left: 0; }
code {
  font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace;
  overflow-wrap: anywhere;
}
.run > div { margin-top: 14px; }
.run table { font-size: 13.5px; }
.run > div:first-child { columns: 2; column-gap: 36px; }
.run h3 { column-span: all; }
.run th, .run td { padding: 5px 0; }
.run tr { break-inside: avoid; }
.run tbody tr:first-child > * { border-top-color: var(--rule); }
.key { color: var(--muted); width: 38%; }
.run .key { padding-right: 12px; }
footer { padding-top: 8px; padding-bottom: 40px; color: var(--muted); font-size: 12.5px; }
.hidden {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space:
  nowrap;
}

@media (max-width: 1000px) {
  .statistics { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .statistics > div { margin-bottom: 18px; }
  .headline { grid-template-columns: repeat(3, 1fr); }
  .headline > div:nth-child(n+4) { border-top: 1px solid var(--rule); }
}
@media (max-width: 720px) {
  main, footer { padding: 0 14px; }
  header { padding: 22px 2px 16px; }
  h1 { font-size: 27px; }
  section { padding: 16px 15px 14px; }
  .headline { grid-template-columns: 1fr 1fr; }
  .headline > div { padding: 12px 10px 11px 15px; }
  .headline > div:nth-child(n+3) { border-top: 1px solid var(--rule); }
  .headline .value { font-size: 23px; }
  .pair, .statistics { grid-template-columns: minmax(0, 1fr); }
  .costs tr {
    display: grid; grid-template-columns: repeat(3, 1fr); gap: 2px 10px; padding: 8px 0; border-top:
    1px solid var(--rule);
  }
  .costs thead tr { border-top: 0; padding-top: 0; }
  .costs tr > * { border: 0; padding: 0; }
  .costs tr > :first-child { grid-column: 1 / -1; }
  .costs tr > :nth-child(2) { text-align: left; }
  .costs thead th:first-child { display: none; }
  .chart { height: calc(var(--h) * .82); }
  .wide .chart { height: var(--h); }
  .run > div:first-child { columns: 1; }
  .key { width: 50%; }
}
@media print {
  @page { margin: 13mm; }
  body { background: none; font-size: 12.5px; }
  main, footer { max-width: none; padding: 0; }
  header { padding-top: 0; }
  section, .headline { border-color: var(--rule); break-inside: avoid; }
  section.long { break-inside: auto; }
  section { padding: 14px 16px 12px; }
  tr, figure, .notes { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .headline { grid-template-columns: repeat(3, 1fr); }
  .headline > div:nth-child(n+4) { border-top: 1px solid var(--rule); }
  .statistics { display: block; columns: 2; column-gap: 30px; }
  .pair { display: block; }
  .pair > div + div { margin-top: 16px; }
  .pair > section { margin-bottom: 16px; }
  .scroll { max-height: none; overflow: visible; }
  .scroll table { font-size: 10px; min-width: 0; }
  button, .screen, noscript { display: none; }
}
"""


def _variables(column: int) -> str:
    return "".join(f"--{role}: {colours[column]}; " for role, colours in PALETTE.items())


def stylesheet() -> str:
    """CSS of the page: its colours light and dark (light on paper), no import, no font, no picture."""
    return (
        f":root {{ color-scheme: light dark; --font: {FONT}; {_variables(0)}}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(1)}}} }}" + _RULES
    )
