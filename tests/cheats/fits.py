"""Cheats that use the whole sample at every bar."""

import numpy as np

from cheats.peeks import first


@first(0)
def z_score_over_the_whole_sample(bars):
    close = bars.frame("close")
    return np.tanh((close - close.mean()) / close.std())


@first(0)
def fit_on_all_data(bars):
    close = np.nan_to_num(bars.close, nan=1.0)
    t = np.arange(bars.n_bars)
    if bars.n_bars < 3:
        return np.zeros(bars.shape)
    slope, level = np.polyfit(t, close, 1)
    return bars.close < level + slope * t[:, None]


@first(0)
def regression_of_the_next_return(bars):
    returns = np.nan_to_num(np.diff(np.log(bars.close), axis=0, prepend=np.log(bars.close[:1])))
    beta = (returns[1:] * returns[:-1]).sum(axis=0) / (returns[:-1] ** 2).sum(axis=0)
    return np.tanh(1000.0 * beta * returns)


@first(0)
def divided_by_the_final_price(bars):
    return np.clip(bars.close / bars.close[-1] - 1.0, -1.0, 1.0)


@first(0)
def rank_over_the_whole_sample(bars):
    return bars.frame("close").rank(pct=True)


@first(0)
def threshold_at_a_quantile_of_all(bars):
    close = bars.frame("close")
    return close < close.quantile(0.3)


@first(0)
def fourier_smoothing(bars):
    waves = np.fft.rfft(np.nan_to_num(bars.close, nan=1.0), axis=0)
    waves[20:] = 0.0
    return np.fft.irfft(waves, bars.n_bars, axis=0) > bars.close


@first(1)
def scaled_by_the_largest_of_all(bars):
    returns = bars.frame("close").pct_change(fill_method=None)
    return returns / returns.abs().max()


FITS = (
    z_score_over_the_whole_sample,
    fit_on_all_data,
    regression_of_the_next_return,
    divided_by_the_final_price,
    rank_over_the_whole_sample,
    threshold_at_a_quantile_of_all,
    fourier_smoothing,
    scaled_by_the_largest_of_all,
)
