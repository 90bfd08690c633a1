"""The publisher's process of the stress run over verbs: killed at any instruction."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import rdmaq
from rdmaq.rig.fixtures import RdmaWire
from tests.stress._board import Board, ffi, lib
from tests.stress._streams_plan import StreamRound

STREAM = "s"
PORT = 7471
INSECURE = rdmaq.Credentials(insecure=True)

_SECONDS_MAX = 120.0
# So long a frame waits for readers who are behind, and then goes all the same.
_POLITE_SECONDS = 0.1
_LOOK_SECONDS = 0.002


def record_type(record_bytes: int) -> np.dtype[np.void]:
    """Records of that size; the first word is the sequence."""
    return np.dtype([("sequence", "<u8"), ("words", "<u8", (record_bytes // 8 - 1,))])


@dataclass
class _Sender:
    """One incarnation: its stream and its books."""

    board: Board
    number: int
    pub: rdmaq.Publisher
    plan: StreamRound

    def __post_init__(self) -> None:
        self._dice = random.Random(self.plan.seed * 4096 + self.number)
        self._dtype = record_type(self.plan.record_bytes)
        per_frame = self.pub.message_bytes_max // self.plan.record_bytes
        self._sizes = (1, 7, min(100, per_frame), per_frame, 2 * per_frame + 1)
        self._area = np.empty(self._sizes[-1], self._dtype)
        self._pointer = ffi.from_buffer("uint8_t *", self._area)
        self._room = self.plan.capacity_bytes // self.plan.record_bytes
        self._is_rude_until = 0

    def send(self, *, is_slow: bool) -> None:
        """One call; readers who are behind are waited for, unless it is the time for a burst."""
        words = self.board.words
        if words.burst:
            words.burst = 0
            self._is_rude_until = self.pub.next_sequence + 2 * self._room
        if self.plan.flow == "lossy" and self.pub.next_sequence > self._is_rude_until:
            self._wait_politely()
        count = self._dice.choice(self._sizes[:2] if is_slow else self._sizes)
        first, number = self.pub.next_sequence, self.number
        lib.board_fill_records(self._pointer, self.plan.record_bytes, number, first, count)
        lib.board_intend(words, number, first + count - 1)
        self.pub.send_batch(self._area[:count])
        last = self.pub.next_sequence - 1
        assert last == first + count - 1, f"sent {first} to {last}, and wanted {count}"
        lib.board_have_done(words, number, last, 0)

    def _wait_politely(self) -> None:
        deadline = time.monotonic() + _POLITE_SECONDS
        while self._behind() > self._room // 4 and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def _behind(self) -> int:
        return max(
            (self.pub.next_sequence - self._place(line) for line in range(len(self.plan.lines))),
            default=0,
        )

    def _place(self, line: int) -> int:
        """The next sequence that a line waits for; ours, if it is not here."""
        if self.board.words.lines[line].attached != self.pub.epoch:
            return self.pub.next_sequence
        account = self.board.account(line)
        return account.next_sequence if account.incarnation == self.number else 1

    def everybody_is_here(self) -> bool:
        """All lines have come to this incarnation."""
        lines = self.board.words.lines[0 : len(self.plan.lines)]
        return all(line.attached == self.pub.epoch for line in lines)

    def everybody_has_all(self) -> bool:
        """And stand at its end."""
        return self.everybody_is_here() and self._behind() == 0


def publish(board: Board, plan: StreamRound, wire: RdmaWire) -> None:
    """Publishes as the next incarnation until the budget is used up, then closes the stream."""
    board.words.incarnation_count += 1
    number, words = board.words.incarnation_count, board.words
    with rdmaq.Node(
        f"{wire.left.address}:{PORT}", credentials=INSECURE, interface=wire.left.interface
    ) as node:
        pub = node.publish(
            STREAM,
            record_type(plan.record_bytes),
            capacity=plan.capacity_bytes,
            flow=plan.make_flow(),
        )
        board.incarnation(number).epoch = pub.epoch
        sender = _Sender(board, number, pub, plan)
        sent = False
        while not sent or not words.may_end or board.published < plan.message_count:
            # Slowly while somebody is away, and when the blows are behind.
            is_slow = board.published >= words.budget or not sender.everybody_is_here()
            if is_slow:
                time.sleep(0.01)
            sender.send(is_slow=is_slow)
            sent = True
        _await(sender.everybody_is_here, "a line stays away")
        # A lossy link that lags may be cut once more, and what it lost is told by what comes next.
        _await(sender.everybody_has_all, "a line does not come to the end")
        pub.close()
        board.incarnation(number).is_ended = 1


def _await(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _SECONDS_MAX
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)
