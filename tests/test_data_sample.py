"""The sample: real prices, adjusted, stamped at the close, and honest about it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from quantlab.data.checks import verify
from quantlab.data.sample import CLOSE_HOUR, EARLY_CLOSES, EARLY_HOUR, SAMPLE_SYMBOLS, sample
from quantlab.data.sessions import sessions_between
from quantlab.data.source import load_source
from quantlab.errors import DataError, UnknownNameError


def days(text):
    return int(np.datetime64(text, "D").astype(np.int64))


@pytest.fixture(scope="module")
def all_four():
    return sample(list(SAMPLE_SYMBOLS))


def test_the_default_is_apple_by_day():
    bars = sample()
    assert bars.symbols == ("AAPL",)
    assert (bars.bar_size, bars.n_bars, bars.calendar) == ("1 day", 3270, "XNYS")
    assert [str(bars.index[k])[:10] for k in (0, -1)] == ["2000-03-01", "2013-03-01"]


def test_symbols_may_be_a_list_and_start_at_different_times(all_four):
    assert all_four.symbols == ("AAPL", "GOOG", "IBM", "MSFT")
    assert all_four.n_bars == 3270
    assert int((~np.isnan(all_four.close[:, 1])).sum()) == 2148


def test_raw_prices_are_stored_prices_times_factor(all_four):
    raw = all_four.close[-1] * all_four.factor[-1]
    np.testing.assert_allclose(raw, [430.47, 806.19, 202.91, 27.95], rtol=1e-12)
    first = all_four.open[0] * all_four.factor[0]
    np.testing.assert_allclose(first[0], 118.56, rtol=1e-12)


def test_splits_vanish_from_stored_prices_and_stand_in_the_factor(all_four):
    aapl = all_four["AAPL"]
    for date in ("2000-06-21", "2005-02-28"):
        t = int(np.searchsorted(aapl.session, days(date)))
        assert abs(aapl.open[t, 0] / aapl.close[t - 1, 0] - 1) < 0.05
        np.testing.assert_allclose(aapl.factor[t - 1, 0] / aapl.factor[t, 0], 2.0, rtol=1e-6)


def test_price_times_volume_is_the_money_that_was_traded(all_four):
    aapl = all_four["AAPL"]
    np.testing.assert_allclose(aapl.close[0, 0] * aapl.volume[0, 0], 130.31 * 9_616_100, rtol=1e-12)


def test_bars_are_stamped_at_the_close_that_exchange_calendars_gives(all_four):
    sessions = sessions_between("XNYS", int(all_four.session[0]), int(all_four.session[-1]))
    assert np.array_equal(sessions.day, all_four.session)
    assert np.array_equal(sessions.close, all_four.time)


def test_the_table_of_early_closes_is_that_of_exchange_calendars():
    sessions = sessions_between("XNYS", days("2000-01-01"), days("2013-12-31"))
    local = np.array([str(t)[11:13] for t in _new_york(sessions.close)]).astype(int)
    assert set(local.tolist()) == {EARLY_HOUR, CLOSE_HOUR}
    assert set(sessions.day[local == EARLY_HOUR].tolist()) == EARLY_CLOSES


def _new_york(times_ns):
    import pandas as pd

    return pd.to_datetime(times_ns, utc=True).tz_convert("America/New_York")


@pytest.mark.parametrize(("size", "n_bars"), [("1 week", 679), ("1 month", 157)])
def test_longer_bars_are_made_by_resampling(size, n_bars):
    bars = sample("IBM", size)
    assert (bars.bar_size, bars.n_bars) == (size, n_bars)
    assert bars.meta["source"] == {"kind": "sample", "symbols": ["IBM"], "bar_size": size}
    assert bars.close[-1, 0] == sample("IBM").close[-1, 0]


def test_the_recipe_loads_the_same_bars(all_four):
    recipe = json.loads(json.dumps(all_four.meta["source"]))
    assert load_source(recipe).content_hash == all_four.content_hash
    assert "adjusted" in all_four.meta["adjustment"]


@pytest.mark.parametrize(
    ("symbols", "size", "error", "says"),
    [
        ("APPL", "1 day", UnknownNameError, "did you mean 'AAPL'"),
        (["AAPL", "FB"], "1 day", UnknownNameError, "'FB'"),
        ([], "1 day", DataError, "no symbol"),
        ("AAPL", "1 min", DataError, "daily bars"),
    ],
)
def test_what_the_sample_does_not_have_is_an_error(symbols, size, error, says):
    with pytest.raises(error, match=says):
        sample(symbols, size)


def test_a_package_of_another_version_says_what_to_install(monkeypatch, tmp_path):
    from quantlab.data import sample as module

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install"):
        sample()


def test_what_is_said_to_be_wrong_in_the_sample_is_what_verify_finds(all_four):
    found = [(f.symbol, f.check, f.first) for f in verify(all_four)]
    assert found == [("AAPL", "repeated", "2003-01-29")]
    ibm = all_four["IBM"]
    t = int(np.searchsorted(ibm.session, days("2009-11-17")))
    volume = (ibm.volume / ibm.factor)[:, 0]
    assert volume[t] < 0.25 * np.median(volume[t - 60 : t + 60])


@pytest.mark.data
def test_closes_differ_from_another_vendor_as_often_as_the_docstring_says(shared_data, all_four):
    import pandas as pd

    for symbol, count in (("AAPL", 33), ("IBM", 59)):
        path = shared_data / "lean" / "equity" / "usa" / "daily" / f"{symbol.lower()}.zip"
        lean = pd.read_csv(path, header=None, usecols=[0, 4])
        lean = pd.Series(lean[4].to_numpy() / 1e4, index=pd.to_datetime(lean[0].str[:8]))
        bars = all_four[symbol]
        raw = pd.Series((bars.close * bars.factor)[:, 0], index=bars.index)
        off = (raw / lean.reindex(raw.index) - 1).abs()
        assert int((off > 0.005).sum()) == count
        assert off.max() < 0.0502


def test_the_sample_loads_neither_exchange_calendars_nor_pandas_nor_plotly():
    code = (
        "import sys; from quantlab.data.sample import sample; sample(); "
        "heavy = ('exchange_calendars', 'pandas', 'plotly', 'talib', 'pyarrow'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
