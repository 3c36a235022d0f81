"""Which column is which: the names that vendors give to times, prices and volumes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quantlab.errors import DataError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ROLES", "guess_roles", "name_by_position", "parse_columns"]

NAMES: dict[str, tuple[str, ...]] = {
    "date": (
        *(
            "date",
            "datetime",
            "timestamp",
            "timestamputc",
            "dateutc",
            "datetimeutc",
            "time",
            "timeutc",
            "gmttime",
        ),
        *(
            "localtime",
            "opentime",
            "timeopen",
            "bartime",
            "begin",
            "tsevent",
            "ts",
            "tradingday",
            "tradedate",
        ),
        *(
            "tradingdate",
            "pricedate",
            "day",
            "dates",
            "session",
            "unix",
            "unixtimestamp",
            "unixtime",
            "epoch",
            "dt",
        ),
        *(
            "t",
            "datum",
            "zeitpunkt",
            "fecha",
            "data",
            "dataora",
            "jour",
            "closetime",
            "timeclose",
            "end",
            "unnamed",
        ),
        *("unnamed0", ""),
    ),
    "clock": ("time", "timeofday", "hour", "clock", "uhrzeit", "zeit", "hora", "heure", "ora"),
    "open": (
        *("open", "o", "op", "openprice", "priceopen", "first", "firstprice", "bidopen", "openbid"),
        *("eroffnung", "erster", "anfang", "ouverture", "apertura", "abertura", "openlast"),
    ),
    "high": (
        *("high", "h", "hi", "max", "highprice", "pricehigh", "dayhigh", "bidhigh", "highbid"),
        *("hoch", "tageshoch", "haut", "plushaut", "maximo", "maxima", "massimo", "alto", "maximum"),
    ),
    "low": (
        *("low", "l", "lo", "min", "lowprice", "pricelow", "daylow", "bidlow", "lowbid"),
        *("tief", "tagestief", "bas", "plusbas", "minimo", "minima", "basso", "bajo", "minimum"),
    ),
    "close": (
        *(
            "close",
            "c",
            "cl",
            "last",
            "closelast",
            "closeprice",
            "priceclose",
            "lastprice",
            "settle",
            "settlement",
        ),
        *("settlementprice", "price", "bidclose", "closebid", "schluss", "schlusskurs", "letzter", "zuletzt"),
        *("cloture", "fermeture", "dernier", "cierre", "ultimo", "chiusura", "fechamento"),
    ),
    "adj_close": (
        *("adjclose", "adjustedclose", "closeadj", "closeadjusted", "adjustedcloseprice", "adjcloseprice"),
        *("adjcl", "cadj", "adj", "totalreturnclose"),
    ),
    "volume": (
        *("volume", "vol", "v", "vo", "volumen", "shares", "quantity", "qty", "sharevolume", "totalvolume"),
        *("basevolume", "turnovershares", "stuck", "umsatzstuck", "volumetraded", "tickvol", "tickvolume"),
        *("volumes", "contracts"),
    ),
    "symbol": (
        *(
            "symbol",
            "ticker",
            "sym",
            "instrument",
            "code",
            "name",
            "security",
            "asset",
            "secid",
            "ric",
            "isin",
        ),
        *("actsymbol", "stock"),
    ),
    "factor": ("factor",),
}
"""Names by role, without case, accents, blanks and signs; an earlier name wins over a later one."""

ROLES = tuple(NAMES)

OPEN_STAMPS = ("opentime", "timeopen", "begin")
"""Names of time columns that say that they hold the bar's open."""

CLOSE_STAMPS = ("closetime", "timeclose", "end")

SKIP = ("-", "_", "")


def plain(name: str) -> str:
    """Name without case, accents, brackets, leading numbers (``"4a. close (USD)"``), blanks and signs."""
    text = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"\(.*?\)|\[.*?\]", "", text)
    text = re.sub(r"^\s*\d+[a-z]?\.\s*", "", text)
    return re.sub(r"[^a-z0-9]", "", text)


