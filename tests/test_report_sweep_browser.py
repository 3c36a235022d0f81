"""The sweep's report in a real browser: drawn, quiet, inert, and its choices do what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import made_sweep as made
import numpy as np
import pytest
from test_report_browser import CHROMIUM, OPTIONS, Visit
from test_report_sweep import EVIL, evil_content

from quantlab.report import pivot, sweep_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quantlab.report import SweepContent

pytestmark = pytest.mark.browser

CHARTS = 8
SURFACE = "document.querySelector('[data-figure=surface]')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; sudo apt install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def content() -> SweepContent:
    return made.full_content()


@pytest.fixture(scope="module")
def report(content: SweepContent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "report.html"
    path.write_text(sweep_page(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def desktop(browser: Any, report: Path) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Visit(context.new_page()).open(report)
    context.close()


def cells(visit: Visit) -> np.ndarray:
    """Cells of the surface as drawn."""
    rows = visit.page.evaluate(f"Array.from({SURFACE}._fullData[0].z, r => Array.from(r))")
    return np.array([[np.nan if v is None else v for v in row] for row in rows], float)


def test_the_page_draws_every_figure_asks_for_nothing_and_complains_of_nothing(desktop, report):
    assert desktop.requests == [report.as_uri()]
    assert desktop.complaints == []
    assert desktop.page.get_attribute("html", "data-drawn") == str(CHARTS)
    drawn = "c.querySelector('.cartesianlayer .trace path, .cartesianlayer .hm image')"
    assert desktop.page.evaluate(f"Array.from(document.querySelectorAll('.chart')).every(c => {drawn})"), (
        "a chart is empty"
    )
    assert desktop.page.locator(".verdict").bounding_box()["y"] < 900


def test_the_two_parameters_and_how_they_are_shown_can_be_chosen(desktop, content):
    page, table = desktop.page, content.table
    np.testing.assert_allclose(cells(desktop), pivot(table, "fast", "slow").to_numpy(), rtol=1e-6)

    page.select_option("#surface-others", "median")
    desktop.until("document.getElementById('surface-caption').textContent.startsWith('Median')")
    middle = pivot(table, "fast", "slow", others="median")
    desktop.until(f"{SURFACE}._fullData[0].zmax < {np.nanmax(pivot(table, 'fast', 'slow').to_numpy())}")
    np.testing.assert_allclose(cells(desktop), middle.to_numpy(), rtol=1e-6)

    page.select_option("#surface-others", "fixed")
    desktop.until("document.getElementById('surface-caption').textContent.includes('at its value')")
    kind = table["kind"].iloc[content.best]
    fixed = pivot(table, "fast", "slow", others={"kind": kind})
    desktop.until(f"{SURFACE}._fullData[0].zmin > {np.nanmin(middle.to_numpy())}")
    np.testing.assert_allclose(cells(desktop), fixed.to_numpy(), rtol=1e-6)

    # Choosing what the other axis has exchanges the two.
    page.select_option("#surface-others", "best")
    page.select_option("#surface-x", label="slow")
    desktop.until(f"{SURFACE}._fullLayout.xaxis.title.text === 'slow'")
    assert page.evaluate("document.getElementById('surface-y').selectedOptions[0].textContent") == "fast"
    np.testing.assert_allclose(cells(desktop), pivot(table, "slow", "fast").to_numpy(), rtol=1e-6)

    page.select_option("#surface-y", label="kind")
    desktop.until(f"{SURFACE}._fullLayout.yaxis.title.text === 'kind'")
    np.testing.assert_allclose(cells(desktop), pivot(table, "slow", "kind").to_numpy(), rtol=1e-6)
    ring = page.evaluate(f"[{SURFACE}._fullData[1].x[0], {SURFACE}._fullData[1].y[0]]")
    assert ring == [str(table["slow"].iloc[content.best]), kind]

    page.select_option("#surface-kind", "contour")
    desktop.until(f"{SURFACE}._fullData[0].type === 'contour'")
    page.select_option("#surface-kind", "heatmap")
    desktop.until(f"{SURFACE}._fullData[0].type === 'heatmap'")
    assert desktop.complaints == []


def test_dark_and_light_follow_the_reader(desktop):
    top = f"{SURFACE}._fullData[0].colorscale.at(-1)[1]"
    for scheme, blue in (("dark", "#5ab4ee"), ("light", "#0067a5")):
        desktop.page.emulate_media(color_scheme=scheme)
        desktop.until(f"{top} === '{blue}'")


def test_text_from_outside_is_shown_and_does_not_run(browser, tmp_path):
    path = tmp_path / "evil.html"
    path.write_text(sweep_page(evil_content()), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(context.new_page())
    visit.page.on("dialog", lambda d: visit.complaints.append(d.message))
    visit.open(path)
    assert visit.page.locator("h1").inner_text() == EVIL
    visit.page.select_option("#surface-x", label=EVIL)
    visit.page.locator("[data-figure=surface] .nsewdrag").hover()
    assert visit.page.evaluate("document.images.length") == 0
    assert visit.page.evaluate("document.scripts.length") == 3
    assert visit.complaints == []
    context.close()


def test_a_narrow_screen_never_scrolls_sideways(browser, report):
    context = browser.new_context(
        viewport={"width": 400, "height": 844}, is_mobile=True, has_touch=True, color_scheme="dark"
    )
    visit = Visit(context.new_page()).open(report)
    for width in (400, 360, 820):
        visit.page.set_viewport_size({"width": width, "height": 844})
        visit.until(f"{SURFACE}._fullLayout.width <= {width}")
        assert visit.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    assert visit.complaints == []
    context.close()


def test_charts_tables_and_choices_have_names_for_a_screen_reader(desktop):
    def every(selector: str, holds: str) -> bool:
        found = f"Array.from(document.querySelectorAll({selector!r}))"
        return bool(desktop.page.evaluate(f"{found}.length > 0 && {found}.every(e => {holds})"))

    assert every(".chart", "e.getAttribute('aria-label')")
    assert every("th", "e.scope")
    assert every("select", "e.labels.length === 1")
    assert every("[aria-labelledby]", "document.getElementById(e.getAttribute('aria-labelledby'))")
