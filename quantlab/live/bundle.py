"""The bundle: a promoted strategy with its source, its bars, its evidence and its limits, sealed by a hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantlab.costs import Costs
from quantlab.data.catalog import Catalog
from quantlab.engine.files import write_text
from quantlab.engine.loader import load_strategy
from quantlab.errors import BundleError, QuantlabError
from quantlab.live.risk import Limits
from quantlab.model import Instrument
from quantlab.sizing import Account, Sizing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quantlab.bars import Bars
    from quantlab.strategy import Strategy

__all__ = ["FORMAT", "JOINS", "Bundle", "Terms", "read_bundle", "write_bundle"]

FORMAT = 1
"""Version of the layout of a bundle."""

FILE, SOURCE, DATA, JOURNAL, HALT = "bundle.json", "strategy.py", "data", "journal.db", "HALT"

JOINS = ("next_entry", "now")
"""How a first start takes over a target that already stands: at its next entry, or at once."""

ID_DIGITS = 16


@dataclass(frozen=True)
class Terms:
    """What a live run is bound to.

    Parameters
    ----------
    cash : float
        Money allotted to the bundle; its equity is this and what its fills made of it.
    costs : Costs
        What the backtest charged; live, the broker's own reports count.
    sizing : Sizing
        Sized at the decision's price.
    account : Account
        Margin or cash.
    limits : Limits
        Risk limits.
    join : {"next_entry", "now"}
        How a first start takes over a target that stands.
    """

    cash: float
    costs: Costs
    sizing: Sizing
    account: Account
    limits: Limits
    join: str = "next_entry"

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold."""
        return {
            "cash": self.cash,
            "costs": self.costs.describe(),
            "sizing": asdict(self.sizing),
            "account": asdict(self.account),
            "limits": self.limits.describe(),
            "join": self.join,
        }

    @classmethod
    def from_description(cls, given: Mapping[str, Any]) -> Terms:
        """Restore what `describe` gave."""
        return cls(
            cash=float(given["cash"]),
            costs=Costs.from_description(given["costs"]),
            sizing=Sizing(**given["sizing"]),
            account=Account(**given["account"]),
            limits=Limits.from_description(given["limits"]),
            join=str(given["join"]),
        )


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle that was read and found whole. Made by `read_bundle`.

    Parameters
    ----------
    folder : Path
        Where it lies; its journal lies there too.
    id : str
        Hash of everything that was promoted (16 hex digits).
    strategy : Strategy
        Loaded from the bundle's own copy of the source.
    params : dict
        The complete parameter set.
    bars : Bars
        The bars that were promoted on.
    terms : Terms
        Cash, costs, sizing, account, limits.
    content : dict
        The whole file, evidence included.
    """

    folder: Path
    id: str
    strategy: Strategy
    params: dict[str, Any]
    bars: Bars
    terms: Terms
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return str(self.content["strategy"]["name"])

    @property
    def mode(self) -> str:
        """What it was promoted to; "paper" is all there is."""
        return str(self.content["mode"])

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What is traded, in column order."""
        return self.bars.instruments

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbol of each asset, in column order."""
        return self.bars.symbols

    @property
    def calendar(self) -> str:
        """Exchange calendar of the bars."""
        return str(self.bars.calendar)

    @property
    def journal_path(self) -> Path:
        """Where the journal is, or will be."""
        return self.folder / JOURNAL

    @property
    def halt_path(self) -> Path:
        """File whose presence halts the run; it survives restarts."""
        return self.folder / HALT

    def __str__(self) -> str:
        params = ", ".join(f"{k}={v!r}" for k, v in self.params.items())
        return f"{self.name}({params}) on {', '.join(self.symbols)}, {self.bars.bar_size} [{self.id}]"


def write_bundle(
    folder: str | Path,
    strategy: Strategy,
    params: Mapping[str, Any],
    bars: Bars,
    *,
    terms: Terms,
    evidence: Mapping[str, Any],
    origin: str = "",
    created: str = "",
) -> Bundle:
    """Write a bundle and read it back.

    Parameters
    ----------
    folder : path
        A folder that does not exist, or is empty.
    strategy, params, bars, terms
        What is promoted.
    evidence : mapping
        What was found about it, JSON-able.
    origin, created : str
        The file that the strategy came from, and when; for people.

    Raises
    ------
    BundleError
        For a folder that is taken, and for a source that does not give the same strategy when it stands alone.
    """
    place = Path(folder)
    if place.exists() and any(place.iterdir()):
        raise BundleError(f"{place} is not empty; a bundle needs a folder of its own. Give another --out.")
    place.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "format": FORMAT,
        "mode": "paper",
        "created": created,
        "strategy": {
            "name": strategy.name,
            "variable": _variable(strategy),
            "source_hash": strategy.source_hash,
            "origin": origin,
        },
        "params": dict(params),
        "data": {
            "content_hash": bars.content_hash,
            "bar_size": bars.bar_size,
            "calendar": bars.calendar,
            "instruments": [asdict(x) for x in bars.instruments],
            "first": str(bars.index[0]),
            "last": str(bars.index[-1]),
            "n_bars": bars.n_bars,
            "source": _plain(bars.meta.get("source", {})),
        },
        "terms": terms.describe(),
        "evidence": _plain(evidence),
    }
    content["id"] = _seal(content)
    write_text(place / SOURCE, strategy.source)
    Catalog(place / DATA).write(bars, source={"kind": "bundle", "id": content["id"]})
    write_text(place / FILE, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return read_bundle(place)


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle and test that it is what was promoted.

    Raises
    ------
    BundleError
        For a folder that is no bundle, a layout of another version, a file that was changed, a source that was
        changed, bars that are missing or were changed.
    """
    place = Path(folder)
    content = _content(place)
    said = content["strategy"]
    try:
        source = (place / SOURCE).read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"{place / SOURCE} cannot be read ({error}); promote the strategy again."
        ) from error
    found = hashlib.blake2b(source.encode(), digest_size=16).hexdigest()
    if found != said["source_hash"]:
        raise BundleError(
            f"{place / SOURCE} was changed since it was promoted (hash {found[:8]}, promoted "
            f"{said['source_hash'][:8]}): the evidence is not that of this source. Promote the changed strategy to a "
            "bundle of its own."
        )
    try:
        strategy = load_strategy(f"{place / SOURCE}:{said['variable']}")
        terms = Terms.from_description(content["terms"])
        params = strategy.params(content["params"])
    except (QuantlabError, KeyError, TypeError) as error:
        raise BundleError(
            f"the bundle {place} cannot be used: {error} A strategy must be one file that imports installed "
            "packages only."
        ) from error
    bars = _bars(place, content["data"])
    return Bundle(place, content["id"], strategy, params, bars, terms, content)


