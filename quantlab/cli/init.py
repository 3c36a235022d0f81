"""``quantlab init``: a folder made a project, so that what is tried in it is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._options import JsonOption

__all__ = ["app"]

app = make_app()

IGNORED = """\
.quantlab/
__pycache__/
.venv/
"""

README = """\
# {name}

Strategies, one file each. `quantlab.toml` marks this folder as a project: every backtest and every sweep that is
run in it is counted in `.quantlab/ledger.sqlite`, so that the best result can be judged by how many were tried.

    quantlab backtest sma_cross.py
    quantlab check sma_cross.py
    quantlab ledger
"""

SETTINGS = """\
# This file marks a quantlab project: the folder whose backtests and sweeps are counted together.

[ledger]
record = true    # false: nothing more is entered
"""


@app.command()
def init(
    folder: Annotated[
        str, typer.Argument(metavar="[FOLDER]", show_default=False, help="Where; made if it is not there.")
    ] = ".",
    as_json: JsonOption = False,
) -> int:
    """Make a folder a project, in which every backtest and sweep is counted.

    Writes quantlab.toml, an example strategy, a README and a .gitignore. A file that is there is left as it is.
    """
    from quantlab.research.project import MARKER, find_project, forget_projects

    place = Path(folder).absolute()
    around = find_project(place)
    already = around is not None and around.folder == place
    made = [] if already else _write_files(place, MARKER)
    forget_projects()
    if as_json:
        from quantlab.cli._output import print_json

        print_json({"project": place, "already": already, "made": made})
        return 0
    if already:
        typer.echo(f"{place} is a project already; nothing was changed")
        return 0
    typer.echo(f"{place} is a project now: its backtests and sweeps are counted")
    for name in made:
        typer.echo(f"made: {name}")
    if around is not None:
        typer.echo(f"note: it lies in the project {around.folder}; what is run here is counted here alone")
    typer.echo("next: quantlab backtest sma_cross.py")
    return 0


def _write_files(place: Path, marker: str) -> list[str]:
    """Write what is not there yet, the marker last: a project is whole.

    Raises
    ------
    ParameterError
        For a place that cannot be written.
    """
    from quantlab.cli.demo import STRATEGY
    from quantlab.engine.files import write_text
    from quantlab.errors import ParameterError

    files = {
        "sma_cross.py": STRATEGY,
        "README.md": README.format(name=place.name or "project"),
        ".gitignore": IGNORED,
        marker: SETTINGS,
    }
    try:
        missing = [name for name in files if not (place / name).exists()]
        for name in missing:
            write_text(place / name, files[name])
    except OSError as error:
        raise ParameterError(
            f"{place} cannot be made a project ({error.strerror}); name a folder that can be written."
        ) from error
    return missing
