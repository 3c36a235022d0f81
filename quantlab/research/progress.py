"""How far a sweep is: a bar with rate and time left on the terminal, or a function of the caller's."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["shown"]


@contextmanager
def shown(
    progress: bool | Callable[[int, int], None], n_trials: int, what: str
) -> Iterator[Callable[[int], None]]:
    """Show progress while inside; call what is given with the number of trials that are done.

    Parameters
    ----------
    progress : bool or callable
        True: a bar on the standard error stream if that is a terminal or a notebook; False: nothing; a function is
        called with the number of trials done and of all.
    n_trials : int
        All trials.
    what : str
        What is shown beside the bar.
    """
    if callable(progress):
        told = progress
        yield lambda done: told(done, n_trials)
    elif not progress or not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        yield lambda _: None
    else:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            """Trials a second."""

            def render(self, task: Task) -> Text:
                return Text(f"{task.speed:,.0f}/s" if task.speed else "")

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=n_trials)
            yield lambda done: bar.update(task, completed=done)
