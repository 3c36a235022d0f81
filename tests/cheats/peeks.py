"""Cheats that read a few bars ahead."""

import numpy as np
import pandas as pd

from quantlab.signal import Signal


def first(bar):
    """Note the first offending bar of a cheat, a number or a function of the bars."""

    def mark(function):
        function.first_bar = bar if callable(bar) else lambda bars: bar
        return function

    return mark


@first(0)
def shifted_back(bars):
    close = bars.frame("close")
    return close.shift(-1) > close


@first(19)
def shifted_back_after_a_mean(bars):
    close = bars.frame("close")
    return close.shift(-1) > close.rolling(20).mean()


@first(5)
def centred_window(bars):
    close = bars.frame("close")
    return close > close.rolling(11, center=True).mean()


@first(0)
def open_of_the_next_bar(bars):
    return np.roll(bars.open, -1, axis=0) > bars.close


@first(0)
def high_of_the_next_bar(bars):
    return np.where(np.roll(bars.high, -1, axis=0) > bars.high * 1.01, 1.0, -1.0)


@first(0)
def volume_of_the_next_bar(bars):
    volume = bars.frame("volume")
    return volume.shift(-1) > volume


@first(0)
def rolling_from_the_other_end(bars):
    close = bars.frame("close")
    return close[::-1].rolling(5, min_periods=1).mean()[::-1] > close


@first(0)
def five_bars_ahead(bars):
    return np.sign(np.roll(bars.close, -5, axis=0) - bars.close)


@first(1)
def stop_set_by_the_next_bar(bars):
    close = bars.frame("close")
    coming = (close.shift(-1) / close - 1.0).abs().fillna(0.01)
    return Signal(
        close > close.shift(1), stop_loss=np.where(np.arange(bars.n_bars)[:, None] > 0, coming, 0.01)
    )


@first(0)
def a_billionth_of_the_next_return(bars):
    coming = bars.frame("close").pct_change(fill_method=None).shift(-1)
    return 0.5 + 1e-9 * np.tanh(coming)


@first(0)
def entry_before_a_rise(bars):
    close = bars.frame("close")
    return Signal(np.ones(bars.shape), entry=close.shift(-2) > close)


@first(0)
def argmax_of_the_coming_week(bars):
    close = pd.DataFrame(bars.close)
    best = close[::-1].rolling(5, min_periods=1).max()[::-1]
    return (best == close).to_numpy()


PEEKS = (
    shifted_back,
    shifted_back_after_a_mean,
    centred_window,
    open_of_the_next_bar,
    high_of_the_next_bar,
    volume_of_the_next_bar,
    rolling_from_the_other_end,
    five_bars_ahead,
    stop_set_by_the_next_bar,
    a_billionth_of_the_next_return,
    entry_before_a_rise,
    argmax_of_the_coming_week,
)
