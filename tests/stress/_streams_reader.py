"""A reader's process of the stress run over verbs: checks every record, and books what it saw."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import suppress
from typing import Literal

import rdmaq
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.verbs import LinkSettings
from tests.stress._board import Board, ffi, lib
from tests.stress._leftovers import Holdings
from tests.stress._streams_plan import StreamLine, StreamRound
from tests.stress._streams_publisher import INSECURE, PORT, STREAM, record_type

IDLE_SECONDS_MAX = 60.0
_LOOK_SECONDS = 0.5
_SIZES = (7, 100, 1024, 8192)

#: What a reader may meet whose publisher, or whose wire, is struck in this moment.
NOBODY_THERE = (
    rdmaq.PeerNotFound,
    rdmaq.StreamNotFound,
    rdmaq.BootstrapError,
    rdmaq.DeviceNotFound,
    rdmaq.VerbsUnavailable,
    rdmaq.UnsupportedTransport,
)


class Line:
    """The books of one line, as one of its readers goes on with them."""

    def __init__(self, board: Board, number: int, plan: StreamRound) -> None:
        self._board, self._number, self._plan = board, number, plan
        self._how = plan.lines[number]
        self._epoch = 0
        self.name = f"reader {number}"
        self._incarnation = int(board.account(number).incarnation)
        self.row = board.words.lines[number]

    def start(self, epoch: int, newest: int) -> int | Literal["live"]:
        """Where the next reader begins, in an incarnation that has published up to `newest`."""
        joins = self._how.joins
        if joins == "live":
            return "live"
        account = self._board.account(self._number)
        number = int(lib.board_incarnation_of(self._board.words, epoch))
        known = int(account.next_sequence) if number and account.incarnation == number else 1
        if joins == "there":
            return known
        dice = random.Random(self._how.seed ^ int(self.row.joins))
        return known + dice.randrange(max(1, newest - known + 2))

    def join(self, subscription: rdmaq.Subscription, start: int | Literal["live"]) -> None:
        """A new subscription; what is before its begin is not asked for."""
        self.turn_to(subscription.epoch)
        first = subscription.position if start == "live" else start
        if first > 1:
            lib.board_be_absent(self._board.words, self._number, first)
        self.row.joins += 1
        self.row.attached = subscription.epoch

    def turn_to(self, epoch: int) -> None:
        """The epoch of what comes now."""
        deadline = time.monotonic() + IDLE_SECONDS_MAX
        while not (number := int(lib.board_incarnation_of(self._board.words, epoch))):
            assert time.monotonic() < deadline, f"epoch {epoch} is nobody's"
            time.sleep(0.01)  # its publisher has yet to write it down
        self._epoch = epoch
        if number != self._incarnation:
            self._incarnation = number
            lib.board_turn(self._board.words, self._number, number)

    def book(self, batch: rdmaq.Batch) -> None:
        """Messages, checked byte by byte, or a loss."""
        words, number = self._board.words, self._number
        if batch.epoch != self._epoch:  # it followed a restart: all before was passed
            self.finish()
            self.turn_to(batch.epoch)
            self.row.attached = batch.epoch
            self.row.restarts_followed += 1
        if batch.gap is not None:
            gap = batch.gap
            lib.board_take_gap(words, number, gap.first, gap.last, gap.cause == "upstream", 0)
            return
        first, count = batch.sequence, len(batch)
        pointer = ffi.from_buffer("uint8_t *", batch.data)
        torn = lib.board_torn_records(
            pointer, self._plan.record_bytes, self._incarnation, first, count
        )
        lib.board_take(words, number, first, first + count - 1, torn)

    def finish(self) -> None:
        """All that there is of this incarnation was passed."""
        self.row.attached = 0
        lib.board_finish(self._board.words, self._number)


def _tell(line: Line, subscription: rdmaq.Subscription) -> None:
    """What became of it since the last time, for who looks for a cause: `--events`."""
    for event in subscription.events():
        if "RDMAQ_STRESS_EVENTS" in os.environ:
            words = f"{event.time_ns / 1e9:.2f} {line.name}: {event.kind}: {event.detail}\n"
            os.write(2, words.encode())


def _read_sync(line: Line, subscription: rdmaq.Subscription, dice: random.Random) -> None:
    patience = time.monotonic() + IDLE_SECONDS_MAX
    while time.monotonic() < patience:
        batch = subscription.poll(_LOOK_SECONDS, max_messages=dice.choice(_SIZES))
        _tell(line, subscription)
        if batch is not None:
            line.book(batch)
            patience = time.monotonic() + IDLE_SECONDS_MAX
    raise TimeoutError(f"nothing came for {IDLE_SECONDS_MAX} s")


async def _read_async(line: Line, subscription: rdmaq.Subscription) -> None:
    async for batch in subscription.batches(max_messages=1024, timeout=IDLE_SECONDS_MAX):
        line.book(batch)
        _tell(line, subscription)
    if not subscription.ended:
        raise TimeoutError(f"nothing came for {IDLE_SECONDS_MAX} s")
    raise rdmaq.EndOfStream


def _subscribe(
    line: Line, plan: StreamRound, how: StreamLine, wire: RdmaWire
) -> rdmaq.Subscription | None:
    """Joined; None: nobody is there now."""
    with (
        suppress(*NOBODY_THERE),
        rdmaq.connect(
            f"{wire.left.address}:{PORT}",
            credentials=INSECURE,
            transport="verbs",
            interface=wire.right.interface,
            timeout=1.0,
        ) as peer,
    ):
        for stream in peer.streams():
            start = line.start(stream.epoch, stream.next_sequence - 1)
            subscription = peer.subscribe(
                STREAM,
                record_type(plan.record_bytes),
                start=start,
                timeout=1.0,
                link_settings=LinkSettings(tail=how.tail),
                on_gap="recover" if how.recovers else "report",
                on_restart="follow" if how.follows else "raise",
            )
            if subscription.epoch == stream.epoch:
                line.join(subscription, start)
                return subscription
            subscription.close()
    return None


def _read(line: Line, how: StreamLine, subscription: rdmaq.Subscription) -> bool:
    """Says whether the stream was closed; False: subscribe again."""
    try:
        if how.is_async:
            asyncio.run(_read_async(line, subscription))
        else:
            _read_sync(line, subscription, random.Random(how.seed + int(line.row.joins)))
    except rdmaq.EndOfStream:
        line.finish()
        return True
    except rdmaq.PublisherGone:
        line.finish()
    except rdmaq.CutOff:
        line.row.attached = 0
        line.row.cut_offs += 1
    finally:
        _tell(line, subscription)
    return False


def read(board: Board, number: int, plan: StreamRound, wire: RdmaWire) -> None:
    """Reads until a publisher closes the stream, whatever befalls it meanwhile."""
    line, how = Line(board, number, plan), plan.lines[number]
    is_ended = False
    while not is_ended:
        subscription = _subscribe(line, plan, how, wire)
        if subscription is None:
            continue
        with subscription:
            is_ended = _read(line, how, subscription)
        del subscription
    held = Holdings.of_self()
    assert (held.memfds, held.mappings) == (0, 0), f"a reader that was closed holds {held}"
