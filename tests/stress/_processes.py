"""A round's processes, as their parent has them: forked, heard of, killed, waited for."""

from __future__ import annotations

import os
import signal
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from tests.stress._board import Board, lib

#: Which process it is: else a line's number, or one below of the killer's own.
PUBLISHER = -1


class Fault(Exception):
    """A child failed, or nothing moved any more."""


class Processes(ABC):
    """Their parent; it has no handle of rdmaq's own, and one thread.

    Args:
        board: the books, which all of them share.
        folder: for the words of who failed.
        line_count: of readers, one at a time each.
        message_count: that are to be published.
        strike_count: how often some of them are struck; messages are shared out between that.

    Attributes:
        PROGRESS_SECONDS_MAX: how long nothing may move.
        LOOK_SECONDS: between two looks at what is waited for.
    """

    PROGRESS_SECONDS_MAX: float
    LOOK_SECONDS: float

    def __init__(
        self, board: Board, folder: Path, line_count: int, message_count: int, strike_count: int
    ) -> None:
        self._board, self._folder = board, folder
        self._lines = range(line_count)
        self._message_count, self._strike_count = message_count, strike_count
        self._pids: dict[int, int] = {}

    @abstractmethod
    def _play(self) -> None:
        """The round. Raises Fault."""

    @abstractmethod
    def _live(self, which: int) -> None:
        """What that process does, in the child, until its end."""

    def _run(self, faults: list[str]) -> None:
        """Plays the round, and ends whoever is left of it."""
        try:
            self._play()
        except Fault as fault:
            faults.append(str(fault))
        finally:
            for pid in self._pids.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _allow(self, share: int) -> None:
        """Messages and strikes go side by side, so that neither is over before the other."""
        self._board.words.budget = self._message_count * share // (self._strike_count + 1)

    def _start_all(self) -> None:
        for which in (PUBLISHER, *self._lines):
            self._start(which)

    def _start(self, which: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._be(which)
        self._pids[which] = pid

    def _be(self, which: int) -> None:
        """In the child: never returns."""
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
            lib.board_die_with_parent()
            self._live(which)
            status = 0
        except BaseException:
            (self._folder / f"fault-{os.getpid()}").write_text(traceback.format_exc())
        finally:
            os._exit(status)

    def _kill(self, which: int) -> None:
        pid = self._pids.pop(which)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if which in self._lines:
            self._board.words.lines[which].attached = 0

    def _reap(self) -> None:
        """Notes who came to its end; one that failed is a fault."""
        for which, pid in list(self._pids.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found == 0:
                continue
            del self._pids[which]
            if status != 0:
                who = f"reader {which}" if which in self._lines else "the publisher"
                words = self._folder / f"fault-{pid}"
                text = words.read_text() if words.exists() else ""
                code = os.waitstatus_to_exitcode(status)
                raise Fault(f"{who} ended with {code}: {text}")

    def _events(self) -> int:
        """What only grows while anything moves."""
        words = self._board.words
        seen = sum(self._board.account(line).events for line in self._lines)
        joins = sum(words.lines[line].joins for line in self._lines)
        return int(seen + joins + self._board.published)

    def _wait_for(self, is_true: Callable[[], bool], what: str, *, is_moving: bool = False) -> None:
        """Until the condition holds; `is_moving`: patience begins anew with each movement."""
        deadline, before = time.monotonic() + self.PROGRESS_SECONDS_MAX, 0
        while not is_true():
            self._reap()
            if is_moving and (now := self._events()) != before:
                deadline, before = time.monotonic() + self.PROGRESS_SECONDS_MAX, now
            if time.monotonic() > deadline:
                raise Fault(f"waited {self.PROGRESS_SECONDS_MAX} s for {what} in vain")
            time.sleep(self.LOOK_SECONDS)

    def _let_end(self) -> None:
        """All strikes are behind; returns when everybody has come to the end by himself."""
        self._allow(self._strike_count + 1)
        self._board.words.may_end = 1
        self._wait_for(lambda: not self._pids, "the round's end", is_moving=True)