def _content(place: Path) -> dict[str, Any]:
    """Content of the bundle's file, its seal tested."""
    if not (place / FILE).is_file():
        raise BundleError(
            f"{place} is no bundle: it has no {FILE}. 'quantlab promote STRATEGY --to paper' makes one."
        )
    try:
        content = json.loads((place / FILE).read_text(encoding="utf-8"))
        seal, form = content["id"], content["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{place / FILE} cannot be read ({error}); promote the strategy again.") from error
    if form != FORMAT:
        raise BundleError(f"{place / FILE} has format {form!r}; this quantlab reads {FORMAT}. Promote again.")
    if _seal({k: v for k, v in content.items() if k != "id"}) != seal:
        raise BundleError(
            f"{place / FILE} was changed since it was promoted: its seal does not fit. Limits, parameters and "
            "terms are part of what was promoted; promote again to change them."
        )
    return dict(content)


def _bars(place: Path, said: Mapping[str, Any]) -> Bars:
    instruments = [Instrument(**x) for x in said["instruments"]]
    try:
        bars = Catalog(place / DATA).bars([x.symbol for x in instruments], said["bar_size"])
    except QuantlabError as error:
        raise BundleError(f"the bars of {place} cannot be read: {error}") from error
    if bars.content_hash != said["content_hash"]:
        raise BundleError(
            f"the bars in {place / DATA} are not those that were promoted on (hash {bars.content_hash[:8]}, promoted "
            f"{said['content_hash'][:8]}); promote again."
        )
    return bars


def _variable(strategy: Strategy) -> str:
    """Name under which the strategy's own file holds it."""
    code = getattr(strategy.function, "__name__", strategy.name)
    return str(code)


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=ID_DIGITS // 2).hexdigest()


def _plain(value: Any) -> Any:
    """`value` as JSON holds it: what is not finite, and what JSON does not know, as text."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        items: Sequence[Any] = value.tolist() if hasattr(value, "tolist") else value
        return [_plain(v) for v in items] if isinstance(items, (list, tuple)) else _plain(items)
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
