"""``quantlab halt``: stop a bundle from trading, and let it trade again."""

from __future__ import annotations

from typing import Annotated

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import JsonOption
from quantlab.cli.paper import BundleArgument

__all__ = ["app"]

app = make_app()


@app.command()
def halt(
    bundle: BundleArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is journaled.")] = "halted by hand",
    resume: Annotated[bool, typer.Option("--resume", help="End the halt.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Stop a bundle from trading: no order leaves, standing ones are cancelled, positions stay.

    It holds for a run that is going on (which sees it at its next step) and for every later one, until --resume.
    """
    from quantlab.engine.files import write_text
    from quantlab.live.bundle import read_bundle

    found = read_bundle(bundle)
    if resume:
        found.halt_path.unlink(missing_ok=True)
    else:
        write_text(found.halt_path, reason.strip() + "\n")
    if as_json:
        from quantlab.cli._output import print_json

        print_json({"bundle": str(found.folder), "halted": None if resume else reason})
    else:
        typer.echo(f"{found.folder}: " + ("trades again" if resume else f"halted: {reason}"))
    return 0