def guess_roles(
    names: Sequence[str], given: Mapping[str, str] | None = None
) -> tuple[dict[str, int], list[str]]:
    """Column of each role.

    Parameters
    ----------
    names : sequence of str
        Header of the file.
    given : mapping of role to column name, optional
        What the user says; it wins over every guess. One column may stand for several roles.

    Returns
    -------
    roles : dict of role to position
    notes : list of str
        What was guessed, in words.

    Raises
    ------
    UnknownNameError
        For a role or a column that does not exist.
    DataError
        If no time, or not all prices, can be found, or if a given name occurs twice.
    """
    roles: dict[str, int] = {}
    for role, name in (given or {}).items():
        if role not in ROLES:
            raise UnknownNameError("column role", role, ROLES)
        places = [k for k, n in enumerate(names) if n == name] or [
            k for k, n in enumerate(names) if n.strip().lower() == name.strip().lower()
        ]
        if not places:
            raise UnknownNameError(
                "column", name, names, f"These are the columns of the file; {role}={name} asks."
            )
        if len(places) > 1:
            raise DataError(f"column {name!r} occurs {len(places)} times; rename one of them in the file.")
        roles[role] = places[0]
    bare = [plain(n) for n in names]
    given_places = set(roles.values())
    taken = set(given_places)
    for role, known in NAMES.items():
        if role in roles:
            continue
        named = [(known.index(b), k) for k, b in enumerate(bare) if b in known]
        # A column that the user gives another role keeps its own where no other column has it.
        ranked = [r for r in named if r[1] not in taken] or [r for r in named if r[1] in given_places]
        # An unnamed column is an index, and an index is a time only where it comes first.
        ranked = [(r, k) for r, k in ranked if not (bare[k] in {"", "unnamed", "unnamed0"} and k > 0)]
        if ranked:
            roles[role] = min(ranked)[1]
            taken.add(roles[role])
    _check_complete(roles, names)
    shown = ", ".join(f"{role} from {names[k] or 'the first column'!r}" for role, k in roles.items())
    left = [n for k, n in enumerate(names) if k not in roles.values() and n]
    return roles, [f"columns: {shown}.", *([f"columns left out: {', '.join(left)}."] if left else [])]


def _check_complete(roles: Mapping[str, int], names: Sequence[str]) -> None:
    absent = [r for r in ("date", "open", "high", "low", "close") if r not in roles]
    if absent:
        raise DataError(
            f"no column for {', '.join(absent)} among: {', '.join(n or '(unnamed)' for n in names)}. Name "
            "them with columns= (--columns), for example --columns date=Day,open=O,high=H,low=L,close=Last; "
            "a file of closes only can be read with open=, high=, low= and close= on the same column."
        )


def parse_columns(text: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str] | list[str] | None:
    """Read a column option: ``"open=O,close=Last"`` names some columns, ``"date,open,high"`` all, in order.

    Raises
    ------
    ParameterError
        For a mixture of both.
    """
    if text is None:
        return None
    if isinstance(text, Mapping):
        return {str(k): str(v) for k, v in text.items()}
    if not isinstance(text, str):
        return [str(x) for x in text]
    parts = [p.strip() for p in text.split(",")]
    named = [p for p in parts if "=" in p]
    if not named:
        return parts
    if len(named) < len(parts):
        raise ParameterError(
            f"columns {text!r} mixes two forms; write role=name pairs (open=O,close=Last), or the role of "
            "every column in order (date,open,high,low,close,volume, with - for one to leave out)."
        )
    return {p.split("=", 1)[0].strip().lower(): p.split("=", 1)[1].strip() for p in named}


def name_by_position(order: Sequence[str], n_columns: int) -> list[str]:
    """Names of the columns of a file without a header, from the roles in order.

    Raises
    ------
    ParameterError
        If the number of columns is another one, or a role stands twice.
    UnknownNameError
        For a role that does not exist.
    """
    if len(order) != n_columns:
        raise ParameterError(
            f"columns names {len(order)} column(s) ({', '.join(order)}), and the file has {n_columns}; name "
            "every one in order, with - for one to leave out."
        )
    names = ["" if o in SKIP else o.lower() for o in order]
    for name in names:
        if name and name not in ROLES:
            raise UnknownNameError("column role", name, ROLES)
        if name and names.count(name) > 1:
            raise ParameterError(f"columns names {name!r} twice.")
    return names
