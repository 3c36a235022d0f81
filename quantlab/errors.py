"""Every exception of quantlab, one tree.

::

    QuantlabError
    ├── InputError (ValueError)        something given cannot be used
    │   ├── UnknownNameError           a name that is not on the list; says the nearest
    │   ├── DataError                  prices, times or files that are not what they should be
    │   ├── ParameterError             a parameter, grid or option of the wrong type or value
    │   └── StrategyError              a strategy that cannot be loaded, raised, or broke its contract
    ├── CatalogError                   a stored catalog that cannot be read or written
    ├── RuinError                      equity fell to zero or below (only with ``strict=True``)
    ├── MismatchError                  two computations that must agree do not
    └── MissingExtraError (ImportError)  an optional package is not installed

Every message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CatalogError",
    "DataError",
    "InputError",
    "MismatchError",
    "MissingExtraError",
    "ParameterError",
    "QuantlabError",
    "RuinError",
    "StrategyError",
    "UnknownNameError",
]


class QuantlabError(Exception):
    """Base of every error that quantlab raises on purpose."""


class InputError(QuantlabError, ValueError):
    """Something given cannot be used."""


class UnknownNameError(InputError):
    """A name that is not on the list.

    Parameters
    ----------
    kind : str
        What the name stands for, in the singular: ``"symbol"``, ``"parameter"``.
    given : str
        The name as given.
    allowed : iterable of str
        The names that exist.
    advice : str, optional
        What to do, one sentence.
    """

    def __init__(self, kind: str, given: str, allowed: Iterable[str], advice: str = "") -> None:
        names = sorted({str(a) for a in allowed})
        near = get_close_matches(str(given), names, n=1, cutoff=0.6) or [
            n for n in names if n.lower() == str(given).lower()
        ]
        shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
        text = f"unknown {kind} {given!r}"
        text += f"; did you mean {near[0]!r}?" if near else "."
        text += f" Known: {shown}." if names else f" There is no {kind} at all."
        super().__init__(text + (f" {advice}" if advice else ""))
        self.kind, self.given, self.allowed = kind, given, names
        self.nearest = near[0] if near else None


class DataError(InputError):
    """Prices, times or files that are not what they should be."""


class ParameterError(InputError):
    """A parameter, a grid or an option of the wrong type or value."""


class StrategyError(InputError):
    """A strategy that cannot be loaded, raised, or broke its contract."""


class CatalogError(QuantlabError):
    """A stored catalog that cannot be read or written."""


class RuinError(QuantlabError):
    """Equity fell to zero or below, and the run was asked to be strict."""


class MismatchError(QuantlabError):
    """Two computations that must agree do not."""


class MissingExtraError(QuantlabError, ImportError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        The distribution that is missing.
    extra : str
        The extra of quantlab that brings it.
    purpose : str
        What it is needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}; install it with: pip install 'quantlab[{extra}]'")
        self.package, self.extra = package, extra
