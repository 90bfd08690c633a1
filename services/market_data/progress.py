"""Live progress on a terminal's standard error; silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from .publish import PublishedSession
from .replay import Replay
from .tally import Tally

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Row(NamedTuple):
    """One line: who, how many messages so far, and what else there is to say."""

    name: str
    messages: int
    words: str


class LiveProgress:
    """Shows how far everybody is; use it in a `with` statement.

    Args:
        rows: Gives the lines of this moment; a line keeps its place.
        is_wanted: False shows nothing, as does a standard error that is no terminal.
    """

    def __init__(self, rows: Callable[[], Sequence[Row]], *, is_wanted: bool) -> None:
        self._rows = rows
        self._is_wanted = is_wanted and sys.stderr.isatty()
        self._progress: Progress | None = None
        self._tasks: list[TaskID] = []

    def __enter__(self) -> LiveProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Clears its lines; the next update begins anew."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._tasks = None, []

    def update(self) -> None:
        """Takes the latest counts; cheap, called some twenty times a second."""
        if not self._is_wanted:
            return
        if self._progress is None:
            self._progress = _started()
        rows = self._rows()
        for row in rows[len(self._tasks) :]:
            task = self._progress.add_task(row.name, total=None, messages=0, words="")
            self._tasks.append(task)
        for task, row in zip(self._tasks, rows, strict=False):
            self._progress.update(task, messages=row.messages, words=row.words)


def _started() -> Progress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[messages]:>12,} messages"),
        TextColumn("{task.fields[words]}"),
        console=Console(stderr=True),
        transient=True,
    )
    progress.start()
    return progress


def publisher_rows(sessions: Sequence[PublishedSession]) -> list[Row]:
    """How far a publisher is with its current session."""
    if not sessions:
        return [Row("publisher", 0, "")]
    session = sessions[-1]
    return [Row("publisher", session.published, f"{session.lost_count:,} lost upstream")]


def replay_rows(replay: Replay) -> list[Row]:
    """How far the publisher and each subscriber process are."""
    rows = publisher_rows(replay.publisher.sessions)
    for process in replay.processes:
        said = process.progress
        words = process.died or ""
        if said and not words:
            words = lost_words(said["lost_upstream"], said["lost_overrun"])
        rows.append(Row(f"subscriber {process.number}", said.get("messages", 0), words))
    return rows


def tally_rows(tally: Tally) -> list[Row]:
    """How far a subscriber is."""
    lost = lost_words(tally.lost_count("upstream"), tally.lost_count("overrun"))
    return [Row("received", tally.messages, lost)]


def lost_words(upstream: int, overrun: int) -> str:
    """What was lost so far."""
    return f"{upstream:,} lost upstream, {overrun:,} overrun"
