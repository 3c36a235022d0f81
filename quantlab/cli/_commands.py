"""Which commands there are, and where: a table that is read without importing any of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from quantlab.errors import UnknownNameError

__all__ = ["COMMANDS", "command_group", "make_app"]

COMMANDS = {
    "demo": "Take a strategy the whole way on real prices: backtest, promotion, a year of paper trading, proof.",
    "doctor": "Check this machine, the official client, TWS or IB Gateway and the catalog, and say what to do.",
    "init": "Make a folder a project, in which every backtest and sweep is counted.",
    "backtest": "Run one strategy over bars and print what came of it.",
    "sweep": "Run every parameter set of a grid and print the best.",
    "check": "Test that a strategy does not look ahead, and find its warm-up.",
    "walk-forward": "Choose parameters on some bars, judge them on others, and stitch what came of it into one run.",
    "validate": "Sweep a strategy and test what its best trial is worth after so many tries.",
    "ledger": "Show what was tried in this project: entries, and what they add up to by strategy.",
    "verify": "Run a report again and name the first number that differs.",
    "promote": "Examine a strategy and seal it, with its evidence and its risk limits, into a bundle.",
    "parity": "Replay a period through the official client, a socket and the gateway, beside the backtest.",
    "paper": "Run a bundle on paper money: closed bar, signal, order, journal, until it is stopped.",
    "status": "Say what a bundle holds, what it last decided, and whether it runs.",
    "halt": "Stop a bundle from trading: no order leaves, standing ones are cancelled, positions stay.",
    "journal": "Print what a bundle decided, sent and heard, from the journal, also while it runs.",
    "gateway": "Run a simulated TWS on this machine, for any client of Interactive Brokers' protocol.",
    "data": "Look at, import, fetch and verify stored prices.",
    "contracts": "Show what Interactive Brokers knows of a symbol: contract, tick, hours, or its namesakes.",
    "stream": "Show bars or ticks from Interactive Brokers as they come, and record them if asked.",
}
"""One line a command, in the order of the help; each is the file of its name, with a Typer called ``app``."""

SENTENCE = 200
"""Longest first sentence of a command's help."""

SUMMARY = "Backtest strategies whose signals run, unchanged, on Interactive Brokers."


class _Group(TyperGroup):
    """A group whose help shows each command's first sentence whole, folded and not cut.

    Arguments are Any: their types are click's, which newer typer carries inside and older typer imports.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # click's signature
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(k, c.get_short_help_str(SENTENCE)) for k, c in self.commands.items()])


def make_app(summary: str | None = None) -> typer.Typer:
    """Typer of one command or command group, with the settings that all of them share.

    Parameters
    ----------
    summary : str, optional
        What a group of commands is for; a single command says it in its docstring.
    """
    return typer.Typer(
        cls=_Group,
        help=summary,
        add_completion=False,
        no_args_is_help=summary is not None,
        rich_markup_mode=None,  # plain help: loading Rich costs more than everything else of --help
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


class _LazyGroup(TyperGroup):
    """The top command: lists the table, and imports a command's file only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # click's signature
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  # click's signature
        """Load the command."""
        if cmd_name not in COMMANDS:
            return None
        return typer.main.get_command(import_module(f"quantlab.cli.{cmd_name.replace('-', '_')}").app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first argument names.

        Raises
        ------
        UnknownNameError
            If there is none; says the nearest.
        """
        if not ctx.resilient_parsing and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownNameError("command", args[0], COMMANDS, "See 'quantlab --help'.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # click's signature
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def command_group() -> Any:
    """Build the top command, ready to run."""
    app = typer.Typer(
        cls=_LazyGroup,
        help=SUMMARY,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def top(
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    ) -> None:
        if version:
            import quantlab

            typer.echo(quantlab.__version__)
            raise typer.Exit

    return typer.main.get_command(app)
