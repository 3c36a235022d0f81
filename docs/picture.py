"""Make docs/report.png, the picture in the README: the report of its first run, in a browser (`make docs`)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import quantlab as ql
from quantlab.engine.loader import load_strategy

PROJECT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1180, "height": 960}


def main() -> int:
    """Write the picture; 1 where there is no browser."""
    browser_path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser_path is None:
        sys.stderr.write(f"no browser found ({', '.join(BROWSERS)}); docs/report.png is left as it is\n")
        return 1
    strategy = load_strategy(str(PROJECT / "strategies" / "sma_cross.py"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        report = ql.backtest(strategy, ql.sample()).report(Path(folder) / "report.html")
        browser = driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(report.as_uri())
        page.wait_for_selector(".main-svg", timeout=60_000)
        page.wait_for_timeout(2_000)
        page.screenshot(path=str(PROJECT / "docs" / "report.png"))
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
