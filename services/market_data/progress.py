"""Live progress on a terminal's standard error; silent elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from .replay import Replay

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class LiveProgress:
    """Shows how far the publisher and each subscriber are; use it in a `with` statement.

    Args:
        replay: Being run in the block.
        is_wanted: False shows nothing, as does a standard error that is no terminal.
    """

    def __init__(self, replay: Replay, *, is_wanted: bool) -> None:
        self._replay = replay
        self._is_wanted = is_wanted and sys.stderr.isatty()
        self._progress: Progress | None = None
        self._tasks: list[TaskID] = []

    def __enter__(self) -> LiveProgress:
        if self._is_wanted:
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TextColumn("{task.fields[messages]:>12,} messages"),
                TextColumn("{task.fields[lost]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self) -> None:
        """Takes the latest counts; cheap, called some twenty times a second."""
        progress = self._progress
        if progress is None:
            return
        processes = self._replay.processes
        while len(self._tasks) < 1 + len(processes):
            number = len(self._tasks)
            name = "publisher" if number == 0 else f"subscriber {number}"
            self._tasks.append(progress.add_task(name, total=None, messages=0, lost=""))
        sessions = self._replay.publisher.sessions
        if sessions:
            published, declared = sessions[-1].published, sessions[-1].lost_count
            progress.update(self._tasks[0], messages=published, lost=f"{declared:,} lost upstream")
        for task, process in zip(self._tasks[1:], processes, strict=False):
            said = process.progress
            if process.died is not None:
                progress.update(task, lost=process.died)
            elif said:
                lost = f"{said['lost_upstream']:,} lost upstream, {said['lost_overrun']:,} overrun"
                progress.update(task, messages=said["messages"], lost=lost)
