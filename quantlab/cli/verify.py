"""``quantlab verify``: run a report again and name the first number that differs."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._errors import FAILED
from quantlab.cli._options import (
    BarsChoice,
    BarSizeOption,
    CatalogOption,
    DataOption,
    JsonOption,
    StampOption,
    SymbolsOption,
    TzOption,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quantlab.bars import Bars
    from quantlab.engine.verify import Verification
    from quantlab.report.record import Difference
    from quantlab.strategy import Strategy

__all__ = ["app"]

app = make_app()

MEANING = {
    "fingerprint.strategy": "the strategy is another one, or was changed since",
    "fingerprint.parameters": "the parameters in the report are not those it was made with",
    "fingerprint.data": "the bars are others, or were changed since",
    "fingerprint.settings": "the settings in the report are not those it was made with",
    "fingerprint.digest": "the fingerprint in the report was changed",
}


@app.command()
def verify(  # noqa: PLR0917  # typer reads options from parameters
    report: Annotated[
        str, typer.Argument(metavar="REPORT", show_default=False, help="A report that quantlab wrote (HTML).")
    ],
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            metavar="STRATEGY",
            help="The strategy it is of: path.py, path.py:name or module:name.",
        ),
    ],
    symbols: SymbolsOption = None,
    catalog: CatalogOption = None,
    data: DataOption = None,
    bar_size: BarSizeOption = None,
    stamp: StampOption = None,
    tz: TzOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run a report again and name the first number that differs.

    The strategy is the one given here: no code is taken from the report. The bars are those that the report
    names, unless other ones are given. Exit code 0: every number is the same. 1: one differs.
    """
    from quantlab.cli._output import say_when_compiling
    from quantlab.engine.verify import verify_result

    text, recorded = _read(report)
    different = _file_differs(strategy, recorded)
    if different is not None:
        return _tell(report, different, (), as_json=as_json)
    found = _load(strategy, recorded)
    choice = BarsChoice(symbols, catalog, data, bar_size, stamp=stamp, tz=tz)
    bars = _bars(recorded, choice)
    say_when_compiling()
    outcome = verify_result(recorded, found, bars)
    difference, notes = _page(outcome, recorded, text)
    return _tell(report, difference, (*outcome.notes, *notes), as_json=as_json)


def _read(path: str) -> tuple[str, dict[str, Any]]:
    """Text of a report, and the result in it.

    Raises
    ------
    DataError
        For a file that cannot be read or is no report.
    """
    from quantlab.errors import DataError
    from quantlab.report import read_result

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise DataError(
            f"report {path} cannot be read ({reason}); name an HTML file that quantlab wrote."
        ) from error
    return text, read_result(text)


def _file_differs(given: str, recorded: Mapping[str, Any]) -> Difference | None:
    """Compare a strategy's file with the report before anything in it runs."""
    from quantlab.engine.verify import hash_of_source
    from quantlab.report import Difference

    place = given if given.endswith(".py") else given.rpartition(":")[0]
    path = Path(place)
    if not place.endswith(".py") or not path.is_file() or recorded["settings"].get("strategy") is None:
        return None
    now = hash_of_source(path.read_text(encoding="utf-8"))
    before = recorded["fingerprint"].get("strategy")
    return None if now == before else Difference("fingerprint.strategy", before, now)


def _load(given: str, recorded: Mapping[str, Any]) -> Strategy:
    """Load the strategy; of a file with several, the one that the report names."""
    from quantlab.engine.loader import load_strategy
    from quantlab.errors import StrategyError

    try:
        return load_strategy(given)
    except StrategyError:
        name = str(recorded["settings"].get("strategy"))
        if not given.endswith(".py") or not Path(given).is_file() or not name.isidentifier():
            raise
        return load_strategy(f"{given}:{name}")


def _bars(recorded: Mapping[str, Any], choice: BarsChoice) -> Bars:
    """Bars that were chosen, else those of the report's recipe, cut to the report's symbols and bar size.

    Raises
    ------
    DataError
        For a recipe that is missing, or names another machine.
    """
    about = recorded["settings"].get("bars")
    about = about if isinstance(about, dict) else {}
    chosen = choice.catalog is not None or choice.data is not None or choice.symbols is not None
    bars = choice.load() if chosen else _recipe_bars(about.get("source"))
    names, size = about.get("symbols"), about.get("bar_size")
    if isinstance(names, list) and list(bars.symbols) != names and set(names) <= set(bars.symbols):
        bars = bars[names]
    return bars if size in (None, bars.bar_size) or chosen else bars.resample(str(size))


def _recipe_bars(source: Any) -> Bars:
    from quantlab.data.source import load_source
    from quantlab.errors import DataError

    advice = "Name the bars yourself: --catalog PATH, --data FILE, or --symbols A,B of the sample prices."
    if not isinstance(source, dict):
        raise DataError(f"the report does not say where its bars come from. {advice}")
    if "://" in str(source.get("path", "")):
        raise DataError(
            f"the report's bars come from {source['path']}, and no report may open a connection. {advice}"
        )
    return load_source(source)


def _page(
    outcome: Verification, recorded: Mapping[str, Any], text: str
) -> tuple[Difference | None, tuple[str, ...]]:
    """Compare the page around the numbers with the one this version writes: what it shows, and the rest of it."""
    if not outcome.same or outcome.notes:
        return outcome.difference, ()
    from quantlab.report import Difference, render

    # Where the bars were read from, and what was noted then, is told and not reckoned.
    told = {**outcome.content.settings, "bars": recorded["settings"]["bars"]}
    page = render(replace(outcome.content, settings=told))
    if page == text:
        return None, ()
    before, now = _shown(text), _shown(page)
    pairs = enumerate(zip_longest(before, now, fillvalue=""))
    k = next((k for k, (a, b) in pairs if a != b), None)
    if k is not None:
        after = " ".join(now[max(0, k - 4) : k])
        return Difference(f"what the page shows after {after!r}", _at(before, k), _at(now, k)), ()
    return None, (
        "the page shows the right numbers, but its charts or scripts are not those this version writes",
    )


def _shown(html: str) -> list[str]:
    """Words that a page shows."""
    bare = re.sub(r"<(script|style)\b.*?</\1\s*>", " ", html, flags=re.DOTALL | re.IGNORECASE)
    return re.sub(r"<[^>]*>", " ", bare).split()


def _at(words: list[str], k: int) -> str:
    return words[k] if k < len(words) else ""


def _relative(difference: Difference) -> str:
    before, now = difference.recorded, difference.again
    if not (isinstance(before, float) and isinstance(now, float)) or not abs(before) > 0.0:
        return ""
    return f", a relative difference of {abs(now / before - 1.0):.3g}"


def _tell(report: str, difference: Difference | None, notes: tuple[str, ...], *, as_json: bool) -> int:
    """Print the outcome and return the exit code."""
    if difference is None:
        message = f"{report}: every number is the same"
    else:
        meaning = MEANING.get(difference.where)
        if difference.where.startswith("what the page shows"):
            meaning = "the numbers it carries as data are right; it was edited, or is of another version"
        message = (
            f"{report}: {difference.where} differs: {difference.recorded!r} in the report, {difference.again!r} "
            f"now{_relative(difference)}" + (f" ({meaning})" if meaning else "")
        )
    if as_json:
        from quantlab.cli._output import print_json

        shown = None if difference is None else difference._asdict()
        print_json({"same": difference is None, "difference": shown, "message": message, "notes": notes})
    else:
        typer.echo(message)
        for note in notes:
            typer.echo(f"note: {note}")
    return 0 if difference is None else FAILED
