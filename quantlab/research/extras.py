"""Libraries of the extra ``research``, loaded when they are needed and named when they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from quantlab.errors import MissingExtraError

__all__ = ["load_arch", "load_scipy"]


def load_scipy(purpose: str) -> Any:
    """Load scipy.

    Raises
    ------
    MissingExtraError
        If it is not installed; `purpose` begins the sentence.
    """
    return _load("scipy", purpose)


def load_arch(purpose: str) -> Any:
    """Load ``arch.bootstrap``.

    Raises
    ------
    MissingExtraError
        If it is not installed; `purpose` begins the sentence.
    """
    return _load("arch.bootstrap", purpose)


def _load(module: str, purpose: str) -> Any:
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, "research", purpose) from error
