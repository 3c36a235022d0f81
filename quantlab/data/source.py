"""Bars by their recipe: what `meta["source"]` says, read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quantlab.bars import Bars

__all__ = ["SOURCE_KINDS", "load_source"]

SOURCE_KINDS = ("sample", "catalog", "file")


def load_source(source: Mapping[str, Any]) -> Bars:
    """Bars of a recipe, as `sample`, `Catalog.bars` and the importers leave it in ``meta["source"]``.

    Parameters
    ----------
    source : mapping
        ``{"kind": "sample" | "catalog" | "file", …}``, JSON-able.

    Returns
    -------
    Bars
        The bars as they were read; cuts and resampling after that are not part of the recipe, so compare
        `Bars.content_hash` after making them again.

    Raises
    ------
    UnknownNameError
        For another kind.
    DataError
        For a recipe that lacks something, or whose bars are no longer there.
    """
    recipe = dict(source)
    kind = str(recipe.pop("kind", ""))
    try:
        if kind == "sample":
            from quantlab.data.sample import sample

            return sample(recipe["symbols"], recipe["bar_size"], adjustment=recipe.get("adjustment", "all"))
        if kind == "catalog":
            from quantlab.data.catalog import Catalog

            return Catalog(recipe["path"]).bars(recipe["symbols"], recipe["bar_size"])
        if kind == "file":
            from quantlab.data.importers import import_file

            return import_file(recipe.pop("path"), **recipe)
    except (KeyError, TypeError) as error:
        raise DataError(f"the recipe {dict(source)!r} cannot be followed: {error}.") from error
    raise UnknownNameError("kind of source", kind, SOURCE_KINDS)
