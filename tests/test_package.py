"""The public names of quantlab, loaded when first asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import quantlab as ql


def fresh(code):
    """Last line that a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", ql.__all__)
def test_every_public_name_loads_and_is_listed(name):
    assert getattr(ql, name) is not None
    assert name in dir(ql)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("backtst", "did you mean 'backtest'?"),
        ("bars_", "did you mean 'Bars'?"),
        ("BACKTEST", "did you mean 'backtest'?"),
        ("zzz", "it has Account, AtrMultiple, Bars,"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(given, said):
    with pytest.raises(AttributeError) as error:
        getattr(ql, given)
    assert f"module 'quantlab' has no attribute '{given}'" in str(error.value)
    assert said in str(error.value)


def test_importing_the_file_of_a_name_does_not_hide_the_name():
    # The import system binds a submodule on its package: ql.strategy would become a module.
    assert fresh("import quantlab as ql, quantlab.strategy; print(callable(ql.strategy))") == "True"
    assert fresh("import quantlab.engine.backtest, quantlab as ql; print(callable(ql.strategy))") == "True"
    assert (
        fresh("import quantlab as ql; ql.strategy; import quantlab.strategy; print(callable(ql.strategy))")
        == "True"
    )
    assert (
        fresh(
            "from quantlab.strategy import Strategy; from quantlab import strategy; print(callable(strategy))"
        )
        == "True"
    )


def test_a_strategy_alone_loads_no_engine():
    code = (
        "import quantlab as ql, sys; ql.strategy; print([m for m in ('numba', 'pandas') if m in sys.modules])"
    )
    assert fresh(code) == "[]"


def test_a_missing_dunder_is_a_plain_attribute_error():
    assert not hasattr(ql, "__wrapped__")
