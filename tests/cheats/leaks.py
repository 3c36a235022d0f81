"""Cheats that let the future in by the way data are shaped: resampled, filled, indexed, ended."""

import numpy as np
import pandas as pd

from cheats.peeks import first


def weeks(bars):
    return (bars.session + 3) // 7


def months(bars):
    return bars.session.astype("M8[D]").astype("M8[M]").astype(np.int64)


def first_before_its_end(period):
    """First bar that is not the last of its period."""

    def bar(bars):
        return int(np.argmax(np.diff(period(bars)) == 0))

    return bar


@first(first_before_its_end(weeks))
def close_of_the_unfinished_week(bars):
    close = bars.frame("close")
    return close.groupby(weeks(bars)).transform("last") > close


@first(first_before_its_end(months))
def mean_of_the_unfinished_month(bars):
    close = bars.frame("close")
    return close < close.groupby(months(bars)).transform("mean")


@first(first_before_its_end(weeks))
def weekly_bars_put_back_on_days(bars):
    close = bars.frame("close")
    weekly = close.resample("W-FRI").last()
    daily = weekly.reindex(close.index, method="bfill")
    return daily.fillna(close) > close


@first(0)
def filled_backwards(bars):
    close = bars.frame("close")
    return close > close.rolling(20).mean().bfill()


@first(1)
def interpolated_between_fridays(bars):
    close = bars.frame("close")
    fridays = np.broadcast_to((np.arange(bars.n_bars) % 5 == 0)[:, None], bars.shape)
    return close.where(fridays).interpolate(limit_direction="both") < close.shift(1).fillna(close)


@first(0)
def index_that_wraps(bars):
    past = bars.close[np.arange(bars.n_bars) - 20]
    return bars.close > past


@first(0)
def last_bar_of_the_month_by_the_next_time(bars):
    ends = np.append(np.diff(months(bars)) != 0, True)
    return np.broadcast_to(ends[:, None], bars.shape)


@first(1)
def spread_over_the_number_of_bars(bars):
    return np.broadcast_to(np.linspace(0.0, 1.0, bars.n_bars)[:, None], bars.shape)


@first(0)
def special_at_the_last_bar(bars):
    target = pd.DataFrame(bars.close > 1e9)
    target.iloc[-1] = True
    return target.to_numpy()


LEAKS = (
    close_of_the_unfinished_week,
    mean_of_the_unfinished_month,
    weekly_bars_put_back_on_days,
    filled_backwards,
    interpolated_between_fridays,
    index_that_wraps,
    last_bar_of_the_month_by_the_next_time,
    spread_over_the_number_of_bars,
    special_at_the_last_bar,
)
