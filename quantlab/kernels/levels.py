"""Layout of the orders inside the bar that a signal asks for, as kernels take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantlab.kernels.records import Record, Records

__all__ = [
    "AT_PRICE",
    "BAR",
    "CLOSING",
    "DAY",
    "GTC",
    "IOC",
    "LIMIT",
    "MARKET",
    "NEVER",
    "ON_CLOSE",
    "ON_OPEN",
    "OPENING",
    "SESSION_FIRST",
    "SESSION_LAST",
    "STOP",
    "STOP_LIMIT",
    "Books",
    "Levels",
]

# Types of orders; protective ones have the codes of their fills.
MARKET = 0
ON_OPEN = 1
ON_CLOSE = 2
LIMIT = 3
STOP = 4
STOP_LIMIT = 5

# How long an order at a price stands.
BAR = 0
DAY = 1
GTC = 2
IOC = 3

# What a bar is of its session; a bar may be both.
SESSION_FIRST = 1
SESSION_LAST = 2

AT_PRICE = 2
"""What ``is_pending`` is while an order at a price stands; 1 for a market order."""

# When market orders fill at a bar.
NEVER = 0
OPENING = 1
CLOSING = 2


class Levels(NamedTuple):
    """Orders inside the bar that a signal asks for, and the path that prices take through each bar.

    It is large: functions that are called often take the parts that they need.

    Arrays of values have a row a bar, or one row that holds for all; NaN is none.

    Parameters
    ----------
    entry : ndarray of uint8 of shape (n_rows, n_assets)
        Further entry events.
    stop_loss, trailing_stop : ndarray of shape (n_rows, n_assets)
        Fractions or price distances.
    take_profit : ndarray of shape (n_rungs, n_rows, n_assets)
        The same.
    limit, stop : ndarray of shape (n_rows, n_assets)
        Prices of entries.
    time_stop : ndarray of shape (n_rows, n_assets)
        Bars that a position is held at most.
    rank : ndarray of shape (n_rows, n_assets)
        Who comes first when the account cannot carry every entry.
    asked : structured array of shape (1,)
        Layout `records.ASKED`.
    edge : ndarray of uint8 of shape (n_bars,)
        SESSION_FIRST, SESSION_LAST, their sum or 0; may be empty where no order waits for a session.
    path : tuple of four ndarrays of shape (n_steps, n_assets)
        Open, high, low and close of the steps in which prices go through the bars: the bars themselves, or finer ones.
    path_from : ndarray of shape (n_bars + 1,)
        First step of each bar, and the end; may be empty where steps are bars.
    high, low : ndarray of shape (n_bars, n_assets)
        Extremes of each bar's steps.
    """

    entry: NDArray[np.uint8]
    stop_loss: NDArray[np.float64]
    trailing_stop: NDArray[np.float64]
    take_profit: NDArray[np.float64]
    limit: NDArray[np.float64]
    stop: NDArray[np.float64]
    time_stop: NDArray[np.float64]
    rank: NDArray[np.float64]
    asked: Records
    edge: NDArray[np.uint8]
    path: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    path_from: NDArray[np.int64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]


class Books(NamedTuple):
    """What a fill is entered in.

    Parameters
    ----------
    money, tally : records
        Layouts `records.MONEY` and `TALLY`.
    month_units : ndarray of shape (n_groups,)
        Raw units traded this month.
    whole_units : int
        Whether parts of a position are whole lots.
    orders, fills, trades : structured arrays
        Rooms for records, or empty.
    """

    money: Record
    tally: Record
    month_units: NDArray[np.float64]
    whole_units: int
    orders: Records
    fills: Records
    trades: Records
