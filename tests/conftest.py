"""What every test shares: real prices, the hypothesis profile, and the account of what was skipped."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

UNSKIP = (
    (r"QUANTLAB_SHARED_DATA", "QUANTLAB_SHARED_DATA=/path/to/data make test"),
    (r"numba is switched off", "unset NUMBA_DISABLE_JIT; make test  (its second pass runs compiled)"),
    (r"chrom", "sudo apt install chromium && make test"),
    (r"could not import '(\S+)'", "make test  (installs the dev extra, which brings {})"),
)
"""What a skip's reason says, and the command that makes the test run."""

ALLOWED_IN_CI = ((r"numba is switched off", os.environ.get("NUMBA_DISABLE_JIT") == "1"),)
"""Reasons that may skip a test in CI, each with when it may; everything else that is skipped there fails.

The kernels' tests run twice, as plain Python and compiled; tests of compiling itself run in the second pass.
"""

settings.register_profile(
    "quantlab",
    deadline=None,  # the first example compiles kernels
    max_examples=50,
    derandomize=IN_CI,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quantlab")


# -- fixtures ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def project() -> Path:
    """Top folder of the project."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real prices: QUANTLAB_SHARED_DATA, or shared/data beside the project."""
    given = os.environ.get("QUANTLAB_SHARED_DATA")
    folder = Path(given) if given else PROJECT.parent / "shared" / "data"
    if given and not folder.is_dir():
        pytest.fail(
            f"QUANTLAB_SHARED_DATA={given} is no folder; unset it, or name the folder of real prices."
        )
    if not folder.is_dir():
        pytest.skip(f"no real prices at {folder}; set QUANTLAB_SHARED_DATA to their folder")
    return folder


# -- what holds for every run --------------------------------------------------------------------------

CHECKED, SMALL = 3, 5_000
"""Runs of a test whose money is counted, and bars x assets of the largest of them: each is run twice more."""


@pytest.fixture(autouse=True)
def _money_is_neither_made_nor_lost(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Check the accounting identities on the first runs of every test."""
    module = sys.modules.get("quantlab.engine.result")
    if module is None or request.node.get_closest_marker("planted") is not None:
        yield
        return
    from identities import (
        assert_money_is_neither_made_nor_lost,
    )  # where a test copies this file alone, it is not there

    seen: list[Any] = []
    init = module.Result.__init__

    def noting(self: Any, setup: Any, *args: Any, **options: Any) -> None:
        init(self, setup, *args, **options)
        if len(seen) < CHECKED and 0 < setup.bars.close.size <= SMALL:
            seen.append(self)

    with monkeypatch.context() as patched:
        patched.setattr(module.Result, "__init__", noting)
        yield
    for result in seen:
        assert_money_is_neither_made_nor_lost(result)


# -- marks ---------------------------------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of kernels by the module they mirror, so that they can run as plain Python too."""
    kernels = {path.stem for path in (PROJECT / "quantlab" / "kernels").glob("[a-z]*.py")}
    kernels |= {"engine_rules", "inside_rules"}
    for item in items:
        if item.path.stem.removeprefix("test_").removeprefix("kernels_") in kernels:
            item.add_marker(pytest.mark.kernels)
        if item.path.stem.startswith("test_peers_"):
            item.add_marker(pytest.mark.peers)


# -- what was skipped ----------------------------------------------------------------------------------


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return reason.removeprefix("Skipped: ")


def _unskip_command(reason: str) -> str:
    for pattern, command in UNSKIP:
        match = re.search(pattern, reason, re.IGNORECASE)
        if match:
            return command.format(*match.groups())
    return "see the reason"


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not IN_CI or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _skip_reason(report)
    if not any(when and re.search(pattern, reason) for pattern, when in ALLOWED_IN_CI):
        report.outcome = "failed"
        report.longrepr = (
            f"skipped, and in CI nothing is skipped: {reason}\nto run it: {_unskip_command(reason)}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    """End with what was skipped, why, and the command that un-skips it."""
    reasons: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reasons.setdefault(_skip_reason(report), []).append(report.nodeid)
    if not reasons:
        terminalreporter.write_line("nothing was skipped")
        return
    terminalreporter.section("skipped")
    for reason, tests in sorted(reasons.items()):
        files = sorted({test.partition("::")[0] for test in tests})
        terminalreporter.write_line(f"{len(tests):4d}  {reason}")
        terminalreporter.write_line(f"      in {', '.join(files)}")
        terminalreporter.write_line(f"      to run: {_unskip_command(reason)}")
