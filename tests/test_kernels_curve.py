"""The equity curve of runs longer than a block and longer than the warm-up of the worst returns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.kernels.curve import TAIL_WARMUP
from quantlab.kernels.lanes import BLOCK
from quantlab.kernels.stats import STATS
from quantlab.model import Instrument
from quantlab.sizing import Sizing

N_BARS = 2 * TAIL_WARMUP + 3 * BLOCK + 1
ALL_IN = Sizing(allocation=1.0, price="fill", whole_units=False)


def walk(scale, n_assets=1):
    rng = np.random.default_rng(7)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1.0, (N_BARS, n_assets)) * np.asarray(scale), axis=0))
    day = np.arange(N_BARS)
    return Bars(
        time=(day + 1) * 86_400_000_000_000,
        session=day,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones_like(close),
        instruments=[Instrument(f"A{i}") for i in range(n_assets)],
        bar_size="1 day",
    )


STEADY = np.full((N_BARS, 1), 0.004)
CALMER = np.linspace(0.012, 0.0005, N_BARS)[:, None]
WILDER = CALMER[::-1]
HELD = {
    "always": np.ones(N_BARS),
    "half of the time": (np.arange(N_BARS) // 50 % 2).astype(float),
    "seldom": (np.arange(N_BARS) % 40 == 0).astype(float),
}


@pytest.mark.parametrize("scale", [STEADY, CALMER, WILDER], ids=["steady", "calmer", "wilder"])
@pytest.mark.parametrize("held", HELD)
def test_the_worst_returns_of_a_long_run_are_those_of_all_its_returns(held, scale):
    result = backtest(HELD[held], walk(scale), costs=Costs.zero(), sizing=ALL_IN)
    returns = np.sort(result.returns.to_numpy())
    count = int(0.05 * (N_BARS - 1)) + 1
    assert result.stats["var_95"] == pytest.approx(np.quantile(returns, 0.05), rel=1e-9, abs=1e-14)
    assert result.stats["cvar_95"] == pytest.approx(returns[:count].mean(), rel=1e-9, abs=1e-14)


def test_moments_of_a_long_run_are_those_of_its_returns():
    result = backtest(HELD["half of the time"], walk(STEADY), costs=Costs.percent(0.001), sizing=ALL_IN)
    r = result.returns.to_numpy()
    deviation = r - r.mean()
    assert result.stats["sharpe"] == pytest.approx(r.mean() / r.std(ddof=1) * np.sqrt(252), rel=1e-9)
    assert result.stats["skew"] == pytest.approx((deviation**3).mean() / r.std() ** 3, rel=1e-8)
    assert result.stats["kurtosis"] == pytest.approx((deviation**4).mean() / r.std() ** 4, rel=1e-9)


def numbers():
    """Every statistic of two runs, to the bit: one asset with blocks short and long, and two with gaps."""
    alone = walk(STEADY)
    both = walk(np.full((N_BARS, 2), 0.004), 2).to_frame()
    both.iloc[100:140, :5] = np.nan
    pair = Bars.from_frame(both, bar_size="1 day")
    in_pair = np.stack([HELD["always"], HELD["half of the time"]], axis=1)
    runs = backtest(HELD["half of the time"], alone), backtest(HELD["always"], alone), backtest(in_pair, pair)
    return [float(run.stats[name]).hex() for run in runs for name in STATS]


def test_compiled_and_as_plain_python_the_statistics_have_the_same_bits():
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("numba is switched off")
    code = "from test_kernels_curve import numbers; print(*numbers())"
    plain = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout.split() == numbers()
