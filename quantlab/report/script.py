"""The few lines of JavaScript that draw the figures of a page."""

from __future__ import annotations

__all__ = ["SCRIPT", "program"]

_START = """
(function () {
  "use strict";
  const drawings = JSON.parse(document.getElementById("quantlab-figures").textContent);
  const darkOf = new Map(Object.entries(drawings.dark));
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const charts = Array.from(document.querySelectorAll(".chart"));
  const config = { displayModeBar: false, responsive: true, doubleClick: "reset" };
  let isDark = false;
  let paper = false;

  // Figures are written in light colours; every colour has one dark twin.
  function themed(value) {
    if (typeof value === "string") { return darkOf.get(value) || value; }
    if (Array.isArray(value)) { return value.map(themed); }
    if (value && typeof value === "object") {
      const copy = {};
      for (const key of Object.keys(value)) { copy[key] = themed(value[key]); }
      return copy;
    }
    return value;
  }

  function specOf(chart) {
    const all = drawings.figures[chart.dataset.figure];
    const one = Array.isArray(all) ? all[Number(chart.dataset.index || 0)] : all;
    const copy = JSON.parse(JSON.stringify(one));
    adjust(copy, chart);
    return isDark && !paper ? themed(copy) : copy;
  }

  function draw(chart, width) {
    const spec = specOf(chart);
    spec.layout.dragmode = touch ? false : "zoom";
    if (width) { spec.layout.width = width; spec.layout.height = chart.clientHeight; }
    return Plotly.react(chart, spec.data, spec.layout, config);
  }

  // One after the other, so that the first is seen while the others are drawn.
  // The preference may change meanwhile, and reading it swallows its event: so it is read before and after.
  let drawing = false;
  let again = false;
  async function drawAll() {
    again = true;
    if (drawing) { return; }
    drawing = true;
    while (again || isDark !== prefersDark.matches) {
      again = false;
      isDark = prefersDark.matches;
      for (const chart of charts) {
        await draw(chart);
        await new Promise(function (done) { setTimeout(done); });
      }
    }
    drawing = false;
  }
"""

_END = """
  prefersDark.addEventListener("change", function () { drawAll(); });
  addEventListener("beforeprint", function () {
    paper = true;
    charts.forEach(function (chart) { draw(chart, 640); });
  });
  addEventListener("afterprint", function () { paper = false; drawAll(); });

  drawAll().then(function () {
    ready();
    document.documentElement.dataset.drawn = String(charts.length);
  });
}());
"""

_BACKTEST = """
  const timed = charts.filter(function (chart) { return "time" in chart.dataset; });
  let range = null;
  let logarithmic = false;

  function adjust(spec, chart) {
    if ("time" in chart.dataset && range) { spec.layout.xaxis.range = range.slice(); }
    if (chart.dataset.figure === "equity" && logarithmic) {
      Object.assign(spec.layout.yaxis, { type: "log" }, spec.layout.meta.log);
    }
  }

  // Charts over time move together.
  let moving = false;
  function follow(source) {
    source.on("plotly_relayout", function (change) {
      if (moving) { return; }
      let next;
      const first = change["xaxis.range[0]"];
      if (first !== undefined) { next = [first, change["xaxis.range[1]"]]; }
      else if (change["xaxis.range"]) { next = change["xaxis.range"]; }
      else if (change["xaxis.autorange"]) { next = null; }
      else { return; }
      range = next;
      moving = true;
      const update = next ? { "xaxis.range": next.slice() } : { "xaxis.autorange": true };
      Promise.all(timed.filter(function (c) { return c !== source; }).map(function (c) {
        return Plotly.relayout(c, update);
      })).finally(function () { moving = false; });
    });
  }

  const toggle = document.getElementById("log");
  if (toggle) {
    toggle.addEventListener("click", function () {
      logarithmic = !logarithmic;
      toggle.setAttribute("aria-pressed", String(logarithmic));
      draw(document.querySelector('[data-figure="equity"]'));
    });
  }

  const select = document.getElementById("asset");
  if (select) {
    select.addEventListener("change", function () {
      const chart = document.querySelector('[data-figure="prices"]');
      const caption = document.getElementById("prices-caption");
      chart.dataset.index = select.value;
      caption.textContent = drawings.captions[Number(select.value)];
      chart.setAttribute("aria-label", drawings.summaries[Number(select.value)]);
      draw(chart);
    });
  }

  function ready() { timed.forEach(follow); }
"""


def program(part: str) -> str:
    """Program of a page: drawing, light and dark, and paper, with what is its own.

    Parameters
    ----------
    part : str
        JavaScript that defines ``adjust(spec, chart)``, which changes a figure before it is drawn, and
        ``ready()``, which is called once when all are.

    Returns
    -------
    str
        It runs once, at the end of the page, after Plotly; it reads data and touches nothing but the charts.
    """
    return _START + part + _END


SCRIPT = program(_BACKTEST)
"""Program of a backtest's page."""
