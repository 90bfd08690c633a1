"""One round over verbs: forks publisher and readers, strikes them and their wire, and looks on."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from tests.stress._board import Board
from tests.stress._processes import PUBLISHER, Processes
from tests.stress._streams_plan import Blow, StreamRound
from tests.stress._streams_publisher import publish
from tests.stress._streams_reader import read


@dataclass
class Tally:
    """What was done, and how long it was until every line had moved on again, at most.

    Attributes:
        seconds_max: by the kind of blow.
    """

    blows: Counter[str] = field(default_factory=Counter)
    seconds_max: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class StreamKiller(Processes):
    """Strikes a round's processes and their wire."""

    PROGRESS_SECONDS_MAX = 120.0
    LOOK_SECONDS = 0.005

    def __init__(self, board: Board, plan: StreamRound, wire: RdmaWire, folder: Path) -> None:
        super().__init__(board, folder, len(plan.lines), plan.message_count, len(plan.blows))
        self.tally = Tally()
        self._plan, self._wire = plan, wire
        self._injector = FaultInjector(wire)

    def run(self) -> Tally:
        """Runs the round; what went wrong stands in the tally's faults."""
        self._run(self.tally.faults)
        return self.tally

    def _play(self) -> None:
        try:
            self._start_all()
            for number, blow in enumerate(self._plan.blows):
                self._allow(number + 1)
                self._wait_for(self._is_due, "the next blow's time", is_moving=True)
                self._strike(blow)
            self._let_end()
        finally:
            self._injector.heal()

    def _live(self, which: int) -> None:
        if which == PUBLISHER:
            publish(self._board, self._plan, self._wire)
        else:
            read(self._board, which, self._plan, self._wire)

    def _is_due(self) -> bool:
        return bool(self._board.published >= self._board.words.budget)

    # ---- blows ----

    def _strike(self, blow: Blow) -> None:
        """Does it, undoes it, and waits until every line has moved on since."""
        is_kill = blow.kind.startswith("kill")
        which = PUBLISHER if blow.kind.endswith("publisher") else blow.line
        if is_kill:
            self._reap()
            self._kill(which)
        elif blow.kind.startswith("stop"):
            os.kill(self._pids[which], signal.SIGSTOP)
        elif blow.kind == "burst":
            self._board.words.burst = 1
        elif blow.kind == "loss":
            self._injector.inject("loss", "5%")
        else:
            ends = (self._wire.left.interface, self._wire.right.interface, None)
            self._injector.inject("down", interface=ends[blow.end])
        time.sleep(blow.seconds)
        if is_kill:
            self._start(which)
        elif blow.kind.startswith("stop"):
            os.kill(self._pids[which], signal.SIGCONT)
        self._injector.heal()
        began = time.monotonic()
        if "RDMAQ_STRESS_EVENTS" in os.environ:
            os.write(2, f"{time.time():.2f} killer: {blow}\n".encode())
        self._await_movement(blow.kind)
        seconds, longest = time.monotonic() - began, self.tally.seconds_max
        self.tally.blows[blow.kind] += 1
        longest[blow.kind] = round(max(longest.get(blow.kind, 0.0), seconds), 1)

    def _await_movement(self, what: str) -> None:
        """Every line books something that was published after the blow."""
        if what == "kill publisher":
            done = self._board.published
            self._wait_for(lambda: self._board.published > done, "the next publisher")
        number = int(self._board.words.incarnation_count)
        last = int(self._board.incarnation(number).done)

        def has_moved(line: int) -> bool:
            account = self._board.account(line)
            return bool(account.incarnation == number and account.next_sequence > last)

        self._wait_for(lambda: all(map(has_moved, self._lines)), f"all readers behind a {what}")
