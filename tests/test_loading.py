from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from quantlab.loading import FEW, collector_paused


def test_the_collector_rests_inside_and_is_as_before_after_an_error():
    assert gc.isenabled()
    inside = []

    def load():
        with collector_paused():
            inside.append(gc.isenabled())
            raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        load()
    assert inside == [False]
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def frozen_after(setup):
    code = f"import gc\n{setup}\nimport quantlab.kernels._jit\nprint(gc.get_freeze_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_new_process_sets_its_libraries_aside():
    assert frozen_after("") > FEW


def test_what_a_process_already_holds_is_left_to_the_collector():
    assert frozen_after(f"held = [[] for _ in range({2 * FEW})]") == 0
