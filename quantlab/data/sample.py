"""Real daily prices that the installed package bokeh_sampledata ships."""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.barsize import BarSize
from quantlab.errors import DataError, UnknownNameError
from quantlab.model import Instrument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ADJUSTMENTS", "EARLY_CLOSES", "SAMPLE_SYMBOLS", "sample"]

SAMPLE_SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
"""Symbols with years of history; the package also ships FB, whose 196 bars are too few to learn from."""

HEADER = "Ticker,Date,Open,High,Low,Close,Volume,Adj Close"

CLOSE_HOUR, EARLY_HOUR = 16, 13
"""Hours at which the New York Stock Exchange closes, on ordinary days and on those below."""

EARLY_CLOSES = frozenset(
    np.array(
        [
            *(
                "2000-07-03",
                "2000-11-24",
                "2001-07-03",
                "2001-11-23",
                "2001-12-24",
                "2002-07-05",
                "2002-11-29",
            ),
            *(
                "2002-12-24",
                "2003-07-03",
                "2003-11-28",
                "2003-12-24",
                "2003-12-26",
                "2004-11-26",
                "2005-11-25",
            ),
            *(
                "2006-07-03",
                "2006-11-24",
                "2007-07-03",
                "2007-11-23",
                "2007-12-24",
                "2008-07-03",
                "2008-11-28",
            ),
            *(
                "2008-12-24",
                "2009-11-27",
                "2009-12-24",
                "2010-11-26",
                "2011-11-25",
                "2012-07-03",
                "2012-11-23",
            ),
            *("2012-12-24", "2013-07-03", "2013-11-29", "2013-12-24"),
        ],
        "M8[D]",
    )
    .astype(np.int64)
    .tolist()
)
"""Sessions of 2000 to 2013 that ended at 13:00 New York time, as days since 1970. A test compares them with
exchange_calendars, which is not loaded for the sample: it alone takes longer than reading the prices."""

ADJUSTMENT = "splits and dividends, by the package's adjusted close; raw price = stored price x factor"


ADJUSTMENTS = ("all", "splits")
"""What prices may be adjusted for: splits and dividends, or splits alone."""


def sample(
    symbols: str | Sequence[str] = "AAPL", bar_size: str = "1 day", *, adjustment: str = "all"
) -> Bars:
    """Real daily bars of AAPL, GOOG, IBM and MSFT, 2000-03-01 (GOOG 2004-08-19) to 2013-03-01.

    Parameters
    ----------
    symbols : str or sequence of str
        Any of ``SAMPLE_SYMBOLS``.
    bar_size : str
        ``"1 day"``, or longer: ``"1 week"``, ``"1 month"``.
    adjustment : {"all", "splits"}
        Adjust for splits and dividends, or for splits alone as Interactive Brokers' trades are
        (`quantlab.data.actions.split_adjusted`: factor 1, volume in whole units).

    Returns
    -------
    Bars
        Stamped at the close of the New York session, early closes included. Prices are adjusted for splits
        and
        dividends: the four raw prices times adjusted close / close. ``factor`` is close / adjusted close, so
        that lots, ticks and per-share costs act on raw units and prices. ``volume`` is raw volume x factor:
        the unit is the stored one, and price x volume is the money that was traded.

    Raises
    ------
    UnknownNameError
        For a symbol that is not shipped, or another adjustment.
    DataError
        For an intraday bar size, or if bokeh_sampledata is not installed, or ships other files.

    Notes
    -----
    Source: ``bokeh_sampledata`` 2026.1 (BSD-3-Clause for its code), whose notice says that the prices are a
    copy
    of Quandl's WIKI prices, declared public domain by their publisher, passed on as they were supplied.

    What is known to be wrong or special in them:

    - AAPL 2003-01-29 repeats the bar of 2003-01-28; other sources close at 14.89 instead of 14.58.
    - IBM 2009-11-17 has about a fifth of the volume that the stock usually trades.
    - A close is sometimes that of another venue or moment: 33 of 3,270 closes of AAPL and 59 of IBM differ
      by more than 0.5 % from those of QuantConnect's sample, by up to 5 % (IBM 2000-07-19). Neither source is
      known to be the right one.
    - Lows of 2010-05-06 are trades of the flash crash, as they happened.
    - The adjusted closes know splits and dividends after 2013 too (AAPL's 7:1 of 2014, Google's of 2014, so
      that GOOG's factor is 1.99 throughout): stored prices lie below what was paid, returns are right. A
      level of the stored price is therefore no input for a strategy; ratios are.
    - A dividend is adjusted for on the close of its ex-date instead of the close before: MSFT's 3.08 dollars
    of
      2004-11-15 count 0.2 % of a return too little.
    - Four stocks that were known in 2013 to have done well: a result on them says nothing about the future.
    """
    names = [symbols] if isinstance(symbols, str) else list(symbols)
    for name in names:
        if name not in SAMPLE_SYMBOLS:
            raise UnknownNameError("sample symbol", str(name), SAMPLE_SYMBOLS)
    if not names:
        raise DataError(f"no symbol given; name at least one of {', '.join(SAMPLE_SYMBOLS)}.")
    if adjustment not in ADJUSTMENTS:
        raise UnknownNameError("adjustment", str(adjustment), ADJUSTMENTS)
    size = BarSize.parse(bar_size)
    if size.intraday:
        raise DataError(f"the sample has daily bars, not {size}; choose '1 day', '1 week' or '1 month'.")
    text = gzip.decompress(_file().read_bytes()).decode()
    if not text.startswith(HEADER):
        raise DataError(
            f"{_file()} begins with {text[:50]!r} and not with {HEADER!r}; install the version this quantlab "
            "knows: pip install 'bokeh_sampledata>=2026.1'."
        )
    parts = [_read(text, name) for name in names]
    bars = parts[0] if len(parts) == 1 else Bars.join(parts)
    source: dict[str, Any] = {"kind": "sample", "symbols": names, "bar_size": str(size)}
    done = ADJUSTMENT
    if adjustment == "splits":
        from quantlab.data.actions import split_adjusted

        bars = split_adjusted(bars)
        source, done = source | {"adjustment": adjustment}, str(bars.meta["adjustment"])
    if str(size) != bars.bar_size:
        bars = bars.resample(str(size))
    return replace(bars, meta={"calendar": "XNYS", "source": source, "adjustment": done})


