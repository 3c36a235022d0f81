"""Events and what becomes of them: crossings, and latches that turn events into a target."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.kernels.events import crossings, events_to_target
from quantlab.signals.columns import as_columns, as_events, as_like, broadcast

__all__ = ["crossed_above", "crossed_below", "from_vectorbt", "latch"]


def crossed_above(a: Any, b: Any) -> Any:
    """Return where `a` has just crossed above `b`: ``a[t] > b[t] and a[t-1] <= b[t-1]``.

    Parameters
    ----------
    a, b : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets), or a number
        What crosses, and the level. One column stands for every asset; t - 1 is the row before.

    Returns
    -------
    bool, same kind as the inputs
        False wherever one of the four values is not finite, so also at the first bar where both exist: being
        above from the start is no crossing.

    Raises
    ------
    ParameterError
        For input that is not numbers, for different numbers of bars, for labels that differ.

    Examples
    --------
    >>> crossed_above([1.0, 3.0, 2.0, 2.5], 2)
    array([False,  True, False,  True])
    """
    return as_like(crossings(*_pair(a, b)), a, b)


def crossed_below(a: Any, b: Any) -> Any:
    """Return where `a` has just crossed below `b`: ``a[t] < b[t] and a[t-1] >= b[t-1]``.

    Parameters, result and errors as in `crossed_above`.
    """
    columns = _pair(a, b)
    return as_like(crossings(columns[1], columns[0]), a, b)


def _pair(a: Any, b: Any) -> list[Any]:
    """Columns of both; a number stays one value, of shape (1, 1)."""
    columns, whole = [], True
    for x, name in ((a, "a"), (b, "b")):
        number = type(x) is not np.ndarray and np.ndim(x) == 0
        columns.append(as_columns(np.array([[x]]) if number else x, name))
        whole = whole and not number
    if whole and columns[0].shape != columns[1].shape:
        broadcast(("a", columns[0]), ("b", columns[1]))
    return columns


def latch(entries: Any, exits: Any, short_entries: Any = None, short_exits: Any = None) -> Any:
    """Turn events into a target that stands until the next event: 1 after an entry, 0 after an exit.

    Each asset starts flat. At each bar, in this order:

    1. An entry and an exit of the same side on one bar cancel: they say opposite things, so neither is
       followed and the state stays. (An exit first would trade out and in for nothing; an entry first would
       hold what was to be left.)
    2. A long and a short entry on one bar cancel for the same reason.
    3. An entry of the other side reverses at once, 1 to -1 or back, whether or not an exit comes with it; one
       of the side that is held does nothing.
    4. An exit ends a position of its own side and does nothing else.

    These are the defaults of vectorbt's ``Portfolio.from_signals`` (conflicts ignored, opposite entries
    reverse). Events at rows where an asset has no bar count: the engine acts at its next bar.

    Parameters
    ----------
    entries, exits : array_like of bool, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Events of the long side; 1, 0 and NaN (none) are taken too. One column stands for every asset.
    short_entries, short_exits : the same, optional
        Events of the short side; None means none.

    Returns
    -------
    float64, same kind as the inputs
        Target in {-1, 0, 1}.

    Raises
    ------
    ParameterError
        For values that are no events, for different numbers of bars, for labels that differ.

    Examples
    --------
    >>> latch([True, False, False, False], [False, False, True, False])
    array([1., 1., 0., 0.])
    """
    given = {"entries": entries, "exits": exits, "short_entries": short_entries, "short_exits": short_exits}
    events = {k: as_events(x, k) for k, x in given.items() if x is not None or k in {"entries", "exits"}}
    none = np.zeros((events["entries"].shape[0], 1), np.bool_)
    same = broadcast(*((k, events[k] if k in events else as_events(none, k)) for k in given))
    return as_like(events_to_target(*same), *(given[k] for k in events))


def from_vectorbt(entries: Any, exits: Any, short_entries: Any = None, short_exits: Any = None) -> Any:
    """Take a vectorbt strategy's signals as they are and return its target.

    ``Portfolio.from_signals(close, entries, exits, short_entries, short_exits)`` under vectorbt's default
    options holds a position of this sign after every bar; without short signals it is long only. By default
    vectorbt fills at the close of the signal's own bar, here ``fill="close"``, and goes all in.

    Parameters, result and errors as in `latch`, whose rules are vectorbt's. Options that change these rules
    (``accumulate``, ``upon_long_conflict``, ``upon_opposite_entry``, ``direction``, stops) have none here.
    """
    return latch(entries, exits, short_entries, short_exits)
