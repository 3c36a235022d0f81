"""The report in a real browser: drawn, quiet, inert, and readable on a telephone and on paper."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from report_content import random_content

from quantlab.report import render
from quantlab.report.statistics import STATISTICS, format_value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.browser

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHARTS = 7
EQUITY = "document.querySelector('[data-figure=equity]')"
LINE = f"{EQUITY}._fullData[1].line.color"
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


class Visit:
    """One page as a browser sees it: what it asked for and what it complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda r: self.requests.append(r.url))
        page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.complaints.append(str(e)))

    def open(self, path: Path) -> Visit:
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn]", timeout=60_000)
        return self

    def drawn(self) -> int:
        shapes = "c.querySelector('.cartesianlayer .trace path, .cartesianlayer .hm image')"
        return int(
            self.page.evaluate(
                f"Array.from(document.querySelectorAll('.chart')).filter(c => {shapes}).length"
            )
        )

    def until(self, condition: str) -> None:
        """Wait for a condition, looked at once a frame: the page's policy forbids Playwright's own way."""
        self.page.evaluate(
            f"""new Promise((done, fail) => {{
              const last = performance.now() + 30000;
              (function look() {{
                if ({condition}) {{ done(); }}
                else if (performance.now() > last) {{ fail(new Error({condition!r} + " never held")); }}
                else {{ requestAnimationFrame(look); }}
              }}());
            }})"""
        )


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
def content() -> Any:
    return random_content(
        320,
        ("AAPL", EVIL),
        seed=3,
        title=EVIL,
        benchmark_name=f"Hold {EVIL}",
        notes=["Orders fill at the signal bar's own close.", EVIL],
    )


@pytest.fixture(scope="module")
def report(content: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def desktop(browser: Any, report: Path) -> Iterator[Visit]:
    """The report, open once on a laptop's screen for all tests that leave it usable."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield Visit(context.new_page()).open(report)
    context.close()


def test_the_page_draws_every_figure_asks_for_nothing_and_complains_of_nothing(desktop, report, content):
    assert desktop.requests == [report.as_uri()]
    assert desktop.complaints == []
    assert desktop.drawn() == CHARTS
    for key in ("total_return", "cagr", "sharpe", "max_drawdown", "n_trades"):
        shown = format_value(content.stats[key], STATISTICS[key].unit)
        value = desktop.page.locator(".headline .value", has_text=shown).first
        assert value.is_visible(), key
        assert value.bounding_box()["y"] < 900, key
    assert desktop.page.locator("[data-figure=equity]").bounding_box()["y"] < 900


def test_a_symbol_that_is_a_script_is_shown_and_does_not_run(desktop):
    page = desktop.page
    assert page.locator("h1").inner_text() == EVIL
    assert page.locator("#asset option").nth(1).inner_text() == EVIL
    page.select_option("#asset", "1")
    page.locator("summary").first.click()
    page.locator("[data-figure=equity] .nsewdrag").hover()
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("document.scripts.length") == 4
    assert page.title() != "owned"
    assert desktop.complaints == []


def test_log_scale_zoom_and_the_choice_of_an_asset_work(desktop):
    page = desktop.page
    assert page.evaluate(f"{EQUITY}._fullLayout.yaxis.type") == "linear"
    page.click("#log")
    desktop.until(f"{EQUITY}._fullLayout.yaxis.type === 'log'")
    assert page.get_attribute("#log", "aria-pressed") == "true"
    closes = "Array.from(document.querySelector('[data-figure=prices]')._fullData[0].close).join()"
    page.select_option("#asset", "0")
    first = page.evaluate(closes)
    page.select_option("#asset", "1")
    desktop.until(f"{closes} !== '{first}'")
    page.evaluate(f"Plotly.relayout({EQUITY}, {{'xaxis.range': ['2005-01-03', '2005-03-01']}})")
    for name in ("drawdown", "exposure", "prices"):
        axis = f"document.querySelector('[data-figure={name}]')._fullLayout.xaxis"
        desktop.until(f"{axis}.range[0].startsWith('2005-01-03')")
    assert desktop.complaints == []


def test_dark_and_light_follow_the_reader_also_while_the_page_is_open(desktop):
    seen = {}
    for scheme, blue in (("light", "#0067a5"), ("dark", "#5ab4ee"), ("light", "#0067a5")):
        desktop.page.emulate_media(color_scheme=scheme)
        desktop.until(f"{LINE} === '{blue}'")
        seen[scheme] = desktop.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen == {"light": "rgb(247, 247, 245)", "dark": "rgb(16, 18, 22)"}


def test_the_page_prints_in_light_colours_and_comes_back(desktop):
    desktop.page.emulate_media(color_scheme="dark")
    desktop.until(f"{LINE} === '#5ab4ee'")
    desktop.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    desktop.until(f"{LINE} === '#0067a5'")
    desktop.page.evaluate("dispatchEvent(new Event('afterprint'))")
    desktop.until(f"{LINE} === '#5ab4ee'")
    assert len(desktop.page.pdf(format="A4")) > 50_000
    assert desktop.complaints == []


def test_headings_tables_and_charts_have_names_for_a_screen_reader(desktop):
    def every(selector: str, holds: str) -> bool:
        found = f"Array.from(document.querySelectorAll({selector!r}))"
        return bool(desktop.page.evaluate(f"{found}.length > 0 && {found}.every(e => {holds})"))

    assert desktop.page.evaluate("document.querySelectorAll('h1').length") == 1
    assert every(".chart", "e.getAttribute('aria-label')")
    assert every("th", "e.scope")
    assert every("select", "e.labels.length === 1")
    assert every("[aria-labelledby]", "document.getElementById(e.getAttribute('aria-labelledby'))")


def test_a_narrow_screen_never_scrolls_sideways(browser, report):
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme="dark"
    )
    visit = Visit(context.new_page()).open(report)
    for width in (390, 360, 820):
        visit.page.set_viewport_size({"width": width, "height": 844})
        visit.until(f"{EQUITY}._fullLayout.width <= {width}")
        assert visit.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    assert visit.drawn() == CHARTS
    assert visit.complaints == []
    context.close()


def test_a_script_or_a_picture_put_into_the_file_is_refused_by_the_policy(browser, report, tmp_path):
    text = report.read_text(encoding="utf-8")
    library = max(re.findall(r"<script>.*?</script>", text, re.DOTALL), key=len)
    spoiled = tmp_path / "spoiled.html"
    planted = "<main><script>document.title='owned'</script><img src='https://example.com/x.png'>"
    spoiled.write_text(text.replace(library, "").replace("<main>", planted), encoding="utf-8")
    context = browser.new_context()
    visit = Visit(context.new_page())
    visit.page.goto(spoiled.as_uri())
    assert visit.page.title() != "owned"
    refused = [c for c in visit.complaints if "Content Security Policy" in c]
    assert len(refused) == 2
    context.close()
