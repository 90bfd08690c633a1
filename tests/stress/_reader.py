"""A reader's process of the stress run: checks every message in C, and books what it saw."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import rdmaq
from tests.stress._board import RECORD_BYTES, Board, ffi, lib
from tests.stress._leftovers import Holdings
from tests.stress._plan import LinePlan, Round
from tests.stress._publisher import ADDRESS, RECORD, STREAM

_IDLE_SECONDS_MAX = 60.0
_LOOK_SECONDS = 0.2
_SIZES = (1, 7, 100, 1024, 4096)

#: What a reader may meet that looks for a publisher who is killed in this moment.
_NOBODY_THERE = (rdmaq.PeerNotFound, rdmaq.StreamNotFound, rdmaq.HandoverError)


class Line:
    """The books of one line, as one of its readers goes on with them."""

    def __init__(self, board: Board, number: int, plan: Round) -> None:
        self._board, self._number, self._plan = board, number, plan
        self._epoch = 0
        self._incarnation = int(board.account(number).incarnation)
        self._is_fresh = True
        self.row = board.words.lines[number]

    def start(self) -> int:
        """Where the next subscription must begin if the incarnation is the one we know."""
        return max(1, int(self._board.account(self._number).next_sequence))

    def knows(self, epoch: int) -> bool:
        """Whether the account is of this epoch."""
        known = lib.board_incarnation_of(self._board.words, epoch)
        return self._incarnation != 0 and known == self._incarnation

    def join(self, epoch: int) -> None:
        """A new subscription: what it lost by coming late is no break of a reliable stream."""
        self._is_fresh = True
        self._epoch = 0
        self.row.attached = epoch
        self.row.joins += 1

    def turn_to(self, epoch: int) -> None:
        """The epoch of what comes now."""
        if epoch == self._epoch:
            return
        self._epoch = self.row.attached = epoch
        number = int(lib.board_incarnation_of(self._board.words, epoch))
        assert number, f"epoch {epoch} is nobody's: messages before their publisher's books"
        if number == self._incarnation:
            return
        self._incarnation = number
        self._is_fresh = True
        lib.board_turn(self._board.words, self._number, number)

    def torn_count(self, batch: rdmaq.Batch) -> int:
        """How many of its messages are not what was published."""
        data, first, count = batch.data, batch.sequence, len(batch)
        pointer = ffi.from_buffer("uint8_t *", data)
        if self._plan.is_typed:
            number = self._incarnation
            return int(lib.board_torn_records(pointer, RECORD_BYTES, number, first, count))
        offsets = batch.offsets
        stride = 1 if offsets.ndim == 1 else 2
        words = ffi.from_buffer("uint32_t *", offsets)
        return int(lib.board_torn_messages(pointer, words, stride, self._incarnation, first, count))

    def take(self, batch: rdmaq.Batch, torn: int) -> None:
        """Books messages that were checked."""
        last = batch.sequence + len(batch) - 1
        lib.board_take(self._board.words, self._number, batch.sequence, last, torn)
        self._is_fresh = False

    def take_gap(self, gap: rdmaq.Gap) -> None:
        """Books a loss."""
        is_upstream = gap.cause == "upstream"
        is_misplaced = self._plan.flow == "reliable" and not is_upstream and not self._is_fresh
        lib.board_take_gap(
            self._board.words, self._number, gap.first, gap.last, is_upstream, is_misplaced
        )

    def finish(self, epoch: int) -> None:
        """All of this epoch was passed: it ended, or its publisher died."""
        if self.knows(epoch):
            lib.board_finish(self._board.words, self._number)


class _Reading:
    """One subscription, read to its end by the line's plan."""

    def __init__(self, line: Line, plan: LinePlan, subscription: rdmaq.Subscription) -> None:
        self._line, self._subscription = line, subscription
        self._dice = random.Random(plan.seed + int(line.row.joins))
        self._epoch = subscription.epoch

    def _look(self, batch: rdmaq.Batch) -> int:
        """How many of its messages are torn; what it says is not booked yet."""
        if batch.epoch != self._epoch:  # it followed a restart: all before was passed
            self._line.finish(self._epoch)
            self._epoch = batch.epoch
            self._line.row.restarts_followed += 1
        self._line.turn_to(batch.epoch)
        return 0 if batch.gap is not None else self._line.torn_count(batch)

    def _book(self, batch: rdmaq.Batch, torn: int) -> None:
        if batch.gap is not None:
            self._line.take_gap(batch.gap)
        else:
            self._line.take(batch, torn)

    def _borrow(self, size: int) -> None:
        """A view's messages count only when it was given back intact."""
        try:
            with self._subscription.view(_IDLE_SECONDS_MAX, max_messages=size) as batch:
                if batch is None:
                    raise TimeoutError(f"nothing came for {_IDLE_SECONDS_MAX} s")
                torn = self._look(batch)
        except rdmaq.ViewOverrun:
            self._line.row.views_overrun += 1
        else:
            self._book(batch, torn)

    def read(self) -> None:
        """Polls and borrows in random sizes until the stream ends."""
        while True:
            size = self._dice.choice(_SIZES)
            if self._dice.random() < 0.2:
                self._borrow(size)
                continue
            batch = self._subscription.poll(_IDLE_SECONDS_MAX, max_messages=size)
            if batch is None:
                raise TimeoutError(f"nothing came for {_IDLE_SECONDS_MAX} s")
            self._book(batch, self._look(batch))

    async def read_async(self) -> None:
        """The same in an event loop, which is woken by bytes on the socket."""
        batches = self._subscription.batches(max_messages=1024, timeout=_IDLE_SECONDS_MAX)
        async for batch in batches:
            self._book(batch, self._look(batch))
        if not self._subscription.ended:
            raise TimeoutError(f"nothing came for {_IDLE_SECONDS_MAX} s")
        raise rdmaq.EndOfStream


