"""The publisher's process of the stress run: killed at any instruction, its books tell how far."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np

import rdmaq
from tests.stress._board import MESSAGE_BYTES_MAX, RECORD_BYTES, Board, ffi, lib
from tests.stress._leftovers import Holdings
from tests.stress._plan import Round

ADDRESS, STREAM = "local:stress", "ring"
RECORD = np.dtype([("sequence", "<u8"), ("words", "<u8", (2,)), ("checksum", "<u8")])

_GAP_EVERY = 100
_SECONDS_MAX = 60.0  # for all readers to be gone


class _Books:
    """One incarnation's: what it may have published, and what it has."""

    def __init__(self, board: Board, number: int, pub: rdmaq.Publisher) -> None:
        self.number = number
        self._board = board
        self._pub = pub
        self._upstream = 0
        board.incarnation(number).epoch = pub.epoch

    def publish(self, count: int, send: Any, *, is_gap: bool = False) -> None:
        """Calls `send(first)`, which publishes `count` sequences or, of a batch, the first few."""
        first = self._pub.next_sequence
        lib.board_intend(self._board.words, self.number, first + count - 1)
        try:
            send(first)
        except rdmaq.NotEnoughReaders:
            count = self._pub.next_sequence - first
        self._upstream += count * is_gap
        last = self._pub.next_sequence - 1
        assert last == first + count - 1, f"sent {first} to {last}, and wanted {count}"
        lib.board_have_done(self._board.words, self.number, last, self._upstream)


class _Sender:
    """Publishes by every call there is, in sizes by the dice."""

    def __init__(self, pub: rdmaq.Publisher, books: _Books, plan: Round) -> None:
        self._pub, self._books, self._plan = pub, books, plan
        self._dice = random.Random(plan.seed * 4096 + books.number)
        per_frame = pub.message_bytes_max // (RECORD_BYTES if plan.is_typed else 102)
        self._sizes: tuple[int, ...] = (1, 3, 100, per_frame, 2 * per_frame + 1)
        if plan.pace:
            self._sizes = (plan.pace // 1000,)
        self._area = np.empty(self._sizes[-1] * (MESSAGE_BYTES_MAX + 2), dtype=np.uint8)
        self._pointer = ffi.from_buffer("uint8_t *", self._area)
        self._turn = 0

    def send_some(self, *, is_slow: bool) -> int:
        """One call, of a few messages if slow; returns how many sequences it took at most."""
        self._turn += 1
        if self._turn % _GAP_EVERY == 0:
            count = 1 + self._dice.randrange(20)
            self._books.publish(
                count, lambda first: self._pub.send_gap(first, first + count - 1), is_gap=True
            )
            return count
        count = self._dice.choice(self._sizes[:2] if is_slow else self._sizes)
        self._books.publish(count, lambda first: self._send(first, count))
        return count

    def _send(self, first: int, count: int) -> None:
        number, pub = self._books.number, self._pub
        if self._plan.is_typed:
            lib.board_fill_records(self._pointer, RECORD_BYTES, number, first, count)
            records = self._area[: count * RECORD_BYTES].view(RECORD)
            if count == 1:
                pub.send(records[0])
            elif count == 100:
                with pub.claim(count) as area:
                    area[:] = records
            else:
                pub.send_batch(records)
            return
        size_bytes = lib.board_fill_blocks(self._pointer, number, first, count)
        blocks = self._area[:size_bytes]
        if count == 1:
            pub.send(bytes(blocks[2:]))
        else:
            pub.send_many(rdmaq.MessageBlocks(blocks, count))


def _run(board: Board, number: int, plan: Round, pub: rdmaq.Publisher) -> None:
    sender = _Sender(pub, _Books(board, number, pub), plan)
    words, began, sent = board.words, time.monotonic(), 0
    while sent == 0 or not words.may_end or board.published < plan.message_count:
        is_slow = not plan.pace and board.published >= words.budget  # the killer is behind
        if plan.pace:
            time.sleep(max(0.0, began + sent / plan.pace - time.monotonic()))
        elif is_slow:
            time.sleep(0.0005)
        sent += sender.send_some(is_slow=is_slow)


def _make(node: rdmaq.Node, plan: Round) -> rdmaq.Publisher:
    return node.publish(
        STREAM,
        RECORD if plan.is_typed else None,
        capacity=plan.capacity_bytes,
        flow=plan.make_flow(),
    )


def rehearse(board: Board, plan: Round) -> None:
    """Notes what a node holds whose publisher was closed, when no reader has ever been there."""
    with rdmaq.Node(ADDRESS) as node:
        pub = _make(node, plan)
        pub.close()
        held = Holdings.of_self()
        board.words.held_descriptors, board.words.held_mappings = held.descriptors, held.mappings


def publish(board: Board, plan: Round) -> None:
    """Publishes as the next incarnation until the budget is used up, then closes the stream."""
    board.words.incarnation_count += 1
    before = Holdings.of_self()
    _be_incarnation(board, plan, board.words.incarnation_count)
    before.check("a publisher that was closed")


def _be_incarnation(board: Board, plan: Round, number: int) -> None:
    words = board.words
    with rdmaq.Node(ADDRESS) as node:
        pub = _make(node, plan)
        if plan.kill_count == 0:
            _await(lambda: pub.reader_count == len(plan.lines), "the readers did not come")
        _run(board, number, plan, pub)
        lines = words.lines[0 : len(plan.lines)]
        _await(lambda: all(line.attached == pub.epoch for line in lines), "a line stays away")
        pub.close()
        board.incarnation(number).is_ended = 1
        # Whoever was killed meanwhile is forgotten; the others leave when they have read the end.
        _await(lambda: not node._listener._connections, "readers stay behind the end")
        held, expected = Holdings.of_self(), (words.held_descriptors, words.held_mappings)
        assert (held.descriptors, held.mappings) == expected, (
            f"a publisher whose readers were killed, or left, holds {held}, not {expected}"
        )


def _await(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.005)
