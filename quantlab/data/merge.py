"""Stored bars and new ones of the same symbol: what may be laid over what."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import COLUMNS, Bars
from quantlab.data.store import FIELD, label
from quantlab.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["lay_over", "refuse_other_kind", "with_record"]

SAME = 1e-9
"""Relative difference up to which a re-adjusted history counts as one common factor."""


def with_record(history: Sequence[dict[str, Any]], record: dict[str, Any]) -> list[dict[str, Any]]:
    """History with one write more; a write that continues the last one of the same source joins it."""
    if history and history[-1]["source"] == record["source"]:
        last = history[-1]
        joined = {
            "first": min(last["first"], record["first"]),
            "last": max(last["last"], record["last"]),
            "written": record["written"],
        }
        return [*history[:-1], {**last, **joined}]
    return [*history, record]


def refuse_other_kind(
    old: Bars, header: dict[str, Any], new: Bars, provenance: dict[str, Any], where: str
) -> None:
    """Refuse to mix two kinds of prices in one series.

    Raises
    ------
    DataError
        If what the prices are, their hours, adjustment, calendar, fields or instrument differ.
    """
    stored = {k: header[k] for k in ("what", "session_kind", "adjustment", "instrument")}
    stored |= {"calendar": old.calendar, "fields": sorted(old.fields)}
    given = {k: provenance[k] for k in ("what", "session_kind", "adjustment")}
    given |= {
        "instrument": asdict(new.instruments[0]),
        "calendar": new.calendar,
        "fields": sorted(new.fields),
    }
    for key, value in stored.items():
        if given[key] != value:
            raise DataError(
                f"{where} holds {key} {value!r}, and the new bars have {given[key]!r}; one series has one "
                "kind. Nothing is written. Give the new bars the same, another catalog, or replace='all' "
                "(--replace all) to drop what is stored."
            )


def _columns(bars: Bars) -> dict[str, NDArray[Any]]:
    """Every column of bars of one symbol but the times; factor and membership always."""
    named = {c: getattr(bars, c)[:, 0] for c in (*COLUMNS, "factor", "member")}
    return {"session": bars.session, **named, **{FIELD + n: a[:, 0] for n, a in bars.fields.items()}}


def lay_over(old: Bars, new: Bars, where: str, *, replace: bool) -> Bars:
    """Lay new bars over stored ones.

    Without `replace` a shared time must say the same. New bars between stored ones fill a gap.
    """
    before, after = _columns(old), _columns(new)
    _, a, b = np.intersect1d(old.time, new.time, assume_unique=True, return_indices=True)
    if not replace:
        _refuse_difference(old, before, after, a, b, where)
    else:
        _refuse_other_basis(old, new, a, b, where)
    inside = (old.time >= new.time[0]) & (old.time <= new.time[-1])
    keep = ~np.isin(old.time, new.time) & ~(inside & replace)
    time = np.concatenate([old.time[keep], new.time])
    order = np.argsort(time, kind="stable")
    joined = {n: np.concatenate([c[keep], after[n]])[order] for n, c in before.items()}
    fields = {n.removeprefix(FIELD): c[:, None] for n, c in joined.items() if n.startswith(FIELD)}
    return Bars(
        time=time[order],
        session=joined["session"],
        **{c: joined[c][:, None] for c in (*COLUMNS, "factor", "member")},
        fields=fields,
        instruments=new.instruments,
        bar_size=new.bar_size,
        meta=new.meta,
    )


def _refuse_difference(  # noqa: PLR0917  # two sides, each whole and by row
    old: Bars,
    before: Mapping[str, NDArray[Any]],
    after: Mapping[str, NDArray[Any]],
    a: NDArray[Any],
    b: NDArray[Any],
    where: str,
) -> None:
    """Refuse new rows `b` that say something else than the stored rows `a`; NaN is equal to NaN."""
    differs = {
        n: (c[a] != after[n][b]) & ~((c[a] != c[a]) & (after[n][b] != after[n][b])) for n, c in before.items()
    }
    rows = np.logical_or.reduce(list(differs.values()))
    if not rows.any():
        return
    k = int(np.argmax(rows))
    name = next(n for n, wrong in differs.items() if wrong[k])
    raise DataError(
        f"{where} already has {a.size} of these bars, and {int(rows.sum())} differ, first at "
        f"{label(old, int(a[k]))}: {name} is {before[name][a[k]]} there and {after[name][b[k]]} here. "
        "Nothing is written. replace=True (--replace overlap) lets the new bars stand in their span, "
        "replace='all' (--replace all) drops the stored series."
    )


def _refuse_other_basis(old: Bars, new: Bars, a: NDArray[Any], b: NDArray[Any], where: str) -> None:
    """Refuse re-adjusted bars beside old ones that stay: the seam would be a jump that never was."""
    stays = bool((old.time < new.time[0]).any() or (old.time > new.time[-1]).any())
    if not stays or not a.size:
        return
    ratio = new.close[b, 0] / old.close[a, 0]
    moved = np.abs(ratio - 1.0) > SAME
    if moved.all() and float(np.ptp(ratio)) <= 1e-4 * float(ratio[0]):
        raise DataError(
            f"the new bars are adjusted on another basis than those in {where}: every shared close is "
            f"{ratio[0]:.6g} times the stored one. Stored bars outside their span would not fit. Nothing is "
            "written; write the whole history with replace='all' (--replace all)."
        )
