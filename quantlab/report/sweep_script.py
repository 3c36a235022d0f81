"""What the page of a sweep does beside drawing: the choice of two parameters and of how they are shown."""

from __future__ import annotations

from quantlab.report.script import program

__all__ = ["SWEEP_SCRIPT"]

_SWEEP = """
  const surfaces = drawings.surfaces;
  const chosen = { x: 0, y: 1, others: "best", kind: "heatmap" };

  function option(name) { return document.getElementById("surface-" + name); }

  function pairOf() {
    const low = Math.min(chosen.x, chosen.y);
    const high = Math.max(chosen.x, chosen.y);
    return surfaces.pairs.find(function (pair) { return pair.x === low && pair.y === high; });
  }

  // Cells are 32-bit numbers, row by row along the first parameter; turned where that is the upright one.
  function rowsOf(text, nAcross, nUp, turned) {
    const bytes = Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); });
    const view = new DataView(bytes.buffer);
    const rows = [];
    for (let up = 0; up < (turned ? nAcross : nUp); up += 1) {
      const row = [];
      for (let across = 0; across < (turned ? nUp : nAcross); across += 1) {
        const place = turned ? across * nAcross + up : up * nAcross + across;
        const value = view.getFloat32(4 * place, true);
        row.push(Number.isFinite(value) ? value : null);
      }
      rows.push(row);
    }
    return rows;
  }

  function adjust(spec, chart) {
    if (chart.dataset.figure !== "surface") { return; }
    const pair = pairOf();
    const turned = chosen.x > chosen.y;
    const mode = chosen.others in pair.cells ? chosen.others : "best";
    const labels = turned ? [pair.labels[1], pair.labels[0]] : pair.labels;
    const names = [surfaces.names[chosen.x], surfaces.names[chosen.y]];
    const cells = spec.data[0];
    cells.type = chosen.kind;
    if (chosen.kind === "contour") { Object.assign(cells, JSON.parse(JSON.stringify(surfaces.contour))); }
    cells.x = labels[0];
    cells.y = labels[1];
    cells.z = rowsOf(pair.cells[mode], pair.labels[0].length, pair.labels[1].length, turned);
    Object.assign(cells, JSON.parse(JSON.stringify(surfaces.scales[mode])));
    cells.hovertemplate = names[0] + " %{x}<br>" + names[1] + " %{y}<br>" + surfaces.hover;
    const best = pair.at ? (turned ? [pair.at[1], pair.at[0]] : pair.at) : null;
    spec.data[1].x = best ? [labels[0][best[0]]] : [];
    spec.data[1].y = best ? [labels[1][best[1]]] : [];
    spec.layout.xaxis.title.text = names[0];
    spec.layout.yaxis.title.text = names[1];
  }

  function describe() {
    const pair = pairOf();
    let text = surfaces.captions[chosen.others in pair.cells ? chosen.others : "best"];
    if (pair.binned) { text += " " + surfaces.captions.binned; }
    document.getElementById("surface-caption").textContent = text;
  }

  function choose(name, value) {
    const other = name === "x" ? "y" : "x";
    if ((name === "x" || name === "y") && value === chosen[other]) {
      chosen[other] = chosen[name];
      option(other).value = String(chosen[other]);
    }
    chosen[name] = value;
    describe();
    draw(document.querySelector('[data-figure="surface"]'));
  }

  if (surfaces) {
    chosen.x = surfaces.first[0];
    chosen.y = surfaces.first[1];
    for (const name of ["x", "y", "others", "kind"]) {
      const select = option(name);
      if (!select) { continue; }
      // A browser may keep the choice of the last visit.
      select.value = String(chosen[name]);
      select.addEventListener("change", function () {
        choose(name, name === "x" || name === "y" ? Number(select.value) : select.value);
      });
    }
  }

  function ready() {}
"""

SWEEP_SCRIPT = program(_SWEEP)
"""Program of a sweep's page."""