def _file() -> Path:
    """File of prices inside the package; the package itself is not imported, for speed."""
    spec = importlib.util.find_spec("bokeh_sampledata")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the sample needs bokeh_sampledata; install it: pip install 'bokeh_sampledata>=2026.1'."
        )
    path = Path(next(iter(spec.submodule_search_locations))) / "_data" / "stocks.csv.gz"
    if not path.is_file():
        version = importlib.metadata.version("bokeh_sampledata")
        raise DataError(
            f"bokeh_sampledata {version} ships no {path.name}: before 2026.1 its volumes and adjusted closes "
            "were others. Update it: pip install 'bokeh_sampledata>=2026.1'."
        )
    return path


def _read(text: str, symbol: str) -> Bars:
    """Read the adjusted bars of one symbol; its rows stand together, oldest first."""
    start = text.index(f"\n{symbol},") + 1
    end = text.rfind(f"\n{symbol},") + 1
    lines = text[start : text.find("\n", end) if "\n" in text[end:] else len(text)].split("\n")
    cells = [line.split(",") for line in lines]
    session = np.array([c[1] for c in cells], "M8[D]").astype(np.int64)
    table = np.array([[float(x) for x in c[2:]] for c in cells])
    factor = table[:, 3] / table[:, 5]
    prices = (table[:, k, None] / factor[:, None] for k in range(4))
    names = ("open", "high", "low", "close")
    return Bars(
        time=_closes(session),
        **dict(zip(names, prices, strict=True)),
        volume=(table[:, 4] * factor)[:, None],
        session=session,
        factor=factor[:, None],
        instruments=(Instrument(symbol),),
        bar_size="1 day",
        meta={"calendar": "XNYS"},
    )


def _closes(session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Close of each New York session in ns UTC."""
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")
    epoch = datetime(1970, 1, 1, CLOSE_HOUR, tzinfo=zone)
    hours = np.array(
        [
            (EARLY_HOUR if day in EARLY_CLOSES else CLOSE_HOUR)
            - (epoch + timedelta(days=day)).utcoffset().total_seconds() / 3600  # type: ignore[union-attr]
            for day in session.tolist()
        ]
    )
    return (session * 24 + hours.astype(np.int64)) * 3_600_000_000_000
