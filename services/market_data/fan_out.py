"""`rdmaq-md subscribe`: one subscriber in this process, or several in processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import click
from rich.console import Console

import rdmaq

from . import conservation
from .errors import MarketDataError, SubscriberError
from .follow import Follower, Wish
from .lifeline import end_with_parent
from .progress import LiveProgress, Row, lost_words, tally_rows
from .report import print_subscriber, print_subscribers
from .signals import Terminated


def subscribe_alone(wish: Wish, *, as_json: bool, console: Console) -> bool:
    """Counts a stream to its end and tells each session as it ends; False if incomplete.

    Args:
        wish: What is subscribed to.
        as_json: Print one object at the end instead of a table for each session.
        console: For the tables.

    Raises:
        OptionError, SubscriberError, rdmaq.RdmaqError: As `Follower.run`; what came is told first.
    """
    follower = Follower(wish, lambda line: click.echo(line, err=True))
    tallies = follower.tallies

    def rows() -> Sequence[Row]:
        return tally_rows(tallies[-1]) if tallies else []

    def tell() -> None:
        progress.stop()
        if not as_json:
            console.print(f"session {len(tallies)}:")
            print_subscriber(console, tallies[-1].as_json())

    try:
        with LiveProgress(rows, is_wanted=not as_json) as progress:
            follower.run(progress.update, tell)
    finally:
        if as_json and tallies:
            click.echo(json.dumps(_summed([tally.as_json() for tally in tallies])))
    return follower.is_whole


@dataclass(slots=True)
class _Child:
    """A subscriber's process, as its parent sees it."""

    number: int
    process: Any
    pipe: Connection
    progress: dict[str, Any] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)
    died: str | None = None
    is_over: bool = False

    def hear(self) -> None:
        """Takes what it said."""
        try:
            words = self.pipe.recv()
        except (EOFError, OSError):  # the latter: killed while it said something
            self.is_over = True
            self.process.join()
            code = self.process.exitcode
            if code < 0:
                self.died = f"killed by {signal.Signals(-code).name}"
            elif code > 0:
                self.died = f"exited with status {code}"
            return
        if "line" in words:
            click.echo(f"subscriber {self.number}: {words['line']}", err=True)
        elif "reports" in words:
            self.reports, self.died = words["reports"], words["error"]
        else:
            self.progress = words

    def as_json(self) -> dict[str, Any]:
        """What `--json` says of it."""
        return {
            "number": self.number,
            **_summed(self.reports),
            "breaches": conservation.silent_breaches(self.reports),
            "died": self.died,
        }


def subscribe_several(wish: Wish, count: int, *, as_json: bool, console: Console) -> bool:
    """As `subscribe_alone`, by so many processes; also False if one of them died.

    They are forked before anything is connected, so that nothing is imported twice, and end with
    this process however it ends. Told to end, it ends them, and tells what they got.

    Raises:
        SubscriberError: None of them could subscribe.
    """
    children: list[_Child] = []
    try:
        children.extend(_started(wish, number) for number in range(1, count + 1))
        with LiveProgress(lambda: _rows(children), is_wanted=not as_json) as progress:
            _listen(children, progress)
    finally:
        for child in children:
            child.process.terminate()
        _listen(children, None)
        reports = [child.as_json() for child in children]
        if any(child.reports for child in children):
            if as_json:
                click.echo(json.dumps({"subscribers": reports}))
            else:
                print_subscribers(console, reports)
    if not any(child.reports for child in children):
        words = next((child.died for child in children if child.died), "")
        what, _, rest = words.partition(": ")
        cause, _, cure = rest.rpartition("; ")
        raise SubscriberError(
            f"none of {count} subscribers got anything: {what or 'they ended'}",
            cause or rest or "nobody says why",
            cure or "try one alone, without --subscribers",
        )
    return not any(report["breaches"] or report["died"] for report in reports)


def _started(wish: Wish, number: int) -> _Child:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_serve, args=(wish, theirs, os.getpid()))
    process.start()
    theirs.close()
    return _Child(number, process, ours)


def _serve(wish: Wish, pipe: Connection, parent_pid: int) -> None:
    """The child: says lines, progress, and at last its reports."""
    end_with_parent(parent_pid)
    # Ctrl-C is the parent's business: it ends its subscribers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follower = Follower(wish, lambda line: _send(pipe, {"line": line}))
    error = None
    try:
        follower.run(lambda: _send(pipe, _progress(follower)), lambda: None)
    except Terminated:
        pass
    except (MarketDataError, rdmaq.RdmaqError) as caught:
        error = str(caught)
    reports = [tally.as_json() for tally in follower.tallies]
    with suppress(BrokenPipeError):
        _send(pipe, {"reports": reports, "error": error})


def _send(pipe: Connection, words: dict[str, Any]) -> None:
    """Sends all of it: a signal that ends the process waits until then."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGHUP))
    try:
        pipe.send(words)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _progress(follower: Follower) -> dict[str, Any]:
    tally = follower.tallies[-1]
    lost = {cause: tally.lost_count(cause) for cause in ("upstream", "overrun")}
    return {"messages": tally.messages, **lost}


def _listen(children: Sequence[_Child], progress: LiveProgress | None) -> None:
    """Hears all of them to their ends."""
    while open_pipes := {child.pipe: child for child in children if not child.is_over}:
        for pipe in wait(list(open_pipes)):
            open_pipes[pipe].hear()  # type: ignore[index]
        if progress is not None:
            progress.update()


def _rows(children: Sequence[_Child]) -> list[Row]:
    rows = []
    for child in children:
        said = child.progress
        words = child.died or (lost_words(said["upstream"], said["overrun"]) if said else "")
        rows.append(Row(f"subscriber {child.number}", said.get("messages", 0), words))
    return rows


def _summed(reports: list[dict[str, Any]]) -> dict[str, Any]:
    return {**conservation.total(reports), "sessions": reports}
