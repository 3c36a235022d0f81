"""Errors as a person or a program reads them: one message, one exit code."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quantlab.errors import MismatchError, QuantlabError, StrategyError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DEFECT", "FAILED", "INTERRUPTED", "UNUSABLE", "report_error"]

FAILED = 1
UNUSABLE = 2
DEFECT = 70
INTERRUPTED = 130

# Newer releases of typer carry click inside, older ones import it; the public BadParameter leads to either.
_USAGE = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def report_error(error: BaseException, *, as_json: bool) -> int:
    """Print what went wrong and return the exit code.

    Parameters
    ----------
    error : BaseException
        What a command raised.
    as_json : bool
        Print an object ``{"error": {...}}`` on standard output in place of a message on standard error.
    """
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _say(error, "interrupted", INTERRUPTED, as_json=as_json)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(str(getattr(error, "message", error)), err=True)
        return UNUSABLE
    if isinstance(error, _USAGE):
        return _say(error, _usage_message(error), UNUSABLE, as_json=as_json)
    if isinstance(error, MismatchError):
        return _say(error, str(error), FAILED, as_json=as_json)
    if isinstance(error, QuantlabError):
        return _say(error, str(error) + _place_in_strategy(error), UNUSABLE, as_json=as_json)
    traceback.print_exception(error, file=sys.stderr)
    text = (
        f"{type(error).__name__}: {error}. This is a defect of quantlab, not of what you gave; "
        "please report it with the lines above."
    )
    return _say(error, text, DEFECT, as_json=as_json)


def _say(error: BaseException, text: str, code: int, *, as_json: bool) -> int:
    if not as_json:
        typer.echo(f"error: {text}" if code != INTERRUPTED else text, err=True)
        return code
    from quantlab.cli._output import print_json

    kind = "UsageError" if isinstance(error, _USAGE) else type(error).__name__
    shown: dict[str, Any] = {"type": kind, "message": text, "exit_code": code}
    if isinstance(error, UnknownNameError):
        shown |= {"given": error.given, "nearest": error.nearest, "allowed": error.allowed}
    print_json({"error": shown})
    return code


def _usage_message(error: Any) -> str:
    """Message of a command line that could not be read, with the nearest option and where to look."""
    context = getattr(error, "ctx", None)
    path = "quantlab" if context is None else context.command_path
    advice = f"See '{path} --help'."
    given = getattr(error, "option_name", None)
    if type(error).__name__ == "NoSuchOption" and context is not None and given:
        return str(UnknownNameError("option", given, _options(context), advice))
    text = str(error.format_message()).strip()
    return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'} {advice}"


def _options(context: Any) -> Iterable[str]:
    return [name for p in context.command.get_params(context) for name in p.opts if name.startswith("-")]


def _place_in_strategy(error: QuantlabError) -> str:
    """Line of the user's own file at which a strategy raised."""
    cause = error.__cause__
    if not isinstance(error, StrategyError) or cause is None:
        return ""
    package = Path(__file__).parent.parent
    frames = traceback.extract_tb(cause.__traceback__)
    for frame in reversed(frames):
        path = Path(frame.filename)
        if path.is_file() and package not in path.parents and "site-packages" not in path.parts:
            return f"\n  {path}, line {frame.lineno}: {frame.line}"
    return ""
