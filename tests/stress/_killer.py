"""One round: forks publisher and readers, and stops and kills them by the dice."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.stress._board import INCARNATIONS_MAX, Board, lib
from tests.stress._plan import Round
from tests.stress._publisher import publish, rehearse
from tests.stress._reader import read

_REHEARSAL, _PUBLISHER = -2, -1  # else a line's number
_PROGRESS_SECONDS_MAX = 90.0
_LOOK_SECONDS = 0.0005


class Fault(Exception):
    """A child failed, or nothing moved any more."""


@dataclass
class Tally:
    """What was done to the round's processes."""

    forks: int = 0
    publishers_killed: int = 0
    readers_killed: int = 0
    stops: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Of both kinds."""
        return self.publishers_killed + self.readers_killed


class Killer:
    """The parent of a round's processes; it has no handle of rdmaq's own, and one thread."""

    def __init__(self, board: Board, plan: Round, folder: Path) -> None:
        self.tally = Tally()
        self._board, self._plan, self._folder = board, plan, folder
        self._dice = random.Random(plan.seed)
        self._pids: dict[int, int] = {}

    def run(self) -> Tally:
        """Runs the round; what went wrong stands in the tally's faults."""
        try:
            self._start(_REHEARSAL)
            self._wait_for(lambda: not self._pids, "a publisher without readers")
            self._start(_PUBLISHER)
            for line in range(len(self._plan.lines)):
                self._start(line)
            for number in range(self._plan.kill_count):
                self._allow(number + 1)
                self._kill_one()
            self._allow(self._plan.kill_count + 1)
            if self._plan.kill_count == 0 and not self._plan.pace:
                self._stop_and_resume(0, self._dice.random() * 0.02)
            self._board.words.may_end = 1
            self._wait_for(lambda: not self._pids, "the round's end", is_moving=True)
        except Fault as fault:
            self.tally.faults.append(str(fault))
        finally:
            for pid in self._pids.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return self.tally

    def _allow(self, share: int) -> None:
        """Messages and kills go side by side, so that neither is over before the other."""
        self._board.words.budget = self._plan.message_count * share // (self._plan.kill_count + 1)

    # ---- processes ----

    def _start(self, which: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._be(which)
        self._pids[which] = pid
        self.tally.forks += 1

    def _be(self, which: int) -> None:
        """In the child: never returns."""
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
            lib.board_die_with_parent()
            if which == _REHEARSAL:
                rehearse(self._board, self._plan)
            elif which == _PUBLISHER:
                publish(self._board, self._plan)
            else:
                read(self._board, which, self._plan)
            status = 0
        except BaseException:
            (self._folder / f"fault-{os.getpid()}").write_text(traceback.format_exc())
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Notes who came to its end; one that failed is a fault."""
        for which, pid in list(self._pids.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found == 0:
                continue
            del self._pids[which]
            if status != 0:
                who = "the publisher" if which < 0 else f"reader {which}"
                words = self._folder / f"fault-{pid}"
                text = words.read_text() if words.exists() else ""
                code = os.waitstatus_to_exitcode(status)
                raise Fault(f"{who} ended with {code}: {text}")

    def _events(self) -> int:
        """What only grows while anything moves."""
        words = self._board.words
        seen = sum(self._board.account(line).events for line in range(len(self._plan.lines)))
        joins = sum(words.lines[line].joins for line in range(len(self._plan.lines)))
        return int(seen + joins + self._board.published + self.tally.forks)

    def _wait_for(self, is_true: Callable[[], bool], what: str, *, is_moving: bool = False) -> None:
        """Until the condition holds; `is_moving`: patience begins anew with each movement."""
        deadline, before = time.monotonic() + _PROGRESS_SECONDS_MAX, 0
        while not is_true():
            self._reap()
            if is_moving and (now := self._events()) != before:
                deadline, before = time.monotonic() + _PROGRESS_SECONDS_MAX, now
            if time.monotonic() > deadline:
                raise Fault(f"waited {_PROGRESS_SECONDS_MAX} s for {what} in vain")
            time.sleep(_LOOK_SECONDS)

    # ---- stopping and killing ----

    def _kill_one(self) -> None:
        """At a random time after its start, at a random time behind its first message, or stopped.

        Now and then a reader is stopped before that, and resumed: it lags, and must not be lost.
        """
        dice = self._dice
        if dice.random() < 0.25:
            self._stop_and_resume(dice.randrange(len(self._plan.lines)), dice.random() * 0.02)
        which = _PUBLISHER if dice.random() < 0.15 else dice.randrange(len(self._plan.lines))
        if self._board.words.incarnation_count >= INCARNATIONS_MAX - 2:
            which = max(which, 0)
        if dice.random() < 0.7:
            self._await_movement(which)
        time.sleep(dice.random() * 0.01)
        self._reap()
        is_stopped = dice.random() < 0.1
        if is_stopped:
            os.kill(self._pids[which], signal.SIGSTOP)
            time.sleep(dice.random() * 0.005)
        pid = self._pids.pop(which)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if which == _PUBLISHER:
            self.tally.publishers_killed += 1
        else:
            self.tally.readers_killed += 1
            self._board.words.lines[which].attached = 0
        time.sleep(dice.random() * 0.003)
        self._start(which)

    def _await_movement(self, which: int) -> None:
        words = self._board.words
        if which == _PUBLISHER:
            before = self._board.published
            self._wait_for(lambda: self._board.published > before, "the publisher", is_moving=True)
            return
        joins, events = words.lines[which].joins, self._board.account(which).events
        self._wait_for(
            lambda: words.lines[which].joins > joins or self._board.account(which).events > events,
            f"reader {which}",
            is_moving=True,
        )

    def _stop_and_resume(self, line: int, seconds: float) -> None:
        os.kill(self._pids[line], signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self._pids[line], signal.SIGCONT)
        self.tally.stops += 1
