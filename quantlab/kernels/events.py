"""Crossings, latches and the volume-weighted price of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["crossings", "events_to_target", "session_mean_price"]


@kernel
def crossings(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where `a` is above `b` and was not at the row before; all four values finite.

    Parameters
    ----------
    a, b : ndarray of shape (n_bars or 1, n_assets or 1)
        An axis of length 1 stands for all.

    Returns
    -------
    ndarray of bool of shape (n_bars, n_assets)
        False in the first row.
    """
    n_bars, n_assets = max(a.shape[0], b.shape[0]), max(a.shape[1], b.shape[1])
    # A step of 0 along an axis of length 1 reads its one value again.
    at, ai = int(a.shape[0] > 1), int(a.shape[1] > 1)
    bt, bi = int(b.shape[0] > 1), int(b.shape[1] > 1)
    crossed = np.zeros((n_bars, n_assets), np.bool_)
    for t in range(1, n_bars):
        for i in range(n_assets):
            now_a, now_b = a[t * at, i * ai], b[t * bt, i * bi]
            old_a, old_b = a[(t - 1) * at, i * ai], b[(t - 1) * bt, i * bi]
            # NaN fails either comparison; what is left to refuse is an infinity, and that is rare.
            if now_a > now_b and old_a <= old_b:
                now = np.isfinite(now_a) and np.isfinite(now_b)
                crossed[t, i] = now and np.isfinite(old_a) and np.isfinite(old_b)
    return crossed


@kernel
def events_to_target(
    entries: NDArray[np.bool_],
    exits: NDArray[np.bool_],
    short_entries: NDArray[np.bool_],
    short_exits: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """State in {-1, 0, 1} after the events of each bar, shape (n_bars, n_assets), starting flat.

    Parameters
    ----------
    entries, exits, short_entries, short_exits : ndarray of bool of shape (n_bars, n_assets)
        Events. An entry and an exit of one side on one bar cancel; so do, after that, a long and a short
        entry. An entry of the other side reverses and goes before an exit.
    """
    n_bars, n_assets = entries.shape
    target = np.empty((n_bars, n_assets))
    state = np.zeros(n_assets)
    for t in range(n_bars):
        for i in range(n_assets):
            long_in, long_out = entries[t, i], exits[t, i]
            short_in, short_out = short_entries[t, i], short_exits[t, i]
            if long_in and long_out:
                long_in = long_out = False
            if short_in and short_out:
                short_in = short_out = False
            if long_in and short_in:
                long_in = short_in = False
            if long_in:
                state[i] = 1.0
            elif short_in:
                state[i] = -1.0
            elif (state[i] > 0.0 and long_out) or (state[i] < 0.0 and short_out):
                state[i] = 0.0
            target[t, i] = state[i]
    return target


@kernel
def session_mean_price(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    volume: NDArray[np.float64],
    session: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Volume-weighted mean of (high + low + close) / 3 since the start of the session. Shape of `close`.

    NaN where the asset has no bar or the bar no volume figure (such bars are left out), and until something
    has been traded in the session.
    """
    n_bars, n_assets = close.shape
    out = np.full(close.shape, np.nan)
    traded = np.zeros(n_assets)
    value = np.zeros(n_assets)
    for t in range(n_bars):
        if t > 0 and session[t] != session[t - 1]:
            traded[:] = 0.0
            value[:] = 0.0
        for i in range(n_assets):
            price = (high[t, i] + low[t, i] + close[t, i]) / 3.0
            if np.isfinite(price) and np.isfinite(volume[t, i]):
                traded[i] += volume[t, i]
                value[i] += price * volume[t, i]
                if traded[i] > 0.0:
                    out[t, i] = value[i] / traded[i]
    return out
