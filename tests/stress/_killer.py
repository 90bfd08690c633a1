"""One round: forks publisher and readers, and stops and kills them by the dice."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.stress._board import INCARNATIONS_MAX, Board
from tests.stress._plan import Round
from tests.stress._processes import PUBLISHER, Processes
from tests.stress._publisher import publish, rehearse
from tests.stress._reader import read

_REHEARSAL = PUBLISHER - 1


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


class Killer(Processes):
    """Stops and kills a round's processes."""

    PROGRESS_SECONDS_MAX = 90.0
    LOOK_SECONDS = 0.0005

    def __init__(self, board: Board, plan: Round, folder: Path) -> None:
        super().__init__(board, folder, len(plan.lines), plan.message_count, plan.kill_count)
        self.tally = Tally()
        self._plan = plan
        self._dice = random.Random(plan.seed)

    def run(self) -> Tally:
        """Runs the round; what went wrong stands in the tally's faults."""
        self._run(self.tally.faults)
        return self.tally

    def _play(self) -> None:
        self._start(_REHEARSAL)
        self._wait_for(lambda: not self._pids, "a publisher without readers")
        self._start_all()
        for number in range(self._plan.kill_count):
            self._allow(number + 1)
            self._kill_one()
        if self._plan.kill_count == 0 and not self._plan.pace:
            self._allow(1)
            self._stop_and_resume(0, self._dice.random() * 0.02)
        self._let_end()

    def _live(self, which: int) -> None:
        if which == _REHEARSAL:
            rehearse(self._board, self._plan)
        elif which == PUBLISHER:
            publish(self._board, self._plan)
        else:
            read(self._board, which, self._plan)

    def _start(self, which: int) -> None:
        super()._start(which)
        self.tally.forks += 1

    def _events(self) -> int:
        return super()._events() + self.tally.forks

    # ---- stopping and killing ----

    def _kill_one(self) -> None:
        """At a random time after its start, at a random time behind its first message, or stopped.

        Now and then a reader is stopped before that, and resumed: it lags, and must not be lost.
        """
        dice = self._dice
        if dice.random() < 0.25:
            self._stop_and_resume(dice.randrange(len(self._plan.lines)), dice.random() * 0.02)
        which = PUBLISHER if dice.random() < 0.15 else dice.randrange(len(self._plan.lines))
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
        self._kill(which)
        if which == PUBLISHER:
            self.tally.publishers_killed += 1
        else:
            self.tally.readers_killed += 1
        time.sleep(dice.random() * 0.003)
        self._start(which)

    def _await_movement(self, which: int) -> None:
        words = self._board.words
        if which == PUBLISHER:
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
