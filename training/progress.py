"""Progress bars for what takes minutes: code that works tells how much is done, the command line shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

OnProgress = Callable[[int, int], None]
"""Is told how many of how many are done."""
ProgressFactory = Callable[[str], AbstractContextManager[OnProgress]]
"""Opens a bar with a name."""


@contextmanager
def bars(what: str) -> Iterator[OnProgress]:
    """Show a progress bar on standard error."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=None)

        def on_progress(done: int, of: int) -> None:
            shown.update(task, completed=done, total=of)

        yield on_progress


@contextmanager
def silent(what: str) -> Iterator[OnProgress]:
    """Show nothing."""
    yield lambda done, of: None