def _subscribe(line: Line, plan: LinePlan, is_typed: bool) -> rdmaq.Subscription | None:
    """Where the line left off, or an unknown incarnation's first message; None: nobody is there."""
    with suppress(*_NOBODY_THERE), rdmaq.connect(ADDRESS, timeout=_LOOK_SECONDS) as peer:
        for start in (line.start(), 1):
            subscription = peer.subscribe(
                STREAM,
                RECORD if is_typed else None,
                start=start,
                wait=plan.wait,
                timeout=_LOOK_SECONDS,
                on_restart="follow" if plan.follows else "raise",
            )
            if start == 1 or line.knows(subscription.epoch):
                return subscription
            subscription.close()
    return None


def _read_to_the_end(line: Line, plan: LinePlan, subscription: rdmaq.Subscription) -> bool:
    """Tells whether the stream was closed; False: subscribe again."""
    reading = _Reading(line, plan, subscription)
    try:
        if plan.is_async:
            asyncio.run(reading.read_async())
        else:
            reading.read()
    except rdmaq.EndOfStream:
        line.finish(subscription.epoch)
        return True
    except rdmaq.PublisherGone:
        line.finish(subscription.epoch)
    except rdmaq.CutOff as end:
        line.row.cut_offs += 1
        line.row.attached = 0
        if line.knows(subscription.epoch) and end.sequence != line.start():
            raise RuntimeError(f"cut off at {line.start()}, and told {end.sequence}") from end
    return False


def read(board: Board, number: int, plan: Round) -> None:
    """Reads until a publisher closes the stream, whoever dies meanwhile."""
    before = Holdings.of_self()
    line, line_plan = Line(board, number, plan), plan.lines[number]
    is_ended = False
    while not is_ended:
        subscription = _subscribe(line, line_plan, plan.is_typed)
        if subscription is None:
            # Cut off by the last publisher, and it closed before we were back.
            is_ended = board.words.incarnations[board.words.incarnation_count].is_ended != 0
            continue
        line.join(subscription.epoch)
        with subscription:
            is_ended = _read_to_the_end(line, line_plan, subscription)
        del subscription
    before.check("a reader that was closed")
