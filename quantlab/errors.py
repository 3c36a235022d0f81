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
    ├── ProtocolError                  bytes or messages that break the socket protocol of TWS
    │   ├── LocalProtocolError         we tried to send what may not be sent
    │   └── RemoteProtocolError        the peer sent what cannot be understood
    ├── GatewayError                   the simulated gateway cannot do what was asked of it
    ├── BrokerError                    Interactive Brokers cannot be reached, or said no
    │   ├── NotConnectedError          no connection: nobody listens, the API is off, the id is taken, it was lost
    │   ├── NoAnswerError              a request that was not answered in time (which is not an empty answer)
    │   ├── RequestError               a request that was answered by an error code
    │   └── ContractError              a symbol that is unknown, or that stands for several contracts
    ├── LiveError                      a live run that may not start, or has to stop
    │   ├── BundleError                a bundle that is damaged, was changed, or may not be used so
    │   └── JournalError               a journal that cannot be read, is in use, or belongs to another bundle
    └── MissingExtraError (ImportError)  an optional package is not installed

Every message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BrokerError",
    "BundleError",
    "CatalogError",
    "ContractError",
    "DataError",
    "GatewayError",
    "InputError",
    "JournalError",
    "LiveError",
    "LocalProtocolError",
    "MismatchError",
    "MissingExtraError",
    "NoAnswerError",
    "NotConnectedError",
    "ParameterError",
    "ProtocolError",
    "QuantlabError",
    "RemoteProtocolError",
    "RequestError",
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


class ProtocolError(QuantlabError):
    """Bytes or messages that break the socket protocol of TWS."""


class LocalProtocolError(ProtocolError):
    """We tried to send what may not be sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what cannot be understood."""


class GatewayError(QuantlabError):
    """The simulated gateway cannot do what was asked of it."""


class BrokerError(QuantlabError):
    """Interactive Brokers cannot be reached, or said no."""


class NotConnectedError(BrokerError):
    """No connection: nobody listens, the API is off, the client id is taken, or it was lost."""


class NoAnswerError(BrokerError):
    """A request that was not answered in time, which is not an empty answer."""


class RequestError(BrokerError):
    """A request that was answered by an error code.

    Parameters
    ----------
    code : int
        Interactive Brokers' code.
    text : str
        What came with it.
    advice : str, optional
        What to do, one sentence.
    """

    def __init__(self, code: int, text: str, advice: str = "") -> None:
        super().__init__(f"error {code}: {text}" + (f" {advice}" if advice else ""))
        self.code, self.text = code, text


class ContractError(BrokerError):
    """A symbol that is unknown, or that stands for several contracts."""


class LiveError(QuantlabError):
    """A live run that may not start, or has to stop."""


class BundleError(LiveError):
    """A bundle that is damaged, was changed, or may not be used so."""


class JournalError(LiveError):
    """A journal that cannot be read, is in use, or belongs to another bundle."""


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
