"""A strategy from the name of its file or module, as the command line gives it."""

from __future__ import annotations

import hashlib
import sys
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from quantlab.errors import StrategyError, UnknownNameError
from quantlab.strategy import Strategy, as_strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_strategy"]

FORMS = "write path.py, path.py:name or package.module:name"


def load_strategy(given: str) -> Strategy:
    """Load a strategy from ``path.py``, ``path.py:name`` or ``package.module:name``.

    Parameters
    ----------
    given : str
        File or module, and the name of the strategy in it. Without a name, the file must have exactly one
        strategy (or, if nothing in it is decorated, one public function whose first parameter is ``bars``).

    Returns
    -------
    Strategy

    Raises
    ------
    StrategyError
        For a file or module that is not there, cannot be read or raises, and for a file with no strategy or
        with several.
    UnknownNameError
        For a name that the file does not have; says the nearest.

    Notes
    -----
    A file is compiled from its text each time: what runs is what the fingerprint hashes, and no bytecode is
    left beside it. Its folder is on the path while it loads, so that it can import its neighbours.
    """
    place, name = _split(given)
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module_of_name(place, given)
    if name:
        found = vars(module).get(name)
        if found is None:
            raise UnknownNameError(
                "strategy", name, _strategies(module) or _functions(module), f"{place} has these."
            )
        return as_strategy(found)
    strategies = _strategies(module) or {k: Strategy(f) for k, f in _functions(module).items()}
    if len(strategies) == 1:
        return next(iter(strategies.values()))
    if strategies:
        example = f"{place}:{next(iter(strategies))}"
        raise StrategyError(
            f"{place} has {len(strategies)} strategies ({', '.join(strategies)}); name one: {example}"
        )
    raise StrategyError(f"{place} has no strategy; decorate a function of bars with @quantlab.strategy.")


def _split(given: str) -> tuple[str, str]:
    """File or module, and name; a colon after a drive letter is part of the path."""
    place, colon, name = given.rpartition(":")
    return (place, name) if colon and not given.endswith(".py") else (given, "")


def _strategies(module: ModuleType) -> dict[str, Strategy]:
    """Strategies that a module defines, by name; those it imports do not count."""
    named = {k: v for k, v in vars(module).items() if isinstance(v, Strategy)}
    return {k: v for k, v in named.items() if v.function.__module__ == module.__name__}


def _functions(module: ModuleType) -> dict[str, Any]:
    """Public functions of bars that a module defines."""

    def takes_bars(f: FunctionType) -> bool:
        return f.__code__.co_argcount > 0 and f.__code__.co_varnames[0] == "bars"

    found = {k: v for k, v in vars(module).items() if isinstance(v, FunctionType) and not k.startswith("_")}
    return {k: f for k, f in found.items() if f.__module__ == module.__name__ and takes_bars(f)}


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise StrategyError(_missing(path))
    path = path.resolve()
    try:
        text = path.read_text(encoding="utf-8")
        code = compile(text, str(path), "exec")
    except SyntaxError as error:
        raise StrategyError(f"{path}, line {error.lineno}: {error.msg}; the file is no Python.") from error
    except (OSError, ValueError) as error:
        raise StrategyError(f"{path} cannot be read: {error}.") from error
    place = hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()
    module = ModuleType(f"quantlab_strategy_{place}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up here
    try:
        with _on_path(path.parent):
            exec(code, vars(module))  # noqa: S102  # running the user's own strategy is what was asked for
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise StrategyError(f"{path} cannot be loaded: it raised {type(error).__name__}: {error}") from error
    return module


def _missing(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder; {FORMS}."
    folder = path.parent
    names = sorted(p.name for p in folder.glob("*.py")) if folder.is_dir() else []
    near = get_close_matches(path.name, names, n=1)
    if near:
        return f"there is no file {path}; did you mean {folder / near[0]}?"
    there = f"{folder} has {', '.join(names[:8])}." if names else f"{folder} has no Python file."
    return f"there is no file {path}; {there}"


def _module_of_name(name: str, given: str) -> ModuleType:
    words = name.split(".")
    if not all(word.isidentifier() for word in words):
        near = " Python files end in .py." if Path(name).exists() else ""
        raise StrategyError(f"strategy {given!r} is not understood; {FORMS}.{near}")
    with _on_path(Path.cwd()):
        try:
            known = find_spec(name) is not None
        except (ImportError, ValueError):
            known = False
        if not known:
            raise StrategyError(f"there is no module {name!r} to take a strategy from; {FORMS}.")
        try:
            return import_module(name)
        except (Exception, SystemExit) as error:
            raise StrategyError(
                f"module {name} cannot be loaded: it raised {type(error).__name__}: {error}"
            ) from error


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Put a folder first on the import path for a while."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
