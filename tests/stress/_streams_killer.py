"""One round over verbs: forks publisher and readers, strikes them and their wire, and looks on."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from tests.stress._board import Board, lib
from tests.stress._streams_plan import Blow, StreamRound
from tests.stress._streams_publisher import publish
from tests.stress._streams_reader import read

_PUBLISHER = -1  # else a line's number
_PROGRESS_SECONDS_MAX = 120.0
_LOOK_SECONDS = 0.005


class Fault(Exception):
    """A child failed, or nothing moved any more."""


@dataclass
class Tally:
    """What was done, and how long it was until every line had moved on again, at most.

    Attributes:
        seconds_max: by the kind of blow.
    """

    blows: Counter[str] = field(default_factory=Counter)
    seconds_max: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class StreamKiller:
    """The parent of a round's processes; it has no handle of rdmaq's own, and one thread."""

    def __init__(self, board: Board, plan: StreamRound, wire: RdmaWire, folder: Path) -> None:
        self.tally = Tally()
        self._board, self._plan, self._wire, self._folder = board, plan, wire, folder
        self._injector = FaultInjector(wire)
        self._pids: dict[int, int] = {}

    def run(self) -> Tally:
        """Runs the round; what went wrong stands in the tally's faults."""
        try:
            self._start(_PUBLISHER)
            for line in range(len(self._plan.lines)):
                self._start(line)
            for number, blow in enumerate(self._plan.blows):
                self._allow(number + 1)
                self._wait_for(self._is_due, "the next blow's time", is_moving=True)
                self._strike(blow)
            self._allow(len(self._plan.blows) + 1)
            self._board.words.may_end = 1
            self._wait_for(lambda: not self._pids, "the round's end", is_moving=True)
        except Fault as fault:
            self.tally.faults.append(str(fault))
        finally:
            self._injector.heal()
            for pid in self._pids.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return self.tally

    def _allow(self, share: int) -> None:
        """Messages and blows go side by side, so that neither is over before the other."""
        plan = self._plan
        self._board.words.budget = plan.message_count * share // (len(plan.blows) + 1)

    def _is_due(self) -> bool:
        return bool(self._board.published >= self._board.words.budget)

    # ---- processes ----

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
            if which == _PUBLISHER:
                publish(self._board, self._plan, self._wire)
            else:
                read(self._board, which, self._plan, self._wire)
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
                who = "the publisher" if which == _PUBLISHER else f"reader {which}"
                words = self._folder / f"fault-{pid}"
                text = words.read_text() if words.exists() else ""
                code = os.waitstatus_to_exitcode(status)
                raise Fault(f"{who} ended with {code}: {text}")

    def _events(self) -> int:
        """What only grows while anything moves."""
        words, lines = self._board.words, range(len(self._plan.lines))
        seen = sum(self._board.account(line).events + words.lines[line].joins for line in lines)
        return int(seen + self._board.published)

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

    # ---- blows ----

    def _strike(self, blow: Blow) -> None:
        """Does it, undoes it, and waits until every line has moved on since."""
        is_kill = blow.kind.startswith("kill")
        which = _PUBLISHER if blow.kind.endswith("publisher") else blow.line
        if is_kill:
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

    def _kill(self, which: int) -> None:
        self._reap()
        pid = self._pids.pop(which)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if which != _PUBLISHER:
            self._board.words.lines[which].attached = 0

    def _await_movement(self, what: str) -> None:
        """Every line books something that was published after the blow."""
        incarnation, done = int(self._board.words.incarnation_count), self._board.published
        if what == "kill publisher":
            self._wait_for(
                lambda: (
                    self._board.published > done
                    and self._board.words.incarnation_count > incarnation - 1
                ),
                "the next publisher",
            )
        number = int(self._board.words.incarnation_count)
        last = int(self._board.incarnation(number).done)

        def has_moved(line: int) -> bool:
            account = self._board.account(line)
            return bool(account.incarnation == number and account.next_sequence > last)

        lines = range(len(self._plan.lines))
        self._wait_for(lambda: all(map(has_moved, lines)), f"all readers behind a {what}")
