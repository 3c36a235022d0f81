"""The command line: one file a command group, imported when the command runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process, if not given.

    Returns
    -------
    int
        0: done, and good. 1: done, and the answer is no (two computations differ, a strategy looks ahead,
        data is at fault). 2: what was given cannot be used. 70: a defect of quantlab. 130: interrupted.
    """
    from quantlab.cli._commands import command_group
    from quantlab.cli._errors import report_error

    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = command_group().main(args=arguments, prog_name="quantlab", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # every error ends here as a message and a code
        return report_error(error, as_json="--json" in arguments)
    return code if isinstance(code, int) else 0
