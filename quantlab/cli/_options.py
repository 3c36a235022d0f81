"""Options that several commands share: the strategy, its parameters, and which bars."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.errors import DataError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantlab.bars import Bars
    from quantlab.strategy import Strategy

__all__ = [
    "BarSizeOption",
    "BarsChoice",
    "CatalogOption",
    "DataOption",
    "EndOption",
    "JsonOption",
    "ParamOption",
    "StampOption",
    "StartOption",
    "StrategyArgument",
    "SymbolsOption",
    "TzOption",
    "number",
    "parse_params",
    "parse_value",
]

SAMPLE_SYMBOL = "AAPL"


def number(text: str) -> float:
    """Read the value of an option that takes a number.

    Raises
    ------
    BadParameter
        For a text that is no finite number; says what was given.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise typer.BadParameter(f"{text!r} is no number; write it as in 10000 or 0.5.")
    return value


StrategyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STRATEGY", show_default=False, help="path.py, path.py:name or package.module:name"
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        metavar="NAME=VALUE",
        help="A parameter of the strategy, such as fast=10 (repeatable).",
    ),
]
SymbolsOption = Annotated[
    str | None,
    typer.Option(
        "--symbols", metavar="A,B,…", help="Which symbols; AAPL of the sample prices, if nothing is said."
    ),
]
CatalogOption = Annotated[
    str | None, typer.Option("--catalog", metavar="PATH", help="Take the bars from this catalog.")
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="FILE", help="Take the bars from this CSV or Parquet file.")
]
BarSizeOption = Annotated[
    str | None,
    typer.Option("--bar-size", metavar="SIZE", help="Such as '1 day' or '5 mins'. [default: 1 day]"),
]
StartOption = Annotated[
    str | None, typer.Option("--start", metavar="DATE", help="First day or time, included.")
]
EndOption = Annotated[str | None, typer.Option("--end", metavar="DATE", help="Last day or time, included.")]
StampOption = Annotated[
    str | None,
    typer.Option(
        "--stamp", metavar="END", help="With --data: which end of a bar its time names, open or close."
    ),
]
TzOption = Annotated[
    str | None,
    typer.Option("--tz", metavar="ZONE", help="With --data: zone of its times, such as America/New_York."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class BarsChoice:
    """Which bars a command works on, as its options say.

    Parameters
    ----------
    symbols : str, optional
        Symbols, separated by commas.
    catalog, data : str, optional
        Path of a catalog, or of a file to import; the sample prices without either.
    bar_size : str, optional
        Interval of one bar; a day, if not given.
    start, end : str, optional
        First and last day or time, both included.
    stamp, tz : str, optional
        How to read the times of a file.
    """

    symbols: str | None = None
    catalog: str | None = None
    data: str | None = None
    bar_size: str | None = None
    start: str | None = None
    end: str | None = None
    stamp: str | None = None
    tz: str | None = None

    @property
    def names(self) -> list[str]:
        """Symbols as a list; empty if none was named.

        Raises
        ------
        ParameterError
            For a list with a hole in it.
        """
        if self.symbols is None:
            return []
        names = [name.strip() for name in self.symbols.split(",")]
        if not all(names):
            raise ParameterError(f"--symbols {self.symbols!r} has an empty name; write A,B,C without holes.")
        return names

    def load(self) -> Bars:
        """Load the bars and cut them to `start` and `end`.

        Raises
        ------
        ParameterError
            For a catalog and a file at once, and for options of a file without one.
        InputError, CatalogError
            For symbols, sizes, dates and files that cannot be used.
        """
        if self.catalog is not None and self.data is not None:
            raise ParameterError("--catalog and --data name two sources of bars; give one of them.")
        if self.data is None and (self.stamp or self.tz):
            raise ParameterError("--stamp and --tz say how to read a file; give --data FILE with them.")
        if self.data is not None:
            bars = self._from_file(self.data)
        elif self.catalog is not None:
            bars = self._from_catalog(self.catalog)
        else:
            from quantlab.data.sample import sample

            bars = sample(self.names or SAMPLE_SYMBOL, self.bar_size or "1 day")
        start, end = self.window
        return bars if start is None and end is None else bars.between(start, end)

    def finer(self, what: str) -> Bars:
        """Finer bars of the same assets: a bar size of the same source, or, beside a file, another file.

        Raises
        ------
        InputError, CatalogError
            As `load`.
        """
        if self.data is not None:
            return replace(self, data=what, bar_size=None).load()
        return replace(self, bar_size=what).load()

    @property
    def window(self) -> tuple[str | None, str | None]:
        """`start` and `end`, checked to be days or times.

        Raises
        ------
        ParameterError
            For a text that is neither.
        """
        return _moment("--start", self.start), _moment("--end", self.end)

    def _from_file(self, path: str) -> Bars:
        from quantlab.data.importers import import_file

        names = self.names
        one = names[0] if len(names) == 1 else None
        bars = import_file(path, symbol=one, bar_size=self.bar_size, stamp=self.stamp, tz=self.tz)
        return bars[names] if len(names) > 1 else bars

    def _from_catalog(self, path: str) -> Bars:
        from quantlab.data.catalog import Catalog

        catalog, size = Catalog(path), self.bar_size or "1 day"
        names = self.names or list(catalog.symbols(size))
        if not names:
            raise DataError(
                f"catalog {path} has no {size} bars; 'quantlab data list --catalog {path}' shows what it has."
            )
        return catalog.bars(names, size)


def _moment(option: str, text: str | None) -> str | None:
    """Text of a day or time, checked.

    Raises
    ------
    ParameterError
        For a text that is no time.
    """
    if text is None:
        return None
    import pandas as pd

    try:
        stamp = pd.Timestamp(text)
    except (ValueError, TypeError) as error:
        raise ParameterError(
            f"{option} {text!r} is no day or time; write 2010-12-31 or '2010-12-31 15:30'."
        ) from error
    if pd.isna(stamp):
        raise ParameterError(f"{option} {text!r} is no day or time; write 2010-12-31 or '2010-12-31 15:30'.")
    return text


def parse_value(strategy: Strategy, name: str, text: str) -> Any:
    """Value of a parameter from its text, of the type of its default.

    Parameters
    ----------
    strategy : Strategy
        Whose parameter it is.
    name, text : str
        What stood before and after the ``=``. A default of None takes a number, True, False or None where the
        text is one, else the text itself.

    Raises
    ------
    UnknownNameError, ParameterError
        For a parameter that does not exist; for a text that is no value of its type.
    """
    default = strategy.defaults.get(name)
    value: Any = text
    if isinstance(default, bool):
        value = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}.get(text.strip().lower(), text)
    elif isinstance(default, (int, float)):
        try:
            value = type(default)(text)
        except ValueError:
            value = text
    elif not isinstance(default, str):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
    return strategy.check_value(name, value)


def parse_params(strategy: Strategy, given: Sequence[str] | None) -> dict[str, Any]:
    """Parameters from ``-p name=value`` options.

    Raises
    ------
    ParameterError
        For an option without ``=``, a parameter given twice, or a value of another type.
    UnknownNameError
        For a parameter that the strategy does not have.
    """
    params: dict[str, Any] = {}
    for option in given or ():
        name, equals, text = option.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ParameterError(
                f"-p {option!r} is not understood; write name=value, for example -p fast=10."
            )
        if name in params:
            raise ParameterError(
                f"parameter {name!r} is given twice ({params[name]!r} and {text!r}); give it once."
            )
        params[name] = parse_value(strategy, name, text)
    return params
